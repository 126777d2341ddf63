"""What `dlnotes serve` costs: beside `model.predict` for each request, and beside its bare engine.

``python tests/benchmarks/serving.py`` prints a table in two minutes; it needs a quiet machine.
The clients, in a process of their own, keep their connections and ask again as soon as they have an
answer: for one picture of MNIST each time, in JSON's lists; beside the engine for 64, in base64.
tests/serving/test_speed.py sets bounds.
"""

import base64
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import psutil

from dlnotes import datasets, serving
from dlnotes.runtime import quiet_start
from dlnotes.serving import trials

CLIENTS = (1, 16, 64)
ROWS = 64  # of a request beside the bare engine


class Load(NamedTuple):
    """What clients saw, and what it cost the service.

    Attributes:
        clients: How many asked at once.
        rate: Answers a second.
        p50: The time of an answer that half of them were below, in milliseconds.
        p99: The time that 99 of 100 were below.
        cpu: Processor time of the service for an answer, in milliseconds.
        rows: Rows of a batch, on average; NaN where nothing was put together.
    """

    clients: int
    rate: float
    p50: float
    p99: float
    cpu: float
    rows: float


# === Load ===


def load(address: str, pid: int, bodies: Sequence[bytes], clients: int, seconds: float) -> Load:
    """Measure one service, after questions of which nothing is counted.

    Args:
        address: Where the service listens, such as "http://127.0.0.1:8000".
        pid: Number of the service's process.
        bodies: Requests for predictions, which are sent in turn.
        clients: How many ask at once, each over a connection that it keeps.
        seconds: For about how long, >= 0: as many questions as that at the pace of the first.

    Raises:
        RuntimeError: If an answer is not 200, or a connection ends.
    """
    process = psutil.Process(pid)

    def crowd(total: int) -> trials.Load:
        return trials.load(address, "lenet", bodies, clients=clients, total=total)

    crowd(clients)
    total = round(max(2 * clients, crowd(8 * clients).rate * seconds))
    before = _cpu(process)
    seen = crowd(total)
    cpu = _cpu(process) - before
    p50, p99 = 1000 * np.quantile(seen.seconds, (0.5, 0.99))
    return Load(clients, seen.rate, p50, p99, 1000 * cpu / total, seen.rows)


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


# === What is measured ===


class Bare(NamedTuple):
    """What the engine alone does: batches a second, and processor milliseconds for each."""

    rate: float
    cpu: float


def bare(folder: Path, *, rows: int, threads: int | None, seconds: float) -> Bare:
    """Measure ONNX Runtime as it comes, called with arrays alone, in this process."""
    import onnxruntime  # behind dlnotes.serving, which switches its telemetry off

    with serving.load_bundle(folder) as bundle:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or 0
        session = onnxruntime.InferenceSession(bundle.path_of("onnx"), options)
        name = session.get_inputs()[0].name
        batch = {name: np.random.default_rng(0).random((rows, 28, 28, 1), np.float32)}
        for _ in range(20):
            session.run(None, batch)
        count, begin, cpu = 0, time.perf_counter(), time.process_time()
        while time.perf_counter() < begin + seconds:
            session.run(None, batch)
            count += 1
        cpu = time.process_time() - cpu
        return Bare(count / (time.perf_counter() - begin), 1000 * cpu / count)


def export_lenet(folder: Path) -> Path:
    """Write LeNet-5, with weights that nobody trained, as a bundle for bytes of pictures."""
    with quiet_start():
        from dlnotes.models import build_lenet5
    model = build_lenet5((28, 28, 1), 10)
    return serving.export(
        model,
        folder,
        name="lenet",
        version="1",
        example=datasets.load_mnist_5k().x_test[:2, ..., None].astype("float32"),
        preprocessing=[serving.Rescaling(model.inputs[0].name, 1 / 255)],
        forms=["keras", "onnx"],
    )


def pictures(count: int) -> list[bytes]:
    """Return requests for the prediction of one picture each."""
    rows = datasets.load_mnist_5k().x_test[:count, ..., None].tolist()
    return [json.dumps({"instances": [row]}).encode() for row in rows]


def packed(count: int, rows: int) -> list[bytes]:
    """Return requests for the prediction of several pictures each, as their bytes."""
    every = datasets.load_mnist_5k().x_test[: count * rows].reshape(count, rows, -1)
    texts = [[base64.b64encode(row).decode() for row in batch] for batch in every]
    return [json.dumps({"instances": [{"b64": t} for t in batch]}).encode() for batch in texts]


def main(seconds: float = 8.0) -> None:
    """Print the table."""
    bodies = pictures(64)
    with tempfile.TemporaryDirectory() as folder:
        bundle = export_lenet(Path(folder) / "lenet")
        print("service           clients  answers/s  p50 ms  p99 ms  CPU ms  rows a batch")

        def line(name: str, service: serving.RunningService, asked: list, clients: int) -> Load:
            found = load(service.address, service.process.pid, asked, clients, seconds)
            print(
                f"{name:17} {found.clients:7} {found.rate:10.1f} {found.p50:7.2f} "
                f"{found.p99:7.2f} {found.cpu:7.3f} {found.rows:13.1f}",
                flush=True,
            )
            return found

        with serving.start([bundle]) as service:
            ours = [line("dlnotes serve", service, bodies, clients) for clients in CLIENTS]
        with trials.start_naive(bundle / "model.keras") as service:
            naive = [line("naive", service, bodies, clients) for clients in CLIENTS]
        for mine, other in zip(ours, naive, strict=True):
            print(f"{mine.clients} clients: {mine.rate / other.rate:.0f} times the naive service")
        for threads in (None, 1):
            with serving.start([bundle], threads=threads) as service:
                found = line(f"{ROWS} rows, threads {threads or '*'}", service, packed(7, ROWS), 4)
            alone = bare(bundle, rows=ROWS, threads=threads, seconds=seconds)
            print(f"bare ONNX Runtime         {alone.rate:10.1f} {'':15} {alone.cpu:7.3f}")
            print(f"{found.rate / alone.rate:.2f} of the bare engine with the same batches")


if __name__ == "__main__":
    main(*map(float, sys.argv[1:2]))
