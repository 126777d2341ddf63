"""Losses, each the mean over the rows of a batch, and their gradients.

A gradient is taken with respect to the second argument and has its shape. Where a loss takes
`reduction`, ``"none"`` returns the loss of each row, shape (B,): the mean over the row's elements,
as in Keras. Their mean is the loss of the batch.
"""

from typing import Any

import numpy as np

from dlnotes.scratch.activations import sigmoid, softmax
from dlnotes.validation import (
    check_array,
    check_choice,
    check_class_numbers,
    check_float,
    received,
)

EPSILON = 1e-7  # Keras cuts probabilities to [ε, 1 − ε] before it takes a logarithm


def perceptron_loss(y: Any, z: Any) -> float:
    """Return the mean of max(0, −y·z): zero for each row on the right side of the line.

    Args:
        y: Labels −1 or +1, shape (B,).
        z: Scores w·x + b, shape (B,).

    Raises:
        TypeError: If an argument does not hold numbers.
        ValueError: If the shapes differ or a label is neither −1 nor +1.

    References:
        F. Rosenblatt, "The perceptron", Psychological Review 65 (1958).

    Example:
        >>> perceptron_loss([1, -1], [-3.0, -2.0])
        1.5
    """
    y, z = _signed(y, z)
    return float(np.maximum(0.0, -y * z).mean())


def perceptron_loss_gradient(y: Any, z: Any) -> np.ndarray:
    """Return ∂loss/∂z of `perceptron_loss`: −y/B for rows on the wrong side, else 0.

    At the kink, z = 0, the row counts as wrong: otherwise zero weights would never learn.

    Example:
        >>> perceptron_loss_gradient([1, -1], [-3.0, -2.0])
        array([-0.5,  0. ])
    """
    y, z = _signed(y, z)
    return np.where(y * z <= 0, -y, 0.0) / len(y)


def hinge_loss(y: Any, z: Any) -> float:
    """Return the mean of max(0, 1 − y·z): rows must clear the line by a margin of 1.

    Args:
        y: Labels −1 or +1, shape (B,).
        z: Scores, shape (B,).

    Raises:
        TypeError: If an argument does not hold numbers.
        ValueError: If the shapes differ or a label is neither −1 nor +1.

    Example:
        >>> hinge_loss([1, -1], [0.5, -2.0])
        0.25
    """
    y, z = _signed(y, z)
    return float(np.maximum(0.0, 1.0 - y * z).mean())


def hinge_loss_gradient(y: Any, z: Any) -> np.ndarray:
    """Return ∂loss/∂z of `hinge_loss`: −y/B for rows inside the margin, else 0.

    Example:
        >>> hinge_loss_gradient([1, -1], [0.5, -2.0])
        array([-0.5,  0. ])
    """
    y, z = _signed(y, z)
    return np.where(y * z < 1, -y, 0.0) / len(y)


def mean_squared_error(y: Any, prediction: Any, *, reduction: str = "mean") -> float | np.ndarray:
    """Return the mean of (prediction − y)² over all elements.

    Args:
        y: Targets, any shape.
        prediction: Predictions of the same shape.
        reduction: "mean" for the batch, or "none" for each row.

    Raises:
        TypeError: If an argument does not hold numbers.
        ValueError: If the shapes differ or the reduction is unknown.

    Example:
        >>> mean_squared_error([1.0, 2.0], [1.0, 4.0])
        2.0
        >>> mean_squared_error([1.0, 2.0], [1.0, 4.0], reduction="none")
        array([0., 4.])
    """
    y, prediction = check_pair(y, prediction)
    return reduce_rows((prediction - y) ** 2, reduction)


def mean_squared_error_gradient(y: Any, prediction: Any) -> np.ndarray:
    """Return the gradient of `mean_squared_error`: 2·(prediction − y)/n, n the number of elements.

    Example:
        >>> mean_squared_error_gradient([1.0, 2.0], [1.0, 4.0])
        array([0., 2.])
    """
    y, prediction = check_pair(y, prediction)
    return 2.0 * (prediction - y) / y.size


def mean_absolute_error(y: Any, prediction: Any, *, reduction: str = "mean") -> float | np.ndarray:
    """Return the mean of |prediction − y| over all elements.

    Args:
        y: Targets, any shape.
        prediction: Predictions of the same shape.
        reduction: "mean" for the batch, or "none" for each row.

    Raises:
        TypeError: If an argument does not hold numbers.
        ValueError: If the shapes differ or the reduction is unknown.

    Example:
        >>> mean_absolute_error([1.0, 2.0], [1.0, 4.0])
        1.0
    """
    y, prediction = check_pair(y, prediction)
    return reduce_rows(np.abs(prediction - y), reduction)


def mean_absolute_error_gradient(y: Any, prediction: Any) -> np.ndarray:
    """Return the gradient of `mean_absolute_error`: ±1/n, n the number of elements.

    At the kink, prediction = y, it is 0, as in TensorFlow.

    Example:
        >>> mean_absolute_error_gradient([1.0, 2.0], [1.0, 4.0])
        array([0. , 0.5])
    """
    y, prediction = check_pair(y, prediction)
    return np.sign(prediction - y) / y.size


def huber(
    y: Any, prediction: Any, *, delta: float = 1.0, reduction: str = "mean"
) -> float | np.ndarray:
    """Return Huber's loss: half the squared error near the target, straight lines beyond delta.

    With e = prediction − y it is the mean over all elements of ½·e² where |e| <= δ, and of
    δ·|e| − ½·δ² elsewhere; the two pieces meet with equal slope.

    Args:
        y: Targets, any shape.
        prediction: Predictions of the same shape.
        delta: δ > 0, the error at which the pieces meet, in the unit of the targets.
        reduction: "mean" for the batch, or "none" for each row.

    Raises:
        TypeError: If an argument does not hold numbers.
        ValueError: If the shapes differ, `delta` is not positive or the reduction is unknown.

    References:
        P. J. Huber, "Robust estimation of a location parameter", Annals of Mathematical
        Statistics 35 (1964).

    Example:
        >>> huber([0.0, 0.0], [1.0, 4.0], delta=2.0)
        3.25
    """
    y, prediction, delta = check_huber(y, prediction, delta)
    size = np.abs(prediction - y)
    terms = np.where(size <= delta, 0.5 * size**2, delta * size - 0.5 * delta**2)
    return reduce_rows(terms, reduction)


def huber_gradient(y: Any, prediction: Any, *, delta: float = 1.0) -> np.ndarray:
    """Return the gradient of `huber`: the error, cut to ±δ, divided by the number of elements.

    Example:
        >>> huber_gradient([0.0, 0.0], [1.0, 4.0], delta=2.0)
        array([0.5, 1. ])
    """
    y, prediction, delta = check_huber(y, prediction, delta)
    return np.clip(prediction - y, -delta, delta) / y.size


def binary_cross_entropy(
    y: Any, prediction: Any, *, from_logits: bool = False, reduction: str = "mean"
) -> float | np.ndarray:
    """Return the mean of −y·ln p − (1 − y)·ln(1 − p) over all elements.

    Args:
        y: Targets between 0 and 1, any shape.
        prediction: Probabilities p of the same shape, cut to [ε, 1 − ε] with ε = 1e-7; or scores
            z with p = sigmoid(z), which need no cutting.
        from_logits: Whether `prediction` holds scores.
        reduction: "mean" for the batch, or "none" for each row.

    Raises:
        TypeError: If an argument does not hold numbers.
        ValueError: If the shapes differ, a value lies outside [0, 1] or the reduction is unknown.

    Example:
        >>> round(binary_cross_entropy([1.0], [0.0], from_logits=True), 4)
        0.6931
    """
    y, prediction = check_binary(y, prediction, from_logits)
    if from_logits:  # ln(1 + exp(z)) − y·z, written so that exp never overflows
        z = prediction
        terms = np.maximum(z, 0.0) - y * z + np.log1p(np.exp(-np.abs(z)))
    else:
        p = np.clip(prediction, EPSILON, 1.0 - EPSILON)
        terms = -y * np.log(p) - (1.0 - y) * np.log(1.0 - p)
    return reduce_rows(terms, reduction)


def binary_cross_entropy_gradient(
    y: Any, prediction: Any, *, from_logits: bool = False
) -> np.ndarray:
    """Return the gradient of `binary_cross_entropy` with respect to `prediction`.

    For scores it is (p − y)/n, n the number of elements. For probabilities it is
    (p − y)/(p·(1 − p)·n), and 0 where p was cut.

    Example:
        >>> binary_cross_entropy_gradient([1.0, 0.0], [0.0, 0.0], from_logits=True)
        array([-0.25,  0.25])
    """
    y, prediction = check_binary(y, prediction, from_logits)
    if from_logits:
        return (sigmoid(prediction) - y) / y.size
    p = np.clip(prediction, EPSILON, 1.0 - EPSILON)
    uncut = p == prediction
    return uncut * (p - y) / (p * (1.0 - p)) / y.size


def categorical_cross_entropy(
    y: Any, prediction: Any, *, from_logits: bool = False, reduction: str = "mean"
) -> float | np.ndarray:
    """Return the mean over the rows of −Σₖ yₖ·ln pₖ, with one-hot targets.

    Args:
        y: Targets of shape (B, K), each row adding up to 1.
        prediction: Probabilities of shape (B, K), each row adding up to 1, cut to [ε, 1 − ε] with
            ε = 1e-7; or scores z with p = softmax(z).
        from_logits: Whether `prediction` holds scores.
        reduction: "mean" for the batch, or "none" for each row.

    Raises:
        TypeError: If an argument does not hold numbers.
        ValueError: If the shapes differ, a row is not a distribution or the reduction is unknown.

    Example:
        >>> round(categorical_cross_entropy([[0, 1]], [[0.5, 0.5]]), 4)
        0.6931
    """
    y, prediction = check_classes(y, prediction, from_logits)
    if from_logits:
        z = prediction - prediction.max(axis=1, keepdims=True)
        log_p = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
    else:
        log_p = np.log(np.clip(prediction, EPSILON, 1.0 - EPSILON))
    return reduce_rows(-(y * log_p).sum(axis=1), reduction)


def categorical_cross_entropy_gradient(
    y: Any, prediction: Any, *, from_logits: bool = False
) -> np.ndarray:
    """Return the gradient of `categorical_cross_entropy` with respect to `prediction`, (B, K).

    For scores it is (p − y)/B; for probabilities −y/(p·B), and 0 where p was cut.

    Example:
        >>> categorical_cross_entropy_gradient([[0, 1]], [[0.0, 0.0]], from_logits=True)
        array([[ 0.5, -0.5]])
    """
    y, prediction = check_classes(y, prediction, from_logits)
    if from_logits:
        return (softmax(prediction) - y) / len(y)
    p = np.clip(prediction, EPSILON, 1.0 - EPSILON)
    uncut = p == prediction
    return -(uncut * y) / p / len(y)


def sparse_categorical_cross_entropy(
    y: Any, prediction: Any, *, from_logits: bool = False, reduction: str = "mean"
) -> float | np.ndarray:
    """Return `categorical_cross_entropy` for targets given as class numbers.

    Args:
        y: Class numbers 0 to K − 1, shape (B,).
        prediction: Probabilities or scores of shape (B, K).
        from_logits: Whether `prediction` holds scores.
        reduction: "mean" for the batch, or "none" for each row.

    Raises:
        TypeError: If an argument does not hold numbers.
        ValueError: If a shape is wrong, a class is out of range, a row is no distribution or the
            reduction is unknown.

    Example:
        >>> round(sparse_categorical_cross_entropy([1], [[0.5, 0.5]]), 4)
        0.6931
    """
    one_hot = _one_hot(y, prediction)
    return categorical_cross_entropy(
        one_hot, prediction, from_logits=from_logits, reduction=reduction
    )


def sparse_categorical_cross_entropy_gradient(
    y: Any, prediction: Any, *, from_logits: bool = False
) -> np.ndarray:
    """Return the gradient of `sparse_categorical_cross_entropy`, shape (B, K).

    Example:
        >>> sparse_categorical_cross_entropy_gradient([1], [[0.0, 0.0]], from_logits=True)
        array([[ 0.5, -0.5]])
    """
    one_hot = _one_hot(y, prediction)
    return categorical_cross_entropy_gradient(one_hot, prediction, from_logits=from_logits)


def check_pair(y: Any, prediction: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return targets and predictions as arrays; refuse them if their shapes differ."""
    y, prediction = check_array("y", y), check_array("prediction", prediction)
    if y.shape != prediction.shape:
        raise ValueError(
            "`y` and `prediction` must have the same shape. "
            f"Received: y.shape={y.shape}, prediction.shape={prediction.shape}"
        )
    return y, prediction


def check_huber(y: Any, prediction: Any, delta: Any) -> tuple[np.ndarray, np.ndarray, float]:
    """Return what `huber` takes; refuse different shapes and a `delta` that is not positive."""
    return *check_pair(y, prediction), check_float("delta", delta, low=0, open_low=True)


def reduce_rows(terms: np.ndarray, reduction: str) -> float | np.ndarray:
    """Return the mean of all terms, or with "none" the mean of each row's terms, shape (B,)."""
    check_choice("reduction", reduction, ("mean", "none"))
    if reduction == "mean":
        return float(terms.mean())
    terms = np.atleast_1d(terms)
    return terms.reshape(len(terms), -1).mean(axis=1)


def _signed(y: Any, z: Any) -> tuple[np.ndarray, np.ndarray]:
    y = check_array("y", y, ndim=1)
    z = check_array("z", z, shape=y.shape)
    if not np.isin(y, (-1.0, 1.0)).all():
        raise ValueError(f"`y` must hold the labels −1 and +1. {received(y=np.unique(y).tolist())}")
    return y, z


def check_binary(y: Any, prediction: Any, from_logits: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return targets and predictions; refuse targets, or probabilities, outside [0, 1]."""
    y, prediction = check_pair(y, prediction)
    _check_unit_interval("y", y)
    if not from_logits:
        _check_unit_interval("prediction", prediction)
    return y, prediction


def check_classes(y: Any, prediction: Any, from_logits: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return targets and predictions (B, K); refuse rows that are no distribution."""
    y, prediction = check_pair(y, prediction)
    check_array("prediction", prediction, ndim=2)
    _check_rows_sum_to_one("y", y)
    if not from_logits:
        _check_rows_sum_to_one("prediction", prediction)
    return y, prediction


def _check_unit_interval(name: str, values: np.ndarray) -> None:
    if values.min() < 0 or values.max() > 1:
        raise ValueError(
            f"`{name}` must hold numbers in [0, 1]. "
            f"{received(low=float(values.min()), high=float(values.max()))}"
        )


def _check_rows_sum_to_one(name: str, values: np.ndarray) -> None:
    _check_unit_interval(name, values)
    sums = values.sum(axis=1)
    if not np.allclose(sums, 1.0, atol=1e-5):
        worst = float(sums[np.abs(sums - 1.0).argmax()])
        raise ValueError(f"Each row of `{name}` must add up to 1. {received(sum=worst)}")


def _one_hot(y: Any, prediction: Any) -> np.ndarray:
    prediction = check_array("prediction", prediction, ndim=2)
    y = check_array("y", y, shape=(len(prediction),))
    return np.eye(prediction.shape[1])[check_class_numbers("y", y, prediction.shape[1])]
