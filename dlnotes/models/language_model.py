"""A recurrent network that foretells the next token."""

import keras

from dlnotes.layers import BackInPlace, PaddingLast
from dlnotes.models.arguments import check_model_name, output_layer
from dlnotes.models.rnn import CELLS
from dlnotes.validation import check_choice, check_float, check_int


def build_language_model(
    vocab_size: int,
    *,
    cell: str = "lstm",
    units: int = 128,
    num_layers: int = 1,
    embedding_size: int = 32,
    dropout: float = 0.0,
    name: str = "language_model",
) -> keras.Model:
    """Build an embedding, recurrent layers and an output that foretells the next token everywhere.

    At each place the model has read the tokens up to there and none beyond. Token 0 is padding
    and changes no answer, before the text or after it; at places of padding the answer is that of
    the output layer's bias. Train it with a loss that leaves out targets that are 0, such as
    ``keras.losses.SparseCategoricalCrossentropy(ignore_class=0)``.

    Args:
        vocab_size: Number V of different tokens with the padding, >= 2.
        cell: "lstm", "gru" or "simple".
        units: Length of the state of each recurrent layer.
        num_layers: Number of recurrent layers, each reading the states of the one before.
        embedding_size: Length of the vector learnt for each token.
        dropout: Share of the numbers left out in training after the embedding and after each
            recurrent layer, in [0, 1).
        name: The model's name.

    Returns:
        An uncompiled model from whole numbers (B, T), for any T >= 1, to probabilities (B, T, V)
        of the token that follows. The output layer computes in the type of its weights: float32
        under the mixed_float16 policy.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a number is out of range or the cell is unknown.

    Example:
        >>> build_language_model(30, cell="gru", units=8, embedding_size=4).count_params()
        726
    """
    vocab_size = check_int("vocab_size", vocab_size, low=2)
    layer_class = CELLS[check_choice("cell", cell, CELLS)]
    units = check_int("units", units, low=1)
    num_layers = check_int("num_layers", num_layers, low=1)
    embedding_size = check_int("embedding_size", embedding_size, low=1)
    dropout = check_float("dropout", dropout, low=0, high=1, open_high=True)
    name = check_model_name(name)

    inputs = keras.Input((None,), dtype="int32", name="tokens")
    tokens, _, _ = PaddingLast(name="padding_last")(inputs)  # no mask: what comes last is too late
    x = keras.layers.Embedding(vocab_size, embedding_size, name="embedding")(tokens)
    x = keras.layers.Dropout(dropout, name="dropout_0")(x) if dropout else x
    for i in range(1, num_layers + 1):
        x = layer_class(units, return_sequences=True, name=f"recurrent_{i}")(x)
        x = keras.layers.Dropout(dropout, name=f"dropout_{i}")(x) if dropout else x
    x = BackInPlace(name="back_in_place")(x, inputs)
    return keras.Model(inputs, output_layer(vocab_size, "softmax")(x), name=name)
