"""Attention: scores of queries and keys, weights, a mix of values; forwards and backwards.

Shapes: B rows in a batch; M queries of Q features, (B, M, Q); N keys of K features, (B, N, K), and
as many values of V features, (B, N, V). A mask of the keys, (B, N), or of queries and keys,
(B, M, N), is True where a query may look.
"""

from typing import Any

import numpy as np

from dlnotes.scratch.activations import softmax
from dlnotes.scratch.initializers import glorot_uniform
from dlnotes.validation import check_array, check_choice, check_int, check_rng, received


def masked_softmax(scores: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
    """Return weights that sum to 1 along the last axis where the mask is True, and are 0 elsewhere.

    Where a query may look at nothing at all, its weights are all 0.

    Args:
        scores: Numbers of shape (…, M, N).
        mask: Booleans that broadcast to the shape of `scores`; None lets every query look at all.

    Example:
        >>> masked_softmax(np.array([[0.0, 0.0, 5.0]]), np.array([[True, True, False]]))
        array([[0.5, 0.5, 0. ]])
        >>> masked_softmax(np.array([[1.0, 2.0]]), np.array([[False, False]]))
        array([[0., 0.]])
    """
    if mask is None:
        return softmax(scores)
    return np.where(mask, softmax(np.where(mask, scores, -1e30)), 0.0)


def softmax_back(gradient: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return ∂loss/∂scores from ∂loss/∂weights, for a softmax along the last axis.

    A masked score has the weight 0, and so the gradient 0.

    Example:
        >>> softmax_back(np.array([[1.0, 0.0]]), np.array([[0.5, 0.5]]))
        array([[ 0.25, -0.25]])
    """
    return weights * (gradient - (gradient * weights).sum(-1, keepdims=True))


def causal_mask(length: int) -> np.ndarray:
    """Return booleans (1, T, T): step t may look at itself and at the steps before it.

    Raises:
        TypeError: If `length` is not a whole number.
        ValueError: If it is below 1.

    Example:
        >>> causal_mask(3)[0].astype(int)
        array([[1, 0, 0],
               [1, 1, 0],
               [1, 1, 1]])
    """
    return np.tri(check_int("length", length, low=1), dtype=bool)[None]


# === Scores ===


class DotScore:
    """Score a query by its dot product with each key, s = q·k; scaled, s = q·k / √D.

    Queries and keys have the same number of features D. There is nothing to learn.

    Args:
        scaled: Whether to divide by √D.

    Attributes:
        weights: An empty list.

    References:
        M.-T. Luong, H. Pham and C. D. Manning, "Effective approaches to attention-based neural
        machine translation" (2015), section 3.1 (dot); A. Vaswani et al., "Attention is all you
        need" (2017), equation 1 (scaled).

    Example:
        >>> DotScore(scaled=True).forward(np.ones((1, 1, 4)), np.ones((1, 2, 4)))
        array([[[2., 2.]]])
    """

    def __init__(self, *, scaled: bool = False) -> None:
        self.scaled, self.weights, self.gradients = scaled, [], []

    def forward(self, query: np.ndarray, key: np.ndarray) -> np.ndarray:
        """Return the scores (B, M, N), and remember what `backward` needs."""
        self.memory = query, key, query.shape[-1] ** -0.5 if self.scaled else 1.0
        return query @ key.swapaxes(-1, -2) * self.memory[2]

    def backward(self, gradient: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return ∂loss/∂query and ∂loss/∂key from ∂loss/∂scores (B, M, N)."""
        query, key, scale = self.memory
        gradient = gradient * scale
        return gradient @ key, gradient.swapaxes(-1, -2) @ query


class GeneralScore:
    """Score a query and a key with a matrix between them: s = q W k.

    Args:
        kernel: W of shape (Q, K).

    Attributes:
        weights: The list [W].
        gradients: The list of ∂loss/∂W, after `backward`.

    References:
        M.-T. Luong, H. Pham and C. D. Manning (2015), section 3.1 (general).

    Example:
        >>> GeneralScore([[2.0]]).forward(np.ones((1, 1, 1)), np.ones((1, 2, 1)))
        array([[[2., 2.]]])
    """

    def __init__(self, kernel: Any) -> None:
        self.weights = [check_array("kernel", kernel, ndim=2)]

    def forward(self, query: np.ndarray, key: np.ndarray) -> np.ndarray:
        """Return the scores (B, M, N), and remember what `backward` needs."""
        self.memory = query, key
        return query @ self.weights[0] @ key.swapaxes(-1, -2)

    def backward(self, gradient: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return ∂loss/∂query and ∂loss/∂key, and store the kernel's gradient."""
        (query, key), (kernel,) = self.memory, self.weights
        self.gradients = [np.einsum("bmq,bmk->qk", query, gradient @ key)]
        return gradient @ (key @ kernel.T), gradient.swapaxes(-1, -2) @ (query @ kernel)


class AdditiveScore:
    """Score a query and a key with a small network: s = v · tanh(q W + k U + b).

    Without b it is Luong's "concat", too: one matrix times the query and the key joined is a
    matrix times each, added.

    Args:
        query_kernel: W of shape (Q, units).
        key_kernel: U of shape (K, units).
        bias: b of shape (units,); None for a score without one.
        v: Shape (units,).

    Attributes:
        weights: The list [W, U, b, v], or [W, U, v].
        gradients: Their gradients in the same order, after `backward`.

    References:
        D. Bahdanau, K. Cho and Y. Bengio, "Neural machine translation by jointly learning to align
        and translate" (2014), appendix A.1.2.

    Example:
        >>> AdditiveScore([[1.0]], [[1.0]], None, [3.0]).forward(
        ...     np.zeros((1, 1, 1)), np.zeros((1, 2, 1))
        ... )
        array([[[0., 0.]]])
    """

    def __init__(self, query_kernel: Any, key_kernel: Any, bias: Any, v: Any) -> None:
        query_kernel = check_array("query_kernel", query_kernel, ndim=2)
        units = query_kernel.shape[1]
        key_kernel = check_array("key_kernel", key_kernel, shape=(None, units))
        biases = [] if bias is None else [check_array("bias", bias, shape=(units,))]
        self.weights = [query_kernel, key_kernel, *biases, check_array("v", v, shape=(units,))]

    def forward(self, query: np.ndarray, key: np.ndarray) -> np.ndarray:
        """Return the scores (B, M, N), and remember what `backward` needs."""
        query_kernel, key_kernel, *biases, v = self.weights
        z = (query @ query_kernel)[:, :, None] + (key @ key_kernel)[:, None] + sum(biases)
        self.memory = query, key, np.tanh(z)  # the last of shape (B, M, N, units)
        return self.memory[2] @ v

    def backward(self, gradient: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return ∂loss/∂query and ∂loss/∂key, and store the gradients of the weights."""
        query, key, hidden = self.memory
        query_kernel, key_kernel, *biases, v = self.weights
        g = gradient[..., None] * v * (1 - hidden**2)  # ∂loss/∂z
        of_query, of_key = g.sum(axis=2), g.sum(axis=1)
        self.gradients = [
            np.einsum("bmq,bmu->qu", query, of_query),
            np.einsum("bnk,bnu->ku", key, of_key),
            *(g.sum(axis=(0, 1, 2)) for _ in biases),
            np.einsum("bmn,bmnu->u", gradient, hidden),
        ]
        return of_query @ query_kernel.T, of_key @ key_kernel.T


def make_score(name: str, width: int, rng: np.random.Generator) -> Any:
    """Return a score for queries and keys of one width, with Glorot uniform kernels.

    Args:
        name: "dot", "scaled", "general", "concat", or "additive" (with a bias, at first 0).
        width: Features of queries and keys, and units of the hidden layer, where there is one.
        rng: Draws the kernels.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If the name is unknown, or `width` is below 1.

    Example:
        >>> [w.shape for w in make_score("concat", 4, np.random.default_rng(0)).weights]
        [(4, 4), (4, 4), (4,)]
    """
    check_choice("name", name, ("dot", "scaled", "general", "concat", "additive"))
    width, rng = check_int("width", width, low=1), check_rng("rng", rng)
    if name == "general":
        return GeneralScore(glorot_uniform((width, width), rng))
    if name in ("concat", "additive"):
        joined = glorot_uniform((2 * width, width), rng)  # one matrix for query and key
        v = glorot_uniform((width, 1), rng)[:, 0]
        bias = np.zeros(width) if name == "additive" else None
        return AdditiveScore(joined[:width], joined[width:], bias, v)
    return DotScore(scaled=name == "scaled")


# === Attention ===


class Attention:
    """Let each query look at all keys, and answer it with a mix of the values.

    The scores become weights by a softmax over the keys, and the answer is the sum of the values,
    each times its weight.

    Args:
        score: How a query is compared with a key: `DotScore`, `GeneralScore`, `AdditiveScore`, or
            what has their two methods.

    Attributes:
        score: The same.
        alignment: The weights of the last `forward`, shape (B, M, N).

    References:
        D. Bahdanau, K. Cho and Y. Bengio (2014), equations 5 and 6.

    Example:
        >>> look = Attention(DotScore())
        >>> keys = np.array([[[9.0, 0.0], [0.0, 9.0]]])
        >>> look.forward([[[9.0, 0.0]]], keys, [[[1.0], [2.0]]])
        array([[[1.]]])
    """

    def __init__(self, score: Any) -> None:
        self.score = score

    def forward(self, query: Any, key: Any, value: Any, mask: Any = None) -> np.ndarray:
        """Return the answers (B, M, V), and remember what `backward` needs.

        Args:
            query: Shape (B, M, Q).
            key: Shape (B, N, K).
            value: Shape (B, N, V).
            mask: Booleans (B, N) or (B, M, N), or None. A query that may look nowhere gets zeros.

        Raises:
            TypeError: If an array does not hold numbers, or the mask no booleans.
            ValueError: If shapes do not fit, or a number is NaN or infinite.
        """
        return self.look(*check_looking(query, key, value, mask))

    def look(self, query: Any, key: Any, value: Any, mask: Any = None) -> np.ndarray:
        """Do what `forward` does, unchecked, for any axes before the last two: (…, M, Q)."""
        self.alignment = masked_softmax(self.score.forward(query, key), mask)
        self.value = value
        return self.alignment @ value

    def backward(self, gradient: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return ∂loss/∂query, ∂loss/∂key and ∂loss/∂value from ∂loss/∂answers (B, M, V)."""
        of_value = self.alignment.swapaxes(-1, -2) @ gradient
        of_scores = softmax_back(gradient @ self.value.swapaxes(-1, -2), self.alignment)
        return *self.score.backward(of_scores), of_value


class MultiHeadAttention:
    """Let several heads look at once, each through its own projections of width D / H.

    Queries, keys and values pass through a matrix each; the D columns of each are shared out among
    H heads; every head attends with scaled dot products; their answers, side by side, pass through
    a fourth matrix.

    Args:
        num_heads: H, a divisor of the width D.
        weights: The kernel and the bias of the queries', the keys', the values' and the output's
            projection, in this order: eight arrays, the kernels (Q, D), (K, D), (V, D), (D, O).

    Attributes:
        weights: The list of the eight arrays.
        gradients: Their gradients in the same order, after `backward`.
        attention: What all heads share: `attention.alignment` holds the weights of the last
            `forward`, shape (B, H, M, N).

    Raises:
        TypeError: If an array does not hold numbers.
        ValueError: If shapes do not fit, or the heads do not divide the width.

    References:
        A. Vaswani et al., "Attention is all you need" (2017), section 3.2.2; as
        ``keras.layers.MultiHeadAttention``.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> MultiHeadAttention.draw(8, 2, rng).forward(np.ones((1, 3, 8))).shape
        (1, 3, 8)
    """

    def __init__(self, num_heads: int, weights: Any) -> None:
        self.weights = check_projections(weights)
        self.num_heads = check_heads(num_heads, self.weights[0].shape[1])
        self.attention = Attention(DotScore(scaled=True))

    @classmethod
    def draw(cls, width: int, num_heads: int, rng: np.random.Generator) -> "MultiHeadAttention":
        """Return one with square Glorot uniform kernels and zero biases.

        Raises:
            TypeError: If a number is not whole.
            ValueError: If the heads do not divide the width.
        """
        num_heads = check_heads(num_heads, check_int("width", width, low=1))
        pairs = [(glorot_uniform((width, width), rng), np.zeros(width)) for _ in range(4)]
        return cls(num_heads, [array for pair in pairs for array in pair])

    def forward(self, query: Any, value: Any = None, mask: Any = None) -> np.ndarray:
        """Return the answers (B, M, O), and remember what `backward` needs.

        Args:
            query: Shape (B, M, Q).
            value: What is looked at, keys and values in one, (B, N, V); None for the query itself.
            mask: Booleans (B, N) or (B, M, N), or None.

        Raises:
            TypeError: If an array does not hold numbers, or the mask no booleans.
            ValueError: If shapes do not fit, or a number is NaN or infinite.
        """
        self.looks_at_itself = value is None
        value = query if value is None else value
        query, value, _, mask = check_looking(query, value, value, mask, self.weights)
        self.inputs = query, value, value
        w, mask = self.weights, None if mask is None else mask[:, None]  # one for all heads
        heads = [self.split(x @ w[2 * i] + w[2 * i + 1]) for i, x in enumerate(self.inputs)]
        self.joined = self.join(self.attention.look(*heads, mask))
        return self.joined @ w[6] + w[7]

    def backward(self, gradient: Any) -> Any:
        """Return ∂loss/∂query and ∂loss/∂value, added up to one if it looked at itself.

        Args:
            gradient: ∂loss/∂answers, shape (B, M, O).
        """
        of_joined = gradient @ self.weights[6].T
        parts = [self.join(g) for g in self.attention.backward(self.split(of_joined))]
        self.gradients, of_inputs = [], []
        pairs = zip((*self.inputs, self.joined), (*parts, gradient), strict=True)
        for i, (x, g) in enumerate(pairs):
            self.gradients += [np.einsum("bti,btj->ij", x, g), g.sum(axis=(0, 1))]
            of_inputs.append(g @ self.weights[2 * i].T)
        of_query, of_value = of_inputs[0], of_inputs[1] + of_inputs[2]
        return of_query + of_value if self.looks_at_itself else (of_query, of_value)

    def split(self, x: np.ndarray) -> np.ndarray:
        """Return (B, T, D) as (B, H, T, D/H): the first D/H columns are the first head's."""
        return x.reshape(*x.shape[:2], self.num_heads, -1).swapaxes(1, 2)

    def join(self, x: np.ndarray) -> np.ndarray:
        """Return (B, H, T, D/H) as (B, T, D)."""
        return x.swapaxes(1, 2).reshape(len(x), x.shape[2], -1)


# === Checks ===


def check_heads(num_heads: Any, width: int) -> int:
    """Return the number of heads if it divides the width.

    Raises:
        TypeError: If it is not a whole number.
        ValueError: If it does not.
    """
    num_heads = check_int("num_heads", num_heads, low=1)
    if width % num_heads:
        raise ValueError(
            f"`num_heads` must divide the width {width}. {received(num_heads=num_heads)}"
        )
    return num_heads


def check_projections(weights: Any) -> list[np.ndarray]:
    """Return the eight arrays of `MultiHeadAttention` if their shapes fit.

    Raises:
        TypeError: If one does not hold numbers.
        ValueError: If there are not eight, or a shape does not fit.
    """
    if len(weights) != 8:
        raise ValueError(f"`weights` must be eight arrays. Received: len(weights)={len(weights)}")
    width = check_array("weights[0]", weights[0], ndim=2).shape[1]
    shapes = [(None, width)] * 3 + [(width, None)]
    checked = []
    for i, shape in enumerate(shapes):
        kernel = check_array(f"weights[{2 * i}]", weights[2 * i], shape=shape)
        bias = check_array(f"weights[{2 * i + 1}]", weights[2 * i + 1], shape=kernel.shape[1:])
        checked += [kernel, bias]
    return checked


def check_looking(
    query: Any, key: Any, value: Any, mask: Any, weights: Any = (None,) * 6
) -> tuple[np.ndarray, ...]:
    """Return the arguments of an attention if they fit, the mask as (B, M, N) or None.

    They must be as wide as the kernels of `MultiHeadAttention` that they meet, if there are any.

    Raises:
        TypeError: If an array does not hold numbers, or the mask no booleans.
        ValueError: If shapes do not fit, or a number is NaN or infinite.
    """
    widths = [None if kernel is None else len(kernel) for kernel in weights[:6:2]]
    query = check_array("query", query, ndim=3)
    check_array("query", query, shape=(None, None, widths[0]))
    key = check_array("key", key, shape=(len(query), None, widths[1]))
    value = check_array("value", value, shape=(*key.shape[:2], widths[2]))
    if mask is None:
        return query, key, value, None
    mask = np.asarray(mask)
    if mask.dtype != bool:
        raise TypeError(f"`mask` must hold booleans. Received: mask.dtype={mask.dtype}")
    shape = (len(query), query.shape[1], key.shape[1])
    wide = mask[:, None] if mask.ndim == 2 else mask
    if wide.ndim != 3 or any(n not in (1, all_) for n, all_ in zip(wide.shape, shape, strict=True)):
        raise ValueError(
            f"`mask` must have the shape (B, N) or (B, M, N) = {shape}. "
            f"Received: mask.shape={mask.shape}"
        )
    return query, key, value, np.broadcast_to(wide, shape)
