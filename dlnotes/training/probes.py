"""What happens inside a network while it trains, measured on the same rows again and again."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np

from dlnotes.validation import (
    check_array,
    check_choice,
    check_flag,
    check_int,
    check_same_length,
    received,
)


class _Probe(keras.callbacks.Callback):
    """Measure before training and after every few epochs or steps, and change nothing by it."""

    def __init__(self, every: int, by: str, training: bool) -> None:
        super().__init__()
        self.every = check_int("every", every, low=1)
        self.by = check_choice("by", by, ("epoch", "step"))
        check_flag("training", training)
        self.training = training
        self._when: list[int] = []
        self._records: list[dict[str, Any]] = []

    @property
    def when(self) -> np.ndarray:
        """Epochs or steps done at each measurement, (N,); the first is 0."""
        return np.array(self._when, dtype=int)

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Forget an earlier training, and measure the network as it is."""
        self._when, self._records = [], []
        self._steps_before = int(self.model.optimizer.iterations)
        self._record(0)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Measure if as many steps are done; several of them may make one execution."""
        if self.by == "step":
            done = int(self.model.optimizer.iterations) - self._steps_before
            if done // self.every > self._when[-1] // self.every:
                self._record(done)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Measure if as many epochs are done."""
        if self.by == "epoch" and (epoch + 1) % self.every == 0:
            self._record(epoch + 1)

    def _record(self, done: int) -> None:
        with _unchanged(self.model):
            record = self._measure()
        self._when.append(done)
        self._records.append(record)

    def _measure(self) -> dict[str, Any]:
        raise NotImplementedError


class GradientProbe(_Probe):
    """Record the length of each layer's gradient while `fit` trains.

    For a layer with the trainable weights w₁, w₂, … (all numbers of its kernel and its bias) it is
    the Euclidean norm √(Σ (∂L/∂wᵢ)²), where L is the loss that `fit` minimises, penalties included,
    on the rows of the probe. Frozen layers and layers without weights have none. A layer inside a
    nested model is named "outer/inner".

    The probe measures before the first step and then every few epochs or steps. It puts back all
    that a forward pass changes (moving averages, seeds of dropout, metrics), so the trained weights
    are the same, bit for bit, as without it.

    Args:
        x: Inputs of the probe, B × …, as the model takes them.
        y: Targets of the probe, B rows.
        every: Epochs or steps between two measurements, >= 1.
        by: What `every` counts, "epoch" or "step".
        training: Whether the network runs as in training, where batch normalization uses the mean
            and the spread of the probe's rows, and dropout drops: then it is the gradient that a
            step on these rows would follow. With False batch normalization uses its moving
            averages, which know nothing yet at the start, and nothing is dropped.

    Attributes:
        history: The norms, (N,) for each layer, by its name; N measurements.
        when: Epochs or steps done at each measurement, (N,); the first is 0.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a number is out of range, `x` and `y` differ in rows, or Keras does not run
            on TensorFlow.

    References:
        Glorot and Bengio, Understanding the difficulty of training deep feedforward neural
        networks, AISTATS 2010, section 4.2.2, where gradients are compared layer by layer.

    Example:
        >>> import keras
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, name="line")])
        >>> model.compile("sgd", loss="mse", run_eagerly=True)
        >>> x, y = np.ones((4, 2)), np.ones((4, 1))
        >>> probe = GradientProbe(x, y)
        >>> _ = model.fit(x, y, epochs=3, verbose=0, callbacks=[probe])
        >>> probe.when, probe.history["line"].shape
        (array([0, 1, 2, 3]), (4,))
    """

    def __init__(
        self, x: Any, y: Any, *, every: int = 1, by: str = "epoch", training: bool = True
    ) -> None:
        super().__init__(every, by, training)
        if keras.config.backend() != "tensorflow":
            raise ValueError(
                "`GradientProbe` needs Keras on TensorFlow. "
                f"{received(backend=keras.config.backend())}"
            )
        self.x, self.y = _check_rows("x", x), _check_rows("y", y)
        check_same_length(x=self.x, y=self.y)

    @property
    def history(self) -> dict[str, np.ndarray]:
        """The norm of each layer's gradient at each measurement, (N,), by the layer's name."""
        return _columns(self._records)

    def _measure(self) -> dict[str, float]:
        import tensorflow as tf

        layers = {name: layer.trainable_variables for name, layer in _leaves(self.model)}
        layers = {name: variables for name, variables in layers.items() if variables}
        with tf.GradientTape() as tape:
            output = self.model(self.x, training=self.training)
            loss = self.model.compute_loss(
                x=self.x, y=self.y, y_pred=output, training=self.training
            )
        return {name: _norm(parts) for name, parts in tape.gradient(loss, layers).items()}


class ActivationProbe(_Probe):
    """Record what each layer puts out while `fit` trains: mean, spread, and share of dead units.

    A unit is one place of the last axis of a layer's output: a node of a dense layer, a channel of
    a convolution. It is **dead** on the probe if it puts out exactly 0 for every row (and at every
    position). For ReLU that is: its input is never above 0, so no row sends it a gradient. A unit
    that is dead on the probe may still answer other rows.

    The probe measures before the first step and then every few epochs or steps. It puts back all
    that a forward pass changes (moving averages, seeds of dropout), so the trained weights are the
    same, bit for bit, as without it.

    Args:
        x: Inputs of the probe, B × …, as the model takes them.
        layers: Names of the layers to watch; None watches all but inputs. A nested model counts as
            one layer. Of a layer that is used several times the first use counts, of several
            outputs the first.
        every: Epochs or steps between two measurements, >= 1.
        by: What `every` counts, "epoch" or "step".
        training: Whether the network runs as in training, where batch normalization uses the mean
            and the spread of the probe's rows, and dropout drops. With False it runs as when it
            predicts: batch normalization uses its moving averages, which know nothing yet at the
            start, and nothing is dropped.

    Attributes:
        history: "mean", "std" and "dead", each with an array (N,) for each layer, by its name; N
            measurements. Mean and standard deviation are over all rows and units.
        when: Epochs or steps done at each measurement, (N,); the first is 0.

    Raises:
        TypeError: If an argument has the wrong type, or, in `fit`, the model is neither functional
            nor sequential with one input.
        ValueError: If a number is out of range, or, in `fit`, a layer is unknown or was made for
            another model.

    References:
        Glorot and Bengio, Understanding the difficulty of training deep feedforward neural
        networks, AISTATS 2010, section 3, where mean and spread are followed; Lu et al., Dying ReLU
        and Initialization, 2019, where a unit is dead if its output does not change with the input.

    Example:
        >>> import keras
        >>> layer = keras.layers.Dense(4, activation="relu", name="hidden")
        >>> model = keras.Sequential([keras.Input((2,)), layer, keras.layers.Dense(1, name="out")])
        >>> _ = layer.bias.assign([-9.0, 0.0, 0.0, 9.0])  # the first can hardly be reached
        >>> model.compile("sgd", loss="mse", run_eagerly=True)
        >>> x, y = np.eye(2), np.ones((2, 1))
        >>> probe = ActivationProbe(x, layers=["hidden"])
        >>> _ = model.fit(x, y, epochs=1, verbose=0, callbacks=[probe])
        >>> bool(probe.history["dead"]["hidden"][0] >= 0.25)
        True
    """

    def __init__(
        self,
        x: Any,
        *,
        layers: Sequence[str] | None = None,
        every: int = 1,
        by: str = "epoch",
        training: bool = True,
    ) -> None:
        super().__init__(every, by, training)
        self.x = _check_rows("x", x)
        if isinstance(layers, str) or not isinstance(layers, Sequence | None):
            raise TypeError(f"`layers` must be a list of names or None. {received(layers=layers)}")
        self.layers = layers

    @property
    def history(self) -> dict[str, dict[str, np.ndarray]]:
        """Mean, standard deviation and share of dead units: measure → layer → (N,)."""
        measures = ("mean", "std", "dead")
        return {m: _columns([record[m] for record in self._records]) for m in measures}

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Find the layers, forget an earlier training, and measure the network as it is."""
        self._insides = _insides(self.model, self.layers)
        super().on_train_begin(logs)

    def _measure(self) -> dict[str, dict[str, float]]:
        found = self._insides(self.x, training=self.training)
        record: dict[str, dict[str, float]] = {"mean": {}, "std": {}, "dead": {}}
        for name, output in found.items():
            units = keras.ops.convert_to_numpy(output).astype(float)
            units = units.reshape(-1, units.shape[-1])  # (rows and positions, units)
            record["mean"][name] = units.mean()
            record["std"][name] = units.std()
            record["dead"][name] = (units == 0).all(axis=0).mean()
        return record


@contextlib.contextmanager
def _unchanged(model: keras.Model) -> Iterator[None]:
    """Give the variables that a forward pass changes their values back at the end."""
    variables = [*model.non_trainable_variables, *model.metrics_variables]
    values = [np.array(keras.ops.convert_to_numpy(variable.value)) for variable in variables]
    try:
        yield
    finally:
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)


def _leaves(model: keras.Model, prefix: str = "") -> Iterator[tuple[str, keras.layers.Layer]]:
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _leaves(layer, f"{prefix}{layer.name}/")
        else:
            yield prefix + layer.name, layer


def _insides(model: keras.Model, names: Sequence[str] | None) -> keras.Model:
    if len(getattr(model, "inputs", None) or ()) != 1:
        raise TypeError(
            "`model` must be functional or sequential, with one input. "
            f"{received(model=model.name)}"
        )
    layers = {
        layer.name: layer
        for layer in model.layers
        if not isinstance(layer, keras.layers.InputLayer)
    }
    names = tuple(layers if names is None else names)
    if not names or not set(names) <= set(layers):
        known = ", ".join(layers)
        raise ValueError(f"`layers` must be names among {known}. {received(layers=names)}")
    try:
        outputs = {name: keras.tree.flatten(layers[name].output)[0] for name in names}
        return keras.Model(model.inputs[0], outputs, name="insides")
    except (AttributeError, ValueError) as error:
        raise ValueError(
            "`model` must be made of layers that no other model used before. "
            f"{received(model=model.name)}"
        ) from error


def _check_rows(name: str, value: Any) -> np.ndarray:
    return check_array(name, value, ndim=(1, 2, 3, 4, 5), dtype=None)


def _norm(gradients: Sequence[Any]) -> float:
    # None: the loss does not depend on the weight
    parts = [keras.ops.convert_to_numpy(part).ravel() for part in gradients if part is not None]
    return float(np.linalg.norm(np.concatenate([*parts, [0.0]])))


def _columns(records: Sequence[dict[str, float]]) -> dict[str, np.ndarray]:
    names = records[0] if records else ()
    return {name: np.array([record[name] for record in records]) for name in names}
