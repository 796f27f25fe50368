"""The manifest: one row an utterance, the same columns whatever the corpus."""

import json
from collections.abc import ItemsView, Iterable, Iterator, Mapping, Sequence, ValuesView
from dataclasses import asdict, fields, replace
from functools import lru_cache
from itertools import repeat
from operator import eq
from pathlib import Path
from typing import Any, overload

import pyarrow as pa

from cmarr.errors import NotComputed, UserError
from cmarr.files import canonical_json
from cmarr.seals import read_table, write_table
from cmarr.utterance import Rejected, Utterance

QUARANTINE_SCHEMA = pa.schema([(f.name, pa.string()) for f in fields(Rejected)])
_TYPES = {"score": pa.float64(), "start": pa.float64(), "end": pa.float64(), "audio_whole": pa.bool_()}
_AGAIN = "read the corpus again"
_BLOCK = 1024
"""Rows of a manifest that become objects at once."""

_PACKED = ("ratings", "words")
"""Columns that hold JSON."""
MANIFEST_SCHEMA = pa.schema(
    [(f.name, _TYPES.get(f.name, pa.string())) for f in fields(Utterance) if f.name != "damage"]
)


def write_manifest(path: str | Path, utterances: Sequence[Utterance]) -> None:
    """Write a manifest atomically, rows in the given order.

    Raises UserError when two utterances share an id.
    """
    seen: set[str] = set()
    for utterance in utterances:
        if utterance.id in seen:
            raise UserError(f"utterance {utterance.id} appears twice; ids must be unique in a manifest")
        seen.add(utterance.id)
    columns = [
        pa.array((_packed(u, field.name) for u in utterances), field.type, size=len(utterances))
        for field in MANIFEST_SCHEMA
    ]
    write_table(path, pa.Table.from_arrays(columns, schema=MANIFEST_SCHEMA.with_metadata({})))


def _packed(utterance: Utterance, column: str) -> Any:
    value = getattr(utterance, column)
    return (canonical_json(value) if value else None) if column in _PACKED else value


class Manifest(Sequence[Utterance]):
    """The utterances of a manifest file, in order: a table, of which rows are objects while somebody looks at them.

    A million utterances are some hundred megabytes as a table, and two gigabytes as objects. Whoever goes through them
    in order makes each once; `by_id` finds one by its name.
    """

    def __init__(self, table: pa.Table, root: Path | None = None) -> None:
        self._table, self._root = table.combine_chunks(), root
        self._ids: list[str] | None = None
        self._block = lru_cache(maxsize=16)(self._decoded)

    def __len__(self) -> int:
        return len(self._table)

    @overload
    def __getitem__(self, place: int) -> Utterance: ...
    @overload
    def __getitem__(self, place: slice) -> "Manifest": ...
    def __getitem__(self, place: int | slice) -> "Utterance | Manifest":
        rows = range(len(self))[place]
        if isinstance(rows, range):
            return Manifest(self._table.take(list(rows)), self._root)
        return self._block(rows // _BLOCK)[rows % _BLOCK]

    def __iter__(self) -> Iterator[Utterance]:
        for number in range(-(-len(self) // _BLOCK)):
            yield from self._decoded(number)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and len(self) == len(other) and all(map(eq, self, other))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Manifest({list(self)!r})"

    def __reduce__(self) -> tuple[type, tuple[pa.Table, Path | None]]:
        return Manifest, (self._table, self._root)

    def ids(self) -> list[str]:
        """The names of all, in order."""
        if self._ids is None:  # once, or each pass would make the names anew, for whoever keeps them
            self._ids = self._table["id"].to_pylist()
        return self._ids

    def where(self, source: str) -> "Manifest":
        """Those whose `source` ('audio', 'video' or 'text') is there."""
        return Manifest(self._table.filter(self._table[source].is_valid()), self._root)

    def below(self, root: str | Path) -> "Manifest":
        """The same with media paths that begin with `root`; the inverse of `relative_to`."""
        return Manifest(self._table, Path(root))

    def _decoded(self, number: int) -> list[Utterance]:
        rows = self._table.slice(number * _BLOCK, _BLOCK)
        columns: dict[str, Any] = {}
        for name in MANIFEST_SCHEMA.names:
            column = rows[name]
            empty = column.null_count == len(column)
            columns[name] = repeat(None, len(column)) if empty or name == "id" else column.to_pylist()
        columns["id"] = self.ids()[number * _BLOCK : (number + 1) * _BLOCK]
        if self._root is not None:
            for name in ("audio", "video"):
                columns[name] = [path and str(self._root / path) for path in columns[name]]
        columns["ratings"] = _unpacked(columns["ratings"], "{}")
        columns["words"] = [tuple(map(tuple, words)) for words in _unpacked(columns["words"], "[]")]
        return [Utterance(*row) for row in zip(*columns.values(), strict=True)]


def _unpacked(cells: Iterable[str | None], nothing: str) -> list[Any]:
    values: list[Any] = json.loads(f"[{','.join(cell or nothing for cell in cells)}]")
    return values


class ById(Mapping[str, Utterance]):
    """The utterances of a manifest by their names."""

    def __init__(self, manifest: Manifest) -> None:
        self._manifest = manifest
        self._places = {name: place for place, name in enumerate(manifest.ids())}

    def __getitem__(self, name: str) -> Utterance:
        return self._manifest[self._places[name]]

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def values(self) -> ValuesView[Utterance]:
        """All of them, in order."""
        return _Values(self)

    def items(self) -> ItemsView[str, Utterance]:
        """Name and utterance of all, in order."""
        return _Items(self)


class _Values(ValuesView[Utterance]):
    def __iter__(self) -> Iterator[Utterance]:
        return iter(self._mapping._manifest)  # type: ignore[attr-defined]


class _Items(ItemsView[str, Utterance]):
    def __iter__(self) -> Iterator[tuple[str, Utterance]]:
        return ((u.id, u) for u in self._mapping._manifest)  # type: ignore[attr-defined]


def read_manifest(path: str | Path) -> Manifest:
    """Read a manifest back as utterances, in order. Raises UserError where it is not there, or damaged."""
    table = read_table(path, _AGAIN)
    if table.column_names != MANIFEST_SCHEMA.names:
        raise NotComputed(f"{path}: another version of cmarr wrote it; {_AGAIN}")
    return Manifest(table)


def relative_to(utterances: Sequence[Utterance], root: str | Path) -> list[Utterance]:
    """The utterances with media paths relative to `root`, for those below it."""

    def shorten(path: str | None) -> str | None:
        return str(Path(path).relative_to(root)) if path and Path(path).is_relative_to(root) else path

    return [replace(u, audio=shorten(u.audio), video=shorten(u.video)) for u in utterances]


def write_quarantine(
    path: str | Path, rejected: Sequence[Rejected], metadata: Mapping[str, str] | None = None
) -> None:
    """Write the quarantine list atomically; an empty list gives an empty file with the same columns."""
    table = pa.Table.from_pylist([asdict(r) for r in rejected], QUARANTINE_SCHEMA.with_metadata(metadata))
    write_table(path, table)


def read_quarantine(path: str | Path) -> list[Rejected]:
    """Read a quarantine list. Raises UserError where it is not there, or damaged."""
    return [
        Rejected(**row) for row in read_table(path, _AGAIN, [f.name for f in fields(Rejected)]).to_pylist()
    ]
