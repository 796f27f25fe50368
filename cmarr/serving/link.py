"""The front's end of the connection to the process that answers."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any


class Link:
    """Questions to the engine, each answered by a status and bytes.

    lost: called when the engine has gone
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, lost: Callable[[], None]):
        self._reader, self._writer, self._lost = reader, writer, lost
        self._due: dict[int, asyncio.Future[tuple[int, bytes]]] = {}
        self._count = 0
        self.alive = True
        self._listening = asyncio.create_task(self._listen())

    async def ask(
        self, kind: str, body: bytes | Path, content_type: str, seconds: float
    ) -> tuple[int, bytes]:
        """Status and content of the answer. Cancelled, it tells the engine that nobody waits any more."""
        self._count += 1
        number = self._count
        future: asyncio.Future[tuple[int, bytes]] = asyncio.get_running_loop().create_future()
        self._due[number] = future
        try:
            asked = {"id": number, "kind": kind, "type": content_type, "seconds": seconds}
            if isinstance(body, Path):
                self._tell({**asked, "path": str(body), "length": 0})
            else:
                self._tell({**asked, "path": None, "length": len(body)}, body)
            return await future
        except asyncio.CancelledError:
            self._tell({"cancel": number})
            raise
        finally:
            del self._due[number]

    def _tell(self, what: dict[str, Any], body: bytes = b"") -> None:
        self._writer.write(json.dumps(what).encode() + b"\n" + body)

    async def _listen(self) -> None:
        try:
            while line := await self._reader.readline():
                head = json.loads(line)
                content = await self._reader.readexactly(head["length"])
                future = self._due.get(head["id"])
                if future is not None and not future.done():
                    future.set_result((head["status"], content))
        except (asyncio.IncompleteReadError, OSError):
            pass
        self.alive = False
        for future in self._due.values():
            if not future.done():
                future.set_exception(ConnectionError("the engine has gone"))
        self._lost()
