"""Wide and deep: some features straight to the output, others through hidden layers."""

from collections.abc import Sequence

import keras

from dlnotes.models.arguments import (
    check_activation,
    check_input_shape,
    check_model_name,
    check_positive_integers,
    output_layer,
)
from dlnotes.validation import check_flag, check_int, received


def build_wide_deep(
    wide_shape: Sequence[int],
    deep_shape: Sequence[int],
    num_classes: int,
    *,
    hidden_units: Sequence[int] = (32, 16),
    activation: str = "relu",
    output_activation: str | None = None,
    auxiliary_output: bool = False,
    name: str = "wide_deep",
) -> keras.Model:
    """Build a network with two inputs: one goes straight to the output, one through hidden layers.

    The output unit sees the wide features and the last hidden layer side by side, so its score is
    w_wide·x_wide + w_deep·a + b. Wide features are usually crosses (products of features) that a
    linear unit can memorise one by one; deep features are what similar rows have in common.

    Args:
        wide_shape: Shape of an example's wide features, such as ``(W,)``; more axes are flattened.
        deep_shape: Shape of its deep features, such as ``(D,)``; more axes are flattened.
        num_classes: 1 gives one sigmoid unit for a yes-or-no answer; K >= 2 gives K softmax units.
        hidden_units: Units of each hidden layer, at least one layer.
        activation: Name of a Keras activation for the hidden layers.
        output_activation: Name of another activation for the output, such as "linear" for
            regression; None chooses by `num_classes`.
        auxiliary_output: Whether the last hidden layer gets an output of its own, "auxiliary",
            which makes the deep part answer without the wide one.
        name: The model's name.

    Returns:
        An uncompiled model from ``[wide, deep]``, or a dict with these names, of shapes
        (B, *wide_shape) and (B, *deep_shape) to "output" of shape (B, num_classes), or to
        ``[output, auxiliary]`` of two such shapes.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a number is below 1, there is no hidden layer, or an activation is unknown.

    References:
        H.-T. Cheng et al., "Wide & deep learning for recommender systems" (2016), equation 3. They
        train the wide part by FTRL with L1 and the deep one by AdaGrad; here `compile` chooses.

    Example:
        >>> model = build_wide_deep((5,), (3,), 1, hidden_units=(4,))
        >>> model.count_params()  # 3·4 + 4 into the hidden layer, 5 + 4 + 1 into the output
        26
    """
    shapes = {"wide": check_input_shape(wide_shape, "wide_shape")}
    shapes["deep"] = check_input_shape(deep_shape, "deep_shape")
    num_classes = check_int("num_classes", num_classes, low=1)
    hidden_units = check_positive_integers("hidden_units", hidden_units)
    if not hidden_units:
        raise ValueError(
            f"`hidden_units` must name at least one layer. {received(hidden_units=hidden_units)}"
        )
    activation = check_activation("activation", activation)
    if output_activation is not None:
        output_activation = check_activation("output_activation", output_activation)
    auxiliary_output = check_flag("auxiliary_output", auxiliary_output)
    name = check_model_name(name)

    inputs = {part: keras.Input(shape, name=part) for part, shape in shapes.items()}
    wide, x = (
        keras.layers.Flatten(name=f"{part}_flatten")(rows) if len(rows.shape) > 2 else rows
        for part, rows in inputs.items()
    )
    for index, units in enumerate(hidden_units, start=1):
        x = keras.layers.Dense(units, activation=activation, name=f"hidden_{index}")(x)
    # Like the outputs in the type of the weights: a wide count above 65,504 has no float16.
    whole = keras.config.dtype_policy().variable_dtype
    both = keras.layers.Concatenate(dtype=whole, name="wide_and_deep")([wide, x])
    heads = {"output": both, "auxiliary": x} if auxiliary_output else {"output": both}
    kind = (num_classes, output_activation)
    outputs = [output_layer(*kind, name=head)(rows) for head, rows in heads.items()]
    outputs = outputs if auxiliary_output else outputs[0]
    return keras.Model(list(inputs.values()), outputs, name=name)
