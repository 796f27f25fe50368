"""The transformers of MulT (Tsai et al. 2019), within a sequence and across two."""

import math

import torch
from torch import Tensor, nn

from cmarr.layers.attention import attend


class TransformerLayer(nn.Module):
    """Attention and a feed-forward network d -> 4d -> d, each with layer norm before and a residual around."""

    def __init__(self, d: int, heads: int, dropout: float):
        super().__init__()
        self.heads = heads
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
        read = attend(self.query(self.norm_attention(x)), key, value, self.heads)
        x = x + self.dropout(self.out(read))
        return x + self.dropout(self.step(self.norm_step(x)))


class Transformer(nn.Module):
    """`depth` layers and a last layer norm, on inputs scaled by sqrt(d) and marked with their positions.

    `transformer(x, y)` lets x read y in every layer; `transformer(x)` is self-attention. No step is kept
    from seeing later ones: an utterance is answered when it is over.
    """

    def __init__(self, d: int, depth: int, heads: int, dropout: float):
        super().__init__()
        self.scale = math.sqrt(d)
        self.layers = nn.ModuleList(TransformerLayer(d, heads, dropout) for _ in range(depth))
        self.norm = nn.LayerNorm(d)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """x (B, L, d), context (B, T, d) -> (B, L, d)."""
        x = self._embed(x)
        read = None if context is None else self._embed(context)
        for layer in self.layers:
            x = layer(x, x if read is None else read)
        return self.norm(x)

    def last_step(self, x: Tensor) -> Tensor:
        """`transformer(x)[:, -1]`, (B, d): the last layer works for the last step alone."""
        x = self._embed(x)
        for layer in self.layers[:-1]:
            x = layer(x, x)
        return self.norm(self.layers[-1](x[:, -1:], x)).squeeze(1)

    def _embed(self, x: Tensor) -> Tensor:
        return self.dropout(self.scale * x + positions(x.shape[1], x.shape[2], x.device))


def positions(length: int, d: int, device: torch.device | str = "cpu") -> Tensor:
    """Sines and cosines of geometrically growing periods, (length, d) (Vaswani et al. 2017)."""
    steps = torch.arange(length, device=device, dtype=torch.float32)[:, None]
    half = (d + 1) // 2
    rates = torch.exp(torch.arange(half, device=device) * (-math.log(10000.0) / max(half - 1, 1)))
    angles = steps * rates
    return torch.cat([angles.sin(), angles.cos()], dim=1)[:, :d]


class MultimodalTransformer(nn.Module):
    """Every modality reads every other one; the last steps of what they remember are classified.

    With three modalities: six cross-modal transformers, d wide; three self-attention transformers on the
    pairs that a modality has read, 2d wide; a residual network on their last steps, 6d wide. With two
    modalities the memories are d wide; with one there is only its own memory.
    """

    def __init__(
        self,
        modalities: tuple[str, ...],
        d: int,
        depth: int,
        heads: int,
        dropout: float,
        outputs: int,
    ):
        super().__init__()
        self.modalities = modalities
        others = max(len(modalities) - 1, 1)
        self.crossings = nn.ModuleDict(
            {
                f"{m}{n}": Transformer(d, depth, heads, dropout)
                for m in modalities
                for n in modalities
                if m != n
            }
        )
        self.memories = nn.ModuleDict(
            {m: Transformer(others * d, max(depth, 3), heads, dropout) for m in modalities}
        )
        width = len(modalities) * others * d
        self.residual = nn.Sequential(
            nn.Linear(width, width), nn.ReLU(), nn.Dropout(dropout), nn.Linear(width, width)
        )
        self.classify = nn.Linear(width, outputs)

    def forward(self, x: dict[str, Tensor]) -> Tensor:
        """`x`: modality -> (B, L, d); returns logits (B, outputs)."""
        last = []
        for m in self.modalities:
            read = [self.crossings[f"{m}{n}"](x[m], x[n]) for n in self.modalities if n != m]
            memory = torch.cat(read, dim=-1) if read else x[m]  # (B, L, 2d)
            last.append(self.memories[m].last_step(memory))  # type: ignore[operator]
        joined = torch.cat(last, dim=-1)  # (B, 6d)
        return self.classify(joined + self.residual(joined))
