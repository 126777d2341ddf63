"""A small convolutional network for pictures."""

from collections.abc import Sequence

import keras

from dlnotes.models.arguments import (
    check_activation,
    check_model_name,
    check_picture_shape,
    check_positive_integers,
    output_layer,
)
from dlnotes.models.blocks import HEADS, check_momentum, convolution, head_layer, pooling_layer
from dlnotes.validation import check_choice, check_flag, check_float, check_int, received


def build_small_cnn(
    input_shape: Sequence[int],
    num_classes: int,
    *,
    filters: Sequence[int] = (16, 32),
    kernel_size: int = 3,
    pooling: str = "max",
    head: str = "flatten",
    dense_units: int = 64,
    dropout: float = 0.0,
    activation: str = "relu",
    batch_normalization: bool = False,
    momentum: float = 0.99,
    name: str = "small_cnn",
) -> keras.Model:
    """Build a convolutional network that classifies pictures.

    For each entry of `filters` a block: convolution of unchanged height and width, batch
    normalization if wanted, activation, and pooling that halves height and width (an odd last
    row or column is dropped). Then the head, a dense layer and the output.

    Args:
        input_shape: Shape of one picture, ``(H, W, C)``: height, width, channels. H and W must be
            at least ``2 ** len(filters)``.
        num_classes: 1 gives one sigmoid unit for a yes-or-no answer; K >= 2 gives K softmax units.
        filters: Number of filters in each block, one block or more.
        kernel_size: Height and width of each filter.
        pooling: "max" or "average": what each block keeps of 2 x 2 numbers.
        head: How the last maps become one row of numbers: "flatten" keeps each position,
            "global_average" and "global_max" keep one number a filter, wherever it comes from.
        dense_units: Units of the dense layer before the output; 0 leaves it out.
        dropout: Share of its inputs that the output layer does without in training, in [0, 1).
        activation: Name of a Keras activation for the blocks and the dense layer.
        batch_normalization: Whether each block normalizes before its activation; its convolution
            then has no bias, which the normalization would take away again.
        momentum: Share of the old value that the moving averages of batch normalization keep at
            each step, in [0, 1). With 0.99 they follow after some hundreds of steps: choose 0.9
            for a training that has no more than that.
        name: The model's name.

    Returns:
        An uncompiled model from (B, H, W, C) to (B, num_classes). The output layer computes in the
        type of its weights: float32 under the mixed_float16 policy.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a number is out of range, the picture is too small for the blocks or has its
            channels first, or a name is unknown.

    Example:
        >>> build_small_cnn((28, 28, 1), 10).count_params()
        105866
        >>> build_small_cnn((28, 28, 1), 10, head="global_average").count_params()
        7562
    """
    filters = check_positive_integers("filters", filters)
    if not filters:
        raise ValueError(f"`filters` must hold at least one number. {received(filters=filters)}")
    halved = f"each of the {len(filters)} blocks in `filters` halves height and width"
    input_shape = check_picture_shape(input_shape, 2 ** len(filters), halved)
    num_classes = check_int("num_classes", num_classes, low=1)
    kernel_size = check_int("kernel_size", kernel_size, low=1)
    head = check_choice("head", head, HEADS)
    dense_units = check_int("dense_units", dense_units, low=0)
    dropout = check_float("dropout", dropout, low=0, high=1, open_high=True)
    activation = check_activation("activation", activation)
    momentum = check_momentum(momentum)
    if not check_flag("batch_normalization", batch_normalization):
        momentum = None
    name = check_model_name(name)

    inputs = x = keras.Input(input_shape, name="pixels")
    for i, count in enumerate(filters, start=1):
        x = convolution(x, count, kernel_size, str(i), momentum=momentum, activation=activation)
        x = pooling_layer(pooling, f"pool_{i}")(x)
    x = head_layer(head)(x)
    if dense_units:
        x = keras.layers.Dense(dense_units, activation=activation, name="dense")(x)
    if dropout:
        x = keras.layers.Dropout(dropout, name="dropout")(x)
    return keras.Model(inputs, output_layer(num_classes)(x), name=name)
