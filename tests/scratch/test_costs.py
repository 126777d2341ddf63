import math

import numpy as np
import pytest
from contracts import Refusal, check_docstring, check_refusals
from hypothesis import given, settings
from hypothesis import strategies as st

from dlnotes import scratch
from dlnotes.runtime import quiet_start
from dlnotes.scratch.costs import Cost, convolution_cost, dense_cost, pooling_cost

with quiet_start():
    import keras

    from dlnotes.layers import LocallyConnected2D
    from dlnotes.models import build_lenet5


class Counting:
    """A number that counts the multiplications it takes part in."""

    count = 0

    def __init__(self, value):
        self.value = value

    def __mul__(self, other):
        Counting.count += 1
        return Counting(self.value * other.value)

    def __add__(self, other):
        return Counting(self.value + other.value)


def counted(array):
    return np.vectorize(Counting, otypes=[object])(array)


def test_lenet_by_hand_is_lenet_in_keras():
    layers = {"conv_1": convolution_cost((28, 28, 1), 6, 5, padding="same")}
    layers["pool_1"] = pooling_cost(layers["conv_1"].shape)
    layers["conv_2"] = convolution_cost(layers["pool_1"].shape, 16, 5)
    layers["pool_2"] = pooling_cost(layers["conv_2"].shape)
    layers["dense_1"] = dense_cost(layers["pool_2"].numbers, 120)
    layers["dense_2"], layers["output"] = dense_cost(120, 84), dense_cost(84, 10)
    model = build_lenet5((28, 28, 1), 10)
    for name, cost in layers.items():
        layer = model.get_layer(name)
        assert cost.shape == layer.output.shape[1:]
        assert cost.parameters == layer.count_params()
    assert sum(cost.parameters for cost in layers.values()) == 61_706
    # 784·25·6 + 100·150·16 + 400·120 + 120·84 + 84·10
    assert sum(c.multiplications for c in layers.values()) == 117_600 + 240_000 + 58_920


@settings(max_examples=25, deadline=None)
@given(
    side=st.tuples(st.integers(3, 6), st.integers(3, 6)),
    channels=st.integers(1, 3),
    filters=st.integers(1, 3),
    kernel_size=st.integers(1, 3),
    stride=st.integers(1, 3),
    padding=st.sampled_from(["valid", "same", 1]),
)
def test_every_multiplication_is_counted(side, channels, filters, kernel_size, stride, padding):
    shape = (*side, channels)
    options = {"stride": stride, "padding": padding}
    cost = convolution_cost(shape, filters, kernel_size, **options)
    windows = scratch.windows2d(np.ones((1, *shape)), (kernel_size, kernel_size), **options)
    kernel = counted(np.ones((kernel_size, kernel_size, channels, filters)))
    Counting.count = made = 0
    for window in counted(windows).reshape(-1, *kernel.shape[:3]):
        made += np.sum(window[..., None] * kernel, axis=(0, 1, 2)).size
    assert cost.multiplications == Counting.count
    assert cost.numbers == made
    assert cost.parameters == kernel.size + filters
    apart = convolution_cost(shape, filters, kernel_size, shared=False, **options)
    assert apart == cost._replace(parameters=made // filters * cost.parameters)


def test_dense_layers_use_each_weight_once():
    layer = keras.layers.Dense(5)
    layer.build((None, 7))
    cost = dense_cost(7, 5)
    assert cost == Cost((5,), layer.count_params(), layer.kernel.shape[0] * layer.kernel.shape[1])
    assert cost.numbers == 5


def test_unshared_weights_are_those_of_the_locally_connected_layer():
    layer = LocallyConnected2D(4, 3, strides=2, padding="same")
    layer.build((None, 7, 6, 2))
    cost = convolution_cost((7, 6, 2), 4, 3, stride=2, padding="same", shared=False)
    assert cost.parameters == layer.count_params()
    assert cost.shape == layer.compute_output_shape((None, 7, 6, 2))[1:]


@pytest.mark.parametrize("size", [1, 2, 3])
def test_pooling_shrinks_and_costs_no_weights(size):
    layer = keras.layers.MaxPooling2D(size)
    cost = pooling_cost((7, 8, 3), size)
    assert cost.shape == layer.compute_output_shape((None, 7, 8, 3))[1:]
    assert (cost.parameters, cost.multiplications, cost.numbers) == (0, 0, math.prod(cost.shape))


def test_wrong_arguments_are_refused():
    picture = (8, 8, 1)
    check_refusals(
        convolution_cost,
        [
            Refusal((8, 4, 3), {}, TypeError, r"`shape` must be \(height, width, channels\)"),
            Refusal(((8, 8), 4, 3), {}, ValueError, r"`shape` must be \(height, width, channels\)"),
            Refusal(((8, 8, 0), 4, 3), {}, ValueError, r"`shape\[2\]` must be an integer >= 1"),
            Refusal((picture, 0, 3), {}, ValueError, "`filters` must be an integer >= 1"),
            Refusal((picture, 4, 2.0), {}, TypeError, "`kernel_size` must be an integer"),
            Refusal((picture, 4, 9), {}, ValueError, "`size` must be large enough for one window"),
            Refusal((picture, 4, 3), {"padding": "full"}, ValueError, "`padding` must be one of"),
            Refusal((picture, 4, 3), {"stride": 0}, ValueError, "`stride` must be an integer >= 1"),
        ],
    )
    check_refusals(dense_cost, [Refusal((0, 3), {}, ValueError, "`inputs` must be an integer >")])
    check_refusals(dense_cost, [Refusal((3, "1"), {}, TypeError, "`units` must be an integer")])
    for size, error in ((2, ValueError), (0, ValueError), (1.0, TypeError)):
        refusal = Refusal(((8, 1, 1), size), {}, error, "`size` must be an integer")
        check_refusals(pooling_cost, [refusal])
    for function in (convolution_cost, dense_cost, pooling_cost):
        check_docstring(function)
