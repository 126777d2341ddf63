"""What the processes of a parallel search do: the chief hands out trials, the workers train them.

Keras Tuner's own chief is not used, only its oracle and its messages. It would wait for ever for
the trial of a dead worker, stay 20 seconds after the end, and keep workers asking without a pause
while there is nothing to do. Scores travel in single precision, as Keras computes them.
"""

import contextlib
import functools
import hashlib
import json
import math
import os
import queue
import socket
import sys
import threading
import time
import traceback
import uuid
from collections.abc import Callable, Mapping
from concurrent import futures
from pathlib import Path
from typing import Any, BinaryIO, NoReturn, TextIO

import keras
import keras_tuner
from keras_tuner.engine.trial import Trial, TrialStatus
from keras_tuner.src.engine import conditions, metrics_tracking
from keras_tuner.src.engine import oracle as oracle_module

from dlnotes import runtime
from dlnotes.processes import Stop, on_messages, receive_orders, run_child
from dlnotes.tuning.oracles import PROJECT, RECORD_NAME, SearchSettings, make_tuner
from dlnotes.tuning.search import run_search

TOKEN_NAME = "chief.json"
ATTEMPTS = 2  # a trial whose workers died twice is not given to a third
BEAT_S = 5.0
SILENCE_S = 60.0  # without a beat: the other side is gone
PAUSE_S = 0.2
GATHER_S = 60.0  # how long the first worker waits for those that were started with it
STOP_S = 3.0  # less than the starter waits
SERVICE = "dlnotes.Search"


def main() -> NoReturn:
    """Do what a starter orders through stdin; the entry point of chief and workers."""
    run_child(_follow)


def _follow(source: BinaryIO, reports: TextIO) -> None:
    import grpc

    conditions.print = lambda *_: None  # Keras Tuner prints a number for each condition it sends
    orders = receive_orders(source)
    keras.config.set_floatx(orders["floatx"])
    keras.config.set_image_data_format(orders["data_format"])
    try:
        if orders["role"] == "chief":
            _lead(orders, source, reports)
        else:
            _work(orders, source)
    except grpc.RpcError as error:
        raise Stop(f"the chief answers no more: {error.details()}") from error


def _fingerprint(settings: SearchSettings) -> str:
    text = json.dumps(settings.identity, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


# === The chief ===


def _lead(orders: dict[str, Any], source: Any, reports: TextIO) -> None:
    import grpc
    from keras_tuner.src import protos

    settings = orders["settings"]
    for name in ("KERASTUNER_TUNER_ID", "KERASTUNER_ORACLE_IP", "KERASTUNER_ORACLE_PORT"):
        os.environ.pop(name, None)  # its tuner is that of a search in one process

    def emit(event: str, **facts: Any) -> None:
        reports.write(json.dumps({"event": event, **facts}) + "\n")
        reports.flush()

    # A port that another process listens on must be refused, and Linux would let two share it.
    server = grpc.server(
        futures.ThreadPoolExecutor(max_workers=4), options=[("grpc.so_reuseport", 0)]
    )
    listen = orders["listen"]
    try:
        port = server.add_insecure_port(listen)
    except RuntimeError:
        raise Stop(f"the chief cannot listen at {listen}: the port is in use") from None
    emit("address", address=f"{listen.rpartition(':')[0]}:{port}")
    desk = _Desk(settings, emit, expected=orders.get("workers", 0))
    on_messages(source, desk.hear, desk.leave)
    desk.open()
    protos.get_service_grpc().add_OracleServicer_to_server(desk, server)
    ask = grpc.unary_unary_rpc_method_handler(desk.ask)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {"Ask": ask}),))
    server.start()
    try:
        while not desk.over():
            time.sleep(PAUSE_S)
        server.stop(grace=2).wait()  # the last worker still gets its answer
    finally:
        desk.close()
    emit("over")


class _Desk:
    """Answers the workers, one at a time, and knows what each of them does.

    Args:
        settings: What is searched.
        emit: Reports an event to the starter.
        expected: Workers that were started with the chief: none trains before all are there.
    """

    def __init__(
        self, settings: SearchSettings, emit: Callable[..., None], expected: int = 0
    ) -> None:
        self.settings, self.emit, self.expected = settings, emit, expected
        self.gathered = math.inf  # when nobody waits any longer
        self.lock = threading.RLock()
        self.search, self.token = _fingerprint(settings), uuid.uuid4().hex
        self.nonces: dict[str, str] = {}  # of the workers that are there
        self.heard: dict[str, float] = {}
        self.told: set[str] = set()  # that the search is over
        self.deaths: dict[str, list[str]] = {}  # by trial
        self.oracle: Any = None

    def open(self) -> None:
        """Make the oracle, with the trials that the directory holds."""
        from keras_tuner.src.distribute import oracle_chief

        with self.lock:
            tuner = make_tuner(self.settings, progress=self)
            tuner.save()
            self.oracle = tuner.oracle
            self.inner = oracle_chief.OracleServicer(self.oracle)
            text = json.dumps({"token": self.token, "host": socket.gethostname()})
            runtime.write_atomically(self.settings.directory / TOKEN_NAME, text + "\n")

    def close(self) -> None:
        (self.settings.directory / TOKEN_NAME).unlink(missing_ok=True)

    def over(self) -> bool:
        with self.lock:
            now = time.monotonic()
            for name in [n for n, heard in self.heard.items() if now - heard > SILENCE_S]:
                self.lost(name, f"{name}: not heard for {SILENCE_S:g} s")
            return bool(self.told) and self.told >= set(self.nonces)

    # --- from the starter ---

    def hear(self, message: dict[str, Any]) -> None:
        with self.lock:
            self.lost(message["lost"], message["why"])

    def leave(self) -> None:
        """End at once, but not in the middle of writing the oracle's state."""
        self.lock.acquire(timeout=STOP_S)
        self.close()
        os._exit(1)

    def lost(self, name: str, why: str) -> None:
        """Have the trial of a dead worker run again, or give it up."""
        self.expected -= 1
        if self.nonces.pop(name, None) is None:
            return
        self.heard.pop(name, None)
        self.told.discard(name)
        self.emit("lost", worker=name)
        trial = self.oracle.ongoing_trials.pop(name, None)
        if trial is None:
            return
        deaths = self.deaths.setdefault(trial.trial_id, [])
        deaths.append(why)
        if len(deaths) < ATTEMPTS:
            trial.metrics = metrics_tracking.MetricsTracker()  # it may have reported its score
            self.oracle._retry_queue.append(trial.trial_id)
            self.oracle.save()
            self.emit("again", worker=name, trial=trial.trial_id)
            return
        folder = self.settings.directory / PROJECT / f"trial_{trial.trial_id}"
        record = {"reason": f"its workers died: {'; '.join(deaths)}", "tuner": name}
        runtime.write_atomically(folder / RECORD_NAME, json.dumps(record) + "\n")
        trial.status = TrialStatus.FAILED
        self.ending = name
        self._unlocking(self.oracle.end_trial, trial)

    # --- from the oracle, when a trial has ended ---

    def write(self, line: str) -> None:
        """Report the line that a search in one process would print."""
        trial, *rest = line.strip().split(" · ")
        self.emit(
            "ended",
            worker=self.ending,
            trial=trial.removeprefix("trial "),
            line=line.strip(),
            status=" · ".join(part for part in rest if part.startswith("best") or "epochs" in part),
        )

    def flush(self) -> None:
        pass

    # --- from the workers: Keras Tuner's calls ---

    def GetSpace(self, request: Any, context: Any) -> Any:
        return self._answer(self.inner.GetSpace, request, context)

    def UpdateSpace(self, request: Any, context: Any) -> Any:
        return self._answer(self.inner.UpdateSpace, request, context)

    def GetTrial(self, request: Any, context: Any) -> Any:
        return self._answer(self.inner.GetTrial, request, context)

    def GetBestTrials(self, request: Any, context: Any) -> Any:
        return self._answer(self.inner.GetBestTrials, request, context)

    def CreateTrial(self, request: Any, context: Any) -> Any:
        with self.lock:
            name = self._known(context)
            if self._gathers():
                return self._idle()
            again = name in self.oracle.ongoing_trials
            answer = self._unlocking(self.inner.CreateTrial, request, context)
            trial = Trial.from_proto(answer.trial)
            if trial.status == TrialStatus.STOPPED:
                if self.oracle.ongoing_trials:  # one of them may have to run again
                    trial.status = TrialStatus.IDLE
                    answer.trial.CopyFrom(trial.to_proto())
                else:
                    self.told.add(name)
            elif trial.status == TrialStatus.RUNNING and not again:
                values = self.oracle.trials[trial.trial_id].hyperparameters.values
                self.emit("begun", worker=name, trial=trial.trial_id, values=_told(values))
            return answer

    def _gathers(self) -> bool:
        """Tell whether a worker is still to come; who comes first would train all short trials."""
        if len(self.nonces) >= self.expected or time.monotonic() > self.gathered:
            self.expected = 0
        return self.expected > 0

    def _idle(self) -> Any:
        from keras_tuner.src import protos

        trial = Trial(keras_tuner.HyperParameters(), status=TrialStatus.IDLE)
        return protos.get_service().CreateTrialResponse(trial=trial.to_proto())

    def UpdateTrial(self, request: Any, context: Any) -> Any:
        with self.lock:
            if self._owns(context, request.trial_id):
                return self._unlocking(self.inner.UpdateTrial, request, context)
            from keras_tuner.src import protos

            trial = self.oracle.trials[request.trial_id].to_proto()
            return protos.get_service().UpdateTrialResponse(trial=trial)

    def EndTrial(self, request: Any, context: Any) -> Any:
        from keras_tuner.src import protos

        with self.lock:
            trial = Trial.from_proto(request.trial)
            if self._owns(context, trial.trial_id):
                # in a message hyperparameters are sorted by kind, and no more in their own order
                known = self.oracle.trials[trial.trial_id].hyperparameters
                if {hp.name for hp in trial.hyperparameters.space} <= {h.name for h in known.space}:
                    trial.hyperparameters = known
                self.ending = self._known(context)
                self._unlocking(self.oracle.end_trial, trial)
            return protos.get_service().EndTrialResponse()

    def _answer(self, method: Callable[..., Any], request: Any, context: Any) -> Any:
        with self.lock:
            self._known(context)
            return self._unlocking(method, request, context)

    def _known(self, context: Any) -> str:
        """Return the name of the worker that asks; end its call if it is none of this search."""
        import grpc

        facts = dict(context.invocation_metadata())
        name = facts.get("worker", "")
        if not name or self.nonces.get(name) != facts.get("nonce"):
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, f"{name} works here no more")
        self.heard[name] = time.monotonic()
        return name

    def _owns(self, context: Any, trial_id: str) -> bool:
        """Tell whether this worker has the trial, and was not thought dead meanwhile."""
        trial = self.oracle.ongoing_trials.get(self._known(context))
        return trial is not None and trial.trial_id == trial_id

    def _unlocking(self, method: Callable[..., Any], *arguments: Any) -> Any:
        """Call the oracle, whose own lock would stay closed for ever after an error."""
        try:
            return method(*arguments)
        except Exception:
            traceback.print_exc()
            if oracle_module.LOCKS[self.oracle].locked():
                oracle_module.THREADS[self.oracle] = None
                oracle_module.LOCKS[self.oracle].release()
            raise

    # --- from the workers: what Keras Tuner has no call for ---

    def ask(self, content: bytes, context: Any) -> bytes:
        """Answer a question in JSON: "join" or "beat"."""
        question = json.loads(content)
        with self.lock:
            return json.dumps(getattr(self, f"_{question['ask']}")(question, context)).encode()

    def _join(self, question: dict[str, Any], context: Any) -> dict[str, Any]:
        name, nonce = question["worker"], question["nonce"]
        if question["search"] != self.search:
            return {"problem": "the chief there has another search, other data or other options"}
        if self.nonces.get(name, nonce) != nonce:
            return {"problem": f"the chief there has a worker named {name} already"}
        self.nonces[name], self.heard[name] = nonce, time.monotonic()
        self.gathered = min(self.gathered, time.monotonic() + GATHER_S)
        self.emit("joined", worker=name)
        return {"token": self.token}

    def _beat(self, question: dict[str, Any], context: Any) -> dict[str, Any]:
        self._known(context)
        return {}


def _told(values: Mapping[str, Any]) -> str:
    """Return hyperparameters in short."""
    shown = {k: v for k, v in values.items() if not k.startswith("tuner/")}
    return ", ".join(
        f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={value}"
        for name, value in shown.items()
    )


# === A worker ===


class _Line:
    """The calls of a worker to the chief.

    Args:
        address: Where the chief is.
        name: The worker's name.
    """

    def __init__(self, address: str, name: str) -> None:
        import grpc
        from keras_tuner.src import protos

        options = [("grpc.enable_http_proxy", 0)]  # a proxy of the environment is for the web
        self.address, self.name, self.nonce = address, name, uuid.uuid4().hex
        self.channel = grpc.insecure_channel(address, options=options)
        self._calls = protos.get_service_grpc().OracleStub(self.channel)
        self._ask = self.channel.unary_unary(f"/{SERVICE}/Ask")
        self._metadata = (("worker", name), ("nonce", self.nonce))

    def connect(self, patience: float) -> None:
        import grpc

        try:
            grpc.channel_ready_future(self.channel).result(timeout=patience)
        except grpc.FutureTimeoutError:
            raise Stop(f"no chief answers at {self.address} within {patience:g} s") from None

    def ask(self, what: str, **facts: Any) -> Any:
        question = {"ask": what, "worker": self.name, "nonce": self.nonce, **facts}
        content = json.dumps(question).encode()
        answer = self._ask(content, metadata=self._metadata, wait_for_ready=True, timeout=SILENCE_S)
        return json.loads(answer)

    def __getattr__(self, name: str) -> Any:
        """Return one of Keras Tuner's calls, which then says who asks."""
        return functools.partial(getattr(self._calls, name), metadata=self._metadata)


def _work(orders: dict[str, Any], source: Any) -> None:
    import grpc
    from keras_tuner.src.distribute import oracle_client

    settings, name, patience = orders["settings"], orders["name"], orders["patience"]
    answers: queue.SimpleQueue[str] = queue.SimpleQueue()
    on_messages(source, lambda message: answers.put(message["address"]), lambda: os._exit(1))
    address = answers.get()  # no time limit: without a starter this process ends
    line = _Line(address, name)
    line.connect(patience)
    answer = line.ask("join", search=_fingerprint(settings))
    if "problem" in answer:
        raise Stop(f"{answer['problem']} ({address})")
    _check_shared(settings.directory, answer["token"], min(patience, SILENCE_S))

    def beat() -> None:
        while True:
            time.sleep(BEAT_S)
            try:
                line.ask("beat")
            except grpc.RpcError as error:
                print(f"Error: the chief answers no more: {error.details()}", file=sys.stderr)
                sys.stderr.flush()
                os._exit(1)

    threading.Thread(target=beat, daemon=True).start()
    host, _, port = address.rpartition(":")
    os.environ["KERASTUNER_TUNER_ID"] = name
    os.environ["KERASTUNER_ORACLE_IP"], os.environ["KERASTUNER_ORACLE_PORT"] = host, port
    tuner = make_tuner(settings)
    tuner.oracle.stub = line
    oracle_client.TIMEOUT = SILENCE_S  # not an hour
    create = tuner.oracle.create_trial

    def create_trial(tuner_id: str) -> Trial:
        while (trial := create(tuner_id)).status == TrialStatus.IDLE:
            time.sleep(PAUSE_S)  # Keras Tuner would ask again at once
        return trial

    tuner.oracle.create_trial = create_trial
    run_search(tuner, orders["data"])


def _check_shared(directory: Path, token: str, patience: float) -> None:
    """Find what the chief has written, which proves that both see the same directory."""
    end = time.monotonic() + min(patience, 15.0)  # a network's file system may be late
    while True:
        with contextlib.suppress(OSError, ValueError):
            text = (directory / TOKEN_NAME).read_text(encoding="utf-8")
            if json.loads(text).get("token") == token:
                return
        if time.monotonic() > end:
            raise Stop(f"`directory` must be the chief's own, shared. Received: {directory}")
        time.sleep(PAUSE_S)
