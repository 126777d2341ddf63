"""The class scores of any Keras image classifier, and the checks that all of `explain` shares."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np

from dlnotes.validation import check_array, check_class_numbers, check_flag, check_float, received

BATCH = 256  # pictures at once: bounds the memory, and changes no number


class ImageClassifier:
    """A Keras model that can be asked for its scores, before any softmax.

    A **score** (logit) is the number of a class from which softmax makes its probability. The
    probabilities themselves are of little use for gradients: where the model is sure, softmax is
    flat, and the gradient is 0 whatever the pixels do.

    What the model's outputs are is found out from the operation that makes them, through nested
    models too:

    ====================================== =================================================
    the model ends in                      its scores
    ====================================== =================================================
    a layer without activation             its outputs
    softmax (in a layer or as a layer)     what goes into softmax: the activation is left out
    one sigmoid unit with the input z      −z/2 for class 0 and z/2 for class 1
    ====================================== =================================================

    One linear unit z counts as the last row. A layer behind them that only passes its input on,
    as ``Activation("linear", dtype="float32")`` of mixed precision does, is looked through. A
    model that ends otherwise, or one that is a class with a `call` of its own, does not show what
    its outputs are: then `from_logits` must tell.

    While the scores are computed, the last layer itself goes without its activation: do not run
    the model in another thread meanwhile.

    Every function of `explain` takes either the model itself or an `ImageClassifier`.

    Args:
        model: A built Keras model from pictures (B, H, W, C) to (B, K).
        from_logits: None finds out as said; True takes the outputs as scores; False takes them as
            probabilities, whose logarithms are the scores (0 counts as the smallest positive
            number, and its gradient is 0).
        compiled: Whether gradients are compiled and kept, which makes many small batches several
            times faster. New weights are seen; any other change of the model afterwards is not.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If it cannot be found out what the outputs are, or Keras does not run on
            TensorFlow. `scores` raises it if the layer with the activation is used more than
            once in the model.

    Example:
        >>> import keras
        >>> dense = keras.layers.Dense(3, activation="softmax")
        >>> model = keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Flatten(), dense])
        >>> scores = ImageClassifier(model).scores(np.ones((2, 4, 4, 1)))
        >>> bool(np.allclose(keras.ops.softmax(scores), model(np.ones((2, 4, 4, 1))), atol=1e-6))
        True
    """

    def __init__(
        self, model: keras.Model, *, from_logits: bool | None = None, compiled: bool = False
    ) -> None:
        if not isinstance(model, keras.Model):
            raise TypeError(f"`model` must be a Keras model. {received(model=model)}")
        if from_logits is not None and not isinstance(from_logits, bool):
            raise TypeError(
                f"`from_logits` must be True, False or None. {received(from_logits=from_logits)}"
            )
        check_flag("compiled", compiled)
        check_backend()
        self.model = model
        self._compiled: dict[str, Any] | None = {} if compiled else None
        self._head, self._kind = None, "scores" if from_logits else "probabilities"
        if from_logits is None:
            self._head, self._kind = _find_head(model)

    @property
    def dtype(self) -> str:
        """The type of the pictures that the model takes."""
        return picture_dtype(self.model)

    @property
    def num_classes(self) -> int | None:
        """The number of classes; None for a model that does not tell before it runs."""
        outputs = getattr(self.model, "outputs", None)
        return max(2, outputs[0].shape[-1]) if outputs else None

    def remembered(self, key: str, make: Callable[[], Any]) -> Any:
        """Return the function that `make` makes; compiled and made once, if so wanted."""
        if self._compiled is None:
            return make()
        if key not in self._compiled:
            import tensorflow as tf

            self._compiled[key] = tf.function(make(), autograph=False, reduce_retracing=True)
        return self._compiled[key]

    def scores(self, x: Any) -> Any:
        """Return the scores of pictures (B, H, W, C) as a tensor (B, K), K >= 2."""
        calls: list[Any] = []
        hidden = {} if self._head is None else _without_activation(self._head, calls)
        with replaced(self._head, **hidden):
            outputs = self.model(x, training=False)
        if self._head is not None and len(calls) != 1:
            raise ValueError(
                "`model` must use the activation of its last layer once, so that it can be left "
                "out there and nowhere else. Say what its outputs are: "
                "ImageClassifier(model, from_logits=…). "
                f"{received(layer=self._head.name, uses=len(calls))}"
            )
        if keras.backend.standardize_dtype(outputs.dtype) in ("float16", "bfloat16"):
            outputs = keras.ops.cast(outputs, "float32")
        if self._kind == "probabilities":
            tiny = float(np.finfo(keras.backend.standardize_dtype(outputs.dtype)).tiny)
            if outputs.shape[-1] == 1:
                outputs = keras.ops.concatenate([1 - outputs, outputs], axis=-1)
            return keras.ops.log(keras.ops.maximum(outputs, tiny))
        if outputs.shape[-1] == 1:
            return keras.ops.concatenate([-outputs / 2, outputs / 2], axis=-1)
        return outputs


@contextlib.contextmanager
def replaced(layer: Any, **attributes: Any) -> Iterator[None]:
    """Give a layer other attributes for a while; with None for the layer do nothing."""
    own = {name: vars(layer)[name] for name in attributes if name in vars(layer)}
    for name, value in attributes.items():
        setattr(layer, name, value)
    try:
        yield
    finally:
        for name in attributes:
            if name in own:
                setattr(layer, name, own[name])
            else:
                delattr(layer, name)  # a method of the class shows again


def as_classifier(model: Any) -> ImageClassifier:
    """Return `model` if it is an `ImageClassifier`, otherwise one made of it."""
    return model if isinstance(model, ImageClassifier) else ImageClassifier(model)


def keras_model(model: Any) -> keras.Model:
    """Return the Keras model itself; it need not be a classifier."""
    model = model.model if isinstance(model, ImageClassifier) else model
    if not isinstance(model, keras.Model):
        raise TypeError(f"`model` must be a Keras model. {received(model=model)}")
    return model


def picture_dtype(model: keras.Model) -> str:
    """Return the type of the pictures that a model takes."""
    inputs = getattr(model, "inputs", None)
    dtype = inputs[0].dtype if inputs else model.variable_dtype
    return keras.backend.standardize_dtype(dtype)


def check_backend() -> None:
    """Require Keras on TensorFlow, whose gradients are used."""
    if keras.config.backend() != "tensorflow":
        raise ValueError(
            f"`explain` needs Keras on TensorFlow. {received(backend=keras.config.backend())}"
        )


def check_pictures(model: keras.Model, x: Any, name: str = "x") -> np.ndarray:
    """Return pictures as an array (B, H, W, C) of the model's type and size."""
    x = check_array(name, x, dtype=None)
    inputs = getattr(model, "inputs", None)
    if inputs and len(inputs) != 1:
        raise ValueError(f"`model` must have one input. {received(inputs=len(inputs))}")
    wanted = tuple(inputs[0].shape[1:]) if inputs else (None, None, None)
    if x.ndim != 4 or any(w not in (None, n) for w, n in zip(wanted, x.shape[1:], strict=False)):
        hints = {2: "x[None, ..., None]", 3: "x[..., None] or x[None]"}
        hint = f" ({hints[x.ndim]} adds what is missing)" if x.ndim in hints else ""
        sizes = ", ".join("any" if n is None else str(n) for n in wanted)
        raise ValueError(
            f"`{name}` must be pictures of shape (B, {sizes}){hint}. "
            f"Received: {name}.shape={x.shape}"
        )
    return x.astype(picture_dtype(model), copy=False)


def check_classes(model: Any, x: Any, classes: Any, name: str = "classes") -> tuple[Any, Any]:
    """Return pictures and one class number each: those given, or those that the model answers."""
    classifier = as_classifier(model)
    x = check_pictures(classifier.model, x)
    if classes is None:
        return x, predicted(classifier, x)
    if np.ndim(classes) == 0:
        classes = np.full(len(x), classes)
    num_classes = classifier.num_classes or classifier.scores(x[:1]).shape[-1]
    classes = check_class_numbers(name, classes, num_classes)
    if len(classes) != len(x):
        raise ValueError(
            f"`{name}` must have one number for each of the {len(x)} pictures. "
            f"Received: len({name})={len(classes)}"
        )
    return x, classes


def predicted(classifier: ImageClassifier, x: np.ndarray) -> np.ndarray:
    """Return the class with the highest score of each picture, (B,)."""
    parts = [classifier.scores(x[i : i + BATCH]) for i in range(0, len(x), BATCH)]
    return np.concatenate([np.asarray(part).argmax(axis=-1) for part in parts])


def check_range(value_range: Any) -> tuple[float, float]:
    """Return the smallest and the largest value that a pixel can have."""
    if not isinstance(value_range, tuple | list) or len(value_range) != 2:
        raise ValueError(
            f"`value_range` must be a pair (lowest, highest). {received(value_range=value_range)}"
        )
    low, high = (check_float("value_range", end) for end in value_range)
    if low >= high:
        raise ValueError(f"`value_range` must increase. {received(value_range=value_range)}")
    return low, high


def check_inside(name: str, x: np.ndarray, value_range: Any) -> None:
    """Require that every pixel lies in the range."""
    low, high = check_range(value_range)
    if x.min() < low or x.max() > high:
        hint = " (divide by 255, or give value_range=(0, 255))" if x.max() > 1 >= high else ""
        raise ValueError(
            f"`{name}` must lie in value_range, {low:g} to {high:g}{hint}. "
            f"{received(lowest=float(x.min()), highest=float(x.max()))}"
        )


def _find_head(model: keras.Model) -> tuple[Any, str]:
    """Return the layer whose activation must be left out (or None), and what is then there."""
    outputs = getattr(model, "outputs", None)
    if outputs and (len(outputs) != 1 or len(outputs[0].shape) != 2):
        came = [tuple(output.shape) for output in outputs]
        raise ValueError(f"`model` must have one output of shape (B, K). {received(outputs=came)}")
    operation = _last_operation(outputs[0]) if outputs else None
    if isinstance(operation, keras.layers.Softmax):
        return operation, "scores"
    name = getattr(getattr(operation, "activation", None), "__name__", "unknown")
    units = outputs[0].shape[-1] if outputs else None
    if name == "linear":
        return None, "scores"
    if (name == "softmax" and units > 1) or (name == "sigmoid" and units == 1):
        return operation, "scores"
    raise ValueError(
        "`model` must end in linear units, in softmax over K >= 2 units or in one sigmoid unit. "
        "If it does so out of sight, say what its outputs are: "
        "ImageClassifier(model, from_logits=…). "
        f"{received(model=model.name, activation=name, units=units)}"
    )


def _last_operation(tensor: Any) -> Any:
    """Return what made a tensor: inside nested models, and before layers that only pass it on."""
    while True:
        operation, node, _ = tensor._keras_history
        if isinstance(operation, keras.Model) and getattr(operation, "outputs", None):
            tensor = operation.outputs[0]
        elif _passes_on(operation):
            tensor = operation._inbound_nodes[node].input_tensors[0]
        else:
            return operation


def _passes_on(operation: Any) -> bool:
    if isinstance(operation, keras.layers.Activation):
        return operation.activation is keras.activations.linear
    return isinstance(operation, keras.layers.Identity)


def _without_activation(layer: Any, calls: list[Any]) -> dict[str, Any]:
    """Return the attributes of a layer that passes on what came, and notes each use in `calls`."""

    def passing_on(inputs, mask=None):
        calls.append(inputs)
        return inputs

    return {"call" if isinstance(layer, keras.layers.Softmax) else "activation": passing_on}
