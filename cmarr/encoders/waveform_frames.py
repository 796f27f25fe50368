"""Waveforms as frames: what a speech encoder that is trained with the method reads."""

import numpy as np
from torch import Tensor

FRAME = 320
"""Samples a frame: 20 ms at 16 kHz."""

FRAMES_A_SECOND = 50

FULL_SCALE = 32768
"""Of 16-bit sound."""

NOTHING = -FULL_SCALE
"""Fills the last frame behind the last sample. No sample has this value."""


def to_frames(samples: np.ndarray) -> np.ndarray:
    """Samples (N,) in [-1, 1] -> frames (ceil(N / 320), 320) int16, as a 16-bit recording holds them."""
    whole = np.clip(np.rint(samples * FULL_SCALE), 1 - FULL_SCALE, FULL_SCALE - 1).astype(np.int16)
    frames = np.full((-(-len(whole) // FRAME), FRAME), NOTHING, np.int16)
    frames.reshape(-1)[: len(whole)] = whole
    return frames


def to_samples(frames: Tensor) -> Tensor:
    """The inverse: frames (T, 320), in whatever dtype -> samples (N,) float32."""
    flat = frames.float().flatten()
    return flat[: len(flat) - int((frames[-1] == NOTHING).sum())] / FULL_SCALE
