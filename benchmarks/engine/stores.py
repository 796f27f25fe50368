"""Random utterances of any number, as the training loop gets them."""

from collections.abc import Mapping

import torch

from benchmarks.sizes import SHAPES, TASK
from cmarr.data.normalise import Normaliser
from cmarr.data.store import Store

SPREAD = 0.5
"""Deviation of the logarithm of an utterance's length."""

DRAWN = 8192
"""Rows that are drawn; a larger store repeats them, which no arithmetic notices."""

IEMOCAP = 5531
"""Utterances of IEMOCAP's four classes."""


def random_store(utterances: int, shapes: Mapping[str, tuple[int, int]] = SHAPES, seed: int = 0) -> Store:
    """Half-precision features of standard normal values, `shapes` being mean frames and width a modality."""
    generator = torch.Generator().manual_seed(seed)
    factor = (SPREAD * torch.randn(utterances, generator=generator) - SPREAD**2 / 2).exp()
    values, starts, lengths = {}, {}, {}
    for m, (frames, width) in shapes.items():
        lengths[m] = (frames * factor).round().long().clamp(1, 4 * frames)
        starts[m] = lengths[m].cumsum(0) - lengths[m]
        rows = int(lengths[m].sum())
        drawn = torch.randn(min(rows, DRAWN), width, generator=generator).half()
        values[m] = drawn.repeat(rows // len(drawn) + 1, 1)[:rows]
    labels = torch.randint(TASK.outputs, (utterances,), generator=generator)
    return Store(tuple(map(str, range(utterances))), values, starts, lengths, labels)


def fitted(store: Store) -> Normaliser:
    """The normaliser that a training on the store has."""
    normaliser = Normaliser(store.dims)
    normaliser.fit(store.frames())
    return normaliser


def size_in_bytes(store: Store) -> int:
    """Of the features."""
    return sum(own.numel() * own.element_size() for own in store.values.values())
