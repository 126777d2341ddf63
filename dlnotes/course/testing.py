"""The stages of `dlnotes test`: unit tests, strict notebook tests, another processor, the wheel."""

import contextlib
import dataclasses
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psutil

from dlnotes.course.execute import CELL_TIMEOUT_S
from dlnotes.course.lessons import Lesson

WORKERS = 2
SANITIZE = "notebooks/nbval_sanitize.cfg"
POLICY = "notebooks/conftest.py"
_WHERE_FROM = """
import sys
from pathlib import Path
import dlnotes
from dlnotes import runtime
from dlnotes.course import claims, lessons
folder = Path(sys.argv[1]).resolve()
found = [Path(dlnotes.__file__), *map(runtime.resource, ("notebooks/claims.toml", "data"))]
outside = [str(path) for path in found if folder not in path.resolve().parents]
if outside:
    sys.exit(f"not from the wheel: {', '.join(outside)}")
counts = f"{len(claims.load())} claims, {len(lessons.load().lessons)} lessons"
print(f"dlnotes, {counts}: from the wheel")
"""

Say = Callable[[str], None]


@dataclasses.dataclass(frozen=True)
class Stage:
    """The result of one stage."""

    name: str
    passed: bool
    seconds: float


def unit_tests(root: Path, *, say: Say) -> Stage:
    """Run the unit tests and the examples of the docstrings."""
    arguments = ["tests", "dlnotes", "--doctest-modules", "-n", str(WORKERS)]
    return _stage("unit tests", [_pytest(arguments, root, clean_environment())], say)


def lesson_tests(
    lessons: Sequence[Lesson],
    root: Path,
    *,
    say: Say,
    name: str = "lessons",
    extra_env: Mapping[str, str] | None = None,
) -> Stage:
    """Run lessons strictly: every stored text output must come again."""
    env = clean_environment() | dict(extra_env or {})
    paths = [lesson.path for lesson in lessons]
    return _stage(name, [_pytest(nbval_arguments(paths), root, env, extra_env)], say)


def other_processor_tests(
    lessons: Sequence[Lesson], root: Path, imitation: Mapping[str, str], *, say: Say
) -> Stage:
    """Run lessons strictly with other seeds, as another processor computes them."""
    if not imitation:
        say("This processor is not x86-64: no other one can be imitated, only the seeds differ.")
    env = {**imitation, "DLNOTES_SEED_OFFSET": "1"}
    name = "lessons, other seeds and processor" if imitation else "lessons, other seeds"
    return lesson_tests(lessons, root, say=say, name=name, extra_env=env)


def wheel_test(lesson: Lesson, root: Path, *, say: Say) -> Stage:
    """Build the wheel and run a lesson with it in an empty folder, away from the checkout."""
    with tempfile.TemporaryDirectory(prefix="dlnotes-wheel-") as name:
        folder = Path(name)
        wheels, site, work = folder / "wheels", folder / "site", folder / "work"
        work.mkdir()
        for path in (lesson.path, SANITIZE, POLICY):
            shutil.copy(root / path, work)
        env = clean_environment() | {"PYTHONPATH": str(site)}
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
        arguments = nbval_arguments([Path(lesson.path).name], workers=0, folder="")
        steps = [
            _Step([*pip, "wheel", "--no-deps", "--wheel-dir", str(wheels), str(root)], folder, env),
            _Step(
                [*pip, "install", "--no-deps", "--target", str(site)],
                folder,
                env,
                last_argument=(wheels, "dlnotes-*.whl"),
            ),
            _Step([sys.executable, "-c", _WHERE_FROM, str(site)], work, env),
            _pytest(arguments, work, env),
        ]
        return _stage("wheel", steps, say)


def nbval_arguments(
    paths: Sequence[str], *, workers: int = WORKERS, folder: str = "notebooks/"
) -> list[str]:
    """Return pytest's arguments for the strict test of notebooks."""
    arguments = [
        "--nbval",
        "--nbval-current-env",
        f"--nbval-cell-timeout={CELL_TIMEOUT_S}",
        "--nbval-sanitize-with",
        f"{folder}{Path(SANITIZE).name}",
    ]
    if workers:
        # one kernel runs a whole notebook, so its cells must stay on one worker
        arguments += ["-n", str(workers), "--dist", "loadscope"]
    return [*arguments, *paths]


def clean_environment() -> dict[str, str]:
    """Return the environment of the tests: nothing that changes a lesson's outputs."""
    unwanted = (
        "MPLBACKEND",  # Agg would remove every figure
        "DLNOTES_SEED_OFFSET",
        "DLNOTES_FULL",
        "DLNOTES_CALIBRATE",
        "PYTEST_",  # of a test run around this one
    )
    env = {name: value for name, value in os.environ.items() if not name.startswith(unwanted)}
    return env | {"DLNOTES_HEADLESS": "1"}


@dataclasses.dataclass(frozen=True)
class _Step:
    command: list[str]
    folder: Path
    env: Mapping[str, str]
    last_argument: tuple[Path, str] | None = None  # a file that an earlier step made
    shown_env: Mapping[str, str] | None = None

    def resolved(self) -> list[str]:
        if self.last_argument is None:
            return self.command
        folder, pattern = self.last_argument
        return [*self.command, *map(str, sorted(folder.glob(pattern)))]


def _pytest(
    arguments: list[str],
    folder: Path,
    env: Mapping[str, str],
    shown_env: Mapping[str, str] | None = None,
) -> _Step:
    return _Step([sys.executable, "-m", "pytest", *arguments], folder, env, None, shown_env)


def _stage(name: str, steps: Sequence[_Step], say: Say) -> Stage:
    say(f"\n=== {name} ===")
    start = time.perf_counter()
    passed = True
    for step in steps:
        command = step.resolved()
        say(_shown(command, step.shown_env or {}))
        passed = _run(command, step.folder, dict(step.env)) == 0
        if not passed:
            break
    return Stage(name, passed, time.perf_counter() - start)


def _run(command: Sequence[str], folder: Path, env: Mapping[str, str]) -> int:
    """Return the command's exit status; an interruption ends it with all its children."""
    # in a session of its own Ctrl-C reaches this process alone, while the tree is still whole
    process = subprocess.Popen(command, cwd=folder, env=env, start_new_session=True)
    try:
        return process.wait()
    except BaseException:
        _kill_tree(process.pid)
        raise


def _kill_tree(pid: int) -> None:
    family = []
    with contextlib.suppress(psutil.NoSuchProcess):
        parent = psutil.Process(pid)
        family = [*parent.children(recursive=True), parent]
    for process in reversed(family):  # the parent first: it could start others
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(family, timeout=5)


def _shown(command: Sequence[str], env: Mapping[str, str]) -> str:
    parts = [f"{name}={_quoted(value)}" for name, value in env.items()]
    words = ["python" if word == sys.executable else word for word in command]
    parts += ["'…'" if "\n" in word else _quoted(word) for word in words]
    return "$ " + " ".join(parts)


def _quoted(word: str) -> str:
    return f'"{word}"' if " " in word else word
