"""A network that classifies texts by filters over neighbouring tokens."""

from collections.abc import Sequence

import keras

from dlnotes.layers import KeepTokens
from dlnotes.models.arguments import check_model_name, check_positive_integers, output_layer
from dlnotes.validation import check_float, check_int, received


def build_text_cnn(
    vocab_size: int,
    num_classes: int,
    *,
    widths: Sequence[int] = (2, 3, 4, 5, 6),
    filters: int = 64,
    embedding_size: int = 32,
    dropout: float = 0.5,
    name: str = "text_cnn",
) -> keras.Model:
    """Build parallel convolutions of several widths that classify texts.

    Each filter looks at as many neighbouring tokens as its width, everywhere in the text, and hands
    on its loudest answer: is there a place that looks like what I look for? An output layer weighs
    the answers. Token 0 is padding and changes no answer, before the text or after it. A row of
    nothing but padding is answered by the output layer's bias alone.

    Args:
        vocab_size: Number of different tokens with the padding, >= 2: tokens are 0 to
            ``vocab_size - 1``.
        num_classes: 1 gives one sigmoid unit for a yes-or-no answer; K >= 2 gives K softmax units.
        widths: Tokens that a filter looks at, one number for each convolution, all different.
        filters: Number of filters of each width.
        embedding_size: Length of the vector learnt for each token.
        dropout: Share of the answers that the output layer does without in training, in [0, 1).
        name: The model's name.

    Returns:
        An uncompiled model from whole numbers (B, T), for any T >= 1, to (B, num_classes). The
        output layer computes in the type of its weights: float32 under the mixed_float16 policy.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a number is out of range, or two widths are equal.

    References:
        Y. Kim, Convolutional neural networks for sentence classification, EMNLP (2014), section 2.

    Example:
        >>> build_text_cnn(30, 4, widths=(2, 3), filters=8, embedding_size=5).count_params()
        434
    """
    vocab_size = check_int("vocab_size", vocab_size, low=2)
    num_classes = check_int("num_classes", num_classes, low=1)
    widths = check_positive_integers("widths", widths)
    if not widths or len(set(widths)) < len(widths):
        raise ValueError(f"`widths` must be different numbers. {received(widths=widths)}")
    filters = check_int("filters", filters, low=1)
    embedding_size = check_int("embedding_size", embedding_size, low=1)
    dropout = check_float("dropout", dropout, low=0, high=1, open_high=True)
    name = check_model_name(name)

    inputs = keras.Input((None,), dtype="int32", name="tokens")
    x = keras.layers.Embedding(vocab_size, embedding_size, name="embedding")(inputs)
    x = KeepTokens(name="zero_padding")(x, inputs)
    answers = []
    for width in widths:
        y = keras.layers.Conv1D(
            filters, width, padding="same", activation="relu", name=f"filters_{width}"
        )(x)
        y = KeepTokens(name=f"tokens_only_{width}")(y, inputs)
        answers.append(keras.layers.GlobalMaxPooling1D(name=f"loudest_{width}")(y))
    x = keras.layers.Concatenate(name="answers")(answers) if len(answers) > 1 else answers[0]
    x = keras.layers.Dropout(dropout, name="dropout")(x) if dropout else x
    return keras.Model(inputs, output_layer(num_classes)(x), name=name)
