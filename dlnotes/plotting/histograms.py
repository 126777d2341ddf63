"""How many values lie where: distributions of weights, activations or counts, one overlaid."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from dlnotes.plotting.style import (
    COLORS,
    LINE_STYLES,
    axes_or_new,
    check_increasing,
    label_axes,
    set_title,
    styled,
)
from dlnotes.validation import check_array, check_int, received


@styled
def histograms(
    samples: Mapping[str, Any],
    *,
    bins: Any = 50,
    log_y: bool = False,
    ax: Axes | None = None,
    xlabel: str = "value",
    title: str | None = None,
) -> Axes:
    """Draw the share of values in each bin, one outline a sample, all with the same bins.

    Args:
        samples: For each name an array of any shape; at most 10 names.
        bins: The number of bins between the smallest and the largest value of all, or E + 1
            increasing edges of E bins. Values beyond the edges count in the outermost bins, so
            that the shares of each sample add up to 1.
        log_y: Whether equal steps upwards are equal factors, to see rare values too.
        ax: Axes to draw on; None makes a new figure.
        xlabel: Label of the horizontal axis, with its unit.
        title: What the picture shows.

    Returns:
        The axes; each sample is a `StepPatch` in ``ax.patches``.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a sample is empty or not finite, or there are too many.
    """
    if not isinstance(samples, Mapping):
        raise TypeError(f"`samples` must map names to arrays. {received(samples=samples)}")
    if not 1 <= len(samples) <= len(COLORS):
        raise ValueError(
            f"`samples` must hold 1 to {len(COLORS)} samples. {received(samples=list(samples))}"
        )
    arrays = {
        str(name): check_array(f"samples[{name!r}]", values).ravel()
        for name, values in samples.items()
    }
    if np.ndim(bins) == 0:
        everything = np.concatenate(list(arrays.values()))
        edges = np.histogram_bin_edges(everything, check_int("bins", bins, low=1))
    else:
        edges = check_increasing("bins", bins)
    ax = axes_or_new(ax)
    for index, (name, values) in enumerate(arrays.items()):
        counts, _ = np.histogram(np.clip(values, edges[0], edges[-1]), edges)
        color, line = COLORS[index], LINE_STYLES[index % len(LINE_STYLES)]
        shares = counts / len(values)
        ax.stairs(shares, edges, color=color, linestyle=line, linewidth=1.6, label=name)
        ax.stairs(shares, edges, color=color, alpha=0.2, fill=True)
    if len(arrays) > 1:
        ax.legend()
    if log_y:
        ax.set_yscale("log")
    label_axes(ax, xlabel, "share of values")
    set_title(ax, title)
    return ax
