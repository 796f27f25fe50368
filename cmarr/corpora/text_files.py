"""Text files of corpora, in whatever encoding they were written: transcripts, label files, tables, captions."""

import contextlib
import csv
import io
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path

from cmarr.errors import Unreadable, UserError
from cmarr.media.clips import require_whole

LARGEST = 64 * 2**20
"""Bytes; a label file or a transcript is a thousand times smaller, so more than this is something else."""

_MARKS = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
_WINDOWS = {c: bytes([c]).decode("cp1252", "replace") for c in range(0x80, 0xA0)}


def read_text(path: str | Path) -> str:
    """The text of a file: UTF-8, UTF-16 with its mark, else Windows-1252, the encoding of most old corpora.

    Never fails on an encoding. Characters that a wrong conversion left behind as control codes (the ’ of
    MELD's and other tables) become what was meant; line ends become '\\n', NUL bytes go. Raises Unreadable
    for a file that cannot be opened or is far too large for text.
    """
    path = Path(path)
    require_whole(path)
    try:
        size = path.stat().st_size
        if size > LARGEST:
            raise Unreadable(
                f"{path} has {size / 1e6:.0f} MB, too much for a text file; is it the right file?"
            )
        content = path.read_bytes()
    except OSError as error:
        raise Unreadable(f"{path} cannot be read ({error.strerror}); check the file") from error
    text = _decoded(content).translate(_WINDOWS)
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")


def _decoded(content: bytes) -> str:
    for mark, encoding in _MARKS.items():
        if content.startswith(mark):
            return content.decode(encoding, "replace")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return content.decode("cp1252", "replace")


def read_table(
    path: Path, columns: Sequence[str], advice: str = "fetch the table again"
) -> Iterator[tuple[int, dict[str, str]]]:
    """The rows of a CSV table, each with the line it begins on; missing cells are ''.

    Raises UserError, which ends in `advice`, for a table that lacks one of `columns` or is no CSV.
    """
    reader = csv.DictReader(io.StringIO(read_text(path), newline=""), restval="")
    try:
        lacking = [c for c in columns if c not in (reader.fieldnames or ())]
        if lacking:
            raise UserError(f"{path} lacks the column {', '.join(lacking)}; {advice}")
        line = reader.line_num + 1
        for row in reader:
            yield line, row
            line = reader.line_num + 1  # a quoted cell may run over several lines
    except csv.Error as error:
        raise UserError(f"{path}, line {reader.line_num}: {error}; {advice}") from error


def finite_numbers(cells: Iterable[tuple[str, str]]) -> dict[str, float]:
    """Name -> number, of the cells that hold a finite one."""
    numbers = {}
    for name, cell in cells:
        with contextlib.suppress(ValueError):
            if math.isfinite(value := float(cell)):
                numbers[name] = value
    return numbers


ENDINGS = (".srt", ".vtt")

Line = tuple[str, float, float]
"""What is said, and from which second to which."""

_STAMP = r"(?:(\d{1,4}):)?(\d{1,2}):(\d{1,2})[.,](\d{1,3})"
_TIMES = re.compile(rf"^\s*{_STAMP}\s*-->\s*{_STAMP}")
_MARKUP = re.compile(r"<[^<>]*>|\{\\[^{}]*\}")


def read_captions(path: str | Path) -> tuple[Line, ...]:
    """The lines of a caption file, in order of time, without markup; what is no caption is passed over.

    Raises Unreadable for a file that cannot be opened or is far too large for text.
    """
    lines: list[Line] = []
    for block in re.split(r"\n\s*\n", read_text(path)):
        rows = block.split("\n")
        # a block holds one caption, unless the blank lines between them were lost
        timed = [number for number, row in enumerate(rows) if _TIMES.match(row)]
        numbered = bool(timed and timed[0] and rows[timed[0] - 1].strip().isdigit())
        for number, following in pairwise([*timed, len(rows)]):
            times = _TIMES.match(rows[number])
            assert times is not None
            begin, end = _seconds(times.groups()[:4]), _seconds(times.groups()[4:])
            texts = rows[number + 1 : following]
            if numbered and following < len(rows) and texts and texts[-1].strip().isdigit():
                del texts[-1]  # the number of the next one
            text = " ".join(_MARKUP.sub("", " ".join(texts)).split())
            if text and begin < end:
                lines.append((text, begin, end))
    return tuple(sorted(lines, key=lambda line: line[1:]))


def said_between(lines: tuple[Line, ...], begin: float, end: float) -> str:
    """The text of the lines whose middle lies in `begin` <= middle < `end`."""
    return " ".join(text for text, first, last in lines if begin <= (first + last) / 2 < end)


def _seconds(parts: tuple[str | None, ...]) -> float:
    hours, minutes, seconds, fraction = (part or "0" for part in parts)
    return 3600 * int(hours) + 60 * int(minutes) + int(seconds) + float(f"0.{fraction}")
