"""The process that speaks HTTP: `python -m cmarr.serving.front SOCKET CONNECTION`, numbers of files that it inherits.

It loads no model, and does nothing that takes long: it always answers at once that it is there.
"""

import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any

import uvicorn

from cmarr.serving.app import application
from cmarr.serving.budgets import Budgets
from cmarr.serving.connections import Watched
from cmarr.serving.guard import allowed
from cmarr.serving.link import Link
from cmarr.serving.messages import About

FIRST = -10
"""Niceness of this process."""

LINGER = 5.0
"""Seconds longer than a request may take that the end of the server waits for it."""


class Server(uvicorn.Server):
    """uvicorn's, which looks at its connections twice a second."""

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
    app = application(
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
    server = Server(config)

    def end() -> None:
        server.should_exit = True

    links.append(Link(reader, writer, end))
    serving = asyncio.create_task(server.serve([listening]))
    while not server.started and not serving.done():
        await asyncio.sleep(0.01)
    writer.write(b'{"ready": true}\n')
    await serving


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
