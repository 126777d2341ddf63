import dataclasses

import numpy as np
import pytest

from dlnotes.datasets import ImageData, PointData, TableData, TabularData, load_placements

FACTS = {
    "name": "toy",
    "target_names": ("no", "yes"),
    "description": "Six rows.",
    "license": "none",
    "source": "here",
}


def parts(x, y=None):
    y = np.array([0, 1, 0, 1, 0, 1]) if y is None else y
    cuts = {"train": slice(0, 3), "val": slice(3, 5), "test": slice(5, 6)}
    return {f"x_{p}": x[c] for p, c in cuts.items()} | {f"y_{p}": y[c] for p, c in cuts.items()}


def table(**changes):
    x = np.arange(12.0).reshape(6, 2)
    facts = FACTS | parts(x) | {"feature_names": ("a", "b"), "units": ("cm", "1")} | changes
    return TabularData(**facts)


def test_arrays_are_read_only_copies():
    x = np.arange(12.0).reshape(6, 2)
    data = TabularData(**FACTS, **parts(x), feature_names=("a", "b"), units=("cm", "1"))
    with pytest.raises(ValueError, match=r"read-only"):
        data.x_train[0, 0] = 9
    with pytest.raises(ValueError, match=r"read-only"):
        data.x[0, 0] = 9
    x[0, 0] = 9
    assert data.x_train[0, 0] == 0
    with pytest.raises(dataclasses.FrozenInstanceError):
        data.name = "other"


def test_whole_is_train_then_val_then_test():
    data = table()
    np.testing.assert_array_equal(data.x, np.arange(12.0).reshape(6, 2))
    np.testing.assert_array_equal(data.y, [0, 1, 0, 1, 0, 1])


def test_texts():
    data = table()
    assert repr(data) == "TabularData('toy', train=3, val=2, test=1, shape=(2,))"
    assert data.describe() == (
        "toy: Six rows.\n"
        "rows: 3 to train, 2 to validate, 1 to test\n"
        "classes: no, yes\n"
        "source: here\n"
        "licence: none\n"
        "features: a [cm], b"
    )


def test_regression_has_no_classes():
    x = np.zeros((6, 2))
    data = table(**parts(x, y=np.linspace(0, 1, 6)), target_names=("height",))
    assert data.num_classes == 0
    assert "target: height" in data.describe()
    assert table().num_classes == 2


def test_flat_pictures_are_read_only_views():
    data = ImageData(**FACTS, **parts(np.arange(24.0).reshape(6, 2, 2)), pixel_range=(0.0, 1.0))
    assert data.image_shape == (2, 2)
    np.testing.assert_array_equal(data.x_val_flat, [[12, 13, 14, 15], [16, 17, 18, 19]])
    assert data.x_test_flat.shape == (1, 4)
    assert np.shares_memory(data.x_train_flat, data.x_train)
    assert not data.x_train_flat.flags.writeable


def test_points_have_two_coordinates():
    data = PointData(**FACTS, **parts(np.zeros((6, 2))), seed=1)
    assert data.feature_names == ("x1", "x2")
    with pytest.raises(
        ValueError, match=r"`x_train` must have one column for each of 2 .*\(3, 3\)"
    ):
        PointData(**FACTS, **parts(np.zeros((6, 3))), seed=1)


def test_table_text():
    data = load_placements()
    assert isinstance(data, TableData)
    assert repr(data) == "TableData('placements', table=(415, 9), clean=(400, 9), faults=100)"
    assert "rows: 415 in the table, 400 true ones, 100 planted faults" in data.describe()


def test_errors():
    with pytest.raises(TypeError, match=r"`x_val` must be an array. Received: x_val=\[1\]"):
        table(x_val=[1])
    with pytest.raises(ValueError, match=r"same number of rows.*len\(y_test\)=2"):
        table(y_test=np.array([0, 1]))
    with pytest.raises(ValueError, match=r"one column for each of 1 feature names"):
        table(feature_names=("a",))
    with pytest.raises(ValueError, match=r"`feature_names` and `units` must have the same number"):
        table(units=("cm",))
