import numpy as np
import pytest
from contracts import Refusal, check_layer_contract, check_refusals

from dlnotes.runtime import quiet_start

with quiet_start():
    import keras

    from dlnotes.layers import ShiftedConv1D


def test_it_keeps_the_layer_contract():
    options = {"filters": 3, "kernel_size": 2, "padding": "causal", "dilation_rate": 2}
    check_layer_contract(ShiftedConv1D, options, (4, 6, 2), (4, 6, 3), num_trainable=2)


@pytest.mark.parametrize("padding", ["valid", "causal"])
@pytest.mark.parametrize(("size", "dilation"), [(3, 1), (2, 4), (1, 1), (5, 2)])
@pytest.mark.parametrize("use_bias", [True, False])
def test_it_is_keras_convolution(size, dilation, padding, use_bias):
    options = {"dilation_rate": dilation, "padding": padding, "use_bias": use_bias}
    options |= {"activation": "tanh", "bias_initializer": "normal"}
    theirs, mine = (kind(4, size, **options) for kind in (keras.layers.Conv1D, ShiftedConv1D))
    x = np.random.default_rng(0).normal(size=(3, 14, 2)).astype("float32")
    theirs.build(x.shape)
    mine.build(x.shape)
    mine.set_weights(theirs.get_weights())
    np.testing.assert_allclose(np.asarray(mine(x)), np.asarray(theirs(x)), atol=1e-6)


def test_it_refuses_what_it_does_not_compute():
    refusals = [
        Refusal((3, 2), {"strides": 2}, ValueError, "`strides` must be"),
        Refusal((4, 2), {"groups": 2}, ValueError, "`groups` must be 1"),
        Refusal((3, 2), {"padding": "same"}, ValueError, "`padding` must be 'valid' or"),
        Refusal((3, 2), {"data_format": "channels_first"}, ValueError, "`data_format` must be"),
    ]
    check_refusals(ShiftedConv1D, refusals)
