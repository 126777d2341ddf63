"""What a step costs: what must be paid once before the first one, and the price of each."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np

from dlnotes.validation import check_float, check_int, received

LINKS = 20  # all-reduces in a chain: the call from Python is paid once for all of them


class StepCost(NamedTuple):
    """The seconds of a training: s steps take ``fee + s * price``.

    Attributes:
        fee: What the first epoch took longer than a later one: tracing and compiling.
        price: A step, later.
    """

    fee: float
    price: float

    def pays_after(self, old: "StepCost", *, least: float = 1.2) -> int | str:
        """Return the number of steps after which this way is no longer behind an old one.

        Args:
            old: Fee and price without it.
            least: How many times the steps a second count as a gain at all, >= 1: measured prices
                differ by noise.

        Returns:
            Whole steps, or "no gain".

        Example:
            >>> StepCost(3.0, 0.25).pays_after(StepCost(1.0, 0.5))
            8
        """
        least = check_float("least", least, low=1)
        if old.price < least * self.price or old.price == self.price:
            return "no gain"
        return math.ceil(max(0.0, self.fee - old.fee) / (old.price - self.price))


def step_costs(
    builds: Mapping[str, Callable[[], keras.Model]],
    data: Any,
    *,
    steps: int,
    laps: int = 3,
    starts: int = 3,
) -> dict[str, StepCost]:
    """Time compiled models against each other, on steps of ``fit``.

    The models take turns, so that a machine which is busy for a while is so for all of them, and
    the fastest of their epochs counts: what other programs take is not the price of a step. The
    end of an epoch is part of it. A fee is the smallest of several models' fees, after a training
    that does not count, in which the process does for the first time what it does only once.

    Args:
        builds: For each name a function that returns a new, compiled model.
        data: A ``tf.data.Dataset`` of batches that never ends, ready in memory.
        steps: Steps of an epoch, >= 1: enough to take some tens of milliseconds, and a multiple of
            each model's ``steps_per_execution``.
        laps: How often each model has its turn, of three epochs, >= 1.
        starts: How many models of each name pay a fee, >= 1.

    Returns:
        For each name fee and price, in seconds.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a number is too small, there is no model, or `steps` is no such multiple.
    """
    if not isinstance(builds, Mapping):
        raise TypeError(f"`builds` must map names to functions. {received(builds=builds)}")
    if not builds:
        raise ValueError(f"`builds` must not be empty. {received(builds=builds)}")
    steps, laps = check_int("steps", steps, low=1), check_int("laps", laps, low=1)
    starts = check_int("starts", starts, low=1)
    models: dict[str, keras.Model] = {}
    first: dict[str, list[float]] = {name: [] for name in builds}
    later: dict[str, list[float]] = {name: [] for name in builds}
    for start in range(starts + 1):
        for name, build in builds.items() if start else list(builds.items())[:1]:
            models[name] = model = build()
            at_once = model.steps_per_execution
            if steps % at_once:
                raise ValueError(
                    f"`steps` must be a multiple of the model's steps_per_execution, {at_once}. "
                    f"{received(steps=steps, name=name)}"
                )
            seconds = _epochs(model, data, steps, 1)
            first[name] += seconds if start else []
    for _ in range(laps):
        for name, model in models.items():
            later[name] += _epochs(model, data, steps, 3)
    fastest = {name: min(seconds) for name, seconds in later.items()}
    return {name: StepCost(min(first[name]) - t, t / steps) for name, t in fastest.items()}


def _epochs(model: keras.Model, data: Any, steps: int, epochs: int) -> list[float]:
    """Train, and return the seconds of each epoch."""
    marks = [time.perf_counter()]
    mark = keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: marks.append(time.perf_counter()))
    model.fit(
        data,
        epochs=epochs,
        steps_per_epoch=steps,
        callbacks=[mark],
        shuffle=False,
        verbose=0,
    )
    return np.diff(marks).tolist()


def time_all_reduce(sizes: Sequence[int], *, repeats: int = 5) -> np.ndarray:
    """Time TensorFlow's own all-reduce under the strategy that is current, in each of its workers.

    What is timed is a chain of all-reduces, each on the last one's result, so that the call from
    Python hardly counts.

    Args:
        sizes: How many 32-bit numbers to sum, >= 1 each.
        repeats: How many chains are timed, >= 1, after one that does not count.

    Returns:
        A row for each size, (sizes, 2): the bytes, and the seconds of an all-reduce of the fastest
        chain.

    Raises:
        TypeError: If a number is no integer.
        ValueError: If one is too small.
        RuntimeError: If the sums are wrong.
    """
    import tensorflow as tf

    repeats = check_int("repeats", repeats, low=1)
    sizes = [check_int("sizes", size, low=1) for size in sizes]
    strategy = tf.distribute.get_strategy()
    count = strategy.num_replicas_in_sync

    def of_replica(values: Any) -> Any:
        context = tf.distribute.get_replica_context()
        for _ in range(LINKS):  # identity: on the replica's device
            values = context.all_reduce("SUM", tf.identity(values)) / count
        return values

    add = tf.function(lambda values: strategy.run(of_replica, args=(values,)), autograph=False)
    rows = []
    for size in sizes:
        numbers = strategy.experimental_distribute_values_from_function(
            lambda context, size=size: tf.fill([size], context.replica_id_in_sync_group + 1.0)
        )
        seconds = []
        for _ in range(repeats + 1):
            start = time.perf_counter()
            result = strategy.experimental_local_results(add(numbers))[0].numpy()
            seconds.append((time.perf_counter() - start) / LINKS)
        if not np.allclose(result, (count + 1) / 2, rtol=1e-4):
            raise RuntimeError(f"`all_reduce` must sum what {count} replicas bring. It does not")
        rows.append([4 * size, min(seconds[1:])])
    return np.array(rows)
