"""Convolution of pictures, forwards and backwards, as networks compute them.

Shapes: B pictures of height H and width W with C channels, (B, H, W, C); F filters that each see kh
by kw pixels of all channels, (kh, kw, C, F); maps of H' by W' answers, (B, H', W', F). Stride and
dilation are the same in both directions.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from dlnotes.scratch.conv_sizes import border, output_size
from dlnotes.validation import check_array, check_int, received


def _constant(*rows: tuple[float, ...]) -> np.ndarray:
    array = np.array(rows, dtype=np.float64)
    array.flags.writeable = False
    return array


# Bright below dark gives a positive answer; the transposed filters look for bright right of dark.
SOBEL = _constant((-1, -2, -1), (0, 0, 0), (1, 2, 1))
PREWITT = _constant((-1, -1, -1), (0, 0, 0), (1, 1, 1))
LAPLACIAN = _constant((0, 1, 0), (1, -4, 1), (0, 1, 0))


class ConvGradients(NamedTuple):
    """∂loss/∂x, ∂loss/∂kernel and ∂loss/∂bias, each in the shape of its array."""

    x: np.ndarray
    kernel: np.ndarray
    bias: np.ndarray


# === Windows ===


def pad2d(
    x: np.ndarray,
    kernel_size: tuple[int, int],
    *,
    stride: int = 1,
    padding: str | int = "valid",
    dilation: int = 1,
    fill: float = 0,
) -> np.ndarray:
    """Return pictures with the border that the padding asks for.

    Args:
        x: Pictures of shape (B, H, W, C), any type of numbers.
        kernel_size: (kh, kw), each >= 1.
        stride: Pixels from one window to the next, >= 1.
        padding: "valid", "same" or a number of pixels on each side.
        dilation: Pixels from one column or row of a window to the next, >= 1.
        fill: What stands in the border; the type of `x` must be able to hold it.

    Raises:
        TypeError: If `x` does not hold numbers, or a number is not whole.
        ValueError: If a shape or a range is wrong, no window fits, or `x` cannot hold `fill`.

    Example:
        >>> pad2d(np.ones((1, 2, 2, 1)), (3, 3), padding="same")[0, :, :, 0]
        array([[0., 0., 0., 0.],
               [0., 1., 1., 0.],
               [0., 1., 1., 0.],
               [0., 0., 0., 0.]])
    """
    x, kernel_size = check_windows(x, kernel_size, fill)
    steps = {"stride": stride, "padding": padding, "dilation": dilation}
    sides = [border(n, k, **steps) for n, k in zip(x.shape[1:3], kernel_size, strict=True)]
    return np.pad(x, ((0, 0), *sides, (0, 0)), constant_values=fill)


def windows2d(
    x: Any,
    kernel_size: tuple[int, int],
    *,
    stride: int = 1,
    padding: str | int = "valid",
    dilation: int = 1,
    fill: float = 0,
) -> np.ndarray:
    """Return all windows of pictures, as a view that shares the pixels instead of copying them.

    Args:
        x: Pictures of shape (B, H, W, C), any type of numbers.
        kernel_size: (kh, kw), each >= 1.
        stride: Pixels from one window to the next, >= 1.
        padding: "valid", "same" or a number of pixels on each side.
        dilation: Pixels from one column or row of a window to the next, >= 1.
        fill: What stands in the border; the type of `x` must be able to hold it.

    Returns:
        An array of shape (B, H', W', kh, kw, C) that cannot be written to.

    Raises:
        TypeError: If `x` does not hold numbers, or a number is not whole.
        ValueError: If a shape or a range is wrong, no window fits, or `x` cannot hold `fill`.

    Example:
        >>> x = np.arange(9).reshape(1, 3, 3, 1)
        >>> windows2d(x, (2, 2))[0, 1, 1, :, :, 0]
        array([[4, 5],
               [7, 8]])
    """
    x, kernel_size = check_windows(x, kernel_size, fill)
    x = pad2d(x, kernel_size, stride=stride, padding=padding, dilation=dilation, fill=fill)
    reach = [dilation * (k - 1) + 1 for k in kernel_size]
    view = np.lib.stride_tricks.sliding_window_view(x, reach, axis=(1, 2))
    view = view[:, ::stride, ::stride, :, ::dilation, ::dilation]
    return np.moveaxis(view, 3, -1)  # the channels last: (B, H', W', kh, kw, C)


def add_windows2d(
    pieces: Any,
    shape: tuple[int, ...],
    *,
    stride: int = 1,
    padding: str | int = "valid",
    dilation: int = 1,
) -> np.ndarray:
    """Return pictures in which each pixel is the sum of what all windows hold at its place.

    This undoes the cutting of `windows2d` by adding; it is its gradient, its transpose.

    Args:
        pieces: What is in the windows, shape (B, H', W', kh, kw, C).
        shape: (B, H, W, C) of the pictures.
        stride: Pixels from one window to the next, >= 1.
        padding: "valid", "same" or a number of pixels on each side. What falls on the border is
            lost.
        dilation: Pixels from one column or row of a window to the next, >= 1.

    Raises:
        TypeError: If `pieces` does not hold numbers, or a number is not whole.
        ValueError: If the shapes do not fit together, or a number is out of range.

    Example:
        >>> add_windows2d(np.ones((1, 2, 2, 2, 2, 1)), (1, 3, 3, 1))[0, :, :, 0]
        array([[1., 2., 1.],
               [2., 4., 2.],
               [1., 2., 1.]])
    """
    steps = {"stride": stride, "padding": padding, "dilation": dilation}
    pieces, shape = check_pieces(pieces, shape, **steps)
    rows, columns, kh, kw = pieces.shape[1:5]
    total = pad2d(np.zeros(shape), (kh, kw), **steps)
    for u, v in np.ndindex(kh, kw):  # one place in the window, in all windows at once
        i, j = u * dilation, v * dilation
        pixels = total[:, i : i + rows * stride : stride, j : j + columns * stride : stride]
        pixels += pieces[:, :, :, u, v]  # a view: this adds into `total`
    top, left = border(shape[1], kh, **steps)[0], border(shape[2], kw, **steps)[0]
    return total[:, top : top + shape[1], left : left + shape[2]]


def coverage(
    height: int,
    width: int,
    kernel_size: tuple[int, int],
    *,
    stride: int = 1,
    padding: str | int = "valid",
    dilation: int = 1,
) -> np.ndarray:
    """Return in how many windows each pixel takes part, shape (H, W).

    Args:
        height: H, >= 1.
        width: W, >= 1.
        kernel_size: (kh, kw), each >= 1.
        stride: Pixels from one window to the next, >= 1.
        padding: "valid", "same" or a number of pixels on each side.
        dilation: Pixels from one weight of the filter to the next, >= 1.

    Raises:
        TypeError: If a number is not whole.
        ValueError: If an argument is out of range, or no window fits.

    Example:
        >>> coverage(3, 3, (2, 2))
        array([[1, 2, 1],
               [2, 4, 2],
               [1, 2, 1]])
    """
    shape = (1, check_int("height", height, low=1), check_int("width", width, low=1), 1)
    steps = {"stride": stride, "padding": padding, "dilation": dilation}
    seen = windows2d(np.ones(shape), kernel_size, **steps)
    return add_windows2d(np.ones(seen.shape), shape, **steps)[0, :, :, 0].astype(int)


# === Convolution ===


def conv2d_loops(
    x: Any,
    kernel: Any,
    bias: Any = None,
    *,
    stride: int = 1,
    padding: str | int = "valid",
    dilation: int = 1,
) -> np.ndarray:
    """Return what `conv2d` does, computed number by number: slow, and easy to read.

    Arguments, errors and result as for `conv2d`.

    Example:
        >>> x = np.arange(16.0).reshape(1, 4, 4, 1)
        >>> conv2d_loops(x, np.ones((2, 2, 1, 1)), stride=2)[0, :, :, 0]
        array([[10., 18.],
               [42., 50.]])
    """
    x, kernel, bias = check_conv(x, kernel, bias)
    x = pad2d(x, kernel.shape[:2], stride=stride, padding=padding, dilation=dilation)
    tall, wide = (dilation * (k - 1) + 1 for k in kernel.shape[:2])
    height, width = (x.shape[1] - tall) // stride + 1, (x.shape[2] - wide) // stride + 1
    output = np.zeros((len(x), height, width, kernel.shape[3]))
    for b, i, j, f in np.ndindex(output.shape):
        rows = slice(i * stride, i * stride + tall, dilation)
        columns = slice(j * stride, j * stride + wide, dilation)
        output[b, i, j, f] = np.sum(x[b, rows, columns] * kernel[..., f]) + bias[f]
    return output


def conv2d_gradients_loops(
    gradient: Any,
    x: Any,
    kernel: Any,
    *,
    stride: int = 1,
    padding: str | int = "valid",
    dilation: int = 1,
) -> ConvGradients:
    """Return what `conv2d_gradients` does, computed number by number.

    Arguments, errors and result as for `conv2d_gradients`.

    Example:
        >>> x, kernel = np.ones((1, 3, 3, 1)), np.ones((2, 2, 1, 1))
        >>> conv2d_gradients_loops(np.ones((1, 2, 2, 1)), x, kernel).x[0, :, :, 0]
        array([[1., 2., 1.],
               [2., 4., 2.],
               [1., 2., 1.]])
    """
    steps = {"stride": stride, "padding": padding, "dilation": dilation}
    gradient, x, kernel = check_gradient(gradient, x, kernel, **steps)
    (top, _), (left, _) = (
        border(n, k, **steps) for n, k in zip(x.shape[1:3], kernel.shape[:2], strict=True)
    )
    tall, wide = (dilation * (k - 1) + 1 for k in kernel.shape[:2])
    padded = pad2d(x, kernel.shape[:2], **steps)
    x_gradient, kernel_gradient = np.zeros(padded.shape), np.zeros(kernel.shape)
    for b, i, j, f in np.ndindex(gradient.shape):
        rows = slice(i * stride, i * stride + tall, dilation)
        columns = slice(j * stride, j * stride + wide, dilation)
        x_gradient[b, rows, columns] += gradient[b, i, j, f] * kernel[..., f]
        kernel_gradient[..., f] += gradient[b, i, j, f] * padded[b, rows, columns]
    x_gradient = x_gradient[:, top : top + x.shape[1], left : left + x.shape[2]]
    return ConvGradients(x_gradient, kernel_gradient, gradient.sum(axis=(0, 1, 2)))


def conv2d(
    x: Any,
    kernel: Any,
    bias: Any = None,
    *,
    stride: int = 1,
    padding: str | int = "valid",
    dilation: int = 1,
) -> np.ndarray:
    """Return the maps of a convolutional layer: each filter times each window, summed, plus bias.

    As in Keras, and all networks, this is a cross-correlation: the filter is not turned.

    Args:
        x: Pictures of shape (B, H, W, C).
        kernel: F filters of shape (kh, kw, C, F).
        bias: Shape (F,), or None for none.
        stride: Pixels from one window to the next, >= 1.
        padding: "valid" for no border; "same" for zeros around, so that the map has
            ceil(H / stride) rows; or a number of zeros on each side.
        dilation: Pixels from one weight of the filter to the next, >= 1.

    Returns:
        A float64 array of shape (B, H', W', F).

    Raises:
        TypeError: If an array does not hold numbers, or a number is not whole.
        ValueError: If a shape or a range is wrong, or no window fits.

    References:
        I. Goodfellow, Y. Bengio and A. Courville, "Deep learning" (2016), equations 9.6 and 9.8.

    Example:
        >>> x = np.arange(16.0).reshape(1, 4, 4, 1)
        >>> conv2d(x, np.ones((2, 2, 1, 1)), stride=2)[0, :, :, 0]
        array([[10., 18.],
               [42., 50.]])
    """
    x, kernel, bias = check_conv(x, kernel, bias)
    steps = {"stride": stride, "padding": padding, "dilation": dilation}
    return np.tensordot(windows2d(x, kernel.shape[:2], **steps), kernel, axes=3) + bias


def conv2d_gradients(
    gradient: Any,
    x: Any,
    kernel: Any,
    *,
    stride: int = 1,
    padding: str | int = "valid",
    dilation: int = 1,
) -> ConvGradients:
    """Return the gradients of `conv2d` with respect to pictures, filters and biases.

    Args:
        gradient: ∂loss/∂output, shape (B, H', W', F).
        x: The pictures that `conv2d` got, shape (B, H, W, C).
        kernel: Its filters, shape (kh, kw, C, F).
        stride: As `conv2d` got it.
        padding: As `conv2d` got it.
        dilation: As `conv2d` got it.

    Returns:
        The `ConvGradients`.

    Raises:
        TypeError: If an array does not hold numbers, or a number is not whole.
        ValueError: If a shape or a range is wrong, or no window fits.

    Example:
        >>> x, kernel = np.ones((1, 3, 3, 1)), np.ones((2, 2, 1, 1))
        >>> conv2d_gradients(np.ones((1, 2, 2, 1)), x, kernel).bias
        array([4.])
    """
    steps = {"stride": stride, "padding": padding, "dilation": dilation}
    gradient, x, kernel = check_gradient(gradient, x, kernel, **steps)
    seen = windows2d(x, kernel.shape[:2], **steps)  # (B, H', W', kh, kw, C)
    pieces = np.tensordot(gradient, kernel, axes=(3, 3))  # of the same shape
    return ConvGradients(
        x=add_windows2d(pieces, x.shape, **steps),
        kernel=np.tensordot(seen, gradient, axes=((0, 1, 2), (0, 1, 2))),
        bias=gradient.sum(axis=(0, 1, 2)),
    )


def filter2d(
    picture: Any,
    kernel: Any,
    *,
    stride: int = 1,
    padding: str | int = "valid",
    dilation: int = 1,
) -> np.ndarray:
    """Return the answers of one filter (kh, kw) to one grey picture (H, W), shape (H', W').

    Args:
        picture: Shape (H, W).
        kernel: Shape (kh, kw).
        stride: Pixels from one window to the next, >= 1.
        padding: "valid", "same" or a number of zeros on each side.
        dilation: Pixels from one weight of the filter to the next, >= 1.

    Raises:
        TypeError: If an array does not hold numbers, or a number is not whole.
        ValueError: If a shape or a range is wrong, or no window fits.

    Example:
        >>> filter2d([[0, 0, 0], [0, 0, 0], [9, 9, 9]], SOBEL)
        array([[36.]])
    """
    picture = check_array("picture", picture, ndim=2)
    kernel = check_array("kernel", kernel, ndim=2)
    steps = {"stride": stride, "padding": padding, "dilation": dilation}
    return conv2d(picture[None, :, :, None], kernel[:, :, None, None], **steps)[0, :, :, 0]


def depthwise_conv2d(
    x: Any,
    kernel: Any,
    bias: Any = None,
    *,
    stride: int = 1,
    padding: str | int = "valid",
    dilation: int = 1,
) -> np.ndarray:
    """Return maps of filters that see one channel each; channels are not added up.

    Args:
        x: Pictures of shape (B, H, W, C).
        kernel: M filters for each channel, shape (kh, kw, C, M).
        bias: Shape (C·M,), or None for none.
        stride: Pixels from one window to the next, >= 1.
        padding: "valid", "same" or a number of zeros on each side.
        dilation: Pixels from one weight of the filter to the next, >= 1.

    Returns:
        An array of shape (B, H', W', C·M): all M maps of the first channel, then of the second.

    Raises:
        TypeError: If an array does not hold numbers, or a number is not whole.
        ValueError: If a shape or a range is wrong, or no window fits.

    Example:
        >>> x = np.stack([np.ones((2, 2)), np.full((2, 2), 5.0)], axis=-1)[None]
        >>> depthwise_conv2d(x, np.ones((2, 2, 2, 1)))
        array([[[[ 4., 20.]]]])
    """
    x, kernel, bias = check_conv(x, kernel, bias, depthwise=True)
    steps = {"stride": stride, "padding": padding, "dilation": dilation}
    seen = windows2d(x, kernel.shape[:2], **steps)
    maps = np.einsum("bhwijc,ijcm->bhwcm", seen, kernel, optimize=True)
    return maps.reshape(*maps.shape[:3], -1) + bias


def depthwise_conv2d_gradients(
    gradient: Any,
    x: Any,
    kernel: Any,
    *,
    stride: int = 1,
    padding: str | int = "valid",
    dilation: int = 1,
) -> ConvGradients:
    """Return the gradients of `depthwise_conv2d` with respect to pictures, filters and biases.

    Args:
        gradient: ∂loss/∂output, shape (B, H', W', C·M).
        x: The pictures, shape (B, H, W, C).
        kernel: The filters, shape (kh, kw, C, M).
        stride: As `depthwise_conv2d` got it.
        padding: As `depthwise_conv2d` got it.
        dilation: As `depthwise_conv2d` got it.

    Returns:
        The `ConvGradients`.

    Raises:
        TypeError: If an array does not hold numbers, or a number is not whole.
        ValueError: If a shape or a range is wrong, or no window fits.

    Example:
        >>> x, kernel = np.ones((1, 2, 2, 3)), np.ones((2, 2, 3, 1))
        >>> depthwise_conv2d_gradients(np.ones((1, 1, 1, 3)), x, kernel).bias
        array([1., 1., 1.])
    """
    steps = {"stride": stride, "padding": padding, "dilation": dilation}
    gradient, x, kernel = check_gradient(gradient, x, kernel, **steps, depthwise=True)
    seen = windows2d(x, kernel.shape[:2], **steps)
    maps = gradient.reshape(*gradient.shape[:3], *kernel.shape[2:])  # (B, H', W', C, M)
    pieces = np.einsum("bhwcm,ijcm->bhwijc", maps, kernel)
    return ConvGradients(
        x=add_windows2d(pieces, x.shape, **steps),
        kernel=np.einsum("bhwijc,bhwcm->ijcm", seen, maps, optimize=True),
        bias=gradient.sum(axis=(0, 1, 2)),
    )


# === Checks ===


def check_windows(x: Any, kernel_size: Any, fill: float = 0) -> tuple[np.ndarray, tuple[int, int]]:
    """Return pictures as an array of four axes, and a window's size as a pair.

    Raises:
        TypeError: If `x` does not hold numbers, or a size is not whole.
        ValueError: If `x` has other axes or cannot hold `fill`, or `kernel_size` is not a pair of
            numbers >= 1.
    """
    if not isinstance(kernel_size, Sequence) or len(kernel_size) != 2:
        raise ValueError(f"`kernel_size` must be a pair. {received(kernel_size=kernel_size)}")
    height, width = (check_int("kernel_size", k, low=1) for k in kernel_size)
    x = check_array("x", x, ndim=4, dtype=None)
    if x.dtype.kind in "iu":
        limits = np.iinfo(x.dtype)
        if not (limits.min <= fill <= limits.max and fill == int(fill)):
            raise ValueError(
                f"`fill` must be a number that pictures of type {x.dtype} can hold. "
                f"{received(fill=fill)}"
            )
    return x, (height, width)


def check_pieces(pieces: Any, shape: Any, **steps: Any) -> tuple[np.ndarray, tuple[int, ...]]:
    """Return windows as an array, and the pictures' shape.

    Raises:
        TypeError: If `pieces` does not hold numbers, or a number is not whole.
        ValueError: If `shape` has not four lengths >= 1, or `pieces` is not what it is cut into.
    """
    pieces = check_array("pieces", pieces, ndim=6)
    if not isinstance(shape, Sequence) or len(shape) != 4:
        raise ValueError(f"`shape` must be (B, H, W, C). {received(shape=shape)}")
    shape = tuple(check_int("shape", n, low=1) for n in shape)
    size = pieces.shape[3:5]
    places = (output_size(n, k, **steps) for n, k in zip(shape[1:3], size, strict=True))
    return check_array("pieces", pieces, shape=(shape[0], *places, *size, shape[3])), shape


def check_conv(
    x: Any, kernel: Any, bias: Any, *, depthwise: bool = False
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return pictures, filters and biases (zeros for None) that fit together.

    Raises:
        TypeError: If an array does not hold numbers.
        ValueError: If a shape is wrong, or the channels do not fit.
    """
    x, kernel = check_array("x", x, ndim=4), check_array("kernel", kernel, ndim=4)
    if kernel.shape[2] != x.shape[3]:
        raise ValueError(
            f"`kernel` must have the shape (kh, kw, C, {'M' if depthwise else 'F'}), with the C "
            "channels of `x`, which is "
            f"(B, H, W, C). Received: x.shape={x.shape}, kernel.shape={kernel.shape}"
        )
    maps = kernel.shape[2] * kernel.shape[3] if depthwise else kernel.shape[3]
    bias = np.zeros(maps) if bias is None else check_array("bias", bias, shape=(maps,))
    return x, kernel, bias


def check_gradient(
    gradient: Any, x: Any, kernel: Any, *, depthwise: bool = False, **steps: Any
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the output's gradient, pictures and filters that fit together.

    Raises:
        TypeError: If an array does not hold numbers, or a number is not whole.
        ValueError: If a shape or a range is wrong, or no window fits.
    """
    x, kernel, bias = check_conv(x, kernel, None, depthwise=depthwise)
    sides = zip(x.shape[1:3], kernel.shape[:2], strict=True)
    shape = (len(x), *(output_size(n, k, **steps) for n, k in sides), len(bias))
    return check_array("gradient", gradient, shape=shape), x, kernel
