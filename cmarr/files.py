"""Files that are either whole or not there: atomic writes, canonical JSON, content hashes."""

import contextlib
import errno
import hashlib
import json
import os
import platform
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cmarr.errors import UserError

if TYPE_CHECKING:
    import pandas as pd


FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What the system says when a disk, a quota or a limit of files has no room."""

REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ELOOP)
"""What it says when a place is not this user's to write, or is taken by something else."""


def refusal(error: OSError) -> str | None:
    """What to do about a file or folder that the system refuses; None for an error of another kind."""
    if error.errno not in REFUSED or not error.filename:
        return None
    return (
        f"{error.filename2 or error.filename} cannot be used ({error.strerror}); mend its permissions, or move away "
        "what lies there"
    )


@contextlib.contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success flush it to disk and rename it into place.

    After a kill at any moment `path` holds the old content or the new one, never a part. The temporary
    file of a failed write is removed; that of a killed process starts with '.' and ends in '.tmp', and goes
    when another process of this machine first writes into the folder.

    The file gets the permissions that the user's umask gives to new files, whoever writes it.

    Raises UserError where the disk is full, and OSError with the file's name where it cannot be written for another
    reason, whatever the library that tried has raised; `path` keeps what it held.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        if error.errno in FULL:
            raise _no_room(path) from None
        raise
    _sweep(path.parent)
    temporary = path.with_name(f".{path.name}.{_machine()}.{os.getpid()}.tmp")
    try:
        yield temporary
        _open_to_others(temporary)
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.replace(path)
    except UserError:
        raise
    except Exception as error:
        obstacle = _obstacle(temporary)
        if obstacle and obstacle.errno in FULL:
            raise _no_room(path) from None
        if obstacle and obstacle.errno in REFUSED and not isinstance(error, OSError):
            raise obstacle from None
        raise
    finally:
        temporary.unlink(missing_ok=True)


def _no_room(path: Path) -> UserError:
    return UserError(
        f"{path} cannot be written: the disk (or a quota, or the largest size of a file) is full; make room and run "
        "again, what was finished before is kept"
    )


def _open_to_others(temporary: Path) -> None:
    """Give a file its usual permissions: safetensors makes files that nobody but their owner can read."""
    usual = 0o666 & ~_umask()
    if temporary.stat().st_mode & 0o777 != usual:
        with contextlib.suppress(OSError):  # some file systems know no permissions
            temporary.chmod(usual)


@cache
def _umask() -> int:
    kept = os.umask(0o077)  # it can only be read by setting it
    os.umask(kept)
    return kept


def _obstacle(temporary: Path) -> OSError | None:
    """What keeps one more block from being written. Libraries that failed to write seldom say why."""
    try:
        with temporary.open("ab", buffering=0) as probe:
            probe.write(bytes(1 << 16))
            os.fsync(probe.fileno())
    except OSError as error:
        return error
    return None


_swept: set[tuple[int, Path]] = set()


def _sweep(folder: Path) -> None:
    """Remove, once for each process and folder, what writers on this machine have left that are dead."""
    key = (os.getpid(), folder.absolute())
    if key in _swept:
        return
    _swept.add(key)
    for path in folder.glob(f".*.{_machine()}.*.tmp"):
        process = path.name.split(".")[-2]
        if process.isdigit() and not Path(f"/proc/{process}").exists() and Path("/proc/self").exists():
            path.unlink(missing_ok=True)


def is_left_over(path: Path) -> bool:
    """Whether a file looks like one that a killed writer has left."""
    return path.name.startswith(".") and path.name.endswith(".tmp") and path.name.count(".") >= 4


@cache
def _machine() -> str:
    # nodes of a cluster share folders, but not the numbers of processes
    return platform.node().replace(".", "-") or "here"


def write_text(path: str | Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_csv(path: str | Path, frame: "pd.DataFrame") -> None:
    """Write a data frame as CSV atomically, without its index."""
    with atomic(path) as temporary:
        frame.to_csv(temporary, index=False)


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and fixed spacing: equal values give equal text."""
    return json.dumps(value, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def write_json(path: str | Path, value: Any) -> None:
    """Write canonical JSON atomically; NaN is refused (write None for a value that does not exist)."""
    write_text(path, canonical_json(value))


def read_json(path: str | Path) -> Any:
    """Read a JSON file."""
    return json.loads(Path(path).read_text(encoding="utf-8"))


def digest(value: Any) -> str:
    """SHA-256 (hex) of a JSON-able value, independent of the order of its keys."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def file_digest(path: str | Path) -> str:
    """SHA-256 (hex) of a file's bytes."""
    with Path(path).open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def folder_digest(folder: str | Path) -> str:
    """SHA-256 (hex) over the relative names and bytes of all files below a folder."""
    folder = Path(folder)
    return digest(
        {str(p.relative_to(folder)): file_digest(p) for p in sorted(folder.rglob("*")) if p.is_file()}
    )
