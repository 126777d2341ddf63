"""Noise on pictures, the filters against it, and how much of the picture is back.

Letters as in `dlnotes.scratch.images`: pictures are (H, W, C) or (B, H, W, C), channels last.
"""

import math
from typing import Any

import numpy as np

from dlnotes.scratch.images import check_images
from dlnotes.validation import check_array, check_float, check_int, check_rng, received


def check_range(low: Any, high: Any) -> tuple[float, float]:
    """Return the darkest and the brightest value, or refuse them."""
    low = check_float("low", low)
    return low, check_float("high", high, low=low, open_low=True)


def salt_and_pepper(
    images: Any, rate: float, rng: np.random.Generator, *, low: float = 0.0, high: float = 1.0
) -> np.ndarray:
    """Return pictures in which a share of the pixels has become white or black, by chance.

    Args:
        images: Pictures (H, W, C) or (B, H, W, C).
        rate: Chance of a pixel, all its channels, to be hit, in [0, 1]; half of the hits are white.
        rng: Draws the hits.
        low: Black.
        high: White, > `low`.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a shape or a number is wrong.

    Example:
        >>> salt_and_pepper(np.full((1, 5, 1), 0.5), 0.5, np.random.default_rng(0))[0, :, 0]
        array([0.5, 1. , 0. , 0. , 0.5])
    """
    images, rate = check_images(images), check_float("rate", rate, low=0, high=1)
    (low, high), chance = check_range(low, high), check_rng("rng", rng).random(images.shape[:-1])
    chance = chance[..., None]
    return np.where(chance < rate / 2, low, np.where(chance < rate, high, images))


def gaussian_noise(
    images: Any, spread: float, rng: np.random.Generator, *, low: float = 0.0, high: float = 1.0
) -> np.ndarray:
    """Return pictures with a normal random number added to each value, then clipped to the range.

    Args:
        images: Pictures (H, W, C) or (B, H, W, C).
        spread: Standard deviation of the numbers, >= 0.
        rng: Draws them.
        low: Black; what falls below becomes black.
        high: White, > `low`; what rises above becomes white.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a shape or a number is wrong.

    Example:
        >>> gaussian_noise(np.full((1, 3, 1), 0.5), 0.1, np.random.default_rng(0)).round(2)[0, :, 0]
        array([0.51, 0.49, 0.56])
    """
    images, spread = check_images(images), check_float("spread", spread, low=0)
    noise = check_rng("rng", rng).normal(0, spread, images.shape)
    return np.clip(images + noise, *check_range(low, high))


def gaussian_kernel(sigma: float, radius: int | None = None) -> np.ndarray:
    """Return 2·radius + 1 weights with the shape of a bell, which add up to 1.

    Args:
        sigma: Width of the bell in pixels, > 0.
        radius: Pixels to either side, >= 0; None takes 3·sigma, rounded up.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a number is out of range.

    Example:
        >>> gaussian_kernel(1.0, 1).round(3)
        array([0.274, 0.452, 0.274])
    """
    sigma = check_float("sigma", sigma, low=0, open_low=True)
    radius = math.ceil(3 * sigma) if radius is None else check_int("radius", radius, low=0)
    weights = np.exp(-(np.arange(-radius, radius + 1) ** 2) / (2 * sigma**2))
    return weights / weights.sum()


def mirror_border(images: Any, radius: int) -> np.ndarray:
    """Return pictures with `radius` more pixels on each side: the picture as a mirror shows it.

    The outermost pixels are mirrored, too.

    Args:
        images: Pictures (H, W, C) or (B, H, W, C).
        radius: From 0 to the smaller of H and W.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a shape is wrong, or the border is wider than the picture.

    Example:
        >>> mirror_border([[[1], [2]]], 1)[..., 0]
        array([[1., 1., 2., 2.],
               [1., 1., 2., 2.],
               [1., 1., 2., 2.]])
    """
    images, radius = check_images(images), check_int("radius", radius, low=0)
    if radius > min(images.shape[-3:-1]):
        raise ValueError(
            "`radius` must not exceed height and width. "
            f"{received(radius=radius)}, images.shape={images.shape}"
        )
    border = [(0, 0)] * (images.ndim - 3) + [(radius, radius)] * 2 + [(0, 0)]
    return np.pad(images, border, mode="symmetric")


def gaussian_blur(images: Any, sigma: float, radius: int | None = None) -> np.ndarray:
    """Return pictures in which each pixel is a mean of its neighbours, weighted by a bell.

    The square of weights is a row of them times a column, so two sums along rows and columns do.

    Args:
        images: Pictures (H, W, C) or (B, H, W, C).
        sigma: Width of the bell in pixels, > 0.
        radius: Pixels to either side that count, >= 0; None takes 3·sigma, rounded up.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a shape or a number is wrong, or the filter exceeds the picture.

    Example:
        >>> gaussian_blur([[[0], [1], [0]]], 1.0, 1)[0, :, 0].round(3)
        array([0.274, 0.452, 0.274])
    """
    kernel = gaussian_kernel(sigma, radius)
    framed, extra = mirror_border(images, len(kernel) // 2), len(kernel) - 1
    height, width = framed.shape[-3] - extra, framed.shape[-2] - extra
    framed = sum(weight * framed[..., i : i + height, :, :] for i, weight in enumerate(kernel))
    return sum(weight * framed[..., j : j + width, :] for j, weight in enumerate(kernel))


def median_filter(images: Any, radius: int = 1) -> np.ndarray:
    """Return pictures in which each pixel is the middle value of its square of pixels.

    Args:
        images: Pictures (H, W, C) or (B, H, W, C); each channel by itself.
        radius: Pixels to either side that count, >= 0: 1 takes a square of 3 × 3.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a shape or a number is wrong, or the filter exceeds the picture.

    Example:
        >>> median_filter([[[0], [9], [0], [1], [1]]])[0, :, 0]
        array([0., 0., 1., 1., 1.])
    """
    framed, side = mirror_border(images, radius), 2 * radius + 1
    squares = np.lib.stride_tricks.sliding_window_view(framed, (side, side), axis=(-3, -2))
    ordered = np.partition(squares.reshape(*squares.shape[:-2], -1), side**2 // 2)
    return ordered[..., side**2 // 2]


def psnr(images: Any, originals: Any, *, value_range: float = 1.0) -> float:
    """Return the peak signal-to-noise ratio in decibels: 10·log10(range² / mean squared error).

    Ten times less squared error are 10 dB more. Equal pictures give infinity.

    Args:
        images: Pictures (H, W, C) or (B, H, W, C).
        originals: What they should be, in the same shape.
        value_range: Brightest minus darkest possible value, > 0.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If shapes differ, or the range is not positive.

    Example:
        >>> round(psnr(np.full((2, 2, 1), 0.6), np.full((2, 2, 1), 0.5)), 6)
        20.0
    """
    images = check_images(images)
    originals = check_array("originals", originals, shape=images.shape)
    value_range = check_float("value_range", value_range, low=0, open_low=True)
    error = np.mean((images - originals) ** 2)
    return math.inf if error == 0 else float(10 * np.log10(value_range**2 / error))
