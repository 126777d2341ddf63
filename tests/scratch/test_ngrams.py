from collections import Counter

import numpy as np
import pytest
from contracts import check_docstring
from hypothesis import given, settings
from hypothesis import strategies as st

from dlnotes.scratch import NGrams, perplexity


def by_dictionaries(text, order, size, alpha, context, token):
    """Return the same probability, counted one by one."""
    if order == 0:
        return 1 / size
    context = tuple(context[len(context) - order + 1 :]) if order > 1 else ()
    grams = Counter(tuple(text[i : i + order]) for i in range(len(text) - order + 1))
    total = sum(count for gram, count in grams.items() if gram[:-1] == context)
    shorter = by_dictionaries(text, order - 1, size, alpha, context, token)
    return (grams[(*context, token)] + alpha * shorter) / (total + alpha)


@settings(max_examples=25, deadline=None)
@given(
    text=st.lists(st.integers(0, 3), min_size=4, max_size=30),
    other=st.lists(st.integers(0, 3), min_size=1, max_size=8),
    order=st.integers(1, 4),
    alpha=st.sampled_from([0.1, 1.0, 7.0]),
)
def test_probabilities_are_those_counted_one_by_one(text, other, order, alpha):
    model = NGrams(order, 4, alpha=alpha).fit(text)
    found = model.probabilities(other)
    for i, token in enumerate(other):
        seen = min(order, i + 1)  # at the beginning the context is shorter
        wanted = by_dictionaries(text, seen, 4, alpha, other[:i], token)
        assert found[i] == pytest.approx(wanted, abs=1e-12)
        assert model.next(other[:i])[token] == pytest.approx(wanted, abs=1e-12)
    assert model.next(other).sum() == pytest.approx(1)


def test_counts_without_smoothing_are_shares():
    model = NGrams(2, 3, alpha=1e-9).fit([0, 1, 0, 1, 0, 2])
    np.testing.assert_allclose(model.next([0]), [0, 2 / 3, 1 / 3], atol=1e-6)
    np.testing.assert_allclose(model.next([]), [1 / 2, 1 / 3, 1 / 6], atol=1e-6)


def test_a_longer_context_helps_where_it_decides():
    text = np.tile([0, 1, 0, 2], 50)  # after 0 comes 1 or 2 in turn
    two, three = (perplexity(NGrams(n, 3, alpha=0.1).fit(text).probabilities(text)) for n in (2, 3))
    assert two > 1.35
    assert three < 1.05


def test_a_lower_order_is_that_of_a_smaller_model():
    text, other = np.random.default_rng(0).integers(0, 4, (2, 60))
    big = NGrams(3, 4).fit(text)
    for order in (1, 2, 3):
        small = NGrams(order, 4).fit(text).probabilities(other)
        np.testing.assert_allclose(big.probabilities(other, order=order), small, atol=1e-15)
    with pytest.raises(ValueError, match=r"`order` must be an integer in \[1, 3\]"):
        big.probabilities(other, order=4)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_steps_give_what_the_whole_text_gives(order):
    texts = np.random.default_rng(1).integers(0, 4, (2, 8))
    model, state = NGrams(order, 4).fit(texts.ravel()), None
    for t in range(7):
        p, state = model.step(texts[:, t], state)
        for row in (0, 1):
            wanted = model.probabilities(texts[row])[t + 1]
            assert p[row, texts[row, t + 1]] == pytest.approx(wanted)


def test_big_vocabularies_do_not_overflow():
    model = NGrams(4, 30_000).fit([29_999] * 10)
    assert model.next([29_999] * 3)[29_999] > 0.9
    with pytest.raises(ValueError, match="`order` must be so small that every n-gram"):
        NGrams(5, 30_000)


def test_perplexity_of_known_texts():
    assert perplexity([1, 1]) == 1
    assert perplexity(np.full((3, 4), 1 / 50)) == pytest.approx(50)
    assert perplexity([0.5, 0]) == np.inf
    uniform = NGrams(1, 7, alpha=1e9).fit([0, 1]).probabilities([3, 3, 4])
    assert perplexity(uniform) == pytest.approx(7)
    with pytest.raises(ValueError, match=r"`probabilities` must lie in \[0, 1\]"):
        perplexity([0.5, 1.2])
    with pytest.raises(ValueError, match="`probabilities` must not be empty"):
        perplexity([])


def test_wrong_arguments_are_refused():
    model = NGrams(2, 3).fit([0, 1, 2])
    for ids in ([3], [-1]):
        with pytest.raises(ValueError, match=r"`tokens` must lie in \[0, 2\]"):
            model.probabilities(ids)
    with pytest.raises(TypeError, match="`tokens` must be whole numbers"):
        model.next([0.5])
    with pytest.raises(ValueError, match="`tokens` must be 1-dimensional"):
        model.fit([[0, 1]])
    with pytest.raises(ValueError, match="`tokens` must hold at least 2"):
        NGrams(2, 3).fit([0])
    with pytest.raises(ValueError, match="`fit` must be called before"):
        NGrams(2, 3).next([0])
    with pytest.raises(ValueError, match="`order` must be an integer >= 1"):
        NGrams(0, 3)
    with pytest.raises(ValueError, match="`alpha` must be a finite number > 0"):
        NGrams(2, 3, alpha=0)
    check_docstring(NGrams)
