from itertools import product
from typing import NamedTuple

import numpy as np
import pytest
from contracts import Refusal, check_docstring, check_refusals

from dlnotes.training import beam_search
from dlnotes.training.beam_search import select_rows

END, LENGTH = 4, 4


def chain(seed, vocab_size=5):
    """Return a table (V, V): row w holds the probabilities of what follows token w."""
    p = np.random.default_rng(seed).dirichlet(np.full(vocab_size - 2, 0.6), size=vocab_size)
    return np.concatenate([np.zeros((vocab_size, 2)), p], axis=1)


def step_of(table):
    return lambda tokens, state: (table[tokens], state)


def exhaustive(table, first, penalty):
    """Return the best score of all that can be written, and the tokens."""
    best = (-np.inf, None)
    for size in range(1, LENGTH + 1):
        for body in product(range(2, END + 1), repeat=size):
            if END in body[:-1] or (size < LENGTH and body[-1] != END):
                continue
            with np.errstate(divide="ignore"):
                log_p = np.log(table[[first, *body[:-1]], body]).sum()
            best = max(best, (log_p / ((5 + size) / 6) ** penalty, body))
    return best


@pytest.mark.parametrize("penalty", [0.0, 0.7, 2.0])
def test_with_room_for_all_it_finds_the_best_of_an_exhaustive_search(penalty):
    lengths = set()
    for seed in range(12):
        table, prompt = chain(seed, 81 + 2), [[1], [3]]  # 81 = 3 ** LENGTH tokens: a wide table
        table[:, 2:5] = chain(seed)[np.arange(83) % 5, 2:]
        table[:, 5:] = 0
        found = beam_search(
            step_of(table), prompt, LENGTH, width=81, end=END, length_penalty=penalty
        )
        for row, (first,) in enumerate(prompt):
            score, body = exhaustive(table, first, penalty)
            assert found.tokens[row, 0].tolist() == [*body, *[0] * (LENGTH - len(body))]
            np.testing.assert_allclose(found.scores[row, 0], score, atol=1e-12)
            lengths.add(len(body))
    assert len(lengths) > 2


def test_a_finished_beam_keeps_its_score_while_others_go_on():
    table = np.zeros((5, 5))
    table[1, [2, 4]] = 0.6, 0.4
    table[2, [2, 3, 4]] = 0.5, 0.25, 0.25
    table[3, 3] = 1
    found = beam_search(step_of(table), [[1]], 3, width=3, end=END)
    assert found.tokens[0].tolist() == [[4, 0, 0], [2, 2, 2], [2, 3, 3]]
    np.testing.assert_allclose(np.exp(found.scores[0]), [0.4, 0.15, 0.15])
    punished = beam_search(step_of(table), [[1]], 3, width=3, end=END, length_penalty=1.0)
    expected = [np.log(0.4), np.log(0.15) * 6 / 8, np.log(0.15) * 6 / 8]
    np.testing.assert_allclose(punished.scores[0], expected)


def test_the_state_follows_its_beam():
    """The state knows all that was written; the beams change places at the second token."""
    after = {0: [0.4, 0.6, 0], 2: [1, 0, 0], 3: [0.5, 0.5, 0], 22: [0, 0, 1], 32: [0.5, 0.5, 0]}

    def step(tokens, state):
        seen = np.zeros(len(tokens), int) if state is None else state["seen"][0] * 10 + tokens
        p = np.array([[0, 0, *after.get(text, [0.5, 0.5, 0])] for text in seen.tolist()])
        return p, {"seen": (seen,), "place": 0}

    found = beam_search(step, [[1], [1]], 3, width=2, end=END)
    assert found.tokens[:, 0].tolist() == [[2, 2, 4], [2, 2, 4]]
    np.testing.assert_allclose(np.exp(found.scores), [[0.4, 0.15]] * 2)


def test_select_rows_reaches_all_arrays_of_a_nested_state():
    class Pair(NamedTuple):
        a: np.ndarray
        b: tuple

    rows, x = np.array([2, 0, 0]), np.arange(6).reshape(3, 2)
    found = select_rows(Pair(x, ([x * 10], None, 7)), rows)
    assert isinstance(found, Pair)
    np.testing.assert_array_equal(found.a, [[4, 5], [0, 1], [0, 1]])
    np.testing.assert_array_equal(found.b[0][0], [[40, 50], [0, 10], [0, 10]])
    assert found.b[1:] == (None, 7)
    check_docstring(select_rows)


def test_what_must_not_be_written_is_not():
    table = np.tile([0.1, 0.1, 0.5, 0.2, 0.1], (5, 1))
    found = beam_search(step_of(table), [[1]], 2, width=2, end=END, never=(0, 1, 1, 2))
    assert found.tokens[0].tolist() == [[4, 0], [3, 3]]


def test_beam_search_refuses():
    check_docstring(beam_search)
    step, how = step_of(chain(0)), {"width": 2, "end": END}
    only_unknown = step_of(np.eye(5)[[1] * 5])
    check_refusals(
        beam_search,
        [
            Refusal((step, [1], 3), how, ValueError, "`prompt` must be 2-dim"),
            Refusal((step, [[0]], 3), how, ValueError, "`prompt` must hold tokens >= 1"),
            Refusal((step, [[1]], 0), how, ValueError, "`num_tokens` must be"),
            Refusal((step, [[1]], 3), how | {"width": 0}, ValueError, "`width` must be"),
            Refusal((step, [[1]], 3), how | {"width": 4}, ValueError, "`width` must be at most 3"),
            Refusal((step, [[1]], 3), how | {"width": 2.0}, TypeError, "`width` must be an int"),
            Refusal((step, [[1]], 3), how | {"end": 99}, ValueError, "`end` must be .* 4"),
            Refusal((step, [[1]], 3), how | {"end": "."}, TypeError, "`end` must be an integer"),
            Refusal((step, [[1]], 3), how | {"never": (4,)}, ValueError, "not be in `never`"),
            Refusal((step, [[1]], 3), how | {"never": (-1,)}, ValueError, "`never` must be"),
            Refusal((step, [[1]], 3), how | {"length_penalty": -1}, ValueError, "`length_penal"),
            Refusal((only_unknown, [[1]], 3), how, ValueError, "must leave a token to write"),
        ],
    )
    twice = beam_search(step, [[1]], 3, **how | {"width": 3, "never": (0, 0, 1, 1)})
    assert twice.tokens.shape == (1, 3, 3)
