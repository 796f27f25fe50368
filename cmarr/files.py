"""Files that are either whole or not there: atomic writes, canonical JSON, content hashes."""

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


@contextlib.contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success flush it to disk and rename it into place.

    After a kill at any moment `path` holds the old content or the new one, never a part. The temporary
    file of a failed write is removed; that of a killed one starts with '.' and ends in '.tmp'.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


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
