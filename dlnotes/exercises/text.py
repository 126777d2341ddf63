"""Exercises of lesson 22, text."""

from collections import Counter, defaultdict

import numpy as np

from dlnotes.exercises.base import Exercise, WrongAnswer


def best_without_order(texts, labels):
    """Return the largest share of texts that any function of their bags of words can get right."""
    bags = defaultdict(Counter)
    for text, label in zip(texts, labels, strict=True):
        bags[tuple(sorted(text.split()))][label] += 1
    return sum(max(counts.values()) for counts in bags.values()) / len(texts)


def _sets_of_words(texts, labels):
    bags = defaultdict(Counter)
    for text, label in zip(texts, labels, strict=True):
        bags[frozenset(text.split())][label] += 1
    return sum(max(counts.values()) for counts in bags.values()) / len(texts)


def _whole_texts(texts, labels):
    bags = defaultdict(Counter)
    for text, label in zip(texts, labels, strict=True):
        bags[text][label] += 1
    return sum(max(counts.values()) for counts in bags.values()) / len(texts)


def _mean_over_bags(texts, labels):
    bags = defaultdict(Counter)
    for text, label in zip(texts, labels, strict=True):
        bags[tuple(sorted(text.split()))][label] += 1
    return float(np.mean([max(c.values()) / sum(c.values()) for c in bags.values()]))


def _letters(texts, labels):
    bags = defaultdict(Counter)
    for text, label in zip(texts, labels, strict=True):
        bags[tuple(sorted(text.replace(" ", "")))][label] += 1
    return sum(max(counts.values()) for counts in bags.values()) / len(texts)


def _check_best_without_order(answer):
    cases = (
        (["not bad but good", "not good but bad"], [1, 0]),
        (["a b", "b a", "a b", "c"], [1, 0, 1, 0]),
        (["very very dull", "very dull", "dull very very"], [0, 1, 0]),
        (["no on", "on no", "noon"], [0, 0, 1]),
        (["x y", "y x", "x y", "y x", "z"], [2, 1, 0, 2, 1]),
    )
    for texts, labels in cases:
        right, result = best_without_order(texts, labels), answer(list(texts), list(labels))
        if result is None or np.ndim(result) or isinstance(result, str):
            raise WrongAnswer(f"return one number, a share, not {result!r}.")
        if np.isclose(result, right):
            continue
        told = f"for {texts} with the classes {labels}"
        if np.isclose(result, _whole_texts(texts, labels)):
            raise WrongAnswer(f"{told}: you tell texts apart that differ in nothing but order.")
        if np.isclose(result, _sets_of_words(texts, labels)):
            raise WrongAnswer(f"{told}: a bag knows how often a word occurs, not only whether.")
        if np.isclose(result, _letters(texts, labels)):
            raise WrongAnswer(f"{told}: this is a bag of words; yours holds letters.")
        if np.isclose(result, _mean_over_bags(texts, labels)):
            raise WrongAnswer(f"{told}: a bag that three texts share counts three times.")
        raise WrongAnswer(f"{told} the share must be {right:.4g}, not {result:.4g}.")


def per_word(per_character, characters, words):
    """Return the perplexity per word of a text with so many characters and words."""
    return per_character ** (characters / words)


def _times_length(per_character, characters, words):
    return per_character * characters / words


def _turned_over(per_character, characters, words):
    return per_character ** (words / characters)


def _kept(per_character, characters, words):
    return per_character


def _bits(per_character, characters, words):
    return np.log2(per_character) * characters / words


def _check_per_word(answer):
    for case in ((2.0, 12, 4), (6.0, 55, 10), (1.5, 9, 3), (5.0, 7, 7)):
        right, result = per_word(*case), answer(*case)
        if np.isclose(result, right):
            continue
        told = "for {} per character, {} characters and {} words".format(*case)
        if np.isclose(result, _times_length(*case)):
            raise WrongAnswer(
                f"{told}: perplexities of parts do not add up. It is probabilities that multiply."
            )
        if np.isclose(result, _turned_over(*case)):
            raise WrongAnswer(f"{told}: a word has many characters, not the reverse.")
        if np.isclose(result, _bits(*case)):
            raise WrongAnswer(f"{told}: these are the bits of a word; which perplexity is that?")
        if np.isclose(result, case[0]):
            raise WrongAnswer(f"{told}: a whole word is harder to guess than one character.")
        raise WrongAnswer(f"{told} it must be {right:.5g}, not {result:.5g}.")


def peeks(model, text, place):
    """Return whether a model's answer at a place depends on what comes after that place."""
    before = np.asarray(model(np.array(text)))[place]
    for t in range(place + 1, len(text)):
        other = np.array(text)
        other[t] = 1 if other[t] != 1 else 2
        if not np.allclose(np.asarray(model(other))[place], before):
            return True
    return False


def _any_change(model, text, place):
    other = np.array(text)
    other[0] = 1 if other[0] != 1 else 2
    return not np.allclose(
        np.asarray(model(other))[place], np.asarray(model(np.array(text)))[place]
    )


def _next_only(model, text, place):
    other = np.array(text)
    other[place + 1] = 1 if other[place + 1] != 1 else 2
    return not np.allclose(
        np.asarray(model(other))[place], np.asarray(model(np.array(text)))[place]
    )


def _good_guesses(model, text, place):
    return bool(np.asarray(model(np.array(text)))[place][text[place + 1]] > 0.9)


def _cut(model, text, place):
    return len(np.asarray(model(np.array(text[: place + 1])))) <= place


def _toy(kind):
    """Return a model over tokens 0 to 5: (T,) to (T, 6)."""

    def model(text):
        text = np.asarray(text)
        if kind == "honest":
            rows = np.cumsum(text)
        elif kind == "lucky":  # sees only the past, and knows that tokens count up
            return np.eye(6)[(text + 1) % 6] * 0.94 + 0.01
        elif kind == "next":
            rows = np.append(text[1:], 0)
        elif kind == "last":
            rows = np.full(len(text), text[-1])
        else:  # the sum of all that comes later
            rows = np.cumsum(text[::-1])[::-1] - text
        logits = np.cos(rows[:, None] + np.arange(6))
        p = np.exp(logits)
        return p / p.sum(axis=1, keepdims=True)

    return model


def _check_peeks(answer):
    text, place = np.array([3, 4, 5, 0, 1, 2]), 2
    told = {
        "honest": "a model that sums up what it has read does not peek",
        "lucky": "a model may guess well and be honest: it sees the past alone",
        "next": "this model reads the next token",
        "last": "this model looks at the text's last token, further on than the next",
        "later": "this model sums up all that comes later",
    }
    for kind, words in told.items():
        result = answer(_toy(kind), text.copy(), place)
        if not isinstance(result, bool | np.bool_):
            raise WrongAnswer(f"return True or False, not {result!r}.")
        if result != (kind in ("next", "last", "later")):
            raise WrongAnswer(f"{words}; you answer {bool(result)}.")


def nucleus(probabilities, share):
    """Return how many tokens top-p leaves."""
    largest_first = np.sort(probabilities)[::-1]
    return int(np.sum(np.cumsum(largest_first) < share - 1e-12)) + 1


def _one_too_few(probabilities, share):
    return int(np.sum(np.cumsum(np.sort(probabilities)[::-1]) < share - 1e-12))


def _unsorted(probabilities, share):
    return int(np.sum(np.cumsum(probabilities) < share - 1e-12)) + 1


def _smallest_first(probabilities, share):
    return int(np.sum(np.cumsum(np.sort(probabilities)) < share - 1e-12)) + 1


def _above(probabilities, share):
    return int(np.sum(np.asarray(probabilities) >= share))


def _check_nucleus(answer):
    sure, flat = np.array([0.02, 0.03, 0.9, 0.05]), np.full(10, 0.1)
    cases = (
        (sure, 0.8), (sure, 0.91), (flat, 0.75), (np.array([0.1, 0.2, 0.4, 0.3]), 0.6),
        (np.array([0.25, 0.25, 0.5]), 0.5),
    )  # fmt: skip
    for probabilities, share in cases:
        right, result = nucleus(probabilities, share), answer(probabilities.copy(), share)
        if result == right:
            continue
        told = f"for {probabilities.tolist()} and the share {share}"
        if result == _one_too_few(probabilities, share):
            raise WrongAnswer(f"{told}: their sum must reach the share; yours stays below it.")
        if result == _above(probabilities, share):
            raise WrongAnswer(f"{told}: the share is one of the sum, not of each token.")
        if result == _unsorted(probabilities, share):
            raise WrongAnswer(f"{told}: the most likely tokens are kept, not the first ones.")
        if result == _smallest_first(probabilities, share):
            raise WrongAnswer(f"{told}: begin with the most likely token.")
        raise WrongAnswer(f"{told} there must be {right} tokens, not {result}.")


EXERCISES: tuple[Exercise, ...] = (
    Exercise(
        id="22.1",
        title="The ceiling of a bag",
        prompt=(
            "No function of a bag of words can tell texts with the same words apart. Write "
            "`best_without_order(texts, labels)`: the largest share of these texts that any such "
            "function can get right. Words stand between blanks."
        ),
        hints=(
            "Texts whose sorted words are the same share a bag, and get one answer.",
            "In each bag the best answer is its most frequent class.",
        ),
        check=_check_best_without_order,
        reference=best_without_order,
        explanation=(
            "Group the texts by `tuple(sorted(text.split()))`. In each group the best single "
            "answer is right as often as its most frequent class occurs; add these up and divide "
            "by the number of texts. On twins this is one half."
        ),
        wrong=(
            (_sets_of_words, "how often a word occurs"),
            (_whole_texts, "nothing but order"),
            (_mean_over_bags, "counts three times"),
            (_letters, "yours holds letters"),
            (lambda texts, labels: 0.123, "the share must be"),
        ),
    ),
    Exercise(
        id="22.2",
        title="Per character, per word",
        prompt=(
            "A model has the perplexity `per_character` on a text of so many `characters`, blanks "
            "included, and so many `words`. Write `per_word(per_character, characters, words)`: "
            "its perplexity per word. Then compare models of characters and of words fairly."
        ),
        hints=(
            "The whole text has the probability per_character to the power of −characters.",
            "Which perplexity per word gives the whole text the same probability?",
        ),
        check=_check_per_word,
        reference=per_word,
        explanation=(
            "Both describe one probability of the text: a^(−characters) = b^(−words). So b = "
            "a^(characters / words): 6 per character is about 19,000 for words of 5.5 characters."
        ),
        wrong=(
            (_times_length, "do not add up"),
            (_turned_over, "not the reverse"),
            (_kept, "harder to guess"),
            (_bits, "bits of a word"),
            (lambda per_character, characters, words: 0.0, "it must be"),
        ),
    ),
    Exercise(
        id="22.3",
        title="Caught peeking",
        prompt=(
            "`model(text)` takes token ids (T,) from 0 to 5 and returns probabilities (T, 6): in "
            "row t those of token t + 1. Write `peeks(model, text, place)`: True if its answer at "
            "`place` depends on any token after `place`. The loss alone cannot tell, where "
            "the best possible is not known: a low one may be honest."
        ),
        hints=(
            "Change a later token, once. May the answer at `place` change?",
            "The model may look at one later token only: try each.",
        ),
        check=_check_peeks,
        reference=peeks,
        explanation=(
            "Change one later token at a time, and compare the answer at `place` before and "
            "after. The loss alone cannot tell a peeking model from a good one; this can."
        ),
        wrong=(
            (_any_change, "does not peek"),
            (_next_only, "further on than the next"),
            (_good_guesses, "may guess well"),
            (_cut, "reads the next token"),
        ),
    ),
    Exercise(
        id="22.4",
        title="How many does top-p leave?",
        prompt=(
            "Write `nucleus(probabilities, share)`: how many tokens top-p leaves, that is the "
            "fewest of the most likely whose probabilities sum to at least `share`. What is the "
            "difference from top-k, when the model is sure and when it is not?"
        ),
        hints=(
            "Sort, the largest first, and look at the running sum.",
            "Count the sums that are still below `share`; one token more reaches it.",
        ),
        check=_check_nucleus,
        reference=nucleus,
        explanation=(
            "Where the model is sure one token is enough, where it is unsure many are left: top-p "
            "adapts, while top-k always leaves k. (1e-12 forgives the rounding of the sum.)"
        ),
        wrong=(
            (_one_too_few, "must reach the share"),
            (_unsorted, "not the first ones"),
            (_smallest_first, "begin with the most likely"),
            (_above, "not of each token"),
            (lambda probabilities, share: -1, "there must be"),
        ),
    ),
)
