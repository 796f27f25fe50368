"""A fold, and the file the folds of a corpus are kept in."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from cmarr.files import digest
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

    @property
    def split(self) -> str:
        """A digest of what a model of this fold may learn from."""
        return digest([self.train, self.validation])


def write_folds(path: str | Path, folds: Sequence[Fold], rule: str = "") -> None:
    """Write folds as Parquet (fold, id, role), with the rule they follow; atomic, the same bytes each time."""
    parts = [(fold.number, role, getattr(fold, role)) for fold in folds for role in ROLES]
    columns = [
        pa.array((number for number, _, ids in parts for _ in ids), pa.int32()),
        pa.array((id for _, _, ids in parts for id in ids), pa.string()),
        pa.array((role for _, role, ids in parts for _ in ids), pa.string()),
    ]
    table = pa.Table.from_arrays(columns, schema=SCHEMA.with_metadata({"rule": rule}))
    write_table(path, table)


def read_folds(path: str | Path) -> list[Fold]:
    """Read folds back, by number, the ids in the order they were written.

    Raises UserError where they are not there, or damaged.
    """
    table = read_table(path, _AGAIN, ("fold", "id", "role"))
    # Each name is one object, in however many folds it stands.
    coded = {name: table[name].combine_chunks().dictionary_encode() for name in ("id", "role")}
    names = {name: column.dictionary.to_pylist() for name, column in coded.items()}
    parts: dict[int, dict[str, list[str]]] = defaultdict(lambda: {role: [] for role in ROLES})
    places = (column.indices.to_numpy() for column in coded.values())
    for number, id, role in zip(table["fold"].to_numpy().tolist(), *places, strict=True):
        parts[number][names["role"][role]].append(names["id"][id])
    return [Fold(number, **parts[number]) for number in sorted(parts)]


def read_rule(path: str | Path) -> str:
    """The sentence that says how these folds were made."""
    return read_metadata(path, _AGAIN).get("rule", "")
