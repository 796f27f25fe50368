"""Missing patterns: which modalities of which utterances a protocol hides, and which steps within them.

Cells are those of an utterance-by-modality table, of the modalities that the corpus has. What is naturally absent
counts as hidden, and no protocol takes the last modality from an utterance: with three modalities no rate goes
beyond 2/3.

Steps are frames or tokens, dropped each by itself or in bursts. Sequences stand one after another; `lengths` (R,)
are theirs, N is their sum. The same uniform numbers serve every rate, so that what a low rate drops a high one drops,
too (in bursts: nearly).
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


def keep_alone(uniform: np.ndarray, rate: float) -> np.ndarray:
    """Each step is dropped with probability `rate`, whatever happens to its neighbours; (N,) -> (N,) bool."""
    return uniform >= rate


def keep_in_bursts(uniform: np.ndarray, lengths: np.ndarray, rate: float, burst: float) -> np.ndarray:
    """Steps are dropped in runs: the two-state Markov chain of lossy channels (Gilbert 1960).

    uniform: (N,) in [0, 1). rate: share of dropped steps that is expected. burst: mean length of a run, as a
    share of the sequence, never below one step. Where so many runs do not fit they become longer.
    Returns (N,) bool, True where a step is kept.
    """
    if rate <= 0:
        return np.ones(len(uniform), bool)
    ends = 1 / np.maximum(1.0, burst * lengths)  # (R,) probability that a run ends with this step
    begins = ends * rate / (1 - rate)
    crowded = begins > 1
    ends, begins = np.where(crowded, (1 - rate) / rate, ends), np.minimum(begins, 1.0)
    starts = np.cumsum(lengths) - lengths
    kept = np.ones(len(uniform), bool)
    dropping = np.zeros(len(lengths), bool)
    for step in range(int(lengths.max(initial=0))):
        going = lengths > step
        drawn = np.zeros(len(lengths))
        drawn[going] = uniform[starts[going] + step]
        again = np.where(dropping, drawn < 1 - ends, drawn < begins)
        dropping = going & (drawn < rate if step == 0 else again)
        kept[starts[going] + step] = ~dropping[going]
    return kept
