"""MoMKE, a mixture of modality-knowledge experts (Xu et al. 2024, ACM MM).

Every modality has an expert, which learns by itself first. Then every modality passes all experts, a router mixes what
they make of it, and a classifier reads the mixtures side by side; what is missing is zeros there.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from pydantic import model_validator
from torch import Tensor, nn

from cmarr.data.batch import Batch
from cmarr.declaration import Count, Probability, Section, setting
from cmarr.layers.dialogue import DialogueLayout
from cmarr.layers.modality_experts import Expert, Router
from cmarr.layers.representation import Projection
from cmarr.losses.recognition import recognition_loss
from cmarr.methods.branches import heads_fit, modalities_of, usable_in
from cmarr.methods.protocol import Prediction, Stage
from cmarr.task import Task


class MoMKE(nn.Module):
    """The whole method. Obeys `cmarr.methods.protocol.Method`."""

    class Settings(Section):
        """Sizes of MoMKE."""

        d: Count = setting(64, "width of every representation, a multiple of heads")
        sequence: Literal["frames", "dialogue"] = setting(
            "frames",
            "what the experts read: frames = an utterance's own; dialogue = a vector of each utterance of the "
            "dialogue, as published",
        )
        length: Count = setting(
            8, "of frames: steps every modality is resampled to; 1 = one vector an utterance"
        )
        depth: Count = setting(2, "layers of an expert")
        heads: Count = setting(2, "attention heads, an even number that divides d")
        dropout: Probability = setting(
            0.5, "behind the projections, in the experts and before the classifier"
        )

        _heads_fit = model_validator(mode="after")(heads_fit)

    privileges = ("test_epoch", "per_condition")
    published_training: ClassVar[Mapping[str, Any]] = {"weight_decay": 1e-5}

    @staticmethod
    def reads_dialogues(settings: Settings) -> bool:
        """Whether it does, as set."""
        return settings.sequence == "dialogue"

    def __init__(self, dims: Mapping[str, int], task: Task, settings: Settings):
        super().__init__()
        self.task, self.modalities = task, modalities_of(dims)
        d, dropout = settings.d, settings.dropout
        self.in_dialogues = self.reads_dialogues(settings)
        length = 1 if self.in_dialogues else settings.length
        self.projections = nn.ModuleDict({m: Projection(dims[m], d, length) for m in self.modalities})
        self.experts = nn.ModuleDict(
            {m: Expert(d, settings.depth, settings.heads, dropout) for m in self.modalities}
        )
        self.heads = nn.ModuleDict({m: nn.Linear(d, task.outputs) for m in self.modalities})
        self.routers = nn.ModuleDict({m: Router(d, len(self.modalities)) for m in self.modalities})
        width = len(self.modalities) * d
        self.join = nn.Linear(width, width)
        self.classify = nn.Linear(width, task.outputs)
        self.dropout = nn.Dropout(dropout)

    def stages(self) -> list[Stage]:
        """The experts by themselves, then everything; half of the epochs each."""
        alone = tuple(f"expert_{m}" for m in self.modalities)
        return [Stage("experts", 0.5, alone, selects=False), Stage("mixture", 0.5, ("cls",))]

    def training_losses(self, batch: Batch, targets: Batch) -> dict[str, Tensor]:
        """cls, and what each expert makes of its own modality, `expert_<m>`."""
        usable = usable_in(batch, self.modalities)  # (B, M)
        mixed, own = self._mixtures(batch)
        logits, regression = self._classified(mixed), self.task.regression
        losses = {"cls": recognition_loss(logits, batch.labels, usable.any(1), regression)}
        for i, m in enumerate(self.modalities):
            alone = self.heads[m](own[m])  # (B, K)
            losses[f"expert_{m}"] = recognition_loss(alone, batch.labels, usable[:, i], regression)
        return losses

    def predict(self, batch: Batch) -> Prediction:
        """The logits of the mixtures, zeros for what is missing."""
        return Prediction(self._classified(self._mixtures(batch)[0]))

    def fused(self, batch: Batch) -> Tensor:
        """What is classified, (B, M d)."""
        return self._joined(self._mixtures(batch)[0])

    def _mixtures(self, batch: Batch) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Modality -> the mixture (B, L, d), and its own expert's mean step (B, d); zeros where it is missing."""
        mixed, own = {}, {}
        for i, m in enumerate(self.modalities):
            x = self.projections[m](batch.values[m], batch.lengths[m], batch.longest.get(m))
            x = self.dropout(x)  # (U, L, d)
            if not self.in_dialogues:
                mixture, alone = self._read(m, x, None)
                mixed[m], own[m] = batch.spread(m, mixture), batch.spread(m, alone.mean(1))
                continue
            x, there = (
                batch.spread(m, x[:, 0]),
                usable_in(batch, self.modalities)[:, i, None],
            )  # (B, d), (B, 1)
            layout = DialogueLayout(batch.dialogues, x)
            found = self._read(m, layout.pad(x), layout.pad(there).squeeze(-1))  # (D, T, d) each
            mixture, own[m] = (layout.unpad(y) * there for y in found)
            mixed[m] = mixture[:, None]
        return mixed, own

    def _read(self, modality: str, x: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """What the experts, mixed, make of sequences x (N, L, d), and what its own does; mask (N, L) bool."""
        read = {n: expert(x, mask) for n, expert in self.experts.items()}
        shares = self.routers[modality](x).unbind(-1)  # (N, L) an expert
        parts = [share[..., None] * y for share, y in zip(shares, read.values(), strict=True)]
        return torch.stack(parts).sum(0), read[modality]

    def _joined(self, mixed: Mapping[str, Tensor]) -> Tensor:
        x = torch.cat(list(mixed.values()), dim=-1)  # (B, L, M d)
        out: Tensor = (x + self.dropout(self.join(x).relu())).mean(1)
        return out

    def _classified(self, mixed: Mapping[str, Tensor]) -> Tensor:
        out: Tensor = self.classify(self._joined(mixed))
        return out


METHOD = MoMKE
