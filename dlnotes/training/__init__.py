"""What goes around ``model.fit``: presets, callbacks, schedules, probes, progress, evaluation.

What needs Keras is loaded when it is first asked for; the rest works without.
"""

import importlib
from typing import TYPE_CHECKING, Any

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

if TYPE_CHECKING:
    from dlnotes.training.callbacks import LiveProgress, MonitorCheck, standard_callbacks
    from dlnotes.training.copies import Copies, fit_copies
    from dlnotes.training.lr_finder import RangeTest, find_learning_rate
    from dlnotes.training.presets import compile_for
    from dlnotes.training.probes import ActivationProbe, GradientProbe
    from dlnotes.training.schedules import (
        ExponentialDecay,
        OneCycle,
        PiecewiseConstantDecay,
        WarmupCosineDecay,
    )

__all__ = [
    "ActivationProbe",
    "BinaryScores",
    "Copies",
    "ExponentialDecay",
    "GradientProbe",
    "LiveBar",
    "LiveProgress",
    "MonitorCheck",
    "MulticlassScores",
    "OneCycle",
    "PiecewiseConstantDecay",
    "RangeTest",
    "RegressionScores",
    "WarmupCosineDecay",
    "compile_for",
    "evaluate_binary",
    "evaluate_multiclass",
    "evaluate_regression",
    "find_learning_rate",
    "fit_copies",
    "row_losses",
    "standard_callbacks",
    "track",
    "worst_rows",
]

WITH_KERAS = {
    "callbacks": ("LiveProgress", "MonitorCheck", "standard_callbacks"),
    "copies": ("Copies", "fit_copies"),
    "lr_finder": ("RangeTest", "find_learning_rate"),
    "presets": ("compile_for",),
    "probes": ("ActivationProbe", "GradientProbe"),
    "schedules": ("ExponentialDecay", "OneCycle", "PiecewiseConstantDecay", "WarmupCosineDecay"),
}


def __getattr__(name: str) -> Any:
    for module, names in WITH_KERAS.items():
        if name in names:
            return getattr(importlib.import_module(f"dlnotes.training.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
