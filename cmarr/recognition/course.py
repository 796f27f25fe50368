"""The course of a recording: probabilities, or the score, over time."""

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cmarr.errors import UserError
from cmarr.modalities import NAMES
from cmarr.recognition.prediction import Prediction, Refusal
from cmarr.report.style import COLOURS, FAINT, GRID, horizontal_grid, save_figure, style

MOST = 12
"""Recordings in one picture; more would be too small to read."""


def draw_course(path: str | Path, results: Sequence[Prediction | Refusal], classes: Sequence[str]) -> None:
    """Write a picture, one panel a recording: below the curves, which modalities each window rests on.

    Windows without a prediction leave a gap. Raises UserError where there are more than `MOST` recordings.
    """
    save_figure(path, course_figure(results, classes))


def course_figure(results: Sequence[Prediction | Refusal], classes: Sequence[str]) -> Figure:
    """The picture that `draw_course` writes."""
    courses = [list(group) for _, group in groupby(results, key=lambda result: result.id)]
    require_few(len(courses))
    with style():
        figure = Figure(figsize=(9, 3.2 * len(courses)), layout="constrained")
        grid = figure.subplots(2 * len(courses), 1, squeeze=False, height_ratios=[5, 1] * len(courses))
        for number, course in enumerate(courses):
            upper, lower = grid[2 * number, 0], grid[2 * number + 1, 0]
            _curves(upper, course, classes)
            _modalities(lower, course)
            upper.sharex(lower)
            upper.tick_params(labelbottom=False)
            lower.set_xlabel("seconds")
            upper.set_title(course[0].id.replace("$", r"\$"))
    return figure


def require_few(recordings: int) -> None:
    """Raise UserError for more recordings than a picture can show."""
    if recordings > MOST:
        raise UserError(f"--picture: {recordings} recordings, more than the {MOST} that one picture can show")


def _curves(axes: Axes, course: Sequence[Prediction | Refusal], classes: Sequence[str]) -> None:
    names = classes or ["score"]
    middles = [_middle(result) for result in course]
    for number, name in enumerate(names):
        values = [_value(result, name, bool(classes)) for result in course]
        axes.plot(middles, values, color=COLOURS[number % len(COLOURS)], marker="o", markersize=3, label=name)
    doubts = [_doubt(result) for result in course]
    if classes:
        axes.plot(middles, doubts, color=FAINT, linestyle=":", label="uncertainty")
        axes.set_ylim(-0.02, 1.02)
    axes.set_ylabel("probability" if classes else "score")
    horizontal_grid(axes)
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))


def _modalities(axes: Axes, course: Sequence[Prediction | Refusal]) -> None:
    for row, name in enumerate(NAMES.values()):
        for result in course:
            used = isinstance(result, Prediction) and name in result.used
            begin, width = _hop(result, course)
            axes.broken_barh([(begin, width)], (2.1 - row, 0.8), color=COLOURS[0] if used else GRID)
    axes.set_yticks([2.5, 1.5, 0.5], NAMES.values())
    axes.tick_params(axis="both", length=0)
    for side in axes.spines.values():
        side.set_visible(False)


def _hop(result: Prediction | Refusal, course: Sequence[Prediction | Refusal]) -> tuple[float, float]:
    """The stretch that stands for a window: from its middle half a hop to both sides."""
    if len(course) == 1:
        return result.start or 0.0, (result.end or 1.0) - (result.start or 0.0)
    hop = (_middle(course[-1]) - _middle(course[0])) / (len(course) - 1)
    return _middle(result) - hop / 2, hop


def _middle(result: Prediction | Refusal) -> float:
    return ((result.start or 0.0) + (result.end or 0.0)) / 2


def _value(result: Prediction | Refusal, name: str, classes: bool) -> float:
    if isinstance(result, Refusal):
        return float("nan")
    return result.probabilities[name] if classes else float(result.score or 0.0)


def _doubt(result: Prediction | Refusal) -> float:
    unknown = isinstance(result, Refusal) or result.uncertainty is None
    return float("nan") if unknown else float(result.uncertainty)  # type: ignore[union-attr, arg-type]
