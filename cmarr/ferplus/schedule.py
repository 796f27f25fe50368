"""The course of a training: its learning rate, and the size of the faces, from epoch to epoch."""

import math
from collections.abc import Sequence
from typing import Literal

Schedule = Literal["cosine", "step"]


def rate(schedule: Schedule, step: int, steps: int, warmup: int) -> float:
    """Factor of the learning rate at a step, counted from 0, of `steps` in all.

    It rises evenly over the first `warmup` steps. Then cosine: half a cosine wave down to 0 (Loshchilov and Hutter
    2017); step: a tenth from half of the steps on, a hundredth from three quarters on (Huang et al. 2017).
    """
    rise = min(1.0, (step + 1) / warmup) if warmup else 1.0
    if schedule == "cosine":
        return rise * 0.5 * (1 + math.cos(math.pi * step / steps))
    return rise * 0.1 ** ((2 * step >= steps) + (4 * step >= 3 * steps))


def cycle(epoch: int, epochs: int, restarts: Sequence[int]) -> tuple[int, int]:
    """First epoch of the cycle that an epoch, counted from 0, belongs to, and of the next.

    A new cycle begins after each of the epochs `restarts`: the learning rate starts over at its height (warm restarts,
    Loshchilov and Hutter 2017), and the weights at the end of every cycle are as good as its length allows.
    """
    edges = [0, *restarts, epochs]
    return max(e for e in edges if e <= epoch), min(e for e in edges if e > epoch)


def side(epoch: int, first: int, end: int, sides: Sequence[int], shares: Sequence[float]) -> int:
    """Height and width in pixels of the faces of an epoch, counted from 0, of the cycle from `first` to `end`.

    `sides` follow each other over shares of the cycle's epochs, rounded: small faces, which cost a quarter as much for
    half the side, first. The last side takes at least the last epoch.
    """
    done, passed = epoch - first, 0.0
    for pixels, share in zip(sides[:-1], shares[:-1], strict=True):
        passed += share
        if done < min(round(passed * (end - first)), end - first - 1):
            return pixels
    return sides[-1]
