"""Object storage: what a path such as s3://bucket/study names, wherever a file of ours is written or read again.

`pathlib` takes such a name for a relative path whose first part is `s3:`, so that it goes through settings, jobs and
`folder / name` as every other does. Here is where it becomes an object, through `fsspec`; what reads a file asks
`is_remote` first, and ordinary paths go on as they always did.

An object is put with one request, so that it is whole or not there; it is sealed before. Credentials and the address of
the store come from the environment (AWS_ACCESS_KEY_ID, AWS_ENDPOINT_URL, ...).
"""

import contextlib
import errno
import io
import os
import tempfile
from collections.abc import Iterator
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any

from cmarr.budgets import real
from cmarr.errors import STORES, UserError, first_line

PART = 1 << 16
"""Bytes that are fetched at once of an object of which only a part is wanted."""


def is_remote(path: str | Path) -> bool:
    """Whether a path names an object.

    >>> is_remote("s3://bucket/study/folds.parquet"), is_remote(Path("s3://bucket") / "study"), is_remote("data/s3/x")
    (True, True, False)
    """
    parts = Path(path).parts
    return bool(parts) and parts[0] in STORES


def absence(path: str | Path) -> str:
    """What to say of a path that is no file here, where files are read and no objects."""
    return "lies on object storage; copy it here" if is_remote(path) else "does not exist"


def absolute(path: Path) -> Path:
    """As `Path.resolve`, which would take an object for a file of the folder that one is in."""
    return path if is_remote(path) else real(path)


def read(path: str | Path) -> bytes:
    """All bytes of an object. Raises FileNotFoundError, and OSError where the store does not give it."""
    store, key = _located(path)
    with _plain(path):
        content: bytes = store.cat_file(key)
    return content


@contextlib.contextmanager
def opened(path: str | Path) -> Iterator[io.BufferedReader]:
    """An object or a file, to be read in part. Raises as `read` and `Path.open` do."""
    if not is_remote(path):
        with Path(path).open("rb") as file:
            yield file
        return
    store, key = _located(path)
    with _plain(path):
        part = store.open(key, "rb", block_size=PART)
    with (
        part,
        _plain(path, (UserError, ValueError)),
    ):  # what the reader finds wrong with the content is its own
        yield part


def fetch(path: str | Path, file: Path) -> None:
    """Copy an object into a file, in pieces. Raises as `read`."""
    store, key = _located(path)
    with _plain(path):
        store.get_file(key, str(file))


def source(path: str | Path) -> Any:
    """What pyarrow reads a table from: the path, or the object's bytes."""
    return io.BytesIO(read(path)) if is_remote(path) else path


@contextlib.contextmanager
def local(path: str | Path) -> Iterator[Path]:
    """A path for libraries that open files themselves: the file, or a copy of the object while the block lasts.

    What is said of the copy is said of the object. Raises as `read`.
    """
    if not is_remote(path):
        yield Path(path)
        return
    with tempfile.TemporaryDirectory(prefix="cmarr-") as scratch:
        copy = Path(scratch, Path(path).name)
        fetch(path, copy)
        try:
            yield copy
        except UserError as error:
            error.args = tuple(str(arg).replace(str(copy), str(path)) for arg in error.args)
            raise


def put(file: Path, path: str | Path) -> None:
    """Make a file's bytes the object, at once. Raises OSError."""
    store, key = _located(path)
    with _plain(path):
        store.pipe_file(key, file.read_bytes())


def copy(source: str | Path, target: str | Path) -> None:
    """Give an object or a file another place, or a copy of it; neither is opened where both are in one store."""
    if is_remote(source) and is_remote(target) and Path(source).parts[0] == Path(target).parts[0]:
        (store, key), (_, other) = _located(source), _located(target)
        with _plain(target):
            store.cp_file(key, other)
        return
    with local(source) as file:
        put(file, target)


def is_file(path: str | Path) -> bool:
    """Whether there is such an object, or such a file. Raises OSError where the store does not say."""
    if not is_remote(path):
        return Path(path).is_file()
    store, key = _located(path)
    with _plain(path):
        return bool(store.isfile(key))


def found(folder: str | Path, pattern: str) -> list[Path]:
    """The objects, or files, directly in a folder whose names match, in order of their names."""
    if not is_remote(folder):
        return sorted(Path(folder).glob(pattern))
    store, key = _located(folder)
    with _plain(folder):
        try:
            names = [Path(name).name for name in store.ls(key, detail=False)]
        except FileNotFoundError:
            names = []
    return sorted(Path(folder) / name for name in names if fnmatchcase(name, pattern))


def sizes(folder: str | Path) -> dict[str, int]:
    """Name -> bytes, of the objects directly in a folder on object storage. Raises OSError."""
    store, key = _located(folder)
    with _plain(folder):
        try:
            entries = store.ls(key, detail=True)
        except FileNotFoundError:
            entries = []
    return {Path(one["name"]).name: int(one["size"] or 0) for one in entries if one["type"] == "file"}


def below(folder: str | Path) -> dict[str, Path]:
    """Relative name -> object or file, of all below a folder, in order of their names."""
    if is_remote(folder):
        store, key = _located(folder)
        with _plain(folder):
            names = [name.strip("/").removeprefix(f"{key.strip('/')}/") for name in store.find(key)]
        return {name: Path(folder, name) for name in sorted(names)}
    files = [path for path in sorted(Path(folder).rglob("*")) if path.is_file()]
    return {str(path.relative_to(folder)): path for path in files}


def remove(path: str | Path) -> None:
    """Remove an object or a file, if it is there."""
    if not is_remote(path):
        Path(path).unlink(missing_ok=True)
        return
    store, key = _located(path)
    with _plain(path), contextlib.suppress(FileNotFoundError):
        store.rm_file(key)


def _located(path: str | Path) -> tuple[Any, str]:
    scheme, *parts = Path(path).parts
    return _store(scheme.removesuffix(":"), os.getpid()), "/".join(parts)


@cache
def _store(scheme: str, process: int) -> Any:
    """The file system of fsspec; a process that was forked needs one of its own."""
    try:
        import fsspec

        return fsspec.filesystem(scheme, use_listings_cache=False)
    except (ImportError, ValueError) as error:
        raise UserError(
            f"{scheme}:// cannot be used ({first_line(error)}); pip install 'cmarr[objects]' for s3, or what "
            "fsspec needs for another store"
        ) from None


@contextlib.contextmanager
def _plain(path: str | Path, passed: tuple[type[Exception], ...] = ()) -> Iterator[None]:
    """Whatever a store's library raises is an OSError with the object's name; errors `passed` stay as they are."""
    try:
        yield
    except passed:
        raise
    except (FileNotFoundError, PermissionError, IsADirectoryError) as error:
        number = error.errno or {FileNotFoundError: errno.ENOENT, PermissionError: errno.EACCES}.get(
            type(error)
        )
        raise type(error)(number or errno.EISDIR, error.strerror or first_line(error), str(path)) from None
    except Exception as error:
        raise OSError(errno.EIO, first_line(error), str(path)) from error
