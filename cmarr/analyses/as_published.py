"""What privileges are worth: methods trained and chosen as their authors did, beside the same methods under the rules.

Everything here is marked. A number of such a row is never bold, and stands beside that of its own method alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any

import pandas as pd

from cmarr.analyses.analysis import Analysis
from cmarr.analyses.study import Study
from cmarr.errors import listed
from cmarr.evaluation.comparison import Comparisons, compare_gains, compare_pairs
from cmarr.evaluation.predictions import PRIVILEGES
from cmarr.evaluation.scores import ERRORS, primary
from cmarr.evaluation.sufficient_statistics import ROWS
from cmarr.evaluation.summary import long_table, summarise
from cmarr.folds.privileges import MARK, TEST_EPOCH, told
from cmarr.report.numbers import LABELS, difference_text, row_label, score_text, unit
from cmarr.report.page import Points, Section
from cmarr.report.table import Table
from cmarr.task import Task

TITLE = "As published: what the protocol is worth"
HOW = (
    "No method was trained as its authors did: `ablate: [primd_as_published]` in params.yaml trains one so, and "
    "measures how much of its score is what they allowed themselves."
)


@dataclass(frozen=True)
class AsPublished:
    """What privileges are worth.

    rows:        label -> (its method, its privileges), in the order of the tables
    summaries:   of the methods and the rows, by name
    comparisons: (label, method) -> the privileged row minus the method under the rules, seed by seed: one training's
                 epochs, or the same first numbers
    margins:     (method, method), each as its authors have it -> their `Margin`
    """

    rows: Mapping[str, tuple[str, Sequence[str]]]
    summaries: Mapping[str, Mapping[str, Any]]
    comparisons: Comparisons
    margins: Mapping[tuple[str, str], "Margin"] = field(default_factory=dict)


@dataclass(frozen=True)
class Margin:
    """One method minus another, each as its authors have it, and both under the rules: metric -> row -> cell.

    protocol: the first minus the second, which is what a printed margin owes to protocols
    """

    published: Mapping[str, Any]
    ruled: Mapping[str, Any]
    protocol: Mapping[str, Any]


def privileged(study: Study) -> AsPublished | None:
    """The rows of a study that have privileges; None without any."""
    asked = [a for a in study.settings["ablations"] if a["name"] in study.privileged]
    if not asked:
        return None
    rows = {a["label"]: (a["against"], tuple(a["privileges"])) for a in asked}
    frames = {name: study.frames[name] for name, _ in rows.values()}
    frames |= {a["label"]: study.predictions(a["name"]) for a in asked}
    pairs = [(label, name) for label, (name, _) in rows.items()]
    whole = {a["against"]: a["label"] for a in asked if a["name"] == f"{a['against']}_as_published"}
    return AsPublished(
        rows,
        {name: summarise(own, study.task) for name, own in frames.items()},
        compare_pairs(frames, pairs, study.task, privileged=True, same_models=True),
        {
            (a, b): _margin(frames, (whole[a], a), (whole[b], b), study.task)
            for a, b in combinations(whole, 2)
        },
    )


def _margin(frames: Mapping[str, Any], one: tuple[str, str], other: tuple[str, str], task: Task) -> Margin:
    """Of two methods, each with its name as published before its own."""
    published, ruled = pairs = list(zip(one, other, strict=True))
    found = compare_pairs(frames, pairs, task, privileged=True)
    return Margin(found[published], found[ruled], compare_gains(frames, one, other, task))


def points_frame(found: AsPublished, metric: str) -> pd.DataFrame:
    """Of each method its score under the rules, then its privileged rows, each with what the privileges are worth."""
    out = []
    for method in dict.fromkeys(name for name, _ in found.rows.values()):
        shown = {
            method: _cells(found, lambda row, of=method: score_text(metric, found.summaries[of][metric][row]))
        }
        for label in (own for own, (name, _) in found.rows.items() if name == method):
            cells, worth = found.summaries[label][metric], found.comparisons[label, method][metric]
            shown[f"{label} {MARK}"] = _cells(found, lambda row, of=cells: score_text(metric, of[row]))
            shown[f"{label}: the protocol's {MARK}"] = _cells(
                found, lambda row, of=worth: difference_text(metric, of[row])
            )
        out += [{"method": name} | row for name, row in shown.items()]
    return pd.DataFrame(out)


def _cells(found: AsPublished, text: Any) -> dict[str, str]:
    return {row_label(row, found.summaries): text(row) for row in ROWS}


def sentences(found: AsPublished, task: Task, row: str = "avg6") -> list[str]:
    """A sentence a row: how many points are the protocol's, and which the data carry. One a margin between methods."""
    metrics, name, lines = shown_metrics(task), row_label(row, found.summaries), []
    for label, (method, privileges) in found.rows.items():
        cells = {metric: found.comparisons[label, method][metric][row] for metric in metrics}
        known = {metric: cell for metric, cell in cells.items() if cell["difference"] is not None}
        if not known:
            continue
        gained = [metric for metric, cell in known.items() if cell["shown"] == 1]
        points = listed([f"{difference_text(metric, cell)} {metric}" for metric, cell in known.items()])
        lines.append(
            f"{label} {told(privileges)}: {points} on {name} {'are' if gained else 'would be'} the protocol's, not "
            f"{method}'s"
            + (
                "."
                if len(gained) == len(known)
                else f"; the data carry {f'the gain in {listed(gained)} alone' if gained else 'no gain'}."
            )
        )
    for (a, b), margin in found.margins.items():
        metric = metrics[-1] if task.regression else metrics[0]
        published, ruled, protocol = (
            difference_text(metric, cells[metric][row])
            for cells in (margin.published, margin.ruled, margin.protocol)
        )
        lines.append(
            f"{a} ahead of {b}, each as its authors trained and chose it {MARK}: {published} {metric} on {name}; under "
            f"the rules {ruled}. Of that margin {protocol} are the protocols'."
        )
    return lines


def shown_metrics(task: Task) -> tuple[str, str]:
    """The metric that chooses, and the other that papers print."""
    return (primary(task), "WF1") if task.regression else ("UAR", "WAR")


def as_published_section(found: AsPublished | None, task: Task, cluster: str) -> Section:
    """What the privileges are worth in words, and a table a metric."""
    if found is None:
        return Section("as-published", TITLE, missing=HOW)
    metrics = shown_metrics(task)
    taken = list(dict.fromkeys(p for _, privileges in found.rows.values() for p in privileges))
    notes = [
        f"{told(taken)}. Everything else is the same: features, folds, training utterances, seeds, sizes.",
        f"The protocol's: privileged minus under the rules, [95 % interval, paired, {cluster}s and seeds resampled]. "
        + listed([f"{m}: {'less' if m in ERRORS else 'more'} is better" for m in metrics])
        + ".",
        "A row with the mark measures its protocol: it is in no other table, never bold, has no rank, and its models "
        "answer for nothing.",
        *(
            [
                "Where the epoch is chosen on test utterances, no score of that row says what to expect of others."
            ]
            if TEST_EPOCH in taken
            else []
        ),
    ]
    tables = [
        Table(
            f"as-published-{metric.lower()}",
            f"{LABELS.get(metric, metric)}{unit(metric)}: methods under the rules, and as their authors trained and "
            "chose them, mean [95 % interval] ± deviation over folds, over seeds.",
            points_frame(found, metric),
            notes if metric == metrics[0] else (),
        )
        for metric in metrics
    ]
    return Section("as-published", TITLE, (), [Points(sentences(found, task)), *tables])


def section(study: Study) -> Section:
    """What privileges are worth in this study, and every number of it."""
    found = privileged(study)
    made = as_published_section(found, study.task, study.cluster)
    if found is None:
        return made
    rows = {label: " ".join(taken) for label, (_, taken) in found.rows.items()}
    numbers = pd.concat(
        [
            long_table(own, method=name, **{PRIVILEGES: rows.get(name, "")})
            for name, own in found.summaries.items()
        ]
    )
    return replace(made, files={"as_published.md": made.markdown(study.dataset), "as_published.csv": numbers})


ANALYSIS = Analysis(section)
