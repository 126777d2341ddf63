import itertools

import matplotlib.pyplot as plt
import numpy as np
import pytest
from contracts import Refusal, check_docstring, check_plot_contract, check_refusals
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, PathPatch, Polygon

from dlnotes import plotting
from dlnotes.plotting import layers

WORDS = ("a_rather_long_name_of_a_layer", "Dense softmax · 1,234,567", "28 × 28 × 3")


def graph(*edges, **lines):
    names = dict.fromkeys(name for edge in edges for name in edge)
    return {name: lines.get(name, (name, "Dense relu · 2,080", "32")) for name in names}, list(
        edges
    )


GRAPHS = {
    "one": ({"x": ("x",)}, []),
    "SISO": graph(("x", "a"), ("a", "y")),
    "MISO": graph(("wide", "both"), ("deep", "h1"), ("h1", "h2"), ("h2", "both"), ("both", "y")),
    "MIMO": graph(*itertools.product(("p", "q", "r"), ("t",)), *[("t", n) for n in "uvw"]),
    "shared": graph(*[(n, f"tower {n}") for n in "abcd"], *[(f"tower {n}", "cat") for n in "abcd"]),
    "skip": graph(
        ("x", "a"),
        ("a", "s"),
        ("x", "s"),
        ("s", "b"),
        ("b", "t"),
        ("s", "t"),
        ("x", "z"),
        ("t", "z"),
    ),
    "two towers": graph(
        ("l", "m"), ("m", "d"), ("r", "n"), ("n", "d"), ("d", "y"), m=WORDS, y=WORDS
    ),
    "two parts": graph(
        *[("a", "s"), ("a", "t"), ("b", "u"), ("s", "cat"), ("u", "cat"), ("cat", "y")],
        *[("t", "v"), ("c", "w"), ("w", "z")],
    ),
    "dense": graph(*itertools.product("abc", "efg"), *itertools.product("efg", "ij"), ("a", "j")),
}


def drawn(name, **kwargs):
    labels, edges = GRAPHS[name]
    ax = plotting.layer_graph(labels, edges, **kwargs)
    ax.figure.canvas.draw()
    return ax


def boxes_of(ax):
    return [patch for patch in ax.patches if isinstance(patch, FancyBboxPatch)]


def extents(artists):
    return [artist.get_window_extent() for artist in artists]


def check_arrows(ax, boxes, num_edges):
    """No arrow runs through a box, but for the two pixels where it meets its own."""
    paths = [patch for patch in ax.patches if isinstance(patch, PathPatch)]
    assert len(paths) == num_edges
    for path in paths:
        curve = path.get_path().to_polygons(path.get_transform(), closed_only=False)[0]
        steps = np.concatenate([np.linspace(a, b, 20) for a, b in itertools.pairwise(curve)])
        for box in boxes:
            inner = box.padded(-2)
            assert not ((steps > inner.min) & (steps < inner.max)).all(axis=1).any()


@pytest.mark.parametrize("direction", ["right", "down"])
@pytest.mark.parametrize("name", GRAPHS)
def test_nothing_overlaps_and_all_fits(name, direction):
    ax = drawn(name, direction=direction, outputs=list(GRAPHS[name][0])[-1:], title="A title")
    boxes, texts = extents(boxes_of(ax)), extents(ax.texts)
    assert len(boxes) == len(GRAPHS[name][0])
    for a, b in itertools.combinations(boxes, 2):
        assert not a.overlaps(b)
    for a, b in itertools.combinations(texts, 2):
        assert not a.padded(-1).overlaps(b.padded(-1))
    for text in texts:  # each text inside one box
        assert sum(b.x0 < text.x0 < text.x1 < b.x1 and b.y0 < text.y0 for b in boxes) >= 1
        assert any(b.x0 < text.x0 and text.x1 < b.x1 and b.y0 < text.y0 < b.y1 for b in boxes)
    check_arrows(ax, boxes, len(GRAPHS[name][1]))
    inside = ax.figure.bbox
    for box in [*boxes, *extents(ax.patches)]:
        assert inside.x0 <= box.x0
        assert box.x1 <= inside.x1
        assert inside.y0 <= box.y0
        assert box.y1 <= inside.y1


def test_every_arrow_starts_and_ends_at_its_boxes():
    labels, edges = GRAPHS["skip"]
    ax = drawn("skip")
    boxes = dict(zip(labels, extents(boxes_of(ax)), strict=True))
    paths = [patch for patch in ax.patches if isinstance(patch, PathPatch)]
    for (start, end), path in zip(edges, paths, strict=True):
        points = path.get_transform().transform(path.get_path().vertices)
        assert boxes[start].padded(2).contains(*points[0])
        assert boxes[end].padded(2).contains(*points[-1])
        assert points[0][0] < points[-1][0]
    heads = [patch for patch in ax.patches if isinstance(patch, Polygon)]
    assert len(heads) == len(edges)


def test_ranks_follow_the_longest_way_and_inputs_wait():
    ranks = layers._ranks(("w", "d", "h", "both"), [("w", "both"), ("d", "h"), ("h", "both")])
    assert ranks == {"w": 1, "d": 0, "h": 1, "both": 2}


def test_the_order_avoids_crossings():
    labels, edges = {name: (name,) for name in "abqp"}, [("a", "p"), ("b", "q")]
    _, ranks, links = layers._with_lanes(edges, layers._ranks(tuple(labels), edges))
    assert layers._crossings(layers._ordered(ranks, links), links) == 0


def test_apart_keeps_the_room_and_stays_near():
    heights = layers._apart(np.array([0.0, 0.0, -9.0]), np.array([1.0, 1.0]))
    np.testing.assert_allclose(heights, [0.5, -0.5, -9.0])
    np.testing.assert_allclose(layers._apart(np.array([3.0, 1.0]), np.array([1.0])), [3, 1])
    np.testing.assert_allclose(layers._apart(np.array([0.0, 4.0]), np.array([1.0])), [2.5, 1.5])


def test_lines_kinds_and_outputs_are_shown():
    labels = {"x": ("x", "Input", "$3"), "y": ("y", "Dense", "1")}
    kinds = {"x": "input", "y": "shared"}
    ax = plotting.layer_graph(labels, [("x", "y")], kinds=kinds, outputs=["y"], title="A line")
    assert [text.get_text() for text in ax.texts] == ["x", "Input", "$3", "y", "Dense", "1"]
    assert [text.get_fontweight() for text in ax.texts[:2]] == ["bold", "normal"]
    first, second = boxes_of(ax)
    assert first.get_facecolor() != second.get_facecolor()
    assert second.get_linewidth() > first.get_linewidth()
    leaving = [patch for patch in ax.patches if isinstance(patch, FancyArrowPatch)]
    assert len(leaving) == 1
    assert ax.get_title(loc="left") == "A line"


def test_the_drawing_is_small_and_parts_stay_together():
    ax = drawn("two parts")
    centres = np.array([(box.y0 + box.y1) / 2 for box in extents(boxes_of(ax))])
    assert np.ptp(centres) < 5 * 80
    ax = drawn("skip")
    assert ax.figure.get_size_inches()[0] * 80 < 1000


def test_down_turns_the_picture():
    right, down = (boxes_of(drawn("SISO", direction=way)) for way in ("right", "down"))
    assert [box.get_x() for box in right] == sorted(box.get_x() for box in right)
    assert [box.get_y() for box in down] == sorted((box.get_y() for box in down), reverse=True)


def test_contract_and_refusals():
    labels, edges = GRAPHS["MISO"]
    check_plot_contract(plotting.layer_graph, [labels, edges], has_axis_labels=False)
    check_docstring(plotting.layer_graph)
    many = {str(i): ("a",) for i in range(41)}
    cycle = [("x", "a"), ("a", "b"), ("b", "a")]
    three = {name: (name,) for name in "xab"}
    refusals = [
        Refusal((3, []), {}, TypeError, "`labels` must be a mapping"),
        Refusal(({}, []), {}, ValueError, "`labels` must hold 1 to 40 nodes. Received: 0"),
        Refusal((many, []), {}, ValueError, "`labels` must hold 1 to 40 nodes. Received: 41"),
        Refusal(({1: ("a",)}, []), {}, TypeError, "`labels` must have texts as names"),
        Refusal(({"x": "text"}, []), {}, TypeError, r"`labels\['x'\]` must be a sequence"),
        Refusal(({"x": ()}, []), {}, ValueError, "`labels` must give each node a line"),
        Refusal((three, "xa"), {}, TypeError, "`edges` must be a sequence of pairs"),
        Refusal((three, ["xa"]), {}, TypeError, "`edges` must hold pairs"),
        Refusal((three, [("x", "q")]), {}, ValueError, "`edges` must name nodes .*'q'"),
        Refusal((three, cycle), {}, ValueError, "`edges` must not form a cycle"),
        Refusal((three, []), {"kinds": 3}, TypeError, "`kinds` must be a mapping"),
        Refusal((three, []), {"kinds": {"q": "input"}}, ValueError, "`kinds` must name nodes"),
        Refusal((three, []), {"kinds": {"x": "round"}}, ValueError, "`kinds` must be one of"),
        Refusal((three, []), {"outputs": ["q"]}, ValueError, "`outputs` must be one of"),
        Refusal((three, []), {"direction": "up"}, ValueError, "`direction` must be one of"),
    ]
    check_refusals(plotting.layer_graph, refusals)
    plt.close("all")
