"""Where a training stands, and its state on disk, so that a killed one goes on to the same bits."""

import math
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from cmarr import objects
from cmarr.seals import require_whole, sealed
from cmarr.training.settings import Precision

Kept = tuple[int, list[float]]
"""Epochs, and validation scores, of a stage: what a training without validation data repeats."""


@dataclass
class Progress:
    """Where a training stands: all that is needed, with the weights, to go on.

    Epochs are counted over all stages, of which number `stage` began after `begin` of them; best_* are those
    of that stage. `kept` holds, of every finished stage, how many of its epochs led to the weights that were kept,
    and the validation scores of all of them. `precision` is what was measured where the settings say `auto`.
    """

    stage: int = 0
    begin: int = 0
    epoch: int = 0
    best_epoch: int = 0
    best_score: float = -math.inf
    best_state: dict[str, torch.Tensor] = field(default_factory=dict)
    curves: list[dict[str, float]] = field(default_factory=list)
    seconds: float = 0.0
    core_seconds: float = 0.0
    kept: list[Kept] = field(default_factory=list)
    precision: Precision | None = None

    @property
    def scores(self) -> list[float]:
        """The validation scores of this stage's epochs so far."""
        curves = self.curves[self.begin :]
        return [curve["validation/selection"] for curve in curves if "validation/selection" in curve]

    def end_stage(self, method: nn.Module, last: bool) -> None:
        """Leave `method` with the weights that were kept, and begin the next stage, if there is one."""
        self.kept.append((self.best_epoch - self.begin, self.scores))
        method.load_state_dict(self.best_state)
        self.stage, self.begin = self.stage + 1, self.epoch
        if not last:
            self.best_score, self.best_epoch, self.best_state = -math.inf, self.epoch, {}


class Clock:
    """The time that a training takes, over all its sittings: goes on from the times of the earlier ones.

    The time on the wall grows with whatever else a machine does; that of the cores hardly does, and is what methods
    are compared by where they train on a CPU.
    """

    def __init__(self, seconds: float = 0.0, core_seconds: float = 0.0):
        self._wall = time.monotonic() - seconds
        self._cores = time.process_time() - core_seconds

    @property
    def seconds(self) -> float:
        """Seconds on the wall."""
        return time.monotonic() - self._wall

    @property
    def core_seconds(self) -> float:
        """Seconds that the cores spent on this process, added up over its threads."""
        return time.process_time() - self._cores


class Checkpoint:
    """One file that holds the newest complete state; written atomically, loaded without running code."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def load(self) -> dict[str, Any] | None:
        """The newest state, or None when there is none. Raises UserError for one that is damaged."""
        if not objects.is_file(self.path):
            return None
        with objects.local(self.path) as file:
            require_whole(file, "remove it and run again: this training then starts from the beginning")
            state: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
        return state

    def save(self, state: dict[str, Any]) -> None:
        """Replace the state."""
        # to an open file, which says why it cannot be written to
        with sealed(self.path) as temporary, temporary.open("wb") as opened:
            torch.save(state, opened)

    def clear(self) -> None:
        """Remove the state of a training that has ended."""
        objects.remove(self.path)


def state_of(
    progress: Progress, method: nn.Module, optimiser: torch.optim.Optimizer, generator: torch.Generator
) -> dict[str, Any]:
    """All that a training needs to go on."""
    return {
        "progress": vars(progress),
        "method": method.state_dict(),
        "optimiser": optimiser.state_dict(),
        "generator": generator.get_state(),
        "global_generator": torch.get_rng_state(),
        "cuda_generators": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def restored(state: dict[str, Any], method: nn.Module, generator: torch.Generator) -> Progress:
    """Put the method and the generators where they were, all but the optimiser, and say where that is."""
    method.load_state_dict(state["method"])
    generator.set_state(state["generator"])
    torch.set_rng_state(state["global_generator"])
    if state["cuda_generators"]:
        torch.cuda.set_rng_state_all(state["cuda_generators"])
    return Progress(**state["progress"])
