import numpy as np
import pytest
from contracts import Refusal, check_docstring, check_refusals

from dlnotes import training
from dlnotes.runtime import quiet_start

with quiet_start():
    import keras

    from dlnotes.training import compile_for

X = np.random.default_rng(0).normal(size=(90, 3)).astype("float32")
SCORE = X @ np.float32([2, -1, 1])
TARGETS = {
    "regression": SCORE + 3,
    "binary": (SCORE > 0).astype(int),
    "multiclass": np.digitize(SCORE, [-1, 1]),
}
LAYERS = {"regression": (1, "linear"), "binary": (1, "sigmoid"), "multiclass": (3, "softmax")}


def net(units=1, activation="linear"):
    inputs = keras.Input((3,), name="features")
    outputs = keras.layers.Dense(units, activation=activation, name="output")(inputs)
    return keras.Model(inputs, outputs, name="net")


def compiled(task, units=None, activation=None, **kwargs):
    default_units, default_activation = LAYERS[task]
    model = compile_for(
        net(units or default_units, activation or default_activation), task, **kwargs
    )
    model.run_eagerly = True  # tracing would take longer than the few steps
    return model


def evaluate(model, x, y):
    return model.evaluate(x, y, verbose=0, return_dict=True, batch_size=len(x))


@pytest.mark.parametrize("from_logits", [False, True])
def test_binary_metrics_are_those_of_the_predictions(from_logits):
    model = compiled(
        "binary", activation="linear" if from_logits else "sigmoid", from_logits=from_logits
    )
    model.get_layer("output").set_weights([np.float32([[0.5], [-1.0], [0.2]]), np.float32([0.7])])
    logits = X @ [0.5, -1.0, 0.2] + 0.7
    scores = training.evaluate_binary(TARGETS["binary"], 1 / (1 + np.exp(-logits)))
    reported = evaluate(model, X, TARGETS["binary"])
    assert list(reported) == ["accuracy", "auc", "loss", "precision", "recall"]
    assert reported["loss"] == pytest.approx(scores.log_loss, rel=1e-5)
    for name in ("accuracy", "precision", "recall"):
        assert reported[name] == pytest.approx(getattr(scores, name), abs=1e-6)
    assert reported["auc"] == pytest.approx(scores.roc_auc, abs=0.01)  # 200 thresholds


def test_regression_metrics_are_those_of_the_predictions():
    model = compiled("regression")
    model.get_layer("output").set_weights([np.float32([[1.0], [0.0], [1.0]]), np.float32([2.0])])
    scores = training.evaluate_regression(TARGETS["regression"], X @ [1.0, 0.0, 1.0] + 2)
    reported = evaluate(model, X, TARGETS["regression"])
    assert reported == pytest.approx(
        {"loss": scores.mse, "mae": scores.mae, "r2": scores.r2}, rel=1e-4
    )


def test_multiclass_metrics_are_those_of_the_predictions():
    model = compiled("multiclass")
    kernel = np.random.default_rng(1).normal(size=(3, 3))
    model.get_layer("output").set_weights([kernel, np.zeros(3)])
    powers = np.exp(X @ kernel)
    scores = training.evaluate_multiclass(
        TARGETS["multiclass"], powers / powers.sum(axis=1, keepdims=True)
    )
    reported = evaluate(model, X, TARGETS["multiclass"])
    assert reported == pytest.approx(
        {"loss": scores.log_loss, "accuracy": scores.accuracy}, rel=1e-5
    )


@pytest.mark.parametrize(
    ("task", "rate", "metric", "untrained_most", "trained_least"),
    [
        ("regression", 0.2, "r2", 0.0, 0.9),
        ("binary", 2.0, "auc", 0.6, 0.95),
        ("multiclass", 2.0, "accuracy", 0.6, 0.8),
    ],
)
def test_compiled_models_learn(task, rate, metric, untrained_most, trained_least):
    model = compiled(task, optimizer="sgd", learning_rate=rate)
    units = LAYERS[task][0]
    model.get_layer("output").set_weights([np.zeros((3, units)), np.zeros(units)])
    assert evaluate(model, X, TARGETS[task])[metric] <= untrained_most
    for _ in range(8):
        model.train_on_batch(X, TARGETS[task])
    assert evaluate(model, X, TARGETS[task])[metric] >= trained_least


def test_optimizer_by_name_with_its_rate_or_as_it_is():
    model = compile_for(net(), "regression")
    assert isinstance(model.optimizer, keras.optimizers.Adam)
    assert float(model.optimizer.learning_rate) == pytest.approx(0.001)
    model = compile_for(net(), "regression", optimizer="sgd", learning_rate=0.25)
    assert isinstance(model.optimizer, keras.optimizers.SGD)
    assert float(model.optimizer.learning_rate) == 0.25
    optimizer = keras.optimizers.SGD(0.5, momentum=0.9)
    assert compile_for(net(), "regression", optimizer=optimizer).optimizer is optimizer


def test_a_saved_model_comes_back_with_its_metrics(tmp_path):
    model = compiled("binary", activation="linear", from_logits=True)
    model.train_on_batch(X, TARGETS["binary"])  # the optimizer's state is saved too
    before = evaluate(model, X, TARGETS["binary"])
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    loaded.run_eagerly = True
    assert evaluate(loaded, X, TARGETS["binary"]) == pytest.approx(before, rel=1e-5)


def wrapped(inner):
    inputs = keras.Input((3,))
    return keras.Model(inputs, inner(inputs))


def test_the_output_is_found_behind_wrappers_and_in_layers_of_its_own():
    model = net(3, "softmax")
    assert compile_for(wrapped(wrapped(model)), "multiclass").compiled
    assert compile_for(wrapped(keras.Sequential([net(3), keras.layers.Softmax()])), "multiclass")
    with pytest.raises(ValueError, match="linear units.*Received: units=3, activation=softmax"):
        compile_for(keras.Sequential([net(3), keras.layers.Softmax()]), "regression")
    activation = keras.Sequential([net(1), keras.layers.Activation("sigmoid")])
    assert compile_for(wrapped(activation), "binary").compiled
    with pytest.raises(ValueError, match="linear units.*Received: units=1, activation=sigmoid"):
        compile_for(activation, "regression")
    # What a reshaping layer passes on cannot be told, so it is let through.
    assert compile_for(wrapped(keras.Sequential([net(2), keras.layers.Flatten()])), "multiclass")
    assert compile_for(net(4), "regression").compiled
    with pytest.raises(ValueError, match="one sigmoid unit.*Received: units=3, activation=softmax"):
        compile_for(wrapped(model), "binary")


def two_outputs():
    inputs = keras.Input((3,))
    return keras.Model(inputs, [keras.layers.Dense(1)(inputs), keras.layers.Dense(1)(inputs)])


def used_optimizer():
    optimizer = keras.optimizers.SGD()
    optimizer.build(net().trainable_variables)
    return optimizer


def test_refusals():
    sigmoid, linear, softmax = net(1, "sigmoid"), net(1), net(3, "softmax")
    end = "`model` must end in "
    check_refusals(
        compile_for,
        [
            Refusal(("net", "binary"), {}, TypeError, "`model` must be a Keras model.*'net'"),
            Refusal((sigmoid, "ranking"), {}, ValueError, "`task` must be one of 'regression'"),
            Refusal((sigmoid, "binary"), {"from_logits": 1}, TypeError, "`from_logits` must be Tr"),
            Refusal((linear, "regression"), {"from_logits": True}, ValueError, "must be False for"),
            Refusal((sigmoid, "binary"), {"optimizer": "adamm"}, ValueError, "one that Keras know"),
            Refusal((sigmoid, "binary"), {"optimizer": 3}, TypeError, "must be a name or a Keras"),
            Refusal(
                (sigmoid, "binary"), {"optimizer": used_optimizer()}, ValueError, "must be new"
            ),
            Refusal(
                (sigmoid, "binary"), {"learning_rate": 0}, ValueError, "`learning_rate` must b"
            ),
            Refusal((sigmoid, "binary"), {"learning_rate": "a"}, TypeError, "must be a number"),
            Refusal(
                (sigmoid, "binary"),
                {"optimizer": keras.optimizers.SGD(), "learning_rate": 0.1},
                ValueError,
                "`learning_rate` must be None when",
            ),
            Refusal((linear, "binary"), {}, ValueError, end + "one sigmoid unit.*from_logits=True"),
            Refusal((softmax, "binary"), {}, ValueError, end + "one sigmoid unit.*units=3, activ"),
            Refusal((net(2, "sigmoid"), "binary"), {}, ValueError, end + "one sigmoid.*units=2"),
            Refusal(
                (sigmoid, "binary"), {"from_logits": True}, ValueError, end + "one linear unit"
            ),
            Refusal(
                (net(3), "multiclass"), {}, ValueError, end + "softmax units.*from_logits=True"
            ),
            Refusal((net(1, "softmax"), "multiclass"), {}, ValueError, "at least 2.*units=1"),
            Refusal((net(3, "sigmoid"), "multiclass"), {}, ValueError, "activation=sigmoid"),
            Refusal((sigmoid, "regression"), {}, ValueError, end + "linear units.*=sigmoid"),
            Refusal((two_outputs(), "regression"), {}, ValueError, "one output.*None, 1.*None, 1"),
            Refusal(
                (keras.Sequential([keras.layers.Dense(1)]), "regression"),
                {},
                ValueError,
                "`model` must be built.*not built",
            ),
            Refusal(
                (keras.Sequential([keras.Input((4, 2)), keras.layers.Dense(1)]), "regression"),
                {},
                ValueError,
                r"\(B, units\).*\(None, 4, 1\)",
            ),
        ],
    )
    # No hint where from_logits would not help.
    with pytest.raises(ValueError, match="must end in softmax units") as error:
        compile_for(linear, "multiclass")
    assert "from_logits" not in str(error.value)


def test_docstring():
    check_docstring(compile_for)
