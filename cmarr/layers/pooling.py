"""Statistics over time of ragged sequences."""

import torch
from torch import Tensor


def mean_over_time(frames: Tensor, lengths: Tensor) -> Tensor:
    """Ragged frames (N, D) of B utterances with `lengths` (B,) -> their means (B, D), 0 without frames."""
    sums = frames.new_zeros(len(lengths), frames.shape[1]).index_add(0, _owners(frames, lengths), frames)
    return sums / lengths.clamp(min=1)[:, None]


def mean_and_deviation(frames: Tensor, lengths: Tensor) -> Tensor:
    """Ragged frames (N, D) -> mean and standard deviation over time, side by side (B, 2 D), 0 without frames."""
    mean = mean_over_time(frames, lengths)
    variance = mean_over_time((frames - mean[_owners(frames, lengths)]).square(), lengths)
    return torch.cat([mean, variance.sqrt()], dim=1)


def _owners(frames: Tensor, lengths: Tensor) -> Tensor:
    """The utterance that each of N frames is of, (N,)."""
    utterances = torch.arange(len(lengths), device=lengths.device)
    return torch.repeat_interleave(utterances, lengths, output_size=len(frames))
