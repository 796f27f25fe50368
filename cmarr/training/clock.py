"""The time that a training takes, over all its sittings."""

import time


class Clock:
    """Goes on from the times that earlier sittings took.

    The time on the wall grows with whatever else a machine does; that of the cores hardly does, and is what methods
    are compared by where they train on a CPU.
    """

    def __init__(self, seconds: float = 0.0, core_seconds: float = 0.0):
        self._wall = time.monotonic() - seconds
        self._cores = time.process_time() - core_seconds

    @property
    def seconds(self) -> float:
        """Seconds on the wall."""
        return time.monotonic() - self._wall

    @property
    def core_seconds(self) -> float:
        """Seconds that the cores spent on this process, added up over its threads."""
        return time.process_time() - self._cores
