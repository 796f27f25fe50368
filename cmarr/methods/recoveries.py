"""What a method recovers, beside the truth, for a whole split."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, cast, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

from cmarr.data.batch import Batch, visibility
from cmarr.data.normalise import Normaliser
from cmarr.data.store import Store
from cmarr.methods.inference import batches
from cmarr.methods.protocol import Method
from cmarr.modalities import CONDITION_OF, CONDITIONS, visible


@runtime_checkable
class Recovers(Protocol):
    """A method whose recovered representations can be compared with true ones."""

    def truths(self, batch: Batch) -> dict[str, Tensor]:
        """The true representations, modality -> (B, L, d), zero where it is not available."""
        ...


@dataclass(frozen=True)
class Recoveries:
    """N utterances.

    truths:    modality -> (N, L, d) float32
    available: (N, 3) bool, in the order s, v, t
    recovered: (sources, missing) -> (N, L, d): the modality `missing`, recovered from the condition `sources`;
               meaningful in the rows in which all of them exist
    answers:   condition -> (N, K) logits
    """

    truths: Mapping[str, np.ndarray]
    available: np.ndarray
    recovered: Mapping[tuple[str, str], np.ndarray]
    answers: Mapping[str, np.ndarray]

    def rows(self, sources: str, missing: str) -> np.ndarray:
        """The utterances (R,) in which the sources and the truth exist."""
        return np.flatnonzero(self.available[:, visible(sources + missing)].all(1))

    def agrees(self, sources: str, missing: str, rows: np.ndarray) -> np.ndarray:
        """(R,) bool: whether the recovered modality leads to the class that the true one leads to.

        The answer from the sources alone against the one from the sources and the true `missing`; what else the
        utterance has stays hidden, and is recovered, in both. Of a score the class is its side of zero.
        """
        both = CONDITION_OF[frozenset(sources + missing)]
        found, true = (self.answers[condition][rows] for condition in (sources, both))
        if found.shape[1] == 1:
            return (found[:, 0] >= 0) == (true[:, 0] >= 0)
        return found.argmax(1) == true.argmax(1)


@torch.no_grad()
def recoveries(method: nn.Module, normaliser: Normaliser, store: Store) -> Recoveries:
    """Recover every modality of a split from each condition that hides it, and answer, in evaluation mode."""
    truths: dict[str, list[Tensor]] = defaultdict(list)
    recovered: dict[tuple[str, str], list[Tensor]] = defaultdict(list)
    answers: dict[str, list[Tensor]] = defaultdict(list)
    for batch in batches(method, normaliser, store):
        true = cast(Recovers, method).truths(batch)
        for modality, x in true.items():
            truths[modality].append(x.float().cpu())
        masks = {
            condition: visibility(condition, len(batch), store.labels.device) for condition in CONDITIONS
        }
        for condition, prediction in cast(Method, method).predict(batch, masks).items():
            if not set(condition) <= set(true):
                continue
            answers[condition].append(prediction.logits.float().cpu())
            for modality, x in prediction.recovered.items():
                if modality not in condition:
                    recovered[condition, modality].append(x.float().cpu())
    return Recoveries(
        {m: torch.cat(parts).numpy() for m, parts in truths.items()},
        store.available.cpu().numpy(),
        {key: torch.cat(parts).numpy() for key, parts in recovered.items()},
        {condition: torch.cat(parts).numpy() for condition, parts in answers.items()},
    )
