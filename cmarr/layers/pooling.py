"""Statistics pooling: mean and deviation over time in place of a sequence, one step an utterance."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor, nn

from cmarr.data.batch import Batch
from cmarr.data.statistics import mean_and_deviation
from cmarr.declaration import Count

Length = Literal["statistics"] | Count
"""Steps a sequence is resampled to, or `statistics`: it is pooled to one step."""

LENGTH = (
    "steps L every modality is resampled to (Eq 7 adds latents step by step); 1 = one vector an utterance; statistics "
    "= mean and deviation over time, one vector an utterance: for a few hundred utterances"
)


class StatisticsPooling(nn.Module):
    """Utterances -> the same, every modality one step (2 D): its mean and deviation over time, standardised.

    An x-vector's pooling (Snyder et al. 2018) before the network instead of within it. What it is standardised by comes
    from the training split (`fit`); before that it passes as it is.

    Args:
        dims: modality -> feature width D.

    >>> pooling = StatisticsPooling({"s": 1})
    >>> lengths = {"s": torch.tensor([2, 1])}
    >>> batch = Batch({"s": torch.tensor([[1.0], [3.0], [9.0]])}, lengths, torch.ones(2, 3).bool(), torch.zeros(2))
    >>> pooling(batch).values["s"].tolist(), pooling(batch).lengths["s"].tolist()
    ([[2.0, 1.0], [9.0, 0.0]], [1, 1])
    """

    def __init__(self, dims: Mapping[str, int]):
        super().__init__()
        self.dims = {m: 2 * dim for m, dim in dims.items()}
        for m, dim in self.dims.items():
            self.register_buffer(f"mean_{m}", torch.zeros(dim))
            self.register_buffer(f"scale_{m}", torch.ones(dim))

    @torch.no_grad()
    def fit(self, train: Batch) -> None:
        """Take mean and deviation from the available rows of a training split."""
        for m in self.dims:
            rows = _pooled(train, m).double()  # (n, 2 D)
            if len(rows):
                deviation = rows.std(0, correction=0)
                getattr(self, f"mean_{m}").copy_(rows.mean(0))
                getattr(self, f"scale_{m}").copy_(torch.where(deviation > 1e-5, deviation, 1.0))

    def forward(self, batch: Batch) -> Batch:
        """The batch with one step a modality; a modality without frames still has none."""
        values = {
            m: (_pooled(batch, m) - getattr(self, f"mean_{m}")) / getattr(self, f"scale_{m}")
            for m in self.dims
        }
        lengths = {m: n.clamp(max=1) for m, n in batch.lengths.items()}
        return replace(
            batch, values={**batch.values, **values}, lengths=lengths, longest=dict.fromkeys(self.dims, 1)
        )


def pooling_of(dims: Mapping[str, int], length: Length) -> tuple[nn.Module, Mapping[str, int], int]:
    """What comes before a network: its pooling (none, for a number of steps), the widths then, and the steps.

    >>> pooling_of({"s": 5}, 8)
    (Identity(), {'s': 5}, 8)
    >>> pooling_of({"s": 5}, "statistics")
    (StatisticsPooling(), {'s': 10}, 1)
    """
    if length != "statistics":
        return nn.Identity(), dims, length
    pooling = StatisticsPooling(dims)
    return pooling, pooling.dims, 1


def _pooled(batch: Batch, modality: str) -> Tensor:
    """(available rows, 2 D)."""
    there = batch.lengths[modality] > 0
    found = mean_and_deviation(batch.values[modality], batch.lengths[modality])
    if modality in batch.present:  # a device need not be asked how many rows these are
        return found[there.nonzero_static(size=batch.present[modality]).squeeze(1)]
    return found[there]
