import numpy as np
import pytest
from contracts import check_docstring

from dlnotes import plotting

X = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
Y = np.array([0, 1, 1, 0])
LATTICE = plotting.grid(X, resolution=11)
SCORES = LATTICE.points.sum(axis=1) - 0.5


def test_one_panel_a_title_with_its_own_values_and_all_points():
    panels = {"scores": SCORES, "answers": (SCORES >= 0).astype(int)}
    axes = plotting.region_panels(LATTICE, panels, X, Y, columns=2)
    assert [ax.get_title(loc="left") for ax in axes] == ["scores", "answers"]
    soft, hard = (ax.get_images()[0].get_array() for ax in axes)
    np.testing.assert_allclose(soft, SCORES.reshape(11, 11))
    assert hard.shape == (11, 11, 3)
    assert len(np.unique(hard.reshape(-1, 3), axis=0)) == 2
    for ax in axes:
        drawn = np.concatenate([np.asarray(c.get_offsets()) for c in ax.collections][-2:])
        np.testing.assert_array_equal(np.sort(drawn, axis=0), np.sort(X, axis=0))
        assert ax.get_legend() is None


def test_axes_are_labelled_at_the_outer_panels_and_threshold_is_used():
    names = ("length (cm)", "width (cm)")
    panels = {"a": np.full(121, 0.2), "b": np.full(121, 0.3)}
    first, second = plotting.region_panels(
        LATTICE, panels, columns=2, feature_names=names, threshold=0.25, panel_size=(2, 1)
    )
    assert (first.get_xlabel(), first.get_ylabel()) == names
    assert (second.get_xlabel(), second.get_ylabel()) == (names[0], "")
    assert first.get_images()[0].norm.vmin == pytest.approx(0.2)  # 0.25 − 0.05 … 0.25 + 0.05
    assert first.get_images()[0].norm.vmax == pytest.approx(0.3)
    np.testing.assert_allclose(first.figure.get_size_inches(), (4, 1))


@pytest.mark.parametrize(
    ("panels", "error", "match"),
    [
        ([SCORES], TypeError, "`panels` must map titles to values"),
        ({}, ValueError, "`panels` must hold at least one panel"),
        ({"a": SCORES[:5]}, ValueError, "`values` must hold one row for each of the 121"),
    ],
)
def test_refusals(panels, error, match):
    with pytest.raises(error, match=match):
        plotting.region_panels(LATTICE, panels)


def test_docstring():
    check_docstring(plotting.region_panels)
