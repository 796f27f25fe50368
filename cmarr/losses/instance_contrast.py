"""Contrast between two modalities of the same utterances, as CIF-MMIN has it (Liu et al. 2024)."""

import math

import torch
from torch import Tensor

SCALE = math.e
"""What cosines are multiplied by before the softmax."""


def instance_contrast(first: Tensor, second: Tensor, counted: Tensor, scale: float = SCALE) -> Tensor:
    """InfoNCE within the batch, the mean of both directions; the positive is left out of the denominator.

        L = -mean_i (s_ii - log sum_{k != i} exp(s_ik)),    s_ik = scale * cos(first_i, second_k)

    first, second (B, d), L2-normalised; counted (B,) bool: the utterances that have both modalities, the
    others are neither positives nor negatives. With fewer than two of them the loss is 0.
    """
    if int(counted.sum()) < 2:
        return (first.sum() + second.sum()) * 0
    similarity = scale * first[counted].float() @ second[counted].float().T  # (R, R)
    positive = similarity.diagonal()
    negatives = similarity.masked_fill(
        torch.eye(len(similarity), dtype=torch.bool, device=similarity.device), -torch.inf
    )
    there = negatives.logsumexp(1) - positive
    back = negatives.logsumexp(0) - positive
    return (there.mean() + back.mean()) / 2
