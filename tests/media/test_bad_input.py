"""What recordings are like when they are not as they should be: each is read, or refused in one sentence."""

import time

import av
import numpy as np
import pytest
import soundfile
from damaged_media import KINDS, mutated, seeds
from recordings import face, tone, write_video

from cmarr.errors import Unreadable
from cmarr.media import faces as faces_of_clips
from cmarr.media.audio import Samples, read_audio
from cmarr.media.clips import RATE, Clip, Failure, by_file
from cmarr.media.faces import FaceReader, Faces
from cmarr.media.worker_pool import decode


def film(path, seconds_of_video, seconds_of_sound, codec="mpeg4"):
    """A video with sound, of which one may outlast the other."""
    with av.open(str(path), "w") as container:
        picture = container.add_stream(codec, rate=10)
        picture.width, picture.height, picture.pix_fmt = 160, 120, "yuv420p"
        sound = container.add_stream("pcm_s16le", rate=RATE, layout="mono")
        for _ in range(round(10 * seconds_of_video)):
            container.mux(picture.encode(av.VideoFrame.from_ndarray(face(), format="gray")))
        container.mux(picture.encode(None))
        samples = (20_000 * tone(440, seconds_of_sound)).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
        frame.sample_rate = RATE
        container.mux(sound.encode(frame))
        container.mux(sound.encode(None))
    return str(path)


def test_sound_that_outlasts_the_video(tmp_path):
    path = film(tmp_path / "a.avi", 1, 3)
    assert len(read_audio(Clip(path))) == 3 * RATE
    early, beyond, late = FaceReader()([Clip(path, 0, 1), Clip(path, 0.5, 2.5), Clip(path, 2, 3)])
    assert len(early.patches) == 10 and len(beyond.patches) == 5
    assert late.reason == f"{path} holds no frame between 2 s and 3 s; check `start` and `end`"


def test_video_that_outlasts_the_sound(tmp_path):
    path = film(tmp_path / "a.avi", 3, 1)
    assert len(read_audio(Clip(path))) == RATE
    with pytest.raises(Unreadable, match="holds no sound between 2 s and 3 s"):
        read_audio(Clip(path, 2, 3))
    (faces,) = FaceReader()([Clip(path, 2, 3)])
    assert len(faces.patches) == 10


def test_a_truncated_avi_gives_what_it_still_holds(tmp_path):
    path = tmp_path / "a.avi"
    write_video(path, [face(480, 360, 150 + 6 * i, 180, 120) for i in range(30)], rate=10, codec="mpeg4")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    (faces,) = FaceReader()([Clip(str(path))])
    assert 5 < len(faces.patches) < 30
    first, last = FaceReader()([Clip(str(path), 0, 0.5), Clip(str(path), 2.5, 3)])
    assert isinstance(first, Faces) and isinstance(last, Failure)


def test_a_face_in_one_frame_only(tmp_path):
    images = [np.full((120, 160), 110, np.uint8)] * 20
    images[12] = face()
    (faces,) = FaceReader(rate=25.0)([Clip(write_video(tmp_path / "a.mp4", images))])
    assert faces.patches.shape == (1, 64, 64)
    assert faces.times == pytest.approx([12 / 25])


def test_two_faces_and_the_larger_one_is_followed(tmp_path, monkeypatch):
    cut_out, plain = [], faces_of_clips.cut
    monkeypatch.setattr(faces_of_clips, "cut", lambda *a: (cut_out.append(a[1]), plain(*a))[1])
    images = [np.concatenate([face(160, 240, 80, 120, 34), face(240, 240, 120, 120, 70)], axis=1)] * 10
    (faces,) = FaceReader()([Clip(write_video(tmp_path / "a.mp4", images))])
    assert len(faces.patches) == len(cut_out) == 4
    for left, top, width, height in cut_out:  # the small one's middle is at (80, 120)
        assert abs(left + width / 2 - (160 + 120)) < 35 and abs(top + height / 2 - 120) < 35
        assert width > 70


def test_a_quarter_of_an_hour_of_sound_is_read_whole(tmp_path):
    path = tmp_path / "a.flac"
    soundfile.write(path, np.tile(tone(440, 1), 900).astype(np.float32), RATE)
    assert len(read_audio(Clip(str(path)))) == 900 * RATE


def frames_decoded(monkeypatch, clips):
    from cmarr.media import video

    counted, timed_frames = [], video.timed_frames
    monkeypatch.setattr(video, "timed_frames", lambda *a: (counted.append(1) or f for f in timed_frames(*a)))
    FaceReader(detector=lambda *_: [])(clips)
    return len(counted)


def test_a_dialogue_of_40_utterances_is_decoded_once(tmp_path, monkeypatch):
    """180 s; the speakers take turns and interrupt each other, and a reader sorts them by speaker."""
    path = tmp_path / "dialogue.avi"
    rng = np.random.default_rng(0)
    write_video(path, list(rng.integers(0, 255, (25 * 180, 32, 48), np.uint8)), codec="mpeg4")
    turns = [(4.5 * i - (0.8 if i % 4 == 3 else 0), 4.5 * i + 4.3) for i in range(40)]
    clips = [
        Clip(str(path), a, b, side) for side in ("left", "right") for a, b in turns[side == "right" :: 2]
    ]
    (group,) = by_file(clips)
    assert len(group) == 40
    assert 25 * 175 < frames_decoded(monkeypatch, group) <= 1.05 * 25 * 180


def read_all(factory, paths, **settings):
    started = time.monotonic()
    answers = list(decode(factory, ([Clip(str(path))] for path in paths), workers=1, **settings))
    assert len(answers) == len(paths)
    return answers, time.monotonic() - started


@pytest.mark.parametrize("kind", KINDS)
def test_no_mutated_file_takes_the_run_down(tmp_path, kind):
    """Twenty of each kind here; `benchmarks/fuzz.py` does a thousand."""
    modality, paths = KINDS[kind][0], mutated(kind, seeds(kind, tmp_path), tmp_path, 20)
    factory = {"audio": Samples, "video": FaceReader}[modality]
    answers, _ = read_all(factory, paths, seconds=20.0)
    for answer, path in zip(answers, paths, strict=True):
        if isinstance(answer, Failure):
            assert str(path) in answer.reason and "\n" not in answer.reason
            assert "Error:" not in answer.reason, "a defect of the reader, not a sentence about the file"
