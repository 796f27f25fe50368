"""The numbers behind the robustness curves, one small table a curve, as DVC's plots want them."""

from collections.abc import Mapping

import pandas as pd

from cmarr.evaluation.robustness import MIXED
from cmarr.evaluation.scores import primary
from cmarr.task import Task


def plot_tables(protocols: Mapping[str, pd.DataFrame], task: Task) -> dict[str, pd.DataFrame]:
    """'<method>-<protocol>.csv' -> level, score; `protocols`: method -> its protocols.csv.

    Damage, which is answered under several conditions, has figures of its own.
    """
    out = {}
    for method, frame in protocols.items():
        curves = frame[(frame["metric"] == primary(task)) & (frame["condition"] == MIXED)]
        for name, part in curves.groupby("protocol", sort=False):
            table = part[["level", "mean"]].rename(columns={"mean": "score"})
            out[f"{method}-{name}.csv"] = table.sort_values("level")
    return out
