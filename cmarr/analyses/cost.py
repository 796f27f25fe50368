"""What every method cost to train."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pandas as pd

from cmarr.analyses.analysis import Analysis
from cmarr.analyses.study import Study
from cmarr.report.page import Section
from cmarr.report.table import Table

NOTES = (
    "Seconds add up over all trainings (folds, seeds, the model a method starts from), even if they ran side by side. "
    "Core-seconds are what the cores of the CPU spent on them, which other work on the machine hardly changes.",
    "On a CPU the peak is that of the whole process, with all libraries that it has loaded; on a GPU it is what "
    "PyTorch had allocated.",
)


def cost_section(costs: Mapping[str, Mapping[str, Any]]) -> Section:
    """Time, memory and parameters a method; `costs` by method, as cost.json holds them."""
    return Section("cost", "Cost", (), [cost_table(costs)])


def cost_table(costs: Mapping[str, Mapping[str, Any]]) -> Table:
    """One row a method, from its cost.json."""
    rows = []
    for method, cost in costs.items():
        trainings = cost.get("trainings", [])
        epochs = [t["epochs"] for t in trainings if t.get("epochs")]
        rows.append(
            {
                "method": method,
                "trainings": len(trainings) or None,
                "epochs, mean": f"{sum(epochs) / len(epochs):.1f}" if epochs else None,
                "training, s": float(cost["seconds"]),
                "core-s": float(cost["core_seconds"]),
                "peak memory, MB": round(cost["peak_memory_bytes"] / 1e6),
                "parameters": int(cost["parameters"]),
                "device": ", ".join(sorted({str(t["device"]) for t in trainings if t.get("device")})) or None,
            }
        )
    caption = "Training cost of every method: time, the largest memory of any training, trained parameters."
    return Table("costs", caption, pd.DataFrame(rows), NOTES, digits=1)


def section(study: Study) -> Section:
    """What the methods of this study cost."""
    made = cost_section(study.costs)
    return replace(made, files={"costs.md": made.markdown(study.dataset)})


ANALYSIS = Analysis(section)
