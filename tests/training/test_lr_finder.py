import functools

import numpy as np
import pytest
from contracts import Refusal, check_docstring, check_refusals

from dlnotes.datasets import load_digits
from dlnotes.runtime import quiet_start

with quiet_start():
    import keras
    import tensorflow as tf

    from dlnotes.training import OneCycle, RangeTest, find_learning_rate

RNG = np.random.default_rng(5)
X = RNG.normal(size=(96, 3)).astype("float32")
Y = (X @ [1.0, -2.0, 0.5] + RNG.normal(size=96) * 0.1).astype("float32")


@functools.cache  # it is put back after each use, as these tests prove
def line():
    keras.utils.set_random_seed(3)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, name="line")])
    model.compile("sgd", loss="mse")
    return model


@functools.cache
def stateful():
    """A model with every kind of state, and some training behind it."""
    keras.utils.set_random_seed(4)
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((3,)),
            layers.Dense(8, activation="relu", name="hidden"),
            layers.BatchNormalization(name="norm"),
            layers.Dropout(0.3, name="dropout"),
            layers.Dense(1, name="output"),
        ]
    )
    optimizer = keras.optimizers.Adam(0.01, use_ema=True)
    model.compile(optimizer, loss="mse", metrics=["mae"])
    for _ in range(3):
        model.train_on_batch(X[:32], Y[:32])
    return model


@functools.cache
def teller():
    """A model whose loss is its target, whatever it learns."""
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, name="line")])
    model.compile("sgd", loss=lambda y, prediction: y + 0 * prediction)
    return model


def state(model):
    variables = [*model.variables, *model.metrics_variables, *model.optimizer.variables]
    return {f"{i} {v.path}": v.numpy() for i, v in enumerate(variables)}


def assert_same_state(model, before):
    after = state(model)
    assert list(after) == list(before)
    for name, value in before.items():
        np.testing.assert_array_equal(after[name], value, name)


class Breaks:
    """Batches whose fifth raises."""

    def __init__(self, error):
        self.error = error

    def __iter__(self):
        for number in range(10):
            if number == 4:
                raise self.error
            yield X[:32], Y[:32]


# === What it measures ===


def test_rates_losses_and_smoothing_are_those_of_a_loop_by_hand():
    batches = [(X[i : i + 32], Y[i : i + 32]) for i in (0, 32, 64)]
    options = {"low": 1e-4, "high": 0.5, "num_steps": 30, "smoothing": 0.8}
    result = find_learning_rate(line(), batches, **options)
    assert result.explosion is None
    np.testing.assert_allclose(result.rates, 1e-4 * 5000 ** (np.arange(30) / 29))
    w, b = (part.astype(float) for part in line().get_weights())
    for i, rate in enumerate(result.rates):
        x, y = batches[i % 3]  # started again when they end
        miss = x @ w[:, 0] + b - y
        assert result.losses[i] == pytest.approx(np.mean(miss**2), rel=1e-3)
        w, b = w - rate * 2 * (x.T @ miss / 32)[:, None], b - rate * 2 * miss.mean()
        past = 0.8 ** np.arange(i, -1, -1)  # the newest loss has weight 1
        mean = past @ result.losses[: i + 1] / past.sum()
        assert result.smoothed[i] == pytest.approx(mean, rel=1e-12)


def planted(losses, smoothing=0.0):
    batches = [(np.zeros((1, 1)), np.full((1, 1), loss)) for loss in losses]
    return find_learning_rate(teller(), batches, num_steps=len(losses), smoothing=smoothing)


def test_the_test_stops_halfway_back_and_suggests_a_tenth_of_the_best_rate():
    losses = [2.1, 1.9] * 5 + [1.5, 1.0, 1.2, 1.49, 1.0, 1.52, 0.0, 0.0, 0.0, 0.0]
    result = planted(losses)
    np.testing.assert_allclose(result.losses, losses[:15], rtol=1e-6)
    rates = 10 ** np.linspace(-6, 1, 20)
    assert result.explosion == pytest.approx(rates[15])
    assert result.suggestion == pytest.approx(rates[11] / 10)


def test_losses_that_vary_much_are_given_their_spread():
    losses = [1.5, 2.5] * 5 + [1.6, 2.5, 2.5, 2.59] + [2.61] * 6
    result = planted(losses)  # halfway back is 1.8, two standard deviations up are 2.6
    assert len(result.losses) == 14
    assert result.explosion == pytest.approx(1e-6 * 1e7 ** (14 / 19))


def test_a_loss_that_is_not_finite_is_an_explosion():
    for broken in (np.nan, np.inf):
        result = planted([2.0] * 10 + [1.0] * 5 + [broken] * 5)
        assert len(result.losses) == 15
        assert result.explosion == pytest.approx(1e-6 * 1e7 ** (15 / 19))


def test_a_lucky_batch_at_the_start_is_not_taken_for_the_best():
    result = planted([0.5] + [2.0] * 10 + [1.9, 1.6, 1.4, 1.3] + [1.5] * 5, smoothing=0.5)
    assert np.argmin(result.smoothed) == 0
    assert result.suggestion == pytest.approx(1e-7 * 1e7 ** (14 / 19))
    assert result.explosion is None


def test_arrays_are_dealt_by_the_generator_into_full_batches():
    kwargs = {"batch_size": 40, "num_steps": 20, "high": 0.5}
    default = find_learning_rate(line(), X, Y, **kwargs)
    np.testing.assert_array_equal(find_learning_rate(line(), X, Y, **kwargs).losses, default.losses)
    other = find_learning_rate(line(), X, Y, **kwargs, rng=np.random.default_rng(1))
    assert (other.losses != default.losses).any()
    rng = np.random.default_rng(1)
    dealt = []
    for _ in range(10):
        order = rng.permutation(96)
        dealt += [(X[rows], Y[rows]) for rows in (order[:40], order[40:80])]
    np.testing.assert_array_equal(find_learning_rate(line(), dealt, **kwargs).losses, other.losses)
    whole = find_learning_rate(line(), X, Y, **{**kwargs, "batch_size": 1000})
    assert np.ptp(whole.losses[:3]) < 1e-3  # all rows in each batch


def test_a_pipeline_gives_what_its_batches_give():
    batches = [(X[i : i + 32], Y[i : i + 32]) for i in (0, 32, 64)]
    pipeline = tf.data.Dataset.from_tensor_slices((X, Y)).batch(32)
    expected, result = (find_learning_rate(line(), b, num_steps=20) for b in (batches, pipeline))
    np.testing.assert_allclose(result.losses, expected.losses, rtol=1e-6)
    weighted = [(x, y, np.full(32, 0.5)) for x, y in batches]  # weights halve the loss
    halved = find_learning_rate(line(), weighted, num_steps=20)
    np.testing.assert_allclose(halved.losses[0], expected.losses[0] / 2, rtol=1e-6)


def test_the_result_is_frozen():
    result = find_learning_rate(line(), X, Y, num_steps=20)
    with pytest.raises(AttributeError):
        result.suggestion = 1.0
    with pytest.raises(ValueError, match="read-only"):
        result.losses[0] = 0


# === What it puts back ===


def test_every_kind_of_state_is_put_back_bit_for_bit():
    model = stateful()
    before = state(model)
    kinds = ("moving_mean", "seed_generator", "iteration", "learning_rate", "momentum", "total")
    assert all(any(kind in name for name in before) for kind in kinds)
    find_learning_rate(model, X, Y, high=0.1, num_steps=20)
    assert_same_state(model, before)


@pytest.mark.parametrize("error", [RuntimeError("broken pipeline"), KeyboardInterrupt()])
def test_state_is_put_back_after_an_error_and_an_interruption(error):
    model = stateful()
    before = state(model)
    with pytest.raises(type(error)):
        find_learning_rate(model, Breaks(error))
    assert_same_state(model, before)


def test_state_is_put_back_when_the_weights_have_become_nan():
    model = stateful()
    before = state(model)
    batches = [(X[:32], Y[:32])] * 15 + [(X[:32], Y[:32] * np.nan)] * 5
    result = find_learning_rate(model, batches, num_steps=20)
    assert result.explosion == pytest.approx(1e-6 * 1e7 ** (15 / 19))
    assert_same_state(model, before)


def test_a_new_optimizer_is_as_new_afterwards():
    tried, twin = keras.models.clone_model(line()), keras.models.clone_model(line())
    for model in (tried, twin):
        model.compile(keras.optimizers.Adam(0.01), loss="mse", metrics=["mae"], run_eagerly=True)
        model.set_weights(line().get_weights())
    find_learning_rate(tried, X, Y, num_steps=20)
    assert int(tried.optimizer.iterations) == 0
    assert float(tried.optimizer.learning_rate) == np.float32(0.01)
    assert not any(np.any(variable) for variable in tried.metrics_variables)
    for model in (tried, twin):
        for _ in range(3):
            model.train_on_batch(X, Y)
    for a, b in zip(tried.get_weights(), twin.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


# === On real data ===


@pytest.mark.parametrize("name", ["sgd", "adam"])
def test_on_digits_the_suggestion_trains_and_far_beyond_the_explosion_nothing_does(name):
    data = load_digits()
    x, y = data.x_train.reshape(len(data.x_train), -1), data.y_train
    keras.utils.set_random_seed(1)
    hidden = keras.layers.Dense(32, activation="relu", name="hidden")
    output = keras.layers.Dense(10, activation="softmax", name="output")
    model = keras.Sequential([keras.Input((64,)), hidden, output])
    model.compile(name, loss="sparse_categorical_crossentropy")
    result = find_learning_rate(model, x, y)
    weights, losses = model.get_weights(), {}
    for rate in (result.suggestion, 30 * result.explosion):
        model.set_weights(weights)
        model.optimizer.learning_rate = rate
        losses[rate] = model.fit(x, y, epochs=3, verbose=0).history["loss"][-1]
    good, bad = losses.values()
    assert good < 0.8
    assert not bad < 2.3  # ln 10, the loss of a network that knows nothing; or NaN


# === Refusals ===


def test_refusals_of_the_model():
    bare = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    unbuilt = keras.Sequential([keras.layers.Dense(1)])
    unbuilt.compile("sgd", loss="mse")
    unweighted = keras.Sequential([keras.Input((3,)), keras.layers.Flatten()])
    unweighted.compile("sgd", loss="mse")
    broken, frozen = keras.models.clone_model(line()), keras.models.clone_model(line())
    broken.compile("sgd", loss="mse", run_eagerly=True)
    broken.get_layer("line").bias.assign([np.nan])
    frozen.compile(keras.optimizers.SGD(OneCycle(0.1, 9)), loss="mse")
    refusals = [
        Refusal(("sgd", X, Y), {}, TypeError, "`model` must be a Keras model"),
        Refusal((bare, X, Y), {}, ValueError, "`model` must be compiled"),
        Refusal((unbuilt, X, Y), {}, ValueError, "`model` must be built and have weights"),
        Refusal((unweighted, X, Y), {}, ValueError, "`model` must be built and have weights"),
        Refusal((frozen, X, Y), {}, ValueError, "`model` must have .* rate is a number"),
        Refusal((broken, X, Y), {}, ValueError, "`model` must have finite losses.*in batch 1"),
        Refusal((line(), X, Y), {"low": 1e4, "high": 1e9}, ValueError, "finite .* smaller `low`"),
    ]
    check_refusals(find_learning_rate, refusals)
    rising = Refusal(([1.9, 2.1] * 5 + [2.0] * 10,), {}, ValueError, "`model` must learn at one of")
    check_refusals(planted, [rising])
    assert np.isnan(broken.get_weights()[1]).all()


def test_refusals_of_the_data_and_the_numbers():
    nan = np.where(np.arange(288).reshape(96, 3) == 7, np.nan, X)
    empty, lonely = tf.data.Dataset.range(0), tf.data.Dataset.range(3)
    refuse = [
        ((nan, Y), {}, ValueError, "`x` must hold finite numbers. Received: 1 of 288"),
        (([(nan, Y)],), {}, ValueError, "`model` must have finite losses.*look for NaN"),
        ((X, Y[1:]), {}, ValueError, "`x` and `y` must have the same number of rows"),
        ((X[:0], Y[:0]), {}, ValueError, "`x` must not be empty"),
        ((X, ["a"] * 96), {}, TypeError, "`y` must be an array of numbers"),
        ((X,), {}, TypeError, "`y` must be the targets when `x` is an array"),
        ((iter([(X, Y)]),), {}, TypeError, "`x` must be an array, or batches that can be started"),
        ((3,), {}, TypeError, "`x` must be an array, or batches that can be started again"),
        ((empty,), {}, ValueError, "`x` must hold at least one batch"),
        ((lonely,), {}, ValueError, r"`x` must hold batches \(inputs, targets\)"),
        ((X, Y), {"low": 0}, ValueError, "`low` must be a finite number > 0"),
        ((X, Y), {"low": 1, "high": 1}, ValueError, "`high` must be a finite number > 1"),
        ((X, Y), {"num_steps": 19}, ValueError, "`num_steps` must be an integer >= 20"),
        ((X, Y), {"smoothing": 1.0}, ValueError, r"`smoothing` must be a .* in \[0, 1\)"),
        ((X, Y), {"batch_size": 0}, ValueError, "`batch_size` must be an integer >= 1"),
        ((X, Y), {"rng": 3}, TypeError, "`rng` must be a numpy.random.Generator"),
    ]
    model = line()
    before = state(model)
    check_refusals(find_learning_rate, [Refusal((model, *args), *rest) for args, *rest in refuse])
    np.testing.assert_array_equal(model.get_weights()[0], next(iter(before.values())))


def test_docstrings():
    check_docstring(find_learning_rate)
    check_docstring(RangeTest)
