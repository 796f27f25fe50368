"""Use a damaged modality, hide it, or let the model decide: what each choice answers, utterance by utterance.

    use      the answer from all modalities, the damaged one among them
    hide     the answer from the other modalities
    entropy  of these two, the answer of lower entropy: the one the model is surer of
    sigma    hide where UMC's sigma of the damaged modality is larger than that of all but `FALSE_ALARMS` of the
             clean validation utterances of the same training; CM-ARR and its ablations only

No label has a part in a decision; sigma's threshold comes from validation utterances, which no one has damaged.
Utterances count that have the modality, undamaged, and another one: the others leave nothing to choose. Where the
damage takes the modality away altogether (no face is found any more), using it is hiding it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy import special

from cmarr.analyses.analysis import Analysis
from cmarr.analyses.study import Study
from cmarr.damage.kinds import KINDS
from cmarr.damage.tables import read_levels
from cmarr.errors import many, percent_text
from cmarr.evaluation.comparison import MODELS, compare_pairs
from cmarr.evaluation.predictions import columns
from cmarr.evaluation.resampling import RESAMPLES
from cmarr.evaluation.scores import ERRORS, can_be_met, primary
from cmarr.evaluation.spread import read_spread
from cmarr.evaluation.sufficient_statistics import levels as by_level
from cmarr.evaluation.sufficient_statistics import together
from cmarr.evaluation.summary import Frames, summarise
from cmarr.masks.protocols import FIXED
from cmarr.modalities import CONDITIONS, NAMES
from cmarr.report.notes import FEW, ONE_SEED, nothing_can_be_shown, shown_means
from cmarr.report.numbers import RAW, score_text, signed_interval, value_text
from cmarr.report.page import Files, Folded, Points, Section
from cmarr.report.picture import Panel, Picture
from cmarr.report.style import FAINT, Look, horizontal_grid, looks, small_axes, style
from cmarr.report.table import NOTHING, Table, slug
from cmarr.task import Task

FALSE_ALARMS = 0.05
"""Share of clean validation utterances whose modality the rule `sigma` would hide."""

KEYS = ["fold", "seed", "id"]


@dataclass(frozen=True)
class Policies:
    """One method under one kind of damage.

    whole, rest: the condition with all modalities, and the one without the damaged modality (None: there is no other)
    levels:      from the harmless one, which is the undamaged recording, to the worst
    predictions: choice -> predictions, the same utterances at every level, condition `whole` in all of them
    hidden:      choice -> level -> share of the utterances that are answered without the modality
    """

    whole: str
    rest: str | None
    levels: tuple[float, ...]
    predictions: Mapping[str, pd.DataFrame]
    hidden: Mapping[str, Mapping[float, float]]


def predictions_by_policy(
    frame: pd.DataFrame, task: Task, kind: str, spread: pd.DataFrame | None = None
) -> Policies | None:
    """What the choices answer under one kind of damage; None where nothing was answered under it.

    frame: all predictions of a method, every fold, seed and protocol. spread: as `cmarr.evaluation.spread` keeps it.
    """
    modality, harmless = KINDS[kind].modality, KINDS[kind].harmless
    fixed, damaged = frame[frame["protocol"] == FIXED], frame[frame["protocol"] == kind]
    if damaged.empty:
        return None
    whole = max((c for c in CONDITIONS if can_be_met(fixed[fixed["condition"] == c])), key=len)
    rest = next((c for c in CONDITIONS if set(c) == set(whole) - {modality}), None)
    levels = tuple(KINDS[kind].ordered([*{harmless, *damaged["level"]}]))
    clean = fixed[(fixed["condition"] == whole) & (harmless not in set(damaged["level"]))].assign(
        level=harmless
    )
    able = _usable(fixed, modality)
    if rest is not None:
        able = able.intersection(_usable(fixed, rest))
    use = _ordered(pd.concat([clean, damaged[damaged["condition"] == whole]]), able, levels)
    found, hides = {"use": use}, {}
    if rest is not None:
        without = fixed[fixed["condition"] == rest]
        found["hide"] = hide = _ordered(pd.concat([without.assign(level=x) for x in levels]), able, levels)
        gone = (use["n_usable"] == hide["n_usable"]).to_numpy()
        hides = {"use": gone, "hide": np.ones(len(gone), bool)}
        if not task.regression:
            hides["entropy"] = gone | (entropy(hide, task) < entropy(use, task))
        if spread is not None:
            hides["sigma"] = gone | _alarmed(use, spread, kind)
        for name in [n for n in hides if n not in found]:
            found[name] = pd.concat([use[~hides[name]], hide[hides[name]]]).sort_index()
    at = {level: (use["level"] == level).to_numpy() for level in levels}
    return Policies(
        whole,
        rest,
        levels,
        {n: rows.assign(condition=whole, n_usable=len(whole), protocol=kind) for n, rows in found.items()},
        {name: {level: float(mask[at[level]].mean()) for level in levels} for name, mask in hides.items()},
    )


def entropy(frame: pd.DataFrame, task: Task) -> np.ndarray:
    """(N,) entropy of the class probabilities, in nats."""
    result: np.ndarray = special.entr(frame[columns(task)].to_numpy(np.float64)).sum(1)
    return result


def _usable(fixed: pd.DataFrame, condition: str) -> pd.MultiIndex:
    rows = fixed[(fixed["condition"] == condition) & (fixed["n_usable"] > 0)]
    return pd.MultiIndex.from_frame(rows[KEYS])


def _ordered(rows: pd.DataFrame, able: pd.MultiIndex, levels: Sequence[float]) -> pd.DataFrame:
    """The rows of the utterances in `able` at every level, in one order: those of two choices stand side by side."""
    kept = rows[pd.MultiIndex.from_frame(rows[KEYS]).isin(able) & rows["level"].isin(levels)]
    return kept.sort_values([*KEYS, "level"], ignore_index=True)


def _alarmed(use: pd.DataFrame, spread: pd.DataFrame, kind: str) -> np.ndarray:
    """(N,) bool: the modality's sigma is unlike that of clean validation utterances."""
    own = spread[spread["modality"] == KINDS[kind].modality]
    calm = own[(own["role"] == "validation") & (own["protocol"] == FIXED)].groupby(["fold", "seed"])["spread"]
    limit = calm.quantile(1 - FALSE_ALARMS)
    tested = own[own["role"] == "test"]
    clean = tested[tested["protocol"] == FIXED].assign(level=KINDS[kind].harmless)
    known = pd.concat([clean, tested[tested["protocol"] == kind]]).drop_duplicates(
        [*KEYS, "level"], keep="last"
    )
    seen = known.set_index([*KEYS, "level"])["spread"].reindex(
        pd.MultiIndex.from_frame(use[[*KEYS, "level"]])
    )
    allowed = limit.reindex(pd.MultiIndex.from_frame(use[["fold", "seed"]]))
    # NaN, where nothing of it is left, is not larger.
    result: np.ndarray = seen.to_numpy() > allowed.to_numpy()
    return result


DECIDED = ("entropy", "sigma")
"""The choices that the model makes."""


GONE = 0.9
"""Share of the utterances that lost the modality altogether at which a level has nothing left to decide about."""


@dataclass(frozen=True)
class Finding:
    """One method under one kind of damage.

    scores:      choice -> metric -> level -> cell, see `cmarr.evaluation.summary.summarise`
    differences: (choice, other) -> metric -> level -> {difference, lo, hi, p, p_table, shown, of}: the first minus
                 the second, corrected over the levels and the pairs, see `cmarr.evaluation.comparison.compare`
    """

    policies: Policies
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
) -> Finding | None:
    """Compare the choices; None where nothing was answered under this kind of damage. Arguments as for `choices`."""
    found = predictions_by_policy(together(frames), task, kind, spread)
    if found is None:
        return None
    options: dict[str, Any] = {"protocol": kind, "axis": by_level(found.levels), "resamples": resamples}
    scores = {name: summarise(rows, task, **options) for name, rows in found.predictions.items()}
    pairs = [("use", "hide"), *((name, other) for name in DECIDED for other in ("use", "hide"))]
    given = [(a, b) for a, b in pairs if a in found.predictions and b in found.predictions]
    compared = compare_pairs(found.predictions, given, task, same_models=True, **options)
    differences = {pair: {m: c for m, c in own.items() if m != "meta"} for pair, own in compared.items()}
    return Finding(found, scores, differences, scores["use"]["meta"]["clusters"])


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
    metric, levels = primary(task), finding.policies.levels
    if ("use", "hide") not in finding.differences:
        return None
    sign = -1 if metric in ERRORS else 1
    means = {n: {x: sign * (s[metric][x]["mean"] or 0.0) for x in levels} for n, s in finding.scores.items()}
    shown = {
        pair: {level: cell["shown"] for level, cell in compared[metric].items()}
        for pair, compared in finding.differences.items()
    }
    decided = [name for name in DECIDED if name in finding.scores]
    gone = [x for x in levels if finding.policies.hidden["use"][x] >= GONE]
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
    """Long: method, kind, level, realised, choice, hidden (share), metric, mean, std, std_seeds, lo, hi, n."""
    rows = [
        {
            "method": method,
            "kind": kind,
            "level": level,
            "realised": realised.get(level),
            "choice": choice,
            "hidden": finding.policies.hidden.get(choice, {}).get(level),
            "metric": metric,
            **{name: cell[name] for name in ("mean", "std", "std_seeds", "lo", "hi", "n")},
        }
        for choice, summary in finding.scores.items()
        for metric, cells in summary.items()
        if metric != "meta"
        for level, cell in cells.items()
    ]
    return pd.DataFrame(rows)


def differences_table(method: str, kind: str, finding: Finding) -> pd.DataFrame:
    """Long: method, kind, level, choice, minus, metric, difference, lo, hi, p, p_table, shown, of."""
    rows = [
        {"method": method, "kind": kind, "level": level, "choice": a, "minus": b, "metric": metric, **cell}
        for (a, b), compared in finding.differences.items()
        for metric, cells in compared.items()
        for level, cell in cells.items()
    ]
    return pd.DataFrame(rows)


Findings = Mapping[str, Mapping[str, Finding]]
"""Kind of damage -> method -> what was found."""
Realised = Mapping[str, Mapping[float, float]]
"""Kind of damage -> level -> what it really came to, where that is measured."""

WORDS = {"use": "use it", "hide": "hide it", "entropy": "decide by entropy", "sigma": "decide by sigma"}
"""How tables and figures call the choices."""
QUESTION = "Should a damaged modality be used?"
HOW = (
    f"No damage has been evaluated: name some of {', '.join(KINDS)} under `protocols` in params.yaml, of a corpus of "
    "recordings."
)


def level_text(kind: str, level: float, harmless: str = "undamaged") -> str:
    """A level as a person says it; `harmless` is what to call the undamaged recording."""
    if level == KINDS[kind].harmless:
        return harmless
    if kind in ("word_errors", "occlusion"):
        return f"{100 * level:g} %"
    return "1 stop" if kind == "dark" and level == 1 else f"{level:g}{_SHORT[kind]}"


_SHORT = {"noise": " dB", "dark": " stops", "blur": " %"}


def verdicts(kind: str, methods: Mapping[str, Finding], task: Task) -> list[str]:
    """The answer to the question for one kind of damage, a few sentences a method."""
    modality, lines = NAMES[KINDS[kind].modality], []
    for method, finding in methods.items():
        verdict = judge(finding, task)
        said = (
            _fall(kind, modality, finding, task)
            if verdict is None
            else _verdict(kind, modality, finding, verdict)
        )
        lines.append(f"**{KINDS[kind].what}, {method}**: {said}")
    return lines


def _verdict(kind: str, modality: str, finding: Finding, verdict: Verdict) -> str:
    crossing = verdict.means_cross
    means = "" if crossing is None else f"by the means alone, hiding is ahead {_from(kind, crossing)}"
    if verdict.hiding_pays is not None:
        said = f"hiding {modality} is shown to pay {_from(kind, verdict.hiding_pays)}"
        said += f" ({means})" if crossing != verdict.hiding_pays else ""
    elif crossing is None:
        worst = [x for x in finding.policies.levels if x not in verdict.gone][-1]
        said = f"hiding {modality} does not pay, not even at {level_text(kind, worst)}"
    else:
        said = f"hiding {modality} is not shown to pay; {means}"
    if verdict.using_pays:
        said += f". Using it is shown to be better {_at(kind, verdict.using_pays, finding)}"
    if verdict.gone:
        said += f". Nearly nothing of the {modality} is left {_at(kind, verdict.gone, finding)}: it is hidden anyway"
    for name, cost in verdict.cost.items():
        told = f"{cost:.3f}" if "MAE" in finding.scores["use"] else f"{100 * cost:.1f} points"
        behind = f"at most {told} behind the better of the two"
        said += f". Deciding by {name} is {behind if cost > 0 else 'never behind either'}"
        if worse := verdict.worse_than[name]:
            said += f", and shown to be worse than it {_at(kind, worse, finding)}"
    return said + "."


def _from(kind: str, level: float) -> str:
    return "even undamaged" if level == KINDS[kind].harmless else f"from {level_text(kind, level)} on"


def _at(kind: str, levels: Sequence[float], finding: Finding) -> str:
    """Some levels in words; a run of them that reaches the mildest or the worst one in one phrase."""
    every, some = finding.policies.levels, tuple(levels)
    if some == every:
        return "throughout"
    if some == every[1:]:
        return "at every level of damage"
    if some == every[:1]:
        return "undamaged"
    if some == every[: len(some)]:
        return f"undamaged and up to {level_text(kind, some[-1])}"
    if len(some) > 1 and some == every[-len(some) :]:
        return _from(kind, some[0])
    return "at " + ", ".join(level_text(kind, level) for level in some)


def _fall(kind: str, modality: str, finding: Finding, task: Task) -> str:
    metric, levels = primary(task), finding.policies.levels
    cells = finding.scores["use"][metric]
    first, last = (value_text(metric, cells[level]["mean"]) for level in (levels[0], levels[-1]))
    return (
        f"{modality} is all there is, so there is nothing to choose; {metric} goes from {first}, undamaged, to "
        f"{last} at {level_text(kind, levels[-1])}."
    )


def level_frame(kind: str, finding: Finding, realised: Mapping[float, float], task: Task) -> pd.DataFrame:
    """The table of one kind and method, ready to print: a row a level, a column a choice."""
    metric, levels = primary(task), finding.policies.levels
    columns: dict[str, list[str]] = {"level": [level_text(kind, x) for x in levels]}
    if realised:
        columns["measured"] = [
            f"{percent_text(realised[x], 1)} %" if x in realised else NOTHING for x in levels
        ]
    for name, scores in finding.scores.items():
        columns[WORDS[name]] = [score_text(metric, scores[metric][x]) for x in levels]
    if ("use", "hide") in finding.differences:
        compared = finding.differences["use", "hide"][metric]
        columns["use - hide"] = [_difference(metric, compared[x]) for x in levels]
    for name, hidden in finding.policies.hidden.items():
        if name != "hide" and any(hidden.values()):
            columns["gone" if name == "use" else f"hidden by {name}"] = [
                f"{percent_text(hidden[x])} %" for x in levels
            ]
    return pd.DataFrame(columns)


def _difference(metric: str, cell: Mapping[str, float | None]) -> str:
    if cell["difference"] is None:
        return NOTHING
    digits = 3 if metric in RAW else 1
    size = value_text(metric, cell["difference"], digits=digits, sign=True)
    text = f"{size} {signed_interval(metric, cell['lo'], cell['hi'], digits, none='')}".strip()
    return f"**{text}**" if cell["shown"] else text


def notes(findings: Findings, task: Task, cluster: str) -> list[str]:
    """The sentences under the tables."""
    metric = primary(task)
    clusters = min(f.clusters for methods in findings.values() for f in methods.values())
    chosen = any("hide" in f.scores for methods in findings.values() for f in methods.values())
    lines = [
        f"{metric} [95 % interval] over the test utterances that have the modality"
        + (" and another one" if chosen else "")
        + "; the models are those of all other tables, trained on undamaged data.",
    ]
    if chosen:
        lines += [
            f"use - hide: paired difference, {many(clusters, cluster)} resampled; bold: shown. "
            + shown_means(cluster, "the levels of a table and its pairs of choices"),
            *([ONE_SEED] if _of_models(findings, metric) else []),
            "Deciding looks at no label: by entropy, the answer of lower entropy is taken; by sigma, the modality is "
            f"hidden where UMC's sigma is larger than in {100 * (1 - FALSE_ALARMS):g} % of the clean validation "
            "utterances.",
            "gone: the damage left nothing of the modality (no face is found, no word is left): it is hidden anyway.",
        ]
    if "word_errors" in findings:
        lines.append("measured: edit distance in words to the true transcripts, over the words said.")
    if clusters < FEW:
        lines.append(
            f"**Only {many(clusters, cluster)}**: with fewer than {FEW} the intervals are too narrow."
        )
    if chosen:
        lines += nothing_can_be_shown(clusters, cluster)
    return lines


def _of_models(findings: Findings, metric: str) -> bool:
    found = [f.differences for methods in findings.values() for f in methods.values()]
    return any(
        cell["of"] == MODELS for own in found for cells in own.values() for cell in cells[metric].values()
    )


LOOKS: dict[str, Look] = looks(WORDS.values())


def panel_figure(kind: str, finding: Finding, task: Task) -> Figure:
    """The score of each choice over the levels; the band is the 95 % interval of using it.

    A bar at the foot of a level marks a difference between using and hiding that a paired test shows, in the colour
    of the better one.
    """
    metric = primary(task)
    with style():
        figure, axes = small_axes(3.4, 2.4, left=0.55, bottom=0.32)
        _draw(axes, kind, finding, metric)
        axes.set_ylabel(metric + (", less is better" if metric in ERRORS else ", %"))
    return figure


def _draw(axes: Axes, kind: str, finding: Finding, metric: str) -> None:
    levels = finding.policies.levels
    scale = 1 if metric in ERRORS else 100
    horizontal_grid(axes)
    x = np.arange(len(levels))
    for name, word in WORDS.items():
        if name not in finding.scores:
            continue
        cells = [finding.scores[name][metric][level] for level in levels]
        mean, low, high = (
            np.array([np.nan if cell[bound] is None else scale * cell[bound] for cell in cells])
            for bound in ("mean", "lo", "hi")
        )
        look = LOOKS[word]
        if name == "use":
            axes.fill_between(x, low, high, color=look.colour, alpha=0.13, linewidth=0)
        look.line(axes, x, mean, markersize=4.5, linewidth=1.7, label=word)
    compared = finding.differences.get(("use", "hide"), {}).get(metric, {})
    for at, level in zip(x, levels, strict=True):
        if shown := compared.get(level, {}).get("shown", 0):
            better = LOOKS[WORDS["use" if shown > 0 else "hide"]]
            axes.axvspan(at - 0.3, at + 0.3, ymax=0.03, color=better.colour, linewidth=0)
    axes.set_xticks(x, [level_text(kind, level, "clean") for level in levels], fontsize=8, color=FAINT)
    axes.set_xlim(-0.4, len(levels) - 0.6)


def damage_section(findings: Findings, realised: Realised, task: Task, *, cluster: str) -> Section:
    """Answers in words, a panel and a table for every kind of damage and method."""
    if not findings:
        return Section("damage", QUESTION, missing=HOW)
    metric = primary(task)
    said = [line for kind, methods in findings.items() for line in verdicts(kind, methods, task)]
    panels = [
        Panel(
            f"damage-{slug(kind)}-{slug(method)}",
            panel_figure(kind, finding, task),
            f"{KINDS[kind].what}, {method}",
        )
        for kind, methods in findings.items()
        for method, finding in methods.items()
    ]
    drawn = Picture(
        "damage",
        f"{metric} from the undamaged recording to the worst level; band: 95 % interval of using it. A bar at the "
        "foot: there, using or hiding, by its colour, is shown to be better.",
        f"Lines of {metric} over the degree of damage. " + " ".join(said).replace("**", ""),
        panels,
        legend=LOOKS,
    )
    tables = [
        Folded(
            KINDS[kind].what,
            [
                Table(
                    f"damage-{slug(kind)}-{slug(method)}",
                    f"{KINDS[kind].what.capitalize()}, {method}: {metric} by what is done about it.",
                    level_frame(kind, finding, realised.get(kind, {}), task),
                )
                for method, finding in methods.items()
            ],
            open=False,
        )
        for kind, methods in findings.items()
    ]
    lead = (
        "The recordings of the test utterances were damaged and extracted anew. The trained models then answered with "
        "the damaged modality, without it, and by their own choice, utterance by utterance."
    )
    return Section(
        "damage", QUESTION, [lead], [Points(said), drawn, *tables, Points(notes(findings, task, cluster))]
    )


def examined(study: Study) -> tuple[Findings, Realised]:
    """What was found of every kind of damage that was evaluated, and what its levels came to."""
    levels = {kind: read_levels(study.at.damaged(kind))["levels"] for kind in KINDS}
    realised = {
        kind: {row["level"]: row["realised"] for row in rows if "realised" in row}
        for kind, rows in levels.items()
    }
    findings: dict[str, dict[str, Finding]] = {}
    for method in study.frames if any(levels.values()) else ():
        rows = study.predictions(method, protocol=None)
        spread = read_spread(study.at.predictions(method))
        for kind in KINDS:
            if (finding := examine(rows, study.task, kind, spread)) is not None:
                findings.setdefault(kind, {})[method] = finding
    return {kind: findings[kind] for kind in KINDS if kind in findings}, realised


def damage_files(findings: Findings, realised: Realised) -> Files:
    """Every score and difference; nothing where none was evaluated."""
    every = [(kind, method, f) for kind, methods in findings.items() for method, f in methods.items()]
    if not every:
        return {}
    scores = [scores_table(method, kind, f, realised.get(kind, {})) for kind, method, f in every]
    differences = [differences_table(method, kind, f) for kind, method, f in every]
    return {
        "damage.csv": pd.concat(scores, ignore_index=True),
        "damage_differences.csv": pd.concat(differences, ignore_index=True),
    }


def section(study: Study) -> Section:
    """The question and its answers for this study."""
    findings, realised = examined(study)
    made = damage_section(findings, realised, study.task, cluster=study.cluster)
    files = damage_files(findings, realised)
    return replace(made, files={"damage.md": made.markdown(study.dataset), **files})


ANALYSIS = Analysis(section, shared=True)
