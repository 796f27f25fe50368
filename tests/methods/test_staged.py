"""CM-ARR in stages: alignment, then reconstruction, then everything."""

import pytest

from cmarr.methods.asking import training_losses
from cmarr.methods.protocol import Staged


def named(small, **settings) -> list[tuple[str, float, tuple[str, ...] | None]]:
    method = small.method("cmarr", **settings)
    assert isinstance(method, Staged)
    return [(stage.name, stage.share, stage.losses) for stage in method.stages()]


def test_one_joint_stage_unless_told_otherwise(small):
    assert named(small) == [("joint", 1.0, None)]


def test_each_stage_adds_its_losses(small):
    assert named(small, staged=True) == [
        ("alignment", 0.25, ("udcl",)),
        ("reconstruction", 0.25, ("udcl", "rec")),
        ("refinement", 0.5, None),
    ]
    with_likelihood = named(small, staged=True, nll_weight=0.1, entropy_weight=0.1)
    assert with_likelihood[1][2] == ("udcl", "entropy", "rec", "nll")


@pytest.mark.parametrize(
    ("settings", "left"),
    [
        ({"alpha": 0.0}, ["reconstruction", "refinement"]),
        ({"recovery": "zeros"}, ["alignment", "refinement"]),
    ],
)
def test_a_stage_without_losses_is_left_out(small, settings, left):
    found = named(small, staged=True, **settings)
    assert [name for name, _, _ in found] == left
    assert found[-1][1] == 0.75


def test_what_a_stage_names_exists(small):
    method, batch = small.method("cmarr", staged=True), small.batch()
    losses = training_losses(method, batch, small.masks(batch))
    for stage in method.stages()[:2]:
        assert set(stage.losses) <= losses.keys()
        assert not stage.selects
