"""The perceptron: one neuron with a step activation, and the rule that teaches it."""

import numpy as np

from dlnotes.scratch.activations import step
from dlnotes.validation import (
    check_array,
    check_float,
    check_int,
    check_labels,
    check_rng,
    check_same_length,
    received,
)


def check_start(num_features, learning_rate, rng):
    """Refuse what `Perceptron` cannot start from, as its docstring says."""
    check_int("num_features", num_features, low=1)
    check_float("learning_rate", learning_rate, low=0, open_low=True)
    if rng is not None:
        check_rng("rng", rng)


def check_rows(x, y, num_draws, rng):
    """Return rows (B, D) and labels (B,) as arrays, or refuse them, `num_draws` or `rng`."""
    x, y = check_array("x", x, ndim=2), check_labels("y", y)
    check_same_length(x=x, y=y)
    check_int("num_draws", num_draws, low=1)
    check_rng("rng", rng)
    return x, y


class Perceptron:
    """One neuron that answers 0 or 1, taught by the perceptron rule.

    Letters: B batch, D features.

    Args:
        num_features: D, the length of a row, >= 1.
        learning_rate: How far one correction moves the line, > 0.
        rng: Where the start comes from: weights and bias are normal with standard deviation 0.1.
            None starts at zero.

    Attributes:
        weights: Array of shape (D,).
        bias: A float.

    Raises:
        TypeError: If an argument is not a number.
        ValueError: If an argument is out of range.

    References:
        Rosenblatt, The perceptron, Psychological Review 65 (1958).

    Example:
        >>> neuron = Perceptron(2)
        >>> neuron.update(np.array([1.0, 2.0]), 0)
        True
        >>> neuron.weights
        array([-0.1, -0.2])
    """

    def __init__(self, num_features, *, learning_rate=0.1, rng=None):
        check_start(num_features, learning_rate, rng)
        self.learning_rate = learning_rate
        start = np.zeros(num_features + 1) if rng is None else rng.normal(0, 0.1, num_features + 1)
        self.weights, self.bias = start[:-1], start[-1]

    def score(self, x):
        """Return z = x·w + b for rows (B, D) → (B,), or for one row (D,) → a number."""
        return check_array("x", x, columns=len(self.weights)) @ self.weights + self.bias

    def predict(self, x):
        """Return the answers 0 or 1, in the shape that `score` gives."""
        return step(self.score(x))

    def update(self, x, y):
        """Correct the neuron by one row x (D,) with label y; return whether it was wrong."""
        error = y - self.predict(x)  # 0, +1 or -1
        self.weights = self.weights + self.learning_rate * error * x
        self.bias = self.bias + self.learning_rate * error
        return bool(error != 0)

    def fit(self, x, y, *, num_draws=1000, rng):
        """Take `num_draws` random rows of x (B, D), labels y (B,); return which were corrected.

        The result is an array of `num_draws` booleans: True where the neuron was wrong.
        """
        x, y = check_rows(x, y, num_draws, rng)
        rows = rng.integers(len(x), size=num_draws)
        return np.array([self.update(x[i], y[i]) for i in rows])


def margin(weights, bias, x, y):
    """Return the signed distance from a line to the row nearest to it.

    Args:
        weights: Array of shape (D,), not all zero.
        bias: A float.
        x: Rows of shape (B, D).
        y: Labels 0 or 1, shape (B,).

    Returns:
        The smallest distance in the unit of `x`, negative if a row lies on the wrong side.

    Raises:
        TypeError: If an argument does not hold numbers.
        ValueError: If shapes do not match, a label is not 0 or 1, or all weights are zero.

    Example:
        >>> float(margin([1.0, 0.0], -2.0, [[1.5, 9.0], [3.0, 9.0]], [0, 1]))
        0.5
    """
    weights, signs, x = _check_line(weights, x, y)
    return np.min(signs * (x @ weights + bias)) / np.linalg.norm(weights)


def mistake_bound(weights, bias, x, y):
    """Return the largest number of corrections that a perceptron can need from a zero start.

    The bound is (R / γ)². The bias counts as one more weight, whose input is always 1: R is the
    length of the longest such row, γ the margin of the given line in that space.

    Args:
        weights: Array of shape (D,), not all zero, of a line without mistakes.
        bias: A float.
        x: Rows of shape (B, D).
        y: Labels 0 or 1, shape (B,).

    Raises:
        TypeError: If an argument does not hold numbers.
        ValueError: If shapes do not match, a label is not 0 or 1, or the line makes a mistake.

    References:
        Novikoff, On convergence proofs for perceptrons (1962), theorem 1.

    Example:
        >>> round(float(mistake_bound([2.0], 0.0, [[-1.0], [1.0]], [0, 1])), 6)
        2.0
    """
    weights, signs, x = _check_line(weights, x, y)
    rows = np.column_stack([x, np.ones(len(x))])
    line = np.append(weights, bias)
    gamma = np.min(signs * (rows @ line)) / np.linalg.norm(line)
    if gamma <= 0:
        wrong = int(np.sum(signs * (rows @ line) <= 0))
        raise ValueError(
            "The bound needs a line without mistakes. "
            f"Received: weights={weights}, bias={bias}, which has {wrong} mistakes on {len(x)} rows"
        )
    return (np.max(np.linalg.norm(rows, axis=1)) / gamma) ** 2


def _check_line(weights, x, y):
    """Return weights (D,), signs (B,) of -1 or +1, and rows x (B, D), all checked."""
    weights = check_array("weights", weights, ndim=1)
    x = check_array("x", x, shape=(None, len(weights)))
    y = check_labels("y", y)
    check_same_length(x=x, y=y)
    if not weights.any():
        raise ValueError(f"`weights` must not all be zero. {received(weights=weights)}")
    return weights, 2 * y - 1, x
