"""HSIC by hand, and what it does not look at."""

import math

import torch

from cmarr.losses.independence import independence


def test_two_rows_by_hand():
    """Kernels of two rows at their median distance: 1 and exp(-1/2); centred, +-(1 - exp(-1/2)) / 2 everywhere."""
    x, y = torch.tensor([[0.0], [3.0]]), torch.tensor([[5.0], [1.0]])
    entry = (1 - math.exp(-0.5)) / 2
    found = independence(x, y, torch.tensor([True, True]))
    torch.testing.assert_close(found, torch.tensor(4 * entry**2))


def test_other_rows_have_no_part():
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(6, 3, generator=generator), torch.randn(6, 2, generator=generator)
    counted = torch.tensor([True, True, False, True, False, True])
    part = independence(x[counted], y[counted], torch.ones(4).bool())
    x[~counted] = torch.nan
    torch.testing.assert_close(independence(x, y, counted), part)


def test_fewer_than_two_rows_are_worth_nothing_and_stay_finite():
    x = torch.zeros(3, 2, requires_grad=True)
    found = independence(x, x, torch.tensor([True, False, False]))
    found.backward()
    assert found == 0
    assert x.grad.isfinite().all()


def test_rows_that_are_all_the_same_are_independent_of_everything():
    found = independence(torch.ones(4, 2), torch.randn(4, 2), torch.ones(4).bool())
    torch.testing.assert_close(found, torch.zeros(()))
