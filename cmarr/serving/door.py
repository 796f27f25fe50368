"""The process that takes connections: `python -m cmarr.serving.door LISTENING FRONT`, numbers of files it inherits.

Whoever asks for `/ping`, plainly and at once, is answered here, in microseconds, whatever the front is busy with. Every
other connection goes to the front, a process of its own, and nothing of it has been read.
"""

import contextlib
import json
import os
import selectors
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable

from cmarr.serving.policy import HEADERS, allowed

FIRST = -15
"""Niceness of this process, before that of the front."""

HOLD = 0.25
"""Seconds in which a connection may say what it wants before the front waits for it."""

HELD = 128
"""Most connections that are waited for here; with another one, the oldest goes to the front."""

LONGEST = 2048
"""Bytes of a plain question."""

AT_ONCE = 16
"""Connections that are taken before others are looked at."""

SECONDS = struct.Struct("d")
"""What the front is told of a question that was answered here: how long it took."""

NOT_PLAIN = {b"origin", b"content-length", b"transfer-encoding", b"expect", b"upgrade"}
"""Headers that the front has to look at."""


def answer_to(question: bytes, ours: Callable[[str], bool]) -> bytes | None:
    """The answer to a whole request for /ping that needs no second look; None for any other.

    ours: whether a name in the Host header is one of this server's

    >>> answer_to(b"GET /ping HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n", lambda host: host == "localhost")[:15]
    b'HTTP/1.1 200 OK'
    >>> answer_to(b"GET /model HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n", lambda host: True)
    """
    head, end, more = question.partition(b"\r\n\r\n")
    first, *lines = head.split(b"\r\n")
    if not end or more or first not in (b"GET /ping HTTP/1.1", b"HEAD /ping HTTP/1.1"):
        return None
    told = [line.partition(b":") for line in lines]
    names = [name.lower() for name, _, _ in told]
    if names.count(b"host") != 1 or NOT_PLAIN & {*names}:
        return None
    if any(not name.strip() or name != name.strip() or not colon for name, colon, _ in told):
        return None
    host = told[names.index(b"host")][2].strip().decode("latin-1")
    if not ours(host):
        return None
    return _HEAD + (b"" if first.startswith(b"HEAD") else b"\n")


_FIELDS = {"content-type": "application/json", "content-length": "1", "connection": "close"}
_HEAD = "\r\n".join(
    [
        "HTTP/1.1 200 OK",
        *(f"{name.lower()}: {value}" for name, value in {**_FIELDS, **HEADERS}.items()),
        "",
        "",
    ]
).encode()


class Door:
    """Takes connections until the front closes its end.

    listening: the socket that is connected to
    front:     of the kind that keeps messages apart; what is sent there never waits for the front
    ours:      as of `answer_to`
    """

    def __init__(self, listening: socket.socket, front: socket.socket, ours: Callable[[str], bool]):
        self.listening, self.front, self.ours = listening, front, ours
        self._held: dict[socket.socket, float] = {}  # connection -> when it was taken, the oldest first
        self._due: list[socket.socket] = []
        self._selector = selectors.DefaultSelector()
        for own in (listening, front):
            own.setblocking(False)
            self._selector.register(own, selectors.EVENT_READ)

    def run(self) -> None:
        """Work until the front has gone."""
        while True:
            wait = 0.01 if self._due else HOLD / 5 if self._held else None
            for key, _ in self._selector.select(wait):
                if key.fileobj is self.front:
                    return
                if key.fileobj is self.listening:
                    self._take()
                elif isinstance(key.fileobj, socket.socket):
                    self._look(key.fileobj)
            late = time.monotonic() - HOLD
            for connection in [one for one, since in self._held.items() if since < late]:
                self._let_in(connection)
            while self._due and self._told(b"", self._due[0]):
                self._due.pop(0).close()

    def _take(self) -> None:
        for _ in range(AT_ONCE):
            try:
                connection, _ = self.listening.accept()
            except BlockingIOError:
                return
            except OSError:  # no file is left for it
                self._make_room()
                return
            connection.setblocking(False)
            self._held[connection] = time.monotonic()
            self._selector.register(connection, selectors.EVENT_READ)
            if len(self._held) > HELD:
                self._let_in(next(iter(self._held)))

    def _make_room(self) -> None:
        if self._due:
            self._due.pop(0).close()
        elif self._held:
            self._let_in(next(iter(self._held)))
        else:
            time.sleep(0.01)

    def _look(self, connection: socket.socket) -> None:
        """Answer a connection that has said something, or let it in."""
        with contextlib.suppress(OSError):
            question = connection.recv(LONGEST, socket.MSG_PEEK)
            answer = answer_to(question, self.ours)
            if answer is not None:
                connection.recv(len(question))
                connection.send(answer)
                since = self._forget(connection)
                connection.close()
                self._told(SECONDS.pack(time.monotonic() - since))
                return
        self._let_in(connection)

    def _forget(self, connection: socket.socket) -> float:
        self._selector.unregister(connection)
        return self._held.pop(connection)

    def _let_in(self, connection: socket.socket) -> None:
        self._forget(connection)
        self._due.append(connection)
        if len(self._due) > HELD:  # the front is far behind: who has waited longest makes room
            self._due.pop(0).close()

    def _told(self, message: bytes, connection: socket.socket | None = None) -> bool:
        """Send the front a message, or a connection; False where it has no room now."""
        try:
            if connection is None:
                self.front.send(message)
            else:
                socket.send_fds(self.front, [b"c"], [connection.fileno()])
        except OSError:
            return False
        return True


def main() -> None:
    """Take connections until the front has gone, which is told to end instead of this process."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    with contextlib.suppress(OSError):  # where it is allowed
        os.setpriority(os.PRIO_PROCESS, 0, FIRST)
    listening, front = (socket.socket(fileno=int(number)) for number in sys.argv[1:])
    told = json.loads(front.recv(1 << 16))
    Door(listening, front, allowed(told["host"], told["names"])).run()


if __name__ == "__main__":
    main()
