"""Statistics over time of ragged sequences."""

import torch
from torch import Tensor


def mean_over_time(frames: Tensor, lengths: Tensor) -> Tensor:
    """Ragged frames (N, D) of B utterances with `lengths` (B,) -> their means (B, D), 0 without frames."""
    rows = torch.repeat_interleave(torch.arange(len(lengths), device=lengths.device), lengths)
    sums = frames.new_zeros(len(lengths), frames.shape[1]).index_add(0, rows, frames)
    return sums / lengths.clamp(min=1)[:, None]


def mean_and_deviation(frames: Tensor, lengths: Tensor) -> Tensor:
    """Ragged frames (N, D) -> mean and standard deviation over time, side by side (B, 2 D), 0 without frames."""
    rows = torch.repeat_interleave(torch.arange(len(lengths), device=lengths.device), lengths)
    mean = mean_over_time(frames, lengths)
    variance = mean_over_time((frames - mean[rows]).square(), lengths)
    return torch.cat([mean, variance.sqrt()], dim=1)
