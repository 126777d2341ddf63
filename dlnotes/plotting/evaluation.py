"""How good are predictions? Confusion matrix, ROC curve, and residuals, by scikit-learn's rules."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from dlnotes.plotting.matrices import heatmap
from dlnotes.plotting.style import (
    COLORS,
    LINE_STYLES,
    axes_or_new,
    check_texts,
    label_axes,
    set_title,
    styled,
)
from dlnotes.validation import check_choice, check_column, check_labels, check_same_length, received

NORMALIZATIONS = (None, "true", "pred", "all")


@styled
def confusion_matrix(
    y: Any,
    predicted: Any,
    *,
    class_names: Sequence[str] | None = None,
    normalize: str | None = None,
    ax: Axes | None = None,
    title: str | None = None,
) -> Axes:
    """Draw how often each true class (row) was predicted as each class (column).

    Args:
        y: The true classes, whole numbers from 0 to K − 1, shape (N,) or (N, 1).
        predicted: The predicted classes, whole numbers from 0 to K − 1 (or False and True), shape
            (N,) or (N, 1).
        class_names: One name for each of the K classes; None takes the numbers, up to the largest
            that occurs.
        normalize: None writes counts; "true" shares of each row (its diagonal: recall), "pred"
            shares of each column (its diagonal: precision), "all" shares of all N.
        ax: Axes to draw on; None makes a new figure.
        title: What the picture shows.

    Returns:
        The axes.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If lengths differ, a value is no class, or `normalize` is unknown.
    """
    from sklearn import metrics

    y, predicted = check_column("y", y), check_column("predicted", predicted)
    check_same_length(y=y, predicted=predicted)
    class_names = check_texts("class_names", class_names)
    normalize = check_choice("normalize", normalize, NORMALIZATIONS)
    y = _check_classes("y", y, class_names)
    predicted = _check_classes("predicted", predicted, class_names)
    if class_names is None:
        class_names = [str(label) for label in range(max(y.max(), predicted.max(), 1) + 1)]
    count = len(class_names)
    matrix = metrics.confusion_matrix(y, predicted, labels=range(count), normalize=normalize)
    side = 0.42 * min(count, 12)
    columns_say = {"pred": " (each column: 100%)", "all": " (all squares together: 100%)"}
    return heatmap(
        matrix,
        row_labels=class_names,
        column_labels=class_names,
        annotate="d" if normalize is None else ".0%",
        ax=axes_or_new(ax, (max(4.2, 2.2 + side), max(2.9, 1.4 + side))),
        xlabel="predicted class" + columns_say.get(normalize, ""),
        ylabel="true class" + (" (each row: 100%)" if normalize == "true" else ""),
        title=title,
    )


@styled
def roc_curve(
    y: Any,
    scores: Any,
    *,
    ax: Axes | None = None,
    title: str | None = None,
) -> Axes:
    """Draw the receiver operating characteristic: what each threshold catches, and at which price.

    The true positive rate is the share of class 1 that is called 1, the false positive rate the
    share of class 0 that is called 1; the curve runs through all thresholds. The area under it
    (AUC) is the chance that a random row of class 1 gets a higher score than a random row of class
    0: 0.5 for guessing, 1 for a perfect order.

    Args:
        y: The true classes 0 and 1, shape (N,) or (N, 1), both present.
        scores: A score or probability of class 1 for each row, shape (N,) or (N, 1); or a mapping
            from names to such scores, one curve each.
        ax: Axes to draw on; None makes a new figure.
        title: What the picture shows.

    Returns:
        The axes.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If lengths differ, a score is not finite, a class is missing, or there are more
            than 10 curves.
    """
    from sklearn import metrics

    y = check_labels("y", check_column("y", y))
    if len(np.unique(y)) < 2:
        raise ValueError(f"`y` must hold both classes. {received(y=np.unique(y))}")
    if not isinstance(scores, Mapping):
        scores = {"": scores}
    if not 1 <= len(scores) <= len(COLORS):
        raise ValueError(
            f"`scores` must hold 1 to {len(COLORS)} curves. {received(scores=list(scores))}"
        )
    curves = {}
    for name, values in scores.items():
        argument = f"scores[{name!r}]" if name else "scores"
        values = check_column(argument, values)
        if len(values) != len(y):
            raise ValueError(
                f"`{argument}` must have one score for each of the {len(y)} labels. "
                f"Received: {len(values)} scores"
            )
        curves[name] = values
    ax = axes_or_new(ax, (4.6, 4.2))
    ax.plot(
        [0, 1], [0, 1], color=COLORS[8], linewidth=1.2, linestyle=":", label="guessing (AUC 0.50)"
    )
    for index, (name, values) in enumerate(curves.items()):
        false_positives, true_positives, _ = metrics.roc_curve(y, values)
        area = f"AUC {metrics.roc_auc_score(y, values):.2f}"
        ax.plot(
            false_positives,
            true_positives,
            color=COLORS[index],
            linestyle=LINE_STYLES[index % len(LINE_STYLES)],
            label=f"{name} ({area})" if name else area,
        )
    ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
    ax.legend(loc="lower right")
    label_axes(ax, "false positive rate", "true positive rate (recall)")
    set_title(ax, title)
    return ax


@styled
def residuals(
    y: Any,
    predicted: Any,
    *,
    ax: Axes | None = None,
    unit: str = "",
    title: str | None = None,
) -> Axes:
    """Draw what each prediction missed, true minus predicted, over the prediction.

    A good model leaves a cloud without a shape around 0. A bend or a fan says what it has not
    learnt; above 0 the model said too little. The band reaches one RMSE (root of the mean squared
    error) to each side of 0.

    Args:
        y: The true values, shape (N,) or (N, 1).
        predicted: The predicted values, shape (N,) or (N, 1).
        ax: Axes to draw on; None makes a new figure.
        unit: The unit of the values, for the labels.
        title: What the picture shows.

    Returns:
        The axes.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If lengths differ or a value is not finite.
    """
    y, predicted, of_unit = _check_pair(y, predicted, unit)
    rmse = np.sqrt(np.mean((y - predicted) ** 2))
    ax = axes_or_new(ax)
    ax.axhspan(-rmse, rmse, color=COLORS[5], alpha=0.2, linewidth=0, label=f"± RMSE ({rmse:.3g})")
    ax.axhline(0, color=COLORS[6], linewidth=1.2)
    _points(ax, predicted, y - predicted)
    ax.legend()
    label_axes(ax, f"predicted value{of_unit}", f"true − predicted{of_unit}")
    set_title(ax, title)
    return ax


@styled
def predicted_against_true(
    y: Any,
    predicted: Any,
    *,
    ax: Axes | None = None,
    unit: str = "",
    title: str | None = None,
) -> Axes:
    """Draw each prediction over the true value; perfect predictions lie on the diagonal.

    Predictions that lie flatter than the diagonal keep too close to the mean.

    Args:
        y: The true values, shape (N,) or (N, 1).
        predicted: The predicted values, shape (N,) or (N, 1).
        ax: Axes to draw on; None makes a new figure.
        unit: The unit of the values, for the labels.
        title: What the picture shows.

    Returns:
        The axes.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If lengths differ or a value is not finite.
    """
    y, predicted, of_unit = _check_pair(y, predicted, unit)
    ax = axes_or_new(ax, (4.6, 4.2))
    ends = [min(y.min(), predicted.min()), max(y.max(), predicted.max())]
    ax.plot(ends, ends, color=COLORS[6], linewidth=1.2, linestyle="--", label="predicted = true")
    _points(ax, y, predicted)
    ax.set_aspect("equal")
    ax.legend()
    label_axes(ax, f"true value{of_unit}", f"predicted value{of_unit}")
    set_title(ax, title)
    return ax


def _points(ax: Axes, x: np.ndarray, y: np.ndarray) -> None:
    # The more points, the more of them overlap; below 0.25 a lone point would be lost.
    alpha = float(np.clip(10 / len(x) ** 0.5, 0.25, 0.9))
    ax.scatter(x, y, s=18, color=COLORS[0], alpha=alpha, linewidth=0, zorder=3)


def _check_pair(y: Any, predicted: Any, unit: Any) -> tuple[np.ndarray, np.ndarray, str]:
    y, predicted = check_column("y", y), check_column("predicted", predicted)
    check_same_length(y=y, predicted=predicted)
    if not isinstance(unit, str):
        raise TypeError(f"`unit` must be a text. {received(unit=unit)}")
    return y, predicted, f" ({unit})" if unit else ""


def _check_classes(
    name: str, labels: np.ndarray, class_names: tuple[str, ...] | None
) -> np.ndarray:
    high = np.inf if class_names is None else len(class_names) - 1
    if (labels != np.round(labels)).any() or labels.min() < 0 or labels.max() > high:
        limit = "0 on" if class_names is None else f"0 to {high}"
        raise ValueError(
            f"`{name}` must hold classes, whole numbers from {limit}; probabilities must be turned "
            f"into classes first. {received(**{name: np.unique(labels)})}"
        )
    return labels.astype(int)
