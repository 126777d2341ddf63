import numpy as np
import pytest
from contracts import check_docstring
from hypothesis import given, settings
from hypothesis import strategies as st

from dlnotes import scratch
from dlnotes.runtime import quiet_start
from dlnotes.scratch import MLP, Dense, forward

ONE_LAYER = [(np.ones((2, 1)), np.zeros(1), scratch.linear)]


def rng():
    return np.random.default_rng(7)


def test_dense_has_keras_shapes_and_start():
    layer = Dense(3, 4, rng=rng())
    assert layer.weights.shape == (3, 4)
    assert layer.weights.dtype == layer.bias.dtype == np.float64
    np.testing.assert_array_equal(layer.bias, np.zeros(4))
    assert layer.count_params() == 16
    wide = Dense(200, 100, rng=rng()).weights
    limit = np.sqrt(6 / 300)
    assert 0.99 * limit < abs(wide).max() <= limit
    assert wide.std() == pytest.approx(limit / np.sqrt(3), rel=0.02)


def test_dense_computes_its_formula():
    layer = Dense(2, 1, activation="sigmoid", rng=rng())
    layer.weights[:] = [[2.0], [-1.0]]
    layer.bias[:] = 0.5
    x = np.array([[1.0, 1.0], [0.0, 3.0]])
    np.testing.assert_allclose(layer.preactivation(x), [[1.5], [-2.5]])
    np.testing.assert_allclose(layer.forward(x), scratch.sigmoid([[1.5], [-2.5]]))


@settings(deadline=None, max_examples=15)
@given(
    rows=st.integers(1, 4),
    sizes=st.lists(st.integers(1, 4), min_size=2, max_size=4),
    name=st.sampled_from(["linear", "sigmoid", "tanh", "softmax"]),
    seed=st.integers(0, 100),
)
def test_gradients_agree_with_finite_differences(rows, sizes, name, seed):
    generator = np.random.default_rng(seed)
    names = ["tanh"] * (len(sizes) - 2) + [name]
    mlp = MLP(sizes, names, rng=generator)
    x = generator.normal(size=(rows, sizes[0]))
    direction = generator.normal(size=(rows, sizes[-1]))  # loss = sum(direction · output)
    mlp.forward(x)
    x_gradient = mlp.backward(direction)

    def check(array, gradient):
        assert gradient.shape == array.shape
        kept = array.copy()

        def loss(values):
            array[:] = values
            return float((direction * mlp.predict(x)).sum())

        np.testing.assert_allclose(gradient, scratch.numerical_gradient(loss, kept), atol=1e-7)
        array[:] = kept

    gradients = [(layer.weights_gradient, layer.bias_gradient) for layer in mlp.layers]
    for layer, (weights_gradient, bias_gradient) in zip(mlp.layers, gradients, strict=True):
        check(layer.weights, weights_gradient)
        check(layer.bias, bias_gradient)
    check(x, x_gradient)


@pytest.mark.parametrize(
    ("activations", "loss"),
    [
        (("relu", "sigmoid"), "binary_cross_entropy"),
        (("tanh", "softmax"), "sparse_categorical_cross_entropy"),
        (("sigmoid", "linear"), "mean_squared_error"),
        (("relu", "linear"), "hinge_loss"),
    ],
)
def test_values_and_gradients_equal_keras(activations, loss):
    with quiet_start():
        import keras
        import tensorflow as tf

    units = 3 if activations[1] == "softmax" else 1
    mlp = MLP((4, 5, units), activations, rng=rng())
    for layer in mlp.layers:
        layer.bias[:] = rng().normal(size=layer.bias.shape)
    x = rng().normal(size=(6, 4))
    y = rng().integers(3 if units == 3 else 2, size=6).astype(float)
    y = 2 * y - 1 if loss == "hinge_loss" else y
    targets = y if units == 3 or loss == "hinge_loss" else y[:, None]

    layers = [
        keras.layers.Dense(len(layer.bias), activation=layer.activation, dtype="float64")
        for layer in mlp.layers
    ]
    twin = keras.Sequential([keras.Input((4,), dtype="float64"), *layers])
    twin.set_weights([a for layer in mlp.layers for a in (layer.weights, layer.bias)])
    keras_loss = {
        "binary_cross_entropy": keras.losses.binary_crossentropy,
        "sparse_categorical_cross_entropy": keras.losses.sparse_categorical_crossentropy,
        "mean_squared_error": keras.losses.mean_squared_error,
        "hinge_loss": keras.losses.hinge,
    }[loss]
    y_column = tf.constant(y if units == 3 else y[:, None])
    with tf.GradientTape() as tape:
        expected = twin(tf.constant(x))
        expected_loss = tf.reduce_mean(keras_loss(y_column, expected))
    expected_gradients = tape.gradient(expected_loss, twin.trainable_variables)

    outputs = mlp.forward(x)
    prediction = outputs[-1].a
    np.testing.assert_allclose(prediction, expected, atol=1e-12)
    prediction = prediction[:, 0] if loss == "hinge_loss" else prediction
    value = getattr(scratch, loss)(targets, prediction)
    assert value == pytest.approx(float(expected_loss), abs=1e-9)
    gradient = getattr(scratch, f"{loss}_gradient")(targets, prediction)
    mlp.backward(gradient.reshape(outputs[-1].a.shape))
    mine = [g for layer in mlp.layers for g in (layer.weights_gradient, layer.bias_gradient)]
    assert [g.shape for g in mine] == [tuple(g.shape) for g in expected_gradients]
    for a, b in zip(mine, expected_gradients, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-9)


def test_activations_equal_keras():
    with quiet_start():
        import keras

    z = np.linspace(-5, 5, 21).reshape(3, 7)
    for name in ("linear", "sigmoid", "tanh", "relu", "softmax"):
        expected = keras.ops.convert_to_numpy(keras.activations.get(name)(z))
        # Keras computes in float32 unless told otherwise, so the last digits are its own.
        mine = scratch.get_activation(name).function(z)
        np.testing.assert_allclose(mine, expected, atol=1e-6)


@pytest.mark.parametrize(("sizes", "parameters"), [((3, 4, 2), 26), ((2, 2, 1), 9), ((5, 1), 6)])
def test_mlp_counts_its_parameters(sizes, parameters):
    mlp = MLP(sizes, "sigmoid", rng=rng())
    assert mlp.count_params() == parameters
    assert sum(layer.weights.size + layer.bias.size for layer in mlp.layers) == parameters


def test_mlp_returns_every_layer_and_solves_xor_by_hand():
    mlp = MLP((2, 2, 1), "step", rng=rng())
    mlp.layers[0].weights[:] = [[1, 1], [1, 1]]
    mlp.layers[0].bias[:] = [-0.5, -1.5]  # OR, AND
    mlp.layers[1].weights[:] = [[1], [-1]]
    mlp.layers[1].bias[:] = -0.5
    x = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
    hidden, output = mlp.forward(x)
    np.testing.assert_array_equal(hidden.z[:, 0], [-0.5, 0.5, 0.5, 1.5])
    np.testing.assert_array_equal(hidden.a, [[0, 0], [1, 0], [1, 0], [1, 1]])
    np.testing.assert_array_equal(output.a[:, 0], [0, 1, 1, 0])
    np.testing.assert_array_equal(mlp.predict(x), output.a)
    with pytest.raises(ValueError, match="`activation` must have a derivative for `backward`"):
        mlp.backward(np.ones((4, 1)))


def test_forward_takes_plain_arrays_rows_and_stacks():
    weights, bias = np.array([[1.0, 1.0], [1.0, 1.0]]), np.array([-0.5, -1.5])
    layers = [(weights, bias, scratch.step), (np.array([[1.0], [-1.0]]), -0.5, scratch.step)]
    x = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
    hidden, output = forward(x, layers)
    np.testing.assert_array_equal(hidden.z, [[-0.5, -1.5], [0.5, -0.5], [0.5, -0.5], [1.5, 0.5]])
    np.testing.assert_array_equal(hidden.a, [[0, 0], [1, 0], [1, 0], [1, 1]])
    np.testing.assert_array_equal(output.a[:, 0], [0, 1, 1, 0])
    np.testing.assert_array_equal(forward(x[1], layers)[-1].a, [1])
    stacked = np.stack([weights, 2 * weights])
    np.testing.assert_array_equal(
        forward(x, [(stacked, 0, scratch.linear)])[0].a[1], 2 * x @ weights
    )
    mlp = MLP((2, 3, 1), ("tanh", "sigmoid"), rng=rng())
    same = forward(x, [(layer.weights, layer.bias, layer.function) for layer in mlp.layers])
    for mine, theirs in zip(same, mlp.forward(x), strict=True):
        np.testing.assert_array_equal(mine.z, theirs.z)
        np.testing.assert_array_equal(mine.a, theirs.a)


def test_same_generator_same_weights():
    first, second = (MLP((2, 3, 1), "relu", rng=rng()) for _ in range(2))
    for a, b in zip(first.layers, second.layers, strict=True):
        np.testing.assert_array_equal(a.weights, b.weights)


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: Dense(0, 1, rng=rng()), ValueError, "`num_inputs` must be an integer >= 1"),
        (lambda: Dense(1, 0, rng=rng()), ValueError, "`units` must be an integer >= 1"),
        (lambda: Dense(1, 1.5, rng=rng()), TypeError, "`units` must be an integer"),
        (lambda: Dense(1, 1, activation="bent", rng=rng()), ValueError, "`activation` must be one"),
        (lambda: Dense(1, 1, rng=3), TypeError, "`rng` must be a numpy.random.Generator"),
        (
            lambda: Dense(2, 1, rng=rng()).forward([[1.0]]),
            ValueError,
            r"`x` must have shape \(any, 2",
        ),
        (lambda: Dense(1, 1, rng=rng()).forward([["a"]]), TypeError, "`x` must be an array of num"),
        (
            lambda: Dense(1, 1, rng=rng()).backward([[1.0]]),
            RuntimeError,
            "`forward` must be called",
        ),
        (
            lambda: forward(np.ones((4, 3)), ONE_LAYER),
            ValueError,
            r"`x` must have 2 columns. Received: x.shape=\(4, 3\)",
        ),
        (lambda: forward([["a"]], ONE_LAYER), TypeError, "`x` must be an array of numbers"),
        (
            lambda: forward(np.ones((1, 2, 3)), ONE_LAYER),
            ValueError,
            "`x` must be 1-dimensional or 2-dim",
        ),
        (lambda: forward([np.nan, 1.0], ONE_LAYER), ValueError, "`x` must hold finite numbers"),
        (lambda: MLP((2,), "relu", rng=rng()), ValueError, "`sizes` must hold at least inputs and"),
        (lambda: MLP("21", "relu", rng=rng()), TypeError, "`sizes` must be a sequence of integers"),
        (lambda: MLP((2, 0), "relu", rng=rng()), ValueError, "`units` must be an integer >= 1"),
        (
            lambda: MLP((2, 1), ["relu"] * 2, rng=rng()),
            ValueError,
            "`activations` must be one name",
        ),
    ],
)
def test_refusals(call, error, match):
    with pytest.raises(error, match=match):
        call()


def test_backward_refuses_a_gradient_of_another_shape():
    layer = Dense(2, 3, rng=rng())
    layer.forward(np.ones((4, 2)))
    with pytest.raises(ValueError, match=r"`gradient` must have shape \(4, 3\)"):
        layer.backward(np.ones((4, 2)))


def test_docstrings():
    check_docstring(Dense)
    check_docstring(MLP)
    check_docstring(forward)
