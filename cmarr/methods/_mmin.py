"""What MMIN and the methods that grew out of it share: encoders (Zhao et al. 2021), the view of a masked batch, losses.

Their first stage learns from complete data; their second imagines, from what may be used, what the frozen encoders
of the first make of the rest.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cmarr.data.batch import Batch
from cmarr.declaration import AtLeastTwo, Count, Probability, Section, setting
from cmarr.layers.ragged import Layout, worked_rows
from cmarr.methods.branches import modalities_of, usable_in
from cmarr.modalities import MODALITIES

TextEncoder = Literal["cnn", "lstm", "last"]
"""A TextCNN, or an LSTM of which the largest value of each channel counts, or its last step."""

KERNELS = (3, 4, 5)
"""Widths, in words, of the text encoder's convolutions."""


class FirstStageSizes(Section):
    """Sizes of a model on complete data; the width and the text encoder's dropout are those of the method."""

    d: AtLeastTwo = setting(128, "width of a modality's vector")
    dropout: Probability = setting(0.3, "in the classifier")
    text_dropout: Probability = setting(0.5, "in the text encoder, of both stages")


class Sizes(Section):
    """Sizes of a method that imagines."""

    d: AtLeastTwo = setting(128, "width of a modality's vector")
    dropout: Probability = setting(0.5, "in the classifier")
    text_dropout: Probability = setting(0.5, "in the text encoder, of both stages")
    blocks: Count = setting(5, "autoencoders of a cascade")


TAKEN = ("d", "text_dropout")
"""Settings of a method that the model it starts from takes over: its weights go into the method's."""

PUBLISHED: Mapping[str, Any] = {
    "betas": [0.5, 0.999],
    "schedule": "linear",
    "decay": 0.5,
    "clip": 1.0,
    "clip_by": "part",
}
"""How the authors train the second stage, beside what differs by corpus."""

PUBLISHED_FIRST: Mapping[str, Any] = {
    "mask_conditions": ["svt"],
    "selection": "complete",
    "schedule": "linear",
    "decay": 0.5,
    "clip": 0.5,
    "clip_by": "part",
}
"""How they train the first."""


class LSTMEncoder(nn.Module):
    """LSTM over the frames, the largest value of each of `d` channels over time; with `last` the last frame's.

    What follows a sequence's last frame is padding: the LSTM runs forward, so it reaches no real frame,
    and the maximum leaves it out.
    """

    part = "encoders"

    def __init__(self, dim: int, d: int, last: bool = False):
        super().__init__()
        self.last = last
        self.lstm = nn.LSTM(dim, d, batch_first=True)

    def forward(self, frames: Tensor, lengths: Tensor, longest: int | None = None) -> Tensor:
        """Ragged frames (N, dim) of R utterances with `lengths` (R,) -> (R, d), rubbish for an utterance without any.

        longest: as for `Layout`.
        """
        layout = Layout(lengths, len(frames), longest)
        states, _ = self.lstm(layout.pad(frames))  # (R, T, d)
        if self.last:
            rows = torch.arange(len(states), device=states.device)
            return cast(Tensor, states[rows, (lengths - 1).clamp(min=0)])
        out: Tensor = states.masked_fill(~layout.mask[..., None], -torch.inf).amax(1)
        return out


class TextCNN(nn.Module):
    """Convolutions over 3, 4 and 5 words, the largest value of each channel over time, a linear map.

    d channels each; ReLU; dropout; Linear 3d -> d; ReLU (Kim 2014, as MMIN uses it). Only windows inside a
    sequence count; a sequence shorter than a window has one, filled up with zeros.
    """

    part = "encoders"

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
                m: TextCNN(dim, d, dropout)
                if m == "t" and text == "cnn"
                else LSTMEncoder(dim, d, last=m == "t" and text == "last")
                for m, dim in dims.items()
            }
        )
        self.dims, self.d = dict(dims), d

    def forward(self, batch: Batch, rows: Tensor | None = None) -> Tensor:
        """(B, M, d), modalities in the order of `dims`, of what is there of a batch; everything else is missing.

        rows: (B, M) bool, what to encode of what is there, where it is not all; each utterance has its own sequences
              then, and no others have a part in it.
        """
        encoded = []
        for i, m in enumerate(self.dims):
            frames, lengths = batch.values[m], batch.lengths[m]
            read = lengths > 0 if rows is None else rows[:, i]  # (U,)
            worked = worked_rows(read)  # (R,)
            missing = self.missing(m)
            own = missing.expand(len(read), self.d)
            if len(worked) == len(read) and len(frames):
                vectors = self[m](frames, lengths, batch.longest.get(m))  # (U, d)
                own = torch.where(read[:, None], vectors, own)
            elif len(worked):
                if rows is not None:
                    frames = frames[torch.repeat_interleave(read, lengths)]
                own = own.index_copy(0, worked, self[m](frames, lengths[worked]))
            if m in batch.sequence:
                there = batch.available[:, MODALITIES.index(m), None]
                own = torch.where(there, batch.spread(m, own), missing)
            encoded.append(own)
        return torch.stack(encoded, dim=1)

    def missing(self, modality: str) -> Tensor:
        """The vector (d,) that stands for the modality where it is missing."""
        parameter = next(self[modality].parameters())
        nothing = parameter.new_zeros(1, self.dims[modality])
        out: Tensor = self[modality](nothing, torch.ones(1, dtype=torch.long, device=parameter.device), 1)[0]
        return out

    def complete_and_some(self, batch: Batch, rows: Tensor) -> tuple[Tensor, Tensor]:
        """The vectors (B, M, d) of all that is there of a batch, and those of `rows` (B, M) alone; encoded once."""
        encoded = self(batch)
        missing = torch.stack([self.missing(m) for m in self.dims])  # (M, d)
        return encoded, torch.where(rows[..., None], encoded, missing)


def _windows(parts: Tensor, kernel: int) -> Tensor:
    """Sums over windows: parts (R, T, kernel * d), entry (t, o) what frame t gives at offset o -> (R, T, d)."""
    offsets = parts.chunk(kernel, dim=-1)
    total = offsets[0]
    for shift, offset in enumerate(offsets[1:], start=1):
        if shift < offset.shape[1]:
            total = total + F.pad(offset[:, shift:], (0, 0, 0, shift))
    return total


def imagination_loss(imagined: Tensor, target: Tensor, counted: Tensor) -> Tensor:
    """Mean over the entries that count of (imagined - target)^2; a scalar, 0 when nothing counts.

    imagined, target: (B, M, d), a vector a modality; counted (B, M) bool. No gradient flows into the
    target.
    """
    squares = (imagined.float() - target.detach().float()).square().mean(-1)  # (B, M)
    return (squares * counted).sum() / counted.sum().clamp(min=1)


def utterance_encoders(
    dims: Mapping[str, int], d: int, text_dropout: float, text: TextEncoder = "cnn"
) -> UtteranceEncoders:
    """An encoder for every modality that the corpus has, (B, T, D) to (B, d) each."""
    return UtteranceEncoders({m: dims[m] for m in modalities_of(dims)}, d, text_dropout, text=text)


@dataclass(frozen=True)
class MaskedView:
    """A batch as the second stage sees it; (B, M) bool each, in the order of the method's modalities.

    available: what exists
    usable:    what of it may be used
    """

    available: Tensor
    usable: Tensor

    @property
    def hidden(self) -> Tensor:
        """What exists and may not be used: it serves as a detached target alone."""
        return self.available & ~self.usable

    @property
    def counted(self) -> Tensor:
        """(B,), the rows in which something may be used."""
        return self.usable.any(1)

    @property
    def imagined(self) -> Tensor:
        """Where imagination is measured: what exists, in counted rows that hide something."""
        return self.available & (self.counted & self.hidden.any(1))[:, None]


def masked_view(batch: Batch, targets: Batch, modalities: tuple[str, ...]) -> MaskedView:
    """The view that `batch` is of `targets`, the same utterances with nothing hidden."""
    return MaskedView(usable_in(targets, modalities), usable_in(batch, modalities))


def guided_losses(
    view: MaskedView,
    *,
    imagined: Tensor,
    reverse: Tensor,
    invariant: Tensor,
    kept: Tensor,
    imagination_weight: float,
    invariance_weight: float,
) -> dict[str, Tensor]:
    """The two losses of IF-MMIN and CIF-MMIN beside recognition, weighted; all tensors (B, M, d).

    imagination: of what was `imagined` for what the frozen encoders make of the hidden modalities, `reverse`
    invariance:  of the `invariant` features of the masked input for those of the complete one, `kept`
    """
    stays = view.available & view.counted[:, None]
    return {
        "imagination": imagination_weight * imagination_loss(imagined, reverse, view.imagined),
        "invariance": invariance_weight * imagination_loss(invariant, kept, stays),
    }
