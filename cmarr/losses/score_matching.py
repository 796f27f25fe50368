"""Denoising score matching (Vincent 2011; Song et al. 2021): a score learns from the noise that was added."""

from collections.abc import Callable

import torch
from torch import Tensor

from cmarr.layers.diffusion import deviation

SOONEST = 1e-5
"""The smallest time that is drawn."""


def times_and_noise(like: Tensor) -> tuple[Tensor, Tensor]:
    """Times (R,) drawn evenly from 0 to 1, and standard normal noise (R, ...) of the shape of `like`.

    >>> times, noise = times_and_noise(torch.zeros(3, 2))
    >>> times.shape, noise.shape
    (torch.Size([3]), torch.Size([3, 2]))
    """
    t = SOONEST + (1 - SOONEST) * torch.rand(len(like), device=like.device)
    return t, torch.randn_like(like, dtype=torch.float32)


def score_matching_errors(
    score: Callable[[Tensor, Tensor, Tensor], Tensor], x: Tensor, condition: Tensor, t: Tensor, noise: Tensor
) -> Tensor:
    """Sum over entries of (std score(x + std noise, t, condition + std noise) + noise)^2, (R,).

    The same noise is added to x and to its condition, as IMDer does. x, condition and noise (R, ...) of one shape, t
    (R,) see `times_and_noise`; no gradient flows into x.

    >>> def nothing(x, t, condition):
    ...     return torch.zeros_like(x)
    >>> x, noise = torch.zeros(1, 2), torch.tensor([[1.0, 2.0]])
    >>> score_matching_errors(nothing, x, x, torch.ones(1), noise)  # of a score that knows nothing: 1 + 4
    tensor([5.])
    """
    std = deviation(t).view(-1, *[1] * (x.ndim - 1))
    found = score(x.detach() + std * noise, t, condition + std * noise)
    return (std * found.float() + noise).square().flatten(1).sum(1)
