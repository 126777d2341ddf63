"""Learning rates that change from step to step, as functions of the step counted from 0.

Each call returns a function from the number of steps made so far (0, 1, 2, …) to the rate of the
next one, which every optimizer of `dlnotes.scratch` takes as its learning rate. The rates are those
of the Keras schedules in `dlnotes.training`.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

from dlnotes.validation import check_float, check_int, received

Schedule = Callable[[int], float]


def constant_rate(learning_rate: float) -> Schedule:
    """Return the schedule that never changes.

    Args:
        learning_rate: The rate, > 0.

    Raises:
        TypeError: If the rate is not a number.
        ValueError: If it is not positive and finite.

    Example:
        >>> rate = constant_rate(0.1)
        >>> [rate(step) for step in (0, 1, 99)]
        [0.1, 0.1, 0.1]
    """
    learning_rate = _check_rate("learning_rate", learning_rate)
    return lambda step: learning_rate


def check_exponential(initial: Any, decay_steps: Any, decay_rate: Any, staircase: Any) -> None:
    """Refuse what `exponential_decay` cannot use."""
    _check_rate("initial_learning_rate", initial)
    check_int("decay_steps", decay_steps, low=1)
    check_float("decay_rate", decay_rate, low=0, high=1, open_low=True)
    if not isinstance(staircase, bool):
        raise TypeError(f"`staircase` must be True or False. {received(staircase=staircase)}")


def exponential_decay(
    initial_learning_rate: float, decay_steps: int, decay_rate: float, *, staircase: bool = False
) -> Schedule:
    """Return a schedule that multiplies the rate by `decay_rate` every `decay_steps` steps.

    rate(s) = initial_learning_rate · decay_rate^(s / decay_steps).

    Args:
        initial_learning_rate: Rate of the first step, > 0.
        decay_steps: Steps after which the rate has been multiplied once, >= 1.
        decay_rate: The factor, in (0, 1].
        staircase: Whether s / decay_steps is rounded down, so that the rate falls in jumps.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a number is out of range.

    Example:
        >>> rate = exponential_decay(0.8, 2, 0.25)
        >>> [rate(step) for step in range(5)]
        [0.8, 0.4, 0.2, 0.1, 0.05]
    """
    check_exponential(initial_learning_rate, decay_steps, decay_rate, staircase)
    part = int if staircase else float
    return lambda step: initial_learning_rate * decay_rate ** part(step / decay_steps)


def piecewise_constant(boundaries: Sequence[int], values: Sequence[float]) -> Schedule:
    """Return a schedule that holds a rate and changes it after certain steps.

    The rate is values[0] up to and including step boundaries[0], then values[1] up to and including
    boundaries[1], and so on, as in Keras: values[0] serves boundaries[0] + 1 steps.

    Args:
        boundaries: The last step of each rate but the last one: integers >= 0, rising.
        values: The rates, > 0, one more than there are boundaries.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a number is out of range, the boundaries do not rise, or the number of rates
            does not fit.

    Example:
        >>> rate = piecewise_constant([1, 3], [0.1, 0.01, 0.001])
        >>> [rate(step) for step in range(6)]
        [0.1, 0.1, 0.01, 0.01, 0.001, 0.001]
    """
    boundaries = [check_int("boundaries", b, low=0) for b in _listed("boundaries", boundaries)]
    values = [_check_rate("values", value) for value in _listed("values", values)]
    if not boundaries or sorted(set(boundaries)) != boundaries:
        raise ValueError(
            f"`boundaries` must be one step or more, rising. {received(boundaries=boundaries)}"
        )
    if len(values) != len(boundaries) + 1:
        raise ValueError(
            "`values` must hold one rate more than there are boundaries. "
            f"{received(values=values, boundaries=boundaries)}"
        )
    return lambda step: values[sum(step > boundary for boundary in boundaries)]


def check_cosine(peak: Any, steps: Any, warmup_steps: Any, final: Any) -> tuple[float, float]:
    """Return the highest and the last rate, or refuse what `warmup_cosine` cannot use."""
    steps = check_int("steps", steps, low=1)
    check_int("warmup_steps", warmup_steps, low=0, high=steps - 1)
    peak = _check_rate("peak", peak)
    return peak, check_float("final", final, low=0, high=peak)


def warmup_cosine(
    peak: float, steps: int, *, warmup_steps: int = 0, final: float = 0.0
) -> Schedule:
    """Return a schedule that climbs to its peak in equal steps and falls along half a cosine wave.

    With T = steps, W = warmup_steps: rate(s) = peak · (s + 1)/(W + 1) for s < W, then
    final + (peak − final) · (1 + cos(π · (s − W)/(T − W)))/2, and `final` from s = T on.

    Args:
        peak: The highest rate, > 0.
        steps: T, the steps of the whole training, >= 1.
        warmup_steps: W, in [0, T − 1].
        final: The rate that the wave ends in, in [0, peak].

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a number is out of range.

    References:
        I. Loshchilov and F. Hutter, "SGDR: stochastic gradient descent with warm restarts" (2017),
        equation 5, without the restarts. P. Goyal et al., "Accurate, large minibatch SGD" (2017),
        section 2.2, for the warm-up.

    Example:
        >>> rate = warmup_cosine(0.1, 6, warmup_steps=2)
        >>> [round(rate(step), 4) for step in range(7)]
        [0.0333, 0.0667, 0.1, 0.0854, 0.05, 0.0146, 0.0]
    """
    peak, final = check_cosine(peak, steps, warmup_steps, final)

    def rate(step):
        if step < warmup_steps:
            return peak * (step + 1) / (warmup_steps + 1)
        done = min((step - warmup_steps) / (steps - warmup_steps), 1)
        return final + (peak - final) * (1 + math.cos(math.pi * done)) / 2

    return rate


def one_cycle(
    peak: float,
    steps: int,
    *,
    low: float | None = None,
    final: float | None = None,
    tail: float = 0.1,
) -> Schedule:
    """Return a schedule that climbs to its peak, falls as far, and fades, in straight lines.

    With T = steps and U = ⌊(1 − tail) · T / 2⌋ (at least 1): from `low` at step 0 to `peak` at U,
    back to `low` at 2U, and on to `final` at T, where it stays.

    Args:
        peak: The highest rate, > 0.
        steps: T, the steps of the whole training, >= 3.
        low: The first rate, in (0, peak]; None takes peak / 10.
        final: The last rate, in [0, low]; None takes low / 100.
        tail: Share of the steps in which the rate fades, in (0, 1).

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a number is out of range.

    References:
        L. N. Smith, "A disciplined approach to neural network hyper-parameters: part 1" (2018),
        section 4.1, without its momentum, which runs the other way.

    Example:
        >>> rate = one_cycle(1.0, 10, tail=0.2)
        >>> [round(rate(step), 3) for step in range(11)]
        [0.1, 0.325, 0.55, 0.775, 1.0, 0.775, 0.55, 0.325, 0.1, 0.051, 0.001]
    """
    peak, steps = _check_rate("peak", peak), check_int("steps", steps, low=3)
    low = check_float("low", peak / 10 if low is None else low, low=0, high=peak, open_low=True)
    final = check_float("final", low / 100 if final is None else final, low=0, high=low)
    tail = check_float("tail", tail, low=0, high=1, open_low=True, open_high=True)
    up = max(int((1 - tail) * steps / 2), 1)

    def rate(step: int) -> float:
        if step < 2 * up:
            return low + (peak - low) * (1 - abs(step - up) / up)
        faded = min((step - 2 * up) / (steps - 2 * up), 1)
        return low + (final - low) * faded

    return rate


def _check_rate(name: str, value: Any) -> float:
    return check_float(name, value, low=0, open_low=True)


def _listed(name: str, values: Any) -> list[Any]:
    if isinstance(values, str) or not isinstance(values, Sequence):
        raise TypeError(f"`{name}` must be a list of numbers. {received(**{name: values})}")
    return list(values)
