"""Units of work in processes of this machine: the same results whatever their number, none left behind."""

import contextlib
import ctypes
import multiprocessing
import os
import signal
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection
from multiprocessing.reduction import ForkingPickler
from types import ModuleType
from typing import Any, TypeVar

from cmarr.errors import UserError
from cmarr.progress import progress_bar

J = TypeVar("J")
R = TypeVar("R")
Tick = Callable[[], None]

_PR_SET_PDEATHSIG = 1


def worker_count(setting: str | int, threads: int = 1) -> int:
    """Processes to use: the setting, or for 'auto' the usable cores divided by the threads of one unit.

    Raises UserError for what is neither.
    """
    if setting != "auto":
        if not str(setting).isdecimal() or not int(setting):
            raise UserError(f"workers: must be 1 or more processes, or auto, not {setting!r}")
        return int(setting)
    return max(1, len(os.sched_getaffinity(0)) // threads)


def run_locally(
    function: Callable[[J, Tick], R],
    jobs: Sequence[J],
    *,
    workers: int,
    threads: int,
    label: str,
    unit: str,
    units_per_job: int,
) -> list[R]:
    """Results of `function(job, tick)` in the order of the jobs; see `cmarr.execution.jobs.run_jobs`.

    This process is one of the workers and takes jobs from the end; the others are processes that take them from the
    beginning, and die with this one, also when it is killed.
    """
    bar = progress_bar(len(jobs) * units_per_job, label, unit)
    counting = threading.Lock()

    def tick() -> None:
        with counting:
            bar.update()

    left, results, failures = deque(range(len(jobs))), dict[int, R](), list[BaseException]()
    dead = UserError(
        f"{label}: a worker process died (killed, or out of memory); run again to go on where it stopped, with fewer "
        "workers if memory is short"
    )
    with bar, _workers(min(workers, len(jobs)) - 1, function, threads) as others:
        set_threads(threads)
        handing = [
            threading.Thread(
                target=_hand_out, args=(other, jobs, left, results, failures, tick, dead), daemon=True
            )
            for other in others
        ]
        for thread in handing:
            thread.start()
        try:
            while (index := _taken(left.pop)) is not None:
                results[index] = function(jobs[index], tick)
        finally:
            left.clear()  # after an error what is not begun stays so; what is under way is waited for
            for thread in handing:
                thread.join()
    if failures:
        raise failures[0]
    return [results[index] for index in range(len(jobs))]


THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""What numeric libraries look at when they are loaded."""


def set_threads(threads: int) -> None:
    """CPU threads of whatever computes in this process from now on. Sums depend on it, so a unit always has its own."""
    import torch
    from threadpoolctl import threadpool_limits

    os.environ.update(dict.fromkeys(THREADS, str(threads)))  # for libraries that are loaded later
    torch.set_num_threads(threads)
    threadpool_limits(threads)  # NumPy's and SciPy's: two pools on two cores would each take both


def _taken(take: Callable[[], int]) -> int | None:
    try:
        return take()
    except IndexError:  # nothing is left
        return None


def _hand_out(
    worker: Connection,
    jobs: Sequence[J],
    left: deque[int],
    results: dict[int, R],
    failures: list[BaseException],
    tick: Tick,
    dead: UserError,
) -> None:
    """Give a worker one job after the other, from the beginning, until none is left; in a thread of this process."""
    while (index := _taken(left.popleft)) is not None:
        try:
            worker.send(jobs[index])
            while (result_or_error := worker.recv()) is None:
                tick()
        except (EOFError, OSError):
            result_or_error = None, dead
        except BaseException as error:  # what cannot be sent, or made again here
            result_or_error = None, error
        result, failure = result_or_error
        if failure is not None:
            failures.append(failure)
            left.clear()
            return
        results[index] = result


@contextlib.contextmanager
def _workers(count: int, function: Callable[[J, Tick], Any], threads: int) -> Iterator[list[Connection]]:
    """Processes that do what they are sent. Each has a connection of its own, and shares nothing with the others.

    A pool of the standard library would not do: its queues have locks, and ends that several processes hold, so that
    one that is killed at the wrong moment leaves the others waiting for ever. Here the system closes the other end.
    """
    context = multiprocessing.get_context("spawn")
    connections, processes = list[Connection](), []
    try:
        for _ in range(count):
            ours, theirs = context.Pipe()
            connections.append(ours)
            with theirs:
                process = context.Process(target=_work, args=(theirs, function, threads), daemon=True)
                with _nameless_main(function):
                    process.start()
            processes.append(process)
        yield connections
    finally:
        for connection in connections:
            connection.close()
        for process in processes:
            process.join()


@contextlib.contextmanager
def _nameless_main(function: Callable[[J, Tick], Any]) -> Iterator[None]:
    """Keep a new process from running the user's script once more, which would start the same work again.

    The standard library has it run whatever file the main module comes from, in case functions are defined there.
    """
    if getattr(function, "func", function).__module__ == "__main__":  # a partial has its own
        yield
        return
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def _work(parent: Connection, function: Callable[[J, Tick], Any], threads: int) -> None:
    """Do jobs until the other end closes. Progress is sent as None, the end of a job as (result, error)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    # The system names as parent whoever forked this process, which need not be who has asked for it.
    threading.Thread(target=_die_with_the_parent, daemon=True).start()
    set_threads(threads)
    with contextlib.suppress(EOFError, OSError, KeyboardInterrupt):  # nobody waits any more
        while True:
            job = parent.recv_bytes()
            parent.send_bytes(_result_of(function, job, lambda: parent.send(None)))


def _die_with_the_parent() -> None:
    if parent := multiprocessing.parent_process():
        parent.join()
        os._exit(1)


def _result_of(function: Callable[[J, Tick], Any], job: bytes, tick: Tick) -> bytes:
    """(result, error) of a pickled job, pickled; the parent can make it again, whatever the job has come to."""
    try:
        return bytes(ForkingPickler.dumps((function(ForkingPickler.loads(job), tick), None)))
    except BaseException as error:
        expected = isinstance(error, UserError)
        if not expected:  # a defect: where it was raised would not be known there
            error.add_note(traceback.format_exc())
        try:
            result_or_error = bytes(ForkingPickler.dumps((None, error)))
            ForkingPickler.loads(result_or_error)
        except Exception:  # some exceptions cannot be sent, others not be made again
            plain = UserError(str(error)) if expected else RuntimeError(f"{type(error).__name__}: {error}")
            plain.__notes__ = getattr(error, "__notes__", [])
            result_or_error = bytes(ForkingPickler.dumps((None, plain)))
        return result_or_error
