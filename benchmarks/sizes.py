"""Sizes that benchmarks share: of the features that the MMIN family published, and of the networks.

python -m benchmarks.sizes      the parameters of each, and of the models that they start from
"""

from typing import Any

import torch
from torch import nn

from cmarr.methods.protocol import Started
from cmarr.methods.registry import build_method, method_class
from cmarr.task import Task

SHAPES = {"s": (60, 130), "v": (50, 342), "t": (22, 1024)}
"""Modality -> mean number of frames, and width."""

DIMS = {m: width for m, (_, width) in SHAPES.items()}
TASK = Task(("angry", "happy", "neutral", "sad"))

FULL = {"d": 128, "length": 50, "flow_steps": 8, "blocks": 4, "heads": 4}
"""CM-ARR in the sizes of its paper."""

PUBLISHED_DICMOR = {"d": 32, "length": 50, "depth": 4, "heads": 8, "flow_steps": 32, "blocks": 20}
"""DiCMoR+ in its authors' sizes; their features are 768/5/20 wide."""

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
    """A method with random weights, ready to be trained, or with `first_stage` the model that it starts from.

    settings: of the method; the model that it starts from takes those of them that it has, too.
    """
    torch.manual_seed(0)
    first = getattr(method_class(method), "first_stage", None)
    taken = {} if first is None else {k: v for k, v in settings.items() if k in first.Settings.model_fields}
    if first_stage:
        return build_method(method, dims, TASK, taken, first_stage=True).train()
    made = build_method(method, dims, TASK, settings)
    if isinstance(made, Started):
        made.start_from(build_method(method, dims, TASK, taken, first_stage=True))
    return made.train()


def main() -> None:
    """Print a line a method."""
    for title, (name, settings, _) in RUNS.items():
        for first in [False, True][: 1 + hasattr(method_class(name), "first_stage")]:
            count = sum(p.numel() for p in build(name, settings, first).parameters())
            print(f"{title + ', stage 1' * first:28} {count:>12,}")


if __name__ == "__main__":
    main()
