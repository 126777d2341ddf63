"""Curves: functions of one number, losses over weights, and scores over epochs."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import patheffects
from matplotlib.axes import Axes

from dlnotes.plotting.style import (
    COLORS,
    LINE_STYLES,
    axes_or_new,
    check_increasing,
    check_texts,
    label_axes,
    set_title,
    styled,
)
from dlnotes.validation import check_array, check_int, received

STAR = {
    "marker": "*",
    "markersize": 14,
    "color": COLORS[4],
    "markeredgecolor": "black",
    "linestyle": "none",
    "zorder": 4,
}


@styled
def function_curves(
    xs: Any,
    curves: Mapping[str, Any],
    *,
    ax: Axes | None = None,
    xlabel: str = "x",
    ylabel: str = "f(x)",
    title: str | None = None,
) -> Axes:
    """Draw functions of one number, each with its own colour and line style.

    Args:
        xs: N increasing numbers, shape (N,).
        curves: For each name the N values of the function.
        ax: Axes to draw on; None makes a new figure.
        xlabel: Label of the horizontal axis, with its unit.
        ylabel: Label of the vertical axis, with its unit.
        title: What the picture shows.

    Returns:
        The axes.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If lengths differ, values are not finite, or there are more than 10 curves.
    """
    xs = check_increasing("xs", xs)
    arrays = {
        label: check_array(f"curves[{label!r}]", values, shape=xs.shape)
        for label, values in _check_mapping("curves", curves).items()
    }
    ax = axes_or_new(ax)
    for index, (label, values) in enumerate(arrays.items()):
        ax.plot(
            xs,
            values,
            color=COLORS[index],
            linestyle=LINE_STYLES[index % len(LINE_STYLES)],
            label=label,
        )
    if len(arrays) > 1 or next(iter(arrays)):
        ax.legend()
    label_axes(ax, xlabel, ylabel)
    set_title(ax, title)
    return ax


@styled
def loss_curve(
    xs: Any,
    losses: Any,
    *,
    ax: Axes | None = None,
    path: Any = None,
    xlabel: str = "weight w",
    ylabel: str = "loss",
    title: str | None = None,
) -> Axes:
    """Draw the loss as a function of one weight, with its lowest point marked.

    Args:
        xs: N increasing values of the weight, shape (N,).
        losses: The loss at each, shape (N,).
        ax: Axes to draw on; None makes a new figure.
        path: Values of the weight that a training run went through, shape (P,), or None; they
            are drawn on the curve from start to end.
        xlabel: Label of the horizontal axis.
        ylabel: Label of the vertical axis.
        title: What the picture shows.

    Returns:
        The axes.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If shapes differ, or the path leaves the range of `xs`.
    """
    xs = check_increasing("xs", xs)
    losses = check_array("losses", losses, shape=xs.shape)
    if path is not None:
        path = check_array("path", path, ndim=1)
        if path.min() < xs[0] or path.max() > xs[-1]:
            raise ValueError(
                f"`path` must stay inside xs, {xs[0]:g} to {xs[-1]:g}. {received(path=path)}"
            )
    ax = axes_or_new(ax)
    ax.plot(xs, losses, color=COLORS[0])
    lowest = xs[_lowest(losses)]
    if len(lowest) == 1:
        ax.plot(lowest, losses.min(), label=f"lowest at {lowest[0]:.3g}", **STAR)
    else:  # the perceptron's loss has a flat floor
        label = f"lowest from {lowest[0]:.3g} to {lowest[-1]:.3g}"
        ax.plot(
            lowest, np.full(len(lowest), losses.min()), color=COLORS[4], linewidth=6, label=label
        )
    if path is not None:
        heights = np.interp(path, xs, losses)
        ax.plot(path, heights, color=COLORS[1], marker="o", markersize=4, linewidth=1, label="path")
        ax.plot(path[0], heights[0], "s", color=COLORS[1], markersize=8, label="start")
    ax.legend()
    label_axes(ax, xlabel, ylabel)
    set_title(ax, title)
    return ax


@styled
def loss_surface(
    w1: Any,
    w2: Any,
    losses: Any,
    *,
    path: Any = None,
    levels: int | Sequence[float] = 14,
    ax: Axes | None = None,
    names: Sequence[str] = ("weight w₁", "weight w₂"),
    loss_label: str = "loss",
    title: str | None = None,
) -> Axes:
    """Draw the loss over two weights as a map: dark valleys, bright heights.

    Args:
        w1: N increasing values of the first weight, shape (N,).
        w2: M increasing values of the second weight, shape (M,).
        losses: The loss at each pair, shape (M, N): ``losses[j, i]`` belongs to
            ``(w1[i], w2[j])``, as with ``numpy.meshgrid(w1, w2)``.
        path: Pairs (w₁, w₂) that a training run went through, shape (P, 2), or None.
        levels: How many contour steps (2 to 60), or the increasing levels themselves.
        ax: Axes to draw on; None makes a new figure.
        names: Labels of the two axes.
        loss_label: Label of the colour bar.
        title: What the picture shows.

    Returns:
        The axes.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If shapes do not fit together.
    """
    w1, w2 = check_increasing("w1", w1), check_increasing("w2", w2)
    losses = check_array("losses", losses, shape=(len(w2), len(w1)))
    names = check_texts("names", names, 2)
    if np.ndim(levels) == 0:
        levels, extend = check_int("levels", levels, low=2, high=60), "neither"
    else:
        levels, extend = check_increasing("levels", levels), "both"
    if path is not None:
        path = check_array("path", path, shape=(None, 2))
    ax = axes_or_new(ax, (5.4, 4.0))
    filled = ax.contourf(w1, w2, losses, levels=levels, cmap="cividis", extend=extend)
    ax.contour(w1, w2, losses, levels=filled.levels[1:], colors="white", linewidths=0.4, alpha=0.6)
    lowest = _lowest(losses)
    if lowest.sum() == 1:
        row, column = np.argwhere(lowest)[0]
        ax.plot(w1[column], w2[row], label="lowest loss", **STAR)
    else:
        ax.contour(w1, w2, lowest.astype(float), levels=[0.5], colors=COLORS[4], linewidths=2.0)
        ax.plot([], [], color=COLORS[4], linewidth=2.5, label="all inside: lowest loss")
    if path is not None:
        outline = [patheffects.withStroke(linewidth=3.5, foreground="black")]
        ax.plot(*path.T, color="white", linewidth=1.6, path_effects=outline, label="path", zorder=5)
        ends = {"markeredgecolor": "black", "linestyle": "none", "zorder": 6}
        ax.plot(*path[0], marker="s", markersize=9, color="white", label="start", **ends)
        ax.plot(*path[-1], marker="o", markersize=9, color=COLORS[1], label="end", **ends)
    bar = ax.figure.colorbar(filled, ax=ax)
    bar.set_label(loss_label)
    ax.set_xlim(w1[0], w1[-1])
    ax.set_ylim(w2[0], w2[-1])
    ax.legend(facecolor="lightgrey", framealpha=0.9)
    label_axes(ax, *names)
    set_title(ax, title)
    return ax


@styled
def learning_curves(
    histories: Mapping[str, Any],
    *,
    metric: str = "loss",
    ax: Axes | None = None,
    first_epoch: int = 1,
    xlabel: str = "epoch",
    title: str | None = None,
) -> Axes:
    """Draw a score over the epochs, one curve a run, or a median with its spread over seeds.

    Args:
        histories: For each name the score after each of E epochs, shape (E,), or for S seeds,
            shape (S, E). Seeds become the median as a line and their minimum to maximum as a
            band. Keras' ``history.history`` has this form.
        metric: Label of the vertical axis, with its unit.
        ax: Axes to draw on; None makes a new figure.
        first_epoch: Number of the first epoch, >= 0; 0 when the score before training is there.
        xlabel: Label of the horizontal axis.
        title: What the picture shows.

    Returns:
        The axes.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a shape is wrong or a value is not finite.
    """
    arrays = {
        label: check_array(f"histories[{label!r}]", values, ndim=(1, 2))
        for label, values in _check_mapping("histories", histories).items()
    }
    first_epoch = check_int("first_epoch", first_epoch, low=0)
    legend_title = None
    ax = axes_or_new(ax)
    for index, (label, scores) in enumerate(arrays.items()):
        scores = np.atleast_2d(scores)  # (S, E)
        epochs = np.arange(first_epoch, first_epoch + scores.shape[1])
        color = COLORS[index]
        if len(scores) > 1:
            low, high = scores.min(axis=0), scores.max(axis=0)
            ax.fill_between(epochs, low, high, color=color, alpha=0.2, linewidth=0)
            label = f"{label} ({len(scores)} seeds)"
            legend_title = "median; band: lowest to highest"
        ax.plot(
            epochs,
            np.median(scores, axis=0),
            color=color,
            linestyle=LINE_STYLES[index % len(LINE_STYLES)],
            marker="o" if scores.shape[1] == 1 else None,
            label=label,
        )
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.legend(title=legend_title, title_fontsize=9)
    label_axes(ax, xlabel, metric)
    set_title(ax, title)
    return ax


def _lowest(losses: np.ndarray) -> np.ndarray:
    """Return the mask of the values that equal the smallest, up to rounding."""
    low, high = losses.min(), losses.max()
    return losses <= low + 1e-9 * (high - low)


def _check_mapping(name: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise TypeError(f"`{name}` must map names to arrays. {received(**{name: value})}")
    if not 1 <= len(value) <= len(COLORS):
        raise ValueError(
            f"`{name}` must hold 1 to {len(COLORS)} curves. {received(**{name: list(value)})}"
        )
    return {str(label): values for label, values in value.items()}
