"""Which learning rate? One short run with a growing rate shows where training works and breaks."""

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import keras
import numpy as np

from dlnotes.validation import (
    check_array,
    check_float,
    check_int,
    check_rng,
    check_same_length,
    received,
)

FIRST = 10  # batches that tell where the loss starts and how much it varies from batch to batch


class RangeTest(NamedTuple):
    """What `find_learning_rate` measures; N is the number of batches before the explosion.

    `losses` (N,) are those of the batches just before the step with the rate of the same place in
    `rates` (N,); `smoothed` (N,) are their running means. `explosion` is the rate at which the loss
    exploded, None if it did not: then `suggestion` may be too small.
    """

    rates: np.ndarray
    losses: np.ndarray
    smoothed: np.ndarray
    suggestion: float
    explosion: float | None


def find_learning_rate(
    model: keras.Model,
    x: Any,
    y: Any = None,
    *,
    batch_size: int = 32,
    low: float = 1e-6,
    high: float = 10.0,
    num_steps: int = 100,
    smoothing: float = 0.9,
    rng: np.random.Generator | None = None,
) -> RangeTest:
    """Train for a few batches while the learning rate grows, and put everything back as it was.

    Batch i = 0, 1, …, n − 1, where n = num_steps, is trained with the rate
    low · (high / low)^(i / (n − 1)): from batch to batch the rate grows by the same factor. The
    loss Lᵢ of the batch, as `fit` would report it, is smoothed with the weight β = smoothing, and
    the bias of the running mean towards its start at 0 is corrected: mᵢ = β · mᵢ₋₁ + (1 − β) · Lᵢ
    and smoothedᵢ = mᵢ / (1 − βⁱ⁺¹).

    The first ten losses have the mean S (the start) and the standard deviation σ. Let B be the
    smallest smoothed loss from the tenth on.

    - Explosion: a loss is not finite, or the smoothed loss is more than half-way back from B to S,
      and more than 2σ above B. The test stops there.
    - Suggestion: a tenth of the rate at B. The running mean lags behind, and training at one rate
      for long is harder than passing by.

    Weights, moving averages, seeds of dropout, metrics, and the optimizer with its count of steps
    and its rate are those of before, bit for bit, also after an error or an interruption. Two
    things are not: an optimizer that has trained nothing gets its variables, as `fit` would give it
    first, and a tf.data pipeline that shuffles goes on in its own random numbers.

    Args:
        model: A built and compiled model; the optimizer's rate is a number and not a schedule.
        x: Inputs, an array with one row an example; or batches (inputs, targets), such as a
            `tf.data.Dataset`, which are started again when they end.
        y: Targets, an array with as many rows; None with batches.
        batch_size: Rows a batch, >= 1; not used with batches.
        low: The first rate, > 0, so small that nothing is learned in ten batches.
        high: The last rate, > low.
        num_steps: Number of batches, >= 20.
        smoothing: Weight β of the past in the running mean, in [0, 1).
        rng: Deals the rows into batches; None deals them in the same way each time.

    Returns:
        The rates, the losses, the suggestion and the explosion.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If the model is not built, not compiled or has a schedule, a number is out of
            range, there are no batches, the loss is not finite in one of the first ten batches, or
            it never falls below S by more than σ / √10, the standard error of S.

    References:
        Smith, Cyclical Learning Rates for Training Neural Networks, WACV 2017 (arXiv 2015), section
        3.3, where the rate grows by addition, and an eye finds the best; growth by a factor and the
        stop have become usual since.

    Example:
        >>> import keras
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        >>> model.compile("sgd", loss="mse", run_eagerly=True)
        >>> x = np.random.default_rng(1).normal(size=(64, 2))
        >>> test = find_learning_rate(model, x, x.sum(axis=1))
        >>> 0.001 < test.suggestion < test.explosion
        True
    """
    _check_model(model)
    low = check_float("low", low, low=0, open_low=True)
    high = check_float("high", high, low=low, open_low=True)
    num_steps = check_int("num_steps", num_steps, low=2 * FIRST)
    smoothing = check_float("smoothing", smoothing, low=0, high=1, open_high=True)
    batch_size = check_int("batch_size", batch_size, low=1)
    rng = np.random.default_rng(0) if rng is None else check_rng("rng", rng)
    batches = _repeated(x) if y is None else _dealt(x, y, batch_size, rng)

    rates, losses, smoothed, mean, explosion = [], [], [], 0.0, None
    with _put_back(model):
        for rate, batch in zip(np.geomspace(low, high, num_steps), batches, strict=False):
            model.optimizer.learning_rate = rate
            loss = float(model.train_on_batch(*batch, return_dict=True)["loss"])
            mean = smoothing * mean + (1 - smoothing) * loss
            value = mean / (1 - smoothing ** (len(rates) + 1))
            if not np.isfinite(loss) or _exploded(losses, smoothed, value):
                explosion = float(rate)
                break
            rates.append(float(rate))
            losses.append(loss)
            smoothed.append(value)
    suggestion = _suggestion(rates, losses, smoothed, explosion)
    return RangeTest(*map(_frozen, (rates, losses, smoothed)), suggestion, explosion)


def _exploded(losses: list[float], smoothed: list[float], value: float) -> bool:
    if len(losses) <= FIRST:
        return False
    first, best = losses[:FIRST], min(smoothed[FIRST - 1 :])
    return bool(value > best + max((np.mean(first) - best) / 2, 2 * np.std(first)))


def _suggestion(
    rates: list[float], losses: list[float], smoothed: list[float], explosion: float | None
) -> float:
    if len(losses) < FIRST:
        raise ValueError(
            f"`model` must have finite losses on the first {FIRST} batches; look for NaN in its "
            "weights and in the data, or take a smaller `low`. Received: a loss that is not finite "
            f"in batch {len(losses) + 1}, at the rate {explosion:.3g}"
        )
    start = np.mean(losses[:FIRST])
    best = FIRST - 1 + int(np.argmin(smoothed[FIRST - 1 :]))
    if smoothed[best] >= start - np.std(losses[:FIRST]) / FIRST**0.5:
        raise ValueError(
            "`model` must learn at one of the rates. "
            f"Received: the loss starts at {start:.4g} and never falls below {smoothed[best]:.4g}"
        )
    return rates[best] / 10


def _check_model(model: Any) -> None:
    if not isinstance(model, keras.Model):
        raise TypeError(f"`model` must be a Keras model. {received(model=model)}")
    if not model.built or not model.trainable_variables:
        raise ValueError(
            f"`model` must be built and have weights to train. {received(model=model.name)}"
        )
    if not model.compiled or model.optimizer is None:
        raise ValueError(
            f"`model` must be compiled, with an optimizer and a loss. {received(model=model.name)}"
        )
    if not isinstance(model.optimizer.learning_rate, keras.Variable):
        raise ValueError(
            "`model` must have an optimizer whose learning rate is a number: find the rate first, "
            f"then make a schedule with it. {received(model=model.name)}"
        )


@contextlib.contextmanager
def _put_back(model: keras.Model) -> Iterator[None]:
    """Give every variable of model, metrics and optimizer its value back at the end."""
    if not model.optimizer.built:
        model.optimizer.build(model.trainable_variables)
    variables = [*model.variables, *model.metrics_variables, *model.optimizer.variables]
    values = [np.array(keras.ops.convert_to_numpy(variable.value)) for variable in variables]
    try:
        yield
    finally:
        model.reset_metrics()  # those that were made meanwhile
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)


def _dealt(x: Any, y: Any, batch_size: int, rng: np.random.Generator) -> Iterator[tuple[Any, ...]]:
    x = check_array("x", x, ndim=(1, 2, 3, 4, 5), dtype=None)
    y = check_array("y", y, ndim=(1, 2, 3, 4, 5), dtype=None)
    check_same_length(x=x, y=y)
    size = min(batch_size, len(x))

    def deal() -> Iterator[tuple[Any, ...]]:
        while True:
            order = rng.permutation(len(x))
            for start in range(0, len(x) - size + 1, size):  # full batches: all losses alike
                rows = order[start : start + size]
                yield x[rows], y[rows]

    return deal()


def _repeated(batches: Any) -> Iterator[tuple[Any, ...]]:
    if hasattr(batches, "shape"):
        raise TypeError("`y` must be the targets when `x` is an array. Received: y=None")
    if not isinstance(batches, Iterable) or iter(batches) is batches:
        raise TypeError(
            "`x` must be an array, or batches that can be started again, such as a "
            f"tf.data.Dataset. {received(x=batches)}"
        )

    def repeat() -> Iterator[tuple[Any, ...]]:
        while True:
            empty = True
            for batch in batches:
                empty = False
                if not isinstance(batch, tuple) or len(batch) not in (2, 3):
                    raise ValueError(
                        "`x` must hold batches (inputs, targets) or (inputs, targets, weights). "
                        f"Received: a batch of type {type(batch).__name__}"
                    )
                yield batch
            if empty:
                raise ValueError(f"`x` must hold at least one batch. {received(x=batches)}")

    return repeat()


def _frozen(values: list[float]) -> np.ndarray:
    array = np.array(values)
    array.flags.writeable = False
    return array
