"""The face of the person who speaks: detected, followed by overlap, cut out at one size."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from cmarr.media.clips import Clip, Failure
from cmarr.media.detectors import Box, Detector, build_detector
from cmarr.media.prefetch import prefetch
from cmarr.media.video import read_frames

SIZE = 64
"""Height and width of a face patch, pixels."""

LONGEST = 480
"""Faces are searched for in frames reduced to this longer side, pixels; patches keep the full detail."""

PREFETCHED = 4
"""Frames that may wait while a face is sought."""


@dataclass(frozen=True)
class Faces:
    """The faces of one clip: `patches` (T, 64, 64) uint8 gray, `times` (T,) seconds from its start.

    `n_frames` frames were looked at; those without a face have no row, so T may be smaller.
    """

    patches: np.ndarray
    times: np.ndarray
    n_frames: int


class Follower:
    """Finds one face per frame: the largest first, then the one that overlaps the last choice most.

    While nobody overlaps, nobody is chosen, so the crop does not jump to another person for a frame;
    after `patience` seconds without the face that was followed, the largest is chosen again. The
    surroundings of the last choice are searched first, the whole frame only when the face is not there.
    """

    OVERLAP = 0.2

    def __init__(self, detector: Detector, patience: float = 0.5):
        self.detector, self.patience = detector, patience
        self.last: Box | None = None
        self.seen = 0.0

    def find(self, time: float, gray: np.ndarray) -> Box | None:
        """The box to use in the frame (H, W) uint8 at `time` (seconds), or None."""
        if self.last is not None and time - self.seen > self.patience:
            self.last = None
        chosen = None
        if self.last is not None:
            chosen = self._nearest(self._around(gray, self.last), self.last)
        if chosen is None:
            boxes = self.detector(gray, max(min(gray.shape) // 8, 24), max(gray.shape))
            if self.last is not None:
                chosen = self._nearest(boxes, self.last)
            else:
                chosen = max(boxes, key=lambda box: (box[2] * box[3], box), default=None)
        if chosen is not None:
            self.last, self.seen = chosen, time
        return chosen

    def _around(self, gray: np.ndarray, last: Box) -> list[Box]:
        x, y, width, height = last
        left, top = max(x - width // 2, 0), max(y - height // 2, 0)
        window = gray[top : y + height + height // 2, left : x + width + width // 2]
        boxes = self.detector(window, max(round(0.7 * width), 24), max(round(1.4 * width), 24))
        return [(bx + left, by + top, bw, bh) for bx, by, bw, bh in boxes]

    def _nearest(self, boxes: Sequence[Box], last: Box) -> Box | None:
        near = max(boxes, key=lambda box: (overlap(box, last), box), default=None)
        return near if near is not None and overlap(near, last) >= self.OVERLAP else None


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
    """Clips of one video -> the followed face of each, `rate` times a second.

    Raises UserError for a detector, or a detector's file, that is not there.
    """

    def __init__(
        self,
        rate: float = 10.0,
        margin: float = 0.1,
        detector: str | Detector = "haar",
        detector_file: str = "",
    ):
        cv2.setNumThreads(1)
        self.rate, self.margin = rate, margin
        self.detector = build_detector(detector, detector_file) if isinstance(detector, str) else detector

    def __call__(self, clips: Sequence[Clip]) -> list[Faces | Failure]:
        """One result a clip. Raises Unreadable when the file cannot be read."""
        followers = [Follower(self.detector) for _ in clips]
        patches: list[list[np.ndarray]] = [[] for _ in clips]
        times: list[list[float]] = [[] for _ in clips]
        looked = [0] * len(clips)
        frames = ((*frame, *_reduced(frame[2])) for frame in read_frames(clips, self.rate))
        # The next frame is decoded while a face is sought in this one: a clip that comes alone has a core to spare.
        for index, time, gray, small, scale in prefetch(frames, PREFETCHED):
            looked[index] += 1
            box = followers[index].find(time, small)
            if box is not None:
                left, top, width, height = (round(value * scale) for value in box)
                patches[index].append(cut(gray, (left, top, width, height), self.margin))
                times[index].append(time)
        return list(map(_faces, clips, patches, times, looked))


def _reduced(gray: np.ndarray) -> tuple[np.ndarray, float]:
    """The frame in which a face is sought, and how many times smaller it is."""
    scale = max(max(gray.shape) / LONGEST, 1.0)
    if scale == 1.0:
        return gray, scale
    return cv2.resize(gray, None, fx=1 / scale, fy=1 / scale, interpolation=cv2.INTER_AREA), scale


def _faces(clip: Clip, patches: list[np.ndarray], times: list[float], looked: int) -> Faces | Failure:
    if not looked:
        return Failure(
            f"{clip.path} holds no frame between {clip.begin:g} s and {clip.stop:g} s; "
            "check `start` and `end`"
        )
    if not patches:
        return Failure(f"no face found in {looked} frames of {clip.path}")
    return Faces(np.stack(patches), np.array(times, np.float32), looked)
