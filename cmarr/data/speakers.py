"""What is usual of each speaker, from all utterances and without a label: what `normalise: speaker` takes away."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from cmarr.data.statistics import STATISTICS, statistics
from cmarr.features.shards import FeatureTable

ROWS = 256
"""Utterances that are looked at together; bounds memory."""


@dataclass(frozen=True)
class Moments:
    """Of one modality, S speakers, in double precision.

    count:  (S,) utterances that have it
    frames: (S, 2, D) mean and variance of the frames
    pooled: (S, 2, 8, D) mean and variance, over utterances, of each of `STATISTICS`
    """

    count: Tensor
    frames: Tensor
    pooled: Tensor


class Heard:
    """All utterances of some speakers; what is usual of these is worked out when it is asked for.

    Args:
        who: id of an utterance -> its speaker.
        features: modality -> the features of utterances, and of no others.
    """

    def __init__(self, who: Mapping[str, str], features: Mapping[str, FeatureTable]) -> None:
        self.number = {speaker: number for number, speaker in enumerate(dict.fromkeys(who.values()))}
        self._who, self._features = who, features
        self._moments: dict[str, Moments] = {}

    def moments(self, modality: str) -> Moments:
        """What is usual of each speaker, in the order of `number`."""
        if modality not in self._moments:
            self._moments[modality] = self._measured(self._features[modality])
        return self._moments[modality]

    def _measured(self, table: FeatureTable) -> Moments:
        speakers = len(self.number)
        known = [row for row, name in enumerate(table.ids) if name in self._who]
        count, number = torch.zeros(speakers).double(), torch.zeros(speakers).double()
        frames = torch.zeros(2, speakers, table.dim).double()
        pooled = torch.zeros(2, speakers, len(STATISTICS), table.dim).double()
        for first in range(0, len(known), ROWS):
            rows = known[first : first + ROWS]
            own = [
                torch.from_numpy(table.values[table.offsets[r] : table.offsets[r + 1]]).double() for r in rows
            ]
            lengths = torch.tensor([len(part) for part in own])
            who = torch.tensor([self.number[self._who[table.ids[r]]] for r in rows])
            values = torch.cat(own)
            found, by_frame = statistics(values, lengths), who.repeat_interleave(lengths)
            count.index_add_(0, who, (lengths > 0).double())
            number.index_add_(0, who, lengths.double())
            for power in (0, 1):
                frames[power].index_add_(0, by_frame, values ** (power + 1))
                pooled[power].index_add_(0, who, found ** (power + 1))
        return Moments(count, _mean_and_variance(frames, number), _mean_and_variance(pooled, count))


def _mean_and_variance(sums: Tensor, count: Tensor) -> Tensor:
    """Sums of values and of squares (2, S, ...) over `count` (S,) of them -> mean and variance (S, 2, ...)."""
    mean, square = sums / count.clamp(min=1).view(-1, *[1] * (sums.ndim - 2))
    return torch.stack([mean, (square - mean.square()).clamp(min=0)], 1)


def typical(moments: Moments, speakers: Tensor) -> tuple[Tensor, Tensor]:
    """The mean speaker of those numbered `speakers`: frames (2, D) and pooled (2, 8, D)."""
    own = speakers.unique()
    own = own[moments.count[own] > 0]
    if not len(own):
        return torch.zeros_like(moments.frames[0]), torch.zeros_like(moments.pooled[0])
    return moments.frames[own].mean(0), moments.pooled[own].mean(0)


def shrunk(moments: Moments, frames: Tensor, pooled: Tensor) -> Moments:
    """The moments as if every speaker had been heard in one utterance of the typical speaker, too.

    A speaker of whom one clip is known would else be its own measure, and nothing would be left of it.
    """
    count = moments.count

    def mixed(own: Tensor, one: Tensor) -> Tensor:
        share = (count / (count + 1)).view(-1, *[1] * (own.ndim - 1))
        return share * own + (1 - share) * one

    return Moments(count, mixed(moments.frames, frames), mixed(moments.pooled, pooled))
