"""Central moment discrepancy (Zellinger et al. 2017), which IF-MMIN makes modalities alike with."""

import itertools

import torch
from torch import Tensor

ORDER = 5
"""Central moments up to this one are compared."""


def central_moment_discrepancy(first: Tensor, second: Tensor, order: int = ORDER) -> Tensor:
    """||E(X) - E(Y)|| + sum over k = 2 ... `order` of ||c_k(X) - c_k(Y)||; a scalar.

    c_k is the mean of (X - E(X))^k, channel by channel; first (N, d), second (M, d).
    """
    mean_first, mean_second = first.mean(0), second.mean(0)
    centred_first, centred_second = first - mean_first, second - mean_second
    total = torch.linalg.vector_norm(mean_first - mean_second)
    for k in range(2, order + 1):
        total = total + torch.linalg.vector_norm(centred_first.pow(k).mean(0) - centred_second.pow(k).mean(0))
    return total


def pairwise_discrepancy(vectors: Tensor, counted: Tensor, order: int = ORDER) -> Tensor:
    """Mean over the pairs of modalities of their discrepancy; 0 without any pair.

    vectors (B, M, d); counted (B, M) bool, which of them exist. A modality that nobody has in the batch
    is in no pair.
    """
    pairs = [
        central_moment_discrepancy(vectors[counted[:, n], n], vectors[counted[:, m], m], order)
        for n, m in itertools.combinations(range(vectors.shape[1]), 2)
        if counted[:, n].any() and counted[:, m].any()
    ]
    return torch.stack(pairs).mean() if pairs else vectors.sum() * 0
