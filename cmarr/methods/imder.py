"""IMDer, incomplete multimodality-diffused emotion recognition (Wang et al. 2023, NeurIPS).

A score network a modality learns the density of its representation, given what is there of the others; what is missing
is sampled from it, refined by a reconstruction network, and read by a multimodal transformer. Stage 1 (`Complete`) is
the same without sampling, trained on complete data; its convolutions stay as they are from then on.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self, cast

import torch
from pydantic import model_validator
from torch import Tensor, nn

from cmarr.data.batch import Batch
from cmarr.declaration import Count, NotNegative, setting
from cmarr.layers.attention import Reconstruction
from cmarr.layers.diffusion import deviation, probability_flow, reverse_diffusion
from cmarr.layers.ragged import worked_rows
from cmarr.layers.score_network import ScoreNetwork
from cmarr.losses.recognition import recognition_loss
from cmarr.losses.reconstruction import reconstruction_loss
from cmarr.losses.score_matching import score_matching_errors, times_and_noise
from cmarr.methods import dicmor
from cmarr.methods.branches import in_parts, modalities_of, usable_in, with_recoveries
from cmarr.methods.dicmor import Sizes, Temporal, encoded, fusion_network, temporal_encoders
from cmarr.methods.protocol import Prediction
from cmarr.task import Task

PUBLISHED: Mapping[str, Any] = {"schedule": "plateau", "plateau": 5, "clip": 1.0, "clip_by": "value"}
"""How the authors train either, beside what differs by corpus."""

NOISE_SEED = 0
"""Of the noise that sampling begins with where a prediction is asked for: the same for every utterance."""

AT_ONCE = 512
"""Rows that are sampled together; bounds memory, never changes a sample."""


def short_encoders(dims: Mapping[str, int], sizes: Sizes) -> nn.ModuleDict:
    """DiCMoR's encoders with a convolution over three steps instead of five."""
    made = temporal_encoders(dims, sizes)
    for m, encoder in made.items():
        cast(Temporal, encoder).convolution = nn.Conv1d(dims[m], sizes.d, 3, padding=1, bias=False)
    return made


class Complete(dicmor.Complete):
    """Stage 1, DiCMoR's with its shorter convolution. Obeys `cmarr.methods.protocol.Method`."""

    class Settings(dicmor.Complete.Settings):
        """The model that IMDer starts from."""

    published_training: ClassVar[Mapping[str, Any]] = {**dicmor.Complete.published_training, **PUBLISHED}

    def __init__(self, dims: Mapping[str, int], task: Task, settings: Settings):
        super().__init__(dims, task, settings)
        self.encoders = short_encoders(dims, settings)


class IMDer(nn.Module):
    """The whole method. Obeys `cmarr.methods.protocol.Method`; starts from a `Complete`."""

    class Settings(Sizes):
        """Sizes and weights of IMDer."""

        channels: Count = setting(16, "width of a score network's first level, doubled by each further one")
        levels: Count = setting(3, "of a score network; each but the first halves the steps; the authors' 4")
        score_heads: Count = setting(
            4, "attention heads of a score network, which divide channels; the authors' 8"
        )
        score_layers: Count = setting(1, "in which a level reads the condition; the authors' 2")
        blocks: Count = setting(
            4, "residual channel-attention blocks of a reconstruction network; the authors' 20"
        )
        sampler: Literal["flow", "diffusion"] = setting(
            "flow",
            "flow = the probability flow, without chance; diffusion = the authors' Euler-Maruyama, with noise in every "
            "step",
        )
        steps: Count = setting(10, "of the sampler in a prediction; the authors' 100, with diffusion")
        training_steps: Count = setting(1, "of the same in a training step; the authors' 100")
        score_weight: NotNegative = setting(0.1, "of the score networks' error, summed over entries")
        recovery_weight: NotNegative = setting(0.1, "of the recovered representations' error")

        @model_validator(mode="after")
        def _levels_fit(self) -> Self:
            if self.length % 2 ** (self.levels - 1):
                raise ValueError(f"length must be a multiple of {2 ** (self.levels - 1)}, 2^(levels - 1)")
            if self.channels % self.score_heads or self.channels % 4:
                raise ValueError(f"channels must be a multiple of 4 and of score_heads = {self.score_heads}")
            return self

    privileges = ("batch_masks", "sampled_answers")
    samples_answers = False
    first_stage = Complete
    first_stage_takes = ("d", "length", "depth", "heads", "dropouts")
    published_training: ClassVar[Mapping[str, Any]] = PUBLISHED
    hidden_losses = ("score", "rec")

    def __init__(self, dims: Mapping[str, int], task: Task, settings: Settings):
        super().__init__()
        self.task, self.modalities = task, modalities_of(dims)
        self.settings = own = settings
        several = self.modalities if len(self.modalities) > 1 else ()
        self.encoders = short_encoders(dims, own).requires_grad_(False)
        self.fusion = fusion_network(self.modalities, task, own)
        self.scores = nn.ModuleDict(
            {
                m: ScoreNetwork(own.d, own.channels, own.levels, own.score_heads, own.score_layers)
                for m in several
            }
        )
        self.reconstructions = nn.ModuleDict({m: Reconstruction(own.d, own.blocks) for m in several})
        self.joins = nn.ModuleDict({m: nn.Linear(2 * own.d, own.d) for m in several if len(several) == 3})

    def start_from(self, first: Complete) -> None:
        """Take over the convolutions and the transformer of the trained stage 1."""
        self.encoders.load_state_dict(first.encoders.state_dict())
        self.fusion.load_state_dict(first.fusion.state_dict())

    def training_losses(self, batch: Batch, targets: Batch) -> dict[str, Tensor]:
        """cls, score and rec, weighted; what is hidden serves as a detached target alone."""
        available, usable = usable_in(targets, self.modalities), usable_in(batch, self.modalities)  # (B, M)
        counted = usable.any(1)  # (B,)
        hidden = available & ~usable & counted[:, None]
        x = encoded(self.encoders, targets)
        restored = self._completed(x, usable)
        logits = self.fusion(restored)
        losses = {"cls": recognition_loss(logits, batch.labels, counted, self.task.regression)}
        if self.scores:
            errors = [self._score_error(m, x, usable, hidden[:, i]) for i, m in enumerate(self.modalities)]
            losses["score"] = self.settings.score_weight * torch.stack(errors).sum()
            missed = [
                reconstruction_loss(restored[m][None], x[m][None], hidden[:, i][None])
                for i, m in enumerate(self.modalities)
            ]
            losses["rec"] = self.settings.recovery_weight * torch.stack(missed).sum()
        return losses

    def predict(self, batch: Batch) -> Prediction:
        """The prediction, and what was recovered for it."""
        x = {m: batch.spread(m, own) for m, own in encoded(self.encoders, batch).items()}
        usable = usable_in(batch, self.modalities)
        restored = self._completed(x, usable)
        logits = in_parts(
            lambda rows: self.fusion({m: own[rows] for m, own in restored.items()}), batch.available
        )
        return with_recoveries(logits, restored, ~usable & usable.any(1, keepdim=True))

    def truths(self, batch: Batch) -> dict[str, Tensor]:
        """The true representations, modality -> (B, L, d), zero where not available."""
        there = {m: (batch.lengths[m] > 0)[:, None, None] for m in self.modalities}
        return {m: x * there[m] for m, x in encoded(self.encoders, batch).items()}

    def _completed(self, x: Mapping[str, Tensor], usable: Tensor) -> dict[str, Tensor]:
        """Modality -> (B, L, d): true where usable (B, M), recovered or zero elsewhere."""
        completed = {}
        for i, m in enumerate(self.modalities):
            own = torch.where(usable[:, i, None, None], x[m], 0.0)
            rows = worked_rows(~usable[:, i] & usable.any(1), self.training)  # (R,)
            if len(rows) and m in self.scores:
                parts = [rows] if self.training else rows.split(AT_ONCE)
                sampled = torch.cat([self._sampled(m, x, usable, part) for part in parts])
                restored = torch.zeros_like(own).index_copy(0, rows, self.reconstructions[m](sampled))
                missing = (~usable[:, i] & usable.any(1))[:, None, None]
                own = torch.where(missing, restored, own)
            completed[m] = own
        return completed

    def _condition(self, modality: str, x: Mapping[str, Tensor], usable: Tensor, rows: Tensor) -> Tensor:
        """What there is of the other modalities in `rows` (R,), (R, L, d): one of them, or both through a layer."""
        others = [n for n in self.modalities if n != modality]
        there = [usable[rows, self.modalities.index(n), None, None] for n in others]
        known = [torch.where(may, x[n][rows], 0.0) for n, may in zip(others, there, strict=True)]
        if len(others) == 1:
            return known[0]
        both = self.joins[modality](torch.cat(known, -1))
        return torch.where(there[0] & there[1], both, known[0] + known[1])

    def _score_error(self, modality: str, x: Mapping[str, Tensor], usable: Tensor, hidden: Tensor) -> Tensor:
        """Mean over the hidden (B,) of the score network's error; a scalar."""
        t, noise = times_and_noise(x[modality])  # for all rows: what is drawn hangs on no device
        rows = worked_rows(hidden, self.training)
        if not len(rows):
            return x[modality].new_zeros(())
        condition = self._condition(modality, x, usable, rows)
        truth = torch.where(hidden[rows, None, None], x[modality][rows], 0.0)
        errors = score_matching_errors(self.scores[modality], truth, condition, t[rows], noise[rows])
        return torch.where(hidden[rows], errors, 0.0).sum() / hidden.sum().clamp(min=1)

    @torch.no_grad()
    def _sampled(self, modality: str, x: Mapping[str, Tensor], usable: Tensor, rows: Tensor) -> Tensor:
        """A sample for each of `rows` (R,), (R, L, d): anew in training, else from the same noise for all."""
        own = self.settings
        condition = self._condition(modality, x, usable, rows)
        source = torch.Generator().manual_seed(NOISE_SEED)

        def draw() -> Tensor:
            if self.training or self.samples_answers:
                return torch.randn_like(x[modality], dtype=torch.float32)[rows]
            return (
                torch.randn(condition.shape[1:], generator=source).to(condition.device).expand_as(condition)
            )

        noise = draw()

        def score(at: Tensor, t: Tensor) -> Tensor:
            around = noise if own.sampler == "flow" else draw()
            out: Tensor = self.scores[modality](at, t, condition + deviation(t)[:, None, None] * around)
            return out.float()

        steps = own.training_steps if self.training else own.steps
        if own.sampler == "flow":
            return probability_flow(score, noise, steps)
        return reverse_diffusion(score, noise, steps, draw)


METHOD = IMDer
