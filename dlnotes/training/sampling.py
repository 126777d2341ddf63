"""Writing with a model that predicts the next token: temperature, top-k, top-p, and the loop."""

from collections.abc import Callable, Collection
from typing import Any

import numpy as np

from dlnotes.validation import check_array, check_float, check_int, check_rng, received


def sharpen(
    probabilities: Any,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
) -> np.ndarray:
    """Change probabilities before something is drawn from them.

    Letters: B rows, V tokens. First the temperature t: each probability p becomes p to the power
    of 1/t, and each row is divided by its sum. Below 1 the likely gets likelier, above 1 all gets
    more alike; with 0 only the most likely is left. Then the k most likely stay, then the fewest
    of them whose sum reaches p; the rest becomes 0, and each row is divided by its sum again. Of
    equal probabilities at the edge the token with the smaller number stays.

    Args:
        probabilities: Rows that sum to 1, (B, V), or one row, (V,).
        temperature: t, >= 0.
        top_k: k, >= 1; None leaves all.
        top_p: p, in (0, 1]; None leaves all.

    Returns:
        Probabilities of the same shape, float64.

    Raises:
        TypeError: If an argument is not a number, or not numbers.
        ValueError: If one is out of range, or a row does not sum to 1.

    References:
        Temperature: D. H. Ackley, G. E. Hinton and T. J. Sejnowski, A learning algorithm for
        Boltzmann machines, Cognitive Science 9 (1985), equation 5. Top-k: A. Fan, M. Lewis and
        Y. Dauphin, Hierarchical neural story generation, ACL (2018), section 5.4. Top-p:
        A. Holtzman, J. Buys, L. Du, M. Forbes and Y. Choi, The curious case of neural text
        degeneration, ICLR (2020), section 3.1.

    Example:
        >>> sharpen([0.5, 0.25, 0.25], temperature=0.5).round(3).tolist()
        [0.667, 0.167, 0.167]
        >>> sharpen([0.5, 0.3, 0.2], top_k=2).round(3).tolist()
        [0.625, 0.375, 0.0]
    """
    p, temperature, top_k, top_p = check_sharpen(probabilities, temperature, top_k, top_p)
    order = np.argsort(-p, axis=-1, kind="stable")  # the most likely first
    p = np.take_along_axis(p, order, axis=-1)
    if temperature == 0:
        top_k = 1
    else:
        p = (p / p[..., :1]) ** (1 / temperature)  # the largest is 1: nothing gets lost
        p /= p.sum(axis=-1, keepdims=True)
    if top_k is not None:
        p[..., top_k:] = 0
        p /= p.sum(axis=-1, keepdims=True)
    if top_p is not None:
        before = np.cumsum(p, axis=-1) - p
        p[before >= top_p] = 0
        p /= p.sum(axis=-1, keepdims=True)
    return np.take_along_axis(p, np.argsort(order, axis=-1), axis=-1)


def draw(probabilities: Any, rng: np.random.Generator) -> np.ndarray:
    """Draw one token a row.

    Args:
        probabilities: Rows that sum to 1, (B, V).
        rng: Source of chance; the same state gives the same tokens.

    Returns:
        Token numbers, int64, (B,). A token of probability 0 is never drawn.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a row does not sum to 1.

    Example:
        >>> draw([[0.0, 1.0], [0.5, 0.5]], np.random.default_rng(0)).tolist()
        [1, 0]
    """
    p = check_probabilities(probabilities)
    if p.ndim != 2:
        raise ValueError(f"`probabilities` must be 2-dimensional. Received: shape={p.shape}")
    rng = check_rng("rng", rng)
    steps = np.cumsum(p, axis=1)
    chance = rng.random((len(p), 1)) * steps[:, -1:]  # below the sum, which rounding may move
    return (steps > chance).argmax(axis=1)


def generate(
    step: Callable[[np.ndarray, Any], tuple[Any, Any]],
    prompt: Any,
    num_tokens: int,
    *,
    rng: np.random.Generator,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    end: int | None = None,
    never: Collection[int] = (0, 1),
) -> np.ndarray:
    """Write on, token by token: predict the next, draw it, read it, and again.

    Letters: B texts at once, P tokens of the prompt, N tokens to write.

    Args:
        step: ``step(tokens, state)`` reads one more token of each text, (B,), and returns the
            probabilities of the next, (B, V), and its new state. The first state is None.
            `dlnotes.training.language_model_step` makes one of a model.
        prompt: What is read before anything is drawn, (B, P), whole numbers >= 1, P >= 1.
        num_tokens: N, >= 1.
        rng: Source of chance.
        temperature: As in `sharpen`.
        top_k: As in `sharpen`.
        top_p: As in `sharpen`.
        end: Token after which a text is over, and only 0 (padding) follows; None for none.
        never: Tokens that are not to be written, by default padding and unknown.

    Returns:
        What was written, int32, (B, N), without the prompt. A text that is over ends in 0s.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If one is out of range, the prompt holds padding, `end` or a token of `never`
            is no token of the model, `end` is never to be written, or nothing may be written.

    Example:
        >>> def step(tokens, state):  # after token k comes k + 1
        ...     return np.eye(9)[(tokens + 1) % 9], None
        >>> generate(step, [[3], [5]], 4, rng=np.random.default_rng(0), end=8).tolist()
        [[4, 5, 6, 7], [6, 7, 8, 0]]
    """
    prompt = check_prompt(prompt)
    num_tokens, rng = check_int("num_tokens", num_tokens, low=1), check_rng("rng", rng)
    state = None
    for tokens in prompt.T:
        probabilities, state = step(tokens, state)
    end, never = check_marks(end, never, np.shape(probabilities)[-1])
    written = np.zeros((len(prompt), num_tokens), np.int32)
    going = np.ones(len(prompt), bool)
    for column in range(num_tokens):
        p = np.array(probabilities, np.float64)
        p[:, never] = 0
        p[~going, -1] = 1  # drawn, but not kept
        if (p.sum(axis=1) == 0).any():
            raise ValueError(f"`never` must leave a token to write. {received(never=never)}")
        p /= p.sum(axis=1, keepdims=True)
        p = sharpen(p, temperature=temperature, top_k=top_k, top_p=top_p)
        tokens = draw(p, rng)
        written[:, column] = np.where(going, tokens, 0)
        going &= tokens != end
        if not going.any() or column == num_tokens - 1:
            break
        probabilities, state = step(tokens, state)
    return written


def check_sharpen(
    probabilities: Any, temperature: Any, top_k: Any, top_p: Any
) -> tuple[np.ndarray, float, int | None, float | None]:
    """Return the arguments of `sharpen`, checked; the probabilities are a copy.

    Raises:
        TypeError: If one has the wrong type.
        ValueError: If one is out of range.
    """
    p = check_probabilities(probabilities)
    temperature = check_float("temperature", temperature, low=0)
    if top_k is not None:
        top_k = check_int("top_k", top_k, low=1)
    if top_p is not None:
        top_p = check_float("top_p", top_p, low=0, high=1, open_low=True)
    return p, temperature, top_k, top_p


def check_probabilities(probabilities: Any) -> np.ndarray:
    """Return rows of probabilities, (B, V) or (V,), as a float64 copy.

    Raises:
        TypeError: If they are not numbers.
        ValueError: If one is negative, or a row does not sum to 1 (within 1e-3).
    """
    p = np.array(check_array("probabilities", probabilities, ndim=(1, 2)))
    wrong = (p < 0).any() or (np.abs(p.sum(axis=-1) - 1) > 1e-3).any()
    if wrong:
        raise ValueError(
            "`probabilities` must be rows of numbers >= 0 that sum to 1. "
            f"{received(sums=p.sum(axis=-1))}"
        )
    return p


def check_marks(end: Any, never: Any, vocab_size: int) -> tuple[int | None, list[int]]:
    """Return the end and the tokens that are never written, each of 0 to ``vocab_size - 1``.

    Raises:
        TypeError: If one is not an integer.
        ValueError: If one is out of range, or the end is never to be written.
    """
    never = [check_int("never", token, low=0, high=vocab_size - 1) for token in never]
    if end is not None:
        end = check_int("end", end, low=0, high=vocab_size - 1)
        if end in never:
            raise ValueError(f"`end` must not be in `never`. {received(end=end, never=never)}")
    return end, never


def check_prompt(prompt: Any) -> np.ndarray:
    """Return a prompt, (B, P), as int32.

    Raises:
        TypeError: If it does not hold whole numbers.
        ValueError: If it is not a table, is empty, or holds padding or negative numbers.
    """
    array = check_array("prompt", prompt, ndim=2, dtype=None)
    if array.dtype.kind not in "iu":
        raise TypeError(f"`prompt` must hold whole numbers. {received(prompt=prompt)}")
    if array.min() < 1:
        raise ValueError(f"`prompt` must hold tokens >= 1, no padding. {received(prompt=prompt)}")
    return array.astype(np.int32)
