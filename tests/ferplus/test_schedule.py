"""The learning rate at the steps where it can be told."""

import pytest

from cmarr.ferplus.schedule import rate


def test_it_rises_evenly_at_first():
    assert [rate("step", step, 100, warmup=4) for step in range(5)] == [0.25, 0.5, 0.75, 1.0, 1.0]


def test_cosine_falls_from_one_through_a_half_to_nothing():
    assert rate("cosine", 0, 100, warmup=0) == 1.0
    assert rate("cosine", 50, 100, warmup=0) == pytest.approx(0.5)
    assert rate("cosine", 99, 100, warmup=0) == pytest.approx(0.000247, rel=1e-2)


def test_steps_fall_at_a_half_and_at_three_quarters():
    values = [rate("step", step, 100, warmup=0) for step in (49, 50, 74, 75, 99)]
    assert values == pytest.approx([1, 0.1, 0.1, 0.01, 0.01])
