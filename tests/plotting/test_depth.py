import numpy as np
import pytest
from contracts import Refusal, check_docstring, check_plot_contract, check_refusals

from dlnotes import plotting

VALUES = np.array([[1.0, 0.1, 3.2e-7, 0.0], [1.0, 20.0, 431.0, 5e9]])
LABELS = ["small", "large"]
RNG = np.random.default_rng(0)
LAYERS = [RNG.normal(size=(50, 4)), 0.1 * RNG.normal(size=300), np.full((3, 3), 0.5)]


@pytest.mark.parametrize("helper", [plotting.layer_heatmap, plotting.layer_distributions])
def test_docstrings(helper):
    check_docstring(helper)


def test_contracts():
    check_plot_contract(plotting.layer_heatmap, [VALUES], {"row_labels": LABELS, "ylabel": "start"})
    check_plot_contract(plotting.layer_distributions, [LAYERS], {"span": (-3, 3)})


# === layer_heatmap ===


def test_heatmap_colours_by_powers_of_ten_and_writes_the_numbers():
    ax = plotting.layer_heatmap(VALUES, row_labels=LABELS, reach=4)
    image = ax.get_images()[0]
    np.testing.assert_allclose(
        image.get_array(), [[0, -1, -4, -4], [0, np.log10(20), np.log10(431), 4]]
    )
    assert image.get_clim() == (-4, 4)
    written = [text.get_text() for text in ax.texts]
    assert written == ["1", "0.1", "3e-7", "0", "1", "20", "431", "5e9"]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["1", "2", "3", "4"]
    assert [label.get_text() for label in ax.get_yticklabels()] == LABELS


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.096, "0.096"),
        (0.094, "0.09"),
        (0.0096, "0.01"),
        (0.0094, "9e-3"),
        (0.996, "1"),
        (99.6, "100"),
        (12.4, "12"),
        (999.7, "1e3"),
        (5e-16, "5e-16"),
    ],
)
def test_numbers_fit_into_their_squares(value, text):
    ax = plotting.layer_heatmap([[value]], row_labels=["a"], value_label=None)
    assert ax.texts[0].get_text() == text


def test_one_is_white_and_the_ends_have_opposite_colours():
    image = plotting.layer_heatmap([[1e-4, 1.0, 1e4]], row_labels=["a"]).get_images()[0]
    low, middle, high = image.cmap(image.norm(image.get_array()[0]))
    assert min(middle[:3]) > 0.95
    assert low[2] > low[0] + 0.2
    assert high[0] > high[2] + 0.2


def test_numbers_stand_out_from_their_squares():
    values = 10.0 ** np.linspace(-5, 5, 21)[None]
    ax = plotting.layer_heatmap(values, row_labels=["a"])
    image = ax.get_images()[0]
    for text in ax.texts:
        column, row = (int(place) for place in text.get_position())
        square = np.mean(image.cmap(image.norm(image.get_array()[row, column]))[:3])
        assert abs(square - (text.get_color() == "white")) > 0.3


def test_colour_bar_shows_powers_and_can_be_left_out():
    ax = plotting.layer_heatmap(VALUES, row_labels=LABELS, value_label="size")
    bar = ax.get_images()[0].colorbar
    assert bar.ax.get_ylabel() == "size"
    assert "$10^{-4}$" in [label.get_text() for label in bar.ax.get_yticklabels()]
    ax = plotting.layer_heatmap(VALUES, row_labels=LABELS, value_label=None)
    assert ax.get_images()[0].colorbar is None


def test_layers_are_numbered_from_where_they_start():
    ax = plotting.layer_heatmap(VALUES, row_labels=LABELS, first_layer=0)
    assert [label.get_text() for label in ax.get_xticklabels()] == ["0", "1", "2", "3"]


# === layer_distributions ===


def outlines(ax):
    """Return for each shape its heights' extent and its greatest half width around its layer."""
    found = []
    for layer, patch in enumerate(ax.patches, start=1):
        points = patch.get_path().vertices
        across = np.abs(points[:, 0] - layer)
        filled = points[across > 1e-9]
        found.append((filled[:, 1].min(), filled[:, 1].max(), across.max()))
    return found


def test_shapes_cover_where_the_numbers_are():
    ax = plotting.layer_distributions(LAYERS, span=(-3, 3), bins=60)
    shapes = outlines(ax)
    assert len(shapes) == 3
    for numbers, (low, high, half) in zip(LAYERS, shapes, strict=True):
        assert np.isclose(half, 0.45)
        assert abs(low - max(numbers.min(), -3)) <= 0.1 + 1e-9
        assert abs(high - min(numbers.max(), 3)) <= 0.1 + 1e-9


def test_width_follows_the_counts():
    ax = plotting.layer_distributions([[0.5, 0.5, 0.5, 1.5]], span=(0, 2), bins=2)
    edge = ax.patches[0].get_data()
    np.testing.assert_allclose(edge.values, [1 + 0.45, 1 + 0.15])
    np.testing.assert_allclose(edge.baseline, [1 - 0.45, 1 - 0.15])


def test_numbers_outside_the_span_are_kept_at_its_ends():
    ax = plotting.layer_distributions([[0.5, 99.0, 98.0]], span=(0, 2), bins=2)
    np.testing.assert_allclose(ax.patches[0].get_data().values, [1 + 0.225, 1 + 0.45])


# === refusals ===


def test_refusals():
    check_refusals(
        plotting.layer_heatmap,
        [
            Refusal(([1.0],), {"row_labels": ["a"]}, ValueError, "`values` must be 2-dimensional"),
            Refusal(([[-1.0]],), {"row_labels": ["a"]}, ValueError, "must not be negative"),
            Refusal(([[np.inf]],), {"row_labels": ["a"]}, ValueError, "finite numbers"),
            Refusal((VALUES,), {"row_labels": ["a"]}, ValueError, "`row_labels` must hold 2"),
            Refusal(
                (VALUES,),
                {"row_labels": LABELS, "reach": 0},
                ValueError,
                "`reach` must be a finite",
            ),
        ],
    )
    check_refusals(
        plotting.layer_distributions,
        [
            Refusal(([],), {"span": (0, 1)}, ValueError, "`layers` must not be empty"),
            Refusal((3,), {"span": (0, 1)}, TypeError, "`layers` must be a sequence"),
            Refusal((LAYERS,), {"span": (1, 1)}, ValueError, "`span` must rise"),
            Refusal(
                (LAYERS,), {"span": (0, 1), "bins": 1}, ValueError, "`bins` must be an integer"
            ),
            Refusal(([["a"]],), {"span": (0, 1)}, TypeError, r"`layers\[0\]` must be an array"),
        ],
    )
