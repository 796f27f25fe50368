"""Text files of corpora, in whatever encoding they were written: transcripts, label files, tables."""

import contextlib
import csv
import io
import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

from cmarr.budgets import read_content
from cmarr.errors import UserError
from cmarr.media.clips import require_whole
from cmarr.media.encodings import decoded

LARGEST = 64 * 2**20
"""Bytes; a label file or a transcript is a thousand times smaller, so more than this is something else."""

LARGEST_TABLE = 256 * 2**20
"""Bytes of a table of utterances: a million with their transcripts have 150 MB."""

TEXTS = (".csv", ".tsv", ".txt", ".annotprocessed", ".wdseg")
"""Endings of files that corpora keep text in."""

_SEPARATOR = re.compile(r"\"?sep=(.)\"?\1*\r?\n", re.IGNORECASE)
"""First line of a table for Excel, and what Excel makes of it when it saves the table again."""

_WINDOWS = {c: bytes([c]).decode("cp1252", "replace") for c in range(0x80, 0xA0)}


def read_text(
    path: str | Path,
    note: Callable[[str], None] = lambda sentence: None,
    *,
    pipes: bool = False,
    table: bool = False,
) -> str:
    """The text of a file: UTF-8, what its mark says, else the encoding in which it reads like a language.

    Never fails on an encoding; `note` is called with a sentence where it was guessed. Characters that a wrong
    conversion left behind as control codes (the ’ of MELD's and other tables) become what was meant; line ends
    become '\\n', NUL bytes go. Raises Unreadable for a file that cannot be opened or is far too large for
    text, or for a `table`, and for a pipe or a device unless `pipes` are read, too.
    """
    require_whole(path)
    most, what = (LARGEST_TABLE, "a table") if table else (LARGEST, "a text file")
    content = read_content(path, most, what, pipes=pipes)
    return text_of(content, str(path), note)


def text_of(content: bytes, name: str, note: Callable[[str], None] = lambda sentence: None) -> str:
    """The text of a file's bytes, as `read_text` gives it; `name` stands in the sentence."""
    text, guessed = decoded(content)
    if guessed is not None:
        note(f"{name} is not marked as Unicode; it was read as {guessed}, a guess: save it as UTF-8")
    return text.translate(_WINDOWS).replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")


def guessed_encoding(path: Path) -> str | None:
    """The encoding in which a text file was read, where that was guessed; none for a file that is none."""
    if path.suffix.lower() not in TEXTS or not path.is_file() or path.stat().st_size > LARGEST:
        return None
    return decoded(path.read_bytes())[1]


def separated(content: str) -> tuple[str, str, int]:
    """(table, what parts its cells, lines left out before it): Excel's first line `sep=;`, else what its heading holds.

    >>> separated("sep=;\\nid;text\\n")
    ('id;text\\n', ';', 1)
    """
    said = _SEPARATOR.match(content)
    if said:
        return content[said.end() :], said[1], 1
    heading = content.split("\n", 1)[0]
    return content, max(",;\t|", key=heading.count), 0


def require_table(path: Path, content: str) -> None:
    """Raise UserError for the text of a file that is called a CSV table, and is a workbook or a page of the web."""
    kinds = {"PK\x03\x04": "a workbook or another archive", "<": "a page of the web or other markup"}
    for beginning, kind in kinds.items():
        if content.lstrip().startswith(beginning):
            raise UserError(f"{path} is {kind}, whatever its name; save the table as CSV")


def cell_text(value: object) -> str:
    """What a cell of a Parquet table says: 1 for the 1.0 that a column of numbers with gaps makes of it.

    >>> cell_text(3.0), cell_text(" u1 ")
    ('3', 'u1')
    """
    return str(int(value) if isinstance(value, float) and value.is_integer() else value).strip()


def read_table(
    path: Path, columns: Sequence[str], advice: str = "fetch the table again"
) -> Iterator[tuple[int, dict[str, str]]]:
    """The rows of a CSV table, each with the line it begins on; missing cells are ''.

    Raises UserError as `require_row`; and, ending in `advice`, for a table that lacks one of `columns` or is no CSV.
    """
    content, delimiter, before = separated(read_text(path, table=True))
    require_table(path, content)
    reader = csv.reader(io.StringIO(content, newline=""), delimiter=delimiter)
    try:
        names = next(reader, [])
        lacking = [c for c in columns if c not in names]
        if lacking:
            raise UserError(f"{path} lacks the column {', '.join(lacking)}; {advice}")
        begins = line = reader.line_num + 1
        for cells in reader:
            begins, line = line, reader.line_num + 1  # a quoted cell may run over several lines
            if not cells:
                continue
            while len(cells) > len(names) and not cells[-1].strip():
                del cells[-1]
            cells += [""] * (len(names) - len(cells))
            require_row(path, (begins + before, line - 1 + before), cells, len(names), delimiter)
            yield begins + before, dict(zip(names, cells, strict=True))
    except csv.Error as error:
        raise UserError(f"{path}, line {reader.line_num + before}: {error}; {advice}") from error
    last = islice(io.StringIO(content, newline=""), begins - 1, None)
    try:
        list(csv.reader(last, delimiter=delimiter, strict=True))
    except csv.Error as error:
        if "unexpected end" in str(error):
            raise UserError(
                f"{path}, line {begins + before}: a quotation mark opens here and is never closed; check the quotes"
            ) from error


def require_row(
    path: Path, lines: tuple[int, int], cells: Sequence[str], columns: int, delimiter: str
) -> None:
    """Raise UserError for a row, from line to line, of more or fewer cells than columns, or one that holds others."""
    where = f"{path}, line {lines[0]}"
    if len(cells) != columns:
        raise UserError(
            f"{where}: {len(cells)} cells under {columns} columns; put a text that holds the separator in double quotes"
        )
    several = [cell for cell in cells if "\n" in cell]
    if any(row.count(delimiter) == columns - 1 > 0 for cell in several for row in cell.split("\n")[1:-1]):
        raise UserError(
            f"{where}: a quotation mark opens here and takes in the rows up to line {lines[1]}; check the quotes"
        )


def as_text(value: object) -> str:
    """A name that a library may give as bytes."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def finite_numbers(cells: Iterable[tuple[str, str]]) -> dict[str, float]:
    """Name -> number, of the cells that hold a finite one."""
    numbers = {}
    for name, cell in cells:
        with contextlib.suppress(ValueError):
            if math.isfinite(value := float(cell)):
                numbers[name] = value
    return numbers
