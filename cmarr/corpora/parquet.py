"""Parquet tables that somebody else wrote: a few bytes may stand for sixty million rows, or for one cell of 2 GB.

What the file says of itself is counted first, and it is unpacked in another process, within a budget.
"""

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from cmarr.budgets import CELL, COLUMNS, ROWS, reason, require_unpacked, shown, size_of
from cmarr.errors import Unreadable, many
from cmarr.media.foreign import Budget, read_foreign

BUDGET = Budget(memory=2**29, memory_each=100, seconds_each=1e-5)
"""They are packed, down to a thirtieth (`budgets.FOLD`), and lie there several times while they are put together."""

_AT_ONCE = 10_000
"""Rows that are Python's own at a time."""


def read_cells(path: Path, columns: Collection[str]) -> tuple[list[str], Iterator[dict[str, Any]]]:
    """The names of all columns of a table of utterances, and its rows: the cells of those of `columns` that it has.

    Columns of lists are left out. Raises UserError where it cannot be read, or holds too much.
    """
    names, table = read_foreign(_cells, path, columns, budget=BUDGET)
    return names, (row for batch in table.to_batches(_AT_ONCE) for row in batch.to_pylist())


def read_columns(path: Path) -> pa.Table:
    """The columns of a table that can hold features: `id`, and those of numbers or lists.

    Raises UserError as `read_cells` does.
    """
    return read_foreign(_features, path, budget=BUDGET)


def column_names(path: Path) -> list[str]:
    """The names of a table's columns. Raises UserError where it cannot be read, or has too many."""
    return read_foreign(_names, path, budget=BUDGET)


def _opened(path: Path) -> pq.ParquetFile:
    try:
        # a footer of false lengths must not make room for them
        opened = pq.ParquetFile(path, thrift_container_size_limit=10 * COLUMNS)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _unreadable(path, error) from error
    if opened.metadata.num_columns > COLUMNS:
        raise Unreadable(
            f"{shown(path)} has {many(opened.metadata.num_columns, 'column')}, more than the {COLUMNS:,} that a "
            "table may have; is it the right file?"
        )
    return opened


def _names(path: Path) -> list[str]:
    names: list[str] = _opened(path).schema_arrow.names
    return names


def _cells(path: Path, columns: Collection[str]) -> tuple[list[str], pa.Table]:
    opened = _opened(path)
    if opened.metadata.num_rows > ROWS:
        raise Unreadable(
            f"{shown(path)} has {many(opened.metadata.num_rows, 'row')}, more than the {ROWS:,} that a table of "
            "utterances may have; is it the right file?"
        )
    schema = opened.schema_arrow
    table = _read(
        path, opened, [f.name for f in schema if f.name in columns and not pa.types.is_nested(f.type)]
    )
    return schema.names, table


def _features(path: Path) -> pa.Table:
    opened = _opened(path)
    kinds = (pa.types.is_nested, pa.types.is_floating, pa.types.is_integer)
    return _read(
        path,
        opened,
        [f.name for f in opened.schema_arrow if f.name == "id" or any(kind(f.type) for kind in kinds)],
    )


def _read(path: Path, opened: pq.ParquetFile, names: Sequence[str]) -> pa.Table:
    about, size = opened.metadata, size_of(path)
    parts = [about.row_group(i).total_byte_size for i in range(about.num_row_groups)]
    require_unpacked(path, max(8 * about.num_rows * len(names), sum(parts)), size)
    try:
        table = opened.read(columns=names, use_threads=False)
        table.validate(full=True)  # text that is no UTF-8, lists that end behind their values
    except pa.ArrowMemoryError as error:
        raise MemoryError from error
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _unreadable(path, error) from error
    return _with_plain_text(path, table)


def _with_plain_text(path: Path, table: pa.Table) -> pa.Table:
    """The table without dictionaries, whose cells would become copies where nobody counts, and without huge cells."""
    for place, column in enumerate(table.columns):
        if pa.types.is_dictionary(column.type):
            table = table.set_column(place, table.column_names[place], column.cast(column.type.value_type))
    for name, column in zip(table.column_names, table.columns, strict=True):
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            longest = pc.max(pc.binary_length(column)).as_py() or 0
            if longest > CELL:
                raise Unreadable(
                    f"{shown(path)}: a cell of the column {name} has {longest:,} letters, more than the {CELL:,} that "
                    "one may have; is it the right file?"
                )
    return table


def _unreadable(path: Path, error: Exception) -> Unreadable:
    return Unreadable(f"{shown(path)} is not a readable Parquet file ({reason(error)[:200]}); write it again")
