"""Exercises: not attempted, wrong, failing and right answers; hints and solutions."""

import dataclasses
import inspect
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


def returns_text(*arguments):
    return "many"


@pytest.mark.parametrize("exercise_id", ["01.2", "01.3", "01.4", "02.2", "02.3", "02.4"])
def test_a_forgotten_return_is_named(exercise_id, monkeypatch):
    monkeypatch.undo()
    exercise = base.find(exercise_id)
    names = inspect.signature(exercise.reference).parameters
    namespace = {}
    exec(f"def f({', '.join(names)}):\n    y = 1", namespace)
    assert base.verdict(exercise, namespace["f"]) == (
        False,
        "not yet: your function returned None: did you forget `return`?",
    )


@pytest.mark.parametrize(
    ("exercise_id", "answer", "message"),
    [
        (
            "01.1",
            {"w1": 1},
            "your answer is {'w1': 1} (type dict), which cannot be used; "
            "expected something like a tuple of 3.",
        ),
        (
            "01.4",
            returns_text,
            "your function returned 'many' (type str), which cannot be used; expected a number.",
        ),
        (
            "02.4",
            returns_text,
            "your function returned 'many' (type str), which cannot be used; expected a number.",
        ),
        (
            "02.2",
            lambda x, w, b: [x] * 9 + [None],
            "your function returned [[0.5, -1.0], [0.5, "
            "-1.0], [0.5, -1.0], [0.5, -1.0], [0.5,… (type list), which cannot be used; "
            "expected something like a list of 2.",
        ),
        (
            "01.4",
            lambda x, y, weights, bias: (i for i in x),
            "your function returned <generator "
            "object <lambda>.<locals>.<genexpr>> (type generator), which cannot be used; "
            "expected a number.",
        ),
    ],
)
def test_an_answer_that_the_check_cannot_use_is_not_called_failing_code(
    exercise_id, answer, message, monkeypatch
):
    monkeypatch.undo()
    assert base.verdict(base.find(exercise_id), answer) == (False, "not yet: " + message)


def test_an_error_below_the_learners_function_is_the_learners():
    passed, message = base.verdict(FUNCTION, lambda x: double(**{"y": x}))
    assert not passed
    assert message.startswith("your code raised TypeError: double() got an unexpected")


def test_the_check_has_no_line_of_the_learners_cell():
    namespace = {}
    exec(compile("def f(answer):\n    return float(answer)", "<frozen made>", "exec"), namespace)
    passed, message = base.verdict(dataclasses.replace(VALUE, check=namespace["f"]), {})
    assert not passed
    assert message.startswith("not yet: your answer is {} (type dict), which cannot be used; ")


def test_the_kind_expected_is_that_of_the_same_call(monkeypatch):
    monkeypatch.undo()
    exercise = base.find("02.2")  # called for layers of 2, 3 and 2 outputs
    _, message = base.verdict(
        exercise, lambda x, w, b: exercise.reference(x, w, b) if len(w) == 1 else "many"
    )
    assert message.endswith("expected something like a list of 3.")


def test_a_function_without_a_signature_is_called():
    with pytest.raises(ValueError, match="no signature"):
        inspect.signature(max)
    assert base.verdict(FUNCTION, max) == (
        False,
        "your code raised TypeError: 'int' object is not iterable",
    )


def test_a_function_with_other_arguments_is_told_so():
    assert base.verdict(FUNCTION, lambda x, y: x + y) == (
        False,
        "not yet: your function cannot be called with the arguments of the exercise: "
        "missing a required argument: 'y'.",
    )


def test_a_check_sees_the_learners_function_and_not_a_class_in_disguise():
    seen = []
    exercise = dataclasses.replace(FUNCTION, check=seen.append)
    base.verdict(exercise, returns_zero)
    assert seen[0].__name__ == "returns_zero"
    assert inspect.getsource(seen[0]) == inspect.getsource(returns_zero)
    assert list(inspect.signature(seen[0]).parameters) == ["x"]
    base.verdict(exercise, int)
    assert seen[1] is int


def test_a_check_that_fails_on_its_own_reference_is_not_hidden():
    exercise = dataclasses.replace(FUNCTION, check=lambda answer: answer(1) / 0)
    with pytest.raises(ZeroDivisionError):
        base.verdict(exercise, double)


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
