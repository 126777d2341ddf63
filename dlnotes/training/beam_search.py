"""Decoding that keeps several hypotheses: beam search."""

from collections.abc import Callable, Collection
from typing import Any, NamedTuple

import numpy as np

from dlnotes.training.sampling import check_marks, check_prompt
from dlnotes.validation import check_float, check_int, received


class Beams(NamedTuple):
    """What a beam search found: for each of B texts its W hypotheses, the best first.

    Attributes:
        tokens: What was written, int32, (B, W, N), without the prompt; 0s follow the end token.
        scores: Logarithm of each one's probability, divided by its length's penalty, (B, W).
    """

    tokens: np.ndarray
    scores: np.ndarray


def beam_search(
    step: Callable[[np.ndarray, Any], tuple[Any, Any]],
    prompt: Any,
    num_tokens: int,
    *,
    width: int = 4,
    end: int | None = None,
    length_penalty: float = 0.0,
    never: Collection[int] = (0, 1),
) -> Beams:
    """Look for the most probable continuation, keeping the `width` best beginnings at each step.

    Letters: B texts at once, P tokens of the prompt, N tokens to write, W beams. A beam that wrote
    the end token keeps its place and its score. With one beam it is greedy search: what
    `generate` writes with the temperature 0.

    A hypothesis of L tokens (the end token counts) has the score log p / ((5 + L) / 6)^α, where p
    is its probability and α the `length_penalty`: with 0 the most probable wins, and short ones
    are preferred, as each further token makes p smaller.

    Args:
        step: ``step(tokens, state)``, as in `generate`; every array in its state must have a row
            for each text.
        prompt: What is read before anything is written, (B, P), whole numbers >= 1, P >= 1.
        num_tokens: N, >= 1.
        width: W, >= 1, at most the number of tokens that may be written.
        end: Token after which a text is over, and only 0 (padding) follows; None for none.
        length_penalty: α >= 0.
        never: Tokens that are not to be written, by default padding and unknown.

    Returns:
        The hypotheses and their scores. What is not over after `num_tokens` tokens competes with
        what is, and may be the best: look for the end token. Where fewer than W have a probability
        above 0, the others have the score −∞.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If one is out of range, the prompt holds padding, the end is never to be
            written, or nothing that may be written has a probability above 0.

    References:
        A. Graves, "Sequence transduction with recurrent neural networks" (2012), section 2.5 (beam
        search); Y. Wu et al., "Google's neural machine translation system" (2016), equation 14
        (the penalty).

    Example:
        >>> def step(tokens, state):  # greedy takes 2, and then only poor tokens are left
        ...     likely = {1: [0, 0, 0.6, 0.4, 0], 2: [0, 0, 0.3, 0.3, 0.4], 3: [0, 0, 0, 0, 1]}
        ...     return np.array([likely.get(t, [0, 0, 0, 0, 1]) for t in tokens.tolist()]), None
        >>> for width in (1, 2):
        ...     found = beam_search(step, [[1]], 3, width=width, end=4)
        ...     print(found.tokens[0, 0].tolist(), np.exp(found.scores[0, 0]).round(2))
        [2, 4, 0] 0.24
        [3, 4, 0] 0.4
    """
    prompt = check_prompt(prompt)
    num_tokens, width = check_int("num_tokens", num_tokens, low=1), check_int("width", width, low=1)
    penalty = check_float("length_penalty", length_penalty, low=0)
    num_texts, state = len(prompt), None
    for tokens in prompt.T:
        probabilities, state = step(tokens, state)
    vocab_size = np.shape(probabilities)[1]
    end, never = check_marks(end, sorted(set(never)), vocab_size)
    if width > vocab_size - len(never):
        raise ValueError(
            f"`width` must be at most {vocab_size - len(never)}, the tokens that may be written. "
            + received(width=width)
        )
    # W rows a text; at first all but one are hopeless, so that not W times the same is found
    rows = np.repeat(np.arange(num_texts), width)
    probabilities, state = np.asarray(probabilities)[rows], select_rows(state, rows)
    log_p = np.where(np.arange(len(rows)) % width, -np.inf, 0.0)
    written, over = np.zeros((len(rows), num_tokens), np.int32), np.zeros(len(rows), bool)
    lengths = np.zeros(len(rows), int)
    for place in range(num_tokens):
        p = np.array(probabilities, np.float64)
        p[:, never] = 0
        with np.errstate(divide="ignore"):
            longer = log_p[:, None] + np.log(p)
        longer[over] = -np.inf
        longer[over, 0] = log_p[over]  # what is over goes on with padding
        sizes = np.where(over, lengths, place + 1)
        scores = longer / ((5 + sizes[:, None]) / 6) ** penalty
        if np.isneginf(scores.reshape(num_texts, -1).max(axis=1)).any():
            raise ValueError(
                "`never` must leave a token to write: all others have probability 0. "
                f"{received(never=never)}"
            )
        best = np.argsort(-scores.reshape(num_texts, -1), axis=1, kind="stable")[:, :width]
        first_rows = np.arange(num_texts)[:, None] * width
        rows, tokens = (first_rows + best // vocab_size).ravel(), (best % vocab_size).ravel()
        log_p, over, written = longer[rows, tokens], over[rows], written[rows]
        lengths = sizes[rows]
        written[:, place] = tokens
        over = over | (tokens == end)
        if over.all() or place == num_tokens - 1:
            break
        # what is over is read on, too, and its answer is thrown away
        probabilities, state = step(np.where(over, prompt[0, 0], tokens), select_rows(state, rows))
    scores = (log_p / ((5 + lengths) / 6) ** penalty).reshape(num_texts, width)
    return Beams(written.reshape(num_texts, width, num_tokens), scores)


def select_rows(state: Any, rows: np.ndarray) -> Any:
    """Return a state with the given rows of all its arrays; numbers and None stay as they are.

    Example:
        >>> select_rows({"h": [np.array([[1], [2]])], "place": 3}, np.array([1, 1]))
        {'h': [array([[2],
               [2]])], 'place': 3}
    """
    if isinstance(state, dict):
        return {key: select_rows(part, rows) for key, part in state.items()}
    if isinstance(state, list | tuple):
        parts = [select_rows(part, rows) for part in state]
        if isinstance(state, list):
            return parts
        return type(state)(*parts) if hasattr(state, "_fields") else tuple(parts)
    if state is None or np.ndim(state) == 0:
        return state
    if isinstance(state, np.ndarray):
        return state[rows]
    import keras

    return keras.ops.take(state, rows, axis=0)
