"""Attention for recurrent decoders, after Bahdanau and after Luong, and heads with a cache."""

from typing import Any, NamedTuple

import keras
from keras import ops

from dlnotes.validation import check_choice, check_float, check_int, received


def masked_softmax(scores: Any, mask: Any = None) -> Any:
    """Return weights that sum to 1 along the last axis where the mask is True, and are 0 elsewhere.

    Where nothing may be looked at, all weights are 0. Computed in float32 at least, and returned in
    the type of the scores; in float16 a large score may have overflowed before.

    Args:
        scores: Numbers of shape (…, M, N).
        mask: Booleans that broadcast to it, or None.

    Example:
        >>> masked_softmax(ops.zeros((1, 2)), ops.array([[True, False]])).numpy().tolist()
        [[1.0, 0.0]]
    """
    dtype, scores = scores.dtype, full_precision(scores)
    if mask is not None:
        scores = ops.where(mask, scores, ops.full_like(scores, -1e30))
    weights = ops.softmax(scores, axis=-1)
    weights = weights if mask is None else ops.where(mask, weights, ops.zeros_like(weights))
    return ops.cast(weights, dtype)


def full_precision(x: Any) -> Any:
    """Return numbers of half precision as float32, and others as they are.

    Queries and keys need it before their product: in float16 that of two large vectors overflows.

    Example:
        >>> keras.backend.standardize_dtype(full_precision(ops.zeros(2, "float16")).dtype)
        'float32'
    """
    half = keras.backend.standardize_dtype(x.dtype) in ("float16", "bfloat16")
    return ops.cast(x, "float32") if half else x


def key_mask(mask: Any) -> Any:
    """Return a mask of keys, (B, N), as (B, 1, N), and one of queries and keys as it is.

    Raises:
        ValueError: If the mask has neither two nor three axes.
    """
    if mask is None:
        return None
    if len(mask.shape) not in (2, 3):
        raise ValueError(
            "`attention_mask` must have the shape (B, N) or (B, M, N). "
            f"Received: attention_mask.shape={tuple(mask.shape)}"
        )
    mask = ops.cast(mask, "bool")
    return mask[:, None] if len(mask.shape) == 2 else mask


def output_specs(layer: keras.layers.Layer, shapes: list[Any], with_scores: bool) -> Any:
    """Return the symbolic outputs of a layer: the first alone, or all with the weights."""
    specs = tuple(keras.KerasTensor(shape, dtype=layer.compute_dtype) for shape in shapes)
    return specs if with_scores else specs[0]


class _ScoredAttention(keras.layers.Layer):
    """What both attentions share: scores become weights, weights mix the values."""

    def call(
        self,
        query: Any,
        value: Any,
        key: Any = None,
        attention_mask: Any = None,
        return_attention_scores: bool = False,
    ) -> Any:
        """Return for each query the mix of the values that it looks at.

        Args:
            query: Shape (B, M, Q).
            value: Shape (B, N, V).
            key: What the queries are compared with, shape (B, N, K); None for the values.
            attention_mask: Booleans, True where a query may look: (B, N) for all queries alike, or
                (B, M, N). A query that may look nowhere gets zeros.
            return_attention_scores: Whether to return the weights, (B, M, N), as well.
        """
        query, key = full_precision(query), full_precision(value if key is None else key)
        scores = self.compute_scores(query, key)
        weights = ops.cast(masked_softmax(scores, key_mask(attention_mask)), value.dtype)
        outputs = ops.matmul(weights, value)
        return (outputs, weights) if return_attention_scores else outputs

    def compute_scores(self, query: Any, key: Any) -> Any:
        """Return the scores (B, M, N), before the softmax."""
        raise NotImplementedError

    def compute_output_shape(
        self, query_shape: Any, value_shape: Any, key_shape: Any = None
    ) -> tuple[int | None, ...]:
        """Return the shape of the mixes, (B, M, V)."""
        return (*query_shape[:-1], value_shape[-1])

    def compute_output_spec(
        self,
        query: Any,
        value: Any,
        key: Any = None,
        attention_mask: Any = None,
        return_attention_scores: bool = False,
    ) -> Any:
        """Return shapes and types of what `call` returns."""
        shapes = [self.compute_output_shape(query.shape, value.shape)]
        shapes.append((*query.shape[:-1], value.shape[1]))
        return output_specs(self, shapes, return_attention_scores)

    def _add_hidden_layer(
        self, query_size: int, key_size: int, units: int, *, use_bias: bool = False
    ) -> None:
        """Create the weights of v · tanh(q W + k U + b), in this order: W, U, b, v."""
        # one Glorot matrix for query and key joined, as the papers write it, held in two parts
        limit = (6 / (query_size + key_size + units)) ** 0.5
        uniform = keras.initializers.RandomUniform
        options = {"query_kernel": (query_size, units), "key_kernel": (key_size, units)}
        for name, shape in options.items():
            weight = self.add_weight(shape=shape, initializer=uniform(-limit, limit), name=name)
            setattr(self, name, weight)
        if use_bias:
            self.bias = self.add_weight(shape=(units,), initializer="zeros", name="bias")
        self.v = self.add_weight(
            shape=(units,), initializer=uniform(-((3 / units) ** 0.5), (3 / units) ** 0.5), name="v"
        )

    def _hidden_scores(self, query: Any, key: Any, bias: Any = 0.0) -> Any:
        of_query = ops.matmul(query, ops.cast(self.query_kernel, query.dtype))
        of_key = ops.matmul(key, ops.cast(self.key_kernel, key.dtype))
        hidden = ops.tanh(of_query[:, :, None] + of_key[:, None] + bias)
        return ops.matmul(hidden, ops.cast(self.v, hidden.dtype))


@keras.saving.register_keras_serializable(package="dlnotes")
class BahdanauAttention(_ScoredAttention):
    """Look at the values with additive scores: v · tanh(q W + k U + b).

    B rows; M queries (B, M, Q); N keys (B, N, K) and values (B, N, V). The score of a query and a
    key is a network of one hidden layer. `dlnotes.scratch.AdditiveScore` is the same in NumPy, with
    the weights in the same order; `keras.layers.AdditiveAttention` is the case in which W and U
    are the identity.

    Args:
        units: Size of the hidden layer, >= 1.
        **kwargs: The arguments of every Keras layer, such as `name`.

    Raises:
        TypeError: If `units` is not a whole number.
        ValueError: If it is below 1.

    References:
        D. Bahdanau, K. Cho and Y. Bengio, "Neural machine translation by jointly learning to align
        and translate" (2014), section 3.1 and appendix A.1.2. There the query is the decoder's
        state before the step; here it is what the caller passes.

    Example:
        >>> layer = BahdanauAttention(5)
        >>> layer(ops.zeros((2, 3, 4)), ops.zeros((2, 6, 8))).shape, layer.count_params()
        (TensorShape([2, 3, 8]), 70)
    """

    def __init__(self, units: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True  # the queries' mask goes on
        self.units = check_int("units", units, low=1)

    def build(self, query_shape: Any, value_shape: Any, key_shape: Any = None) -> None:
        """Create W, U, b and v."""
        key_shape = key_shape or value_shape
        self._add_hidden_layer(query_shape[-1], key_shape[-1], self.units, use_bias=True)

    def compute_scores(self, query: Any, key: Any) -> Any:
        """Return the scores (B, M, N), before the softmax."""
        return self._hidden_scores(query, key, ops.cast(self.bias, query.dtype))

    def get_config(self) -> dict[str, Any]:
        """Return the arguments, as Keras saves them."""
        return super().get_config() | {"units": self.units}


@keras.saving.register_keras_serializable(package="dlnotes")
class LuongAttention(_ScoredAttention):
    """Look at the values with one of Luong's scores: q·k, q W k, or v · tanh(q W + k U).

    B rows; M queries (B, M, Q); N keys (B, N, K) and values (B, N, V). `dlnotes.scratch` has the
    same in NumPy: `DotScore`, `GeneralScore`, `AdditiveScore`. With "dot", nothing is learned, and
    it is `keras.layers.Attention`.

    Args:
        score: "dot" (queries and keys must be equally wide), "general" or "concat".
        units: Size of the hidden layer of "concat", >= 1; None takes the queries' width Q. The
            other scores have none.
        **kwargs: The arguments of every Keras layer, such as `name`.

    Raises:
        TypeError: If `units` is not a whole number.
        ValueError: If the score is unknown, `units` is below 1 or given for another score than
            "concat", or queries and keys of "dot" differ in width.

    References:
        M.-T. Luong, H. Pham and C. D. Manning, "Effective approaches to attention-based neural
        machine translation" (2015), section 3.1.

    Example:
        >>> layer = LuongAttention("general")
        >>> layer(ops.zeros((2, 3, 4)), ops.zeros((2, 6, 8))).shape, layer.count_params()
        (TensorShape([2, 3, 8]), 32)
    """

    def __init__(self, score: str = "dot", *, units: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True  # the queries' mask goes on
        self.score = check_choice("score", score, ("dot", "general", "concat"))
        if units is not None and score != "concat":
            raise ValueError(
                f'`units` must be None for the score "{score}". {received(units=units)}'
            )
        self.units = None if units is None else check_int("units", units, low=1)

    def build(self, query_shape: Any, value_shape: Any, key_shape: Any = None) -> None:
        """Create what the score needs."""
        query_size, key_size = query_shape[-1], (key_shape or value_shape)[-1]
        if self.score == "dot" and query_size != key_size:
            raise ValueError(
                '`query` must be as wide as the keys for the score "dot". '
                f"Received: query.shape={tuple(query_shape)}, {key_size} features a key"
            )
        if self.score == "general":
            self.kernel = self.add_weight(
                shape=(query_size, key_size), initializer="glorot_uniform", name="kernel"
            )
        if self.score == "concat":
            self._add_hidden_layer(query_size, key_size, self.units or query_size)

    def compute_scores(self, query: Any, key: Any) -> Any:
        """Return the scores (B, M, N), before the softmax."""
        if self.score == "concat":
            return self._hidden_scores(query, key)
        if self.score == "general":
            query = ops.matmul(query, ops.cast(self.kernel, query.dtype))
        return ops.matmul(query, ops.swapaxes(key, -1, -2))

    def get_config(self) -> dict[str, Any]:
        """Return the arguments, as Keras saves them."""
        return super().get_config() | {"score": self.score, "units": self.units}


class KeysAndValues(NamedTuple):
    """What heads look at: the keys and the values of N tokens, each (B, H, N, D/H)."""

    keys: Any
    values: Any


@keras.saving.register_keras_serializable(package="dlnotes")
class CachedMultiHeadAttention(keras.layers.Layer):
    """Let H heads look at tokens, each with its own projections, and keep keys and values.

    B rows, M queries and N values, both D wide. The same function as
    `keras.layers.MultiHeadAttention` with ``key_dim = D / H``; the difference is that `project`
    and `attend` can be called apart, so that a decoder computes the keys and values of each token
    once. `dlnotes.scratch.MultiHeadAttention` is the same in NumPy, with its eight weights in the
    same order.

    Args:
        num_heads: H, a divisor of D.
        dropout: Share of the weights left out in training, in [0, 1).
        **kwargs: The arguments of every Keras layer, such as `name`.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a number is out of range, or the heads do not divide the width.

    References:
        A. Vaswani et al., "Attention is all you need" (2017), section 3.2.

    Example:
        >>> layer = CachedMultiHeadAttention(4)
        >>> layer(ops.zeros((2, 3, 8))).shape, layer.count_params()
        (TensorShape([2, 3, 8]), 288)
    """

    def __init__(self, num_heads: int, *, dropout: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True  # the queries' mask goes on
        self.num_heads = check_int("num_heads", num_heads, low=1)
        self.dropout = check_float("dropout", dropout, low=0, high=1, open_high=True)
        self._drop = keras.layers.Dropout(self.dropout, dtype=self.dtype_policy)

    def build(self, query_shape: Any, value_shape: Any = None) -> None:
        """Create the four projections."""
        width = query_shape[-1]
        if width % self.num_heads:
            raise ValueError(
                f"`num_heads` must divide the width {width}. {received(num_heads=self.num_heads)}"
            )
        value_width = (value_shape or query_shape)[-1]
        sizes = {"query": width, "key": value_width, "value": value_width, "output": width}
        for name, size in sizes.items():
            layer = keras.layers.Dense(width, name=name, dtype=self.dtype_policy)
            layer.build((None, size))
            setattr(self, f"{name}_dense", layer)

    def project(self, value: Any) -> KeysAndValues:
        """Return the keys and the values (B, H, N, D/H) of what is to be looked at, (B, N, D)."""
        return KeysAndValues(*(self._split(d(value)) for d in (self.key_dense, self.value_dense)))

    def attend(
        self, query: Any, looked_at: KeysAndValues, mask: Any = None, training: bool | None = None
    ) -> tuple[Any, Any]:
        """Return the answers (B, M, D) and the weights (B, H, M, N).

        Args:
            query: Shape (B, M, D).
            looked_at: What `project` returned.
            mask: Booleans that broadcast to (B, H, M, N), or None.
            training: Whether weights are left out at random.
        """
        heads = self._split(self.query_dense(query))
        asks = full_precision(heads) * heads.shape[-1] ** -0.5
        scores = ops.matmul(asks, ops.swapaxes(full_precision(looked_at.keys), -1, -2))
        weights = ops.cast(masked_softmax(scores, mask), heads.dtype)
        mixed = ops.matmul(self._drop(weights, training=training), looked_at.values)
        mixed = ops.swapaxes(mixed, 1, 2)
        width = mixed.shape[2] * mixed.shape[3]
        joined = ops.reshape(mixed, (-1, ops.shape(mixed)[1], width))
        return self.output_dense(joined), weights

    def call(
        self,
        query: Any,
        value: Any = None,
        attention_mask: Any = None,
        use_causal_mask: bool = False,
        return_attention_scores: bool = False,
        training: bool | None = None,
    ) -> Any:
        """Return for each query what its heads found.

        Args:
            query: Shape (B, M, D).
            value: What is looked at, (B, N, D); None for the queries themselves.
            attention_mask: Booleans, True where a query may look: (B, N) or (B, M, N).
            use_causal_mask: Whether query i may look at the places up to i alone.
            return_attention_scores: Whether to return the weights, (B, H, M, N), as well.
            training: Whether weights are left out at random.
        """
        value = query if value is None else value
        mask = key_mask(attention_mask)
        if use_causal_mask:
            places = ops.arange(ops.shape(query)[1])[:, None], ops.arange(ops.shape(value)[1])
            causal = ops.greater_equal(*places)[None]
            mask = causal if mask is None else ops.logical_and(mask, causal)
        mask = None if mask is None else mask[:, None]
        outputs, weights = self.attend(query, self.project(value), mask, training)
        return (outputs, weights) if return_attention_scores else outputs

    def compute_output_shape(
        self, query_shape: Any, value_shape: Any = None
    ) -> tuple[int | None, ...]:
        """Return the shape of the answers, that of the queries."""
        return tuple(query_shape)

    def compute_output_spec(
        self,
        query: Any,
        value: Any = None,
        attention_mask: Any = None,
        use_causal_mask: bool = False,
        return_attention_scores: bool = False,
        training: bool | None = None,
    ) -> Any:
        """Return shapes and types of what `call` returns."""
        batch, length = query.shape[:2]
        seen = length if value is None else value.shape[1]
        shapes = [query.shape, (batch, self.num_heads, length, seen)]
        return output_specs(self, shapes, return_attention_scores)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments, as Keras saves them."""
        return super().get_config() | {"num_heads": self.num_heads, "dropout": self.dropout}

    def _split(self, x: Any) -> Any:
        """Return (B, T, D) as (B, H, T, D/H)."""
        # -1 for the rows: two lengths that are known only when it runs do not survive ONNX
        shape = (-1, ops.shape(x)[1], self.num_heads, x.shape[-1] // self.num_heads)
        return ops.swapaxes(ops.reshape(x, shape), 1, 2)
