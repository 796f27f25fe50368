"""Audio of any format and rate becomes mono 16 kHz samples, or one sentence about why not."""

import numpy as np
import pytest
import soundfile
from recordings import face, loudest, tone, write_compressed, write_video

from cmarr.errors import Unreadable
from cmarr.media.audio import read_audio
from cmarr.media.clips import RATE, Clip


def write(path, samples, rate=RATE, **options):
    soundfile.write(path, samples, rate, **options)
    return str(path)


def test_16_khz_mono_is_read_as_it_is(tmp_path):
    samples = tone(440, 0.5)
    read = read_audio(Clip(write(tmp_path / "a.wav", samples, subtype="FLOAT")))
    assert read.dtype == np.float32
    np.testing.assert_array_equal(read, samples.astype(np.float32))


@pytest.mark.parametrize("rate", [8_000, 11_025, 44_100, 44_101, 48_000])
def test_any_sampling_rate_becomes_16_khz(tmp_path, rate):
    read = read_audio(Clip(write(tmp_path / "a.wav", tone(440, 1.0, rate), rate)))
    assert len(read) == pytest.approx(RATE, abs=1)
    assert loudest(read) == pytest.approx(440, abs=1)
    assert np.abs(read[1000:-1000]).max() == pytest.approx(0.5, abs=0.01)


def test_stereo_becomes_the_mean_of_its_channels(tmp_path):
    left, right = tone(440, 0.5), 0.25 * tone(440, 0.5)
    path = write(tmp_path / "a.flac", np.stack([left, right], axis=1))
    np.testing.assert_allclose(read_audio(Clip(path)), 0.625 * left, atol=1e-4)


def test_start_and_end_are_kept_to_the_sample(tmp_path):
    ramp = np.linspace(-0.9, 0.9, 3 * RATE)
    path = write(tmp_path / "a.wav", ramp, subtype="FLOAT")
    read = read_audio(Clip(path, start=0.5, end=1.25))
    np.testing.assert_array_equal(read, ramp[8_000:20_000].astype(np.float32))
    assert len(read_audio(Clip(path, start=2.0))) == RATE


@pytest.mark.parametrize("codec", ["aac", "libmp3lame"])
def test_compressed_sound_is_cut_at_the_right_times(tmp_path, codec):
    samples = np.concatenate([tone(300, 2, 44_100), tone(1000, 2, 44_100)])
    path = write_compressed(tmp_path / "a.m4a", samples, 44_100, codec)
    whole = read_audio(Clip(path))
    assert len(whole) / RATE == pytest.approx(4, abs=0.1)
    for start, end, hertz in [(0.2, 1.9, 300), (2.1, 2.6, 1000), (3.2, 3.8, 1000)]:
        read = read_audio(Clip(path, start=start, end=end))
        assert len(read) == pytest.approx((end - start) * RATE, abs=2)
        assert loudest(read) == pytest.approx(hertz, abs=4)


def test_the_content_decides_and_not_the_extension(tmp_path):
    path = write_compressed(tmp_path / "really_mp3.wav", tone(440, 1, 44_100), 44_100, "libmp3lame")
    assert loudest(read_audio(Clip(path))) == pytest.approx(440, abs=2)


def test_a_truncated_file_gives_what_it_still_holds(tmp_path):
    path = tmp_path / "a.flac"
    write(path, 0.1 * np.random.default_rng(0).standard_normal(2 * RATE))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert 0.5 < len(read_audio(Clip(str(path)))) / RATE < 1.5


def nothing(path):
    pass


def empty(path):
    path.write_bytes(b"")


def folder(path):
    path.mkdir()


def text(path):
    path.write_text("an .mp3 that is a web page saying the file was not found" * 9)


def without_samples(path):
    write(path, np.zeros(0), format="WAV")


def silence(path):
    write(path, np.zeros(RATE), format="WAV")


def constant(path):
    write(path, np.full(RATE, 0.3), format="WAV")


def not_a_number(path):
    samples = tone(440, 0.2)
    samples[7] = np.nan
    write(path, samples, format="WAV", subtype="FLOAT")


def infinite(path):
    write(path, np.where(np.arange(999) == 7, np.inf, 0.1), format="WAV", subtype="FLOAT")


def picture_only(path):
    write_video(path.with_suffix(".mp4"), [face()] * 3).replace(".mp4", "")
    path.with_suffix(".mp4").rename(path)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (nothing, "does not exist"),
        (empty, r"is empty \(0 bytes\)"),
        (folder, "is a folder, not a media file"),
        (text, "cannot be read as audio"),
        (without_samples, "holds no sound"),
        (silence, "is silent"),
        (constant, "is silent"),
        (not_a_number, "holds NaN or infinite samples"),
        (infinite, "holds NaN or infinite samples"),
        (picture_only, "holds no audio track"),
    ],
)
def test_unusable_sound_is_one_sentence_that_names_the_file(tmp_path, make, words):
    path = tmp_path / "a.wav"
    make(path)
    with pytest.raises(Unreadable, match=words) as caught:
        read_audio(Clip(str(path)))
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("start", "end", "words"), [(5, 6, "no sound between 5 s and 6 s"), (2, 1, "ends at 1 s")]
)
def test_a_span_outside_the_file(tmp_path, start, end, words):
    path = write(tmp_path / "a.wav", tone(440, 1))
    with pytest.raises(Unreadable, match=words):
        read_audio(Clip(path, start=start, end=end))
