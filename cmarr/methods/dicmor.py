"""DiCMoR+, distribution-consistent modality recovering (Wang et al. 2023, ICCV), on any speech features.

A flow a modality maps its representation to a latent whose distribution depends on the class and on
nothing else; so the latent of what is there, through the inverse flow of what is missing, is a first
estimate of it. A reconstruction network refines the estimate, and a multimodal transformer classifies.
Stage 1 (`Complete`) is the same without flows, trained on complete data.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, cast

import torch
from pydantic import model_validator
from torch import Tensor, nn

from cmarr.data.batch import Batch
from cmarr.data.labelled import labelled
from cmarr.declaration import Count, Flag, NotNegative, Probability, Section, setting
from cmarr.layers.attention import Reconstruction, TransformerLayer
from cmarr.layers.flow import ChannelFlow, Mixing
from cmarr.layers.ragged import Layout, resampling_weights, worked_rows
from cmarr.losses.recognition import recognition_loss
from cmarr.losses.reconstruction import reconstruction_loss
from cmarr.losses.supervised_contrast import sign_classes
from cmarr.methods.branches import heads_fit, in_parts, modalities_of, usable_in, with_recoveries
from cmarr.methods.protocol import Prediction
from cmarr.task import Task


@dataclass(frozen=True)
class Dropouts:
    """Of a multimodal transformer.

    layers:    behind attention and in the feed-forward networks
    embedding: of inputs with their positions; output: in the residual network; text: of text's features
    attention: modality -> of the weights with which it is read; memory: of those of the memories
    """

    layers: float
    embedding: float
    output: float
    text: float = 0.0
    attention: Mapping[str, float] = field(default_factory=dict)
    memory: float = 0.0

    @classmethod
    def one(cls, dropout: float) -> "Dropouts":
        """The same for layers, embedding and output."""
        return cls(dropout, dropout, dropout)


PUBLISHED_DROPOUTS = {
    "dicmor": Dropouts(0.0, 0.2, 0.5, 0.5, {"t": 0.3, "s": 0.2}, 0.3),
    "dicmor_mosei": Dropouts(0.0, 0.0, 0.2, 0.2, {"t": 0.2}, 0.2),
    "imder": Dropouts(0.0, 0.2, 0.0, 0.0, {"s": 0.2}),
}
"""Those of DiCMoR's public code for MOSI and for MOSEI, and of IMDer's for MOSI."""


class Transformer(nn.Module):
    """`depth` layers and a last layer norm, on inputs scaled by sqrt(d) and marked with their positions.

    `transformer(x, y)` lets x read y in every layer; `transformer(x)` is self-attention. No step is kept
    from seeing later ones: an utterance is predicted when it is over. attention: dropout of the attention's weights.
    """

    def __init__(self, d: int, depth: int, heads: int, dropouts: Dropouts, attention: float):
        super().__init__()
        self.scale = math.sqrt(d)
        self.layers = nn.ModuleList(
            TransformerLayer(d, heads, dropouts.layers, attention) for _ in range(depth)
        )
        self.norm = nn.LayerNorm(d)
        self.dropout = nn.Dropout(dropouts.embedding)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """x (B, L, d), context (B, T, d) -> (B, L, d)."""
        x = self._embed(x)
        read = None if context is None else self._embed(context)
        for layer in self.layers:
            x = layer(x, x if read is None else read)
        out: Tensor = self.norm(x)
        return out

    def last_step(self, x: Tensor) -> Tensor:
        """`transformer(x)[:, -1]`, (B, d): the last layer works for the last step alone."""
        x = self._embed(x)
        for layer in self.layers[:-1]:
            x = layer(x, x)
        out: Tensor = self.norm(self.layers[-1](x[:, -1:], x)).squeeze(1)
        return out

    def _embed(self, x: Tensor) -> Tensor:
        out: Tensor = self.dropout(self.scale * x + positions(x.shape[1], x.shape[2], x.device))
        return out


def positions(length: int, d: int, device: torch.device | str = "cpu") -> Tensor:
    """Sines and cosines of geometrically growing periods, (length, d) (Vaswani et al. 2017)."""
    steps = torch.arange(length, device=device, dtype=torch.float32)[:, None]
    half = (d + 1) // 2
    rates = torch.exp(torch.arange(half, device=device) * (-math.log(10000.0) / max(half - 1, 1)))
    angles = steps * rates
    return torch.cat([angles.sin(), angles.cos()], dim=1)[:, :d]


class MultimodalTransformer(nn.Module):
    """Every modality reads every other one; the last steps of what they remember are classified.

    With three modalities: six cross-modal transformers, d wide; three self-attention transformers on the
    pairs that a modality has read, 2d wide; a residual network on their last steps, 6d wide. With two
    modalities the memories are d wide; with one there is only its own memory.
    """

    def __init__(
        self,
        modalities: tuple[str, ...],
        d: int,
        depth: int,
        heads: int,
        dropouts: Dropouts,
        outputs: int,
    ):
        super().__init__()
        self.modalities = modalities
        others = max(len(modalities) - 1, 1)
        self.crossings = nn.ModuleDict(
            {
                f"{m}{n}": Transformer(d, depth, heads, dropouts, dropouts.attention.get(n, 0.0))
                for m in modalities
                for n in modalities
                if m != n
            }
        )
        self.memories = nn.ModuleDict(
            {m: Transformer(others * d, max(depth, 3), heads, dropouts, dropouts.memory) for m in modalities}
        )
        width = len(modalities) * others * d
        self.residual = nn.Sequential(
            nn.Linear(width, width), nn.ReLU(), nn.Dropout(dropouts.output), nn.Linear(width, width)
        )
        self.classify = nn.Linear(width, outputs)

    def forward(self, x: dict[str, Tensor]) -> Tensor:
        """`x`: modality -> (B, L, d); returns logits (B, outputs)."""
        last = []
        for m in self.modalities:
            read = [self.crossings[f"{m}{n}"](x[m], x[n]) for n in self.modalities if n != m]
            memory = torch.cat(read, dim=-1) if read else x[m]  # (B, L, 2d)
            last.append(self.memories[m].last_step(memory))  # type: ignore[operator]
        joined = torch.cat(last, dim=-1)  # (B, 6d)
        out: Tensor = self.classify(joined + self.residual(joined))
        return out


class ClassPriors(nn.Module):
    """A diagonal Gaussian over the channels of a latent for each class, shared by the modalities.

    All start as the standard normal distribution.
    """

    def __init__(self, classes: int, d: int):
        super().__init__()
        self.mean = nn.Parameter(torch.zeros(classes, d))
        self.log_deviation = nn.Parameter(torch.zeros(classes, d))

    def forward(self, z: Tensor, log_determinant: Tensor, labels: Tensor) -> Tensor:
        """Bits per dimension (R,) of what a flow mapped to the latents z.

        z: (R, L, d); log_determinant: (R, L), log |det dz/dx| of each step; labels: (R,) classes.

            -(log N(z; mean_y, deviation_y) + log |det|) / (d log 2), mean over the L steps
        """
        mean, log_deviation = self.mean[labels][:, None], self.log_deviation[labels][:, None]  # (R, 1, d)
        standard = (z - mean) * (-log_deviation).exp()
        log_density = -(0.5 * standard.square() + log_deviation + 0.5 * math.log(2 * math.pi)).sum(-1)
        return -(log_density + log_determinant).mean(1) / (z.shape[-1] * math.log(2))


KERNEL = 5
"""Steps that the first convolution sees."""

HIDDEN = 64
"""Width of the couplings' networks."""


class Temporal(nn.Module):
    """Features resampled to `length` steps and, by a convolution without bias, mapped to d channels.

    dropout: of the features
    """

    part = "encoders"

    def __init__(self, dim: int, d: int, length: int, dropout: float = 0.0):
        super().__init__()
        self.length, self.dropout = length, nn.Dropout(dropout)
        self.convolution = nn.Conv1d(dim, d, KERNEL, padding=KERNEL // 2, bias=False)

    def forward(self, frames: Tensor, lengths: Tensor, longest: int | None = None) -> Tensor:
        """Ragged frames (N, dim) of B utterances with `lengths` (B,) -> (B, L, d); `longest` as for `Layout`."""
        layout = Layout(lengths, len(frames), longest)
        resampled = resampling_weights(lengths, layout.longest, self.length) @ layout.pad(frames)
        out: Tensor = self.convolution(self.dropout(resampled).transpose(1, 2)).transpose(1, 2)
        return out


class Sizes(Section):
    """Sizes that the method and the model it starts from have alike."""

    d: Count = setting(32, "width of every representation, a multiple of heads")
    length: Count = setting(16, "steps every modality is resampled to; 1 = one vector an utterance")
    depth: Count = setting(2, "layers of each transformer; the authors' 4")
    heads: Count = setting(4, "attention heads, an even number that divides d; the authors' 8")
    dropout: Probability = setting(0.1, "in the transformers")
    dropouts: Literal["one", "dicmor", "dicmor_mosei", "imder"] = setting(
        "one",
        "one = dropout, in all of the transformers; dicmor, dicmor_mosei, imder = as in public code for MOSI, MOSEI "
        "and MOSI, where attention, embeddings, text and output have their own, and dropout does nothing",
    )

    _heads_fit = model_validator(mode="after")(heads_fit)

    @property
    def of_parts(self) -> Dropouts:
        """The dropouts."""
        return PUBLISHED_DROPOUTS.get(self.dropouts, Dropouts.one(self.dropout))


PUBLISHED: Mapping[str, Any] = {"schedule": "plateau", "plateau": 5, "clip": 0.6, "clip_by": "value"}
"""How the authors train either, beside what differs by corpus."""


def temporal_encoders(dims: Mapping[str, int], sizes: Sizes) -> nn.ModuleDict:
    """A `Temporal` for every modality that the corpus has."""
    own = {"t": sizes.of_parts.text}
    return nn.ModuleDict(
        {m: Temporal(dims[m], sizes.d, sizes.length, own.get(m, 0.0)) for m in modalities_of(dims)}
    )


def fusion_network(modalities: tuple[str, ...], task: Task, sizes: Sizes) -> MultimodalTransformer:
    """The transformer that predicts from the representations of all modalities."""
    return MultimodalTransformer(modalities, sizes.d, sizes.depth, sizes.heads, sizes.of_parts, task.outputs)


def encoded(encoders: nn.ModuleDict, batch: Batch) -> dict[str, Tensor]:
    """Modality -> (U, L, d), of a batch's sequences."""
    return {m: own(batch.values[m], batch.lengths[m], batch.longest.get(m)) for m, own in encoders.items()}


class Complete(nn.Module):
    """Stage 1: convolutions and the multimodal transformer. Obeys `cmarr.methods.protocol.Method`."""

    class Settings(Sizes):
        """The model that DiCMoR+ starts from."""

    published_training: ClassVar[Mapping[str, Any]] = {
        **PUBLISHED,
        "mask_conditions": ["svt"],
        "selection": "complete",
    }

    def __init__(self, dims: Mapping[str, int], task: Task, settings: Settings):
        super().__init__()
        self.task, self.modalities = task, modalities_of(dims)
        self.encoders = temporal_encoders(dims, settings)
        self.fusion = fusion_network(self.modalities, task, settings)

    def training_losses(self, batch: Batch, targets: Batch) -> dict[str, Tensor]:
        """The recognition loss alone."""
        usable = usable_in(batch, self.modalities)  # (B, M)
        logits = self.predict(batch).logits
        return {"cls": recognition_loss(logits, batch.labels, usable.any(1), self.task.regression)}

    def predict(self, batch: Batch) -> Prediction:
        """Zeros for what is missing."""
        x = encoded(self.encoders, batch)
        return Prediction(self.fusion({m: batch.spread(m, own) for m, own in x.items()}))


class DiCMoR(nn.Module):
    """The whole method. Obeys `cmarr.methods.protocol.Method`; starts from a `Complete`."""

    class Settings(Sizes):
        """Sizes and weights of DiCMoR+."""

        flow_steps: Count = setting(8, "steps of each normalizing flow; the authors' 32")
        mixing: Mixing = setting(
            "lu", "channels between couplings: lu (learned), permutation (fixed, faster)"
        )
        blocks: Count = setting(
            4, "residual channel-attention blocks of a reconstruction network; the authors' 20"
        )
        likelihood_weight: NotNegative = setting(0.1, "of the flows' likelihood, bits per dimension")
        likelihood_floor: Flag = setting(
            False,
            "true = a modality's bits of a batch count as 0 where they are fewer, as in the public code",
        )
        frozen_convolutions: Flag = setting(
            False, "true = the convolutions stay those of the first stage, as in the public code"
        )
        recovery_weight: NotNegative = setting(0.1, "of the recovered representations' error")

    privileges = ("batch_masks",)
    first_stage = Complete
    first_stage_takes = ("d", "length", "depth", "heads", "dropouts")
    published_training: ClassVar[Mapping[str, Any]] = PUBLISHED
    hidden_losses = ("likelihood", "rec")

    def __init__(self, dims: Mapping[str, int], task: Task, settings: Settings):
        super().__init__()
        self.task, self.modalities = task, modalities_of(dims)
        self.settings = settings
        d = settings.d
        self.encoders = temporal_encoders(dims, settings).requires_grad_(not settings.frozen_convolutions)
        self.fusion = fusion_network(self.modalities, task, settings)
        self.priors = ClassPriors(3 if task.regression else task.outputs, d)
        self.flows = nn.ModuleDict(
            {
                m: ChannelFlow(d, settings.flow_steps, HIDDEN, settings.mixing, layers=2, scaling="sigmoid")
                for m in self.modalities
            }
        )
        several = len(self.modalities) > 1
        self.reconstructions = nn.ModuleDict(
            {m: Reconstruction(d, settings.blocks) for m in self.modalities if several}
        )
        self.joins = nn.ModuleDict(
            {m: nn.Linear(2 * d, d) for m in self.modalities if len(self.modalities) == 3}
        )

    def start_from(self, first: Complete) -> None:
        """Take over the convolutions and the transformer of the trained stage 1."""
        self.encoders.load_state_dict(first.encoders.state_dict())
        self.fusion.load_state_dict(first.fusion.state_dict())

    def training_losses(self, batch: Batch, targets: Batch) -> dict[str, Tensor]:
        """cls, likelihood and rec, weighted; what is hidden serves as a detached target alone."""
        available, usable = usable_in(targets, self.modalities), usable_in(batch, self.modalities)  # (B, M)
        counted = usable.any(1)  # (B,)
        hidden = available & ~usable & counted[:, None]
        x = encoded(self.encoders, targets)
        for i, m in enumerate(self.modalities):
            if not self._flow(m).started:
                self._flow(m).initialise(x[m].detach()[usable[:, i]].float().flatten(0, 1))
        likelihood, latents = self._likelihood(batch, x, available)
        seen, known = ({m: batch.spread(m, own) for m, own in each.items()} for each in (x, latents))
        completed, _ = self._complete(seen, known, usable[None])
        restored = {m: own[0] for m, own in completed.items()}  # (B, L, d)
        logits = self.fusion(restored)
        losses = {
            "cls": recognition_loss(logits, batch.labels, counted, self.task.regression),
            "likelihood": self.settings.likelihood_weight * likelihood,
        }
        if self.reconstructions:
            losses["rec"] = self.settings.recovery_weight * reconstruction_loss(
                torch.stack(list(restored.values())), torch.stack(list(x.values())), hidden.T
            )
        return losses

    def predict(self, batch: Batch) -> Prediction:
        """The prediction, and what was recovered for it."""
        read = encoded(self.encoders, batch)
        x, latents = (
            {m: batch.spread(m, own) for m, own in known.items()} for known in (read, self._latents(read))
        )
        completed, recovered = self._complete(x, latents, usable_in(batch, self.modalities)[None])
        restored = {m: own[0] for m, own in completed.items()}  # (B, L, d)
        logits = in_parts(
            lambda rows: self.fusion({m: own[rows] for m, own in restored.items()}), batch.available
        )
        return with_recoveries(logits, restored, recovered[0])

    def truths(self, batch: Batch) -> dict[str, Tensor]:
        """The true representations, modality -> (B, L, d), zero where not available."""
        there = {m: (batch.lengths[m] > 0)[:, None, None] for m in self.modalities}
        return {m: x * there[m] for m, x in encoded(self.encoders, batch).items()}

    def _flow(self, modality: str) -> ChannelFlow:
        return cast(ChannelFlow, self.flows[modality])

    def _likelihood(
        self, batch: Batch, x: Mapping[str, Tensor], available: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Sum over modalities of the mean bits per dimension; and the latents, detached.

        The representations enter detached: the convolutions could raise the likelihood without limit by
        making everything the same.
        """
        labels = sign_classes(batch.labels) if self.task.regression else batch.labels
        total, latents = batch.available.new_zeros((), dtype=torch.float32), {}
        for i, m in enumerate(self.modalities):
            size = x[m].shape[:2]
            z, log_determinant = self._latent(m, x[m].detach())
            latents[m] = z.detach().view_as(x[m])
            bits = self.priors(z.view_as(x[m]), log_determinant.view(size), labels.clamp(min=0))  # (B,)
            counted = available[:, i] & labelled(labels)
            own = torch.where(counted, bits, 0.0).sum() / counted.sum().clamp(min=1)
            total = total + (own.clamp(min=0) if self.settings.likelihood_floor else own)
        return total, latents

    @torch.no_grad()
    def _latents(self, x: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {m: self._latent(m, own)[0].view_as(own) for m, own in x.items()}

    def _latent(self, modality: str, x: Tensor) -> tuple[Tensor, Tensor]:
        """The flow's latents (B * L, d) of x (B, L, d), and its log-determinants; flows know fp32 alone."""
        with torch.autocast(x.device.type, enabled=False):
            found: tuple[Tensor, Tensor] = self._flow(modality)(x.float().flatten(0, 1))
        return found

    def _complete(
        self, x: Mapping[str, Tensor], latents: Mapping[str, Tensor], usable: Tensor
    ) -> tuple[dict[str, Tensor], Tensor]:
        """Modality -> (P, B, L, d): true where usable (P, B, M), recovered or zero elsewhere; and (P, B, M)
        which were recovered."""
        recovered = ~usable & usable.any(-1, keepdim=True)
        completed = {}
        for i, m in enumerate(self.modalities):
            own = torch.where(usable[..., i, None, None], x[m], 0.0)  # (P, B, L, d)
            rows = worked_rows(recovered[..., i].flatten(), self.training)  # (R,) of the P * B
            if len(rows) and m in self.reconstructions:
                estimate = self._estimate(m, latents, usable, rows)  # (R, L, d)
                restored = self.reconstructions[m](estimate)
                if len(rows) == recovered[..., i].numel():
                    own = torch.where(recovered[..., i, None, None], restored.view_as(own), own)
                else:
                    own = own.flatten(0, 1).index_copy(0, rows, restored).view_as(own)
            completed[m] = own
        return completed, recovered

    def _estimate(self, modality: str, latents: Mapping[str, Tensor], usable: Tensor, rows: Tensor) -> Tensor:
        """What the inverse flow makes of the other modalities' latents, in `rows` (R,) of the P * B -> (R, L, d)."""
        others = [n for n in self.modalities if n != modality]
        size = usable.shape[1]
        columns = [usable[..., self.modalities.index(n)].flatten()[rows] for n in others]
        sources, utterances = torch.stack(columns, -1), rows % size  # (R, M - 1), (R,)
        inverted = []
        for k, n in enumerate(others):
            # Each utterance's latent is inverted once, however many patterns need it.
            asked = torch.zeros(size, dtype=torch.long, device=rows.device)
            needed = worked_rows(asked.index_add(0, utterances, sources[:, k].long()) > 0, self.training)
            estimate = torch.zeros_like(latents[n])
            if len(needed):
                with torch.no_grad(), torch.autocast(rows.device.type, enabled=False):
                    back, _ = self._flow(modality).inverse(latents[n][needed].flatten(0, 1))
                estimate = estimate.index_copy(0, needed, back.view(-1, *estimate.shape[1:]))
            inverted.append(estimate[utterances])  # (R, L, d)
        if len(others) == 1:
            return inverted[0]
        both = self.joins[modality](torch.cat(inverted, dim=-1))  # the 1x1 convolution
        first, second = (inverted[k] for k in range(2))
        alone = torch.where(sources[:, 0, None, None], first, second)
        return torch.where(sources.all(1)[:, None, None], both, alone)


METHOD = DiCMoR
