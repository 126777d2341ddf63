"""What can be wrong with a bundle, a form of a model, or a request; and a missing library."""

import contextlib
from collections.abc import Iterator

MISSING_EXTRA = (
    "{name} is not installed. Install what serving needs with: pip install 'dlnotes[serve]'"
)


class BundleError(ValueError):
    """A bundle cannot be used; the subclasses say why."""


class BundleFormatError(BundleError):
    """It is no bundle, its bundle.json is not as the format says, or of an unknown format."""


class BundleDamaged(BundleError):
    """A file is missing, was added or changed, or the answers are not those of the golden one."""


class UnsafeBundle(BundleError):
    """It holds what could run code or reach outside its folder: pickles, Lambda layers, links."""


class ExportError(ValueError):
    """A model cannot be written in a form, or answers otherwise there than in Keras."""


class RequestError(ValueError):
    """A request cannot be answered.

    Args:
        message: What is wrong, in a sentence.
        field: The place in the request, such as "instances[2].pixels".
    """

    def __init__(self, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


@contextlib.contextmanager
def needs_serve_extra() -> Iterator[None]:
    """Say how to install what is missing, when an import inside fails.

    Raises:
        ModuleNotFoundError: If a library is missing; the message names the extra.

    Example:
        >>> with needs_serve_extra():
        ...     import json
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == "dlnotes":
            raise
        message = MISSING_EXTRA.format(name=error.name.partition(".")[0])
        raise ModuleNotFoundError(message, name=error.name) from None
