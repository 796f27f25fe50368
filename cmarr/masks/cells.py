"""Which modalities of which utterances a protocol hides: cells of an utterance-by-modality table.

A cell is an utterance's modality, of those that the corpus has. What is naturally absent counts as hidden, and
no protocol takes the last modality from an utterance: with three modalities no rate goes beyond 2/3.
"""

from collections.abc import Sequence

import numpy as np


def generator(seed: int, name: str) -> np.random.Generator:
    """The source of a mask set's draws: its own for every name, so that one set never moves another."""
    return np.random.default_rng([seed, *name.encode()])


def hide(
    available: np.ndarray,
    strata: np.ndarray,
    rates: Sequence[float],
    draw: np.random.Generator,
    spare: int | None = None,
) -> np.ndarray:
    """Shuffle the cells and hide one after the other until every stratum has its rate.

    available: (N, M) bool. strata: (N, M) whole numbers, the stratum of each cell. rates: of the strata, 0 to 1.
    spare:     column that an utterance keeps only where it has no other; None: any may be the one it keeps.

    The last cell of an utterance in the shuffled order is the one it keeps. The same generator state and rising
    rates give nested masks: what is hidden at a low rate is hidden at a high one. Returns (N, M) bool, usable.
    """
    order = draw.random(available.shape)
    kept = np.where(available, order, -1.0)
    if spare is not None:
        kept[:, spare] = np.where(available[:, spare], -0.5, -1.0)
    candidate = available.copy()
    candidate[np.arange(len(available)), kept.argmax(1)] = False
    usable = available.copy()
    for stratum, rate in enumerate(rates):
        inside = strata == stratum
        missing = round(rate * inside.sum()) - int((inside & ~available).sum())
        rows, columns = np.nonzero(inside & candidate)
        first = np.argsort(order[rows, columns], kind="stable")[: max(missing, 0)]
        usable[rows[first], columns[first]] = False
    return usable


def hide_groups(
    available: np.ndarray, groups: Sequence[str], rate: float, draw: np.random.Generator
) -> np.ndarray:
    """Hide a modality of all utterances of a group (a speaker) at once.

    The pairs of group and modality are shuffled; each is hidden if that brings the share of hidden cells nearer
    to `rate` and takes the last modality from no utterance. Returns (N, M) bool, usable.
    """
    usable = available.copy()
    names = sorted(set(groups))
    rows_of = {name: np.flatnonzero(np.asarray(groups) == name) for name in names}
    pairs = [(name, column) for name in names for column in range(available.shape[1])]
    hidden, target = int((~available).sum()), rate * available.size
    for place in draw.permutation(len(pairs)):
        name, column = pairs[place]
        rows = rows_of[name]
        gain = int(usable[rows, column].sum())
        last = usable[rows, column] & (usable[rows].sum(1) == 1)
        if gain and not last.any() and hidden + gain / 2 <= target:
            usable[rows, column] = False
            hidden += gain
    return usable


def hide_batches(count: int, shares: tuple[float, float], size: int, draw: np.random.Generator) -> np.ndarray:
    """DiCMoR's and IMDer's draw: of `count` shuffled utterances, each batch of `size` loses the same modalities.

    shares: of the batches that keep one modality, drawn for the batch, and of those that lose one; the others
    lose none. Availability has no part in it: an utterance may be left with nothing it has.
    Returns (count, 3) bool, visible.
    """
    visible = np.ones((count, 3), bool)
    order = draw.permutation(count)
    batches = [order[start : start + size] for start in range(0, count, size)]
    single, pair = (round(share * len(batches)) for share in shares)
    for number, rows in enumerate(batches):
        drawn = draw.permutation(3)
        keep = 1 if number < single else 2 if number < single + pair else 3
        visible[np.ix_(rows, drawn[keep:])] = False
    return visible


def rising(classes: Sequence[str], labels: Sequence[str], rate: float) -> tuple[np.ndarray, list[float]]:
    """Strata (N,) by class, and their rates: evenly from 0 for the first class to `rate` for the last."""
    place = {name: i for i, name in enumerate(classes)}
    return np.array([place[label] for label in labels]), list(np.linspace(0.0, rate, len(classes)))
