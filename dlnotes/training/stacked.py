"""Adam for many networks at once, whose weights are stacked along a first axis."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from dlnotes.validation import check_float, received

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-7  # of Keras' Adam

Weights = list[Any]


def adam_step(
    weights: Weights, means: Weights, squares: Weights, gradients: Weights, lengths: Any
) -> tuple[Weights, Weights, Weights]:
    """Return weights, means and squares after one step, as Keras' Adam takes it.

    Args:
        weights: Tensors of any shapes (S, …), for S networks.
        means: Running means of the gradients, of the same shapes.
        squares: Running means of their squares.
        gradients: The gradients.
        lengths: For each network its rate times ``sqrt(1 − β₂ⁿ) / (1 − β₁ⁿ)`` in step n, S numbers.

    References:
        D. P. Kingma and J. Ba, "Adam: a method for stochastic optimization" (2015), section 2 (the
        order of operations that needs no corrected means).
    """
    ops = keras.ops
    means = [m + (1 - BETA_1) * (g - m) for m, g in zip(means, gradients, strict=True)]
    squares = [s + (1 - BETA_2) * (g * g - s) for s, g in zip(squares, gradients, strict=True)]
    weights = [
        w - one_a_copy(lengths, w) * m / (ops.sqrt(s) + EPSILON)
        for w, m, s in zip(weights, means, squares, strict=True)
    ]
    return weights, means, squares


def one_a_copy(values: Any, array: Any) -> Any:
    """Return one number a network with as many axes as `array`, whose first axis is theirs.

    Example:
        >>> one_a_copy([1.0, 2.0], np.zeros((2, 5, 7))).shape
        TensorShape([2, 1, 1])
    """
    return keras.ops.reshape(values, (-1, *[1] * (len(array.shape) - 1)))


def check_rates(rates: Any) -> np.ndarray:
    """Return learning rates as an array.

    Raises:
        TypeError: If they are no sequence of numbers.
        ValueError: If there is none, or one is not above 0.
    """
    if isinstance(rates, str) or not isinstance(rates, Sequence | np.ndarray):
        raise TypeError(f"`rates` must be a sequence of numbers. {received(rates=rates)}")
    if len(rates) == 0:
        raise ValueError(f"`rates` must hold at least one learning rate. {received(rates=rates)}")
    return np.array([check_float("rates", rate, low=0, open_low=True) for rate in rates])
