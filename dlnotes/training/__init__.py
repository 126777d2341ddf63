"""What goes around ``model.fit``: live progress.

`track` and `LiveBar` need no Keras; `LiveProgress` loads it when it is first asked for.
"""

from typing import Any

from dlnotes.training.progress import LiveBar, track

__all__ = ["LiveBar", "LiveProgress", "track"]


def __getattr__(name: str) -> Any:
    if name == "LiveProgress":
        from dlnotes.training.callbacks import LiveProgress

        return LiveProgress
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
