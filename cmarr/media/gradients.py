"""Face patches to histograms of oriented gradients, in a worker process."""

from collections.abc import Callable, Sequence

import numpy as np

from cmarr.extras import extra
from cmarr.media.clips import Clip, Failure
from cmarr.media.faces import SIZE, FaceReader, Faces

with extra("media"):
    import cv2

BINS = 9


def width(cell: int, block: int) -> int:
    """Number of features for cells of `cell` pixels and blocks of `block` x `block` cells, one cell apart."""
    return (SIZE // cell - block + 1) ** 2 * block**2 * BINS


class FaceGradients:
    """Clips of one video -> descriptors (T, D) float32 of the followed face, their times (T,), and notes.

    `faces` makes the reader of faces; it is called once, in the worker process.
    """

    def __init__(self, faces: Callable[[], FaceReader], cell: int, block: int):
        self.faces: Callable[[Sequence[Clip]], list[Faces | Failure]] = faces()
        side = cell * block
        self.descriptor = cv2.HOGDescriptor((SIZE, SIZE), (side, side), (cell, cell), (cell, cell), BINS)

    def __call__(
        self, clips: Sequence[Clip]
    ) -> list[tuple[np.ndarray, np.ndarray, tuple[str, ...]] | Failure]:
        """One result a clip. Raises Unreadable when the file cannot be read."""
        return [
            seen if isinstance(seen, Failure) else (self.rows(seen.patches), seen.times, seen.notes)
            for seen in self.faces(clips)
        ]

    def rows(self, patches: np.ndarray) -> np.ndarray:
        """(T, 64, 64) uint8 -> (T, D): contrast equalised, so that lighting matters less than shape."""
        return np.stack([np.ravel(self.descriptor.compute(cv2.equalizeHist(patch))) for patch in patches])
