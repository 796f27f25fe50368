"""The Perceiver resampler: a few learned queries read a sequence of any length."""

import torch
from torch import Tensor, nn

from cmarr.layers.attention import attend, feed_forward


class ResamplerLayer(nn.Module):
    """Queries read frames and each other, then a feed-forward network; norm before, residual around."""

    def __init__(self, d: int, heads: int, dropout: float):
        super().__init__()
        self.heads = heads
        self.norm_frames = nn.LayerNorm(d)
        self.norm_queries = nn.LayerNorm(d)
        self.query = nn.Linear(d, d, bias=False)
        self.key_value = nn.Linear(d, 2 * d, bias=False)
        self.out = nn.Linear(d, d, bias=False)
        self.norm_step = nn.LayerNorm(d)
        self.step = feed_forward(d)
        self.dropout = nn.Dropout(dropout)

    def forward(self, queries: Tensor, frames: Tensor, readable: Tensor) -> Tensor:
        """queries (B, Q, d), frames (B, T, d), readable (B, T + Q) bool -> (B, Q, d)."""
        asked = self.norm_queries(queries)
        context = torch.cat([self.norm_frames(frames), asked], dim=1)  # (B, T + Q, d)
        key, value = self.key_value(context).chunk(2, dim=-1)
        read = attend(self.query(asked), key, value, self.heads, readable)
        queries = queries + self.dropout(self.out(read))
        return queries + self.dropout(self.step(self.norm_step(queries)))


class PerceiverResampler(nn.Module):
    """(B, T, d) -> (B, Q, d): what `latents` learned queries read of each sequence in `layers` layers.

    The resampler of Flamingo (Alayrac et al. 2022) after the Perceiver (Jaegle et al. 2021), without its
    time embedding: the convolution before it is all that sees an order.
    """

    def __init__(self, d: int, latents: int, layers: int, heads: int, dropout: float):
        super().__init__()
        self.latents = nn.Parameter(torch.randn(latents, d) * d**-0.5)
        self.layers = nn.ModuleList(ResamplerLayer(d, heads, dropout) for _ in range(layers))

    def forward(self, frames: Tensor, mask: Tensor) -> Tensor:
        """frames (B, T, d); mask (B, T) bool, True on real frames, of which there may be none."""
        queries = self.latents.expand(len(frames), -1, -1)  # (B, Q, d)
        readable = torch.cat([mask, mask.new_ones(queries.shape[:2])], dim=1)  # (B, T + Q)
        for layer in self.layers:
            queries = layer(queries, frames, readable)
        return queries
