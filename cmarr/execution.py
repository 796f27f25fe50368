"""Units of work in local processes or on a cluster: same result wherever they run, none left behind."""

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
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any, Literal, TypeVar

from tqdm import tqdm

from cmarr.errors import UserError

J = TypeVar("J")
R = TypeVar("R")
Tick = Callable[[], None]

_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Cluster:
    """A Ray cluster and what a unit of work claims of it; the section `ray` of params.yaml.

    address: `host:port` of its head; 'auto': the one named by RAY_ADDRESS, or that this machine is in;
        'local': one that is started on this machine and ends with this process
    cpus, gpus: claimed by a unit; 'auto': as many cores as it has threads, one GPU if it uses any
    retries: how often a unit is begun again whose worker or node died
    shared: an existing folder, absolute, that all nodes must see under the same path
    """

    address: str
    cpus: float | Literal["auto"]
    gpus: float | Literal["auto"]
    retries: int
    shared: Path


def worker_count(setting: str | int, threads: int = 1) -> int:
    """Processes to use: the setting, or for 'auto' the usable cores divided by the threads of one unit."""
    if setting != "auto":
        return int(setting)
    return max(1, len(os.sched_getaffinity(0)) // threads)


def run_jobs(
    function: Callable[[J, Tick], R],
    jobs: Sequence[J],
    *,
    workers: int,
    threads: int,
    label: str,
    unit: str,
    units_per_job: int,
    device: str = "cpu",
    cluster: Cluster | None = None,
) -> list[R]:
    """Run `function(job, tick)` for every job, results in the order of the jobs.

    Each job sees `threads` CPU threads. Without a `cluster`, this process is one of the workers and takes
    jobs from the end; the others are processes that take them from the beginning, and die with this one, also
    when that is killed. On a cluster, where `device` says whether jobs need a GPU, the number of workers is the
    cluster's affair. `function` calls `tick()` after every unit of progress. Neither the place nor the number of
    workers ever changes a result.

    Raises:
        UserError: raised by a job (those not yet begun are cancelled), or a process that died.
    """
    if cluster:
        from cmarr.cluster import cluster_results  # Ray is imported only where it is chosen

        return list(
            cluster_results(
                function,
                jobs,
                cluster=cluster,
                threads=threads,
                label=label,
                unit=unit,
                units_per_job=units_per_job,
                device=device,
            )
        )
    bar = tqdm(total=len(jobs) * units_per_job, desc=label, unit=f" {unit}", disable=None, dynamic_ncols=True)
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


def set_threads(threads: int) -> None:
    """CPU threads of whatever computes in this process from now on. Sums depend on it, so a unit always has its own."""
    import torch
    from threadpoolctl import threadpool_limits

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
            while (answer := worker.recv()) is None:
                tick()
        except (EOFError, OSError):
            answer = None, dead
        except BaseException as error:  # what cannot be sent, or made again here
            answer = None, error
        result, failure = answer
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
                process = context.Process(
                    target=_work, args=(theirs, function, threads, os.getpid()), daemon=True
                )
                process.start()
            processes.append(process)
        yield connections
    finally:
        for connection in connections:
            connection.close()
        for process in processes:
            process.join()


def _work(parent: Connection, function: Callable[[J, Tick], Any], threads: int, number: int) -> None:
    """Do jobs until the other end closes. Progress is sent as None, the end of a job as (result, error)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != number:  # it died before the call above
            os._exit(1)
    set_threads(threads)
    with contextlib.suppress(EOFError, OSError, KeyboardInterrupt):  # nobody waits any more
        while True:
            job = parent.recv_bytes()
            parent.send_bytes(_answer(function, job, lambda: parent.send(None)))


def _answer(function: Callable[[J, Tick], Any], job: bytes, tick: Tick) -> bytes:
    """(result, error) of a pickled job, pickled; the parent can make it again, whatever the job has come to."""
    try:
        return bytes(ForkingPickler.dumps((function(ForkingPickler.loads(job), tick), None)))
    except BaseException as error:
        expected = isinstance(error, UserError)
        if not expected:  # a defect: where it was raised would not be known there
            error.add_note(traceback.format_exc())
        try:
            answer = bytes(ForkingPickler.dumps((None, error)))
            ForkingPickler.loads(answer)
        except Exception:  # some exceptions cannot be sent, others not be made again
            told = UserError(str(error)) if expected else RuntimeError(f"{type(error).__name__}: {error}")
            told.__notes__ = getattr(error, "__notes__", [])
            answer = bytes(ForkingPickler.dumps((None, told)))
        return answer
