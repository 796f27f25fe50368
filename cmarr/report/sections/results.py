"""Table 2: every method under every condition, and what the differences carry."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import pandas as pd

from cmarr.evaluation.comparison import ALPHA, Comparisons
from cmarr.evaluation.scores import primary
from cmarr.evaluation.sufficient_statistics import ROWS
from cmarr.report.figures import results_figure
from cmarr.report.markdown import NOTHING
from cmarr.report.notes import difference
from cmarr.report.page import Block, Folded, Section
from cmarr.report.picture import picture
from cmarr.report.published import Published
from cmarr.report.study import Study
from cmarr.report.table import Table
from cmarr.report.tables import LABELS, Summaries, interval_text, row_label, value_text, winners
from cmarr.task import Task

HEADLINE = ("avg6", "svt", "avg7")
"""Rows whose paired tests stand open; those of the single conditions are folded away."""


def results_section(
    study: Study, *, notes: Sequence[str], cluster: str, published: Published | None
) -> Section:
    """The section of Table 2. `notes` are the sentences under a results table (`cmarr.report.notes.footnotes`)."""
    task, first = study.task, primary(study.task)
    shown = "every method" if len(study.summaries) > 1 else next(iter(study.summaries))
    drawn = results_figure(
        study.summaries,
        task,
        metric=first,
        title=f"{first} by available modalities, {study.dataset}",
        cluster=cluster,
    )
    blocks: list[Block] = [
        picture(
            "results",
            drawn,
            caption=f"{first} of {shown} by the modalities that it may use, with 95 % intervals.",
            alt=_alt(study.summaries, first),
            png=True,
        )
    ]
    for metric in _metrics(task):
        blocks.append(
            Table(
                f"results-{metric.lower()}",
                f"Table 2, {LABELS.get(metric, metric)}{unit(metric)}: {shown} under every condition, "
                "mean [95 % interval].",
                scores_frame(study.summaries, metric, study.comparisons, published),
                notes if metric == first else (),
            )
        )
    if study.comparisons:
        blocks.append(
            Table(
                "tests",
                f"Paired tests of {first}: the difference between two methods on the same utterances, "
                f"whole {cluster}s resampled and swapped.",
                tests_frame(study, HEADLINE),
                [
                    "p: permutation test; p, Holm: corrected over all comparisons of the method that scored better. A "
                    f"difference is shown when its 95 % interval excludes zero and the corrected p is below {ALPHA}; "
                    "otherwise no winner is named. Each condition is a question of its own."
                ],
            )
        )
        rest = [row for row in ROWS if row not in HEADLINE]
        caption = f"Paired tests of {first} under each incomplete condition."
        blocks.append(
            Folded(
                "The same for each incomplete condition",
                [Table("tests-by-condition", caption, tests_frame(study, rest))],
                open=False,
            )
        )
    return Section("results", "Every method under every condition", (), blocks)


def scores_frame(
    summaries: Summaries, metric: str, comparisons: Comparisons, published: Published | None = None
) -> pd.DataFrame:
    """One row a method, one column a condition or average: mean [interval]; the paper's rows below ours."""
    best = winners(summaries, comparisons)
    rows = []
    for method, summary in summaries.items():
        cells = {
            row_label(row, summaries): _score(metric, summary[metric][row], best.get((metric, row)) == method)
            for row in ROWS
        }
        rows.append({"method": method} | cells)
    papers = published or {} if metric in ("WAR", "UAR") else {}
    for method, printed in papers.items():
        row_cells = {
            row_label(row, summaries): NOTHING if pair is None else f"{pair[metric == 'UAR']:.2f}"
            for row in ROWS
            for pair in [printed.get(row)]
        }
        rows.append({"method": f"{method} (paper)"} | row_cells)
    return pd.DataFrame(rows)


def tests_frame(study: Study, rows: Sequence[str]) -> pd.DataFrame:
    """One row a condition and pair: the difference of the primary metric, its interval, p, p after Holm, verdict."""
    metric = primary(study.task)
    out = []
    for row in rows:
        for one, other, found in tested(study, metric, row):
            out.append(
                {
                    "condition": row_label(row, study.summaries),
                    "methods": f"{one} − {other}",
                    f"difference in {metric}": value_text(metric, found["difference"], sign=True),
                    "95 % interval": _signed(metric, found["lo"], found["hi"]),
                    "p": f"{found['p']:.3f}",
                    "p, Holm": f"{found['p_holm']:.3f}",
                    "shown": verdict(found, one, other),
                }
            )
    names = ["condition", "methods", f"difference in {metric}", "95 % interval", "p", "p, Holm", "shown"]
    return pd.DataFrame(out, columns=names)


def tested(study: Study, metric: str, row: str) -> list[tuple[str, str, dict[str, Any]]]:
    """Every pair of methods under one row: (one, other, their comparison)."""
    return [
        (one, other, cell)
        for one, other in combinations(study.summaries, 2)
        if (cell := difference(study.comparisons, one, other, metric, row)) is not None
    ]


def verdict(found: Mapping[str, Any], one: str, other: str) -> str:
    """Who is shown to be better; 'no difference' where the test does not carry one."""
    return {1: f"{one} is better", 0: "no difference", -1: f"{other} is better"}[found["shown"]]


def unit(metric: str) -> str:
    """', %' for what is printed in percent."""
    return "" if metric in ("MAE", "Corr") else ", %"


def _metrics(task: Task) -> tuple[str, ...]:
    return ("MAE", "Corr", "WF1", "Acc2", "Acc7") if task.regression else ("UAR", "WAR", "WF1")


def _score(metric: str, cell: Mapping[str, Any], bold: bool) -> str:
    if cell["mean"] is None:
        return NOTHING
    mean = value_text(metric, cell["mean"])
    return f"{f'**{mean}**' if bold else mean} {interval_text(metric, cell['lo'], cell['hi'])}".strip()


def _signed(metric: str, lo: float | None, hi: float | None) -> str:
    if lo is None or hi is None:
        return NOTHING
    return "[" + ", ".join(value_text(metric, x, digits=2, sign=True) for x in (lo, hi)) + "]"


def _alt(summaries: Summaries, metric: str) -> str:
    parts = [
        f"{method}: avg6 {value_text(metric, s[metric]['avg6']['mean'])}, all modalities "
        f"{value_text(metric, s[metric]['svt']['mean'])}"
        for method, s in summaries.items()
    ]
    return f"Dots with intervals, {metric} by condition. " + "; ".join(parts) + "."
