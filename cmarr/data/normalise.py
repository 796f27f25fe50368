"""Standardisation of features, fitted on training utterances only."""

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn

from cmarr.data.batch import Batch

FLOOR = 1e-5
"""Deviations below this count as constant; such a feature is centred and left unscaled."""


class Normaliser(nn.Module):
    """Per modality and feature: subtract the mean over all training frames, divide by the deviation.

    The statistics are buffers, so they are saved with the weights they belong to. A modality that is not among
    `dims` passes as it is: the input of an encoder that is trained with the method.
    """

    def __init__(self, dims: Mapping[str, int]) -> None:
        super().__init__()
        self.modalities = tuple(dims)
        for modality, dim in dims.items():
            self.register_buffer(f"mean_{modality}", torch.zeros(dim))
            self.register_buffer(f"scale_{modality}", torch.ones(dim))

    def fit(self, values: Mapping[str, Tensor]) -> None:
        """Set the statistics from frames (N, D) a modality; without frames mean 0 and scale 1 stay."""
        for modality in self.modalities:
            if not len(values[modality]):
                continue
            exact = values[modality].double()
            deviation = exact.std(0, correction=0)
            getattr(self, f"mean_{modality}").copy_(exact.mean(0))
            getattr(self, f"scale_{modality}").copy_(torch.where(deviation > FLOOR, deviation, 1.0))

    def forward(self, batch: Batch) -> Batch:
        """The same batch with standardised values."""
        values = {m: self._standard(m, v) if m in self.modalities else v for m, v in batch.values.items()}
        return replace(batch, values=values)

    def _standard(self, modality: str, values: Tensor) -> Tensor:
        centred = values - getattr(self, f"mean_{modality}")
        return centred.div_(getattr(self, f"scale_{modality}"))
