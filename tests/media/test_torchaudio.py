"""What cmarr computes itself is what torchaudio computes, where that is installed; and what the formulas say."""

from fractions import Fraction

import numpy as np
import pytest

from cmarr.damage.corruptions import with_noise, word_error_rate
from cmarr.media.audio import resample
from cmarr.media.spectrum import mel_bank, slope

RATES = [8_000, 11_025, 22_050, 32_000, 44_100, 48_000, 96_000]


def noise(count, seed=0):
    return np.random.default_rng(seed).standard_normal(count).astype(np.float32)


@pytest.mark.parametrize("rate", RATES)
def test_a_sample_is_the_sum_of_its_neighbours_by_a_windowed_sinc(rate):
    samples, passed = noise(rate // 20), 0.99 * min(rate, 16_000)
    times = np.arange(len(samples)) / rate
    found = resample(samples, rate)
    assert found.dtype == np.float32 and len(found) == -(-len(samples) * 16_000 // rate)
    for place in (0, 1, 17, len(found) // 2, len(found) - 1):
        away = (times - place / 16_000) * passed
        window = np.where(np.abs(away) < 6, np.cos(np.pi * away / 12) ** 2, 0)
        assert found[place] == pytest.approx(
            (samples * np.sinc(away) * window).sum() * passed / rate, abs=2e-6
        )


def test_little_sound_and_sound_of_the_right_rate():
    assert resample(noise(1), 44_100).shape == (1,) and resample(noise(0), 48_000).shape == (0,)
    assert np.array_equal(resample(noise(50), 16_000), noise(50))
    assert np.array_equal(resample(noise(50), 15_999), noise(50)), "1 ms in a minute is no reason to filter"


@pytest.fixture(scope="module")
def torchaudio():
    return pytest.importorskip("torchaudio.functional", reason="needs torchaudio (the extra `dev`)")


@pytest.mark.parametrize("rate", [*RATES, 12_345, 400_000])
def test_resampling_is_torchaudios(torchaudio, rate):
    """As far as that goes: it rounds the phases of its filters to 24 bits, which costs some -80 dB."""
    import torch

    samples = noise(rate // 5)
    ratio = Fraction(rate, 16_000).limit_denominator(1000)
    theirs = torchaudio.resample(torch.from_numpy(samples), ratio.numerator, ratio.denominator).numpy()
    np.testing.assert_allclose(resample(samples, rate), theirs, atol=2e-4)


@pytest.mark.parametrize("bands", [1, 40, 80, 100])
def test_the_bands_are_torchaudios(torchaudio, bands):
    theirs = torchaudio.melscale_fbanks(257, 20.0, 8_000.0, bands, 16_000).numpy()
    np.testing.assert_allclose(mel_bank(bands), theirs, atol=2e-5)


@pytest.mark.parametrize("rows", [1, 2, 3, 50])
def test_slopes_are_torchaudios(torchaudio, rows):
    import torch

    values = noise(rows * 4).reshape(rows, 4)
    theirs = torchaudio.compute_deltas(torch.from_numpy(values.T.copy())).numpy().T
    np.testing.assert_allclose(slope(values), theirs, atol=1e-6)


@pytest.mark.parametrize("snr", [-5.0, 0.0, 20.0, float("inf")])
def test_added_noise_is_torchaudios(torchaudio, snr):
    import torch

    both = 0.1 * noise(8_000), noise(8_000, seed=1)
    theirs = torchaudio.add_noise(*map(torch.from_numpy, both), torch.tensor(snr)).numpy()
    np.testing.assert_allclose(with_noise(*both, snr), theirs, atol=1e-6)
    assert np.array_equal(with_noise(both[0], np.zeros(8_000, np.float32), snr), both[0])


def test_word_errors_are_torchaudios(torchaudio):
    draw = np.random.default_rng(0)
    for _ in range(50):
        said, heard = (list(draw.choice(list("abc"), draw.integers(0, 8))) for _ in range(2))
        rate = word_error_rate([" ".join(said)], [" ".join(heard)])
        assert rate * len(said) == pytest.approx(torchaudio.edit_distance(said, heard) if said else 0)
