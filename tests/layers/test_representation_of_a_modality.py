"""From ragged features to the Gaussian's means and to X_n of fixed length."""

import pytest
import torch

from cmarr.layers.ragged import Layout
from cmarr.layers.representation import Projection, Representation

LENGTHS = torch.tensor([4, 0, 9])


def encoder(**settings) -> Representation:
    torch.manual_seed(0)
    return Representation(5, 8, length=6, heads=2, **settings)


def frames() -> torch.Tensor:
    return torch.randn(13, 5, generator=torch.Generator().manual_seed(0))


SWITCHES = [{}, {"flow_input": "features"}, {"resample_first": True}, {"normalise": False}]


@pytest.mark.parametrize("switch", SWITCHES)
def test_shapes_and_independence_of_the_rest_of_the_batch(switch):
    module = encoder(**switch)
    encoded = module(frames(), LENGTHS)
    assert encoded.gaussians.mu.shape == encoded.gaussians.sigma.shape == (3, 8)
    assert encoded.x.shape == (3, 6, 8)
    assert encoded.gaussians.precision.shape == (3, 6, 1)
    for row, own in ((0, frames()[:4]), (2, frames()[4:])):  # padded from 4 frames to 9, and not at all
        alone = module(own, torch.tensor([len(own)]))
        both = {"x": (encoded.x, alone.x)}
        both |= {
            name: (getattr(encoded.gaussians, name), getattr(alone.gaussians, name))
            for name in ("mu", "sigma", "precision")
        }
        for found, again in both.values():
            assert found.isfinite().all()
            torch.testing.assert_close(found[row], again[0], atol=1e-5, rtol=1e-5)


def test_the_contrast_sees_means_over_real_frames():
    module = encoder()
    mu, log_sigma = module.uncertainty(frames(), Layout(LENGTHS, 13))
    encoded = module(frames(), LENGTHS)
    torch.testing.assert_close(encoded.gaussians.mu[0], mu[:4].mean(0))
    torch.testing.assert_close(encoded.gaussians.sigma[2], log_sigma[4:].exp().mean(0))


def test_precision_is_the_mean_of_one_over_variance():
    module = encoder()
    _, log_sigma = module.uncertainty(frames()[:1], Layout(torch.tensor([1]), 1))
    precision = module(frames()[:1], torch.tensor([1])).gaussians.precision
    torch.testing.assert_close(precision[0], log_sigma.exp().pow(-2).mean().expand(6, 1))


def test_gaussians_that_nobody_reads_are_left_out(monkeypatch):
    """Of features that enter the flow themselves; means that enter it are needed all the same."""
    direct, aligned = encoder(flow_input="features"), encoder()
    assert torch.equal(direct(frames(), LENGTHS, gaussians=False).x, direct(frames(), LENGTHS).x)
    assert torch.equal(aligned(frames(), LENGTHS, gaussians=False).x, aligned(frames(), LENGTHS).x)
    monkeypatch.setattr(direct, "uncertainty", None)
    assert direct(frames(), LENGTHS, gaussians=False).gaussians is None


def test_features_enter_the_flow_in_place_of_mu():
    module = encoder(flow_input="features")
    x = module(frames(), LENGTHS).x
    with torch.no_grad():
        for p in module.uncertainty.parameters():
            p.add_(1.0)
    assert torch.equal(module(frames(), LENGTHS).x, x)


def test_layer_norm_fixes_the_scale():
    x = encoder()(100 * frames(), LENGTHS).x
    torch.testing.assert_close(x[0].std(-1, correction=0), torch.ones(6), atol=1e-2, rtol=0)


def test_a_projection_is_linear_in_what_it_is_given():
    projection = Projection(5, 8, 6)
    with torch.no_grad():
        projection.linear.bias.zero_()
    x = projection(frames(), LENGTHS)
    assert x.shape == (3, 6, 8)
    torch.testing.assert_close(projection(2 * frames(), LENGTHS), 2 * x)
