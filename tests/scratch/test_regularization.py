import contextlib

import numpy as np
import pytest
from contracts import check_docstring
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Lasso, Ridge

from dlnotes import scratch
from dlnotes.runtime import quiet_start
from dlnotes.scratch import (
    Dropout,
    l1_gradient,
    l1_penalty,
    l2_gradient,
    l2_penalty,
    numerical_gradient,
    proximal_descent,
    ridge,
    soft_threshold,
)

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 5))
Y = X @ np.array([2.0, -1.0, 0.0, 0.0, 0.0]) + 0.1 * RNG.normal(size=40)
PENALTIES = {"L1": (l1_penalty, l1_gradient), "L2": (l2_penalty, l2_gradient)}


@contextlib.contextmanager
def keras_in_float64():
    with quiet_start():
        import keras

    floatx, policy = keras.config.floatx(), keras.config.dtype_policy()
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    try:
        yield keras
    finally:
        keras.config.set_floatx(floatx)
        keras.config.set_dtype_policy(policy)


def least_squares_gradient(w):
    return 2 * X.T @ (X @ w - Y) / len(X)


@pytest.mark.parametrize("rule", PENALTIES)
def test_penalty_and_gradient_equal_keras(rule):
    import tensorflow as tf

    weights = RNG.normal(size=(4, 3))
    weights[0, 0] = 0.0
    penalty, gradient = PENALTIES[rule]
    with keras_in_float64() as keras:
        variable = tf.Variable(weights)
        with tf.GradientTape() as tape:
            cost = getattr(keras.regularizers, rule)(0.3)(variable)
        slope = tape.gradient(cost, variable)
    # Keras keeps the strength as a float32 number
    assert penalty(weights, 0.3) == pytest.approx(float(cost), rel=1e-6)
    np.testing.assert_allclose(gradient(weights, 0.3), slope, rtol=1e-6)


@pytest.mark.parametrize("rule", PENALTIES)
def test_gradient_matches_finite_differences(rule):
    penalty, gradient = PENALTIES[rule]
    weights = np.array([[0.5, -2.0, 1.5], [3.0, -0.7, 0.2]])
    slope = numerical_gradient(lambda w: penalty(w, 0.4), weights)
    np.testing.assert_allclose(gradient(weights, 0.4), slope, atol=1e-7)


@pytest.mark.parametrize("function", [f for pair in PENALTIES.values() for f in pair])
def test_penalties_refuse_bad_input(function):
    with pytest.raises(ValueError, match=r"`strength` must be a finite number >= 0.*strength=-1"):
        function([1.0], -1)
    with pytest.raises(TypeError, match="`strength` must be a number"):
        function([1.0], "much")
    with pytest.raises(ValueError, match="`weights` must hold finite numbers"):
        function([np.nan], 1.0)


@given(st.floats(-5, 5), st.floats(0, 3))
@settings(max_examples=50, deadline=None)
def test_soft_threshold_minimises_its_objective(weight, amount):
    best = soft_threshold(weight, amount)
    objective = 0.5 * (best - weight) ** 2 + amount * abs(best)
    for other in np.linspace(-6, 6, 241):
        assert objective <= 0.5 * (other - weight) ** 2 + amount * abs(other) + 1e-12


def test_soft_threshold_refuses_bad_input():
    with pytest.raises(ValueError, match=r"`amount` must not be negative. Received: amount=-0.5"):
        soft_threshold([1.0], -0.5)
    with pytest.raises(TypeError, match="`weights` must be an array of numbers"):
        soft_threshold(["a"], 1.0)


def test_ridge_is_the_lowest_point_and_scikit_learns():
    weights = ridge(X, Y, 0.3)
    slope = least_squares_gradient(weights) + l2_gradient(weights, 0.3)
    np.testing.assert_allclose(slope, 0, atol=1e-12)
    theirs = Ridge(alpha=0.3 * len(X), fit_intercept=False).fit(X, Y).coef_
    np.testing.assert_allclose(weights, theirs, atol=1e-10)


def test_ridge_refuses_bad_input():
    with pytest.raises(ValueError, match=r"`strength` must be a finite number > 0"):
        ridge(X, Y, 0)
    with pytest.raises(ValueError, match=r"`y` must have shape \(40,\). Received: y.shape=\(3,\)"):
        ridge(X, Y[:3], 1.0)
    with pytest.raises(TypeError, match="`x` must be an array of numbers"):
        ridge([["a"]], [1.0], 1.0)


def test_proximal_descent_ends_at_the_lasso_with_its_zeros():
    rate = 1 / np.linalg.eigvalsh(2 * X.T @ X / len(X))[-1]
    options = {"rate": rate, "strength": 0.4, "num_steps": 500}
    path = proximal_descent(least_squares_gradient, np.ones(5), **options)
    theirs = Lasso(alpha=0.2, fit_intercept=False, tol=1e-14).fit(X, Y).coef_
    assert path.shape == (501, 5)
    np.testing.assert_array_equal(path[0], 1)
    np.testing.assert_allclose(path[-1], theirs, atol=1e-10)
    np.testing.assert_array_equal(path[-1] == 0, theirs == 0)
    assert (theirs == 0).sum() == 3
    losses = [np.mean((X @ w - Y) ** 2) + l1_penalty(w, 0.4) for w in path]
    assert (np.diff(losses) <= 1e-12).all()


def test_proximal_descent_refuses_bad_input():
    good = {"rate": 0.1, "strength": 1.0, "num_steps": 1}
    with pytest.raises(TypeError, match="`gradient` must be a function of the weights"):
        proximal_descent(3, [0.0], **good)
    for name, value, message in (
        ("rate", 0, "`rate` must be a finite number > 0"),
        ("strength", -1, "`strength` must be a finite number >= 0"),
        ("num_steps", -1, "`num_steps` must be an integer >= 0"),
    ):
        with pytest.raises(ValueError, match=message):
            proximal_descent(least_squares_gradient, np.ones(5), **(good | {name: value}))
    options = {"rate": 1e3, "strength": 1.0, "num_steps": 200}
    message = "`weights` must hold finite numbers"
    with np.errstate(all="ignore"), pytest.raises(ValueError, match=message):
        proximal_descent(least_squares_gradient, np.ones(5), **options)


@pytest.mark.parametrize("rate", [0.0, 0.25, 0.8])
def test_inverted_dropout_equals_keras_for_keras_mask(rate):
    import tensorflow as tf

    inputs = RNG.normal(size=(3, 4))
    with keras_in_float64() as keras:
        layer, variable = keras.layers.Dropout(rate, seed=3), tf.Variable(inputs)
        with tf.GradientTape() as tape:
            output = layer(variable, training=True)
            loss = tf.reduce_sum(output**2)
        slope = tape.gradient(loss, variable)
        at_test = layer(variable, training=False)
        kept = np.asarray(output) != 0

    class Coins:  # hands out Keras' mask as coins
        def random(self, shape):
            return np.where(kept, 0.0, 1.0).reshape(shape)

    ours = Dropout(rate, np.random.default_rng(0))
    ours.rng = Coins()
    result = ours(inputs, training=True)
    np.testing.assert_allclose(result, output, rtol=1e-6)
    np.testing.assert_allclose(ours.backward(2 * result), slope, rtol=1e-6)
    np.testing.assert_array_equal(ours(inputs), at_test)


@pytest.mark.parametrize(
    ("scaling", "training", "test"), [("inverted", 1, 1), ("original", 0.7, 0.7)]
)
def test_the_mean_in_training_is_the_test_output(scaling, training, test):
    layer, inputs = Dropout(0.3, np.random.default_rng(1), scaling), np.full((50_000, 2), 3.0)
    np.testing.assert_allclose(layer(inputs, training=True).mean(axis=0), 3 * training, atol=0.03)
    np.testing.assert_allclose(layer(inputs), 3 * test, rtol=1e-12)
    np.testing.assert_allclose(layer.backward(np.ones(inputs.shape)), test, rtol=1e-12)


def test_masks_are_binomial_and_differ_between_rows_and_calls():
    layer = Dropout(0.25, np.random.default_rng(2))
    first, second = (layer(np.ones((20_000, 10)), training=True) for _ in range(2))
    off = (first == 0).sum(axis=1)
    assert off.mean() == pytest.approx(2.5, abs=0.05)
    assert off.var() == pytest.approx(10 * 0.25 * 0.75, rel=0.05)
    assert (first != second).any(axis=1).mean() > 0.9
    assert len(np.unique(first[:100], axis=0)) > 50
    covariance = np.cov(first[:, 0], first[:, 1])[0, 1]
    assert abs(covariance) < 0.02  # each unit tosses its own coin


def test_nothing_passes_back_through_a_unit_that_was_off():
    layer = Dropout(0.5, np.random.default_rng(3))
    output = layer(np.ones((4, 6)), training=True)
    np.testing.assert_array_equal(layer.backward(np.full((4, 6), 3.0)), 3 * output)


def test_dropout_refuses_bad_input():
    rng = np.random.default_rng(0)
    for rate in (-0.1, 1.0, np.nan):
        with pytest.raises(ValueError, match=r"`rate` must be a finite number in \[0, 1\)"):
            Dropout(rate, rng)
    with pytest.raises(TypeError, match="`rate` must be a number"):
        Dropout("half", rng)
    with pytest.raises(TypeError, match=r"`rng` must be a numpy.random.Generator"):
        Dropout(0.5, 3)
    with pytest.raises(ValueError, match="`scaling` must be one of 'inverted', 'original'"):
        Dropout(0.5, rng, "keras")
    layer = Dropout(0.5, rng)
    with pytest.raises(RuntimeError, match="Call the layer before `backward`"):
        layer.backward(np.ones(3))
    layer(np.ones(3), training=True)
    with pytest.raises(ValueError, match=r"`gradient` must have shape \(3,\)"):
        layer.backward(np.ones(4))
    with pytest.raises(TypeError, match="`inputs` must be an array of numbers"):
        layer(["a"])


@pytest.mark.parametrize(
    "name",
    ["Dropout", "l1_penalty", "l2_penalty", "soft_threshold", "ridge", "proximal_descent"],
)
def test_docstrings(name):
    check_docstring(getattr(scratch, name))


def test_dropout_draws_nothing_at_test_time():
    generator = np.random.default_rng(3)
    before = generator.bit_generator.state
    layer = Dropout(0.5, generator)
    layer(np.ones((4, 4)))
    assert generator.bit_generator.state == before
    layer(np.ones((4, 4)), training=True)
    assert generator.bit_generator.state != before
