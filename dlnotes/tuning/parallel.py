"""A search on several processes: a chief that hands out trials, and workers that train them.

The process that starts a search stays and watches. It starts the chief and the workers as fresh
processes, shows who trains what, tells the chief of a worker that died, and ends what it has
started, however the search ends. Each child reads from a pipe that only the starter holds open: if
that ends, the starter is gone, even by SIGKILL, and the child ends too. What the children do is in
`dlnotes.tuning.members`.
"""

import contextlib
import os
import pickle
import queue
import re
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

import keras

from dlnotes.processes import Child, deaf_to_ctrl_c, shared_environment
from dlnotes.tuning.oracles import SearchSettings
from dlnotes.tuning.output import progress_stream
from dlnotes.tuning.search import (
    MAX_TRIALS,
    SEARCH_NAME,
    Data,
    SearchResult,
    check_data,
    check_search,
    entered_directory,
    finish,
)
from dlnotes.validation import check_float, check_int, received

LOGS = "logs"
PAUSE_S = 0.2
STOP_S = 5.0
PATIENCE_S = 120.0
ANY_PORT = "127.0.0.1:0"
MEMBER = "dlnotes.tuning.members"  # what each process runs


def parallel_search(
    hypermodel: Any,
    data: Data,
    *,
    method: str,
    objective: str,
    budget: int,
    seed: int,
    directory: str | os.PathLike[str],
    epochs: int = 20,
    direction: str | None = None,
    resume: bool = False,
    max_trials: int = MAX_TRIALS,
    workers: int = 2,
    address: str | None = None,
    progress: bool | TextIO = True,
) -> SearchResult:
    """Search like `search`, with a chief and several workers as processes of their own.

    "grid" gives the same table as `search` with the same seed and budget, up to the seconds, in
    whatever order the workers end. The other methods choose a trial by the scores known when it
    begins (also "random", where two trials may end in another order), so theirs may differ.

    Trials begin when all workers of this machine are there, at most 60 s after the first. The
    trial of a worker that dies is run again by another; if that one dies of it too, the trial
    counts as failed. When all workers are gone the search ends with an error, and with
    ``resume=True`` it can go on. The workers share this machine's processors; each starts
    TensorFlow, some seconds and 0.5 GB, so a search of some seconds is faster in one process.

    Processes begin with nothing of this one: the hypermodel must be an object that can be pickled,
    of a class (or a function) in a module that can be imported, not in a notebook or script.

    Args:
        hypermodel: As in `search`, and as said above.
        data: As in `search`.
        method: As in `search`.
        objective: As in `search`.
        budget: As in `search`: the epochs of all workers together.
        seed: As in `search`.
        directory: As in `search`; the processes write their output into its folder "logs".
        epochs: As in `search`.
        direction: As in `search`.
        resume: As in `search`, also of a search in one process.
        max_trials: As in `search`.
        workers: Processes that train on this machine, >= 1; with an `address` also 0.
        address: "HOST:PORT" where the chief listens for workers on other machines (`join_search`);
            None listens on 127.0.0.1 at a free port. Nothing on that port is encrypted, and
            whoever reaches it can spoil the search: open it in a private network only.
        progress: As in `search`; a terminal gets a table of the workers.

    Returns:
        The table of the trials and the best model.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: As `search`, if the hypermodel cannot be sent to other processes, or the
            address is none of this machine or is taken. The directory stays as it was.
        RuntimeError: As `search`, or if the chief or all workers died: with how they ended and
            what they wrote last. If no trial had completed, the directory is as before.
    """
    workers = check_int("workers", workers, low=1 if address is None else 0)
    settings = check_search(
        hypermodel,
        data,
        method=method,
        objective=objective,
        budget=budget,
        epochs=epochs,
        seed=seed,
        directory=directory,
        direction=direction,
        max_trials=max_trials,
    )
    listen = ANY_PORT if address is None else check_address(address)
    stream = progress_stream(progress)
    chief, worker = _orders(settings, data)
    _check_free(listen)
    chief |= {"listen": listen, "workers": workers}
    names = [f"worker{i}" for i in range(1, workers + 1)]
    with entered_directory(settings, resume=resume):
        with _board(stream, settings) as board:
            _conduct(settings.directory, chief, worker, names, board)
        return finish(settings, data)


def join_search(
    hypermodel: Any,
    data: Data,
    *,
    method: str,
    objective: str,
    budget: int,
    seed: int,
    directory: str | os.PathLike[str],
    address: str,
    epochs: int = 20,
    direction: str | None = None,
    max_trials: int = MAX_TRIALS,
    workers: int = 1,
    worker_id: str | None = None,
    patience: float = PATIENCE_S,
    progress: bool | TextIO = True,
) -> None:
    """Train trials of a search whose chief is on another machine, until the search ends.

    Args:
        hypermodel: As in the chief's `parallel_search`, like all that is not explained here.
        data: As there; a copy on this machine, found to be the same by its digest.
        method: As there.
        objective: As there.
        budget: As there.
        seed: As there.
        directory: The same directory, shared between the machines.
        address: "HOST:PORT" where the chief can be reached.
        epochs: As there.
        direction: As there.
        max_trials: As there.
        workers: Processes that train on this machine, >= 1.
        worker_id: Name of this worker in the search (with several: the beginning of their names),
            of letters, digits and ``_.-``; None takes the machine's name and the process number.
        patience: How long to wait for the chief and the directory, in seconds, > 0.
        progress: True writes to stderr, False nothing; or a stream to write to.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If an argument is out of range.
        RuntimeError: If all workers ended before the search did: the chief cannot be reached, or
            has another search or directory, or they died.
    """
    workers = check_int("workers", workers, low=1)
    patience = check_float("patience", patience, low=0, open_low=True)
    address = check_address(address)
    if worker_id is None:
        machine = re.sub(r"[^A-Za-z0-9_.-]", "-", socket.gethostname())
        worker_id = f"{machine}-{os.getpid()}".replace("chief", "ch-ief")
    worker_id = check_worker_id(worker_id)
    settings = check_search(
        hypermodel,
        data,
        method=method,
        objective=objective,
        budget=budget,
        epochs=epochs,
        seed=seed,
        directory=directory,
        direction=direction,
        max_trials=max_trials,
    )
    stream = progress_stream(progress)
    _, worker = _orders(settings, data)
    worker["patience"] = patience
    end = time.monotonic() + patience
    # before anything is written: the chief wants to find the directory empty
    while not (settings.directory / SEARCH_NAME).is_file():
        if time.monotonic() > end:
            raise RuntimeError(
                "`directory` must be the chief's own, shared between the machines; no search began "
                f"in it within {patience:g} s. {received(directory=str(settings.directory))}"
            )
        time.sleep(min(PAUSE_S, patience))
    names = [worker_id] if workers == 1 else [f"{worker_id}-{i}" for i in range(1, workers + 1)]
    with _board(stream, settings) as board:
        board.note(f"{', '.join(names)}: joining the search at {address}")
        _conduct(settings.directory, None, {**worker, "address": address}, names, board)


# === Checks ===


def check_address(address: Any) -> str:
    """Return "HOST:PORT" if it is one.

    Raises:
        TypeError: If it is not a text.
        ValueError: If host or port is missing, or the port is not in [1, 65535].

    Example:
        >>> check_address("127.0.0.1:7000")
        '127.0.0.1:7000'
    """
    if not isinstance(address, str):
        raise TypeError(f"`address` must be a text HOST:PORT. {received(address=address)}")
    host, _, port = address.rpartition(":")
    good = port.isascii() and port.isdigit() and 1 <= int(port) <= 65535
    if not host or not good or any(c.isspace() or c == "/" for c in host):
        raise ValueError(
            f"`address` must be HOST:PORT with a port from 1 to 65535. {received(address=address)}"
        )
    return address


def check_worker_id(worker_id: Any) -> str:
    """Return the name of a worker.

    Raises:
        TypeError: If it is not a text.
        ValueError: If it has other characters than letters, digits and ``_.-``, or holds "chief",
            by which Keras Tuner knows a chief.

    Example:
        >>> check_worker_id("desk-2")
        'desk-2'
    """
    if not isinstance(worker_id, str):
        raise TypeError(f"`worker_id` must be a text. {received(worker_id=worker_id)}")
    if not re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,99}", worker_id) or "chief" in worker_id:
        raise ValueError(
            '`worker_id` must be of letters, digits and _.-, and without "chief". '
            f"{received(worker_id=worker_id)}"
        )
    return worker_id


def _check_free(listen: str) -> None:
    """Refuse a port in use, in time: the chief, who takes it, says so only seconds later."""
    host, _, port = listen.rpartition(":")
    try:
        found = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)
        family, kind, protocol, _, place = found[0]
        with socket.socket(family, kind, protocol) as probe:
            if os.name == "posix":  # elsewhere it would allow what we want to find
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(place)
    except OSError as error:
        raise ValueError(
            f"`address` must be a free port of this machine. {received(address=listen)} "
            f"({error.strerror or error})"
        ) from None


def _orders(settings: SearchSettings, data: Data) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what the chief and the workers get to know."""
    kind = settings.hypermodel if callable(settings.hypermodel) else type(settings.hypermodel)
    if not hasattr(kind, "__module__"):  # functools.partial
        kind = type(kind)
    try:
        if kind.__module__ == "__main__":
            raise pickle.PicklingError(f"{kind.__qualname__} is defined in the main program")
        pickle.dumps(settings.hypermodel)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise ValueError(
            "`hypermodel` must be something that other processes can import, from a module of its "
            f"own. Received: {error}"
        ) from error
    common = {
        "settings": settings,
        "floatx": keras.config.floatx(),
        "data_format": keras.config.image_data_format(),
    }
    return {**common, "role": "chief"}, {
        **common,
        "role": "worker",
        "data": check_data(data),  # arrays, whatever came
        "patience": PATIENCE_S,
    }


# === The starter: it starts the processes, watches them and ends them ===


def _conduct(
    directory: Path,
    chief_orders: dict[str, Any] | None,
    worker_orders: dict[str, Any],
    names: list[str],
    board: "_Board",
) -> None:
    """Run a chief, workers or both until the search ends; none of them is left afterwards."""
    logs = directory / LOGS
    logs.mkdir(exist_ok=True)
    reports: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    children: list[Child] = []
    over = False
    try:
        chief = None
        if chief_orders is not None:
            env = {**shared_environment(8), "CUDA_VISIBLE_DEVICES": "-1"}  # it trains nothing
            chief = Child(MEMBER, "chief", logs / "chief.log", chief_orders, env, reports.put)
            children.append(chief)
        workers = []
        for name in names:
            worker = Child(
                MEMBER, name, logs / f"{name}.log", worker_orders, shared_environment(len(names))
            )
            children.append(worker)
            workers.append(worker)
            if chief is None:
                worker.tell(address=worker_orders["address"])
        present: set[str] = set()
        ended: set[str] = set()
        while True:
            board.show()
            for report in _waiting(reports):
                over = over or report["event"] == "over"
                if report["event"] == "address":
                    for worker in workers:
                        worker.tell(address=report["address"])
                elif report["event"] == "joined":
                    present.add(report["worker"])
                elif report["event"] == "lost":
                    present.discard(report["worker"])
                elif report["event"] == "end of reports" and not over:
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        chief.process.wait(STOP_S)
                    raise RuntimeError(
                        f"The chief ended before the search did: {chief.last_words()}. Logs: {logs}"
                    )
                board.report(report)
            if over:
                break
            for worker in workers:
                if worker.process.poll() is not None and worker.name not in ended:
                    ended.add(worker.name)
                    code = worker.process.returncode
                    if code:
                        present.discard(worker.name)
                        words = worker.last_words()
                        if chief is not None:
                            chief.tell(lost=worker.name, why=words)
                        board.note(words)
            if workers and len(ended) == len(workers):
                fine = any(worker.process.returncode == 0 for worker in workers)
                if chief is None and fine:
                    over = True
                    break
                if not fine and not present:
                    listed = "; ".join(worker.last_words() for worker in workers)
                    whose = "All workers" if chief is not None else "All workers of this machine"
                    raise RuntimeError(
                        f"{whose} ended before the search did: {listed}. Logs: {logs}"
                    )
    finally:
        with deaf_to_ctrl_c():
            _end(children, leaving=over)


def _waiting(reports: "queue.SimpleQueue[dict[str, Any]]") -> list[dict[str, Any]]:
    """Return all reports that are there; wait a moment if there is none."""
    found = []
    with contextlib.suppress(queue.Empty):
        found.append(reports.get(timeout=PAUSE_S))
        while True:
            found.append(reports.get_nowait())
    return found


def _end(children: list[Child], *, leaving: bool) -> None:
    """End processes; give time to the chief, who may be writing its state, or to all who leave."""
    end = time.monotonic() + STOP_S
    for child in children:
        if child.name == "chief":
            child.hang_up()
        elif not leaving:
            child.kill()
    for child in children:
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.process.wait(max(0.0, end - time.monotonic()))
        child.kill()


# === What is shown ===


class _Board:
    """One plain line an event; the base shows nothing."""

    def report(self, report: dict[str, Any]) -> None:
        """Show what the chief reports."""
        words = {
            "address": "the chief listens at {address}",
            "joined": "{worker} is ready",
            "begun": "{worker} trains trial {trial}: {values}",
            "ended": "{worker} ended {line}",
            "again": "trial {trial} of {worker} will run again",
        }.get(report["event"])
        if words is not None:
            self.note(words.format_map(report))

    def note(self, text: str) -> None:
        """Show a line."""

    def show(self) -> None:
        """Renew what is live."""


class _PlainBoard(_Board):
    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def note(self, text: str) -> None:
        self.stream.write(text + "\n")
        self.stream.flush()


class _LiveBoard(_Board):
    """A table of the workers below the lines on ended trials."""

    def __init__(self, live: Any, settings: SearchSettings) -> None:
        self.live, self.settings = live, settings
        self.workers: dict[str, tuple[str, str, float]] = {}
        self.status = "starting TensorFlow in each process …"

    def report(self, report: dict[str, Any]) -> None:
        event, worker = report["event"], report.get("worker")
        now = time.monotonic()
        if event == "joined":
            self.workers[worker] = ("waits", "", now)
        elif event == "begun":
            self.workers[worker] = (f"trial {report['trial']}", report["values"], now)
        elif event in ("ended", "again", "lost"):
            if event == "lost":
                self.workers[worker] = ("is gone", "", now)
            elif self.workers.get(worker, ("",))[0] == f"trial {report['trial']}":
                self.workers[worker] = ("waits", "", now)
        if event == "ended":
            self.status = report["status"]
            self.note(report["line"])
        elif event in ("address", "again"):
            super().report(report)

    def note(self, text: str) -> None:
        from rich.text import Text

        self.live.console.print(Text(text))

    def show(self) -> None:
        from rich import box
        from rich.table import Table
        from rich.text import Text

        table = Table(box=box.SIMPLE_HEAD, caption=Text(self.status), caption_justify="left")
        for column in ("worker", "does", "hyperparameters"):
            table.add_column(column, overflow="fold")
        table.add_column("seconds", justify="right")
        for name, (does, values, since) in sorted(self.workers.items()):
            row = (name, does, values, f"{time.monotonic() - since:.0f}")
            table.add_row(*(Text(cell) for cell in row))
        self.live.update(table)


@contextlib.contextmanager
def _board(stream: TextIO | None, settings: SearchSettings) -> Iterator[_Board]:
    if stream is None:
        yield _Board()
    elif not getattr(stream, "isatty", bool)():
        yield _PlainBoard(stream)
    else:
        from rich.console import Console
        from rich.live import Live

        with Live(console=Console(file=stream), refresh_per_second=4, transient=True) as live:
            yield _LiveBoard(live, settings)
