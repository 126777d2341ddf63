"""What order does to numbers: autocorrelation, differences, gaps, seasons, and a unit-root test."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from dlnotes.validation import check_array, check_choice, check_int, check_same_length, received

# J. G. MacKinnon (2010), table 2: limit and three corrections for short series, by risk in percent
CRITICAL = {
    "constant": {
        1: (-3.43035, -6.5393, -16.786, -79.433),
        5: (-2.86154, -2.8903, -4.234, -40.040),
        10: (-2.56677, -1.5384, -2.809, 0.0),
    },
    "trend": {
        1: (-3.95877, -9.0531, -28.428, -134.155),
        5: (-3.41049, -4.3904, -9.036, -45.374),
        10: (-3.12705, -2.5856, -3.925, -22.380),
    },
}


def autocorrelation(values: Any, max_lag: int) -> np.ndarray:
    """Return how strongly each value goes along with the one `lag` steps before it.

    r_k = Σ (x_t - m)(x_{t-k} - m) / Σ (x_t - m)², with the mean m of all T values. The sum above
    has k terms fewer than the one below, so that r_k shrinks towards 0 for lags near T.

    Args:
        values: A series of T finite numbers, not all equal.
        max_lag: The largest lag K, in [1, T - 1].

    Returns:
        r_0 = 1, r_1, …, r_K, each in [-1, 1].

    Raises:
        TypeError: If the values are not numbers.
        ValueError: If the series has NaN, or is constant or too short.

    References:
        G. E. P. Box and G. M. Jenkins, Time series analysis (1970), equation 2.1.11.

    Example:
        >>> autocorrelation([1, 2, 1, 2, 1, 2], 2).round(2).tolist()
        [1.0, -0.83, 0.67]
    """
    values, max_lag = check_autocorrelation(values, max_lag)
    rest = values - values.mean()
    later_times_earlier = [rest[lag:] @ rest[: len(rest) - lag] for lag in range(max_lag + 1)]
    return np.array(later_times_earlier) / (rest @ rest)


def difference(values: Any, lag: int = 1) -> np.ndarray:
    """Return by how much each value exceeds the one `lag` steps before it, shape (T - lag,).

    Raises:
        TypeError: If the values are not numbers.
        ValueError: If the series has NaN, or no value `lag` steps after another.

    Example:
        >>> difference([1, 4, 9, 16]).tolist(), difference([1, 4, 9, 16], lag=2).tolist()
        ([3.0, 5.0, 7.0], [8.0, 12.0])
    """
    values, lag = check_lag(values, lag)
    return values[lag:] - values[:-lag]


def undo_difference(differences: Any, first: Any) -> np.ndarray:
    """Return the series whose differences these are, from its first values.

    Args:
        differences: What `difference` made of T values, shape (T - lag,).
        first: The series' first values, shape (lag,).

    Returns:
        The series, shape (T,).

    Raises:
        TypeError: If something else than numbers is given.
        ValueError: If there is NaN, or no first value.

    Example:
        >>> undo_difference([3, 5, 7], [1]).tolist()
        [1.0, 4.0, 9.0, 16.0]
    """
    differences = check_array("differences", differences, ndim=1, nonempty=False)
    first = check_array("first", first, ndim=1)
    values = np.concatenate([first, differences])
    for phase in range(len(first)):  # each sums up its own chain of steps
        values[phase :: len(first)] = np.cumsum(values[phase :: len(first)])
    return values


class Rolling(NamedTuple):
    """What `rolling` returns: mean and variance of each window, shape (T - W + 1,)."""

    mean: np.ndarray
    variance: np.ndarray


def rolling(values: Any, window: int) -> Rolling:
    """Return mean and variance of every run of `window` neighbouring values.

    Args:
        values: A series of T finite numbers.
        window: W, how many neighbours belong together, in [2, T].

    Raises:
        TypeError: If the values are not numbers.
        ValueError: If the series has NaN, or the window is longer than it.

    Example:
        >>> mean, variance = rolling([1, 3, 3, 9], 2)
        >>> mean.tolist(), variance.tolist()
        ([2.0, 3.0, 6.0], [1.0, 0.0, 9.0])
    """
    values = check_array("values", values, ndim=1)
    window = check_int("window", window, low=2, high=len(values))
    runs = np.lib.stride_tricks.sliding_window_view(values, window)
    return Rolling(runs.mean(axis=1), runs.var(axis=1))


class UnitRoot(NamedTuple):
    """What `dickey_fuller` returns.

    Attributes:
        statistic: The pull-back divided by its standard error; the more negative, the more pull.
        critical: The value that a walk without pull-back falls below in 5 % of cases.
        pull: By which share of its distance the series is pulled back in a step; negative.
    """

    statistic: float
    critical: float
    pull: float

    @property
    def rejected(self) -> bool:
        """Whether the statistic lies below the critical value: no walk without pull-back."""
        return self.statistic < self.critical


def dickey_fuller(
    values: Any, lags: int = 0, *, trend: str = "constant", percent: int = 5
) -> UnitRoot:
    """Ask whether a series is pulled back to a level, or wanders as a random walk does.

    Least squares fits x_t - x_{t-1} = a + p·x_{t-1} + Σ d_i (x_{t-i} - x_{t-i-1}), i = 1 … lags,
    where a walk has the pull p = 0. The test refuses the walk only if p is clearly negative; not
    to refuse it proves nothing.

    Args:
        values: A series of T finite numbers.
        lags: How many past steps stand in the equation beside the level, >= 0.
        trend: "constant": the level is fixed. "trend": it may be a straight line in time.
        percent: How often a true walk may be refused: 1, 5 or 10 in a hundred.

    Raises:
        TypeError: If the values are not numbers.
        ValueError: If the series has NaN, is constant, or too short for its lags.

    References:
        D. A. Dickey and W. A. Fuller (1979), section 2; S. E. Said and D. A. Dickey (1984);
        J. G. MacKinnon, Critical values for cointegration tests (2010), table 2.

    Example:
        >>> noise = np.random.default_rng(0).normal(size=200)
        >>> dickey_fuller(noise).rejected, dickey_fuller(np.cumsum(noise)).rejected
        (True, False)
    """
    values, lags, choices = check_unit_root(values, lags, trend, percent)
    steps = np.diff(values)
    wanted = steps[lags:]
    columns = [values[lags:-1], np.ones(len(wanted))]
    columns += [steps[lags - i : len(steps) - i] for i in range(1, lags + 1)]
    columns += [np.arange(len(wanted))] if trend == "trend" else []
    table = np.stack(columns, axis=1)
    coefficients = np.linalg.lstsq(table, wanted)[0]
    rest = wanted - table @ coefficients
    variance = rest @ rest / (len(wanted) - len(columns))
    error = np.sqrt(variance * np.linalg.inv(table.T @ table)[0, 0])
    critical = np.polyval(choices[::-1], 1 / len(wanted))
    return UnitRoot(float(coefficients[0] / error), float(critical), float(coefficients[0]))


class Autoregression(NamedTuple):
    """A series' next value as a weighted sum of its last P values.

    Attributes:
        intercept: What is added to the sum.
        weights: Shape (P,); ``weights[0]`` belongs to the last value.
    """

    intercept: float
    weights: np.ndarray

    def forecast(self, history: Any, steps: int) -> np.ndarray:
        """Return the next `steps` values, each foretold one standing in for the true one.

        Raises:
            TypeError: If the history does not hold numbers.
            ValueError: If it has NaN, or fewer than P values.
        """
        history, order = check_array("history", history, ndim=1), len(self.weights)
        steps = check_int("steps", steps, low=1)
        if len(history) < order:
            raise ValueError(
                f"`history` must hold at least {order} values. Received: len={len(history)}"
            )
        values = np.concatenate([history[-order:], np.zeros(steps)])
        for t in range(order, order + steps):
            values[t] = self.intercept + self.weights @ values[t - order : t][::-1]
        return values[order:]


def fit_autoregression(values: Any, order: int) -> Autoregression:
    """Return the weights of the last `order` values with the least squared error of the next one.

    Args:
        values: A series of T finite numbers.
        order: P, how many last values count, >= 1; T must exceed 2P.

    Raises:
        TypeError: If the values are not numbers.
        ValueError: If the series has NaN, or is too short.

    References:
        G. U. Yule, On a method of investigating periodicities in disturbed series, with special
        reference to Wolfer's sunspot numbers (1927).

    Example:
        >>> fitted = fit_autoregression([1, 2, 4, 8, 16, 32], 1)
        >>> round(fitted.intercept, 6) + 0.0, fitted.weights.round(6).tolist()
        (0.0, [2.0])
    """
    values = check_array("values", values, ndim=1)
    order = check_int("order", order, low=1)
    if len(values) <= 2 * order:
        raise ValueError(
            f"`values` must hold more than {2 * order} numbers for this order. "
            f"{received(order=order)}, len(values)={len(values)}"
        )
    past = np.lib.stride_tricks.sliding_window_view(values[:-1], order)[:, ::-1]
    table = np.column_stack([np.ones(len(past)), past])
    intercept, *weights = np.linalg.lstsq(table, values[order:])[0]
    return Autoregression(float(intercept), np.array(weights))


def forecast_error(
    values: Any,
    cut: int,
    ahead: int,
    order: int | Sequence[int],
    *,
    of_steps: bool = False,
    every: int = 1,
) -> float:
    """Return the mean absolute error of an autoregression's forecasts in the late part of a series.

    It is fitted to the values before the cut, and then foretells from many places, each time from
    all values before the place, the value `ahead` steps on.

    Args:
        values: A series of T finite numbers.
        cut: The first place to foretell from; the values before it are fitted to.
        ahead: How many steps on the foretold value lies, >= 1; the last place is T - ahead.
        order: P of `fit_autoregression`; of several the one with the lowest error on the last
            quarter before the cut, when it is fitted without that quarter.
        of_steps: Whether the differences are fitted and foretold, and summed up from the last
            known level, instead of the levels.
        every: Steps from one place to the next, >= 1.

    Raises:
        TypeError: If the values are not numbers.
        ValueError: If the series has NaN, or no place or too few values are left by the cut.

    Example:
        >>> round(forecast_error([1, 2, 4, 8, 16, 32, 64], cut=5, ahead=2, order=1), 6)
        0.0
    """
    values = check_array("values", values, ndim=1)
    ahead, every = check_int("ahead", ahead, low=1), check_int("every", every, low=1)
    cut = check_int("cut", cut, low=3, high=len(values) - ahead)
    if isinstance(order, Sequence):
        how = {"of_steps": of_steps, "every": every}
        tried = [forecast_error(values[:cut], cut * 3 // 4, ahead, p, **how) for p in order]
        order = order[int(np.argmin(tried))]
    fitted = fit_autoregression(np.diff(values[:cut]) if of_steps else values[:cut], order)
    now = np.arange(cut, len(values) - ahead + 1, every)
    series, ends = (np.diff(values), now - 1) if of_steps else (values, now)
    known = np.empty((len(now), order + ahead))  # P values and what follows, a place a row
    known[:, :order] = series[ends[:, None] + np.arange(-order, 0)]
    for t in range(ahead):
        known[:, order + t] = fitted.intercept + known[:, t : order + t] @ fitted.weights[::-1]
    foretold = values[now - 1] + known[:, order:].sum(axis=1) if of_steps else known[:, -1]
    return float(np.abs(foretold - values[now + ahead - 1]).mean())


def seasonal_means(values: Any, phases: Any) -> np.ndarray:
    """Return the mean of the values in each phase of the season; NaN counts as missing.

    Args:
        values: A series of T numbers, NaN where one is missing.
        phases: Each value's phase, (T,) whole numbers from 0, such as its month; or the season's
            length S, and the phase is the place in the series modulo S.

    Returns:
        One mean a phase, shape (S,).

    Raises:
        TypeError: If the values are not numbers, or the phases no whole numbers.
        ValueError: If the lengths differ, a value is infinite, or a phase has no value.

    Example:
        >>> seasonal_means([1, 10, 3, np.nan, 5, 30], 2).tolist()
        [3.0, 20.0]
    """
    values = check_gaps(values)
    if np.ndim(phases) == 0:
        season = check_int("phases", phases, low=1, high=len(values))
        phases = np.arange(len(values)) % season
    phases = check_array("phases", phases, ndim=1, dtype=None)
    check_same_length(values=values, phases=phases)
    if phases.dtype.kind not in "iu":
        raise TypeError(f"`phases` must be whole numbers. {received(phases=phases)}")
    known = ~np.isnan(values)
    if phases.min() < 0 or not np.bincount(phases[known], minlength=phases.max() + 1).all():
        raise ValueError(
            "`phases` must count from 0, and each must have a value. "
            f"{received(phases=np.unique(phases[known]))}"
        )
    return np.bincount(phases[known], values[known]) / np.bincount(phases[known])


def interpolate_gaps(values: Any, max_gap: int | None = None) -> np.ndarray:
    """Return the series with each gap filled by a straight line between its two neighbours.

    Args:
        values: A series of T numbers, NaN where one is missing, not at either end.
        max_gap: The most missing values in a row, >= 1; None allows any.

    Raises:
        TypeError: If the values are not numbers.
        ValueError: If a gap is longer, or at an end, or a value is infinite.

    Example:
        >>> interpolate_gaps([1, np.nan, np.nan, 4, 5]).tolist()
        [1.0, 2.0, 3.0, 4.0, 5.0]
    """
    values = check_gaps(values)
    known = ~np.isnan(values)
    if not (known[0] and known[-1]):
        raise ValueError(
            f"`values` must begin and end with a number. {received(ends=values[[0, -1]])}"
        )
    places = np.arange(len(values))
    if max_gap is not None:
        longest = int(np.diff(places[known]).max(initial=1)) - 1
        if longest > check_int("max_gap", max_gap, low=1):
            raise ValueError(
                f"`values` must have no gap longer than `max_gap`. "
                f"{received(max_gap=max_gap, longest=longest)}"
            )
    return np.interp(places, places[known], values[known])


def check_autocorrelation(values: Any, max_lag: int) -> tuple[np.ndarray, int]:
    """Return the arguments of `autocorrelation`, checked.

    Raises:
        TypeError: If the values are not numbers.
        ValueError: If the series has NaN, or is constant or too short.
    """
    values, max_lag = check_lag(values, max_lag, name="max_lag")
    if np.ptp(values) == 0:
        raise ValueError(f"`values` must not all be equal. {received(values=values)}")
    return values, max_lag


def check_lag(values: Any, lag: int, *, name: str = "lag") -> tuple[np.ndarray, int]:
    """Return a series and a lag that lies inside it.

    Raises:
        TypeError: If the values are not numbers, or the lag is no integer.
        ValueError: If the series has NaN, or the lag does not lie in [1, T - 1].
    """
    values = check_array("values", values, ndim=1)
    if len(values) < 2:
        raise ValueError(f"`values` must hold at least 2 numbers. {received(values=values)}")
    return values, check_int(name, lag, low=1, high=len(values) - 1)


def check_unit_root(
    values: Any, lags: int, trend: str, percent: int
) -> tuple[np.ndarray, int, tuple[float, ...]]:
    """Return the series, the lags and the row of critical values for `dickey_fuller`.

    Raises:
        TypeError: If the values are not numbers.
        ValueError: If the series has NaN, is constant or too short, or a choice is unknown.
    """
    values, lags = check_array("values", values, ndim=1), check_int("lags", lags, low=0)
    check_choice("trend", trend, CRITICAL)
    check_choice("percent", percent, CRITICAL[trend])
    if len(values) < 2 * lags + 6:
        raise ValueError(
            f"`values` must hold at least {2 * lags + 6} numbers for these lags. "
            f"{received(lags=lags)}, len(values)={len(values)}"
        )
    if np.ptp(values) == 0:
        raise ValueError(f"`values` must not all be equal. {received(values=values)}")
    return values, lags, CRITICAL[trend][percent]


def check_gaps(values: Any) -> np.ndarray:
    """Return a series in which NaN is allowed.

    Raises:
        TypeError: If the values are not numbers.
        ValueError: If it is empty or not one row, or a value is infinite.
    """
    array = np.asarray(values)
    if array.dtype.kind == "f":
        check_array("values", np.where(np.isnan(array), 0, array), ndim=1)
        return array.astype(np.float64)
    return check_array("values", values, ndim=1)
