"""Standardisation of features, fitted on training utterances only."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import reduce
from typing import cast

import torch
from torch import Tensor, nn

from cmarr.data.batch import Batch
from cmarr.data.speakers import Heard, Moments, shrunk, typical
from cmarr.data.statistics import PLACES, STATISTICS
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

    by_speaker: from speech and video, what is usual of the speaker is taken away instead: the mean and deviation over
    the frames of all utterances of the one who speaks, here and in a batch's `usual`. It needs no label, but it does
    need other utterances of that speaker; what is usual of the typical training speaker counts as one of them.
    """

    def __init__(
        self, dims: Mapping[str, int], terms: Mapping[str, int] | None = None, *, by_speaker: bool = False
    ) -> None:
        super().__init__()
        self.terms = nn.ModuleDict({m: Terms(count, dims[m]) for m, count in (terms or {}).items()})
        self.modalities = tuple(dims)
        for modality, dim in dims.items():
            self.register_buffer(f"mean_{modality}", torch.zeros(dim))
            self.register_buffer(f"scale_{modality}", torch.ones(dim))
        self.by_speaker = tuple(m for m in dims if by_speaker and m in "sv" and m not in self.terms)
        for modality in self.by_speaker:
            frames, pooled = torch.zeros(2, dims[modality]), torch.zeros(2, len(STATISTICS), dims[modality])
            self.register_buffer(f"typical_frames_{modality}", frames.double())
            self.register_buffer(f"typical_pooled_{modality}", pooled.double())
        self._usual: tuple[Heard, dict[str, Moments]] | None = None

    @property
    def how(self) -> str:
        """'speaker' or 'corpus', as `normalise` in params.yaml has it."""
        return "speaker" if self.by_speaker else "corpus"

    def fit(
        self,
        values: Mapping[str, Tensor | Frames],
        heard: Heard | None = None,
        speakers: Tensor | None = None,
    ) -> None:
        """Set the statistics from frames (N, D) a modality; without frames mean 0 and scale 1 stay.

        With `by_speaker` those of the typical one of `speakers` (N,), of whom all utterances are `heard`.

        A chunk of frames is looked at at a time: they may be too many for memory in double precision.
        """
        for modality in self.modalities:
            frames = values[modality]
            if not len(frames):
                continue
            if modality in self.by_speaker:
                assert heard is not None and speakers is not None
                both = typical(heard.moments(modality), speakers.cpu())
                for name, found in zip(("frames", "pooled"), both, strict=True):
                    getattr(self, f"typical_{name}_{modality}").copy_(found)
                continue
            if modality in self.terms:
                counts = frames[:].float()
                cast(Terms, self.terms[modality]).fit(counts)
                frames = cast(Terms, self.terms[modality])(counts)
            cuts = [slice(first, first + CHUNK) for first in range(0, len(frames), CHUNK)]
            mean = _sum(frames[cut].double().sum(0) for cut in cuts) / len(frames)
            squares = _sum((frames[cut].double() - mean).square().sum(0) for cut in cuts)
            getattr(self, f"mean_{modality}").copy_(mean)
            getattr(self, f"scale_{modality}").copy_(deviation_of(squares / len(frames)))

    def forward(self, batch: Batch) -> Batch:
        """The same batch with standardised values."""
        values = {m: self.terms[m](v) if m in self.terms else v for m, v in batch.values.items()}
        values = {m: self._standard(m, v) if m in self.modalities else v for m, v in values.items()}
        if not self.by_speaker:
            return replace(batch, values=values)
        assert batch.heard is not None and batch.speakers is not None
        usual, speakers = self._usual_of(batch.heard), batch.speakers.to(batch.available.device)
        for m in self.by_speaker:
            owners = speakers.repeat_interleave(batch.lengths[m], output_size=len(values[m]))
            mean, variance = usual[m].frames.unbind(1)  # (S, D), (S, D)
            values[m] = values[m] - mean.to(values[m])[owners]
            values[m] /= deviation_of(variance).to(values[m])[owners]
        return replace(batch, values=values, usual=usual)

    def _usual_of(self, heard: Heard) -> dict[str, Moments]:
        """Modality -> what is usual of each speaker: of the statistics over time, in units of what `forward` gives."""
        if self._usual is None or self._usual[0] is not heard:
            found = {}
            for m in self.by_speaker:
                one = (getattr(self, f"typical_{name}_{m}").cpu() for name in ("frames", "pooled"))
                own = shrunk(heard.moments(m), *one)
                mean, scale = own.frames[:, :1], deviation_of(own.frames[:, 1:])  # (S, 1, D)
                centre = own.pooled[:, 0] - PLACES[:, None] * mean  # (S, 8, D)
                pooled = torch.stack([centre / scale, own.pooled[:, 1] / scale.square()], 1)
                found[m] = replace(own, pooled=pooled)
            self._usual = heard, found
        return self._usual[1]

    def _standard(self, modality: str, values: Tensor) -> Tensor:
        if modality in self.by_speaker:
            return values
        centred = values - getattr(self, f"mean_{modality}")
        out: Tensor = centred.div_(getattr(self, f"scale_{modality}"))
        return out


def deviation_of(variance: Tensor) -> Tensor:
    """Its root, and 1 where there is none: what is constant is centred and left unscaled."""
    root = variance.sqrt()
    return torch.where(root > FLOOR, root, 1.0)


def _sum(parts: Iterable[Tensor]) -> Tensor:
    return reduce(torch.add, parts)
