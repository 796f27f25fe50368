"""Which modalities a method has branches for, and where it may use them."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import torch
from torch import Tensor

from cmarr.data.batch import Batch
from cmarr.errors import UserError
from cmarr.methods.protocol import Prediction
from cmarr.modalities import MODALITIES

ROWS_AT_ONCE = 256
"""Rows that are predicted at once; changes speed, never a prediction."""


def modalities_of(dims: Mapping[str, int]) -> tuple[str, ...]:
    """The modalities of a corpus in the order s, v, t. Raises UserError without any."""
    modalities = tuple(m for m in MODALITIES if m in dims)
    if not modalities:
        raise UserError(
            "the corpus has features of no modality at all: run the extraction, or check its input"
        )
    return modalities


def usable_in(batch: Batch, modalities: tuple[str, ...]) -> Tensor:
    """(B, M) bool, in the order of `modalities`: what is there, and so may be used."""
    # Column by column: a list of numbers would have to be copied to the device.
    return torch.stack([batch.available[:, MODALITIES.index(m)] for m in modalities], 1)


def in_parts(classify: Callable[[Tensor], Tensor], available: Tensor) -> Tensor:
    """Logits (B, K) of a batch, `available` (B, 3); `classify` gives those of the inputs with the numbers (n,).

    Part by part: what fits into the caches of a processor is done sooner.
    """
    rows = torch.arange(len(available), device=available.device)
    return torch.cat([classify(part) for part in rows.split(ROWS_AT_ONCE)])


def with_recoveries(logits: Tensor, completed: Mapping[str, Tensor], recovered: Tensor) -> Prediction:
    """A prediction with what was recovered for it: modality -> (B, L, d), and (B, M) bool, where that is."""
    rows = {m: recovered[:, i] for i, m in enumerate(completed)}
    return Prediction(logits, {m: x * rows[m][:, None, None] for m, x in completed.items()}, rows)


def averaged(drawn: Sequence[Prediction], regression: bool) -> Prediction:
    """The mean of several predictions of one batch: of their probabilities, or scores, and of what they recovered."""
    stacked = torch.stack([one.logits for one in drawn])
    mean = stacked.mean(0) if regression else stacked.log_softmax(-1).logsumexp(0) - math.log(len(drawn))
    recovered = {m: torch.stack([one.recovered[m] for one in drawn]).mean(0) for m in drawn[0].recovered}
    return replace(drawn[0], logits=mean, recovered=recovered)


Sizes = TypeVar("Sizes", bound=Any)


def heads_fit(sizes: Sizes) -> Sizes:
    """A validator of settings with `d` and `heads`. Raises ValueError where the heads do not divide d, or are odd."""
    if sizes.heads % 2 or sizes.d % sizes.heads:
        raise ValueError(f"heads must be even and divide d = {sizes.d}, not be {sizes.heads}")
    return sizes
