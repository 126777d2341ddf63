"""Loaders of tables: four real ones from scikit-learn, and the placements made for the course."""

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dlnotes.datasets.fetch import read_dataset_file
from dlnotes.datasets.registry import facts_of
from dlnotes.datasets.splits import cut_rows, split_indices
from dlnotes.datasets.types import TableData, TabularData
from dlnotes.validation import received

if TYPE_CHECKING:
    import pandas as pd

_DIABETES_FEATURES = {  # scikit-learn's name: (name, unit)
    "age": ("age", "years"),
    "sex": ("sex", "coded 1 or 2"),
    "bmi": ("body mass index", "kg/m²"),
    "bp": ("mean blood pressure", "mm Hg"),
    "s1": ("total cholesterol", "mg/dl"),
    "s2": ("low-density lipoproteins", "mg/dl"),
    "s3": ("high-density lipoproteins", "mg/dl"),
    "s4": ("cholesterol ratio", "1"),
    "s5": ("log of triglycerides", "log of mg/dl"),
    "s6": ("blood sugar", "mg/dl"),
}
_PLACEMENTS_UNITS = {
    "age": "years",
    "cgpa": "points of 10",
    "aptitude": "points, mean 100",
    "internships": "count",
    "projects": "count",
    "communication": "points, 1 to 10",
}


def load_iris(
    *,
    classes: Sequence[str] | None = None,
    features: Sequence[str] | None = None,
    test_size: float = 0.15,
    val_size: float = 0.15,
) -> TabularData:
    """Return the iris flowers, lengths and widths in cm.

    Args:
        classes: Which species, at least two, numbered in this order; all three by default.
        features: Which columns, in this order; all four by default.
        test_size: Fraction of the rows for the test part.
        val_size: Fraction of the rows for the validation part.

    Raises:
        TypeError: If `classes` or `features` is not a list of names.
        ValueError: If a name is unknown or given twice, or a fraction is out of range.

    Example:
        >>> data = load_iris(
        ...     classes=("setosa", "versicolor"), features=("petal length", "petal width")
        ... )
        >>> data
        TabularData('iris', train=70, val=15, test=15, shape=(2,))
        >>> data.units
        ('cm', 'cm')
    """
    from sklearn import datasets as bundled

    raw = bundled.load_iris()
    names = [name.removesuffix(" (cm)") for name in raw.feature_names]
    columns = dict(zip(names, ["cm"] * len(names), strict=True))
    return _classification(
        "iris",
        raw.data,
        raw.target,
        columns,
        raw.target_names,
        classes,
        features,
        test_size,
        val_size,
    )


def load_wine(
    *,
    classes: Sequence[str] | None = None,
    features: Sequence[str] | None = None,
    test_size: float = 0.15,
    val_size: float = 0.15,
) -> TabularData:
    """Return chemical analyses of wines from three cultivars.

    Args:
        classes: Which cultivars, at least two, numbered in this order; all three by default.
        features: Which columns, in this order; all thirteen by default.
        test_size: Fraction of the rows for the test part.
        val_size: Fraction of the rows for the validation part.

    Raises:
        TypeError: If `classes` or `features` is not a list of names.
        ValueError: If a name is unknown or given twice, or a fraction is out of range.

    Example:
        >>> load_wine(features=["alcohol", "proline"])
        TabularData('wine', train=124, val=27, test=27, shape=(2,))
    """
    from sklearn import datasets as bundled

    raw = bundled.load_wine()
    columns = {name.replace("_", " "): "not stated" for name in raw.feature_names}
    names = [name.replace("_", " ") for name in raw.target_names]
    return _classification(
        "wine", raw.data, raw.target, columns, names, classes, features, test_size, val_size
    )


def load_breast_cancer(
    *,
    features: Sequence[str] | None = None,
    test_size: float = 0.15,
    val_size: float = 0.15,
) -> TabularData:
    """Return measures of cell nuclei from malignant (0) and benign (1) tumours.

    Args:
        features: Which columns, in this order; all thirty by default.
        test_size: Fraction of the rows for the test part.
        val_size: Fraction of the rows for the validation part.

    Raises:
        TypeError: If `features` is not a list of names.
        ValueError: If a name is unknown or given twice, or a fraction is out of range.

    Example:
        >>> load_breast_cancer().target_names
        ('malignant', 'benign')
    """
    from sklearn import datasets as bundled

    raw = bundled.load_breast_cancer()
    columns = {str(name): _nucleus_unit(name) for name in raw.feature_names}
    return _classification(
        "breast_cancer", raw.data, raw.target, columns, raw.target_names, None, features,
        test_size, val_size,
    )  # fmt: skip


def load_diabetes(
    *,
    features: Sequence[str] | None = None,
    test_size: float = 0.15,
    val_size: float = 0.15,
) -> TabularData:
    """Return ten measurements of patients, not standardised, and the disease's progression.

    Args:
        features: Which columns, in this order; all ten by default.
        test_size: Fraction of the rows for the test part.
        val_size: Fraction of the rows for the validation part.

    Raises:
        TypeError: If `features` is not a list of names.
        ValueError: If a name is unknown or given twice, or a fraction is out of range.

    Example:
        >>> data = load_diabetes()
        >>> data, data.target_names
        (TabularData('diabetes', train=310, val=66, test=66, shape=(10,)), ('disease progression',))
    """
    from sklearn import datasets as bundled

    raw = bundled.load_diabetes(scaled=False)
    columns = dict(_DIABETES_FEATURES[name] for name in raw.feature_names)
    x, columns = _columns(raw.data, columns, features)
    y = raw.target.astype(np.float64)
    cut = split_indices(y, test_size=test_size, val_size=val_size, stratify=False)
    return _tabular("diabetes", x, y, cut, columns, ("disease progression",))


def load_placements(*, clean: bool = False) -> TableData:
    """Return the table of students, by default as it arrived: with its planted faults.

    Columns of the dirty table that carry unreadable entries hold text, as pandas reads them.

    Args:
        clean: Whether `TableData.table` is the true table instead of the dirty one.

    Raises:
        TypeError: If `clean` is not a bool.
        DatasetDamaged: If a file is not the one that the registry describes.

    Example:
        >>> data = load_placements()
        >>> len(data.table) > len(data.clean)
        True
    """
    if not isinstance(clean, bool | np.bool_):
        raise TypeError(f"`clean` must be True or False. {received(clean=clean)}")
    truth = _read_table("placements_clean.csv")
    return TableData(
        **facts_of("placements"),
        table=truth.copy() if clean else _read_table("placements.csv"),
        clean=truth,
        faults=_read_faults(),
        units=dict(_PLACEMENTS_UNITS),
    )


def load_placements_xy(
    *,
    features: Sequence[str] | None = ("cgpa", "aptitude"),
    test_size: float = 0.15,
    val_size: float = 0.15,
) -> TabularData:
    """Return numeric columns of the true placements table; class 1 is placed, 0 is not.

    Args:
        features: Which numeric columns, in this order; None for all six.
        test_size: Fraction of the rows for the test part.
        val_size: Fraction of the rows for the validation part.

    Raises:
        TypeError: If `features` is not a list of names.
        ValueError: If a name is unknown or given twice, or a fraction is out of range.

    Example:
        >>> load_placements_xy()
        TabularData('placements', train=280, val=60, test=60, shape=(2,))
    """
    table = _read_table("placements_clean.csv")
    x = table[list(_PLACEMENTS_UNITS)].to_numpy(np.float64)
    y = (table["placed"] == "yes").to_numpy(np.int64)
    names = ("not placed", "placed")
    return _classification(
        "placements", x, y, _PLACEMENTS_UNITS, names, None, features, test_size, val_size
    )


def _read_table(file_name: str) -> "pd.DataFrame":
    import pandas as pd

    return pd.read_csv(io.BytesIO(read_dataset_file("placements", file_name)))


def _read_faults() -> "pd.DataFrame":
    import pandas as pd

    stream = io.BytesIO(read_dataset_file("placements", "placements_faults.csv"))
    # As text: an empty cell is what stood in the table, not a gap in this list.
    faults = pd.read_csv(stream, dtype=str, keep_default_na=False)
    return faults.assign(
        row=faults["row"].astype("int64"),
        copy_of=pd.to_numeric(faults["copy_of"]).astype("Int64"),
    )


def _nucleus_unit(feature: str) -> str:
    if "area" in feature:
        return "pixel²"
    if "texture" in feature:
        return "grey levels"
    return "pixel" if "radius" in feature or "perimeter" in feature else "1"


def _classification(
    name: str,
    x: np.ndarray,
    y: np.ndarray,
    columns: dict[str, str],
    class_names: Sequence[str],
    classes: Sequence[str] | None,
    features: Sequence[str] | None,
    test_size: float,
    val_size: float,
) -> TabularData:
    class_names = tuple(str(n) for n in class_names)
    if classes is not None:
        chosen = _choose("classes", classes, class_names)
        if len(chosen) < 2:
            raise ValueError(f"`classes` must name at least two. {received(classes=classes)}")
        number = {class_names.index(n): new for new, n in enumerate(chosen)}
        rows = np.isin(y, list(number))
        x, y, class_names = x[rows], np.array([number[c] for c in y[rows]]), chosen
    x, columns = _columns(x, columns, features)
    cut = split_indices(y, test_size=test_size, val_size=val_size)
    return _tabular(name, x, y.astype(np.int64), cut, columns, class_names)


def _columns(
    x: np.ndarray, columns: dict[str, str], features: Sequence[str] | None
) -> tuple[np.ndarray, dict[str, str]]:
    if features is None:
        return x, columns
    names = list(columns)
    chosen = _choose("features", features, names)
    return x[:, [names.index(n) for n in chosen]], {n: columns[n] for n in chosen}


def _choose(argument: str, names: Any, allowed: Sequence[str]) -> tuple[str, ...]:
    listed = ", ".join(repr(name) for name in allowed)
    if isinstance(names, str) or not isinstance(names, Sequence):
        raise TypeError(
            f"`{argument}` must be a list of names out of {listed}. {received(**{argument: names})}"
        )
    names = tuple(names)
    if not names or any(name not in allowed for name in names) or len(set(names)) < len(names):
        raise ValueError(
            f"`{argument}` must be different names out of {listed}. {received(**{argument: names})}"
        )
    return names


def _tabular(
    name: str,
    x: np.ndarray,
    y: np.ndarray,
    cut: tuple[np.ndarray, np.ndarray, np.ndarray],
    columns: dict[str, str],
    target_names: tuple[str, ...],
) -> TabularData:
    return TabularData(
        **facts_of(name),
        **cut_rows(cut, x=x, y=y),
        feature_names=tuple(columns),
        units=tuple(columns.values()),
        target_names=target_names,
    )
