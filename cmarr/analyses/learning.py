"""Learning curves of one method: its losses, and what selection saw on validation data."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, FigureBase
from matplotlib.ticker import MaxNLocator

from cmarr.analyses.analysis import Analysis, Run
from cmarr.analyses.study import Study
from cmarr.errors import many
from cmarr.modalities import CONDITIONS
from cmarr.report.page import Folded, Section
from cmarr.report.picture import Panel, Picture
from cmarr.report.style import COLOURS, FAINT, horizontal_grid, looks, small_axes, style

LOSS, VALIDATION, SELECTION = "loss/", "validation/", "validation/selection"


def curves_figure(curves: pd.DataFrame, *, title: str, method: str = "", score: str = "UAR") -> Figure:
    """Losses above, validation below; thin lines are runs (fold and seed), the thick one their mean.

    Args:
        curves: columns fold, seed, epoch (from 1), name, value; names 'loss/<name>', 'validation/<condition>' and
            'validation/selection', the number that selection maximises.
        score: what the validation scores are ('UAR' or 'MAE').
    """
    losses, colour = _losses(curves), looks([method])[method].colour
    with style():
        columns = max(len(losses), 1)
        height = 2.3 * bool(losses) + 3.2
        figure = Figure(figsize=(max(9.0, 2.15 * columns), height), layout="constrained")
        below: FigureBase = figure
        if losses:
            halves = figure.add_gridspec(2, 1, height_ratios=[2.3, 3.2])
            above, below = figure.add_subfigure(halves[0]), figure.add_subfigure(halves[1])
            for axes, name in zip(above.subplots(1, columns, squeeze=False)[0], losses, strict=True):
                _runs(axes, curves[curves["name"] == name], colour)
                axes.set_title(name.removeprefix(LOSS).replace("_", " "), fontsize=10)
        left, right = below.subplots(1, 2)
        chosen = curves[curves["name"] == SELECTION]
        _runs(left, chosen, colour, best=True)
        left.set_title("Selection score on validation data", fontsize=10)
        left.set_xlabel("epoch      (dot: the epoch kept)")
        _conditions(right, curves)
        right.set_title(f"Validation {score} by condition, mean of runs", fontsize=10)
        right.set_xlabel("epoch")
        figure.suptitle(title, x=0.01, ha="left", fontweight="bold", fontsize=12)
    return figure


def curve_panels(
    curves: pd.DataFrame, *, method: str = "", score: str = "UAR"
) -> list[tuple[str, str, Figure]]:
    """The same as (name, heading, small figure): a loss each, the selection score, the conditions."""
    losses, colour, out = _losses(curves), looks([method])[method].colour, []
    with style():
        for name in losses:
            figure, axes = small_axes()
            _runs(axes, curves[curves["name"] == name], colour)
            plain = name.removeprefix(LOSS)
            heading = plain.replace("_", " ") if plain.endswith("norm") else f"loss {plain.replace('_', ' ')}"
            out.append((plain.replace("/", "-").replace("_", "-"), heading, figure))
        figure, axes = small_axes()
        _runs(axes, curves[curves["name"] == SELECTION], colour, best=True)
        out.append(("selection", "selection score", figure))
        figure, axes = small_axes(right=0.36)
        _conditions(axes, curves)
        out.append(("conditions", f"validation {score} by condition", figure))
        for _, _, figure in out:
            figure.axes[0].set_xlabel("epoch")
    return out


def _losses(curves: pd.DataFrame) -> list[str]:
    """Names of the losses; the norm of the gradient, which is none, comes last."""
    found = {name for name in curves["name"] if name.startswith(LOSS)}
    return sorted(found, key=lambda name: (name.endswith("gradient_norm"), name))


def _runs(axes: Axes, curves: pd.DataFrame, colour: str, *, best: bool = False) -> None:
    horizontal_grid(axes)
    for _, run in curves.groupby(["fold", "seed"]):
        run = run.sort_values("epoch")
        single = len(run) == 1
        axes.plot(
            run["epoch"], run["value"], color=colour, alpha=0.3, linewidth=0.9, marker="o" if single else None
        )
        if best:
            kept = run.loc[run["value"].idxmax()]  # the first of equals, like the selection rule
            axes.plot(kept["epoch"], kept["value"], "o", color=colour, markersize=4, zorder=3)
    mean = _complete_mean(curves)
    axes.plot(mean.index, mean, color=colour, linewidth=2)
    _epochs(axes, int(curves["epoch"].max()))


def _conditions(axes: Axes, curves: pd.DataFrame) -> None:
    horizontal_grid(axes)
    ends = {}
    for condition, colour in zip(CONDITIONS, COLOURS, strict=True):
        part = curves[curves["name"] == VALIDATION + condition]
        if len(part):
            mean = _complete_mean(part)
            axes.plot(mean.index, mean, color=colour, linewidth=1.8, marker="o" if len(mean) == 1 else None)
            ends[condition] = (mean.index[-1], float(mean.iloc[-1]), colour)
    if not ends:
        axes.text(0.5, 0.5, "no validation scores", transform=axes.transAxes, ha="center", color=FAINT)
        return
    lo, hi = axes.get_ylim()
    gap, last = 0.09 * (hi - lo), -np.inf
    for condition, (x, y, colour) in sorted(ends.items(), key=lambda item: item[1][1]):
        last = max(y, last + gap)  # labels of lines that end together are moved apart
        axes.annotate(
            condition,
            (x, last),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            color=colour,
            fontweight="bold",
            fontsize=9,
            annotation_clip=False,
        )
    _epochs(axes, int(max(x for x, _, _ in ends.values())))


def _epochs(axes: Axes, last: int) -> None:
    if last == 1:  # a method fitted in one step
        axes.set_xlim(0.5, 1.5)
        axes.set_xticks([1])
        return
    axes.set_xlim(1, last)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))


def _complete_mean(curves: pd.DataFrame) -> pd.Series:
    """Mean per epoch while at least half of the runs still train: beyond, it would follow a few survivors."""
    by_epoch = curves.groupby("epoch")["value"].agg(["mean", "size"])
    return by_epoch["mean"][by_epoch["size"] * 2 >= by_epoch["size"].max()]


def learning_section(study: Study) -> Section:
    """A fold a method that is trained over epochs; the others are named."""
    score = "MAE" if study.task.regression else "UAR"
    fitted = [m for m, curves in study.curves.items() if curves["epoch"].max() <= 1]
    folds = [
        Folded(method, [learning_picture(method, curves, score)], open=True)
        for method, curves in study.curves.items()
        if method not in fitted
    ]
    lead = [
        "Thin lines are trainings (a fold and a seed each), the thick one is their mean while at least half still run."
    ]
    if fitted:
        named = ", ".join(f"`{m}`" for m in fitted)
        lead.append(f"Fitted in one step, so without a curve: {named}.")
    missing = "" if folds else "No method here is trained over epochs; add one to `methods` in params.yaml."
    return Section("learning", "Learning curves", lead if folds else (), folds, missing)


def learning_picture(method: str, curves: pd.DataFrame, score: str) -> Picture:
    """Every loss, the selection score with the epochs kept, and the validation scores by condition."""
    drawn = curve_panels(curves, method=method, score=score)
    last = int(curves["epoch"].max())
    losses = len(_losses(curves))
    return Picture(
        f"curves-{method}",
        f"Training of {method}. Dots: the epoch that was kept; letters at the right: the condition.",
        f"{many(losses, 'loss', 'losses')}, the selection score and the validation {score} of {method} over up to "
        f"{many(last, 'epoch')}.",
        [Panel(f"curves-{method}-{name}", figure, heading) for name, heading, figure in drawn],
    )


def of_method(run: Run) -> dict[str, Figure]:
    """The curves of a method that is trained over epochs."""
    if run.curves["epoch"].max() <= 1:
        return {}
    score = "MAE" if run.task.regression else "UAR"
    return {
        "curves": curves_figure(run.curves, title=f"Training of {run.name}", method=run.name, score=score)
    }


ANALYSIS = Analysis(learning_section, method=of_method)
