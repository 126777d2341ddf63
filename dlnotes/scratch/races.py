"""Fair races between optimizers: each at its own best rate, found first and counted as a cost."""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from dlnotes.scratch.network_loss import NetworkLoss
from dlnotes.validation import check_array, check_float, check_int, check_rng, received

EVERY = 5  # steps between two looks at the validation loss


def walk(
    landscape: NetworkLoss,
    weights: np.ndarray,
    optimizer: Any,
    *,
    batch_size: int,
    rng: np.random.Generator,
) -> Iterator[np.ndarray]:
    """Yield the weights of S networks before the first step and after each one, without an end.

    Every network has its own order of the rows, shuffled anew in each of its epochs. What is left
    over at the end of an epoch, fewer than `batch_size` rows, is not used in it. A network that
    diverges goes on with infinite weights or NaN, and leaves the others alone.

    Args:
        landscape: Where to walk.
        weights: The first weights, shape (S, P).
        optimizer: An object with ``step(weights, gradient)``.
        batch_size: B, rows a step, 1 to N.
        rng: Shuffles.

    Yields:
        Weights of shape (S, P).

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a number is out of range or a shape does not fit.

    Example:
        >>> from dlnotes.scratch.optimizers import SGD
        >>> landscape, rng = NetworkLoss([[-1.0], [1.0]], [0, 1], (1, 2)), np.random.default_rng(0)
        >>> path = walk(landscape, np.zeros((3, 4)), SGD(1.0), batch_size=2, rng=rng)
        >>> next(path).shape, next(path)[0]
        ((3, 4), array([-0.5,  0.5,  0. ,  0. ]))
    """
    num_rows = landscape.num_rows
    batch_size = check_int("batch_size", batch_size, low=1, high=num_rows)
    weights = check_array("weights", weights, shape=(None, landscape.num_weights))
    check_rng("rng", rng)
    yield weights
    in_order = np.tile(np.arange(num_rows), (len(weights), 1))
    while True:
        order = rng.permuted(in_order, axis=1)
        for first in range(0, num_rows - batch_size + 1, batch_size):
            rows = order[:, first : first + batch_size]  # (S, B)
            with np.errstate(over="ignore", invalid="ignore"):
                weights = optimizer.step(weights, landscape.gradient(weights, rows))
            yield weights


@np.errstate(over="ignore", invalid="ignore")  # a walk with a large rate may overflow
def follow(
    optimizer: Any, landscape: Any, start: Any, num_steps: int, *, every: int = 1
) -> np.ndarray:
    """Return the points of a walk that looks at all rows in each step.

    Args:
        optimizer: An object with ``step(weights, gradient)``.
        landscape: An object with ``gradient(weights)``, an array of the weights' shape.
        start: The first weights, of any shape that the landscape takes: a row a walk, for instance.
        num_steps: T >= 0.
        every: Keep the start and every so many-th point after it, >= 1; all by default.

    Returns:
        The path (⌊T / every⌋ + 1, *start.shape), the start included. Walks that diverge end in
        infinity or NaN.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a number is out of range, or the gradient has another shape than the weights.

    Example:
        >>> from dlnotes.scratch.landscapes import Quadratic
        >>> from dlnotes.scratch.optimizers import SGD
        >>> follow(SGD(0.5), Quadratic([[1.0]]), [8.0], 2)
        array([[8.],
               [4.],
               [2.]])
    """
    num_steps = check_int("num_steps", num_steps, low=0)
    every = check_int("every", every, low=1)
    weights = check_array("start", start)
    path = [weights]
    for step in range(1, num_steps + 1):
        gradient = landscape.gradient(weights)
        if np.shape(gradient) != weights.shape:  # (D, 1) and (D,) would have given (D, D)
            raise ValueError(
                f"`gradient` must return an array of the weights' shape {weights.shape}. "
                f"Received: an array of shape {np.shape(gradient)}"
            )
        weights = optimizer.step(weights, gradient)
        if step % every == 0:
            path.append(weights)
    return np.array(path)


class BestWalk(NamedTuple):
    """How an optimizer walked at its own best rate.

    `steps` is the median over S starts, infinite if most never arrived; `path` holds their walks
    at that rate, (T + 1, S, D). `at_edge` says that no smaller, or no larger, rate was tried: the
    best one may lie beyond.
    """

    steps: float
    rate: float
    path: np.ndarray
    at_edge: bool


@np.errstate(over="ignore", invalid="ignore")
def best_walk(
    kind: Callable[[Any], Any],
    landscape: Any,
    starts: Any,
    *,
    rates: Sequence[float] = tuple(2.0 ** (k / 2) for k in range(-24, 9)),
    distance: float = 0.1,
    num_steps: int = 400,
) -> BestWalk:
    """Find the rate at which an optimizer needs the fewest steps to the point 0.

    A walk has arrived when it is nearer than `distance` and stays there to the last step: nearness
    in passing does not count. Of several rates with the same median the smallest is taken.

    Args:
        kind: Makes an optimizer from learning rates, such as `Adam`.
        landscape: Where to walk, such as `Quadratic`.
        starts: S first points, shape (S, D).
        rates: The R learning rates to try, each > 0; by default 33 from 2⁻¹² to 2⁴, each √2 times
            the one before.
        distance: How near is near enough, > 0.
        num_steps: T, the steps of every walk, >= 1.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a number is out of range or a shape does not fit.

    Example:
        >>> from dlnotes.scratch.landscapes import Quadratic
        >>> from dlnotes.scratch.optimizers import SGD
        >>> best_walk(SGD, Quadratic([[1.0]]), [[8.0]], rates=[0.1, 0.5, 1.9]).steps
        7.0
    """
    starts = check_array("starts", starts, ndim=2)
    rates = check_array("rates", rates, ndim=1)
    distance = check_float("distance", distance, low=0, open_low=True)
    num_steps = check_int("num_steps", num_steps, low=1)
    each = np.repeat(rates, len(starts))[:, None]  # a rate for each of R·S walks
    paths = follow(kind(each), landscape, np.tile(starts, (len(rates), 1)), num_steps)
    far = ~(np.linalg.norm(paths, axis=2) <= distance)  # (T + 1, R·S); NaN counts as far
    arrivals = np.where(far[-1], math.inf, num_steps + 1 - far[::-1].argmax(axis=0))
    arrivals[~far.any(axis=0)] = 0
    medians = np.median(arrivals.reshape(len(rates), -1), axis=1)
    best = int(np.lexsort((rates, medians))[0])  # of equal medians the smallest rate
    paths = paths.reshape(num_steps + 1, len(rates), *starts.shape)
    at_edge = bool(rates[best] in (rates.min(), rates.max()))
    return BestWalk(float(medians[best]), float(rates[best]), paths[:, best], at_edge)


class RateRace(NamedTuple):
    """How an optimizer raced at its own best rate.

    `rate` was chosen by the tuning runs, which cost `tuning_updates` updates. `steps` are those
    that each of the fresh runs needed, infinite for a run that did not arrive; `losses` their
    validation losses at every fifth step, (runs, checks), the start included.
    """

    rate: float
    tuning_updates: int
    steps: np.ndarray
    losses: np.ndarray


def race_at_best_rate(
    kind: Callable[[Any], Any],
    landscape: NetworkLoss,
    validation: NetworkLoss,
    target: float,
    *,
    rates: Sequence[float],
    num_steps: int,
    batch_size: int = 32,
    runs: int = 5,
    rng: np.random.Generator,
) -> RateRace:
    """Let an optimizer choose its learning rate, then count its steps to a validation loss.

    Tuning: at each rate `runs` networks start from weights of their own, all at the same time; the
    first rate at which more than half of them have reached the target is chosen (of several the
    smallest), and tuning stops. Then come as many fresh runs at that rate, with new weights and new
    batches. The validation loss is looked at every fifth step.

    Args:
        kind: Makes an optimizer from learning rates, such as `Adam`.
        landscape: Where to walk: the training rows.
        validation: The same network on the validation rows.
        target: The validation loss to reach.
        rates: The learning rates to try, each > 0.
        num_steps: When a run is given up, >= 1.
        batch_size: Rows a step.
        runs: Networks a rate, and fresh ones, >= 1.
        rng: Draws weights and batches.

    Returns:
        The rate, its price, and the fresh runs. If no rate arrives, the rate is NaN.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a number is out of range, there is no rate, or the two landscapes differ.

    Example:
        >>> from dlnotes.scratch.optimizers import SGD
        >>> line = NetworkLoss([[-1.0], [1.0]], [0, 1], (1, 2))
        >>> options = {"num_steps": 99, "batch_size": 2, "rng": np.random.default_rng(0)}
        >>> race_at_best_rate(SGD, line, line, 0.2, rates=[0.01, 1.0], **options).rate
        1.0
    """
    _check_twins(landscape, validation)
    target = check_float("target", target)
    rates = check_array("rates", rates, ndim=1)
    num_steps = check_int("num_steps", num_steps, low=1)
    runs = check_int("runs", runs, low=1)

    def losses(learning_rates: np.ndarray) -> Iterator[np.ndarray]:
        start = landscape.draw(len(learning_rates), rng)
        options = {"batch_size": batch_size, "rng": rng}
        path = walk(landscape, start, kind(learning_rates[:, None]), **options)
        for weights in itertools.islice(path, 0, num_steps + 1, EVERY):
            yield validation.loss(weights)

    arrived = np.zeros((len(rates), runs), dtype=bool)
    for step, now in zip(itertools.count(0, EVERY), losses(np.repeat(rates, runs)), strict=False):
        arrived |= now.reshape(arrived.shape) <= target
        chosen = arrived.sum(axis=1) > runs / 2
        spent = arrived.size * step
        if chosen.any():
            break
    else:
        never = np.full(runs, math.inf)
        return RateRace(math.nan, spent, never, np.full((runs, 1), math.nan))
    rate = float(rates[chosen].min())
    fresh = np.array(list(losses(np.full(runs, rate)))).T  # (runs, checks)
    reached = fresh <= target
    steps = np.where(reached.any(axis=1), EVERY * reached.argmax(axis=1), math.inf)
    return RateRace(rate, spent, steps, fresh)


class TunedNetworks(NamedTuple):
    """Networks trained at the rate with the lowest median validation loss, weights (runs, P).

    Finding that rate cost `tuning_updates` updates.
    """

    rate: float
    weights: np.ndarray
    tuning_updates: int


def train_at_best_rate(
    kind: Callable[[Any], Any],
    landscape: NetworkLoss,
    validation: NetworkLoss,
    *,
    rates: Sequence[float],
    num_steps: int,
    schedule: Callable[[int], float] = lambda step: 1.0,
    batch_size: int = 32,
    runs: int = 5,
    rng: np.random.Generator,
) -> TunedNetworks:
    """Train networks for a number of steps at the rate that `runs` others found best.

    The rate of a step is one of `rates` times the schedule. At each rate `runs` networks are
    trained; the rate with the lowest median validation loss at the end is kept (of several the
    smallest), and as many fresh networks are trained with it.

    Args:
        kind: Makes an optimizer from learning rates or a function of the step, such as `Adam`.
        landscape: Where to walk: the training rows.
        validation: The same network on the validation rows.
        rates: The peak rates to try, each > 0.
        num_steps: Steps of every training, >= 1.
        schedule: The rate as a share of its peak, a function of the step; constant by default.
        batch_size: Rows a step.
        runs: Networks a rate, and fresh ones, >= 1.
        rng: Draws weights and batches.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a number is out of range, there is no rate, or the two landscapes differ.
        FloatingPointError: If at every rate most networks diverged.

    Example:
        >>> from dlnotes.scratch.optimizers import SGD
        >>> line = NetworkLoss([[-1.0], [1.0]], [0, 1], (1, 2))
        >>> options = {"num_steps": 20, "batch_size": 2, "rng": np.random.default_rng(0)}
        >>> train_at_best_rate(SGD, line, line, rates=[0.01, 1.0], **options).rate
        1.0
    """
    _check_twins(landscape, validation)
    rates = check_array("rates", rates, ndim=1)
    num_steps = check_int("num_steps", num_steps, low=1)
    runs = check_int("runs", runs, low=1)

    def train(peaks: np.ndarray) -> np.ndarray:
        start = landscape.draw(len(peaks), rng)
        optimizer = kind(lambda step: peaks[:, None] * schedule(step))
        path = walk(landscape, start, optimizer, batch_size=batch_size, rng=rng)
        return next(itertools.islice(path, num_steps, None))

    losses = validation.loss(train(np.repeat(rates, runs))).reshape(-1, runs)
    losses = np.where(np.isfinite(losses), losses, math.inf)
    medians = np.median(losses, axis=1)
    if np.isinf(medians).all():
        raise FloatingPointError(
            f"Every training diverged. Try smaller learning rates. {received(rates=rates.tolist())}"
        )
    rate = float(rates[medians == medians.min()].min())
    return TunedNetworks(rate, train(np.full(runs, rate)), losses.size * num_steps)


def _check_twins(landscape: NetworkLoss, validation: NetworkLoss) -> None:
    if landscape.sizes != validation.sizes:
        raise ValueError(
            "`validation` must be of the same network as `landscape`. "
            f"{received(landscape=landscape.sizes, validation=validation.sizes)}"
        )
