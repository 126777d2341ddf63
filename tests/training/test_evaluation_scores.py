import warnings

import numpy as np
import pytest
from contracts import Refusal, check_docstring, check_refusals

from dlnotes import training
from dlnotes.runtime import quiet_start

with quiet_start():
    import keras

Y = np.array([0, 0, 0, 1, 1])
PROBABILITY = np.array([0.1, 0.3, 0.8, 0.7, 0.2])
LABELS = np.array([0, 1, 2, 2])
PROBABILITIES = np.array([[0.7, 0.2, 0.1], [0.5, 0.3, 0.2], [0.1, 0.1, 0.8], [0.2, 0.5, 0.3]])
NUMBERS = np.array([1.0, 2.0, 3.0, 6.0])
PREDICTION = np.array([1.0, 3.0, 3.0, 4.0])


@pytest.fixture(autouse=True)
def _no_warning():
    # scikit-learn warns about undefined scores and about rows that miss 1 in the eighth digit.
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def test_binary_scores_by_hand():
    scores = training.evaluate_binary(Y, PROBABILITY)
    # Predicted 1: rows 2 (wrong) and 3 (right); row 4 is missed.
    np.testing.assert_array_equal(scores.confusion, [[2, 1], [1, 1]])
    assert (scores.accuracy, scores.precision, scores.recall, scores.f1) == (0.6, 0.5, 0.5, 0.5)
    # Of the 6 pairs (class 0, class 1), 0.7 beats two and 0.2 beats one.
    assert scores.roc_auc == pytest.approx(3 / 6)
    assert scores.log_loss == pytest.approx(-np.log([0.9, 0.7, 0.2, 0.7, 0.2]).mean())
    assert all(type(score) is float for score in scores[:-1])


def test_the_threshold_moves_the_prediction_and_nothing_else():
    scores = training.evaluate_binary(Y, PROBABILITY, threshold=0.7)
    np.testing.assert_array_equal(scores.confusion, [[2, 1], [2, 0]])  # 0.7 is not above 0.7
    before = training.evaluate_binary(Y, PROBABILITY)
    assert (scores.roc_auc, scores.log_loss) == (before.roc_auc, before.log_loss)


def test_scores_that_are_undefined_are_zero_and_certainty_costs_what_keras_says():
    scores = training.evaluate_binary([0, 1], [0.0, 0.0])
    assert (scores.precision, scores.recall, scores.f1) == (0, 0, 0)
    keras_loss = keras.losses.binary_crossentropy(np.float32([[0, 1]]), np.float32([[0, 0]]))
    assert scores.log_loss == pytest.approx(float(keras_loss[0]), rel=1e-5)


def test_columns_as_predict_gives_them_change_no_score():
    column = PROBABILITY[:, None]
    for y in (Y, Y[:, None]):
        assert training.evaluate_binary(y, column)[:-1] == pytest.approx(
            training.evaluate_binary(Y, PROBABILITY)[:-1]
        )
        np.testing.assert_array_equal(
            training.row_losses(y, column, "binary"), training.row_losses(Y, PROBABILITY, "binary")
        )
    assert training.evaluate_regression(NUMBERS, PREDICTION[:, None]) == (
        training.evaluate_regression(NUMBERS, PREDICTION)
    )
    assert training.row_losses(NUMBERS, PREDICTION[:, None], "regression").shape == (4,)


def test_multiclass_scores_by_hand():
    scores = training.evaluate_multiclass(LABELS, PROBABILITIES)  # predicted: 0, 0, 2, 1
    np.testing.assert_array_equal(scores.confusion, [[1, 0, 0], [1, 0, 0], [0, 1, 1]])
    assert scores.accuracy == 0.5
    np.testing.assert_allclose(scores.precision, [1 / 2, 0, 1])
    np.testing.assert_allclose(scores.recall, [1, 0, 1 / 2])
    np.testing.assert_allclose(scores.f1, [2 / 3, 0, 2 / 3])
    assert scores.macro_f1 == pytest.approx(4 / 9)
    assert scores.log_loss == pytest.approx(-np.log([0.7, 0.3, 0.8, 0.3]).mean())


def test_multiclass_keeps_classes_that_do_not_occur_and_float32_rows():
    rows = np.float32(np.pad(PROBABILITIES, ((0, 0), (0, 1)))) * np.float32(1.0001)
    scores = training.evaluate_multiclass([0, 1, 1, 1], rows)
    assert scores.confusion.shape == (4, 4)
    np.testing.assert_array_equal(scores.precision, [1 / 2, 1, 0, 0])
    np.testing.assert_array_equal(scores.recall, [1, 1 / 3, 0, 0])
    assert scores.macro_f1 == pytest.approx((2 / 3 + 1 / 2) / 4)


def test_regression_scores_by_hand():
    scores = training.evaluate_regression(NUMBERS, PREDICTION)
    assert (scores.mse, scores.rmse, scores.mae) == (1.25, 1.25**0.5, 0.75)
    assert scores.r2 == pytest.approx(1 - 5 / 14)
    assert training.evaluate_regression(NUMBERS, [3.0] * 4).r2 == 0
    assert all(type(score) is float for score in scores)


def test_row_losses_equal_keras_losses():
    probability = np.float32([0.1, 0.9, 0.0, 1.0, 0.0])
    np.testing.assert_allclose(
        training.row_losses(Y, probability, "binary"),
        keras.losses.binary_crossentropy(np.float32(Y)[:, None], probability[:, None]),
        rtol=1e-5,
        atol=1e-6,
    )
    np.testing.assert_allclose(
        training.row_losses(LABELS, PROBABILITIES, "multiclass"),
        keras.losses.sparse_categorical_crossentropy(LABELS, np.float32(PROBABILITIES)),
        rtol=1e-5,
    )
    np.testing.assert_allclose(training.row_losses(NUMBERS, PREDICTION, "regression"), [0, 1, 0, 4])


def test_row_losses_average_to_the_scores():
    certain = np.array([0.0, 1.0, 1.0, 0.3, 0.0])
    assert training.row_losses(Y, certain, "binary").mean() == pytest.approx(
        training.evaluate_binary(Y, certain).log_loss, rel=1e-12
    )
    sure = np.array([[1.0, 0, 0], [1.0, 0, 0], [0, 0.5, 0.5], [0.2, 0.5, 0.3]])
    assert training.row_losses(LABELS, sure, "multiclass").mean() == pytest.approx(
        training.evaluate_multiclass(LABELS, sure).log_loss, rel=1e-12
    )


def test_worst_rows_come_first_and_ties_in_order():
    assert training.worst_rows(Y, PROBABILITY, "binary", n=2).tolist() == [2, 4]
    assert training.worst_rows(NUMBERS, PREDICTION, "regression").tolist() == [3, 1, 0, 2]
    assert training.worst_rows(LABELS, PROBABILITIES, "multiclass", n=3).tolist() == [1, 3, 0]


NAN = np.array([0.1, 0.3, np.nan, 0.7, 0.2])
UNIT = r"`{}` must hold probabilities in \[0, 1\]; scores \(logits\) need sigmoid"
BINARY = [
    Refusal((Y, NAN), {}, ValueError, "`{}` must hold finite numbers. Received: 1 of 5"),
    Refusal((Y, PROBABILITY * 2), {}, ValueError, UNIT + ".*from 0.2 to 1.6"),
    Refusal((Y, -PROBABILITY), {}, ValueError, UNIT),
    Refusal((Y, PROBABILITY[1:]), {}, ValueError, "`y` and `{}` must have the same number of rows"),
    Refusal((Y, ["a"] * 5), {}, TypeError, "`{}` must be an array of numbers"),
    Refusal((Y + 1, PROBABILITY), {}, ValueError, "`y` must hold the labels 0 and 1"),
    Refusal((Y, np.ones((5, 2))), {}, ValueError, r"`{}` must have one column.*\(5, 2\)"),
]
MULTICLASS = [
    Refusal((LABELS, PROBABILITIES * 0.998), {}, ValueError, "Each row of `{}` must.*0.998"),
    Refusal((LABELS, PROBABILITIES * 3), {}, ValueError, UNIT),
    Refusal((LABELS + 1, PROBABILITIES), {}, ValueError, "`y` must hold class numbers 0 to 2"),
    Refusal((LABELS - 1, PROBABILITIES), {}, ValueError, "`y` must hold class numbers 0 to 2"),
    Refusal((LABELS / 2, PROBABILITIES), {}, ValueError, "`y` must hold class numbers 0 to 2"),
    Refusal((np.eye(3), PROBABILITIES[:3]), {}, ValueError, "`y` must have one column"),
    Refusal((LABELS, LABELS), {}, ValueError, "`{}` must be 2-dimensional"),
    Refusal((LABELS * 0, np.ones((4, 1))), {}, ValueError, "`{}` must have a column for each of 2"),
    Refusal((LABELS, PROBABILITIES[1:]), {}, ValueError, "`y` and `{}` must have the same number"),
    Refusal((LABELS, PROBABILITIES * np.nan), {}, ValueError, "`{}` must hold finite numbers"),
]
REGRESSION = [
    Refusal((NUMBERS, PREDICTION[1:]), {}, ValueError, "`y` and `prediction` must have the same"),
    Refusal((NUMBERS, np.ones((4, 4))), {}, ValueError, "`prediction` must have one column"),
    Refusal(
        (NUMBERS, PREDICTION * np.inf), {}, ValueError, "`prediction` must hold finite numbers"
    ),
    Refusal((list("abcd"), PREDICTION), {}, TypeError, "`y` must be an array of numbers"),
]


def named(refusals, name, *more):
    return [
        Refusal((*args, *more), kwargs, error, match.replace("{}", name))
        for args, kwargs, error, match in refusals
    ]


def test_refusals():
    check_refusals(
        training.evaluate_binary,
        [
            *named(BINARY, "probability"),
            Refusal((Y * 0, PROBABILITY), {}, ValueError, "`y` must hold both classes.*ROC"),
            Refusal(
                (Y, PROBABILITY),
                {"threshold": 1.5},
                ValueError,
                r"`threshold` must be a finite number in \[0, 1\]",
            ),
        ],
    )
    check_refusals(training.evaluate_multiclass, named(MULTICLASS, "probabilities"))
    check_refusals(
        training.evaluate_regression,
        [
            *REGRESSION,
            Refusal((NUMBERS * 0, PREDICTION), {}, ValueError, "`y` must hold different values"),
            Refusal(([1.0], [1.0]), {}, ValueError, "`y` must hold different values"),
        ],
    )
    for function in (training.row_losses, training.worst_rows):
        check_refusals(
            function,
            [
                *named(BINARY, "prediction", "binary"),
                *named(MULTICLASS, "prediction", "multiclass"),
                *named(REGRESSION, "prediction", "regression"),
                Refusal((Y, PROBABILITY, "ranking"), {}, ValueError, "`task` must be one of 'regr"),
            ],
        )
    n_refusals = [
        Refusal((Y, PROBABILITY, "binary", 0), {}, ValueError, "`n` must be an integer >= 1"),
        Refusal((Y, PROBABILITY, "binary", 2.0), {}, TypeError, "`n` must be an integer"),
    ]
    check_refusals(training.worst_rows, n_refusals)


def test_docstrings():
    for name in ("binary", "multiclass", "regression"):
        check_docstring(getattr(training, f"evaluate_{name}"))
    check_docstring(training.row_losses)
    check_docstring(training.worst_rows)
    for scores in (training.BinaryScores, training.MulticlassScores, training.RegressionScores):
        assert "evaluate_" in scores.__doc__
