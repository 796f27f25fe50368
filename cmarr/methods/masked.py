"""The plain rival `masked`: CM-ARR's fusion network, zeros for what is missing, random masks in training."""

from collections.abc import Mapping

import torch
from pydantic import model_validator
from torch import Tensor, nn

from cmarr.data.batch import Batch
from cmarr.declaration import Count, Probability, Section, setting
from cmarr.layers.fusion import Fusion
from cmarr.layers.pooling import LENGTH, Length, StatisticsPooling, pooling_of
from cmarr.layers.representation import Projection
from cmarr.losses.recognition import recognition_loss
from cmarr.methods.branches import heads_fit, in_parts, modalities_of, usable_in
from cmarr.methods.protocol import Prediction
from cmarr.task import Task


class Masked(nn.Module):
    """A linear projection per modality and the fusion network: no alignment, no recovery.

    Trained with the same random masks as CM-ARR, it is the method to beat; trained on complete data it is
    the "baseline" of the paper's Table 3. Obeys `cmarr.methods.protocol.Method`.
    """

    class Settings(Section):
        """Sizes of the fusion network trained with masks."""

        d: Count = setting(64, "width of every representation, a multiple of heads")
        length: Length = setting(16, LENGTH)
        heads: Count = setting(4, "attention heads, an even number that divides d")
        dropout: Probability = setting(0.1, "in the fusion network")

        _heads_fit = model_validator(mode="after")(heads_fit)

    plain = True

    def __init__(self, dims: Mapping[str, int], task: Task, settings: Settings):
        super().__init__()
        self.task, self.modalities = task, modalities_of(dims)
        d, heads = settings.d, settings.heads
        self.pooling, dims, length = pooling_of(dims, settings.length)
        self.projections = nn.ModuleDict({m: Projection(dims[m], d, length) for m in self.modalities})
        self.fusion = Fusion(self.modalities, d, heads, settings.dropout, task.outputs)

    def ground(self, train: Batch) -> None:
        """Standardise what is pooled, where it is."""
        if isinstance(self.pooling, StatisticsPooling):
            self.pooling.fit(train)

    def training_losses(self, batch: Batch, targets: Batch) -> dict[str, Tensor]:
        """The recognition loss alone, over the rows with something usable."""
        usable = usable_in(batch, self.modalities)
        logits = self.fusion(self._project(batch), torch.zeros_like(usable))
        return {"cls": recognition_loss(logits, batch.labels, usable.any(1), self.task.regression)}

    def predict(self, batch: Batch) -> Prediction:
        """Zeros for what is missing."""
        x, nothing = self._project(batch), torch.zeros_like(usable_in(batch, self.modalities))

        def classify(rows: Tensor) -> Tensor:
            out: Tensor = self.fusion({m: own[rows] for m, own in x.items()}, nothing[rows])
            return out

        return Prediction(in_parts(classify, batch.available))

    def fused(self, batch: Batch) -> Tensor:
        """The fused vectors (B, d)."""
        nothing = torch.zeros_like(usable_in(batch, self.modalities))
        return self.fusion.represent(self._project(batch), nothing)

    def _project(self, batch: Batch) -> dict[str, Tensor]:
        """Modality -> (B, L, d), zeros where it is not available."""
        batch = self.pooling(batch)
        return {
            m: batch.spread(m, own(batch.values[m], batch.lengths[m], batch.longest.get(m)))
            for m, own in self.projections.items()
        }


METHOD = Masked
