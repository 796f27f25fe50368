"""The manifest: one row an utterance, the same columns whatever the corpus."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from cmarr.errors import UserError
from cmarr.files import atomic, canonical_json


@dataclass(frozen=True)
class Utterance:
    """One utterance. None means the modality is naturally absent.

    Paths are absolute while a corpus is read and while its media are; in the manifest file those below
    the corpus' root are relative to it, so that the file is the same wherever the corpus lies.

    `start` and `end` are seconds within the audio and video files (None: the whole file); `crop` is the
    part of the frame to look at ('left', 'right' or None); `label` a class name or None; `score` a
    regression target; `split` an official split ('train', 'valid', 'test') or None.
    """

    id: str
    text: str | None = None
    audio: str | None = None
    video: str | None = None
    label: str | None = None
    score: float | None = None
    speaker: str | None = None
    sex: str | None = None
    session: str | None = None
    dialogue: str | None = None
    start: float | None = None
    end: float | None = None
    crop: str | None = None
    split: str | None = None
    ratings: dict[str, float] = field(default_factory=dict)

    def source(self, modality: str) -> str | None:
        """What a modality ('s', 'v', 't') is read from: a path, or the text itself; None where it is absent."""
        return {"s": self.audio, "v": self.video, "t": self.text}[modality]


@dataclass(frozen=True)
class Rejected:
    """An input that could not be used: where (`modality` None: the whole utterance), and why."""

    id: str
    modality: str | None
    stage: str
    reason: str


QUARANTINE_SCHEMA = pa.schema([(f.name, pa.string()) for f in fields(Rejected)])
_TYPES = {"score": pa.float64(), "start": pa.float64(), "end": pa.float64()}
MANIFEST_SCHEMA = pa.schema([(f.name, _TYPES.get(f.name, pa.string())) for f in fields(Utterance)])


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
    rows = [asdict(u) | {"ratings": canonical_json(u.ratings) if u.ratings else None} for u in utterances]
    table = pa.Table.from_pylist(rows, MANIFEST_SCHEMA.with_metadata(metadata or {}))
    with atomic(path) as temporary:
        pq.write_table(table, temporary)


def read_manifest(path: str | Path) -> list[Utterance]:
    """Read a manifest back as utterances, in order."""

    rows = pq.read_table(path).to_pylist()
    return [
        Utterance(**(row | {"ratings": json.loads(row["ratings"]) if row["ratings"] else {}})) for row in rows
    ]


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
    with atomic(path) as temporary:
        pq.write_table(table, temporary)


def read_quarantine(path: str | Path) -> list[Rejected]:
    """Read a quarantine list."""
    return [Rejected(**row) for row in pq.read_table(path).to_pylist()]


def read_frame(path: str | Path) -> pd.DataFrame:
    """The manifest as a data frame, for tables and reports."""
    return pd.read_parquet(path)
