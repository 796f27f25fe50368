"""Which modalities a method has branches for, and where it may use them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from cmarr.data.batch import Batch
from cmarr.errors import UserError
from cmarr.methods.protocol import Prediction
from cmarr.modalities import MODALITIES

QUESTIONS = 256
"""Questions that are answered at once; changes speed, never an answer."""


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
    """The different questions among P patterns of B utterances: to an utterance without video 'vt' is 't' again.

    usable: (P, B, M) bool, empty where a pattern asks what an earlier one has asked, or nothing
    rows:   (R,) the questions, as numbers into the P * B
    source: (P, B) the first pattern that asks the same of an utterance
    """

    usable: Tensor
    rows: Tensor
    source: Tensor

    def answer(self, ask: Callable[[Tensor], Tensor]) -> Tensor:
        """`ask` gives answers (n, K) to n of the questions, as numbers into the P * B; returns (P, B, K).

        Asked part by part: what fits into the caches of a processor is done sooner. Zeros where nothing is usable.
        """
        patterns, size = self.source.shape
        answers = torch.cat([ask(rows) for rows in self.rows.split(QUESTIONS)])
        every = answers.new_zeros(patterns * size, answers.shape[-1]).index_copy(0, self.rows, answers)
        return self.spread(every.view(patterns, size, -1))

    def spread(self, first: Tensor) -> Tensor:
        """(P, B, ...), right where a question was asked first -> the same, right everywhere."""
        size = self.source.shape[1]
        return first[self.source, torch.arange(size, device=first.device)]


def distinct(usable: Tensor) -> Distinct:
    """Which of the (P, B, M) sets of usable modalities differ, utterance by utterance."""
    patterns = torch.arange(len(usable), device=usable.device)
    same = (usable[:, None] == usable[None]).all(-1)  # (P, P, B)
    source = same.int().argmax(1)  # (P, B), the first of equals
    asked = (source == patterns[:, None]) & usable.any(-1)
    return Distinct(usable & asked[..., None], asked.flatten().nonzero().squeeze(1), source)


def recoveries_of(
    names: Sequence[str],
    questions: Distinct,
    completed: Mapping[str, Tensor],
    recovered: Tensor,
    logits: Tensor,
) -> dict[str, Prediction]:
    """Predictions by pattern: what was recovered for each, wherever its question was asked first.

    completed: modality -> (P, B, L, d); recovered (P, B, M) bool, both for `questions.usable`; logits (P, B, K).
    """
    rows = questions.spread(recovered)
    everyone = torch.arange(rows.shape[1], device=rows.device)
    predictions = {}
    for p, name in enumerate(names):
        own = {m: rows[p, :, i] for i, m in enumerate(completed)}
        predictions[name] = Prediction(
            logits=logits[p],
            recovered={
                m: x[questions.source[p], everyone] * own[m][:, None, None] for m, x in completed.items()
            },
            recovered_rows=own,
        )
    return predictions


def by_name(visible: Mapping[str, Tensor], logits: Tensor) -> dict[str, Prediction]:
    """Logits (P, B, K), in the order of P named visibilities -> the answer under each name."""
    return {name: Prediction(own) for name, own in zip(visible, logits, strict=True)}


def check_sizes(method: str, *, d: int, heads: int, length: int) -> None:
    """Refuse sizes that cannot work, with the key's name. Raises UserError."""
    if length < 1:
        raise UserError(f"method.{method}.length: {length} steps; there must be at least 1")
    if heads < 2 or heads % 2:
        raise UserError(f"method.{method}.heads: {heads} must be an even number of at least 2")
    if d % heads:
        raise UserError(
            f"method.{method}.d: {d} channels cannot be divided among {heads} heads; take a multiple"
        )
