"""A process that is killed at the n-th thing it does."""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link"}


def killed(action: Callable[[], object]) -> bool:
    """Do something in a forked child; whether that was killed. Any other end but a good one is an error."""
    if not (child := os.fork()):
        status = 70
        try:
            action()
            status = 0
        finally:
            os._exit(status)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, -signal.SIGKILL), status
    return status != 0


def killed_at(moment: int, folder: Path, action: Callable[[], object]) -> bool:
    """The same, killed before the n-th file below a folder is opened for writing, renamed or removed."""
    left = [moment]

    def see(event: str, arguments: tuple) -> None:
        writes = (
            event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        )
        if (event in CHANGES or writes) and str(arguments[0]).startswith(str(folder)):
            left[0] -= 1
            if not left[0]:
                os.kill(os.getpid(), signal.SIGKILL)

    def watched() -> None:
        sys.addaudithook(see)
        action()

    return killed(watched)
