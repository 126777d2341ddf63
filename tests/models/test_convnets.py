import itertools

import numpy as np
import pytest
from contracts import Refusal, check_builder_contract

from dlnotes.runtime import quiet_start

with quiet_start():
    import keras

    from dlnotes.models import (
        build_dense_classifier,
        build_lenet5,
        build_small_cnn,
        build_small_resnet,
    )

SHAPE = "`input_shape` must be "
PICTURE_REFUSALS = [
    Refusal((28, 3), {}, TypeError, SHAPE + "a tuple of positive integers"),
    Refusal(((28, 28), 3), {}, ValueError, r"\(height, width, channels\), for .* \(28, 28, 1\)\."),
    Refusal(((784,), 3), {}, ValueError, r"\(height, width, channels\)\. Received"),
    Refusal(((1, 28, 28), 3), {}, ValueError, r"the channels last: .*, here \(28, 28, 1\)"),
    Refusal(((3, 32, 32), 3), {}, ValueError, r"moveaxis\(x, 1, -1\)"),
    Refusal(((28, 28, 1), 0), {}, ValueError, "`num_classes` must be an integer >= 1"),
    Refusal(((28, 28, 1), 3), {"activation": "bent"}, ValueError, "`activation` must be an activ"),
    Refusal(((28, 28, 1), 3), {"name": ""}, ValueError, "`name` must not be empty"),
]
SMALL = {
    build_lenet5: ((12, 12, 1), {}),
    build_small_cnn: ((4, 4, 1), {"filters": (2, 3), "batch_normalization": True}),
    build_small_resnet: ((4, 4, 1), {"filters": (2, 3)}),
    build_dense_classifier: ((4, 4, 1), {"max_parameters": 200}),
}


def refuse(*more):
    return [*PICTURE_REFUSALS, *more]


def kernels(model):
    return {w.path.split("/")[0]: tuple(w.shape) for w in model.weights if "kernel" in w.path}


# === LeNet-5 ===


def test_lenet5_keeps_the_builder_contract():
    model = check_builder_contract(
        build_lenet5,
        [(28, 28, 1), 10],
        refusals=refuse(
            Refusal(((11, 28, 1), 3), {}, ValueError, SHAPE + "at least 12 x 12 pixels, since"),
            Refusal(((28, 28, 1), 3), {"pooling": "mean"}, ValueError, "`pooling` must be one of"),
        ),
    )
    by_hand = {
        "conv_1": 5 * 5 * 1 * 6 + 6,
        "conv_2": 5 * 5 * 6 * 16 + 16,
        "dense_1": 5 * 5 * 16 * 120 + 120,
        "dense_2": 120 * 84 + 84,
        "output": 84 * 10 + 10,
    }
    assert {name: model.get_layer(name).count_params() for name in by_hand} == by_hand
    assert model.count_params() == sum(by_hand.values()) == 61_706
    assert model.name == "lenet5"
    bends = {n: model.get_layer(n).activation.__name__ for n in by_hand}
    assert bends == dict.fromkeys(by_hand, "tanh") | {"output": "softmax"}
    assert type(model.get_layer("pool_2")).__name__ == "AveragePooling2D"


def test_lenet5_takes_relu_and_max_pooling_and_pictures_down_to_12_pixels():
    options = {"activation": "relu", "pooling": "max"}
    model = check_builder_contract(build_lenet5, [(12, 13, 3), 1], options)
    assert {model.get_layer(n).activation.__name__ for n in ("conv_1", "conv_2", "dense_2")} == {
        "relu"
    }
    assert type(model.get_layer("pool_1")).__name__ == "MaxPooling2D"
    assert model.get_layer("pool_2").output.shape == (None, 1, 1, 16)
    assert model.get_layer("output").activation.__name__ == "sigmoid"


def test_zeros_at_the_border_equal_the_paper_s_larger_pictures():
    model = build_lenet5((28, 28, 1), 10)
    x = np.random.default_rng(0).normal(size=(2, 28, 28, 1))
    kernel, bias = model.get_layer("conv_1").get_weights()
    wide = np.pad(x, ((0, 0), (2, 2), (2, 2), (0, 0)))  # 32 x 32
    expected = np.tanh(keras.ops.conv(wide.astype("float32"), kernel, padding="valid") + bias)
    actual = keras.Model(model.inputs[0], model.get_layer("conv_1").output)(x)
    np.testing.assert_allclose(np.asarray(actual), expected, atol=1e-5)


# === Residual network ===


def test_small_resnet_keeps_the_builder_contract():
    model = check_builder_contract(
        build_small_resnet,
        [(28, 28, 1), 10],
        refusals=refuse(
            Refusal(((3, 28, 1), 3), {}, ValueError, SHAPE + "at least 4 x 4 pixels, .* 3 stages"),
            Refusal(((8, 8, 1), 3), {"filters": ()}, ValueError, "`filters` must hold at least"),
            Refusal(((8, 8, 1), 3), {"filters": 8}, TypeError, "`filters` must be a tuple"),
            Refusal(((8, 8, 1), 3), {"blocks": 0}, ValueError, "`blocks` must be an integer >= 1"),
            Refusal(((8, 8, 1), 3), {"skip_connections": 1}, TypeError, "must be True or False"),
            Refusal(((8, 8, 1), 3), {"batch_normalization": 1}, TypeError, "must be True or False"),
            Refusal(((8, 8, 1), 3), {"momentum": -0.1}, ValueError, "`momentum` must be a finite"),
        ),
    )
    convolutions = {
        "conv_0": (3, 3, 1, 16),
        "conv_1_1a": (3, 3, 16, 16),
        "conv_1_1b": (3, 3, 16, 16),
        "conv_2_1a": (3, 3, 16, 32),
        "conv_2_1b": (3, 3, 32, 32),
        "conv_2_1_skip": (1, 1, 16, 32),
        "conv_3_1a": (3, 3, 32, 64),
        "conv_3_1b": (3, 3, 64, 64),
        "conv_3_1_skip": (1, 1, 32, 64),
    }
    assert kernels(model) == {**convolutions, "output": (64, 10)}
    # four numbers a filter for each normalization: scale, shift, mean and variance
    count = sum(np.prod(shape) + 4 * shape[-1] for shape in convolutions.values())
    assert model.count_params() == count + 65 * 10 == 78_426
    sides = [model.get_layer(f"activation_{i}_1").output.shape[1] for i in (1, 2, 3)]
    assert sides == [28, 14, 7]


def test_small_resnet_keeps_the_contract_without_skips_and_normalization():
    options = {"filters": (2, 3), "blocks": 2, "skip_connections": False, "activation": "tanh"}
    options["batch_normalization"] = False
    model = check_builder_contract(build_small_resnet, [(5, 6, 2), 1], options)
    names = [layer.name for layer in model.layers]
    assert not [name for name in names if "skip" in name or "add" in name or "norm" in name]
    # the longest way: 2·S·N + 2 layers of weights
    assert len(kernels(model)) == 2 * 2 * 2 + 2


def test_a_block_adds_what_it_was_given():
    model = build_small_resnet((6, 6, 1), 2, filters=(3,), batch_normalization=False)
    for name in ("conv_1_1a", "conv_1_1b"):  # f(x) = 0
        layer = model.get_layer(name)
        layer.set_weights([np.zeros_like(w) for w in layer.get_weights()])
    x = np.random.default_rng(0).normal(size=(2, 6, 6, 1))
    ends = [model.get_layer(name).output for name in ("activation_0", "activation_1_1")]
    before, after = keras.Model(model.inputs[0], ends)(x)
    np.testing.assert_array_equal(before, after)
    assert np.asarray(before).max() > 0


def test_a_block_bends_after_it_has_added():
    model = build_small_resnet((6, 6, 1), 2, filters=(3,), batch_normalization=False)
    x = np.random.default_rng(0).normal(size=(2, 6, 6, 1))
    ends = [model.get_layer(n).output for n in ("activation_0", "conv_1_1b", "activation_1_1")]
    before, change, after = map(np.asarray, keras.Model(model.inputs[0], ends)(x))
    assert (change < 0).any()
    np.testing.assert_allclose(after, np.maximum(before + change, 0), atol=1e-6)


def test_a_way_round_with_another_shape_is_a_strided_1_x_1_convolution():
    options = {"filters": (2, 3), "batch_normalization": False, "activation": "linear"}
    model = build_small_resnet((6, 6, 1), 2, **options)
    x = np.random.default_rng(0).normal(size=(2, 6, 6, 1))
    names = ("activation_1_1", "conv_2_1b", "activation_2_1")
    outputs = [model.get_layer(name).output for name in names]
    before, change, after = map(np.asarray, keras.Model(model.inputs[0], outputs)(x))
    kernel = model.get_layer("conv_2_1_skip").get_weights()[0][0, 0]  # (2, 3)
    np.testing.assert_allclose(after, before[:, ::2, ::2] @ kernel + change, atol=1e-5)


# === Dense rival ===


def test_dense_classifier_keeps_the_builder_contract():
    model = check_builder_contract(
        build_dense_classifier,
        [(28, 28, 1), 10],
        refusals=refuse(
            Refusal(((8, 8, 1), 3), {"max_parameters": 70}, ValueError, "must be at least 71, for"),
            Refusal(((8, 8, 1), 3), {"max_parameters": 1e5}, TypeError, "`max_parameters` must be"),
            Refusal(((8, 8, 1), 3), {"hidden_layers": 0}, ValueError, "`hidden_layers` must be an"),
            Refusal(((8, 8, 1), 3), {"dropout": 1}, ValueError, "`dropout` must be a finite"),
        ),
    )
    assert [layer.name for layer in model.layers] == ["pixels", "flatten", "hidden_1", "output"]
    assert model.count_params() == 785 * 77 + 78 * 10 <= 61_706 < 785 * 78 + 79 * 10


@pytest.mark.parametrize("hidden_layers", [1, 2, 7])
@pytest.mark.parametrize("budget", [400, 5_000])
@pytest.mark.parametrize("shape", [(1, 1, 1), (4, 3, 2)])
def test_the_budget_is_used_and_never_exceeded(shape, budget, hidden_layers):
    options = {"max_parameters": budget, "hidden_layers": hidden_layers, "dropout": 0.2}
    model = build_dense_classifier(shape, 3, **options)
    widths = [model.get_layer(f"hidden_{i + 1}").units for i in range(hidden_layers)]
    assert len(set(widths)) == 1
    sizes = [int(np.prod(shape)), *(w + 1 for w in widths), 3]  # one unit more is too many
    wider = sum((a + 1) * b for a, b in itertools.pairwise(sizes))
    assert model.count_params() <= budget < wider
    assert model.get_layer("dropout").rate == 0.2


# === All of them ===


@pytest.mark.parametrize("build", SMALL, ids=lambda build: build.__name__)
def test_its_channels_stay_last_whatever_keras_is_set_to(build):
    shape, options = SMALL[build]
    x = np.random.default_rng(0).normal(size=(2, *shape[:2], 5)).astype("float32")
    before = keras.config.image_data_format()
    try:
        keras.config.set_image_data_format("channels_first")
        other = build((*shape[:2], 5), 3, **options)
    finally:
        keras.config.set_image_data_format(before)
    model = build((*shape[:2], 5), 3, **options)
    model.set_weights(other.get_weights())
    np.testing.assert_allclose(model(x), other(x), atol=1e-6)
