"""Small networks drawn as nodes and weighted edges."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Circle

from dlnotes.plotting.style import COLORS, axes_or_new, check_texts, set_title, styled
from dlnotes.validation import check_array, check_int, received

RADIUS = 0.3
ROW_STEP = 1.15


@styled
def network_graph(
    layer_sizes: Sequence[int],
    *,
    weights: Sequence[Any] | None = None,
    node_labels: Sequence[Sequence[str]] | None = None,
    edge_labels: str | Sequence[Any] | None = None,
    layer_names: Sequence[str] | None = None,
    ax: Axes | None = None,
    title: str | None = None,
) -> Axes:
    r"""Draw a small fully connected network, layer by layer from left to right.

    The indices are those of the course: :math:`w_{ij}^k` leads from node i of layer k − 1 to node
    j of layer k, counted from 1; the inputs are layer 0. :math:`b_{kj}` is the bias of node j of
    layer k.

    Args:
        layer_sizes: Nodes a layer, the inputs first: (2, 2, 1). Two to 6 layers of 1 to 8 nodes.
        weights: One matrix a layer of shape (nodes before, nodes after). Positive weights are
            drawn blue and solid, negative ones red and dashed, large ones thick.
        node_labels: For each layer one text a node; None writes the inputs' names
            :math:`x_i` and the neurons' biases :math:`b_{kj}`.
        edge_labels: "names" writes :math:`w_{ij}^k` on the edges, "values" the weights, None
            nothing; or one array of texts a layer, shaped like the weights.
        layer_names: A text below each layer.
        ax: Axes to draw on; None makes a new figure.
        title: What the picture shows.

    Returns:
        The axes.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If sizes are out of range or do not fit together.
    """
    sizes = _check_sizes(layer_sizes)
    matrices = _check_weights(weights, sizes)
    labels = _node_labels(node_labels, sizes)
    texts = _edge_labels(edge_labels, matrices, sizes)
    names = check_texts("layer_names", layer_names, len(sizes)) or _layer_names(len(sizes))

    crowd = max(before * after for before, after in pairwise(sizes))
    column_step = 2.4 if texts is None else 2.6 + 0.12 * crowd
    height = ROW_STEP * max(sizes)
    width = column_step * (len(sizes) - 1) + 2.0
    ax = axes_or_new(ax, (0.85 * width + 0.2, 0.85 * height + 0.9))
    places = [
        np.array([(layer * column_step, ROW_STEP * ((size - 1) / 2 - i)) for i in range(size)])
        for layer, size in enumerate(sizes)
    ]
    largest = 1.0
    if matrices is not None:
        largest = max(max(abs(matrix).max() for matrix in matrices), 1e-12)
    for layer, (starts, ends) in enumerate(pairwise(places)):
        edges = list(np.ndindex(len(starts), len(ends)))
        for i, j in edges:
            weight = None if matrices is None else matrices[layer][i, j]
            _draw_edge(ax, starts[i], ends[j], weight, largest)
        if texts is not None:
            lines = [(starts[i], ends[j]) for i, j in edges]
            for (i, j), place in zip(edges, _label_places(lines), strict=True):
                _write(ax, place, texts[layer][i][j])
    for layer, layer_places in enumerate(places):
        for place, label in zip(layer_places, labels[layer], strict=True):
            _draw_node(ax, place, label, is_input=layer == 0)
        foot = (layer * column_step, -height / 2 - 0.15)
        ax.text(*foot, names[layer], ha="center", va="top", fontsize=9)
    for j, (x, y) in enumerate(places[-1], start=1):
        ax.annotate(
            _output_name(j, sizes[-1]),
            xy=(x + RADIUS, y),
            xytext=(x + 0.85, y),
            va="center",
            fontsize=10,
            arrowprops={"arrowstyle": "<-", "color": "0.35"},
        )
    ax.set_xlim(-0.7, width - 0.7)
    ax.set_ylim(-height / 2 - 0.75, height / 2 + 0.05)
    ax.set_aspect("equal")
    ax.set_axis_off()
    set_title(ax, title)
    return ax


def _label_places(lines: list[tuple[np.ndarray, np.ndarray]]) -> list[np.ndarray]:
    """Place one label on each edge, away from the labels before it and from the other edges."""
    size = np.array([0.5, 0.3])  # of a label, in the drawing's units
    places: list[np.ndarray] = []
    for index, (start, end) in enumerate(lines):
        others = lines[:index] + lines[index + 1 :]
        best, best_score = start, -np.inf
        for t in np.linspace(0.18, 0.8, 32):
            place = start + t * (end - start)
            gaps = [np.max(abs(place - other) / size) for other in places]
            crossings = [abs(_height_at(place[0], *line) - place[1]) / size[1] for line in others]
            score = min([1.5, *gaps]) + 0.5 * min([0.6, *crossings]) - 0.1 * abs(t - 0.35)
            if score > best_score:
                best, best_score = place, score
        places.append(best)
    return places


def _height_at(x: float, start: np.ndarray, end: np.ndarray) -> float:
    return start[1] + (x - start[0]) / (end[0] - start[0]) * (end[1] - start[1])


def _draw_edge(
    ax: Axes, start: np.ndarray, end: np.ndarray, weight: float | None, largest: float
) -> None:
    look = {"color": "0.55", "linewidth": 1.2, "linestyle": "-"}
    if weight is not None:
        look = {
            "color": COLORS[0] if weight >= 0 else COLORS[1],
            "linewidth": 0.5 + 3.5 * abs(weight) / largest,
            "linestyle": "-" if weight >= 0 else (0, (3, 1.2)),
        }
    ax.plot([start[0], end[0]], [start[1], end[1]], zorder=1, solid_capstyle="butt", **look)


def _write(ax: Axes, place: np.ndarray, text: str) -> None:
    ax.text(
        *place,
        text,
        fontsize=9,
        ha="center",
        va="center",
        zorder=2,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8},
    )


def _draw_node(ax: Axes, place: np.ndarray, label: str, *, is_input: bool) -> None:
    fill = "0.93" if is_input else "white"
    ax.add_patch(Circle(place, RADIUS, facecolor=fill, edgecolor="black", linewidth=1.3, zorder=3))
    ax.text(*place, label, ha="center", va="center", fontsize=10, zorder=4)


def _check_sizes(layer_sizes: Any) -> list[int]:
    if isinstance(layer_sizes, str) or not isinstance(layer_sizes, Sequence | np.ndarray):
        raise TypeError(
            f"`layer_sizes` must be a sequence of integers. {received(layer_sizes=layer_sizes)}"
        )
    if not 2 <= len(layer_sizes) <= 6:
        raise ValueError(
            f"`layer_sizes` must hold 2 to 6 layers. {received(layer_sizes=layer_sizes)}"
        )
    return [check_int("layer_sizes", size, low=1, high=8) for size in layer_sizes]


def _check_weights(weights: Any, sizes: list[int]) -> list[np.ndarray] | None:
    if weights is None:
        return None
    if len(weights) != len(sizes) - 1:
        raise ValueError(
            f"`weights` must hold {len(sizes) - 1} matrices. Received: {len(weights)} matrices"
        )
    return [
        check_array(f"weights[{layer}]", matrix, shape=(sizes[layer], sizes[layer + 1]))
        for layer, matrix in enumerate(weights)
    ]


def _node_labels(labels: Any, sizes: list[int]) -> list[tuple[str, ...]]:
    if labels is None:
        inputs = tuple(f"$x_{i}$" for i in range(1, sizes[0] + 1))
        neurons = [
            tuple(f"$b_{{{k}{j}}}$" for j in range(1, size + 1))
            for k, size in enumerate(sizes[1:], start=1)
        ]
        return [inputs, *neurons]
    if len(labels) != len(sizes):
        raise ValueError(
            f"`node_labels` must hold {len(sizes)} layers. Received: {len(labels)} layers"
        )
    return [
        check_texts(f"node_labels[{layer}]", layer_labels, sizes[layer])
        for layer, layer_labels in enumerate(labels)
    ]


def _edge_labels(
    edge_labels: Any, matrices: list[np.ndarray] | None, sizes: list[int]
) -> list[list[list[str]]] | None:
    if edge_labels is None:
        return None
    shapes = list(pairwise(sizes))
    if isinstance(edge_labels, str):
        if edge_labels == "names":
            return [
                [
                    [f"$w_{{{i + 1}{j + 1}}}^{{{k + 1}}}$" for j in range(after)]
                    for i in range(before)
                ]
                for k, (before, after) in enumerate(shapes)
            ]
        if edge_labels != "values":
            raise ValueError(
                '`edge_labels` must be "names", "values", None or texts. '
                f"{received(edge_labels=edge_labels)}"
            )
        if matrices is None:
            raise ValueError(
                '`edge_labels="values"` must come with `weights`. Received: weights=None'
            )
        return [
            [[f"{value:.3g}".replace("-", "−") for value in row] for row in matrix]
            for matrix in matrices
        ]
    if len(edge_labels) != len(shapes) or any(
        np.shape(texts) != shape for texts, shape in zip(edge_labels, shapes, strict=True)
    ):
        raise ValueError(
            f"`edge_labels` must have the shapes of the weights, {shapes}. "
            f"Received: shapes {[np.shape(texts) for texts in edge_labels]}"
        )
    return [[[str(text) for text in row] for row in texts] for texts in edge_labels]


def _output_name(j: int, count: int) -> str:
    return r"$\hat{y}$" if count == 1 else rf"$\hat{{y}}_{j}$"


def _layer_names(count: int) -> tuple[str, ...]:
    if count == 2:
        return ("inputs", "output")
    if count == 3:
        return ("inputs", "hidden layer", "output")
    return ("inputs", *(f"hidden layer {k}" for k in range(1, count - 1)), "output")
