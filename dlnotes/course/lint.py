"""The rules of a lesson notebook, one small function each.

``python -m dlnotes.course.lint`` checks every lesson; with names, those lessons only. A rule looks
at one `Page` and yields what is wrong: the cell's position (None for the notebook) and a sentence.
"""

import argparse
import ast
import base64
import dataclasses
import functools
import re
import statistics
import struct
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import nbformat

from dlnotes import exercises, runtime
from dlnotes.course import claims, execute, lessons, mirrors, readme, stored
from dlnotes.course.claims import Claim
from dlnotes.course.lessons import Lesson, Store
from dlnotes.exercises import Exercise
from dlnotes.validation import check_path

MIN_CODE_CELLS, MAX_CODE_CELLS = 25, 45
MAX_CODE_LINES = 280
MAX_MEDIAN_LINES = 6
MAX_CELL_LINES = 25
MIN_WORDS_A_LINE, MAX_WORDS_A_LINE = 4, 10
MIN_FIGURES = 3
MIN_ALT_CHARACTERS = 30
MAX_IMAGE_WIDTH = 1000  # pixels: 11 inches at 90 dpi
MAX_FILE_BYTES = 600_000
MAX_IGNORED = 1
MIN_STRICT_SHARE = 0.9
MIN_EXERCISES = 3
MAX_DIGITS = 6

IGNORE = "nbval-ignore-output"
_COMPARED = ("text/plain", "text/latex")  # of what a cell displays, what nbval compares here

Finding = tuple[int | None, str]


@dataclasses.dataclass(frozen=True)
class Problem:
    """What one rule has against a lesson; `cell` counts all cells from 0, None is the notebook."""

    rule: str
    cell: int | None
    message: str

    def __str__(self) -> str:
        """Return the problem as one line for an author."""
        where = "notebook" if self.cell is None else f"cell {self.cell}"
        return f"{where}: {self.message} [{self.rule}]"


@dataclasses.dataclass(frozen=True)
class Page:
    """A lesson's notebook with everything that the rules compare it with.

    Attributes:
        notebook: As nbformat reads it.
        lesson: Its facts.
        store: The store that the lesson belongs to.
        claims: The claims of the whole ledger by id.
        exercises: The lesson's exercises.
        folder: Where the notebook lies; links are relative to it.
        size: The file's size in bytes.
    """

    notebook: Mapping[str, Any]
    lesson: Lesson
    store: Store
    claims: Mapping[str, Claim]
    exercises: tuple[Exercise, ...]
    folder: Path
    size: int

    @property
    def cells(self) -> list[tuple[int, Any]]:
        """All cells with their positions."""
        return list(enumerate(self.notebook["cells"]))

    @property
    def code(self) -> list[tuple[int, Any]]:
        """The code cells with their positions."""
        return [(i, cell) for i, cell in self.cells if cell["cell_type"] == "code"]

    @property
    def prose(self) -> list[tuple[int, Any]]:
        """The Markdown cells with their positions."""
        return [(i, cell) for i, cell in self.cells if cell["cell_type"] == "markdown"]

    @property
    def outputs(self) -> list[tuple[int, Any]]:
        """All stored outputs with the positions of their cells."""
        return [(i, output) for i, cell in self.code for output in cell["outputs"]]

    @property
    def records(self) -> list[tuple[int, dict[str, Any]]]:
        """What `reporting` and `claims` left in the outputs, with the positions of the cells."""
        return [
            (i, record)
            for i, output in self.outputs
            for record in output.get("metadata", {}).get("dlnotes", [])
        ]

    @property
    def calls(self) -> list[tuple[int, str, ast.Call]]:
        """All calls ``a.b(…)`` in the code as ("a.b", call), with the positions of the cells."""
        return [
            (i, ast.unparse(node.func), node)
            for i, cell in self.code
            for node in ast.walk(_tree(cell["source"]) or ast.Module([], []))
            if isinstance(node, ast.Call)
        ]


_LOUD = re.compile(r"(keras|keras_tuner|tensorflow|dlnotes\.(models|layers|tuning))\b")
RULES: dict[str, Callable[[Page], Iterator[Finding]]] = {}


def rule(function: Callable[[Page], Iterator[Finding]]) -> Callable[[Page], Iterator[Finding]]:
    """Register a rule under its function's name."""
    RULES[function.__name__] = function
    return function


def lint(path: str | Path, lesson: Lesson | None = None) -> list[Problem]:
    """Return everything that the rules have against a lesson's notebook.

    Args:
        path: The notebook.
        lesson: Its facts; None looks them up by the file's name.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is no notebook, or no lesson has this name.
    """
    return check_page(read_page(path, lesson))


def read_page(path: str | Path, lesson: Lesson | None = None) -> Page:
    """Read a notebook and what its rules need; arguments and errors as for `lint`."""
    path = check_path("path", path)
    notebook = execute.read_notebook(path)
    store = lessons.load()
    lesson = store.get(path.name) if lesson is None else lesson
    return Page(
        notebook=notebook,
        lesson=lesson,
        store=store,
        claims=claims.load(),
        exercises=exercises.of_lesson(f"{lesson.number:02d}"),
        folder=path.parent,
        size=path.stat().st_size,
    )


def check_page(page: Page) -> list[Problem]:
    """Return the problems of all rules, in the order of the rules."""
    return [
        Problem(name, cell, message)
        for name, function in RULES.items()
        for cell, message in function(page)
    ]


def code_lines(source: str) -> int:
    r"""Return how many lines hold code: not blank, not a comment, not closing brackets alone.

    Example:
        >>> code_lines("# why\nx = (\n    1\n)\n\ny = 2  # two")
        3
    """
    lines = (line.strip() for line in _split(source))
    return sum(not line.startswith("#") and bool(line.strip(")]},: ")) for line in lines)


def words(markdown: str) -> int:
    r"""Return how many words a reader reads; a formula is one word.

    Example:
        >>> words("The line $w \\cdot x + b = 0$ **turns** — once.")
        5
    """
    text = re.sub(r"\$\$.*?\$\$|\$[^$\n]+\$", " formula ", markdown, flags=re.DOTALL)
    text = re.sub(r"\]\([^)]*\)", "]", text)
    return sum(any(c.isalnum() for c in word) for word in text.split())


# === Helpers ===


def _split(source: str) -> list[str]:
    return source.split("\n")


def _tags(cell: Any) -> list[str]:
    return cell["metadata"].get("tags", [])


def _notes(cell: Any) -> Mapping[str, Any]:
    return cell["metadata"].get("dlnotes", {})


@functools.lru_cache(maxsize=512)
def _tree(source: str) -> ast.Module | None:
    try:
        return ast.parse(source)
    except SyntaxError:
        return None


def _compared_text(output: Any) -> str:
    """Return the text of an output that the notebook test compares."""
    if output["output_type"] == "stream":
        return output["text"]
    return "".join(output.get("data", {}).get(kind, "") for kind in _COMPARED)


def _all_text(output: Any) -> str:
    data = output.get("data", {})
    texts = [value for kind, value in data.items() if kind.startswith("text/")]
    return "\n".join([output.get("text", ""), *texts])


def _images(cell: Any) -> list[tuple[str, str]]:
    """Return type and content of each picture that a cell shows."""
    return [
        (kind, value)
        for output in cell["outputs"]
        for kind, value in output.get("data", {}).items()
        if kind.startswith("image/")
    ]


def _headings(page: Page) -> list[tuple[int, int, str]]:
    """Return the position of the cell, the level and the text of each heading."""
    found = []
    for index, cell in page.prose:
        fenced = False
        for line in _split(cell["source"]):
            fenced ^= line.lstrip().startswith("```")
            match = re.match(r"(#{1,6})\s+(.+)", line)
            if match and not fenced:
                found.append((index, len(match[1]), match[2].strip()))
    return found


def _prompts(page: Page) -> list[tuple[int, str, Any]]:
    """Return position, name and cell of each generated exercise prompt."""
    named = [(i, str(_notes(cell).get("generated", "")), cell) for i, cell in page.cells]
    return [(i, name, cell) for i, name, cell in named if name.startswith("exercise ")]


def _called_with(page: Page, function: str) -> list[tuple[int, Any]]:
    """Return position and first argument (None if it is no constant) of a function's calls."""
    return [
        (i, call.args[0].value if call.args and isinstance(call.args[0], ast.Constant) else None)
        for i, name, call in page.calls
        if name == function
    ]


def _once_each(wanted: set[str], found: Counter[str], verb: str) -> Iterator[Finding]:
    for name in sorted(wanted):
        if found[name] != 1:
            yield None, f"{name} must be {verb} once; it is {found[name]} times"
    for name in sorted(set(found) - wanted):
        yield None, f"{name} does not belong to this lesson, but is {verb} in it"


# === The file ===


@rule
def valid_format(page: Page) -> Iterator[Finding]:
    """The file is a valid notebook of format 4.5."""
    version = (page.notebook["nbformat"], page.notebook["nbformat_minor"])
    if version != (4, 5):
        yield None, f"the format must be 4.5, not {version[0]}.{version[1]}"
        return
    for error in nbformat.validator.iter_validate(page.notebook):
        yield None, f"not a valid notebook: {error.message[:200]}"


@rule
def file_size(page: Page) -> Iterator[Finding]:
    """A lesson stays small enough to open at once."""
    if page.size > MAX_FILE_BYTES:
        yield None, f"the file has {page.size:,} bytes; at most {MAX_FILE_BYTES:,} are allowed"


@rule
def notebook_metadata(page: Page) -> Iterator[Finding]:
    """The kernel is python3, and nothing of the author's machine is stored."""
    metadata = page.notebook["metadata"]
    if metadata.get("kernelspec", {}).get("name") != "python3":
        yield None, "the kernelspec must be python3"
    if metadata.get("language_info") != {"name": "python"}:
        yield None, 'language_info must be {"name": "python"}, without versions'
    for key in sorted(set(metadata) - {"kernelspec", "language_info"}):
        yield None, f"unknown notebook metadata {key!r}"


@rule
def cell_ids(page: Page) -> Iterator[Finding]:
    """Cell ids are 8 hexadecimal digits, each once."""
    seen: set[str] = set()
    for index, cell in page.cells:
        name = cell.get("id", "")
        if not re.fullmatch(r"[0-9a-f]{8}", name):
            yield index, f"the cell's id must be 8 lower-case hexadecimal digits, not {name!r}"
        if name in seen:
            yield index, f"the cell's id {name!r} stands twice"
        seen.add(name)


@rule
def cell_metadata(page: Page) -> Iterator[Finding]:
    """Cell metadata holds what this course defines, and nothing else."""
    kinds = {"generated": "markdown", "role": "code", "mirrors": "code", "alt": "code"}
    for index, cell in page.cells:
        for key in sorted(set(cell["metadata"]) - {"dlnotes", "tags"}):
            yield index, f"unknown cell metadata {key!r}"
        for key, value in _notes(cell).items():
            if key not in (*kinds, "reason"):
                yield index, f"unknown metadata dlnotes.{key}"
            elif not _right_type(key, value):
                yield index, f"dlnotes.{key} has the wrong form: {value!r}"
            elif cell["cell_type"] != kinds.get(key, "code"):
                yield index, f"dlnotes.{key} is for {kinds.get(key, 'code')} cells"


def _right_type(key: str, value: Any) -> bool:
    if key == "alt":
        texts = value if isinstance(value, list) else [value]
        return bool(texts) and all(isinstance(text, str) for text in texts)
    if key == "role":
        return value == "setup"
    if key == "generated":
        return isinstance(value, str) and bool(re.fullmatch(r"header|exercise \d\d\.\d+", value))
    return isinstance(value, str) and bool(value.strip())


# === Generated cells and headings ===


@rule
def one_title(page: Page) -> Iterator[Finding]:
    """The lesson has one H1, in its first cell."""
    titles = [(index, text) for index, level, text in _headings(page) if level == 1]
    if not titles:
        yield None, "there is no H1; it belongs to the generated header"
    for index, text in titles:
        if index != 0:
            yield index, f"the only H1 is the generated header's; this is another: {text!r}"
    if len(titles) > 1 and all(index == 0 for index, _ in titles):
        yield 0, "the header holds more than one H1"


@rule
def header_current(page: Page) -> Iterator[Finding]:
    """The first cell is the header that lessons.toml gives."""
    headers = [i for i, cell in page.cells if _notes(cell).get("generated") == "header"]
    if headers != [0]:
        yield None, f"cell 0, and no other, must be the generated header; found in {headers}"
    elif page.cells[0][1]["source"] != readme.render_header(page.lesson, page.store):
        yield 0, "the header is out of date: store the lesson again"


@rule
def exercise_prompts_current(page: Page) -> Iterator[Finding]:
    """Each exercise's prompt stands in the lesson once, word for word."""
    wanted = {f"exercise {e.id}": readme.render_exercise(e) for e in page.exercises}
    found: Counter[str] = Counter()
    for index, name, cell in _prompts(page):
        found[name] += 1
        if name in wanted and cell["source"] != wanted[name]:
            yield index, f"the prompt of {name} is out of date: store the lesson again"
    yield from _once_each(set(wanted), found, "shown")


@rule
def heading_levels(page: Page) -> Iterator[Finding]:
    """Heading levels do not skip."""
    before = 0
    for index, level, text in _headings(page):
        if level > before + 1:
            yield index, f"H{level} {text!r} follows H{before}"
        before = level


@rule
def required_headings(page: Page) -> Iterator[Finding]:
    """A lesson says what can go wrong, and sums up."""
    texts = [text.lower() for _, _, text in _headings(page)]
    for wanted in ("What can go wrong", "Summary"):
        if not any(wanted.lower() in text for text in texts):
            yield None, f"there is no heading {wanted!r}"


@rule
def links(page: Page) -> Iterator[Finding]:
    """Links to files lead somewhere."""
    for index, cell in page.prose:
        text = re.sub(r"```.*?```|`[^`\n]*`", "", cell["source"], flags=re.DOTALL)
        for target in re.findall(r"\]\(\s*<?([^)\s>]+)", text):
            if re.match(r"[a-z][a-z0-9+.-]*:|#", target, flags=re.IGNORECASE):
                continue
            file = unquote(target.partition("#")[0])
            if Path(file).is_absolute() or not (page.folder / file).exists():
                yield index, f"the link leads nowhere: {target}"


# === Code ===


@rule
def plain_python(page: Page) -> Iterator[Finding]:
    """Cells hold Python: no shell commands, no magics, no branches on the environment."""
    for index, cell in page.code:
        if _tree(cell["source"]) is None:
            magic = re.search(r"^\s*[%!].*|^.*\?\s*$", cell["source"], flags=re.MULTILINE)
            what = f"no magics or shell commands: {magic[0].strip()}" if magic else "not Python"
            yield index, f"a cell must be plain Python; {what}"
    for index, name, _ in page.calls:
        if name in ("get_ipython", "IPython.get_ipython", "os.system") or "subprocess." in name:
            yield index, f"a lesson must not call {name}"


@rule
def setup_first(page: Page) -> Iterator[Finding]:
    """The first code cell is the setup cell, and the only one."""
    setups = [i for i, cell in page.code if _notes(cell).get("role") == "setup"]
    first = [i for i, _ in page.code[:1]]
    if setups != first or not setups:
        yield None, f"the first code cell, and no other, has the role setup; found in {setups}"


@rule
def imports_in_setup(page: Page) -> Iterator[Finding]:
    """Every import stands in the setup cell."""
    for index, cell in page.code:
        if _notes(cell).get("role") == "setup":
            continue
        for node in ast.walk(_tree(cell["source"]) or ast.Module([], [])):
            if isinstance(node, ast.Import | ast.ImportFrom):
                yield index, f"this import belongs to the setup cell: {ast.unparse(node)}"


@rule
def tensorflow_starts_quietly(page: Page) -> Iterator[Finding]:
    """What loads TensorFlow is imported under ``with runtime.quiet_start():``."""
    for index, cell in page.code:
        tree = _tree(cell["source"])
        for node in tree.body if tree else []:
            names = [alias.name for alias in getattr(node, "names", [])]
            if isinstance(node, ast.ImportFrom):
                names = [f"{node.module}.{name}" for name in names]
            if isinstance(node, ast.Import | ast.ImportFrom) and any(map(_LOUD.match, names)):
                yield index, f"this import belongs under quiet_start(): {ast.unparse(node)}"


@rule
def code_cell_count(page: Page) -> Iterator[Finding]:
    """A lesson has as many steps as a reader can follow."""
    if not MIN_CODE_CELLS <= len(page.code) <= MAX_CODE_CELLS:
        yield None, f"{len(page.code)} code cells; {MIN_CODE_CELLS} to {MAX_CODE_CELLS} are allowed"


@rule
def code_line_count(page: Page) -> Iterator[Finding]:
    """A lesson has no more code than a reader can read."""
    total = sum(code_lines(cell["source"]) for _, cell in page.code)
    if total > MAX_CODE_LINES:
        yield None, f"{total} lines of code; at most {MAX_CODE_LINES} are allowed"


@rule
def median_cell_length(page: Page) -> Iterator[Finding]:
    """Most cells make one step."""
    median = statistics.median([code_lines(cell["source"]) for _, cell in page.code] or [0])
    if median > MAX_MEDIAN_LINES:
        yield None, f"the median cell has {median:g} lines; at most {MAX_MEDIAN_LINES} are allowed"


@rule
def cell_length(page: Page) -> Iterator[Finding]:
    """Only a cell that shows the package's own code may be long."""
    for index, cell in page.code:
        lines = code_lines(cell["source"])
        if lines > MAX_CELL_LINES and "mirrors" not in _notes(cell):
            yield index, f"{lines} lines of code; at most {MAX_CELL_LINES} are allowed"


@rule
def prose_density(page: Page) -> Iterator[Finding]:
    """There is enough prose to follow the code, and no more; generated cells do not count."""
    lines = sum(code_lines(cell["source"]) for _, cell in page.code)
    read = sum(words(cell["source"]) for _, cell in page.prose if "generated" not in _notes(cell))
    if not MIN_WORDS_A_LINE * lines <= read <= MAX_WORDS_A_LINE * lines:
        yield (
            None,
            f"{read} words for {lines} lines of code; {MIN_WORDS_A_LINE} to {MAX_WORDS_A_LINE} "
            "words a line are allowed",
        )


@rule
def mirrors_current(page: Page) -> Iterator[Finding]:
    """A mirror cell equals the package's code."""
    for index, source, target in mirrors.mirrors_in(page.notebook):
        try:
            difference = mirrors.check_mirror(source, target)
        except ValueError as error:
            difference = str(error)
        if difference is not None:
            yield index, difference


# === Outputs ===


@rule
def execution_counts(page: Page) -> Iterator[Finding]:
    """Every cell was run, from top to bottom in a fresh kernel."""
    for expected, (index, cell) in enumerate(page.code, start=1):
        if cell["execution_count"] != expected:
            yield index, f"the execution count is {cell['execution_count']}, not {expected}"
            return


@rule
def no_errors(page: Page) -> Iterator[Finding]:
    """No cell ends in an error; what goes wrong on purpose is caught and shown."""
    for index, output in page.outputs:
        if output["output_type"] == "error":
            yield index, f"the cell raised {output['ename']}: {output['evalue']}"


@rule
def no_stderr(page: Page) -> Iterator[Finding]:
    """No warning and no log is stored."""
    for index, output in page.outputs:
        if output["output_type"] == "stream" and output["name"] == "stderr":
            yield index, f"the cell wrote to stderr: {output['text'].strip()[:80]}"


def _own_folders() -> Iterator[str]:
    for folder in (Path.home(), runtime.repository_root(), Path(sys.prefix)):
        if folder is not None and len(folder.parts) > 1:
            yield re.escape(folder.as_posix())


_MACHINE = {
    "an absolute path": r"(?<![\w/])/(?:home|root|Users|tmp|var|private|opt|usr|content|mnt)/",
    "a path of this machine": "|".join(_own_folders()),
    "a Windows path": r"\b[A-Za-z]:\\\w",
    "an object's address": r"\b0x[0-9a-fA-F]{6,}",
    "a time stamp": r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d|\b\d\d:\d\d:\d\d\b",
}


@rule
def no_machine_traces(page: Page) -> Iterator[Finding]:
    """Outputs hold no paths, addresses or times of the author's machine."""
    for index, output in page.outputs:
        for what, pattern in _MACHINE.items():
            found = re.search(pattern, _all_text(output))
            if found:
                yield index, f"the output holds {what}: {found[0]}"


@rule
def float_digits(page: Page) -> Iterator[Finding]:
    """Compared text has no more digits than every processor agrees on."""
    for index, output in page.outputs:
        for number in re.findall(r"\d+\.\d+", _compared_text(output)):
            if len(number.replace(".", "").lstrip("0")) > MAX_DIGITS:
                yield index, f"{number} has too many digits: show it through dlnotes.reporting"


@rule
def no_progress_bars(page: Page) -> Iterator[Finding]:
    """No progress bar and no widget is stored: pass verbose=0 to fit, evaluate and predict."""
    for index, output in page.outputs:
        if re.search(r"[\b\r━█]|^Epoch \d+/\d+", output.get("text", ""), flags=re.MULTILINE):
            yield index, "the output holds a progress bar: pass verbose=0"
        if any("widget" in kind for kind in output.get("data", {})):
            yield index, "the output holds a widget, which is dead once it is stored"


@rule
def ignored_cells(page: Page) -> Iterator[Finding]:
    """An output is left uncompared at most once a lesson, and for a stated reason."""
    ignored = [(i, cell) for i, cell in page.code if IGNORE in _tags(cell)]
    if len(ignored) > MAX_IGNORED:
        yield None, f"{len(ignored)} cells have the tag {IGNORE}; {MAX_IGNORED} is allowed"
    for index, cell in ignored:
        if not _notes(cell).get("reason"):
            yield index, f"the tag {IGNORE} needs a reason in the metadata: dlnotes.reason"
    for index, cell in page.code:
        if "reason" in _notes(cell) and IGNORE not in _tags(cell):
            yield index, f"dlnotes.reason without the tag {IGNORE}"


@rule
def nothing_skipped(page: Page) -> Iterator[Finding]:
    """No cell is left out of the tests, and none is marked by a comment."""
    for index, cell in page.code:
        for tag in _tags(cell):
            if tag != IGNORE and re.match(r"nbval|raises-exception", tag):
                yield index, f"the tag {tag} is not used in this course"
        if re.search(r"#\s*(NBVAL_|PYTEST_VALIDATE_)", cell["source"]):
            yield index, f"comments do not steer the tests; the tag {IGNORE} with a reason does"


@rule
def strict_share(page: Page) -> Iterator[Finding]:
    """Nearly all cells with an output have text that is compared."""
    shown, strict = stored.output_cells(page.notebook), stored.strict_cells(page.notebook)
    if strict < MIN_STRICT_SHARE * shown:
        yield (
            None,
            f"{strict} of {shown} cells with output are compared as text; "
            f"{MIN_STRICT_SHARE:.0%} must be",
        )


# === Figures ===


@rule
def figure_count(page: Page) -> Iterator[Finding]:
    """The main things are seen."""
    count = sum(len(_images(cell)) for _, cell in page.code)
    if count < MIN_FIGURES:
        yield None, f"{count} figures; at least {MIN_FIGURES} are wanted"


@rule
def figure_texts(page: Page) -> Iterator[Finding]:
    """Each figure has a text for those who do not see it."""
    for index, cell in page.code:
        alt = _notes(cell).get("alt", [])
        texts = [alt] if isinstance(alt, str) else list(alt)
        count = len(_images(cell))
        if len(texts) != count:
            yield index, f"{count} figures need as many texts in dlnotes.alt; found {len(texts)}"
        for text in texts:
            if len(str(text).strip()) < MIN_ALT_CHARACTERS:
                yield (
                    index,
                    f"say in {MIN_ALT_CHARACTERS} characters or more what is seen: {text!r}",
                )


@rule
def figure_width(page: Page) -> Iterator[Finding]:
    """Figures are PNG and not wider than a page."""
    for index, cell in page.code:
        for kind, value in _images(cell):
            if kind != "image/png":
                yield index, f"figures must be PNG, not {kind}"
            elif (width := _png_width(value)) > MAX_IMAGE_WIDTH:
                yield index, f"the figure is {width} pixels wide; {MAX_IMAGE_WIDTH} are allowed"


def _png_width(encoded: str) -> int:
    return struct.unpack(">I", base64.b64decode(encoded)[16:20])[0]


# === Claims, measurements, exercises ===


@rule
def claims_decided(page: Page) -> Iterator[Finding]:
    """The lesson's code decides each of its claims once, and no other."""
    owned = {claim.id for claim in page.claims.values() if claim.lesson == page.lesson.id}
    calls = _called_with(page, "claims.decide")
    for index, name in calls:
        if not isinstance(name, str):
            yield index, 'the first argument of claims.decide must be written out, as in "C032"'
    found = Counter(name for _, name in calls if isinstance(name, str))
    yield from _once_each(owned, found, "decided")


@rule
def claims_recorded(page: Page) -> Iterator[Finding]:
    """The stored outputs hold each decision once, with the ledger's verdict."""
    owned = {claim.id for claim in page.claims.values() if claim.lesson == page.lesson.id}
    records = [(i, record) for i, record in page.records if record["kind"] == "claim"]
    for index, record in records:
        claim = page.claims.get(record["id"])
        if claim is not None and record["verdict"] != claim.verdict:
            yield (
                index,
                f"{claim.id} is recorded as {record['verdict']!r}, but the ledger says "
                f"{claim.verdict!r}",
            )
    yield from _once_each(owned, Counter(record["id"] for _, record in records), "recorded")


@rule
def claims_summary(page: Page) -> Iterator[Finding]:
    """Notes against measurement closes the lesson: only exercises have code after it."""
    owned = any(claim.lesson == page.lesson.id for claim in page.claims.values())
    calls = _called_with(page, "claims.summary")
    if [name for _, name in calls] != [page.lesson.id] * owned:
        wanted = f'claims.summary("{page.lesson.id}") once' if owned else "no claims.summary"
        yield None, f"the lesson must call {wanted}"
        return
    end = min((index for index, _, _ in _prompts(page)), default=len(page.cells))
    for index, _ in calls:
        if index > end:
            yield index, "claims.summary must stand before the exercises"
        for after, _ in page.code:
            if index < after < end:
                yield after, "this code stands between claims.summary and the exercises"


@rule
def record_names(page: Page) -> Iterator[Finding]:
    """Each measured value has a name of its own."""
    seen: set[str] = set()
    for index, record in page.records:
        if record["kind"] in execute.MEASURED:
            if record["name"] in seen:
                yield index, f"two measured values are called {record['name']!r}"
            seen.add(record["name"])


@rule
def exercises_checked(page: Page) -> Iterator[Finding]:
    """There are enough exercises, and each has a check that waits for the learner."""
    if len(page.exercises) < MIN_EXERCISES:
        yield None, f"{len(page.exercises)} exercises; at least {MIN_EXERCISES} are wanted"
    calls = _called_with(page, "exercises.check")
    found = Counter(str(name) for _, name in calls)
    yield from _once_each({exercise.id for exercise in page.exercises}, found, "checked")
    for index, name in calls:
        shown = "".join(_compared_text(o) for o in page.cells[index][1]["outputs"])
        if f"Exercise {name}: not attempted yet" not in shown:
            yield index, f"the stored output of exercise {name} must say that it is not attempted"


def main(arguments: list[str] | None = None) -> int:
    """Check lessons from the command line; return 1 if a rule has something against one."""
    parser = argparse.ArgumentParser(
        prog="python -m dlnotes.course.lint", description="Check lessons against the rules."
    )
    parser.add_argument("lesson", nargs="*", help="ids or numbers; all lessons if none is given")
    chosen = lessons.load().select(parser.parse_args(arguments).lesson)
    root = runtime.repository_root()
    if root is None:
        parser.error("lessons are checked in a checkout; this dlnotes was installed without one")
    count = 0
    for lesson in chosen:
        for problem in lint(root / lesson.path, lesson):
            print(f"{lesson.path}: {problem}")
            count += 1
    print(f"{len(chosen)} lessons, {len(RULES)} rules, {count} problems")
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main())
