"""Learning rates by epoch, for ``keras.callbacks.LearningRateScheduler``.

Each function returns a schedule: a callable from the epoch, counted from 0, to the rate of that
epoch. Schedules can be pickled, and called by hand to draw them.
"""

import functools
import math
from collections.abc import Callable

from dlnotes.validation import check_float, check_int

Schedule = Callable[..., float]


def step_decay(initial: float, *, factor: float = 0.5, every: int = 10) -> Schedule:
    """Multiply the learning rate by a factor after every few epochs.

    rate(e) = initial · factor^⌊e / every⌋, where e counts epochs from 0.

    Args:
        initial: Rate of the first epochs, > 0.
        factor: What each step multiplies the rate by, in (0, 1].
        every: Epochs between two steps, >= 1.

    Returns:
        The schedule, a callable from the epoch to the rate.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a number is out of range.

    References:
        He et al., Deep Residual Learning for Image Recognition, CVPR 2016, section 3.4, where the
        rate is divided by 10 whenever the error stalls.

    Example:
        >>> rate = step_decay(0.1, factor=0.5, every=2)
        >>> [rate(epoch) for epoch in range(5)]
        [0.1, 0.1, 0.05, 0.05, 0.025]
    """
    return functools.partial(
        _step,
        initial=_check_rate("initial", initial),
        factor=check_float("factor", factor, low=0, high=1, open_low=True),
        every=check_int("every", every, low=1),
    )


def exponential_decay(initial: float, *, factor: float = 0.95) -> Schedule:
    """Multiply the learning rate by the same factor after each epoch.

    rate(e) = initial · factorᵉ, where e counts epochs from 0. The rate halves every
    ln 2 / ln(1 / factor) epochs: every 13.5 for 0.95.

    Args:
        initial: Rate of the first epoch, > 0.
        factor: What each epoch multiplies the rate by, in (0, 1].

    Returns:
        The schedule, a callable from the epoch to the rate.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a number is out of range.

    References:
        Goodfellow, Bengio, Courville, Deep Learning, MIT Press 2016, section 8.3.1, on why a rate
        must shrink, and how.

    Example:
        >>> rate = exponential_decay(0.08, factor=0.5)
        >>> [rate(epoch) for epoch in range(4)]
        [0.08, 0.04, 0.02, 0.01]
    """
    return functools.partial(
        _exponential,
        initial=_check_rate("initial", initial),
        factor=check_float("factor", factor, low=0, high=1, open_low=True),
    )


def cosine_decay(initial: float, *, epochs: int, warmup: int = 0, final: float = 0.0) -> Schedule:
    """Lower the learning rate along half a cosine wave, after an optional warm-up.

    With E = epochs and W = warmup, and e counting epochs from 0:

    - warm-up, e < W: rate(e) = initial · (e + 1) / (W + 1), which rises in equal steps;
    - then: rate(e) = final + (initial − final) · (1 + cos(π · (e − W) / (E − W))) / 2, which is
      `initial` at e = W and falls slowly, fast, and slowly again;
    - from e = E on: rate(e) = final.

    Args:
        initial: The highest rate, > 0.
        epochs: Number of epochs E of the whole training, warm-up included, >= 1.
        warmup: Number of warm-up epochs W, in [0, epochs − 1].
        final: The rate that the wave ends in, in [0, initial].

    Returns:
        The schedule, a callable from the epoch to the rate.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a number is out of range.

    References:
        Loshchilov and Hutter, SGDR: Stochastic Gradient Descent with Warm Restarts, ICLR 2017,
        equation 5, without the restarts. Goyal et al., Accurate, Large Minibatch SGD, 2017,
        section 2.2, for the warm-up.

    Example:
        >>> rate = cosine_decay(0.1, epochs=6, warmup=2)
        >>> [round(rate(epoch), 4) for epoch in range(7)]
        [0.0333, 0.0667, 0.1, 0.0854, 0.05, 0.0146, 0.0]
    """
    initial = _check_rate("initial", initial)
    epochs = check_int("epochs", epochs, low=1)
    return functools.partial(
        _cosine,
        initial=initial,
        epochs=epochs,
        warmup=check_int("warmup", warmup, low=0, high=epochs - 1),
        final=check_float("final", final, low=0, high=initial),
    )


# Keras calls a schedule with the epoch and the present rate. That rate is not used: what a schedule
# says for an epoch must not depend on where training was resumed.


def _step(epoch: int, rate: float | None = None, *, initial: float, factor: float, every: int):
    return initial * factor ** (check_int("epoch", epoch, low=0) // every)


def _exponential(epoch: int, rate: float | None = None, *, initial: float, factor: float):
    return initial * factor ** check_int("epoch", epoch, low=0)


def _cosine(
    epoch: int,
    rate: float | None = None,
    *,
    initial: float,
    epochs: int,
    warmup: int,
    final: float,
) -> float:
    epoch = check_int("epoch", epoch, low=0)
    if epoch < warmup:
        return initial * (epoch + 1) / (warmup + 1)
    share = min((epoch - warmup) / (epochs - warmup), 1.0)
    return final + (initial - final) * (1 + math.cos(math.pi * share)) / 2


def _check_rate(name: str, value: float) -> float:
    return check_float(name, value, low=0, open_low=True)
