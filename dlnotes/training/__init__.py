"""What goes around ``model.fit``: presets, callbacks, schedules, live progress, evaluation.

What needs Keras is loaded when it is first asked for; the rest works without.
"""

from typing import Any

from dlnotes.training.evaluation import (
    BinaryScores,
    MulticlassScores,
    RegressionScores,
    evaluate_binary,
    evaluate_multiclass,
    evaluate_regression,
    row_losses,
    worst_rows,
)
from dlnotes.training.progress import LiveBar, track
from dlnotes.training.schedules import cosine_decay, exponential_decay, step_decay

__all__ = [
    "BinaryScores",
    "LiveBar",
    "LiveProgress",
    "MonitorCheck",
    "MulticlassScores",
    "RegressionScores",
    "compile_for",
    "cosine_decay",
    "evaluate_binary",
    "evaluate_multiclass",
    "evaluate_regression",
    "exponential_decay",
    "row_losses",
    "standard_callbacks",
    "step_decay",
    "track",
    "worst_rows",
]


def __getattr__(name: str) -> Any:
    if name == "LiveProgress":
        from dlnotes.training.callbacks import LiveProgress

        return LiveProgress
    if name == "MonitorCheck":
        from dlnotes.training.callbacks import MonitorCheck

        return MonitorCheck
    if name == "standard_callbacks":
        from dlnotes.training.callbacks import standard_callbacks

        return standard_callbacks
    if name == "compile_for":
        from dlnotes.training.presets import compile_for

        return compile_for
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
