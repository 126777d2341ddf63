import matplotlib.pyplot as plt
import numpy as np
import pytest
from contracts import Refusal, check_docstring, check_plot_contract, check_refusals
from matplotlib.patches import FancyArrowPatch

from dlnotes import plotting
from dlnotes.plotting import computation

VALUES = {"x": 2.0, "w": -0.5, "z": -1.0, "v": 3.0, "L": -3.0}
GRADIENTS = {("x", "z"): -1.5, ("w", "z"): 6.0, ("z", "L"): 3.0, ("v", "L"): -1.0}

# The 2-2-1 network: two hidden nodes share both inputs.
LEAVES = ["b1", "w1", "w2", "x1", "x2", "w3", "w4", "b2"]
NET = dict.fromkeys([*LEAVES, "z1", "z2", "v1", "a1", "c", "a2", "v2", "y_hat", "y", "L"], -1.25)
NET_EDGES = dict.fromkeys(
    [(name, "z1") for name in LEAVES[:5]]
    + [(name, "z2") for name in LEAVES[3:]]
    + [("z1", "a1"), ("z2", "a2")]
    + [(name, "y_hat") for name in ("v1", "a1", "c", "a2", "v2")]
    + [("y_hat", "L"), ("y", "L")],
    -0.75,
)


def places_of(ax, names):
    return {text.get_text(): text.get_position() for text in ax.texts if text.get_text() in names}


def test_each_edge_carries_its_value_and_its_gradient():
    ax = plotting.computation_graph(VALUES, GRADIENTS, title="Blame flows back")
    numbers = [text for text in ax.texts if text.get_text() not in VALUES]
    above = [t.get_text() for t in numbers if t.get_va() == "bottom"]
    below = [t.get_text() for t in numbers if t.get_va() == "top"]
    assert above == ["2.00", "−0.50", "−1.00", "3.00", "−3.00"]
    assert below == ["−1.50", "6.00", "3.00", "−1.00", "1.00"]
    assert {t.get_color() for t in numbers if t.get_va() == "top"} == {plotting.COLORS[1]}
    arrows = [patch for patch in ax.patches if isinstance(patch, FancyArrowPatch)]
    assert len(arrows) == len(GRADIENTS) + 1
    assert ax.get_title(loc="left") == "Blame flows back"


def test_gradients_may_be_left_out_and_small_numbers_keep_two_digits():
    ax = plotting.computation_graph(
        {"x": 0.01234, "L": -0.0}, {("x", "L"): None}, output_gradient=None
    )
    assert [text.get_text() for text in ax.texts[:4]] == ["0.012", "", "0", ""]


def test_nodes_stand_after_what_they_are_computed_from():
    places = places_of(plotting.computation_graph(VALUES, GRADIENTS), VALUES)
    step = computation.COLUMN_STEP
    columns = {name: round(place[0] / step, 6) for name, place in places.items()}
    assert columns == {"x": 0, "w": 0, "z": 1, "v": 1, "L": 2}  # v waits beside z
    assert places["x"][1] > places["z"][1] > places["w"][1]
    assert places["L"][1] == pytest.approx(places["z"][1])


def test_nodes_of_one_column_never_overlap():
    names = ["x", "p", "q", "L"]
    edges = [("x", "p"), ("x", "q"), ("p", "L"), ("q", "L")]  # both want the height of x
    ax = plotting.computation_graph(dict.fromkeys(names, 1.0), dict.fromkeys(edges, 1.0))
    places = places_of(ax, names)
    assert places["p"][1] - places["q"][1] == pytest.approx(computation.ROW_STEP)


def test_the_network_of_nine_parameters_is_legible():
    ax = plotting.computation_graph(NET, NET_EDGES)
    figure = ax.figure
    assert figure.get_size_inches()[0] * 80 <= 1000
    places = places_of(ax, NET)
    assert places["z1"][1] == -places["z2"][1] > 0 == places["c"][1]
    heights = sorted(place[1] for name, place in places.items() if name in LEAVES)
    assert np.diff(heights).min() > 0.99 * computation.ROW_STEP
    figure.canvas.draw()
    inside = figure.bbox
    boxes = [text.get_window_extent() for text in ax.texts]
    assert all(inside.contains(box.x0, box.y0) for box in boxes)
    assert all(inside.contains(box.x1, box.y1) for box in boxes)
    centres = np.array([(box.x0 + box.x1, box.y0 + box.y1) for box in boxes]) / 2
    numbers = centres[np.array([text.get_text() not in NET for text in ax.texts])]
    pairs = numbers.reshape(-1, 2, 2).mean(axis=1)  # an edge's two numbers stand together
    gaps = abs(pairs[:, None] - pairs[None])
    near = (gaps[..., 0] < 30) & (gaps[..., 1] < 26)
    assert near.sum() == len(pairs)  # each pair is near itself alone


def test_refusals():
    bad_cycle = {("a", "b"): 1.0, ("b", "a"): 1.0, ("b", "L"): 1.0}
    many = {str(i): 1.0 for i in range(31)}
    refusals = [
        Refusal((3, GRADIENTS), {}, TypeError, "`values` must be a mapping"),
        Refusal(({"x": 1.0}, {}), {}, ValueError, "`values` must hold 2 to 30 nodes"),
        Refusal((many, {}), {}, ValueError, "`values` must hold 2 to 30 nodes. Received: 31"),
        Refusal(({1: 1.0, "L": 2.0}, {}), {}, TypeError, "`values` must have texts as names"),
        Refusal(({"x": "a", "L": 1.0}, {}), {}, TypeError, r"`values\['x'\]` must be a number"),
        Refusal((VALUES, 3), {}, TypeError, "`gradients` must be a mapping"),
        Refusal((VALUES, {"xz": 1.0}), {}, TypeError, "`gradients` must have pairs"),
        Refusal((VALUES, {("x", "q"): 1.0}), {}, ValueError, "`gradients` must name nodes .*'q'"),
        Refusal((VALUES, {("x", "z"): "a"}), {}, TypeError, r"`gradients\[.*\]` must be a number"),
        Refusal((VALUES, {("x", "z"): 1.0}), {}, ValueError, "must give each node an edge.*'w'"),
        Refusal(
            (VALUES, {**GRADIENTS, ("v", "z"): 1.0} | {("v", "L"): None}),
            {"output_gradient": "a"},
            TypeError,
            "`output_gradient` must be a number",
        ),
        Refusal(
            ({"a": 1.0, "b": 1.0, "L": 1.0}, bad_cycle),
            {},
            ValueError,
            "a cycle of edges. Received: in_or_after_it=",
        ),
        Refusal(
            ({"x": 1.0, "p": 1.0, "q": 1.0}, {("x", "p"): 1.0, ("x", "q"): 1.0}),
            {},
            ValueError,
            "must lead to exactly one output.*'p', 'q'",
        ),
    ]
    check_refusals(plotting.computation_graph, refusals)
    plt.close("all")


def test_contract():
    check_plot_contract(
        plotting.computation_graph, [VALUES, GRADIENTS], {"title": "t"}, has_axis_labels=False
    )
    check_docstring(plotting.computation_graph)
