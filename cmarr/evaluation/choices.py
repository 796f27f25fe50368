"""Use a damaged modality, hide it, or let the model decide: what each choice answers, utterance by utterance.

    use      the answer from all modalities, the damaged one among them
    hide     the answer from the other modalities
    entropy  of these two, the answer of lower entropy: the one the model is surer of
    sigma    hide where UMC's sigma of the damaged modality is larger than that of all but `FALSE_ALARMS` of the
             clean validation utterances of the same training; CM-ARR and its ablations only

No label has a part in a decision; sigma's threshold comes from validation utterances, which no one has damaged.
Utterances count that have the modality, undamaged, and another one: the others leave nothing to choose. Where the
damage takes the modality away altogether (no face is found any more), using it is hiding it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import special

from cmarr.damage.kinds import KINDS
from cmarr.evaluation.predictions import columns
from cmarr.evaluation.scores import can_be_met
from cmarr.masks.protocols import FIXED
from cmarr.modalities import CONDITIONS
from cmarr.task import Task

FALSE_ALARMS = 0.05
"""Share of clean validation utterances whose modality the rule `sigma` would hide."""

KEYS = ["fold", "seed", "id"]


@dataclass(frozen=True)
class Choices:
    """One method under one kind of damage.

    whole, rest: the condition with all modalities, and the one without the damaged modality (None: there is no other)
    levels:      from the harmless one, which is the undamaged recording, to the worst
    answers:     choice -> predictions, the same utterances at every level, condition `whole` in all of them
    hidden:      choice -> level -> share of the utterances that are answered without the modality
    """

    whole: str
    rest: str | None
    levels: tuple[float, ...]
    answers: Mapping[str, pd.DataFrame]
    hidden: Mapping[str, Mapping[float, float]]


def choices(frame: pd.DataFrame, task: Task, kind: str, spread: pd.DataFrame | None = None) -> Choices | None:
    """What the choices answer under one kind of damage; None where nothing was answered under it.

    frame: all predictions of a method, every fold, seed and protocol. spread: as `cmarr.evaluation.spread` keeps it.
    """
    modality, harmless = KINDS[kind].modality, KINDS[kind].harmless
    fixed, hurt = frame[frame["protocol"] == FIXED], frame[frame["protocol"] == kind]
    if hurt.empty:
        return None
    whole = max((c for c in CONDITIONS if can_be_met(fixed[fixed["condition"] == c])), key=len)
    rest = next((c for c in CONDITIONS if set(c) == set(whole) - {modality}), None)
    levels = tuple(KINDS[kind].ordered([*{harmless, *hurt["level"]}]))
    clean = fixed[(fixed["condition"] == whole) & (harmless not in set(hurt["level"]))].assign(level=harmless)
    able = _usable(fixed, modality)
    if rest is not None:
        able = able.intersection(_usable(fixed, rest))
    use = _ordered(pd.concat([clean, hurt[hurt["condition"] == whole]]), able, levels)
    found, hides = {"use": use}, {}
    if rest is not None:
        without = fixed[fixed["condition"] == rest]
        found["hide"] = hide = _ordered(pd.concat([without.assign(level=x) for x in levels]), able, levels)
        gone = (use["n_usable"] == hide["n_usable"]).to_numpy()
        hides = {"use": gone, "hide": np.ones(len(gone), bool)}
        if not task.regression:
            hides["entropy"] = gone | (entropy(hide, task) < entropy(use, task))
        if spread is not None:
            hides["sigma"] = gone | _alarmed(use, spread, kind)
        for name in [n for n in hides if n not in found]:
            found[name] = pd.concat([use[~hides[name]], hide[hides[name]]]).sort_index()
    at = {level: (use["level"] == level).to_numpy() for level in levels}
    return Choices(
        whole,
        rest,
        levels,
        {n: rows.assign(condition=whole, n_usable=len(whole), protocol=kind) for n, rows in found.items()},
        {name: {level: float(mask[at[level]].mean()) for level in levels} for name, mask in hides.items()},
    )


def entropy(frame: pd.DataFrame, task: Task) -> np.ndarray:
    """(N,) entropy of the class probabilities, in nats."""
    return special.entr(frame[columns(task)].to_numpy(np.float64)).sum(1)


def _usable(fixed: pd.DataFrame, condition: str) -> pd.MultiIndex:
    rows = fixed[(fixed["condition"] == condition) & (fixed["n_usable"] > 0)]
    return pd.MultiIndex.from_frame(rows[KEYS])


def _ordered(rows: pd.DataFrame, able: pd.MultiIndex, levels: Sequence[float]) -> pd.DataFrame:
    """The rows of the utterances in `able` at every level, in one order: those of two choices stand side by side."""
    kept = rows[pd.MultiIndex.from_frame(rows[KEYS]).isin(able) & rows["level"].isin(levels)]
    return kept.sort_values([*KEYS, "level"], ignore_index=True)


def _alarmed(use: pd.DataFrame, spread: pd.DataFrame, kind: str) -> np.ndarray:
    """(N,) bool: the modality's sigma is unlike that of clean validation utterances."""
    own = spread[spread["modality"] == KINDS[kind].modality]
    calm = own[(own["role"] == "validation") & (own["protocol"] == FIXED)].groupby(["fold", "seed"])["spread"]
    limit = calm.quantile(1 - FALSE_ALARMS)
    tested = own[own["role"] == "test"]
    clean = tested[tested["protocol"] == FIXED].assign(level=KINDS[kind].harmless)
    known = pd.concat([clean, tested[tested["protocol"] == kind]]).drop_duplicates(
        [*KEYS, "level"], keep="last"
    )
    seen = known.set_index([*KEYS, "level"])["spread"].reindex(
        pd.MultiIndex.from_frame(use[[*KEYS, "level"]])
    )
    allowed = limit.reindex(pd.MultiIndex.from_frame(use[["fold", "seed"]]))
    return seen.to_numpy() > allowed.to_numpy()  # NaN, where nothing of it is left: not larger
