import numpy as np
import pytest
from contracts import check_docstring
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from dlnotes import scratch
from dlnotes.scratch.activations import ACTIVATIONS

SMOOTH = ["linear", "sigmoid", "tanh", "softmax"]
batches = arrays(
    np.float64, array_shapes(min_dims=1, max_dims=3, max_side=5), elements=st.floats(-30, 30)
)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("step", [0, 1, 1]),
        ("linear", [-2, 0, 3]),
        ("relu", [0, 0, 3]),
        ("sigmoid", [0.11920292202211755, 0.5, 0.9525741268224334]),
        ("tanh", [-0.9640275800758169, 0, 0.9950547536867305]),
        ("softmax", [0.006377460922442302, 0.04712341652466416, 0.9464991225528936]),
    ],
)
def test_values(name, expected):
    result = scratch.get_activation(name).function([-2, 0, 3])
    assert result.dtype == (np.int64 if name == "step" else np.float64)
    np.testing.assert_allclose(result, expected, rtol=1e-12)


def test_large_scores_overflow_nowhere():
    with np.errstate(all="raise", under="ignore"):
        np.testing.assert_array_equal(scratch.sigmoid([-1e4, 1e4]), [0, 1])
        np.testing.assert_array_equal(scratch.softmax([1e4, 0.0]), [1, 0])
        np.testing.assert_array_equal(scratch.sigmoid_derivative([-1e4, 1e4]), [0, 0])
    # 1 − σ(40) rounds to 0; the derivative must not.
    assert scratch.sigmoid_derivative([40.0])[0] == pytest.approx(np.exp(-40.0), rel=1e-9, abs=0)


@settings(deadline=None, max_examples=50)
@given(batches)
def test_properties(z):
    np.testing.assert_allclose(scratch.sigmoid(z) + scratch.sigmoid(-z), 1, rtol=1e-12)
    np.testing.assert_allclose(scratch.tanh(z), 2 * scratch.sigmoid(2 * z) - 1, atol=1e-12)
    p = scratch.softmax(z)
    assert p.shape == z.shape
    np.testing.assert_allclose(p.sum(axis=-1), 1, rtol=1e-12)
    np.testing.assert_allclose(scratch.softmax(z + 7), p, rtol=1e-9)
    np.testing.assert_allclose(scratch.softmax(z, axis=0).sum(axis=0), 1, rtol=1e-12)


@settings(deadline=None, max_examples=30)
@given(
    arrays(np.float64, array_shapes(min_dims=2, max_dims=2, max_side=4), elements=st.floats(-4, 4))
)
def test_derivatives_agree_with_finite_differences(z):
    h = 1e-6
    for name in SMOOTH:
        function, derivative = ACTIVATIONS[name]
        slope = derivative(z)
        if name != "softmax":
            measured = (function(z + h) - function(z - h)) / (2 * h)
            np.testing.assert_allclose(slope, measured, atol=1e-8)
            continue
        assert slope.shape == (*z.shape, z.shape[-1])
        for j in range(z.shape[-1]):
            nudge = h * np.eye(z.shape[-1])[j]
            measured = (function(z + nudge) - function(z - nudge)) / (2 * h)
            np.testing.assert_allclose(slope[..., j], measured, atol=1e-8)


def test_relu_derivative_on_both_sides_and_at_the_kink():
    np.testing.assert_array_equal(scratch.relu_derivative([-1e-9, 0.0, 1e-9]), [0, 0, 1])


def test_step_jumps_at_zero_and_has_no_derivative():
    np.testing.assert_array_equal(scratch.step([-1e-300, 0.0, 1e-300]), [0, 1, 1])
    assert ACTIVATIONS["step"].derivative is None


def test_linear_gives_a_copy():
    z = np.array([1.0])
    scratch.linear(z)[0] = 5
    assert z[0] == 1


FUNCTIONS = sorted(
    {f for pair in ACTIVATIONS.values() for f in pair if f is not None}, key=lambda f: f.__name__
)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_bad_scores_are_refused(function):
    with pytest.raises(TypeError, match="`z` must be an array of numbers"):
        function(["a"])
    with pytest.raises(ValueError, match=r"`z` must hold finite numbers. Received: 1 of 2 are NaN"):
        function([1.0, np.nan])
    with pytest.raises(ValueError, match="`z` must be a rectangular array"):
        function([[1.0], [1.0, 2.0]])
    check_docstring(function)


def test_other_bad_arguments_are_refused():
    with pytest.raises(ValueError, match=r"`axis` must be an axis of z. Received: axis=2"):
        scratch.softmax([[1.0]], axis=2)
    with pytest.raises(ValueError, match="`axis` must be an axis of z"):
        scratch.softmax(1.0)
    with pytest.raises(TypeError, match="`axis` must be an integer"):
        scratch.softmax([1.0], axis=0.0)
    with pytest.raises(ValueError, match=r"`activation` must be one of 'linear', 'step'.*'bent'"):
        scratch.get_activation("bent")
