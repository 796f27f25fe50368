"""Numbers as tables and sentences print them: scores, intervals, differences, names of rows."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from cmarr.errors import percent_text
from cmarr.evaluation.sufficient_statistics import AVERAGES
from cmarr.report.table import NOTHING

Summaries = Mapping[str, Mapping[str, Any]]
"""Method -> its summary, see `cmarr.evaluation.summary.summarise`."""

LABELS = {"Acc2": "Acc-2", "Acc5": "Acc-5", "Acc7": "Acc-7", "Acc2_zero": "Acc-2 (0)", "WF1_zero": "WF1 (0)"}
RAW = ("MAE", "Corr")
"""Printed as they are, with three decimals; all others in percent."""


def row_label(row: str, summaries: Summaries) -> str:
    """Name of a row; an average that lacks a condition says what it covers: 'avg6 of t, s, st'."""
    if row not in AVERAGES:
        return row
    metrics = next(iter(summaries.values()))
    covers = next(cells for metric, cells in metrics.items() if metric != "meta")[row]["covers"]
    return row if len(covers) in (0, len(AVERAGES[row])) else f"{row} of {', '.join(covers)}"


def value_text(metric: str, value: float | None, *, digits: int | None = None, sign: bool = False) -> str:
    """A fraction in percent with two decimals; MAE and Corr as they are with three; '-' for None.

    >>> value_text("UAR", 0.7012), value_text("MAE", 0.9, sign=True), value_text("WAR", None)
    ('70.12', '+0.900', '-')
    """
    if value is None:
        return NOTHING
    raw = metric in RAW
    places = digits if digits is not None else 3 if raw else 2
    if not raw and not sign:
        return percent_text(value, places)
    return f"{value if raw else 100 * value:{'+' if sign else ''}.{places}f}"


def interval_text(metric: str, lo: float | None, hi: float | None) -> str:
    """'[71.0, 77.3]', or nothing where there is no interval (fewer than two clusters).

    >>> interval_text("UAR", 0.65, 0.753)
    '[65.0, 75.3]'
    """
    if lo is None or hi is None:
        return ""
    digits = 2 if metric in RAW else 1
    return f"[{value_text(metric, lo, digits=digits)}, {value_text(metric, hi, digits=digits)}]"


def chosen_spread(summaries: Summaries) -> str:
    """What 'auto' means for these results."""
    metas = [summary["meta"] for summary in summaries.values()]
    return "std" if all(meta["folds"] > 1 for meta in metas) else "interval"


def deviations_text(metric: str, cell: Mapping[str, Any], digits: int | None = None) -> str:
    """'± 2.10, 0.70': the deviations over folds and over seeds, as far as there are any; nothing without either.

    >>> deviations_text("UAR", {"std": 0.021, "std_seeds": 0.007})
    '± 2.10, 0.70'
    """
    known = [cell.get(name) for name in ("std", "std_seeds")]
    told = [value_text(metric, value, digits=digits) for value in known if not pd.isna(value)]
    return f"± {', '.join(told)}" if told else ""


def score_text(metric: str, cell: Mapping[str, Any], *, bold: bool = False) -> str:
    """A cell of a summary (None or NaN where there is no number): '71.00 [65.0, 75.3] ± 2.1, 0.7'.

    Mean, 95 % interval, and the deviations over folds and over seeds.

    >>> score_text("UAR", {"mean": 0.71, "lo": 0.65, "hi": 0.753, "std": 0.021, "std_seeds": 0.007}, bold=True)
    '**71.00** [65.0, 75.3] ± 2.1, 0.7'
    """
    mean, lo, hi = (None if pd.isna(cell[name]) else cell[name] for name in ("mean", "lo", "hi"))
    text = value_text(metric, mean)
    if mean is None:
        return text
    parts = (f"**{text}**" if bold else text, interval_text(metric, lo, hi))
    return " ".join(
        part for part in (*parts, deviations_text(metric, cell, 2 if metric in RAW else 1)) if part
    )


def difference_text(metric: str, cell: Mapping[str, Any]) -> str:
    """'-5.00 [-7.5, -2.5]', a difference and its interval; '-' where there is no number."""
    if cell["difference"] is None:
        return NOTHING
    return f"{value_text(metric, cell['difference'], sign=True)} {signed_interval(metric, cell['lo'], cell['hi'])}"


def unit(metric: str) -> str:
    """', %' for what is printed in percent."""
    return "" if metric in RAW else ", %"


def signed_interval(
    metric: str, lo: float | None, hi: float | None, digits: int | None = None, none: str = "(no interval)"
) -> str:
    """'[-2.5, +1.0]', the interval of a difference; `none` where there is none."""
    if lo is None or hi is None:
        return none
    places = digits if digits is not None else 2 if metric in RAW else 1
    return "[" + ", ".join(value_text(metric, x, digits=places, sign=True) for x in (lo, hi)) + "]"
