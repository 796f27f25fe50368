"""Every mask set that is asked for, drawn over all test utterances of a corpus at once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from cmarr.masks.files import packed
from cmarr.masks.patterns import (
    generator,
    hide,
    hide_batches,
    hide_groups,
    keep_alone,
    keep_in_bursts,
    rising,
)
from cmarr.masks.protocols import CELLS, DICMOR, STEPS, UNBALANCED
from cmarr.modalities import COMPLETE, CONDITION_OF, MODALITIES, NAMES

SIGNS = ("negative", "zero", "positive")
"""What counts as a class where the label is a score, see `sign`."""

OTHERS = 1 / 3
"""`unbalanced`: rate of the other modalities, as a share of that of the one which is missing most."""


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
    letters = [MODALITIES[i] for i in columns]
    conditions = [
        CONDITION_OF.get(frozenset(m for m, use in zip(letters, row, strict=True) if use), COMPLETE)
        for row in usable
    ]
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
