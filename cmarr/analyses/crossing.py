"""Does a model say the same when it sees less? Each condition beside the complete view of the same utterance."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from cmarr.analyses.analysis import Analysis
from cmarr.analyses.results import results_frame
from cmarr.analyses.study import Study, deterministic
from cmarr.errors import many, percent_text
from cmarr.evaluation.comparison import MODELS, compare_all
from cmarr.evaluation.resampling import mean_interval
from cmarr.evaluation.summary import summarise
from cmarr.modalities import COMPLETE, INCOMPLETE, visible
from cmarr.report.notes import ONE_SEED
from cmarr.report.page import Section
from cmarr.report.table import NOTHING, Table, slugs
from cmarr.seals import read_frame
from cmarr.task import Task

COLUMNS = ["id", "cluster", "condition", "agrees", "cosine"]
"""Of `consistency`: one row an utterance and condition; `cosine` is null where a method has no such vector."""


def consistency(
    *,
    ids: Sequence[str],
    clusters: Sequence[str],
    available: np.ndarray,
    logits: Mapping[str, np.ndarray],
    vectors: Mapping[str, np.ndarray] | None,
    task: Task,
) -> pd.DataFrame:
    """Compare the answers, and the vectors they are read from, of the six conditions with those of the complete view.

    Args:
        available: (N, 3) bool, in the order s, v, t.
        logits: condition -> (N, K), or scores (N, 1); the complete condition among them.
        vectors: condition -> (N, d), or None for a method without them.

    Counted are utterances that have all of the condition and lose something else. Two answers agree when they
    name the same class; two scores when both are negative or both are not.
    """
    present = np.asarray(available, bool)
    parts = []
    for condition in INCOMPLETE:
        shown = np.array(visible(condition))
        rows = np.flatnonzero(present[:, shown].all(1) & present[:, ~shown].any(1))
        part = {
            "id": [ids[int(i)] for i in rows],
            "cluster": [clusters[int(i)] for i in rows],
            "condition": condition,
            "agrees": _predicted(logits[condition], task)[rows] == _predicted(logits[COMPLETE], task)[rows],
            "cosine": np.nan,
        }
        if vectors is not None:
            part["cosine"] = _cosine(vectors[condition][rows], vectors[COMPLETE][rows])
        parts.append(pd.DataFrame(part, columns=COLUMNS))
    return pd.concat(parts, ignore_index=True)


def consistency_table(measured: pd.DataFrame) -> pd.DataFrame:
    """Rows condition, measure ('agrees', 'cosine'), mean, lo, hi, n from the rows of `consistency`.

    `measured` may hold several folds and seeds; clusters are drawn anew for the 95 % interval, n counts utterances.
    A measure that is null throughout is left out.
    """
    rows = []
    for condition in INCOMPLETE:
        own = measured[measured["condition"] == condition]
        for measure in ("agrees", "cosine"):
            known = own[own[measure].notna()]
            if known.empty:
                continue
            values = known[measure].astype(np.float64)
            mean, (lo, hi) = float(values.to_numpy().mean()), mean_interval(values, known["cluster"])
            rows.append((condition, measure, mean, lo, hi, known["id"].nunique()))
    return pd.DataFrame(rows, columns=["condition", "measure", "mean", "lo", "hi", "n"])


def _predicted(logits: np.ndarray, task: Task) -> np.ndarray:
    return logits[:, 0] >= 0 if task.regression else logits.argmax(1)


def _cosine(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Row by row, (n, d) and (n, d) -> (n,); 0 where one of the two is nothing but zeros."""
    lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    result: np.ndarray = (first * second).sum(1) / np.where(lengths > 0, lengths, 1.0)
    return result


TITLE = "Across corpora"
HOW = (
    "The models were tested on their own corpus alone: name others of the same task under `cross` in params.yaml "
    "(`-S 'cross=[demo_other]'`)."
)
SCORES = (
    "Every model of every fold and seed answers the whole of {corpus}; a cell is the mean over folds, then seeds, with "
    "a 95 % interval that draws {corpus}'s clusters, and seeds, anew, and the deviations over folds and seeds. Bold: "
    "shown to be better than every other method there. "
    "No utterance of {corpus} was seen in training, selection or normalisation."
)
CONSISTENCY = (
    "Share of utterances that get the same answer as with all modalities, and the mean cosine between the two vectors "
    "that the answers are read from (of methods that have one). Counted are utterances that have all of the "
    "condition and lose something else; {dataset}: its test folds."
)


def section(study: Study) -> Section:
    """The other corpora that this study's models were tested on."""
    files = slugs(study.settings["cross"])
    if not files:
        return Section("across-corpora", TITLE, missing=HOW)
    blocks = [table for corpus, name in files.items() for table in _crossed(study, corpus, name)]
    return Section("across-corpora", TITLE, (), blocks)


def _crossed(study: Study, corpus: str, name: str) -> Iterator[Table]:
    """The scores on another corpus, and how consistent the answers are there; `name`: of their files."""
    task, folder = study.task, study.at.predictions(f"cross.{corpus}")
    frames = {method: study.predictions(method, folder=folder) for method in study.frames}
    models = len(next(iter(frames.values())))
    summaries = {method: _once(summarise(own, task)) for method, own in frames.items()}
    compared = compare_all(frames, task, deterministic=deterministic(study.settings))
    once = any(found["meta"]["of"] == MODELS for found in compared.values())
    notes = [
        SCORES.format(corpus=corpus),
        many(models, "model") + " a method.",
        *([ONE_SEED] if once else []),
    ]
    scores = results_frame(summaries, task, comparisons=compared, spread="interval")
    yield Table(f"cross-{name}", f"Trained on {study.dataset}, tested on {corpus}.", scores, notes)
    rows = read_frame(folder / "consistency.parquet", "test across the corpora again")
    if len(table := consistency_frame(rows)):
        caption = f"Consistency with the complete view, on {study.dataset} and on {corpus}."
        yield Table(f"consistency-{name}", caption, table, [CONSISTENCY.format(dataset=study.dataset)])


def consistency_frame(measured: pd.DataFrame) -> pd.DataFrame:
    """A row a model and corpus, a column a condition: 'same answer in % / cosine'."""
    rows = []
    for (model, corpus), own in measured.groupby(["model", "corpus"], sort=False):
        table = consistency_table(own)
        row: dict[str, Any] = {"model": model, "corpus": corpus}
        for condition in INCOMPLETE:
            cells = table[table["condition"] == condition].set_index("measure")["mean"]
            texts = [percent_text(cells["agrees"], 1)] if "agrees" in cells else []
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


ANALYSIS = Analysis(section)
