"""From the files of the pipeline to stores."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from cmarr.corpora.manifest import ById, read_manifest
from cmarr.data.dialogues import dialogues_of
from cmarr.data.labelled import UNLABELLED
from cmarr.data.speakers import Heard
from cmarr.data.store import Store, build_store
from cmarr.errors import NotComputed, UserError
from cmarr.features.shards import FeatureTable
from cmarr.modalities import NAMES
from cmarr.task import Task
from cmarr.utterance import Utterance


def load_store(
    ids: Sequence[str],
    utterances: Mapping[str, Utterance],
    features: Mapping[str, FeatureTable],
    task: Task,
    heard: Heard | None = None,
) -> Store:
    """The store of the given utterances, in that order.

    heard: what `hear` makes of all of them, where several stores share it

    One without a label is learnt from without it (class -1, score NaN). Raises UserError for a label outside the
    classes of the task.
    """
    place = {name: index for index, name in enumerate(task.classes)}
    heard = heard or hear(utterances, features)
    labels: list[float] = []
    speakers: list[int] = []
    for one in map(utterances.__getitem__, ids):  # each once: a row of a large table is made an object for it
        speakers.append(heard.number[one.cluster("speaker")])
        if task.regression:
            labels.append(math.nan if one.score is None else one.score)
            continue
        if one.label is not None and one.label not in place:
            raise NotComputed(
                f"utterance {one.id} has the label {one.label!r}, not one of {', '.join(task.classes)}; prepare the "
                "corpus again"
            )
        labels.append(UNLABELLED if one.label is None else place[one.label])
    return replace(
        build_store(ids, features, labels),
        speakers=torch.tensor(speakers, dtype=torch.long),
        heard=heard,
        dialogues=dialogues_of(ids, utterances.values()),
    )


def hear(utterances: Mapping[str, Utterance], features: Mapping[str, FeatureTable]) -> Heard:
    """All utterances of a corpus, by speaker."""
    return Heard({name: u.cluster("speaker") for name, u in utterances.items()}, features)


def by_id(manifest: str | Path) -> ById:
    """The manifest's utterances by id."""
    return ById(read_manifest(manifest))


def without_modalities(ids: Sequence[str], features: Mapping[str, FeatureTable]) -> list[str]:
    """The utterances that have no modality at all: nothing can be learnt from them, and they are counted."""
    known = set().union(*(table.ids for table in features.values()))
    return [i for i in ids if i not in known]


def as_trained(
    features: Mapping[str, FeatureTable], dims: Mapping[str, int], corpus: str
) -> dict[str, FeatureTable]:
    """The features of another corpus for a model of widths `dims`: what it does not know is left out, what `corpus`
    does not have is available for no utterance.

    Raises UserError where a width differs, so the features come from another encoder, or nothing is in common.
    """
    for modality in dims.keys() & features.keys():
        if features[modality].dim != dims[modality]:
            raise UserError(
                f"{corpus}: its {NAMES[modality]} features are {features[modality].dim} numbers wide, the models were "
                f"trained on {dims[modality]}; both corpora must go through the same encoder"
            )
    if not dims.keys() & features.keys():
        names = ", ".join(NAMES[modality] for modality in dims)
        raise UserError(f"{corpus}: has none of the modalities that the models were trained on ({names})")
    nothing = {
        modality: FeatureTable([], np.zeros((0, width), np.float16), np.zeros(1, np.int64))
        for modality, width in dims.items()
    }
    return {modality: features.get(modality, nothing[modality]) for modality in dims}
