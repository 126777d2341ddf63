"""One model trained many times at once: seeds, learning rates and settings side by side."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np

from dlnotes.training.progress import track
from dlnotes.training.stacked import BETA_1, BETA_2, adam_step, check_rates, one_a_copy
from dlnotes.validation import check_float, check_int, check_rng, received


class Copies(NamedTuple):
    """What `fit_copies` returns.

    Letters: R rates, S… one axis a setting, C copies, E epochs.

    Attributes:
        model: A model of the kind that was trained; `load` gives it the weights of one copy.
        rates: The learning rates, shape (R,).
        weights: One array a weight of the model, shape (R, S…, C, *shape of the weight).
        scores: The score after each epoch, shape (R, S…, C, E); E is 0 without a score.
    """

    model: keras.Model
    rates: np.ndarray
    weights: list[np.ndarray]
    scores: np.ndarray

    def load(self, *index: int) -> keras.Model:
        """Give `model` the weights of one copy, ``load(rate, setting, …, copy)``, and return it."""
        if len(index) != self.scores.ndim - 1:
            raise ValueError(
                f"`index` must hold {self.scores.ndim - 1} numbers, of rate, settings and copy. "
                f"{received(index=index)}"
            )
        self.model.set_weights([array[index] for array in self.weights])
        return self.model

    def at_best_rate(self, values: Any) -> np.ndarray:
        """Return from `values`, shape (R, S…, C, …), those at each setting's best rate: (S…, C, …).

        The best rate is the one whose copies have the lowest median of their lowest scores. A
        score that is not a number, of a copy that diverged, counts as infinite.
        """
        if self.scores.shape[-1] == 0:
            raise ValueError("`score` must have been given to `fit_copies`. Received: score=None")
        scores = np.where(np.isnan(self.scores), np.inf, self.scores)
        best = np.median(scores.min(axis=-1), axis=-1).argmin(axis=0)
        values = np.asarray(values)
        best = best.reshape(1, *best.shape, *[1] * (values.ndim - 1 - best.ndim))
        return np.take_along_axis(values, best, axis=0)[0]

    def predict(self, x: Any) -> Any:
        """Return the outputs of all copies, shape (R, S…, C, B, …); one array an output."""
        axes, x = self.scores.shape[:-1], _tensors(x)
        outputs = [
            _call(self.model, [array[index] for array in self.weights], x)
            for index in np.ndindex(axes)
        ]
        return keras.tree.map_structure(
            lambda *arrays: np.stack(arrays).reshape(*axes, *arrays[0].shape), *outputs
        )


def fit_copies(
    build: Callable[[], keras.Model],
    x: Any,
    y: Any,
    loss: Callable[..., Any],
    *,
    rates: Sequence[float],
    settings: Mapping[str, Sequence[float]] | None = None,
    copies: int = 5,
    epochs: int = 50,
    batch_size: int | None = None,
    rng: np.random.Generator,
    score: Callable[..., Any] | None = None,
    score_x: Any = None,
    restore_best: bool = False,
) -> Copies:
    """Train a Keras model from several first weights, at several rates and settings, all at once.

    A fair comparison needs each model at its own best learning rate and from several seeds, so
    tens of trainings. Here their weights are stacked, and one vectorised step (Adam with Keras'
    settings) moves them all. No copy sees another: each ends where Keras' ``fit`` would take it
    with the same batches. All copies see the same batches, and copy c starts from the same weights
    at every rate and setting. Runs on the TensorFlow backend.

    Args:
        build: Returns a new model, called once a copy; seed Keras before. Every weight of the
            model must be trained by gradients: no batch normalisation, no dropout.
        x: Inputs with B rows, as the model takes them: an array, or a list or dict of arrays.
        y: Targets with B rows: an array, or a list or dict of arrays.
        loss: ``loss(y, outputs, **setting)``, which returns one number for a batch, written with
            ``keras.ops``.
        rates: Learning rates, each > 0.
        settings: Named numbers to be tried in every combination; `loss` gets them by name.
        copies: First weights for each combination, >= 1.
        epochs: Passes over the rows, >= 1.
        batch_size: Rows a batch, >= 1; None takes all at once.
        rng: Shuffles the rows.
        score: ``score(outputs, **setting)``, one number for a copy, the lower the better, measured
            after each epoch on `score_x`.
        score_x: Inputs for `score`, such as the validation rows.
        restore_best: Whether each copy ends with the weights of the epoch in which its score was
            lowest (the first of several), as early stopping would leave it.

    Returns:
        Weights and scores of all copies.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a number is out of range, numbers of rows differ, the model holds weights
            that gradients do not train, or only one of `score` and `score_x` is given.

    References:
        D. P. Kingma and J. Ba, "Adam: a method for stochastic optimization" (2015), algorithm 1.

    Example:
        >>> import keras
        >>> def build():
        ...     return keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
        >>> def squares(y, outputs):
        ...     return keras.ops.mean((y - outputs) ** 2)
        >>> x, rng = np.array([[0.0], [1.0], [2.0]]), np.random.default_rng(0)
        >>> done = fit_copies(build, x, 3 * x, squares, rates=(0.01, 0.1), copies=4, rng=rng)
        >>> done.predict(x).shape
        (2, 4, 3, 1)
    """
    import tensorflow as tf

    rates = check_rates(rates)
    grid = {
        name: _numbers(f"settings[{name!r}]", values) for name, values in (settings or {}).items()
    }
    copies = check_int("copies", copies, low=1)
    epochs, rng = check_int("epochs", epochs, low=1), check_rng("rng", rng)
    if (score is None) != (score_x is None):
        raise ValueError(
            "`score` and `score_x` must be given together. "
            f"{received(score=score, score_x=type(score_x).__name__)}"
        )
    if not isinstance(restore_best, bool) or (restore_best and score is None):
        raise ValueError(
            "`restore_best` must be False, or True with a score. "
            f"{received(restore_best=restore_best)}"
        )
    x, y, score_x = _tensors(x), _tensors(y), _tensors(score_x)
    num_rows = _num_rows(x, y)
    batch_size = num_rows if batch_size is None else check_int("batch_size", batch_size, low=1)

    models = [_check_model(build()) for _ in range(copies)]
    model, axes = models[0], (len(rates), *map(len, grid.values()), copies)
    starts = [np.stack(arrays) for arrays in zip(*(m.get_weights() for m in models), strict=True)]
    times = int(np.prod(axes[:-1]))
    weights = [tf.constant(np.tile(array, (times, *[1] * (array.ndim - 1)))) for array in starts]
    combinations = np.array(
        list(itertools.product(rates, *grid.values(), range(copies))), "float32"
    )
    rate, own_settings = combinations[:, 0], dict(zip(grid, combinations.T[1:-1], strict=True))

    def gradients_of_one(own):
        weights, setting, rows_x, rows_y = own
        with tf.GradientTape() as tape:
            tape.watch(weights)
            value = loss(rows_y, _call(model, weights, rows_x), **setting)
        return tape.gradient(value, weights)

    @tf.function(autograph=False, reduce_retracing=True)
    def step(weights, means, squares, number, rows):
        rows_x, rows_y = (
            keras.tree.map_structure(lambda a: tf.gather(a, rows), part) for part in (x, y)
        )
        gradients = tf.vectorized_map(
            lambda own: gradients_of_one((*own, rows_x, rows_y)), (weights, own_settings)
        )
        lengths = rate * tf.sqrt(1 - BETA_2**number) / (1 - BETA_1**number)
        return adam_step(weights, means, squares, gradients, lengths)

    @tf.function(autograph=False)
    def measure(weights):
        return tf.vectorized_map(
            lambda own: score(_call(model, own[0], score_x), **own[1]), (weights, own_settings)
        )

    means, squares = ([tf.zeros_like(w) for w in weights] for _ in range(2))
    number, scores, best, best_score = 0, [], weights, np.inf
    for _ in track(range(epochs), label=f"{len(rate)} copies"):
        order = rng.permutation(num_rows)
        for start in range(0, num_rows, batch_size):
            number += 1
            rows = tf.constant(order[start : start + batch_size])
            weights, means, squares = step(
                weights, means, squares, tf.constant(number, "float32"), rows
            )
        if score is not None:
            scores.append(np.asarray(measure(weights)))
            better = scores[-1] < best_score  # the first of equals stays; nan is never better
            best_score = np.where(better, scores[-1], best_score)
            best = [
                tf.where(one_a_copy(better, w), w, b) for w, b in zip(weights, best, strict=True)
            ]
    weights = best if restore_best else weights
    ends = [w.numpy().reshape(*axes, *w.shape[1:]) for w in weights]
    scores = np.array(scores).reshape(len(scores), len(rate)).T.reshape(*axes, len(scores))
    return Copies(model, rates, ends, scores)


def _call(model: keras.Model, weights: Sequence[Any], x: Any) -> Any:
    return model.stateless_call(weights, [], x, training=False)[0]


def _tensors(tree: Any) -> Any:
    def tensor(array):
        if array is None:
            return None
        array = keras.ops.convert_to_tensor(array)
        floats = "float" in keras.backend.standardize_dtype(array.dtype)
        return keras.ops.cast(array, "float32") if floats else array

    return keras.tree.map_structure(tensor, tree)


def _num_rows(x: Any, y: Any) -> int:
    lengths = {len(array) for array in keras.tree.flatten([x, y])}
    if len(lengths) != 1:
        raise ValueError(
            f"`x` and `y` must have the same number of rows. Received: {sorted(lengths)} rows"
        )
    return lengths.pop()


def _numbers(name: str, values: Any) -> np.ndarray:
    if isinstance(values, str | Mapping) or not isinstance(values, Sequence | np.ndarray):
        raise TypeError(f"`{name}` must be a sequence of numbers. {received(**{name: values})}")
    if len(values) == 0:
        raise ValueError(f"`{name}` must hold at least one number. {received(**{name: values})}")
    return np.array([check_float(name, value) for value in values])


def _check_model(model: Any) -> keras.Model:
    if not isinstance(model, keras.Model) or not model.built:
        raise TypeError(f"`build` must return a built Keras model. {received(returned=model)}")
    others = [variable.path for variable in model.non_trainable_variables]
    if others:
        raise ValueError(
            "`build` must return a model whose every variable is trained by gradients. "
            f"{received(not_trained=others)}"
        )
    return model
