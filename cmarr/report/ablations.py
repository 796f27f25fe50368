"""Every ablation beside its full method (the paper's Table 3), what the difference carries, what it costs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from cmarr.evaluation.comparison import ALPHA, compare_pairs
from cmarr.evaluation.resampling import holm
from cmarr.evaluation.scores import ERRORS, metrics_of, primary
from cmarr.evaluation.sufficient_statistics import ROWS
from cmarr.evaluation.summary import Frames, summarise
from cmarr.report.markdown import NOTHING, markdown_table
from cmarr.report.notes import nothing_can_be_shown
from cmarr.report.published import SOURCE, Published
from cmarr.report.tables import interval_text, row_label, value_text
from cmarr.settings.labels import FULL
from cmarr.task import Task

SHOWN_ROWS = tuple(row for row in ROWS if row != "avg7")
"""The paper's rows, and the complete condition, which its Table 3 leaves out."""


@dataclass(frozen=True)
class Ablations:
    """The full method and its variants, by the label that the table shows.

    summaries:   label -> summary, 'full' first
    comparisons: label -> the variant minus the full method
    """

    summaries: Mapping[str, Mapping[str, Any]]
    comparisons: Mapping[str, Mapping[str, Any]]


def compare_with_full(full: Frames, variants: Mapping[str, Frames], task: Task) -> Ablations:
    """Score the full method and every variant (label -> predictions), and compare each with the full one.

    Raises UserError when a variant did not answer the same utterances.
    """
    every = {FULL: full, **variants}
    compared = compare_pairs(every, [(label, FULL) for label in variants], task)
    return Ablations(
        {label: summarise(own, task) for label, own in every.items()},
        {label: found for (label, _), found in compared.items()},
    )


def ablations_markdown(
    ablations: Ablations | None,
    task: Task,
    *,
    dataset: str,
    method: str = "cmarr",
    changes: Mapping[str, str] | None = None,
    times: Mapping[str, float] | None = None,
    published: Published | None = None,
) -> str:
    """The section of the report: verdicts, scores and differences per condition; says so without any.

    method:    the full method.
    times:     label -> core-seconds of training (on a GPU, seconds), a teacher's counted in.
    changes:   label -> what that variant changes, in words.
    published: the paper's Table 3, whose rows stand under ours of the same label.
    """
    title = f"## {dataset}: ablations" + (" (Table 3)" if method == "cmarr" else f" of {method}")
    if ablations is None:
        return f"{title}\n\nNo ablation has been trained: name some under `ablate` in params.yaml.\n"
    metric = primary(task)
    unit = "" if metric in ("MAE", "Corr") else ", %"
    parts = [
        title,
        "\n".join(f"- {line}" for line in verdicts(ablations, task)),
        f"### {metric}{unit} [95 % interval]",
        markdown_table(scores_frame(ablations, metric, published)).rstrip(),
        f"### {metric}, variant minus full [95 % interval of the paired difference]",
        markdown_table(differences_frame(ablations, metric, published)).rstrip(),
    ]
    if metric == "UAR":
        parts += [
            "### WAR, % [95 % interval]",
            markdown_table(scores_frame(ablations, "WAR", published)).rstrip(),
        ]
    if times:
        parts += ["### Training, a teacher's included", markdown_table(times_frame(times)).rstrip()]
    if changes:
        parts.append("\n".join(f"- {label}: {change}" for label, change in changes.items()))
    if published:
        parts.append(f"(paper): {SOURCE}, Table 3, on IEMOCAP with its own features; context, not a race.")
    return "\n\n".join(parts) + "\n"


def scores_frame(ablations: Ablations, metric: str, published: Published | None = None) -> pd.DataFrame:
    """One row a variant, one column a condition; the paper's row follows ours of the same label."""
    rows = []
    for label, summary in ablations.summaries.items():
        cells = summary[metric]
        rows.append(
            {"variant": label}
            | _named(ablations, {row: _cell(metric, cells[row], "mean") for row in SHOWN_ROWS})
        )
        if paper := (published or {}).get(label):
            values = {row: _printed(paper.get(row), metric) for row in SHOWN_ROWS}
            rows.append({"variant": f"{label} (paper)"} | _named(ablations, values))
    return pd.DataFrame(rows)


def differences_frame(ablations: Ablations, metric: str, published: Published | None = None) -> pd.DataFrame:
    """One row a variant: its score minus the full method's per condition, with paired intervals."""
    rows = []
    for label, comparison in ablations.comparisons.items():
        cells = {row: _cell(metric, comparison[metric][row], "difference", sign=True) for row in SHOWN_ROWS}
        rows.append({"variant": label} | _named(ablations, cells))
        if published and label in published:
            change = {
                row: _change(published[label].get(row), published[FULL].get(row), metric)
                for row in SHOWN_ROWS
            }
            rows.append({"variant": f"{label} (paper)"} | _named(ablations, change))
    return pd.DataFrame(rows)


def times_frame(times: Mapping[str, float]) -> pd.DataFrame:
    """One row a variant: core-seconds of training (on a GPU, seconds), and their share of the full method's."""
    whole = times[FULL]
    return pd.DataFrame(
        [
            {"variant": label, "training, core-s": f"{own:.1f}", "share, %": f"{100 * own / whole:.0f}"}
            for label, own in times.items()
        ]
    )


def verdicts(ablations: Ablations, task: Task, row: str = "avg6") -> list[str]:
    """One sentence a variant: does leaving that part out hurt? p-values Holm-corrected over the variants."""
    metric = primary(task)
    cells = {label: c[metric][row] for label, c in ablations.comparisons.items()}
    known = {label: cell for label, cell in cells.items() if cell["difference"] is not None}
    lines = []
    for (label, cell), p in zip(known.items(), holm([c["p"] for c in known.values()]), strict=True):
        lo, hi = cell["lo"], cell["hi"]
        carried = lo is not None and (lo > 0 or hi < 0) and p < ALPHA
        worse = (cell["difference"] < 0) != (metric in ERRORS)
        verdict = ("hurts" if worse else "**helps**") if carried else "**not shown to hurt**"
        lines.append(
            f"{label}: {row_label(row, ablations.summaries)} {metric} "
            f"{value_text(metric, cell['difference'], sign=True)} "
            f"{_signed_interval(metric, lo, hi)}, p = {p:.2g}: {verdict}."
        )
    if known:
        clusters = next(iter(ablations.summaries.values()))["meta"]["clusters"]
        lines += nothing_can_be_shown(clusters, len(known))
    return lines


def ablations_table(ablations: Ablations | None, task: Task) -> pd.DataFrame:
    """Everything as rows: variant, metric, condition, mean, lo, hi, difference, difference_lo, difference_hi, p."""
    names = [
        "variant",
        "metric",
        "condition",
        "mean",
        "lo",
        "hi",
        "difference",
        "difference_lo",
        "difference_hi",
        "p",
    ]
    rows: list[Sequence[Any]] = []
    for label, summary in (ablations.summaries if ablations else {}).items():
        compared = ablations.comparisons.get(label) if ablations else None
        for metric in metrics_of(task):
            for row in ROWS:
                cell, other = summary[metric][row], compared[metric][row] if compared else {}
                numbers = [cell[k] for k in ("mean", "lo", "hi")]
                numbers += [other.get(k) for k in ("difference", "lo", "hi", "p")]
                rows.append((label, metric, row, *numbers))
    return pd.DataFrame(rows, columns=names)


def _named(ablations: Ablations, cells: Mapping[str, str]) -> dict[str, str]:
    return {row_label(row, ablations.summaries): text for row, text in cells.items()}


def _cell(metric: str, cell: Mapping[str, Any], key: str, *, sign: bool = False) -> str:
    if cell[key] is None:
        return NOTHING
    interval = _signed_interval if sign else interval_text
    return f"{value_text(metric, cell[key], sign=sign)} {interval(metric, cell['lo'], cell['hi'])}".strip()


def _signed_interval(metric: str, lo: float | None, hi: float | None) -> str:
    if lo is None or hi is None:
        return "(no interval)"
    digits = 2 if metric in ("MAE", "Corr") else 1
    return "[" + ", ".join(value_text(metric, x, digits=digits, sign=True) for x in (lo, hi)) + "]"


def _printed(pair: tuple[float, float] | None, metric: str) -> str:
    return NOTHING if pair is None else f"{pair[metric == 'UAR']:.2f}"


def _change(pair: tuple[float, float] | None, full: tuple[float, float] | None, metric: str) -> str:
    if pair is None or full is None:
        return NOTHING
    return f"{pair[metric == 'UAR'] - full[metric == 'UAR']:+.2f}"
