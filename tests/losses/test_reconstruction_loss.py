"""L_rec (Eq 9), worked by hand."""

import torch

from cmarr.losses.reconstruction import reconstruction_loss

# Two modalities, two utterances, L = 2 steps, d = 1.
TRUTH = torch.tensor([[[[0.0], [0.0]], [[1.0], [1.0]]], [[[5.0], [5.0]], [[2.0], [2.0]]]])
RECOVERED = torch.tensor([[[[1.0], [3.0]], [[9.0], [9.0]]], [[[9.0], [9.0]], [[2.0], [4.0]]]])
MASKED = torch.tensor([[True, False], [False, True]])


def test_mean_over_the_entries_that_count():
    # (1 + 9) + (0 + 4) = 14 over 4 entries
    assert reconstruction_loss(RECOVERED, TRUTH, MASKED).item() == 3.5


def test_frobenius_norm_of_each_representation_that_counts():
    # (1 + 9) and (0 + 4): 7 a representation
    assert reconstruction_loss(RECOVERED, TRUTH, MASKED, "frobenius_sum").item() == 7.0


def test_nothing_hidden_costs_nothing():
    recovered = RECOVERED.clone().requires_grad_()
    loss = reconstruction_loss(recovered, TRUTH, torch.zeros(2, 2, dtype=torch.bool))
    loss.backward()
    assert loss.item() == 0.0
    assert not recovered.grad.any()


def test_the_truth_is_a_target_and_gets_no_gradient():
    truth, recovered = TRUTH.clone().requires_grad_(), RECOVERED.clone().requires_grad_()
    reconstruction_loss(recovered, truth, MASKED).backward()
    assert truth.grad is None
    assert recovered.grad[0, 0].any()
    assert not recovered.grad[0, 1].any()
