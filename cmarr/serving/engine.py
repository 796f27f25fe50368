"""What answers: requests come from the front, a process of its own that speaks HTTP, and are worked on in threads.

The front never waits for what happens here: reading JSON and predicting hold Python's lock for as long as they take.
"""

import contextlib
import json
import logging
import os
import socket
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cmarr.errors import UserError
from cmarr.serving.bodies import Wrong, read_inputs, read_upload
from cmarr.serving.heap import give_back
from cmarr.serving.messages import DEFECT, complaint
from cmarr.serving.service import Service
from cmarr.serving.turns import Patience, TooLate, Turns

log = logging.getLogger(__name__)

SMALL = 1_000_000
"""Bytes of a body up to which it is not read behind larger ones."""


@dataclass(frozen=True)
class Job:
    """A request: its number, what is asked, its body or the file of it, the Content-Type, and its time in seconds."""

    id: int
    kind: str
    body: bytes | Path
    type: str
    seconds: float

    @property
    def large(self) -> bool:
        """Whether it is not to be read while another large one is."""
        return not isinstance(self.body, bytes) and self.body.stat().st_size > SMALL


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
            with self.connection.makefile("rb") as coming:
                while line := coming.readline():
                    told = json.loads(line)
                    if "cancel" in told:
                        if patience := self._patience.get(told["cancel"]):
                            patience.given_up = True
                        continue
                    length, path = told.pop("length"), told.pop("path")
                    job = Job(body=coming.read(length) if path is None else Path(path), **told)
                    self._patience[job.id] = Patience(job.seconds)
                    pool.submit(self._work, job)
            for patience in list(self._patience.values()):
                patience.given_up = True

    def _work(self, job: Job) -> None:
        patience = self._patience[job.id]
        with tempfile.TemporaryDirectory(prefix="cmarr-") as scratch:
            status, content = self._outcome(job, Path(scratch), patience)
        del self._patience[job.id]
        # ASCII only: what a client sent may hold what no UTF-8 can, such as half of an emoji.
        payload = json.dumps(content, allow_nan=False).encode("ascii")
        head = {"id": job.id, "status": status, "length": len(payload)}
        with self._sending, contextlib.suppress(OSError):  # of a front that has gone
            self.connection.sendall(json.dumps(head).encode() + b"\n" + payload)

    def _outcome(self, job: Job, scratch: Path, patience: Patience) -> tuple[int, Any]:
        try:
            return 200, self._answer(job, scratch, patience)
        except Wrong as wrong:
            return wrong.status, complaint(wrong.code, str(wrong))
        except TooLate as late:
            return 503, complaint("TEMPORARILY_UNAVAILABLE", str(late))
        except UserError as error:
            return 400, complaint("INVALID_PARAMETER_VALUE", _plain(error, scratch))
        except Exception:
            if not patience.given_up:  # or the front has taken the body away already
                log.exception("a request failed")
            return 500, complaint("INTERNAL_ERROR", DEFECT)

    def _answer(self, job: Job, scratch: Path, patience: Patience) -> Any:
        large = job.large
        with self._reading[large].turn(patience):
            try:
                if job.kind == "upload":
                    form, files = read_upload(job.body, job.type, scratch, patience)
                else:
                    found = self.service.unpack(read_inputs(job.body), scratch)
            finally:
                if large:
                    give_back()
        if job.kind == "upload":
            return self.service.look(form, files, scratch, patience)
        return {"predictions": self.service.answer(found, scratch, patience)}


def _plain(error: UserError, place: Path) -> str:
    """Where a temporary file lay is nobody's business."""
    return str(error).splitlines()[0].replace(f"{place}{os.sep}", "the given ")
