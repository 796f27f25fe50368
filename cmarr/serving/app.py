"""The addresses of the server, and what every request has to pass. It knows no model: a `Link` leads to that.

JSON is not read here, nor are uploads: bodies go into files, counted and timed, and whoever works on them reads them.
"""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response
from fastapi.staticfiles import StaticFiles
from jinja2 import Environment, FileSystemLoader
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.requests import ClientDisconnect

from cmarr import __version__
from cmarr.serving.bodies import FILES
from cmarr.serving.budgets import Budgets, Flight, Spent, TooMany
from cmarr.serving.guard import LATER, Guard, refusal
from cmarr.serving.link import Link
from cmarr.serving.measures import Measures
from cmarr.serving.messages import DEFECT, About, Answer, Clip, Complaint, Form, Replies, complaint
from cmarr.serving.received import Receiver, TooLarge, TooSlow

log = logging.getLogger(__name__)

PAGE = Path(__file__).with_name("page")

JSON, UPLOAD = "application/json", "multipart/form-data"

WRONG: dict[int | str, dict[str, Any]] = {
    status: {"model": Complaint, "description": description}
    for status, description in {
        400: "Not a request, or nothing can be predicted",
        408: "The body did not come in time",
        413: "The body is too large",
        415: "The body is of another kind, or compressed",
        429: "As many requests of this client wait as may; Retry-After says when to ask again",
        503: "No room now, or not answered in time; Retry-After says when to ask again",
    }.items()
}


def application(
    about: About, budgets: Budgets, link: Callable[[], Link], hosts: Callable[[str], bool], scratch: Path
) -> tuple[FastAPI, Measures]:
    """The application, and what counts its requests.

    link:    gives the way to the model, once there is one
    hosts:   whether a name in the Host header is one of ours
    scratch: folder for the bodies
    """
    app = FastAPI(
        title="cmarr",
        version=__version__,
        summary=about.name,
        docs_url=None,
        redoc_url=None,
    )
    relay = Relay(budgets, link, scratch)
    measures = Measures(relay.flight)
    _add_predicting(app, relay)
    _add_telling(app, about, relay, measures)
    app.mount("/page", StaticFiles(directory=PAGE))
    app.add_exception_handler(HTTPException, _refused)  # type: ignore[arg-type]
    for status in (404, 405):
        app.add_exception_handler(status, _elsewhere)
    app.add_exception_handler(Exception, _failed)
    app.add_middleware(Guard, hosts=hosts, measures=measures)
    return app, measures


def _add_predicting(app: FastAPI, relay: "Relay") -> None:
    @app.post("/invocations", response_model=Replies, responses=WRONG, openapi_extra=_body(JSON, _inputs()))
    async def invocations(request: Request) -> Response:
        """One prediction a clip; requests and replies are those of `mlflow models serve`."""
        return await relay.answer(request, "inputs", JSON)

    @app.post("/predict", response_model=Answer, responses=WRONG, openapi_extra=_body(UPLOAD, _upload()))
    async def predict(request: Request) -> Response:
        """A prediction for an upload, why it is in doubt, what it would be without each modality, and its course."""
        return await relay.answer(request, "upload", UPLOAD)


def _add_telling(app: FastAPI, about: About, relay: "Relay", measures: Measures) -> None:
    documentation = Environment(loader=FileSystemLoader(PAGE), autoescape=True).get_template("docs.html")

    @app.head("/ping", include_in_schema=False)
    @app.get("/ping", response_class=Response)
    async def ping() -> Response:
        """200, at once."""
        return Response("\n", media_type=JSON)

    @app.head("/health", include_in_schema=False)
    @app.get("/health")
    async def health() -> JSONResponse:
        """Whether there is a model to answer, and how much is under way; 503 where there is none."""
        status = "ok" if relay.alive else "the model has gone"
        content = {"status": status, "waiting": relay.flight.waiting, "bytes": relay.flight.held}
        return JSONResponse(content, 200 if relay.alive else 503)

    @app.get("/metrics", response_class=Response)
    async def metrics() -> Response:
        """What was asked and how long it took, for Prometheus."""
        return Response(measures.text(), media_type=CONTENT_TYPE_LATEST)

    @app.get("/model")
    async def model() -> About:
        """The model that answers, and what may be asked of it."""
        return about

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return HTMLResponse(documentation.render(api=app.openapi()))

    @app.get("/", include_in_schema=False)
    async def page() -> HTMLResponse:
        return HTMLResponse((PAGE / "index.html").read_text(encoding="utf-8"))


class Relay:
    """From a request to the model and back, within the budgets."""

    def __init__(self, budgets: Budgets, link: Callable[[], Link], scratch: Path):
        self.budgets, self.link = budgets, link
        self.flight, self._receiver = Flight(budgets), Receiver(budgets, scratch)

    @property
    def alive(self) -> bool:
        """Whether there is a model."""
        return self.link().alive

    async def answer(self, request: Request, kind: str, content_type: str) -> Response:
        """The model's answer. Raises HTTPException for whatever keeps it from there."""
        _require_type(request, content_type)
        budgets = self.budgets
        try:
            with self.flight.load() as load:
                async with self._receiver.body(request.stream(), load) as body:
                    with self.flight.place(request.client.host if request.client else ""):
                        return await self._ask(request, kind, body)
        except TooSlow:
            told = f"the body did not come within body_seconds = {budgets.body_seconds:g}"
            raise HTTPException(408, told, {"Connection": "close"}) from None
        except TooLarge:
            most = f"max_request_megabytes = {budgets.max_request_megabytes:g}"
            told = f"the request has more than {most} allows; send fewer clips, or raise it"
            raise HTTPException(413, told) from None
        except Spent as spent:
            raise HTTPException(429 if isinstance(spent, TooMany) else 503, str(spent)) from None
        except ConnectionError:
            raise HTTPException(503, "the model has gone") from None
        except OSError as error:
            log.error("the body of a request cannot be kept: %s", error.strerror)
            raise HTTPException(503, "the server has no room on its disk for the body of a request") from None
        except ClientDisconnect:
            return Response(status_code=400)

    async def _ask(self, request: Request, kind: str, body: bytes | Path) -> Response:
        seconds = self.budgets.request_seconds
        content_type = request.headers.get("content-type", "")
        asking = asyncio.create_task(self.link().ask(kind, body, content_type, seconds))
        leaving = asyncio.ensure_future(request.receive())
        try:
            await asyncio.wait({asking, leaving}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            if asking.done():
                status, content = asking.result()
                return Response(content, status, {"Retry-After": LATER} if status == 503 else None, JSON)
            if leaving.done():
                raise ClientDisconnect
            told = f"not answered within request_seconds = {seconds:g}; send less at once, or later"
            raise HTTPException(503, told)
        finally:
            asking.cancel()
            leaving.cancel()


def _require_type(request: Request, due: str) -> None:
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind != due:
        raise HTTPException(415, f"Content-Type is {kind[:80] or 'missing'}; send {due}")
    coded = request.headers.get("content-encoding", "identity").strip().lower()
    if coded not in ("identity", ""):
        raise HTTPException(415, f"Content-Encoding is {coded[:80]}; send the body as it is")


async def _refused(_: Request, error: HTTPException) -> JSONResponse:
    return refusal(error.status_code, error.detail, error.headers)


async def _elsewhere(request: Request, error: Exception) -> JSONResponse:
    path = ascii(request.url.path)[1:-1][:80]
    if getattr(error, "status_code", 404) == 405:
        return refusal(405, f"{path} does not take {request.method[:20]}", {"Allow": "GET, POST"})
    return refusal(404, f"there is no {path}; POST to /invocations or /predict, or see /docs")


async def _failed(_: Request, __: Exception) -> JSONResponse:
    return JSONResponse(complaint("INTERNAL_ERROR", DEFECT), 500)


def _body(kind: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"requestBody": {"required": True, "content": {kind: {"schema": schema}}}}


def _inputs() -> dict[str, Any]:
    clips = {"type": "array", "minItems": 1, "items": Clip.model_json_schema()}
    return {"type": "object", "properties": {"inputs": clips}, "required": ["inputs"]}


def _upload() -> dict[str, Any]:
    schema = Form.model_json_schema()
    media = {key: {"type": "string", "format": "binary"} for key in FILES}
    return schema | {"properties": {**media, **schema["properties"]}}
