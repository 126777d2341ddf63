import numpy as np
import pytest
from contracts import check_docstring
from hypothesis import given, settings
from hypothesis import strategies as st

from dlnotes import scratch
from dlnotes.runtime import quiet_start
from dlnotes.scratch import CURES, cured_gradients, fit_cured, numerical_gradient, shifted, softmax

IMAGES = np.random.default_rng(0).random((12, 3, 3))
LABELS = np.arange(12) % 3
SMALL = {"hidden_units": 6, "num_classes": 3, "batch_size": 4, "num_networks": 2}


def rng(seed=0):
    return np.random.default_rng(seed)


def network(num_networks=2, inputs=9, hidden=5, classes=3, seed=4):
    generator = rng(seed)
    shapes = ((inputs, hidden), (1, hidden), (hidden, classes), (1, classes))
    return [generator.normal(size=(num_networks, *shape)) for shape in shapes]


def batch(num_networks=2, rows=4, seed=5):
    generator = rng(seed)
    targets = np.eye(3)[generator.integers(0, 3, (num_networks, rows))]
    return generator.random((num_networks, rows, 3, 3)), targets


def loss(weights, images, targets):
    w1, b1, w2, b2 = weights
    hidden = np.maximum(images.reshape(*images.shape[:2], -1) @ w1 + b1, 0)
    p = softmax(hidden @ w2 + b2)
    return -np.sum(targets * np.log(p)) / images.shape[1]  # the networks' losses, added


PENALTY = {
    None: lambda w: 0,
    "L1": lambda w: 0.3 * sum(np.abs(w[i]).sum() for i in (0, 2)),
    "L2": lambda w: 0.3 * sum((w[i] ** 2).sum() for i in (0, 2)),
    "smoothing": lambda w: 0,
}


@pytest.mark.parametrize("cure", PENALTY)
def test_gradients_match_finite_differences(cure):
    weights, (images, targets) = network(), batch()
    mixed = 0.7 * targets + 0.3 / 3 if cure == "smoothing" else targets
    gradients = cured_gradients(weights, images, targets, rng(), cure, 0.3 if cure else 0.0)
    for index in range(4):

        def total(array, index=index):
            changed = [*weights[:index], array, *weights[index + 1 :]]
            return loss(changed, images, mixed) + PENALTY[cure](changed)

        slope = numerical_gradient(total, weights[index])
        np.testing.assert_allclose(gradients[index], slope, atol=1e-6)


def test_gradients_equal_keras_with_l2_and_smoothed_targets():
    with quiet_start():
        import keras
        import tensorflow as tf

    weights, (images, targets) = network(1), batch(1)
    l2 = keras.regularizers.L2(0.2)
    options = {"kernel_regularizer": l2, "dtype": "float64"}
    layers = [keras.Input((3, 3), dtype="float64"), keras.layers.Flatten(dtype="float64")]
    layers += [keras.layers.Dense(5, "relu", **options), keras.layers.Dense(3, **options)]
    model = keras.Sequential(layers)
    model.set_weights([w[0, 0] if w.shape[1] == 1 else w[0] for w in weights])
    for cure, smoothing in (("L2", 0.0), ("smoothing", 0.2)):
        crossentropy = keras.losses.CategoricalCrossentropy(
            from_logits=True, label_smoothing=smoothing, dtype="float64"
        )
        with tf.GradientTape() as tape:
            cost = crossentropy(targets[0], model(images[0]))
            cost += sum(model.losses) if cure == "L2" else 0.0
        theirs = tape.gradient(cost, model.trainable_variables)
        ours = cured_gradients(weights, images, targets, rng(), cure, 0.2)
        for mine, slope in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(mine[0].reshape(slope.shape), slope, atol=1e-6)


def test_dropout_passes_nothing_through_units_that_were_off():
    weights, (images, targets) = network(1, hidden=200), batch(1, rows=1)
    w1_gradient = cured_gradients(weights, images, targets, rng(1), "dropout", 0.7)[0]
    plain = cured_gradients(weights, images, targets, rng(1))[0]
    silent = (w1_gradient == 0).all(axis=(0, 1)).mean() - (plain == 0).all(axis=(0, 1)).mean()
    busy = (plain != 0).any(axis=(0, 1)).mean()
    assert silent / busy == pytest.approx(0.7, abs=0.1)


def test_dropout_is_the_masked_network_with_inverted_scaling():
    weights, (images, targets) = network(), batch()
    coins = rng(9).random((2, 4, 5))
    ours = cured_gradients(weights, images, targets, rng(9), "dropout", 0.6)
    for index in (2, 3):

        def total(array, index=index):
            w = [*weights[:index], array, *weights[index + 1 :]]
            hidden = np.maximum(images.reshape(2, 4, 9) @ w[0] + w[1], 0)
            hidden = np.where(coins < 0.6, 0, hidden / 0.4)
            return -np.sum(targets * np.log(softmax(hidden @ w[2] + w[3]))) / 4

        slope = numerical_gradient(total, weights[index])
        np.testing.assert_allclose(ours[index], slope, atol=1e-6)


def test_strength_zero_changes_nothing_and_each_network_has_its_own():
    weights, (images, targets) = network(), batch()
    plain = cured_gradients(weights, images, targets, rng())
    for cure in ("L1", "L2", "dropout", "noise", "shifts", "smoothing"):
        for a, b in zip(
            cured_gradients(weights, images, targets, rng(), cure, 0.0), plain, strict=True
        ):
            np.testing.assert_array_equal(a, b)
        mixed = cured_gradients(weights, images, targets, rng(), cure, [0.0, 0.9])
        np.testing.assert_array_equal(mixed[0][0], plain[0][0])
        assert not np.allclose(mixed[0][1], plain[0][1]), cure


def test_noise_disturbs_the_inputs_alone():
    weights, (images, targets) = network(1), batch(1)
    disturbed = images.reshape(1, 4, 9) + 0.5 * rng(7).normal(size=(1, 4, 9))
    ours = cured_gradients(weights, images, targets, rng(7), "noise", 0.5)
    for a, b in zip(ours, cured_gradients(weights, disturbed, targets, rng()), strict=True):
        np.testing.assert_allclose(a, b)


def test_width_uses_the_first_units_only():
    weights, (images, targets) = network(1), batch(1)
    narrow = [weights[0][..., :2], weights[1][..., :2], weights[2][:, :2], weights[3]]
    ours = cured_gradients(weights, images, targets, rng(), "width", 2)
    theirs = cured_gradients(narrow, images, targets, rng())
    np.testing.assert_allclose(ours[0][..., :2], theirs[0])
    np.testing.assert_allclose(ours[2][:, :2], theirs[2])
    assert (ours[0][..., 2:] == 0).all()
    assert (ours[2][:, 2:] == 0).all()


@given(st.integers(1, 3), st.integers(2, 6), st.integers(2, 6))
@settings(max_examples=30, deadline=None)
def test_shifts_move_by_a_pixel_and_fill_with_zero(count, height, width):
    images = 1 + np.arange(count * height * width, dtype=float).reshape(count, height, width)
    result = shifted(images, 1.0, rng(count))
    for image, moved in zip(images, result, strict=True):
        framed = np.pad(image, 1)
        nine = [framed[i : i + height, j : j + width] for i in range(3) for j in range(3)]
        assert any(np.array_equal(moved, one) for one in nine)


def test_all_nine_places_occur_and_the_share_is_kept():
    picture = np.zeros((9000, 3, 3))
    picture[:, 1, 1] = 1
    moved = shifted(picture, 1.0, rng()).mean(axis=0)
    np.testing.assert_allclose(moved, 1 / 9, atol=0.015)
    some = shifted(picture, 0.3, rng())
    assert some[:, 1, 1].mean() == pytest.approx(1 - 0.3 * 8 / 9, abs=0.015)
    np.testing.assert_array_equal(shifted(picture, 0.0, rng()), picture)


def test_shifted_refuses_bad_input():
    with pytest.raises(ValueError, match=r"`images` must be pictures of shape"):
        shifted(np.ones((3, 3)), 1.0, rng())
    with pytest.raises(ValueError, match="`share` must lie between 0 and 1"):
        shifted(IMAGES, 1.5, rng())
    with pytest.raises(TypeError, match="`rng` must be"):
        shifted(IMAGES, 1.0, 3)


def test_training_ends_where_keras_adam_ends():
    with quiet_start():
        import keras

    options = SMALL | {"num_networks": 1, "batch_size": 12}
    start = fit_cured(IMAGES, LABELS, rng=rng(3), num_steps=1, learning_rate=1e-12, **options)
    run = fit_cured(IMAGES, LABELS, rng=rng(3), num_steps=20, learning_rate=0.02, **options)
    layers = [keras.Input((9,)), keras.layers.Dense(6, "relu"), keras.layers.Dense(3, "softmax")]
    twin = keras.Sequential(layers)
    twin.set_weights([w[0, 0].reshape(-1) if w.shape[2] == 1 else w[0, 0] for w in start.weights])
    twin.compile(keras.optimizers.Adam(0.02), "sparse_categorical_crossentropy")
    for _ in range(20):
        twin.train_on_batch(IMAGES.reshape(12, 9), LABELS)
    for mine, theirs in zip(run.weights, twin.get_weights(), strict=True):
        np.testing.assert_allclose(mine[0, 0].reshape(theirs.shape), theirs, atol=2e-4)


def test_network_starts_alike_at_every_strength_and_cure():
    plain = fit_cured(IMAGES, LABELS, rng=rng(), num_steps=15, **SMALL)
    run = fit_cured(
        IMAGES, LABELS, rng=rng(), num_steps=15, cure="L2", strengths=(0.0, 0.3), **SMALL
    )
    for mine, theirs in zip(run.weights, plain.weights, strict=True):
        assert mine.shape == (2, *theirs.shape[1:])
        np.testing.assert_allclose(mine[0], theirs[0], atol=1e-12)
    assert np.abs(run.weights[0][1]).mean() < np.abs(run.weights[0][0]).mean()
    assert not np.allclose(plain.weights[0][0, 0], plain.weights[0][0, 1])


def test_scores_are_accuracies_at_their_steps():
    watch = {"rows": (IMAGES, LABELS)}
    run = fit_cured(IMAGES, LABELS, rng=rng(), num_steps=25, every=10, watch=watch, **SMALL)
    assert run.steps.tolist() == [0, 10, 20, 25]
    assert run.scores["rows"].shape == (1, 2, 4)
    answers = run.scores_of(IMAGES)
    assert answers.shape == (1, 2, 12, 3)
    assert run.hidden(IMAGES).shape == (1, 2, 12, 6)
    expected = (answers.argmax(axis=-1) == LABELS).mean(axis=-1)
    np.testing.assert_allclose(run.scores["rows"][..., -1], expected)


def test_width_leaves_no_weight_behind_the_units_that_are_off():
    run = fit_cured(IMAGES, LABELS, rng=rng(), num_steps=5, cure="width", strengths=(2, 6), **SMALL)
    assert (run.weights[2][0, :, 2:] == 0).all()
    assert (run.weights[2][1] != 0).any(axis=-1).all()


def test_at_best_freezes_each_network_at_its_first_best_moment():
    scores = {"val": np.array([[[0.1, 0.8, 0.8, 0.2]]]), "test": np.array([[[1.0, 2.0, 3.0, 4.0]]])}
    frozen = scratch.CuredRun(np.arange(4), scores, []).at_best("val")
    assert frozen["test"].tolist() == [[[1, 2, 2, 2]]]
    assert frozen["val"].tolist() == [[[0.1, 0.8, 0.8, 0.8]]]
    with pytest.raises(ValueError, match="`by` must be one of 'val', 'test'"):
        scratch.CuredRun(np.arange(4), scores, []).at_best("train")


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"cure": "sleep"}, ValueError, "`cure` must be one of None, 'L1'"),
        ({"cure": "dropout", "strengths": (1.0,)}, ValueError, "between 0 and 0.99"),
        ({"cure": "L1", "strengths": (-1.0,)}, ValueError, "`strength` of 'L1' must lie"),
        ({"strengths": 0.0}, ValueError, "`strengths` must be 1-dimensional"),
        ({"num_networks": 0}, ValueError, "`num_networks` must be an integer >= 1"),
        ({"batch_size": 13}, ValueError, r"`batch_size` must be an integer in \[1, 12\]"),
        ({"learning_rate": 0}, ValueError, "`learning_rate` must be a finite number > 0"),
        ({"num_classes": 2}, ValueError, "`labels` must hold class numbers 0 to 1"),
        ({"strengths": (5.0,)}, ValueError, "`strength` of None must lie between 0 and 0"),
        ({"rng": 3}, TypeError, "`rng` must be a numpy.random.Generator"),
        ({"labels": LABELS[:3]}, ValueError, "the same number of rows"),
        ({"watch": {"new": (IMAGES, LABELS + 1)}}, ValueError, "`new` must hold class numbers"),
    ],
)
def test_fit_refuses_bad_input(change, error, message):
    options = {"images": IMAGES, "labels": LABELS, "rng": rng(), "num_steps": 1} | SMALL | change
    with pytest.raises(error, match=message):
        fit_cured(**options)


def test_shifts_need_pictures():
    rows, how = IMAGES.reshape(12, 9), {"cure": "shifts", "strengths": (1.0,), "num_steps": 1}
    with pytest.raises(ValueError, match=r"`images` must be pictures \(N, height, width\)"):
        fit_cured(rows, LABELS, rng=rng(), **how, **SMALL)


@pytest.mark.parametrize("name", ["shifted", "cured_gradients", "fit_cured"])
def test_docstrings(name):
    check_docstring(getattr(scratch, name))


@pytest.mark.parametrize("cure", [cure for cure in CURES if cure])
def test_every_cure_trains_and_makes_a_difference(cure):
    how = {"strengths": (3 if cure == "width" else 0.1,), "num_steps": 3}
    run = fit_cured(IMAGES, LABELS, rng=rng(), cure=cure, **how, **SMALL)
    still = fit_cured(IMAGES, LABELS, rng=rng(), cure=cure, learning_rate=1e-12, **how, **SMALL)
    plain = fit_cured(IMAGES, LABELS, rng=rng(), num_steps=3, **SMALL)
    assert np.abs(run.weights[0] - still.weights[0]).max() > 1e-3
    assert np.abs(run.weights[0] - plain.weights[0]).max() > 1e-4


def test_one_step_refuses_shapes_that_do_not_fit():
    weights, (images, targets) = network(), batch()
    rows = images.reshape(2, 4, 9)
    cured_gradients(weights, rows, targets, rng(), "noise", 0.5)
    with pytest.raises(
        ValueError, match=r"shape \(M, B, height, width\) for 'shifts'.*\(2, 4, 9\)"
    ):
        cured_gradients(weights, rows, targets, rng(), "shifts", 1.0)
    with pytest.raises(ValueError, match=r"`images` must have the shape \(M, B, D\) or"):
        cured_gradients(weights, images[0, 0], targets, rng())
    with pytest.raises(
        ValueError, match=r"`targets` must have the shape \(M, B, K\) = \(2, 4, 3\)"
    ):
        cured_gradients(weights, images, targets[0], rng())
    with pytest.raises(ValueError, match=r"`weights` must be four arrays.*shapes=\[\(9, 5\)"):
        cured_gradients([w[0] for w in weights], images, targets, rng())
