"""What a trained model predicts for the test utterances of one fold, under every protocol."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from cmarr.damage.kinds import KINDS
from cmarr.damage.tables import Damaged
from cmarr.data.load import by_id, hear, load_store
from cmarr.data.store import Store, with_other, without_steps
from cmarr.errors import NotComputed
from cmarr.evaluation.predictions import predictions_frame, usable_counts, utterance_columns
from cmarr.evaluation.spread import spread_frame
from cmarr.features.shards import FeatureTable
from cmarr.folds.files import Fold
from cmarr.masks.files import levels, unpacked
from cmarr.masks.protocols import STEPS
from cmarr.methods.asking import in_dialogues
from cmarr.methods.inference import split_logits, spreads
from cmarr.methods.model import Model, load_trained
from cmarr.modalities import COMPLETE, CONDITIONS, MODALITIES, NAMES, visible
from cmarr.task import Task

Predict = Callable[..., pd.DataFrame]
"""A store and conditions (and protocol and level, as keywords) -> a model's predictions."""


def predictions_of(model: Model, fold: int, **about: Any) -> Predict:
    """How one model predicts; about: the rest of what `predictions_frame` wants to know."""

    def predict(store: Store, conditions: Sequence[str], **degree: Any) -> pd.DataFrame:
        logits = split_logits(model.method, model.normaliser, store, conditions)
        frame = predictions_frame(
            n_usable=usable_counts(store.available.cpu().numpy()),
            logits={condition: values.numpy() for condition, values in logits.items()},
            prior=model.prior.tolist(),
            task=model.task,
            fold=fold,
            **about,
        )
        return frame.assign(**degree)

    return predict


@dataclass(frozen=True)
class Run:
    """What one model, of a fold and a seed, predicts for the fold's test utterances.

    parts: its predictions, protocol by protocol; predict: how to get more of them
    """

    fold: Fold
    seed: int
    model: Model
    store: Store
    predict: Predict
    parts: list[pd.DataFrame]


def runs(
    models: Path,
    manifest: Path,
    features: Mapping[str, FeatureTable],
    folds: Sequence[Fold],
    seeds: Sequence[int],
    *,
    task: Task,
    cluster: str,
    masks: Mapping[str, pd.DataFrame],
    device: str,
    privileged: bool = False,
) -> Iterator[Run]:
    """The models of a method, fold by fold and seed by seed, on the utterances that they have not seen.

    models: their folder; cluster: what is resampled for an interval, 'speaker' or 'dialogue'; masks: protocol -> its
    mask set. Raises UserError for a model that is not there, or of other folds; and for one with privileges, unless
    `privileged`.
    """
    utterances = by_id(manifest)
    heard = hear(utterances, features)
    for fold in folds:
        store = load_store(fold.test, utterances, features, task, heard).to(device)
        about = utterance_columns([utterances[i] for i in fold.test], cluster, task)
        for seed in seeds:
            model = load_trained(models, fold, seed, device, privileged=privileged)
            predict = predictions_of(model, fold.number, seed=seed, **about)
            around = in_dialogues(model.method)
            parts = list(protocol_predictions(predict, store, masks, fold.number, around=around))
            yield Run(fold, seed, model, store, predict, parts)


def protocol_predictions(
    predict: Predict,
    store: Store,
    masks: Mapping[str, pd.DataFrame],
    fold: int,
    conditions: Sequence[str] = CONDITIONS,
    *,
    around: bool = False,
) -> Iterator[pd.DataFrame]:
    """Predictions protocol by protocol, the fixed conditions first; damage apart.

    The conditions cost one pass over the utterances. Protocols that hide whole modalities are looked up in it;
    those that drop frames or tokens cost a pass a level, in which all modalities may be used.

    masks:  protocol -> its mask set, of all folds
    around: an answer depends on what may be used of the utterances around it, too, so that every level costs a pass
    """
    fixed = predict(store, conditions)
    yield fixed
    lengths = {m: n.cpu().numpy() for m, n in store.lengths.items()}
    for name, drawn in masks.items():
        if name not in STEPS:
            own = drawn[drawn["fold"] == fold]
            yield masked(predict, store, own, name) if around else look_up(fixed, own, name)
            continue
        for level, rows in levels(drawn, fold):
            kept = kept_steps(rows, list(store.ids), lengths)
            if all(steps.all() for steps in kept.values()):
                whole = fixed[fixed["condition"] == COMPLETE]
                yield whole.assign(protocol=name, level=level)
                continue
            rest = without_steps(store, {m: torch.from_numpy(k) for m, k in kept.items()})
            yield predict(rest, (COMPLETE,), protocol=name, level=level)


def damaged_predictions(
    predict: Predict, model: Model, store: Store, damaged: Damaged, run_of: dict[str, int]
) -> tuple[list[pd.DataFrame], list[pd.DataFrame]]:
    """The rows of every kind and level of damage, under the conditions that use the modality; and its spreads."""
    rows, spread = [], []
    for kind, levels_of in damaged.items():
        modality = KINDS[kind].modality
        conditions = [c for c in CONDITIONS if modality in c and set(c) <= set(store.values)]
        for level, table in levels_of.items():
            damaged_store = with_other(store, modality, table)
            rows.append(predict(damaged_store, conditions, protocol=kind, level=level))
            found = spreads(model.method, model.normaliser, damaged_store)
            spread.append(
                spread_frame(damaged_store.ids, found, "test", **run_of, protocol=kind, level=level)
            )
    return rows, spread


def masked(predict: Predict, store: Store, masks: pd.DataFrame, protocol: str) -> pd.DataFrame:
    """The predictions of one fold and seed where the mask set holds for all utterances of a level at once.

    masks: the fold's rows of the set; an utterance that a level does not name shows everything.
    """
    parts = []
    for level, rows in masks.groupby("level", sort=False):
        condition = dict(zip(rows["id"], rows["condition"], strict=True))
        shown = torch.tensor([visible(condition.get(i, COMPLETE)) for i in store.ids])  # (N, 3)
        lengths = {m: n * shown[:, MODALITIES.index(m)] for m, n in store.lengths.items()}
        found = predict(replace(store, lengths=lengths), (COMPLETE,), protocol=protocol, level=level)
        found = found.set_index("id", drop=False).loc[list(rows["id"])]
        parts.append(found.assign(condition=rows["condition"].to_numpy()))
    return pd.concat(parts, ignore_index=True)


def look_up(fixed: pd.DataFrame, masks: pd.DataFrame, protocol: str) -> pd.DataFrame:
    """The predictions of one fold and seed under a mask set of whole modalities.

    An answer depends on nothing but the utterance and what may be used of it, and the seven conditions hold
    every set that may: so every row is one of `fixed`, under another name. masks: the fold's rows of the set.

    Raises UserError for an utterance that `fixed` does not answer.
    """
    place = pd.MultiIndex.from_frame(fixed[["id", "condition"]])
    rows = place.get_indexer(pd.MultiIndex.from_frame(masks[["id", "condition"]]))
    if (rows < 0).any():
        raise NotComputed(
            f"the mask set {protocol!r} names utterance {masks['id'].iloc[int((rows < 0).argmax())]}, which is not "
            "tested in this fold; draw the mask sets again"
        )
    found = fixed.iloc[rows].assign(protocol=protocol, level=masks["level"].to_numpy(np.float64))
    return found.reset_index(drop=True)


def kept_steps(
    masks: pd.DataFrame, ids: list[str], lengths: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Modality -> (sum of its lengths,) bool: which steps of the utterances `ids` one level of a set keeps.

    masks: the rows of one fold and level. lengths: modality -> (N,) steps of the utterances, in their order.
    Raises UserError where the set was drawn for other features.
    """
    kept = {}
    for modality, rows in masks.groupby("modality"):
        own = dict(zip(rows["id"], zip(rows["kept"], rows["n_steps"], strict=True), strict=True))
        pieces = []
        for id, length in zip(ids, lengths[str(modality)].tolist(), strict=True):
            raw, count = own.get(id, (b"", 0))
            if count != length:
                raise NotComputed(
                    f"utterance {id} has {length} steps of {NAMES[str(modality)]}, its mask {count}; draw the mask "
                    "sets again"
                )
            pieces.append(unpacked(raw, count))
        kept[str(modality)] = np.concatenate(pieces)
    return kept
