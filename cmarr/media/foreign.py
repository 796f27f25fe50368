"""Reading what somebody else has made in a process of its own, with a budget of processor time and memory.

Every format has some file of a few bytes that unpacks to gigabytes, or takes a library for hours, or crashes it. What
can be counted is counted before it is unpacked (`cmarr.budgets`); whatever gets past that costs a process, and not the
run, which waits for it where Ctrl-C is heard.
"""

import contextlib
import resource
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from cmarr.budgets import is_device, shown, size_of
from cmarr.errors import Unreadable, UserError
from cmarr.media.clips import Failure, require_whole
from cmarr.media.worker_pool import decode

LIBRARIES = 4 * 2**30
"""Bytes of address space that libraries may take that are first imported within a budget."""

PATIENCE = 15.0
"""Times its budget of processor time that a file may take by the clock: the machine may be busy with other things."""


@dataclass(frozen=True)
class Budget:
    """What reading a file may take: so much for the smallest one, and more for each of its bytes.

    seconds:  of processor time
    memory:   bytes beyond those that the process has before it opens the file
    """

    seconds: float = 4.0
    memory: int = 512 * 2**20
    seconds_each: float = 1e-6
    memory_each: float = 16.0

    def of(self, size: int) -> tuple[float, int]:
        """Seconds and bytes for a file of so many bytes."""
        return self.seconds + self.seconds_each * size, self.memory + int(self.memory_each * size)


PLAIN = Budget()

T = TypeVar("T")


@dataclass(frozen=True)
class Task:
    """A call of a function, named by its module, with a path and what else it takes."""

    path: str
    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    seconds: float
    memory: int


@dataclass(frozen=True)
class _Refused:
    error: UserError


def read_foreign(function: Callable[..., T], path: str | Path, *arguments: Any, budget: Budget = PLAIN) -> T:
    """`function(path, *arguments)`, computed in another process within a budget; all of these must be picklable.

    Raises the UserError that the function raises, and one, naming the file, where the process has used up its budget
    or has crashed.
    """
    path = Path(path)
    if is_device(path):
        raise Unreadable(f"{shown(path)} is a pipe or a device and no file; give a file")
    require_whole(path)
    try:
        size = size_of(path)
    except (OSError, ValueError):  # the function says so
        size = 0
    seconds, memory = budget.of(size)
    tasks: Any = [[Task(str(path), function, arguments, seconds, memory)]]
    result: T | _Refused | Failure
    (result,) = decode(Foreign, tasks, workers=1, seconds=PATIENCE * seconds)
    if isinstance(result, _Refused):
        raise result.error
    if isinstance(result, Failure):
        raise Unreadable(
            f"{path} cannot be read: its reader gave up, after at most {seconds:.0f} s of processor time "
            f"({result.reason}); the file is damaged, or made to take a machine down: fetch it again from its source"
        )
    return result


class Foreign:
    """What runs in the worker: tasks, each within its budget."""

    def __call__(self, tasks: Sequence[Any]) -> list[Any]:
        """What each function has given, or refused."""
        return [self._done(task) for task in tasks]

    def _done(self, task: Task) -> Any:
        try:
            with within(task.seconds, task.memory):
                return task.function(Path(task.path), *task.arguments)
        except UserError as error:
            return _Refused(error)
        except MemoryError:
            return _Refused(
                Unreadable(
                    f"{task.path} takes more than {task.memory / 2**20:.0f} MB of memory to read, far more than a file "
                    "of its size should; it is damaged, or made to take a machine down: fetch it again from its source"
                )
            )


@contextlib.contextmanager
def within(seconds: float, memory: int) -> Iterator[None]:
    """Let what is inside take so many seconds of processor time and so many bytes beyond those that are taken now.

    Beyond the memory it gets a MemoryError; beyond the time the process ends.
    """
    before = {kind: resource.getrlimit(kind) for kind in (resource.RLIMIT_DATA, resource.RLIMIT_AS)}
    for (kind, (_, hard)), most in zip(before.items(), _most(memory), strict=False):
        resource.setrlimit(kind, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        for kind, limits in before.items():
            resource.setrlimit(kind, limits)


def _most(memory: int) -> tuple[int, ...]:
    """Most bytes of its own, and of address space, of a process that may take `memory` more; none if nobody knows."""
    try:
        pages = list(map(int, Path("/proc/self/statm").read_text().split()))
    except OSError:
        return ()
    own, space = (pages[place] * resource.getpagesize() for place in (5, 0))
    return own + memory, space + memory + LIBRARIES
