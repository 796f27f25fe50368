"""The recognition loss: L_cls."""

import torch
import torch.nn.functional as F
from torch import Tensor

from cmarr.data.labelled import UNLABELLED, labelled


def recognition_loss(logits: Tensor, labels: Tensor, counted: Tensor, regression: bool) -> Tensor:
    """Cross-entropy of the classes, or in a regression task the L1 distance of the score; a scalar.

    logits (B, K), labels (B,); counted (B,) bool: only these rows, where they have a label, enter the mean, which is 0
    without any.

    >>> logits, labels = torch.zeros(2, 4), torch.tensor([0, 3])
    >>> recognition_loss(logits, labels, torch.tensor([True, False]), regression=False)  # log 4
    tensor(1.3863)
    """
    each, counted = recognition_errors(logits, labels, regression), counted & labelled(labels)
    return (each * counted).sum() / counted.sum().clamp(min=1)


def recognition_errors(logits: Tensor, labels: Tensor, regression: bool) -> Tensor:
    """The loss of each row, (B,): cross-entropy, or the distance of the score; 0 of a row without a label.

    >>> recognition_errors(torch.tensor([[0.5], [2.0]]), torch.tensor([1.0, 2.0]), regression=True)
    tensor([0.5000, 0.0000])
    """
    if regression:
        score = logits.float().squeeze(1)
        return (score - torch.where(labelled(labels), labels, score.detach())).abs()
    return F.cross_entropy(logits.float(), labels, reduction="none", ignore_index=UNLABELLED)


def counted_mean(values: Tensor, counted: Tensor, weights: Tensor | None = None) -> Tensor:
    """Mean of `values` (N,) over the rows that count (N,) bool, each `weights` (N,) times; 0 without any.

    >>> counted_mean(torch.tensor([1.0, 3.0, 99.0]), torch.tensor([True, True, False]))
    tensor(2.)
    """
    weighted = values if weights is None else values * weights
    return torch.where(counted, weighted, 0.0).sum() / counted.sum().clamp(min=1)
