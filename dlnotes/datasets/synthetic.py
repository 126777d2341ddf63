"""Points of the plane drawn from a seed: small worlds whose truth is known.

Coordinates are rounded to six decimals, so that every processor draws the same points.
"""

import numpy as np

from dlnotes.datasets.registry import facts_of
from dlnotes.datasets.splits import cut_rows, split_indices
from dlnotes.datasets.types import PointData
from dlnotes.validation import check_array, check_float, check_int

_DECIMALS = 6  # sine and cosine differ in the last digit between processors


def make_xor(
    num_samples: int = 200,
    *,
    noise: float = 0.1,
    seed: int = 0,
    test_size: float = 0.15,
    val_size: float = 0.15,
) -> PointData:
    """Draw clouds around the corners of the unit square; class 1 where the corner's bits differ.

    Args:
        num_samples: Number of points, shared evenly by the four corners.
        noise: Standard deviation of the clouds; with 0 every point is a corner.
        seed: Seed of the drawing.
        test_size: Fraction of the points for the test part.
        val_size: Fraction of the points for the validation part.

    Raises:
        TypeError: If an argument is not a number.
        ValueError: If one is out of range.

    Example:
        >>> make_xor(400, noise=0.2, seed=1)
        PointData('xor', train=280, val=60, test=60, shape=(2,))
    """
    num_samples, rng = _start(num_samples, seed, low=4)
    noise = check_float("noise", noise, low=0)
    corner = np.arange(num_samples) % 4
    bits = np.stack([corner // 2, corner % 2], axis=1)
    x = bits + noise * rng.standard_normal((num_samples, 2))
    y = bits[:, 0] ^ bits[:, 1]
    return _points("xor", x, y, ("bits equal", "bits differ"), seed, test_size, val_size)


def make_moons(
    num_samples: int = 200,
    *,
    noise: float = 0.1,
    seed: int = 0,
    test_size: float = 0.15,
    val_size: float = 0.15,
) -> PointData:
    """Draw two half circles of radius 1 that reach into each other.

    Args:
        num_samples: Number of points, shared evenly by the two classes.
        noise: Standard deviation added to each coordinate.
        seed: Seed of the drawing.
        test_size: Fraction of the points for the test part.
        val_size: Fraction of the points for the validation part.

    Raises:
        TypeError: If an argument is not a number.
        ValueError: If one is out of range.

    Example:
        >>> make_moons(200, noise=0.1, seed=1)
        PointData('moons', train=140, val=30, test=30, shape=(2,))
    """
    num_samples, rng = _start(num_samples, seed, low=2)
    noise = check_float("noise", noise, low=0)
    num_upper = (num_samples + 1) // 2
    upper = np.linspace(0, np.pi, num_upper)
    lower = np.linspace(0, np.pi, num_samples - num_upper)
    x = np.concatenate(
        [
            np.stack([np.cos(upper), np.sin(upper)], axis=1),
            np.stack([1 - np.cos(lower), 0.5 - np.sin(lower)], axis=1),
        ]
    )
    x += noise * rng.standard_normal(x.shape)
    y = np.repeat([0, 1], [num_upper, num_samples - num_upper])
    return _points("moons", x, y, ("upper moon", "lower moon"), seed, test_size, val_size)


def make_spiral(
    num_samples: int = 300,
    *,
    num_classes: int = 2,
    turns: float = 1.0,
    noise: float = 0.03,
    seed: int = 0,
    test_size: float = 0.15,
    val_size: float = 0.15,
) -> PointData:
    """Draw one spiral arm for each class, from radius 0.1 to radius 1.

    Args:
        num_samples: Number of points, shared evenly by the classes.
        num_classes: Number of arms.
        turns: How many times an arm winds around the origin.
        noise: Standard deviation added to each coordinate.
        seed: Seed of the drawing.
        test_size: Fraction of the points for the test part.
        val_size: Fraction of the points for the validation part.

    Raises:
        TypeError: If an argument is not a number.
        ValueError: If one is out of range.

    Example:
        >>> make_spiral(300, num_classes=3, seed=1)
        PointData('spiral', train=210, val=45, test=45, shape=(2,))
    """
    num_classes = check_int("num_classes", num_classes, low=2)
    num_samples, rng = _start(num_samples, seed, low=num_classes)
    turns = check_float("turns", turns, low=0, open_low=True)
    noise = check_float("noise", noise, low=0)
    y = np.arange(num_samples) % num_classes
    step = np.arange(num_samples) // num_classes
    along = step / max(step.max(), 1)  # 0 at the centre, 1 at the rim
    angle = 2 * np.pi * (turns * along + y / num_classes)
    radius = 0.1 + 0.9 * along
    x = radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    x += noise * rng.standard_normal(x.shape)
    names = tuple(f"arm {k}" for k in range(num_classes))
    return _points("spiral", x, y, names, seed, test_size, val_size)


def make_blobs(
    num_samples: int = 200,
    *,
    centers: np.ndarray = ((-1.0, -1.0), (1.0, 1.0)),
    spread: float = 0.5,
    seed: int = 0,
    test_size: float = 0.15,
    val_size: float = 0.15,
) -> PointData:
    """Draw a round Gaussian cloud for each centre; the class is the centre's number.

    Args:
        num_samples: Number of points, shared evenly by the centres.
        centers: Coordinates ``(K, 2)`` of at least two centres.
        spread: Standard deviation of the clouds.
        seed: Seed of the drawing.
        test_size: Fraction of the points for the test part.
        val_size: Fraction of the points for the validation part.

    Raises:
        TypeError: If an argument is not a number.
        ValueError: If one is out of range or `centers` has another shape.

    Example:
        >>> make_blobs(100, centers=[(0, 0), (3, 0), (0, 3)], seed=1).num_classes
        3
    """
    centers = check_array("centers", centers, shape=(None, 2))
    num_classes = check_int("len(centers)", len(centers), low=2)
    num_samples, rng = _start(num_samples, seed, low=num_classes)
    spread = check_float("spread", spread, low=0)
    y = np.arange(num_samples) % num_classes
    x = centers[y] + spread * rng.standard_normal((num_samples, 2))
    names = tuple(f"cloud {k}" for k in range(num_classes))
    return _points("blobs", x, y, names, seed, test_size, val_size)


def _start(num_samples: int, seed: int, *, low: int) -> tuple[int, np.random.Generator]:
    num_samples = check_int("num_samples", num_samples, low=low)
    return num_samples, np.random.default_rng(check_int("seed", seed, low=0))


def _points(
    name: str,
    x: np.ndarray,
    y: np.ndarray,
    target_names: tuple[str, ...],
    seed: int,
    test_size: float,
    val_size: float,
) -> PointData:
    x, y = np.round(x, _DECIMALS) + 0.0, y.astype(np.int64)  # + 0.0 turns -0.0 into 0.0
    cut = split_indices(y, test_size=test_size, val_size=val_size)
    return PointData(
        **facts_of(name),
        **cut_rows(cut, x=x, y=y),
        target_names=target_names,
        seed=seed,
    )
