"""What is generated from lessons.toml: lesson headers, exercise prompts, the index and tables.

``python -m dlnotes.course.readme`` writes the index and the README's table; with ``--check`` it
only says what is out of date.
"""

import argparse
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from dlnotes import exercises, runtime
from dlnotes.course import claims, lessons
from dlnotes.course.claims import Claim
from dlnotes.course.lessons import Lesson, Store
from dlnotes.exercises import Exercise
from dlnotes.validation import received

BEGIN, END = "<!-- lessons:begin -->", "<!-- lessons:end -->"
_GENERATED = "<!-- Generated from lessons.toml by `python -m dlnotes.course.readme`. -->"


def render_header(lesson: Lesson, store: Store) -> str:
    """Return the Markdown of a lesson's first cell: its facts, and how to run it elsewhere.

    Args:
        lesson: The lesson.
        store: The store it belongs to; names its prerequisites and the published address.

    Raises:
        ValueError: If the store's `repository` is set and is not an address on GitHub.
    """
    lines = [f"# {lesson.number:02d} · {lesson.title}", "", f"**{lesson.question}**", ""]
    lines += ["After this lesson you can", "", *(f"- {goal}" for goal in lesson.goals), ""]
    lines += [
        "| | |",
        "|:--|:--|",
        f"| **Before** | {_prerequisites(lesson, store)} |",
        f"| **Time** | about {lesson.minutes} minutes to study; "
        f"all cells run in under {lesson.budget_s} seconds |",
        f"| **Data** | {', '.join(lesson.datasets) or 'none'} |",
        "",
        "Sources",
        "",
        *(f"- {source}" for source in lesson.sources),
        "",
        *_elsewhere(lesson, store.repository),
    ]
    return "\n".join(lines)


def _prerequisites(lesson: Lesson, store: Store) -> str:
    links = []
    for name in lesson.prerequisites:
        other = store.get(name)
        links.append(f"[{other.label}]({Path(other.path).name})")
    return " · ".join(links) or "no other lesson"


def _elsewhere(lesson: Lesson, repository: str) -> list[str]:
    if not repository:
        return [
            "To run it on Colab or on another machine: `make wheel` in the checkout writes "
            "`dist/dlnotes-….whl`. Upload it beside this notebook, and run "
            "`%pip install dlnotes-*.whl` in a new first cell."
        ]
    owner_and_name = _on_github(repository)
    colab = f"https://colab.research.google.com/github/{owner_and_name}/blob/main/{lesson.path}"
    badge = "https://colab.research.google.com/assets/colab-badge.svg"
    return [
        f"[![Open this lesson in Colab]({badge})]({colab})",
        "",
        f"On Colab, run `%pip install git+https://github.com/{owner_and_name}` "
        "in a new first cell.",
    ]


def _on_github(repository: str) -> str:
    """Return ``owner/name`` of ``https://github.com/owner/name``."""
    address = urlsplit(repository)
    found = re.fullmatch(r"/([\w.-]+/[\w.-]+?)(\.git)?/?", address.path)
    if address.scheme != "https" or address.hostname != "github.com" or not found:
        raise ValueError(
            "`repository` must be empty or look like https://github.com/OWNER/NAME. "
            f"{received(repository=repository)}"
        )
    return found[1]


def render_exercise(exercise: Exercise) -> str:
    """Return the Markdown of an exercise's prompt cell.

    Raises:
        TypeError: If `exercise` is not an `Exercise`.
    """
    if not isinstance(exercise, Exercise):
        raise TypeError(f"`exercise` must be an Exercise. {received(exercise=exercise)}")
    return (
        f"### Exercise {exercise.id} · {exercise.title}\n\n{exercise.prompt.strip()}\n\n"
        f'`exercises.hint("{exercise.id}")` gives a hint, one more each time; '
        f'`exercises.solution("{exercise.id}")` shows an answer and why it is right.'
    )


def render_lesson_table(store: Store, ledger: Mapping[str, Claim] | None = None) -> str:
    """Return the lesson table of the README at the repository's root, with what it adds up to.

    Args:
        store: The lessons.
        ledger: The claims by id; None is the project's own ledger.
    """
    ledger = claims.load() if ledger is None else ledger
    ids = {lesson.id for lesson in store.lessons}
    decided = sum(claim.lesson in ids for claim in ledger.values())
    asked = sum(len(exercises.of_lesson(f"{lesson.number:02d}")) for lesson in store.lessons)
    rows = [
        f"| {lesson.number:02d} | [{lesson.title}]({lesson.path}) | {lesson.question} "
        f"| {lesson.minutes} |"
        for lesson in store.lessons
    ]
    totals = (
        f"{_counted(len(store.lessons), 'lesson')}, {_counted(asked, 'exercise')}; "
        f"{decided} of the notes' {len(ledger)} claims decided by experiment."
    )
    head = ["| | lesson | its question | minutes |", "|--:|:--|:--|--:|"]
    return "\n".join([*head, *rows, "", totals])


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def render_index(store: Store) -> str:
    """Return notebooks/README.md: the lessons part by part, and how to start one."""
    lines = [_GENERATED, "", "# The lessons", ""]
    lines += [
        "Each lesson asks one question and answers it with code that runs. Take them in order, or "
        "start anywhere: the header of a lesson names what it builds on.",
        "",
    ]
    for part in sorted({lesson.part for lesson in store.lessons}, key=lambda part: part.number):
        lines += [f"## Part {part.roman} · {part.title}", ""]
        lines += ["| | lesson | its question | minutes | data |", "|--:|:--|:--|--:|:--|"]
        lines += [
            f"| {lesson.number:02d} | [{lesson.title}]({Path(lesson.path).name}) "
            f"| {lesson.question} | {lesson.minutes} | {', '.join(lesson.datasets) or 'none'} |"
            for lesson in store.lessons
            if lesson.part == part
        ]
        lines.append("")
    first = store.lessons[0].id if store.lessons else "perceptron"
    lines += [
        "## How to start",
        "",
        f"`make study` in the repository's root opens JupyterLab on this page; `make study "
        f"LESSON={first}` opens one lesson. On Windows, after the installation that "
        f"[the project's README](../README.md) describes: `dlnotes study {first}`.",
        "",
        "Run the cells from top to bottom. Change numbers, break things, write your answers into "
        "the exercise cells: `git restore notebooks` brings the lessons back as they were.",
        "",
    ]
    return "\n".join(lines)


def refresh(root: Path | None = None, *, check: bool = False) -> list[Path]:
    """Bring the generated documents up to date: README.md's table and notebooks/README.md.

    Args:
        root: The repository's root; None is the checkout that this package is imported from.
        check: Whether to leave the files alone and only say what would change.

    Returns:
        The files that were (or, with `check`, would be) changed.

    Raises:
        FileNotFoundError: If `root` has no README.md, or there is no checkout.
        ValueError: If README.md does not hold the two markers once each, in order.
    """
    root = runtime.repository_root() if root is None else Path(root)
    if root is None:
        raise FileNotFoundError("`root` must be given: this dlnotes was not started in a checkout")
    store = lessons.load(root / "notebooks" / "lessons.toml")
    ledger = claims.load(root / "notebooks" / "claims.toml")
    page = root / "README.md"
    wanted = {
        page: _between_markers(page, render_lesson_table(store, ledger)),
        root / "notebooks" / "README.md": render_index(store),
    }
    changed = []
    for path, text in wanted.items():
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            changed.append(path)
            if not check:
                runtime.write_atomically(path, text)
    return changed


def _between_markers(path: Path, table: str) -> str:
    text = path.read_text(encoding="utf-8")
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise ValueError(f"{path.name} must hold {BEGIN} and {END} once each, in this order")
    head, _, rest = text.partition(BEGIN)
    return f"{head}{BEGIN}\n{table}\n{END}{rest.partition(END)[2]}"


def main(arguments: list[str] | None = None) -> int:
    """Refresh or check the generated documents of this checkout; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m dlnotes.course.readme", description=__doc__)
    parser.add_argument("--check", action="store_true", help="only say what is out of date")
    check = parser.parse_args(arguments).check
    changed = refresh(check=check)
    for path in changed:
        print(f"{'out of date' if check else 'written'}: {path}")
    return 1 if check and changed else 0


if __name__ == "__main__":
    sys.exit(main())
