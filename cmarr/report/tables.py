"""Result tables: the layout of the paper's Table 2, and one for scores; costs."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from cmarr.evaluation.comparison import Comparisons
from cmarr.evaluation.sufficient_statistics import AVERAGES, ROWS
from cmarr.report.markdown import NOTHING
from cmarr.report.published import Published
from cmarr.task import Task

Summaries = Mapping[str, Mapping[str, Any]]
"""Method -> its summary, see `cmarr.evaluation.summary.summarise`."""

LABELS = {"Acc2": "Acc-2", "Acc5": "Acc-5", "Acc7": "Acc-7", "Acc2_zero": "Acc-2 (0)", "WF1_zero": "WF1 (0)"}
_PAIR = ("WAR", "UAR")
_RAW = ("MAE", "Corr")
"""Printed as they are, with three decimals; all others in percent."""


def results_frame(
    summaries: Summaries,
    task: Task,
    *,
    published: Published | None = None,
    comparisons: Comparisons | None = None,
    spread: str = "auto",
    bold: bool = True,
) -> pd.DataFrame:
    """The table of results as a data frame of strings, for `markdown_table` or `plain_table`.

    Classification has a row a condition and a column a method, 'WAR / UAR' in percent, and the papers' columns to the
    right. Regression has a row a condition and method, with MAE, Corr, Acc-2, WF1 (both without true zeros) and Acc-7.
    The column 'scored' counts the utterances that have a usable modality under the condition.

    Args:
        published: columns beside ours, see `cmarr.report.published`.
        comparisons: a number is bold when its method is shown to be better than every other one of ours.
        spread: 'std' (± over folds), 'interval' (95 %), 'none', or 'auto': std where there are folds, else interval.
    """
    if spread == "auto":
        spread = chosen_spread(summaries)
    best = winners(summaries, comparisons or {}) if bold else {}
    if task.regression:
        return _by_method(summaries, spread, best)
    frame = pd.DataFrame({"available": [row_label(row, summaries) for row in ROWS]})
    frame["scored"] = [_scored(row, summaries) for row in ROWS]
    for method, summary in summaries.items():
        frame[method] = [
            _pair(summary, row, spread, [best.get((m, row)) == method for m in _PAIR]) for row in ROWS
        ]
    for method, cells in (published or {}).items():
        frame[f"{method} (paper)"] = [_published(row, cells) for row in ROWS]
    return frame


def _by_method(summaries: Summaries, spread: str, best: Mapping[tuple[str, str], str]) -> pd.DataFrame:
    metrics = ("MAE", "Corr", "Acc2", "WF1", "Acc7")
    rows = [
        {
            "available": row_label(row, summaries) if first else "",
            "scored": _scored(row, summaries) if first else "",
            "method": method,
        }
        | {LABELS.get(m, m): _cell(m, summary[m][row], spread, best.get((m, row)) == method) for m in metrics}
        for row in ROWS
        for first, (method, summary) in zip(
            (True, *(False,) * len(summaries)), summaries.items(), strict=False
        )
    ]
    return pd.DataFrame(rows)


def chosen_spread(summaries: Summaries) -> str:
    """What 'auto' means for these results."""
    metas = [summary["meta"] for summary in summaries.values()]
    return "std" if all(meta["std_over"] == "folds" for meta in metas) else "interval"


def row_label(row: str, summaries: Summaries) -> str:
    """Name of a row; an average that lacks a condition says what it covers: 'avg6 of t, s, st'."""
    if row not in AVERAGES:
        return row
    metrics = next(iter(summaries.values()))
    covers = next(cells for metric, cells in metrics.items() if metric != "meta")[row]["covers"]
    return row if len(covers) in (0, len(AVERAGES[row])) else f"{row} of {', '.join(covers)}"


def _scored(row: str, summaries: Summaries) -> str:
    """Utterances that count and, where some have nothing usable, out of how many."""
    metrics = next(iter(summaries.values()))
    cell = next(cells for metric, cells in metrics.items() if metric != "meta")[row]
    if not cell["n"]:
        return NOTHING
    return f"{cell['n']:,}" + (f" of {cell['n_all']:,}" if cell["n"] < cell["n_all"] else "")


def value_text(metric: str, value: float | None, *, digits: int | None = None, sign: bool = False) -> str:
    """A fraction in percent with two decimals; MAE and Corr as they are with three; '-' for None."""
    if value is None:
        return NOTHING
    raw = metric in _RAW
    places = digits if digits is not None else 3 if raw else 2
    return f"{value if raw else 100 * value:{'+' if sign else ''}.{places}f}"


def interval_text(metric: str, lo: float | None, hi: float | None) -> str:
    """'[71.0, 77.3]', or nothing where there is no interval (fewer than two clusters)."""
    if lo is None or hi is None:
        return ""
    digits = 2 if metric in _RAW else 1
    return f"[{value_text(metric, lo, digits=digits)}, {value_text(metric, hi, digits=digits)}]"


def _pair(summary: Mapping[str, Any], row: str, spread: str, bold: list[bool]) -> str:
    cells = [_cell(m, summary[m][row], spread, b) for m, b in zip(_PAIR, bold, strict=True)]
    return " / ".join(cells) if cells != [NOTHING] * len(cells) else NOTHING


def _cell(metric: str, cell: Mapping[str, Any], spread: str, bold: bool) -> str:
    mean = value_text(metric, cell["mean"])
    if cell["mean"] is None:
        return mean
    mean = f"**{mean}**" if bold else mean
    if spread == "std" and cell["std"] is not None:
        return f"{mean} ± {value_text(metric, cell['std'])}"
    return f"{mean} {interval_text(metric, cell['lo'], cell['hi'])}".strip() if spread == "interval" else mean


def _published(row: str, cells: Mapping[str, tuple[float, float] | None]) -> str:
    pair = cells.get(row)
    if pair is None:
        return NOTHING
    return f"{pair[0]:.2f} / {pair[1]:.2f}" + (" *" if row == "avg7" else "")


def winners(summaries: Summaries, comparisons: Comparisons) -> dict[tuple[str, str], str]:
    """(metric, row) -> the method that is shown to be better than each of the others."""
    out = {}
    metrics = [m for m in next(iter(summaries.values())) if m != "meta"]
    for metric in metrics:
        for row in ROWS:
            for method in summaries:
                others = [other for other in summaries if other != method]
                if others and all(shown(comparisons, method, other, metric, row) == 1 for other in others):
                    out[metric, row] = method
    return out


def shown(comparisons: Comparisons, method: str, other: str, metric: str, row: str) -> int:
    """1 when `method` is shown to be better than `other`, -1 when worse, 0 when neither is shown or compared."""
    if (method, other) in comparisons:
        return comparisons[method, other][metric][row]["shown"]
    if (other, method) in comparisons:
        return -comparisons[other, method][metric][row]["shown"]
    return 0
