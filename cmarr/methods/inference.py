"""Answers of a method for a whole split under fixed conditions."""

from collections.abc import Iterable
from typing import cast

import torch
from torch import Tensor, nn

from cmarr.data.batch import visibility
from cmarr.data.normalise import Normaliser
from cmarr.data.store import Store
from cmarr.methods.protocol import Method, Spread

ROWS = 256
"""Utterances answered at once; bounds memory, never changes an answer."""


@torch.no_grad()
def answer(
    method: nn.Module, normaliser: Normaliser, store: Store, conditions: Iterable[str]
) -> dict[str, Tensor]:
    """Logits (N, K) per condition for a whole store, in evaluation mode, on the CPU.

    Rows with nothing usable hold whatever the method gave; the caller replaces them by the prior.
    """
    names = list(conditions)
    training = method.training
    method.eval()
    parts: dict[str, list[Tensor]] = {name: [] for name in names}
    device = store.labels.device
    for rows in torch.arange(len(store), device=device).split(ROWS):
        batch = normaliser(store.batch(rows))
        masks = {name: visibility(name, len(rows), device) for name in names}
        for name, prediction in cast(Method, method).predict(batch, masks).items():
            parts[name].append(prediction.logits.float().cpu())
    method.train(training)
    return {name: torch.cat(part) for name, part in parts.items()}


@torch.no_grad()
def spreads(method: nn.Module, normaliser: Normaliser, store: Store) -> dict[str, Tensor]:
    """Modality -> (N,) what `Spread.spreads` says of a whole store, NaN where it is not available, on the CPU.

    Empty for a method that does not know.
    """
    if not isinstance(method, Spread):
        return {}
    training = method.training
    method.eval()
    parts: dict[str, list[Tensor]] = {m: [] for m in store.values}
    for rows in torch.arange(len(store), device=store.labels.device).split(ROWS):
        batch = normaliser(store.batch(rows))
        for m, found in method.spreads(batch).items():
            parts[m].append(found.masked_fill(batch.lengths[m] == 0, torch.nan).cpu())
    method.train(training)
    return {m: torch.cat(part) for m, part in parts.items() if part}
