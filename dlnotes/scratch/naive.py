"""Forecasts without any model: what every model has to beat."""

from typing import Any

import numpy as np

from dlnotes.validation import check_array, check_int, received


def naive(history: Any, steps: int = 1) -> np.ndarray:
    """Foretell "same as last time": every one of the next steps repeats the last value.

    For a random walk no forecast has a lower mean squared error.

    Args:
        history: T numbers, (T,), or N histories, (N, T).
        steps: H, how many steps to foretell, >= 1.

    Returns:
        The next H values, (H,) or (N, H).

    Raises:
        TypeError: If the history does not hold numbers.
        ValueError: If it holds NaN, or nothing.

    Example:
        >>> naive([3, 1, 4], 2).tolist()
        [4.0, 4.0]
    """
    history, steps = check_history(history, steps)
    return np.repeat(history[..., -1:], steps, axis=-1)


def seasonal_naive(history: Any, steps: int = 1, *, season: int) -> np.ndarray:
    """Foretell "same as last year": each step repeats the last known value of its phase.

    Args:
        history: T numbers, (T,), or N histories, (N, T), with T >= season.
        steps: H, how many steps to foretell, >= 1.
        season: S, after how many steps the season begins anew, >= 1; with 1 it is `naive`.

    Returns:
        The next H values, (H,) or (N, H).

    Raises:
        TypeError: If the history does not hold numbers.
        ValueError: If it holds NaN, or fewer than S values.

    Example:
        >>> seasonal_naive([9, 1, 5, 2, 6], 3, season=2).tolist()
        [2.0, 6.0, 2.0]
    """
    history, steps = check_history(history, steps, season=season)
    return history[..., -season:][..., np.arange(steps) % season]


def drift(history: Any, steps: int = 1) -> np.ndarray:
    """Foretell that the series goes on as it went on average from its first to its last value.

    Args:
        history: T numbers, (T,), or N histories, (N, T), with T >= 2.
        steps: H, how many steps to foretell, >= 1.

    Returns:
        The next H values, (H,) or (N, H).

    Raises:
        TypeError: If the history does not hold numbers.
        ValueError: If it holds NaN, or fewer than 2 values.

    Example:
        >>> drift([1, 4, 5], 3).tolist()
        [7.0, 9.0, 11.0]
    """
    history, steps = check_history(history, steps, values=2)
    slope = (history[..., -1:] - history[..., :1]) / (history.shape[-1] - 1)
    return history[..., -1:] + slope * np.arange(1, steps + 1)


def moving_average(history: Any, steps: int = 1, *, window: int) -> np.ndarray:
    """Foretell the mean of the last values for every one of the next steps.

    Args:
        history: T numbers, (T,), or N histories, (N, T), with T >= window.
        steps: H, how many steps to foretell, >= 1.
        window: W, of how many last values, >= 1; with 1 it is `naive`.

    Returns:
        The next H values, (H,) or (N, H).

    Raises:
        TypeError: If the history does not hold numbers.
        ValueError: If it holds NaN, or fewer than W values.

    Example:
        >>> moving_average([9, 2, 4], 2, window=2).tolist()
        [3.0, 3.0]
    """
    history, steps = check_history(history, steps, window=window)
    return np.repeat(history[..., -window:].mean(axis=-1, keepdims=True), steps, axis=-1)


def check_history(history: Any, steps: int, **least: int) -> tuple[np.ndarray, int]:
    """Return a history and a number of steps, checked.

    Args:
        history: Numbers, (T,) or (N, T).
        steps: How many steps to foretell, >= 1.
        **least: By its name the number of values that the history must hold, >= 1.

    Raises:
        TypeError: If the history does not hold numbers, or a number is no integer.
        ValueError: If it holds NaN, or too few values.
    """
    history, steps = check_array("history", history, ndim=(1, 2)), check_int("steps", steps, low=1)
    for name, count in least.items():
        if history.shape[-1] < check_int(name, count, low=1):
            raise ValueError(
                f"`history` must hold at least {count} values. "
                f"{received(**{name: count})}, history.shape={history.shape}"
            )
    return history, steps
