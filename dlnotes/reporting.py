"""Printing that is the same on every machine, and still shows the real numbers.

A trained number differs from processor to processor. `within`, `table` and `close` therefore
check it against a band, show it as HTML, and leave a constant sentence as plain text. A notebook
test compares the sentence and skips the HTML: strict, and portable.
"""

import html
import math
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from dlnotes.validation import check_float, check_int, received

Band = tuple[float, float]


class BandError(AssertionError):
    """A measured value lies outside the band that it was claimed to keep to."""


def within(name: str, value: Any, low: float, high: float) -> None:
    """Check that a measured value lies in ``[low, high]``, show it, and print the band.

    Args:
        name: What was measured, with its unit, unique in the lesson.
        value: A number, or an array of numbers which must all lie in the band.
        low: The band's lower end.
        high: The band's upper end.

    Raises:
        BandError: If a value is outside the band or NaN.
        ValueError: If the band is empty or `value` holds no number.

    Example:
        >>> within("test accuracy", 0.93, 0.9, 1.0)
        test accuracy: between 0.9 and 1
    """
    name = _name(name)
    low, high = _band(name, (low, high))
    values = _numbers(name, value)
    emit(
        f"{name}: between {_limit(low)} and {_limit(high)}",
        f"{html.escape(name)}: <b>{_span(values)}</b> "
        f"<small>(band {_limit(low)} to {_limit(high)})</small>",
        [_record("within", name, values, low, high)],
    )
    _require(name, values, low, high)


def table(
    title: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[Any]],
    *,
    bands: Mapping[str, Band | Sequence[Band]] | None = None,
) -> None:
    """Show a table whose measured columns are checked against bands.

    Args:
        title: What the table shows, unique in the lesson.
        columns: The column names; the first column names the row.
        rows: One sequence of cells for each row.
        bands: For each measured column one band ``(low, high)``, or one for each row. Columns
            without a band are exact: text, whole numbers, booleans.

    Raises:
        BandError: If a measured value is outside its band.
        TypeError: If a column without a band holds a float that is not exact.
        ValueError: If rows and columns, or bands and rows, do not match.

    Example:
        >>> table("Score", ["width", "accuracy"], [[2, 0.91], [4, 0.99]],
        ...       bands={"accuracy": (0.8, 1)})
        Score
        width  accuracy
            2  0.8 to 1
            4  0.8 to 1
    """
    title = _name(title)
    bands = dict(bands or {})
    if not columns or any(len(row) != len(columns) for row in rows):
        raise ValueError(
            f"`rows` must have one cell for each of the {len(columns)} columns. "
            f"{received(cells=[len(row) for row in rows])}"
        )
    unknown = set(bands) - set(columns)
    if unknown:
        raise ValueError(f"`bands` must name columns. {received(unknown=sorted(unknown))}")
    cell_bands = {column: _column_bands(column, band, len(rows)) for column, band in bands.items()}
    plain_rows, html_rows, records, checks = [], [], [], []
    for index, row in enumerate(rows):
        plain_row, html_row = [], []
        for column, cell in zip(columns, row, strict=True):
            if column not in cell_bands:
                plain_row.append(_exact(column, cell))
                html_row.append(html.escape(plain_row[-1]))
                continue
            low, high = cell_bands[column][index]
            name = f"{title} · {row[0]} · {column}"
            values = _numbers(name, cell)
            records.append(_record("table", name, values, low, high))
            checks.append((name, values, low, high))
            plain_row.append(f"{_limit(low)} to {_limit(high)}")
            html_row.append(f"<b>{_span(values)}</b> <small>({plain_row[-1]})</small>")
        plain_rows.append(plain_row)
        html_rows.append(html_row)
    body = "".join(
        "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>" for cells in html_rows
    )
    head = "".join(f"<th>{html.escape(column)}</th>" for column in columns)
    emit(
        f"{title}\n{_aligned([list(columns), *plain_rows])}",
        f"<table><caption>{html.escape(title)}</caption>"
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>",
        records,
    )
    for check in checks:
        _require(*check)


def facts(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Show a table of numbers that belong to this machine alone; none is compared with anything.

    For what a reader is told how to read, not what it must be. The text says only that it is there.

    Args:
        title: What the table shows.
        columns: The column names.
        rows: One sequence of cells for each row: text, whole numbers, or floats, which are shown
            with three digits.

    Raises:
        ValueError: If a row has not one cell for each column.

    Example:
        >>> facts("A step here", ["network", "ms"], [["dense", 0.41235]])
        A step here: this machine's numbers stand in the notebook
    """
    title, rows = _name(title), [list(row) for row in rows]
    if not columns or any(len(row) != len(columns) for row in rows):
        raise ValueError(
            f"`rows` must have one cell for each of the {len(columns)} columns. "
            f"{received(cells=[len(row) for row in rows])}"
        )
    exact = str | int | np.integer
    texts = [[str(c) if isinstance(c, exact) else number(c, 3) for c in row] for row in rows]
    head, *body = [
        "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells) + "</tr>"
        for tag, cells in [("th", columns), *(("td", row) for row in texts)]
    ]
    emit(
        f"{title}: this machine's numbers stand in the notebook",
        f"<table><caption>{html.escape(title)}</caption>"
        f"<thead>{head}</thead><tbody>{''.join(body)}</tbody></table>",
        [],
    )


def close(name: str, actual: Any, expected: Any, *, tolerance: float) -> None:
    """Check that two arrays agree: the largest absolute difference is at most `tolerance`.

    Raises:
        BandError: If they differ by more, or one holds NaN.
        ValueError: If the shapes differ or `tolerance` is negative.

    Example:
        >>> close("two ways to add", [0.1 + 0.2], [0.3], tolerance=1e-12)
        two ways to add: equal to within 1e-12
    """
    name = _name(name)
    tolerance = check_float("tolerance", tolerance, low=0)
    first, second = _floats(name, actual), _floats(name, expected)
    if first.shape != second.shape:
        raise ValueError(
            f"`actual` and `expected` must have the same shape. "
            f"Received: actual.shape={first.shape}, expected.shape={second.shape}"
        )
    if first.size == 0:
        raise ValueError(f"`actual` must not be empty. Received: actual.shape={first.shape}")
    difference = np.max(np.abs(first - second), keepdims=True).reshape(1)
    emit(
        f"{name}: equal to within {_limit(tolerance)}",
        f"{html.escape(name)}: largest difference <b>{difference[0]:.1e}</b> "
        f"<small>(allowed {_limit(tolerance)})</small>",
        [_record("close", name, difference, 0.0, tolerance)],
    )
    _require(name, difference, 0.0, tolerance)


def shape(**arrays: Any) -> None:
    """Print name, shape and dtype of each array or tensor, one a line.

    Example:
        >>> shape(x=np.zeros((3, 2)))
        x: (3, 2) float64
    """
    for name, array in arrays.items():
        if not hasattr(array, "shape") or not hasattr(array, "dtype"):
            raise TypeError(f"`{name}` must be an array or a tensor. {received(**{name: array})}")
        dtype = getattr(array.dtype, "name", array.dtype)
        print(f"{name}: {tuple(array.shape)} {dtype}")


def number(value: float, digits: int = 4) -> str:
    """Return a number as text with at most `digits` significant digits, without ``-0``.

    For values that every machine computes alike up to rounding (closed forms in float64).

    Example:
        >>> number(2 / 3), number(-1e-17), number(1250.0)
        ('0.6667', '0', '1250')
    """
    digits = check_int("digits", digits, low=1, high=6)
    value = float(value)
    if abs(value) < 1e-12:
        return "0"
    if not math.isfinite(value):
        return str(value)
    text = f"{value:.{digits}g}"
    if "e" in text and abs(value) < 1e6 and abs(value) >= 1:
        text = f"{float(text):.0f}"
    return text


def _limit(value: float) -> str:
    """Return the end of a band as `number` does, but never a small one as 0: it is exact."""
    return f"{value:.4g}" if 0 < abs(value) < 1e-12 else number(value)


def show(digits: int = 4, **values: Any) -> None:
    """Print named numbers or arrays with at most `digits` significant digits.

    Example:
        >>> show(w=np.array([1 / 3, -0.0]), b=2)
        w: [0.3333, 0]
        b: 2
    """
    for name, value in values.items():
        print(f"{name}: {_nested(np.asarray(value), digits)}")


def _nested(array: np.ndarray, digits: int) -> str:
    if array.dtype.kind not in "biuf":
        raise TypeError(f"`values` must be numbers. Received: an array of dtype {array.dtype}")
    if array.ndim == 0:
        return str(array) if array.dtype.kind == "b" else number(float(array), digits)
    if array.ndim == 1:
        return "[" + ", ".join(_nested(item, digits) for item in array) + "]"
    return "[" + ",\n ".join(_nested(item, digits) for item in array) + "]"


def _name(name: Any) -> str:
    if not isinstance(name, str) or not name.strip() or "\n" in name:
        raise ValueError(f"`name` must be a text of one line. {received(name=name)}")
    return name


def _band(name: str, band: Any) -> Band:
    if not isinstance(band, Sequence) or isinstance(band, str) or len(band) != 2:
        raise ValueError(f"A band must be a pair (low, high). {received(name=name, band=band)}")
    low, high = check_float("low", band[0]), check_float("high", band[1])
    if low > high:
        raise ValueError(f"`low` must not exceed `high`. {received(name=name, low=low, high=high)}")
    return low, high


def _column_bands(column: str, band: Any, num_rows: int) -> list[Band]:
    if isinstance(band, Sequence) and len(band) and isinstance(band[0], Sequence):
        if len(band) != num_rows:
            raise ValueError(
                f"`bands` must have one band, or one for each of the {num_rows} rows. "
                f"{received(column=column, bands=len(band))}"
            )
        return [_band(column, pair) for pair in band]
    return [_band(column, band)] * num_rows


def _floats(name: str, value: Any) -> np.ndarray:
    message = f"A measured value must be a number. {received(**{name: value})}"
    try:
        array = np.asarray(value)
        if array.dtype.kind in "OSUMmc":  # NumPy would read None as NaN, and "1" as 1
            raise TypeError(message)
        return array.astype(np.float64)
    except ValueError as error:
        raise TypeError(message) from error


def _numbers(name: str, value: Any) -> np.ndarray:
    values = _floats(name, value).reshape(-1)
    if values.size == 0:
        raise ValueError(
            f"`value` must hold at least one number. {received(name=name, value=value)}"
        )
    return values


def _span(values: np.ndarray) -> str:
    if values.size == 1:
        return number(values[0])
    return f"{number(values.min())} … {number(values.max())}"


def _exact(column: str, cell: Any) -> str:
    if isinstance(cell, float | np.floating) and not float(cell).is_integer():
        raise TypeError(
            f"A float in a column without a band must be given as text or get a band. "
            f"{received(column=column, cell=cell)}"
        )
    return number(cell, 6) if isinstance(cell, float | np.floating) else str(cell)


def _aligned(rows: list[list[str]]) -> str:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    numeric = [all(_is_number(row[i]) for row in rows[1:]) for i in range(len(widths))]
    lines = []
    for row in rows:
        cells = [
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, numeric, strict=True)
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def _is_number(text: str) -> bool:
    try:
        float(text.replace(",", ""))
    except ValueError:
        return False
    return True


def _record(kind: str, name: str, values: np.ndarray, low: float, high: float) -> dict[str, Any]:
    return {"kind": kind, "name": name, "values": values.tolist(), "low": low, "high": high}


def _require(name: str, values: np.ndarray, low: float, high: float) -> None:
    if os.environ.get("DLNOTES_CALIBRATE") == "1":  # calibration records what leaves its band
        return
    outside = values[~((values >= low) & (values <= high))]
    if outside.size:
        shown = ", ".join(number(v, 6) for v in outside[:5])
        raise BandError(
            f"`{name}` left its band. Expected: every value between {_limit(low)} and "
            f"{_limit(high)}. Received: {shown}"
        )


def emit(plain: str, rich: str, records: list[dict[str, Any]]) -> None:
    """Show `rich` (HTML) in a notebook and `plain` elsewhere; keep `records` with the output.

    The records travel in the output's metadata under ``dlnotes``, where reports read them.
    """
    if "IPython" in sys.modules:
        from IPython import get_ipython

        shell = get_ipython()
        if shell is not None and hasattr(shell, "kernel"):
            from IPython.display import display

            display(
                {"text/plain": plain, "text/html": rich},
                raw=True,
                metadata={"dlnotes": records},
            )
            return
    print(plain)
