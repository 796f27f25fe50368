"""The probabilities of emotions, as people use them, and what they are told about faces that are none."""

import ast
import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from cmarr.encoders.emotions import emotion_probabilities, face_patch
from cmarr.encoders.face_network import EMOTIONS, load_denseface, prepared
from cmarr.errors import UserError

GENERATOR = np.random.default_rng(0)


def image(height=64, width=64):
    return GENERATOR.integers(0, 256, (height, width)).astype(np.uint8)


def test_a_row_a_face_of_any_size(face_weights):
    found = emotion_probabilities([image(), image(48, 48), image(200, 150), image(20, 31)], face_weights)
    assert found.shape == (4, len(EMOTIONS))
    np.testing.assert_allclose(found.sum(1), 1, atol=1e-6)
    assert emotion_probabilities([], face_weights).shape == (0, 8)


def test_they_are_those_of_the_network(face_weights):
    faces = np.stack([image() for _ in range(3)])
    expected = load_denseface(face_weights).probabilities(prepared(faces)).numpy()
    np.testing.assert_allclose(emotion_probabilities(faces, face_weights), expected, atol=1e-6)
    np.testing.assert_allclose(
        emotion_probabilities(faces, load_denseface(face_weights)), expected, atol=1e-6
    )


def test_a_mirror_image_gets_the_same_answers_where_both_are_asked(face_weights):
    face = image()
    seen, turned = (emotion_probabilities([f], face_weights)[0] for f in (face, face[:, ::-1]))
    assert not np.allclose(seen, turned, atol=1e-6)
    for one in (face, face[:, ::-1]):
        (found,) = emotion_probabilities([one], face_weights, mirrored=True)
        np.testing.assert_allclose(found, (seen + turned) / 2, atol=1e-6)


def test_the_lines_of_the_model_card_run(tmp_path, monkeypatch, capsys):
    page = (Path(__file__).parents[2] / "docs/denseface.md").read_text(encoding="utf-8")
    (lines,) = re.findall(r"```python\n(.*?)```", page, re.S)
    monkeypatch.chdir(tmp_path)
    cv2.imwrite("face.png", image(70, 60))
    exec(lines, {})
    told = ast.literal_eval(capsys.readouterr().out)
    assert tuple(told) == EMOTIONS and sum(told.values()) == pytest.approx(1)


def test_weights_may_be_named_by_a_path(face_weights):
    faces = [image()]
    np.testing.assert_array_equal(
        emotion_probabilities(faces, Path(face_weights)), emotion_probabilities(faces, face_weights)
    )


def test_one_face_alone_is_given_in_a_list(face_weights):
    with pytest.raises(UserError, match=r"one image of shape \(64, 64\) where a list .* give \[face\]"):
        emotion_probabilities(image(), face_weights)
    with pytest.raises(UserError, match=r"faces: None where a list .*cv2.imread gives None"):
        emotion_probabilities(None, face_weights)


def test_images_may_be_views_of_others(face_weights):
    face = image(90, 80)
    turned = [face[::-1, ::-1], np.ascontiguousarray(face[::-1, ::-1])]
    one, other = emotion_probabilities(turned, face_weights)
    np.testing.assert_allclose(one, other, rtol=1e-6)  # the rows of a batch round differently
    assert prepared(np.stack([image()])[:, :, ::-1]).shape == (1, 1, 64, 64)


def test_a_face_keeps_what_it_shows_at_another_size():
    ramp = np.tile(np.arange(48, dtype=np.uint8) * 5, (48, 1))
    patch = face_patch(ramp)
    assert patch.shape == (64, 64) and patch.dtype == np.uint8
    assert (np.diff(patch.astype(int), axis=1) >= 0).all()


@pytest.mark.parametrize(
    ("face", "message"),
    [
        (
            np.zeros((64, 64, 3), np.uint8),
            r"face 1: must be a gray image.* not \(64, 64, 3\); convert colours first",
        ),
        (np.zeros((64, 64, 1), np.uint8), r"face 1: .* not \(64, 64, 1\); take its only channel"),
        ("face.png", "face 1: must be a gray image.* not str; read it"),
        (None, "face 1: .* not NoneType; cv2.imread gives None for a file that is not there"),
        (np.zeros((64, 64)), r"face 1: must hold whole numbers from 0 to 255 \(uint8\), not float64"),
        (np.zeros((64, 19), np.uint8), "face 1: 19 x 64 pixels are too few; a face needs 20 x 20"),
        (np.zeros((0, 0), np.uint8), "face 1: 0 x 0 pixels are too few"),
    ],
)
def test_what_is_no_face_is_named(face_weights, face, message):
    with pytest.raises(UserError, match=message):
        emotion_probabilities([image(), face], face_weights)
