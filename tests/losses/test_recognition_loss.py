"""L_cls, worked by hand."""

import math

import pytest
import torch

from cmarr.losses.recognition import recognition_loss


def test_cross_entropy_over_the_rows_that_count():
    logits = torch.tensor([[math.log(3.0), 0.0], [0.0, 0.0], [50.0, -50.0]])
    counted = torch.tensor([True, True, False])
    loss = recognition_loss(logits, torch.tensor([0, 1, 1]), counted, regression=False)
    assert loss.item() == pytest.approx((math.log(4 / 3) + math.log(2)) / 2)


def test_distance_of_scores():
    loss = recognition_loss(
        torch.tensor([[1.0], [-2.0]]), torch.tensor([0.5, 1.0]), torch.tensor([True, True]), regression=True
    )
    assert loss.item() == pytest.approx((0.5 + 3.0) / 2)


def test_no_row_counts():
    logits = torch.zeros(2, 3, requires_grad=True)
    loss = recognition_loss(logits, torch.tensor([0, 1]), torch.tensor([False, False]), regression=False)
    loss.backward()
    assert loss.item() == 0.0
    assert not logits.grad.any()


def test_a_row_without_a_label_does_not_count_and_gets_no_gradient():
    logits = torch.zeros(2, 4, requires_grad=True)
    loss = recognition_loss(logits, torch.tensor([2, -1]), torch.tensor([True, True]), regression=False)
    loss.backward()
    assert loss.item() == pytest.approx(math.log(4))
    assert not logits.grad[1].any()
    scores = torch.tensor([[1.0], [9.0]], requires_grad=True)
    labels = torch.tensor([0.5, torch.nan])
    loss = recognition_loss(scores, labels, torch.tensor([True, True]), regression=True)
    loss.backward()
    assert loss.item() == pytest.approx(0.5)
    assert scores.grad.tolist() == [[1.0], [0.0]]
