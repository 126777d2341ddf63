"""HTTP on one connection: uvicorn's protocol, with limits to what a client may leave undone."""

import functools
import json
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from dlnotes.serving.errors import needs_serve_extra

with needs_serve_extra():
    import httptools
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

WATCH = "dlnotes.watch"  # in a request's scope: takes what to call when the client leaves
MAX_HEAD_BYTES = 2**16
MAX_FRAME_BYTES = 8  # around each byte of a body that comes in chunks
PATIENCE_S = 10.0


class HttpProtocol(HttpToolsProtocol):
    """One connection of a client.

    uvicorn's own waits without end for the head of a request, lets it grow without end, and goes on
    answering a client that has left, if it had sent several requests at once.
    """

    _active: Any = None  # the request that is being answered; those behind it wait in `pipeline`
    _begun: float | None = None  # when a request began that has not ended yet
    _piece = 0  # bytes that were received last
    _overhead = 0  # bytes of a request that are neither body nor its usual frame

    @property
    def idle(self) -> bool:
        """Whether no request is being answered."""
        return self.cycle is None or self.cycle.response_complete

    def connection_made(self, transport: Any) -> None:
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell all requests of the connection, and not only the last, that nobody listens."""
        for cycle in (self._active, *(cycle for cycle, _ in self.pipeline)):
            if cycle is not None:
                _abandon(cycle)
        self.pipeline.clear()
        super().connection_lost(exc)
        self._unset_keepalive_if_required()

    def data_received(self, data: bytes) -> None:
        """Read on; refuse what is no HTTP, and requests whose head is too large or too slow."""
        self._unset_keepalive_if_required()
        if self.transport.is_closing():
            return
        self._piece = len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass  # the request is answered as if it had not asked for another protocol
        except httptools.HttpParserError:
            self._refuse(HTTPStatus.BAD_REQUEST, "this is no HTTP request")
            return
        self._overhead += len(data)
        if self._overhead > MAX_HEAD_BYTES:
            self._refuse(
                HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
                f"the head of a request must have at most {MAX_HEAD_BYTES} bytes",
            )
        elif self.idle:
            if self._begun is not None and self.loop.time() - self._begun > PATIENCE_S:
                self._refuse(
                    HTTPStatus.REQUEST_TIMEOUT, f"the request did not come within {PATIENCE_S:g} s"
                )
            self._wait()

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._begun, self._overhead = self.loop.time(), -self._piece

    def on_body(self, body: bytes) -> None:
        """A piece of its body is there."""
        self._overhead -= (1 + MAX_FRAME_BYTES) * len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """All of it is there."""
        self._begun = None
        super().on_message_complete()

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        self._active = cycle
        cycle.scope[WATCH] = functools.partial(_watch, cycle)
        super()._start_asgi_task(cycle, app)

    def _wait(self) -> None:
        if self.timeout_keep_alive_task is None and not self.transport.is_closing():
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def _refuse(self, status: HTTPStatus, message: str) -> None:
        """Close the connection, with an answer where none is under way."""
        cycle = self.cycle
        if not self.idle and not cycle.more_body:
            cycle.keep_alive = False  # what came before is whole: it is answered, and then closed
            return
        if self.idle or (cycle is self._active and not cycle.response_started):
            body = json.dumps({"error": message}).encode()
            lines = (
                f"HTTP/1.1 {status.value} {status.phrase}",
                "content-type: application/json",
                f"content-length: {len(body)}",
                "connection: close",
            )
            self.transport.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        if not self.idle:
            _abandon(cycle)
        self.transport.close()


def _watch(cycle: Any, when_left: Callable[[], None]) -> None:
    cycle.when_left = when_left
    if cycle.disconnected:  # it left while its body was read
        when_left()


def _abandon(cycle: Any) -> None:
    if not cycle.response_complete:
        cycle.disconnected = True
        cycle.message_event.set()
        getattr(cycle, "when_left", lambda: None)()
