"""All utterances of a split as ragged tensors on one device, gathered without per-sample Python."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from cmarr.data.batch import Batch
from cmarr.features.shards import FeatureTable
from cmarr.modalities import MODALITIES


@dataclass(frozen=True)
class Store:
    """N utterances.

    values:  modality -> (sum of its lengths, D), in the dtype of the shards
    starts:  modality -> (N,) int64, first row of each utterance
    lengths: modality -> (N,) int64; 0 where the modality is not available
    labels:  (N,) int64 class indices, or float32 scores
    """

    ids: tuple[str, ...]
    values: Mapping[str, Tensor]
    starts: Mapping[str, Tensor]
    lengths: Mapping[str, Tensor]
    labels: Tensor

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def dims(self) -> dict[str, int]:
        """Modality -> feature width, for the modalities that the corpus has."""
        return {m: v.shape[1] for m, v in self.values.items()}

    @property
    def available(self) -> Tensor:
        """(N, 3) bool, in the order s, v, t."""
        columns = [
            self.lengths[m] > 0 if m in self.lengths else torch.zeros_like(self.labels, dtype=torch.bool)
            for m in MODALITIES
        ]
        return torch.stack(columns, 1)

    def batch(self, rows: Tensor) -> Batch:
        """The utterances `rows` (B,) int64 as a batch in float32."""
        values, lengths = {}, {}
        for m, stored in self.values.items():
            lengths[m] = self.lengths[m][rows]
            values[m] = stored[ragged_rows(self.starts[m][rows], lengths[m])].float()
        return Batch(values, lengths, self.available[rows], self.labels[rows])

    def to(self, device: torch.device | str) -> "Store":
        """The same store on another device."""

        def move(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
            return {m: t.to(device) for m, t in tensors.items()}

        return Store(
            self.ids, move(self.values), move(self.starts), move(self.lengths), self.labels.to(device)
        )


def with_other(store: Store, modality: str, table: FeatureTable) -> Store:
    """The same utterances with other features of one modality; the rest is shared, not copied."""
    other = build_store(store.ids, {modality: table}, [0] * len(store)).to(store.labels.device)
    return replace(
        store,
        values={**store.values, **other.values},
        starts={**store.starts, **other.starts},
        lengths={**store.lengths, **other.lengths},
    )


def ragged_rows(starts: Tensor, lengths: Tensor) -> Tensor:
    """Row numbers of B runs, one after another: starts (B,), lengths (B,) -> (sum of lengths,)."""
    ends = lengths.cumsum(0)
    within = torch.arange(int(ends[-1]) if len(ends) else 0, device=starts.device)
    return within + torch.repeat_interleave(starts - ends + lengths, lengths)


def build_store(
    ids: Sequence[str], features: Mapping[str, FeatureTable], labels: Sequence[int] | Sequence[float]
) -> Store:
    """Gather the features of `ids`, in that order.

    `features` maps a modality's letter to its table, absent for a modality the corpus does not have.
    Integer labels become class indices, float labels scores.
    """
    values, starts, lengths = {}, {}, {}
    for modality in MODALITIES:
        table = features.get(modality)
        if table is None:
            continue
        place = {name: i for i, name in enumerate(table.ids)}
        where = np.array([place.get(name, -1) for name in ids], dtype=np.int64)
        first = np.where(where >= 0, table.offsets[where], 0)
        length = np.where(where >= 0, table.offsets[where + 1] - table.offsets[where], 0)
        rows = ragged_rows(torch.from_numpy(first), torch.from_numpy(length))
        values[modality] = torch.from_numpy(table.values[rows.numpy()])
        lengths[modality] = torch.from_numpy(length)
        starts[modality] = lengths[modality].cumsum(0) - lengths[modality]
    kind = np.float32 if any(isinstance(label, float) for label in labels) else np.int64
    return Store(tuple(ids), values, starts, lengths, torch.from_numpy(np.asarray(labels, dtype=kind)))
