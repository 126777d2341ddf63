"""What `dlnotes run` shows: a live line on a terminal, one plain line a lesson elsewhere."""

import contextlib
from collections.abc import Callable, Iterator, Sequence

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from dlnotes.course.execute import CellError, CellEvent, LessonRun
from dlnotes.course.lessons import Lesson


class TimeLeft:
    """Estimates how long a lesson still takes.

    Args:
        budget_s: The lesson's budget, the estimate for a lesson that was never measured.
        expected: Seconds of each cell in an earlier run, or None.
    """

    def __init__(self, budget_s: float, expected: Sequence[float] | None) -> None:
        self.budget_s = budget_s
        self.expected = expected
        self._index = -1
        self._started = 0.0

    def before_start(self) -> float:
        """Return the seconds that the whole lesson is expected to take."""
        return float(sum(self.expected) if self.expected else self.budget_s)

    def update(self, event: CellEvent) -> float:
        """Return the seconds left, as far as they can be told at this moment."""
        if event.index != self._index:
            self._index, self._started = event.index, event.seconds
        if self.expected is None or len(self.expected) != event.total:  # new, or edited since
            return self.budget_s * (1 - event.index / event.total)
        done = sum(self.expected[: event.index])
        # early cells are too short to tell how fast this machine is today
        speed = min(max(self._started / done, 0.25), 4.0) if done > 5 else 1.0
        current = self.expected[event.index] * speed - (event.seconds - self._started)
        return max(current, 0.0) + speed * sum(self.expected[event.index + 1 :])


def clock(seconds: float) -> str:
    """Return seconds as minutes and seconds.

    Example:
        >>> clock(75.4)
        '1:15'
    """
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"


class RunDisplay:
    """Shows the progress of several lessons.

    Args:
        console: Where to show it; a live line if it is a terminal.
        lessons: All lessons of this run, in order.
        expected: Seconds of each cell of a lesson in an earlier run, or None.
    """

    def __init__(
        self,
        console: Console,
        lessons: Sequence[Lesson],
        expected: Callable[[Lesson], Sequence[float] | None],
    ) -> None:
        self._console = console
        self._estimates = {
            lesson.id: TimeLeft(lesson.budget_s, expected(lesson)) for lesson in lessons
        }
        self._order = [lesson.id for lesson in lessons]
        self._live: Live | None = None

    @contextlib.contextmanager
    def live(self) -> Iterator[None]:
        """Keep a line at the bottom of the terminal up to date; elsewhere do nothing."""
        if not self._console.is_terminal:
            yield
            return
        with Live(console=self._console, transient=True, refresh_per_second=4) as self._live:
            yield
        self._live = None

    def listener(self, lesson: Lesson) -> Callable[[CellEvent], None] | None:
        """Return what `run_lesson` is to call while it runs `lesson`."""
        if self._live is None:
            return None
        live, estimate = self._live, self._estimates[lesson.id]
        position = self._order.index(lesson.id)
        later = sum(self._estimates[name].before_start() for name in self._order[position + 1 :])
        number = f"lesson {position + 1} of {len(self._order)}"
        live.update(self._line(f"{lesson.label}  starting a kernel …", number, 0, 1))

        def show(event: CellEvent) -> None:
            left = estimate.update(event)
            text = (
                f"{lesson.label}  cell {event.index + 1} of {event.total}  "
                f"{clock(event.seconds)} elapsed, about {clock(left)} left, "
                f"{event.memory_mb:.0f} MB"
            )
            if later:
                number_and_rest = f"{number}, about {clock(left + later)} left for all"
            else:
                number_and_rest = number
            live.update(self._line(text, number_and_rest, event.index, event.total))

        return show

    def _line(self, text: str, number: str, done: int, total: int) -> Table:
        grid = Table.grid()
        grid.add_row(Text(text, overflow="ellipsis", no_wrap=True))
        bar = Table.grid(padding=(0, 2))
        bar.add_row(
            ProgressBar(total=total, completed=done, width=30, complete_style="green"), Text(number)
        )
        grid.add_row(bar)
        return grid

    def finished(self, run: LessonRun) -> None:
        """Print one line for a lesson that ended."""
        result = "passed" if run.error is None else f"failed in cell {run.error.cell}"
        self._console.print(
            f"{escape(run.lesson.label)}: {result} after {run.seconds:.1f} s, "
            f"peak memory {run.peak_memory_mb:.0f} MB",
            style=None if run.error is None else "red",
            highlight=False,
            soft_wrap=True,
        )


def show_error(console: Console, lesson: Lesson, error: CellError) -> None:
    """Print a failing cell: its number, its source, and what went wrong."""
    console.print(f"\n[bold]{escape(lesson.label)}, code cell {error.cell}[/bold]", highlight=False)
    if console.is_terminal:
        source = Syntax(error.source, "python", line_numbers=True, word_wrap=True)
        console.print(Padding(source, (0, 0, 0, 2)))
    else:
        for line in error.source.splitlines():
            console.print(Text(f"    {line}"), soft_wrap=True)
    console.print(Text(f"{error.name}: {error.message}", style="red"), soft_wrap=True)
