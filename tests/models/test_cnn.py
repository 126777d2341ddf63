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
    Refusal(((8, 8, 1), 3), {"pooling": "min"}, ValueError, "`pooling` must be one of 'max', 'av"),
    Refusal(((8, 8, 1), 3), {"head": None}, ValueError, "`head` must be one of 'flatten', 'glob"),
    Refusal(((8, 8, 1), 3), {"dense_units": -1}, ValueError, "`dense_units` must be an integer >"),
    Refusal(((8, 8, 1), 3), {"dropout": 1.0}, ValueError, r"`dropout` must be .* in \[0, 1\)"),
    Refusal(((8, 8, 1), 3), {"activation": "bent"}, ValueError, "`activation` must be an activat"),
    Refusal(((8, 8, 1), 3), {"batch_normalization": 1}, TypeError, "must be True or False"),
    Refusal(((8, 8, 1), 3), {"momentum": 1}, ValueError, r"`momentum` must be .* in \[0, 1\)"),
    Refusal(((8, 8, 1), 3), {"momentum": "0.9"}, TypeError, "`momentum` must be a number"),
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


def test_cnn_pools_the_largest_or_the_mean():
    picture = np.array([[1.0, 2.0, 0.0], [4.0, 9.0, 0.0], [7.0, 7.0, 7.0]]).reshape(1, 3, 3, 1)
    options = {"filters": (1,), "kernel_size": 1, "activation": "linear", "dense_units": 0}
    for pooling, expected in (("max", 9.0), ("average", 4.0)):  # the third row and column are odd
        model = build_small_cnn((3, 3, 1), 2, pooling=pooling, **options)
        model.get_layer("conv_1").set_weights([np.ones((1, 1, 1, 1)), np.zeros(1)])
        pooled = keras.Model(model.inputs[0], model.get_layer("pool_1").output)
        np.testing.assert_allclose(np.ravel(pooled(picture)), [expected], atol=1e-6)


@pytest.mark.parametrize("head", ["global_average", "global_max"])
def test_cnn_with_a_global_head_has_as_many_parameters_at_every_size(head):
    model = check_builder_contract(build_small_cnn, [(8, 8, 1), 3], {"head": head}, max_lines=46)
    assert names(model)[-3:] == [head, "dense", "output"]
    counts = {build_small_cnn((side, side, 1), 3, head=head).count_params() for side in (8, 28, 56)}
    assert counts == {(9 * 16 + 16) + (9 * 16 * 32 + 32) + (32 * 64 + 64) + (64 * 3 + 3)}
    flat = [build_small_cnn((side, side, 1), 3).count_params() for side in (28, 56)]
    assert flat[1] - flat[0] == (14 * 14 - 7 * 7) * 32 * 64


def test_heads_keep_the_mean_or_the_largest_number_of_each_map():
    x = np.random.default_rng(0).normal(size=(2, 6, 6, 1))
    for head, summary in (("global_average", np.mean), ("global_max", np.max)):
        model = build_small_cnn((6, 6, 1), 2, filters=(3,), head=head, activation="linear")
        outputs = [model.get_layer(name).output for name in ("pool_1", head)]
        maps, row = map(np.asarray, keras.Model(model.inputs[0], outputs)(x))
        np.testing.assert_allclose(row, summary(maps, axis=(1, 2)), atol=1e-6)


def test_a_global_head_forgets_where_it_was():
    rng = np.random.default_rng(0)
    picture = np.zeros((1, 16, 16, 1))
    picture[:, 4:7, 4:7] = rng.normal(size=(3, 3, 1))
    moved = np.roll(picture, 4, axis=(1, 2))  # by the stride of two poolings
    for head in ("global_average", "global_max", "flatten"):
        model = build_small_cnn((16, 16, 1), 3, head=head)
        same = np.abs(np.asarray(model(picture)) - np.asarray(model(moved))).max() < 1e-6
        assert same == (head != "flatten")


def test_momentum_is_that_of_every_normalization():
    options = {"batch_normalization": True, "momentum": 0.9}
    model = build_small_cnn((8, 8, 1), 3, **options)
    assert [model.get_layer(f"norm_{i}").momentum for i in (1, 2)] == [0.9, 0.9]
    assert build_small_cnn((8, 8, 1), 3, batch_normalization=True).get_layer(
        "norm_1"
    ).momentum == pytest.approx(0.99)


def test_cnn_takes_the_smallest_pictures_and_few_rows_of_many_channels():
    assert build_small_cnn((4, 5, 1), 2).get_layer("pool_2").output.shape == (None, 1, 1, 32)
    # the features of another network, not a picture with its channels first
    assert build_small_cnn((4, 8, 64), 2).input_shape == (None, 4, 8, 64)


def test_cnn_keeps_its_channels_last_whatever_keras_is_set_to():
    before = keras.config.image_data_format()
    try:
        keras.config.set_image_data_format("channels_first")
        model = build_small_cnn((8, 12, 2), 3, filters=(4,))
    finally:
        keras.config.set_image_data_format(before)
    assert model.get_layer("pool_1").output.shape == (None, 4, 6, 4)


@pytest.mark.parametrize("policy", ["float32", "float64"])
def test_cnn_answers_in_the_type_of_its_weights(policy):
    before = keras.config.dtype_policy()
    try:
        keras.config.set_dtype_policy(policy)
        assert build_small_cnn((8, 8, 1), 3).output.dtype == policy
    finally:
        keras.config.set_dtype_policy(before)
