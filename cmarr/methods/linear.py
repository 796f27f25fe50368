"""`linear`: logistic (ridge) regression on time-pooled features, one model a condition.

The plainest rival, and hard to beat. Statistics over time of each modality, standardised on the training split; a
condition's model is trained on the utterances that have a modality of it, absent ones entering as zeros (the mean), and
predicts from what it may use.
"""

from collections.abc import Mapping
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from cmarr.data.batch import Batch
from cmarr.data.labelled import labelled
from cmarr.declaration import Positive, setting
from cmarr.methods.left_out import chosen_strength, parts_of
from cmarr.methods.pooled import (
    Fitted,
    Pooling,
    StandardFeatures,
    by_condition,
    fit_linear_model,
    rotation,
)
from cmarr.methods.protocol import Prediction
from cmarr.modalities import CONDITIONS, visible
from cmarr.task import Task


class Linear(Fitted):
    """One linear model for each of the seven conditions. Obeys `cmarr.methods.protocol.ClosedForm`."""

    class Settings(Pooling):
        """Logistic (ridge) regression on pooled features."""

        C: Literal["auto"] | Positive = setting(
            "auto",
            "inverse strength of the L2 penalty (ridge: alpha = 1 / C); auto = for each condition what does best on "
            "speakers that are left out",
        )

    plain, deterministic, tuned = True, True, "C"

    weight: Tensor
    bias: Tensor

    def __init__(self, dims: Mapping[str, int], task: Task, settings: Settings) -> None:
        super().__init__()
        self.task, self.C = task, settings.C
        self.features = StandardFeatures(dims, settings)
        shape = len(CONDITIONS), task.outputs, self.features.count
        self.register_buffer("weight", torch.zeros(shape, dtype=torch.float64))
        self.register_buffer("bias", torch.zeros(len(CONDITIONS), task.outputs, dtype=torch.float64))

    def fit(self, train: Batch, generator: torch.Generator) -> None:
        """Fit the seven models; deterministic, the generator is not used."""
        self.features.fit(train)
        self.weight = torch.zeros(
            len(CONDITIONS), self.task.outputs, self.features.count, dtype=torch.float64
        )
        # A penalised linear model is the same on rows that are rotated onto their own span, and sooner fitted.
        standard = {m: self.features.standard(train, m) for m in self.features.modalities}
        basis = {m: rotation(x[self.features.available(train, m)]) for m, x in standard.items()}
        rotated = {m: (x @ basis[m]).numpy() for m, x in standard.items()}
        parts, labels = parts_of(train).numpy(), train.labels.cpu().numpy()
        known = labelled(train.labels).cpu().numpy()
        for index, condition in enumerate(CONDITIONS):
            own = torch.stack([self.features.available(train, m) for m in condition]).any(0).numpy() & known
            if not self.features.met(condition) or not own.any():
                continue
            read = [m for m in self.features.modalities if m in condition]
            inputs = np.concatenate([rotated[m][own] for m in read], 1)
            C = chosen_strength(inputs, labels[own], parts[own], self.task) if self.C == "auto" else self.C
            weight, self.bias[index] = fit_linear_model(inputs, labels[own], self.task, C)
            split = weight.split([basis[m].shape[1] for m in read], 1)
            back = torch.cat([w @ basis[m].T for m, w in zip(read, split, strict=True)], 1)
            self.weight[index][:, self.features.columns(torch.tensor(visible(condition)))] = back

    def sizes_agree(self) -> bool:
        """Whether there is a weight a statistic."""
        outputs, width = self.task.outputs, self.features.count
        shapes = (len(CONDITIONS), outputs, width), (len(CONDITIONS), outputs)
        return (self.weight.shape, self.bias.shape) == shapes

    def predict(self, batch: Batch) -> Prediction:
        """Each row is predicted by the model of the condition that its usable modalities form."""
        standard, usable = self.features.rows(batch), batch.available  # (B, W), (B, 3)
        weight, bias = self.weight.cpu(), self.bias.cpu()
        logits = standard.new_zeros(len(standard), self.task.outputs)
        for index, _, rows in by_condition(usable):
            logits[rows] = standard[rows] @ weight[index].T + bias[index]
        return Prediction(logits.float().to(usable.device))


METHOD = Linear
