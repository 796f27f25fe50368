"""Does a method know when it is wrong? Risk against coverage (El-Yaniv and Wiener 2010).

A method may decline the utterances that it is least sure of. Coverage is the share that it answers, the surest
first; risk is its mean loss on those: the share of wrong classes, or the mean absolute error of a score. The
area under the curve (AURC) is the mean of the risk over all numbers of answers; with an uninformative
uncertainty it is the loss itself.

The test utterances of all folds are taken together, seed by seed. The
uncertainty is the one in the predictions: the method's own, or else the entropy of its probabilities."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from cmarr.analyses.analysis import Analysis
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
from cmarr.analyses.study import Study
from cmarr.evaluation.resampling import RESAMPLES, bootstrap_interval
from cmarr.evaluation.scores import predicted
from cmarr.evaluation.sufficient_statistics import ROWS, gather, mean_of_known
from cmarr.evaluation.summary import DIGITS, Frames
from cmarr.modalities import CONDITIONS
from cmarr.report.page import Block, Section
from cmarr.report.picture import Panel, Picture
from cmarr.report.style import Look, horizontal_grid, looks, small_axes, style
from cmarr.task import Task

COVERAGES = np.arange(1, 21) / 20
"""Where the curve is written down."""
STEPS = 200
"""At most so many risks are averaged in a resample; beyond two hundred utterances the area hardly sees more."""


def selective(frames: Frames, task: Task, *, resamples: int = RESAMPLES) -> pd.DataFrame:
    """AURC in the columns of `cmarr.analyses.calibration.calibration`; no rows where no uncertainty is known."""
    frame = gather(frames)
    if frame["uncertainty"].isna().any():
        return pd.DataFrame(columns=list(COLUMNS))
    rows = counted(frame)
    areas, everyone = _areas(rows, task), _areas(counted(frame, everyone=True), task)
    bounds = _intervals(rows, task, resamples)
    return measure_table(("AURC",), areas, everyone, utterances(frame), bounds=bounds)


def risk_coverage(frames: Frames, task: Task) -> pd.DataFrame:
    """The curve at every twentieth: condition, coverage, n (utterances answered), risk (mean over seeds).

    A condition that nobody can meet has no rows; nor has any where no uncertainty is known.
    """
    names = ["condition", "coverage", "n", "risk"]
    frame = gather(frames)
    if frame["uncertainty"].isna().any():
        return pd.DataFrame(columns=names)
    out = []
    for condition, part in by_condition(counted(frame)):
        risks = []
        for _, run in part.groupby("seed"):
            loss = _surest_first(run, task)[0]
            n = np.ceil(COVERAGES * len(run) - 1e-9).astype(int)
            risks.append((loss.cumsum() / np.arange(1, len(run) + 1))[n - 1])
        for coverage, answered, risk in zip(COVERAGES, n, np.mean(risks, axis=0), strict=True):
            out.append((condition, float(coverage), int(answered), round(float(risk), DIGITS)))
    return pd.DataFrame(out, columns=names)


def area(loss: np.ndarray) -> float:
    """AURC of losses (N,), the surest first: the mean of the risks of the first 1, 2, ... N.

    >>> round(area(np.array([0.0, 0.0, 1.0])), 3)
    0.111
    """
    return float((loss.cumsum() / np.arange(1, len(loss) + 1)).mean())


def drawn_areas(loss: np.ndarray, cluster: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """AURC (B,) when cluster c counts `weights[b, c]` times, from losses and clusters (N,), the surest first.

    The risk is taken after each of N, or at most `STEPS`, equal portions of the utterances.
    """
    portion = np.arange(len(loss)) * min(STEPS, len(loss)) // len(loss)
    shape = weights.shape[1], int(portion[-1]) + 1
    cell = np.ravel_multi_index((cluster, portion), shape)
    lost, met = (
        np.bincount(cell, weights=w, minlength=shape[0] * shape[1]).reshape(shape) for w in (loss, None)
    )
    # einsum's own loops add in a fixed order; a BLAS product may differ by thread count.
    lost, met = (np.einsum("bc,cg->bg", weights, x) for x in (lost, met.astype(np.float64)))
    answered = met.cumsum(1)
    with np.errstate(invalid="ignore", divide="ignore"):
        risk = np.where(answered > 0, lost.cumsum(1) / answered, 0.0)
        result: np.ndarray = (met * risk).sum(1) / answered[:, -1]
        return result


def _areas(rows: pd.DataFrame, task: Task) -> dict[tuple[str, str], float]:
    return {
        ("AURC", condition): float(
            np.mean([area(_surest_first(run, task)[0]) for _, run in part.groupby("seed")])
        )
        for condition, part in by_condition(rows)
    }


def _intervals(rows: pd.DataFrame, task: Task, resamples: int) -> dict[tuple[str, str], tuple[float, float]]:
    names, codes = np.unique(rows["cluster"].to_numpy(str), return_inverse=True)
    rows = rows.assign(cluster=codes)
    parts = list(by_condition(rows))
    if not parts:
        return {("AURC", row): (np.nan, np.nan) for row in ROWS}
    ordered = [[_surest_first(run, task) for _, run in part.groupby("seed")] for _, part in parts]

    def areas(weights: np.ndarray) -> np.ndarray:
        drawn = np.array(
            [[drawn_areas(loss, cluster, weights) for loss, cluster in runs] for runs in ordered]
        )  # (P, S, B)
        return rows_of(mean_of_known(drawn, 1).T, [condition for condition, _ in parts])

    lo, hi = bootstrap_interval(areas, len(names), resamples=resamples)
    return {("AURC", row): (float(lo[r]), float(hi[r])) for r, row in enumerate(ROWS)}


def _surest_first(run: pd.DataFrame, task: Task) -> tuple[np.ndarray, np.ndarray]:
    """Losses and clusters of a seed's rows of one condition, the surest answer first.

    Answers of equal uncertainty stand in no order: each gets their mean loss.
    """
    found = predicted(run, task)
    if task.regression:
        loss = np.abs(run["label"].to_numpy(np.float64) - found)
    else:
        loss = (run["label"].to_numpy() != found).astype(np.float64)
    _, place = np.unique(run["uncertainty"].to_numpy(np.float64), return_inverse=True)
    shared = np.bincount(place, weights=loss) / np.bincount(place)
    order = np.argsort(place, kind="stable")
    return shared[place[order]], run["cluster"].to_numpy()[order]


TITLE = "Does it know when it is wrong?"


HOW = "No method tells how unsure it is, so no answer could be declined first; evaluate the `methods` again."


def risk_section(
    calibration: Mapping[str, pd.DataFrame], risk: Mapping[str, pd.DataFrame], loss: str
) -> Section:
    """Risk-coverage curves, by method, see `risk_coverage`. loss: what risk is, in words."""
    drawn = {m: frame for m, frame in risk.items() if len(frame)}
    if not drawn:
        return Section("risk", TITLE, missing=HOW)
    known = looks(drawn)
    conditions = [c for c in CONDITIONS if any(c in set(f["condition"]) for f in drawn.values())]
    areas = {m: frame for m, frame in calibration.items() if "AURC" in set(frame["metric"])}
    blocks: list[Block] = [
        Picture(
            "risk",
            f"Risk ({loss}) over coverage, the share of utterances that is answered, the surest first. A curve that "
            "falls to the left knows what it does not know; a flat one does not.",
            described(areas, "AURC"),
            [Panel(f"risk-{c}", risk_figure(drawn, c, known), spoken(c)) for c in conditions],
            legend=known,
        )
    ]
    if areas:
        blocks.append(by_method(areas, "AURC"))
    return Section("risk", TITLE, (), blocks)


def risk_figure(risk: Mapping[str, pd.DataFrame], condition: str, known: Mapping[str, Look]) -> Figure:
    """One condition: risk over coverage, a line a method."""
    with style():
        figure, axes = small_axes(2.75, 2.1, left=0.72, bottom=0.45)
        horizontal_grid(axes)
        for method, frame in risk.items():
            own = frame[frame["condition"] == condition].sort_values("coverage")
            marks = {"markersize": 4.5, "markevery": 4, "markeredgecolor": "white", "markeredgewidth": 0.5}
            known[method].line(axes, own["coverage"], own["risk"], linewidth=1.6, **marks)
        axes.set_xlim(0, 1.03)
        axes.set_ylim(bottom=0)
        axes.set_xticks([0, 0.5, 1])
        axes.set_xlabel("coverage")
        axes.set_ylabel("risk")
    return figure


def section(study: Study) -> Section:
    """The curves, and the areas that evaluation put beside the measures of calibration."""
    loss = "mean absolute error" if study.task.regression else "share of wrong answers"
    return risk_section(study.evaluated("calibration_scores"), study.evaluated("risk_coverage"), loss)


ANALYSIS = Analysis(
    section, measure=lambda of: {"risk_coverage.csv": risk_coverage(of.frames, of.task)}, shared=True
)
