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
from cmarr.media import containers
from cmarr.media.audio import levels, read_audio
from cmarr.media.clips import Clip
from cmarr.media.containers import open_media
from cmarr.media.video import read_frames, timed_frames

RATE = 16_000


def write_film(path, sounds, delay=0.0, cover=False, format="mp4", attached=True, still="mjpeg"):
    """A film with sound tracks (N,) at 16 kHz, the first one late by `delay` seconds, and 2 s of video or a cover."""
    with av.open(str(path), "w", format=format) as container:
        picture = container.add_stream(still if cover else "libx264", rate=25)
        picture.width, picture.height = 160, 120
        picture.pix_fmt = "yuvj420p" if cover and still == "mjpeg" else "yuv420p"
        if cover and attached:
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


def write_live(path, seconds=3.0, late=0.0, video=True):
    """A WebM as a browser's MediaRecorder writes it: no length anywhere; sound that begins `late` seconds later."""
    with av.open(str(path), "w", format="webm", options={"live": "1"}) as container:
        picture = container.add_stream("libvpx", rate=25) if video else None
        sound, packets = container.add_stream("libopus", rate=48_000, layout="mono"), []
        if picture:
            picture.width, picture.height, picture.pix_fmt = 160, 120, "yuv420p"
            for number in range(round(25 * seconds)):
                frame = av.VideoFrame.from_ndarray(face(), format="gray")
                frame.pts, frame.time_base = number, Fraction(1, 25)
                packets += picture.encode(frame)
            packets += picture.encode(None)
        samples = tone(440, seconds, 48_000).astype(np.float32)
        for first in range(0, len(samples), 960):
            frame = av.AudioFrame.from_ndarray(
                samples[None, first : first + 960], format="fltp", layout="mono"
            )
            frame.sample_rate, frame.time_base, frame.pts = (
                48_000,
                Fraction(1, 48_000),
                first + round(48_000 * late),
            )
            packets += sound.encode(frame)
        packets += sound.encode(None)
        for packet in sorted(packets, key=lambda p: p.pts * p.time_base):
            container.mux(packet)
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


@pytest.mark.parametrize(
    ("format", "attached", "still"),
    [
        ("mp4", True, "mjpeg"),
        ("mp4", False, "mjpeg"),
        ("matroska", True, "mjpeg"),
        ("matroska", False, "mjpeg"),
        ("asf", False, "mjpeg"),
        ("flv", False, "flv"),
        ("mpegts", False, "mpeg2video"),
        ("avi", False, "mjpeg"),
    ],
)
def test_a_cover_is_no_video(tmp_path, format, attached, still):
    place = tmp_path / "a"
    path = write_film(place, [tone(440, 1.0)], cover=True, format=format, attached=attached, still=still)
    header = header_of(path)
    assert header.audio and not header.video
    with open_media(path) as container, pytest.raises(Unreadable, match="holds no video track"):
        next(timed_frames(container, path, None))


def test_a_film_behind_its_cover_is_what_is_read(tmp_path):
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        cover = container.add_stream("mjpeg", rate=25)
        film = container.add_stream("libx264", rate=25)
        sound = container.add_stream("aac", rate=RATE, layout="mono")
        cover.width, cover.height, cover.pix_fmt = 64, 48, "yuvj420p"
        film.width, film.height, film.pix_fmt = 160, 120, "yuv420p"
        for track, count in ((cover, 1), (film, 25)):
            for number in range(count):
                image = face(track.width, track.height, track.width // 2, track.height // 2, 20)
                frame = av.VideoFrame.from_ndarray(image, format="gray")
                frame.pts, frame.time_base = number, Fraction(1, 25)
                container.mux(track.encode(frame))
            container.mux(track.encode(None))
        samples = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        samples.sample_rate = RATE
        container.mux(sound.encode(samples))
        container.mux(sound.encode(None))
    assert header_of(path).frames == 25 and header_of(path).pixels == 160 * 120
    assert {gray.shape for *_, gray in read_frames([Clip(str(path))], 5)} == {(120, 160)}


def test_a_single_frame_without_sound_is_what_there_is(tmp_path):
    path = write_film(tmp_path / "a.mp4", [], cover=True, attached=False)
    assert header_of(path).video and len(list(read_frames([Clip(path)], 5))) == 1


@pytest.mark.parametrize("format", ["asf", "flv", "mpegts"])
def test_a_film_whose_header_counts_no_frames_is_a_film(tmp_path, format):
    path = tmp_path / "a"
    sound, film = write_film(path, [tone(440, 2.0)], format=format), header_of(str(path))
    assert film.video and len(list(read_frames([Clip(sound)], 5))) >= 10


def test_a_browser_writes_no_length_and_it_is_measured(tmp_path):
    header = header_of(write_live(tmp_path / "a.webm"))
    assert header.seconds == pytest.approx(3.0, abs=0.05) and header.frames == 75
    assert header.sound == pytest.approx((0, 3), abs=0.05) and header.picture == pytest.approx(
        (0, 3), abs=0.05
    )
    assert header_of(write_live(tmp_path / "b.webm", video=False)).seconds == pytest.approx(3.0, abs=0.05)
    late = header_of(write_live(tmp_path / "c.webm", late=1.0))
    assert late.sound == pytest.approx((1, 4), abs=0.05) and late.picture == pytest.approx((0, 3), abs=0.05)
    assert late.used("s", 0.0, 2.0) == pytest.approx(1.0, abs=0.05) and late.used("v", 3.5, None) == 0


def test_a_raw_stream_is_measured_and_not_guessed(tmp_path):
    with av.open(str(tmp_path / "a.aac"), "w", format="adts") as container:
        track = container.add_stream("aac", rate=RATE, layout="mono")
        # quiet for long: whoever guesses the length from the first packets is wrong
        samples = np.concatenate([np.zeros(10 * RATE), np.random.default_rng(0).uniform(-1, 1, 2 * RATE)])
        for first in range(0, len(samples), 1024):
            block = samples[None, first : first + 1024].astype(np.float32)
            frame = av.AudioFrame.from_ndarray(block, format="fltp", layout="mono")
            frame.sample_rate, frame.time_base, frame.pts = RATE, Fraction(1, RATE), first
            container.mux(track.encode(frame))
        container.mux(track.encode(None))
    assert header_of(tmp_path / "a.aac").seconds == pytest.approx(12.0, abs=0.2)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.mov", "a.ts", "a.flv", "a.avi"])
def test_late_sound_is_no_damaged_sound(tmp_path, name):
    formats = {"a.mkv": "matroska", "a.ts": "mpegts"}
    path = write_film(tmp_path / name, [tone(440, 2.0)], delay=1.0, format=formats.get(name, name[2:]))
    header, found = header_of(path), levels(Clip(path))
    assert found.seconds == pytest.approx(header.used("s", None, None, found.track), abs=0.15)


def test_a_large_file_is_measured_at_its_end(tmp_path, monkeypatch):
    monkeypatch.setattr(containers, "SCANNED", 0)
    monkeypatch.setattr(containers, "TAIL", 0.5)
    path = str(tmp_path / "a.mkv")
    write_film(path, [tone(440, 2.0)], delay=1.0, format="matroska")
    header = header_of(path)
    assert header.sound == pytest.approx((1, 3), abs=0.15) and header.seconds == pytest.approx(3, abs=0.15)


@pytest.mark.parametrize("aspect", [Fraction(4, 3), Fraction(8, 9), Fraction(1000, 1)])
def test_pixels_that_are_not_square(tmp_path, aspect):
    path = str(tmp_path / "a.mp4")
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        stream.codec_context.sample_aspect_ratio = aspect
        for number in range(5):
            frame = av.VideoFrame.from_ndarray(face(), format="gray")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    image = next(read_frames([Clip(path)], 10.0))[2]
    assert image.shape == (120, 160 if aspect > 4 else round(160 * aspect))
