"""How far the probabilities of a method can be believed, condition by condition.

    ECE    expected calibration error: mean distance between the confidence in the answer and how often it is
           right, over `BINS` equally wide bins of confidence (Guo et al. 2017)
    Brier  squared distance between probabilities and truth, summed over the classes: 0 to 2
    NLL    negative log-likelihood of the true class, nats

Unlike the scores, these are taken over the test utterances of all folds together, seed by seed: fifteen bins of
a fold's few utterances would measure noise, and the ECE of a table shall be that of the diagram beside it."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from sklearn.metrics import brier_score_loss, log_loss

from cmarr.analyses.analysis import Analysis, Evaluated
from cmarr.analyses.measures import (
    COLUMNS,
    by_condition,
    by_method,
    counted,
    described,
    measure_table,
    rows_of,
    spoken,
    utterances,
)
from cmarr.analyses.risk import selective
from cmarr.evaluation.predictions import columns
from cmarr.evaluation.resampling import RESAMPLES, bootstrap_interval
from cmarr.evaluation.sufficient_statistics import ROWS, gather, mean_of_known
from cmarr.evaluation.summary import DIGITS, Frames
from cmarr.modalities import CONDITIONS
from cmarr.report.page import Block, Section
from cmarr.report.picture import Panel, Picture
from cmarr.report.style import FAINT, Look, looks, small_axes, style
from cmarr.task import Task

BINS = 15
MEASURES = ("ECE", "Brier", "NLL")


def calibration(frames: Frames, task: Task, *, resamples: int = RESAMPLES) -> pd.DataFrame:
    """One row a measure and a condition or average; without rows for a score, which has no probabilities.

    metric, condition  as in the tables of scores; an average is that of the conditions in `covers`
    value              over the test utterances with a usable modality, then the mean over seeds
    lo, hi             95 % interval, clusters resampled; none for ECE, which every resampling makes larger
    calibrated         ECE alone: about what it would be if every probability were true; binning n answers never
                       gives zero
    n, all, n_all      utterances counted; value with every utterance counted, and their number
    covers             the conditions behind the number; empty, and no value, where nobody can meet any
    """
    if task.regression:
        return pd.DataFrame(columns=list(COLUMNS))
    frame = gather(frames)
    values, full = _values(counted(frame), task), _values(counted(frame, everyone=True), task)
    bounds = _intervals(counted(frame), task, resamples)
    expected = {("ECE", c): value for c, value in _if_calibrated(counted(frame), task).items()}
    return measure_table(MEASURES, values, full, utterances(frame), bounds=bounds, calibrated=expected)


def reliability(frames: Frames, task: Task) -> pd.DataFrame:
    """The bins behind ECE, folds and seeds together: condition, lower, upper, n, confidence, accuracy.

    A bin holds the answers with a confidence above `lower` and up to `upper`; an empty one has neither mean
    confidence nor accuracy. A condition that nobody can meet has no rows, nor has a score.
    """
    names = ["condition", "lower", "upper", "n", "confidence", "accuracy"]
    if task.regression:
        return pd.DataFrame(columns=names)
    rows = []
    for condition, part in by_condition(counted(gather(frames))):
        probabilities = part[columns(task)].to_numpy(np.float64)
        right = probabilities.argmax(1) == truth_of(part, task)
        n, confidence, hits = _binned(probabilities.max(1), right, BINS)
        with np.errstate(invalid="ignore"):
            means = np.round(confidence / n, DIGITS), np.round(hits / n, DIGITS)
        for b in range(BINS):
            edges = round(b / BINS, DIGITS), round((b + 1) / BINS, DIGITS)
            rows.append((condition, *edges, int(n[b]), means[0][b], means[1][b]))
    return pd.DataFrame(rows, columns=names)


def expected_calibration_error(probabilities: np.ndarray, truth: np.ndarray, bins: int = BINS) -> float:
    """ECE of probabilities (N, K) and true classes (N,) as numbers from 0.

    >>> sure = np.array([[0.9, 0.1], [0.9, 0.1]])
    >>> round(expected_calibration_error(sure, np.array([0, 1])), 3)
    0.4
    """
    n, confidence, hits = _binned(probabilities.max(1), probabilities.argmax(1) == truth, bins)
    return float(np.abs(confidence - hits).sum() / n.sum())


def truth_of(rows: pd.DataFrame, task: Task) -> np.ndarray:
    """(N,) the true classes as numbers in the order of the task's."""
    result: np.ndarray = pd.Categorical(rows["label"], categories=list(task.classes)).codes.astype(np.int64)
    return result


def _values(rows: pd.DataFrame, task: Task) -> dict[tuple[str, str], float]:
    """(measure, condition) -> value, mean over the seeds."""
    found = {}
    labels = np.arange(task.outputs)
    for condition, part in by_condition(rows):
        per_seed = []
        for _, run in part.groupby("seed"):
            probabilities, truth = run[columns(task)].to_numpy(np.float64), truth_of(run, task)
            per_seed.append(
                (
                    expected_calibration_error(probabilities, truth),
                    brier_score_loss(truth, probabilities, labels=labels, scale_by_half=False),
                    log_loss(truth, probabilities, labels=labels),
                )
            )
        for measure, value in zip(MEASURES, np.mean(per_seed, axis=0), strict=True):
            found[measure, condition] = float(value)
    return found


def _intervals(rows: pd.DataFrame, task: Task, resamples: int) -> dict[tuple[str, str], tuple[float, float]]:
    """(measure, row) -> interval of Brier and NLL: means over utterances, so that sums a cluster suffice."""
    probabilities, truth = rows[columns(task)].to_numpy(np.float64), truth_of(rows, task)
    chosen = probabilities[np.arange(len(rows)), truth]
    terms = {
        "Brier": np.square(probabilities - np.eye(task.outputs)[truth]).sum(1),
        "NLL": -np.log(np.clip(chosen, np.finfo(np.float64).eps, 1.0)),
    }
    conditions = [condition for condition, _ in by_condition(rows)]
    place = pd.Categorical(rows["condition"], categories=conditions)
    seeds, clusters = pd.Categorical(rows["seed"]), pd.Categorical(rows["cluster"])
    shape = len(seeds.categories), len(conditions), len(clusters.categories)
    cell = np.ravel_multi_index([c.codes.astype(np.int64) for c in (seeds, place, clusters)], shape)
    n, *sums = (
        np.bincount(cell, weights=w, minlength=int(np.prod(shape))).reshape(shape)
        for w in (None, *terms.values())
    )

    def means(weights: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore"):
            drawn = [
                np.einsum("bc,spc->bsp", weights, s) / np.einsum("bc,spc->bsp", weights, n) for s in sums
            ]
        return np.concatenate([rows_of(mean_of_known(x, 1), conditions) for x in drawn], axis=1)

    lo, hi = bootstrap_interval(means, shape[-1], resamples=resamples)
    keys = [(measure, row) for measure in terms for row in ROWS]
    return {key: (float(lo[i]), float(hi[i])) for i, key in enumerate(keys)}


def _if_calibrated(rows: pd.DataFrame, task: Task) -> dict[str, float]:
    """Condition -> the ECE to be expected where every confidence is the chance of being right.

    The hits of a bin then vary around its sum of confidences by about a normal distribution, whose mean distance from
    its centre is sqrt(2 / pi) standard deviations.
    """
    found = {}
    for condition, part in by_condition(rows):
        per_seed = []
        for _, run in part.groupby("seed"):
            confidence = run[columns(task)].to_numpy(np.float64).max(1)
            variance = np.bincount(_bin(confidence), weights=confidence * (1 - confidence))
            per_seed.append(np.sqrt(2 / np.pi * variance).sum() / len(run))
        found[condition] = float(np.mean(per_seed))
    return found


def _binned(
    confidence: np.ndarray, correct: np.ndarray, bins: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(bins,) numbers of answers, sums of their confidences, numbers of right ones."""
    places = _bin(confidence, bins)
    weights = None, confidence, correct.astype(np.float64)
    return tuple(np.bincount(places, weights=w, minlength=bins) for w in weights)  # type: ignore[return-value]


def _bin(confidence: np.ndarray, bins: int = BINS) -> np.ndarray:
    """The bin of each confidence: above its lower edge, up to its upper one."""
    result: np.ndarray = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    return result


TITLE = "Calibration: can the probabilities be believed?"
HOW = "No calibration was measured: evaluate the `methods` again; a score has no probabilities."

FIRM = 5
"""Answers in a bin from which on the line goes through it; a dot alone shows one of fewer."""


def calibration_section(
    calibration: Mapping[str, pd.DataFrame], reliability: Mapping[str, pd.DataFrame]
) -> Section:
    """Reliability diagrams and tables, by method, see `calibration` and `reliability`."""
    calibration = {m: frame for m, frame in calibration.items() if len(frame)}
    if not calibration:
        return Section("calibration", TITLE, missing=HOW)
    blocks: list[Block] = []
    drawn = {m: frame for m, frame in reliability.items() if len(frame)}
    if drawn:
        known = looks(drawn)
        conditions = [c for c in CONDITIONS if any(c in set(f["condition"]) for f in drawn.values())]
        blocks.append(
            Picture(
                "calibration",
                "Reliability: how often an answer is right, over the confidence it was given with. On the diagonal "
                "confidence is deserved; below it the method is too sure of itself. Larger markers: more answers; "
                f"the line leaves out bins of fewer than {FIRM}.",
                described(calibration, "ECE"),
                [
                    Panel(f"calibration-{c}", reliability_figure(drawn, c, known), spoken(c))
                    for c in conditions
                ],
                legend=known,
            )
        )
    blocks += [by_method(calibration, name) for name in ("ECE", "Brier", "NLL")]
    return Section("calibration", TITLE, (), blocks)


def reliability_figure(
    reliability: Mapping[str, pd.DataFrame], condition: str, known: Mapping[str, Look]
) -> Figure:
    """One condition: accuracy over confidence, a line a method."""
    with style():
        figure, axes = small_axes(2.55, 2.4, left=0.5, bottom=0.45)
        axes.plot([0, 1], [0, 1], color=FAINT, linewidth=1, dashes=(4, 3))
        for method, frame in reliability.items():
            own = frame[(frame["condition"] == condition) & (frame["n"] > 0)]
            look = known[method]
            size = 8 + 60 * own["n"] / max(own["n"].sum(), 1)
            firm = own[own["n"] >= FIRM]
            axes.plot(
                firm["confidence"],
                firm["accuracy"],
                color=look.colour,
                linewidth=1.3,
                dashes=look.dashes or (None, None),
                alpha=0.7,
            )
            axes.scatter(
                own["confidence"],
                own["accuracy"],
                s=size,
                color=look.colour,
                marker=look.marker,
                linewidth=0.5,
                edgecolor="white",
                zorder=3,
            )
        axes.set_xlim(0, 1.02)
        axes.set_ylim(-0.02, 1.04)
        axes.set_xticks([0, 0.5, 1])
        axes.set_yticks([0, 0.5, 1])
        axes.set_xlabel("confidence")
        axes.set_ylabel("share that is right")
    return figure


def measured(of: Evaluated) -> dict[str, pd.DataFrame]:
    """The bins, and every measure of how far probabilities and uncertainties can be believed."""
    measures = [calibration(of.frames, of.task), selective(of.frames, of.task)]
    return {"calibration.csv": reliability(of.frames, of.task), "calibration_scores.csv": pd.concat(measures)}


ANALYSIS = Analysis(
    lambda study: calibration_section(study.evaluated("calibration_scores"), study.evaluated("calibration")),
    measure=measured,
    shared=True,
)
