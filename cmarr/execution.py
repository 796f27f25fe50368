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

    Each job sees `threads` CPU threads, in a process of its own pool or, with one worker, in this one,
    so the number of workers never changes a sum. `function` calls `tick()` after every unit of
    progress. The processes die with their parent, also when that is killed.

    Raises:
        UserError: raised by a job (the others are cancelled), or a process that died.
    """
    bar = tqdm(total=len(jobs) * units_per_job, desc=label, unit=f" {unit}", disable=None, dynamic_ncols=True)
    with bar:
        if workers == 1 or len(jobs) == 1:
            _begin(threads, None, None)
            return [_with_rest(function, job, bar, units_per_job) for job in jobs]
        context = multiprocessing.get_context("spawn")
        ticks = context.Value("q", 0)
        pool = ProcessPoolExecutor(
            min(workers, len(jobs)), context, initializer=_begin, initargs=(threads, ticks, os.getpid())
        )
        with pool:
            futures = [pool.submit(_in_worker, function, job) for job in jobs]
            try:
                for future in _watch(futures, bar, ticks):
                    future.result()
            except BrokenProcessPool:
                raise UserError(
                    f"{label}: a worker process died (killed, or out of memory); run again to go on where it "
                    "stopped, with fewer workers if memory is short"
                ) from None
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
            bar.update(bar.total - bar.n)  # a job that stopped early counts whole
            return [future.result() for future in futures]


def _with_rest(function: Callable[[J, Callable[[], None]], R], job: J, bar: tqdm, units: int) -> R:
    before = bar.n
    result = function(job, lambda: bar.update() and None)
    bar.update(before + units - bar.n)  # a job that stopped early counts whole
    return result


def _watch(futures: Sequence[Future[R]], bar: tqdm, ticks: Any) -> Iterator[Future[R]]:
    pending = set(futures)
    while pending:
        finished, pending = wait(pending, timeout=0.5, return_when=FIRST_COMPLETED)
        bar.n = max(bar.n, ticks.value)
        bar.refresh()
        yield from finished


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
