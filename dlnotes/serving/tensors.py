"""The description of one input or output of a model, and arrays from JSON that fit it."""

import binascii
import contextlib
import dataclasses
import math
from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np

from dlnotes.serving.errors import RequestError, needs_serve_extra
from dlnotes.validation import check_int, received

with needs_serve_extra():
    import orjson

_NUMBER = b"0123456789+-.eE"
_NUMBERS_AS_0 = bytes.maketrans(_NUMBER, b"0" * len(_NUMBER))
_BRACKETS_AS_SPACE = bytes.maketrans(b"[]", b"  ")
MOST_BYTES = 256  # of a number, with the lists and the white space around it
BINARY = "b64"  # the key of an object that holds bytes, as in TensorFlow Serving
NUMBER_TYPES = ("float16", "float32", "float64", "int8", "uint8", "int16", "int32", "int64")


@dataclasses.dataclass(frozen=True)
class TensorSpec:
    """Name, type and shape of an input or output of a model.

    Attributes:
        name: Its name in requests and answers.
        dtype: One of "float16", "float32", "float64", "int8", "uint8", "int16", "int32", "int64".
        shape: Lengths of the axes, the batch axis first; None for an axis of any length.

    Raises:
        TypeError: If an attribute has the wrong type.
        ValueError: If the type is unknown, a length negative, or the batch axis is not free.

    Example:
        >>> TensorSpec("pixels", "float32", (None, 28, 28, 1)).describe()
        'float32 of shape (28, 28, 1)'
    """

    name: str
    dtype: str
    shape: tuple[int | None, ...]

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise TypeError(f"`name` must be a text with letters. {received(name=self.name)}")
        if self.dtype not in NUMBER_TYPES:
            raise ValueError(
                f"`dtype` must be one of {', '.join(NUMBER_TYPES)}. {received(dtype=self.dtype)}"
            )
        shape = tuple(self.shape)
        for length in shape:
            if length is not None:
                check_int("shape", length, low=0)
        if not shape or shape[0] is not None:
            raise ValueError(
                f"`shape` must begin with the batch axis, of any length. {received(shape=shape)}"
            )
        object.__setattr__(self, "shape", shape)

    @property
    def row_shape(self) -> tuple[int | None, ...]:
        """The shape of one row, without the batch axis."""
        return self.shape[1:]

    def describe(self) -> str:
        """Return type and shape of one row in words."""
        if not self.row_shape:
            return f"one {self.dtype}"
        lengths = ", ".join("any" if n is None else str(n) for n in self.row_shape)
        return f"{self.dtype} of shape ({lengths}{',' * (len(self.row_shape) == 1)})"

    def fits(self, array: np.ndarray) -> bool:
        """Return whether an array has this type and shape, for any number of rows."""
        return (
            array.dtype == self.dtype
            and array.ndim == len(self.shape)
            and all(w is None or n == w for n, w in zip(array.shape, self.shape, strict=True))
        )

    def array(self, rows: Sequence[Any]) -> np.ndarray:
        """Return rows of nested lists of numbers, as JSON gives them, as one array.

        Args:
            rows: One value a row, of equal lengths in the free axes.

        Raises:
            RequestError: If a row has another shape, holds something else than numbers, a number
                that the type cannot hold, NaN or infinity; its field is ``[i]`` for row i.
        """
        with contextlib.suppress(RequestError):
            return self._array(rows)
        for i, row in enumerate(rows):  # now it may take long: find the row
            try:
                self._array([row])
            except RequestError as error:
                raise RequestError(str(error), f"[{i}]") from None
        return self._array(rows)  # each is right alone, so this says how they differ

    def from_text(self, text: bytes, most: int) -> np.ndarray | None:
        """Return JSON's nested lists of numbers as an array, without making the lists.

        A list for each pixel costs more than the model: the brackets are compared with those that
        the shape asks for, and the numbers read as one flat list.

        Args:
            text: The rows, as `array` takes them, in JSON.
            most: How many rows there may be.

        Returns:
            None for whatever is not right, and for a shape with a free axis; `array` finds out.

        Example:
            >>> TensorSpec("x", "float32", (None, 2)).from_text(b"[[1, 2], [3, 4]]", 2).tolist()
            [[1.0, 2.0], [3.0, 4.0]]
        """
        if None in self.row_shape or 0 in self.row_shape:
            return None
        count, rest = divmod(text.count(b",") + 1, math.prod(self.row_shape))
        if (
            not 1 <= count <= most
            or rest
            or len(text) > MOST_BYTES * count * math.prod(self.row_shape)
        ):
            return None
        row = b""
        for length in reversed(self.row_shape):
            row = b"[" + b",".join([row] * length) + b"]"
        marks = text.translate(_NUMBERS_AS_0, b" \t\r\n")
        frame = marks.translate(None, b"0")
        outside = b"]0" in marks or b"0[" in marks  # a number that stands in no list
        if outside or frame != b"[" + b",".join([row] * count) + b"]":
            return None
        try:
            numbers = orjson.loads(b"[" + text.translate(_BRACKETS_AS_SPACE) + b"]")
            exact = np.array(numbers, None if self._whole else np.float64)
            if exact.dtype.kind not in ("i" if self._whole else "f"):
                return None
            return self._fitting(exact).reshape(count, *self.row_shape)
        except (ValueError, OverflowError):
            return None

    def from_base64(self, rows: Sequence[str]) -> np.ndarray:
        """Return rows of bytes as one array: each byte is a number from 0 to 255.

        A picture in JSON's lists takes longer to read than to classify; its bytes do not.

        Args:
            rows: For each row its numbers, in C order (the last axis changes fastest), in base64.

        Raises:
            RequestError: If the shape has a free axis, or the type cannot hold a byte; if a row is
                no base64, or has too few or too many bytes, with the field ``[i]`` for row i.

        Example:
            >>> TensorSpec("x", "float32", (None, 3)).from_base64(["AAH/"]).tolist()
            [[0.0, 1.0, 255.0]]
        """
        if None in self.row_shape:
            raise RequestError(f"must be {self.describe()}, in lists: bytes have no shape")
        size, pieces = math.prod(self.row_shape), []
        for i, row in enumerate(rows):
            try:
                piece = binascii.a2b_base64(row, strict_mode=True)
            except ValueError as error:
                raise RequestError(f"must be base64: {error}", f"[{i}]") from None
            if len(piece) != size:
                raise RequestError(
                    f"must be {self.describe()}, one byte each, and has {len(piece)} bytes",
                    f"[{i}]",
                )
            pieces.append(piece)
        exact = np.frombuffer(b"".join(pieces), np.uint8)
        return self._fitting(exact).reshape(len(rows), *self.row_shape)

    def _array(self, rows: Sequence[Any]) -> np.ndarray:
        flat, shape = list(rows), [len(rows)]
        for axis, wanted in enumerate(self.row_shape):
            if set(map(type, flat)) - {list}:
                raise RequestError(f"must be {self.describe()}: it has {_axes(axis)}")
            lengths = set(map(len, flat))
            if len(lengths) > 1:
                raise RequestError(
                    f"must be {self.describe()}: axis {axis} has lists of "
                    f"{min(lengths)} and of {max(lengths)}"
                )
            length = lengths.pop() if lengths else 0
            if length == 0 or (wanted is not None and length != wanted):
                raise RequestError(
                    f"must be {self.describe()}: axis {axis} has the length {length}"
                )
            shape.append(length)
            flat = list(chain.from_iterable(flat))
        self._check_types(set(map(type, flat)))
        try:
            exact = np.array(flat, np.int64 if self._whole else np.float64)
        except OverflowError:
            raise RequestError(f"holds a number that {self.dtype} cannot hold") from None
        return self._fitting(exact).reshape(shape)

    def _fitting(self, exact: np.ndarray) -> np.ndarray:
        """Return numbers in the type, if it can hold them."""
        if self._whole:
            limits = np.iinfo(self.dtype)
            good = bool(((exact >= limits.min) & (exact <= limits.max)).all())
        else:
            good = bool((np.abs(exact) <= np.finfo(self.dtype).max).all())
        if good:
            return exact.astype(self.dtype)
        if not np.isfinite(exact).all():
            raise RequestError("must hold finite numbers, and holds NaN or infinity")
        raise RequestError(f"holds a number that {self.dtype} cannot hold")

    @property
    def _whole(self) -> bool:
        return np.dtype(self.dtype).kind in "iu"

    def _check_types(self, types: set[type]) -> None:
        allowed = {int} if self._whole else {int, float}
        if not types - allowed:
            return
        if list in types:
            raise RequestError(f"must be {self.describe()}: it has more axes")
        wanted = "whole numbers" if self._whole else "numbers"
        names = {str: "a text", bool: "true or false", type(None): "null", dict: "an object"}
        odd = sorted(names.get(kind, "a number with a fraction") for kind in types - allowed)
        raise RequestError(f"must hold {wanted}, and holds {' and '.join(odd)}")

    def json_schema(self) -> dict[str, Any]:
        """Return the JSON schema of one row of nested lists."""
        schema: dict[str, Any] = {"type": "integer" if self._whole else "number"}
        for length in reversed(self.row_shape):
            limits = {"minItems": length or 1} | ({"maxItems": length} if length else {})
            schema = {"type": "array", "items": schema, **limits}
        return schema

    def base64_schema(self) -> dict[str, Any]:
        """Return the JSON schema of one row of bytes; only for a shape without free axes."""
        signs = math.ceil(math.prod(self.row_shape) * 8 / 6)
        pattern = f"^[A-Za-z0-9+/]{{{signs}}}={{{-signs % 4}}}$"
        text = {"type": "string", "contentEncoding": "base64", "pattern": pattern}
        return {
            "type": "object",
            "properties": {BINARY: text},
            "required": [BINARY],
            "additionalProperties": False,
        }

    def to_config(self) -> dict[str, Any]:
        """Return the description in JSON's types."""
        return {"name": self.name, "dtype": self.dtype, "shape": list(self.shape)}


def _axes(count: int) -> str:
    return f"{count or 'no'} ax{'i' if count == 1 else 'e'}s"
