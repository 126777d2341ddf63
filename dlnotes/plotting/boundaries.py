"""Points in a plane, the regions that a classifier gives to each class, and the line between."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, Normalize, to_rgb
from matplotlib.figure import Figure

from dlnotes.plotting.style import (
    COLORS,
    MARKERS,
    axes_or_new,
    check_texts,
    label_axes,
    plt,
    set_title,
    styled,
)
from dlnotes.validation import check_array, check_float, check_int, check_same_length, received


@dataclass(frozen=True)
class Grid:
    """A square lattice over a plane, at whose points a classifier is asked.

    Attributes:
        xx: First coordinate of each lattice point, shape (R, R), growing along a row.
        yy: Second coordinate, shape (R, R), growing from row to row.
        points: The same lattice as rows (x, y), shape (R·R, 2): what a model predicts on.
    """

    xx: np.ndarray
    yy: np.ndarray
    points: np.ndarray

    @property
    def limits(self) -> tuple[float, float, float, float]:
        """The corners ``(left, right, bottom, top)``."""
        return (self.xx[0, 0], self.xx[0, -1], self.yy[0, 0], self.yy[-1, 0])


def grid(x: Any, *, margin: float = 0.5, resolution: int = 200) -> Grid:
    """Return a lattice that covers data points with a margin on every side.

    Args:
        x: Points of shape (B, 2).
        margin: Free space around the points, in the data's units, >= 0.
        resolution: Lattice points R along each side, 2 to 1000.

    Raises:
        TypeError: If `x` does not hold numbers or `resolution` is not an integer.
        ValueError: If a shape or a value is out of range.

    Example:
        >>> lattice = grid([[0.0, 0.0], [1.0, 2.0]], margin=1, resolution=3)
        >>> lattice.points.shape, lattice.limits == (-1, 2, -1, 3)
        ((9, 2), True)
    """
    x = check_array("x", x, shape=(None, 2))
    margin = check_float("margin", margin, low=0)
    resolution = check_int("resolution", resolution, low=2, high=1000)
    low, high = x.min(axis=0) - margin, x.max(axis=0) + margin
    if not (high > low).all():
        raise ValueError(
            "`margin` must be > 0 when all points share a coordinate. " + received(margin=margin)
        )
    xx, yy = np.meshgrid(
        np.linspace(low[0], high[0], resolution), np.linspace(low[1], high[1], resolution)
    )
    return Grid(xx, yy, np.column_stack([xx.ravel(), yy.ravel()]))


@styled
def scatter_classes(
    x: Any,
    y: Any,
    *,
    ax: Axes | None = None,
    class_names: Sequence[str] | None = None,
    feature_names: Sequence[str] | None = None,
    highlight: Any = None,
    size: float = 28,
    legend: bool = True,
    title: str | None = None,
) -> Axes:
    """Draw points with one colour and one marker a class.

    Args:
        x: Points of shape (B, 2).
        y: Class of each point, shape (B,): whole numbers 0, 1, … 9, or the two labels −1 and +1.
        ax: Axes to draw on; None makes a new figure.
        class_names: One name a class, in the order of the class numbers.
        feature_names: Labels of the two axes, with units.
        highlight: Rows to circle, as a mask of shape (B,) or as row numbers; for example those
            that the classifier gets wrong.
        size: Marker area in points².
        legend: Whether to draw the legend.
        title: What the picture shows.

    Returns:
        The axes.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If shapes differ or a class is out of range.
    """
    x = check_array("x", x, shape=(None, 2))
    y = _check_classes("y", y)
    check_same_length(x=x, y=y)
    size = check_float("size", size, low=0, open_low=True)
    signed = bool((y < 0).any())
    names = _class_names(class_names, y, signed)
    feature_names = check_texts("feature_names", feature_names, 2) or ("x₁", "x₂")
    rows = _check_rows(highlight, len(x))
    ax = axes_or_new(ax)
    for label in np.unique(y):
        index = _color_index(label)
        rows_of_class = y == label
        ax.scatter(
            *x[rows_of_class].T,
            s=size,
            color=COLORS[index],
            marker=MARKERS[index],
            edgecolors="white",
            linewidths=0.6,
            label=names[index],
            zorder=3,
        )
    if len(rows):
        ax.scatter(
            *x[rows].T,
            s=size * 4.5,
            facecolors="none",
            edgecolors="black",
            linewidths=1.4,
            zorder=4,
            gid="highlight",
        )
    label_axes(ax, *feature_names)
    if legend:
        ax.legend(loc="best")
    set_title(ax, title)
    return ax


@styled
def decision_regions(
    grid: Grid,
    values: Any,
    x: Any = None,
    y: Any = None,
    *,
    ax: Axes | None = None,
    class_names: Sequence[str] | None = None,
    feature_names: Sequence[str] | None = None,
    threshold: float | None = None,
    value_label: str | None = None,
    highlight: Any = None,
    legend: bool = True,
    title: str | None = None,
) -> Axes:
    """Shade the plane by a classifier's answers, and draw the data points on top.

    What `values` holds decides how the plane is shaded. N = R·R is the number of grid points.

    * whole numbers (N,): class numbers, or −1 and +1; flat regions with a line between them;
    * floats (N,): scores or the probability of the second class; the colour fades towards the
      boundary, which is drawn where the value equals `threshold`;
    * floats (N, C): one score or probability a class; the largest wins, and regions are paler
      where its lead over the second is smaller.

    Args:
        grid: The lattice that `values` was computed on.
        values: The classifier's answers at ``grid.points``.
        x: Data points of shape (B, 2), or None.
        y: Their classes, shape (B,), or None; given together with `x`.
        ax: Axes to draw on; None makes a new figure.
        class_names: One name a class, in the order of the class numbers.
        feature_names: Labels of the two axes, with units.
        threshold: The value on the boundary for floats (N,). None means 0.5 when all values lie
            in [0, 1], else 0.
        value_label: For floats (N,): adds a colour bar with this label.
        highlight: Rows of `x` to circle, as a mask or as row numbers.
        legend: Whether to name the classes.
        title: What the picture shows.

    Returns:
        The axes.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If shapes do not fit together or a class is out of range.
    """
    if not isinstance(grid, Grid):
        raise TypeError(f"`grid` must be a Grid, as made by grid(x). {received(grid=grid)}")
    values = check_array("values", values, ndim=(1, 2), dtype=None)
    if len(values) != grid.xx.size:
        raise ValueError(
            f"`values` must hold one row for each of the {grid.xx.size} grid points. "
            f"Received: values.shape={values.shape}"
        )
    if values.ndim == 2 and values.shape[1] == 1:  # Keras' Dense(1)
        values = values[:, 0]
    if values.ndim == 2 and not 2 <= values.shape[1] <= len(COLORS):
        raise ValueError(
            f"`values` must have 2 to {len(COLORS)} columns, one a class. "
            f"Received: values.shape={values.shape}"
        )
    if (x is None) != (y is None):
        raise ValueError(f"`x` and `y` must be given together. {received(x=x, y=y)}")
    if threshold is not None:
        threshold = check_float("threshold", threshold)
    y_known = None if y is None else _check_classes("y", y)

    hard = values.ndim == 1 and values.dtype.kind != "f"
    if hard:
        values = _check_classes("values", values)
        _check_same_labels(values, y_known)
    ax = axes_or_new(ax)
    if hard:
        _hard_regions(ax, grid, values)
    elif values.ndim == 1:
        _soft_regions(ax, grid, values, threshold, value_label)
    else:
        _class_regions(ax, grid, values)
    ax.set_xlim(grid.limits[:2])
    ax.set_ylim(grid.limits[2:])
    feature_names = check_texts("feature_names", feature_names, 2) or ("x₁", "x₂")
    if x is not None:
        scatter_classes(
            x,
            y,
            ax=ax,
            class_names=class_names,
            feature_names=feature_names,
            highlight=highlight,
            legend=legend,
        )
    elif legend and hard:
        names = _class_names(class_names, values, bool((values < 0).any()))
        for label in np.unique(values):
            index = _color_index(label)
            ax.fill([], [], color=_tint(COLORS[index], 0.35), label=names[index])
        ax.legend(loc="best")
    label_axes(ax, *feature_names)
    set_title(ax, title)
    return ax


@styled
def line(
    weights: Any,
    bias: float,
    *,
    ax: Axes | None = None,
    xlim: tuple[float, float] | None = None,
    ylim: tuple[float, float] | None = None,
    normal: bool = False,
    label: str | None = None,
    color: Any = "black",
    **line_options: Any,
) -> Axes:
    """Draw the line w₁x₁ + w₂x₂ + b = 0, cut to the limits of the axes.

    Works for every direction, vertical lines too. The limits of the axes stay as they are. A line
    that misses the axes is noted in a corner in words, as nothing of it can be seen.

    Args:
        weights: The pair (w₁, w₂), not both zero.
        bias: The number b.
        ax: Axes to draw on; None makes a new figure that spans [−1, 1] unless told otherwise.
        xlim: New limits of the first axis, or None to keep them.
        ylim: New limits of the second axis, or None to keep them.
        normal: Whether to draw the arrow w from the line towards the side of positive scores. It
            looks perpendicular only where both axes have the same scale.
        label: Name of the line in a legend.
        color: Colour of line and arrow.
        **line_options: More options of ``Axes.plot``, such as ``linewidth`` or ``linestyle``.

    Returns:
        The axes.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If both weights are zero (there is no line then) or a limit is empty.
    """
    w = check_array("weights", weights, shape=(2,))
    b = check_float("bias", bias)
    if not w.any():
        raise ValueError(f"`weights` must not both be zero: no line. {received(weights=w, bias=b)}")
    limits = [_check_limits("xlim", xlim), _check_limits("ylim", ylim)]
    if ax is None:
        ax = axes_or_new(None)
        limits = [(-1.0, 1.0) if limit is None else limit for limit in limits]
        label_axes(ax, "x₁", "x₂")
    ax = axes_or_new(ax)
    if limits[0] is not None:
        ax.set_xlim(limits[0])
    if limits[1] is not None:
        ax.set_ylim(limits[1])
    low = np.array([min(ax.get_xlim()), min(ax.get_ylim())])
    high = np.array([max(ax.get_xlim()), max(ax.get_ylim())])
    ends = _clip_line(w, b, low, high)
    options = {"zorder": 5, **line_options}
    ax.plot(*ends.T, color=color, label=label, scalex=False, scaley=False, **options)
    if not len(ends):
        ax.annotate(
            "line outside the view",
            (0.03, 0.03),
            xycoords="axes fraction",
            fontsize=9,
            color=color,
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 2},
            zorder=6,
        )
    elif normal:
        _arrow(ax, ends.mean(axis=0), w, high - low, color)
    return ax


@styled
def small_multiples(
    num_panels: int,
    *,
    columns: int = 4,
    panel_size: tuple[float, float] = (2.4, 2.2),
    sharex: bool = True,
    sharey: bool = True,
    title: str | None = None,
) -> tuple[Figure, np.ndarray]:
    """Return a figure with equal panels, for one picture repeated while one thing changes.

    Only the outer panels carry tick labels when axes are shared; helpers of this package label
    those alone. One legend for all panels:
    ``figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)``.

    Args:
        num_panels: Number of panels, 1 to 64.
        columns: Panels a row, 1 to 12.
        panel_size: Width and height of one panel in inches.
        sharex: Whether all panels have the same first axis.
        sharey: Whether all panels have the same second axis.
        title: Title above all panels.

    Returns:
        The figure and a flat array of its `num_panels` axes, row by row.

    Raises:
        TypeError: If a count is not an integer.
        ValueError: If a count or a size is out of range.
    """
    num_panels = check_int("num_panels", num_panels, low=1, high=64)
    columns = min(check_int("columns", columns, low=1, high=12), num_panels)
    width, height = check_array("panel_size", panel_size, shape=(2,))
    check_float("panel_size", min(width, height), low=0, open_low=True)
    rows = -(-num_panels // columns)
    figure, axes = plt.subplots(
        rows,
        columns,
        figsize=(columns * width, rows * height + (0.35 if title else 0)),
        sharex=bool(sharex),
        sharey=bool(sharey),
        squeeze=False,
    )
    axes = axes.ravel()
    for ax in axes[num_panels:]:
        ax.set_visible(False)
    for ax in axes[max(0, num_panels - columns) : num_panels]:  # lowest visible of each column
        ax.tick_params(labelbottom=True)
    if title is not None:
        figure.suptitle(title, x=0.01, ha="left")
    return figure, axes[:num_panels]


@styled
def region_panels(
    grid: Grid,
    panels: Mapping[str, Any],
    x: Any = None,
    y: Any = None,
    *,
    columns: int = 3,
    panel_size: tuple[float, float] = (3.0, 2.6),
    feature_names: Sequence[str] | None = None,
    threshold: float | None = None,
) -> np.ndarray:
    """Draw the answers of several classifiers side by side, one panel each, over the same points.

    Args:
        grid: The lattice that all values were computed on.
        panels: For each title the classifier's answers at ``grid.points``, in one of the forms
            that `decision_regions` takes; 1 to 64 panels.
        x: Data points of shape (B, 2), drawn in every panel, or None.
        y: Their classes, shape (B,), or None; given together with `x`.
        columns: Panels a row, 1 to 12.
        panel_size: Width and height of one panel in inches.
        feature_names: Labels of the two axes, with units.
        threshold: The value on the boundary for floats; None chooses as `decision_regions` does.

    Returns:
        A flat array of the axes, in the order of `panels`.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If there is no panel, shapes do not fit together or a class is out of range.
    """
    if not isinstance(panels, Mapping):
        raise TypeError(f"`panels` must map titles to values. {received(panels=panels)}")
    if not panels:
        raise ValueError(f"`panels` must hold at least one panel. {received(panels=panels)}")
    _, axes = small_multiples(len(panels), columns=columns, panel_size=panel_size)
    for ax, (title, values) in zip(axes, panels.items(), strict=True):
        decision_regions(
            grid,
            values,
            x,
            y,
            ax=ax,
            feature_names=feature_names,
            threshold=threshold,
            legend=False,
            title=title,
        )
    return axes


def _hard_regions(ax: Axes, grid: Grid, classes: np.ndarray) -> None:
    index = np.array([_color_index(label) for label in classes]).reshape(grid.xx.shape)
    palette = np.array([_tint(color, 0.35) for color in COLORS])
    _image(ax, grid, palette[index])
    for label in np.unique(index):
        _boundary(ax, grid, (index == label) - 0.5)


def _class_regions(ax: Axes, grid: Grid, values: np.ndarray) -> None:
    index = values.argmax(axis=1).reshape(grid.xx.shape)
    second, first = np.sort(values, axis=1)[:, -2:].T
    lead = first - second
    strength = (0.08 + 0.37 * lead / max(lead.max(), 1e-12)).reshape(grid.xx.shape)
    palette = np.array([to_rgb(color) for color in COLORS])
    _image(ax, grid, 1 - strength[..., None] * (1 - palette[index]))
    for label in np.unique(index):
        others = np.delete(values, label, axis=1).max(axis=1)
        _boundary(ax, grid, (values[:, label] - others).reshape(grid.xx.shape))


def _soft_regions(
    ax: Axes, grid: Grid, values: np.ndarray, threshold: float | None, value_label: str | None
) -> None:
    if threshold is None:
        threshold = 0.5 if values.min() >= 0 and values.max() <= 1 else 0.0
    reach = max(abs(values - threshold).max(), 1e-12)
    fade = LinearSegmentedColormap.from_list(
        "classes", [_tint(COLORS[0], 0.55), (1, 1, 1), _tint(COLORS[1], 0.55)]
    )
    surface = values.reshape(grid.xx.shape)
    image = _image(
        ax, grid, surface, cmap=fade, norm=Normalize(threshold - reach, threshold + reach)
    )
    if surface.min() < threshold < surface.max():
        _boundary(ax, grid, surface - threshold)
    if value_label is not None:
        bar = ax.figure.colorbar(image, ax=ax)
        bar.set_label(value_label)
        bar.ax.axhline(threshold, color="black", linewidth=1.4)


def _boundary(ax: Axes, grid: Grid, surface: np.ndarray) -> None:
    if surface.min() < 0 < surface.max():
        ax.contour(grid.xx, grid.yy, surface, levels=[0], colors="black", linewidths=1.2)


def _image(ax: Axes, grid: Grid, pixels: np.ndarray, **options: Any) -> Any:
    left, right, bottom, top = grid.limits
    half_x = (right - left) / (grid.xx.shape[1] - 1) / 2
    half_y = (top - bottom) / (grid.xx.shape[0] - 1) / 2
    return ax.imshow(
        pixels,
        extent=(left - half_x, right + half_x, bottom - half_y, top + half_y),
        origin="lower",
        aspect="auto",
        interpolation="nearest",
        zorder=0,
        **options,
    )


def _clip_line(w: np.ndarray, b: float, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Return the two ends of w·x + b = 0 inside a box, shape (2, 2), or (0, 2) if it misses."""
    # In coordinates where the box is the unit square, scales of the axes cannot spoil precision.
    span = high - low
    b = float(w @ low + b)
    w = w * span
    scale = abs(w).max()
    w, b = w / scale, b / scale
    start, direction = -b * w / (w @ w), np.array([-w[1], w[0]])
    enter, leave = -np.inf, np.inf
    for position, step in zip(start, direction, strict=True):
        if abs(step) < 1e-12:  # parallel to this pair of edges
            if not -1e-12 <= position <= 1 + 1e-12:
                return np.empty((0, 2))
            continue
        first, second = sorted([-position / step, (1 - position) / step])
        enter, leave = max(enter, first), min(leave, second)
    if enter > leave:
        return np.empty((0, 2))
    return low + span * np.array([start + enter * direction, start + leave * direction])


def _arrow(ax: Axes, tail: np.ndarray, w: np.ndarray, span: np.ndarray, color: Any) -> None:
    head = tail + w * 0.18 / np.max(abs(w) / span)
    ax.annotate(
        "",
        xy=head,
        xytext=tail,
        arrowprops={
            "arrowstyle": "-|>",
            "color": color,
            "linewidth": 1.6,
            "shrinkA": 0,
            "shrinkB": 0,
        },
        zorder=6,
        annotation_clip=False,
    )
    ax.annotate(
        "w",
        head,
        xytext=(5, 5),
        textcoords="offset points",
        fontsize=10,
        fontweight="bold",
        color=color,
        zorder=6,
    )


def _tint(color: str, strength: float) -> tuple[float, ...]:
    return tuple(1 - strength * (1 - channel) for channel in to_rgb(color))


def _color_index(label: int) -> int:
    return 0 if label < 0 else int(label)


def _check_classes(name: str, value: Any) -> np.ndarray:
    array = check_array(name, value, ndim=1, dtype=None)
    if (array != np.round(array)).any():
        raise ValueError(
            f"`{name}` must hold class numbers 0, 1, … or −1 and +1. {received(**{name: value})}"
        )
    array = array.astype(np.int64)
    signed = array.min() < 0
    if array.max() >= len(COLORS) or (signed and not np.isin(array, (-1, 1)).all()):
        raise ValueError(
            f"`{name}` must hold class numbers 0 to {len(COLORS) - 1}, or −1 and +1. "
            f"{received(**{name: np.unique(array).tolist()})}"
        )
    return array


def _check_same_labels(values: np.ndarray, y: np.ndarray | None) -> None:
    if y is not None and not np.isin(values, (-1, 1)).all() and (y < 0).any():
        _raise_mixed(values, y)
    if y is not None and not np.isin(y, (-1, 1)).all() and (values < 0).any():
        _raise_mixed(values, y)


def _raise_mixed(values: np.ndarray, y: np.ndarray) -> None:
    raise ValueError(
        "`values` and `y` must name the classes alike, as 0 and 1 or as −1 and +1. "
        f"{received(values=np.unique(values).tolist(), y=np.unique(y).tolist())}"
    )


def _class_names(names: Any, y: np.ndarray, signed: bool) -> tuple[str, ...]:
    needed = 2 if signed else int(y.max()) + 1
    if names is None:
        return ("−1", "+1") if signed else tuple(f"class {index}" for index in range(needed))
    names = check_texts("class_names", names)
    if len(names) < needed:
        raise ValueError(
            f"`class_names` must name the {needed} classes. {received(class_names=list(names))}"
        )
    return names


def _check_rows(highlight: Any, num_rows: int) -> np.ndarray:
    if highlight is None or np.size(highlight) == 0:
        return np.array([], dtype=int)
    rows = check_array("highlight", highlight, ndim=1, dtype=None)
    if rows.dtype.kind == "b":
        if len(rows) != num_rows:
            raise ValueError(
                f"`highlight` must be a mask of {num_rows} rows. "
                f"Received: highlight.shape={rows.shape}"
            )
        return np.flatnonzero(rows)
    if rows.dtype.kind == "f" or rows.min() < 0 or rows.max() >= num_rows:
        raise ValueError(
            f"`highlight` must hold row numbers 0 to {num_rows - 1}. "
            f"{received(highlight=highlight)}"
        )
    return rows


def _check_limits(name: str, limits: Any) -> tuple[float, float] | None:
    if limits is None:
        return None
    low, high = check_array(name, limits, shape=(2,))
    if not low < high:
        raise ValueError(f"`{name}` must be a pair (low, high). {received(**{name: limits})}")
    return float(low), float(high)


@styled
def separating_lines(
    x: Any,
    y: Any,
    lines: Mapping[str, tuple[Any, float]] | Sequence[tuple[Any, float]],
    *,
    ax: Axes | None = None,
    class_names: Sequence[str] | None = None,
    feature_names: Sequence[str] | None = None,
    highlight: Any = None,
    xlim: tuple[float, float] | None = None,
    ylim: tuple[float, float] | None = None,
    title: str | None = None,
) -> Axes:
    """Draw data points of several classes and, over them, several lines w₁x₁ + w₂x₂ + b = 0.

    Args:
        x: Data points of shape (B, 2).
        y: Their classes, shape (B,).
        lines: Pairs (weights, bias). A mapping names them: they are drawn from pale to black, in
            its order, with a legend. A sequence is drawn in one grey, as a bundle.
        ax: Axes to draw on; None makes a new figure.
        class_names: One name a class; None leaves the classes out of the legend.
        feature_names: Labels of the two axes, with units.
        highlight: Rows of `x` to circle, as a mask or as row numbers.
        xlim: Limits of the first axis, or None for those of the data.
        ylim: Limits of the second axis, or None for those of the data.
        title: What the picture shows.

    Returns:
        The axes.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If shapes do not fit together, or a line has no direction.
    """
    if not isinstance(lines, Mapping | Sequence) or isinstance(lines, str):
        raise TypeError(
            f"`lines` must be a mapping or a sequence of (weights, bias). {received(lines=lines)}"
        )
    pairs = list(lines.values()) if isinstance(lines, Mapping) else list(lines)
    for pair in pairs:
        if not isinstance(pair, tuple) or len(pair) != 2:
            raise ValueError(f"Each line must be a pair (weights, bias). {received(line=pair)}")
    ax = scatter_classes(
        x,
        y,
        ax=ax,
        class_names=class_names,
        feature_names=feature_names,
        highlight=highlight,
        size=14,
        legend=class_names is not None,
        title=title,
    )
    ax.set_xlim(_check_limits("xlim", xlim) or ax.get_xlim())
    ax.set_ylim(_check_limits("ylim", ylim) or ax.get_ylim())
    points = ax.get_legend_handles_labels()[0] if class_names is None else []
    if not isinstance(lines, Mapping):
        for weights, bias in pairs:
            line(weights, bias, ax=ax, color="#888888", linewidth=0.9)
        return ax
    for number, (name, (weights, bias)) in enumerate(lines.items(), start=1):
        shade = str(round(0.75 * (len(lines) - number) / max(1, len(lines) - 1), 3))  # "0" is black
        line(weights, bias, ax=ax, color=shade, label=name)
    handles = [h for h in ax.get_legend_handles_labels()[0] if h not in points]
    if handles:
        ax.legend(handles=handles)
    return ax
