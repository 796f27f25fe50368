"""Whose requests are let in, and what every answer carries. Nothing but the standard library is needed for it."""

from collections.abc import Callable
from ipaddress import ip_address
from urllib.parse import urlsplit

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
        name = host_name(header)
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


def host_name(header: str) -> str:
    """The name of a Host header without its port, in small letters; '' where it is none."""
    try:
        return (urlsplit(f"//{header}").hostname or "").rstrip(".")
    except ValueError:
        return ""
