"""`gbdt`: gradient boosting on time-pooled features, absent ones as NaN, trained with random masks.

Statistics over time of each modality. Every training utterance enters several times, each
time under a condition of its own, so that one set of trees learns what to do without any modality.
"""

from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from torch import Tensor, nn

from cmarr.data.batch import Batch
from cmarr.data.labelled import labelled
from cmarr.data.masks import draw_visible
from cmarr.declaration import AtLeastTwo, Count, Positive, PositiveShare, setting
from cmarr.methods.pooled import NEVER, Pooling, StandardFeatures
from cmarr.methods.protocol import Prediction
from cmarr.task import Task


class Trees(nn.Module):
    """`rounds` times `outputs` trees of at most `nodes` nodes; the prediction is their sum and a start.

    A saved model holds arrays of numbers only, and reading one runs nothing. Thresholds are compared in
    fp64, as where they were found. A tree that was never grown is a single leaf of value 0.
    """

    feature: Tensor
    threshold: Tensor
    left: Tensor
    right: Tensor
    missing_left: Tensor
    leaf: Tensor
    value: Tensor
    start: Tensor

    def __init__(self, rounds: int, outputs: int, nodes: int):
        super().__init__()
        shape = (rounds, outputs, nodes)
        for name in ("feature", "left", "right"):
            self.register_buffer(name, torch.zeros(shape, dtype=torch.int32))
        self.register_buffer("threshold", torch.zeros(shape, dtype=torch.float64))
        self.register_buffer("value", torch.zeros(shape, dtype=torch.float64))
        self.register_buffer("missing_left", torch.zeros(shape, dtype=torch.bool))
        self.register_buffer("leaf", torch.ones(shape, dtype=torch.bool))
        self.register_buffer("start", torch.zeros(outputs, dtype=torch.float64))

    def grow(self, place: tuple[int, int], nodes: np.ndarray) -> None:
        """Take over one tree's nodes, as scikit-learn's predictors hold them, at (round, output)."""
        columns: dict[str, Any] = {
            "feature": nodes["feature_idx"],
            "threshold": nodes["num_threshold"],
            "left": nodes["left"],
            "right": nodes["right"],
            "missing_left": nodes["missing_go_to_left"].astype(bool),
            "leaf": nodes["is_leaf"].astype(bool),
            "value": nodes["value"],
        }
        for name, column in columns.items():
            buffer = getattr(self, name)
            buffer[place][: len(nodes)] = torch.from_numpy(np.array(column)).to(buffer.dtype)

    def forward(self, inputs: Tensor) -> Tensor:
        """Inputs (B, W) float64, NaN where absent -> (B, outputs) float64."""
        rounds, outputs, size = self.feature.shape
        trees = rounds * outputs
        flat = {
            name: getattr(self, name).reshape(-1)
            for name in ("feature", "threshold", "left", "right", "missing_left", "leaf", "value")
        }
        first = torch.arange(trees, device=inputs.device) * size  # (trees,)
        at = first.expand(len(inputs), trees)  # (B, trees), every row at every root
        while not flat["leaf"][at].all():
            given = inputs.gather(1, flat["feature"][at].long())  # (B, trees)
            to_left = torch.where(given.isnan(), flat["missing_left"][at], given <= flat["threshold"][at])
            below = first + torch.where(to_left, flat["left"][at], flat["right"][at])
            at = torch.where(flat["leaf"][at], at, below)
        out: Tensor = self.start + flat["value"][at].view(-1, rounds, outputs).sum(1)
        return out


Bins = Annotated[int, Field(ge=2, le=255, strict=True)]


class GBDT(nn.Module):
    """scikit-learn's histogram gradient boosting, kept as arrays. Obeys `ClosedForm`."""

    class Settings(Pooling):
        """Gradient boosting on pooled features."""

        rounds: Count = setting(100, "of boosting")
        learning_rate: Positive = setting(0.1, "what each round adds")
        leaves: AtLeastTwo = setting(8, "of a tree at most")
        smallest_leaf: Count = setting(10, "training rows of a leaf at least")
        copies: Count = setting(4, "how often a training utterance enters, each time with a mask of its own")
        feature_share: PositiveShare = setting(0.2, "features that a split chooses from, a share of all")
        bins: Bins = setting(63, "values that a feature is rounded to; fewer are faster")

    plain, tuned = True, "learning_rate"

    def __init__(self, dims: Mapping[str, int], task: Task, settings: Settings):
        """Room for the trees."""
        super().__init__()
        self.task, self.settings = task, settings
        self.features = StandardFeatures(dims, settings)
        self.trees = Trees(settings.rounds, task.outputs, 2 * settings.leaves - 1)

    def fit(self, train: Batch, generator: torch.Generator) -> None:
        """Grow the trees; masks and the features offered to splits come from `generator`."""
        device = self.trees.start.device
        self.cpu()  # where they grow
        self.features.fit(train)
        pooled = self._pooled(train)
        rows = []
        for _ in range(self.settings.copies):
            rows.append(self._shown(pooled, train.available & draw_visible(train.available, generator)))
        known = labelled(train.labels).repeat(self.settings.copies)
        inputs = torch.cat(rows)[known].cpu().numpy()
        inputs[:, np.isnan(inputs).all(0)] = 0.0  # never seen with a label: no tree asks for it
        labels = train.labels.repeat(self.settings.copies)[known].cpu().numpy()
        seed = int(torch.randint(2**31 - 1, (1,), generator=generator))
        self._grow(inputs, labels, seed)
        self.to(device)

    def _grow(self, inputs: np.ndarray, labels: np.ndarray, seed: int) -> None:
        regression = self.task.regression
        seen = np.zeros(1, dtype=np.int64) if regression else np.unique(labels)
        if not regression:
            self.trees.start.fill_(NEVER)
            self.trees.start[seen] = 0.0
            if len(seen) == 1:
                return
        kind = HistGradientBoostingRegressor if regression else HistGradientBoostingClassifier
        model = kind(
            max_iter=self.settings.rounds,
            learning_rate=self.settings.learning_rate,
            max_leaf_nodes=self.settings.leaves,
            min_samples_leaf=self.settings.smallest_leaf,
            max_features=self.settings.feature_share,
            max_bins=self.settings.bins,
            early_stopping=False,
            random_state=seed,
        ).fit(inputs, labels)
        # Of two classes scikit-learn grows one tree a round, for the log-odds of the second.
        places = seen[1:] if len(seen) == 2 else seen
        self.trees.start[places] = torch.from_numpy(model._baseline_prediction.reshape(-1))
        for index, grown in enumerate(model._predictors):
            for place, predictor in zip(places, grown, strict=True):
                self.trees.grow((index, int(place)), predictor.nodes)

    def predict(self, batch: Batch) -> Prediction:
        """What is missing is NaN to the trees."""
        return Prediction(self.trees(self._shown(self._pooled(batch), batch.available)).float())

    def _pooled(self, batch: Batch) -> Tensor:
        """(B, W), on the device of the batch."""
        return self.features.rows(batch).to(batch.available.device)

    def _shown(self, pooled: Tensor, usable: Tensor) -> Tensor:
        return torch.where(self.features.columns(usable).to(pooled.device), pooled, torch.nan)


METHOD = GBDT
