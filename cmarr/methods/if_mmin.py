"""IF-MMIN, imagination from modality-invariant features (Zuo et al. 2023, ICASSP).

Stage 1 (`Shared`) adds to MMIN's complete-data model one encoder S that all modalities share, and makes
its outputs alike by their central moments. Stage 2 (`IFMMIN`) gives S of the masked encodings, H', to every
block of the cascade, and asks H' to stay what it is with complete data.
"""

import itertools
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from cmarr.data.batch import Batch
from cmarr.declaration import NotNegative, setting
from cmarr.layers.cascade import GuidedCascade, classifier
from cmarr.losses.recognition import recognition_loss
from cmarr.methods._mmin import (
    PUBLISHED,
    PUBLISHED_FIRST,
    TAKEN,
    FirstStageSizes,
    Sizes,
    guided_losses,
    masked_view,
    utterance_encoders,
)
from cmarr.methods.branches import modalities_of, usable_in
from cmarr.methods.protocol import Frozen, Prediction
from cmarr.task import Task

ORDER = 5
"""Central moments up to this one are compared."""


def central_moment_discrepancy(first: Tensor, second: Tensor, order: int = ORDER) -> Tensor:
    """||E(X) - E(Y)|| + sum over k = 2 ... `order` of ||c_k(X) - c_k(Y)||; a scalar.

    c_k is the mean of (X - E(X))^k, channel by channel; first (N, d), second (M, d).

    >>> central_moment_discrepancy(torch.tensor([[-1.0], [1.0]]), torch.tensor([[0.0], [4.0]]), order=2).item()
    5.0
    """
    one, other = (_moments(x[:, None], x.new_ones(len(x), 1).bool(), order) for x in (first, second))
    return _distance(one[:, 0], other[:, 0])


def pairwise_discrepancy(vectors: Tensor, counted: Tensor, order: int = ORDER) -> Tensor:
    """Mean over the pairs of modalities of their discrepancy; 0 without any pair.

    vectors (B, M, d); counted (B, M) bool, which of them exist. A modality that nobody has in the batch
    is in no pair.
    """
    moments, there = _moments(vectors, counted, order), counted.any(0)  # (order, M, d), (M,)
    pairs = list(itertools.combinations(range(vectors.shape[1]), 2))
    if not pairs:
        return vectors.sum() * 0
    # Which pairs there are stays a mask: to leave the others out one would have to wait for the device.
    found = torch.stack([_distance(moments[:, n], moments[:, m]) for n, m in pairs])
    valid = torch.stack([there[n] & there[m] for n, m in pairs])
    return torch.where(valid, found, 0.0).sum() / valid.sum().clamp(min=1)


def _moments(vectors: Tensor, counted: Tensor, order: int) -> Tensor:
    """(order, M, d): mean, and central moments 2 to `order`, of the vectors (B, M, d) that are `counted` (B, M)."""
    there = counted[..., None]  # (B, M, 1)
    number = there.sum(0).clamp(min=1)  # (M, 1)
    vectors = vectors.float()
    mean = torch.where(there, vectors, 0.0).sum(0) / number  # (M, d)
    centred = torch.where(there, vectors - mean, 0.0)  # (B, M, d)
    return torch.stack([mean, *(centred.pow(k).sum(0) / number for k in range(2, order + 1))])


def _distance(first: Tensor, second: Tensor) -> Tensor:
    """Moments (order, d) of two modalities -> the sum of the lengths of their differences."""
    lengths: Tensor = torch.linalg.vector_norm(first - second, dim=-1)
    return lengths.sum(0)


def shared_encoder(d: int) -> nn.Sequential:
    """S: Linear and LeakyReLU, twice, (..., d) -> (..., d)."""
    return nn.Sequential(nn.Linear(d, d), nn.LeakyReLU(), nn.Linear(d, d), nn.LeakyReLU())


class Shared(nn.Module):
    """Stage 1: classifies [h, S(h_s), S(h_v), S(h_t)]. Obeys `cmarr.methods.protocol.Method`."""

    class Settings(FirstStageSizes):
        """The model that IF-MMIN starts from."""

        discrepancy_weight: NotNegative = setting(
            1.0, "of the central moment discrepancy between the modalities"
        )

    published_training: ClassVar[Mapping[str, Any]] = PUBLISHED_FIRST

    def __init__(self, dims: Mapping[str, int], task: Task, settings: Settings):
        super().__init__()
        self.task, self.modalities = task, modalities_of(dims)
        self.discrepancy_weight = settings.discrepancy_weight
        d = settings.d
        self.encoders = utterance_encoders(dims, d, settings.text_dropout)
        self.shared = shared_encoder(d)
        self.classifier = classifier(2 * len(self.modalities) * d, d, task.outputs, settings.dropout)

    def training_losses(self, batch: Batch, targets: Batch) -> dict[str, Tensor]:
        """Recognition, and the mean pairwise central moment discrepancy of what S makes of the modalities."""
        usable = usable_in(batch, self.modalities)  # (B, M)
        h = self.encoders(batch)  # (B, M, d)
        invariant = self.shared(h)  # (B, M, d)
        logits = self._logits(h, invariant)
        return {
            "cls": recognition_loss(logits, batch.labels, usable.any(1), self.task.regression),
            "discrepancy": self.discrepancy_weight * pairwise_discrepancy(invariant, usable),
        }

    def predict(self, batch: Batch) -> Prediction:
        """The logits of what is there, and zeros' encodings for the rest."""
        h = self.encoders(batch)  # (B, M, d)
        return Prediction(self._logits(h, self.shared(h)))

    def _logits(self, h: Tensor, invariant: Tensor) -> Tensor:
        out: Tensor = self.classifier(torch.cat([h.flatten(-2), invariant.flatten(-2)], dim=-1))
        return out


class IFMMIN(nn.Module):
    """Stage 2. Obeys `cmarr.methods.protocol.Method`; starts from a `Shared`."""

    class Settings(Sizes):
        """Sizes and weights of IF-MMIN."""

        imagination_weight: NotNegative = setting(1.0, "of the imagined encodings' error")
        invariance_weight: NotNegative = setting(100.0, "of the error of the invariant features H'")

    first_stage, first_stage_takes, hidden_losses = Shared, TAKEN, ("imagination", "invariance")
    published_training: ClassVar[Mapping[str, Any]] = PUBLISHED

    def __init__(self, dims: Mapping[str, int], task: Task, settings: Settings):
        super().__init__()
        self.task, self.modalities = task, modalities_of(dims)
        self.settings = settings
        d, sizes = settings.d, (2 * settings.d, settings.d, settings.d // 2)
        self.encoders = utterance_encoders(dims, d, settings.text_dropout)
        self.shared = shared_encoder(d)
        self.cascade = GuidedCascade(len(self.modalities) * d, sizes, settings.blocks, residual=False)
        self.classifier = classifier(settings.blocks * sizes[-1], d, task.outputs, settings.dropout)
        self.first = Frozen[Shared]("if_mmin")

    def start_from(self, first: Shared) -> None:
        """Take over the encoders of the trained stage 1 and S, and keep it, frozen, for the targets."""
        self.encoders.load_state_dict(first.encoders.state_dict())
        self.shared.load_state_dict(first.shared.state_dict())
        self.first.keep(first)

    def training_losses(self, batch: Batch, targets: Batch) -> dict[str, Tensor]:
        """cls, imagination and invariance, weighted; what is hidden serves as a detached target alone."""
        view = masked_view(batch, targets, self.modalities)
        h = self.encoders(batch)  # (B, M, d)
        invariant = self.shared(h)  # H', (B, M, d)
        imagined, latents = self.cascade(h.flatten(1), invariant.flatten(1))
        with torch.no_grad():
            # One frozen pass serves both targets: the complete view, and the reverse-masked one.
            complete, reverse = self.first.model.encoders.complete_and_some(targets, view.hidden)
            kept = self.first.model.shared(complete)  # H of the complete view, (B, M, d)
        logits = self.classifier(latents)
        losses = guided_losses(
            view,
            imagined=imagined.view_as(h),
            reverse=reverse,
            invariant=invariant,
            kept=kept,
            imagination_weight=self.settings.imagination_weight,
            invariance_weight=self.settings.invariance_weight,
        )
        return {
            "cls": recognition_loss(logits, batch.labels, view.counted, self.task.regression),
            **losses,
        }

    def predict(self, batch: Batch) -> Prediction:
        """The logits of what is there, and zeros' encodings for the rest."""
        h = self.encoders(batch)  # (B, M, d)
        _, latents = self.cascade(h.flatten(1), self.shared(h).flatten(1))
        return Prediction(self.classifier(latents))


METHOD = IFMMIN
