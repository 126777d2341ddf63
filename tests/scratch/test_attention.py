import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from dlnotes import scratch
from dlnotes.scratch import (
    AdditiveScore,
    Attention,
    DecoderBlock,
    DotScore,
    EncoderBlock,
    FeedForward,
    GeneralScore,
    MultiHeadAttention,
    causal_mask,
    make_score,
    masked_softmax,
    numerical_gradient,
)


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


SCORES = {
    "dot": lambda q, k: DotScore(),
    "scaled": lambda q, k: DotScore(scaled=True),
    "general": lambda q, k: GeneralScore(draw(q, k)),
    "additive": lambda q, k: AdditiveScore(draw(q, 3), draw(k, 3, seed=1), draw(3), draw(3)),
    "concat": lambda q, k: AdditiveScore(draw(q, 3), draw(k, 3, seed=1), None, draw(3)),
}


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 3), st.integers(1, 4), st.integers(1, 5), st.integers(0, 1000))
def test_weights_sum_to_one_where_something_may_be_seen(batch, queries, keys, seed):
    rng = np.random.default_rng(seed)
    mask = rng.random((batch, queries, keys)) < 0.5
    weights = masked_softmax(100 * rng.normal(size=mask.shape), mask)
    assert not weights[~mask].any()
    assert_allclose(weights.sum(-1), mask.any(-1), atol=1e-12)


def test_a_dot_score_is_the_table_of_dot_products():
    query, key = draw(2, 3, 5), draw(2, 4, 5, seed=1)
    wanted = [[[q @ k for k in keys] for q in rows] for rows, keys in zip(query, key, strict=True)]
    assert_allclose(DotScore().forward(query, key), wanted)
    assert_allclose(DotScore(scaled=True).forward(query, key), np.array(wanted) / 5**0.5)


def test_additive_without_bias_is_one_matrix_times_query_and_key_joined():
    query, key, kernel, v = draw(1, 1, 2), draw(1, 1, 3, seed=1), draw(5, 4), draw(4)
    joined = np.concatenate([query[0, 0], key[0, 0]])
    score = AdditiveScore(kernel[:2], kernel[2:], None, v).forward(query, key)
    assert_allclose(score, [[[np.tanh(joined @ kernel) @ v]]])


def test_scores_are_made_by_name():
    made = {name: make_score(name, 4, np.random.default_rng(0)) for name in SCORES}
    shapes = {name: [w.shape for w in score.weights] for name, score in made.items()}
    hidden = [(4, 4), (4, 4)]
    wanted = {"dot": [], "scaled": [], "general": [(4, 4)], "concat": [*hidden, (4,)]}
    assert shapes == wanted | {"additive": [*hidden, (4,), (4,)]}
    assert made["scaled"].scaled
    assert not made["dot"].scaled
    assert np.abs(np.vstack(made["concat"].weights[:2])).max() <= (6 / 12) ** 0.5
    with pytest.raises(ValueError, match="`name` must be one of"):
        make_score("cosine", 4, np.random.default_rng(0))
    with pytest.raises(ValueError, match="`width` must be"):
        make_score("dot", 0, np.random.default_rng(0))
    with pytest.raises(TypeError, match="`rng` must be"):
        make_score("general", 4, 0)


def check_gradients(part, forward, backward, inputs):
    """Compare the gradients of a random linear loss with finite differences."""
    c = draw(*forward(*inputs).shape, seed=9)
    found = backward(c)
    found = list(found) if isinstance(found, tuple) else [found]
    for i, x in enumerate(inputs):
        parts = list(inputs)

        def loss(x, i=i, parts=parts):
            return float((c * forward(*parts[:i], x, *parts[i + 1 :])).sum())

        assert_allclose(found[i], numerical_gradient(loss, x), atol=1e-6)
    for weights, gradients in part:
        for i, gradient in enumerate(list(gradients)):
            kept = weights[i]

            def loss_of(w, weights=weights, i=i):
                weights[i] = w
                return float((c * forward(*inputs)).sum())

            assert_allclose(gradient, numerical_gradient(loss_of, kept), atol=1e-6)
            weights[i] = kept


@pytest.mark.parametrize("kind", SCORES)
def test_gradients_of_attention_are_those_of_finite_differences(kind):
    key_size = 4 if kind in ("dot", "scaled") else 3
    look = Attention(SCORES[kind](4, key_size))
    mask = np.array([[[1, 1, 0, 1, 1], [0, 0, 0, 0, 0], [1, 1, 1, 1, 1]]], bool)
    inputs = [draw(2, 3, 4), draw(2, 5, key_size, seed=1), draw(2, 5, 2, seed=2)]
    forward = lambda q, k, v: look.forward(q, k, v, mask)  # noqa: E731
    forward(*inputs)
    look.backward(draw(2, 3, 2, seed=9))
    check_gradients([(look.score.weights, look.score.gradients)], forward, look.backward, inputs)


def test_gradients_of_heads_and_blocks_are_those_of_finite_differences():
    rng = np.random.default_rng(0)
    x, context = draw(1, 3, 4), draw(1, 2, 4, seed=1)
    heads = MultiHeadAttention.draw(4, 2, rng)
    heads.forward(x, context)
    heads.backward(draw(1, 3, 4, seed=9))
    check_gradients([(heads.weights, heads.gradients)], heads.forward, heads.backward, [x, context])
    for norm_first in (True, False):
        block = EncoderBlock.draw(4, 2, 5, rng, norm_first=norm_first)
        check_gradients([], block.forward, block.backward, [x])
        block = DecoderBlock.draw(4, 2, 5, rng, norm_first=norm_first)
        check_gradients([], block.forward, block.backward, [x, context])


def test_nothing_looks_ahead():
    assert_array_equal(causal_mask(4)[0], np.tril(np.ones((4, 4), bool)))
    block, context = DecoderBlock.draw(4, 2, 5, np.random.default_rng(0)), draw(1, 2, 4, seed=1)
    x = draw(1, 5, 4)
    before = block.forward(x, context)
    x[:, 3, 0] += 5
    after = block.forward(x, context, np.ones((1, 5), bool))
    assert_array_equal(after[:, :3], before[:, :3])
    assert np.abs(after[:, 3:] - before[:, 3:]).min() > 1e-6


def test_positions_are_waves_of_many_lengths():
    waves = scratch.sinusoidal_positions(200, 6)
    t = np.arange(200)
    for i, length in enumerate((1, 10_000 ** (1 / 3), 10_000 ** (2 / 3))):
        assert_allclose(waves[:, 2 * i], np.sin(t / length), atol=1e-12)
        assert_allclose(waves[:, 2 * i + 1], np.cos(t / length), atol=1e-12)


def test_wrong_arguments_are_refused():
    look, x = Attention(DotScore()), draw(2, 3, 4)
    wrong = [
        ((x[0], x, x), ValueError, "`query` must be 3-dimensional"),
        ((x, x[:1], x), ValueError, r"`key` must have shape \(2, any, any\)"),
        ((x, x, x[:, :2]), ValueError, r"`value` must have shape \(2, 3, any\)"),
        ((x, x, x, np.ones((2, 3))), TypeError, "`mask` must hold booleans"),
        (
            (x, x, x, np.ones((2, 4), bool)),
            ValueError,
            r"`mask` .*\(2, 3, 3\). Received: .*\(2, 4\)",
        ),
        ((x, x, x, np.ones((3, 1, 3), bool)), ValueError, "`mask` must have the shape"),
    ]
    for arguments, error, message in wrong:
        with pytest.raises(error, match=message):
            look.forward(*arguments)
    with pytest.raises(
        ValueError, match="`num_heads` must divide the width 6. Received: num_heads=4"
    ):
        MultiHeadAttention.draw(6, 4, np.random.default_rng(0))
    with pytest.raises(ValueError, match=r"`weights\[2\]` must have shape"):
        FeedForward([draw(2, 3), draw(3), draw(4, 2), draw(2)])
    with pytest.raises(ValueError, match=r"`v` must have shape \(3,\)"):
        AdditiveScore(draw(2, 3), draw(2, 3), None, draw(2))
    with pytest.raises(ValueError, match="`width` must be even"):
        scratch.sinusoidal_positions(3, 5)
    with pytest.raises(ValueError, match="`length` must be an integer >= 1"):
        causal_mask(0)
    block = EncoderBlock.draw(4, 2, 5, np.random.default_rng(0))
    with pytest.raises(ValueError, match="`norms` must be 2 normalizations"):
        EncoderBlock(block.attention, block.feed_forward, block.norms[:1])


def test_heads_refuse_what_is_not_as_wide_as_their_kernels():
    heads = MultiHeadAttention.draw(4, 2, np.random.default_rng(0))
    with pytest.raises(ValueError, match=r"`query` must have shape \(any, any, 4\)"):
        heads.forward(draw(2, 3, 5))
    with pytest.raises(ValueError, match=r"`key` must have shape \(2, any, 4\)"):
        heads.forward(draw(2, 3, 4), draw(2, 3, 5))


def test_a_wrong_number_of_arrays_is_refused():
    with pytest.raises(ValueError, match="`weights` must be eight arrays"):
        scratch.MultiHeadAttention(2, [np.eye(4), np.zeros(4)])
    with pytest.raises(ValueError, match=r"`weights` must be four arrays. .*\(weights\)=3"):
        FeedForward([draw(2, 3), draw(3), draw(3, 2)])
    parts = [scratch.MultiHeadAttention.draw(4, 2, np.random.default_rng(0))]
    parts.append(scratch.FeedForward([np.eye(4), np.zeros(4), np.eye(4), np.zeros(4)]))
    with pytest.raises(ValueError, match="`norms` must be 2 normalizations"):
        scratch.EncoderBlock(*parts, [scratch.LayerNormalization(4)])
