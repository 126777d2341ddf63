import warnings

import numpy as np
import pytest
from contracts import check_docstring
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes

from dlnotes import runtime, scratch

LOSSES = [
    "perceptron_loss",
    "hinge_loss",
    "mean_squared_error",
    "mean_absolute_error",
    "huber",
    "binary_cross_entropy",
    "categorical_cross_entropy",
    "sparse_categorical_cross_entropy",
]
REGRESSION = LOSSES[2:5]
ENTROPIES = LOSSES[5:]


def example(name, seed, rows, from_logits=False):
    """Random targets and predictions, away from kinks."""
    rng = np.random.default_rng(seed)
    z = rng.normal(scale=2, size=(rows, 3))
    classes = rng.integers(3, size=rows)
    if name in ("perceptron_loss", "hinge_loss"):
        return rng.choice([-1.0, 1.0], size=rows), z[:, 0]
    if name in REGRESSION:
        return rng.normal(size=z.shape), z
    if name == "binary_cross_entropy":
        return rng.uniform(size=z.shape), z if from_logits else scratch.sigmoid(z)
    y = classes if name.startswith("sparse") else np.eye(3)[classes]
    return y, z if from_logits else scratch.softmax(z)


def test_values_by_hand():
    assert scratch.perceptron_loss([1, 1, -1, -1], [2, -3, 5, -7]) == (3 + 5) / 4
    assert scratch.hinge_loss([1, 1, -1], [2, 0.25, 0.5]) == (0 + 0.75 + 1.5) / 3
    assert scratch.mean_squared_error([[1, 2]], [[3, 2]]) == 2
    assert scratch.mean_absolute_error([[1, 2]], [[3, 2]]) == 1
    assert scratch.huber([0, 0, 0], [1, -2, 5], delta=2) == (0.5 + 2 + (10 - 2)) / 3
    assert scratch.binary_cross_entropy([1, 0], [0.5, 0.75]) == pytest.approx(np.log(8) / 2)
    assert scratch.categorical_cross_entropy([[0, 1], [1, 0]], [[0.5, 0.5], [0.25, 0.75]]) == (
        pytest.approx(np.log(8) / 2)
    )
    assert scratch.sparse_categorical_cross_entropy([1, 0], [[0.5, 0.5], [0.25, 0.75]]) == (
        pytest.approx(np.log(8) / 2)
    )


@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 1000), rows=st.integers(1, 5))
@pytest.mark.parametrize("name", LOSSES[:5])
def test_gradients_agree_with_finite_differences(name, seed, rows):
    y, prediction = example(name, seed, rows)
    loss, gradient = getattr(scratch, name), getattr(scratch, f"{name}_gradient")(y, prediction)
    expected = scratch.numerical_gradient(lambda p: loss(y, p), prediction)
    np.testing.assert_allclose(gradient, expected, atol=1e-7)


@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 1000), rows=st.integers(1, 5))
@pytest.mark.parametrize("name", ENTROPIES)
def test_cross_entropy_gradients_agree_with_finite_differences(name, seed, rows):
    loss = getattr(scratch, name)
    gradient = getattr(scratch, f"{name}_gradient")
    y, z = example(name, seed, rows, from_logits=True)
    expected = scratch.numerical_gradient(lambda z: loss(y, z, from_logits=True), z)
    np.testing.assert_allclose(gradient(y, z, from_logits=True), expected, atol=1e-7)
    y, p = example(name, seed, rows)
    # Both ways of saying the same give the same loss, and the chain rule joins their gradients.
    assert loss(y, p) == pytest.approx(loss(y, z, from_logits=True), abs=1e-6)
    if name == "binary_cross_entropy":
        chained = gradient(y, p) * scratch.sigmoid_derivative(z)
    else:
        chained = np.einsum("bi,bij->bj", gradient(y, p), scratch.softmax_jacobian(z))
    np.testing.assert_allclose(chained, gradient(y, z, from_logits=True), atol=1e-9)


def test_certain_and_wrong_stays_finite():
    worst = -np.log(1e-7)
    assert scratch.binary_cross_entropy([1.0], [0.0]) == pytest.approx(worst)
    assert scratch.categorical_cross_entropy([[1, 0]], [[0, 1]]) == pytest.approx(worst)
    np.testing.assert_array_equal(scratch.binary_cross_entropy_gradient([1.0], [0.0]), [0])
    cut = scratch.categorical_cross_entropy_gradient([[1, 0]], [[0, 1]])
    np.testing.assert_array_equal(cut, [[0, 0]])
    assert scratch.binary_cross_entropy([1.0, 0.0], [-1e4, 1e4], from_logits=True) == 1e4
    assert scratch.categorical_cross_entropy([[1, 0]], [[0, 1e4]], from_logits=True) == 1e4


def test_huber_is_half_the_square_inside_delta_and_delta_times_the_size_outside():
    errors = np.array([-0.9, 0.3, 1.0])
    assert scratch.huber(0 * errors, errors) == scratch.mean_squared_error(0 * errors, errors) / 2
    far = np.array([-8.0, 5.0])
    expected = 2 * scratch.mean_absolute_error(0 * far, far) - 2
    assert scratch.huber(0 * far, far, delta=2.0) == pytest.approx(expected, abs=1e-12)
    np.testing.assert_array_equal(
        scratch.huber_gradient(0 * far, far, delta=2.0),
        2 * scratch.mean_absolute_error_gradient(0 * far, far),
    )
    # value and slope meet at δ
    step = np.array([-1e-9, 1e-9])
    assert np.ptp(scratch.huber([0, 0], 3 + step, delta=3.0, reduction="none")) < 1e-8
    assert np.ptp(scratch.huber_gradient([0, 0], 3 + step, delta=3.0)) < 1e-8


def test_at_the_target_the_gradient_of_the_absolute_error_is_zero():
    np.testing.assert_array_equal(
        scratch.mean_absolute_error_gradient([1.0, 1.0], [1.0, 2.0]), [0, 0.5]
    )


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 1000), n=st.integers(1, 40))
def test_the_mean_and_the_median_are_the_best_constants(seed, n):
    rng = np.random.default_rng(seed)
    y, others = rng.lognormal(size=n), rng.lognormal(size=30)
    for loss, best in (
        (scratch.mean_squared_error, y.mean()),
        (scratch.mean_absolute_error, np.median(y)),
    ):
        least = loss(y, np.full(n, best))
        assert all(least <= loss(y, np.full(n, c)) + 1e-12 for c in others)


@settings(deadline=None, max_examples=25)
@given(shape=array_shapes(max_dims=3, max_side=4), seed=st.integers(0, 1000))
@pytest.mark.parametrize("name", [*REGRESSION, "binary_cross_entropy"])
def test_any_shape_has_one_loss_a_row_and_a_gradient_of_its_shape(name, shape, seed):
    rng = np.random.default_rng(seed)
    y, prediction = rng.uniform(size=(2, *shape))
    loss, gradient = getattr(scratch, name), getattr(scratch, f"{name}_gradient")
    rows = loss(y, prediction, reduction="none")
    assert rows.shape == shape[:1]
    assert (rows >= 0).all()
    np.testing.assert_allclose(rows[-1], loss(y[-1:], prediction[-1:]), atol=1e-12)
    np.testing.assert_allclose(rows.mean(), loss(y, prediction), atol=1e-12)
    assert gradient(y, prediction).shape == shape
    # a step against the gradient lowers the loss
    lower = loss(y, np.clip(prediction - 1e-7 * gradient(y, prediction), 0, 1))
    assert lower <= loss(y, prediction)


@settings(deadline=None, max_examples=25)
@given(rows=st.integers(1, 6), classes=st.integers(2, 6), seed=st.integers(0, 1000))
def test_one_hot_and_class_numbers_are_two_ways_to_say_the_same(rows, classes, seed):
    rng = np.random.default_rng(seed)
    z, y = rng.normal(scale=3, size=(rows, classes)), rng.integers(classes, size=rows)
    one_hot = np.eye(classes)[y]
    for prediction, from_logits in ((z, True), (scratch.softmax(z), False)):
        options = {"from_logits": from_logits}
        for suffix, extra in (("", {}), ("", {"reduction": "none"}), ("_gradient", {})):
            np.testing.assert_array_equal(
                getattr(scratch, f"sparse_categorical_cross_entropy{suffix}")(
                    y, prediction, **options, **extra
                ),
                getattr(scratch, f"categorical_cross_entropy{suffix}")(
                    one_hot, prediction, **options, **extra
                ),
            )
    rows_alone = scratch.categorical_cross_entropy(one_hot, z, from_logits=True, reduction="none")
    np.testing.assert_allclose(
        rows_alone, -np.log(scratch.softmax(z)[np.arange(rows), y]), atol=1e-9
    )
    # raising all logits of a row changes nothing, so its gradient adds up to 0
    gradient = scratch.categorical_cross_entropy_gradient(one_hot, z, from_logits=True)
    np.testing.assert_allclose(gradient.sum(axis=1), 0, atol=1e-12)


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 1000), size=st.sampled_from([1.0, 30.0, 700.0, 1000.0]))
@pytest.mark.parametrize("name", ENTROPIES)
def test_logits_of_any_size_give_finite_values_and_gradients_without_warnings(name, seed, size):
    rng = np.random.default_rng(seed)
    z, classes = rng.uniform(-size, size, size=(5, 3)), rng.integers(3, size=5)
    z[0] = [size, -size, 0.0]
    y = classes if name.startswith("sparse") else np.eye(3)[classes]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rows = getattr(scratch, name)(y, z, from_logits=True, reduction="none")
        gradient = getattr(scratch, f"{name}_gradient")(y, z, from_logits=True)
    assert np.isfinite(rows).all()
    assert np.isfinite(gradient).all()
    assert np.abs(gradient).max() <= 1
    # a loss is at least the lead of the highest wrong score, at most that plus ln K
    if name != "binary_cross_entropy":
        lead = z.max(axis=1) - z[np.arange(5), classes]
        assert (rows >= lead - 1e-9).all()
        assert (rows <= lead + np.log(3) + 1e-9).all()


@pytest.fixture(scope="module")
def tf():
    with runtime.quiet_start():
        import tensorflow
    return tensorflow


def keras_name(name):
    return name.replace("cross_entropy", "crossentropy")


@pytest.mark.parametrize(
    ("name", "from_logits"),
    [(name, False) for name in LOSSES[2:]] + [(name, True) for name in ENTROPIES],
)
def test_values_and_gradients_are_those_of_keras_and_tensorflow(tf, name, from_logits):
    import keras

    options = {"from_logits": from_logits} if name in ENTROPIES else {}
    settings = [{"delta": 0.5}, {"delta": 3.0}] if name == "huber" else [{}]
    theirs = getattr(keras.losses, keras_name(name))
    for seed, extra in enumerate(settings * 2):
        y, prediction = example(name, seed, 7, from_logits)
        target = tf.constant(y)  # float64, or int64 for class numbers
        variable = tf.Variable(prediction, dtype=tf.float64)
        with tf.GradientTape() as tape:
            rows = theirs(target, variable, **options, **extra)
            cost = tf.reduce_mean(rows)
        assert rows.dtype == tf.float64
        ours = getattr(scratch, name)(y, prediction, reduction="none", **options, **extra)
        np.testing.assert_allclose(ours, rows.numpy(), atol=1e-7, rtol=0)
        gradient = getattr(scratch, f"{name}_gradient")(y, prediction, **options, **extra)
        expected = tape.gradient(cost, variable).numpy()
        if name in ENTROPIES[1:] and not from_logits:
            # Keras first divides each row by its sum, so its gradient has no part along the row;
            # through a softmax, which also has none, both are the same.
            jacobian = scratch.softmax_jacobian(np.log(prediction))
            gradient, expected = (
                np.einsum("bi,bij->bj", g, jacobian) for g in (gradient, expected)
            )
        np.testing.assert_allclose(gradient, expected, atol=1e-10, rtol=0)


def test_keras_agrees_at_logits_of_a_thousand(tf):
    import keras

    z = np.array([[1000.0, -1000.0, 0.0], [-1000.0, 1000.0, 999.0]])
    y, one_hot = np.array([1, 2]), np.eye(3)[[1, 2]]
    assert scratch.categorical_cross_entropy(one_hot, z, from_logits=True) == pytest.approx(
        float(keras.losses.categorical_crossentropy(one_hot, tf.constant(z), True).numpy().mean())
    )
    assert scratch.sparse_categorical_cross_entropy(y, z, from_logits=True) == pytest.approx(
        (2000 + 1 + np.log1p(np.exp(-1.0))) / 2
    )


def test_at_the_kink_the_perceptron_learns_and_the_hinge_rests():
    np.testing.assert_array_equal(scratch.perceptron_loss_gradient([1, -1], [0, 0]), [-0.5, 0.5])
    np.testing.assert_array_equal(scratch.hinge_loss_gradient([1, -1], [1, -1]), [0, 0])


@pytest.mark.parametrize("name", [*LOSSES, *(f"{name}_gradient" for name in LOSSES)])
def test_bad_arguments_are_refused(name):
    function = getattr(scratch, name)
    base = name.removesuffix("_gradient")
    y, prediction = example(base, 0, 4)
    second = "z" if base in LOSSES[:2] else "prediction"
    with pytest.raises(TypeError, match=f"`{second}` must be an array of numbers"):
        function(y, np.full(np.shape(prediction), "a"))
    with pytest.raises(ValueError, match=f"`{second}` must hold finite numbers"):
        function(y, np.full(np.shape(prediction), np.nan))
    with pytest.raises(ValueError, match="shape"):
        function(y, prediction[:-1])
    with pytest.raises(ValueError, match="must not be empty"):
        function(y[:0], prediction[:0])
    check_docstring(function)


@pytest.mark.parametrize(
    ("name", "y", "prediction", "match"),
    [
        ("perceptron_loss", [0, 1], [1, 1], r"`y` must hold the labels −1 and \+1.*\[0.0, 1.0\]"),
        ("hinge_loss", [2, 1], [1, 1], "`y` must hold the labels −1 and"),
        ("binary_cross_entropy", [2.0], [0.5], r"`y` must hold numbers in \[0, 1\].*high=2.0"),
        ("binary_cross_entropy", [1.0], [1.5], r"`prediction` must hold numbers in \[0, 1\]"),
        ("categorical_cross_entropy", [[1, 1]], [[0.5, 0.5]], "Each row of `y` must add up to 1"),
        (
            "categorical_cross_entropy",
            [[1, 0]],
            [[0.5, 0.501]],
            "row of `prediction` must add up.*1.001",
        ),
        ("categorical_cross_entropy", [1.0], [1.0], "`prediction` must be 2-dimensional"),
        (
            "sparse_categorical_cross_entropy",
            [2],
            [[0.5, 0.5]],
            "`y` must hold class numbers 0 to 1",
        ),
        ("sparse_categorical_cross_entropy", [0.5], [[0.5, 0.5]], "`y` must hold class numbers"),
    ],
)
def test_values_out_of_range_are_refused(name, y, prediction, match):
    for suffix in ("", "_gradient"):
        with pytest.raises(ValueError, match=match):
            getattr(scratch, name + suffix)(y, prediction)


@pytest.mark.parametrize("name", LOSSES[2:])
def test_an_unknown_reduction_is_refused(name):
    y, prediction = example(name, 0, 4)
    with pytest.raises(ValueError, match="`reduction` must be one of 'mean', 'none'. Received: "):
        getattr(scratch, name)(y, prediction, reduction="sum")


@pytest.mark.parametrize("function", [scratch.huber, scratch.huber_gradient])
def test_a_delta_that_is_no_positive_number_is_refused(function):
    for delta in (0, -1.0, np.inf):
        with pytest.raises(ValueError, match="`delta` must be a finite number > 0. Received: del"):
            function([0.0], [1.0], delta=delta)
    with pytest.raises(TypeError, match="`delta` must be a number. Received: delta='1'"):
        function([0.0], [1.0], delta="1")
