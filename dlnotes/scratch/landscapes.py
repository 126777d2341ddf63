"""Losses over weights, on which an optimizer can walk.

A landscape has ``start`` (the weights to begin with), ``num_rows``, ``loss(weights)`` on all rows
and ``gradient(weights, rows)`` of the mean loss of some rows.
"""

from typing import Any

import numpy as np

from dlnotes.validation import (
    check_array,
    check_class_numbers,
    check_float,
    check_int,
    check_rng,
    check_same_length,
)


class LeastSquares:
    """The mean squared error of the model ``x @ weights``: a bowl whose lowest point is known.

    Letters: N rows, D features.

    Args:
        x: Rows of shape (N, D).
        y: Targets of shape (N,).

    Attributes:
        x: The rows.
        y: The targets.
        num_rows: N.
        start: D zeros.
        hessian: Matrix of second derivatives (2/N)·xᵀx, shape (D, D), the same everywhere.
        minimum: Weights of the lowest loss, shape (D,); of several the shortest.

    Raises:
        TypeError: If an argument does not hold numbers.
        ValueError: If shapes do not fit, or a value is not finite.

    Example:
        >>> bowl = LeastSquares([[1.0], [2.0]], [1.0, 4.0])
        >>> bowl.minimum, bowl.loss([2.0]), bowl.gradient(np.array([0.0]), [1])
        (array([1.8]), 0.5, array([-16.]))
    """

    def __init__(self, x: Any, y: Any) -> None:
        self.x, self.y = check_array("x", x, ndim=2), check_array("y", y, ndim=1)
        check_same_length(x=self.x, y=self.y)
        self.num_rows = len(self.x)
        self.start = np.zeros(self.x.shape[1])
        self.hessian = 2 * self.x.T @ self.x / self.num_rows
        self.minimum = np.linalg.lstsq(self.x, self.y)[0]

    def loss(self, weights: Any) -> Any:
        """Return the loss on all rows: a float for weights (D,), an array (T,) for a path (T, D).

        Weights beyond all bounds give infinity.

        Raises:
            ValueError: If the last axis of `weights` is not D.
        """
        weights = np.asarray(weights)
        if weights.ndim == 0 or weights.shape[-1] != len(self.start):
            raise ValueError(
                f"`weights` must have {len(self.start)} columns. "
                f"Received: weights.shape={weights.shape}"
            )
        with np.errstate(over="ignore", invalid="ignore"):
            losses = np.mean((weights @ self.x.T - self.y) ** 2, axis=-1)
        return float(losses) if weights.ndim == 1 else losses

    def gradient(self, weights: np.ndarray, rows: Any = slice(None)) -> np.ndarray:
        """Return the gradient (D,) of the mean loss of `rows`, all rows by default."""
        chosen = self.x[rows]
        return 2 * chosen.T @ (chosen @ weights - self.y[rows]) / len(chosen)


class Quadratic:
    """The loss ½·wᵀHw: a bowl, a valley or a saddle with its level point at 0.

    Along an eigenvector of H the slope is the eigenvalue times the distance from 0: the loss rises
    if it is positive and falls if it is negative. So H = diag(2, −2) is the saddle w₁² − w₂².

    Args:
        hessian: H, symmetric, shape (D, D).
        noise: Standard deviation of the noise in each number of a gradient, >= 0.
        rng: Draws the noise; not needed without.

    Attributes:
        hessian: As given.
        num_rows: 1; there are no data.
        start: D ones.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If `hessian` is not square and symmetric, a value is not finite, or `noise` is
            negative.

    Example:
        >>> saddle = Quadratic([[2.0, 0.0], [0.0, -2.0]])
        >>> saddle.loss([3.0, 1.0]), saddle.gradient(np.array([3.0, 1.0]))
        (8.0, array([ 6., -2.]))
    """

    def __init__(
        self, hessian: Any, noise: float = 0.0, rng: np.random.Generator | None = None
    ) -> None:
        self.hessian = check_array("hessian", hessian, ndim=2)
        square = len(set(self.hessian.shape)) == 1
        if not square or not np.allclose(self.hessian, self.hessian.T):
            raise ValueError(
                "`hessian` must be a square, symmetric matrix. "
                f"Received: an array of shape {self.hessian.shape}"
            )
        self.noise = check_float("noise", noise, low=0)
        self.rng = rng if rng is None and not self.noise else check_rng("rng", rng)
        self.num_rows = 1
        self.start = np.ones(len(self.hessian))

    def loss(self, weights: Any) -> Any:
        """Return the loss: a float for weights (D,), an array (…) for weights (…, D).

        Raises:
            ValueError: If the last axis of `weights` is not D.
        """
        weights = np.asarray(weights)
        if weights.ndim == 0 or weights.shape[-1] != len(self.start):
            raise ValueError(
                f"`weights` must have {len(self.start)} columns. "
                f"Received: weights.shape={weights.shape}"
            )
        with np.errstate(over="ignore", invalid="ignore"):
            losses = np.sum(weights @ self.hessian * weights, axis=-1) / 2
        return float(losses) if weights.ndim == 1 else losses

    def gradient(self, weights: np.ndarray, rows: Any = None) -> np.ndarray:
        """Return the gradient H·w, plus noise, in the shape of the weights; `rows` is not used."""
        slope = weights @ self.hessian
        return slope if self.rng is None else slope + self.noise * self.rng.normal(size=slope.shape)


class SoftmaxRegression:
    """The cross-entropy of one layer of softmax units: the plainest classifier of K classes.

    The bias is one more weight, whose input is always 1. Letters: N rows, D features, K classes.

    Args:
        x: Rows of shape (N, D), or pictures (N, H, W), which become rows.
        y: Class numbers 0 to K − 1, shape (N,).
        num_classes: K >= 2.

    Attributes:
        num_rows: N.
        start: Zeros of shape (D + 1, K); the last row holds the biases.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If shapes do not fit or a label is not in 0 to K − 1.

    Example:
        >>> model = SoftmaxRegression([[0.0], [1.0]], [0, 1], 2)
        >>> round(model.loss(model.start), 4), model.gradient(model.start, [1])
        (0.6931, array([[ 0.5, -0.5],
               [ 0.5, -0.5]]))
    """

    def __init__(self, x: Any, y: Any, num_classes: int) -> None:
        num_classes = check_int("num_classes", num_classes, low=2)
        self.x = _with_ones(x)
        self.y = check_class_numbers("y", y, num_classes)
        check_same_length(x=self.x, y=self.y)
        self.targets = np.eye(num_classes)[self.y]  # (N, K)
        self.num_rows = len(self.x)
        self.start = np.zeros((self.x.shape[1], num_classes))

    def loss(self, weights: Any) -> Any:
        """Return the loss on all rows: a float for weights (D + 1, K), (T,) for a path of T."""
        weights = check_array("weights", weights, ndim=(2, 3))
        if weights.shape[-2:] != self.start.shape:
            raise ValueError(
                f"`weights` must end in the shape {self.start.shape}. "
                f"Received: weights.shape={weights.shape}"
            )
        if weights.ndim == 2:
            log_chances = log_softmax(self.x @ weights)
            return float(-log_chances[np.arange(self.num_rows), self.y].mean())
        return np.array([self.loss(point) for point in weights])

    def gradient(self, weights: np.ndarray, rows: Any = slice(None)) -> np.ndarray:
        """Return the gradient (D + 1, K) of the mean loss of `rows`, all rows by default."""
        chosen = self.x[rows]
        error = np.exp(log_softmax(chosen @ weights)) - self.targets[rows]
        return chosen.T @ error / len(chosen)

    def accuracy(self, weights: np.ndarray, x: Any, y: Any) -> float:
        """Return the share of the rows x (N, D) or (N, H, W) that get their label y (N,)."""
        x, y = _with_ones(x), check_array("y", y, ndim=1)
        check_same_length(x=x, y=y)
        return float(np.mean((x @ weights).argmax(axis=1) == y))


def _with_ones(x: Any) -> np.ndarray:
    x = check_array("x", x, ndim=(2, 3))
    return np.column_stack([x.reshape(len(x), -1), np.ones(len(x))])


def log_softmax(scores: np.ndarray) -> np.ndarray:
    """Return the logarithms of the softmax over the last axis, (…, K)."""
    scores = scores - scores.max(axis=-1, keepdims=True)
    return scores - np.log(np.exp(scores).sum(axis=-1, keepdims=True))
