"""The parts of a Transformer, forwards and backwards: positions, feed-forward network, blocks.

Shapes: B rows of T tokens of D features, (B, T, D); the encoder's outputs, the context, (B, S, C).
The blocks equal `dlnotes.layers.TransformerEncoderBlock` and `TransformerDecoderBlock`.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from dlnotes.scratch.attention import MultiHeadAttention, causal_mask
from dlnotes.scratch.initializers import glorot_uniform
from dlnotes.scratch.normalization import LayerNormalization
from dlnotes.validation import check_array, check_int, received


def sinusoidal_positions(length: int, width: int) -> np.ndarray:
    """Return a vector for each position, (T, D), made of waves of D/2 lengths.

    Feature 2i of position t is sin(t / 10000^(2i/D)), feature 2i + 1 the cosine of the same.

    Args:
        length: T, >= 1.
        width: D, even.

    Raises:
        TypeError: If a number is not whole.
        ValueError: If it is out of range.

    References:
        A. Vaswani et al., "Attention is all you need" (2017), section 3.5.

    Example:
        >>> sinusoidal_positions(2, 4).round(2)
        array([[0.  , 1.  , 0.  , 1.  ],
               [0.84, 0.54, 0.01, 1.  ]])
    """
    length, width = check_positions(length, width)
    angles = np.arange(length)[:, None] / 10_000 ** (np.arange(0, width, 2) / width)
    return np.stack([np.sin(angles), np.cos(angles)], axis=-1).reshape(length, width)


class FeedForward:
    """The same small network for every token: max(0, x W + b) V + c.

    Args:
        weights: W (D, units), b (units,), V (units, O), c (O,).

    Attributes:
        weights: The list of the four arrays.
        gradients: Their gradients in the same order, after `backward`.

    References:
        A. Vaswani et al. (2017), equation 2.

    Example:
        >>> FeedForward([np.eye(2), [0, -1], np.eye(2), [0, 0]]).forward(np.array([[[3.0, 3.0]]]))
        array([[[3., 2.]]])
    """

    def __init__(self, weights: Any) -> None:
        self.weights = check_feed_forward(weights)

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return the outputs (B, T, O), and remember what `backward` needs."""
        first, bias, second, last_bias = self.weights
        self.memory = x, np.maximum(0, x @ first + bias)
        return self.memory[1] @ second + last_bias

    def backward(self, gradient: np.ndarray) -> np.ndarray:
        """Return ∂loss/∂x, and store the gradients of the weights."""
        (x, hidden), (first, _, second, _) = self.memory, self.weights
        g = (gradient @ second.T) * (hidden > 0)
        self.gradients = []
        for a, b in ((x, g), (hidden, gradient)):
            self.gradients += [np.einsum("bti,btj->ij", a, b), b.sum(axis=(0, 1))]
        return g @ first.T


class EncoderBlock:
    """Attention of all tokens to all, then a feed-forward network, each within a shortcut.

    With `norm_first`, x + f(norm(x)) for each part f; else norm(x + f(x)), as in the paper.

    Args:
        attention: A `MultiHeadAttention` from D to D features.
        feed_forward: A `FeedForward` from D to D.
        norms: A `LayerNormalization` for each of the two.
        norm_first: Where the normalizations stand.

    Attributes:
        attention: The same; after `backward` it holds its gradients, as do the other parts.
        feed_forward: The same.
        norms: The same.

    References:
        A. Vaswani et al. (2017), section 3.1; R. Xiong et al., "On layer normalization in the
        Transformer architecture" (2020), figure 1.

    Example:
        >>> block = EncoderBlock.draw(8, 2, 16, np.random.default_rng(0))
        >>> block.forward(np.ones((1, 3, 8))).shape
        (1, 3, 8)
    """

    num_attentions = 1

    def __init__(
        self, attention: Any, feed_forward: FeedForward, norms: Any, *, norm_first: bool = True
    ) -> None:
        self.attention, self.feed_forward, self.norm_first = attention, feed_forward, norm_first
        self.norms = check_norms(norms, self.num_attentions + 1)

    @classmethod
    def draw(
        cls, width: int, num_heads: int, hidden_units: int, rng: np.random.Generator, **options: Any
    ) -> Any:
        """Return a block with Glorot uniform kernels and zero biases.

        Raises:
            TypeError: If a number is not whole.
            ValueError: If one is below 1, or the heads do not divide the width.
        """
        units = check_int("hidden_units", hidden_units, low=1)
        heads = [MultiHeadAttention.draw(width, num_heads, rng) for _ in range(cls.num_attentions)]
        kernels = glorot_uniform((width, units), rng), glorot_uniform((units, width), rng)
        network = FeedForward([kernels[0], np.zeros(units), kernels[1], np.zeros(width)])
        norms = [LayerNormalization(width, epsilon=1e-6) for _ in range(cls.num_attentions + 1)]
        return cls(*heads, network, norms, **options)

    def forward(self, x: Any, mask: Any = None) -> np.ndarray:
        """Return the tokens' new features (B, T, D), and remember what `backward` needs.

        Args:
            x: Shape (B, T, D).
            mask: Booleans (B, T) or (B, T, T), True where a token may look, or None.

        Raises:
            TypeError: If an array does not hold numbers, or the mask no booleans.
            ValueError: If shapes do not fit, or a number is NaN or infinite.
        """
        x = self.around(0, lambda x: self.attention.forward(x, mask=mask), x)
        return self.around(1, self.feed_forward.forward, x)

    def backward(self, gradient: np.ndarray) -> np.ndarray:
        """Return ∂loss/∂x, and leave the gradients of the weights in the parts."""
        gradient = self.around_back(1, self.feed_forward.backward, gradient)
        return self.around_back(0, self.attention.backward, gradient)

    def around(self, i: int, part: Callable[[np.ndarray], np.ndarray], x: np.ndarray) -> np.ndarray:
        """Return what comes out of a part with its shortcut and its normalization, norms[i]."""
        norm = self.norms[i].forward
        return x + part(norm(x)) if self.norm_first else norm(x + part(x))

    def around_back(
        self, i: int, part_back: Callable[[np.ndarray], np.ndarray], gradient: np.ndarray
    ) -> np.ndarray:
        """Return the gradient before `around` from the one behind it."""
        norm_back = self.norms[i].backward
        if self.norm_first:
            return gradient + norm_back(part_back(gradient))
        gradient = norm_back(gradient)
        return gradient + part_back(gradient)


class DecoderBlock(EncoderBlock):
    """Attention of each token to those up to itself, then to the context, then feed-forward.

    Args:
        attention: A `MultiHeadAttention` among the tokens, from D to D features.
        context_attention: A `MultiHeadAttention` from D features of a token and C of the context
            to D.
        feed_forward: A `FeedForward` from D to D.
        norms: A `LayerNormalization` for each of the three.
        norm_first: Where the normalizations stand, see `EncoderBlock`.

    References:
        A. Vaswani et al. (2017), section 3.1.

    Example:
        >>> block = DecoderBlock.draw(8, 2, 16, np.random.default_rng(0))
        >>> block.forward(np.ones((1, 3, 8)), np.ones((1, 5, 8))).shape
        (1, 3, 8)
    """

    num_attentions = 2

    def __init__(
        self,
        attention: MultiHeadAttention,
        context_attention: MultiHeadAttention,
        feed_forward: FeedForward,
        norms: Any,
        *,
        norm_first: bool = True,
    ) -> None:
        super().__init__(attention, feed_forward, norms, norm_first=norm_first)
        self.context_attention = context_attention

    def forward(
        self, x: Any, context: Any, mask: Any = None, context_mask: Any = None
    ) -> np.ndarray:
        """Return the tokens' new features (B, T, D), and remember what `backward` needs.

        Args:
            x: Shape (B, T, D).
            context: The encoder's outputs, (B, S, C).
            mask: Booleans (B, T) or (B, T, T), or None. Nothing looks ahead in any case.
            context_mask: Booleans (B, S) or (B, T, S), or None.

        Raises:
            TypeError: If an array does not hold numbers, or a mask no booleans.
            ValueError: If shapes do not fit, or a number is NaN or infinite.
        """
        causal = causal_mask(np.shape(x)[1])
        if mask is not None:
            mask = np.asarray(mask)
            causal = causal & (mask[:, None] if mask.ndim == 2 else mask)
        look = self.context_attention.forward
        x = self.around(0, lambda x: self.attention.forward(x, mask=causal), x)
        x = self.around(1, lambda x: look(x, context, context_mask), x)
        return self.around(2, self.feed_forward.forward, x)

    def backward(self, gradient: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return ∂loss/∂x and ∂loss/∂context, and leave the weights' gradients in the parts."""

        def look_back(gradient: np.ndarray) -> np.ndarray:
            of_query, self.context_gradient = self.context_attention.backward(gradient)
            return of_query

        gradient = self.around_back(2, self.feed_forward.backward, gradient)
        gradient = self.around_back(1, look_back, gradient)
        return self.around_back(0, self.attention.backward, gradient), self.context_gradient


# === Checks ===


def check_positions(length: Any, width: Any) -> tuple[int, int]:
    """Return the number of positions and their even width.

    Raises:
        TypeError: If a number is not whole.
        ValueError: If it is out of range, or the width is odd.
    """
    length, width = check_int("length", length, low=1), check_int("width", width, low=2)
    if width % 2:
        raise ValueError(f"`width` must be even. {received(width=width)}")
    return length, width


def check_feed_forward(weights: Any) -> list[np.ndarray]:
    """Return the four arrays of `FeedForward` if their shapes fit.

    Raises:
        TypeError: If one does not hold numbers.
        ValueError: If there are not four, or a shape does not fit.
    """
    if len(weights) != 4:
        raise ValueError(f"`weights` must be four arrays. Received: len(weights)={len(weights)}")
    first, bias, second, last_bias = (
        check_array(f"weights[{i}]", array, ndim=2 - i % 2) for i, array in enumerate(weights)
    )
    check_array("weights[1]", bias, shape=first.shape[1:])
    check_array("weights[2]", second, shape=(first.shape[1], None))
    check_array("weights[3]", last_bias, shape=second.shape[1:])
    return [first, bias, second, last_bias]


def check_norms(norms: Any, count: int) -> list[Any]:
    """Return the normalizations of a block if there is one for each of its parts.

    Raises:
        ValueError: If there are more or fewer.
    """
    norms = list(norms)
    if len(norms) != count:
        raise ValueError(
            f"`norms` must be {count} normalizations. Received: len(norms)={len(norms)}"
        )
    return norms
