"""What answers: requests come from the front, a process of its own that speaks HTTP, and are worked on in threads.

The front never waits for what happens here: reading JSON and predicting hold Python's lock for as long as they take.
"""

import contextlib
import ctypes
import gc
import json
import logging
import os
import shutil
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cmarr.errors import UserError
from cmarr.serving.bodies import Wrong, read_inputs, read_upload
from cmarr.serving.service import Service
from cmarr.serving.turns import Patience, TooLate, Turns

log = logging.getLogger(__name__)

SMALL = 1_000_000
"""Bytes of a body up to which it is not read behind larger ones."""


@dataclass(frozen=True)
class Job:
    """A request: its number, what is asked, the file of its body, that body's Content-Type, and its time in seconds."""

    id: int
    kind: str
    body: str
    type: str
    seconds: float


class Engine:
    """Answers what comes over a connection, `threads` requests at once, until the other side closes it."""

    def __init__(self, service: Service, connection: socket.socket, threads: int):
        self.service, self.connection, self.threads = service, connection, threads
        self._reading = [Turns(), Turns()]
        self._sending = threading.Lock()
        self._patience: dict[int, Patience] = {}

    def run(self) -> None:
        """Work until the front has gone, and what is under way has ended."""
        with ThreadPoolExecutor(self.threads, thread_name_prefix="request") as pool:
            for line in self.connection.makefile("rb"):
                told = json.loads(line)
                if "cancel" in told:
                    if patience := self._patience.get(told["cancel"]):
                        patience.given_up = True
                    continue
                job = Job(**told)
                self._patience[job.id] = Patience(job.seconds)
                pool.submit(self._work, job)
            for patience in list(self._patience.values()):
                patience.given_up = True

    def _work(self, job: Job) -> None:
        patience, place = self._patience[job.id], Path(job.body).parent
        try:
            status, content = 200, self._answer(job, patience)
        except Wrong as wrong:
            status, content = wrong.status, _complaint(wrong.code, str(wrong))
        except TooLate as late:
            status, content = 503, _complaint("TEMPORARILY_UNAVAILABLE", str(late))
        except UserError as error:
            status, content = 400, _complaint("INVALID_PARAMETER_VALUE", _plain(error, place))
        except Exception:
            log.exception("a request failed")
            told = "a defect of cmarr; the server's log tells more"
            status, content = 500, _complaint("INTERNAL_ERROR", told)
        finally:
            del self._patience[job.id]
            shutil.rmtree(place, ignore_errors=True)
        # ASCII only: what a client sent may hold what no UTF-8 can, such as half of an emoji.
        payload = json.dumps(content, allow_nan=False).encode("ascii")
        del content
        head = {"id": job.id, "status": status, "length": len(payload)}
        with self._sending, contextlib.suppress(OSError):  # of a front that has gone
            self.connection.sendall(json.dumps(head).encode() + b"\n" + payload)

    def _answer(self, job: Job, patience: Patience) -> Any:
        body = Path(job.body)
        large = body.stat().st_size > SMALL
        with self._reading[large].turn(patience):
            try:
                if job.kind == "upload":
                    form, files = read_upload(body, job.type, patience)
                else:
                    found = self.service.unpack(read_inputs(body), body.parent)
            finally:
                if large:
                    _give_memory_back()
        if job.kind == "upload":
            return self.service.look(form, files, body.parent, patience)
        return {"predictions": self.service.answer(found, body.parent, patience)}


def _plain(error: UserError, place: Path) -> str:
    """Where a temporary file lay is nobody's business."""
    return str(error).splitlines()[0].replace(f"{place}{os.sep}", "the given ")


def _complaint(code: str, sentence: str) -> dict[str, str]:
    return {"error_code": code, "message": sentence}


def _give_memory_back() -> None:
    """Of a large body millions of small values may have been made, whose memory the C library would keep."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):  # where there is no glibc
        ctypes.CDLL(None).malloc_trim(0)
