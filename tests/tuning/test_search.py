import dataclasses
import io
import json
import shutil
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np
import pytest
from contracts import Refusal, check_docstring, check_refusals

from dlnotes.runtime import quiet_start

with quiet_start():
    import keras
    import keras_tuner

    from dlnotes.tuning import HyperMLP, SearchResult, search, trials_table
    from dlnotes.tuning.hypermodels import choose_between
    from dlnotes.tuning.oracles import given_epochs, make_tuner
    from dlnotes.tuning.search import METHODS, check_search, finish, run_search

RNG = np.random.default_rng(0)
X = RNG.normal(size=(48, 3)).astype("float32")
Y = (X[:, 0] + 0.5 * X[:, 1] > 0).astype(int)
DATA = (X[:32], Y[:32], X[32:], Y[32:])
FACTS = ["trial", "score", "best_epoch", "given_epochs", "trained_epochs", "resumed_from", "status"]
NAMES = ["batch_size", "num_layers", "units_1", "activation", "learning_rate"]
HELD = {"method": "random", "objective": "val_loss", "budget": 8, "epochs": 2, "seed": 0}
WHOLE = {method: {"method": method} for method in METHODS}
WHOLE["hyperband"]["epochs"] = 3


class Real(HyperMLP):
    """A small space."""

    def __init__(self, **kwargs):
        space = {
            "num_layers": (1,),
            "units": (2, 4, 8, 16),
            "activations": ("relu", "tanh"),
            "optimizers": ("adam",),
            "learning_rate": (1e-2, 1.0),
            "batch_sizes": (16,),
        }
        super().__init__((3,), 1, **{**space, **kwargs})

    def compile_model(self, hp, model):
        model = super().compile_model(hp, model)
        model.compile(
            model.optimizer, "binary_crossentropy", metrics=["accuracy"], run_eagerly=True
        )
        return model


class Tiny(Real):
    """Trains the output layer by plain gradient descent in NumPy: an epoch takes no time."""

    log: ClassVar[list] = []

    def compile_model(self, hp, model):
        choose_between(hp, "learning_rate", *self.learning_rate, self.learning_rate[0], "log")
        model.compile("sgd", "binary_crossentropy", metrics=["accuracy"], run_eagerly=True)
        return model

    def fit(self, hp, model, x, y, *, epochs, initial_epoch, validation_data, callbacks, **_):
        Tiny.log.append((hp["units_1"], hp["activation"], hp["learning_rate"]))
        bend = {"relu": lambda z: np.maximum(z, 0), "tanh": np.tanh}[hp["activation"]]
        *hidden, out, bias = model.get_weights()
        h, h_val = (bend(a @ hidden[0] + hidden[1]) for a in (x, validation_data[0]))
        history = keras.callbacks.History()
        calls = keras.callbacks.CallbackList([*callbacks, history], model=model)
        calls.on_train_begin()
        for epoch in range(initial_epoch, epochs):
            error = 1 / (1 + np.exp(-(h @ out + bias))) - y[:, None]
            out = out - hp["learning_rate"] * h.T @ error / len(x)
            bias = bias - hp["learning_rate"] * error.mean(axis=0)
            model.set_weights([*hidden, *self.after(epoch, out, bias)])
            calls.on_epoch_end(epoch, scores(h_val, *model.get_weights()[2:], validation_data[1]))
        return history

    def after(self, epoch, out, bias):
        return out, bias


def scores(h, out, bias, y):
    p = 1 / (1 + np.exp(-(h @ out + bias)[:, 0]))
    right = np.where(y == 1, p, 1 - p)
    loss = -np.mean(np.log(np.clip(right, 1e-7, 1 - 1e-7)))
    return {"val_loss": float(loss), "val_accuracy": float(np.mean((p > 0.5) == y))}


class FailsInFit(Tiny):
    def fit(self, hp, model, *args, **kwargs):
        Tiny.log.append(None)
        raise OverflowError("too much of it\nand more")


class FailsSometimes(Tiny):
    def fit(self, hp, model, *args, **kwargs):
        if hp["activation"] == "tanh":
            raise OverflowError("no tanh here")
        return super().fit(hp, model, *args, **kwargs)


class Interrupted(Tiny):
    limit = 2

    def fit(self, hp, model, *args, **kwargs):
        if len(Tiny.log) >= self.limit:
            raise KeyboardInterrupt
        return super().fit(hp, model, *args, **kwargs)


Interrupted.__qualname__ = "Tiny"  # the same search, but for the interruption


@pytest.fixture(autouse=True)
def _fresh_log(monkeypatch):
    Tiny.log.clear()
    monkeypatch.delenv("DLNOTES_SEED_OFFSET", raising=False)


def run(directory, hypermodel=None, **kwargs):
    hypermodel = Tiny() if hypermodel is None else hypermodel
    data = kwargs.pop("data", DATA)
    return search(hypermodel, data, directory=directory, **{**HELD, "progress": False, **kwargs})


def settings_of(directory, hypermodel=None, **kwargs):
    hypermodel = Tiny() if hypermodel is None else hypermodel
    return check_search(hypermodel, DATA, directory=directory, **{**HELD, **kwargs})


def asked(settings, score=lambda values: 1.0, count=100):
    """The hyperparameters and epochs that an oracle gives, each trial ending at once."""
    oracle, given = make_tuner(settings).oracle, []
    while len(given) < count:
        trial = oracle.create_trial("tuner0")
        if trial.status == "STOPPED":
            break
        values = trial.hyperparameters.values
        given.append({**values, "given_epochs": given_epochs(trial)})
        oracle.update_trial(trial.trial_id, {"val_loss": score(values)})
        trial.status = "COMPLETED"
        oracle.end_trial(trial)
    return given


class Whole(NamedTuple):
    """A search that has ended, for several tests to read."""

    path: Path
    result: SearchResult
    log: list
    lines: list


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A function that returns the search of a method, made when it is first asked for."""
    made = {}

    def get(method="random"):
        if method not in made:
            Tiny.log.clear()
            path, stream = tmp_path_factory.mktemp(method) / "s", io.StringIO()
            result = run(path, progress=stream, **WHOLE[method])
            made[method] = Whole(path, result, list(Tiny.log), stream.getvalue().splitlines())
            Tiny.log.clear()
        return made[method]

    return get


def tree(path):
    """All names and contents below a path."""
    return {
        str(p.relative_to(path)): p.read_bytes() if p.is_file() else None
        for p in sorted(path.rglob("*"))
    }


def same(a, b):
    columns = [name for name in a.columns if name not in ("seconds", "reason")]
    return list(a.columns) == list(b.columns) and a[columns].equals(b[columns])


# === What a search gives ===


@pytest.mark.parametrize("method", METHODS)
def test_each_method_spends_its_budget_and_saves_the_model_of_the_best_score(whole, method):
    path, result, _, _ = whole(method)
    table = result.table
    assert table["given_epochs"].sum() == table["trained_epochs"].sum() == 8
    expected = [1, 1, 1, 2, 3] if method == "hyperband" else [2, 2, 2, 2]
    assert table["given_epochs"].tolist() == expected
    assert set(table["status"]) == {"completed"}
    assert result.failed == 0
    assert result.best_score == table["score"].min()
    best = table.set_index("trial").loc[result.best_trial]
    assert result.best_score == best["score"]
    assert {name: best[name] for name in NAMES} == result.best_hyperparameters
    assert table["reason"].isna().all()
    assert (table["seconds"] > 0).all()
    loaded = keras.models.load_model(result.path)
    x, y = DATA[2:]
    p = np.ravel(loaded(x))
    loss = -np.mean(np.log(np.where(y == 1, p, 1 - p)))
    assert loss == pytest.approx(result.best_score, abs=1e-5)
    np.testing.assert_allclose(np.ravel(result.best_model(x)), p, atol=1e-6)
    assert result.path == path / "best.keras"
    assert same(trials_table(path), table)


def test_the_seed_and_the_offset_of_the_lessons_choose_the_trials(tmp_path, whole, monkeypatch):
    one = asked(settings_of(tmp_path / "a", seed=1))
    rates = whole().result.table["learning_rate"].tolist()
    assert not set(rates) & {values["learning_rate"] for values in one}
    again = asked(settings_of(tmp_path / "b", seed=0))
    assert [values["learning_rate"] for values in again] == rates
    monkeypatch.setenv("DLNOTES_SEED_OFFSET", "1")
    assert asked(settings_of(tmp_path / "c", seed=0)) == one


def test_the_seed_trains_too_unless_the_hypermodel_has_its_own(tmp_path, whole, monkeypatch):
    options = {"method": "grid", "budget": 2, "seed": 0}  # the first trial of any grid is the same
    first = whole("grid").result.table[:1]
    own = run(tmp_path / "own", Tiny(seed=1), **options).table
    assert own[NAMES].equals(first[NAMES])
    assert own["score"][0] != first["score"][0]
    monkeypatch.setenv("DLNOTES_SEED_OFFSET", "1")
    assert same(run(tmp_path / "offset", **options).table, own)


def test_equal_hyperparameters_get_equal_scores_whenever_they_are_tried(tmp_path, whole):
    table = whole("grid").result.table
    assert table["score"].nunique() == 4
    last = table.iloc[-1]
    hypermodel = Tiny(
        units=(last["units_1"],),
        activations=(last["activation"],),
        learning_rate=(last["learning_rate"],) * 2,
    )
    assert run(tmp_path, hypermodel).table["score"].tolist() == [last["score"]]


def test_neighbouring_seeds_do_not_share_trials(tmp_path):
    # Keras Tuner counts its seed up: with d hyperparameters seed 0 + d would repeat the trials
    settings, drawn = settings_of(tmp_path), set()
    for seed in range(8):
        other = dataclasses.replace(settings, seed=seed, directory=tmp_path / f"{seed}")
        drawn |= {values["learning_rate"] for values in asked(other, count=3)}
    assert len(drawn) == 24


class Spoiled(Tiny):
    """From its third epoch on the model is worse than ever."""

    def after(self, epoch, out, bias):
        return (out, bias) if epoch < 2 else (10 * np.ones_like(out), bias)


def test_the_best_epoch_counts_and_its_weights_are_kept(tmp_path):
    result = run(tmp_path, Spoiled(), budget=4, epochs=4)
    assert result.table["best_epoch"].tolist() == [2]
    assert result.best_score < 2
    values = result.best_model.evaluate(*DATA[2:], verbose=0, return_dict=True)
    assert values["loss"] == pytest.approx(result.best_score, rel=1e-5)


def test_a_trial_that_goes_on_is_as_if_it_had_never_stopped(tmp_path):
    result = run(tmp_path, Real(), method="hyperband", budget=5, epochs=3)
    assert result.table["trained_epochs"].tolist() == [1, 1, 1, 2]
    last = result.table.iloc[-1]
    assert (last["resumed_from"], last["given_epochs"]) == (
        result.table.iloc[:3]["trial"][result.table["score"].iloc[:3].idxmin()],
        2,
    )
    hp = keras_tuner.HyperParameters()
    hp.values = dict(result.best_hyperparameters)
    hypermodel = Real()
    keras.utils.set_random_seed(0)  # what the search does
    history = hypermodel.fit(
        hp, hypermodel.build(hp), *DATA[:2], epochs=3, validation_data=DATA[2:]
    ).history["val_loss"]
    assert last["score"] == pytest.approx(min(history[1:]), rel=1e-5)


def test_the_directions_of_objectives(tmp_path):
    def own(hp):
        model = Tiny().build(hp)
        metric = keras.metrics.F1Score(name="f1_score", average="micro", threshold=0.5)
        model.compile(model.optimizer, "binary_crossentropy", metrics=[metric], run_eagerly=True)
        return model

    for objective, direction in [("val_loss", "min"), ("val_accuracy", "max")]:
        assert settings_of(tmp_path, objective=objective).objective.direction == direction
    options = {**HELD, "directory": tmp_path, "objective": "val_f1_score"}
    data = (X[:32], Y[:32, None], X[32:], Y[32:, None])
    # for Keras Tuner the f1_score is something to make small
    with pytest.raises(ValueError, match=r'`direction` must be "min" or "max".*\'val_f1_score\''):
        check_search(own, data, **options)
    assert check_search(own, data, direction="max", **options).objective.direction == "max"


def test_the_dtype_policy_holds_in_every_trial_and_afterwards(tmp_path):
    def plain(hp):
        inputs = keras.Input((3,))
        dense = keras.layers.Dense(hp.Choice("units", [1]), activation="sigmoid")
        model = keras.Model(inputs, dense(inputs))
        model.compile("sgd", "binary_crossentropy", run_eagerly=True)
        Tiny.log.append(model.compute_dtype)
        return model

    before = keras.config.dtype_policy()
    try:
        keras.config.set_dtype_policy("float64")
        result = run(tmp_path, plain, budget=1, epochs=1)
        assert keras.config.dtype_policy().name == "float64"
        assert set(Tiny.log) == {"float64"}
        assert result.best_model.dtype == "float64"
    finally:
        keras.config.set_dtype_policy(before)


def test_a_hypermodel_that_sets_its_own_dtype_policy_leaves_no_other_one(tmp_path):
    before = keras.config.dtype_policy()
    try:
        keras.config.set_dtype_policy("float64")
        hypermodel = Tiny()
        keras.config.set_dtype_policy("mixed_bfloat16")
        settings_of(tmp_path, hypermodel)
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
        assert run(tmp_path, hypermodel, budget=1).best_model.dtype == "float64"
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
    finally:
        keras.config.set_dtype_policy(before)


def test_a_score_is_made_large_or_small_as_the_direction_says(tmp_path):
    options = {"objective": "val_accuracy", "budget": 3, "epochs": 1}
    best = run(tmp_path / "a", **options)
    assert (best.direction, best.best_score) == ("max", best.table["score"].max())
    worst = run(tmp_path / "b", direction="min", **options)
    assert (worst.direction, worst.best_score) == ("min", worst.table["score"].min())
    assert worst.best_score < best.best_score


# === Where a search ends ===


def test_a_grid_ends_with_its_last_combination(tmp_path):
    hypermodel = Tiny(units=(4, 8), learning_rate=(0.01, 0.01))
    given = asked(settings_of(tmp_path, hypermodel, method="grid", budget=100))
    pairs = [(values["units_1"], values["activation"]) for values in given]
    assert pairs == [(4, "relu"), (4, "tanh"), (8, "relu"), (8, "tanh")]


def test_bayesian_search_tries_nothing_twice(tmp_path):
    hypermodel = Tiny(learning_rate=(0.01, 0.01))
    settings = settings_of(tmp_path, hypermodel, method="bayesian", budget=15, epochs=1)
    given = asked(settings, lambda values: values["units_1"])
    assert len(given) == len({(v["units_1"], v["activation"]) for v in given}) == 8


def test_bayesian_search_leaves_chance_after_a_third_of_its_trials(tmp_path):
    by_chance, model_based = (
        [
            values["learning_rate"]
            for values in asked(
                settings_of(tmp_path / method, method=method, budget=12, epochs=1),
                lambda values: values["learning_rate"],
                count=5,
            )
        ]
        for method in ("random", "bayesian")
    )
    assert model_based[:4] == by_chance[:4]
    assert not set(model_based[4:]) & set(by_chance)


def test_the_number_of_trials_is_limited(tmp_path):
    assert len(asked(settings_of(tmp_path, max_trials=2, budget=50))) == 2


def test_a_hypermodel_can_tune_its_epochs(tmp_path):
    given = asked(settings_of(tmp_path, Tiny(epochs=(1, 3)), budget=19, seed=2))
    epochs = [values["given_epochs"] for values in given]
    assert epochs[:-1] == [values["epochs"] for values in given[:-1]]
    assert {values["epochs"] for values in given} == {1, 3}
    assert sum(epochs) == 19


# === Failures ===


def test_failed_trials_are_counted_and_give_their_reason(tmp_path, capsys):
    lines = io.StringIO()
    result = run(
        tmp_path,
        FailsSometimes(units=(4, 8), learning_rate=(0.1, 0.1)),
        method="grid",
        budget=8,
        progress=lines,
    )
    failed = result.table["activation"] == "tanh"
    assert result.failed == failed.sum() == 2
    assert (result.table["status"] == np.where(failed, "failed", "completed")).all()
    assert set(result.table.loc[failed, "reason"]) == {"OverflowError: no tanh here"}
    assert result.table.loc[failed, "score"].isna().all()
    assert result.table["given_epochs"].sum() == 8  # a failed trial pays in full
    assert (result.table.loc[failed, "trained_epochs"] == 0).all()
    assert "failed: OverflowError: no tanh here" in lines.getvalue()
    assert capsys.readouterr() == ("", "")  # no traceback of Keras Tuner's


def prepared(path, state):
    path = path / "top" / "s"
    if state == "empty":
        path.mkdir(parents=True)
    return path


@pytest.mark.parametrize("state", ["new", "empty"])
def test_a_hypermodel_that_always_fails_gives_one_error_and_leaves_no_trace(
    tmp_path, capsys, state
):
    path = prepared(tmp_path, state)
    before = tree(tmp_path)
    message = r"all 5 trials failed\. Received: OverflowError: too much of it \(5 times\)"
    with pytest.raises(RuntimeError, match=message):
        run(path, FailsInFit(), budget=60)
    assert len(Tiny.log) == 5
    assert tree(tmp_path) == before
    assert capsys.readouterr() == ("", "")  # silent on request


def test_a_resumed_search_that_always_fails_leaves_the_directory_as_it_was(tmp_path):
    class StopsLate(FailsInFit):
        def fit(self, *args, **kwargs):
            if len(Tiny.log) == 2:
                raise KeyboardInterrupt
            super().fit(*args, **kwargs)

    StopsLate.__qualname__ = FailsInFit.__qualname__
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, StopsLate(), budget=20)
    before = tree(tmp_path)
    assert len(trials_table(tmp_path)) == 3
    with pytest.raises(RuntimeError, match="all 5 trials failed"):
        run(tmp_path, FailsInFit(), budget=20, resume=True)
    assert tree(tmp_path) == before


class NotFinite(Tiny):
    """Weights that are NaN, from the beginning or in the first epoch only."""

    def __init__(self, whole=True):
        self.whole = whole
        super().__init__()

    def after(self, epoch, out, bias):
        return (out * np.nan, bias) if self.whole or epoch == 0 else (out, bias)


def test_a_score_that_is_no_number_is_a_failure_with_a_reason(tmp_path):
    with pytest.raises(RuntimeError, match="val_loss was nan, never a finite number"):
        run(tmp_path / "a", NotFinite(), budget=4)
    result = run(tmp_path / "b", NotFinite(whole=False), budget=4)
    assert result.failed == 0
    assert set(result.table["best_epoch"]) == {2}


class Infinite(Tiny):
    """Scores that are infinite with tanh, in the direction that would win."""

    def fit(self, hp, model, *args, callbacks, **kwargs):
        if hp["activation"] != "tanh":
            return super().fit(hp, model, *args, callbacks=callbacks, **kwargs)
        history = keras.callbacks.History()
        calls = keras.callbacks.CallbackList([*callbacks, history], model=model)
        calls.on_train_begin()
        calls.on_epoch_end(0, {"val_loss": -np.inf, "val_accuracy": 1.0})
        return history


def test_an_infinite_score_is_a_failure_with_a_reason_and_never_the_best(tmp_path):
    result = run(tmp_path, Infinite(units=(4, 8), learning_rate=(0.1, 0.1)), method="grid")
    failed = result.table["activation"] == "tanh"
    assert result.failed == failed.sum() == 2
    assert (result.table["status"] == np.where(failed, "failed", "completed")).all()
    (reason,) = set(result.table.loc[failed, "reason"])
    assert reason == "FailedTrialError: val_loss was -inf, never a finite number"
    assert result.best_hyperparameters["activation"] == "relu"
    assert np.isfinite(result.best_score)


def test_a_fit_that_trains_for_longer_than_it_may_is_an_error(tmp_path):
    class Greedy(Tiny):
        def fit(self, *args, epochs, **kwargs):
            return super().fit(*args, epochs=epochs + 1, **kwargs)

    with pytest.raises(RuntimeError, match=r"for the `epochs` .*Received: 3 epochs, given 2"):
        run(tmp_path / "s", Greedy())
    assert tree(tmp_path) == {}


def test_a_best_model_that_is_not_what_was_recorded_is_an_error(tmp_path, whole):
    shutil.copytree(whole().path, tmp_path, dirs_exist_ok=True)
    settings = settings_of(tmp_path)
    assert finish(settings, DATA).best_score == whole().result.best_score
    best = whole().result.best_trial
    path = tmp_path / "trials" / f"trial_{best}" / "trial.json"
    values = json.loads(path.read_text())
    values["score"] -= 0.01
    path.write_text(json.dumps(values))
    with pytest.raises(RuntimeError, match=rf"recorded val_loss .*\(trial {best}\)"):
        finish(settings, DATA)


# === Resuming ===


@pytest.mark.parametrize("method", METHODS)
def test_an_interrupted_search_goes_on_where_it_stopped(tmp_path, whole, method):
    expected = whole(method)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, Interrupted(), **WHOLE[method])
    partial = trials_table(tmp_path)
    assert partial["status"].tolist() == ["completed", "completed", "running"]
    assert partial["score"].isna().tolist() == [False, False, True]
    result = run(tmp_path, resume=True, **WHOLE[method])
    assert same(result.table, expected.result.table)
    assert Tiny.log == expected.log  # none twice


def test_a_search_that_has_ended_runs_nothing_until_its_budget_grows(tmp_path, whole):
    first = run(tmp_path, resume=True, budget=4)  # none is there: it begins
    Tiny.log.clear()
    again = run(tmp_path, resume=True, budget=4)
    assert Tiny.log == []
    assert same(again.table, first.table)
    longer = run(tmp_path, resume=True)
    assert len(Tiny.log) == 2
    assert same(longer.table, whole().result.table)


# === Refusals ===

BAD_ARGUMENTS = [
    ({"objective": "val_acc"}, ValueError, "`objective` must be .*: val_accuracy, val_loss"),
    ({"objective": "loss"}, ValueError, "`objective` must be .*: val_accuracy, val_loss"),
    ({"objective": 3}, TypeError, "`objective` must be the name"),
    ({"direction": "up"}, ValueError, "`direction` must be one of 'min', 'max'"),
    ({"method": "evolution"}, ValueError, "`method` must be one of 'random', 'grid', 'bayes"),
    ({"budget": 0}, ValueError, "`budget` must be an integer >= 1"),
    ({"budget": 2.0}, TypeError, "`budget` must be an integer"),
    ({"epochs": 0}, ValueError, "`epochs` must be an integer >= 1"),
    ({"seed": -1}, ValueError, "`seed` must be an integer"),
    ({"seed": None}, TypeError, "`seed` must be an integer"),
    ({"max_trials": 0}, ValueError, "`max_trials` must be an integer >= 1"),
    ({"resume": 1}, TypeError, "`resume` must be True or False"),
    ({"progress": "yes"}, TypeError, "`progress` must be True, False or a stream"),
    ({"directory": ""}, TypeError, "`directory` must be a path"),
]
BAD_MODELS = [
    (3, TypeError, "`hypermodel` must be a keras_tuner.HyperModel"),
    (lambda hp: 3, ValueError, "`hypermodel` must build a compiled .*not a compiled Keras model"),
    (lambda hp: 1 / 0, ValueError, "`hypermodel` must .*Received: ZeroDivisionError: division"),
    (HyperMLP((4,), 1), ValueError, "`hypermodel` must build a compiled model that takes"),
]
BAD_DATA = [
    ((X, Y), TypeError, r"`data` must be \(x_train, y_train, x_val, y_val\)"),
    ((X, Y[:3], X, Y), ValueError, "`x_train` and `y_train` must have the same number of rows"),
    ((X, Y, X * np.nan, Y), ValueError, "`x_val` must hold finite numbers"),
    ((X, Y, X[:0], Y[:0]), ValueError, "`x_val` must not be empty"),
    ((X, ["a"] * 48, X, Y), TypeError, "`y_train` must be an array of numbers"),
]


def test_bad_arguments_are_refused_and_the_directory_stays(tmp_path, whole):
    refusals = [
        Refusal((Tiny(), DATA), {**HELD, "directory": tmp_path / "new", **kwargs}, error, match)
        for kwargs, error, match in BAD_ARGUMENTS
    ]
    new = {**HELD, "directory": tmp_path / "new"}
    refusals += [Refusal((model, DATA), new, error, match) for model, error, match in BAD_MODELS]
    refusals += [Refusal((Tiny(), data), new, error, match) for data, error, match in BAD_DATA]
    hyperband = {**new, "method": "hyperband"}
    refusals.append(
        Refusal((Tiny(epochs=(1, 2)), DATA), hyperband, ValueError, "`method` must not be")
    )
    check_refusals(search, refusals)
    assert tree(tmp_path) == {}
    shutil.copytree(whole().path, tmp_path / "s")
    before = tree(tmp_path)
    for kwargs, error, match in BAD_ARGUMENTS[:-3]:
        with pytest.raises(error, match=match):
            run(tmp_path / "s", resume=True, **kwargs)
    assert tree(tmp_path) == before


def test_names_of_the_table_cannot_be_hyperparameters(tmp_path):
    def build(hp):
        hp.Choice("score", [1, 2])
        return Tiny().build(hp)

    with pytest.raises(ValueError, match=r"other columns for its hyperparameters.*: score"):
        run(tmp_path / "s", build)


OTHER_SEARCHES = [
    ({"seed": 1}, "its seed was 0"),
    ({"method": "grid"}, "its method was 'random'"),
    ({"objective": "val_accuracy"}, "its objective was 'val_loss'; direction was 'min'"),
    ({"epochs": 3}, "its epochs was 2"),
    ({"hypermodel": Tiny(units=(3, 4))}, "its facts and space changed"),
    ({"hypermodel": Tiny(seed=4)}, "its facts changed"),
    ({"hypermodel": FailsSometimes()}, "its hypermodel was '.*Tiny'"),
    ({"data": (X[:31], Y[:31], *DATA[2:])}, "its data changed"),
]


@pytest.mark.parametrize(("kwargs", "message"), OTHER_SEARCHES)
def test_the_directory_of_another_search_is_not_resumed(whole, kwargs, message):
    path = whole().path
    before = tree(path)
    with pytest.raises(ValueError, match=rf"`directory` must hold the same search, but {message}"):
        run(path, resume=True, **kwargs)
    assert tree(path) == before


def test_a_directory_in_use_is_refused(tmp_path, whole):
    before = tree(whole().path)
    with pytest.raises(ValueError, match="`directory` must be new or empty; resume=True"):
        run(whole().path)
    assert tree(whole().path) == before
    (tmp_path / "file").write_text("mine")
    for kwargs, path, message in [
        ({}, tmp_path, "must be new or empty"),
        ({"resume": True}, tmp_path, "must hold a search to resume, with its search.json"),
        ({}, tmp_path / "file", "must be a directory, not a file"),
    ]:
        with pytest.raises(ValueError, match=f"`directory` {message}"):
            run(path, **kwargs)
    assert tree(tmp_path) == {"file": b"mine"}
    with pytest.raises(ValueError, match="`directory` must hold a search"):
        trials_table(tmp_path)


# === Progress ===


def test_one_line_a_trial_with_the_best_so_far(whole):
    table, lines = whole().result.table, whole().lines
    assert len(lines) == 4
    best = table["score"].cummin()
    for line, row, score in zip(lines, table.itertuples(), best, strict=True):
        assert line.startswith(f"trial {row.trial} · val_loss {row.score:.4g} · best {score:.4g}")
    assert "· 8 of 8 epochs ·" in lines[-1]


def test_lines_go_to_stderr_unless_they_are_unwanted(tmp_path, monkeypatch, capsys):
    options = {"epochs": 1, "resume": True, "progress": True}
    monkeypatch.delenv("DLNOTES_HEADLESS", raising=False)
    run(tmp_path, budget=1, **options)
    captured = capsys.readouterr()
    assert (captured.out, captured.err.count("\n")) == ("", 1)
    monkeypatch.setenv("DLNOTES_HEADLESS", "1")
    run(tmp_path, budget=2, **options)
    assert capsys.readouterr() == ("", "")


# === The parts ===


def test_another_tuner_id_finds_the_trials(tmp_path, whole, monkeypatch):
    run(tmp_path, method="grid", budget=4)
    monkeypatch.setenv("KERASTUNER_TUNER_ID", "another")
    tuner = make_tuner(settings_of(tmp_path, method="grid"))
    assert len(tuner.oracle.trials) == 2
    run_search(tuner, DATA)
    assert same(trials_table(tmp_path), whole("grid").result.table)


def test_trials_come_back_in_their_order_whatever_the_file_system_says(
    tmp_path, whole, monkeypatch
):
    shutil.copytree(whole().path, tmp_path, dirs_exist_ok=True)
    glob = keras_tuner.src.backend.io.glob
    monkeypatch.setattr(keras_tuner.src.backend.io, "glob", lambda path: sorted(glob(path))[::-1])
    names = list(make_tuner(settings_of(tmp_path)).oracle.trials)
    assert names == whole().result.table["trial"].tolist()


def test_docstrings():
    for thing in (search, SearchResult, trials_table, make_tuner, finish, run_search):
        check_docstring(thing)
