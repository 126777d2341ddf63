import numpy as np
import pytest
from contracts import check_docstring

from dlnotes import scratch
from dlnotes.runtime import quiet_start
from dlnotes.scratch import MLP, fit_together

X = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0], [0.5, 2.0]])
BINARY, THREE = np.array([0, 1, 1, 0, 1]), np.array([0, 1, 2, 0, 2])


def networks(count=3, sizes=(2, 3, 1), names=("tanh", "sigmoid"), seed=7):
    rng = np.random.default_rng(seed)
    return [MLP(sizes, names, rng=rng) for _ in range(count)]


def parameters(mlp):
    return [array for layer in mlp.layers for array in (layer.weights, layer.bias)]


@pytest.mark.parametrize(
    ("sizes", "names", "y", "loss"),
    [
        ((2, 3, 1), ("tanh", "sigmoid"), BINARY, "binary_crossentropy"),
        ((2, 4, 3, 3), ("relu", "sigmoid", "softmax"), THREE, "sparse_categorical_crossentropy"),
    ],
)
def test_ends_where_keras_adam_ends(sizes, names, y, loss):
    with quiet_start():
        import keras

    (mlp,) = networks(1, sizes, names)
    layers = [
        keras.layers.Dense(units, activation=name, dtype="float64")
        for units, name in zip(sizes[1:], names, strict=True)
    ]
    twin = keras.Sequential([keras.Input((2,), dtype="float64"), *layers])
    twin.set_weights(parameters(mlp))
    twin.compile(keras.optimizers.Adam(0.05), loss=loss)
    losses = fit_together([mlp], X, y, num_steps=20, learning_rate=0.05)
    targets = y.astype("float64")[:, None]
    for _ in range(20):
        last = twin.train_on_batch(X, targets)
    assert losses[0] == pytest.approx(float(last), abs=1e-5)
    for mine, theirs in zip(parameters(mlp), twin.get_weights(), strict=True):
        # Keras corrects the means' start in float32, which shows in the sixth digit.
        np.testing.assert_allclose(mine, theirs, atol=2e-5)


def test_each_network_ends_where_it_would_end_alone():
    together, alone = networks(4), networks(4)
    losses = fit_together(together, X, BINARY, num_steps=50)
    for index, mlp in enumerate(alone):
        assert losses[index] == pytest.approx(fit_together([mlp], X, BINARY, num_steps=50)[0])
        for a, b in zip(parameters(together[index]), parameters(mlp), strict=True):
            np.testing.assert_allclose(a, b, atol=1e-10)


def test_returns_the_loss_before_the_last_step():
    made = networks(2)
    before = [scratch.binary_cross_entropy(BINARY, mlp.predict(X)[:, 0]) for mlp in made]
    losses = fit_together(made, X, BINARY, num_steps=1)
    np.testing.assert_allclose(losses, before, atol=1e-7)


def test_learns_what_one_line_cannot():
    made = networks(10, (2, 8, 1))
    fit_together(made, X[:4], BINARY[:4], learning_rate=0.05)
    for mlp in made:
        np.testing.assert_array_equal(mlp.predict(X[:4])[:, 0] > 0.5, BINARY[:4] == 1)


def test_trained_networks_share_no_memory():
    first, second = networks(2)
    fit_together([first, second], X, BINARY, num_steps=1)
    kept = second.layers[0].weights.copy()
    first.layers[0].weights[:] = 0
    np.testing.assert_array_equal(second.layers[0].weights, kept)
    assert first.layers[0].weights.base is None


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: fit_together([], X, BINARY), ValueError, "`networks` must hold at least one"),
        (
            lambda: fit_together(networks(1)[0], X, BINARY),
            TypeError,
            "`networks` must be a sequence of MLP. Received: networks=<dlnotes",
        ),
        (
            lambda: fit_together([networks(1)[0], networks(1, (2, 4, 1))[0]], X, BINARY),
            ValueError,
            "the same shape and activations. Received: 2 different",
        ),
        (
            lambda: fit_together(networks(1, names=("tanh", "linear")), X, BINARY),
            ValueError,
            "one sigmoid unit or several softmax units. Received: units=1, activation='linear'",
        ),
        (
            lambda: fit_together(networks(1, (2, 3, 3), ("tanh", "sigmoid")), X, THREE),
            ValueError,
            "Received: units=3, activation='sigmoid'",
        ),
        (
            lambda: fit_together(networks(1, names=("step", "sigmoid")), X, BINARY),
            ValueError,
            "Hidden layers must have an activation with a derivative.*activation='step'",
        ),
        (
            lambda: fit_together(networks(1, names=("softmax", "sigmoid")), X, BINARY),
            ValueError,
            "activation='softmax'",
        ),
        (
            lambda: fit_together(networks(), X[:, :1], BINARY),
            ValueError,
            r"`x` must have shape \(any, 2\)",
        ),
        (lambda: fit_together(networks(), X, BINARY[:3]), ValueError, r"`y` must have shape \(5"),
        (
            lambda: fit_together(networks(), X, THREE),
            ValueError,
            r"`y` must hold labels 0 to 1. Received: y=\[0.0, 1.0, 2.0\]",
        ),
        (lambda: fit_together(networks(), "x", BINARY), TypeError, "`x` must be an array"),
        (
            lambda: fit_together(networks(), X, BINARY, num_steps=0),
            ValueError,
            "`num_steps` must be an integer >= 1",
        ),
        (
            lambda: fit_together(networks(), X, BINARY, learning_rate=0),
            ValueError,
            "`learning_rate` must be a finite number > 0",
        ),
    ],
)
def test_refusals(call, error, match):
    with pytest.raises(error, match=match):
        call()


def test_a_refused_call_changes_nothing():
    made = networks(1)
    before = [array.copy() for array in parameters(made[0])]
    with pytest.raises(ValueError, match="`y` must hold labels"):
        fit_together(made, X, THREE)
    for kept, now in zip(before, parameters(made[0]), strict=True):
        np.testing.assert_array_equal(kept, now)


def test_docstrings():
    check_docstring(fit_together)
