"""Writing words backwards: a net in which everything depends on where attention looks.

Shapes: B words of up to T letters, padded behind; a mask (B, T) is True at letters. A vector has D
numbers; there are V different letters.
"""

from typing import NamedTuple

import numpy as np

from dlnotes.scratch.activations import softmax
from dlnotes.scratch.attention import Attention, DotScore, make_score
from dlnotes.scratch.initializers import glorot_uniform
from dlnotes.scratch.optimizers import Adam
from dlnotes.validation import check_choice, check_float, check_int, check_rng

NUM_LETTERS, SHORTEST, LONGEST = 8, 5, 10
SCORES = ("dot", "scaled", "general", "concat", "additive", "none")


class Words(NamedTuple):
    """Words and what is to be written.

    Attributes:
        letters: Numbers of letters, (B, T).
        lengths: Letters of each word, (B,).
        mask: True at letters, (B, T).
        backwards: The letters of each word from its last to its first, (B, T).
    """

    letters: np.ndarray
    lengths: np.ndarray
    mask: np.ndarray
    backwards: np.ndarray


def draw_words(count: int, rng: np.random.Generator) -> Words:
    """Draw words of 5 to 10 letters out of 8.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If `count` is below 1.

    Example:
        >>> words = draw_words(2, np.random.default_rng(0))
        >>> words.letters[0, words.mask[0]].tolist(), words.backwards[0, words.mask[0]].tolist()
        ([4, 2, 2, 0, 0, 0, 1, 6, 5, 7], [7, 5, 6, 1, 0, 0, 0, 2, 2, 4])
    """
    count, rng = check_int("count", count, low=1), check_rng("rng", rng)
    lengths = rng.integers(SHORTEST, LONGEST + 1, count)
    letters = rng.integers(0, NUM_LETTERS, (count, LONGEST))
    places = np.arange(LONGEST)
    back = np.maximum(lengths[:, None] - 1 - places, 0)
    mask = places < lengths[:, None]
    return Words(letters, lengths, mask, np.take_along_axis(letters, back, axis=1))


class NoScore(DotScore):
    """All scores are 0: a look that goes everywhere alike. A control."""

    def forward(self, query: np.ndarray, key: np.ndarray) -> np.ndarray:
        """Return zeros, (B, M, N)."""
        return super().forward(0 * query, key)

    def backward(self, gradient: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return zeros."""
        of_query, of_key = super().backward(gradient)
        return 0 * of_query, 0 * of_key


class Reverser:
    """Writes words backwards with tables of vectors and one look.

    Key and value of a place are one: the letter's vector plus the place's. The query is the
    step's vector plus that of the word's length. One output layer reads what the look finds.

    Args:
        score: "dot", "scaled", "general", "concat", "additive", or "none" (looks everywhere alike).
        rng: Draws the first weights.
        width: D.
        start: Standard deviation of the tables' first numbers.

    Attributes:
        attention: The look, with `score` and `alignment`.
        weights: The four tables (letters, places, steps, lengths), the output's kernel and bias.
        num_score_weights: How many numbers the score learns.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If the score is unknown or a number is out of range.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> net = Reverser("additive", rng).fit(rate=0.03, updates=300, rng=rng)
        >>> bool(net.share_right(draw_words(100, rng)) > 0.8)
        True
    """

    def __init__(
        self, score: str, rng: np.random.Generator, *, width: int = 16, start: float = 0.1
    ) -> None:
        check_choice("score", score, SCORES)
        rng, width = check_rng("rng", rng), check_int("width", width, low=1)
        start = check_float("start", start, low=0, open_low=True)
        rows = NUM_LETTERS, LONGEST, LONGEST, LONGEST + 1
        self.weights = [rng.normal(0, start, (n, width)) for n in rows]
        self.weights += [glorot_uniform((width, NUM_LETTERS), rng), np.zeros(NUM_LETTERS)]
        self.attention = Attention(NoScore() if score == "none" else make_score(score, width, rng))
        self.num_score_weights = sum(w.size for w in self.attention.score.weights)

    def forward(self, words: Words) -> np.ndarray:
        """Return the probabilities of each letter at each step, (B, T, V)."""
        letters, places, steps, lengths, kernel, bias = self.weights
        memory = letters[words.letters] + places
        query = steps + lengths[words.lengths][:, None]
        self.found = self.attention.look(query, memory, memory, words.mask[:, None])
        return softmax(self.found @ kernel + bias)

    def gradients(self, words: Words) -> list[np.ndarray]:
        """Return the gradients of the loss by `weights`; those of the score lie in the score."""
        p, count = self.forward(words), words.mask.sum()
        g = (p - np.eye(NUM_LETTERS)[words.backwards]) * words.mask[..., None] / count
        of_query, of_key, of_value = self.attention.backward(g @ self.weights[4].T)
        of_memory, lengths = of_key + of_value, np.eye(LONGEST + 1)[words.lengths]
        return [
            np.einsum("btv,btd->vd", np.eye(NUM_LETTERS)[words.letters], of_memory),
            of_memory.sum(axis=0),
            of_query.sum(axis=0),
            lengths.T @ of_query.sum(axis=1),
            np.einsum("btd,btv->dv", self.found, g),
            g.sum(axis=(0, 1)),
        ]

    def fit(
        self, *, rate: float, updates: int, rng: np.random.Generator, batch_size: int = 32
    ) -> "Reverser":
        """Learn from new words at each update, with Adam, and return the net.

        Raises:
            TypeError: If an argument has the wrong type.
            ValueError: If a number is out of range.
        """
        updates = check_int("updates", updates, low=1)
        owners = self.weights, self.attention.score.weights
        optimizers = [[Adam(rate) for _ in arrays] for arrays in owners]
        for _ in range(updates):
            found = self.gradients(draw_words(batch_size, rng)), self.attention.score.gradients
            for arrays, gradients, adams in zip(owners, found, optimizers, strict=True):
                parts = zip(adams, arrays, gradients, strict=True)
                arrays[:] = [adam.step(w, g) for adam, w, g in parts]
        return self

    def loss(self, words: Words) -> float:
        """Return the mean cross-entropy of a letter."""
        p = np.take_along_axis(self.forward(words), words.backwards[..., None], axis=-1)[..., 0]
        return float(-np.log(p[words.mask] + 1e-300).mean())

    def evenness(self, words: Words) -> float:
        """Return how evenly a step looks: its weights' entropy as a share of the largest, log n."""
        self.forward(words)
        a = self.attention.alignment
        even = -(a * np.log(a + 1e-300)).sum(axis=-1) / np.log(words.lengths)[:, None]
        return float(even[words.mask].mean())

    def share_right(self, words: Words) -> float:
        """Return the share of words without a mistake."""
        right = self.forward(words).argmax(axis=-1) == words.backwards
        return float((right | ~words.mask).all(axis=1).mean())
