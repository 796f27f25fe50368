"""Histograms of oriented gradients of the followed face, also through the worker processes."""

import cv2
import numpy as np
import pytest
from recordings import face, write_video

from cmarr.encoders.hog import Hog
from cmarr.encoders.protocol import is_absence
from cmarr.media.clips import Clip
from cmarr.media.faces import FaceReader
from cmarr.media.gradients import FaceGradients, width
from cmarr.utterance import Rejected, Utterance


def test_width_by_hand():
    """64 / 16 = 4 cells a side, 3 x 3 blocks of 2 x 2 cells, nine directions: 9 * 4 * 9 = 324."""
    assert width(cell=16, block=2) == 324
    assert width(cell=32, block=2) == 36
    assert width(cell=16, block=1) == 144
    rows = FaceGradients(FaceReader, 16, 1).rows(np.zeros((2, 64, 64), np.uint8))
    assert rows.shape == (2, 144) and rows.dtype == np.float32


def test_an_edge_falls_into_the_bin_of_its_direction():
    """Nine bins of 20 degrees: a vertical edge has its gradient at 0 degrees, between bins 0 and 8."""
    patch = np.zeros((64, 64), np.uint8)
    patch[:, 32:] = 255
    cells = FaceGradients(FaceReader, 16, 1).rows(patch[None]).reshape(4, 4, 9)  # columns of cells first
    across = cells.sum(axis=(0, 1))
    assert across[[0, 8]].sum() == pytest.approx(across.sum(), abs=1e-4)
    assert across.sum() > 0
    assert cells[0].sum() == cells[3].sum() == 0  # no edge there


def test_lighting_hardly_matters():
    patch = cv2.resize(face(100, 100, 50, 50, 45), (64, 64))
    dim = (patch * 0.4 + 20).astype(np.uint8)
    reader = FaceGradients(FaceReader, 16, 2)
    bright, dark = reader.rows(np.stack([patch, dim]))
    assert np.linalg.norm(bright - dark) < 0.1 * np.linalg.norm(bright)


def test_frames_outside_the_utterance_change_nothing(tmp_path):
    inside = [face(x=70 + i, y=60) for i in range(20)]
    nobody = [np.full_like(inside[0], 110)] * 10
    somebody = [face(x=60, y=70, radius=48)] * 10
    lossless = {"rate": 20, "codec": "ffv1"}
    one = write_video(tmp_path / "a.mkv", nobody + inside + nobody, **lossless)
    two = write_video(tmp_path / "b.mkv", somebody + inside + somebody, **lossless)
    reader = FaceGradients(FaceReader, 16, 2)
    (rows, times), (other_rows, other_times) = (reader([Clip(path, 0.5, 1.5)])[0][:2] for path in (one, two))
    np.testing.assert_array_equal(rows, other_rows)
    np.testing.assert_array_equal(times, other_times)
    assert len(rows) == 10


def test_the_encoder_answers_in_order_with_rows_or_reasons(tmp_path):
    seen = write_video(tmp_path / "a.mp4", [face()] * 25)
    blank = write_video(tmp_path / "b.mp4", [np.full((120, 160), 110, np.uint8)] * 25)
    damaged = tmp_path / "c.mp4"
    damaged.write_bytes(b"not a video")
    utterances = [
        Utterance("seen", video=seen),
        Utterance("blank", video=blank),
        Utterance("damaged", video=str(damaged)),
        Utterance("part", video=seen, start=0.2, end=0.6),
    ]
    encoder = Hog(Hog.Settings(rate=5.0), workers=2)
    answers = list(encoder.encode(utterances))
    assert [a.id for a in answers] == ["seen", "blank", "damaged", "part"]
    assert answers[0].frames.shape == (5, encoder.dim)
    assert answers[3].frames.shape == (2, encoder.dim)
    assert answers[1] == Rejected("blank", "v", "extract", f"no face found in 5 frames of {blank}")
    assert is_absence(answers[1])
    assert "cannot be read as video" in answers[2].reason and not is_absence(answers[2])
