import numpy as np
import pytest
from contracts import Refusal, check_layer_contract, check_refusals

from dlnotes.runtime import quiet_start

with quiet_start():
    import keras

    from dlnotes.layers import LocallyConnected2D

SETTINGS = [(3, 1, "valid"), (3, 1, "same"), (2, 2, "same"), (3, 2, "valid"), (1, 3, "same")]


def test_it_keeps_the_layer_contract():
    options = {"filters": 3, "kernel_size": 3, "strides": 2, "padding": "same"}
    options["activation"] = "tanh"
    check_layer_contract(LocallyConnected2D, options, (4, 5, 6, 2), (4, 3, 3, 3), num_trainable=2)


@pytest.mark.parametrize(("kernel_size", "strides", "padding"), SETTINGS)
def test_with_equal_weights_everywhere_it_is_a_convolution(kernel_size, strides, padding):
    options = {"strides": strides, "padding": padding, "activation": "relu"}
    x = np.random.default_rng(0).normal(size=(2, 7, 6, 3)).astype("float32")
    shared = keras.layers.Conv2D(4, kernel_size, bias_initializer="normal", **options)
    expected = np.asarray(shared(x))
    layer = LocallyConnected2D(4, kernel_size, **options)
    layer.build(x.shape)
    kernel, bias = shared.get_weights()
    rows, columns = expected.shape[1:3]
    kernel = np.broadcast_to(kernel.reshape(-1, 4), (rows, columns, kernel_size**2 * 3, 4))
    layer.set_weights([kernel, np.broadcast_to(bias, (rows, columns, 4))])
    np.testing.assert_allclose(layer(x), expected, atol=1e-5)
    assert layer.count_params() == rows * columns * shared.count_params()


def test_a_weight_matters_at_its_own_position_only():
    x = np.random.default_rng(0).normal(size=(1, 5, 5, 1)).astype("float32")
    layer = LocallyConnected2D(2, 3)
    before = np.asarray(layer(x))
    kernel, bias = layer.get_weights()
    kernel[1, 2] += 1
    layer.set_weights([kernel, bias])
    changed = np.asarray(layer(x)) != before
    assert changed[0, 1, 2].all()
    assert changed.sum() == 2


def test_its_first_weights_are_as_wide_as_those_of_a_convolution():
    keras.utils.set_random_seed(0)
    layer, shared = LocallyConnected2D(8, 3), keras.layers.Conv2D(8, 3)
    layer.build((None, 20, 20, 4))
    shared.build((None, 20, 20, 4))
    limit = np.sqrt(6 / (9 * 4 + 9 * 8))  # Glorot's
    assert np.abs(shared.get_weights()[0]).max() <= limit
    assert 0.99 * limit <= np.abs(layer.get_weights()[0]).max() <= limit
    assert not layer.get_weights()[1].any()


def test_wrong_arguments_are_refused():
    refusals = [
        Refusal((0, 3), {}, ValueError, "`filters` must be an integer >= 1"),
        Refusal((4, (3, 3)), {}, TypeError, "`kernel_size` must be an integer"),
        Refusal((4, 3), {"strides": 0}, ValueError, "`strides` must be an integer >= 1"),
        Refusal((4, 3), {"padding": "full"}, ValueError, "`padding` must be one of"),
    ]
    check_refusals(LocallyConnected2D, refusals)
    with pytest.raises(ValueError, match=r"negative|positive|zero|window|smaller"):
        LocallyConnected2D(4, 9)(np.zeros((1, 8, 8, 1)))
