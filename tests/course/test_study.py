import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import psutil
import pytest

from dlnotes.course import study
from dlnotes.course.study import StudyError

# The command line on a small course: its root is given in place of the checkout's.
SCRIPT = """
import sys
from pathlib import Path
from dlnotes import cli, runtime
root = Path(sys.argv.pop(1))
runtime.repository_root = lambda: root
cli.main()
"""


CHECKOUT = Path(study.__file__).parents[2]


@pytest.fixture
def course(tmp_path):
    (tmp_path / "notebooks").mkdir()
    (tmp_path / study.INDEX).write_text("# Lessons\n")
    return tmp_path


def request(url, token, method="GET"):
    headers = {"Authorization": f"token {token}"}
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    return opener.open(urllib.request.Request(url, headers=headers, method=method), timeout=20)


def read_address(process):
    lines = []
    for line in process.stdout:
        lines.append(line)
        if "http://" in line:
            return line.strip(), "".join(lines)
    raise AssertionError("".join(lines))


@pytest.mark.skipif(os.name != "posix", reason="sends a signal")
def test_study_serves_until_ctrl_c_and_leaves_nothing(course):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        command = [sys.executable, "-c", SCRIPT, str(course), "study", "--no-browser"]
        process = subprocess.Popen(
            [*command, "--port", str(port)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=dict(os.environ) | {"TMPDIR": str(course), "PYTHONPATH": str(CHECKOUT)},
            start_new_session=True,
        )
        try:
            address, said = read_address(process)
            assert f"Port {port} is taken" in said
            page, token = address.split("?token=")
            base = page.removesuffix("lab/tree/notebooks/README.md")
            assert base != page
            assert not base.endswith(f":{port}/")
            with request(address, "") as answer:
                assert answer.status == 200
                assert "JupyterLab" in answer.read().decode()
            # what the page asks for: settings, a kernel, a checkpoint of the open file
            plugin = "@jupyterlab/docmanager-extension:plugin"
            with request(f"{base}lab/api/settings/{plugin}", token) as answer:
                defaults = json.load(answer)["schema"]["properties"]["defaultViewers"]["default"]
            assert defaults["markdown"] == "Markdown Preview"
            request(f"{base}api/kernels", token, "POST").close()
            request(f"{base}api/contents/{study.INDEX}/checkpoints", token, "POST").close()
            family = psutil.Process(process.pid).children(recursive=True)
            assert len(family) >= 2  # server and kernel
        except BaseException:
            process.kill()
            raise
        process.send_signal(signal.SIGINT)
        rest = process.communicate(timeout=30)[0]
    assert process.returncode == 0
    assert "Stopping JupyterLab" in rest
    assert "Traceback" not in rest
    assert not [p for p in family if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]
    assert os.listdir(course / "notebooks") == ["README.md"]
    assert (course / "build/jupyter/checkpoints/notebooks/README-checkpoint.md").is_file()
    assert sorted(os.listdir(course)) == ["build", "notebooks"]  # the temporary folder is gone


def test_server_that_stops_at_once_is_explained(course, monkeypatch):
    command = [sys.executable, "-c", "import sys; sys.exit('no module named so')"]
    monkeypatch.setattr(study, "server_command", lambda *_: command)
    with pytest.raises(StudyError, match=r"stopped at once.*\n.*no module named so"):
        study.study(study.INDEX, root=course, browser=False, say=lambda _: None)


def test_server_that_never_answers_is_stopped(course, monkeypatch):
    pids = course / "pid"
    code = f"import os, time; open({str(pids)!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    monkeypatch.setattr(study, "server_command", lambda *_: [sys.executable, "-c", code])
    monkeypatch.setattr(study, "_START_TIMEOUT_S", 0.5)
    with pytest.raises(StudyError, match=r"did not answer within 0\.5 s"):
        study.study(study.INDEX, root=course, browser=False, say=lambda _: None)
    assert not psutil.pid_exists(int(pids.read_text()))


@pytest.mark.skipif(os.name != "posix", reason="starts a session")
def test_a_kernel_that_the_server_leaves_behind_is_ended(course, monkeypatch):
    pids = course / "pid"
    code = (
        "import subprocess, sys, time\n"
        "kernel = subprocess.Popen(['sleep', '60'], start_new_session=True)\n"
        f"open({str(pids)!r}, 'w').write(str(kernel.pid))\n"
        "time.sleep(60)"
    )
    monkeypatch.setattr(study, "server_command", lambda *_: [sys.executable, "-c", code])

    def answer(server, *_):
        while not (pids.is_file() and pids.read_text()):
            time.sleep(0.01)
        raise KeyboardInterrupt

    monkeypatch.setattr(study, "_wait_until_it_answers", answer)
    monkeypatch.setattr(study, "_KERNEL_TIMEOUT_S", 0.2)
    study.study(study.INDEX, root=course, browser=False, say=lambda _: None)
    pid = int(pids.read_text())
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_closed_terminal_stops_it_too(course, monkeypatch, name):
    if not hasattr(signal, name):
        pytest.skip("no such signal here")
    code = "import os, time, signal; time.sleep(60)"
    monkeypatch.setattr(study, "server_command", lambda *_: [sys.executable, "-c", code])

    def answer(server, *_):
        os.kill(os.getpid(), getattr(signal, name))
        time.sleep(5)

    monkeypatch.setattr(study, "_wait_until_it_answers", answer)
    before = signal.getsignal(signal.SIGINT), signal.getsignal(getattr(signal, name))
    children = psutil.Process().children()
    said = []
    study.study(study.INDEX, root=course, browser=False, say=said.append)
    assert said == ["\nStopping JupyterLab …"]
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(getattr(signal, name))) == before
    assert psutil.Process().children() == children


def test_missing_file(course):
    with pytest.raises(FileNotFoundError, match=r"`path` must be a file.*path='no.ipynb'.*git"):
        study.study("no.ipynb", root=course)


@pytest.mark.parametrize(
    ("port", "error", "message"),
    [
        (0, ValueError, r"`port` must be an integer in \[1, 65535\]"),
        (65536, ValueError, "port=65536"),
        ("8888", TypeError, "`port` must be an integer"),
    ],
)
def test_wrong_port(course, port, error, message):
    with pytest.raises(error, match=message):
        study.study(study.INDEX, root=course, port=port)


def test_free_port_is_kept_and_a_taken_one_is_not():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert study.free_port(port) != port
    assert study.free_port(port) == port


@pytest.mark.parametrize(
    ("env", "platform", "reason"),
    [
        ({}, "linux", "this machine has no display"),
        ({"DISPLAY": ":0"}, "linux", None),
        ({"WAYLAND_DISPLAY": "wayland-0"}, "linux", None),
        ({"BROWSER": "firefox"}, "linux", None),
        ({}, "darwin", None),
        ({}, "win32", None),
        ({"SSH_CONNECTION": "1 2 3 4", "DISPLAY": ":0"}, "linux", "you are connected by ssh"),
    ],
)
def test_why_no_browser(env, platform, reason):
    assert study.why_no_browser(env, platform) == reason


def test_browser_is_opened_where_there_is_a_display(monkeypatch):
    opened, said = [], []
    monkeypatch.setattr(study.webbrowser, "open", lambda url: opened.append(url) or True)
    monkeypatch.setattr(study, "why_no_browser", lambda *_: None)
    study._open_browser("http://127.0.0.1:1/", True, said.append)
    study._open_browser("http://127.0.0.1:2/", False, said.append)
    assert (opened, said) == (["http://127.0.0.1:1/"], [])


def test_without_a_display_it_says_so(monkeypatch):
    said = []
    monkeypatch.setattr(study.webbrowser, "open", lambda url: pytest.fail("opened"))
    monkeypatch.setattr(study, "why_no_browser", lambda *_: "this machine has no display")
    study._open_browser("http://127.0.0.1:8890/", True, said.append)
    assert "No browser was opened: this machine has no display." in said[0]
    assert "ssh -L 8890:127.0.0.1:8890" in said[0]


def test_token_is_not_on_the_command_line(tmp_path):
    env = study.server_environment({"PATH": "/bin"}, state=tmp_path, runtime="r", token="secret")
    assert env["JUPYTER_TOKEN"] == "secret"
    assert env["PATH"].split(os.pathsep) == [str(Path(sys.executable).parent), "/bin"]
    command = " ".join(study.server_command(tmp_path, tmp_path, 8888))
    assert "secret" not in command
    assert "--ServerApp.ip=127.0.0.1" in command
