"""The face of the person who speaks: detected, followed by overlap, cut out at one size."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from cmarr.media.clips import Clip, Failure
from cmarr.media.video import read_frames

SIZE = 64
"""Height and width of a face patch, pixels."""

NO_FACE = "no face found"
"""How the reason begins when a video can be read but shows no face: the modality is not available."""

Box = tuple[int, int, int, int]
"""Left, top, width, height, pixels."""

Detector = Callable[[np.ndarray], Sequence[Box]]
"""Gray (H, W) uint8 -> the boxes of all faces in it."""


@dataclass(frozen=True)
class Faces:
    """The faces of one clip: `patches` (T, 64, 64) uint8 gray, `times` (T,) seconds from its start.

    `n_frames` frames were looked at; those without a face have no row, so T may be smaller.
    """

    patches: np.ndarray
    times: np.ndarray
    n_frames: int


class Haar:
    """OpenCV's frontal-face cascade (Viola and Jones 2001); large frames are searched at reduced size."""

    LONGEST = 480

    def __init__(self) -> None:
        path = Path(cv2.__file__).parent / "data" / "haarcascade_frontalface_default.xml"
        self.cascade = cv2.CascadeClassifier(str(path))

    def __call__(self, gray: np.ndarray) -> list[Box]:
        """The boxes of all faces in a gray (H, W) uint8 image, in its pixels."""
        scale = min(self.LONGEST / max(gray.shape), 1.0)
        if scale < 1:
            gray = cv2.resize(gray, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        smallest = max(24, min(gray.shape) // 8)
        boxes = self.cascade.detectMultiScale(
            gray, scaleFactor=1.1, minNeighbors=5, minSize=(smallest, smallest)
        )
        return [tuple(round(int(value) / scale) for value in box) for box in boxes]  # type: ignore[misc]


class Follower:
    """Chooses one face per frame: the largest first, then the one that overlaps the last choice most.

    While nobody overlaps, nobody is chosen, so the crop does not jump to another person for a frame;
    after `patience` seconds without the face that was followed, the largest is chosen again.
    """

    OVERLAP = 0.2

    def __init__(self, patience: float = 0.5):
        self.patience = patience
        self.last: Box | None = None
        self.seen = 0.0

    def choose(self, time: float, boxes: Sequence[Box]) -> Box | None:
        """The box to use in the frame at `time` (seconds), or None."""
        if self.last is not None and time - self.seen > self.patience:
            self.last = None
        if not boxes:
            return None
        if self.last is None:
            chosen = max(boxes, key=lambda box: (box[2] * box[3], box))
        else:
            last = self.last
            chosen = max(boxes, key=lambda box: (overlap(box, last), box))
            if overlap(chosen, last) < self.OVERLAP:
                return None
        self.last, self.seen = chosen, time
        return chosen


def overlap(a: Box, b: Box) -> float:
    """Intersection over union of two boxes."""
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    return shared / (a[2] * a[3] + b[2] * b[3] - shared)


def cut(gray: np.ndarray, box: Box, margin: float) -> np.ndarray:
    """The face as (64, 64) uint8: a square around the box, wider by `margin` of its size on each side.

    Where the square leaves the frame, the frame's edge is repeated.
    """
    left, top, width, height = box
    side = max(round(max(width, height) * (1 + 2 * margin)), 1)
    x, y = left + (width - side) // 2, top + (height - side) // 2
    rows = np.clip(np.arange(y, y + side), 0, gray.shape[0] - 1)
    columns = np.clip(np.arange(x, x + side), 0, gray.shape[1] - 1)
    return cv2.resize(gray[np.ix_(rows, columns)], (SIZE, SIZE), interpolation=cv2.INTER_AREA)


class FaceReader:
    """Clips of one video -> the followed face of each, `rate` times a second."""

    def __init__(self, rate: float = 10.0, margin: float = 0.1, detector: Detector | None = None):
        cv2.setNumThreads(1)
        self.rate, self.margin = rate, margin
        self.detector = detector or Haar()

    def __call__(self, clips: Sequence[Clip]) -> list[Faces | Failure]:
        """One answer a clip. Raises Unreadable when the file cannot be read."""
        followers = [Follower() for _ in clips]
        patches: list[list[np.ndarray]] = [[] for _ in clips]
        times: list[list[float]] = [[] for _ in clips]
        looked = [0] * len(clips)
        for index, time, gray in read_frames(clips, self.rate):
            looked[index] += 1
            box = followers[index].choose(time, self.detector(gray))
            if box is not None:
                patches[index].append(cut(gray, box, self.margin))
                times[index].append(time)
        return list(map(_faces, clips, patches, times, looked))


def _faces(clip: Clip, patches: list[np.ndarray], times: list[float], looked: int) -> Faces | Failure:
    if not looked:
        return Failure(
            f"{clip.path} holds no frame between {clip.begin:g} s and {clip.stop:g} s; "
            "check `start` and `end`"
        )
    if not patches:
        return Failure(f"{NO_FACE} in {looked} frames of {clip.path}")
    return Faces(np.stack(patches), np.array(times, np.float32), looked)
