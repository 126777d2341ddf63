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
# Of several paths on one map, which runs from dark blue to yellow: colour and shape of the end.
PATH_COLORS = ("white", COLORS[1], COLORS[5], COLORS[3])
PATH_ENDS = ("o", "D", "^", "v")


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
    colorbar: bool = True,
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
        path: Pairs (w₁, w₂) that a training run went through, shape (P, 2); for several runs
            up to four such arrays by name; or None.
        levels: How many contour steps (2 to 60), or the increasing levels themselves.
        colorbar: Whether a bar beside the map tells its colours' losses.
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
    paths = _check_paths(path)
    ax = axes_or_new(ax, (5.4, 4.0))
    filled = ax.contourf(w1, w2, losses, levels=levels, cmap="cividis", extend=extend)
    ax.contour(w1, w2, losses, levels=filled.levels[1:], colors="white", linewidths=0.4, alpha=0.6)
    lowest = _lowest(losses)
    if lowest.sum() == 1:
        row, column = np.argwhere(lowest)[0]
        # the ends of several paths would hide the goal
        star = {**STAR, "zorder": 8} if len(paths) > 1 else STAR
        ax.plot(w1[column], w2[row], label="lowest loss", **star)
    else:
        ax.contour(w1, w2, lowest.astype(float), levels=[0.5], colors=COLORS[4], linewidths=2.0)
        ax.plot([], [], color=COLORS[4], linewidth=2.5, label="all inside: lowest loss")
    ends = {"markeredgecolor": "black", "linestyle": "none"}
    start = {"marker": "s", "markersize": 9, "color": "white", "label": "start", "zorder": 6}
    alone = len(paths) == 1
    width = 1.6 if alone else 0.7
    outline = [patheffects.withStroke(linewidth=2.2 * width, foreground="black")]
    for index, (label, points) in enumerate(paths.items()):
        color, marker = PATH_COLORS[index], PATH_ENDS[index]
        # the first path lies on top
        line = {
            "color": color,
            "linewidth": width,
            "path_effects": outline,
            "zorder": 5 - index / 10,
        }
        if alone:  # the line carries the name; with several the ends, whose shapes differ
            ax.plot(*points.T, label=label, **line)
            color, label = COLORS[1], "end"
        else:
            ax.plot(*points.T, label=f"_{label}", **line)
        ax.plot(*points[0], **start, **ends)
        ax.plot(
            *points[-1], marker=marker, markersize=9, color=color, label=label, zorder=7, **ends
        )
        start["label"] = "_start"
    if colorbar:
        ax.figure.colorbar(filled, ax=ax).set_label(loss_label)
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
    xs: Any = None,
    log_x: bool = False,
    percent: bool = False,
    repeats: str = "seeds",
    xlabel: str | None = None,
    title: str | None = None,
) -> Axes:
    """Draw a score over the epochs, or over training-set sizes, with its spread over seeds.

    Args:
        histories: For each name the score after each of E epochs, shape (E,), or for S seeds,
            shape (S, E). Seeds become the median as a line and their minimum to maximum as a
            band. Keras' ``history.history`` has this form.
        metric: Label of the vertical axis, with its unit.
        ax: Axes to draw on; None makes a new figure.
        first_epoch: Number of the first epoch, >= 0; 0 when the score before training is there.
            Not used with `xs`.
        xs: What the E scores were measured at instead of epochs, such as numbers of training
            examples, increasing, shape (E,), E >= 2; each is marked. None counts epochs.
        log_x: Whether equal steps to the right are equal factors; needs `xs` >= 0. A first 0, which
            has no place on such an axis, stands one step left of the next, and its tick says 0.
        percent: Whether scores from 0 to 1 are written as percentages.
        repeats: What the S rows are, as the legend shall call them, such as "splits".
        xlabel: Label of the horizontal axis; None writes "epoch", or "training examples" with `xs`.
        title: What the picture shows.

    Returns:
        The axes.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a shape is wrong, a value is not finite, or `log_x` has no `xs` >= 0.
    """
    arrays = {
        label: check_array(f"histories[{label!r}]", values, ndim=(1, 2))
        for label, values in _check_mapping("histories", histories).items()
    }
    first_epoch = check_int("first_epoch", first_epoch, low=0)
    if not isinstance(repeats, str):
        raise TypeError(f"`repeats` must be a text. {received(repeats=repeats)}")
    if xs is not None:
        xs = check_increasing("xs", xs)
        for label, scores in arrays.items():
            if scores.shape[-1] != len(xs):
                raise ValueError(
                    f"`histories[{label!r}]` must have one score for each of the {len(xs)} `xs`. "
                    f"Received: histories[{label!r}].shape={scores.shape}"
                )
    if log_x and (xs is None or xs[0] < 0):
        raise ValueError(f"`log_x` must be False without `xs` >= 0. {received(xs=xs)}")
    places = xs
    if log_x and xs[0] == 0:
        step = xs[2] / xs[1] if len(xs) > 2 else 10
        places = np.array([xs[1] / step, *xs[1:]])
    legend_title = None
    ax = axes_or_new(ax)
    for index, (label, scores) in enumerate(arrays.items()):
        scores = np.atleast_2d(scores)  # (S, E)
        steps = np.arange(first_epoch, first_epoch + scores.shape[1]) if xs is None else places
        color = COLORS[index]
        if len(scores) > 1:
            low, high = scores.min(axis=0), scores.max(axis=0)
            ax.fill_between(steps, low, high, color=color, alpha=0.2, linewidth=0)
            label = f"{label} ({len(scores)} {repeats})"
            legend_title = "median; band: lowest to highest"
        ax.plot(
            steps,
            np.median(scores, axis=0),
            color=color,
            linestyle=LINE_STYLES[index % len(LINE_STYLES)],
            marker="o" if xs is not None or scores.shape[1] == 1 else None,
            label=label,
        )
    if log_x:
        ax.set_xscale("log")
        ax.set_xticks(places, [f"{x:,g}" for x in xs])
        ax.minorticks_off()
    elif xs is None:
        ax.xaxis.get_major_locator().set_params(integer=True)
    if percent:
        ax.yaxis.set_major_formatter(lambda score, _: f"{round(100 * score, 6):g}%")
    ax.legend(title=legend_title, title_fontsize=9)
    label_axes(ax, xlabel or ("epoch" if xs is None else "training examples"), metric)
    set_title(ax, title)
    return ax


def _lowest(losses: np.ndarray) -> np.ndarray:
    """Return the mask of the values that equal the smallest, up to rounding."""
    low, high = losses.min(), losses.max()
    return losses <= low + 1e-9 * (high - low)


def _check_paths(value: Any) -> dict[str, np.ndarray]:
    if value is None:
        return {}
    paths = value if isinstance(value, Mapping) else {"path": value}
    if not 1 <= len(paths) <= len(PATH_COLORS):
        raise ValueError(
            f"`path` must hold 1 to {len(PATH_COLORS)} paths. {received(path=list(paths))}"
        )
    return {
        str(label): check_array(
            f"path[{label!r}]" if paths is value else "path", points, shape=(None, 2)
        )
        for label, points in paths.items()
    }


def _check_mapping(name: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise TypeError(f"`{name}` must map names to arrays. {received(**{name: value})}")
    if not 1 <= len(value) <= len(COLORS):
        raise ValueError(
            f"`{name}` must hold 1 to {len(COLORS)} curves. {received(**{name: list(value)})}"
        )
    return {str(label): values for label, values in value.items()}
