import numpy as np
import pytest
from contracts import Refusal, check_docstring, check_refusals

from dlnotes.runtime import quiet_start, seed

with quiet_start():
    import keras
    import tensorflow as tf

    from dlnotes.training import Phase, adapt_normalization, fine_tune, freeze_to, two_phases

DRAW = np.random.default_rng(0)
X = DRAW.normal(size=(24, 3)).astype("float32")
Y = (X[:, 0] > 0).astype(int)
TRAINED = ["low", "base/middle", "base/norm", "base/top", "head"]


@pytest.fixture(autouse=True)
def eager(request):
    """Run without graphs, which cost a second each; tests with "graph" in the name have them."""
    tf.config.run_functions_eagerly("graph" not in request.node.name)
    yield
    tf.config.run_functions_eagerly(False)


def build():
    """Return a network with batch normalization in a model inside."""
    seed(1)
    features = keras.Input((4,))
    x = keras.layers.Dense(4, name="middle", use_bias=False)(features)
    x = keras.layers.BatchNormalization(name="norm", momentum=0.5)(x)
    base = keras.Model(features, keras.layers.Dense(3, "tanh", name="top")(x), name="base")
    inputs = keras.Input((3,))
    x = base(keras.layers.Dense(4, "tanh", name="low")(inputs))
    return keras.Model(inputs, keras.layers.Dense(2, "softmax", name="head")(x))


def plain():
    layers = [
        keras.layers.Dense(4, "tanh", name="low"),
        keras.layers.Dense(2, "softmax", name="up"),
    ]
    return keras.Sequential([keras.Input((3,)), *layers])


def values(model):
    return {w.path: keras.ops.convert_to_numpy(w.value).copy() for w in model.weights}


def changed(model, before):
    now = values(model)
    return {path for path in before if not np.array_equal(before[path], now[path])}


# === freeze_to ===


@pytest.mark.parametrize(
    ("name", "mode", "learning"),
    [
        (None, "train", TRAINED),
        (None, "inference", [n for n in TRAINED if n != "base/norm"]),
        ("low", "train", TRAINED[1:]),
        ("middle", "train", TRAINED[2:]),
        ("base/middle", "inference", TRAINED[3:]),
        ("top", "inference", ["head"]),
        ("head", "train", []),
    ],
)
def test_what_comes_after_the_named_layer_learns_also_inside_a_model(name, mode, learning):
    model = build()
    assert freeze_to(model, name, normalization=mode) == learning
    now = {w.path.rpartition("/")[0].rpartition("/")[2] for w in model.trainable_weights}
    assert now == {path.rpartition("/")[2] for path in learning}


def test_freezing_can_be_taken_back_even_from_a_model_frozen_as_a_whole():
    model = build()
    model.get_layer("base").trainable = False
    assert freeze_to(model, "low", normalization="train") == TRAINED[1:]
    model.trainable = False
    assert freeze_to(model, None, normalization="train") == TRAINED
    assert len(model.trainable_weights) == 9  # a kernel and a bias each, or gamma and beta


def test_batch_normalization_inside_a_layer_of_layers_is_found():
    @keras.saving.register_keras_serializable(package="test_fine_tuning")
    class Block(keras.layers.Layer):
        def __init__(self):
            super().__init__(name="block")
            self.dense, self.norm = keras.layers.Dense(2), keras.layers.BatchNormalization()

        def call(self, x, training=None):
            return self.norm(self.dense(x), training=training)

    model = keras.Sequential([keras.Input((3,)), Block()])
    freeze_to(model, None)
    block = model.get_layer("block")
    assert block.dense.trainable
    assert not block.norm.trainable
    adapt_normalization(model, X)
    np.testing.assert_allclose(block.norm.moving_mean, block.dense(X).numpy().mean(0), atol=1e-6)


def test_freeze_to_refusals():
    twice = keras.Sequential([keras.Input((3,)), plain(), keras.layers.Dense(3, name="low")])
    cases = [
        ((plain(), "middle"), {}, ValueError, "`layer_name` must be .* one layer among low, up"),
        ((twice, "low"), {}, ValueError, "layers_of_this_name=2"),
        ((plain(), 1), {}, TypeError, "`layer_name` must be the name of a layer"),
        ((plain(), "low"), {"normalization": "off"}, ValueError, "`normalization` must be one of"),
        (("plain", "low"), {}, TypeError, "`model` must be a Keras model"),
        ((keras.Sequential(), "low"), {}, ValueError, "`model` must be built"),
    ]
    check_refusals(freeze_to, [Refusal(*case) for case in cases])
    check_docstring(freeze_to)


# === fine_tune ===


def test_phases_change_what_they_say_and_averages_stand_still_in_a_graph():
    model, seen = build(), []
    before = values(model)

    class Watch(keras.callbacks.Callback):
        def on_train_end(self, logs=None):
            seen.append(changed(model, before))

    phases = (Phase("top", 2, 0.01), Phase("middle", 1, 0.001))
    options = {"batch_size": 8, "verbose": 0, "callbacks": [Watch()]}
    history = fine_tune(model, X, Y, phases=phases, **options)
    assert {path.rpartition("head/")[2] for path in seen[0]} == {"kernel", "bias"}
    assert {path.rpartition("/")[0].rpartition("/")[2] for path in seen[1]} == {"head", "top"}
    assert history["phase"] == [0, 0, 1]
    assert history["learning"] == [8, 8, 8 + 15]
    assert len(history["loss"]) == len(history["accuracy"]) == 3
    assert float(model.optimizer.learning_rate) == pytest.approx(0.001)


def test_normalization_that_trains_moves_its_averages():
    model = build()
    before = values(model)
    phases, options = (Phase(None, 1, 0.01),), {"verbose": 0}
    fine_tune(model, X, Y, phases=phases, **options)
    assert not any("moving" in path or "gamma" in path for path in changed(model, before))
    fine_tune(model, X, Y, phases=phases, normalization="train", **options)
    assert {"moving_mean", "moving_variance", "gamma"} <= {
        path.rpartition("/")[2] for path in changed(model, before)
    }


def test_one_phase_is_what_keras_does():
    ours, theirs = plain(), plain()
    theirs.set_weights(ours.get_weights())
    options = {"batch_size": 8, "shuffle": False, "verbose": 0}
    history = fine_tune(ours, X, Y, phases=[Phase("low", 3, 0.05)], **options)
    theirs.get_layer("low").trainable = False
    theirs.compile(keras.optimizers.Adam(0.05), "sparse_categorical_crossentropy")
    expected = theirs.fit(X, Y, epochs=3, **options).history["loss"]
    assert history["loss"] == pytest.approx(expected, rel=1e-6)
    for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-7)


def test_a_phase_that_is_stopped_early_counts_what_it_did():
    stop = keras.callbacks.EarlyStopping("loss", patience=0, min_delta=10.0)
    phases = two_phases("low", head_epochs=4, epochs=4, rate=1e-4)
    history = fine_tune(plain(), X, Y, phases=phases, verbose=0, callbacks=[stop])
    assert history["phase"] == [0, 0, 1, 1]  # the first epoch is always better than none


def test_two_phases():
    first, second = two_phases("a", head_epochs=3, epochs=2, head_rate=0.1, rate=0.1, frozen_to="b")
    assert first == ("a", 3, 0.1)
    assert second == ("b", 2, 0.1)
    kept = {"head_epochs": 1, "epochs": 1}
    cases = [
        ((1,), kept, TypeError, "`base_end` must be the name"),
        (("a",), kept | {"frozen_to": 2}, TypeError, "`frozen_to` must be the name"),
        (("a",), kept | {"head_epochs": 0}, ValueError, "`head_epochs` must be an integer >= 1"),
        (("a",), kept | {"epochs": 0}, ValueError, "`epochs` must be an integer >= 1"),
        (("a",), kept | {"head_rate": 0}, ValueError, "`head_rate` must be a finite number > 0"),
        (("a",), kept | {"rate": 0.1}, ValueError, r"`rate` must be a finite number in \(0, 0.001"),
    ]
    check_refusals(two_phases, [Refusal(*case) for case in cases])
    check_docstring(two_phases)


def test_fine_tune_refuses_before_it_trains():
    model = plain()
    model.get_layer("low").trainable = False
    before = values(model)

    def case(error, words, **changes):
        options = {"phases": [Phase("low", 1, 0.1)], "verbose": 0} | changes
        return Refusal((model, X, Y), options, error, words)

    late = [Phase("low", 1, 0.1), Phase("middle", 1, 0.1)]
    cases = [
        case(ValueError, "`layer_name` must be the name of one layer", phases=late),
        case(ValueError, "`phases` must hold at least one", phases=[]),
        case(TypeError, "`phases` must be a list of Phase", phases=Phase("low", 1, 0.1)),
        case(TypeError, "`phases` must be a list of Phase", phases=[("low", 1, 0.1)]),
        case(ValueError, "`epochs` must be an integer >= 1", phases=[Phase("low", 0, 0.1)]),
        case(ValueError, "`learning_rate` must be .* > 0", phases=[Phase("low", 1, 0.0)]),
        case(ValueError, "`normalization` must be one of", normalization="off"),
        case(ValueError, "`task` must be one of", task="ranking"),
        case(TypeError, "`fit_options` must leave the epochs", epochs=3),
    ]
    check_refusals(fine_tune, cases)
    assert not changed(model, before)
    assert [layer.trainable for layer in model.layers] == [False, True]  # flags, too
    check_docstring(fine_tune)
    check_docstring(Phase)


# === adapt_normalization ===


def layers_of(model):
    base = model.get_layer("base")
    return model.get_layer("low"), base.get_layer("middle"), base.get_layer("norm")


def test_averages_are_those_of_the_new_rows_and_nothing_else_changes():
    model = build()
    freeze_to(model, "top")
    before = values(model)
    adapt_normalization(model, X)
    low, middle, norm = layers_of(model)
    inputs = middle(low(X)).numpy()
    np.testing.assert_allclose(norm.moving_mean, inputs.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(norm.moving_variance, inputs.var(axis=0), atol=1e-6)
    assert {path.rpartition("/")[2] for path in changed(model, before)} == {
        "moving_mean",
        "moving_variance",
    }
    assert norm.momentum == 0.5
    assert not norm.trainable


@pytest.mark.parametrize("size", [3, 8, 256])
def test_sorted_rows_in_uneven_batches_give_the_averages_of_all(size):
    model, rows = build(), X[np.argsort(X[:, 0])][:23]  # batches of 3 end with 2, of 8 with 7
    adapt_normalization(model, rows, batch_size=size)
    low, middle, norm = layers_of(model)
    inputs = middle(low(rows)).numpy()
    np.testing.assert_allclose(norm.moving_mean, inputs.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(norm.moving_variance, inputs.var(axis=0), atol=1e-6)


def test_a_last_row_alone_is_left_out():
    models = build(), build()
    adapt_normalization(models[0], X[:17], batch_size=8)
    adapt_normalization(models[1], X[:16])
    for a, b in zip(*(layers_of(model)[2].get_weights() for model in models), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_adapt_normalization_refusals():
    cases = [
        ((plain(), X), {}, ValueError, "`model` must have batch normalization"),
        ((build(), X[:1]), {}, ValueError, "`x` must have at least two rows"),
        ((build(), X), {"batch_size": 1}, ValueError, "`batch_size` must be an integer >= 2"),
        ((None, X), {}, TypeError, "`model` must be a Keras model"),
    ]
    check_refusals(adapt_normalization, [Refusal(*case) for case in cases])
    check_docstring(adapt_normalization)
