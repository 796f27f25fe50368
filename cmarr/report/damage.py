"""Should a damaged modality be used? The answer in plain words, and the tables behind it."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from cmarr.damage.kinds import KINDS
from cmarr.errors import many
from cmarr.evaluation.choices import FALSE_ALARMS
from cmarr.evaluation.comparison import ALPHA
from cmarr.evaluation.damage_study import Finding, Verdict, differences_table, judge, scores_table
from cmarr.evaluation.scores import ERRORS, primary
from cmarr.files import write_csv, write_text
from cmarr.modalities import NAMES
from cmarr.report.markdown import NOTHING, markdown_table
from cmarr.report.notes import FEW, nothing_can_be_shown
from cmarr.report.tables import interval_text, value_text
from cmarr.task import Task

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


def write_damage(
    folder: str | Path,
    findings: Findings,
    realised: Realised,
    task: Task,
    *,
    dataset: str,
    cluster: str = "speaker",
) -> None:
    """Write damage.md and, where damage was evaluated, damage.csv and damage_differences.csv."""
    folder = Path(folder)
    write_text(
        folder / "damage.md", damage_markdown(findings, realised, task, dataset=dataset, cluster=cluster)
    )
    every = [(kind, method, f) for kind, methods in findings.items() for method, f in methods.items()]
    if every:
        scores = [scores_table(method, kind, f, realised.get(kind, {})) for kind, method, f in every]
        write_csv(folder / "damage.csv", pd.concat(scores, ignore_index=True))
        differences = [differences_table(method, kind, f) for kind, method, f in every]
        write_csv(folder / "damage_differences.csv", pd.concat(differences, ignore_index=True))


def damage_markdown(
    findings: Findings, realised: Realised, task: Task, *, dataset: str, cluster: str = "speaker"
) -> str:
    """The whole of it as Markdown; says so where no damage was evaluated."""
    title = f"## {dataset}: {QUESTION[0].lower()}{QUESTION[1:]}"
    if not findings:
        return f"{title}\n\n{HOW}\n"
    parts = [
        title,
        "\n".join(f"- {line}" for kind in findings for line in answers(kind, findings[kind], task)),
    ]
    for kind, methods in findings.items():
        for method, finding in methods.items():
            table = markdown_table(level_frame(kind, finding, realised.get(kind, {}), task))
            parts += [f"### {KINDS[kind].what}, {method}", table.rstrip()]
    parts.append("\n".join(f"- {line}" for line in notes(findings, task, cluster)))
    return "\n\n".join(parts) + "\n"


def answers(kind: str, methods: Mapping[str, Finding], task: Task) -> list[str]:
    """The answer to the question for one kind of damage, a few sentences a method."""
    modality, lines = NAMES[KINDS[kind].modality], []
    for method, finding in methods.items():
        verdict = judge(finding, task)
        said = (
            _fall(kind, modality, finding, task)
            if verdict is None
            else _answer(kind, modality, finding, verdict)
        )
        lines.append(f"**{KINDS[kind].what}, {method}**: {said}")
    return lines


def _answer(kind: str, modality: str, finding: Finding, verdict: Verdict) -> str:
    crossing = verdict.means_cross
    ahead = "" if crossing is None else f"by the means alone, hiding is ahead {_from(kind, crossing)}"
    if verdict.hiding_pays is not None:
        said = f"hiding {modality} is shown to pay {_from(kind, verdict.hiding_pays)}"
        said += f" ({ahead})" if crossing != verdict.hiding_pays else ""
    elif crossing is None:
        worst = [x for x in finding.choices.levels if x not in verdict.gone][-1]
        said = f"hiding {modality} does not pay, not even at {level_text(kind, worst)}"
    else:
        said = f"hiding {modality} is not shown to pay; {ahead}"
    if verdict.using_pays:
        said += f". Using it is shown to be better {_at(kind, verdict.using_pays, finding)}"
    if verdict.gone:
        said += f". Nearly nothing of the {modality} is left {_at(kind, verdict.gone, finding)}: it is hidden anyway"
    for name, cost in verdict.cost.items():
        behind = f"at most {_difference_text(finding, cost)} behind the better of the two"
        said += f". Deciding by {name} is {behind if cost > 0 else 'never behind either'}"
        if worse := verdict.worse_than[name]:
            said += f", and shown to be worse than it {_at(kind, worse, finding)}"
    return said + "."


def _difference_text(finding: Finding, difference: float) -> str:
    return f"{difference:.3f}" if "MAE" in finding.scores["use"] else f"{100 * difference:.1f} points"


def _from(kind: str, level: float) -> str:
    return "even undamaged" if level == KINDS[kind].harmless else f"from {level_text(kind, level)} on"


def _at(kind: str, levels: Sequence[float], finding: Finding) -> str:
    """Some levels in words; a run of them that reaches the mildest or the worst one in one phrase."""
    every, some = finding.choices.levels, tuple(levels)
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
    metric, levels = primary(task), finding.choices.levels
    cells = finding.scores["use"][metric]
    first, last = (value_text(metric, cells[level]["mean"]) for level in (levels[0], levels[-1]))
    return (
        f"{modality} is all there is, so there is nothing to choose; {metric} goes from {first}, undamaged, to "
        f"{last} at {level_text(kind, levels[-1])}."
    )


def level_frame(kind: str, finding: Finding, realised: Mapping[float, float], task: Task) -> pd.DataFrame:
    """The table of one kind and method, ready to print: a row a level, a column a choice."""
    metric, levels = primary(task), finding.choices.levels
    columns: dict[str, list[str]] = {"level": [level_text(kind, x) for x in levels]}
    if realised:
        columns["measured"] = [f"{100 * realised[x]:.1f} %" if x in realised else NOTHING for x in levels]
    for name, scores in finding.scores.items():
        columns[WORDS[name]] = [_cell(metric, scores[metric][x]) for x in levels]
    if ("use", "hide") in finding.differences:
        compared = finding.differences["use", "hide"][metric]
        columns["use - hide"] = [_difference(metric, compared[x]) for x in levels]
    for name, hidden in finding.choices.hidden.items():
        if name != "hide" and any(hidden.values()):
            columns["gone" if name == "use" else f"hidden by {name}"] = [
                f"{100 * hidden[x]:.0f} %" for x in levels
            ]
    return pd.DataFrame(columns)


def _cell(metric: str, cell: Mapping[str, float | None]) -> str:
    if cell["mean"] is None:
        return NOTHING
    return f"{value_text(metric, cell['mean'])} {interval_text(metric, cell['lo'], cell['hi'])}".strip()


def _difference(metric: str, cell: Mapping[str, float | None]) -> str:
    if cell["difference"] is None:
        return NOTHING
    scale, digits = (1, 3) if metric in ERRORS else (100, 1)
    text = f"{scale * cell['difference']:+.{digits}f}"
    if cell["lo"] is not None and cell["hi"] is not None:
        text += f" [{scale * cell['lo']:+.{digits}f}, {scale * cell['hi']:+.{digits}f}]"
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
            f"use - hide: paired difference, {many(clusters, cluster)} resampled; bold: its interval excludes zero and "
            f"p < {ALPHA} when whole {cluster}s are swapped, Holm-corrected over the levels of a table. Only that is "
            "called shown.",
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
        levels = min(len(f.choices.levels) for methods in findings.values() for f in methods.values())
        lines += nothing_can_be_shown(clusters, levels, cluster)
    return lines
