"""The course of the learning rate over a training."""

import math
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
