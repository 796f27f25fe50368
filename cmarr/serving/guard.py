"""What every request has to pass, and what every answer carries."""

import time
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cmarr.serving.measures import Measures
from cmarr.serving.messages import complaint
from cmarr.serving.policy import HEADERS, host_name

LATER = "5"
"""Seconds after which one who finds no room may ask again."""

CODES = {404: "ENDPOINT_NOT_FOUND", 429: "REQUEST_LIMIT_EXCEEDED", 503: "TEMPORARILY_UNAVAILABLE"}


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
            refused = self._refusal(Headers(scope=scope))
            await (refused or self.app)(scope, receive, told)
        finally:
            self.measures.note(scope["path"], status, time.monotonic() - started)

    def _refusal(self, headers: Headers) -> JSONResponse | None:
        host, origin = headers.get("host", ""), headers.get("origin")
        if not self.hosts(host):
            named = f"--allowed-host {_shown(host_name(host))}"
            return refusal(421, f"Host is {_shown(host)}, which is not this server; {named}")
        if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
            told = f"the request comes from a page of {_shown(origin)}; only pages of this server may ask"
            return refusal(403, told)
        return None


def _shown(name: str) -> str:
    return ascii(name)[1:-1][:80] or "missing"


def refusal(status: int, sentence: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """What is wrong, as every complaint is told."""
    later = {"Retry-After": LATER} if status in (429, 503) else {}
    content = complaint(CODES.get(status, "BAD_REQUEST"), sentence)
    return JSONResponse(content, status, {**later, **(headers or {})})
