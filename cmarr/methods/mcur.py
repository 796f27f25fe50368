"""MCUR: modality-aware contrast and uncertainty regularization (Zhuang et al. 2026, arXiv 2605.06245).

Of the paper only the abstract and a list of findings can be read. Its words are two losses, a teacher and a
student, and modalities hidden at random; backbone, formulas and numbers are inferred, and each inferred
choice is a switch. docs/mcur.md says which is which.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Literal, Self, cast

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from cmarr.data.batch import Batch
from cmarr.data.labelled import labelled
from cmarr.data.masks import second_draw
from cmarr.declaration import Count, CountOrZero, Flag, NotNegative, Positive, Probability, Section, setting
from cmarr.layers.attention import TransformerLayer, attend, feed_forward
from cmarr.layers.ragged import Layout
from cmarr.losses.recognition import counted_mean, recognition_errors, recognition_loss
from cmarr.losses.regularisation import CombinationContrast, Direction, Source, UncertaintyWeights
from cmarr.losses.supervised_contrast import ScoreClasses, score_classes
from cmarr.methods.branches import heads_fit, modalities_of, usable_in
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
        out: Tensor = queries + self.dropout(self.step(self.norm_step(queries)))
        return out


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
    """vectors: (B, M, d), a token a modality, zeros where it is missing; blank: (M, d), what stands for it then."""

    vectors: Tensor
    blank: Tensor


class TokenEncoder(nn.Module):
    """A sequence to one token: convolution without bias, Perceiver resampler, mean of its queries, layer norm."""

    part = "encoders"

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
        out: Tensor = self.norm(self.resampler(x, layout.mask).mean(1))
        return out


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

    def encode(self, batch: Batch) -> Tokens:
        """The tokens of what is there of a batch."""
        vectors, blank = [], []
        for m in self.modalities:
            frames, sizes = batch.values[m], batch.lengths[m]
            if self.blank is None:  # one sequence more, of a single frame of zeros
                frames = torch.cat([frames, frames.new_zeros(1, frames.shape[1])])
                sizes = torch.cat([sizes, sizes.new_ones(1)])
            known = batch.longest.get(m)
            tokens = self.encoders[m](frames, sizes, None if known is None else max(known, 1))
            vectors.append(batch.spread(m, tokens if self.blank is not None else tokens[:-1]))
            blank.append(tokens[-1])
        return Tokens(torch.stack(vectors, 1), torch.stack(blank) if self.blank is None else self.blank)

    def fuse(self, tokens: Tokens, usable: Tensor) -> Tensor:
        """h (..., B, d) under each of some patterns `usable` (..., B, M) bool."""
        x = torch.where(usable[..., None], tokens.vectors, tokens.blank).flatten(0, -3)  # (P B, M, d)
        for layer in self.layers:
            x = layer(x, x)
        out: Tensor = self.join(self.norm(x).flatten(1)).view(*usable.shape[:-1], -1)
        return out


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
    # The others become zeros, which add nothing: to leave them out one would have to wait for the device.
    mine, target = (torch.where(counted[:, None], x.float(), 0.0) for x in (student, teacher.detach()))
    with torch.autocast(mine.device.type, enabled=False):
        difference = F.normalize(mine @ mine.T, dim=1) - F.normalize(target @ target.T, dim=1)  # (N, N)
    return difference.square().sum() / counted.sum().clamp(min=1).square()


def logit_distance(student: Tensor, teacher: Tensor, regression: bool, temperature: float) -> Tensor:
    """(N,) distance of two predictions (N, K); no gradient flows into the teacher.

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
Views = Annotated[int, Field(ge=1, le=2, strict=True)]
Terms = Literal["all", "recognition"]

TAUGHT_ALONG = ("self", "average")
"""Teachers that learn while they teach: for their sake the complete view of a batch is a view like the others."""

Weights = tuple[Tensor, ...] | list[Tensor]


class Sizes(Section):
    """Sizes of the network that teacher and student share."""

    d: Count = setting(64, "width of a modality's token and of the fused vector h, a multiple of heads")
    latents: Count = setting(4, "queries of the Perceiver resampler that reads a modality")
    resampler_layers: Count = setting(1, "of each resampler")
    depth: Count = setting(2, "layers of the transformer over the modalities' tokens")
    heads: Count = setting(4, "attention heads, an even number that divides d")
    dropout: Probability = setting(0.1, "in all of them")
    missing: Missing = setting(
        "zeros", "what stands for a missing modality: the token of zeros; or a learned token"
    )

    _heads_fit = model_validator(mode="after")(heads_fit)


class Recogniser(nn.Module):
    """The network that teacher and student share: the backbone and a linear classifier."""

    def __init__(self, dims: Mapping[str, int], task: Task, sizes: Sizes):
        super().__init__()
        self.backbone = TokenBackbone(
            {m: dims[m] for m in modalities_of(dims)},
            sizes.d,
            latents=sizes.latents,
            resampler_layers=sizes.resampler_layers,
            depth=sizes.depth,
            heads=sizes.heads,
            dropout=sizes.dropout,
            missing=sizes.missing,
        )
        self.classify = nn.Linear(sizes.d, task.outputs)

    def encode(self, batch: Batch) -> Tokens:
        """A token a modality."""
        return self.backbone.encode(batch)

    def of(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """h (B, d) and logits (B, K) of what is there of a batch."""
        h, logits = self(self.encode(batch), usable_in(batch, self.backbone.modalities)[None])
        return h[0], logits[0]

    def forward(self, tokens: Tokens, usable: Tensor) -> tuple[Tensor, Tensor]:
        """h (P, B, d) and logits (P, B, K) under each pattern `usable` (P, B, M) bool."""
        h = self.backbone.fuse(tokens, usable)
        return h, self.classify(h)


class Teacher(nn.Module):
    """The teacher on its own, trained on complete data. Obeys `cmarr.methods.protocol.Method`."""

    class Settings(Sizes):
        """The teacher, where it is `pretrained`."""

    published_training: ClassVar[Mapping[str, Any]] = {"mask_conditions": ["svt"], "selection": "complete"}

    def __init__(self, dims: Mapping[str, int], task: Task, settings: Settings):
        super().__init__()
        self.task, self.modalities = task, modalities_of(dims)
        self.recogniser = Recogniser(dims, task, settings)

    def training_losses(self, batch: Batch, targets: Batch) -> dict[str, Tensor]:
        """The recognition loss alone."""
        usable, (_, logits) = usable_in(batch, self.modalities), self.recogniser.of(batch)  # (B, M)
        return {"cls": recognition_loss(logits, batch.labels, usable.any(1), self.task.regression)}

    def predict(self, batch: Batch) -> Prediction:
        """The classifier's logits."""
        return Prediction(self.recogniser.of(batch)[1])

    def fused(self, batch: Batch) -> Tensor:
        """h (B, d)."""
        h: Tensor = self.recogniser.of(batch)[0]
        return h


class MCUR(nn.Module):
    """The student, with its losses. Obeys `cmarr.methods.protocol.Method`; may start from a `Teacher`."""

    class Settings(Sizes):
        """Sizes, switches and weights of MCUR."""

        # teacher and student
        teacher: From = setting(
            "pretrained",
            "pretrained = trained on complete data before, then frozen; without a training of its own: self = the "
            "complete view of the same batch; average = the average of the student's own weights over past steps; none",
        )
        start: Literal["fresh", "teacher"] = setting(
            "fresh", "the student starts with fresh weights, or with those of the pretrained teacher"
        )
        decay: Probability = setting(
            0.99,
            "of average: how much of it is kept in a step; reached slowly, at most (1 + steps) / (10 + steps)",
        )
        views: Views = setting(
            2,
            "masks that a sample gets in a step; with self and average the complete view is one more",
        )
        feature: Feature = setting("mse", "distance between the student's h and the teacher's")
        feature_weight: NotNegative = setting(0.1, "of that distance")
        similarity_weight: NotNegative = setting(
            0.0, "of the distance between the batch's similarities as both see them"
        )
        logit_weight: NotNegative = setting(
            1.0, "of the distance between their predictions: KL of the classes, L1 of scores"
        )
        logit_temperature: Positive = setting(7.0, "of the classes' probabilities in it")

        # MCB-CL: w1 * contrast(category and combination) + w2 * contrast(category)
        mcbcl_combination: NotNegative = setting(
            0.1, "w1: samples of one category with the same available modalities are drawn together"
        )
        mcbcl_category: NotNegative = setting(0.1, "w2: samples of one category are, whatever is available")
        mcbcl_temperature: Positive = setting(0.2, "of both contrasts")
        mcbcl_projection: CountOrZero = setting(0, "width of a head between h and the contrast; 0 = none")
        mcbcl_same_utterance: Flag = setting(
            True, "whether two masks of one utterance contrast with each other; false = left out"
        )
        score_classes: ScoreClasses = setting(
            "sign", "categories of scores: sign (negative, zero, positive); rounded (seven, -3 to 3)"
        )

        # SUGR: weights a sample from its uncertainty, clipped to 0.2 ... 5, then rescaled to mean 1
        sugr: Source | Literal["none"] = setting(
            "variance",
            "where the uncertainty comes from: variance (a log-variance that is predicted), entropy (of the class "
            "probabilities; not for scores), gap (student's loss minus teacher's); none = no weights",
        )
        sugr_direction: Direction = setting(
            "down", "down = uncertain samples count less; up = they count more"
        )
        sugr_terms: Terms = setting(
            "all", "what is weighted: all losses of a sample; recognition = that alone"
        )
        warm_up: CountOrZero = setting(
            3,
            "epochs in which all weights are 1, and in which a teacher that learns along (self, average) gains its "
            "influence",
        )

        @model_validator(mode="after")
        def _gap_needs_a_teacher(self) -> Self:
            if self.sugr == "gap" and self.teacher == "none":
                raise ValueError("sugr: gap is the gap between student and teacher, and teacher is none")
            return self

    first_stage = Teacher
    first_stage_takes = ("d", "latents", "resampler_layers", "depth", "heads", "missing")

    @staticmethod
    def starts(settings: Settings) -> bool:
        """Whether it starts from a trained `Teacher`, as set: the teacher may be another one, or none."""
        return settings.teacher == "pretrained"

    def __init__(self, dims: Mapping[str, int], task: Task, settings: Settings):
        """Build the model; its weights come from torch's global generator, which the caller seeds."""
        super().__init__()
        self.task, self.modalities, self.settings = task, modalities_of(dims), settings
        self.warmed = 1.0
        self.recogniser = Recogniser(dims, task, settings)
        self.contrast = None
        if settings.mcbcl_combination or settings.mcbcl_category:
            self.contrast = CombinationContrast(
                settings.d,
                combination=settings.mcbcl_combination,
                category=settings.mcbcl_category,
                temperature=settings.mcbcl_temperature,
                projection=settings.mcbcl_projection,
                same_utterance=settings.mcbcl_same_utterance,
            )
        self.sugr = None
        if settings.sugr != "none":
            self.sugr = UncertaintyWeights(
                settings.d, settings.sugr, settings.sugr_direction, task.regression, settings.warm_up
            )
        self.average = None
        if settings.teacher == "average":
            self.average = RunningAverage(self.recogniser, multi_avg_fn=_towards(settings.decay))
            self.average.requires_grad_(False)
        self.first = Frozen[Teacher]("mcur")

    def start_from(self, first: Teacher) -> None:
        """Keep the trained teacher, frozen; with `start` "teacher" also begin with its weights."""
        if self.settings.start == "teacher":
            self.recogniser.load_state_dict(first.recogniser.state_dict())
        self.first.keep(first)

    def begin_epoch(self, epoch: int, epochs: int) -> None:
        """Note how much of the warm-up is over."""
        warm_up = self.settings.warm_up
        self.warmed = min(1.0, (epoch - 1) / warm_up) if warm_up else 1.0
        if self.sugr is not None:
            self.sugr.begin_epoch(epoch)

    def training_losses(self, batch: Batch, targets: Batch) -> dict[str, Tensor]:
        """cls, and where switched on mcbcl, sugr, feature, similarity and logit, weighted.

        What a mask hides is seen by the teacher, for targets, and by nothing else; with a teacher that learns
        along, also by the complete view, which learns to recognise.
        """
        patterns, complete = self._patterns(batch, targets)  # (V, B, M), (B, M)
        read = targets if self.sees_further else batch
        h, logits = self.recogniser(self.recogniser.encode(read), patterns)
        taught = self._taught(targets, complete, h, logits)

        count, regression = len(patterns), self.task.regression
        labels, counted = batch.labels.repeat(count), patterns.any(2).flatten()  # (V * B,)
        told = counted & labelled(labels)
        h, logits = h.flatten(0, 1), logits.flatten(0, 1)
        errors = recognition_errors(logits, labels, regression)
        losses: dict[str, Tensor] = {}
        weights = None
        if self.sugr is not None:
            gap = None
            if taught is not None:
                gap = errors - recognition_errors(taught[1], batch.labels, regression).repeat(count)
            weights, losses = self.sugr(h, logits, errors, told, gap=gap)
        losses = {"cls": counted_mean(errors, told, weights), **losses}
        others = weights if self.settings.sugr_terms == "all" else None
        if self.contrast is not None:
            rows = torch.arange(len(batch), device=labels.device).repeat(count)
            categories = score_classes(labels, self.settings.score_classes) if regression else labels
            losses["mcbcl"] = self.contrast(h, categories, patterns.flatten(0, 1), rows, others)
        if taught is not None:
            last = self.settings.views * len(batch)  # the complete view does not learn from itself
            losses |= self._distilled(
                h[:last], logits[:last], taught, counted[:last], None if others is None else others[:last]
            )
        return losses

    @property
    def sees_further(self) -> bool:
        """Whether the student learns from views beside the one that was drawn: a second mask, the complete view."""
        return self.settings.views == 2 or self.settings.teacher in TAUGHT_ALONG

    @property
    def hidden_losses(self) -> tuple[str, ...]:
        """All of them where the student learns from other views, too; else those that a teacher has a part in."""
        distilled = ("feature", "similarity", "logit")
        if self.sees_further or self.settings.sugr == "gap":
            return ("cls", "mcbcl", "sugr", *distilled)
        return () if self.settings.teacher == "none" else distilled

    def _patterns(self, batch: Batch, targets: Batch) -> tuple[Tensor, Tensor]:
        """What may be used in each of V views, (V, B, M), and in the complete view, (B, M)."""
        available, usable = usable_in(targets, self.modalities), usable_in(batch, self.modalities)  # (B, M)
        complete = available & usable.any(1, keepdim=True)
        seen = [usable]
        if self.settings.views == 2:
            drawn = batch.available if batch.visible is None else batch.visible
            second = replace(targets, available=targets.available & second_draw(drawn, targets.available))
            seen.append(usable_in(second, self.modalities))
        if self.settings.teacher in TAUGHT_ALONG:
            seen.append(complete)
        return torch.stack(seen), complete

    def predict(self, batch: Batch) -> Prediction:
        """The student's logits."""
        return Prediction(self.recogniser.of(batch)[1])

    def fused(self, batch: Batch) -> Tensor:
        """h (B, d): what MCB-CL contrasts."""
        return self.recogniser.of(batch)[0]

    def _taught(
        self, targets: Batch, complete: Tensor, h: Tensor, logits: Tensor
    ) -> tuple[Tensor, Tensor] | None:
        """The teacher's h (B, d) and logits (B, K) of the complete view, or None without a teacher."""
        if self.settings.teacher == "none":
            return None
        if self.settings.teacher == "self":
            return h[-1].detach(), logits[-1].detach()
        with torch.no_grad():
            if self.average is not None:
                if self.training:
                    self.average.update_parameters(self.recogniser)
                recogniser = cast(Recogniser, self.average.eval().module)
            else:
                recogniser = self.first.model.recogniser
            h, logits = recogniser(recogniser.encode(targets), complete[None])
        return h[0], logits[0]

    def _distilled(
        self,
        h: Tensor,
        logits: Tensor,
        taught: tuple[Tensor, Tensor],
        counted: Tensor,
        weights: Tensor | None,
    ) -> dict[str, Tensor]:
        """The terms that draw the student's views (V * B rows) to the teacher's (B rows)."""
        size = len(taught[0])
        known, wanted = (x.repeat(len(h) // size, 1) for x in taught)
        own = self.settings
        ramp = self.warmed if self.settings.teacher in TAUGHT_ALONG else 1.0
        losses = {}
        if own.feature_weight:
            distance = feature_distance(h, known, own.feature)
            losses["feature"] = ramp * own.feature_weight * counted_mean(distance, counted, weights)
        if own.similarity_weight:
            views = zip(h.split(size), counted.split(size), strict=True)
            distances = [similarity_distance(view, taught[0], rows) for view, rows in views]
            losses["similarity"] = ramp * own.similarity_weight * torch.stack(distances).mean()
        if own.logit_weight:
            distance = logit_distance(logits, wanted, self.task.regression, own.logit_temperature)
            losses["logit"] = ramp * own.logit_weight * counted_mean(distance, counted, weights)
        return losses


class RunningAverage(AveragedModel):
    """An average of weights that asks the device once whether it holds any yet, and not in every step."""

    def __init__(self, model: nn.Module, multi_avg_fn: Callable[..., None]):
        super().__init__(model, multi_avg_fn=multi_avg_fn)
        self.average, self._begun = multi_avg_fn, False
        nn.Module.register_load_state_dict_post_hook(self, _forget)

    def update_parameters(self, model: nn.Module) -> None:
        """Move towards the weights of `model`; the first time take them over."""
        if not self._begun:
            super().update_parameters(model)
            self._begun = True
            return
        own, current = ([p.detach() for p in m.parameters()] for m in (self.module, model))
        self.average(own, current, self.n_averaged)
        for kept, now in zip(self.module.buffers(), model.buffers(), strict=True):
            kept.copy_(now)
        self.n_averaged += 1


def _forget(average: nn.Module, keys: object) -> None:
    """After other weights were loaded, their own number counts."""
    cast(RunningAverage, average)._begun = False


def _towards(decay: float) -> Callable[[Weights, Weights, Tensor | int], None]:
    """What AveragedModel calls with all weights: an average that forgets faster while it is young."""

    def average(averaged: Weights, current: Weights, steps: Tensor | int) -> None:
        taken = 1 - torch.clamp(torch.as_tensor((1 + steps) / (10 + steps)), max=decay)
        for mean, now in zip(averaged, current, strict=True):
            mean.lerp_(now, taken.to(now.dtype))

    return average


METHOD = MCUR
