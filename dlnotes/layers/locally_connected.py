"""A convolution whose weights are not shared."""

from typing import Any

import keras
from keras import ops

from dlnotes.validation import check_choice, check_int


@keras.saving.register_keras_serializable(package="dlnotes")
class LocallyConnected2D(keras.layers.Layer):
    """Look at pictures through windows, with other weights at each position.

    What `Conv2D` computes, if each position had filters of its own: the maps need the same number
    of multiplications, and as many times the weights as there are positions. (This layer spends
    more, on copying each window.) Keras had such a layer until version 2. Pictures are
    (B, H, W, C), maps (B, H', W', F).

    Args:
        filters: Number of filters F at each position, >= 1.
        kernel_size: Height and width of each filter, >= 1.
        strides: Pixels from one position to the next, >= 1.
        padding: "valid", or "same" for zeros around the picture.
        activation: Name of a Keras activation, or None.
        **kwargs: The arguments of every Keras layer, such as `name`.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a number is out of range, the padding unknown, or no window fits.

    References:
        LeCun, Generalization and network design strategies, University of Toronto, report
        CRG-TR-89-4 (1989): local connections with and without shared weights.

    Example:
        >>> layer = LocallyConnected2D(6, 5, padding="same")
        >>> layer(ops.zeros((1, 28, 28, 1))).shape, layer.count_params()
        (TensorShape([1, 28, 28, 6]), 122304)
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int,
        *,
        strides: int = 1,
        padding: str = "valid",
        activation: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.filters = check_int("filters", filters, low=1)
        self.kernel_size = check_int("kernel_size", kernel_size, low=1)
        self.strides = check_int("strides", strides, low=1)
        self.padding = check_choice("padding", padding, ("valid", "same"))
        self.activation = keras.activations.get(activation)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Create one kernel and one bias for each position."""
        _, rows, columns, filters = self.compute_output_shape(input_shape)
        window = self.kernel_size**2 * input_shape[-1]
        # Glorot's limit for one position: a kernel's fans would count the positions, too
        limit = (6 / (window + self.kernel_size**2 * filters)) ** 0.5
        self.kernel = self.add_weight(
            shape=(rows, columns, window, filters),
            initializer=keras.initializers.RandomUniform(-limit, limit),
            name="kernel",
        )
        self.bias = self.add_weight(
            shape=(rows, columns, filters), initializer="zeros", name="bias"
        )

    def call(self, pictures: Any) -> Any:
        """Return the maps."""
        # a convolution that copies each window: its gradient is faster than that of
        # `ops.image.extract_patches`
        size = self.kernel_size**2 * pictures.shape[-1]
        copy = ops.reshape(
            ops.eye(size, dtype=pictures.dtype),
            (self.kernel_size, self.kernel_size, pictures.shape[-1], size),
        )
        windows = ops.conv(  # (B, H', W', k·k·C)
            pictures, copy, self.strides, self.padding, data_format="channels_last"
        )
        maps = ops.einsum("bhwk,hwkf->bhwf", windows, ops.cast(self.kernel, windows.dtype))
        return self.activation(maps + ops.cast(self.bias, maps.dtype))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the shape of the maps, as `Conv2D` does."""
        like = keras.layers.Conv2D(
            self.filters,
            self.kernel_size,
            strides=self.strides,
            padding=self.padding,
            data_format="channels_last",
        )
        return like.compute_output_shape(input_shape)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments, as Keras saves them."""
        return super().get_config() | {
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "padding": self.padding,
            "activation": keras.activations.serialize(self.activation),
        }
