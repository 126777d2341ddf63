import os
import pickle
import signal
import subprocess
import sys
import threading

import psutil
import pytest
from contracts import check_docstring
from processes_help import children, wait_until

from dlnotes import processes

CHILD = """
import json, os, sys
from dlnotes.processes import on_messages, receive_orders
orders = receive_orders(sys.stdin.buffer)
print(json.dumps({"event": "began", "pid": os.getpid(), **orders}), flush=True)
print("something else", flush=True)
def hear(message):
    print(json.dumps({"event": "heard", **message}), flush=True)
on_messages(sys.stdin.buffer, hear, lambda: os._exit(7))
import time
time.sleep(60)
"""


@pytest.fixture
def reports():
    return []


@pytest.fixture
def child(tmp_path, monkeypatch, reports):
    monkeypatch.setattr(processes, "_START", CHILD)
    orders = {"rows": 3}
    child = processes.Child("json", "one", tmp_path / "one.log", orders, {}, reports.append)
    yield child
    child.kill()


@pytest.mark.parametrize(
    "thing",
    [
        processes.Child,
        processes.Stop,
        processes.run_child,
        processes.run_script,
        processes.shared_environment,
        processes.receive_orders,
        processes.on_messages,
        processes.killed_with_starter,
        processes.deaf_to_ctrl_c,
    ],
)
def test_docstrings(thing):
    check_docstring(thing)


def test_a_child_gets_orders_hears_messages_and_reports(child, reports):
    child.tell(word="go")
    wait_until(lambda: len(reports) == 2)
    began, heard = reports
    assert began == {"event": "began", "pid": child.process.pid, "rows": 3, "name": "one"}
    assert heard == {"event": "heard", "word": "go"}


def test_a_child_ends_when_the_starter_hangs_up(child, reports):
    wait_until(lambda: reports)
    child.hang_up()
    assert child.process.wait(20) == 7
    wait_until(lambda: reports[-1] == {"event": "end of reports"})


def test_a_child_ends_when_its_starter_is_killed(tmp_path):
    script = f"""
import sys, time
from pathlib import Path
from dlnotes import processes
processes._START = {CHILD!r}
def say(report):
    print(report.get("pid"), flush=True)
child = processes.Child("json", "one", Path({str(tmp_path / "log")!r}), {{}}, {{}}, say)
time.sleep(60)
"""
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as starter:
        pid = int(starter.stdout.readline())
        starter.kill()
    wait_until(lambda: not psutil.pid_exists(pid))


HELD = """
import sys
from dlnotes.processes import killed_with_starter, on_messages, receive_orders
receive_orders(sys.stdin.buffer)
on_messages(sys.stdin.buffer, print, lambda: None)
with killed_with_starter(sys.stdin.buffer):
    print('{"event": "held"}', flush=True)
    import ctypes
    ctypes.PyDLL(None).sleep(60)  # no thread of Python runs meanwhile
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs a signal that ends a process")
def test_a_child_ends_with_its_starter_while_no_thread_of_it_can_run(
    tmp_path, monkeypatch, reports
):
    monkeypatch.setattr(processes, "_START", HELD)
    child = processes.Child("json", "one", tmp_path / "one.log", {}, {}, reports.append)
    try:
        wait_until(lambda: reports)
        child.hang_up()
        assert child.process.wait(20) == -signal.SIGIO
    finally:
        child.kill()


@pytest.mark.skipif(sys.platform != "linux", reason="needs a signal that ends a process")
def test_a_starter_that_was_gone_before_ends_the_child_too(tmp_path, monkeypatch):
    late = HELD.replace("with killed", "import time; time.sleep(0.5)\nwith killed")
    monkeypatch.setattr(processes, "_START", late)
    child = processes.Child("json", "one", tmp_path / "one.log", {}, {})
    try:
        child.hang_up()
        assert child.process.wait(20) == 1
    finally:
        child.kill()


def test_last_words_say_how_it_ended_and_what_it_wrote(tmp_path, monkeypatch):
    ends = {
        "sys.exit(3)": "one (exit status 3): it wrote nothing",
        "os.kill(os.getpid(), 9)": "one (killed by signal 9, SIGKILL): it wrote nothing",
        "sys.exit('Error: no room')": "one (exit status 1): Error: no room",
    }
    for code, said in ends.items():
        monkeypatch.setattr(processes, "_START", f"import os, sys; {code}")
        child = processes.Child("json", "one", tmp_path / "log", {}, {})
        child.process.wait(20)
        assert child.last_words() == said
        child.kill()


def test_orders_that_cannot_be_sent_start_no_process(tmp_path):
    before = children()
    with pytest.raises((pickle.PicklingError, AttributeError)):
        processes.Child("json", "one", tmp_path / "log", {"build": lambda: 3}, {})
    assert not children() - before


WORK = """
import json, sys
from dlnotes.processes import Stop, run_child
def work(source, reports):
    print("for the log")
    print(json.dumps({"event": "said", "what": source.read(2).decode()}), file=reports)
    if sys.argv[1:]:
        raise {"stop": Stop("no room"), "key": KeyError("a")}[sys.argv[1]]
run_child(work, lambda error: 3 if isinstance(error, KeyError) else 1)
"""


@pytest.mark.parametrize(
    ("how", "status", "last"),
    [([], 0, "for the log"), (["stop"], 1, "Error: no room"), (["key"], 3, "Error: KeyError: 'a'")],
)
def test_work_of_a_child_is_reported_and_its_error_is_the_last_word(how, status, last):
    command = [sys.executable, "-c", WORK, *how]
    done = subprocess.run(command, input="hi", capture_output=True, text=True)
    assert done.returncode == status
    assert done.stdout == '{"event": "said", "what": "hi"}\n'
    assert done.stderr.splitlines()[0] == "for the log"
    assert done.stderr.splitlines()[-1] == last


def test_half_an_order_ends_the_child():
    content = pickle.dumps({"rows": 3})
    code = "import sys; from dlnotes.processes import receive_orders as r; r(sys.stdin.buffer)"
    half = len(content).to_bytes(8, "big") + content[:-3]
    done = subprocess.run([sys.executable, "-c", code], input=half, capture_output=True)
    assert (done.returncode, done.stderr) == (1, b"")


def test_workers_share_the_processors(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: range(8), raising=False)
    monkeypatch.delenv("TF_NUM_INTRAOP_THREADS", raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    found = processes.shared_environment(3)
    assert found["TF_NUM_INTRAOP_THREADS"] == "2"
    assert "OMP_NUM_THREADS" not in found, "what is set stays"
    assert processes.shared_environment(20)["TF_NUM_INTRAOP_THREADS"] == "1"


def test_a_second_ctrl_c_changes_nothing():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have ignored it
    try:
        check_a_second_ctrl_c()
    finally:
        signal.signal(signal.SIGINT, before)


def check_a_second_ctrl_c():
    with processes.deaf_to_ctrl_c():
        os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is not signal.SIG_IGN
    other = threading.Thread(target=lambda: processes.deaf_to_ctrl_c().__enter__())
    other.start()
    other.join()
    assert signal.getsignal(signal.SIGINT) is not signal.SIG_IGN, "only the main thread may"
