"""Drawing masks: which modalities of which utterances a protocol hides, which steps within them, and every mask set.

Cells are those of an utterance-by-modality table, of the modalities that the corpus has. What is naturally absent
counts as hidden, and no protocol takes the last modality from an utterance: with three modalities no rate goes
beyond 2/3.

Steps are frames or tokens, dropped each by itself or in bursts. Sequences stand one after another; `lengths` (R,)
are theirs, N is their sum. The same uniform numbers serve every rate, so that what a low rate drops a high one drops,
too (in bursts: nearly).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from cmarr.masks.files import packed
from cmarr.masks.protocols import CELLS, DICMOR, STEPS, UNBALANCED
from cmarr.modalities import COMPLETE, CONDITION_OF, MODALITIES, NAMES

SIGNS = ("negative", "zero", "positive")
"""What counts as a class where the label is a score, see `sign`."""

OTHERS = 1 / 3
"""`unbalanced`: rate of the other modalities, as a share of that of the one which is missing most."""


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
    number = {name: place for place, name in enumerate(sorted(set(groups)))}
    of = np.array([number[name] for name in groups])
    rows_of = np.split(np.argsort(of, kind="stable"), np.cumsum(np.bincount(of))[:-1])
    pairs = [(group, column) for group in range(len(number)) for column in range(available.shape[1])]
    hidden, target = int((~available).sum()), rate * available.size
    for place in draw.permutation(len(pairs)):
        group, column = pairs[place]
        rows = rows_of[group]
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


@dataclass(frozen=True)
class Tested:
    """The N test utterances of all folds, in the order of the folds file.

    available:  (N, 3) bool, in the order s, v, t
    lengths:    modality -> (N,) frames or tokens, 0 where it is absent; only modalities that the corpus has
    groups:     (N,) who speaks, or what is known instead
    labels:     (N,) class names, or `SIGNS` of the scores; classes: all of them, in order
    """

    folds: Sequence[int]
    ids: Sequence[str]
    available: np.ndarray
    lengths: Mapping[str, np.ndarray]
    groups: Sequence[str]
    labels: Sequence[str]
    classes: Sequence[str]

    @property
    def columns(self) -> list[int]:
        """Columns of the modalities that the corpus has."""
        return [i for i, m in enumerate(MODALITIES) if m in self.lengths]


@dataclass(frozen=True)
class MaskSet:
    """One protocol: its rows as `files` keeps them, the share that is missing at each level, and its rule."""

    rows: pd.DataFrame
    realised: Mapping[float, float]
    rule: str


def draw(
    tested: Tested, name: str, settings: Mapping[str, Any], seed: int
) -> tuple[dict[str, MaskSet], dict[str, str]]:
    """The mask sets of one name in `protocols` (`unbalanced` is one a modality), and why others are absent.

    settings: the section `protocol.<name>` of params.yaml. Both results by the name of the mask set.
    """
    if name in STEPS:
        return _steps(tested, name, settings, seed)
    if name not in CELLS:
        raise ValueError(f"{name!r} has no mask set")
    names = [f"unbalanced_{NAMES[MODALITIES[i]]}" for i in tested.columns] if name == "unbalanced" else [name]
    if len(tested.columns) < 2:
        return {}, dict.fromkeys(names, "the corpus has one modality, which no utterance can lose")
    if name == "by_speaker" and len(set(tested.groups)) == len(tested.ids):
        return {}, {name: "the corpus does not say who speaks: every utterance would be a speaker"}
    if name == "rate" and settings["draw"] == "batch" and len(tested.columns) < 3:
        return {}, {name: "DiCMoR's draw (protocol.rate.draw: batch) needs all three modalities"}
    return {own: _cells(tested, name, own, settings, seed) for own in names}, {}


def sign(score: float) -> str:
    """The one of `SIGNS` that a score has."""
    return SIGNS[1 + int(np.sign(score))]


def _cells(tested: Tested, name: str, own: str, settings: Mapping[str, Any], seed: int) -> MaskSet:
    columns = tested.columns
    available = tested.available[:, columns]
    strata, classes = np.zeros(available.shape, int), list(tested.classes)
    parts, realised = [], {}
    for level in sorted(settings["levels"]):
        source = generator(seed, own)
        if name == "by_speaker":
            usable = hide_groups(available, tested.groups, level, source)
        elif name == "by_class":
            of_class, rates = rising(classes, tested.labels, level)
            usable = hide(available, strata + of_class[:, None], rates, source)
        elif name == "unbalanced":
            most = columns.index(next(i for i, m in enumerate(MODALITIES) if UNBALANCED[m] == own))
            rates = [level if i == most else OTHERS * level for i in range(len(columns))]
            usable = hide(available, strata + np.arange(len(columns)), rates, source, spare=most)
        elif settings["draw"] == "batch":
            usable = hide_batches(len(available), DICMOR[level], settings["batch"], source)
        else:
            usable = hide(available, strata, [level], source)
        realised[level] = float(1 - (usable & available).mean())
        parts.append(_rows(tested, level, usable, columns))
    return MaskSet(pd.concat(parts, ignore_index=True), realised, _rule(name, own, settings, tested))


def _rows(tested: Tested, level: float, usable: np.ndarray, columns: Sequence[int]) -> pd.DataFrame:
    bits = [1 << place for place in range(len(columns))]
    shown = [
        frozenset(MODALITIES[i] for i, bit in zip(columns, bits, strict=True) if code & bit)
        for code in range(2 ** len(bits))
    ]
    named = np.array([CONDITION_OF.get(letters, COMPLETE) for letters in shown], dtype=object)
    conditions = named[usable @ np.array(bits)]
    return pd.DataFrame({"fold": tested.folds, "id": tested.ids, "level": level, "condition": conditions})


def _rule(name: str, own: str, settings: Mapping[str, Any], tested: Tested) -> str:
    cells = "utterance and modality; what is naturally absent counts as hidden, the last modality stays"
    if name == "rate" and settings["draw"] == "batch":
        return f"batches of {settings['batch']} utterances lose all but one modality, one, or none, in DiCMoR's shares"
    if name == "rate":
        return f"the level is the share of hidden cells of {cells}"
    if name == "unbalanced":
        most = own.removeprefix("unbalanced_")
        return (
            f"the level is the share of utterances without {most}, the others are missing at a third of it; "
            f"cells of {cells}"
        )
    if name == "by_speaker":
        known = len(set(tested.groups))
        return (
            f"whole speakers, or recordings where a corpus names nobody ({known} in all), lose a modality; "
            f"the level is the share of hidden cells of {cells}"
        )
    return (
        f"the level is the missing rate of {tested.classes[-1]}; those of the classes before it "
        f"({', '.join(tested.classes[:-1])}) rise to it evenly from 0; cells of {cells}"
    )


def _steps(
    tested: Tested, name: str, settings: Mapping[str, Any], seed: int
) -> tuple[dict[str, MaskSet], dict[str, str]]:
    several = [m for m, lengths in tested.lengths.items() if lengths.max(initial=0) > 1]
    if not several:
        return {}, {name: "every modality has a single step an utterance: there is nothing within it to drop"}
    rows, dropped = [], {level: [0, 0] for level in sorted(settings["levels"])}
    for m in several:
        lengths = tested.lengths[m]
        uniform = generator(seed, f"{name} {m}").random(int(lengths.sum()))
        ends = np.cumsum(lengths)
        for level, counts in dropped.items():
            if name == "frames":
                kept = keep_alone(uniform, level)
            else:
                kept = keep_in_bursts(uniform, lengths, level, settings["length"])
            counts[0] += int((~kept).sum())
            counts[1] += len(kept)
            pieces = np.split(kept, ends[:-1])
            rows += [
                (fold, id, level, m, len(piece), packed(piece))
                for fold, id, piece in zip(tested.folds, tested.ids, pieces, strict=True)
                if len(piece)
            ]
    frame = pd.DataFrame(rows, columns=["fold", "id", "level", "modality", "n_steps", "kept"])
    frame = frame.sort_values(["level", "fold"], kind="stable", ignore_index=True)
    of = " and ".join(NAMES[m] for m in several)
    rule = f"the level is the share of the steps of {of} that is dropped, each by itself"
    if name == "bursts":
        rule = (
            f"the level is the share of the steps of {of} that is dropped, in runs of {settings['length']:g} of an "
            "utterance on average"
        )
    realised = {level: missing / of_all for level, (missing, of_all) in dropped.items()}
    return {name: MaskSet(frame, realised, rule)}, {}
