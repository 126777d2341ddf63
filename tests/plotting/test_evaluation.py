import numpy as np
import pytest
from contracts import Refusal, check_docstring, check_plot_contract, check_refusals
from matplotlib.patches import Rectangle

from dlnotes import plotting

Y = np.array([0, 0, 0, 1, 1, 2])
PREDICTED = np.array([0, 0, 1, 1, 0, 2])
LABELS = np.array([0, 0, 0, 1, 1])
SCORES = np.array([0.1, 0.3, 0.8, 0.7, 0.2])
NUMBERS = np.array([10.0, 20.0, 30.0, 40.0])
GUESSES = np.array([12.0, 20.0, 24.0, 40.0])


def texts_of(ax):
    return [text.get_text() for text in ax.texts]


def legend_texts(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def line_named(ax, label):
    return next(line for line in ax.lines if line.get_label() == label)


def tick_texts(axis):
    return [label.get_text() for label in axis.get_ticklabels()]


# === confusion_matrix ===


def test_confusion_matrix_counts_true_classes_in_rows():
    ax = plotting.confusion_matrix(Y, PREDICTED, class_names=["cat", "dog", "owl"])
    assert texts_of(ax) == ["2", "1", "0", "1", "1", "0", "0", "0", "1"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("predicted class", "true class")
    assert tick_texts(ax.xaxis) == tick_texts(ax.yaxis) == ["cat", "dog", "owl"]


@pytest.mark.parametrize(
    ("normalize", "texts", "labels"),
    [
        ("true", "67% 33% 0% 50% 50% 0% 0% 0% 100%", ("", " (each row: 100%)")),
        ("pred", "67% 50% 0% 33% 50% 0% 0% 0% 100%", (" (each column: 100%)", "")),
        ("all", "33% 17% 0% 17% 17% 0% 0% 0% 17%", (" (all squares together: 100%)", "")),
    ],
)
def test_confusion_matrix_shares_say_of_what(normalize, texts, labels):
    ax = plotting.confusion_matrix(Y, PREDICTED, normalize=normalize)
    assert texts_of(ax) == texts.split()
    assert ax.get_xlabel() == "predicted class" + labels[0]
    assert ax.get_ylabel() == "true class" + labels[1]


def test_confusion_matrix_keeps_empty_classes_and_takes_columns_of_bools():
    ax = plotting.confusion_matrix([0, 1], [[False], [False]], class_names=["no", "yes", "maybe"])
    assert texts_of(ax) == ["1", "0", "0", "1", "0", "0", "0", "0", "0"]
    assert tick_texts(plotting.confusion_matrix([0, 0], [0, 0]).xaxis) == ["0", "1"]


def test_confusion_matrix_refuses():
    check_refusals(
        plotting.confusion_matrix,
        [
            Refusal((LABELS, SCORES), {}, ValueError, "`predicted` must hold classes.*probabilit"),
            Refusal((Y - 1, PREDICTED), {}, ValueError, "`y` must hold classes, whole numbers"),
            Refusal(
                (Y, PREDICTED), {"class_names": "ab"}, TypeError, "`class_names` must be a sequence"
            ),
            Refusal(
                (Y, PREDICTED),
                {"class_names": ["a", "b"]},
                ValueError,
                "`y` must hold.*from 0 to 1",
            ),
            Refusal((Y, PREDICTED[1:]), {}, ValueError, "`y` and `predicted` must have the same"),
            Refusal((Y, np.eye(6)), {}, ValueError, "`predicted` must have one column"),
            Refusal((Y, ["a"] * 6), {}, TypeError, "`predicted` must be an array of numbers"),
            Refusal((Y, PREDICTED), {"normalize": "row"}, ValueError, "`normalize` must be one of"),
        ],
    )


# === roc_curve ===


def test_roc_curve_goes_through_each_threshold_and_names_its_area():
    ax = plotting.roc_curve(LABELS, SCORES)
    # From the highest score down: 0.8 (class 0), 0.7 (1), 0.3 (0), 0.2 (1), 0.1 (0).
    third = 1 / 3
    np.testing.assert_allclose(
        line_named(ax, "AUC 0.50").get_data(),
        [[0, third, third, 2 * third, 2 * third, 1], [0, 0, 0.5, 0.5, 1, 1]],
    )
    assert legend_texts(ax) == ["guessing (AUC 0.50)", "AUC 0.50"]
    np.testing.assert_array_equal(line_named(ax, "guessing (AUC 0.50)").get_data(), [[0, 1]] * 2)
    assert (ax.get_xlabel(), ax.get_ylabel()) == (
        "false positive rate",
        "true positive rate (recall)",
    )


def test_roc_curve_compares_models_by_color_and_line_style():
    models = {"perfect": LABELS[:, None] * 1.0, "reversed": -SCORES, "constant": np.zeros(5)}
    ax = plotting.roc_curve(LABELS[:, None], models)
    assert legend_texts(ax)[1:] == [
        "perfect (AUC 1.00)",
        "reversed (AUC 0.50)",
        "constant (AUC 0.50)",
    ]
    np.testing.assert_array_equal(
        line_named(ax, "perfect (AUC 1.00)").get_data(), [[0, 0, 1], [0, 1, 1]]
    )
    assert len({line.get_color() for line in ax.lines}) == 4
    assert len({str(line.get_linestyle()) for line in ax.lines[1:]}) == 3


def test_roc_curve_refuses():
    check_refusals(
        plotting.roc_curve,
        [
            Refusal((LABELS * 0, SCORES), {}, ValueError, "`y` must hold both classes"),
            Refusal((Y, np.zeros(6)), {}, ValueError, "`y` must hold the labels 0 and 1"),
            Refusal(
                (LABELS, SCORES[1:]), {}, ValueError, "`scores` must have one score for each of"
            ),
            Refusal((LABELS, SCORES * np.nan), {}, ValueError, "`scores` must hold finite numbers"),
            Refusal(
                (LABELS, {"a": SCORES[1:]}), {}, ValueError, r"`scores\['a'\]` must have one sc"
            ),
            Refusal(
                (LABELS, {"a": np.eye(5)}), {}, ValueError, r"`scores\['a'\]` must have one col"
            ),
            Refusal((LABELS, {"a": "b"}), {}, TypeError, r"`scores\['a'\]` must be an array"),
            Refusal((LABELS, {}), {}, ValueError, "`scores` must hold 1 to 10 curves"),
            Refusal(
                (LABELS, dict.fromkeys("abcdefghijk", SCORES)),
                {},
                ValueError,
                "`scores` must hold 1 to 10 curves",
            ),
        ],
    )


# === residuals and predicted_against_true ===


def test_residuals_are_true_minus_predicted_over_the_prediction():
    ax = plotting.residuals(NUMBERS, GUESSES[:, None], unit="cm")
    np.testing.assert_array_equal(
        ax.collections[0].get_offsets(), np.column_stack([GUESSES, [-2.0, 0, 6, 0]])
    )
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), [0, 0])
    band = next(patch for patch in ax.patches if isinstance(patch, Rectangle))
    rmse = 10**0.5  # of the squares 4, 0, 36, 0
    np.testing.assert_allclose([band.get_y(), band.get_height()], [-rmse, 2 * rmse])
    assert legend_texts(ax) == ["± RMSE (3.16)"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("predicted value (cm)", "true − predicted (cm)")


def test_predictions_over_true_values_have_a_diagonal_through_all_of_both():
    ax = plotting.predicted_against_true(NUMBERS, GUESSES - 5)
    np.testing.assert_array_equal(
        ax.collections[0].get_offsets(), np.column_stack([NUMBERS, GUESSES - 5])
    )
    np.testing.assert_array_equal(line_named(ax, "predicted = true").get_data(), [[7, 40]] * 2)
    assert ax.get_aspect() == 1
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("true value", "predicted value")


@pytest.mark.parametrize("helper", [plotting.residuals, plotting.predicted_against_true])
def test_more_points_are_drawn_lighter(helper):
    axes = [helper(np.tile(NUMBERS, n), np.tile(GUESSES, n)) for n in (1, 100, 1000)]
    assert [ax.collections[0].get_alpha() for ax in axes] == [0.9, 0.5, 0.25]


@pytest.mark.parametrize("helper", [plotting.residuals, plotting.predicted_against_true])
def test_residual_helpers_refuse(helper):
    check_refusals(
        helper,
        [
            Refusal(
                (NUMBERS, GUESSES[1:]), {}, ValueError, "`y` and `predicted` must have the same"
            ),
            Refusal(
                (NUMBERS, np.eye(4)), {}, ValueError, r"`predicted` must have one col.*\(4, 4\)"
            ),
            Refusal((NUMBERS * np.inf, GUESSES), {}, ValueError, "`y` must hold finite numbers"),
            Refusal((NUMBERS, list("abcd")), {}, TypeError, "`predicted` must be an array"),
            Refusal((NUMBERS, GUESSES), {"unit": 3}, TypeError, "`unit` must be a text"),
            Refusal((NUMBERS, GUESSES), {"title": 3}, TypeError, "`title` must be a text"),
        ],
    )


def test_helpers_keep_the_plot_contract():
    check_plot_contract(plotting.confusion_matrix, [Y, PREDICTED], {"title": "t"})
    check_plot_contract(plotting.roc_curve, [LABELS, SCORES], {"title": "t"})
    check_plot_contract(plotting.residuals, [NUMBERS, GUESSES], {"title": "t"})
    check_plot_contract(plotting.predicted_against_true, [NUMBERS, GUESSES], {"title": "t"})
    for name in ("confusion_matrix", "roc_curve", "residuals", "predicted_against_true"):
        check_docstring(getattr(plotting, name))
