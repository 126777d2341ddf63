import numpy as np
import pytest
from contracts import check_docstring
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from dlnotes import scratch
from dlnotes.scratch.bends import check_units

z_arrays = arrays(
    np.float64, array_shapes(min_dims=2, max_dims=4, max_side=4), elements=st.floats(-2, 2)
)


@settings(deadline=None, max_examples=50)
@given(z_arrays)
def test_a_unit_is_dead_exactly_if_no_row_is_above_zero(z):
    dead = scratch.dead_units(z)
    assert dead.shape == (*z.shape[:-2], z.shape[-1])
    np.testing.assert_array_equal(dead, z.max(axis=-2) <= 0)
    agree = scratch.share_a_sign(z)
    same = ((z > 0).all(axis=-2)) | ((z < 0).all(axis=-2))
    np.testing.assert_array_equal(agree, same)


def test_a_dead_relu_unit_gets_no_gradient_and_a_leaky_one_does():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(12, 4)), rng.integers(3, size=12)
    for bend, silent in (("relu", True), ("leaky_relu", False)):
        networks = scratch.Networks((4, 5, 3), bend, copies=2, rng=rng)
        networks.biases[0][:, :, 2] -= 50
        assert scratch.dead_units(networks.forward(x)[0].z)[:, 2].all()
        slopes = networks.gradients(x, y).weights[0]
        assert (np.abs(slopes[..., 2]).max() == 0) == silent
        assert np.abs(slopes[..., :2]).max() > 0


def test_costs_are_ratios():
    for _ in range(5):  # one quiet moment is enough
        alone, narrow, wide = scratch.bend_costs((4, 400), rounds=7)
        if (
            alone > 1.5 * wide > 0.3 and narrow > 0.3
        ):  # a wide layer's product hides the exponential
            break
    else:
        pytest.fail(f"alone {alone:.2f}, narrow layer {narrow:.2f}, wide layer {wide:.2f}")
    for bad, message in (({"widths": (0,)}, "`widths`"), ({"rounds": 0}, "`rounds`")):
        with pytest.raises(ValueError, match=message):
            scratch.bend_costs(**{"widths": (4,), **bad})


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match=r"`z` must have at least two axes"):
        check_units([1.0])
    with pytest.raises(ValueError, match=r"`slopes` must have at least two axes"):
        scratch.share_a_sign([1.0])
    with pytest.raises(TypeError, match="`z` must"):
        scratch.dead_units("ab")


@pytest.mark.parametrize(
    "thing", [scratch.dead_units, scratch.share_a_sign, scratch.bend_costs, check_units]
)
def test_docstrings(thing):
    check_docstring(thing)
