"""All utterances of a split as ragged tensors on one device, gathered without per-sample Python."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from cmarr.data.batch import Batch
from cmarr.data.dialogues import Dialogues
from cmarr.data.speakers import Heard
from cmarr.features.shards import FeatureTable
from cmarr.modalities import MODALITIES


@dataclass(frozen=True)
class Store:
    """N utterances. What is computed with lies on one device; what decides shapes stays on the host, too.

    values:  modality -> (rows, D), in the dtype of the shards; on the device of the labels, or on the host, mapped from
             a file, where they do not fit into memory, and then with the rows of other utterances between
    starts:  modality -> (N,) int64 on the host, first row of each utterance
    lengths: modality -> (N,) int64 on the host; 0 where the modality is not available
    labels:  (N,) int64 class indices, or float32 scores
    directions: modality that comes as counts of terms -> the width that these are brought down to
    speakers: (N,) int64 on the host, the same number where the speaker is the same; None: not known
    heard:    all utterances of these speakers, whose numbers they have; None: not known
    dialogues: of the N utterances, on the host; None: each is a dialogue of its own
    """

    ids: tuple[str, ...]
    values: Mapping[str, Tensor]
    starts: Mapping[str, Tensor]
    lengths: Mapping[str, Tensor]
    labels: Tensor
    directions: Mapping[str, int] = field(default_factory=dict)
    speakers: Tensor | None = None
    heard: Heard | None = None
    dialogues: Dialogues | None = None

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def dims(self) -> dict[str, int]:
        """Modality -> feature width, for the modalities that the corpus has."""
        return {m: v.shape[1] for m, v in self.values.items()}

    @property
    def widths(self) -> dict[str, int]:
        """Modality -> width of what a method reads of it, normalised."""
        return self.dims | dict(self.directions)

    @property
    def available(self) -> Tensor:
        """(N, 3) bool on the host, in the order s, v, t."""
        nothing = torch.zeros(len(self), dtype=torch.bool)
        return torch.stack([self.lengths[m] > 0 if m in self.lengths else nothing for m in MODALITIES], 1)

    def batch(self, rows: Tensor) -> Batch:
        """The utterances `rows` (B,) int64 as a batch in float32."""
        return next(self.batches(rows, [len(rows)]))

    def batches(self, rows: Tensor, sizes: Sequence[int], visible: Tensor | None = None) -> Iterator[Batch]:
        """The utterances `rows` (R,) int64 as batches of `sizes`, which add up to R, in float32.

        visible: (R, 3) bool on the host; what it hides is left where it is, as by `cmarr.data.batch.hide`.

        All that says where they are goes to the device before the first batch. From then on nothing waits for the
        device, and nothing is copied there but features that are not held there, prefetched by one batch.
        """
        rows, device = rows.cpu(), self.labels.device
        starts = {m: own[rows] for m, own in self.starts.items()}
        lengths = {m: own[rows] for m, own in self.lengths.items()}
        available, seen = self.available[rows], None
        if visible is not None:
            lengths = {m: own * visible[:, MODALITIES.index(m)] for m, own in lengths.items()}
            available, seen = available & visible, visible.to(device)
        there = {m: own.to(device) for m, own in lengths.items()}
        available, labels = available.to(device), self.labels[rows.to(device)]
        first = {m: own.to(device) for m, own in starts.items()}
        who = None if self.speakers is None else self.speakers[rows]
        within = None if self.dialogues is None else self.dialogues[rows].to(device)
        spans = [slice(end - size, end) for size, end in zip(sizes, np.cumsum(sizes).tolist(), strict=True)]
        elsewhere = [m for m, own in self.values.items() if own.device != device]

        def read(span: slice) -> dict[str, Tensor]:
            read = {m: self.values[m][ragged_rows(starts[m][span], lengths[m][span])] for m in elsewhere}
            return {m: own.pin_memory() if device.type == "cuda" else own for m, own in read.items()}

        for span, values in zip(
            spans, _prefetched(read, spans) if elsewhere else ({} for _ in spans), strict=True
        ):
            values = {m: own.to(device, non_blocking=True) for m, own in values.items()}
            for m in self.values.keys() - values.keys():
                count = int(lengths[m][span].sum())
                values[m] = self.values[m][ragged_rows(first[m][span], there[m][span], count)]
            yield Batch(
                {m: values[m].float() for m in self.values},
                {m: own[span] for m, own in there.items()},
                available[span],
                labels[span],
                {m: int(own[span].max()) if len(own[span]) else 0 for m, own in lengths.items()},
                {m: int(own[span].count_nonzero()) for m, own in lengths.items()},
                visible=None if seen is None else seen[span],
                speakers=None if who is None else who[span],
                heard=self.heard,
                dialogues=None if within is None else within[span],
            )

    def frames(self) -> dict[str, "Frames"]:
        """Modality -> all frames of its utterances, one utterance after another."""
        rows = {m: ragged_rows(self.starts[m], self.lengths[m]) for m in self.values}
        return {m: Frames(own, rows[m]) for m, own in self.values.items()}

    def to(self, device: torch.device | str, values: bool = True) -> "Store":
        """The same store on another device; without `values`, they stay where they are and follow batch by batch."""
        moved = {m: own.to(device) for m, own in self.values.items()} if values else self.values
        return replace(self, values=moved, labels=self.labels.to(device))


@dataclass(frozen=True)
class Frames:
    """The rows (R,) of `values` (N, D), read when they are asked for: `frames[first:last]` is a tensor."""

    values: Tensor
    rows: Tensor

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, wanted: slice) -> Tensor:
        return self.values[self.rows[wanted].to(self.values.device)]


def _prefetched(
    read: Callable[[slice], dict[str, Tensor]], spans: Sequence[slice]
) -> Iterator[dict[str, Tensor]]:
    """`read` of each span in turn; the next one is read while this one is used."""
    with ThreadPoolExecutor(1) as reader:
        coming = reader.submit(read, spans[0])
        for span in spans[1:]:
            values, coming = coming.result(), reader.submit(read, span)
            yield values
        yield coming.result()


def with_other(store: Store, modality: str, table: FeatureTable) -> Store:
    """The same utterances with other features of one modality; the rest is shared, not copied."""
    other = build_store(store.ids, {modality: table}, [0] * len(store)).to(store.labels.device)
    return replace(
        store,
        values={**store.values, **other.values},
        starts={**store.starts, **other.starts},
        lengths={**store.lengths, **other.lengths},
    )


def ragged_rows(starts: Tensor, lengths: Tensor, count: int | None = None) -> Tensor:
    """Row numbers of B runs, one after another: starts (B,), lengths (B,) -> (sum of lengths,).

    count: that sum, where the caller knows it.
    """
    ends = lengths.cumsum(0)
    if count is None:
        count = int(ends[-1]) if len(ends) else 0
    within = torch.arange(count, device=starts.device)
    return within + torch.repeat_interleave(starts - ends + lengths, lengths, output_size=count)


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
        lengths[modality] = torch.from_numpy(length)
        if isinstance(table.values, np.memmap):  # too large for a copy
            values[modality], starts[modality] = torch.from_numpy(table.values), torch.from_numpy(first)
            continue
        rows = ragged_rows(torch.from_numpy(first), lengths[modality])
        values[modality] = torch.from_numpy(table.values[rows.numpy()])
        starts[modality] = lengths[modality].cumsum(0) - lengths[modality]
    kind = np.float32 if any(isinstance(label, float) for label in labels) else np.int64
    directions = {m: table.directions for m, table in features.items() if table.directions}
    return Store(
        tuple(ids), values, starts, lengths, torch.from_numpy(np.asarray(labels, dtype=kind)), directions
    )


def without_steps(store: Store, kept: Mapping[str, Tensor]) -> Store:
    """The same utterances with fewer steps: what is dropped is gone, what is left moves together.

    kept: modality -> (sum of its lengths,) bool on the host, utterance by utterance; one without an entry stays whole.
    An utterance that keeps no step of a modality does not have it any more.
    """
    values, starts, lengths = dict(store.values), dict(store.starts), dict(store.lengths)
    for m, keep in kept.items():
        owner = torch.repeat_interleave(torch.arange(len(store)), store.lengths[m])
        rows = ragged_rows(store.starts[m], store.lengths[m])[keep]
        values[m] = store.values[m][rows.to(store.values[m].device)]
        lengths[m] = torch.bincount(owner[keep], minlength=len(store))
        starts[m] = lengths[m].cumsum(0) - lengths[m]
    return replace(store, values=values, starts=starts, lengths=lengths)
