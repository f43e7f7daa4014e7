"""The prediction service: images in, classes and routing out, over HTTP.

It is one long module because its requests share one set of limits and refusals.
"""

import hmac
import secrets
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from html import escape
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import onnxruntime
from fastapi import Depends, FastAPI, HTTPException, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic_core import to_json
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.middleware.cors import CORSMiddleware
from threadpoolctl import threadpool_limits

from expertnet import __version__
from expertnet.data.images import MAX_PIXELS
from expertnet.service.answers import About, Answer, Network, Problem, State, Versions
from expertnet.service.batches import Batcher
from expertnet.service.decoder import Decoder
from expertnet.service.intake import BYTES, FIELD, FORM, PIXELS, media_type, read_files
from expertnet.service.limits import SOON, Gate, Limits
from expertnet.service.metrics import Measured, Metrics
from expertnet.service.model import Found, Served
from expertnet.utils.text import listed

PAGE = Path(__file__).with_name("page.html")
MOST_CLASSES = 1000  # in an answer
REFUSALS = {
    400: "The body is malformed or incomplete",
    401: "The API key is missing or wrong",
    408: "The body took too long",
    413: "Too many bytes, pixels or images",
    415: "Not an image, or a body of another type",
    422: "A damaged image, a form without images, or a wrong parameter",
    429: "Too many requests at once; Retry-After says when to try again",
    503: "Not ready",
}
_FILE = {"type": "string", "format": "binary"}
_FORM = {
    "type": "object",
    "properties": {FIELD: {"type": "array", "items": _FILE, "minItems": 1}},
    "required": [FIELD],
    "additionalProperties": False,
}
BODY = {
    "required": True,
    "content": {FORM: {"schema": _FORM}} | {kind: {"schema": _FILE} for kind in (BYTES, "image/*", PIXELS)},
}


def make_app(
    served: Served,
    *,
    threads: int,
    limits: Limits,
    key: str = "",
    hosts: Sequence[str] = (),
    origins: Sequence[str] = (),
) -> FastAPI:
    """Return the service of a network.

    It needs the `key` if there is one, answers only requests for `hosts` if there are any, and lets pages of `origins` use it.
    """
    gate = Gate(limits)
    network = Network(
        run=served.run.id, checkpoint=served.checkpoint, epoch=served.predictor.epoch, fingerprint=served.fingerprint
    )
    versions = Versions(expertnet=__version__, onnxruntime=onnxruntime.__version__)
    facts = {"network": network.model_dump(), "versions": versions.model_dump()}
    metrics = Metrics({name: str(value) for each in facts.values() for name, value in each.items()})

    def classify(asked: Sequence[tuple[np.ndarray, int]]) -> list[Found]:
        metrics.batches.observe(len(asked))
        return served.classify(asked)

    batcher, decoder = Batcher(classify, threads), Decoder(served.predictor.image_size, limits)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        # Each batch computes on one thread of the batcher, so NumPy's products must not start more
        with threadpool_limits(1, user_api="blas"), decoder, batcher:
            yield

    async def check_host(request: Request) -> None:
        if hosts and request.url.hostname not in hosts:
            raise HTTPException(400, f"Without an API key, the service answers only requests for {listed(hosts)}.")

    app = FastAPI(
        title="ExpertNet prediction service",
        version=__version__,
        description=f"Classifies images with run {served.run.id}.",
        openapi_url=None,  # its route below checks the host name, too
        docs_url=None,
        redoc_url=None,
        dependencies=[Depends(check_host)],
        lifespan=lifespan,
    )
    app.add_middleware(Measured, metrics=metrics, path="/predict")
    if origins:
        app.add_middleware(
            CORSMiddleware, allow_origins=list(origins), allow_methods=["GET", "POST"], allow_headers=["*"]
        )
    _add_error_handlers(app)

    async def check_key(
        given: Annotated[HTTPAuthorizationCredentials | None, Depends(HTTPBearer(auto_error=False))],
    ) -> None:
        if given is None or not hmac.compare_digest(given.credentials.encode(), key.encode()):
            raise HTTPException(401, "The API key is missing or wrong.", {"WWW-Authenticate": "Bearer"})

    locked: dict[str, Any] = {"dependencies": [Depends(check_key)], "responses": _problems(401)} if key else {}

    @app.post(
        "/predict",
        response_model=Answer,
        dependencies=locked.get("dependencies"),
        responses=_problems(400, 408, 413, 415, 422, 429) | locked.get("responses", {}),
        openapi_extra={"requestBody": BODY},
    )
    async def predict(
        request: Request,
        top: Annotated[int, Query(ge=1, le=MOST_CLASSES, description="How many classes to name for each image")] = 5,
    ) -> Response:
        """Classify an image (the body of the request) or several (the files of a form)."""
        began = time.perf_counter()
        with gate.body(request) as hold:
            kind = media_type(request)
            files = await read_files(request, kind, limits, hold)
            received = time.perf_counter()
            with gate.place():
                images = decoder.split(files[0][1]) if kind == PIXELS else await decoder(files)
                names = [None] * len(images) if kind == PIXELS else [name for name, _ in files]
                decoded = time.perf_counter()
                del files
                answers = await batcher([(image, top) for image in images])
        metrics.images.inc(len(answers))
        done = time.perf_counter()
        times = {
            "receive": received - began,
            "decode": decoded - received,
            "classify": done - decoded,
            "total": done - began,
        }
        document = {
            "images": [{"file": name} | answer for name, answer in zip(names, answers, strict=True)],
            **facts,
            "milliseconds": {name: round(1000 * seconds, 3) for name, seconds in times.items()},
        }
        return Response(to_json(document, inf_nan_mode="null"), media_type="application/json")

    @app.get("/about", **locked)
    async def about() -> About:
        """Describe the network that answers, its classes, and the limits of the service."""
        most = {
            "requests": limits.requests,
            "images": limits.images,
            "bytes": limits.body,
            "pixels": MAX_PIXELS,
            "pixels_of_a_request": limits.pixels,
        }
        predictor = served.predictor
        return About(
            name=served.run.title,
            network=network,
            versions=versions,
            dataset=predictor.info.name,
            classes=list(predictor.classes),
            image_size=predictor.image_size,
            blocks=list(predictor.settings.model.routed_blocks),
            unlike=served.novelty is not None,
            limits=most,
        )

    text = {200: {"content": {"text/plain": {"schema": {"type": "string"}}}}}

    @app.get("/metrics", response_class=Response, **locked | {"responses": text | locked.get("responses", {})})
    async def measured() -> Response:
        """Return metrics in Prometheus' text format."""
        return Response(metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    @app.get("/health")
    async def health() -> State:
        """Report that the service is running."""
        return State(status="ok")

    @app.get("/ready", responses=_problems(503))
    async def ready() -> State:
        """Report whether the service can take another request."""
        if gate.full:
            raise HTTPException(503, "The service is busy.", SOON)
        return State(status="ready")

    @app.get("/openapi.json", include_in_schema=False)
    async def description() -> JSONResponse:
        return JSONResponse(app.openapi())

    @app.get("/", include_in_schema=False)
    @app.get("/docs", include_in_schema=False)
    async def page() -> HTMLResponse:
        nonce = secrets.token_urlsafe()
        text = PAGE.read_text(encoding="utf-8").replace("{nonce}", nonce).replace("{title}", escape(served.run.title))
        policy = f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; img-src blob:; connect-src 'self'"
        return HTMLResponse(text, headers={"Content-Security-Policy": f"{policy}; frame-ancestors 'none'"})

    return app


def _problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {status: {"model": Problem, "description": REFUSALS[status]} for status in statuses}


def _add_error_handlers(app: FastAPI) -> None:
    """Make every refusal and every failure a `Problem`."""

    @app.exception_handler(StarletteHTTPException)
    async def refused(request: Request, error: StarletteHTTPException) -> JSONResponse:
        path, says = repr(request.scope["path"][:100]), str(error.detail)
        if error.status_code == 404:
            says = f"There is nothing at {path}. Open / to see all requests."
        elif error.status_code == 405:
            says = f"{path} takes no {request.method} requests. Use {(error.headers or {}).get('Allow')}."
        return JSONResponse({"error": says}, error.status_code, error.headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        given = str(error.errors()[0]["input"])[:40]  # for top, which is the only parameter
        says = f"top must be a whole number from 1 to {MOST_CLASSES}. You sent {given!r}."
        return JSONResponse({"error": says}, 422)

    @app.exception_handler(Exception)
    async def failed(request: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"error": "The service failed. Its log says why."}, 500)
