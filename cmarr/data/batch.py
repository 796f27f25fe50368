"""A batch of utterances: ragged sequences, availability, labels."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from cmarr.modalities import MODALITIES


@dataclass(frozen=True)
class Batch:
    """B utterances. All tensors live on one device.

    values:    modality -> (sum of its lengths, D) float32, the utterances' frames one after another
    lengths:   modality -> (B,) int64; 0 exactly where the modality is not available
    available: (B, 3) bool, in the order s, v, t: the modality exists for this utterance
    labels:    (B,) int64 class indices, or float32 scores in a regression task
    longest:   modality -> its largest length, where that is known without waiting for the device
    """

    values: Mapping[str, Tensor]
    lengths: Mapping[str, Tensor]
    available: Tensor
    labels: Tensor
    longest: Mapping[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return self.available.shape[0]

    def padded(self, modality: str) -> tuple[Tensor, Tensor]:
        """Frames of one modality, zero-padded, (B, T, D), and a mask (B, T), True on real frames."""
        return pad(self.values[modality], self.lengths[modality])


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
