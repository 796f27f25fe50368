"""What a face shows: the probabilities of FER+'s eight emotions, for whoever needs no more than that."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cmarr.encoders.face_network import EMOTIONS, Denseface, faces_at_once, load_denseface, prepared
from cmarr.errors import UserError

SMALLEST = 20
"""Height and width, pixels, below which a face is refused: there is nothing left to see in it."""


def emotion_probabilities(
    faces: Sequence[np.ndarray] | np.ndarray, weights: str | Path | Denseface = "", *, mirrored: bool = False
) -> np.ndarray:
    """Probabilities of `EMOTIONS` (N, 8) float32, rows summing to one: the shares of votes that ten people would give.

    Args:
        faces: N gray images (H, W) uint8 of any size from 20 x 20, 0 black and 255 white, each cut to one upright
            face with a small margin around it: the box of a face detector, a tenth wider on each side. They are
            scaled to 64 x 64. No face is looked for: whatever is given gets probabilities.
        weights: a file, empty for the weights that cmarr brings along; or the network itself, in evaluation mode, on
            any device (`load_denseface`): reading the file anew takes longer than a face.
        mirrored: ask for the mirror images as well and give the mean, in twice the time; docs/denseface.md tells
            what it gains.

    Raises UserError, naming the face by its number from 0: not gray, not 8-bit, or too small; or naming the file.
    """
    if isinstance(faces, np.ndarray) and faces.ndim == 2:
        raise UserError(f"faces: one image of shape {faces.shape} where a list of them is meant; give [face]")
    if faces is None:
        raise UserError(f"faces: None where a list of images is meant; {_remedy(faces)}")
    network = weights if isinstance(weights, Denseface) else load_denseface(weights)
    device = next(network.parameters()).device
    at_once = faces_at_once(device)
    patches = [face_patch(face, f"face {number}") for number, face in enumerate(faces)]
    found = [np.empty((0, len(EMOTIONS)), np.float32)]
    with torch.inference_mode():
        for first in range(0, len(patches), at_once):
            ready = prepared(patches[first : first + at_once]).to(device)
            answers = network.probabilities(ready)
            if mirrored:
                answers = (answers + network.probabilities(ready.flip(-1))) / 2
            found.append(answers.cpu().numpy())
    return np.concatenate(found)


def face_patch(face: np.ndarray, name: str = "the face") -> np.ndarray:
    """A gray face (H, W) uint8 at the network's size, (64, 64) uint8; raises UserError as above."""
    if not isinstance(face, np.ndarray) or face.ndim != 2:
        shape = face.shape if isinstance(face, np.ndarray) else type(face).__name__
        raise UserError(
            f"{name}: must be a gray image, an array of shape (height, width), not {shape}; {_remedy(face)}"
        )
    if face.dtype != np.uint8:
        raise UserError(
            f"{name}: must hold whole numbers from 0 to 255 (uint8), not {face.dtype}; scale them and convert them "
            "with .astype(np.uint8)"
        )
    if min(face.shape) < SMALLEST:
        raise UserError(
            f"{name}: {face.shape[1]} x {face.shape[0]} pixels are too few; a face needs {SMALLEST} x {SMALLEST}"
        )
    from cmarr.media.faces import resized

    return resized(face)


def _remedy(face: Any) -> str:
    """What to do with something that is no gray image."""
    if face is None:
        return "cv2.imread gives None for a file that is not there or no image"
    if not isinstance(face, np.ndarray):
        return "read it, or convert it with numpy.asarray"
    if face.ndim == 3 and face.shape[2] == 1:
        return "take its only channel, image[:, :, 0]"
    return "convert colours first, cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)"
