"""LeNet-5, the convolutional network that read cheques."""

from collections.abc import Sequence

import keras

from dlnotes.models.arguments import (
    check_activation,
    check_model_name,
    check_picture_shape,
    output_layer,
)
from dlnotes.models.blocks import LAST, pooling_layer
from dlnotes.validation import check_int


def build_lenet5(
    input_shape: Sequence[int],
    num_classes: int,
    *,
    activation: str = "tanh",
    pooling: str = "average",
    name: str = "lenet5",
) -> keras.Model:
    """Build LeNet-5: two convolutions with pooling, then three dense layers.

    ======== =========================== ==================== ===================================
    layer    what                        of (28, 28, 1) makes parameters
    ======== =========================== ==================== ===================================
    conv_1   6 filters 5 x 5, zeros at   28 x 28 x 6          156
             the border
    pool_1   2 x 2                       14 x 14 x 6          0
    conv_2   16 filters 5 x 5            10 x 10 x 16         2,416
    pool_2   2 x 2                       5 x 5 x 16           0
    dense_1  120 units                   120                  48,120
    dense_2  84 units                    84                   10,164
    output   10 units                    10                   850
    ======== =========================== ==================== ===================================

    The paper's network differs in some details, among them: pictures of 32 x 32 pixels with an
    empty border instead of the zeros of conv_1; a stretched tanh; pooling layers with a factor and
    a bias to learn; a conv_2 whose filters see 3 to 6 of the 6 maps (1,516 parameters); and an
    output of distances to drawn patterns instead of softmax. Its 120 units are a convolution, the
    same as dense on a 5 x 5 map.

    Args:
        input_shape: Shape of one picture, ``(H, W, C)``: height, width, channels. H and W must be
            at least 12.
        num_classes: 1 gives one sigmoid unit for a yes-or-no answer; K >= 2 gives K softmax units.
        activation: Name of a Keras activation for all layers but the last: "tanh" as in 1998, or
            "relu".
        pooling: "average" as in 1998, or "max".
        name: The model's name.

    Returns:
        An uncompiled model from (B, H, W, C) to (B, num_classes). The output layer computes in the
        type of its weights: float32 under the mixed_float16 policy.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a number is out of range, the picture is too small or has its channels
            first, or a name is unknown.

    References:
        LeCun, Bottou, Bengio, Haffner, Gradient-based learning applied to document recognition,
        Proceedings of the IEEE 86 (1998), section II.B and figure 2.

    Example:
        >>> build_lenet5((28, 28, 1), 10).count_params()
        61706
    """
    smaller = "pooling and the second convolution leave nothing of a smaller one"
    input_shape = check_picture_shape(input_shape, 12, smaller)
    num_classes = check_int("num_classes", num_classes, low=1)
    activation = check_activation("activation", activation)
    name = check_model_name(name)

    inputs = x = keras.Input(input_shape, name="pixels")
    for i, (filters, padding) in enumerate(((6, "same"), (16, "valid")), start=1):
        look = {"padding": padding, "activation": activation}
        x = keras.layers.Conv2D(filters, 5, name=f"conv_{i}", **look, **LAST)(x)
        x = pooling_layer(pooling, f"pool_{i}")(x)
    x = keras.layers.Flatten(name="flatten", **LAST)(x)
    for i, units in enumerate((120, 84), start=1):
        x = keras.layers.Dense(units, activation=activation, name=f"dense_{i}")(x)
    return keras.Model(inputs, output_layer(num_classes)(x), name=name)
