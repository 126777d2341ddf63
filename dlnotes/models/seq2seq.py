"""Recurrent encoder and decoder, with or without attention, and a way to translate with them."""

from typing import Any

import keras

from dlnotes.layers import BahdanauAttention, LuongAttention, PaddingLast
from dlnotes.models.arguments import check_model_name, output_layer
from dlnotes.validation import check_choice, check_float, check_int, received

CELLS = {"lstm": keras.layers.LSTM, "gru": keras.layers.GRU}
ATTENTIONS = (None, "bahdanau", "luong_dot", "luong_general", "luong_concat")


def build_seq2seq(
    source_vocab: int,
    target_vocab: int,
    *,
    cell: str = "gru",
    units: int = 128,
    attention: str | None = None,
    embedding_size: int = 32,
    dropout: float = 0.0,
    name: str = "seq2seq",
) -> keras.Model:
    """Build an encoder that reads both ways and a decoder that foretells the next target token.

    The encoder's last states, both directions joined, are the decoder's first. Without attention
    they are all that the decoder knows of the source. With attention, each state of the decoder
    looks at all outputs of the encoder, and what it finds is joined to it before the output layer
    (Luong's place for attention, for all scores alike, so that nothing but the score differs;
    Bahdanau's own decoder looks before its step, with the state of the step before).

    Token 0 is padding. In the source it may stand anywhere and changes no answer; a source of
    nothing but padding is answered from zeros. Targets begin with a token that says so and may be
    padded behind. Train with the targets moved by one place, and a loss that leaves out padding,
    such as ``keras.losses.SparseCategoricalCrossentropy(ignore_class=0)``.

    Args:
        source_vocab: Number of different source tokens with the padding, >= 2.
        target_vocab: Number V of different target tokens with the padding, >= 2.
        cell: "lstm" or "gru".
        units: Length of the decoder's state, even: each direction of the encoder has half of them.
        attention: None, "bahdanau", "luong_dot", "luong_general" or "luong_concat".
        embedding_size: Length of the vector learnt for each token.
        dropout: Share of the numbers left out in training after the embeddings and before the
            output layer, in [0, 1).
        name: The model's name.

    Returns:
        An uncompiled model from ``[source, target]``, whole numbers (B, S) and (B, T), to the
        probabilities (B, T, V) of the target token that follows. The output layer computes in the
        type of its weights: float32 under the mixed_float16 policy.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a number is out of range, `units` odd, or the cell or attention unknown.

    References:
        I. Sutskever, O. Vinyals and Q. V. Le, "Sequence to sequence learning with neural networks"
        (2014), section 2; D. Bahdanau, K. Cho and Y. Bengio (2014), section 3.2 (the encoder);
        M.-T. Luong, H. Pham and C. D. Manning (2015), equation 5.

    Example:
        >>> build_seq2seq(30, 40, units=16, embedding_size=8, attention="luong_dot").output_shape
        (None, None, 40)
    """
    source_vocab = check_int("source_vocab", source_vocab, low=2)
    target_vocab = check_int("target_vocab", target_vocab, low=2)
    layer_class = CELLS[check_choice("cell", cell, CELLS)]
    units = check_int("units", units, low=2)
    if units % 2:
        raise ValueError(f"`units` must be even. {received(units=units)}")
    check_choice("attention", attention, ATTENTIONS)
    embedding_size = check_int("embedding_size", embedding_size, low=1)
    dropout = check_float("dropout", dropout, low=0, high=1, open_high=True)

    source = keras.Input((None,), dtype="int32", name="source")
    target = keras.Input((None,), dtype="int32", name="target")
    tokens, mask, factor = PaddingLast(name="padding_last")(source)
    x = _embed(tokens, source_vocab, embedding_size, dropout, "source")
    one_way = layer_class(units // 2, return_sequences=True, return_state=True, name="one_way")
    outputs, *states = keras.layers.Bidirectional(one_way, name="encoder")(x, mask=mask)
    first, half = [], len(states) // 2
    for i, pair in enumerate(zip(states[:half], states[half:], strict=True)):
        both = keras.layers.Concatenate(name=f"last_states_{i}")(pair)
        first.append(keras.layers.Multiply(name=f"first_state_{i}")([both, factor]))
    x = _embed(target, target_vocab, embedding_size, dropout, "target")
    x = layer_class(units, return_sequences=True, name="decoder")(x, initial_state=first)
    if attention is not None:
        factor = keras.layers.Reshape((1, 1), name="factor_of_steps")(factor)
        memory = keras.layers.Multiply(name="memory")([outputs, factor])
        x = _attend(attention, units, x, memory, mask)
    x = keras.layers.Dropout(dropout, name="dropout_output")(x) if dropout else x
    outputs = output_layer(target_vocab, "softmax")(x)
    return keras.Model([source, target], outputs, name=check_model_name(name))


def alignment_model(model: keras.Model) -> keras.Model:
    """Return a model of the weights with which a model of `build_seq2seq` looks at its source.

    It shares the weights: train on, and it has learnt.

    Args:
        model: A model of `build_seq2seq` with attention.

    Returns:
        A model from ``[source, target]``, whole numbers (B, S) and (B, T), to the weights
        (B, T, S). Row t belongs to the step that reads target token t and foretells the next.
        Columns are the source's tokens without its padding, which stands behind them.

    Raises:
        ValueError: If the model is of another kind, or has no attention.
    """
    if "attention" not in [layer.name for layer in getattr(model, "layers", [])]:
        raise ValueError(
            "`model` must come from `build_seq2seq`, with attention. " + received(model=model)
        )
    return keras.Model(model.inputs, model.get_layer("attention").output[1], name="alignment")


def _embed(tokens: Any, vocab_size: int, size: int, dropout: float, name: str) -> Any:
    """Return the vectors of tokens, (B, T, size)."""
    x = keras.layers.Embedding(vocab_size, size, name=f"{name}_embedding")(tokens)
    return keras.layers.Dropout(dropout, name=f"dropout_{name}")(x) if dropout else x


def _attend(attention: str, units: int, states: Any, memory: Any, mask: Any) -> Any:
    """Return the decoder's states (B, T, units), joined with what they find in the memory."""
    if attention == "bahdanau":
        look = BahdanauAttention(units, name="attention")
    else:
        look = LuongAttention(attention.removeprefix("luong_"), name="attention")
    # the weights are asked for here, so that `alignment_model` finds them
    found, _ = look(states, memory, attention_mask=mask, return_attention_scores=True)
    both = keras.layers.Concatenate(name="found_and_state")([found, states])
    return keras.layers.Dense(units, activation="tanh", name="attentional_state")(both)
