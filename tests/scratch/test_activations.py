import numpy as np
import pytest
from contracts import check_docstring
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from dlnotes import scratch
from dlnotes.scratch.activations import ACTIVATIONS

SMOOTH = ["linear", "sigmoid", "tanh", "softmax"]
batches = arrays(
    np.float64, array_shapes(min_dims=1, max_dims=3, max_side=5), elements=st.floats(-30, 30)
)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("step", [0, 1, 1]),
        ("linear", [-2, 0, 3]),
        ("relu", [0, 0, 3]),
        ("sigmoid", [0.11920292202211755, 0.5, 0.9525741268224334]),
        ("tanh", [-0.9640275800758169, 0, 0.9950547536867305]),
        ("softmax", [0.006377460922442302, 0.04712341652466416, 0.9464991225528936]),
    ],
)
def test_values(name, expected):
    result = scratch.get_activation(name).function([-2, 0, 3])
    assert result.dtype == (np.int64 if name == "step" else np.float64)
    np.testing.assert_allclose(result, expected, rtol=1e-12)


def test_large_scores_overflow_nowhere():
    with np.errstate(all="raise", under="ignore"):
        np.testing.assert_array_equal(scratch.sigmoid([-1e4, 1e4]), [0, 1])
        np.testing.assert_array_equal(scratch.softmax([1e4, 0.0]), [1, 0])
        np.testing.assert_array_equal(scratch.sigmoid_derivative([-1e4, 1e4]), [0, 0])
    # 1 − σ(40) rounds to 0; the derivative must not.
    assert scratch.sigmoid_derivative([40.0])[0] == pytest.approx(np.exp(-40.0), rel=1e-9, abs=0)


@settings(deadline=None, max_examples=50)
@given(batches)
def test_properties(z):
    np.testing.assert_allclose(scratch.sigmoid(z) + scratch.sigmoid(-z), 1, rtol=1e-12)
    np.testing.assert_allclose(scratch.tanh(z), 2 * scratch.sigmoid(2 * z) - 1, atol=1e-12)
    p = scratch.softmax(z)
    assert p.shape == z.shape
    np.testing.assert_allclose(p.sum(axis=-1), 1, rtol=1e-12)
    np.testing.assert_allclose(scratch.softmax(z + 7), p, rtol=1e-9)
    np.testing.assert_allclose(scratch.softmax(z, axis=0).sum(axis=0), 1, rtol=1e-12)


@settings(deadline=None, max_examples=30)
@given(
    arrays(np.float64, array_shapes(min_dims=2, max_dims=2, max_side=4), elements=st.floats(-4, 4))
)
def test_derivatives_agree_with_finite_differences(z):
    h = 1e-6
    for name in SMOOTH:
        function, derivative = ACTIVATIONS[name]
        slope = derivative(z)
        if name != "softmax":
            measured = (function(z + h) - function(z - h)) / (2 * h)
            np.testing.assert_allclose(slope, measured, atol=1e-8)
            continue
        assert slope.shape == (*z.shape, z.shape[-1])
        for j in range(z.shape[-1]):
            nudge = h * np.eye(z.shape[-1])[j]
            measured = (function(z + nudge) - function(z - nudge)) / (2 * h)
            np.testing.assert_allclose(slope[..., j], measured, atol=1e-8)


def test_relu_derivative_on_both_sides_and_at_the_kink():
    np.testing.assert_array_equal(scratch.relu_derivative([-1e-9, 0.0, 1e-9]), [0, 0, 1])


def test_step_jumps_at_zero_and_has_no_derivative():
    np.testing.assert_array_equal(scratch.step([-1e-300, 0.0, 1e-300]), [0, 1, 1])
    assert ACTIVATIONS["step"].derivative is None


def test_linear_gives_a_copy():
    z = np.array([1.0])
    scratch.linear(z)[0] = 5
    assert z[0] == 1


FUNCTIONS = sorted(
    {f for pair in ACTIVATIONS.values() for f in pair if hasattr(f, "__name__")},
    key=lambda f: f.__name__,
)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_bad_scores_are_refused(function):
    with pytest.raises(TypeError, match="`z` must be an array of numbers"):
        function(["a"])
    with pytest.raises(ValueError, match=r"`z` must hold finite numbers. Received: 1 of 2 are NaN"):
        function([1.0, np.nan])
    with pytest.raises(ValueError, match="`z` must be a rectangular array"):
        function([[1.0], [1.0, 2.0]])
    check_docstring(function)


def test_other_bad_arguments_are_refused():
    with pytest.raises(ValueError, match=r"`axis` must be an axis of z. Received: axis=2"):
        scratch.softmax([[1.0]], axis=2)
    with pytest.raises(ValueError, match="`axis` must be an axis of z"):
        scratch.softmax(1.0)
    with pytest.raises(TypeError, match="`axis` must be an integer"):
        scratch.softmax([1.0], axis=0.0)
    with pytest.raises(ValueError, match=r"`activation` must be one of 'linear', 'step'.*'bent'"):
        scratch.get_activation("bent")


SAFE = sorted(set(ACTIVATIONS) - {"step", "softmax"})


@pytest.mark.parametrize("name", SAFE)
def test_nothing_overflows_at_a_thousand(name):
    function, derivative = ACTIVATIONS[name]
    far = np.array([-1e3, -40.0, 40.0, 1e3])
    with np.errstate(all="raise", under="ignore"):
        values, slopes = function(far), derivative(far)
    assert np.isfinite(values).all()
    assert np.isfinite(slopes).all()
    h = 1e-3
    measured = (function(far + h) - function(far - h)) / (2 * h)
    np.testing.assert_allclose(slopes, measured, atol=1e-8)


@pytest.mark.parametrize(
    ("name", "expected"),
    [  # from series with 40 decimal digits
        ("gelu", [-0.15865525393145705, 2.9959503059051097, -7.619853024160527e-23]),
        ("swish", [-0.2689414213699951, 2.8577223804672997, -4.5397868702434394e-04]),
        ("elu", [-0.6321205588285577, 3.0, -0.9999546000702375]),
        ("selu", [-1.1113307378125628, 3.1521029620664415, -1.7580195232607870]),
        ("leaky_relu", [-0.2, 3.0, -2.0]),
    ],
)
def test_values_to_float64_accuracy(name, expected):
    np.testing.assert_allclose(ACTIVATIONS[name].function([-1, 3, -10]), expected, rtol=1e-12)


ZS = np.linspace(-6, 6, 97)  # holds 0, where the kinks are


def test_gelu_keeps_its_digits_far_to_the_left():
    # z·(1 + erf(z/√2))/2 would be exactly 0 here.
    assert scratch.gelu([-10.0])[0] == pytest.approx(-7.619853024160527e-23, rel=1e-9, abs=0)
    assert scratch.normal_cdf(-10.0) == pytest.approx(7.619853024160527e-24, rel=1e-9, abs=0)
    gap = np.abs(scratch.gelu(ZS) - scratch.gelu(ZS, approximate=True)).max()
    assert 4e-4 < gap < 5e-4


SETTINGS = [
    ("leaky_relu", {}, {}),
    ("leaky_relu", {"negative_slope": 0.01}, {"negative_slope": 0.01}),
    ("elu", {}, {}),
    ("elu", {"alpha": 0.5}, {"alpha": 0.5}),
    ("selu", {}, {}),
    ("gelu", {}, {"approximate": False}),
    ("gelu", {"approximate": True}, {"approximate": True}),
    ("swish", {}, {}),
    ("relu", {}, {}),
    ("tanh", {}, {}),
    ("sigmoid", {}, {}),
]


@pytest.mark.parametrize(("name", "ours", "theirs"), SETTINGS)
def test_values_and_slopes_are_those_of_keras(name, ours, theirs, double):
    keras, tf = double
    z = tf.constant(ZS, tf.float64)
    with tf.GradientTape() as tape:
        tape.watch(z)
        a = keras.activations.get(name)(z, **theirs)
    function = getattr(scratch, name)
    derivative = getattr(scratch, f"{name}_derivative")
    # TensorFlow keeps the constants of these two in 32 bits.
    near = {"atol": 2e-7} if name in ("gelu", "leaky_relu") else {"rtol": 1e-9, "atol": 1e-12}
    np.testing.assert_allclose(function(ZS, **ours), a, **near)
    slopes = tape.gradient(a, z)
    np.testing.assert_allclose(derivative(ZS, **ours), slopes, **near)


def test_registered_pairs_belong_together():
    for name in sorted(set(ACTIVATIONS) - {"step", "gelu_tanh"}):
        slope = "softmax_jacobian" if name == "softmax" else f"{name}_derivative"
        assert ACTIVATIONS[name] == (getattr(scratch, name), getattr(scratch, slope))
    function, derivative = ACTIVATIONS["gelu_tanh"]
    np.testing.assert_array_equal(function(ZS), scratch.gelu(ZS, approximate=True))
    np.testing.assert_array_equal(derivative(ZS), scratch.gelu_derivative(ZS, approximate=True))


@pytest.mark.parametrize("alpha_shape", [(), (3,)])
def test_prelu_is_that_of_keras(alpha_shape, double):
    keras, tf = double
    rng = np.random.default_rng(3)
    z, weights = rng.normal(size=(5, 3)), rng.normal(size=(5, 3))
    alpha = rng.uniform(0.1, 0.4, size=alpha_shape)
    layer = keras.layers.PReLU(shared_axes=None if alpha_shape else [1])
    tensor = tf.constant(z)
    layer.build(z.shape)
    layer.set_weights([np.broadcast_to(alpha, layer.weights[0].shape)])
    with tf.GradientTape() as tape:
        tape.watch(tensor)
        a = layer(tensor)
        loss = tf.reduce_sum(a * weights)
    z_gradient, alpha_gradient = tape.gradient(loss, (tensor, layer.weights[0]))
    np.testing.assert_allclose(scratch.prelu(z, alpha), a, rtol=1e-12)
    slopes = scratch.prelu_derivative(z, alpha)
    np.testing.assert_allclose(slopes * weights, z_gradient, rtol=1e-12)
    ours = scratch.prelu_alpha_gradient(z, alpha, weights)
    assert ours.shape == alpha_shape
    np.testing.assert_allclose(ours, np.reshape(alpha_gradient, alpha_shape), rtol=1e-12)
    measured = scratch.numerical_gradient(
        lambda s: float(np.sum(weights * scratch.prelu(z, s))), alpha
    )
    np.testing.assert_allclose(ours, measured, atol=1e-7)


@settings(deadline=None, max_examples=30)
@given(
    arrays(np.float64, array_shapes(min_dims=1, max_dims=3, max_side=4), elements=st.floats(-9, 9))
)
def test_properties_of_the_new_bends(z):
    np.testing.assert_allclose(scratch.swish(z) - scratch.swish(-z), z, atol=1e-12)
    np.testing.assert_allclose(scratch.gelu(z) - scratch.gelu(-z), z, atol=1e-12)
    np.testing.assert_array_equal(scratch.prelu(z, 0.2), scratch.leaky_relu(z))
    slopes = scratch.prelu_derivative(z, 0.2)
    np.testing.assert_array_equal(slopes, scratch.leaky_relu_derivative(z))
    h, smooth = 1e-6, np.abs(z) > 1e-3
    for name in ("leaky_relu", "elu", "selu", "gelu", "gelu_tanh", "swish"):
        function, derivative = ACTIVATIONS[name]
        measured = (function(z + h) - function(z - h)) / (2 * h)
        np.testing.assert_allclose(derivative(z)[smooth], measured[smooth], atol=1e-7)


def test_selu_keeps_mean_and_variance():
    z = (np.arange(200_000) + 0.5) / 200_000 * 24 - 12
    bell = np.exp(-(z**2) / 2)
    bell /= bell.sum()
    mean = np.sum(bell * scratch.selu(z))
    assert mean == pytest.approx(0, abs=1e-6)
    assert np.sum(bell * scratch.selu(z) ** 2) - mean**2 == pytest.approx(1, abs=1e-6)


def test_bad_slopes_are_refused():
    for function in (scratch.leaky_relu, scratch.leaky_relu_derivative):
        with pytest.raises(ValueError, match=r"`negative_slope` must be .*negative_slope=-0.1"):
            function([1.0], negative_slope=-0.1)
        with pytest.raises(TypeError, match="`negative_slope` must be a number"):
            function([1.0], negative_slope="0.1")
    for function in (scratch.elu, scratch.elu_derivative):
        with pytest.raises(ValueError, match=r"`alpha` must be .*Received: alpha=-1"):
            function([1.0], alpha=-1.0)
    for function in (scratch.prelu, scratch.prelu_derivative):
        with pytest.raises(
            ValueError, match=r"one for each unit of z. Received: alpha_shape=\(2,\)"
        ):
            function(np.ones((2, 3)), [0.1, 0.2])
        with pytest.raises(ValueError, match="`alpha` must"):
            function(np.ones((2, 3)), np.ones((2, 3)))
        with pytest.raises(TypeError, match="`z` must be an array of numbers"):
            function(["a"], 0.1)
        check_docstring(function)
    with pytest.raises(ValueError, match="`gradient` must"):
        scratch.prelu_alpha_gradient(np.ones((2, 3)), 0.1, np.ones(3))
    check_docstring(scratch.prelu_alpha_gradient)
