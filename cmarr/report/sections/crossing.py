"""The models of one corpus on another: scores there, and how steady their answers are on both."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from cmarr.errors import many
from cmarr.evaluation.comparison import compare_all
from cmarr.evaluation.consistency import consistency_table
from cmarr.evaluation.summary import summarise
from cmarr.modalities import INCOMPLETE
from cmarr.report.markdown import NOTHING
from cmarr.report.page import Block, Section
from cmarr.report.table import Table, slugs
from cmarr.report.tables import results_frame
from cmarr.task import Task

TITLE = "Across corpora"
HOW = (
    "The models were tested on their own corpus alone: name others of the same task under `cross` in params.yaml, as "
    "in `dvc exp run -S 'cross=[demo_other]'`."
)
SCORES = (
    "Every model of every fold and seed answers the whole of {corpus}; a cell is the mean over folds, then seeds, with "
    "a 95 % interval that draws {corpus}'s clusters anew. Bold: shown to be better than every other method there. "
    "No utterance of {corpus} was seen in training, selection or normalisation."
)
STEADY = (
    "Share of utterances that get the same answer as with all modalities, and the mean cosine between the two vectors "
    "that the answers are read from (of methods that have one). Counted are utterances that have all of the "
    "condition and lose something else; {dataset}: its test folds."
)


def crossing_section(
    answers: Mapping[str, Mapping[str, Sequence[pd.DataFrame]]],
    steady: Mapping[str, pd.DataFrame],
    task: Task,
    *,
    dataset: str,
) -> Section:
    """The section; `answers`: corpus -> method -> predictions, one frame a model; `steady`: corpus -> rows of
    `cmarr.evaluation.consistency` with columns model and corpus."""
    if not answers:
        return Section("across-corpora", TITLE, missing=HOW)
    blocks: list[Block] = []
    files = slugs(answers)
    for corpus, frames in answers.items():
        models = len(next(iter(frames.values())))
        summaries = {name: _once(summarise(own, task)) for name, own in frames.items()}
        blocks.append(
            Table(
                f"cross-{files[corpus]}",
                f"Trained on {dataset}, tested on {corpus}.",
                results_frame(summaries, task, comparisons=compare_all(frames, task), spread="interval"),
                [SCORES.format(corpus=corpus), many(models, "model") + " a method."],
            )
        )
        table = steady_frame(steady[corpus])
        if len(table):
            caption = f"Consistency with the complete view, on {dataset} and on {corpus}."
            blocks.append(
                Table(f"consistency-{files[corpus]}", caption, table, [STEADY.format(dataset=dataset)])
            )
    return Section("across-corpora", TITLE, (), blocks)


def steady_frame(measured: pd.DataFrame) -> pd.DataFrame:
    """A row a model and corpus, a column a condition: 'same answer in % / cosine'."""
    rows = []
    for (model, corpus), own in measured.groupby(["model", "corpus"], sort=False):
        table = consistency_table(own)
        row: dict[str, Any] = {"model": model, "corpus": corpus}
        for condition in INCOMPLETE:
            cells = table[table["condition"] == condition].set_index("measure")["mean"]
            texts = [f"{100 * cells['agrees']:.1f}"] if "agrees" in cells else []
            texts += [f"{cells['cosine']:.2f}"] if "cosine" in cells else []
            row[condition] = " / ".join(texts) or NOTHING
        rows.append(row)
    frame = pd.DataFrame(rows)
    there = [c for c in INCOMPLETE if len(frame) and (frame[c] != NOTHING).any()]
    return frame[["model", "corpus", *there]] if there else frame[:0]


def _once(summary: dict[str, Any]) -> dict[str, Any]:
    """The summary with every utterance counted once, not once a fold: each fold's model answered all of them."""
    folds = summary["meta"]["folds"]
    out: dict[str, Any] = {}
    for metric, rows in summary.items():
        if metric == "meta":
            out[metric] = rows | {"utterances": rows["utterances"] // folds}
            continue
        out[metric] = {
            row: cell | {"n": cell["n"] // folds, "n_all": cell["n_all"] // folds}
            for row, cell in rows.items()
        }
    return out
