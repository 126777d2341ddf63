"""Where training starts: rules for the first weights, equal in distribution to Keras' rules.

Each takes the shape of the weights and a random generator and returns float64. In the "variance
scaling" family the variance of a weight depends on the layer's *fans*, how many inputs a unit sums
up and how many units an input reaches:

========  ==========================  ============================
family    variance of a weight        derived for
========  ==========================  ============================
LeCun     1 / fan_in                  linear units, tanh near zero
Glorot    2 / (fan_in + fan_out)      the same, both directions
He        2 / fan_in                  ReLU
========  ==========================  ============================
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from dlnotes.validation import check_float, check_int, check_rng, received

# A normal distribution that is cut at two standard deviations has this one; Keras' number too.
TRUNCATED_STD = 0.87962566103423978

Initializer = Callable[[Sequence[int], np.random.Generator], np.ndarray]


def check_shape(shape: Any) -> tuple[int, ...]:
    """Return a shape with at least one axis, each of length >= 1, as a tuple of integers."""
    if isinstance(shape, str) or not isinstance(shape, Sequence):
        raise TypeError(f"`shape` must be a sequence of integers. {received(shape=shape)}")
    if len(shape) == 0:
        raise ValueError(f"`shape` must have at least one axis. {received(shape=shape)}")
    return tuple(check_int("shape", length, low=1) for length in shape)


def check_start(shape: Any, rng: Any, std: Any = 1.0) -> tuple[int, ...]:
    """Refuse what an initializer cannot use; return the shape."""
    check_rng("rng", rng)
    check_float("std", std, low=0)
    return check_shape(shape)


def fans(shape: Sequence[int]) -> tuple[int, int]:
    """Return (fan_in, fan_out): how many numbers a unit sums up, how many units an input reaches.

    Args:
        shape: (D, U) for a dense layer with D inputs and U units; (*window, C, F) for a
            convolution with C input channels and F filters, where each unit sees a window of
            pixels; (U,) for one number a unit.

    Returns:
        (D, U); (window pixels · C, window pixels · F); or (U, U).

    Raises:
        TypeError: If the shape is not a sequence of integers.
        ValueError: If it has no axis, or one of length 0.

    Example:
        >>> fans((64, 10)), fans((3, 3, 16, 32))
        ((64, 10), (144, 288))
    """
    shape = check_shape(shape)
    *window, inputs, units = shape if len(shape) > 1 else shape * 2
    pixels = math.prod(window)
    return pixels * inputs, pixels * units


def zeros(shape: Sequence[int], rng: np.random.Generator | None = None) -> np.ndarray:
    """Return zeros; the generator is not used.

    Example:
        >>> zeros((2, 2))
        array([[0., 0.],
               [0., 0.]])
    """
    return np.zeros(check_shape(shape))


def constant(
    shape: Sequence[int], rng: np.random.Generator | None = None, *, value: float
) -> np.ndarray:
    """Return the same value everywhere; the generator is not used.

    Raises:
        TypeError: If `value` is not a number.
        ValueError: If it is not finite.

    Example:
        >>> constant((1, 3), value=0.5)
        array([[0.5, 0.5, 0.5]])
    """
    return np.full(check_shape(shape), check_float("value", value))


def normal(shape: Sequence[int], rng: np.random.Generator, *, std: float = 0.05) -> np.ndarray:
    """Draw from a normal distribution around 0 with a fixed standard deviation `std` >= 0.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If `std` is negative, or the shape is empty.

    Example:
        >>> normal((2000, 50), np.random.default_rng(0), std=0.1).std().round(3)
        np.float64(0.1)
    """
    shape = check_start(shape, rng, std)
    return rng.normal(0.0, std, shape)


def truncated_normal(shape: Sequence[int], rng: np.random.Generator, *, std: float) -> np.ndarray:
    """Draw from a normal distribution whose tails are cut off; what comes out has `std`.

    The uncut bell curve has the standard deviation s = std / 0.8796, and what falls beyond ±2s is
    drawn again. So nothing exceeds 2.274·std in size.

    Args:
        shape: Shape of the result.
        rng: Draws the numbers.
        std: Standard deviation *after* the cut, >= 0. (Keras' ``TruncatedNormal`` takes s.)

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If `std` is negative, or the shape is empty.

    Example:
        >>> draws = truncated_normal((2000, 50), np.random.default_rng(0), std=0.1)
        >>> draws.std().round(3), np.abs(draws).max().round(3)
        (np.float64(0.1), np.float64(0.227))
    """
    shape = check_start(shape, rng, std)
    draws = rng.normal(size=shape)
    while (outside := np.abs(draws) > 2).any():
        draws[outside] = rng.normal(size=outside.sum())
    return std / TRUNCATED_STD * draws


def glorot_normal(shape: Sequence[int], rng: np.random.Generator) -> np.ndarray:
    """Draw with variance 2 / (fan_in + fan_out) from a normal distribution with cut tails.

    References:
        X. Glorot and Y. Bengio, "Understanding the difficulty of training deep feedforward neural
        networks" (2010), equation 12. The cut of the tails is Keras'.

    Example:
        >>> glorot_normal((300, 100), np.random.default_rng(0)).shape
        (300, 100)
    """
    fan_in, fan_out = fans(shape)
    return truncated_normal(shape, rng, std=np.sqrt(2 / (fan_in + fan_out)))


def glorot_uniform(shape: Sequence[int], rng: np.random.Generator) -> np.ndarray:
    """Draw uniformly between ±√(6 / (fan_in + fan_out)): variance 2 / (fan_in + fan_out).

    Keras' choice for a dense layer if nothing is said.

    References:
        X. Glorot and Y. Bengio, "Understanding the difficulty of training deep feedforward neural
        networks" (2010), equation 16.

    Example:
        >>> np.abs(glorot_uniform((300, 100), np.random.default_rng(0))).max() < np.sqrt(6 / 400)
        np.True_
    """
    fan_in, fan_out = fans(check_start(shape, rng))
    limit = np.sqrt(6 / (fan_in + fan_out))
    return rng.uniform(-limit, limit, shape)


def he_normal(shape: Sequence[int], rng: np.random.Generator) -> np.ndarray:
    """Draw with variance 2 / fan_in from a normal distribution with cut tails.

    References:
        K. He, X. Zhang, S. Ren and J. Sun, "Delving deep into rectifiers" (2015), equation 10.
        The cut of the tails is Keras'.

    Example:
        >>> he_normal((300, 100), np.random.default_rng(0)).shape
        (300, 100)
    """
    fan_in, _ = fans(shape)
    return truncated_normal(shape, rng, std=np.sqrt(2 / fan_in))


def he_uniform(shape: Sequence[int], rng: np.random.Generator) -> np.ndarray:
    """Draw uniformly between ±√(6 / fan_in): variance 2 / fan_in.

    Example:
        >>> np.abs(he_uniform((300, 100), np.random.default_rng(0))).max() < np.sqrt(6 / 300)
        np.True_
    """
    fan_in, _ = fans(check_start(shape, rng))
    limit = np.sqrt(6 / fan_in)
    return rng.uniform(-limit, limit, shape)


def lecun_normal(shape: Sequence[int], rng: np.random.Generator) -> np.ndarray:
    """Draw with variance 1 / fan_in from a normal distribution with cut tails.

    References:
        Y. LeCun, L. Bottou, G. Orr and K.-R. Müller, "Efficient BackProp" (1998), equation 16.
        The cut of the tails is Keras'.

    Example:
        >>> lecun_normal((300, 100), np.random.default_rng(0)).shape
        (300, 100)
    """
    fan_in, _ = fans(shape)
    return truncated_normal(shape, rng, std=np.sqrt(1 / fan_in))


def lecun_uniform(shape: Sequence[int], rng: np.random.Generator) -> np.ndarray:
    """Draw uniformly between ±√(3 / fan_in): variance 1 / fan_in.

    Example:
        >>> np.abs(lecun_uniform((300, 100), np.random.default_rng(0))).max() < np.sqrt(3 / 300)
        np.True_
    """
    fan_in, _ = fans(check_start(shape, rng))
    limit = np.sqrt(3 / fan_in)
    return rng.uniform(-limit, limit, shape)


def orthogonal(shape: Sequence[int], rng: np.random.Generator, *, gain: float = 1.0) -> np.ndarray:
    """Draw a matrix whose rows, or columns if these are fewer, are at right angles and of length 1.

    A square one keeps the length of every vector: it turns and mirrors. Keras starts recurrent
    kernels so.

    Args:
        shape: Rows and columns, each >= 1.
        rng: Draws the numbers.
        gain: Multiplies the matrix.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If the shape has not two axes, or a number is out of range.

    References:
        A. M. Saxe, J. L. McClelland and S. Ganguli, "Exact solutions to the nonlinear dynamics of
        learning in deep linear neural networks" (2014), section 4.

    Example:
        >>> turn = orthogonal((3, 3), np.random.default_rng(0))
        >>> np.allclose(turn @ turn.T, np.eye(3))
        True
    """
    shape, gain = check_start(shape, rng), check_float("gain", gain)
    if len(shape) != 2:
        raise ValueError(f"`shape` must have two axes. {received(shape=shape)}")
    q, r = np.linalg.qr(rng.normal(size=(max(shape), min(shape))))
    q = q * np.sign(np.diag(r))  # else not all turns were equally probable
    return gain * (q if shape[0] >= shape[1] else q.T)
