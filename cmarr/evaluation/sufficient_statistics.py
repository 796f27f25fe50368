"""Sums per cluster that are enough to compute every metric again, for thousands of resamples at once.

A bootstrap draws clusters with replacement; a permutation test swaps clusters between two methods. Both only
re-weight what each cluster contributes, and every metric of `scores` is a function of sums over utterances:
confusion counts, or the moments of truth and answer. `scores` gives the printed numbers, this module their
spread; a test holds the two together.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from cmarr.errors import UserError
from cmarr.evaluation.scores import binary_weighted_f1, predicted, steps
from cmarr.masks.protocols import FIXED
from cmarr.modalities import COMPLETE, CONDITIONS, INCOMPLETE
from cmarr.task import Task

AVERAGES = {"avg6": INCOMPLETE, "avg7": CONDITIONS}
"""Name of an average -> the conditions whose scores it averages, as far as they can be met."""
ROWS = (*INCOMPLETE, "avg6", COMPLETE, "avg7")
"""Conditions and averages in the order of the papers' tables."""


@dataclass(frozen=True)
class Axis:
    """What a table has rows of: the P `values` of a column of the predictions, and averages of some of them.

    rows: values and averages in the order of the table.
    """

    column: str
    values: tuple[Any, ...]
    averages: Mapping[str, tuple[Any, ...]]
    rows: tuple[Any, ...]


SEVEN = Axis("condition", CONDITIONS, AVERAGES, ROWS)
"""The papers' table."""


def levels(values: Sequence[float]) -> Axis:
    """The levels of a protocol, whatever each utterance has left at a level."""
    return Axis("level", tuple(values), {}, tuple(values))


@dataclass(frozen=True)
class SufficientStatistics:
    """Sums (F, S, P, C, M) over the utterances of a fold, seed, condition (or level) and cluster.

    `met` (F, P) says in which folds a condition can be met; M sums suffice for the task's metrics.
    """

    sums: np.ndarray
    met: np.ndarray
    folds: tuple[int, ...]
    seeds: tuple[int, ...]
    clusters: tuple[str, ...]
    task: Task
    axis: Axis = SEVEN

    def headline(self, weights: np.ndarray, folds: np.ndarray | None = None) -> np.ndarray:
        """(B, metrics, rows) scores when cluster c counts `weights[b, c]` times, rows as in `axis`; NaN is no number.

        Mean over folds and seeds; an average is that of the conditions that can be met. folds: (B, F, P), how
        often each fold counts; None: all once.
        """
        mean = _MeanOverFolds()
        for fold in range(len(self.sums)):
            ways, which = self._ways(fold, weights)
            found = mean_of_known(self._metrics(fold, self._totals(fold, ways)), 1)
            mean.add(found[..., which], None if folds is None else folds[:, fold].T)
        return self._rows(mean.value())

    def drawn(self, weights: np.ndarray) -> np.ndarray:
        """`headline` (B, metrics, rows) of resamples in which cluster c is drawn `weights[b, c]` times.

        A fold counts as often as its clusters are drawn: where every fold has one speaker, a resample's mean over
        folds is then its mean over speakers. Counted once each, folds would hide how often they were drawn, and the
        intervals would be up to a quarter too narrow.
        """
        present = self.sums.any(axis=(1, 4)).astype(np.float64)  # (F, P, C)
        share = present / np.maximum(present.sum(-1, keepdims=True), 1)
        return self.headline(weights, np.einsum("bc,fpc->bfp", weights.astype(np.float64), share))

    def by_seed(self) -> np.ndarray:
        """(S, metrics, rows) `headline` of each seed's trainings."""
        once, mean = np.ones((1, len(self.clusters))), _MeanOverFolds()
        for fold in range(len(self.sums)):
            mean.add(self._metrics(fold, self._totals(fold, once))[..., 0])  # (metrics, S, P)
        return self._rows(mean.value().swapaxes(1, 2))

    def swapped(self, other: "SufficientStatistics", swaps: np.ndarray) -> np.ndarray:
        """(B, metrics, rows) `headline` minus the other's, where the two have swapped what cluster c says in the rows
        b in which `swaps[b, c]` is 1."""
        mean = _MeanOverFolds()
        for fold in range(len(self.sums)):
            ways, which = self._ways(fold, swaps)
            ours = self._totals(fold, 1 - ways) + other._totals(fold, ways)
            theirs = self._totals(fold, ways) + other._totals(fold, 1 - ways)
            found = mean_of_known(self._metrics(fold, ours) - self._metrics(fold, theirs), 1)
            mean.add(found[..., which])
        return self._rows(mean.value())

    def _ways(self, fold: int, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The different weights (U, C) of the clusters that a fold has, and which of them (B,) each row has.

        Of the thousands of rows only so many differ in what they make of a fold's few clusters.
        """
        here = np.flatnonzero(self.sums[fold].any(axis=(0, 1, 3)))
        own, which = np.unique(weights[:, here], axis=0, return_inverse=True)
        ways = np.zeros((len(own), weights.shape[1]))
        ways[:, here] = own
        return ways, which.reshape(-1)

    def _totals(self, fold: int, weights: np.ndarray) -> np.ndarray:
        """(M, S, P, U) sums of a fold when cluster c counts `weights[u, c]` times."""
        # einsum's own loops add in a fixed order; a BLAS product may differ by thread count.
        flat = self.sums[fold].transpose(3, 0, 1, 2).reshape(-1, len(self.clusters))
        found: np.ndarray = np.einsum("mc,uc->mu", flat, weights)
        return found.reshape(-1, *self.sums.shape[1:3], len(weights))

    def _metrics(self, fold: int, totals: np.ndarray) -> np.ndarray:
        """(metrics, S, P, U) scores of a fold from its totals; NaN under a condition that it cannot meet."""
        totals = np.where(self.met[fold][None, None, :, None], totals, np.nan)
        found: np.ndarray = (_regression if self.task.regression else _classification)(totals)
        return found

    def _rows(self, per_condition: np.ndarray) -> np.ndarray:
        """(metrics, P, B) -> (B, metrics, rows)."""
        rows = dict(zip(self.axis.values, per_condition.swapaxes(0, 1), strict=True))
        for name, members in self.axis.averages.items():
            # Not a mean of what is known: a resample that lacks one condition gives no average.
            kept = [rows[c] for c in self.reported if c in members]
            rows[name] = np.mean(kept, axis=0) if kept else np.full_like(per_condition[:, 0], np.nan)
        result: np.ndarray = np.stack([rows[name] for name in self.axis.rows]).transpose(2, 1, 0)
        return result

    def clusters_of(self) -> np.ndarray:
        """(rows,) how many clusters have a part in each row."""
        there = self.sums.any(axis=(0, 1, 4)).reshape(-1, len(self.clusters))  # (P, C)
        present = dict(zip(self.axis.values, there, strict=True))
        return np.array(
            [
                np.any([present[c] for c in self.axis.averages.get(row, (row,))], axis=0).sum()
                for row in self.axis.rows
            ]
        )

    @property
    def reported(self) -> tuple[Any, ...]:
        """The conditions that at least one utterance can meet (the levels at which one has something left)."""
        return tuple(c for i, c in enumerate(self.axis.values) if self.met[:, i].any())

    def for_seeds(self, count: int) -> "SufficientStatistics":
        """The same with a single seed repeated `count` times."""
        return replace(self, sums=np.repeat(self.sums, count, axis=1), seeds=self.seeds * count)


class _MeanOverFolds:
    """A mean of arrays that leaves NaN out; NaN where nothing is left."""

    def __init__(self) -> None:
        self.sum: np.ndarray = np.zeros(())
        self.count: np.ndarray = np.zeros(())

    def add(self, values: np.ndarray, counts: np.ndarray | None = None) -> None:
        """One more, which counts so often (None: once)."""
        known = np.where(np.isnan(values), 0.0, 1.0 if counts is None else counts)
        self.sum = self.sum + known * np.where(np.isnan(values), 0.0, values)
        self.count = self.count + known

    def value(self) -> np.ndarray:
        """The mean."""
        with np.errstate(invalid="ignore", divide="ignore"):
            result: np.ndarray = self.sum / self.count
        return result


def mean_of_known(values: np.ndarray, axis: int) -> np.ndarray:
    """Mean along an axis leaving NaN out; NaN where nothing is left.

    >>> mean_of_known(np.array([1.0, np.nan, 3.0]), 0).tolist()
    2.0
    """
    known = np.where(np.isnan(values), 0.0, 1.0)
    with np.errstate(invalid="ignore"):
        result: np.ndarray = (known * np.where(np.isnan(values), 0.0, values)).sum(axis) / known.sum(axis)
        return result


def together(frames: Sequence[pd.DataFrame] | pd.DataFrame) -> pd.DataFrame:
    """Predictions in one frame, that of every fold and seed."""
    return frames if isinstance(frames, pd.DataFrame) else pd.concat(frames, ignore_index=True)


def gather(frames: Sequence[pd.DataFrame] | pd.DataFrame, protocol: str = FIXED) -> pd.DataFrame:
    """All rows of one protocol in one frame.

    Raises UserError unless every fold has every seed: a mean over half of the runs would pass for the whole.
    """
    frame = together(frames)
    frame = frame[frame["protocol"] == protocol]
    if frame.empty:
        raise UserError(
            f"the predictions hold nothing for the protocol {protocol!r}; run the evaluation again"
        )
    runs = set(frame[["fold", "seed"]].drop_duplicates().itertuples(index=False, name=None))
    for fold in sorted({fold for fold, _ in runs}):
        for seed in sorted({seed for _, seed in runs}):
            if (fold, seed) not in runs:
                raise UserError(
                    f"the predictions of fold {fold}, seed {seed} are missing; evaluate that run first"
                )
    return frame.reset_index(drop=True)


def sufficient_statistics(frame: pd.DataFrame, task: Task, axis: Axis = SEVEN) -> SufficientStatistics:
    """Sum up a frame from `gather`, over the utterances with at least one usable modality."""
    folds, seeds, clusters = (sorted(frame[name].unique().tolist()) for name in ("fold", "seed", "cluster"))
    axes = [folds, seeds, list(axis.values), clusters]
    names = ("fold", "seed", axis.column, "cluster")
    code = [
        pd.Categorical(frame[name], categories=axis).codes.astype(np.int64)
        for name, axis in zip(names, axes, strict=True)
    ]
    met = np.zeros((len(axes[0]), len(axis.values)), bool)
    whole = _met(frame, axis.column)
    met[code[0][whole], code[2][whole]] = True

    shape = tuple(len(axis) for axis in axes)
    counted = (frame["n_usable"] > 0).to_numpy()
    cell = np.ravel_multi_index([c[counted] for c in code], shape)
    contributions = _contributions(frame[counted], task)
    sums = np.stack(
        [np.bincount(cell, weights=column, minlength=int(np.prod(shape))) for column in contributions],
        axis=-1,
    )
    return SufficientStatistics(
        sums.reshape(*shape, -1), met, tuple(axes[0]), tuple(axes[1]), tuple(axes[3]), task, axis
    )


Seen: TypeAlias = Mapping[Any, tuple[np.ndarray, np.ndarray]]
"""Condition (or level) -> which of U pairs of fold and utterance it has, (U,) bool: scored, and all of them."""


def seen(frame: pd.DataFrame, column: str) -> Seen:
    """What each value of a column, 'condition' or 'level', has of the pairs of fold and utterance in a frame."""
    number = frame.groupby(["fold", "id"], sort=False).ngroup().to_numpy()
    usable = (frame["n_usable"] > 0).to_numpy()
    found = {}
    for value, rows in frame.groupby(column).indices.items():
        scored, everyone = np.zeros((2, number.max() + 1), bool)
        scored[number[rows[usable[rows]]]] = True
        everyone[number[rows]] = True
        found[value] = scored, everyone
    return found


def sizes(found: Seen, members: Sequence[Any]) -> tuple[int, int]:
    """How many pairs some conditions (or levels) have together: scored, and all."""
    own = [found[name] for name in members]
    scored, everyone = (int(np.any([one[i] for one in own], axis=0).sum()) for i in (0, 1))
    return scored, everyone


def _met(frame: pd.DataFrame, column: str) -> np.ndarray:
    """(N,) bool: the rows by which a condition is met, those with all of it; at a level, those with anything left."""
    result: np.ndarray = (
        frame["n_usable"] >= (frame["condition"].str.len() if column == "condition" else 1)
    ).to_numpy()
    return result


def _contributions(frame: pd.DataFrame, task: Task) -> list[np.ndarray]:
    """What each utterance adds to the M sums."""
    found = predicted(frame, task)
    if not task.regression:
        k = len(task.classes)
        true = pd.Categorical(frame["label"], categories=list(task.classes)).codes.astype(np.int64)
        chosen = pd.Categorical(found, categories=list(task.classes)).codes
        return [(true * k + chosen == cell).astype(np.float64) for cell in range(k * k)]
    truth = frame["label"].to_numpy(np.float64)
    # Moments about the middle of all truths: sums of squares of nearly equal numbers lose their digits.
    x, y = truth - truth.mean(), found - truth.mean()
    moments = [np.ones_like(x), np.abs(truth - found), x, y, x * x, y * y, x * y]
    hits = [steps(truth, limit) == steps(found, limit) for limit in (3, 2)]
    polar, positive, up = truth != 0, truth > 0, found > 0
    dropped = [polar & (positive == i) & (up == j) for i in (False, True) for j in (False, True)]
    counted = [((truth >= 0) == i) & ((found >= 0) == j) for i in (False, True) for j in (False, True)]
    return [np.asarray(column, np.float64) for column in (*moments, *hits, *dropped, *counted)]


def _classification(totals: np.ndarray) -> np.ndarray:
    """(K * K, ...) confusion counts, truth major -> (5, ...) metrics in the order of `CLASSIFICATION`."""
    k = round(len(totals) ** 0.5)
    confusion = totals.reshape(k, k, *totals.shape[1:])
    hits = np.stack([confusion[i, i] for i in range(k)])
    support, chosen = confusion.sum(1), confusion.sum(0)
    with np.errstate(invalid="ignore", divide="ignore"):
        recall = hits / support  # NaN for a class without an utterance
        f1 = np.where(support > 0, 2 * hits / (support + chosen), np.nan)
        n = support.sum(0)
        weighted = np.where(support > 0, support * f1, 0.0).sum(0) / n
        missed, wrongly = support - hits, chosen - hits
        binary = binary_weighted_f1(n - hits - missed - wrongly, wrongly, missed, hits)
        binary = np.where(support > 0, binary, np.nan)
        means = [mean_of_known(x, 0) for x in (recall, f1, binary)]
        return np.stack([hits.sum(0) / n, means[0], weighted, *means[1:]])


def _regression(totals: np.ndarray) -> np.ndarray:
    """(17, ...) sums in the order of `_contributions` -> (8, ...) metrics in the order of `REGRESSION`."""
    n, error, x, y, xx, yy, xy, seven, five = totals[:9]
    with np.errstate(invalid="ignore", divide="ignore"):
        spread_x, spread_y = xx / n - (x / n) ** 2, yy / n - (y / n) ** 2
        correlation = (xy / n - (x / n) * (y / n)) / np.sqrt(np.maximum(spread_x * spread_y, 0))
        correlation = np.where(spread_y > 1e-12, correlation, np.where(np.isnan(n), np.nan, 0.0))
        correlation = np.where(spread_x > 1e-12, correlation, np.nan)
        polar, counted = _classification(totals[9:13]), _classification(totals[13:17])
        return np.stack([error / n, correlation, *polar[[0, 2]], seven / n, five / n, *counted[[0, 2]]])
