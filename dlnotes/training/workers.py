"""One job on several processes, here or on many machines, which goes on when one was killed."""

import contextlib
import json
import os
import pickle
import queue
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, NoReturn, TextIO

import keras

from dlnotes.processes import (
    Child,
    deaf_to_ctrl_c,
    killed_with_starter,
    on_messages,
    receive_orders,
    run_child,
    shared_environment,
)
from dlnotes.training.cluster import VARIABLE, Place, read_place
from dlnotes.training.distributed import (
    Job,
    OtherCheckpoint,
    end_process,
    fit_distributed,
    load_trained,
    remove_parts,
    steps_done,
)
from dlnotes.validation import check_float, check_int, received

MODULE = "dlnotes.training.workers"
PAUSE_S = 0.2
SETTLE_S = 2.0  # how long the death of one worker may need to show in the others
SHARED_FOLDER_S = 30.0  # how long a file may need to appear on another machine
FINAL, CONSEQUENCE = 3, 4  # exit statuses of a worker: `_status`

Listener = Callable[[dict[str, Any]], None]


def fit_on_workers(
    job: Job,
    directory: str | os.PathLike[str],
    *,
    workers: int = 2,
    checkpoint_every: int = 100,
    max_restarts: int = 3,
    patience: float = 120.0,
    listener: Listener | None = None,
) -> keras.Model:
    """Train a job on several processes of this machine, and return the trained model.

    Each worker trains on its share of each batch (``MultiWorkerMirroredStrategy``). If one dies,
    or none gets on, all are ended and begin again from the last checkpoint; the weights at the end
    are those of a run in which nothing happened. If the directory holds a checkpoint of this job,
    the job goes on from there. No process is left behind, however this ends.

    The workers talk to each other through 127.0.0.1, but TensorFlow listens on all addresses of the
    machine, without a password: do this behind a firewall, or in a network that you trust.

    Args:
        job: What to train. `Job.build` must be importable by other processes.
        directory: Folder of the checkpoint and of the workers' output; made if missing.
        workers: Processes, >= 1; they share this machine's processors.
        checkpoint_every: Steps between two checkpoints, >= 1.
        max_restarts: How often the workers may begin again, >= 0.
        patience: Seconds without a step after which the workers count as dead, > 0; the start of
            TensorFlow and the first step, which compiles, are included.
        listener: Called with each event: ``{"event": "step", "step": …, "loss": …}`` and
            ``{"event": "restart", "why": …}``.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a number is out of range, the job cannot be sent to other processes, or the
            checkpoint is of another job.
        RuntimeError: If the workers died more often than allowed, with how they ended.
    """
    workers = check_int("workers", workers, low=1)
    plan = _Plan(job, directory, checkpoint_every, max_restarts, patience, listener)

    def start(children: list[Child]) -> None:
        cluster = {"worker": [f"127.0.0.1:{port}" for port in free_ports(workers)]}
        for i in range(workers):
            config = {"cluster": cluster, "task": {"type": "worker", "index": i}}
            env = {**shared_environment(workers), VARIABLE: json.dumps(config)}
            orders = {"communication": "RING"}  # NCCL refuses two processes on one GPU
            children.append(plan.child(i, env, orders, heard=i == 0))

    return plan.carry_out(start)


def fit_in_cluster(
    job: Job,
    directory: str | os.PathLike[str],
    *,
    checkpoint_every: int = 100,
    max_restarts: int = 3,
    patience: float = 300.0,
    listener: Listener | None = None,
) -> keras.Model:
    """Do one worker's part of a job on many machines, and return the trained model.

    All machines run this at the same time, and TF_CONFIG tells each which worker it is
    (`read_place`). If one dies, all of them begin again from the last checkpoint; one that is
    started anew meanwhile joins them, and one that comes when all is done returns at once.

    Args:
        job: As in `fit_on_workers`, the same on all machines.
        directory: As in `fit_on_workers`, shared by all machines.
        checkpoint_every: As in `fit_on_workers`.
        max_restarts: As in `fit_on_workers`.
        patience: As in `fit_on_workers`; the wait for the other machines is included.
        listener: As in `fit_on_workers`.

    Raises:
        TypeError: As in `fit_on_workers`.
        ValueError: As in `fit_on_workers`, or if TF_CONFIG is missing or wrong.
        RuntimeError: As in `fit_on_workers`, or if another machine has another job.
    """
    place = read_place()
    if place is None:
        raise ValueError(f"`{VARIABLE}` must be set, to say who this worker is. Received: nothing")
    plan = _Plan(job, directory, checkpoint_every, max_restarts, patience, listener)
    plan.place = place

    def start(children: list[Child]) -> None:
        children.append(plan.child(place.index, {}, {"communication": "AUTO"}, heard=True))

    return plan.carry_out(start)


class _Plan:
    """Runs of a job's workers, one after another until one succeeds."""

    place: Place | None = None  # None: all workers are on this machine

    def __init__(
        self,
        job: Job,
        directory: str | os.PathLike[str],
        checkpoint_every: int,
        max_restarts: int,
        patience: float,
        listener: Listener | None,
    ) -> None:
        self.job = job
        self.max_restarts = check_int("max_restarts", max_restarts, low=0)
        self.patience = check_float("patience", patience, low=0, open_low=True)
        self.listener = listener or (lambda event: None)
        self.reports: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self.directory = Path(directory).resolve()
        self.orders = {
            "job": job,
            "directory": self.directory,
            "checkpoint_every": check_int("checkpoint_every", checkpoint_every, low=1),
            "floatx": keras.config.floatx(),
            "policy": keras.config.dtype_policy().name,
        }
        for name in ("build", "loss", "optimizer"):
            thing = getattr(job, name)
            if not _can_be_sent(thing):
                raise ValueError(
                    f"`job.{name}` must be something that other processes can import, from a "
                    f"module of its own. {received(**{name: thing})}"
                )
        self.directory.mkdir(parents=True, exist_ok=True)

    def child(
        self, index: int, env: dict[str, str], orders: dict[str, Any], *, heard: bool
    ) -> Child:
        """Start a worker."""
        return Child(
            MODULE,
            f"worker{index}",
            self.directory / f"worker{index}.log",
            {**self.orders, **orders, "heard": heard},
            env,
            self.reports.put if heard else None,
        )

    def carry_out(self, start: Callable[[list[Child]], None]) -> keras.Model:
        """Start the workers, again if need be, and return the model."""
        restarts = 0
        while steps_done(self.directory, self.job) < self.job.num_steps:
            ended = self._run(start)
            if ended is None:
                continue
            why, final = ended
            if final or restarts == self.max_restarts:
                raise RuntimeError(
                    f"The workers ended before the job did: {why}. Logs: {self.directory}"
                )
            restarts += 1
            self.listener({"event": "restart", "why": why})
            if self.place is not None:
                time.sleep(SETTLE_S)
        return load_trained(self.directory, self.job)

    def _run(self, start: Callable[[list[Child]], None]) -> tuple[str, bool] | None:
        """Run the workers to the end; none of them is left.

        Returns:
            None, or how they failed and whether another start would not help.
        """
        self.reports = queue.SimpleQueue()
        children: list[Child] = []
        try:
            start(children)
            last, all_heard = time.monotonic(), False
            while True:
                with contextlib.suppress(queue.Empty):
                    report = self.reports.get(timeout=PAUSE_S)
                    if report["event"] == "step":
                        last = time.monotonic()
                        self.listener(report)
                    all_heard = all_heard or report["event"] == "end of reports"
                codes = [child.process.poll() for child in children]
                if any(codes):
                    why = _causes(children)
                    return why, any(child.process.poll() == FINAL for child in children)
                if all_heard and None not in codes:
                    return self._unfinished()
                if time.monotonic() - last > self.patience:
                    return f"no step within {self.patience:g} s", False
        finally:
            with deaf_to_ctrl_c():
                for child in children:
                    child.kill()
                if self.place is None or self.place.first:
                    remove_parts(self.directory)

    def _unfinished(self) -> tuple[str, bool] | None:
        """Return what is wrong if the last checkpoint does not appear, on another machine maybe."""
        end = time.monotonic() + SHARED_FOLDER_S
        while steps_done(self.directory, self.job) < self.job.num_steps:
            if time.monotonic() > end:
                return "the first worker ended without the last checkpoint", False
            time.sleep(PAUSE_S)
        return None


def _causes(children: list[Child]) -> str:
    """Return how the workers failed, without those that failed of another one's death."""
    end = time.monotonic() + SETTLE_S
    while time.monotonic() < end and any(child.process.poll() is None for child in children):
        time.sleep(PAUSE_S / 4)
    own = [c.last_words() for c in children if c.process.poll() not in (None, 0, CONSEQUENCE)]
    return "; ".join(own) or "another worker ended, or cannot be reached"


def _can_be_sent(thing: Any) -> bool:
    """Tell whether another process can read this; what the main program defines it cannot."""
    try:
        return b"__main__" not in pickle.dumps(thing)
    except Exception:  # whatever its own way of being written down raises
        return False


def free_ports(count: int) -> list[int]:
    """Return ports that are free at all addresses of this machine, all different.

    TensorFlow listens on all of them, whatever address the others call.

    Args:
        count: How many, >= 1.

    Example:
        >>> len(set(free_ports(3)))
        3
    """
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(bound_everywhere(0)) for _ in range(count)]
        return [probe.getsockname()[1] for probe in probes]


def bound_everywhere(port: int) -> socket.socket:
    """Return a socket that holds a port of all addresses, as TensorFlow will.

    Args:
        port: Its number; 0 for one that is free.

    Raises:
        OSError: If another program has the port at one of the addresses.
    """
    both = socket.has_dualstack_ipv6()
    probe = socket.socket(socket.AF_INET6 if both else socket.AF_INET)
    try:
        if both:
            probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        probe.bind(("", port))
    except OSError:
        probe.close()
        raise
    return probe


# === In a worker ===


def main() -> NoReturn:
    """Do what a starter orders through stdin; the entry point of each worker."""
    run_child(_work, _status)


def _status(error: BaseException) -> int:
    """Return the exit status for an error: may another start cure it, and did it begin here?"""
    from tensorflow import errors

    others = (
        errors.UnavailableError,
        errors.AbortedError,
        errors.CancelledError,
        errors.FailedPreconditionError,
    )
    if isinstance(error, others):
        return CONSEQUENCE  # another worker has died
    curable = isinstance(error, errors.OpError | OSError | OtherCheckpoint)
    return 1 if curable and not isinstance(error, errors.InvalidArgumentError) else FINAL


def _work(source: BinaryIO, stream: TextIO) -> None:
    import tensorflow as tf

    orders = receive_orders(source)
    on_messages(source, lambda message: None, lambda: end_process(1))
    keras.config.set_floatx(orders["floatx"])
    keras.config.set_dtype_policy(orders["policy"])
    kinds = tf.distribute.experimental.CommunicationImplementation
    options = tf.distribute.experimental.CommunicationOptions(
        implementation=kinds[orders["communication"]]
    )
    with killed_with_starter(source):  # until all workers are there, no thread runs
        strategy = tf.distribute.MultiWorkerMirroredStrategy(communication_options=options)

    def report(step: int, loss: float) -> None:
        if orders["heard"]:
            stream.write(json.dumps({"event": "step", "step": step, "loss": loss}) + "\n")
            stream.flush()

    fit_distributed(
        orders["job"],
        strategy,
        directory=orders["directory"],
        checkpoint_every=orders["checkpoint_every"],
        writes=read_place().first,
        on_step=report,
    )
