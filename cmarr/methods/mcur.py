"""MCUR: modality-aware contrast and uncertainty regularization (Zhuang et al. 2026, arXiv 2605.06245).

Of the paper only the abstract and a list of findings can be read. Its words are two losses, a teacher and a
student, and modalities hidden at random; backbone, formulas and numbers are inferred, and each inferred
choice is a switch. docs/mcur.md says which is which.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from cmarr.data.batch import Batch
from cmarr.data.masks import second_draw
from cmarr.errors import UserError
from cmarr.layers.attention import TransformerLayer, attend, feed_forward
from cmarr.layers.ragged import Layout
from cmarr.losses.recognition import counted_mean, recognition_errors, recognition_loss
from cmarr.losses.regularisation import CombinationContrast, Direction, Source, UncertaintyWeights
from cmarr.losses.supervised_contrast import ScoreClasses, score_classes
from cmarr.methods.branches import by_name, check_sizes, modalities_of, usable_in, usable_under
from cmarr.methods.protocol import Frozen, Prediction
from cmarr.task import Task


class ResamplerLayer(nn.Module):
    """Queries read frames and each other, then a feed-forward network; norm before, residual around."""

    def __init__(self, d: int, heads: int, dropout: float):
        super().__init__()
        self.heads = heads
        self.norm_frames = nn.LayerNorm(d)
        self.norm_queries = nn.LayerNorm(d)
        self.query = nn.Linear(d, d, bias=False)
        self.key_value = nn.Linear(d, 2 * d, bias=False)
        self.out = nn.Linear(d, d, bias=False)
        self.norm_step = nn.LayerNorm(d)
        self.step = feed_forward(d)
        self.dropout = nn.Dropout(dropout)

    def forward(self, queries: Tensor, frames: Tensor, readable: Tensor) -> Tensor:
        """queries (B, Q, d), frames (B, T, d), readable (B, T + Q) bool -> (B, Q, d)."""
        asked = self.norm_queries(queries)
        context = torch.cat([self.norm_frames(frames), asked], dim=1)  # (B, T + Q, d)
        key, value = self.key_value(context).chunk(2, dim=-1)
        read = attend(self.query(asked), key, value, self.heads, readable)
        queries = queries + self.dropout(self.out(read))
        return queries + self.dropout(self.step(self.norm_step(queries)))


class PerceiverResampler(nn.Module):
    """(B, T, d) -> (B, Q, d): what `latents` learned queries read of each sequence in `layers` layers.

    The resampler of Flamingo (Alayrac et al. 2022) after the Perceiver (Jaegle et al. 2021), without its
    time embedding: the convolution before it is all that sees an order.
    """

    def __init__(self, d: int, latents: int, layers: int, heads: int, dropout: float):
        super().__init__()
        self.latents = nn.Parameter(torch.randn(latents, d) * d**-0.5)
        self.layers = nn.ModuleList(ResamplerLayer(d, heads, dropout) for _ in range(layers))

    def forward(self, frames: Tensor, mask: Tensor) -> Tensor:
        """frames (B, T, d); mask (B, T) bool, True on real frames, of which there may be none."""
        queries = self.latents.expand(len(frames), -1, -1)  # (B, Q, d)
        readable = torch.cat([mask, mask.new_ones(queries.shape[:2])], dim=1)  # (B, T + Q)
        for layer in self.layers:
            queries = layer(queries, frames, readable)
        return queries


Missing = Literal["zeros", "learned"]

KERNELS = {"t": 3, "s": 1, "v": 1}
"""Frames that the convolution of a modality sees."""


@dataclass(frozen=True)
class Tokens:
    """vectors: (B, M, d), a token a modality; blank: (M, d), what stands for a missing one."""

    vectors: Tensor
    blank: Tensor


class TokenEncoder(nn.Module):
    """A sequence to one token: convolution without bias, Perceiver resampler, mean of its queries, layer norm."""

    def __init__(self, dim: int, d: int, kernel: int, latents: int, layers: int, heads: int, dropout: float):
        super().__init__()
        self.convolution = nn.Conv1d(dim, d, kernel, padding=kernel // 2, bias=False)
        self.resampler = PerceiverResampler(d, latents, layers, heads, dropout)
        self.norm = nn.LayerNorm(d)

    def forward(self, frames: Tensor, lengths: Tensor, longest: int | None = None) -> Tensor:
        """Ragged frames (N, dim) of B utterances with `lengths` (B,) -> (B, d); `longest` as for `Layout`."""
        layout = Layout(lengths, len(frames), longest)
        # One product with the weights of every offset, on real frames only; what comes behind them is not read.
        weights = self.convolution.weight.permute(2, 0, 1)  # (kernel, d, D)
        offsets = layout.pad(F.linear(frames, weights.flatten(0, 1))).chunk(
            len(weights), dim=-1
        )  # (B, T, d) each
        middle = len(offsets) // 2
        x = offsets[middle]
        for place, own in enumerate(offsets):
            if place != middle:
                x = x + F.pad(own, (0, 0, middle - place, place - middle))
        return self.norm(self.resampler(x, layout.mask).mean(1))


class TokenBackbone(nn.Module):
    """From features to the fused representation h of an utterance, for any set of usable modalities.

    The network inferred for MCUR from CMAD (Zhuang et al. 2025), see docs/mcur.md: a `TokenEncoder` a modality,
    a transformer over the modality axis, concatenation, Linear + dropout + ReLU.

    missing: what stands for a modality that may not be used: "zeros", the token of a single frame of zeros
             (CMAD's zeroed input, which betrays no length), or a "learned" vector
    """

    def __init__(
        self,
        dims: Mapping[str, int],
        d: int,
        *,
        latents: int,
        resampler_layers: int,
        depth: int,
        heads: int,
        dropout: float,
        missing: Missing = "zeros",
    ):
        super().__init__()
        self.modalities = tuple(dims)
        self.encoders = nn.ModuleDict(
            {
                m: TokenEncoder(dims[m], d, KERNELS[m], latents, resampler_layers, heads, dropout)
                for m in self.modalities
            }
        )
        self.layers = nn.ModuleList(TransformerLayer(d, heads, dropout) for _ in range(depth))
        self.norm = nn.LayerNorm(d)
        self.join = nn.Sequential(nn.Linear(len(dims) * d, d), nn.Dropout(dropout), nn.ReLU())
        self.blank = nn.Parameter(torch.zeros(len(dims), d)) if missing == "learned" else None

    def encode(
        self,
        values: Mapping[str, Tensor],
        lengths: Mapping[str, Tensor],
        longest: Mapping[str, int] | None = None,
    ) -> Tokens:
        """Ragged features (N, D) a modality and their lengths (B,) -> tokens, whatever may be used of them.

        longest: as for `Layout`, a modality.
        """
        read = []
        for m in self.modalities:
            frames, sizes = values[m], lengths[m]
            if self.blank is None:  # one utterance more, of a single frame of zeros
                frames = torch.cat([frames, frames.new_zeros(1, frames.shape[1])])
                sizes = torch.cat([sizes, sizes.new_ones(1)])
            known = (longest or {}).get(m)
            read.append(self.encoders[m](frames, sizes, None if known is None else max(known, 1)))
        tokens = torch.stack(read, dim=1)  # (B, M, d), or one row more
        if self.blank is None:
            return Tokens(tokens[:-1], tokens[-1])
        return Tokens(tokens, self.blank)

    def fuse(self, tokens: Tokens, usable: Tensor) -> Tensor:
        """h (..., B, d) under each of some patterns `usable` (..., B, M) bool."""
        x = torch.where(usable[..., None], tokens.vectors, tokens.blank).flatten(0, -3)  # (P B, M, d)
        for layer in self.layers:
            x = layer(x, x)
        return self.join(self.norm(x).flatten(1)).view(*usable.shape[:-1], -1)


Feature = Literal["mse", "cosine"]


def feature_distance(student: Tensor, teacher: Tensor, kind: Feature) -> Tensor:
    """(N,) distance of two representations (N, d): their mean squared error, or 1 - their cosine.

    No gradient flows into the teacher.
    """
    target = teacher.detach().float()
    if kind == "cosine":
        return 1 - F.cosine_similarity(student.float(), target, dim=-1)
    return (student.float() - target).square().mean(-1)


def similarity_distance(student: Tensor, teacher: Tensor, counted: Tensor) -> Tensor:
    """How differently student and teacher see the batch (Tung and Mori 2019); a scalar.

        G = h h^T, rows L2-normalised;     ||G_student - G_teacher||_F^2 / R^2

    student, teacher (N, d); counted (N,) bool: the R rows that are compared. 0 without any.
    """
    if not counted.any():
        return student.sum() * 0
    mine, target = student[counted].float(), teacher[counted].detach().float()
    difference = F.normalize(mine @ mine.T, dim=1) - F.normalize(target @ target.T, dim=1)  # (R, R)
    return difference.square().mean()


def answer_distance(student: Tensor, teacher: Tensor, regression: bool, temperature: float) -> Tensor:
    """(N,) distance of two answers (N, K); no gradient flows into the teacher.

    Classes: T^2 KL(teacher || student) of the softmaxes at temperature T (Hinton et al. 2015).
    Scores: |y_student - y_teacher|, which has no temperature.
    """
    target = teacher.detach().float()
    if regression:
        return (student.float() - target).abs().squeeze(1)
    log_student = (student.float() / temperature).log_softmax(1)
    log_teacher = (target / temperature).log_softmax(1)
    return temperature**2 * (log_teacher.exp() * (log_teacher - log_student)).sum(1)


From = Literal["pretrained", "self", "average", "none"]
Terms = Literal["all", "recognition"]

TAUGHT_ALONG = ("self", "average")
"""Teachers that learn while they teach: for their sake the complete view of a batch is a view like the others."""

Weights = tuple[Tensor, ...] | list[Tensor]


class Recogniser(nn.Module):
    """The network that teacher and student share: the backbone and a linear answer."""

    def __init__(self, dims: Mapping[str, int], task: Task, d: int, **sizes: object):
        super().__init__()
        self.modalities = modalities_of(dims)
        own = {m: dims[m] for m in self.modalities}
        self.backbone = TokenBackbone(own, d, **sizes)  # type: ignore[arg-type]
        self.classify = nn.Linear(d, task.outputs)

    def encode(self, batch: Batch) -> Tokens:
        """A token a modality, hidden or not: `forward` decides what is seen of them."""
        return self.backbone.encode(batch.values, batch.lengths, batch.longest)

    def forward(self, tokens: Tokens, usable: Tensor) -> tuple[Tensor, Tensor]:
        """h (P, B, d) and logits (P, B, K) under each pattern `usable` (P, B, M) bool."""
        h = self.backbone.fuse(tokens, usable)
        return h, self.classify(h)


class Teacher(nn.Module):
    """The teacher on its own, trained on complete data. Obeys `cmarr.methods.protocol.Method`."""

    def __init__(
        self,
        dims: Mapping[str, int],
        task: Task,
        *,
        d: int = 64,
        latents: int = 4,
        resampler_layers: int = 1,
        depth: int = 2,
        heads: int = 4,
        dropout: float = 0.1,
        missing: Missing = "zeros",
    ):
        """Build the model; keywords as for `MCUR`. Raises UserError for sizes that do not fit together."""
        super().__init__()
        check_sizes("mcur", d=d, heads=heads, length=latents)
        self.task, self.modalities = task, modalities_of(dims)
        self.recogniser = Recogniser(
            dims,
            task,
            d,
            latents=latents,
            resampler_layers=resampler_layers,
            depth=depth,
            heads=heads,
            dropout=dropout,
            missing=missing,
        )

    def training_losses(self, batch: Batch, visible: Tensor) -> dict[str, Tensor]:
        """The recognition loss alone."""
        _, usable = usable_in(batch, visible, self.modalities)  # (B, M)
        _, logits = self.recogniser(self.recogniser.encode(batch), usable[None])
        return {"cls": recognition_loss(logits[0], batch.labels, usable.any(1), self.task.regression)}

    def predict(self, batch: Batch, visible: Mapping[str, Tensor]) -> dict[str, Prediction]:
        """Answers for each named visibility (B, 3); a modality is encoded once for all of them."""
        _, logits = self.recogniser(
            self.recogniser.encode(batch), usable_under(batch, visible, self.modalities)
        )
        return by_name(visible, logits)

    def fused(self, batch: Batch, visible: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """h (B, d) for each named visibility (B, 3)."""
        h, _ = self.recogniser(self.recogniser.encode(batch), usable_under(batch, visible, self.modalities))
        return dict(zip(visible, h, strict=True))


class MCUR(nn.Module):
    """The student, with its losses. Obeys `cmarr.methods.protocol.Method`; may start from a `Teacher`."""

    first_stage = Teacher

    def __init__(
        self,
        dims: Mapping[str, int],
        task: Task,
        *,
        d: int = 64,
        latents: int = 4,
        resampler_layers: int = 1,
        depth: int = 2,
        heads: int = 4,
        dropout: float = 0.1,
        missing: Missing = "zeros",
        teacher: From = "pretrained",
        start: Literal["fresh", "teacher"] = "fresh",
        decay: float = 0.99,
        views: int = 2,
        feature: Feature = "mse",
        feature_weight: float = 0.1,
        similarity_weight: float = 0.0,
        logit_weight: float = 1.0,
        logit_temperature: float = 7.0,
        mcbcl_combination: float = 0.1,
        mcbcl_category: float = 0.1,
        mcbcl_temperature: float = 0.2,
        mcbcl_projection: int = 0,
        mcbcl_same_utterance: bool = True,
        score_classes: ScoreClasses = "sign",
        sugr: Source | Literal["none"] = "variance",
        sugr_direction: Direction = "down",
        sugr_terms: Terms = "all",
        warm_up: int = 0,
    ):
        """Build the model; its weights come from torch's global generator, which the caller seeds.

        dims: modality -> width of its features; one that is absent gets no branch.

        Backbone:
        d:                width of every token and of h; `heads` must divide it
        latents:          queries of each Perceiver resampler, in resampler_layers layers
        depth, heads:     of the transformer over the modality tokens; heads also of the resamplers
        dropout:          in all of them
        missing:          what stands for a missing modality: the token of "zeros", or a "learned" one

        Teacher and student:
        teacher: "pretrained": trained on complete data before, then frozen
                 "self":       the complete view of the same batch, which becomes a view like the others
                 "average":    the exponential average of the student's weights, on that view, which the student
                               sees, too
                 "none"
        start:   the student's weights are "fresh" or the pretrained "teacher"'s
        decay:   of the average, reached slowly: at most (1 + steps) / (10 + steps)
        views:   masks a sample and step, 1 or 2
        feature: distance of the representations, "mse" or "cosine", times feature_weight
        similarity_weight: of the distance of the batch's similarities
        logit_weight: of the distance of the answers at logit_temperature

        MCB-CL and SUGR:
        mcbcl_combination, mcbcl_category: w1 and w2, see `CombinationContrast`, as are temperature,
                 projection and same_utterance
        score_classes: categories in a regression task: "sign", or "rounded" to seven
        sugr:    where uncertainty comes from, "variance", "entropy", "gap", or "none", and what it does:
                 sugr_direction; see `UncertaintyWeights`
        sugr_terms: what is weighted: "all" losses of a sample, or its "recognition" alone
        warm_up: epochs in which every weight is 1, and in which a teacher that itself only learns
                 ("self", "average") gains its influence

        Raises UserError for sizes that do not fit together, and for a gap without a teacher.
        """
        super().__init__()
        check_sizes("mcur", d=d, heads=heads, length=latents)
        if views not in (1, 2):
            raise UserError(f"method.mcur.views: {views} masks a sample; there are 1 or 2")
        if sugr == "gap" and teacher == "none":
            raise UserError("method.mcur.sugr: the gap to the teacher needs one; set method.mcur.teacher")
        self.task, self.modalities = task, modalities_of(dims)
        self.teacher, self.start, self.views = teacher, start, views
        self.feature, self.feature_weight, self.similarity_weight = feature, feature_weight, similarity_weight
        self.logit_weight, self.logit_temperature = logit_weight, logit_temperature
        self.score_classes, self.sugr_terms = score_classes, sugr_terms
        self.warm_up, self.warmed = warm_up, 1.0
        self.recogniser = Recogniser(
            dims,
            task,
            d,
            latents=latents,
            resampler_layers=resampler_layers,
            depth=depth,
            heads=heads,
            dropout=dropout,
            missing=missing,
        )
        self.contrast = None
        if mcbcl_combination or mcbcl_category:
            self.contrast = CombinationContrast(
                d,
                combination=mcbcl_combination,
                category=mcbcl_category,
                temperature=mcbcl_temperature,
                projection=mcbcl_projection,
                same_utterance=mcbcl_same_utterance,
            )
        self.sugr = None
        if sugr != "none":
            self.sugr = UncertaintyWeights(d, sugr, sugr_direction, task.regression)
        self.average = None
        if teacher == "average":
            self.average = AveragedModel(self.recogniser, multi_avg_fn=_towards(decay))
            self.average.requires_grad_(False)
        self.first = Frozen[Teacher]("mcur")

    def start_from(self, first: Teacher) -> None:
        """Keep the trained teacher, frozen; with `start` "teacher" also begin with its weights."""
        if self.start == "teacher":
            self.recogniser.load_state_dict(first.recogniser.state_dict())
        self.first.keep(first)

    def begin_epoch(self, epoch: int, epochs: int) -> None:
        """Note how much of the warm-up is over."""
        self.warmed = min(1.0, (epoch - 1) / self.warm_up) if self.warm_up else 1.0

    def training_losses(self, batch: Batch, visible: Tensor) -> dict[str, Tensor]:
        """cls, and where switched on mcbcl, sugr, feature, similarity and logit, weighted.

        What a mask hides is seen by the teacher, for targets, and by nothing else; with a teacher that learns
        along, also by the complete view, which learns to recognise.
        """
        available, usable = usable_in(batch, visible, self.modalities)  # (B, M)
        complete = available & usable.any(1, keepdim=True)
        seen = [usable]
        if self.views == 2:
            seen.append(usable_in(batch, second_draw(visible, batch.available), self.modalities)[1])
        if self.teacher in TAUGHT_ALONG:
            seen.append(complete)
        patterns = torch.stack(seen)  # (V, B, M)
        h, logits = self.recogniser(self.recogniser.encode(batch), patterns)
        taught = self._taught(batch, complete, h, logits)

        count = len(patterns)
        labels, counted = batch.labels.repeat(count), patterns.any(2).flatten()  # (V * B,)
        h, logits = h.flatten(0, 1), logits.flatten(0, 1)
        errors = recognition_errors(logits, labels, self.task.regression)
        gap = None
        if taught is not None:
            target = recognition_errors(taught[1], batch.labels, self.task.regression)
            gap = errors - target.repeat(count)
        losses: dict[str, Tensor] = {}
        weights = None
        if self.sugr is not None:
            weights, losses = self.sugr(h, logits, errors, counted, gap=gap, warm=self.warmed >= 1)
        losses = {"cls": counted_mean(errors, counted, weights), **losses}
        others = weights if self.sugr_terms == "all" else None
        if self.contrast is not None:
            rows = torch.arange(len(batch), device=labels.device).repeat(count)
            categories = score_classes(labels, self.score_classes) if self.task.regression else labels
            losses["mcbcl"] = self.contrast(h, categories, patterns.flatten(0, 1), rows, others)
        if taught is not None:
            last = self.views * len(batch)  # the complete view does not learn from itself
            losses |= self._distilled(
                h[:last], logits[:last], taught, counted[:last], None if others is None else others[:last]
            )
        return losses

    def predict(self, batch: Batch, visible: Mapping[str, Tensor]) -> dict[str, Prediction]:
        """Answers for each named visibility (B, 3); a modality is encoded once for all of them."""
        _, logits = self._answer(batch, visible)
        return by_name(visible, logits)

    def fused(self, batch: Batch, visible: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """h (B, d) for each named visibility (B, 3): what MCB-CL contrasts."""
        h, _ = self._answer(batch, visible)
        return dict(zip(visible, h, strict=True))

    def _answer(self, batch: Batch, visible: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        return self.recogniser(self.recogniser.encode(batch), usable_under(batch, visible, self.modalities))

    def _taught(
        self, batch: Batch, complete: Tensor, h: Tensor, logits: Tensor
    ) -> tuple[Tensor, Tensor] | None:
        """The teacher's h (B, d) and logits (B, K) of the complete view, or None without a teacher."""
        if self.teacher == "none":
            return None
        if self.teacher == "self":
            return h[-1].detach(), logits[-1].detach()
        with torch.no_grad():
            if self.average is not None:
                if self.training:
                    self.average.update_parameters(self.recogniser)
                recogniser = cast(Recogniser, self.average.eval().module)
            else:
                recogniser = self.first.model.recogniser
            known, answer = recogniser(recogniser.encode(batch), complete[None])
        return known[0], answer[0]

    def _distilled(
        self,
        h: Tensor,
        logits: Tensor,
        taught: tuple[Tensor, Tensor],
        counted: Tensor,
        weights: Tensor | None,
    ) -> dict[str, Tensor]:
        """The terms that draw the student's views (V * B rows) to the teacher's answers (B rows)."""
        size = len(taught[0])
        known, answer = (x.repeat(len(h) // size, 1) for x in taught)
        ramp = self.warmed if self.teacher in TAUGHT_ALONG else 1.0
        losses = {}
        if self.feature_weight:
            distance = feature_distance(h, known, self.feature)
            losses["feature"] = ramp * self.feature_weight * counted_mean(distance, counted, weights)
        if self.similarity_weight:
            views = zip(h.split(size), counted.split(size), strict=True)
            distances = [similarity_distance(own, taught[0], rows) for own, rows in views]
            losses["similarity"] = ramp * self.similarity_weight * torch.stack(distances).mean()
        if self.logit_weight:
            distance = answer_distance(logits, answer, self.task.regression, self.logit_temperature)
            losses["logit"] = ramp * self.logit_weight * counted_mean(distance, counted, weights)
        return losses


def _towards(decay: float) -> Callable[[Weights, Weights, Tensor | int], None]:
    """What AveragedModel calls with all weights: an average that forgets faster while it is young."""

    def average(averaged: Weights, current: Weights, steps: Tensor | int) -> None:
        taken = 1 - torch.clamp(torch.as_tensor((1 + steps) / (10 + steps)), max=decay)
        for mean, now in zip(averaged, current, strict=True):
            mean.lerp_(now, taken.to(now.dtype))

    return average


METHOD = MCUR
