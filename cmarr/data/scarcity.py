"""Training data made scarce: few labels, and modalities that are missing at random; drawn once a fold.

What is drawn depends on the fold alone, so it is the same for every method and seed. The draws are nested: what keeps
its label at 15 % keeps it at 30 %, and what is missing at a rate is missing at a higher one.
"""

import math
from dataclasses import replace

import torch
from torch import Tensor

from cmarr.data.labelled import UNLABELLED, labelled
from cmarr.data.store import Store
from cmarr.modalities import MODALITIES
from cmarr.task import Task

LABELS, HOLES = 0, 1
"""Of the two draws of a fold."""


def scarce(store: Store, rows: int, fold: int, task: Task, *, labels: float, holes: float) -> Store:
    """The store with the first `rows` utterances made scarce; the others, of validation, stay as they are.

    labels: share of those with a label that keep it, at least one a class; of a score, a class is its sign
    holes:  rate at which a modality is missing; of what an utterance has, at least one stays
    """
    if labels < 1:
        store = replace(store, labels=few_labels(store.labels, rows, _generator(fold, LABELS), task, labels))
    if holes > 0:
        kept = with_holes(store.available[:rows], _generator(fold, HOLES), holes)  # (rows, 3)
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


def _generator(fold: int, which: int) -> torch.Generator:
    return torch.Generator().manual_seed(2 * fold + which)
