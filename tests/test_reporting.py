"""Printing that is the same everywhere: bands, tables, and what a notebook stores."""

import re
from types import SimpleNamespace

import IPython
import numpy as np
import pytest

from dlnotes import reporting

NAN, INF = float("nan"), float("inf")


@pytest.fixture
def kernel(monkeypatch):
    """Pretend to be in a notebook; return what is displayed as (data, metadata)."""
    shown = []
    monkeypatch.setattr(IPython, "get_ipython", lambda: SimpleNamespace(kernel=object()))

    def display(data, *, raw, metadata):
        assert raw
        shown.append((data, metadata["dlnotes"]))

    monkeypatch.setattr(IPython.display, "display", display)
    return shown


@pytest.fixture(autouse=True)
def strict(monkeypatch):
    monkeypatch.delenv("DLNOTES_CALIBRATE", raising=False)


# === facts ===


def test_facts_are_shown_but_not_compared(kernel, capsys):
    reporting.facts("Here", ["a<b", "ms"], iter([["x&y", 0.41235], ["z", 1234]]))
    (data, records), *others = kernel
    assert data["text/plain"] == "Here: this machine's numbers stand in the notebook"
    assert data["text/html"] == (
        "<table><caption>Here</caption><thead><tr><th>a&lt;b</th><th>ms</th></tr></thead><tbody>"
        "<tr><td>x&amp;y</td><td>0.412</td></tr><tr><td>z</td><td>1234</td></tr></tbody></table>"
    )
    assert records == others == []
    assert capsys.readouterr().out == ""


def test_facts_need_a_title_and_a_cell_for_each_column():
    with pytest.raises(ValueError, match="`name` must be a text of one line"):
        reporting.facts("", ["a"], [])
    with pytest.raises(ValueError, match=r"one cell for each of the 2 columns.*cells=\[1\]"):
        reporting.facts("Here", ["a", "b"], [["x"]])


# === within ===


@pytest.mark.parametrize("value", [0.5, 0, 1, [0.1, 0.9], np.float32(0.25), np.full((2, 2), 0.5)])
def test_a_value_in_its_band_prints_the_band_only(value, capsys):
    reporting.within("accuracy", value, 0, 1)
    assert capsys.readouterr().out == "accuracy: between 0 and 1\n"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (1.5, "1.5"),
        (-0.001, "-0.001"),
        (NAN, "nan"),
        (INF, "inf"),
        ([0.5, 2], "2"),
        ([0.5, NAN], "nan"),
    ],
)
def test_a_value_outside_its_band_raises(value, shown):
    message = f"`accuracy` left its band. Expected: every value between 0 and 1. Received: {shown}"
    with pytest.raises(reporting.BandError) as caught:
        reporting.within("accuracy", value, 0, 1)
    assert str(caught.value) == message


def test_a_notebook_stores_constant_text_real_html_and_a_record(kernel):
    reporting.within("acc <1>", 0.51, 0.5, 1)
    reporting.within("acc <1>", [0.61, 0.75], 0.5, 1)
    (first, first_records), (second, second_records) = kernel
    assert first["text/plain"] == second["text/plain"] == "acc <1>: between 0.5 and 1"
    assert first["text/html"] == "acc &lt;1&gt;: <b>0.51</b> <small>(band 0.5 to 1)</small>"
    assert "<b>0.61 … 0.75</b>" in second["text/html"]
    record = {"kind": "within", "name": "acc <1>", "low": 0.5, "high": 1.0}
    assert first_records == [record | {"values": [0.51]}]
    assert second_records == [record | {"values": [0.61, 0.75]}]


def test_a_notebook_shows_the_value_that_left_its_band(kernel):
    with pytest.raises(reporting.BandError):
        reporting.within("accuracy", 3, 0, 1)
    assert "<b>3</b>" in kernel[0][0]["text/html"]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("", 1, 0, 1), ValueError, "`name` must be a text of one line. Received: name=''"),
        (("a\nb", 1, 0, 1), ValueError, "`name` must be a text of one line"),
        ((3, 1, 0, 1), ValueError, "`name` must be a text of one line. Received: name=3"),
        (("a", "x", 0, 1), TypeError, "A measured value must be a number. Received: a='x'"),
        (("a", None, 0, 1), TypeError, "A measured value must be a number. Received: a=None"),
        (("a", "0.5", 0, 1), TypeError, "A measured value must be a number. Received: a='0.5'"),
        (("a", [0.5, None], 0, 1), TypeError, "A measured value must be a number"),
        (("a", 1j, 0, 1), TypeError, "A measured value must be a number"),
        (("a", [], 0, 1), ValueError, "`value` must hold at least one number"),
        (("a", [[1], [1, 2]], 0, 1), TypeError, "A measured value must be a number"),
        (("a", 1, 2, 1), ValueError, "`low` must not exceed `high`. Received: name='a', low=2.0"),
        (("a", 1, "0", 1), TypeError, "`low` must be a number. Received: low='0'"),
        (("a", 1, 0, INF), ValueError, "`high` must be a finite number of any size"),
        (("a", 1, NAN, 1), ValueError, "`low` must be a finite number of any size"),
    ],
)
def test_within_refuses(arguments, error, message):
    with pytest.raises(error, match=re.escape(message)):
        reporting.within(*arguments)


def test_calibration_records_without_raising(monkeypatch, kernel):
    monkeypatch.setenv("DLNOTES_CALIBRATE", "1")
    reporting.within("accuracy", 3, 0, 1)
    reporting.close("two ways", 1, 2, tolerance=0)
    reporting.table("t", ["w", "a"], [[1, 9]], bands={"a": (0, 1)})
    assert [records[0]["values"] for _, records in kernel] == [[3.0], [1.0], [9.0]]


# === table ===


def test_a_table_shows_exact_columns_and_bands(capsys):
    reporting.table(
        "Score",
        ["width", "name", "accuracy"],
        [[2, "small", 0.91], [16, "big", 0.99]],
        bands={"accuracy": [(0.8, 1), (0.9, 1)]},
    )
    assert capsys.readouterr().out == (
        "Score\nwidth  name   accuracy\n    2  small  0.8 to 1\n   16  big    0.9 to 1\n"
    )


def test_a_table_records_each_measured_cell(kernel):
    reporting.table("T", ["w", "a"], [[2, 0.91], [4, [0.9, 0.95]]], bands={"a": (0.8, 1)})
    ((data, records),) = kernel
    assert [(record["name"], record["values"]) for record in records] == [
        ("T · 2 · a", [0.91]),
        ("T · 4 · a", [0.9, 0.95]),
    ]
    assert {record["kind"] for record in records} == {"table"}
    assert "0.91" not in data["text/plain"]
    assert "<td><b>0.9 … 0.95</b> <small>(0.8 to 1)</small></td>" in data["text/html"]


def test_a_table_raises_for_the_cell_that_left_its_band():
    with pytest.raises(reporting.BandError, match=r"`T · 4 · a` left its band.*Received: 0\.7"):
        reporting.table("T", ["w", "a"], [[2, 0.9], [4, 0.7]], bands={"a": (0.8, 1)})


@pytest.mark.parametrize(
    ("columns", "rows", "bands", "error", "message"),
    [
        (
            ["w", "a"],
            [[1]],
            None,
            ValueError,
            "for each of the 2 columns. Received: cells=[1]",
        ),
        ([], [], None, ValueError, "`rows` must have one cell for each of the 0 columns"),
        (
            ["w"],
            [[1]],
            {"a": (0, 1)},
            ValueError,
            "must name columns. Received: unknown=['a']",
        ),
        (["w"], [[1], [2]], {"w": [(0, 1)]}, ValueError, "one for each of the 2 rows"),
        (["w"], [[1]], {"w": (0, 1, 2)}, ValueError, "A band must be a pair (low, high)"),
        (["w"], [[1]], {"w": 3}, ValueError, "A band must be a pair (low, high)"),
        (
            ["w"],
            [[0.5]],
            None,
            TypeError,
            "as text or get a band. Received: column='w'",
        ),
        (["w"], [["x"]], {"w": (0, 1)}, TypeError, "A measured value must be a number"),
    ],
)
def test_table_refuses(columns, rows, bands, error, message):
    with pytest.raises(error, match=re.escape(message)):
        reporting.table("T", columns, rows, bands=bands)


# === close ===


def test_equal_arrays_print_the_tolerance(capsys):
    reporting.close("two ways", [0.1 + 0.2, 1], [0.3, 1], tolerance=1e-12)
    assert capsys.readouterr().out == "two ways: equal to within 1e-12\n"


@pytest.mark.parametrize(("first", "second"), [(1.0, 1.1), (NAN, 1.0), (NAN, NAN), (INF, 1.0)])
def test_different_arrays_raise(first, second):
    with pytest.raises(reporting.BandError, match="`a` left its band"):
        reporting.close("a", [0.0, first], [0.0, second], tolerance=0.01)


@pytest.mark.parametrize(
    ("first", "second", "tolerance", "error", "message"),
    [
        ([1], [1, 2], 1, ValueError, "Received: actual.shape=(1,), expected.shape=(2,)"),
        ([], [], 1, ValueError, "`actual` must not be empty. Received: actual.shape=(0,)"),
        ([1], [1], -1, ValueError, "`tolerance` must be a finite number >= 0"),
        ([1], [1], "0", TypeError, "`tolerance` must be a number. Received: tolerance='0'"),
        (["a"], [1], 1, TypeError, "A measured value must be a number"),
    ],
)
def test_close_refuses(first, second, tolerance, error, message):
    with pytest.raises(error, match=re.escape(message)):
        reporting.close("a", first, second, tolerance=tolerance)


def test_a_small_limit_is_not_printed_as_zero(capsys):
    reporting.close("sums", [0.1 + 0.2], [0.3], tolerance=1e-14)
    reporting.within("rounding", 3e-16, 0, 2e-13)
    reporting.table("t", ["a", "b"], [["x", 1e-15]], bands={"b": (0, 5e-15)})
    out = capsys.readouterr().out
    assert "equal to within 1e-14" in out
    assert "between 0 and 2e-13" in out
    assert "0 to 5e-15" in out
    with pytest.raises(reporting.BandError, match="between 0 and 2e-13"):
        reporting.within("rounding", 1.0, 0, 2e-13)


# === shape, show, number ===


def test_shape_prints_one_line_each(capsys):
    reporting.shape(x=np.zeros((2, 3), np.float32), y=np.arange(2))
    assert capsys.readouterr().out == "x: (2, 3) float32\ny: (2,) int64\n"


def test_shape_refuses_what_has_no_shape():
    with pytest.raises(
        TypeError, match=re.escape("`x` must be an array or a tensor. Received: x=[1]")
    ):
        reporting.shape(x=[1])


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (2 / 3, "0.6667"),
        (-1e-17, "0"),
        (-0.0, "0"),
        (1250, "1250"),
        (123456, "123500"),
        (1e-5, "1e-05"),
        (1e9, "1e+09"),
        (NAN, "nan"),
        (-INF, "-inf"),
    ],
)
def test_number(value, text):
    assert reporting.number(value) == text


def test_number_takes_more_digits_up_to_six():
    assert reporting.number(2 / 3, 6) == "0.666667"
    with pytest.raises(ValueError, match=re.escape("`digits` must be an integer in [1, 6]")):
        reporting.number(1.0, 7)


def test_show_prints_arrays_with_few_digits(capsys):
    reporting.show(w=[[1 / 3, -0.0], [1, 2]], b=2, flag=np.array(True))
    assert capsys.readouterr().out == "w: [[0.3333, 0],\n [1, 2]]\nb: 2\nflag: True\n"


def test_show_refuses_what_is_no_number():
    with pytest.raises(TypeError, match="`values` must be numbers"):
        reporting.show(name="x")


def test_without_a_kernel_the_plain_text_is_printed(monkeypatch, capsys):
    monkeypatch.setattr(IPython, "get_ipython", lambda: None)
    reporting.emit("plain", "<b>", [])
    monkeypatch.setattr(IPython, "get_ipython", lambda: SimpleNamespace())  # plain IPython
    reporting.emit("plain", "<b>", [])
    assert capsys.readouterr().out == "plain\nplain\n"
