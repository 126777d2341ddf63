"""Learning rates that change by themselves, for any Keras optimizer.

Each schedule is a function of the step, counted from 0: ``SGD(OneCycle(0.5, 300))`` asks it before
each of its steps. It is saved with the model and reloaded, and the next step gets the rate that it
would have got. Given to `standard_callbacks`, it is asked once an epoch instead: there a step is an
epoch. ``float(schedule(step))`` tells the rate, such as to draw it.

Where Keras has the schedule, its formula is Keras'. What is added: arguments are checked.
"""

from collections.abc import Sequence
from typing import Any

import keras

from dlnotes.validation import check_flag, check_float, check_int, received

register = keras.saving.register_keras_serializable(package="dlnotes")


@register
class ExponentialDecay(keras.optimizers.schedules.ExponentialDecay):
    """Multiply the learning rate by the same factor every few steps, at once or gradually.

    rate(s) = initial_learning_rate · decay_rate^(s / decay_steps), where s counts steps from 0.
    With `staircase`, s / decay_steps is rounded down: the rate stays the same for `decay_steps`
    steps, then it jumps.

    Args:
        initial_learning_rate: Rate of the first step, > 0.
        decay_steps: Number of steps after which the rate has been multiplied once, >= 1.
        decay_rate: The factor, in (0, 1].
        staircase: Whether the rate jumps.
        name: Name of the operations.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a number is out of range.

    References:
        Goodfellow, Bengio, Courville, Deep Learning, MIT Press 2016, section 8.3.1, on why a rate
        must shrink, and how.

    Example:
        >>> rate = ExponentialDecay(0.1, 2, 0.5, staircase=True)
        >>> [round(float(rate(step)), 4) for step in range(5)]
        [0.1, 0.1, 0.05, 0.05, 0.025]
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: int,
        decay_rate: float,
        staircase: bool = False,
        name: str = "ExponentialDecay",
    ) -> None:
        check_flag("staircase", staircase)
        super().__init__(
            _check_rate("initial_learning_rate", initial_learning_rate),
            check_int("decay_steps", decay_steps, low=1),
            check_float("decay_rate", decay_rate, low=0, high=1, open_low=True),
            staircase,
            name,
        )


@register
class PiecewiseConstantDecay(keras.optimizers.schedules.PiecewiseConstantDecay):
    """Hold the learning rate, and change it after certain steps.

    The rate is values[0] up to and including step boundaries[0], then values[1] up to and including
    step boundaries[1], and so on; values[-1] after the last. As steps count from 0, values[0]
    serves boundaries[0] + 1 steps.

    Args:
        boundaries: The last step of each rate but the last one: integers >= 0, rising.
        values: The rates, > 0, one more than there are boundaries.
        name: Name of the operations.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a number is out of range, the boundaries do not rise, or the number of rates
            does not fit.

    References:
        He et al., Deep Residual Learning for Image Recognition, CVPR 2016, section 3.4, where the
        rate is divided by 10 whenever the error stalls.

    Example:
        >>> rate = PiecewiseConstantDecay([1, 3], [0.1, 0.01, 0.001])
        >>> [round(float(rate(step)), 4) for step in range(6)]
        [0.1, 0.1, 0.01, 0.01, 0.001, 0.001]
    """

    def __init__(
        self,
        boundaries: Sequence[int],
        values: Sequence[float],
        name: str = "PiecewiseConstantDecay",
    ) -> None:
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
        super().__init__(boundaries, values, name)


@register
class WarmupCosineDecay(keras.optimizers.schedules.LearningRateSchedule):
    """Raise the learning rate in equal steps, then lower it along half a cosine wave.

    With T = steps and W = warmup_steps, and s counting steps from 0:

    - warm-up, s < W: rate(s) = peak · (s + 1) / (W + 1), so that no step is lost to a rate of 0;
    - then: rate(s) = final + (peak − final) · (1 + cos(π · (s − W) / (T − W))) / 2, which is `peak`
      at s = W and falls slowly, fast, and slowly again;
    - from s = T on: rate(s) = final.

    It is Keras' `CosineDecay` with ``initial_learning_rate=peak / (W + 1)``,
    ``warmup_target=peak``, ``warmup_steps=W``, ``decay_steps=T − W`` and ``alpha=final / peak``.

    Args:
        peak: The highest rate, > 0.
        steps: Number of steps T of the whole training, warm-up included, >= 1.
        warmup_steps: Number of warm-up steps W, in [0, steps − 1].
        final: The rate that the wave ends in, in [0, peak].

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a number is out of range.

    References:
        Loshchilov and Hutter, SGDR: Stochastic Gradient Descent with Warm Restarts, ICLR 2017,
        equation 5, without the restarts. Goyal et al., Accurate, Large Minibatch SGD, 2017,
        section 2.2, for the warm-up.

    Example:
        >>> rate = WarmupCosineDecay(0.1, 6, warmup_steps=2)
        >>> [round(float(rate(step)), 4) for step in range(7)]
        [0.0333, 0.0667, 0.1, 0.0854, 0.05, 0.0146, 0.0]
    """

    def __init__(
        self,
        peak: float,
        steps: int,
        *,
        warmup_steps: int = 0,
        final: float = 0.0,
    ) -> None:
        super().__init__()
        self.peak = _check_rate("peak", peak)
        self.steps = check_int("steps", steps, low=1)
        self.warmup_steps = check_int("warmup_steps", warmup_steps, low=0, high=self.steps - 1)
        self.final = check_float("final", final, low=0, high=self.peak)
        self._cosine = keras.optimizers.schedules.CosineDecay(
            self.peak / (self.warmup_steps + 1),
            self.steps - self.warmup_steps,
            alpha=self.final / self.peak,
            warmup_target=self.peak if self.warmup_steps else None,
            warmup_steps=self.warmup_steps,
        )

    def __call__(self, step: Any) -> Any:
        return self._cosine(step)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments, as Keras saves them."""
        return {
            "peak": self.peak,
            "steps": self.steps,
            "warmup_steps": self.warmup_steps,
            "final": self.final,
        }


@register
class OneCycle(keras.optimizers.schedules.LearningRateSchedule):
    """Raise the learning rate to its peak, lower it as far, and let it fade, all in straight lines.

    With T = steps, U = ⌊(1 − tail) · T / 2⌋ (at least 1), and s counting steps from 0:

    - up, from `low` at s = 0 to `peak` at s = U;
    - down, back to `low` at s = 2U;
    - fade, from there to `final` at s = T, where it stays.

    Smith supposes that the high rates in the middle keep training out of narrow minima; the last
    steps settle. In the paper the momentum runs the other way, from 0.95 to 0.85 and back; a Keras
    schedule sets the rate alone. Keras has no such schedule.

    Args:
        peak: The highest rate, > 0; a learning-rate finder suggests it.
        steps: Number of steps T of the whole training, >= 3.
        low: The first rate, in (0, peak]; None takes peak / 10.
        final: The last rate, in [0, low]; None takes low / 100.
        tail: Share of the steps in which the rate fades, in (0, 1).

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a number is out of range.

    References:
        Smith, A disciplined approach to neural network hyper-parameters: Part 1, 2018, section 4.1;
        Smith and Topin, Super-Convergence, 2018, section 3.

    Example:
        >>> rate = OneCycle(1.0, 10, tail=0.2)
        >>> [round(float(rate(step)), 3) for step in range(11)]
        [0.1, 0.325, 0.55, 0.775, 1.0, 0.775, 0.55, 0.325, 0.1, 0.051, 0.001]
    """

    def __init__(
        self,
        peak: float,
        steps: int,
        *,
        low: float | None = None,
        final: float | None = None,
        tail: float = 0.1,
    ) -> None:
        super().__init__()
        self.peak = _check_rate("peak", peak)
        self.steps = check_int("steps", steps, low=3)
        low = self.peak / 10 if low is None else low
        self.low = check_float("low", low, low=0, high=self.peak, open_low=True)
        final = self.low / 100 if final is None else final
        self.final = check_float("final", final, low=0, high=self.low)
        self.tail = check_float("tail", tail, low=0, high=1, open_low=True, open_high=True)

    def __call__(self, step: Any) -> Any:
        up = max(int((1 - self.tail) * self.steps / 2), 1)  # steps uphill, and as many downhill
        step = keras.ops.cast(step, keras.config.floatx())
        height = 1 - keras.ops.abs(step - up) / up  # 0 → 1 → 0, then below 0
        hill = self.low + (self.peak - self.low) * height
        faded = keras.ops.minimum((step - 2 * up) / (self.steps - 2 * up), 1.0)
        fade = self.low + (self.final - self.low) * faded
        return keras.ops.where(step < 2 * up, hill, fade)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments, as Keras saves them."""
        return {
            "peak": self.peak,
            "steps": self.steps,
            "low": self.low,
            "final": self.final,
            "tail": self.tail,
        }


def _check_rate(name: str, value: float) -> float:
    return check_float(name, value, low=0, open_low=True)


def _listed(name: str, values: Any) -> list[Any]:
    if isinstance(values, str) or not isinstance(values, Sequence):
        raise TypeError(f"`{name}` must be a list of numbers. {received(**{name: values})}")
    return list(values)
