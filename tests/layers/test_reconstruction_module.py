"""Residual channel-attention blocks."""

import torch

from cmarr.layers.attention import ChannelAttentionBlock, Reconstruction


def test_shapes_also_of_a_single_step():
    module = Reconstruction(4, 2)
    assert module(torch.randn(3, 5, 4)).shape == (3, 5, 4)
    assert module(torch.randn(3, 1, 4)).shape == (3, 1, 4)


def test_a_block_by_hand():
    # One channel, both convolutions pass their middle tap: y = relu(x). The attention is made constant,
    # sigmoid(0) = 1/2, so the block returns x + relu(x) / 2.
    block = ChannelAttentionBlock(1)
    with torch.no_grad():
        for p in block.parameters():
            p.zero_()
        for convolution in (block.body[0], block.body[2]):
            convolution.weight[0, 0, 1] = 1.0
    assert block(torch.tensor([[[2.0, -4.0]]])).tolist() == [[[3.0, -4.0]]]


def test_the_attention_looks_at_the_mean_over_time():
    block = ChannelAttentionBlock(16)
    x = torch.randn(1, 16, 6)
    y = block.body(x)
    expected = x + y * block.attention(y.mean(-1))[..., None]
    torch.testing.assert_close(block(x), expected)
    assert block.attention[0].out_features == 1  # C / 16


def test_a_long_skip_leads_around_all_blocks():
    module, x = Reconstruction(4, 2), torch.randn(3, 5, 4)
    around = module.narrow(module.widen(x.transpose(1, 2))).transpose(1, 2)
    through = module.narrow(module.close(module.blocks(module.widen(x.transpose(1, 2))))).transpose(1, 2)
    bias = module.narrow.bias  # is in both
    torch.testing.assert_close(module(x), around + through - bias)


def test_size_is_that_of_the_published_recovery_network():
    # d = 32 and 20 blocks: 522,224 parameters, as in DiCMoR's public code (spec, baselines)
    assert sum(p.numel() for p in Reconstruction(32, 20).parameters()) == 522_224


def test_rows_do_not_see_each_other():
    module, x = Reconstruction(4, 1), torch.randn(3, 5, 4)
    torch.testing.assert_close(module(x)[1:2], module(x[1:2]))


def test_a_start_at_zero_recovers_nothing_until_it_has_learnt():
    torch.manual_seed(0)
    module, x = Reconstruction(4, 1, zero_start=True), torch.randn(3, 5, 4)
    assert not module(x).any()
    optimiser = torch.optim.Adam(module.parameters(), lr=1e-2)
    for _ in range(3):
        loss = (module(x) - 1).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert module(x).abs().min() > 0
    assert all(p.grad.any() for p in module.widen.parameters())  # the zeros have let a gradient through
