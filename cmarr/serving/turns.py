"""Who goes next: turns that are fair, and how long a request waits for them."""

import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from cmarr.errors import UserError

LOOK = 0.5
"""Seconds after which one who waits looks whether somebody still waits for him."""


MEDIA_LANES = 2
"""Lanes in which media are decoded at the same time; each wants worker processes of its own."""


class TooLate(UserError):
    """A request that has used up its time, or whose client has gone."""


class Patience:
    """How long a request may take, and whether somebody still waits for its answer.

    seconds: from now on; None: for ever
    """

    def __init__(self, seconds: float | None = None):
        self.seconds, self.given_up = seconds, False
        self._end = None if seconds is None else time.monotonic() + seconds

    def check(self) -> None:
        """Raise TooLate where it makes no sense to go on."""
        if self.given_up:
            raise TooLate("nobody waits for the answer any more")
        if self._end is not None and time.monotonic() > self._end:
            raise TooLate(
                f"not answered within request_seconds = {self.seconds:g}; send less at once, or later"
            )


class Turns:
    """A lock that is fair: who asked first goes first, and who comes back for another turn stands behind the others."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: deque[object] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    @contextmanager
    def turn(self, patience: Patience) -> Iterator[None]:
        """Wait for a turn, and have it until the block ends. Raises TooLate."""
        mine = object()
        try:
            with self._changed:
                self._waiting.append(mine)
                while self._waiting[0] is not mine:
                    self._changed.wait(LOOK)
                    patience.check()
            patience.check()
            yield
        finally:
            with self._changed:
                self._waiting.remove(mine)
                self._changed.notify_all()
