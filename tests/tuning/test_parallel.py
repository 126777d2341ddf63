"""Chief and workers: real processes in three tests, stand-ins or mere calls in the others."""

import io
import json
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from contracts import Refusal, check_docstring, check_refusals
from test_search import DATA, Tiny, same, tree

from dlnotes import processes
from dlnotes.runtime import quiet_start

with quiet_start():
    from keras_tuner.src import protos

    from dlnotes.tuning import (
        join_search,
        members,
        parallel,
        parallel_search,
        search,
        trials_table,
    )
    from dlnotes.tuning.search import open_directory

OPTIONS = {"method": "grid", "objective": "val_loss", "budget": 8, "epochs": 2, "seed": 3}


class Waiting(Tiny):
    """Waits in its second trial, the first time, until it is killed."""

    def __init__(self, folder):
        super().__init__(activations=("relu",), learning_rate=(0.1, 0.1))
        self.folder = str(folder)

    def fit(self, hp, model, *args, **kwargs):
        mark = Path(self.folder) / "pid"
        if hp["units_1"] == 4 and not mark.exists():
            mark.with_suffix(".part").write_text(str(os.getpid()))
            mark.with_suffix(".part").rename(mark)
            time.sleep(60)
        return super().fit(hp, model, *args, **kwargs)


class Deadly(Tiny):
    def fit(self, hp, model, *args, **kwargs):
        print("the last words")
        sys.stdout.flush()
        os._exit(7)


def wait_for(condition, seconds=40):
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)
    return found


def family():
    return {child.pid for child in psutil.Process().children(recursive=True)}


@pytest.fixture(autouse=True)
def _no_process_left():
    before = family()
    yield
    left = [p for p in psutil.Process().children(recursive=True) if p.pid not in before]
    assert not [p.cmdline() for p in left if p.status() != psutil.STATUS_ZOMBIE]


def nobody_listens(address):
    host, port = address.split(":")
    with socket.socket() as probe:
        return probe.connect_ex((host, int(port))) != 0


# === Real processes ===


def test_table_is_the_serial_one_although_a_worker_was_killed_in_a_trial(tmp_path):
    marks = tmp_path / "marks"
    marks.mkdir()
    killed, seen, lines = [], set(), io.StringIO()

    def kill():
        pid = int(wait_for(lambda: (marks / "pid").exists() and (marks / "pid").read_text()))
        seen.update(family())
        killed.append(pid)
        os.kill(pid, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    hypermodel = Waiting(marks)
    result = parallel_search(
        hypermodel, DATA, directory=tmp_path / "p", workers=2, progress=lines, **OPTIONS
    )
    killer.join()
    said = lines.getvalue().splitlines()
    # the processes were real, and are gone, with their port
    assert len(seen) == 3
    assert killed[0] in seen
    assert not any(psutil.pid_exists(pid) for pid in seen)
    assert nobody_listens(said[0].removeprefix("the chief listens at "))
    assert not (tmp_path / "p" / "chief.json").exists()
    # the trial was run again, by the other worker
    (lost,) = [line for line in said if "will run again" in line]
    trial, worker = lost.split()[1], lost.split()[3]
    other = {"worker1": "worker2", "worker2": "worker1"}[worker]
    begun = [line.split(":")[0] for line in said if " trains trial " in line]
    assert [f"{worker} trains trial {trial}", f"{other} trains trial {trial}"] == [
        line for line in begun if line.endswith(trial)
    ]
    assert any(line.startswith(f"{worker} (killed by signal 9, SIGKILL): ") for line in said)
    assert {p.name for p in (tmp_path / "p" / "logs").iterdir()} == {
        "chief.log",
        "worker1.log",
        "worker2.log",
    }
    # and nothing is seen of all this in the results
    serial = search(hypermodel, DATA, directory=tmp_path / "s", progress=False, **OPTIONS)
    assert same(result.table, serial.table)
    assert len(serial.table) == 4
    assert result.best_score == serial.best_score
    assert result.best_hyperparameters == serial.best_hyperparameters
    assert same(trials_table(tmp_path / "p"), serial.table)


STARTER = """
from dlnotes.runtime import quiet_start
with quiet_start():
    from test_parallel import DATA, OPTIONS, Waiting, parallel_search
import sys
directory = sys.argv[1] + "/p"
parallel_search(Waiting(sys.argv[1]), DATA, directory=directory, workers=1, **OPTIONS)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")
def test_a_killed_starter_leaves_no_process(tmp_path):
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([sys.executable, "-c", STARTER, str(tmp_path)], env=env) as starter:
        try:
            wait_for((tmp_path / "pid").exists)
            children = psutil.Process(starter.pid).children(recursive=True)
            assert len(children) == 2
        finally:
            starter.kill()
    _, alive = psutil.wait_procs(children, timeout=10)
    for process in alive:
        process.kill()
    assert not alive


def test_when_all_workers_die_the_error_says_how_and_the_directory_is_as_before(tmp_path):
    directory = tmp_path / "p"
    directory.mkdir()
    with pytest.raises(RuntimeError) as caught:
        parallel_search(Deadly(), DATA, directory=directory, workers=1, progress=False, **OPTIONS)
    message = str(caught.value)
    assert message.startswith("All workers ended before the search did: worker1 (exit status 7): ")
    assert "the last words" in message
    assert tree(directory) == {}


# === The starter, with stand-ins for its children ===

CHILD = """
import json, os, pickle, sys, time
source = sys.stdin.buffer
orders = pickle.loads(source.read(int.from_bytes(source.read(8), "big")))
def emit(event, **facts):
    print(json.dumps({"event": event, **facts}), flush=True)
def hear():
    line = source.readline()
    if not line:
        os._exit(1)
    return json.loads(line)
exec(orders[orders["role"]])
os._exit(0)
"""
LEADS = 'emit("address", address="h:1"); emit("joined", worker="w"); '


def conduct(tmp_path, monkeypatch, chief, worker, *, names=("w",), board=None):
    monkeypatch.setattr(processes, "_START", CHILD)
    chief = chief and {"role": "chief", "chief": chief}
    orders = {"role": "worker", "worker": worker, "address": "h:1"}
    board = board or parallel._Board()
    parallel._conduct(tmp_path, chief, orders, list(names), board)


def test_starter_ends_with_the_search_and_ends_who_stays(tmp_path, monkeypatch):
    monkeypatch.setattr(parallel, "STOP_S", 0.3)
    lines = io.StringIO()
    board = parallel._PlainBoard(lines)
    conduct(tmp_path, monkeypatch, LEADS + 'emit("over")', "time.sleep(60)", board=board)
    assert lines.getvalue() == "the chief listens at h:1\nw is ready\n"


def test_starter_tells_the_workers_the_address_and_the_chief_of_a_dead_one(tmp_path, monkeypatch):
    chief = LEADS + 'open(orders["name"], "w").write(json.dumps(hear())); emit("over")'
    worker = """
address = hear()["address"]
if orders["name"] == "w":
    print("Error: " + address, flush=True)
    os._exit(3)
time.sleep(60)
"""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(parallel, "STOP_S", 0.3)
    conduct(tmp_path, monkeypatch, chief, worker, names=("w", "v"))
    told = json.loads((tmp_path / "chief").read_text())
    assert told == {"lost": "w", "why": "w (exit status 3): Error: h:1"}


@pytest.mark.parametrize(
    ("chief", "worker", "message"),
    [
        (
            LEADS + 'print("Error: no disk", file=sys.stderr, flush=True); os._exit(4)',
            "time.sleep(60)",
            "The chief ended before the search did: chief (exit status 4): Error: no disk. Logs: ",
        ),
        (
            LEADS + "hear(); hear()",
            "os.kill(os.getpid(), 9)",
            "All workers ended before the search did: w (killed by signal 9, SIGKILL): it wrote n",
        ),
        (None, 'print("a"); print("b"); sys.stdout.flush(); os._exit(2)', "w (exit status 2): a /"),
    ],
)
def test_starter_says_who_died_and_leaves_nobody(tmp_path, monkeypatch, chief, worker, message):
    with pytest.raises(RuntimeError) as caught:
        conduct(tmp_path, monkeypatch, chief, worker)
    assert message in str(caught.value)
    assert str(tmp_path / "logs") in str(caught.value)


def test_a_worker_elsewhere_keeps_the_search_going(tmp_path, monkeypatch):
    chief = 'emit("joined", worker="far"); ' + LEADS + 'hear(); emit("over")'
    conduct(tmp_path, monkeypatch, chief, "hear(); os._exit(5)")


def test_workers_without_a_chief_end_when_they_are_told_so(tmp_path, monkeypatch):
    conduct(tmp_path, monkeypatch, None, "hear(); os._exit(0)", names=("a", "b"))


def test_ctrl_c_ends_the_children_and_a_second_one_does_not_help_them(tmp_path, monkeypatch):
    seen = set()

    class Interrupting(parallel._Board):
        def report(self, report):
            seen.update(family())
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        conduct(tmp_path, monkeypatch, LEADS + "hear()", "time.sleep(60)", board=Interrupting())
    assert len(seen) == 2
    assert not any(psutil.pid_exists(pid) for pid in seen)


def test_only_own_processes_are_ended(tmp_path, monkeypatch):
    command = [sys.executable, "-c", "import time; time.sleep(60)"]
    with subprocess.Popen(command) as stranger:
        with pytest.raises(RuntimeError):
            conduct(tmp_path, monkeypatch, None, "os._exit(2)")
        assert stranger.poll() is None
        stranger.kill()


# === The chief, in this process ===


class Refused(Exception):
    pass


class Call:
    """What gRPC tells about a call."""

    def __init__(self, worker, nonce="n"):
        self.metadata = (("worker", worker), ("nonce", nonce))

    def invocation_metadata(self):
        return self.metadata

    def abort(self, code, text):
        raise Refused(text)


class Desk:
    """A chief, with the calls that a worker makes."""

    def __init__(self, directory, expected=0, **options):
        rates = options.pop("learning_rate", (0.1, 0.1))
        options = {**OPTIONS, **options}
        hypermodel = Tiny(activations=("relu",), learning_rate=rates)
        self.settings = parallel.check_search(hypermodel, DATA, directory=directory, **options)
        open_directory(self.settings, resume=False)
        self.events = []
        self.desk = members._Desk(
            self.settings, lambda e, **facts: self.events.append((e, facts)), expected
        )
        self.desk.open()
        self.service = protos.get_service()

    def ask(self, what, worker, **facts):
        nonce = facts.pop("nonce", "n")
        facts.setdefault("search", members._fingerprint(self.settings))
        question = {"ask": what, "worker": worker, "nonce": nonce, **facts}
        return json.loads(self.desk.ask(json.dumps(question).encode(), Call(worker, nonce)))

    def create(self, worker):
        request = self.service.CreateTrialRequest(tuner_id=worker)
        answer = self.desk.CreateTrial(request, Call(worker))
        return members.Trial.from_proto(answer.trial)

    def update(self, worker, trial, score):
        request = self.service.UpdateTrialRequest(
            trial_id=trial.trial_id, metrics={"val_loss": score}, step=0
        )
        self.desk.UpdateTrial(request, Call(worker))

    def end(self, worker, trial, score=0.5, status="COMPLETED"):
        self.update(worker, trial, score)
        trial.status = status
        self.desk.EndTrial(self.service.EndTrialRequest(trial=trial.to_proto()), Call(worker))

    def table(self):
        return trials_table(self.settings.directory)


@pytest.fixture
def chief(tmp_path):
    chief = Desk(tmp_path / "s")
    chief.ask("join", "a")
    chief.ask("join", "b")
    return chief


def test_grid_gives_each_worker_a_trial_at_once(chief):
    chief.ask("join", "c")
    trials = [chief.create(name) for name in "abc"]
    assert [t.status for t in trials] == ["RUNNING"] * 3
    assert [t.hyperparameters["units_1"] for t in trials] == [2, 4, 8]
    assert [facts["worker"] for event, facts in chief.events if event == "begun"] == list("abc")


def test_trials_begin_when_all_workers_are_there(tmp_path):
    chief = Desk(tmp_path / "s", expected=3)
    chief.ask("join", "a")
    assert chief.create("a").status == "IDLE"
    chief.desk.hear({"lost": "c", "why": "it died while it was starting"})
    assert chief.create("a").status == "IDLE"
    chief.ask("join", "b")
    assert chief.create("a").status == chief.create("b").status == "RUNNING"
    chief.desk.lost("b", "killed")
    chief.end("a", chief.create("a"))
    assert chief.create("a").status == "RUNNING"  # nobody is waited for twice


def test_a_worker_that_never_comes_is_waited_for_only_a_while(tmp_path, monkeypatch):
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now)
    chief = Desk(tmp_path / "s", expected=2)
    chief.ask("join", "a")
    monkeypatch.setattr(time, "monotonic", lambda: now + members.GATHER_S - 1)
    assert chief.create("a").status == "IDLE"
    monkeypatch.setattr(time, "monotonic", lambda: now + members.GATHER_S + 1)
    assert chief.create("a").status == "RUNNING"


def test_nobody_is_sent_home_while_a_trial_may_have_to_run_again(chief):
    last = [chief.create("a")]
    for _ in range(3):
        trial = chief.create("b")
        chief.end("b", trial)
        last.append(trial)
    assert chief.create("b").status == "IDLE"
    chief.desk.lost("a", "killed")
    assert chief.create("b").trial_id == "0000"
    chief.end("b", last[0])
    assert not chief.desk.over()
    assert chief.create("b").status == "STOPPED"
    assert chief.desk.over()
    assert (chief.table()["status"] == "completed").all()


def test_a_search_is_over_only_when_every_worker_knows(chief):
    chief.desk.settings.__dict__["budget"] = 2
    chief.end("a", chief.create("a"))
    assert chief.create("a").status == "STOPPED"
    assert not chief.desk.over()
    assert chief.create("b").status == "STOPPED"
    assert chief.desk.over()


def test_a_trial_whose_workers_died_twice_has_failed(chief):
    for name in "ab":
        trial = chief.create(name)
        chief.update(name, trial, 0.25)
        chief.desk.lost(name, f"{name} (exit status 9)")
    assert [event for event, _ in chief.events[-4:]] == ["again", "begun", "lost", "ended"]
    table = chief.table()
    assert table["status"].tolist() == ["failed"]
    assert table["reason"].tolist() == ["its workers died: a (exit status 9); b (exit status 9)"]


def test_a_score_of_a_dead_worker_is_forgotten(chief):
    trial = chief.create("a")
    chief.update("a", trial, 0.25)
    chief.desk.lost("a", "killed")
    chief.end("b", chief.create("b"), 0.75)
    assert chief.table()["score"].tolist() == [0.75]


def test_a_worker_thought_dead_changes_nothing_any_more(chief):
    trial = chief.create("a")
    chief.desk.lost("a", "not heard")
    again = chief.create("b")
    assert again.trial_id == trial.trial_id
    with pytest.raises(Refused, match="a works here no more"):
        chief.end("a", trial, 0.1)
    chief.ask("join", "a", nonce="n")
    chief.end("a", trial, 0.1)
    assert chief.table()["status"].tolist() == ["running"]
    chief.end("b", again, 0.75)
    assert chief.table()["score"].tolist() == [0.75]


def test_a_silent_worker_is_lost(chief, monkeypatch):
    chief.create("a")
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + members.SILENCE_S - 1)
    chief.ask("beat", "b")
    chief.desk.over()
    assert "lost" not in dict(chief.events)
    monkeypatch.setattr(time, "monotonic", lambda: now + members.SILENCE_S + 1)
    chief.desk.over()
    assert [facts["worker"] for event, facts in chief.events if event == "lost"] == ["a"]


def test_hyperparameters_come_back_exactly_and_in_their_order(tmp_path):
    chief = Desk(tmp_path / "s", method="random", learning_rate=(0.01, 1.0))
    chief.ask("join", "a")
    trial = chief.create("a")
    drawn = chief.desk.oracle.trials[trial.trial_id].hyperparameters
    values, names = dict(drawn.values), [hp.name for hp in drawn.space]
    assert trial.hyperparameters.values == values
    chief.end("a", trial)
    kept = chief.desk.oracle.trials[trial.trial_id].hyperparameters
    assert kept.values == values
    assert [hp.name for hp in kept.space] == names


def test_strangers_are_refused(chief):
    assert "another search" in chief.ask("join", "c", search="x")["problem"]
    assert "a worker named a already" in chief.ask("join", "a", nonce="m")["problem"]
    with pytest.raises(Refused, match="c works here no more"):
        chief.create("c")


def test_an_error_of_the_oracle_does_not_lock_it_for_ever(chief):
    trial = chief.create("a")
    request = chief.service.UpdateTrialRequest(trial_id=trial.trial_id, metrics={"other": 1.0})
    with pytest.raises(ValueError, match="Objective value missing"):
        chief.desk.UpdateTrial(request, Call("a"))
    done = queue.SimpleQueue()
    threading.Thread(target=lambda: done.put(chief.create("b").status), daemon=True).start()
    assert done.get(timeout=5) == "RUNNING"


# === Workers ===


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_an_absent_chief_is_named():
    line = members._Line(f"127.0.0.1:{free_port()}", "w")
    with pytest.raises(RuntimeError, match=r"^no chief answers at 127.0.0.1:\d+ within 0.2 s$"):
        line.connect(0.2)
    line.channel.close()


def test_a_directory_that_is_not_shared_is_refused(tmp_path):
    (tmp_path / "chief.json").write_text('{"token": "other"}')
    with pytest.raises(RuntimeError, match="must be the chief's own, shared"):
        members._check_shared(tmp_path, "mine", 0.05)
    members._check_shared(tmp_path, "other", 0.05)


def test_joining_waits_for_the_directory_and_writes_nothing(tmp_path):
    with pytest.raises(RuntimeError, match="no search began in it within 0.01 s"):
        join_search(Tiny(), DATA, directory=tmp_path, address="h:1", patience=0.01, **OPTIONS)
    assert tree(tmp_path) == {}


# === Refusals ===


def test_what_cannot_be_done_is_refused_before_anything_starts(tmp_path, monkeypatch):
    class Local(Tiny):
        pass

    def start(hypermodel=None, **options):
        options = {**OPTIONS, "directory": tmp_path / "s", "progress": False, **options}
        parallel_search(hypermodel or Tiny(), DATA, **options)

    def join(**options):
        options = {**OPTIONS, "directory": tmp_path, "address": "h:1", **options}
        join_search(Tiny(), DATA, **options)

    monkeypatch.setattr(processes, "_START", "not Python")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        check_refusals(
            start,
            [
                Refusal((), {"workers": 0}, ValueError, "`workers` must be an integer >= 1"),
                Refusal((), {"workers": 2.0}, TypeError, "`workers` must be an integer"),
                Refusal((), {"address": 7000}, TypeError, "`address` must be a text"),
                Refusal((), {"address": "7000"}, ValueError, "`address` must be HOST:PORT"),
                Refusal((), {"address": "h:0"}, ValueError, "a port from 1 to 65535"),
                Refusal(
                    (), {"address": address}, ValueError, f"a free port of .*'{address}' \\(Add"
                ),
                Refusal(
                    (Local(),), {}, ValueError, "`hypermodel` must be .*other processes can im"
                ),
                Refusal((), {"objective": "acc"}, ValueError, "`objective` must be a value"),
            ],
        )
        check_refusals(
            join,
            [
                Refusal((), {"worker_id": "my desk"}, ValueError, "`worker_id` must be of letters"),
                Refusal((), {"worker_id": "thechief"}, ValueError, 'without "chief"'),
                Refusal((), {"worker_id": 3}, TypeError, "`worker_id` must be a text"),
                Refusal((), {"workers": 0}, ValueError, "`workers` must be an integer >= 1"),
                Refusal((), {"patience": 0}, ValueError, "`patience` must be a finite"),
                Refusal((), {"address": "h"}, ValueError, "`address` must be HOST:PORT"),
            ],
        )
    assert tree(tmp_path) == {}


def test_what_is_shown_on_a_terminal(tmp_path):
    rich = pytest.importorskip("rich.console")
    console = rich.Console(file=io.StringIO(), width=100, force_terminal=True)
    tables = []
    live = SimpleNamespace(console=console, update=tables.append)
    board = parallel._LiveBoard(live, None)
    board.report({"event": "joined", "worker": "worker1"})
    board.report({"event": "begun", "worker": "worker1", "trial": "0007", "values": "units=4"})
    board.report({"event": "begun", "worker": "worker2", "trial": "0008", "values": "units=8"})
    ended = {"worker": "worker2", "trial": "0008", "line": "trial 0008 · x", "status": "best 0.9"}
    board.report({"event": "ended", **ended})
    board.report({"event": "lost", "worker": "worker3"})
    board.show()
    plain = rich.Console(file=io.StringIO(), width=100)
    plain.print(tables[-1])
    shown = plain.file.getvalue()
    rows = [line.split() for line in shown.splitlines()]
    assert ["worker1", "trial", "0007", "units=4", "0"] in rows
    assert ["worker2", "waits", "0"] in rows
    assert ["worker3", "is", "gone", "0"] in rows
    assert "best 0.9" in shown
    assert "trial 0008 · x" in console.file.getvalue()


@pytest.mark.parametrize(
    "function",
    [parallel_search, join_search, parallel.check_address, parallel.check_worker_id],
)
def test_docstrings(function):
    check_docstring(function)
