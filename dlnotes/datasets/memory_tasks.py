"""Sequences that ask for memory: what was seen long ago decides the answer."""

import numpy as np

from dlnotes.datasets.registry import facts_of
from dlnotes.datasets.splits import cut_rows, split_indices
from dlnotes.datasets.types import SequenceData
from dlnotes.validation import check_int


def make_adding(
    num_samples: int = 1000,
    *,
    length: int = 50,
    seed: int = 0,
    test_size: float = 0.15,
    val_size: float = 0.15,
) -> SequenceData:
    """Draw the adding problem: the sum of two marked numbers among many.

    Inputs ``(N, T, 2)``: a number drawn evenly from 0 to 1, and a mark, 1 at one place of each
    half and 0 elsewhere. Targets ``(N,)``: the sum of the two marked numbers. Who always answers
    1, the mean, has a mean squared error of 1/6.

    Args:
        num_samples: Number of sequences N.
        length: Steps T of each, at least 2.
        seed: Seed of the drawing.
        test_size: Fraction of the sequences for the test part.
        val_size: Fraction of the sequences for the validation part.

    Raises:
        TypeError: If an argument is not a number.
        ValueError: If one is out of range.

    References:
        S. Hochreiter and J. Schmidhuber, Long short-term memory, Neural Computation 9 (1997),
        section 5.4; in this form Q. V. Le, N. Jaitly and G. E. Hinton, A simple way to initialize
        recurrent networks of rectified linear units (2015), section 4.1.

    Example:
        >>> make_adding(200, length=30)
        SequenceData('adding', train=140, val=30, test=30, shape=(30, 2))
    """
    num_samples, length, rng = _start(num_samples, length, seed)
    numbers = np.round(rng.random((num_samples, length)), 6)
    half = length // 2
    first = rng.integers(0, half, num_samples)
    second = rng.integers(half, length, num_samples)
    rows, marks = np.arange(num_samples), np.zeros((num_samples, length))
    marks[rows, first] = marks[rows, second] = 1.0
    x, y = np.stack([numbers, marks], axis=-1), numbers[rows, first] + numbers[rows, second]
    return _sequences("adding", x, y, ("sum",), seed, test_size, val_size)


def make_copy(
    num_samples: int = 1000,
    *,
    delay: int = 20,
    num_symbols: int = 8,
    copied: int = 10,
    seed: int = 0,
    test_size: float = 0.15,
    val_size: float = 0.15,
) -> SequenceData:
    """Draw the copy problem: repeat the first symbols after a long wait.

    Inputs ``(N, T)`` of tokens, with T = delay + 2 × copied: first the symbols 1 to K, then
    blanks (0) with one signal (K + 1) as the last of them, `delay` together, then blanks, during
    which the symbols must be said. Targets ``(N, T)``: blanks, and the symbols at the end.

    Args:
        num_samples: Number of sequences N.
        delay: Steps from the last symbol to the first answer, at least 1.
        num_symbols: Number of different symbols K, at least 2.
        copied: How many symbols are to be remembered.
        seed: Seed of the drawing.
        test_size: Fraction of the sequences for the test part.
        val_size: Fraction of the sequences for the validation part.

    Raises:
        TypeError: If an argument is not a number.
        ValueError: If one is out of range.

    References:
        M. Arjovsky, A. Shah and Y. Bengio, Unitary evolution recurrent neural networks, ICML
        (2016), section 4.1.

    Example:
        >>> data = make_copy(100, delay=3, num_symbols=2, copied=2, seed=1)
        >>> data.x_train[0], data.y_train[0]
        (array([2, 1, 0, 0, 3, 0, 0]), array([0, 0, 0, 0, 0, 2, 1]))
    """
    num_symbols = check_int("num_symbols", num_symbols, low=2)
    copied = check_int("copied", copied, low=1)
    delay = check_int("delay", delay, low=1)
    num_samples, length, rng = _start(num_samples, delay + 2 * copied, seed)
    symbols = rng.integers(1, num_symbols + 1, (num_samples, copied))
    x, y = np.zeros((2, num_samples, length), np.int64)
    x[:, :copied] = y[:, -copied:] = symbols
    x[:, copied + delay - 1] = num_symbols + 1
    names = ("blank", *(f"symbol {k}" for k in range(1, num_symbols + 1)))
    return _sequences("copy", x, y, names, seed, test_size, val_size)


def _start(num_samples: int, length: int, seed: int) -> tuple[int, int, np.random.Generator]:
    num_samples = check_int("num_samples", num_samples, low=1)
    length = check_int("length", length, low=2)
    return num_samples, length, np.random.default_rng(check_int("seed", seed, low=0))


def _sequences(
    name: str,
    x: np.ndarray,
    y: np.ndarray,
    target_names: tuple[str, ...],
    seed: int,
    test_size: float,
    val_size: float,
) -> SequenceData:
    rows = np.zeros(len(y), np.int64)
    cut = split_indices(rows, test_size=test_size, val_size=val_size, stratify=False)
    return SequenceData(
        **facts_of(name),
        **cut_rows(cut, x=x, y=y),
        target_names=target_names,
        seed=seed,
    )
