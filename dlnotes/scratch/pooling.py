"""Pooling of pictures, forwards and backwards.

Shapes: B pictures of height H and width W with C channels, (B, H, W, C); maps of H' by W' windows,
(B, H', W', C). Window and stride are the same in both directions.
"""

from typing import Any

import numpy as np

from dlnotes.scratch.conv import add_windows2d, windows2d
from dlnotes.validation import check_array, check_choice, check_int


def max_pool2d(
    x: Any, size: int = 2, *, stride: int | None = None, padding: str = "valid"
) -> np.ndarray:
    """Return the largest number of each window, each channel for itself.

    Args:
        x: Pictures of shape (B, H, W, C).
        size: Pixels of the window in both directions, >= 1.
        stride: Pixels from one window to the next, >= 1; None takes `size`.
        padding: "valid" or "same"; border pixels are never the largest.

    Returns:
        An array of shape (B, H', W', C).

    Raises:
        TypeError: If `x` does not hold numbers, or a number is not whole.
        ValueError: If a shape or a range is wrong, or no window fits.

    Example:
        >>> max_pool2d(np.arange(16.0).reshape(1, 4, 4, 1))[0, :, :, 0]
        array([[ 5.,  7.],
               [13., 15.]])
    """
    x, steps = check_pool(x, size, stride, padding)
    return windows2d(x, (size, size), **steps, fill=-np.inf).max(axis=(3, 4))


def max_pool2d_gradient(
    gradient: Any, x: Any, size: int = 2, *, stride: int | None = None, padding: str = "valid"
) -> np.ndarray:
    """Return ∂loss/∂x of `max_pool2d`: all goes to the largest pixel, of equal ones to the first.

    Args:
        gradient: ∂loss/∂output, shape (B, H', W', C).
        x: The pictures, shape (B, H, W, C).
        size: As `max_pool2d` got it.
        stride: As `max_pool2d` got it.
        padding: As `max_pool2d` got it.

    Raises:
        TypeError: If an array does not hold numbers, or a number is not whole.
        ValueError: If a shape or a range is wrong, or no window fits.

    Example:
        >>> x = np.array([[1.0, 5.0], [2.0, 3.0]]).reshape(1, 2, 2, 1)
        >>> max_pool2d_gradient(np.full((1, 1, 1, 1), 7.0), x)[0, :, :, 0]
        array([[0., 7.],
               [0., 0.]])
    """
    x, steps = check_pool(x, size, stride, padding)
    seen = windows2d(x, (size, size), **steps, fill=-np.inf)
    gradient = check_array("gradient", gradient, shape=(*seen.shape[:3], x.shape[3]))
    flat = seen.reshape(*seen.shape[:3], size * size, -1)
    winners = flat.argmax(axis=3, keepdims=True)
    pieces = np.zeros(flat.shape)
    np.put_along_axis(pieces, winners, gradient[:, :, :, None], axis=3)
    return add_windows2d(pieces.reshape(seen.shape), x.shape, **steps)


def average_pool2d(
    x: Any, size: int = 2, *, stride: int | None = None, padding: str = "valid"
) -> np.ndarray:
    """Return the mean of each window, each channel for itself.

    Args:
        x: Pictures of shape (B, H, W, C).
        size: Pixels of the window in both directions, >= 1.
        stride: Pixels from one window to the next, >= 1; None takes `size`.
        padding: "valid" or "same"; border pixels are not counted, as in Keras on TensorFlow.

    Returns:
        An array of shape (B, H', W', C).

    Raises:
        TypeError: If `x` does not hold numbers, or a number is not whole.
        ValueError: If a shape or a range is wrong, or no window fits.

    Example:
        >>> average_pool2d(np.arange(9.0).reshape(1, 3, 3, 1), padding="same")[0, :, :, 0]
        array([[2. , 3.5],
               [6.5, 8. ]])
    """
    x, steps = check_pool(x, size, stride, padding)
    sums, counts = (windows2d(a, (size, size), **steps).sum((3, 4)) for a in (x, np.ones(x.shape)))
    return sums / counts


def average_pool2d_gradient(
    gradient: Any, x: Any, size: int = 2, *, stride: int | None = None, padding: str = "valid"
) -> np.ndarray:
    """Return ∂loss/∂x of `average_pool2d`: each pixel of a window gets an equal share.

    Args:
        gradient: ∂loss/∂output, shape (B, H', W', C).
        x: The pictures, shape (B, H, W, C).
        size: As `average_pool2d` got it.
        stride: As `average_pool2d` got it.
        padding: As `average_pool2d` got it.

    Raises:
        TypeError: If an array does not hold numbers, or a number is not whole.
        ValueError: If a shape or a range is wrong, or no window fits.

    Example:
        >>> x = np.ones((1, 2, 2, 1))
        >>> average_pool2d_gradient(np.ones((1, 1, 1, 1)), x)[0, :, :, 0]
        array([[0.25, 0.25],
               [0.25, 0.25]])
    """
    x, steps = check_pool(x, size, stride, padding)
    inside = windows2d(np.ones(x.shape), (size, size), **steps)
    counts = inside.sum(axis=(3, 4))
    gradient = check_array("gradient", gradient, shape=counts.shape)
    pieces = inside * (gradient / counts)[:, :, :, None, None]
    return add_windows2d(pieces, x.shape, **steps)


def global_average_pool2d(x: Any) -> np.ndarray:
    """Return each channel's mean over the whole picture: (B, H, W, C) becomes (B, C).

    Raises:
        TypeError: If `x` does not hold numbers.
        ValueError: If `x` has another number of axes.

    Example:
        >>> global_average_pool2d(np.arange(4.0).reshape(1, 2, 2, 1))
        array([[1.5]])
    """
    return check_array("x", x, ndim=4).mean(axis=(1, 2))


def global_average_pool2d_gradient(gradient: Any, x: Any) -> np.ndarray:
    """Return ∂loss/∂x of `global_average_pool2d`: each pixel gets an equal share.

    Args:
        gradient: ∂loss/∂output, shape (B, C).
        x: The pictures, shape (B, H, W, C).

    Raises:
        TypeError: If an array does not hold numbers.
        ValueError: If a shape is wrong.

    Example:
        >>> global_average_pool2d_gradient([[4.0]], np.ones((1, 2, 2, 1)))[0, :, :, 0]
        array([[1., 1.],
               [1., 1.]])
    """
    x = check_array("x", x, ndim=4)
    gradient = check_array("gradient", gradient, shape=(len(x), x.shape[3]))
    share = gradient[:, None, None, :] / (x.shape[1] * x.shape[2])
    return np.broadcast_to(share, x.shape).copy()


def global_max_pool2d(x: Any) -> np.ndarray:
    """Return each channel's largest number in the whole picture: (B, H, W, C) becomes (B, C).

    Raises:
        TypeError: If `x` does not hold numbers.
        ValueError: If `x` has another number of axes.

    Example:
        >>> global_max_pool2d(np.arange(4.0).reshape(1, 2, 2, 1))
        array([[3.]])
    """
    return check_array("x", x, ndim=4).max(axis=(1, 2))


def global_max_pool2d_gradient(gradient: Any, x: Any) -> np.ndarray:
    """Return ∂loss/∂x of `global_max_pool2d`: equal largest pixels share it, as in Keras.

    Args:
        gradient: ∂loss/∂output, shape (B, C).
        x: The pictures, shape (B, H, W, C).

    Raises:
        TypeError: If an array does not hold numbers.
        ValueError: If a shape is wrong.

    Example:
        >>> x = np.array([[0.0, 3.0], [3.0, 1.0]]).reshape(1, 2, 2, 1)
        >>> global_max_pool2d_gradient([[4.0]], x)[0, :, :, 0]
        array([[0., 2.],
               [2., 0.]])
    """
    x = check_array("x", x, ndim=4)
    gradient = check_array("gradient", gradient, shape=(len(x), x.shape[3]))
    largest = x == x.max(axis=(1, 2), keepdims=True)
    return largest * (gradient[:, None, None, :] / largest.sum(axis=(1, 2), keepdims=True))


def check_pool(
    x: Any, size: Any, stride: Any, padding: Any
) -> tuple[np.ndarray, dict[str, int | str]]:
    """Return pictures of four axes, and stride and padding by name, if they are in range.

    Raises:
        TypeError: If `x` does not hold numbers, or a number is not whole.
        ValueError: If a shape or a range is wrong.
    """
    size = check_int("size", size, low=1)
    check_choice("padding", padding, ("valid", "same"))
    stride = size if stride is None else check_int("stride", stride, low=1)
    return check_array("x", x, ndim=4), {"stride": stride, "padding": padding}
