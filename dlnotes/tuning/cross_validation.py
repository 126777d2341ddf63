"""K-fold cross-validation for Keras models: each row is judged by a model that never saw it."""

import hashlib
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from dlnotes import runtime
from dlnotes.training import track
from dlnotes.tuning.output import no_retracing_warnings
from dlnotes.validation import check_array, check_flag, check_int, check_same_length, received


@dataclass(frozen=True)
class CrossValidation:
    """What `cross_validate` found, for N rows and K folds.

    Attributes:
        metric: Name of the metric that `scores` holds.
        scores: Its value on the held-out rows of each fold, shape (K,).
        all_scores: The same for each metric of the model and the loss, by name.
        predictions: For each row the prediction of the model that did not see it, in the order of
            the rows, shape (N, …).
        fold_of_row: For each row the number of the fold that held it out, 0 to K − 1, shape (N,).
        seeds: The seed of each fold's weights and shuffling: what
            ``keras.utils.set_random_seed`` got before `build` was called for it.
        histories: For each fold its scores after each epoch, by name, shapes (epochs,).
    """

    metric: str
    scores: np.ndarray
    all_scores: Mapping[str, np.ndarray]
    predictions: np.ndarray
    fold_of_row: np.ndarray
    seeds: tuple[int, ...]
    histories: tuple[Mapping[str, np.ndarray], ...]

    @property
    def mean(self) -> float:
        """The mean of the scores."""
        return float(np.mean(self.scores))

    @property
    def std(self) -> float:
        """The standard deviation of the scores, with K − 1 in the denominator.

        It says how much folds differ. It is no error bar of the mean: any two folds share most of
        their training rows, and no unbiased estimate of the mean's variance exists
        (Bengio and Grandvalet, 2004).
        """
        return float(np.std(self.scores, ddof=1))


def cross_validate(
    build: Callable[[], keras.Model],
    x: Any,
    y: Any,
    *,
    seed: int,
    epochs: int,
    folds: int = 5,
    batch_size: int = 32,
    stratify: bool = True,
    prepare: Callable[[], Any] | None = None,
    metric: str | None = None,
    follow: bool = False,
) -> CrossValidation:
    """Train a new model for each fold on all other folds, and score it on the fold.

    The rows are shuffled into K = `folds` parts of (almost) equal size. `seed` alone decides which
    row comes where; the weights and the shuffling of fold k start from a seed of their own, made
    of `seed`, k and `runtime.seed_offset()` and stated in the result. Python's, NumPy's and Keras'
    global generators are seeded on the way.

    Whatever learns from data must learn from the training folds only. So the model and `prepare`
    come from functions that are called for each fold; a function that hands out the same object
    again, or shares a layer, an optimizer or trained weights with an earlier fold, is refused.
    What these functions learnt elsewhere from the same rows cannot be seen here.

    Args:
        build: A function without arguments that returns a new compiled model with one input and
            one output. Like `prepare` it is called once more at the start, so that mistakes come
            to light before anything is trained.
        x: Inputs of N rows, shape (N, …). With `prepare` they may hold NaN or texts, as long as
            what it returns does not.
        y: Targets, shape (N,) or (N, …).
        seed: A whole number in [0, 2**31).
        epochs: Epochs for each fold, >= 1.
        folds: The number of folds, 2 to N.
        batch_size: Rows a training step.
        stratify: Whether each fold has the same share of each class; `y` must then hold class
            numbers, (N,) or (N, 1), or one-hot rows, (N, C). Choose False for other targets.
        prepare: A function without arguments, such as a class of scikit-learn, that returns a new
            object with ``fit(x, y)`` and ``transform(x)``. It is fitted on the training folds and
            transforms both sides.
        metric: Name of the metric to report; None takes the model's only metric, or the loss of
            a model without.
        follow: Whether the histories also hold the scores on the held-out fold (``val_…``), to
            look at. Who chooses the number of epochs by them has seen the held-out fold.

    Returns:
        Scores, predictions and histories.

    Raises:
        TypeError: If an argument, or what a function returns, has the wrong type.
        ValueError: If a number is out of range, lengths differ, a class has fewer rows than there
            are folds, the metric is unknown, a model is not compiled, or folds share something.

    References:
        Stone (1974), Cross-validatory choice and assessment of statistical predictions. Hastie,
        Tibshirani and Friedman (2009), The Elements of Statistical Learning, section 7.10.2: the
        wrong and the right way to do cross-validation.

    Example:
        >>> def build():
        ...     model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        ...     model.compile("sgd", "mse")
        ...     return model
        >>> x = np.eye(2).repeat(3, axis=0)
        >>> result = cross_validate(build, x, x[:, 0], folds=3, seed=1, epochs=1, stratify=False)
        >>> result.metric, result.scores.shape, result.predictions.shape
        ('loss', (3,), (6, 1))
    """
    seed = check_int("seed", seed, low=0, high=2**31 - 1)
    epochs = check_int("epochs", epochs, low=1)
    batch_size = check_int("batch_size", batch_size, low=1)
    x, y = _check_data(x, y, finite=prepare is None)
    fold_of_row = _folds(y, check_int("folds", folds, low=2, high=len(x)), stratify, seed)
    new = _NewOnes()
    probe = new.model(build)  # kept, so that handing it out again is seen at once
    first = fold_of_row == 0
    metric = _metric_name(probe, *new.prepared(prepare, x, y, first)[1], metric)

    predictions, scores, histories = None, [], []
    seeds = tuple(_training_seed(seed, fold) for fold in range(folds))
    for fold in track(range(folds), label="folds"):
        held_out = fold_of_row == fold
        keras.utils.set_random_seed(seeds[fold])
        train, held = new.prepared(prepare, x, y, held_out)
        model = new.model(build)
        extra = {"validation_data": held} if follow else {}
        with no_retracing_warnings():
            history = model.fit(*train, epochs=epochs, batch_size=batch_size, verbose=0, **extra)
            score = model.evaluate(*held, batch_size=batch_size, verbose=0, return_dict=True)
            answers = model.predict(held[0], batch_size=batch_size, verbose=0)
        if predictions is None:
            predictions = np.empty((len(x), *answers.shape[1:]), dtype=answers.dtype)
        predictions[held_out] = answers
        scores.append(score)
        histories.append({name: np.asarray(values) for name, values in history.history.items()})
        new.remember_training(model)
    all_scores = {name: np.array([score[name] for score in scores]) for name in scores[0]}
    return CrossValidation(
        metric=metric,
        scores=all_scores[metric],
        all_scores=all_scores,
        predictions=predictions,
        fold_of_row=fold_of_row,
        seeds=seeds,
        histories=tuple(histories),
    )


class _NewOnes:
    """Asks functions for new objects, and refuses what was handed out or trained before."""

    def __init__(self) -> None:
        self._seen: list[weakref.ref] = []  # weak: the models of earlier folds may go
        self._start: dict[int, bytes] = {}
        self._trained: dict[bytes, str] = {}

    def model(self, build: Callable[[], keras.Model]) -> keras.Model:
        """Return a new compiled model."""
        if not callable(build) or isinstance(build, keras.Model):
            raise TypeError(
                f"`build` must be a function that returns a new model. {received(build=build)}"
            )
        model = build()
        if not isinstance(model, keras.Model):
            raise TypeError(f"`build` must return a keras.Model. Received: {model!r}")
        if not model.compiled:
            raise ValueError(
                f"`build` must return a compiled model. Received: the uncompiled {model.name!r}"
            )
        self._add("build", "the same model", [model])
        self._add("build", "a model with the same optimizer", [model.optimizer])
        self._add("build", "a model that shares weights with it", model.weights)
        self._start = {id(weight): _digest(weight) for weight in model.weights}
        for weight in model.weights:
            if _digest(weight) in self._trained:
                path = self._trained[_digest(weight)]
                raise ValueError(
                    "`build` must return a new model for each fold. Received: a model that starts "
                    f"with the weights {weight.path!r} that an earlier fold has trained ({path!r})"
                )
        return model

    def remember_training(self, model: keras.Model) -> None:
        """Keep fingerprints of the weights that training has changed."""
        for weight in model.weights:
            values = keras.ops.convert_to_numpy(weight)
            # such as zeros, which two networks may have by chance
            constant = values.size < 2 or (values == values.flat[0]).all()
            if not constant and self._start.get(id(weight)) != _digest(weight):
                self._trained[_digest(weight)] = weight.path

    def prepared(
        self, prepare: Callable[[], Any] | None, x: np.ndarray, y: np.ndarray, held_out: np.ndarray
    ) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
        """Return (x, y) of the training rows and (x, y) of the held-out rows."""
        sides = {False: x[~held_out], True: x[held_out]}
        if prepare is not None:
            if not callable(prepare):
                raise TypeError(
                    "`prepare` must be a class or function that returns a new object with fit and "
                    f"transform. {received(prepare=prepare)}"
                )
            tool = prepare()
            if not (hasattr(tool, "fit") and hasattr(tool, "transform")):
                raise TypeError(
                    f"`prepare` must return an object with fit and transform. Received: {tool!r}"
                )
            self._add("prepare", "the same object", [tool])
            tool.fit(sides[False], y[~held_out])
            for side, rows in sides.items():
                moved = check_array("prepare().transform(x)", tool.transform(rows), dtype=None)
                check_same_length(**{"x": rows, "prepare().transform(x)": moved})
                sides[side] = moved
        return (sides[False], y[~held_out]), (sides[True], y[held_out])

    def _add(self, argument: str, what: str, things: list[Any]) -> None:
        for thing in things:
            if any(seen() is thing for seen in self._seen):
                raise ValueError(
                    f"`{argument}` must return something new at each call, or a fold learns from "
                    f"rows of another. Received: {what} as before"
                )
        self._seen.extend(weakref.ref(thing) for thing in things)


def _digest(weight: Any) -> bytes:
    values = np.ascontiguousarray(keras.ops.convert_to_numpy(weight))
    return hashlib.blake2b(repr(values.shape).encode() + values.tobytes()).digest()


def _training_seed(seed: int, fold: int) -> int:
    mixed = np.random.SeedSequence([seed, fold]).generate_state(1)[0]
    return int(mixed) % 2**31 + runtime.seed_offset()


def _check_data(x: Any, y: Any, *, finite: bool) -> tuple[np.ndarray, np.ndarray]:
    x = check_array("x", x, dtype=None) if finite else np.asarray(x)
    y = check_array("y", y, dtype=None)
    for name, array in {"x": x, "y": y}.items():
        if array.ndim == 0:
            raise ValueError(
                f"`{name}` must have a row for each example. {received(**{name: array})}"
            )
    check_same_length(x=x, y=y)
    return x, y


def _folds(y: np.ndarray, folds: int, stratify: bool, seed: int) -> np.ndarray:
    """Return the number of the fold that holds out each row."""
    from sklearn import model_selection

    check_flag("stratify", stratify)
    if stratify:
        splitter, classes = model_selection.StratifiedKFold, _classes(y, folds)
    else:
        splitter, classes = model_selection.KFold, np.zeros(len(y), dtype=int)
    fold_of_row = np.empty(len(y), dtype=int)
    splits = splitter(folds, shuffle=True, random_state=seed).split(classes, classes)
    for fold, (_, held_out) in enumerate(splits):
        fold_of_row[held_out] = fold
    return fold_of_row


def _classes(y: np.ndarray, folds: int) -> np.ndarray:
    if y.ndim == 2 and y.shape[1] > 1 and np.isin(y, (0, 1)).all() and (y.sum(axis=1) == 1).all():
        classes = y.argmax(axis=1)
    elif y.size == len(y) and (y == np.round(y)).all():
        classes = y.reshape(len(y)).astype(int)
    else:
        raise ValueError(
            "`stratify` must be False unless `y` holds class numbers or one-hot rows. "
            f"{received(stratify=True)}, y.shape={y.shape}, y.dtype={y.dtype}"
        )
    names, counts = np.unique(classes, return_counts=True)
    if counts.min() < folds:
        raise ValueError(
            "`folds` must be at most the number of rows of each class (or `stratify` False, if "
            f"`y` holds no classes). {received(folds=folds)}; class {names[counts.argmin()]} "
            f"has {counts.min()} rows"
        )
    return classes


def _metric_name(model: keras.Model, x: np.ndarray, y: np.ndarray, metric: str | None) -> str:
    """Return the metric to report, from those that the model has."""
    answers = model(x[:1], training=False)
    if not hasattr(answers, "shape"):
        raise TypeError(
            f"`build` must return a model with one output. Received: {type(answers).__name__}"
        )
    names = list(model.compute_metrics(x[:1], keras.ops.convert_to_tensor(y[:1]), answers))
    if metric is None:
        others = [name for name in names if name != "loss"] or ["loss"]
        metric = others[0] if len(others) == 1 else None
    if metric not in names:
        raise ValueError(
            f"`metric` must be one of {', '.join(map(repr, names))}. {received(metric=metric)}"
        )
    return metric
