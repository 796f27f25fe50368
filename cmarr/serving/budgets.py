"""What a server spends on those who ask: seconds, bytes, places. Nothing here knows HTTP or a model."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from cmarr.errors import many

FREE = 64_000
"""Bytes of each request that no budget counts: a text always finds room; connections are counted instead."""


@dataclass(frozen=True)
class Budgets:
    """Most that may be spent.

    max_request_megabytes: of one request
    max_flight_megabytes:  of all requests together that are being received, waiting or worked on
    max_waiting:           requests that have been received and not answered
    max_connections:       at once; a further one takes the place of the one that has kept silent longest
    header_seconds:        until a connection has sent a whole header, from its beginning or its last answer
    body_seconds:          until a request has sent its whole body
    request_seconds:       until it is answered, once it is there
    """

    max_request_megabytes: float = 128.0
    max_flight_megabytes: float = 512.0
    max_waiting: int = 64
    max_connections: int = 512
    header_seconds: float = 10.0
    body_seconds: float = 120.0
    request_seconds: float = 120.0


class Spent(Exception):
    """There is no room now; there will be later."""


class TooMany(Spent):
    """There is room, and this client has taken its share."""


class Flight:
    """Bytes and places that requests hold."""

    def __init__(self, budgets: Budgets):
        self.most, self.places = budgets.max_flight_megabytes * 1e6, budgets.max_waiting
        self.held, self.waiting = 0, 0
        self._of: Counter[str] = Counter()

    @contextmanager
    def load(self) -> Iterator["Load"]:
        """What one request holds, given back when the block ends."""
        own = Load(self)
        try:
            yield own
        finally:
            self.held -= own.held

    @contextmanager
    def place(self, client: str) -> Iterator[None]:
        """A place among those who wait for an answer; one client has half of them at most. Raises Spent."""
        if self._of[client] >= max(self.places // 2, 1):
            there = self._of[client]
            told = f"{many(there, 'request')} of {client} {'waits' if there == 1 else 'wait'} already"
            raise TooMany(f"{told}, half of max_waiting = {self.places}")
        if self.waiting >= self.places:
            raise Spent(
                f"{self.waiting} requests wait already, as many as max_waiting = {self.places} allows"
            )
        self.waiting += 1
        self._of[client] += 1
        try:
            yield
        finally:
            self.waiting -= 1
            self._of[client] -= 1
            self._of += Counter()  # whoever has none left is forgotten


class Load:
    """The bytes of one request."""

    def __init__(self, flight: Flight):
        self.flight, self.length, self.held = flight, 0, 0

    def add(self, count: int) -> None:
        """Count some more bytes. Raises Spent where there is no room for them."""
        self.length += count
        due = max(self.length - FREE, 0) - self.held
        if self.flight.held + due > self.flight.most:
            raise Spent(
                f"all requests together hold as much as max_flight_megabytes = {self.flight.most / 1e6:g} allows"
            )
        self.held += due
        self.flight.held += due
