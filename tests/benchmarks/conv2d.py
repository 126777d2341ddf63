"""How long `dlnotes.scratch.conv2d` takes beside Keras' own layer, in seconds of processor time.

``python tests/benchmarks/conv2d.py`` prints a table; tests/scratch/test_conv_speed.py sets a bound.
"""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from dlnotes.runtime import quiet_start
from dlnotes.scratch import conv2d, conv2d_gradients, conv2d_gradients_loops, conv2d_loops

PICTURES, FILTERS, SIZE = (32, 28, 28, 16), 32, 3


class Timing(NamedTuple):
    """Median processor seconds of one call, of all threads together."""

    forward: float
    backward: float


def processor_seconds(function: Callable[[], Any], *, repeats: int) -> float:
    """Return the least of `repeats` calls, after one that is not counted: other work only adds."""
    function()
    seconds = []
    for _ in range(repeats):
        start = time.process_time()
        function()
        seconds.append(time.process_time() - start)
    return min(seconds)


def measure(*, repeats: int = 7, loops: bool = False) -> dict[str, Timing]:
    """Return the timings of Keras, of strided views, and with `loops` of one picture's loops × 32.

    Forward is `conv2d` with "same" padding; backward is the three gradients, for Keras from a tape
    that has recorded the forward pass already.
    """
    with quiet_start():
        import keras
        import tensorflow as tf
    rng = np.random.default_rng(0)
    x, gradient = rng.normal(size=PICTURES), rng.normal(size=(*PICTURES[:3], FILTERS))
    layer = keras.layers.Conv2D(FILTERS, SIZE, padding="same")
    inputs, outer = (tf.constant(a.astype("float32")) for a in (x, gradient))
    layer(inputs)
    kernel, bias = (np.array(weight, dtype=float) for weight in layer.get_weights())

    with tf.GradientTape(persistent=True) as tape:
        tape.watch(inputs)
        output = layer(inputs)
    sources = [inputs, layer.kernel.value, layer.bias.value]

    def keras_backward() -> None:
        for part in tape.gradient(output, sources, output_gradients=outer):
            part.numpy()

    def both_ways(forward: Callable, backward: Callable, repeats: int) -> Timing:
        return Timing(
            processor_seconds(forward, repeats=repeats),
            processor_seconds(backward, repeats=repeats),
        )

    timings = {
        "Keras": both_ways(lambda: layer(inputs).numpy(), keras_backward, repeats),
        "strided views": both_ways(
            lambda: conv2d(x, kernel, bias, padding="same"),
            lambda: conv2d_gradients(gradient, x, kernel, padding="same"),
            repeats,
        ),
    }
    if loops:
        one = both_ways(
            lambda: conv2d_loops(x[:1], kernel, bias, padding="same"),
            lambda: conv2d_gradients_loops(gradient[:1], x[:1], kernel, padding="same"),
            1,
        )
        timings["loops"] = Timing(*(seconds * len(x) for seconds in one))
    return timings


def main() -> None:
    """Print seconds, and how many times Keras' own they are."""
    timings = measure(repeats=15, loops=True)
    print(f"{PICTURES} → {FILTERS} filters {SIZE}×{SIZE}: seconds of processor time (times Keras')")
    for name, timing in timings.items():
        cells = [
            f"{way} {mine:8.4f} ({mine / own:7.1f})"
            for way, mine, own in zip(Timing._fields, timing, timings["Keras"], strict=True)
        ]
        print(f"{name:14s}", "  ".join(cells))


if __name__ == "__main__":
    main()
