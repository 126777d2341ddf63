"""Loss and metrics by task, with the model's output layer checked against them."""

from typing import Any

import keras

from dlnotes.training.evaluation import TASKS
from dlnotes.validation import check_choice, check_flag, check_float, received

OUTPUT_ACTIVATION = {"regression": "linear", "binary": "sigmoid", "multiclass": "softmax"}


def compile_for(
    model: keras.Model,
    task: str,
    *,
    optimizer: str | keras.optimizers.Optimizer = "adam",
    learning_rate: float | None = None,
    from_logits: bool = False,
) -> keras.Model:
    """Compile a model with the loss and the metrics that belong to its task.

    ============ ============ ======================== ==========================================
    task         output layer loss                     metrics, by the names that `fit` reports
    ============ ============ ======================== ==========================================
    regression   linear       mean squared error       mae, r2
    binary       1 sigmoid    binary cross-entropy     accuracy, precision, recall, auc
    multiclass   K softmax    sparse categorical       accuracy
                              cross-entropy
    ============ ============ ======================== ==========================================

    Targets are numbers (regression), the labels 0 and 1 (binary), or class numbers from 0 to K − 1
    (multiclass). The names are fixed, so that a monitor such as "val_auc" always means the same.

    Args:
        model: A built model with one output of shape (B, units): B rows, one number a unit.
        task: "regression", "binary" or "multiclass".
        optimizer: Name of a Keras optimizer, or an optimizer that has trained nothing yet.
        learning_rate: Learning rate, > 0, with the name of an optimizer; None keeps its default.
        from_logits: Whether a classifier ends in linear units, whose scores (logits) the loss
            turns into probabilities itself, which is safer with extreme scores.

    Returns:
        The same model, compiled.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If `task` or `optimizer` is unknown, an argument is out of range, or the output
            layer does not fit the task.

    References:
        Goodfellow, Bengio, Courville, Deep Learning, MIT Press 2016, section 6.2.2, on output
        units and the losses that belong to them.

    Example:
        >>> import keras
        >>> inputs = keras.Input((3,))
        >>> model = keras.Model(inputs, keras.layers.Dense(1, activation="sigmoid")(inputs))
        >>> compile_for(model, "binary", learning_rate=0.01) is model
        True
    """
    if not isinstance(model, keras.Model):
        raise TypeError(f"`model` must be a Keras model. {received(model=model)}")
    task = check_choice("task", task, TASKS)
    check_flag("from_logits", from_logits)
    if from_logits and task == "regression":
        raise ValueError(
            "`from_logits` must be False for regression, whose outputs are no scores of classes. "
            f"{received(from_logits=from_logits)}"
        )
    _check_output(model, task, "linear" if from_logits else OUTPUT_ACTIVATION[task])
    model.compile(
        optimizer=_optimizer(optimizer, learning_rate),
        loss=_loss(task, from_logits),
        metrics=_metrics(task, from_logits),
    )
    return model


def _loss(task: str, from_logits: bool) -> keras.losses.Loss:
    if task == "regression":
        return keras.losses.MeanSquaredError()
    if task == "binary":
        return keras.losses.BinaryCrossentropy(from_logits=from_logits)
    return keras.losses.SparseCategoricalCrossentropy(from_logits=from_logits)


def _metrics(task: str, from_logits: bool) -> list[keras.metrics.Metric]:
    if task == "regression":
        return [keras.metrics.MeanAbsoluteError(name="mae"), keras.metrics.R2Score(name="r2")]
    if task == "multiclass":
        return [keras.metrics.SparseCategoricalAccuracy(name="accuracy")]
    threshold = 0.0 if from_logits else 0.5  # sigmoid(0) = 0.5
    return [
        keras.metrics.BinaryAccuracy(threshold=threshold, name="accuracy"),
        keras.metrics.Precision(thresholds=threshold, name="precision"),
        keras.metrics.Recall(thresholds=threshold, name="recall"),
        keras.metrics.AUC(from_logits=from_logits, name="auc"),
    ]


def _optimizer(optimizer: Any, learning_rate: float | None) -> keras.optimizers.Optimizer:
    if isinstance(optimizer, keras.optimizers.Optimizer):
        if learning_rate is not None:
            raise ValueError(
                "`learning_rate` must be None when `optimizer` is an optimizer, which has its own. "
                f"{received(learning_rate=learning_rate)}"
            )
        if optimizer.built:
            raise ValueError(
                "`optimizer` must be new: this one keeps the state of another training. "
                f"{received(optimizer=optimizer.name)}"
            )
        return optimizer
    if not isinstance(optimizer, str):
        raise TypeError(
            f"`optimizer` must be a name or a Keras optimizer. {received(optimizer=optimizer)}"
        )
    config = {}
    if learning_rate is not None:
        rate = check_float("learning_rate", learning_rate, low=0, open_low=True)
        config["learning_rate"] = rate
    try:
        return keras.optimizers.get({"class_name": optimizer, "config": config})
    except ValueError as error:
        raise ValueError(
            f"`optimizer` must be one that Keras knows. {received(optimizer=optimizer)}"
        ) from error


def _check_output(model: keras.Model, task: str, activation: str) -> None:
    outputs = getattr(model, "outputs", None)  # a model that was never built has none
    if not outputs or len(outputs) != 1 or len(outputs[0].shape) != 2:
        came = [tuple(output.shape) for output in outputs] if outputs else "not built"
        raise ValueError(
            "`model` must be built and have one output of shape (B, units). "
            f"Received: outputs of {model.name!r}: {came}"
        )
    units, came = outputs[0].shape[-1], _output_activation(outputs[0])
    right_units = {"regression": True, "binary": units == 1, "multiclass": units >= 2}[task]
    if not right_units or came not in (activation, None):
        wanted = {
            "regression": "linear units, one a target",
            "binary": f"one {activation} unit",
            "multiclass": f"{activation} units, one a class and at least 2",
        }[task]
        hint = ""
        if right_units and came == "linear":
            hint = " (linear units need from_logits=True)"
        raise ValueError(
            f"`model` must end in {wanted}, for the task {task!r}{hint}. "
            f"Received: units={units}, activation={came or 'unknown'}"
        )


def _output_activation(output: Any) -> str | None:
    """Return the name of the activation that makes `output`, or None where none can be told."""
    operation = output._keras_history.operation
    while isinstance(operation, keras.Model):
        operation = operation.outputs[0]._keras_history.operation
    if isinstance(operation, keras.layers.Softmax):
        return "softmax"
    return getattr(getattr(operation, "activation", None), "__name__", None)
