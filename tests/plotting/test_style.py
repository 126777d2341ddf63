import matplotlib as mpl
import matplotlib.pyplot as plt
import nbclient
import nbformat
import numpy as np
import pytest

from dlnotes import plotting
from dlnotes.plotting.style import RC


def test_style_holds_inside_the_block_only():
    before = dict(mpl.rcParams)
    with plotting.style():
        assert mpl.rcParams["figure.dpi"] == 80
        assert mpl.rcParams["font.size"] == 10
        assert not mpl.rcParams["axes.spines.top"]
    assert dict(mpl.rcParams) == before


def test_style_comes_back_after_an_error():
    before = dict(mpl.rcParams)
    with pytest.raises(RuntimeError), plotting.style():
        raise RuntimeError
    assert dict(mpl.rcParams) == before


def test_no_text_size_of_the_style_is_under_nine_points():
    sizes = {key: value for key, value in RC.items() if key.endswith(("size", "fontsize"))}
    assert len(sizes) >= 6
    assert all(value >= 9 for value in sizes.values()), sizes


def test_colors_and_markers_are_all_different():
    colors, markers = plotting.class_colors(10), plotting.class_markers(10)
    assert len(set(colors)) == len(set(markers)) == 10
    assert plotting.class_colors(3) == colors[:3]


def test_neighbouring_colors_differ_in_brightness_or_hue_for_red_green_blind_readers():
    # Viénot, Brettel and Mollon's projection for deuteranopia, on linear RGB.
    rgb = np.array([mpl.colors.to_rgb(color) for color in plotting.class_colors(4)]) ** 2.2
    to_lms = np.array([[17.8824, 43.5161, 4.1193], [3.4557, 27.1554, 3.8671], [0.03, 0.184, 1.467]])
    deuteranopia = np.array([[1, 0, 0], [0.494207, 0, 1.24827], [0, 0, 1]])
    seen = rgb @ (np.linalg.inv(to_lms) @ deuteranopia @ to_lms).T
    seen = np.clip(seen, 0, 1) ** (1 / 2.2)
    distances = [np.linalg.norm(a - b) for i, a in enumerate(seen) for b in seen[:i]]
    assert min(distances) > 0.15, distances


@pytest.mark.parametrize("function", [plotting.class_colors, plotting.class_markers])
def test_class_counts_out_of_range_are_refused(function):
    with pytest.raises(ValueError, match=r"`n` must be an integer in \[1, 10\]. Received: n=11"):
        function(11)
    with pytest.raises(ValueError, match="Received: n=0"):
        function(0)
    with pytest.raises(TypeError, match=r"`n` must be an integer. Received: n=2.5"):
        function(2.5)


def test_a_new_figure_has_the_style_after_its_block_too():
    ax = plotting.function_curves([0.0, 1.0], {"f": [0.0, 1.0]})
    ax.set_xticks(np.linspace(0, 1, 30))  # ticks that do not exist before
    ax.figure.canvas.draw()
    assert ax.figure.dpi == 80
    assert {label.get_fontsize() for label in ax.get_xticklabels()} == {9.0}
    assert not ax.spines["top"].get_visible()
    assert plt.get_fignums() == [ax.figure.number]  # so that a notebook shows it, once


def test_a_notebook_shows_each_figure_once(monkeypatch):
    monkeypatch.delenv("MPLBACKEND", raising=False)
    cells = [
        "from dlnotes import plotting",
        "ax = plotting.function_curves([0, 1], {'f': [0, 1]})\n"
        "_ = plotting.line([1, -1], 0, ax=ax)",
        "import matplotlib.pyplot as plt\nplt.get_fignums()",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    nbclient.NotebookClient(notebook, timeout=60, kernel_name="python3").execute()
    quiet, drawn, after = (cell.outputs for cell in notebook.cells)
    assert quiet == []
    assert [sorted(output["data"]) for output in drawn] == [["image/png", "text/plain"]]
    assert drawn[0]["data"]["text/plain"].startswith("<Figure size ")
    assert after[0]["data"]["text/plain"] == "[]"
