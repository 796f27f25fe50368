"""Bodies on their way in: counted, timed, paced, and kept where they do not fill the memory."""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from cmarr.serving.budgets import FREE, Budgets, Load

PIECE = 1 << 18
"""Bytes of a body that are written at once."""

PATIENCE = 4
"""How many times the size that is allowed is read, and thrown away, before a client is cut off, which would never see
why."""

PACE = 64e6
"""Bytes of large bodies that are taken in a second, all together: a flood must not keep the loop from the others."""


class TooSlow(Exception):
    """A body that did not come in time."""


class TooLarge(Exception):
    """A body of more bytes than are allowed."""


class Receiver:
    """Takes bodies in; those that are more than small lie in the folder `scratch` while they are wanted."""

    def __init__(self, budgets: Budgets, scratch: Path):
        self.budgets, self.scratch = budgets, scratch
        self._free_at = 0.0

    @asynccontextmanager
    async def body(self, parts: AsyncIterator[bytes], load: Load) -> AsyncIterator[bytes | Path]:
        """The body itself, or the file in which it lies until the block ends.

        Raises TooSlow, TooLarge, Spent, and OSError where there is no room on the disk.
        """
        content = bytearray()
        path: Path | None = None
        try:
            try:
                async with asyncio.timeout(self.budgets.body_seconds):
                    async for part in self._allowed(parts, load):
                        content += part
                        if len(content) >= PIECE:
                            path = await asyncio.to_thread(self._write, path, content)
                    if path is not None or len(content) > FREE:
                        path = await asyncio.to_thread(self._write, path, content)
            except TimeoutError:
                raise TooSlow from None
            yield path or bytes(content)
        finally:
            if path is not None:
                await asyncio.to_thread(path.unlink, missing_ok=True)

    async def _allowed(self, parts: AsyncIterator[bytes], load: Load) -> AsyncIterator[bytes]:
        most = self.budgets.max_request_megabytes * 1e6
        length = 0
        async for part in parts:
            length += len(part)
            if length <= most:
                load.add(len(part))
                yield part
            elif length > PATIENCE * most:
                break
            if length > FREE:
                await self._pace(len(part))
        if length > most:
            raise TooLarge

    async def _pace(self, count: int) -> None:
        now = time.monotonic()
        self._free_at = max(self._free_at, now) + count / PACE
        await asyncio.sleep(self._free_at - now)

    def _write(self, path: Path | None, content: bytearray) -> Path:
        """Add to the file, which is made if there is none, and empty the memory."""
        if path is None:
            with tempfile.NamedTemporaryFile(dir=self.scratch, delete=False) as made:
                path = Path(made.name)
        with path.open("ab") as file:
            file.write(content)
        content.clear()
        return path
