"""Forecasts judged as they would be used: walking forward, against naive ones, with intervals."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from dlnotes.validation import check_array, check_float, check_int, received

Forecast = Callable[[np.ndarray, int], Any]  # (history, steps) -> the next values


class WalkForward(NamedTuple):
    """What `walk_forward` returns: N forecasts of H steps each.

    Attributes:
        at: Where each forecast begins: the place of its first step, shape (N,).
        forecasts: What was foretold, shape (N, H).
        actual: What came, shape (N, H).
    """

    at: np.ndarray
    forecasts: np.ndarray
    actual: np.ndarray


def walk_forward(
    values: Any,
    fit: Callable[[np.ndarray], Forecast],
    *,
    first: int,
    horizon: int = 1,
    every: int = 1,
    refit: int | None = None,
) -> WalkForward:
    """Foretell a series again and again from its past, as one would have done at the time.

    At each place t the forecaster gets a copy of the values before t, and nothing else. What it
    learned before, it has learned from values before `first` or, with `refit`, before a later
    place that it has passed.

    Args:
        values: A series of T finite numbers.
        fit: ``fit(history)`` learns from a past and returns ``forecast(history, steps)``, which
            returns the next `steps` values.
        first: The first place to foretell from, >= 1; the last is T - horizon.
        horizon: H, steps of each forecast, >= 1.
        every: Steps from one place to the next, >= 1.
        refit: After how many forecasts `fit` is called anew, >= 1; None calls it once.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If the series holds NaN, no place is left, or a forecast has another length or
            is no number.

    References:
        L. J. Tashman, Out-of-sample tests of forecasting accuracy, International Journal of
        Forecasting 16 (2000), sections 3 and 4: rolling origin, with and without recalibration.

    Example:
        >>> def fit(history):
        ...     return lambda history, steps: [history[-1]] * steps
        >>> walk = walk_forward([1, 2, 4, 7, 11], fit, first=2, horizon=2)
        >>> walk.at.tolist(), walk.forecasts.tolist(), walk.actual.tolist()
        ([2, 3], [[2.0, 2.0], [4.0, 4.0]], [[4.0, 7.0], [7.0, 11.0]])
    """
    values, refit = check_walk(values, fit, first, horizon, every, refit)
    places, forecasts = np.arange(first, len(values) - horizon + 1, every), []
    for number, t in enumerate(places):
        if number == 0 or (refit and number % refit == 0):
            forecast = fit(values[:t].copy())
        forecasts.append(check_forecast(forecast(values[:t].copy(), horizon), horizon))
    actual = values[places[:, None] + np.arange(horizon)]
    return WalkForward(places, np.array(forecasts), actual)


def find_leaks(
    pipeline: Callable[[np.ndarray], Any],
    values: Any,
    at: Sequence[int],
    *,
    tolerance: float = 1e-9,
    seed: int = 0,
) -> np.ndarray:
    """Return which forecasts change when only the future changes: they knew something of it.

    For each place t the values from t on are replaced by others of similar size, and the whole
    pipeline runs anew: scaling, filling of gaps, smoothing, splitting, fitting, all of it. A
    forecast made from the past alone cannot notice. The pipeline must not depend on chance other
    than by a fixed seed, and an answer that does not change is no proof of innocence for other
    places than those tried.

    Args:
        pipeline: ``pipeline(values)`` returns one forecast for each place in `at`, shape (N,) or
            (N, H).
        values: A series of T finite numbers.
        at: N places; forecast n may know ``values[:at[n]]``.
        tolerance: By how much a forecast may differ, in standard deviations of the series, >= 0.
        seed: Draws the other futures.

    Returns:
        The places whose forecast changed, as they stand in `at`.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If the series holds NaN, a place lies outside it, the number of forecasts
            is another, or the pipeline gives another answer when nothing was changed.

    Example:
        >>> def scaled(values):  # by the largest value of all time
        ...     return [values[2] / values.max(), values[4] / values.max()]
        >>> find_leaks(scaled, [3, 1, 4, 1, 5, 9], at=[3, 5]).tolist()
        [3, 5]
    """
    values, at, tolerance, rng = check_leaks(values, at, tolerance, seed)
    before, leaks = check_twice(pipeline, values, len(at)), []
    for n, t in enumerate(at):
        other = values.copy()
        other[t:] = values.mean() + 2 * values.std() * rng.standard_normal(len(values) - t)
        after = check_rows(pipeline(other), len(at))
        leaks.append(np.abs(after[n] - before[n]).max() > tolerance)
    return at[leaks]


def step_by_step(forecast: Callable[[np.ndarray], Any], windows: Any, steps: int) -> np.ndarray:
    """Foretell one step, take it for true, and go on: each forecast feeds on those before.

    Args:
        forecast: ``forecast(windows)`` returns the next value of each window: (N, W) to (N,).
        windows: N windows of W values, shape (N, W).
        steps: H, how many steps to foretell, >= 1.

    Returns:
        The next H values, (N, H).

    Raises:
        TypeError: If the windows do not hold numbers.
        ValueError: If they hold NaN, or a forecast has another shape.

    Example:
        >>> step_by_step(lambda windows: windows.sum(axis=1), [[1, 1], [0, 3]], 4).tolist()
        [[2.0, 3.0, 5.0, 8.0], [3.0, 6.0, 9.0, 15.0]]
    """
    values, steps = check_array("windows", windows, ndim=2), check_int("steps", steps, low=1)
    count, window = values.shape
    for step in range(steps):
        following = forecast(values[:, step:].copy())
        following = check_array("forecast(windows)", following, shape=(count,))
        values = np.append(values, following[:, None], axis=1)
    return values[:, window:]


def mase(actual: Any, forecasts: Any, training: Any, *, season: int = 1) -> np.ndarray:
    """Return the mean absolute scaled error of each step of the horizon.

    The mean absolute error, divided by the one that "same as `season` steps ago" has, one step
    ahead, on the training part. It has no unit, so that series can be compared. With 1 the
    forecasts err as much as the naive one does one step ahead; further ahead more is usual.

    Args:
        actual: What came, shape (N,) or (N, H).
        forecasts: What was foretold, of the same shape.
        training: The values that the forecaster learned from, shape (T,), T > season.
        season: 1 scales by the naive forecast, S by the seasonal one.

    Returns:
        One number, shape (), or one a step, shape (H,).

    Raises:
        TypeError: If something else than numbers is given.
        ValueError: If shapes differ, a value is NaN, or the training part does not change.

    References:
        R. J. Hyndman and A. B. Koehler, Another look at measures of forecast accuracy,
        International Journal of Forecasting 22 (2006), section 3.

    Example:
        >>> mase([[5.0, 8.0]], [[4.0, 4.0]], [1, 3, 2, 5]).tolist()
        [0.5, 2.0]
    """
    actual, forecasts, training, season = check_mase(actual, forecasts, training, season)
    naive_error = np.abs(training[season:] - training[:-season]).mean()
    return np.abs(actual - forecasts).mean(axis=0) / naive_error


def skill(actual: Any, forecasts: Any, reference: Any) -> np.ndarray:
    """Return by which share the mean absolute error is below that of a reference, for each step.

    1 is a perfect forecast, 0 one as good as the reference; below 0 the reference is better.

    Args:
        actual: What came, shape (N,) or (N, H).
        forecasts: What was foretold, of the same shape.
        reference: What the reference foretold, such as the naive forecast, of the same shape.

    Returns:
        One number, shape (), or one a step, shape (H,).

    Raises:
        TypeError: If something else than numbers is given.
        ValueError: If shapes differ, a value is NaN, or the reference makes no error at all.

    Example:
        >>> float(skill([3.0, 5.0], [3.0, 4.0], [2.0, 2.0]))
        0.75
    """
    actual, forecasts = check_pair(actual, forecasts)
    reference = check_array("reference", reference, shape=actual.shape)
    errors = np.abs(actual - reference).mean(axis=0)
    if np.any(errors == 0):
        raise ValueError(f"`reference` must make some error. {received(errors=errors)}")
    return 1 - np.abs(actual - forecasts).mean(axis=0) / errors


class Interval(NamedTuple):
    """What `conformal_interval` returns: how far below and above a forecast the interval reaches.

    Attributes:
        low: Added to a forecast it gives the interval's lower end, shape () or (H,).
        high: Added to a forecast it gives the upper end, of the same shape.
    """

    low: np.ndarray
    high: np.ndarray

    def coverage(self, actual: Any, forecasts: Any) -> np.ndarray:
        """Return the share of what came that lies inside, for each step of the horizon.

        Raises:
            TypeError: If something else than numbers is given.
            ValueError: If the shapes differ, or a value is NaN.
        """
        actual, forecasts = check_pair(actual, forecasts)
        errors = actual - forecasts
        return np.mean((errors >= self.low) & (errors <= self.high), axis=0)


def conformal_interval(actual: Any, forecasts: Any, *, coverage: float = 0.9) -> Interval:
    """Return an interval that the errors of held-out forecasts say will hold the next values.

    Split conformal prediction: of N errors that the forecaster was not fitted to, the largest few
    on either side are cut off, (1 - coverage)/2 of N + 1 each. If the next error is as likely to
    take any place among them (the errors are exchangeable), it lies inside with at least this
    probability, whatever their distribution. Errors of a series need not be: measure.

    Args:
        actual: What came, on data that nothing was fitted to, shape (N,) or (N, H).
        forecasts: What was foretold, of the same shape.
        coverage: Share of the next values that should lie inside, in (0, 1).

    Returns:
        How far below and above the forecast the interval reaches, for each step by itself.

    Raises:
        TypeError: If something else than numbers is given.
        ValueError: If shapes differ, a value is NaN, or N is too small for the coverage.

    References:
        V. Vovk, A. Gammerman and G. Shafer, Algorithmic learning in a random world (2005), chapter
        4; J. Lei and others, Distribution-free predictive inference for regression (2018),
        section 2.2.

    Example:
        >>> errors = np.arange(-9.0, 10.0)
        >>> conformal_interval(errors, 0 * errors, coverage=0.8)
        Interval(low=np.float64(-8.0), high=np.float64(8.0))
    """
    actual, forecasts = check_pair(actual, forecasts)
    cut = check_coverage(coverage, len(actual))  # places cut off on either side
    errors = np.sort(actual - forecasts, axis=0)
    return Interval(errors[cut - 1], errors[-cut])


def check_walk(
    values: Any, fit: Any, first: int, horizon: int, every: int, refit: int | None
) -> tuple[np.ndarray, int | None]:
    """Return the series and `refit` of `walk_forward`, if all its arguments fit together.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If the series holds NaN, or no place is left to foretell from.
    """
    values = check_array("values", values, ndim=1)
    if not callable(fit):
        raise TypeError(f"`fit` must be a function of a history. {received(fit=fit)}")
    horizon = check_int("horizon", horizon, low=1)
    if horizon >= len(values):
        raise ValueError(
            "`values` must be longer than the horizon. "
            f"{received(horizon=horizon)}, len(values)={len(values)}"
        )
    check_int("first", first, low=1, high=len(values) - horizon)
    check_int("every", every, low=1)
    return values, None if refit is None else check_int("refit", refit, low=1)


def check_forecast(forecast: Any, horizon: int) -> np.ndarray:
    """Return what a forecaster answered, if it is one number for each step.

    Raises:
        TypeError: If it does not hold numbers.
        ValueError: If there are more or fewer, or one is NaN.
    """
    return check_array("forecast", forecast, shape=(horizon,))


def check_leaks(
    values: Any, at: Any, tolerance: float, seed: int
) -> tuple[np.ndarray, np.ndarray, float, np.random.Generator]:
    """Return the arguments of `find_leaks`, with the tolerance in the series' unit.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If the series holds NaN, or a place lies outside it.
    """
    values = check_array("values", values, ndim=1)
    at = check_places(at, len(values))
    tolerance = check_float("tolerance", tolerance, low=0) * np.std(values)
    return values, at, tolerance, np.random.default_rng(check_int("seed", seed, low=0))


def check_twice(pipeline: Callable[[np.ndarray], Any], values: np.ndarray, count: int) -> Any:
    """Return a pipeline's forecasts, if it gives the same ones when it is run again.

    Raises:
        TypeError: If they are not numbers.
        ValueError: If there are more or fewer than `count`, one is NaN, or they differ.
    """
    first, again = (check_rows(pipeline(values.copy()), count) for _ in range(2))
    if not np.array_equal(first, again):
        raise ValueError(
            "`pipeline` must give the same forecasts for the same series: fix its seed. "
            f"{received(difference=float(np.abs(first - again).max()))}"
        )
    return first


def check_coverage(coverage: float, count: int) -> int:
    """Return how many of `count` sorted errors lie below an interval of this coverage, and above.

    Raises:
        TypeError: If the coverage is not a number.
        ValueError: If it is out of range, or there are too few errors for it.
    """
    coverage = check_float("coverage", coverage, low=0, high=1, open_low=True, open_high=True)
    cut = int(np.floor((count + 1) * (1 - coverage) / 2 + 1e-9))
    if cut < 1:
        raise ValueError(
            f"`actual` must hold at least {int(np.ceil(2 / (1 - coverage) - 1e-9)) - 1} forecasts "
            f"for this coverage. {received(coverage=coverage)}, len(actual)={count}"
        )
    return cut


def check_places(at: Any, length: int) -> np.ndarray:
    """Return places inside a series of this length, each with a past and a future.

    Raises:
        TypeError: If they are not whole numbers.
        ValueError: If there is none, or one lies outside [1, length - 1].
    """
    places = check_array("at", at, ndim=1, dtype=None)
    if places.dtype.kind not in "iu":
        raise TypeError(f"`at` must hold whole numbers. {received(at=at)}")
    if places.min() < 1 or places.max() >= length:
        raise ValueError(f"`at` must lie in [1, {length - 1}]. {received(at=at)}")
    return places


def check_rows(forecasts: Any, count: int) -> np.ndarray:
    """Return the forecasts of a pipeline, if there is one for each place.

    Raises:
        TypeError: If they are not numbers.
        ValueError: If there are more or fewer, or one is NaN.
    """
    forecasts = check_array("pipeline(values)", forecasts, ndim=(1, 2))
    if len(forecasts) != count:
        raise ValueError(
            f"`pipeline(values)` must hold {count} forecasts, one for each place in `at`. "
            f"Received: shape {forecasts.shape}"
        )
    return forecasts


def check_pair(actual: Any, forecasts: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return what came and what was foretold, of one shape.

    Raises:
        TypeError: If they are not numbers.
        ValueError: If the shapes differ, or a value is NaN.
    """
    actual = check_array("actual", actual, ndim=(1, 2))
    return actual, check_array("forecasts", forecasts, shape=actual.shape)


def check_mase(
    actual: Any, forecasts: Any, training: Any, season: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Return the arguments of `mase`, checked.

    Raises:
        TypeError: If something else than numbers is given.
        ValueError: If shapes differ, a value is NaN, or the training part does not change.
    """
    actual, forecasts = check_pair(actual, forecasts)
    training = check_array("training", training, ndim=1)
    season = check_int("season", season, low=1)
    if len(training) <= season:
        raise ValueError(
            "`training` must be longer than the season. "
            f"{received(season=season)}, len(training)={len(training)}"
        )
    if not np.any(training[season:] != training[:-season]):
        raise ValueError(
            "`training` must change from season to season, or the scale is 0. "
            f"{received(training=training)}"
        )
    return actual, forecasts, training, season
