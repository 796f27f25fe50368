"""Does a model say the same when it sees less? Each condition beside the complete view of the same utterance."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from cmarr.evaluation.resampling import bootstrap_interval
from cmarr.modalities import COMPLETE, INCOMPLETE, visible
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
            "agrees": _answers(logits[condition], task)[rows] == _answers(logits[COMPLETE], task)[rows],
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
            mean, lo, hi = _interval(known["cluster"], known[measure].to_numpy(np.float64))
            rows.append((condition, measure, mean, lo, hi, known["id"].nunique()))
    return pd.DataFrame(rows, columns=["condition", "measure", "mean", "lo", "hi", "n"])


def _interval(clusters: pd.Series, values: np.ndarray) -> tuple[float, float, float]:
    number, names = pd.factorize(clusters)
    totals, counts = np.bincount(number, values), np.bincount(number)
    lo, hi = bootstrap_interval(
        lambda weights: weights @ totals[:, None] / (weights @ counts[:, None]), len(names)
    )
    return float(values.mean()), float(lo[0]), float(hi[0])


def _answers(logits: np.ndarray, task: Task) -> np.ndarray:
    return logits[:, 0] >= 0 if task.regression else logits.argmax(1)


def _cosine(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Row by row, (n, d) and (n, d) -> (n,); 0 where one of the two is nothing but zeros."""
    lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    return (first * second).sum(1) / np.where(lengths > 0, lengths, 1.0)
