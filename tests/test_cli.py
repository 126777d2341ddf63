import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest
from typer.testing import CliRunner

from dlnotes import cli, datasets, runtime
from dlnotes.course import claims, execute, lessons, machine, reports, study, testing

STORE = """
[[part]]
number = 1
title = "Foundations"
"""
LESSON = """
[[lesson]]
id = "{id}"
number = {number}
part = 1
title = "The {id}"
question = "What is it?"
goals = ["see it"]
prerequisites = {prerequisites}
datasets = ["iris"]
sources = ["a paper"]
minutes = 60
budget_s = 40
"""


@pytest.fixture
def course(tmp_path, monkeypatch):
    """A checkout with two lessons; the first decides one claim of its own and one of another."""
    folder = tmp_path / "course" / "notebooks"
    folder.mkdir(parents=True)
    text = STORE + LESSON.format(id="perceptron", number=1, prerequisites="[]")
    text += LESSON.format(id="multilayer_perceptron", number=2, prerequisites='["perceptron"]')
    (folder / "lessons.toml").write_text(text)
    nbformat.write(notebook("C014", "C032"), folder / "01_perceptron.ipynb")
    nbformat.write(notebook(), folder / "02_multilayer_perceptron.ipynb")
    claims.load()  # the project's own ledger, kept from here on
    store = lessons.load(folder / "lessons.toml")
    monkeypatch.setattr(lessons, "load", lambda: store)
    monkeypatch.setattr(runtime, "repository_root", lambda: folder.parent)
    monkeypatch.setattr("dlnotes.exercises.base.of_lesson", lambda number: ())
    monkeypatch.chdir(tmp_path)
    return folder.parent


def notebook(*decided):
    v4 = nbformat.v4
    records = [{"kind": "claim", "id": name, "verdict": "holds"} for name in decided]
    output = v4.new_output("display_data", {"text/plain": "x"}, metadata={"dlnotes": records})
    image = v4.new_output("display_data", {"image/png": "eA=="})
    cells = [v4.new_code_cell("1", outputs=[output]), v4.new_code_cell("2", outputs=[image])]
    return v4.new_notebook(cells=[*cells, v4.new_code_cell("x = 1")])


def invoke(*arguments):
    return CliRunner().invoke(cli.app, arguments, env={"COLUMNS": "200"})


# === Start ===


def test_help_is_fast_and_loads_nothing_heavy():
    code = (
        "import sys, time; start = time.perf_counter()\n"
        "from dlnotes import cli\n"
        "try: cli.main()\n"
        "except SystemExit as end: assert not end.code\n"
        "heavy = {'tensorflow', 'keras', 'numpy', 'pandas', 'nbclient', 'psutil', 'jupyterlab'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        result = subprocess.run(
            [sys.executable, "-c", code, "--help"], capture_output=True, text=True, check=True
        )
        seconds.append(time.perf_counter() - start)
    assert result.stdout.splitlines()[-1] == "[]"
    assert min(seconds) < 0.5


@pytest.mark.parametrize(
    "command",
    [
        "study",
        "run",
        "test",
        "tune",
        "serve",
        "lessons",
        "claims",
        "check",
        "data",
        "compare",
        "calibrate",
    ],
)
def test_each_command_has_a_help_text(command):
    overview = invoke("--help").output
    line = next(line for line in overview.splitlines() if line.split()[:1] == [command])
    assert len(line.split()) > 3
    assert not line.endswith("..."), "too long for the overview"
    result = invoke(command, "--help")
    assert result.exit_code == 0
    assert "-h, --help" in result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nonsense"], "No such command 'nonsense'"),
        (["run", "nope"], "`lesson` must be one of: 01 perceptron, 02 multilayer_perceptron"),
        (["study", "nope"], "Received: lesson='nope'"),
        (["test", "nope"], "Received: lesson='nope'"),
        (["calibrate", "nope"], "Received: lesson='nope'"),
        (["calibrate"], "Missing argument"),
        (["claims", "--lesson", "nope"], "one that owns claims: "),
        (["claims", "--lesson", "nope"], ", multilayer_perceptron, "),
        (["claims", "--lesson", "nope"], ", workflow. Received: nope"),
        (["claims", "--verdict", "maybe"], "must be one of holds, wrong, depends, unverifiable"),
        (["study", "--port", "0"], "Invalid value for '--port'"),
        (["study", "--port", "x"], "Invalid value for '--port'"),
        (["run", "--full", "--store"], "not together with --full"),
        (["test", "--unit-only", "--everywhere"], "only one of"),
        (["compare", "no.json", "no.json"], "does not exist"),
        (["data", "fetch", "nope"], "NAME must be one of: iris"),
        (["tune", "nope"], "DATASET must be one of: iris"),
        (["tune", "diabetes"], "DATASET must be one of: iris"),
        (["tune", "iris", "--model", "rnn"], "--model must be one of: mlp, cnn. Received: rnn"),
        (["tune", "iris", "--method", "best"], "--method must be one of: random, grid, bay"),
        (["tune", "iris", "--budget", "0"], "Invalid value for '--budget'"),
        (["tune", "iris", "--role", "boss"], "--role must be chief or worker"),
        (["tune", "iris", "--role", "chief"], "--role and --address belong together"),
        (["tune", "iris", "--address", "h:1"], "--role and --address belong together"),
        (["tune", "iris", "--worker-id", "a"], "--worker-id is for --role worker"),
        (
            ["tune", "iris", "--role", "worker", "--address", "h:1", "--resume"],
            "--resume is for the chief",
        ),
    ],
)
def test_wrong_use_is_explained(course, arguments, message):
    result = invoke(*arguments)
    assert result.exit_code == 2
    assert message in " ".join(result.output.split())
    assert "Traceback" not in result.output


def test_errors_are_one_line(course, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("the disk is full")

    monkeypatch.setattr(study, "study", fail)
    result = invoke("study")
    assert result.exit_code == 1
    assert result.output == "Error: the disk is full\n"
    monkeypatch.setenv("DLNOTES_DEBUG", "1")
    result = invoke("study")
    assert isinstance(result.exception, RuntimeError)  # Python shows the traceback


def test_error_without_text_shows_its_type(course, monkeypatch):
    def fail(*_, **__):
        raise KeyError("size")

    monkeypatch.setattr(study, "study", fail)
    assert invoke("study").output == "Error: KeyError: 'size'\n"


@pytest.mark.parametrize("command", ["study", "run", "test", "calibrate perceptron"])
def test_without_a_checkout_it_says_what_to_do(course, monkeypatch, command):
    monkeypatch.setattr(runtime, "repository_root", lambda: None)
    result = invoke(*command.split())
    assert result.exit_code == 1
    assert "clone the project and run the command there" in result.output


# === study ===


@pytest.mark.parametrize(
    ("arguments", "path", "options"),
    [
        ([], "notebooks/README.md", {"port": None, "browser": True}),
        (["perceptron"], "notebooks/01_perceptron.ipynb", {"port": None, "browser": True}),
        (["2"], "notebooks/02_multilayer_perceptron.ipynb", {"port": None, "browser": True}),
        (
            ["--port", "9000", "--no-browser"],
            "notebooks/README.md",
            {"port": 9000, "browser": False},
        ),
    ],
)
def test_study_opens_the_index_or_a_lesson(course, monkeypatch, arguments, path, options):
    calls = []
    monkeypatch.setattr(study, "study", lambda *args, **kwargs: calls.append((args, kwargs)))
    assert invoke("study", *arguments).exit_code == 0
    (args, kwargs) = calls[0]
    assert args == (path,)
    assert kwargs.pop("say")
    assert kwargs == options | {"root": course}


# === run ===


@pytest.fixture
def fake_runs(course, monkeypatch):
    """Lessons that run at once; `outcomes` maps a lesson to its error or exception."""
    outcomes, calls = {}, []

    def run_lesson(lesson, *, root, env=None, listener=None):
        calls.append((lesson.id, env))
        outcome = outcomes.get(lesson.id)
        if isinstance(outcome, BaseException):
            raise outcome
        if callable(outcome):
            outcome = outcome()
        claims = [{"kind": "claim", "id": "C014", "verdict": "holds"}] * 2
        measured = [{"kind": "within", "name": "a", "values": [0.5], "low": 0, "high": 1}]
        return execute.LessonRun(lesson, notebook(), 12.34, 345.6, [1.0], outcome, measured, claims)

    monkeypatch.setattr(execute, "run_lesson", run_lesson)
    monkeypatch.setattr(execute, "export_html", lambda _, path, title: path.write_text(title))
    run_lesson.outcomes, run_lesson.calls = outcomes, calls
    return run_lesson


def names(folder):
    return sorted(path.name for path in Path(folder).iterdir())


def test_run_writes_results_and_ends_with_the_table(fake_runs):
    result = invoke("run")
    assert result.exit_code == 0, result.output
    assert names("build") == [
        "01_perceptron.html",
        "01_perceptron.ipynb",
        "02_multilayer_perceptron.html",
        "02_multilayer_perceptron.ipynb",
        "report.json",
    ]
    assert "lesson seconds peak memory claims decided result" in " ".join(result.output.split())
    row = next(line for line in result.output.splitlines() if " of " in line)
    assert re.split(r"\s{2,}", row.strip()) == [
        "01 The perceptron",
        "12.3",
        "346 MB",
        "1 of 6",  # a claim that is decided twice counts once
        "passed",
    ]
    assert list(reports.load(Path("build/report.json"))["lessons"]) == [
        "perceptron",
        "multilayer_perceptron",
    ]
    assert fake_runs.calls == [("perceptron", None), ("multilayer_perceptron", None)]


def test_run_takes_names_numbers_and_a_folder(fake_runs):
    assert invoke("run", "2", "--output", "other", "--full").exit_code == 0
    assert fake_runs.calls == [("multilayer_perceptron", {"DLNOTES_FULL": "1"})]
    assert "02_multilayer_perceptron.ipynb" in names("other")
    assert not Path("build").exists()


def test_failing_lesson_is_shown_and_the_others_still_run(fake_runs):
    fake_runs.outcomes["perceptron"] = execute.CellError(
        7, "loss = a / b", "ZeroDivisionError", "division by zero", "Traceback (most recent…"
    )
    result = invoke("run")
    assert result.exit_code == 1
    assert "01 The perceptron, code cell 7\n    loss = a / b\n" in result.output
    assert "ZeroDivisionError: division by zero" in result.output
    assert "Traceback" not in result.output
    assert re.search(r"01 The perceptron .* failed in cell 7", result.output)
    assert re.search(r"02 The multilayer_perceptron .* passed", result.output)
    assert "02_multilayer_perceptron.ipynb" in names("build")


def test_ctrl_c_keeps_finished_lessons_whole(fake_runs):
    fake_runs.outcomes["multilayer_perceptron"] = KeyboardInterrupt()
    result = invoke("run")
    assert result.exit_code == 130
    assert "Interrupted: 1 of 2 lessons finished, saved in build." in result.output
    assert names("build") == ["01_perceptron.html", "01_perceptron.ipynb"]


def test_ctrl_c_in_the_first_lesson_does_not_claim_that_something_was_saved(fake_runs):
    fake_runs.outcomes["perceptron"] = KeyboardInterrupt()
    result = invoke("run")
    assert result.exit_code == 130
    assert "Interrupted: 0 of 2 lessons finished, nothing was saved." in result.output
    assert not Path("build").exists()


@pytest.mark.skipif(os.name != "posix", reason="sends a signal")
def test_kill_ends_a_run_like_ctrl_c(fake_runs):
    before = signal.getsignal(signal.SIGTERM)

    def kill():
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)

    fake_runs.outcomes["perceptron"] = kill
    assert invoke("run").exit_code == 130
    assert signal.getsignal(signal.SIGTERM) == before


def test_store_writes_lessons_that_passed(fake_runs, course, monkeypatch):
    stored = []
    monkeypatch.setattr(execute, "store", lambda run, root: stored.append((run.lesson.id, root)))
    fake_runs.outcomes["perceptron"] = execute.CellError(1, "x", "NameError", "x", "")
    invoke("run", "--store")
    assert stored == [("multilayer_perceptron", course)]
    invoke("run")
    assert len(stored) == 1


@pytest.mark.parametrize(
    ("function", "outcome"), [("store", "not stored"), ("export_html", "not saved")]
)
def test_a_lesson_that_cannot_be_written_does_not_stop_the_others(
    fake_runs, monkeypatch, function, outcome
):
    stored = []
    monkeypatch.setattr(execute, "store", lambda run, root: stored.append(run.lesson.id))
    works = getattr(execute, function)

    def fail_once(*args):
        monkeypatch.setattr(execute, function, works)
        raise ValueError("it wrote to stderr")

    monkeypatch.setattr(execute, function, fail_once)
    result = invoke("run", "--store")
    assert result.exit_code == 1
    assert f"01 The perceptron: {outcome}. it wrote to stderr" in result.output
    assert re.search(rf"01 The perceptron  .* {outcome}", result.output)
    assert re.search(r"02 The multilayer_perceptron  .* passed", result.output)
    assert stored == ["multilayer_perceptron"]
    assert len(reports.load(Path("build/report.json"))["lessons"]) == 2


# === test ===


@pytest.fixture
def stages(course, monkeypatch):
    """Stages that only note their call; a name in `failing` fails."""
    calls, failing = [], set()

    def stage(name):
        def run(*args, **kwargs):
            calls.append((name, args))
            return testing.Stage(name, name not in failing, 61.4)

        monkeypatch.setattr(testing, name, run)

    for name in ("unit_tests", "lesson_tests", "other_processor_tests", "wheel_test"):
        stage(name)
    stage.calls, stage.failing = calls, failing
    return stage


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], ["unit_tests", "lesson_tests"]),
        (["--unit-only"], ["unit_tests"]),
        (["--lessons-only"], ["lesson_tests"]),
        (["--everywhere"], ["other_processor_tests", "wheel_test"]),
    ],
)
def test_stages(stages, options, expected):
    result = invoke("test", *options)
    assert result.exit_code == 0
    assert [name for name, _ in stages.calls] == expected
    for name in expected:
        assert re.search(rf"{name} +61 +passed", result.output)


def test_named_lessons_are_tested(stages):
    invoke("test", "2")
    lesson_arguments = dict(stages.calls)["lesson_tests"]
    assert [lesson.id for lesson in lesson_arguments[0]] == ["multilayer_perceptron"]


def test_failing_stage_fails_the_command_but_the_later_ones_run(stages):
    stages.failing.add("unit_tests")
    result = invoke("test")
    assert result.exit_code == 1
    assert [name for name, _ in stages.calls] == ["unit_tests", "lesson_tests"]
    assert re.search(r"unit_tests +61 +failed", result.output)
    assert re.search(r"lesson_tests +61 +passed", result.output)


def test_failing_lessons_bring_a_hint_for_learners_who_edited_them(stages, monkeypatch):
    failed = testing.Stage("lessons", False, 1.0)
    monkeypatch.setattr(testing, "lesson_tests", lambda *args, **options: failed)
    assert "git restore notebooks" in invoke("test").output
    monkeypatch.undo()


# === lessons, claims, check ===


def test_lessons_json(course, monkeypatch):
    class Exercise:
        id = "01.1"

    monkeypatch.setattr(
        "dlnotes.exercises.base.of_lesson", lambda number: (Exercise,) if number == "01" else ()
    )
    first, second = json.loads(invoke("lessons", "--json").stdout)
    assert first == {
        "id": "perceptron",
        "number": 1,
        "title": "The perceptron",
        "question": "What is it?",
        "part": 1,
        "path": "notebooks/01_perceptron.ipynb",
        "prerequisites": [],
        "datasets": ["iris"],
        "claims": ["C013", "C014", "C028", "C029", "C030", "C031"],
        "exercises": ["01.1"],
        "minutes": 60,
        "budget_s": 40,
        "strict_cells": 1,
        "output_cells": 2,
    }
    assert second["prerequisites"] == ["perceptron"]


def test_lessons_table(course):
    output = invoke("lessons").output
    assert re.search(r"02 +multilayer_perceptron +What is it\? +60 +perceptron", output)


def test_lessons_json_without_a_checkout(course, monkeypatch):
    monkeypatch.setattr(runtime, "repository_root", lambda: None)
    assert json.loads(invoke("lessons", "--json").stdout)[0]["output_cells"] == 0


def test_claims_json(course):
    entries = {entry["id"]: entry for entry in json.loads(invoke("claims", "--json").stdout)}
    assert len(entries) == 120
    assert list(entries["C014"]) == ["id", "lesson", "sources", "statement", "verdict", "decided"]
    assert entries["C014"]["decided"] is True
    assert entries["C013"]["decided"] is False
    assert entries["C032"]["decided"] is False  # decided, but not by the lesson that owns it
    assert entries["C014"]["lesson"] == "perceptron"
    assert isinstance(entries["C014"]["sources"], list)


@pytest.mark.parametrize("name", ["perceptron", "1", "01_perceptron.ipynb"])
def test_claims_of_a_lesson(course, name):
    entries = json.loads(invoke("claims", "--json", "--lesson", name).stdout)
    assert [entry["id"] for entry in entries] == ["C013", "C014", "C028", "C029", "C030", "C031"]


def test_claims_of_a_lesson_still_to_be_written(course):
    entries = json.loads(invoke("claims", "--json", "--lesson", "workflow").stdout)
    assert {entry["lesson"] for entry in entries} == {"workflow"}


def test_claims_with_a_verdict(course):
    entries = json.loads(invoke("claims", "--json", "--verdict", "wrong").stdout)
    assert {entry["verdict"] for entry in entries} == {"wrong"}
    assert len(entries) < 120


def test_claims_table(course):
    output = invoke("claims", "--lesson", "perceptron").output
    assert re.search(r"C014 +perceptron +holds +\w", output)
    assert re.search(r"C013 +perceptron +expected: depends +\w.*–", output)
    ledger = claims.load()
    words = {name: ledger[name].correction.split()[:2] for name in ("C013", "C014")}
    assert " ".join(words["C014"]) in output
    assert " ".join(words["C013"]) not in output


FACTS = machine.Facts(
    "3.12.1",
    "python",
    True,
    "Linux",
    {"tensorflow-cpu": "2.21.0", "keras": "3.15.1"},
    "tensorflow",
    (),
    (machine.Product("cpu:0", 8.0, True),),
    "",
    8.0,
    50.0,
)


def test_check_of_a_fine_machine(monkeypatch):
    monkeypatch.setattr(machine, "examine", lambda: FACTS)
    result = invoke("check")
    assert result.exit_code == 0
    assert re.search(r"TensorFlow +2\.21\.0", result.output)
    assert re.search(
        r"cpu:0 +one product of two 1000 × 1000 matrices: 8\.0 ms, right", result.output
    )
    assert "Everything is fine." in result.output


def test_check_names_the_problem_and_the_command(monkeypatch):
    facts = machine.dataclasses.replace(FACTS, packages={"keras": "3.15.1"}, products=())
    monkeypatch.setattr(machine, "examine", lambda: facts)
    result = invoke("check")
    assert result.exit_code == 1
    assert (
        "Problem: TensorFlow is not installed: it comes with the extra cpu or gpu" in result.output
    )
    assert '    python -m pip install -e ".[cpu]"' in result.output
    report = json.loads(invoke("check", "--json").stdout)
    assert list(report) == ["python", "tensorflow", "keras", "devices", "warnings"]


def test_hint_alone_does_not_fail_the_check(monkeypatch):
    facts = machine.dataclasses.replace(FACTS, disk_gb=0.1)
    monkeypatch.setattr(machine, "examine", lambda: facts)
    result = invoke("check")
    assert result.exit_code == 0
    assert "Hint: 0.1 GB is free" in result.output


# === data ===

DATASETS = [
    {
        "name": "iris",
        "title": "Iris flowers",
        "kind": "bundled",
        "size": 0,
        "licence": "CC BY 4.0",
        "source": "R. A. Fisher",
        "state": "ready",
    },
    {
        "name": "mnist",
        "title": "Digits [28 x 28]",
        "kind": "download",
        "size": 11490434,
        "licence": "CC BY-SA 3.0",
        "source": "Y. LeCun",
        "state": "not downloaded",
    },
]


@pytest.fixture
def shelf(monkeypatch):
    monkeypatch.setattr(datasets, "overview", lambda: DATASETS)


def test_data_lists_the_datasets(shelf):
    output = invoke("data").output
    row = next(line for line in output.splitlines() if "mnist" in line)
    assert re.split(r"\s{2,}", row.strip()) == [
        "mnist",
        "Digits [28 x 28]",
        "download",
        "11.5 MB",
        "CC BY-SA 3.0",
        "Y. LeCun",
        "not downloaded",
    ]


def test_data_fetch_reports_progress_and_the_folder(shelf, monkeypatch):
    def fetch(name, *, progress):
        for count in (0, 5, 10):
            progress(f"{name}.npz", count, 10)
        return Path("cache") / name

    monkeypatch.setattr(datasets, "fetch", fetch)
    result = invoke("data", "fetch", "mnist")
    assert result.exit_code == 0
    assert result.output == f"mnist is in {Path('cache/mnist')}.\n"


def test_data_fetch_that_fails_is_one_line(shelf, monkeypatch):
    def fetch(name, *, progress):
        raise datasets.DownloadError("dataset 'mnist': the server answered 404")

    monkeypatch.setattr(datasets, "fetch", fetch)
    result = invoke("data", "fetch", "mnist")
    assert result.exit_code == 1
    assert result.output == "Error: dataset 'mnist': the server answered 404\n"


def test_data_that_comes_along_is_not_fetched(shelf, monkeypatch):
    monkeypatch.setattr(datasets, "fetch", lambda *_, **__: pytest.fail("fetched"))
    result = invoke("data", "fetch", "iris")
    assert result.exit_code == 0
    assert "nothing to fetch" in result.output


# === compare, calibrate ===


def write_report(path, value, keras="3.15.1"):
    record = {"kind": "within", "name": "accuracy", "values": [value], "low": 0.8, "high": 1.0}
    steady = record | {"name": "steady", "values": [0.9]}
    report = {
        "format": reports.FORMAT,
        "versions": {"keras": keras},
        "processor": "x",
        "imitated_processor": False,
        "seed_offset": 0,
        "lessons": {"perceptron": {"measured": {"accuracy": record, "steady": steady}}},
    }
    Path(path).write_text(json.dumps(report))


def test_compare_shows_what_moved(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_report("old.json", 0.85)
    write_report("new.json", 0.95, keras="3.15.2")
    result = invoke("compare", "old.json", "new.json")
    assert result.exit_code == 0
    assert re.search(r"keras +3\.15\.1 +3\.15\.2", result.output)
    assert re.search(
        r"perceptron +accuracy +0\.8 to 1 +0\.85 +0\.95 +\+0\.50 +moved", result.output
    )
    assert "1 of 2 measured values are the same." in result.output
    assert "steady" not in result.output


def test_compare_fails_outside_the_band(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_report("old.json", 0.85)
    write_report("new.json", 0.5)
    result = invoke("compare", "old.json", "new.json")
    assert result.exit_code == 1
    assert "out of band" in result.output


def test_compare_refuses_another_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_report("old.json", 0.85)
    Path("new.json").write_text("{}")
    result = invoke("compare", "old.json", "new.json")
    assert result.exit_code == 1
    assert result.output.startswith("Error: new.json is not a report")


@pytest.mark.parametrize(("seen_high", "status"), [(0.95, 0), (1.2, 1)])
def test_calibrate_shows_each_band(course, monkeypatch, seen_high, status):
    def calibrate(lesson, *, root, progress):
        assert root == course
        progress(f"{lesson.id}: seed offset 0")
        return [reports.Calibrated("accuracy", 0.8, 1.0, 0.9, seen_high)]

    monkeypatch.setattr(reports, "calibrate", calibrate)
    result = invoke("calibrate", "perceptron", "2")
    assert result.exit_code == status
    assert "multilayer_perceptron: seed offset 0" in result.output
    inside = "NO" if status else "yes"
    assert re.search(rf"accuracy +0\.8 to 1 +0\.9 to {seen_high} +{inside}", result.output)


def test_calibrate_remembers_a_lesson_that_left_its_band(course, monkeypatch):
    def calibrate(lesson, *, root, progress):
        seen_high = 1.2 if lesson.id == "perceptron" else 0.95
        return [reports.Calibrated("accuracy", 0.8, 1.0, 0.9, seen_high)]

    monkeypatch.setattr(reports, "calibrate", calibrate)
    assert invoke("calibrate", "1", "2").exit_code == 1
