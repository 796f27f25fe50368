"""UMC: a Gaussian a step, blind to padding and to other utterances."""

import torch

from cmarr.layers.ragged import Layout
from cmarr.layers.representation import LOG_SIGMA_RANGE, UncertaintyModelling
from cmarr.losses.distribution_contrast import entropy_margin

LENGTHS = torch.tensor([3, 1, 0, 4])


def component(dim: int = 5, d: int = 8, heads: int = 4) -> UncertaintyModelling:
    torch.manual_seed(0)
    return UncertaintyModelling(dim, d, heads)


def frames(seed: int = 0) -> torch.Tensor:
    return torch.randn(8, 5, generator=torch.Generator().manual_seed(seed))


def test_shapes():
    mu, log_sigma = component()(frames(), Layout(LENGTHS, 8))
    assert mu.shape == log_sigma.shape == (8, 8)


def test_an_utterance_alone_gets_the_same_gaussians():
    umc, x = component(), frames()
    together = umc(x, Layout(LENGTHS, 8))
    for own in (slice(0, 3), slice(3, 4), slice(4, 8)):  # but for the last, they are padded to four steps
        count = own.stop - own.start
        alone = umc(x[own], Layout(torch.tensor([count]), count))
        for found, again in zip(together, alone, strict=True):
            torch.testing.assert_close(found[own], again, atol=1e-6, rtol=1e-5)


def test_every_step_sees_every_other_step_of_its_utterance():
    umc, x = component(), frames().requires_grad_()
    mu, _ = umc(x, Layout(LENGTHS, 8))
    mu[0].sum().backward()
    moved = x.grad.abs().sum(1) > 0
    assert moved.tolist() == [True] * 3 + [False] * 5


def test_half_of_the_heads_feed_the_mean_and_the_other_half_sigma():
    umc, x = component(), frames()
    mu, log_sigma = umc(x, Layout(LENGTHS, 8))
    with torch.no_grad():
        umc.qkv.weight[-4:] *= 2  # the values of the last two of four heads
    other_mu, other_log_sigma = umc(x, Layout(LENGTHS, 8))
    torch.testing.assert_close(mu, other_mu)
    assert not torch.allclose(log_sigma, other_log_sigma)


def test_the_mean_has_a_residual_and_sigma_has_none():
    umc, x = component(), frames()
    layout = Layout(LENGTHS, 8)
    with torch.no_grad():
        for part in (umc.qkv.weight, umc.mean.bias, umc.log_sigma.bias):
            part.zero_()
        for mlp in (umc.mean_mlp, umc.log_sigma_mlp):
            mlp[-1].weight.zero_()
            mlp[-1].bias.zero_()
    mu, log_sigma = umc(x, layout)
    torch.testing.assert_close(mu, umc.norm(torch.nn.functional.gelu(umc.project(x))))
    assert not log_sigma.any()


def test_log_sigma_has_a_floor_and_a_ceiling():
    umc = component()
    with torch.no_grad():
        umc.log_sigma.bias.copy_(torch.tensor([-100.0, 100.0] * 4))
    _, log_sigma = umc(frames(), Layout(LENGTHS, 8))
    assert (log_sigma.min(), log_sigma.max()) == LOG_SIGMA_RANGE


def test_the_attention_projection_has_no_bias():
    assert component().qkv.bias is None


def test_a_penalty_on_collapse_moves_what_has_collapsed():
    """Log sigma of -100 is held at -6; a loss that wants it larger has a gradient there, one that does not has none."""
    umc = component()
    with torch.no_grad():
        umc.log_sigma_mlp[-1].bias.fill_(-100.0)
    layout, bias = Layout(LENGTHS, 8), umc.log_sigma_mlp[-1].bias
    _, log_sigma = umc(frames(), layout)
    short = entropy_margin(log_sigma.exp()[None], torch.ones(8, 1, dtype=torch.bool), margin=0.0)
    # 8 channels at -6, each with (1 + log 2 pi) / 2 = 1.419 nats more: 36.6 nats short of 0
    torch.testing.assert_close(short, torch.tensor(8 * (6 - 1.4189385)))
    (gradient,) = torch.autograd.grad(short, bias)
    torch.testing.assert_close(gradient, -torch.ones(8))  # a step against it raises sigma
    (gradient,) = torch.autograd.grad(umc(frames(), layout)[1].sum(), bias)
    assert not gradient.any()
