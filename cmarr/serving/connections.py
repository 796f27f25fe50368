"""Connections that are watched: none may keep silent for ever, and silent ones never keep others out.

uvicorn knows one timeout, between two requests. Here a connection that waits for its client (for a header, for the
rest of a body that was answered before it had come, for the answer to be taken) is closed when its time is over.
"""

import json
import time
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from cmarr.serving.budgets import Budgets
from cmarr.serving.messages import complaint

STALLED = 30.0
"""Seconds that a client may leave an answer lying."""

PAUSE = 0.005
"""Seconds between two such pieces of what nobody wants any more."""

AT_ONCE = 1 << 16
"""Bytes that are taken from a connection before the others are looked at."""

BROKEN = "this is no HTTP/1.1 request, or its header is too long"


class Watched(H11Protocol):
    """A connection of uvicorn's, which knows what it waits for, and since when."""

    budgets = Budgets()

    def connection_made(self, transport: Any) -> None:
        """Take it; with too many, the one that has waited for its client longest makes room."""
        super().connection_made(transport)
        self.since = time.monotonic()
        self.stalled: float | None = None
        if hasattr(
            transport, "max_size"
        ):  # of asyncio's own: less at once, and others have their turn sooner
            transport.max_size = AT_ONCE
        if len(self.connections) > self.budgets.max_connections:
            waiting = [other for other in self.connections if isinstance(other, Watched) and other.rank]
            max(waiting, key=lambda other: (other.rank, -other.since)).drop()

    @property
    def answering(self) -> bool:
        """Whether there is a request that has not been answered."""
        return self.cycle is not None and not self.cycle.response_complete

    @property
    def rank(self) -> int:
        """2: no request is there, 1: one is being received or sent back, 0: one is being worked on."""
        if not self.answering:
            return 2
        return 1 if self.cycle.more_body or self.stalled is not None else 0

    def on_response_complete(self) -> None:
        """The next header is waited for."""
        self.since = time.monotonic()
        super().on_response_complete()

    def pause_writing(self) -> None:
        """The client takes no more of the answer for now."""
        self.stalled = time.monotonic()
        super().pause_writing()

    def resume_writing(self) -> None:
        """The client goes on."""
        self.stalled = None
        super().resume_writing()

    def look(self, now: float) -> None:
        """Close what has waited for its client too long."""
        silent = not self.answering and now - self.since > self.budgets.header_seconds
        if silent or (self.stalled is not None and now - self.stalled > STALLED):
            self.drop()

    def data_received(self, data: bytes) -> None:
        """Take it; what comes after the answer, such as the rest of a body that was refused, slowly."""
        if self.cycle is not None and self.cycle.response_complete and self.conn.their_state is h11.SEND_BODY:
            self.transport.pause_reading()
            self.loop.call_later(PAUSE, self._go_on)
        super().data_received(data)

    def _go_on(self) -> None:
        if not self.transport.is_closing() and not self.flow.read_paused:
            self.transport.resume_reading()

    def drop(self) -> None:
        """Close at once, whatever has not been taken."""
        if self.transport is not None:
            self.transport.abort()

    def send_400_response(self, msg: str) -> None:
        """What is no HTTP gets a complaint as every other does."""
        content = json.dumps(complaint("BAD_REQUEST", BROKEN)).encode()
        head = (
            "HTTP/1.1 400 Bad Request",
            "content-type: application/json",
            f"content-length: {len(content)}",
            "connection: close",
        )
        self.transport.write("\r\n".join([*head, "", ""]).encode() + content)
        self.transport.close()
