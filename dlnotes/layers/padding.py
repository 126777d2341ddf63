"""What recurrent layers must know about padded rows of tokens."""

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="dlnotes")
class PaddingLast(keras.layers.Layer):
    """Move the padding (token 0) to the end of each row, and say where it begins.

    The fast GPU kernels of recurrent layers know padding at the end only, and no row without
    tokens. From whole numbers of shape (B, T), B rows of T tokens each, the layer makes

    - the tokens, (B, T): in each row those that are not 0, in their order, then the 0s;
    - the mask for recurrent layers, (B, T): True up to the last token. In a row without tokens it
      is True for the first step, and what a recurrent layer says then is to be thrown away:
    - a factor for the last states, (B, 1): 0.0 in a row without tokens, 1.0 in all others.

    It has no weights, and no arguments but those of every Keras layer, such as `name`.

    Example:
        >>> tokens, mask, factor = PaddingLast()(ops.array([[0, 7, 0, 5], [0, 0, 0, 0]]))
        >>> tokens.numpy().tolist()
        [[7, 5, 0, 0], [0, 0, 0, 0]]
        >>> mask.numpy().astype(int).tolist(), factor.numpy().tolist()
        ([[1, 1, 0, 0], [1, 0, 0, 0]], [[1.0], [0.0]])
    """

    def call(self, tokens: Any) -> tuple[Any, Any, Any]:
        """Return the tokens, the mask and the factor."""
        is_token = ops.not_equal(tokens, 0)
        lengths = ops.sum(ops.cast(is_token, "int32"), axis=1, keepdims=True)
        steps = ops.cumsum(ops.ones_like(tokens, dtype="int32"), axis=1)  # 1 to T in each row
        # all different, so that sorting cannot change the order of the tokens
        places = ops.where(is_token, steps, steps + 2**30)
        tokens = ops.take_along_axis(tokens, ops.argsort(places, axis=1), axis=1)
        mask = ops.less_equal(steps, ops.maximum(lengths, 1))
        return tokens, mask, ops.cast(ops.greater(lengths, 0), self.compute_dtype)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[Any, ...]:
        """Return the shapes of the tokens, the mask and the factor."""
        return tuple(input_shape), tuple(input_shape), (input_shape[0], 1)

    def compute_output_spec(self, tokens: keras.KerasTensor) -> tuple[keras.KerasTensor, ...]:
        """Return shapes and types of the tokens, the mask and the factor."""
        types = (tokens.dtype, "bool", self.compute_dtype)
        shapes = self.compute_output_shape(tokens.shape)
        return tuple(keras.KerasTensor(s, dtype=t) for s, t in zip(shapes, types, strict=True))
