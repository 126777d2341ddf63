"""The Makefile with stand-ins for Python and pip: nothing is installed."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TOOLS = (
    *("sh", "make", "cat", "cksum", "cut", "tr", "sed", "rm", "touch", "uname", "pwd", "find"),
    *("ls", "env", "mkdir", "cp", "chmod", "echo", "basename"),
)

pytestmark = pytest.mark.skipif(
    os.name != "posix" or shutil.which("make") is None, reason="the Makefile needs make and sh"
)

# A Python that only says what it was asked to do. FAKE_VERSION is its version; FAKE_LACKS names
# what it does not have.
FAKE_PYTHON = r"""#!/bin/sh
echo "$(basename "$0") $*" >>"$FAKE_LOG"
case "$*" in
    *sys.exit*version_info*) case "$FAKE_VERSION" in 3.11|3.12|3.13) exit 0;; *) exit 1;; esac ;;
    *print*version_info*) echo "$FAKE_VERSION" ;;
    *ensurepip*) test "$FAKE_LACKS" != venv ;;
    "-m venv "*)
        mkdir -p "$3/bin"
        cp "$0" "$3/bin/python"
        printf '#!/bin/sh\necho "dlnotes $*" >>"$FAKE_LOG"\n' >"$3/bin/dlnotes"
        chmod +x "$3/bin/dlnotes" ;;
    "-m pip show --quiet "*) test "$FAKE_INSTALLED" = "$5" ;;
    "-m pip install "*) test "$FAKE_LACKS" != network ;;
esac
"""
BROKEN_SHIM = "#!/bin/sh\necho 'pyenv: command not found' >&2\nexit 127\n"


class Course:
    """A folder with the Makefile and a PATH that holds only what it needs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "a course"  # with a space, as people's folders have
        self.bin = folder / "bin"
        self.log = folder / "log"
        self.bin.mkdir()
        self.folder.mkdir()
        for tool in TOOLS:
            os.symlink(shutil.which(tool), self.bin / tool)
        shutil.copy(ROOT / "Makefile", self.folder)
        (self.folder / "pyproject.toml").write_text("[project]\n")
        (self.folder / "requirements.txt").write_text("numpy==2.4.6\ntensorflow==2.21.0\n")
        for name in ("dlnotes", "tests", "notebooks"):
            (self.folder / name).mkdir()

    def program(self, name: str, text: str = FAKE_PYTHON) -> None:
        (self.bin / name).write_text(text)
        (self.bin / name).chmod(0o755)

    def make(self, *arguments: str, **env: str) -> subprocess.CompletedProcess:
        self.log.write_text("")
        settings = {"FAKE_LOG": str(self.log), "FAKE_VERSION": "3.12", "PATH": str(self.bin)}
        return subprocess.run(
            ["make", *arguments],
            cwd=self.folder,
            env=settings | env,
            capture_output=True,
            text=True,
            timeout=30,
        )

    def calls(self, *words: str) -> list[str]:
        lines = self.log.read_text().splitlines()
        return [line for line in lines if all(word in line for word in words)]

    def stamps(self) -> list[Path]:
        return sorted((self.folder / ".venv").glob(".installed-*"))


@pytest.fixture
def course(tmp_path):
    return Course(tmp_path)


@pytest.fixture
def installed(course):
    course.program("python3.12")
    result = course.make("setup")
    assert result.returncode == 0, result.stderr
    return course


def test_help_needs_nothing(course):
    (course.folder / "requirements.txt").unlink()
    result = course.make()
    assert result.returncode == 0
    for target in ("study", "run", "test", "test-everywhere", "setup", "wheel", "clean"):
        assert f"make {target} " in result.stdout


def test_the_first_python_that_really_runs_is_taken(course):
    course.program("python3.12", BROKEN_SHIM)
    course.program("python3.13", BROKEN_SHIM)
    course.program("python3.11")
    result = course.make("setup", FAKE_VERSION="3.11")
    assert result.returncode == 0
    assert course.calls("-m venv") == ["python3.11 -m venv .venv"]


def test_a_python_of_another_version_is_not_taken(course):
    course.program("python3")
    result = course.make("setup", FAKE_VERSION="3.14")
    assert result.returncode != 0
    assert "No Python 3.11, 3.12 or 3.13 that runs was found." in result.stderr
    assert "PYTHON=/path/to/python3.12" in result.stderr
    assert not (course.folder / ".venv").exists()


def test_missing_ensurepip_names_the_package(course):
    course.program("python3")
    result = course.make("setup", FAKE_LACKS="venv")
    assert result.returncode != 0
    assert "python3 cannot make virtual environments" in result.stderr
    assert "sudo apt install python3-venv" in result.stderr
    assert not (course.folder / ".venv").exists()


def test_named_python_is_taken(course):
    course.program("python3.12")
    course.program("mine")
    assert course.make("setup", f"PYTHON={course.bin}/mine").returncode == 0
    assert course.calls("-m venv") == ["mine -m venv .venv"]


def test_named_python_that_fails_is_not_replaced_by_another(course):
    course.program("python3.12")
    course.program("mine", BROKEN_SHIM)
    result = course.make("setup", "PYTHON=mine")
    assert result.returncode != 0
    assert "was found at PYTHON=mine." in result.stderr


def test_named_python_must_agree_with_the_environment_that_is_there(installed):
    installed.program("other", FAKE_PYTHON.replace("$FAKE_VERSION", "3.13"))
    result = installed.make("setup", "PYTHON=other")
    assert result.returncode != 0
    assert ".venv was made with Python 3.12, but PYTHON=other is 3.13." in result.stderr
    assert installed.make("setup", "PYTHON=python3.12").returncode == 0


def test_environment_of_an_old_python_is_reported(installed):
    installed.stamps()[0].unlink()
    result = installed.make("setup", FAKE_VERSION="3.10")
    assert result.returncode != 0
    assert "not 3.11, 3.12 or 3.13" in result.stderr


def test_nothing_is_installed_twice(installed):
    assert len(installed.calls("pip install")) == 1
    assert installed.make("setup").stdout == ""
    assert installed.calls() == []
    (installed.folder / "pyproject.toml").touch()  # a new date is no new content
    installed.make("study")
    assert installed.calls("pip install") == []


@pytest.mark.parametrize("name", ["pyproject.toml", "requirements.txt"])
def test_changed_content_is_installed(installed, name):
    before = installed.stamps()
    with (installed.folder / name).open("a") as file:
        file.write("# changed\n")
    installed.make("setup")
    assert len(installed.calls("pip install")) == 1
    assert len(installed.stamps()) == 1
    assert installed.stamps() != before


def test_failed_installation_is_repeated(course):
    course.program("python3.12")
    result = course.make("setup", FAKE_LACKS="network")
    assert result.returncode != 0
    assert "run the same command again" in result.stderr
    assert course.stamps() == []
    assert course.make("setup").returncode == 0
    assert course.calls("-m venv") == []  # the environment itself was fine
    assert len(course.calls("pip install")) == 1


def test_failed_reinstallation_forgets_what_was_there(installed):
    with (installed.folder / "requirements.txt").open("a") as file:
        file.write("# changed\n")
    assert installed.make("setup", FAKE_LACKS="network").returncode != 0
    assert installed.stamps() == []


@pytest.mark.parametrize(
    ("driver", "env", "extra"),
    [
        (None, {}, "cpu"),
        ("exit 0", {}, "gpu"),
        ("exit 9", {}, "cpu"),  # installed, but no driver answers
        ("exit 0", {"DLNOTES_EXTRA": "cpu"}, "cpu"),
        (None, {"DLNOTES_EXTRA": "gpu"}, "gpu"),
    ],
)
def test_extra_follows_the_driver(course, driver, env, extra):
    course.program("python3.12")
    if driver:
        course.program("nvidia-smi", f"#!/bin/sh\n{driver}\n")
    assert course.make("setup", **env).returncode == 0
    assert (
        len(course.calls("pip install", f"-e .[{extra},serve,dev] -c .venv/constraints.txt")) == 1
    )
    assert course.stamps()[0].name.endswith(f"-{extra}")


@pytest.mark.parametrize("extra", ["tpu", "cpu gpu"])
def test_unknown_extra_is_refused(course, extra):
    result = course.make("setup", DLNOTES_EXTRA=extra)
    assert result.returncode != 0
    assert f"DLNOTES_EXTRA must be cpu or gpu. Received: {extra}" in result.stderr


def test_the_other_tensorflow_is_removed_first(installed):
    result = installed.make("setup", DLNOTES_EXTRA="gpu", FAKE_INSTALLED="tensorflow-cpu")
    assert "Removing tensorflow-cpu" in result.stdout
    order = [line.split()[3] for line in installed.calls("-m pip") if "--quiet --yes" in line]
    assert order == ["uninstall"]
    lines = installed.calls("-m pip")
    positions = [
        next(i for i, line in enumerate(lines) if f"pip {verb}" in line)
        for verb in ("uninstall", "install")
    ]
    assert positions == sorted(positions)


def test_constraints_pin_both_kinds_of_tensorflow(course):
    (course.folder / "requirements.txt").write_text(
        "# pins\n-r more.txt\nnumpy==2.4.6\ntensorflow[and-cuda]==2.21.0\ntensorflow-x==1\n"
    )
    course.program("python3.12")
    course.make("setup")
    assert (course.folder / ".venv" / "constraints.txt").read_text().splitlines() == [
        "# pins",
        "numpy==2.4.6",
        "tensorflow==2.21.0",
        "tensorflow-x==1",
        "tensorflow-cpu==2.21.0",
    ]


def test_missing_requirements_are_reported(course):
    (course.folder / "requirements.txt").unlink()
    assert "requirements.txt is missing" in course.make("setup").stderr


@pytest.mark.parametrize(
    ("arguments", "call"),
    [
        (["study"], "dlnotes study"),
        (["study", "LESSON=perceptron"], "dlnotes study perceptron"),
        (["study", "PORT=9000"], "dlnotes study --port 9000"),
        (["run"], "dlnotes run"),
        (["run", "LESSON=perceptron xor", "FULL=1"], "dlnotes run --full perceptron xor"),
        (["test"], "dlnotes test"),
        (["test-everywhere", "LESSON=xor"], "dlnotes test --everywhere xor"),
    ],
)
def test_targets_call_the_command(installed, arguments, call):
    assert installed.make(*arguments).returncode == 0
    assert [line.strip() for line in installed.calls()] == [call]


def test_failing_command_fails_make(installed):
    program = installed.folder / ".venv" / "bin" / "dlnotes"
    program.write_text("#!/bin/sh\nexit 1\n")
    assert installed.make("test").returncode != 0


def test_clean_keeps_notebooks_and_data(installed):
    kept = [installed.folder / "notebooks" / "a.ipynb", installed.folder / "data" / "cache" / "b"]
    for path in (*kept, installed.folder / "build" / "x", installed.folder / "dist" / "y"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert installed.make("clean").returncode == 0
    left = {path.name for path in installed.folder.iterdir()}
    assert not {".venv", "build", "dist"} & left
    assert all(path.is_file() for path in kept)


@pytest.mark.parametrize(
    ("failing", "expected"),
    [("none", ["test", "test-everywhere"]), ("test", ["test"])],
)
def test_ci_runs_both_and_stops_at_a_failure(tmp_path, failing, expected):
    script = tmp_path / "repo" / ".ci" / "run"
    script.parent.mkdir(parents=True)
    shutil.copy(ROOT / ".ci" / "run", script)
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
    (tmp_path / "make").write_text(
        f'#!/bin/sh\necho "$PWD $*" >>{tmp_path}/log\ntest "$*" != {failing}\n'
    )
    (tmp_path / "make").chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    result = subprocess.run([str(script)], env={"PATH": path}, cwd="/", timeout=30)
    assert (result.returncode == 0) == (failing == "none")
    lines = (tmp_path / "log").read_text().splitlines()
    assert lines == [f"{tmp_path / 'repo'} {target}" for target in expected]
