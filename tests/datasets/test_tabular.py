import numpy as np
import pytest

from dlnotes import datasets
from dlnotes.datasets import (
    load_diabetes,
    load_iris,
    load_placements,
    load_placements_xy,
    load_wine,
)

PETALS = ("petal length", "petal width")


def test_perceptron_pair_of_iris():
    data = load_iris(classes=("setosa", "versicolor"), features=PETALS)
    assert data.x.shape == (100, 2)
    assert data.feature_names == PETALS
    assert data.units == ("cm", "cm")
    assert data.target_names == ("setosa", "versicolor")
    np.testing.assert_array_equal(np.bincount(data.y), [50, 50])
    # Setosa's petals are all shorter than any of versicolor's: a line exists.
    assert data.x[data.y == 0, 0].max() < data.x[data.y == 1, 0].min()


def test_classes_are_numbered_in_the_order_asked_for():
    there = load_iris(classes=("versicolor", "virginica"))
    back = load_iris(classes=("virginica", "versicolor"))
    assert back.target_names == ("virginica", "versicolor")
    mean = there.x[there.y == 0].mean(axis=0)
    np.testing.assert_allclose(back.x[back.y == 1].mean(axis=0), mean)
    assert there.x[there.y == 0, 2].max() > there.x[there.y == 1, 2].min()  # they overlap


def test_features_are_taken_by_name():
    whole = load_iris()
    swapped = load_iris(features=["petal width", "sepal length"])
    np.testing.assert_array_equal(swapped.x_train, whole.x_train[:, [3, 0]])


def test_known_values():
    cancer = datasets.load_breast_cancer()
    np.testing.assert_array_equal(np.bincount(cancer.y), [212, 357])
    assert cancer.target_names == ("malignant", "benign")
    assert cancer.units[:4] == ("pixel", "grey levels", "pixel", "pixel²")
    assert load_wine().num_classes == 3
    sugar = load_diabetes()
    assert (sugar.y.min(), sugar.y.max()) == (25, 346)
    ages = sugar.x[:, 0]
    assert (ages.min(), ages.max()) == (19, 79)  # years, not standardised
    assert sugar.num_classes == 0


def test_placements_for_the_perceptron():
    data = load_placements_xy()
    clean = load_placements().clean
    assert data.feature_names == ("cgpa", "aptitude")
    assert data.target_names == ("not placed", "placed")
    assert sorted(map(tuple, data.x)) == sorted(zip(clean.cgpa, clean.aptitude, strict=True))
    assert data.y.sum() == (clean.placed == "yes").sum()
    assert load_placements_xy(features=None).x.shape == (400, 6)


@pytest.mark.parametrize("load", [load_iris, load_wine, load_diabetes, load_placements_xy])
def test_feature_errors(load):
    with pytest.raises(ValueError, match=r"`features` must be different names out of '.*height"):
        load(features=["height"])
    with pytest.raises(TypeError, match=r"`features` must be a list of names out of"):
        load(features="height")
    with pytest.raises(ValueError, match=r"`features` must be different.*features=\(\)"):
        load(features=[])
    with pytest.raises(ValueError, match=r"`test_size` must be a finite number in \[0, 1\)"):
        load(test_size=-0.1)


def test_class_errors():
    listed = "`classes` must be different names out of 'setosa', 'versicolor', 'virginica'"
    for classes in (["setosa", "rosa"], ["setosa", "setosa"], [0, 1]):
        with pytest.raises(ValueError, match=listed):
            load_iris(classes=classes)
    with pytest.raises(ValueError, match=r"`classes` must name at least two.*\['setosa'\]"):
        load_iris(classes=["setosa"])
    with pytest.raises(TypeError, match=r"`classes` must be a list of names out of.*'setosa'"):
        load_iris(classes="setosa")
    with pytest.raises(
        ValueError,
        match=r"`classes` must be different names out of 'class 0', 'class 1', 'class 2'",
    ):
        load_wine(classes=["red", "white"])
    with pytest.raises(ValueError, match=r"`features` must be different names.*'mean radius'"):
        datasets.load_breast_cancer(features=["radius"])
    with pytest.raises(TypeError, match=r"`clean` must be True or False. Received: clean='yes'"):
        load_placements(clean="yes")
