"""Labels that are not there: what stands in their place."""

import torch
from torch import Tensor

UNLABELLED = -1
"""Class of an utterance without a label; without a score its score is NaN."""


def labelled(labels: Tensor) -> Tensor:
    """(B,) bool: which of the labels (B,), classes or scores, are there.

    >>> labelled(torch.tensor([0, -1])), labelled(torch.tensor([-0.5, torch.nan]))
    (tensor([ True, False]), tensor([ True, False]))
    """
    return labels != UNLABELLED if labels.dtype == torch.int64 else ~labels.isnan()
