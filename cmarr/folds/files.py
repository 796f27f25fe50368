"""A fold, and the file the folds of a corpus are kept in."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from cmarr.files import atomic

ROLES = ("train", "validation", "test")
SCHEMA = pa.schema([("fold", pa.int32()), ("id", pa.string()), ("role", pa.string())])


@dataclass(frozen=True)
class Fold:
    """Ids of the utterances that train, that choose the epoch, and that test. Numbers start at 1."""

    number: int
    train: list[str]
    validation: list[str]
    test: list[str]


def write_folds(path: str | Path, folds: Sequence[Fold], rule: str = "") -> None:
    """Write folds as Parquet (fold, id, role), with the rule they follow; atomic, the same bytes each time."""
    rows = [
        {"fold": fold.number, "id": id, "role": role}
        for fold in folds
        for role in ROLES
        for id in getattr(fold, role)
    ]
    table = pa.Table.from_pylist(rows, SCHEMA.with_metadata({"rule": rule}))
    with atomic(path) as temporary:
        pq.write_table(table, temporary)


def read_folds(path: str | Path) -> list[Fold]:
    """Read folds back, by number, the ids in the order they were written."""
    parts: dict[int, dict[str, list[str]]] = defaultdict(lambda: {role: [] for role in ROLES})
    for row in pq.read_table(path).to_pylist():
        parts[row["fold"]][row["role"]].append(row["id"])
    return [Fold(number, **parts[number]) for number in sorted(parts)]


def read_rule(path: str | Path) -> str:
    """The sentence that says how these folds were made."""
    metadata: dict[bytes, bytes] = pq.read_schema(path).metadata or {}
    return metadata.get(b"rule", b"").decode()
