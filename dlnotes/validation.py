"""Checks of arguments, worded as Keras words them: name, what was expected, what was received."""

import numbers
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np


def received(**values: Any) -> str:
    """Return the closing words of an error message: ``Received: name=value, …``.

    Long values are cut, so that an array or a text never floods the message.

    Example:
        >>> received(rate=2, name="dropout")
        "Received: rate=2, name='dropout'"
    """
    parts = []
    for name, value in values.items():
        text = f"{name}={value!r}"
        parts.append(text if len(text) <= 120 else text[:117] + "…")
    return "Received: " + ", ".join(parts)


def check_int(name: str, value: Any, *, low: int | None = None, high: int | None = None) -> int:
    """Return `value` as an int if it is a whole number in ``[low, high]``.

    Raises:
        TypeError: If `value` is not an integer (a bool is not one).
        ValueError: If it lies outside the range.

    Example:
        >>> check_int("units", 8, low=1)
        8
    """
    if isinstance(value, bool | np.bool_) or not isinstance(value, numbers.Integral):
        raise TypeError(f"`{name}` must be an integer. {received(**{name: value})}")
    if (low is not None and value < low) or (high is not None and value > high):
        raise ValueError(
            f"`{name}` must be an integer {_bounds(low, high)}. {received(**{name: value})}"
        )
    return int(value)


def check_float(
    name: str,
    value: Any,
    *,
    low: float | None = None,
    high: float | None = None,
    open_low: bool = False,
    open_high: bool = False,
) -> float:
    """Return `value` as a finite float in the range; `open_low` and `open_high` exclude the ends.

    Raises:
        TypeError: If `value` is not a real number (a bool is not one).
        ValueError: If it is NaN, infinite or outside the range.

    Example:
        >>> check_float("rate", 0.5, low=0, high=1)
        0.5
    """
    if isinstance(value, bool | np.bool_) or not isinstance(value, numbers.Real):
        raise TypeError(f"`{name}` must be a number. {received(**{name: value})}")
    below = low is not None and (value <= low if open_low else value < low)
    above = high is not None and (value >= high if open_high else value > high)
    if not np.isfinite(value) or below or above:
        limits = _bounds(low, high, open_low=open_low, open_high=open_high)
        raise ValueError(f"`{name}` must be a finite number {limits}. {received(**{name: value})}")
    return float(value)


def check_flag(name: str, value: Any) -> bool:
    """Return True or False.

    Args:
        name: The argument's name, for the message.
        value: What was given.

    Raises:
        TypeError: If it is anything else.
    """
    if not isinstance(value, bool):
        raise TypeError(f"`{name}` must be True or False. {received(**{name: value})}")
    return value


def check_choice(name: str, value: Any, choices: Iterable[Any]) -> Any:
    """Return `value` if it is one of `choices`.

    Raises:
        ValueError: If it is not; the message lists the choices.

    Example:
        >>> check_choice("loss", "hinge", ("hinge", "log"))
        'hinge'
    """
    choices = tuple(choices)
    if not any(type(value) is type(choice) and value == choice for choice in choices):
        listed = ", ".join(repr(choice) for choice in choices)
        raise ValueError(f"`{name}` must be one of {listed}. {received(**{name: value})}")
    return value


def check_path(name: str, value: Any) -> Path:
    """Return `value` as a `Path`.

    Raises:
        TypeError: If it is neither a non-empty string nor a path.
    """
    if not isinstance(value, str | os.PathLike) or not str(value):
        raise TypeError(f"`{name}` must be a path. {received(**{name: value})}")
    return Path(value)


def check_array(
    name: str,
    value: Any,
    *,
    ndim: int | tuple[int, ...] | None = None,
    shape: tuple[int | None, ...] | None = None,
    columns: int | None = None,
    dtype: Any = np.float64,
    nonempty: bool = True,
) -> np.ndarray:
    """Return `value` as a finite array of numbers.

    Args:
        name: The argument's name, for the message.
        value: Anything that `numpy.asarray` accepts.
        ndim: The allowed number of dimensions, or several.
        shape: The expected shape; None stands for any length of that axis.
        columns: The expected length of the last axis, for any number of axes before it.
        dtype: What to convert to; None keeps the numeric type that came.
        nonempty: Whether an array without elements is refused.

    Raises:
        TypeError: If the values are not numbers.
        ValueError: If the shape differs, the array is empty, or a value is NaN or infinite.

    Example:
        >>> check_array("x", [[1, 2], [3, 4]], ndim=2).dtype
        dtype('float64')
    """
    try:
        array = np.asarray(value)
    except ValueError as error:  # rows of different lengths
        raise ValueError(
            f"`{name}` must be a rectangular array. {received(**{name: value})}"
        ) from error
    if array.dtype.kind not in "biuf":
        kind = type(value).__name__ if array.ndim == 0 else f"array of dtype {array.dtype}"
        raise TypeError(f"`{name}` must be an array of numbers. Received: {name} is a {kind}")
    allowed = (ndim,) if isinstance(ndim, int) else ndim
    if allowed is not None and array.ndim not in allowed:
        wanted = " or ".join(f"{n}-dimensional" for n in allowed)
        raise ValueError(f"`{name}` must be {wanted}. Received: {name}.shape={array.shape}")
    if shape is not None and not _same_shape(array.shape, shape):
        wanted = "(" + ", ".join("any" if n is None else str(n) for n in shape)
        wanted += ",)" if len(shape) == 1 else ")"
        raise ValueError(f"`{name}` must have shape {wanted}. Received: {name}.shape={array.shape}")
    if columns is not None and (array.ndim == 0 or array.shape[-1] != columns):
        raise ValueError(
            f"`{name}` must have {columns} columns. Received: {name}.shape={array.shape}"
        )
    if nonempty and array.size == 0:
        raise ValueError(f"`{name}` must not be empty. Received: {name}.shape={array.shape}")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        count = int((~np.isfinite(array)).sum())
        raise ValueError(
            f"`{name}` must hold finite numbers. "
            f"Received: {count} of {array.size} are NaN or infinite"
        )
    return array if dtype is None else array.astype(dtype, copy=False)


def check_column(name: str, value: Any) -> np.ndarray:
    """Return one number a row as an array (N,), whether it came as (N,) or as (N, 1).

    A network returns (N, 1). Minus targets of shape (N,) that would broadcast to (N, N).

    Raises:
        TypeError: If the values are not numbers.
        ValueError: If there is more than one column, or a value is not finite.

    Example:
        >>> check_column("y", [[1.0], [2.0]])
        array([1., 2.])
    """
    array = check_array(name, value, ndim=(1, 2))
    if array.ndim == 2 and array.shape[1] != 1:
        raise ValueError(
            f"`{name}` must have one column: shape (N,) or (N, 1). "
            f"Received: {name}.shape={array.shape}"
        )
    return array.ravel()


def check_labels(name: str, value: Any) -> np.ndarray:
    """Return `value` as a one-dimensional array of the labels 0 and 1.

    Raises:
        TypeError: If the values are not numbers.
        ValueError: If the array has another dimension, or holds another value.

    Example:
        >>> check_labels("y", [0, 1, 1])
        array([0, 1, 1])
    """
    labels = check_array(name, value, ndim=1)
    if not np.isin(labels, (0, 1)).all():
        raise ValueError(
            f"`{name}` must hold the labels 0 and 1. {received(**{name: np.unique(labels)})}"
        )
    return labels.astype(int)


def check_class_numbers(name: str, value: Any, num_classes: int) -> np.ndarray:
    """Return `value` as a one-dimensional array of class numbers, 0 to ``num_classes - 1``.

    Raises:
        TypeError: If the values are not numbers.
        ValueError: If the array has another dimension, or holds another value.

    Example:
        >>> check_class_numbers("y", [0.0, 2.0], 3)
        array([0, 2])
    """
    classes = check_array(name, value, ndim=1)
    if not np.isin(classes, np.arange(num_classes)).all():
        raise ValueError(
            f"`{name}` must hold class numbers 0 to {num_classes - 1}. "
            f"{received(**{name: np.unique(classes)})}"
        )
    return classes.astype(int)


def check_rng(name: str, value: Any) -> np.random.Generator:
    """Return `value` if it is a NumPy random generator.

    Raises:
        TypeError: If it is not.
    """
    if not isinstance(value, np.random.Generator):
        raise TypeError(
            f"`{name}` must be a numpy.random.Generator, such as runtime.seed(1) returns. "
            f"{received(**{name: value})}"
        )
    return value


def check_same_length(**arrays: Any) -> None:
    """Require that all arrays have the same number of rows.

    Raises:
        ValueError: If they differ; the message lists each length.

    Example:
        >>> check_same_length(x=[1, 2], y=[3, 4])
    """
    lengths = {name: len(array) for name, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        names = " and ".join(f"`{name}`" for name in lengths)
        listed = ", ".join(f"len({name})={length}" for name, length in lengths.items())
        raise ValueError(f"{names} must have the same number of rows. Received: {listed}")


def _same_shape(actual: tuple[int, ...], wanted: tuple[int | None, ...]) -> bool:
    return len(actual) == len(wanted) and all(
        w is None or a == w for a, w in zip(actual, wanted, strict=True)
    )


def _bounds(low: Any, high: Any, *, open_low: bool = False, open_high: bool = False) -> str:
    if low is None and high is None:
        return "of any size"
    if high is None:
        return f"> {low}" if open_low else f">= {low}"
    if low is None:
        return f"< {high}" if open_high else f"<= {high}"
    return f"in {'(' if open_low else '['}{low}, {high}{')' if open_high else ']'}"
