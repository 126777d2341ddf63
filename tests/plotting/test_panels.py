import numpy as np
import pytest

from dlnotes import plotting

XS = np.array([0, 10, 20])
SCORES = np.array([[0.1, 0.5, 0.4], [0.2, 0.6, 0.9], [0.3, 0.7, 0.5]])
PANELS = {
    "first": {"train": SCORES, "test": SCORES / 2},
    "second": {"train": SCORES[0], "test": SCORES[1]},
}


def test_each_panel_has_its_curves_the_reference_and_the_levels():
    options = {"reference": {"plain": SCORES}, "levels": {"chance": 0.1}, "percent": True}
    axes = plotting.curve_panels(PANELS, xs=XS, **options)
    assert len(axes) == 2
    for ax, curves in zip(axes, PANELS.values(), strict=True):
        train, test, plain, chance = ax.lines
        for line, scores in ((train, curves["train"]), (test, curves["test"]), (plain, SCORES)):
            np.testing.assert_array_equal(line.get_xdata(), XS)
            np.testing.assert_allclose(line.get_ydata(), np.median(np.atleast_2d(scores), axis=0))
            assert line.get_marker() in ("", "None", None)
        assert plain.get_linestyle() == "--"
        assert chance.get_linestyle() == ":"
        np.testing.assert_allclose(chance.get_ydata(), 0.1)
        assert ax.get_legend() is None
    assert [ax.get_title(loc="left") for ax in axes] == ["first", "second"]


def test_one_legend_names_everything_once():
    options = {"reference": {"plain": SCORES}, "levels": {"chance": 0.1}, "repeats": "networks"}
    axes = plotting.curve_panels(PANELS, xs=XS, **options)
    (legend,) = axes[0].figure.legends
    names = [text.get_text() for text in legend.get_texts()]
    assert names == ["train (3 networks)", "test (3 networks)", "plain", "chance"]
    assert "median" in legend.get_title().get_text()


def test_no_note_on_bands_without_repeats():
    axes = plotting.curve_panels({"only": {"loss": SCORES[0]}}, xs=XS, metric="loss of a row")
    (legend,) = axes[0].figure.legends
    assert legend.get_title().get_text() == ""
    assert axes[0].get_ylabel() == "loss of a row"
    assert axes[0].get_xlabel() == "step"


@pytest.mark.parametrize(
    ("panels", "options", "error", "message"),
    [
        ([SCORES], {}, TypeError, "`panels` must map titles to mappings"),
        ({"a": SCORES}, {}, TypeError, "`panels` must map titles to mappings"),
        ({}, {}, ValueError, "`panels` must all hold curves of the same names"),
        ({"a": {"x": SCORES}, "b": {"y": SCORES}}, {}, ValueError, "of the same names"),
        (PANELS, {"xs": XS[:2]}, ValueError, "one score for each of the 2 `xs`"),
        (PANELS, {"levels": {"chance": "low"}}, TypeError, "`chance` must be a number"),
        (PANELS, {"reference": {"plain": [np.inf] * 3}}, ValueError, "`plain` must hold finite"),
    ],
)
def test_refuses_bad_input(panels, options, error, message):
    with pytest.raises(error, match=message):
        plotting.curve_panels(panels, **({"xs": XS} | options))


def test_equal_factors_to_the_right():
    (ax,) = plotting.curve_panels({"only": {"loss": SCORES[0]}}, xs=XS + 1, log_x=True)
    assert ax.get_xscale() == "log"
