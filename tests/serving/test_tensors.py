import base64
import json
import re

import numpy as np
import pytest
from contracts import Refusal, check_docstring, check_refusals
from hypothesis import given, settings
from hypothesis import strategies as st

from dlnotes.serving.errors import RequestError
from dlnotes.serving.tensors import TensorSpec

PICTURE = TensorSpec("pixels", "float32", (None, 2, 3, 1))
IDS = TensorSpec("ids", "int32", (None, None))


def test_rows_become_an_array():
    rows = [[[[1], [2], [3]], [[4], [5], [6.5]]]] * 2
    array = PICTURE.array(rows)
    assert (array.dtype, array.shape) == (np.float32, (2, 2, 3, 1))
    np.testing.assert_array_equal(array, np.array(rows))
    np.testing.assert_array_equal(IDS.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]])
    assert IDS.array([[1, 2]]).dtype == np.int32
    assert TensorSpec("n", "float32", (None,)).array([1, 2.5]).tolist() == [1, 2.5]
    assert PICTURE.fits(array)
    assert not PICTURE.fits(array[:, :1])
    assert not PICTURE.fits(array.astype("float64"))


@pytest.mark.parametrize(
    ("spec", "rows", "field", "message"),
    [
        (PICTURE, [[[1, 2, 3], [4, 5, 6]]], "[0]", "it has 2 axes"),
        (PICTURE, [1], "[0]", "it has no axes"),
        (PICTURE, [[[[1], [2], [3]], [[4], [5]]]], "[0]", "lists of 2 and of 3"),
        (PICTURE, [[[[1], [2], [3]]]], "[0]", "axis 0 has the length 1"),
        (PICTURE, [[[[[1]], [[2]], [[3]]]] * 2], "[0]", "more axes"),
        (IDS, [[1, 2], []], "[1]", "axis 0 has the length 0"),
        (IDS, [[1, 2], [3]], None, "lists of 1 and of 2"),
        (IDS, [[1], [2.0]], "[1]", "must hold whole numbers, and holds a number with a fraction"),
        (IDS, [[True]], "[0]", "holds true or false"),
        (IDS, [["a", None]], "[0]", "holds a text and null"),
        (IDS, [[{}]], "[0]", "holds an object"),
        (IDS, [[2**31]], "[0]", "a number that int32 cannot hold"),
        (IDS, [[2**63]], "[0]", "a number that int32 cannot hold"),
        (TensorSpec("x", "float32", (None, 1)), [[0], [float("nan")]], "[1]", "finite numbers"),
        (TensorSpec("x", "float32", (None, 1)), [[float("inf")]], "[0]", "finite numbers"),
        (TensorSpec("x", "float32", (None, 1)), [[1e39]], "[0]", "float32 cannot hold"),
        (TensorSpec("x", "float32", (None, 1)), [[10**400]], "[0]", "float32 cannot hold"),
        (TensorSpec("x", "float32", (None, 1)), [["1"]], "[0]", "must hold numbers, and holds a"),
        (TensorSpec("x", "float32", (None,)), [[1]], "[0]", "it has more axes"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_row(spec, rows, field, message):
    with pytest.raises(RequestError, match="must|holds") as caught:
        spec.array(rows)
    assert message in str(caught.value)
    assert caught.value.field == field


def test_bytes_become_an_array():
    rows = np.arange(250, 262, dtype=np.uint8).reshape(2, 2, 3, 1)
    texts = [base64.b64encode(row.tobytes()).decode() for row in rows]
    array = PICTURE.from_base64(texts)
    assert (array.dtype, array.shape) == (np.float32, rows.shape)
    np.testing.assert_array_equal(array, rows)
    assert TensorSpec("n", "int64", (None,)).from_base64(["/w=="]).tolist() == [255]


@pytest.mark.parametrize(
    ("spec", "text", "field", "message"),
    [
        (PICTURE, "AAAAAAA=", "[1]", "one byte each, and has 5 bytes"),
        (PICTURE, "AAAAAAAAAA==", "[1]", "float32 of shape (2, 3, 1), one byte each, and has 7"),
        (PICTURE, "AAAA AAAA", "[1]", "must be base64"),
        (PICTURE, "AAAAAAA", "[1]", "must be base64"),
        (PICTURE, "\u0130AAAAAA", "[1]", "must be base64"),
        (IDS, "AAAAAAAA", None, "in lists: bytes have no shape"),
        (TensorSpec("x", "int8", (None, 6)), "AAAAAACA", None, "a number that int8 cannot hold"),
    ],
)
def test_bytes_that_do_not_fit_are_refused(spec, text, field, message):
    with pytest.raises(RequestError, match="must|holds") as caught:
        spec.from_base64(["AAAAAAAA", text])
    assert message in str(caught.value)
    assert caught.value.field == field


@pytest.mark.parametrize("size", range(7))
def test_the_schema_of_bytes_allows_as_many_as_the_shape_has(size):
    [text] = TensorSpec("x", "float32", (None, size)).base64_schema()["properties"].values()
    for number in range(9):
        fits = re.search(text["pattern"], base64.b64encode(bytes(number)).decode())
        assert bool(fits) == (number == size)


def test_the_schema_says_the_same():
    schema = PICTURE.json_schema()
    assert (schema["minItems"], schema["maxItems"]) == (2, 2)
    assert schema["items"]["items"]["items"] == {"type": "number"}
    free = IDS.json_schema()
    assert (free["minItems"], "maxItems" in free) == (1, False)
    assert free["items"] == {"type": "integer"}


def test_a_description_is_checked():
    check_refusals(
        TensorSpec,
        [
            Refusal(("", "int32", (None,)), {}, TypeError, "`name` must be a text"),
            Refusal(("x", "complex64", (None,)), {}, ValueError, "`dtype` must be one of float16"),
            Refusal(("x", "int32", ()), {}, ValueError, "`shape` must begin with the batch axis"),
            Refusal(("x", "int32", (3, 2)), {}, ValueError, "`shape` must begin with the batch"),
            Refusal(("x", "int32", (None, -1)), {}, ValueError, "`shape` must be an integer >= 0"),
        ],
    )
    check_docstring(TensorSpec)


# === Without making the lists ===

SHAPES = ((None,), (None, 2), (None, 2, 1), (None, 1, 3))
NUMBERS = st.integers(-300, 300) | st.floats(width=32) | st.sampled_from([2**63, 10**25, 1e300])


@st.composite
def nearly_right(draw):
    """A description, and a text that may have its form."""
    spec = TensorSpec(
        "x", draw(st.sampled_from(["float32", "int8", "int64"])), draw(st.sampled_from(SHAPES))
    )
    numbers = st.integers(-99, 99) if draw(st.booleans()) else NUMBERS
    values = numbers
    for length in reversed(spec.row_shape):
        values = st.lists(values, min_size=length, max_size=length)
    rows = draw(st.lists(values, min_size=1, max_size=3))
    separators = draw(st.sampled_from([(",", ":"), (", ", ": "), (" ,\n\t", ": ")]))
    text = json.dumps(rows, separators=separators)
    for _ in range(draw(st.integers(0, 2))):
        place = draw(st.integers(0, len(text)))
        gone = draw(st.integers(0, 2))
        piece = draw(
            st.sampled_from(["", "[", "]", ",", "1", "-", " ", "e", ".", "0", '"', "][", "N"])
        )
        text = text[:place] + piece + text[place + gone :]
    return spec, text.encode()


def slowly(spec, text):
    """What the lists say, or None if they say something wrong."""
    try:
        rows = json.loads(text)
        return spec.array(rows) if isinstance(rows, list) and 0 < len(rows) <= 9 else None
    except (ValueError, RequestError):
        return None


@settings(max_examples=600, deadline=None)
@given(nearly_right())
def test_texts_give_the_arrays_of_their_lists_or_nothing(made):
    spec, text = made
    quick, slow = spec.from_text(text, 9), slowly(spec, text)
    if quick is not None:
        assert slow is not None, "it took what is wrong"
        assert quick.dtype == slow.dtype == spec.dtype
        np.testing.assert_array_equal(quick, slow)


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("[[1, 2], [3.5, -4e-1]]", True),
        (" [ [1,2 ] ] ", True),
        ("[[]1,2]", False),
        ("[1[,2]]", False),
        ("[[1],2]", False),
        ("[[1 2]]", False),
        ("[[01, 2]]", False),
        ("[[1, 2],]", False),
        ("[[1, 2]][", False),
        ("[[1, 1e999]]", False),
        ("[[1, NaN]]", False),
        ("[[1, 2]]" + " " * 600, False),
        ("[" + "[1, 2], " * 9 + "[1, 2]]", False),
        ("[]", False),
        ("", False),
    ],
)
def test_what_is_read_without_lists(text, right):
    spec = TensorSpec("x", "float32", (None, 2))
    found = spec.from_text(text.encode(), 9)
    assert (found is not None) == right
    if right:
        np.testing.assert_array_equal(found, spec.array(json.loads(text)))


def test_free_axes_are_read_with_lists():
    assert TensorSpec("x", "float32", (None, None)).from_text(b"[[1, 2]]", 9) is None


def test_whole_numbers_stay_exact():
    spec = TensorSpec("x", "int64", (None, 2))
    found = spec.from_text(b"[[9007199254740993, -9223372036854775808]]", 9)
    assert found.tolist() == [[9007199254740993, -(2**63)]]
    assert spec.from_text(b"[[1.0, 2]]", 9) is None
    assert spec.from_text(b"[[9223372036854775808, 2]]", 9) is None
    assert TensorSpec("x", "int8", (None,)).from_text(b"[128]", 9) is None
