"""Masks: which modalities a protocol hides, drawn per sample from a seeded generator."""

from collections.abc import Sequence

import torch
from torch import Tensor

from cmarr.modalities import CONDITIONS, INCOMPLETE, visible

CMAD = {"t": 2.0, "s": 3.0, "v": 3.0, "vt": 1.0, "sv": 3.0, "st": 1.0, "svt": 1.0}
"""How often CMAD (Zhuang et al. 2025) draws each condition, of fourteen."""


def drawn_from(conditions: str | Sequence[str]) -> Sequence[str]:
    """The conditions that `train.mask_conditions` stands for: 'seven', 'six', 'cmad', or a list of them."""
    named = {"seven": CONDITIONS, "six": INCOMPLETE, "cmad": tuple(CMAD)}
    return named[conditions] if isinstance(conditions, str) else conditions


def draw_visible(
    available: Tensor,
    generator: torch.Generator,
    *,
    per: str = "sample",
    conditions: str | Sequence[str] = "seven",
) -> Tensor:
    """Draw what each utterance of a batch may use in a training step.

    Conditions are uniform over those named, or weighted as in `CMAD`. A draw that would leave an utterance
    nothing usable is redrawn among those that leave it something. An utterance with no modality at all
    keeps whatever it drew.

    Args:
        available: (B, 3) bool, in the order s, v, t.
        generator: source of the draws; lives on the CPU so that a run on a GPU draws the same masks.
        per: 'sample', or 'batch' for one condition for the whole batch (then an utterance it would
            leave empty draws its own).
        conditions: 'seven', 'six' (the incomplete ones), 'cmad' (all, with its weights), or the names of
            those to draw from.

    Returns:
        visible (B, 3) bool, on the device of `available`.
    """
    names = drawn_from(conditions)
    patterns = torch.tensor([visible(name) for name in names])  # (C, 3)
    rows = available.shape[0]
    usable = (patterns[None] & available.cpu()[:, None]).any(2)  # (B, C)
    usable |= ~usable.any(1, keepdim=True)
    noise = torch.rand(rows, len(names), generator=generator)
    if conditions == "cmad":
        noise = _weighted(noise)
    own = noise.masked_fill(~usable, -1).argmax(1)  # (B,)
    if per == "batch":
        if conditions == "cmad":
            common = int(_weighted(torch.rand(len(names), generator=generator)).argmax())
        else:
            common = int(torch.randint(len(names), (1,), generator=generator))
        own = torch.where(usable[:, common], common, own)
    return patterns[own].to(available.device)


def draw_epoch(
    available: Tensor,
    sizes: Sequence[int],
    generator: torch.Generator,
    *,
    per: str = "sample",
    conditions: str | Sequence[str] = "seven",
) -> Tensor:
    """The draws of all batches of an epoch at once: `available` (N, 3) of its utterances in their order -> (N, 3).

    The same as `draw_visible` of one batch of `sizes` after the other.
    """
    if per == "sample":  # no draw knows of a batch
        return draw_visible(available, generator, conditions=conditions)
    parts = available.split(list(sizes))
    return torch.cat([draw_visible(part, generator, per=per, conditions=conditions) for part in parts])


def _weighted(noise: Tensor) -> Tensor:
    """Uniform noise (..., 7) to the power 1/w: a condition's is the largest as often as its weight says."""
    return noise ** torch.tensor([1 / weight for weight in CMAD.values()])


def second_draw(visible: Tensor, available: Tensor) -> Tensor:
    """Another draw for each utterance of a batch: that of the next utterance whose draw leaves it something else.

    The draws of a batch are independent, so a neighbour's is as good as a new one, and whatever conditions
    are drawn from holds for it, too. Draws of utterances that they leave nothing are passed over. Where no draw of
    the batch leaves an utterance something, and something else than its own, that stays.

    visible, available (B, 3) bool -> (B, 3) bool.
    """
    left = available[:, None] & visible[None]  # (B, B, 3), what the draw of k leaves to i
    own = (available & visible)[:, None]  # (B, 1, 3)
    usable = own.any(2)  # (B, 1)
    fits = left.any(2) & (left != own).any(2) & usable & usable.T  # (B, B)
    rows = torch.arange(len(visible), device=visible.device)
    ahead = (rows[None] - rows[:, None]) % max(len(visible), 1)  # (B, B), 0 is its own
    following = ahead.masked_fill(~fits, len(visible)).argmin(1)  # (B,)
    return torch.where(fits.any(1, keepdim=True), visible[following], visible)
