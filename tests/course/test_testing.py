import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from dlnotes.course import testing
from dlnotes.course.lessons import Lesson, Part

LESSONS = [
    Lesson(name, i, Part(1, "One"), name, "?", (), (), (), (), 60, 40)
    for i, name in enumerate(("perceptron", "xor"), start=1)
]


class Runner:
    """Stands in for the child processes: keeps the calls, fails where it is told to."""

    def __init__(self):
        self.calls, self.failing = [], ()

    def __call__(self, command, folder, env):
        words = " ".join(command)
        self.calls.append((words, folder, env))
        if "pip wheel" in words or " wheel " in words:
            wheels = Path(command[command.index("--wheel-dir") + 1])
            wheels.mkdir()
            (wheels / "dlnotes-9.9-py3-none-any.whl").touch()
        return int(any(word in words for word in self.failing))


@pytest.fixture
def runner(monkeypatch):
    runner = Runner()
    monkeypatch.setattr(testing, "_run", runner)
    return runner


@pytest.fixture
def root(tmp_path):
    for path in (testing.SANITIZE, testing.POLICY, *(lesson.path for lesson in LESSONS)):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(path)
    return tmp_path


def test_environment_holds_nothing_that_changes_outputs(monkeypatch):
    for name in ("MPLBACKEND", "DLNOTES_SEED_OFFSET", "DLNOTES_FULL", "PYTEST_ADDOPTS"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("DLNOTES_CALIBRATE", "1")
    monkeypatch.setenv("PYTEST_XDIST_WORKER", "gw0")
    monkeypatch.setenv("KEPT", "yes")
    env = testing.clean_environment()
    assert env["DLNOTES_HEADLESS"] == "1"
    assert env["KEPT"] == "yes"
    assert not {"MPLBACKEND", "DLNOTES_SEED_OFFSET", "DLNOTES_FULL"} & set(env)
    assert not [name for name in env if name.startswith("PYTEST") or "CALIBRATE" in name]


def test_unit_tests_run_tests_and_docstring_examples(runner, root):
    said = []
    stage = testing.unit_tests(root, say=said.append)
    assert stage.passed
    (command, folder, _), *rest = runner.calls
    assert command == f"{sys.executable} -m pytest tests dlnotes --doctest-modules -n 2"
    assert folder == root
    assert not rest
    assert said[-1] == "$ python -m pytest tests dlnotes --doctest-modules -n 2"


def test_lessons_are_compared_strictly_each_on_one_worker(runner, root):
    stage = testing.lesson_tests(LESSONS, root, say=lambda _: None)
    assert (stage.name, stage.passed) == ("lessons", True)
    command, folder, env = runner.calls[0]
    arguments = command.split(" -m pytest ")[1]
    assert arguments == (
        "--nbval --nbval-current-env --nbval-cell-timeout=600 "
        "--nbval-sanitize-with notebooks/nbval_sanitize.cfg -n 2 --dist loadscope "
        "notebooks/01_perceptron.ipynb notebooks/02_xor.ipynb"
    )
    assert folder == root
    assert "DLNOTES_SEED_OFFSET" not in env


def test_other_processor_gets_other_seeds_too(runner, root):
    said = []
    testing.other_processor_tests(LESSONS, root, {"ISA": "old one"}, say=said.append)
    env = runner.calls[0][2]
    assert env["ISA"] == "old one"
    assert env["DLNOTES_SEED_OFFSET"] == "1"
    assert said[-1].startswith('$ ISA="old one" DLNOTES_SEED_OFFSET=1 python -m pytest --nbval')


def test_processor_that_cannot_be_imitated_is_said(runner, root):
    said = []
    stage = testing.other_processor_tests(LESSONS, root, {}, say=said.append)
    assert "not x86-64" in said[0]
    assert stage.name == "lessons, other seeds"


def test_wheel_is_used_away_from_the_checkout(runner, root, monkeypatch):
    copied = []
    copy = testing.shutil.copy
    monkeypatch.setattr(
        testing.shutil, "copy", lambda a, b: copied.append(Path(a).name) or copy(a, b)
    )
    stage = testing.wheel_test(LESSONS[0], root, say=lambda _: None)
    assert stage.passed
    wheel, install, where, test = runner.calls
    assert f"--no-deps --wheel-dir {wheel[1] / 'wheels'} {root}" in wheel[0]
    site = f"{install[1] / 'site'}"
    assert f"install --no-deps --target {site} " in install[0]
    assert install[0].endswith("dlnotes-9.9-py3-none-any.whl")
    assert where[0].endswith(f" {site}")
    assert test[0].endswith("--nbval-sanitize-with nbval_sanitize.cfg 01_perceptron.ipynb")
    for _, folder, env in (where, test):
        assert root not in (folder, *folder.parents)
        assert env["PYTHONPATH"] == site
    assert copied == ["01_perceptron.ipynb", "nbval_sanitize.cfg", "conftest.py"]
    assert not test[1].exists()  # nothing is left behind


@pytest.mark.parametrize(
    ("failing", "steps"), [(" wheel ", 1), (" install ", 2), (" -c ", 3), (" -m pytest", 4)]
)
def test_wheel_stage_stops_at_the_first_failure(runner, root, failing, steps):
    runner.failing = (failing,)
    assert not testing.wheel_test(LESSONS[0], root, say=lambda _: None).passed
    assert len(runner.calls) == steps


_TREE = """
import subprocess, sys, time
from pathlib import Path
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
Path("pid.part").write_text(str(child.pid))
Path("pid.part").rename("pid")
time.sleep(60)
"""
_COMMAND = """
import sys
from pathlib import Path
from dlnotes import cli
from dlnotes.course import testing
step = testing._Step([sys.executable, "-c", sys.argv.pop()], Path.cwd(), testing.os.environ)
testing.unit_tests = lambda root, *, say: testing._stage("sleep", [step], say)
sys.argv[1:] = ["test", "--unit-only"]
cli.main()
"""


@pytest.mark.skipif(os.name != "posix", reason="sends signals")
@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM"])
def test_an_interrupted_test_leaves_no_process_behind(tmp_path, number):
    path = os.pathsep.join([str(Path(testing.__file__).parents[2]), *filter(None, sys.path)])
    env = testing.clean_environment() | {"PYTHONPATH": path}
    command = subprocess.Popen([sys.executable, "-c", _COMMAND, _TREE], cwd=tmp_path, env=env)
    family = []
    try:
        deadline = time.monotonic() + 30
        while not (tmp_path / "pid").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        family = psutil.Process(command.pid).children(recursive=True)
        assert int((tmp_path / "pid").read_text()) in [process.pid for process in family]
        command.send_signal(getattr(signal, number))
        assert command.wait(20) == 130
        _, alive = psutil.wait_procs(family, timeout=5)
        assert alive == []
    finally:
        for process in (command, *family):
            with testing.contextlib.suppress(psutil.NoSuchProcess):
                process.kill()


def test_status_of_a_step_decides_the_stage(tmp_path):
    def stage(code):
        step = testing._Step([sys.executable, "-c", code], tmp_path, testing.clean_environment())
        return testing._stage("x", [step], lambda _: None)

    assert stage("").passed
    assert not stage("raise SystemExit(3)").passed


def test_package_from_elsewhere_is_not_the_wheel(tmp_path):
    command = [sys.executable, "-c", testing._WHERE_FROM, str(tmp_path)]
    result = subprocess.run(
        command, capture_output=True, text=True, cwd=Path(testing.__file__).parents[2]
    )
    assert result.returncode == 1
    assert "not from the wheel: " in result.stderr
    assert "claims.toml" in result.stderr
