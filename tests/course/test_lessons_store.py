"""lessons.toml: what is read, and for each mistake an error that names the lesson."""

import re

import pytest

from dlnotes.course import lessons

LESSON = {
    "id": "one",
    "number": 1,
    "part": 1,
    "title": "The first",
    "question": "Is it one?",
    "goals": ["count"],
    "prerequisites": [],
    "datasets": ["iris"],
    "sources": ["a book"],
    "minutes": 30,
    "budget_s": 20,
}
PART = {"number": 1, "title": "Foundations"}


def toml(value):
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value).replace("'", '"')


@pytest.fixture
def load(tmp_path):
    def write_and_load(*entries, head="", parts=(PART,), notebooks=True):
        lines = [head]
        for kind, tables in (("part", parts), ("lesson", entries)):
            for table in tables:
                lines.append(f"[[{kind}]]")
                lines += [f"{key} = {toml(value)}" for key, value in table.items()]
        path = tmp_path / "lessons.toml"
        path.write_text("\n".join(lines), encoding="utf-8")
        if notebooks:
            for entry in entries:
                if isinstance(entry.get("number"), int):
                    name = f"{entry['number']:02d}_{entry.get('id')}.ipynb"
                    (tmp_path / name).touch()
        return lessons.load(path)

    return write_and_load


def two(**changes):
    return LESSON | {"id": "two", "number": 2, "prerequisites": ["one"]} | changes


def test_lessons_are_read_in_the_order_of_their_numbers(load):
    store = load(two(), LESSON, head='repository = "https://github.com/a/b"')
    assert [lesson.id for lesson in store.lessons] == ["one", "two"]
    assert store.repository == "https://github.com/a/b"
    first = store.lessons[0]
    assert first.path == "notebooks/01_one.ipynb"
    assert first.label == "01 The first"
    assert first.part == lessons.Part(1, "Foundations")
    assert first.part.roman == "I"
    assert first.goals == ("count",)


@pytest.mark.parametrize("name", ["two", "2", "02", "02_two", "02_two.ipynb", "x/02_two.ipynb"])
def test_a_lesson_is_found_by_any_of_its_names(load, name):
    assert load(LESSON, two()).get(name).id == "two"


def test_select_keeps_the_order_of_the_course(load):
    store = load(LESSON, two())
    assert [lesson.id for lesson in store.select(["2", "one"])] == ["one", "two"]
    assert [lesson.id for lesson in store.select(["two"])] == ["two"]
    assert store.select() == store.lessons
    with pytest.raises(TypeError, match="`names` must be a list or tuple of texts. .*names='one'"):
        store.select("one")


def test_get_refuses_an_unknown_lesson(load):
    store = load(LESSON, two())
    message = "`lesson` must be one of: 01 one, 02 two. Received: lesson='three'"
    with pytest.raises(ValueError, match=re.escape(message)):
        store.get("three")
    with pytest.raises(TypeError, match=r"`lesson` must be a text\. Received: lesson=3"):
        store.get(3)


def without(key):
    return {name: value for name, value in LESSON.items() if name != key}


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([without("goals")], "Lesson 'one': the key 'goals' is missing"),
        ([without("id")], "Lesson '(without id)': the key 'id' is missing"),
        ([LESSON | {"colour": "red"}], "Lesson 'one': unknown key 'colour'; known: ['budget_s'"),
        ([LESSON | {"title": 3}], "Lesson 'one': `title` must be a text. Received: title=3"),
        ([LESSON | {"question": " "}], "Lesson 'one': `question` must be a text"),
        ([LESSON | {"goals": "count"}], "Lesson 'one': `goals` must be a list of texts"),
        ([LESSON | {"goals": [1]}], "Lesson 'one': `goals` must be a list of texts"),
        ([LESSON | {"minutes": 0}], "Lesson 'one': `minutes` must be a whole number >= 1"),
        (
            [LESSON | {"minutes": 1.5}],
            "`minutes` must be a whole number >= 1. Received: minutes=1.5",
        ),
        ([LESSON | {"number": -1}], "Lesson 'one': `number` must be a whole number >= 0"),
        ([LESSON | {"number": True}], "Lesson 'one': `number` must be a whole number >= 0"),
        ([LESSON | {"id": "One"}], "Lesson 'One': `id` must be a lower-case identifier"),
        ([LESSON | {"id": "a b"}], "Lesson 'a b': `id` must be a lower-case identifier"),
        ([LESSON | {"part": 4}], "Lesson 'one': `part` must be one of [1]. Received: part=4"),
        ([LESSON, two(number=1)], "Lesson 'two': number 1 is already that of lesson 'one'"),
        ([LESSON, two(id="one")], "Lesson 'one': id one is already that of lesson 'one'"),
        ([LESSON, two(prerequisites=["zero"])], "Lesson 'two': unknown prerequisite 'zero'"),
        (
            [LESSON | {"prerequisites": ["two"]}, two(prerequisites=[])],
            "Lesson 'one': prerequisite 'two' comes later in the course",
        ),
        (
            [LESSON | {"prerequisites": ["two"]}, two()],
            "Lesson 'one': its prerequisites form a circle: one → two → one",
        ),
        ([LESSON | {"prerequisites": ["one"]}], "form a circle: one → one"),
    ],
)
def test_a_mistake_is_reported_with_its_lesson(load, entries, message):
    with pytest.raises(lessons.LessonStoreError, match=re.escape(message)):
        load(*entries)


def test_a_missing_notebook_is_reported(load):
    message = "Lesson 'one': its notebook notebooks/01_one.ipynb does not exist"
    with pytest.raises(lessons.LessonStoreError, match=re.escape(message)):
        load(LESSON, notebooks=False)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ([{"number": 8, "title": "x"}], "Part 8: `number` must be a whole number in [1, 7]"),
        ([{"number": 0, "title": "x"}], "Part 0: `number` must be a whole number in [1, 7]"),
        ([PART, PART], "Part 1: `number` must be a whole number in [1, 7], each once"),
        ([{"title": "x"}], "Part (without number): the key 'number' is missing"),
        ([{"number": 1}], "Part 1: the key 'title' is missing"),
        ([{"number": 1, "title": ""}], "Part 1: `title` must be a text. Received: title=''"),
        ([PART | {"colour": 1}], "Part 1: unknown key 'colour'; known: ['number', 'title']"),
    ],
)
def test_a_mistake_in_a_part_is_reported(load, parts, message):
    with pytest.raises(lessons.LessonStoreError, match=re.escape(message)):
        load(LESSON, parts=parts)


@pytest.mark.parametrize(
    ("head", "message"),
    [
        ("repository = 3", "`repository` must be a text. Received: repository=3"),
        ("adress = ''", "the file's top level: unknown key 'adress'"),
        ("repository = ", "lessons.toml is not valid TOML"),
    ],
)
def test_a_mistake_at_the_top_is_reported(load, head, message):
    with pytest.raises(lessons.LessonStoreError, match=re.escape(message)):
        load(LESSON, head=head)


def test_a_missing_store_is_reported(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"lessons\.toml"):
        lessons.load(tmp_path / "lessons.toml")
