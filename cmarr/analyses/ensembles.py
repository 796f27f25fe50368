"""The seeds of each method averaged: how much of what separates methods is the luck of single trainings."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from cmarr.analyses.analysis import Analysis
from cmarr.analyses.results import beside_frame
from cmarr.analyses.study import Study, deterministic
from cmarr.evaluation.comparison import compare_all
from cmarr.evaluation.predictions import columns
from cmarr.evaluation.scores import primary
from cmarr.evaluation.summary import long_table, summarise
from cmarr.report.notes import ONE_SEED, nothing_can_be_shown, shown_means
from cmarr.report.numbers import LABELS, unit
from cmarr.report.page import Section
from cmarr.report.table import Table
from cmarr.task import Task

TITLE = "Seeds as an ensemble"
HOW = "Nothing to average: an ensemble needs several `seeds` in params.yaml, and a method that differs between them."
ANSWER = ["fold", "protocol", "level", "condition", "id"]
"""What an answer is to, whatever the seed."""


def averaged(frames: Sequence[pd.DataFrame], task: Task) -> pd.DataFrame:
    """One answer a question: the mean over the seeds of class probabilities or scores, as of one seed 0.

    frames: predictions of all folds and seeds, see `cmarr.evaluation.predictions`.
    """
    rows = pd.concat(frames, ignore_index=True)
    means = rows.groupby(ANSWER, dropna=False, sort=False)[columns(task)].mean().reset_index()
    first = rows.drop_duplicates(ANSWER).drop(columns=columns(task))
    return first.assign(seed=0).merge(means, on=ANSWER, validate="one_to_one")


def ensembles_section(study: Study, frames: Mapping[str, pd.DataFrame]) -> tuple[Section, pd.DataFrame]:
    """The table of each method's mean over seeds and of its ensemble, and every number of the latter.

    frames: method -> its answers, see `averaged`.
    """
    metric, meta = primary(study.task), study.meta
    names = {name: f"{name}, {study.summaries[name]['meta']['seeds']} seeds averaged" for name in frames}
    found = {names[name]: own for name, own in frames.items()}
    summaries: dict[str, Mapping[str, Any]] = {name: study.summaries[name] for name in frames}
    summaries |= {name: summarise(own, study.task) for name, own in found.items()}
    notes = [
        "An ensemble answers with the mean of what the models of all seeds say. It costs as many trainings and as many "
        "answers, so it stands beside ensembles only.",
        "Bold: shown to be better than every other ensemble. "
        + shown_means(study.cluster, "all pairs of ensembles and all rows"),
        ONE_SEED,
        *nothing_can_be_shown(meta["clusters"], study.cluster),
    ]
    table = Table(
        f"ensembles-{metric.lower()}",
        f"{LABELS.get(metric, metric)}{unit(metric)}: the mean over seeds, and all seeds as one model, mean "
        "[95 % interval] ± deviation over folds.",
        beside_frame(names, summaries, compare_all(found, study.task), metric),
        notes,
    )
    numbers = pd.concat([long_table(summaries[name], method=name) for name in found])
    return Section("ensembles", TITLE, (), [table]), numbers


def section(study: Study) -> Section:
    """The ensembles of this study; none with a single seed."""
    fixed = deterministic(study.settings)
    several = {
        m: own
        for m, own in study.frames.items()
        if m not in fixed and study.summaries[m]["meta"]["seeds"] > 1
    }
    if not several:
        return Section("ensembles", TITLE, missing=HOW)
    made, numbers = ensembles_section(study, {m: averaged(own, study.task) for m, own in several.items()})
    return replace(made, files={"ensembles.md": made.markdown(study.dataset), "ensembles.csv": numbers})


ANALYSIS = Analysis(section)
