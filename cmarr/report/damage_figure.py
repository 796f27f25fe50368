"""What each choice about a damaged modality scores, from the undamaged recording to the worst level."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cmarr.damage.kinds import KINDS
from cmarr.evaluation.damage_study import Finding
from cmarr.evaluation.scores import ERRORS, primary
from cmarr.report.damage import WORDS, Findings, level_text
from cmarr.report.style import FAINT, Look, horizontal_grid, looks, small_axes, style
from cmarr.task import Task

LOOKS: dict[str, Look] = looks(WORDS.values())


def damage_figure(findings: Findings, task: Task, *, title: str) -> Figure:
    """A row a kind of damage, a panel a method; see `draw`."""
    columns = max(len(methods) for methods in findings.values())
    with style():
        figure = Figure(figsize=(3.6 * columns + 0.6, 2.6 * len(findings) + 1.0), layout="constrained")
        grid = figure.subplots(len(findings), columns, squeeze=False, sharey=True)
        for row, (kind, methods) in zip(grid, findings.items(), strict=True):
            for axes in row[len(methods) :]:
                axes.set_visible(False)
            for axes, (method, finding) in zip(row, methods.items(), strict=False):
                draw(axes, kind, finding, task)
                axes.set_title(f"{KINDS[kind].what}, {method}", fontsize=10)
            row[0].set_ylabel(score_label(task))
        drawn = {n: h for axes in grid.flat for h, n in zip(*axes.get_legend_handles_labels(), strict=True)}
        known = [word for word in WORDS.values() if word in drawn]
        figure.legend([drawn[w] for w in known], known, loc="outside lower left", ncols=len(known))
        how = "band: 95 % interval of using it; bar at the foot: shown to be better, using (blue) or hiding (orange)"
        figure.suptitle(f"{title}\n{how}", x=0.01, ha="left", fontsize=10)
    return figure


def panel_figure(kind: str, finding: Finding, task: Task) -> Figure:
    """One panel, for a page."""
    with style():
        figure, axes = small_axes(3.4, 2.4, left=0.55, bottom=0.32)
        draw(axes, kind, finding, task)
        axes.set_ylabel(score_label(task))
    return figure


def score_label(task: Task) -> str:
    """The name of the score that is drawn, with its unit."""
    return primary(task) + (", less is better" if primary(task) in ERRORS else ", %")


def draw(axes: Axes, kind: str, finding: Finding, task: Task) -> None:
    """The score of each choice over the levels; the band is the 95 % interval of using it.

    A bar at the foot of a level marks a difference between using and hiding that a paired test shows, in the colour
    of the better one.
    """
    metric, levels = primary(task), finding.choices.levels
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
        axes.plot(
            x,
            mean,
            color=look.colour,
            marker=look.marker,
            markersize=4.5,
            linewidth=1.7,
            dashes=look.dashes or (None, None),
            label=word,
        )
    compared = finding.differences.get(("use", "hide"), {}).get(metric, {})
    for at, level in zip(x, levels, strict=True):
        if shown := compared.get(level, {}).get("shown", 0):
            better = LOOKS[WORDS["use" if shown > 0 else "hide"]]
            axes.axvspan(at - 0.3, at + 0.3, ymax=0.03, color=better.colour, linewidth=0)
    axes.set_xticks(x, [level_text(kind, level, "clean") for level in levels], fontsize=8, color=FAINT)
    axes.set_xlim(-0.4, len(levels) - 0.6)
