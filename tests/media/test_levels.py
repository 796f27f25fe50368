"""How a clip was recorded."""

import numpy as np
import pytest
import soundfile
from recordings import tone

from cmarr.media.audio import Levels, clipped_share, levels
from cmarr.media.clips import Clip


def test_a_flat_top_counts_and_a_round_one_does_not():
    sine = np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000)
    assert clipped_share(sine) == 0.0
    # |sin| > 1/2 in two thirds of a period, of which one sample at most each side of a top is not flat yet
    assert clipped_share(np.clip(2 * sine, -1, 1)) == pytest.approx(2 / 3, abs=0.03)


def test_three_equal_samples_at_the_top_are_the_least():
    quiet = np.linspace(-0.2, 0.2, 100)
    assert clipped_share(np.concatenate([quiet, [0.9, 0.9, 0.9]])) == pytest.approx(3 / 103)
    assert clipped_share(np.concatenate([quiet, [0.9, 0.9]])) == 0.0


def test_silence_and_whispers_are_not_clipped():
    assert (
        clipped_share(np.zeros(100)) == clipped_share(np.full(100, 0.05)) == clipped_share(np.zeros(0)) == 0.0
    )


def test_the_length_is_what_can_be_decoded(tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, tone(440, 1.0, 8_000), 8_000)
    assert levels(Clip(str(path))) == Levels(1.0, 0.0)
    path.write_bytes(path.read_bytes()[:8_044])
    assert levels(Clip(str(path))).seconds == pytest.approx(0.5)
