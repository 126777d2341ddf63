"""The service: TensorFlow Serving's addresses, health, metrics, OpenAPI, and a small page.

The event loop only reads, checks and writes. Each model computes in a thread of its own, which also
opens it, after the server has started: nothing is loaded before a fork.
"""

import asyncio
import contextlib
import functools
import json
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Future
from importlib import resources
from typing import Any

import dlnotes
from dlnotes.serving.batcher import Closed, Overloaded
from dlnotes.serving.bridge import Bridge, Share
from dlnotes.serving.errors import RequestError, needs_serve_extra
from dlnotes.serving.metrics import CONTENT_TYPE, Metrics
from dlnotes.serving.served import ServedModel
from dlnotes.validation import check_int, received

with needs_serve_extra():
    import orjson
    from fastapi import FastAPI, Request, Response
    from starlette.types import Receive, Scope, Send

    from dlnotes.serving.protocol import WATCH

MAX_BODY_BYTES = 8 * 2**20
INLINE_BYTES = 2**17  # what takes longer to read than a thread takes to start
MOST_LARGE = 8  # bodies of the largest size that are in memory at once, or as many bytes in others
CLIENT_LEFT = 499  # nginx' number for it; nobody reads the answer
LOG = logging.getLogger(__name__)
# the page is one file: it may load nothing from elsewhere
PAGE_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
        "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
}


class _Refused(Exception):
    """An answer that is no prediction."""

    def __init__(self, code: int, message: str, field: str | None = None, **headers: str) -> None:
        super().__init__(message)
        self.code, self.field = code, field
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


class _App(FastAPI):
    """FastAPI, past which the requests for predictions go: it would take longer than the model.

    Attributes:
        direct: What answers a POST, by address.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.direct: dict[str, Callable[[Scope, Receive], Awaitable[Response]]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "HEAD":
            scope = {**scope, "method": "GET"}  # the server leaves the body out
        direct = scope["type"] == "http" and scope["method"] == "POST"
        answer = self.direct.get(scope["path"]) if direct else None
        if answer is None:
            await super().__call__(scope, receive, send)
            return
        try:
            response = await answer(scope, receive)
        except Exception:
            LOG.exception("the service has failed")
            response = _error(500, "the service has failed")
        await response(scope, receive, send)


def create_app(
    models: Sequence[ServedModel],
    *,
    metrics: Metrics | None = None,
    max_body_bytes: int = MAX_BODY_BYTES,
    on_ready: Callable[[], Any] = lambda: None,
    on_failure: Callable[[BaseException], Any] = lambda error: None,
) -> FastAPI:
    """Make the web application for some models.

    They are started when the application starts, and closed when it ends, after they have answered
    what was accepted.

    Args:
        models: Not yet started, each of another name.
        metrics: What the models count in; None makes one for the requests alone.
        max_body_bytes: The most bytes of a request's body, >= 1.
        on_ready: Called in the event loop when all models are warm.
        on_failure: Called there with the error of a model that cannot be opened.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If there are no models, or two have the same name.
        ModuleNotFoundError: If FastAPI is missing; the message says what to install.
    """
    named = {model.name: model for model in models}
    if not models or len(named) < len(models):
        names = [model.name for model in models]
        raise ValueError(f"`models` must be some, each of another name. {received(names=names)}")
    max_body_bytes = check_int("max_body_bytes", max_body_bytes, low=1)
    metrics, bridge = metrics or Metrics(), Bridge(MOST_LARGE * max_body_bytes)

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        futures = [asyncio.wrap_future(model.start()) for model in models]
        watch = asyncio.create_task(_watch(futures, on_ready, on_failure))
        try:
            yield
        finally:
            watch.cancel()
            for model in models:
                await asyncio.to_thread(model.close)
            bridge.close()

    app = _App(
        title="dlnotes serve",
        description="Predictions of models in bundles, in TensorFlow Serving's form.",
        version=dlnotes.__version__,
        lifespan=lifespan,
        docs_url=None,  # it would load its scripts from the internet
        redoc_url=None,
        redirect_slashes=False,
    )

    @app.get("/healthz", tags=["state"], summary="Whether the process answers")
    async def healthz() -> dict[str, str]:
        return {"status": "alive"}

    @app.get(
        "/readyz",
        tags=["state"],
        summary="Whether all models are warm",
        responses=_described({503: "Some model loads, or has failed"}),
    )
    async def readyz() -> Response:
        states = {name: model.state for name, model in named.items()}
        ready = set(states.values()) == {"AVAILABLE"}
        failures = {name: model.failure for name, model in named.items() if model.failure}
        status = {"status": "ready" if ready else "not ready", "models": states}
        return _json(status | ({"errors": failures} if failures else {}), 200 if ready else 503)

    @app.get("/metrics", tags=["state"], summary="Counters in Prometheus' text format")
    async def read_metrics() -> Response:
        return Response(metrics.text(), media_type=CONTENT_TYPE)

    @app.get("/v1/models", tags=["models"], summary="Names of the models")
    async def list_models() -> dict[str, list[str]]:
        return {"models": list(named)}

    @app.get("/", include_in_schema=False)
    async def page() -> Response:
        return _page("page.html")

    @app.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        return _page("docs.html")

    for model in models:
        _add_model(app, model, metrics, max_body_bytes, bridge)
    _add_error_handlers(app, named)
    return app


async def _watch(
    futures: Sequence["asyncio.Future[None]"],
    on_ready: Callable[[], Any],
    on_failure: Callable[[BaseException], Any],
) -> None:
    try:
        await asyncio.gather(*futures)
    except Exception as error:
        on_failure(error)
    else:
        on_ready()


# === Routes of one model ===


def _add_model(
    app: "_App", model: ServedModel, metrics: Metrics, max_body_bytes: int, bridge: Bridge
) -> None:
    path = f"/v1/models/{model.name}"
    seconds = metrics.seconds.labels(model.name)
    counters: dict[int, Any] = {}

    async def answer(scope: Scope, receive: Receive) -> Response:
        begin = time.perf_counter()
        try:
            response = await _predict(model, scope, receive, max_body_bytes, bridge)
        except _Refused as refused:
            response = _error(refused.code, str(refused), refused.field, refused.headers)
        code = response.status_code
        if code not in counters:
            counters[code] = metrics.requests.labels(model.name, str(code))
        counters[code].inc()
        seconds.observe(time.perf_counter() - begin)
        return response

    @app.get(
        path,
        tags=["models"],
        summary=f"State and signature of {model.name}",
        operation_id=f"describe_{model.name}",
    )
    async def describe() -> Response:
        return _json(model.describe())

    @app.post(
        f"{path}:predict",
        tags=["models"],
        summary=f"Predictions of {model.name}",
        operation_id=f"predict_{model.name}",
        responses=_described(
            {
                400: "The body does not suit the model; `field` says where",
                408: "The body did not come in time",
                413: "The body is too large",
                415: "The body is compressed",
                500: "The model could not be computed",
                503: "The model is not ready, or too many requests wait",
                504: "The answer was not ready in time",
            }
        ),
        openapi_extra=_request_schema(model),
    )
    async def predict(request: Request) -> Response:
        return await answer(request.scope, request.receive)

    app.direct[f"{path}:predict"] = answer


async def _predict(
    model: ServedModel, scope: Scope, receive: Receive, max_body_bytes: int, bridge: Bridge
) -> Response:
    if model.state != "AVAILABLE":
        raise _Refused(503, f"{model.name} is not ready: {model.state}", Retry_After="1")
    headers = dict(scope["headers"])
    encoding = headers.get(b"content-encoding", b"identity").decode("latin-1")
    if encoding.lower() != "identity":
        raise _Refused(415, f"the body must not be compressed. {received(encoding=encoding)}")
    end = time.monotonic() + model.settings.timeout
    announced = headers.get(b"content-length", b"")
    try:
        future = await _ask(model, receive, announced, max_body_bytes, end, bridge)
    except RequestError as error:
        raise _Refused(400, str(error), error.field) from None
    except Overloaded as error:
        raise _Refused(503, str(error), Retry_After=str(error.retry_after)) from None
    except TimeoutError:
        raise _Refused(504, _late(model)) from None
    except Closed as error:
        raise _Refused(503, str(error), Retry_After="1") from None
    predictions = await _result(scope, receive, future, end - time.monotonic(), model, bridge)
    try:
        return _answer(predictions)
    except ValueError:
        message = "the model has no finite answer to these `instances`"
        raise _Refused(400, message, "instances") from None


def _late(model: ServedModel) -> str:
    return f"no answer within {model.settings.timeout:g} s"


async def _ask(
    model: ServedModel, receive: Receive, announced: bytes, limit: int, end: float, bridge: Bridge
) -> Future:
    """Read a body, and put what it asks into the queue: behind that it is no longer in memory."""
    with Share(bridge) as share:
        body = await _read_body(receive, announced, limit, model.settings.timeout, share)
        if len(body) <= INLINE_BYTES:
            return model.ask(body)
        async with asyncio.timeout(end - time.monotonic()):
            return await bridge.aside(model.ask, body)


async def _read_body(
    receive: Receive, announced: bytes, limit: int, timeout: float, share: Share
) -> bytes:
    too_large = f"the body must have at most {limit} bytes"
    if announced.isdigit() and int(announced) > limit:
        raise _Refused(413, too_large)
    pieces, size, more = [], 0, True
    try:
        async with asyncio.timeout(timeout):
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise _Refused(CLIENT_LEFT, "the client left")
                pieces.append(message.get("body", b""))
                size += len(pieces[-1])
                if size > limit:
                    raise _Refused(413, too_large)
                if size > INLINE_BYTES:
                    share.grow(size)
                more = message.get("more_body", False)
    except TimeoutError:
        raise _Refused(408, f"the body did not come within {timeout:g} s") from None
    return b"".join(pieces)


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass  # the server may repeat the end of the body


async def _result(
    scope: Scope,
    receive: Receive,
    future: Future,
    seconds: float,
    model: ServedModel,
    bridge: Bridge,
) -> list[Any]:
    """Wait for the predictions; nobody computes them once the client has left or time is over."""
    waiter = bridge.wait_for(future)
    watch = scope.get(WATCH)
    left = None if watch else asyncio.ensure_future(_disconnected(receive))

    def give_up(kind: Callable[..., Exception], *about: Any) -> None:
        if not waiter.done():
            waiter.set_exception(kind(*about))

    leave = functools.partial(give_up, _Refused, CLIENT_LEFT, "the client left")
    clock = asyncio.get_running_loop().call_later(
        max(0, seconds), give_up, TimeoutError, _late(model)
    )
    if watch:
        watch(leave)
    else:
        left.add_done_callback(lambda task: task.cancelled() or leave())
    try:
        return (await waiter).result()
    except TimeoutError as error:
        raise _Refused(504, str(error)) from None
    except Closed as error:
        raise _Refused(503, str(error), Retry_After="1") from None
    except _Refused:
        raise
    except Exception as error:
        LOG.exception("%s could not be computed", model.name)
        raise _Refused(500, f"{model.name} could not be computed") from error
    finally:
        future.cancel()  # now, and not when the loop comes round to telling it
        clock.cancel()
        if left:
            left.cancel()


# === Answers ===


def _answer(predictions: list[Any]) -> Response:
    """Return predictions as JSON, by the quick way, which writes null for NaN, if it holds none."""
    content = {"predictions": predictions}
    try:
        text = orjson.dumps(content)
    except TypeError:  # half a character in a text
        text = b"null"
    return _json(content) if b"null" in text else Response(text, media_type="application/json")


def _json(content: Any, code: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    text = json.dumps(content, allow_nan=False, separators=(",", ":"))
    return Response(text, code, dict(headers or {}), "application/json")


def _error(
    code: int, message: str, field: str | None = None, headers: Mapping[str, str] | None = None
) -> Response:
    return _json({"error": message} | ({"field": field} if field else {}), code, headers)


def _page(name: str) -> Response:
    content = resources.files(__package__).joinpath(name).read_bytes()
    return Response(content, media_type="text/html; charset=utf-8", headers=PAGE_HEADERS)


def _add_error_handlers(app: FastAPI, named: Mapping[str, ServedModel]) -> None:
    async def not_found(request: Request, error: Exception) -> Response:
        listed = ", ".join(named)
        return _error(404, f"there is nothing at {request.url.path}. The models: {listed}")

    async def wrong_method(request: Request, error: Any) -> Response:
        message = f"{request.method} is not for {request.url.path}"
        return _error(405, message, headers=error.headers)

    async def failed(request: Request, error: Exception) -> Response:
        return _error(500, "the service has failed")

    app.add_exception_handler(404, not_found)
    app.add_exception_handler(405, wrong_method)
    app.add_exception_handler(Exception, failed)


def _described(codes: Mapping[int, str]) -> dict[int | str, dict[str, Any]]:
    schema = {
        "type": "object",
        "properties": {"error": {"type": "string"}, "field": {"type": "string"}},
    }
    content = {"application/json": {"schema": schema}}
    return {code: {"description": text, "content": content} for code, text in codes.items()}


def _request_schema(model: ServedModel) -> dict[str, Any]:
    """Return what OpenAPI says of a request, with the golden one as example."""
    row = model.bundle.preprocessor.json_schema()
    limits = {"minItems": 1, "maxItems": model.settings.max_batch_size}
    # all rows as values or all as objects: not some so and some so
    kinds = [{"type": "array", "items": kind, **limits} for kind in row.get("anyOf", [row])]
    instances = {"anyOf": kinds} if len(kinds) > 1 else kinds[0]
    schema = {
        "type": "object",
        "properties": {"instances": instances, "signature_name": {"const": "serving_default"}},
        "required": ["instances"],
        "additionalProperties": False,
    }
    example = {"instances": model.bundle.manifest.golden.request["instances"][:1]}
    content = {"application/json": {"schema": schema, "example": example}}
    return {"requestBody": {"required": True, "content": content}}
