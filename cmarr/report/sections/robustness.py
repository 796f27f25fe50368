"""Robustness curves: scores over how much is missing, one panel a protocol."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from cmarr.evaluation.scores import ERRORS, primary
from cmarr.report.markdown import NOTHING
from cmarr.report.page import Block, Folded, Section
from cmarr.report.picture import Panel, Picture
from cmarr.report.style import Look, horizontal_grid, looks, small_axes, style
from cmarr.report.table import Table
from cmarr.report.tables import interval_text, value_text
from cmarr.task import Task

TITLE = "Robustness: how scores fall"
HOW = (
    "Only the seven fixed conditions were evaluated: name protocols in params.yaml (`-S 'protocols=[all]'`) to see "
    "the scores fall with the missing rate, with dropped frames and with modalities missing not at random."
)
HEADINGS = {
    "rate": "modalities missing at random",
    "unbalanced_speech": "speech missing most often",
    "unbalanced_video": "video missing most often",
    "unbalanced_text": "text missing most often",
    "by_speaker": "whole speakers lose a modality",
    "by_class": "missing depends on the class",
    "frames": "frames and tokens dropped",
    "bursts": "frames and tokens dropped in bursts",
}
AXIS = {
    "frames": "share of steps dropped",
    "bursts": "share of steps dropped",
    "by_class": "missing rate of the last class",
    "unbalanced_speech": "share of utterances without it",
    "unbalanced_video": "share of utterances without it",
    "unbalanced_text": "share of utterances without it",
}


def robustness_section(protocols: Mapping[str, pd.DataFrame], task: Task) -> Section:
    """Curves with 95 % bands; `protocols`: method -> its protocols.csv (`cmarr.evaluation.robustness`)."""
    metric = primary(task)
    rows = _rows(protocols, metric)
    names = [name for name in HEADINGS if name in set(rows["protocol"])] if len(rows) else []
    if not names:
        return Section("robustness", TITLE, missing=HOW)
    known = looks(protocols)
    panels = [
        Panel(f"robustness-{name.replace('_', '-')}", curve_figure(rows, name, metric, known), HEADINGS[name])
        for name in names
    ]
    alone = len(protocols) > 1
    blocks: list[Block] = [
        Picture(
            "robustness",
            f"{metric} over how much is missing; bands: 95 % interval. One mask set for all methods.",
            _alt(rows, names, metric),
            panels,
            legend=known if alone else {},
        )
    ]
    first, *others = [levels_table(rows, name, metric) for name in names]
    blocks.append(first)
    if others:
        blocks.append(Folded("The same numbers for the other protocols", others, open=False))
    if (unseen := unseen_table(protocols, metric)) is not None:
        blocks.append(unseen)
    lead = (
        "One trained model answers at every level; nothing is trained again. Every method meets the same masks, and an "
        "utterance that is left with nothing is not scored."
    )
    return Section("robustness", TITLE, [lead], blocks)


def curve_figure(rows: pd.DataFrame, protocol: str, metric: str, known: Mapping[str, Look]) -> Figure:
    """One protocol: a line with a band for every method."""
    scale = 1 if metric in ("MAE", "Corr") else 100
    part = rows[rows["protocol"] == protocol]
    shade = 0.4 / max(3, len(known))  # many bands on top of one another must not hide the lines
    with style():
        figure, axes = small_axes(3.1, 2.4, left=0.55, bottom=0.45)
        horizontal_grid(axes)
        for method, look in known.items():
            own = part[part["method"] == method].sort_values("level")
            if own.empty:
                continue
            x, y, lo, hi = (own[c].to_numpy(np.float64) for c in ("level", "mean", "lo", "hi"))
            axes.fill_between(x, scale * lo, scale * hi, color=look.colour, alpha=shade, linewidth=0)
            axes.plot(
                x,
                scale * y,
                color=look.colour,
                marker=look.marker,
                markersize=5,
                markeredgecolor="white",
                markeredgewidth=0.6,
                linewidth=1.8,
                dashes=look.dashes or (None, None),
            )
        axes.set_xlabel(AXIS.get(protocol, "missing rate"))
        axes.set_ylabel(
            metric + ("" if scale == 1 else ", %") + (" (less is better)" if metric in ERRORS else "")
        )
    return figure


def levels_table(rows: pd.DataFrame, protocol: str, metric: str) -> Table:
    """One row a method, one column a level: mean [interval]."""
    part = rows[rows["protocol"] == protocol]
    shares = part.drop_duplicates("level").set_index("level")["realised"]
    out = []
    for method, own in part.groupby("method", sort=False):
        cells = {
            f"{row.level:g}": f"{value_text(metric, row.mean_)} {interval_text(metric, row.lo_, row.hi_)}".strip()
            for row in own.assign(
                mean_=own["mean"].astype(object).where(own["mean"].notna(), None),
                lo_=own["lo"].astype(object).where(own["lo"].notna(), None),
                hi_=own["hi"].astype(object).where(own["hi"].notna(), None),
            ).itertuples()
        }
        out.append({"method": method} | cells)
    off = [
        f"{level:g}: {share:.3f}"
        for level, share in shares.items()
        if share == share and abs(share - level) > 5e-3
    ]
    notes = [f"Really missing, where it is not the level: {', '.join(off)}."] if off else []
    unit = "" if metric in ("MAE", "Corr") else ", %"
    return Table(
        f"robustness-{protocol.replace('_', '-')}",
        f"{metric}{unit} [95 % interval] by level: {HEADINGS[protocol]}.",
        pd.DataFrame(out).fillna(NOTHING),
        notes,
    )


def unseen_table(protocols: Mapping[str, pd.DataFrame], metric: str) -> Table | None:
    """Conditions that training never showed, of the methods that have some."""
    out = []
    for method, frame in protocols.items():
        own = frame[(frame["protocol"] == "unseen") & (frame["metric"] == metric)]
        for row in own.to_dict("records"):
            mean, lo, hi = (None if pd.isna(row[c]) else row[c] for c in ("mean", "lo", "hi"))
            text = f"{value_text(metric, mean)} {interval_text(metric, lo, hi)}".strip()
            out.append({"method": method, "condition": row["condition"], metric: text})
    if not out:
        return None
    caption = "Conditions that training never showed, their mean (unseen), and the mean of the others (seen)."
    return Table("robustness-unseen", caption, pd.DataFrame(out))


def _rows(protocols: Mapping[str, pd.DataFrame], metric: str) -> pd.DataFrame:
    parts = [frame[frame["metric"] == metric].assign(method=method) for method, frame in protocols.items()]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["protocol"])


def _alt(rows: pd.DataFrame, names: list[str], metric: str) -> str:
    told = []
    for name in names:
        part = rows[rows["protocol"] == name].dropna(subset=["mean"])
        for method, own in part.groupby("method", sort=False):
            own = own.sort_values("level")
            first, last = own.iloc[0], own.iloc[-1]
            told.append(
                f"{HEADINGS[name]}, {method}: {value_text(metric, first['mean'])} at {first['level']:g}, "
                f"{value_text(metric, last['mean'])} at {last['level']:g}"
            )
    return f"Lines of {metric} over how much is missing. " + "; ".join(told) + "."
