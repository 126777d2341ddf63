import numpy as np
import pytest
from contracts import Refusal, check_docstring, check_refusals
from hypothesis import given, settings
from hypothesis import strategies as st

from dlnotes.scratch import gradient_error, numerical_gradient
from dlnotes.scratch.gradcheck import evaluate


def cubes(x):
    return float(np.sum(x**3))


@settings(deadline=None, max_examples=20)
@given(
    shape=st.lists(st.integers(1, 3), max_size=3).map(tuple),
    coefficients=st.lists(st.integers(-3, 3), min_size=3, max_size=3),
    seed=st.integers(0, 100),
)
def test_slopes_of_polynomials_in_any_shape(shape, coefficients, seed):
    a, b, c = coefficients
    generator = np.random.default_rng(seed)
    x, weights = generator.uniform(-2, 2, shape), generator.uniform(-1, 1, shape)
    measured = numerical_gradient(
        lambda x: float(np.sum(weights * (a * x**3 + b * x**2 + c * x))), x
    )
    assert measured.shape == shape
    assert measured.dtype == np.float64
    np.testing.assert_allclose(measured, weights * (3 * a * x**2 + 2 * b * x + c), atol=1e-7)


def test_the_step_is_used_and_central():
    # For x³ the central difference is 3x² + h² exactly, a one-sided one 3x² + 3xh + h².
    assert numerical_gradient(cubes, 1.0, step=0.5) == pytest.approx(3.25, abs=1e-12)


def test_each_element_costs_two_calls_and_x_stays():
    calls, x = [], np.array([[1.0, 2.0, 3.0]])

    def spoiler(x):
        calls.append(x.copy())
        x[:] = 0
        return 0.0

    numerical_gradient(spoiler, x, step=0.25)
    assert [call.tolist() for call in calls[:2]] == [[[1.25, 2, 3]], [[0.75, 2, 3]]]
    assert len(calls) == 6
    np.testing.assert_array_equal(x, [[1, 2, 3]])
    evaluate(spoiler, x)
    np.testing.assert_array_equal(x, [[1, 2, 3]])


def test_gradient_error_is_relative_to_the_largest_element():
    x = np.array([1.0, 10.0])
    right = 3 * x**2  # 3 and 300
    assert gradient_error(cubes, right, x) < 1e-8
    assert gradient_error(cubes, right + np.array([3, 0]), x) == pytest.approx(0.01, rel=1e-5)
    assert gradient_error(cubes, 2 * right, x) == pytest.approx(0.5, rel=1e-5)
    assert gradient_error(cubes, -right, x) == pytest.approx(2, rel=1e-5)
    assert gradient_error(cubes, 0 * right, x) == 1
    assert gradient_error(lambda x: 0.0, [0.0, 0.0], x) == 0
    assert gradient_error(cubes, [300.0], [10.0], step=3.0) == pytest.approx(9 / 309)


def test_refusals():
    refusals = [
        Refusal((3, [1.0]), {}, TypeError, "`f` must be a function. Received: f=3"),
        Refusal((lambda x: x, [1.0]), {}, TypeError, r"`f\(x\)` must be a number"),
        Refusal((lambda x: np.nan, [1.0]), {}, ValueError, r"`f\(x\)` must be a finite number"),
        Refusal((cubes, ["a"]), {}, TypeError, "`x` must be an array of numbers"),
        Refusal((cubes, []), {}, ValueError, "`x` must not be empty"),
        Refusal((cubes, [1.0]), {"step": 0}, ValueError, "`step` must be a finite number > 0"),
        Refusal((cubes, [1.0]), {"step": "1"}, TypeError, "`step` must be a number"),
    ]
    check_refusals(numerical_gradient, refusals)
    check_refusals(evaluate, refusals[:1])
    check_refusals(
        gradient_error,
        [
            Refusal((args[0], args[1], args[1]), kwargs, error, match)
            for (args, kwargs, error, match) in (refusals[0], refusals[1], refusals[5])
        ]
        + [
            Refusal((cubes, [1.0], [1.0, 2.0]), {}, ValueError, r"`gradient` must have shape \(2,"),
            Refusal((cubes, ["a"], [1.0]), {}, TypeError, "`gradient` must be an array of numbers"),
        ],
    )


def test_docstrings():
    for function in (evaluate, numerical_gradient, gradient_error):
        check_docstring(function)
