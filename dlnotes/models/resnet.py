"""A small residual network: blocks that add to what they were given."""

from collections.abc import Sequence
from typing import Any

import keras

from dlnotes.models.arguments import (
    check_activation,
    check_model_name,
    check_picture_shape,
    check_positive_integers,
    output_layer,
)
from dlnotes.models.blocks import check_momentum, convolution, head_layer
from dlnotes.validation import check_flag, check_int, received


def build_small_resnet(
    input_shape: Sequence[int],
    num_classes: int,
    *,
    filters: Sequence[int] = (16, 32, 64),
    blocks: int = 1,
    skip_connections: bool = True,
    activation: str = "relu",
    batch_normalization: bool = True,
    momentum: float = 0.99,
    name: str = "small_resnet",
) -> keras.Model:
    """Build a residual network that classifies pictures.

    A convolution, then stages of blocks, then global average pooling and the output. A block
    computes activation(x + f(x)), where f is convolution, normalization, activation, convolution,
    normalization. Each stage after the first begins with stride 2, which halves height and width
    (rounded up); there x goes through a 1 x 1 convolution to get the new shape. With S stages of N
    blocks the longest way has 2·S·N + 2 layers of weights.

    Args:
        input_shape: Shape of one picture, ``(H, W, C)``: height, width, channels. H and W must be
            at least ``2 ** (len(filters) - 1)``.
        num_classes: 1 gives one sigmoid unit for a yes-or-no answer; K >= 2 gives K softmax units.
        filters: Number of filters in each stage, one stage or more.
        blocks: Blocks in each stage.
        skip_connections: Whether x is added; without it each block computes activation(f(x)).
        activation: Name of a Keras activation.
        batch_normalization: Whether each convolution is normalized; it then has no bias.
        momentum: Share of the old value that the moving averages of batch normalization keep at
            each step, in [0, 1); 0.9 for a training of some hundred steps.
        name: The model's name.

    Returns:
        An uncompiled model from (B, H, W, C) to (B, num_classes). The output layer computes in the
        type of its weights: float32 under the mixed_float16 policy.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a number is out of range, the picture is too small or has its channels
            first, or the activation is unknown.

    References:
        He, Zhang, Ren, Sun, Deep residual learning for image recognition, CVPR (2016), section 4.2
        (its networks for CIFAR-10), with the projections of section 3.3, option B.

    Example:
        >>> build_small_resnet((28, 28, 1), 10).count_params()
        78426
    """
    filters = check_positive_integers("filters", filters)
    if not filters:
        raise ValueError(f"`filters` must hold at least one number. {received(filters=filters)}")
    halved = f"each of the {len(filters)} stages in `filters` but the first halves both sides"
    input_shape = check_picture_shape(input_shape, 2 ** (len(filters) - 1), halved)
    num_classes = check_int("num_classes", num_classes, low=1)
    blocks = check_int("blocks", blocks, low=1)
    skip = check_flag("skip_connections", skip_connections)
    activation = check_activation("activation", activation)
    momentum = check_momentum(momentum)
    if not check_flag("batch_normalization", batch_normalization):
        momentum = None
    name = check_model_name(name)

    inputs = keras.Input(input_shape, name="pixels")
    x = convolution(inputs, filters[0], 3, "0", momentum=momentum, activation=activation)
    for stage, count in enumerate(filters, start=1):
        for block in range(1, blocks + 1):
            strides = 2 if stage > 1 and block == 1 else 1
            x = _block(x, count, f"{stage}_{block}", strides, skip, activation, momentum)
    return keras.Model(
        inputs, output_layer(num_classes)(head_layer("global_average")(x)), name=name
    )


def _block(
    x: Any,
    filters: int,
    place: str,
    strides: int,
    skip: bool,
    activation: str,
    momentum: float | None,
) -> Any:
    """Return activation(x + f(x)); without `skip` activation(f(x))."""
    change = convolution(
        x, filters, 3, f"{place}a", strides=strides, momentum=momentum, activation=activation
    )
    change = convolution(change, filters, 3, f"{place}b", momentum=momentum)
    if skip:
        if strides > 1:
            x = convolution(x, filters, 1, f"{place}_skip", strides=strides, momentum=momentum)
        change = keras.layers.Add(name=f"add_{place}")([x, change])
    return keras.layers.Activation(activation, name=f"activation_{place}")(change)
