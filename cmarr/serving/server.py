"""A server for a trained model: MLflow's requests and replies, bounds on what comes in, a sentence for what is wrong.

It needs no MLflow. SIGTERM and Ctrl-C let the requests that are under way finish; new ones are refused.
"""

import json
import logging
import signal
import socket
import sys
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from cmarr.errors import UserError
from cmarr.serving.service import Service

log = logging.getLogger(__name__)

CONNECTIONS = 32
"""At once; further ones are told that the server is busy (503)."""

PATIENCE = 4
"""How many times the size that is allowed is read, and thrown away, before a client is cut off."""

JSON = "application/json"


class Wrong(Exception):
    """A request that gets a status and a sentence."""

    def __init__(self, status: int, code: str, sentence: str):
        super().__init__(sentence)
        self.status, self.code = status, code


def application(service: Service, max_request: float) -> Starlette:
    """POST /invocations, GET /ping and /health, as of MLflow's server; `max_request` in megabytes."""

    async def invocations(request: Request) -> Response:
        try:
            inputs = _inputs(await _body(request, max_request))
            replies = await run_in_threadpool(service.reply, inputs)
        except Wrong as wrong:
            return _error(wrong.status, wrong.code, str(wrong))
        except UserError as error:
            return _error(400, "INVALID_PARAMETER_VALUE", str(error))
        except ClientDisconnect:
            return Response(status_code=400)
        except Exception:
            log.exception("a request failed")
            return _error(500, "INTERNAL_ERROR", "a defect of cmarr; the server's log tells more")
        return _json({"predictions": replies})

    async def alive(_: Request) -> Response:
        return Response("\n", media_type=JSON)

    async def lost(request: Request, _: Exception) -> Response:
        return _error(404, "ENDPOINT_NOT_FOUND", f"there is no {request.url.path}; POST to /invocations")

    async def misused(request: Request, _: Exception) -> Response:
        return _error(405, "BAD_REQUEST", f"{request.url.path} does not take {request.method}")

    routes = [
        Route("/invocations", invocations, methods=["POST"]),
        Route("/ping", alive),
        Route("/health", alive),
    ]
    return Starlette(routes=routes, exception_handlers={404: lost, 405: misused})


def listen(host: str, port: int) -> socket.socket:
    """A socket that is bound; `port` 0 takes a free one. Raises UserError where that cannot be."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=128)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UserError(
            f"cannot listen on {host}, port {port} ({reason}); choose another --port or --host"
        ) from None


def serve(service: Service, listening: socket.socket, max_request: float) -> None:
    """Serve until SIGTERM or Ctrl-C; then finish what is under way, and return."""
    logging.basicConfig(format="cmarr serve: %(message)s", stream=sys.stderr)
    config = uvicorn.Config(
        application(service, max_request),
        log_level="warning",
        access_log=False,
        server_header=False,
        lifespan="off",
        ws="none",
        limit_concurrency=CONNECTIONS,
    )
    # Once everything is finished, uvicorn raises the signal again, for whoever handled it before.
    before = {number: signal.signal(number, _noted) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        uvicorn.Server(config).run(sockets=[listening])
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _noted(*_: object) -> None:
    """The server has ended already."""


async def _body(request: Request, most: float) -> bytes:
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind != JSON:
        raise Wrong(415, "BAD_REQUEST", f"Content-Type is {kind or 'missing'}; send {JSON}")
    too_large = Wrong(
        413,
        "BAD_REQUEST",
        f"the request has more than max_request_megabytes = {most:g} allows; send fewer clips, or raise it",
    )
    body, length = bytearray(), 0
    async for part in request.stream():
        length += len(part)
        if length <= most * 1e6:
            body += part
        elif length > PATIENCE * most * 1e6:
            break
        else:  # a client that is cut off while it sends would never see why
            body.clear()
    if length > most * 1e6:
        raise too_large
    return bytes(body)


def _inputs(body: bytes) -> Any:
    try:
        content = json.loads(body)
    except RecursionError:
        raise Wrong(400, "BAD_REQUEST", "the request is nested too deeply") from None
    except ValueError as error:  # of JSON, and of bytes that are no UTF-8
        reason = getattr(error, "msg", None) or "not UTF-8"
        place = f", character {error.pos}" if isinstance(error, json.JSONDecodeError) else ""
        raise Wrong(400, "BAD_REQUEST", f"the request is not JSON ({reason}{place})") from None
    if not isinstance(content, dict) or set(content) != {"inputs"}:
        raise Wrong(
            400, "BAD_REQUEST", 'write {"inputs": [{"text": "..."}, ...]}, and nothing else beside "inputs"'
        )
    return content["inputs"]


def _error(status: int, code: str, sentence: str) -> Response:
    return _json({"error_code": code, "message": sentence}, status)


def _json(content: Any, status: int = 200) -> Response:
    """ASCII only: what a client sent may hold what no UTF-8 can, such as half of an emoji."""
    return Response(json.dumps(content, allow_nan=False), status, media_type=JSON)
