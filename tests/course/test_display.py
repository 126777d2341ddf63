import io

import pytest
from rich.console import Console

from dlnotes.course.display import RunDisplay, TimeLeft, clock, show_error
from dlnotes.course.execute import CellError, CellEvent, LessonRun
from dlnotes.course.lessons import Lesson, Part


def lesson(name="perceptron", number=1):
    return Lesson(
        name, number, Part(1, "One"), "The [bold] lesson", "?", (), (), (), (), 60, budget_s=40
    )


def event(index, seconds, total=4):
    return CellEvent(index, total, seconds, 500.0)


def test_time_left_of_a_lesson_never_measured_follows_its_budget():
    estimate = TimeLeft(40, None)
    assert estimate.before_start() == 40
    assert estimate.update(event(0, 1)) == 40
    assert estimate.update(event(3, 2)) == 10


def test_time_left_follows_the_earlier_run():
    estimate = TimeLeft(40, [1, 2, 3, 4])
    assert estimate.before_start() == 10
    assert estimate.update(event(0, 0)) == 10
    assert estimate.update(event(2, 3)) == 7
    assert estimate.update(event(2, 5)) == 5  # two seconds into the third cell
    assert estimate.update(event(2, 99)) == 4  # longer than expected: never negative
    assert estimate.update(event(3, 100)) == pytest.approx(4 * 4)  # at most four times slower


def test_time_left_adapts_to_a_slower_machine():
    estimate = TimeLeft(40, [10, 10, 10, 10])
    assert estimate.update(event(1, 20)) == 60


def test_time_left_of_an_edited_lesson_follows_its_budget():
    assert TimeLeft(40, [1, 2]).update(event(2, 1)) == 20


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00"), (59.6, "1:00"), (3599, "59:59")])
def test_clock(seconds, text):
    assert clock(seconds) == text


def run_of(name, error=None):
    return LessonRun(lesson(name), None, 12.34, 800.4, [], error, [], [])


ERROR = CellError(3, "a = 1\nb = a / 0", "ZeroDivisionError", "division by zero", "Traceback …")


def test_plain_output_is_one_line_a_lesson():
    text = io.StringIO()
    display = RunDisplay(Console(file=text, width=40), [lesson()], lambda _: None)
    with display.live():
        assert display.listener(lesson()) is None
        display.finished(run_of("perceptron"))
        display.finished(run_of("perceptron", ERROR))
    assert text.getvalue().splitlines() == [
        "01 The [bold] lesson: passed after 12.3 s, peak memory 800 MB",
        "01 The [bold] lesson: failed in cell 3 after 12.3 s, peak memory 800 MB",
    ]


def test_live_line_tells_lesson_cell_times_and_memory():
    text = io.StringIO()
    console = Console(file=text, width=100, force_terminal=True, color_system=None)
    lessons = [lesson(), lesson("xor", 2)]
    display = RunDisplay(console, lessons, lambda _: None)
    with display.live():
        display.listener(lessons[0])(event(1, 65))
        display._live.refresh()
    shown = text.getvalue()
    assert "01 The [bold] lesson  cell 2 of 4  1:05 elapsed, about 0:30 left, 500 MB" in shown
    assert "lesson 1 of 2, about 1:10 left for all" in shown


def test_error_shows_number_source_and_message_without_traceback():
    text = io.StringIO()
    show_error(Console(file=text, width=60), lesson(), ERROR)
    assert text.getvalue().splitlines() == [
        "",
        "01 The [bold] lesson, code cell 3",
        "    a = 1",
        "    b = a / 0",
        "ZeroDivisionError: division by zero",
    ]


def test_error_on_a_terminal_has_line_numbers():
    text = io.StringIO()
    console = Console(file=text, width=60, force_terminal=True, color_system=None)
    show_error(console, lesson(), ERROR)
    assert "1 a = 1" in text.getvalue()
    assert "2 b = a / 0" in text.getvalue()
