"""CIF-MMIN, imagination from contrastively learned invariant features (Liu et al. 2024).

Stage 1 (`Contrasted`) adds to MMIN's complete-data model a second set of encoders, whose heads a contrast
between the modalities of an utterance trains. Stage 2 (`CIFMMIN`) gives what these encoders make of the
masked input, H', to every block of the cascade, and asks it to stay what it is with complete data.
"""

import math
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cmarr.data.batch import Batch
from cmarr.declaration import Flag, NotNegative, setting
from cmarr.layers.cascade import GuidedCascade, classifier
from cmarr.losses.recognition import recognition_loss
from cmarr.methods._mmin import (
    PUBLISHED,
    PUBLISHED_FIRST,
    TAKEN,
    FirstStageSizes,
    Sizes,
    TextEncoder,
    UtteranceEncoders,
    guided_losses,
    masked_view,
    utterance_encoders,
)
from cmarr.methods.branches import modalities_of, usable_in
from cmarr.methods.protocol import Frozen, Prediction
from cmarr.task import Task

SCALE = math.e
"""What cosines are multiplied by before the softmax."""

EXCLUDED = -1e4
"""Stands for a cosine that is no negative: exp of it is 0, and its gradient is none."""


def instance_contrast(
    first: Tensor, second: Tensor, counted: Tensor, scale: float | Tensor = SCALE
) -> Tensor:
    """InfoNCE within the batch, the mean of both directions; the positive is left out of the denominator.

        L = -mean_i (s_ii - log sum_{k != i} exp(s_ik)),    s_ik = scale * cos(first_i, second_k)

    first, second (B, d), L2-normalised; counted (B,) bool: the utterances that have both modalities, the
    others are neither positives nor negatives. With fewer than two of them the loss is 0.
    """
    with torch.autocast(first.device.type, enabled=False):
        similarity = scale * first.float() @ second.float().T  # (B, B)
    itself = torch.eye(len(counted), dtype=torch.bool, device=counted.device)
    # Who does not count stays, masked: to leave them out one would have to wait for the device.
    negatives = similarity.masked_fill(itself | ~(counted[:, None] & counted), EXCLUDED)
    both = (negatives.logsumexp(1) + negatives.logsumexp(0)) / 2 - similarity.diagonal()
    number = counted.sum()
    return torch.where(counted & (number > 1), both, 0.0).sum() / number.clamp(min=1)


PAIRS = {("v", "t"): 0.25, ("s", "t"): 0.25, ("s", "v"): 0.5}
"""Two modalities -> the weight of their contrast in stage 1."""


class Contrasted(nn.Module):
    """Stage 1. Obeys `cmarr.methods.protocol.Method`."""

    class Settings(FirstStageSizes):
        """The model that CIF-MMIN starts from."""

        contrast_weight: NotNegative = setting(1.0, "of the contrasts between the modalities")
        learned_scale: Flag = setting(
            False,
            "true = what cosines are multiplied by is learnt, e at the start; false = stays e, as in the public code, "
            "where it is a parameter that no optimiser is given",
        )

    published_training: ClassVar[Mapping[str, Any]] = {**PUBLISHED_FIRST, "decay": 0.25}

    def __init__(self, dims: Mapping[str, int], task: Task, settings: Settings):
        super().__init__()
        self.task, self.modalities = task, modalities_of(dims)
        self.contrast_weight = settings.contrast_weight
        d, text_dropout = settings.d, settings.text_dropout
        self.encoders = utterance_encoders(dims, d, text_dropout)
        self.classifier = classifier(len(self.modalities) * d, d, task.outputs, settings.dropout)
        self.invariant = utterance_encoders(dims, d, text_dropout, text="lstm")
        self.heads = nn.ModuleDict({m: _head(d) for m in self.modalities})
        self.log_scale = nn.Parameter(torch.ones(())) if settings.learned_scale else None

    def training_losses(self, batch: Batch, targets: Batch) -> dict[str, Tensor]:
        """Recognition, and 0.25 L(t, v) + 0.25 L(t, s) + 0.5 L(v, s)."""
        usable = usable_in(batch, self.modalities)  # (B, M)
        h = self.encoders(batch)  # (B, M, d)
        invariant = self.invariant(batch)  # (B, M, d)
        projected = {
            m: F.normalize(self.heads[m](invariant[:, i]), dim=-1) for i, m in enumerate(self.modalities)
        }
        place = self.modalities.index
        scale: float | Tensor = SCALE if self.log_scale is None else self.log_scale.exp()
        pairs = [
            weight
            * instance_contrast(projected[n], projected[m], usable[:, place(n)] & usable[:, place(m)], scale)
            for (n, m), weight in PAIRS.items()
            if n in projected and m in projected
        ]
        logits = self.classifier(h.flatten(1))
        losses = {"cls": recognition_loss(logits, batch.labels, usable.any(1), self.task.regression)}
        if pairs:
            losses["contrast"] = self.contrast_weight * torch.stack(pairs).sum()
        return losses

    def predict(self, batch: Batch) -> Prediction:
        """The logits of what is there; the second set of encoders has no part in them."""
        return Prediction(self.classifier(self.encoders(batch).flatten(1)))

    def diagnostics(self, batch: Batch) -> dict[str, Tensor]:
        """spread/<m>: how far the invariant features of different utterances differ; 0 is a collapse."""
        return spreads(self.invariant, batch, self.modalities)


class CIFMMIN(nn.Module):
    """Stage 2, without the heads of stage 1. Obeys `Method`; starts from a `Contrasted`."""

    class Settings(Sizes):
        """Sizes and weights of CIF-MMIN."""

        imagination_weight: NotNegative = setting(8.0, "of the imagined encodings' error")
        invariance_weight: NotNegative = setting(100.0, "of the error of the invariant features H'")
        invariant_text: Literal["max", "last"] = setting(
            "max",
            "what the second set of encoders tells of a text: max = the largest value of each channel, as they learnt "
            "in the first stage; last = the last word's, as in the public code's second stage",
        )

    first_stage, first_stage_takes, hidden_losses = Contrasted, TAKEN, ("imagination", "invariance")
    published_training: ClassVar[Mapping[str, Any]] = PUBLISHED

    def __init__(self, dims: Mapping[str, int], task: Task, settings: Settings):
        super().__init__()
        self.task, self.modalities = task, modalities_of(dims)
        self.settings = settings
        d, text_dropout, width = settings.d, settings.text_dropout, len(self.modalities) * settings.d
        self.encoders = utterance_encoders(dims, d, text_dropout)
        text: TextEncoder = "last" if settings.invariant_text == "last" else "lstm"
        self.invariant = utterance_encoders(dims, d, text_dropout, text=text)
        self.cascade = GuidedCascade(width, (2 * d, d, d // 2), settings.blocks, residual=True)
        self.classifier = classifier(width, d, task.outputs, settings.dropout)
        self.first = Frozen[Contrasted]("cif_mmin")

    def start_from(self, first: Contrasted) -> None:
        """Take over both sets of encoders of the trained stage 1, and keep it, frozen, for the targets."""
        self.encoders.load_state_dict(first.encoders.state_dict())
        self.invariant.load_state_dict(first.invariant.state_dict())
        self.first.keep(first)

    def training_losses(self, batch: Batch, targets: Batch) -> dict[str, Tensor]:
        """cls, imagination and invariance, weighted; what is hidden serves as a detached target alone."""
        view = masked_view(batch, targets, self.modalities)
        h = self.encoders(batch)  # (B, M, d)
        invariant = self.invariant(batch)  # H', (B, M, d)
        imagined, _ = self.cascade(h.flatten(1), invariant.flatten(1))
        with torch.no_grad():
            reverse = self.first.model.encoders(targets, view.hidden)
            kept = self.first.model.invariant(targets)
        logits = self.classifier(h.flatten(1) + imagined)
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
        """The logits of what is there and of what is imagined from it."""
        h = self.encoders(batch).flatten(1)  # (B, M d)
        imagined, _ = self.cascade(h, self.invariant(batch).flatten(1))
        return Prediction(self.classifier(h + imagined))

    def diagnostics(self, batch: Batch) -> dict[str, Tensor]:
        """As for `Contrasted`."""
        return spreads(self.invariant, batch, self.modalities)


@torch.no_grad()
def spreads(encoders: UtteranceEncoders, batch: Batch, modalities: tuple[str, ...]) -> dict[str, Tensor]:
    """Standard deviation over the utterances, averaged over channels, of each modality's invariant feature."""
    available = usable_in(batch, modalities)
    vectors = encoders(batch)  # (B, M, d)
    return {
        f"spread/{m}": vectors[available[:, i], i].std(0, correction=0).mean()
        for i, m in enumerate(modalities)
        if available[:, i].any()
    }


def _head(d: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(d, d), nn.LeakyReLU(), nn.LayerNorm(d), nn.Linear(d, d), nn.LeakyReLU())


METHOD = CIFMMIN
