import numpy as np
import pytest
from contracts import check_loader_contract

from dlnotes import datasets
from dlnotes.datasets import SeriesData, load_co2, load_sunspots, make_random_walk
from dlnotes.runtime import repository_root


@pytest.mark.parametrize(
    ("load", "length"), [(load_co2, 2284), (load_sunspots, 309), (make_random_walk, 1000)]
)
def test_it_keeps_the_loader_contract(load, length):
    data = check_loader_contract(load)
    info = datasets.dataset_info(data.name)
    assert (data.license, data.source, data.description) == (info.license, info.source, info.notes)
    assert data.values.shape == data.times.shape == (length,)
    assert info.samples in (0, length)
    assert data.values.dtype == np.float64
    assert not data.values.flags.writeable
    assert not data.times.flags.writeable
    assert len(set(np.diff(data.times))) == 1


def test_co2_rises_and_breathes_once_a_year():
    data = load_co2()
    assert (data.unit, data.season, data.num_missing) == ("ppm", 52, 59)
    assert (str(data.times[0]), str(data.times[-1])) == ("1958-03-29", "2001-12-29")
    assert data.times[1] - data.times[0] == np.timedelta64(7, "D")
    assert data.values[0] == 316.1
    year = data.times.astype("datetime64[Y]").astype(int) + 1970
    means = [np.nanmean(data.values[year == y]) for y in range(1959, 2002)]
    rise = np.diff(means)
    assert (rise > 0).sum() == 41  # spring is missing in 1964, when the air holds most
    assert 0.5 < np.median(rise) < 2
    month = data.times.astype("datetime64[M]").astype(int) % 12
    rest = data.values - np.interp(year, range(1959, 2002), means)
    by_month = [np.nanmean(rest[month == m]) for m in range(12)]
    assert np.argmax(by_month) == 4  # May, before the northern plants take it in
    assert np.argmin(by_month) in (8, 9)


def test_sunspots_come_and_go_in_eleven_years():
    data = load_sunspots()
    assert (data.unit, data.season, data.num_missing) == ("1", 0, 0)
    assert (str(data.times[0]), str(data.times[-1])) == ("1700", "2008")
    assert data.values.min() >= 0
    assert data.values[257] == data.values.max() == 190.2  # 1957
    power = np.abs(np.fft.rfft(data.values - data.values.mean())) ** 2
    assert 10.5 < len(data.values) / power.argmax() < 11.5


def test_the_scripts_rebuild_the_files(build_script):
    pytest.importorskip("statsmodels", reason="the series' source: pip install -e .[data]")
    build = build_script("series")
    for name, table in (("co2", build.co2_table()), ("sunspots", build.sunspots_table())):
        path = repository_root() / "data" / f"{name}.csv"
        assert path.read_text(encoding="utf-8") == table


def test_a_random_walk_takes_independent_standard_steps():
    walk = make_random_walk(20_000, seed=1)
    steps = np.diff(walk.values)
    assert walk.values[0] == 0
    assert abs(steps.mean()) < 0.03
    assert abs(steps.std() - 1) < 0.02
    assert abs(np.corrcoef(steps[1:], steps[:-1])[0, 1]) < 0.03
    drifting = make_random_walk(20_000, drift=0.5, seed=1)
    np.testing.assert_allclose(np.diff(drifting.values) - steps, 0.5, atol=1e-5)
    assert not np.array_equal(make_random_walk(seed=2).values, make_random_walk(seed=3).values)


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"length": 1}, ValueError, "`length` must be an integer >= 2. Received: length=1"),
        ({"length": 9.0}, TypeError, "`length`"),
        ({"drift": float("nan")}, ValueError, "`drift`"),
        ({"seed": -1}, ValueError, "`seed`"),
    ],
)
def test_a_random_walk_refuses(options, error, match):
    with pytest.raises(error, match=match):
        make_random_walk(**options)


def test_a_series_tells_what_it_is():
    text = load_co2().describe()
    assert "2284 in ppm, one a week, 59 missing" in text
    assert "licence: public domain" in text
    with pytest.raises(ValueError, match="same number of rows"):
        SeriesData(
            **dict.fromkeys(("name", "unit", "step", "description", "license", "source"), ""),
            values=np.zeros(3),
            times=np.arange(2),
            season=0,
        )
