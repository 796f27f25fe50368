"""A server for a trained model: a front that speaks HTTP, behind a door of its own, and the model, in this process.

It needs no MLflow. SIGTERM and Ctrl-C let the requests that are under way finish; new ones are refused.
"""

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from cmarr import __version__
from cmarr.errors import UserError
from cmarr.recognition.pretrained import shipped
from cmarr.serving.budgets import Budgets
from cmarr.serving.engine import Engine
from cmarr.serving.heap import keep_small
from cmarr.serving.messages import About
from cmarr.serving.service import Service


def listen(host: str, port: int) -> socket.socket:
    """A socket that is bound; `port` 0 takes a free one. Raises UserError where that cannot be."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=128)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UserError(
            f"cannot listen on {host}, port {port} ({reason}); choose another --port or --host"
        ) from None


def serve(
    service: Service,
    listening: socket.socket,
    budgets: Budgets,
    announce: Callable[[], None],
    *,
    host: str = "127.0.0.1",
    names: Sequence[str] = (),
) -> None:
    """Serve until SIGTERM or Ctrl-C; then finish what is under way, and return.

    announce:    called when requests are answered
    host, names: what the Host header of a request may say, see `cmarr.serving.policy.allowed`
    """
    logging.basicConfig(format="cmarr serve: %(message)s", stream=sys.stderr)
    keep_small()
    ours, theirs = socket.socketpair()
    with tempfile.TemporaryDirectory(prefix="cmarr-serve-") as scratch, ours:
        told = {
            "budgets": asdict(budgets),
            "about": _about(service, budgets).model_dump(),
            "host": host,
            "names": list(names),
            "scratch": scratch,
        }
        with theirs:
            front = _started(listening, theirs)
        listening.close()  # or new connections would wait for ever when the front has closed its own
        with _passing_on(front):
            ours.sendall(json.dumps(told).encode() + b"\n")
            if _ready(ours):
                announce()
                Engine(service, ours, budgets.max_waiting).run()
            if front.wait() not in (0, -signal.SIGTERM, -signal.SIGINT):
                raise UserError(f"the front of the server has ended (exit status {front.returncode})")


def _started(listening: socket.socket, connection: socket.socket) -> subprocess.Popen[bytes]:
    files = [listening.fileno(), connection.fileno()]
    path = os.pathsep.join(entry for entry in sys.path if entry)
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "cmarr.serving.front", *map(str, files)],
        pass_fds=files,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": path},
    )


def _ready(connection: socket.socket) -> bool:
    """Wait until the front says that it listens; False where it ends before."""
    said = b""
    while not said.endswith(b"\n"):
        byte = connection.recv(1)
        if not byte:
            return False
        said += byte
    return True


@contextmanager
def _passing_on(front: subprocess.Popen[bytes]) -> Iterator[None]:
    """SIGTERM and Ctrl-C are the front's to obey: when it has finished, it closes the connection."""

    def pass_on(*_: Any) -> None:
        if front.poll() is None:
            front.terminate()

    before = {number: signal.signal(number, pass_on) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _about(service: Service, budgets: Budgets) -> About:
    recognizer = service.recognizer
    about, limits = recognizer.about, recognizer.limits
    along = ", which comes with cmarr for trying out" if about.card and about.dataset in shipped() else ""
    return About(
        name=about.title + along,
        terms=about.terms,
        dataset=about.dataset,
        method=about.method,
        licence=about.licence,
        version=__version__,
        classes=list(recognizer.classes),
        modalities=list(recognizer.modalities),
        limits={**asdict(limits), "max_request_megabytes": budgets.max_request_megabytes},
    )
