import numpy as np
import pytest

from dlnotes import plotting

VALUES = np.array([0.0, 0.1, 0.1, 0.9, 5.0, -3.0])


def test_shares_add_up_and_outliers_fall_into_the_outermost_bins():
    ax = plotting.histograms({"a": VALUES}, bins=[0.0, 0.5, 1.0])
    line = ax.patches[0]
    np.testing.assert_allclose(line.get_data().values, [4 / 6, 2 / 6])
    np.testing.assert_allclose(line.get_data().edges, [0, 0.5, 1])


def test_samples_of_different_sizes_share_bins():
    ax = plotting.histograms({"a": VALUES, "b": VALUES[:2].reshape(1, 2)}, bins=4, title="T")
    data = [patch.get_data() for patch in ax.patches if not patch.get_fill()]
    assert len(data) == 2
    np.testing.assert_array_equal(data[0].edges, data[1].edges)
    np.testing.assert_allclose(data[0].edges, np.linspace(-3, 5, 5))
    for one in data:
        assert one.values.sum() == pytest.approx(1)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["a", "b"]
    assert ax.get_title(loc="left") == "T"


def test_labels_scale_and_given_axes():
    first = plotting.histograms({"a": VALUES})
    again = plotting.histograms({"b": VALUES}, ax=first, log_y=True, xlabel="weight")
    assert again is first
    assert first.get_yscale() == "log"
    assert first.get_xlabel() == "weight"
    assert first.get_ylabel() == "share of values"


@pytest.mark.parametrize(
    ("samples", "options", "error", "message"),
    [
        ([1.0], {}, TypeError, "`samples` must map names to arrays"),
        ({}, {}, ValueError, "`samples` must hold 1 to"),
        ({"a": []}, {}, ValueError, "must not be empty"),
        ({"a": [np.nan]}, {}, ValueError, "must hold finite numbers"),
        ({"a": [1.0]}, {"bins": 0}, ValueError, "`bins` must be an integer >= 1"),
        (
            {"a": [1.0]},
            {"bins": [1.0, 0.0]},
            ValueError,
            "`bins` must hold at least two increasing",
        ),
        ({"a": [1.0]}, {"ax": 3}, TypeError, "`ax` must be a matplotlib Axes"),
    ],
)
def test_refuses_bad_input(samples, options, error, message):
    with pytest.raises(error, match=message):
        plotting.histograms(samples, **options)
