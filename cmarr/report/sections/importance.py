"""What each modality contributes: exact Shapley values."""

from collections.abc import Mapping

import pandas as pd
from matplotlib.figure import Figure

from cmarr.evaluation.scores import primary
from cmarr.modalities import MODALITIES, NAMES
from cmarr.report.markdown import NOTHING
from cmarr.report.page import Block, Section
from cmarr.report.picture import Panel, Picture
from cmarr.report.style import FAINT, Look, horizontal_grid, looks, small_axes, style
from cmarr.report.table import Table
from cmarr.report.tables import value_text
from cmarr.task import Task

TITLE = "What each modality contributes"
HOW = "No modality importance was measured: evaluate the methods again (`dvc repro`)."


def importance_section(importance: Mapping[str, pd.DataFrame], task: Task) -> Section:
    """Shapley values with intervals; by method, see `cmarr.evaluation.importance`."""
    metric = primary(task)
    found = {
        m: rows
        for m, frame in importance.items()
        if len(rows := frame[(frame["metric"] == metric) & frame["value"].notna()])
    }
    if not found:
        return Section("importance", TITLE, missing=HOW)
    known = looks(found)
    raw = metric in ("MAE", "Corr")
    unit = "" if raw else ", points"
    frame = pd.DataFrame([_row(method, rows, metric) for method, rows in found.items()])
    lead = (
        f"A modality's value is what it adds to {metric}, averaged over all orders in which the modalities can arrive; "
        "the values sum to the score with everything minus what the training prior scores. Nothing is approximated."
    )
    blocks: list[Block] = [
        Picture(
            "importance",
            f"Shapley value of each modality, {metric}{unit}; bars: 95 % interval.",
            _alt(frame),
            [Panel("importance", importance_figure(found, metric, known))],
            legend=known,
        ),
        Table("importance", f"Shapley values of {metric}{unit} [95 % interval].", frame),
    ]
    return Section("importance", TITLE, [lead], blocks)


def importance_figure(
    importance: Mapping[str, pd.DataFrame], metric: str, known: Mapping[str, Look]
) -> Figure:
    """A dot with its interval a modality and method."""
    scale = 1 if metric in ("MAE", "Corr") else 100
    present = [m for m in MODALITIES if any(m in set(rows["modality"]) for rows in importance.values())]
    step = min(0.16, 0.7 / len(importance))
    with style():
        figure, axes = small_axes(5.2, 2.6, left=0.6, bottom=0.35)
        horizontal_grid(axes)
        axes.axhline(0, color=FAINT, linewidth=1)
        for place, (method, rows) in enumerate(importance.items()):
            own, look = rows.set_index("modality"), known[method]
            for at, m in enumerate(present):
                if m not in own.index:
                    continue
                x = at + (place - (len(importance) - 1) / 2) * step
                lo, value, hi = (scale * own.loc[m, c] for c in ("lo", "value", "hi"))
                axes.plot(
                    [x, x], [lo, hi], color=look.colour, linewidth=1.8, alpha=0.55, solid_capstyle="butt"
                )
                axes.plot(
                    [x],
                    [value],
                    look.marker,
                    color=look.colour,
                    markersize=6.5,
                    markeredgecolor="white",
                    markeredgewidth=0.7,
                )
        axes.set_xticks(range(len(present)), [NAMES[m] for m in present])
        axes.set_xlim(-0.5, len(present) - 0.5)
        axes.set_ylabel(metric + ("" if scale == 1 else ", points"))
    return figure


def _alt(frame: pd.DataFrame) -> str:
    told = [
        f"{row['method']}: " + ", ".join(f"{name} {row[name]}" for name in NAMES.values())
        for row in frame.to_dict("records")
    ]
    return f"Dots with intervals. {'; '.join(told)}."


def _row(method: str, rows: pd.DataFrame, metric: str) -> dict[str, str]:
    own = rows.set_index("modality")
    out = {"method": method}
    for m in MODALITIES:
        out[NAMES[m]] = NOTHING
        if m in own.index:
            lo, value, hi = (own.loc[m, c] for c in ("lo", "value", "hi"))
            interval = "" if pd.isna(lo) else f" [{_signed(metric, lo)}, {_signed(metric, hi)}]"
            out[NAMES[m]] = f"{_signed(metric, value)}{interval}"
    first = rows.iloc[0]
    return out | {
        "prior": value_text(metric, first["prior"]),
        "all together": value_text(metric, first["complete"]),
    }


def _signed(metric: str, value: float) -> str:
    return value_text(metric, value, digits=2 if metric in ("MAE", "Corr") else 1, sign=True)
