"""The lesson store: notebooks/lessons.toml as frozen dataclasses, validated."""

import dataclasses
import functools
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from dlnotes import runtime
from dlnotes.validation import received

_ROMAN = ("I", "II", "III", "IV", "V", "VI", "VII")


class LessonStoreError(ValueError):
    """lessons.toml is wrong; the message names the lesson and what to change."""


@dataclasses.dataclass(frozen=True)
class Part:
    """A part of the course: consecutive lessons on one theme."""

    number: int
    title: str

    @property
    def roman(self) -> str:
        """The part's number as the tables show it."""
        return _ROMAN[self.number - 1]


@dataclasses.dataclass(frozen=True)
class Lesson:
    """One lesson's facts; `path` is relative to the repository's root."""

    id: str
    number: int
    part: Part
    title: str
    question: str
    goals: tuple[str, ...]
    prerequisites: tuple[str, ...]
    datasets: tuple[str, ...]
    sources: tuple[str, ...]
    minutes: int
    budget_s: int

    @property
    def path(self) -> str:
        """The notebook, relative to the repository's root, with forward slashes."""
        return f"notebooks/{self.number:02d}_{self.id}.ipynb"

    @property
    def label(self) -> str:
        """Number and title, as tables show them."""
        return f"{self.number:02d} {self.title}"


@dataclasses.dataclass(frozen=True)
class Store:
    """All lessons in order, and the published project's address (empty until there is one)."""

    lessons: tuple[Lesson, ...]
    repository: str

    def get(self, name: str) -> Lesson:
        """Return the lesson called `name`: its id, its number, or its notebook's file name.

        Raises:
            TypeError: If `name` is not a text.
            ValueError: If there is none; the message lists the lessons.
        """
        if not isinstance(name, str):
            raise TypeError(f"`lesson` must be a text. {received(lesson=name)}")
        key = Path(name).stem if name.endswith(".ipynb") else name
        for lesson in self.lessons:
            if key in (
                lesson.id,
                str(lesson.number),
                f"{lesson.number:02d}",
                Path(lesson.path).stem,
            ):
                return lesson
        known = ", ".join(f"{lesson.number:02d} {lesson.id}" for lesson in self.lessons)
        raise ValueError(f"`lesson` must be one of: {known}. {received(lesson=name)}")

    def select(self, names: Iterable[str] = ()) -> tuple[Lesson, ...]:
        """Return the named lessons in course order, or all of them if no name is given.

        Raises:
            TypeError: If `names` is a single text, or holds something else than texts.
            ValueError: If a name is not a lesson's; the message lists the lessons.
        """
        if isinstance(names, str):  # its letters would be taken for names
            raise TypeError(f"`names` must be a list or tuple of texts. {received(names=names)}")
        chosen = {self.get(name).id for name in names}
        return tuple(lesson for lesson in self.lessons if not chosen or lesson.id in chosen)


_TEXT_KEYS = ("id", "title", "question")
_LIST_KEYS = ("goals", "prerequisites", "datasets", "sources")
_INT_KEYS = ("number", "part", "minutes", "budget_s")


def load(path: Path | None = None) -> Store:
    """Read and validate the lesson store.

    Args:
        path: A lessons.toml; None is the project's own. Notebooks are looked for beside it when
            it lies in a checkout; an installed wheel carries none.

    Raises:
        LessonStoreError: Naming the lesson, if a key is missing, unknown or of the wrong type, a
            number or id stands twice, a prerequisite is unknown, later or circular, a part is
            unknown, or a notebook is missing.
    """
    if path is None:
        return _load_own()
    return _parse(Path(path), require_notebooks=True)


@functools.cache
def _load_own() -> Store:
    return _parse(
        runtime.resource("notebooks/lessons.toml"),
        require_notebooks=runtime.repository_root() is not None,
    )


def _parse(path: Path, *, require_notebooks: bool) -> Store:
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise LessonStoreError(f"{path.name} is not valid TOML: {error}") from error
    _check_keys(raw, {"repository", "part", "lesson"}, "the file's top level")
    repository = raw.get("repository", "")
    if not isinstance(repository, str):
        raise LessonStoreError(f"`repository` must be a text. {received(repository=repository)}")
    parts = _parts(raw.get("part", []))
    lessons = [_lesson(entry, parts) for entry in raw.get("lesson", [])]
    _check_unique(lessons)
    _check_prerequisites(lessons)
    lessons.sort(key=lambda lesson: lesson.number)
    if require_notebooks:
        for lesson in lessons:
            if not (path.parent / Path(lesson.path).name).is_file():
                raise LessonStoreError(
                    f"Lesson {lesson.id!r}: its notebook {lesson.path} does not exist"
                )
    return Store(tuple(lessons), repository)


def _parts(entries: list[dict[str, Any]]) -> dict[int, Part]:
    parts: dict[int, Part] = {}
    for entry in entries:
        where = f"Part {entry.get('number', '(without number)')}"
        _check_keys(entry, {"number", "title"}, where, complete=True)
        number, title = entry["number"], entry["title"]
        if type(number) is not int or not 1 <= number <= len(_ROMAN) or number in parts:
            raise LessonStoreError(
                f"{where}: `number` must be a whole number in [1, {len(_ROMAN)}], each once. "
                f"{received(number=number)}"
            )
        if not isinstance(title, str) or not title.strip():
            raise LessonStoreError(f"{where}: `title` must be a text. {received(title=title)}")
        parts[number] = Part(number, title)
    return parts


def _lesson(entry: dict[str, Any], parts: dict[int, Part]) -> Lesson:
    where = f"Lesson {entry.get('id', '(without id)')!r}"
    _check_keys(entry, {*_TEXT_KEYS, *_LIST_KEYS, *_INT_KEYS}, where, complete=True)
    for key in _TEXT_KEYS:
        if not isinstance(entry[key], str) or not entry[key].strip():
            raise LessonStoreError(
                f"{where}: `{key}` must be a text. {received(**{key: entry[key]})}"
            )
    for key in _LIST_KEYS:
        if not isinstance(entry[key], list) or not all(isinstance(v, str) for v in entry[key]):
            raise LessonStoreError(
                f"{where}: `{key}` must be a list of texts. {received(**{key: entry[key]})}"
            )
    for key in _INT_KEYS:
        low = 0 if key == "number" else 1
        if type(entry[key]) is not int or entry[key] < low:
            raise LessonStoreError(
                f"{where}: `{key}` must be a whole number >= {low}. {received(**{key: entry[key]})}"
            )
    if not entry["id"].isidentifier() or entry["id"] != entry["id"].lower():
        raise LessonStoreError(f"{where}: `id` must be a lower-case identifier")
    if entry["part"] not in parts:
        raise LessonStoreError(
            f"{where}: `part` must be one of {sorted(parts)}. {received(part=entry['part'])}"
        )
    values = {key: tuple(v) if isinstance(v, list) else v for key, v in entry.items()}
    return Lesson(**(values | {"part": parts[entry["part"]]}))


def _check_keys(
    entry: dict[str, Any], known: set[str], where: str, *, complete: bool = False
) -> None:
    unknown, missing = set(entry) - known, known - set(entry) if complete else set()
    if unknown:
        raise LessonStoreError(
            f"{where}: unknown key {sorted(unknown)[0]!r}; known: {sorted(known)}"
        )
    if missing:
        raise LessonStoreError(f"{where}: the key {sorted(missing)[0]!r} is missing")


def _check_unique(lessons: list[Lesson]) -> None:
    for key in ("id", "number"):
        seen: dict[Any, str] = {}
        for lesson in lessons:
            value = getattr(lesson, key)
            if value in seen:
                raise LessonStoreError(
                    f"Lesson {lesson.id!r}: {key} {value} is already that of lesson {seen[value]!r}"
                )
            seen[value] = lesson.id


def _check_prerequisites(lessons: list[Lesson]) -> None:
    by_id = {lesson.id: lesson for lesson in lessons}
    for lesson in lessons:
        for name in lesson.prerequisites:
            if name not in by_id:
                raise LessonStoreError(f"Lesson {lesson.id!r}: unknown prerequisite {name!r}")
    done: set[str] = set()

    def visit(lesson: Lesson, chain: tuple[str, ...]) -> None:
        if lesson.id in chain:
            circle = " → ".join((*chain[chain.index(lesson.id) :], lesson.id))
            raise LessonStoreError(
                f"Lesson {lesson.id!r}: its prerequisites form a circle: {circle}"
            )
        if lesson.id not in done:
            for name in lesson.prerequisites:
                visit(by_id[name], (*chain, lesson.id))
            done.add(lesson.id)

    for lesson in lessons:
        visit(lesson, ())
    for lesson in lessons:
        for name in lesson.prerequisites:
            if by_id[name].number >= lesson.number:
                raise LessonStoreError(
                    f"Lesson {lesson.id!r}: prerequisite {name!r} comes later in the course"
                )
