"""Analyses that look at trained models: each model of a study is put before the utterances of its fold."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from cmarr.data.load import load_store, without_modalities
from cmarr.data.store import Store
from cmarr.features.shards import FeatureTable
from cmarr.folds.files import Fold
from cmarr.methods.model import Model, load_trained
from cmarr.task import Task
from cmarr.utterance import Utterance


@dataclass(frozen=True)
class FoldData:
    """The utterances of a fold, those without any feature left out.

    kind: what a cluster is ('speaker', 'dialogue')
    """

    fold: Fold
    utterances: Mapping[str, Utterance]
    features: Mapping[str, FeatureTable]
    task: Task
    kind: str
    device: str

    def ids(self, part: Sequence[str]) -> list[str]:
        """Those of `part` (`fold.train`, `fold.test`) that have a feature."""
        empty = set(without_modalities(part, self.features))
        return [i for i in part if i not in empty]

    def store(self, part: Sequence[str]) -> Store:
        """The features of `ids(part)`, in their order."""
        return load_store(self.ids(part), self.utterances, self.features, self.task).to(self.device)

    def of(self, ids: Iterable[str]) -> list[Utterance]:
        """The utterances themselves."""
        return [self.utterances[i] for i in ids]

    def clusters(self, ids: Sequence[str]) -> np.ndarray:
        """The cluster of each utterance."""
        return np.array([self.utterances[i].cluster(self.kind) for i in ids])


MeasureModel = Callable[[Model, FoldData, bool], tuple[list[pd.DataFrame], pd.DataFrame | None]]
"""How an analysis measures one model: rows an utterance and, where the bool asks for them, the points of its figure.

They are those of the first fold and seed, because every training has a space of its own.
"""


def measure_models(
    measure: MeasureModel, every: Iterable[FoldData], models: str | Path, seeds: Sequence[int]
) -> dict[str, pd.DataFrame]:
    """'measured' (with columns fold and seed) and 'points'; without any of the two where no model gave a row.

    models: the folder of a method's weights.
    """
    measured: list[pd.DataFrame] = []
    points: pd.DataFrame | None = None
    for data in every:
        for seed in seeds:
            number = data.fold.number
            model = load_trained(models, data.fold, seed, data.device)
            rows, drawn = measure(model, data, points is None)
            measured += [frame.assign(fold=number, seed=seed) for frame in rows]
            points = drawn if points is None else points
    if not measured or points is None:
        return {}
    return {"measured": pd.concat(measured, ignore_index=True), "points": points}
