"""A memory of one modality's vectors, from which a missing one is put together (PriMD, Zhang et al. 2026)."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

QUERY = 64
"""Width of queries and keys."""

SHARPNESS = 0.5
"""Temperature of the choice how many vectors are read."""


class Retrieved(NamedTuple):
    """vector (B, d), what was put together; cost (B,), of how many vectors; attention (B, N), on each of them.

    >>> PrimitiveMemory(d=4, size=8, ranks=3)(torch.zeros(2, 4)).vector.shape
    torch.Size([2, 4])
    """

    vector: Tensor
    cost: Tensor
    attention: Tensor


class PrimitiveMemory(nn.Module):
    """`size` vectors of width d, read by a vector z of what is there.

        attention a = softmax(W_q z . W_k e / 8);  candidate r = mean of the r best e, weighted by a, r = 1 ... ranks
        vector = sum_r c_r candidate_r,  c = softmax(MLP(z) / 0.5), with Gumbel noise in training
        cost = sum_r c_r (exp(r / ranks) - 1)

    fixed: read as many vectors in every case, and choose nothing; 0 = choose.

    >>> found = PrimitiveMemory(d=6, size=8, ranks=3)(torch.zeros(2, 6))
    >>> found.vector.shape, found.cost.shape, found.attention.shape
    (torch.Size([2, 6]), torch.Size([2]), torch.Size([2, 8]))
    """

    def __init__(self, d: int, size: int, ranks: int, fixed: int = 0):
        super().__init__()
        self.ranks, self.fixed = min(fixed or ranks, size), bool(fixed)
        self.vectors = nn.Parameter(0.02 * torch.randn(size, d))
        self.query, self.key = nn.Linear(d, QUERY), nn.Linear(d, QUERY)
        self.choose = nn.Sequential(nn.Linear(d, d), nn.ReLU(), nn.Linear(d, self.ranks))

    def nearest(self, x: Tensor) -> Tensor:
        """The vector of the memory that is nearest to each of x (B, d), (B, d)."""
        # The squares are expanded: no (B, N, d) is made.
        distances = self.vectors.square().sum(1) - 2 * x.detach() @ self.vectors.T  # (B, N), less |x|^2
        return self.vectors[distances.argmin(1)]

    def forward(self, z: Tensor) -> Retrieved:
        """See the class; z (B, d)."""
        attention = (self.query(z) @ self.key(self.vectors).T / QUERY**0.5).float().softmax(1)  # (B, N)
        best, places = attention.topk(self.ranks)  # (B, R)
        summed = (best[..., None] * self.vectors[places]).cumsum(1)  # (B, R, d)
        candidates = summed / best.cumsum(1)[..., None]
        choice = self._choice(z)
        steps = torch.arange(1, self.ranks + 1, device=z.device) / self.ranks
        cost = (choice * steps.expm1()).sum(1)
        return Retrieved((choice[..., None] * candidates).sum(1), cost, attention)

    def _choice(self, z: Tensor) -> Tensor:
        """(B, R), how much each number of vectors counts."""
        logits: Tensor = self.choose(z).float()
        if self.fixed:
            last = torch.arange(self.ranks, device=logits.device) == self.ranks - 1
            return last.to(logits).expand_as(logits)
        if self.training:
            uniform = torch.rand_like(logits).clamp(min=1e-9, max=1 - 1e-7)
            logits = logits - (-uniform.log()).log()
        return (logits / SHARPNESS).softmax(1)
