"""Recordings as devices and programs leave them: what is there is read, and nothing else."""

import struct
from fractions import Fraction

import av
import numpy as np
import pytest
import soundfile
from av.stream import Disposition
from recordings import face, loudest, tone

from cmarr.corpora.headers import read_headers
from cmarr.errors import Unreadable
from cmarr.media.audio import levels, read_audio
from cmarr.media.clips import Clip
from cmarr.media.containers import open_media
from cmarr.media.video import timed_frames

RATE = 16_000


def write_film(path, sounds, delay=0.0, cover=False):
    """An MP4 with sound tracks (N,) at 16 kHz, the first one late by `delay` seconds, and 2 s of video or a cover."""
    with av.open(str(path), "w", format="mp4") as container:
        picture = container.add_stream("mjpeg" if cover else "libx264", rate=25)
        picture.width, picture.height, picture.pix_fmt = 160, 120, "yuvj420p" if cover else "yuv420p"
        if cover:
            picture.disposition = Disposition.attached_pic
        tracks = [container.add_stream("aac", rate=RATE, layout="mono") for _ in sounds]
        for number in range(1 if cover else 50):
            frame = av.VideoFrame.from_ndarray(face(), format="gray")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(picture.encode(frame))
        container.mux(picture.encode(None))
        for track, samples in zip(tracks, sounds, strict=True):
            for first in range(0, len(samples), 1024):
                block = samples[None, first : first + 1024].astype(np.float32)
                frame = av.AudioFrame.from_ndarray(block, format="fltp", layout="mono")
                frame.sample_rate, frame.time_base = RATE, Fraction(1, RATE)
                frame.pts = first + round(delay * RATE)
                container.mux(track.encode(frame))
            container.mux(track.encode(None))
    return str(path)


def header_of(path):
    return read_headers([str(path)])[str(path)]


def test_a_length_that_was_never_written_costs_nothing(tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, tone(440, 1.0), RATE)
    whole = read_audio(Clip(str(path)))
    content = bytearray(path.read_bytes())
    place = content.index(b"data") + 4
    content[place : place + 4] = struct.pack("<I", 0)
    path.write_bytes(content)
    assert header_of(path).seconds == pytest.approx(1.0)
    assert np.array_equal(read_audio(Clip(str(path))), whole)


def test_channels_that_cancel_out_are_no_silence(tmp_path):
    path, sound = str(tmp_path / "a.wav"), tone(440, 1.0)
    soundfile.write(path, np.stack([sound, -sound], axis=1), RATE)
    assert read_audio(Clip(path)) == pytest.approx(sound, abs=1e-4)
    soundfile.write(path, np.stack([sound, np.zeros_like(sound)], axis=1), RATE)  # one speaker, one channel
    assert read_audio(Clip(path)) == pytest.approx(sound / 2, abs=1e-4)
    soundfile.write(path, np.zeros((RATE, 2)), RATE)
    with pytest.raises(Unreadable, match="is silent"):
        read_audio(Clip(path))


@pytest.mark.parametrize("bits", [16, 24])
def test_samples_on_the_scale_of_whole_numbers(tmp_path, bits):
    path, sound = str(tmp_path / "a.wav"), tone(440, 1.0)
    soundfile.write(path, sound * 2 ** (bits - 1), RATE, subtype="FLOAT")
    assert read_audio(Clip(path)) == pytest.approx(sound, abs=1e-4)
    assert levels(Clip(path)).peak == pytest.approx(2 ** (bits - 2), rel=1e-3)
    soundfile.write(path, 4 * sound, RATE, subtype="FLOAT")  # beyond full scale, and nothing else
    assert read_audio(Clip(path)) == pytest.approx(4 * sound, abs=1e-4)


def test_a_first_track_without_sound(tmp_path):
    path = write_film(tmp_path / "a.mp4", [np.zeros(2 * RATE), tone(440, 2.0)])
    assert loudest(read_audio(Clip(path))) == pytest.approx(440, abs=5)
    path = write_film(tmp_path / "b.mp4", [tone(330, 2.0), tone(440, 2.0)])
    assert loudest(read_audio(Clip(path))) == pytest.approx(330, abs=5)
    with pytest.raises(Unreadable, match="is silent"):
        read_audio(Clip(write_film(tmp_path / "c.mp4", [np.zeros(RATE), np.zeros(RATE)])))


def test_sound_that_starts_late_has_a_span_of_its_own(tmp_path):
    header = header_of(write_film(tmp_path / "a.mp4", [tone(440, 2.0)], delay=1.0))
    assert header.sound == pytest.approx((1.0, 3.0), abs=0.1) and header.seconds == pytest.approx(
        3.0, abs=0.1
    )


def test_a_cover_is_no_video(tmp_path):
    path = write_film(tmp_path / "a.mp4", [tone(440, 1.0)], cover=True)
    header = header_of(path)
    assert header.audio and not header.video
    with open_media(path) as container, pytest.raises(Unreadable, match="holds no video track"):
        next(timed_frames(container, path, None))
