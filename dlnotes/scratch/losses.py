"""Losses, each the mean over the rows of a batch, and their gradients.

A gradient is taken with respect to the second argument and has its shape.
"""

from typing import Any

import numpy as np

from dlnotes.scratch.activations import sigmoid, softmax
from dlnotes.validation import check_array, received

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


def mean_squared_error(y: Any, prediction: Any) -> float:
    """Return the mean of (prediction − y)² over all elements.

    Args:
        y: Targets, any shape.
        prediction: Predictions of the same shape.

    Raises:
        TypeError: If an argument does not hold numbers.
        ValueError: If the shapes differ.

    Example:
        >>> mean_squared_error([1.0, 2.0], [1.0, 4.0])
        2.0
    """
    y, prediction = _same_shape(y, prediction)
    return float(np.mean((prediction - y) ** 2))


def mean_squared_error_gradient(y: Any, prediction: Any) -> np.ndarray:
    """Return the gradient of `mean_squared_error`: 2·(prediction − y)/n, n the number of elements.

    Example:
        >>> mean_squared_error_gradient([1.0, 2.0], [1.0, 4.0])
        array([0., 2.])
    """
    y, prediction = _same_shape(y, prediction)
    return 2.0 * (prediction - y) / y.size


def binary_cross_entropy(y: Any, prediction: Any, *, from_logits: bool = False) -> float:
    """Return the mean of −y·ln p − (1 − y)·ln(1 − p) over all elements.

    Args:
        y: Targets between 0 and 1, any shape.
        prediction: Probabilities p of the same shape, cut to [ε, 1 − ε] with ε = 1e-7; or scores
            z with p = sigmoid(z), which need no cutting.
        from_logits: Whether `prediction` holds scores.

    Raises:
        TypeError: If an argument does not hold numbers.
        ValueError: If the shapes differ or a value lies outside [0, 1].

    Example:
        >>> round(binary_cross_entropy([1.0], [0.0], from_logits=True), 4)
        0.6931
    """
    y, prediction = _binary(y, prediction, from_logits)
    if from_logits:  # ln(1 + exp(z)) − y·z, written so that exp never overflows
        z = prediction
        terms = np.maximum(z, 0.0) - y * z + np.log1p(np.exp(-np.abs(z)))
    else:
        p = np.clip(prediction, EPSILON, 1.0 - EPSILON)
        terms = -y * np.log(p) - (1.0 - y) * np.log(1.0 - p)
    return float(terms.mean())


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
    y, prediction = _binary(y, prediction, from_logits)
    if from_logits:
        return (sigmoid(prediction) - y) / y.size
    p = np.clip(prediction, EPSILON, 1.0 - EPSILON)
    uncut = p == prediction
    return uncut * (p - y) / (p * (1.0 - p)) / y.size


def categorical_cross_entropy(y: Any, prediction: Any, *, from_logits: bool = False) -> float:
    """Return the mean over the rows of −Σₖ yₖ·ln pₖ, with one-hot targets.

    Args:
        y: Targets of shape (B, K), each row adding up to 1.
        prediction: Probabilities of shape (B, K), each row adding up to 1, cut to [ε, 1 − ε] with
            ε = 1e-7; or scores z with p = softmax(z).
        from_logits: Whether `prediction` holds scores.

    Raises:
        TypeError: If an argument does not hold numbers.
        ValueError: If the shapes differ or a row is not a distribution.

    Example:
        >>> round(categorical_cross_entropy([[0, 1]], [[0.5, 0.5]]), 4)
        0.6931
    """
    y, prediction = _categorical(y, prediction, from_logits)
    if from_logits:
        z = prediction - prediction.max(axis=1, keepdims=True)
        log_p = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
    else:
        log_p = np.log(np.clip(prediction, EPSILON, 1.0 - EPSILON))
    return float(-(y * log_p).sum(axis=1).mean())


def categorical_cross_entropy_gradient(
    y: Any, prediction: Any, *, from_logits: bool = False
) -> np.ndarray:
    """Return the gradient of `categorical_cross_entropy` with respect to `prediction`, (B, K).

    For scores it is (p − y)/B; for probabilities −y/(p·B), and 0 where p was cut.

    Example:
        >>> categorical_cross_entropy_gradient([[0, 1]], [[0.0, 0.0]], from_logits=True)
        array([[ 0.5, -0.5]])
    """
    y, prediction = _categorical(y, prediction, from_logits)
    if from_logits:
        return (softmax(prediction) - y) / len(y)
    p = np.clip(prediction, EPSILON, 1.0 - EPSILON)
    uncut = p == prediction
    return -(uncut * y) / p / len(y)


def sparse_categorical_cross_entropy(
    y: Any, prediction: Any, *, from_logits: bool = False
) -> float:
    """Return `categorical_cross_entropy` for targets given as class numbers.

    Args:
        y: Class numbers 0 to K − 1, shape (B,).
        prediction: Probabilities or scores of shape (B, K).
        from_logits: Whether `prediction` holds scores.

    Raises:
        TypeError: If an argument does not hold numbers.
        ValueError: If a shape is wrong, a class is out of range, or a row is no distribution.

    Example:
        >>> round(sparse_categorical_cross_entropy([1], [[0.5, 0.5]]), 4)
        0.6931
    """
    return categorical_cross_entropy(
        _one_hot(y, prediction), prediction, from_logits=bool(from_logits)
    )


def sparse_categorical_cross_entropy_gradient(
    y: Any, prediction: Any, *, from_logits: bool = False
) -> np.ndarray:
    """Return the gradient of `sparse_categorical_cross_entropy`, shape (B, K).

    Example:
        >>> sparse_categorical_cross_entropy_gradient([1], [[0.0, 0.0]], from_logits=True)
        array([[ 0.5, -0.5]])
    """
    return categorical_cross_entropy_gradient(
        _one_hot(y, prediction), prediction, from_logits=bool(from_logits)
    )


def _same_shape(y: Any, prediction: Any) -> tuple[np.ndarray, np.ndarray]:
    y, prediction = check_array("y", y), check_array("prediction", prediction)
    if y.shape != prediction.shape:
        raise ValueError(
            "`y` and `prediction` must have the same shape. "
            f"Received: y.shape={y.shape}, prediction.shape={prediction.shape}"
        )
    return y, prediction


def _signed(y: Any, z: Any) -> tuple[np.ndarray, np.ndarray]:
    y = check_array("y", y, ndim=1)
    z = check_array("z", z, shape=y.shape)
    if not np.isin(y, (-1.0, 1.0)).all():
        raise ValueError(f"`y` must hold the labels −1 and +1. {received(y=np.unique(y).tolist())}")
    return y, z


def _binary(y: Any, prediction: Any, from_logits: bool) -> tuple[np.ndarray, np.ndarray]:
    y, prediction = _same_shape(y, prediction)
    _check_unit_interval("y", y)
    if not from_logits:
        _check_unit_interval("prediction", prediction)
    return y, prediction


def _categorical(y: Any, prediction: Any, from_logits: bool) -> tuple[np.ndarray, np.ndarray]:
    y, prediction = _same_shape(y, prediction)
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
    num_classes = prediction.shape[1]
    if (y != np.round(y)).any() or y.min() < 0 or y.max() >= num_classes:
        raise ValueError(
            f"`y` must hold class numbers 0 to {num_classes - 1}. "
            f"{received(y=np.unique(y).tolist())}"
        )
    return np.eye(num_classes)[y.astype(int)]
