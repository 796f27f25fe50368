"""Log-mel rows against facts that can be worked out by hand."""

import numpy as np
import pytest
import soundfile
from recordings import tone

from cmarr.media.clips import Clip, Failure
from cmarr.media.spectrum import LogMelRows, spoken


def band_of(hertz, bands=80):
    """Bands are evenly spaced in mel = 2595 log10(1 + f / 700), from 20 Hz to 8 kHz."""

    def mel(f):
        return 2595 * np.log10(1 + f / 700)

    return (mel(hertz) - mel(20)) / (mel(8000) - mel(20)) * (bands + 1) - 1


@pytest.mark.parametrize("hertz", [200, 440, 1000, 3000, 6000])
def test_a_pure_tone_peaks_in_its_band(hertz):
    rows, _ = LogMelRows(bands=80, pool=1).rows(tone(hertz, 1).astype(np.float32))
    assert abs(rows[:, :80].mean(axis=0).argmax() - band_of(hertz)) <= 1


@pytest.mark.parametrize(
    ("n_samples", "pool", "n_rows"),
    [
        (400, 1, 1),
        (559, 1, 1),
        (560, 1, 2),
        (16_000, 1, 98),
        (16_000, 5, 20),
        (16_000, 98, 1),
        (16_000, 99, 1),
    ],
)
def test_how_many_rows(n_samples, pool, n_rows):
    """floor((N - 400) / 160) + 1 frames; the last row holds what is left, nothing is cut off."""
    rows, times = LogMelRows(bands=80, pool=pool).rows(np.ones(n_samples, np.float32))
    assert rows.shape == (n_rows, 160) and rows.dtype == np.float32
    assert times.shape == (n_rows,)


def test_times_are_the_middles_of_what_was_averaged():
    _, times = LogMelRows(bands=80, pool=4).rows(np.ones(400 + 160 * 5, np.float32))  # 6 frames
    middles = np.arange(6) * 0.01 + 0.0125
    np.testing.assert_allclose(times, [middles[:4].mean(), middles[4:].mean()], atol=1e-6)


def test_pooling_is_the_mean_of_the_frames():
    samples = np.random.default_rng(0).standard_normal(16_000).astype(np.float32)
    fine, _ = LogMelRows(bands=40, pool=1).rows(samples)
    coarse, _ = LogMelRows(bands=40, pool=5).rows(samples)
    np.testing.assert_allclose(coarse[3], fine[15:20].mean(axis=0), atol=1e-5)
    np.testing.assert_allclose(coarse[-1], fine[95:].mean(axis=0), atol=1e-5)


def test_the_second_half_is_the_slope():
    """A tone that grows by a constant factor per frame: the log power grows by 2 log(factor) a frame."""
    growing = tone(1000, 1) * np.exp(np.arange(16_000) / 160 * 0.05)
    rows, _ = LogMelRows(bands=80, pool=1).rows(growing.astype(np.float32))
    band = round(band_of(1000))
    np.testing.assert_allclose(rows[10:-10, 80 + band], 0.1, atol=1e-3)


def test_twice_the_amplitude_is_log_four_more():
    reader = LogMelRows(bands=80, pool=5)
    quiet = 0.1 * np.random.default_rng(0).standard_normal(8000).astype(np.float32)
    difference = reader.rows(2 * quiet)[0] - reader.rows(quiet)[0]
    np.testing.assert_allclose(difference[:, :80], np.log(4), atol=1e-3)
    np.testing.assert_allclose(difference[:, 80:], 0, atol=1e-3)


def test_less_than_one_frame_is_said_in_a_sentence(tmp_path):
    path = str(tmp_path / "a.wav")
    soundfile.write(path, tone(440, 0.02), 16_000)
    (answer,) = LogMelRows(bands=80, pool=5)([Clip(path)])
    assert isinstance(answer, Failure)
    assert "lasts 20 ms, shorter than one frame of 25 ms" in answer.reason


def test_silence_at_the_ends_has_no_row_and_within_it_has():
    silence, sound = 1e-3 * noise(0.5), noise(0.5)
    clip = np.concatenate([silence, sound, silence, sound, silence, silence]).astype(np.float32)
    rows, times = LogMelRows(bands=40, pool=1, trim=25.0).rows(clip)
    assert times[0] == pytest.approx(0.5, abs=0.02)  # of the whole clip, still
    assert times[-1] == pytest.approx(2.0, abs=0.02)
    assert len(rows) == pytest.approx(150, abs=3)
    every, _ = LogMelRows(bands=40, pool=1).rows(clip)
    assert len(every) == 298
    whole, _ = LogMelRows(bands=40, pool=1, trim=80.0).rows(clip)
    assert np.array_equal(whole, every)


def test_what_is_spoken_is_a_span_of_samples():
    clip = np.concatenate([1e-3 * noise(0.5), noise(0.5), 1e-3 * noise(0.25)]).astype(np.float32)
    span = spoken(clip, 25.0)
    assert (span.start, span.stop) == (pytest.approx(8000, abs=400), pytest.approx(16000, abs=400))
    assert spoken(clip, 0.0) == slice(0, 20000)
    assert spoken(clip[:300], 25.0) == slice(0, 300)


def noise(seconds: float) -> np.ndarray:
    return np.random.default_rng(0).normal(size=int(seconds * 16000)) * 0.1
