"""Exercises of lesson 26, The Transformer."""

import numpy as np

from dlnotes.exercises.base import Exercise, WrongAnswer


def block_weights(width, hidden_units):
    """Return the number of weights of an encoder block, biases included."""
    attention = 4 * (width * width + width)
    network = width * hidden_units + hidden_units + hidden_units * width + width
    return attention + network + 2 * 2 * width


def _without_biases(width, hidden_units):
    return 4 * width * width + 2 * width * hidden_units + 4 * width


def _one_norm(width, hidden_units):
    return block_weights(width, hidden_units) - 2 * width


def _three_projections(width, hidden_units):
    return block_weights(width, hidden_units) - width * width - width


def _without_norms(width, hidden_units):
    return block_weights(width, hidden_units) - 4 * width


def _check_block_weights(answer):
    for width, units in ((8, 16), (64, 128), (6, 5)):
        right, result = block_weights(width, units), answer(width, units)
        if np.shape(result) == () and result == right:
            continue
        told = f"a block of width {width} with {units} hidden units has {right}"
        messages = {
            _without_biases: "every one of the six matrices has a bias.",
            _one_norm: "there are two normalizations, one before each part.",
            _three_projections: "queries, keys and values have a matrix each, and a fourth one "
            "joins the heads' answers.",
            _without_norms: "a layer normalization has a scale and a shift for each feature.",
        }
        for wrong, message in messages.items():
            if np.shape(result) == () and result == wrong(width, units):
                raise WrongAnswer(f"{told}: {message}")
        raise WrongAnswer(f"{told}, not {result}.")


def attention_cost(length, width, num_heads):
    """Return multiplications of scores and mixes, and the number of weights kept, of all heads."""
    multiplications = 2 * length * length * width
    return multiplications, num_heads * length * length


def _heads_of_full_width(length, width, num_heads):
    return num_heads * 2 * length * length * width, num_heads * length * length


def _linear(length, width, num_heads):
    return 2 * length * width, num_heads * length


def _scores_alone(length, width, num_heads):
    return length * length * width, num_heads * length * length


def _one_table(length, width, num_heads):
    return 2 * length * length * width, length * length


def _check_cost(answer):
    for length, width, num_heads in ((10, 8, 2), (50, 64, 4), (7, 6, 1)):
        args = length, width, num_heads
        right, result = attention_cost(*args), answer(*args)
        if np.shape(result) != (2,):
            raise WrongAnswer("return two numbers: the multiplications and the weights kept.")
        if tuple(result) == right:
            continue
        messages = {
            _heads_of_full_width: "each head has width / num_heads columns, not all of them: the "
            "multiplications do not depend on the number of heads.",
            _linear: "every token looks at *every* token: both grow with the square of the length.",
            _scores_alone: "the scores are half of it; mixing the values costs as much again.",
            _one_table: "each head has a table of weights of its own, length × length.",
        }
        for wrong, message in messages.items():
            if tuple(result) == wrong(*args):
                raise WrongAnswer(message)
        raise WrongAnswer(
            f"for {length} tokens of width {width} and {num_heads} heads it must be {right}, not "
            f"{tuple(result)}."
        )


def causal_weights(scores):
    """Return the weights of a causal self-attention from its scores (T, T)."""
    scores = np.where(np.tri(len(scores), dtype=bool), scores, -np.inf)
    e = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def _softmax(scores, axis=-1):
    e = np.exp(scores - scores.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def _mask_after(scores):
    return _softmax(scores) * np.tri(len(scores))


def _looks_ahead(scores):
    return _softmax(np.where(np.tri(len(scores), dtype=bool).T, scores, -1e30))


def _zero_scores(scores):
    return _softmax(scores * np.tri(len(scores)))


def _over_queries(scores):
    return _softmax(np.where(np.tri(len(scores), dtype=bool), scores, -1e30), axis=0)


def _check_causal_weights(answer):
    rng = np.random.default_rng(26)
    for scores in (rng.normal(size=(4, 4)), 3 * rng.normal(size=(6, 6)), np.array([[2.0]])):
        right, result = causal_weights(scores), np.asarray(answer(scores.copy()), dtype=float)
        if result.shape != right.shape:
            raise WrongAnswer(
                f"the weights must have the shape of the scores, {scores.shape}, not "
                f"{result.shape}."
            )
        if np.allclose(result, right):
            continue
        messages = {
            _mask_after: "your rows do not sum to 1: mask the *scores*, before the softmax.",
            _looks_ahead: "your mask is the wrong way round: token i may look at those up to i.",
            _zero_scores: "a score of 0 is no mask: exp(0) is 1. It must be −∞ or nearly.",
            _over_queries: "each *row*, one query's weights over all keys, must sum to 1.",
        }
        for wrong, message in messages.items():
            if np.allclose(result, wrong(scores)):
                raise WrongAnswer(message)
        raise WrongAnswer(
            f"for the scores {np.round(scores, 2).tolist()} it must be "
            f"{np.round(right, 3).tolist()}."
        )


def next_answer(query, key, value, cache):
    """Return one head's answer to a new token's query, and the cache with its key and value."""
    keys, values = np.vstack([cache[0], key]), np.vstack([cache[1], value])
    scores = keys @ query / np.sqrt(len(query))
    weights = np.exp(scores - scores.max())
    return weights / weights.sum() @ values, (keys, values)


def _old_tokens_alone(query, key, value, cache):
    keys, values = next_answer(query, key, value, cache)[1]
    scores = cache[0] @ query / np.sqrt(len(query))
    weights = np.exp(scores - scores.max())
    return weights / weights.sum() @ cache[1], (keys, values)


def _unscaled(query, key, value, cache):
    return next_answer(query * np.sqrt(len(query)), key, value, cache)


def _cache_forgotten(query, key, value, cache):
    return next_answer(query, key, value, cache)[0], cache


def _only_this_token(query, key, value, cache):
    return value, next_answer(query, key, value, cache)[1]


def _check_next_answer(answer):
    rng = np.random.default_rng(27)
    cache = rng.normal(size=(3, 4)), rng.normal(size=(3, 5))
    for _ in range(3):
        query, key, value = rng.normal(size=4), rng.normal(size=4), rng.normal(size=5)
        right, new = next_answer(query, key, value, cache)
        given = tuple(part.copy() for part in cache)
        result = answer(query.copy(), key.copy(), value.copy(), given)
        if not isinstance(result, tuple) or len(result) != 2 or len(result[1]) != 2:
            raise WrongAnswer("return the answer and the new cache: a pair of keys and values.")
        found, kept = np.asarray(result[0], dtype=float), result[1]
        if found.shape != right.shape:
            raise WrongAnswer(
                f"the answer is one mix of the values, of shape {right.shape}, not {found.shape}."
            )
        messages = {
            _old_tokens_alone: "a token looks at itself, too: put its key and value into the cache "
            "before it looks.",
            _unscaled: "the scores must be divided by √d, d the length of the query.",
            _only_this_token: "your answer is the new token's own value; the cached tokens are to "
            "be looked at as well.",
        }
        if not np.allclose(found, right):
            for wrong, message in messages.items():
                if np.allclose(found, wrong(query, key, value, cache)[0]):
                    raise WrongAnswer(message)
            raise WrongAnswer(
                f"with {len(cache[0])} tokens in the cache the answer must be "
                f"{np.round(right, 3).tolist()}, not {np.round(found, 3).tolist()}."
            )
        if any(
            np.shape(mine) != np.shape(theirs) or not np.allclose(mine, theirs)
            for mine, theirs in zip(kept, new, strict=True)
        ):
            raise WrongAnswer(
                "the new cache must hold one row more: the new token's key and value below those "
                "that were there."
            )
        cache = new


EXERCISES: tuple[Exercise, ...] = (
    Exercise(
        id="26.1",
        title="How many weights?",
        prompt=(
            "Write `block_weights(width, hidden_units)`: the number of weights of an encoder "
            "block, all biases and both normalizations included."
        ),
        hints=(
            "Attention has four square matrices, the feed-forward network two.",
            "Each of the six has a bias, as long as its output.",
            "A layer normalization has two numbers a feature.",
        ),
        check=_check_block_weights,
        reference=block_weights,
        explanation=(
            "Width 64 and 128 hidden units: 33,472, half of them in the feed-forward network. The "
            "number of heads does not occur: heads share out the columns, and add no weight."
        ),
        wrong=(
            (_without_biases, "has a bias"),
            (_one_norm, "two normalizations"),
            (_three_projections, "a fourth one"),
            (_without_norms, "a scale and a shift"),
            (lambda width, hidden_units: 7, "not 7"),
        ),
    ),
    Exercise(
        id="26.2",
        title="What does a look cost?",
        prompt=(
            "Write `attention_cost(length, width, num_heads)`: a pair of numbers for one "
            "self-attention of `length` tokens: the multiplications for all scores and all mixes "
            "(without projections and softmax), and how many weights there are, of all heads."
        ),
        hints=(
            "One head: length² scores of width / num_heads multiplications, and as many for the "
            "mixes.",
            "Times num_heads: what is left of num_heads?",
        ),
        check=_check_cost,
        reference=attention_cost,
        explanation=(
            "Multiplications do not depend on the heads, the weights do: with many heads and long "
            "texts it is the softmax that takes the time and the tables that take the memory."
        ),
        wrong=(
            (_heads_of_full_width, "not all of them"),
            (_linear, "the square of the length"),
            (_scores_alone, "as much again"),
            (_one_table, "a table of weights of its own"),
            (lambda length, width, num_heads: 3, "two numbers"),
            (lambda length, width, num_heads: (1, 2), "it must be"),
        ),
    ),
    Exercise(
        id="26.3",
        title="Never look ahead",
        prompt=(
            "Write `causal_weights(scores)`: from the scores (T, T) of T queries (rows) and T keys "
            "the weights of a causal self-attention, in NumPy alone."
        ),
        hints=(
            "`np.tri(T, dtype=bool)` is True where a token may look.",
            "Give every other score −np.inf, then take the softmax of each row.",
        ),
        check=_check_causal_weights,
        reference=causal_weights,
        explanation=(
            "exp(−∞) is 0, so the softmax shares all weight among what may be seen. The first "
            "token can look at itself alone: its weight is 1 whatever the scores are."
        ),
        wrong=(
            (_mask_after, "do not sum to 1"),
            (_looks_ahead, "the wrong way round"),
            (_zero_scores, "is no mask"),
            (_over_queries, "each *row*"),
            (lambda scores: scores[0], "the shape of the scores"),
            (lambda scores: 0 * scores, "it must be"),
        ),
    ),
    Exercise(
        id="26.4",
        title="One token more",
        prompt=(
            "One head writes with a cache: a pair of keys (N, d) and values (N, v) of the tokens "
            "so far. Write `next_answer(query, key, value, cache)` for one new token, whose query "
            "and key have d numbers and whose value has v: the answer, (v,), and the new cache, in "
            "a tuple."
        ),
        hints=(
            "The new token looks at itself as well: extend the cache first.",
            "`np.vstack([cache[0], key])` puts a row below; the scores are keys @ query / √d.",
        ),
        check=_check_next_answer,
        reference=next_answer,
        explanation=(
            "One query, N + 1 keys: the cost of a token grows with N, not with N². No mask is "
            "needed, since what comes later is not in the cache yet."
        ),
        wrong=(
            (_old_tokens_alone, "looks at itself"),
            (_unscaled, "divided by √d"),
            (_only_this_token, "looked at as well"),
            (_cache_forgotten, "one row more"),
            (lambda query, key, value, cache: value, "the new cache"),
            (lambda query, key, value, cache: (value[:2], cache), "one mix"),
            (lambda query, key, value, cache: (0 * value, cache), "the answer must be"),
        ),
    ),
)
