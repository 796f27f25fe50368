"""Every ablation beside its full method (the paper's Table 3), what the difference carries, what it costs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd

from cmarr.analyses.analysis import Analysis
from cmarr.analyses.study import Study, read_cost, training_time
from cmarr.errors import percent_text
from cmarr.evaluation.comparison import MODELS, compare_pairs
from cmarr.evaluation.scores import metrics_of, primary
from cmarr.evaluation.sufficient_statistics import ROWS
from cmarr.evaluation.summary import Frames, summarise
from cmarr.report.notes import ONE_SEED, nothing_can_be_shown
from cmarr.report.numbers import difference_text, row_label, score_text, signed_interval, unit, value_text
from cmarr.report.page import Block, Points, Section
from cmarr.report.published import ABLATIONS, SOURCE, Published
from cmarr.report.table import NOTHING, Table
from cmarr.settings.schema import FULL, TRIALS
from cmarr.task import Task

SHOWN_ROWS = tuple(row for row in ROWS if row != "avg7")
"""The paper's rows, and the complete condition, which its Table 3 leaves out."""


@dataclass(frozen=True)
class Ablations:
    """The full method and its variants, by the label that the table shows.

    summaries:   label -> summary, 'full' first
    comparisons: label -> the variant minus the full method
    paper:       the paper's table of them, whose rows stand under ours; printed: what the paper calls it
    times:       label -> core-seconds of training (on a GPU, seconds), that of a model it starts from counted in
    """

    summaries: Mapping[str, Mapping[str, Any]]
    comparisons: Mapping[str, Mapping[str, Any]]
    paper: Published | None = None
    printed: str = ""
    times: Mapping[str, float] = field(default_factory=dict)


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


def scores_frame(ablations: Ablations, metric: str, published: Published | None = None) -> pd.DataFrame:
    """One row a variant, one column a condition; the paper's row follows ours of the same label."""
    rows = []
    for label, summary in ablations.summaries.items():
        cells = summary[metric]
        rows.append(
            {"variant": label}
            | _named(ablations, {row: score_text(metric, cells[row]) for row in SHOWN_ROWS})
        )
        if paper := (published or {}).get(label):
            values = {row: _printed(paper.get(row), metric) for row in SHOWN_ROWS}
            rows.append({"variant": f"{label} (paper)"} | _named(ablations, values))
    return pd.DataFrame(rows)


def differences_frame(ablations: Ablations, metric: str, published: Published | None = None) -> pd.DataFrame:
    """One row a variant: its score minus the full method's per condition, with paired intervals."""
    rows = []
    for label, comparison in ablations.comparisons.items():
        cells = {row: difference_text(metric, comparison[metric][row]) for row in SHOWN_ROWS}
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
            {"variant": label, "training, core-s": f"{own:.1f}", "share, %": percent_text(own / whole)}
            for label, own in times.items()
        ]
    )


def verdicts(ablations: Ablations, task: Task, row: str = "avg6") -> list[str]:
    """One sentence a variant: does leaving that part out hurt? p-values corrected over all variants and rows."""
    metric = primary(task)
    cells = {label: c[metric][row] for label, c in ablations.comparisons.items()}
    known = {label: cell for label, cell in cells.items() if cell["difference"] is not None}
    lines = []
    for label, cell in known.items():
        verdict = {-1: "hurts", 0: "**not shown to hurt**", 1: "**helps**"}[cell["shown"]]
        lines.append(
            f"{label}: {row_label(row, ablations.summaries)} {metric} "
            f"{value_text(metric, cell['difference'], sign=True)} "
            f"{signed_interval(metric, cell['lo'], cell['hi'])}, p = {cell['p_table']:.2g}: {verdict}."
        )
    if known:
        lines += nothing_can_be_shown(next(iter(ablations.summaries.values()))["meta"]["clusters"])
        lines += [ONE_SEED] if any(cell["of"] == MODELS for cell in known.values()) else []
    return lines


def ablations_table(ablations: Ablations | None, task: Task) -> pd.DataFrame:
    """Everything as rows: what `summarise` and `compare` say of a variant, metric and condition."""
    scored, differing = ("mean", "std", "std_seeds", "lo", "hi"), ("difference", "lo", "hi", "p", "p_table")
    rows: list[Sequence[Any]] = []
    for label, summary in (ablations.summaries if ablations else {}).items():
        compared = ablations.comparisons.get(label) if ablations else None
        for metric in metrics_of(task):
            for row in ROWS:
                cell, other = summary[metric][row], compared[metric][row] if compared else {}
                numbers = [cell[k] for k in scored] + [other.get(k) for k in differing]
                rows.append((label, metric, row, *numbers))
    changed = [f"difference_{k}" if k in scored else k for k in differing]
    return pd.DataFrame(rows, columns=["variant", "metric", "condition", *scored, *changed])


def _named(ablations: Ablations, cells: Mapping[str, str]) -> dict[str, str]:
    return {row_label(row, ablations.summaries): text for row, text in cells.items()}


def _printed(pair: tuple[float, float] | None, metric: str) -> str:
    return NOTHING if pair is None else f"{pair[metric == 'UAR']:.2f}"


def _change(pair: tuple[float, float] | None, full: tuple[float, float] | None, metric: str) -> str:
    if pair is None or full is None:
        return NOTHING
    return f"{pair[metric == 'UAR'] - full[metric == 'UAR']:+.2f}"


TITLE = "Ablations (Table 3)"
HOW = "No ablation has been trained here: `make ablations` trains them all, or name some under `ablate` in params.yaml."


def ablations_section(found: Mapping[str, Ablations], task: Task, changes: Mapping[str, str]) -> Section:
    """The section of Table 3; found: full method -> its ablations, changes: label -> what that changes, in words."""
    if not found:
        return Section("ablations", TITLE, missing=HOW)
    blocks = [block for method, own in found.items() for block in _variants(method, own, task, changes)]
    return Section("ablations", TITLE, (), blocks)


def _variants(method: str, ablations: Ablations, task: Task, changes: Mapping[str, str]) -> list[Block]:
    metric, paper, printed = primary(task), ablations.paper, ablations.printed
    notes = [f"{label}: {change}" for label, change in changes.items() if label in ablations.summaries]
    if paper:
        notes.append(f"(paper): {SOURCE}, {printed}, on IEMOCAP with its own features; context, not a race.")
    blocks: list[Block] = [
        Points(verdicts(ablations, task), f"Variants of {method}: does leaving it out hurt?"),
        Table(
            f"ablations-{method}",
            f"{f'{printed}, ' if printed else ''}{method} and its variants, {metric}{unit(metric)} "
            "[95 % interval] ± deviation over folds, over seeds.",
            scores_frame(ablations, metric, paper),
            notes,
        ),
        Table(
            f"ablations-{method}-differences",
            f"Each variant minus the full {method}, {metric}{unit(metric)} [95 % interval, paired].",
            differences_frame(ablations, metric, paper),
        ),
    ]
    if metric == "UAR":
        caption = f"{method} and its variants, WAR, % [95 % interval] ± deviation over folds, over seeds."
        blocks.append(Table(f"ablations-{method}-war", caption, scores_frame(ablations, "WAR", paper)))
    if ablations.times:
        caption = f"Training of {method} and its variants, of what they start from as well."
        blocks.append(Table(f"costs-ablations-{method}", caption, times_frame(ablations.times)))
    return blocks


def compared(study: Study) -> dict[str, Ablations]:
    """Full method -> every ablation of it that was trained, and methods that are ablations of it by their design."""
    names = {label: name for name, label in study.labels.items()}
    variants: dict[str, dict[str, Any]] = {}
    for ablation in (
        a for a in study.settings["ablations"] if TRIALS not in a["set"] and a["name"] not in study.privileged
    ):
        full = ablation["against"]
        if full not in variants:
            variants[full] = {label: study.frames[name] for label, name in _parts_of(full, study).items()}
        variants[full][ablation["label"]] = study.predictions(ablation["name"])
    found = {}
    for full, own in variants.items():
        made = compare_with_full(study.frames[full], own, study.task)
        folders = {FULL: full, **_parts_of(full, study), **names}
        costs = {label: read_cost(study.at.metrics / folders[label]) for label in made.summaries}
        times = {label: training_time(cost) for label, cost in costs.items()}
        printed = study.settings["declared"][full]["published_ablations"]
        found[full] = replace(made, times=times, printed=printed, paper=_paper_of(printed, study))
    return found


def _paper_of(printed: str, study: Study) -> Published | None:
    """The paper's table of that name, where what it measures is what this study does."""
    by_speaker = study.settings.get("normalise", "corpus") == "speaker"  # which no paper does
    return None if by_speaker or study.task.regression or printed not in ABLATIONS else ABLATIONS[printed]()


def section(study: Study) -> Section:
    """What the ablations of this study score, and what that took."""
    found, task = compared(study), study.task
    made = ablations_section(found, task, study.changes)
    tables = [ablations_table(ablations, task).assign(method=full) for full, ablations in found.items()]
    table = pd.concat(tables) if tables else ablations_table(None, task)
    return replace(made, files={"ablations.md": made.markdown(study.dataset), "ablations.csv": table})


def _parts_of(full: str, study: Study) -> dict[str, str]:
    """Label -> method, of the study's methods that are a part of the full one alone."""
    parts = study.settings["declared"][full]["parts"]
    return {label: name for label, name in parts.items() if name in study.frames}


ANALYSIS = Analysis(section)
