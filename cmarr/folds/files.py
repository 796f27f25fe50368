"""A fold, and the file the folds of a corpus are kept in."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from cmarr.seals import read_metadata, read_table, write_table

ROLES = ("train", "validation", "test")
_AGAIN = "cut the folds again"
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
    write_table(path, table)


def read_folds(path: str | Path) -> list[Fold]:
    """Read folds back, by number, the ids in the order they were written.

    Raises UserError where they are not there, or damaged.
    """
    parts: dict[int, dict[str, list[str]]] = defaultdict(lambda: {role: [] for role in ROLES})
    for row in read_table(path, _AGAIN).to_pylist():
        parts[row["fold"]][row["role"]].append(row["id"])
    return [Fold(number, **parts[number]) for number in sorted(parts)]


def read_rule(path: str | Path) -> str:
    """The sentence that says how these folds were made."""
    return read_metadata(path, _AGAIN).get("rule", "")
