"""Worker processes that decode media, so that no file can take the run down or hold it up.

Native decoders can crash or hang on hostile bytes; a thread could be neither stopped nor survived.
The workers are plain child processes and not a `multiprocessing` pool, because a pool can replace
neither one stuck nor one dead worker, and because its children import the parent's main script.
"""

import atexit
import contextlib
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import wait
from multiprocessing.spawn import get_executable
from typing import Any

from cmarr.errors import UserError
from cmarr.media.clips import Clip, Failure
from cmarr.media.worker import PARENTS, READY, receive

IN_FLIGHT = 16
"""Clips per worker that may be under way, or done and waiting for an earlier one. Two groups per worker may be so
in any case, or long dialogues would keep all workers but one waiting."""

START_LIMIT = 300.0
"""Seconds a worker may take to import its libraries; generous, for a loaded machine or a slow disk."""

Function = Callable[[Sequence[Clip]], Iterable[Any]]


def decode(
    factory: Callable[[], Function],
    groups: Iterable[Sequence[Clip]],
    workers: int = 2,
    seconds: float = 60.0,
) -> Iterator[Any]:
    """Results of `factory()` for all clips, in order, computed in `workers` single-threaded processes.

    factory: picklable and importable by name; called once in each worker, it returns the function
        that turns a group of clips (all of one file) into one result a clip
    seconds: time limit per clip; a group may take this times its size

    A result is what the function gave, or a Failure with one sentence: the function raised, the
    worker died, or it took too long. A group that ends its worker is tried again clip by clip, so that
    one bad clip does not cost its neighbours; the worker is replaced. Groups are drawn as results are
    taken, so memory does not grow with their number. The workers end with the results, unless
    `keep_workers` has asked for them. Raises UserError when a worker cannot start.
    """
    source, key = iter(groups), pickle.dumps(factory)
    pool: list[_Worker] = []
    waiting: deque[_Job] = deque()
    results: dict[int, Any] = {}
    ends: deque[int] = deque()  # where each group ends that has not been given whole
    drawn = given = 0
    try:
        while True:
            while sum(worker.job is not None for worker in pool) < workers:
                room = drawn - given < IN_FLIGHT * workers or len(ends) < 2 * workers
                if not waiting and room and (group := next(source, None)):
                    waiting.append(_Job(drawn, group))
                    drawn += len(group)
                    ends.append(drawn)
                if not waiting:
                    break
                idle = next((worker for worker in pool if worker.job is None), None)
                if idle is None:
                    pool.append(idle := IDLE.take(key) or _Worker(key))
                idle.take(waiting.popleft(), seconds)
            if given == drawn:
                return
            if given not in results:
                for job, outcome in _collect(pool):
                    if not isinstance(outcome, Failure):
                        results.update(enumerate(outcome, job.first))
                    elif len(job.clips) == 1:
                        results[job.first] = outcome
                    else:
                        waiting.extend(_Job(job.first + i, [clip]) for i, clip in enumerate(job.clips))
            while given in results:
                yield results.pop(given)
                given += 1
                if given == ends[0]:
                    ends.popleft()
    finally:
        for worker in pool:
            if worker.job is None:
                IDLE.give(key, worker)
            else:
                worker.end()


@contextlib.contextmanager
def keep_workers(factories: Sequence[Callable[[], Function]], workers: int) -> Iterator[None]:
    """While this is open, `decode` leaves up to `workers` processes of each factory running for its next call.

    One of each is started at once; they load their libraries side by side while the caller goes on.
    """
    keys = [pickle.dumps(factory) for factory in factories]
    for key in keys:
        IDLE.keep(key, workers)
    try:
        for key in keys:
            IDLE.give(key, IDLE.take(key) or _Worker(key))
        yield
    finally:
        for key in keys:
            IDLE.release(key, workers)


@dataclass(frozen=True)
class _Job:
    """Neighbouring clips; `first` is the place of the first one in the order of all clips."""

    first: int
    clips: Sequence[Clip]


class _Worker:
    """One child process, and what it is busy with."""

    def __init__(self, factory: bytes):
        self.connection, theirs = Pipe()
        single = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
        # The same modules as here, wherever those came from; -P keeps the working folder out of it.
        path = os.pathsep.join(entry for entry in sys.path if entry)
        with theirs, _signals_wait():
            self.process = subprocess.Popen(
                [get_executable(), "-P", "-m", "cmarr.media.worker", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env={**os.environ, **single, "PYTHONPATH": path},
            )
        self.connection.send_bytes(factory)
        self.started = False
        self.deadline = time.monotonic() + START_LIMIT
        self.job: _Job | None = None
        self.seconds = 0.0

    def take(self, job: _Job, seconds: float) -> None:
        """Start on a job; its time counts from when the worker has loaded its libraries."""
        self.job, self.seconds = job, seconds * len(job.clips)
        if self.started:
            self.deadline = time.monotonic() + self.seconds
        with contextlib.suppress(OSError):  # died while idle: receiving says so
            self.connection.send((job.clips, self.seconds))

    def receive(self) -> list[Any] | Failure | None:
        """The results of the job, why there are none, or None while there is nothing yet.

        Call it when the connection is ready, or the deadline has passed.
        """
        assert self.job is not None
        if not self.connection.poll():
            self.end()
            if not self.started:
                raise UserError(f"a worker process did not start within {START_LIMIT:g} s; is the disk slow?")
            return Failure(
                f"decoding took longer than {self.seconds / len(self.job.clips):g} s "
                f"on {self.job.clips[0].path}"
            )
        try:
            message = receive(self.connection)
        except (EOFError, OSError):
            self.end()
            if not self.started:
                raise UserError(f"a worker process ended while starting ({self._ending()})") from None
            return Failure(f"the decoder crashed ({self._ending()}) on {self.job.clips[0].path}")
        if self.started:
            results: list[Any] = message
            return results
        if message != READY:
            user_error, text = message
            raise UserError(text) if user_error else RuntimeError(f"a worker could not start:\n{text}")
        self.started = True
        self.deadline = time.monotonic() + self.seconds
        return None

    def alive(self) -> bool:
        """True while the process runs."""
        return self.process.poll() is None

    def _ending(self) -> str:
        code = self.process.returncode
        if code == -signal.SIGPROF:
            return "all its processor time used up"
        return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"

    def end(self) -> None:
        """Stop the process, whatever it is doing, and wait until it is gone."""
        if not self.connection.closed:
            self.connection.close()
            try:
                self.process.wait(0.2 if self.job is None else 0.0)
            except subprocess.TimeoutExpired:
                self.process.kill()
            self.process.wait()


@contextlib.contextmanager
def _signals_wait() -> Iterator[None]:
    """A process started meanwhile does not hear what its parent handles, not even before it can say so itself."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, PARENTS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _collect(pool: list[_Worker]) -> Iterator[tuple[_Job, list[Any] | Failure]]:
    """Wait until some worker has finished, died or run out of time; each job ended that way."""
    busy = [worker for worker in pool if worker.job is not None]
    left = min(worker.deadline for worker in busy) - time.monotonic()
    ready = wait([worker.connection for worker in busy], max(left, 0.0))
    now = time.monotonic()
    for worker in busy:
        if worker.connection not in ready and worker.deadline > now:
            continue
        job, outcome = worker.job, worker.receive()
        if outcome is None:
            continue
        worker.job = None
        if worker.connection.closed:
            pool.remove(worker)
        assert job is not None
        yield job, outcome


class IdleWorkers:
    """Idle workers by the factory they were started with, as many as somebody has asked to keep.

    Nothing is kept of a factory that nobody has asked for: a run over a corpus leaves no process behind.
    Safe to use from several threads.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._most: dict[bytes, list[int]] = defaultdict(list)
        self._idle: dict[bytes, list[_Worker]] = defaultdict(list)

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

    def take(self, key: bytes) -> _Worker | None:
        """An idle worker that is alive, the one used last first; None where there is none."""
        while True:
            with self._lock:
                if not self._idle[key]:
                    return None
                worker = self._idle[key].pop()
            if worker.alive():
                return worker
            worker.end()

    def give(self, key: bytes, worker: _Worker) -> None:
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


IDLE = IdleWorkers()
"""Those of this process."""

atexit.register(IDLE.end)
