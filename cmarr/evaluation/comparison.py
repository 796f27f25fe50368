"""Two methods on the same utterances: is there a difference that the data carry?

A difference is shown when its own 95 % interval excludes zero and its p, corrected for all that stands in the same
table, is below 0.05: for all pairs, all rows and the metrics of the table together (`cmarr.evaluation.max_t`). With
equally good methods one table in twenty shows anything at all.

Training is part of chance: with several seeds, interval and test take them in, crossed with the clusters, those of
each method by themselves, and the verdict is about the methods. With one seed it is about the trained models.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import combinations
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import pandas as pd

from cmarr.errors import UserError
from cmarr.evaluation.max_t import family_p, own_p, swapped_t, with_seeds
from cmarr.evaluation.predictions import normalised_by, privileges_of
from cmarr.evaluation.resampling import EXACT_UP_TO, RESAMPLES, interval, over_seeds, seed_variance, swaps
from cmarr.evaluation.scores import ERRORS, metrics_of, tables
from cmarr.evaluation.sufficient_statistics import (
    SEVEN,
    Axis,
    SufficientStatistics,
    gather,
    sufficient_statistics,
)
from cmarr.evaluation.summary import DIGITS, Frames, resampled
from cmarr.folds.privileges import told
from cmarr.masks.protocols import FIXED
from cmarr.task import Task

ALPHA = 0.05
METHODS, MODELS = "methods", "models"
"""What a verdict is about: methods, whatever seed they are trained with, or the models of a single seed."""

Comparisons: TypeAlias = Mapping[tuple[str, str], Mapping[str, Any]]
"""(first, second) -> their comparison, each pair once, see `compare`."""


def compare_all(
    frames: Mapping[str, Frames], task: Task, **options: Any
) -> dict[tuple[str, str], dict[str, Any]]:
    """Every pair of methods, in their order -> `compare`, corrected over all pairs; options as there.

    Raises UserError when two methods did not answer the same utterances.
    """
    return compare_pairs(frames, combinations(frames, 2), task, **options)


def compare(first: Frames, second: Frames, task: Task, **options: Any) -> dict[str, Any]:
    """Metric -> row -> {difference, lo, hi, p, p_table, shown, of}: first minus second, as fractions, or None.

    Rows are the conditions and their averages; with another `axis` the levels of a protocol, say. Options: those of
    `compare_pairs`.

    lo, hi: 95 % interval of the paired difference, clusters and seeds resampled. p: two-sided test that swaps whole
    clusters between the methods, every way of it up to twelve clusters; the seeds' variance makes it larger.
    p_table: corrected over all rows, pairs and metrics of the table. shown: 1 when the first is better, -1 when the
    second is, 0 when the interval holds zero or p_table is not below 0.05: no difference is shown. of: `METHODS`
    where each has several seeds, or `MODELS`.

    A method with one seed stands beside each seed of the other.
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
    deterministic: Collection[str] = (),
    same_models: bool = False,
    privileged: bool = False,
) -> dict[tuple[str, str], dict[str, Any]]:
    """Each of the pairs -> `compare` of its two, what only one of them needs computed once; they are one table.

    deterministic: the methods that give the same model with every seed. same_models: the frames are answers of the
    same trained models, so that a seed of one belongs to that seed of the other. privileged: what privileges are worth
    is measured; without it, whoever had some is refused.
    """
    for name in () if privileged else frames:
        if taken := privileges_of(frames[name]):
            raise UserError(
                f"{name} is {told(taken)}: it is compared with nothing but the same method without them"
            )
    gathered, pairs = {name: gather(own, protocol) for name, own in frames.items()}, list(pairs)
    for a, b in pairs:
        _normalised_alike(frames[a], frames[b])
        _same_utterances(gathered[a], gathered[b], axis)
    statistics = {name: sufficient_statistics(frame, task, axis) for name, frame in gathered.items()}
    return compare_statistics(
        statistics,
        pairs,
        resamples=resamples,
        seed=seed,
        deterministic=deterministic,
        same_models=same_models,
    )


def compare_gains(
    frames: Mapping[str, Frames], first: tuple[str, str], second: tuple[str, str], task: Task
) -> dict[str, dict[Any, dict[str, Any]]]:
    """Metric -> row -> {difference, lo, hi} of (a minus b) minus (c minus d): how much larger one gain is than another.

    first, second: (a, b) and (c, d), names of `frames`, whose seeds belong together in pairs. The interval is that of
    `compare`; nothing is tested.
    """
    sides = {
        name: _Side(sufficient_statistics(gather(own, FIXED), task, SEVEN), RESAMPLES, 0)
        for name, own in frames.items()
    }
    a, b, c, d = (sides[name] for name in (*first, *second))
    gains = (a.by_seed - b.by_seed, c.by_seed - d.by_seed)
    drawn = [own.resampled(len(own.statistics.seeds)) for own in (a, b, c, d)]
    difference = np.subtract(*(own.mean(0) for own in gains))
    bounds = interval(drawn[0] - drawn[1] - drawn[2] + drawn[3], len(a.statistics.clusters))
    lo, hi = over_seeds(*bounds, difference, [seed_variance(own) for own in gains])
    metrics, rows = metrics_of(task), a.statistics.axis.rows
    found = np.stack((difference, lo, hi), 1).reshape(len(metrics), len(rows), 3)
    return {
        metric: {row: _rounded(("difference", "lo", "hi"), own) for row, own in zip(rows, cells, strict=True)}
        for metric, cells in zip(metrics, found.tolist(), strict=True)
    }


def _rounded(names: Sequence[str], numbers: Sequence[float]) -> dict[str, float | None]:
    """By their names, None for NaN."""
    return {name: None if np.isnan(x) else round(x, DIGITS) for name, x in zip(names, numbers, strict=True)}


def _normalised_alike(first: Frames, second: Frames) -> None:
    one, other = normalised_by(first), normalised_by(second)
    if one != other:
        raise UserError(
            f"the features of one are normalised by {one}, those of the other by {other}: with `normalise: speaker` a "
            "model sees unlabelled clips of the speakers that it is tested on; compare what is normalised alike"
        )


def compare_statistics(
    statistics: Mapping[str, SufficientStatistics],
    pairs: Sequence[tuple[str, str]],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
    deterministic: Collection[str] = (),
    same_models: bool = False,
) -> dict[tuple[str, str], dict[str, Any]]:
    """`compare_pairs` of what predictions were summed up to, of the same utterances."""
    sides = {name: _Side(own, resamples, seed) for name, own in statistics.items()}
    found = {(a, b): _Pair(sides[a], sides[b], same_models) for a, b in pairs}
    corrected = _corrected(found)
    once = {name for name, own in statistics.items() if len(own.seeds) == 1 and name not in deterministic}
    return {
        pair: own.cells(corrected[pair], MODELS if once.intersection(pair) else METHODS)
        for pair, own in found.items()
    }


def _corrected(found: Mapping[tuple[str, str], "_Pair"]) -> dict[tuple[str, str], np.ndarray]:
    """Pair -> (metrics, rows) p, corrected over a table: its metrics, all pairs, all rows; NaN where there is none."""
    if not found:
        return {}
    task, axis = (getattr(next(iter(found.values())).a.statistics, name) for name in ("task", "axis"))
    shape = len(metrics_of(task)), len(axis.rows)
    out = {pair: np.full(shape, np.nan) for pair in found}
    for table in tables(task):
        at = [metrics_of(task).index(metric) for metric in table]
        known = {
            pair: np.isin(np.arange(shape[0]), at)[:, None] & ~np.isnan(own.difference.reshape(shape))
            for pair, own in found.items()
        }
        if not any(where.any() for where in known.values()):
            continue
        swapped = np.concatenate(
            [found[pair].swapped[:, where.ravel()] for pair, where in known.items()], axis=1
        )
        observed = np.concatenate([found[pair].observed[where.ravel()] for pair, where in known.items()])
        p = np.split(family_p(swapped, observed), np.cumsum([where.sum() for where in known.values()])[:-1])
        for (pair, where), own in zip(known.items(), p, strict=True):
            out[pair][where] = own
    return out


class _Side:
    """The answers of one method, as far as they can be resampled without those of another."""

    def __init__(self, statistics: SufficientStatistics, resamples: int, seed: int) -> None:
        self.statistics, self.resamples, self.seed = statistics, resamples, seed
        self.by_seed = self.statistics.by_seed().reshape(len(self.statistics.seeds), -1)
        self._resampled: dict[int, np.ndarray] = {}

    def with_seeds(self, count: int) -> SufficientStatistics:
        """The statistics, a single seed repeated so that it stands beside each of the other's."""
        return self.statistics if len(self.statistics.seeds) == count else self.statistics.for_seeds(count)

    def resampled(self, count: int) -> np.ndarray:
        """(metrics * rows, resamples) the scores of `with_seeds(count)`, clusters resampled."""
        if count not in self._resampled:
            self._resampled[count] = resampled(
                self.with_seeds(count), resamples=self.resamples, seed=self.seed
            )
        return self._resampled[count]


class _Pair:
    """The differences (V = metrics * rows,) of two sides, their intervals, and |t| as observed and under each swap."""

    def __init__(self, a: _Side, b: _Side, same_models: bool) -> None:
        seeds = _same_seeds(a.statistics, b.statistics)
        self.a, self.n = a, len(a.statistics.clusters)
        one, two = a.with_seeds(seeds), b.with_seeds(seeds)
        under = one.swapped(two, swaps(self.n, seed=a.seed)).reshape(-1, a.by_seed.shape[1])
        by_seed = (a.by_seed - b.by_seed,) if same_models else (a.by_seed, b.by_seed)
        parts = [seed_variance(own) for own in by_seed]
        clusters = np.tile(one.clusters_of(), len(metrics_of(one.task)))
        self.difference = under[0]
        self.swapped, variance = swapped_t(under, clusters)
        self.observed = with_seeds(self.difference, variance, clusters, parts)
        bounds = interval(a.resampled(seeds) - b.resampled(seeds), self.n)
        self.lo, self.hi = over_seeds(*bounds, self.difference, parts)

    def cells(self, corrected: np.ndarray, of: str) -> dict[str, Any]:
        """Metric -> row -> cell, and 'meta'."""
        p = np.where(self.n > 1, own_p(self.swapped, self.observed), 1.0)
        corrected = corrected if self.n > 1 else np.ones_like(corrected)
        bounds = zip(self.difference, self.lo, self.hi, p, corrected.ravel(), strict=True)
        found = [_Numbers(*map(float, numbers)) for numbers in bounds]
        rows, out = self.a.statistics.axis.rows, dict[str, Any]()
        for m, metric in enumerate(metrics_of(self.a.statistics.task)):
            own = found[m * len(rows) : (m + 1) * len(rows)]
            out[metric] = {
                row: _cell(metric, numbers) | {"of": of} for row, numbers in zip(rows, own, strict=True)
            }
        out["meta"] = {"clusters": self.n, "exact": self.n <= EXACT_UP_TO, "of": of}
        return out


def turned(cell: Mapping[str, Any]) -> dict[str, Any]:
    """The cell of the same comparison, second minus first."""
    back = {k: None if cell[k] is None else -cell[k] for k in ("difference", "lo", "hi", "shown")}
    return {**cell, **back, "lo": back["hi"], "hi": back["lo"]}


class _Numbers(NamedTuple):
    """What a cell holds, NaN where there is no number."""

    difference: float
    lo: float
    hi: float
    p: float
    p_table: float


def _cell(metric: str, numbers: _Numbers) -> dict[str, Any]:
    if np.isnan(numbers.difference):
        return dict.fromkeys(_Numbers._fields) | {"shown": 0}
    found = _rounded(_Numbers._fields, numbers)
    lo, hi, p = (found[k] for k in ("lo", "hi", "p_table"))
    carried = lo is not None and hi is not None and (lo > 0 or hi < 0) and p is not None and p < ALPHA
    better = -np.sign(numbers.difference) if metric in ERRORS else np.sign(numbers.difference)
    return found | {"shown": int(better) if carried else 0}


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
