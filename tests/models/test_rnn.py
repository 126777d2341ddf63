import numpy as np
import pytest
from contracts import Refusal, check_builder_contract

from dlnotes.runtime import quiet_start

with quiet_start():
    import keras

    from dlnotes.models import build_rnn_classifier

REFUSALS = [
    Refusal((1, 3), {}, ValueError, "`vocab_size` must be an integer >= 2"),
    Refusal((9.0, 3), {}, TypeError, "`vocab_size` must be an integer"),
    Refusal((9, 0), {}, ValueError, "`num_classes` must be an integer >= 1"),
    Refusal((9, 3), {"cell": "LSTM"}, ValueError, "`cell` must be one of 'lstm', 'gru', 'simple'"),
    Refusal((9, 3), {"cell": None}, ValueError, "`cell` must be one of .*cell=None"),
    Refusal((9, 3), {"units": (8, 8)}, TypeError, "`units` must be an integer"),
    Refusal((9, 3), {"units": 0}, ValueError, "`units` must be an integer >= 1"),
    Refusal((9, 3), {"num_layers": 0}, ValueError, "`num_layers` must be an integer >= 1"),
    Refusal((9, 3), {"bidirectional": "yes"}, TypeError, "`bidirectional` must be True or False"),
    Refusal((9, 3), {"embedding_size": 0}, ValueError, "`embedding_size` must be an integer >= 1"),
    Refusal((9, 3), {"dropout": -0.1}, ValueError, r"`dropout` must be .* in \[0, 1\)"),
    Refusal((9, 3), {"name": 1}, TypeError, "`name` must be a text"),
]
SMALL = {"units": 3, "embedding_size": 2}


def answers(model, rows):
    return np.concatenate([np.asarray(model(np.array([row], dtype="int32"))) for row in rows])


def values(variable):
    return keras.ops.convert_to_numpy(variable)


def build_lively(*args, **kwargs):
    """Build a network whose tokens differ much, so that its answers to different rows do too."""
    keras.utils.set_random_seed(1)
    model = build_rnn_classifier(*args, **SMALL, **kwargs)
    tokens = np.random.default_rng(0).normal(0, 2, model.get_layer("embedding").embeddings.shape)
    model.get_layer("embedding").set_weights([tokens])
    return model


def test_rnn_keeps_the_builder_contract():
    model = check_builder_contract(build_rnn_classifier, [9, 3], SMALL, refusals=REFUSALS)
    layers = ["tokens", "padding_last", "embedding", "recurrent_1", "zero_if_empty", "output"]
    assert [layer.name for layer in model.layers] == layers
    assert model.name == "rnn_classifier"
    assert model.get_layer("output").activation.__name__ == "softmax"


def test_rnn_keeps_the_builder_contract_with_everything():
    options = {"cell": "simple", "num_layers": 2, "bidirectional": True, "dropout": 0.25}
    model = check_builder_contract(build_rnn_classifier, [9, 1], {**SMALL, **options})
    inner = ["both_ways_1", "dropout_1", "both_ways_2", "dropout_2"]
    names = [layer.name for layer in model.layers]
    assert names[2:-2] == ["embedding", "dropout_0", *inner]
    assert isinstance(model.get_layer("both_ways_2").backward_layer, keras.layers.SimpleRNN)
    assert {model.get_layer(f"dropout_{i}").rate for i in range(3)} == {0.25}
    assert model.get_layer("output").activation.__name__ == "sigmoid"


@pytest.mark.parametrize(
    ("cell", "matrices"),
    # a bias for each matrix; the GRU of Keras has two (reset_after)
    [("simple", lambda d, u: (d + u + 1) * u), ("lstm", lambda d, u: 4 * (d + u + 1) * u),
     ("gru", lambda d, u: 3 * (d + u + 2) * u)],
)  # fmt: skip
def test_rnn_counts_its_parameters_as_one_does_by_hand(cell, matrices):
    model = build_rnn_classifier(9, 4, cell=cell, units=5, embedding_size=3)
    assert model.count_params() == 9 * 3 + matrices(3, 5) + (5 + 1) * 4
    options = {"units": 5, "num_layers": 2, "bidirectional": True, "embedding_size": 3}
    both = build_rnn_classifier(9, 4, cell=cell, **options)
    assert both.count_params() == 9 * 3 + 2 * matrices(3, 5) + 2 * matrices(10, 5) + (10 + 1) * 4


@pytest.mark.parametrize("cell", ["lstm", "gru", "simple"])
def test_padding_on_either_side_changes_no_answer(cell):
    model = build_lively(9, 3, cell=cell, num_layers=2, bidirectional=True)
    same = [[5, 2, 8, 0, 0], [0, 0, 5, 2, 8], [0, 5, 2, 8, 0], [5, 0, 2, 0, 8]]
    other = [[8, 2, 5, 0, 0], [0, 5, 2, 8, 8], [0, 0, 0, 5, 2]]  # the order and the length count
    alone = answers(model, [[5, 2, 8]])
    together = np.asarray(model(np.array(same + other)))
    np.testing.assert_allclose(together[:4], np.repeat(alone, 4, axis=0), atol=1e-6)
    assert np.abs(together[4:] - alone).max(axis=1).min() > 1e-3


def test_the_answer_is_that_of_a_plain_network_without_padding():
    model = build_lively(9, 3, num_layers=2)
    x = model.get_layer("embedding")(np.array([[5, 2, 8]]))
    for i in (1, 2):
        x = model.get_layer(f"recurrent_{i}")(x)
    expected = np.asarray(model.get_layer("output")(x))
    np.testing.assert_allclose(answers(model, [[0, 5, 2, 8, 0]]), expected, atol=1e-6)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_row_of_padding_alone_is_answered_by_the_bias_alone(bidirectional):
    model = build_lively(9, 2, bidirectional=bidirectional)
    output = model.get_layer("output")
    output.set_weights([output.get_weights()[0], np.array([0.0, np.log(3)])])
    padding = answers(model, [[0], [0, 0, 0]])
    np.testing.assert_allclose(padding, [[0.25, 0.75]] * 2, atol=1e-6)
    assert np.abs(answers(model, [[1]]) - padding[0]).max() > 1e-3


def test_a_row_of_padding_alone_trains_the_bias_alone():
    model = build_rnn_classifier(9, 1, **SMALL)
    model.compile(keras.optimizers.SGD(0.5), "binary_crossentropy", run_eagerly=True)
    before = {variable.path: values(variable) for variable in model.trainable_variables}
    assert np.isfinite(model.train_on_batch(np.zeros((2, 4), dtype="int32"), np.ones((2, 1))))
    changed = [v.path for v in model.trainable_variables if (values(v) != before[v.path]).any()]
    assert changed == ["output/bias"]


def test_the_mask_that_the_recurrent_layers_get_suits_the_gpu_kernels():
    model = build_rnn_classifier(9, 2, num_layers=2, bidirectional=True, **SMALL)
    rows = np.array([[0, 3, 0, 1], [0, 0, 0, 0], [1, 2, 3, 4], [4, 0, 0, 0]])
    _, mask, _ = model.get_layer("padding_last")(rows)
    mask = np.asarray(mask)
    assert mask[:, 0].all()  # no empty row
    assert not (mask[:, 1:] & ~mask[:, :-1]).any()  # padding at the end only
    layer = model.get_layer("both_ways_2")
    assert layer.forward_layer.use_cudnn == "auto"


def test_rnn_learns_in_mixed_precision_and_answers_in_float32():
    before = keras.config.dtype_policy()
    try:
        keras.config.set_dtype_policy("mixed_float16")
        model = build_rnn_classifier(9, 3, cell="gru", dropout=0.1, **SMALL)
    finally:
        keras.config.set_dtype_policy(before)
    model.compile("sgd", "sparse_categorical_crossentropy", run_eagerly=True)
    rows = np.array([[1, 2, 0], [0, 0, 0], [0, 4, 5]])
    assert np.isfinite(model.train_on_batch(rows, np.array([0, 1, 2])))
    kinds = {layer.name: layer.compute_dtype for layer in model.layers}
    assert kinds["recurrent_1"] == kinds["zero_if_empty"] == "float16"
    assert kinds["output"] == "float32"
    assert np.isfinite(answers(model, rows)).all()
