"""What the loaders return: frozen dataclasses whose arrays cannot be written to."""

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from dlnotes.validation import check_same_length, received

if TYPE_CHECKING:
    import pandas as pd

_PAIR_PARTS = ("train", "val", "test", "longer")
_ARRAYS = ("x_train", "y_train", "x_val", "y_val", "x_test", "y_test")


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class SplitData:
    """Rows cut into training, validation and test part; the base of the other types.

    Shapes: N rows of a part; the inputs are ``(N, …)``, the targets ``(N,)``. Every array is
    read-only: a lesson that wants to change one takes a copy.

    Attributes:
        name: The dataset's name in the registry.
        x_train: Inputs to learn from.
        y_train: Targets to learn from: class numbers (int64) or values (float64).
        x_val: Inputs for choosing between models.
        y_val: Targets for choosing between models.
        x_test: Inputs for the final judgement.
        y_test: Targets for the final judgement.
        target_names: The classes' names by number, or the one target's name.
        description: One or two sentences.
        license: Under which terms the data may be used.
        source: Where the data come from.
    """

    name: str
    x_train: np.ndarray
    y_train: np.ndarray
    x_val: np.ndarray
    y_val: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    target_names: tuple[str, ...]
    description: str
    license: str
    source: str

    def __post_init__(self) -> None:
        for field in _ARRAYS:
            object.__setattr__(self, field, _read_only(field, getattr(self, field)))
        for part in ("train", "val", "test"):
            x, y = getattr(self, f"x_{part}"), getattr(self, f"y_{part}")
            check_same_length(**{f"x_{part}": x, f"y_{part}": y})

    @property
    def x(self) -> np.ndarray:
        """All inputs: training rows, then validation rows, then test rows."""
        return _read_only("x", np.concatenate([self.x_train, self.x_val, self.x_test]))

    @property
    def y(self) -> np.ndarray:
        """All targets, in the order of `x`."""
        return _read_only("y", np.concatenate([self.y_train, self.y_val, self.y_test]))

    @property
    def num_classes(self) -> int:
        """Number of classes; 0 for a regression task."""
        return len(self.target_names) if self.y_train.dtype.kind in "iu" else 0

    def describe(self) -> str:
        """Return a short text: what it is, how large, from where, under which licence."""
        target = ", ".join(self.target_names)
        return "\n".join(
            [
                f"{self.name}: {self.description}",
                f"rows: {len(self.x_train)} to train, {len(self.x_val)} to validate, "
                f"{len(self.x_test)} to test",
                f"{'classes' if self.num_classes else 'target'}: {target}",
                f"source: {self.source}",
                f"licence: {self.license}",
            ]
        )

    def __repr__(self) -> str:
        parts = f"train={len(self.x_train)}, val={len(self.x_val)}, test={len(self.x_test)}"
        shape = self.x_train.shape[1:]
        return f"{type(self).__name__}({self.name!r}, {parts}, shape={shape})"


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class TabularData(SplitData):
    """A table of numbers: inputs ``(N, D)`` in float64, D named features.

    Attributes:
        feature_names: The D columns' names.
        units: The D columns' units; ``"1"`` for a pure number.
    """

    feature_names: tuple[str, ...]
    units: tuple[str, ...]

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_features(self, self.feature_names, self.units)

    def describe(self) -> str:
        """Return `SplitData.describe` with a line about the features."""
        pairs = zip(self.feature_names, self.units, strict=True)
        features = ", ".join(n if unit == "1" else f"{n} [{unit}]" for n, unit in pairs)
        return f"{super().describe()}\nfeatures: {features}"


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class PointData(SplitData):
    """Generated points of the plane: inputs ``(N, 2)`` in float64, class numbers ``(N,)``.

    Attributes:
        feature_names: The two coordinates' names.
        units: Their units: pure numbers.
        seed: The seed that the points were drawn with.
    """

    feature_names: tuple[str, ...] = ("x1", "x2")
    units: tuple[str, ...] = ("1", "1")
    seed: int

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_features(self, self.feature_names, self.units)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class ImageData(SplitData):
    """Pictures with a class each: inputs ``(N, H, W)`` grey or ``(N, H, W, C)`` in colour.

    Attributes:
        pixel_range: The smallest and largest possible pixel value.
    """

    pixel_range: tuple[float, float]

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Shape of one picture: ``(H, W)`` or ``(H, W, C)``."""
        return self.x_train.shape[1:]

    @property
    def x_train_flat(self) -> np.ndarray:
        """Training pictures as rows: ``(N, H·W·C)``, a read-only view."""
        return _flat(self.x_train)

    @property
    def x_val_flat(self) -> np.ndarray:
        """Validation pictures as rows: ``(N, H·W·C)``, a read-only view."""
        return _flat(self.x_val)

    @property
    def x_test_flat(self) -> np.ndarray:
        """Test pictures as rows: ``(N, H·W·C)``, a read-only view."""
        return _flat(self.x_test)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class PhotoData:
    """Two colour photographs: arrays ``(H, W, 3)`` of bytes 0 to 255, red, green, blue; read-only.

    Attributes:
        name: The dataset's name in the registry.
        china: A summer palace by day: sky, roofs, fine lattices.
        flower: One orange dahlia before a blurred, dark background.
        pixel_range: The smallest and largest possible pixel value.
        description: One or two sentences.
        license: Under which terms the photos may be used.
        source: Who took them and where they come from.
    """

    name: str
    china: np.ndarray
    flower: np.ndarray
    pixel_range: tuple[float, float]
    description: str
    license: str
    source: str

    def __post_init__(self) -> None:
        for field in ("china", "flower"):
            photo = _read_only(field, getattr(self, field))
            if photo.ndim != 3 or photo.shape[-1] != 3 or photo.dtype != np.uint8:
                raise ValueError(
                    f"`{field}` must be bytes of shape (H, W, 3). "
                    f"Received: shape={photo.shape}, dtype={photo.dtype}"
                )
            object.__setattr__(self, field, photo)

    def describe(self) -> str:
        """Return a short text: what they are, how large, by whom, under which licence."""
        return "\n".join(
            [
                f"{self.name}: {self.description}",
                f"china: {self.china.shape}, flower: {self.flower.shape}",
                f"source: {self.source}",
                f"licence: {self.license}",
            ]
        )

    def __repr__(self) -> str:
        shapes = f"china={self.china.shape}, flower={self.flower.shape}"
        return f"PhotoData({self.name!r}, {shapes})"


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class TextData(SplitData):
    """Texts with a class each: inputs ``(N,)``, NumPy's strings, class numbers ``(N,)``.

    Strings of one width for short texts, `numpy.dtypes.StringDType` for long ones of any length.
    """

    @property
    def max_length(self) -> int:
        """Number of characters of the longest text."""
        return max((len(text) for text in self.x.tolist()), default=0)

    def __repr__(self) -> str:
        parts = f"train={len(self.x_train)}, val={len(self.x_val)}, test={len(self.x_test)}"
        return f"{type(self).__name__}({self.name!r}, {parts}, classes={self.num_classes})"


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class ReviewData(TextData):
    """Generated reviews: words and signs between single spaces; class 0 is blame, 1 is praise.

    Attributes:
        by_order_train: Whether the order of the words decides the class, booleans ``(N,)``.
        by_order_val: The same for the validation part.
        by_order_test: The same for the test part.
        log_p_train: Natural logarithm of each text's probability under the grammar, ``(N,)``.
        log_p_val: The same for the validation part.
        log_p_test: The same for the test part.
        seed: The seed that the reviews were drawn with.
    """

    by_order_train: np.ndarray
    by_order_val: np.ndarray
    by_order_test: np.ndarray
    log_p_train: np.ndarray
    log_p_val: np.ndarray
    log_p_test: np.ndarray
    seed: int

    def __post_init__(self) -> None:
        super().__post_init__()
        for part in ("train", "val", "test"):
            for field in (f"by_order_{part}", f"log_p_{part}"):
                object.__setattr__(self, field, _read_only(field, getattr(self, field)))
                rows = getattr(self, f"x_{part}")
                check_same_length(**{field: getattr(self, field), f"x_{part}": rows})


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class CorpusData:
    """Running text to learn to write from, cut into three parts.

    Attributes:
        name: The dataset's name in the registry.
        train: Text to learn from.
        val: Text for choosing between models.
        test: Text for the final judgement.
        files: The files that it was put together from.
        description: One or two sentences.
        license: Under which terms the text may be used.
        source: Where it comes from.
    """

    name: str
    train: str
    val: str
    test: str
    files: tuple[str, ...]
    description: str
    license: str
    source: str

    def __post_init__(self) -> None:
        for part in ("train", "val", "test"):
            text = getattr(self, part)
            if not isinstance(text, str):
                raise TypeError(f"`{part}` must be a text. {received(**{part: text})}")
            if not text:
                raise ValueError(f"`{part}` must not be empty. {received(**{part: text})}")

    def describe(self) -> str:
        """Return a short text: what it is, how long, from where, under which licence."""
        return "\n".join(
            [
                f"{self.name}: {self.description}",
                f"characters: {len(self.train)} to train, {len(self.val)} to validate, "
                f"{len(self.test)} to test",
                f"source: {self.source}",
                f"licence: {self.license}",
            ]
        )

    def __repr__(self) -> str:
        parts = f"train={len(self.train)}, val={len(self.val)}, test={len(self.test)}"
        return f"{type(self).__name__}({self.name!r}, {parts})"


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class PairData(SplitData):
    """Texts with their translations: inputs and targets ``(N,)``, NumPy's Unicode strings.

    Attributes:
        numbers_train: The number that each pair of the training part spells, int64 ``(N,)``.
        numbers_val: The same for the validation part.
        numbers_test: The same for the test part.
        x_longer: Inputs that spell larger numbers than any of the other parts.
        y_longer: Their translations.
        numbers_longer: Their numbers.
    """

    numbers_train: np.ndarray
    numbers_val: np.ndarray
    numbers_test: np.ndarray
    x_longer: np.ndarray
    y_longer: np.ndarray
    numbers_longer: np.ndarray

    def __post_init__(self) -> None:
        super().__post_init__()
        for field in ("x_longer", "y_longer", *(f"numbers_{part}" for part in _PAIR_PARTS)):
            object.__setattr__(self, field, _read_only(field, getattr(self, field)))
        for part in _PAIR_PARTS:
            names = (f"x_{part}", f"y_{part}", f"numbers_{part}")
            check_same_length(**{name: getattr(self, name) for name in names})

    def __repr__(self) -> str:
        parts = ", ".join(f"{part}={len(getattr(self, f'x_{part}'))}" for part in _PAIR_PARTS)
        return f"{type(self).__name__}({self.name!r}, {parts})"


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class SequenceData(SplitData):
    """Generated sequences: inputs ``(N, T, D)`` numbers or ``(N, T)`` tokens, targets by row.

    Attributes:
        seed: The seed that the sequences were drawn with.
    """

    seed: int


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class SeriesData:
    """One number measured again and again at equal distances in time; read-only.

    Attributes:
        name: The dataset's name in the registry.
        values: Float64 ``(T,)``; NaN where a measurement is missing.
        times: When each value was taken, ``datetime64`` ``(T,)``; steps without a date for a
            generated series are counted from 0.
        unit: The values' unit; ``"1"`` for a pure number.
        step: What lies between two values, such as "week".
        season: Number of steps after which a season returns; 0 for a series without one.
        description: One or two sentences.
        license: Under which terms the data may be used.
        source: Who measured them and where they come from.
    """

    name: str
    values: np.ndarray
    times: np.ndarray
    unit: str
    step: str
    season: int
    description: str
    license: str
    source: str

    def __post_init__(self) -> None:
        for field in ("values", "times"):
            object.__setattr__(self, field, _read_only(field, getattr(self, field)))
        check_same_length(values=self.values, times=self.times)

    @property
    def num_missing(self) -> int:
        """How many values are missing."""
        return int(np.isnan(self.values).sum())

    def describe(self) -> str:
        """Return a short text: what it is, how long, from where, under which licence."""
        unit = "" if self.unit == "1" else f" in {self.unit}"
        return "\n".join(
            [
                f"{self.name}: {self.description}",
                f"values: {len(self.values)}{unit}, one a {self.step}, {self.num_missing} missing",
                f"source: {self.source}",
                f"licence: {self.license}",
            ]
        )

    def __repr__(self) -> str:
        facts = f"length={len(self.values)}, step={self.step!r}, missing={self.num_missing}"
        return f"{type(self).__name__}({self.name!r}, {facts})"


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class TableData:
    """A table as it arrived, the truth behind it, and the list of what is wrong with it.

    The frames are read anew on every call of the loader: changing them spoils nothing.

    Attributes:
        name: The dataset's name in the registry.
        table: The rows to work with.
        clean: The true rows.
        faults: One row for each planted fault.
        units: Unit of each numeric column.
        description: One or two sentences.
        license: Under which terms the data may be used.
        source: Where the data come from.
    """

    name: str
    table: "pd.DataFrame"
    clean: "pd.DataFrame"
    faults: "pd.DataFrame"
    units: dict[str, str]
    description: str
    license: str
    source: str

    def describe(self) -> str:
        """Return a short text: what it is, how large, from where, under which licence."""
        return "\n".join(
            [
                f"{self.name}: {self.description}",
                f"rows: {len(self.table)} in the table, {len(self.clean)} true ones, "
                f"{len(self.faults)} planted faults",
                f"columns: {', '.join(self.table.columns)}",
                f"source: {self.source}",
                f"licence: {self.license}",
            ]
        )

    def __repr__(self) -> str:
        sizes = f"table={self.table.shape}, clean={self.clean.shape}, faults={len(self.faults)}"
        return f"TableData({self.name!r}, {sizes})"


def _read_only(name: str, value: np.ndarray) -> np.ndarray:
    if not isinstance(value, np.ndarray):
        raise TypeError(f"`{name}` must be an array. {received(**{name: value})}")
    array = np.array(value, order="C")  # a copy: freezing must not reach the caller's array
    array.setflags(write=False)
    return array


def _flat(x: np.ndarray) -> np.ndarray:
    return x.reshape(len(x), int(np.prod(x.shape[1:])))


def _check_features(data: SplitData, names: tuple[str, ...], units: tuple[str, ...]) -> None:
    for part in ("x_train", "x_val", "x_test"):
        shape = getattr(data, part).shape
        if len(shape) != 2 or shape[1] != len(names):
            raise ValueError(
                f"`{part}` must have one column for each of {len(names)} feature names. "
                f"Received: {part}.shape={shape}"
            )
    check_same_length(feature_names=names, units=units)
