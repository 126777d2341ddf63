"""The bar without Keras: in a terminal, in a pipe, and in a real kernel."""

import io
import time
from types import SimpleNamespace

import nbclient
import nbformat
import pytest
from contracts import check_docstring

from dlnotes.training import LiveBar, track
from dlnotes.training.progress import _duration

LOOP = """
import time
from dlnotes.training import LiveBar, track
print("before")
total = 0
for number in track(range(8), label="adding"):
    time.sleep(0.08)
    total += number
bar = LiveBar(4, label="by hand", delay=0)
bar.update(1, "loss 0.5")
bar.update(2)
bar.close()
print("after", total)
"""


class Terminal(io.StringIO):
    def isatty(self):
        return True


def redirect(monkeypatch, stream):
    # pytest puts its own stderr back between a fixture and its test, so the module's view is set.
    monkeypatch.setattr("dlnotes.training.progress.sys", SimpleNamespace(stderr=stream, modules={}))
    return stream


@pytest.fixture
def terminal(monkeypatch):
    monkeypatch.delenv("DLNOTES_HEADLESS", raising=False)
    monkeypatch.setattr("dlnotes.training.progress.SHOWN_EVERY", 0)
    return redirect(monkeypatch, Terminal())


def test_terminal_bar_shows_share_text_and_time_left_and_then_clears_its_line(terminal):
    bar = LiveBar(4, label="digits", delay=0)
    bar._start = time.perf_counter() - 10  # ten seconds of work for a quarter
    bar.update(1, "loss 0.5")
    frame = terminal.getvalue()
    assert frame == "\rdigits [######------------------] loss 0.5 · 30 s left\033[K"
    bar.close()
    assert terminal.getvalue() == frame + "\r\033[K"
    bar.update(2)
    bar.close()
    assert terminal.getvalue() == frame + "\r\033[K"


def test_bar_of_unknown_length_counts(terminal):
    bar = LiveBar(label="rows", delay=0)
    bar.update(12)
    assert terminal.getvalue() == "\rrows 12 done 0 s so far\033[K"


def test_short_loops_show_nothing_and_frames_are_rationed(terminal, monkeypatch):
    assert list(track(range(3))) == [0, 1, 2]
    assert terminal.getvalue() == ""
    monkeypatch.setattr("dlnotes.training.progress.SHOWN_EVERY", 60)
    bar = LiveBar(100, delay=0)
    for done in range(100):
        bar.update(done)
    assert terminal.getvalue().count("\r") == 1


def test_track_clears_its_bar_after_an_error_and_after_a_break(terminal, monkeypatch):
    monkeypatch.setattr("dlnotes.training.progress.FIRST_SHOWN_AFTER", 0)
    monkeypatch.setattr(LiveBar.__init__, "__kwdefaults__", {"label": "", "delay": 0})
    loop = track(range(5), label="x")
    next(loop)
    assert terminal.getvalue().endswith("so far\033[K")
    loop.close()
    assert terminal.getvalue().endswith("so far\033[K\r\033[K")


def test_headless_and_piped_output_stay_clean(terminal, monkeypatch):
    monkeypatch.setenv("DLNOTES_HEADLESS", "1")
    bar = LiveBar(4, delay=0)
    bar.update(1)
    bar.close()
    assert terminal.getvalue() == ""
    monkeypatch.delenv("DLNOTES_HEADLESS")
    pipe = redirect(monkeypatch, io.StringIO())
    bar = LiveBar(4, delay=0)
    bar.update(1)
    bar.close()
    assert pipe.getvalue() == ""


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "0 s"), (59.6, "1 min 0 s"), (125, "2 min 5 s"), (7300, "2 h 1 min")],
)
def test_durations_read_well(seconds, text):
    assert _duration(seconds) == text


def test_track_yields_everything_and_takes_generators():
    assert list(track(x * x for x in range(4))) == [0, 1, 4, 9]
    assert list(track((x for x in "ab"), total=2)) == ["a", "b"]
    assert list(track([])) == []


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: track(3), TypeError, "`iterable` must be something to loop over. Received: iter"),
        (lambda: track([1], total=-1), ValueError, "`total` must be an integer >= 0"),
        (lambda: track([1], total=1.5), TypeError, "`total` must be an integer"),
        (lambda: track([1], label=3), TypeError, "`label` must be a text"),
        (lambda: LiveBar(0), ValueError, "`total` must be a finite number > 0"),
        (lambda: LiveBar("a"), TypeError, "`total` must be a number"),
        (lambda: LiveBar(1, delay=-1), ValueError, "`delay` must be a finite number >= 0"),
    ],
)
def test_refusals(call, error, match):
    with pytest.raises(error, match=match):
        call()


def execute(source, monkeypatch, *, headless):
    if headless:
        monkeypatch.setenv("DLNOTES_HEADLESS", "1")
    else:
        monkeypatch.delenv("DLNOTES_HEADLESS", raising=False)
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
    nbclient.NotebookClient(notebook, timeout=60, kernel_name="python3").execute()
    nbformat.validate(notebook)
    return notebook.cells[0].outputs


def test_headless_kernel_stores_no_trace(monkeypatch):
    outputs = execute(LOOP, monkeypatch, headless=True)
    assert {output["output_type"] for output in outputs} == {"stream"}
    assert {output["name"] for output in outputs} == {"stdout"}
    assert "".join(output["text"] for output in outputs) == "before\nafter 28\n"


def test_live_kernel_shows_one_display_that_ends_empty(monkeypatch):
    outputs = execute(LOOP, monkeypatch, headless=False)
    displays = [output for output in outputs if output["output_type"] == "display_data"]
    assert len(displays) == 2  # one for each bar, updated in place
    assert all(display["data"] == {} for display in displays)
    text = "".join(output["text"] for output in outputs if output["output_type"] == "stream")
    assert text == "before\nafter 28\n"
    unfinished = LOOP.replace("bar.close()", "")
    shown = execute(unfinished, monkeypatch, headless=False)
    bundle = next(o for o in shown if o["output_type"] == "display_data" and o["data"])["data"]
    assert "<progress" in bundle["text/html"]
    assert "by hand [######" in bundle["text/plain"]


def test_docstrings():
    check_docstring(LiveBar)
    check_docstring(track)
