import numpy as np
import pytest
from contracts import Refusal, check_layer_contract, check_refusals
from numpy.testing import assert_allclose

from dlnotes import scratch
from dlnotes.runtime import quiet_start

with quiet_start():
    import keras

    from dlnotes.layers import LearnedPositionEmbedding, SinusoidalPositionEncoding

LAYERS = [SinusoidalPositionEncoding(), LearnedPositionEmbedding(12)]


def test_both_keep_the_layer_contract():
    check_layer_contract(SinusoidalPositionEncoding, {}, (2, 3, 4), (2, 3, 4), num_trainable=0)
    options = {"max_length": 3}
    check_layer_contract(LearnedPositionEmbedding, options, (2, 3, 4), (2, 3, 4), num_trainable=1)


def test_the_sinusoids_are_those_of_numpy():
    zeros = np.zeros((2, 60, 10), "float32")
    expected = scratch.sinusoidal_positions(60, 10)
    assert_allclose(SinusoidalPositionEncoding()(zeros)[1], expected, atol=1e-5)
    assert_allclose(
        SinusoidalPositionEncoding()(zeros[:, :5], start=40)[0], expected[40:45], atol=1e-5
    )


@pytest.mark.parametrize("layer", LAYERS)
def test_positions_are_added_and_can_begin_later(layer):
    x = np.random.default_rng(0).normal(size=(2, 9, 4)).astype("float32")
    whole = np.asarray(layer(x))
    encodings = whole - x
    assert_allclose(encodings[0], encodings[1], atol=1e-6)
    assert len(np.unique(encodings[0].round(4), axis=0)) == 9
    assert_allclose(layer(x[:, 6:], start=6), whole[:, 6:], atol=1e-6)
    assert_allclose(layer(x[:, 6:7], start=keras.ops.array(6)), whole[:, 6:7], atol=1e-6)


def test_longer_than_the_table_is_refused():
    layer = LearnedPositionEmbedding(4)
    layer(np.zeros((1, 4, 2)))
    with pytest.raises(ValueError, match=r"within the 4 positions of the table. Received: .*5"):
        layer(np.zeros((1, 5, 2)))
    with pytest.raises(ValueError, match=r"within the 4 positions .*start=3"):
        layer(np.zeros((1, 2, 2)), start=3)
    inputs = keras.Input((None, 2))
    model = keras.Model(inputs, layer(inputs))
    with pytest.raises(ValueError, match="within the 4 positions"):
        model(np.zeros((1, 5, 2)))
    with pytest.raises(
        (ValueError, keras.src.backend.tensorflow.core.tf.errors.InvalidArgumentError)
    ):
        model.predict(np.zeros((1, 5, 2)), verbose=0)


def test_wrong_arguments_are_refused():
    refusals = [
        Refusal((0,), {}, ValueError, "`max_length` must be an integer >= 1"),
        Refusal((2.5,), {}, TypeError, "`max_length` must be an integer"),
    ]
    check_refusals(LearnedPositionEmbedding, refusals)
    with pytest.raises(ValueError, match=r"`inputs` must have an even number of features"):
        SinusoidalPositionEncoding()(np.zeros((1, 2, 3)))
