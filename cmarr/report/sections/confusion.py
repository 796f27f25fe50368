"""Confusion matrices: one per method and condition."""

import pandas as pd

from cmarr.modalities import CONDITIONS, NAMES
from cmarr.report.confusion import confusion_counts, confusion_panel, confusion_rows
from cmarr.report.page import Folded, Section
from cmarr.report.picture import Panel, Picture
from cmarr.report.study import Study
from cmarr.task import Task

OPEN = 3
"""Methods up to which every one's matrices stand open; of more, the first one's do."""


def confusion_section(study: Study) -> Section:
    """A fold a method. A regression has none, and says so."""
    title = "Who is taken for whom"
    if study.task.regression:
        return Section("confusion", title, missing="A score has no classes: nothing can be confused.")
    folds = [
        Folded(
            method,
            [confusion_picture(method, confusion_rows(frames, study.task), study.task)],
            open=i == 0 or few,
        )
        for few in [len(study.frames) <= OPEN]
        for i, (method, frames) in enumerate(study.frames.items())
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
        told.append(f"{name} {100 * counts.trace() / counts.sum():.0f} %")
    missing = [c for c in CONDITIONS if c not in set(rows["condition"])]
    lacking = f" No utterance can meet {', '.join(missing)}." if missing else ""
    return Picture(
        f"confusion-{method}",
        f"Confusion of {method} by the modalities that it may use.{lacking}",
        f"Confusion matrices of {method}; answered correctly: {', '.join(told)}.",
        panels,
    )
