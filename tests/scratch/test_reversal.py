import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from dlnotes.scratch import Reverser, draw_words, numerical_gradient
from dlnotes.scratch.reversal import SCORES


def test_backwards_is_the_word_from_its_end():
    words = draw_words(50, np.random.default_rng(3))
    assert set(words.lengths) == {5, 6, 7, 8, 9, 10}
    assert set(words.letters.ravel()) == set(range(8))
    for letters, length, mask, backwards in zip(*words, strict=True):
        assert_array_equal(mask, np.arange(10) < length)
        assert_array_equal(backwards[mask], letters[mask][::-1])


@pytest.mark.parametrize("score", SCORES)
def test_gradients_are_those_of_finite_differences(score):
    rng = np.random.default_rng(1)
    net, words = Reverser(score, rng, width=4, start=0.5), draw_words(3, rng)
    found = net.gradients(words), list(net.attention.score.gradients)
    for owner, gradients in zip((net.weights, net.attention.score.weights), found, strict=True):
        for i, gradient in enumerate(gradients):
            kept = owner[i]

            def loss(w, owner=owner, i=i):
                owner[i] = w
                return net.loss(words)

            wanted = numerical_gradient(loss, kept)
            owner[i] = kept
            assert_allclose(gradient, wanted, atol=1e-7)


@pytest.mark.parametrize(("score", "count"), [("dot", 0), ("general", 16), ("concat", 36)])
def test_the_score_learns_so_many_numbers(score, count):
    assert Reverser(score, np.random.default_rng(0), width=4).num_score_weights == count
    assert Reverser("additive", np.random.default_rng(0), width=4).num_score_weights == 40


def test_it_learns_to_look_from_the_end():
    rng = np.random.default_rng(0)
    net, words = Reverser("additive", rng).fit(rate=0.03, updates=250, rng=rng), draw_words(40, rng)
    assert net.share_right(words) > 0.8
    assert net.loss(words) < 0.2
    net.forward(words)
    looked = net.attention.alignment.argmax(axis=-1)
    wanted = words.lengths[:, None] - 1 - np.arange(10)
    assert (looked == wanted)[words.mask].mean() > 0.9
    assert Reverser("none", rng).fit(rate=0.03, updates=50, rng=rng).share_right(words) < 0.1


def test_evenness_is_1_for_a_look_everywhere_and_0_for_a_look_at_one_place():
    rng = np.random.default_rng(0)
    words = draw_words(20, rng)
    assert_allclose(Reverser("none", rng).evenness(words), 1)
    assert_allclose(Reverser("dot", rng, start=30.0).evenness(words), 0, atol=0.02)


def test_what_does_not_fit_is_refused():
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="`score` must be one of"):
        Reverser("cosine", rng)
    with pytest.raises(ValueError, match="`start` must be"):
        Reverser("dot", rng, start=0.0)
    with pytest.raises(TypeError, match="`rng` must be"):
        draw_words(3, 0)
    with pytest.raises(ValueError, match="`updates` must be"):
        Reverser("dot", rng).fit(rate=0.1, updates=0, rng=rng)
