import numpy as np
import pytest
from contracts import check_docstring
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from dlnotes import scratch
from dlnotes.scratch import Activation, BentNetworks
from dlnotes.scratch.bends import Trained, check_rows

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(12, 4)), RNG.integers(3, size=12)


def build(bend="tanh", sizes=(4, 5, 5, 3), **options):
    return BentNetworks(sizes, bend, rng=np.random.default_rng(1), **{"copies": 2, **options})


@pytest.mark.parametrize("gate", [None, "sigmoid"])
@pytest.mark.parametrize("bend", ["tanh", "swish", "leaky_relu"])
def test_gradients_agree_with_finite_differences(bend, gate):
    networks = build(bend, gate=gate)
    losses, slopes = networks.gradients(X, Y)
    assert losses.shape == (2,)
    assert len(slopes) == len(networks.parameters) == (6 if gate is None else 8)
    for array, slope in zip(networks.parameters, slopes, strict=True):
        assert slope.shape == array.shape
        for index in [(0, 0, 0), (1, -1, -1)]:
            kept, h = array[index], 1e-6
            array[index] = kept + h
            above = networks.gradients(X, Y)[0][index[0]]
            array[index] = kept - h
            below = networks.gradients(X, Y)[0][index[0]]
            array[index] = kept
            assert slope[index] == pytest.approx((above - below) / (2 * h), abs=1e-7)


def test_forward_and_loss_are_those_of_the_multilayer_perceptron():
    networks = build("relu", sizes=(4, 5, 3))
    mlp = scratch.MLP((4, 5, 3), ("relu", "softmax"), rng=np.random.default_rng(2))
    for k, layer in enumerate(mlp.layers):
        layer.weights, layer.bias = networks.weights[k][1], networks.biases[k][1, 0]
    np.testing.assert_allclose(networks.forward(X)[-1].z[1], mlp.forward(X)[-1].z, atol=1e-12)
    loss = scratch.sparse_categorical_cross_entropy(Y, mlp.predict(X))
    assert networks.gradients(X, Y)[0][1] == pytest.approx(loss, abs=1e-12)
    right = np.mean(mlp.predict(X).argmax(axis=1) == Y)
    assert networks.accuracy(X, Y)[1] == right


def test_an_open_gate_gives_the_bend_and_a_closed_one_the_input():
    plain = build()
    for height, expected in ((1.0, None), (0.0, "input")):
        gate = Activation(lambda z, h=height: np.full_like(z, h), np.zeros_like)
        gated = build(gate=gate)
        gated.weights, gated.biases = plain.weights, plain.biases
        first, second, _ = gated.forward(X)
        wanted = first.a if expected else plain.forward(X)[1].a
        np.testing.assert_allclose(second.a, wanted, atol=1e-12)


def test_training_is_plain_descent_for_each_rate_and_copy():
    networks = build("relu", sizes=(4, 5, 3))
    run = networks.train(
        X, Y, rates=(0.1, 0.5), epochs=2, batch_size=5, rng=np.random.default_rng(3)
    )
    assert run.losses.shape == (2, 2, 2)
    assert run.networks.accuracy(X, Y).shape == (2, 2)
    rng, alone = np.random.default_rng(3), build("relu", sizes=(4, 5, 3))
    before = [array.copy() for array in networks.parameters]
    for _ in range(2):
        order, total = rng.permutation(12), 0.0
        for rows in (order[:5], order[5:10], order[10:]):
            loss, slopes = alone.gradients(X[rows], Y[rows])
            total = total + len(rows) * loss / 12
            for array, slope in zip(alone.parameters, slopes, strict=True):
                array -= 0.5 * slope
    np.testing.assert_allclose(run.losses[-1, 1], total, rtol=1e-12)
    for array, one in zip(run.networks.parameters, alone.parameters, strict=True):
        np.testing.assert_allclose(array[1], one, rtol=1e-12)
    for array, kept in zip(networks.parameters, before, strict=True):
        np.testing.assert_array_equal(array, kept)  # the start stays as it was


def test_one_that_diverges_leaves_the_others_alone():
    networks = build("linear", sizes=(4, 5, 5, 3))
    wild = networks.train(
        100 * X, Y, rates=(1e-5, 1e4), epochs=3, batch_size=12, rng=np.random.default_rng(3)
    )
    tame = networks.train(
        100 * X, Y, rates=(1e-5,), epochs=3, batch_size=12, rng=np.random.default_rng(3)
    )
    np.testing.assert_array_equal(wild.diverged, [[False, False], [True, True]])
    for both, one in zip(wild.networks.parameters, tame.networks.parameters, strict=True):
        np.testing.assert_array_equal(both[0], one[0])
        assert (both[1] == 0).all()
    assert np.isfinite(wild.losses).all()


def test_epochs_to_a_target():
    losses = np.array([[[0.9, 0.9]], [[0.2, 0.9]], [[0.3, 0.5]]])
    run = Trained(build(), losses, np.zeros((1, 2), dtype=bool))
    np.testing.assert_array_equal(run.epochs_to(0.25), [[2, 4]])
    np.testing.assert_array_equal(run.epochs_to(0.6), [[2, 3]])
    with pytest.raises(TypeError, match="`target` must be a number"):
        run.epochs_to("low")


def test_centring_starts_bends_that_differ_by_a_constant_as_one_function():
    tanh, slope = scratch.tanh, scratch.tanh_derivative
    lifted = build(Activation(lambda z: tanh(z) + 1, slope))
    plain = build("tanh")
    assert not np.allclose(lifted.forward(X)[-1].z, plain.forward(X)[-1].z)
    np.testing.assert_allclose(lifted.centre().forward(X)[-1].z, plain.forward(X)[-1].z, atol=1e-12)
    np.testing.assert_array_equal(plain.centre().biases[1], 0)


def test_scale_multiplies_hidden_weights_only():
    plain, large = build(), build(scale=4.0)
    for k, factor in enumerate((4, 4, 1)):
        np.testing.assert_allclose(large.weights[k], factor * plain.weights[k], rtol=1e-12)
    assert np.abs(plain.weights[0]).max() <= np.sqrt(6 / 9)


z_arrays = arrays(
    np.float64, array_shapes(min_dims=2, max_dims=4, max_side=4), elements=st.floats(-2, 2)
)


@settings(deadline=None, max_examples=50)
@given(z_arrays)
def test_a_unit_is_dead_exactly_if_no_row_reaches_zero(z):
    dead = scratch.dead_units(z)
    assert dead.shape == (*z.shape[:-2], z.shape[-1])
    np.testing.assert_array_equal(dead, z.max(axis=-2) < 0)
    agree = scratch.share_a_sign(z)
    same = ((z > 0).all(axis=-2)) | ((z < 0).all(axis=-2))
    np.testing.assert_array_equal(agree, same)


def test_a_dead_relu_unit_gets_no_gradient_and_a_leaky_one_does():
    for bend, silent in (("relu", True), ("leaky_relu", False)):
        networks = build(bend, sizes=(4, 5, 3))
        networks.biases[0][:, :, 2] -= 50
        assert scratch.dead_units(networks.forward(X)[0].z)[:, 2].all()
        slopes = networks.gradients(X, Y)[1]
        assert (np.abs(slopes[0][..., 2]).max() == 0) == silent
        assert np.abs(slopes[0][..., :2]).max() > 0


def test_costs_are_ratios():
    costs = scratch.bend_costs((4, 400), rounds=5)
    assert len(costs) == 3
    assert costs[0] > costs[2] > 0.2  # the exponential drowns in a wide layer
    for bad, message in (({"widths": (0,)}, "`widths`"), ({"rounds": 0}, "`rounds`")):
        with pytest.raises(ValueError, match=message):
            scratch.bend_costs(**{"widths": (4,), **bad})


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match=r"`activation` must be one of .*'bent'"):
        build("bent")
    with pytest.raises(TypeError, match="`bend` must be the name of an activation, or an Act"):
        build(np.tanh)
    for bend in ("softmax", "step"):
        with pytest.raises(ValueError, match="`bend` must have a derivative for each unit"):
            build(bend)
    with pytest.raises(ValueError, match=r"`gate` must be None for hidden layers of different"):
        build(sizes=(4, 5, 6, 3), gate="sigmoid")
    with pytest.raises(ValueError, match=r"at least inputs and classes. Received: sizes=\(4,\)"):
        build(sizes=(4,))
    with pytest.raises(TypeError, match="`sizes` must be a sequence of integers"):
        build(sizes="ab")
    with pytest.raises(ValueError, match="`copies`"):
        build(copies=0)
    with pytest.raises(ValueError, match="`scale`"):
        build(scale=0.0)
    with pytest.raises(TypeError, match="`rng`"):
        BentNetworks((4, 3), "relu", rng=1)
    networks = build()
    with pytest.raises(ValueError, match="`x` must"):
        networks.forward(np.ones((2, 3)))
    with pytest.raises(ValueError, match=r"`y` must hold whole numbers from 0 to 2"):
        networks.gradients(X, np.full(12, 3))
    good = {"rates": (0.1,), "epochs": 1, "rng": np.random.default_rng(0)}
    for change, message in (
        ({"rates": (0.1, -1.0)}, "`rates` must be > 0"),
        ({"epochs": 0}, "`epochs`"),
        ({"batch_size": 0}, "`batch_size` must be"),
    ):
        with pytest.raises(ValueError, match=message):
            networks.train(X, Y, **{**good, **change})
    with pytest.raises(ValueError, match=r"`z` must have at least two axes"):
        check_rows([1.0])
    with pytest.raises(ValueError, match=r"`slopes` must have at least two axes"):
        scratch.share_a_sign([1.0])


def test_docstrings():
    for thing in (BentNetworks, scratch.dead_units, scratch.share_a_sign, scratch.bend_costs):
        check_docstring(thing)
