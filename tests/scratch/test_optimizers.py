import numpy as np
import pytest
from contracts import Refusal, check_docstring, check_refusals
from hypothesis import given, settings
from hypothesis import strategies as st

from dlnotes import runtime
from dlnotes.scratch import (
    SGD,
    AdaGrad,
    Adam,
    AdamW,
    Momentum,
    Nesterov,
    Quadratic,
    RMSProp,
    ewma,
    follow,
)
from dlnotes.scratch.optimizers import check_rate, rate_at

KINDS = (SGD, Momentum, Nesterov, AdaGrad, RMSProp, Adam, AdamW)


@pytest.mark.parametrize("thing", [*KINDS, ewma])
def test_docstrings(thing):
    check_docstring(thing)


# === ewma ===


@settings(max_examples=30, deadline=None)
@given(beta=st.floats(0, 0.99), length=st.integers(1, 40))
def test_ewma_weights_fall_and_sum_to_one_minus_beta_to_the_t(beta, length):
    weights = ewma(np.eye(length), beta)[-1][::-1]
    np.testing.assert_allclose(weights, (1 - beta) * beta ** np.arange(length), atol=1e-15)
    np.testing.assert_allclose(weights.sum(), 1 - beta**length, atol=1e-12)
    corrected = ewma(np.eye(length), beta, bias_correction=True)
    np.testing.assert_allclose(corrected.sum(axis=1), 1, atol=1e-9)


def test_ewma_averages_arrays_and_leaves_them_alone():
    values = np.arange(6.0).reshape(3, 2)
    averages = ewma(values, 0.5)
    np.testing.assert_array_equal(averages, [[0, 0.5], [1, 1.75], [2.5, 3.375]])
    np.testing.assert_array_equal(values, np.arange(6.0).reshape(3, 2))


def test_ewma_refuses():
    check_refusals(
        ewma,
        [
            Refusal(([], 0.5), {}, ValueError, "`values` must not be empty"),
            Refusal((3.0, 0.5), {}, ValueError, "`values` must be a sequence"),
            Refusal(("ab", 0.5), {}, TypeError, "`values` must be an array of numbers"),
            Refusal(([1.0], 1.0), {}, ValueError, r"`beta` must be a finite number in \[0, 1\)"),
            Refusal(([1.0], "b"), {}, TypeError, "`beta` must be a number"),
            Refusal(([1.0], 0.5, 1), {}, TypeError, "`bias_correction` must be True or False"),
        ],
    )


# === The same steps as Keras ===


@pytest.fixture(scope="module")
def keras():
    with runtime.quiet_start():
        import keras
    return keras


# Keras rounds the rate, the momentum and the betas to 32 bits: these are exact there.
RATE, SHARE, LONG, DECAY = 2.0**-6, 0.875, 1 - 2.0**-10, 2.0**-8


def twins(keras):
    of = keras.optimizers
    return {
        "sgd": (SGD(RATE), of.SGD(RATE)),
        "momentum": (Momentum(RATE, SHARE), of.SGD(RATE, momentum=SHARE)),
        "nesterov": (Nesterov(RATE, SHARE), of.SGD(RATE, momentum=SHARE, nesterov=True)),
        "adagrad": (AdaGrad(RATE, 0.125), of.Adagrad(RATE, 0.125)),
        "adagrad from 0": (AdaGrad(RATE, 0.0, 1e-3), of.Adagrad(RATE, 0.0, 1e-3)),
        "rmsprop": (RMSProp(RATE, 0.8, 1e-4), of.RMSprop(RATE, 0.8, epsilon=1e-4)),
        "adam": (Adam(RATE, SHARE, LONG), of.Adam(RATE, SHARE, LONG)),
        "adam, large epsilon": (Adam(RATE, SHARE, LONG, 0.1), of.Adam(RATE, SHARE, LONG, 0.1)),
        "adamw": (AdamW(RATE, DECAY, SHARE, LONG), of.AdamW(RATE, DECAY, SHARE, LONG)),
        "adagrad, defaults": (AdaGrad(1e-3), of.Adagrad()),
        "rmsprop, defaults": (RMSProp(1e-3), of.RMSprop()),
        "adam, defaults": (Adam(1e-3), of.Adam()),
        "adamw, defaults": (AdamW(1e-3), of.AdamW()),
    }


@pytest.mark.parametrize(
    "name",
    [
        "sgd",
        "momentum",
        "nesterov",
        "adagrad",
        "adagrad from 0",
        "rmsprop",
        "adam",
        "adam, large epsilon",
        "adamw",
        "adagrad, defaults",
        "rmsprop, defaults",
        "adam, defaults",
        "adamw, defaults",
    ],
)
def test_a_hundred_steps_equal_keras(keras, name):
    ours, theirs = twins(keras)[name]
    rng = np.random.default_rng(3)
    weights = rng.normal(size=(2, 3))
    variable = keras.Variable(weights, dtype="float64")
    scale = np.array([[1e-4, 1e-2, 1.0], [10.0, 0.0, 1.0]])  # one weight never has a gradient
    tolerance = 1e-6 if "defaults" in name else 1e-11
    for _ in range(100):
        gradient = scale * rng.normal(size=(2, 3))
        weights = ours.step(weights, gradient)
        theirs.apply([keras.ops.convert_to_tensor(gradient, "float64")], [variable])
        np.testing.assert_allclose(weights, np.asarray(variable), rtol=0, atol=tolerance)
    assert ours.iterations == int(theirs.iterations) == 100


@pytest.mark.parametrize("kind", [Momentum, Adam, AdamW])
def test_a_schedule_equals_keras(keras, kind):
    def halving(step):
        return 2.0 ** -(4 + step // 4)

    class Halving(keras.optimizers.schedules.LearningRateSchedule):
        def __call__(self, step):
            return 2.0 ** -(4 + keras.ops.floor(keras.ops.cast(step, "float32") / 4))

    options = {"momentum": 0.5} if kind is Momentum else {"beta_1": SHARE, "beta_2": LONG}
    name = "SGD" if kind is Momentum else kind.__name__
    ours = kind(halving, **options)
    theirs = getattr(keras.optimizers, name)(Halving(), **options)
    weights, variable = np.ones(2), keras.Variable(np.ones(2), dtype="float64")
    for gradient in np.random.default_rng(0).normal(size=(20, 2)):
        weights = ours.step(weights, gradient)
        theirs.apply([keras.ops.convert_to_tensor(gradient, "float64")], [variable])
    tolerance = 1e-8 if kind is AdamW else 1e-11  # Keras rounds the default decay
    np.testing.assert_allclose(weights, np.asarray(variable), rtol=0, atol=tolerance)


# === What each remembers ===


def test_sgd_steps_against_the_gradient_and_counts():
    optimizer, weights = SGD(0.5), np.array([1.0, -1.0])
    np.testing.assert_array_equal(optimizer.step(weights, np.array([2.0, 4.0])), [0.0, -3.0])
    np.testing.assert_array_equal(weights, [1.0, -1.0])
    assert optimizer.iterations == 1


def test_sgd_asks_a_schedule_for_the_rate_of_each_step():
    asked = []
    optimizer = SGD(lambda t: asked.append(t) or 1 / (t + 1))
    weights = np.array([0.0])
    for _ in range(3):
        weights = optimizer.step(weights, np.array([6.0]))
    assert asked == [0, 1, 2]
    np.testing.assert_allclose(weights, -6 * (1 + 1 / 2 + 1 / 3))


def test_the_velocity_is_a_moving_average():
    gradients = np.random.default_rng(0).normal(size=(30, 4))
    optimizer = Momentum(0.01, 0.9)
    for gradient in gradients:
        optimizer.step(np.zeros(4), gradient)
    expected = -0.01 / (1 - 0.9) * ewma(gradients, 0.9)[-1]
    np.testing.assert_allclose(optimizer.velocity, expected, atol=1e-15)


def test_nesterov_is_that_of_the_papers_seen_from_ahead():
    def gradient(w):
        return np.array([1.0, 10.0]) * w + np.sin(w)

    optimizer = Nesterov(0.05, 0.8)
    weights = theta = np.array([1.0, -2.0])
    velocity = np.zeros(2)
    for _ in range(20):
        weights = optimizer.step(weights, gradient(weights))
        velocity = 0.8 * velocity - 0.05 * gradient(theta + 0.8 * velocity)
        theta = theta + velocity
        np.testing.assert_allclose(weights, theta + 0.8 * velocity, atol=1e-13)


@pytest.mark.parametrize("kind", [Momentum, Nesterov])
def test_without_memory_momentum_is_sgd(kind):
    path = [follow(o, Quadratic(np.eye(2)), [1.0, 3.0], 5) for o in (kind(0.1, 0.0), SGD(0.1))]
    np.testing.assert_array_equal(*path)


@pytest.mark.parametrize("kind", KINDS)
def test_turning_the_landscape_turns_the_walk_of_those_without_sizes(kind):
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    hessian = np.diag([1.0, 4.0, 9.0])
    start = np.array([1.0, 2.0, -1.0])
    straight = follow(kind(0.05), Quadratic(hessian), start, 20)
    turned = follow(kind(0.05), Quadratic(turn @ hessian @ turn.T), turn @ start, 20)
    same = np.allclose(straight @ turn.T, turned, atol=1e-9)
    assert same == (kind in (SGD, Momentum, Nesterov))


@pytest.mark.parametrize("kind", KINDS)
def test_the_size_of_the_loss_matters_to_those_without_sizes(kind):
    start = np.array([1.0, 2.0])
    options = {"weight_decay": 0.0} if kind is AdamW else {}
    if kind is AdaGrad:
        options = {"initial_accumulator_value": 0.0}
    paths = [
        follow(kind(0.01, **options), Quadratic(factor * np.diag([1.0, 4.0])), start, 20)
        for factor in (1, 5)
    ]
    assert np.allclose(*paths, atol=1e-5) == (kind not in (SGD, Momentum, Nesterov))


@pytest.mark.parametrize("kind", KINDS)
def test_stacked_networks_each_with_their_own_rate(kind):
    rng, rates = np.random.default_rng(2), np.array([0.1, 0.01, 0.5])
    start, gradients = rng.normal(size=(3, 4)), rng.normal(size=(6, 3, 4))
    together, weights = kind(rates[:, None]), start
    for gradient in gradients:
        weights = together.step(weights, gradient)
    for row, rate in enumerate(rates):
        alone, expected = kind(float(rate)), start[row]
        for gradient in gradients[:, row]:
            expected = alone.step(expected, gradient)
        np.testing.assert_allclose(weights[row], expected, atol=1e-14)


@pytest.mark.parametrize("kind", KINDS)
def test_a_step_changes_neither_weights_nor_gradient(kind):
    optimizer, weights, gradient = kind(0.1), np.ones(3), np.array([1.0, -2.0, 0.0])
    for _ in range(3):
        optimizer.step(weights, gradient)
    np.testing.assert_array_equal(weights, 1)
    np.testing.assert_array_equal(gradient, [1.0, -2.0, 0.0])


def test_adam_makes_first_steps_of_the_rate_and_adamw_decays_apart():
    for size in (1e-2, 1.0, 1e4):
        step = Adam(0.1).step(np.zeros(2), np.array([size, -size]))
        np.testing.assert_allclose(step, [-0.1, 0.1], rtol=1e-3)
    weights, gradient = np.array([8.0, -4.0]), np.array([3.0, 0.5])
    apart = AdamW(0.5, weight_decay=0.1).step(weights, gradient)
    expected = 0.95 * weights + Adam(0.5).step(np.zeros(2), gradient)
    np.testing.assert_allclose(apart, expected, atol=1e-12)


# === Refusals ===

GOOD = Refusal((0,), {}, ValueError, "`learning_rate` must be a finite number > 0")


@pytest.mark.parametrize(
    ("kind", "refusals"),
    [
        (SGD, [Refusal((np.nan,), {}, ValueError, "`learning_rate` must be a finite number > 0")]),
        (SGD, [Refusal((np.array([0.1, 0.0]),), {}, ValueError, "`learning_rate` must hold num")]),
        (SGD, [Refusal(("fast",), {}, TypeError, "`learning_rate` must be a number")]),
        (Momentum, [Refusal((0.1, 1.0), {}, ValueError, "`momentum` must be a finite number")]),
        (Nesterov, [Refusal((0.1, "a"), {}, TypeError, "`momentum` must be a number")]),
        (AdaGrad, [Refusal((0.1, -1.0), {}, ValueError, "`initial_accumulator_value` must be")]),
        (AdaGrad, [Refusal((0.1, 0.1, -1.0), {}, ValueError, "`epsilon` must be")]),
        (RMSProp, [Refusal((0.1, 1.0), {}, ValueError, "`rho` must be")]),
        (Adam, [Refusal((0.1, 1.0), {}, ValueError, "`beta_1` must be")]),
        (Adam, [Refusal((0.1, 0.9, -0.1), {}, ValueError, "`beta_2` must be")]),
        (AdamW, [Refusal((0.1, -0.1), {}, ValueError, "`weight_decay` must be")]),
    ],
)
def test_optimizers_refuse(kind, refusals):
    check_refusals(kind, [*refusals, GOOD])


def test_a_schedule_must_give_rates():
    for rate in (-1.0, np.inf, np.array([0.1, -0.1])):
        with pytest.raises(ValueError, match=r"`learning_rate\(iterations\)` must"):
            SGD(lambda t, rate=rate: rate).step(np.zeros(1), np.zeros(1))
    assert rate_at(check_rate(lambda t: 0.0), 3) == 0
