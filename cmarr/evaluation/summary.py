"""From the predictions of all folds and seeds to the numbers of a table, with their spread."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from cmarr.evaluation.resampling import LEVEL, RESAMPLES, bootstrap, interval, over_seeds, seed_variance
from cmarr.evaluation.scores import can_be_met, metrics_of, mixed_scores, primary, score_rows, scores
from cmarr.evaluation.sufficient_statistics import (
    AVERAGES,
    SEVEN,
    Axis,
    SufficientStatistics,
    gather,
    mean_of_known,
    seen,
    sizes,
    sufficient_statistics,
)
from cmarr.masks.protocols import FIXED
from cmarr.modalities import COMPLETE, CONDITIONS, INCOMPLETE
from cmarr.task import Task

DIGITS = 6
"""Fractions are stored to this many digits: beyond is rounding noise that every diff would show."""

Frames: TypeAlias = Sequence[pd.DataFrame] | pd.DataFrame


def summarise(
    frames: Frames,
    task: Task,
    *,
    protocol: str = FIXED,
    axis: Axis = SEVEN,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, Any]:
    """Metric -> row (a condition, 'avg6' or 'avg7') -> numbers, as fractions; None where there is no number.

    With another `axis` the rows are others: the levels of a protocol (`sufficient_statistics.levels`), say.

    A cell holds
        mean   mean over the folds of the fold's score, then over the seeds
        std    standard deviation (n - 1) over the folds' seed means; None with one fold
        std_seeds  the same over the seeds' means over folds: what training alone changes; None with one seed
        lo, hi 95 % interval of the same estimator, clusters and seeds resampled (`cmarr.evaluation.resampling`); with
               one seed it is of these trained models, with several of the method
        n      utterances scored: those with a usable modality under the condition
        all    mean with every utterance counted, `n_all` of them
    and an average also `covers`, the conditions that it averages. The key 'meta' tells the number of
    folds, seeds, clusters, utterances and resamples.

    Raises UserError when a fold lacks a seed.
    """
    frame = gather(frames, protocol)
    sums = sufficient_statistics(frame, task, axis)
    there = seen(frame, axis.column)
    counted, full = _scored(frame, task, axis, sums.folds, sums.seeds)
    shape = len(metrics_of(task)), len(axis.rows)
    drawn = resampled(sums, resamples=resamples, seed=seed)
    by_seed = sums.by_seed().reshape(len(sums.seeds), -1)
    whole = sums.drawn(np.ones((1, len(sums.clusters)))).reshape(-1)
    lo, hi = over_seeds(*interval(drawn, len(sums.clusters)), whole, [seed_variance(by_seed)])
    bounds = np.stack([lo, hi], axis=-1).reshape(*shape, 2)
    covers = {name: [c for c in members if c in sums.reported] for name, members in axis.averages.items()}
    out: dict[str, Any] = {}
    for m, metric in enumerate(metrics_of(task)):
        out[metric] = {}
        for r, row in enumerate(axis.rows):
            members = covers.get(row, [row] if row in sums.reported else [])
            n, n_all = sizes(there, members)
            cell: dict[str, Any] = {
                "mean": _number(_mean(counted[metric], members)),
                "std": _number(_deviation(counted[metric], members, over=0)),
                "std_seeds": _number(_deviation(counted[metric], members, over=1)),
                "lo": _number(bounds[m, r, 0]),
                "hi": _number(bounds[m, r, 1]),
                "n": n,
                "all": _number(_mean(full[metric], members)),
                "n_all": n_all,
            }
            out[metric][row] = cell | ({"covers": members} if row in axis.averages else {})
    out["meta"] = _meta(frame, sums, resamples)
    return out


def headline(summary: Mapping[str, Any], task: Task) -> dict[str, dict[str, float]]:
    """Of what `summarise` gives, the ten means to compare methods by: metric -> row -> fraction, to four digits.

    Those of the first metric under the seven conditions and over the six incomplete ones; those of the one that it is
    printed beside over the incomplete ones and under complete data. What has no number is left out.
    """
    first = primary(task)
    beside = next(metric for metric in metrics_of(task) if metric != first)
    rows = {first: ("avg6", *CONDITIONS), beside: ("avg6", COMPLETE)}
    return {
        metric: {
            row: round(summary[metric][row]["mean"], 4)
            for row in several
            if summary[metric][row]["mean"] is not None
        }
        for metric, several in rows.items()
    }


def _meta(frame: pd.DataFrame, sums: SufficientStatistics, resamples: int) -> dict[str, Any]:
    return {
        "folds": len(sums.folds),
        "seeds": len(sums.seeds),
        "clusters": len(sums.clusters),
        "speakers": int(frame["speaker"].nunique()) or None,
        "utterances": int(frame[["fold", "id"]].drop_duplicates().shape[0]),
        "resamples": resamples,
        "level": LEVEL,
    }


def resampled(sums: SufficientStatistics, *, resamples: int = RESAMPLES, seed: int = 0) -> np.ndarray:
    """(metrics * rows, resamples) the headline when clusters are drawn anew, the same ones whatever the method."""
    return bootstrap(
        lambda weights: sums.drawn(weights).reshape(len(weights), -1),
        len(sums.clusters),
        resamples=resamples,
        seed=seed,
    )


def pooled(frames: Frames, task: Task) -> dict[str, float | None]:
    """Metric -> score of the six incomplete conditions pooled into one test set; mean over folds, then seeds.

    The MMIN family prints this as its average; it is not avg6, the mean of six scores.
    """
    frame = gather(frames)
    kept = frame[frame["condition"].isin(INCOMPLETE)]
    runs: dict[str, list[list[float]]] = {metric: [] for metric in metrics_of(task)}
    for _, of_seed in kept.groupby("seed"):
        folds = [_pooled_fold(of_fold, task) for _, of_fold in of_seed.groupby("fold")]
        for metric, values in runs.items():
            values.append([np.nan if (value := fold[metric]) is None else value for fold in folds])
    return {m: _number(float(mean_of_known(mean_of_known(np.array(v), 1), 0))) for m, v in runs.items()}


def _pooled_fold(frame: pd.DataFrame, task: Task) -> dict[str, float | None]:
    reported = [part[part["n_usable"] > 0] for _, part in frame.groupby("condition") if can_be_met(part)]
    return score_rows(pd.concat(reported), task) if reported else dict.fromkeys(metrics_of(task))


def long_table(summary: Mapping[str, Any], **labels: str) -> pd.DataFrame:
    """A summary as rows metric, condition, mean, std, std_seeds, lo, hi, n, all, n_all, covers.

    `labels` (such as method="cmarr") become the first columns.
    """
    rows = [
        {
            **labels,
            "metric": metric,
            "condition": row,
            **cell,
            "covers": " ".join(map(str, cell.get("covers", [row]))),
        }
        for metric, cells in summary.items()
        if metric != "meta"
        for row, cell in cells.items()
    ]
    return pd.DataFrame(rows)


def fold_table(frames: Sequence[pd.DataFrame], task: Task) -> pd.DataFrame:
    """One row a fold, seed, metric and condition (or 'avg6', 'avg7'): fold, seed, metric, condition, value.

    `frames` are the predictions, one frame a fold and seed; their fixed protocol is scored. A condition nobody
    can meet has no value; an average is taken over those that have one.
    """
    rows = []
    for frame in frames:
        fold, seed = int(frame["fold"].iloc[0]), int(frame["seed"].iloc[0])
        fixed = frame[frame["protocol"] == FIXED]
        found = {str(c): scores(part, task) for c, part in fixed.groupby("condition", sort=False)}
        for metric in metrics_of(task):
            values = {c: s[metric] for c, s in found.items()}
            for average, members in AVERAGES.items():
                known = [v for c in members if (v := values.get(c)) is not None]
                values[average] = sum(known) / len(known) if known else None
            rows += [(fold, seed, metric, condition, value) for condition, value in values.items()]
    return pd.DataFrame(rows, columns=["fold", "seed", "metric", "condition", "value"])


def _scored(
    frame: pd.DataFrame, task: Task, axis: Axis, folds: Sequence[int], seeds: Sequence[int]
) -> tuple[dict[str, dict[Any, np.ndarray]], ...]:
    """Metric -> condition (or level) -> (F, S) scores, NaN where there is none; twice: the second with everyone."""
    score = scores if axis.column == "condition" else mixed_scores
    out = tuple(
        {m: {c: np.full((len(folds), len(seeds)), np.nan) for c in axis.values} for m in metrics_of(task)}
        for _ in range(2)
    )
    for (fold, seed, condition), part in frame.groupby(["fold", "seed", axis.column]):
        counted = score(part, task)
        full = counted if (part["n_usable"] > 0).all() else score(part, task, everyone=True)
        for found, values in zip(out, (counted, full), strict=True):
            for metric, value in values.items():
                if value is not None:
                    found[metric][condition][folds.index(fold), seeds.index(seed)] = value
    return out


def _mean(by_condition: Mapping[Any, np.ndarray], members: Sequence[Any]) -> float:
    if not members:
        return np.nan
    return float(np.mean([mean_of_known(mean_of_known(by_condition[c], 0), 0) for c in members]))


def _deviation(by_condition: Mapping[Any, np.ndarray], members: Sequence[Any], *, over: int) -> float:
    """Over the folds (0) or the seeds (1), of the means over the other."""
    if not members:
        return np.nan
    grid = mean_of_known(np.stack([by_condition[c] for c in members]), 0)  # (F, S)
    runs = mean_of_known(grid, 1 - over)
    runs = runs[~np.isnan(runs)]
    return float(np.std(runs, ddof=1)) if len(runs) > 1 else np.nan


def _number(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), DIGITS)
