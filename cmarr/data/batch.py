"""A batch of utterances: ragged sequences, availability, labels; and the same with something hidden."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from cmarr.data.dialogues import Dialogues
from cmarr.data.speakers import Heard, Moments
from cmarr.modalities import MODALITIES


@dataclass(frozen=True)
class Batch:
    """B utterances. All tensors live on one device.

    values:    modality -> (sum of its lengths, D) float32, the sequences' frames one after another
    lengths:   modality -> (U,) int64, frames of each sequence
    available: (B, 3) bool, in the order s, v, t: the utterance has the modality, as far as may be seen
    labels:    (B,) int64 class indices, or float32 scores in a regression task
    longest:   modality -> its largest length, where that is known without waiting for the device
    present:   modality -> how many of its sequences have frames, where that is known without waiting for the device
    sequence:  modality -> (B,) int64, which of the U sequences is the utterance's, -1: none. Empty where each has its
               own, U = B and the length is 0 exactly where the modality is not available
    visible:   (B, 3) bool, what was left to be seen where something was hidden, had it been there; None: everything
    speakers:  (U,) int64, whose each sequence is, the same number where the speaker is the same; None: not known
    heard:     all utterances of these speakers, for what takes away what is usual of a speaker
    usual:     modality -> what is usual of each speaker, in the units of `values`, where that was taken away
    dialogues: of the B utterances; None: each is a dialogue of its own
    """

    values: Mapping[str, Tensor]
    lengths: Mapping[str, Tensor]
    available: Tensor
    labels: Tensor
    longest: Mapping[str, int] = field(default_factory=dict)
    present: Mapping[str, int] = field(default_factory=dict)
    sequence: Mapping[str, Tensor] = field(default_factory=dict)
    visible: Tensor | None = None
    speakers: Tensor | None = None
    heard: Heard | None = None
    usual: Mapping[str, Moments] = field(default_factory=dict)
    dialogues: Dialogues | None = None

    def __len__(self) -> int:
        return self.available.shape[0]

    def padded(self, modality: str) -> tuple[Tensor, Tensor]:
        """Frames of one modality's sequences, zero-padded, (U, T, D), and a mask (U, T), True on real frames."""
        return pad(self.values[modality], self.lengths[modality])

    def spread(self, modality: str, x: Tensor) -> Tensor:
        """What was made of a modality's sequences, (U, ...) -> the utterances' (B, ...), zeros where there is none.

        Utterances that share a sequence are thereby worked for once.
        """
        there = self.available[:, MODALITIES.index(modality)].to(x.device)
        own = self.sequence.get(modality)
        out = x if own is None else x[own.clamp(min=0).to(x.device)]
        return torch.where(
            there.view(-1, *[1] * (x.ndim - 1)), out, torch.zeros((), dtype=x.dtype, device=x.device)
        )


def hide(batch: Batch, visible: Tensor) -> Batch:
    """The batch as it is where what is not `visible` (B, 3) does not exist: no frame and no length of it is left.

    batch: one in which each utterance has its own sequences.

    >>> there = torch.tensor([[True, False, False]] * 2)
    >>> batch = Batch({"s": torch.ones(3, 1)}, {"s": torch.tensor([1, 2])}, there, labels=torch.zeros(2))
    >>> hidden = hide(batch, torch.tensor([[True, True, True], [False, True, True]]))
    >>> len(hidden.values["s"]), hidden.lengths["s"].tolist(), hidden.available[:, 0].tolist()
    (1, [1, 0], [True, False])
    """
    values, lengths = {}, {}
    for m, frames in batch.values.items():
        seen, own = visible[:, MODALITIES.index(m)], batch.lengths[m]
        values[m] = frames[torch.repeat_interleave(seen, own, output_size=len(frames))]
        lengths[m] = own * seen
    return replace(
        batch,
        values=values,
        lengths=lengths,
        available=batch.available & visible,
        longest={},
        present={},
        visible=visible,
    )


def side_by_side(batch: Batch, patterns: Sequence[Tensor]) -> Batch:
    """The batch under P visibilities (B, 3) at once: P * B utterances, those of the first pattern first.

    What no pattern shows is gone. An utterance has under each pattern the sequences that it shows, and nothing says
    which others the same utterance has under another one.
    """
    seen = hide(batch, torch.stack([*patterns]).any(0))
    available = torch.cat([batch.available & visible for visible in patterns])  # (P B, 3)
    own = torch.arange(len(batch), device=available.device).repeat(len(patterns))
    sequence = {m: torch.where(available[:, MODALITIES.index(m)], own, -1) for m in batch.values}
    return replace(
        seen,
        available=available,
        labels=batch.labels.repeat(len(patterns)),
        sequence=sequence,
        visible=torch.cat([*patterns]),
        dialogues=None if batch.dialogues is None else batch.dialogues.side_by_side(len(patterns)),
    )


def pad(values: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Ragged (sum T, D) with `lengths` (B,) -> padded (B, T, D) and a mask (B, T); T is at least 1."""
    longest = max(int(lengths.max()) if len(lengths) else 0, 1)
    mask = torch.arange(longest, device=lengths.device) < lengths[:, None]  # (B, T)
    out = values.new_zeros(*mask.shape, values.shape[-1])  # (B, T, D)
    out[mask] = values
    return out, mask


def visibility(condition: str, batch_size: int, device: torch.device | str = "cpu") -> Tensor:
    """(B, 3) bool: what a fixed condition lets a method use, the same for every utterance."""
    row = torch.tensor([m in condition for m in MODALITIES], device=device)
    return row.expand(batch_size, -1)
