import numpy as np
import pytest
from contracts import Refusal, check_docstring, check_refusals
from hypothesis import given, settings
from hypothesis import strategies as st

from dlnotes import datasets, scratch
from dlnotes.scratch import (
    autocorrelation,
    dickey_fuller,
    difference,
    fit_autoregression,
    interpolate_gaps,
    rolling,
    seasonal_means,
    undo_difference,
)

SUNSPOTS = datasets.load_sunspots().values
PUBLIC = (
    autocorrelation,
    dickey_fuller,
    difference,
    fit_autoregression,
    interpolate_gaps,
    rolling,
    seasonal_means,
    undo_difference,
    scratch.Autoregression,
    scratch.UnitRoot,
    scratch.forecast_error,
)


@pytest.mark.parametrize("thing", PUBLIC)
def test_docstrings(thing):
    check_docstring(thing)


# === Autocorrelation ===


def test_autocorrelation_by_hand():
    # mean 2; rest -1, 0, 1, 0: products one step apart sum to 0, two steps apart to -1
    np.testing.assert_allclose(autocorrelation([1, 2, 3, 2], 3), [1, 0, -0.5, 0], atol=1e-15)


def test_autocorrelation_equals_that_of_statsmodels():
    tools = pytest.importorskip("statsmodels.tsa.stattools")
    theirs = tools.acf(SUNSPOTS, nlags=40, adjusted=False, fft=False)
    np.testing.assert_allclose(autocorrelation(SUNSPOTS, 40), theirs, rtol=0, atol=1e-13)


def test_autocorrelation_knows_neither_level_nor_unit_nor_direction():
    expected = autocorrelation(SUNSPOTS, 25)
    np.testing.assert_allclose(autocorrelation(7 - 3 * SUNSPOTS, 25), expected, atol=1e-12)
    np.testing.assert_allclose(autocorrelation(SUNSPOTS[::-1], 25), expected, atol=1e-12)
    assert expected[1:].argmax() + 1 == 1
    assert expected[6:].argmax() + 6 in (10, 11)  # the sun's cycle in years


def test_shuffled_values_have_none():
    mixed = np.random.default_rng(0).permutation(SUNSPOTS)
    assert np.abs(autocorrelation(mixed, 20)[1:]).max() < 0.2


# === Differences ===


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(-50, 50), min_size=2, max_size=12), st.integers(1, 11))
def test_undoing_differences_gives_the_series_back(values, lag):
    lag = min(lag, len(values) - 1)
    steps = difference(values, lag)
    assert len(steps) == len(values) - lag
    np.testing.assert_array_equal(undo_difference(steps, values[:lag]), values)


def test_differences_take_away_what_repeats():
    line = 3.0 + 2 * np.arange(9)
    assert difference(line).tolist() == [2] * 8
    season = np.tile([1.0, 5.0, 2.0], 4)
    assert not difference(season, 3).any()
    assert difference(season).any()
    assert undo_difference([], [4, 5]).tolist() == [4, 5]


# === Rolling statistics ===


@given(st.integers(2, 9))
def test_rolling_statistics_are_those_of_each_run(window):
    mean, variance = rolling(SUNSPOTS[:12], window)
    runs = [SUNSPOTS[i : i + window] for i in range(13 - window)]
    np.testing.assert_allclose(mean, [np.mean(run) for run in runs])
    np.testing.assert_allclose(variance, [np.var(run) for run in runs])


# === The unit root test ===

# statistic and critical values of statsmodels 0.15.0: adfuller(SUNSPOTS, lags, trend, autolag=None)
KNOWN = [
    (0, "constant", (-5.434162035, -3.451761160, -2.870970094, -2.571794416)),
    (9, "trend", (-2.898136403, -3.989370928, -3.425276382, -3.135742232)),
]


@pytest.mark.parametrize(("lags", "trend", "expected"), KNOWN)
def test_the_statistic_and_its_critical_values(lags, trend, expected):
    found = [dickey_fuller(SUNSPOTS, lags, trend=trend, percent=p) for p in (1, 5, 10)]
    np.testing.assert_allclose(found[0].statistic, expected[0], rtol=1e-8)
    np.testing.assert_allclose([f.critical for f in found], expected[1:], rtol=1e-8)
    assert [f.rejected for f in found] == [expected[0] < c for c in expected[1:]]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("trend", ["constant", "trend"])
@pytest.mark.parametrize("lags", [0, 1, 7])
def test_the_statistic_equals_that_of_statsmodels(lags, trend):
    tools = pytest.importorskip("statsmodels.tsa.stattools")
    walk = np.cumsum(np.random.default_rng(lags).normal(size=120))
    for values in (walk, SUNSPOTS):
        ours = dickey_fuller(values, lags, trend=trend)
        how = {"maxlag": lags, "regression": {"constant": "c", "trend": "ct"}[trend]}
        theirs = tools.adfuller(values, autolag=None, **how)
        np.testing.assert_allclose(ours.statistic, theirs[0], rtol=1e-7)
        np.testing.assert_allclose(ours.critical, theirs[4]["5%"], rtol=1e-9)


def test_five_walks_in_a_hundred_are_refused():
    rng = np.random.default_rng(1)
    walks = np.cumsum(rng.normal(size=(400, 150)), axis=1)
    assert 0.02 < np.mean([dickey_fuller(walk, 1).rejected for walk in walks]) < 0.09
    pulled = rng.normal(size=(50, 150))
    for t in range(1, 150):
        pulled[:, t] += 0.7 * pulled[:, t - 1]
    found = [dickey_fuller(series, 1) for series in pulled]
    assert np.mean([f.rejected for f in found]) > 0.95
    assert abs(np.mean([f.pull for f in found]) + 0.3) < 0.06


# === Autoregression ===


def test_the_weights_are_found_again():
    rng = np.random.default_rng(2)
    values = rng.normal(size=4000)
    for t in range(2, 4000):
        values[t] += 5 + 1.2 * values[t - 1] - 0.6 * values[t - 2]
    fitted = fit_autoregression(values, 2)
    np.testing.assert_allclose(fitted.weights, [1.2, -0.6], atol=0.05)
    assert abs(fitted.intercept - 5) < 0.5


def test_a_forecast_feeds_on_itself():
    fitted = scratch.Autoregression(1.0, np.array([2.0, -1.0]))
    assert fitted.forecast([9.0, 3.0, 4.0], 3).tolist() == [6.0, 9.0, 13.0]


def test_autoregression_equals_that_of_statsmodels():
    model = pytest.importorskip("statsmodels.tsa.ar_model")
    theirs = model.AutoReg(SUNSPOTS, 9).fit()
    ours = fit_autoregression(SUNSPOTS, 9)
    np.testing.assert_allclose([ours.intercept, *ours.weights], theirs.params, rtol=1e-7)
    ahead = theirs.predict(len(SUNSPOTS), len(SUNSPOTS) + 19)
    np.testing.assert_allclose(ours.forecast(SUNSPOTS, 20), ahead, rtol=1e-6)


@pytest.mark.parametrize("of_steps", [False, True])
def test_the_forecast_error_sees_nothing_late(of_steps):
    cut, ahead, order = 200, 3, 9
    train = SUNSPOTS[:cut]
    fitted = fit_autoregression(np.diff(train) if of_steps else train, order)
    errors = []
    for now in range(cut, 309 - ahead + 1, 2):
        level = list(SUNSPOTS[:now])
        for _ in range(ahead):
            past = np.diff(level) if of_steps else np.array(level)
            step = fitted.intercept + fitted.weights @ past[::-1][:order]
            level.append(level[-1] + step if of_steps else step)
        errors.append(abs(level[-1] - SUNSPOTS[now + ahead - 1]))
    how = {"of_steps": of_steps, "every": 2}
    found = scratch.forecast_error(SUNSPOTS, cut, ahead, order, **how)
    np.testing.assert_allclose(found, np.mean(errors), rtol=1e-9)


def test_the_order_is_chosen_before_the_cut():
    early = {p: scratch.forecast_error(SUNSPOTS[:200], 150, 5, p) for p in (1, 4, 9)}
    best = min(early, key=early.get)
    late = SUNSPOTS.copy()
    late[200:] = late[:199:-1]  # what comes after the cut must not matter for the choice
    for values in (SUNSPOTS, late):
        found = scratch.forecast_error(values, 200, 5, (1, 4, 9))
        assert found == scratch.forecast_error(values, 200, 5, best)


# === Seasons and gaps ===


def test_seasonal_means_by_place_and_by_phase():
    nan = np.nan
    assert seasonal_means([1, nan, 3, 5], [1, 0, 0, 1]).tolist() == [3, 3]
    assert seasonal_means([1, 2, 3, nan, 5], 3).tolist() == [1, 3.5, 3]


def test_gaps_are_filled_by_straight_lines():
    gaps = datasets.load_co2()
    filled = interpolate_gaps(gaps.values, max_gap=18)
    known = ~np.isnan(gaps.values)
    np.testing.assert_array_equal(filled[known], gaps.values[known])
    assert not np.isnan(filled).any()
    bend = difference(difference(filled))
    inside = ~(known[2:] | known[1:-1] | known[:-2])
    assert inside.sum() > 20
    np.testing.assert_allclose(bend[inside], 0, atol=1e-9)
    assert interpolate_gaps([1, 2]).tolist() == [1, 2]


# === Refusals ===


def test_refusals():
    gap, flat = [1.0, np.nan, 2.0], [3.0] * 40
    finite = "`values` must hold finite numbers.*1 of 3 are NaN"
    for function in (autocorrelation, difference, rolling, fit_autoregression):
        check_refusals(
            function,
            [
                Refusal((gap, 1), {}, ValueError, finite),
                Refusal((["a", "b"], 1), {}, TypeError, "`values` must be an array of numbers"),
                Refusal((np.ones((3, 2)), 1), {}, ValueError, "`values` must be 1-dimensional"),
            ],
        )
    check_refusals(
        autocorrelation,
        [
            Refusal(([1, 2, 3], 3), {}, ValueError, r"`max_lag` must be an integer in \[1, 2\]"),
            Refusal(([1, 2, 3], 1.0), {}, TypeError, "`max_lag` must be an integer"),
            Refusal((flat, 2), {}, ValueError, "`values` must not all be equal"),
            Refusal(([1], 1), {}, ValueError, "`values` must hold at least 2 numbers"),
        ],
    )
    check_refusals(
        difference,
        [Refusal(([1, 2], 2), {}, ValueError, r"`lag` must be an integer in \[1, 1\]")],
    )
    check_refusals(
        undo_difference,
        [
            Refusal(([1], []), {}, ValueError, "`first` must not be empty"),
            Refusal(([np.nan], [1]), {}, ValueError, "`differences` must hold finite numbers"),
        ],
    )
    check_refusals(
        rolling, [Refusal(([1, 2], 3), {}, ValueError, r"`window` must be an integer in \[2, 2\]")]
    )
    check_refusals(
        dickey_fuller,
        [
            Refusal((gap,), {}, ValueError, finite),
            Refusal((flat,), {}, ValueError, "`values` must not all be equal"),
            Refusal((range(9), 2), {}, ValueError, r"at least 10 numbers.*lags=2, len.*=9"),
            Refusal((range(9), -1), {}, ValueError, "`lags` must be an integer >= 0"),
            Refusal((range(9),), {"trend": "ct"}, ValueError, "`trend` must be one of 'constant'"),
            Refusal((range(9),), {"percent": 2}, ValueError, "`percent` must be one of 1, 5, 10"),
        ],
    )
    check_refusals(
        fit_autoregression,
        [
            Refusal(([1, 2, 4, 8], 2), {}, ValueError, "`values` must hold more than 4 numbers"),
            Refusal(([1, 2, 4, 8], 0), {}, ValueError, "`order` must be an integer >= 1"),
        ],
    )
    check_refusals(
        scratch.Autoregression(0.0, np.ones(2)).forecast,
        [
            Refusal(([1], 1), {}, ValueError, "`history` must hold at least 2 values"),
            Refusal(([1, 2], 0), {}, ValueError, "`steps` must be an integer >= 1"),
        ],
    )
    check_refusals(
        scratch.forecast_error,
        [
            Refusal((SUNSPOTS, 309, 1, 9), {}, ValueError, r"`cut` must be .* in \[3, 308\]"),
            Refusal((SUNSPOTS, 10, 1, 9), {}, ValueError, "`values` must hold more than 18"),
            Refusal((SUNSPOTS, 99, 0, 9), {}, ValueError, "`ahead` must be an integer >= 1"),
        ],
    )
    check_refusals(
        seasonal_means,
        [
            Refusal(([1, 2], [0]), {}, ValueError, "`values` and `phases` must have the same"),
            Refusal(([1, 2], [0, 2]), {}, ValueError, "`phases` must count from 0, and each"),
            Refusal(([1, np.nan], [0, 1]), {}, ValueError, "`phases` must count from 0, and each"),
            Refusal(([1, 2], [-1, 0]), {}, ValueError, "`phases` must count from 0"),
            Refusal(([1, 2], [0.0, 1.0]), {}, TypeError, "`phases` must be whole numbers"),
            Refusal(([1, 2], 3), {}, ValueError, r"`phases` must be an integer in \[1, 2\]"),
            Refusal(([1, np.inf], 1), {}, ValueError, "`values` must hold finite numbers"),
        ],
    )
    check_refusals(
        interpolate_gaps,
        [
            Refusal(([np.nan, 1.0],), {}, ValueError, "`values` must begin and end with a number"),
            Refusal(([1.0, np.inf],), {}, ValueError, "`values` must hold finite numbers"),
            Refusal((gap, 0), {}, ValueError, "`max_gap` must be an integer >= 1"),
            Refusal(([],), {}, ValueError, "`values` must not be empty"),
            Refusal(
                ([1, np.nan, np.nan, 2], 1), {}, ValueError, "no gap longer.*max_gap=1, longest=2"
            ),
        ],
    )
