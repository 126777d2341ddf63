import numpy as np
import pytest
from contracts import Refusal, check_layer_contract, check_refusals
from numpy.testing import assert_allclose, assert_array_equal

from dlnotes import scratch
from dlnotes.runtime import quiet_start

with quiet_start():
    import keras
    import tensorflow as tf

    from dlnotes.layers import TransformerDecoderBlock, TransformerEncoderBlock

RNG = np.random.default_rng(0)


def arrays(*shapes):
    return [np.random.default_rng(len(s)).normal(size=s).astype("float32") for s in shapes]


def perturbed(layer):
    rng = np.random.default_rng(1)
    layer.set_weights([rng.normal(size=w.shape) for w in layer.get_weights()])
    return layer


def in_numpy(layer):
    """Take a Keras block's weights over."""

    def heads(attention):
        return scratch.MultiHeadAttention(layer.num_heads, attention.get_weights())

    def norm(theirs):
        ours = scratch.LayerNormalization(theirs.gamma.shape[0], epsilon=1e-6)
        ours.gamma, ours.beta = (np.asarray(w) for w in theirs.get_weights())
        return ours

    network = [*layer.hidden_dense.get_weights(), *layer.output_dense.get_weights()]
    attentions = [layer.attention]
    norms = [layer.attention_norm]
    if isinstance(layer, TransformerDecoderBlock):
        attentions.append(layer.context_attention)
        norms.append(layer.context_attention_norm)
    block = scratch.EncoderBlock if len(attentions) == 1 else scratch.DecoderBlock
    parts = [*map(heads, attentions), scratch.FeedForward(network)]
    norms = [norm(n) for n in (*norms, layer.feed_forward_norm)]
    return block(*parts, norms, norm_first=layer.norm_first)


def numpy_gradients(block):
    """Return the gradients of a NumPy block's weights in the order of the Keras block's."""
    attentions = [block.attention]
    if isinstance(block, scratch.DecoderBlock):
        attentions.append(block.context_attention)
    parts = [g for a in attentions for g in a.gradients] + block.feed_forward.gradients
    return parts + [g for n in block.norms for g in (n.gamma_gradient, n.beta_gradient)]


OPTIONS = {"num_heads": 2, "hidden_units": 9, "dropout": 0.0}


@pytest.mark.parametrize("norm_first", [True, False])
def test_the_blocks_keep_the_layer_contract(norm_first):
    options = OPTIONS | {"norm_first": norm_first}
    layer = check_layer_contract(TransformerEncoderBlock, options, (2, 5, 4), (2, 5, 4))
    assert len(layer.trainable_variables) == 16
    shapes = [(2, 5, 4), (2, 3, 6)]
    layer = check_layer_contract(TransformerDecoderBlock, options, shapes, (2, 5, 4))
    assert len(layer.trainable_variables) == 26
    layer = check_layer_contract(TransformerDecoderBlock, options, (2, 5, 4), (2, 5, 4))
    assert len(layer.trainable_variables) == 16


@pytest.mark.parametrize("norm_first", [True, False])
def test_the_encoder_block_is_that_of_numpy_forwards_and_backwards(norm_first):
    x, c = (RNG.normal(size=(2, 5, 4)) for _ in range(2))
    mask = np.arange(5) < np.array([[5], [3]])
    layer = TransformerEncoderBlock(2, 9, norm_first=norm_first, dtype="float64")
    layer.build(x.shape)
    perturbed(layer)
    inputs = tf.Variable(x)
    with tf.GradientTape() as tape:
        outputs, weights = layer(inputs, attention_mask=mask, return_attention_scores=True)
        loss = tf.reduce_sum(c * outputs)
    ours = in_numpy(layer)
    assert_allclose(outputs, ours.forward(x, mask), atol=1e-10)
    assert_allclose(weights, ours.attention.attention.alignment, atol=1e-12)
    wanted = [ours.backward(c), *numpy_gradients(ours)]
    found = tape.gradient(loss, [inputs, *layer.trainable_variables])
    for got, want in zip(found, wanted, strict=True):
        assert_allclose(got, want, atol=1e-8)


@pytest.mark.parametrize("norm_first", [True, False])
def test_the_decoder_block_is_that_of_numpy_forwards_and_backwards(norm_first):
    x, c, context = (RNG.normal(size=s) for s in ((2, 5, 4), (2, 5, 4), (2, 3, 6)))
    mask, context_mask = np.arange(5) < np.array([[5], [3]]), np.arange(3) < np.array([[1], [3]])
    layer = TransformerDecoderBlock(2, 9, norm_first=norm_first, dtype="float64")
    layer.build(x.shape, context.shape)
    perturbed(layer)
    inputs = tf.Variable(x), tf.Variable(context)
    masks = {"attention_mask": mask, "context_mask": context_mask}
    with tf.GradientTape() as tape:
        outputs, own, other = layer(*inputs, **masks, return_attention_scores=True)
        loss = tf.reduce_sum(c * outputs)
    ours = in_numpy(layer)
    assert_allclose(outputs, ours.forward(x, context, mask, context_mask), atol=1e-10)
    assert_allclose(own, ours.attention.attention.alignment, atol=1e-12)
    assert_allclose(other, ours.context_attention.attention.alignment, atol=1e-12)
    wanted = [*ours.backward(c), *numpy_gradients(ours)]
    found = tape.gradient(loss, [*inputs, *layer.trainable_variables])
    for got, want in zip(found, wanted, strict=True):
        assert_allclose(got, want, atol=1e-8)


@pytest.mark.parametrize("norm_first", [True, False])
def test_a_changed_later_token_changes_no_earlier_output(norm_first):
    x, context = arrays((2, 6, 4), (2, 3, 4))
    layer = TransformerDecoderBlock(2, 9, norm_first=norm_first)
    before = np.asarray(layer(x, context))
    changed = x.copy()
    changed[:, 4] += 5
    after = np.asarray(layer(changed, context))
    assert_array_equal(after[:, :4], before[:, :4])
    assert np.abs(after[:, 4:] - before[:, 4:]).max() > 0.1


def test_an_encoder_without_positions_permutes_with_its_inputs():
    (x,) = arrays((2, 6, 4))
    layer, order = TransformerEncoderBlock(2, 9), np.array([3, 0, 5, 1, 4, 2])
    assert_allclose(layer(x[:, order]), np.asarray(layer(x))[:, order], atol=1e-5)


def test_padding_changes_no_answer():
    x, context = arrays((2, 4, 4), (2, 3, 4))
    longer, more = (np.concatenate([a, 9 * np.ones_like(a)], axis=1) for a in (x, context))
    masks = [np.tile(np.arange(2 * n) < n, (2, 1)) for n in (4, 3)]
    encoder, decoder = TransformerEncoderBlock(2, 9), TransformerDecoderBlock(2, 9)
    before, after = encoder(x), encoder(longer, attention_mask=masks[0])
    assert_allclose(after[:, :4], before, atol=1e-5)
    before = decoder(x, context)
    after = decoder(longer, more, attention_mask=masks[0], context_mask=masks[1])
    assert_allclose(after[:, :4], before, atol=1e-5)
    assert np.abs(np.asarray(decoder(x, more)) - before).max() > 1e-2


@pytest.mark.parametrize("with_context", [True, False])
@pytest.mark.parametrize("norm_first", [True, False])
def test_step_by_step_with_the_cache_gives_the_whole_sequence(with_context, norm_first):
    x, context = arrays((2, 7, 4), (2, 3, 4))
    context, mask = (
        (context, np.array([[1, 1, 0], [1, 1, 1]], bool)) if with_context else (None, None)
    )
    layer = TransformerDecoderBlock(2, 9, norm_first=norm_first)
    whole = np.asarray(layer(x, context, context_mask=mask))
    cache = layer.start(2, 10, context)
    for t in range(7):
        step, cache = layer.step(x[:, t : t + 1], cache, t, mask)
        assert_allclose(step[:, 0], whole[:, t], atol=1e-5)
    assert cache.own.keys.shape == (2, 2, 10, 2)


def test_context_where_there_was_none_is_refused_and_the_reverse():
    x, context = arrays((1, 2, 4), (1, 3, 4))
    with_context, without = TransformerDecoderBlock(2, 9), TransformerDecoderBlock(2, 9)
    with_context(x, context)
    without(x)
    with pytest.raises(ValueError, match=r"`context` must be given, .*Received: context=None"):
        with_context(x)
    with pytest.raises(ValueError, match=r"`context` must be None, .*\(1, 3, 4\)"):
        without(x, context)


def test_in_a_functional_model_the_weights_can_be_had_too():
    x, context = keras.Input((5, 4)), keras.Input((3, 6))
    _, weights = TransformerEncoderBlock(2, 9)(x, return_attention_scores=True)
    assert weights.shape == (None, 2, 5, 5)
    _, own, other = TransformerDecoderBlock(2, 9)(x, context, return_attention_scores=True)
    assert (own.shape, other.shape) == ((None, 2, 5, 5), (None, 2, 5, 3))
    _, own = TransformerDecoderBlock(2, 9)(x, return_attention_scores=True)
    assert own.shape == (None, 2, 5, 5)


def test_dropout_is_at_work_in_training_alone():
    (x,) = arrays((1, 6, 4))
    layer = TransformerEncoderBlock(2, 9, dropout=0.5)
    assert_array_equal(layer(x), layer(x, training=False))
    keras.utils.set_random_seed(0)
    assert np.abs(np.asarray(layer(x, training=True)) - np.asarray(layer(x))).max() > 0.1


@pytest.mark.parametrize("block", [TransformerEncoderBlock, TransformerDecoderBlock])
def test_wrong_arguments_are_refused(block):
    refusals = [
        Refusal((0, 8), {}, ValueError, "`num_heads` must be an integer >= 1"),
        Refusal((2, 0), {}, ValueError, "`hidden_units` must be an integer >= 1"),
        Refusal((2, 8), {"dropout": 1.5}, ValueError, "`dropout` must"),
        Refusal((2, 8), {"norm_first": 1}, TypeError, "`norm_first` must be True or False"),
    ]
    check_refusals(block, refusals)
    with pytest.raises(ValueError, match="`num_heads` must divide the width 4"):
        block(3, 8)(np.zeros((1, 2, 4)))
