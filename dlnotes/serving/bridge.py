"""From the threads of the models to the event loop."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from dlnotes.serving.batcher import Overloaded


class Bridge:
    """Brings results of the models' threads to the event loop: all of a batch in one step.

    `asyncio.wrap_future` wakes the loop once for each. What takes long is done in one thread aside:
    the more threads read large bodies, the more memory stays theirs.

    Args:
        most_bytes: The most bytes of large bodies that are there at once, each until it is read.
    """

    def __init__(self, most_bytes: int) -> None:
        self._free = most_bytes
        self._aside = ThreadPoolExecutor(1, thread_name_prefix="aside")
        self._done: deque[tuple[Future, asyncio.Future]] = deque()
        self._awake = False

    def wait_for(self, future: Future) -> "asyncio.Future[Future]":
        """Return what is done, with the future as its result, when the future is."""
        loop = asyncio.get_running_loop()
        waiter = loop.create_future()

        def bring(done: Future) -> None:
            self._done.append((done, waiter))
            if not self._awake:
                self._awake = True
                with contextlib.suppress(RuntimeError):  # the loop has ended: nobody waits
                    loop.call_soon_threadsafe(self._hand_over)

        future.add_done_callback(bring)
        return waiter

    def hold(self, size: int) -> None:
        """Count bytes of a body; a negative size gives them back.

        Raises:
            Overloaded: If there are too many already.
        """
        if size > self._free:
            raise Overloaded("too many large bodies are being read", 1)
        self._free -= size

    async def aside(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Return what a function returns that would keep the loop from others too long."""
        return await asyncio.get_running_loop().run_in_executor(self._aside, function, *arguments)

    def close(self) -> None:
        """End the thread aside."""
        self._aside.shutdown()

    def _hand_over(self) -> None:
        self._awake = False
        while self._done:
            done, waiter = self._done.popleft()
            if not waiter.done():
                waiter.set_result(done)


class Share:
    """What one large body takes of the memory for all of them, until the end of a block.

    Args:
        bridge: It counts them.
    """

    def __init__(self, bridge: Bridge) -> None:
        self._bridge, self._size = bridge, 0

    def grow(self, size: int) -> None:
        """Take as many bytes altogether.

        Raises:
            Overloaded: If the large bodies together have too many.
        """
        self._bridge.hold(size - self._size)
        self._size = size

    def __enter__(self) -> "Share":
        return self

    def __exit__(self, *_: Any) -> None:
        self._bridge.hold(-self._size)
