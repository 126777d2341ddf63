import math

import numpy as np
import pytest
from contracts import Refusal, check_docstring, check_refusals
from hypothesis import given
from hypothesis import strategies as st

from dlnotes import runtime
from dlnotes.scratch import initializers

with runtime.quiet_start():
    import keras
    from keras.src.initializers.random_initializers import compute_fans

SHAPE = (300, 100)  # 30,000 draws: a sample variance is good to about 1 %
VARIANCES = {
    "glorot_normal": 2 / 400,
    "glorot_uniform": 2 / 400,
    "he_normal": 2 / 300,
    "he_uniform": 2 / 300,
    "lecun_normal": 1 / 300,
    "lecun_uniform": 1 / 300,
}


def draw(name, shape=SHAPE, seed=0, **kwargs):
    return getattr(initializers, name)(shape, np.random.default_rng(seed), **kwargs)


def keras_draw(name, shape=SHAPE, seed=1):
    return np.asarray(getattr(keras.initializers, name)(seed=seed)(shape), dtype=np.float64)


def spread_of_variance(values):
    """Return the standard error of a sample's mean square, from the sample itself."""
    return np.std(values**2) / np.sqrt(values.size)


@pytest.mark.parametrize("name", ["fans", "zeros", "constant", "normal", "truncated_normal"])
def test_docstrings(name):
    check_docstring(getattr(initializers, name))


@pytest.mark.parametrize("name", VARIANCES)
def test_docstrings_of_the_family(name):
    check_docstring(getattr(initializers, name))


# === fans ===


@given(shape=st.lists(st.integers(1, 9), min_size=1, max_size=5))
def test_fans_are_those_of_keras(shape):
    assert initializers.fans(shape) == compute_fans(shape)


def test_fans_count_what_a_unit_of_a_convolution_sees():
    layer = keras.layers.Conv2D(8, (3, 5))
    layer.build((None, 20, 20, 4))
    assert initializers.fans(tuple(layer.kernel.shape)) == (3 * 5 * 4, 3 * 5 * 8)


# === fixed starts ===


def test_zeros_and_constant():
    np.testing.assert_array_equal(initializers.zeros((2, 3)), np.zeros((2, 3)))
    np.testing.assert_array_equal(initializers.constant((2, 3), value=-0.5), np.full((2, 3), -0.5))
    assert initializers.zeros((2, 3)).dtype == np.float64


def test_normal_has_the_spread_it_is_told():
    values = draw("normal", std=0.2)
    assert abs(np.mean(values**2) - 0.04) < 4 * spread_of_variance(values)
    assert abs(values.mean()) < 4 * 0.2 / np.sqrt(values.size)
    assert np.abs(values).max() > 3 * 0.2  # the tails are there
    assert not draw("normal", std=0).any()


# === variance scaling ===


@pytest.mark.parametrize("name", VARIANCES)
@pytest.mark.parametrize("shape", [SHAPE, (100, 300), (3, 3, 16, 32)])
def test_variance_is_what_theory_says(name, shape):
    fan_in, fan_out = initializers.fans(shape)
    if name.startswith("glorot"):
        variance = 2 / (fan_in + fan_out)
    else:
        variance = (2 if name.startswith("he") else 1) / fan_in
    values = draw(name, shape)
    assert values.shape == tuple(shape)
    assert values.dtype == np.float64
    error = abs(np.mean(values**2) - variance)
    assert error < 4 * spread_of_variance(values)
    assert abs(values.mean()) < 4 * np.sqrt(variance / values.size)


def test_the_bounds_above_are_narrow_enough_to_tell_the_rules_apart():
    values = draw("glorot_normal")
    uncorrected = initializers.TRUNCATED_STD**2 * VARIANCES["glorot_normal"]
    for other in (VARIANCES["he_normal"], VARIANCES["lecun_normal"], uncorrected):
        assert abs(np.mean(values**2) - other) > 10 * spread_of_variance(values)


@pytest.mark.parametrize("name", VARIANCES)
def test_same_distribution_as_keras(name):
    ours, theirs = np.sort(draw(name).ravel()), np.sort(keras_draw(name).ravel())
    # The largest gap between two empirical distribution functions of n draws each exceeds
    # 1.95 * sqrt(2 / n) in one case of a thousand (Kolmogorov and Smirnov).
    places = np.concatenate([ours, theirs])
    gap = np.searchsorted(ours, places, "right") - np.searchsorted(theirs, places, "right")
    assert np.abs(gap).max() / ours.size < 1.95 * np.sqrt(2 / ours.size)
    limit = (
        np.sqrt(3 * VARIANCES[name])
        if name.endswith("uniform")
        else 2 * np.sqrt(VARIANCES[name]) / initializers.TRUNCATED_STD
    )
    for values in (ours, theirs):
        largest = np.abs(values).max()
        assert largest <= limit * (1 + 1e-6)
        assert largest > 0.995 * limit


def test_the_correction_is_the_spread_of_a_normal_distribution_cut_at_two():
    density = math.exp(-2) / math.sqrt(2 * math.pi)
    inside = math.erf(2 / math.sqrt(2))
    assert math.isclose(
        initializers.TRUNCATED_STD, math.sqrt(1 - 4 * density / inside), rel_tol=1e-12
    )


def test_keras_truncated_normal_takes_the_spread_before_the_cut():
    theirs = np.asarray(keras.initializers.TruncatedNormal(stddev=0.1, seed=2)(SHAPE))
    ours = draw("truncated_normal", std=0.1)
    ratio = theirs.std() / ours.std()
    assert abs(ratio - initializers.TRUNCATED_STD) < 0.015


def test_what_is_cut_off_is_drawn_again_and_not_moved_to_the_edge():
    values = draw("truncated_normal", std=1.0)
    limit = 2 / initializers.TRUNCATED_STD
    assert np.mean(np.abs(values) > 0.98 * limit) < 0.01
    assert len(np.unique(values)) == values.size


@pytest.mark.parametrize("name", VARIANCES)
def test_draws_come_from_the_given_generator(name):
    np.testing.assert_array_equal(draw(name, seed=3), draw(name, seed=3))
    assert not np.array_equal(draw(name, seed=3), draw(name, seed=4))


# === refusals ===


@pytest.mark.parametrize("name", ["normal", *VARIANCES])
def test_refusals(name):
    rng = np.random.default_rng(0)
    check_refusals(
        getattr(initializers, name),
        [
            Refusal(((), rng), {}, ValueError, "`shape` must have at least one axis"),
            Refusal(((3, 0), rng), {}, ValueError, "`shape` must be an integer >= 1"),
            Refusal(((3, 1.5), rng), {}, TypeError, "`shape` must be an integer"),
            Refusal((7, rng), {}, TypeError, "`shape` must be a sequence of integers"),
            Refusal(((3, 2), 5), {}, TypeError, "`rng` must be a numpy.random.Generator"),
        ],
    )


def test_refusals_of_their_own():
    rng = np.random.default_rng(0)
    negative = Refusal(((2, 2), rng), {"std": -1.0}, ValueError, "`std` must be a finite number >=")
    check_refusals(initializers.normal, [negative])
    check_refusals(initializers.truncated_normal, [negative])
    text = Refusal(((2, 2),), {"value": "a"}, TypeError, "`value` must be a number")
    check_refusals(initializers.constant, [text])
    shape = Refusal(("ab",), {}, TypeError, "`shape` must be a sequence")
    check_refusals(initializers.fans, [shape])


# === orthogonal ===


@given(rows=st.integers(1, 8), columns=st.integers(1, 8), seed=st.integers(0, 99))
def test_orthogonal_rows_or_columns_are_at_right_angles(rows, columns, seed):
    matrix = draw("orthogonal", (rows, columns), seed, gain=3.0)
    shorter = matrix if rows <= columns else matrix.T
    np.testing.assert_allclose(shorter @ shorter.T, 9 * np.eye(min(rows, columns)), atol=1e-12)


def test_orthogonal_turns_are_equally_probable():
    rng = np.random.default_rng(0)
    draws = np.array([initializers.orthogonal((2, 2), rng) for _ in range(2000)])
    # a first row of any direction: each number is as often positive as negative
    assert np.abs(np.mean(draws > 0, axis=0) - 0.5).max() < 0.05
    assert abs(np.mean(np.linalg.det(draws) > 0) - 0.5) < 0.05


def test_orthogonal_refuses():
    check_docstring(initializers.orthogonal)
    with pytest.raises(ValueError, match=r"`shape` must have two axes. Received: shape=\(3,\)"):
        draw("orthogonal", (3,))
    with pytest.raises(TypeError, match="`gain` must be a number"):
        draw("orthogonal", (3, 3), gain="1")
