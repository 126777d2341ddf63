"""How good are predictions? Scores by task, and the rows that cost most.

The scores are scikit-learn's. What is added: arguments are checked, so that a wrong shape or a
probability that is none gives an error and not a number.
"""

from typing import Any, NamedTuple

import numpy as np

from dlnotes.validation import (
    check_array,
    check_choice,
    check_class_numbers,
    check_column,
    check_float,
    check_int,
    check_labels,
    check_same_length,
    received,
)

TASKS = ("regression", "binary", "multiclass")
CLIP = 1e-7  # keras.config.epsilon(): a wrong probability of 0 costs −ln 1e-7 = 16.1, not infinity
ROW_SUM_TOLERANCE = 1e-3  # softmax in float16 misses 1 by up to 5e-4


class BinaryScores(NamedTuple):
    """What `evaluate_binary` measures; class 1 is the positive class.

    ``confusion[i, j]`` counts the rows of class i that were predicted as class j.
    """

    accuracy: float
    precision: float
    recall: float
    f1: float
    roc_auc: float
    log_loss: float
    confusion: np.ndarray


class MulticlassScores(NamedTuple):
    """What `evaluate_multiclass` measures; precision, recall and f1 have one value a class.

    ``confusion[i, j]`` counts the rows of class i that were predicted as class j.
    """

    accuracy: float
    precision: np.ndarray
    recall: np.ndarray
    f1: np.ndarray
    macro_f1: float
    log_loss: float
    confusion: np.ndarray


class RegressionScores(NamedTuple):
    """What `evaluate_regression` measures; rmse and mae are in the target's unit."""

    mse: float
    rmse: float
    mae: float
    r2: float


def evaluate_binary(y: Any, probability: Any, *, threshold: float = 0.5) -> BinaryScores:
    """Score the predicted probabilities of class 1.

    Precision, recall and F1 are those of class 1, and 0 where they are undefined, as when no row
    is predicted to be of class 1. The area under the ROC curve and the log loss do not depend on
    the threshold. Keras' `AUC` metric approximates the area with 200 thresholds; this is exact.

    Args:
        y: The true classes 0 and 1, shape (N,) or (N, 1), both present.
        probability: Probability of class 1 for each row, in [0, 1], shape (N,) or (N, 1).
        threshold: A row is predicted to be of class 1 if its probability is greater, in [0, 1].

    Returns:
        The scores.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If shapes differ, a value is out of range or NaN, or a class is missing.

    References:
        Fawcett, An introduction to ROC analysis, Pattern Recognition Letters 27, 2006.

    Example:
        >>> scores = evaluate_binary([0, 0, 1, 1], [0.1, 0.6, 0.4, 0.9])
        >>> scores.accuracy, scores.roc_auc
        (0.5, 0.75)
        >>> scores.confusion
        array([[1, 1],
               [1, 1]])
    """
    from sklearn import metrics

    y, probability = _check_binary(y, probability)
    threshold = check_float("threshold", threshold, low=0, high=1)
    if len(np.unique(y)) < 2:
        raise ValueError(
            "`y` must hold both classes, or the area under the ROC curve is undefined. "
            f"{received(y=np.unique(y))}"
        )
    predicted = (probability > threshold).astype(int)
    return BinaryScores(
        accuracy=float(metrics.accuracy_score(y, predicted)),
        precision=float(metrics.precision_score(y, predicted, zero_division=0.0)),
        recall=float(metrics.recall_score(y, predicted, zero_division=0.0)),
        f1=float(metrics.f1_score(y, predicted, zero_division=0.0)),
        roc_auc=float(metrics.roc_auc_score(y, probability)),
        log_loss=float(metrics.log_loss(y, np.clip(probability, CLIP, 1 - CLIP))),
        confusion=metrics.confusion_matrix(y, predicted, labels=(0, 1)),
    )


def evaluate_multiclass(y: Any, probabilities: Any) -> MulticlassScores:
    """Score predicted class probabilities, of which the largest is the prediction.

    Precision, recall and F1 are 0 for a class where they are undefined; `macro_f1` is the mean of
    F1 over the K classes, each counting the same.

    Args:
        y: The true classes, whole numbers from 0 to K − 1, shape (N,) or (N, 1).
        probabilities: Probability of each class, shape (N, K), K >= 2; each row sums to 1.

    Returns:
        The scores.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If shapes differ, or a value is out of range or NaN.

    Example:
        >>> probabilities = [[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.6, 0.0, 0.4]]
        >>> evaluate_multiclass([0, 1, 2], probabilities).recall
        array([1., 1., 0.])
    """
    from sklearn import metrics

    y, probabilities = _check_multiclass(y, probabilities)
    predicted = probabilities.argmax(axis=1)
    classes = range(probabilities.shape[1])
    precision, recall, f1, _ = metrics.precision_recall_fscore_support(
        y, predicted, labels=classes, zero_division=0.0
    )
    return MulticlassScores(
        accuracy=float(metrics.accuracy_score(y, predicted)),
        precision=precision,
        recall=recall,
        f1=f1,
        macro_f1=float(f1.mean()),
        log_loss=float(metrics.log_loss(y, _clipped_rows(probabilities), labels=classes)),
        confusion=metrics.confusion_matrix(y, predicted, labels=classes),
    )


def evaluate_regression(y: Any, prediction: Any) -> RegressionScores:
    """Score predicted numbers: mean squared and mean absolute error, their root, and R².

    R² = 1 − Σ(y − ŷ)² / Σ(y − ȳ)²: 1 for perfect predictions ŷ, 0 for the mean ȳ of these rows,
    negative for anything worse than that mean.

    Args:
        y: The true values, shape (N,) or (N, 1), N >= 2, not all equal.
        prediction: The predicted values, shape (N,) or (N, 1).

    Returns:
        The scores.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If shapes differ, a value is NaN, or all of `y` is equal and R² undefined.

    Example:
        >>> evaluate_regression([1.0, 2.0, 3.0], [1.0, 2.0, 4.5])
        RegressionScores(mse=0.75, rmse=0.8660254037844386, mae=0.5, r2=-0.125)
    """
    from sklearn import metrics

    y, prediction = _check_regression(y, prediction)
    if y.min() == y.max():
        raise ValueError(f"`y` must hold different values, or R² is undefined. {received(y=y)}")
    mse = float(metrics.mean_squared_error(y, prediction))
    return RegressionScores(
        mse=mse,
        rmse=mse**0.5,
        mae=float(metrics.mean_absolute_error(y, prediction)),
        r2=float(metrics.r2_score(y, prediction)),
    )


def row_losses(y: Any, prediction: Any, task: str) -> np.ndarray:
    """Return what each row costs: the loss that is averaged in training, before averaging.

    Args:
        y: The true values or classes, shape (N,) or (N, 1).
        prediction: For "regression" numbers and for "binary" probabilities of class 1, shape (N,)
            or (N, 1); for "multiclass" class probabilities, shape (N, K).
        task: "regression": squared error; "binary": binary cross-entropy; "multiclass":
            −ln p(true class). Probabilities are clipped to [1e-7, 1 − 1e-7], as Keras does.

    Returns:
        The losses, >= 0, shape (N,).

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If `task` is unknown, shapes differ, or a value is out of range or NaN.

    Example:
        >>> row_losses([1.0, 2.0, 3.0], [1.0, 2.5, 1.0], "regression")
        array([0.  , 0.25, 4.  ])
    """
    task = check_choice("task", task, TASKS)
    if task == "regression":
        y, prediction = _check_regression(y, prediction)
        return (y - prediction) ** 2
    if task == "binary":
        y, probability = _check_binary(y, prediction, name="prediction")
        probability = np.clip(probability, CLIP, 1 - CLIP)
        return -np.log(np.where(y == 1, probability, 1 - probability))
    y, probabilities = _check_multiclass(y, prediction, name="prediction")
    return -np.log(_clipped_rows(probabilities)[np.arange(len(y)), y])


def worst_rows(y: Any, prediction: Any, task: str, n: int = 10) -> np.ndarray:
    """Return the numbers of the rows that cost most, the most costly first.

    Rows of equal loss come in their order in `y`.

    Args:
        y: The true values or classes, as for `row_losses`.
        prediction: The predictions, as for `row_losses`.
        task: "regression", "binary" or "multiclass".
        n: How many rows, >= 1; all of them if there are fewer.

    Returns:
        Row numbers, counted from 0, shape (min(n, N),).

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If `task` is unknown, shapes differ, or a value is out of range or NaN.

    Example:
        >>> worst_rows([0, 1, 1], [0.2, 0.9, 0.1], "binary", n=2)
        array([2, 0])
    """
    n = check_int("n", n, low=1)
    return np.argsort(-row_losses(y, prediction, task), kind="stable")[:n]


def _check_regression(y: Any, prediction: Any) -> tuple[np.ndarray, np.ndarray]:
    y, prediction = check_column("y", y), check_column("prediction", prediction)
    check_same_length(y=y, prediction=prediction)
    return y, prediction


def _check_binary(
    y: Any, probability: Any, *, name: str = "probability"
) -> tuple[np.ndarray, np.ndarray]:
    y, probability = check_labels("y", check_column("y", y)), check_column(name, probability)
    check_same_length(**{"y": y, name: probability})
    return y, _check_in_unit_interval(name, probability)


def _check_multiclass(
    y: Any, probabilities: Any, *, name: str = "probabilities"
) -> tuple[np.ndarray, np.ndarray]:
    y, probabilities = check_column("y", y), check_array(name, probabilities, ndim=2)
    check_same_length(**{"y": y, name: probabilities})
    if probabilities.shape[1] < 2:
        raise ValueError(
            f"`{name}` must have a column for each of 2 classes or more. "
            f"Received: {name}.shape={probabilities.shape}"
        )
    y = check_class_numbers("y", y, probabilities.shape[1])
    _check_in_unit_interval(name, probabilities)
    sums = probabilities.sum(axis=1)
    if (abs(sums - 1) > ROW_SUM_TOLERANCE).any():
        raise ValueError(
            f"Each row of `{name}` must sum to 1. "
            f"Received: sums from {sums.min():.4g} to {sums.max():.4g}"
        )
    return y, probabilities


def _check_in_unit_interval(name: str, values: np.ndarray) -> np.ndarray:
    if values.min() < 0 or values.max() > 1:
        raise ValueError(
            f"`{name}` must hold probabilities in [0, 1]; scores (logits) need sigmoid or softmax "
            f"first. Received: values from {values.min():.4g} to {values.max():.4g}"
        )
    return values


def _clipped_rows(probabilities: np.ndarray) -> np.ndarray:
    clipped = np.clip(probabilities, CLIP, 1 - CLIP)
    return clipped / clipped.sum(axis=1, keepdims=True)
