"""What runs in a worker process: `python -m cmarr.media.worker <file descriptor>`.

The first message is a factory, called once; what it returns is then called with each group of clips.
"""

import contextlib
import pickle
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from typing import Any

from cmarr.errors import UserError
from cmarr.media.clips import Clip, Failure

READY = "ready"

PARENTS = (signal.SIGINT, signal.SIGTERM)
"""Ctrl-C, and a SIGTERM to the whole group of processes, are the parent's to handle."""


SEPARATE = 1 << 16
"""Bytes from which on an array is sent as it lies in the memory, and not as a part of a pickle, which copies it."""


def send(connection: Connection, value: Any) -> None:
    """Send a picklable value to where `receive` waits for it."""
    apart: list[memoryview] = []

    def inside(buffer: pickle.PickleBuffer) -> bool:
        raw = buffer.raw()
        if raw.nbytes < SEPARATE:
            return True
        apart.append(raw)
        return False

    packed = pickle.dumps(value, protocol=5, buffer_callback=inside)
    connection.send_bytes(pickle.dumps((packed, [(raw.nbytes, raw.readonly) for raw in apart])))
    for raw in apart:
        connection.send_bytes(raw)


def receive(connection: Connection) -> Any:
    """What `send` has sent. Raises EOFError where the other end is gone."""
    packed, sizes = pickle.loads(connection.recv_bytes())
    buffers: list[memoryview] = []
    for size, readonly in sizes:
        buffer = bytearray(size)
        connection.recv_bytes_into(buffer)
        buffers.append(memoryview(buffer).toreadonly() if readonly else memoryview(buffer))
    return pickle.loads(packed, buffers=buffers)


def serve(connection: Connection) -> None:
    """Serve groups of clips until the other end closes."""
    # A server still finishes what is under way. Should the parent end, so does this process.
    for number in PARENTS:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, PARENTS)  # they were blocked until here
    with contextlib.suppress(EOFError, OSError):  # the parent is gone: nobody waits any more
        _serve(connection)


def _serve(connection: Connection) -> None:
    try:
        function = connection.recv()()
    except Exception as error:
        text = str(error) if isinstance(error, UserError) else traceback.format_exc()
        send(connection, (isinstance(error, UserError), text))
        return
    send(connection, READY)
    while True:
        clips, seconds = connection.recv()
        # The parent ends a worker that takes too long. Should the parent itself be gone, the alarm,
        # whose default action ends the process whatever native code is running, does.
        signal.setitimer(signal.ITIMER_REAL, 2 * seconds + 10)
        found = results(function, clips)
        signal.setitimer(signal.ITIMER_REAL, 0)
        send(connection, found)


def results(function: Callable[[Sequence[Clip]], list[Any]], clips: Sequence[Clip]) -> list[Any]:
    """One result a clip; an exception becomes a Failure, so that one bad file never ends the run."""
    try:
        return list(function(clips))
    except UserError as error:
        return [Failure(str(error))] * len(clips)
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        reason = f"{type(error).__name__}: {error} ({where.name}, line {where.lineno}) on {clips[0].path}"
        return [Failure(reason)] * len(clips)


if __name__ == "__main__":
    serve(Connection(int(sys.argv[1])))
