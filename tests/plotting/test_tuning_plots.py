from itertools import pairwise

import numpy as np
import pytest
from contracts import Refusal, check_docstring, check_plot_contract, check_refusals
from matplotlib import colormaps
from matplotlib.text import Text

from dlnotes import plotting

NAN = float("nan")


def line_named(ax, label):
    return next(line for line in ax.lines if line.get_label() == label)


def points(line):
    return list(zip(*line.get_data(), strict=True))


def texts(ax):
    return {text.get_text(): text for text in ax.texts}


# === search_history ===


def test_search_history_steps_up_when_a_trial_ends():
    run = ([10, 5, 10, 20, 1], [0.5, 0.4, 0.8, NAN, 0.9])
    ax = plotting.search_history({"random": [run]})
    line = line_named(ax, "_random")
    assert points(line) == [(10, 0.5), (15, 0.5), (25, 0.8), (45, 0.8), (46, 0.9)]
    assert line.get_drawstyle() == "steps-post"
    assert not ax.collections  # no band of one run


def test_search_history_of_a_loss_steps_down():
    ax = plotting.search_history({"a": [([1, 1, 1], [3.0, 2.0, 5.0])]}, direction="min")
    assert points(line_named(ax, "_a")) == [(1, 3.0), (2, 2.0), (3, 2.0)]


def test_search_history_of_several_runs_is_their_median_with_the_range():
    runs = [
        ([10, 10], [0.2, 0.6]),
        ([5, 10, 10], [NAN, 0.4, 0.5]),  # its first trial failed; it ends last
        ([10], [0.3]),  # ends first: its best stays
    ]
    ax = plotting.search_history({"grid": runs})
    assert points(line_named(ax, "_grid")) == [(15, 0.3), (20, 0.4), (25, 0.5)]
    corners = ax.collections[0].get_paths()[0].vertices
    assert (corners[:, 0].min(), corners[:, 0].max()) == (15, 25)
    assert (corners[:, 1].min(), corners[:, 1].max()) == (0.2, 0.6)
    assert "grid (3 runs)" in texts(ax)


def test_search_history_names_each_line_at_its_end_even_where_ends_meet():
    names = ["random", "grid", "a method with a long name", "hyperband"]
    runs = {name: [([10, 10, 10], [0.5, 0.9, 0.9])] for name in names}
    ax = plotting.search_history({**runs, "worse": [([10, 10, 10], [0.5, 0.6, 0.6])]})
    ax.figure.canvas.draw()
    boxes = [Text.get_window_extent(text) for text in ax.texts]  # without their arrows
    assert len(boxes) == 5
    heights = sorted((box.y0, box.y1) for box in boxes)
    assert all(low[1] <= high[0] + 1 for low, high in pairwise(heights))
    assert min(box.x0 for box in boxes) >= ax.get_window_extent().x1
    for name in names:
        text = texts(ax)[name]
        assert text.xy == (30, 0.9)
        assert text.get_color() == line_named(ax, f"_{name}").get_color()
    assert texts(ax)["worse"].get_position()[1] < min(texts(ax)[n].get_position()[1] for n in names)
    assert len({line.get_color() for line in ax.lines}) == 5
    assert len({line.get_linestyle() for line in ax.lines[:4]}) == 4


def test_search_history_writes_percentages():
    ax = plotting.search_history({"a": [([1], [0.5])]}, percent=True)
    assert ax.yaxis.get_major_formatter()(0.955, 0) == "95.5%"
    assert line_named(ax, "_a").get_marker() == "o"  # a single point has no line


ONE = [([1, 2], [0.1, 0.2])]
HISTORY_REFUSALS = [
    Refusal((ONE,), {}, TypeError, "`runs` must map names to lists of runs"),
    Refusal(({},), {}, ValueError, "`runs` must hold 1 to 10 methods"),
    Refusal(({str(i): ONE for i in range(11)},), {}, ValueError, "`runs` must hold 1 to 10"),
    Refusal(({"a": []},), {}, TypeError, r"`runs\['a'\]` must be a list of runs"),
    Refusal(({"a": [[1, 2, 3]]},), {}, TypeError, r"`runs\['a'\]\[0\]` must be a pair"),
    Refusal(({"a": [([1, 2], [0.1])]},), {}, ValueError, "must have a score for each trial"),
    Refusal(({"a": [([1, -2], [0.1, 1])]},), {}, ValueError, "epochs` must not be negative"),
    Refusal(({"a": [([1, NAN], [0.1, 1])]},), {}, ValueError, "epochs` must hold finite numbers"),
    Refusal(({"a": [([1, 2], [NAN, NAN])]},), {}, ValueError, "must have a score that is not NaN"),
    Refusal(({"a": ONE},), {"direction": "up"}, ValueError, "`direction` must be one of 'max'"),
]


# === parallel_coordinates ===

TRIALS = {
    "rate": [0.001, 0.1, 0.01, 1.0],
    "layers": [1, 2, 3, 2],
    "optimizer": ["sgd", "adam", "sgd", "adam"],
    "units_2": [None, 32, 64, NAN],
    "norm": [True, False, True, False],
    "score": [0.5, 0.9, 0.7, NAN],
}
PLACES = list(TRIALS)
DARK = colormaps["viridis"](0)[:3]


def heights(ax, row, name):
    return line_named(ax, f"_trial_{row}").get_ydata()[PLACES.index(name)]


def test_parallel_coordinates_place_numbers_on_their_scales():
    ax = plotting.parallel_coordinates(TRIALS, score="score", log=["rate"])
    at = [[heights(ax, row, name) for row in range(4)] for name in ("rate", "layers")]
    np.testing.assert_allclose(at, [[0, 2 / 3, 1 / 3, 1], [0, 0.5, 1, 0.5]], atol=1e-9)
    assert [heights(ax, row, "score") for row in range(3)] == pytest.approx([0, 1, 0.5])
    assert [label.get_text() for label in ax.get_xticklabels()] == PLACES
    plain = plotting.parallel_coordinates(TRIALS, score="score")
    assert heights(plain, 2, "rate") == pytest.approx(0.009 / 0.999)


def test_parallel_coordinates_place_names_evenly_and_spread_equal_ones():
    ax = plotting.parallel_coordinates(TRIALS, score="score")
    at = np.array([heights(ax, row, "optimizer") for row in range(4)])
    np.testing.assert_allclose(at, [0.25, 0.75, 0.25, 0.75], atol=0.05)
    assert len(set(at)) == 4  # no line hides another
    assert {"sgd", "adam", "True", "False"} <= set(texts(ax))
    assert texts(ax)["adam"].get_position()[1] == 0.75


def test_parallel_coordinates_color_by_score_with_the_best_on_top():
    ax = plotting.parallel_coordinates(TRIALS, score="score")
    lines = [line_named(ax, f"_trial_{row}") for row in range(4)]
    assert max(lines, key=lambda line: line.get_zorder()) is lines[1]
    assert max(lines, key=lambda line: line.get_linewidth()) is lines[1]
    colors = ax.collections[-1].get_cmap()  # the bar along the scores
    for row, share in ((0, 0.0), (1, 1.0), (2, 0.5)):
        assert lines[row].get_color() == pytest.approx(colors(share), abs=0.01)
    assert "best: 0.9" in texts(ax)
    down = plotting.parallel_coordinates(TRIALS, score="score", direction="min")
    order = sorted(range(4), key=lambda row: line_named(down, f"_trial_{row}").get_zorder())
    assert order == [3, 1, 2, 0]
    # good is dark in both directions
    assert line_named(down, "_trial_0").get_color() == lines[1].get_color() == (*DARK, 1.0)
    assert "best: 0.5" in texts(down)


def test_parallel_coordinates_pass_below_where_a_trial_has_no_value():
    ax = plotting.parallel_coordinates(TRIALS, score="score")
    assert [heights(ax, row, "units_2") < -0.05 for row in range(4)] == [True, False, False, True]
    failed = line_named(ax, "_trial_3")
    assert failed.get_linestyle() == "--"
    assert heights(ax, 3, "score") < -0.05
    assert {"no value", "1 failed"} <= set(texts(ax))
    whole = {name: TRIALS[name][:3] for name in ("rate", "score")}
    clean = plotting.parallel_coordinates(whole, score="score")
    assert not {"no value", "1 failed"} & set(texts(clean))


def test_parallel_coordinates_of_equal_scores_take_the_first_as_best():
    table = {"a": [1, 2, 3], "b": [7, 7, 7], "score": [0.5, 0.5, 0.5]}
    ax = plotting.parallel_coordinates(table, score="score")
    widths = [line_named(ax, f"_trial_{row}").get_linewidth() for row in range(3)]
    assert np.argmax(widths) == 0
    np.testing.assert_allclose(line_named(ax, "_trial_2").get_ydata(), [1, 0.5, 0.5])
    assert "7" in texts(ax)


def test_parallel_coordinates_wrap_and_turn_long_names():
    table = {"number_of_hidden_layers_of_the_network": [1, 2], "score": [0.1, 0.2]}
    ax = plotting.parallel_coordinates(table, score="score")
    label = ax.get_xticklabels()[0]
    assert label.get_text().replace("\n", "") == "number_of_hidden_layers_of_the_network"
    assert all(line.endswith(("_", "network")) for line in label.get_text().split("\n"))
    assert label.get_rotation() == 25


def test_parallel_coordinates_take_a_pandas_table_and_chosen_columns():
    import pandas as pd

    table = pd.DataFrame(TRIALS)
    ax = plotting.parallel_coordinates(table, score="score", columns=["layers", "rate"])
    assert [label.get_text() for label in ax.get_xticklabels()] == ["layers", "rate", "score"]
    assert list(line_named(ax, "_trial_2").get_ydata()) == pytest.approx([1, 0.009 / 0.999, 0.5])


S = {"score": "score"}
PARALLEL_REFUSALS = [
    Refusal(([1, 2],), S, TypeError, "`table` must be a table or map names to columns"),
    Refusal((TRIALS,), {"score": "loss"}, ValueError, "`score` must name columns of the table.*lo"),
    Refusal((TRIALS,), {**S, "columns": ["x"]}, ValueError, "`columns` must name columns of the"),
    Refusal((TRIALS,), {**S, "columns": []}, ValueError, "`columns` must name at least one"),
    Refusal((TRIALS,), {**S, "columns": ["score"]}, ValueError, "`columns` must name at least one"),
    Refusal((TRIALS,), {**S, "log": ["x"]}, ValueError, "`log` must name columns of the table"),
    Refusal((TRIALS,), {**S, "log": ["norm"]}, ValueError, "`log` must name columns of numbers"),
    Refusal((TRIALS,), {**S, "log": "rate"}, TypeError, "`log` must be a sequence of texts"),
    Refusal((TRIALS,), {**S, "direction": 1}, ValueError, "`direction` must be one of"),
    Refusal(({"a": [1], "score": ["x"]},), S, TypeError, "`score` must name a column of numbers"),
    Refusal(({"a": [1, 2], "score": [1]},), S, ValueError, "`table` must have columns of equal le"),
    Refusal(({"a": [1], "score": [NAN]},), S, ValueError, "`table` must hold a value in each"),
    Refusal(({"a": [0, 1], "score": [1, 2]},), {**S, "log": ["a"]}, ValueError, "positive numbers"),
    Refusal(({"a": [1], "score": [np.inf]},), S, ValueError, "`table` must hold finite numbers"),
]


# === hyperparameter_importance ===


def test_hyperparameter_importance_puts_the_most_important_on_top():
    ax = plotting.hyperparameter_importance(["a", "b", "c"], [0.1, 0.5, -0.02])
    assert [label.get_text() for label in ax.get_yticklabels()] == ["b", "a", "c"]
    assert [bar.get_width() for bar in ax.patches] == [0.5, 0.1, -0.02]
    assert ax.yaxis_inverted()
    assert [text.get_text() for text in ax.texts] == ["0.5", "0.1", "-0.02"]
    assert not ax.collections


def test_hyperparameter_importance_of_repeats_is_their_median_with_the_range():
    values = np.array([[0.1, 0.4], [0.2, 0.6], [0.0, 0.9]])
    ax = plotting.hyperparameter_importance(["a", "b"], values)
    assert [bar.get_width() for bar in ax.patches] == [0.6, 0.1]
    segments = [segment.tolist() for segment in ax.collections[0].get_segments()]
    assert segments == [[[0.4, 0], [0.9, 0]], [[0.0, 1], [0.2, 1]]]


def test_hyperparameter_importance_keeps_the_order_of_equals_and_wraps_long_names():
    name = "learning rate of the optimizer, on a logarithmic scale"
    ax = plotting.hyperparameter_importance([name, "b"], [0.3, 0.3])
    first, second = (label.get_text() for label in ax.get_yticklabels())
    assert (first.replace("\n", " "), second) == (name, "b")
    assert max(map(len, first.split("\n"))) <= 32


IMPORTANCE_REFUSALS = [
    Refusal(("a", [1]), {}, TypeError, "`names` must be a sequence of texts"),
    Refusal(([], [1]), {}, ValueError, "`names` must hold at least one name"),
    Refusal((["a"], [1, 2]), {}, ValueError, "`values` must have one value for each of the 1"),
    Refusal((["a"], [NAN]), {}, ValueError, "`values` must hold finite numbers"),
]


def test_helpers_keep_the_plot_contract_and_refuse():
    check_plot_contract(plotting.search_history, [{"a": ONE, "b": ONE * 2}], {"title": "t"})
    check_plot_contract(plotting.parallel_coordinates, [TRIALS], S, has_axis_labels=False)
    check_plot_contract(plotting.hyperparameter_importance, [["a", "b"], np.array([1.0, 2.0])])
    check_refusals(plotting.search_history, HISTORY_REFUSALS)
    check_refusals(plotting.parallel_coordinates, PARALLEL_REFUSALS)
    check_refusals(plotting.hyperparameter_importance, IMPORTANCE_REFUSALS)
    for name in ("search_history", "parallel_coordinates", "hyperparameter_importance"):
        check_docstring(getattr(plotting, name))
