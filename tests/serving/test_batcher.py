"""Micro-batching, without a server: what is computed together is decided by gates, not by luck."""

import threading
import time
from concurrent.futures import CancelledError
from types import SimpleNamespace

import pytest
from contracts import Refusal, check_docstring, check_refusals

from dlnotes.serving import batcher as batcher_module
from dlnotes.serving.batcher import Batcher, BatchSettings, Closed, Overloaded

LONG = 10


class Gate:
    """An engine that waits before each batch until it is let through."""

    def __init__(self):
        self.batches = []
        self.begun = threading.Semaphore(0)
        self._open = threading.Semaphore(0)

    def __call__(self, payloads):
        self.batches.append(list(payloads))
        self.begun.release()
        assert self._open.acquire(timeout=LONG)
        return [10 * payload for payload in payloads]

    def open(self, times=1):
        self._open.release(times)

    def wait(self):
        assert self.begun.acquire(timeout=LONG)


@pytest.fixture
def gate():
    return Gate()


@pytest.fixture
def make(gate):
    made = []

    def build(compute=None, **settings):
        batcher = Batcher(compute or gate, BatchSettings(**{"max_wait": 0} | settings))
        made.append(batcher)
        return batcher

    yield build
    gate.open(1000)
    for batcher in made:
        batcher.close()
        assert not batcher._thread.is_alive()


def test_what_came_while_the_engine_was_busy_is_one_batch(make, gate):
    batcher = make(max_batch_size=3)
    futures = [batcher.submit(0)]
    gate.wait()
    futures += [batcher.submit(i) for i in range(1, 6)]
    assert batcher.waiting == 5
    gate.open(3)
    assert [future.result(LONG) for future in futures] == [0, 10, 20, 30, 40, 50]
    assert gate.batches == [[0], [1, 2, 3], [4, 5]]
    assert batcher.waiting == 0


def test_rows_are_counted_and_nobody_overtakes(make, gate):
    batcher = make(max_batch_size=4, max_queue=100)
    first = batcher.submit(0)
    gate.wait()
    for payload, size in ((1, 3), (2, 2), (3, 1), (4, 4)):
        batcher.submit(payload, size=size)
    gate.open(9)
    first.result(LONG)
    batcher.close()
    assert gate.batches == [[0], [1], [2, 3], [4]]


def test_only_equal_groups_come_together(make, gate):
    batcher = make(max_batch_size=8)
    batcher.submit(0)
    gate.wait()
    for payload, group in ((1, "short"), (2, "long"), (3, "short"), (4, "long")):
        batcher.submit(payload, group=group)
    gate.open(9)
    batcher.close()
    assert gate.batches == [[0], [1, 3], [2, 4]]


def test_an_idle_engine_waits_for_others_but_not_when_the_batch_is_full(make, gate):
    batcher = make(max_batch_size=2, max_wait=LONG)
    gate.open(9)
    begin = time.monotonic()
    futures = [batcher.submit(1), batcher.submit(2)]
    assert [future.result(LONG) for future in futures] == [10, 20]
    assert time.monotonic() - begin < LONG / 2
    assert gate.batches == [[1, 2]]
    batcher = make(max_batch_size=2, max_wait=0.2)
    begin = time.monotonic()
    batcher.submit(3).result(LONG)
    assert 0.2 <= time.monotonic() - begin < LONG / 2


def test_a_full_queue_refuses_and_says_when_to_come_again(make, gate):
    batcher = make(max_batch_size=2, max_queue=3)
    first = batcher.submit(0)
    gate.wait()
    batcher.submit(1, size=2)
    with pytest.raises(Overloaded, match="2 rows wait already") as caught:
        batcher.submit(2, size=2)
    assert caught.value.retry_after >= 1
    batcher.submit(3)
    gate.open(9)
    assert first.result(LONG) == 0
    batcher.close()
    assert gate.batches == [[0], [1], [3]], "what was refused is not computed"


def test_cancelled_requests_are_never_computed(make, gate):
    batcher = make()
    first = batcher.submit(0)
    gate.wait()
    left, stays = batcher.submit(1), batcher.submit(2)
    assert left.cancel()
    assert not first.cancel(), "it is being computed"
    gate.open(9)
    assert stays.result(LONG) == 20
    with pytest.raises(CancelledError):
        left.result(LONG)
    assert gate.batches == [[0], [2]]


def test_requests_that_waited_too_long_are_given_up(make, gate, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(batcher_module, "time", SimpleNamespace(monotonic=lambda: now[0]))
    batcher = make(timeout=0.1)
    first = batcher.submit(0)
    gate.wait()
    late = batcher.submit(1)
    now[0] += 0.2
    gate.open(9)
    assert first.result(LONG) == 0
    with pytest.raises(TimeoutError, match=r"waited longer than 0.1 s"):
        late.result(LONG)
    assert batcher.submit(2).result(LONG) == 20
    assert gate.batches == [[0], [2]]
    assert batcher.waiting == 0


def test_closing_answers_what_was_accepted(make, gate):
    batcher = make(max_wait=LONG)
    first = batcher.submit(0)
    closer = threading.Thread(target=batcher.close)
    closer.start()
    gate.wait()
    with pytest.raises(Closed, match="shutting down"):
        batcher.submit(1)
    gate.open(9)
    closer.join(LONG)
    assert first.result(0) == 0
    batcher.close()


def test_closing_at_once_gives_up_what_waits(make, gate):
    batcher = make()
    first = batcher.submit(0)
    gate.wait()
    second = batcher.submit(1)
    closer = threading.Thread(target=batcher.close, kwargs={"drain": False})
    closer.start()
    with pytest.raises(Closed, match="was shut down"):
        second.result(LONG)
    gate.open(9)
    closer.join(LONG)
    assert first.result(0) == 0
    assert gate.batches == [[0]]


def test_one_that_fails_spoils_nothing_for_the_others(make):
    started = threading.Event()

    def compute(payloads):
        assert started.wait(LONG)
        if 13 in payloads:
            raise ZeroDivisionError("thirteen")
        return payloads

    batcher = make(compute)
    futures = [batcher.submit(i) for i in (11, 12, 13, 14)]
    started.set()
    assert [futures[i].result(LONG) for i in (0, 1, 3)] == [11, 12, 14]
    with pytest.raises(ZeroDivisionError, match="thirteen"):
        futures[2].result(LONG)


def test_it_opens_in_its_own_thread_and_reports():
    threads, batches = [], []
    batcher = Batcher(
        lambda payloads: payloads,
        start=lambda: threads.append(threading.current_thread()),
        on_batch=lambda rows, seconds: batches.append((rows, seconds >= 0)),
    )
    batcher.ready.result(LONG)
    assert threads == [batcher._thread]
    batcher.submit("a", size=3).result(LONG)
    batcher.close()
    assert batches == [(3, True)]


def test_what_cannot_open_takes_nothing():
    def fail():
        raise OSError("no engine")

    batcher = Batcher(lambda payloads: payloads, start=fail)
    with pytest.raises(OSError, match="no engine"):
        batcher.ready.result(LONG)
    with pytest.raises(Closed):
        batcher.submit(1)
    batcher.close()


def test_results_of_another_number_are_an_error_of_these_requests_alone(make):
    batcher = make(lambda payloads: [] if "odd" in payloads else payloads)
    with pytest.raises(RuntimeError, match="1 requests got 0 results"):
        batcher.submit("odd").result(LONG)
    assert batcher.submit("even").result(LONG) == "even"


def test_a_thread_that_fails_takes_nothing_more(gate):
    def fail(rows, seconds):
        raise OSError("no counter")

    batcher = Batcher(gate, BatchSettings(max_wait=0), on_batch=fail)
    first = batcher.submit(1)
    gate.wait()
    second = batcher.submit(2)
    gate.open()
    assert first.result(LONG) == 10
    with pytest.raises(OSError, match="no counter"):
        second.result(LONG)
    with pytest.raises(Closed):
        batcher.submit(3)
    assert str(batcher.failure) == "no counter"
    batcher.close()


def test_many_threads_get_their_own_answers(make):
    batcher = make(lambda payloads: [payload + 1 for payload in payloads], max_queue=1000)
    answers = {}

    def client(number):
        answers[number] = [batcher.submit(1000 * number + i).result(LONG) for i in range(50)]

    clients = [threading.Thread(target=client, args=(number,)) for number in range(8)]
    for thread in clients:
        thread.start()
    for thread in clients:
        thread.join(LONG)
    assert answers == {n: [1000 * n + i + 1 for i in range(50)] for n in range(8)}


def test_wrong_settings_are_refused(make):
    check_refusals(
        BatchSettings,
        [
            Refusal((0,), {}, ValueError, "`max_batch_size` must be an integer >= 1"),
            Refusal((), {"max_wait": -1}, ValueError, "`max_wait` must be a finite number >= 0"),
            Refusal((), {"max_queue": 63}, ValueError, "`max_queue` must be an integer >= 64"),
            Refusal((), {"timeout": 0}, ValueError, "`timeout` must be a finite number > 0"),
        ],
    )
    batcher = make(max_batch_size=2)
    with pytest.raises(ValueError, match=r"`size` must be an integer in \[1, 2\]"):
        batcher.submit(1, size=3)
    check_docstring(Batcher)
    check_docstring(BatchSettings)
