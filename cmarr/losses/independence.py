"""How much two representations of the same utterances know of each other: HSIC (Gretton et al. 2005)."""

import torch
from torch import Tensor


def independence(x: Tensor, y: Tensor, counted: Tensor) -> Tensor:
    """The Hilbert-Schmidt independence criterion tr(K H L H) / (n - 1)^2, a scalar; 0 of fewer than two rows.

    K, L: exp(-|a - b|^2 / (2 s)) between the rows of x and of y, s the median of the squared distances between two
    different rows, through which no gradient flows; H centres. x (N, d), y (N, e); counted (N,) bool: the n rows of it.

    >>> x = torch.tensor([[0.0], [1.0], [0.0], [1.0]])
    >>> everything = torch.ones(4).bool()
    >>> independence(x, torch.tensor([[0.0], [0.0], [1.0], [1.0]]), everything).abs() < 1e-6
    tensor(True)
    >>> independence(x, x, everything) > 0.01
    tensor(True)
    """
    n = counted.sum().clamp(min=2)
    product = (_centred(x, counted) * _centred(y, counted)).sum()
    return product / (n - 1).square()


def _centred(x: Tensor, counted: Tensor) -> Tensor:
    """H K H (N, N) over the rows that count, 0 elsewhere."""
    x = torch.where(counted[:, None], x.float(), 0.0)
    both = counted[:, None] & counted[None, :]
    squares = x.square().sum(1)
    distances = (squares[:, None] + squares[None, :] - 2 * x @ x.T).clamp(min=0.0)  # (N, N)
    others = both & ~torch.eye(len(x), dtype=torch.bool, device=x.device)
    median = distances.detach().masked_fill(~others, torch.nan).nanmedian().nan_to_num(1.0)
    kernel = torch.where(both, (-distances / (2 * median.clamp(min=1e-6))).exp(), 0.0)
    n = counted.sum().clamp(min=1)
    rows = kernel.sum(1) / n
    return torch.where(both, kernel - rows[:, None] - rows[None, :] + kernel.sum() / n.square(), 0.0)
