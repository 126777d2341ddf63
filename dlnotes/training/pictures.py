"""Pictures and labels checked against the network that is to learn from them."""

from typing import Any

import keras
import numpy as np

from dlnotes.validation import check_array, check_same_length, received


def check_pictures(model: keras.Model, x: Any, y: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return pictures and labels as a classifier takes them, or say what is wrong with them.

    Keras finds a wrong shape late and in words about tensors; a label outside the classes stops a
    training on a CPU in the midst of an epoch, and on a GPU makes the loss NaN.

    Args:
        model: A built classifier of pictures, from (B, H, W, C) to (B, K) class probabilities or
            scores, or to (B, 1) for two classes.
        x: Pictures, shape (N, H, W, C), finite.
        y: Class number of each, 0 to K − 1 (0 or 1 with one output), shape (N,).

    Returns:
        The pictures in float32, and the labels as integers.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a shape does not fit the model, a pixel is not finite, or a label is outside
            the classes.

    Example:
        >>> inputs = keras.Input((2, 2, 1))
        >>> flat = keras.layers.Flatten()(inputs)
        >>> model = keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(flat))
        >>> x, y = check_pictures(model, np.zeros((4, 2, 2, 1)), [0, 2, 1, 1])
        >>> x.dtype, y
        (dtype('float32'), array([0, 2, 1, 1]))
    """
    shape, units = _shapes(model)
    x = check_array("x", x, dtype=np.float32)
    if x.shape[1:] != shape:
        hint = _hint(x, shape)
        raise ValueError(
            f"`x` must have shape (N, {', '.join(map(str, shape))}), as {model.name!r} takes "
            f"it{hint}. Received: x.shape={x.shape}"
        )
    y = np.asarray(y)
    if y.ndim == 2 and y.shape[1] == units > 1:
        raise ValueError(
            "`y` must hold one class number a picture, shape (N,); `y.argmax(axis=1)` makes them "
            f"of one-hot rows. Received: y.shape={y.shape}"
        )
    y = _check_labels(y, max(units, 2))
    check_same_length(x=x, y=y)
    return x, y


def _check_labels(y: np.ndarray, num_classes: int) -> np.ndarray:
    labels = check_array("y", y, ndim=1)
    wrong = np.flatnonzero(~np.isin(labels, np.arange(num_classes)))
    if len(wrong):
        raise ValueError(
            f"`y` must hold class numbers 0 to {num_classes - 1}. "
            f"Received: y[{wrong[0]}]={labels[wrong[0]]:g}"
        )
    return labels.astype(int)


def _shapes(model: Any) -> tuple[tuple[int, ...], int]:
    if not isinstance(model, keras.Model):
        raise TypeError(f"`model` must be a Keras model. {received(model=model)}")
    inputs, outputs = getattr(model, "inputs", None), getattr(model, "outputs", None)
    fits = inputs and outputs and len(inputs) == len(outputs) == 1
    if not fits or len(inputs[0].shape) != 4 or len(outputs[0].shape) != 2:
        raise ValueError(
            "`model` must be built, from pictures (B, H, W, C) to classes (B, K). "
            f"{received(model=model.name)}"
        )
    return tuple(inputs[0].shape[1:]), outputs[0].shape[1]


def _hint(x: np.ndarray, shape: tuple[int, ...]) -> str:
    if x.shape[1:] == shape[:2] and shape[2] == 1:
        return "; `x[..., None]` adds the axis of the channels"
    if x.ndim == 4 and (*x.shape[2:], x.shape[1]) == shape:
        return "; the channels stand first, `numpy.moveaxis(x, 1, -1)` puts them last"
    if x.shape == shape:
        return "; `x[None]` makes a batch of one picture"
    return ""
