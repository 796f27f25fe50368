"""A sample of the faces that features were made from, on disk: so that a person can see whether they are faces."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from cmarr.seals import read_table, write_table

NAME = "faces.parquet"
"""File name of the sample, beside the shards of the video."""

FEW = 0.8
"""Share of frames with a face below which a speaker's or session's video is hardly seen."""

_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("speaker", pa.string()),
        ("label", pa.string()),
        ("found", pa.int32()),
        ("looked", pa.int32()),
        ("size", pa.int32()),
        ("patches", pa.large_binary()),
        ("reason", pa.string()),
        ("session", pa.string()),
    ]
)


@dataclass(frozen=True)
class SeenFaces:
    """Some faces of one utterance: `patches` (N, S, S) uint8 gray, evenly spread over its length.

    A face was `found` in so many of the frames `looked` at; without any, `reason` says why.
    """

    id: str
    speaker: str | None
    label: str | None
    patches: np.ndarray
    found: int = 0
    looked: int = 0
    reason: str | None = None
    session: str | None = None


def face_share(seen: Sequence[SeenFaces]) -> float | None:
    """Share of the frames looked at that show a face; None where none was looked at."""
    looked = sum(one.looked for one in seen)
    return sum(one.found for one in seen) / looked if looked else None


def few_faces(seen: Sequence[SeenFaces]) -> list[str]:
    """Whose share of frames with a face is below `FEW`: 'speaker F01 (63 %)', 'session 2 (71 %)'."""
    told = []
    for kind in ("speaker", "session"):
        for name, share in face_shares(seen, kind).items():
            told += [f"{kind} {name} ({100 * share:.0f} %)"] if share < FEW else []
    return told


def face_shares(seen: Sequence[SeenFaces], kind: str) -> dict[str, float]:
    """Speaker or session -> share of its frames that show a face, in the order of their names."""
    names = sorted({getattr(one, kind) for one in seen} - {None})
    shares = {name: face_share([one for one in seen if getattr(one, kind) == name]) for name in names}
    return {name: share for name, share in shares.items() if share is not None}


def write_faces(path: str | Path, seen: Sequence[SeenFaces]) -> None:
    """Write a sample atomically; equal samples give equal bytes."""
    rows = [
        vars(one)
        | {
            "size": one.patches.shape[-1],
            "patches": np.ascontiguousarray(one.patches, np.uint8).tobytes(),
        }
        for one in seen
    ]
    write_table(path, pa.Table.from_pylist(rows, _SCHEMA), compression="zstd")


def read_faces(path: str | Path) -> list[SeenFaces]:
    """Read a sample back. Raises UserError where it is not there, or damaged."""
    seen = []
    for row in read_table(path, "extract the video again").to_pylist():
        size = row.pop("size")
        row["patches"] = np.frombuffer(row["patches"], np.uint8).reshape(-1, size, size)
        seen.append(SeenFaces(**row))
    return seen
