"""The look that all figures share, applied without touching matplotlib's global settings."""

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from dlnotes.validation import check_array, check_int, received

# Okabe and Ito's palette first; grey and brown carry it to ten classes.
COLORS = (
    "#0072B2",  # blue
    "#D55E00",  # vermilion
    "#009E73",  # green
    "#CC79A7",  # purple
    "#E69F00",  # orange
    "#56B4E9",  # sky blue
    "#000000",  # black
    "#F0E442",  # yellow
    "#8C8C8C",  # grey
    "#7A4B23",  # brown
)
MARKERS = ("o", "s", "^", "D", "P", "v", "X", "*", "<", ">")
LINE_STYLES = ("-", "--", "-.", ":", (0, (6, 1, 1, 1, 1, 1)))

RC = {
    "figure.dpi": 80,
    "savefig.dpi": 80,
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.labelsize": 10,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "legend.fontsize": 9,
    "legend.frameon": True,
    "legend.framealpha": 0.85,
    "figure.titlesize": 12,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.prop_cycle": mpl.cycler(color=COLORS),
    "figure.constrained_layout.use": True,
    "lines.linewidth": 1.8,
}

Function = TypeVar("Function", bound=Callable[..., Any])


@contextlib.contextmanager
def style() -> Iterator[None]:
    """Draw in the course's style inside the ``with`` block; the settings come back after it.

    Every helper of this package applies it by itself; use it around your own matplotlib calls.

    Example:
        >>> before = mpl.rcParams["font.size"]
        >>> with style():
        ...     mpl.rcParams["axes.spines.top"]
        False
        >>> mpl.rcParams["font.size"] == before
        True
    """
    # Only these settings come back, not all as rc_context would do it: a notebook's backend makes
    # pyplot interactive when the first figure loads it, and must find that unchanged later.
    before = {name: mpl.rcParams[name] for name in RC}
    mpl.rcParams.update(RC)
    try:
        yield
    finally:
        mpl.rcParams.update(before)


def class_colors(n: int) -> tuple[str, ...]:
    """Return `n` colours that readers with any kind of colour vision can tell apart.

    Args:
        n: The number of classes, 1 to 10.

    Raises:
        TypeError: If `n` is not an integer.
        ValueError: If it is out of range.

    Example:
        >>> class_colors(2)
        ('#0072B2', '#D55E00')
    """
    return COLORS[: check_int("n", n, low=1, high=len(COLORS))]


def class_markers(n: int) -> tuple[str, ...]:
    """Return `n` marker shapes, one a class, so that colour is never the only cue.

    Args:
        n: The number of classes, 1 to 10.

    Raises:
        TypeError: If `n` is not an integer.
        ValueError: If it is out of range.

    Example:
        >>> class_markers(3)
        ('o', 's', '^')
    """
    return MARKERS[: check_int("n", n, low=1, high=len(MARKERS))]


def styled(function: Function) -> Function:
    """Run a plot helper inside `style`, leaving matplotlib's settings as they were."""

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        with style():
            return function(*args, **kwargs)

    return wrapper


def axes_or_new(ax: Axes | None, size: tuple[float, float] = (5.0, 3.6)) -> Axes:
    """Return `ax`, or the axes of a new pyplot figure of `size` inches when it is None.

    pyplot knows the new figure, so a notebook shows it once, at the end of the cell.
    """
    if ax is None:
        _, ax = plt.subplots(figsize=size)
        return ax
    if not isinstance(ax, Axes):
        raise TypeError(f"`ax` must be a matplotlib Axes or None. {received(ax=ax)}")
    return ax


def label_axes(ax: Axes, xlabel: str | None, ylabel: str | None) -> None:
    """Label the axes, but not where shared panels hide the ticks: their neighbour carries both."""
    if xlabel and ax.xaxis.get_tick_params().get("labelbottom", True):
        ax.set_xlabel(xlabel)
    if ylabel and ax.yaxis.get_tick_params().get("labelleft", True):
        ax.set_ylabel(ylabel)


def set_title(ax: Axes, title: str | None) -> None:
    """Set the title unless it is None."""
    if title is not None:
        if not isinstance(title, str):
            raise TypeError(f"`title` must be a text or None. {received(title=title)}")
        ax.set_title(title)


def check_texts(name: str, value: Any, length: int | None = None) -> tuple[str, ...] | None:
    """Return a sequence of texts as a tuple (None stays None), of the given length if one is."""
    if value is None:
        return None
    if isinstance(value, str) or not isinstance(value, Sequence | np.ndarray):
        raise TypeError(f"`{name}` must be a sequence of texts. {received(**{name: value})}")
    texts = tuple(str(text) for text in value)
    if length is not None and len(texts) != length:
        raise ValueError(f"`{name}` must hold {length} texts. {received(**{name: list(texts)})}")
    return texts


def check_increasing(name: str, value: Any) -> np.ndarray:
    """Return `value` as a 1-D array of at least two strictly increasing numbers."""
    array = check_array(name, value, ndim=1)
    if len(array) < 2 or not (np.diff(array) > 0).all():
        raise ValueError(
            f"`{name}` must hold at least two increasing numbers. {received(**{name: value})}"
        )
    return array
