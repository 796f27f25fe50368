"""Experts, one a modality, and the router that mixes them (MoMKE, Xu et al. 2024)."""

from torch import Tensor, nn

from cmarr.layers.attention import attend


class ExpertLayer(nn.Module):
    """x -> x + y + MLP(y), y = attention(x) without a projection behind it and without layer norm.

    >>> ExpertLayer(d=8, heads=2, dropout=0.1)(torch.zeros(2, 3, 8)).shape
    torch.Size([2, 3, 8])
    """

    def __init__(self, d: int, heads: int, dropout: float):
        super().__init__()
        self.heads = heads
        self.query_key_value = nn.Linear(d, 3 * d)
        self.step = nn.Sequential(nn.Linear(d, d), nn.GELU(), nn.Dropout(dropout), nn.Linear(d, d))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """x (B, L, d), mask (B, L) bool: steps that may be read, of which a row may have none -> (B, L, d)."""
        query, key, value = self.query_key_value(x).chunk(3, dim=-1)
        if mask is None:
            y = attend(query, key, value, self.heads)
        else:
            some = mask.any(1, keepdim=True)  # (B, 1)
            y = attend(query, key, value, self.heads, mask | ~some) * some[..., None]
        y = self.dropout(y)
        out: Tensor = x + y + self.dropout(self.step(y))
        return out


class Expert(nn.Module):
    """`depth` layers, which every modality passes.

    >>> x, mask = torch.randn(2, 3, 8), torch.tensor([[True, True, False], [False] * 3])
    >>> expert = Expert(d=8, depth=2, heads=2, dropout=0.0)
    >>> hidden = torch.where(mask[..., None], x, 9.0)
    >>> torch.equal(expert(x, mask)[0, :2], expert(hidden, mask)[0, :2])  # what may not be read is not
    True
    """

    def __init__(self, d: int, depth: int, heads: int, dropout: float):
        super().__init__()
        self.layers = nn.ModuleList(ExpertLayer(d, heads, dropout) for _ in range(depth))

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """x (B, L, d), mask (B, L) bool as for `ExpertLayer` -> (B, L, d)."""
        for layer in self.layers:
            x = layer(x, mask)
        return x


class Router(nn.Module):
    """What each step's modality gives to each of E experts: x (..., d) -> shares (..., E) that add up to 1.

    >>> Router(d=8, experts=3)(torch.zeros(2, 5, 8)).sum(-1).shape
    torch.Size([2, 5])
    """

    def __init__(self, d: int, experts: int):
        super().__init__()
        self.choose = nn.Sequential(nn.Linear(d, d), nn.ReLU(), nn.Linear(d, experts))

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        out: Tensor = self.choose(x).softmax(-1)
        return out
