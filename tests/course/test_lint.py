"""A small lesson that keeps every rule, and for each rule notebooks that break only this one."""

import base64
import copy
import dataclasses
import inspect
import json
import re
import struct

import nbformat
import pytest

from dlnotes import validation
from dlnotes.course import lint, readme
from dlnotes.course.claims import Claim
from dlnotes.course.lessons import Lesson, Part, Store
from dlnotes.exercises import Exercise

LESSON = Lesson(
    id="made",
    number=3,
    part=Part(1, "Foundations"),
    title="A made lesson",
    question="Do the rules hold?",
    goals=("see it",),
    prerequisites=(),
    datasets=(),
    sources=("none",),
    minutes=5,
    budget_s=10,
)
STORE = Store((LESSON,), "")
CLAIMS = {
    name: Claim(name, owner, ("000",), f"Statement {name}.", verdict, "So it is.", "Try it.")
    for name, owner, verdict in (
        ("C001", "made", "holds"),
        ("C002", "made", "wrong"),
        ("C003", "other", "holds"),
    )
}
EXERCISES = tuple(
    Exercise(f"03.{n}", f"Task {n}", "Write it.", ("a", "b"), print, max, "So.", ())
    for n in (1, 2, 3)
)
PROSE = " ".join(["word"] * 14)
ALT = "A line that rises from left to right and then stays level."


def png(width):
    return base64.b64encode(b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", width, 5))


def stream(text, name="stdout"):
    return {"output_type": "stream", "name": name, "text": text}


def display(data, records=None):
    metadata = {"dlnotes": records} if records else {}
    return {"output_type": "display_data", "data": data, "metadata": metadata}


def figure(width=640):
    plain = "<Figure size 640x480 with 1 Axes>"
    return display({"image/png": png(width).decode(), "text/plain": plain})


def measured(name):
    record = {"kind": "within", "name": name, "values": [0.5], "low": 0.0, "high": 1.0}
    return display({"text/plain": f"{name}: between 0 and 1", "text/html": "<b>0.5</b>"}, [record])


def decided(name, verdict):
    record = {"kind": "claim", "id": name, "verdict": verdict}
    return display({"text/plain": f"{name} {verdict}", "text/html": name}, [record])


def markdown(source, **notes):
    return {
        "cell_type": "markdown",
        "source": source,
        "metadata": {"dlnotes": notes} if notes else {},
    }


def code(source, *outputs, **notes):
    return {
        "cell_type": "code",
        "source": source,
        "outputs": list(outputs),
        "metadata": {"dlnotes": notes} if notes else {},
    }


def number_cells(notebook):
    """Give the cells ids and counts, as storing does."""
    count = 0
    for index, cell in enumerate(notebook["cells"]):
        cell["id"] = f"{index:08x}"
        if cell["cell_type"] == "code":
            count += 1
            cell["execution_count"] = count
    return notebook


def good_notebook():
    cells = [
        markdown(readme.render_header(LESSON, STORE), generated="header"),
        markdown(f"## Setup\n\n{PROSE}"),
        code("import numpy as np\nfrom dlnotes.course import claims", role="setup"),
        markdown(f"## The idea\n\n{PROSE} [the header](good.ipynb) `[x](missing)` $a + b = c$"),
        code(inspect.getsource(validation.check_choice), mirrors="dlnotes.validation:check_choice"),
        markdown(PROSE * 8),
    ]
    for i in range(14):
        cells += [markdown(PROSE), code(f"value_{i} = {i}\nprint(value_{i})", stream(f"{i}\n"))]
    for i in range(3):
        cells += [markdown(PROSE), code(f"plot({i})\nshow({i})", figure(), alt=ALT)]
    cells += [
        markdown(f"### What can go wrong\n\n{PROSE}"),
        code("x = 1\nreporting.within('accuracy', x, 0, 1)", measured("accuracy")),
        markdown(f"## Notes and measurement\n\n{PROSE}"),
        code(
            "x = 1\nclaims.decide('C001', holds=True, because='it is.')", decided("C001", "holds")
        ),
        code("x = 1\nclaims.decide('C002', holds=False, because='no.')", decided("C002", "wrong")),
        code('claims.summary("made")', display({"text/plain": "C001", "text/html": "<b>"})),
        markdown(f"## Summary\n\n{PROSE * 3}\n\n## Exercises"),
    ]
    for exercise in EXERCISES:
        message = f"Exercise {exercise.id}: not attempted yet. Write your answer above.\n"
        cells += [
            markdown(readme.render_exercise(exercise), generated=f"exercise {exercise.id}"),
            code(f"f = ...\nexercises.check('{exercise.id}', f)", stream(message)),
        ]
    metadata = {
        "kernelspec": {"name": "python3", "display_name": "Python 3 (ipykernel)"},
        "language_info": {"name": "python"},
    }
    return number_cells({"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5})


@pytest.fixture
def page(tmp_path):
    notebook = good_notebook()
    (tmp_path / "good.ipynb").write_text(json.dumps(notebook), encoding="utf-8")
    return lint.Page(notebook, LESSON, STORE, CLAIMS, EXERCISES, tmp_path, 50_000)


def find(notebook, text):
    """Return the first cell whose source holds `text`."""
    return next(cell for cell in notebook["cells"] if text in cell["source"])


def insert(notebook, before, *cells):
    position = notebook["cells"].index(find(notebook, before))
    notebook["cells"][position:position] = cells
    number_cells(notebook)


def remove(notebook, text):
    notebook["cells"].remove(find(notebook, text))
    number_cells(notebook)


def replace(notebook, old, new):
    cell = find(notebook, old)
    cell["source"] = cell["source"].replace(old, new)


def add_output(notebook, output):
    find(notebook, "value_0")["outputs"].append(output)


# Each breaker changes the notebook in place, or returns a dict of the page's fields that change.
BREAKERS = {
    "valid_format": [
        (lambda n: n.update(nbformat_minor=4), "must be 4.5, not 4.4"),
        (lambda n: find(n, "value_0").update(outputs=[{"output_type": "x"}]), "not a valid"),
    ],
    "file_size": [(lambda n: {"size": 600_001}, "600,001 bytes")],
    "notebook_metadata": [
        (lambda n: n["metadata"]["kernelspec"].update(name="mine"), "must be python3"),
        (lambda n: n["metadata"]["language_info"].update(version="3.11.0"), "without versions"),
        (lambda n: n["metadata"].update(colab={}), "unknown notebook metadata 'colab'"),
    ],
    "cell_ids": [
        (lambda n: n["cells"][3].update(id="Setup"), "not 'Setup'"),
        (lambda n: n["cells"][3].update(id=n["cells"][2]["id"]), "stands twice"),
    ],
    "cell_metadata": [
        (lambda n: n["cells"][3]["metadata"].update(scrolled=True), "metadata 'scrolled'"),
        (lambda n: n["cells"][2]["metadata"]["dlnotes"].update(hint="x"), "dlnotes.hint"),
        (lambda n: n["cells"][3]["metadata"].update(dlnotes={"generated": "index"}), "'index'"),
        (lambda n: n["cells"][3]["metadata"].update(dlnotes={"role": "setup"}), "for code cells"),
        (lambda n: find(n, "value_3")["metadata"].update(dlnotes={"alt": []}), "wrong form"),
    ],
    "one_title": [
        (
            lambda n: n["cells"].append(markdown("# The end") | {"id": "f" * 8}),
            "this is another: 'The end'",
        ),
    ],
    "header_current": [
        (lambda n: replace(n, "see it", "see all of it"), "out of date"),
        (
            lambda n: n["cells"][1]["metadata"].update(dlnotes={"generated": "header"}),
            r"found in \[0, 1\]",
        ),
    ],
    "exercise_prompts_current": [
        (lambda n: replace(n, "Write it.", "Write it now."), "exercise 03.1 is out of date"),
        (lambda n: remove(n, "### Exercise 03.2"), "exercise 03.2 must be shown once; it is 0"),
        (
            lambda n: n["cells"].append(markdown("x", generated="exercise 03.9") | {"id": "f" * 8}),
            "exercise 03.9 does not belong",
        ),
    ],
    "heading_levels": [(lambda n: replace(n, "## The", "#### The"), "H4 .* follows H2")],
    "required_headings": [
        (lambda n: replace(n, "### What can go wrong", "### Trouble"), "'What can go wrong'"),
        (lambda n: replace(n, "## Summary", "## The end"), "'Summary'"),
    ],
    "links": [
        (lambda n: replace(n, "(good.ipynb)", "(bad.ipynb#part)"), "nowhere: bad.ipynb#part"),
        (lambda n: replace(n, "(good.ipynb)", "(/etc)"), "nowhere: /etc"),
    ],
    "plain_python": [
        (lambda n: replace(n, "value_3 = 3", "!pip list"), "shell commands: !pip list"),
        (lambda n: replace(n, "value_3 = 3", "%time 3"), "shell commands: %time 3"),
        (lambda n: replace(n, "value_3 = 3", "value_3 = ("), "not Python"),
        (lambda n: replace(n, "value_3 = 3", "get_ipython()"), "must not call get_ipython"),
    ],
    "setup_first": [
        (lambda n: insert(n, "import numpy", code("x = 1")), r"found in \[3\]"),
        (
            lambda n: find(n, "value_0")["metadata"].update(dlnotes={"role": "setup"}),
            "and no other",
        ),
    ],
    "imports_in_setup": [
        (lambda n: replace(n, "value_3 = 3", "import os"), "setup cell: import os"),
        (
            lambda n: replace(n, "value_3 = 3", "def f(): from os import path"),
            "setup cell: from os import path",
        ),
    ],
    "tensorflow_starts_quietly": [
        (
            lambda n: replace(n, "import numpy as np", "import numpy as np\nimport keras"),
            r"under quiet_start\(\): import keras",
        ),
        (
            lambda n: replace(
                n, "import numpy as np", "import numpy as np\nfrom dlnotes import layers, plotting"
            ),
            r"under quiet_start\(\): from dlnotes import layers, plotting",
        ),
    ],
    "code_cell_count": [
        (lambda n: insert(n, "value_9", *[code("x = 1") for _ in range(20)]), "46 code cells"),
        (lambda n: [remove(n, f"print(value_{i})") for i in range(2)], "24 code cells"),
    ],
    "code_line_count": [
        (
            lambda n: [
                [replace(n, f"value_{i} = {i}", "\n".join(["x = 1"] * 23)) for i in range(4, 9)],
                insert(
                    n, "value_9", *[code("\n".join(["x = 1"] * 24)) for _ in range(5)], words(2000)
                ),
            ],
            "[23].. lines of code; at most 280",
        )
    ],
    "median_cell_length": [
        (
            lambda n: [
                [replace(n, f"value_{i} = {i}", "\n".join(["x = 1"] * 6)) for i in range(14)],
                insert(n, "value_9", words(500)),
            ],
            "median cell has 7 lines",
        )
    ],
    "cell_length": [
        (lambda n: replace(n, "value_3 = 3", "\n".join(["x = 1"] * 25)), "26 lines of code"),
    ],
    "prose_density": [
        (lambda n: insert(n, "value_9", words(900)), "words for .* lines of code"),
        (lambda n: [replace(n, PROSE, "word") for _ in range(14)], "4 to 10 words a line"),
    ],
    "mirrors_current": [
        (lambda n: replace(n, "choices = tuple(choices)", "choices = list(choices)"), "list"),
        (
            lambda n: find(n, "check_choice")["metadata"]["dlnotes"].update(mirrors="numpy:dot"),
            "`target` must look like",
        ),
    ],
    "execution_counts": [
        (lambda n: find(n, "value_3").update(execution_count=None), "is None, not 6"),
        (lambda n: find(n, "value_3").update(execution_count=60), "is 60, not 6"),
    ],
    "no_errors": [
        (
            lambda n: add_output(
                n, {"output_type": "error", "ename": "KeyError", "evalue": "x", "traceback": []}
            ),
            "raised KeyError: x",
        )
    ],
    "no_stderr": [(lambda n: add_output(n, stream("a warning", "stderr")), "stderr: a warning")],
    "no_machine_traces": [
        (lambda n: add_output(n, stream("saved /home/ada/m.keras")), "absolute path: /home/"),
        (lambda n: add_output(n, stream("saved C:\\Users")), "a Windows path"),
        (lambda n: add_output(n, stream("<object at 0x7f3a1c2b>")), "address: 0x7f3a1c2b"),
        (lambda n: add_output(n, stream("at 2026-01-02 03:04")), "time stamp: 2026-01-02"),
        (lambda n: add_output(n, display({"text/html": "/tmp/x"})), "absolute path: /tmp/"),
    ],
    "float_digits": [(lambda n: add_output(n, stream("0.12345678")), "0.12345678 has too many")],
    "no_progress_bars": [
        (lambda n: add_output(n, stream("1/1 ━━━━")), "a progress bar"),
        (lambda n: add_output(n, stream("Epoch 1/5\n")), "a progress bar"),
        (
            lambda n: add_output(n, display({"application/vnd.jupyter.widget-view+json": {}})),
            "a widget",
        ),
    ],
    "ignored_cells": [
        (lambda n: ignore(n, "value_0"), "needs a reason"),
        (
            lambda n: [ignore(n, f"value_{i}", reason="an ordering") for i in (0, 2)],
            "2 cells have the tag",
        ),
        (
            lambda n: find(n, "value_3")["metadata"].update(dlnotes={"reason": "none"}),
            "reason without the tag",
        ),
    ],
    "nothing_skipped": [
        (lambda n: find(n, "value_3")["metadata"].update(tags=["nbval-skip"]), "nbval-skip"),
        (
            lambda n: find(n, "value_3")["metadata"].update(tags=["raises-exception"]),
            "raises-exception",
        ),
        (lambda n: replace(n, "value_3 = 3", "value_3 = 3  # NBVAL_SKIP"), "comments do not"),
    ],
    "strict_share": [
        (
            lambda n: [
                find(n, f"value_{i}").update(outputs=[display({"text/html": "<b>"})])
                for i in range(3)
            ],
            "21 of 24 cells with output",
        )
    ],
    "figure_count": [
        (
            lambda n: find(n, "plot(1)").update(outputs=[], metadata={}),
            "2 figures; at least 3",
        )
    ],
    "figure_texts": [
        (lambda n: find(n, "plot(1)").update(metadata={}), "1 figures need as many .* found 0"),
        (lambda n: find(n, "plot(1)")["metadata"]["dlnotes"].update(alt="A line."), "30 char"),
        (lambda n: find(n, "value_0")["metadata"].update(dlnotes={"alt": ALT}), "0 figures need"),
    ],
    "figure_width": [
        (lambda n: find(n, "plot(1)").update(outputs=[figure(1001)]), "1001 pixels wide"),
        (
            lambda n: find(n, "plot(1)").update(
                outputs=[display({"image/svg+xml": "<svg/>", "text/plain": "<Figure>"})]
            ),
            "must be PNG, not image/svg",
        ),
    ],
    "claims_decided": [
        (lambda n: replace(n, "claims.decide('C002', holds=False", "f('C002', a=1"), "it is 0 t"),
        (
            lambda n: replace(n, "value_3 = 3", "claims.decide('C001', holds=True, because='x')"),
            "C001 must be decided once; it is 2 times",
        ),
        (
            lambda n: replace(n, "value_3 = 3", "claims.decide('C003', holds=True, because='x')"),
            "C003 does not belong to this lesson",
        ),
        (lambda n: replace(n, "value_3 = 3", "claims.decide(name)"), "must be written out"),
    ],
    "claims_recorded": [
        (lambda n: find(n, "'C002'").update(outputs=[stream("C002")]), "recorded once; it is 0"),
        (lambda n: find(n, "'C002'").update(outputs=[decided("C002", "holds")]), "ledger says"),
        (lambda n: add_output(n, decided("C003", "holds")), "C003 does not belong"),
    ],
    "claims_summary": [
        (lambda n: replace(n, '("made")', '("other")'), "must call claims.summary"),
        (lambda n: insert(n, "## Summary", code("x = 1")), "between claims.summary and the"),
        (
            lambda n: [
                remove(n, "claims.summary"),
                n["cells"].append(code('claims.summary("made")')),
                number_cells(n),
            ],
            "must stand before the exercises",
        ),
    ],
    "record_names": [(lambda n: add_output(n, measured("accuracy")), "called 'accuracy'")],
    "exercises_checked": [
        (
            lambda n: find(n, "check('03.1'").update(outputs=[stream("right.")]),
            "exercise 03.1 must",
        ),
        (lambda n: replace(n, "exercises.check('03.1', f)", "f"), "03.1 must be checked once"),
    ],
}


def words(count):
    return markdown(" ".join(["word"] * count))


def ignore(notebook, text, **notes):
    metadata = {"tags": ["nbval-ignore-output"]} | ({"dlnotes": notes} if notes else {})
    find(notebook, text)["metadata"] = metadata


def test_the_good_notebook_keeps_every_rule(page):
    nbformat.validate(nbformat.from_dict(page.notebook))
    assert lint.check_page(page) == []


def test_every_rule_has_a_notebook_that_breaks_it():
    assert set(BREAKERS) == set(lint.RULES)


@pytest.mark.parametrize(
    ("name", "breaker", "message"),
    [
        pytest.param(name, *case, id=f"{name}-{number}")
        for name, cases in BREAKERS.items()
        for number, case in enumerate(cases)
    ],
)
def test_a_broken_rule_is_reported_and_no_other(page, name, breaker, message):
    changes = breaker(page.notebook)
    if isinstance(changes, dict):
        page = dataclasses.replace(page, **changes)
    problems = lint.check_page(page)
    assert {problem.rule for problem in problems} == {name}
    assert re.search(message, "\n".join(map(str, problems)))


@pytest.mark.parametrize(
    "change",
    [
        lambda n: {"size": 600_000},
        lambda n: insert(n, "value_9", *[code("x = 1") for _ in range(19)]),  # 45 cells
        lambda n: remove(n, "print(value_0)"),  # 25 cells
        lambda n: replace(n, "value_3 = 3", "\n".join(["x = 1"] * 24)),  # 25 lines
        lambda n: find(n, "plot(1)").update(outputs=[figure(1000)]),
        lambda n: find(n, "plot(1)")["metadata"]["dlnotes"].update(alt="x" * 30),
        lambda n: add_output(n, stream("0.123456 and 12345")),
        lambda n: ignore(n, "value_0", reason="the order differs"),
        lambda n: [
            find(n, f"value_{i}").update(outputs=[display({"text/html": "<b>"})]) for i in (0, 2)
        ],  # 22 of 24 are compared
    ],
)
def test_the_limits_themselves_are_allowed(page, change):
    changes = change(page.notebook)
    if isinstance(changes, dict):
        page = dataclasses.replace(page, **changes)
    assert lint.check_page(page) == []


def test_a_cell_that_shows_package_code_may_be_long(page):
    cell = find(page.notebook, "check_choice")
    cell["source"] = inspect.getsource(validation.check_array)
    assert lint.code_lines(cell["source"]) > lint.MAX_CELL_LINES
    cell["metadata"]["dlnotes"]["mirrors"] = "dlnotes.validation:check_array"
    page.notebook["cells"].insert(5, words(200) | {"id": "f" * 8})
    assert lint.check_page(page) == []


def test_a_lesson_needs_three_exercises(page):
    for prompt in ("### Exercise 03.3", "check('03.3'"):
        remove(page.notebook, prompt)
    problems = lint.check_page(dataclasses.replace(page, exercises=EXERCISES[:2]))
    assert [str(problem) for problem in problems] == [
        "notebook: 2 exercises; at least 3 are wanted [exercises_checked]"
    ]


def test_a_lesson_without_a_title_is_reported(page):
    replace(page.notebook, "# 03 · A made lesson", "A made lesson")
    problems = lint.check_page(page)
    assert ("one_title", None) in {(problem.rule, problem.cell) for problem in problems}


def test_a_problem_names_its_cell(page):
    replace(page.notebook, "value_3 = 3", "import os")
    (problem,) = lint.check_page(page)
    position = page.notebook["cells"].index(find(page.notebook, "import os"))
    assert str(problem) == (
        f"cell {position}: this import belongs to the setup cell: import os [imports_in_setup]"
    )


def test_a_lesson_that_owns_no_claim_needs_no_summary(page):
    notebook = copy.deepcopy(page.notebook)
    for text in ("'C001'", "'C002'", "claims.summary"):
        find(notebook, text).update(source="x = 1", outputs=[])
    page = dataclasses.replace(page, notebook=notebook, claims={"C003": CLAIMS["C003"]})
    assert lint.check_page(page) == []


def test_code_in_fences_is_no_heading(page):
    page.notebook["cells"][3]["source"] += "\n\n```\n# not a heading\n```"
    assert lint.check_page(page) == []


@pytest.fixture
def made_course(monkeypatch):
    monkeypatch.setattr(lint.lessons, "load", lambda: STORE)
    monkeypatch.setattr(lint.claims, "load", lambda: CLAIMS)
    monkeypatch.setattr(lint.exercises, "of_lesson", lambda number: EXERCISES)


@pytest.mark.usefixtures("made_course")
def test_lint_reads_a_file(tmp_path, page):
    path = tmp_path / "03_made.ipynb"
    (tmp_path / "good.ipynb").rename(path)
    assert [problem.rule for problem in lint.lint(path)] == ["links"]  # good.ipynb is gone


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (3, TypeError, "`path` must be a path. Received: path=3"),
        ("03_missing.ipynb", FileNotFoundError, "03_missing.ipynb"),
    ],
)
def test_lint_refuses(value, error, message):
    with pytest.raises(error, match=re.escape(message)):
        lint.lint(value, LESSON)


def test_lint_refuses_what_is_no_notebook(tmp_path):
    path = tmp_path / "made.ipynb"
    path.write_text("no json", encoding="utf-8")
    with pytest.raises(ValueError, match=r"made\.ipynb is not a notebook"):
        lint.lint(path, LESSON)


def test_lint_refuses_a_file_that_is_no_lesson(tmp_path, made_course, page):
    with pytest.raises(ValueError, match=r"`lesson` must be one of: 03 made. .*good\.ipynb"):
        lint.lint(tmp_path / "good.ipynb")


def test_the_command_reports_each_problem(tmp_path, made_course, page, monkeypatch, capsys):
    replace(page.notebook, "value_3 = 3", "import os")
    (tmp_path / "notebooks").mkdir()
    path = tmp_path / LESSON.path
    path.write_text(json.dumps(page.notebook), encoding="utf-8")
    (tmp_path / "good.ipynb").rename(path.parent / "good.ipynb")
    monkeypatch.setattr(lint.runtime, "repository_root", lambda: tmp_path)
    assert lint.main(["made"]) == 1
    printed = capsys.readouterr().out
    assert "this import belongs to the setup cell: import os [imports_in_setup]" in printed
    assert f"1 lessons, {len(lint.RULES)} rules, 1 problems" in printed
    path.write_text(json.dumps(good_notebook()), encoding="utf-8")
    assert lint.main([]) == 0


def test_the_command_refuses_an_unknown_lesson(made_course):
    with pytest.raises(ValueError, match=r"`lesson` must be one of: .*lesson='no_such_lesson'"):
        lint.main(["no_such_lesson"])


@pytest.mark.parametrize(
    ("markdown_text", "count"),
    [
        ("one two — three", 3),
        ("$$\na + b\n= c\n$$ then", 2),
        ("costs $w_1 + 2$ and [a link](https://example.org/a/b)", 5),
        ("", 0),
    ],
)
def test_words_are_counted_as_a_reader_counts(markdown_text, count):
    assert lint.words(markdown_text) == count
