"""A client of `cmarr serve` that wishes it ill: silence, drips, floods, bodies that grow in memory.

Every attack is a function that makes one attempt at a server and says what came of it.
"""

import base64
import gzip
import io
import json
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np

Address = tuple[str, int]

Attack = Callable[[tuple[str, int], float], str]
"""One attempt at a server, with large bodies of so many megabytes, and what came of it."""

PATIENCE = 300.0
"""Seconds that bound a hang, and nothing else."""

JSON = "application/json"


@contextmanager
def connected(address: Address, seconds: float = PATIENCE) -> Iterator[socket.socket]:
    with socket.create_connection(address, timeout=seconds) as connection:
        yield connection


def head(length: int | None, kind: str = JSON, path: str = "/invocations", *more: str) -> bytes:
    """The header of a POST; `length` None: in chunks."""
    size = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
    words = [f"POST {path} HTTP/1.1", "Host: localhost", f"Content-Type: {kind}", size, *more, "", ""]
    return "\r\n".join(words).encode()


def status_of(connection: socket.socket) -> str:
    """The status of an answer, or that the connection was closed without one."""
    said = b""
    try:
        while b"\r\n" not in said and (part := connection.recv(4096)):
            said += part
    except OSError:
        return "closed"
    return said.split()[1].decode() if said.startswith(b"HTTP/1.1 ") else "closed"


def posted(address: Address, body: bytes, kind: str = JSON, path: str = "/invocations", *more: str) -> str:
    with connected(address) as connection:
        try:
            connection.sendall(head(len(body), kind, path, *more) + body)
        except OSError:
            return "closed"
        return status_of(connection)


def silent(address: Address, megabytes: float) -> str:
    with connected(address) as connection:
        return status_of(connection)


def dripping_header(address: Address, megabytes: float) -> str:
    return _dripped(address, b"GET / HTTP/1.1\r\nHost: localhost\r\n", b"X: y\r\n")


def dripping_body(address: Address, megabytes: float) -> str:
    return _dripped(address, head(1_000_000), b"[")


def _dripped(address: Address, first: bytes, drop: bytes) -> str:
    with connected(address, 0.3) as connection:
        try:
            connection.sendall(first)
            for _ in range(int(PATIENCE / 0.3)):
                connection.sendall(drop)
                try:
                    if connection.recv(12, socket.MSG_PEEK) is not None:
                        return status_of(connection)
                except TimeoutError:
                    continue
        except OSError:
            return "closed"
    return "kept"


def many_values(address: Address, megabytes: float) -> str:
    """Numbers, which would take thirty times as much in memory."""
    row = b"[" + b",".join([b"0.5"] * 1000) + b"]"
    body = b'{"inputs": [{"features": {"speech": [' + b",".join([row] * round(250 * megabytes)) + b"]}}]}"
    return posted(address, body)


def long_strings(address: Address, megabytes: float) -> str:
    """Base64 that is no media."""
    return posted(address, b'{"inputs": [{"clip": "' + b"AAAA" * round(250_000 * megabytes) + b'"}]}')


def two_long_clips(address: Address, megabytes: float) -> str:
    """What is allowed, and takes long."""
    return posted(address, legal(megabytes, 2))


def legal(megabytes: float, clips: int) -> bytes:
    """A request with recordings of so many megabytes: noise, floats of two channels at 44,100 Hz."""
    import soundfile

    noise = np.random.default_rng(0).normal(0, 0.1, (round(megabytes * 1e6 / 8), 2)).astype(np.float32)
    made = io.BytesIO()
    soundfile.write(made, noise, 44_100, format="WAV", subtype="FLOAT")
    coded = base64.b64encode(made.getvalue()).decode()
    return json.dumps({"inputs": [{"audio": coded}] * clips}).encode()


def endless(address: Address, megabytes: float) -> str:
    """A body in chunks that does not end."""
    with connected(address) as connection:
        piece = b"100000\r\n" + b"x" * 0x100000 + b"\r\n"
        try:
            connection.sendall(head(None))
            for _ in range(round(50 * megabytes)):
                connection.sendall(piece)
        except OSError:
            pass
        return status_of(connection)


def unread(address: Address, megabytes: float) -> str:
    """Answers asked for and left lying."""
    with connected(address, 60) as connection:
        try:
            for _ in range(5000):
                connection.sendall(b"GET /page/page.js HTTP/1.1\r\nHost: localhost\r\n\r\n")
        except OSError:
            return "closed"
        return "kept"


def rubbish(address: Address, megabytes: float) -> str:
    with connected(address) as connection:
        connection.sendall(bytes(range(256)) * 40 + b"\r\n\r\n")
        return status_of(connection)


def boundaries(address: Address, megabytes: float) -> str:
    """An upload that is nearly all boundary."""
    return posted(
        address, b"\r\n--bo" * round(100_000 * megabytes), "multipart/form-data; boundary=bound", "/predict"
    )


def compressed(address: Address, megabytes: float) -> str:
    return posted(address, gzip.compress(b'{"inputs": []}'), JSON, "/invocations", "Content-Encoding: gzip")


def half_a_character(address: Address, megabytes: float) -> str:
    return posted(address, b'{"inputs": [{"start": "\\ud800"}]}')


def nested(address: Address, megabytes: float) -> str:
    return posted(address, b"[" * 100_000)


ATTACKS: dict[Attack, int] = {
    silent: 60,
    dripping_header: 10,
    dripping_body: 10,
    many_values: 5,
    long_strings: 5,
    two_long_clips: 1,
    endless: 1,
    unread: 2,
    rubbish: 1,
    boundaries: 1,
    compressed: 1,
    half_a_character: 1,
    nested: 1,
}
"""Attack -> how many of it at once."""


def attack(address: Address, seconds: float, megabytes: float = 40.0) -> dict[str, dict[str, int]]:
    """All of them at once, again and again. Attack -> outcome -> how often."""
    end = time.monotonic() + seconds
    found = {function.__name__: Counter[str]() for function in ATTACKS}

    def repeat(function: Attack) -> None:
        while time.monotonic() < end:
            try:
                found[function.__name__][function(address, megabytes)] += 1
            except OSError as error:
                found[function.__name__][type(error).__name__] += 1
            time.sleep(0.05)

    with ThreadPoolExecutor(sum(ATTACKS.values())) as pool:
        done = [pool.submit(repeat, function) for function, times in ATTACKS.items() for _ in range(times)]
        for future in done:
            future.result()
    return {name: dict(sorted(outcomes.items())) for name, outcomes in found.items()}
