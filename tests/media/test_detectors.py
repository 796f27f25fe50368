"""Detectors: MTCNN comes with a package, Haar with OpenCV, YuNet with a file that the user gives."""

import cv2
import numpy as np
import pytest

from cmarr.encoders.hog import Hog
from cmarr.errors import UserError
from cmarr.media import detectors
from cmarr.media.detectors import YuNet, build_detector
from cmarr.media.mtcnn import Mtcnn

Settings = Hog.Settings


class StandIn:
    """What cv2.FaceDetectorYN gives: a row a face, box, landmarks and score; it insists on its input's size."""

    def __init__(self, *rows):
        self.rows = rows
        self.size = None

    def create(self, model, config, size, score):
        self.score = score
        return self

    def setInputSize(self, size):  # noqa: N802 - OpenCV's name
        self.size = size

    def detect(self, image):
        assert image.shape == (self.size[1], self.size[0], 3)
        rows = [[*row, *range(10), 0.9] for row in self.rows]
        return 1, np.array(rows, np.float32) if rows else None


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "yunet.onnx"
    path.write_bytes(b"not really")
    return str(path)


def yunet(monkeypatch, model, *rows):
    monkeypatch.setattr(cv2, "FaceDetectorYN", StandIn(*rows))
    return YuNet(model)


def test_yunet_gives_boxes_inside_the_image_and_of_the_size_asked_for(monkeypatch, model):
    detector = yunet(
        monkeypatch, model, (10.4, 20.6, 40, 50), (-6, 90, 30, 30), (0, 0, 5, 5), (0, 0, 100, 100)
    )
    boxes = detector(np.zeros((100, 120), np.uint8), 20, 80)
    assert boxes == [(10, 21, 40, 50), (0, 90, 24, 10)]


def test_yunet_without_a_face(monkeypatch, model):
    assert yunet(monkeypatch, model)(np.zeros((64, 64), np.uint8), 1, 64) == []


def test_yunet_follows_the_size_of_the_window(monkeypatch, model):
    detector = yunet(monkeypatch, model, (1, 1, 30, 30))
    for shape in ((100, 120), (50, 60), (100, 120)):
        assert len(detector(np.zeros(shape, np.uint8), 1, 200)) == 1


def test_yunet_needs_its_file(tmp_path, model):
    with pytest.raises(UserError, match="detector is yunet, but detector_file is empty"):
        build_detector("yunet")
    with pytest.raises(UserError, match=r"absent\.onnx does not exist; set it to YuNet's ONNX file"):
        build_detector("yunet", str(tmp_path / "absent.onnx"))
    with pytest.raises(UserError, match="is not a YuNet model that OpenCV") as caught:
        build_detector("yunet", model)
    assert "\n" not in str(caught.value)


def test_an_encoder_says_so_before_it_starts(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        Hog(Settings(detector="yunet", detector_file=str(tmp_path / "absent.onnx")))
    with pytest.raises(UserError, match="'cnn' is not a face detector; there are mtcnn, haar, yunet"):
        build_detector("cnn")


def test_the_file_of_a_detector_is_known_by_its_content(model, tmp_path):
    one = Hog(Settings(detector="yunet", detector_file=model)).describe()["parameters"]
    assert str(tmp_path) not in one and "detector=yunet:" in one
    (tmp_path / "other.onnx").write_bytes(b"another")
    assert (
        Hog(Settings(detector="yunet", detector_file=str(tmp_path / "other.onnx"))).describe()["parameters"]
        != one
    )
    assert "detector=mtcnn" in Hog(Settings()).describe()["parameters"]


def test_mtcnn_is_the_default():
    assert detectors.DETECTORS[0] == "mtcnn"
    assert isinstance(build_detector("mtcnn"), Mtcnn)
