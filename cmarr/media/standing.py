"""Worker processes that wait for the next call, for a program that reads clip after clip."""

import atexit
import threading
from collections import defaultdict
from typing import Protocol


class Waiting(Protocol):
    """What can stand by: a worker that tells whether it lives and can be ended."""

    def alive(self) -> bool:
        """True while the process runs."""
        ...

    def end(self) -> None:
        """Stop the process and wait until it is gone."""
        ...


class Standing:
    """Idle workers by the factory they were started with, as many as somebody has asked to keep.

    Nothing is kept of a factory that nobody has asked for: a run over a corpus leaves no process behind.
    Safe to use from several threads.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._most: dict[bytes, list[int]] = defaultdict(list)
        self._idle: dict[bytes, list[Waiting]] = defaultdict(list)

    def keep(self, key: bytes, most: int) -> None:
        """From now on up to `most` idle workers of the factory `key` are kept."""
        with self._lock:
            self._most[key].append(most)

    def release(self, key: bytes, most: int) -> None:
        """Undo one `keep`; the workers that nobody asks for any more are ended."""
        with self._lock:
            self._most[key].remove(most)
            kept = max(self._most[key], default=0)
            surplus = self._idle[key][kept:]
            del self._idle[key][kept:]
        for worker in surplus:
            worker.end()

    def take(self, key: bytes) -> Waiting | None:
        """An idle worker that is alive, the one used last first; None where there is none."""
        while True:
            with self._lock:
                if not self._idle[key]:
                    return None
                worker = self._idle[key].pop()
            if worker.alive():
                return worker
            worker.end()

    def give(self, key: bytes, worker: Waiting) -> None:
        """Hand over a worker that is idle; it is kept, or ended."""
        with self._lock:
            if len(self._idle[key]) < max(self._most[key], default=0) and worker.alive():
                self._idle[key].append(worker)
                return
        worker.end()

    def end(self) -> None:
        """End every idle worker."""
        with self._lock:
            workers = [worker for idle in self._idle.values() for worker in idle]
            self._idle.clear()
        for worker in workers:
            worker.end()


STANDING = Standing()
"""Those of this process."""

atexit.register(STANDING.end)
