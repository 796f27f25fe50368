"""CMAD's losses, by hand: what the student misses, as both see the batch, and how far it has stayed behind."""

import math

import pytest
import torch

from cmarr.losses.correlation_distillation import (
    CombinationWeights,
    correlation_aware_distance,
    decoupled_distance,
)

ALL = torch.tensor([True, True])


def test_features_count_by_how_differently_student_and_teacher_see_the_batch():
    """Teacher at right angles; the first row of the student is like the second of the teacher, its second is right."""
    teacher, student = torch.eye(2), torch.tensor([[0.0, 1.0], [0.0, 1.0]])
    tau = 0.5
    p = 1 / (1 + math.exp(-1 / tau))  # softmax of (1, 0) / tau
    weight = (2 * p - 1) / tau  # both directions: (p - q)(log p - log q) twice, halved
    mean = (weight * 1.0 + 0.0) / 2  # the first row's squared error is 1
    # differences of the similarities: row 1 (-1, 1), row 2 nothing; the diagonal has half of them
    found = correlation_aware_distance(student, teacher, ALL, tau)
    assert found.item() == pytest.approx(mean + 0.5, rel=1e-5)


def test_rows_that_do_not_count_are_neither_compared_nor_compared_with():
    generator = torch.Generator().manual_seed(0)
    student, teacher = (torch.randn(5, 4, generator=generator) for _ in range(2))
    counted = torch.tensor([True, False, True, True, False])
    part = correlation_aware_distance(student[counted], teacher[counted], torch.ones(3).bool())
    torch.testing.assert_close(correlation_aware_distance(student, teacher, counted), part)
    nothing = correlation_aware_distance(student.requires_grad_(), teacher, torch.zeros(5).bool())
    nothing.backward()
    assert nothing == 0
    assert not student.grad.any()


def test_decoupled_distillation_is_the_usual_one_with_the_others_weighed_anew():
    """KL = KL(target against the rest) + p(rest) KL(among the rest): with that weight it is the plain one."""
    generator = torch.Generator().manual_seed(1)
    student, teacher = (torch.randn(1, 4, generator=generator) for _ in range(2))
    label, temperature = torch.tensor([2]), 3.0
    wanted = (teacher / temperature).softmax(1)
    plain = (wanted * (wanted.log() - (student / temperature).log_softmax(1))).sum() * temperature**2
    rest = float(1 - wanted[0, 2])
    found = decoupled_distance(student, teacher, label, temperature, others=rest)
    torch.testing.assert_close(found[0], plain)
    assert decoupled_distance(student, teacher, torch.tensor([-1]), temperature).item() == 0


def test_two_classes_have_no_others_and_stay_finite():
    student = torch.tensor([[3.0, -3.0]], requires_grad=True)
    decoupled_distance(student, torch.tensor([[0.0, 0.0]]), torch.tensor([0]), 7.0).sum().backward()
    assert student.grad.isfinite().all()


def test_combinations_weigh_by_the_square_of_how_far_the_student_is_behind():
    weights = CombinationWeights(modalities=2)
    first, both = torch.tensor([[True, False]]), torch.tensor([[True, True]])
    weights.note(torch.tensor([3.0]), torch.tensor([1.0]), first, torch.tensor([True]))  # behind by 2
    weights.note(torch.tensor([2.0]), torch.tensor([1.0]), both, torch.tensor([True]))  # behind by 1 ...
    weights.note(torch.tensor([0.0]), torch.tensor([9.0]), both, torch.tensor([True]))  # ... and ahead: 1/2
    weights.note(torch.tensor([99.0]), torch.tensor([0.0]), first, torch.tensor([False]))  # counts nowhere
    weights.freeze()
    assert weights.of(first).item() == 20.0
    assert weights.of(both).item() == pytest.approx(20 / 16)
    assert weights.of(torch.tensor([[False, True]])).item() == 1.0  # never seen


def test_a_student_that_is_nowhere_behind_leaves_all_weights_alone():
    weights = CombinationWeights(modalities=2)
    weights.note(torch.tensor([1.0]), torch.tensor([1.0]), torch.tensor([[True, True]]), torch.tensor([True]))
    weights.freeze()
    assert torch.equal(weights.weights, torch.ones(4))
