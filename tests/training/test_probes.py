import warnings

import numpy as np
import pytest
from contracts import Refusal, check_docstring, check_refusals

from dlnotes.runtime import quiet_start

with quiet_start():
    import keras
    import tensorflow as tf

    from dlnotes.training import ActivationProbe, GradientProbe

layers = keras.layers
RNG = np.random.default_rng(6)
X = RNG.normal(size=(12, 3)).astype("float32")
Y = (X @ [[1.0], [-2.0], [0.5]]).astype("float32")
PROBE_X, PROBE_Y = X[:8] * 2 + 1, Y[:8]


def sequence(*stack, **options):
    model = keras.Sequential([keras.Input((3,)), *stack])
    model.compile(**{"optimizer": "sgd", "loss": "mse", "run_eagerly": True, **options})
    return model


def fit(model, *probes, epochs=1, x=X, y=Y):
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        return model.fit(x, y, batch_size=4, epochs=epochs, verbose=0, callbacks=list(probes))


# === What a probe must not do ===


def test_training_is_the_same_bit_for_bit_with_and_without_probes():
    model = sequence(
        layers.Dense(6, activation="relu", activity_regularizer="l2", name="hidden"),
        layers.BatchNormalization(name="norm"),
        layers.Dropout(0.4, name="dropout"),
        layers.Dense(1, kernel_regularizer="l2", name="output"),
        optimizer="adam",
        metrics=["mae"],
        run_eagerly=False,
    )
    model.optimizer.build(model.trainable_variables)
    variables = [*model.variables, *model.optimizer.variables]
    assert any("seed_generator" in variable.path for variable in variables)
    start = [variable.numpy() for variable in variables]
    probes = [
        GradientProbe(PROBE_X, PROBE_Y, by="step"),
        GradientProbe(PROBE_X, PROBE_Y, training=False),
        ActivationProbe(PROBE_X, by="step"),
    ]
    ends = []
    for watching in (probes, []):  # the training step is traced while there are probes
        keras.utils.set_random_seed(9)
        for variable, value in zip(variables, start, strict=True):
            variable.assign(value)
        history = fit(model, *watching, epochs=2).history
        ends.append([*history.values(), *(variable.numpy() for variable in variables)])
    assert not np.array_equal(start[0], ends[1][2])
    for watched, alone in zip(*ends, strict=True):
        np.testing.assert_array_equal(watched, alone)
    assert len(probes[0].when) == 7


def test_metrics_of_several_outputs_do_not_count_the_probe():
    def build():
        keras.utils.set_random_seed(8)
        inputs = keras.Input((3,))
        outputs = {name: layers.Dense(1, name=name)(inputs) for name in ("a", "b")}
        model = keras.Model(inputs, outputs)
        model.compile("sgd", loss={"a": "mse", "b": "mae"}, run_eagerly=True)
        return model

    class Both(GradientProbe):  # a probe of one array of targets, made to serve two outputs
        def _measure(self):
            self.y = {"a": PROBE_Y, "b": PROBE_Y}
            return super()._measure()

    both = {"a": Y, "b": Y}
    watched = fit(build(), Both(PROBE_X, PROBE_Y, by="step"), y=both)
    assert watched.history == fit(build(), y=both).history


# === When it measures ===


def test_measurements_come_before_training_and_after_every_few_epochs_or_steps():
    model = sequence(layers.Dense(1, name="line"))  # 3 steps an epoch
    by_epoch = GradientProbe(PROBE_X, PROBE_Y, every=2)
    by_step = ActivationProbe(PROBE_X, every=4, by="step")
    assert by_epoch.history == {}
    assert by_epoch.when.tolist() == []
    fit(model, by_epoch, by_step, epochs=4)
    assert by_epoch.when.tolist() == [0, 2, 4]
    assert by_step.when.tolist() == [0, 4, 8, 12]
    assert by_epoch.history["line"].shape == (3,)
    fit(model, by_epoch, epochs=2)
    assert by_epoch.when.tolist() == [0, 2]  # each training anew


def test_several_steps_in_one_execution_are_counted():
    model = sequence(layers.Dense(1, name="line"), run_eagerly=False, steps_per_execution=2)
    probe = ActivationProbe(PROBE_X, every=2, by="step")
    fit(model, probe, epochs=2)
    assert probe.when.tolist() == [0, 2, 5, 6]  # of 2, 3, 5 and 6


# === Gradients ===


def test_the_norm_is_that_of_the_formula_with_its_penalty():
    penalty = keras.regularizers.L2(0.1)
    model = sequence(layers.Dense(1, kernel_regularizer=penalty, name="line"))
    w, b = (part.astype(float) for part in model.get_weights())
    probe = GradientProbe(PROBE_X, PROBE_Y)
    fit(model, probe)
    miss = PROBE_X @ w + b - PROBE_Y
    gradient = [*(2 * PROBE_X.T @ miss / 8 + 2 * 0.1 * w).ravel(), 2 * miss.mean()]
    assert probe.history["line"][0] == pytest.approx(np.linalg.norm(gradient), rel=1e-5)
    assert probe.history["line"][1] < probe.history["line"][0]


def test_layers_have_their_names_and_only_those_with_weights_to_train():
    inner = keras.Sequential(
        [keras.Input((4,)), layers.Dense(4, name="deep"), layers.ReLU()], name="inner"
    )
    frozen = layers.Dense(4, name="frozen", trainable=False)
    model = sequence(frozen, layers.Dropout(0.5), inner, layers.Dense(1, name="out"))
    probe = GradientProbe(PROBE_X, PROBE_Y)
    fit(model, probe)
    assert list(probe.history) == ["inner/deep", "out"]


def test_an_embedding_counts_every_row_that_was_used():
    words = RNG.integers(4, size=(12, 3))
    table = layers.Embedding(5, 2, name="table")
    model = sequence(table, layers.Flatten(), layers.Dense(1, name="out"))
    probe = GradientProbe(words[:8], PROBE_Y)
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean((model(words[:8]) - PROBE_Y) ** 2)
    dense = tf.convert_to_tensor(tape.gradient(loss, table.embeddings.value))
    fit(model, probe, x=words)
    assert probe.history["table"][0] == pytest.approx(np.linalg.norm(dense), rel=1e-5)


@pytest.mark.parametrize("training", [True, False])
def test_the_training_flag_decides_how_batch_normalization_runs(training):
    model = sequence(layers.BatchNormalization(name="norm"), layers.Dense(1, name="out"))
    gradients = GradientProbe(PROBE_X, PROBE_Y, training=training)
    activations = ActivationProbe(PROBE_X, training=training)
    z = (PROBE_X - PROBE_X.mean(axis=0)) / PROBE_X.std(axis=0) if training else PROBE_X
    w, b = model.get_layer("out").get_weights()
    miss = z @ w + b - PROBE_Y
    norm = np.linalg.norm([*(2 * z.T @ miss / 8).ravel(), 2 * miss.mean()])
    fit(model, gradients, activations)
    assert gradients.history["out"][0] == pytest.approx(norm, rel=1e-2)  # its epsilon is 1e-3
    assert activations.history["std"]["norm"][0] == pytest.approx(z.std(), rel=1e-2)
    assert activations.history["mean"]["norm"][0] == pytest.approx(z.mean(), abs=1e-2)


# === Activations ===


def test_planted_dead_units_are_found_and_living_ones_are_not():
    hidden = layers.Dense(4, activation="relu", name="hidden")
    output = layers.Dense(1, name="out")
    model = sequence(hidden, output)
    kernel = np.zeros((3, 4))
    kernel[0] = 1
    # The four units answer never, to one row, to three, to all.
    hidden.set_weights([kernel, np.array([-2, -1.5, 0.5, 5])])
    model.optimizer.learning_rate = 0.0
    rows = np.float32([[-1, 0, 0], [0, 0, 0], [1, 0, 0], [2, 0, 0]])
    probe = ActivationProbe(rows)
    fit(model, probe)
    answers = np.maximum(rows[:, :1] + [-2, -1.5, 0.5, 5], 0)
    np.testing.assert_allclose(probe.history["dead"]["hidden"], [1 / 4, 1 / 4])
    np.testing.assert_allclose(probe.history["mean"]["hidden"], [answers.mean()] * 2, rtol=1e-6)
    np.testing.assert_allclose(probe.history["std"]["hidden"], [answers.std()] * 2, rtol=1e-6)
    assert probe.history["dead"]["out"].tolist() == [0, 0]
    assert list(probe.history["mean"]) == ["hidden", "out"]


def test_a_channel_is_dead_only_if_it_is_0_everywhere():
    conv = layers.Conv1D(3, 1, activation="relu", name="conv")
    model = sequence(layers.Reshape((3, 1)), conv, layers.Flatten(), layers.Dense(1, name="out"))
    conv.set_weights([np.ones((1, 1, 3)), np.array([-100, -PROBE_X.max() + 0.01, 100])])
    model.optimizer.learning_rate = 0.0
    probe = ActivationProbe(PROBE_X, layers=["conv"])
    fit(model, probe)
    assert list(probe.history["dead"]) == ["conv"]
    assert probe.history["dead"]["conv"] == pytest.approx(1 / 3)


# === Refusals ===


def test_refusals():
    both = [
        ({"every": 0}, ValueError, "`every` must be an integer >= 1"),
        ({"every": 1.0}, TypeError, "`every` must be an integer"),
        ({"by": "batch"}, ValueError, "`by` must be one of 'epoch', 'step'"),
        ({"training": None}, TypeError, "`training` must be True or False"),
    ]
    data = [
        Refusal((X * np.nan, Y), {}, ValueError, "`x` must hold finite numbers"),
        Refusal((X, ["a"] * 12), {}, TypeError, "`y` must be an array of numbers"),
        Refusal((X, Y[1:]), {}, ValueError, "`x` and `y` must have the same number of rows"),
    ]
    check_refusals(GradientProbe, [*data, *(Refusal((X, Y), *parts) for parts in both)])
    names = [
        Refusal((["a"],), {}, TypeError, "`x` must be an array of numbers"),
        Refusal((X,), {"layers": "hidden"}, TypeError, "`layers` must be a list of names or None"),
    ]
    check_refusals(ActivationProbe, [*names, *(Refusal((X,), *parts) for parts in both)])


def test_refusals_of_the_model():
    def start(model, **kwargs):
        fit(model, ActivationProbe(PROBE_X, **kwargs))

    class Own(keras.Model):
        def __init__(self):
            super().__init__(name="own")
            self.line = layers.Dense(1)

        def call(self, x):
            return self.line(x)

    own = Own()
    own.compile("sgd", loss="mse", run_eagerly=True)
    borrowed = layers.Dense(1, name="borrowed")
    sequence(borrowed)
    refusals = [
        Refusal((own,), {}, TypeError, "`model` must be functional or sequential, with one input"),
        Refusal(
            (sequence(layers.Dense(1, name="a")),),
            {"layers": ["b"]},
            ValueError,
            "`layers` must be names among a. Received: layers=.'b'",
        ),
        Refusal((sequence(layers.ReLU(), borrowed),), {}, ValueError, "`model` must be made of"),
    ]
    check_refusals(start, refusals)


def test_docstrings():
    check_docstring(GradientProbe)
    check_docstring(ActivationProbe)
