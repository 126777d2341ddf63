import numpy as np
import pytest
from contracts import Refusal, check_docstring, check_refusals
from hypothesis import given
from hypothesis import strategies as st

from dlnotes import scratch, training
from dlnotes.datasets import load_co2, make_random_walk
from dlnotes.training import (
    conformal_interval,
    find_leaks,
    mase,
    skill,
    step_by_step,
    walk_forward,
)

GAP = load_co2().values


def last(history):
    return lambda history, steps: np.repeat(history[-1], steps)


@pytest.mark.parametrize(
    "thing", [walk_forward, find_leaks, mase, skill, conformal_interval, training.Interval]
)
def test_docstrings(thing):
    check_docstring(thing)


# === Walking forward ===


def test_fit_and_forecast_see_the_past_alone():
    values, seen = np.arange(10.0), []

    def fit(history):
        seen.append(("fit", history.tolist()))

        def forecast(history, steps):
            seen.append(("forecast", history.tolist()))
            history[:] = -1  # what it does to its copy is nobody's business
            return [0.0] * steps

        history[:] = -1
        return forecast

    walk = walk_forward(values, fit, first=4, horizon=3, every=2, refit=2)
    past = [list(map(float, range(t))) for t in range(11)]
    assert seen == [("fit", past[4]), ("forecast", past[4]), ("forecast", past[6])]
    assert walk.at.tolist() == [4, 6]
    assert walk.actual.tolist() == [[4, 5, 6], [6, 7, 8]]
    assert values.tolist() == past[10]


@pytest.mark.parametrize(("refit", "fits"), [(None, [5]), (1, [5, 6, 7, 8]), (3, [5, 8])])
def test_it_is_fitted_anew_as_often_as_asked(refit, fits):
    seen = []

    def fit(history):
        seen.append(len(history))
        return last(history)

    walk = walk_forward(np.arange(9.0), fit, first=5, refit=refit)
    assert seen == fits
    assert walk.at.tolist() == [5, 6, 7, 8]
    assert walk.forecasts[:, 0].tolist() == [4, 5, 6, 7]


@given(
    length=st.integers(5, 30), first=st.integers(1, 4), horizon=st.integers(1, 4),
    every=st.integers(1, 4),
)  # fmt: skip
def test_every_place_with_a_whole_horizon_is_foretold(length, first, horizon, every):
    values = np.arange(float(length))
    first = min(first, length - horizon)
    walk = walk_forward(values, last, first=first, horizon=horizon, every=every)
    assert walk.at.tolist() == list(range(first, length - horizon + 1, every))
    assert (walk.actual[:, 0] == walk.at).all()
    assert (walk.forecasts[:, -1] == walk.at - 1).all()


def test_walk_forward_refuses():
    values, good = np.arange(9.0), {"first": 3}
    refusals = [
        Refusal((GAP, last), good, ValueError, "`values` must .*finite"),
        Refusal((["a"], last), good, TypeError, "`values` must"),
        Refusal((values, 3), good, TypeError, "`fit` must be a function"),
        Refusal((values, last), {"first": 0}, ValueError, r"`first` must be .* in \[1, 8\]"),
        Refusal((values, last), {"first": 7, "horizon": 3}, ValueError, r"in \[1, 6\]"),
        Refusal((values, last), {"first": 1, "horizon": 9}, ValueError, "`values` must be longer"),
        Refusal((values, last), {**good, "every": 0}, ValueError, "`every` must be"),
        Refusal((values, last), {**good, "refit": 0}, ValueError, "`refit` must be"),
        Refusal((values, last), {**good, "horizon": 0}, ValueError, "`horizon` must be"),
        Refusal(
            (values, lambda history: lambda history, steps: [1.0, 2.0]),
            good, ValueError, r"`forecast` must have shape \(1,\)",
        ),
        Refusal(
            (values, lambda history: lambda history, steps: [np.nan]),
            good, ValueError, "`forecast` must .*finite",
        ),
    ]  # fmt: skip
    check_refusals(walk_forward, refusals)


# === Leaks ===

WALK = make_random_walk(80, seed=2).values
AT = np.array([40, 55, 70])


def honest(values):
    fitted = values[:40].mean()
    return [values[t - 1] + 0.01 * (fitted - values[t - 1]) for t in AT]


def peeks(values):
    return [values[t] for t in AT]


def scaled_by_all(values):
    scaled = (values - values.mean()) / values.std()
    return [0.9 * scaled[t - 1] for t in AT]


def scaled_and_back(values):  # the forecast is in units again, and yet the mean of all is in it
    mean, spread = values.mean(), values.std()
    return [0.9 * (values[t - 1] - mean) / spread * spread + mean for t in AT]


def smoothed(values):
    middle = np.convolve(values, np.ones(5) / 5, mode="same")
    return [middle[t - 1] for t in AT]


def smoothed_backwards(values):
    return [values[t - 5 : t].mean() for t in AT]


def fitted_to_all(values):
    weight = values[:-1] @ values[1:] / (values[:-1] @ values[:-1])
    return [weight * values[t - 1] for t in AT]


def off_by_one(values):  # honest at the first place only
    return [values[AT[0] - 1], values[AT[1]], values[AT[2]]]


def filled_gap(values):  # as if the last value before the second place were missing
    filled = values.copy()
    filled[AT[1] - 1] = (values[AT[1] - 2] + values[AT[1]]) / 2
    return [[filled[t - 1]] * 2 for t in AT]


@pytest.mark.parametrize("pipeline", [honest, smoothed_backwards])
def test_an_honest_pipeline_has_no_leak(pipeline):
    assert find_leaks(pipeline, WALK, AT).tolist() == []


@pytest.mark.parametrize(
    "pipeline", [peeks, scaled_by_all, scaled_and_back, smoothed, fitted_to_all]
)
def test_every_planted_leak_is_found(pipeline):
    assert find_leaks(pipeline, WALK, AT).tolist() == AT.tolist()


@pytest.mark.parametrize(("pipeline", "found"), [(off_by_one, [55, 70]), (filled_gap, [55])])
def test_a_leak_is_found_where_it_is(pipeline, found):
    assert find_leaks(pipeline, WALK, AT).tolist() == found


def test_the_tolerance_is_in_standard_deviations():
    def hardly(values):  # a leak of a hundredth of the last value, in one step of two
        return [[values[t - 1], 0.01 * values[-1]] for t in AT]

    assert find_leaks(hardly, WALK, AT).tolist() == AT.tolist()
    assert find_leaks(hardly, WALK, AT, tolerance=1.0).tolist() == []


def test_a_forecaster_inside_a_walk_is_examined_too():
    def pipeline(values, known=None):
        future = values if known is None else known

        def fit(history):
            return lambda history, steps: future[len(history) : len(history) + steps]

        return walk_forward(values, fit, first=60, every=5).forecasts

    assert find_leaks(pipeline, WALK, np.arange(60, 80, 5)).tolist() == [60, 65, 70, 75]
    assert find_leaks(lambda v: walk_forward(v, last, first=60).forecasts, WALK,
                      np.arange(60, 80)).tolist() == []  # fmt: skip


def test_find_leaks_refuses():
    rng = np.random.default_rng(0)
    refusals = [
        Refusal((honest, GAP, AT), {}, ValueError, "`values` must .*finite"),
        Refusal((honest, WALK, [0]), {}, ValueError, r"`at` must lie in \[1, 79\]"),
        Refusal((honest, WALK, [80]), {}, ValueError, r"`at` must lie in \[1, 79\]"),
        Refusal((honest, WALK, [1.5]), {}, TypeError, "`at` must hold whole numbers"),
        Refusal((honest, WALK, [40]), {}, ValueError, r"`pipeline\(values\)` must hold 1 fore"),
        Refusal((honest, WALK, AT), {"tolerance": -1.0}, ValueError, "`tolerance` must be"),
        Refusal(
            (lambda values: rng.normal(size=3), WALK, AT), {}, ValueError,
            "`pipeline` must give the same forecasts",
        ),
    ]  # fmt: skip
    check_refusals(find_leaks, refusals)


# === Step by step ===


def test_step_by_step_is_what_an_autoregression_does():
    fitted = scratch.fit_autoregression(make_random_walk(60, seed=4).values, 3)

    def one(windows):
        return fitted.intercept + windows[:, ::-1] @ fitted.weights

    histories = np.random.default_rng(0).normal(size=(4, 3))
    expected = [fitted.forecast(history, 6) for history in histories]
    np.testing.assert_allclose(step_by_step(one, histories, 6), expected, rtol=1e-12)
    assert step_by_step(one, histories[:1], 1).shape == (1, 1)


def test_step_by_step_refuses():
    rows = np.ones((2, 3))
    refusals = [
        Refusal((np.sum, [1.0], 2), {}, ValueError, "`windows` must"),
        Refusal((np.sum, rows * np.nan, 2), {}, ValueError, "`windows` must .*finite"),
        Refusal((np.sum, rows, 0), {}, ValueError, "`steps` must be"),
        Refusal((lambda w: w, rows, 2), {}, ValueError, r"`forecast\(windows\)` must have shape"),
    ]
    check_refusals(step_by_step, refusals)
    check_docstring(step_by_step)


# === Scores ===


def test_mase_is_the_paper_s():
    """Hyndman and Koehler: |e| over the mean of |y_i - y_(i-1)| in sample."""
    training_part = np.array([1.0, 3, 2, 5, 5, 4])
    actual, forecasts = np.array([[3.0, 9.0], [7.0, 0.0]]), np.array([[4.0, 5.0], [4.0, 2.0]])
    scale = (2 + 1 + 3 + 0 + 1) / 5
    expected = [(1 + 3) / 2 / scale, (4 + 2) / 2 / scale]
    np.testing.assert_allclose(mase(actual, forecasts, training_part), expected, rtol=1e-14)
    seasonal = (1 + 2 + 3 + 1) / 4
    expected = np.array(expected) * scale / seasonal
    np.testing.assert_allclose(mase(actual, forecasts, training_part, season=2), expected)
    assert mase(actual[:, 0], forecasts[:, 0], training_part).shape == ()


@given(scale=st.floats(0.01, 100), shift=st.floats(-50, 50))
def test_units_change_neither_mase_nor_skill(scale, shift):
    rng = np.random.default_rng(3)
    past, actual, forecasts, other = (rng.normal(size=n) for n in (20, 9, 9, 9))
    past_2, actual_2, forecasts_2, other_2 = (
        scale * array + shift for array in (past, actual, forecasts, other)
    )
    one, two = mase(actual, forecasts, past), mase(actual_2, forecasts_2, past_2)
    np.testing.assert_allclose(one, two, rtol=1e-6)
    one, two = skill(actual, forecasts, other), skill(actual_2, forecasts_2, other_2)
    np.testing.assert_allclose(one, two, rtol=1e-6, atol=1e-8)


def test_the_naive_forecast_has_a_mase_of_one_where_it_is_measured():
    walk = make_random_walk(300, seed=5).values
    assert mase(walk[1:], walk[:-1], walk) == pytest.approx(1)
    assert mase(walk[7:], walk[:-7], walk, season=7) == pytest.approx(1)


def test_skill_counts_from_the_reference():
    actual, reference = np.array([[1.0, 2.0], [3.0, 2.0]]), np.array([[2.0, 4.0], [2.0, 4.0]])
    assert skill(actual, actual, reference).tolist() == [1, 1]
    assert skill(actual, reference, reference).tolist() == [0, 0]
    assert skill(actual, [[2.5, 2.0], [4.5, 2.0]], reference).tolist() == [-0.5, 1]


def test_scores_refuse():
    two = [1.0, 2.0]
    common = [
        Refusal((two, [1.0], two), {}, ValueError, r"`forecasts` must have shape \(2,\)"),
        Refusal((["a"], two, two), {}, TypeError, "`actual` must"),
        Refusal((two, [1.0, np.nan], two), {}, ValueError, "`forecasts` must .*finite"),
    ]
    flat = Refusal((two, two, [4.0, 4.0]), {}, ValueError, "`training` must change")
    short = Refusal((two, two, two), {"season": 2}, ValueError, "`training` must be longer")
    zero = Refusal((two, two, two), {"season": 0}, ValueError, "`season` must be")
    gap = Refusal((two, two, [1.0, np.nan]), {}, ValueError, "`training` must .*finite")
    check_refusals(mase, [*common, flat, short, zero, gap])
    perfect = Refusal((two, two, two), {}, ValueError, "`reference` must make some error")
    other = Refusal((two, two, [1.0]), {}, ValueError, "`reference` must have shape")
    check_refusals(skill, [*common, perfect, other])


# === Intervals ===


def test_the_interval_covers_as_often_as_it_promises():
    """Of 39 exchangeable errors, one is cut off on either side of the 40: 95 % exactly."""
    rng = np.random.default_rng(0)
    inside = []
    for _ in range(400):
        errors = rng.exponential(size=(139, 1)) - 1  # lopsided: no Gaussian would do
        interval = conformal_interval(errors[:39], 0 * errors[:39], coverage=0.95)
        inside.append(interval.coverage(errors[39:], 0 * errors[39:]))
    assert np.mean(inside) == pytest.approx(0.95, abs=0.006)


def test_each_step_has_its_own_interval():
    rng = np.random.default_rng(1)
    errors = rng.normal(size=(199, 3)) * [1, 2, 4]
    forecasts = rng.normal(size=(199, 3))
    interval = conformal_interval(forecasts + errors, forecasts, coverage=0.9)
    assert interval.low.shape == interval.high.shape == (3,)
    ordered = np.sort(forecasts + errors - forecasts, axis=0)
    np.testing.assert_array_equal(interval.low, ordered[9])  # 5 % of 200
    np.testing.assert_array_equal(interval.high, ordered[-10])
    share = interval.coverage(forecasts + errors, forecasts)
    np.testing.assert_allclose(share, 181 / 199)


def test_a_shifted_series_is_not_covered():
    errors = np.random.default_rng(2).normal(size=100)
    interval = conformal_interval(errors, 0 * errors)
    assert interval.coverage(errors + 3, 0 * errors) < 0.3


def test_intervals_refuse():
    row = [1.0] * 18
    refusals = [
        Refusal((row, row), {}, ValueError, "`actual` must hold at least 19 forecasts"),
        Refusal((row, row), {"coverage": 1.0}, ValueError, r"`coverage` must be .* in \(0, 1\)"),
        Refusal((row, row[1:]), {}, ValueError, "`forecasts` must have shape"),
        Refusal(([np.nan], [1.0]), {}, ValueError, "`actual` must .*finite"),
    ]
    check_refusals(conformal_interval, refusals)
    assert conformal_interval([*row, 1.0], [*row, 1.0]).low == 0
