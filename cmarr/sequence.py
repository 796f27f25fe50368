"""A sequence of feature vectors: what an encoder makes of one utterance's clip, text or video."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class FeatureSequence:
    """The features of one modality of one utterance: `frames` (T, D), `times` (T,) in seconds.

    Frames are float32, or whole numbers where they are the input of a network (samples, word pieces).
    """

    id: str
    frames: np.ndarray
    times: np.ndarray

    def __post_init__(self) -> None:
        if self.frames.ndim != 2 or self.times.shape != self.frames.shape[:1]:
            raise ValueError(
                f"utterance {self.id}: frames must be (T, D) and times (T,), "
                f"not {self.frames.shape} and {self.times.shape}"
            )
