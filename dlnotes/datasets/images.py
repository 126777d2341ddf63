"""Loaders of pictures: the small digits that come along, and the full sets fetched on request."""

from pathlib import Path

import numpy as np

from dlnotes.datasets.fetch import (
    ArchiveError,
    load_npz,
    read_dataset_file,
    read_member,
    read_members,
)
from dlnotes.datasets.registry import dataset_info, facts_of
from dlnotes.datasets.splits import cut_rows, split_indices
from dlnotes.datasets.types import ImageData, PhotoData

_DIGITS = tuple("0123456789")
_CLOTHES = (
    "T-shirt/top",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
)
_OBJECTS = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)


def load_digits(*, test_size: float = 0.15, val_size: float = 0.15) -> ImageData:
    """Return 1,797 handwritten digits of 8×8 pixels, grey values in [0, 1] (1 is ink).

    Args:
        test_size: Fraction of the rows for the test part.
        val_size: Fraction of the rows for the validation part.

    Raises:
        ValueError: If a fraction is out of range.

    Example:
        >>> data = load_digits()
        >>> data, data.x_train_flat.shape
        (ImageData('digits', train=1257, val=270, test=270, shape=(8, 8)), (1257, 64))
    """
    from sklearn import datasets as bundled

    raw = bundled.load_digits()
    x, y = raw.images / 16.0, raw.target.astype(np.int64)
    cut = split_indices(y, test_size=test_size, val_size=val_size)
    return ImageData(
        **facts_of("digits"),
        **cut_rows(cut, x=x, y=y),
        target_names=_DIGITS,
        pixel_range=(0.0, 1.0),
    )


def load_photos() -> PhotoData:
    """Return scikit-learn's two sample photographs as bytes 0 to 255, red, green, blue.

    Another release of the JPEG decoder may change single values by one count.

    Example:
        >>> load_photos()
        PhotoData('photos', china=(427, 640, 3), flower=(427, 640, 3))
    """
    from sklearn import datasets as bundled

    return PhotoData(
        **facts_of("photos"),
        china=bundled.load_sample_image("china.jpg"),
        flower=bundled.load_sample_image("flower.jpg"),
        pixel_range=(0.0, 255.0),
    )


def load_mnist_5k(*, val_size: float = 0.1) -> ImageData:
    """Return 5,000 pictures of MNIST as bytes 0 to 255: the small form of `load_mnist`.

    The 1,000 test pictures, 100 of each digit, are the same whatever `val_size` is.

    Args:
        val_size: Fraction of the other 4,000 for the validation part; 0 leaves all to learn from.

    Raises:
        ValueError: If the fraction is out of range.
        DatasetDamaged: If its file has changed.

    Example:
        >>> load_mnist_5k()
        ImageData('mnist_5k', train=3600, val=400, test=1000, shape=(28, 28))
    """
    arrays = load_npz(read_dataset_file("mnist_5k", "mnist_5k.npz"), ("x", "y"))
    x, y = arrays["x"], arrays["y"]
    rest, _, test = split_indices(y, test_size=0.2, val_size=0.0)
    parts = {"x_train": x[rest], "y_train": y[rest], "x_test": x[test], "y_test": y[test]}
    return _official_split("mnist_5k", parts, _DIGITS, val_size)


def load_mnist(*, val_size: float = 0.1, directory: str | Path | None = None) -> ImageData:
    """Return the full MNIST as bytes 0 to 255; it must have been fetched before.

    Args:
        val_size: Fraction of the 60,000 training rows for the validation part.
        directory: Cache folder in place of `cache_directory()`.

    Raises:
        DatasetNotAvailable: If it is not on this machine; the message says how to fetch it.
        DatasetDamaged: If its file has changed.
    """
    content = read_dataset_file("mnist", "mnist.npz", directory=directory)
    arrays = load_npz(content, ("x_train", "y_train", "x_test", "y_test"))
    return _official_split("mnist", arrays, _DIGITS, val_size)


def load_fashion_mnist(*, val_size: float = 0.1, directory: str | Path | None = None) -> ImageData:
    """Return the full Fashion-MNIST as bytes 0 to 255; it must have been fetched before.

    Args:
        val_size: Fraction of the 60,000 training rows for the validation part.
        directory: Cache folder in place of `cache_directory()`.

    Raises:
        DatasetNotAvailable: If it is not on this machine; the message says how to fetch it.
        DatasetDamaged: If one of its files has changed.
    """
    arrays = {}
    for part, prefix in (("train", "train"), ("test", "t10k")):
        for letter, suffix in (("x", "images-idx3-ubyte"), ("y", "labels-idx1-ubyte")):
            name = f"{prefix}-{suffix}"
            content = read_dataset_file("fashion_mnist", f"{name}.gz", directory=directory)
            arrays[f"{letter}_{part}"] = parse_idx(read_member(content, name))
    return _official_split("fashion_mnist", arrays, _CLOTHES, val_size)


def load_cifar10(*, val_size: float = 0.1, directory: str | Path | None = None) -> ImageData:
    """Return the full CIFAR-10, colour pictures as bytes 0 to 255; it must have been fetched.

    Args:
        val_size: Fraction of the 50,000 training rows for the validation part.
        directory: Cache folder in place of `cache_directory()`.

    Raises:
        DatasetNotAvailable: If it is not on this machine; the message says how to fetch it.
        DatasetDamaged: If its file has changed.
    """
    file = dataset_info("cifar10").files[0]
    content = read_dataset_file("cifar10", file.name, directory=directory)
    members = read_members(content, file.members)
    batches = [parse_cifar10(members[name]) for name in file.members]
    arrays = {
        "x_train": np.concatenate([x for x, _ in batches[:-1]]),
        "y_train": np.concatenate([y for _, y in batches[:-1]]),
        "x_test": batches[-1][0],
        "y_test": batches[-1][1],
    }
    return _official_split("cifar10", arrays, _OBJECTS, val_size)


def parse_idx(content: bytes) -> np.ndarray:
    """Return the array of unsigned bytes that an IDX file holds.

    The format: two zero bytes, the type (8 for unsigned bytes), the number of dimensions, each
    dimension as a big-endian 32-bit number, the values.

    Raises:
        ArchiveError: If the content has another form or length.

    Example:
        >>> parse_idx(bytes([0, 0, 8, 1, 0, 0, 0, 2, 7, 9]))
        array([7, 9], dtype=uint8)
    """
    if len(content) < 4 or content[:3] != b"\x00\x00\x08" or len(content) < 4 + 4 * content[3]:
        raise ArchiveError("`content` must be an IDX file of unsigned bytes")
    start = 4 + 4 * content[3]
    shape = tuple(int(n) for n in np.frombuffer(content[4:start], ">u4"))
    if len(content) - start != np.prod(shape, dtype=np.int64):
        raise ArchiveError(
            f"`content` must hold the values of shape {shape}. "
            f"Received: {len(content) - start} bytes of values"
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def parse_cifar10(content: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Return pictures ``(N, 32, 32, 3)`` and classes ``(N,)`` of a binary CIFAR-10 batch.

    A record is one byte for the class, then the red, green and blue plane of 1,024 bytes each.

    Raises:
        ArchiveError: If the content is not a whole number of records with classes 0 to 9.

    Example:
        >>> x, y = parse_cifar10(bytes([3]) + bytes(3072))
        >>> x.shape, y
        ((1, 32, 32, 3), array([3], dtype=uint8))
    """
    if not content or len(content) % 3073:
        raise ArchiveError(
            f"`content` must be records of 3073 bytes. Received: {len(content)} bytes"
        )
    records = np.frombuffer(content, np.uint8).reshape(-1, 3073)
    y = records[:, 0]
    if y.max() > 9:
        raise ArchiveError(f"`content` must hold classes 0 to 9. Received: class {y.max()}")
    return records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), y


def _official_split(
    name: str, arrays: dict[str, np.ndarray], target_names: tuple[str, ...], val_size: float
) -> ImageData:
    """Keep the test part as published; take the validation part from the training part."""
    x, y = arrays["x_train"], arrays["y_train"].astype(np.int64)
    cut = split_indices(y, test_size=0.0, val_size=val_size)
    parts = cut_rows(cut, x=x, y=y)
    parts |= {"x_test": arrays["x_test"], "y_test": arrays["y_test"].astype(np.int64)}
    return ImageData(**facts_of(name), **parts, target_names=target_names, pixel_range=(0.0, 255.0))
