import numpy as np
import pytest
from contracts import Refusal, check_docstring, check_refusals
from hypothesis import given, settings
from hypothesis import strategies as st

from dlnotes.scratch import Reduced, ring_all_reduce, star_all_reduce

BOTH = [ring_all_reduce, star_all_reduce]


@pytest.mark.parametrize("thing", [*BOTH, Reduced])
def test_docstrings(thing):
    check_docstring(thing)


@settings(max_examples=60)
@given(
    n=st.integers(1, 9),
    shape=st.lists(st.integers(1, 5), min_size=0, max_size=3).map(tuple),
    seed=st.integers(0, 99),
)
def test_all_end_with_the_plain_sum_and_the_same_bits(n, shape, seed):
    arrays = list(np.random.default_rng(seed).normal(size=(n, *shape)))
    before = [array.copy() for array in arrays]
    for reduce in BOTH:
        found = reduce(arrays)
        assert len(found.sums) == len(found.sent) == n
        for one in found.sums:
            assert one.shape == shape
            np.testing.assert_allclose(one, sum(before), rtol=1e-12, atol=1e-13)
            assert np.array_equal(one, found.sums[0])
        assert all(np.array_equal(a, b) for a, b in zip(arrays, before, strict=True))
        assert sum(found.sent) == 2 * (n - 1) * np.prod(shape, dtype=int) * 8


@pytest.mark.parametrize("n", [1, 2, 3, 8])
def test_nobody_in_a_ring_sends_more_than_another(n):
    arrays = np.ones((n, 5 * n))
    ring, star = ring_all_reduce(arrays), star_all_reduce(arrays)
    size = arrays[0].nbytes
    assert ring.sent == [2 * (n - 1) * size // n] * n
    assert ring.rounds == 2 * (n - 1)
    assert star.sent == [(n - 1) * size] + [size] * (n - 1)
    assert star.rounds == (2 if n > 1 else 0)


def test_parts_of_unequal_size_go_round_whole():
    arrays = [np.arange(7.0), np.arange(7.0), np.arange(7.0)]
    found = ring_all_reduce(arrays)
    assert np.array_equal(found.sums[1], 3 * np.arange(7.0))
    assert found.sent == [8 * (2 * 7 - a - b) for a, b in ((2, 2), (2, 3), (3, 2))]


def test_the_sums_are_arrays_of_their_own():
    for reduce in BOTH:
        sums = reduce([np.zeros(3)] * 2).sums
        sums[0][0] = 1.0
        assert sums[1][0] == 0.0


@pytest.mark.parametrize("function", BOTH)
def test_errors(function):
    check_refusals(
        function,
        [
            Refusal((3,), {}, TypeError, "`arrays` must be a list of arrays"),
            Refusal(([],), {}, ValueError, "`arrays` must not be empty"),
            Refusal(([[1.0], [1.0, 2.0]],), {}, ValueError, "`arrays` must all have the same"),
            Refusal(([[1.0], [np.nan]],), {}, ValueError, r"`arrays\[1\]`"),
            Refusal((["a", "b"],), {}, TypeError, r"`arrays\[0\]`"),
        ],
    )
