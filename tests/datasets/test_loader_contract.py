import dataclasses
import subprocess
import sys

import numpy as np
import pytest

from dlnotes import datasets

LOADERS = {
    "iris": datasets.load_iris,
    "wine": datasets.load_wine,
    "breast_cancer": datasets.load_breast_cancer,
    "diabetes": datasets.load_diabetes,
    "digits": datasets.load_digits,
    "placements": datasets.load_placements_xy,
    "xor": datasets.make_xor,
    "moons": datasets.make_moons,
    "spiral": datasets.make_spiral,
    "blobs": datasets.make_blobs,
}
PARTS = ("train", "val", "test")


def part(data, name):
    return getattr(data, f"x_{name}"), getattr(data, f"y_{name}")


def test_every_dataset_without_download_is_under_contract():
    infos = datasets.load_registry().values()
    names = {info.name for info in infos if info.kind != "download"}
    # Pictures as bytes, series, texts and tokens are no tables of numbers: they have their files
    others = {"photos", "mnist_5k", "co2", "sunspots", "random_walk", "place_names"}
    others |= {"adding", "copy", "reviews", "python_text", "number_words"}
    assert set(LOADERS) == names - others


@pytest.mark.parametrize("name", LOADERS)
def test_loader_contract(name, monkeypatch):
    load = LOADERS[name]
    data = load()
    info = datasets.dataset_info(name)

    assert data.name == name
    assert (data.license, data.source, data.description) == (info.license, info.source, info.notes)
    assert len(repr(data)) < 100
    assert data.describe().startswith(f"{name}: ")
    with pytest.raises(dataclasses.FrozenInstanceError):
        data.x_train = None

    kind = np.int64 if data.num_classes else np.float64
    for p in PARTS:
        x, y = part(data, p)
        assert x.dtype == np.float64
        assert y.dtype == kind
        assert y.shape == (len(x),)
        assert x.shape[1:] == data.x_train.shape[1:]
        assert np.isfinite(x).all()
        assert not x.flags.writeable
        assert not y.flags.writeable
    if info.features:
        assert data.x_train[0].size == (2 if name == "placements" else info.features)
    if hasattr(data, "feature_names"):
        assert len(data.feature_names) == len(data.units) == data.x_train.shape[1]
        assert all(isinstance(text, str) and text for text in (*data.feature_names, *data.units))

    total = len(data.x)
    assert [len(part(data, p)[0]) for p in PARTS[1:]] == [round(0.15 * total)] * 2
    if data.num_classes:
        assert set(np.unique(data.y)) == set(range(data.num_classes))
        overall = np.bincount(data.y) / total
        for p in PARTS:
            _, y = part(data, p)
            shares = np.bincount(y, minlength=data.num_classes) / len(y)
            np.testing.assert_allclose(shares, overall, atol=2 / len(y))

    monkeypatch.setenv("DLNOTES_SEED_OFFSET", "2")
    again = load()
    for p in PARTS:
        for a, b in zip(part(data, p), part(again, p), strict=True):
            assert a.tobytes() == b.tobytes()


@pytest.mark.parametrize("name", LOADERS)
def test_no_row_lands_in_two_parts(name, monkeypatch):
    # Rows are numbered on their way through the split: equal rows cannot hide an overlap.
    seen = []
    original = datasets.split_indices
    for module in ("tabular", "images", "synthetic"):
        monkeypatch.setattr(
            f"dlnotes.datasets.{module}.split_indices",
            lambda *args, **kwargs: seen.append(original(*args, **kwargs)) or seen[-1],
        )
    data = LOADERS[name]()
    assert len(seen) == 1
    assert [len(rows) for rows in seen[0]] == [len(part(data, p)[0]) for p in PARTS]
    assert sorted(np.concatenate(seen[0])) == list(range(len(data.x)))


@pytest.mark.parametrize("name", LOADERS)
def test_split_sizes_can_be_chosen(name):
    data = LOADERS[name](test_size=0.3, val_size=0.0)
    assert len(data.x_val) == 0
    assert len(data.x_test) == round(0.3 * len(data.x))


def test_importing_the_package_loads_nothing_heavy():
    code = (
        "import sys, dlnotes.datasets; heavy = {'sklearn', 'pandas', 'scipy', 'tensorflow', "
        "'keras', 'matplotlib'} & set(sys.modules); assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=datasets.__path__[0] + "/../..")
