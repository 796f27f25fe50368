"""How a clip's sound was recorded: how long it really is, and how much of it is clipped. In a worker process."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cmarr.media.audio import read_samples
from cmarr.media.clips import Clip, Failure, one_by_one

CEILING = 0.985
"""Share of full scale, or of the loudest sample, that a clipped sample comes close to."""

RUN = 3
"""Neighbouring samples at one value, of either sign, that make a flat top: music and speech have none."""


@dataclass(frozen=True)
class Levels:
    """Seconds that could be decoded, and the share of the samples that lies on flat tops."""

    seconds: float
    clipped: float


class LevelReader:
    """Clips -> Levels, in a worker process."""

    def __call__(self, clips: Sequence[Clip]) -> list[Levels | Failure]:
        """One answer a clip."""
        return one_by_one(levels, clips)


def levels(clip: Clip) -> Levels:
    """Look at the samples as recorded, before any resampling. Raises Unreadable where there are none."""
    samples, rate = read_samples(clip)
    return Levels(len(samples) / rate, clipped_share(samples))


def clipped_share(samples: np.ndarray) -> float:
    """Share of the samples (N,) that lie in runs of `RUN` or more equal ones near the loudest of all."""
    loudest = float(np.abs(samples).max(initial=0.0))
    if loudest < 0.1:  # nothing that quiet was cut off by a converter
        return 0.0
    flat = (np.abs(samples[1:] - samples[:-1]) < 1e-3 * loudest) & (np.abs(samples[1:]) > CEILING * loudest)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flat.astype(np.int8), [0]])))
    runs = edges[1::2] - edges[::2] + 1  # samples, one more than the equal pairs
    return float(runs[runs >= RUN].sum() / max(len(samples), 1))
