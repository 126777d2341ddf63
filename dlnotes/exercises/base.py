"""Exercises with hints, checks and solutions; the checks are tested on right and wrong answers."""

import dataclasses
import dis
import functools
import importlib
import inspect
import re
import textwrap
import types
from collections.abc import Callable
from typing import Any

from dlnotes.validation import received


class WrongAnswer(Exception):
    """Raised by a check; the message teaches what the answer gets wrong."""


@dataclasses.dataclass(frozen=True)
class Exercise:
    """One exercise of a lesson.

    Attributes:
        id: Lesson number and a running number, such as ``"01.2"``.
        title: A few words.
        prompt: What to write, in Markdown; the lesson shows it word for word.
        hints: From a nudge to nearly the answer.
        check: Called with the learner's answer; raises `WrongAnswer` with a message that teaches,
            or returns None.
        reference: A right answer: a function whose source is shown, or a value. A function must
            return something: None counts as a forgotten ``return``.
        explanation: Why the reference is right.
        wrong: Plausible wrong answers, each with a piece of the message that it must meet.
    """

    id: str
    title: str
    prompt: str
    hints: tuple[str, ...]
    check: Callable[[Any], None]
    reference: Any
    explanation: str
    wrong: tuple[tuple[Any, str], ...]


_hints_shown: dict[str, int] = {}


def find(exercise_id: str) -> Exercise:
    """Return the exercise with this id.

    Raises:
        ValueError: If there is none; the message lists the lesson's exercises.
    """
    if not isinstance(exercise_id, str) or exercise_id.count(".") != 1:
        raise ValueError(
            f'`exercise_id` must look like "01.2": lesson and number. '
            f"{received(exercise_id=exercise_id)}"
        )
    listed = of_lesson(exercise_id.split(".")[0])
    for exercise in listed:
        if exercise.id == exercise_id:
            return exercise
    known = ", ".join(exercise.id for exercise in listed) or "none in this lesson"
    raise ValueError(f"`exercise_id` must be one of: {known}. {received(exercise_id=exercise_id)}")


def of_lesson(number: str) -> tuple[Exercise, ...]:
    """Return a lesson's exercises by its two-digit number; () if it has none."""
    from dlnotes.exercises import MODULES

    if number not in MODULES:
        return ()
    return importlib.import_module(f"dlnotes.exercises.{MODULES[number]}").EXERCISES


def check(exercise_id: str, answer: Any) -> bool:
    """Check an answer and print a message: not attempted yet, what is wrong, or right.

    Returns:
        Whether the answer is right. The message never depends on the machine.
    """
    passed, message = verdict(find(exercise_id), answer)
    print(f"Exercise {exercise_id}: {message}")
    return passed


def verdict(exercise: Exercise, answer: Any) -> tuple[bool, str]:
    """Return whether `answer` is right, and the message for the learner."""
    if not attempted(answer):
        return False, (
            f'not attempted yet. Write your answer above; exercises.hint("{exercise.id}") helps.'
        )
    if callable(exercise.reference) and not callable(answer):
        return False, (
            f"not yet: expected a function, received {type(answer).__name__}. "
            "Give the function itself, without calling it."
        )
    calls = _Calls()
    try:
        exercise.check(_watched(answer, calls))
    except WrongAnswer as error:
        return False, f"not yet: {error}"
    except Exception as error:
        line = _learner_line(error)
        if line or error is calls.error:  # the learner's own code failed: show where
            return False, f"your code raised {type(error).__name__}: {error}{line}"
        came = (
            f"your function returned {_short(calls.results[-1])}"
            if calls.results
            else f"your answer is {_short(answer)}"
        )
        expected = _expected(exercise, len(calls.results))
        return False, f"not yet: {came}, which cannot be used; expected {expected}."
    return True, "right. " + exercise.explanation


@dataclasses.dataclass
class _Calls:
    """What the calls of a watched function returned, and the error that came out of one."""

    results: list[Any] = dataclasses.field(default_factory=list)
    error: Exception | None = None


def _watched(answer: Any, calls: _Calls) -> Any:
    """Return a function that notes its calls and refuses None; anything else as it is."""
    if not inspect.isroutine(answer):  # classes and models are callable, but checks look into them
        return answer

    @functools.wraps(answer)
    def watched(*args: Any, **kwargs: Any) -> Any:
        _check_takes(answer, args, kwargs)
        try:
            result = answer(*args, **kwargs)
        except Exception as error:
            calls.error = error
            raise
        if result is None:
            raise WrongAnswer("your function returned None: did you forget `return`?")
        calls.results.append(result)
        return result

    return watched


def _check_takes(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    try:
        signature = inspect.signature(function)
    except ValueError:  # some functions written in C tell nothing
        return
    try:
        signature.bind(*args, **kwargs)
    except TypeError as error:
        raise WrongAnswer(
            f"your function cannot be called with the arguments of the exercise: {error}."
        ) from None


def _expected(exercise: Exercise, num_calls: int) -> str:
    calls = _Calls()
    exercise.check(_watched(exercise.reference, calls))
    value = exercise.reference
    if calls.results and num_calls:  # what the reference returned in the same call
        value = calls.results[min(num_calls, len(calls.results)) - 1]
    if isinstance(value, tuple | list):
        return f"something like a {type(value).__name__} of {len(value)}"
    if getattr(value, "shape", None) == () or isinstance(value, int | float):
        return "a number"
    return f"something like the type {type(value).__name__}"


def _short(value: Any) -> str:
    text = re.sub(r" at 0x[0-9a-fA-F]+", "", " ".join(repr(value).split()))
    return f"{text if len(text) <= 60 else text[:59].rstrip() + '…'} (type {type(value).__name__})"


def attempted(answer: Any) -> bool:
    """Return whether there is an answer: not ``...``, None, or a function without code.

    Example:
        >>> def stub(x):
        ...     '''To be written.'''
        ...     ...
        >>> attempted(stub), attempted(...), attempted(lambda x: x + 1)
        (False, False, True)
    """
    if answer is None or answer is ...:
        return False
    if isinstance(answer, types.FunctionType):
        steps = [
            step for step in dis.get_instructions(answer) if step.opname not in ("RESUME", "NOP")
        ]
        trivial = {"LOAD_CONST", "RETURN_VALUE", "RETURN_CONST"}
        constants = [step.argval for step in steps if "CONST" in step.opname]
        if {step.opname for step in steps} <= trivial and all(c in (None, ...) for c in constants):
            return False
        names = {step.argval for step in steps if step.opname.startswith("LOAD_GLOBAL")}
        if names == {"NotImplementedError"} and not answer.__code__.co_nlocals > _arity(answer):
            return False
    return True


def _arity(function: types.FunctionType) -> int:
    code = function.__code__
    stars = bool(code.co_flags & inspect.CO_VARARGS) + bool(code.co_flags & inspect.CO_VARKEYWORDS)
    return code.co_argcount + code.co_kwonlyargcount + stars


def _learner_line(error: BaseException) -> str:
    trace, line = error.__traceback__, ""
    while trace is not None:
        name = trace.tb_frame.f_code.co_filename
        if "ipykernel" in name or name.startswith(("<ipython", "<stdin")):
            line = f" (line {trace.tb_lineno} of your cell)"
        trace = trace.tb_next
    return line


def hint(exercise_id: str) -> None:
    """Print the next hint; after the last one, say where the solution is."""
    exercise = find(exercise_id)
    shown = _hints_shown.get(exercise_id, 0)
    if shown >= len(exercise.hints):
        print(f'No more hints. exercises.solution("{exercise_id}") shows an answer.')
        return
    print(f"Hint {shown + 1} of {len(exercise.hints)}: {exercise.hints[shown]}")
    _hints_shown[exercise_id] = shown + 1


def solution(exercise_id: str) -> None:
    """Print a right answer with the reason why it is right."""
    exercise = find(exercise_id)
    reference = exercise.reference
    text = (
        textwrap.dedent(inspect.getsource(reference)).rstrip()
        if isinstance(reference, types.FunctionType)
        else repr(reference)
    )
    print(f"{text}\n\n{exercise.explanation}")
