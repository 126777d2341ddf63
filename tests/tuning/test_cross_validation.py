import dataclasses
import logging
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest
from contracts import Refusal, check_docstring, check_refusals
from sklearn.datasets import load_wine
from sklearn.feature_selection import SelectKBest
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import StandardScaler

from dlnotes.runtime import quiet_start

with quiet_start():
    import keras

    from dlnotes.tuning import CrossValidation, cross_validate

ROWS = 20
IDS = np.arange(1.0, ROWS + 1)[:, None] / 32  # each row carries its own number; exact in float32
CLASSES = np.array([0] * 12 + [1] * 8)
ONCE = {"seed": 3, "epochs": 1}


class LeastSquares(keras.Sequential):
    """A linear model that learns in closed form: real weights, but nothing to trace."""

    def fit(self, x, y, *, epochs, **_):
        wanted = np.reshape(y, (len(y), -1))
        weights = np.linalg.lstsq(np.column_stack([x, np.ones(len(x))]), wanted, rcond=None)[0]
        self.layers[-1].set_weights([weights[:-1], weights[-1]])
        return SimpleNamespace(history={"loss": [0.0] * epochs})

    def predict(self, x, **_):
        kernel, bias = self.layers[-1].get_weights()
        return x @ kernel + bias

    def evaluate(self, x, y, **_):
        missed = self.predict(x) - np.reshape(y, (len(y), -1))
        return {"loss": np.mean(missed**2), "hits": np.mean(np.abs(missed) < 0.5)}


class Witness(LeastSquares):
    """Remembers the rows it was trained on, and answers a row with its number if it is new."""

    def fit(self, x, y, **kwargs):
        self.trained_on = set(np.ravel(x))
        return super().fit(x, y, **kwargs)

    def predict(self, x, **_):
        assert not self.trained_on & set(np.ravel(x)), "the model has seen what it predicts"
        assert len(self.trained_on) + len(x) == ROWS
        return np.array(x)


def compiled(model, **kwargs):
    model.compile(keras.optimizers.SGD(0.05), "mse", **kwargs)
    return model


def closed_form(features=1, units=1, kind=LeastSquares):
    return compiled(kind([keras.Input((features,)), keras.layers.Dense(units)]))


def witness():
    return closed_form(kind=Witness)


def linear():
    return keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])


# === Who sees what ===


@pytest.mark.parametrize(("folds", "stratify"), [(3, True), (4, False), (ROWS, False)])
def test_each_row_is_predicted_once_by_a_model_that_did_not_see_it(folds, stratify):
    result = cross_validate(witness, IDS, CLASSES, folds=folds, stratify=stratify, **ONCE)
    np.testing.assert_array_equal(result.predictions, IDS)  # in the order of the rows
    sizes = np.bincount(result.fold_of_row, minlength=folds)
    assert sizes.sum() == ROWS
    assert sizes.max() - sizes.min() <= 1
    assert len(result.scores) == len(result.seeds) == len(result.histories) == folds


def test_stratified_folds_have_the_same_share_of_each_class():
    for targets in (CLASSES, CLASSES[:, None], np.eye(2)[CLASSES]):
        units = 2 if targets.shape == (ROWS, 2) else 1
        folds = cross_validate(
            lambda units=units: closed_form(units=units), IDS, targets, folds=4, **ONCE
        ).fold_of_row
        assert [(CLASSES[folds == fold] == 0).sum() for fold in range(4)] == [3] * 4
    plain = cross_validate(witness, IDS, CLASSES, folds=4, stratify=False, **ONCE).fold_of_row
    assert [(CLASSES[plain == fold] == 0).sum() for fold in range(4)] != [3] * 4


class Spy(StandardScaler):
    """Remembers what it was fitted on and what it transformed."""

    made: ClassVar[list] = []

    def fit(self, x, y):
        Spy.made.append(self)
        self.fitted_on, self.targets, self.moved = set(np.ravel(x)), np.array(y), []
        return super().fit(x, y)

    def transform(self, x):
        self.moved.append(set(np.ravel(x)))
        return super().transform(x)


def test_prepare_is_fitted_on_the_training_folds_alone():
    Spy.made = []
    result = cross_validate(closed_form, IDS, CLASSES, prepare=Spy, folds=4, **ONCE)
    spies = Spy.made[-4:]  # the first of five tried out one fold before any training
    assert len(Spy.made) == 5
    for fold, spy in enumerate(spies):
        held_out = set(np.ravel(IDS[result.fold_of_row == fold]))
        assert spy.fitted_on == set(np.ravel(IDS)) - held_out
        assert spy.moved == [spy.fitted_on, held_out]
        np.testing.assert_array_equal(spy.targets, CLASSES[result.fold_of_row != fold])


def test_a_leak_around_prepare_shows():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(60, 1500)), np.repeat([0, 1], 30)  # noise: nothing can be learnt
    options = {"seed": 1, "epochs": 1, "folds": 4}

    def hits(x, **more):
        result = cross_validate(lambda: closed_form(8), x, y, **options, **more)
        return result.all_scores["hits"].mean()

    assert 0.3 < hits(x, prepare=lambda: SelectKBest(k=8)) < 0.7  # guessing: 0.5
    assert hits(SelectKBest(k=8).fit_transform(x, y)) > 0.75  # chosen by all rows


def test_prepare_may_mend_what_a_network_cannot_take():
    x = IDS.copy()
    x[3] = np.nan
    with pytest.raises(ValueError, match="`x` must hold finite numbers"):
        cross_validate(witness, x, CLASSES, **ONCE)
    mended = cross_validate(closed_form, x, CLASSES, prepare=SimpleImputer, folds=2, **ONCE)
    assert np.isfinite(mended.predictions).all()
    with pytest.raises(ValueError, match=r"`prepare\(\).transform\(x\)` must hold finite numbers"):
        cross_validate(closed_form, x, CLASSES, prepare=StandardScaler, **ONCE)


# === What folds may not share ===


def same_model():
    model = closed_form()
    return lambda: model


def shared_layer():
    layer = keras.layers.Dense(1)
    return lambda: compiled(LeastSquares([keras.Input((1,)), layer]))


def shared_optimizer():
    optimizer = keras.optimizers.SGD(0.1)

    def build():
        model = linear()
        model.compile(optimizer, "mse")
        return model

    return build


def copied_weights():
    made = []

    def build():
        model = closed_form(units=3)
        if made:
            model.set_weights(made[-1].get_weights())
        made.append(model)
        return model

    return build


def copied_kernel():
    made = []

    def build():
        model = closed_form(units=3)
        if made:
            model.layers[-1].kernel.assign(made[-1].layers[-1].kernel)
        made.append(model)
        return model

    return build


@pytest.mark.parametrize(
    ("leak", "match", "trained"),
    [
        (same_model, "the same model as before", 0),
        (shared_layer, "a model that shares weights with it as before", 0),
        (shared_optimizer, "a model with the same optimizer as before", 0),
        (copied_weights, "that an earlier fold has trained", 1),
        (copied_kernel, "that an earlier fold has trained", 1),
    ],
)
def test_a_build_that_carries_something_over_is_refused(monkeypatch, leak, match, trained):
    fits, real = [], LeastSquares.fit
    monkeypatch.setattr(
        LeastSquares, "fit", lambda self, *a, **k: fits.append(1) or real(self, *a, **k)
    )
    y = np.eye(3)[CLASSES] if "copied" in leak.__name__ else CLASSES
    with pytest.raises(ValueError, match="`build` must return .*" + match):
        cross_validate(leak(), IDS, y, **ONCE)
    assert len(fits) == trained  # what can be seen at the start costs no training


def test_a_prepare_that_is_handed_out_twice_is_refused():
    scaler = StandardScaler()
    with pytest.raises(ValueError, match="`prepare` must return something new at each call"):
        cross_validate(closed_form, IDS, CLASSES, prepare=lambda: scaler, **ONCE)


def test_equal_untrained_weights_are_no_leak():
    def build():
        keras.utils.set_random_seed(7)  # as a hypermodel does: all folds start alike
        return closed_form(units=3)

    assert len(cross_validate(build, IDS, np.eye(3)[CLASSES], folds=3, **ONCE).scores) == 3


# === Scores ===


def wine_model():
    output = keras.layers.Dense(3, activation="softmax")
    model = keras.Sequential([keras.Input((13,)), output])
    loss = "sparse_categorical_crossentropy"
    model.compile(keras.optimizers.SGD(0.3), loss, metrics=["accuracy"], run_eagerly=True)
    return model


def test_scores_are_those_of_the_predictions():
    x, y = load_wine(return_X_y=True)
    options = {"folds": 2, "seed": 0, "epochs": 3, "prepare": StandardScaler, "follow": True}
    result = cross_validate(wine_model, x, y, **options)
    hits = result.predictions.argmax(axis=1) == y
    by_hand = [hits[result.fold_of_row == fold].mean() for fold in range(2)]
    np.testing.assert_allclose(result.scores, by_hand, atol=1e-6)
    assert result.metric == "accuracy"
    assert set(result.all_scores) == {"loss", "accuracy"}
    picked = result.predictions[np.arange(len(y)), y]
    losses = [-np.log(picked[result.fold_of_row == fold]).mean() for fold in range(2)]
    np.testing.assert_allclose(result.all_scores["loss"], losses, rtol=1e-4)
    assert result.mean == pytest.approx(np.mean(by_hand))
    assert result.std == pytest.approx(np.std(by_hand, ddof=1))
    assert result.mean > 0.85
    assert set(result.histories[0]) == {"loss", "accuracy", "val_loss", "val_accuracy"}
    assert result.histories[0]["loss"].shape == (3,)
    for history, score in zip(result.histories, result.scores, strict=True):
        assert history["val_accuracy"][-1] == pytest.approx(score, abs=1e-6)
    with pytest.raises(dataclasses.FrozenInstanceError):
        result.metric = "loss"


def test_the_held_out_rows_are_not_shown_to_fit_unless_asked_for(monkeypatch):
    shown = []
    real = LeastSquares.fit
    monkeypatch.setattr(
        LeastSquares, "fit", lambda *args, **kwargs: shown.append(kwargs) or real(*args, **kwargs)
    )
    cross_validate(closed_form, IDS, CLASSES, folds=2, batch_size=7, **ONCE)
    assert all(set(kwargs) == {"epochs", "batch_size", "verbose"} for kwargs in shown)
    assert shown[0]["batch_size"] == 7


class Untrained(LeastSquares):
    """Answers with the weights that it started with."""

    def fit(self, *_, **__):
        return SimpleNamespace(history={})


def test_the_seed_decides_everything_and_the_offset_only_the_training(monkeypatch):
    monkeypatch.delenv("DLNOTES_SEED_OFFSET", raising=False)

    def run():
        return cross_validate(lambda: closed_form(kind=Untrained), IDS, CLASSES, folds=3, **ONCE)

    first, again = run(), run()
    monkeypatch.setenv("DLNOTES_SEED_OFFSET", "2")
    moved = run()
    np.testing.assert_array_equal(again.predictions, first.predictions)
    assert again.seeds == first.seeds
    np.testing.assert_array_equal(moved.fold_of_row, first.fold_of_row)
    assert moved.seeds == tuple(seed + 2 for seed in first.seeds)
    assert (moved.predictions != first.predictions).all()


class Noisy(LeastSquares):
    """Warns as TensorFlow does when it has traced the predictions of five models."""

    def predict(self, x, **_):
        logger = logging.getLogger("tensorflow")
        logger.warning("%d out of the last 5 calls to %s triggered tf.function retracing.", 5, "f")
        logger.warning("something else")
        return super().predict(x)


def test_many_models_bring_no_warnings_of_retracing(caplog):
    with caplog.at_level(logging.WARNING, logger="tensorflow"):
        cross_validate(lambda: closed_form(kind=Noisy), IDS, CLASSES, folds=2, **ONCE)
    assert {record.getMessage() for record in caplog.records} == {"something else"}
    assert not logging.getLogger("tensorflow").filters


def test_another_seed_gives_other_folds_and_other_weights():
    first, other = (
        cross_validate(closed_form, IDS, CLASSES, seed=seed, epochs=1) for seed in (0, 1)
    )
    assert (other.fold_of_row != first.fold_of_row).any()
    assert len({*other.seeds, *first.seeds}) == 10


def test_the_stated_seed_gives_the_weights_of_its_fold():
    started = []

    def build():
        model = closed_form()
        started.append(model.get_weights()[0])
        return model

    result = cross_validate(build, IDS, CLASSES, folds=3, **ONCE)
    for seed, weights in zip(result.seeds, started[1:], strict=True):
        keras.utils.set_random_seed(seed)
        np.testing.assert_array_equal(closed_form().get_weights()[0], weights)


# === Refusals ===


def two_outputs():
    inputs = keras.Input((1,))
    outputs = [keras.layers.Dense(1)(inputs), keras.layers.Dense(1)(inputs)]
    model = keras.Model(inputs, outputs)
    model.compile("sgd", ["mse", "mse"])
    return model


class Measured(LeastSquares):
    """Says its mean absolute error, too."""

    def evaluate(self, x, y, **_):
        return {**super().evaluate(x, y), "mae": np.abs(self.predict(x)[:, 0] - y).mean()}


def two_metrics():
    model = Measured([keras.Input((1,)), keras.layers.Dense(1)])
    return compiled(model, metrics=["mae", keras.metrics.MeanSquaredError(name="mse")])


GOOD = {"build": closed_form, "x": IDS, "y": CLASSES, "seed": 1, "epochs": 1}


@pytest.mark.parametrize(
    ("changes", "error", "match"),
    [
        ({"seed": -1}, ValueError, "`seed` must be an integer"),
        ({"seed": None}, TypeError, "`seed` must be an integer"),
        ({"epochs": 0}, ValueError, "`epochs` must be an integer >= 1"),
        ({"folds": 1}, ValueError, r"`folds` must be an integer in \[2, 20\]"),
        ({"folds": 21, "stratify": False}, ValueError, r"`folds` must be an integer in \[2, 20\]"),
        ({"folds": 9}, ValueError, "`folds` must be at most .*folds=9; class 1 has 8 rows"),
        ({"batch_size": 0}, ValueError, "`batch_size` must be an integer >= 1"),
        ({"stratify": "yes"}, TypeError, "`stratify` must be True or False"),
        ({"y": CLASSES + 0.5}, ValueError, "`stratify` must be False unless"),
        ({"y": CLASSES[1:]}, ValueError, r"`x` and `y` must have the same number of rows"),
        ({"x": 3.0}, ValueError, "`x` must have a row for each example"),
        ({"y": ["a"] * ROWS}, TypeError, "`y` must be an array of numbers"),
        ({"build": closed_form()}, TypeError, "`build` must be a function that returns a new"),
        ({"build": lambda: None}, TypeError, "`build` must return a keras.Model. Received: None"),
        ({"build": linear}, ValueError, "`build` must return a compiled model"),
        ({"build": two_outputs}, TypeError, "`build` must return a model with one output"),
        ({"build": two_metrics}, ValueError, "`metric` must be one of 'loss', 'mae', 'mse'"),
        ({"metric": "acc"}, ValueError, "`metric` must be one of 'loss'. Received: metric='acc'"),
        ({"prepare": StandardScaler()}, TypeError, "`prepare` must be a class or function"),
        ({"prepare": dict}, TypeError, "`prepare` must return an object with fit and transform"),
    ],
)
def test_cross_validate_refuses(monkeypatch, changes, error, match):
    monkeypatch.setattr(LeastSquares, "fit", None)  # before anything is trained
    check_refusals(cross_validate, [Refusal((), {**GOOD, **changes}, error, match)])


def test_one_of_several_metrics_is_chosen_by_name():
    result = cross_validate(two_metrics, IDS, CLASSES, metric="mae", folds=2, **ONCE)
    missed = np.abs(result.predictions[:, 0] - CLASSES)
    by_hand = [missed[result.fold_of_row == fold].mean() for fold in range(2)]
    np.testing.assert_allclose(result.scores, by_hand, rtol=1e-5)


def test_docstrings():
    check_docstring(cross_validate)
    check_docstring(CrossValidation)
