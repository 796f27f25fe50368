"""The process that speaks HTTP: `python -m cmarr.serving.front SOCKET CONNECTION`, numbers of files that it inherits.

It loads no model, and does nothing that takes long. Its connections come from the door, which it starts.
"""

import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import uvicorn

from cmarr.serving.app import application
from cmarr.serving.budgets import Budgets
from cmarr.serving.connections import Watched
from cmarr.serving.door import AT_ONCE, SECONDS
from cmarr.serving.link import Link
from cmarr.serving.measures import Measures
from cmarr.serving.messages import About
from cmarr.serving.policy import allowed

FIRST = -10
"""Niceness of this process."""

LINGER = 5.0
"""Seconds longer than a request may take that the end of the server waits for it."""


class Server(uvicorn.Server):
    """uvicorn's, which gets its connections from a door, and looks at them twice a second."""

    def __init__(self, config: uvicorn.Config, door: socket.socket, measures: Measures):
        super().__init__(config)
        self.door, self.measures = door, measures
        self._coming: set[asyncio.Task[None]] = set()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen to the door alone."""
        await super().startup([])
        self.door.setblocking(False)
        asyncio.get_running_loop().add_reader(self.door, self._take)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close the door, and finish what is under way."""
        asyncio.get_running_loop().remove_reader(self.door)
        self.door.close()
        await super().shutdown(sockets)

    def _take(self) -> None:
        for _ in range(AT_ONCE):
            try:
                message, files, *_ = socket.recv_fds(self.door, SECONDS.size, 1)
            except BlockingIOError:
                return
            for number in files:
                task = asyncio.ensure_future(self._let_in(socket.socket(fileno=number)))
                self._coming.add(task)
                task.add_done_callback(self._coming.discard)
            if len(message) == SECONDS.size:
                self.measures.note("/ping", 200, *SECONDS.unpack(message))
            elif not message:
                logging.error("the process that takes connections has gone")
                asyncio.get_running_loop().remove_reader(self.door)
                self.should_exit = True
                return

    async def _let_in(self, connection: socket.socket) -> None:
        loop = asyncio.get_running_loop()

        def protocol() -> Watched:
            own = {"server_state": self.server_state, "app_state": self.lifespan.state, "_loop": loop}
            return Watched(config=self.config, **own)

        with contextlib.suppress(OSError):  # it may have gone again
            await loop.connect_accepted_socket(protocol, connection)

    async def on_tick(self, counter: int) -> bool:
        """Every tenth of a second."""
        if counter % 5 == 0:
            now = time.monotonic()
            for connection in list(self.server_state.connections):
                if isinstance(connection, Watched):
                    connection.look(now)
        return await super().on_tick(counter)


async def _run(listening: socket.socket, connection: socket.socket) -> None:
    reader, writer = await asyncio.open_connection(sock=connection)
    told: dict[str, Any] = json.loads(await reader.readline())
    budgets = Budgets(**told["budgets"])
    Watched.budgets = budgets
    links: list[Link] = []
    door = _door(listening, {key: told[key] for key in ("host", "names")})
    app, measures = application(
        About(**told["about"]),
        budgets,
        lambda: links[0],
        allowed(told["host"], told["names"]),
        Path(told["scratch"]),
    )
    config = uvicorn.Config(
        app,
        http=Watched,
        log_level="error",
        access_log=False,
        server_header=False,
        lifespan="off",
        ws="none",
        timeout_keep_alive=int(budgets.header_seconds) + 1,
        timeout_graceful_shutdown=int(budgets.request_seconds + LINGER),
    )
    server = Server(config, door, measures)

    def end() -> None:
        server.should_exit = True

    links.append(Link(reader, writer, end))
    serving = asyncio.create_task(server.serve())
    while not server.started and not serving.done():
        await asyncio.sleep(0.01)
    writer.write(b'{"ready": true}\n')
    await serving


def _door(listening: socket.socket, told: dict[str, Any]) -> socket.socket:
    """Start the process that takes connections; this end of what leads there."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs, listening:
        files = [listening.fileno(), theirs.fileno()]
        command = [sys.executable, "-P", "-m", "cmarr.serving.door", *map(str, files)]
        subprocess.Popen(command, pass_fds=files, stdin=subprocess.DEVNULL)
    ours.send(json.dumps(told).encode())
    return ours


def main() -> None:
    """Serve until SIGTERM or Ctrl-C, or until the process that answers has gone."""
    logging.basicConfig(format="cmarr serve: %(message)s", stream=sys.stderr)
    for number in (signal.SIGTERM, signal.SIGINT):  # uvicorn raises them again when everything is finished
        signal.signal(number, lambda *_: None)
    with contextlib.suppress(OSError):  # where it is allowed, it goes before those who decode
        os.setpriority(os.PRIO_PROCESS, 0, FIRST)
    listening, connection = (socket.socket(fileno=int(number)) for number in sys.argv[1:])
    asyncio.run(_run(listening, connection))


if __name__ == "__main__":
    main()
