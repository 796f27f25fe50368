"""Sequences of different lengths: ragged frames (N, D), all utterances one after another, and padded ones (B, T, D)."""

import torch
from torch import Tensor


class Layout:
    """Where each of the N frames of B utterances stands in the padded tensor.

    What acts on single frames runs on the ragged form and wastes nothing on padding; only attention
    and resampling, which see several frames, need the padded one.

    lengths: (B,) int64, 0 where the modality is not available; `count` is their sum N.
    longest: the longest length, where the caller knows it: asking a GPU for it means waiting for the GPU.
    mask:    (B, T) bool, True on real frames; T is the longest length and at least 1.

    >>> layout = Layout(torch.tensor([2, 0, 1]), count=3)
    >>> layout.pad(torch.tensor([[1.0], [2.0], [3.0]])).squeeze(-1).tolist()
    [[1.0, 2.0], [0.0, 0.0], [3.0, 0.0]]
    """

    def __init__(self, lengths: Tensor, count: int, longest: int | None = None):
        self.lengths = lengths
        if longest is None:
            longest = int(lengths.max()) if len(lengths) else 0
        self.longest = max(longest, 1)
        self.full = (
            count == len(lengths) * self.longest
        )  # nothing is padding: both forms are the same numbers
        steps = torch.arange(self.longest, device=lengths.device)
        self.mask = steps < lengths[:, None]  # (B, T)
        rows = torch.repeat_interleave(
            torch.arange(len(lengths), device=lengths.device), lengths, output_size=count
        )  # (N,)
        starts = lengths.cumsum(0) - lengths
        within = torch.arange(count, device=lengths.device) - starts[rows]
        self._positions = rows * self.longest + within  # (N,)

    def pad(self, frames: Tensor) -> Tensor:
        """(N, D) -> (B, T, D), zero where there is no frame."""
        if self.full:
            return frames.view(*self.mask.shape, -1)
        flat = frames.new_zeros(self.mask.numel(), frames.shape[-1])
        # index_copy, not an indexed read with clamped indices: its gradient is a plain gather.
        return flat.index_copy(0, self._positions, frames).view(*self.mask.shape, -1)

    def unpad(self, padded: Tensor) -> Tensor:
        """(B, T, D) -> (N, D), the real frames alone."""
        flat = padded.flatten(0, 1)
        return flat if self.full else flat.index_select(0, self._positions)


def resampling_weights(lengths: Tensor, longest: int, length: int) -> Tensor:
    """Weights (B, `length`, `longest`) that resample sequences of `lengths` (B,) frames to `length` steps.

    Triangular kernel: step l stands at (l + 1/2) T / `length` - 1/2 on the time axis of its own T
    frames and reaches max(1, T / `length`) frames to either side: linear interpolation when the sequence
    grows, anti-aliased averaging when it shrinks, the identity when T = `length`. Each row of weights
    sums to 1 over real frames; padding weighs nothing; a sequence without frames gets zeros.

    >>> resampling_weights(torch.tensor([2]), longest=3, length=1).tolist()
    [[[0.5, 0.5, 0.0]]]
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
    """Weights (B, 1, T) of the mean over the real frames of `mask` (B, T); zeros where there is none.

    >>> mean_weights(torch.tensor([[True, True], [True, False], [False, False]])).squeeze(1).tolist()
    [[0.5, 0.5], [1.0, 0.0], [0.0, 0.0]]
    """
    return (mask / mask.sum(-1, keepdim=True).clamp(min=1)).unsqueeze(1)


def worked_rows(mask: Tensor, training: bool = True) -> Tensor:
    """Numbers (R,) of the rows to work on: those of `mask` (N,) bool, and maybe more, whose result is not to be used.

    On a CPU work is what costs, and it is done where it is needed. Elsewhere small kernels cost the same for all rows,
    and to learn how many are needed one would have to wait for the device: a training step works on all rows there, so
    that it never waits, and its shapes do not depend on the masks; nor may they in a step that is compiled.

    >>> worked_rows(torch.tensor([True, False, True]))
    tensor([0, 2])
    """
    if training and (mask.device.type != "cpu" or torch.compiler.is_compiling()):
        return torch.arange(len(mask), device=mask.device)
    return mask.nonzero().squeeze(1)
