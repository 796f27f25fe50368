"""Statistics over time of ragged frames (N, D), all sequences one after another."""

import torch
from torch import Tensor


def mean_over_time(frames: Tensor, lengths: Tensor) -> Tensor:
    """Ragged frames (N, D) of B utterances with `lengths` (B,) -> their means (B, D), 0 without frames.

    >>> mean_over_time(torch.tensor([[1.0], [2.0], [9.0]]), torch.tensor([2, 0, 1])).tolist()
    [[1.5], [0.0], [9.0]]
    """
    sums = frames.new_zeros(len(lengths), frames.shape[1]).index_add(0, _owners(frames, lengths), frames)
    return sums / lengths.clamp(min=1)[:, None]


def mean_and_deviation(frames: Tensor, lengths: Tensor) -> Tensor:
    """Ragged frames (N, D) -> mean and standard deviation over time, side by side (B, 2 D), 0 without frames.

    >>> mean_and_deviation(torch.tensor([[1.0], [3.0], [9.0]]), torch.tensor([2, 1])).tolist()
    [[2.0, 1.0], [9.0, 0.0]]
    """
    mean = mean_over_time(frames, lengths)
    variance = mean_over_time((frames - mean[_owners(frames, lengths)]).square(), lengths)
    return torch.cat([mean, variance.sqrt()], dim=1)


PERCENTILES = (5, 25, 50, 75, 95)
"""Those that `percentiles` gives."""


def percentiles(frames: Tensor, lengths: Tensor) -> Tensor:
    """Ragged frames (N, D) -> their `PERCENTILES` over time, side by side (B, 5 D), 0 without frames.

    Between two frames they are interpolated, as numpy does.

    >>> percentiles(torch.tensor([[4.0], [0.0], [9.0]]), torch.tensor([2, 1])).tolist()
    [[0.20000000298023224, 1.0, 2.0, 3.0, 3.799999952316284], [9.0, 9.0, 9.0, 9.0, 9.0]]
    """
    longest = max(int(lengths.max()) if len(lengths) else 0, 1)
    mask = torch.arange(longest, device=lengths.device) < lengths[:, None]  # (B, T)
    padded = frames.new_full((*mask.shape, frames.shape[1]), torch.inf)
    padded[mask] = frames
    rising = padded.sort(1).values  # (B, T, D)
    share = torch.tensor(PERCENTILES, device=frames.device, dtype=frames.dtype) / 100
    place = share * (lengths[:, None] - 1).clamp(min=0)  # (B, 5)
    below = place.floor().long()
    above = (below + 1).minimum((lengths[:, None] - 1).clamp(min=0))
    low, high = (rising.gather(1, at[..., None].expand(-1, -1, frames.shape[1])) for at in (below, above))
    found = torch.lerp(low, high, (place - below)[..., None])  # (B, 5, D)
    return found.masked_fill((lengths == 0)[:, None, None], 0.0).flatten(1)


def mean_change(frames: Tensor, lengths: Tensor) -> Tensor:
    """Ragged frames (N, D) -> the mean size of the step from one frame to the next (B, D), 0 of a single frame.

    >>> mean_change(torch.tensor([[1.0], [4.0], [3.0], [9.0]]), torch.tensor([3, 1])).tolist()
    [[2.0], [0.0]]
    """
    owners = _owners(frames, lengths)
    steps = (frames[1:] - frames[:-1]).abs() * (owners[1:] == owners[:-1])[:, None]  # (N - 1, D)
    sums = frames.new_zeros(len(lengths), frames.shape[1]).index_add(0, owners[1:], steps)
    return sums / (lengths - 1).clamp(min=1)[:, None]


STATISTICS = ("mean", "deviation", *(f"{share} %" for share in PERCENTILES), "change")
"""What `statistics` gives, in its order."""

PLACES = torch.tensor([name not in ("deviation", "change") for name in STATISTICS])
"""Which of them are places on the scale of the features, that move when the features do; the others are lengths."""


def statistics(frames: Tensor, lengths: Tensor) -> Tensor:
    """Ragged frames (N, D) of B sequences -> `STATISTICS` over time (B, 8, D), 0 without frames."""
    parts = [of(frames, lengths) for of in (mean_and_deviation, percentiles, mean_change)]
    return torch.cat(parts, 1).view(len(lengths), len(STATISTICS), -1)


def _owners(frames: Tensor, lengths: Tensor) -> Tensor:
    """The utterance that each of N frames is of, (N,)."""
    utterances = torch.arange(len(lengths), device=lengths.device)
    return torch.repeat_interleave(utterances, lengths, output_size=len(frames))
