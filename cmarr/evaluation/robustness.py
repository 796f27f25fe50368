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
    mean, std, lo, hi, n   as in `cmarr.evaluation.summary.summarise`, fractions; empty where there is no number.
               n: utterances scored, those with at least one usable modality
    all, n_all the mean with every utterance counted, those answered by the training prior too, and their number
    covers     of an average: the conditions that it averages, with spaces between; else the condition

protocols.json beside it holds the same numbers as {protocol: {level: {metric: cell}}}, but for damage, and the
protocols' rules.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from cmarr.evaluation.sufficient_statistics import Axis, levels
from cmarr.evaluation.summary import Frames, long_table, summarise
from cmarr.masks.protocols import FIXED, UNSEEN
from cmarr.modalities import CONDITIONS
from cmarr.task import Task

MIXED = "mixed"
"""Condition of a level at which each utterance may use something else."""

COLUMNS = (
    "method",
    "protocol",
    "level",
    "realised",
    "condition",
    "metric",
    "mean",
    "std",
    "lo",
    "hi",
    "n",
    "all",
    "n_all",
    "covers",
)


def protocol_summaries(
    frames: Frames, task: Task, names: Iterable[str], shown: Sequence[str] | None = None, **options: Any
) -> dict[str, dict[str, Any]]:
    """Protocol -> its summary (`summarise`), rows being levels; of all protocols that stand in the predictions.

    names: the protocols with levels. shown: the conditions that the method was trained on, for the protocol
    'unseen', which is left out where it saw them all; None leaves it out.
    """
    frame = frames if isinstance(frames, pd.DataFrame) else pd.concat(frames, ignore_index=True)
    out = {}
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
    frame = frames if isinstance(frames, pd.DataFrame) else pd.concat(frames, ignore_index=True)
    out = {}
    for kind in kinds:
        hurt = frame[frame["protocol"] == kind]
        for condition in (c for c in CONDITIONS if c in set(hurt["condition"])):
            own = hurt[hurt["condition"] == condition]
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
