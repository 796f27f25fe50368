"""What is drawn anew: clusters (a bootstrap on SciPy), what seeds add to it, and which clusters are swapped.

Utterances of one speaker resemble each other, so whole clusters are drawn or swapped, the same ones in every
fold, seed and condition. SciPy draws the clusters; the statistic sees them as weights. Trainings with another seed
come out differently: seeds, those of each method by themselves, have a part in an interval, crossed with the clusters.
"""

import warnings
from collections.abc import Callable, Sequence
from typing import TypeAlias

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
    statistic: Statistic, n_clusters: int, *, resamples: int = RESAMPLES
) -> tuple[np.ndarray, np.ndarray]:
    """Interval (lo, hi), each (V,), of a statistic when clusters are drawn with replacement, over all folds.

    See `interval`. NaN throughout for fewer than two clusters.
    """
    return interval(bootstrap(statistic, n_clusters, resamples=resamples), n_clusters)


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


def interval(drawn: np.ndarray, n_clusters: int) -> tuple[np.ndarray, np.ndarray]:
    """Bounds (lo, hi), each (V,), of what `bootstrap` gave.

    Percentiles, taken further out the fewer clusters there are (`tail`): the plain ones are too narrow then.
    A value that a resample does not define (NaN) is left out.
    """
    lo, hi = np.full((2, len(drawn)), np.nan)
    if n_clusters < 2:
        return lo, hi
    out = 100 * tail(n_clusters)
    known = ~np.isnan(drawn).all(1)
    percentile = np.nanpercentile if np.isnan(drawn[known]).any() else np.percentile  # a tenth of the time
    lo[known], hi[known] = percentile(drawn[known], [out, 100 - out], axis=1)
    return lo, hi


def tail(n_clusters: int) -> float:
    """Share of the resamples beyond each bound: the expanded percentile interval of Hesterberg (2015).

    A bootstrap of n draws has a variance too small by (n - 1) / n and normal instead of Student's tails; both are put
    back. For ten clusters 0.9 % instead of 2.5 %, for a thousand the same.

    >>> round(tail(10), 4), round(tail(1000), 3)
    (0.0086, 0.025)
    """
    student = stats.t.ppf((1 + LEVEL) / 2, n_clusters - 1)
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


def paired_difference(
    first: pd.DataFrame, second: pd.DataFrame, measure: str, keys: list[str]
) -> dict[str, float] | None:
    """The mean of a measure in the first's rows minus that in the second's of the same keys; None where none are.

    Returns difference, lo, hi: a 95 % interval, the first's `cluster`s drawn anew.
    """
    joined = first.merge(second, on=keys, suffixes=("", "_second"))
    if joined.empty:
        return None
    change = joined[measure] - joined[f"{measure}_second"]
    lo, hi = mean_interval(change, joined["cluster"])
    return {"difference": float(change.mean()), "lo": lo, "hi": hi}


def swaps(n_clusters: int, *, seed: int = 0) -> np.ndarray:
    """(B, C) which clusters are swapped between two methods, 1 where one is; the first row swaps none.

    Up to `EXACT_UP_TO` clusters every way, else `SWAPS` drawn ones. The first cluster stays: to swap all the others
    only turns the sign of a difference, so that B is 2^(C - 1).
    """
    if n_clusters <= EXACT_UP_TO:
        of_rest = np.arange(2 ** max(n_clusters - 1, 0))[:, None] >> np.arange(max(n_clusters - 1, 0))
        return np.pad(of_rest & 1, ((0, 0), (min(n_clusters, 1), 0))).astype(np.float64)
    drawn = np.random.default_rng(seed).integers(2, size=(SWAPS, n_clusters))
    return np.pad(drawn, ((1, 0), (0, 0))).astype(np.float64)


def smallest_p(n_clusters: int) -> float:
    """What no p of a test that swaps clusters falls below, however large the difference: only swapping none (or all) is
    as extreme as what was observed.

    >>> smallest_p(5)
    0.0625
    """
    return 1.0 if n_clusters < 2 else 1 / (2 ** (n_clusters - 1) if n_clusters <= EXACT_UP_TO else SWAPS + 1)


Seeds: TypeAlias = Sequence[tuple[np.ndarray, int]]
"""Variances (V,) that come from seeds, each with the number of seeds that it was estimated from."""


def seed_variance(by_seed: np.ndarray) -> tuple[np.ndarray, int]:
    """(S, V) the value of each seed's training -> (V,) the variance of their mean, and S; zero where there is one seed.

    >>> variance, seeds = seed_variance(np.array([[0.6], [0.8]]))
    >>> variance.round(4).tolist(), seeds
    ([0.01], 2)
    """
    count = len(by_seed)
    apart = np.nan_to_num(np.round(by_seed - by_seed.mean(0), 12))  # equal answers: nothing, not rounding
    return (apart**2).sum(0) / (max(count - 1, 1) * count), count


def over_seeds(
    lo: np.ndarray, hi: np.ndarray, value: np.ndarray, seeds: Seeds
) -> tuple[np.ndarray, np.ndarray]:
    """Bounds (V,) of a value over clusters -> over clusters and seeds, crossed.

    To the square of each bound's distance comes the seeds' variance times the square of Student's quantile for so many
    seeds: with two 12.7 standard errors, with five 2.8. That covers whatever share either has (Banerjee 1961). What a
    seed does to single clusters is in both parts: where that is much, the interval is rather too wide.

    >>> lo, hi = over_seeds(np.array([0.6]), np.array([0.8]), np.array([0.7]), [(np.array([0.0004]), 5)])
    >>> lo.round(3).tolist(), hi.round(3).tolist()
    ([0.586], [0.814])
    """
    more = sum(
        (stats.t.ppf((1 + LEVEL) / 2, count - 1) ** 2 * own for own, count in seeds if count > 1),
        start=0 * value,
    )
    return value - np.sqrt((value - lo) ** 2 + more), value + np.sqrt((hi - value) ** 2 + more)


def _counts(drawn: np.ndarray, n: int) -> np.ndarray:
    """(B, C) drawn cluster numbers -> (B, C) how often each cluster was drawn."""
    rows = np.arange(len(drawn))[:, None] * n
    return np.bincount((drawn + rows).ravel(), minlength=len(drawn) * n).reshape(-1, n)
