"""The results as plain text, for the last lines of a run."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cmarr.analyses.analysis import Analysis
from cmarr.analyses.study import Study
from cmarr.evaluation.comparison import MODELS, Comparisons
from cmarr.evaluation.scores import ERRORS, primary
from cmarr.evaluation.sufficient_statistics import AVERAGES, ROWS
from cmarr.evaluation.summary import fold_table, long_table
from cmarr.modalities import NAMES
from cmarr.report.notes import (
    describe_normalisation,
    describe_scarcity,
    describe_selection,
    difference,
    footnotes,
    nothing_can_be_shown,
    results_markdown,
    shown_means,
    verdicts,
)
from cmarr.report.numbers import (
    LABELS,
    RAW,
    Summaries,
    chosen_spread,
    deviations_text,
    row_label,
    score_text,
    signed_interval,
    unit,
    value_text,
)
from cmarr.report.page import Block, Folded, Section
from cmarr.report.picture import picture
from cmarr.report.published import Published, table_2, with_avg7
from cmarr.report.style import FAINT, GRID, horizontal_grid, looks, style
from cmarr.report.table import NOTHING, Table, markdown_table, plain_table
from cmarr.task import Task


def results_text(summaries: Summaries, task: Task, *, title: str, cluster: str = "speaker") -> str:
    """Title, the table of means without spread, what its numbers are, and whether a test could come out at all."""
    frame = results_frame(summaries, task, spread="none", bold=False)
    clusters = next(iter(summaries.values()))["meta"]["clusters"]
    few = nothing_can_be_shown(clusters, cluster) if len(summaries) > 1 else []
    units = "MAE and Corr as they are, the rest in %" if task.regression else "WAR / UAR in %"
    return (
        f"{title}\n{units}, mean over folds and seeds; '-': no utterance can meet the condition\n\n"
        + plain_table(frame)
        + "".join(f"\n{line.replace('**', '')}\n" for line in few)
    )


GAP = 0.25
"""Extra room, in steps of the horizontal axis, around the averages and the complete condition."""


def results_figure(
    summaries: Summaries,
    task: Task,
    *,
    metric: str,
    title: str,
    cluster: str = "speaker",
) -> Figure:
    """Dots with 95 % intervals, one a condition and method.

    Args:
        metric: one of the task's metrics.
        cluster: what the bars resample.
    """
    scale = 1 if metric in RAW else 100
    positions = _positions()
    with style():
        figure = Figure(figsize=(9.6, 4.6), layout="constrained")
        axes = figure.subplots()
        horizontal_grid(axes)
        for row in AVERAGES:
            axes.axvspan(
                positions[row] - 0.5, positions[row] + 0.55, color=GRID, alpha=0.55, linewidth=0, zorder=0
            )
        shift = np.linspace(-1, 1, len(summaries)) * min(0.3, 0.13 * (len(summaries) - 1))
        for (method, look), offset in zip(looks(summaries).items(), shift, strict=True):
            cells = summaries[method][metric]
            known = [row for row in ROWS if cells[row]["mean"] is not None]
            x = [positions[row] + offset for row in known]
            for at, row in zip(x, known, strict=True):
                if cells[row]["lo"] is not None:
                    look.bar(axes, at, scale * cells[row]["lo"], scale * cells[row]["hi"])
            means = np.array([cells[row]["mean"] for row in known]) * scale
            look.dots(axes, x, means, label=method, zorder=3)
        if metric == "UAR":
            _guessing(axes, 100 / len(task.classes), positions["avg7"] + 0.6)
        _frame(axes, summaries, positions, metric)
        axes.set_title(title, pad=44, fontsize=13)
        axes.annotate(
            _explained(summaries, cluster),
            (0, 1),
            xytext=(0, 32),
            xycoords="axes fraction",
            textcoords="offset points",
            fontsize=9.5,
            color=FAINT,
        )
        axes.legend(
            loc="lower left",
            bbox_to_anchor=(-0.01, 1.0),
            ncols=7,
            handletextpad=0.3,
            columnspacing=1.4,
            borderaxespad=0.2,
        )
    return figure


def _guessing(axes: Axes, score: float, right: float) -> None:
    """What guessing scores, as a line with its name at the right."""
    axes.axhline(score, color=FAINT, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
    axes.annotate(
        "chance",
        (right, score),
        xytext=(4, 0),
        textcoords="offset points",
        va="center",
        fontsize=8.5,
        color=FAINT,
        annotation_clip=False,
    )


def _explained(summaries: Summaries, cluster: str) -> str:
    meta = next(iter(summaries.values()))["meta"]
    if meta["clusters"] < 2:
        return "one test " + cluster + ": no interval"
    folds = f"mean over {meta['folds']} folds" if meta["folds"] > 1 else "one test split"
    return f"{folds}; bars: 95 % interval, {meta['clusters']} {cluster}s resampled"


def _positions() -> dict[str, float]:
    x, out = 0.0, {}
    for before, row in zip((None, *ROWS), ROWS, strict=False):
        if before is not None:
            x += 1 + GAP * (row in AVERAGES or before in AVERAGES)
        out[row] = x
    return out


def _frame(axes: Axes, summaries: Summaries, positions: Mapping[str, float], metric: str) -> None:
    labels = []
    for row in ROWS:
        if row in AVERAGES:
            labels.append(row_label(row, summaries).replace(" of ", "\n"))
        else:
            labels.append(row + "\n" + "\n".join(NAMES[m] for m in row))
    axes.set_xticks(list(positions.values()), labels)
    for row, tick in zip(ROWS, axes.get_xticklabels(), strict=True):
        tick.set_fontweight("bold" if row in AVERAGES else "normal")
    axes.set_xlim(-0.6, positions["avg7"] + 0.6)
    axes.spines["left"].set_visible(False)
    axes.set_ylabel(metric + unit(metric) + (" (less is better)" if metric in ERRORS else ""))
    first = next(iter(summaries.values()))[metric]
    for row in ROWS:
        if first[row]["mean"] is None:
            where: dict[str, Any] = {"transform": axes.get_xaxis_transform(), "ha": "center", "va": "center"}
            axes.text(positions[row], 0.5, "cannot be met", rotation=90, color=FAINT, fontsize=8.5, **where)


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
    for metric in ("MAE", "Corr", "WF1", "Acc2", "Acc7") if task.regression else ("UAR", "WAR", "WF1"):
        blocks.append(
            Table(
                f"results-{metric.lower()}",
                f"Table 2, {LABELS.get(metric, metric)}{unit(metric)}: {shown} under every condition, "
                "mean [95 % interval] ± deviation over folds, over seeds.",
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
                    "p: of one difference by itself; p, table: corrected for all that the table of results holds. "
                    + shown_means(
                        cluster,
                        "all pairs of methods, all rows and the metrics of the results table together",
                    )
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
            row_label(row, summaries): score_text(
                metric, summary[metric][row], bold=best.get((metric, row)) == method
            )
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


def beside_frame(
    names: Mapping[str, str], summaries: Summaries, comparisons: Comparisons, metric: str
) -> pd.DataFrame:
    """The rows of a results table: each method as it stands, and below it what `names` calls its other form."""
    plain = scores_frame({name: summaries[name] for name in names}, metric, {})
    others = scores_frame({name: summaries[name] for name in names.values()}, metric, comparisons)
    return pd.concat([plain, others]).sort_index(kind="stable").reset_index(drop=True)


def tests_frame(study: Study, rows: Sequence[str]) -> pd.DataFrame:
    """A row a condition and pair: difference of the primary metric, interval, p, p corrected for the table, verdict."""
    metric = primary(study.task)
    out = []
    for row in rows:
        for one, other, found in tested(study, metric, row):
            out.append(
                {
                    "condition": row_label(row, study.summaries),
                    "methods": f"{one} − {other}",
                    f"difference in {metric}": value_text(metric, found["difference"], sign=True),
                    "95 % interval": signed_interval(
                        metric, found["lo"], found["hi"], digits=2, none=NOTHING
                    ),
                    "p": f"{found['p']:.3f}",
                    "p, table": f"{found['p_table']:.3f}",
                    "shown": verdict(found, one, other),
                }
            )
    names = ["condition", "methods", f"difference in {metric}", "95 % interval", "p", "p, table", "shown"]
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
    ahead = better(found, one, other)
    if ahead is None:
        return "no difference"
    return f"these models of {ahead} are better" if found["of"] == MODELS else f"{ahead} is better"


def better(found: Mapping[str, Any], one: str, other: str) -> str | None:
    """The one of two that is shown to be better; None where the test does not carry a difference."""
    return {1: one, 0: None, -1: other}[found["shown"]]


def of_models(study: Study) -> bool:
    """Whether some verdict is about the models of a single seed."""
    return any(found["meta"]["of"] == MODELS for found in study.comparisons.values())


def _alt(summaries: Summaries, metric: str) -> str:
    parts = [
        f"{method}: avg6 {value_text(metric, s[metric]['avg6']['mean'])}, all modalities "
        f"{value_text(metric, s[metric]['svt']['mean'])}"
        for method, s in summaries.items()
    ]
    return f"Dots with intervals, {metric} by condition. " + "; ".join(parts) + "."


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
        spread: 'std' (± over folds, over seeds), 'interval' (95 %, and these), 'none', or 'auto': std where there are
            folds, else interval.
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
        | {LABELS.get(m, m): _mean(m, summary[m][row], spread, best.get((m, row)) == method) for m in metrics}
        for row in ROWS
        for first, (method, summary) in zip(
            (True, *(False,) * len(summaries)), summaries.items(), strict=False
        )
    ]
    return pd.DataFrame(rows)


def _scored(row: str, summaries: Summaries) -> str:
    """Utterances that count and, where some have nothing usable, out of how many."""
    metrics = next(iter(summaries.values()))
    cell = next(cells for metric, cells in metrics.items() if metric != "meta")[row]
    if not cell["n"]:
        return NOTHING
    return f"{cell['n']:,}" + (f" of {cell['n_all']:,}" if cell["n"] < cell["n_all"] else "")


def _pair(summary: Mapping[str, Any], row: str, spread: str, bold: list[bool]) -> str:
    cells = [_mean(m, summary[m][row], spread, b) for m, b in zip(_PAIR, bold, strict=True)]
    return " / ".join(cells) if cells != [NOTHING] * len(cells) else NOTHING


def _mean(metric: str, cell: Mapping[str, Any], spread: str, bold: bool) -> str:
    if spread == "interval" or cell["mean"] is None:
        return score_text(metric, cell, bold=bold)
    mean = f"**{value_text(metric, cell['mean'])}**" if bold else value_text(metric, cell["mean"])
    return f"{mean} {deviations_text(metric, cell)}".strip() if spread == "std" else mean


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
    cell = difference(comparisons, method, other, metric, row)
    return 0 if cell is None else int(cell["shown"])


_PAIR = ("WAR", "UAR")


def section(study: Study) -> Section:
    """Table 2 of this study: on the page, as a table of its own, and for the last lines of a run."""
    task, paper = study.task, table_2(study.dataset)
    different = describe_normalisation(study.settings) + describe_scarcity(study.settings)
    paper = None if different else paper  # which had no clip of a test speaker, and every label
    published = with_avg7(paper) if paper else None
    notes = partial(
        footnotes,
        study.summaries,
        task,
        dataset=study.dataset,
        selection=describe_selection(study.settings, task) + different,
        folds=study.leakage,
        features=study.features,
        cluster=study.cluster,
        published=paper is not None,
        of_models=of_models(study),
    )
    made = results_section(study, notes=notes(spread="interval"), cluster=study.cluster, published=published)
    table = results_frame(study.summaries, task, published=published, comparisons=study.comparisons)
    title = f"{study.dataset}: {'scores' if task.regression else 'WAR / UAR in %'} by available modalities"
    against = verdicts(study.comparisons, task, study.summaries, rivals=study.plain)
    shown = results_text(study.summaries, task, title=study.dataset, cluster=study.cluster)
    return replace(
        made,
        files={
            "results.md": results_markdown(title, markdown_table(table), notes(), against),
            "results.txt": shown,
            "results.csv": pd.concat([long_table(s, method=m) for m, s in study.summaries.items()]),
        },
    )


ANALYSIS = Analysis(section, measure=lambda of: {"folds.csv": fold_table(of.frames, of.task)})
