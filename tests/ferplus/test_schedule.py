"""The learning rate and the size of the faces, at the steps and epochs where they can be told."""

import pytest

from cmarr.ferplus.schedule import cycle, rate, side


def test_it_rises_evenly_at_first():
    assert [rate("step", step, 100, warmup=4) for step in range(5)] == [0.25, 0.5, 0.75, 1.0, 1.0]


def test_cosine_falls_from_one_through_a_half_to_nothing():
    assert rate("cosine", 0, 100, warmup=0) == 1.0
    assert rate("cosine", 50, 100, warmup=0) == pytest.approx(0.5)
    assert rate("cosine", 99, 100, warmup=0) == pytest.approx(0.000247, rel=1e-2)


def test_steps_fall_at_a_half_and_at_three_quarters():
    values = [rate("step", step, 100, warmup=0) for step in (49, 50, 74, 75, 99)]
    assert values == pytest.approx([1, 0.1, 0.1, 0.01, 0.01])


def test_cycles_meet_at_the_restarts():
    assert [cycle(epoch, 10, []) for epoch in (0, 9)] == [(0, 10), (0, 10)]
    assert [cycle(epoch, 10, [3, 6]) for epoch in (0, 2, 3, 5, 6, 9)] == [
        (0, 3), (0, 3), (3, 6), (3, 6), (6, 10), (6, 10),
    ]  # fmt: skip


def test_sides_take_their_shares_of_a_cycle():
    course = [side(epoch, 0, 12, [32, 48, 64], [0.6, 0.25, 0.15]) for epoch in range(12)]
    assert course == [32] * 7 + [48] * 3 + [64] * 2
    assert [side(epoch, 12, 16, [32, 64], [0.5, 0.5]) for epoch in range(12, 16)] == [32, 32, 64, 64]


def test_every_cycle_ends_with_the_last_side():
    assert [side(epoch, 0, 2, [32, 48, 64], [0.6, 0.4, 0.0]) for epoch in range(2)] == [32, 64]
    assert side(0, 0, 1, [32, 64], [1.0, 0.0]) == 64
