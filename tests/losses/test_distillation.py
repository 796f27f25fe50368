"""Distances between student and teacher, worked by hand."""

import math

import pytest
import torch

from cmarr.losses.recognition import counted_mean
from cmarr.methods.mcur import feature_distance, logit_distance, similarity_distance


def test_features_by_hand():
    student, teacher = torch.tensor([[1.0, 0.0], [0.0, 2.0]]), torch.tensor([[1.0, 2.0], [0.0, 1.0]])
    assert feature_distance(student, teacher, "mse").tolist() == [2.0, 0.5]
    expected = torch.tensor([1 - 1 / math.sqrt(5), 0.0])
    torch.testing.assert_close(feature_distance(student, teacher, "cosine"), expected)


def test_answers_by_hand():
    """T = 2; teacher (0.5, 0.5), student logits 2 log 3 apart: softmax (0.75, 0.25); KL = log(2 / sqrt 3)."""
    student, teacher = torch.tensor([[2 * math.log(3), 0.0]]), torch.zeros(1, 2)
    found = logit_distance(student, teacher, regression=False, temperature=2.0)
    assert found.item() == pytest.approx(4 * math.log(2 / math.sqrt(3)), abs=1e-6)
    assert logit_distance(student, student, False, 7.0).item() == pytest.approx(0.0, abs=1e-6)
    assert logit_distance(torch.tensor([[1.5]]), torch.tensor([[-1.0]]), True, 7.0).tolist() == [2.5]


def test_similarities_by_hand():
    """Orthogonal students: G is the identity. Equal teachers: every row (1, 1) / sqrt 2."""
    student, teacher = torch.eye(2), torch.ones(2, 2)
    half = 1 / math.sqrt(2)
    by_hand = (2 * (1 - half) ** 2 + 2 * half**2) / 4
    every = torch.ones(2, dtype=torch.bool)
    assert similarity_distance(student, teacher, every).item() == pytest.approx(by_hand)
    assert similarity_distance(3 * student, 7 * student, every).item() == 0.0
    third = torch.tensor([[9.0, 9.0]])
    some = torch.tensor([True, True, False])
    among = similarity_distance(torch.cat([student, third]), torch.cat([teacher, -third]), some)
    assert among.item() == pytest.approx(by_hand)
    assert similarity_distance(student, teacher, ~every).item() == 0.0


def test_the_teacher_learns_nothing():
    student, teacher = torch.randn(3, 4, requires_grad=True), torch.randn(3, 4, requires_grad=True)
    every = torch.ones(3, dtype=torch.bool)
    terms = [feature_distance(student, teacher, kind).sum() for kind in ("mse", "cosine")]
    terms += [logit_distance(student, teacher, False, 2.0).sum()]
    terms += [similarity_distance(student, teacher, every)]
    sum(terms).backward()
    assert teacher.grad is None
    assert student.grad.abs().sum() > 0


def test_a_mean_over_what_counts():
    values, counted = torch.tensor([1.0, 3.0, float("nan")]), torch.tensor([True, True, False])
    assert counted_mean(values, counted).item() == 2.0
    assert counted_mean(values, counted, torch.tensor([1.5, 0.5, 1.0])).item() == 1.5
    assert counted_mean(values, counted & False).item() == 0.0
