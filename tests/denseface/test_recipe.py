"""The course of a training, at the steps and epochs where it can be told; and settings that do not go together."""

import re
from pathlib import Path

import pytest

from cmarr.errors import UserError
from denseface.recipe import PARAMS, cycle, load_settings, rate, side

ROOT = Path(__file__).parents[2]
SIDES = "  - 32\n  - 48\n  - 64\n"
SHARES = "  - 0.6\n  - 0.25\n  - 0.15\n"


def changed(tmp_path, old, new):
    text = (ROOT / PARAMS).read_text()
    assert text.count(old) == 1
    (tmp_path / "params.yaml").write_text(text.replace(old, new))
    return load_settings(tmp_path / "params.yaml")


def test_the_course_reaches_the_training_as_it_is_written(tmp_path):
    given = changed(tmp_path, SIDES, "  - 24\n  - 40\n  - 64\n").recipe
    assert given.sides == (24, 40, 64) and given.restarts == (12,)


def test_a_relative_root_begins_at_params_yaml(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = changed(tmp_path, "root: ../../shared", "root: ../../elsewhere")
    assert given.faces == tmp_path.resolve().parent / "elsewhere/data/ferplus"


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("  - 12\n  sides", "  - 60\n  sides", "restarts must rise and stay below epochs = 60, not be [60]"),
        ("  - 12\n  sides", "  - 12\n  - 12\n  sides", "restarts must rise and stay below epochs"),
        (SIDES, "  - 64\n  - 48\n  - 32\n", "sides must end with 64, the size that Denseface is used at, not with 32"),
        (SHARES, "  - 0.6\n  - 0.4\n", "side_shares must be 3 shares, one a side, that add up to 1"),
        (SHARES, "  - 0.6\n  - 0.3\n  - 0.3\n", "side_shares must be 3 shares"),
        ("lr: 0.1", "lrate: 0.1", "the key 'recipe.lrate' does not exist"),
        (SIDES, "  - 8\n  - 48\n  - 64\n", "recipe.sides.0: input should be greater than or equal to 16"),
    ],
)  # fmt: skip
def test_a_course_that_cannot_be_is_refused(tmp_path, old, new, told):
    with pytest.raises(UserError, match=re.escape(told)):
        changed(tmp_path, old, new)


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
