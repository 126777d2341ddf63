"""What turns a trained model into a function that reads one token more."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from dlnotes.layers import LearnedPositionEmbedding
from dlnotes.validation import check_array, check_int, received

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


def seq2seq_step(model: keras.Model, source: Any, *, places: Any = None) -> Step:
    """Return a function that lets a model of `build_seq2seq` write one target token more.

    The source is read once, and the decoder's states are carried along. It shares the model's
    weights: train on, and it has learnt; begin anew then, with the state None.

    Args:
        model: A model of `build_seq2seq`.
        source: What is to be translated, whole numbers (B, S).
        places: Turns the eyes of a model with attention: whole numbers (B, S); the weight of
            source place j brings the value of place ``places[:, j]``, while the keys stay. Places
            are counted as the model reads: padding in front is moved to the end first.

    Returns:
        ``step(tokens, state)``: from one target token of each of the B rows, (B,), and the state
        after those before (None for the first), to the probabilities of the next, (B, V), and the
        new state, whose arrays all have a row for each row of the batch.
        `dlnotes.training.generate` and `beam_search` take it.

    Raises:
        TypeError: If the tokens are not whole numbers.
        ValueError: If the model is of another kind, a token or a place is out of range, places are
            given for a model without attention, or the first tokens are not one a row.

    Example:
        >>> from dlnotes.models import build_seq2seq
        >>> step = seq2seq_step(build_seq2seq(9, 7, units=4), [[3, 5, 0]])
        >>> probabilities, state = step(np.array([2]), None)
        >>> probabilities.shape
        (1, 7)
    """
    source_vocab, read_source, read = seq2seq_parts(model)
    source = check_tokens("source", source, ndim=2, vocab_size=source_vocab)
    vocab_size, read = model.output_shape[-1], compiled(read)
    if places is not None:
        if "attention" not in [layer.name for layer in model.layers]:
            raise ValueError(
                f"`places` must be None for a model without attention. {received(places=places)}"
            )
        places = check_tokens("places", places, ndim=2, vocab_size=source.shape[1])
        check_array("places", places, shape=source.shape, dtype=None)

    def step(tokens: Any, state: Any) -> tuple[Any, Any]:
        tokens = check_tokens("tokens", tokens, ndim=1, vocab_size=vocab_size)
        if state is None:
            check_rows(tokens, source)
            state = keras.tree.flatten(read_source(source))
            if places is not None:  # the values, apart from the keys
                *_, memory, _ = state
                state.append(keras.ops.take_along_axis(memory, places[..., None], axis=1))
        probabilities, state = read(keras.ops.convert_to_tensor(tokens), state)
        return keras.ops.convert_to_numpy(probabilities), state

    return step


def seq2seq_parts(model: Any) -> tuple[int, keras.Model, Callable[[Any, Any], tuple[Any, Any]]]:
    """Return what a model of `build_seq2seq` is made of.

    Returns:
        The number of its source tokens; a model from a source (B, S) to the decoder's first state,
        one array or a list; and ``read(tokens, state)``, from one target token of each row, (B,),
        and the state as a list, to the probabilities of the next, (B, V), and the new state.

    Raises:
        ValueError: If the model is of another kind.
    """
    layers = {layer.name: layer for layer in getattr(model, "layers", [])}
    if not {"source_embedding", "target_embedding", "decoder"} <= set(layers):
        raise ValueError(f"`model` must come from `build_seq2seq`. {received(model=model)}")
    look = layers.get("attention")
    first = [layer.output for name, layer in layers.items() if name.startswith("first_state_")]
    seen = [] if look is None else [layers["memory"].output, layers["padding_last"].output[1]]
    read_source = keras.Model(model.inputs[0], [*first, *seen])
    embedding, cell = layers["target_embedding"], layers["decoder"].cell

    def read(tokens: Any, state: Any) -> tuple[Any, Any]:
        states, seen = state[: len(first)], state[len(first) :]
        x, states = cell(embedding(tokens), states)
        if look is not None:
            memory, mask, *values = seen
            found = look(x[:, None], *(values or [memory]), key=memory, attention_mask=mask)[:, 0]
            x = layers["attentional_state"](layers["found_and_state"]([found, x]))
        return layers["output"](x), [*states, *seen]

    return layers["source_embedding"].input_dim, read_source, read


def transformer_step(model: keras.Model, max_length: int, source: Any = None) -> Step:
    """Return a function that lets a Transformer read one token more, with a key–value cache.

    Keys and values of earlier tokens are kept, so that projections and feed-forward networks work
    on one token, where reading all again works on the whole text so far. The look itself goes over
    all `max_length` places. It shares the model's weights: train on, and it has learnt; begin anew
    then, with the state None.

    Args:
        model: A model of `build_transformer` or `build_causal_lm`.
        max_length: Number of tokens that there is room for, >= 1.
        source: What is to be translated, whole numbers (B, S), for a model of `build_transformer`.

    Returns:
        ``step(tokens, state)``: from one token of each of B rows, (B,), and the state after those
        before (None for the first), to the probabilities of the next, (B, V), and the new state,
        whose arrays all have a row for each row of the batch. `dlnotes.training.generate` and
        `beam_search` take it.

    Raises:
        TypeError: If the tokens or `max_length` are not whole numbers.
        ValueError: If the model is of another kind, a source is missing or not asked for, a token
            is out of range, the first tokens are not one a row of the source, or a step is beyond
            `max_length`.

    Example:
        >>> from dlnotes.models import build_causal_lm
        >>> step = transformer_step(build_causal_lm(9, num_blocks=1), max_length=20)
        >>> step(np.array([2, 3]), None)[0].shape
        (2, 9)
    """
    layers = {layer.name: layer for layer in getattr(model, "layers", [])}
    blocks = [layer for name, layer in layers.items() if name.startswith("decoder_block_")]
    if not blocks:
        raise ValueError(
            "`model` must come from `build_transformer` or `build_causal_lm`. "
            + received(model=model)
        )
    max_length = check_int("max_length", max_length, low=1)
    translates = "source" in layers
    if translates != (source is not None):
        wanted = "be given for" if translates else "be None for"
        raise ValueError(f"`source` must {wanted} this model. {received(source=source)}")
    positions, vocab_size = layers.get("target_positions"), model.output_shape[-1]
    if isinstance(positions, LearnedPositionEmbedding) and max_length > positions.max_length:
        raise ValueError(
            f"`max_length` must be at most {positions.max_length}, the positions of the table. "
            + received(max_length=max_length)
        )
    read_source = None
    if translates:
        source = check_tokens(
            "source", source, ndim=2, vocab_size=layers["source_embedding"].input_dim
        )
        written = layers["encoder_norm"].output
        read_source = keras.Model(model.inputs[0], [written, layers["padding_last"].output[1]])

    @compiled
    def read(tokens: Any, place: Any, caches: Any, mask: Any) -> tuple[Any, Any]:
        x = layers["target_scale"](layers["target_embedding"](tokens[:, None]))
        x = x if positions is None else positions(x, start=place)
        after = []
        for block, cache in zip(blocks, caches, strict=True):
            x, cache = block.step(x, cache, place, mask)
            after.append(cache)
        return layers["output"](layers["decoder_norm"](x))[:, 0], after

    def step(tokens: Any, state: Any) -> tuple[Any, Any]:
        tokens = check_tokens("tokens", tokens, ndim=1, vocab_size=vocab_size)
        if state is None:
            check_rows(tokens, source)
            context, mask = read_source(source) if translates else (None, None)
            caches = [block.start(len(tokens), max_length, context) for block in blocks]
            state = 0, caches, mask
        place, caches, mask = state
        check_room(place, max_length)
        inputs = keras.ops.convert_to_tensor(tokens), keras.ops.convert_to_tensor(place, "int32")
        probabilities, caches = read(*inputs, caches, mask)
        return keras.ops.convert_to_numpy(probabilities), (place + 1, caches, mask)

    return step


def recomputed_step(model: keras.Model, max_length: int, source: Any = None) -> Step:
    """Return a function that reads one token more by reading all tokens again.

    The slow way, for any model whose answer at a place depends on the tokens up to it alone. What
    a step that carries its state answers must be the same. Each step reads all `max_length`
    places, those still empty too.

    Args:
        model: A model from tokens (B, T), or from a source (B, S) and tokens, to (B, T, V).
        max_length: Number of tokens T that there is room for, >= 1.
        source: What the model translates, (B, S), if it takes a source.

    Returns:
        ``step(tokens, state)``: from one token of each of B texts, (B,), and the state after those
        before (None for the first), to the probabilities of the next, (B, V), and the new state.

    Raises:
        TypeError: If the tokens or `max_length` are not whole numbers.
        ValueError: If `max_length` is below 1, a token is out of range, the first tokens are not
            one a row of the source, or a step is beyond `max_length`.

    Example:
        >>> from dlnotes.models import build_causal_lm
        >>> step = recomputed_step(build_causal_lm(9, num_blocks=1), max_length=20)
        >>> step(np.array([2, 3]), None)[0].shape
        (2, 9)
    """
    max_length, vocab_size = check_int("max_length", max_length, low=1), model.output_shape[-1]
    if source is not None:  # the model itself knows how many different tokens there are
        source = check_tokens("source", source, ndim=2, vocab_size=2**31)
    read = compiled(lambda inputs, place: keras.ops.take(model(inputs), place, axis=1))

    def step(tokens: np.ndarray, state: Any) -> tuple[np.ndarray, Any]:
        tokens = check_tokens("tokens", tokens, ndim=1, vocab_size=vocab_size)
        if state is None:
            check_rows(tokens, source)
        rows, place, seen = state or (np.zeros((len(tokens), max_length), np.int32), 0, source)
        check_room(place, max_length)
        rows = rows.copy()
        rows[:, place] = tokens
        inputs = rows if seen is None else [seen, rows]
        probabilities = read(inputs, keras.ops.convert_to_tensor(place, "int32"))
        return keras.ops.convert_to_numpy(probabilities), (rows, place + 1, seen)

    return step


def check_rows(tokens: np.ndarray, source: Any) -> None:
    """Refuse first tokens that are not one for each row of the source, if there is a source.

    Raises:
        ValueError: If there are more or fewer.
    """
    if source is not None and len(tokens) != len(source):
        raise ValueError(
            f"`tokens` must be one for each of the {len(source)} rows of `source`. "
            f"Received: len(tokens)={len(tokens)}"
        )


def check_room(place: int, max_length: int) -> None:
    """Refuse a step beyond the last place.

    Raises:
        ValueError: If there is no room left.
    """
    if place >= max_length:
        raise ValueError(
            f"`max_length` must leave room for each token. {received(max_length=max_length)}"
        )
