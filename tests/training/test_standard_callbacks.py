import warnings

import numpy as np
import pytest
from contracts import Refusal, check_docstring, check_refusals

from dlnotes.runtime import quiet_start

with quiet_start():
    import keras

    from dlnotes.training import ExponentialDecay, MonitorCheck, standard_callbacks

ONE = np.ones((1, 1), dtype="float32")
# Training pulls the only weight from 0 to 10; the validation loss is lowest on the way, at 3.
TRAIN, VALIDATION = 10 * ONE, 3 * ONE


def walker(start=0.0):
    inputs = keras.Input((1,), name="one")
    layer = keras.layers.Dense(1, use_bias=False, name="weight")
    model = keras.Model(inputs, layer(inputs), name="walker")
    layer.set_weights([start * ONE])
    model.compile(keras.optimizers.SGD(0.04), loss="mse", run_eagerly=True)
    return model


def walk(model, callbacks, epochs=12, validation=(ONE, VALIDATION)):
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        return model.fit(
            ONE, TRAIN, validation_data=validation, epochs=epochs, verbose=0, callbacks=callbacks
        ).history


def weight(model):
    return float(model.get_layer("weight").get_weights()[0][0, 0])


def kinds(callbacks):
    return [type(callback).__name__ for callback in callbacks]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    directory = tmp_path_factory.mktemp("runs") / "first"
    model = walker()
    schedule = ExponentialDecay(0.04, 2, 0.9, staircase=True)
    callbacks = standard_callbacks(directory, patience=2, schedule=schedule)
    history = walk(model, callbacks)
    return directory, model, history, schedule, callbacks


def test_all_callbacks_are_there_in_an_order_that_works(run):
    # The check comes before those that would warn; the schedule before the log of the rates.
    assert kinds(run[4]) == [
        "MonitorCheck",
        "LearningRateScheduler",
        "EarlyStopping",
        "ModelCheckpoint",
        "TensorBoard",
        "LiveProgress",
    ]
    assert kinds(standard_callbacks()) == ["MonitorCheck", "EarlyStopping", "LiveProgress"]
    assert kinds(standard_callbacks(progress=False)) == ["MonitorCheck", "EarlyStopping"]


def test_training_stops_after_patience_and_goes_back_to_the_best_weights(run):
    _, model, history, _, _ = run
    losses = history["val_loss"]
    best = int(np.argmin(losses))
    assert best > 0
    assert len(losses) == best + 1 + 2  # patience=2
    assert (weight(model) - 3) ** 2 == pytest.approx(losses[best], rel=1e-5)
    assert (weight(model) - 3) ** 2 < losses[-1] / 2


def test_min_delta_counts_small_improvements_as_none():
    model = walker(9.0)
    history = walk(model, standard_callbacks(monitor="loss", patience=2, min_delta=0.5))
    assert len(history["loss"]) == 3  # the loss falls from 1, too slowly


def test_the_checkpoint_is_the_best_model_and_loads_in_safe_mode(run):
    directory, _, history, _, _ = run
    assert sorted(path.name for path in directory.iterdir()) == ["best.keras", "logs"]
    loaded = keras.models.load_model(directory / "best.keras", safe_mode=True)
    assert (weight(loaded) - 3) ** 2 == pytest.approx(min(history["val_loss"]), rel=1e-5)


def test_rates_of_the_schedule_arrive_in_the_optimizer(run):
    _, model, history, schedule, _ = run
    rates = [float(schedule(epoch)) for epoch in range(len(history["loss"]))]
    assert rates[0] != rates[-1]
    np.testing.assert_allclose(history["learning_rate"], rates, rtol=1e-6)
    assert float(model.optimizer.learning_rate) == pytest.approx(rates[-1])


def test_event_files_name_the_losses_and_the_rate(run):
    directory = run[0]
    for part, tags in {
        "train": (b"epoch_loss", b"epoch_learning_rate"),
        "validation": (b"epoch_loss",),
    }.items():
        (file,) = (directory / "logs" / part).iterdir()
        content = file.read_bytes()
        assert all(tag in content for tag in tags), part


def test_nothing_is_written_without_a_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    walk(walker(), standard_callbacks(), epochs=1)
    assert list(tmp_path.iterdir()) == []


def test_a_better_checkpoint_survives_a_resumed_run(run, tmp_path):
    directory, _, history, _, _ = run
    best = min(history["val_loss"])
    with pytest.raises(ValueError, match="`directory` must not hold the best.keras of another run"):
        standard_callbacks(directory)
    before = (directory / "best.keras").read_bytes()
    resumed = standard_callbacks(directory, best_so_far=best)
    walk(walker(8.0), resumed, epochs=1)
    assert (directory / "best.keras").read_bytes() == before
    (tmp_path / "best.keras").write_bytes(before)
    walk(walker(8.0), standard_callbacks(tmp_path, best_so_far=100.0), epochs=1)
    replaced = keras.models.load_model(tmp_path / "best.keras", safe_mode=True)
    assert weight(replaced) > 8


@pytest.mark.parametrize(
    ("monitor", "mode"),
    [
        ("val_loss", "min"),
        ("loss", "min"),
        ("val_classes_loss", "min"),
        ("val_mae", "min"),
        ("rmse", "min"),
        ("val_accuracy", "max"),
        ("auc", "max"),
        ("val_r2", "max"),
        ("val_precision", "max"),
        ("recall", "max"),
    ],
)
def test_the_direction_follows_from_the_name(monitor, mode, tmp_path):
    watching = [c for c in standard_callbacks(tmp_path, monitor=monitor) if hasattr(c, "mode")]
    assert kinds(watching) == ["EarlyStopping", "ModelCheckpoint"]
    assert [(c.monitor, c.mode) for c in watching] == [(monitor, mode)] * 2


def test_an_unknown_name_needs_a_direction_and_gets_it(tmp_path):
    with pytest.raises(ValueError, match='`mode` must be "min" or "max".*val_my_score'):
        standard_callbacks(monitor="val_my_score")
    callbacks = standard_callbacks(tmp_path, monitor="val_my_score", mode="max")
    assert [c.mode for c in callbacks if hasattr(c, "mode")] == ["max", "max"]


def test_a_name_that_fit_does_not_report_is_an_error_in_the_first_epoch():
    with pytest.raises(
        ValueError, match="fit reports: loss, val_loss. Received: monitor='val_auc'"
    ):
        walk(walker(), standard_callbacks(monitor="val_auc"))
    with pytest.raises(ValueError, match="reports: loss; names with val_ need validation data"):
        walk(walker(), standard_callbacks(), validation=None)


def test_label_reaches_the_bar():
    assert standard_callbacks(label="digits")[-1].label == "digits"


def test_refusals(tmp_path):
    refuse = [
        ({"directory": 3}, TypeError, "`directory` must be a path"),
        ({"monitor": None}, TypeError, "`monitor` must be a text"),
        ({"mode": "auto"}, ValueError, "`mode` must be one of 'min', 'max'. Received: mode='auto'"),
        ({"patience": 0}, ValueError, "`patience` must be an integer >= 1"),
        ({"patience": 2.0}, TypeError, "`patience` must be an integer"),
        ({"min_delta": -1}, ValueError, "`min_delta` must be a finite number >= 0"),
        (
            {"schedule": 0.1},
            TypeError,
            "`schedule` must be a Keras schedule, a func.*Received: schedule=0.1",
        ),
        ({"best_so_far": 0.1}, ValueError, "`best_so_far` must be None without a directory"),
        (
            {"directory": tmp_path, "best_so_far": 0.1},
            ValueError,
            "`best_so_far` must be None where the directory holds no best.keras",
        ),
        ({"directory": tmp_path, "best_so_far": "a"}, TypeError, "`best_so_far` must be a number"),
        ({"progress": 1}, TypeError, "`progress` must be True or False"),
        ({"label": 3}, TypeError, "`label` must be a text or None"),
    ]
    check_refusals(standard_callbacks, [Refusal((), *parts) for parts in refuse])
    check_refusals(MonitorCheck, [Refusal((3,), {}, TypeError, "`monitor` must be a text")])
    assert list(tmp_path.iterdir()) == []


def test_docstrings():
    check_docstring(standard_callbacks)
    check_docstring(MonitorCheck)
