"""Write the two measured series of the course: carbon dioxide by week, sunspots by year.

Both are copies of what the package statsmodels carries (``pip install -e ".[data]"``). Run from
the repository's root, then copy the printed sizes and hashes into dlnotes/datasets/registry.toml
and render data/README.md again:

    python data/build/series.py
"""

import argparse
import csv
import hashlib
import io
import math
from pathlib import Path


def co2_table() -> str:
    """Return ``week,ppm`` for 2,284 weeks; a week without a measurement has an empty cell.

    Raises:
        ValueError: If the weeks do not follow each other in steps of seven days.
    """
    from statsmodels.datasets import co2

    series = co2.load_pandas().data["co2"]
    steps = set(series.index.to_series().diff().dropna().dt.days)
    if steps != {7}:
        raise ValueError(f"the weeks must follow each other in steps of 7 days. Received: {steps}")
    weeks = [f"{day:%Y-%m-%d}" for day in series.index]
    ppm = ["" if math.isnan(value) else f"{value:.1f}" for value in series]
    return _table(("week", "ppm"), zip(weeks, ppm, strict=True))


def sunspots_table() -> str:
    """Return ``year,number`` for the 309 years from 1700 to 2008.

    Raises:
        ValueError: If a year is missing.
    """
    from statsmodels.datasets import sunspots

    data = sunspots.load_pandas().data
    years = [int(year) for year in data["YEAR"]]
    if years != list(range(1700, 2009)):
        raise ValueError(f"the years must run from 1700 to 2008. Received: {len(years)} years")
    numbers = [f"{value:.1f}" for value in data["SUNACTIVITY"]]
    return _table(("year", "number"), zip(years, numbers, strict=True))


def _table(header: tuple[str, str], rows) -> str:
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows([header, *rows])
    return stream.getvalue()


def main() -> None:
    """Write data/co2.csv and data/sunspots.csv and print what the registry needs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--directory", type=Path, default=Path("data"))
    directory = parser.parse_args().directory
    for name, text in (("co2.csv", co2_table()), ("sunspots.csv", sunspots_table())):
        content = text.encode()
        (directory / name).write_bytes(content)
        print(f"{name}: size = {len(content)}, sha256 = {hashlib.sha256(content).hexdigest()}")


if __name__ == "__main__":
    main()
