"""Standardisation of features, fitted on training utterances only."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import reduce
from typing import cast

import torch
from torch import Tensor, nn

from cmarr.data.batch import Batch
from cmarr.data.store import Frames
from cmarr.data.terms import Terms

FLOOR = 1e-5
"""Deviations below this count as constant; such a feature is centred and left unscaled."""


CHUNK = 65536
"""Frames that are looked at together; part of the result, as sums in another order round differently."""


class Normaliser(nn.Module):
    """Per modality and feature: subtract the mean over all training frames, divide by the deviation.

    The statistics are buffers, so they are saved with the weights they belong to. A modality that is not among
    `dims` passes as it is: the input of an encoder that is trained with the method. One among `terms` (modality -> how
    many) comes as counts of terms, and goes through `Terms` before.
    """

    def __init__(self, dims: Mapping[str, int], terms: Mapping[str, int] | None = None) -> None:
        super().__init__()
        self.terms = nn.ModuleDict({m: Terms(count, dims[m]) for m, count in (terms or {}).items()})
        self.modalities = tuple(dims)
        for modality, dim in dims.items():
            self.register_buffer(f"mean_{modality}", torch.zeros(dim))
            self.register_buffer(f"scale_{modality}", torch.ones(dim))

    def fit(self, values: Mapping[str, Tensor | Frames]) -> None:
        """Set the statistics from frames (N, D) a modality; without frames mean 0 and scale 1 stay.

        A chunk of frames is looked at at a time: they may be too many for memory in double precision.
        """
        for modality in self.modalities:
            frames = values[modality]
            if not len(frames):
                continue
            if modality in self.terms:
                counts = frames[:].float()
                cast(Terms, self.terms[modality]).fit(counts)
                frames = cast(Terms, self.terms[modality])(counts)
            cuts = [slice(first, first + CHUNK) for first in range(0, len(frames), CHUNK)]
            mean = _sum(frames[cut].double().sum(0) for cut in cuts) / len(frames)
            squares = _sum((frames[cut].double() - mean).square().sum(0) for cut in cuts)
            deviation = (squares / len(frames)).sqrt()
            getattr(self, f"mean_{modality}").copy_(mean)
            getattr(self, f"scale_{modality}").copy_(torch.where(deviation > FLOOR, deviation, 1.0))

    def forward(self, batch: Batch) -> Batch:
        """The same batch with standardised values."""
        values = {m: self.terms[m](v) if m in self.terms else v for m, v in batch.values.items()}
        values = {m: self._standard(m, v) if m in self.modalities else v for m, v in values.items()}
        return replace(batch, values=values)

    def _standard(self, modality: str, values: Tensor) -> Tensor:
        centred = values - getattr(self, f"mean_{modality}")
        out: Tensor = centred.div_(getattr(self, f"scale_{modality}"))
        return out


def _sum(parts: Iterable[Tensor]) -> Tensor:
    return reduce(torch.add, parts)
