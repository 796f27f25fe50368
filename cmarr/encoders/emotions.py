"""What a face shows: the probabilities of FER+'s eight emotions, for whoever needs no more than that."""

from collections.abc import Sequence

import cv2
import numpy as np
import torch

from cmarr.encoders.face_network import EMOTIONS, SIDE, Denseface, load_denseface, prepared
from cmarr.errors import UserError

SMALLEST = 20
"""Height and width, pixels, below which a face is refused: there is nothing left to see in it."""

BATCH = 64
"""Faces that go through the network at once."""


def emotion_probabilities(
    faces: Sequence[np.ndarray] | np.ndarray, weights: str | Denseface = ""
) -> np.ndarray:
    """Probabilities of `EMOTIONS` (N, 8), rows summing to one: the shares of votes that ten people would give.

    Args:
        faces: gray images (H, W) uint8 of any size from 20 x 20, each cut to one face with a small margin around it.
        weights: a file, empty for the weights that cmarr brings along; or the network itself (`load_denseface`).

    Raises UserError, naming the face by its number from 0: not gray, not 8-bit, or too small.
    """
    network = load_denseface(weights) if isinstance(weights, str) else weights
    patches = [face_patch(face, f"face {number}") for number, face in enumerate(faces)]
    found = [np.empty((0, len(EMOTIONS)), np.float32)]
    with torch.inference_mode():
        for first in range(0, len(patches), BATCH):
            found.append(network.probabilities(prepared(patches[first : first + BATCH])).numpy())
    return np.concatenate(found)


def face_patch(face: np.ndarray, name: str = "the face") -> np.ndarray:
    """A gray face (H, W) uint8 at the network's size, (64, 64) uint8; raises UserError as above."""
    if not isinstance(face, np.ndarray) or face.ndim != 2:
        shape = getattr(face, "shape", type(face).__name__)
        raise UserError(
            f"{name}: must be a gray image of shape (height, width), not {shape}; convert colours first, "
            "cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)"
        )
    if face.dtype != np.uint8:
        raise UserError(f"{name}: must hold whole numbers from 0 to 255 (uint8), not {face.dtype}")
    if min(face.shape) < SMALLEST:
        raise UserError(
            f"{name}: {face.shape[1]} x {face.shape[0]} pixels are too few; a face needs {SMALLEST} x {SMALLEST}"
        )
    if face.shape == (SIDE, SIDE):
        return face
    shrinks = max(face.shape) > SIDE
    return cv2.resize(face, (SIDE, SIDE), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
