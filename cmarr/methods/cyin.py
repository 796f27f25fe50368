"""CyIN, cyclic informative latents (Lin et al. 2025, NeurIPS).

A bottleneck keeps of each modality what tells about all of them and about the emotion; translations lead from the
latents of one modality to those of another and back; a multimodal transformer reads latents, translated where missing.
"""

import itertools
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from pydantic import model_validator
from torch import Tensor, nn

from cmarr.data.batch import Batch
from cmarr.declaration import Count, Flag, NotNegative, Positive, Probability, Section, Share, setting
from cmarr.layers.bottleneck import Bottleneck, Translation
from cmarr.layers.ragged import Layout, resampling_weights
from cmarr.losses.bottleneck import bottleneck_divergence, drawn
from cmarr.losses.recognition import counted_mean, recognition_loss
from cmarr.methods.branches import heads_fit, in_parts, modalities_of, usable_in
from cmarr.methods.dicmor import Dropouts, MultimodalTransformer
from cmarr.methods.protocol import Prediction
from cmarr.task import Task

Latents = dict[str, Tensor]
Pairs = dict[tuple[str, str], Tensor]


class CyIN(nn.Module):
    """The whole method. Obeys `cmarr.methods.protocol.Method`."""

    class Settings(Section):
        """Sizes, switches and weights of CyIN."""

        hidden: Count = setting(64, "width of the networks around the bottleneck")
        bottleneck: Count = setting(
            32, "width b of the latents; the translations' are half, a quarter, an eighth of it"
        )
        length: Count = setting(8, "steps every modality is resampled to; 1 = one vector an utterance")
        blocks: Count = setting(2, "residual autoencoders of a translation")
        d: Count = setting(32, "width of the multimodal transformer, a multiple of heads")
        depth: Count = setting(1, "layers of each of its transformers")
        heads: Count = setting(4, "attention heads, an even number that divides d")
        dropout: Probability = setting(0.1, "in the multimodal transformer")
        eta: Positive = setting(
            16.0, "of the features' error beside the divergence; the weight of both is one over it"
        )
        label_weight: NotNegative = setting(1.0, "of what each latent by itself says of the emotion")
        translation_weight: NotNegative = setting(10.0, "of the translations' error, there and back")
        first_share: Share = setting(0.1, "of the epochs, before translations are learnt and used")
        sigmoid: Flag = setting(
            False,
            "true = features are decoded through a sigmoid, as in the public code, whatever their range",
        )
        detach: Flag = setting(
            True,
            "true = translations aim at the means of the latents, which stay where they are; false = at samples, which "
            "move, too, as in the public code; what is hidden never moves",
        )

        _heads_fit = model_validator(mode="after")(heads_fit)

    privileges = ("batch_masks", "sampled_answers")
    samples_answers = False
    hidden_losses = ("information", "translation")
    published_training: ClassVar[Mapping[str, Any]] = {"clip": 5.0, "clip_by": "value"}

    def __init__(self, dims: Mapping[str, int], task: Task, settings: Settings):
        super().__init__()
        self.task, self.modalities, self.settings = task, modalities_of(dims), settings
        # Saved with the weights: an epoch that is kept from before translations were learnt answers without them.
        self.translating: Tensor
        self.register_buffer("translating", torch.tensor(True))
        own, names = settings, self.modalities
        b = own.bottleneck
        self.bottlenecks = nn.ModuleDict({m: Bottleneck(dims[m], own.hidden, b) for m in names})
        self.decoders = nn.ModuleDict(
            {
                m: nn.Sequential(nn.Linear(b, own.hidden), nn.ReLU(), nn.Linear(own.hidden, dims[m]))
                for m in names
            }
        )
        self.heads = nn.ModuleDict({m: nn.Linear(b, task.outputs) for m in names})
        self.translations = nn.ModuleDict(
            {f"{m}{n}": Translation(b, own.blocks) for m, n in itertools.combinations(names, 2)}
        )
        self.narrow = nn.ModuleDict({m: nn.Conv1d(b, own.d, 3, padding=1, bias=False) for m in names})
        self.fusion = MultimodalTransformer(
            names, own.d, own.depth, own.heads, Dropouts.one(own.dropout), task.outputs
        )

    def begin_epoch(self, epoch: int, epochs: int) -> None:
        """Note whether translations are learnt and used in this epoch."""
        self.translating.fill_(epoch > round(self.settings.first_share * epochs))

    def training_losses(self, batch: Batch, targets: Batch) -> dict[str, Tensor]:
        """cls, information, label and translation, weighted; what is hidden serves as a detached target alone."""
        usable, there = usable_in(batch, self.modalities), usable_in(targets, self.modalities)  # (B, M)
        counted, own, regression = usable.any(1), self.settings, self.task.regression
        features = {m: self._resampled(targets, m) for m in self.modalities}
        gaussians = {m: self.bottlenecks[m](x) for m, x in features.items()}
        z = {m: drawn(mean, spread, self.training) for m, (mean, spread) in gaussians.items()}  # (B, L, b)
        steps = {m: _where(usable[:, i], z[m]) for i, m in enumerate(self.modalities)}
        there_and_back = self._translated(steps)
        inputs = self._inputs(steps, there_and_back, usable, draw=self.training)
        label = [
            recognition_loss(self.heads[m](steps[m].mean(1)), batch.labels, usable[:, i], regression)
            for i, m in enumerate(self.modalities)
        ]
        losses = {
            "cls": recognition_loss(self._fused(inputs), batch.labels, counted, regression),
            "information": self._information(gaussians, features, usable, there) / own.eta,
            "label": own.label_weight * torch.stack(label).sum(),
        }
        if self.translations:
            weight = own.translation_weight * self.translating
            goals = {m: mean.detach() if own.detach else z[m] for m, (mean, _) in gaussians.items()}
            losses["translation"] = weight * self._misses(goals, there_and_back, usable, there)
        return losses

    def predict(self, batch: Batch) -> Prediction:
        """The logits of the latents' means, translated where a modality is missing."""
        found = {m: self.bottlenecks[m](self._resampled(batch, m)) for m in self.modalities}
        read = {
            m: drawn(mean, spread, self.samples_answers) for m, (mean, spread) in found.items()
        }  # (U, L, b)
        translated = {(m, n): batch.spread(m, x) for (m, n), x in self._translated(read).items()}
        steps = {m: batch.spread(m, x) for m, x in read.items()}
        inputs = self._inputs(steps, translated, usable_in(batch, self.modalities), draw=False)
        logits = in_parts(lambda rows: self._fused({m: x[rows] for m, x in inputs.items()}), batch.available)
        return Prediction(logits)

    def _resampled(self, batch: Batch, modality: str) -> Tensor:
        """(U, L, D), the features of a modality's sequences."""
        frames, lengths = batch.values[modality], batch.lengths[modality]
        layout = Layout(lengths, len(frames), batch.longest.get(modality))
        weights = resampling_weights(lengths, layout.longest, self.settings.length)
        return weights @ layout.pad(frames)

    def _translate(self, m: str, n: str, z: Tensor) -> Tensor:
        key = f"{m}{n}" if f"{m}{n}" in self.translations else f"{n}{m}"
        out: Tensor = self.translations[key](z)
        return out

    def _translated(self, z: Latents) -> Pairs:
        """(m, n) -> what latents of m say about those of n."""
        return {(m, n): self._translate(m, n, z[m]) for m, n in itertools.permutations(self.modalities, 2)}

    def _inputs(self, z: Latents, translated: Pairs, usable: Tensor, draw: bool) -> Latents:
        """Modality -> (B, L, b), what stands for it: itself, or the sum of its translations (zeros before their time).

        draw: take any of what may stand for it, itself, one translation, or the sum, all as likely.
        """
        found = {}
        for i, n in enumerate(self.modalities):
            others = [(k, m) for k, m in enumerate(self.modalities) if m != n]
            single = [_where(usable[:, k], translated[m, n]) for k, m in others]
            own = _where(usable[:, i], z[n])
            if not single:
                found[n] = own
                continue
            choices = torch.stack([own, torch.stack(single).sum(0), *single])  # (C, B, L, b)
            taken = (~usable[:, i] & self.translating).long()  # (B,), what is missing is the sum
            if draw:
                may = torch.stack([usable[:, k] & self.translating for k, _ in others])  # (C - 2, B)
                both = may.all(0) & (len(single) > 1)
                possible = torch.stack([usable[:, i], both, *may])  # (C, B)
                noise = torch.rand_like(possible, dtype=torch.float32)
                taken = noise.masked_fill(~possible, -1.0).argmax(0)
            found[n] = choices[taken, torch.arange(len(taken), device=taken.device)]
        return found

    def _fused(self, inputs: Latents) -> Tensor:
        """Logits (B, K): MulT, of whose memories the mean over time is classified."""
        net = self.fusion
        x = {m: self.narrow[m](z.transpose(1, 2)).transpose(1, 2) for m, z in inputs.items()}
        means = []
        for m in self.modalities:
            read = [net.crossings[f"{m}{n}"](x[m], x[n]) for n in self.modalities if n != m]
            memory = torch.cat(read, dim=-1) if read else x[m]
            means.append(net.memories[m](memory).mean(1))
        joined = torch.cat(means, dim=-1)
        out: Tensor = net.classify(joined + net.residual(joined))
        return out

    def _information(
        self,
        gaussians: Mapping[str, tuple[Tensor, Tensor]],
        features: Latents,
        usable: Tensor,
        there: Tensor,
    ) -> Tensor:
        """Mean over all pairs of KL + eta MSE of the features of n that are decoded from latents of m; a scalar."""
        terms = []
        for i, m in enumerate(self.modalities):
            mean, log_variance = (_where(usable[:, i], x) for x in gaussians[m])
            kl = counted_mean(bottleneck_divergence(mean, log_variance), usable[:, i])
            for k, n in enumerate(self.modalities):
                decoded = self.decoders[n](drawn(mean, log_variance, self.training))
                decoded = decoded.sigmoid() if self.settings.sigmoid else decoded
                error = (decoded - features[n]).square().mean((1, 2))
                terms.append(kl + self.settings.eta * counted_mean(error, usable[:, i] & there[:, k]))
        return torch.stack(terms).mean()

    def _misses(self, goals: Latents, translated: Pairs, usable: Tensor, there: Tensor) -> Tensor:
        """Mean over the terms, three a target and direction, of what translations miss; a scalar.

        There: the latents of n from each other modality, and from the sum of both. Back: those of n through each other
        modality, and through both.
        """
        terms = []
        column = {m: usable[:, i] for i, m in enumerate(self.modalities)}
        for i, n in enumerate(self.modalities):
            others = [m for m in self.modalities if m != n]
            goal = torch.where(column[n][:, None, None], goals[n], goals[n].detach())
            there_n = {m: (translated[m, n], column[m] & there[:, i]) for m in others}
            back_n = {m: (self._translate(m, n, translated[n, m]), column[n]) for m in others}
            for ways in (there_n, back_n):
                terms += [(found, goal, counted) for found, counted in ways.values()]
                if len(others) == 2:
                    (one, first), (two, second) = ways.values()
                    terms.append((one + two, goal, first & second))
        each = [counted_mean((x - goal).square().mean((1, 2)), counted) for x, goal, counted in terms]
        return torch.stack(each).mean() * 2  # the mean of those there, and of those back


def _where(rows: Tensor, x: Tensor) -> Tensor:
    """x (B, ...) in the rows (B,) bool, zeros in the others."""
    return torch.where(rows.view(-1, *[1] * (x.ndim - 1)), x, torch.zeros((), device=x.device))


METHOD = CyIN
