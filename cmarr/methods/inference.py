"""What a method says of a whole split, batch by batch, in evaluation mode: predictions, recoveries, representations."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from cmarr.data.batch import Batch, visibility
from cmarr.data.dialogues import undivided
from cmarr.data.normalise import Normaliser
from cmarr.data.store import Store
from cmarr.methods.asking import fused, in_dialogues, predictions
from cmarr.methods.protocol import Recovers, Spread
from cmarr.modalities import CONDITION_OF, CONDITIONS, visible

ROWS = 256
"""Utterances that are predicted at once; bounds memory. Another number changes a probability by less than 1e-6."""


def batches(method: nn.Module, normaliser: Normaliser, store: Store) -> Iterator[Batch]:
    """A whole store, normalised, `ROWS` utterances at a time; `method` is in evaluation mode until the last is over.

    A method that reads dialogues gets them whole: more at a time, where that takes more.
    """
    training = method.training
    method.eval()
    rows = torch.arange(len(store))
    sizes = [len(part) for part in rows.split(ROWS)]
    if store.dialogues is not None and in_dialogues(method):
        sizes = undivided(store.dialogues, ROWS)
    for batch in store.batches(rows, sizes):
        yield normaliser(batch)
    method.train(training)


@torch.no_grad()
def split_logits(
    method: nn.Module, normaliser: Normaliser, store: Store, conditions: Iterable[str]
) -> dict[str, Tensor]:
    """Logits (N, K) per condition for a whole store, in evaluation mode, on the CPU.

    Rows with nothing usable hold whatever the method gave; the caller replaces them by the prior.
    """
    names = list(conditions)
    parts: dict[str, list[Tensor]] = {name: [] for name in names}
    for batch in batches(method, normaliser, store):
        masks = {name: visibility(name, len(batch), store.labels.device) for name in names}
        for name, prediction in predictions(method, batch, masks).items():
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


@dataclass(frozen=True)
class Recoveries:
    """N utterances.

    truths:    modality -> (N, L, d) float32
    available: (N, 3) bool, in the order s, v, t
    recovered: (sources, missing) -> (N, L, d): the modality `missing`, recovered from the condition `sources`;
               meaningful in the rows in which all of them exist
    logits:    condition -> (N, K) logits
    """

    truths: Mapping[str, np.ndarray]
    available: np.ndarray
    recovered: Mapping[tuple[str, str], np.ndarray]
    logits: Mapping[str, np.ndarray]

    def rows(self, sources: str, missing: str) -> np.ndarray:
        """The utterances (R,) in which the sources and the truth exist."""
        return np.flatnonzero(self.available[:, visible(sources + missing)].all(1))

    def agrees(self, sources: str, missing: str, rows: np.ndarray) -> np.ndarray:
        """(R,) bool: whether the recovered modality leads to the class that the true one leads to.

        The prediction from the sources alone against the one from the sources and the true `missing`; what else the
        utterance has stays hidden, and is recovered, in both. Of a score the class is its side of zero.
        """
        both = CONDITION_OF[frozenset(sources + missing)]
        found, true = (self.logits[condition][rows] for condition in (sources, both))
        score = found.shape[1] == 1
        same: np.ndarray = (
            (found[:, 0] >= 0) == (true[:, 0] >= 0) if score else found.argmax(1) == true.argmax(1)
        )
        return same


@torch.no_grad()
def recoveries(method: nn.Module, normaliser: Normaliser, store: Store) -> Recoveries:
    """Recover every modality of a split from each condition that hides it, and predict, in evaluation mode."""
    truths: dict[str, list[Tensor]] = defaultdict(list)
    recovered: dict[tuple[str, str], list[Tensor]] = defaultdict(list)
    logits: dict[str, list[Tensor]] = defaultdict(list)
    for batch in batches(method, normaliser, store):
        true = cast(Recovers, method).truths(batch)
        for modality, x in true.items():
            truths[modality].append(x.float().cpu())
        masks = {
            condition: visibility(condition, len(batch), store.labels.device) for condition in CONDITIONS
        }
        for condition, prediction in predictions(method, batch, masks).items():
            if not set(condition) <= set(true):
                continue
            logits[condition].append(prediction.logits.float().cpu())
            for modality, x in prediction.recovered.items():
                if modality not in condition:
                    recovered[condition, modality].append(x.float().cpu())
    return Recoveries(
        {m: torch.cat(parts).numpy() for m, parts in truths.items()},
        store.available.cpu().numpy(),
        {key: torch.cat(parts).numpy() for key, parts in recovered.items()},
        {condition: torch.cat(parts).numpy() for condition, parts in logits.items()},
    )


@torch.no_grad()
def representations(
    method: nn.Module, normaliser: Normaliser, store: Store, conditions: Iterable[str] = CONDITIONS
) -> dict[str, np.ndarray]:
    """Condition -> (N, d) float32 of a `Represents`, in evaluation mode.

    Rows that have nothing usable under a condition hold whatever the method gave.
    """
    names = list(conditions)
    parts: dict[str, list[Tensor]] = defaultdict(list)
    for batch in batches(method, normaliser, store):
        masks = {name: visibility(name, len(batch), store.labels.device) for name in names}
        for name, h in fused(method, batch, masks).items():
            parts[name].append(h.float().cpu())
    return {name: torch.cat(part).numpy() for name, part in parts.items()}
