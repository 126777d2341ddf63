"""Matrices as coloured squares."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from dlnotes.plotting.style import axes_or_new, check_texts, label_axes, set_title, styled
from dlnotes.validation import check_array, received


@styled
def heatmap(
    matrix: Any,
    *,
    row_labels: Sequence[str] | None = None,
    column_labels: Sequence[str] | None = None,
    annotate: bool | str = True,
    ax: Axes | None = None,
    diverging: bool = False,
    xlabel: str = "column",
    ylabel: str = "row",
    value_label: str | None = None,
    title: str | None = None,
) -> Axes:
    """Draw a matrix as coloured squares, with the numbers written in.

    Args:
        matrix: Numbers of shape (R, C).
        row_labels: One text a row.
        column_labels: One text a column.
        annotate: Whether to write the numbers, or the format to write them in, such as ".2f".
        ax: Axes to draw on; None makes a new figure.
        diverging: Whether zero is the middle of the colour scale: blue below, red above.
        xlabel: What the columns are.
        ylabel: What the rows are.
        value_label: Adds a colour bar with this label.
        title: What the picture shows.

    Returns:
        The axes.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If the labels do not fit the shape, or the format is none.
    """
    matrix = check_array("matrix", matrix, ndim=2, dtype=None)
    rows, columns = matrix.shape
    row_labels = check_texts("row_labels", row_labels, rows)
    column_labels = check_texts("column_labels", column_labels, columns)
    texts = _cell_texts(matrix, annotate)
    ax = axes_or_new(ax, (1.6 + 0.55 * min(columns, 12), 1.2 + 0.42 * min(rows, 12)))
    numbers = matrix.astype(np.float64)
    reach = max(abs(numbers).max(), 1e-12)
    image = ax.imshow(
        numbers,
        cmap="RdBu_r" if diverging else "cividis",
        vmin=-reach if diverging else None,
        vmax=reach if diverging else None,
        aspect="auto",
        interpolation="nearest",
    )
    _set_ticks(ax.xaxis, columns, column_labels)
    _set_ticks(ax.yaxis, rows, row_labels)
    for (row, column), text in texts.items():
        red, green, blue, _ = image.cmap(image.norm(numbers[row, column]))
        bright = 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.45
        ax.text(
            column,
            row,
            text,
            ha="center",
            va="center",
            fontsize=9,
            color="black" if bright else "white",
        )
    if value_label is not None:
        ax.figure.colorbar(image, ax=ax).set_label(value_label)
    ax.spines[:].set_visible(False)
    label_axes(ax, xlabel, ylabel)
    set_title(ax, title)
    return ax


def _cell_texts(matrix: np.ndarray, annotate: Any) -> dict[tuple[int, int], str]:
    if annotate is False:
        return {}
    if annotate is not True and not isinstance(annotate, str):
        raise TypeError(f"`annotate` must be a bool or a format. {received(annotate=annotate)}")
    spec = annotate if isinstance(annotate, str) else ("d" if matrix.dtype.kind in "iu" else ".2g")
    values = matrix.astype(int) if matrix.dtype.kind == "b" else matrix
    try:
        return {index: format(value.item(), spec) for index, value in np.ndenumerate(values)}
    except ValueError as error:
        raise ValueError(
            f'`annotate` must be a number format such as ".2f". {received(annotate=annotate)}'
        ) from error


def _set_ticks(axis: Any, count: int, labels: tuple[str, ...] | None) -> None:
    if labels is not None or count <= 12:
        axis.set_ticks(range(count), labels)
    axis.set_tick_params(length=0)
