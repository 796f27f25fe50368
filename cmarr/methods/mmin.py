"""MMIN, the missing modality imagination network (Zhao et al. 2021, ACL).

Stage 1 (`Complete`) recognises emotion from complete data. Stage 2 (`MMIN`) starts from its encoders: a
cascade of autoencoders imagines, from what may be used, what the frozen stage-1 encoders make of the rest;
a second cascade leads back; the latents of the first are classified.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from cmarr.data.batch import Batch
from cmarr.declaration import Flag, NotNegative, setting
from cmarr.layers.cascade import ResidualCascade, classifier
from cmarr.losses.recognition import recognition_loss
from cmarr.methods._mmin import (
    PUBLISHED,
    PUBLISHED_FIRST,
    TAKEN,
    FirstStageSizes,
    Sizes,
    imagination_loss,
    masked_view,
    utterance_encoders,
)
from cmarr.methods.branches import modalities_of, usable_in
from cmarr.methods.protocol import Frozen, Prediction
from cmarr.task import Task


class Complete(nn.Module):
    """Stage 1: an encoder a modality, concatenation, classifier. Obeys `cmarr.methods.protocol.Method`."""

    class Settings(FirstStageSizes):
        """The model that MMIN starts from."""

    published_training: ClassVar[Mapping[str, Any]] = PUBLISHED_FIRST

    def __init__(self, dims: Mapping[str, int], task: Task, settings: Settings):
        super().__init__()
        self.task, self.modalities = task, modalities_of(dims)
        d = settings.d
        self.encoders = utterance_encoders(dims, d, settings.text_dropout)
        self.classifier = classifier(len(self.modalities) * d, d, task.outputs, settings.dropout)

    def training_losses(self, batch: Batch, targets: Batch) -> dict[str, Tensor]:
        """The recognition loss alone."""
        usable = usable_in(batch, self.modalities)  # (B, M)
        h = self.encoders(batch)  # (B, M, d)
        logits = self.classifier(h.flatten(1))
        return {"cls": recognition_loss(logits, batch.labels, usable.any(1), self.task.regression)}

    def predict(self, batch: Batch) -> Prediction:
        """The logits of what is there, and zeros' encodings for the rest."""
        h = self.encoders(batch)  # (B, M, d)
        return Prediction(self.classifier(h.flatten(1)))


class MMIN(nn.Module):
    """Stage 2. Obeys `cmarr.methods.protocol.Method`; starts from a `Complete`."""

    class Settings(Sizes):
        """Sizes and weights of MMIN; with three modalities its cascades are 3d wide."""

        cls_weight: NotNegative = setting(1.0, "of the recognition loss")
        imagination_weight: NotNegative = setting(4.0, "of the imagined encodings' error")
        cycle_weight: NotNegative = setting(2.0, "of the error of the way back")
        shared_cascade: Flag = setting(False, "true = the way back uses the weights of the way forth")

    first_stage, first_stage_takes, hidden_losses = Complete, TAKEN, ("imagination",)
    published_training: ClassVar[Mapping[str, Any]] = PUBLISHED

    def __init__(self, dims: Mapping[str, int], task: Task, settings: Settings):
        super().__init__()
        self.task, self.modalities = task, modalities_of(dims)
        self.settings = settings
        d, blocks = settings.d, settings.blocks
        self.encoders = utterance_encoders(dims, d, settings.text_dropout)
        width, sizes = len(self.modalities) * d, (2 * d, d, d // 2)
        self.cascade = ResidualCascade(width, sizes, blocks)
        self.way_back = None if settings.shared_cascade else ResidualCascade(width, sizes, blocks)
        self.classifier = classifier(blocks * sizes[-1], d, task.outputs, settings.dropout)
        self.first = Frozen[Complete]("mmin")

    def start_from(self, first: Complete) -> None:
        """Take over the encoders of the trained stage 1, and keep it, frozen, for the targets."""
        self.encoders.load_state_dict(first.encoders.state_dict())
        self.first.keep(first)

    def training_losses(self, batch: Batch, targets: Batch) -> dict[str, Tensor]:
        """cls, imagination and cycle, weighted; what is hidden serves as a detached target alone."""
        view = masked_view(batch, targets, self.modalities)
        h = self.encoders(batch)  # (B, M, d)
        imagined, latents = self.cascade(h.flatten(1))  # (B, M d), (B, blocks d / 2)
        back, _ = (self.way_back or self.cascade)(imagined)
        with torch.no_grad():  # the reverse mask: what is hidden is encoded, what may be used is missing
            target = self.first.model.encoders(targets, view.hidden)
        logits = self.classifier(latents)
        cls = recognition_loss(logits, batch.labels, view.counted, self.task.regression)
        imagination = imagination_loss(imagined.view_as(h), target, view.imagined)
        cycle = imagination_loss(back.view_as(h), h, view.imagined)
        return {
            "cls": self.settings.cls_weight * cls,
            "imagination": self.settings.imagination_weight * imagination,
            "cycle": self.settings.cycle_weight * cycle,
        }

    def predict(self, batch: Batch) -> Prediction:
        """The logits of what is there, and zeros' encodings for the rest."""
        h = self.encoders(batch)  # (B, M, d)
        _, latents = self.cascade(h.flatten(1))  # (B, blocks d / 2)
        return Prediction(self.classifier(latents))


METHOD = MMIN
