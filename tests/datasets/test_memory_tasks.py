import numpy as np
import pytest
from contracts import check_loader_contract

from dlnotes.datasets import make_adding, make_copy


@pytest.mark.parametrize("make", [make_adding, make_copy])
def test_it_keeps_the_loader_contract(make):
    data = check_loader_contract(make)
    assert (len(data.x_train), len(data.x_val), len(data.x_test)) == (700, 150, 150)
    assert not np.array_equal(make(seed=1).x, data.x)
    assert data.seed == 0


@pytest.mark.parametrize("length", [2, 3, 30])
def test_the_sum_is_of_one_marked_number_of_each_half(length):
    data = make_adding(400, length=length, seed=1)
    numbers, marks = data.x[..., 0], data.x[..., 1]
    assert data.x.shape == (400, length, 2)
    assert set(np.unique(marks)) <= {0.0, 1.0}
    np.testing.assert_array_equal(marks[:, : length // 2].sum(axis=1), 1)
    np.testing.assert_array_equal(marks[:, length // 2 :].sum(axis=1), 1)
    np.testing.assert_allclose((numbers * marks).sum(axis=1), data.y, atol=1e-12)
    assert 0 <= numbers.min() < numbers.max() <= 1
    assert (marks.sum(axis=0) > 0).all()  # every place is marked in some row


def test_who_always_answers_one_errs_by_a_sixth():
    data = make_adding(20_000, length=10)
    assert abs(np.mean((data.y - 1) ** 2) - 1 / 6) < 0.005
    assert data.num_classes == 0


@pytest.mark.parametrize(("delay", "num_symbols", "copied"), [(1, 2, 1), (7, 3, 4)])
def test_the_symbols_come_back_after_the_wait(delay, num_symbols, copied):
    data = make_copy(300, delay=delay, num_symbols=num_symbols, copied=copied, seed=2)
    x, y = data.x, data.y
    assert x.shape == y.shape == (300, delay + 2 * copied)
    np.testing.assert_array_equal(x[:, :copied], y[:, -copied:])
    assert set(np.unique(x[:, :copied])) == set(range(1, num_symbols + 1))
    signal = copied + delay - 1
    np.testing.assert_array_equal(x[:, signal], num_symbols + 1)
    assert not np.delete(x[:, copied:], delay - 1, axis=1).any()
    assert not y[:, :-copied].any()
    assert data.num_classes == num_symbols + 1


@pytest.mark.parametrize(
    ("make", "options", "match"),
    [
        (make_adding, {"length": 1}, "`length` must be an integer >= 2. Received: length=1"),
        (make_adding, {"num_samples": 0}, "`num_samples`"),
        (make_adding, {"seed": -1}, "`seed`"),
        (make_copy, {"delay": 0}, "`delay` must be an integer >= 1. Received: delay=0"),
        (make_copy, {"num_symbols": 1}, "`num_symbols`"),
        (make_copy, {"copied": 0}, "`copied`"),
    ],
)
def test_it_refuses(make, options, match):
    with pytest.raises(ValueError, match=match):
        make(**options)
