"""What lies in a corpus folder: its files in a fixed order, and a fingerprint that changes when they do."""

import hashlib
import os
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

from cmarr.budgets import shown
from cmarr.errors import UserError
from cmarr.files import file_digest
from cmarr.media.endings import AUDIO, VIDEO
from cmarr.utterance import Rejected, Utterance, readable

REPEATED = 5_000
"""Entries of folders that may be met again, over links, beside ten times as many as are met at first."""

CONTENT_LIMIT = 256 * 2**20
"""Up to this many bytes a corpus is fingerprinted by content, above it by size and time of change."""

_LITTER = {"__MACOSX", "Thumbs.db", "desktop.ini"}


def corpus_files(root: str | Path, suffixes: Collection[str] = ()) -> list[Path]:
    """All files below `root`, sorted, links followed; hidden files and the litter of desktops left out.

    A link to what is not there counts as a file, lest what was not fetched pass for what does not exist.

    `suffixes` (lower case, with the dot) keeps files with one of them, whatever their case. Raises
    UserError for a folder that may not be read.
    """
    found = [Path(path) for path in files_below(root)[0]]
    return sorted(p for p in found if not suffixes or p.suffix.lower() in suffixes)


_WORKBOOKS = (".xlsx", ".xlsm", ".xls", ".ods", ".json", ".jsonl")
"""Endings of files that others keep tables in."""


def chosen_file(
    root: Path, option: str, named: str | None, found: Sequence[Path], what: str, expected: str
) -> Path:
    """The file that `options.<option>` names inside the root (which may be the file), or the only one found.

    what: plural of such files, and `expected` what should be there, for messages. Raises UserError for a name that is
    not there, and where not exactly one is found.
    """
    if named is not None and not root.is_file():
        if not (root / named).is_file():
            raise UserError(
                f"{root / named} does not exist; options.{option} names one of the {what} inside the root"
            )
        return root / named
    if len(found) == 1:
        return found[0]
    if not found:
        books = sorted(p.name for p in root.glob("*") if p.suffix.lower() in _WORKBOOKS)
        hint = f"; {books[0]} is none: save it as CSV" if books else ""
        raise UserError(
            f"{root} holds no {what}; expected {expected}, or the one that options.{option} names{hint}"
        )
    names = ", ".join(str(p.relative_to(root)) for p in found)
    raise UserError(f"{root} holds several {what} ({names}); name one with options.{option}")


def inventory(
    root: str | Path, files: Iterable[Path] | None = None, content_limit: int = CONTENT_LIMIT
) -> dict[str, Any]:
    """Count a corpus and fingerprint it: `files`, `bytes`, `fingerprint`, `by`.

    `files` narrows the look to the files a reader really uses (default: all below `root`); those that
    do not exist are left out, so that their coming changes the fingerprint. Relative names and contents
    make the fingerprint of a corpus of up to `content_limit` bytes, equal on every machine; a larger
    one is not read through each time: relative names, sizes and times of change (in seconds) stand for it.
    """
    root = Path(root)
    base = root if root.is_dir() else root.parent
    sizes = {}
    for path in sorted(set(corpus_files(root) if files is None else files)):
        if path.is_file():
            sizes[path] = path.stat()
    total = sum(stat.st_size for stat in sizes.values())
    by_content = total <= content_limit
    collected = hashlib.sha256()
    for path, stat in sizes.items():
        mark = file_digest(path) if by_content else str(int(stat.st_mtime))
        name = os.fsencode(os.path.relpath(path, base))
        collected.update(name + f"\0{stat.st_size}\0{mark}\n".encode())
    return {
        "files": len(sizes),
        "bytes": total,
        "fingerprint": collected.hexdigest(),
        "by": "content" if by_content else "size and time",
    }


def unnamed_media(
    root: str | Path, utterances: Iterable[Utterance], rejected: Iterable[Rejected]
) -> dict[str, list[str]]:
    """Ending -> the media files below the root that no utterance names, relative to it and sorted.

    Of a corpus that is one table, those beside the media that it names. What stands first in the reason of something
    rejected is told there, and not here again.
    """
    root = Path(root)
    named = {os.path.realpath(p) for u in utterances for p in (u.audio, u.video) if p}
    if root.is_dir():
        files = corpus_files(root, {*AUDIO, *VIDEO})
    else:  # around it may lie anything
        root = Path(os.path.realpath(root)).parent
        folders = sorted({Path(p).parent for p in named})
        found = (path for folder in folders if folder.is_relative_to(root) for path in folder.glob("[!.]*"))
        files = sorted(path for path in found if path.suffix.lower() in {*AUDIO, *VIDEO})
    told = {r.reason.split(": ")[0] for r in rejected}
    left: dict[str, list[str]] = {}
    for file in files:
        name = readable(str(file.relative_to(root)))
        if os.path.realpath(file) not in named and name not in told:
            left.setdefault(file.suffix.lower(), []).append(name)
    return dict(sorted(left.items()))


def files_below(root: str | Path) -> tuple[list[str], int]:
    """Paths of the files below a folder (or of the file itself), unsorted, and how much was left out."""
    found: list[str] = []
    once = again = hidden = 0
    known: set[str] = set()
    left: list[tuple[str, str, frozenset[str]]] = [(str(root), os.path.realpath(root), frozenset())]
    while left:  # and no function that calls itself: folders may lie deeper than it could
        folder, real, above = left.pop()
        if real in above:  # a link back to a folder it lies in
            continue
        try:
            with os.scandir(folder) as scanned:
                entries = list(scanned)
        except NotADirectoryError:
            found.append(folder)
            continue
        except OSError as error:
            raise UserError(
                f"{shown(folder)} cannot be read ({error.strerror}); check its permissions"
            ) from error
        once, again = (once, again + len(entries)) if real in known else (once + len(entries), again)
        known.add(real)
        if again > REPEATED + 10 * once:
            raise UserError(
                f"{shown(root)} holds links to folders that hold links to folders: {again:,} of what is in it was "
                f"met before; remove the links, as that to {shown(real)}"
            )
        for entry in entries:
            if entry.name.startswith(".") or entry.name in _LITTER:
                hidden += 1
            elif os.path.isdir(entry.path) if entry.is_symlink() else entry.is_dir():  # noqa: PTH112 - of a link to itself
                inside = os.path.join(real, entry.name)  # noqa: PTH118
                inside = os.path.realpath(inside) if entry.is_symlink() else inside
                left.append((entry.path, inside, above | {real}))
            elif entry.is_symlink() or entry.is_file():
                found.append(entry.path)
            else:  # a pipe or a device: whoever opens it may wait forever
                hidden += 1
    return found, hidden
