"""Video frames that show less: too dark, out of focus, partly covered."""

from dataclasses import dataclass

import cv2
import numpy as np

from cmarr.damage.chance import generator

READ_NOISE = 1.0
"""Deviation of a camera's own noise, in steps of an 8-bit frame. It does not fade with the light."""


@dataclass(frozen=True)
class Dark:
    """`stops` halvings of the light.

    Grey levels are scaled and rounded, so that nearby ones become the same. A recording holds the camera's read
    noise already, which scaling takes down with the light; what is missing of it is put back.
    """

    stops: float
    seed: int
    id: str

    def __call__(self, gray: np.ndarray, time: float) -> np.ndarray:
        """A frame (H, W) uint8, darkened."""
        light = 2.0**-self.stops
        missing = READ_NOISE * np.sqrt(1 - light**2)
        noise = generator(self.seed, "dark", self.id, f"{time:.3f}").standard_normal(gray.shape, np.float32)
        return np.clip(np.rint(light * gray + missing * noise), 0, 255).astype(np.uint8)


@dataclass(frozen=True)
class Blur:
    """Out of focus: a Gaussian whose deviation is `width` percent of the frame's height."""

    width: float

    def __call__(self, gray: np.ndarray, time: float) -> np.ndarray:
        """A frame (H, W) uint8, blurred."""
        deviation = self.width / 100 * gray.shape[0]
        return cv2.GaussianBlur(gray, (0, 0), deviation) if deviation > 0 else gray


@dataclass(frozen=True)
class Occlusion:
    """A black rectangle with the frame's proportions over `share` (0 to 1) of its area.

    It lies anywhere within the frame, in the same place throughout the utterance.
    """

    share: float
    seed: int
    id: str

    def __call__(self, gray: np.ndarray, time: float) -> np.ndarray:
        """A frame (H, W) uint8, partly black."""
        size = [round(side * self.share**0.5) for side in gray.shape]
        at = generator(self.seed, "occlusion", self.id).random(2)
        top, left = (int(u * (side - part + 1)) for u, side, part in zip(at, gray.shape, size, strict=True))
        covered = gray.copy()
        covered[top : top + size[0], left : left + size[1]] = 0
        return covered
