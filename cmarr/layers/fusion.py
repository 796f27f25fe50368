"""Cross-modal fusion: attention between the modalities, then classification (Eq 10-13)."""

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from cmarr.layers.attention import AttentionBlock

Blocks = Literal["three_blocks", "two_blocks", "pooled"]
Query = Literal["text", "recovered"]

QUERY_ORDER = ("t", "s", "v")
"""Text is the query; in a corpus without text speech takes its place."""


class Fusion(nn.Module):
    """Representations of all modalities (B, L, d) -> logits (B, K).

    blocks: "three_blocks" as the text of section 3.3.2 says, t<-v, t<-s and s<-v; "two_blocks", exactly
            Eq 10-11; "pooled", the ablation without attention: pooled representations, concatenated, MLP.
    query:  "text", always; "recovered", a row's first recovered modality (in the order t, s, v), which
            changes places with text.

    A corpus without some modality has no branch for it: with two modalities there is one cross-attention,
    with one modality only the self-attention.

    >>> fusion = Fusion(("s", "v", "t"), d=8, heads=2, dropout=0.1, outputs=4)
    >>> x = {m: torch.zeros(2, 5, 8) for m in ("s", "v", "t")}
    >>> fusion(x, recovered=torch.zeros(2, 3, dtype=torch.bool)).shape
    torch.Size([2, 4])
    """

    def __init__(
        self,
        modalities: tuple[str, ...],
        d: int,
        heads: int,
        dropout: float,
        outputs: int,
        blocks: Blocks = "three_blocks",
        query: Query = "text",
    ):
        super().__init__()
        self.modalities = modalities
        self.order = [m for m in QUERY_ORDER if m in modalities]
        self.swaps = query == "recovered"
        self.crossings = [(self.order[0], m) for m in ("v", "s") if m in self.order[1:]]
        if blocks == "three_blocks" and len(modalities) == 3:
            self.crossings.append(("s", "v"))
        self.pooled = blocks == "pooled"
        if self.pooled:
            self.mlp = nn.Sequential(nn.Linear(len(modalities) * d, d), nn.GELU(), nn.Dropout(dropout))
        else:
            self.cross = nn.ModuleList(AttentionBlock(d, heads, dropout) for _ in self.crossings)
            self.join = nn.Linear(len(self.crossings) * d, d) if len(self.crossings) > 1 else nn.Identity()
            self.self_attention = AttentionBlock(d, heads, dropout)
            self.norm = nn.LayerNorm(d)
            self.dropout = nn.Dropout(dropout)
        self.classify = nn.Linear(d, outputs)

    def forward(self, x: Mapping[str, Tensor], recovered: Tensor) -> Tensor:
        """`x`: modality -> (B, L, d); `recovered` (B, M) bool in the order of `modalities`."""
        out: Tensor = self.classify(self.represent(x, recovered))
        return out

    def represent(self, x: Mapping[str, Tensor], recovered: Tensor) -> Tensor:
        """The vector (B, d) that is classified; arguments as for `forward`."""
        if self.pooled:
            pooled: Tensor = self.mlp(torch.cat([x[m].mean(1) for m in self.order], dim=-1))
            return pooled
        if self.swaps:
            x = self._exchange(x, recovered)
        crossed = [
            block(x[query], x[context])  # Eq 10, 11
            for block, (query, context) in zip(self.cross, self.crossings, strict=True)
        ]
        h = self.join(torch.cat(crossed, dim=-1)) if crossed else x[self.order[0]]  # Eq 12
        h = self.self_attention(h)  # (B, L, d), Eq 13
        out: Tensor = self.dropout(self.norm(h.mean(1)))
        return out

    def _exchange(self, x: Mapping[str, Tensor], recovered: Tensor) -> dict[str, Tensor]:
        columns = [recovered[:, self.modalities.index(m)] for m in self.order]
        first = torch.stack(columns, 1).int().argmax(1)  # (B,) 0, the usual query, where none is recovered
        exchanged = dict(x)
        query = self.order[0]
        for i, m in enumerate(self.order[1:], start=1):
            swap = (first == i)[:, None, None]
            exchanged[query] = torch.where(swap, x[m], exchanged[query])
            exchanged[m] = torch.where(swap, x[query], x[m])
        return exchanged
