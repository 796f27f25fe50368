"""Two methods on the same utterances: is there a difference that the data carry?

Where more than two methods are compared, p-values are corrected by Holm's procedure over all that a claim has to
beat: 'A is better than B' belongs to the family of A's comparisons with every other method, one family a metric
and row. Each condition is a question of its own; nothing is corrected over them.
"""

from collections.abc import Iterable, Mapping
from itertools import combinations
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from cmarr.errors import UserError
from cmarr.evaluation.resampling import EXACT_UP_TO, RESAMPLES, bootstrap, holm, interval, swap_p_values
from cmarr.evaluation.scores import ERRORS, metrics_of
from cmarr.evaluation.sufficient_statistics import (
    ROWS,
    SEVEN,
    Axis,
    SufficientStatistics,
    gather,
    sufficient_statistics,
)
from cmarr.evaluation.summary import DIGITS, Frames
from cmarr.masks.protocols import FIXED
from cmarr.task import Task

ALPHA = 0.05

Comparisons: TypeAlias = Mapping[tuple[str, str], Mapping[str, Any]]
"""(first, second) -> their comparison, each pair once, see `compare`."""


def compare_all(frames: Mapping[str, Frames], task: Task) -> dict[tuple[str, str], dict[str, Any]]:
    """Every pair of methods, in their order -> `compare`, with `p_holm` and `shown` corrected over the pairs.

    Raises UserError when two methods did not answer the same utterances.
    """
    return corrected(compare_pairs(frames, combinations(frames, 2), task))


def corrected(comparisons: Comparisons) -> dict[tuple[str, str], dict[str, Any]]:
    """The comparisons with `p_holm` over the better method's comparisons with all others, and `shown` by it."""
    out = {pair: {key: dict(cells) for key, cells in found.items()} for pair, found in comparisons.items()}
    for metric in {key for found in comparisons.values() for key in found} - {"meta"}:
        for row in ROWS:
            cells = {pair: found[metric][row] for pair, found in comparisons.items()}
            known = {pair: cell for pair, cell in cells.items() if cell["difference"] is not None}
            for pair, cell in known.items():
                family = [other for other in known if _better(metric, pair, cell) in other]
                p = holm([known[other]["p"] for other in family])[family.index(pair)]
                out[pair][metric][row] = cell | _verdict(
                    metric, cell["difference"], cell["lo"], cell["hi"], p
                )
    return out


def compare(first: Frames, second: Frames, task: Task, **options: Any) -> dict[str, Any]:
    """Metric -> row -> {difference, lo, hi, p, p_holm, shown}: first minus second, as fractions, or None.

    Rows are the conditions and their averages; with another `axis` the levels of a protocol, say. Options: those of
    `compare_pairs`.

    lo, hi: 95 % interval of the paired difference, clusters resampled. p: two-sided permutation test that
    swaps whole clusters between the methods, exact up to twelve clusters. p_holm: the same, where this is the only
    comparison (see `compare_all`). shown: 1 when the first is better, -1 when the second is, 0 when the interval
    holds zero or p_holm is not below 0.05: no difference is shown.

    A method with one seed (a deterministic one) is compared with each seed of the other.
    Raises UserError when the two did not answer the same utterances.
    """
    return compare_pairs({"first": first, "second": second}, [("first", "second")], task, **options)[
        "first", "second"
    ]


def compare_pairs(
    frames: Mapping[str, Frames],
    pairs: Iterable[tuple[str, str]],
    task: Task,
    *,
    protocol: str = FIXED,
    axis: Axis = SEVEN,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[tuple[str, str], dict[str, Any]]:
    """Each of the pairs -> `compare` of its two, what only one of them needs computed once for all its pairs."""
    sides = {
        name: _Side(gather(own, task, protocol), task, axis, resamples, seed) for name, own in frames.items()
    }
    return {(a, b): _compare(sides[a], sides[b]) for a, b in pairs}


class _Side:
    """The answers of one method, as far as they can be resampled without those of another."""

    def __init__(self, frame: pd.DataFrame, task: Task, axis: Axis, resamples: int, seed: int) -> None:
        self.frame, self.task, self.axis, self.resamples, self.seed = frame, task, axis, resamples, seed
        self.statistics = sufficient_statistics(frame, task, axis)
        self._resampled: dict[int, np.ndarray] = {}

    def with_seeds(self, count: int) -> SufficientStatistics:
        """The statistics, a single seed repeated so that it stands beside each of the other's."""
        return self.statistics if len(self.statistics.seeds) == count else self.statistics.for_seeds(count)

    def resampled(self, count: int) -> np.ndarray:
        """(metrics * rows, resamples) the scores of `with_seeds(count)`, clusters resampled."""
        if count not in self._resampled:
            statistics = self.with_seeds(count)
            self._resampled[count] = bootstrap(
                lambda weights: statistics.drawn(weights).reshape(len(weights), -1),
                len(statistics.clusters),
                resamples=self.resamples,
                seed=self.seed,
            )
        return self._resampled[count]


def _compare(a: _Side, b: _Side) -> dict[str, Any]:
    task, axis = a.task, a.axis
    _same_utterances(a.frame, b.frame, axis)
    seeds = _same_seeds(a.statistics, b.statistics)
    one, two = a.with_seeds(seeds), b.with_seeds(seeds)
    n = len(one.clusters)
    stay = np.zeros((1, n))
    whole = one.totals(1 - stay) + two.totals(1 - stay)

    def swapped(swaps: np.ndarray) -> np.ndarray:
        left = one.totals(1 - swaps) + two.totals(swaps)
        result: np.ndarray = (one.headline(left) - one.headline(whole - left)).reshape(len(swaps), -1)
        return result

    observed = (one.drawn(1 - stay) - two.drawn(1 - stay)).reshape(-1)
    lo, hi = interval(a.resampled(seeds) - b.resampled(seeds), n)
    p = swap_p_values(swapped, n, seed=a.seed)

    out: dict[str, Any] = {}
    for m, metric in enumerate(metrics_of(task)):
        out[metric] = {}
        for r, row in enumerate(axis.rows):
            at = m * len(axis.rows) + r
            out[metric][row] = _cell(metric, observed[at], lo[at], hi[at], p[at])
    out["meta"] = {"clusters": n, "exact": n <= EXACT_UP_TO}
    return out


def turned(cell: Mapping[str, Any]) -> dict[str, Any]:
    """The cell of the same comparison, second minus first."""
    back = {k: None if cell[k] is None else -cell[k] for k in ("difference", "lo", "hi", "shown")}
    return {**cell, **back, "lo": back["hi"], "hi": back["lo"]}


def _cell(metric: str, difference: float, lo: float, hi: float, p: float) -> dict[str, Any]:
    if np.isnan(difference):
        return {"difference": None, "lo": None, "hi": None, "p": None, "p_holm": None, "shown": 0}
    below, above = (None if np.isnan(x) else round(float(x), DIGITS) for x in (lo, hi))
    found = {
        "difference": round(float(difference), DIGITS),
        "lo": below,
        "hi": above,
        "p": round(float(p), DIGITS),
    }
    return found | _verdict(metric, difference, below, above, p)


def _verdict(
    metric: str, difference: float, lo: float | None, hi: float | None, p: float
) -> dict[str, float | int]:
    carried = lo is not None and hi is not None and (lo > 0 or hi < 0) and p < ALPHA
    better = -np.sign(difference) if metric in ERRORS else np.sign(difference)
    return {"p_holm": round(float(p), DIGITS), "shown": int(better) if carried else 0}


def _better(metric: str, pair: tuple[str, str], cell: Mapping[str, Any]) -> str:
    """The one of two methods that scored better, shown or not."""
    return pair[(cell["difference"] > 0) == (metric in ERRORS)]


def _same_utterances(a: pd.DataFrame, b: pd.DataFrame, axis: Axis) -> None:
    keys = ["fold", "id", axis.column]
    told = ["cluster", "label", "n_usable"]
    left, right = (x.drop_duplicates(keys).set_index(keys)[told].sort_index() for x in (a, b))
    if not left.index.equals(right.index):
        odd = left.index.symmetric_difference(right.index)[0]
        raise UserError(
            f"fold {odd[0]}, utterance {odd[1]}, {axis.column} {odd[2]} was answered by one method only; "
            "evaluate both on the same folds"
        )
    other = (left != right).any(axis=1)
    if other.any():
        fold, name, row = left.index[other][0]
        raise UserError(
            f"fold {fold}, utterance {name}, {axis.column} {row}: the two methods disagree about its "
            "cluster, label or usable modalities; evaluate both on the same manifest and features"
        )


def _same_seeds(one: SufficientStatistics, two: SufficientStatistics) -> int:
    """How many seeds are compared; a single seed stands beside each of the other's. Raises UserError for others."""
    counts = len(one.seeds), len(two.seeds)
    if counts[0] != counts[1] and min(counts) > 1:
        raise UserError(
            f"one method has {counts[0]} seeds, the other {counts[1]}; compare runs with equal numbers"
        )
    return max(counts)
