"""Table 1: the corpus, its sessions and folds, what it lacks, what could not be read."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import pandas as pd

from cmarr.analyses.analysis import Analysis
from cmarr.analyses.study import Study
from cmarr.corpora.statistics import corpus_table, durations, printed
from cmarr.errors import many, percent_text
from cmarr.folds.files import ROLES, Fold
from cmarr.modalities import MODALITIES, NAMES
from cmarr.report.page import Points, Section
from cmarr.report.table import Table
from cmarr.utterance import Utterance

FEW = 24
"""Sessions or folds up to which each has a row of its own."""


def section(study: Study) -> Section:
    """The section of Table 1."""
    classes = study.task.classes
    seconds = durations(study.utterances, study.headers)

    def row(name: str, part: Sequence[Utterance]) -> pd.DataFrame:
        return corpus_table(name, part, classes, study.available, seconds)

    whole = row(study.dataset, study.utterances)
    rows = [whole]
    sessions: dict[str, list[Utterance]] = {}
    for one in study.utterances:
        if one.session is not None:
            sessions.setdefault(one.session, []).append(one)
    if 1 < len(sessions) <= FEW:
        ordered = sorted(sessions.items(), key=lambda item: (len(item[0]), item[0]))
        rows += [row(f"session {name}", part) for name, part in ordered]
    shown = printed(pd.concat(rows, ignore_index=True)).drop(columns=["sessions", "dialogues"])
    blocks: list[Table | Points] = [
        Table(
            "corpus",
            f"Table 1. The corpus {study.dataset}: speakers, utterances by "
            f"{'class' if classes else 'sign of the score'}, hours, and the share of utterances that lack a modality.",
            shown,
        ),
        Table(
            "folds",
            "Utterances in every fold, and what the test part lacks.",
            folds_frame(study.folds, study.available),
            [
                study.fold_rule,
                *(f"{doubt.text}. {doubt.advice}".rstrip(" .") + "." for doubt in study.doubts),
            ],
        ),
    ]
    made = Section("corpus", "The corpus", (), [*blocks, *quarantine(study.rejected)])
    return replace(made, files={"corpus.md": made.markdown(study.dataset), "corpus.csv": printed(whole)})


def folds_frame(folds: Sequence[Fold], available: Mapping[str, Collection[str]]) -> pd.DataFrame:
    """One row a fold: sizes of its parts, and the share of its test utterances without each modality."""
    known = {m: set(ids) for m, ids in available.items()}
    rows = []
    for fold in folds[:FEW]:
        row: dict[str, object] = {"fold": str(fold.number)}
        row |= {role: len(getattr(fold, role)) for role in ROLES}
        for m in MODALITIES:
            lacking = sum(i not in known.get(m, ()) for i in fold.test)
            row[f"test without {NAMES[m]}"] = (
                f"{percent_text(lacking / len(fold.test), 1)} %" if fold.test else "-"
            )
        rows.append(row)
    return pd.DataFrame(rows)


def quarantine(rejected: pd.DataFrame) -> list[Table | Points]:
    """What could not be used, counted by stage, modality and reason."""
    if rejected.empty:
        return [Points(["Nothing was put into quarantine: every input could be read."])]
    shown = rejected.assign(modality=rejected["modality"].fillna("whole utterance").replace(NAMES))
    counted = shown.groupby(["stage", "modality"], sort=True).agg(
        inputs=("id", "size"), example=("id", "first"), reason=("reason", "first")
    )
    inputs = many(len(rejected), "input")
    caption = f"Quarantine: {inputs} could not be used; the first of each kind stands beside its count."
    return [Table("quarantine", caption, counted.reset_index())]


ANALYSIS = Analysis(section)
