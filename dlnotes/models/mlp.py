"""The multilayer perceptron: dense layers in a row."""

from collections.abc import Sequence

import keras

from dlnotes.models.arguments import (
    check_activation,
    check_input_shape,
    check_model_name,
    check_positive_integers,
    output_layer,
)
from dlnotes.validation import check_int


def build_mlp(
    input_shape: Sequence[int],
    num_classes: int,
    *,
    hidden_units: Sequence[int] = (64, 64),
    activation: str = "relu",
    output_activation: str | None = None,
    name: str = "mlp",
) -> keras.Model:
    """Build a stack of dense layers that classifies.

    Args:
        input_shape: Shape of one example, such as ``(D,)``; more axes are flattened first.
        num_classes: 1 gives one sigmoid unit for a yes-or-no answer; K >= 2 gives K softmax units.
        hidden_units: Units of each hidden layer; ``()`` leaves inputs and outputs only.
        activation: Name of a Keras activation for the hidden layers.
        output_activation: Name of another activation for the output, such as "linear" for scores
            or for regression; None chooses by `num_classes`.
        name: The model's name.

    Returns:
        An uncompiled model from (B, *input_shape) to (B, num_classes). The output layer computes
        in the type of its weights, also under a mixed policy.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a number is below 1 or an activation is unknown.

    Example:
        >>> build_mlp((3,), 2, hidden_units=(4,)).count_params()
        26
    """
    input_shape = check_input_shape(input_shape)
    num_classes = check_int("num_classes", num_classes, low=1)
    hidden_units = check_positive_integers("hidden_units", hidden_units)
    activation = check_activation("activation", activation)
    if output_activation is not None:
        output_activation = check_activation("output_activation", output_activation)
    name = check_model_name(name)

    inputs = keras.Input(input_shape, name="features")
    x = keras.layers.Flatten(name="flatten")(inputs) if len(input_shape) > 1 else inputs
    for index, units in enumerate(hidden_units, start=1):
        x = keras.layers.Dense(units, activation=activation, name=f"hidden_{index}")(x)
    return keras.Model(inputs, output_layer(num_classes, output_activation)(x), name=name)
