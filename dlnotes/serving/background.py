"""A service in a process of its own, which ends with the program that started it."""

import contextlib
import json
import os
import queue
import shutil
import signal
import subprocess
import tempfile
import time
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO, NoReturn, TextIO

from dlnotes.processes import Child, on_messages, receive_orders, run_child
from dlnotes.serving.batcher import BatchSettings
from dlnotes.validation import check_float, check_path, received

GRACE_S = 40.0  # longer than the service itself takes for its last answers
FORCE_S = 35.0  # then it ends itself, also if something in it hangs


class RunningService:
    """A service that runs in a process of its own; `start` makes it.

    A context manager: the service ends with the block. It ends with the program that started it in
    any case, also if that is killed: it reads from a pipe that only the starter holds open.

    Attributes:
        address: Where it listens, such as ``http://127.0.0.1:40123``.
        process: The process; its ``pid`` is its number.
    """

    def __init__(self, orders: dict[str, Any], name: str, patience: float) -> None:
        self.name = name
        self._reports: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        folder = Path(tempfile.mkdtemp(prefix="dlnotes-service-"))
        # what it unpacks lies there too, and goes with it, however the process ends
        env = dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(folder))
        orders = orders | {"folder": folder}
        try:
            child = Child(__name__, name, folder / "log.txt", orders, env, self._reports.put)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        self._child = child
        self._end = weakref.finalize(self, _end, child, folder)
        self.process = child.process
        try:
            self.address = self._wait_for("listening", patience)["address"]
            self._wait_for("ready", patience)
        except BaseException:
            self._end()
            raise

    def _wait_for(self, event: str, patience: float) -> dict[str, Any]:
        end = time.monotonic() + patience
        while True:
            try:
                report = self._reports.get(timeout=max(0.0, end - time.monotonic()))
            except queue.Empty:
                raise RuntimeError(f"{self.name} is not {event} after {patience:g} s") from None
            if report["event"] == event:
                return report
            if report["event"] == "end of reports":
                self.process.wait()
                raise RuntimeError(self._child.last_words())

    @property
    def running(self) -> bool:
        """Whether the process is alive."""
        return self.process.poll() is None

    def ask_to_end(self) -> None:
        """Ask it to end, and return at once; it still answers what it accepted."""
        self._child.hang_up()

    def stop(self) -> int:
        """Ask it to end, wait until it has, and return its exit status: 0 for a clean end."""
        self.ask_to_end()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(GRACE_S)
        self._end()
        return self.process.returncode

    def __enter__(self) -> "RunningService":
        return self

    def __exit__(self, *_: Any) -> None:
        self.stop()

    def __repr__(self) -> str:
        return f"RunningService({self.name!r}, running={self.running})"


def _end(child: Child, folder: Path) -> None:
    child.kill()
    shutil.rmtree(folder, ignore_errors=True)


def start(
    paths: Sequence[str | os.PathLike[str]],
    *,
    port: int = 0,
    engine: str = "onnx",
    settings: BatchSettings | None = None,
    threads: int | None = None,
    patience: float = 60.0,
) -> RunningService:
    """Start `dlnotes serve` in a process of its own, on 127.0.0.1, and wait until it is ready.

    Args:
        paths: Bundles, each with a model of another name.
        port: As in `serve`; 0 takes a free one.
        engine: As in `serve`.
        settings: As in `serve`.
        threads: As in `serve`.
        patience: After how many seconds without being ready it is given up, > 0.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If `patience` is out of range.
        RuntimeError: If the service ends before it is ready, with its reason, or is not in time.

    Example:
        >>> import keras
        >>> from dlnotes.serving import export
        >>> inputs = keras.Input((2,), name="x")
        >>> model = keras.Model(inputs, keras.layers.Dense(1, name="y")(inputs))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     about = {"name": "line", "version": "1", "example": [[1, 2]]}
        ...     bundle = export(model, f"{folder}/line", **about)
        ...     with start([bundle]) as service:
        ...         print(service.address.rsplit(":", 1)[0], service.running)
        http://127.0.0.1 True
    """
    if isinstance(paths, str | os.PathLike) or not isinstance(paths, Sequence) or not paths:
        raise TypeError(f"`paths` must be a list of bundles. {received(paths=paths)}")
    orders = {
        "paths": [str(check_path("paths", path).resolve()) for path in paths],
        "port": port,
        "engine": engine,
        "settings": settings,
        "threads": threads,
    }
    patience = check_float("patience", patience, low=0, open_low=True)
    return RunningService({"naive": False, "options": orders}, "dlnotes serve", patience)


# === In the process of the service ===


def main() -> NoReturn:
    """Serve what a starter orders through stdin, until it hangs up or is gone."""
    # a shell that starts its programs in the background has them ignore it, and we inherit that
    signal.signal(signal.SIGINT, signal.default_int_handler)
    run_child(_work)


def _work(source: BinaryIO, reports: TextIO) -> None:
    orders = receive_orders(source)

    def report(event: str, **facts: Any) -> None:
        with contextlib.suppress(BrokenPipeError):  # the starter is gone: nobody wants to know
            os.write(reports.fileno(), json.dumps({"event": event, **facts}).encode() + b"\n")

    def end() -> None:
        signal.raise_signal(signal.SIGINT)
        time.sleep(FORCE_S)
        shutil.rmtree(orders["folder"], ignore_errors=True)
        os._exit(1)

    with contextlib.suppress(KeyboardInterrupt):
        on_messages(source, lambda message: None, end)
        _serve(orders, report)
    shutil.rmtree(orders["folder"], ignore_errors=True)  # the starter may have been killed


def _serve(orders: dict[str, Any], report: Any) -> None:
    options = orders["options"]
    if orders["naive"]:
        from dlnotes.serving.naive import serve_naively

        serve_naively(**options, say=report)
        return
    from dlnotes.serving.server import serve

    serve(options.pop("paths"), **options, on_event=report)
