"""Series in time: two that were measured over decades, and one that only chance made."""

import csv

import numpy as np

from dlnotes.datasets.fetch import read_dataset_file
from dlnotes.datasets.registry import facts_of
from dlnotes.datasets.types import SeriesData
from dlnotes.validation import check_float, check_int


def load_co2() -> SeriesData:
    """Return the carbon dioxide of the air on Mauna Loa, week by week, 1958 to 2001, in ppm.

    59 weeks, most of them early, have no measurement: their value is NaN.

    Raises:
        DatasetDamaged: If its file has changed.

    Example:
        >>> load_co2()
        SeriesData('co2', length=2284, step='week', missing=59)
    """
    weeks, ppm = _columns("co2")
    return _series("co2", ppm, np.array(weeks, "datetime64[D]"), "ppm", "week", 52)


def load_sunspots() -> SeriesData:
    """Return the mean number of sunspots in each year from 1700 to 2008.

    The sun's cycle takes about 11 years, but no fixed number of them, so it is no season.

    Raises:
        DatasetDamaged: If its file has changed.

    Example:
        >>> load_sunspots()
        SeriesData('sunspots', length=309, step='year', missing=0)
    """
    years, numbers = _columns("sunspots")
    return _series("sunspots", numbers, np.array(years, "datetime64[Y]"), "1", "year", 0)


def make_random_walk(length: int = 1000, *, drift: float = 0.0, seed: int = 0) -> SeriesData:
    """Draw a random walk: each value is the last one plus a standard normal step.

    No method can say more about the next value than the last one, and the drift.

    Args:
        length: Number of values, at least 2; the first is 0.
        drift: What is added in every step beside chance.
        seed: Seed of the drawing.

    Raises:
        TypeError: If an argument is not a number.
        ValueError: If one is out of range.

    References:
        K. Pearson, The problem of the random walk, Nature 72 (1905).

    Example:
        >>> make_random_walk(100, seed=3)
        SeriesData('random_walk', length=100, step='step', missing=0)
    """
    length = check_int("length", length, low=2)
    drift = check_float("drift", drift)
    rng = np.random.default_rng(check_int("seed", seed, low=0))
    steps = rng.standard_normal(length - 1) + drift
    values = np.round(np.concatenate([[0.0], np.cumsum(steps)]), 6)
    return _series("random_walk", values, np.arange(length), "1", "step", 0)


def _columns(name: str) -> tuple[list[str], np.ndarray]:
    content = read_dataset_file(name, f"{name}.csv").decode()
    rows = list(csv.reader(content.splitlines()))[1:]
    return [row[0] for row in rows], np.array([float(row[1] or "nan") for row in rows])


def _series(
    name: str, values: np.ndarray, times: np.ndarray, unit: str, step: str, season: int
) -> SeriesData:
    return SeriesData(
        **facts_of(name),
        values=values,
        times=times,
        unit=unit,
        step=step,
        season=season,
    )
