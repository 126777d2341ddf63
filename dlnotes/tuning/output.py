"""What a search writes while it runs, and what it keeps back."""

import contextlib
import logging
import os
import sys
from collections.abc import Iterator
from typing import Any, TextIO

from dlnotes.validation import received


def progress_stream(progress: Any) -> TextIO | None:
    """Return where a search writes its lines: stderr for True, nowhere for False or headless.

    Raises:
        TypeError: If `progress` is neither a bool nor a stream.

    Example:
        >>> progress_stream(False) is None
        True
    """
    if progress is True:
        return None if os.environ.get("DLNOTES_HEADLESS") == "1" else sys.stderr
    if progress is False:
        return None
    if not hasattr(progress, "write"):
        raise TypeError(
            f"`progress` must be True, False or a stream. {received(progress=progress)}"
        )
    return progress


@contextlib.contextmanager
def no_retracing_warnings() -> Iterator[None]:
    """TensorFlow warns that functions are traced again and again: here each is another model's."""
    logger = logging.getLogger("tensorflow")

    def keep(record: logging.LogRecord) -> bool:
        return "retracing" not in record.getMessage()

    logger.addFilter(keep)
    try:
        yield
    finally:
        logger.removeFilter(keep)
