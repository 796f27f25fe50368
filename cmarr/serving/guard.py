"""What every request has to pass, and what every answer carries."""

import time
from collections.abc import Callable
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cmarr.serving.measures import Measures
from cmarr.serving.messages import complaint

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob:",
        "media-src 'self' blob:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
"""What a page from here may load, and from where: its own files, and what its user has chosen or recorded."""

HEADERS = {
    "Content-Security-Policy": POLICY,
    "Permissions-Policy": "camera=(self), microphone=(self)",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def allowed(host: str, names: list[str]) -> Callable[[str], bool]:
    """Whether a Host header is ours, told from where the server listens and from further names; '*' is any.

    A page of somebody else's whose name leads here would otherwise speak to this server as one of its own. An address
    cannot be led anywhere: any will do, or on loopback those of loopback.

    >>> ours = allowed("127.0.0.1", ["box.example"])
    >>> ours("localhost:5001"), ours("box.example"), ours("10.0.0.1"), ours("elsewhere.example")
    (True, True, False, False)
    """
    known = {"localhost", host.lower(), *(name.lower() for name in names)}
    near = _loopback(host)

    def ours(header: str) -> bool:
        name = _name(header)
        if "*" in names or name in known:
            return True
        try:
            address = ip_address(name)
        except ValueError:
            return False
        return address.is_loopback or not near

    return ours


def _loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _name(header: str) -> str:
    """The name of a Host header without its port, in small letters; '' where it is none."""
    try:
        return (urlsplit(f"//{header}").hostname or "").rstrip(".")
    except ValueError:
        return ""


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
                421, f"Host is {_shown(host)}, which is not this server; --allowed-host {_shown(_name(host))}"
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
