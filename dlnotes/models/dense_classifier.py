"""The dense rival of a convolutional network, as large as a budget of parameters allows."""

from collections.abc import Sequence
from math import prod

import keras

from dlnotes.models.arguments import (
    check_activation,
    check_model_name,
    check_picture_shape,
    output_layer,
)
from dlnotes.models.blocks import LAST
from dlnotes.validation import check_float, check_int, received


def build_dense_classifier(
    input_shape: Sequence[int],
    num_classes: int,
    *,
    max_parameters: int = 61_706,
    hidden_layers: int = 1,
    dropout: float = 0.0,
    activation: str = "relu",
    name: str = "dense_classifier",
) -> keras.Model:
    """Build dense layers that classify pictures, as wide as a budget of parameters allows.

    For a fair comparison with a convolutional network: `build_mlp` takes the widths, this takes
    the number of parameters, and gives all hidden layers the largest equal width W with

        (D + 1)·W + (L − 1)·(W + 1)·W + (W + 1)·K  <=  max_parameters

    for D = height · width · channels inputs, L hidden layers and K outputs.

    Args:
        input_shape: Shape of one picture, ``(H, W, C)``: height, width, channels.
        num_classes: 1 gives one sigmoid unit for a yes-or-no answer; K >= 2 gives K softmax units.
        max_parameters: Most weights and biases of the network; by default those of the classic
            LeNet-5.
        hidden_layers: Number of hidden layers, 1 or more.
        dropout: Share of its inputs that the output layer does without in training, in [0, 1).
        activation: Name of a Keras activation for the hidden layers.
        name: The model's name.

    Returns:
        An uncompiled model from (B, H, W, C) to (B, num_classes). The output layer computes in the
        type of its weights: float32 under the mixed_float16 policy.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a number is out of range, the budget does not suffice for one unit a layer,
            the picture has its channels first, or the activation is unknown.

    Example:
        >>> model = build_dense_classifier((28, 28, 1), 10)
        >>> model.count_params(), model.get_layer("hidden_1").units
        (61225, 77)
    """
    input_shape = check_picture_shape(input_shape, 1, "it must not be empty")
    num_classes = check_int("num_classes", num_classes, low=1)
    max_parameters = check_int("max_parameters", max_parameters, low=1)
    hidden_layers = check_int("hidden_layers", hidden_layers, low=1)
    dropout = check_float("dropout", dropout, low=0, high=1, open_high=True)
    activation = check_activation("activation", activation)
    name = check_model_name(name)

    sizes = (prod(input_shape), num_classes, hidden_layers)
    smallest = _count(1, *sizes)
    if max_parameters < smallest:
        raise ValueError(
            f"`max_parameters` must be at least {smallest}, for one unit a layer. "
            f"{received(max_parameters=max_parameters, input_shape=input_shape)}"
        )
    width = 1
    while _count(width + 1, *sizes) <= max_parameters:
        width += 1
    inputs = keras.Input(input_shape, name="pixels")
    x = keras.layers.Flatten(name="flatten", **LAST)(inputs)
    for i in range(1, hidden_layers + 1):
        x = keras.layers.Dense(width, activation=activation, name=f"hidden_{i}")(x)
    if dropout:
        x = keras.layers.Dropout(dropout, name="dropout")(x)
    return keras.Model(inputs, output_layer(num_classes)(x), name=name)


def _count(width: int, num_inputs: int, num_outputs: int, hidden_layers: int) -> int:
    """Return the parameters of a dense network whose hidden layers all have `width` units."""
    inner = (hidden_layers - 1) * (width + 1) * width
    return (num_inputs + 1) * width + inner + (width + 1) * num_outputs
