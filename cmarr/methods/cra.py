"""CRA, the cascaded residual autoencoder (Tran et al. 2017, CVPR), stand-alone.

Pooled features, an MLP a modality, two autoencoders that correct what is missing, and three decoders back
to the features. The classifier reads what the cascade has made of the input.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from cmarr.data.batch import Batch
from cmarr.data.statistics import mean_over_time
from cmarr.declaration import Count, NotNegative, Probability, Section, setting
from cmarr.layers.cascade import ResidualCascade, classifier
from cmarr.losses.recognition import recognition_loss
from cmarr.methods.branches import modalities_of, usable_in
from cmarr.methods.protocol import Prediction
from cmarr.task import Task


class CRA(nn.Module):
    """The whole method. Obeys `cmarr.methods.protocol.Method`."""

    class Settings(Section):
        """Sizes and weights of the cascaded residual autoencoder."""

        d: Count = setting(128, "width of a modality's vector")
        dropout: Probability = setting(0.5, "in encoders and classifier")
        reconstruction_weight: NotNegative = setting(
            0.1, "w of the error of hidden features; the authors take 0.02 to 0.8"
        )

    published_training: ClassVar[Mapping[str, Any]] = {
        "betas": [0.5, 0.999],
        "schedule": "linear",
        "decay": 0.8,
        "clip": 5.0,
    }

    def __init__(self, dims: Mapping[str, int], task: Task, settings: Settings):
        super().__init__()
        self.task, self.modalities = task, modalities_of(dims)
        self.reconstruction_weight = settings.reconstruction_weight
        d, dropout = settings.d, settings.dropout
        width = len(self.modalities) * d
        self.encoders = nn.ModuleDict({m: _encoder(dims[m], d, dropout) for m in self.modalities})
        self.cascade = ResidualCascade(width, (2 * d, d), blocks=2, transition=False)
        self.decoders = nn.ModuleDict({m: _decoder(width, d, dims[m]) for m in self.modalities})
        self.classifier = classifier(width, d, task.outputs, dropout)

    hidden_losses = ("reconstruction",)

    def training_losses(self, batch: Batch, targets: Batch) -> dict[str, Tensor]:
        """cls, and the weighted error of the hidden modalities' features, which are targets alone."""
        usable = usable_in(batch, self.modalities)  # (B, M)
        counted = usable.any(1)
        hidden = usable_in(targets, self.modalities) & ~usable & counted[:, None]
        completed, _ = self.cascade(self._encode(batch))  # (B, M d)
        error = torch.stack(
            [(self.decoders[m](completed) - x).square().mean(1) for m, x in self._pooled(targets).items()],
            dim=1,
        )  # (B, M) squared error / D
        per_utterance = torch.where(hidden, error, 0.0).sum(1)
        logits = self.classifier(completed)
        return {
            "cls": recognition_loss(logits, batch.labels, counted, self.task.regression),
            "reconstruction": self.reconstruction_weight * per_utterance.sum() / counted.sum().clamp(min=1),
        }

    def predict(self, batch: Batch) -> Prediction:
        """What the classifier makes of the completed input."""
        completed, _ = self.cascade(self._encode(batch))  # (B, M d)
        return Prediction(self.classifier(completed))

    def _pooled(self, batch: Batch) -> dict[str, Tensor]:
        return {m: mean_over_time(batch.values[m], batch.lengths[m]) for m in self.modalities}  # (U, D)

    def _encode(self, batch: Batch) -> Tensor:
        """(B, M d); what is missing enters as features of zero."""
        parts = []
        for i, (m, pooled) in enumerate(self._pooled(batch).items()):
            with_nothing = torch.cat([pooled, torch.zeros_like(pooled[:1])])  # (U + 1, D)
            encoded = self.encoders[m](with_nothing)  # (U + 1, d), the last is that of nothing
            there = usable_in(batch, self.modalities)[:, i, None]  # (B, 1)
            parts.append(torch.where(there, batch.spread(m, encoded[:-1]), encoded[-1]))
        return torch.cat(parts, dim=-1)


def _encoder(dim: int, d: int, dropout: float) -> nn.Sequential:
    layers: list[nn.Module] = []
    for width in (dim, d, d):
        layers += [nn.Linear(width, d), nn.ReLU(), nn.Dropout(dropout)]
    return nn.Sequential(*layers)


def _decoder(width: int, d: int, dim: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, d), nn.ReLU(), nn.Linear(d, d), nn.ReLU(), nn.Linear(d, dim))


METHOD = CRA
