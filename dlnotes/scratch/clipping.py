"""Gradient clipping: a gradient that is too large is shortened before the step is taken.

All three take a network's gradients as a list of arrays, one for each array of weights, and return
a new list. They equal ``clipvalue``, ``clipnorm`` and ``global_clipnorm`` of Keras' optimizers.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from dlnotes.validation import check_array, check_float, received


def check_gradients(name: str, gradients: Any) -> list[np.ndarray]:
    """Return a sequence of arrays as a list of finite float64 arrays."""
    if isinstance(gradients, np.ndarray | str) or not isinstance(gradients, Sequence):
        raise TypeError(
            f"`{name}` must be a list of arrays, one for each array of weights. "
            f"Received: {name} is a {type(gradients).__name__}"
        )
    if len(gradients) == 0:
        raise ValueError(f"`{name}` must not be empty. {received(**{name: gradients})}")
    return [check_array(f"{name}[{i}]", array) for i, array in enumerate(gradients)]


def check_clip(gradients: Any, name: str, limit: Any) -> list[np.ndarray]:
    """Refuse a limit that is not positive; return the gradients as a list of arrays."""
    check_float(name, limit, low=0, open_low=True)
    return check_gradients("gradients", gradients)


def global_norm(gradients: Sequence[Any]) -> float:
    """Return the length of all gradients taken together as one long vector.

    Raises:
        TypeError: If `gradients` is not a list of arrays of numbers.
        ValueError: If it is empty, or a number is NaN or infinite.

    Example:
        >>> global_norm([[3.0, 0.0], [4.0]])
        5.0
    """
    gradients = check_gradients("gradients", gradients)
    return float(np.sqrt(sum(np.sum(array**2) for array in gradients)))


def clip_by_value(gradients: Sequence[Any], limit: float) -> list[np.ndarray]:
    """Cut each single number to [−limit, limit]. This changes the direction of the step.

    Args:
        gradients: A list of arrays of any shapes.
        limit: The largest size of a number, > 0.

    Returns:
        New arrays of the same shapes.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If `limit` is not positive, or a number is NaN or infinite.

    Example:
        >>> clip_by_value([[3.0, 0.5], [-4.0]], 1.0)
        [array([1. , 0.5]), array([-1.])]
    """
    gradients = check_clip(gradients, "limit", limit)
    return [np.clip(array, -limit, limit) for array in gradients]


def clip_by_norm(gradients: Sequence[Any], max_norm: float) -> list[np.ndarray]:
    """Shorten each *array* to the length `max_norm` if it is longer.

    Each array keeps its direction; all together, the step does not.

    Args:
        gradients: A list of arrays of any shapes.
        max_norm: The largest length (root of the sum of squares) of one array, > 0.

    Returns:
        New arrays of the same shapes.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If `max_norm` is not positive, or a number is NaN or infinite.

    Example:
        >>> clip_by_norm([[3.0, 4.0], [0.5]], 1.0)
        [array([0.6, 0.8]), array([0.5])]
    """
    gradients = check_clip(gradients, "max_norm", max_norm)
    return [array * (max_norm / max(np.linalg.norm(array), max_norm)) for array in gradients]


def clip_by_global_norm(gradients: Sequence[Any], max_norm: float) -> list[np.ndarray]:
    """Shorten *all* arrays by the same factor if together they are longer than `max_norm`.

    The step keeps its direction and loses only length.

    Args:
        gradients: A list of arrays of any shapes.
        max_norm: The largest length of all arrays together, > 0.

    Returns:
        New arrays of the same shapes.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If `max_norm` is not positive, or a number is NaN or infinite.

    References:
        R. Pascanu, T. Mikolov and Y. Bengio, "On the difficulty of training recurrent neural
        networks" (2013), algorithm 1.

    Example:
        >>> clip_by_global_norm([[3.0, 0.0], [4.0]], 1.0)
        [array([0.6, 0. ]), array([0.8])]
    """
    gradients = check_clip(gradients, "max_norm", max_norm)
    factor = max_norm / max(global_norm(gradients), max_norm)
    return [factor * array for array in gradients]
