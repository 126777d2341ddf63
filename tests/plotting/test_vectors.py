import numpy as np
import pytest
from contracts import Refusal, check_docstring, check_plot_contract, check_refusals
from matplotlib.colors import to_hex

from dlnotes import plotting

VECTORS = np.array([[2.0, 1.0], [-1.0, 1.0]])


def quiver_of(ax):
    return next(artist for artist in ax.collections if type(artist).__name__ == "Quiver")


def test_arrows_start_at_the_origin_and_end_at_their_vector():
    ax = plotting.arrows(VECTORS, labels=("a", "b"), origin=(1.0, -1.0), names=("east", "north"))
    drawn = quiver_of(ax)
    np.testing.assert_array_equal(drawn.XY, [[1, -1], [1, -1]])
    np.testing.assert_array_equal(np.column_stack([drawn.U, drawn.V]), VECTORS)
    assert (drawn.scale, drawn.angles, drawn.scale_units) == (1, "xy", "xy")
    assert [to_hex(color) for color in drawn.get_facecolor()] == [
        color.lower() for color in plotting.COLORS[:2]
    ]
    np.testing.assert_array_equal([text.xy for text in ax.texts], VECTORS + np.array([1, -1]))
    assert [text.get_text() for text in ax.texts] == ["a", "b"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("east", "north")


def test_arrows_lie_inside_the_axes_and_keep_their_proportions():
    ax = plotting.arrows([[5.0, 0.0], [0.0, -3.0]])
    ax.figure.canvas.draw()
    (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
    assert left < 0 < 5 < right
    assert bottom < -3 < 0 < top
    assert ax.get_aspect() == 1


def test_arrows_can_share_the_limits_of_their_panels():
    figure, axes = plotting.small_multiples(2, columns=2)
    for ax, length in zip(axes, (1.0, 4.0), strict=True):
        plotting.arrows([[length, length]], ax=ax)
    figure.canvas.draw()
    assert axes[0].get_xlim() == axes[1].get_xlim()
    assert axes[0].get_xlim()[1] > 4
    assert {ax.get_aspect() for ax in axes} == {1}


def test_the_zero_vector_is_a_dot():
    ax = plotting.arrows([[0.0, 0.0], [1.0, 0.0]], labels=("0", "e"))
    dot = ax.lines[0]
    np.testing.assert_array_equal(dot.get_xydata(), [[0, 0]])
    assert dot.get_color() == plotting.COLORS[0]
    assert len(quiver_of(ax).U) == 1
    assert to_hex(quiver_of(ax).get_facecolor()[0]) == plotting.COLORS[1].lower()
    only = plotting.arrows([[0.0, 0.0]])
    assert not only.collections


def test_a_map_s_arrows_are_its_columns():
    ax = plotting.linear_map([[2.0, 1.0], [0.0, -1.0]], reach=4, title="sheared")
    drawn = quiver_of(ax)
    np.testing.assert_array_equal(np.column_stack([drawn.U, drawn.V]), [[2, 0], [1, -1]])
    corners = ax.patches[0].get_xy()
    np.testing.assert_array_equal(corners[:4], [[0, 0], [2, 0], [3, -1], [1, -1]])
    assert (ax.get_xlim(), ax.get_ylim()) == ((-4, 4), (-4, 4))
    assert ax.get_title(loc="left") == "sheared"


def test_a_map_bends_the_paper_as_the_matrix_says():
    ax = plotting.linear_map([[0.0, -1.0], [1.0, 0.0]], reach=1)
    lines = [line.get_xydata() for line in ax.lines]
    assert len(lines) == 2 * 5
    # the vertical line x₁ = 2 becomes the horizontal line x₂ = 2
    assert any(np.array_equal(line, [[2, 2], [-2, 2]]) for line in lines)


@pytest.mark.parametrize("helper", [plotting.arrows, plotting.linear_map])
def test_vector_helpers_keep_the_contract(helper):
    check_plot_contract(helper, (VECTORS,), {"title": "Vectors"})
    check_docstring(helper)


def test_arrows_refuse():
    check_refusals(
        plotting.arrows,
        [
            Refusal(([1.0, 2.0],), {}, ValueError, r"`vectors` must have shape \(any, 2\)"),
            Refusal(("ab",), {}, TypeError, "`vectors` must be an array of numbers"),
            Refusal((np.ones((11, 2)),), {}, ValueError, "`vectors` must hold at most 10 vectors"),
            Refusal((VECTORS,), {"labels": ["a"]}, ValueError, "`labels` must hold 2 texts"),
            Refusal((VECTORS,), {"origin": [0.0]}, ValueError, r"`origin` must have shape \(2,\)"),
            Refusal((VECTORS,), {"names": "xy"}, TypeError, "`names` must be a sequence of texts"),
            Refusal((VECTORS,), {"title": 3}, TypeError, "`title` must be a text or None"),
        ],
    )


def test_linear_maps_refuse():
    check_refusals(
        plotting.linear_map,
        [
            Refusal((np.eye(3),), {}, ValueError, r"`matrix` must have shape \(2, 2\)"),
            Refusal((np.eye(2) * np.nan,), {}, ValueError, "`matrix` must hold finite numbers"),
            Refusal(("ab",), {}, TypeError, "`matrix` must be an array of numbers"),
            Refusal(
                (np.eye(2),),
                {"reach": 0},
                ValueError,
                r"`reach` must be a finite number in \(0, 100",
            ),
            Refusal(
                (np.eye(2),),
                {"reach": 1e6},
                ValueError,
                r"`reach` must be a finite number in \(0, 100",
            ),
            Refusal((np.eye(2),), {"reach": "3"}, TypeError, "`reach` must be a number"),
        ],
    )
