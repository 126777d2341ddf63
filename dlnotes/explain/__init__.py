"""What a trained image classifier looks at, what it waits for, and what fools it.

Everything here asks one thing of a model: how a number inside it changes when a pixel changes.
What needs Keras is loaded when it is first asked for.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dlnotes.explain.ascent import maximize_activation
    from dlnotes.explain.attacks import fgsm, pgd, sign_noise
    from dlnotes.explain.attribution import (
        completeness_gap,
        grad_cam,
        integrated_gradients,
        saliency,
    )
    from dlnotes.explain.gradients import layer_gradient, loss_gradient, score_gradient
    from dlnotes.explain.scores import ImageClassifier

__all__ = [
    "ImageClassifier",
    "completeness_gap",
    "fgsm",
    "grad_cam",
    "integrated_gradients",
    "layer_gradient",
    "loss_gradient",
    "maximize_activation",
    "pgd",
    "saliency",
    "score_gradient",
    "sign_noise",
]

WITH_KERAS = {
    "ascent": ("maximize_activation",),
    "attacks": ("fgsm", "pgd", "sign_noise"),
    "attribution": ("completeness_gap", "grad_cam", "integrated_gradients", "saliency"),
    "gradients": ("layer_gradient", "loss_gradient", "score_gradient"),
    "scores": ("ImageClassifier",),
}


def __getattr__(name: str) -> Any:
    for module, names in WITH_KERAS.items():
        if name in names:
            return getattr(importlib.import_module(f"dlnotes.explain.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
