import numpy as np
import pytest
from contracts import Refusal, check_docstring, check_refusals
from hypothesis import given, settings
from hypothesis import strategies as st

from dlnotes.scratch import (
    LeastSquares,
    Quadratic,
    SoftmaxRegression,
    numerical_gradient,
    sparse_categorical_cross_entropy,
)

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(20, 3)), RNG.normal(size=20)
LABELS = RNG.integers(4, size=20)


@pytest.mark.parametrize("thing", [LeastSquares, SoftmaxRegression])
def test_docstrings(thing):
    check_docstring(thing)


# === LeastSquares ===


@settings(max_examples=20, deadline=None)
@given(rows=st.integers(1, 12), columns=st.integers(1, 5), seed=st.integers(0, 99))
def test_least_squares_gradient_equals_finite_differences(rows, columns, seed):
    rng = np.random.default_rng(seed)
    bowl = LeastSquares(rng.normal(size=(rows, columns)), rng.normal(size=rows))
    weights = rng.normal(size=columns)
    expected = numerical_gradient(bowl.loss, weights)
    np.testing.assert_allclose(bowl.gradient(weights), expected, atol=1e-7)


def test_least_squares_has_its_minimum_and_its_hessian():
    bowl = LeastSquares(X, Y)
    np.testing.assert_allclose(bowl.gradient(bowl.minimum), 0, atol=1e-14)
    step = RNG.normal(size=3)
    change = bowl.gradient(bowl.minimum + step)
    np.testing.assert_allclose(change, bowl.hessian @ step, atol=1e-12)
    assert bowl.loss(bowl.minimum) == pytest.approx(np.mean((X @ bowl.minimum - Y) ** 2))
    shortest = LeastSquares([[1.0, 1.0]], [2.0]).minimum  # of all with the sum 2
    np.testing.assert_allclose(shortest, [1, 1])


def test_least_squares_gradient_of_some_rows_is_theirs_alone():
    bowl, rows = LeastSquares(X, Y), np.array([3, 7, 11])
    expected = LeastSquares(X[rows], Y[rows]).gradient(np.ones(3))
    np.testing.assert_allclose(bowl.gradient(np.ones(3), rows), expected, atol=1e-14)


def test_least_squares_loss_of_a_path_is_that_of_its_points():
    bowl, path = LeastSquares(X, Y), RNG.normal(size=(5, 2, 3))
    losses = bowl.loss(path)
    assert losses.shape == (5, 2)
    assert losses[4, 1] == pytest.approx(bowl.loss(path[4, 1]))
    assert isinstance(bowl.loss(path[0, 0]), float)


def test_least_squares_loss_out_of_bounds_is_infinite_without_a_warning():
    with np.errstate(all="raise"):
        assert LeastSquares(X, Y).loss([1e200, 0, 0]) == np.inf


def test_least_squares_refuses():
    check_refusals(
        LeastSquares,
        [
            Refusal(([1.0], [1.0]), {}, ValueError, "`x` must be 2-dimensional"),
            Refusal((X, Y[1:]), {}, ValueError, "`x` and `y` must have the same number of rows"),
            Refusal((X, "a"), {}, TypeError, "`y` must be an array of numbers"),
            Refusal((X * np.nan, Y), {}, ValueError, "`x` must hold finite numbers"),
        ],
    )
    with pytest.raises(ValueError, match="`weights` must have 3 columns"):
        LeastSquares(X, Y).loss([1.0, 2.0])


# === SoftmaxRegression ===


@settings(max_examples=15, deadline=None)
@given(rows=st.integers(1, 8), columns=st.integers(1, 4), seed=st.integers(0, 99))
def test_softmax_gradient_equals_finite_differences(rows, columns, seed):
    rng = np.random.default_rng(seed)
    model = SoftmaxRegression(rng.normal(size=(rows, columns)), rng.integers(3, size=rows), 3)
    weights = rng.normal(size=model.start.shape)
    expected = numerical_gradient(model.loss, weights)
    np.testing.assert_allclose(model.gradient(weights), expected, atol=1e-7)


def test_softmax_loss_is_the_cross_entropy_of_scores_with_a_bias():
    model, weights = SoftmaxRegression(X, LABELS, 4), RNG.normal(size=(4, 4))
    scores = X @ weights[:3] + weights[3]
    expected = sparse_categorical_cross_entropy(LABELS, scores, from_logits=True)
    assert model.loss(weights) == pytest.approx(expected, abs=1e-12)
    path = np.stack([weights, 2 * weights])
    np.testing.assert_allclose(model.loss(path), [expected, model.loss(2 * weights)])
    assert np.isfinite(model.loss(1e4 * weights))


def test_softmax_gradient_of_some_rows_and_accuracy():
    model, rows, weights = SoftmaxRegression(X, LABELS, 4), [2, 5], RNG.normal(size=(4, 4))
    expected = SoftmaxRegression(X[rows], LABELS[rows], 4).gradient(weights)
    np.testing.assert_allclose(model.gradient(weights, rows), expected, atol=1e-14)
    answers = np.argmax(X @ weights[:3] + weights[3], axis=1)
    assert model.accuracy(weights, X, LABELS) == np.mean(answers == LABELS)
    assert model.accuracy(weights, X, answers) == 1.0


def test_softmax_takes_pictures_as_rows():
    pictures = RNG.normal(size=(20, 2, 3))
    model = SoftmaxRegression(pictures, LABELS, 4)
    assert model.start.shape == (7, 4)
    flat = SoftmaxRegression(pictures.reshape(20, 6), LABELS, 4)
    np.testing.assert_array_equal(model.x, flat.x)


def test_softmax_refuses():
    check_refusals(
        SoftmaxRegression,
        [
            Refusal((X, LABELS, 1), {}, ValueError, "`num_classes` must be an integer >= 2"),
            Refusal((X, LABELS, 2.0), {}, TypeError, "`num_classes` must be an integer"),
            Refusal((X, LABELS, 3), {}, ValueError, "`y` must hold class numbers 0 to 2"),
            Refusal((X, LABELS + 0.5, 4), {}, ValueError, "`y` must hold class numbers 0 to 3"),
            Refusal(
                (X[:, 0], LABELS, 4), {}, ValueError, "`x` must be 2-dimensional or 3-dimensional"
            ),
            Refusal((X, LABELS[1:], 4), {}, ValueError, "must have the same number of rows"),
        ],
    )
    with pytest.raises(ValueError, match=r"`weights` must end in the shape \(4, 4\)"):
        SoftmaxRegression(X, LABELS, 4).loss(np.zeros((3, 4)))


# === Quadratic ===


def test_quadratic_has_the_loss_gradient_and_noise_of_its_hessian():
    check_docstring(Quadratic)
    hessian = np.array([[2.0, 0.5], [0.5, -1.0]])
    saddle = Quadratic(hessian)
    w = np.array([[1.0, 2.0], [3.0, -1.0]])
    np.testing.assert_allclose(saddle.loss(w), [0.5 * row @ hessian @ row for row in w])
    for row in w:
        np.testing.assert_allclose(
            saddle.gradient(row), numerical_gradient(saddle.loss, row), atol=1e-6
        )
    noisy = Quadratic(hessian, noise=3.0, rng=np.random.default_rng(0))
    errors = noisy.gradient(np.tile(w[0], (5000, 1))) - saddle.gradient(w[0])
    np.testing.assert_allclose(errors.mean(axis=0), 0, atol=0.2)
    np.testing.assert_allclose(errors.std(axis=0), 3, atol=0.15)


def test_quadratic_refuses():
    check_refusals(
        Quadratic,
        [
            Refusal(([1.0],), {}, ValueError, "`hessian` must be 2-dimensional"),
            Refusal(([[1.0, 2.0]],), {}, ValueError, "`hessian` must be a square"),
            Refusal(([[1.0, 2.0], [0.0, 1.0]],), {}, ValueError, "`hessian` must be a square"),
            Refusal(([[1.0]],), {"noise": -1}, ValueError, "`noise` must be"),
            Refusal(([[1.0]],), {"noise": 1}, TypeError, "`rng` must be a numpy"),
        ],
    )
    with pytest.raises(ValueError, match="`weights` must have 2 columns"):
        Quadratic(np.eye(2)).loss([1.0])
