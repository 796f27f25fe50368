"""What changed between two sets of answers, as text for a terminal: paired differences, intervals, tests."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from cmarr.errors import UserError, many
from cmarr.evaluation.comparison import METHODS, MODELS, compare
from cmarr.evaluation.predictions import columns, privileges_of, task_of
from cmarr.evaluation.scores import chosen_metric
from cmarr.evaluation.sufficient_statistics import ROWS
from cmarr.evaluation.summary import summarise
from cmarr.folds.privileges import MARK, told
from cmarr.report.notes import FEW, ONE_SEED, OUTCOMES, nothing_can_be_shown, shown_means
from cmarr.report.numbers import RAW, deviations_text, interval_text, row_label, value_text
from cmarr.report.table import NOTHING, plain_table
from cmarr.task import Task

Answers = Sequence[pd.DataFrame]
"""The predictions of one method, one frame a fold and seed."""


def experiments_text(
    names: tuple[str, str],
    first: Mapping[str, Answers],
    second: Mapping[str, Answers],
    *,
    dataset: str,
    metric: str | None = None,
) -> str:
    """Every method that both experiments (method -> predictions) hold: the first minus the second.

    Raises UserError where there is none, or where they did not answer the same utterances.
    """
    marked = sorted({name for side in (first, second) for name, own in side.items() if privileges_of(own)})
    first, second = ({k: v for k, v in side.items() if k not in marked} for side in (first, second))
    shared = [method for method in first if method in second]
    if not shared:
        raise UserError(
            f"no method has answered in both: {names[0]} has {', '.join(first)}, {names[1]} has {', '.join(second)}"
        )
    parts = []
    for method in shared:
        title = f"{dataset}, {method}: {names[0]} - {names[1]}"
        parts.append(differences_text(names, first[method], second[method], title=title, metric=metric))
    for name, own, other in ((names[0], first, second), (names[1], second, first)):
        if alone := [method for method in own if method not in other]:
            parts.append(f"only in {name}: {', '.join(alone)}\n")
    if marked:
        parts.append(f"{MARK}, compared with nothing: {', '.join(marked)}\n")
    return "\n".join(parts)


def differences_text(
    names: tuple[str, str], first: Answers, second: Answers, *, title: str, metric: str | None = None
) -> str:
    """Title, a row a condition and average, and what the numbers are; one line where all answers are the same.

    Raises UserError for an unknown metric, another task, or other utterances.
    """
    frame, about = differences(names, first, second, metric)
    if frame is None:
        return f"{title}\n{about}\n"
    return f"{title}\n{about}\n\n{plain_table(frame)}"


def differences(
    names: tuple[str, str], first: Answers, second: Answers, metric: str | None = None
) -> tuple[pd.DataFrame | None, str]:
    """A row a condition and average, and what the numbers are; no rows where all answers are the same.

    Raises UserError as `differences_text` does.
    """
    for name, own in zip(names, (first, second), strict=True):
        if taken := privileges_of(own):
            raise UserError(
                f"{name} is {told(taken)}: it is compared with nothing; its section of the report has it"
            )
    task, other = task_of(first[0], names[0]), task_of(second[0], names[1])
    if task != other:
        kinds = [", ".join(t.classes) or "scores" for t in (task, other)]
        raise UserError(
            f"{names[0]} answers {kinds[0]}, {names[1]} answers {kinds[1]}: there is nothing to compare"
        )
    metric = chosen_metric(metric, task)
    if _same(first, second, task):
        return None, "the same answers to every utterance"
    try:
        found = compare(first, second, task)
    except UserError as error:
        raise UserError(f"{names[0]} and {names[1]} cannot be compared: {error}") from None
    summaries = {name: summarise(frames, task) for name, frames in zip(names, (first, second), strict=True)}
    rows = []
    for row in ROWS:
        cell = found[metric][row]
        rows.append(
            {"available": row_label(row, summaries)}
            | {name: _score(metric, summary[metric][row]) for name, summary in summaries.items()}
            | {
                "difference": value_text(metric, cell["difference"], sign=True),
                "95 % interval": interval_text(metric, cell["lo"], cell["hi"]) or NOTHING,
                "p": NOTHING if cell["p_table"] is None else f"{cell['p_table']:.2g}",
                f"{names[0]} is": NOTHING if cell["difference"] is None else OUTCOMES[cell["shown"]],
            }
        )
    return pd.DataFrame(rows), _about(metric, found["meta"])


def _score(metric: str, cell: Mapping[str, Any]) -> str:
    return f"{value_text(metric, cell['mean'])} {deviations_text(metric, cell)}".strip()


def _about(metric: str, meta: Mapping[str, Any]) -> str:
    unit = "" if metric in RAW else " in %"
    n = int(meta["clusters"])
    how = "every way to swap them" if meta["exact"] else "random swaps"
    few = (
        f"\nOnly {many(n, 'cluster')}: with fewer than {FEW} the intervals are too narrow." if n < FEW else ""
    )
    lines = nothing_can_be_shown(n) + ([ONE_SEED] if meta["of"] == MODELS else [])
    few += "".join(f"\n{line.replace('**', '')}" for line in lines)
    seeds = " and seeds" if meta["of"] == METHODS else ""
    return (
        f"{metric}{unit}, mean over folds and seeds ± deviation over folds, over seeds; paired by utterance\n"
        f"interval: {many(n, 'cluster')} (speakers, videos or dialogues){seeds} resampled; p: {how}\n"
        f"better, worse: shown. {shown_means('cluster', 'all rows')}{few}"
    )


def _same(first: Answers, second: Answers, task: Task) -> bool:
    keys = ["fold", "seed", "id", "condition"]
    one, two = (
        pd.concat(frames)[[*keys, *columns(task)]].sort_values(keys, ignore_index=True)
        for frames in (first, second)
    )
    return bool(one.equals(two))
