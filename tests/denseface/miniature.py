"""A FER+ of a few faces, in its official layout."""

import csv
import io
import zipfile

import cv2
import numpy as np

from denseface.ferplus import FaceSet


def png(image: np.ndarray) -> bytes:
    return cv2.imencode(".png", image)[1].tobytes()


def faces(count: int, seed: int = 0) -> FaceSet:
    """Random faces whose votes are for one emotion in the main; the mean gray tells which."""
    generator = np.random.default_rng(seed)
    emotions = np.arange(count) % 8
    images = generator.integers(0, 40, (count, 48, 48)) + 25 * emotions[:, None, None]
    votes = np.zeros((count, 10), np.int16)
    votes[np.arange(count), emotions] = 8
    votes[np.arange(count), (emotions + 1) % 8] += 2
    return FaceSet(tuple(f"fer{n:07d}.png" for n in range(count)), images.astype(np.uint8), votes)


def write_zip(path, faces: FaceSet, *, rows=None, images=None):
    """`rows` and `images` (name -> bytes, or None for a missing one) replace what the faces would give."""
    table = io.StringIO()
    written = [
        [name, "(0, 0, 48, 48)", *map(int, votes)]
        for name, votes in zip(faces.names, faces.votes, strict=True)
    ]
    csv.writer(table).writerows(rows if rows is not None else written)
    content = {name: png(image) for name, image in zip(faces.names, faces.images, strict=True)} | (
        images or {}
    )
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{path.stem}/label.csv", table.getvalue())
        for name, packed in content.items():
            if packed is not None:
                archive.writestr(f"{path.stem}/{name}", packed)
    return path
