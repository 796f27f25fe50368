"""Answers of a method for a whole split under fixed conditions."""

from collections.abc import Iterable, Iterator
from typing import cast

import torch
from torch import Tensor, nn

from cmarr.data.batch import Batch, visibility
from cmarr.data.normalise import Normaliser
from cmarr.data.store import Store
from cmarr.methods.protocol import Method, Spread

ROWS = 256
"""Utterances answered at once; bounds memory, never changes an answer."""


def batches(method: nn.Module, normaliser: Normaliser, store: Store) -> Iterator[Batch]:
    """A whole store, normalised, `ROWS` utterances at a time; `method` is in evaluation mode until the last is over."""
    training = method.training
    method.eval()
    rows = torch.arange(len(store))
    for batch in store.batches(rows, [len(part) for part in rows.split(ROWS)]):
        yield normaliser(batch)
    method.train(training)


@torch.no_grad()
def answer(
    method: nn.Module, normaliser: Normaliser, store: Store, conditions: Iterable[str]
) -> dict[str, Tensor]:
    """Logits (N, K) per condition for a whole store, in evaluation mode, on the CPU.

    Rows with nothing usable hold whatever the method gave; the caller replaces them by the prior.
    """
    names = list(conditions)
    parts: dict[str, list[Tensor]] = {name: [] for name in names}
    for batch in batches(method, normaliser, store):
        masks = {name: visibility(name, len(batch), store.labels.device) for name in names}
        for name, prediction in cast(Method, method).predict(batch, masks).items():
            parts[name].append(prediction.logits.float().cpu())
    return {name: torch.cat(part) for name, part in parts.items()}


@torch.no_grad()
def spreads(method: nn.Module, normaliser: Normaliser, store: Store) -> dict[str, Tensor]:
    """Modality -> (N,) what `Spread.spreads` says of a whole store, NaN where it is not available, on the CPU.

    Empty for a method that does not know.
    """
    if not isinstance(method, Spread):
        return {}
    parts: dict[str, list[Tensor]] = {m: [] for m in store.values}
    for batch in batches(method, normaliser, store):
        for m, found in method.spreads(batch).items():
            parts[m].append(found.masked_fill(batch.lengths[m] == 0, torch.nan).cpu())
    return {m: torch.cat(part) for m, part in parts.items() if part}
