"""Answers of a method for a whole split under fixed conditions."""

from collections.abc import Iterable
from typing import cast

import torch
from torch import Tensor, nn

from cmarr.data.batch import visibility
from cmarr.data.normalise import Normaliser
from cmarr.data.store import Store
from cmarr.methods.protocol import Method

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
