"""All-reduce: every worker has an array, and every worker ends with the sum of all of them.

Letters: n workers. They live in one process here; what is counted is what each of them would have
to send.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from dlnotes.validation import check_array, received


class Reduced(NamedTuple):
    """What an all-reduce leaves behind.

    Attributes:
        sums: The array that each worker has at the end, n of them.
        sent: The bytes that each worker has sent, n numbers.
        rounds: How often messages went out one after the other; those of a round are sent at once.
    """

    sums: list[np.ndarray]
    sent: list[int]
    rounds: int


def check_workers(arrays: Any) -> list[np.ndarray]:
    """Return copies in float64 of the workers' arrays, which must have the same shape."""
    if isinstance(arrays, str) or not isinstance(arrays, Sequence | np.ndarray):
        raise TypeError(
            "`arrays` must be a list of arrays, one for each worker. "
            f"Received: arrays is a {type(arrays).__name__}"
        )
    if len(arrays) == 0:
        raise ValueError(f"`arrays` must not be empty. {received(arrays=arrays)}")
    copies = [np.array(check_array(f"arrays[{i}]", a), order="C") for i, a in enumerate(arrays)]
    shapes = [copy.shape for copy in copies]
    if len(set(shapes)) > 1:
        raise ValueError(f"`arrays` must all have the same shape. {received(shapes=shapes)}")
    return copies


def ring_all_reduce(arrays: Sequence[Any]) -> Reduced:
    """Sum the arrays of n workers in a ring: each sends only to the next one.

    Each array is cut into n parts. For n − 1 rounds each worker sends a part on, and the next one
    adds it to its own; then every part is complete at one worker, and goes round once more.
    Each worker sends 2 (n − 1) / n of an array's bytes. All end with the same bits.

    Args:
        arrays: One array for each worker, all of the same shape; they stay as they are.

    Returns:
        The sums in float64, what was sent, and 2 (n − 1) rounds.

    Raises:
        TypeError: If `arrays` is not a list of arrays of numbers.
        ValueError: If it is empty, shapes differ, or a number is NaN or infinite.

    References:
        P. Patarasuk and X. Yuan, "Bandwidth optimal all-reduce algorithms for clusters of
        workstations" (2009), section 3.

    Example:
        >>> ring_all_reduce([[1.0, 2.0], [10.0, 20.0]])
        Reduced(sums=[array([11., 22.]), array([11., 22.])], sent=[16, 16], rounds=2)
    """
    arrays = check_workers(arrays)
    n = len(arrays)
    parts = [np.array_split(array.reshape(-1), n) for array in arrays]  # views, no copies
    sent = [0] * n
    for step in range(2 * (n - 1)):
        messages = [parts[i][(i - step) % n] for i in range(n)]  # all send at once
        for i, message in enumerate(messages):
            place = parts[(i + 1) % n][(i - step) % n]  # of the next worker
            place[:] = place + message if step < n - 1 else message
            sent[i] += message.nbytes
    return Reduced(arrays, sent, 2 * (n - 1))


def star_all_reduce(arrays: Sequence[Any]) -> Reduced:
    """Sum the arrays of n workers at the first one, which sends the sum to all others.

    Args:
        arrays: One array for each worker, all of the same shape; they stay as they are.

    Returns:
        The sums in float64, what was sent, and 2 rounds (none for a single worker).

    Raises:
        TypeError: If `arrays` is not a list of arrays of numbers.
        ValueError: If it is empty, shapes differ, or a number is NaN or infinite.

    Example:
        >>> star_all_reduce([[1.0], [10.0], [100.0]])
        Reduced(sums=[array([111.]), array([111.]), array([111.])], sent=[16, 8, 8], rounds=2)
    """
    center, *others = check_workers(arrays)
    for other in others:
        center = center + other
    sent = [len(others) * center.nbytes] + [other.nbytes for other in others]
    return Reduced([center.copy() for _ in arrays], sent, 2 if others else 0)
