"""Cascades of autoencoders, worked by hand where every map is a multiplication."""

import pytest
import torch

from cmarr.layers.cascade import CascadeBlock, GuidedCascade, ResidualCascade


def scaled(module: torch.nn.Module, factor: float) -> torch.nn.Module:
    """Every linear map of the module multiplies by `factor` (they are 1 x 1)."""
    for name, parameter in module.named_parameters():
        torch.nn.init.constant_(parameter, 0.0 if name.endswith("bias") else factor)
    return module


def test_a_block_by_hand():
    block = scaled(CascadeBlock(1, (1, 1)), 2.0)
    z, y = block(torch.tensor([[3.0], [-3.0]]))
    # encoder: 3 -> 6 -> 12; -3 -> -6, leaky ReLU -0.06 -> -0.12. decoder: 12 -> 24 -> 48; -0.24, ReLU 0 -> 0
    torch.testing.assert_close(z, torch.tensor([[12.0], [-0.12]]))
    torch.testing.assert_close(y, torch.tensor([[48.0], [0.0]]))


def test_each_block_corrects_the_sum_so_far():
    cascade = scaled(ResidualCascade(1, (1,), blocks=2, transition=False), 2.0)
    out, latents = cascade(torch.tensor([[1.0]]))
    # y1 = 4 * 1, x2 = 5; y2 = 4 * 5, out = 25; latents 2 * 1 and 2 * 5
    assert out.item() == 25.0
    assert latents.tolist() == [[2.0, 10.0]]


def test_the_transition_closes_mmin_s_cascade():
    cascade = scaled(ResidualCascade(1, (1,), blocks=1), 2.0)
    assert cascade(torch.tensor([[1.0]]))[0].item() == 4 * (1 + 4)


@pytest.mark.parametrize(("residual", "last"), [(False, 52.0), (True, 13.0 + 52.0)])
def test_every_block_is_given_the_invariant_feature(residual, last):
    cascade = scaled(GuidedCascade(1, (1,), blocks=2, residual=residual), 2.0)
    out, latents = cascade(torch.tensor([[2.0]]), torch.tensor([[1.0]]))
    # x1 = 2 + 1, y1 = 12; x2 = 12 + 1, y2 = 52
    assert latents.tolist() == [[6.0, 26.0]]
    assert out.item() == 4 * last  # the transition's two maps


def test_sizes_of_the_authors():
    """Five blocks 384-256-128-64 and the transition hold 1,694,400 parameters."""
    cascade = ResidualCascade(384, (256, 128, 64), blocks=5)
    assert sum(p.numel() for p in cascade.parameters()) == 5 * 279_744 + 295_680
