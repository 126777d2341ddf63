import numpy as np
import pytest
from contracts import Refusal, check_docstring, check_refusals

from dlnotes.runtime import quiet_start

with quiet_start():
    import keras

    from dlnotes.training import Versions, fit_versions

LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
X, Y = np.random.default_rng(0).normal(size=(20, 3)).astype("float32"), np.arange(20) % 2


def build():
    layers = [keras.Input((3,)), keras.layers.Dense(4, "relu"), keras.layers.Dense(2)]
    return keras.Sequential(layers)


def fit(versions, seed=0, **options):
    keras.utils.set_random_seed(seed)
    options = {"learning_rate": 0.05, "copies": 2, "epochs": 2, "batch_size": 6} | options
    return fit_versions(build, versions, Y, LOSS, rng=np.random.default_rng(seed), **options)


def train_alone(model, x, y):
    model.reset_metrics()
    return model.train_on_batch(x, y)


def test_docstrings():
    check_docstring(fit_versions)
    check_docstring(Versions)


def test_each_copy_ends_where_keras_takes_it():
    done = fit({"as it is": X, "negative": -X})
    rng = np.random.default_rng(0)
    orders = [[rng.permutation(20)[:18].reshape(3, 6) for _ in range(2)] for _ in range(2)]
    keras.utils.set_random_seed(0)
    for copy, epochs in enumerate(orders):
        model = build()
        start = model.get_weights()
        for name, x in (("as it is", X), ("negative", -X)):
            model.set_weights(start)
            model.compile(keras.optimizers.Adam(0.05), LOSS)
            losses = [[train_alone(model, x[r], Y[r]) for r in epoch] for epoch in epochs]
            for ours, theirs in zip(done.weights[name][copy], model.get_weights(), strict=True):
                np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5)
            np.testing.assert_allclose(done.losses[name][copy], np.mean(losses, axis=1), atol=1e-5)


def test_each_version_may_have_a_rate_of_its_own():
    rates = {"fast": 0.05, "slow": 0.001}
    together = fit(dict.fromkeys(rates, X), learning_rate=rates)
    for name, rate in rates.items():
        alone = fit({name: X}, learning_rate=rate)
        for ours, theirs in zip(together.weights[name][1], alone.weights[name][1], strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6)
    with pytest.raises(ValueError, match=r"`learning_rate` must hold one number for each version"):
        fit({"fast": X}, learning_rate=rates)


def test_a_schedule_begins_anew_with_each_training():
    def after(*steps):
        return keras.optimizers.schedules.PiecewiseConstantDecay(steps, [0.05, 1e-12])

    held = fit({"a": X, "b": X}, learning_rate=after(2), epochs=2)  # three steps, then none
    once = fit({"a": X, "b": X}, learning_rate=0.05, epochs=1)
    for name in ("a", "b"):  # copy 0 sees the same first epoch in both
        for ours, theirs in zip(held.weights[name][0], once.weights[name][0], strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6)


def test_a_function_is_called_for_each_epoch_of_each_copy():
    calls = []

    def rows():
        calls.append(1)
        return X

    done = fit({"drawn": rows, "given": X})
    assert len(calls) == 4
    for drawn, given in zip(done.weights["drawn"], done.weights["given"], strict=True):
        for a, b in zip(drawn, given, strict=True):
            np.testing.assert_array_equal(a, b)


def test_load_and_accuracy():
    x = np.where(Y, 1.0, -1.0)[:, None] * np.ones(3)
    done = fit({"clear": x, "none": 0 * x}, epochs=20)
    np.testing.assert_array_equal(done.accuracy("clear", x, Y), [1, 1])
    np.testing.assert_array_equal(done.accuracy("none", 0 * x, Y), [0.5, 0.5])
    for ours, own in zip(
        done.load("clear", 1).get_weights(), done.weights["clear"][1], strict=True
    ):
        np.testing.assert_array_equal(ours, own)
    with pytest.raises(ValueError, match=r"`name` must be one of.*Received: name='x'"):
        done.load("x")
    with pytest.raises(ValueError, match=r"`copy` must be"):
        done.load("clear", 2)


def test_batch_normalization_keeps_each_version_to_itself():
    def normalized():
        return keras.Sequential(
            [
                keras.Input((3,)),
                keras.layers.BatchNormalization(momentum=0.5),
                keras.layers.Dense(2),
            ]
        )

    options = {"learning_rate": 0.05, "copies": 1, "epochs": 5, "batch_size": 20}
    versions = {"far": X + 100, "near": X}
    rng = np.random.default_rng(0)
    done = fit_versions(normalized, versions, Y, LOSS, rng=rng, **options)
    means = {name: weights[0][2] for name, weights in done.weights.items()}
    assert (means["far"] > 90).all()
    assert (np.abs(means["near"]) < 1).all()


def test_refusals():
    rng = np.random.default_rng(0)
    good = {"learning_rate": 0.1, "rng": rng, "batch_size": 5}
    shape = r"`versions\['cut'\]` must have the shape \(20, 3\). Received: shape=\(19, 3\)"
    check_refusals(
        fit_versions,
        [
            Refusal((build, X, Y, LOSS), good, TypeError, "`versions` must be rows by name"),
            Refusal((build, {}, Y, LOSS), good, TypeError, "`versions` must be rows by name"),
            Refusal((3, {"x": X}, Y, LOSS), good, TypeError, "`build` must be a function"),
            Refusal((lambda: 3, {"x": X}, Y, LOSS), good, TypeError, "`build` must return a built"),
            Refusal((build, {"cut": X[1:]}, Y, LOSS), good, ValueError, shape),
            Refusal((build, {"cut": lambda: X[1:]}, Y, LOSS), good, ValueError, shape),
            Refusal(
                (build, {"x": X}, Y, LOSS), good | {"batch_size": 21}, ValueError, "`batch_size`"
            ),
            Refusal((build, {"x": X}, Y, LOSS), good | {"rng": 1}, TypeError, "`rng` must be"),
            Refusal(
                (build, {"x": X}, Y, LOSS), good | {"learning_rate": 0}, ValueError, "rate` must"
            ),
        ],
    )
