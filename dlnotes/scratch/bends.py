"""What a bend does to units: which are dead, whose weights agree, and what it costs."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from dlnotes.validation import check_array, check_int


def dead_units(z: Any) -> np.ndarray:
    """Return which units are dead: z <= 0 for every row, so a ReLU passes no gradient at all.

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
    z = check_units(z)
    return np.all(z <= 0, axis=-2)


def check_units(z: Any, name: str = "z") -> np.ndarray:
    """Return z as an array, if it has at least two axes, such as rows and units.

    Raises:
        TypeError: If it does not hold numbers.
        ValueError: If it has fewer than two axes.

    Example:
        >>> check_units([[1.0, 2.0]]).shape
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
    signs = np.sign(check_units(slopes, "slopes"))
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
