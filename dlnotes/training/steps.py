"""What turns a trained model into a function that reads one token more."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from dlnotes.validation import check_array, received

Step = Callable[[np.ndarray, Any], tuple[np.ndarray, Any]]


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function as one graph, where the backend can: calls become many times faster."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.function(function, reduce_retracing=True)
    return function


def check_tokens(name: str, tokens: Any, *, ndim: int, vocab_size: int, low: int = 0) -> np.ndarray:
    """Return tokens as int32, if they are whole numbers from `low` to ``vocab_size - 1``.

    Raises:
        TypeError: If they are not whole numbers.
        ValueError: If they have another number of axes, or one is out of range.
    """
    array = check_array(name, tokens, ndim=ndim, dtype=None)
    if array.dtype.kind not in "iu":
        raise TypeError(f"`{name}` must be whole numbers. {received(**{name: tokens})}")
    if array.min() < low or array.max() >= vocab_size:
        raise ValueError(
            f"`{name}` must lie in [{low}, {vocab_size - 1}]. {received(**{name: tokens})}"
        )
    return array.astype(np.int32)


def language_model_step(model: keras.Model) -> Step:
    """Return a function that lets a model of `build_language_model` read one token more.

    The states are carried along, so that to write N tokens takes N steps, not N readings of all
    that was written. It shares the model's weights: train on, and it has learnt.

    Args:
        model: A model of `build_language_model`.

    Returns:
        ``step(tokens, state)``: from one token of each of B texts, (B,), 1 to V - 1, and the state
        after those before (None for the first), to the probabilities of the next, (B, V), and the
        new state.

    Raises:
        ValueError: If the model is of another kind.

    Example:
        >>> from dlnotes.models import build_language_model
        >>> step = language_model_step(build_language_model(9, units=4))
        >>> p, state = step(np.array([3, 5]), None)
        >>> p.shape, len(state)  # one layer
        ((2, 9), 1)
    """
    names = [layer.name for layer in getattr(model, "layers", [])]
    recurrent = [name for name in names if name.startswith("recurrent_")]
    if "back_in_place" not in names or not recurrent:
        raise ValueError(f"`model` must come from `build_language_model`. {received(model=model)}")
    embedding, output = model.get_layer("embedding"), model.get_layer("output")
    cells = [model.get_layer(name).cell for name in recurrent]
    vocab_size = model.output_shape[-1]

    @compiled
    def read(tokens: Any, states: list[list[Any]]) -> tuple[Any, list[list[Any]]]:
        x, new = embedding(tokens), []
        for cell, state in zip(cells, states, strict=True):
            x, state = cell(x, state)
            new.append(list(state))
        return output(x), new

    def step(tokens: np.ndarray, state: Any) -> tuple[np.ndarray, Any]:
        tokens = check_tokens("tokens", tokens, ndim=1, vocab_size=vocab_size, low=1)
        if state is None:
            flat = [keras.tree.flatten(cell.get_initial_state(len(tokens))) for cell in cells]
            state = [list(part) for part in flat]
        probabilities, state = read(keras.ops.convert_to_tensor(tokens, "int32"), state)
        return keras.ops.convert_to_numpy(probabilities), state

    return step
