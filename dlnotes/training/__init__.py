"""What goes around ``model.fit``: presets, callbacks, schedules, probes, progress, evaluation.

What needs Keras is loaded when it is first asked for; the rest works without.
"""

import importlib
from typing import TYPE_CHECKING, Any

from dlnotes.training.beam_search import Beams, beam_search
from dlnotes.training.cluster import Place, read_place
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
from dlnotes.training.forecasting import (
    Interval,
    WalkForward,
    conformal_interval,
    find_leaks,
    mase,
    skill,
    step_by_step,
    walk_forward,
)
from dlnotes.training.progress import LiveBar, track
from dlnotes.training.sampling import draw, generate, sharpen

if TYPE_CHECKING:
    from dlnotes.training.blocks import Blocks, KeepBlocks, restart
    from dlnotes.training.callbacks import LiveProgress, MonitorCheck, standard_callbacks
    from dlnotes.training.copies import Copies, fit_copies
    from dlnotes.training.distillation import Distiller, distillation_losses, soft_targets
    from dlnotes.training.distributed import Job, fit_distributed, load_trained, shard
    from dlnotes.training.fine_tuning import (
        Phase,
        adapt_normalization,
        fine_tune,
        freeze_to,
        two_phases,
    )
    from dlnotes.training.lr_finder import RangeTest, find_learning_rate
    from dlnotes.training.pictures import check_pictures
    from dlnotes.training.presets import compile_for
    from dlnotes.training.probes import ActivationProbe, GradientProbe
    from dlnotes.training.recurrent import RecurrentRuns, fit_recurrent
    from dlnotes.training.scheduled_sampling import ScheduledSampling
    from dlnotes.training.schedules import (
        ExponentialDecay,
        OneCycle,
        PiecewiseConstantDecay,
        WarmupCosineDecay,
    )
    from dlnotes.training.steps import (
        language_model_step,
        recomputed_step,
        seq2seq_step,
        transformer_step,
    )
    from dlnotes.training.tasks import Task, TaskFits, fit_tasks
    from dlnotes.training.timing import StepCost, step_costs, time_all_reduce
    from dlnotes.training.translation import exact_match, translate
    from dlnotes.training.versions import Versions, fit_versions
    from dlnotes.training.workers import fit_in_cluster, fit_on_workers

__all__ = [
    "ActivationProbe",
    "Beams",
    "BinaryScores",
    "Blocks",
    "Copies",
    "Distiller",
    "ExponentialDecay",
    "GradientProbe",
    "Interval",
    "Job",
    "KeepBlocks",
    "LiveBar",
    "LiveProgress",
    "MonitorCheck",
    "MulticlassScores",
    "OneCycle",
    "Phase",
    "PiecewiseConstantDecay",
    "Place",
    "RangeTest",
    "RecurrentRuns",
    "RegressionScores",
    "ScheduledSampling",
    "StepCost",
    "Task",
    "TaskFits",
    "Versions",
    "WalkForward",
    "WarmupCosineDecay",
    "adapt_normalization",
    "beam_search",
    "check_pictures",
    "compile_for",
    "conformal_interval",
    "distillation_losses",
    "draw",
    "evaluate_binary",
    "evaluate_multiclass",
    "evaluate_regression",
    "exact_match",
    "find_leaks",
    "find_learning_rate",
    "fine_tune",
    "fit_copies",
    "fit_distributed",
    "fit_in_cluster",
    "fit_on_workers",
    "fit_recurrent",
    "fit_tasks",
    "fit_versions",
    "freeze_to",
    "generate",
    "language_model_step",
    "load_trained",
    "mase",
    "read_place",
    "recomputed_step",
    "restart",
    "row_losses",
    "seq2seq_step",
    "shard",
    "sharpen",
    "skill",
    "soft_targets",
    "standard_callbacks",
    "step_by_step",
    "step_costs",
    "time_all_reduce",
    "track",
    "transformer_step",
    "translate",
    "two_phases",
    "walk_forward",
    "worst_rows",
]

WITH_KERAS = {
    "blocks": ("Blocks", "KeepBlocks", "restart"),
    "callbacks": ("LiveProgress", "MonitorCheck", "standard_callbacks"),
    "copies": ("Copies", "fit_copies"),
    "distillation": ("Distiller", "distillation_losses", "soft_targets"),
    "distributed": ("Job", "fit_distributed", "load_trained", "shard"),
    "fine_tuning": (
        "Phase",
        "adapt_normalization",
        "fine_tune",
        "freeze_to",
        "two_phases",
    ),
    "lr_finder": ("RangeTest", "find_learning_rate"),
    "pictures": ("check_pictures",),
    "presets": ("compile_for",),
    "probes": ("ActivationProbe", "GradientProbe"),
    "recurrent": ("RecurrentRuns", "fit_recurrent"),
    "scheduled_sampling": ("ScheduledSampling",),
    "schedules": ("ExponentialDecay", "OneCycle", "PiecewiseConstantDecay", "WarmupCosineDecay"),
    "steps": ("language_model_step", "recomputed_step", "seq2seq_step", "transformer_step"),
    "tasks": ("Task", "TaskFits", "fit_tasks"),
    "timing": ("StepCost", "step_costs", "time_all_reduce"),
    "translation": ("exact_match", "translate"),
    "versions": ("Versions", "fit_versions"),
    "workers": ("fit_in_cluster", "fit_on_workers"),
}


def __getattr__(name: str) -> Any:
    for module, names in WITH_KERAS.items():
        if name in names:
            return getattr(importlib.import_module(f"dlnotes.training.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
