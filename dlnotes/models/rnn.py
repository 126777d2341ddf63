"""A recurrent network that classifies sequences of tokens."""

import keras

from dlnotes.layers import PaddingLast
from dlnotes.models.arguments import check_model_name, output_layer
from dlnotes.validation import check_choice, check_flag, check_float, check_int

CELLS = {"lstm": keras.layers.LSTM, "gru": keras.layers.GRU, "simple": keras.layers.SimpleRNN}


def build_rnn_classifier(
    vocab_size: int,
    num_classes: int,
    *,
    cell: str = "lstm",
    units: int = 64,
    num_layers: int = 1,
    bidirectional: bool = False,
    embedding_size: int = 32,
    dropout: float = 0.0,
    name: str = "rnn_classifier",
) -> keras.Model:
    """Build an embedding, recurrent layers and an output that classifies sequences.

    Token 0 is padding and changes no answer, whether it stands before, after or between the other
    tokens: `dlnotes.layers.PaddingLast` moves it to the end of its row, and every recurrent layer
    is told by an explicit mask where it begins, in the form that the fast GPU kernels accept. A
    row of nothing but padding has zeros for its last state, so the output layer's bias alone
    answers it.

    Args:
        vocab_size: Number of different tokens with the padding, >= 2: tokens are 0 to
            ``vocab_size - 1``.
        num_classes: 1 gives one sigmoid unit for a yes-or-no answer; K >= 2 gives K softmax units.
        cell: "lstm", "gru" or "simple".
        units: Length of the state of each recurrent layer, in each direction.
        num_layers: Number of recurrent layers, each reading the states of the one before.
        bidirectional: Whether each layer also reads from the end and joins both states.
        embedding_size: Length of the vector learnt for each token.
        dropout: Share of the numbers left out in training after the embedding and after each
            recurrent layer, in [0, 1).
        name: The model's name.

    Returns:
        An uncompiled model from whole numbers (B, T), for any T >= 1, to (B, num_classes). The
        output layer computes in the type of its weights: float32 under the mixed_float16 policy.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a number is out of range or the cell is unknown.

    Example:
        >>> build_rnn_classifier(30, 4, cell="gru").count_params()
        20036
    """
    vocab_size = check_int("vocab_size", vocab_size, low=2)
    num_classes = check_int("num_classes", num_classes, low=1)
    layer_class = CELLS[check_choice("cell", cell, CELLS)]
    units = check_int("units", units, low=1)
    num_layers = check_int("num_layers", num_layers, low=1)
    bidirectional = check_flag("bidirectional", bidirectional)
    embedding_size = check_int("embedding_size", embedding_size, low=1)
    dropout = check_float("dropout", dropout, low=0, high=1, open_high=True)
    name = check_model_name(name)

    inputs = keras.Input((None,), dtype="int32", name="tokens")
    tokens, mask, factor = PaddingLast(name="padding_last")(inputs)
    x = keras.layers.Embedding(vocab_size, embedding_size, name="embedding")(tokens)
    x = keras.layers.Dropout(dropout, name="dropout_0")(x) if dropout else x
    for i in range(1, num_layers + 1):
        layer = layer_class(units, return_sequences=i < num_layers, name=f"recurrent_{i}")
        if bidirectional:
            layer = keras.layers.Bidirectional(layer, name=f"both_ways_{i}")
        x = layer(x, mask=mask)
        x = keras.layers.Dropout(dropout, name=f"dropout_{i}")(x) if dropout else x
    x = keras.layers.Multiply(name="zero_if_empty")([x, factor])
    return keras.Model(inputs, output_layer(num_classes)(x), name=name)
