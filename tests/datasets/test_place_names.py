import csv
import unicodedata

import numpy as np
import pytest
from contracts import check_loader_contract

from dlnotes import datasets
from dlnotes.datasets import load_place_names
from dlnotes.runtime import repository_root


def test_it_keeps_the_loader_contract():
    data = check_loader_contract(load_place_names)
    info = datasets.dataset_info("place_names")
    assert (data.license, data.source, data.description) == (info.license, info.source, info.notes)
    assert repr(data) == ("TextData('place_names', train=10892, val=2334, test=2334, classes=20)")
    assert len(data.x) == info.samples
    assert data.x.dtype.kind == "U"
    assert data.y.dtype == np.int64
    assert not data.x_train.flags.writeable
    assert "rows: 10892 to train" in data.describe()


def test_every_name_has_one_language_and_no_part_knows_anothers_names():
    data = load_place_names()
    assert len(set(data.x.tolist())) == len(data.x) == 15_560
    assert set(data.y) == set(range(20))
    assert np.bincount(data.y).min() >= 450
    assert all(name == unicodedata.normalize("NFC", name.strip()) for name in data.x.tolist())
    assert data.max_length == max(map(len, data.x.tolist())) == 60


@pytest.mark.parametrize(
    ("name", "language"),
    [
        ("Deutschland", "German"),
        ("Афины", "Russian"),
        ("Suède", "French"),
        ("Îles Åland", "French"),
    ],
)
def test_known_names_are_in_their_language(name, language):
    data = load_place_names()
    (where,) = np.flatnonzero(data.x == name)
    assert data.target_names[data.y[where]] == language


def test_split_sizes_can_be_chosen():
    data = load_place_names(test_size=0.3, val_size=0.0)
    assert (len(data.x_val), len(data.x_test)) == (0, round(0.3 * 15_560))
    with pytest.raises(ValueError, match="leave rows to train on"):
        load_place_names(test_size=0.5, val_size=0.5)


def test_the_script_rebuilds_the_file(build_script):
    babel = pytest.importorskip("babel", reason="the names' source: pip install -e .[data]")
    if not babel.__version__.startswith("2.18."):
        pytest.skip(f"Babel {babel.__version__} carries other names than 2.18")
    build = build_script("place_names")
    with open(repository_root() / "data" / "place_names.csv", encoding="utf-8", newline="") as file:
        rows = [tuple(row) for row in csv.reader(file)]
    assert rows[1:] == build.collect(build.LANGUAGES)


def test_a_name_of_two_languages_is_left_out(build_script):
    pytest.importorskip("babel", reason="the names' source: pip install -e .[data]")
    build = build_script("place_names")
    alone, both = build.collect(["de"]), build.collect(["de", "sv"])
    assert ("de", "Angola") in alone
    assert "Angola" not in {name for _, name in both}
    assert {("de", "Schweden"), ("sv", "Sverige")} <= set(both)
