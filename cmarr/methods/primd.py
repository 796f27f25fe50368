"""PriMD, primitive memory distillation (Zhang et al. 2026, arXiv 2608.30563).

Every modality is parted into what is shared with the others and what is its own. A teacher learns from complete data
(`Teacher`), and with it a memory of what each modality has of its own; a student puts what is missing together from
that memory, reading as few of its vectors as will do, and learns to answer as the teacher.
"""

import itertools
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, cast

import torch
from torch import Tensor, nn

from cmarr.data.batch import Batch
from cmarr.data.statistics import mean_and_deviation, mean_over_time
from cmarr.declaration import Count, NotNegative, Positive, Probability, Section, setting
from cmarr.layers.primitive_memory import PrimitiveMemory, Retrieved
from cmarr.losses.independence import independence
from cmarr.losses.recognition import counted_mean, recognition_loss
from cmarr.methods.branches import modalities_of, usable_in
from cmarr.methods.mcur import logit_distance
from cmarr.methods.protocol import Frozen, Prediction
from cmarr.task import Task


class Sizes(Section):
    """Sizes of the network that teacher and student share."""

    d: Count = setting(64, "width of every representation")
    pool: Literal["mean", "statistics"] = setting(
        "statistics", "over time: mean; statistics = mean and deviation"
    )
    dropout: Probability = setting(0.3, "in all of it; the authors' 0.5")
    memory: Count = setting(64, "vectors a modality that are remembered")
    ranks: Count = setting(16, "vectors at most that a missing modality is put together from")


class Network(nn.Module):
    """Encoders, shared and specific parts, memories and classifiers, one set of weights for teacher and student."""

    def __init__(self, dims: Mapping[str, int], task: Task, sizes: Sizes, fixed: int = 0):
        super().__init__()
        self.modalities, d = modalities_of(dims), sizes.d
        self.pool = mean_over_time if sizes.pool == "mean" else mean_and_deviation
        each = 1 if sizes.pool == "mean" else 2

        def perceptron() -> nn.Sequential:
            return nn.Sequential(nn.Linear(d, d), nn.ReLU(), nn.Dropout(sizes.dropout), nn.Linear(d, d))

        names = self.modalities
        self.encoders = nn.ModuleDict(
            {
                m: nn.Sequential(nn.Linear(each * dims[m], d), nn.ReLU(), nn.Dropout(sizes.dropout))
                for m in names
            }
        )
        self.shared = nn.ModuleDict({m: perceptron() for m in names})
        self.specific = nn.ModuleDict({m: perceptron() for m in names})
        self.memories = nn.ModuleDict(
            {m: PrimitiveMemory(d, sizes.memory, sizes.ranks, fixed) for m in names}
        )
        self.heads = nn.ModuleDict({m: nn.Linear(2 * d, task.outputs) for m in names})
        self.joint = nn.Sequential(
            nn.Linear((1 + len(names)) * d, 2 * d),
            nn.ReLU(),
            nn.Dropout(sizes.dropout),
            nn.Linear(2 * d, task.outputs),
        )

    def parts(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Shared and specific parts of what is there of a batch, (B, M, d) each, zeros elsewhere."""
        shared, specific = [], []
        for m in self.modalities:
            x = self.encoders[m](self.pool(batch.values[m], batch.lengths[m]))  # (U, d)
            shared.append(batch.spread(m, self.shared[m](x)))
            specific.append(batch.spread(m, self.specific[m](x)))
        return torch.stack(shared, 1), torch.stack(specific, 1)

    def answer(self, z: Tensor, specific: Tensor) -> Tensor:
        """Logits (B, K) from z (B, d) and what stands for the specific parts (B, M, d)."""
        out: Tensor = self.joint(torch.cat([z, specific.flatten(1)], 1))
        return out

    def memory(self, modality: str) -> PrimitiveMemory:
        """That of a modality."""
        return cast(PrimitiveMemory, self.memories[modality])


def mean_of_usable(shared: Tensor, usable: Tensor) -> Tensor:
    """z (B, d): the mean of the shared parts (B, M, d) that may be used (B, M) bool, 0 without any.

    >>> mean_of_usable(torch.tensor([[[1.0], [3.0], [9.0]]]), torch.tensor([[True, True, False]]))
    tensor([[2.]])
    """
    total = torch.where(usable[..., None], shared, 0.0).sum(1)
    return total / usable.sum(1, keepdim=True).clamp(min=1)


class Teacher(nn.Module):
    """Stage 1, on complete data. Obeys `cmarr.methods.protocol.Method`."""

    class Settings(Sizes):
        """The model that PriMD starts from, and its memory."""

        auxiliary_weight: NotNegative = setting(1.0, "of what each modality by itself says of the emotion")
        align_weight: NotNegative = setting(0.1, "of the distance between the modalities' shared parts")
        hsic_weight: NotNegative = setting(
            0.01, "of what shared and specific part know of each other; 0 = without"
        )
        vq_weight: NotNegative = setting(
            0.1, "of the memory's distance from the specific parts; 0 = not learnt"
        )
        commitment: NotNegative = setting(0.2, "of the specific parts' distance from the memory, in it")

    published_training: ClassVar[Mapping[str, Any]] = {
        "weight_decay": 1e-5,
        "mask_conditions": ["svt"],
        "selection": "complete",
    }

    def __init__(self, dims: Mapping[str, int], task: Task, settings: Settings):
        super().__init__()
        self.task, self.modalities, self.settings = task, modalities_of(dims), settings
        self.network = Network(dims, task, settings)

    def training_losses(self, batch: Batch, targets: Batch) -> dict[str, Tensor]:
        """cls, auxiliary, align, hsic and vq, weighted."""
        own, regression = self.settings, self.task.regression
        usable = usable_in(batch, self.modalities)  # (B, M)
        shared, specific = self.network.parts(batch)
        logits = self.network.answer(mean_of_usable(shared, usable), specific)
        losses = {"cls": recognition_loss(logits, batch.labels, usable.any(1), regression)}
        alone, apart, remembered = [], [], []
        for i, m in enumerate(self.modalities):
            told = self.network.heads[m](torch.cat([shared[:, i], specific[:, i]], 1))
            alone.append(recognition_loss(told, batch.labels, usable[:, i], regression))
            apart.append(independence(shared[:, i], specific[:, i], usable[:, i]))
            remembered.append(self._remembered(m, specific[:, i], usable[:, i]))
        aligned = [
            counted_mean((shared[:, i] - shared[:, k]).square().mean(1), usable[:, i] & usable[:, k])
            for i, k in itertools.combinations(range(len(self.modalities)), 2)
        ]
        losses["auxiliary"] = own.auxiliary_weight * torch.stack(alone).mean()
        losses["hsic"] = own.hsic_weight * torch.stack(apart).mean()
        losses["vq"] = own.vq_weight * torch.stack(remembered).mean()
        if aligned:
            losses["align"] = own.align_weight * torch.stack(aligned).mean()
        return losses

    def _remembered(self, modality: str, specific: Tensor, counted: Tensor) -> Tensor:
        """How far memory and specific parts (B, d) are from each other; a scalar."""
        nearest = self.network.memory(modality).nearest(specific)
        there = (nearest - specific.detach()).square().mean(1)
        back = (specific - nearest.detach()).square().mean(1)
        return counted_mean(there + self.settings.commitment * back, counted)

    def predict(self, batch: Batch) -> Prediction:
        """Zeros for what is missing."""
        shared, specific = self.network.parts(batch)
        return Prediction(
            self.network.answer(mean_of_usable(shared, usable_in(batch, self.modalities)), specific)
        )


class PriMD(nn.Module):
    """Stage 2, the student. Obeys `cmarr.methods.protocol.Method`; starts from a `Teacher`."""

    class Settings(Sizes):
        """Sizes, switches and weights of PriMD."""

        retrieval: Literal["chosen", "fixed", "none"] = setting(
            "chosen",
            "what stands for a missing modality: chosen = how many vectors are read is chosen; fixed = always ranks of "
            "them; none = zeros",
        )
        distillation_weight: NotNegative = setting(
            1.0, "of the distance to the teacher's answer: KL; MSE of scores"
        )
        temperature: Positive = setting(4.0, "of the classes' probabilities in it")
        cost_weight: NotNegative = setting(1.0, "of how many vectors are read")

    privileges = ("test_epoch", "per_condition")
    first_stage = Teacher
    first_stage_takes = ("d", "pool", "memory", "ranks")
    hidden_losses = ("distillation",)
    published_training: ClassVar[Mapping[str, Any]] = {"weight_decay": 1e-5}

    def __init__(self, dims: Mapping[str, int], task: Task, settings: Settings):
        super().__init__()
        self.task, self.modalities, self.settings = task, modalities_of(dims), settings
        fixed = settings.ranks if settings.retrieval == "fixed" else 0
        self.network = Network(dims, task, settings, fixed)
        for m in self.modalities:
            self.network.memory(m).vectors.requires_grad_(False)
        self.network.heads.requires_grad_(False)  # the teacher's alone
        self.first = Frozen[Teacher]("primd")

    def start_from(self, first: Teacher) -> None:
        """Begin as a copy of the trained teacher, and keep it, frozen."""
        self.network.load_state_dict(first.network.state_dict())
        self.first.keep(first)

    def training_losses(self, batch: Batch, targets: Batch) -> dict[str, Tensor]:
        """cls, distillation and cost, weighted; what is hidden is seen by the teacher alone."""
        own, regression = self.settings, self.task.regression
        usable = usable_in(batch, self.modalities)  # (B, M)
        counted = usable.any(1)
        logits, cost = self._answered(batch, usable)
        with torch.no_grad():
            wanted = self.first.model.predict(targets).logits
        if regression:
            distance = (logits.float() - wanted.float()).square().squeeze(1)
        else:
            distance = logit_distance(logits, wanted, False, own.temperature)
        return {
            "cls": recognition_loss(logits, batch.labels, counted, regression),
            "distillation": own.distillation_weight * counted_mean(distance, counted),
            "cost": own.cost_weight * counted_mean(cost, counted),
        }

    def predict(self, batch: Batch) -> Prediction:
        """The logits, with what was retrieved for what is missing."""
        return Prediction(self._answered(batch, usable_in(batch, self.modalities))[0])

    def diagnostics(self, batch: Batch) -> dict[str, Tensor]:
        """Entropy of the attention on a modality's memory, in nats, where that modality alone is missing."""
        usable, found = usable_in(batch, self.modalities), {}
        shared, _ = self.network.parts(batch)
        for i, m in enumerate(self.modalities):
            without = usable.clone()
            without[:, i] = False
            attention = self._retrieved(m, mean_of_usable(shared, without)).attention
            entropy = -(attention * attention.clamp(min=1e-12).log()).sum(1)
            found[f"retrieval_entropy/{m}"] = counted_mean(entropy, without.any(1))
        return found

    def _retrieved(self, modality: str, z: Tensor) -> Retrieved:
        found: Retrieved = self.network.memory(modality)(z)
        return found

    def _answered(self, batch: Batch, usable: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (B, K), and the cost (B,) of what was retrieved for them."""
        shared, specific = self.network.parts(batch)
        z = mean_of_usable(shared, usable)
        cost = z.new_zeros(len(z), dtype=torch.float32)
        if self.settings.retrieval == "none":
            return self.network.answer(z, specific), cost
        stands = []
        for i, m in enumerate(self.modalities):
            found = self._retrieved(m, z)
            stands.append(torch.where(usable[:, i, None], specific[:, i], found.vector.to(specific.dtype)))
            cost = cost + torch.where(usable[:, i], 0.0, found.cost)
        return self.network.answer(z, torch.stack(stands, 1)), cost


METHOD = PriMD
