"""Checks of the arguments that all builders share, and the output layer of classifiers."""

from typing import Any

import keras

from dlnotes.validation import check_int, received


def check_positive_integers(name: str, values: Any) -> tuple[int, ...]:
    """Return a tuple or list of integers >= 1 as a tuple.

    Raises:
        TypeError: If it is not a tuple or list of integers.
        ValueError: If an integer is below 1.
    """
    message = f"`{name}` must be a tuple of positive integers. {received(**{name: values})}"
    if not isinstance(values, tuple | list):
        raise TypeError(message)
    try:
        return tuple(check_int(name, value, low=1) for value in values)
    except (TypeError, ValueError) as error:
        raise type(error)(message) from None


def check_input_shape(shape: Any, name: str = "input_shape") -> tuple[int, ...]:
    """Return the shape of one example as a tuple of integers >= 1; `name` is the argument's.

    Raises:
        TypeError: If it is not a tuple or list of integers.
        ValueError: If it is empty or a length is below 1.
    """
    lengths = check_positive_integers(name, shape)
    if not lengths:
        raise ValueError(f"`{name}` must have at least one axis. {received(**{name: shape})}")
    return lengths


def check_picture_shape(input_shape: Any, smallest: int, because: str) -> tuple[int, int, int]:
    """Return the shape of one picture, (height, width, channels), each side >= `smallest`.

    `because` says in the message why the network needs so many pixels.

    Raises:
        TypeError: If it is not a tuple or list of integers.
        ValueError: If it has other than three axes, the channels stand first, or it is too small.
    """
    shape = check_input_shape(input_shape)
    if len(shape) != 3:
        hint = f", for gray pictures {(*shape, 1)}" if len(shape) == 2 else ""
        raise ValueError(
            f"`input_shape` must be (height, width, channels){hint}. "
            f"{received(input_shape=input_shape)}"
        )
    height, width, channels = shape
    odd = height < smallest or width == channels  # else it may be a low map with many channels
    if height in (1, 3, 4) and min(width, channels) > 4 and odd:
        raise ValueError(
            "`input_shape` must have the channels last: (height, width, channels), here "
            f"{(width, channels, height)}; `numpy.moveaxis(x, 1, -1)` turns a batch. "
            f"{received(input_shape=input_shape)}"
        )
    if min(height, width) < smallest:
        raise ValueError(
            f"`input_shape` must be at least {smallest} x {smallest} pixels, since {because}. "
            f"{received(input_shape=input_shape)}"
        )
    return shape


def check_activation(name: str, activation: Any) -> str:
    """Return the name of a Keras activation function.

    Raises:
        TypeError: If it is not a text (functions cannot be reloaded safely).
        ValueError: If Keras knows no such activation.
    """
    if not isinstance(activation, str):
        raise TypeError(
            f"`{name}` must be the name of an activation. {received(**{name: activation})}"
        )
    try:
        keras.activations.get(activation)
    except ValueError as error:
        raise ValueError(
            f"`{name}` must be an activation that Keras knows. {received(**{name: activation})}"
        ) from error
    return activation


def check_model_name(name: Any) -> str:
    """Return the name of a model.

    Raises:
        TypeError: If it is not a text.
        ValueError: If it is empty.
    """
    if not isinstance(name, str):
        raise TypeError(f"`name` must be a text. {received(name=name)}")
    if not name:
        raise ValueError(f"`name` must not be empty. {received(name=name)}")
    return name


def output_layer(
    num_classes: int, activation: str | None = None, *, name: str = "output"
) -> keras.layers.Layer:
    """Return the layer that answers: one sigmoid unit for 1 class, K softmax units for K >= 2.

    It computes in the type of its weights, so in float32 under mixed_float16, where small
    probabilities would be rounded to 0. `activation` names another one, such as "linear".
    """
    if activation is None:
        activation = "sigmoid" if num_classes == 1 else "softmax"
    return keras.layers.Dense(
        num_classes,
        activation=activation,
        dtype=keras.config.dtype_policy().variable_dtype,
        name=name,
    )
