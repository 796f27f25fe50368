"""SUGR: what is uncertain, what that weighs, and what trains it."""

import math

import pytest
import torch

from cmarr.errors import UserError
from cmarr.losses.regularisation import UncertaintyWeights

ALL = torch.ones(3, dtype=torch.bool)


def weights(source="gap", direction="down", regression=False) -> UncertaintyWeights:
    return UncertaintyWeights(2, source, direction, regression)


def test_by_hand():
    """u = 0, log 2, log 4: exp(-u) is 1, 1/2, 1/4, of mean 7/12; exp(u) is 1, 2, 4, of mean 7/3."""
    u = torch.tensor([0.0, math.log(2), math.log(4)])
    down = weights().weights(u, ALL)
    torch.testing.assert_close(down, torch.tensor([12 / 7, 6 / 7, 3 / 7]))
    up = weights(direction="up").weights(u, ALL)
    torch.testing.assert_close(up, torch.tensor([3 / 7, 6 / 7, 12 / 7]))


def test_they_are_clipped_first_and_then_of_mean_one():
    """exp(-u) of -9, 0, 9 is clipped to 5, 1, 0.2, of mean 6.2 / 3."""
    found = weights().weights(torch.tensor([-9.0, 0.0, 9.0]), ALL)
    torch.testing.assert_close(found, torch.tensor([5.0, 1.0, 0.2]) * 3 / 6.2)


def test_equal_uncertainties_weigh_nothing():
    for u in (-7.0, 0.3, 7.0):
        torch.testing.assert_close(weights().weights(torch.full((3,), u), ALL), torch.ones(3))


def test_only_rows_that_count_make_the_mean():
    u, counted = torch.tensor([0.0, math.log(2), -40.0]), torch.tensor([True, True, False])
    torch.testing.assert_close(weights().weights(u, counted), torch.tensor([4 / 3, 2 / 3, 1.0]))
    assert weights().weights(u, ~ALL).tolist() == [1, 1, 1]


def test_no_gradient_passes_through_a_weight():
    u = torch.tensor([0.0, 1.0, 2.0], requires_grad=True)
    assert not weights().weights(u, ALL).requires_grad


def test_entropy_is_that_of_the_uniform_distribution_at_most():
    logits = torch.log(torch.tensor([[0.25] * 4, [0.5, 0.5, 1e-12, 1e-12], [1.0, 1e-12, 1e-12, 1e-12]]))
    found = weights("entropy").uncertainty(torch.zeros(3, 2), logits)
    torch.testing.assert_close(found, torch.tensor([1.0, 0.5, 0.0]), atol=1e-5, rtol=0)


@pytest.mark.parametrize(("regression", "best"), [(False, 2.0), (True, 1.0)])
def test_the_likelihood_is_lowest_where_the_variance_fits_the_error(regression, best):
    """exp(-s) e + s / 2 is lowest at s = log 2e, exp(-s) e + s at s = log e; by hand at s = 0 it is e."""
    own, error = weights("variance", regression=regression), torch.tensor([0.8])
    counted = torch.tensor([True])
    assert own.likelihood(torch.zeros(1), error, counted).item() == pytest.approx(0.8)
    s = torch.tensor([math.log(best * 0.8)], requires_grad=True)
    own.likelihood(s, error, counted).backward()
    assert s.grad.item() == pytest.approx(0.0, abs=1e-6)


def test_the_likelihood_does_not_train_what_makes_the_error():
    errors, s = torch.tensor([1.0, 2.0, 3.0], requires_grad=True), torch.zeros(3, requires_grad=True)
    weights("variance").likelihood(s, errors, ALL).backward()
    assert errors.grad is None
    assert s.grad.abs().sum() > 0


def test_a_log_variance_starts_at_zero_learns_and_stays_in_bounds():
    own = weights("variance")
    h, logits = torch.randn(3, 2, generator=torch.Generator().manual_seed(0)), torch.zeros(3, 3)
    errors = torch.tensor([0.1, 1.0, 30.0])
    assert own.uncertainty(h, logits).tolist() == [0, 0, 0]
    optimiser = torch.optim.Adam(own.parameters(), lr=0.3)
    for _ in range(200):
        optimiser.zero_grad()
        _, losses = own(h, logits, errors, ALL)
        losses["sugr"].backward()
        optimiser.step()
    s = own.uncertainty(h, logits)
    assert s[0] < s[2]
    assert s.abs().max() <= math.log(5) + 1e-6


def test_before_it_is_warm_every_weight_is_one_and_the_variance_learns():
    own = UncertaintyWeights(2, "variance", "down", False, warm_up=1)
    own.begin_epoch(1)
    views = (
        torch.tensor([[0.0], [1.0], [2.0]]).expand(3, 2),
        torch.zeros(3, 3),
        torch.tensor([0.1, 1.0, 3.0]),
        ALL,
    )
    cold, losses = own(*views)
    assert cold.tolist() == [1, 1, 1]
    assert losses["sugr"].requires_grad
    torch.nn.init.ones_(own.log_variance.weight)
    own.begin_epoch(2)
    assert own(*views)[0].tolist() != [1, 1, 1]


def test_a_score_has_no_entropy():
    with pytest.raises(UserError, match=r"entropy needs class probabilities.*take variance"):
        weights("entropy", regression=True)
