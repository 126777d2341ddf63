import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dlnotes.scratch import Perceptron, margin, mistake_bound

CORNERS = np.array([[0.0, 0], [0, 1], [1, 0], [1, 1]])


def test_a_row_on_the_wrong_side_is_added_or_subtracted_once():
    neuron = Perceptron(2, learning_rate=0.5)
    assert neuron.predict(np.array([3.0, 1.0])) == 1  # a score of 0 answers 1
    assert neuron.update(np.array([3.0, 1.0]), 0)
    np.testing.assert_allclose(neuron.weights, [-1.5, -0.5])
    assert neuron.bias == -0.5
    assert not neuron.update(np.array([3.0, 1.0]), 0)
    assert neuron.update(np.array([2.0, 0.0]), 1)
    np.testing.assert_allclose(neuron.weights, [-0.5, -0.5])
    assert neuron.bias == 0.0


def test_scores_and_answers_follow_the_formula():
    neuron = Perceptron(2)
    neuron.weights, neuron.bias = np.array([2.0, -1.0]), 0.5
    np.testing.assert_allclose(neuron.score(CORNERS), [0.5, -0.5, 2.5, 1.5])
    np.testing.assert_array_equal(neuron.predict(CORNERS), [1, 0, 1, 1])


def test_it_learns_and_stops_correcting():
    neuron = Perceptron(2)
    wrong = neuron.fit(CORNERS, [0, 0, 0, 1], num_draws=500, rng=np.random.default_rng(0))
    assert wrong.dtype == bool
    assert wrong.shape == (500,)
    assert wrong[:50].any()
    assert not wrong[-100:].any()
    np.testing.assert_array_equal(neuron.predict(CORNERS), [0, 0, 0, 1])


def test_xor_is_corrected_for_ever():
    wrong = Perceptron(2).fit(CORNERS, [0, 1, 1, 0], num_draws=2000, rng=np.random.default_rng(0))
    assert wrong[-200:].sum() > 40


def test_the_start_comes_from_the_generator():
    first, second = (Perceptron(3, rng=np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(first.weights, second.weights)
    assert first.bias == second.bias != 0
    assert np.abs(first.weights).max() < 1


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: Perceptron("2"), TypeError, "`num_features` must be an integer. Received"),
        (lambda: Perceptron(0), ValueError, "`num_features` must be an integer >= 1"),
        (lambda: Perceptron(2, learning_rate=0), ValueError, "`learning_rate` must be a finite"),
        (lambda: Perceptron(2, learning_rate="a"), TypeError, "`learning_rate` must be a number"),
        (
            lambda: Perceptron(3).fit(CORNERS, [0, 1, 1, 0], rng=np.random.default_rng(0)),
            ValueError,
            r"`x` must have 3 columns. Received: x.shape=\(2,\)",
        ),
        (
            lambda: Perceptron(2).fit(CORNERS, [0, 1], rng=np.random.default_rng(0)),
            ValueError,
            r"`x` and `y` must have the same number of rows. Received: len\(x\)=4, len\(y\)=2",
        ),
        (
            lambda: Perceptron(2).fit(CORNERS, "ab", rng=np.random.default_rng(0)),
            TypeError,
            "`y` must be an array of numbers",
        ),
        (
            lambda: Perceptron(2).fit(CORNERS, [0] * 4, num_draws=0, rng=np.random.default_rng(0)),
            ValueError,
            "`num_draws` must be an integer >= 1",
        ),
        (
            lambda: Perceptron(2).fit(CORNERS, [-1, 1, 1, -1], rng=np.random.default_rng(0)),
            ValueError,
            "`y` must hold the labels 0 and 1. Received",
        ),
        (lambda: Perceptron(2, rng=5), TypeError, "`rng` must be a numpy.random.Generator"),
        (
            lambda: Perceptron(2).fit(CORNERS, [0, 1, 1, 0], rng=None),
            TypeError,
            "`rng` must be a numpy.random.Generator.*Received: rng=None",
        ),
        (lambda: Perceptron(2).predict([1.0, 2.0, 3.0]), ValueError, "`x` must have 2 columns"),
        (lambda: margin([0, 0], 1, CORNERS, [0] * 4), ValueError, "`weights` must not all be zero"),
        (lambda: margin([1, 0], 1, CORNERS, [0, 1, 2, 1]), ValueError, "`y` must hold the labels"),
        (lambda: margin([1], 1, CORNERS, [0] * 4), ValueError, r"`x` must have shape \(any, 1\)"),
        (
            lambda: mistake_bound([1, 1], -0.5, CORNERS, [0, 0, 0, 1]),
            ValueError,
            "needs a line without mistakes.*has 2 mistakes on 4 rows",
        ),
    ],
)
def test_bad_input_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_the_margin_is_a_signed_distance():
    x = np.array([[0.0, 0.0], [3.0, 4.0]])
    assert margin([3, 4], -10, x, [0, 1]) == pytest.approx(2.0)
    assert margin([30, 40], -100, x, [0, 1]) == pytest.approx(2.0)
    assert margin([3, 4], 5, x, [0, 1]) == pytest.approx(-1.0)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), gap=st.floats(0.05, 0.5))
def test_no_perceptron_makes_more_corrections_than_novikoff_allows(seed, gap):
    rng = np.random.default_rng(seed)
    weights, bias = rng.normal(size=2), 0.2 * rng.normal()
    x = rng.uniform(-1, 1, (80, 2))
    x = x[np.abs(x @ weights + bias) > gap * np.linalg.norm(weights)]
    if len(x) < 2:
        return
    y = (x @ weights + bias > 0).astype(int)
    bound = mistake_bound(weights, bias, x, y)
    wrong = Perceptron(2, learning_rate=1.0).fit(x, y, num_draws=3000, rng=rng)
    assert wrong.sum() <= bound
