"""Vectors as arrows, and what a 2×2 matrix does to the plane."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from dlnotes.plotting.style import (
    COLORS,
    axes_or_new,
    check_texts,
    label_axes,
    set_title,
    styled,
)
from dlnotes.validation import check_array, check_float


@styled
def arrows(
    vectors: Any,
    *,
    labels: Sequence[str] | None = None,
    origin: Any = (0.0, 0.0),
    ax: Axes | None = None,
    names: Sequence[str] = ("x₁", "x₂"),
    title: str | None = None,
) -> Axes:
    """Draw vectors of the plane as arrows from one point, in true proportions.

    Args:
        vectors: K vectors of shape (K, 2), K at most 10. The zero vector is drawn as a dot.
        labels: One short text a vector, written at its tip.
        origin: Where the arrows start, shape (2,).
        ax: Axes to draw on; None makes a new figure.
        names: Labels of the two axes, with units.
        title: What the picture shows.

    Returns:
        The axes.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a shape is wrong, or there are more than 10 vectors.
    """
    vectors = check_array("vectors", vectors, shape=(None, 2))
    if len(vectors) > len(COLORS):
        raise ValueError(
            f"`vectors` must hold at most {len(COLORS)} vectors. "
            f"Received: vectors.shape={vectors.shape}"
        )
    labels = check_texts("labels", labels, len(vectors))
    origin = check_array("origin", origin, shape=(2,))
    names = check_texts("names", names, 2)
    ax = axes_or_new(ax, (4.0, 3.6))
    tips = origin + vectors
    starts = np.broadcast_to(origin, vectors.shape)
    colors = COLORS[: len(vectors)]
    length = np.linalg.norm(vectors, axis=1) > 0
    if length.any():
        ax.quiver(
            *starts[length].T,
            *vectors[length].T,
            angles="xy",
            scale_units="xy",
            scale=1,
            color=[color for color, drawn in zip(colors, length, strict=True) if drawn],
            width=0.012,
            zorder=5,
        )
    for tip, color in zip(tips[~length], np.array(colors)[~length], strict=True):
        ax.plot(*tip, "o", color=color, zorder=6)
    for text, tip, vector, color in zip(labels or (), tips, vectors, colors, strict=False):
        away = 9 * vector / max(np.linalg.norm(vector), 1e-12) if vector.any() else (0, -12)
        ax.annotate(
            text,
            tip,
            xytext=away,
            textcoords="offset points",
            ha="center",
            va="center",
            color=color,
            fontsize=10,
            fontweight="bold",
            zorder=7,
        )
    ax.update_datalim(np.vstack([tips, origin]))
    ax.margins(0.15)
    shared = len(ax.get_shared_x_axes().get_siblings(ax)) > 1  # such panels must keep their limits
    ax.set_aspect("equal", adjustable="box" if shared else "datalim")
    ax.autoscale_view()
    label_axes(ax, *names)
    set_title(ax, title)
    return ax


@styled
def linear_map(
    matrix: Any,
    *,
    reach: float = 3.0,
    ax: Axes | None = None,
    names: Sequence[str] = ("x₁", "x₂"),
    title: str | None = None,
) -> Axes:
    """Draw where a 2×2 matrix sends the plane: squared paper, the unit square, both unit vectors.

    The paper's lines are at whole numbers. The arrows are the matrix's two columns: the images of
    (1, 0), blue, and of (0, 1), red; the image of the unit square between them is shaded.

    Args:
        matrix: A matrix of shape (2, 2).
        reach: Both axes are drawn from −reach to reach, in (0, 100].
        ax: Axes to draw on; None makes a new figure.
        names: Labels of the two axes.
        title: What the picture shows.

    Returns:
        The axes.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If the matrix is not 2×2 and finite, or `reach` is out of range.
    """
    matrix = check_array("matrix", matrix, shape=(2, 2))
    reach = check_float("reach", reach, low=0, high=100, open_low=True)
    ax = axes_or_new(ax, (3.4, 3.4))
    end = int(np.ceil(2 * reach))
    for at in range(-end, end + 1):
        for line in ([[at, at], [-end, end]], [[-end, end], [at, at]]):
            ax.plot(*(matrix @ line), color="0.8" if at else "0.55", linewidth=0.8, zorder=1)
    square = np.array([[0, 1, 1, 0], [0, 0, 1, 1]])
    ax.fill(*(matrix @ square), color=COLORS[4], alpha=0.35, zorder=2)
    arrows(matrix.T, ax=ax, names=names)
    ax.set_aspect("equal", adjustable="box")
    ax.set_xlim(-reach, reach)
    ax.set_ylim(-reach, reach)
    set_title(ax, title)
    return ax
