"""What a layer costs: its weights, its multiplications, and the numbers it makes.

For one picture. Shapes: height H, width W, C channels, F filters of k by k pixels.
"""

from collections.abc import Sequence
from math import prod
from typing import Any, NamedTuple

from dlnotes.scratch.conv import output_size
from dlnotes.validation import check_int, received


class Cost(NamedTuple):
    """What a layer costs for one picture.

    Attributes:
        shape: Shape of what it makes.
        parameters: Its weights and biases, the same for all pictures.
        multiplications: Products that are summed up, as many as additions.
    """

    shape: tuple[int, ...]
    parameters: int
    multiplications: int

    @property
    def numbers(self) -> int:
        """How many numbers it makes; training keeps them all for the backward pass."""
        return prod(self.shape)


def convolution_cost(
    shape: Sequence[int],
    filters: int,
    kernel_size: int,
    *,
    stride: int = 1,
    padding: str | int = "valid",
    shared: bool = True,
) -> Cost:
    """Return what a convolution costs.

    Each of H' · W' positions and F filters takes k · k · C multiplications. With shared weights a
    filter has k · k · C weights and a bias; without, as many at each position.

    Args:
        shape: Shape of the picture or map, ``(H, W, C)``.
        filters: Number of filters, >= 1.
        kernel_size: Height and width of each, >= 1.
        stride: Pixels from one position to the next, >= 1.
        padding: "valid", "same" or a number of pixels, as `output_size` takes it.
        shared: Whether all positions use the same weights; without it is a locally connected layer.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a number is out of range or no window fits.

    Example:
        >>> convolution_cost((28, 28, 1), 6, 5, padding="same")
        Cost(shape=(28, 28, 6), parameters=156, multiplications=117600)
    """
    height, width, channels = check_convolution(shape, filters, kernel_size)
    options = {"stride": stride, "padding": padding}
    rows = output_size(height, kernel_size, **options)
    columns = output_size(width, kernel_size, **options)
    window = kernel_size * kernel_size * channels
    copies = 1 if shared else rows * columns
    return Cost(
        (rows, columns, filters), copies * (window + 1) * filters, rows * columns * window * filters
    )


def dense_cost(inputs: int, units: int) -> Cost:
    """Return what a dense layer costs: each weight is used once.

    Args:
        inputs: Numbers that come in, >= 1.
        units: Numbers that go out, >= 1.

    Raises:
        TypeError: If an argument is not an integer.
        ValueError: If it is below 1.

    Example:
        >>> dense_cost(400, 120)
        Cost(shape=(120,), parameters=48120, multiplications=48000)
    """
    inputs, units = check_int("inputs", inputs, low=1), check_int("units", units, low=1)
    return Cost((units,), (inputs + 1) * units, inputs * units)


def pooling_cost(shape: Sequence[int], size: int = 2) -> Cost:
    """Return what pooling costs: no weights, and no multiplication that counts.

    Args:
        shape: Shape of the map, ``(H, W, C)``.
        size: Height, width and stride of the window, from 1 to the shorter of H and W; what is left
            at the border is dropped.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a number is out of range.

    Example:
        >>> pooling_cost((7, 7, 16))
        Cost(shape=(3, 3, 16), parameters=0, multiplications=0)
    """
    height, width, channels = check_shape(shape)
    check_int("size", size, low=1, high=min(height, width))
    sides = (output_size(side, size, stride=size) for side in (height, width))
    return Cost((*sides, channels), 0, 0)


def check_convolution(shape: Any, filters: Any, kernel_size: Any) -> tuple[int, int, int]:
    """Return ``(H, W, C)`` as three integers >= 1, if the two numbers are integers >= 1, too.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a number is below 1, or the shape has not three numbers.
    """
    check_int("filters", filters, low=1)
    check_int("kernel_size", kernel_size, low=1)
    return check_shape(shape)


def check_shape(shape: Any) -> tuple[int, int, int]:
    """Return ``(H, W, C)`` as three integers >= 1.

    Raises:
        TypeError: If it is not a tuple or list of integers.
        ValueError: If it has another length, or a number is below 1.
    """
    if not isinstance(shape, tuple | list):
        raise TypeError(f"`shape` must be (height, width, channels). {received(shape=shape)}")
    if len(shape) != 3:
        raise ValueError(f"`shape` must be (height, width, channels). {received(shape=shape)}")
    height, width, channels = (
        check_int(f"shape[{i}]", length, low=1) for i, length in enumerate(shape)
    )
    return height, width, channels
