"""Positions for layers that know of no order: added to the vectors of the tokens."""

import math
from typing import Any

import keras
from keras import ops

from dlnotes.validation import check_int, received


@keras.saving.register_keras_serializable(package="dlnotes")
class SinusoidalPositionEncoding(keras.layers.Layer):
    """Add sines and cosines of the position: waves of D/2 lengths, from 2π to 10,000 · 2π.

    For (B, T, D), T tokens of D features, feature 2i of position t gets sin(t / 10000^(2i/D)),
    feature 2i + 1 the cosine of the same. Nothing is learned, and no position is too large. The
    layer has no arguments but those of every Keras layer, such as `name`.

    Raises:
        ValueError: If D is odd.

    References:
        A. Vaswani et al., "Attention is all you need" (2017), section 3.5.

    Example:
        >>> SinusoidalPositionEncoding()(ops.zeros((1, 2, 2)))[0].numpy().round(2).tolist()
        [[0.0, 1.0], [0.8399999737739563, 0.5400000214576721]]
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        """Compute the waves' speeds."""
        width = input_shape[-1]
        if width % 2:
            raise ValueError(
                "`inputs` must have an even number of features. "
                f"Received: inputs.shape={tuple(input_shape)}"
            )
        pairs = [10_000.0 ** (-i / width) for i in range(0, width, 2)]
        self._speeds = [speed for speed in pairs for _ in range(2)]
        self._shifts = [0.0, math.pi / 2] * len(pairs)  # a cosine is a sine, moved

    def call(self, inputs: Any, start: Any = 0) -> Any:
        """Return the inputs (B, T, D) with the encodings of positions `start` to start + T − 1."""
        places = ops.cast(start + ops.arange(ops.shape(inputs)[1]), "float32")
        angles = places[:, None] * ops.array(self._speeds) + ops.array(self._shifts)
        return inputs + ops.cast(ops.sin(angles), inputs.dtype)

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        """Return the shape of the inputs."""
        return tuple(input_shape)


@keras.saving.register_keras_serializable(package="dlnotes")
class LearnedPositionEmbedding(keras.layers.Layer):
    """Add a learned vector for each position, from a table of `max_length` rows.

    Args:
        max_length: Number of positions, >= 1.
        **kwargs: The arguments of every Keras layer, such as `name`.

    Raises:
        TypeError: If `max_length` is not a whole number.
        ValueError: If it is below 1, or a sequence is longer.

    References:
        J. Gehring et al., "Convolutional sequence to sequence learning" (2017), section 3.1; A.
        Vaswani et al. (2017), section 3.5 and row E of table 3.

    Example:
        >>> LearnedPositionEmbedding(10)(ops.zeros((1, 2, 4))).shape
        TensorShape([1, 2, 4])
    """

    def __init__(self, max_length: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True
        self.max_length = check_int("max_length", max_length, low=1)

    def build(self, input_shape: Any) -> None:
        """Create the table, (max_length, D)."""
        self.table = self.add_weight(
            shape=(self.max_length, input_shape[-1]),
            initializer=keras.initializers.RandomNormal(stddev=0.02),
            name="table",
        )

    def call(self, inputs: Any, start: Any = 0) -> Any:
        """Return the inputs (B, T, D) with the vectors of positions `start` to start + T − 1.

        Raises:
            ValueError: If the positions go beyond the table. Where the length is not known until
                the step is run, the backend refuses the slice in its own words.
        """
        length, (_, width) = inputs.shape[1], self.table.shape
        if isinstance(start, int) and length is not None and start + length > self.max_length:
            raise ValueError(
                f"`inputs` must end within the {self.max_length} positions of the table. "
                f"{received(start=start, length=length)}"
            )
        rows = ops.slice(self.table, (start, 0), (ops.shape(inputs)[1], width))
        return inputs + ops.cast(rows, inputs.dtype)

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        """Return the shape of the inputs."""
        return tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments, as Keras saves them."""
        return super().get_config() | {"max_length": self.max_length}
