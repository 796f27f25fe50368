"""Units of work in local processes: same result whatever their number, none left behind."""

import ctypes
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from tqdm import tqdm

from cmarr.errors import UserError

J = TypeVar("J")
R = TypeVar("R")

_PR_SET_PDEATHSIG = 1


def worker_count(setting: str | int, threads: int = 1) -> int:
    """Processes to use: the setting, or for 'auto' the usable cores divided by the threads of one unit."""
    if setting != "auto":
        return int(setting)
    return max(1, len(os.sched_getaffinity(0)) // threads)


def run_jobs(
    function: Callable[[J, Callable[[], None]], R],
    jobs: Sequence[J],
    *,
    workers: int,
    threads: int,
    label: str,
    unit: str,
    units_per_job: int,
) -> list[R]:
    """Run `function(job, tick)` for every job, results in the order of the jobs.

    Each job sees `threads` CPU threads. This process is one of the workers and takes jobs from the end;
    the others are processes of a pool, which die with this one, also when that is killed. `function`
    calls `tick()` after every unit of progress. The number of workers never changes a result.

    Raises:
        UserError: raised by a job (those not yet begun are cancelled), or a process that died.
    """
    bar = tqdm(total=len(jobs) * units_per_job, desc=label, unit=f" {unit}", disable=None, dynamic_ncols=True)
    context = multiprocessing.get_context("spawn")
    ticks = context.Value("q", 0)
    others = min(workers, len(jobs)) - 1
    _begin(threads, ticks, None)
    with bar:
        if others == 0:
            return [function(job, lambda: _tick(bar)) for job in jobs]
        pool = ProcessPoolExecutor(
            others, context, initializer=_begin, initargs=(threads, ticks, os.getpid())
        )
        with pool:
            futures = [pool.submit(_in_worker, function, job) for job in jobs]
            own: dict[int, R] = {}
            try:
                for index in reversed(range(len(jobs))):
                    if futures[index].cancel():
                        own[index] = function(jobs[index], lambda: _tick(bar))
                for future in _watch([f for f in futures if not f.cancelled()], bar):
                    future.result()
            except BrokenProcessPool:
                raise UserError(
                    f"{label}: a worker process died (killed, or out of memory); run again to go on where it "
                    "stopped, with fewer workers if memory is short"
                ) from None
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
            return [own[i] if i in own else future.result() for i, future in enumerate(futures)]


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


def _show(bar: tqdm) -> None:
    bar.update(max(0, _ticks.value - bar.n))


_ticks: Any = None


def _begin(threads: int, ticks: Any, parent: int | None) -> None:
    global _ticks  # noqa: PLW0603 - the pool's initializer has no other way to hand a value to its jobs
    _ticks = ticks
    if parent is not None and sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before the call above
            os._exit(1)
    import torch
    from threadpoolctl import threadpool_limits

    torch.set_num_threads(threads)
    threadpool_limits(threads)  # NumPy's and SciPy's: two pools on two cores would each take both


def _in_worker(function: Callable[[J, Callable[[], None]], R], job: J) -> R:
    def tick() -> None:
        with _ticks.get_lock():
            _ticks.value += 1

    return function(job, tick)
