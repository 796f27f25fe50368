"""How Denseface is trained: what denseface/params.yaml may say, and what follows for each step and each epoch."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from cmarr.budgets import expanded, real
from cmarr.declaration import (
    AtLeastTwo,
    Count,
    Flag,
    NotNegative,
    Positive,
    Probability,
    Section,
    Seed,
    Share,
)
from cmarr.encoders.face_network import SIDE
from cmarr.settings.load import read_yaml
from cmarr.validation import validate
from denseface.augment import Augmentation

PARAMS = Path("denseface", "params.yaml")
"""The manual of every key below."""

Schedule = Literal["cosine", "step"]
Side = Annotated[int, Field(ge=16, le=SIDE, strict=True)]


class Recipe(Section):
    """What decides the weights, besides the faces."""

    seed: Seed
    epochs: Count
    restarts: tuple[Count, ...]
    sides: Annotated[tuple[Side, ...], Field(min_length=1)]
    side_shares: tuple[Share, ...]
    batch_size: AtLeastTwo
    lr: Positive
    schedule: Schedule
    warmup: NotNegative
    momentum: Probability
    weight_decay: NotNegative
    average: Probability
    precision: Literal["bf16", "fp32"]
    augment: Augmentation

    @model_validator(mode="after")
    def _course(self) -> "Recipe":
        if list(self.restarts) != sorted(set(self.restarts)) or max(self.restarts, default=0) >= self.epochs:
            raise ValueError(
                f"restarts must rise and stay below epochs = {self.epochs}, not be {list(self.restarts)}"
            )
        if self.sides[-1] != SIDE:
            raise ValueError(
                f"sides must end with {SIDE}, the size that Denseface is used at, not with {self.sides[-1]}"
            )
        if len(self.side_shares) != len(self.sides) or abs(sum(self.side_shares) - 1) > 1e-6:
            raise ValueError(f"side_shares must be {len(self.sides)} shares, one a side, that add up to 1")
        return self


class Settings(Section):
    """The whole of denseface/params.yaml: the recipe, where the faces lie, and what changes how fast it goes."""

    root: str
    recipe: Recipe
    device: str
    compile: Flag
    threads: Count
    save_minutes: Positive

    @property
    def faces(self) -> Path:
        """Where FER+ lies: `root`, if relative then to params.yaml."""
        return real(PARAMS.parent / expanded(self.root))


def load_settings(params: Path = PARAMS) -> Settings:
    """Read params.yaml. Raises UserError, naming the key, for whatever is missing, unknown or out of range."""
    return validate(Settings, read_yaml(params), str(params))


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
