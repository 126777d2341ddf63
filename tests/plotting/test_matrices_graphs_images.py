import matplotlib.pyplot as plt
import numpy as np
import pytest
from contracts import check_docstring, check_plot_contract
from matplotlib.patches import Circle

from dlnotes import plotting

MATRIX = np.array([[1.0, -2.0, 0.5], [4.0, 0.0, -0.25]])


def texts_of(ax):
    return [text.get_text() for text in ax.texts]


# === heatmap ===


def test_heatmap_writes_each_number_into_its_square():
    ax = plotting.heatmap(MATRIX, annotate=".1f", row_labels=["a", "b"], xlabel="unit")
    assert texts_of(ax) == ["1.0", "-2.0", "0.5", "4.0", "0.0", "-0.2"]
    assert ax.texts[3].get_position() == (0, 1)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a", "b"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("unit", "row")
    np.testing.assert_array_equal(ax.get_images()[0].get_array(), MATRIX)


def test_heatmap_writes_counts_as_whole_numbers_or_nothing():
    assert texts_of(plotting.heatmap([[10, 200]])) == ["10", "200"]
    assert texts_of(plotting.heatmap([[10, 200]], annotate=False)) == []
    assert texts_of(plotting.heatmap(np.array([[True, False]]))) == ["1", "0"]


def test_heatmap_numbers_stand_out_from_their_squares():
    ax = plotting.heatmap(np.linspace(0, 1, 12).reshape(3, 4))
    image = ax.get_images()[0]
    for text in ax.texts:
        column, row = text.get_position()
        square = np.mean(image.cmap(image.norm(image.get_array()[row, column]))[:3])
        assert abs(square - (text.get_color() == "white")) > 0.3


def test_heatmap_puts_zero_in_the_middle_when_diverging():
    image = plotting.heatmap(MATRIX, diverging=True, value_label="weight").get_images()[0]
    assert (image.norm.vmin, image.norm.vmax) == (-4, 4)


@pytest.mark.parametrize(
    ("kwargs", "error", "match"),
    [
        ({"matrix": [1, 2]}, ValueError, "`matrix` must be 2-dimensional"),
        ({"matrix": [["a"]]}, TypeError, "`matrix` must be an array of numbers"),
        ({"row_labels": ["a"]}, ValueError, "`row_labels` must hold 2 texts"),
        ({"column_labels": "abc"}, TypeError, "`column_labels` must be a sequence of texts"),
        ({"annotate": "hello"}, ValueError, "`annotate` must be a number format"),
        ({"annotate": 3}, TypeError, "`annotate` must be a bool or a format"),
    ],
)
def test_heatmap_refuses(kwargs, error, match):
    with pytest.raises(error, match=match):
        plotting.heatmap(**{"matrix": MATRIX, **kwargs})


# === network_graph ===


def test_network_graph_names_all_parameters_of_a_2_2_1_net():
    ax = plotting.network_graph((2, 2, 1), edge_labels="names")
    texts = texts_of(ax)
    weights = [text for text in texts if text.startswith("$w")]
    biases = [text for text in texts if text.startswith("$b")]
    assert sorted(weights) == sorted(
        [f"$w_{{{i}{j}}}^{{1}}$" for i in (1, 2) for j in (1, 2)] + ["$w_{11}^{2}$", "$w_{21}^{2}$"]
    )
    assert sorted(biases) == ["$b_{11}$", "$b_{12}$", "$b_{21}$"]
    assert len(weights) + len(biases) == 9
    assert {"$x_1$", "$x_2$", r"$\hat{y}$", "inputs", "hidden layer", "output"} <= set(texts)
    assert len([patch for patch in ax.patches if isinstance(patch, Circle)]) == 5


def test_network_graph_names_biases_by_layer_and_then_node():
    texts = texts_of(plotting.network_graph((2, 3, 1)))
    biases = [text for text in texts if text.startswith("$b")]
    assert biases == ["$b_{11}$", "$b_{12}$", "$b_{13}$", "$b_{21}$"]


def test_network_graph_puts_each_label_on_its_own_edge():
    ax = plotting.network_graph((3, 4, 2), edge_labels="names")
    x1 = next(p.center for p in ax.patches if isinstance(p, Circle))
    labels = [text for text in ax.texts if text.get_text().startswith("$w")]
    edges = [np.column_stack(line.get_data()) for line in ax.lines]
    assert len(labels) == len(edges) == 20
    for label, (start, end) in zip(labels, edges, strict=True):
        place = np.array(label.get_position())
        t = (place[0] - start[0]) / (end[0] - start[0])
        assert 0.1 < t < 0.9
        np.testing.assert_allclose(place, start + t * (end - start), atol=1e-9)
    np.testing.assert_allclose(edges[0][0], x1)
    places = np.array([label.get_position() for label in labels])
    gaps = np.max(abs(places[:, None] - places) / [0.5, 0.3], axis=-1)  # in sizes of a label
    assert gaps[~np.eye(20, dtype=bool)].min() > 1
    ax.figure.canvas.draw()
    boxes = [label.get_window_extent() for label in labels]
    overlapping = [
        (labels[i].get_text(), labels[j].get_text())
        for i in range(20)
        for j in range(i)
        if boxes[i].overlaps(boxes[j])
    ]
    assert not overlapping


def test_network_graph_shows_sign_and_size_of_the_weights():
    weights = [[[4.0], [-2.0]]]
    ax = plotting.network_graph((2, 1), weights=weights, edge_labels="values")
    positive, negative = ax.lines
    assert positive.get_color() != negative.get_color()
    assert positive.get_linestyle() != negative.get_linestyle()
    assert positive.get_linewidth() > negative.get_linewidth()
    assert {"4", "−2"} <= set(texts_of(ax))


def test_network_graph_takes_own_labels():
    ax = plotting.network_graph(
        (1, 2),
        node_labels=[["in"], ["OR", "AND"]],
        edge_labels=[[["left", "right"]]],
        layer_names=["A", "B"],
    )
    assert {"in", "OR", "AND", "left", "right", "A", "B"} <= set(texts_of(ax))


@pytest.mark.parametrize(
    ("kwargs", "error", "match"),
    [
        ({"layer_sizes": (2,)}, ValueError, "`layer_sizes` must hold 2 to 6 layers"),
        ({"layer_sizes": (2, 9)}, ValueError, r"`layer_sizes` must be an integer in \[1, 8\]"),
        ({"layer_sizes": "21"}, TypeError, "`layer_sizes` must be a sequence of integers"),
        ({"layer_sizes": (2, 1.0)}, TypeError, "`layer_sizes` must be an integer"),
        ({"weights": []}, ValueError, "`weights` must hold 1 matrices"),
        ({"weights": [[[1.0, 2.0]]]}, ValueError, r"`weights\[0\]` must have shape \(2, 1\)"),
        ({"edge_labels": "all"}, ValueError, '`edge_labels` must be "names", "values", None'),
        ({"edge_labels": "values"}, ValueError, '`edge_labels="values"` must come with `weights`'),
        ({"edge_labels": [[["a"]]]}, ValueError, "`edge_labels` must have the shapes of the wei"),
        ({"node_labels": [["a", "b"]]}, ValueError, "`node_labels` must hold 2 layers"),
        ({"node_labels": [["a"], ["b"]]}, ValueError, r"`node_labels\[0\]` must hold 2 texts"),
        ({"layer_names": ["a"]}, ValueError, "`layer_names` must hold 2 texts"),
    ],
)
def test_network_graph_refuses(kwargs, error, match):
    with pytest.raises(error, match=match):
        plotting.network_graph(**{"layer_sizes": (2, 1), **kwargs})


# === image_grid ===

IMAGES = np.arange(5 * 4 * 3, dtype=float).reshape(5, 4, 3)


def test_image_grid_draws_all_on_one_scale():
    axes = plotting.image_grid(IMAGES, titles=range(5), columns=3, title="Digits")
    assert axes.shape == (5,)
    for ax, image in zip(axes, IMAGES, strict=True):
        drawn = ax.get_images()[0]
        np.testing.assert_array_equal(drawn.get_array(), image)
        assert (drawn.norm.vmin, drawn.norm.vmax) == (0, 59)
    assert [ax.get_title() for ax in axes] == list("01234")
    assert axes[0].figure.get_suptitle() == "Digits"
    assert plt.get_fignums() == [axes[0].figure.number]


def test_image_grid_takes_one_or_three_channels():
    grey = plotting.image_grid(IMAGES[..., None])
    assert grey[0].get_images()[0].get_array().shape == (4, 3)
    colors = plotting.image_grid(np.full((2, 4, 4, 3), 200, dtype=np.uint8))
    assert colors[0].get_images()[0].get_array().shape == (4, 4, 3)


@pytest.mark.parametrize(
    ("kwargs", "error", "match"),
    [
        ({"images": IMAGES[0]}, ValueError, "`images` must be 3-dimensional or 4-dimensional"),
        ({"images": "cat"}, TypeError, "`images` must be an array of numbers"),
        ({"images": np.zeros((65, 2, 2))}, ValueError, "`num_panels` must be an integer in"),
        ({"images": np.zeros((2, 4, 4, 2))}, ValueError, "`images` must have 1 or 3 channels"),
        (
            {"images": np.full((1, 4, 4, 3), 2.0)},
            ValueError,
            "colours must hold numbers from 0 to 1",
        ),
        ({"titles": ["a"]}, ValueError, "`titles` must hold 5 texts"),
        ({"vmin": 3, "vmax": 2}, ValueError, "`vmin` must not exceed `vmax`"),
    ],
)
def test_image_grid_refuses(kwargs, error, match):
    with pytest.raises(error, match=match):
        plotting.image_grid(**{"images": IMAGES, **kwargs})


def test_helpers_keep_the_plot_contract():
    check_plot_contract(plotting.heatmap, [MATRIX], {"value_label": "v", "title": "t"})
    check_plot_contract(
        plotting.network_graph, [(2, 2, 1)], {"edge_labels": "names"}, has_axis_labels=False
    )
    check_plot_contract(
        plotting.image_grid,
        [IMAGES],
        {"titles": list("abcde")},
        takes_ax=False,
        has_axis_labels=False,
    )
    for name in ("heatmap", "network_graph", "image_grid"):
        check_docstring(getattr(plotting, name))
