"""Counts of terms, weighted by what the training texts say of them: TF-IDF and latent semantic analysis."""

import torch
from torch import Tensor, nn

PASSES = 2
"""Power iterations of the search for directions; with more, tables change in no digit that is printed."""


ALIKE = 1e-3
"""Share of the largest deviation below which training texts do not differ along a direction."""


TEXTS = 4
"""Training texts a direction, at least: with as many directions as texts, each text would have one of its own."""


class Terms(nn.Module):
    """Rows (N, D) of counts of terms, one a text -> rows (N, R).

    Each count, 1 + log of how often the term occurs, is weighted by idf = log((1 + N) / (1 + n)) + 1, where n of the N
    training texts hold the term, and the row brought to length 1 (Salton and Buckley 1988). What is left is described
    along the R directions in which the training texts differ most (Deerwester et al. 1990).

    Idf, mean and directions are fitted on training texts alone, so no text of validation or test has a say in what a
    term weighs; they are buffers, saved with the weights they belong to. Too few texts for the directions leave zeros.

    >>> terms = Terms(2, 1)
    >>> terms.fit(torch.tensor([[1.0, 1.0], [1.0, 0.0], [1.0, 0.0]]))
    >>> terms.idf  # the first term is in all three texts, the second in one: log(4 / 2) + 1
    tensor([1.0000, 1.6931])
    """

    def __init__(self, terms: int, directions: int) -> None:
        super().__init__()
        self.register_buffer("idf", torch.ones(terms))
        self.register_buffer("mean", torch.zeros(terms))
        self.register_buffer("directions", torch.zeros(terms, directions))

    def fit(self, counts: Tensor) -> None:
        """Set what is fitted from the training texts' counts (N, D)."""
        idf, mean, directions = (getattr(self, name) for name in ("idf", "mean", "directions"))
        idf.copy_(((1 + len(counts)) / (1 + (counts > 0).sum(0))).log() + 1)
        weighted = self._weighted(counts)
        mean.copy_(weighted.mean(0))
        rank = min(directions.shape[1], counts.shape[1], max(len(counts) // TEXTS, 1))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)  # the same directions whatever is drawn around
            _, spread, found = torch.svd_lowrank(
                weighted.cpu() - mean.cpu(), q=rank, niter=PASSES
            )  # (D, rank)
        # along what is left the training texts are all alike, and another text would seem to lie beyond all measure
        directions.zero_()[:, :rank] = found * (spread > ALIKE * spread.max())

    def forward(self, counts: Tensor) -> Tensor:
        """Counts (N, D) -> (N, R)."""
        centred = self._weighted(counts) - self._buffer("mean")
        rows: Tensor = centred @ self._buffer("directions")
        return rows

    def _weighted(self, counts: Tensor) -> Tensor:
        weighted: Tensor = counts.float() * self._buffer("idf")
        lengths: Tensor = weighted.norm(dim=1, keepdim=True)
        return weighted / lengths.clamp(min=1e-9)

    def _buffer(self, name: str) -> Tensor:
        found: Tensor = getattr(self, name)
        return found
