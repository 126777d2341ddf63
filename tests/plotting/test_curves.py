import numpy as np
import pytest
from contracts import check_docstring, check_plot_contract
from matplotlib.collections import FillBetweenPolyCollection

from dlnotes import plotting

XS = np.linspace(-2, 2, 41)


def legend_texts(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def line_named(ax, label):
    return next(line for line in ax.lines if line.get_label() == label)


# === function_curves ===


def test_function_curves_differ_in_color_and_in_line_style():
    ax = plotting.function_curves(XS, {"a": XS, "b": XS**2, "c": XS**3}, xlabel="z", ylabel="φ(z)")
    np.testing.assert_array_equal(line_named(ax, "b").get_ydata(), XS**2)
    assert len({line.get_color() for line in ax.lines}) == 3
    assert len({str(line.get_linestyle()) for line in ax.lines}) == 3
    assert legend_texts(ax) == ["a", "b", "c"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("z", "φ(z)")


@pytest.mark.parametrize(
    ("args", "error", "match"),
    [
        ((XS, [XS]), TypeError, "`curves` must map names to arrays"),
        ((XS, {}), ValueError, "`curves` must hold 1 to 10 curves"),
        ((XS, {str(i): XS for i in range(11)}), ValueError, "`curves` must hold 1 to 10 curves"),
        ((XS, {"a": XS[1:]}), ValueError, r"`curves\['a'\]` must have shape \(41,\)"),
        ((XS, {"a": XS * np.nan}), ValueError, r"`curves\['a'\]` must hold finite numbers"),
        ((XS[::-1], {"a": XS}), ValueError, "`xs` must hold at least two increasing numbers"),
        (([1.0], {"a": [1.0]}), ValueError, "`xs` must hold at least two increasing numbers"),
    ],
)
def test_function_curves_refuse(args, error, match):
    with pytest.raises(error, match=match):
        plotting.function_curves(*args)


# === loss_curve ===


def test_loss_curve_marks_its_lowest_point():
    ax = plotting.loss_curve(XS, (XS - 0.5) ** 2)
    star = next(line for line in ax.lines if line.get_marker() == "*")
    np.testing.assert_allclose(star.get_data(), [[0.5], [0.0]], atol=1e-12)
    assert legend_texts(ax) == ["lowest at 0.5"]


def test_loss_curve_marks_a_flat_floor_as_a_whole():
    ax = plotting.loss_curve(XS, np.maximum(0, np.abs(XS) - 1))
    floor = line_named(ax, "lowest from -1 to 1")
    assert (floor.get_xdata()[0], floor.get_xdata()[-1]) == (-1, 1)
    assert not any(line.get_marker() == "*" for line in ax.lines)


def test_loss_curve_draws_the_path_on_the_curve():
    ax = plotting.loss_curve(XS, XS**2, path=[2.0, 1.0, 0.0])
    np.testing.assert_allclose(line_named(ax, "path").get_ydata(), [4, 1, 0], atol=1e-12)
    np.testing.assert_allclose(line_named(ax, "start").get_xdata(), [2.0])


@pytest.mark.parametrize(
    ("kwargs", "error", "match"),
    [
        ({"losses": XS[1:]}, ValueError, r"`losses` must have shape \(41,\)"),
        ({"losses": "a"}, TypeError, "`losses` must be an array of numbers"),
        ({"path": [3.0]}, ValueError, "`path` must stay inside xs, -2 to 2"),
        ({"path": [[1.0]]}, ValueError, "`path` must be 1-dimensional"),
    ],
)
def test_loss_curve_refuses(kwargs, error, match):
    with pytest.raises(error, match=match):
        plotting.loss_curve(**{"xs": XS, "losses": XS**2, **kwargs})


# === loss_surface ===

W1, W2 = np.linspace(-1, 1, 21), np.linspace(-2, 2, 31)
BOWL = (W1[None, :] - 0.5) ** 2 + (W2[:, None] + 1.2) ** 2


def test_loss_surface_has_the_right_way_round_and_marks_the_lowest():
    ax = plotting.loss_surface(W1, W2, BOWL)
    star = next(line for line in ax.lines if line.get_marker() == "*")
    np.testing.assert_allclose(star.get_data(), [[0.5], [-1.2]])
    assert (*ax.get_xlim(), *ax.get_ylim()) == (-1, 1, -2, 2)
    assert [a.get_ylabel() for a in ax.figure.axes] == ["weight w₂", "loss"]


def test_loss_surface_outlines_a_flat_floor():
    flat = np.maximum(0, np.hypot(W1[None, :], W2[:, None]) - 0.5)
    ax = plotting.loss_surface(W1, W2, flat)
    assert legend_texts(ax) == ["all inside: lowest loss"]
    outline = ax.collections[-1].get_paths()[0].vertices
    grid_step = W2[1] - W2[0]
    np.testing.assert_allclose(np.hypot(*outline.T), 0.5, atol=grid_step)


def test_loss_surface_draws_the_path_from_start_to_end():
    path = np.array([[-0.9, 1.5], [0.0, 0.0], [0.4, -1.1]])
    ax = plotting.loss_surface(W1, W2, BOWL, path=path)
    np.testing.assert_array_equal(np.column_stack(line_named(ax, "path").get_data()), path)
    np.testing.assert_array_equal(np.ravel(line_named(ax, "start").get_data()), path[0])
    np.testing.assert_array_equal(np.ravel(line_named(ax, "end").get_data()), path[-1])


def test_loss_surface_tells_several_paths_apart():
    steps = {"batch": 3, "one": 4, "mini": 2}
    paths = {name: np.linspace([0, 1], [n / 4, 0], n) for name, n in steps.items()}
    ax = plotting.loss_surface(W1, W2, BOWL, path=paths)
    assert legend_texts(ax) == ["lowest loss", "start", "batch", "one", "mini"]
    ends = [line_named(ax, name) for name in paths]
    assert (
        len({line.get_color() for line in ends}) == len({line.get_marker() for line in ends}) == 3
    )
    for name, end in zip(paths, ends, strict=True):
        way = line_named(ax, f"_{name}")
        np.testing.assert_array_equal(np.column_stack(way.get_data()), paths[name])
        np.testing.assert_array_equal(np.ravel(end.get_data()), paths[name][-1])
        assert way.get_color() == end.get_color()
    assert line_named(ax, "_batch").zorder > line_named(ax, "_mini").zorder
    assert line_named(ax, "lowest loss").zorder > max(end.zorder for end in ends)


def test_loss_surface_without_its_colorbar():
    ax = plotting.loss_surface(W1, W2, BOWL, colorbar=False)
    assert ax.figure.axes == [ax]


def test_loss_surface_uses_the_levels_it_is_given():
    ax = plotting.loss_surface(W1, W2, BOWL, levels=[0.1, 0.5, 2.0])
    np.testing.assert_array_equal(ax.collections[0].levels, [0.1, 0.5, 2.0])
    few = plotting.loss_surface(W1, W2, BOWL, levels=4).collections[0].levels
    many = plotting.loss_surface(W1, W2, BOWL, levels=30).collections[0].levels
    assert len(few) < len(many)


@pytest.mark.parametrize(
    ("kwargs", "error", "match"),
    [
        ({"losses": BOWL.T}, ValueError, r"`losses` must have shape \(31, 21\)"),
        ({"w1": W1[::-1]}, ValueError, "`w1` must hold at least two increasing numbers"),
        ({"w2": "a"}, TypeError, "`w2` must be an array of numbers"),
        ({"path": [1.0, 2.0]}, ValueError, r"`path` must have shape \(any, 2\)"),
        ({"path": {"a": [1.0]}}, ValueError, r"`path\['a'\]` must have shape \(any, 2\)"),
        ({"path": {}}, ValueError, "`path` must hold 1 to 4 paths"),
        ({"path": dict.fromkeys("abcde", W1)}, ValueError, "`path` must hold 1 to 4 paths"),
        ({"levels": 1}, ValueError, r"`levels` must be an integer in \[2, 60\]"),
        ({"levels": [2.0, 1.0]}, ValueError, "`levels` must hold at least two increasing"),
        ({"names": ["one"]}, ValueError, "`names` must hold 2 texts"),
    ],
)
def test_loss_surface_refuses(kwargs, error, match):
    with pytest.raises(error, match=match):
        plotting.loss_surface(**{"w1": W1, "w2": W2, "losses": BOWL, **kwargs})


# === learning_curves ===


def test_learning_curves_draw_one_run_as_a_line_over_whole_epochs():
    ax = plotting.learning_curves({"train": [3.0, 2.0, 1.0]}, metric="loss")
    np.testing.assert_array_equal(line_named(ax, "train").get_data(), [[1, 2, 3], [3, 2, 1]])
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("epoch", "loss")
    assert all(tick == int(tick) for tick in ax.get_xticks())


def test_learning_curves_draw_seeds_as_median_and_range():
    seeds = np.array([[3.0, 1.0], [9.0, 2.0], [4.0, 0.0]])
    ax = plotting.learning_curves({"train": seeds, "test": seeds + 5}, first_epoch=0)
    line = line_named(ax, "train (3 seeds)")
    np.testing.assert_array_equal(line.get_data(), [[0, 1], [4, 1]])
    band = next(c for c in ax.collections if isinstance(c, FillBetweenPolyCollection))
    heights = band.get_paths()[0].vertices
    assert heights[heights[:, 0] == 0][:, 1].min() == 3
    assert heights[heights[:, 0] == 0][:, 1].max() == 9
    assert ax.get_legend().get_title().get_text() == "median; band: lowest to highest"


def test_learning_curves_name_what_is_repeated():
    ax = plotting.learning_curves({"train": np.ones((2, 3))}, repeats="splits")
    assert legend_texts(ax) == ["train (2 splits)"]


SIZES = [50, 100, 1500]


def test_learning_curves_over_sizes_mark_each_size():
    seeds = np.array([[0.5, 0.7, 0.9], [0.6, 0.8, 0.95]])
    ax = plotting.learning_curves({"forest": seeds, "network": seeds[0]}, xs=SIZES)
    line = line_named(ax, "forest (2 seeds)")
    np.testing.assert_allclose(line.get_data(), [SIZES, [0.55, 0.75, 0.925]])
    assert line.get_marker() == line_named(ax, "network").get_marker() == "o"
    band = next(c for c in ax.collections if isinstance(c, FillBetweenPolyCollection))
    assert set(band.get_paths()[0].vertices[:, 0]) == set(SIZES)
    assert (ax.get_xlabel(), ax.get_xscale()) == ("training examples", "linear")
    assert plotting.learning_curves({"a": [1.0, 2.0]}).lines[0].get_marker() == "None"
    named = plotting.learning_curves({"a": [1.0, 2.0, 3.0]}, xs=SIZES, xlabel="images")
    assert named.get_xlabel() == "images"


def test_learning_curves_over_logarithmic_sizes_write_the_sizes_and_percentages():
    ax = plotting.learning_curves(
        {"forest": [0.5, 0.8, 0.9]}, xs=SIZES, log_x=True, percent=True, metric="accuracy"
    )
    ax.figure.canvas.draw()
    assert ax.get_xscale() == "log"
    assert [label.get_text() for label in ax.get_xticklabels()] == ["50", "100", "1,500"]
    assert not ax.get_xticklabels(minor=True)
    shown = {label.get_text() for label in ax.get_yticklabels()}
    assert {"60%", "80%"} <= shown


@pytest.mark.parametrize(
    ("xs", "first"), [([0, 0.1, 1, 3], 0.01), ([0, 1, 3, 10], 1 / 3), ([0, 5], 0.5)]
)
def test_a_zero_on_a_logarithmic_axis_stands_one_step_left_and_is_called_zero(xs, first):
    scores = np.linspace(0.5, 1, 2 * len(xs)).reshape(2, -1)
    ax = plotting.learning_curves({"a": scores}, xs=xs, log_x=True)
    ax.figure.canvas.draw()
    np.testing.assert_allclose(ax.lines[0].get_xdata(), [first, *xs[1:]])
    np.testing.assert_allclose(ax.get_xticks(), [first, *xs[1:]])
    assert [label.get_text() for label in ax.get_xticklabels()] == [f"{x:g}" for x in xs]
    band = next(c for c in ax.collections if isinstance(c, FillBetweenPolyCollection))
    np.testing.assert_allclose(band.get_paths()[0].vertices[:, 0].min(), first)


@pytest.mark.parametrize(
    ("args", "kwargs", "error", "match"),
    [
        (([1.0, 2.0],), {}, TypeError, "`histories` must map names to arrays"),
        (({},), {}, ValueError, "`histories` must hold 1 to 10 curves"),
        (({"a": 1.0},), {}, ValueError, r"`histories\['a'\]` must be 1-dimensional or 2-dimens"),
        (({"a": [1.0, np.inf]},), {}, ValueError, r"`histories\['a'\]` must hold finite numbers"),
        (({"a": ["x"]},), {}, TypeError, r"`histories\['a'\]` must be an array of numbers"),
        (({"a": [1.0]},), {"repeats": 3}, TypeError, "`repeats` must be a text. Received"),
        (({"a": [1.0]},), {"first_epoch": -1}, ValueError, "`first_epoch` must be an integer >= 0"),
        (({"a": [1.0]},), {"xs": SIZES}, ValueError, "one score for each of the 3 `xs`. Received"),
        (({"a": [1.0, 2.0]},), {"xs": [2, 1]}, ValueError, "`xs` must hold at least two increasi"),
        (({"a": [1.0, 2.0]},), {"xs": ["a", "b"]}, TypeError, "`xs` must be an array of numbers"),
        (({"a": [1.0]},), {"log_x": True}, ValueError, "`log_x` must be False without `xs` >= 0"),
        (
            ({"a": [1.0, 2.0]},),
            {"xs": [-1, 1], "log_x": True},
            ValueError,
            "`log_x` must be False without `xs` >= 0. Received: xs=",
        ),
    ],
)
def test_learning_curves_refuse(args, kwargs, error, match):
    with pytest.raises(error, match=match):
        plotting.learning_curves(*args, **kwargs)


def test_helpers_keep_the_plot_contract():
    check_plot_contract(plotting.function_curves, [XS, {"a": XS}], {"title": "t"})
    check_plot_contract(plotting.loss_curve, [XS, XS**2], {"path": np.array([1.0, 0.0])})
    path = np.array([[0.0, 0.0], [0.5, -1.0]])
    check_plot_contract(plotting.loss_surface, [W1, W2, BOWL], {"path": path})
    check_plot_contract(plotting.learning_curves, [{"train": np.ones((3, 4))}])
    over_sizes = {"xs": SIZES, "log_x": True, "percent": True}
    check_plot_contract(plotting.learning_curves, [{"train": np.ones((2, 3))}], over_sizes)
    for name in ("function_curves", "loss_curve", "loss_surface", "learning_curves"):
        check_docstring(getattr(plotting, name))
