import numpy as np
import pytest
from contracts import Refusal, check_builder_contract

from dlnotes.runtime import quiet_start

with quiet_start():
    import keras

    from dlnotes.models import build_small_cnn

SHAPE = "`input_shape` must be "
REFUSALS = [
    Refusal((28, 3), {}, TypeError, SHAPE + "a tuple of positive integers"),
    Refusal(((28, 28), 3), {}, ValueError, r"\(height, width, channels\), for .* \(28, 28, 1\)\."),
    Refusal(((28,), 3), {}, ValueError, r"\(height, width, channels\)\. Received"),
    Refusal(((2, 8, 8, 1), 3), {}, ValueError, r"\(height, width, channels\)\. Received"),
    Refusal(((3, 32, 48), 3), {}, ValueError, r"the channels last: .*, here \(32, 48, 3\)"),
    Refusal(((1, 28, 28), 3), {}, ValueError, r"the channels last: .*, here \(28, 28, 1\)"),
    Refusal(((3, 8, 1), 3), {}, ValueError, SHAPE + "at least 4 x 4 pixels, .* 2 blocks"),
    Refusal(((8, 7, 1), 3), {"filters": (2, 2, 2)}, ValueError, SHAPE + "at least 8 x 8 pixels"),
    Refusal(((8, 8, 1), 0), {}, ValueError, "`num_classes` must be an integer >= 1"),
    Refusal(((8, 8, 1), 3), {"filters": ()}, ValueError, "`filters` must hold at least one"),
    Refusal(((8, 8, 1), 3), {"filters": 8}, TypeError, "`filters` must be a tuple of positive"),
    Refusal(((8, 8, 1), 3), {"filters": (8, 0)}, ValueError, "`filters` must be a tuple of pos"),
    Refusal(((8, 8, 1), 3), {"kernel_size": (3, 3)}, TypeError, "`kernel_size` must be an integer"),
    Refusal(((8, 8, 1), 3), {"dense_units": -1}, ValueError, "`dense_units` must be an integer >"),
    Refusal(((8, 8, 1), 3), {"dropout": 1.0}, ValueError, r"`dropout` must be .* in \[0, 1\)"),
    Refusal(((8, 8, 1), 3), {"activation": "bent"}, ValueError, "`activation` must be an activat"),
    Refusal(((8, 8, 1), 3), {"batch_normalization": 1}, TypeError, "must be True or False"),
    Refusal(((8, 8, 1), 3), {"name": ""}, ValueError, "`name` must not be empty"),
]


def names(model):
    return [layer.name for layer in model.layers]


def test_cnn_keeps_the_builder_contract():
    model = check_builder_contract(build_small_cnn, [(8, 8, 1), 3], refusals=REFUSALS, max_lines=46)
    blocks = [f"{what}_{i}" for i in (1, 2) for what in ("conv", "activation", "pool")]
    assert names(model) == ["pixels", *blocks, "flatten", "dense", "output"]
    assert model.name == "small_cnn"
    assert model.get_layer("output").activation.__name__ == "softmax"


def test_cnn_keeps_the_builder_contract_with_everything():
    options = {
        "filters": [3],
        "kernel_size": 2,
        "dense_units": 0,
        "dropout": 0.25,
        "activation": "tanh",
        "batch_normalization": True,
    }
    model = check_builder_contract(build_small_cnn, [(5, 4, 2), 1], options, max_lines=46)
    block = ["conv_1", "norm_1", "activation_1", "pool_1"]
    assert names(model) == ["pixels", *block, "flatten", "dropout", "output"]
    assert model.get_layer("dropout").rate == 0.25
    assert model.get_layer("activation_1").activation.__name__ == "tanh"
    assert model.get_layer("output").activation.__name__ == "sigmoid"
    # 2 x 2 filters over 2 channels without bias, 4 numbers a norm, and 2 x 2 x 3 inputs
    assert model.count_params() == 2 * 2 * 2 * 3 + 4 * 3 + (2 * 2 * 3 + 1)


def test_cnn_counts_its_parameters_as_one_does_by_hand():
    model = build_small_cnn((28, 28, 1), 10)
    by_hand = {
        "conv_1": 3 * 3 * 1 * 16 + 16,
        "conv_2": 3 * 3 * 16 * 32 + 32,
        "dense": 7 * 7 * 32 * 64 + 64,
        "output": 64 * 10 + 10,
    }
    assert {name: model.get_layer(name).count_params() for name in by_hand} == by_hand
    assert model.count_params() == sum(by_hand.values()) == 105_866


def test_cnn_takes_the_smallest_pictures_and_few_rows_of_many_channels():
    assert build_small_cnn((4, 5, 1), 2).get_layer("pool_2").output.shape == (None, 1, 1, 32)
    # the features of another network, not a picture with its channels first
    assert build_small_cnn((4, 4, 64), 2).input_shape == (None, 4, 4, 64)


def test_cnn_keeps_its_channels_last_whatever_keras_is_set_to():
    before = keras.config.image_data_format()
    try:
        keras.config.set_image_data_format("channels_first")
        model = build_small_cnn((8, 12, 2), 3, filters=(4,))
    finally:
        keras.config.set_image_data_format(before)
    assert model.get_layer("pool_1").output.shape == (None, 4, 6, 4)


def test_cnn_learns_in_mixed_precision_and_answers_in_float32():
    before = keras.config.dtype_policy()
    try:
        keras.config.set_dtype_policy("mixed_float16")
        model = build_small_cnn((8, 8, 1), 3, filters=(2,), batch_normalization=True)
    finally:
        keras.config.set_dtype_policy(before)
    model.compile("sgd", "sparse_categorical_crossentropy", run_eagerly=True)
    rng = np.random.default_rng(0)
    loss = model.train_on_batch(rng.normal(size=(8, 8, 8, 1)), rng.integers(3, size=8))
    assert np.isfinite(loss)
    kinds = {layer.name: layer.compute_dtype for layer in model.layers}
    assert kinds["conv_1"] == kinds["dense"] == "float16"
    assert kinds["output"] == model.get_layer("conv_1").kernel.dtype == "float32"


@pytest.mark.parametrize("policy", ["float32", "float64"])
def test_cnn_answers_in_the_type_of_its_weights(policy):
    before = keras.config.dtype_policy()
    try:
        keras.config.set_dtype_policy(policy)
        assert build_small_cnn((8, 8, 1), 3).output.dtype == policy
    finally:
        keras.config.set_dtype_policy(before)
