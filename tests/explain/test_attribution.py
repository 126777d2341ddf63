import numpy as np
import pytest
from contracts import Refusal, check_refusals
from hypothesis import given, settings
from hypothesis import strategies as st

from dlnotes.runtime import quiet_start

with quiet_start():
    import keras

    from dlnotes.explain import (
        completeness_gap,
        grad_cam,
        integrated_gradients,
        layer_gradient,
        loss_gradient,
        saliency,
        score_gradient,
    )
from dlnotes.scratch import numerical_gradient

layers = keras.layers
RNG = np.random.default_rng(3)
X = RNG.random((3, 6, 5, 2))
Y = np.array([0, 2, 1])


def build(activation="softmax", units=3, inner=False):
    """Return a float64 network with smooth units, so that differences can be taken."""
    keras.utils.set_random_seed(4)
    with keras.device("cpu"):
        stack = [
            layers.Conv2D(4, 3, activation="tanh", dtype="float64", name="conv"),
            layers.Flatten(dtype="float64", name="flatten"),
            layers.Dense(units, activation=activation, dtype="float64", name="output"),
        ]
        model = keras.Sequential([keras.Input((6, 5, 2), dtype="float64"), *stack], name="base")
        if inner:
            inputs = keras.Input((6, 5, 2), dtype="float64")
            return keras.Model(inputs, model(inputs))
    return model


MODEL = build()


def scores(x):
    kernel, bias = MODEL.get_layer("output").get_weights()
    maps = keras.Model(MODEL.inputs[0], MODEL.get_layer("flatten").output)
    return np.asarray(maps(x)) @ kernel + bias


# === Gradients ===


def test_score_gradients_equal_finite_differences():
    slopes = score_gradient(MODEL, X, Y)
    for row, (x, y) in enumerate(zip(X[:1], Y[:1], strict=True)):
        wanted = numerical_gradient(lambda v, y=y: float(scores(v[None])[0, y]), x)
        np.testing.assert_allclose(slopes[row], wanted, atol=1e-7)


def test_without_classes_the_answer_of_the_model_is_meant():
    answers = scores(X).argmax(axis=1)
    np.testing.assert_array_equal(score_gradient(MODEL, X), score_gradient(MODEL, X, answers))
    np.testing.assert_array_equal(score_gradient(MODEL, X, 2), score_gradient(MODEL, X, [2] * 3))


def test_loss_gradients_are_those_of_their_formulas():
    s = scores(X)
    p = np.exp(s) / np.exp(s).sum(axis=1, keepdims=True)
    each = np.stack([score_gradient(MODEL, X, k) for k in range(3)], axis=1)  # ∂S_k/∂x
    entropy = np.einsum("bk,bkhwc->bhwc", p - np.eye(3)[Y], each)
    np.testing.assert_allclose(loss_gradient(MODEL, X, Y), entropy, atol=1e-12)
    rival = np.where(np.eye(3)[Y] > 0, -np.inf, s).argmax(axis=1)
    rows = np.arange(3)
    margin = each[rows, rival] - each[rows, Y]
    np.testing.assert_allclose(loss_gradient(MODEL, X, Y, loss="margin"), margin, atol=1e-12)
    with pytest.raises(ValueError, match="`loss` must be one of 'cross_entropy', 'margin'"):
        loss_gradient(MODEL, X, Y, loss="hinge")


def test_a_batch_of_any_size_gives_each_picture_its_own_gradient(monkeypatch):
    whole = score_gradient(MODEL, X, Y)
    inside = layer_gradient(MODEL, X, "conv", Y)
    monkeypatch.setattr("dlnotes.explain.gradients.BATCH", 2)
    np.testing.assert_allclose(score_gradient(MODEL, X, Y), whole, rtol=1e-12)
    for ours, theirs in zip(layer_gradient(MODEL, X, "conv", Y), inside, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)


def test_layer_gradients_also_inside_a_nested_model():
    kernel, _ = MODEL.get_layer("output").get_weights()
    maps, slopes = layer_gradient(MODEL, X, "conv", Y)
    assert maps.shape == (3, 4, 3, 4)
    np.testing.assert_allclose(maps, keras.Model(MODEL.inputs[0], MODEL.layers[0].output)(X))
    np.testing.assert_allclose(slopes, kernel.T[Y].reshape(maps.shape))
    for ours, theirs in zip(
        layer_gradient(build(inner=True), X, "base/conv", Y), (maps, slopes), strict=True
    ):
        np.testing.assert_allclose(ours, theirs)


def test_layers_that_are_not_there_or_not_in_use_are_refused():
    inputs = keras.Input((6, 5, 2))
    aside = layers.Conv2D(2, 3, name="aside")(inputs)
    flat = layers.Flatten(name="flat")(inputs)
    cut = keras.Model(inputs, layers.Dense(2)(flat))
    both = keras.Model(inputs, layers.Dense(2)(layers.Flatten()(aside)))
    refused = [
        Refusal((MODEL, X, "dense", Y), {}, ValueError, "layers of 'base': conv, flatten, output"),
        Refusal((MODEL, X, "conv/a", Y), {}, ValueError, "layers of 'conv': none"),
        Refusal((MODEL, X, 0, Y), {}, TypeError, "`layer` must be a name"),
    ]
    check_refusals(layer_gradient, refused)
    assert layer_gradient(both, X, "aside")[0].shape == (3, 4, 3, 2)
    with pytest.raises(ValueError, match="`layer` must be one of"):
        layer_gradient(cut, X, "aside")


# === Maps ===


def test_saliency_is_the_largest_slope_of_the_channels():
    slopes = score_gradient(MODEL, X, Y)
    maps = saliency(MODEL, X, Y)
    assert maps.shape == (3, 6, 5)
    np.testing.assert_array_equal(maps, np.maximum(np.abs(slopes[..., 0]), np.abs(slopes[..., 1])))


@given(
    baseline=st.floats(-1, 1),
    shape=st.tuples(st.integers(3, 6), st.integers(3, 6), st.integers(1, 3)),
)
@settings(max_examples=3, deadline=None)
def test_integrated_gradients_are_complete_whatever_shape_and_baseline(baseline, shape):
    keras.utils.set_random_seed(5)
    stack = [
        keras.Input(shape, dtype="float64"),
        layers.Conv2D(3, 3, activation="tanh", dtype="float64"),
        layers.Flatten(dtype="float64"),
        layers.Dense(2, activation="softmax", dtype="float64"),
    ]
    model, x = keras.Sequential(stack), RNG.random((2, *shape))
    found = integrated_gradients(model, x, 1, baseline=baseline, num_steps=12)
    gap = completeness_gap(model, x, found, 1, baseline=baseline)
    change = -completeness_gap(model, x, 0 * x, 1, baseline=baseline)
    np.testing.assert_allclose(gap, 0, atol=0.01 * (np.abs(change).max() + 1))


def test_the_gap_closes_with_the_square_of_the_steps():
    gaps = [
        np.abs(completeness_gap(MODEL, X, integrated_gradients(MODEL, X, Y, num_steps=n), Y)).max()
        for n in (4, 8, 16)
    ]
    np.testing.assert_allclose(np.divide(gaps[:-1], gaps[1:]), 4, rtol=0.1)


def test_a_missing_part_of_the_attributions_shows_as_a_gap():
    np.testing.assert_allclose(
        completeness_gap(MODEL, X, 0 * X, Y), -(scores(X) - scores(0 * X))[range(3), Y]
    )


def test_attributions_of_a_linear_model_are_weight_times_distance():
    model = keras.Sequential([keras.Input((2, 2, 1)), layers.Flatten(), layers.Dense(2)])
    x, start = RNG.random((1, 2, 2, 1)), RNG.random((2, 2, 1))
    found = integrated_gradients(model, x, 1, baseline=start, num_steps=1)
    weights = model.get_weights()[0][:, 1].reshape(2, 2, 1)
    np.testing.assert_allclose(found[0], weights * (x[0] - start), rtol=1e-5, atol=1e-6)


def test_grad_cam_is_the_formula():
    maps, slopes = layer_gradient(MODEL, X, "conv", Y)
    cam = np.zeros(maps.shape[:3])
    for channel in range(4):
        alpha = slopes[..., channel].mean(axis=(1, 2))
        cam += alpha[:, None, None] * maps[..., channel]
    found = grad_cam(MODEL, X, "conv", Y)
    assert found.shape == (3, 6, 5)
    wanted = keras.ops.image.resize(np.maximum(cam, 0)[..., None], (6, 5))[..., 0]
    np.testing.assert_allclose(found, wanted, atol=1e-12)
    assert found.min() >= 0
    assert (cam < 0).any()  # so that the cut at 0 was needed


def test_without_the_mean_each_place_has_its_own_weight():
    maps, slopes = layer_gradient(MODEL, X, "conv", Y)
    cam = np.einsum("bhwk,bhwk->bhw", maps, slopes)
    wanted = keras.ops.image.resize(np.maximum(cam, 0)[..., None], (6, 5))[..., 0]
    found = grad_cam(MODEL, X, "conv", Y, mean=False)
    np.testing.assert_allclose(found, wanted, atol=1e-12)
    assert np.abs(found - grad_cam(MODEL, X, "conv", Y)).max() > 0.01


def test_behind_an_average_over_places_the_mean_loses_nothing():
    keras.utils.set_random_seed(9)
    stack = [layers.Conv2D(4, 3, name="conv"), layers.GlobalAveragePooling2D(), layers.Dense(3)]
    model = keras.Sequential([keras.Input((6, 5, 2)), *stack])
    without = grad_cam(model, X, "conv", Y, mean=False)
    np.testing.assert_allclose(grad_cam(model, X, "conv", Y), without, atol=1e-6)


def test_refusals_of_the_maps():
    check_refusals(
        integrated_gradients,
        [
            Refusal((MODEL, X), {"num_steps": 0}, ValueError, "`num_steps` must be"),
            Refusal((MODEL, X), {"num_steps": 2.5}, TypeError, "`num_steps` must be an integer"),
            Refusal((MODEL, X), {"baseline": np.zeros(7)}, ValueError, "`baseline` must be a numb"),
            Refusal((MODEL, X), {"baseline": "black"}, TypeError, "`baseline` must be"),
            Refusal((MODEL, X, 5), {}, ValueError, "class numbers 0 to 2"),
        ],
    )
    check_refusals(
        completeness_gap,
        [Refusal((MODEL, X, X[:2]), {}, ValueError, r"`attributions` must have shape \(3, 6, 5")],
    )
    check_refusals(
        grad_cam,
        [
            Refusal((MODEL, X, "flatten"), {}, ValueError, r"`layer` must have outputs of shape"),
            Refusal((MODEL, X, "conv"), {"mean": 0}, TypeError, "`mean` must be True or False"),
        ],
    )
