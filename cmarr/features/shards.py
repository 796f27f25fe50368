"""Parquet shards of feature sequences: ragged, deterministic, atomic.

A shard holds one row an utterance: `id`, `n_frames`, `dim`, `frames` (little-endian, row-major bytes)
and `times` (seconds). The dtype of the frames stands in the file's metadata: float16, or float32 where
a value of the shard exceeds what float16 holds; whole numbers stay whole, in int16 or int32. So does a digest of the
first three columns, for who reads these alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from cmarr import objects
from cmarr.errors import NotWhole, UserError
from cmarr.files import digest
from cmarr.modalities import NAMES
from cmarr.seals import KEY, damaged, read_table, sealed, whole, write_table
from cmarr.seals import read_metadata as metadata_of
from cmarr.utterance import FeatureSequence

HALF_LIMIT = 6e4
"""Largest absolute value stored as float16 (which ends at 65504)."""

SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("n_frames", pa.int32()),
        ("dim", pa.int32()),
        ("frames", pa.large_binary()),
        ("times", pa.list_(pa.float32())),
    ]
)

DIRECTIONS = "directions"
"""Key of the metadata that says of rows that they are counts of terms, and to what width these are brought down."""

OUTLINE = ["id", "n_frames", "dim"]
"""The columns that say what a shard holds, without holding it."""

_DIGEST = "outline"
"""Key of the metadata with a digest of these columns."""

QUARANTINE = "quarantine.parquet"
"""File beside shards with what could not be encoded."""

SHARDS = "shards"
"""Key of its metadata with a digest of what all shards of the folder say of themselves."""

_AGAIN = "remove it and run the extraction again"
_ALL_AGAIN = "run the extraction again"


def shard_path(folder: str | Path, number: int) -> Path:
    """Path of shard `number` in a modality's feature folder."""
    return Path(folder) / f"part-{number:05d}.parquet"


def write_shard(path: str | Path, sequences: Sequence[FeatureSequence], metadata: dict[str, str]) -> None:
    """Write one shard atomically; the same sequences and metadata give the same bytes.

    Raises ValueError on NaN or infinite features: extraction quarantines those before they get here.
    """
    for sequence in sequences:
        if not np.isfinite(sequence.frames).all():
            raise ValueError(f"utterance {sequence.id}: features hold NaN or infinity")
    dtype = _stored(sequences)
    columns = {
        "id": [s.id for s in sequences],
        "n_frames": [s.frames.shape[0] for s in sequences],
        "dim": [s.frames.shape[1] for s in sequences],
        "frames": [np.ascontiguousarray(s.frames, dtype).tobytes() for s in sequences],
        "times": [s.times.astype(np.float32) for s in sequences],
    }
    own = {"dtype": dtype.name, _DIGEST: digest([columns[name] for name in OUTLINE])}
    table = pa.Table.from_pydict(columns, SCHEMA.with_metadata({**metadata, **own}))
    write_table(path, table, compression="zstd")


def _stored(sequences: Sequence[FeatureSequence]) -> np.dtype:
    """The smallest of the dtypes above that holds every value."""
    held = [s.frames for s in sequences if s.frames.size]
    if held and all(np.issubdtype(frames.dtype, np.integer) for frames in held):
        low, high = min(int(frames.min()) for frames in held), max(int(frames.max()) for frames in held)
        short = np.iinfo(np.int16)
        return np.dtype("<i2" if short.min <= low and high <= short.max else "<i4")
    largest = max((float(np.abs(frames).max()) for frames in held), default=0.0)
    return np.dtype("<f2" if largest <= HALF_LIMIT else "<f4")


def read_metadata(path: str | Path) -> dict[str, str]:
    """The metadata a shard was written with, and its dtype. Raises UserError when it is missing, or damaged."""
    found = metadata_of(path, _AGAIN)
    found.pop(_DIGEST, None)
    return found


def read_ids(path: str | Path) -> list[str]:
    """The utterances of a shard, in order. The whole shard is read and checked.

    Raises UserError when it is missing, damaged, or no shard.
    """
    ids: list[str] = _read(path)["id"].to_pylist()
    return ids


def read_lengths(folder: str | Path) -> dict[str, int]:
    """Utterance -> number of its frames, for every utterance of a folder's shards; the frames are not read.

    Raises UserError when a shard is damaged.
    """
    tables = {path: _outline_of(path) for path in shards(folder)}
    _require_all(folder, tables)
    lengths: dict[str, int] = {}
    for table in tables.values():
        lengths |= zip(table["id"].to_pylist(), table["n_frames"].to_pylist(), strict=True)
    return lengths


def shards_digest(folder: str | Path) -> str:
    """A digest of what all shards of a folder say of themselves: their utterances, inputs, encoder and numbers."""
    return _digest_of({path: _outline_of(path) for path in shards(folder)})


def _digest_of(tables: Mapping[Path, pa.Table]) -> str:
    return digest(
        {
            path.name: {k.decode(): v.decode() for k, v in table.schema.metadata.items() if k != KEY.encode()}
            for path, table in tables.items()
        }
    )


def _require_all(folder: str | Path, tables: Mapping[Path, pa.Table]) -> None:
    """Raise NotWhole unless these are the shards that the extraction left: each may be whole, and one missing."""
    beside = Path(folder) / QUARANTINE
    if not objects.is_file(beside):  # of shards that no extraction has made
        return
    said = metadata_of(beside, _ALL_AGAIN).get(SHARDS)
    if said is not None and said != _digest_of(tables):
        raise NotWhole(
            folder,
            f"{folder} does not hold the shards that were put there: one is missing, has changed places or comes from "
            f"elsewhere; {_ALL_AGAIN}",
        )


@dataclass(frozen=True)
class FeatureTable:
    """All sequences of one modality, concatenated.

    `values` (sum of T, D) in the stored dtype; utterance i owns rows `offsets[i]:offsets[i + 1]`. `directions` is 0, or
    the width that they are to be brought down to, being counts of terms (`cmarr.data.terms`).
    """

    ids: list[str]
    values: np.ndarray
    offsets: np.ndarray
    directions: int = 0

    @property
    def dim(self) -> int:
        """Width D of a feature vector."""
        return int(self.values.shape[1])


def read_features(folder: str | Path) -> FeatureTable | None:
    """Read every shard of a folder, in order; None when no utterance has this modality.

    Raises UserError when a shard is damaged, or two disagree about the width of the features.
    """
    tables = {path: _read(path) for path in shards(folder)}
    outline = _outline(folder, tables)
    if outline is None:
        return None
    parts = [_frames(path, table, outline.dim) for path, table in tables.items() if len(table)]
    values = np.concatenate(parts).astype(outline.values.dtype, copy=False)
    return replace(outline, values=values)


def map_features(folder: str | Path, unpacked: str | Path) -> FeatureTable | None:
    """As `read_features`, with the values in the file `unpacked` and mapped from there: for what memory does not hold.

    A batch drawn at random has utterances of every shard, and shards are compressed: so they are unpacked once, one
    after the other, and a batch then reads its own utterances alone. A file that is there already, and
    whole, is taken as it is.
    """
    outline = _outline(folder, {path: _outline_of(path) for path in shards(folder)})
    if outline is None:
        return None
    if not outline.values.size:
        return outline
    if not _unpacked(Path(unpacked)):
        Path(unpacked).parent.mkdir(parents=True, exist_ok=True)
        with sealed(unpacked) as temporary, temporary.open("wb") as opened:
            for path in shards(folder):
                if len(table := _read(path)):
                    frames = _frames(path, table, outline.dim)
                    opened.write(frames.astype(outline.values.dtype, copy=False).tobytes())
    # Copy on write: torch takes no memory that must not be written to.
    values = np.memmap(unpacked, outline.values.dtype, "c", shape=outline.values.shape)
    return replace(outline, values=values)


_known: set[tuple[str, int, int]] = set()
"""Unpacked files that this process has read once and found whole, with their size and time of change."""


def _unpacked(path: Path) -> bool:
    if not path.is_file():
        return False
    found = path.stat()
    key = (str(path), found.st_size, found.st_ctime_ns)
    if key not in _known and whole(path):
        _known.add(key)
    return key in _known


def features_size(folder: str | Path) -> int:
    """Bytes of all values of a folder's shards, as `read_features` holds them; the values are not read.

    Raises UserError as `read_features`.
    """
    outline = _outline(folder, {path: _outline_of(path) for path in shards(folder)})
    return outline.values.nbytes if outline is not None else 0


def _outline(folder: str | Path, tables: Mapping[Path, pa.Table]) -> FeatureTable | None:
    """What the shards hold, with a view of a single zero in the shape of the values."""
    _require_all(folder, tables)
    ids: list[str] = []
    lengths: list[np.ndarray] = []
    dtypes = set()
    width, directions = None, 0
    for path, table in tables.items():
        if not len(table):
            continue
        own, widths = table["id"].to_pylist(), table["dim"].to_numpy()
        width = width or int(widths[0])
        for place in np.flatnonzero(widths != width)[:1]:
            raise UserError(
                f"{path}: utterance {own[place]} has {widths[place]} features, the ones before it {width}; "
                f"remove {Path(folder)} and run the extraction again"
            )
        ids += own
        lengths.append(table["n_frames"].to_numpy().astype(np.int64))
        dtypes.add(_dtype(table))
        directions = int(table.schema.metadata.get(DIRECTIONS.encode(), 0))
    if width is None:
        return None
    offsets = np.concatenate([[0], np.cumsum(np.concatenate(lengths))])
    nothing = np.zeros((1, 1), np.result_type(*dtypes))
    return FeatureTable(ids, np.broadcast_to(nothing, (int(offsets[-1]), width)), offsets, directions)


def _frames(path: Path, table: pa.Table, width: int) -> np.ndarray:
    """All frames of a shard, (rows, width), in its dtype."""
    dtype = _dtype(table)
    # The bytes of all utterances lie in one buffer, one after another.
    column = table["frames"].combine_chunks()
    _, offsets, data = column.buffers()
    first, *_, last = np.frombuffer(offsets, np.int64)[column.offset : column.offset + len(table) + 1]
    rows = int(table["n_frames"].to_numpy().sum())
    if last - first != rows * width * dtype.itemsize:
        raise UserError(
            f"{path} does not hold the frames it speaks of; remove it and run the extraction again"
        )
    return np.frombuffer(data, dtype, rows * width, int(first)).reshape(rows, width)


def _dtype(table: pa.Table) -> np.dtype:
    found: np.dtype = np.dtype(table.schema.metadata[b"dtype"].decode()).newbyteorder("<")
    return found


def shards(folder: str | Path) -> list[Path]:
    """The shards of a folder, in order."""
    return objects.found(folder, "part-*.parquet")


def _read(path: str | Path) -> pa.Table:
    return read_table(path, _AGAIN, SCHEMA.names).select(SCHEMA.names)


def _outline_of(path: str | Path) -> pa.Table:
    """The first columns alone, and no more of the file than they and the footer take."""
    said = metadata_of(path, _AGAIN).get(_DIGEST)
    try:
        table = pq.read_table(objects.source(path), columns=OUTLINE)
        if digest([table[name].to_pylist() for name in OUTLINE]) == said:
            return table
    except (OSError, KeyError, ValueError, pa.ArrowException):
        pass
    raise damaged(path, _AGAIN)


def load_features(folder: str | Path, unpacked: str | Path | None = None) -> dict[str, FeatureTable]:
    """Letter -> table for each modality that has at least one sequence under `folder`/<modality>/.

    unpacked: a folder to unpack the features to, from where they are mapped instead of held in memory.
    Raises UserError when no modality has any.
    """
    tables = {
        letter: read_features(Path(folder) / name)
        if unpacked is None
        else map_features(Path(folder) / name, Path(unpacked) / name)
        for letter, name in NAMES.items()
    }
    found = {letter: table for letter, table in tables.items() if table is not None}
    if not found:
        raise UserError(
            f"{folder}: no modality has any features; look at the quarantine lists in its folders"
        )
    return found


def size_of_features(folder: str | Path) -> int:
    """Bytes of the features of all modalities under `folder`, as they are held in memory."""
    return sum(features_size(Path(folder) / name) for name in NAMES.values())
