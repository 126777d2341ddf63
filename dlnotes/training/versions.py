"""One model trained again and again on versions of the same rows: filtered, in gray, turned."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import keras
import numpy as np

from dlnotes.training.progress import track
from dlnotes.validation import check_choice, check_float, check_int, check_rng, received


class Versions(NamedTuple):
    """What `fit_versions` returns.

    Attributes:
        model: A model of the kind that was trained; `load` gives it the weights of one copy.
        weights: For each version the weights of its copies, one list of arrays a copy.
        losses: For each version the mean loss of each epoch, shape (copies, epochs).
    """

    model: keras.Model
    weights: dict[str, list[list[np.ndarray]]]
    losses: dict[str, np.ndarray]

    def load(self, name: str, copy: int = 0) -> keras.Model:
        """Give `model` the weights of one copy trained on the version `name`, and return it."""
        copies = self.weights[check_choice("name", name, self.weights)]
        self.model.set_weights(copies[check_int("copy", copy, low=0, high=len(copies) - 1)])
        return self.model

    def accuracy(self, name: str, x: Any, y: Any) -> np.ndarray:
        """Return the accuracy on x, class numbers y, of each copy trained on `name`: (copies,)."""
        check_choice("name", name, self.weights)
        y, shares = np.asarray(y), []
        for copy in range(len(self.weights[name])):
            outputs = keras.ops.convert_to_numpy(self.load(name, copy)(x))
            shares.append(np.mean(outputs.argmax(axis=-1) == y))
        return np.array(shares)


def fit_versions(
    build: Callable[[], keras.Model],
    versions: Mapping[str, Any],
    y: Any,
    loss: Callable[..., Any],
    *,
    learning_rate: Any,
    copies: int = 3,
    epochs: int = 5,
    batch_size: int = 50,
    rng: np.random.Generator,
) -> Versions:
    """Train a Keras model anew on each version of the same rows, with Adam, in few seconds.

    For a fair comparison only the version differs: copy c starts from the same weights and sees
    the rows in the same order on every version. One graph runs a whole epoch and serves all, which
    takes less than half the time of Keras' ``fit`` for small models. Runs on the TensorFlow
    backend.

    Letters: N rows, B rows in a batch.

    Args:
        build: Returns a new built model; it is called once a copy. Seed Keras before.
        versions: By name N rows, an array of the model's input shape; or a function without
            arguments that returns them, and is called anew for each epoch: augmentation.
        y: Targets of the rows, an array with N rows.
        loss: ``loss(y, outputs)``, which returns one number for a batch.
        learning_rate: Of Adam, > 0, with Keras' other settings; or one for each version, by its
            name; or a Keras schedule, which each training begins anew.
        copies: Trainings for each version, >= 1.
        epochs: Passes over the rows, >= 1.
        batch_size: B, from 1 to N; rows left over at an epoch's end are not used in it.
        rng: Orders the rows.

    Returns:
        Weights and losses of all trainings.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a number is out of range, or a version has not N rows of the same shape.

    Example:
        >>> import keras
        >>> def build():
        ...     return keras.Sequential([keras.Input((1,)), keras.layers.Dense(2)])
        >>> loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        >>> x, y = np.array([[-1.0], [1.0]]), np.array([0, 1])
        >>> versions, rng = {"as it is": x, "shrunk": 0.01 * x}, np.random.default_rng(0)
        >>> options = {"learning_rate": 0.1, "epochs": 50, "batch_size": 2, "rng": rng}
        >>> done = fit_versions(build, versions, y, loss, **options)
        >>> done.accuracy("as it is", x, y)
        array([1., 1., 1.])
    """
    import tensorflow as tf

    if not isinstance(versions, Mapping) or not versions:
        raise TypeError(f"`versions` must be rows by name. {received(versions=type(versions))}")
    if not callable(build):
        raise TypeError(f"`build` must be a function. {received(build=build)}")
    rates = _check_rates(learning_rate, versions)
    copies, epochs = check_int("copies", copies, low=1), check_int("epochs", epochs, low=1)
    y = tf.convert_to_tensor(np.asarray(y))
    batch_size = check_int("batch_size", batch_size, low=1, high=len(y))
    num_rows, num_steps = len(y), len(y) // batch_size
    check_rng("rng", rng)
    orders = np.array([[rng.permutation(num_rows) for _ in range(epochs)] for _ in range(copies)])
    orders = orders[..., : num_steps * batch_size].reshape(copies, epochs, num_steps, batch_size)

    models = [_check_model(build()) for _ in range(copies)]
    model, starts = models[0], [m.get_weights() for m in models]
    adam = keras.optimizers.Adam(learning_rate if rates is None else 1.0)
    adam.build(model.trainable_variables)
    first_state = [variable.numpy() for variable in adam.variables]

    @tf.function(reduce_retracing=True)
    def train(x, order):
        total = 0.0
        for rows in order:
            with tf.GradientTape() as tape:
                value = loss(tf.gather(y, rows), model(tf.gather(x, rows), training=True))
            variables = model.trainable_variables
            adam.apply_gradients(zip(tape.gradient(value, variables), variables, strict=True))
            total += tf.cast(value, tf.float32)
        return total / tf.cast(tf.shape(order)[0], tf.float32)

    weights, losses = {}, {}
    trainings = [(name, copy) for name in versions for copy in range(copies)]
    for name, copy in track(trainings, label=f"{len(trainings)} trainings"):
        model.set_weights(starts[copy])
        for variable, value in zip(adam.variables, first_state, strict=True):
            variable.assign(value)
        if rates is not None:
            adam.learning_rate.assign(rates[name])
        rows = versions[name]
        for epoch in range(epochs):
            x = rows() if callable(rows) else rows
            x = _check_rows(name, x, num_rows, model) if callable(rows) or not epoch else x
            mean = train(x, tf.constant(orders[copy, epoch]))
            losses.setdefault(name, np.empty((copies, epochs)))[copy, epoch] = mean
            rows = rows if callable(rows) else x  # converted once
        weights.setdefault(name, []).append(model.get_weights())
    return Versions(model, weights, losses)


def _check_rates(learning_rate: Any, versions: Mapping[str, Any]) -> dict[str, float] | None:
    """Return each version's learning rate; None for a schedule."""
    if isinstance(learning_rate, keras.optimizers.schedules.LearningRateSchedule):
        return None
    if not isinstance(learning_rate, Mapping):
        learning_rate = dict.fromkeys(versions, learning_rate)
    if set(learning_rate) != set(versions):
        raise ValueError(
            "`learning_rate` must hold one number for each version. "
            f"{received(learning_rate=list(learning_rate), versions=list(versions))}"
        )
    options = {"low": 0, "open_low": True}
    return {
        name: check_float("learning_rate", rate, **options) for name, rate in learning_rate.items()
    }


def _check_rows(name: str, x: Any, num_rows: int, model: keras.Model) -> Any:
    x = keras.ops.convert_to_tensor(x, model.inputs[0].dtype)
    wanted = (num_rows, *model.inputs[0].shape[1:])
    fits = len(x.shape) == len(wanted) and all(
        n in (None, m) for n, m in zip(wanted, x.shape, strict=True)
    )
    if not fits:
        raise ValueError(
            f"`versions[{name!r}]` must have the shape {wanted}. Received: shape={tuple(x.shape)}"
        )
    return x


def _check_model(model: Any) -> keras.Model:
    if not isinstance(model, keras.Model) or not model.built:
        raise TypeError(f"`build` must return a built Keras model. {received(returned=model)}")
    return model
