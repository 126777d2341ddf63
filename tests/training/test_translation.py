import numpy as np
import pytest
from contracts import Refusal, check_docstring, check_refusals

from dlnotes.runtime import quiet_start

with quiet_start():
    from dlnotes.models import build_causal_lm, build_seq2seq, build_transformer
    from dlnotes.training import beam_search, exact_match, translate

SOURCE = np.array([[3, 5, 2, 0], [4, 0, 0, 0], [6, 6, 8, 7]])
MARKS = {"start": 2, "end": 3}


@pytest.fixture(scope="module")
def models():
    made = {
        "recurrent": build_seq2seq(9, 7, units=6, embedding_size=4, attention="luong_dot"),
        "transformer": build_transformer(9, 7, width=8, num_heads=2, num_blocks=1),
    }
    rng = np.random.default_rng(5)
    for model in made.values():
        model.set_weights([w + 0.7 * rng.normal(size=w.shape) for w in model.get_weights()])
    return made


@pytest.mark.parametrize("kind", ["recurrent", "transformer"])
def test_greedy_writes_the_likeliest_token_each_time(models, kind):
    model, written = models[kind], np.full((3, 1), 2)
    found = translate(model, SOURCE, **MARKS, max_length=7)
    assert found.shape == (3, 7)
    assert found.dtype == np.int32
    for _ in range(7):
        p = np.array(model([SOURCE, written])[:, -1])
        p[:, :3] = 0  # padding, unknown, start
        written = np.concatenate([written, p.argmax(axis=1)[:, None]], axis=1)
    for row, expected in zip(found, written[:, 1:], strict=True):
        over = expected == 3
        length = over.argmax() + 1 if over.any() else 7
        assert row[:length].tolist() == expected[:length].tolist()
        assert not row[length:].any()


@pytest.mark.parametrize("kind", ["recurrent", "transformer"])
def test_beams_are_those_of_the_search_and_one_is_greedy(models, kind):
    model = models[kind]
    how = {"max_length": 5, "width": 3, "length_penalty": 0.7}
    found = translate(model, SOURCE, **MARKS, **how)

    def step(tokens, state):  # reads all again
        source, rows = state or (SOURCE, np.zeros((len(tokens), 0), int))
        rows = np.concatenate([rows, tokens[:, None]], axis=1)
        return np.array(model([source, rows])[:, -1]), (source, rows)

    best = beam_search(
        step, np.full((3, 1), 2), 5, width=3, end=3, length_penalty=0.7, never=(0, 1, 2)
    )
    np.testing.assert_array_equal(found, best.tokens[:, 0])
    greedy = translate(model, SOURCE, **MARKS, max_length=5)
    one_beam = beam_search(step, np.full((3, 1), 2), 5, width=1, end=3, never=(0, 1, 2))
    np.testing.assert_array_equal(greedy, one_beam.tokens[:, 0])


def test_what_must_not_be_written_is_not(models):
    model = models["recurrent"]
    first = translate(model, SOURCE, **MARKS, max_length=4, never=(0, 1))
    never = int(np.setdiff1d(first, [0, 3])[0])
    again = translate(model, SOURCE, **MARKS, max_length=4, never=(0, 1, never))
    assert (first == never).any()
    assert not (again == never).any()


def test_padding_of_the_source_changes_no_translation(models):
    for model in models.values():
        wider = np.pad(SOURCE, ((0, 0), (0, 3)))
        np.testing.assert_array_equal(
            translate(model, wider, **MARKS, max_length=6),
            translate(model, SOURCE, **MARKS, max_length=6),
        )


def test_a_translation_is_right_only_to_the_last_token():
    expected = [[4, 5, 3, 0], [4, 3, 0, 0], [5, 5, 5, 3]]
    predicted = [[4, 5, 3], [4, 5, 3], [5, 5, 5]]  # right, too long, without its end
    assert exact_match(predicted, expected).tolist() == [True, False, False]
    assert exact_match(expected, expected).tolist() == [True] * 3


def test_translation_refuses(models):
    for thing in (translate, exact_match):
        check_docstring(thing)
    how, model = MARKS | {"max_length": 4}, models["recurrent"]
    check_refusals(
        translate,
        [
            Refusal((build_causal_lm(9, num_blocks=1), SOURCE), how, ValueError, "`model` must co"),
            Refusal((model, [[9]]), how, ValueError, r"`source` must lie in \[0, 8\]"),
            Refusal((model, [3]), how, ValueError, "`source` must be 2-dim"),
            Refusal((model, SOURCE), how | {"max_length": 0}, ValueError, "`max_length` must be"),
            Refusal((model, SOURCE), how | {"width": 2.0}, TypeError, "`width` must be an integer"),
            Refusal((model, SOURCE), how | {"start": 7}, ValueError, "`start` must be an integer"),
            Refusal((model, SOURCE), how | {"start": 3}, ValueError, "`start` and `end` must diff"),
        ],
    )
    check_refusals(
        exact_match,
        [
            Refusal(([[1.0]], [[1]]), {}, TypeError, "`predicted` must be whole numbers"),
            Refusal(([[1]], [1]), {}, ValueError, "`expected` must be 2-dim"),
            Refusal(([[1]], [[1], [2]]), {}, ValueError, "the same number of rows"),
        ],
    )
