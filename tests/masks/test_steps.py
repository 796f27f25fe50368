"""Which frames and tokens a protocol drops."""

import numpy as np
import pytest

from cmarr.masks.draw import keep_alone, keep_in_bursts

LENGTHS = np.full(400, 50)
UNIFORM = np.random.default_rng(0).random(400 * 50)


def runs(kept: np.ndarray) -> np.ndarray:
    """Lengths of the runs of dropped steps inside the sequences."""
    edges = np.diff(np.pad(~kept.reshape(400, 50), ((0, 0), (1, 1))).astype(int), axis=1)
    return np.nonzero(edges == -1)[1] - np.nonzero(edges == 1)[1]


@pytest.mark.parametrize("rate", [0.0, 0.3, 0.9])
def test_the_rate_is_what_is_dropped(rate):
    assert (~keep_alone(UNIFORM, rate)).mean() == pytest.approx(rate, abs=0.01)
    assert (~keep_in_bursts(UNIFORM, LENGTHS, rate, 0.2)).mean() == pytest.approx(rate, abs=0.03)


def test_bursts_are_as_long_as_they_are_meant_to_be():
    # A run ends with probability 1/5 a step, and at the end of its sequence.
    assert runs(keep_in_bursts(UNIFORM, LENGTHS, 0.2, 0.1)).mean() == pytest.approx(5, abs=0.5)
    assert runs(keep_alone(UNIFORM, 0.2)).mean() == pytest.approx(1 / 0.8, abs=0.05)


def test_where_runs_do_not_fit_they_become_longer():
    assert (~keep_in_bursts(UNIFORM, LENGTHS, 0.9, 0.02)).mean() == pytest.approx(0.9, abs=0.02)


def test_a_higher_rate_drops_more_of_the_same():
    assert (keep_alone(UNIFORM, 0.5) <= keep_alone(UNIFORM, 0.2)).all()


def test_sequences_do_not_touch():
    lengths = np.array([0, 3, 1, 0, 4])
    uniform = np.array([0.0, 0.0, 0.0, 0.99, 0.99, 0.99, 0.99, 0.99])
    kept = keep_in_bursts(uniform, lengths, 0.5, 1.0)
    np.testing.assert_array_equal(kept, [False] * 3 + [True] * 5)
