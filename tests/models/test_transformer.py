import numpy as np
import pytest
from contracts import Refusal, check_builder_contract
from numpy.testing import assert_allclose

from dlnotes.runtime import quiet_start

with quiet_start():
    import keras

    from dlnotes import models, training
    from dlnotes.models import (
        build_causal_lm,
        build_transformer,
        build_transformer_classifier,
    )
    from dlnotes.training import recomputed_step, transformer_step

SMALL = {"width": 8, "num_heads": 2, "num_blocks": 2, "hidden_units": 12}
SOURCE = np.array([[3, 5, 4, 0, 0], [2, 6, 3, 5, 4]], np.int32)
TARGET = np.array([[2, 4, 4, 3], [2, 3, 5, 4]], np.int32)
SHARED = [
    ({"width": 9, "num_heads": 3}, ValueError, "`width` must be even, and `num_heads` must divide"),
    ({"width": 8, "num_heads": 3}, ValueError, "`num_heads` must divide it. .*num_heads=3"),
    ({"num_blocks": 0}, ValueError, "`num_blocks` must be an integer >= 1"),
    ({"hidden_units": 1.5}, TypeError, "`hidden_units` must be an integer"),
    ({"positions": "sines"}, ValueError, "`positions` must be one of"),
    ({"max_length": 0}, ValueError, "`max_length` must be an integer >= 1"),
    ({"dropout": 1}, ValueError, "`dropout` must"),
    ({"norm_first": None}, TypeError, "`norm_first` must be True or False"),
    ({"name": 3}, TypeError, "`name` must be a text"),
]
KINDS = {
    "both": (build_transformer, (9, 7)),
    "classifier": (build_transformer_classifier, (9, 3)),
    "lm": (build_causal_lm, (9,)),
}


def lively(build, *args, **options):
    """Build a model whose weights are large, so that every token makes a difference."""
    keras.utils.set_random_seed(1)
    model = build(*args, **{**SMALL, **options})
    rng = np.random.default_rng(0)
    model.set_weights([rng.normal(0, 0.6, w.shape) for w in model.get_weights()])
    return model


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("positions", ["sinusoidal", "learned", None])
def test_they_keep_the_builder_contract(kind, positions):
    build, args = KINDS[kind]
    refusals = [Refusal(args, kwargs, error, match) for kwargs, error, match in SHARED]
    refusals.append(Refusal((1, *args[1:]), {}, ValueError, "vocab` must be|vocab_size` must be"))
    options = SMALL | {"num_blocks": 1, "positions": positions, "dropout": 0.1}
    options["norm_first"] = positions != "learned"
    check_builder_contract(build, args, options, refusals=refusals if positions is None else [])


@pytest.mark.parametrize("norm_first", [True, False])
def test_padding_changes_no_answer(norm_first):
    model = lively(build_transformer, 9, 7, norm_first=norm_first)
    before = np.asarray(model([SOURCE, TARGET]))
    around = np.pad(SOURCE, ((0, 0), (2, 3)))
    assert_allclose(model([around, np.pad(TARGET, ((0, 0), (0, 2)))])[:, :4], before, atol=1e-5)
    model = lively(build_transformer_classifier, 9, 3, norm_first=norm_first)
    assert_allclose(model(around), model(SOURCE), atol=1e-5)
    empty = np.asarray(model(np.zeros((1, 4), np.int32)))
    assert_allclose(empty, keras.ops.softmax(model.get_layer("output").bias)[None], atol=1e-6)
    model = lively(build_causal_lm, 9, norm_first=norm_first)
    assert_allclose(model(np.pad(TARGET, ((0, 0), (0, 3))))[:, :4], model(TARGET), atol=1e-5)


@pytest.mark.parametrize("kind", ["both", "lm"])
def test_a_later_token_changes_no_earlier_answer(kind):
    build, args = KINDS[kind]
    model, changed = lively(build, *args), TARGET.copy()
    changed[:, 2] = 6
    inputs = [[SOURCE, t] if kind == "both" else t for t in (TARGET, changed)]
    before, after = (np.asarray(model(x)) for x in inputs)
    assert_allclose(after[:, :2], before[:, :2], atol=1e-6)
    assert np.abs(after[:, 2:] - before[:, 2:]).max() > 1e-3


@pytest.mark.parametrize("positions", ["sinusoidal", "learned", None])
def test_only_without_positions_the_order_of_the_source_does_not_matter(positions):
    model, order = lively(build_transformer, 9, 7, positions=positions), [4, 2, 0, 3, 1]
    before = np.asarray(model([SOURCE[1:], TARGET[1:]]))
    change = np.abs(np.asarray(model([SOURCE[1:, order], TARGET[1:]])) - before).max()
    assert (change < 1e-5) if positions is None else (change > 1e-3)


@pytest.mark.parametrize("positions", ["sinusoidal", "learned", None])
@pytest.mark.parametrize("kind", ["both", "lm"])
@pytest.mark.parametrize("norm_first", [True, False])
def test_with_the_cache_it_answers_as_at_once_and_writes_the_same(kind, positions, norm_first):
    build, args = KINDS[kind]
    model = lively(build, *args, positions=positions, norm_first=norm_first, dropout=0.1)
    source, state = (SOURCE if kind == "both" else None), None
    whole = np.asarray(model([SOURCE, TARGET] if kind == "both" else TARGET))
    step = transformer_step(model, 13, source)
    for place in range(4):
        probabilities, state = step(TARGET[:, place], state)
        assert_allclose(probabilities, whole[:, place], atol=1e-5)
    steps, start = (step, recomputed_step(model, 13, source)), np.full((2, 1), 2)
    rng = np.random.default_rng(0)
    written = [training.generate(s, start, 12, rng=rng, temperature=0, end=3) for s in steps]
    np.testing.assert_array_equal(*written)
    found = [training.beam_search(s, start, 12, width=3, end=3) for s in steps]
    np.testing.assert_array_equal(found[0].tokens, found[1].tokens)


def test_longer_than_the_table_of_positions_is_refused():
    model = lively(build_causal_lm, 9, positions="learned", max_length=5)
    with pytest.raises(ValueError, match="within the 5 positions of the table"):
        model(np.ones((1, 6), np.int32))
    with pytest.raises(ValueError, match="`max_length` must be at most 5"):
        transformer_step(model, 6)


def test_what_does_not_fit_is_refused():
    both, lm = lively(build_transformer, 9, 7), lively(build_causal_lm, 9)
    with pytest.raises(ValueError, match="`source` must be given for this model"):
        transformer_step(both, 5)
    with pytest.raises(ValueError, match="`source` must be None for this model"):
        transformer_step(lm, 5, SOURCE)
    with pytest.raises(ValueError, match=r"`source` must lie in \[0, 8\]"):
        transformer_step(both, 5, SOURCE + 4)
    with pytest.raises(ValueError, match="`model` must come from `build_transformer`"):
        transformer_step(models.build_rnn_classifier(9, 2), 5)
    step, state = transformer_step(lm, 2), None
    for _ in range(2):
        _, state = step(np.array([2]), state)
    with pytest.raises(ValueError, match="`max_length` must leave room for each token"):
        step(np.array([2]), state)
    with pytest.raises(ValueError, match=r"`tokens` must lie in \[0, 8\]"):
        step(np.array([9]), None)
    rows = r"`tokens` must be one for each of the 2 rows of `source`. Received: len\(tokens\)=1"
    for make in (transformer_step, recomputed_step):
        with pytest.raises(ValueError, match=rows):
            make(both, 5, SOURCE)(np.array([2]), None)
    with pytest.raises(TypeError, match="`source` must be whole numbers"):
        recomputed_step(both, 5, SOURCE + 0.9)
    with pytest.raises(ValueError, match="`source` must be 2-dimensional"):
        recomputed_step(both, 5, SOURCE[0])
