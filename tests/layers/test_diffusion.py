"""IMDer's diffusion: a Gaussian whose score is known is sampled, and its score is what the loss asks for."""

import math

import pytest
import torch

from cmarr.layers.diffusion import (
    deviation,
    probability_flow,
    reverse_diffusion,
    time_of,
)
from cmarr.layers.score_network import ScoreNetwork
from cmarr.losses.score_matching import score_matching_errors, times_and_noise

MEAN, SPREAD = torch.tensor([1.0, -2.0]), torch.tensor([0.5, 2.0])


def gaussian(x: torch.Tensor, t: torch.Tensor, *_) -> torch.Tensor:
    """The score of N(MEAN, SPREAD^2) with the noise of time t."""
    return (MEAN - x) / (SPREAD.square() + deviation(t)[:, None].square())


def test_the_noise_grows_as_the_equation_has_it():
    t = torch.tensor([0.1, 0.5, 0.9])
    expected = [math.sqrt((25 ** (2 * float(s)) - 1) / (2 * math.log(25))) for s in t]
    torch.testing.assert_close(deviation(t), torch.tensor(expected))
    torch.testing.assert_close(time_of(deviation(t)), t)


@pytest.mark.parametrize(
    ("sampler", "memory"),
    [
        (lambda noise: probability_flow(gaussian, noise, 10), 0.5),
        (lambda noise: reverse_diffusion(gaussian, noise, 500, lambda: torch.randn_like(noise)), 1.0),
    ],
    ids=["flow", "diffusion"],
)
def test_a_sampler_reproduces_the_moments_of_a_gaussian(sampler, memory):
    """Of where it begins, around the origin, it keeps a little, as noise of deviation 9.85 is less than all."""
    torch.manual_seed(0)
    x = sampler(torch.randn(20_000, 2))
    far = deviation(torch.tensor(1.0)).square()
    kept = (SPREAD.square() / (SPREAD.square() + far)) ** memory
    torch.testing.assert_close(x.mean(0), MEAN * (1 - kept), atol=0.03, rtol=0.02)
    torch.testing.assert_close(x.std(0), SPREAD * (1 - kept.square()).sqrt(), atol=0.0, rtol=0.05)


def test_the_flow_has_no_chance_and_asks_twice_a_step():
    asked = []
    noise = torch.randn(3, 2)

    def score(x, t):
        asked.append(len(x))
        return gaussian(x, t)

    first = probability_flow(score, noise, 5)
    assert len(asked) == 10
    assert torch.equal(first, probability_flow(score, noise, 5))
    torch.testing.assert_close(probability_flow(score, noise[1:2], 5), first[1:2])


def test_the_right_score_errs_least():
    """Of N(m, s^2), the error's mean is s^2 / (s^2 + std^2) an entry; any other score errs more."""
    torch.manual_seed(0)
    x = MEAN + SPREAD * torch.randn(40_000, 2)
    zeros = torch.zeros_like(x)

    def errors(score):
        torch.manual_seed(1)
        return score_matching_errors(score, x, zeros, *times_and_noise(x)).mean()

    t = torch.linspace(1e-5, 1, 10_001)[:, None]
    expected = (SPREAD.square() / (SPREAD.square() + deviation(t).square())).mean(0).sum()
    torch.testing.assert_close(errors(gaussian), expected, rtol=0.02, atol=0.0)
    for worse in (lambda *a: 1.1 * gaussian(*a), lambda *a: gaussian(*a) + 0.1, lambda x, *_: 0 * x):
        assert errors(worse) > errors(gaussian) * 1.003


def test_a_condition_is_given_the_noise_of_its_target():
    x, condition = torch.zeros(5, 4), torch.ones(5, 4)
    seen = {}
    score_matching_errors(lambda x, t, c: seen.update(x=x, c=c) or x, x, condition, *times_and_noise(x))
    torch.testing.assert_close(seen["c"] - seen["x"], condition)


@pytest.mark.parametrize("levels", [1, 2, 4])
def test_a_score_network_reads_its_condition_and_its_time_at_every_depth(levels):
    torch.manual_seed(0)
    network = ScoreNetwork(d=4, channels=8, levels=levels, heads=2, layers=1)
    x, t, condition = torch.randn(2, 8, 4), torch.tensor([0.1, 0.9]), torch.randn(2, 8, 4)
    found = network(x, t, condition)
    assert found.shape == x.shape
    assert not torch.allclose(found, network(x, t, condition + 1))
    assert not torch.allclose(found, network(x, t.flip(0), condition))
    torch.testing.assert_close(found[:1], network(x[:1], t[:1], condition[:1]))
    found.sum().backward()
    still = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert still == []
