"""Language models that count: what followed the last tokens in the training text."""

from typing import Any

import numpy as np

from dlnotes.validation import check_array, check_float, check_int, received


def perplexity(probabilities: Any) -> float:
    """Return the perplexity of a text: among how many equally likely tokens a model is unsure.

    It is ``exp`` of the mean cross-entropy, ``exp(-mean(log p))``.

    Args:
        probabilities: What the model gave each token that came, of any shape, in [0, 1].

    Returns:
        A number >= 1; infinite if a token that came had the probability 0.

    Raises:
        TypeError: If they are not numbers.
        ValueError: If there are none, or one is outside [0, 1].

    References:
        F. Jelinek, R. L. Mercer, L. R. Bahl and J. K. Baker, Perplexity: a measure of the
        difficulty of speech recognition tasks, J. Acoust. Soc. Am. 62 (1977).

    Example:
        >>> perplexity([0.25, 0.25, 0.25]), round(perplexity([0.5, 0.125]), 9)
        (4.0, 4.0)
    """
    p = check_shares(probabilities)
    with np.errstate(divide="ignore"):
        return float(np.exp(-np.log(p).mean()))


class NGrams:
    """A language model of counts: the last ``order - 1`` tokens decide about the next.

    The probability of token b after a context is what was counted, filled up with the
    probability after the context that is one token shorter, and so on down to a uniform one:

        p(b | context) = (n(context, b) + alpha · p(b | shorter)) / (n(context) + alpha)

    Letters: V tokens, T tokens of a text, N of a context.

    Args:
        order: Tokens of an n-gram, >= 1; 1 looks at no context.
        vocab_size: V, so that tokens are 0 to V - 1.
        alpha: Weight of the shorter context, > 0.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If one is out of range.

    References:
        C. E. Shannon, A mathematical theory of communication (1948), section 3, on approximating
        English; the smoothing is that of D. MacKay and L. Peto, A hierarchical Dirichlet language
        model (1995), section 3.

    Example:
        >>> model = NGrams(2, 3, alpha=0.5).fit([0, 1, 2, 0, 1, 0])
        >>> model.next([0]).round(3).tolist()
        [0.097, 0.867, 0.036]
    """

    def __init__(self, order: int, vocab_size: int, *, alpha: float = 1.0) -> None:
        self.order = check_int("order", order, low=1)
        self.vocab_size = check_int("vocab_size", vocab_size, low=1)
        self.alpha = check_float("alpha", alpha, low=0, open_low=True)
        if self.vocab_size**self.order >= 2**63:
            raise ValueError(
                "`order` must be so small that every n-gram gets a number of 63 bits. "
                f"{received(order=order, vocab_size=vocab_size)}"
            )
        self.counts: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []

    def fit(self, tokens: Any) -> "NGrams":
        """Count the n-grams of all lengths 1 to `order` in a text (T,), and return the model."""
        tokens = self._check(tokens)
        if len(tokens) < self.order:
            raise ValueError(
                f"`tokens` must hold at least {self.order}, one n-gram. {received(tokens=tokens)}"
            )
        self.counts = []
        for n in range(1, self.order + 1):
            known, counts = np.unique(self._numbers(tokens, n), return_counts=True)
            self.counts.append((known, counts, np.concatenate([[0], np.cumsum(counts)])))
        return self

    def probabilities(self, tokens: Any, *, order: int | None = None) -> np.ndarray:
        """Return the probability of each token of a text given those before it, (T,).

        `order` leaves out longer n-grams than that; None uses all.
        """
        tokens = self._check(tokens)
        order = check_int("order", self.order if order is None else order, low=1, high=self.order)
        p = np.full(len(tokens), 1 / self.vocab_size)
        for n in range(1, min(order, len(tokens)) + 1):
            both = self._count(n, self._numbers(tokens, n))
            context = self._context(n, tokens[:-1])
            p[n - 1 :] = (both + self.alpha * p[n - 1 :]) / (context + self.alpha)
        return p

    def next(self, context: Any) -> np.ndarray:
        """Return the probabilities of the next token after a context (N,), N >= 0: (V,)."""
        return self._next_rows(self._check(context)[None])[0]

    def step(self, tokens: Any, state: Any) -> tuple[np.ndarray, np.ndarray]:
        """Read one token more of each of B texts, (B,): the form that `training.generate` wants.

        Returns:
            Probabilities of the next tokens, (B, V), and the new state: what was read last.
        """
        tokens = self._check(tokens)
        read = tokens[:, None] if state is None else np.column_stack([state, tokens])
        read = read[:, max(0, read.shape[1] - self.order + 1) :]
        return self._next_rows(read), read

    def _next_rows(self, contexts: np.ndarray) -> np.ndarray:
        """Return the probabilities of the next token after each of B contexts, (B, V)."""
        length, every = contexts.shape[1], np.arange(self.vocab_size)
        p = np.full((len(contexts), self.vocab_size), 1 / self.vocab_size)
        for n in range(1, min(self.order, length + 1) + 1):
            known, _, sums = self._counted(n)
            digits = self.vocab_size ** np.arange(n - 2, -1, -1)
            start = contexts[:, length - n + 1 :] @ digits * self.vocab_size  # 0 for n = 1
            ends = np.searchsorted(known, [start, start + self.vocab_size])
            total = sums[ends[1]] - sums[ends[0]]
            both = self._count(n, start[:, None] + every)
            p = (both + self.alpha * p) / (total[:, None] + self.alpha)
        return p

    def _numbers(self, tokens: np.ndarray, n: int) -> np.ndarray:
        """Return a number for each n-gram, as digits to the base V."""
        windows = np.lib.stride_tricks.sliding_window_view(tokens, n)
        return windows @ self.vocab_size ** np.arange(n - 1, -1, -1)

    def _counted(self, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the n-grams' numbers, increasing, their counts, and the counts' running sum."""
        if not self.counts:
            raise ValueError("`fit` must be called before. Received: no text")
        return self.counts[n - 1]

    def _count(self, n: int, numbers: np.ndarray) -> np.ndarray:
        known, counts, _ = self._counted(n)
        at = np.minimum(np.searchsorted(known, numbers), len(known) - 1)
        return np.where(known[at] == numbers, counts[at], 0)

    def _context(self, n: int, tokens: np.ndarray) -> np.ndarray:
        """Return how often each context of n - 1 tokens was followed by anything."""
        known, _, sums = self._counted(n)
        if n == 1:
            return np.full(len(tokens) + 1, sums[-1])
        low = self._numbers(tokens, n - 1) * self.vocab_size
        return (
            sums[np.searchsorted(known, low + self.vocab_size)] - sums[np.searchsorted(known, low)]
        )

    def _check(self, tokens: Any) -> np.ndarray:
        tokens = check_array("tokens", tokens, ndim=1, dtype=None, nonempty=False)
        if tokens.size and tokens.dtype.kind not in "iu":
            raise TypeError(f"`tokens` must be whole numbers. {received(tokens=tokens)}")
        if tokens.size and (tokens.min() < 0 or tokens.max() >= self.vocab_size):
            raise ValueError(
                f"`tokens` must lie in [0, {self.vocab_size - 1}]. "
                f"{received(low=tokens.min(), high=tokens.max())}"
            )
        return tokens.astype(np.int64)


def check_shares(probabilities: Any) -> np.ndarray:
    """Return probabilities of any shape as float64.

    Raises:
        TypeError: If they are not numbers.
        ValueError: If there are none, or one is outside [0, 1].
    """
    p = check_array("probabilities", probabilities)
    if (p < 0).any() or (p > 1).any():
        raise ValueError(
            f"`probabilities` must lie in [0, 1]. {received(low=p.min(), high=p.max())}"
        )
    return p
