"""Gradients by nudging: slow, simple, and the judge of every gradient that was derived."""

from collections.abc import Callable
from typing import Any

import numpy as np

from dlnotes.validation import check_array, check_float, received


def evaluate(f: Callable[[np.ndarray], float], x: np.ndarray) -> float:
    """Return f(x), which must be one finite number; f gets a copy, so it cannot change x.

    Raises:
        TypeError: If `f` is not callable, or returns something else than a number.
        ValueError: If the number is NaN or infinite.

    Example:
        >>> evaluate(np.sum, np.ones(3))
        3.0
    """
    if not callable(f):
        raise TypeError(f"`f` must be a function. {received(f=f)}")
    return check_float("f(x)", f(x.copy()))


def numerical_gradient(
    f: Callable[[np.ndarray], float], x: Any, *, step: float = 1e-6
) -> np.ndarray:
    """Return the gradient of f at x by central differences, (f(x + h) − f(x − h)) / 2h each.

    Two sources of error pull in opposite directions: the curve's third derivative adds an error
    of the order h², the rounding of f one of the order 1e-16·|f| / h. So f is called twice for
    each element of x, and the result is good to 6 to 10 digits at best.

    Args:
        f: Takes an array of the shape of `x` and returns one number.
        x: Where to measure, any shape.
        step: The nudge h, > 0, in the unit of `x`.

    Returns:
        The slopes ∂f/∂x, in the shape of `x`.

    Raises:
        TypeError: If `f` is not a function, returns something else than a number, or `x` does
            not hold numbers.
        ValueError: If `step` is not positive, or a value is NaN or infinite.

    Example:
        >>> numerical_gradient(lambda x: float(np.sum(x**2)), [1.0, -3.0]).round(6)
        array([ 2., -6.])
    """
    x, step = check_array("x", x), check_float("step", step, low=0, open_low=True)
    gradient = np.zeros_like(x)
    for index in np.ndindex(x.shape):
        nudge = np.zeros_like(x)
        nudge[index] = step
        gradient[index] = (evaluate(f, x + nudge) - evaluate(f, x - nudge)) / (2 * step)
    return gradient


def gradient_error(
    f: Callable[[np.ndarray], float], gradient: Any, x: Any, *, step: float = 1e-6
) -> float:
    """Return how far `gradient` is from the slopes of f that are measured at x.

    The measure is max|g − n| / max(max|g|, max|n|), with the gradient g, the numerical gradient n,
    and each maximum over all elements: 0 is perfect, and a gradient of the wrong sign gets 2. A
    right gradient of a smooth f comes out below 1e-6; a forgotten factor does not.

    Args:
        f: Takes an array of the shape of `x` and returns one number.
        gradient: The slopes to check, in the shape of `x`.
        x: Where to measure, any shape.
        step: The nudge h of `numerical_gradient`.

    Raises:
        TypeError: If `f` is not a function, returns something else than a number, or an array
            does not hold numbers.
        ValueError: If the shapes differ, `step` is not positive, or a value is NaN or infinite.

    Example:
        >>> square = lambda x: float(np.sum(x**2))
        >>> gradient_error(square, [2.0, -6.0], [1.0, -3.0]) < 1e-6
        True
        >>> round(gradient_error(square, [1.0, -3.0], [1.0, -3.0]), 6)
        0.5
    """
    x = check_array("x", x)
    gradient = check_array("gradient", gradient, shape=x.shape)
    measured = numerical_gradient(f, x, step=step)
    largest = max(np.abs(gradient).max(), np.abs(measured).max())
    if largest == 0:
        return 0.0
    return float(np.abs(gradient - measured).max() / largest)
