"""A variance-exploding diffusion (Song et al. 2021) as IMDer has it, and two ways to sample from its score.

x_t = x + std(t) noise,  std(t)^2 = (25^(2 t) - 1) / (2 ln 25),  t from 0 to 1
"""

import itertools
import math
from collections.abc import Callable

import torch
from torch import Tensor

SIGMA = 25.0
LATEST, EARLIEST = 1.0, 1e-3
"""Times at which sampling begins and ends."""

Score = Callable[[Tensor, Tensor], Tensor]
"""x (R, ...) and times (R,) -> the gradient of the log density of x_t at x."""


def deviation(t: Tensor) -> Tensor:
    """std(t) of the noise.

    >>> deviation(torch.tensor([0.0, 1.0]))
    tensor([0.0000, 9.8452])
    """
    return ((SIGMA ** (2 * t) - 1) / (2 * math.log(SIGMA))).sqrt()


def time_of(std: Tensor) -> Tensor:
    """The time at which the noise has a deviation.

    >>> time_of(deviation(torch.tensor([0.25])))
    tensor([0.2500])
    """
    return (2 * math.log(SIGMA) * std.square()).log1p() / (2 * math.log(SIGMA))


def probability_flow(score: Score, noise: Tensor, steps: int) -> Tensor:
    """Follow dx/dstd = -std score(x) from noise to data: without chance, the same noise gives the same x.

    Heun's method on deviations that fall as in Karras et al. (2022), rho 7; at the end what noise is left is taken
    away in one step. Asks for the score 2 `steps` times.

    noise (R, ...): of standard normal entries -> (R, ...)

    >>> def score(x, t):  # of data that are 3 throughout
    ...     return (3 - x) / deviation(t).square()
    >>> probability_flow(score, torch.ones(2), 4)
    tensor([3., 3.])
    """
    high, low = (end ** (1 / 7) for end in deviation(torch.tensor([LATEST, EARLIEST])).tolist())
    stds: list[float] = [(high + step / steps * (low - high)) ** 7 for step in range(steps + 1)]

    def slope(x: Tensor, std: float) -> Tensor:
        return -std * score(x, time_of(x.new_full((len(x),), std)))

    x = stds[0] * noise
    for now, then in itertools.pairwise(stds):
        first = slope(x, now)
        there = x + (then - now) * first
        x = there if then == stds[-1] else x + (then - now) * (first + slope(there, then)) / 2
    return x - stds[-1] * slope(x, stds[-1])


def reverse_diffusion(score: Score, noise: Tensor, steps: int, draw: Callable[[], Tensor]) -> Tensor:
    """IMDer's sampler: Euler-Maruyama on evenly spaced times, the last step without noise.

    noise (R, ...) as above; draw: standard normal noise for a step, of a shape that x takes.

    >>> def score(x, t):  # of standard normal data
    ...     return -x / (1 + deviation(t).square())
    >>> _ = torch.manual_seed(0)
    >>> found = reverse_diffusion(score, torch.randn(4000), 200, lambda: torch.randn(4000))
    >>> round(found.std().item(), 1)
    1.0
    """
    times = torch.linspace(LATEST, EARLIEST, steps).tolist()
    step = (LATEST - EARLIEST) / max(steps - 1, 1)
    x = mean = deviation(torch.tensor(LATEST)).item() * noise
    for t in times:
        diffusion = SIGMA**t
        mean = x + diffusion**2 * step * score(x, x.new_full((len(x),), t))
        x = mean + math.sqrt(step) * diffusion * draw()
    return mean
