"""How class scores, losses and feature maps change with the pixels."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from dlnotes.explain.scores import (
    BATCH,
    ImageClassifier,
    as_classifier,
    check_backend,
    check_classes,
    check_pictures,
    keras_model,
    replaced,
)
from dlnotes.validation import check_choice, received

Values = Callable[[Any, Any], Any]  # of pictures (B, …) and a class each (B,)
LOSSES = ("cross_entropy", "margin")


def score_gradient(model: Any, x: Any, classes: Any = None) -> np.ndarray:
    """Return how the score of a class changes with each pixel: ∂S_c/∂x.

    Letters: B pictures, H × W pixels, C channels, K classes.

    Args:
        model: A Keras classifier from (B, H, W, C) to (B, K), or an `ImageClassifier`.
        x: Pictures, (B, H, W, C).
        classes: The class c of each picture, (B,), or one number for all; None takes the class
            that the model answers.

    Returns:
        The gradients, (B, H, W, C): score gained for each unit that a pixel is raised by.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If shapes do not fit, a class does not exist, or it cannot be found out what
            the model's outputs are.

    Example:
        >>> import keras
        >>> line = keras.layers.Dense(2, kernel_initializer="ones")
        >>> model = keras.Sequential([keras.Input((1, 2, 1)), keras.layers.Flatten(), line])
        >>> score_gradient(model, np.zeros((1, 1, 2, 1)), 0).ravel()
        array([1., 1.], dtype=float32)
    """
    classifier = as_classifier(model)
    x, classes = check_classes(classifier, x, classes)
    return _slopes(
        x, classes, classifier.remembered("score", lambda: _slope_of(_score(classifier)))
    )


def loss_gradient(model: Any, x: Any, y: Any, *, loss: str = "cross_entropy") -> np.ndarray:
    """Return how the loss of each picture changes with each pixel: ∂L/∂x.

    With the scores S of a picture of the class y:

    - ``"cross_entropy"``: L = −log softmax(S)_y, the loss that classifiers are trained with;
    - ``"margin"``: L = max over j ≠ y of S_j, minus S_y. It is above 0 where the answer is
      wrong, and its gradient does not fade where the model is sure.

    Args:
        model: A Keras classifier from (B, H, W, C) to (B, K), or an `ImageClassifier`.
        x: Pictures, (B, H, W, C).
        y: The class number of each picture, (B,).
        loss: "cross_entropy" or "margin".

    Returns:
        The gradients, (B, H, W, C), each of its own picture's loss.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If shapes do not fit, a class does not exist, or the loss is unknown.

    References:
        Carlini and Wagner, Towards evaluating the robustness of neural networks, IEEE Symposium
        on Security and Privacy 2017, section V-A, where the margin is f₆.
    """
    classifier, loss = as_classifier(model), check_choice("loss", loss, LOSSES)
    x, y = check_classes(classifier, x, y, "y")
    return _slopes(x, y, classifier.remembered(loss, lambda: _slope_of(_loss(classifier, loss))))


def layer_gradient(
    model: Any, x: Any, layer: str, classes: Any = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return what a layer puts out, and how the score of a class changes with it.

    Args:
        model: A Keras classifier from (B, H, W, C) to (B, K), or an `ImageClassifier`.
        x: Pictures, (B, H, W, C).
        layer: Name of a layer; inside a nested model "outer/inner". Of a layer that is used
            several times the last use counts.
        classes: The class of each picture, (B,), or one number for all; None takes the class that
            the model answers.

    Returns:
        The outputs A of the layer, (B, …), and the gradients ∂S_c/∂A of the same shape.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If shapes do not fit, or the model has no such layer or does not use it.
    """
    classifier = as_classifier(model)
    x, classes = check_classes(classifier, x, classes)
    found, score = find_layer(classifier.model, layer), _score(classifier)
    parts = [_inside(score, x[rows], classes[rows], found) for rows in _batches(len(x))]
    outputs, slopes = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return outputs, slopes


def unit_gradient(model: Any, x: Any, units: np.ndarray, layer: str | None) -> np.ndarray:
    """Return how unit u of a layer, averaged over its places, changes with each pixel.

    Without a layer the units are classes, and what changes is their score.
    """
    if layer is None:
        return score_gradient(model, x, units)
    check_backend()
    model = keras_model(model)
    x, found = check_pictures(model, x), find_layer(model, layer)

    def activation(pictures, units):
        output = _outputs_of(found, lambda: model(pictures, training=False))[-1]
        places = keras.ops.reshape(output, (len(units), -1, output.shape[-1]))
        check_units(np.asarray(units), output.shape[-1])
        return _chosen(keras.ops.mean(places, axis=1), units)

    return _slopes(x, units, _slope_of(activation))


def check_units(units: np.ndarray, count: int) -> None:
    """Require that each unit exists."""
    if units.min() < 0 or units.max() >= count:
        raise ValueError(f"`units` must be numbers from 0 to {count - 1}. {received(units=units)}")


def find_layer(model: keras.Model, name: str) -> keras.layers.Layer:
    """Return the layer of that name; "outer/inner" goes into a nested model."""
    if not isinstance(name, str):
        raise TypeError(f"`layer` must be a name. {received(layer=name)}")
    found = model
    for part in name.split("/"):
        layers = {layer.name: layer for layer in getattr(found, "layers", ())}
        if part not in layers:
            known = ", ".join(layers) or "none"
            raise ValueError(
                f"`layer` must be one of the layers of {found.name!r}: {known}. "
                f"{received(layer=name)}"
            )
        found = layers[part]
    return found


def _batches(count: int) -> list[slice]:
    return [slice(start, start + BATCH) for start in range(0, count, BATCH)]


def _chosen(scores: Any, classes: Any) -> Any:
    return keras.ops.take_along_axis(scores, keras.ops.expand_dims(classes, -1), axis=-1)[:, 0]


def _score(classifier: ImageClassifier) -> Values:
    return lambda pictures, classes: _chosen(classifier.scores(pictures), classes)


def _loss(classifier: ImageClassifier, loss: str) -> Values:
    def cross_entropy(pictures, classes):
        # one kernel: where softmax is exactly 1 the gradient is exactly 0, not a rounding error
        scores = classifier.scores(pictures)
        return keras.ops.sparse_categorical_crossentropy(classes, scores, from_logits=True)

    def margin(pictures, classes):
        scores = classifier.scores(pictures)
        taken = keras.ops.one_hot(classes, scores.shape[-1], dtype="bool")
        others = keras.ops.where(taken, -np.inf, scores)
        return keras.ops.max(others, axis=-1) - _chosen(scores, classes)

    return cross_entropy if loss == "cross_entropy" else margin


def _slope_of(values: Values) -> Values:
    """Return the function that gives the gradient of each picture's value by that picture."""
    import tensorflow as tf

    def slope(pictures, classes):
        with tf.GradientTape() as tape:
            tape.watch(pictures)
            total = keras.ops.sum(values(pictures, classes))  # no picture touches another's value
        gradient = tape.gradient(total, pictures)
        if gradient is None:
            raise ValueError(
                "`model` must depend on its pixels through operations with a gradient. "
                f"{received(dtype=pictures.dtype.name)}"
            )
        return gradient

    return slope


def _slopes(x: np.ndarray, classes: np.ndarray, slope: Values) -> np.ndarray:
    import tensorflow as tf

    parts = [slope(tf.constant(x[rows]), tf.constant(classes[rows])) for rows in _batches(len(x))]
    return np.concatenate(parts)


def _outputs_of(layer: keras.layers.Layer, run: Callable[[], Any], tape: Any = None) -> list[Any]:
    """Run a model and return what the layer put out, once for each time that it was called."""
    call, outputs = layer.call, []

    def recording(*args, **kwargs):
        output = call(*args, **kwargs)
        if tape is not None:
            tape.watch(output)
        outputs.append(output)
        return output

    with replaced(layer, call=recording):
        run()
    if not outputs or not hasattr(outputs[-1], "shape"):
        raise ValueError(
            "`layer` must put out one tensor when the model runs. "
            f"{received(layer=layer.name, calls=len(outputs))}"
        )
    return outputs


def _inside(
    values: Values, x: np.ndarray, classes: np.ndarray, layer: keras.layers.Layer
) -> tuple[np.ndarray, np.ndarray]:
    """Return a layer's outputs, and the gradient of each picture's value with respect to them."""
    import tensorflow as tf

    totals: list[Any] = []

    def run():
        totals.append(keras.ops.sum(values(tf.constant(x), tf.constant(classes))))

    with tf.GradientTape() as tape:
        output = _outputs_of(layer, run, tape)[-1]
    gradient = tape.gradient(totals[0], output)
    if gradient is None:
        raise ValueError(f"`layer` must lie on the way to the scores. {received(layer=layer.name)}")
    return np.asarray(output), np.asarray(gradient)
