import json
import os
import signal
import subprocess
import sys
import textwrap
import time

import nbformat
import psutil
import pytest

from dlnotes import runtime
from dlnotes.course import execute
from dlnotes.course.lessons import Lesson, Part, Store

PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGA"
    "WjR9awAAAABJRU5ErkJggg=="
)


def make_lesson(root, cells, number=7):
    lesson = Lesson(
        id="made",
        number=number,
        part=Part(1, "Foundations"),
        title="A made lesson",
        question="Does it run?",
        goals=("see it run",),
        prerequisites=(),
        datasets=(),
        sources=("none",),
        minutes=1,
        budget_s=10,
    )
    notebook = nbformat.v4.new_notebook(cells=cells)
    (root / "notebooks").mkdir(exist_ok=True)
    nbformat.write(notebook, root / lesson.path)
    return lesson


def code(source, **metadata):
    return nbformat.v4.new_code_cell(textwrap.dedent(source).strip(), metadata=metadata)


def test_a_run_gives_outputs_records_times_and_progress(tmp_path, monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "Agg")
    monkeypatch.delenv("PYTEST_CURRENT_TEST")  # its presence alone stops a kernel's capturing
    cells = [
        code("import os, time\nfrom dlnotes import reporting\nballast = bytearray(40 * 2**20)"),
        nbformat.v4.new_markdown_cell("text"),
        code('reporting.within("a number", 0.25, 0, 1)'),
        code(
            """
            print(os.environ["DLNOTES_SEED_OFFSET"], os.environ["DLNOTES_HEADLESS"])
            print(os.environ.get("MPLBACKEND", "").startswith("Agg"))
            os.write(2, b"a C-level log line")
            time.sleep(0.6)
            """
        ),
    ]
    lesson = make_lesson(tmp_path, cells)
    before = (tmp_path / lesson.path).read_bytes()
    events = []
    run = execute.run_lesson(
        lesson, root=tmp_path, env={"DLNOTES_SEED_OFFSET": "3"}, listener=events.append
    )
    assert run.error is None
    assert run.measured == [
        {"kind": "within", "name": "a number", "values": [0.25], "low": 0.0, "high": 1.0}
    ]
    assert run.notebook.cells[3].outputs[0].text == "3 1\nFalse\n"
    assert len(run.notebook.cells[3].outputs) == 1, "a C-level log entered the outputs"
    assert len(run.cell_seconds) == 3
    assert 0.6 <= run.cell_seconds[2] <= run.seconds
    assert run.peak_memory_mb > 40
    assert {event.index for event in events} >= {2}
    assert all(event.total == 3 for event in events)
    assert (tmp_path / lesson.path).read_bytes() == before


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells which pages are shared")
def test_memory_that_two_processes_share_counts_once(tmp_path):
    source = """
        import os, time
        block = bytearray(os.urandom(2**20)) * 300
        child = os.fork()
        if child == 0:
            time.sleep(60)
        time.sleep(1)
        os.kill(child, 9)
        _ = os.waitpid(child, 0)
        """
    run = execute.run_lesson(make_lesson(tmp_path, [code(source)]), root=tmp_path)
    assert run.error is None
    assert 310 < run.peak_memory_mb < 550


def test_a_failing_cell_is_named_with_source_and_error(tmp_path):
    cells = [code("x = 1"), code("y = x / 0  # here"), code("print('never')")]
    stale = nbformat.v4.new_output("stream", name="stdout", text="of an earlier run")
    cells[2].outputs, cells[2].execution_count = [stale], 3
    run = execute.run_lesson(make_lesson(tmp_path, cells), root=tmp_path)
    assert (run.error.cell, run.error.source) == (2, "y = x / 0  # here")
    assert (run.error.name, run.error.message) == ("ZeroDivisionError", "division by zero")
    assert "\x1b" not in run.error.traceback_text
    assert run.notebook.cells[2].outputs == []
    with pytest.raises(ValueError, match="'made' failed in cell 2: not stored"):
        execute.store(run, tmp_path)


def test_a_dying_kernel_and_an_endless_cell_are_reported(tmp_path, monkeypatch):
    run = execute.run_lesson(make_lesson(tmp_path, [code("import os\nos._exit(3)")]), root=tmp_path)
    assert run.error.name == "DeadKernelError"
    monkeypatch.setattr(execute, "CELL_TIMEOUT_S", 1)
    run = execute.run_lesson(
        make_lesson(tmp_path, [code("import time\ntime.sleep(60)")]), root=tmp_path
    )
    assert run.error.name == "CellTimeoutError"
    assert "longer than 1 s" in run.error.message


@pytest.mark.skipif(os.name == "nt", reason="SIGINT cannot be sent to another process on Windows")
def test_ctrl_c_leaves_no_kernel_and_no_changed_file(tmp_path):
    source = f"""
        import os, pathlib, subprocess, sys, time
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(120)"])
        pids = f"{{os.getpid()}} {{child.pid}}"
        pathlib.Path({str(tmp_path / "pids")!r}).write_text(pids)
        time.sleep(120)
    """
    lesson = make_lesson(tmp_path, [code(source)])
    before = (tmp_path / lesson.path).read_bytes()
    script = f"""
        import sys; sys.path.insert(0, {os.path.dirname(__file__)!r})
        from pathlib import Path
        from test_execute import make_lesson
        from dlnotes.course import execute, lessons
        import nbformat
        root = Path({str(tmp_path)!r})
        lesson = lessons.Lesson("made", 7, lessons.Part(1, "x"), "t", "q", (), (), (), (), 1, 1)
        try:
            execute.run_lesson(lesson, root=root)
        except KeyboardInterrupt:
            sys.exit(130)
    """
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)])
    deadline = time.monotonic() + 30
    while not (tmp_path / "pids").is_file() and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.2)
    pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=15) == 130
    _, alive = psutil.wait_procs(
        [psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)], timeout=5
    )
    assert not [p for p in alive if p.status() != psutil.STATUS_ZOMBIE]
    assert (tmp_path / lesson.path).read_bytes() == before


def executed_notebook():
    png = nbformat.v4.new_output(
        "display_data", data={"image/png": PIXEL, "text/plain": "<Figure>"}
    )
    cells = [
        nbformat.v4.new_markdown_cell("old", metadata={"dlnotes": {"generated": "header"}}),
        code("1", trusted=True, collapsed=False, execution={"iopub": "time"}),
        code("2", dlnotes={"alt": "A grey pixel, alone on a white ground."}, tags=["keep"]),
    ]
    cells[1].outputs = [
        nbformat.v4.new_output("stream", name="stdout", text="a\n"),
        nbformat.v4.new_output("stream", name="stdout", text="b\n"),
        nbformat.v4.new_output("execute_result", data={"text/plain": "1"}, execution_count=9),
    ]
    cells[2].outputs = [png]
    return nbformat.v4.new_notebook(
        cells=cells, metadata={"kernelspec": {"name": "mine", "display_name": "Mine"}}
    )


def test_normalised_notebooks_have_one_form_and_keep_it(tmp_path):
    lesson = make_lesson(tmp_path, [])
    store = Store((lesson,), "")
    notebook = executed_notebook()
    execute.normalise(notebook, lesson, store)
    header, first, second = notebook.cells
    assert header.source.startswith("# 07 · A made lesson")
    assert [cell.execution_count for cell in (first, second)] == [1, 2]
    assert [output.output_type for output in first.outputs] == ["stream", "execute_result"]
    assert first.outputs[0].text == "a\nb\n"
    assert first.outputs[1].execution_count == 1
    assert first.metadata == {}
    assert second.metadata["tags"] == ["keep"]
    assert second.outputs[0].metadata["image/png"]["alt"].startswith("A grey pixel")
    assert notebook.metadata == {
        "kernelspec": execute.KERNELSPEC,
        "language_info": {"name": "python"},
    }
    assert all(len(cell.id) == 8 for cell in notebook.cells)
    text = nbformat.writes(notebook)
    execute.normalise(notebook, lesson, store)
    assert nbformat.writes(notebook) == text


def test_equal_cells_get_different_ids_that_depend_on_content_only(tmp_path):
    lesson = make_lesson(tmp_path, [])
    ids = []
    for _ in range(2):
        notebook = nbformat.v4.new_notebook(cells=[code("same"), code("same")])
        notebook.cells[0].id, notebook.cells[1].id = "by-hand-1", "by-hand-2"
        execute.normalise(notebook, lesson, Store((lesson,), ""))
        ids.append([cell.id for cell in notebook.cells])
    assert ids[0] == ids[1]
    assert len(set(ids[0])) == 2


def made_run(lesson, notebook):
    return execute.LessonRun(lesson, notebook, 1.0, 1.0, [], None, [], [])


def test_store_writes_the_lesson_and_refuses_stderr_and_offsets(tmp_path, monkeypatch):
    lesson = make_lesson(tmp_path, [])
    monkeypatch.setattr(execute, "load", lambda: Store((lesson,), ""))
    notebook = executed_notebook()
    path = execute.store(made_run(lesson, notebook), tmp_path)
    assert json.loads(path.read_text())["cells"][1]["execution_count"] == 1
    before = path.read_bytes()
    notebook.cells[1].outputs.append(
        nbformat.v4.new_output("stream", name="stderr", text="a warning")
    )
    with pytest.raises(ValueError, match="wrote to stderr: not stored. Received: a warning"):
        execute.store(made_run(lesson, notebook), tmp_path)
    monkeypatch.setenv("DLNOTES_SEED_OFFSET", "2")
    with pytest.raises(ValueError, match="without a seed offset. Received: DLNOTES_SEED_OFFSET=2"):
        execute.store(made_run(lesson, executed_notebook()), tmp_path)
    assert path.read_bytes() == before


def test_an_invalid_notebook_is_not_written(tmp_path):
    path = tmp_path / "a.ipynb"
    path.write_text("old")
    notebook = executed_notebook()
    notebook.cells[1]["outputs"] = "none"
    with pytest.raises(nbformat.ValidationError):
        execute.write_notebook(notebook, path)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.ipynb"]


def test_a_file_that_is_no_notebook_is_named(tmp_path):
    (tmp_path / "a.ipynb").write_text("not a notebook")
    with pytest.raises(ValueError, match=r"a\.ipynb is not a notebook"):
        execute.read_notebook(tmp_path / "a.ipynb")


def test_html_needs_no_network_and_keeps_formula_image_and_alternative_text(tmp_path):
    notebook = executed_notebook()
    notebook.cells[0].source = "The score $z = w_1 x$, and\n\n$$\\frac{a}{b}$$\n\n[02](02_b.ipynb)"
    notebook.cells[2].outputs[0].metadata["image/png"] = {"alt": "A grey pixel."}
    path = tmp_path / "a.html"
    execute.export_html(notebook, path, "A lesson")
    page = path.read_text()
    assert "<title>A lesson</title>" in page
    assert page.count("<math") == 2
    assert "<msub><mi>w</mi><mn>1</mn></msub>" in page
    assert "<mfrac><mrow><mi>a</mi></mrow><mrow><mi>b</mi></mrow></mfrac>" in page
    assert "formula-" not in page
    assert 'alt="A grey pixel."' in page
    assert f"data:image/png;base64,{PIXEL}" in page
    assert 'href="02_b.html"' in page
    for marker in ('src="http', "src='http", 'href="http', "@import", "cdnjs", "unpkg"):
        assert marker not in page, f"the page loads something from a network: {marker}"


@pytest.mark.parametrize(
    ("text", "count"),
    [("$a$ and $b$", 2), ("`$a$`", 0), ("it costs $5 and $6", 0), ("$$a\n+ b$$", 1), ("\\$a$", 0)],
)
def test_formulas_are_found(text, count):
    formulas = []
    rest = execute._set_formulas_aside(text, formulas)
    assert len(formulas) == count
    assert all(formula.startswith("<math") for formula in formulas)
    assert (rest == text) == (count == 0)


def test_the_other_processor_is_imitated_on_x86_only(monkeypatch):
    monkeypatch.setattr(execute.platform, "machine", lambda: "x86_64")
    assert set(execute.other_processor()) == {
        "ONEDNN_MAX_CPU_ISA",
        "OPENBLAS_CORETYPE",
        "NPY_DISABLE_CPU_FEATURES",
    }
    monkeypatch.setattr(execute.platform, "machine", lambda: "arm64")
    assert execute.other_processor() == {}


def test_files_are_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "folder" / "a.txt"
    runtime.write_atomically(path, "é\n")
    assert path.read_bytes() == "é\n".encode()

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(runtime.os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        runtime.write_atomically(path, b"new")
    assert path.read_bytes() == "é\n".encode()
    assert os.listdir(path.parent) == ["a.txt"]
