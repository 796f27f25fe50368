"""A request that a server has begun to read and has not answered."""

import json
import select
import socket
from typing import Any

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
