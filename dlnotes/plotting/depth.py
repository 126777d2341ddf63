"""Pictures of depth: a number for each layer, and how a layer's numbers are distributed."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from dlnotes.plotting.matrices import heatmap
from dlnotes.plotting.style import COLORS, axes_or_new, label_axes, set_title, styled
from dlnotes.validation import check_array, check_float, check_int, received


@styled
def layer_heatmap(
    values: Any,
    *,
    row_labels: Sequence[str],
    first_layer: int = 1,
    reach: float = 4.0,
    ax: Axes | None = None,
    value_label: str | None = "number in the square",
    xlabel: str = "layer",
    ylabel: str = "",
    title: str | None = None,
) -> Axes:
    """Draw one number for each layer and each way to start: white is 1, red more, blue less.

    The colour follows the logarithm to base ten; the numbers themselves are written in.

    Args:
        values: Numbers >= 0 of shape (R, L): R rows, L layers.
        row_labels: One text a row.
        first_layer: Number of the first column's layer, >= 0.
        reach: From 10**−reach down and 10**reach up the colour stays the same, > 0.
        ax: Axes to draw on; None makes a new figure.
        value_label: Label of the colour bar; None draws no bar.
        xlabel: What the columns are.
        ylabel: What the rows are.
        title: What the picture shows.

    Returns:
        The axes.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a value is negative, NaN or infinite, or the labels do not fit.
    """
    values = check_array("values", values, ndim=2)
    if (values < 0).any():
        raise ValueError(f"`values` must not be negative. {received(smallest=values.min())}")
    first_layer = check_int("first_layer", first_layer, low=0)
    reach = check_float("reach", reach, low=0, open_low=True)
    with np.errstate(divide="ignore"):
        powers = np.clip(np.log10(values), -reach, reach)
    columns = [str(first_layer + k) for k in range(values.shape[1])]
    size = (2.9 + 0.5 * values.shape[1], 1.1 + 0.34 * values.shape[0])
    ax = heatmap(
        powers,
        row_labels=row_labels,
        column_labels=columns,
        ax=axes_or_new(ax, size),
        diverging=True,
        xlabel=xlabel,
        ylabel=ylabel,
        value_label=value_label,
        title=title,
    )
    ax.get_images()[0].set_clim(-reach, reach)
    for text in ax.texts:  # the numbers, not their logarithms
        column, row = (int(place) for place in text.get_position())
        text.set_text(_short(values[row, column]))
        text.set_color("white" if abs(powers[row, column]) > 0.65 * reach else "black")
    if value_label is not None:
        bar = ax.get_images()[0].colorbar
        marks = np.arange(-np.floor(reach), np.floor(reach) + 1, max(1, reach // 2))
        bar.set_ticks(marks, labels=[f"$10^{{{mark:g}}}$" for mark in marks])
    return ax


@styled
def layer_distributions(
    layers: Sequence[Any],
    *,
    span: tuple[float, float],
    bins: int = 40,
    first_layer: int = 1,
    color: str = COLORS[0],
    ax: Axes | None = None,
    xlabel: str = "layer",
    ylabel: str = "activation",
    title: str | None = None,
) -> Axes:
    """Draw how the numbers of each layer are distributed, one upright shape a layer.

    A shape is a histogram and its mirror image; every shape has the same greatest width, so a
    thin one with one wide place holds nearly equal numbers. Numbers outside the span are drawn at
    its ends.

    Args:
        layers: For each layer an array of numbers, of any shape.
        span: The lowest and the highest number drawn.
        bins: Bars in the span, >= 2.
        first_layer: Number of the first layer, >= 0.
        color: Colour of the shapes.
        ax: Axes to draw on; None makes a new figure.
        xlabel: What the shapes are.
        ylabel: What the numbers are, with their unit.
        title: What the picture shows.

    Returns:
        The axes.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If there is no layer, one is empty, or the span is.
    """
    if isinstance(layers, str) or not isinstance(layers, Sequence | np.ndarray):
        raise TypeError(f"`layers` must be a sequence of arrays. {received(layers=layers)}")
    if len(layers) == 0:
        raise ValueError(f"`layers` must not be empty. {received(layers=layers)}")
    arrays = [check_array(f"layers[{k}]", layer).ravel() for k, layer in enumerate(layers)]
    low, high = check_array("span", span, shape=(2,))
    if low >= high:
        raise ValueError(f"`span` must rise from low to high. {received(span=span)}")
    edges = np.linspace(low, high, check_int("bins", bins, low=2) + 1)
    first_layer = check_int("first_layer", first_layer, low=0)
    ax = axes_or_new(ax, (1.2 + 0.45 * len(arrays), 2.8))
    for layer, numbers in enumerate(arrays, start=first_layer):
        counts, _ = np.histogram(np.clip(numbers, low, high), edges)
        half = 0.45 * counts / counts.max()
        ax.stairs(
            layer + half,
            edges,
            baseline=layer - half,
            orientation="horizontal",
            fill=True,
            color=color,
        )
    ax.set_xticks(range(first_layer, first_layer + len(arrays)))
    ax.set_xlim(first_layer - 0.6, first_layer + len(arrays) - 0.4)
    ax.set_ylim(low, high)
    label_axes(ax, xlabel, ylabel)
    set_title(ax, title)
    return ax


def _short(value: float) -> str:
    """Return a number in at most five characters: 0.35, 0.04, 12, 4e-7."""
    if value == 0 or 0.095 <= value < 999.5:
        return f"{value:.2g}" if value < 99.5 else f"{value:.0f}"
    if 0.0095 <= value < 0.095:
        return f"{value:.2f}"
    mantissa, exponent = f"{value:.0e}".split("e")
    return f"{mantissa}e{int(exponent)}"
