"""The picture of a table of results: one score per condition and method, with its interval."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cmarr.evaluation.scores import ERRORS
from cmarr.evaluation.sufficient_statistics import AVERAGES, ROWS
from cmarr.modalities import NAMES
from cmarr.report.published import Published
from cmarr.report.style import FAINT, GRID, horizontal_grid, looks, style
from cmarr.report.tables import _RAW, Summaries, row_label
from cmarr.task import Task

GAP = 0.25
"""Extra room, in steps of the horizontal axis, around the averages and the complete condition."""


def results_figure(
    summaries: Summaries,
    task: Task,
    *,
    metric: str,
    title: str,
    subtitle: str | None = None,
    cluster: str = "speaker",
    published: Published | None = None,
) -> Figure:
    """Dots with 95 % intervals, one a condition and method; a published row appears as open diamonds.

    Args:
        metric: one of the task's metrics.
        subtitle: default: what the dots and bars are. cluster: what the bars resample.
        published: shown for WAR and UAR only.
    """
    subtitle = _explained(summaries, cluster) if subtitle is None else subtitle
    scale = 1 if metric in _RAW else 100
    positions = _positions()
    with style():
        figure = Figure(figsize=(9.6, 4.6), layout="constrained")
        axes = figure.subplots()
        horizontal_grid(axes)
        for row in AVERAGES:
            axes.axvspan(
                positions[row] - 0.5, positions[row] + 0.55, color=GRID, alpha=0.55, linewidth=0, zorder=0
            )
        shift = np.linspace(-1, 1, len(summaries)) * min(0.3, 0.13 * (len(summaries) - 1))
        for (method, look), offset in zip(looks(summaries).items(), shift, strict=True):
            cells = summaries[method][metric]
            _method(axes, cells, positions, offset, scale, look.colour, look.marker, method)
        for paper, cells in (published or {}).items():
            _paper(axes, cells, positions, metric, paper)
        if metric == "UAR":
            chance = 100 / len(task.classes)
            axes.axhline(chance, color=FAINT, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
            axes.annotate(
                "chance",
                (positions["avg7"] + 0.6, chance),
                xytext=(4, 0),
                textcoords="offset points",
                va="center",
                fontsize=8.5,
                color=FAINT,
                annotation_clip=False,
            )
        _frame(axes, summaries, positions, metric)
        axes.set_title(title, pad=44 if subtitle else 30, fontsize=13)
        if subtitle:
            axes.annotate(
                subtitle,
                (0, 1),
                xytext=(0, 32),
                xycoords="axes fraction",
                textcoords="offset points",
                fontsize=9.5,
                color=FAINT,
            )
        axes.legend(
            loc="lower left",
            bbox_to_anchor=(-0.01, 1.0),
            ncols=7,
            handletextpad=0.3,
            columnspacing=1.4,
            borderaxespad=0.2,
        )
    return figure


def _explained(summaries: Summaries, cluster: str) -> str:
    meta = next(iter(summaries.values()))["meta"]
    if meta["clusters"] < 2:
        return "one test " + cluster + ": no interval"
    folds = f"mean over {meta['folds']} folds" if meta["folds"] > 1 else "one test split"
    return f"{folds}; bars: 95 % interval, {meta['clusters']} {cluster}s resampled"


def _positions() -> dict[str, float]:
    x, out = 0.0, {}
    for before, row in zip((None, *ROWS), ROWS, strict=False):
        if before is not None:
            x += 1 + GAP * (row in AVERAGES or before in AVERAGES)
        out[row] = x
    return out


def _method(
    axes: Axes,
    cells: Mapping[str, Any],
    positions: Mapping[str, float],
    offset: float,
    scale: int,
    colour: str,
    marker: str,
    name: str,
) -> None:
    known = [row for row in ROWS if cells[row]["mean"] is not None]
    x = [positions[row] + offset for row in known]
    y = np.array([cells[row]["mean"] for row in known]) * scale
    for at, row in zip(x, known, strict=True):
        if cells[row]["lo"] is not None:
            axes.plot(
                [at, at],
                [scale * cells[row]["lo"], scale * cells[row]["hi"]],
                color=colour,
                linewidth=1.8,
                alpha=0.55,
                solid_capstyle="butt",
                zorder=2,
            )
    axes.plot(
        x,
        y,
        marker,
        color=colour,
        markersize=6.5,
        markeredgecolor="white",
        markeredgewidth=0.7,
        label=name,
        zorder=3,
    )


def _paper(
    axes: Axes,
    cells: Mapping[str, tuple[float, float] | None],
    positions: Mapping[str, float],
    metric: str,
    name: str,
) -> None:
    if metric not in ("WAR", "UAR"):
        return
    pairs = {row: pair for row in ROWS if (pair := cells.get(row)) is not None}
    axes.plot(
        [positions[row] for row in pairs],
        [pair[metric == "UAR"] for pair in pairs.values()],
        "D",
        markerfacecolor="none",
        markeredgecolor=FAINT,
        markersize=8,
        label=f"{name} (paper)",
        zorder=1,
    )


def _frame(axes: Axes, summaries: Summaries, positions: Mapping[str, float], metric: str) -> None:
    labels = []
    for row in ROWS:
        if row in AVERAGES:
            labels.append(row_label(row, summaries).replace(" of ", "\n"))
        else:
            labels.append(row + "\n" + "\n".join(NAMES[m] for m in row))
    axes.set_xticks(list(positions.values()), labels)
    for row, tick in zip(ROWS, axes.get_xticklabels(), strict=True):
        tick.set_fontweight("bold" if row in AVERAGES else "normal")
    axes.set_xlim(-0.6, positions["avg7"] + 0.6)
    axes.spines["left"].set_visible(False)
    unit = "" if metric in _RAW else ", %"
    axes.set_ylabel(f"{metric}{unit}" + (" (less is better)" if metric in ERRORS else ""))
    first = next(iter(summaries.values()))[metric]
    for row in ROWS:
        if first[row]["mean"] is None:
            where: dict[str, Any] = {"transform": axes.get_xaxis_transform(), "ha": "center", "va": "center"}
            axes.text(positions[row], 0.5, "cannot be met", rotation=90, color=FAINT, fontsize=8.5, **where)
