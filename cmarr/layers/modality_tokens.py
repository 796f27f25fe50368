"""The backbone of MCUR: one token a modality, a transformer over the tokens, one vector an utterance."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cmarr.layers.perceiver import PerceiverResampler
from cmarr.layers.ragged import Layout
from cmarr.layers.transformer import TransformerLayer

Missing = Literal["zeros", "learned"]

KERNELS = {"t": 3, "s": 1, "v": 1}
"""Frames that the convolution of a modality sees."""


@dataclass(frozen=True)
class Tokens:
    """vectors: (B, M, d), a token a modality; blank: (M, d), what stands for a missing one."""

    vectors: Tensor
    blank: Tensor


class TokenEncoder(nn.Module):
    """A sequence to one token: convolution without bias, Perceiver resampler, mean of its queries, layer norm."""

    def __init__(self, dim: int, d: int, kernel: int, latents: int, layers: int, heads: int, dropout: float):
        super().__init__()
        self.convolution = nn.Conv1d(dim, d, kernel, padding=kernel // 2, bias=False)
        self.resampler = PerceiverResampler(d, latents, layers, heads, dropout)
        self.norm = nn.LayerNorm(d)

    def forward(self, frames: Tensor, lengths: Tensor, longest: int | None = None) -> Tensor:
        """Ragged frames (N, dim) of B utterances with `lengths` (B,) -> (B, d); `longest` as for `Layout`."""
        layout = Layout(lengths, len(frames), longest)
        # One product with the weights of every offset, on real frames only; what comes behind them is not read.
        weights = self.convolution.weight.permute(2, 0, 1)  # (kernel, d, D)
        offsets = layout.pad(F.linear(frames, weights.flatten(0, 1))).chunk(
            len(weights), dim=-1
        )  # (B, T, d) each
        middle = len(offsets) // 2
        x = offsets[middle]
        for place, own in enumerate(offsets):
            if place != middle:
                x = x + F.pad(own, (0, 0, middle - place, place - middle))
        return self.norm(self.resampler(x, layout.mask).mean(1))


class TokenBackbone(nn.Module):
    """From features to the fused representation h of an utterance, for any set of usable modalities.

    The network inferred for MCUR from CMAD (Zhuang et al. 2025), see docs/mcur.md: a `TokenEncoder` a modality,
    a transformer over the modality axis, concatenation, Linear + dropout + ReLU.

    missing: what stands for a modality that may not be used: "zeros", the token of a single frame of zeros
             (CMAD's zeroed input, which betrays no length), or a "learned" vector
    """

    def __init__(
        self,
        dims: Mapping[str, int],
        d: int,
        *,
        latents: int,
        resampler_layers: int,
        depth: int,
        heads: int,
        dropout: float,
        missing: Missing = "zeros",
    ):
        super().__init__()
        self.modalities = tuple(dims)
        self.encoders = nn.ModuleDict(
            {
                m: TokenEncoder(dims[m], d, KERNELS[m], latents, resampler_layers, heads, dropout)
                for m in self.modalities
            }
        )
        self.layers = nn.ModuleList(TransformerLayer(d, heads, dropout) for _ in range(depth))
        self.norm = nn.LayerNorm(d)
        self.join = nn.Sequential(nn.Linear(len(dims) * d, d), nn.Dropout(dropout), nn.ReLU())
        self.blank = nn.Parameter(torch.zeros(len(dims), d)) if missing == "learned" else None

    def encode(
        self,
        values: Mapping[str, Tensor],
        lengths: Mapping[str, Tensor],
        longest: Mapping[str, int] | None = None,
    ) -> Tokens:
        """Ragged features (N, D) a modality and their lengths (B,) -> tokens, whatever may be used of them.

        longest: as for `Layout`, a modality.
        """
        read = []
        for m in self.modalities:
            frames, sizes = values[m], lengths[m]
            if self.blank is None:  # one utterance more, of a single frame of zeros
                frames = torch.cat([frames, frames.new_zeros(1, frames.shape[1])])
                sizes = torch.cat([sizes, sizes.new_ones(1)])
            known = (longest or {}).get(m)
            read.append(self.encoders[m](frames, sizes, None if known is None else max(known, 1)))
        tokens = torch.stack(read, dim=1)  # (B, M, d), or one row more
        if self.blank is None:
            return Tokens(tokens[:-1], tokens[-1])
        return Tokens(tokens, self.blank)

    def fuse(self, tokens: Tokens, usable: Tensor) -> Tensor:
        """h (..., B, d) under each of some patterns `usable` (..., B, M) bool."""
        x = torch.where(usable[..., None], tokens.vectors, tokens.blank).flatten(0, -3)  # (P B, M, d)
        for layer in self.layers:
            x = layer(x, x)
        return self.join(self.norm(x).flatten(1)).view(*usable.shape[:-1], -1)
