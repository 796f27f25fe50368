"""How well the classes part in representation space: silhouettes, and a map of every method."""

from collections.abc import Mapping

import pandas as pd

from cmarr.report.clusters import MEASURED, clusters_figure, sentences, silhouettes_frame
from cmarr.report.page import Block, Points, Section
from cmarr.report.picture import picture
from cmarr.report.table import Table

TITLE = "Clusters of the classes"
HOW = (
    "No clusters have been measured here: name methods under `clusters` in params.yaml (`-S 'clusters=[mcur]'`); "
    "`make ablations` does it."
)


def clusters_section(
    measured: Mapping[str, pd.DataFrame], points: pd.DataFrame | None, *, dataset: str
) -> Section:
    """The section; `measured` by method or label, `points` of all of them with a column name."""
    if not measured or points is None:
        return Section("clusters", TITLE, missing=HOW)
    named = ", ".join(measured)
    blocks: list[Block] = [
        Table(
            "clusters",
            f"Silhouette by class within each condition, {named}.",
            silhouettes_frame(measured),
            [MEASURED],
        ),
        picture(
            "clusters",
            clusters_figure(points, title=f"Representations by class and condition, {dataset}"),
            caption="t-SNE of the vectors that answers are read from, one test fold; the conditions of a row lie in "
            "one map, so that a class which keeps its place is represented alike whatever is missing.",
            alt=f"Representations of {named} under each condition; the silhouettes stand in the table above.",
        ),
    ]
    if lines := sentences(measured):
        blocks.insert(1, Points(lines))
    return Section("clusters", TITLE, (), blocks)
