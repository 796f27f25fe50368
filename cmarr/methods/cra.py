"""CRA, the cascaded residual autoencoder (Tran et al. 2017, CVPR), stand-alone.

Pooled features, an MLP a modality, two autoencoders that correct what is missing, and three decoders back
to the features. The classifier reads what the cascade has made of the input.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from cmarr.data.batch import Batch
from cmarr.declaration import Count, NotNegative, Probability, Section, setting
from cmarr.layers.cascade import ResidualCascade, classifier
from cmarr.layers.ragged import mean_over_time
from cmarr.losses.recognition import recognition_loss
from cmarr.methods.branches import by_name, modalities_of, usable_in, usable_under
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

    def training_losses(self, batch: Batch, visible: Tensor) -> dict[str, Tensor]:
        """cls, and the weighted error of the hidden modalities' features, which are targets alone."""
        available, usable = usable_in(batch, visible, self.modalities)  # (B, M)
        counted = usable.any(1)
        hidden = available & ~usable & counted[:, None]
        pooled = self._pooled(batch)
        completed = self.cascade(self._encode(pooled, usable[None])[0])[0]  # (B, M d)
        error = torch.stack(
            [(self.decoders[m](completed) - x).square().mean(1) for m, x in pooled.items()], dim=1
        )  # (B, M) squared error / D
        per_utterance = torch.where(hidden, error, 0.0).sum(1)
        logits = self.classifier(completed)
        return {
            "cls": recognition_loss(logits, batch.labels, counted, self.task.regression),
            "reconstruction": self.reconstruction_weight * per_utterance.sum() / counted.sum().clamp(min=1),
        }

    def predict(self, batch: Batch, visible: Mapping[str, Tensor]) -> dict[str, Prediction]:
        """Predictions under each named visibility (B, 3); a modality is encoded once for all of them."""
        usable = usable_under(batch, visible, self.modalities)  # (P, B, M)
        completed, _ = self.cascade(self._encode(self._pooled(batch), usable))  # (P, B, M d)
        logits = self.classifier(completed)
        return by_name(visible, logits)

    def _pooled(self, batch: Batch) -> dict[str, Tensor]:
        return {m: mean_over_time(batch.values[m], batch.lengths[m]) for m in self.modalities}  # (B, D)

    def _encode(self, pooled: Mapping[str, Tensor], usable: Tensor) -> Tensor:
        """usable (P, B, M) -> (P, B, M d); what is missing enters as features of zero."""
        parts = []
        for i, m in enumerate(self.modalities):
            with_nothing = torch.cat([pooled[m], torch.zeros_like(pooled[m][:1])])  # (B + 1, D)
            encoded = self.encoders[m](with_nothing)  # (B + 1, d), the last is that of nothing
            parts.append(torch.where(usable[..., [i]], encoded[:-1], encoded[-1]))
        return torch.cat(parts, dim=-1)


def _encoder(dim: int, d: int, dropout: float) -> nn.Sequential:
    layers: list[nn.Module] = []
    for width in (dim, d, d):
        layers += [nn.Linear(width, d), nn.ReLU(), nn.Dropout(dropout)]
    return nn.Sequential(*layers)


def _decoder(width: int, d: int, dim: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, d), nn.ReLU(), nn.Linear(d, d), nn.ReLU(), nn.Linear(d, dim))


METHOD = CRA
