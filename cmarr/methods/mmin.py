"""MMIN, the missing modality imagination network (Zhao et al. 2021, ACL).

Stage 1 (`Complete`) recognises emotion from complete data. Stage 2 (`MMIN`) starts from its encoders: a
cascade of autoencoders imagines, from what may be used, what the frozen stage-1 encoders make of the rest;
a second cascade leads back; the latents of the first are classified.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from cmarr.data.batch import Batch
from cmarr.layers.cascade import ResidualCascade, classifier
from cmarr.losses.recognition import recognition_loss
from cmarr.methods._mmin import imagination_loss, masked_view, utterance_encoders
from cmarr.methods.branches import by_name, modalities_of, usable_in, usable_under
from cmarr.methods.protocol import Frozen, Prediction
from cmarr.task import Task


class Complete(nn.Module):
    """Stage 1: an encoder a modality, concatenation, classifier. Obeys `cmarr.methods.protocol.Method`."""

    def __init__(
        self,
        dims: Mapping[str, int],
        task: Task,
        *,
        d: int = 128,
        dropout: float = 0.3,
        text_dropout: float = 0.5,
    ):
        """d: width of each modality's vector; dropout: in the classifier; text_dropout: in the TextCNN."""
        super().__init__()
        self.task, self.modalities = task, modalities_of(dims)
        self.encoders = utterance_encoders(dims, d, text_dropout)
        self.classifier = classifier(len(self.modalities) * d, d, task.outputs, dropout)

    def training_losses(self, batch: Batch, visible: Tensor) -> dict[str, Tensor]:
        """The recognition loss alone."""
        _, usable = usable_in(batch, visible, self.modalities)  # (B, M)
        h = self.encoders(batch.values, batch.lengths, usable, batch.longest)  # (B, M, d)
        logits = self.classifier(h.flatten(1))
        return {"cls": recognition_loss(logits, batch.labels, usable.any(1), self.task.regression)}

    def predict(self, batch: Batch, visible: Mapping[str, Tensor]) -> dict[str, Prediction]:
        """Answers for each named visibility (B, 3); a modality is encoded once for all of them."""
        usable = usable_under(batch, visible, self.modalities)  # (P, B, M)
        h = self.encoders.for_patterns(batch.values, batch.lengths, usable, batch.longest)  # (P, B, M, d)
        logits = self.classifier(h.flatten(2))  # (P, B, K)
        return by_name(visible, logits)


class MMIN(nn.Module):
    """Stage 2. Obeys `cmarr.methods.protocol.Method`; starts from a `Complete`."""

    first_stage = Complete

    def __init__(
        self,
        dims: Mapping[str, int],
        task: Task,
        *,
        d: int = 128,
        dropout: float = 0.5,
        text_dropout: float = 0.5,
        blocks: int = 5,
        cls_weight: float = 1.0,
        imagination_weight: float = 4.0,
        cycle_weight: float = 2.0,
        shared_cascade: bool = False,
    ):
        """Build the model.

        dims:    modality -> width of its features
        d:       width of each modality's vector; with three modalities the cascades are 3d wide
        dropout: in the classifier; text_dropout: in the TextCNN
        blocks:  autoencoders of a cascade
        cls_weight, imagination_weight, cycle_weight: of the three losses
        shared_cascade: the way back uses the weights of the way forth (the authors', for MSP-IMPROV)
        """
        super().__init__()
        self.task, self.modalities = task, modalities_of(dims)
        self.weights = {"cls": cls_weight, "imagination": imagination_weight, "cycle": cycle_weight}
        self.encoders = utterance_encoders(dims, d, text_dropout)
        width, sizes = len(self.modalities) * d, (2 * d, d, d // 2)
        self.cascade = ResidualCascade(width, sizes, blocks)
        self.way_back = None if shared_cascade else ResidualCascade(width, sizes, blocks)
        self.classifier = classifier(blocks * sizes[-1], d, task.outputs, dropout)
        self.first = Frozen[Complete]("mmin")

    def start_from(self, first: Complete) -> None:
        """Take over the encoders of the trained stage 1, and keep it, frozen, for the targets."""
        self.encoders.load_state_dict(first.encoders.state_dict())
        self.first.keep(first)

    def training_losses(self, batch: Batch, visible: Tensor) -> dict[str, Tensor]:
        """cls, imagination and cycle, weighted; what is hidden serves as a detached target alone."""
        view = masked_view(batch, visible, self.modalities)
        h = self.encoders(batch.values, batch.lengths, view.usable, batch.longest)  # (B, M, d)
        imagined, latents = self.cascade(h.flatten(1))  # (B, M d), (B, blocks d / 2)
        back, _ = (self.way_back or self.cascade)(imagined)
        with torch.no_grad():  # the reverse mask: what is hidden is encoded, what may be used is missing
            target = self.first.model.encoders(batch.values, batch.lengths, view.hidden, batch.longest)
        logits = self.classifier(latents)
        losses = {
            "cls": recognition_loss(logits, batch.labels, view.answerable, self.task.regression),
            "imagination": imagination_loss(imagined.view_as(h), target, view.imagined),
            "cycle": imagination_loss(back.view_as(h), h, view.imagined),
        }
        return {name: self.weights[name] * loss for name, loss in losses.items()}

    def predict(self, batch: Batch, visible: Mapping[str, Tensor]) -> dict[str, Prediction]:
        """Answers for each named visibility (B, 3); a modality is encoded once for all of them."""
        usable = usable_under(batch, visible, self.modalities)  # (P, B, M)
        h = self.encoders.for_patterns(batch.values, batch.lengths, usable, batch.longest)  # (P, B, M, d)
        _, latents = self.cascade(h.flatten(2))  # (P, B, blocks d / 2)
        logits = self.classifier(latents)  # (P, B, K)
        return by_name(visible, logits)


METHOD = MMIN
