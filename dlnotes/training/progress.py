"""A live bar for long loops that leaves nothing behind, neither in a notebook nor in a terminal."""

import html
import os
import sys
import time
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

from dlnotes.validation import check_float, check_int, received

Item = TypeVar("Item")

BAR_WIDTH = 24  # characters, in a terminal
FIRST_SHOWN_AFTER = 0.3  # seconds; a loop that ends sooner shows nothing
SHOWN_EVERY = 0.1  # seconds


class LiveBar:
    """One line with label, bar, text and estimated time left, redrawn in place.

    It appears in a notebook or in a terminal, and nowhere else: output to a file or a pipe stays
    clean. DLNOTES_HEADLESS=1 keeps it silent, as stored notebooks and their tests need.

    Args:
        total: The amount of work that `update` counts towards, > 0; None when it is unknown.
        label: What is running.
        delay: Seconds before the bar first appears, >= 0.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If `total` or `delay` is out of range.

    Example:
        >>> bar = LiveBar(10, label="training")
        >>> bar.update(3, "loss 0.25")
        >>> bar.close()
    """

    def __init__(
        self, total: float | None = None, *, label: str = "", delay: float = FIRST_SHOWN_AFTER
    ) -> None:
        self.total = None if total is None else check_float("total", total, low=0, open_low=True)
        if not isinstance(label, str):
            raise TypeError(f"`label` must be a text. {received(label=label)}")
        self.label = label
        self._start = time.perf_counter()
        self._next_shown = self._start + check_float("delay", delay, low=0)
        self._surface = _surface()
        self._handle: Any = None
        self._written = False

    def update(self, done: float, text: str = "") -> None:
        """Say that `done` of the total is finished; `text` follows the bar, such as the loss."""
        now = time.perf_counter()
        if self._surface is None or now < self._next_shown:
            return
        self._next_shown = now + SHOWN_EVERY
        note = " · ".join(part for part in (text, self._time_note(done, now)) if part)
        if self._surface == "terminal":
            # \033[K clears what a longer line left behind.
            sys.stderr.write(f"\r{self.label} {self._drawn_bar(done)} {note}\033[K")
            sys.stderr.flush()
            self._written = True
            return
        bundle = {
            "text/plain": f"{self.label} {self._drawn_bar(done)} {note}",
            "text/html": f"{html.escape(self.label)} {self._html_bar(done)} {html.escape(note)}",
        }
        if self._handle is None:
            from IPython.display import DisplayHandle

            self._handle = DisplayHandle()
            self._handle.display(bundle, raw=True)
        else:
            self._handle.update(bundle, raw=True)

    def close(self) -> None:
        """Clear the bar. It can be called twice."""
        if self._handle is not None:
            self._handle.update({}, raw=True)
        if self._written:
            sys.stderr.write("\r\033[K")
            sys.stderr.flush()
        self._handle, self._written, self._surface = None, False, None

    def _share(self, done: float) -> float:
        return min(max(done / self.total, 0.0), 1.0) if self.total else 0.0

    def _drawn_bar(self, done: float) -> str:
        filled = round(BAR_WIDTH * self._share(done))
        return f"[{'#' * filled}{'-' * (BAR_WIDTH - filled)}]" if self.total else f"{done:g} done"

    def _html_bar(self, done: float) -> str:
        if not self.total:
            return f"{done:g} done"
        return f'<progress value="{self._share(done):.4f}" max="1"></progress>'

    def _time_note(self, done: float, now: float) -> str:
        elapsed = now - self._start
        share = self._share(done)
        if share == 0:
            return f"{_duration(elapsed)} so far"
        return f"{_duration(elapsed / share - elapsed)} left"


def track(iterable: Iterable[Item], *, total: int | None = None, label: str = "") -> Iterator[Item]:
    """Yield the items of `iterable` and show how far the loop has come.

    Args:
        iterable: What to loop over.
        total: The number of items, >= 0; None asks ``len(iterable)`` and does without if it has
            none.
        label: What is running.

    Raises:
        TypeError: If `iterable` cannot be looped over, or another argument has the wrong type.
        ValueError: If `total` is negative.

    Example:
        >>> sum(track(range(4), label="adding"))
        6
    """
    if not isinstance(iterable, Iterable):
        raise TypeError(f"`iterable` must be something to loop over. {received(iterable=iterable)}")
    if total is None:
        total = len(iterable) if hasattr(iterable, "__len__") else None
    else:
        total = check_int("total", total, low=0)
    return _tracked(iterable, LiveBar(total or None, label=label))


def _tracked(iterable: Iterable[Item], bar: LiveBar) -> Iterator[Item]:
    try:
        for done, item in enumerate(iterable):
            bar.update(done)
            yield item
    finally:  # an error or a break clears the bar too
        bar.close()


def _surface() -> str | None:
    """Return where a bar can be drawn: "notebook", "terminal", or None."""
    if os.environ.get("DLNOTES_HEADLESS") == "1":
        return None
    if "IPython" in sys.modules:
        from IPython import get_ipython

        shell = get_ipython()
        if shell is not None and hasattr(shell, "kernel"):
            return "notebook"
    stream = sys.stderr
    return "terminal" if stream is not None and stream.isatty() else None


def _duration(seconds: float) -> str:
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    minutes, seconds = divmod(seconds, 60)
    return f"{minutes} min {seconds} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
