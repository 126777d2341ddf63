"""Transformers: encoder and decoder, encoder only, decoder only; and a cache to write with."""

from typing import Any

import keras

from dlnotes.layers import (
    LearnedPositionEmbedding,
    PaddingLast,
    SinusoidalPositionEncoding,
    TransformerDecoderBlock,
    TransformerEncoderBlock,
)
from dlnotes.models.arguments import check_model_name, output_layer
from dlnotes.validation import check_choice, check_flag, check_float, check_int, received

POSITIONS = ("sinusoidal", "learned", None)


def build_transformer(
    source_vocab: int,
    target_vocab: int,
    *,
    width: int = 128,
    num_heads: int = 4,
    num_blocks: int = 2,
    hidden_units: int = 256,
    positions: str | None = "sinusoidal",
    max_length: int = 128,
    dropout: float = 0.0,
    norm_first: bool = True,
    name: str = "transformer",
) -> keras.Model:
    """Build the encoder and the decoder of the original Transformer, as deep as each other.

    Token 0 is padding. In the source it may stand anywhere and changes no answer; a source of
    nothing but padding is answered as if it were one padding token. Targets begin with a token that
    says so and may be padded behind. Train with the targets moved by one place, and a loss that
    leaves out padding, such as ``keras.losses.SparseCategoricalCrossentropy(ignore_class=0)``.

    Args:
        source_vocab: Number of different source tokens with the padding, >= 2.
        target_vocab: Number V of different target tokens with the padding, >= 2.
        width: D, the number of features of a token in all blocks, even.
        num_heads: Heads of each attention, a divisor of D.
        num_blocks: Number of blocks of the encoder and of the decoder, >= 1.
        hidden_units: Size of the hidden layer of the feed-forward networks, >= 1.
        positions: "sinusoidal", "learned", or None for a model that knows no order.
        max_length: Number of positions of the "learned" table; the others have no limit.
        dropout: Share left out in training of what each sublayer returns, of the weights of
            attention and of the embeddings, in [0, 1).
        norm_first: Whether sublayers see normalized inputs, or their sums are normalized.
        name: The model's name.

    Returns:
        An uncompiled model from ``[source, target]``, whole numbers (B, S) and (B, T), to the
        probabilities (B, T, V) of the target token that follows. The output layer computes in the
        type of its weights: float32 under the mixed_float16 policy.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a number is out of range, the heads do not divide the width, or the kind of
            positions is unknown.

    References:
        A. Vaswani et al., "Attention is all you need" (2017), section 3.

    Example:
        >>> small = {"width": 8, "num_heads": 2, "num_blocks": 1, "hidden_units": 16}
        >>> build_transformer(30, 40, **small).count_params()
        2456
    """
    source_vocab = check_int("source_vocab", source_vocab, low=2)
    target_vocab = check_int("target_vocab", target_vocab, low=2)
    parts = _Parts(
        width, num_heads, num_blocks, hidden_units, positions, max_length, dropout, norm_first
    )
    name = check_model_name(name)
    source = keras.Input((None,), dtype="int32", name="source")
    target = keras.Input((None,), dtype="int32", name="target")
    tokens, mask, _ = PaddingLast(name="padding_last")(source)
    context = parts.encode(parts.embed(tokens, source_vocab, "source"), mask)
    x = parts.decode(parts.embed(target, target_vocab, "target"), context, mask)
    return keras.Model([source, target], output_layer(target_vocab, "softmax")(x), name=name)


def build_transformer_classifier(
    vocab_size: int,
    num_classes: int,
    *,
    width: int = 64,
    num_heads: int = 4,
    num_blocks: int = 2,
    hidden_units: int = 128,
    positions: str | None = "sinusoidal",
    max_length: int = 128,
    dropout: float = 0.0,
    norm_first: bool = True,
    name: str = "transformer_classifier",
) -> keras.Model:
    """Build an encoder whose outputs, averaged over the tokens, are classified.

    Token 0 is padding and changes no answer, wherever it stands. A row of nothing but padding has
    zeros for its mean, so the output layer's bias alone answers it.

    Args:
        vocab_size: Number of different tokens with the padding, >= 2.
        num_classes: 1 gives one sigmoid unit for a yes-or-no answer; K >= 2 gives K softmax units.
        width: As in `build_transformer`.
        num_heads: As in `build_transformer`.
        num_blocks: Number of blocks, >= 1.
        hidden_units: As in `build_transformer`.
        positions: As in `build_transformer`.
        max_length: As in `build_transformer`.
        dropout: As in `build_transformer`.
        norm_first: As in `build_transformer`.
        name: The model's name.

    Returns:
        An uncompiled model from whole numbers (B, T), for any T >= 1, to (B, num_classes).

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a number is out of range, the heads do not divide the width, or the kind of
            positions is unknown.

    References:
        J. Devlin et al., "BERT" (2018), section 3 (an encoder alone; there the first token's output
        is classified, here the mean).

    Example:
        >>> build_transformer_classifier(30, 4).output_shape
        (None, 4)
    """
    vocab_size = check_int("vocab_size", vocab_size, low=2)
    num_classes = check_int("num_classes", num_classes, low=1)
    parts = _Parts(
        width, num_heads, num_blocks, hidden_units, positions, max_length, dropout, norm_first
    )
    name = check_model_name(name)
    inputs = keras.Input((None,), dtype="int32", name="tokens")
    tokens, mask, factor = PaddingLast(name="padding_last")(inputs)
    x = parts.encode(parts.embed(tokens, vocab_size, "token"), mask)
    x = keras.layers.GlobalAveragePooling1D(name="mean_of_tokens")(x, mask=mask)
    x = keras.layers.Multiply(name="zero_if_empty")([x, factor])
    return keras.Model(inputs, output_layer(num_classes)(x), name=name)


def build_causal_lm(
    vocab_size: int,
    *,
    width: int = 128,
    num_heads: int = 4,
    num_blocks: int = 2,
    hidden_units: int = 256,
    positions: str | None = "sinusoidal",
    max_length: int = 128,
    dropout: float = 0.0,
    norm_first: bool = True,
    name: str = "causal_lm",
) -> keras.Model:
    """Build a decoder without a source: a language model that foretells the next token everywhere.

    At each place the model has read the tokens up to there and none beyond. Token 0 is padding; it
    may stand behind a text, where it changes no answer before it.

    Args:
        vocab_size: Number V of different tokens with the padding, >= 2.
        width: As in `build_transformer`.
        num_heads: As in `build_transformer`.
        num_blocks: Number of blocks, >= 1.
        hidden_units: As in `build_transformer`.
        positions: As in `build_transformer`.
        max_length: As in `build_transformer`.
        dropout: As in `build_transformer`.
        norm_first: As in `build_transformer`.
        name: The model's name.

    Returns:
        An uncompiled model from whole numbers (B, T) to the probabilities (B, T, V) of the token
        that follows.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a number is out of range, the heads do not divide the width, or the kind of
            positions is unknown.

    References:
        A. Radford et al., "Improving language understanding by generative pre-training" (2018),
        section 3.1.

    Example:
        >>> build_causal_lm(30, num_blocks=1).output_shape
        (None, None, 30)
    """
    vocab_size = check_int("vocab_size", vocab_size, low=2)
    parts = _Parts(
        width, num_heads, num_blocks, hidden_units, positions, max_length, dropout, norm_first
    )
    name = check_model_name(name)
    inputs = keras.Input((None,), dtype="int32", name="tokens")
    x = parts.decode(parts.embed(inputs, vocab_size, "target"))
    return keras.Model(inputs, output_layer(vocab_size, "softmax")(x), name=name)


class _Parts:
    """The arguments that all Transformers share, checked, and what is built from them."""

    def __init__(
        self,
        width: Any,
        num_heads: Any,
        num_blocks: Any,
        hidden_units: Any,
        positions: Any,
        max_length: Any,
        dropout: Any,
        norm_first: Any,
    ) -> None:
        self.width = check_int("width", width, low=2)
        num_heads = check_int("num_heads", num_heads, low=1)
        if self.width % num_heads or self.width % 2:
            raise ValueError(
                "`width` must be even, and `num_heads` must divide it. "
                + received(width=width, num_heads=num_heads)
            )
        self.num_blocks = check_int("num_blocks", num_blocks, low=1)
        self.positions = check_choice("positions", positions, POSITIONS)
        self.max_length = check_int("max_length", max_length, low=1)
        self.dropout = check_float("dropout", dropout, low=0, high=1, open_high=True)
        self.options = {
            "num_heads": num_heads,
            "hidden_units": check_int("hidden_units", hidden_units, low=1),
            "dropout": self.dropout,
            "norm_first": check_flag("norm_first", norm_first),
        }

    def embed(self, tokens: Any, vocab_size: int, name: str) -> Any:
        """Return the tokens' vectors with their positions, (B, T, D)."""
        # as long as the waves of the positions from the start, and yet learned at Adam's pace
        normal = keras.initializers.RandomNormal(stddev=self.width**-0.5)
        x = keras.layers.Embedding(
            vocab_size, self.width, embeddings_initializer=normal, name=f"{name}_embedding"
        )(tokens)
        x = keras.layers.Rescaling(self.width**0.5, name=f"{name}_scale")(x)
        if self.positions == "sinusoidal":
            x = SinusoidalPositionEncoding(name=f"{name}_positions")(x)
        if self.positions == "learned":
            x = LearnedPositionEmbedding(self.max_length, name=f"{name}_positions")(x)
        if self.dropout:
            x = keras.layers.Dropout(self.dropout, name=f"{name}_dropout")(x)
        return x

    def encode(self, x: Any, mask: Any) -> Any:
        """Return what the encoder's blocks make of vectors (B, T, D)."""
        for i in range(1, self.num_blocks + 1):
            block = TransformerEncoderBlock(**self.options, name=f"encoder_block_{i}")
            # the weights are asked for, so that ``block.output`` holds them for who wants to look
            x, _ = block(x, attention_mask=mask, return_attention_scores=True)
        return self.norm("encoder_norm")(x)

    def decode(self, x: Any, context: Any = None, context_mask: Any = None) -> Any:
        """Return what the decoder's blocks make of vectors (B, T, D)."""
        for i in range(1, self.num_blocks + 1):
            block = TransformerDecoderBlock(**self.options, name=f"decoder_block_{i}")
            x, *_ = block(x, context, context_mask=context_mask, return_attention_scores=True)
        return self.norm("decoder_norm")(x)

    def norm(self, name: str) -> keras.layers.Layer:
        """Return the normalization after the last block, which only blocks with norm_first need."""
        if self.options["norm_first"]:
            return keras.layers.LayerNormalization(epsilon=1e-6, name=name)
        return keras.layers.Identity(name=name)
