"""Runs the service in this process: bundles, a port, and a clean end."""

import asyncio
import contextlib
import ctypes
import gc
import os
import selectors
import socket
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from dlnotes.serving.app import MAX_BODY_BYTES, create_app
from dlnotes.serving.batcher import BatchSettings
from dlnotes.serving.bundle import load_bundle
from dlnotes.serving.engines import ENGINES
from dlnotes.serving.errors import needs_serve_extra
from dlnotes.serving.metrics import Metrics
from dlnotes.serving.served import ServedModel
from dlnotes.validation import check_choice, check_int, received

with needs_serve_extra():
    import uvicorn
    from fastapi import FastAPI

    from dlnotes.serving.protocol import HttpProtocol

M_MMAP_THRESHOLD = -3  # of glibc's malloc.h
GRACE_S = 30  # for what is being answered at the end
GC_THRESHOLDS = (50_000, 10, 10)
LAST_CALL_S = 0.1  # for clients that keep a connection: time to hear that it ends


def serve(
    paths: Sequence[str | os.PathLike[str]],
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    engine: str = "onnx",
    settings: BatchSettings | None = None,
    max_body_bytes: int = MAX_BODY_BYTES,
    threads: int | None = None,
    on_event: Callable[..., Any] = lambda event, **facts: None,
) -> None:
    """Serve bundles until SIGINT or SIGTERM; then answer what was accepted, and return.

    SIGTERM ends the process behind that, unless the caller has made it raise KeyboardInterrupt.
    Nothing on the port is encrypted, and whoever reaches it may ask.

    Args:
        paths: Bundles, each with a model of another name.
        host: Address to listen at.
        port: Port to listen at; 0 takes a free one.
        engine: As in `open_engine`, for all of them.
        settings: How requests are put together.
        max_body_bytes: The most bytes of a request's body.
        threads: As in `open_engine`.
        on_event: Called with "listening", and the `address` and the `models`' names; with "ready"
            when all models are warm; and with "stopped".

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If an argument is out of range, two models have the same name, or the port is
            taken.
        BundleError: If a bundle cannot be used.
        RuntimeError: If a model cannot be opened.
        ModuleNotFoundError: If a library is missing; the message says what to install.
    """
    check_int("port", port, low=0, high=65535)
    _give_large_blocks_back()
    check_choice("engine", engine, ENGINES)
    metrics, failures = Metrics(), []
    with contextlib.ExitStack() as stack:
        bundles = [stack.enter_context(load_bundle(path)) for path in paths]
        options = {"engine": engine, "settings": settings, "metrics": metrics, "threads": threads}
        models = [ServedModel(bundle, **options) for bundle in bundles]
        for model in models:
            stack.callback(model.close, drain=False)
        listener = stack.enter_context(bind(host, port))

        def fail(error: BaseException) -> None:
            failures.append(error)
            server.should_exit = True

        def ready() -> None:
            # what lives now lives to the end: it is not to be searched for garbage again and again
            gc.collect()
            gc.freeze()
            gc.set_threshold(*GC_THRESHOLDS)
            on_event("ready")

        app = create_app(
            models,
            metrics=metrics,
            max_body_bytes=max_body_bytes,
            on_ready=ready,
            on_failure=fail,
        )
        server = Server(app)
        names = [model.name for model in models]
        on_event("listening", address=address_of(listener), models=names)
        # uvicorn raises the signal again when it has ended: that is the end we asked for
        with contextlib.suppress(KeyboardInterrupt):
            server.run(sockets=[listener])
    if failures:
        raise RuntimeError(str(failures[0])) from failures[0]
    on_event("stopped")


def _give_large_blocks_back() -> None:
    """Let the C library return a large body's memory; glibc keeps what was freed once for more."""
    with contextlib.suppress(OSError, AttributeError, TypeError):  # another library
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, 2**20)


class Server(uvicorn.Server):
    """uvicorn, with an end that loses nothing that a client had sent before.

    uvicorn itself closes each connection on which it has not read a request, also if the kernel
    holds one that came in the meantime.

    Args:
        app: What `create_app` made.
    """

    def __init__(self, app: FastAPI) -> None:
        config = uvicorn.Config(
            app,
            http=HttpProtocol,
            lifespan="on",
            ws="none",
            access_log=False,
            log_level="error",  # what a client does wrong is told to the client
            server_header=False,
            timeout_graceful_shutdown=GRACE_S,
        )
        super().__init__(config)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop listening, answer what was sent, and say with each answer that it is the last."""
        await _until(lambda: not _readable(sockets or []), LAST_CALL_S)
        for server in self.servers:  # nothing waits there: what comes now is refused
            server.close()
        for listener in sockets or []:
            listener.close()
        state = self.server_state
        state.default_headers = [*state.default_headers, (b"connection", b"close")]
        for connection in list(state.connections):
            if not connection.idle:
                connection.shutdown()  # its answer will be its last
        await _until(lambda: not state.connections, LAST_CALL_S)
        await _until(lambda: not self._close_silent(), GRACE_S)
        await super().shutdown(sockets)

    def _close_silent(self) -> int:
        """Close the connections on which nothing was sent; return how many others are idle."""
        idle = {
            connection.transport.get_extra_info("socket"): connection
            for connection in self.server_state.connections
            if connection.idle and not connection.transport.is_closing()
        }
        unread = _readable(idle)
        for stream, connection in idle.items():
            if stream not in unread:
                connection.shutdown()
        return len(unread)


def _readable(streams: Iterable[Any]) -> set[Any]:
    """Return the sockets on which the kernel holds something: bytes, a connection, or an end."""
    with selectors.DefaultSelector() as selector:
        for stream in streams:
            selector.register(stream, selectors.EVENT_READ)
        return {key.fileobj for key, _ in selector.select(0)}


async def _until(condition: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        await asyncio.sleep(0.001)


def bind(host: str, port: int) -> socket.socket:
    """Return a socket bound to an address of this machine.

    Raises:
        TypeError: If the host is no text.
        ValueError: If the host is none of this machine's, or the port is taken.

    Example:
        >>> with bind("127.0.0.1", 0) as listener:
        ...     listener.getsockname()[0]
        '127.0.0.1'
    """
    if not isinstance(host, str) or not host:
        raise TypeError(f"`host` must be an address. {received(host=host)}")
    try:
        family, *_, place = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        return socket.create_server(place[:2], family=family)
    except OSError as error:
        reason = error.strerror or error
        raise ValueError(
            f"`host` and `port` must be a free address of this machine. "
            f"{received(host=host, port=port)} ({reason})"
        ) from None


def address_of(listener: socket.socket) -> str:
    """Return the address of a socket as a browser wants it."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
