"""Layers that the convolutional builders share."""

from typing import Any

import keras

from dlnotes.validation import check_choice, check_float

LAST = {"data_format": "channels_last"}  # whatever the user's keras.json says
POOLINGS = ("max", "average")
HEADS = ("flatten", "global_average", "global_max")


def check_momentum(momentum: Any) -> float:
    """Return the share of the old that batch normalization's moving averages keep, in [0, 1).

    Raises:
        TypeError: If it is not a number.
        ValueError: If it is out of range.
    """
    return check_float("momentum", momentum, low=0, high=1, open_high=True)


def pooling_layer(pooling: str, name: str) -> keras.layers.Layer:
    """Return the layer that halves height and width; an odd last row or column is dropped."""
    check_choice("pooling", pooling, POOLINGS)
    layers = keras.layers
    layer = layers.MaxPooling2D if pooling == "max" else layers.AveragePooling2D
    return layer(2, name=name, **LAST)


def head_layer(head: str) -> keras.layers.Layer:
    """Return the layer that makes one row of numbers of each picture's feature maps.

    "flatten" keeps every position, "global_average" and "global_max" one number a channel.
    """
    check_choice("head", head, HEADS)
    if head == "flatten":
        return keras.layers.Flatten(name=head, **LAST)
    average = head == "global_average"
    layer = keras.layers.GlobalAveragePooling2D if average else keras.layers.GlobalMaxPooling2D
    return layer(name=head, **LAST)


def convolution(
    x: Any,
    filters: int,
    kernel_size: int,
    suffix: str,
    *,
    strides: int = 1,
    momentum: float | None = None,
    activation: str | None = None,
) -> Any:
    """Return `x` after a convolution with zeros at the border, a normalization, an activation.

    `momentum` None leaves the normalization out; with it the convolution has no bias, which it
    would take away again. `activation` None leaves the activation out. The layers are called
    conv, norm and activation, with `suffix`.
    """
    x = keras.layers.Conv2D(
        filters,
        kernel_size,
        strides=strides,
        padding="same",
        use_bias=momentum is None,
        name=f"conv_{suffix}",
        **LAST,
    )(x)
    if momentum is not None:
        x = keras.layers.BatchNormalization(momentum=momentum, name=f"norm_{suffix}")(x)
    if activation is not None:
        x = keras.layers.Activation(activation, name=f"activation_{suffix}")(x)
    return x
