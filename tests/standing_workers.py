"""Workers that stay from one test to the next, and are forked, so that their libraries are imported once."""

import multiprocessing
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from cmarr.media import worker_pool
from cmarr.media.worker_pool import IdleWorkers
from tests.warm import python

MOST = 6
"""Idle processes at a time, of about 100 MB each; those that were used last stay."""


class Standing(IdleWorkers):
    """Keeps workers whether or not somebody asks, each for those who work in the folder in which it was used."""

    def __init__(self) -> None:
        super().__init__()
        self.own = threading.Lock()
        self.kept: list[tuple[bytes, Path, Any]] = []

    def take(self, key: bytes) -> Any:
        while True:
            with self.own:
                places = [i for i, kept in enumerate(self.kept) if kept[:2] == (key, Path.cwd())]
                if not places:
                    return None
                *_, worker = self.kept.pop(places[-1])
            if worker.alive():
                return worker
            worker.end()

    def give(self, key: bytes, worker: Any) -> None:
        with self.own:
            self.kept.append((key, Path.cwd(), worker))
            surplus, self.kept = self.kept[:-MOST], self.kept[-MOST:]
        for *_, old in surplus:
            old.end()

    def end(self) -> None:
        with self.own:
            ended, self.kept = self.kept, []
        for *_, worker in ended:
            worker.end()


@contextmanager
def standing_workers() -> Iterator[None]:
    """While this is open, `decode` finds the workers of earlier calls, and new processes are forked."""
    kept = Standing()
    if "PYTEST_XDIST_WORKER" in os.environ:  # for the tests of a file or two it would not pay
        multiprocessing.set_executable(python())
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(worker_pool, "IDLE", kept)
        yield
    kept.end()
