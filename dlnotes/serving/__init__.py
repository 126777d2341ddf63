"""A model leaves the notebook: bundles that check themselves, and a service that answers for them.

What needs Keras, ONNX Runtime or FastAPI is loaded when it is first asked for.
"""

import importlib
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dlnotes.serving.background import RunningService, start
    from dlnotes.serving.batcher import BatchSettings
    from dlnotes.serving.bundle import Bundle, load_bundle
    from dlnotes.serving.clients import Measured, measure
    from dlnotes.serving.decoding import GreedyDecoding
    from dlnotes.serving.engines import open_engine
    from dlnotes.serving.errors import (
        BundleDamaged,
        BundleError,
        BundleFormatError,
        ExportError,
        RequestError,
        UnsafeBundle,
    )
    from dlnotes.serving.exporting import export
    from dlnotes.serving.predictor import Predictor
    from dlnotes.serving.preprocessing import Bounds, Rescaling, TextCleaning, TextEncoding

# ONNX Runtime would report to its makers, and keep a file in the temporary folder; it reads this
# when it is imported
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

__all__ = [
    "BatchSettings",
    "Bounds",
    "Bundle",
    "BundleDamaged",
    "BundleError",
    "BundleFormatError",
    "ExportError",
    "GreedyDecoding",
    "Measured",
    "Predictor",
    "RequestError",
    "Rescaling",
    "RunningService",
    "TextCleaning",
    "TextEncoding",
    "UnsafeBundle",
    "export",
    "load_bundle",
    "measure",
    "open_engine",
    "start",
]

WHERE = {
    "background": ("RunningService", "start"),
    "batcher": ("BatchSettings",),
    "bundle": ("Bundle", "load_bundle"),
    "clients": ("Measured", "measure"),
    "decoding": ("GreedyDecoding",),
    "engines": ("open_engine",),
    "errors": (
        "BundleDamaged",
        "BundleError",
        "BundleFormatError",
        "ExportError",
        "RequestError",
        "UnsafeBundle",
    ),
    "exporting": ("export",),
    "predictor": ("Predictor",),
    "preprocessing": ("Bounds", "Rescaling", "TextCleaning", "TextEncoding"),
}


def __getattr__(name: str) -> Any:
    for module, names in WHERE.items():
        if name in names:
            return getattr(importlib.import_module(f"dlnotes.serving.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
