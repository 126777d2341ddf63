"""Exercises: not attempted, wrong, failing and right answers; hints and solutions."""

import re

import pytest

from dlnotes import exercises
from dlnotes.exercises import base


def double(x):
    return 2 * x


def check_double(answer):
    if answer(3) != 6:
        raise base.WrongAnswer(f"answer(3) must be 6, it is {answer(3)}.")


FUNCTION = base.Exercise(
    "99.1",
    "Double",
    "Double it.",
    ("Add it.", "x + x"),
    check_double,
    double,
    "Twice is x + x.",
    ((lambda x: x, "it is 3"), (lambda x: x**2, "it is 9")),
)


def check_four(answer):
    if answer != 4:
        raise base.WrongAnswer("count again.")


VALUE = base.Exercise(
    "99.2", "Four", "Count.", ("one", "two"), check_four, 4, "Two and two.", ((3, "a"), (5, "b"))
)


@pytest.fixture(autouse=True)
def made_lesson(monkeypatch):
    listed = {"99": (FUNCTION, VALUE)}
    monkeypatch.setattr(base, "of_lesson", lambda number: listed.get(number, ()))
    monkeypatch.setattr(base, "_hints_shown", {})


def stub(x):
    """To be written."""
    ...


def stub_pass(x):
    pass


def stub_raise(x):
    raise NotImplementedError


def stub_raise_message(x):
    raise NotImplementedError("write me")


def stub_star(*values, **options):
    raise NotImplementedError


@pytest.mark.parametrize(
    "answer",
    [None, ..., stub, stub_pass, stub_raise, stub_raise_message, stub_star, lambda *a: None],
)
def test_a_stub_is_not_attempted(answer, capsys):
    assert base.attempted(answer) is False
    assert base.check("99.1", answer) is False
    assert capsys.readouterr().out == (
        'Exercise 99.1: not attempted yet. Write your answer above; exercises.hint("99.1") helps.\n'
    )


def returns_zero(x):
    return 0


def calls_another(x):
    return double(x)


def raises_with_work(x):
    y = double(x)
    raise NotImplementedError(y)


@pytest.mark.parametrize(
    "answer", [0, "", [], False, returns_zero, calls_another, raises_with_work, int, lambda x: x]
)
def test_anything_else_is_an_attempt(answer):
    assert base.attempted(answer) is True


def test_the_right_answer(capsys):
    assert base.check("99.1", lambda x: x + x) is True
    assert capsys.readouterr().out == "Exercise 99.1: right. Twice is x + x.\n"
    assert base.check("99.2", 4) is True


def test_a_wrong_answer_is_told_why(capsys):
    assert base.check("99.1", lambda x: x) is False
    assert capsys.readouterr().out == "Exercise 99.1: not yet: answer(3) must be 6, it is 3.\n"


def test_a_value_where_a_function_is_wanted():
    assert base.verdict(FUNCTION, 6) == (
        False,
        "not yet: expected a function, received int. Give the function itself, without calling it.",
    )


def test_failing_code_is_shown_with_its_line():
    namespace = {}
    source = "def f(x):\n    y = 1\n    return y / 0"
    exec(compile(source, "<ipython-input>", "exec"), namespace)
    assert base.verdict(FUNCTION, namespace["f"]) == (
        False,
        "your code raised ZeroDivisionError: division by zero (line 3 of your cell)",
    )


def test_hints_come_one_at_a_time_and_end(capsys):
    for _ in range(3):
        base.hint("99.1")
    base.hint("99.2")
    assert capsys.readouterr().out.splitlines() == [
        "Hint 1 of 2: Add it.",
        "Hint 2 of 2: x + x",
        'No more hints. exercises.solution("99.1") shows an answer.',
        "Hint 1 of 2: one",
    ]


def test_the_solution_shows_source_or_value_and_the_reason(capsys):
    base.solution("99.1")
    assert capsys.readouterr().out == "def double(x):\n    return 2 * x\n\nTwice is x + x.\n"
    base.solution("99.2")
    assert capsys.readouterr().out == "4\n\nTwo and two.\n"


@pytest.mark.parametrize("function", [base.find, base.hint, base.solution])
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("99.3", "`exercise_id` must be one of: 99.1, 99.2. Received: exercise_id='99.3'"),
        ("98.1", "`exercise_id` must be one of: none in this lesson. Received: exercise_id='98.1'"),
        ("perceptron", '`exercise_id` must look like "01.2": lesson and number.'),
        (99.1, "Received: exercise_id=99.1"),
        (None, "Received: exercise_id=None"),
    ],
)
def test_an_unknown_exercise_is_refused(function, name, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        function(name)


def test_check_refuses_an_unknown_exercise():
    with pytest.raises(ValueError, match=re.escape("must be one of: 99.1, 99.2.")):
        base.check("99.9", 1)


def test_the_package_offers_what_a_lesson_calls():
    assert exercises.check is base.check
    assert exercises.hint is base.hint
    assert exercises.solution is base.solution


def test_lessons_without_a_module_have_no_exercises(monkeypatch):
    monkeypatch.undo()
    assert base.of_lesson("98") == ()
    assert base.of_lesson(1) == ()
