import numpy as np
import pytest
from contracts import Refusal, check_docstring, check_refusals
from hypothesis import given
from hypothesis import strategies as st

from dlnotes import scratch
from dlnotes.datasets import load_co2
from dlnotes.scratch import drift, moving_average, naive, seasonal_naive

ALL = {
    naive: {},
    drift: {},
    seasonal_naive: {"season": 3},
    moving_average: {"window": 3},
}


@pytest.mark.parametrize("function", ALL)
def test_many_histories_are_foretold_as_one_by_one(function):
    histories = np.random.default_rng(0).normal(size=(4, 7))
    together = function(histories, 5, **ALL[function])
    assert together.shape == (4, 5)
    alone = [function(history, 5, **ALL[function]) for history in histories]
    np.testing.assert_allclose(together, alone, rtol=1e-14)
    check_docstring(function)


@given(season=st.integers(1, 6), steps=st.integers(1, 20), extra=st.integers(0, 5))
def test_the_seasonal_forecast_goes_on_with_a_perfect_season(season, steps, extra):
    pattern = np.random.default_rng(1).normal(size=season)
    series = np.resize(pattern, season + extra + steps)
    known = season + extra
    np.testing.assert_array_equal(
        seasonal_naive(series[:known], steps, season=season), series[known:]
    )


def test_the_drift_goes_on_with_a_straight_line():
    line = 3 + 0.5 * np.arange(12)
    np.testing.assert_allclose(drift(line[:4], 8), line[4:], rtol=1e-14)


def test_one_step_back_is_the_naive_forecast():
    history = [2.0, 7.0, 1.0, 8.0]
    expected = [8.0, 8.0, 8.0]
    assert naive(history, 3).tolist() == expected
    assert seasonal_naive(history, 3, season=1).tolist() == expected
    assert moving_average(history, 3, window=1).tolist() == expected


@pytest.mark.parametrize("function", ALL)
def test_refusals(function):
    options = ALL[function]
    nothing = Refusal(([],), options, ValueError, "`history` must")
    nan = Refusal((load_co2().values,), options, ValueError, "`history` must .*finite")
    text = Refusal((["a"],), options, TypeError, "`history` must")
    steps = Refusal(([1.0, 2.0, 3.0], 0), options, ValueError, "`steps` must be an integer >= 1")
    check_refusals(function, [nothing, nan, text, steps])


def test_short_histories_are_refused():
    message = "`history` must hold at least {} values. Received: {}={}"
    cases = [(seasonal_naive, "season", 4), (moving_average, "window", 4)]
    for function, name, count in cases:
        match = message.format(count, name, count)
        check_refusals(function, [Refusal(([1.0, 2, 3],), {name: count}, ValueError, match)])
        check_refusals(function, [Refusal(([1.0],), {name: 0}, ValueError, f"`{name}` must be")])
    check_refusals(drift, [Refusal(([1.0],), {}, ValueError, "`history` must hold at least 2")])


def test_they_forecast_as_an_autoregression_does():
    """The same call, (history, steps), so that `training.walk_forward` takes either."""
    fitted = scratch.fit_autoregression(np.arange(9.0), 1)
    assert fitted.forecast([5.0], 3).shape == naive([5.0], 3).shape
