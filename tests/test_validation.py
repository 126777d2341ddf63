"""Argument checks: what passes, what comes back, and the exact words for what does not."""

import re
from pathlib import Path

import numpy as np
import pytest

from dlnotes import validation


def refuses(error, message, function, *arguments, **options):
    with pytest.raises(error) as caught:
        function(*arguments, **options)
    assert re.search(message, str(caught.value)), str(caught.value)


def test_received_lists_values_and_cuts_long_ones():
    assert validation.received(a=1, b="x") == "Received: a=1, b='x'"
    text = validation.received(rows=list(range(1000)))
    assert text == "Received: " + f"rows={list(range(1000))}"[:117] + "…"


@pytest.mark.parametrize("value", [3, np.int64(3), np.uint8(3)])
def test_check_int_returns_a_python_int(value):
    result = validation.check_int("n", value, low=3, high=3)
    assert type(result) is int
    assert result == 3


@pytest.mark.parametrize(
    ("value", "limits", "error", "message"),
    [
        (True, {}, TypeError, "`n` must be an integer. Received: n=True"),
        (np.True_, {}, TypeError, "`n` must be an integer"),
        (3.0, {}, TypeError, "`n` must be an integer. Received: n=3.0"),
        ("3", {}, TypeError, "`n` must be an integer. Received: n='3'"),
        (None, {}, TypeError, "`n` must be an integer. Received: n=None"),
        (0, {"low": 1}, ValueError, "`n` must be an integer >= 1. Received: n=0"),
        (9, {"high": 8}, ValueError, "`n` must be an integer <= 8. Received: n=9"),
        (9, {"low": 1, "high": 8}, ValueError, "must be an integer in [1, 8]. Received: n=9"),
    ],
)
def test_check_int_refuses(value, limits, error, message):
    refuses(error, re.escape(message), validation.check_int, "n", value, **limits)


@pytest.mark.parametrize("value", [1, 0.5, np.float32(0.5), np.int8(1)])
def test_check_float_returns_a_python_float(value):
    result = validation.check_float("p", value, low=0, high=1)
    assert type(result) is float
    assert result == value


@pytest.mark.parametrize(
    ("value", "limits", "error", "message"),
    [
        (False, {}, TypeError, "`p` must be a number. Received: p=False"),
        ("1", {}, TypeError, "`p` must be a number. Received: p='1'"),
        (1j, {}, TypeError, "`p` must be a number"),
        (np.array([1.0]), {}, TypeError, "`p` must be a number"),
        (float("nan"), {}, ValueError, "`p` must be a finite number of any size. Received: p=nan"),
        (float("inf"), {"low": 0}, ValueError, "finite number >= 0. Received: p=inf"),
        (-1, {"low": 0}, ValueError, "finite number >= 0. Received: p=-1"),
        (0, {"low": 0, "open_low": True}, ValueError, "finite number > 0. Received: p=0"),
        (1, {"high": 1, "open_high": True}, ValueError, "finite number < 1. Received: p=1"),
        (2, {"high": 1}, ValueError, "finite number <= 1. Received: p=2"),
        (2, {"low": 0, "high": 1}, ValueError, "finite number in [0, 1]. Received: p=2"),
        (
            0,
            {"low": 0, "high": 1, "open_low": True, "open_high": True},
            ValueError,
            "finite number in (0, 1). Received: p=0",
        ),
    ],
)
def test_check_float_refuses(value, limits, error, message):
    refuses(error, re.escape(message), validation.check_float, "p", value, **limits)


def test_the_ends_of_a_range_belong_to_it_unless_open():
    assert validation.check_float("p", 0, low=0, high=1) == 0
    assert validation.check_float("p", 1, low=0, high=1, open_low=True) == 1


@pytest.mark.parametrize("value", [0, 1, np.True_, "yes", None])
def test_check_flag_takes_true_and_false_alone(value):
    assert validation.check_flag("b", True) is True
    assert validation.check_flag("b", False) is False
    refuses(TypeError, "`b` must be True or False. Received: b=", validation.check_flag, "b", value)


def test_check_choice():
    assert validation.check_choice("loss", "log", iter(("hinge", "log"))) == "log"
    message = re.escape("`loss` must be one of 'hinge', 'log'. Received: loss='mse'")
    refuses(ValueError, message, validation.check_choice, "loss", "mse", ("hinge", "log"))


@pytest.mark.parametrize("value", [True, 1.0, "1", [1]])
def test_check_choice_looks_at_the_type_too(value):
    refuses(ValueError, "`n` must be one of 1, 2", validation.check_choice, "n", value, (1, 2))


def test_check_path():
    assert validation.check_path("file", "a/b") == Path("a/b")
    assert validation.check_path("file", Path("a")) == Path("a")


@pytest.mark.parametrize("value", ["", 3, None, b"a"])
def test_check_path_refuses(value):
    message = re.escape(f"`file` must be a path. Received: file={value!r}")
    refuses(TypeError, message, validation.check_path, "file", value)


def test_check_array_converts_and_keeps():
    assert validation.check_array("x", [[1, 2]], ndim=2).dtype == np.float64
    assert validation.check_array("x", [True, False]).tolist() == [1.0, 0.0]
    assert validation.check_array("x", np.uint8([1]), dtype=None).dtype == np.uint8
    assert validation.check_array("x", [[1, 2]], shape=(None, 2)).shape == (1, 2)
    assert validation.check_array("x", [], nonempty=False).size == 0
    assert validation.check_array("x", 3.0, ndim=(0, 1)).ndim == 0
    array = np.zeros(2)
    assert validation.check_array("x", array) is array


@pytest.mark.parametrize(
    ("value", "options", "error", "message"),
    [
        ([[1], [1, 2]], {}, ValueError, "`x` must be a rectangular array. Received: x=[[1], "),
        ("text", {}, TypeError, "`x` must be an array of numbers. Received: x is a str"),
        (None, {}, TypeError, "Received: x is a NoneType"),
        (["a"], {}, TypeError, "Received: x is a array of dtype <U1"),
        ([1j], {}, TypeError, "Received: x is a array of dtype complex128"),
        ([1], {"ndim": 2}, ValueError, "`x` must be 2-dimensional. Received: x.shape=(1,)"),
        (
            [[[1]]],
            {"ndim": (1, 2)},
            ValueError,
            "`x` must be 1-dimensional or 2-dimensional. Received: x.shape=(1, 1, 1)",
        ),
        (
            [[1, 2, 3]],
            {"shape": (None, 2)},
            ValueError,
            "`x` must have shape (any, 2). Received: x.shape=(1, 3)",
        ),
        ([1, 2], {"shape": (3,)}, ValueError, "must have shape (3,). Received: x.shape=(2,)"),
        ([1, 2], {"shape": (2, 1)}, ValueError, "must have shape (2, 1). Received: x.shape=(2,)"),
        ([], {}, ValueError, "`x` must not be empty. Received: x.shape=(0,)"),
        (
            [1, np.nan, np.inf],
            {},
            ValueError,
            "`x` must hold finite numbers. Received: 2 of 3 are NaN or infinite",
        ),
    ],
)
def test_check_array_refuses(value, options, error, message):
    refuses(error, re.escape(message), validation.check_array, "x", value, **options)


def test_check_column_makes_one_shape_of_both():
    for value in ([1, 2], [[1], [2]]):
        np.testing.assert_array_equal(validation.check_column("y", value), [1.0, 2.0])
    with pytest.raises(ValueError, match=r"`y` must have one column.*y\.shape=\(1, 2\)"):
        validation.check_column("y", [[1, 2]])
    with pytest.raises(ValueError, match="`y` must hold finite numbers"):
        validation.check_column("y", [np.nan])


def test_check_class_numbers():
    numbers = validation.check_class_numbers("y", [0.0, 2.0, 1.0], 3)
    assert numbers.tolist() == [0, 2, 1]
    assert numbers.dtype == int
    for value in ([0, 3], [-1, 0], [0.5, 1]):
        message = "`y` must hold class numbers 0 to 2. Received: y="
        refuses(ValueError, re.escape(message), validation.check_class_numbers, "y", value, 3)


def test_check_same_length():
    validation.check_same_length(x=[1, 2], y=np.zeros((2, 5)))
    message = "`x` and `y` must have the same number of rows. Received: len(x)=2, len(y)=3"
    refuses(ValueError, re.escape(message), validation.check_same_length, x=[1, 2], y=[1, 2, 3])
