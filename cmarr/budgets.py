"""What a foreign file may hold, counted before it is unpacked: bytes, rows, cells and nodes."""

import json
import os
import stat
from pathlib import Path
from typing import Any

from cmarr.errors import Unreadable, UserError, first_line

FREE = 64 * 2**20
"""Bytes that any file may unpack to."""

FOLD = 30
"""Times its own size that a file may unpack to beyond that. Tables and padded features come to a third of it."""

ROWS = 4_000_000
"""Rows of a table of utterances: ten times as many as the largest corpus has."""

TEXT = 65_536
"""Letters of a text in a description of a model; a card of one has a tenth."""

CELL = 131_072
"""Letters of a cell, which is also what a CSV table may have in one."""

NAME_MAX, PATH_MAX = 255, 4096
"""Bytes of a file's name that file systems hold, and of a path, with a NUL at its end, that Linux takes."""

COLUMNS = 20_000
"""Columns of a table: one a feature, and the widest set of features that is in use has 6,373."""


def require_unpacked(path: str | Path, unpacked: float, packed: int) -> None:
    """Raise Unreadable for a file of `packed` bytes that says it unpacks to far more of them."""
    if unpacked > max(FREE, FOLD * packed):
        raise Unreadable(
            f"{path} unpacks from {_size(packed)} to {_size(unpacked)}, far more than data does; it is damaged, or "
            "made to fill the memory: fetch it again from its source, or write it uncompressed"
        )


def size_of(path: str | Path) -> int:
    """Bytes of a file, of one with holes those that are there. Raises OSError."""
    found = Path(path).stat()
    return min(found.st_size, 512 * found.st_blocks + _INSIDE)


_INSIDE = 2**16
"""Bytes of a small file that file systems keep beside its name, and count as none."""


def read_content(path: str | Path, most: int, what: str, *, pipes: bool = False) -> bytes:
    """The bytes of a file, at most `most` of them: `what` ('a text file') never has more.

    Raises Unreadable for a file that cannot be read or has more, and, unless `pipes` are read to their end, for a pipe
    or device.
    """
    path = Path(path)
    if is_device(path):
        if not pipes:
            raise Unreadable(f"{shown(path)} is a pipe or a device and no file; give a file")
    elif os.path.isfile(path):  # noqa: PTH113 - it says no to what no file can be called
        require_unpacked(path, min(path.stat().st_size, most), size_of(path))
    try:
        with path.open("rb") as opened:
            content = opened.read(most + 1)
            size = max(os.fstat(opened.fileno()).st_size, len(content))
    except (OSError, ValueError) as error:  # ValueError of what no file can be called
        raise Unreadable(f"{shown(path)} cannot be read ({reason(error)}); check the file") from error
    if len(content) > most:
        has = _size(size) if size > len(content) else f"more than {_size(most)}"
        raise Unreadable(f"{shown(path)} has {has}, too much for {what}; is it the right file?")
    return content


def plain_json(text: str | bytes) -> Any:
    """What a JSON text holds: finite numbers of 64 bits, texts of at most `TEXT` letters, no deeper than Python goes.

    Raises ValueError for anything else.

    >>> plain_json('{"dropout": 0.1}')
    {'dropout': 0.1}
    """
    try:
        found = json.loads(text, parse_constant=_no_number)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    left = [found]
    while left:
        value = left.pop()
        if isinstance(value, dict):
            left += [*value, *value.values()]
        elif isinstance(value, list):
            left += value
        elif isinstance(value, str) and len(value) > TEXT:
            raise ValueError(f"it holds a text of {len(value)} letters")
        elif isinstance(value, int | float) and not -(2**63) <= value < 2**63:
            raise ValueError(f"it holds the number {str(value)[:20]}, beyond 64 bits")
    return found


def _no_number(word: str) -> float:
    raise ValueError(f"it holds {word}, which is no number")


def require_name(path: str | Path) -> None:
    """Raise UserError for what no file or folder can be called: nothing at all, or too much, or a NUL."""
    if not isinstance(path, str | os.PathLike):
        raise UserError(f"give a path, not {type(path).__name__}")
    text = str(path)
    try:
        longest, whole = max(map(len, os.fsencode(text).split(b"/"))), len(os.fsencode(text))
    except UnicodeEncodeError:  # half a character
        longest = whole = PATH_MAX
    if not text or longest > NAME_MAX or whole >= PATH_MAX or "\0" in text:
        what = "the empty path" if not text else ascii(shown(path))
        raise UserError(f"{what} can be the name of no file; correct the path")


def expanded(path: str | Path) -> Path:
    """A path that somebody gave, ~ followed where it is somebody's home. Raises UserError as `require_name`."""
    require_name(path)
    return Path(os.path.expanduser(path))  # noqa: PTH111 - which leaves ~ and the name of nobody as it is


def real(path: str | Path) -> Path:
    """A path, absolute, and links followed as far as they lead anywhere; Path.resolve fails of those in a circle.

    Raises UserError for a relative one where the current folder has been removed.
    """
    try:
        return Path(os.path.realpath(path))
    except FileNotFoundError:
        raise UserError(
            f"{path} is relative to the current folder, which has been removed; go to another"
        ) from None


def is_device(path: str | Path) -> bool:
    """Whether a path is there and neither a file nor a folder, so that reading it may never end."""
    try:
        mode = Path(path).stat().st_mode
    except (OSError, ValueError):
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def reason(error: Exception) -> str:
    """What the system says, or the first line of what a library says."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return first_line(error)


def shown(path: str | Path, most: int = 200) -> str:
    """A path for a sentence: of one that is longer, the beginning and the end."""
    text = str(path)
    return text if len(text) <= most else f"{text[: most // 2]}...{text[-most // 4 :]}"


def _size(count: float) -> str:
    units = ["bytes", "kB", "MB", "GB", "TB", "PB"]
    while count >= 1000 and len(units) > 1:
        count, units = count / 1000, units[1:]
    return f"{count:.3g} {units[0]}"
