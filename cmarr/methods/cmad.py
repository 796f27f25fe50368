"""CMAD, correlation-aware and modality-aware distillation (Zhuang et al. 2025, ICCV): what MCUR comes from.

A teacher learns from complete data (`Complete`); a student, from which modalities are hidden, learns its features
(CAFD) and its answers, each combination of modalities weighed by how far the student stays behind in it (MAR). The
network is that of `mcur`, or with `network: published` the public code's, layer by layer.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from cmarr.data.batch import Batch
from cmarr.data.labelled import labelled
from cmarr.declaration import Count, CountOrZero, Flag, NotNegative, Positive, setting
from cmarr.layers.latent_resampler import LatentResampler, PostNormLayer
from cmarr.losses.correlation_distillation import (
    CombinationWeights,
    correlation_aware_distance,
    decoupled_distance,
)
from cmarr.losses.recognition import counted_mean, recognition_errors, recognition_loss
from cmarr.methods.branches import modalities_of, usable_in
from cmarr.methods.mcur import Recogniser, TokenEncoder
from cmarr.methods.mcur import Sizes as RecogniserSizes
from cmarr.methods.protocol import Frozen, Prediction
from cmarr.task import Task


class Sizes(RecogniserSizes):
    """Sizes of the network that teacher and student share."""

    network: Literal["mcur", "published"] = setting(
        "mcur",
        "mcur = its layers; published = resamplers of cross- and self-attention with gated networks, and a post-norm "
        "transformer, as in CMAD's code",
    )
    head_width: Count = setting(16, "of published: channels of a head of the resamplers")
    wide: Count = setting(128, "of published: width of the transformer's feed-forward networks")


def recogniser(dims: Mapping[str, int], task: Task, sizes: Sizes) -> Recogniser:
    """MCUR's network, with the layers that `network` names."""
    made = Recogniser(dims, task, sizes)
    if sizes.network == "published":
        d, heads, dropout = sizes.d, sizes.heads, sizes.dropout
        for encoder in made.backbone.encoders.values():
            assert isinstance(encoder, TokenEncoder)
            encoder.resampler = LatentResampler(  # type: ignore[assignment]
                d, sizes.latents, sizes.resampler_layers, heads, sizes.head_width, dropout
            )
        made.backbone.layers = nn.ModuleList(
            PostNormLayer(d, heads, sizes.wide, dropout) for _ in range(sizes.depth)
        )
        made.backbone.norm = nn.Identity()  # type: ignore[assignment]
    return made


class Complete(nn.Module):
    """The teacher, trained on complete data. Obeys `cmarr.methods.protocol.Method`."""

    class Settings(Sizes):
        """The model that CMAD learns from."""

    published_training: ClassVar[Mapping[str, Any]] = {"mask_conditions": ["svt"], "selection": "complete"}

    def __init__(self, dims: Mapping[str, int], task: Task, settings: Settings):
        super().__init__()
        self.task, self.modalities = task, modalities_of(dims)
        self.recogniser = recogniser(dims, task, settings)

    def training_losses(self, batch: Batch, targets: Batch) -> dict[str, Tensor]:
        """The recognition loss alone."""
        usable, logits = usable_in(batch, self.modalities), self.predict(batch).logits  # (B, M)
        return {"cls": recognition_loss(logits, batch.labels, usable.any(1), self.task.regression)}

    def predict(self, batch: Batch) -> Prediction:
        """The classifier's logits."""
        return Prediction(self.recogniser.of(batch)[1])


class CMAD(nn.Module):
    """The student, with its losses. Obeys `cmarr.methods.protocol.Method`; starts from a `Complete`."""

    class Settings(Sizes):
        """Sizes, switches and weights of CMAD."""

        feature_weight: NotNegative = setting(0.1, "of CAFD, the distance of the fused vectors; 0 = without")
        feature_temperature: Positive = setting(0.2, "tau of the similarities in CAFD")
        logit_weight: NotNegative = setting(
            1.0, "of the distance of the answers: decoupled KD; MSE of scores"
        )
        logit_temperature: Positive = setting(7.0, "of the classes' probabilities in it")
        others_weight: NotNegative = setting(1.0, "of the classes that are not the label, in decoupled KD")
        mar: Flag = setting(
            True, "whether combinations are weighed by how far the student stays behind (MAR)"
        )
        warm_up: CountOrZero = setting(
            5, "epochs in which MAR's weights are 1 and measured; from then on they stay as they are"
        )

    first_stage = Complete
    first_stage_takes = (
        *("d", "latents", "resampler_layers", "depth", "heads", "missing"),
        *("network", "head_width", "wide"),
    )
    hidden_losses = ("feature", "logit")
    published_training: ClassVar[Mapping[str, Any]] = {"mask_conditions": "cmad"}

    def __init__(self, dims: Mapping[str, int], task: Task, settings: Settings):
        super().__init__()
        self.task, self.modalities, self.settings = task, modalities_of(dims), settings
        self.recogniser = recogniser(dims, task, settings)
        self.combinations = CombinationWeights(len(self.modalities))
        self.measures = settings.mar
        self.first = Frozen[Complete]("cmad")

    def start_from(self, first: Complete) -> None:
        """Keep the trained teacher, frozen."""
        self.first.keep(first)

    def begin_epoch(self, epoch: int, epochs: int) -> None:
        """Set MAR's weights when the warm-up is over, and measure until then."""
        self.measures = self.settings.mar and epoch <= self.settings.warm_up
        if self.settings.mar and epoch == self.settings.warm_up + 1:
            self.combinations.freeze()

    def training_losses(self, batch: Batch, targets: Batch) -> dict[str, Tensor]:
        """cls, feature (CAFD) and logit, weighted; what is hidden is seen by the teacher alone."""
        own, regression = self.settings, self.task.regression
        usable = usable_in(batch, self.modalities)  # (B, M)
        counted = usable.any(1)
        told = counted & labelled(batch.labels)
        h, logits = self.recogniser.of(batch)
        with torch.no_grad():
            known, wanted = self.first.model.recogniser.of(targets)
        errors = recognition_errors(logits, batch.labels, regression)
        if self.measures and self.training:
            self.combinations.note(
                errors.detach(), recognition_errors(wanted, batch.labels, regression), usable, told
            )
        weights = self.combinations.of(usable)
        losses = {"cls": counted_mean(errors, told, weights)}
        if own.feature_weight:
            losses["feature"] = own.feature_weight * correlation_aware_distance(
                h, known, counted, own.feature_temperature
            )
        if own.logit_weight:
            losses["logit"] = own.logit_weight * self._answers(logits, wanted, batch, counted, weights)
        return losses

    def _answers(
        self, logits: Tensor, wanted: Tensor, batch: Batch, counted: Tensor, weights: Tensor
    ) -> Tensor:
        """How far the answers (B, K) are from the teacher's; a scalar."""
        if self.task.regression:
            distance = (logits.float() - wanted.float()).square().squeeze(1)
        else:
            own = self.settings
            distance = decoupled_distance(
                logits, wanted, batch.labels, own.logit_temperature, own.others_weight
            )
            counted = counted & labelled(batch.labels)
        return counted_mean(distance, counted, weights)

    def predict(self, batch: Batch) -> Prediction:
        """The student's logits."""
        return Prediction(self.recogniser.of(batch)[1])

    def fused(self, batch: Batch) -> Tensor:
        """h (B, d): what CAFD compares."""
        return self.recogniser.of(batch)[0]


METHOD = CMAD
