"""The data sets with classes, as arrays that a network can be trained on."""

from collections.abc import Callable
from typing import Any

import numpy as np

from dlnotes import datasets
from dlnotes.validation import check_choice

LOADERS: dict[str, Callable[[], Any]] = {
    "iris": datasets.load_iris,
    "wine": datasets.load_wine,
    "breast_cancer": datasets.load_breast_cancer,
    "digits": datasets.load_digits,
    "placements": datasets.load_placements_xy,
    "xor": datasets.make_xor,
    "moons": datasets.make_moons,
    "spiral": datasets.make_spiral,
    "blobs": datasets.make_blobs,
    "mnist_5k": datasets.load_mnist_5k,
    "mnist": datasets.load_mnist,
    "fashion_mnist": datasets.load_fashion_mnist,
    "cifar10": datasets.load_cifar10,
}


def classification_data(
    dataset: str, *, pictures: bool
) -> tuple[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray], int]:
    """Return the training and the validation part of a data set, and how many outputs it needs.

    Pictures are scaled to [0, 1]; the columns of a table to mean 0 and standard deviation 1 in the
    training part. The test part stays untouched.

    Args:
        dataset: Name of a data set with classes.
        pictures: Whether pictures keep their shape, (N, H, W, C); else they become rows, (N, D).

    Returns:
        ``(x_train, y_train, x_val, y_val)`` with float32 inputs, and the number of classes, or 1
        for two classes.

    Raises:
        ValueError: If the data set is unknown.
        DatasetNotAvailable: If it is still to be fetched.

    Example:
        >>> (x_train, *_), outputs = classification_data("digits", pictures=True)
        >>> x_train.shape, outputs
        ((1257, 8, 8, 1), 10)
    """
    check_choice("dataset", dataset, LOADERS)
    data = LOADERS[dataset]()
    x_train, x_val = data.x_train.astype("float32"), data.x_val.astype("float32")
    if hasattr(data, "pixel_range"):
        low, high = data.pixel_range
        x_train, x_val = ((x - low) / (high - low) for x in (x_train, x_val))
        if not pictures:
            x_train, x_val = (x.reshape(len(x), -1) for x in (x_train, x_val))
        elif x_train.ndim == 3:
            x_train, x_val = x_train[..., None], x_val[..., None]
    else:
        mean, deviation = x_train.mean(axis=0), x_train.std(axis=0)
        deviation[deviation == 0] = 1
        x_train, x_val = ((x - mean) / deviation for x in (x_train, x_val))
    outputs = 1 if data.num_classes == 2 else data.num_classes
    return (x_train, data.y_train, x_val, data.y_val), outputs
