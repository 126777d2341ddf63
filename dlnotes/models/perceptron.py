"""The perceptron: one neuron."""

from collections.abc import Sequence

import keras

from dlnotes.models.arguments import (
    check_activation,
    check_input_shape,
    check_model_name,
    output_layer,
)
from dlnotes.validation import received


def build_perceptron(
    input_shape: Sequence[int], *, activation: str = "sigmoid", name: str = "perceptron"
) -> keras.Model:
    """Build one neuron, y = φ(w·x + b), for D features.

    Args:
        input_shape: ``(D,)``.
        activation: Name of a Keras activation; "linear" gives the bare score.
        name: The model's name.

    Returns:
        An uncompiled model from (B, D) to (B, 1), in float32 under the mixed_float16 policy, too.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If the shape is not (D,) or the activation is unknown.

    Example:
        >>> build_perceptron((2,)).count_params()
        3
    """
    input_shape = check_input_shape(input_shape)
    if len(input_shape) != 1:
        raise ValueError(f"`input_shape` must be (features,). {received(input_shape=input_shape)}")
    activation = check_activation("activation", activation)
    name = check_model_name(name)

    inputs = keras.Input(input_shape, name="features")
    outputs = output_layer(1, activation, name="neuron")(inputs)
    return keras.Model(inputs, outputs, name=name)
