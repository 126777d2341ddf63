"""A small convolutional network for pictures."""

from collections.abc import Sequence

import keras

from dlnotes.models.arguments import (
    check_activation,
    check_flag,
    check_input_shape,
    check_model_name,
    check_positive_integers,
    output_layer,
)
from dlnotes.validation import check_float, check_int, received


def build_small_cnn(
    input_shape: Sequence[int],
    num_classes: int,
    *,
    filters: Sequence[int] = (16, 32),
    kernel_size: int = 3,
    dense_units: int = 64,
    dropout: float = 0.0,
    activation: str = "relu",
    batch_normalization: bool = False,
    name: str = "small_cnn",
) -> keras.Model:
    """Build a convolutional network that classifies pictures.

    For each entry of `filters` a block: convolution of unchanged height and width, batch
    normalization if wanted, activation, and max pooling that halves height and width (an odd last
    row or column is dropped). Then a dense layer and the output.

    Args:
        input_shape: Shape of one picture, ``(H, W, C)``: height, width, channels. H and W must be
            at least ``2 ** len(filters)``.
        num_classes: 1 gives one sigmoid unit for a yes-or-no answer; K >= 2 gives K softmax units.
        filters: Number of filters in each block, one block or more.
        kernel_size: Height and width of each filter.
        dense_units: Units of the dense layer before the output; 0 leaves it out.
        dropout: Share of its inputs that the output layer does without in training, in [0, 1).
        activation: Name of a Keras activation for the blocks and the dense layer.
        batch_normalization: Whether each block normalizes before its activation; its convolution
            then has no bias, which the normalization would take away again.
        name: The model's name.

    Returns:
        An uncompiled model from (B, H, W, C) to (B, num_classes). The output layer computes in the
        type of its weights: float32 under the mixed_float16 policy.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a number is out of range, the picture is too small for the blocks or has its
            channels first, or the activation is unknown.

    Example:
        >>> build_small_cnn((28, 28, 1), 10).count_params()
        105866
    """
    filters = check_positive_integers("filters", filters)
    input_shape = _check_picture_shape(input_shape, filters)
    num_classes = check_int("num_classes", num_classes, low=1)
    kernel_size = check_int("kernel_size", kernel_size, low=1)
    dense_units = check_int("dense_units", dense_units, low=0)
    dropout = check_float("dropout", dropout, low=0, high=1, open_high=True)
    activation = check_activation("activation", activation)
    normalized = check_flag("batch_normalization", batch_normalization)
    name = check_model_name(name)

    last = {"data_format": "channels_last"}  # whatever the user's keras.json says
    inputs = x = keras.Input(input_shape, name="pixels")
    for i, count in enumerate(filters, start=1):
        x = keras.layers.Conv2D(
            count, kernel_size, padding="same", use_bias=not normalized, name=f"conv_{i}", **last
        )(x)
        if normalized:
            x = keras.layers.BatchNormalization(name=f"norm_{i}")(x)
        x = keras.layers.Activation(activation, name=f"activation_{i}")(x)
        x = keras.layers.MaxPooling2D(2, name=f"pool_{i}", **last)(x)
    x = keras.layers.Flatten(name="flatten", **last)(x)
    if dense_units:
        x = keras.layers.Dense(dense_units, activation=activation, name="dense")(x)
    if dropout:
        x = keras.layers.Dropout(dropout, name="dropout")(x)
    return keras.Model(inputs, output_layer(num_classes)(x), name=name)


def _check_picture_shape(input_shape: Sequence[int], filters: tuple[int, ...]) -> tuple[int, ...]:
    shape = check_input_shape(input_shape)
    if len(shape) != 3:
        hint = f", for gray pictures {(*shape, 1)}" if len(shape) == 2 else ""
        raise ValueError(
            f"`input_shape` must be (height, width, channels){hint}. "
            f"{received(input_shape=input_shape)}"
        )
    height, width, channels = shape
    if height in (1, 3, 4) and min(width, channels) > 4:
        raise ValueError(
            "`input_shape` must have the channels last: (height, width, channels), here "
            f"{(width, channels, height)}; `numpy.moveaxis(x, 1, -1)` turns a batch. "
            f"{received(input_shape=input_shape)}"
        )
    if not filters:
        raise ValueError(f"`filters` must hold at least one number. {received(filters=filters)}")
    smallest = 2 ** len(filters)
    if min(height, width) < smallest:
        raise ValueError(
            f"`input_shape` must be at least {smallest} x {smallest} pixels, since each of the "
            f"{len(filters)} blocks in `filters` halves height and width. "
            f"{received(input_shape=input_shape, filters=filters)}"
        )
    return shape
