"""Which modalities a method has branches for, and where it may use them."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
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


def usable_in(batch: Batch, visible: Tensor, modalities: tuple[str, ...]) -> tuple[Tensor, Tensor]:
    """(B, M) bool each, in the order of `modalities`: what is available, and what of it may be used."""
    columns = [MODALITIES.index(m) for m in modalities]
    # Column by column: a list of numbers would have to be copied to the device.
    available = torch.stack([batch.available[:, column] for column in columns], 1)
    return available, available & torch.stack([visible[:, column] for column in columns], 1)


def usable_under(batch: Batch, visible: Mapping[str, Tensor], modalities: tuple[str, ...]) -> Tensor:
    """(P, B, M) bool: what may be used under each of P named visibilities, in their order."""
    return torch.stack([usable_in(batch, v, modalities)[1] for v in visible.values()])


@dataclass(frozen=True)
class Distinct:
    """The different inputs among P patterns of B utterances: to an utterance without video 'vt' is 't' again.

    usable: (P, B, M) bool, empty where a pattern leaves an utterance what an earlier one has left it, or nothing
    rows:   (R,) the different inputs, as numbers into the P * B
    source: (P, B) the first pattern that leaves an utterance the same
    """

    usable: Tensor
    rows: Tensor
    source: Tensor

    def predict(self, predict: Callable[[Tensor], Tensor]) -> Tensor:
        """`predict` gives logits (n, K) for n of the inputs, as numbers into the P * B; returns (P, B, K).

        Part by part: what fits into the caches of a processor is done sooner. Zeros where nothing is usable.
        """
        patterns, size = self.source.shape
        logits = torch.cat([predict(rows) for rows in self.rows.split(ROWS_AT_ONCE)])
        every = logits.new_zeros(patterns * size, logits.shape[-1]).index_copy(0, self.rows, logits)
        return self.spread(every.view(patterns, size, -1))

    def spread(self, first: Tensor) -> Tensor:
        """(P, B, ...), right where an input stands first -> the same, right everywhere."""
        size = self.source.shape[1]
        return first[self.source, torch.arange(size, device=first.device)]


def distinct(usable: Tensor) -> Distinct:
    """Which of the (P, B, M) sets of usable modalities differ, utterance by utterance."""
    patterns = torch.arange(len(usable), device=usable.device)
    same = (usable[:, None] == usable[None]).all(-1)  # (P, P, B)
    source = same.int().argmax(1)  # (P, B), the first of equals
    first = (source == patterns[:, None]) & usable.any(-1)
    return Distinct(usable & first[..., None], first.flatten().nonzero().squeeze(1), source)


def by_name(visible: Mapping[str, Tensor], logits: Tensor) -> dict[str, Prediction]:
    """Logits (P, B, K), in the order of P named visibilities -> the prediction under each name."""
    return {name: Prediction(own) for name, own in zip(visible, logits, strict=True)}


def with_recoveries(
    names: Iterable[str],
    inputs: Distinct,
    completed: Mapping[str, Tensor],
    recovered: Tensor,
    logits: Tensor,
) -> dict[str, Prediction]:
    """Predictions by pattern, with what was recovered for each, wherever its input stands first.

    completed: modality -> (P, B, L, d); recovered (P, B, M) bool, both for `inputs.usable`; logits (P, B, K).
    """
    rows = inputs.spread(recovered)
    everyone = torch.arange(rows.shape[1], device=rows.device)
    predictions = {}
    for p, name in enumerate(names):
        own = {m: rows[p, :, i] for i, m in enumerate(completed)}
        predictions[name] = Prediction(
            logits=logits[p],
            recovered={
                m: x[inputs.source[p], everyone] * own[m][:, None, None] for m, x in completed.items()
            },
            recovered_rows=own,
        )
    return predictions


Sizes = TypeVar("Sizes", bound=Any)


def heads_fit(sizes: Sizes) -> Sizes:
    """A validator of settings with `d` and `heads`. Raises ValueError where the heads do not divide d, or are odd."""
    if sizes.heads % 2 or sizes.d % sizes.heads:
        raise ValueError(f"heads must be even and divide d = {sizes.d}, not be {sizes.heads}")
    return sizes
