import numpy as np
import pytest
from contracts import check_docstring
from hypothesis import given, settings
from hypothesis import strategies as st

from dlnotes import scratch

LOSSES = [
    "perceptron_loss",
    "hinge_loss",
    "mean_squared_error",
    "binary_cross_entropy",
    "categorical_cross_entropy",
    "sparse_categorical_cross_entropy",
]


def example(name, seed, rows, from_logits=False):
    """Random targets and predictions, away from kinks."""
    rng = np.random.default_rng(seed)
    z = rng.normal(scale=2, size=(rows, 3))
    classes = rng.integers(3, size=rows)
    if name in ("perceptron_loss", "hinge_loss"):
        return rng.choice([-1.0, 1.0], size=rows), z[:, 0]
    if name == "mean_squared_error":
        return rng.normal(size=z.shape), z
    if name == "binary_cross_entropy":
        return rng.uniform(size=z.shape), z if from_logits else scratch.sigmoid(z)
    y = classes if name.startswith("sparse") else np.eye(3)[classes]
    return y, z if from_logits else scratch.softmax(z)


def measured_gradient(loss, y, prediction, h=1e-6):
    result = np.zeros_like(prediction)
    for index in np.ndindex(prediction.shape):
        nudge = np.zeros_like(prediction)
        nudge[index] = h
        result[index] = (loss(y, prediction + nudge) - loss(y, prediction - nudge)) / (2 * h)
    return result


def test_values_by_hand():
    assert scratch.perceptron_loss([1, 1, -1, -1], [2, -3, 5, -7]) == (3 + 5) / 4
    assert scratch.hinge_loss([1, 1, -1], [2, 0.25, 0.5]) == (0 + 0.75 + 1.5) / 3
    assert scratch.mean_squared_error([[1, 2]], [[3, 2]]) == 2
    assert scratch.binary_cross_entropy([1, 0], [0.5, 0.75]) == pytest.approx(np.log(8) / 2)
    assert scratch.categorical_cross_entropy([[0, 1], [1, 0]], [[0.5, 0.5], [0.25, 0.75]]) == (
        pytest.approx(np.log(8) / 2)
    )
    assert scratch.sparse_categorical_cross_entropy([1, 0], [[0.5, 0.5], [0.25, 0.75]]) == (
        pytest.approx(np.log(8) / 2)
    )


@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 1000), rows=st.integers(1, 5))
@pytest.mark.parametrize("name", ["perceptron_loss", "hinge_loss", "mean_squared_error"])
def test_gradients_agree_with_finite_differences(name, seed, rows):
    y, prediction = example(name, seed, rows)
    gradient = getattr(scratch, f"{name}_gradient")(y, prediction)
    expected = measured_gradient(getattr(scratch, name), y, prediction)
    np.testing.assert_allclose(gradient, expected, atol=1e-7)


@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 1000), rows=st.integers(1, 5))
@pytest.mark.parametrize("name", LOSSES[3:])
def test_cross_entropy_gradients_agree_with_finite_differences(name, seed, rows):
    loss = getattr(scratch, name)
    gradient = getattr(scratch, f"{name}_gradient")
    y, z = example(name, seed, rows, from_logits=True)

    def from_logits(y, z):
        return loss(y, z, from_logits=True)

    np.testing.assert_allclose(
        gradient(y, z, from_logits=True), measured_gradient(from_logits, y, z), atol=1e-7
    )
    y, p = example(name, seed, rows)
    # Both ways of saying the same give the same loss, and the chain rule joins their gradients.
    assert loss(y, p) == pytest.approx(loss(y, z, from_logits=True), abs=1e-6)
    if name == "binary_cross_entropy":
        chained = gradient(y, p) * scratch.sigmoid_derivative(z)
    else:
        chained = np.einsum("bi,bij->bj", gradient(y, p), scratch.softmax_jacobian(z))
    np.testing.assert_allclose(chained, gradient(y, z, from_logits=True), atol=1e-9)


def test_certain_and_wrong_stays_finite():
    worst = -np.log(1e-7)
    assert scratch.binary_cross_entropy([1.0], [0.0]) == pytest.approx(worst)
    assert scratch.categorical_cross_entropy([[1, 0]], [[0, 1]]) == pytest.approx(worst)
    np.testing.assert_array_equal(scratch.binary_cross_entropy_gradient([1.0], [0.0]), [0])
    assert scratch.binary_cross_entropy([1.0, 0.0], [-1e4, 1e4], from_logits=True) == 1e4
    assert scratch.categorical_cross_entropy([[1, 0]], [[0, 1e4]], from_logits=True) == 1e4


def test_at_the_kink_the_perceptron_learns_and_the_hinge_rests():
    np.testing.assert_array_equal(scratch.perceptron_loss_gradient([1, -1], [0, 0]), [-0.5, 0.5])
    np.testing.assert_array_equal(scratch.hinge_loss_gradient([1, -1], [1, -1]), [0, 0])


@pytest.mark.parametrize("name", [*LOSSES, *(f"{name}_gradient" for name in LOSSES)])
def test_bad_arguments_are_refused(name):
    function = getattr(scratch, name)
    base = name.removesuffix("_gradient")
    y, prediction = example(base, 0, 4)
    second = "z" if base in LOSSES[:2] else "prediction"
    with pytest.raises(TypeError, match=f"`{second}` must be an array of numbers"):
        function(y, np.full(np.shape(prediction), "a"))
    with pytest.raises(ValueError, match=f"`{second}` must hold finite numbers"):
        function(y, np.full(np.shape(prediction), np.nan))
    with pytest.raises(ValueError, match="shape"):
        function(y, prediction[:-1])
    with pytest.raises(ValueError, match="must not be empty"):
        function(y[:0], prediction[:0])
    check_docstring(function)


@pytest.mark.parametrize(
    ("name", "y", "prediction", "match"),
    [
        ("perceptron_loss", [0, 1], [1, 1], r"`y` must hold the labels −1 and \+1.*\[0.0, 1.0\]"),
        ("hinge_loss", [2, 1], [1, 1], "`y` must hold the labels −1 and"),
        ("binary_cross_entropy", [2.0], [0.5], r"`y` must hold numbers in \[0, 1\].*high=2.0"),
        ("binary_cross_entropy", [1.0], [1.5], r"`prediction` must hold numbers in \[0, 1\]"),
        ("categorical_cross_entropy", [[1, 1]], [[0.5, 0.5]], "Each row of `y` must add up to 1"),
        (
            "categorical_cross_entropy",
            [[1, 0]],
            [[0.5, 0.6]],
            "row of `prediction` must add up.*1.1",
        ),
        ("categorical_cross_entropy", [1.0], [1.0], "`prediction` must be 2-dimensional"),
        (
            "sparse_categorical_cross_entropy",
            [2],
            [[0.5, 0.5]],
            "`y` must hold class numbers 0 to 1",
        ),
        ("sparse_categorical_cross_entropy", [0.5], [[0.5, 0.5]], "`y` must hold class numbers"),
    ],
)
def test_values_out_of_range_are_refused(name, y, prediction, match):
    for suffix in ("", "_gradient"):
        with pytest.raises(ValueError, match=match):
            getattr(scratch, name + suffix)(y, prediction)
