"""A running server, and a request that it has begun to read and has not answered."""

import base64
import json
import os
import select
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from tests.warm import python

ROOT = Path(__file__).parents[2]

PATIENCE = 240.0
"""Seconds that bound a hang, and nothing else."""


def ask(url: str, body: bytes) -> socket.socket:
    """Send a request. When this returns the server reads it: it has asked for the body, which is on its way."""
    host, port = url.split("/")[2].split(":")
    asking = socket.create_connection((host, int(port)), timeout=PATIENCE)
    head = (
        "POST /invocations HTTP/1.1",
        "Host: 127.0.0.1",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        "Expect: 100-continue",
    )
    asking.sendall("\r\n".join([*head, "", ""]).encode())
    said = b""
    while not said.endswith(b"\r\n\r\n"):
        part = asking.recv(1)
        assert part, f"the server closed the connection after {said!r}"
        said += part
    assert said.startswith(b"HTTP/1.1 100"), said
    asking.sendall(body)
    assert not select.select([asking], [], [], 0.2)[0], "it is answered already: the request is too easy"
    return asking


def answered(asking: socket.socket) -> tuple[int, Any]:
    """Status and content of the answer, after which the server has closed the connection."""
    with asking:
        said = b"".join(iter(lambda: asking.recv(65536), b""))
    head, _, content = said.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(content)


ALONE = """
import multiprocessing, os, sys
os.setsid()
print(os.getpid(), flush=True)
sys.executable = sys.argv.pop(1)  # what it starts is started as by users
multiprocessing.set_executable(sys.executable)
"""
"""How a fork becomes the first of a session of its own, and says its number: what starts it is not it."""


class Server:
    """A running `cmarr serve`, the number of its process, and requests to it."""

    def __init__(self, model, *options):
        words = ["serve", "--model", str(model), "--port", "0", "--workers", "1", *options]
        self.process = subprocess.Popen(
            [python(), "-c", f"{ALONE}from cmarr.cli import app; app()", sys.executable, *words],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.pid = int(self.process.stdout.readline())
        self.told = self.process.stdout.readline()
        self.url = self.told.split(" at ")[-1].strip()

    def send(self, body, kind="application/json", path=None):
        """(status, content) of a request; `body` is JSON, or bytes as they are."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"Content-Type": kind} if kind else {}
        url = self.url.replace("/invocations", path) if path else self.url
        request = urllib.request.Request(url, content, headers)
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    def end(self):
        """Ask it to end; its exit status and what it wrote to standard error."""
        os.killpg(self.pid, signal.SIGTERM)
        _, errors = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, errors


def encoded(path):
    return base64.b64encode(Path(path).read_bytes()).decode()
