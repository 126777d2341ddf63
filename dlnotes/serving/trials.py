"""What a lesson tries with models and services: a stranger, an opponent, a crowd that waits."""

import contextlib
import http.client
import json
import os
import re
import socket
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dlnotes.processes import run_script
from dlnotes.serving.background import RunningService
from dlnotes.serving.clients import measure, split_address
from dlnotes.validation import check_choice, check_float, check_path, received

WAYS = ("onnx", "tensorflow", "keras")


def ask_stranger(
    tasks: Sequence[tuple[str, str | os.PathLike[str], Mapping[str, Any]]],
    *,
    timeout: float = 120.0,
) -> list[np.ndarray | str]:
    """Let a fresh process open saved models that has only the library for each.

    It is `dlnotes.serving.stranger`: this package cannot be imported there. With "onnx" neither
    TensorFlow nor Keras can be, with "tensorflow" Keras cannot. So tasks come in this order.

    Args:
        tasks: For each model the way to open it, its path, and its named inputs. The ways are
            "onnx" (ONNX Runtime), "tensorflow" (for a SavedModel) and "keras" (for ``.keras`` and
            HDF5 files); later ones may not stand before earlier ones.
        timeout: After how many seconds the process is ended, > 0.

    Returns:
        For each task the model's first output, or a text with the reason why there is none.

    Raises:
        ValueError: If a way is unknown or out of order.
        RuntimeError: If the process fails altogether, with the end of what it wrote.
    """
    ways = [check_choice("tasks", way, WAYS) for way, _, _ in tasks]
    if ways != sorted(ways, key=WAYS.index):
        raise ValueError(f"`tasks` must be in the order {', '.join(WAYS)}. {received(tasks=ways)}")
    timeout = check_float("timeout", timeout, low=0, open_low=True)
    paths = [str(check_path("tasks", path).resolve()) for _, path, _ in tasks]
    with tempfile.TemporaryDirectory(prefix="dlnotes-stranger-") as folder:
        for number, (_, _, inputs) in enumerate(tasks):
            np.savez(Path(folder, f"{number}.inputs.npz"), **inputs)
        told = run_script(
            Path(__file__).with_name("stranger.py"),
            json.dumps(list(zip(ways, paths, strict=True))).encode(),
            flags=["-P"],
            folder=Path(folder),
            timeout=timeout,
            who="the stranger",
        )
        said = [json.loads(line) for line in told.splitlines()]
        return [
            np.load(Path(folder, f"{number}.answer.npy")) if problem is None else problem
            for number, problem in enumerate(said)
        ]


def start_naive(path: str | os.PathLike[str], *, patience: float = 60.0) -> RunningService:
    """Start the service of `dlnotes.serving.naive` in a process of its own, on 127.0.0.1.

    Args:
        path: A model of pictures: a ``.keras`` file, for which it calls `model.predict`, or an
            ``.onnx`` file, for which it calls ONNX Runtime with one thread.
        patience: As in `dlnotes.serving.start`.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If `patience` is out of range.
        RuntimeError: If the service ends before it is ready, with its reason, or is not in time.
    """
    orders = {"path": str(check_path("path", path).resolve())}
    patience = check_float("patience", patience, low=0, open_low=True)
    return RunningService({"naive": True, "options": orders}, "the naive service", patience)


class Load(NamedTuple):
    """What some clients saw of a service, and what it counted meanwhile.

    Attributes:
        rate: Answers with code 200 a second.
        seconds: How long each answer took that was not a refusal, (T,).
        refusals: How long each refusal (503) took, (R,).
        waited: How long each question took, with its refusals and the rests between, (T,).
        share: The part of the time in which the engine computed; NaN where nobody counts.
        rows: Rows of a batch, on average; NaN where nobody counts.
    """

    rate: float
    seconds: np.ndarray
    refusals: np.ndarray
    waited: np.ndarray
    share: float
    rows: float


def load(
    address: str,
    model: str,
    bodies: Sequence[bytes],
    *,
    clients: int,
    total: int,
    again: bool = False,
) -> Load:
    """Let clients ask a service, and read before and after what it counts at ``/metrics``.

    Args:
        address: Where it listens, such as ``http://127.0.0.1:8000``.
        model: The model's name.
        bodies: As in `dlnotes.serving.measure`.
        clients: As in `dlnotes.serving.measure`.
        total: As in `dlnotes.serving.measure`.
        again: As in `dlnotes.serving.measure`.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a number is out of range, there are no bodies, or the address is none.
        RuntimeError: If a question is not answered with 200 in the end; a refusal (503) is
            allowed only where it is asked again.
    """
    place = f"{address}/v1/models/{model}:predict"
    before = _counted(address, model)
    seen = measure(place, bodies, clients=clients, total=total, again=again)
    refused = seen.codes == 503
    if not ((seen.codes == 200) | (refused & again)).all():
        raise RuntimeError(f"{place} answered with codes {np.unique(seen.codes)}, not 200 alone")
    seconds, batches, rows = _counted(address, model) - before
    took = total / seen.throughput
    per_batch = rows / batches if batches else np.nan
    times = seen.seconds[~refused], seen.seconds[refused], seen.waited
    return Load(seen.throughput, *times, seconds / took, per_batch)


def _counted(address: str, model: str) -> np.ndarray:
    """Return the engine's seconds, batches and rows until now; NaN where nobody counts."""
    text = ""
    with (
        contextlib.suppress(urllib.error.HTTPError),
        urllib.request.urlopen(f"{address}/metrics") as answer,
    ):
        text = answer.read().decode()
    found = (
        re.search(rf'^dlnotes_batch_{part}{{model="{re.escape(model)}"}} (\S+)', text, re.MULTILINE)
        for part in ("seconds_sum", "seconds_count", "rows_sum")
    )
    return np.array([float(entry[1]) if entry else np.nan for entry in found])


def exchange(address: str, request: str, *, timeout: float = 10.0) -> str:
    """Send a text to a server as it is, and return all that it sends until it hangs up.

    Args:
        address: Where it listens, such as ``http://127.0.0.1:8000``.
        request: The text, with line ends as in Python; HTTP's own are put in.
        timeout: After how many seconds of silence it is given up, > 0.

    Raises:
        ValueError: If the address is none, or `timeout` out of range.
        OSError: If nobody listens there, or it is silent.
    """
    timeout = check_float("timeout", timeout, low=0, open_low=True)
    place, _ = split_address(address)
    with socket.create_connection(place, timeout) as line:
        line.sendall(request.replace("\n", "\r\n").encode())
        with line.makefile("rb") as answer:
            return answer.read().decode().replace("\r\n", "\n")


def send_together(
    address: str,
    bodies: Sequence[bytes],
    then: Callable[[], object] = lambda: None,
    *,
    timeout: float = 120.0,
) -> np.ndarray:
    """Send all bodies, each over a connection of its own, and then read the answers.

    Args:
        address: As in `dlnotes.serving.measure`.
        bodies: What to send, one a client.
        then: Called when all bodies are sent, before an answer is read. What it raises is raised
            here, and no answer is read.
        timeout: After how many seconds without an answer a connection counts as broken, > 0.

    Returns:
        The answers' codes, (N,); 0 where the connection was refused or broke.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a number is out of range, there are no bodies, or the address is none.
    """
    timeout = check_float("timeout", timeout, low=0, open_low=True)
    place, path = split_address(address)
    if not bodies:
        raise ValueError(f"`bodies` must hold at least one. {received(bodies=bodies)}")
    lines = [http.client.HTTPConnection(*place, timeout=timeout) for _ in bodies]
    codes = np.zeros(len(bodies), int)
    try:
        sent = [_sent(line, path, body) for line, body in zip(lines, bodies, strict=True)]
        then()
        for number in np.flatnonzero(sent):
            codes[number] = _code(lines[number])
    finally:
        for line in lines:
            line.close()
    return codes


def _sent(line: http.client.HTTPConnection, path: str, body: bytes) -> bool:
    try:
        line.request("POST", path, body, {"Content-Type": "application/json"})
    except OSError:
        return False
    return True


def _code(line: http.client.HTTPConnection) -> int:
    try:
        answer = line.getresponse()
        answer.read()
    except (OSError, http.client.HTTPException):
        return 0
    return answer.status
