"""Resampling of sequences of different lengths to one length, blind to padding."""

import torch
from torch import Tensor


def resampling_weights(lengths: Tensor, longest: int, length: int) -> Tensor:
    """Weights (B, `length`, `longest`) that resample sequences of `lengths` (B,) frames to `length` steps.

    Triangular kernel: step l stands at (l + 1/2) T / `length` - 1/2 on the time axis of its own T
    frames and reaches max(1, T / `length`) frames to either side: linear interpolation when the sequence
    grows, anti-aliased averaging when it shrinks, the identity when T = `length`. Each row of weights
    sums to 1 over real frames; padding weighs nothing; a sequence without frames gets zeros.
    """
    sizes = lengths[:, None, None].float()  # (B, 1, 1)
    steps = torch.arange(length, device=lengths.device)[None, :, None]
    frames = torch.arange(longest, device=lengths.device)[None, None, :]
    centres = (steps + 0.5) * sizes / length - 0.5  # (B, length, 1)
    reach = (sizes / length).clamp(min=1.0)
    weights = (1.0 - (frames - centres).abs() / reach).clamp(min=0.0)  # (B, length, longest)
    weights = weights * (frames < sizes)
    return weights / weights.sum(-1, keepdim=True).clamp(min=1e-6)


def mean_weights(mask: Tensor) -> Tensor:
    """Weights (B, 1, T) of the mean over the real frames of `mask` (B, T); zeros where there is none."""
    return (mask / mask.sum(-1, keepdim=True).clamp(min=1)).unsqueeze(1)
