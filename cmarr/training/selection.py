"""Which epoch is kept: a score on validation data over the conditions."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from cmarr.data.store import Store
from cmarr.modalities import COMPLETE, CONDITIONS, INCOMPLETE, visible
from cmarr.task import Task

RULES = {
    "mean7": CONDITIONS,
    "avg6": INCOMPLETE,
    "complete": (COMPLETE,),
    **{condition: (condition,) for condition in CONDITIONS},
}
"""Name of a selection rule -> the conditions whose mean score decides."""


def met_conditions(available: Tensor) -> list[str]:
    """The conditions that at least one utterance can meet with every modality, from availability (N, 3)."""
    return [c for c in CONDITIONS if bool(available[:, torch.tensor(visible(c))].all(1).any())]


def validation_scores(logits: Mapping[str, Tensor], store: Store, task: Task) -> dict[str, float]:
    """UAR (classification) or MAE (regression) per condition, over the utterances with something usable."""
    labels, available = store.labels.cpu(), store.available.cpu()
    scores = {}
    for condition, values in logits.items():
        rows = available[:, torch.tensor(visible(condition))].any(1)
        if task.regression:
            scores[condition] = float((values[rows, 0] - labels[rows]).abs().mean())
        else:
            truth, guess = labels[rows].numpy(), values[rows].argmax(1).numpy()
            scores[condition] = uar(truth, guess)
    return scores


def uar(truth: np.ndarray, guess: np.ndarray) -> float:
    """Unweighted average recall of class indices (N,), N at least 1, over the classes that are among the true ones.

    As scikit-learn's `recall_score`, which takes longer than an epoch of a small study, and to import longer than that.

    >>> uar(np.array([0, 0, 1]), np.array([0, 2, 1]))
    0.75
    """
    return float(np.mean([(guess[truth == label] == label).mean() for label in np.unique(truth)]))


def selection_score(scores: Mapping[str, float], rule: str, task: Task) -> float:
    """The number to maximise: mean UAR, or minus the mean MAE, over the rule's conditions that could be met.

    Where none of them could (a corpus without video under 'complete'), the mean over those that could.
    """
    chosen = [scores[c] for c in RULES[rule] if c in scores] or list(scores.values())
    mean = sum(chosen) / len(chosen)
    return -mean if task.regression else mean
