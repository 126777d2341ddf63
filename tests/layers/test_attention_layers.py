import numpy as np
import pytest
from contracts import Refusal, check_layer_contract, check_refusals
from numpy.testing import assert_allclose, assert_array_equal

from dlnotes import scratch
from dlnotes.runtime import quiet_start

with quiet_start():
    import keras
    import tensorflow as tf

    from dlnotes.layers import BahdanauAttention, CachedMultiHeadAttention, LuongAttention

SHAPES = [(2, 3, 4), (2, 5, 6)]
KINDS = {
    "bahdanau": lambda **kw: BahdanauAttention(7, **kw),
    "dot": lambda **kw: LuongAttention("dot", **kw),
    "general": lambda **kw: LuongAttention("general", **kw),
    "concat": lambda **kw: LuongAttention("concat", units=7, **kw),
}


def arrays(*shapes, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=shape) for shape in shapes]


def perturbed(layer, seed=1):
    """Give every weight, biases too, a random value."""
    layer.set_weights(arrays(*(w.shape for w in layer.get_weights()), seed=seed))


def numpy_score(kind, weights):
    if kind == "dot":
        return scratch.DotScore()
    if kind == "general":
        return scratch.GeneralScore(*weights)
    query_kernel, key_kernel, *bias, v = weights
    return scratch.AdditiveScore(query_kernel, key_kernel, bias[0] if bias else None, v)


@pytest.mark.parametrize(
    ("layer_class", "options", "num_trainable"),
    [
        (BahdanauAttention, {"units": 7}, 4),
        (LuongAttention, {"score": "general"}, 1),
        (LuongAttention, {"score": "concat", "units": 7}, 3),
        (LuongAttention, {"score": "concat"}, 3),
    ],
)
def test_attention_keeps_the_layer_contract(layer_class, options, num_trainable):
    check_layer_contract(layer_class, options, SHAPES, (2, 3, 6), num_trainable=num_trainable)


def test_dot_attention_and_heads_keep_the_layer_contract():
    shapes = [(2, 3, 4), (2, 5, 4)]
    check_layer_contract(LuongAttention, {"score": "dot"}, shapes, (2, 3, 4), num_trainable=0)
    options = {"num_heads": 2, "dropout": 0.0}
    # the keys' bias moves all scores of a query alike: its gradient is 0 but for rounding
    layer = check_layer_contract(CachedMultiHeadAttention, options, (2, 3, 4), (2, 3, 4))
    assert len(layer.trainable_variables) == 8


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("masked", [None, "keys", "pairs"])
def test_values_weights_and_gradients_are_those_of_numpy(kind, masked):
    query, key, value, c = arrays((2, 3, 6), (2, 5, 6), (2, 5, 4), (2, 3, 4))
    mask = {
        None: None,
        "keys": np.array([[1, 1, 0, 1, 0], [0, 0, 0, 0, 0]], bool),
        "pairs": np.random.default_rng(1).random((2, 3, 5)) < 0.6,
    }[masked]
    layer = KINDS[kind](dtype="float64")
    inputs = [tf.constant(x) for x in (query, value, key)]
    layer(*inputs)
    perturbed(layer)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs, weights = layer(*inputs, attention_mask=mask, return_attention_scores=True)
        loss = tf.reduce_sum(c * outputs)
    gradients = tape.gradient(loss, [*inputs, *layer.trainable_variables])
    ours = scratch.Attention(numpy_score(kind, layer.get_weights()))
    assert_allclose(outputs, ours.forward(query, key, value, mask), atol=1e-12)
    assert_allclose(weights, ours.alignment, atol=1e-12)
    of_query, of_key, of_value = ours.backward(c)
    wanted = list(ours.score.gradients)
    for found, want in zip(gradients, [of_query, of_value, of_key, *wanted], strict=True):
        assert_allclose(found, want, atol=1e-10)


def test_dot_and_additive_are_keras_own_layers():
    query, key, value = (x.astype("float32") for x in arrays((2, 3, 6), (2, 5, 6), (2, 5, 4)))
    mask = np.array([[1, 1, 0, 1, 0], [1, 0, 0, 0, 1]], bool)
    theirs = keras.layers.Attention()([query, value, key], mask=[None, mask])
    assert_allclose(LuongAttention()(query, value, key, attention_mask=mask), theirs, atol=1e-6)
    theirs = keras.layers.AdditiveAttention(use_scale=False)([query, value, key], mask=[None, mask])
    layer = BahdanauAttention(6)
    layer.build(query.shape, value.shape, key.shape)
    layer.set_weights([np.eye(6), np.eye(6), np.zeros(6), np.ones(6)])
    assert_allclose(layer(query, value, key, attention_mask=mask), theirs, atol=1e-6)


def test_concat_and_general_are_keras_own_layers_with_what_the_kernels_make():
    query, value, key, kernel, of_key = (
        x.astype("float32") for x in arrays((2, 3, 6), (2, 5, 6), (2, 5, 4), (6, 4), (4, 4))
    )
    mask = np.array([[1, 1, 0, 1, 0], [1, 0, 0, 0, 1]], bool)
    theirs = keras.layers.Attention(score_mode="concat")  # one number, for each unit the same
    inputs = [query @ kernel, value, key @ of_key]
    theirs.build([x.shape for x in inputs])
    theirs.set_weights([np.array(0.7)])
    layer = LuongAttention("concat", units=4)
    layer.build(query.shape, value.shape, key.shape)
    layer.set_weights([kernel, of_key, np.full(4, 0.7)])
    wanted = theirs(inputs, mask=[None, mask])
    assert_allclose(layer(query, value, key, attention_mask=mask), wanted, atol=1e-6)
    layer = LuongAttention("general")
    layer.build(query.shape, value.shape, key.shape)
    layer.set_weights([kernel])
    wanted = keras.layers.Attention()([query @ kernel, value, key], mask=[None, mask])
    assert_allclose(layer(query, value, key, attention_mask=mask), wanted, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_masked_changes_nothing(kind):
    query, value = (x.astype("float32") for x in arrays((2, 3, 6), (2, 5, 6)))
    layer = KINDS[kind]()
    before = np.asarray(layer(query, value))
    longer = np.concatenate([value, 100 * np.ones((2, 4, 6), "float32")], axis=1)
    mask = np.arange(9) < 5
    after = layer(query, longer, attention_mask=np.tile(mask, (2, 1)))
    assert_allclose(after, before, atol=1e-5)
    assert np.abs(np.asarray(layer(query, longer)) - before).max() > 0.1
    nowhere = layer(query, value, attention_mask=np.zeros((2, 5), bool))
    assert_array_equal(nowhere, np.zeros_like(before))


@pytest.mark.parametrize("kind", KINDS)
def test_in_a_functional_model_the_weights_can_be_had_too(kind):
    query, value = (keras.Input(shape[1:]) for shape in ((2, 3, 6), (2, 5, 6)))
    outputs, weights = KINDS[kind]()(query, value, return_attention_scores=True)
    assert (outputs.shape, weights.shape) == ((None, 3, 6), (None, 3, 5))
    outputs, weights = CachedMultiHeadAttention(2)(query, value, return_attention_scores=True)
    assert (outputs.shape, weights.shape) == ((None, 3, 6), (None, 2, 3, 5))


@pytest.mark.parametrize("kind", KINDS)
def test_large_scores_stay_finite_in_float16(kind):
    query, value = (x.astype("float16") for x in arrays((1, 2, 64), (1, 4, 64)))
    mask = np.array([[True, True, False, False]])
    outputs = KINDS[kind](dtype="mixed_float16")(50 * query, 5 * value, attention_mask=mask)
    assert np.isfinite(np.asarray(outputs)).all()


def test_products_beyond_float16_still_choose_the_nearest_key():
    query, value = 100 * np.ones((1, 1, 64), "float16"), 100 * np.ones((1, 2, 64), "float16")
    value[:, 1] = 200  # products of 640,000 and 1,280,000; float16 ends at 65,504
    layer = LuongAttention("dot", dtype="mixed_float16")
    outputs, weights = layer(query, value, return_attention_scores=True)
    assert_array_equal(weights, [[[0.0, 1.0]]])
    assert_array_equal(outputs, value[:, 1:])
    assert {x.dtype for x in (outputs, weights)} == {tf.float16}
    layer = CachedMultiHeadAttention(1, dtype="mixed_float16")
    layer.build(query.shape, value.shape)
    layer.set_weights([np.eye(64), np.zeros(64)] * 4)
    outputs, weights = layer(query, value, return_attention_scores=True)
    assert_array_equal(weights, [[[[0.0, 1.0]]]])
    assert_array_equal(outputs, value[:, 1:])


def test_heads_divide_before_the_product_that_could_overflow_in_float16():
    query, value = (x.astype("float16") for x in arrays((1, 2, 64), (1, 4, 64)))
    layer = CachedMultiHeadAttention(4, dtype="mixed_float16")
    layer.build(query.shape, value.shape)
    eyes = [np.eye(64), np.zeros(64)] * 4
    layer.set_weights(eyes)
    outputs, weights = layer(200 * query, 60 * value, return_attention_scores=True)
    asks, keys = (a.astype("float32").reshape(-1, 4, 16).swapaxes(0, 1) for a in (query, value))
    products = 200 * asks @ (60 * keys.swapaxes(1, 2))
    assert np.abs(products).max() > 65_504  # the largest number of float16
    assert np.isfinite(np.asarray(outputs)).all()
    assert_allclose(np.asarray(weights).sum(axis=-1), 1, atol=1e-3)


def test_an_input_mask_of_keras_is_not_taken_for_the_mask_of_the_keys():
    tokens = keras.Input((None,), dtype="int32")
    vectors = keras.layers.Embedding(9, 4, mask_zero=True)(tokens)
    model = keras.Model(tokens, LuongAttention("general")(vectors, vectors))
    assert model(np.array([[3, 0, 0]])).shape == (1, 3, 4)


def heads(num_heads=2, size=6, value_size=6, seed=1, **options):
    layer = CachedMultiHeadAttention(num_heads, **options)
    layer.build((None, None, size), (None, None, value_size))
    perturbed(layer, seed)
    return layer


@pytest.mark.parametrize("masked", [None, "keys", "pairs"])
@pytest.mark.parametrize("itself", [True, False])
def test_heads_are_those_of_numpy_forwards_and_backwards(masked, itself):
    query, value, c = arrays((2, 3, 6), (2, 3 if itself else 5, 6), (2, 3, 6))
    n = 3 if itself else 5
    mask = {
        None: None,
        "keys": np.arange(n) < np.array([[n - 1], [0]]),
        "pairs": np.random.default_rng(1).random((2, 3, n)) < 0.6,
    }[masked]
    layer = heads(dtype="float64")
    inputs = [tf.constant(query)] + ([] if itself else [tf.constant(value)])
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs, weights = layer(*inputs, attention_mask=mask, return_attention_scores=True)
        loss = tf.reduce_sum(c * outputs)
    ours = scratch.MultiHeadAttention(2, layer.get_weights())
    assert_allclose(outputs, ours.forward(query, None if itself else value, mask), atol=1e-12)
    assert_allclose(weights, ours.attention.alignment, atol=1e-12)
    wanted = ours.backward(c)
    wanted = [*([wanted] if itself else wanted), *ours.gradients]
    found = tape.gradient(loss, [*inputs, *layer.trainable_variables])
    for got, want in zip(found, wanted, strict=True):
        assert_allclose(got, want, atol=1e-10)


@pytest.mark.parametrize("causal", [False, True])
def test_heads_are_keras_multi_head_attention(causal):
    query, value = (x.astype("float32") for x in arrays((2, 4, 6), (2, 4, 5)))
    layer, theirs = heads(3, value_size=5), keras.layers.MultiHeadAttention(3, 2)
    theirs.build(query.shape, value.shape)
    shapes = [w.shape for w in theirs.get_weights()]
    theirs.set_weights(
        [w.reshape(shape) for w, shape in zip(layer.get_weights(), shapes, strict=True)]
    )
    mask = np.random.default_rng(1).random((2, 4, 4)) < 0.6
    mask[:, :, 0] = True  # where nothing may be looked at, Keras' layer returns the values' mean
    options = {"attention_mask": mask, "use_causal_mask": causal, "return_attention_scores": True}
    for ours, wanted in zip(
        layer(query, value, **options), theirs(query, value, **options), strict=True
    ):
        assert_allclose(ours, wanted, atol=1e-5)


def test_dropout_of_weights_is_at_work_in_training_alone():
    layer = CachedMultiHeadAttention(1, dropout=0.5)
    x = np.ones((1, 8, 4), "float32")
    assert_array_equal(layer(x), layer(x, training=False))
    assert np.abs(np.asarray(layer(x, training=True)) - np.asarray(layer(x))).max() > 1e-3


def test_wrong_arguments_are_refused():
    check_refusals(BahdanauAttention, [Refusal((0,), {}, ValueError, "`units` must be an integer")])
    refusals = [
        Refusal(("cosine",), {}, ValueError, "`score` must be one of"),
        Refusal(("dot",), {"units": 3}, ValueError, "`units` must be None for the score"),
        Refusal(("concat",), {"units": 0}, ValueError, "`units` must be an integer >= 1"),
    ]
    check_refusals(LuongAttention, refusals)
    refusals = [
        Refusal((0,), {}, ValueError, "`num_heads` must be an integer >= 1"),
        Refusal((2,), {"dropout": 1.0}, ValueError, "`dropout` must"),
    ]
    check_refusals(CachedMultiHeadAttention, refusals)
    query, value = (np.ones(shape, "float32") for shape in SHAPES)
    with pytest.raises(ValueError, match=r"`query` must be as wide as the keys .* 6 features"):
        LuongAttention("dot")(query, value)
    with pytest.raises(ValueError, match=r"`num_heads` must divide the width 4. Received: .*3"):
        CachedMultiHeadAttention(3)(query)
    with pytest.raises(ValueError, match=r"`attention_mask` must have the shape"):
        BahdanauAttention(3)(query, value, attention_mask=np.ones(5, bool))
