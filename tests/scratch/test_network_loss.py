import numpy as np
import pytest
from contracts import Refusal, check_docstring, check_refusals
from hypothesis import given, settings
from hypothesis import strategies as st

from dlnotes import runtime
from dlnotes.scratch import NetworkLoss, numerical_gradient

X = np.random.default_rng(0).normal(size=(9, 3))
Y = np.array([0, 1, 2, 1, 0, 2, 2, 1, 0])


def test_docstrings():
    check_docstring(NetworkLoss)


@settings(max_examples=20, deadline=None)
@given(
    hidden=st.lists(st.integers(1, 4), max_size=2),
    activation=st.sampled_from(["tanh", "relu"]),
    seed=st.integers(0, 99),
)
def test_gradients_equal_finite_differences(hidden, activation, seed):
    landscape = NetworkLoss(X, Y, (3, *hidden, 3), activation)
    weights = landscape.draw(1, np.random.default_rng(seed))[0]
    weights += np.random.default_rng(seed + 1).normal(0, 0.3, weights.shape)  # biases too
    np.testing.assert_allclose(
        landscape.gradient(weights), numerical_gradient(landscape.loss, weights), atol=1e-6
    )


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_loss_and_gradient_equal_keras(activation):
    with runtime.quiet_start():
        import keras
        import tensorflow as tf

    landscape = NetworkLoss(X, Y, (3, 4, 3), activation)
    weights = landscape.draw(1, np.random.default_rng(5))[0]
    model = keras.Sequential(
        [
            keras.Input((3,), dtype="float64"),
            keras.layers.Dense(4, activation=activation, dtype="float64"),
            keras.layers.Dense(3, dtype="float64"),
        ]
    )
    parts = np.split(weights, [12, 16, 28])
    shaped = [
        part.reshape(shape) for part, shape in zip(parts, [(3, 4), 4, (4, 3), 3], strict=True)
    ]
    model.set_weights(shaped)
    with tf.GradientTape() as tape:
        scores = model(X)
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(Y, scores))
    gradients = tape.gradient(loss, model.trainable_variables)
    np.testing.assert_allclose(landscape.loss(weights), float(loss), atol=1e-12)
    np.testing.assert_allclose(
        landscape.gradient(weights), np.concatenate([np.ravel(g) for g in gradients]), atol=1e-12
    )
    right = np.mean(np.argmax(scores, axis=1) == Y)
    assert landscape.accuracy(weights) == pytest.approx(right)


def test_stacked_networks_are_independent_also_with_batches_of_their_own():
    landscape = NetworkLoss(X, Y, (3, 4, 3))
    weights = landscape.draw(3, np.random.default_rng(1))
    rows = np.array([[0, 1], [4, 2], [8, 8]])
    together = landscape.gradient(weights, rows)
    for s in range(3):
        alone = landscape.gradient(weights[s], rows[s])
        np.testing.assert_allclose(together[s], alone, atol=1e-14)
        assert landscape.loss(weights)[s] == pytest.approx(landscape.loss(weights[s]))
        assert landscape.accuracy(weights)[s] == landscape.accuracy(weights[s])
        few = NetworkLoss(X[rows[s]], Y[rows[s]], (3, 4, 3)).gradient(weights[s])
        np.testing.assert_allclose(alone, few, atol=1e-14)
    weights[1] = np.inf
    with np.errstate(over="raise", invalid="raise"):
        broken = landscape.gradient(weights, rows)
    np.testing.assert_allclose(broken[[0, 2]], together[[0, 2]], atol=1e-14)


def test_hessian_equals_differences_of_the_gradient_and_tells_a_saddle():
    landscape = NetworkLoss(X, Y, (3, 2, 3))
    weights = landscape.draw(2, np.random.default_rng(2))
    hessian = landscape.hessian(weights[0])
    slow = np.array(
        [
            numerical_gradient(lambda w, k=k: float(landscape.gradient(w)[k]), weights[0])
            for k in range(landscape.num_weights)
        ]
    )
    np.testing.assert_allclose(hessian, slow, atol=1e-6)
    np.testing.assert_array_equal(hessian, hessian.T)
    spectra = landscape.curvatures(weights)
    assert spectra.shape == weights.shape
    np.testing.assert_allclose(spectra[0].sum(), np.trace(slow), atol=1e-5)
    line = NetworkLoss(X, Y, (3, 3))  # convex: softmax regression
    assert line.curvatures(line.draw(1, np.random.default_rng(3)))[0, 0] > -1e-7


def test_first_weights_have_the_spread_that_suits_the_bend():
    for activation, gain in (("tanh", 1), ("relu", 2)):
        landscape = NetworkLoss(np.zeros((2, 50)), [0, 1], (50, 40, 2), activation)
        weights = landscape.draw(4, np.random.default_rng(0))
        assert weights.shape == (4, landscape.num_weights) == (4, 50 * 40 + 40 + 80 + 2)
        assert weights[:, :2000].var() == pytest.approx(gain / 50, rel=0.08)
        np.testing.assert_array_equal(weights[:, 2000:2040], 0)


def test_refusals():
    check_refusals(
        NetworkLoss,
        [
            Refusal((X, Y, (4, 3)), {}, ValueError, "`sizes` must begin with the 3 features"),
            Refusal((X, Y, (3,)), {}, ValueError, "`sizes` must begin with the 3 features"),
            Refusal((X, Y, (3, 0, 3)), {}, ValueError, "`sizes` must be an integer >= 1"),
            Refusal((X, Y, (3, 2)), {}, ValueError, "`y` must"),
            Refusal((X, Y[:4], (3, 3)), {}, ValueError, "`x`"),
            Refusal((X, Y, (3, 3), "step"), {}, ValueError, "`activation` must be one of"),
            Refusal(("x", Y, (3, 3)), {}, TypeError, "`x` must be an array of numbers"),
        ],
    )
    landscape = NetworkLoss(X, Y, (3, 3))
    for method in (landscape.loss, landscape.gradient, landscape.accuracy, landscape.curvatures):
        with pytest.raises(ValueError, match="`weights` must have 12 columns"):
            method(np.zeros(11))
    with pytest.raises(ValueError, match=r"`weights` must have shape \(12,\)"):
        landscape.hessian(np.zeros((2, 12)))
    with pytest.raises(ValueError, match="`copies` must be an integer >= 1"):
        landscape.draw(0, np.random.default_rng(0))
    with pytest.raises(TypeError, match="`rng` must be a numpy"):
        landscape.draw(1, 0)
