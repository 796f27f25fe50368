"""Training data made scarce: few labels, and modalities that are missing at random; drawn once a fold.

What is drawn depends on the fold alone, so it is the same for every method and seed. The draws are nested: what keeps
its label at 15 % keeps it at 30 %, and what is missing at a rate that all modalities share is missing at a higher one.
"""

import math
from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from cmarr.data.labelled import UNLABELLED, labelled
from cmarr.data.store import Store
from cmarr.modalities import MODALITIES, NAMES
from cmarr.task import Task

LABELS, HOLES = 0, 1
"""Of the two draws of a fold."""


def scarce(
    store: Store, rows: int, fold: int, task: Task, *, labels: float, holes: float | Mapping[str, float]
) -> Store:
    """The store with the first `rows` utterances made scarce; the others, of validation, stay as they are.

    labels: share of those with a label that keep it, at least one a class; of a score, a class is its sign
    holes:  rate at which a modality is missing, or the rate of each by its name, 0 of others; of what an utterance
            has, at least one stays
    """
    if labels < 1:
        store = replace(store, labels=few_labels(store.labels, rows, _generator(fold, LABELS), task, labels))
    if holes:
        own, draw = store.available[:rows], _generator(fold, HOLES)
        kept = with_rates(own, draw, holes) if isinstance(holes, Mapping) else with_holes(own, draw, holes)
        kept = torch.cat([kept, kept.new_ones(len(store) - rows, 3)])
        lengths = {m: n * kept[:, MODALITIES.index(m)] for m, n in store.lengths.items()}
        store = replace(store, lengths=lengths)
    return store


def few_labels(labels: Tensor, rows: int, generator: torch.Generator, task: Task, share: float) -> Tensor:
    """Labels (N,), of whose first `rows` no more than a share is left, of each class ceil(share n).

    >>> generator = torch.Generator().manual_seed(0)
    >>> found = few_labels(torch.tensor([0, 0, 0, 0, 1, 1, 1]), 6, generator, Task(("a", "b")), 0.5)
    >>> [int((found[:6] == k).sum()) for k in (0, 1, -1)], int(found[6])
    ([2, 1, 3], 1)
    """
    out = labels.clone()
    classes = labels[:rows].sign() if task.regression else labels[:rows]
    order = torch.randperm(rows, generator=generator)
    for one in classes[labelled(labels[:rows])].unique().tolist():
        own = order[classes[order] == one]
        out[own[math.ceil(share * len(own)) :]] = torch.nan if task.regression else UNLABELLED
    return out


def with_holes(available: Tensor, generator: torch.Generator, rate: float) -> Tensor:
    """(N, 3) bool: what is kept of what is available (N, 3), each modality but with probability `rate`."""
    noise = torch.rand(available.shape, generator=generator)
    last = noise.masked_fill(~available, -1.0).argmax(1)
    kept = available & (noise >= rate)
    return kept | (available & torch.nn.functional.one_hot(last, 3).bool())


def with_rates(available: Tensor, generator: torch.Generator, rates: Mapping[str, float]) -> Tensor:
    """(N, 3) bool: what is kept of what is available (N, 3), each modality but with the probability of its own.

    What an utterance keeps in any case is drawn first, a modality the likelier the more rarely it is missing. The
    others are then missing so much more often that each is at its rate in all, among utterances that have all three;
    of those with fewer more may be left than rates say.
    """
    rate = torch.tensor([rates.get(NAMES[m], 0.0) for m in MODALITIES])  # (3,)
    first, second = torch.rand((2, *available.shape), generator=generator)  # (N, 3) each
    weight = available * (1 - rate)
    stays = weight / weight.sum(1, keepdim=True)  # (N, 3), the probability of being the one
    spare = (first ** (1 / weight)).masked_fill(~available, -1.0).argmax(1)
    hidden = second < rate / (1 - stays)
    kept: Tensor = ~hidden | torch.nn.functional.one_hot(spare, 3).bool()
    return available & kept


def _generator(fold: int, which: int) -> torch.Generator:
    return torch.Generator().manual_seed(2 * fold + which)
