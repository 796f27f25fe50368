"""One's own clips: a CSV or Parquet manifest, one row an utterance.

Columns: id, text, audio, video, label, speaker, session and, if wanted, start, end, crop, split, score,
sex, dialogue. An empty cell means that this utterance does not have it; any of text, audio and video may
be empty. What spreadsheets, pandas and Windows add or change is understood: a first line `sep=;`, a column that
is the index of a table, backslashes in paths, letters with accents stored in another form than the file's name.
"""

import csv
import io
import math
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from cmarr.budgets import read_content, real, reason
from cmarr.corpora.expected import Finding
from cmarr.corpora.inventory import chosen_file, corpus_files
from cmarr.corpora.parquet import read_cells
from cmarr.corpora.text_files import LARGEST_TABLE, cell_text, require_row, require_table, separated
from cmarr.declaration import Flag, Section, setting
from cmarr.errors import UserError, did_you_mean
from cmarr.media.clips import require_whole
from cmarr.media.encodings import decoded
from cmarr.utterance import Rejected, Utterance, holds_half, readable

COLUMNS = (
    "id",
    "text",
    "audio",
    "video",
    "label",
    "speaker",
    "session",
    "start",
    "end",
    "crop",
    "split",
    "score",
    "sex",
    "dialogue",
)
READER = "manifest"

LAYOUT = f"a manifest (.csv or .parquet) with the columns {', '.join(COLUMNS[:7])}"

_PATHS = ("audio", "video")
_NUMBERS = ("start", "end", "score")
TABLES = (".csv", ".tsv", ".parquet")
"""Endings of manifests."""
_INDEX = re.compile(r"(Unnamed: \d+(\.\d+)*|index|level_\d+|__index_level_\d+__)?")
"""What pandas heads the columns with that hold the numbers of a table's rows: one more each time it is saved."""
_WORDS_FOR_NOTHING = ("nan", "NaN", "None", "<NA>", "NULL", "null", "NaT", "N/A", "n/a", "#N/A")
_NOTHING: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("audio", "video", "label"), (*_WORDS_FOR_NOTHING, "NA")),  # as R writes it
    **dict.fromkeys(("speaker", "session", "dialogue"), _WORDS_FOR_NOTHING),  # somebody may be called N. A.
    "text": ("nan", "NaN", "<NA>"),  # somebody may well say None
}
"""Column -> what programs write into its cells where there is nothing."""
_DECIMAL = re.compile(r"^([+-]?\d+),(\d+)$")
"""A number as most of Europe writes it."""
_NOT_HERE = re.compile(
    r"(?P<address>[a-z][a-z0-9+.-]+://)|(?P<drive>[a-z]:[\\/])|(?P<share>\\\\)", re.IGNORECASE
)
_LONGEST_NAME, _LONGEST_PATH = 255, 2000
"""Bytes of a file's name that file systems hold, and letters of a path, which may have four bytes each."""
WORDS = {
    "crop": {"left": "left", "right": "right"},
    "split": {"train": "train", "valid": "valid", "validation": "valid", "dev": "valid", "test": "test"},
    "sex": {"m": "m", "male": "m", "f": "f", "female": "f"},
}
"""Column -> what may stand in it, and what that means."""

Row = dict[str, str]
_Stored = dict[Path, dict[str, str]]
"""Folder -> names of what it holds, by their composed Unicode form."""


class Options(Section):
    """Which table is read, and what its rows may hold."""

    file: str | None = setting(None, "which table, where the root holds several")
    allow_outside: Flag = setting(False, "true = media may lie outside the manifest's folder")
    labels: tuple[str, ...] = setting((), "[]: any; else rows with other labels are rejected")


def read(root: Path, options: Options) -> tuple[list[Utterance], list[Rejected]]:
    """Read a manifest; `root` is the manifest or its folder.

    Relative paths start at the manifest's folder. A row with a cell that cannot be what its column holds is
    rejected. Raises UserError, with the file and the line, for a column that does not exist, a row
    without an id, an id that appears twice, and a path that leads out.
    """
    path = _manifest(root, options)
    utterances: list[Utterance] = []
    rejected: list[Rejected] = []
    lines: dict[str, str] = {}
    stored: _Stored = {}
    below = None if options.allow_outside else real(path.parent)
    for line, row in _rows(path):
        for column in empty_columns(row, path.parent):
            del row[column]
        row = {c: seen for c, cell in row.items() if (seen := _seen(c, cell, path.parent))}
        id = row.get("id")
        if not id:
            raise UserError(f"{path}, {line}: no id; every row needs one of its own")
        if id in lines:
            raise UserError(f"{path}: the id {id} appears twice, in {lines[id]} and in {line}")
        lines[id] = line
        wrong = wrong_cells(row, options.labels)
        if wrong:
            rejected.append(Rejected(id, None, "prepare", f"{path.name}, {line}: {wrong}"))
            continue
        cells: dict[str, Any] = {**row}
        cells |= {k: _media(path, line, row[k], below, stored) for k in _PATHS if k in row}
        cells |= {k: float(row[k]) for k in _NUMBERS if k in row}
        cells |= {k: words[row[k].lower()] for k, words in WORDS.items() if k in row}
        utterances.append(Utterance(**cells))
    return utterances, rejected


def _seen(column: str, cell: str, folder: Path) -> str:
    """A cell without what nobody sees in it; a path keeps it where a file is called so."""
    if column in _PATHS and ("\0" in cell or os.path.exists(folder / cell)):  # noqa: PTH110
        return cell
    if holds_half(cell):
        return cell
    seen = readable(cell).strip()
    if column in _NUMBERS:
        return _DECIMAL.sub(r"\1.\2", seen)
    return cell if column == "text" and seen else seen


def files(root: Path, options: Options) -> list[Path]:
    """The manifest and the media it names."""
    utterances, _ = read(root, options.model_copy(update={"labels": ()}))
    return [_manifest(root, options), *(Path(p) for u in utterances for p in (u.audio, u.video) if p)]


def findings(root: Path, utterances: Sequence[Utterance], options: Options) -> list[Finding]:
    """What is odd about the table itself."""
    path = _manifest(root, options)
    return cells_of_nothing(Counter(c for _, row in _rows(path) for c in empty_columns(row, path.parent)))


def cells_of_nothing(counts: Counter[str]) -> list[Finding]:
    """A warning about cells that say that there is nothing, of their number in each column."""
    told = ", ".join(f"{count} of {column}" for column, count in counts.items())
    text = f"cells that say nan, None or the like are read as empty: {told}"
    advice = "write nothing where there is nothing (pandas: no astype(str))"
    return [Finding("warning", text, advice)] if counts else []


def empty_columns(row: Row, folder: Path) -> list[str]:
    """The columns in which a row has what programs write for an empty cell, and no file is called so."""
    return [
        column
        for column, words in _NOTHING.items()
        if row.get(column) in words and not (column in _PATHS and (folder / row[column]).exists())
    ]


def _manifest(root: Path, options: Options) -> Path:
    found = [root]
    if not root.is_file():
        tables = [p for p in corpus_files(root, set(TABLES)) if p.parent == root]
        found = [p for p in tables if p.stem == "manifest"] or tables
    return chosen_file(root, "file", options.file, found, "tables", LAYOUT)


def _rows(path: Path) -> Iterator[tuple[str, Row]]:
    """Each row's place ('line 3') and its cells that are not empty."""
    require_whole(path)
    if path.suffix.lower() == ".parquet":
        yield from _parquet_rows(path)
    else:
        yield from _csv_rows(path)


def _csv_rows(path: Path) -> Iterator[tuple[str, Row]]:
    content, _ = decoded(read_content(path, LARGEST_TABLE, "a table"))
    content, delimiter, before = separated(content)
    require_table(path, content)
    reader = csv.reader(io.StringIO(content, newline=""), delimiter=delimiter, strict=True)
    line = 1 + before
    try:
        columns = [cell.strip() for cell in next(reader, [])]
        kept = _kept_columns(path, columns)
        line = reader.line_num + 1 + before
        for cells in reader:
            here, line = line, reader.line_num + 1 + before  # a quoted cell may run over several lines
            if not any(cell.strip() for cell in cells):
                continue
            require_row(path, (here, line - 1), cells, len(columns), delimiter)
            yield f"line {here}", {columns[i]: v for i in kept if (v := cells[i].strip())}
    except csv.Error as error:
        raise UserError(
            f"{path}, line {line}: {error} (in the row that begins here); check the quotes"
        ) from error


def _parquet_rows(path: Path) -> Iterator[tuple[str, Row]]:
    columns, rows = read_cells(path, COLUMNS)
    kept = [columns[i] for i in _kept_columns(path, columns)]
    number = 0
    try:
        for number, row in enumerate(rows, 1):
            if lists := [c for c in kept if c not in row]:
                raise UserError(f"{path}: the column {lists[0]} holds lists and no cells; write it as text")
            present = {c: cell_text(row[c]) for c in kept if row[c] is not None and row[c] == row[c]}
            yield f"row {number}", {c: v for c, v in present.items() if v}
    except ValueError as error:  # of a string that is not UTF-8
        raise UserError(
            f"{path} is not a readable Parquet file (after row {number}: {reason(error)}); write it again"
        ) from error


def _kept_columns(path: Path, columns: list[str]) -> list[int]:
    """Places of the columns that mean something; raises UserError for one that could, and is not known."""
    kept = list(range(len(columns)))
    while len(kept) > 1 and _INDEX.fullmatch(columns[kept[0]]):
        del kept[0]
    if len(kept) > 1 and len(kept) == len(columns) and _INDEX.fullmatch(columns[kept[-1]]):
        del kept[-1]
    for name in (columns[i] for i in kept):
        if not name:
            raise UserError(
                f"{path}: column {columns.index(name) + 1} has no heading; give it one, or remove it"
            )
        if name not in COLUMNS:
            hint = did_you_mean(name.lower(), COLUMNS) or f"; there are: {', '.join(COLUMNS)}"
            raise UserError(f"{path}: unknown column {name[:40]!r}{hint}")
        if columns.count(name) > 1:
            raise UserError(f"{path}: the column {name} appears twice; remove one")
    if "id" not in columns:
        raise UserError(f"{path}: no column id; expected {LAYOUT}")
    return kept


def wrong_cells(row: Row, labels: tuple[str, ...]) -> str | None:
    """What is wrong with a row's cells, if anything."""
    for name in _NUMBERS:
        if name in row and not _is_number(row[name]):
            return f"{name} is {row[name]!r}, not a number"
    start, end = float(row.get("start", 0)), float(row.get("end", math.inf))
    if not 0 <= start < end:
        return f"it starts at {start:g} s and ends at {end:g} s"
    for name in _PATHS:
        longest = max((len(os.fsencode(part)) for part in Path(row.get(name, "")).parts), default=0)
        if longest > _LONGEST_NAME or len(row.get(name, "")) > _LONGEST_PATH:
            return f"{name} is {row[name][:40]!r}..., too long for a file's name; is the text in the wrong column?"
        if foreign := _NOT_HERE.match(row.get(name, "")):
            what = {"address": "an address", "drive": "on a drive of Windows", "share": "on another machine"}
            return f"{name} is {row[name]!r}, {what[str(foreign.lastgroup)]}; put the file below the manifest's folder"
    for name, words in WORDS.items():
        if name in row and row[name].lower() not in words:
            return f"{name} is {row[name]!r}, not one of {', '.join(words)}"
    if labels and "label" in row and row["label"] not in labels:
        hint = did_you_mean(row["label"], labels) or f"; there are {', '.join(labels)}"
        return f"unknown label {row['label']!r}{hint}"
    return None


def _is_number(cell: str) -> bool:
    try:
        return math.isfinite(float(cell))
    except ValueError:
        return False


def _media(manifest: Path, line: str, cell: str, below: Path | None, stored: _Stored) -> str:
    if "\0" in cell:
        raise UserError(f"{manifest}, {line}: {cell!r} is not a path")
    path = _below(manifest, cell)
    if "\\" in cell and not os.path.exists(path):  # noqa: PTH110 - it says no to what is no name; written on Windows
        path = _below(manifest, cell.replace("\\", "/"))
    if not os.path.exists(path):  # noqa: PTH110
        path = _as_stored(path, stored)
    if below is not None and not real(path).is_relative_to(below):
        raise UserError(
            f"{manifest}, {line}: {cell} leads out of the manifest's folder; move the file below it, or set "
            "allow_outside: true under the dataset's options (`cmarr predict`: --allow-outside)"
        )
    return str(path)


def _below(manifest: Path, cell: str) -> Path:
    return manifest.parent / os.path.expanduser(cell)  # noqa: PTH111 - which leaves the name of nobody as it is


def _as_stored(path: Path, stored: _Stored) -> Path:
    """The path with each name as the file system has it: Macs take accents apart, Windows knows no case.

    A name is taken for another one only where that is the only one like it.
    """
    found = Path(path.anchor)
    for name in path.parts[1:] if path.anchor else path.parts:
        if not os.path.exists(found / name):  # noqa: PTH110
            if found not in stored:
                stored[found] = _alike(entry.name for entry in found.iterdir()) if found.is_dir() else {}
            composed = unicodedata.normalize("NFC", name)
            name = stored[found].get(composed) or stored[found].get(f"/{composed.casefold()}") or name
        found = found / name
    return found


def _alike(names: Iterable[str]) -> dict[str, str]:
    """Names by their composed form, and by that without case, after a slash, where no other name has it."""
    found: dict[str, str] = {}
    for name in names:
        composed = unicodedata.normalize("NFC", name)
        folded = f"/{composed.casefold()}"
        found |= {composed: name, folded: "" if folded in found else name}
    return found
