"""The lessons' exercises: `check` an answer, ask for a `hint`, read the `solution`."""

from dlnotes.exercises.base import Exercise, WrongAnswer, check, find, hint, of_lesson, solution

# lesson number → module
MODULES = {
    "01": "perceptron",
    "02": "multilayer_perceptron",
}

__all__ = ["Exercise", "WrongAnswer", "check", "find", "hint", "of_lesson", "solution"]
