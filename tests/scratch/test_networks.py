import functools

import numpy as np
import pytest
from contracts import Refusal, check_docstring, check_refusals

from dlnotes import runtime
from dlnotes.scratch import (
    MLP,
    Activation,
    Networks,
    clip_by_global_norm,
    glorot_normal,
    he_normal,
    initializers,
    numerical_gradient,
    sparse_categorical_cross_entropy,
    train_at_rates,
    tune_rate,
)
from dlnotes.scratch.networks import Trained, Tuned

with runtime.quiet_start():
    import keras
    import tensorflow as tf

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(7, 4)), np.array([0, 2, 1, 1, 0, 2, 2])
BUILD = functools.partial(Networks, (4, 5, 5, 5, 3))


def build(activation="tanh", *, skip=False, copies=2, seed=1):
    rng = np.random.default_rng(seed)
    networks = BUILD(activation, he_normal, copies=copies, skip=skip, rng=rng)
    networks.biases = [0.1 * rng.normal(size=bias.shape) for bias in networks.biases]
    return networks


def keras_network(networks, copy, activations):
    """Build the same network in Keras, in float64."""
    inputs = keras.Input((4,), dtype="float64")
    x, last = inputs, len(networks.weights) - 1
    for k, (w, b) in enumerate(zip(networks.weights, networks.biases, strict=True)):
        activation = activations if k < last else "linear"
        layer = keras.layers.Dense(w.shape[2], activation=activation, dtype="float64")
        a = layer(x)
        layer.set_weights([w[copy], b[copy, 0]])
        x = keras.layers.Add(dtype="float64")([x, a]) if networks.skip and 0 < k < last else a
    return keras.Model(inputs, x)


@pytest.mark.parametrize("thing", [Networks, train_at_rates, tune_rate])
def test_docstrings(thing):
    check_docstring(thing)


@pytest.mark.parametrize("activation", ["linear", "sigmoid", "tanh", "relu"])
@pytest.mark.parametrize("skip", [False, True])
def test_scores_and_gradients_equal_keras(activation, skip):
    networks = build(activation, skip=skip)
    found = networks.gradients(X, Y)
    for copy in range(2):
        model = keras_network(networks, copy, activation)
        with tf.GradientTape() as tape:
            scores = model(tf.constant(X))
            loss = tf.reduce_mean(
                tf.nn.sparse_softmax_cross_entropy_with_logits(labels=Y, logits=scores)
            )
        np.testing.assert_allclose(networks.forward(X)[-1].a[copy], scores, atol=1e-12)
        assert np.isclose(found.losses[copy], loss, rtol=1e-12)
        theirs = tape.gradient(loss, model.trainable_variables)
        for k in range(4):
            np.testing.assert_allclose(found.weights[k][copy], theirs[2 * k], atol=1e-12)
            np.testing.assert_allclose(found.biases[k][copy, 0], theirs[2 * k + 1], atol=1e-12)


@pytest.mark.parametrize("skip", [False, True])
def test_gradients_equal_finite_differences(skip):
    networks = build("sigmoid", skip=skip, copies=1)

    def loss(weights):
        networks.weights[1] = weights
        return float(networks.gradients(X, Y).losses[0])

    start = networks.weights[1].copy()
    numerical = numerical_gradient(loss, start)
    networks.weights[1] = start
    np.testing.assert_allclose(networks.gradients(X, Y).weights[1], numerical, atol=1e-8)


@pytest.mark.parametrize("activation", ["tanh", "swish"])
@pytest.mark.parametrize("gate", ["sigmoid", "tanh"])
def test_gated_gradients_equal_finite_differences(activation, gate):
    networks = BUILD(activation, gate=gate, copies=2, rng=np.random.default_rng(1))
    found = networks.gradients(X, Y)
    assert len(found.slopes) == len(networks.parameters) == 12
    for array, slope in zip(networks.parameters, found.slopes, strict=True):
        assert slope.shape == array.shape
        for index in [(0, 0, 0), (1, -1, -1)]:
            kept, losses = array[index], []
            for step in (1e-6, -1e-6):
                array[index] = kept + step
                losses.append(networks.gradients(X, Y).losses[index[0]])
            array[index] = kept
            assert slope[index] == pytest.approx((losses[0] - losses[1]) / 2e-6, abs=1e-7)


def test_an_open_gate_gives_the_bend_and_a_closed_one_the_input():
    plain = build()
    for height in (1.0, 0.0):
        gate = Activation(lambda z, h=height: np.full_like(z, h), np.zeros_like)
        gated = BUILD("tanh", gate=gate, copies=2, rng=np.random.default_rng(2))
        gated.weights, gated.biases = plain.weights, plain.biases
        first, second = gated.forward(X)[:2]
        wanted = plain.forward(X)[1].a if height else first.a
        np.testing.assert_allclose(second.a, wanted, atol=1e-15)


def test_gates_start_nearly_closed_and_differ_from_copy_to_copy():
    networks = BUILD("tanh", gate="sigmoid", rng=np.random.default_rng(1))
    assert [g.shape for g in networks.gate_weights] == [(5, 5, 5)] * 2
    assert all((c == -1).all() for c in networks.gate_biases)
    assert not np.allclose(networks.gate_weights[0][0], networks.gate_weights[0][1])
    assert not np.allclose(networks.gate_weights[0][0], networks.weights[1][0])


def test_forward_and_loss_are_those_of_the_multilayer_perceptron():
    networks = Networks((4, 5, 3), "relu", copies=2, rng=np.random.default_rng(1))
    mlp = MLP((4, 5, 3), ("relu", "softmax"), rng=np.random.default_rng(2))
    for k, layer in enumerate(mlp.layers):
        layer.weights, layer.bias = networks.weights[k][1], networks.biases[k][1, 0]
    np.testing.assert_allclose(networks.forward(X)[-1].z[1], mlp.forward(X)[-1].z, atol=1e-12)
    loss = sparse_categorical_cross_entropy(Y, mlp.predict(X))
    assert networks.gradients(X, Y).losses[1] == pytest.approx(loss, abs=1e-12)
    assert networks.accuracy(X, Y)[1] == np.mean(mlp.predict(X).argmax(axis=1) == Y)


def test_z_gradients_are_those_of_the_biases_row_by_row():
    found = build().gradients(X, Y)
    for z, bias in zip(found.z, found.biases, strict=True):
        np.testing.assert_allclose(z.sum(axis=1, keepdims=True), bias, atol=1e-15)


def test_networks_side_by_side_do_not_see_each_other():
    together, alone = build(copies=3), build(copies=3).take([1])
    rates = np.array([0.5, 0.2, 1e9])  # the last one diverges
    options = {"epochs": 3, "batch_size": 3}
    losses = together.fit(X, Y, rate=rates, rng=np.random.default_rng(5), **options)
    lonely = alone.fit(X, Y, rate=0.2, rng=np.random.default_rng(5), **options)
    np.testing.assert_allclose(losses[:, 1], lonely[:, 0], rtol=1e-12)
    np.testing.assert_allclose(together.weights[2][1], alone.weights[2][0], rtol=1e-12)
    assert losses.shape == (3, 3)


def test_one_epoch_is_one_clipped_step_for_each_batch():
    networks = build(copies=1)
    found = networks.gradients(X, Y)
    slopes = clip_by_global_norm([*found.weights, *found.biases], 0.1)
    expected = [
        w - 0.7 * s for w, s in zip(networks.weights + networks.biases, slopes, strict=True)
    ]
    rng = np.random.default_rng(0)
    networks.fit(X, Y, rate=0.7, epochs=1, batch_size=7, max_norm=0.1, rng=rng)
    for ours, theirs in zip(networks.weights + networks.biases, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-14)


def test_a_diverged_network_becomes_zeros_and_gets_no_row_right():
    networks = build("relu", copies=2)
    alone = networks.take([0])
    networks.weights[0][1, 0] = 1e7
    networks.weights[0][1, 1:] = 0
    options = {"rate": 0.1, "epochs": 2, "batch_size": 3}
    losses = networks.fit(X, Y, rng=np.random.default_rng(0), **options)
    lonely = alone.fit(X, Y, rng=np.random.default_rng(0), **options)
    assert networks.diverged.tolist() == [False, True]
    assert np.isnan(losses[:, 1]).all()
    np.testing.assert_allclose(losses[:, 0], lonely[:, 0], rtol=1e-12)
    assert not any(array[1].any() for array in networks.parameters)
    accuracy = networks.accuracy(X, Y)
    assert accuracy[1] == 0
    assert accuracy[0] == np.mean(networks.forward(X)[-1].z[0].argmax(axis=1) == Y)


def test_a_diverged_network_stays_so_when_a_calm_rate_follows():
    wild, calm = build("linear", copies=3), build("linear", copies=3)
    options = {"epochs": 3, "batch_size": 3}
    for networks, rate in ((wild, [0.1, 1e9, 0.2]), (calm, [0.1, 0.1, 0.2])):
        networks.fit(X, Y, rate=rate, rng=np.random.default_rng(0), **options)
    assert wild.diverged.tolist() == [False, True, False]
    wild = wild.repeat(2).take(1)  # the mark survives a copy
    later, expected = (
        networks.fit(X, Y, rate=0.05, rng=np.random.default_rng(1), **options)
        for networks in (wild, calm)
    )
    assert wild.diverged.tolist() == [False, True, False]
    assert np.isnan(later[:, 1]).all()
    assert not any(array[1].any() for array in wild.parameters)
    assert wild.accuracy(X, Y)[1] == 0
    np.testing.assert_array_equal(later[:, [0, 2]], expected[:, [0, 2]])
    for ours, theirs in zip(wild.parameters, calm.parameters, strict=True):
        np.testing.assert_array_equal(ours[[0, 2]], theirs[[0, 2]])


def test_copies_differ_and_repeat_keeps_their_order():
    networks = build(copies=3)
    assert not np.allclose(networks.weights[1][0], networks.weights[1][1])
    twice = networks.repeat(2)
    assert twice.forward(X)[-1].a.shape == (2, 3, 7, 3)
    np.testing.assert_array_equal(twice.weights[1][1], networks.weights[1])
    twice.weights[1][:] = 0
    assert networks.weights[1].all()


def test_tune_rate_takes_the_best_median_and_leaves_the_start_alone():
    rng = np.random.default_rng(2)
    x = rng.normal(size=(120, 4))
    y = (x[:, 0] > 0).astype(int)
    networks = Networks((4, 8, 2), "tanh", glorot_normal, copies=5, rng=rng)
    before = networks.weights[0].copy()
    tuned = tune_rate(networks, (x, y, x, y), rates=(1e-5, 0.3, 1e6), epochs=5, rng=rng)
    np.testing.assert_array_equal(networks.weights[0], before)
    assert tuned.rate == 0.3
    assert tuned.accuracies.shape == (3, 5)
    np.testing.assert_array_equal(tuned.networks.accuracy(x, y), tuned.accuracies[1])


def test_train_at_rates_is_fit_for_each_rate():
    networks = build(copies=3)
    options = {"epochs": 4, "batch_size": 3}
    run = train_at_rates(networks, X, Y, rates=(0.1, 0.7), rng=np.random.default_rng(5), **options)
    assert run.losses.shape == (4, 2, 3)
    for ours, kept in zip(networks.parameters, build(copies=3).parameters, strict=True):
        np.testing.assert_array_equal(ours, kept)  # the start stays as it was
    networks.fit(X, Y, rate=0.7, rng=np.random.default_rng(5), **options)
    np.testing.assert_allclose(run.networks.weights[1][1], networks.weights[1], rtol=1e-12)


def test_epochs_to_a_target_count_from_one():
    losses = np.array([[[2.0, 3.0, np.nan]], [[0.5, 2.0, np.nan]], [[0.1, 2.0, np.nan]]])
    run = Trained(build(), losses)  # (3 epochs, 1 rate, 3 networks)
    np.testing.assert_array_equal(run.epochs_to(1.0), [[2, 4, 4]])
    np.testing.assert_array_equal(run.epochs_to(2.5), [[1, 2, 4]])
    with pytest.raises(TypeError, match="`target` must be a number"):
        run.epochs_to("low")


def test_refusals():
    rng = np.random.default_rng(0)
    check_refusals(
        Networks,
        [
            Refusal(((4,), "relu", he_normal), {"rng": rng}, ValueError, "inputs and classes"),
            Refusal((4, "relu", he_normal), {"rng": rng}, TypeError, "`sizes` must be a sequence"),
            Refusal(((4, 0), "relu", he_normal), {"rng": rng}, ValueError, "integer >= 1"),
            Refusal(((4, 2), "bend", he_normal), {"rng": rng}, ValueError, "`activation` must be"),
            Refusal(((4, 2), "relu", "he"), {"rng": rng}, TypeError, "`initializer` must be a"),
            Refusal(
                ((4, 3, 2, 2), "relu", he_normal),
                {"rng": rng, "skip": True},
                ValueError,
                "`sizes` must be the same for all hidden layers",
            ),
            Refusal(((4, 2), "relu", initializers.zeros), {"rng": 1}, TypeError, "`rng` must be"),
            Refusal(((4, 2), np.tanh), {"rng": rng}, TypeError, "name of an activation, or an Act"),
            Refusal(((4, 2), "softmax"), {"rng": rng}, ValueError, "a derivative for each unit"),
            Refusal(((4, 2), "step"), {"rng": rng}, ValueError, "a derivative for each unit"),
            Refusal(
                ((4, 5, 6, 3), "tanh"),
                {"rng": rng, "gate": "sigmoid"},
                ValueError,
                "`sizes` must be the same for all hidden layers",
            ),
            Refusal(
                ((4, 5, 3), "tanh"),
                {"rng": rng, "gate": "sigmoid", "skip": True},
                ValueError,
                "`gate` must be None with `skip`",
            ),
        ],
    )
    networks = build()
    check_refusals(
        networks.gradients,
        [
            Refusal((X[:, :3], Y), {}, ValueError, r"`x` must have shape \(any, 4\)"),
            Refusal((X, Y[:3]), {}, ValueError, "the same number of rows"),
            Refusal((X, Y + 1), {}, ValueError, "`y` must hold class numbers 0 to 2"),
            Refusal((X, Y / 2), {}, ValueError, "`y` must hold class numbers"),
        ],
    )
    more = {"epochs": 1, "rng": rng}
    check_refusals(
        networks.fit,
        [
            Refusal((X, Y), {"rate": 0, **more}, ValueError, "`rate` must be > 0"),
            Refusal((X, Y), {"rate": [1, 1, 1], **more}, ValueError, "`rate` must be one number"),
            Refusal((X, Y), {"rate": 1, **more, "rng": 3}, TypeError, "`rng` must be"),
            Refusal((X, Y), {"rate": 1, **more, "max_norm": 0}, ValueError, "`max_norm` must be"),
            Refusal((X, Y[1:]), {"rate": 1, **more}, ValueError, "the same number of rows"),
        ],
    )
    check_refusals(
        tune_rate,
        [
            Refusal((networks, (X, Y)), {"rates": (1,), **more}, ValueError, "the four arrays"),
            Refusal((networks, (X, Y, X, Y)), {"rates": 1.0, **more}, ValueError, "1-dimensional"),
        ],
    )


def test_take_keeps_the_axis_of_networks() -> None:
    networks = Networks((3, 4, 2), "tanh", he_normal, copies=3, rng=np.random.default_rng(0))
    one = networks.take(1)
    assert [w.shape for w in one.weights] == [(1, 3, 4), (1, 4, 2)]
    np.testing.assert_array_equal(one.weights[0][0], networks.weights[0][1])


def test_skip_gradient_does_not_lose_a_small_z_beside_a_large_input() -> None:
    networks = Networks(
        (1, 1, 1, 2),
        "relu",
        lambda shape, rng: np.ones(shape),
        copies=1,
        skip=True,
        rng=np.random.default_rng(0),
    )
    networks.weights[1][:] = 1e-17  # z = 1 beside an input of 1e17: the sum hides it
    networks.weights[2][:] = [[1e-17, 0.0]]
    found = networks.gradients(np.array([[1e17]]), np.array([1]))
    assert found.z[1].item() > 0


def test_tuned_medians_are_those_of_each_rate() -> None:
    networks = Networks((1, 2), "linear", he_normal, rng=np.random.default_rng(0))
    accuracies = np.array([[0.1, 0.2, 0.9], [0.5, 0.4, 0.3]])
    np.testing.assert_allclose(Tuned(0.1, networks, accuracies).medians, [0.2, 0.4])
