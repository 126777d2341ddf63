"""Micro-batching: requests that come close together are computed together, in one thread.

A thread and not asyncio: an engine computes for milliseconds without giving way, so it needs a
thread of its own anyhow, and what waits for it there needs no event loop. `Batcher.submit` returns
a `concurrent.futures.Future`, for threads as it is and for asyncio by `asyncio.wrap_future`.
"""

import dataclasses
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from typing import Any

from dlnotes.validation import check_float, check_int

Compute = Callable[[Sequence[Any]], Sequence[Any]]


class Overloaded(RuntimeError):
    """The queue is full.

    Args:
        message: What is full.
        retry_after: After how many seconds it may be worth another try.
    """

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Closed(RuntimeError):
    """The batcher takes nothing more."""


@dataclasses.dataclass(frozen=True)
class BatchSettings:
    """How requests are put together.

    Attributes:
        max_batch_size: The most rows computed at once, and the most of one request, >= 1.
        max_wait: How long the first request of a batch waits for others, in seconds, >= 0. Nobody
            waits while the engine is busy: what came in that time is the next batch.
        max_queue: The most rows that wait, >= `max_batch_size`.
        timeout: After how long a request that was not begun is given up, in seconds, > 0.

    Raises:
        TypeError: If an attribute has the wrong type.
        ValueError: If it is out of range.

    Example:
        >>> BatchSettings(max_batch_size=8).max_queue
        512
    """

    max_batch_size: int = 64
    max_wait: float = 0.002
    max_queue: int = 512
    timeout: float = 10.0

    def __post_init__(self) -> None:
        check_int("max_batch_size", self.max_batch_size, low=1)
        check_float("max_wait", self.max_wait, low=0)
        check_int("max_queue", self.max_queue, low=self.max_batch_size)
        check_float("timeout", self.timeout, low=0, open_low=True)


@dataclasses.dataclass
class _Item:
    payload: Any
    size: int
    group: Hashable
    arrived: float
    future: Future


class Batcher:
    """Collects requests into batches, and computes them one after the other in its thread.

    Args:
        compute: From the payloads of a batch to their results, one each, in the same order.
        settings: How they are put together.
        start: Called in the thread before anything else, to open what `compute` needs.
        on_batch: Called after each batch with its rows and the seconds that it took.

    Attributes:
        ready: A future that is done when `start` was.
        failure: What ended the thread before its time, or None.

    Example:
        >>> batcher = Batcher(lambda numbers: [2 * n for n in numbers])
        >>> batcher.submit(21).result(timeout=10)
        42
        >>> batcher.close()
    """

    def __init__(
        self,
        compute: Compute,
        settings: BatchSettings | None = None,
        *,
        start: Callable[[], Any] = lambda: None,
        on_batch: Callable[[int, float], Any] = lambda rows, seconds: None,
    ) -> None:
        self.settings = settings or BatchSettings()
        self.ready: Future = Future()
        self.failure: Exception | None = None
        self._compute, self._start, self._on_batch = compute, start, on_batch
        self._queue: deque[_Item] = deque()
        self._waiting = 0
        self._seconds_a_row = 0.0
        self._changed = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._work, name="batcher", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """How many rows wait."""
        return self._waiting

    def submit(self, payload: Any, *, size: int = 1, group: Hashable = None) -> Future:
        """Put a request into the queue.

        A future that is cancelled before its batch begins is never computed.

        Args:
            payload: What `compute` gets.
            size: How many rows it has, in [1, `max_batch_size`].
            group: Requests are computed together only with those of an equal group, such as the
                shape of their rows.

        Returns:
            The result to come. It raises TimeoutError if the request waited too long, Closed if
            it was not begun before the end, or what `compute` raised.

        Raises:
            ValueError: If the size is out of range.
            Overloaded: If the queue is full.
            Closed: If the batcher is closed.
        """
        size = check_int("size", size, low=1, high=self.settings.max_batch_size)
        item = _Item(payload, size, group, time.monotonic(), Future())
        with self._changed:
            if self._closing:
                raise Closed("the service is shutting down")
            if self._waiting + size > self.settings.max_queue:
                raise Overloaded(f"{self._waiting} rows wait already", self._retry_after())
            self._queue.append(item)
            self._waiting += size
            # the thread is woken for the first, and when a batch may be full: not for each
            if len(self._queue) == 1 or self._waiting >= self.settings.max_batch_size:
                self._changed.notify()
        return item.future

    def close(self, *, drain: bool = True) -> None:
        """Take nothing more, and end the thread.

        Args:
            drain: Whether what waits is still computed; otherwise it is given up with Closed.
        """
        with self._changed:
            self._closing = True
            if not drain:
                self._give_up(Closed("the service was shut down"))
            self._changed.notify()
        self._thread.join()

    def _retry_after(self) -> int:
        return max(1, math.ceil(self._waiting * self._seconds_a_row))

    def _work(self) -> None:
        self.ready.set_running_or_notify_cancel()
        try:
            self._start()
        except Exception as error:
            self._fail(error)
            self.ready.set_exception(error)
            return
        self.ready.set_result(None)
        try:
            while batch := self._next_batch():
                self._run(batch)
        except Exception as error:  # of `on_batch`: not of the requests, which are answered
            self._fail(error)

    def _next_batch(self) -> list[_Item]:
        """Wait for requests, and return those of the next batch; an empty list is the end."""
        idle_since = time.monotonic()
        with self._changed:
            while True:
                self._drop_late()
                if self._queue:
                    first = self._queue[0]
                    left = first.arrived + self.settings.max_wait - time.monotonic()
                    came_while_busy = first.arrived < idle_since
                    full = self._is_full(first.group)
                    if left > 0 and not (came_while_busy or full or self._closing):
                        self._changed.wait(left)
                    elif batch := self._take(first.group):
                        return batch
                elif self._closing:
                    return []
                else:
                    self._changed.wait()

    def _is_full(self, group: Hashable) -> bool:
        rows = sum(item.size for item in self._queue if item.group == group)
        return rows >= self.settings.max_batch_size

    def _take(self, group: Hashable) -> list[_Item]:
        """Remove and return the first requests of a group, as many as fit; the cancelled go."""
        batch, rest, rows, full = [], deque(), 0, False
        for item in self._queue:
            fits = item.group == group and rows + item.size <= self.settings.max_batch_size
            full |= item.group == group and not fits  # nobody overtakes one of the same group
            if not fits or full:
                rest.append(item)
                continue
            self._waiting -= item.size
            if item.future.set_running_or_notify_cancel():
                batch.append(item)
                rows += item.size
        self._queue = rest
        return batch

    def _drop_late(self) -> None:
        """Give up the requests that waited too long; they are the first in the queue."""
        end = time.monotonic() - self.settings.timeout
        while self._queue and self._queue[0].arrived < end:
            item = self._queue.popleft()
            self._waiting -= item.size
            if item.future.set_running_or_notify_cancel():
                item.future.set_exception(
                    TimeoutError(f"the request waited longer than {self.settings.timeout:g} s")
                )

    def _give_up(self, error: BaseException) -> None:
        for item in self._queue:
            if item.future.set_running_or_notify_cancel():
                item.future.set_exception(error)
        self._queue.clear()
        self._waiting = 0

    def _fail(self, error: Exception) -> None:
        with self._changed:
            self.failure = error
            self._closing = True
            self._give_up(error)

    def _run(self, batch: list[_Item]) -> None:
        begin = time.monotonic()
        try:
            results = self._compute([item.payload for item in batch])
            if len(results) != len(batch):
                raise RuntimeError(f"{len(batch)} requests got {len(results)} results")
        except Exception as error:
            if len(batch) == 1:
                batch[0].future.set_exception(error)
                return
            for item in batch:  # one may have spoiled it for the others
                self._run([item])
            return
        seconds = time.monotonic() - begin
        rows = sum(item.size for item in batch)
        self._seconds_a_row += 0.2 * (seconds / rows - self._seconds_a_row)
        for item, result in zip(batch, results, strict=True):
            item.future.set_result(result)
        self._on_batch(rows, seconds)
