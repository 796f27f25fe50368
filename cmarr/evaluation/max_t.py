"""Tests of many differences at once, from the same swaps of clusters: one error rate for all of them.

A difference is divided by its standard error, which has a part from the clusters and one from the seeds, and is
compared with the largest such quotient of the whole family under each way of swapping clusters between the methods
(Westfall and Young 1993). How the family's members depend on one another is in the swaps, so that nothing is lost
to it; which method is ahead has no part in what the family is.
"""

import numpy as np
from scipy import stats

from cmarr.evaluation.resampling import Seeds

_LEAST = 1e-6
"""Part of the mean square of the swaps that a variance is at least: of equal differences only rounding is left."""
_EQUAL = 1e-9
"""Two quotients that differ by this share are equal: the order of the additions behind them is not the same."""


def swapped_t(differences: np.ndarray, clusters: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Differences (B, V) under each swap, the first of nothing -> |t| (B, V), and the variance (V,) of the first.

    clusters: (V,) how many have a part in each. Over the swaps of C clusters the mean square is the sum of the squares
    of what each contributes; C times it, less the square of the difference, is C - 1 times the variance of the
    difference as that swap has it. NaN differences have t = 0.
    """
    squares = np.nan_to_num(np.round(differences, 12)) ** 2
    mean, count = squares.mean(0), np.maximum(clusters, 2)
    variances = np.maximum((count * mean - squares) / (count - 1), np.where(mean > 0, _LEAST * mean, 1.0))
    return np.sqrt(squares / variances), variances[0]


def with_seeds(
    difference: np.ndarray, variance: np.ndarray, clusters: np.ndarray, seeds: Seeds
) -> np.ndarray:
    """(V,) |t| with the seeds' part in the standard error, on the scale of `swapped_t`, where it is never larger.

    The degrees of freedom are Welch's, at most those of the clusters; the quotient that has the same probability with
    those of the clusters is returned.

    >>> one = np.ones(1)
    >>> with_seeds(3 * one, one, 10 * one, [(0 * one, 5)]).round(6).tolist()
    [3.0]
    >>> with_seeds(3 * one, one, 10 * one, [(one, 5)]).round(2).tolist()
    [2.12]
    """
    own = np.maximum(clusters, 2) - 1
    total, squares = variance.copy(), variance**2 / own
    for part, count in seeds:
        total, squares = total + part, squares + part**2 / max(count - 1, 1)
    t = np.abs(np.nan_to_num(difference)) / np.sqrt(total)
    freedom = np.minimum(own, total**2 / squares)
    moved = stats.t.isf(np.maximum(stats.t.sf(t, freedom), 1e-300), own)
    result: np.ndarray = np.where(total > variance, moved, t)
    return result


def own_p(swapped: np.ndarray, observed: np.ndarray) -> np.ndarray:
    """(V,) p of each difference by itself, from |t| (B, V) under the swaps and (V,) as observed."""
    result: np.ndarray = (swapped >= observed * (1 - _EQUAL)).mean(0)
    return result


def family_p(swapped: np.ndarray, observed: np.ndarray) -> np.ndarray:
    """(V,) p of each difference, corrected for all V: how often the largest |t| of the family is as large.

    Stepped down: once a difference is shown, those below it compete with one another only.

    >>> swapped = np.array([[3.0, 2.0], [1.0, 2.5], [2.0, 1.0], [0.5, 0.1]])
    >>> family_p(swapped, swapped[0]).tolist()
    [0.25, 0.5]
    """
    order = np.argsort(-observed, kind="stable")
    largest = np.maximum.accumulate(swapped[:, order[::-1]], axis=1)[:, ::-1]
    out = np.empty(len(observed))
    out[order] = np.maximum.accumulate(own_p(largest, observed[order]))
    return out
