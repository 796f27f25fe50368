"""Between ragged frames (N, D), all utterances one after another, and padded ones (B, T, D)."""

import torch
from torch import Tensor


class Layout:
    """Where each of the N frames of B utterances stands in the padded tensor.

    What acts on single frames runs on the ragged form and wastes nothing on padding; only attention
    and resampling, which see several frames, need the padded one.

    lengths: (B,) int64, 0 where the modality is not available; `count` is their sum N.
    longest: the longest length, where the caller knows it: asking a GPU for it means waiting for the GPU.
    mask:    (B, T) bool, True on real frames; T is the longest length and at least 1.
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
