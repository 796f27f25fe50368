"""A resampler whose queries read frames and then each other, and a transformer layer with its norms behind (CMAD)."""

import torch
from torch import Tensor, nn

from cmarr.layers.attention import attend


class Reading(nn.Module):
    """Queries read a context over heads of a width of their own, and pass a gated network; norms before, residuals
    around.

    >>> Reading(d=6, heads=2, width=4, dropout=0.1)(torch.zeros(2, 3, 6), torch.zeros(2, 5, 6)).shape
    torch.Size([2, 3, 6])
    """

    def __init__(self, d: int, heads: int, width: int, dropout: float):
        super().__init__()
        self.heads = heads
        self.norm_queries, self.norm_context, self.norm_step = (nn.LayerNorm(d) for _ in range(3))
        self.query = nn.Linear(d, heads * width, bias=False)
        self.key_value = nn.Linear(d, 2 * heads * width, bias=False)
        self.out = nn.Linear(heads * width, d)
        self.widen, self.narrow = nn.Linear(d, 8 * d), nn.Linear(4 * d, d)
        self.dropout = nn.Dropout(dropout)

    def forward(self, queries: Tensor, context: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """queries (B, Q, d), context (B, T, d), None: themselves; mask (B, T) bool, one or more a row -> (B, Q, d)."""
        asked = self.norm_queries(queries)
        key, value = self.key_value(asked if context is None else self.norm_context(context)).chunk(2, dim=-1)
        queries = queries + self.dropout(self.out(attend(self.query(asked), key, value, self.heads, mask)))
        step, gate = self.widen(self.norm_step(queries)).chunk(2, dim=-1)
        out: Tensor = queries + self.narrow(self.dropout(step * nn.functional.gelu(gate)))
        return out


class LatentResampler(nn.Module):
    """(B, T, d) -> (B, Q, d): `latents` learned queries that read the frames and then each other, `layers` times.

    The Perceiver (Jaegle et al. 2021) as CMAD has it, heads of `width` channels whatever d is.

    >>> LatentResampler(d=6, latents=3, layers=2, heads=2, width=4, dropout=0.1)(
    ...     torch.zeros(2, 5, 6), torch.ones(2, 5).bool()
    ... ).shape
    torch.Size([2, 3, 6])
    """

    def __init__(self, d: int, latents: int, layers: int, heads: int, width: int, dropout: float):
        super().__init__()
        self.latents = nn.Parameter(torch.randn(latents, d) * d**-0.5)
        self.reading = nn.ModuleList(Reading(d, heads, width, dropout) for _ in range(layers))
        self.exchange = nn.ModuleList(Reading(d, heads, width, dropout) for _ in range(layers))

    def forward(self, frames: Tensor, mask: Tensor) -> Tensor:
        """frames (B, T, d); mask (B, T) bool, True on real frames; a row without any reads its padding."""
        readable = mask | ~mask.any(1, keepdim=True)
        queries = self.latents.expand(len(frames), -1, -1)  # (B, Q, d)
        for read, exchange in zip(self.reading, self.exchange, strict=True):
            queries = exchange(read(queries, frames, readable))
        return queries


class PostNormLayer(nn.Module):
    """Self-attention and a feed-forward network d -> `wide` -> d, a layer norm behind each (Vaswani et al. 2017).

    >>> x = torch.zeros(2, 3, 8)
    >>> PostNormLayer(d=8, heads=2, wide=16, dropout=0.1)(x, x).shape
    torch.Size([2, 3, 8])
    """

    def __init__(self, d: int, heads: int, wide: int, dropout: float):
        super().__init__()
        self.heads = heads
        self.query, self.key_value, self.out = nn.Linear(d, d), nn.Linear(d, 2 * d), nn.Linear(d, d)
        self.norm_attention, self.norm_step = nn.LayerNorm(d), nn.LayerNorm(d)
        self.step = nn.Sequential(nn.Linear(d, wide), nn.ReLU(), nn.Dropout(dropout), nn.Linear(wide, d))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """x (B, L, d) reads context (B, T, d) -> (B, L, d)."""
        key, value = self.key_value(context).chunk(2, dim=-1)
        x = self.norm_attention(x + self.dropout(self.out(attend(self.query(x), key, value, self.heads))))
        out: Tensor = self.norm_step(x + self.dropout(self.step(x)))
        return out
