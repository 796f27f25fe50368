"""Masks: which modalities a protocol hides, drawn per sample from a seeded generator."""

from collections.abc import Sequence

import torch
from torch import Tensor

from cmarr.modalities import CONDITIONS, INCOMPLETE, visible


def drawn_from(conditions: str | Sequence[str]) -> Sequence[str]:
    """The conditions that `train.mask_conditions` stands for: 'seven', 'six', or a list of them."""
    return {"seven": CONDITIONS, "six": INCOMPLETE}[conditions] if isinstance(conditions, str) else conditions


def draw_visible(
    available: Tensor,
    generator: torch.Generator,
    *,
    per: str = "sample",
    conditions: str | Sequence[str] = "seven",
) -> Tensor:
    """Draw what each utterance of a batch may use in a training step.

    Conditions are uniform over those named. A draw that would leave an
    utterance nothing usable is redrawn: uniform over those that leave it something. An utterance
    with no modality at all keeps whatever it drew.

    Args:
        available: (B, 3) bool, in the order s, v, t.
        generator: source of the draws; lives on the CPU so that a run on a GPU draws the same masks.
        per: 'sample', or 'batch' for one condition for the whole batch (then an utterance it would
            leave empty draws its own).
        conditions: 'seven', 'six' (the incomplete ones), or the names of those to draw from.

    Returns:
        visible (B, 3) bool, on the device of `available`.
    """
    names = drawn_from(conditions)
    patterns = torch.tensor([visible(name) for name in names])  # (C, 3)
    rows = available.shape[0]
    usable = (patterns[None] & available.cpu()[:, None]).any(2)  # (B, C)
    usable |= ~usable.any(1, keepdim=True)
    noise = torch.rand(rows, len(names), generator=generator)
    own = noise.masked_fill(~usable, -1).argmax(1)  # (B,)
    if per == "batch":
        common = int(torch.randint(len(names), (1,), generator=generator))
        own = torch.where(usable[:, common], common, own)
    return patterns[own].to(available.device)
