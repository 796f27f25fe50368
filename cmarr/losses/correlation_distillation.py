"""The two losses of CMAD (Zhuang et al. 2025, ICCV), and the decoupled distillation of its answers.

CAFD, correlation-aware feature distillation, weighs what a student misses of its teacher's features by how differently
the two see the batch; MAR, modality-aware regularisation, weighs the combinations of modalities by how far the student
has stayed behind in each.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

EXCLUDED = -1e30
"""Of a softmax over the batch, where a row has no part. Finite, so that a batch without any gives no NaN."""


def correlation_aware_distance(
    student: Tensor, teacher: Tensor, counted: Tensor, temperature: float = 0.2
) -> Tensor:
    """CAFD, a scalar; 0 where no row counts.

        S = cos(student_i, teacher_j), T = cos(teacher_i, teacher_j), a = softmax_j(S / tau), b = softmax_j(T / tau)
        w_i = (KL(a_i || b_i) + KL(b_i || a_i)) / 2
        mean_i w_i MSE_i + sum |diag(S - T)| / sum |S - T|

    student, teacher (N, d); counted (N,) bool: rows that are compared, and that are compared with. No gradient flows
    into the teacher; into the weights w it does.

    >>> teacher = torch.eye(2)
    >>> correlation_aware_distance(teacher, teacher, torch.tensor([True, True])).item()
    0.0
    >>> correlation_aware_distance(teacher.flip(0), teacher, torch.tensor([True, True]), 1.0)  # tanh(1/2) + 1/2
    tensor(0.9621)
    """
    mine, target = student.float(), teacher.detach().float()
    unit = F.normalize(target, dim=1)
    similar, wanted = F.normalize(mine, dim=1) @ unit.T, unit @ unit.T  # (N, N)
    alone = ~counted[None, :]
    a, b = ((x / temperature).masked_fill(alone, EXCLUDED).log_softmax(1) for x in (similar, wanted))
    weights = (((a.exp() - b.exp()) * (a - b)).sum(1)) / 2  # (N,)
    errors = (mine - target).square().mean(1)
    point = torch.where(counted, weights * errors, 0.0).sum() / counted.sum().clamp(min=1)
    both = counted[:, None] & counted[None, :]
    difference = torch.where(both, similar - wanted, 0.0).abs()
    return point + difference.diagonal().sum() / difference.sum().clamp(min=1e-8)


def decoupled_distance(
    student: Tensor, teacher: Tensor, labels: Tensor, temperature: float, others: float = 1.0
) -> Tensor:
    """(N,) decoupled distillation of class logits (N, K) (Zhao et al. 2022); no gradient flows into the teacher.

        T^2 (KL(teacher || student) of [target, everything else] + `others` * KL of the other classes among themselves)

    both of softmaxes at temperature T. labels (N,) int64: the targets; a row without one (-1) is worth nothing.

    >>> logits = torch.tensor([[2.0, 0.0, 0.0]])
    >>> decoupled_distance(logits, logits.flip(1), torch.tensor([1]), 1.0)  # the target's share is the same
    tensor([1.5232])
    >>> decoupled_distance(logits, logits, torch.tensor([0]), 7.0).item()
    0.0
    """
    target = F.one_hot(labels.clamp(min=0), student.shape[1]).bool()  # (N, K)
    log_mine, log_wanted = ((x.float() / temperature).log_softmax(1) for x in (student, teacher.detach()))

    def binary(log_p: Tensor) -> Tensor:
        own, rest = (log_p.masked_fill(hidden, EXCLUDED).logsumexp(1) for hidden in (~target, target))
        return torch.stack([own, rest], 1)  # (N, 2)

    def among_others(log_p: Tensor) -> Tensor:
        return log_p.masked_fill(target, EXCLUDED).log_softmax(1)

    def divergence(log_p: Tensor, log_q: Tensor) -> Tensor:
        return (log_p.exp() * (log_p - log_q)).sum(1)

    found = divergence(binary(log_wanted), binary(log_mine))
    if student.shape[1] > 2:
        found = found + others * divergence(among_others(log_wanted), among_others(log_mine))
    return torch.where(labels >= 0, temperature**2 * found, 0.0)


STEEPEST = 20.0
"""Weight of the combination in which the student has stayed behind most."""


class CombinationWeights(nn.Module):
    """MAR: a weight a combination of modalities, 1 until `freeze`, and from then on

        STEEPEST * (g_c / max g)^2,  g_c = mean over the samples seen with c of max(0, loss of student - of teacher)

    modalities: how many the corpus has.

    >>> weights, seen = CombinationWeights(modalities=2), torch.tensor([[True, False], [True, True]])
    >>> weights.note(torch.tensor([1.0, 2.0]), torch.tensor([2.0, 1.0]), seen, torch.tensor([True, True]))
    >>> weights.note(torch.tensor([5.0, 2.0]), torch.tensor([1.0, 1.5]), seen, torch.tensor([True, True]))
    >>> weights.of(seen)
    tensor([1., 1.])
    >>> weights.freeze()
    >>> weights.of(seen)  # gaps 4 / 2 and 1.5 / 2
    tensor([20.0000,  2.8125])
    """

    def __init__(self, modalities: int):
        super().__init__()
        self.gaps: Tensor
        self.seen: Tensor
        self.weights: Tensor
        self.register_buffer("gaps", torch.zeros(2**modalities))
        self.register_buffer("seen", torch.zeros(2**modalities))
        self.register_buffer("weights", torch.ones(2**modalities))

    @torch.no_grad()
    def note(self, student: Tensor, teacher: Tensor, usable: Tensor, counted: Tensor) -> None:
        """Add the losses (N,) of student and teacher on samples with `usable` (N, M) bool; only those counted (N,)."""
        number = _number(usable)
        self.gaps.index_add_(0, number, torch.where(counted, (student - teacher).relu(), 0.0).float())
        self.seen.index_add_(0, number, counted.float())

    @torch.no_grad()
    def freeze(self) -> None:
        """Set the weights from what was noted; a combination that was not seen keeps 1, and all do where no gap is."""
        mean = self.gaps / self.seen.clamp(min=1)
        largest = mean.max()
        found = STEEPEST * (mean / largest.clamp(min=1e-12)).square()
        self.weights.copy_(torch.where((self.seen > 0) & (largest > 0), found, 1.0))

    def of(self, usable: Tensor) -> Tensor:
        """The weights (N,) of samples with `usable` (N, M) bool."""
        return self.weights[_number(usable)]


def _number(usable: Tensor) -> Tensor:
    """(N, M) bool -> (N,), a number a combination."""
    return (usable * 2 ** torch.arange(usable.shape[1], device=usable.device)).sum(1)
