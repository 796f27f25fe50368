"""State of unfinished work. DVC deletes a stage's outputs before it runs, so this lies outside them."""

import fcntl
import platform
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from cmarr.files import digest
from stages.stage import work_folder

KEEP_DAYS = 30
"""Days after which the state of work that nobody went on with is removed."""


@contextmanager
def unfinished(name: str, inputs: Any) -> Iterator[Path]:
    """A folder that a killed stage finds again, as long as its inputs, its code among them, are the same.

    `inputs` is any JSON-able value that names all the stage depends on: its resolved settings with the digest of
    its code, and hashes of files. Another value or another torch gives another folder, so nothing stale is picked
    up. The folder is removed when the block ends well; a second process waits until the first is done.
    """
    key = digest([inputs, version("torch"), platform.python_version()])[:16]
    parent = work_folder("unfinished")
    parent.mkdir(parents=True, exist_ok=True)
    _forget_old(parent)
    folder = parent / f"{name}-{key}"
    with (parent / f"{name}-{key}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"{name}: another process is at the same work; waiting for it to end", file=sys.stderr)
            fcntl.flock(lock, fcntl.LOCK_EX)
        folder.mkdir(exist_ok=True)
        yield folder
        shutil.rmtree(folder)


def _forget_old(parent: Path) -> None:
    for path in parent.iterdir():
        if time.time() - path.stat().st_mtime > KEEP_DAYS * 86400:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
