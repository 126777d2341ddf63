"""A small recurrent network that reads a sequence and says one number at its end."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Self

import numpy as np

from dlnotes.scratch.clipping import clip_by_global_norm, global_norm
from dlnotes.scratch.dense import Dense
from dlnotes.scratch.optimizers import Adam
from dlnotes.scratch.recurrent import RNN, Cell
from dlnotes.validation import (
    check_array,
    check_choice,
    check_float,
    check_int,
    check_rng,
    check_same_length,
    received,
)

STARTS = ("zeros", "learned", "kept", "anew")
TOO_LONG = 1e6  # a gradient that is longer has exploded


class SequenceRegressor:
    """A recurrent cell, and one linear unit that reads its last output.

    Shapes: B sequences of T steps with D features, (B, T, D); U units.

    Args:
        cell: A `Cell`; training puts new weights into it.
        start: How each sequence begins: "zeros"; "learned", from zeros, but trained like a weight;
            "kept", states drawn once; "anew", states drawn for each sequence, in training and
            after.
        spread: Standard deviation of drawn states, >= 0.
        rng: Draws the unit's weights and kept states.

    Attributes:
        layer: The `RNN` around the cell.
        head: The linear unit, a `Dense`.
        first: The first states, one array (U,) for each state of the cell.
        lengths: Length of the whole gradient before clipping, one number a step of `fit`.
        exploded: Whether `fit` stopped because a gradient was longer than a million.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If `start` is unknown, or `spread` out of range.

    References:
        R. J. Williams and J. Peng, "An efficient gradient-based algorithm for on-line training of
        recurrent network trajectories", Neural Computation 2 (1990), for the truncated gradient.

    Example:
        >>> from dlnotes.scratch import SimpleRNNCell
        >>> rng = np.random.default_rng(0)
        >>> x = rng.random((200, 2, 1))
        >>> net = SequenceRegressor(SimpleRNNCell.draw(1, 8, rng), rng=rng)
        >>> _ = net.fit(x, x[:, 0, 0], rng=rng, rate=0.03, steps=100)
        >>> net.error(x, x[:, 0, 0]) < 0.01 < np.var(x[:, 0, 0])
        np.True_
    """

    def __init__(
        self,
        cell: Cell,
        *,
        start: str = "zeros",
        spread: float = 0.0,
        rng: np.random.Generator,
    ) -> None:
        self.layer = RNN(cell)
        self.start = check_choice("start", start, STARTS)
        self.spread = check_float("spread", spread, low=0)
        self.head = Dense(cell.units, 1, rng=check_rng("rng", rng))
        size = self.spread if start == "kept" else 0.0
        self.first = [size * rng.normal(size=cell.units) for _ in range(cell.num_states)]
        self.lengths: list[float] = []
        self.exploded = False

    def fit(
        self,
        x: Any,
        y: Any,
        *,
        rate: float,
        rng: np.random.Generator,
        rule: Callable[[float], Any] = Adam,
        steps: int = 300,
        batch_size: int = 50,
        reach: int | None = None,
        max_norm: float | None = None,
    ) -> Self:
        """Train on the mean squared error with batches drawn at random, and return the network.

        Args:
            x: Sequences of shape (B, T, D).
            y: One number a sequence, shape (B,).
            rate: Learning rate, > 0.
            rng: Draws the batches, and states that are drawn anew.
            rule: Makes an optimizer from the rate, such as `Adam` or `SGD`.
            steps: Updates, >= 1.
            batch_size: Sequences a step, >= 1.
            reach: How many steps back the gradient travels, 1 to T; None lets it travel them all.
                The steps before are read all the same.
            max_norm: Clips the whole gradient to this length, > 0; None clips nothing.

        Raises:
            TypeError: If an argument has the wrong type.
            ValueError: If a shape differs, or a number is out of range; also for a start that is
                to be learned with a reach that does not get there.
        """
        x, y = check_array("x", x, ndim=3), check_array("y", y, ndim=1)
        check_same_length(x=x, y=y)
        check_rng("rng", rng)
        total = x.shape[1]
        reach = total if reach is None else check_int("reach", reach, low=1, high=total)
        if self.start == "learned" and reach < total:
            raise ValueError(
                f"`reach` must be {total} for a learned start. {received(reach=reach)}"
            )
        batch_size = check_int("batch_size", batch_size, low=1)
        rules = [rule(rate) for _ in self.weights]
        for _ in range(check_int("steps", steps, low=1)):
            rows = rng.integers(0, len(x), batch_size)
            gradients = self._gradients(x[rows], y[rows], reach, rng)
            self.lengths.append(global_norm(gradients))
            if self.lengths[-1] > TOO_LONG:
                self.exploded = True
                break
            if max_norm is not None:
                gradients = clip_by_global_norm(gradients, max_norm)
            pairs = zip(rules, self.weights, gradients, strict=True)
            self.weights = [one.step(w, g) for one, w, g in pairs]
        return self

    def predict(self, x: Any, *, rng: np.random.Generator | None = None) -> np.ndarray:
        """Return one number for each sequence, shape (B,).

        Args:
            x: Sequences of shape (B, T, D).
            rng: Draws first states; needed by the start "anew" alone.

        Raises:
            TypeError: If `x` does not hold numbers, or a generator is missing.
            ValueError: If the shape differs.
        """
        x = check_array("x", x, ndim=3)
        self.layer.forward(x, initial_states=self._begin(len(x), rng))
        return self.head.forward(self.layer.last_output)[:, 0]

    def error(self, x: Any, y: Any, *, rng: np.random.Generator | None = None) -> float:
        """Return the mean squared error; infinity if the gradient exploded in training.

        Args:
            x: Sequences of shape (B, T, D).
            y: One number a sequence, shape (B,).
            rng: Draws first states; needed by the start "anew" alone.

        Raises:
            TypeError: If an array does not hold numbers, or a generator is missing.
            ValueError: If a shape differs.
        """
        y = check_array("y", y, ndim=1)
        check_same_length(x=x, y=y)
        return np.inf if self.exploded else np.mean((self.predict(x, rng=rng) - y) ** 2)

    @property
    def weights(self) -> list[np.ndarray]:
        """All that is trained: the cell's weights, the unit's, and first states if learned."""
        learned = self.first if self.start == "learned" else []
        return [*self.layer.cell.weights, self.head.weights, self.head.bias, *learned]

    @weights.setter
    def weights(self, arrays: list[np.ndarray]) -> None:
        """Put new arrays in, in the same order."""
        count = len(self.layer.cell.weights)
        self.layer.cell.weights = list(arrays[:count])
        self.head.weights, self.head.bias, *learned = arrays[count:]
        self.first = learned or self.first

    def _begin(self, count: int, rng: np.random.Generator | None) -> tuple[np.ndarray, ...]:
        if self.start != "anew":
            return tuple(np.tile(state, (count, 1)) for state in self.first)
        check_rng("rng", rng)
        return tuple(self.spread * rng.normal(size=(count, len(s))) for s in self.first)

    def _gradients(
        self, x: np.ndarray, y: np.ndarray, reach: int, rng: np.random.Generator
    ) -> list[np.ndarray]:
        states, total = self._begin(len(x), rng), x.shape[1]
        if reach < total:  # these steps are read, but no blame travels through them
            self.layer.forward(x[:, : total - reach], initial_states=states)
            states = self.layer.final_states
        self.layer.forward(x[:, total - reach :], initial_states=states)
        miss = self.head.forward(self.layer.last_output)[:, 0] - y
        self.layer.backward(self.head.backward(2 * miss[:, None] / len(y)))
        gradients = [*self.layer.gradients, self.head.weights_gradient, self.head.bias_gradient]
        if self.start == "learned":
            gradients += [g.sum(axis=0) for g in self.layer.initial_gradients]
        return gradients


class RateRuns(NamedTuple):
    """What `fit_at_rates` returns.

    Attributes:
        rates: The learning rates, R of them.
        nets: For each rate its C trained `SequenceRegressor`.
        errors: Their validation errors, shape (R, C); infinite where the gradient exploded.
    """

    rates: tuple[float, ...]
    nets: list[list[SequenceRegressor]]
    errors: np.ndarray

    @property
    def best_rate(self) -> float:
        """The rate with the lowest median of its validation errors."""
        return self.rates[int(np.median(self.errors, axis=1).argmin())]

    @property
    def best(self) -> list[SequenceRegressor]:
        """The networks trained at the best rate."""
        return self.nets[self.rates.index(self.best_rate)]


def fit_at_rates(
    draw_cell: Callable[[np.random.Generator], Cell],
    train: tuple[Any, Any],
    validation: tuple[Any, Any],
    *,
    rates: Sequence[float],
    copies: int = 3,
    rng: np.random.Generator,
    start: str = "zeros",
    spread: float = 0.0,
    **options: Any,
) -> RateRuns:
    """Train networks at several learning rates, and measure them on other sequences.

    Copy c begins with the same weights and sees the same batches at every rate.

    Args:
        draw_cell: Returns a new cell, drawn with the generator it gets.
        train: Sequences (B, T, D) and their numbers (B,).
        validation: The same, for the errors.
        rates: Learning rates, each > 0, at least one.
        copies: Networks a rate, >= 1.
        rng: Makes the copies' own generators.
        start: How a sequence begins, as for `SequenceRegressor`.
        spread: Standard deviation of drawn first states.
        options: What else `SequenceRegressor.fit` takes.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a number is out of range, or there is no rate.

    Example:
        >>> from dlnotes.scratch import SimpleRNNCell
        >>> x = np.random.default_rng(0).random((200, 2, 1))
        >>> data, draw_cell = (x, x[:, 0, 0]), lambda rng: SimpleRNNCell.draw(1, 8, rng)
        >>> rng = np.random.default_rng(1)
        >>> runs = fit_at_rates(draw_cell, data, data, rates=(1e-4, 0.03), rng=rng, steps=50)
        >>> runs.best_rate, runs.errors.shape
        (0.03, (2, 3))
    """
    if isinstance(rates, str) or not isinstance(rates, Sequence) or len(rates) == 0:
        raise ValueError(f"`rates` must hold at least one learning rate. {received(rates=rates)}")
    if not callable(draw_cell):
        raise TypeError(f"`draw_cell` must be a function. {received(draw_cell=draw_cell)}")
    seeds = check_rng("rng", rng).integers(2**32, size=check_int("copies", copies, low=1))
    nets, errors = [], []
    for rate in rates:
        nets.append([])
        for seed in seeds:
            own = np.random.default_rng(seed)
            net = SequenceRegressor(draw_cell(own), start=start, spread=spread, rng=own)
            nets[-1].append(net.fit(*train, rate=rate, rng=own, **options))
        errors.append([net.error(*validation, rng=np.random.default_rng(0)) for net in nets[-1]])
    return RateRuns(tuple(rates), nets, np.array(errors))
