"""The loss of a small classifier over all its weights in one row: a landscape to walk on."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from dlnotes.scratch.landscapes import log_softmax
from dlnotes.validation import (
    check_array,
    check_choice,
    check_class_numbers,
    check_int,
    check_rng,
    check_same_length,
    received,
)

BENDS = {  # each with its slope, written with its output
    "tanh": (np.tanh, lambda a: 1 - a * a),
    "relu": (lambda z: np.maximum(z, 0.0), lambda a: (a > 0).astype(np.float64)),
}


class NetworkLoss:
    """The mean cross-entropy of a dense classifier, as a function of all its weights.

    The P weights and biases lie in one row, layer after layer, each layer's weights before its
    biases. So any optimizer can step on them, and a matrix (S, P) holds S networks, computed at
    once and independent of each other. A network whose weights overflow gets NaN and leaves the
    others alone.

    Letters: S networks, N rows, B rows of a batch, D features, K classes.

    Args:
        x: Rows of shape (N, D), or pictures (N, H, W), which become rows.
        y: Class numbers 0 to K − 1, shape (N,).
        sizes: D, the units of each hidden layer, K: (64, 16, 10) has one hidden layer.
        activation: "tanh" or "relu", after each hidden layer.

    Attributes:
        num_rows: N.
        num_weights: P.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If shapes do not fit, or a label is not in 0 to K − 1.

    Example:
        >>> landscape = NetworkLoss([[-1.0], [1.0]], [0, 1], (1, 3, 2))
        >>> weights = landscape.draw(5, np.random.default_rng(0))
        >>> weights.shape, landscape.loss(weights).shape, landscape.gradient(weights).shape
        ((5, 14), (5,), (5, 14))
    """

    def __init__(self, x: Any, y: Any, sizes: Sequence[int], activation: str = "tanh") -> None:
        x = check_array("x", x, ndim=(2, 3))
        self.x = x.reshape(len(x), -1)
        self.sizes = tuple(check_int("sizes", size, low=1) for size in sizes)
        if len(self.sizes) < 2 or self.sizes[0] != self.x.shape[1]:
            raise ValueError(
                f"`sizes` must begin with the {self.x.shape[1]} features and end with the classes. "
                f"{received(sizes=sizes)}"
            )
        self.y = check_class_numbers("y", y, self.sizes[-1])
        check_same_length(x=self.x, y=self.y)
        self.targets = np.eye(self.sizes[-1])[self.y]  # (N, K)
        self.bend, self.slope = BENDS[check_choice("activation", activation, BENDS)]
        self.gain = 2 if activation == "relu" else 1
        self.num_rows = len(self.x)
        self.num_weights = sum((d + 1) * u for d, u in self._shapes())

    def draw(self, copies: int, rng: np.random.Generator) -> np.ndarray:
        """Return first weights (S, P): normal with the variance 1/D (tanh) or 2/D (relu), biases 0.

        Raises:
            TypeError: If an argument has the wrong type.
            ValueError: If `copies` is below 1.
        """
        copies = check_int("copies", copies, low=1)
        check_rng("rng", rng)
        parts = []
        for d, u in self._shapes():
            parts += [rng.normal(0, (self.gain / d) ** 0.5, (copies, d * u)), np.zeros((copies, u))]
        return np.concatenate(parts, axis=1)

    @np.errstate(over="ignore", invalid="ignore")
    def loss(self, weights: Any) -> Any:
        """Return the mean loss of all rows: a float for weights (P,), (S,) for (S, P).

        Raises:
            ValueError: If the last axis of `weights` is not P.
        """
        scores = self._forward(self._layers(weights), self.x)[-1]
        losses = -(log_softmax(scores) * self.targets).sum(axis=-1).mean(axis=-1)
        return float(losses) if losses.ndim == 0 else losses

    @np.errstate(over="ignore", invalid="ignore")
    def gradient(self, weights: Any, rows: Any = slice(None)) -> np.ndarray:
        """Return the gradient of the mean loss of some rows, in the shape of the weights.

        Args:
            weights: Shape (P,) or (S, P).
            rows: Row numbers (B,), or (S, B) for S networks with a batch each; all by default.

        Raises:
            ValueError: If the last axis of `weights` is not P.
        """
        x, layers = self.x[rows], self._layers(weights)
        outputs = self._forward(layers, x)
        error = (np.exp(log_softmax(outputs[-1])) - self.targets[rows]) / x.shape[-2]
        parts: list[np.ndarray] = []
        for k in reversed(range(len(layers))):
            inputs = outputs[k - 1] if k else x
            slopes = np.swapaxes(inputs, -1, -2) @ error  # (…, D, U)
            parts[:0] = [slopes.reshape(*slopes.shape[:-2], -1), error.sum(axis=-2)]
            if k:
                error = error @ np.swapaxes(layers[k][0], -1, -2) * self.slope(inputs)
        return np.concatenate(parts, axis=-1)

    def accuracy(self, weights: Any) -> Any:
        """Return the share of all rows that get their label: a float, or (S,) for S networks.

        Raises:
            ValueError: If the last axis of `weights` is not P.
        """
        scores = self._forward(self._layers(weights), self.x)[-1]
        shares = (scores.argmax(axis=-1) == self.y).mean(axis=-1)
        return float(shares) if shares.ndim == 0 else shares

    def hessian(self, weights: Any, step: float = 1e-5) -> np.ndarray:
        """Return all second derivatives of the loss, (P, P), by central differences of `gradient`.

        Raises:
            ValueError: If `weights` has not the shape (P,).
        """
        weights = check_array("weights", weights, shape=(self.num_weights,))
        rows = []
        for nudges in np.array_split(step * np.eye(self.num_weights), -(-self.num_weights // 32)):
            up, down = self.gradient(weights + nudges), self.gradient(weights - nudges)
            rows.append((up - down) / (2 * step))
        hessian = np.concatenate(rows)
        return (hessian + hessian.T) / 2

    def curvatures(self, weights: Any) -> np.ndarray:
        """Return the eigenvalues of the Hessian, rising, (…, P) for weights of shape (…, P).

        A point where all are positive and the gradient is 0 is a local minimum; a negative one
        leads down.

        Raises:
            ValueError: If the last axis of `weights` is not P.
        """
        weights = check_array("weights", weights, columns=self.num_weights)
        rows = weights.reshape(-1, self.num_weights)
        return np.array([np.linalg.eigvalsh(self.hessian(row)) for row in rows]).reshape(
            weights.shape
        )

    def _shapes(self) -> list[tuple[int, int]]:
        return list(zip(self.sizes[:-1], self.sizes[1:], strict=True))

    def _layers(self, weights: Any) -> list[tuple[np.ndarray, np.ndarray]]:
        weights = np.asarray(weights)
        if weights.ndim not in (1, 2) or weights.shape[-1] != self.num_weights:
            raise ValueError(
                f"`weights` must have {self.num_weights} columns. "
                f"Received: weights.shape={weights.shape}"
            )
        layers, at = [], 0
        for d, u in self._shapes():
            matrix = weights[..., at : at + d * u].reshape(*weights.shape[:-1], d, u)
            at += (d + 1) * u
            layers.append((matrix, weights[..., None, at - u : at]))  # (…, D, U), (…, 1, U)
        return layers

    def _forward(self, layers: Any, x: np.ndarray) -> list[np.ndarray]:
        outputs = []
        for k, (matrix, bias) in enumerate(layers):
            x = x @ matrix + bias
            x = x if k == len(layers) - 1 else self.bend(x)
            outputs.append(x)
        return outputs
