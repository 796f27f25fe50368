"""One face is found, followed by overlap and cut out; the crop does not jump between people."""

import numpy as np
import pytest
from recordings import face, write_video

from cmarr.media.clips import Clip, Failure
from cmarr.media.detectors import Haar
from cmarr.media.faces import FaceReader, Faces, Follower, NoFace, cut, overlap

FRAME = np.zeros((200, 400), np.uint8)
NEAR, FAR = (20, 50, 80, 80), (300, 50, 60, 60)


class Scripted:
    """A detector that sees what the test says, wherever it is asked to look."""

    def __init__(self):
        self.boxes, self.near = [], []

    def __call__(self, gray, smallest, largest, expected=False):
        return self.boxes if gray.shape == FRAME.shape else self.near


@pytest.fixture
def follower():
    return Follower(Scripted(), patience=0.5)


def see(follower, time, *boxes):
    follower.detector.boxes = list(boxes)
    return follower.find(time, FRAME)


def test_overlap_is_intersection_over_union():
    assert overlap((0, 0, 10, 10), (5, 0, 10, 10)) == pytest.approx(50 / 150)
    assert overlap((0, 0, 10, 10), (0, 0, 10, 10)) == 1
    assert overlap((0, 0, 10, 10), (10, 0, 10, 10)) == 0


def test_the_largest_face_is_chosen_and_kept_when_another_grows(follower):
    assert see(follower, 0.0, FAR, NEAR) == NEAR
    grown = (260, 20, 130, 130)
    moved = (26, 50, 80, 80)
    assert see(follower, 0.1, grown, moved) == moved


def test_how_often_somebody_else_is_there_is_counted_where_their_face_is_not_much_smaller(follower):
    small = (350, 10, 30, 30)
    for time, others in enumerate(([FAR], [small], [], [FAR])):
        see(follower, float(time), NEAR, *others)
    assert (follower.crowded, follower.looks) == (2, 4)
    patches, times = np.zeros((4, 64, 64), np.uint8), np.arange(4.0)
    assert "several faces" in Faces(patches, times, 4, 2 / 4).notes[0]
    assert Faces(patches, times, 4, 1 / 4).notes == ()


def test_a_frame_that_shows_only_somebody_else_has_no_face(follower):
    see(follower, 0.0, NEAR, FAR)
    assert see(follower, 0.1, FAR) is None
    assert see(follower, 0.2, NEAR, FAR) == NEAR


def test_after_the_patience_somebody_else_is_followed(follower):
    see(follower, 0.0, NEAR, FAR)
    assert see(follower, 0.5, FAR) is None
    assert see(follower, 0.6, FAR) == FAR


def test_who_was_seen_beside_the_followed_face_does_not_take_its_place(follower):
    for time in (0.0, 0.1, 0.2, 0.3):
        assert see(follower, time, NEAR, FAR) == NEAR
    swayed = (305, 52, 60, 60)
    assert [see(follower, time, box) for time, box in ((0.5, FAR), (0.9, swayed), (1.5, swayed))] == [
        None
    ] * 3
    moved = (150, 50, 80, 80)
    assert see(follower, 1.6, swayed, moved) == moved  # nobody knows it from before: the speaker has moved


def test_the_picture_of_somebody_else_alone_is_followed_in_the_end(follower):
    for time in (0.0, 0.1, 0.2, 0.3):
        see(follower, time, NEAR, FAR)
    assert see(follower, 5.2, FAR) is None
    assert see(follower, 5.4, FAR) == FAR


def test_once_a_second_the_whole_frame_shows_who_else_is_there(follower):
    follower.detector.near = [(20, 25, 80, 80)]  # the window begins at (0, 10)
    for time in (0.0, 0.1, 0.2, 0.3, 1.0):
        beside = [FAR] if time else []
        x, _, *size = see(follower, time, NEAR, *beside)
        assert (x, size) == (20, [80, 80])
    follower.detector.near = []
    assert see(follower, 1.8, FAR) is None


def test_nobody_there(follower):
    assert see(follower, 0.0) is None


def test_a_followed_face_is_searched_for_near_its_last_place_first():
    looked = []

    def detector(gray, smallest, largest, expected=False):
        looked.append(gray.shape)
        return [(40, 40, 80, 80)]

    follower = Follower(detector)
    assert follower.find(0.0, FRAME) == (40, 40, 80, 80)
    # The window reaches half a face around the box and begins at (0, 0): the same place in the frame.
    assert follower.find(0.1, FRAME) == (40, 40, 80, 80)
    assert looked == [FRAME.shape, (160, 160)]


def test_the_cut_is_square_with_a_margin_and_repeats_the_edge_of_the_frame():
    image = np.zeros((100, 100), np.uint8)
    image[:, :20] = 255
    patch = cut(image, (0, 30, 40, 40), margin=0.25)  # a square of 60 that begins 10 left of the frame
    assert patch.shape == (64, 64)
    assert (patch[:, :31] == 255).all() and (patch[:, 33:] == 0).all()  # 30 of 60 columns are white


def test_the_cascade_finds_the_drawn_face():
    (x, y, w, h), *others = Haar()(face(x=90, y=60), 24, 160)
    assert not others
    assert x < 90 < x + w and y < 60 < y + h


def test_faces_are_read_with_their_times(tmp_path):
    images = [face(x=60 + i) for i in range(25)]
    for i in range(10, 15):
        images[i] = np.full_like(images[i], 110)  # looks away from 0.4 s to 0.6 s
    path = write_video(tmp_path / "a.mp4", images)
    (faces,) = FaceReader(rate=5.0)([Clip(path)])
    assert isinstance(faces, Faces)
    assert faces.n_frames == 5
    assert faces.times.tolist() == pytest.approx([0.08, 0.28, 0.68, 0.88])
    assert faces.patches.shape == (4, 64, 64)


def test_a_video_without_a_face_says_so(tmp_path):
    path = write_video(tmp_path / "a.mp4", [np.full((120, 160), 110, np.uint8)] * 25)
    assert FaceReader(rate=5.0)([Clip(path)]) == [NoFace(f"no face found in 5 frames of {path}", 5)]


def test_a_span_without_frames_is_no_fault_of_its_neighbours(tmp_path):
    path = write_video(tmp_path / "a.mp4", [face()] * 10)
    first, outside = FaceReader(rate=5.0)([Clip(path, 0, 0.4), Clip(path, 7, 8)])
    assert isinstance(first, Faces)
    assert outside.reason == f"{path} holds no frame between 7 s and 8 s; check `start` and `end`"


def test_a_large_frame_is_searched_at_reduced_size_and_cut_at_full_size(tmp_path):
    path = write_video(tmp_path / "a.mp4", [face(960, 720, 480, 360, 200)] * 2)
    (faces,) = FaceReader(rate=25.0, detector="haar")([Clip(path)])
    small = write_video(tmp_path / "b.mp4", [face(480, 360, 240, 180, 100)] * 2)
    (half,) = FaceReader(rate=25.0, detector="haar")([Clip(small)])
    difference = faces.patches[0].astype(float) - half.patches[0]
    assert np.abs(difference).mean() < 8


def test_two_people_in_one_frame_are_told_apart_by_the_half(tmp_path):
    both = np.concatenate([face(160, 120, 60, 60), np.full((120, 160), 110, np.uint8)], axis=1)
    path = write_video(tmp_path / "a.mp4", [both] * 5)
    left, right = FaceReader(rate=5.0)([Clip(path, crop="left"), Clip(path, crop="right")])
    assert isinstance(left, Faces)
    assert isinstance(right, Failure)
