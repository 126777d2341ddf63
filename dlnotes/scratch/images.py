"""Pictures as arrays: scaling, resizing, colour, and moves that keep the frame.

Letters: B pictures, H rows, W columns, C channels. All functions take (H, W, C) or (B, H, W, C),
channels last as in Keras, and return float64. Gray pictures have one channel: ``x[..., None]``
gives it to them.
"""

from typing import Any

import numpy as np

from dlnotes.validation import check_array, check_choice, check_float, check_int, received

# Recommendation ITU-R BT.601 gives the weights of Y; U and V are B − Y and R − Y, scaled as in
# composite video.
LUMA = np.array([0.299, 0.587, 0.114])
RGB_TO_YUV = np.stack([LUMA, 0.492111 * ([0, 0, 1] - LUMA), 0.877283 * ([1, 0, 0] - LUMA)])


def check_images(images: Any, channels: int | None = None) -> np.ndarray:
    """Return pictures as float64, (H, W, C) or (B, H, W, C), or refuse them.

    Raises:
        TypeError: If they are not numbers.
        ValueError: If there is another number of axes, or not 1 to 4 channels, or not `channels`.
    """
    images = check_array("images", images)
    if images.ndim not in (3, 4) or images.shape[-1] > 4:
        raise ValueError(
            "`images` must have the shape (H, W, C) or (B, H, W, C) with at most 4 channels; "
            f"`x[..., None]` gives gray ones a channel. Received: images.shape={images.shape}"
        )
    if channels is not None and images.shape[-1] != channels:
        raise ValueError(
            f"`images` must have {channels} channels. Received: images.shape={images.shape}"
        )
    return images


def check_factor(images: Any, factor: Any) -> np.ndarray:
    """Return pictures as `check_images` does if `factor` divides their height and width."""
    images, factor = check_images(images), check_int("factor", factor, low=1)
    if images.shape[-3] % factor or images.shape[-2] % factor:
        raise ValueError(
            "`factor` must divide height and width. "
            f"{received(factor=factor)}, images.shape={images.shape}"
        )
    return images


def check_warp(images: Any, matrix: Any, offset: Any) -> tuple[np.ndarray, ...]:
    """Return pictures, matrix and offset, the last as an array (2, 1, 1), or refuse them."""
    images, matrix = check_images(images), check_array("matrix", matrix, shape=(2, 2))
    return images, matrix, check_array("offset", offset, shape=(2,)).reshape(2, 1, 1)


def min_max(x: Any, low: float, high: float) -> np.ndarray:
    """Return ``(x − low) / (high − low)``: `low` becomes 0, `high` becomes 1.

    ``keras.layers.Rescaling(1 / 255)`` does the same for low 0 and high 255.

    Args:
        x: Numbers of any shape.
        low: Smallest value, of the training pictures or possible at all.
        high: Largest value, > `low`.

    Raises:
        TypeError: If an argument does not hold numbers.
        ValueError: If `high` does not exceed `low`.

    Example:
        >>> min_max([0, 51, 255], 0, 255)
        array([0. , 0.2, 1. ])
    """
    x, low = check_array("x", x), check_float("low", low)
    return (x - low) / (check_float("high", high, low=low, open_low=True) - low)


def standardize(x: Any, mean: Any, spread: Any, *, smallest: float = 1e-7) -> np.ndarray:
    """Return ``(x − mean) / spread``, as ``keras.layers.Normalization`` does.

    Args:
        x: Numbers of any shape.
        mean: Mean of the training pictures: one number, or an array that fits x, such as one
            number a pixel or a channel.
        spread: Their standard deviation, likewise.
        smallest: Smaller spreads are raised to it: a pixel that never changes has the spread 0.

    Raises:
        TypeError: If an argument does not hold numbers.
        ValueError: If a spread is negative, or shapes do not fit.

    Example:
        >>> standardize([1.0, 3.0], 2.0, 0.5)
        array([-2.,  2.])
    """
    x, mean, spread = (
        check_array(name, value) for name, value in (("x", x), ("mean", mean), ("spread", spread))
    )
    check_float("smallest", smallest, low=0, open_low=True)
    if (spread < 0).any():
        raise ValueError(f"`spread` must not be negative. {received(smallest_of_all=spread.min())}")
    return (x - mean) / np.maximum(spread, smallest)


def decimate(images: Any, factor: int) -> np.ndarray:
    """Return pictures with one pixel kept of each block of `factor` × `factor`, the others lost.

    The pixel kept is the middle one, as in ``keras.layers.Resizing(interpolation="nearest")``;
    for an even factor, the one below and right of the middle.

    Args:
        images: Pictures (H, W, C) or (B, H, W, C).
        factor: Side of a block, >= 1, a divisor of H and W.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If `factor` does not divide H and W.

    Example:
        >>> decimate(np.arange(16).reshape(4, 4, 1), 2)[..., 0]
        array([[ 5.,  7.],
               [13., 15.]])
    """
    images = check_factor(images, factor)
    return images[..., factor // 2 :: factor, factor // 2 :: factor, :]


def average_blocks(images: Any, factor: int) -> np.ndarray:
    """Return pictures with each block of `factor` × `factor` pixels replaced by its mean.

    The same as ``tf.image.resize(…, method="area")`` for whole factors.

    Args:
        images: Pictures (H, W, C) or (B, H, W, C).
        factor: Side of a block, >= 1, a divisor of H and W.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If `factor` does not divide H and W.

    Example:
        >>> average_blocks(np.arange(16).reshape(4, 4, 1), 2)[..., 0]
        array([[ 2.5,  4.5],
               [10.5, 12.5]])
    """
    images = check_factor(images, factor)
    *lead, height, width, channels = images.shape
    blocks = (*lead, height // factor, factor, width // factor, factor, channels)
    return images.reshape(blocks).mean(axis=(-4, -2))


def repeat_pixels(images: Any, factor: int) -> np.ndarray:
    """Return pictures with each pixel become a block of `factor` × `factor` equal ones.

    The same as ``keras.layers.UpSampling2D(factor)``.

    Args:
        images: Pictures (H, W, C) or (B, H, W, C).
        factor: Side of a block, >= 1.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a shape or the factor is wrong.

    Example:
        >>> repeat_pixels([[[1], [2]]], 2)[..., 0]
        array([[1., 1., 2., 2.],
               [1., 1., 2., 2.]])
    """
    images, factor = check_images(images), check_int("factor", factor, low=1)
    return images.repeat(factor, axis=-3).repeat(factor, axis=-2)


def interpolation_matrix(num_old: int, num_new: int) -> np.ndarray:
    """Return the matrix (num_new, num_old) that makes num_new pixels of a row of num_old.

    Old and new pixels divide the same length. The centre of each new one lies between the centres
    of two old ones, which get weights by their nearness; beyond the outermost centre the outermost
    pixel gets all.

    Args:
        num_old: Pixels there are, >= 1.
        num_new: Pixels wanted, >= 1.

    Raises:
        TypeError: If a number is not whole.
        ValueError: If a number is not positive.

    Example:
        >>> interpolation_matrix(2, 4)
        array([[1.  , 0.  ],
               [0.75, 0.25],
               [0.25, 0.75],
               [0.  , 1.  ]])
    """
    num_old = check_int("num_old", num_old, low=1)
    num_new = check_int("num_new", num_new, low=1)
    centres = (np.arange(num_new) + 0.5) * num_old / num_new - 0.5  # counted in old pixels
    centres = np.clip(centres, 0, num_old - 1)[:, None]
    return np.maximum(1 - np.abs(centres - np.arange(num_old)), 0)


def resize_bilinear(images: Any, height: int, width: int) -> np.ndarray:
    """Return pictures of another size, each new pixel mixed from the four old ones around it.

    The same as ``keras.layers.Resizing(height, width)``. To make a picture smaller this looks at
    four old pixels only, however many are lost: see `average_blocks`.

    Args:
        images: Pictures (H, W, C) or (B, H, W, C).
        height: Rows wanted, >= 1.
        width: Columns wanted, >= 1.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a shape or a number is wrong.

    Example:
        >>> resize_bilinear([[[0.0], [1.0]]], 1, 4)[..., 0]
        array([[0.  , 0.25, 0.75, 1.  ]])
    """
    images = check_images(images)
    down = interpolation_matrix(images.shape[-3], height)
    right = interpolation_matrix(images.shape[-2], width)
    columns = np.einsum("ih,...hwc->...iwc", down, images)
    return np.einsum("jw,...iwc->...ijc", right, columns)


def rgb_to_gray(images: Any) -> np.ndarray:
    """Return the brightness 0.299 R + 0.587 G + 0.114 B of colour pictures, with one channel.

    Args:
        images: Pictures (H, W, 3) or (B, H, W, 3).

    Raises:
        TypeError: If they are not numbers.
        ValueError: If there are not three channels.

    References:
        Recommendation ITU-R BT.601-7 (2011), section 2.5.1.

    Example:
        >>> rgb_to_gray([[[1.0, 0.0, 0.0], [1.0, 1.0, 1.0]]])[..., 0]
        array([[0.299, 1.   ]])
    """
    return check_images(images, channels=3) @ LUMA[:, None]


def gray_to_rgb(images: Any) -> np.ndarray:
    """Return gray pictures with three equal channels, for a network that wants colour.

    The brightness stays: `rgb_to_gray` gives the picture back. The same as
    ``tf.image.grayscale_to_rgb``.

    Args:
        images: Pictures (H, W, 1) or (B, H, W, 1).

    Raises:
        TypeError: If they are not numbers.
        ValueError: If there is not one channel.

    Example:
        >>> gray_to_rgb([[[0.25]]])
        array([[[0.25, 0.25, 0.25]]])
    """
    return np.repeat(check_images(images, channels=1), 3, axis=-1)


def rgb_to_yuv(images: Any) -> np.ndarray:
    """Return brightness Y and the two colour differences U ~ B − Y and V ~ R − Y.

    With R, G, B from 0 to 1, Y is from 0 to 1, U from −0.436 to 0.436, V from −0.615 to 0.615. The
    same as ``tf.image.rgb_to_yuv``.

    Args:
        images: Pictures (H, W, 3) or (B, H, W, 3).

    Raises:
        TypeError: If they are not numbers.
        ValueError: If there are not three channels.

    References:
        Recommendation ITU-R BT.601-7 (2011), section 2.5.1 (Y); C. Poynton, "Digital video and HD"
        (2012), chapter 28 (U = 0.492111 (B − Y), V = 0.877283 (R − Y)).

    Example:
        >>> rgb_to_yuv([[[1.0, 1.0, 1.0]]]).round(6) + 0.0
        array([[[1., 0., 0.]]])
    """
    return check_images(images, channels=3) @ RGB_TO_YUV.T


def yuv_to_rgb(images: Any) -> np.ndarray:
    """Undo `rgb_to_yuv`, by the inverse matrix.

    Args:
        images: Pictures (H, W, 3) or (B, H, W, 3).

    Raises:
        TypeError: If they are not numbers.
        ValueError: If there are not three channels.

    Example:
        >>> yuv_to_rgb(rgb_to_yuv([[[0.5, 0.25, 0.75]]])).round(6)
        array([[[0.5 , 0.25, 0.75]]])
    """
    return check_images(images, channels=3) @ np.linalg.inv(RGB_TO_YUV).T


def flip(images: Any, direction: str) -> np.ndarray:
    """Return pictures mirrored left to right ("horizontal") or upside down ("vertical").

    Args:
        images: Pictures (H, W, C) or (B, H, W, C).
        direction: "horizontal" or "vertical", as in ``keras.layers.RandomFlip``.

    Raises:
        TypeError: If they are not numbers.
        ValueError: If the shape is wrong, or the direction unknown.

    Example:
        >>> flip([[[1], [2]]], "horizontal")[..., 0]
        array([[2., 1.]])
    """
    axes = {"horizontal": -2, "vertical": -3}
    return np.flip(check_images(images), axes[check_choice("direction", direction, axes)])


def warp(images: Any, matrix: Any, offset: Any = (0.0, 0.0)) -> np.ndarray:
    """Return pictures whose pixel at place p shows what was at ``matrix @ p + offset``.

    A place is (row, column), counted from the middle of the picture. Between pixels the old picture
    is mixed from its four neighbours; outside it is 0.

    Args:
        images: Pictures (H, W, C) or (B, H, W, C).
        matrix: Shape (2, 2).
        offset: Rows and columns, shape (2,).

    Returns:
        Pictures of the same shape.

    Raises:
        TypeError: If an argument does not hold numbers.
        ValueError: If a shape is wrong.

    Example:
        >>> warp([[[1], [2], [3]]], np.eye(2), (0, 1))[..., 0]
        array([[2., 3., 0.]])
    """
    images, matrix, offset = check_warp(images, matrix, offset)
    size = np.array(images.shape[-3:-1]).reshape(2, 1, 1)
    middle = (size - 1) / 2
    places = np.tensordot(matrix, np.indices(images.shape[-3:-1]) - middle, axes=1)
    places = np.clip(places + offset + middle, -1, size)  # further out all is 0 as well
    corner = np.floor(places).astype(int)
    framed = np.pad(images, [(0, 0)] * (images.ndim - 3) + [(1, 2), (1, 2), (0, 0)])
    (down, right), (row, column) = (places - corner)[..., None], corner + 1
    mixed = 0.0
    for i, j in np.ndindex(2, 2):  # the four pixels around each place
        share = np.abs(1 - i - down) * np.abs(1 - j - right)
        mixed = mixed + share * framed[..., row + i, column + j, :]
    return mixed


def rotate(images: Any, degrees: float) -> np.ndarray:
    """Return pictures turned about their middle, against the clock for positive degrees.

    Args:
        images: Pictures (H, W, C) or (B, H, W, C).
        degrees: The angle.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a shape is wrong, or the angle is not finite.

    Example:
        >>> rotate([[[1], [2]], [[3], [4]]], 90)[..., 0].round(6)
        array([[2., 4.],
               [1., 3.]])
    """
    angle = np.radians(check_float("degrees", degrees))
    cos, sin = np.cos(angle), np.sin(angle)
    return warp(images, [[cos, sin], [-sin, cos]])


def shift(images: Any, down: float, right: float) -> np.ndarray:
    """Return pictures moved by so many pixels; what leaves the frame is lost, and 0 comes in.

    Args:
        images: Pictures (H, W, C) or (B, H, W, C).
        down: Rows; negative moves up. Parts of a pixel mix two rows.
        right: Columns; negative moves left.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a shape is wrong, or a number is not finite.

    Example:
        >>> shift([[[1], [2], [3]]], 0, 1)[..., 0]
        array([[0., 1., 2.]])
    """
    return warp(images, np.eye(2), (-check_float("down", down), -check_float("right", right)))


def zoom(images: Any, factor: float) -> np.ndarray:
    """Return pictures enlarged about their middle (`factor` > 1) or made smaller (< 1).

    Args:
        images: Pictures (H, W, C) or (B, H, W, C).
        factor: How many times larger things become, > 0.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a shape is wrong, or the factor is not positive.

    Example:
        >>> zoom([[[0], [1], [0]]], 2)[..., 0]
        array([[0.5, 1. , 0.5]])
    """
    return warp(images, np.eye(2) / check_float("factor", factor, low=0, open_low=True))
