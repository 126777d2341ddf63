import numpy as np
import pytest

from dlnotes.runtime import quiet_start
from dlnotes.scratch import Networks, batches, he_normal, numerical_gradient

SIZES = (4, 6, 5, 3)
RNG = np.random.default_rng(3)
X, Y = RNG.normal(size=(20, 4)), RNG.integers(3, size=20)


def networks(sizes=SIZES, activation="tanh", **options):
    options = {"copies": 2, "rng": np.random.default_rng(1)} | options
    return Networks(sizes, activation, he_normal, **options)


@pytest.mark.parametrize("normalization", [None, "batch", "layer"])
@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize("noise", [0.0, 0.4])
def test_gradients_agree_with_finite_differences(normalization, activation, noise):
    nets = networks(activation=activation, normalization=normalization, noise=noise)
    x, y, drawn = X[:5], Y[:5], nets.draw_noise()
    gradients = nets.gradients(x, y, noise=drawn).slopes
    assert len(gradients) == len(nets.parameters) == (6 if normalization is None else 8)
    for array, gradient in zip(nets.parameters, gradients, strict=True):
        kept = array.copy()

        def loss(values, array=array, kept=kept):
            array[:] = values
            total = nets.gradients(x, y, noise=drawn).losses.sum()
            array[:] = kept
            return float(total)

        np.testing.assert_allclose(gradient, numerical_gradient(loss, kept), atol=1e-6)


@pytest.mark.parametrize("normalization", ["batch", "layer"])
def test_an_epoch_equals_keras(normalization):
    with quiet_start():
        import keras
    kind = {"batch": "BatchNormalization", "layer": "LayerNormalization"}[normalization]
    parts = [keras.Input((4,))]
    for units in SIZES[1:-1]:
        parts.append(keras.layers.Dense(units, use_bias=False, dtype="float64"))
        parts.append(getattr(keras.layers, kind)(dtype="float64"))
        parts.append(keras.layers.Activation("tanh", dtype="float64"))
    model = keras.Sequential([*parts, keras.layers.Dense(3, dtype="float64")])
    nets = networks(normalization=normalization, copies=1)
    for layer, weights in zip(model.layers[::3], nets.weights, strict=True):
        layer.kernel.assign(weights[0])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.5), loss, run_eagerly=True)
    for rows in batches(20, 6):
        theirs = model.train_on_batch(X[rows], Y[rows])
        ours = nets.step(X[rows], Y[rows], 0.5)
    assert np.isfinite(theirs)
    for layer, weights in zip(model.layers[::3], nets.weights, strict=True):
        np.testing.assert_allclose(layer.kernel.numpy(), weights[0], atol=1e-6)
    np.testing.assert_allclose(nets.forward(X)[-1].a[0], model(X, training=False), atol=1e-6)
    assert ours.shape == (1,)


def test_each_network_ends_where_it_would_end_alone():
    pair = networks(normalization="batch", copies=2)
    alone = pair.take([1])
    for nets, rate in ((pair, [0.1, 0.7]), (alone, 0.7)):
        nets.fit(X, Y, rate=rate, epochs=3, batch_size=6, rng=np.random.default_rng(5))
    for both, one in zip(pair.parameters, alone.parameters, strict=True):
        np.testing.assert_allclose(both[1:], one, atol=1e-12)
    np.testing.assert_allclose(pair.moving_variances[1][1:], alone.moving_variances[1], atol=1e-12)


def test_training_learns_and_keeps_averages():
    nets = networks(normalization="batch", momentum=0.5)
    before = [part.copy() for part in nets.moving_means]
    history = nets.fit(X, Y, rate=0.5, epochs=90, batch_size=10, rng=np.random.default_rng(0))
    assert history.shape == (90, 2)
    assert (history[-1] < history[0] / 2).all()
    assert (nets.accuracy(X, Y) > 0.8).all()
    assert all((old != new).any() for old, new in zip(before, nets.moving_means, strict=True))


def test_looking_changes_nothing():
    nets = networks(normalization="batch", noise=0.5)
    before = [part.copy() for part in (*nets.parameters, *nets.moving_means)]
    nets.forward(X, training=True), nets.accuracy(X, Y), nets.preactivations(X)
    nets.try_steps(X, Y, [0.1, 10.0])
    for old, new in zip(before, (*nets.parameters, *nets.moving_means), strict=True):
        np.testing.assert_array_equal(old, new)


def test_inference_draws_no_noise():
    nets = networks(normalization="batch", noise=0.5)
    before = nets.noise_rng.bit_generator.state
    nets.forward(X), nets.accuracy(X, Y), nets.preactivations(X, training=False)
    assert nets.noise_rng.bit_generator.state == before


def test_a_copy_draws_its_own_noise():
    nets = networks(normalization="batch", noise=0.5)
    before = nets.noise_rng.bit_generator.state
    nets.take([0]).fit(X, Y, rate=0.1, epochs=1, rng=np.random.default_rng(0))
    assert nets.noise_rng.bit_generator.state == before


def test_training_mode_centres_preactivations():
    z = networks(normalization="batch").preactivations(X)
    assert [part.shape for part in z] == [(2, 20, 6), (2, 20, 5)]
    np.testing.assert_allclose(z[1].mean(axis=1), 0, atol=1e-12)
    z = networks(normalization="layer").preactivations(X)
    np.testing.assert_allclose(z[1].mean(axis=2), 0, atol=1e-12)


def test_noise_is_within_its_limits_and_only_in_training():
    nets = networks(normalization="batch", noise=0.5, copies=50)
    (stretch, shift), _ = nets.draw_noise()
    assert stretch.shape == shift.shape == (50, 1, 6)
    assert 1 / 1.5 <= stretch.min() < 0.75 < 1.4 < stretch.max() <= 1.5
    assert -0.5 <= shift.min() < -0.4 < 0.4 < shift.max() <= 0.5
    np.testing.assert_array_equal(nets.forward(X)[-1].a, nets.forward(X)[-1].a)
    first, second = (nets.forward(X, training=True)[-1].a for _ in range(2))
    assert not np.array_equal(first, second)


def test_a_short_step_keeps_its_promise():
    nets = networks(normalization="batch", noise=0.5)
    shares, changes, lengths = nets.try_steps(X, Y, [1e-6, 30.0])
    assert lengths.shape == (2,)
    assert shares.shape == changes.shape == (2, 2)
    np.testing.assert_allclose(shares[0], 1, atol=1e-3)
    assert (changes[0] < 1e-3).all()
    assert (shares[1] < 0.5).all()
    still = networks(normalization="batch")
    one = still.take([1]).gradients(X, Y).slopes
    length = np.linalg.norm(np.concatenate([slope.ravel() for slope in one]))
    assert still.try_steps(X, Y, [0.1]).lengths[1] == pytest.approx(length)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: networks(activation="step"), ValueError, "`activation` must have a derivative"),
        (lambda: networks(normalization="group"), ValueError, "`normalization` must be one of"),
        (lambda: networks(momentum=2), ValueError, "`momentum` must be a finite number in"),
        (lambda: networks(noise=-1), ValueError, "`noise` must be a finite number >= 0"),
        (lambda: networks(copies=0), ValueError, "`copies` must be an integer >= 1"),
        (lambda: networks(rng=3), TypeError, "`rng` must be a numpy.random.Generator"),
        (lambda: networks().forward(X[:, :3]), ValueError, "`x` must have shape"),
        (lambda: networks().forward(X, training=1), TypeError, "`training` must be True or"),
        (lambda: networks().step(X, Y + 1, 0.1), ValueError, "class numbers 0 to 2"),
        (lambda: networks().step(X, Y, -0.1), ValueError, "`rate` must be > 0"),
        (lambda: networks().step(X, Y, [0.1] * 3), ValueError, "fit the shape"),
        (lambda: networks().try_steps(X, Y, [0.0]), ValueError, "`rates` must be > 0"),
        (
            lambda: networks().fit(X, Y[:3], rate=1, epochs=1, rng=RNG),
            ValueError,
            "same number of rows",
        ),
    ],
)
def test_wrong_calls_are_refused(call, error, words):
    with pytest.raises(error, match=words):
        call()
