"""Exercises of lesson 25, Attention."""

import numpy as np

from dlnotes.exercises.base import Exercise, WrongAnswer


def attend(query, keys, values):
    """Return the mix of values that one query finds, with scaled dot products."""
    scores = keys @ query / np.sqrt(len(query))
    weights = np.exp(scores - scores.max())
    return weights / weights.sum() @ values


def _unscaled(query, keys, values):
    return attend(query * np.sqrt(len(query)), keys, values)


def _without_softmax(query, keys, values):
    return keys @ query / np.sqrt(len(query)) @ values


def _not_divided(query, keys, values):
    return np.exp(keys @ query / np.sqrt(len(query))) @ values


def _best_alone(query, keys, values):
    return values[np.argmax(keys @ query)]


def _mix_of_keys(query, keys, values):
    return attend(query, keys, keys)


def _divided_by_d(query, keys, values):
    return attend(query / np.sqrt(len(query)), keys, values)


def _check_attend(answer):
    rng = np.random.default_rng(25)
    for places, width, size in ((4, 4, 3), (3, 9, 9)):
        query, keys, values = (
            rng.normal(size=shape) for shape in ((width,), (places, width), (places, size))
        )
        right = attend(query, keys, values)
        result = np.asarray(answer(query.copy(), keys.copy(), values.copy()), dtype=float)
        messages = {
            _mix_of_keys: "you mixed the keys. Keys are compared; values are mixed.",
            _unscaled: "the scores are not divided by √D, the square root of the query's length.",
            _divided_by_d: "the scores are divided by D; it is its square root, √D.",
            _without_softmax: "scores are no weights yet: they need the softmax.",
            _not_divided: "the weights do not sum to 1: divide the exponentials by their sum.",
            _best_alone: "you took the value of the best key alone. All are mixed.",
        }
        for wrong, message in messages.items():
            other = wrong(query, keys, values)
            if result.shape == other.shape and np.allclose(result, other):
                raise WrongAnswer(message)
        if result.shape != right.shape:
            raise WrongAnswer(
                f"the answer is one vector of {size} numbers, as long as a value; yours has the "
                f"shape {result.shape}."
            )
        if not np.allclose(result, right):
            raise WrongAnswer(
                f"for {places} places of width {width} it must be {np.round(right, 3).tolist()}, "
                f"not {np.round(result, 3).tolist()}."
            )


def take_away(weights, mask):
    """Return the weights that a softmax would have given with a mask."""
    kept = np.where(mask, weights, 0.0)
    return kept / kept.sum(axis=-1, keepdims=True)


def _only_zeros(weights, mask):
    return np.where(mask, weights, 0.0)


def _shared_out(weights, mask):
    kept = np.where(mask, weights, 0.0)
    lost = 1 - kept.sum(axis=-1, keepdims=True)
    return np.where(mask, kept + lost / mask.sum(axis=-1, keepdims=True), 0.0)


def _softmax_again(weights, mask):
    kept = np.where(mask, np.exp(weights), 0.0)
    return kept / kept.sum(axis=-1, keepdims=True)


def _whole_table(weights, mask):
    kept = np.where(mask, weights, 0.0)
    return kept / kept.sum()


def _other_half(weights, mask):
    return take_away(weights, ~mask)


def _check_take_away(answer):
    weights = np.array([[0.1, 0.2, 0.3, 0.4], [0.7, 0.1, 0.1, 0.1]])
    mask = np.array([[True, True, True, False], [True, False, False, True]])
    right, result = take_away(weights, mask), np.asarray(answer(weights.copy(), mask.copy()), float)
    if result.shape != right.shape:
        raise WrongAnswer(f"return weights of the shape {right.shape}, not {result.shape}.")
    messages = {
        _only_zeros: "the hidden places are 0, but the rest of a row does not sum to 1 any more.",
        _shared_out: "you dealt out what was lost evenly. A softmax keeps the proportions of those "
        "that are left.",
        _softmax_again: "these are weights already, not scores: no second softmax.",
        _whole_table: "each *row* sums to 1, not the table: sum along the last axis.",
        _other_half: "the mask is True where one may look.",
    }
    for wrong, message in messages.items():
        if np.allclose(result, wrong(weights, mask)):
            raise WrongAnswer(message)
    if not np.allclose(result, right):
        raise WrongAnswer(
            f"the weights {weights[0].tolist()} without the last place are "
            f"{np.round(right[0], 4).tolist()}, not {np.round(result[0], 4).tolist()}."
        )


def every_second():
    """Return queries that read the places 0, 2, 4, 1, 3 of five one-hot keys."""
    return 20 * np.eye(5)[[0, 2, 4, 1, 3]]


def _check_queries(result):
    array = np.asarray(result, dtype=float)
    if array.shape != (5, 5):
        raise WrongAnswer(
            f"give an array of shape (5, 5), a row for each query, not {array.shape}."
        )
    scores = array @ np.eye(5)
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    weights /= weights.sum(axis=1, keepdims=True)
    read = "".join("ABCDE"[j] for j in weights.argmax(axis=1))
    if np.ptp(weights, axis=1).min() < 1e-9:
        raise WrongAnswer("one of your queries looks everywhere alike.")
    if read == "ADBEC":
        raise WrongAnswer(
            "yours reads ADBEC: the transpose. Row t is the query of step t, column j belongs to "
            "place j."
        )
    if read != "ACEBD":
        raise WrongAnswer(f"yours reads {read}, not ACEBD.")
    least = weights.max(axis=1).min()
    if least < 0.99:
        raise WrongAnswer(
            f"it reads ACEBD, but one of the largest weights is only {least:.2f}. Make the scores "
            "larger: the softmax looks at their differences."
        )


def count_weights(score, query_size, key_size, units):
    """Return how many numbers a score learns."""
    return {
        "dot": 0,
        "general": query_size * key_size,
        "concat": (query_size + key_size) * units + units,
        "additive": (query_size + key_size) * units + 2 * units,
    }[score]


def _no_bias(score, query_size, key_size, units):
    return count_weights("concat" if score == "additive" else score, query_size, key_size, units)


def _no_v(score, query_size, key_size, units):
    right = count_weights(score, query_size, key_size, units)
    return right - units if score in ("concat", "additive") else right


def _square(score, query_size, key_size, units):
    if score == "general":
        return query_size**2
    return count_weights(score, query_size, key_size, units)


def _dot_counts(score, query_size, key_size, units):
    return query_size if score == "dot" else count_weights(score, query_size, key_size, units)


def _check_count(answer):
    for sizes in ((4, 4, 4), (4, 6, 5)):
        for score in ("dot", "general", "concat", "additive"):
            right, result = count_weights(score, *sizes), answer(score, *sizes)
            if np.shape(result) == () and result == right:
                continue
            told = f'"{score}" with queries of {sizes[0]}, keys of {sizes[1]} and {sizes[2]} units'
            messages = {
                _dot_counts: "a dot product multiplies query and key; it has nothing to learn.",
                _square: "the matrix stands between query and key: it has a row for each number of "
                "the query and a column for each of the key.",
                _no_bias: "Bahdanau's hidden layer has a bias.",
                _no_v: "the vector v, which makes one number of the hidden layer, is missing.",
            }
            for wrong, message in messages.items():
                if np.shape(result) == () and result == wrong(score, *sizes):
                    raise WrongAnswer(f"{told} has {right}: {message}")
            raise WrongAnswer(f"{told} has {right}, not {result}.")


EXERCISES: tuple[Exercise, ...] = (
    Exercise(
        id="25.1",
        title="One look",
        prompt=(
            "Write `attend(query, keys, values)` for a single query, with scaled dot products: "
            "`query` has the shape (D,), `keys` (N, D), `values` (N, V). Return the answer, (V,)."
        ),
        hints=(
            "Scores, softmax, mix: `keys @ query` are N dot products.",
            "Divide them by `np.sqrt(len(query))`, then exponentials over their sum.",
            "The mix is `weights @ values`.",
        ),
        check=_check_attend,
        reference=attend,
        explanation=(
            "Subtracting the largest score changes no weight and keeps exp from overflowing. All "
            "of attention is in these three lines; the rest is where query, keys and values come "
            "from."
        ),
        wrong=(
            (_unscaled, "not divided by √D"),
            (_divided_by_d, "it is its square root"),
            (_without_softmax, "need the softmax"),
            (_not_divided, "divide the exponentials"),
            (_best_alone, "All are mixed"),
            (_mix_of_keys, "you mixed the keys"),
            (lambda query, keys, values: keys @ query, "one vector of"),
            (lambda query, keys, values: 2 * attend(query, keys, values), "it must be"),
        ),
    ),
    Exercise(
        id="25.2",
        title="A mask that came late",
        prompt=(
            "Somebody forgot the mask: `weights` (M, N) are a softmax over all places, and the "
            "scores are gone. `mask`, booleans of the same shape, is True where a query may look; "
            "in each row it is True at least once. Write `take_away(weights, mask)`: the weights "
            "that the softmax would have given with the mask."
        ),
        hints=(
            "Without a place its exponential is missing from the sum, and nothing else changes.",
            "So the weights that are left keep their proportions.",
            "Put zeros, then divide each row by its sum.",
        ),
        check=_check_take_away,
        reference=take_away,
        explanation=(
            "Weights can be mended like that as long as no row put all of its weight on padding. "
            "What cannot be mended is a model that was *trained* without the mask."
        ),
        wrong=(
            (_only_zeros, "does not sum to 1"),
            (_shared_out, "keeps the proportions"),
            (_softmax_again, "no second softmax"),
            (_whole_table, "sum along the last axis"),
            (_other_half, "may look"),
            (lambda weights, mask: weights[0], "of the shape"),
            (lambda weights, mask: weights, "without the last place"),
        ),
    ),
    Exercise(
        id="25.3",
        title="Every second letter",
        prompt=(
            "Five places hold the letters A, B, C, D, E; the key of place j is the one-hot vector "
            "of j. Give `queries`, an array (5, 5), so that unscaled dot attention reads A, C, E, "
            "B, D, with a largest weight of at least 0.99 at each step."
        ),
        hints=(
            "With one-hot keys the scores are the queries themselves.",
            "`np.eye(5)[[0, 2, …]]` picks rows. What are the weights then?",
            "Multiply it, as the lesson did with ROMA: e^s / (e^s + 4) must be 0.99.",
        ),
        check=_check_queries,
        reference=every_second(),
        explanation=(
            "A score of 1 against 0 gives the weight e / (e + 4) = 0.4. From 5.99 on it is 0.99: a "
            "softmax is sharp when scores differ by several units, whatever their size."
        ),
        wrong=(
            (np.eye(5)[[0, 2, 4, 1, 3]], "only 0.40"),
            (20 * np.eye(5), "yours reads ABCDE"),
            (20 * np.eye(5)[[0, 3, 1, 4, 2]], "the transpose"),
            (np.ones((5, 5)), "everywhere alike"),
            (np.eye(4), "shape (5, 5)"),
        ),
    ),
    Exercise(
        id="25.4",
        title="How much does a score learn?",
        prompt=(
            "Write `count_weights(score, query_size, key_size, units)` for the scores "
            '"dot", "general", "concat" and "additive" (Bahdanau\'s, with a bias): how many '
            "numbers each learns. `units` is the size of the hidden layer, where there is one."
        ),
        hints=(
            "Look at `self.weights` of the three classes.",
            "General: W has the shape (query_size, key_size).",
            "Concat: W, U and v. Additive: also b.",
        ),
        check=_check_count,
        reference=count_weights,
        explanation=(
            "For 128 units everywhere: 0, 16,384, 32,896 and 33,024. That the dot product did so "
            "well shows that the rest of the network had learned to make queries and keys match."
        ),
        wrong=(
            (_dot_counts, "nothing to learn"),
            (_square, "stands between"),
            (_no_v, "is missing"),
            (_no_bias, "has a bias"),
            (lambda score, query_size, key_size, units: 7, "not 7"),
        ),
    ),
)
