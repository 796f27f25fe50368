"""The losses of the compared methods, with numbers worked by hand."""

import math

import pytest
import torch

from cmarr.methods._mmin import imagination_loss
from cmarr.methods.cif_mmin import instance_contrast
from cmarr.methods.dicmor import ClassPriors
from cmarr.methods.if_mmin import central_moment_discrepancy, pairwise_discrepancy


class TestImagination:
    def test_by_hand(self):
        imagined = torch.tensor([[[1.0, 2.0], [0.0, 0.0]], [[5.0, 5.0], [3.0, 1.0]]])  # (B 2, M 2, d 2)
        target = torch.zeros(2, 2, 2)
        counted = torch.tensor([[True, True], [False, True]])
        # (1 + 4) / 2, 0 and (9 + 1) / 2 count: (2.5 + 0 + 5) / 3
        assert imagination_loss(imagined, target, counted).item() == pytest.approx(2.5)

    def test_nothing_to_imagine(self):
        nothing = torch.zeros(2, 2, dtype=torch.bool)
        assert imagination_loss(torch.ones(2, 2, 3), torch.zeros(2, 2, 3), nothing).item() == 0.0

    def test_the_target_is_not_moved(self):
        target = torch.zeros(1, 1, 2, requires_grad=True)
        imagined = torch.ones(1, 1, 2, requires_grad=True)
        imagination_loss(imagined, target, torch.tensor([[True]])).backward()
        assert target.grad is None
        assert imagined.grad.tolist() == [[[1.0, 1.0]]]


class TestMomentDiscrepancy:
    def test_by_hand(self):
        first, second = torch.tensor([[-1.0], [1.0]]), torch.tensor([[0.0], [4.0]])
        # means 0 and 2; centred +-1 and +-2: c2 1 and 4, c3 0 and 0, c4 1 and 16, c5 0 and 0
        assert central_moment_discrepancy(first, second).item() == pytest.approx(2 + 3 + 0 + 15 + 0)
        assert central_moment_discrepancy(first, second, order=2).item() == pytest.approx(5)

    def test_equal_distributions_do_not_differ_and_give_a_gradient(self):
        first = torch.randn(6, 3, requires_grad=True)
        loss = central_moment_discrepancy(first, first.detach().flip(0))
        loss.backward()
        assert loss.item() == pytest.approx(0.0, abs=1e-5)
        assert first.grad.isfinite().all()

    def test_pairs_are_averaged_over_what_exists(self):
        vectors = torch.tensor([[[-1.0], [0.0], [9.0]], [[1.0], [4.0], [9.0]]])  # (B 2, M 3, d 1)
        two = torch.tensor([[True, True, False], [True, True, False]])
        assert pairwise_discrepancy(vectors, two, order=2).item() == pytest.approx(5)
        three = torch.ones(2, 3, dtype=torch.bool)
        # third: mean 9, c2 0. To the first: 9 + 1, to the second 7 + 4
        assert pairwise_discrepancy(vectors, three, order=2).item() == pytest.approx((5 + 10 + 11) / 3)
        assert pairwise_discrepancy(vectors, torch.zeros(2, 3, dtype=torch.bool)).item() == 0.0


class TestInstanceContrast:
    def test_the_positive_is_not_in_the_denominator(self):
        first = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
        # the positive's cosine is 1, the other one 0: -(e - log exp(0)) both ways
        assert instance_contrast(first, first, torch.tensor([True, True])).item() == pytest.approx(-math.e)

    def test_three_utterances_both_directions(self):
        first = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
        second = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
        e = math.e  # cosines: [[1, 0, 0], [1, 0, 0], [0, 1, 1]]
        there = [math.log(2) - e, math.log(e**e + 1) - 0, math.log(1 + e**e) - e]
        back = [math.log(e**e + 1) - e, math.log(1 + e**e) - 0, math.log(2) - e]
        loss = instance_contrast(first, second, torch.ones(3, dtype=torch.bool))
        assert loss.item() == pytest.approx((sum(there) + sum(back)) / 6, rel=1e-5)

    def test_who_lacks_a_modality_is_not_a_negative(self):
        first, second = torch.randn(4, 3), torch.randn(4, 3)
        counted = torch.tensor([True, False, True, True])
        expected = instance_contrast(first[counted], second[counted], counted[counted])
        torch.testing.assert_close(instance_contrast(first, second, counted), expected)

    def test_one_utterance_has_nothing_to_contrast_with(self):
        assert instance_contrast(torch.ones(2, 3), torch.ones(2, 3), torch.tensor([True, False])).item() == 0


class TestClassPriors:
    def test_a_standard_normal_to_start_with(self):
        z = torch.tensor([[[0.0, 2.0]]])  # one step, two channels
        bits = ClassPriors(3, 2)(z, torch.tensor([[0.5]]), torch.tensor([1]))
        nats = 0.5 * 4 + math.log(2 * math.pi) - 0.5
        assert bits.item() == pytest.approx(nats / (2 * math.log(2)))

    def test_each_class_has_its_own_place(self):
        priors = ClassPriors(2, 1)
        with torch.no_grad():
            priors.mean[1], priors.log_deviation[1] = 3.0, math.log(2.0)
        z, labels = torch.tensor([[[5.0]], [[0.0]]]), torch.tensor([1, 0])
        bits = priors(z, torch.zeros(2, 1), labels)
        normal = 0.5 * math.log(2 * math.pi)
        # class 1: ((5 - 3) / 2)^2 / 2 + log 2 + normal; class 0: normal
        expected = [(0.5 + math.log(2) + normal) / math.log(2), normal / math.log(2)]
        assert bits.tolist() == pytest.approx(expected)
