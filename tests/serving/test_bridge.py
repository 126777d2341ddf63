import asyncio
from concurrent.futures import Future

import pytest

from dlnotes.serving.batcher import Overloaded
from dlnotes.serving.bridge import Bridge, Share


def test_results_of_a_batch_come_in_one_step_and_in_order():
    async def run():
        loop, bridge = asyncio.get_running_loop(), Bridge(0)
        wakes, real = [], loop.call_soon_threadsafe
        loop.call_soon_threadsafe = lambda *args: (wakes.append(args), real(*args))
        futures = [Future() for _ in range(5)]
        waiters = [bridge.wait_for(future) for future in futures]
        waiters[3].cancel()  # its client left
        for i, future in enumerate(futures):
            future.set_result(i)
        found = [(await waiter).result() for i, waiter in enumerate(waiters) if i != 3]
        assert (found, len(wakes)) == ([0, 1, 2, 4], 1)
        late = Future()
        waiter = bridge.wait_for(late)
        late.set_exception(ValueError("no"))
        assert isinstance((await waiter).exception(), ValueError)
        assert len(wakes) == 2
        assert await bridge.aside(max, 1, 2) == 2
        bridge.close()
        orphan = Future()
        bridge.wait_for(orphan)
        return orphan

    orphan = asyncio.run(run())
    orphan.set_result(1)  # the loop has ended: nobody waits, and nothing breaks


def test_large_bodies_share_the_memory():
    bridge = Bridge(10)
    with Share(bridge) as first:
        first.grow(4)
        first.grow(6)
        with Share(bridge) as second:
            second.grow(4)
            with pytest.raises(Overloaded, match="too many large bodies"):
                second.grow(5)
        with Share(bridge) as third:
            third.grow(4)
    with Share(bridge) as all_of_it:
        all_of_it.grow(10)
    bridge.close()
