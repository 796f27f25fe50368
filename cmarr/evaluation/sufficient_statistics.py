"""Sums per cluster that are enough to compute every metric again, for thousands of resamples at once.

A bootstrap draws clusters with replacement; a permutation test swaps clusters between two methods. Both only
re-weight what each cluster contributes, and every metric of `scores` is a function of sums over utterances:
confusion counts, or the moments of truth and answer. `scores` gives the printed numbers, this module their
spread; a test holds the two together.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

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

    def totals(self, weights: np.ndarray) -> np.ndarray:
        """Sums (B, F, S, P, M) when cluster c counts `weights[b, c]` times."""
        out = np.zeros((len(weights), *self.sums.shape[:3], self.sums.shape[-1]))
        for fold, sums in enumerate(self.sums):  # (S, P, C, M)
            here = np.flatnonzero(sums.any(axis=(0, 1, 3)))
            if not len(here):
                continue
            flat = sums[:, :, here].transpose(2, 0, 1, 3).reshape(len(here), -1)
            # einsum's own loops add in a fixed order; a BLAS product may differ by thread count.
            drawn = np.einsum("bc,cm->bm", weights[:, here].astype(np.float64), flat)
            out[:, fold] = drawn.reshape(out[:, fold].shape)
        return out

    def drawn(self, weights: np.ndarray) -> np.ndarray:
        """`headline` (B, metrics, rows) of resamples in which cluster c is drawn `weights[b, c]` times.

        A fold counts as often as its clusters are drawn: where every fold has one speaker, a resample's mean over
        folds is then its mean over speakers. Counted once each, folds would hide how often they were drawn, and the
        intervals would be up to a quarter too narrow.
        """
        present = self.sums.any(axis=(1, 4)).astype(np.float64)  # (F, P, C)
        share = present / np.maximum(present.sum(-1, keepdims=True), 1)
        return self.headline(
            self.totals(weights), np.einsum("bc,fpc->bfp", weights.astype(np.float64), share)
        )

    def headline(self, totals: np.ndarray, folds: np.ndarray | None = None) -> np.ndarray:
        """Totals (B, F, S, P, M) -> (B, metrics, rows), in the order of `axis.rows`; NaN is no number.

        Mean over folds, then seeds; an average is that of the conditions that can be met. folds: (B, F, P), how
        often each fold counts; None: all once.
        """
        totals = np.where(self.met[None, :, None, :, None], totals, np.nan)
        # The resamples last: every sum below then runs over whole rows of them, a multiple faster.
        totals = np.ascontiguousarray(totals.transpose(4, 1, 2, 3, 0))
        metrics = _regression if self.task.regression else _classification
        values = metrics(totals)  # (metrics, F, S, P, B)
        weights = None if folds is None else folds.transpose(1, 2, 0)[:, None]  # (F, 1, P, B)
        per_condition = mean_of_known(mean_of_known(values, 1, weights), 1)  # (metrics, P, B)
        rows = dict(zip(self.axis.values, per_condition.swapaxes(0, 1), strict=True))
        for name, members in self.axis.averages.items():
            # Not a mean of what is known: a resample that lacks one condition gives no average.
            kept = [rows[c] for c in self.reported if c in members]
            rows[name] = np.mean(kept, axis=0) if kept else np.full_like(per_condition[:, 0], np.nan)
        return np.stack([rows[name] for name in self.axis.rows]).transpose(2, 1, 0)

    @property
    def reported(self) -> tuple[Any, ...]:
        """The conditions that at least one utterance can meet (the levels at which one has something left)."""
        return tuple(c for i, c in enumerate(self.axis.values) if self.met[:, i].any())

    def by_seed(self) -> np.ndarray:
        """(S, metrics, rows) `headline` of each seed's trainings."""
        totals = self.totals(np.ones((1, len(self.clusters))))
        return np.stack([self.headline(totals[:, :, [seed]])[0] for seed in range(len(self.seeds))])

    def clusters_of(self) -> np.ndarray:
        """(rows,) how many clusters have a part in each row."""
        there = np.asarray(self.sums.any(axis=(0, 1, 4)))  # (P, C)
        present = dict(zip(self.axis.values, there, strict=True))
        return np.array(
            [
                np.any([present[c] for c in self.axis.averages.get(row, (row,))], axis=0).sum()
                for row in self.axis.rows
            ]
        )

    def for_seeds(self, count: int) -> "SufficientStatistics":
        """The same with a single seed repeated `count` times."""
        return replace(self, sums=np.repeat(self.sums, count, axis=1), seeds=self.seeds * count)


def mean_of_known(values: np.ndarray, axis: int, weights: np.ndarray | None = None) -> np.ndarray:
    """Mean along an axis leaving NaN out; NaN where nothing is left. weights: like `values`, or 1 long.

    >>> mean_of_known(np.array([1.0, np.nan, 3.0]), 0).tolist()
    2.0
    """
    known = np.where(np.isnan(values), 0.0, 1.0 if weights is None else weights)
    with np.errstate(invalid="ignore"):
        result: np.ndarray = (known * np.where(np.isnan(values), 0.0, values)).sum(axis) / known.sum(axis)
        return result


def gather(frames: Sequence[pd.DataFrame] | pd.DataFrame, task: Task, protocol: str = FIXED) -> pd.DataFrame:
    """All rows of one protocol in one frame.

    Raises UserError unless every fold has every seed: a mean over half of the runs would pass for the whole.
    """
    frame = frames if isinstance(frames, pd.DataFrame) else pd.concat(frames, ignore_index=True)
    frame = frame[frame["protocol"] == protocol]
    if frame.empty:
        raise UserError(
            f"the predictions hold nothing for the protocol {protocol!r}; run the evaluation again"
        )
    runs = set(zip(frame["fold"], frame["seed"], strict=True))
    for fold in sorted(set(frame["fold"])):
        for seed in sorted(set(frame["seed"])):
            if (fold, seed) not in runs:
                raise UserError(
                    f"the predictions of fold {fold}, seed {seed} are missing; evaluate that run first"
                )
    return frame.reset_index(drop=True)


def sufficient_statistics(frame: pd.DataFrame, task: Task, axis: Axis = SEVEN) -> SufficientStatistics:
    """Sum up a frame from `gather`, over the utterances with at least one usable modality."""
    axes = [sorted(set(frame[name])) for name in ("fold", "seed")] + [
        list(axis.values),
        sorted(set(frame["cluster"])),
    ]
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
