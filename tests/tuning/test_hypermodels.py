import numpy as np
import pytest
from contracts import Refusal, check_docstring, check_refusals

from dlnotes.runtime import quiet_start

with quiet_start():
    import keras
    import keras_tuner

    from dlnotes.models import build_mlp, build_rnn_classifier, build_small_cnn
    from dlnotes.tuning import HyperCNN, HyperMLP, HyperRNN
    from dlnotes.tuning.hypermodels import ShuffledBatches

SPACES = {
    "mlp": (HyperMLP, ((8, 8), 10), build_mlp),
    "cnn": (HyperCNN, ((8, 8, 1), 10), build_small_cnn),
    "rnn": (HyperRNN, (30, 4), build_rnn_classifier),
}


def built(hypermodel, **values):
    hp = keras_tuner.HyperParameters()
    hypermodel.build(hp)
    hp = hp.copy()
    hp.values.update(values)
    hp.ensure_active_values()
    return hp, hypermodel.build(hp)


@pytest.mark.parametrize("kind", SPACES)
def test_the_defaults_are_those_of_the_builder(kind):
    space, args, build = SPACES[kind]
    hp, model = built(space(*args, seed=1))
    assert model.get_config() == build(*args).get_config()
    assert isinstance(model.optimizer, keras.optimizers.Adam)
    assert float(model.optimizer.learning_rate) == pytest.approx(1e-3)
    assert hp["optimizer"] == "adam"


@pytest.mark.parametrize("kind", SPACES)
def test_building_and_compiling_are_apart(kind):
    space, args, _ = SPACES[kind]
    hypermodel, hp = space(*args), keras_tuner.HyperParameters()
    model = hypermodel.build_model(hp)
    assert not model.compiled
    assert "learning_rate" not in hp
    assert hypermodel.compile_model(hp, model).compiled
    assert "learning_rate" in hp


def test_the_seed_makes_the_weights():
    weights = [built(HyperMLP((3,), 2, seed=seed))[1].get_weights()[0] for seed in (0, 0, 1)]
    np.testing.assert_array_equal(weights[0], weights[1])
    assert not np.array_equal(weights[0], weights[2])


def test_layers_have_units_only_if_they_are_there():
    hypermodel = HyperMLP((3,), 2, num_layers=(0, 1, 3), units=(4, 5))
    for count, expected in [(0, []), (1, [4]), (3, [4, 5, 4])]:
        values = {"num_layers": count, "units_1": 4, "units_2": 5, "units_3": 4}
        hp, model = built(hypermodel, **values)
        assert [layer.units for layer in model.layers[1:-1]] == expected
        assert [f"units_{i}" in hp for i in (1, 2, 3)] == [count > i for i in range(3)]


def test_blocks_have_filters_only_if_they_are_there():
    hp, model = built(HyperCNN((8, 8, 1), 2), num_blocks=1, filters_1=64, batch_normalization=True)
    assert "filters_2" not in hp
    assert model.get_layer("conv_1").filters == 64
    assert [layer.name for layer in model.layers[1:5]] == [
        "conv_1",
        "norm_1",
        "activation_1",
        "pool_1",
    ]


def test_only_sgd_has_momentum():
    hypermodel = HyperMLP((3,), 2)
    hp, model = built(hypermodel, optimizer="sgd", momentum=0.5, learning_rate=0.02)
    assert isinstance(model.optimizer, keras.optimizers.SGD)
    assert (model.optimizer.momentum, float(model.optimizer.learning_rate)) == (
        0.5,
        pytest.approx(0.02),
    )
    hp, _ = built(hypermodel, optimizer="adam")
    assert "momentum" not in hp
    hp, model = built(HyperMLP((3,), 2, optimizers=("adam",)))
    assert "momentum" not in [one.name for one in hp.space]


def test_the_rnn_reads_its_hyperparameters():
    values = {"cell": "gru", "units": 32, "num_layers": 2, "bidirectional": True}
    _, model = built(HyperRNN(30, 1), **values, embedding_size=16, dropout=0.2)
    expected = build_rnn_classifier(30, 1, **values, embedding_size=16, dropout=0.2)
    assert model.get_config() == expected.get_config()
    assert model.loss.name == "binary_crossentropy"


def test_one_choice_is_not_tuned_and_a_missing_default_is_the_first_choice():
    hp, _ = built(HyperMLP((3,), 2, num_layers=(1,), units=(7, 9), learning_rate=(0.1, 0.2)))
    kinds = {one.name: type(one).__name__ for one in hp.space}
    assert (kinds["num_layers"], kinds["units_1"]) == ("Fixed", "Choice")
    assert (hp["units_1"], hp["learning_rate"]) == (7, 0.1)


def test_what_only_fit_reads_is_declared_before():
    hp = keras_tuner.HyperParameters()
    HyperMLP((3,), 2, epochs=(5, 9)).declare_hyperparameters(hp)
    assert hp.values == {"batch_size": 32, "epochs": 5}


def test_fit_uses_the_batch_size_and_the_epochs():
    hypermodel = HyperMLP((3,), 2, batch_sizes=(4, 8), epochs=(2, 3), seed=0, units=(2,))
    x, y = np.zeros((8, 3), "float32"), np.zeros(8, int)
    hp, model = built(hypermodel)
    hp.values.update(batch_size=4, epochs=2)
    model.run_eagerly = True
    history = hypermodel.fit(hp, model, x, y)
    assert (len(history.epoch), int(model.optimizer.iterations)) == (2, 4)
    history = hypermodel.fit(hp, model, x, y, epochs=3, initial_epoch=2)
    assert (history.epoch, int(model.optimizer.iterations)) == ([2], 6)


class Order(ShuffledBatches):
    """Notes the rows of each batch that is drawn."""

    def __getitem__(self, index):
        x, y = super().__getitem__(index)
        self.seen.append([int(value) for value in x[:, 0]])
        return x, y


def orders(seed, epochs, initial_epoch=0):
    x = np.arange(6, dtype="float32").reshape(6, 1)
    batches = Order(x, x, batch_size=4, seed=seed)
    inputs = keras.Input((1,))
    model = keras.Model(inputs, keras.layers.Dense(1)(inputs))
    model.compile("sgd", "mse", run_eagerly=True)
    batches.seen, drawn = [], []
    note = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: batches.seen.clear(),
        on_epoch_end=lambda epoch, logs: drawn.append(list(batches.seen)),
    )
    model.fit(
        batches,
        epochs=epochs,
        initial_epoch=initial_epoch,
        shuffle=False,
        verbose=0,
        callbacks=[batches.callback(), note],
    )
    return drawn


def test_each_epoch_has_its_own_order_which_a_resumed_training_keeps():
    drawn = orders(1, 4)
    assert [sorted(row for batch in batches for row in batch) for batches in drawn] == [
        list(range(6))
    ] * 4
    assert [[len(batch) for batch in batches] for batches in drawn] == [[4, 2]] * 4
    assert len({str(batches) for batches in drawn}) == 4
    assert orders(1, 4, initial_epoch=2) == drawn[2:]
    assert orders(2, 1) != drawn[:1]


CHOICES = "must be a tuple of values to choose from"
ONCE = "must hold at least one value to choose from, and none twice"


@pytest.mark.parametrize("kind", SPACES)
def test_refusals_that_all_share(kind):
    space, args, _ = SPACES[kind]
    refusals = [
        Refusal((args[0], 0), {}, ValueError, "`num_classes` must be an integer >= 1"),
        Refusal(args, {"seed": -1}, ValueError, "`seed` must be an integer"),
        Refusal(args, {"seed": 0.5}, TypeError, "`seed` must be an integer"),
        Refusal(args, {"optimizers": "adam"}, TypeError, f"`optimizers` {CHOICES}"),
        Refusal(args, {"optimizers": ("lion",)}, ValueError, "`optimizers` must be one of"),
        Refusal(args, {"batch_sizes": ()}, ValueError, f"`batch_sizes` {ONCE}"),
        Refusal(args, {"batch_sizes": (8, 8)}, ValueError, f"`batch_sizes` {ONCE}"),
        Refusal(args, {"batch_sizes": (0,)}, ValueError, "`batch_sizes` must be an integer >= 1"),
        Refusal(args, {"epochs": 3}, TypeError, f"`epochs` {CHOICES}"),
        Refusal(args, {"learning_rate": 0.1}, TypeError, "`learning_rate` must be .lowest, highe"),
        Refusal(args, {"learning_rate": (1, 0.1)}, ValueError, "`learning_rate` must be .lowest"),
        Refusal(args, {"learning_rate": (0, 1)}, ValueError, "`learning_rate` must be a finite"),
        Refusal(args, {"momentum": (0, 1)}, ValueError, "`momentum` must be a finite number"),
    ]
    check_refusals(space, refusals)
    check_docstring(space)


def test_refusals_of_each():
    mlp, cnn, rnn = ((3,), 2), ((8, 8, 1), 2), (30, 2)
    cases = [
        (HyperMLP, ((0,), 2), {}, ValueError, "`input_shape` must be"),
        (HyperMLP, mlp, {"units": (0,)}, ValueError, "`units` must be an integer >= 1"),
        (HyperMLP, mlp, {"num_layers": (-1,)}, ValueError, "`num_layers` must be an integer >= 0"),
        (HyperMLP, mlp, {"activations": ("bent",)}, ValueError, "`activations` must be an activa"),
        (HyperCNN, mlp, {}, ValueError, "`input_shape` must be .height, width, channels"),
        (HyperCNN, cnn, {"num_blocks": (2, 4)}, ValueError, "`input_shape` must be at least 16"),
        (HyperCNN, cnn, {"dropout": (1.0,)}, ValueError, "`dropout` must be a finite number"),
        (HyperCNN, cnn, {"batch_normalization": (1,)}, TypeError, "`batch_normalization` must be"),
        (HyperRNN, (1, 2), {}, ValueError, "`vocab_size` must be an integer >= 2"),
        (HyperRNN, rnn, {"cells": ("elman",)}, ValueError, "`cells` must be one of 'lstm'"),
        (HyperRNN, rnn, {"bidirectional": ("x",)}, TypeError, "`bidirectional` must be True or"),
    ]
    for space, args, kwargs, error, match in cases:
        check_refusals(space, [Refusal(args, kwargs, error, match)])
