"""Sizes that benchmarks share: of the features that the MMIN family published, and of the networks."""

from typing import Any

import torch
from torch import nn

from cmarr.methods.protocol import Started
from cmarr.methods.registry import build_method
from cmarr.task import Task

SHAPES = {"s": (60, 130), "v": (50, 342), "t": (22, 1024)}
"""Modality -> mean number of frames, and width."""

DIMS = {m: width for m, (_, width) in SHAPES.items()}
TASK = Task(("angry", "happy", "neutral", "sad"))

FULL = {"d": 128, "length": 50, "flow_steps": 8, "blocks": 4, "heads": 4}
"""CM-ARR in the sizes of its paper."""

FROZEN = {"d": 64, "length": 16, "flow_steps": 4, "blocks": 2, "heads": 4}
"""CM-ARR in the sizes of the preset `frozen`."""

MIDDLE = FROZEN | {"length": 32}

Run = tuple[str, dict[str, Any], int]
"""A method, its settings, and the size of its batches."""

RUNS: dict[str, Run] = {
    "cmarr, full (batch 16)": ("cmarr", FULL, 16),
    "cmarr, d 64, L 32": ("cmarr", MIDDLE, 64),
    "cmarr, frozen": ("cmarr", FROZEN, 64),
    "masked": ("masked", {"d": 64, "length": 16, "heads": 4}, 64),
    "mmin": ("mmin", {}, 64),
    "mcur": ("mcur", {"d": 64, "latents": 4, "heads": 4}, 64),
}


def build(
    method: str, settings: dict[str, Any], first_stage: bool = False, dims: dict[str, int] = DIMS
) -> nn.Module:
    """A method with random weights, ready to be trained."""
    torch.manual_seed(0)
    made = build_method(method, dims, TASK, settings, first_stage=first_stage)
    if isinstance(made, Started):
        taken = {key: settings[key] for key in made.first_stage_takes if key in settings}
        made.start_from(build_method(method, dims, TASK, taken, first_stage=True))
    return made.train()
