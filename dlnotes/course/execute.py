"""Runs lessons in a fresh kernel, and writes notebooks in the one form in which they are stored."""

import contextlib
import dataclasses
import hashlib
import json
import os
import platform
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import nbformat
import psutil
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

from dlnotes import exercises, runtime
from dlnotes.course import readme
from dlnotes.course.lessons import Lesson, Store, load

CELL_TIMEOUT_S = 600  # against a cell that hangs; a busy machine is no reason to fail
KERNELSPEC = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
MEASURED = ("within", "table", "close")
_ANSI = re.compile(r"\x1b\[[0-9;]*m")


@dataclasses.dataclass(frozen=True)
class CellEvent:
    """Sent when a code cell starts, and twice a second while it runs."""

    index: int  # from 0, code cells only
    total: int
    seconds: float  # since the lesson began
    memory_mb: float


@dataclasses.dataclass(frozen=True)
class CellError:
    """The cell that failed: its number among the code cells (from 1), source and error."""

    cell: int
    source: str
    name: str
    message: str
    traceback_text: str


@dataclasses.dataclass
class LessonRun:
    """What one execution of a lesson gave; `error` is None if every cell ran."""

    lesson: Lesson
    notebook: nbformat.NotebookNode
    seconds: float
    peak_memory_mb: float
    cell_seconds: list[float]
    error: CellError | None
    measured: list[dict[str, Any]]
    claims: list[dict[str, Any]]


def run_lesson(
    lesson: Lesson,
    *,
    root: Path,
    env: Mapping[str, str] | None = None,
    listener: Callable[[CellEvent], None] | None = None,
) -> LessonRun:
    """Execute a lesson from top to bottom in a fresh kernel; the stored file is left alone.

    Args:
        lesson: The lesson.
        root: The repository's root.
        env: Variables that are added to the kernel's environment.
        listener: Called from this thread with the progress.

    Raises:
        KeyboardInterrupt: On Ctrl-C, after the kernel and its children have ended.
    """
    notebook = read_notebook(root / lesson.path)
    for cell in notebook.cells:  # a run that fails must not keep what an earlier one stored
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    job = _Job(notebook, cwd=(root / lesson.path).parent, env=_kernel_env(env))
    start = time.perf_counter()
    job.start()
    peak = 0.0
    try:
        while job.is_alive():
            memory = job.memory_mb()
            peak = max(peak, memory)
            if listener is not None and job.current is not None:
                elapsed = time.perf_counter() - start
                listener(CellEvent(job.current, job.total, elapsed, memory))
            job.wait_a_moment()
    except BaseException:
        job.kill()
        raise
    seconds = time.perf_counter() - start
    if job.failure is not None:
        raise job.failure
    records = records_of(notebook)
    return LessonRun(
        lesson,
        notebook,
        seconds,
        peak,
        job.cell_seconds,
        job.error,
        [record for record in records if record["kind"] in MEASURED],
        [record for record in records if record["kind"] == "claim"],
    )


class _Job(threading.Thread):
    """Runs nbclient beside the main thread, which stays free for the display and Ctrl-C."""

    def __init__(self, notebook: nbformat.NotebookNode, *, cwd: Path, env: dict[str, str]) -> None:
        super().__init__(daemon=True)
        self.code_cells = [i for i, cell in enumerate(notebook.cells) if cell.cell_type == "code"]
        self.total = len(self.code_cells)
        self.current: int | None = None
        self.cell_seconds: list[float] = []
        self.error: CellError | None = None
        self.failure: BaseException | None = None
        self._env = env
        self._cell_start = 0.0
        self._tick = threading.Event()
        self._client = NotebookClient(
            notebook,
            timeout=CELL_TIMEOUT_S,
            kernel_name="python3",
            resources={"metadata": {"path": str(cwd)}},
            record_timing=False,
            extra_arguments=[
                # C-level logs must not enter stored outputs: under pytest they are not either
                "--IPKernelApp.capture_fd_output=False",
                "--IPKernelApp.log_level=ERROR",  # a local kernel warns about its open port
            ],
            on_cell_start=self._on_start,
            on_cell_executed=self._on_executed,
        )

    def run(self) -> None:
        try:
            self._client.execute(env=self._env)
        except CellExecutionError as error:
            self._fail(error.ename, error.evalue, error.traceback)
        except CellTimeoutError:
            self._fail("CellTimeoutError", f"the cell ran longer than {CELL_TIMEOUT_S} s", "")
        except DeadKernelError:
            self._fail("DeadKernelError", "the kernel died (often: not enough memory)", "")
        except BaseException as error:
            self.failure = error

    def _on_start(self, cell: Any, cell_index: int) -> None:
        if cell.cell_type == "code":
            self.current = self.code_cells.index(cell_index)
            self._cell_start = time.perf_counter()
            self._tick.set()

    def _on_executed(self, cell: Any, cell_index: int, execute_reply: Any) -> None:
        if cell.cell_type == "code":
            self.cell_seconds.append(time.perf_counter() - self._cell_start)

    def _fail(self, name: str, message: str, traceback_text: str) -> None:
        index = self.current or 0
        source = self._client.nb.cells[self.code_cells[index]].source
        self.error = CellError(index + 1, source, name, message, _ANSI.sub("", traceback_text))

    def wait_a_moment(self) -> None:
        self._tick.wait(0.5)
        self._tick.clear()

    def _processes(self) -> list[psutil.Process]:
        manager = self._client.km
        pid = getattr(getattr(manager, "provisioner", None), "pid", None)
        if pid is None:
            return []
        try:
            kernel = psutil.Process(pid)
            return [kernel, *kernel.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def memory_mb(self) -> float:
        total = 0
        for process in self._processes():
            with contextlib.suppress(psutil.Error):
                memory = process.memory_full_info()
                # PSS, where there is one, counts a page that several processes share only once
                total += getattr(memory, "pss", memory.rss)
        return total / 2**20

    def kill(self) -> None:
        for _ in range(50):  # a kernel that is just starting has no process yet
            for process in self._processes():
                with contextlib.suppress(psutil.Error):
                    process.kill()
            self.join(timeout=0.2)
            if not self.is_alive():
                return


def _kernel_env(extra: Mapping[str, str] | None) -> dict[str, str]:
    env = dict(os.environ) | {"DLNOTES_HEADLESS": "1"} | dict(extra or {})
    env.pop("MPLBACKEND", None)  # Agg would remove every figure from the outputs
    return env


def other_processor() -> dict[str, str]:
    """Return the environment that makes the libraries compute as on an older processor.

    It switches off instruction sets, so sums are rounded in another order, as they are on a
    learner's machine. Empty where the processor is not x86-64: there is nothing to switch off.
    """
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return {}
    return {
        "ONEDNN_MAX_CPU_ISA": "SSE41",
        "OPENBLAS_CORETYPE": "Prescott",
        "NPY_DISABLE_CPU_FEATURES": "X86_V4 X86_V3",
    }


def read_notebook(path: Path) -> nbformat.NotebookNode:
    """Read a notebook.

    Raises:
        ValueError: If the file is not a notebook; the message names it.
    """
    try:
        return nbformat.read(path, as_version=4)
    except (json.JSONDecodeError, nbformat.reader.NotJSONError) as error:
        raise ValueError(f"{path.name} is not a notebook: {str(error)[:200]}") from error


def records_of(notebook: nbformat.NotebookNode) -> list[dict[str, Any]]:
    """Return what `reporting` and `claims` recorded in the outputs, in order."""
    return [record for _, record in _records(notebook)]


def _records(notebook: nbformat.NotebookNode) -> Iterator[tuple[int, dict[str, Any]]]:
    for index, cell in enumerate(notebook.cells):
        for output in cell.get("outputs", []):
            for record in output.get("metadata", {}).get("dlnotes", []):
                yield index, record


def normalise(notebook: nbformat.NotebookNode, lesson: Lesson, store: Store) -> None:
    """Bring a notebook, in place, into the form in which lessons are stored.

    Generated cells are written anew, ids are kept or made from the content, cells count 1…n, and
    only the metadata that the course uses remains.
    """
    used: set[str] = set()
    count = 0
    for cell in notebook.cells:
        kept = cell.metadata.get("dlnotes", {})
        if cell.cell_type == "markdown" and "generated" in kept:
            cell.source = _generated(kept["generated"], lesson, store)
        cell.source = cell.source.rstrip()
        cell.id = _cell_id(cell, used)
        metadata = {
            key: cell.metadata[key] for key in ("tags", "dlnotes") if cell.metadata.get(key)
        }
        cell.metadata = nbformat.from_dict(metadata)
        if cell.cell_type == "code":
            count += 1
            cell.execution_count = count
            cell.outputs = _merged_streams(cell.outputs)
            for output in cell.outputs:
                if output.output_type == "execute_result":
                    output.execution_count = count
            _describe_figures(cell)
    notebook.metadata = nbformat.from_dict(
        {"kernelspec": KERNELSPEC, "language_info": {"name": "python"}}
    )
    notebook.nbformat, notebook.nbformat_minor = 4, 5


def _generated(what: str, lesson: Lesson, store: Store) -> str:
    if what == "header":
        return readme.render_header(lesson, store)
    return readme.render_exercise(exercises.find(what.removeprefix("exercise ")))


def _cell_id(cell: Any, used: set[str]) -> str:
    candidate, salt = cell.get("id", ""), 0
    while not re.fullmatch("[0-9a-f]{8}", candidate) or candidate in used:
        candidate = hashlib.sha256(f"{cell.source}{salt}".encode()).hexdigest()[:8]
        salt += 1
    used.add(candidate)
    return candidate


def _merged_streams(outputs: list[Any]) -> list[Any]:
    merged: list[Any] = []
    for output in outputs:
        last = merged[-1] if merged else None
        if (
            output.output_type == "stream"
            and last is not None
            and last.output_type == "stream"
            and last.name == output.name
        ):
            last.text += output.text
        else:
            merged.append(output)
    return merged


def _describe_figures(cell: Any) -> None:
    """Copy the alternative texts to the images, where Jupyter and the HTML export read them."""
    alt = cell.metadata.get("dlnotes", {}).get("alt", [])
    texts = iter([alt] if isinstance(alt, str) else alt)
    for output in cell.outputs:
        if "image/png" in output.get("data", {}):
            text = next(texts, None)
            output.metadata.pop("image/png", None)
            if text is not None:
                output.metadata["image/png"] = {"alt": text}


def write_notebook(notebook: nbformat.NotebookNode, path: Path) -> None:
    """Write a notebook whole or not at all."""
    nbformat.validate(notebook)
    runtime.write_atomically(path, nbformat.writes(notebook) + "\n")


def store(run: LessonRun, root: Path) -> Path:
    """Normalise an executed lesson and write it as the lesson itself.

    Raises:
        ValueError: If the run failed, wrote to stderr, or used a seed offset: stored outputs are
            those that a learner gets.
    """
    if run.error is not None:
        raise ValueError(f"Lesson {run.lesson.id!r} failed in cell {run.error.cell}: not stored")
    if runtime.seed_offset() != 0:
        raise ValueError(
            "Outputs are stored without a seed offset. "
            f"Received: DLNOTES_SEED_OFFSET={runtime.seed_offset()}"
        )
    for cell in run.notebook.cells:
        for output in cell.get("outputs", []):
            if output.output_type == "stream" and output.name == "stderr":
                raise ValueError(
                    f"Lesson {run.lesson.id!r} wrote to stderr: not stored. "
                    f"Received: {output.text[:300]}"
                )
    normalise(run.notebook, run.lesson, load())
    path = root / run.lesson.path
    write_notebook(run.notebook, path)
    return path


_TEMPLATE = """
{%- extends 'lab/index.html.j2' -%}
{%- block html_head_js_requirejs -%}{%- endblock -%}
{%- block html_head_js_mathjax -%}{%- endblock -%}
{%- block html_head_js_mermaidjs -%}{%- endblock -%}
{%- block data_png scoped -%}
<div class="jp-RenderedImage jp-OutputArea-output" tabindex="0">
<img src="data:image/png;base64,{{ output.data['image/png'] | trim }}"
 alt="{{ output.metadata.get('image/png', {}).get('alt', '') | escape_html }}">
</div>
{%- endblock -%}
{%- block footer -%}</html>{%- endblock -%}
"""


def export_html(notebook: nbformat.NotebookNode, path: Path, title: str) -> None:
    """Write a notebook as one HTML file that needs nothing from a network.

    Formulas become MathML, which browsers draw themselves; images are embedded.
    """
    import jinja2
    from nbconvert import HTMLExporter

    page = nbformat.from_dict(notebook)
    page.cells = [nbformat.from_dict(cell) for cell in page.cells]
    formulas: list[str] = []
    for cell in page.cells:
        if cell.cell_type == "markdown":
            cell.source = _set_formulas_aside(cell.source, formulas)
            cell.source = re.sub(r"\]\(([\w./-]+)\.ipynb", r"](\1.html", cell.source)
    exporter = HTMLExporter(
        extra_loaders=[jinja2.DictLoader({"dlnotes.html.j2": _TEMPLATE})],
        template_file="dlnotes.html.j2",
        embed_images=True,
    )
    body, _ = exporter.from_notebook_node(page, resources={"metadata": {"name": title}})
    for number, formula in enumerate(formulas):
        body = body.replace(_PLACE.format(number), formula)
    runtime.write_atomically(path, body)


_FORMULA = re.compile(
    r"(?s)(```.*?```|`[^`\n]*`)|\$\$(.+?)\$\$|(?<![\\$\w])\$(?!\s)([^$\n]+?)(?<!\s)\$(?!\w)"
)


_PLACE = "formula-{}-here"  # nbconvert would close each MathML tag on the spot


def _set_formulas_aside(markdown: str, formulas: list[str]) -> str:
    """Append the MathML of each formula to `formulas`; return the text with places for them."""
    from latex2mathml.converter import convert

    def replace(match: re.Match[str]) -> str:
        code, block, inline = match.groups()
        if code is not None:
            return code
        if block is not None:
            formulas.append(convert(block.strip(), display="block"))
        else:
            formulas.append(convert(inline))
        return _PLACE.format(len(formulas) - 1)

    return _FORMULA.sub(replace, markdown)
