import numpy as np
import pytest
from contracts import Refusal, check_builder_contract

from dlnotes.runtime import quiet_start

with quiet_start():
    import keras

    from dlnotes.models import build_language_model, build_text_cnn

CNN_REFUSALS = [
    Refusal((1, 3), {}, ValueError, "`vocab_size` must be an integer >= 2"),
    Refusal((9, 0), {}, ValueError, "`num_classes` must be an integer >= 1"),
    Refusal((9, 3), {"widths": ()}, ValueError, "`widths` must be different numbers"),
    Refusal((9, 3), {"widths": (2, 2)}, ValueError, "`widths` must be different numbers"),
    Refusal((9, 3), {"widths": (0, 2)}, ValueError, "`widths` must be a tuple of positive"),
    Refusal((9, 3), {"widths": 3}, TypeError, "`widths` must be a tuple of positive integers"),
    Refusal((9, 3), {"filters": 0}, ValueError, "`filters` must be an integer >= 1"),
    Refusal((9, 3), {"embedding_size": 1.5}, TypeError, "`embedding_size` must be an integer"),
    Refusal((9, 3), {"dropout": 1.0}, ValueError, r"`dropout` must be .* in \[0, 1\)"),
    Refusal((9, 3), {"name": ""}, ValueError, "`name` must not be empty"),
]
LM_REFUSALS = [
    Refusal((1,), {}, ValueError, "`vocab_size` must be an integer >= 2"),
    Refusal(("9",), {}, TypeError, "`vocab_size` must be an integer"),
    Refusal((9,), {"cell": "rnn"}, ValueError, "`cell` must be one of 'lstm', 'gru', 'simple'"),
    Refusal((9,), {"units": 0}, ValueError, "`units` must be an integer >= 1"),
    Refusal((9,), {"num_layers": 0}, ValueError, "`num_layers` must be an integer >= 1"),
    Refusal((9,), {"embedding_size": 0}, ValueError, "`embedding_size` must be an integer >= 1"),
    Refusal((9,), {"dropout": -0.1}, ValueError, r"`dropout` must be .* in \[0, 1\)"),
    Refusal((9,), {"name": 1}, TypeError, "`name` must be a text"),
]
PADDED = [[5, 2, 8, 0, 0], [0, 0, 5, 2, 8], [0, 5, 2, 8, 0]]


def answers(model, rows):
    return keras.ops.convert_to_numpy(model(np.array(rows, dtype="int32")))


def lively(build, *args, **kwargs):
    """Build a network whose tokens differ much, so that its answers to different rows do too."""
    keras.utils.set_random_seed(1)
    model = build(*args, embedding_size=3, **kwargs)
    tokens = np.random.default_rng(0).normal(0, 2, model.get_layer("embedding").embeddings.shape)
    model.get_layer("embedding").set_weights([tokens])
    return model


# === Text CNN ===


def test_text_cnn_keeps_the_builder_contract():
    small = {"filters": 4, "embedding_size": 3}
    model = check_builder_contract(build_text_cnn, [9, 3], small, refusals=CNN_REFUSALS)
    assert model.name == "text_cnn"
    assert model.get_layer("output").activation.__name__ == "softmax"
    assert [model.get_layer(f"filters_{w}").kernel_size for w in (2, 6)] == [(2,), (6,)]
    alone = {**small, "widths": [3], "dropout": 0.0}
    model = check_builder_contract(build_text_cnn, [9, 1], alone)
    names = ["tokens", "embedding", "zero_padding", "filters_3", "tokens_only_3", "loudest_3"]
    assert [layer.name for layer in model.layers] == [*names, "output"]


def test_text_cnn_counts_its_parameters_as_one_does_by_hand():
    model = build_text_cnn(9, 4, widths=(2, 5), filters=6, embedding_size=3)
    filters = (2 * 3 + 1) * 6 + (5 * 3 + 1) * 6
    assert model.count_params() == 9 * 3 + filters + (12 + 1) * 4


def test_text_cnn_equals_windows_by_hand():
    model = lively(build_text_cnn, 9, 3, widths=(1, 2, 3), filters=4)
    row = [5, 2, 8, 1]
    vectors = model.get_layer("embedding").get_weights()[0][row]
    loudest = []
    for width in (1, 2, 3):
        kernel, bias = model.get_layer(f"filters_{width}").get_weights()
        before, after = (width - 1) // 2, width - 1 - (width - 1) // 2
        around = np.pad(vectors, ((before, after), (0, 0)))
        heard = [np.tensordot(around[i : i + width], kernel, 2) + bias for i in range(len(row))]
        loudest.append(np.maximum(heard, 0).max(axis=0))
    kernel, bias = model.get_layer("output").get_weights()
    logits = np.concatenate(loudest) @ kernel + bias
    expected = np.exp(logits) / np.exp(logits).sum()
    np.testing.assert_allclose(answers(model, [row])[0], expected, atol=1e-5)


def test_padding_before_or_after_changes_no_answer_of_the_text_cnn():
    model = lively(build_text_cnn, 9, 3, filters=4)
    model.get_layer("filters_2").bias.assign([5.0] * 4)  # loud on padding, were it heard
    alone = answers(model, [[5, 2, 8]])
    np.testing.assert_allclose(answers(model, PADDED), np.repeat(alone, 3, axis=0), atol=1e-6)
    assert np.abs(answers(model, [[8, 2, 5, 0, 0]]) - alone).max() > 1e-3
    output = model.get_layer("output")
    output.set_weights([output.get_weights()[0], np.log([1.0, 2.0, 5.0])])
    np.testing.assert_allclose(answers(model, [[0, 0]]), [[1 / 8, 2 / 8, 5 / 8]], atol=1e-6)


# === Language model ===


def test_language_model_keeps_the_builder_contract():
    small = {"units": 3, "embedding_size": 2}
    model = check_builder_contract(build_language_model, [9], small, refusals=LM_REFUSALS)
    names = ["tokens", "padding_last", "embedding", "recurrent_1", "back_in_place", "output"]
    assert [layer.name for layer in model.layers] == names
    assert model.output_shape == (None, None, 9)
    options = {"cell": "simple", "num_layers": 2, "dropout": 0.25}
    model = check_builder_contract(build_language_model, [9], {**small, **options})
    assert {model.get_layer(f"dropout_{i}").rate for i in range(3)} == {0.25}


@pytest.mark.parametrize(
    ("cell", "matrices"),
    [("simple", lambda d, u: (d + u + 1) * u), ("lstm", lambda d, u: 4 * (d + u + 1) * u),
     ("gru", lambda d, u: 3 * (d + u + 2) * u)],
)  # fmt: skip
def test_language_model_counts_its_parameters_as_one_does_by_hand(cell, matrices):
    model = build_language_model(9, cell=cell, units=5, num_layers=2, embedding_size=3)
    assert model.count_params() == 9 * 3 + matrices(3, 5) + matrices(5, 5) + (5 + 1) * 9


@pytest.mark.parametrize("cell", ["lstm", "gru", "simple"])
def test_no_answer_of_the_language_model_depends_on_what_comes_later(cell):
    model = lively(build_language_model, 9, cell=cell, units=4, num_layers=2)
    first, second = answers(model, [[5, 2, 8, 1], [5, 2, 3, 7]])
    np.testing.assert_allclose(first[:2], second[:2], atol=1e-6)
    assert np.abs(first[2:] - second[2:]).max(axis=1).min() > 1e-4


@pytest.mark.parametrize("cell", ["lstm", "gru", "simple"])
def test_padding_before_or_after_changes_no_answer_of_the_language_model(cell):
    model = lively(build_language_model, 9, cell=cell, units=4)
    bias = np.log(np.arange(1.0, 10.0))
    model.get_layer("output").set_weights([model.get_layer("output").get_weights()[0], bias])
    alone, together = answers(model, [[5, 2, 8]])[0], answers(model, [*PADDED, [0] * 5])
    for row, tokens in zip(together, [*PADDED, [0] * 5], strict=True):
        is_token = np.array(tokens) != 0
        np.testing.assert_allclose(row[is_token], alone[: is_token.sum()], atol=1e-6)
        by_bias = np.tile(np.arange(1, 10) / 45, (5 - is_token.sum(), 1))
        np.testing.assert_allclose(row[~is_token], by_bias, atol=1e-6)
