"""The section "Should a damaged modality be used?": tables, a figure, and the answer in plain words."""

from collections.abc import Mapping, Sequence
from math import isinf
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cmarr.damage.kinds import KINDS
from cmarr.evaluation.choices import FALSE_ALARMS
from cmarr.evaluation.damage_study import Finding, Verdict, differences_table, judge, scores_table
from cmarr.evaluation.scores import ERRORS, primary
from cmarr.files import write_csv, write_text
from cmarr.methods.protocol import Task
from cmarr.modalities import NAMES
from cmarr.report.markdown import NOTHING, markdown_table
from cmarr.report.notes import FEW
from cmarr.report.style import COLOURS, FAINT, MARKERS, horizontal_grid, save_figure, style
from cmarr.report.tables import interval_text, value_text

Findings = Mapping[str, Mapping[str, Finding]]
"""Kind of damage -> method -> what was found."""
Realised = Mapping[str, Mapping[float, float]]
"""Kind of damage -> level -> what it really came to, where that is measured."""

WORDS = {"use": "use it", "hide": "hide it", "entropy": "decide by entropy", "sigma": "decide by sigma"}
"""How tables and figures call the choices."""
QUESTION = "Should a damaged modality be used?"


def level_text(kind: str, level: float) -> str:
    """A level as a person says it."""
    if level == KINDS[kind].harmless:
        return "undamaged"
    return f"{100 * level:g} %" if kind in ("word_errors", "occlusion") else f"{level:g}{_SHORT[kind]}"


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
    """Write damage.md; where damage was evaluated also damage.csv, damage_differences.csv, damage.png, damage.svg."""
    folder = Path(folder)
    write_text(
        folder / "damage.md", damage_markdown(findings, realised, task, dataset=dataset, cluster=cluster)
    )
    every = [(kind, method, f) for kind, methods in findings.items() for method, f in methods.items()]
    if not every:
        return
    scores = [scores_table(method, kind, f, realised.get(kind, {})) for kind, method, f in every]
    write_csv(folder / "damage.csv", pd.concat(scores, ignore_index=True))
    differences = [differences_table(method, kind, f) for kind, method, f in every]
    write_csv(folder / "damage_differences.csv", pd.concat(differences, ignore_index=True))
    figure = damage_figure(findings, task, title=f"{QUESTION} {dataset}")
    for ending in ("png", "svg"):
        save_figure(folder / f"damage.{ending}", figure)


def damage_markdown(
    findings: Findings, realised: Realised, task: Task, *, dataset: str, cluster: str = "speaker"
) -> str:
    """The section of the report; says so where no damage was asked for."""
    title = f"## {dataset}: {QUESTION[0].lower()}{QUESTION[1:]}"
    if not findings:
        kinds = ", ".join(KINDS)
        return f"{title}\n\nNo damage has been evaluated: name some of {kinds} under `protocols` in params.yaml.\n"
    metric = primary(task)
    parts = [title, *(f"- {line}" for kind in findings for line in answer(kind, findings[kind], task))]
    parts = [parts[0], "\n".join(parts[1:])]
    for kind, methods in findings.items():
        for method, finding in methods.items():
            parts += [
                f"### {KINDS[kind].what}, {method}",
                _table(kind, finding, realised.get(kind, {}), metric),
            ]
    clusters = min(f.clusters for methods in findings.values() for f in methods.values())
    return "\n\n".join([*parts, _notes(findings, metric, clusters, cluster)]) + "\n"


def answer(kind: str, methods: Mapping[str, Finding], task: Task) -> list[str]:
    """The answer for one kind of damage: a sentence or two a method."""
    modality, lines = NAMES[KINDS[kind].modality], []
    for method, finding in methods.items():
        verdict = judge(finding, task)
        lead = f"**{KINDS[kind].what}, {method}**: "
        if verdict is None:
            lines.append(
                lead
                + f"{modality} is all there is, so there is nothing to choose. {_fall(kind, finding, task)}"
            )
        else:
            lines.append(lead + _sentence(kind, modality, finding, verdict))
    return lines


def _sentence(kind: str, modality: str, finding: Finding, verdict: Verdict) -> str:
    from_mean = verdict.means_cross
    crossing = "" if from_mean is None else f"by the mean alone, hiding is ahead {_from(kind, from_mean)}"
    if verdict.hiding_pays is not None:
        said = f"hiding {modality} is shown to pay {_from(kind, verdict.hiding_pays)}"
        if from_mean != verdict.hiding_pays and crossing:
            said += f" ({crossing})"
    elif from_mean is None:
        said = f"hiding {modality} does not pay, not even at {level_text(kind, finding.choices.levels[-1])}"
    else:
        said = f"at no level is hiding {modality} shown to be better; {crossing}"
    if verdict.using_pays:
        said += f"; using it is shown to be better {_at(kind, verdict.using_pays)}"
    for name, cost in verdict.cost.items():
        worse = verdict.worse_than[name]
        price = (
            f"at most {value_of(finding, cost)} behind the better of the two"
            if cost > 0
            else "never behind either"
        )
        said += f". Deciding by {name} is {price}" + (
            f", shown to be worse than one of them {_at(kind, worse)}" if worse else ""
        )
    return said + "."


def value_of(finding: Finding, difference: float) -> str:
    """A difference of the first metric in its own unit."""
    regression = "MAE" in finding.scores["use"]
    return f"{difference:.3f}" if regression else f"{100 * difference:.1f} points"


def _from(kind: str, level: float) -> str:
    text = level_text(kind, level)
    return "even undamaged" if text == "undamaged" else f"from {text} on"


def _at(kind: str, levels: Sequence[float]) -> str:
    return "at " + ", ".join(level_text(kind, level) for level in levels)


def _fall(kind: str, finding: Finding, task: Task) -> str:
    metric, levels = primary(task), finding.choices.levels
    cells = finding.scores["use"][metric]
    ends = [value_text(metric, cells[level]["mean"] or 0.0) for level in (levels[0], levels[-1])]
    return f"{metric} goes from {ends[0]} to {ends[1]} at {level_text(kind, levels[-1])}."


def _table(kind: str, finding: Finding, realised: Mapping[float, float], metric: str) -> str:
    levels = finding.choices.levels
    columns: dict[str, list[str]] = {"level": [level_text(kind, x) for x in levels]}
    if realised:
        columns["measured"] = [f"{100 * realised[x]:.1f} %" if x in realised else NOTHING for x in levels]
    for name, scores in finding.scores.items():
        columns[WORDS[name]] = [_cell(metric, scores[metric][x]) for x in levels]
    if ("use", "hide") in finding.differences:
        columns["use - hide"] = [
            _difference(metric, finding.differences["use", "hide"][metric][x]) for x in levels
        ]
        for name in ("use", "entropy", "sigma"):
            if name in finding.choices.hidden:
                word = "gone" if name == "use" else f"hidden by {name}"
                columns[word] = [f"{100 * finding.choices.hidden[name][x]:.0f} %" for x in levels]
    return markdown_table(pd.DataFrame(columns)).rstrip()


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


def _notes(findings: Findings, metric: str, clusters: int, cluster: str) -> str:
    lines = [
        f"{metric} [95 % interval], undamaged and at each level, over the test utterances that have the modality and "
        "another one. The trained models are the ones of all other tables; nothing was trained on damaged data.",
        f"use - hide: paired difference, {clusters} {cluster}s resampled; bold: its interval excludes zero and "
        f"p < 0.05 when whole {cluster}s are swapped, Holm-corrected over the levels of a table. Only that is called "
        "shown.",
        "Deciding looks at no label: by entropy, the surer of the two answers is taken; by sigma, the modality is "
        f"hidden where UMC's sigma is larger than in {100 * (1 - FALSE_ALARMS):g} % of the clean validation "
        "utterances.",
        "gone: the damage left nothing of the modality (no face is found, no word is left), so it is hidden anyway.",
    ]
    if "word_errors" in findings:
        lines.append("measured: edit distance in words to the true transcripts, over the words said.")
    if clusters < FEW:
        lines.append(f"**Only {clusters} {cluster}s**: with fewer than {FEW} the intervals are too narrow.")
    return "\n".join(f"- {line}" for line in lines)


def damage_figure(findings: Findings, task: Task, *, title: str) -> Figure:
    """A row a kind of damage, a panel a method: the score of each choice from undamaged to the worst level.

    The band is the 95 % interval of using it; a filled bar under a level marks a difference between using and hiding
    that a paired test shows, in the colour of the better one.
    """
    metric = primary(task)
    scale = 1 if metric in ERRORS else 100
    columns = max(len(methods) for methods in findings.values())
    with style():
        figure = Figure(figsize=(3.6 * columns + 0.8, 2.7 * len(findings) + 1.1), layout="constrained")
        grid = figure.subplots(len(findings), columns, squeeze=False, sharey=True)
        for row, (kind, methods) in zip(grid, findings.items(), strict=True):
            for axes in row[len(methods) :]:
                axes.set_visible(False)
            for axes, (method, finding) in zip(row, methods.items(), strict=False):
                _panel(axes, kind, finding, metric, scale)
                axes.set_title(f"{KINDS[kind].what}, {method}", fontsize=10)
            row[0].set_ylabel(metric + ("" if scale == 1 else ", %"))
        handles, names = grid[0, 0].get_legend_handles_labels()
        for axes in grid.flat:
            for handle, name in zip(*axes.get_legend_handles_labels(), strict=True):
                if name not in names:
                    handles, names = [*handles, handle], [*names, name]
        figure.legend(handles, names, loc="outside upper right", ncols=len(names))
        figure.suptitle(
            f"{title}\nband: 95 % interval of using it; bar below: shown to be better",
            x=0.01,
            ha="left",
            fontsize=10,
        )
    return figure


def _panel(axes: Axes, kind: str, finding: Finding, metric: str, scale: int) -> None:
    horizontal_grid(axes)
    levels = finding.choices.levels
    x = np.arange(len(levels))
    for (name, word), colour, marker in zip(WORDS.items(), COLOURS, MARKERS, strict=False):
        if name not in finding.scores:
            continue
        cells = [finding.scores[name][metric][level] for level in levels]
        y = [np.nan if c["mean"] is None else scale * c["mean"] for c in cells]
        if name == "use":
            low, high = ([np.nan if c[b] is None else scale * c[b] for c in cells] for b in ("lo", "hi"))
            axes.fill_between(x, low, high, color=colour, alpha=0.13, linewidth=0)
        dashed = (0, (4, 2)) if name == "hide" else "-"
        axes.plot(
            x, y, color=colour, marker=marker, markersize=4.5, linewidth=1.7, linestyle=dashed, label=word
        )
    for at, level in zip(x, levels, strict=True):
        shown = finding.differences.get(("use", "hide"), {}).get(metric, {}).get(level, {}).get("shown", 0)
        if shown:
            axes.axvspan(
                at - 0.3, at + 0.3, ymax=0.03, color=COLOURS[0] if shown > 0 else COLOURS[1], linewidth=0
            )
    labels = ["clean" if isinf(v) or v == KINDS[kind].harmless else level_text(kind, v) for v in levels]
    axes.set_xticks(x, labels, fontsize=8.5, color=FAINT)
    axes.set_xlim(-0.4, len(levels) - 0.6)
