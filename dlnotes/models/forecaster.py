"""Networks that foretell the next values of a series from a window of past ones."""

from typing import Any

import keras

from dlnotes.layers import ShiftedConv1D
from dlnotes.models.arguments import (
    check_model_name,
    check_positive_integers,
    output_layer,
)
from dlnotes.validation import check_choice, check_int, received

KINDS = ("linear", "dense", "conv", "tcn", "lstm", "gru")
CELLS = {"lstm": keras.layers.LSTM, "gru": keras.layers.GRU}


def build_forecaster(
    input_shape: tuple[int, int],
    horizon: int,
    *,
    kind: str = "dense",
    units: int = 32,
    num_layers: int = 2,
    kernel_size: int = 3,
    name: str = "forecaster",
) -> keras.Model:
    """Build a network from a window of past values to all values of a horizon at once.

    The output is linear and has no bounds. "linear" is an autoregression with one set of weights
    for each step of the horizon. "tcn" is a temporal convolutional network: blocks of two causal
    convolutions with the dilations 1, 2, 4, … and a shortcut, read at the last step; its dropout
    and weight normalization are left out. It ignores steps further back than
    `tcn_receptive_field` says: by default it sees 13.

    Args:
        input_shape: (window, channels): steps looked at, and numbers a step.
        horizon: H, steps foretold, >= 1.
        kind: "linear", "dense", "conv" (unpadded convolutions, then a flat row), "tcn", "lstm" or
            "gru".
        units: Units, filters or length of the state of each layer; not for "linear".
        num_layers: Hidden layers, convolutions, blocks or recurrent layers; not for "linear".
        kernel_size: Steps that a convolution sees, for "conv" and "tcn".
        name: The model's name.

    Returns:
        An uncompiled model from (B, window, channels) to (B, H). The output layer computes in the
        type of its weights: float32 under the mixed_float16 policy.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a number is out of range, the kind is unknown, or the window is too short
            for unpadded convolutions.

    References:
        S. Bai, J. Z. Kolter and V. Koltun, An empirical evaluation of generic convolutional and
        recurrent networks for sequence modeling (2018), section 3 and figure 1.

    Example:
        >>> build_forecaster((24, 1), 12, kind="linear").count_params()
        300
    """
    window, _ = shape = check_window_shape(input_shape)
    horizon = check_int("horizon", horizon, low=1)
    check_choice("kind", kind, KINDS)
    units, num_layers = check_int("units", units, low=1), check_int("num_layers", num_layers, low=1)
    kernel_size = check_int("kernel_size", kernel_size, low=1)
    name = check_model_name(name)

    if kind == "conv":
        check_steps_left(window, kernel_size, num_layers)
    inputs = x = keras.Input(shape, name="window")
    if kind in ("linear", "dense"):
        x = keras.layers.Flatten(name="flatten")(x)
    for i in range(1, num_layers + 1 if kind != "linear" else 1):
        if kind == "dense":
            x = keras.layers.Dense(units, activation="relu", name=f"dense_{i}")(x)
        elif kind == "conv":
            x = ShiftedConv1D(units, kernel_size, activation="relu", name=f"conv_{i}")(x)
        elif kind == "tcn":
            x = causal_block(x, units, kernel_size, 2 ** (i - 1), f"block_{i}")
        else:
            x = CELLS[kind](units, return_sequences=i < num_layers, name=f"{kind}_{i}")(x)
    if kind == "tcn":
        x = keras.layers.Cropping1D((window - 1, 0), name="last_step")(x)
    if kind in ("conv", "tcn"):
        x = keras.layers.Flatten(name="flatten")(x)
    return keras.Model(inputs, output_layer(horizon, "linear")(x), name=name)


def causal_block(x: Any, filters: int, kernel_size: int, dilation: int, name: str) -> Any:
    """Return `x`, (B, T, C), after two causal convolutions with a shortcut: (B, T, filters).

    Step t of the answer depends on the steps t, t - d, …, t - 2(k - 1)d of `x` and on no later
    one, with the kernel size k and the dilation d. The shortcut is a 1×1 convolution if the
    number of channels changes.

    Args:
        x: A Keras tensor of shape (B, T, C).
        filters: Channels of the answer.
        kernel_size: k.
        dilation: d, how far apart the steps of a convolution lie.
        name: Begins the names of the layers.
    """
    shortcut = x
    if x.shape[-1] != filters:
        shortcut = ShiftedConv1D(filters, 1, name=f"{name}_shortcut")(x)
    steps = {"padding": "causal", "dilation_rate": dilation, "activation": "relu"}
    for half in ("a", "b"):
        x = ShiftedConv1D(filters, kernel_size, **steps, name=f"{name}_conv_{half}")(x)
    x = keras.layers.Add(name=f"{name}_add")([x, shortcut])
    return keras.layers.Activation("relu", name=name)(x)


def tcn_receptive_field(kernel_size: int, num_layers: int) -> int:
    """Return how many last steps of the window the kind "tcn" sees: 1 + 2(k - 1)(2^L - 1).

    Args:
        kernel_size: k, >= 1.
        num_layers: L blocks, >= 1, of two convolutions each, with the dilations 1, 2, …, 2^(L-1).

    Raises:
        TypeError: If an argument is not an integer.
        ValueError: If one is below 1.

    Example:
        >>> tcn_receptive_field(3, 3)
        29
    """
    kernel_size = check_int("kernel_size", kernel_size, low=1)
    return 1 + 2 * (kernel_size - 1) * (2 ** check_int("num_layers", num_layers, low=1) - 1)


def check_window_shape(input_shape: Any) -> tuple[int, int]:
    """Return the shape of a window, (steps, channels).

    Raises:
        TypeError: If it is not a tuple or list of integers.
        ValueError: If it has other than two axes, or a length below 1.
    """
    shape = check_positive_integers("input_shape", input_shape)
    if len(shape) != 2:
        hint = f", for one number a step {(*shape, 1)}" if len(shape) == 1 else ""
        raise ValueError(
            f"`input_shape` must be (window, channels){hint}. {received(input_shape=input_shape)}"
        )
    return shape


def check_steps_left(window: int, kernel_size: int, num_layers: int) -> None:
    """Require that unpadded convolutions leave at least one step of the window.

    Raises:
        ValueError: If they do not.
    """
    least = 1 + num_layers * (kernel_size - 1)
    if window < least:
        raise ValueError(
            f"`input_shape` must have a window of at least {least} steps for these convolutions. "
            f"{received(window=window, kernel_size=kernel_size, num_layers=num_layers)}"
        )
