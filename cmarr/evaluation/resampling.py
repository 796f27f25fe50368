"""Cluster bootstrap and cluster-swap permutation, on SciPy.

Utterances of one speaker resemble each other, so whole clusters are drawn or swapped, the same ones in every
fold, seed and condition. SciPy draws the clusters; the statistic sees them as weights.
"""

import warnings
from collections.abc import Callable

import numpy as np
import pandas as pd
from scipy import stats

RESAMPLES = 2000
"""Bootstrap resamples behind an interval."""
LEVEL = 0.95
EXACT_UP_TO = 12
"""Up to this many clusters every one of the 2^C swaps is tried; beyond, `SWAPS` random ones."""
SWAPS = 4999
_BATCH = 250

Statistic = Callable[[np.ndarray], np.ndarray]
"""(B, C) weights of the clusters -> (B, V) values."""


def bootstrap_interval(
    statistic: Statistic, n_clusters: int, *, resamples: int = RESAMPLES, level: float = LEVEL, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Interval (lo, hi), each (V,), of a statistic when clusters are drawn with replacement, over all folds.

    See `interval`. NaN throughout for fewer than two clusters.
    """
    return interval(bootstrap(statistic, n_clusters, resamples=resamples, seed=seed), n_clusters, level=level)


def bootstrap(
    statistic: Statistic, n_clusters: int, *, resamples: int = RESAMPLES, seed: int = 0
) -> np.ndarray:
    """The statistic (V, resamples) when clusters are drawn with replacement, over all folds.

    The same clusters are drawn for whatever statistic: those of two methods can be taken from one another.
    NaN throughout for fewer than two clusters.
    """
    if n_clusters < 2:
        return np.full((statistic(np.ones((1, n_clusters))).shape[1], 1), np.nan)

    def of_draws(drawn: np.ndarray, axis: int) -> np.ndarray:
        return statistic(_counts(drawn, n_clusters)).T  # (V, B): SciPy wants the resamples last

    with warnings.catch_warnings():
        # SciPy's own interval is not used: it gives up where one resample lacks a value.
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)
        result: np.ndarray = stats.bootstrap(
            (np.arange(n_clusters),),
            of_draws,
            n_resamples=resamples,
            batch=_BATCH,
            vectorized=True,
            method="percentile",
            rng=np.random.default_rng(seed),
        ).bootstrap_distribution
        return result


def interval(drawn: np.ndarray, n_clusters: int, *, level: float = LEVEL) -> tuple[np.ndarray, np.ndarray]:
    """Bounds (lo, hi), each (V,), of what `bootstrap` gave.

    Percentiles, taken further out the fewer clusters there are (`tail`): the plain ones are too narrow then.
    A value that a resample does not define (NaN) is left out.
    """
    lo, hi = np.full((2, len(drawn)), np.nan)
    if n_clusters < 2:
        return lo, hi
    out = 100 * tail(n_clusters, level)
    known = ~np.isnan(drawn).all(1)
    lo[known], hi[known] = np.nanpercentile(drawn[known], [out, 100 - out], axis=1)
    return lo, hi


def tail(n_clusters: int, level: float = LEVEL) -> float:
    """Share of the resamples beyond each bound: the expanded percentile interval of Hesterberg (2015).

    A bootstrap of n draws has a variance too small by (n - 1) / n and normal instead of Student's tails; both are put
    back. For ten clusters 0.9 % instead of 2.5 %, for a thousand the same.

    >>> round(tail(10), 4), round(tail(1000), 3)
    (0.0086, 0.025)
    """
    student = stats.t.ppf((1 + level) / 2, n_clusters - 1)
    return float(stats.norm.sf(student * (n_clusters / (n_clusters - 1)) ** 0.5))


def mean_interval(values: pd.Series, clusters: pd.Series) -> tuple[float, float]:
    """95 % interval of the mean of values, one an utterance, whose clusters are drawn anew.

    >>> mean_interval(pd.Series([1.0, 1.0, 1.0]), pd.Series(["a", "b", "b"]))
    (1.0, 1.0)
    """
    names, codes = np.unique(clusters.to_numpy(), return_inverse=True)
    sums, counts = np.bincount(codes, values, len(names)), np.bincount(codes, minlength=len(names))

    def mean(weights: np.ndarray) -> np.ndarray:
        result: np.ndarray = ((weights * sums).sum(1) / (weights * counts).sum(1))[:, None]
        return result

    lo, hi = bootstrap_interval(mean, len(names))
    return float(lo[0]), float(hi[0])


def swap_p_values(statistic: Statistic, n_clusters: int, *, seed: int = 0) -> np.ndarray:
    """Two-sided p (V,) of a paired difference when each cluster's two methods are swapped or not.

    `statistic` gets (B, C) swaps, 1 where a cluster is swapped. Exact up to `EXACT_UP_TO` clusters. A value
    that is NaN as observed has p NaN; with fewer than two clusters every other p is 1.
    """
    observed = _rounded(statistic(np.zeros((1, n_clusters))))[0]
    if n_clusters < 2:  # swapping everything only turns the sign: nothing can be told
        return np.where(np.isnan(observed), np.nan, 1.0)

    def of_swaps(first: np.ndarray, second: np.ndarray, axis: int) -> np.ndarray:
        swapped = np.atleast_2d(first) >= n_clusters
        values = _rounded(statistic(swapped.astype(np.float64)))
        return values if first.ndim > 1 else values[0]

    exact = n_clusters <= EXACT_UP_TO
    p = stats.permutation_test(
        (np.arange(n_clusters), np.arange(n_clusters, 2 * n_clusters)),
        of_swaps,
        permutation_type="samples",
        vectorized=True,
        n_resamples=2**EXACT_UP_TO if exact else SWAPS,
        batch=_BATCH,
        rng=np.random.default_rng(seed),
    ).pvalue
    return np.where(np.isnan(observed), np.nan, p)


def smallest_p(n_clusters: int, comparisons: int = 1) -> float:
    """What no p of `swap_p_values` falls below, however large the difference, Holm-corrected over `comparisons`.

    Of C clusters 2 of the 2^C swaps are at least as extreme as what was observed: nothing swapped, and all of them.

    >>> smallest_p(5)
    0.0625
    """
    if n_clusters < 2:
        return 1.0
    tried = 2**n_clusters if n_clusters <= EXACT_UP_TO else SWAPS + 1
    return min(1.0, comparisons * 2 / tried)


def holm(p_values: list[float]) -> list[float]:
    """Holm's step-down correction of a family of p-values, in the given order.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    order = np.argsort(p_values, kind="stable")
    adjusted = np.asarray(p_values, np.float64)[order] * np.arange(len(p_values), 0, -1)
    out = np.empty(len(p_values))
    out[order] = np.minimum(np.maximum.accumulate(adjusted), 1.0)
    return [float(p) for p in out]


def _counts(drawn: np.ndarray, n: int) -> np.ndarray:
    """(B, C) drawn cluster numbers -> (B, C) how often each cluster was drawn."""
    rows = np.arange(len(drawn))[:, None] * n
    return np.bincount((drawn + rows).ravel(), minlength=len(drawn) * n).reshape(-1, n)


def _rounded(values: np.ndarray) -> np.ndarray:
    """Equal differences must compare equal whatever the order of the additions behind them."""
    return np.round(values, 12)
