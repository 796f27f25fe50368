"""Frames are chosen by their timestamps, only within the utterance, each file decoded once."""

import struct

import av
import numpy as np
import pytest
from recordings import tone, write_compressed, write_video

from cmarr.errors import Unreadable
from cmarr.media import video
from cmarr.media.clips import Clip
from cmarr.media.video import read_frames


def numbered(n, width=64, height=48):
    """Frames that can be told apart: frame i is filled with the gray 4 i + 4."""
    return [np.full((height, width), 4 * i + 4, np.uint8) for i in range(n)]


def numbers(frames):
    return [round((float(np.median(image)) - 4) / 4) for _, _, image in frames]


def times(frames):
    return [round(time, 4) for _, time, _ in frames]


def test_the_frame_nearest_to_the_middle_of_each_window_is_taken(tmp_path):
    path = write_video(tmp_path / "a.mp4", numbered(15), rate=25)  # 0.6 s
    frames = list(read_frames([Clip(path)], rate=5.0))  # windows of 0.2 s: middles 0.1, 0.3, 0.5
    assert times(frames) == [0.08, 0.28, 0.48]
    assert numbers(frames) == [2, 7, 12]
    assert frames[0][2].shape == (48, 64) and frames[0][2].dtype == np.uint8


def test_every_frame_is_taken_once_when_the_file_is_slower_than_the_rate(tmp_path):
    path = write_video(tmp_path / "a.mp4", numbered(5), rate=5)
    assert numbers(read_frames([Clip(path)], rate=30.0)) == [0, 1, 2, 3, 4]


def test_variable_frame_rate_goes_by_timestamps(tmp_path):
    path = write_video(tmp_path / "a.mp4", numbered(6), times=[0, 0.02, 0.04, 0.30, 0.31, 0.95])
    frames = list(read_frames([Clip(path)], rate=10.0))
    assert times(frames) == [0.04, 0.31, 0.95]  # the gaps hold no frame, and get none
    assert numbers(frames) == [2, 4, 5]


@pytest.mark.parametrize("start", [0.4, 2.2])  # read from the beginning; sought
def test_only_frames_of_the_utterance_are_looked_at(tmp_path, start):
    path = write_video(tmp_path / "a.mp4", numbered(60), rate=20)  # 3 s
    frames = list(read_frames([Clip(path, start=start, end=start + 0.5)], rate=20.0))
    first = round(start * 20)
    assert numbers(frames) == list(range(first, first + 10))
    assert times(frames) == [round(i / 20, 4) for i in range(10)]  # from the utterance's start


def test_clips_of_one_file_share_one_pass(tmp_path, monkeypatch):
    path = write_video(tmp_path / "a.mp4", numbered(60), rate=20)
    clips = [Clip(path, 0, 1, "left"), Clip(path, 0.5, 2), Clip(path, 2.5, None, "right")]
    apart = [list(read_frames([clip], 10.0)) for clip in clips]
    opened = []
    monkeypatch.setattr(video.av, "open", lambda *a, _open=av.open, **k: opened.append(a) or _open(*a, **k))
    together = list(read_frames(clips, 10.0))
    assert len(opened) == 1
    for index, alone in enumerate(apart):
        shared = [frame for frame in together if frame[0] == index]
        assert times(shared) == times(alone) and numbers(shared) == numbers(alone)


def test_half_of_the_frame(tmp_path):
    image = np.full((48, 64), 50, np.uint8)
    image[:, 32:] = 200
    path = write_video(tmp_path / "a.mp4", [image] * 3)
    medians = {
        crop: np.median(next(read_frames([Clip(path, crop=crop)], 10.0))[2]) for crop in ("left", "right")
    }
    assert medians["left"] == pytest.approx(50, abs=2)
    assert medians["right"] == pytest.approx(200, abs=2)


def test_an_end_beyond_the_file_gives_what_there_is(tmp_path):
    path = write_video(tmp_path / "a.mp4", numbered(10), rate=10)
    assert numbers(read_frames([Clip(path, 0.5, 99)], 10.0)) == [5, 6, 7, 8, 9]


def test_a_truncated_file_gives_the_frames_it_still_holds(tmp_path):
    path = tmp_path / "a.avi"
    noise = np.random.default_rng(0).integers(0, 255, (50, 48, 64), np.uint8)
    write_video(path, list(noise), codec="mpeg4")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert 10 < len(list(read_frames([Clip(str(path))], 25.0))) < 40


def test_damage_in_the_middle_costs_only_some_frames(tmp_path):
    path = tmp_path / "a.avi"
    noise = np.random.default_rng(0).integers(0, 255, (50, 48, 64), np.uint8)
    write_video(path, list(noise), codec="mpeg4")
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 2000] = bytes(2000)
    path.write_bytes(content)
    assert 30 < len(list(read_frames([Clip(str(path))], 25.0))) <= 50


def nothing(path):
    pass


def empty(path):
    path.write_bytes(b"")


def text(path):
    path.write_text("not a video " * 99)


def index_lost(path):
    write_video(path, numbered(20))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 4])  # an MP4 keeps its index at the end


def index_damaged(path):
    write_video(path, numbered(20))
    path.write_bytes(path.read_bytes()[:-400])


def sound_only(path):
    write_compressed(path, tone(440, 1, 44_100), 44_100, "aac")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (nothing, "does not exist"),
        (empty, r"is empty \(0 bytes\)"),
        (text, "cannot be read as video"),
        (index_lost, "cannot be read as video"),
        (index_damaged, "holds no frame that can be decoded"),
        (sound_only, "holds no video track"),
    ],
)
def test_an_unusable_video_is_one_sentence_that_names_the_file(tmp_path, make, words):
    path = tmp_path / "a.mp4"
    make(path)
    with pytest.raises(Unreadable, match=words) as caught:
        list(read_frames([Clip(str(path))], 10.0))
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_video_that_a_phone_stored_on_its_side_is_turned_upright(tmp_path):
    path = tmp_path / "a.mp4"
    image = np.full((48, 64), 50, np.uint8)
    image[:, :32] = 200
    write_video(path, [image] * 3)
    content = bytearray(path.read_bytes())
    matrix = content.index(b"tkhd") + 44
    turn = [0, 1 << 16, 0, -(1 << 16), 0, 0, 48 << 16, 0, 1 << 30]  # a quarter turn clockwise
    content[matrix : matrix + 36] = struct.pack(">9i", *turn)
    path.write_bytes(content)
    _, _, upright = next(read_frames([Clip(str(path))], 10.0))
    assert upright.shape == (64, 48)
    assert np.median(upright[:32]) > 190 and np.median(upright[32:]) < 60  # left has become top
