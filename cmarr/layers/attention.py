"""Attention: over steps (Vaswani et al. 2017), and over channels, in the reconstruction module (section 3.2)."""

import torch.nn.functional as F
from torch import Tensor, nn


def attend(
    query: Tensor, key: Tensor, value: Tensor, heads: int, mask: Tensor | None = None, dropout: float = 0.0
) -> Tensor:
    """Scaled dot-product attention over `heads` equal slices of the channels.

    query (B, L, C), key and value (B, T, C), mask (B, T) bool, True on the frames that may be read;
    at least one a row. dropout: of the weights. Returns (B, L, C).

    >>> x, y = torch.zeros(2, 3, 8), torch.zeros(2, 5, 8)
    >>> attend(x, y, y, heads=4).shape
    torch.Size([2, 3, 8])
    """

    def split(x: Tensor) -> Tensor:
        out: Tensor = x.unflatten(-1, (heads, -1)).transpose(1, 2)  # (B, heads, T, C / heads)
        return out

    allowed = None if mask is None else mask[:, None, None, :]
    q, k, v = (split(x) for x in (query, key, value))
    out = F.scaled_dot_product_attention(q, k, v, attn_mask=allowed, dropout_p=dropout)
    return out.transpose(1, 2).flatten(2)


def feed_forward(d: int) -> nn.Sequential:
    """The two-layer network on each step, d -> 2d -> d, with GELU between.

    >>> feed_forward(8)(torch.zeros(2, 3, 8)).shape
    torch.Size([2, 3, 8])
    """
    return nn.Sequential(nn.Linear(d, 2 * d), nn.GELU(), nn.Linear(2 * d, d))


class AttentionBlock(nn.Module):
    """Attention and feed-forward, each with layer norm before and a residual around (pre-norm).

    `block(x, y)` is cross-attention, queries from x (B, L, d), keys and values from y (B, T, d);
    `block(x)` is self-attention. Returns (B, L, d).

    >>> block = AttentionBlock(d=8, heads=2, dropout=0.1)
    >>> block(torch.zeros(2, 3, 8), torch.zeros(2, 5, 8)).shape
    torch.Size([2, 3, 8])
    """

    part = "fusion"

    def __init__(self, d: int, heads: int, dropout: float):
        super().__init__()
        self.heads = heads
        self.norm_query = nn.LayerNorm(d)
        self.norm_context = nn.LayerNorm(d)
        self.query = nn.Linear(d, d)
        self.key_value = nn.Linear(d, 2 * d)
        self.out = nn.Linear(d, d)
        self.norm_step = nn.LayerNorm(d)
        self.step = feed_forward(d)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """See the class."""
        key, value = self.key_value(self.norm_context(x if y is None else y)).chunk(2, dim=-1)
        read = attend(self.query(self.norm_query(x)), key, value, self.heads)
        x = x + self.dropout(self.out(read))
        out: Tensor = x + self.dropout(self.step(self.norm_step(x)))
        return out


class TransformerLayer(nn.Module):
    """Attention and a feed-forward network d -> 4d -> d, each with layer norm before and a residual around.

    attention_dropout: of the attention's weights; dropout: of all else; part: of a method, see `training/precision.py`.

    >>> TransformerLayer(d=8, heads=2, dropout=0.1)(torch.zeros(2, 3, 8), torch.zeros(2, 5, 8)).shape
    torch.Size([2, 3, 8])
    """

    def __init__(
        self, d: int, heads: int, dropout: float, attention_dropout: float = 0.0, part: str = "fusion"
    ):
        super().__init__()
        self.heads, self.attention_dropout, self.part = heads, attention_dropout, part
        self.norm_attention = nn.LayerNorm(d)
        self.query = nn.Linear(d, d)
        self.key_value = nn.Linear(d, 2 * d)
        self.out = nn.Linear(d, d)
        self.norm_step = nn.LayerNorm(d)
        self.step = nn.Sequential(nn.Linear(d, 4 * d), nn.ReLU(), nn.Dropout(dropout), nn.Linear(4 * d, d))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """x (B, L, d) reads context (B, T, d) -> (B, L, d). One layer norm serves both, as in MulT."""
        key, value = self.key_value(self.norm_attention(context)).chunk(2, dim=-1)
        dropout = self.attention_dropout if self.training else 0.0
        read = attend(self.query(self.norm_attention(x)), key, value, self.heads, dropout=dropout)
        x = x + self.dropout(self.out(read))
        out: Tensor = x + self.dropout(self.step(self.norm_step(x)))
        return out


SQUEEZE = 16
"""The squeezed width of a channel attention is the number of channels divided by this."""


class ChannelAttentionBlock(nn.Module):
    """(B, C, L) -> (B, C, L): conv-ReLU-conv, each channel rescaled by its mean over time, residual.

    >>> ChannelAttentionBlock(channels=32)(torch.zeros(2, 32, 5)).shape
    torch.Size([2, 32, 5])
    """

    def __init__(self, channels: int):
        super().__init__()
        squeezed = max(channels // SQUEEZE, 1)
        self.body = nn.Sequential(
            nn.Conv1d(channels, channels, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv1d(channels, channels, 3, padding=1),
        )
        self.attention = nn.Sequential(
            nn.Linear(channels, squeezed), nn.ReLU(), nn.Linear(squeezed, channels), nn.Sigmoid()
        )

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        y = self.body(x)
        weights = self.attention(y.mean(-1))  # (B, C)
        return x.addcmul(y, weights[..., None])


class Reconstruction(nn.Module):
    """X~_n -> X^_n (B, L, d): widen to 2d, `blocks` blocks, a convolution with a long skip, narrow to d.

    zero_start: the last layer begins at zero, and X^_n with it, instead of at a random image of X~_n.

    >>> x = torch.randn(2, 5, 16)
    >>> Reconstruction(d=16, blocks=1)(x).shape
    torch.Size([2, 5, 16])
    >>> bool(Reconstruction(d=16, blocks=1, zero_start=True)(x).any())
    False
    """

    part = "recovery"

    def __init__(self, d: int, blocks: int, zero_start: bool = False):
        super().__init__()
        self.widen = nn.Conv1d(d, 2 * d, 1)
        self.blocks = nn.Sequential(*[ChannelAttentionBlock(2 * d) for _ in range(blocks)])
        self.close = nn.Conv1d(2 * d, 2 * d, 3, padding=1)
        self.narrow = nn.Conv1d(2 * d, d, 1)
        if zero_start:
            for parameter in self.narrow.parameters():
                nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, d) -> (B, L, d)."""
        wide = self.widen(x.transpose(1, 2))  # (B, 2d, L)
        wide = wide + self.close(self.blocks(wide))
        out: Tensor = self.narrow(wide).transpose(1, 2)
        return out
