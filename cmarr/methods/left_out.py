"""What closed-form methods choose by themselves: on training speakers that are left out in turn."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from cmarr.data.batch import Batch
from cmarr.folds.dealing import dealt
from cmarr.methods.pooled import fit_linear_model
from cmarr.task import Task

PARTS = 4
"""Groups of speakers, at most, that are left out in turn."""

STRENGTHS = tuple(float(10 ** (k / 2)) for k in range(-10, 3))
"""What C is chosen from, the strongest penalty first: 1e-5, 3.2e-5, ..., 10."""

PATIENCE = 2
"""Weaker penalties without a better loss after which no weaker one is tried: they take longest to fit."""


def parts_of(batch: Batch) -> Tensor:
    """(B,) the part, 0 to `PARTS` - 1, that each utterance is left out with; those of a speaker share one.

    Speakers go to the smallest part so far, large ones first. Where speakers are not known, or there is only one, every
    utterance goes by itself.
    """
    count = len(batch)
    who = torch.arange(count) if batch.speakers is None else batch.speakers.cpu()
    if len(who.unique()) < 2:
        who = torch.arange(count)
    _, member, sizes = who.unique(return_inverse=True, return_counts=True)
    return torch.tensor(dealt(sizes.tolist(), PARTS))[member]


def chosen_strength(
    inputs: np.ndarray, labels: np.ndarray, parts: np.ndarray, task: Task, *, even: bool = False
) -> float:
    """The C of `STRENGTHS` with which `fit_linear_model` loses least on parts that it was not fitted on.

    inputs (n, R), labels (n,), parts (n,). The loss is minus the log-likelihood; of scores, the squared error. With
    fewer than two parts, nothing can be left out, and C is 0.1. even: see `fit_linear_model`.
    """
    numbers = np.unique(parts).tolist()
    if len(numbers) < 2:
        return 0.1
    best, least, since = STRENGTHS[0], float("inf"), 0
    starts: list[Sequence[Tensor] | None] = [None] * len(numbers)
    for strength in STRENGTHS:
        loss = 0.0
        for place, number in enumerate(numbers):
            out = parts == number
            weight, bias = fit_linear_model(
                inputs[~out], labels[~out], task, strength, starts[place], even=even
            )
            starts[place] = weight, bias
            answers = torch.from_numpy(inputs[out]) @ weight.T + bias
            loss += float(left_out_loss(answers, torch.from_numpy(labels[out]), task)) * int(out.sum())
        if loss < least:
            best, least, since = strength, loss, 0
        else:
            since += 1
        if since == PATIENCE:
            break
    return best


def left_out_loss(answers: Tensor, labels: Tensor, task: Task) -> Tensor:
    """Mean cross-entropy of logits (n, K), or mean squared error of scores (n, 1).

    >>> left_out_loss(torch.tensor([[1.0], [2.0]]), torch.tensor([1.0, 4.0]), Task())
    tensor(2.)
    """
    if task.regression:
        return (answers[:, 0] - labels).square().mean()
    return nn.functional.cross_entropy(answers, labels)
