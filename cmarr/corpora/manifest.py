"""The manifest: one row an utterance, the same columns whatever the corpus."""

import json
from collections.abc import Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from cmarr.errors import UserError
from cmarr.files import canonical_json
from cmarr.seals import read_table, write_table
from cmarr.utterance import Rejected, Utterance

QUARANTINE_SCHEMA = pa.schema([(f.name, pa.string()) for f in fields(Rejected)])
_TYPES = {"score": pa.float64(), "start": pa.float64(), "end": pa.float64(), "audio_whole": pa.bool_()}
_AGAIN = "read the corpus again"
_PACKED = ("ratings", "words")
"""Columns that hold JSON."""
MANIFEST_SCHEMA = pa.schema(
    [(f.name, _TYPES.get(f.name, pa.string())) for f in fields(Utterance) if f.name != "damage"]
)


def write_manifest(
    path: str | Path, utterances: Sequence[Utterance], metadata: dict[str, str] | None = None
) -> None:
    """Write a manifest atomically, rows in the given order.

    Raises UserError when two utterances share an id.
    """
    seen: set[str] = set()
    for utterance in utterances:
        if utterance.id in seen:
            raise UserError(f"utterance {utterance.id} appears twice; ids must be unique in a manifest")
        seen.add(utterance.id)
    rows = [asdict(u) | {c: _packed(getattr(u, c)) for c in _PACKED} for u in utterances]
    table = pa.Table.from_pylist(rows, MANIFEST_SCHEMA.with_metadata(metadata or {}))
    write_table(path, table)


def read_manifest(path: str | Path) -> list[Utterance]:
    """Read a manifest back as utterances, in order. Raises UserError where it is not there, or damaged."""
    return [Utterance(**(row | _unpacked(row))) for row in read_table(path, _AGAIN).to_pylist()]


def _packed(value: object) -> str | None:
    return canonical_json(value) if value else None


def _unpacked(row: dict[str, Any]) -> dict[str, Any]:
    ratings, words = (json.loads(row[column] or "[]") for column in _PACKED)
    return {"ratings": dict(ratings), "words": tuple((word, start, end) for word, start, end in words)}


def relative_to(utterances: Sequence[Utterance], root: str | Path) -> list[Utterance]:
    """The utterances with media paths relative to `root`, for those below it."""

    def shorten(path: str | None) -> str | None:
        return str(Path(path).relative_to(root)) if path and Path(path).is_relative_to(root) else path

    return [replace(u, audio=shorten(u.audio), video=shorten(u.video)) for u in utterances]


def resolved(utterances: Sequence[Utterance], root: str | Path) -> list[Utterance]:
    """The utterances with absolute media paths; the inverse of `relative_to`."""

    def lengthen(path: str | None) -> str | None:
        return str(Path(root) / path) if path else None

    return [replace(u, audio=lengthen(u.audio), video=lengthen(u.video)) for u in utterances]


def write_quarantine(path: str | Path, rejected: Sequence[Rejected]) -> None:
    """Write the quarantine list atomically; an empty list gives an empty file with the same columns."""
    table = pa.Table.from_pylist([asdict(r) for r in rejected], QUARANTINE_SCHEMA)
    write_table(path, table)


def read_quarantine(path: str | Path) -> list[Rejected]:
    """Read a quarantine list. Raises UserError where it is not there, or damaged."""
    return [Rejected(**row) for row in read_table(path, _AGAIN).to_pylist()]
