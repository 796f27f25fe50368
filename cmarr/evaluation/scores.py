"""The one function from predictions to numbers: fractions; argument order (truth, prediction).

Classification:
    WAR  weighted average recall = accuracy
    UAR  unweighted average recall: mean of the recalls of the classes that occur in the truth
    WF1  F1 of the classes, weighted by how often they occur;   MF1  their plain mean (occurring classes)
    BWF1 each occurring class against all others as a task of its own: mean of these tasks' weighted F1, as papers
         on IEMOCAP print it (there by four trainings; here all are read off one answer)
Regression (sentiment scores in [-3, 3], as in MOSI and MOSEI):
    MAE, Corr (Pearson)
    Acc2, WF1            negative against positive, utterances with a true score of zero dropped
    Acc2_zero, WF1_zero  negative against non-negative, all utterances
    Acc5, Acc7           scores clipped to [-2, 2] / [-3, 3] and rounded (halves to even)
"""

import numpy as np
import pandas as pd
from scipy.stats import pearsonr
from sklearn.metrics import accuracy_score, mean_absolute_error, multilabel_confusion_matrix

from cmarr.errors import require_known
from cmarr.evaluation.predictions import columns
from cmarr.task import Task

CLASSIFICATION = ("WAR", "UAR", "WF1", "MF1", "BWF1")
REGRESSION = ("MAE", "Corr", "Acc2", "WF1", "Acc7", "Acc5", "Acc2_zero", "WF1_zero")
ERRORS = frozenset({"MAE"})
"""Metrics of which less is better."""


def metrics_of(task: Task) -> tuple[str, ...]:
    """The metrics of a task, in the order of the tables.

    >>> metrics_of(Task(("calm", "tense")))
    ('WAR', 'UAR', 'WF1', 'MF1', 'BWF1')
    """
    return REGRESSION if task.regression else CLASSIFICATION


def tables(task: Task) -> tuple[tuple[str, ...], ...]:
    """The metrics by the table that they stand in: those of the main table of results, and each other one by itself.

    >>> tables(Task(("calm", "tense")))
    (('WAR', 'UAR'), ('WF1',), ('MF1',), ('BWF1',))
    """
    main = REGRESSION[:5] if task.regression else CLASSIFICATION[:2]
    return (main, *((metric,) for metric in metrics_of(task) if metric not in main))


def primary(task: Task) -> str:
    """The metric that selects epochs and on which methods are compared first."""
    return "MAE" if task.regression else "UAR"


def chosen_metric(metric: str | None, task: Task) -> str:
    """The metric of that name, or the primary one. Raises UserError for a name that is none of the task's."""
    known = metrics_of(task)
    if metric is not None:
        require_known(metric, known, f"no metric is called {metric!r} here; there are {', '.join(known)}")
    return metric or primary(task)


def predicted(frame: pd.DataFrame, task: Task) -> np.ndarray:
    """(N,) the predicted class names (ties to the first class), or the predicted scores."""
    values = frame[columns(task)].to_numpy(np.float64)
    result: np.ndarray = (
        values[:, 0] if task.regression else np.array(task.classes, dtype=object)[values.argmax(1)]
    )
    return result


def can_be_met(frame: pd.DataFrame) -> bool:
    """Whether one utterance at least has every modality of this (single) condition.

    In a corpus without video, 'vt' would only repeat 't' under another name: it is not reported.
    """
    return bool((frame["n_usable"] == frame["condition"].str.len()).any())


def scores(frame: pd.DataFrame, task: Task, *, everyone: bool = False) -> dict[str, float | None]:
    """Metric -> value for the predictions of one condition.

    Utterances with at least one usable modality count; with `everyone` also those that were answered by the
    training prior. Every value is None when no utterance can meet the condition; a single one is None where
    it is not defined (no utterance with a non-zero score; a correlation of constant truth).
    """
    if frame["condition"].nunique() > 1:
        raise ValueError("scores() takes the rows of a single condition")
    if not can_be_met(frame):
        return dict.fromkeys(metrics_of(task))
    return score_rows(frame if everyone else frame[frame["n_usable"] > 0], task)


def mixed_scores(frame: pd.DataFrame, task: Task, *, everyone: bool = False) -> dict[str, float | None]:
    """Metric -> value for one level of a protocol, at which each utterance may use something else.

    Utterances count as in `scores`; every value is None where no utterance has anything left.
    """
    counted = frame["n_usable"] > 0
    if not counted.any():
        return dict.fromkeys(metrics_of(task))
    return score_rows(frame if everyone else frame[counted], task)


def score_rows(frame: pd.DataFrame, task: Task) -> dict[str, float | None]:
    """Metric -> value over all rows given (at least one), whatever their conditions."""
    truth, found = frame["label"].to_numpy(), predicted(frame, task)
    if task.regression:
        return regression_scores(truth.astype(np.float64), found)
    return classification_scores(truth, found)


def classification_scores(truth: np.ndarray, predicted: np.ndarray) -> dict[str, float | None]:
    """WAR, UAR, WF1, MF1 and BWF1 of class labels, both (N,) with N >= 1.

    >>> found = classification_scores(np.array(["a", "a", "a", "b"]), np.array(["a", "a", "b", "b"]))
    >>> found["WAR"], round(found["UAR"], 3)
    (0.75, 0.833)
    """
    counts = multilabel_confusion_matrix(y_true=truth, y_pred=predicted, labels=np.unique(truth))
    neither, wrongly, missed, hits = counts.reshape(-1, 4).T
    support = missed + hits
    recall, f1 = hits / support, 2 * hits / (support + hits + wrongly)
    return {
        "WAR": float(np.average(recall, weights=support)),
        "UAR": float(recall.mean()),
        "WF1": float(np.average(f1, weights=support)),
        "MF1": float(f1.mean()),
        "BWF1": float(binary_weighted_f1(neither, wrongly, missed, hits).mean()),
    }


def binary_weighted_f1(
    neither: np.ndarray, wrongly: np.ndarray, missed: np.ndarray, hits: np.ndarray
) -> np.ndarray:
    """F1 of a class and of all others as one class, weighted by how often the two occur; all of one shape.

    Counts of utterances: neither true nor answered, answered wrongly, missed, answered rightly.
    """
    others, own = neither + wrongly, missed + hits
    with np.errstate(invalid="ignore"):
        weighted = others * _f1(neither, others + neither + missed) + own * _f1(hits, own + hits + wrongly)
        result: np.ndarray = weighted / (others + own)
        return result


def _f1(right: np.ndarray, met: np.ndarray) -> np.ndarray:
    """met: how often the class is true plus how often it is answered; 0 where neither: it weighs nothing."""
    return 2 * right / np.where(met > 0, met, 1)


def regression_scores(truth: np.ndarray, predicted: np.ndarray) -> dict[str, float | None]:
    """All regression metrics of scores, both (N,) with N >= 1.

    >>> found = regression_scores(np.array([-1.0, 0.0, 2.0]), np.array([-2.0, 1.0, 2.0]))
    >>> round(found["MAE"], 3), found["Acc2"], round(found["Acc2_zero"], 3)
    (0.667, 1.0, 1.0)
    """
    polar = truth != 0
    dropped = classification_scores(truth[polar] > 0, predicted[polar] > 0) if polar.any() else {}
    counted = classification_scores(truth >= 0, predicted >= 0)
    return {
        "MAE": float(mean_absolute_error(y_true=truth, y_pred=predicted)),
        "Corr": _correlation(truth, predicted),
        "Acc2": dropped.get("WAR"),
        "WF1": dropped.get("WF1"),
        "Acc7": float(accuracy_score(y_true=steps(truth, 3), y_pred=steps(predicted, 3))),
        "Acc5": float(accuracy_score(y_true=steps(truth, 2), y_pred=steps(predicted, 2))),
        "Acc2_zero": counted["WAR"],
        "WF1_zero": counted["WF1"],
    }


def steps(values: np.ndarray, limit: int) -> np.ndarray:
    """Scores clipped to [-limit, limit] and rounded to whole numbers (halves to even), as integers.

    >>> steps(np.array([-4.2, 0.5, 1.5]), 3).tolist()
    [-3, 0, 2]
    """
    result: np.ndarray = np.rint(np.clip(values, -limit, limit)).astype(int)
    return result


def _correlation(truth: np.ndarray, predicted: np.ndarray) -> float | None:
    if np.ptp(truth) < 1e-6:
        return None
    # A constant answer explains nothing: 0, where leaving the fold out would flatter the method.
    return float(pearsonr(truth, predicted).statistic) if np.ptp(predicted) > 1e-6 else 0.0
