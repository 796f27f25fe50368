"""Figure 4: scores over the weights of the objective."""

from collections.abc import Mapping, Sequence

import pandas as pd

from cmarr.report.page import Section
from cmarr.report.picture import picture
from cmarr.report.sensitivity import LOSSES, SYMBOLS, curve_frame, sensitivity_figure
from cmarr.report.table import Table
from cmarr.settings.grid import Point
from cmarr.task import Task

TITLE = "The weights of the objective (Figure 4)"
HOW = "No point of the parameter study has been run with these settings: `make sensitivity` runs the grids."


def sensitivity_section(
    curves: Mapping[str, Sequence[Point]],
    results: pd.DataFrame,
    task: Task,
    *,
    now: Mapping[str, float],
    dataset: str,
) -> Section:
    """The section of Figure 4. curves, results: see `cmarr.report.sensitivity`; now: weight -> its value."""
    keys = {point.key for curve in curves.values() for point in curve}
    run = keys & set(results["key"])
    if not run:
        return Section("sensitivity", TITLE, missing=HOW)
    figure = sensitivity_figure(
        curves, results, task, now=now, title=f"CM-ARR over the weights of its objective, {dataset}"
    )
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
            curve_frame(weight, curve, results, task),
        )
        for weight, curve in curves.items()
    ]
    lead = f"{len(run)} of the {len(keys)} points of the grids have been run."
    return Section("sensitivity", TITLE, [lead], [drawn, *tables])
