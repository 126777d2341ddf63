"""Every lesson keeps the rules, and the notebook tests compare what they should."""

import re
import shutil
import subprocess
import sys

import nbformat
import pytest
from nbval.plugin import get_sanitize_patterns

from dlnotes import runtime
from dlnotes.course import lessons, lint

ROOT = runtime.repository_root()
SANITIZE = ROOT / "notebooks" / "nbval_sanitize.cfg"


def landed():
    """Return the lessons; none if the store is broken, which a test below reports."""
    try:
        return lessons.load().lessons
    except lessons.LessonStoreError:
        return ()


def test_there_are_lessons_to_check():
    assert lessons.load().lessons


@pytest.mark.parametrize("lesson", landed(), ids=lambda lesson: lesson.id)
def test_a_lesson_keeps_every_rule(lesson):
    problems = lint.lint(ROOT / lesson.path, lesson)
    assert problems == [], "\n".join(map(str, problems))


def test_every_pair_of_the_sanitize_file_is_read():
    text = SANITIZE.read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert len(lines) == 2 * len(get_sanitize_patterns(text))


def test_the_sanitize_file_hides_no_value():
    text = "accuracy: between 0.93 and 1\n<Figure size 640x480 with 1 Axes>\nx: (3, 2) float64"
    for pattern, replacement in get_sanitize_patterns(SANITIZE.read_text(encoding="utf-8")):
        assert re.sub(pattern, replacement, text) == text


def code(source, *outputs, count=1):
    return nbformat.v4.new_code_cell(source, outputs=list(outputs), execution_count=count)


def printed(text):
    return nbformat.v4.new_output("stream", name="stdout", text=text)


def displayed(**data):
    data = {kind.replace("_", "/"): value for kind, value in data.items()}
    return nbformat.v4.new_output("display_data", data=data)


SHOW = "display({'text/plain': 'band', 'text/html': '<b>0.71</b>'}, raw=True)"
ENVIRONMENT = "import os; print(os.environ['DLNOTES_HEADLESS'], os.environ.get('MPLBACKEND'))"
CELLS = [
    (code(SHOW, displayed(text_plain="band", text_html="<b>0.69</b>")), "PASSED"),
    (code(SHOW, displayed(text_plain="other band", text_html="<b>0.71</b>")), "FAILED"),
    (code("print(0.71)", printed("0.69\n")), "FAILED"),
    (code("print(0.71)"), "FAILED"),
    (code("x = 1", printed("1\n")), "FAILED"),
    (code("late = ''", count=None), "FAILED"),
    (code("print(late)", printed("\n")), "PASSED"),
    (code(ENVIRONMENT, printed("1 module://matplotlib_inline.backend_inline\n")), "PASSED"),
]


def test_text_is_compared_html_is_not_and_every_cell_must_have_been_run(tmp_path, monkeypatch):
    for name in ("conftest.py", "nbval_sanitize.cfg"):
        shutil.copy(ROOT / "notebooks" / name, tmp_path / name)
    notebook = nbformat.v4.new_notebook(cells=[cell for cell, _ in CELLS])
    nbformat.write(notebook, tmp_path / "made.ipynb")
    monkeypatch.setenv("MPLBACKEND", "Agg")
    monkeypatch.delenv("DLNOTES_HEADLESS", raising=False)
    command = [sys.executable, "-m", "pytest", "--nbval", "--nbval-current-env", "-q", "-rA"]
    command += ["--nbval-sanitize-with=nbval_sanitize.cfg", "--color=no", "made.ipynb"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    found = re.findall(r"^(PASSED|FAILED) \S*made\.ipynb::Cell (\d+)", run.stdout, re.MULTILINE)
    assert {int(number): state for state, number in found} == {
        number: state for number, (_, state) in enumerate(CELLS)
    }, run.stdout
    assert "this cell was stored without being run" in run.stdout
