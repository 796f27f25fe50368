"""The manifest: one row an utterance, the same columns whatever the corpus."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

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
    regression target; `split` an official split ('train', 'valid', 'test') or None. `audio_whole` says
    that the audio file holds this utterance alone, so that `start` and `end` are places in the video only.
    `words` are (word, start, end), in seconds from the beginning of the utterance; `ratings` numbers by
    name (valence, arousal, dominance, intensity, ...), on the corpus' own scale. `damage` is what a
    protocol does to the recording as it is read (`cmarr.media.clips.Damage`); no manifest file holds it.
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
    words: tuple[tuple[str, float, float], ...] = ()
    audio_whole: bool = False
    damage: Callable[[Any, float], Any] | None = None

    def source(self, modality: str) -> str | None:
        """What a modality ('s', 'v', 't') is read from: a path, or the text itself; None where it is absent."""
        return {"s": self.audio, "v": self.video, "t": self.text}[modality]

    def cluster(self, kind: str) -> str:
        """What this utterance is resampled with: its 'speaker' or 'dialogue', or else the nearest thing known."""
        return getattr(self, kind) or self.speaker or self.dialogue or self.id

    def span(self, modality: str) -> tuple[float | None, float | None]:
        """First and last second of a modality's file that belong to it; None: from its beginning, to its end."""
        return (None, None) if modality == "s" and self.audio_whole else (self.start, self.end)


@dataclass(frozen=True)
class Rejected:
    """An input that could not be used: where (`modality` None: the whole utterance), and why."""

    id: str
    modality: str | None
    stage: str
    reason: str


QUARANTINE_SCHEMA = pa.schema([(f.name, pa.string()) for f in fields(Rejected)])
_TYPES = {"score": pa.float64(), "start": pa.float64(), "end": pa.float64(), "audio_whole": pa.bool_()}
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
    with atomic(path) as temporary:
        pq.write_table(table, temporary)


def read_manifest(path: str | Path) -> list[Utterance]:
    """Read a manifest back as utterances, in order."""
    return [Utterance(**(row | _unpacked(row))) for row in pq.read_table(path).to_pylist()]


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
    with atomic(path) as temporary:
        pq.write_table(table, temporary)


def read_quarantine(path: str | Path) -> list[Rejected]:
    """Read a quarantine list."""
    return [Rejected(**row) for row in pq.read_table(path).to_pylist()]
