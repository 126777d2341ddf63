import numpy as np
import pytest
from contracts import Refusal, check_refusals
from hypothesis import given, settings
from hypothesis import strategies as st

from dlnotes.runtime import quiet_start

with quiet_start():
    import keras

    from dlnotes.explain import ImageClassifier, fgsm, loss_gradient, pgd, sign_noise

layers = keras.layers
RNG = np.random.default_rng(6)
X = RNG.random((20, 5, 5, 1))
Y = RNG.integers(0, 3, 20)


def linear(num_classes=3):
    keras.utils.set_random_seed(7)
    return keras.Sequential(
        [
            keras.Input((5, 5, 1), dtype="float64"),
            layers.Flatten(dtype="float64"),
            layers.Dense(num_classes, activation="softmax", dtype="float64", name="output"),
        ]
    )


def curved():
    keras.utils.set_random_seed(8)
    stack = [layers.Conv2D(6, 3, activation="relu"), layers.Flatten(), layers.Dense(3)]
    return keras.Sequential([keras.Input((5, 5, 1)), *stack])


LINEAR, CURVED = linear(), curved()


def test_fgsm_equals_the_formula_by_hand():
    weights, bias = LINEAR.get_layer("output").get_weights()
    scores = X.reshape(20, 25) @ weights + bias
    p = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    gradient = ((p - np.eye(3)[Y]) @ weights.T).reshape(X.shape)
    wanted = np.clip(X + 0.1 * np.sign(gradient), 0, 1)
    np.testing.assert_allclose(fgsm(LINEAR, X, Y, 0.1), wanted, rtol=0, atol=1e-15)
    towards = np.clip(X - 0.1 * np.sign(gradient), 0, 1)
    np.testing.assert_allclose(fgsm(LINEAR, X, Y, 0.1, targeted=True), towards, atol=1e-15)


def test_one_full_step_of_pgd_is_fgsm_and_on_a_line_more_steps_change_nothing():
    once = pgd(LINEAR, X, Y, 0.1, num_steps=1, step_size=0.1)
    np.testing.assert_allclose(once, fgsm(LINEAR, X, Y, 0.1), atol=1e-15)
    two, y = linear(num_classes=2), Y % 2  # one weight difference: its signs never change
    for how in ({}, {"loss": "margin"}, {"targeted": True}):
        one, many = fgsm(two, X, y, 0.1, **how), pgd(two, X, y, 0.1, num_steps=10, **how)
        np.testing.assert_allclose(many, one, rtol=0, atol=1e-12)
        assert np.abs(one - X).max() > 0.09


@pytest.mark.parametrize("targeted", [False, True])
@pytest.mark.parametrize("loss", ["cross_entropy", "margin"])
def test_pgd_equals_its_steps_by_hand(loss, targeted):
    x = X.astype("float32")
    start = x + np.random.default_rng(4).uniform(-0.2, 0.2, x.shape).astype("float32")
    wanted = np.clip(start, 0.0, 1.0)
    for _ in range(5):
        slope = loss_gradient(CURVED, wanted, Y, loss=loss)
        wanted = np.clip(wanted + (-0.07 if targeted else 0.07) * np.sign(slope), 0.0, 1.0)
        wanted = np.clip(wanted, x - 0.2, x + 0.2)  # the ball is around x
    how = {"loss": loss, "targeted": targeted}
    steps = {"num_steps": 5, "step_size": 0.07, "rng": np.random.default_rng(4)}
    found = pgd(CURVED, x, Y, 0.2, **steps, **how)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-6)
    assert np.abs(found - fgsm(CURVED, x, Y, 0.2, **how)).max() > 0.05  # CURVED is no line


@given(
    epsilon=st.floats(0, 0.6),
    num_steps=st.integers(1, 4),
    step_size=st.floats(0.01, 2),
    targeted=st.booleans(),
    low=st.floats(-3, -0.5),
)
@settings(max_examples=15, deadline=None)
def test_attacks_stay_in_the_ball_and_in_the_range(epsilon, num_steps, step_size, targeted, low):
    x = (low + X[:6] * (1 - low)).astype("float32")  # from low to 1
    limits = {"value_range": (low, 1.0), "targeted": targeted}
    steps = {"num_steps": num_steps, "step_size": step_size, "rng": np.random.default_rng(0)}
    x = np.clip(x, low, 1)
    for attacked in (
        fgsm(CURVED, x, Y[:6], epsilon, **limits),
        pgd(CURVED, x, Y[:6], epsilon, **steps, **limits),
        sign_noise(x, epsilon, rng=np.random.default_rng(1), value_range=(low, 1.0)),
    ):
        assert attacked.dtype == np.float32
        assert np.abs(attacked.astype(float) - x).max() <= epsilon + 1e-6
        assert attacked.min() >= np.float32(low) - 1e-6
        assert attacked.max() <= 1


def test_epsilon_0_changes_nothing():
    x = X.astype("float32")
    for attacked in (fgsm(CURVED, x, Y, 0), pgd(CURVED, x, Y, 0), sign_noise(x, 0, rng=RNG)):
        np.testing.assert_array_equal(attacked, x)


def test_more_steps_raise_the_loss_further_and_the_target_comes_nearer():
    def loss(x, y):
        scores = CURVED(x)
        return float(keras.losses.sparse_categorical_crossentropy(y, scores, True).numpy().mean())

    clean, noisy = loss(X, Y), loss(sign_noise(X, 0.2, rng=RNG), Y)
    once, many = loss(fgsm(CURVED, X, Y, 0.2), Y), loss(pgd(CURVED, X, Y, 0.2, num_steps=20), Y)
    assert clean < once <= many + 1e-6
    assert noisy < (clean + once) / 2
    assert loss(pgd(CURVED, X, Y, 0.2, targeted=True), Y) < clean


def test_a_random_start_is_drawn_inside_the_ball_and_comes_from_the_generator():
    tiny = {"num_steps": 1, "step_size": 1e-9}
    x = np.full((1, 5, 5, 1), 0.5, "float32")
    a, b = (pgd(CURVED, x, [0], 0.1, rng=np.random.default_rng(2), **tiny) for _ in range(2))
    np.testing.assert_array_equal(a, b)
    assert 0.02 < np.abs(a - x).mean() < 0.08
    np.testing.assert_allclose(pgd(CURVED, x, [0], 0.1, **tiny), x, atol=1e-6)


def test_the_gradient_of_a_sure_network_is_gone_but_not_that_of_the_margin():
    model = linear()
    right = np.asarray(model(X)).argmax(axis=1)
    sure = linear()
    sure.set_weights([1e5 * w for w in model.get_weights()])
    np.testing.assert_array_equal(fgsm(sure, X, right, 0.1), X)
    attacked = fgsm(sure, X, right, 0.1, loss="margin")
    np.testing.assert_allclose(attacked, fgsm(model, X, right, 0.1, loss="margin"), atol=1e-12)
    assert np.abs(attacked - X).max() > 0.09


def test_sign_noise_moves_every_pixel_by_epsilon_either_way():
    x = np.full((100, 100), 0.5)
    noise = sign_noise(x, 0.2, rng=np.random.default_rng(3)) - x
    np.testing.assert_allclose(np.abs(noise), 0.2)
    assert abs(noise.mean()) < 0.01
    whole = sign_noise(np.array([7, 250]), 10, rng=RNG, value_range=(0, 255))
    assert whole.dtype == np.float64
    assert set(np.abs(whole - [7, 250])) <= {7, 10, 5}


def test_the_loss_gradient_through_probabilities_is_that_through_scores():
    wrapped = ImageClassifier(LINEAR, from_logits=False)
    gradient = loss_gradient(wrapped, X, Y)
    np.testing.assert_allclose(gradient, loss_gradient(LINEAR, X, Y), atol=1e-9)


@pytest.mark.parametrize("attack", [fgsm, pgd])
def test_refusals(attack):
    bad = [
        Refusal((CURVED, 255 * X, Y, 0.1), {}, ValueError, "divide by 255"),
        Refusal((CURVED, X - 0.5, Y, 0.1), {}, ValueError, "`x` must lie in value_range, 0 to 1"),
        Refusal((CURVED, X, Y, -0.1), {}, ValueError, "`epsilon` must be a finite number >= 0"),
        Refusal((CURVED, X, Y, "0.1"), {}, TypeError, "`epsilon` must be a number"),
        Refusal((CURVED, X, Y + 3, 0.1), {}, ValueError, "`y` must hold class numbers 0 to 2"),
        Refusal((CURVED, X, Y[:4], 0.1), {}, ValueError, "`y` must have one number for each"),
        Refusal((CURVED, X, None, 0.1), {}, TypeError, "`y` must be class numbers"),
        Refusal((CURVED, X, Y, 0.1), {"targeted": 1}, TypeError, "`targeted` must be True"),
        Refusal((CURVED, X, Y, 0.1), {"loss": "mse"}, ValueError, "`loss` must be one of"),
        Refusal((CURVED, X, Y, 0.1), {"value_range": (1, 0)}, ValueError, "must increase"),
        Refusal((CURVED, X, Y, 0.1), {"value_range": 1}, ValueError, "must be a pair"),
    ]
    if attack is pgd:
        bad += [
            Refusal((CURVED, X, Y, 0.1), {"num_steps": 0}, ValueError, "`num_steps` must be"),
            Refusal((CURVED, X, Y, 0.1), {"step_size": 0}, ValueError, "`step_size` must be"),
            Refusal((CURVED, X, Y, 0.1), {"rng": 3}, TypeError, "`rng` must be a numpy"),
        ]
    check_refusals(attack, bad)


def test_refusals_of_the_noise():
    check_refusals(
        sign_noise,
        [
            Refusal((X + 1, 0.1), {"rng": RNG}, ValueError, "`x` must lie in value_range"),
            Refusal((X, -1), {"rng": RNG}, ValueError, "`epsilon` must be"),
            Refusal((X, 0.1), {"rng": 1}, TypeError, "`rng` must be a numpy"),
        ],
    )
