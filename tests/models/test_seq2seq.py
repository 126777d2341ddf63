import numpy as np
import pytest
from contracts import Refusal, check_builder_contract
from numpy.testing import assert_allclose

from dlnotes.runtime import quiet_start

with quiet_start():
    import keras

    from dlnotes import models, training
    from dlnotes.models import alignment_model, build_seq2seq
    from dlnotes.training import recomputed_step, seq2seq_step

ATTENTIONS = (None, "bahdanau", "luong_dot", "luong_general", "luong_concat")
SMALL = {"units": 4, "embedding_size": 3}
SOURCE = np.array([[3, 5, 4, 0, 0], [2, 6, 3, 5, 4]], np.int32)
TARGET = np.array([[2, 4, 4, 3], [2, 3, 5, 0]], np.int32)
REFUSALS = [
    Refusal((1, 9), {}, ValueError, "`source_vocab` must be an integer >= 2"),
    Refusal((9, 2.0), {}, TypeError, "`target_vocab` must be an integer"),
    Refusal((9, 9), {"cell": "simple"}, ValueError, "`cell` must be one of 'lstm', 'gru'"),
    Refusal((9, 9), {"units": 5}, ValueError, "`units` must be even"),
    Refusal((9, 9), {"attention": "luong"}, ValueError, "`attention` must be one of"),
    Refusal((9, 9), {"embedding_size": 0}, ValueError, "`embedding_size` must be an integer >= 1"),
    Refusal((9, 9), {"dropout": 1.0}, ValueError, "`dropout` must"),
    Refusal((9, 9), {"name": ""}, ValueError, "`name` must not be empty"),
]


def build_lively(attention=None, **options):
    """Build a model whose weights are large, so that every token makes a difference."""
    keras.utils.set_random_seed(1)
    model = build_seq2seq(9, 7, attention=attention, **SMALL, **options)
    rng = np.random.default_rng(0)
    model.set_weights([rng.normal(0, 1, w.shape) for w in model.get_weights()])
    return model


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_it_keeps_the_builder_contract(attention):
    options = SMALL | {"attention": attention, "cell": "lstm", "dropout": 0.2}
    model = check_builder_contract(build_seq2seq, [9, 7], options, refusals=REFUSALS)
    assert model.output_shape == (None, None, 7)
    assert ("attention" in [layer.name for layer in model.layers]) == (attention is not None)


@pytest.mark.parametrize("cell", ["gru", "lstm"])
@pytest.mark.parametrize("attention", ATTENTIONS)
def test_padding_changes_no_answer(attention, cell):
    model = build_lively(attention, cell=cell)
    before = np.asarray(model([SOURCE, TARGET]))
    around = np.pad(SOURCE, ((0, 0), (2, 3)))
    assert_allclose(model([around, np.pad(TARGET, ((0, 0), (0, 2)))])[:, :4], before, atol=1e-5)
    changed = SOURCE.copy()
    changed[:, 1] = 8
    assert np.abs(np.asarray(model([changed, TARGET])) - before).max(axis=(1, 2)).min() > 1e-3


@pytest.mark.parametrize("attention", [None, "luong_general"])
def test_a_source_of_padding_alone_is_answered_from_zeros(attention):
    model = build_lively(attention)
    short, long = (np.asarray(model([np.zeros((2, n), np.int32), TARGET])) for n in (1, 6))
    assert np.isfinite(short).all()
    assert_allclose(short, long, atol=1e-6)


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_a_later_target_token_changes_no_earlier_answer(attention):
    model = build_lively(attention)
    before = np.asarray(model([SOURCE, TARGET]))
    changed = TARGET.copy()
    changed[:, 2] = 6
    after = np.asarray(model([SOURCE, changed]))
    assert_allclose(after[:, :2], before[:, :2], atol=1e-6)
    assert np.abs(after[:, 2:] - before[:, 2:]).max() > 1e-3


@pytest.mark.parametrize("cell", ["gru", "lstm"])
@pytest.mark.parametrize("attention", ATTENTIONS)
def test_step_by_step_it_answers_as_at_once(attention, cell):
    model, state = build_lively(attention, cell=cell, dropout=0.3), None
    whole, step = np.asarray(model([SOURCE, TARGET])), seq2seq_step(model, SOURCE)
    for place in range(3):
        probabilities, state = step(TARGET[:, place], state)
        assert_allclose(probabilities, whole[:, place], atol=1e-5)


@pytest.mark.parametrize("attention", [None, "bahdanau"])
def test_it_writes_the_tokens_of_the_full_recomputation(attention):
    model = build_lively(attention)
    steps = seq2seq_step(model, SOURCE), recomputed_step(model, 12, SOURCE)
    start, rng = np.full((2, 1), 2), np.random.default_rng(0)
    written = [training.generate(s, start, 12, rng=rng, temperature=0, end=3) for s in steps]
    np.testing.assert_array_equal(*written)
    found = [training.beam_search(s, start, 12, width=3, end=3) for s in steps]
    np.testing.assert_array_equal(found[0].tokens, found[1].tokens)
    assert_allclose(found[0].scores, found[1].scores, atol=1e-4)
    greedy = training.beam_search(steps[0], start, 12, width=1, end=3).tokens[:, 0]
    np.testing.assert_array_equal(greedy, written[0])


def test_the_score_of_a_beam_is_the_probability_that_the_model_gives_it():
    model = build_lively("luong_dot")
    found = training.beam_search(seq2seq_step(model, SOURCE), [[2], [2]], 5, width=2)
    for row in range(2):
        tokens = np.concatenate([[2], found.tokens[row, 0]])[None]
        p = np.asarray(model([SOURCE[row : row + 1], tokens[:, :-1]]))[0]
        log_p = np.log(p[np.arange(5), tokens[0, 1:]]).sum()
        assert_allclose(found.scores[row, 0], log_p, atol=1e-4)


def test_the_alignment_is_that_of_the_attention():
    model = build_lively("luong_general")
    weights = np.asarray(alignment_model(model)([SOURCE, TARGET]))
    assert weights.shape == (2, 4, 5)
    assert_allclose(weights.sum(-1), 1, atol=1e-5)
    assert not weights[0, :, 3:].any()
    # what the decoder finds is the memory mixed with these weights
    memory = keras.Model(model.inputs[0], model.get_layer("memory").output)(SOURCE)
    found = keras.Model(model.inputs, model.get_layer("attention").output[0])([SOURCE, TARGET])
    assert_allclose(weights @ np.asarray(memory), found, atol=1e-5)


@pytest.mark.parametrize("cell", ["gru", "lstm"])
@pytest.mark.parametrize("attention", ["bahdanau", "luong_dot"])
def test_turned_eyes_bring_the_values_of_other_places(attention, cell):
    model = build_lively(attention, cell=cell)
    places = np.array([[1, 0, 2, 3, 4], [4, 1, 2, 3, 0]])
    step, state = seq2seq_step(model, SOURCE, places=places), None
    for tokens in TARGET[:, :3].T:
        probabilities, state = step(tokens, state)
    outputs = [model.get_layer(name).output for name in ("memory", "decoder")]
    memory, states = keras.Model(model.inputs, outputs)([SOURCE, TARGET[:, :3]])
    weights = np.asarray(alignment_model(model)([SOURCE, TARGET[:, :3]]))
    found = weights @ np.take_along_axis(np.asarray(memory), places[..., None], axis=1)
    joined = model.get_layer("found_and_state")([found, states])
    wanted = model.get_layer("output")(model.get_layer("attentional_state")(joined))
    assert_allclose(probabilities, wanted[:, -1], atol=1e-5)
    straight, state = seq2seq_step(model, SOURCE), None
    for tokens in TARGET[:, :3].T:
        right, state = straight(tokens, state)
    assert np.abs(probabilities - right).max() > {"gru": 0.01, "lstm": 1e-4}[cell]


def test_places_are_counted_behind_padding_that_stands_in_front():
    model = build_lively("luong_dot")
    places = np.array([[1, 0, 2, 3, 4], [4, 1, 2, 3, 0]])
    in_front = np.array([np.roll(SOURCE[0], 2), SOURCE[1]])
    behind, before = (
        seq2seq_step(model, source, places=places)(TARGET[:, 0], None)[0]
        for source in (SOURCE, in_front)
    )
    assert_allclose(behind, before, atol=1e-6)


def test_eyes_cannot_be_turned_to_nowhere():
    model = build_lively("luong_dot")
    with pytest.raises(ValueError, match=r"`places` must lie in \[0, 4\]"):
        seq2seq_step(model, SOURCE, places=SOURCE)
    with pytest.raises(ValueError, match="`places` must have shape"):
        seq2seq_step(model, SOURCE, places=[[0, 1]])
    with pytest.raises(TypeError, match="`places` must be whole numbers"):
        seq2seq_step(model, SOURCE, places=np.zeros((2, 5)))
    with pytest.raises(ValueError, match="`places` must be None for a model without attention"):
        seq2seq_step(build_lively(), SOURCE, places=0 * SOURCE)


def test_what_does_not_fit_is_refused():
    model, step = build_lively(), seq2seq_step(build_lively(), SOURCE)
    with pytest.raises(ValueError, match=r"`source` must lie in \[0, 8\]. Received: "):
        seq2seq_step(model, SOURCE + 5)
    with pytest.raises(ValueError, match=r"`tokens` must lie in \[0, 6\]"):
        step(np.array([7, 2]), None)
    with pytest.raises(TypeError, match="`tokens` must be whole numbers"):
        step(np.array([1.0, 2.0]), None)
    with pytest.raises(ValueError, match="`tokens` must be one for each of the 2 rows"):
        step(np.array([2]), None)
    with pytest.raises(ValueError, match="`model` must come from `build_seq2seq`"):
        seq2seq_step(models.build_rnn_classifier(9, 2), SOURCE)
    with pytest.raises(ValueError, match="`model` must come from `build_seq2seq`, with attention"):
        alignment_model(model)
    slow = recomputed_step(model, 1, SOURCE)
    _, state = slow(TARGET[:, 0], None)
    with pytest.raises(ValueError, match="`max_length` must leave room"):
        slow(TARGET[:, 0], state)
