"""What layers over tokens must know about padding that stands where it stands."""

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="dlnotes")
class KeepTokens(keras.layers.Layer):
    """Set to zero what was computed at places of padding (token 0).

    Letters: B rows, T tokens, D numbers a token. After it, a convolution sees beyond a text's end
    what it sees beyond its own border, zeros; and a maximum of numbers >= 0 over the places is
    one over the tokens alone. It has no weights.

    Call arguments:
        x: Numbers, (B, T, D).
        tokens: Whole numbers, (B, T); 0 is padding.

    Example:
        >>> KeepTokens()(ops.ones((1, 3, 2)), ops.array([[7, 5, 0]])).numpy().tolist()
        [[[1.0, 1.0], [1.0, 1.0], [0.0, 0.0]]]
    """

    def call(self, x: Any, tokens: Any) -> Any:
        """Return x with zeros at places of padding."""
        return x * ops.cast(ops.not_equal(tokens, 0), x.dtype)[..., None]

    def compute_output_shape(
        self, x_shape: tuple[int | None, ...], tokens_shape: tuple[int | None, ...]
    ) -> tuple[int | None, ...]:
        """Return the shape of x."""
        return tuple(x_shape)


@keras.saving.register_keras_serializable(package="dlnotes")
class BackInPlace(keras.layers.Layer):
    """Undo for states what `PaddingLast` did to tokens: put each where its token stood.

    Letters: B rows, T tokens, D numbers a state. Places of padding get zeros. It has no weights.

    Call arguments:
        states: One state for each token of a row, in their order, at its beginning, (B, T, D).
        tokens: The tokens as they came, (B, T); 0 is padding.

    Example:
        >>> BackInPlace()(ops.array([[[1.0], [2.0], [9.0]]]), ops.array([[0, 7, 5]])).numpy()
        array([[[0.],
                [1.],
                [2.]]], dtype=float32)
    """

    def call(self, states: Any, tokens: Any) -> Any:
        """Return the states at their tokens' places."""
        is_token = ops.cast(ops.not_equal(tokens, 0), "int32")
        place = ops.maximum(ops.cumsum(is_token, axis=1) - 1, 0)  # of each token among its row's
        states = ops.take_along_axis(states, place[..., None], axis=1)
        return states * ops.cast(is_token, states.dtype)[..., None]

    def compute_output_shape(
        self, states_shape: tuple[int | None, ...], tokens_shape: tuple[int | None, ...]
    ) -> tuple[int | None, ...]:
        """Return the shape of the states."""
        return tuple(states_shape)
