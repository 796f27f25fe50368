"""The face of the person who speaks: detected, followed by overlap, cut out at one size."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cmarr.extras import extra
from cmarr.media.clips import Clip, Failure
from cmarr.media.detectors import SEARCH, Box, Detector, Search, build_detector
from cmarr.media.prefetch import prefetch
from cmarr.media.video import read_frames

with extra("media"):
    import cv2

SIZE = 64
"""Height and width of a face patch, pixels."""

CROWDED = 0.5
"""Share of the looks around from which on there is doubt whose face is meant."""

PREFETCHED = 4
"""Frames that may wait while a face is sought."""


@dataclass(frozen=True)
class Faces:
    """The faces of one clip: `patches` (T, 64, 64) uint8 gray, `times` (T,) seconds from its start.

    `n_frames` frames were looked at; those without a face have no row, so T may be smaller. `crowd` is the share of the
    looks around at which somebody else was there, whose face was not much smaller.
    """

    patches: np.ndarray
    times: np.ndarray
    n_frames: int
    crowd: float = 0.0

    @property
    def notes(self) -> tuple[str, ...]:
        """What whoever predicts from them should know."""
        several = "the video shows several faces; one was followed, the largest where it begins"
        return (several,) if self.crowd >= CROWDED else ()


@dataclass(frozen=True)
class NoFace(Failure):
    """That no face was found in the frames of a clip, of which there were `n_frames`."""

    n_frames: int


class Follower:
    """Finds one face per frame: the largest first, then the one that overlaps the last choice most.

    The surroundings of the last choice are searched first; the whole frame when the face is not there, and once a
    `LOOK_ROUND`, which shows who else is there. While nobody overlaps, nobody is chosen, so that the crop does not
    jump to another person for a frame. After `patience` seconds without the face that was followed, the largest of
    those is chosen who have not been beside it: the speaker has moved, or the picture was cut. Only a face that was
    gone for `GONE` seconds, or never followed for longer than a blink, gives way to anybody.
    """

    OVERLAP = 0.2
    LOOK_ROUND = 1.0
    GONE = 5.0
    BLINK = 3
    """Frames."""

    def __init__(self, detector: Detector, patience: float = 0.5, search: Search | None = None):
        self.detector, self.patience, self.search = detector, patience, search or Search()
        self.last: Box | None = None
        self.others: list[Box] = []
        self.frames = self.looks = self.crowded = 0
        self.seen = self.looked = 0.0

    def find(self, time: float, gray: np.ndarray) -> Box | None:
        """The box to use in the frame (H, W) uint8 at `time` (seconds), or None."""
        gone = time - self.seen
        if self.last is not None and (
            gone > self.GONE or (gone > self.patience and self.frames < self.BLINK)
        ):
            self.last, self.others, self.frames = None, [], 0
        chosen = None
        if self.last is not None:
            chosen = self._nearest(self._around(gray, self.last), self.last)
        if chosen is None or time - self.looked >= self.LOOK_ROUND:
            boxes = self.detector(gray, self.search.least(gray), max(gray.shape))
            self.looked = time
            chosen = chosen or self._chosen(boxes, gone)
            self._remember(boxes, chosen)
        if chosen is not None:
            self.last, self.seen, self.frames = chosen, time, self.frames + 1
        return chosen

    def _chosen(self, boxes: Sequence[Box], gone: float) -> Box | None:
        if self.last is not None:
            near = self._nearest(boxes, self.last)
            if near is not None or gone <= self.patience:
                return near
            boxes = [box for box in boxes if self._nearest(self.others, box) is None]
        return max(boxes, key=lambda box: (box[2] * box[3], box), default=None)

    def _remember(self, boxes: Sequence[Box], chosen: Box | None) -> None:
        """Who is seen beside the chosen face is somebody else; so is, while it is gone, who is where they were."""
        if chosen is not None:
            new = [box for box in boxes if overlap(box, chosen) < self.OVERLAP]
            self.looks += 1
            self.crowded += any(2 * box[2] >= chosen[2] for box in new)
        else:
            new = [box for box in boxes if self._nearest(self.others, box) is not None]
        self.others = [box for box in self.others if self._nearest(new, box) is None] + new

    def _around(self, gray: np.ndarray, last: Box) -> list[Box]:
        x, y, width, height = last
        left, top = max(x - width // 2, 0), max(y - height // 2, 0)
        window = gray[top : y + height + height // 2, left : x + width + width // 2]
        side = max(width, height)
        smallest = self.search.smallest
        boxes = self.detector(
            window, max(round(0.7 * side), smallest), max(round(1.4 * side), smallest), True
        )
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
    return resized(gray[np.ix_(rows, columns)])


def resized(face: np.ndarray, side: int = SIZE) -> np.ndarray:
    """A face (H, W) uint8 at another size, (side, side) uint8.

    The one way to it: a face has the same bytes when a training is scored, in the model card, in
    `emotion_probabilities` and in extraction. Enlarged with integers alone, which round alike on every machine.
    """
    shrinks = max(face.shape) > side
    return cv2.resize(face, (side, side), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR_EXACT)


class FaceReader:
    """Clips of one video -> the followed face of each, `rate` times a second.

    Raises UserError for a detector, or a detector's file, that is not there.
    """

    def __init__(
        self,
        rate: float = 10.0,
        margin: float = 0.1,
        detector: str | Detector = "mtcnn",
        detector_file: str = "",
    ):
        cv2.setNumThreads(1)
        self.rate, self.margin = rate, margin
        self.search = SEARCH[detector] if isinstance(detector, str) and detector in SEARCH else Search()
        self.detector = build_detector(detector, detector_file) if isinstance(detector, str) else detector

    def __call__(self, clips: Sequence[Clip]) -> list[Faces | Failure]:
        """One result a clip. Raises Unreadable when the file cannot be read."""
        followers = [Follower(self.detector, search=self.search) for _ in clips]
        patches: list[list[np.ndarray]] = [[] for _ in clips]
        times: list[list[float]] = [[] for _ in clips]
        looked = [0] * len(clips)
        frames = ((*frame, *self.search.reduced(frame[2])) for frame in read_frames(clips, self.rate))
        # The next frame is decoded while a face is sought in this one: a clip that comes alone has a core to spare.
        for index, time, gray, small, scale in prefetch(frames, PREFETCHED):
            looked[index] += 1
            box = followers[index].find(time, small)
            if box is not None:
                left, top, width, height = (round(value * scale) for value in box)
                patches[index].append(cut(gray, (left, top, width, height), self.margin))
                times[index].append(time)
        return list(map(_faces, clips, patches, times, looked, followers))


def _faces(
    clip: Clip, patches: list[np.ndarray], times: list[float], looked: int, follower: Follower
) -> Faces | Failure:
    if not looked:
        return Failure(
            f"{clip.path} holds no frame between {clip.begin:g} s and {clip.stop:g} s; "
            "check `start` and `end`"
        )
    if not patches:
        return NoFace(f"no face found in {looked} frames of {clip.path}", looked)
    crowd = follower.crowded / max(follower.looks, 1)
    return Faces(np.stack(patches), np.array(times, np.float32), looked, crowd)
