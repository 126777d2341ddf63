import numpy as np
import pytest
from contracts import check_docstring
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes

from dlnotes.scratch import (
    BatchNormalization,
    LayerNormalization,
    numerical_gradient,
    through_statistics,
)

LAYERS = (BatchNormalization, LayerNormalization)


def example(kind, shape, seed):
    """A layer with random γ and β, its inputs, and a gradient of its outputs."""
    rng = np.random.default_rng(seed)
    layer = kind(shape[-1])
    layer.gamma, layer.beta = rng.uniform(0.5, 2, shape[-1]), rng.normal(size=shape[-1])
    return layer, rng.normal(1, 2, size=shape), rng.normal(size=shape)


def run_keras(keras, tf, layer, x, gradient, training):
    """Output of Keras' layer with our γ and β, and its gradients with respect to x, γ and β."""
    theirs = getattr(keras.layers, type(layer).__name__)()
    theirs.build(x.shape)
    theirs.gamma.assign(layer.gamma)
    theirs.beta.assign(layer.beta)
    if isinstance(layer, BatchNormalization):
        theirs.moving_mean.assign(layer.moving_mean)
        theirs.moving_variance.assign(layer.moving_variance)
    inputs = tf.Variable(x)
    with tf.GradientTape() as tape:
        output = theirs(inputs, training=training)
    sources = [inputs, theirs.gamma.value, theirs.beta.value]
    return output, tape.gradient(output, sources, output_gradients=tf.constant(gradient))


@pytest.mark.parametrize("thing", [*LAYERS, through_statistics])
def test_docstrings(thing):
    check_docstring(thing)


# === Equal to Keras ===


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("shape", [(5, 3), (4, 2, 3), (2, 3, 2, 4), (1, 3), (3, 1)])
@pytest.mark.parametrize("kind", LAYERS)
def test_outputs_and_gradients_equal_keras(double, kind, shape, training):
    layer, x, gradient = example(kind, shape, seed=len(shape))
    if kind is BatchNormalization:
        layer.moving_mean = layer.moving_mean + 0.5
        layer.moving_variance = layer.moving_variance * 3
    output, gradients = run_keras(*double, layer, x, gradient, training)
    np.testing.assert_allclose(layer.forward(x, training=training), output, atol=1e-6)
    ours = (layer.backward(gradient), layer.gamma_gradient, layer.beta_gradient)
    for mine, theirs in zip(ours, gradients, strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-6)


@pytest.mark.parametrize("options", [{}, {"momentum": 0.7, "epsilon": 0.1}])
def test_moving_averages_equal_keras_over_100_steps(double, options):
    keras, _ = double
    ours, theirs = BatchNormalization(4, **options), keras.layers.BatchNormalization(**options)
    rng = np.random.default_rng(0)
    for _ in range(100):
        x = rng.normal(3, 2, size=(3, 4))
        np.testing.assert_allclose(ours.forward(x, training=True), theirs(x, training=True))
    np.testing.assert_allclose(ours.moving_mean, theirs.moving_mean.numpy(), atol=1e-6)
    np.testing.assert_allclose(ours.moving_variance, theirs.moving_variance.numpy(), atol=1e-6)
    np.testing.assert_allclose(ours.forward(x), theirs(x, training=False), atol=1e-6)


def test_the_defaults_are_those_of_keras(double):
    keras, _ = double
    theirs, ours = keras.layers.BatchNormalization(), BatchNormalization(2)
    assert (ours.momentum, ours.epsilon) == (theirs.momentum, theirs.epsilon) == (0.99, 1e-3)
    assert LayerNormalization(2).epsilon == keras.layers.LayerNormalization().epsilon


# === By hand ===


def test_batch_norm_by_hand():
    layer = BatchNormalization(1, momentum=0.5, epsilon=1.0)
    layer.gamma[:], layer.beta[:] = 2.0, 10.0
    # mean 2, biased variance 8 (the unbiased one is 12), so the root is 3
    output = layer.forward([[0.0], [0.0], [6.0]], training=True)
    np.testing.assert_allclose(output.ravel(), [10 - 4 / 3, 10 - 4 / 3, 10 + 8 / 3])
    assert layer.moving_mean == 0.5 * 0 + 0.5 * 2
    assert layer.moving_variance == 0.5 * 1 + 0.5 * 8
    # at inference with mean 1 and variance 4.5, which stay
    np.testing.assert_allclose(layer.forward([[1.0]]), [[10.0]])
    np.testing.assert_allclose(layer.forward([[2.0]]), [[10 + 2 / np.sqrt(5.5)]])
    assert (layer.moving_mean, layer.moving_variance) == (1, 4.5)


def test_layer_norm_by_hand():
    layer = LayerNormalization(3, epsilon=1.0)
    rows = layer.forward([[0.0, 0.0, 6.0], [5.0, 5.0, 5.0]])
    np.testing.assert_allclose(rows, [[-2 / 3, -2 / 3, 4 / 3], [0, 0, 0]])


def test_two_rows_are_signs_and_one_row_is_nothing():
    layer = BatchNormalization(3, epsilon=1e-12)
    rows = np.array([[1.0, 20.0, -3.0], [2.0, -20.0, 0.0]])
    np.testing.assert_allclose(layer.forward(rows, training=True)[0], [-1, 1, -1])
    np.testing.assert_array_equal(layer.forward(rows[:1], training=True), np.zeros((1, 3)))
    np.testing.assert_array_equal(layer.backward(np.ones((1, 3))), np.zeros((1, 3)))


# === Gradients ===


@settings(deadline=None, max_examples=12)
@given(shape=array_shapes(min_dims=2, max_dims=4, max_side=3), seed=st.integers(0, 99))
@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("training", [True, False])
def test_gradients_agree_with_finite_differences(kind, training, shape, seed):
    layer, x, gradient = example(kind, shape, seed)
    layer.epsilon = 0.1  # so that nearly equal rows stay smooth
    layer.forward(x, training=training)
    found = layer.backward(gradient)
    averages = [getattr(layer, name, None) for name in ("moving_mean", "moving_variance")]

    def loss(x, gamma, beta):
        layer.gamma, layer.beta = gamma, beta
        layer.moving_mean, layer.moving_variance = averages
        return float(np.sum(gradient * layer.forward(x, training=training)))

    gamma, beta, slopes = layer.gamma, layer.beta, (layer.gamma_gradient, layer.beta_gradient)
    expected = [
        numerical_gradient(lambda v: loss(v, gamma, beta), x),
        numerical_gradient(lambda v: loss(x, v, beta), gamma),
        numerical_gradient(lambda v: loss(x, gamma, v), beta),
    ]
    for mine, measured in zip((found, *slopes), expected, strict=True):
        np.testing.assert_allclose(mine, measured, atol=1e-6)


@given(rows=st.integers(2, 9), units=st.integers(1, 5), seed=st.integers(0, 99))
@settings(deadline=None, max_examples=20)
def test_the_gradient_in_training_is_centred_and_orthogonal(rows, units, seed):
    layer, x, gradient = example(BatchNormalization, (rows, units), seed)
    layer.epsilon = 1e-12
    layer.forward(x, training=True)
    found = layer.backward(gradient) * layer.deviation
    np.testing.assert_allclose(found.sum(axis=0), 0, atol=1e-9)
    np.testing.assert_allclose((found * layer.x_hat).sum(axis=0), 0, atol=1e-6)


# === Errors ===


@pytest.mark.parametrize("kind", LAYERS)
def test_wrong_calls_are_refused(kind):
    layer = kind(3)
    with pytest.raises(RuntimeError, match="`forward` must be called before `backward`"):
        layer.backward(np.ones((2, 3)))
    with pytest.raises(ValueError, match=r"`x` must have 3 columns. Received: x.shape=\(2, 4\)"):
        layer.forward(np.ones((2, 4)))
    with pytest.raises(ValueError, match=r"`x` must have the shape \(B, …, D\)"):
        layer.forward(np.ones(3))
    with pytest.raises(ValueError, match="`x` must hold finite numbers"):
        layer.forward([[1.0, np.nan, 2.0]])
    with pytest.raises(TypeError, match="`x` must be an array of numbers"):
        layer.forward([["a", "b", "c"]])
    with pytest.raises(TypeError, match="`training` must be True or False. Received: training=1"):
        layer.forward(np.ones((2, 3)), training=1)
    layer.forward(np.ones((2, 3)), training=True)
    with pytest.raises(ValueError, match=r"`gradient` must have shape \(2, 3\)"):
        layer.backward(np.ones((2, 2)))
    with pytest.raises(TypeError, match="`num_features` must be an integer"):
        kind(2.0)
    with pytest.raises(ValueError, match="`num_features` must be an integer >= 1"):
        kind(0)
    with pytest.raises(ValueError, match="`epsilon` must be a finite number > 0"):
        kind(3, epsilon=0)


def test_momentum_is_checked():
    with pytest.raises(ValueError, match=r"`momentum` must be a finite number in \[0, 1\]"):
        BatchNormalization(3, momentum=1.5)
    with pytest.raises(TypeError, match="`momentum` must be a number"):
        BatchNormalization(3, momentum="0.9")
