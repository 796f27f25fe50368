"""From the sequence of one modality to one vector: the encoders of the MMIN family (Zhao et al. 2021)."""

from collections.abc import Mapping
from typing import Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cmarr.layers.ragged import Layout
from cmarr.layers.rows import worked_rows

TextEncoder = Literal["cnn", "lstm"]

KERNELS = (3, 4, 5)
"""Widths, in words, of the text encoder's convolutions."""


class LSTMEncoder(nn.Module):
    """LSTM over the frames, the largest value of each of `d` channels over time.

    What follows a sequence's last frame is padding: the LSTM runs forward, so it reaches no real frame,
    and the maximum leaves it out.
    """

    def __init__(self, dim: int, d: int):
        super().__init__()
        self.lstm = nn.LSTM(dim, d, batch_first=True)

    def forward(self, frames: Tensor, lengths: Tensor, longest: int | None = None) -> Tensor:
        """Ragged frames (N, dim) of R utterances with `lengths` (R,) -> (R, d), rubbish for an utterance without any.

        longest: as for `Layout`.
        """
        layout = Layout(lengths, len(frames), longest)
        states, _ = self.lstm(layout.pad(frames))  # (R, T, d)
        return states.masked_fill(~layout.mask[..., None], -torch.inf).amax(1)


class TextCNN(nn.Module):
    """Convolutions over 3, 4 and 5 words, the largest value of each channel over time, a linear map.

    d channels each; ReLU; dropout; Linear 3d -> d; ReLU (Kim 2014, as MMIN uses it). Only windows inside a
    sequence count; a sequence shorter than a window has one, filled up with zeros.
    """

    def __init__(self, dim: int, d: int, dropout: float):
        super().__init__()
        self.convolutions = nn.ModuleList(nn.Conv1d(dim, d, kernel) for kernel in KERNELS)
        self.dropout = nn.Dropout(dropout)
        self.join = nn.Linear(len(KERNELS) * d, d)

    def forward(self, frames: Tensor, lengths: Tensor, longest: int | None = None) -> Tensor:
        """Ragged frames (N, dim) of R utterances with `lengths` (R,) -> (R, d), rubbish for an utterance without any.

        longest: as for `Layout`.
        """
        layout = Layout(lengths, len(frames), longest)
        # One product with the weights of every offset of every kernel, on real frames only: windows
        # overlap, and a convolution would read each frame as often as windows hold it.
        weights = [cast(Tensor, c.weight).permute(2, 0, 1).flatten(0, 1) for c in self.convolutions]
        each = layout.pad(F.linear(frames, torch.cat(weights)))  # (R, T, (3 + 4 + 5) d)
        peaks = []
        for convolution, parts in zip(
            self.convolutions, each.split([len(w) for w in weights], dim=-1), strict=True
        ):
            windows = _windows(parts, cast(nn.Conv1d, convolution).kernel_size[0])  # (R, T, d)
            starts = torch.arange(windows.shape[1], device=lengths.device)
            last = (lengths - cast(nn.Conv1d, convolution).kernel_size[0]).clamp(min=0)  # (R,)
            outside = starts > last[:, None]  # (R, T)
            peak = windows.masked_fill(outside[..., None], -torch.inf).amax(1)
            peaks.append(F.relu(peak + cast(Tensor, convolution.bias)))
        return F.relu(self.join(self.dropout(torch.cat(peaks, dim=-1))))


class UtteranceEncoders(nn.ModuleDict):
    """One vector a modality: LSTMs for speech and video, a TextCNN (or a third LSTM) for text.

    A missing modality is encoded, too, as in the MMIN family, whose missing input is zeros: its vector is
    the encoding of a single frame of zeros, the same for every utterance, so that it depends neither on the
    hidden sequence's length nor on whether the modality is hidden or was never there.
    """

    def __init__(self, dims: Mapping[str, int], d: int, dropout: float, text: TextEncoder = "cnn"):
        super().__init__(
            {
                m: TextCNN(dim, d, dropout) if m == "t" and text == "cnn" else LSTMEncoder(dim, d)
                for m, dim in dims.items()
            }
        )
        self.dims, self.d = dict(dims), d

    def forward(
        self,
        values: Mapping[str, Tensor],
        lengths: Mapping[str, Tensor],
        rows: Tensor,
        longest: Mapping[str, int] | None = None,
    ) -> Tensor:
        """Encode what `rows` (B, M) bool says; everything else is missing.

        values, lengths, longest: a batch's, ragged. `rows` must not hold what is not available. No other frames have a
        part in it. Returns (B, M, d), modalities in the order of `dims`.
        """
        encoded = []
        for i, m in enumerate(self.dims):
            read = rows[:, i]  # (B,)
            worked = worked_rows(read)  # (R,)
            own = self.missing(m).expand(len(rows), self.d)
            if len(worked) == len(rows) and len(values[m]):
                vectors = self[m](values[m], lengths[m], (longest or {}).get(m))  # (B, d)
                own = torch.where(read[:, None], vectors, own)
            elif len(worked):
                frames = values[m][torch.repeat_interleave(read, lengths[m])]
                own = own.index_copy(0, worked, self[m](frames, lengths[m][worked]))
            encoded.append(own)
        return torch.stack(encoded, dim=1)

    def missing(self, modality: str) -> Tensor:
        """The vector (d,) that stands for the modality where it is missing."""
        parameter = next(self[modality].parameters())
        nothing = parameter.new_zeros(1, self.dims[modality])
        return self[modality](nothing, torch.ones(1, dtype=torch.long, device=parameter.device), 1)[0]

    def for_patterns(
        self,
        values: Mapping[str, Tensor],
        lengths: Mapping[str, Tensor],
        usable: Tensor,
        longest: Mapping[str, int] | None = None,
    ) -> Tensor:
        """The vectors under P visibility patterns, usable (P, B, M) -> (P, B, M, d).

        Each modality is encoded once, where some pattern may use it.
        """
        encoded = self(values, lengths, usable.any(0), longest)  # (B, M, d)
        missing = torch.stack([self.missing(m) for m in self.dims])  # (M, d)
        return torch.where(usable[..., None], encoded, missing)


def _windows(parts: Tensor, kernel: int) -> Tensor:
    """Sums over windows: parts (R, T, kernel * d), entry (t, o) what frame t gives at offset o -> (R, T, d)."""
    offsets = parts.chunk(kernel, dim=-1)
    total = offsets[0]
    for shift, offset in enumerate(offsets[1:], start=1):
        if shift < offset.shape[1]:
            total = total + F.pad(offset[:, shift:], (0, 0, 0, shift))
    return total
