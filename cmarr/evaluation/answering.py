"""What a trained model answers for the test utterances of one fold, under every protocol."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pandas as pd
import torch

from cmarr.damage.kinds import KINDS
from cmarr.damage.tables import Damaged
from cmarr.data.store import Store, with_other, without_steps
from cmarr.evaluation.masked import kept_steps, look_up
from cmarr.evaluation.predictions import predictions_frame, usable_counts
from cmarr.evaluation.spread import spread_frame
from cmarr.masks.files import levels
from cmarr.masks.protocols import STEPS
from cmarr.methods.inference import answer, spreads
from cmarr.methods.model import Model
from cmarr.modalities import COMPLETE, CONDITIONS

Ask = Callable[..., pd.DataFrame]
"""A store and conditions (and protocol and level, as keywords) -> the rows that a model answers."""


def asked_of(model: Model, fold: int, **about: Any) -> Ask:
    """Ask one model; about: the rest of what `predictions_frame` wants to know."""

    def ask(store: Store, conditions: Sequence[str], **degree: Any) -> pd.DataFrame:
        logits = answer(model.method, model.normaliser, store, conditions)
        return predictions_frame(
            n_usable=usable_counts(store.available.cpu().numpy()),
            logits={condition: values.numpy() for condition, values in logits.items()},
            prior=model.prior.tolist(),
            task=model.task,
            fold=fold,
            **about,
            **degree,
        )

    return ask


def answers(
    ask: Ask,
    store: Store,
    masks: Mapping[str, pd.DataFrame],
    fold: int,
    conditions: Sequence[str] = CONDITIONS,
) -> Iterator[pd.DataFrame]:
    """Predictions protocol by protocol, the fixed conditions first; damage apart.

    The conditions cost one pass over the utterances. Protocols that hide whole modalities are looked up in it;
    those that drop frames or tokens cost a pass a level, in which all modalities may be used.

    masks: protocol -> its mask set, of all folds.
    """
    fixed = ask(store, conditions)
    yield fixed
    lengths = {m: n.cpu().numpy() for m, n in store.lengths.items()}
    for name, drawn in masks.items():
        if name not in STEPS:
            yield look_up(fixed, drawn[drawn["fold"] == fold], name)
            continue
        for level, rows in levels(drawn, fold):
            kept = kept_steps(rows, list(store.ids), lengths)
            if all(steps.all() for steps in kept.values()):
                whole = fixed[fixed["condition"] == COMPLETE]
                yield whole.assign(protocol=name, level=level)
                continue
            rest = without_steps(store, {m: torch.from_numpy(k) for m, k in kept.items()})
            yield ask(rest, (COMPLETE,), protocol=name, level=level)


def damaged_answers(
    ask: Ask, model: Model, store: Store, damaged: Damaged, run_of: dict[str, int]
) -> tuple[list[pd.DataFrame], list[pd.DataFrame]]:
    """The rows of every kind and level of damage, under the conditions that use the modality; and its spreads."""
    rows, spread = [], []
    for kind, levels_of in damaged.items():
        modality = KINDS[kind].modality
        conditions = [c for c in CONDITIONS if modality in c and set(c) <= set(store.values)]
        for level, table in levels_of.items():
            hurt = with_other(store, modality, table)
            rows.append(ask(hurt, conditions, protocol=kind, level=level))
            found = spreads(model.method, model.normaliser, hurt)
            spread.append(spread_frame(hurt.ids, found, "test", **run_of, protocol=kind, level=level))
    return rows, spread
