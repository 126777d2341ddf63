"""The perceptron: one neuron with a step activation, and the rule that teaches it."""

import numpy as np

from dlnotes.scratch.activations import step
from dlnotes.validation import check_array, check_float, check_int, check_same_length


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
        num_features = check_int("num_features", num_features, low=1)
        self.learning_rate = check_float("learning_rate", learning_rate, low=0, open_low=True)
        start = np.zeros(num_features + 1) if rng is None else rng.normal(0, 0.1, num_features + 1)
        self.weights, self.bias = start[:-1], start[-1]

    def score(self, x):
        """Return z = x·w + b for rows (B, D) → (B,), or for one row (D,) → a number."""
        return x @ self.weights + self.bias

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
        x = check_array("x", x, shape=(None, len(self.weights)))
        y = check_array("y", y, ndim=1)
        check_same_length(x=x, y=y)
        rows = rng.integers(len(x), size=check_int("num_draws", num_draws, low=1))
        return np.array([self.update(x[i], y[i]) for i in rows])
