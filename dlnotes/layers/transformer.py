"""The blocks of a Transformer: attention and a small network, each with a shortcut around it."""

from typing import Any, NamedTuple

import keras
from keras import ops

from dlnotes.layers.attention import (
    CachedMultiHeadAttention,
    KeysAndValues,
    key_mask,
    output_specs,
)
from dlnotes.validation import check_flag, check_float, check_int


class _Block(keras.layers.Layer):
    """What both blocks share: sublayers with dropout, a shortcut and layer normalization.

    Args:
        num_heads: H, a divisor of the width D.
        hidden_units: Size of the hidden layer of the feed-forward network, >= 1.
        dropout: Share left out in training of the weights of attention and of what each sublayer
            returns, in [0, 1).
        norm_first: Whether a sublayer sees normalized inputs, x + f(norm(x)), or its sum is
            normalized, norm(x + f(x)).
    """

    def __init__(
        self,
        num_heads: int,
        hidden_units: int,
        *,
        dropout: float = 0.0,
        norm_first: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True
        self.num_heads = check_int("num_heads", num_heads, low=1)
        self.hidden_units = check_int("hidden_units", hidden_units, low=1)
        self.dropout = check_float("dropout", dropout, low=0, high=1, open_high=True)
        check_flag("norm_first", norm_first)
        self.norm_first = norm_first

    def _create(self, width: int, attentions: dict[str, int]) -> None:
        """Create a normalization for each sublayer, the attentions and the feed-forward network."""
        policy = self.dtype_policy
        for name, looked_at in attentions.items():
            layer = CachedMultiHeadAttention(
                self.num_heads, dropout=self.dropout, name=name, dtype=policy
            )
            layer.build((None, None, width), (None, None, looked_at))
            setattr(self, name, layer)
        sizes = {"hidden": (width, self.hidden_units), "output": (self.hidden_units, width)}
        for name, (size, units) in sizes.items():
            layer = keras.layers.Dense(
                units, "relu" if name == "hidden" else None, name=name, dtype=policy
            )
            layer.build((None, None, size))
            setattr(self, f"{name}_dense", layer)
        for name in (*attentions, "feed_forward"):
            layer = keras.layers.LayerNormalization(epsilon=1e-6, name=f"{name}_norm", dtype=policy)
            layer.build((None, None, width))
            setattr(self, f"{name}_norm", layer)
        self._drop = keras.layers.Dropout(self.dropout, dtype=policy)

    def _around(self, name: str, sublayer: Any, x: Any, training: bool | None) -> tuple[Any, Any]:
        """Return x with what a sublayer adds to it, and what else the sublayer returns."""
        norm = getattr(self, f"{name}_norm")
        added, rest = sublayer(norm(x) if self.norm_first else x)
        x = x + self._drop(added, training=training)
        return (x if self.norm_first else norm(x)), rest

    def _feed_forward(self, x: Any, training: bool | None) -> Any:
        network = lambda x: (self.output_dense(self.hidden_dense(x)), None)  # noqa: E731
        return self._around("feed_forward", network, x, training)[0]

    def compute_output_shape(self, inputs_shape: Any, *_: Any) -> tuple[int | None, ...]:
        """Return the shape of the inputs."""
        return tuple(inputs_shape)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments, as Keras saves them."""
        return super().get_config() | {
            "num_heads": self.num_heads,
            "hidden_units": self.hidden_units,
            "dropout": self.dropout,
            "norm_first": self.norm_first,
        }


@keras.saving.register_keras_serializable(package="dlnotes")
class TransformerEncoderBlock(_Block):
    """Let every token look at every token, then pass each through the same small network.

    Inputs and outputs (B, T, D): B rows of T tokens of D features.

    Args:
        num_heads: H, a divisor of D.
        hidden_units: Size of the hidden layer of the feed-forward network, >= 1.
        dropout: Share left out in training of the weights of attention and of what each sublayer
            returns, in [0, 1).
        norm_first: Whether a sublayer sees normalized inputs, x + f(norm(x)) (Xiong et al.), or its
            sum is normalized, norm(x + f(x)) (the original). The first needs no warm-up.
        **kwargs: The arguments of every Keras layer, such as `name`.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a number is out of range, or the heads do not divide the width.

    References:
        A. Vaswani et al., "Attention is all you need" (2017), sections 3.1 to 3.3; R. Xiong et al.,
        "On layer normalization in the Transformer architecture" (2020), figure 1.

    Example:
        >>> block = TransformerEncoderBlock(2, 16)
        >>> block(ops.zeros((1, 3, 8))).shape, block.count_params()
        (TensorShape([1, 3, 8]), 600)
    """

    def build(self, inputs_shape: Any) -> None:
        """Create the sublayers."""
        self._create(inputs_shape[-1], {"attention": inputs_shape[-1]})

    def call(
        self,
        inputs: Any,
        attention_mask: Any = None,
        return_attention_scores: bool = False,
        training: bool | None = None,
    ) -> Any:
        """Return the tokens' new features, (B, T, D).

        Args:
            inputs: Shape (B, T, D).
            attention_mask: Booleans, True where a token may look: (B, T) or (B, T, T).
            return_attention_scores: Whether to return the weights, (B, H, T, T), as well.
            training: Whether dropout is at work.
        """
        mask = key_mask(attention_mask)

        def look(x: Any) -> tuple[Any, Any]:
            return self.attention(
                x, attention_mask=mask, return_attention_scores=True, training=training
            )

        x, weights = self._around("attention", look, inputs, training)
        x = self._feed_forward(x, training)
        return (x, weights) if return_attention_scores else x

    def compute_output_spec(
        self,
        inputs: Any,
        attention_mask: Any = None,
        return_attention_scores: bool = False,
        training: bool | None = None,
    ) -> Any:
        """Return shapes and types of what `call` returns."""
        batch, length = inputs.shape[:2]
        shapes = [inputs.shape, (batch, self.num_heads, length, length)]
        return output_specs(self, shapes, return_attention_scores)


class DecoderCache(NamedTuple):
    """What a decoder block remembers of the tokens so far, and of what the encoder wrote.

    Attributes:
        own: Keys and values of its own tokens, (B, H, N, D/H) with room for N.
        context: Those of the encoder's outputs, or None.
    """

    own: KeysAndValues
    context: KeysAndValues | None


@keras.saving.register_keras_serializable(package="dlnotes")
class TransformerDecoderBlock(_Block):
    """Let every token look at those up to itself, then at the encoder's outputs, then think.

    Inputs and outputs (B, T, D); the encoder's outputs, the context, (B, S, C). Without a context
    the block is that of a language model.

    Args:
        num_heads: H, a divisor of D.
        hidden_units: Size of the hidden layer of the feed-forward network, >= 1.
        dropout: Share left out in training of the weights of attention and of what each sublayer
            returns, in [0, 1).
        norm_first: Whether a sublayer sees normalized inputs, x + f(norm(x)) (Xiong et al.), or its
            sum is normalized, norm(x + f(x)) (the original). The first needs no warm-up.
        **kwargs: The arguments of every Keras layer, such as `name`.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a number is out of range, or the heads do not divide the width.

    References:
        A. Vaswani et al., "Attention is all you need" (2017), section 3.1; R. Xiong et al., "On
        layer normalization in the Transformer architecture" (2020), figure 1.

    Example:
        >>> block = TransformerDecoderBlock(2, 16)
        >>> block(ops.zeros((1, 3, 8)), ops.zeros((1, 5, 8))).shape, block.count_params()
        (TensorShape([1, 3, 8]), 904)
    """

    def build(self, inputs_shape: Any, context_shape: Any = None) -> None:
        """Create the sublayers, with attention to the context if there is one."""
        attentions = {"attention": inputs_shape[-1]}
        if context_shape is not None:
            attentions["context_attention"] = context_shape[-1]
        self.has_context = context_shape is not None
        self._create(inputs_shape[-1], attentions)

    def call(
        self,
        inputs: Any,
        context: Any = None,
        attention_mask: Any = None,
        context_mask: Any = None,
        return_attention_scores: bool = False,
        training: bool | None = None,
    ) -> Any:
        """Return the tokens' new features, (B, T, D).

        Args:
            inputs: Shape (B, T, D).
            context: The encoder's outputs, (B, S, C), or None.
            attention_mask: Booleans, True where a token is real, (B, T), or may look, (B, T, T).
                Nothing looks ahead in any case.
            context_mask: The same for the context, (B, S) or (B, T, S).
            return_attention_scores: Whether to return the weights as well: (B, H, T, T) of the
                tokens, and (B, H, T, S) of the context, if there is one.
            training: Whether dropout is at work.

        Raises:
            ValueError: If there is a context and the block was built without, or the reverse.
        """
        self._check_context(context)
        how = {"return_attention_scores": True, "training": training}

        def look_back(x: Any) -> tuple[Any, Any]:
            return self.attention(x, attention_mask=attention_mask, use_causal_mask=True, **how)

        def look_at_context(x: Any) -> tuple[Any, Any]:
            return self.context_attention(x, context, attention_mask=context_mask, **how)

        x, own = self._around("attention", look_back, inputs, training)
        weights = [own]
        if self.has_context:
            x, other = self._around("context_attention", look_at_context, x, training)
            weights.append(other)
        x = self._feed_forward(x, training)
        return (x, *weights) if return_attention_scores else x

    def compute_output_spec(
        self,
        inputs: Any,
        context: Any = None,
        attention_mask: Any = None,
        context_mask: Any = None,
        return_attention_scores: bool = False,
        training: bool | None = None,
    ) -> Any:
        """Return shapes and types of what `call` returns."""
        self._check_context(context)
        batch, length = inputs.shape[:2]
        shapes = [inputs.shape, (batch, self.num_heads, length, length)]
        if context is not None:
            shapes.append((batch, self.num_heads, length, context.shape[1]))
        return output_specs(self, shapes, return_attention_scores)

    def start(self, batch_size: int, max_length: int, context: Any = None) -> DecoderCache:
        """Return an empty cache for `step`, with room for `max_length` tokens a row.

        Args:
            batch_size: B.
            max_length: N >= 1.
            context: The encoder's outputs, (B, S, C), or None.
        """
        self._check_context(context)
        width = self.attention.query_dense.units
        shape = (batch_size, self.num_heads, max_length, width // self.num_heads)
        empty = ops.zeros(shape, dtype=self.compute_dtype)
        other = self.context_attention.project(context) if self.has_context else None
        return DecoderCache(KeysAndValues(empty, empty), other)

    def step(
        self, inputs: Any, cache: DecoderCache, position: Any, context_mask: Any = None
    ) -> tuple[Any, DecoderCache]:
        """Return the features of one more token, (B, 1, D), and the cache with it.

        The same numbers as `call` gives at this place of the whole sequence, at the cost of one
        token: keys and values of earlier ones are taken from the cache.

        Args:
            inputs: The token, (B, 1, D).
            cache: What `start` or the `step` before returned.
            position: Its place, counted from 0; the cache must have room for it.
            context_mask: Booleans (B, S), True where the context is real.
        """
        rest = key_mask(context_mask)
        rest = None if rest is None else rest[:, None]

        def look_back(x: Any) -> tuple[Any, Any]:
            new = self.attention.project(x)
            own = KeysAndValues(
                *(
                    ops.slice_update(old, (0, 0, position, 0), part)
                    for old, part in zip(cache.own, new, strict=True)
                )
            )
            known = ops.less_equal(ops.arange(own.keys.shape[2]), position)
            return self.attention.attend(x, own, known)[0], own

        def look_at_context(x: Any) -> tuple[Any, Any]:
            return self.context_attention.attend(x, cache.context, rest)

        x, own = self._around("attention", look_back, inputs, False)
        if self.has_context:
            x, _ = self._around("context_attention", look_at_context, x, False)
        return self._feed_forward(x, False), DecoderCache(own, cache.context)

    def _check_context(self, context: Any) -> None:
        if self.built and self.has_context != (context is not None):
            wanted = "be given" if self.has_context else "be None"
            raise ValueError(
                f"`context` must {wanted}, as when the block was built. "
                f"Received: context={'None' if context is None else tuple(context.shape)}"
            )
