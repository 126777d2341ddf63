"""Processes of our own: started fresh, told what to do through a pipe, ended with their starter."""

import contextlib
import json
import os
import pickle
import queue
import select
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NoReturn, TextIO

Listener = Callable[[dict[str, Any]], None]

# A fresh process, not a fork: TensorFlow does not survive one.
_START = """
import importlib, sys
from dlnotes.runtime import quiet_start
with quiet_start():
    module = importlib.import_module(sys.argv[1])
module.main()
"""


class Child:
    """A process of ours: the pipe to it, its log, and what it reports.

    It reads from a pipe that only its starter holds open: if that ends, the starter is gone, even
    by SIGKILL, and the child is to end too (`receive_orders`, `on_messages`).

    Args:
        module: Where the function ``main()`` is that it runs.
        name: What it is called in messages.
        log: The file for all that it writes.
        orders: What it is to do.
        env: Variables to set for it.
        listener: Called with each report, from a thread of its own; None expects none.
    """

    def __init__(
        self,
        module: str,
        name: str,
        log: Path,
        orders: dict[str, Any],
        env: Mapping[str, str],
        listener: Listener | None = None,
    ) -> None:
        self.name, self.log = name, log
        # first of all: an error here leaves no process behind
        content = pickle.dumps({**orders, "name": name})
        path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
        group: dict[str, Any] = {"start_new_session": True}  # Ctrl-C reaches the starter alone
        if os.name != "posix":
            group = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
        with log.open("wb") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-c", _START, module],
                stdin=subprocess.PIPE,
                stdout=file if listener is None else subprocess.PIPE,
                stderr=file,
                env={**os.environ, **env, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"},
                **group,
            )
        self._outbox: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._outbox.put(len(content).to_bytes(8, "big") + content)
        # data may be more than a pipe holds, and the child reads it only when TensorFlow is loaded
        threading.Thread(target=self._write, daemon=True).start()
        if listener is not None:
            threading.Thread(target=self._read, args=(listener,), daemon=True).start()

    def _write(self) -> None:
        with contextlib.suppress(OSError), self.process.stdin as pipe:
            while (content := self._outbox.get()) is not None:
                pipe.write(content)
                pipe.flush()

    def _read(self, listener: Listener) -> None:
        with self.process.stdout as pipe:
            for line in pipe:
                with contextlib.suppress(ValueError):  # something else that was printed
                    listener(json.loads(line))
        listener({"event": "end of reports"})

    def tell(self, **message: Any) -> None:
        """Send a message, which `on_messages` hears in the child."""
        self._outbox.put(json.dumps(message).encode() + b"\n")

    def hang_up(self) -> None:
        """Close the pipe, which asks the child to end."""
        self._outbox.put(None)

    def kill(self) -> None:
        """End it at once, and wait until it is gone."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.hang_up()

    def last_words(self) -> str:
        """Return how the process ended, and the end of its log."""
        code = self.process.poll()
        if code is None:
            how = "still running"
        elif code < 0:
            with contextlib.suppress(ValueError):
                code = f"{-code}, {signal.Signals(-code).name}"
            how = f"killed by signal {code}"
        else:
            how = f"exit status {code}"
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        lines = [line.strip() for line in lines if line.strip()]
        said = [line for line in lines if line.startswith("Error: ")][-1:] or lines[-2:]
        return f"{self.name} ({how}): {' / '.join(said)[:600] or 'it wrote nothing'}"


def shared_environment(workers: int) -> dict[str, str]:
    """Return variables that make several processes share the processors and the GPU."""
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # not Linux
        cores = os.cpu_count() or 1
    share = str(max(1, cores // max(1, workers)))
    names = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS")
    env = {name: share for name in (*names, "OPENBLAS_NUM_THREADS") if name not in os.environ}
    # else the first worker would take all of the GPU's memory
    return env | {"TF_FORCE_GPU_ALLOW_GROWTH": os.environ.get("TF_FORCE_GPU_ALLOW_GROWTH", "true")}


def run_script(
    script: Path,
    given: bytes,
    *,
    flags: Sequence[str] = (),
    folder: Path | None = None,
    timeout: float,
    who: str,
) -> bytes:
    """Run a file as a program of its own, and return what it writes.

    Args:
        script: The file.
        given: What it can read from its standard input.
        flags: Options of Python, such as ``-I`` to import nothing of ours.
        folder: Where it runs; None for here.
        timeout: After how many seconds it is ended.
        who: What it is called in messages, such as "the clients".

    Raises:
        RuntimeError: If it fails, with the end of what it wrote, or is not ready in time.
    """
    try:
        ran = subprocess.run(
            [sys.executable, *flags, str(script)],
            input=given,
            capture_output=True,
            cwd=folder,
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"{who}: not ready after {timeout:g} s") from None
    if ran.returncode:
        end = ran.stderr.decode(errors="replace").strip()[-600:]
        raise RuntimeError(f"{who} failed: {end}")
    return ran.stdout


class Stop(RuntimeError):
    """The end of a child, with a message that says all."""


def run_child(
    work: Callable[[BinaryIO, TextIO], None], status: Callable[[BaseException], int] = lambda _: 1
) -> NoReturn:
    """Do a child's work, and end this process; an error is the last line of its log.

    Args:
        work: Called with the child's standard input and the stream of its reports. What is printed
            otherwise goes to the log.
        status: Returns the exit status for an error, >= 1; without one it is 0.
    """
    source, reports = sys.stdin.buffer, os.dup(1)
    os.dup2(2, 1)  # what libraries print is for the log
    code = 0
    try:
        with os.fdopen(reports, "w", encoding="utf-8", closefd=False) as stream:
            work(source, stream)
    except BaseException as error:
        traceback.print_exc()
        kind = "" if isinstance(error, Stop) else f"{type(error).__name__}: "
        words = " ".join((str(error).strip() or type(error).__name__).split())
        print(f"Error: {kind}{words}", file=sys.stderr)
        code = status(error)
    sys.stderr.flush()
    os._exit(code)  # no waiting for threads of libraries


def receive_orders(source: BinaryIO) -> dict[str, Any]:
    """Return what the starter orders, in a child; end this process if the starter is gone.

    Args:
        source: The child's standard input.
    """
    size = source.read(8)
    content = source.read(int.from_bytes(size, "big"))
    if len(size) < 8 or len(content) < int.from_bytes(size, "big"):
        os._exit(1)
    return pickle.loads(content)


def on_messages(source: BinaryIO, hear: Listener, gone: Callable[[], None]) -> None:
    """Call `hear` with each message of the starter, and `gone` when there can be none any more.

    Args:
        source: The child's standard input, after its orders.
        hear: Called in a thread of its own.
        gone: Called when the starter has ended, or hung up.
    """

    def run() -> None:
        for line in source:
            hear(json.loads(line))
        gone()

    threading.Thread(target=run, daemon=True).start()


@contextlib.contextmanager
def killed_with_starter(source: BinaryIO) -> Iterator[None]:
    """End this process with its starter, in a child, also while a library lets no thread run.

    What `on_messages` calls waits for such a library, so here the system ends the process. It is
    for a child that expects no messages, and where a sudden end does no harm; only on Linux.

    Args:
        source: The child's standard input, after its orders.
    """
    if sys.platform != "linux":  # macOS ignores SIGIO
        yield
        return
    import fcntl

    before = fcntl.fcntl(source, fcntl.F_GETFL)
    fcntl.fcntl(source, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(source, fcntl.F_SETFL, before | os.O_ASYNC)  # SIGIO, which ends a process
    if select.select([source], [], [], 0)[0]:
        os._exit(1)  # it had hung up before
    try:
        yield
    finally:
        fcntl.fcntl(source, fcntl.F_SETFL, before)


@contextlib.contextmanager
def deaf_to_ctrl_c() -> Iterator[None]:
    """Keep a second Ctrl-C from leaving children behind; only the main thread can."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = [getattr(signal, name, None) for name in ("SIGINT", "SIGTERM", "SIGHUP")]
    before = {n: signal.signal(n, signal.SIG_IGN) for n in numbers if n is not None}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)
