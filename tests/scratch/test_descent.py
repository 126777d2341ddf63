import math

import numpy as np
import pytest
from contracts import Refusal, check_docstring, check_refusals
from hypothesis import given, settings
from hypothesis import strategies as st

from dlnotes import runtime, scratch
from dlnotes.scratch import SGD, LeastSquares, batches, descend, descent, race, update_costs

RNG = np.random.default_rng(0)
X = RNG.normal(size=(23, 3))
Y = X @ [1.0, -2.0, 3.0] + 0.3 * RNG.normal(size=23)
BOWL = LeastSquares(X, Y)
LIMIT = 2 / np.linalg.eigvalsh(BOWL.hessian)[-1]


def walk(rate=0.1, **options):
    return descend(BOWL.gradient, np.ones(3), SGD(rate), **{"num_rows": 23, **options})


@pytest.mark.parametrize("thing", [batches, descend, update_costs, race])
def test_docstrings(thing):
    check_docstring(thing)


# === batches ===


@given(num_rows=st.integers(1, 60), batch_size=st.integers(1, 70), seed=st.none() | st.integers(0))
def test_batches_use_every_row_once(num_rows, batch_size, seed):
    rng = None if seed is None else np.random.default_rng(seed)
    cut = batches(num_rows, batch_size, rng)
    assert len(cut) == math.ceil(num_rows / batch_size)
    assert all(len(rows) == min(batch_size, num_rows) for rows in cut[:-1])
    assert len(cut[-1]) == num_rows - batch_size * (len(cut) - 1)
    order = np.concatenate(cut)
    assert sorted(order) == list(range(num_rows))
    if rng is None:
        np.testing.assert_array_equal(order, np.arange(num_rows))


def test_batches_are_shuffled_anew_by_one_generator():
    rng = np.random.default_rng(1)
    first, second = (np.concatenate(batches(50, 7, rng)) for _ in range(2))
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, np.arange(50))


def test_batches_refuse():
    check_refusals(
        batches,
        [
            Refusal((0, 1), {}, ValueError, "`num_rows` must be an integer >= 1"),
            Refusal((3, 0), {}, ValueError, "`batch_size` must be an integer >= 1"),
            Refusal((3, 1.0), {}, TypeError, "`batch_size` must be an integer"),
            Refusal((3, 1, 5), {}, TypeError, "`rng` must be a numpy.random.Generator"),
        ],
    )


# === descend ===


@pytest.mark.parametrize(("batch_size", "updates"), [(None, 4), (23, 4), (99, 4), (1, 92), (5, 20)])
def test_descend_makes_one_update_a_batch_and_returns_the_start_too(batch_size, updates):
    optimizer = SGD(0.01)
    options = {"num_rows": 23, "batch_size": batch_size, "epochs": 4}
    path = descend(BOWL.gradient, [1, 1, 1], optimizer, **options)
    assert path.shape == (updates + 1, 3)
    assert path.dtype == np.float64
    assert optimizer.iterations == updates
    np.testing.assert_array_equal(path[0], 1)


def test_descend_passes_the_batches_of_every_epoch():
    seen = []

    def gradient(weights, rows):
        seen.append(rows)
        return 0 * weights

    descend(gradient, 0.0, SGD(1.0), num_rows=7, batch_size=3, epochs=2, rng=RNG)
    epochs = [np.concatenate(seen[i : i + 3]) for i in (0, 3)]
    assert [sorted(epoch) for epoch in epochs] == [list(range(7))] * 2
    assert not np.array_equal(*epochs)


@settings(max_examples=25, deadline=None)
@given(share=st.floats(0.05, 0.95), seed=st.integers(0, 99))
def test_batch_descent_follows_the_eigenvalues(share, seed):
    rng = np.random.default_rng(seed)
    bowl = LeastSquares(rng.normal(size=(15, 3)), rng.normal(size=15))
    eigenvalues, directions = np.linalg.eigh(bowl.hessian)
    rate = share * 2 / eigenvalues[-1]
    path = descend(bowl.gradient, bowl.start, SGD(rate), num_rows=15, epochs=9)
    distances = (path - bowl.minimum) @ directions
    expected = distances[0] * (1 - rate * eigenvalues) ** np.arange(10)[:, None]
    np.testing.assert_allclose(distances, expected, atol=1e-12)
    assert (np.diff(bowl.loss(path)) <= 1e-12).all()


def test_descent_converges_below_the_limit_and_grows_above_it():
    assert np.linalg.norm(walk(0.98 * LIMIT, epochs=3000)[-1] - BOWL.minimum) < 1e-12
    assert np.linalg.norm(walk(1.02 * LIMIT, epochs=3000)[-1]) > 1e6


@pytest.mark.parametrize("batch_size", [None, 1, 4])
def test_descend_takes_the_steps_of_keras_sgd(batch_size):
    with runtime.quiet_start():
        import keras

    rate = 2.0**-5  # exact in the 32 bits that Keras keeps it in
    variable = keras.Variable(np.ones(3), dtype="float64")
    optimizer = keras.optimizers.SGD(rate)
    optimizer.build([variable])
    for _ in range(3):
        for rows in batches(23, batch_size or 23):
            gradient = BOWL.gradient(np.asarray(variable), rows)
            optimizer.apply([keras.ops.convert_to_tensor(gradient, dtype="float64")])
    path = walk(rate, batch_size=batch_size, epochs=3)
    np.testing.assert_allclose(path[-1], np.asarray(variable), rtol=0, atol=1e-10)
    assert int(optimizer.iterations) == len(path) - 1


@pytest.fixture
def keras_in_float64():
    with runtime.quiet_start():
        import keras

    floatx, policy = keras.config.floatx(), keras.config.dtype_policy()
    keras.config.set_floatx("float64")  # `fit` would round its rows to 32 bits
    keras.config.set_dtype_policy("float64")  # weights too, whichever test touched Keras first
    yield keras
    keras.config.set_dtype_policy(policy)
    keras.config.set_floatx(floatx)


def test_descend_equals_keras_fit(keras_in_float64):
    keras = keras_in_float64
    dense = keras.layers.Dense(1, use_bias=False)
    model = keras.Sequential([keras.Input((3,)), dense])
    model.set_weights([np.ones((3, 1))])
    model.compile(keras.optimizers.SGD(2.0**-5), loss="mse")
    model.fit(X, Y[:, None], batch_size=5, epochs=3, shuffle=False, verbose=0)
    path = walk(2.0**-5, batch_size=5, epochs=3)
    np.testing.assert_allclose(model.get_weights()[0][:, 0], path[-1], rtol=0, atol=1e-10)


def test_descend_walks_with_weights_of_any_shape_and_leaves_the_start_alone():
    model = scratch.SoftmaxRegression(X, RNG.integers(2, size=23), 2)
    start = np.zeros((4, 2))
    path = descend(model.gradient, start, SGD(0.5), num_rows=23, batch_size=4, epochs=5)
    assert path.shape == (31, 4, 2)
    assert model.loss(path[-1]) < model.loss(path[0])
    np.testing.assert_array_equal(start, 0)
    assert descend(BOWL.gradient, np.ones(3), SGD(1.0), num_rows=23, epochs=0).shape == (1, 3)


def test_descend_walks_with_any_optimizer():
    class Halving:
        def step(self, weights, gradient):
            return weights / 2

    path = descend(BOWL.gradient, np.ones(3), Halving(), num_rows=23, epochs=2)
    np.testing.assert_array_equal(path[-1], 0.25)


def test_descend_reports_divergence_and_nothing_else():
    with np.errstate(all="raise"), pytest.raises(FloatingPointError) as caught:
        walk(1e6, epochs=200)
    assert "The descent diverged: at update" in str(caught.value)
    update = int(str(caught.value).split("at update ")[1].split()[0])
    path = walk(1e6, epochs=update - 1)
    assert len(path) == update
    assert np.isfinite(path).all()


def test_descend_refuses():
    start = np.ones(3)
    good = {"num_rows": 23, "epochs": 1}
    check_refusals(
        descend,
        [
            Refusal((1.0, start, SGD(1)), good, TypeError, "`gradient` must be a function"),
            Refusal((BOWL.gradient, "a", SGD(1)), good, TypeError, "`start` must be an array"),
            Refusal((BOWL.gradient, [np.nan], SGD(1)), good, ValueError, "`start` must hold fin"),
            Refusal((BOWL.gradient, start, 0.1), good, TypeError, "`optimizer` must be an opt"),
            Refusal((BOWL.gradient, start, SGD), good, TypeError, "`optimizer` must be an opt"),
            Refusal(
                (BOWL.gradient, start, SGD(1)),
                {**good, "num_rows": 0},
                ValueError,
                "`num_rows` must be an integer >= 1",
            ),
            Refusal(
                (BOWL.gradient, start, SGD(1)),
                {**good, "epochs": -1},
                ValueError,
                "`epochs` must be an integer >= 0",
            ),
            Refusal(
                (BOWL.gradient, start, SGD(1)),
                {**good, "batch_size": 0},
                ValueError,
                "`batch_size` must be an integer >= 1",
            ),
            Refusal(
                (BOWL.gradient, start, SGD(1)),
                {**good, "rng": 1},
                TypeError,
                "`rng` must be a numpy.random.Generator",
            ),
            Refusal(
                (lambda w, rows: w[:, None], start, SGD(1)),
                good,
                ValueError,
                r"`gradient` must return an array of the weights' shape \(3,\)",
            ),
            Refusal((lambda w, rows: 1.0, start, SGD(1)), good, ValueError, "`gradient` must ret"),
        ],
    )


# === update_costs and race ===


def test_update_costs_measure_time_and_memory_of_one_update():
    wide = LeastSquares(np.ones((400, 50)), np.ones(400))
    one, whole = update_costs(wide, (1, 400), rounds=1)
    assert 0 < one.seconds < 0.1
    assert whole.bytes > 400 * 50 * 8 > one.bytes > 50 * 8  # the batch's copy of its rows


def test_update_costs_take_turns_and_keep_the_quickest_round(monkeypatch):
    seconds = iter([3.0, 20.0, 5.0, 10.0, 4.0, 30.0])
    asked = []

    def timed(landscape, size, rng):
        asked.append(size)
        return next(seconds)

    monkeypatch.setattr(descent, "_seconds_an_update", timed)
    costs = update_costs(BOWL, [2, 23], rounds=3)
    assert asked == [2, 23] * 3
    assert [cost.seconds for cost in costs] == [3.0, 10.0]


@pytest.mark.parametrize("size", [1, 5, 23, 99])
def test_update_costs_divide_by_the_updates_made(monkeypatch, size):
    clock, made = iter([100.0, 160.0]), []
    bowl = LeastSquares(X, Y)
    monkeypatch.setattr(descent.time, "perf_counter", lambda: next(clock))
    monkeypatch.setattr(bowl, "gradient", lambda w, rows: made.append(len(rows)) or 0 * w)
    measured = descent._seconds_an_update(bowl, size, np.random.default_rng(0))
    assert measured == 60.0 / len(made)
    assert len(made) >= 10
    assert max(made) == min(size, 23)


def test_update_costs_refuse():
    check_refusals(
        update_costs,
        [
            Refusal((BOWL, [3, 0]), {}, ValueError, "`batch_sizes` must be an integer >= 1"),
            Refusal((BOWL, [1.0]), {}, TypeError, "`batch_sizes` must be an integer"),
            Refusal((BOWL, []), {}, ValueError, "`batch_sizes` must not be empty"),
            Refusal((BOWL, [1]), {"rounds": 0}, ValueError, "`rounds` must be an integer >= 1"),
        ],
    )


def test_race_finds_the_fastest_rate_and_counts_its_updates():
    target = 1.01 * BOWL.loss(BOWL.minimum)
    rates = [0.05 * LIMIT, 0.5 * LIMIT, 1e9 * LIMIT]
    result = race(BOWL, target, batch_size=23, epochs=99, rates=rates, rng=RNG)
    path = descend(BOWL.gradient, BOWL.start, SGD(rates[1]), num_rows=23, epochs=99)
    updates = np.flatnonzero(BOWL.loss(path) <= target)[0]
    assert result == (rates[1], updates, updates)


def test_race_counts_epochs_as_rows_seen_and_looks_every_20_rows():
    rates = [0.1 * LIMIT]
    target = 1.1 * BOWL.loss(BOWL.minimum)
    result = race(BOWL, target, batch_size=1, epochs=20, rates=rates, rng=np.random.default_rng(3))
    assert result.updates > 0
    assert result.updates % 20 == 0
    assert result.epochs == result.updates / 23


@pytest.mark.parametrize(("batch_size", "result"), [(1, (0.2, 3, 3 / 23)), (23, (0.1, 9, 9))])
def test_race_takes_the_median_where_chance_decides(monkeypatch, batch_size, result):
    needed = iter([9.0, 1.0, 4.0, math.inf, 3.0, 2.0])
    monkeypatch.setattr(descent, "_updates_to", lambda *walk: next(needed))
    rates = [0.1, 0.2] if batch_size == 1 else [0.1]
    assert race(BOWL, 0.0, batch_size=batch_size, epochs=1, rates=rates, rng=RNG) == result


def test_race_that_nobody_finishes():
    result = race(BOWL, 0.0, batch_size=23, epochs=2, rates=[1e-9], rng=RNG)
    assert (result.updates, result.epochs) == (math.inf, math.inf)


def test_race_refuses():
    good = {"batch_size": 1, "epochs": 1, "rates": [0.1], "rng": RNG}
    check_refusals(
        race,
        [
            Refusal((BOWL, np.inf), good, ValueError, "`target` must be a finite number"),
            Refusal((BOWL, 1.0), {**good, "batch_size": 0}, ValueError, "`batch_size` must be"),
            Refusal((BOWL, 1.0), {**good, "epochs": 0}, ValueError, "`epochs` must be an int"),
            Refusal((BOWL, 1.0), {**good, "rates": []}, ValueError, "`rates` must not be empty"),
            Refusal((BOWL, 1.0), {**good, "rates": [-1.0]}, ValueError, "`learning_rate` must be"),
            Refusal((BOWL, 1.0), {**good, "runs": 0}, ValueError, "`runs` must be an integer >= 1"),
            Refusal((BOWL, 1.0), {**good, "rng": 3}, TypeError, "`rng` must be a numpy.random"),
        ],
    )
