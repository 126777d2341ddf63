"""The graph of a model drawn as boxes and arrows, without Graphviz."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, PathPatch, Polygon
from matplotlib.path import Path
from matplotlib.textpath import TextPath

from dlnotes.plotting.style import COLORS, axes_or_new, check_texts, set_title, styled
from dlnotes.validation import check_choice, received

FONT, LINE = 9, 0.165  # points; inches from line to line
PAD, GAP, CHANNEL = 0.09, 0.2, 0.5  # inches: inside a box, beside one, between two ranks
HEAD = 0.09  # inches: length of an arrow's head
LANE = 0.12  # what an arrow takes that passes by
PULL = 0.98  # towards the middle, or parts without a link would drift away
MAX_NODES = 40
LOOKS = {
    "input": {"facecolor": "0.92", "edgecolor": "0.25"},
    "layer": {"facecolor": "white", "edgecolor": "0.25"},
    "shared": {"facecolor": "#FBE7D5", "edgecolor": COLORS[1]},
    "model": {"facecolor": "#DCEBF5", "edgecolor": COLORS[0]},
}

Edge = tuple[str, str]


@styled
def layer_graph(
    labels: Mapping[str, Sequence[str]],
    edges: Sequence[Edge],
    *,
    kinds: Mapping[str, str] | None = None,
    outputs: Sequence[str] = (),
    direction: str = "right",
    ax: Axes | None = None,
    title: str | None = None,
) -> Axes:
    """Draw layers as boxes and what flows between them as arrows.

    Every box stands in the rank after the last box that it depends on. An arrow that passes
    ranks gets a lane of its own there, so no arrow runs through a box. The units of the axes are
    inches: in a figure of its own the boxes fit their texts; given axes must be as large.

    Args:
        labels: For each node its name and the lines of its box; the first is bold. At most 40.
        edges: Pairs (from, to) of names, without a cycle.
        kinds: "input" (grey), "layer" (white), "shared" (orange: the same layer is called in
            several places) or "model" (blue: a model within) for each name; a missing name is a
            layer.
        outputs: Names whose boxes get a thick frame and an arrow that leaves.
        direction: Where the arrows lead, "right" or "down".
        ax: Axes to draw on; None makes a new figure.
        title: What the picture shows.

    Returns:
        The axes.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If an edge or another name is unknown, or the edges form a cycle.

    References:
        K. Sugiyama, S. Tagawa and M. Toda, "Methods for visual understanding of hierarchical system
        structures" (1981): ranks, order by barycentres, then places.

    Example:
        >>> ax = layer_graph({"x": ["x", "3"], "y": ["y", "1"]}, [("x", "y")])
        >>> [text.get_text() for text in ax.texts]
        ['x', '3', 'y', '1']
    """
    texts = _check_labels(labels)
    edges = _check_edges(edges, texts)
    kinds = _check_kinds(kinds, texts)
    for name in check_texts("outputs", outputs):
        check_choice("outputs", name, tuple(texts))
    across = check_choice("direction", direction, ("right", "down")) == "down"
    sizes = {name: _box_size(lines) for name, lines in texts.items()}
    if across:  # below, the first coordinate is the one along the arrows
        sizes = {name: (height, width) for name, (width, height) in sizes.items()}

    ranks = _ranks(tuple(texts), edges)
    routes, ranks, links = _with_lanes(edges, ranks)
    rows = _ordered(ranks, links)
    heights = _heights(rows, links, {name: sizes.get(name, (0, LANE))[1] for name in ranks})
    deep = [max(sizes[name][0] for name in row if name in sizes) for row in rows]
    starts = np.cumsum([0, *(d + CHANNEL for d in deep)])
    places = {
        name: np.array([starts[rank] + deep[rank] / 2, heights[name]])
        for name, rank in ranks.items()
    }
    ends = [places[n] + s * np.array(size) / 2 for n, size in sizes.items() for s in (-1, 1)]
    low, high = np.min(ends, axis=0), np.max(ends, axis=0)
    lanes = [heights[name] for name in ranks]
    low[1], high[1] = min(low[1], *lanes), max(high[1], *lanes)
    high = high + np.array([0.32 if outputs else 0.0, 0.0])
    low, high = low - 0.06, high + 0.06

    turn = (lambda point: np.array([-point[1], -point[0]])) if across else np.asarray
    corners = np.sort([turn(low), turn(high)], axis=0)
    ax = axes_or_new(ax, tuple(corners[1] - corners[0] + np.array([0.12, 0.45 if title else 0.12])))
    for route in routes:
        _draw_arrow(ax, route, places, sizes, deep, ranks, turn)
    for name in outputs:
        edge = places[name] + np.array([sizes[name][0] / 2, 0.0])
        look = {"arrowstyle": "-|>", "mutation_scale": 10, "color": "0.25", "linewidth": 1.6}
        end = turn(edge + np.array([0.32, 0.0]))
        ax.add_patch(FancyArrowPatch(turn(edge), end, shrinkA=0, shrinkB=0, **look))
    for name, lines in texts.items():
        _draw_box(
            ax, turn(places[name]), turn(np.array(sizes[name])), lines, kinds[name], name in outputs
        )
    ax.set_xlim(*corners[:, 0])
    ax.set_ylim(*corners[:, 1])
    ax.set_aspect("equal")
    ax.set_axis_off()
    set_title(ax, title)
    return ax


def _box_size(lines: Sequence[str]) -> tuple[float, float]:
    width = max(_text_width(line, bold=not index) for index, line in enumerate(lines))
    return width + 2 * PAD, len(lines) * LINE + 2 * PAD - 0.02


def _text_width(text: str, *, bold: bool) -> float:
    if not text.strip():
        return 0.0
    prop = {"family": "DejaVu Sans", "weight": "bold" if bold else "normal"}
    # a hair wider than measured: the renderer rounds each letter to whole pixels
    return (
        1.04
        * TextPath((0, 0), text.replace("$", r"\$"), size=FONT, prop=prop).get_extents().x1
        / 72
    )


def _ranks(names: Sequence[str], edges: Sequence[Edge]) -> dict[str, int]:
    """Return for each node the number of steps of the longest way to it."""
    ranks = dict.fromkeys(names, 0)
    for _ in range(len(names)):
        before = dict(ranks)
        for start, end in edges:
            ranks[end] = max(ranks[end], ranks[start] + 1)
        if ranks == before:
            break
    else:
        moving = sorted(name for name in ranks if ranks[name] != before[name])
        raise ValueError(f"`edges` must not form a cycle. {received(in_or_after_it=moving)}")
    computed = {end for _, end in edges}
    for name in names:  # what depends on nothing stands just before its first use
        uses = [ranks[end] for start, end in edges if start == name]
        if name not in computed and uses:
            ranks[name] = min(uses) - 1
    return ranks


def _with_lanes(
    edges: Sequence[Edge], ranks: Mapping[str, int]
) -> tuple[list[list[Any]], dict[Any, int], list[tuple[Any, Any]]]:
    """Put a lane into each rank that an edge passes; return routes, ranks and links of one rank."""
    ranks, routes = dict(ranks), []
    for start, end in edges:
        lanes = [(start, end, rank) for rank in range(ranks[start] + 1, ranks[end])]
        ranks |= {lane: lane[2] for lane in lanes}
        routes.append([start, *lanes, end])
    links = [pair for route in routes for pair in itertools.pairwise(route)]
    return routes, ranks, links


def _ordered(ranks: Mapping[Any, int], links: Sequence[tuple[Any, Any]]) -> list[list[Any]]:
    """Order the nodes of each rank so that few links cross: sweeps by barycentre, the best kept."""
    rows = [[n for n in ranks if ranks[n] == rank] for rank in range(max(ranks.values()) + 1)]
    best, fewest = [list(row) for row in rows], _crossings(rows, links)
    for sweep in range(8):
        forward = sweep % 2 == 0
        for rank in range(len(rows)) if forward else reversed(range(len(rows))):
            spot = {name: place for row in rows for place, name in enumerate(row)}
            share = {}
            for name in rows[rank]:
                others = [a if forward else b for a, b in links if (b if forward else a) == name]
                share[name] = np.mean([spot[other] for other in others]) if others else spot[name]
            rows[rank].sort(key=share.get)
        crossings = _crossings(rows, links)
        if crossings < fewest:
            best, fewest = [list(row) for row in rows], crossings
    return best


def _crossings(rows: Sequence[Sequence[Any]], links: Sequence[tuple[Any, Any]]) -> int:
    spot = {name: (rank, place) for rank, row in enumerate(rows) for place, name in enumerate(row)}
    ends = [(spot[a], spot[b]) for a, b in links]
    return sum(
        a[0] == c[0] and (a[1] - c[1]) * (b[1] - d[1]) < 0
        for (a, b), (c, d) in itertools.combinations(ends, 2)
    )


def _heights(
    rows: Sequence[Sequence[Any]], links: Sequence[tuple[Any, Any]], sizes: Mapping[Any, float]
) -> dict[Any, float]:
    """Give each node a height near its neighbours', in the row's order, without overlap."""
    heights = {name: -float(place) for row in rows for place, name in enumerate(row)}
    near: dict[Any, list[Any]] = {name: [] for name in heights}
    for a, b in links:
        near[a].append(b)
        near[b].append(a)
    for _ in range(60):
        for row in (*rows, *reversed(rows)):
            wanted = [np.mean([heights[o] for o in near[n]] or [heights[n]]) for n in row]
            room = [
                (sizes[a] + sizes[b]) / 2 + (GAP if min(sizes[a], sizes[b]) > LANE else LANE)
                for a, b in itertools.pairwise(row)
            ]
            heights |= dict(zip(row, _apart(PULL * np.array(wanted), np.array(room)), strict=True))
    return heights


def _apart(wanted: np.ndarray, room: np.ndarray) -> np.ndarray:
    """Return falling heights nearest to those wanted in squares, each `room` below the last."""
    shifted = -wanted - np.concatenate([[0.0], np.cumsum(room)])  # must not fall: isotonic
    blocks: list[list[float]] = []  # pooled neighbours: mean, count
    for value in shifted:
        blocks.append([value, 1])
        while len(blocks) > 1 and blocks[-2][0] >= blocks[-1][0]:
            (m, k), (n, j) = blocks[-2], blocks[-1]
            blocks[-2:] = [[(m * k + n * j) / (k + j), k + j]]
    level = np.concatenate([[mean] * int(count) for mean, count in blocks])
    return -(level + np.concatenate([[0.0], np.cumsum(room)]))


def _draw_arrow(
    ax: Axes,
    route: Sequence[Any],
    places: Mapping[Any, np.ndarray],
    sizes: Mapping[str, tuple[float, float]],
    deep: Sequence[float],
    ranks: Mapping[Any, int],
    turn: Any,
) -> None:
    """Draw an arrow that bends in the channels between ranks and runs straight along lanes."""
    points = [places[route[0]] + np.array([sizes[route[0]][0] / 2, 0.0])]
    codes = [Path.MOVETO]
    for name in route:
        half = np.array([deep[ranks[name]] / 2, 0.0])
        if name != route[0]:
            enter = places[name] - half
            middle = (points[-1][0] + enter[0]) / 2
            points += [np.array([middle, points[-1][1]]), np.array([middle, enter[1]]), enter]
            codes += [Path.CURVE4] * 3
        if name == route[-1]:
            half = -np.array([sizes[name][0] / 2, 0.0])
        points.append(places[name] + half)
        codes.append(Path.LINETO)
    points = [turn(point) for point in points]
    ax.add_patch(PathPatch(Path(points, codes), fill=False, color="0.45", linewidth=1.1, zorder=1))
    tip = points[-1]
    wings = [turn(np.array([-HEAD, side * HEAD / 2.6])) for side in (1, -1)]
    ax.add_patch(Polygon([tip, *(tip + wing for wing in wings)], color="0.45", zorder=1))


def _draw_box(
    ax: Axes, place: np.ndarray, size: np.ndarray, lines: Sequence[str], kind: str, output: bool
) -> None:
    width, height = np.abs(size)
    box = FancyBboxPatch(
        (place[0] - width / 2, place[1] - height / 2),
        width,
        height,
        boxstyle="round,pad=0,rounding_size=0.06",
        linewidth=2.2 if output else 1.1,
        zorder=2,
        **LOOKS[kind],
    )
    ax.add_patch(box)
    for index, line in enumerate(lines):
        ax.text(
            place[0],
            place[1] + LINE * ((len(lines) - 1) / 2 - index),
            line,
            fontsize=FONT,
            fontfamily="DejaVu Sans",
            fontweight="bold" if index == 0 else "normal",
            ha="center",
            va="center_baseline",
            parse_math=False,
            zorder=3,
        )


def _check_labels(labels: Any) -> dict[str, tuple[str, ...]]:
    if not isinstance(labels, Mapping):
        raise TypeError(f"`labels` must be a mapping of names to lines. {received(labels=labels)}")
    if not 1 <= len(labels) <= MAX_NODES:
        raise ValueError(
            f"`labels` must hold 1 to {MAX_NODES} nodes. Received: {len(labels)} nodes"
        )
    for name, lines in labels.items():
        if not isinstance(name, str) or not name:
            raise TypeError(f"`labels` must have texts as names. {received(name=name)}")
        if not check_texts(f"labels[{name!r}]", lines):
            raise ValueError(f"`labels` must give each node a line. {received(without=name)}")
    return {name: check_texts("labels", lines) for name, lines in labels.items()}


def _check_edges(edges: Any, texts: Mapping[str, Any]) -> list[Edge]:
    if isinstance(edges, str | Mapping) or not isinstance(edges, Sequence):
        raise TypeError(f"`edges` must be a sequence of pairs of names. {received(edges=edges)}")
    for edge in edges:
        if not isinstance(edge, tuple | list) or len(edge) != 2:
            raise TypeError(f"`edges` must hold pairs (from, to). {received(edge=edge)}")
        for name in edge:
            if name not in texts:
                raise ValueError(
                    f"`edges` must name nodes of `labels`. {received(edge=edge, unknown=name)}"
                )
    return list(dict.fromkeys((start, end) for start, end in edges))


def _check_kinds(kinds: Any, texts: Mapping[str, Any]) -> dict[str, str]:
    if kinds is not None and not isinstance(kinds, Mapping):
        raise TypeError(f"`kinds` must be a mapping of names to kinds. {received(kinds=kinds)}")
    for name, kind in (kinds or {}).items():
        if name not in texts:
            raise ValueError(f"`kinds` must name nodes of `labels`. {received(unknown=name)}")
        check_choice("kinds", kind, tuple(LOOKS))
    return {name: (kinds or {}).get(name, "layer") for name in texts}
