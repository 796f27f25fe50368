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
from cmarr.methods.branches import by_name, distinct, heads_fit, modalities_of, usable_in, usable_under
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

    def training_losses(self, batch: Batch, visible: Tensor) -> dict[str, Tensor]:
        """The recognition loss alone, over the rows with something usable."""
        _, usable = usable_in(batch, visible, self.modalities)
        logits = self._logits(self._project(batch), usable)
        return {"cls": recognition_loss(logits, batch.labels, usable.any(1), self.task.regression)}

    def predict(self, batch: Batch, visible: Mapping[str, Tensor]) -> dict[str, Prediction]:
        """Predictions under each named visibility (B, 3); the projections are shared, no input is fused twice."""
        projected = self._project(batch)
        usable = usable_under(batch, visible, self.modalities)  # (P, B, M)

        def predict(rows: Tensor) -> Tensor:
            of = rows % len(batch)
            return self._logits({m: x[of] for m, x in projected.items()}, usable.flatten(0, 1)[rows])

        return by_name(visible, distinct(usable).predict(predict))

    def fused(self, batch: Batch, visible: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The fused vectors (B, d) for each named visibility (B, 3)."""
        projected = self._project(batch)
        seen = {name: usable_in(batch, v, self.modalities)[1] for name, v in visible.items()}
        return {name: self.fusion.represent(*self._kept(projected, own)) for name, own in seen.items()}

    def _project(self, batch: Batch) -> dict[str, Tensor]:
        batch = self.pooling(batch)
        return {
            m: self.projections[m](batch.values[m], batch.lengths[m], batch.longest.get(m))
            for m in self.modalities
        }

    def _logits(self, x: Mapping[str, Tensor], usable: Tensor) -> Tensor:
        out: Tensor = self.fusion(*self._kept(x, usable))
        return out

    def _kept(self, x: Mapping[str, Tensor], usable: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        kept = {m: torch.where(usable[:, i, None, None], x[m], 0.0) for i, m in enumerate(self.modalities)}
        return kept, torch.zeros_like(usable)


METHOD = Masked
