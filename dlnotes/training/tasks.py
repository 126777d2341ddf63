"""One kind of model trained on several tasks at once, each with its own rows and weights."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np

from dlnotes.training.progress import track
from dlnotes.training.stacked import BETA_1, BETA_2, adam_step, check_rates, one_a_copy
from dlnotes.validation import (
    check_array,
    check_choice,
    check_int,
    check_rng,
    check_same_length,
    received,
)


class Task(NamedTuple):
    """Rows to learn from, and rows to choose by.

    Attributes:
        x: Inputs for training, shape (N, …).
        y: Targets for training, shape (N, …).
        x_val: Inputs for validation, shape (V, …).
        y_val: Targets for validation, shape (V, …).
    """

    x: np.ndarray
    y: np.ndarray
    x_val: np.ndarray
    y_val: np.ndarray


class TaskFits(NamedTuple):
    """What `fit_tasks` returns.

    Letters: K tasks, R rates, C copies, E checks.

    Attributes:
        model: A model of the kind that was trained, for `load` to copy and `predict` to fill.
        names: The tasks' names.
        rates: The learning rates, shape (R,).
        weights: One array a weight of the model, shape (K, R, C, *shape of the weight), each as it
            was at the check with the copy's lowest validation loss.
        losses: Validation loss at each check, shape (K, R, C, E).
    """

    model: keras.Model
    names: tuple[str, ...]
    rates: np.ndarray
    weights: list[np.ndarray]
    losses: np.ndarray

    def best_rate(self, name: str) -> float:
        """Return the rate whose copies have the lowest median of their lowest validation losses."""
        return float(self.rates[self._places(name)[1]])

    def validation_losses(self, name: str) -> np.ndarray:
        """Return the validation losses of a task's copies at its best rate: shape (C, E)."""
        return self.losses[self._places(name)]

    def load(self, name: str, copy: int = 0) -> keras.Model:
        """Return a new model with the weights of one copy of a task at its best rate."""
        copy = check_int("copy", copy, low=0, high=self.losses.shape[2] - 1)
        model = keras.models.clone_model(self.model)
        _assign(model, [array[(*self._places(name), copy)] for array in self.weights])
        return model

    def predict(self, name: str, x: Any) -> np.ndarray:
        """Return the outputs of a task's copies at its best rate: shape (C, B, …)."""
        place, outputs = self._places(name), []
        x = keras.ops.convert_to_tensor(np.asarray(x, "float32"))
        for copy in range(self.losses.shape[2]):
            _assign(self.model, [array[(*place, copy)] for array in self.weights])
            outputs.append(keras.ops.convert_to_numpy(self.model(x)))
        return np.stack(outputs)

    def _places(self, name: str) -> tuple[int, int]:
        task = self.names.index(check_choice("name", name, self.names))
        losses = np.where(np.isnan(self.losses[task]), np.inf, self.losses[task])
        medians = np.median(losses.min(axis=-1), axis=-1)
        if not np.isfinite(medians).any():
            raise ValueError(f"`rates` must hold one that does not diverge. {received(task=name)}")
        return task, int(medians.argmin())


def _assign(model: keras.Model, weights: Sequence[np.ndarray]) -> None:
    for variable, array in zip(model.trainable_variables, weights, strict=True):
        variable.assign(array)


def fit_tasks(
    build: Callable[[], keras.Model],
    tasks: Mapping[str, Task | Sequence[Any]],
    loss: Callable[..., Any],
    *,
    rates: Sequence[float],
    copies: int = 3,
    steps: int = 300,
    batch_size: int = 32,
    check_every: int = 25,
    rng: np.random.Generator,
) -> TaskFits:
    """Train a model on each of several tasks, at several rates, from several first weights.

    All weights are stacked, and one vectorised step (Adam with Keras' settings) moves them all, so
    that tens of small trainings cost hardly more than one, and the graph is made once. Nothing is
    shared: each copy ends where it would end alone with the same batches. Copy c starts from
    the same weights for every task and rate, and the copies and rates of a task see the same
    batches, drawn with replacement. Each copy keeps the weights that had its lowest validation
    loss: early stopping. Runs on the TensorFlow backend.

    Args:
        build: Returns a new model, called once a copy; seed Keras before. No dropout, no batch
            normalisation; recurrent layers are fine.
        tasks: By name a `Task`, or its four arrays. Rows have the same shape in all tasks; their
            numbers may differ.
        loss: ``loss(y, outputs)``, one number for each row, written with ``keras.ops``.
        rates: Learning rates, each > 0.
        copies: First weights for each task and rate, >= 1.
        steps: Updates, >= 1.
        batch_size: Rows an update, >= 1.
        check_every: Updates from one validation to the next, >= 1; it divides `steps`.
        rng: Draws the batches.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a number is out of range, shapes differ, a value is NaN, or the model holds
            weights that gradients do not train.

    References:
        D. P. Kingma and J. Ba, "Adam: a method for stochastic optimization" (2015), algorithm 1.

    Example:
        >>> def build():
        ...     return keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
        >>> def squares(y, outputs):
        ...     return keras.ops.mean((y - outputs) ** 2, axis=-1)
        >>> x, rng = np.array([[0.0], [1.0], [2.0]]), np.random.default_rng(0)
        >>> tasks = {"twice": (x, 2 * x, x, 2 * x), "minus": (x, -x, x, -x)}
        >>> fits = fit_tasks(build, tasks, squares, rates=[0.1], steps=200, rng=rng)
        >>> fits.predict("minus", [[3.0]]).round(1)[0].tolist()
        [[-3.0]]
    """
    import tensorflow as tf

    rates = check_rates(rates)
    copies, steps = check_int("copies", copies, low=1), check_int("steps", steps, low=1)
    batch_size = check_int("batch_size", batch_size, low=1)
    if steps % check_int("check_every", check_every, low=1):
        raise ValueError(
            f"`check_every` must divide `steps`. {received(check_every=check_every, steps=steps)}"
        )
    tasks, rng = check_tasks(tasks), check_rng("rng", rng)
    models = [check_trainable(build()) for _ in range(copies)]
    model, axes = models[0], (len(tasks), len(rates), copies)
    fixed = [variable.value for variable in model.non_trainable_variables]
    starts = zip(*(m.trainable_variables for m in models), strict=True)
    starts = [np.stack([keras.ops.convert_to_numpy(v) for v in variables]) for variables in starts]
    times = len(tasks) * len(rates)
    weights = [tf.constant(np.tile(array, (times, *[1] * (array.ndim - 1)))) for array in starts]
    which = np.repeat(np.arange(len(tasks)), len(rates) * copies)
    rate = tf.constant(np.tile(np.repeat(rates, copies), len(tasks)), "float32")
    x, y, x_val, y_val = (filled_up([task[k] for task in tasks.values()]) for k in range(4))
    counts = [len(task.x_val) for task in tasks.values()]
    shares = np.array([(np.arange(len(x_val[0])) < count) / count for count in counts], "float32")

    def call(own, rows):
        return model.stateless_call(own, fixed, rows, training=False)[0]

    def gradients_of_one(own):
        own, rows_x, rows_y = own
        with tf.GradientTape() as tape:
            tape.watch(own)
            value = tf.reduce_mean(loss(rows_y, call(own, rows_x)))
        return tape.gradient(value, own)

    @tf.function(autograph=False)
    def step(weights, means, squares, number, rows):
        batch = [tf.gather(tf.gather(a, rows, batch_dims=1), which) for a in (x, y)]
        gradients = tf.vectorized_map(gradients_of_one, (weights, *batch))
        lengths = rate * tf.sqrt(1 - BETA_2**number) / (1 - BETA_1**number)
        return adam_step(weights, means, squares, gradients, lengths)

    @tf.function(autograph=False)
    def measure(weights):
        rows = [tf.gather(a, which) for a in (x_val, y_val, shares)]
        return tf.vectorized_map(
            lambda own: tf.reduce_sum(own[3] * loss(own[2], call(own[0], own[1]))),
            (weights, *rows),
        )

    means, squares = ([tf.zeros_like(w) for w in weights] for _ in range(2))
    losses, best, lowest = [], weights, np.inf
    for number in track(range(1, steps + 1), label=f"{len(which)} copies"):
        rows = np.stack([rng.integers(0, len(task.x), batch_size) for task in tasks.values()])
        number_tensor = tf.constant(float(number))
        weights, means, squares = step(weights, means, squares, number_tensor, tf.constant(rows))
        if number % check_every == 0:
            losses.append(measure(weights).numpy())
            better = losses[-1] < lowest  # the first of equals stays; nan is never better
            lowest = np.where(better, losses[-1], lowest)
            pairs = zip(weights, best, strict=True)
            best = [tf.where(one_a_copy(better, w), w, old) for w, old in pairs]
    ends = [w.numpy().reshape(*axes, *w.shape[1:]) for w in best]
    losses = np.stack(losses, axis=-1).reshape(*axes, len(losses))
    return TaskFits(model, tuple(tasks), rates, ends, losses)


def filled_up(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """Return arrays of different lengths in one, float32; short ones are repeated to the longest.

    Example:
        >>> filled_up([np.array([1, 2, 3]), np.array([4, 5])]).tolist()
        [[1.0, 2.0, 3.0], [4.0, 5.0, 4.0]]
    """
    length = max(map(len, arrays))
    return np.stack([array[np.arange(length) % len(array)] for array in arrays]).astype("float32")


def check_tasks(tasks: Any) -> dict[str, Task]:
    """Return tasks with arrays of finite numbers whose rows fit together.

    Raises:
        TypeError: If they are not a mapping of four arrays each, or do not hold numbers.
        ValueError: If there is none, a value is NaN, or shapes or numbers of rows differ.
    """
    if not isinstance(tasks, Mapping) or any(len(task) != 4 for task in tasks.values()):
        raise TypeError(
            "`tasks` must map names to (x, y, x_val, y_val). "
            f"{received(tasks=list(tasks) if isinstance(tasks, Mapping) else tasks)}"
        )
    if not tasks:
        raise ValueError(f"`tasks` must hold at least one task. {received(tasks=tasks)}")
    done = {}
    for name, arrays in tasks.items():
        fields = zip(Task._fields, arrays, strict=True)
        task = Task(*(check_array(f"tasks[{name!r}].{field}", array) for field, array in fields))
        check_same_length(x=task.x, y=task.y)
        check_same_length(x_val=task.x_val, y_val=task.y_val)
        done[name] = task
    shapes = {part.shape[1:] for task in done.values() for part in (task.x, task.x_val)}
    shapes_y = {part.shape[1:] for task in done.values() for part in (task.y, task.y_val)}
    if len(shapes) > 1 or len(shapes_y) > 1:
        raise ValueError(
            "`tasks` must all have rows of one shape. "
            f"Received: x {sorted(shapes)}, y {sorted(shapes_y)}"
        )
    return done


def check_trainable(model: Any) -> keras.Model:
    """Return a built model whose variables are trained by gradients, or seeds of unused dropout.

    Raises:
        TypeError: If it is no built Keras model.
        ValueError: If it holds other variables, such as moving averages.
    """
    if not isinstance(model, keras.Model) or not model.built:
        raise TypeError(f"`build` must return a built Keras model. {received(returned=model)}")
    others = [v.path for v in model.non_trainable_variables if "seed_generator" not in v.path]
    others += [layer.name for layer in model.layers if getattr(layer, "rate", 0)]
    others += [layer.name for layer in model.layers if getattr(layer, "dropout", 0)]
    if others:
        raise ValueError(
            "`build` must return a model whose every variable is trained by gradients, without "
            f"dropout. {received(not_trained=others)}"
        )
    return model
