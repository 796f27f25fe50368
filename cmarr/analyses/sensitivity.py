"""The paper's Figure 4: scores over each weight of the objective."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cmarr.analyses.analysis import Analysis
from cmarr.analyses.study import Study
from cmarr.errors import UserError
from cmarr.evaluation.scores import ERRORS, primary
from cmarr.report.numbers import score_text
from cmarr.report.page import Section
from cmarr.report.picture import picture
from cmarr.report.style import COLOURS, FAINT, MARKERS, horizontal_grid, style
from cmarr.report.table import NOTHING, Table
from cmarr.seals import read_lines, sealed
from cmarr.settings.grid import COLUMNS, Point, curves, studied
from cmarr.task import Task

SYMBOLS = {"alpha": "α", "beta": "β", "lambda": "λ"}
LOSSES = {"alpha": "L_udcl", "beta": "L_spcl", "lambda": "L_rec"}

AGAIN = "take it from git again"


def read_results(path: str | Path) -> pd.DataFrame:
    """The collected results, COLUMNS; a file without any has no seal.

    Raises UserError for a file that is damaged, or holds something else.
    """
    head = ",".join(COLUMNS).encode() + b"\n"
    begins = Path(path).read_bytes()[: len(head) + 1] if Path(path).is_file() else head + b"?"
    if not begins.startswith(head):
        raise UserError(f"{path}: must have the columns {', '.join(COLUMNS)}; {AGAIN}")
    if begins == head:
        return pd.DataFrame(columns=COLUMNS)
    return pd.read_csv(io.BytesIO(read_lines(path, AGAIN)), dtype={"key": str})


def write_results(path: str | Path, frame: pd.DataFrame) -> None:
    """Write the collected results, sealed in a last line."""
    with sealed(path) as temporary:
        frame.to_csv(temporary, index=False)


def with_result(frame: pd.DataFrame, point: Point, summary: Mapping[str, Any]) -> pd.DataFrame:
    """The collected results with those of one point, in place of older ones of the same key."""
    rows = [
        {"key": point.key, **point.weights, "metric": metric, "condition": row}
        | {name: cell[name] for name in ("mean", "lo", "hi")}
        for metric, cells in summary.items()
        if metric != "meta"
        for row, cell in cells.items()
    ]
    others = frame[frame["key"] != point.key]
    new = pd.DataFrame(rows, columns=COLUMNS)
    joined = new if others.empty else pd.concat([others, new])
    order = ["alpha", "beta", "lambda", "key"]
    return joined.sort_values(order, kind="stable", ignore_index=True)


def measured(curve: Sequence[Point], results: pd.DataFrame, metric: str, condition: str) -> pd.DataFrame:
    """The points of a curve that were run, in order: columns value (index of `curve`), mean, lo, hi."""
    rows = results[(results["metric"] == metric) & (results["condition"] == condition)].set_index("key")
    known = [(i, *rows.loc[p.key, ["mean", "lo", "hi"]]) for i, p in enumerate(curve) if p.key in rows.index]
    return pd.DataFrame(known, columns=["at", "mean", "lo", "hi"])


def curve_frame(weight: str, curve: Sequence[Point], results: pd.DataFrame, task: Task) -> pd.DataFrame:
    """One row a value of the weight: the scores with their intervals, '-' where it has not been run."""
    columns: dict[str, list[str]] = {SYMBOLS[weight]: [f"{p.weights[weight]:g}" for p in curve]}
    for metric in _metrics(task):
        for condition in ("avg6", "svt"):
            found = measured(curve, results, metric, condition).set_index("at")
            columns[f"{metric} {condition}"] = [
                score_text(metric, found.loc[i]) if i in found.index else NOTHING for i in range(len(curve))
            ]
    return pd.DataFrame(columns)


@dataclass(frozen=True)
class Sensitivity:
    """What Figure 4 shows.

    grid:    weight -> the points of its curve
    results: of `read_results`
    now:     weight -> its value in params.yaml
    """

    grid: Mapping[str, Sequence[Point]]
    results: pd.DataFrame
    task: Task
    now: Mapping[str, float]


def sensitivity_figure(of: Sensitivity, title: str) -> Figure:
    """Three panels, one a weight: the scores over its values, bars the 95 % interval."""
    with style():
        figure = Figure(figsize=(10.2, 3.5), layout="constrained")
        panels = figure.subplots(1, len(of.grid), sharey=True)
        for axes, (weight, curve) in zip(np.atleast_1d(panels), of.grid.items(), strict=True):
            horizontal_grid(axes)
            for metric, colour, marker, shift in zip(
                _metrics(of.task), COLOURS, MARKERS, (-0.06, 0.06), strict=False
            ):
                _line(axes, measured(curve, of.results, metric, "avg6"), metric, colour, marker, shift)
            values = [point.weights[weight] for point in curve]
            labels = [f"{v:g}" for v in values]
            axes.set_xticks(range(len(values)), labels)
            axes.get_xticklabels()[values.index(of.now[weight])].set_fontweight("bold")
            axes.set_xlim(-0.4, len(values) - 0.6)
            axes.set_title(f"{SYMBOLS[weight]}, weight of {LOSSES[weight]}", fontsize=10)
        first = np.atleast_1d(panels)[0]
        first.set_ylabel("avg6" + ("" if of.task.regression else ", %"))
        first.legend(loc="best")
        figure.suptitle(
            f"{title}\nbars: 95 % interval; bold: the value in params.yaml", x=0.01, ha="left", fontsize=10
        )
    return figure


def _line(axes: Axes, found: pd.DataFrame, metric: str, colour: str, marker: str, shift: float) -> None:
    scale = 1 if metric in ERRORS else 100
    x = found["at"] + shift
    axes.vlines(x, scale * found["lo"], scale * found["hi"], color=colour, alpha=0.45, linewidth=1.6)
    axes.plot(
        x, scale * found["mean"], color=colour, marker=marker, markersize=5.5, linewidth=1.4, label=metric
    )
    if found.empty:
        axes.text(0.5, 0.5, "not run", transform=axes.transAxes, ha="center", color=FAINT)


def _metrics(task: Task) -> tuple[str, ...]:
    return (primary(task),) if task.regression else ("WAR", "UAR")


TITLE = "The weights of the objective (Figure 4)"
HOW = "No point of the parameter study has been run with these settings: `make sensitivity` runs the grids."


def sensitivity_section(of: Sensitivity, dataset: str) -> Section:
    """The section of Figure 4."""
    keys = {point.key for curve in of.grid.values() for point in curve}
    run = keys & set(of.results["key"])
    if not run:
        return Section("sensitivity", TITLE, missing=HOW)
    figure = sensitivity_figure(of, f"CM-ARR over the weights of its objective, {dataset}")
    drawn = picture(
        "sensitivity",
        figure,
        caption="Figure 4. One weight moves, the others stay; bars: 95 % interval, bold: the value in params.yaml.",
        alt=f"Scores over alpha, beta and lambda; {len(run)} of {len(keys)} points were run.",
    )
    tables = [
        Table(
            f"sensitivity-{weight}",
            f"{SYMBOLS[weight]}, the weight of {LOSSES[weight]}: scores [95 % interval]; '-' has not been run.",
            curve_frame(weight, curve, of.results, of.task),
        )
        for weight, curve in of.grid.items()
    ]
    lead = f"{len(run)} of the {len(keys)} points of the grids have been run."
    return Section("sensitivity", TITLE, [lead], [drawn, *tables])


def section(study: Study) -> Section:
    """The points that were run with the settings of this study."""
    results = read_results(study.at.metrics / "sensitivity.csv")
    grids = study.settings["sensitivity"]
    files = study.settings["made_by"] | {"corpus": study.settings["corpus"]}
    of = studied(study.settings, grids)
    grid, now = (curves(files, grids, of), of.now(files)) if of else ({}, {})
    made = sensitivity_section(Sensitivity(grid, results, study.task, now), study.dataset)
    return replace(made, files={"sensitivity.md": made.markdown(study.dataset)})


ANALYSIS = Analysis(section)
