"""How many windows fit into a picture, and how far a unit sees: whole numbers only."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from dlnotes.validation import check_choice, check_int, received


class ReceptiveField(NamedTuple):
    """How many input pixels in a row a unit sees, and how far apart neighbouring units look."""

    size: int
    step: int


def border(
    size: int, kernel: int, *, stride: int = 1, padding: str | int = "valid", dilation: int = 1
) -> tuple[int, int]:
    """Return how many pixels are put before and behind one axis of a picture.

    Args:
        size: Pixels along the axis, >= 1.
        kernel: Pixels of the filter along the axis, >= 1.
        stride: Pixels from one window to the next, >= 1.
        padding: "valid" puts none; "same" puts as few as give ``ceil(size / stride)`` windows, an
            odd one behind, as TensorFlow does; a whole number puts so many on both sides.
        dilation: Pixels from one weight of the filter to the next, >= 1.

    Raises:
        TypeError: If a number is not whole.
        ValueError: If an argument is out of range, or the picture is too small for one window.

    Example:
        >>> border(5, 3, padding="same"), border(5, 4, padding="same"), border(6, 3, padding=2)
        ((1, 1), (1, 2), (2, 2))
    """
    size, kernel = check_int("size", size, low=1), check_int("kernel", kernel, low=1)
    stride, dilation = check_int("stride", stride, low=1), check_int("dilation", dilation, low=1)
    reach = dilation * (kernel - 1) + 1
    if isinstance(padding, str):
        check_choice("padding", padding, ("valid", "same"))
        total = 0
        if padding == "same":
            total = max((-(-size // stride) - 1) * stride + reach - size, 0)
        before, after = total // 2, total - total // 2
    else:
        before = after = check_int("padding", padding, low=0)
    if size + before + after < reach:
        raise ValueError(
            f"`size` must be large enough for one window of {reach} pixels. "
            f"{received(size=size, kernel=kernel, dilation=dilation, padding=padding)}"
        )
    return before, after


def output_size(
    size: int, kernel: int, *, stride: int = 1, padding: str | int = "valid", dilation: int = 1
) -> int:
    """Return how many windows fit: floor((n + 2p − d(k − 1) − 1) / s) + 1.

    Args:
        size: n, pixels along one axis, >= 1.
        kernel: k, pixels of the filter along it, >= 1.
        stride: s, pixels from one window to the next, >= 1.
        padding: "valid", "same" or p pixels on each side; for "same", 2p is what `border` puts on
            both sides together.
        dilation: d, pixels from one weight of the filter to the next, >= 1.

    Raises:
        TypeError: If a number is not whole.
        ValueError: If an argument is out of range, or no window fits.

    References:
        V. Dumoulin and F. Visin, "A guide to convolution arithmetic for deep learning" (2016),
        relationships 6 and 15.

    Example:
        >>> output_size(28, 5), output_size(28, 3, stride=2, padding="same")
        (24, 14)
    """
    before, after = border(size, kernel, stride=stride, padding=padding, dilation=dilation)
    reach = dilation * (kernel - 1) + 1
    return (size + before + after - reach) // stride + 1


def receptive_field(layers: Iterable[Sequence[int]]) -> ReceptiveField:
    """Return how many input pixels in a row a unit behind these layers sees.

    Each layer with kernel k, stride s and dilation d adds d(k − 1) steps, where a step is the
    product of all strides before it.

    Args:
        layers: For each layer, from the input on, (kernel, stride) or (kernel, stride, dilation).
            A pooling layer counts like a convolution.

    Returns:
        A `ReceptiveField` with the size, and the step between neighbouring units, in input pixels.

    Raises:
        TypeError: If a number is not whole.
        ValueError: If a layer has another length, or a number is below 1.

    Example:
        >>> receptive_field([(3, 1), (3, 1)]), receptive_field([(3, 2), (3, 1)])
        (ReceptiveField(size=5, step=1), ReceptiveField(size=7, step=2))
    """
    size = step = 1
    for kernel, stride, dilation in check_layers(layers):
        size += dilation * (kernel - 1) * step
        step *= stride
    return ReceptiveField(size, step)


def check_layers(layers: Any) -> list[tuple[int, int, int]]:
    """Return each layer as kernel, stride and dilation.

    Raises:
        TypeError: If `layers` is no sequence of sequences, or a number is not whole.
        ValueError: If a layer has another length, or a number is below 1.
    """
    if not isinstance(layers, Iterable) or not all(isinstance(one, Sequence) for one in layers):
        raise TypeError(
            f"`layers` must be a sequence of (kernel, stride) pairs. {received(layers=layers)}"
        )
    checked = []
    for one in layers:
        if len(one) not in (2, 3):
            raise ValueError(
                "`layers` must hold (kernel, stride) or (kernel, stride, dilation). "
                f"{received(layer=one)}"
            )
        kernel, stride, dilation = (*one, 1)[:3]
        names = {"kernel": kernel, "stride": stride, "dilation": dilation}
        checked.append(tuple(check_int(name, value, low=1) for name, value in names.items()))
    return checked
