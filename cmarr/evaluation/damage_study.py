"""Should a damaged modality be used? The choices of one method compared, level by level."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from cmarr.evaluation.choices import Choices, choices
from cmarr.evaluation.comparison import ALPHA, compare_pairs
from cmarr.evaluation.resampling import RESAMPLES, holm
from cmarr.evaluation.scores import ERRORS, primary
from cmarr.evaluation.sufficient_statistics import levels as by_level
from cmarr.evaluation.summary import Frames, summarise
from cmarr.task import Task

DECIDED = ("entropy", "sigma")
"""The choices that the model makes."""


GONE = 0.9
"""Share of the utterances that lost the modality altogether at which a level has nothing left to decide about."""


@dataclass(frozen=True)
class Finding:
    """One method under one kind of damage.

    scores:      choice -> metric -> level -> cell, see `cmarr.evaluation.summary.summarise`
    differences: (choice, other) -> metric -> level -> {difference, lo, hi, p, shown, p_holm}: the first minus the
                 second, see `cmarr.evaluation.comparison.compare`. `shown` is 1 or -1 only where Holm's correction
                 over the levels lets it.
    """

    choices: Choices
    scores: Mapping[str, Mapping[str, Any]]
    differences: Mapping[tuple[str, str], Mapping[str, Any]]
    clusters: int


def examine(
    frames: Frames,
    task: Task,
    kind: str,
    spread: pd.DataFrame | None = None,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Finding | None:
    """Compare the choices; None where nothing was answered under this kind of damage. Arguments as for `choices`."""
    frame = frames if isinstance(frames, pd.DataFrame) else pd.concat(frames, ignore_index=True)
    found = choices(frame, task, kind, spread)
    if found is None:
        return None
    options: dict[str, Any] = {
        "protocol": kind,
        "axis": by_level(found.levels),
        "resamples": resamples,
        "seed": seed,
    }
    scores = {name: summarise(rows, task, **options) for name, rows in found.answers.items()}
    pairs = [("use", "hide"), *((name, other) for name in DECIDED for other in ("use", "hide"))]
    given = [(a, b) for a, b in pairs if a in found.answers and b in found.answers]
    compared = compare_pairs(found.answers, given, task, **options)
    differences = {pair: _corrected(cells) for pair, cells in compared.items()}
    return Finding(found, scores, differences, scores["use"]["meta"]["clusters"])


def _corrected(compared: Mapping[str, Any]) -> dict[str, Any]:
    """The same with Holm's correction over the levels of each metric."""
    out: dict[str, Any] = {}
    for metric, cells in compared.items():
        if metric == "meta":
            continue
        known = [level for level, cell in cells.items() if cell["p"] is not None]
        corrected = dict(zip(known, holm([cells[level]["p"] for level in known]), strict=True))
        out[metric] = {
            level: cell
            | {
                "p_holm": corrected.get(level),
                "shown": cell["shown"] if corrected.get(level, 1.0) < ALPHA else 0,
            }
            for level, cell in cells.items()
        }
    return out


@dataclass(frozen=True)
class Verdict:
    """What a finding says of one metric. Levels are None where there is none.

    gone:        the levels that leave nearly nothing of the modality (`GONE`): using it is hiding it
    hiding_pays: the mildest level from which on, to the worst that is not gone, hiding is shown to be better
    means_cross: the same for the means alone, whatever a test says
    using_pays:  the levels at which using is shown to be better
    worse_than:  choice of the model -> levels at which it is shown to be worse than using or hiding
    cost:        choice of the model -> the most that it lies behind the better of the two means, at any level
    """

    gone: Sequence[float]
    hiding_pays: float | None
    means_cross: float | None
    using_pays: Sequence[float]
    worse_than: Mapping[str, Sequence[float]]
    cost: Mapping[str, float]


def judge(finding: Finding, task: Task) -> Verdict | None:
    """The verdict on the task's first metric; None where nothing can be hidden."""
    metric, levels = primary(task), finding.choices.levels
    if ("use", "hide") not in finding.differences:
        return None
    sign = -1 if metric in ERRORS else 1
    means = {n: {x: sign * (s[metric][x]["mean"] or 0.0) for x in levels} for n, s in finding.scores.items()}
    shown = {
        pair: {level: cell["shown"] for level, cell in compared[metric].items()}
        for pair, compared in finding.differences.items()
    }
    decided = [name for name in DECIDED if name in finding.scores]
    gone = [x for x in levels if finding.choices.hidden["use"][x] >= GONE]
    left = [x for x in levels if x not in gone]
    return Verdict(
        gone=gone,
        hiding_pays=_onset([shown["use", "hide"][x] < 0 for x in left], left),
        means_cross=_onset([means["hide"][x] > means["use"][x] for x in left], left),
        using_pays=[x for x in levels if shown["use", "hide"][x] > 0],
        worse_than={
            n: [x for x in levels if min(shown[n, o][x] for o in ("use", "hide")) < 0] for n in decided
        },
        cost={n: max(max(means["use"][x], means["hide"][x]) - means[n][x] for x in levels) for n in decided},
    )


def _onset(true: Sequence[bool], levels: Sequence[float]) -> float | None:
    """The mildest level from which on it is true at all levels; levels from the mildest to the worst."""
    onset = None
    for level, holds in zip(reversed(levels), reversed(true), strict=True):
        if not holds:
            break
        onset = level
    return onset


def scores_table(method: str, kind: str, finding: Finding, realised: Mapping[float, float]) -> pd.DataFrame:
    """Long: method, kind, level, realised, choice, hidden (share), metric, mean, std, lo, hi, n."""
    rows = [
        {
            "method": method,
            "kind": kind,
            "level": level,
            "realised": realised.get(level),
            "choice": choice,
            "hidden": finding.choices.hidden.get(choice, {}).get(level),
            "metric": metric,
            **{name: cell[name] for name in ("mean", "std", "lo", "hi", "n")},
        }
        for choice, summary in finding.scores.items()
        for metric, cells in summary.items()
        if metric != "meta"
        for level, cell in cells.items()
    ]
    return pd.DataFrame(rows)


def differences_table(method: str, kind: str, finding: Finding) -> pd.DataFrame:
    """Long: method, kind, level, choice, minus, metric, difference, lo, hi, p, p_holm, shown."""
    rows = [
        {"method": method, "kind": kind, "level": level, "choice": a, "minus": b, "metric": metric, **cell}
        for (a, b), compared in finding.differences.items()
        for metric, cells in compared.items()
        for level, cell in cells.items()
    ]
    return pd.DataFrame(rows)
