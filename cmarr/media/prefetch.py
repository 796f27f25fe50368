"""Prefetching in a thread: what comes next is made while what came last is used."""

import threading
from collections.abc import Generator, Iterable
from queue import Empty, Full, Queue
from typing import Any, TypeVar

T = TypeVar("T")

_END = object()
_BREATH = 0.1
"""Seconds between looks whether the other side is still there."""


def prefetch(items: Iterable[T], depth: int) -> Generator[T, None, None]:
    """The same items in the same order, drawn in a thread of their own, at most `depth` of them waiting.

    An exception raised by `items` is raised here. Closing this generator ends the thread after the item that it is
    drawing, and closes `items`.
    """
    ready: Queue[object] = Queue(depth)
    given_up = threading.Event()
    failure: list[BaseException] = []

    def put(item: object) -> bool:
        while not given_up.is_set():
            try:
                ready.put(item, timeout=_BREATH)
                return True
            except Full:
                continue
        return False

    def draw() -> None:
        iterator = iter(items)
        try:
            for item in iterator:
                if not put(item):
                    return
        except BaseException as error:
            failure.append(error)
        finally:
            if hasattr(iterator, "close"):
                iterator.close()  # ends worker processes, from the thread that talks to them
            put(_END)

    thread = threading.Thread(target=draw, name="prefetch", daemon=True)
    thread.start()
    try:
        while (item := _next(ready, thread)) is not _END:
            yield item
        if failure:
            raise failure[0]
    finally:
        given_up.set()
        thread.join(timeout=5.0)  # a file that takes longer is the time limit's to end


def _next(ready: Queue[object], thread: threading.Thread) -> Any:
    while True:
        try:
            return ready.get(timeout=_BREATH if thread.is_alive() else 0)
        except Empty:
            if not thread.is_alive() and ready.empty():
                return _END
