"""What every request has to pass, and what every answer carries."""

import time
from collections.abc import Callable
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cmarr.serving.measures import Measures
from cmarr.serving.messages import complaint
from cmarr.serving.policy import HEADERS, host_name


class Guard:
    """Lets in what names this server and comes from no other page; counts, and puts headers on every answer."""

    def __init__(self, app: ASGIApp, hosts: Callable[[str], bool], measures: Measures):
        self.app, self.hosts, self.measures = app, hosts, measures

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started, status = time.monotonic(), 500

        async def told(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            refusal = self._refusal(Headers(scope=scope))
            await (refusal or self.app)(scope, receive, told)
        finally:
            self.measures.note(scope["path"], status, time.monotonic() - started)

    def _refusal(self, headers: Headers) -> JSONResponse | None:
        host, origin = headers.get("host", ""), headers.get("origin")
        if not self.hosts(host):
            return _no(
                421,
                f"Host is {_shown(host)}, which is not this server; --allowed-host {_shown(host_name(host))}",
            )
        if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
            return _no(
                403, f"the request comes from a page of {_shown(origin)}; only pages of this server may ask"
            )
        return None


def _shown(name: str) -> str:
    return ascii(name)[1:-1][:80] or "missing"


def _no(status: int, sentence: str) -> JSONResponse:
    return JSONResponse(complaint("BAD_REQUEST", sentence), status)
