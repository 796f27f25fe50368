"""The scores of every protocol and level, as one long table: metrics/<dataset>/<method>/protocols.csv.

One row a protocol, level (or condition) and metric, in the order of `masks.protocols.ANSWERED`. Its columns:

    method     as in params.yaml: a method or an ablation
    protocol   'fixed', 'rate', 'unbalanced_speech', 'unbalanced_video', 'unbalanced_text', 'by_speaker',
               'by_class', 'frames', 'bursts', 'unseen', or a damage ('noise', ...)
    level      degree of the protocol, a number; empty in 'fixed' and 'unseen'
    realised   share of cells (utterance x modality) or of steps that really is missing at that level, natural
               absence included; of 'word_errors' the error rate; empty where nobody counts it
    condition  'fixed': a condition, 'avg6' or 'avg7'; 'unseen': a condition that training never showed, 'unseen'
               (their mean) or 'seen' (the mean of the others); a damage: each condition that uses the damaged
               modality; else 'mixed': each utterance has its own
    metric     WAR, UAR, ... (`cmarr.evaluation.scores`)
    mean, std, std_seeds, lo, hi, n   as in `cmarr.evaluation.summary.summarise`, fractions; empty where there is none.
               n: utterances scored, those with at least one usable modality
    all, n_all the mean with every utterance counted, those answered by the training prior too, and their number
    covers     of an average: the conditions that it averages, with spaces between; else the condition

protocols.json beside it holds the same numbers as {protocol: {level: {metric: cell}}}, but for damage, and the
protocols' rules."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from cmarr.analyses.analysis import Analysis, Evaluated
from cmarr.analyses.study import Study
from cmarr.evaluation.scores import ERRORS, primary
from cmarr.evaluation.sufficient_statistics import Axis, levels, together
from cmarr.evaluation.summary import Frames, long_table, summarise
from cmarr.masks.protocols import FIXED, MASKED, UNSEEN
from cmarr.modalities import CONDITIONS
from cmarr.report.numbers import RAW, score_text, unit, value_text
from cmarr.report.page import Block, Folded, Section
from cmarr.report.picture import Panel, Picture
from cmarr.report.style import Look, horizontal_grid, looks, small_axes, style
from cmarr.report.table import NOTHING, Table
from cmarr.task import Task

MIXED = "mixed"
"""Condition of a level at which each utterance may use something else."""

NUMBERS = ("mean", "std", "std_seeds", "lo", "hi", "n", "all", "n_all")
COLUMNS = ("method", "protocol", "level", "realised", "condition", "metric", *NUMBERS, "covers")


def protocol_summaries(
    frames: Frames, task: Task, names: Iterable[str], shown: Sequence[str] | None = None, **options: Any
) -> dict[str, dict[str, Any]]:
    """Protocol -> its summary (`summarise`), rows being levels; of all protocols that stand in the predictions.

    names: the protocols with levels. shown: the conditions that the method was trained on, for the protocol
    'unseen', which is left out where it saw them all; None leaves it out.
    """
    frame, out = together(frames), {}
    for name in names:
        own = frame[frame["protocol"] == name]
        axis = levels(sorted(own["level"].unique()))
        out[name] = summarise(own, task, protocol=name, axis=axis, **options)
    hidden = [] if shown is None else [c for c in CONDITIONS if c not in shown]
    if hidden:
        out[UNSEEN] = summarise(frame, task, axis=unseen(hidden), **options)
    return out


def damage_summaries(
    frames: Frames, task: Task, kinds: Iterable[str], **options: Any
) -> dict[tuple[str, str], dict[str, Any]]:
    """(Kind of damage, condition) -> its summary, rows being levels; of all kinds that stand in the predictions."""
    frame, out = together(frames), {}
    for kind in kinds:
        damaged = frame[frame["protocol"] == kind]
        for condition in (c for c in CONDITIONS if c in set(damaged["condition"])):
            own = damaged[damaged["condition"] == condition]
            axis = levels(sorted(own["level"].unique()))
            out[kind, condition] = summarise(own, task, protocol=kind, axis=axis, **options)
    return out


def unseen(hidden: Sequence[str]) -> Axis:
    """The conditions that training never showed, their mean, and the mean of the others."""
    averages = {UNSEEN: tuple(hidden), "seen": tuple(c for c in CONDITIONS if c not in hidden)}
    return Axis("condition", CONDITIONS, averages, (*hidden, *averages))


def protocol_table(
    method: str,
    fixed: Mapping[str, Any],
    summaries: Mapping[str, Mapping[str, Any]],
    realised: Mapping[str, Mapping[float, float]],
    damage: Mapping[tuple[str, str], Mapping[str, Any]] | None = None,
) -> pd.DataFrame:
    """All summaries of a method as one long table with the columns above.

    realised: protocol -> level -> share that is missing. damage: of `damage_summaries`.
    """
    parts = []
    for name, summary in {FIXED: fixed, **summaries}.items():
        part = long_table(summary, method=method, protocol=name)
        if name in (FIXED, UNSEEN):
            parts.append(part.assign(level=np.nan, realised=np.nan))
        else:
            parts.append(_by_level(part, realised.get(name, {}), MIXED))
    for (kind, condition), summary in (damage or {}).items():
        part = long_table(summary, method=method, protocol=kind)
        parts.append(_by_level(part, realised.get(kind, {}), condition))
    return pd.concat([part[list(COLUMNS)] for part in parts], ignore_index=True)


def _by_level(part: pd.DataFrame, realised: Mapping[float, float], condition: str) -> pd.DataFrame:
    return part.assign(
        level=part["condition"],
        realised=[realised.get(level, np.nan) for level in part["condition"]],
        condition=condition,
        covers=condition,
    )


def protocol_json(
    summaries: Mapping[str, Mapping[str, Any]],
    described: Mapping[str, Any],
    shown: Sequence[str] | None = None,
) -> dict[str, Any]:
    """{"protocols": {name: {"rule", "levels": {level: {metric: cell}}, "meta"}}, "absent": {name: reason}}.

    described: what protocols.json of the mask sets says. shown: as for `protocol_summaries`. Without anything
    unseen, 'unseen' is among the absent.
    """
    rules = {name: told["rule"] for name, told in described["protocols"].items()}
    absent = dict(described["absent"])
    if shown is not None:
        hidden = ", ".join(c for c in CONDITIONS if c not in shown)
        rules[UNSEEN] = f"masks in training never showed {hidden}; they showed {', '.join(shown)}"
        if not hidden:
            absent[UNSEEN] = "training showed all seven conditions"
    out: dict[str, Any] = {}
    for name, summary in summaries.items():
        rows: dict[str, dict[str, Any]] = {}
        for metric, cells in summary.items():
            for row, cell in cells.items() if metric != "meta" else ():
                rows.setdefault(str(row), {})[metric] = cell
        out[name] = {"rule": rules.get(name, ""), "levels": rows, "meta": summary["meta"]}
    return {"protocols": out, "absent": absent}


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
    """Curves with 95 % bands; `protocols`: method -> its protocols.csv (the module's docstring)."""
    metric = primary(task)
    parts = [frame[frame["metric"] == metric].assign(method=method) for method, frame in protocols.items()]
    rows = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["protocol"])
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
    scale = 1 if metric in RAW else 100
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
            edge = {"markeredgecolor": "white", "markeredgewidth": 0.6}
            look.line(axes, x, scale * y, markersize=5, linewidth=1.8, **edge)
        axes.set_xlabel(AXIS.get(protocol, "missing rate"))
        axes.set_ylabel(metric + unit(metric) + (" (less is better)" if metric in ERRORS else ""))
    return figure


def levels_table(rows: pd.DataFrame, protocol: str, metric: str) -> Table:
    """One row a method, one column a level: mean [interval]."""
    part = rows[rows["protocol"] == protocol]
    shares = part.drop_duplicates("level").set_index("level")["realised"]
    out = []
    for method, own in part.groupby("method", sort=False):
        cells = {f"{row['level']:g}": score_text(metric, row) for row in own.to_dict("records")}
        out.append({"method": method} | cells)
    off = [
        f"{level:g}: {share:.3f}"
        for level, share in shares.items()
        if share == share and abs(share - level) > 5e-3
    ]
    notes = [f"Really missing, where it is not the level: {', '.join(off)}."] if off else []
    return Table(
        f"robustness-{protocol.replace('_', '-')}",
        f"{metric}{unit(metric)} [95 % interval] by level: {HEADINGS[protocol]}.",
        pd.DataFrame(out).fillna(NOTHING),
        notes,
    )


def unseen_table(protocols: Mapping[str, pd.DataFrame], metric: str) -> Table | None:
    """Conditions that training never showed, of the methods that have some."""
    out = []
    for method, frame in protocols.items():
        own = frame[(frame["protocol"] == "unseen") & (frame["metric"] == metric)]
        for row in own.to_dict("records"):
            out.append({"method": method, "condition": row["condition"], metric: score_text(metric, row)})
    if not out:
        return None
    caption = "Conditions that training never showed, their mean (unseen), and the mean of the others (seen)."
    return Table("robustness-unseen", caption, pd.DataFrame(out))


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


def measured(of: Evaluated) -> dict[str, Any]:
    """protocols.csv and protocols.json of one method."""
    names = [name for name in MASKED if name in of.described["protocols"]]
    summaries = protocol_summaries(of.predictions, of.task, names, of.shown)
    damage = damage_summaries(of.predictions, of.task, of.damaged)
    return {
        "protocols.csv": protocol_table(of.name, of.summary, summaries, of.realised, damage),
        "protocols.json": protocol_json(summaries, of.described, of.shown),
    }


def section(study: Study) -> Section:
    """Curves, and the numbers behind each of them."""
    found = study.evaluated("protocols")
    files = {f"robustness/{name}": table for name, table in plot_tables(found, study.task).items()}
    return replace(robustness_section(found, study.task), files=files)


ANALYSIS = Analysis(section, measure=measured, shared=True)
