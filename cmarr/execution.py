"""Units of work in local processes or on a cluster: same result wherever they run, none left behind."""

import ctypes
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

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
    jobs from the end; the others are processes of a pool, which die with this one, also when that is
    killed. On a cluster, where `device` says whether jobs need a GPU, the number of workers is the cluster's
    affair. `function` calls `tick()` after every unit of progress. Neither the place nor the number of
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
    others = min(workers, len(jobs)) - 1
    with bar:
        if others <= 0:
            set_threads(threads)
            return [function(job, lambda: _advance(bar)) for job in jobs]
        context = multiprocessing.get_context("spawn")
        shared = context.Value("q", 0), context.Array("b", len(jobs))
        _begin(threads, *shared, None)
        pool = ProcessPoolExecutor(
            others, context, initializer=_begin, initargs=(threads, *shared, os.getpid())
        )
        with pool:
            futures = [pool.submit(_in_worker, function, index, job) for index, job in enumerate(jobs)]
            own: dict[int, R] = {}
            try:
                for index in reversed(range(len(jobs))):
                    if any(future.done() and future.exception() for future in futures):
                        break
                    if _claim(index):
                        own[index] = function(jobs[index], lambda: _tick(bar))
                for future in _watch(futures, bar):
                    future.result()
            except BrokenProcessPool:
                raise UserError(
                    f"{label}: a worker process died (killed, or out of memory); run again to go on where it "
                    "stopped, with fewer workers if memory is short"
                ) from None
            except BaseException:
                for index in range(len(jobs)):  # what is not begun stays so, and `with` waits for the rest
                    _claim(index)
                raise
            return [own[i] if i in own else cast(R, future.result()) for i, future in enumerate(futures)]


def set_threads(threads: int) -> None:
    """CPU threads of whatever computes in this process from now on. Sums depend on it, so a unit always has its own."""
    import torch
    from threadpoolctl import threadpool_limits

    torch.set_num_threads(threads)
    threadpool_limits(threads)  # NumPy's and SciPy's: two pools on two cores would each take both


def _watch(futures: Sequence[Future[R]], bar: tqdm) -> Iterator[Future[R]]:
    pending = set(futures)
    while pending:
        finished, pending = wait(pending, timeout=0.5, return_when=FIRST_COMPLETED)
        _show(bar)
        yield from finished


def _tick(bar: tqdm) -> None:
    with _ticks.get_lock():
        _ticks.value += 1
    _show(bar)


def _advance(bar: tqdm) -> None:
    bar.update()


def _show(bar: tqdm) -> None:
    bar.update(max(0, _ticks.value - bar.n))


_ticks: Any = None
_claimed: Any = None


def _begin(threads: int, ticks: Any, claimed: Any, parent: int | None) -> None:
    global _ticks, _claimed  # the initializer has no other way to hand values to its jobs
    _ticks, _claimed = ticks, claimed
    if parent is not None and sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before the call above
            os._exit(1)
    set_threads(threads)


def _claim(index: int) -> bool:
    """Take a job that nobody has taken.

    Cancelling its future instead would race with the executor, which fails all futures when a worker dies
    and itself dies of one that was cancelled meanwhile.
    """
    with _claimed.get_lock():
        free = not _claimed[index]
        _claimed[index] = True
        return free


def _in_worker(function: Callable[[J, Tick], R], index: int, job: J) -> R | None:
    def tick() -> None:
        with _ticks.get_lock():
            _ticks.value += 1

    return function(job, tick) if _claim(index) else None
