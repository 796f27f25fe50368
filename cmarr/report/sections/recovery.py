"""Figure 5: recovered beside true representations, and the numbers behind it."""

from collections.abc import Mapping

import pandas as pd

from cmarr.report.page import Block, Points, Section
from cmarr.report.picture import picture
from cmarr.report.recovery import MEASURED, numbers_frame, recovery_figure, sentences
from cmarr.report.table import Table, slugs

TITLE = "What is recovered (Figure 5)"
HOW = (
    "No recovery has been measured here: name methods under `recovery` in params.yaml (`-S 'recovery=[cmarr]'`); "
    "`make ablations` does it."
)


def recovery_section(
    measured: Mapping[str, pd.DataFrame],
    points: pd.DataFrame | None,
    *,
    changes: Mapping[str, str],
    dataset: str,
) -> Section:
    """The section of Figure 5; `measured` by method or label, `points` of all of them with a column name."""
    if not measured or points is None:
        return Section("recovery", TITLE, missing=HOW)
    figure = recovery_figure(points, title=f"Recovered and true representations, {dataset}", changes=changes)
    blocks: list[Block] = [
        picture(
            "recovery",
            figure,
            caption="Figure 5. t-SNE of true (filled) and recovered (open) representations of one test fold; a line "
            "joins the two of an utterance.",
            alt=f"Recovered and true representations of {', '.join(measured)}; the numbers stand in the table below.",
        )
    ]
    files = slugs(measured)
    for name, rows in measured.items():
        told = f"{name} ({changes[name]})" if name in changes else name
        blocks += [
            Table(
                f"recovery-{files[name]}",
                f"Recovered against true representations, {told}.",
                numbers_frame(rows),
                [MEASURED] if name == next(iter(measured)) else (),
                digits=3,
            ),
            Points(sentences(rows)),
        ]
    return Section("recovery", TITLE, (), blocks)
