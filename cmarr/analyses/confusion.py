"""Confusion matrices: rows for a DVC plot, counts, and a figure of all conditions."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.metrics import confusion_matrix

from cmarr.analyses.analysis import Analysis, Evaluated, Run
from cmarr.analyses.study import Study
from cmarr.errors import percent_text
from cmarr.evaluation.scores import can_be_met, predicted
from cmarr.evaluation.sufficient_statistics import gather
from cmarr.evaluation.summary import Frames
from cmarr.modalities import CONDITIONS, NAMES
from cmarr.report.page import Folded, Section
from cmarr.report.picture import Panel, Picture
from cmarr.report.style import FAINT, PAPER, small_axes, style
from cmarr.task import Task

ON_DARK, ON_LIGHT = "#fefefe", "#101418"
"""Numbers on cells; no colours of the page, because a cell keeps its own in every theme."""


def confusion_rows(frames: Frames, task: Task, conditions: Sequence[str] = CONDITIONS) -> pd.DataFrame:
    """One row an answer, for DVC's `confusion` template: condition, fold, seed, id, actual, predicted.

    Utterances with nothing usable, and conditions that no utterance can meet, are left out.
    """
    frame = gather(frames)
    parts = []
    for condition in conditions:
        part = frame[frame["condition"] == condition]
        if can_be_met(part):
            part = part[part["n_usable"] > 0]
            parts.append(
                part[["condition", "fold", "seed", "id"]].assign(
                    actual=part["label"], predicted=predicted(part, task)
                )
            )
    names = ["condition", "fold", "seed", "id", "actual", "predicted"]
    return pd.concat(parts, ignore_index=True)[names] if parts else pd.DataFrame(columns=names)


def confusion_counts(rows: pd.DataFrame, task: Task) -> np.ndarray:
    """(K, K) counts, true class by predicted class, over all rows of `confusion_rows` given."""
    if rows.empty:
        return np.zeros((len(task.classes),) * 2, int)
    result: np.ndarray = confusion_matrix(
        y_true=rows["actual"], y_pred=rows["predicted"], labels=list(task.classes)
    )
    return result


def confusion_figure(frames: Frames, task: Task, *, title: str) -> Figure:
    """All seven conditions as matrices whose rows sum to 100 %, folds and seeds together."""
    rows = confusion_rows(frames, task)
    size = 2.1 + 0.34 * max(0, len(task.classes) - 4)
    with style():
        figure = Figure(figsize=(4 * size + 1.2, 2 * size + 1.9), layout="constrained")
        figure.get_layout_engine().set(h_pad=0.14, w_pad=0.06)  # type: ignore[union-attr, call-arg]
        grid = figure.subplots(2, 4)
        for axes, conditions in zip(grid, (CONDITIONS[:4], CONDITIONS[4:]), strict=True):
            named = False
            for panel, condition in zip(axes, conditions, strict=False):
                panel.set_title(" + ".join(NAMES[m] for m in condition), fontsize=10)
                part = rows[rows["condition"] == condition]
                if len(part):
                    _matrix(panel, confusion_counts(part, task), task, name_rows=not named)
                    named = True
                else:
                    _unmet(panel)
        _explain(grid[1, 3])
        figure.suptitle(title, x=0.01, ha="left", fontweight="bold", fontsize=12)
    return figure


def confusion_panel(counts: np.ndarray, task: Task) -> Figure:
    """One matrix of `confusion_counts` as a small figure of its own."""
    k = len(task.classes)
    longest = max(len(name) for name in task.classes)
    edge, names = 0.34 * max(k, 4), 0.1 + min(0.075 * longest, 1.2)
    with style():
        figure, axes = small_axes(
            edge + names + 0.3,
            edge + 0.75 * names + 0.42,
            left=names + 0.22,
            bottom=0.75 * names + 0.32,
            right=0.08,
        )
        _matrix(axes, counts, task, name_rows=True)
    return figure


def _matrix(axes: Axes, counts: np.ndarray, task: Task, *, name_rows: bool) -> None:
    k = len(task.classes)
    totals = counts.sum(1, keepdims=True)
    share = np.divide(counts, totals, out=np.full(counts.shape, np.nan), where=totals > 0)
    edges = np.arange(k + 1) - 0.5
    axes.pcolormesh(edges, edges, share, cmap="Blues", vmin=0, vmax=1, edgecolor=PAPER, linewidth=1.5)
    axes.set_aspect("equal")
    axes.set_xlim(-0.5, k - 0.5)
    axes.set_ylim(k - 0.5, -0.5)
    for i, j in np.ndindex(k, k):
        if not np.isnan(share[i, j]):
            axes.text(
                j,
                i,
                percent_text(share[i, j]),
                ha="center",
                va="center",
                fontsize=9 if k <= 5 else 7,
                color=ON_DARK if share[i, j] > 0.55 else ON_LIGHT,
                fontweight="bold" if i == j else "normal",
            )
    axes.set_xticks(range(k), task.classes, rotation=35, ha="right", rotation_mode="anchor", fontsize=8)
    axes.set_yticks(range(k), task.classes if name_rows else [""] * k, fontsize=8)
    axes.set_ylabel("true class" if name_rows else "")
    axes.set_xlabel("answer")
    axes.tick_params(which="both", length=0)
    axes.spines[:].set_visible(False)


def _unmet(axes: Axes) -> None:
    axes.set_box_aspect(1)
    axes.set_facecolor("#f6f7f8")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    told = "no utterance can\nmeet this condition"
    axes.text(0.5, 0.5, told, transform=axes.transAxes, ha="center", va="center", color=FAINT, fontsize=9)


def _explain(axes: Axes) -> None:
    axes.axis("off")
    lines = (
        "How to read\n",
        "A row is a true class,",
        "a column the answer.",
        "Numbers are % of the row;",
        "the diagonal holds the recalls.",
        "Folds and seeds are pooled.",
    )
    axes.text(0.0, 0.95, "\n".join(lines), transform=axes.transAxes, va="top", fontsize=9, color=FAINT)


def confusion_section(study: Study) -> Section:
    """A fold a method. A regression has none, and says so."""
    title = "Who is taken for whom"
    if study.task.regression:
        return Section("confusion", title, missing="A score has no classes: nothing can be confused.")
    folds = [
        Folded(
            method, [confusion_picture(method, confusion_rows(frames, study.task), study.task)], open=False
        )
        for method, frames in study.frames.items()
    ]
    lead = (
        "A row is a true class, a column the answer; numbers are percent of the row, so that the diagonal holds the "
        "recalls. Folds and seeds are pooled."
    )
    return Section("confusion", title, [lead], folds)


def confusion_picture(method: str, rows: pd.DataFrame, task: Task) -> Picture:
    """The matrices of one method under every condition that can be met; `rows` of `confusion_rows`."""
    panels, told = [], []
    for condition in CONDITIONS:
        part = rows[rows["condition"] == condition]
        if part.empty:
            continue
        counts = confusion_counts(part, task)
        name = " + ".join(NAMES[m] for m in condition)
        panels.append(Panel(f"confusion-{method}-{condition}", confusion_panel(counts, task), name))
        told.append(f"{name} {percent_text(counts.trace() / counts.sum())} %")
    missing = [c for c in CONDITIONS if c not in set(rows["condition"])]
    lacking = f" No utterance can meet {', '.join(missing)}." if missing else ""
    return Picture(
        f"confusion-{method}",
        f"Confusion of {method} by the modalities that it may use.{lacking}",
        f"Confusion matrices of {method}; answered correctly: {', '.join(told)}.",
        panels,
    )


def measured(of: Evaluated) -> dict[str, pd.DataFrame]:
    """A file a condition, as DVC's plots want it."""
    parts = confusion_rows(of.frames, of.task).groupby("condition")
    return {f"confusion/{condition}.csv": rows[["actual", "predicted"]] for condition, rows in parts}


def of_method(run: Run) -> dict[str, Figure]:
    """All conditions of a method; nothing of a score."""
    if run.task.regression:
        return {}
    return {"confusion": confusion_figure(run.predictions, run.task, title=f"Confusion of {run.name}")}


def of_training(run: Run) -> dict[str, pd.DataFrame | Figure]:
    """Counts, and the matrix of the condition with the most modalities; a score's are metrics of its run."""
    if run.task.regression:
        return {}
    rows = confusion_rows(run.predictions, run.task)
    counts = rows.groupby(["condition", "actual", "predicted"], sort=False).size().reset_index(name="n")
    most = [c for c in CONDITIONS if c in set(rows["condition"])][-1:]
    drawn = confusion_panel(confusion_counts(rows[rows["condition"].isin(most)], run.task), run.task)
    return {"confusion.csv": counts, "confusion.svg": drawn}


ANALYSIS = Analysis(confusion_section, measure=measured, method=of_method, training=of_training)
