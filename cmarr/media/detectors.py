"""Face detectors: a gray image in, the boxes of all faces in it out."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from cmarr.errors import UserError
from cmarr.extras import extra
from cmarr.media.mtcnn import Mtcnn

with extra("media"):
    import cv2

Box = tuple[int, int, int, int]
"""Left, top, width, height, pixels."""


class Detector(Protocol):
    """Finds faces."""

    def __call__(
        self, gray: np.ndarray, smallest: int, largest: int, expected: bool = False
    ) -> Sequence[Box]:
        """The boxes of all faces of `smallest` to `largest` pixels in gray (H, W) uint8.

        `expected`: it shows the surroundings of a face that was seen just before, so that less is enough.
        """
        ...


@dataclass(frozen=True)
class Search:
    """How finely a detector looks: at frames reduced to `longest` pixels, for faces from `smallest` pixels on that are
    at least a share of the frame's shorter side high."""

    longest: int = 480
    smallest: int = 24
    share: float = 1 / 8

    def reduced(self, gray: np.ndarray) -> tuple[np.ndarray, float]:
        """The frame in which faces are sought, and how many times smaller it is."""
        scale = max(max(gray.shape) / self.longest, 1.0)
        if scale == 1.0:
            return gray, scale
        return cv2.resize(gray, None, fx=1 / scale, fy=1 / scale, interpolation=cv2.INTER_AREA), scale

    def least(self, gray: np.ndarray) -> int:
        """Smallest side of a face in a whole frame, pixels."""
        return max(int(min(gray.shape) * self.share), self.smallest)


SEARCH = {"mtcnn": Search(longest=640, share=0.0), "haar": Search(), "yunet": Search()}
"""Detector -> how finely it looks."""

DETECTORS = tuple(SEARCH)

SURE = 0.7
"""YuNet's score (0 to 1) from which on something counts as a face."""


class Haar:
    """OpenCV's frontal-face cascade (Viola and Jones 2001)."""

    def __init__(self) -> None:
        path = Path(cv2.__file__).parent / "data" / "haarcascade_frontalface_default.xml"
        self.cascade = cv2.CascadeClassifier(str(path))

    def __call__(self, gray: np.ndarray, smallest: int, largest: int, expected: bool = False) -> list[Box]:
        """The boxes of all faces in a gray (H, W) uint8 image, in its pixels."""
        boxes = self.cascade.detectMultiScale(
            gray, scaleFactor=1.1, minNeighbors=5, minSize=(smallest, smallest), maxSize=(largest, largest)
        )
        return [(int(x), int(y), int(w), int(h)) for x, y, w, h in boxes]


class YuNet:
    """YuNet (Wu et al. 2023) from its ONNX file, which OpenCV does not bring along; finds turned faces too.

    Raises UserError when the file is missing or is no YuNet.
    """

    def __init__(self, path: str | Path):
        require_model(path)
        try:
            self.network = cv2.FaceDetectorYN.create(str(path), "", (320, 320), SURE)
            self(np.zeros((64, 64), np.uint8), 1, 64)  # a network of another kind fails here
        except cv2.error:
            raise UserError(
                f"encoders: detector_file: {path} is not a YuNet model that OpenCV {cv2.__version__} can read; fetch "
                "face_detection_yunet_2023mar.onnx from OpenCV's model zoo, or set detector to haar"
            ) from None

    def __call__(self, gray: np.ndarray, smallest: int, largest: int, expected: bool = False) -> list[Box]:
        """The boxes of all faces in a gray (H, W) uint8 image, in its pixels."""
        height, width = gray.shape
        self.network.setInputSize((width, height))
        _, found = self.network.detect(cv2.cvtColor(gray, cv2.COLOR_GRAY2BGR))
        boxes = [] if found is None else [tuple(round(float(v)) for v in row[:4]) for row in found]
        inside = [_inside(box, width, height) for box in boxes]
        return [box for box in inside if smallest <= max(box[2:]) <= largest]


def require_model(path: str | Path) -> None:
    """Raise UserError where there is no file of YuNet's."""
    if not str(path):
        raise UserError(
            "encoders: detector is yunet, but detector_file is empty; set it to YuNet's ONNX file"
        )
    if not Path(path).is_file():
        raise UserError(f"encoders: detector_file: {path} does not exist; set it to YuNet's ONNX file")


def build_detector(name: str, path: str = "") -> Detector:
    """'mtcnn', 'haar', or 'yunet' with its ONNX file; raises UserError for anything else."""
    if name not in DETECTORS:
        raise UserError(
            f"encoders: detector: {name!r} is not a face detector; there are {', '.join(DETECTORS)}"
        )
    if name == "mtcnn":
        return Mtcnn()
    return Haar() if name == "haar" else YuNet(path)


def _inside(box: tuple[int, ...], width: int, height: int) -> Box:
    """The part of a box that lies in the image; YuNet's may reach beyond it."""
    left, top = max(box[0], 0), max(box[1], 0)
    right, bottom = min(box[0] + box[2], width), min(box[1] + box[3], height)
    return left, top, max(right - left, 0), max(bottom - top, 0)
