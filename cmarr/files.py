"""Files that are either whole or not there: atomic writes, canonical JSON, content hashes."""

import contextlib
import errno
import hashlib
import json
import os
import platform
import re
import shutil
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cmarr import objects
from cmarr.errors import UserError

if TYPE_CHECKING:
    import pandas as pd


FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What the system says when a disk, a quota or a limit of files has no room."""

REFUSED = (
    errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ELOOP, errno.ENOTEMPTY,
    errno.EIO, errno.ENXIO, errno.ENODEV, errno.ESTALE, errno.ETXTBSY, errno.EBUSY,
)  # fmt: skip
"""What it says when a place is not this user's to write, is taken by something else, or fails."""


def refusal(error: OSError) -> str | None:
    """What to do about a file or folder that the system refuses, or has no room for; None for another kind of error."""
    place = error.filename2 or error.filename
    if error.errno in FULL:
        return _no_room(place or "what was to be written", error)
    if place is None and "temporary directory" in str(error):  # tempfile has tried all that it knows
        return f"{error.strerror}; make room in one of them, or name another in TMPDIR"
    if error.errno not in REFUSED or not place:
        return None
    return (
        f"{os.fsdecode(place) if isinstance(place, bytes) else place} cannot be used ({error.strerror}); mend its "
        "permissions, or move away what lies there"
    )


@contextlib.contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path; on success flush it to disk and rename it into place.

    After a kill at any moment `path` holds the old content or the new one, never a part. The temporary
    file of a failed write is removed; that of a killed process lies beside `path`, starts with '.' and ends in '.tmp',
    and goes when another process of this machine first writes into the folder.

    A link is written through, unless what it leads to is there and read-only to everyone, as files of caches are: then
    it is replaced. A device or a pipe, such as /dev/null and /dev/stdout, is written to once all is there, and so is an
    object of `cmarr.objects`.

    The file gets the permissions that the user's umask gives to new files, whoever writes it.

    Raises UserError where the disk is full, and OSError with the file's name where it cannot be written for another
    reason, whatever the library that tried has raised; `path` keeps what it held.
    """
    path = Path(path)
    temporary = None
    try:
        target = None if objects.is_remote(path) else _target(path)
        if not isinstance(target, Path):
            with tempfile.TemporaryDirectory(prefix="cmarr-") as scratch:
                yield (temporary := Path(scratch, path.name or "output"))
                if objects.is_remote(path):
                    objects.put(temporary, path)
                else:
                    _pour(temporary, path if target is None else target)
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        _sweep(target.parent)
        temporary = target.with_name(f".{_short(target.name)}.{_machine()}.{os.getpid()}.tmp")
        yield temporary
        _open_to_others(temporary)
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.replace(target)
    except (UserError, BrokenPipeError):
        raise
    except Exception as error:
        cause = _cause(error)
        if cause is not None and cause.errno in FULL:
            raise UserError(_no_room(path, cause)) from None
        if cause is not None and getattr(error, "filename", None) is None:
            raise OSError(cause.errno, cause.strerror, str(path)) from None
        raise
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def _short(name: str) -> str:
    """A file's name, or, of one that leaves no room for more beside it, a digest of it."""
    encoded = os.fsencode(name)
    return name if len(encoded) < 150 else hashlib.sha256(encoded).hexdigest()[:32]


def _target(path: Path) -> Path | int | None:
    """The file that a path stands for, links followed, whether it is there or not.

    The number of an open file of this process (/dev/stdout) where it is that; None for a device or a pipe.
    """
    place = path
    for _ in range(40):  # as many links as the kernel follows
        folder = os.path.realpath(place.parent)
        if folder == f"/proc/{os.getpid()}/fd" and place.name.isdigit():
            return int(place.name)
        if folder.startswith("/proc/"):
            return None
        if not place.is_symlink():
            there = place.exists() and not place.is_file() and not place.is_dir()
            return None if there else place
        leads_to = Path(folder, place.readlink())
        if leads_to.is_file() and not leads_to.is_symlink() and not leads_to.stat().st_mode & 0o222:
            return place
        place = leads_to
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))


def _pour(source: Path, device: int | Path) -> None:
    """Write what a file holds to an open file of this process, by its number, or to a device or pipe."""
    opened = os.dup(device) if isinstance(device, int) else os.open(device, os.O_WRONLY)
    with source.open("rb") as written, os.fdopen(opened, "wb") as out:  # buffered: it goes on after a part
        shutil.copyfileobj(written, out)


def _cause(error: BaseException) -> OSError | None:
    """What the system said, which libraries that failed to write pass on, hold back or put into words."""
    chain: BaseException | None = error
    while chain is not None:
        number = chain.errno if isinstance(chain, OSError) else None
        if number is None and (told := _TOLD.search(str(chain))):
            number = int(told[1])
        if number is not None:
            return OSError(number, os.strerror(number), getattr(chain, "filename", None))
        chain = chain.__cause__ or chain.__context__
    return None


_TOLD = re.compile(r"\(os error (\d+)\)")


def _no_room(place: object, error: OSError) -> str:
    return (
        f"{place} cannot be written ({os.strerror(error.errno or 0)}): the disk, a quota or the largest size of a file "
        "is full; make room and run again, what was finished before is kept"
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
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def is_left_over(path: Path) -> bool:
    """Whether a file looks like one that a killed writer has left."""
    return path.name.startswith(".") and path.name.endswith(".tmp") and path.name.count(".") >= 4


@contextlib.contextmanager
def scratch(folder: Path) -> Iterator[Path]:
    """A folder inside another for what is under way; that of a killed process goes when the next one begins."""
    _sweep(folder)
    own = f".{_machine()}.{os.getpid()}.tmp"
    with tempfile.TemporaryDirectory(dir=folder, prefix=".unfinished-", suffix=own) as made:
        yield Path(made)


@cache
def _machine() -> str:
    # nodes of a cluster share folders, but not the numbers of processes
    return platform.node().replace(".", "-") or "here"


def put_in_place(source: Path, target: Path) -> None:
    """Let a whole file have a second name, or, where there are no hard links to it, a copy; atomically."""
    if objects.is_remote(target):
        objects.copy(source, target)
        return
    with atomic(target) as temporary, objects.local(source) as file:
        try:
            os.link(file, temporary)
        except OSError:
            shutil.copyfile(file, temporary)


def write_text(path: str | Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_bytes(path: str | Path, content: bytes) -> None:
    """Write bytes atomically."""
    with atomic(path) as temporary:
        temporary.write_bytes(content)


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
    with objects.opened(path) as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def folder_digest(folder: str | Path) -> str:
    """SHA-256 (hex) over the relative names and bytes of all files below a folder."""
    return digest({name: file_digest(path) for name, path in objects.below(folder).items()})
