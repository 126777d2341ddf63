"""Computations drawn as graphs: values flow to the right, gradients flow back."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import FancyArrowPatch

from dlnotes.plotting.style import COLORS, axes_or_new, set_title, styled
from dlnotes.validation import check_float, received

COLUMN_STEP, ROW_STEP = 2.6, 0.78
VALUE_COLOR, GRADIENT_COLOR = COLORS[0], COLORS[1]
MAX_NODES = 30


@styled
def computation_graph(
    values: Mapping[str, float],
    gradients: Mapping[tuple[str, str], float | None],
    *,
    output_gradient: float | None = 1.0,
    ax: Axes | None = None,
    title: str | None = None,
) -> Axes:
    """Draw a computation from left to right, with value and gradient written on each edge.

    Above each edge stands the value that flows along it (blue), below it the gradient that flows
    back (vermilion). A node stands to the right of all nodes that it is computed from; what is
    not computed, such as a weight, stands one column before its first use. In a column the nodes
    keep the order of `values`.

    Args:
        values: For each node its name, which is drawn, and its value. 2 to 30 nodes.
        gradients: For each edge, a pair (from, to) of names, the share of ∂output/∂from that
            comes back along it; None writes no gradient.
        output_gradient: What is written below the arrow that leaves the last node.
        ax: Axes to draw on; None makes a new figure.
        title: What the picture shows.

    Returns:
        The axes.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If an edge names no node, the edges form a cycle, a node has no edge, or not
            exactly one node is the output.
    """
    numbers = _check_values(values)
    edges = _check_edges(gradients, numbers)
    if output_gradient is not None:
        output_gradient = check_float("output_gradient", output_gradient)
    output = _output(numbers, edges)
    columns = _columns(numbers, edges)
    places = _places(columns, edges)

    right, tops = COLUMN_STEP * max(columns.values()), [place[1] for place in places.values()]
    width, height = right + 0.62 * COLUMN_STEP, max(tops) - min(tops)
    ax = axes_or_new(ax, (0.93 * width + 0.6, 0.85 * height + 1.1))
    lines = [(places[start], places[end]) for start, end in edges]
    shares = _label_places(lines)
    for (edge, gradient), line, share in zip(edges.items(), lines, shares, strict=True):
        _draw_edge(ax, *line, numbers[edge[0]], gradient, share)
    last = places[output] + np.array([width - right, 0.0])
    _draw_edge(ax, places[output], last, numbers[output], output_gradient, 0.55)
    for name, place in places.items():
        computed = any(end == name for _, end in edges)
        _draw_node(ax, place, name, computed)
    handles = [
        Line2D([], [], color=VALUE_COLOR, marker=r"$\rightarrow$", linestyle="none", markersize=14),
        Line2D(
            [], [], color=GRADIENT_COLOR, marker=r"$\leftarrow$", linestyle="none", markersize=14
        ),
    ]
    ax.legend(
        handles,
        ["value, on its way forward", "blame (gradient), on its way back"],
        loc="lower right",
        frameon=False,
    )
    ax.set_xlim(-0.4, width + 0.05)
    ax.set_ylim(min(tops) - 0.4, max(tops) + 0.4)
    ax.set_axis_off()
    set_title(ax, title)
    return ax


def _columns(values: Mapping[str, float], edges: Mapping[tuple[str, str], Any]) -> dict[str, int]:
    """Return each node's column: the longest way to it, or for inputs one before the first use."""
    columns = dict.fromkeys(values, 0)
    for _ in range(len(columns) + 1):
        before = dict(columns)
        for start, end in edges:
            columns[end] = max(columns[end], columns[start] + 1)
        if columns == before:
            break
    else:
        moving = [name for name in columns if columns[name] != before[name]]
        raise ValueError(
            f"`gradients` must not hold a cycle of edges. {received(in_or_after_it=moving)}"
        )
    computed = {end for _, end in edges}
    for name in values:
        if name not in computed:
            columns[name] = min(columns[end] for start, end in edges if start == name) - 1
    return columns


def _places(
    columns: Mapping[str, int], edges: Mapping[tuple[str, str], Any]
) -> dict[str, np.ndarray]:
    """Place each node at the height of what it is computed from, with room to its neighbours."""
    computed, heights = {end for _, end in edges}, {}
    for column in sorted(set(columns.values())):
        names = [name for name in columns if columns[name] == column]
        wanted = np.full(len(names), np.nan)
        for row, name in enumerate(names):
            before = [start for start, end in edges if end == name]
            before = [start for start in before if start in computed] or before
            if before:
                wanted[row] = np.mean([heights[start] for start in before])
        heights |= dict(zip(names, _spread(wanted), strict=True))
    return {name: np.array([COLUMN_STEP * columns[name], heights[name]]) for name in columns}


def _spread(wanted: np.ndarray) -> np.ndarray:
    """Return heights from top to bottom, near those wanted (NaN: any), at least a row apart."""
    rows, known = np.arange(len(wanted)), ~np.isnan(wanted)
    if not known.any():
        return ROW_STEP * ((len(wanted) - 1) / 2 - rows)
    first, last = rows[known][0], rows[known][-1]
    heights = np.interp(rows, rows[known], wanted[known])
    heights += ROW_STEP * (np.maximum(first - rows, 0) - np.maximum(rows - last, 0))
    for row in rows[1:]:
        heights[row] = min(heights[row], heights[row - 1] - ROW_STEP)
    return heights


def _label_places(lines: list[tuple[np.ndarray, np.ndarray]]) -> list[float]:
    """Choose for each edge how far along it its numbers stand, away from all other numbers."""
    size = np.array([0.62, 0.42])  # of the two numbers, in the drawing's units
    taken: list[np.ndarray] = []
    shares = []
    for index, (start, end) in enumerate(lines):
        others = lines[:index] + lines[index + 1 :]
        scores = {}
        for share in np.linspace(0.22, 0.62, 21):
            place = start + share * (end - start)
            gaps = [np.max(abs(place - other) / size) for other in taken]
            crossings = [_gap(place, *line) / size[1] for line in others]
            scores[share] = min([1.0, *gaps]) + min([0.7, *crossings]) - 0.2 * abs(share - 0.35)
        best = max(scores, key=scores.get)
        shares.append(float(best))
        taken.append(start + best * (end - start))
    return shares


def _gap(place: np.ndarray, start: np.ndarray, end: np.ndarray) -> float:
    """Return the vertical distance of a place to an edge; large where the edge does not reach."""
    if not min(start[0], end[0]) <= place[0] <= max(start[0], end[0]):
        return np.inf
    share = (place[0] - start[0]) / (end[0] - start[0])
    return float(abs(start[1] + share * (end[1] - start[1]) - place[1]))


def _draw_edge(
    ax: Axes,
    start: np.ndarray,
    end: np.ndarray,
    value: float,
    gradient: float | None,
    share: float,
) -> None:
    arrow = FancyArrowPatch(
        start,
        end,
        arrowstyle="-|>",
        mutation_scale=9,
        shrinkA=13,
        shrinkB=15,
        color="0.6",
        linewidth=1.0,
        zorder=1,
    )
    ax.add_patch(arrow)
    place, (run, rise) = start + share * (end - start), end - start
    above = 0.03 * np.array([-rise, run]) / np.hypot(run, rise)
    for text, color, align, offset in (
        (_number(value), VALUE_COLOR, "bottom", above),
        ("" if gradient is None else _number(gradient), GRADIENT_COLOR, "top", -above),
    ):
        ax.text(
            *(place + offset),
            text,
            color=color,
            fontsize=9,
            ha="center",
            va=align,
            rotation=np.degrees(np.arctan2(rise, run)),
            rotation_mode="anchor",
            transform_rotates_text=True,
            zorder=3,
        )


def _draw_node(ax: Axes, place: np.ndarray, name: str, computed: bool) -> None:
    box = {
        "boxstyle": "circle,pad=0.25" if computed else "round,pad=0.3",
        "facecolor": "white" if computed else "0.92",
        "edgecolor": "black",
    }
    ax.text(*place, name, ha="center", va="center", fontsize=10, bbox=box, zorder=4)


def _number(value: float) -> str:
    value += 0.0  # −0 becomes 0
    text = f"{value:.2g}" if abs(value) < 0.095 else f"{value:.2f}"
    return text.replace("-", "−")


def _check_values(values: Any) -> dict[str, float]:
    if not isinstance(values, Mapping):
        raise TypeError(
            f"`values` must be a mapping of names to numbers. {received(values=values)}"
        )
    if not 2 <= len(values) <= MAX_NODES:
        raise ValueError(
            f"`values` must hold 2 to {MAX_NODES} nodes. Received: {len(values)} nodes"
        )
    for name in values:
        if not isinstance(name, str) or not name:
            raise TypeError(f"`values` must have texts as names. {received(name=name)}")
    return {name: check_float(f"values[{name!r}]", value) for name, value in values.items()}


def _check_edges(gradients: Any, values: Mapping[str, float]) -> dict[tuple[str, str], Any]:
    if not isinstance(gradients, Mapping):
        raise TypeError(
            "`gradients` must be a mapping of (from, to) to numbers. "
            f"{received(gradients=gradients)}"
        )
    edges = {}
    for edge, gradient in gradients.items():
        if not isinstance(edge, tuple) or len(edge) != 2:
            raise TypeError(
                f"`gradients` must have pairs (from, to) as edges. {received(edge=edge)}"
            )
        for name in edge:
            if name not in values:
                raise ValueError(
                    f"`gradients` must name nodes of `values`. {received(edge=edge, unknown=name)}"
                )
        name = f"gradients[{edge!r}]"
        edges[edge] = None if gradient is None else check_float(name, gradient)
    alone = [name for name in values if not any(name in edge for edge in edges)]
    if alone:
        raise ValueError(f"`gradients` must give each node an edge. {received(without=alone)}")
    return edges


def _output(values: Mapping[str, float], edges: Mapping[tuple[str, str], Any]) -> str:
    last = [name for name in values if not any(start == name for start, _ in edges)]
    if len(last) != 1:
        raise ValueError(
            "`gradients` must lead to exactly one output. " + received(without_followers=last)
        )
    return last[0]
