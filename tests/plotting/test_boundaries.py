import matplotlib.pyplot as plt
import numpy as np
import pytest
from contracts import check_docstring, check_plot_contract
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.colors import to_rgb

from dlnotes import plotting
from dlnotes.plotting.boundaries import _clip_line

X = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
Y = np.array([0, 1, 1, 0])
SCORES = X @ [1.0, 1.0] - 0.5


def lattice(resolution=21):
    return plotting.grid(X, margin=0.5, resolution=resolution)


def image_of(ax):
    (image,) = ax.get_images()
    return image


def boundary_points(ax):
    """All vertices of the contour lines on the axes, shape (V, 2)."""
    paths = [path for collection in ax.collections for path in _paths(collection)]
    return np.concatenate([path.vertices for path in paths if len(path.vertices)])


def _paths(collection):
    is_contour = type(collection).__name__ == "QuadContourSet"
    return collection.get_paths() if is_contour else []


def legend_texts(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


# === grid ===


def test_grid_covers_the_points_with_the_margin():
    made = plotting.grid([[1.0, 10.0], [3.0, 20.0]], margin=2, resolution=5)
    assert made.limits == (-1, 5, 8, 22)
    assert made.points.shape == (25, 2)
    np.testing.assert_array_equal(made.points[:2], [[-1, 8], [0.5, 8]])
    np.testing.assert_array_equal(made.points[:, 0].reshape(5, 5), made.xx)
    np.testing.assert_array_equal(made.points[:, 1].reshape(5, 5), made.yy)


def test_grid_is_frozen():
    with pytest.raises(AttributeError, match="cannot assign"):
        lattice().xx = 0


@pytest.mark.parametrize(
    ("args", "error", "match"),
    [
        (([[1, 2, 3]],), ValueError, r"`x` must have shape \(any, 2\). Received: x.shape=\(1, 3\)"),
        (("ab",), TypeError, "`x` must be an array of numbers"),
        (([[0, np.nan]],), ValueError, "`x` must hold finite numbers"),
        ((np.empty((0, 2)),), ValueError, "`x` must not be empty"),
    ],
)
def test_grid_refuses_bad_points(args, error, match):
    with pytest.raises(error, match=match):
        plotting.grid(*args)


def test_grid_refuses_bad_options():
    with pytest.raises(ValueError, match="`margin` must be a finite number >= 0"):
        plotting.grid(X, margin=-1)
    with pytest.raises(ValueError, match=r"`resolution` must be an integer in \[2, 1000\]"):
        plotting.grid(X, resolution=1)
    with pytest.raises(TypeError, match="`resolution` must be an integer"):
        plotting.grid(X, resolution=10.0)
    with pytest.raises(ValueError, match="`margin` must be > 0 when all points share a coordinate"):
        plotting.grid([[0.0, 1.0], [0.0, 2.0]], margin=0)


# === scatter_classes ===


def test_scatter_draws_each_class_in_its_own_color_and_marker():
    ax = plotting.scatter_classes(X, Y, class_names=["no", "yes"], feature_names=["a (cm)", "b"])
    first, second = ax.collections
    np.testing.assert_array_equal(first.get_offsets(), X[Y == 0])
    np.testing.assert_array_equal(second.get_offsets(), X[Y == 1])
    assert tuple(first.get_facecolor()[0][:3]) == to_rgb(plotting.COLORS[0])
    assert tuple(second.get_facecolor()[0][:3]) == to_rgb(plotting.COLORS[1])
    assert len(first.get_paths()[0].vertices) != len(second.get_paths()[0].vertices)
    assert legend_texts(ax) == ["no", "yes"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("a (cm)", "b")


def test_scatter_takes_signed_labels_like_numbered_ones():
    signed = plotting.scatter_classes(X, 2 * Y - 1)
    np.testing.assert_array_equal(signed.collections[0].get_offsets(), X[Y == 0])
    assert legend_texts(signed) == ["−1", "+1"]
    # A part of the data without the negative class keeps the colour of the positive one.
    part = plotting.scatter_classes(X[Y == 1], [1, 1])
    assert tuple(part.collections[0].get_facecolor()[0][:3]) == to_rgb(plotting.COLORS[1])


@pytest.mark.parametrize("highlight", [[1, 2], np.array([False, True, True, False])])
def test_scatter_circles_the_highlighted_rows(highlight):
    ax = plotting.scatter_classes(X, Y, highlight=highlight)
    circles = ax.collections[-1]
    assert circles.get_gid() == "highlight"
    np.testing.assert_array_equal(circles.get_offsets(), X[[1, 2]])


@pytest.mark.parametrize("highlight", [[], np.zeros(4, dtype=bool)])
def test_scatter_without_highlight_draws_no_circle(highlight):
    assert len(plotting.scatter_classes(X, Y, highlight=highlight).collections) == 2


@pytest.mark.parametrize(
    ("kwargs", "error", "match"),
    [
        ({"y": [0, 1]}, ValueError, r"same number of rows. Received: len\(x\)=4, len\(y\)=2"),
        ({"y": [0, 1, 2.5, 0]}, ValueError, "`y` must hold class numbers 0, 1, … or −1 and"),
        ({"y": [0, 1, 10, 0]}, ValueError, "`y` must hold class numbers 0 to 9, or −1 and"),
        ({"y": [0, 1, -1, 0]}, ValueError, "`y` must hold class numbers 0 to 9, or −1 and"),
        ({"y": list("abca")}, TypeError, "`y` must be an array of numbers"),
        ({"class_names": ["one"]}, ValueError, "`class_names` must name the 2 classes"),
        ({"class_names": "ab"}, TypeError, "`class_names` must be a sequence of texts"),
        ({"feature_names": ["a"]}, ValueError, "`feature_names` must hold 2 texts"),
        ({"size": 0}, ValueError, "`size` must be a finite number > 0"),
        ({"highlight": [4]}, ValueError, "`highlight` must hold row numbers 0 to 3"),
        ({"highlight": [True]}, ValueError, "`highlight` must be a mask of 4 rows"),
        ({"title": 3}, TypeError, "`title` must be a text or None"),
        ({"ax": 3}, TypeError, "`ax` must be a matplotlib Axes or None. Received: ax=3"),
    ],
)
def test_scatter_refuses(kwargs, error, match):
    with pytest.raises(error, match=match):
        plotting.scatter_classes(**{"x": X, "y": Y, **kwargs})


# === decision_regions ===


def test_hard_regions_color_each_grid_point_by_its_class():
    made = lattice()
    classes = (made.points[:, 0] > 0.5).astype(int)
    ax = plotting.decision_regions(made, classes)
    pixels = image_of(ax).get_array()
    assert pixels.shape == (21, 21, 3)
    left, right = pixels[:, 0], pixels[:, -1]
    assert (left == left[0]).all()
    assert (right == right[0]).all()
    assert np.argmax(left[0]) == 2  # tint of blue
    assert np.argmax(right[0]) == 0  # tint of vermilion
    spacing = 2 / 20
    assert np.ptp(boundary_points(ax)[:, 0]) < 1e-9
    assert abs(boundary_points(ax)[0, 0] - 0.5) <= spacing / 2 + 1e-9
    assert legend_texts(ax) == ["class 0", "class 1"]


def test_pixels_are_centred_on_their_grid_points():
    ax = plotting.decision_regions(lattice(), np.zeros(441, dtype=int))
    np.testing.assert_allclose(image_of(ax).get_extent(), [-0.55, 1.55, -0.55, 1.55])
    assert image_of(ax).origin == "lower"
    np.testing.assert_allclose([*ax.get_xlim(), *ax.get_ylim()], [-0.5, 1.5, -0.5, 1.5])


@pytest.mark.parametrize("kind", ["scores", "probabilities", "column"])
def test_soft_regions_put_the_boundary_where_the_answer_turns(kind):
    made = lattice(41)
    values = made.points[:, 0] - 0.3
    if kind == "probabilities":
        values = 1 / (1 + np.exp(-values))
    if kind == "column":
        values = values[:, None]
    ax = plotting.decision_regions(made, values, X, Y)
    np.testing.assert_allclose(boundary_points(ax)[:, 0], 0.3, atol=1e-4)
    threshold = 0.5 if kind == "probabilities" else 0.0
    norm = image_of(ax).norm
    assert (norm.vmin + norm.vmax) / 2 == pytest.approx(threshold)
    low, high = image_of(ax).cmap(0.0), image_of(ax).cmap(1.0)
    assert low[2] > low[0]  # bluish below
    assert high[0] > high[2]  # reddish above


def test_threshold_moves_the_boundary():
    made = lattice(41)
    ax = plotting.decision_regions(made, made.points[:, 0], threshold=0.8)
    np.testing.assert_allclose(boundary_points(ax)[:, 0], 0.8, atol=1e-6)


def test_several_scores_color_by_the_largest_and_fade_with_its_lead():
    made = lattice(41)
    x1 = made.points[:, 0]
    ax = plotting.decision_regions(made, np.column_stack([1 - x1, x1, np.full_like(x1, -9.0)]))
    np.testing.assert_allclose(boundary_points(ax)[:, 0], 0.5, atol=1e-6)
    pixels = image_of(ax).get_array()[0]
    assert np.argmax(pixels[0]) == 2
    assert np.argmax(pixels[-1]) == 0
    darkness = 1 - pixels.mean(axis=-1)
    assert darkness[0] > darkness[10] > darkness[19]


def test_regions_draw_the_points_and_the_color_bar():
    made = lattice()
    ax = plotting.decision_regions(
        made, made.points[:, 0], X, Y, value_label="score", highlight=[3], title="Found"
    )
    labels = [other.get_ylabel() for other in ax.figure.axes]
    assert "score" in labels
    assert ax.get_title(loc="left") == "Found"
    offsets = [len(c.get_offsets()) for c in ax.collections if c.get_gid() == "highlight"]
    assert offsets == [1]


@pytest.mark.parametrize(
    ("args", "kwargs", "error", "match"),
    [
        (("grid", np.zeros(4)), {}, TypeError, r"`grid` must be a Grid, as made by grid\(x\)"),
        ((None, np.zeros(4)), {}, ValueError, "one row for each of the 441 grid points"),
        ((None, np.zeros((441, 11))), {}, ValueError, "`values` must have 2 to 10 columns"),
        ((None, np.full(441, 12)), {}, ValueError, "`values` must hold class numbers 0 to 9"),
        ((None, np.full(441, np.inf)), {}, ValueError, "`values` must hold finite numbers"),
        ((None, np.zeros(441), X), {}, ValueError, "`x` and `y` must be given together"),
        ((None, np.zeros(441)), {"threshold": "a"}, TypeError, "`threshold` must be a number"),
        ((None, np.zeros(441), X, [0, 1]), {}, ValueError, "same number of rows"),
        ((None, np.full(441, -1), X, Y), {}, ValueError, "must name the classes alike"),
        ((None, np.zeros(441, int), X, 2 * Y - 1), {}, ValueError, "must name the classes alike"),
    ],
)
def test_regions_refuse(args, kwargs, error, match):
    made = lattice() if args[0] is None else args[0]
    with pytest.raises(error, match=match):
        plotting.decision_regions(made, *args[1:], **kwargs)


# === line ===


def ends_of(ax):
    return np.column_stack(ax.lines[-1].get_data())


@pytest.mark.parametrize(
    ("weights", "bias", "expected"),
    [
        ([1.0, 1.0], 0.0, [[-1, 1], [1, -1]]),  # a diagonal
        ([1.0, 0.0], -0.5, [[0.5, -1], [0.5, 1]]),  # vertical
        ([0.0, -2.0], 0.5, [[-1, 0.25], [1, 0.25]]),  # horizontal
        ([1e-300, 0.0], 0.0, [[0, -1], [0, 1]]),  # tiny weights
    ],
)
def test_line_runs_from_edge_to_edge(weights, bias, expected):
    ends = ends_of(plotting.line(weights, bias))
    order = np.lexsort(ends.T[::-1])
    np.testing.assert_allclose(ends[order], expected, atol=1e-12)


def test_line_keeps_the_limits_of_the_axes_and_cuts_itself_to_them():
    _, ax = plt.subplots()
    ax.set(xlim=(0, 1000), ylim=(0, 1e-3))
    plotting.line([1e-3, -1e3], 0.0, ax=ax)
    assert ax.get_xlim() == (0, 1000)
    assert ax.get_ylim() == (0, 1e-3)
    np.testing.assert_allclose(sorted(ends_of(ax).tolist()), [[0, 0], [1000, 1e-3]], atol=1e-9)


def test_line_does_not_stretch_axes_that_scale_themselves():
    ax = plotting.scatter_classes(X, Y)
    before = (ax.get_xlim(), ax.get_ylim())
    plotting.line([1.0, -1.0], 0.0, ax=ax)
    ax.figure.canvas.draw()
    assert (ax.get_xlim(), ax.get_ylim()) == before


def test_line_outside_the_view_is_said_in_words():
    ax = plotting.line([1.0, 1.0], 9.0, label="start")
    assert len(ax.lines[-1].get_xdata()) == 0
    assert [text.get_text() for text in ax.texts] == ["line outside the view"]
    assert ax.get_legend_handles_labels()[1] == ["start"]


def test_normal_arrow_starts_on_the_line_and_points_to_positive_scores():
    w, b = np.array([1.0, 3.0]), -0.6
    ax = plotting.line(w, b, normal=True)
    arrow = next(text for text in ax.texts if text.arrow_patch is not None)
    tail, head = np.array(arrow.xyann), np.array(arrow.xy)
    assert tail @ w + b == pytest.approx(0)
    np.testing.assert_allclose((head - tail) / np.linalg.norm(head - tail), w / np.linalg.norm(w))
    assert any(text.get_text() == "w" for text in ax.texts)


@settings(deadline=None, max_examples=200)
@given(
    angle=st.floats(0, 2 * np.pi),
    distance=st.floats(-3, 3),
    scale=st.floats(1e-6, 1e6),
    left=st.floats(-100, 100),
    width=st.floats(1e-3, 1e3),
    height=st.floats(1e-3, 1e3),
)
def test_clipped_ends_lie_on_the_line_and_on_the_edge(angle, distance, scale, left, width, height):
    low, span = np.array([left, -left]), np.array([width, height])
    w = scale * np.array([np.cos(angle), np.sin(angle)]) / span
    b = -w @ (low + span / 2) + scale * distance
    ends = _clip_line(w, b, low, low + span)
    corners = low + span * np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
    sides = np.sign(corners @ w + b)
    if len(ends) == 0:
        assert abs(sides.sum()) >= 3  # all corners on one side, or one just touched
        return
    inside = (ends - low) / span
    assert (inside >= -1e-9).all()
    assert (inside <= 1 + 1e-9).all()
    assert np.abs(ends @ w + b).max() <= 1e-6 * scale * max(1, abs(left) / min(width, height))
    on_edge = np.minimum(np.abs(inside), np.abs(inside - 1)).min(axis=1)
    assert (on_edge < 1e-9).all()


@pytest.mark.parametrize(
    ("kwargs", "error", "match"),
    [
        ({"weights": [0, 0]}, ValueError, "`weights` must not both be zero: no line"),
        ({"weights": [1, 2, 3]}, ValueError, r"`weights` must have shape \(2,\)"),
        ({"weights": ["a", "b"]}, TypeError, "`weights` must be an array of numbers"),
        ({"bias": np.nan}, ValueError, "`bias` must be a finite number"),
        ({"bias": "a"}, TypeError, "`bias` must be a number"),
        ({"xlim": (1, 0)}, ValueError, r"`xlim` must be a pair \(low, high\)"),
        ({"ylim": (1,)}, ValueError, r"`ylim` must have shape \(2,\)"),
    ],
)
def test_line_refuses(kwargs, error, match):
    with pytest.raises(error, match=match):
        plotting.line(**{"weights": [1.0, 1.0], "bias": 0.0, **kwargs})


# === small_multiples ===


def test_small_multiples_hides_what_is_left_over_and_labels_the_lowest_panels():
    figure, axes = plotting.small_multiples(5, columns=3, title="Five steps")
    assert axes.shape == (5,)
    assert [ax.get_visible() for ax in figure.axes] == [True] * 5 + [False]
    with_ticks = [ax.xaxis.get_tick_params()["labelbottom"] for ax in axes]
    assert with_ticks == [False, False, True, True, True]  # the third has nothing below it
    assert figure.get_suptitle() == "Five steps"
    for ax in axes:
        plotting.scatter_classes(X, Y, ax=ax, feature_names=["a", "b"])
    assert [ax.get_xlabel() for ax in axes] == ["", "", "a", "a", "a"]
    assert [ax.get_ylabel() for ax in axes] == ["b", "", "", "b", ""]


def test_small_multiples_share_limits_only_if_asked():
    _, shared = plotting.small_multiples(2)
    shared[0].set_xlim(3, 4)
    assert shared[1].get_xlim() == (3, 4)
    _, own = plotting.small_multiples(2, sharex=False)
    own[0].set_xlim(3, 4)
    assert own[1].get_xlim() != (3, 4)


@pytest.mark.parametrize(
    ("kwargs", "error", "match"),
    [
        ({"num_panels": 0}, ValueError, r"`num_panels` must be an integer in \[1, 64\]"),
        ({"num_panels": 2.0}, TypeError, "`num_panels` must be an integer"),
        ({"columns": 13}, ValueError, r"`columns` must be an integer in \[1, 12\]"),
        ({"panel_size": (1, 0)}, ValueError, "`panel_size` must be a finite number > 0"),
        ({"panel_size": 3}, ValueError, r"`panel_size` must have shape \(2,\)"),
    ],
)
def test_small_multiples_refuse(kwargs, error, match):
    with pytest.raises(error, match=match):
        plotting.small_multiples(**{"num_panels": 2, **kwargs})


# === contracts ===


def test_helpers_keep_the_plot_contract():
    made = lattice()
    check_plot_contract(plotting.scatter_classes, [X, Y], {"highlight": [0], "title": "t"})
    hard = (made.points[:, 0] > 0.5).astype(int)
    check_plot_contract(plotting.decision_regions, [made, hard, X, Y])
    check_plot_contract(
        plotting.decision_regions, [made, made.points[:, 0], X, Y], {"value_label": "score"}
    )
    check_plot_contract(plotting.line, [[1.0, 1.0], 0.0], {"normal": True})
    check_plot_contract(plotting.small_multiples, [3], takes_ax=False, has_axis_labels=False)


def test_docstrings():
    for name in ("Grid", "grid", "scatter_classes", "decision_regions", "line", "small_multiples"):
        check_docstring(getattr(plotting, name))


LINES = {"before": ([1.0, 0.0], -1.0), "after": ([0.0, 1.0], -0.5)}
POINTS, LABELS = [[0.0, 0.0], [2.0, 1.0], [1.5, 0.2]], [0, 1, 1]


def test_named_lines_go_from_pale_to_black_and_only_they_are_in_the_legend():
    ax = plotting.separating_lines(POINTS, LABELS, LINES, xlim=(-1, 3), ylim=(-1, 2), title="two")
    drawn = [line for line in ax.lines if line.get_label() in LINES]
    assert [line.get_label() for line in drawn] == ["before", "after"]
    assert float(drawn[0].get_color()) > float(drawn[1].get_color()) == 0
    np.testing.assert_allclose(drawn[0].get_xdata(), [1, 1])
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["before", "after"]
    assert ax.get_xlim() == (-1, 3)


def test_a_bundle_of_lines_is_grey_and_the_legend_names_the_classes_alone():
    ax = plotting.separating_lines(
        POINTS, LABELS, list(LINES.values()), class_names=("no", "yes"), xlim=(-1, 3)
    )
    assert {line.get_color() for line in ax.lines if len(line.get_xdata()) == 2} == {"#888888"}
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["no", "yes"]


def test_separating_lines_refuses_what_are_no_lines():
    with pytest.raises(TypeError, match="`lines` must be a mapping or a sequence"):
        plotting.separating_lines(POINTS, LABELS, 3)
    with pytest.raises(ValueError, match=r"Each line must be a pair \(weights, bias\)"):
        plotting.separating_lines(POINTS, LABELS, [([1.0, 0.0], 1.0, 2.0)])
    with pytest.raises(ValueError, match="must not both be zero"):
        plotting.separating_lines(POINTS, LABELS, [([0.0, 0.0], 1.0)])
    check_plot_contract(plotting.separating_lines, (POINTS, LABELS, LINES))
