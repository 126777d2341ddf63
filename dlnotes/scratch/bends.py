"""Classifiers with any bend, many seeds and learning rates side by side: fair races, cheaply."""

import copy
import itertools
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from dlnotes.scratch.activations import Activation, get_activation, softmax
from dlnotes.scratch.dense import LayerOutput
from dlnotes.validation import (
    check_array,
    check_float,
    check_int,
    check_rng,
    check_same_length,
    received,
)

LARGEST = 1e6  # a weight beyond it has left for infinity


def dead_units(z: Any) -> np.ndarray:
    """Return which units are dead: z < 0 for every row, so a ReLU passes no gradient at all.

    Args:
        z: What the units computed before the bend, (…, B, U): B rows, U units. The rows must be
            all that the network is trained on, or the verdict is too early.

    Returns:
        Booleans of shape (…, U).

    Raises:
        TypeError: If `z` does not hold numbers.
        ValueError: If it has fewer than two axes, or a value is not finite.

    Example:
        >>> dead_units([[-1.0, -1.0], [2.0, -3.0]])
        array([False,  True])
    """
    z = check_rows(z)
    return np.all(z < 0, axis=-2)


def check_rows(z: Any, name: str = "z") -> np.ndarray:
    """Return z as an array, if it has at least two axes, such as rows and units.

    Raises:
        TypeError: If it does not hold numbers.
        ValueError: If it has fewer than two axes.

    Example:
        >>> check_rows([[1.0, 2.0]]).shape
        (1, 2)
    """
    z = check_array(name, z)
    if z.ndim < 2:
        raise ValueError(
            f"`{name}` must have at least two axes, the last of units. "
            f"Received: {name}.shape={z.shape}"
        )
    return z


def share_a_sign(slopes: Any) -> np.ndarray:
    """Return which units' weights all want to move the same way: no two slopes differ in sign.

    Args:
        slopes: ∂loss/∂W of a layer, (…, D, U): D inputs, U units.

    Returns:
        Booleans of shape (…, U). A slope of 0 shares no sign.

    Raises:
        TypeError: If `slopes` does not hold numbers.
        ValueError: If it has fewer than two axes, or a value is not finite.

    Example:
        >>> share_a_sign([[1.0, 2.0], [-1.0, 3.0]])
        array([False,  True])
    """
    signs = np.sign(check_rows(slopes, "slopes"))
    return np.abs(signs.sum(axis=-2)) == signs.shape[-2]


def bend_costs(widths: Sequence[int], *, num_rows: int = 256, rounds: int = 60) -> list[float]:
    """Return how many times as long as ReLU the sigmoid takes: alone, then in layers.

    Alone, on 100,000 numbers; in a layer, together with the product of `num_rows` rows and the
    weights, from as many inputs as units. Both bends write over their numbers. Each round times
    both, one after the other, and the result is the median of the rounds' ratios.

    Args:
        widths: Units of the layers, each >= 1.
        num_rows: Rows of the layers' inputs, >= 1.
        rounds: How often each is timed, >= 1.

    Returns:
        1 + len(widths) ratios.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a number is below 1.

    Example:
        >>> len(bend_costs((4, 8), rounds=3))
        3
    """
    widths = [check_int("widths", units, low=1) for units in widths]
    num_rows = check_int("num_rows", num_rows, low=1)
    rounds = check_int("rounds", rounds, low=1)
    rng = np.random.default_rng(0)
    numbers = rng.normal(size=100_000)
    ratios = [_cost_ratio(numbers.copy, rounds)]
    for units in widths:
        x, w = rng.normal(size=(num_rows, units)), rng.normal(size=(units, units)) / units
        ratios.append(_cost_ratio(lambda x=x, w=w: x @ w, rounds, inside=True))
    return ratios


def _cost_ratio(make: Callable[[], np.ndarray], rounds: int, inside: bool = False) -> float:
    """Return the median of the paired ratios: a busy machine moves it less than other estimates."""
    ratios = []
    for k in range(rounds):
        seconds = {}
        bends = (_relu_in_place, _sigmoid_in_place)
        for bend in bends if k % 2 else bends[::-1]:  # neither always finds the other's warm cache
            start = time.perf_counter()
            z = make()
            if not inside:
                start = time.perf_counter()
            bend(z)
            seconds[bend] = time.perf_counter() - start
        ratios.append(seconds[_sigmoid_in_place] / seconds[_relu_in_place])
    return float(np.median(ratios))


def _relu_in_place(z: np.ndarray) -> None:
    np.maximum(z, 0.0, out=z)


def _sigmoid_in_place(z: np.ndarray) -> None:  # 1 / (1 + exp(−z))
    np.exp(np.negative(z, out=z), out=z)
    np.reciprocal(np.add(z, 1.0, out=z), out=z)


class Trained(NamedTuple):
    """Networks after training, S copies at each of R rates.

    `networks` has weights of shape (R, S, D, U); `losses` is the mean cross-entropy of each epoch,
    measured during it, (E, R, S); `diverged` tells which ran away to infinity, (R, S): their
    weights are zeros.
    """

    networks: "BentNetworks"
    losses: np.ndarray
    diverged: np.ndarray

    def epochs_to(self, target: float) -> np.ndarray:
        """Return the first epoch, counted from 1, with a loss below `target`; E + 1 if none."""
        target = check_float("target", target)
        below = np.vstack([self.losses < target, np.ones_like(self.losses[:1], dtype=bool)])
        return 1 + below.argmax(axis=0)


class BentNetworks:
    """S classifiers of one shape, each with its own weights, that share the bend of their units.

    A hidden layer computes a = φ(z) with z = x·W + b; the last one gives scores, one a class. With
    a gate γ each hidden layer but the first mixes new and old, a = γ(x·G + c)·φ(x·W + b) +
    (1 − γ(x·G + c))·x, as in a highway network.

    Letters: S networks, R rates, B rows, D inputs and U units of a layer, K classes.

    Args:
        sizes: Inputs, units of each layer, classes: (64, 32, 10) has one hidden layer.
        bend: φ, a name in `ACTIVATIONS` or a pair `Activation` of your own.
        gate: γ, likewise, or None. Hidden layers must then be of one size.
        copies: S, >= 1.
        scale: Multiplies the hidden layers' weights, drawn uniformly between ±√(6/(D + U)), > 0.
        rng: Draws the weights. Biases start at 0, those of gates at −1.

    Attributes:
        weights: For each layer an array (S, D, U).
        biases: For each layer an array (S, 1, U).
        gate_weights: For each gated layer an array (S, U, U).
        gate_biases: For each gated layer an array (S, 1, U).

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If there are fewer than two sizes, one is below 1, an activation is unknown or
            has no derivative for each unit, or gated layers differ in size.

    References:
        R. K. Srivastava, K. Greff and J. Schmidhuber, "Training very deep networks" (2015),
        equation 3, for the gate.

    Example:
        >>> networks = BentNetworks((8, 16, 3), "relu", copies=5, rng=np.random.default_rng(0))
        >>> [output.a.shape for output in networks.forward(np.zeros((4, 8)))]
        [(5, 4, 16), (5, 4, 3)]
    """

    def __init__(
        self,
        sizes: Sequence[int],
        bend: str | Activation,
        *,
        gate: str | Activation | None = None,
        copies: int = 5,
        scale: float = 1.0,
        rng: np.random.Generator,
    ) -> None:
        sizes = _check_sizes(sizes)
        self.bend = _check_bend("bend", bend)
        self.gate = None if gate is None else _check_bend("gate", gate)
        if gate is not None and len(set(sizes[1:-1])) > 1:
            raise ValueError(
                f"`gate` must be None for hidden layers of different sizes. {received(sizes=sizes)}"
            )
        copies = check_int("copies", copies, low=1)
        scale = check_float("scale", scale, low=0, open_low=True)
        check_rng("rng", rng)
        self.weights, self.biases, self.gate_weights, self.gate_biases = [], [], [], []
        last = len(sizes) - 2
        for k, (inputs, units) in enumerate(itertools.pairwise(sizes)):
            limit = (1.0 if k == last else scale) * np.sqrt(6.0 / (inputs + units))
            self.weights.append(rng.uniform(-limit, limit, size=(copies, inputs, units)))
            self.biases.append(np.zeros((copies, 1, units)))
            if gate is not None and 0 < k < last:
                self.gate_weights.append(rng.uniform(-limit, limit, size=(copies, inputs, units)))
                self.gate_biases.append(np.full((copies, 1, units), -1.0))

    def forward(self, x: Any) -> list[LayerOutput]:
        """Return z and a of each layer for rows x of shape (B, D), each (…, S, B, U).

        The last layer's `a` is its `z`, the scores.

        Raises:
            TypeError: If `x` does not hold numbers.
            ValueError: If `x` has another shape.
        """
        x = check_array("x", x, shape=(None, self.weights[0].shape[-2]))
        outputs, last = [], len(self.weights) - 1
        for k, (w, b) in enumerate(zip(self.weights, self.biases, strict=True)):
            z = x @ w + b
            if k == last:
                a = z
            elif self.gate is None or k == 0:
                a = self.bend.function(z)
            else:
                opened = self.gate.function(x @ self.gate_weights[k - 1] + self.gate_biases[k - 1])
                a = opened * self.bend.function(z) + (1 - opened) * x
            outputs.append(LayerOutput(z, a))
            x = a
        return outputs

    def centre(self) -> "BentNetworks":
        """Take what the bend's height φ(0) adds to the next layer's sums off its biases; return it.

        So networks whose bends differ by a constant start as the same function.
        """
        height = self.bend.function(np.zeros(1))
        for w, b in zip(self.weights[1:], self.biases[1:], strict=True):
            b -= height * w.sum(axis=-2, keepdims=True)
        return self

    def gradients(self, x: Any, y: Any) -> tuple[np.ndarray, list[np.ndarray]]:
        """Return each network's mean cross-entropy, (…, S), and its slopes.

        Args:
            x: Rows of shape (B, D).
            y: Class numbers of shape (B,), 0 to K − 1.

        Returns:
            The losses; and the gradients in the order of `parameters`.

        Raises:
            TypeError: If an array does not hold numbers.
            ValueError: If shapes do not fit, or a class number is out of range.
        """
        outputs = self.forward(x)
        y = _check_classes(y, len(x), outputs[-1].z.shape[-1])
        chances, rows = softmax(outputs[-1].z), np.arange(len(y))
        losses = -np.log(np.maximum(chances[..., rows, y], 1e-300)).mean(axis=-1)
        gradient = chances
        gradient[..., rows, y] -= 1.0
        gradient /= len(y)  # now ∂loss/∂z of the scores
        weights, biases, gate_weights, gate_biases = [], [], [], []
        for k in reversed(range(len(self.weights))):
            inputs = outputs[k - 1].a if k else check_array("x", x)
            turned = np.swapaxes(inputs, -1, -2)
            back = 0.0
            if k < len(self.weights) - 1:  # from ∂loss/∂a to ∂loss/∂z
                slope = self.bend.derivative(outputs[k].z)
                if self.gate is not None and k > 0:
                    w = self.gate_weights[k - 1]
                    gate_z = inputs @ w + self.gate_biases[k - 1]
                    opened = self.gate.function(gate_z)
                    new = self.bend.function(outputs[k].z)
                    through = gradient * (new - inputs) * self.gate.derivative(gate_z)
                    gate_weights.insert(0, turned @ through)
                    gate_biases.insert(0, through.sum(axis=-2, keepdims=True))
                    back = through @ np.swapaxes(w, -1, -2) + gradient * (1 - opened)
                    gradient = gradient * opened
                gradient = gradient * slope
            weights.insert(0, turned @ gradient)
            biases.insert(0, gradient.sum(axis=-2, keepdims=True))
            if k:
                gradient = gradient @ np.swapaxes(self.weights[k], -1, -2) + back
        return losses, weights + biases + gate_weights + gate_biases

    @property
    def parameters(self) -> list[np.ndarray]:
        """All weights, then all biases, then those of the gates; changing one changes the net."""
        return self.weights + self.biases + self.gate_weights + self.gate_biases

    def train(
        self,
        x: Any,
        y: Any,
        *,
        rates: Sequence[float],
        epochs: int,
        batch_size: int = 32,
        rng: np.random.Generator,
    ) -> Trained:
        """Train a copy of every network at every rate, by mini-batch gradient descent.

        All see the same batches. One whose weights pass a million is set to zeros and stays there,
        so that it cannot disturb the others.

        Args:
            x: Rows of shape (B, D).
            y: Class numbers of shape (B,).
            rates: The R learning rates, > 0.
            epochs: How often each row is used, >= 1.
            batch_size: Rows an update looks at, >= 1.
            rng: Shuffles the rows anew in every epoch.

        Raises:
            TypeError: If an argument has the wrong type.
            ValueError: If shapes do not fit, or a number is out of range.
        """
        rates = check_array("rates", rates, ndim=1)
        if (rates <= 0).any():
            raise ValueError(f"`rates` must be > 0. {received(rates=rates)}")
        epochs, batch_size = check_int("epochs", epochs, low=1), check_int("batch_size", batch_size)
        if batch_size < 1:
            raise ValueError(f"`batch_size` must be >= 1. {received(batch_size=batch_size)}")
        check_same_length(x=x, y=y)
        x, y, networks = np.asarray(x), np.asarray(y), self._repeat(len(rates))
        diverged = np.zeros(networks.biases[0].shape[:2], dtype=bool)
        history, factors = [], rates[:, None, None, None]
        for _ in range(epochs):
            order = check_rng("rng", rng).permutation(len(x))
            losses = []
            for first in range(0, len(x), batch_size):
                rows = order[first : first + batch_size]
                loss, slopes = networks.gradients(x[rows], y[rows])
                for array, slope in zip(networks.parameters, slopes, strict=True):
                    array -= factors * slope
                    diverged |= np.abs(array).max(axis=(-2, -1)) > LARGEST
                if diverged.any():
                    for array in networks.parameters:
                        array[diverged] = 0.0
                losses.append(len(rows) * loss)
            history.append(np.sum(losses, axis=0) / len(x))
        return Trained(networks, np.array(history), diverged)

    def accuracy(self, x: Any, y: Any) -> np.ndarray:
        """Return the share of rows that each network gets right, (…, S).

        Raises:
            TypeError: If an array does not hold numbers.
            ValueError: If shapes do not fit.
        """
        scores = self.forward(x)[-1].z
        y = _check_classes(y, len(x), scores.shape[-1])
        return np.mean(scores.argmax(axis=-1) == y, axis=-1)

    def _repeat(self, times: int) -> "BentNetworks":
        other = copy.copy(self)
        for name in ("weights", "biases", "gate_weights", "gate_biases"):
            setattr(other, name, [np.stack([a] * times) for a in getattr(self, name)])
        return other


def _check_bend(name: str, value: Any) -> Activation:
    pair = get_activation(value) if isinstance(value, str) else value
    if not isinstance(pair, Activation):
        raise TypeError(
            f"`{name}` must be the name of an activation, or an Activation. "
            f"{received(**{name: value})}"
        )
    if pair.derivative is None or pair.function is softmax:
        raise ValueError(
            f"`{name}` must have a derivative for each unit. {received(**{name: value})}"
        )
    return pair


def _check_sizes(sizes: Any) -> tuple[int, ...]:
    if isinstance(sizes, str) or not isinstance(sizes, Sequence):
        raise TypeError(f"`sizes` must be a sequence of integers. {received(sizes=sizes)}")
    if len(sizes) < 2:
        raise ValueError(f"`sizes` must hold at least inputs and classes. {received(sizes=sizes)}")
    return tuple(check_int("sizes", size, low=1) for size in sizes)


def _check_classes(y: Any, num_rows: int, num_classes: int) -> np.ndarray:
    y = check_array("y", y, shape=(num_rows,), dtype=None)
    if y.dtype.kind not in "iu" or y.min() < 0 or y.max() >= num_classes:
        raise ValueError(
            f"`y` must hold whole numbers from 0 to {num_classes - 1}. {received(y=np.unique(y))}"
        )
    return y
