"""Gradient descent: which rows a step looks at, what a walk gives, and what it costs.

How far a step goes, an optimizer says: an object with ``step(weights, gradient)`` that returns the
new weights and counts its calls in ``iterations``. `descend` walks with any of them.
"""

import math
import time
import tracemalloc
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from dlnotes.scratch.optimizers import SGD
from dlnotes.validation import check_array, check_float, check_int, check_rng, received


def check_batches(num_rows: Any, batch_size: Any, rng: Any) -> None:
    """Refuse what `batches` cannot cut, as its docstring says."""
    check_int("num_rows", num_rows, low=1)
    check_int("batch_size", batch_size, low=1)
    if rng is not None:
        check_rng("rng", rng)


def batches(
    num_rows: int, batch_size: int, rng: np.random.Generator | None = None
) -> list[np.ndarray]:
    """Return one epoch's batches: every row's number exactly once, `batch_size` at a time.

    Args:
        num_rows: N, the number of rows, >= 1.
        batch_size: B, rows in a batch, >= 1. If B does not divide N the last batch is smaller; if
            it exceeds N there is one batch with all rows.
        rng: Shuffles the rows; None leaves them in their order.

    Returns:
        ⌈N/B⌉ arrays of row numbers, each of shape (B,), the last one possibly shorter.

    Raises:
        TypeError: If a number is not an integer, or `rng` no generator.
        ValueError: If a number is below 1.

    Example:
        >>> batches(5, 2)
        [array([0, 1]), array([2, 3]), array([4])]
    """
    check_batches(num_rows, batch_size, rng)
    order = np.arange(num_rows) if rng is None else rng.permutation(num_rows)
    return [order[i : i + batch_size] for i in range(0, num_rows, batch_size)]


def check_descent(
    gradient: Any, start: Any, optimizer: Any, batch_size: Any, num_rows: Any, epochs: Any
) -> tuple[np.ndarray, int]:
    """Return the start as an array and the batch size as a number, or refuse an argument."""
    if not callable(gradient):
        raise TypeError(
            f"`gradient` must be a function of weights and rows. {received(gradient=gradient)}"
        )
    if not callable(getattr(optimizer, "step", None)) or isinstance(optimizer, type):
        raise TypeError(
            f"`optimizer` must be an optimizer such as SGD(0.1). {received(optimizer=optimizer)}"
        )
    num_rows = check_int("num_rows", num_rows, low=1)
    check_int("epochs", epochs, low=0)
    return check_array("start", start), num_rows if batch_size is None else batch_size


def check_step(weights: np.ndarray, gradient: Any, new: np.ndarray, update: int) -> np.ndarray:
    """Return the new weights, or raise if the gradient or the walk has gone astray."""
    if np.shape(gradient) != weights.shape:  # (D, 1) and (D,) would have given (D, D)
        raise ValueError(
            f"`gradient` must return an array of the weights' shape {weights.shape}. "
            f"Received: an array of shape {np.shape(gradient)}"
        )
    if not math.isfinite(new.sum()):
        raise FloatingPointError(
            f"The descent diverged: at update {update} the weights became infinite or NaN. "
            "Try a smaller learning rate, or bring the features to one scale."
        )
    return new


@np.errstate(over="ignore", invalid="ignore")  # check_step tells it better
def descend(
    gradient: Callable[[np.ndarray, np.ndarray], np.ndarray],
    start: Any,
    optimizer: Any,
    *,
    num_rows: int,
    batch_size: int | None = None,
    epochs: int,
    rng: np.random.Generator | None = None,
) -> np.ndarray:
    """Walk downhill and return every point of the way.

    With `batch_size` None this is batch gradient descent: one update an epoch, from all rows. With
    1 it is stochastic, with anything between mini-batch gradient descent. An epoch has
    ⌈num_rows / batch_size⌉ updates.

    Args:
        gradient: Function of the weights and an array of row numbers that returns the gradient of
            these rows' mean loss, in the shape of the weights.
        start: The first weights, an array of any shape.
        optimizer: An object with ``step(weights, gradient)``, such as `SGD`; it counts the updates
            in its ``iterations``.
        num_rows: N, the number of rows, >= 1.
        batch_size: B, rows an update looks at, >= 1; None for all.
        epochs: How often each row is used, >= 0.
        rng: Shuffles the rows anew in every epoch; None keeps their order.

    Returns:
        The path of shape (T + 1, *start.shape) after T updates, the start included, in float64.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a number is out of range, or the gradient has another shape than the weights.
        FloatingPointError: If the weights became infinite or NaN. Growth that is still finite is
            returned like any path.

    References:
        L. Bottou, F. E. Curtis and J. Nocedal, "Optimization methods for large-scale machine
        learning", SIAM Review 60 (2018).

    Example:
        >>> rows = np.array([1.0, 2.0, 6.0])
        >>> def gradient(w, chosen):  # of the mean of (w - row)²
        ...     return 2 * (w - rows[chosen].mean())
        >>> descend(gradient, 0.0, SGD(0.5), num_rows=3, epochs=1)
        array([0., 3.])
        >>> descend(gradient, 0.0, SGD(0.5), num_rows=3, batch_size=1, epochs=1)
        array([0., 1., 2., 6.])
    """
    weights, batch_size = check_descent(gradient, start, optimizer, batch_size, num_rows, epochs)
    path = [weights]
    for _ in range(epochs):
        for rows in batches(num_rows, batch_size, rng):
            slope = gradient(weights, rows)
            new = optimizer.step(weights, slope)
            weights = check_step(weights, slope, new, len(path))
            path.append(weights)
    return np.array(path)


class UpdateCost(NamedTuple):
    """What one update costs: wall time in seconds, and the most memory held in bytes."""

    seconds: float
    bytes: int


def update_costs(
    landscape: Any, batch_sizes: Sequence[int], *, rounds: int = 30
) -> list[UpdateCost]:
    """Measure what one update of `SGD` costs, its share of shuffling and bookkeeping included.

    Args:
        landscape: Where to walk: `start`, `num_rows` and `gradient`, as `LeastSquares` has them.
        batch_sizes: Rows an update looks at, each >= 1.
        rounds: How often about ten updates of each size are timed, >= 1. The sizes take turns, so
            that a slow stretch of the machine does not fall on one of them alone, and the quickest
            round of each counts, for other programs can only make one slower.

    Returns:
        One cost for each size, in their order.

    Raises:
        TypeError: If a number is not an integer.
        ValueError: If a number is below 1, or there is no size.

    Example:
        >>> from dlnotes.scratch.landscapes import LeastSquares
        >>> one, both = update_costs(LeastSquares([[1.0], [2.0]], [1.0, 4.0]), (1, 2))
        >>> one.seconds > 0 and both.seconds > 0
        True
    """
    sizes = [check_int("batch_sizes", size, low=1) for size in batch_sizes]
    if not sizes:
        raise ValueError(f"`batch_sizes` must not be empty. {received(batch_sizes=batch_sizes)}")
    check_int("rounds", rounds, low=1)
    rng = np.random.default_rng(0)
    timed = [[_seconds_an_update(landscape, size, rng) for size in sizes] for _ in range(rounds)]
    return [
        UpdateCost(min(seconds), _peak_bytes(landscape, size))
        for size, seconds in zip(sizes, zip(*timed, strict=True), strict=True)
    ]


def _seconds_an_update(landscape: Any, batch_size: int, rng: np.random.Generator) -> float:
    num_rows = min(landscape.num_rows, 10 * batch_size)  # a whole epoch of single rows takes long
    optimizer = SGD(1e-9)
    walk = {"batch_size": batch_size, "epochs": math.ceil(10 * batch_size / num_rows), "rng": rng}
    began = time.perf_counter()
    descend(landscape.gradient, landscape.start, optimizer, num_rows=num_rows, **walk)
    return (time.perf_counter() - began) / optimizer.iterations


def _peak_bytes(landscape: Any, batch_size: int) -> int:
    rows = batches(landscape.num_rows, batch_size)[0]
    tracemalloc.start()
    landscape.gradient(landscape.start, rows)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


class Race(NamedTuple):
    """How a kind of descent reached a loss at its own best rate; infinite numbers if it did not."""

    rate: float
    updates: float
    epochs: float


def race(
    landscape: Any,
    target: float,
    *,
    batch_size: int,
    epochs: int,
    rates: Sequence[float],
    rng: np.random.Generator,
    runs: int = 3,
) -> Race:
    """Let a kind of descent find its best constant rate, and say what it needs to reach a loss.

    For each rate the number of updates is the median over `runs` walks from the landscape's start.
    The loss of all rows is looked at after every update (every 20 rows for batches smaller than
    that), and its first value at or below the target counts: generous to a walk that only passes
    by. A walk that never gets there, or diverges, counts as infinitely many updates. What they
    cost in seconds, `update_costs` tells.

    Args:
        landscape: Where to walk: `start`, `num_rows`, `gradient` and `loss`, as `LeastSquares` has
            them.
        target: The loss to reach.
        batch_size: Rows an update looks at, >= 1.
        epochs: When a walk is given up, >= 1.
        rates: The learning rates to try, each > 0.
        rng: Shuffles the rows.
        runs: Walks for each rate, >= 1; one is enough with all rows in a batch.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a number is out of range, or there is no rate.

    Example:
        >>> from dlnotes.scratch.landscapes import LeastSquares
        >>> bowl = LeastSquares([[1.0], [2.0]], [1.0, 4.0])
        >>> rng = np.random.default_rng(0)
        >>> race(bowl, 0.5, batch_size=2, epochs=9, rates=(0.05, 0.2), rng=rng).rate
        0.2
    """
    target = check_float("target", target)
    check_int("batch_size", batch_size, low=1)
    epochs = check_int("epochs", epochs, low=1)
    runs = check_int("runs", runs, low=1)
    if batch_size >= landscape.num_rows:  # nothing is left to chance
        runs = 1
    rates = check_array("rates", rates, ndim=1).tolist()
    check_rng("rng", rng)

    def updates_needed(rate: float) -> float:
        walk = {"batch_size": batch_size, "epochs": epochs, "rng": rng}
        return float(np.median([_updates_to(landscape, target, rate, walk) for _ in range(runs)]))

    updates, rate = min((updates_needed(rate), rate) for rate in rates)
    size = min(batch_size, landscape.num_rows)
    return Race(rate, updates, updates * size / landscape.num_rows)


def _updates_to(landscape: Any, target: float, rate: float, walk: dict[str, Any]) -> float:
    try:
        path = descend(
            landscape.gradient, landscape.start, SGD(rate), num_rows=landscape.num_rows, **walk
        )
    except FloatingPointError:  # it diverged
        return math.inf
    every = max(1, min(20, landscape.num_rows) // walk["batch_size"])
    for update in range(0, len(path), every):
        if landscape.loss(path[update]) <= target:
            return float(update)
    return math.inf
