import math

import numpy as np
import pytest
from contracts import Refusal, check_docstring, check_refusals
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from dlnotes import scratch
from dlnotes.runtime import quiet_start

with quiet_start():
    import keras
    import tensorflow as tf

FUNCTIONS = (
    scratch.salt_and_pepper,
    scratch.gaussian_noise,
    scratch.gaussian_kernel,
    scratch.gaussian_blur,
    scratch.mirror_border,
    scratch.median_filter,
    scratch.psnr,
)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_docstrings(function):
    check_docstring(function)


def pictures(*shape):
    return np.random.default_rng(0).random(shape)


@given(st.integers(2, 7), st.integers(2, 7), st.integers(0, 2), st.sampled_from([0.4, 1.0, 3.0]))
@settings(max_examples=20, deadline=None)
def test_filters_equal_scipy(height, width, radius, sigma):
    images = pictures(2, height, width, 2)
    size = (1, 2 * radius + 1, 2 * radius + 1, 1)
    expected = ndimage.median_filter(images, size=size, mode="reflect")
    np.testing.assert_array_equal(scratch.median_filter(images, radius), expected)
    expected = ndimage.gaussian_filter(images, sigma, radius=radius, axes=(1, 2), mode="reflect")
    blurred = scratch.gaussian_blur(images, sigma, radius)
    np.testing.assert_allclose(blurred, expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(blurred[1], scratch.gaussian_blur(images[1], sigma, radius))


def test_blur_equals_keras_away_from_the_border():
    # Keras fills with 0 beyond the border, and cuts the bell where its kernel ends
    images = pictures(1, 11, 11, 1)
    expected = keras.ops.image.gaussian_blur(images.astype("float32"), (5, 5), (1.2, 1.2))
    result = scratch.gaussian_blur(images, 1.2, radius=2)
    inner = (slice(None), slice(2, -2), slice(2, -2))
    np.testing.assert_allclose(result[inner], np.asarray(expected)[inner], rtol=0, atol=1e-6)


def test_kernel():
    kernel = scratch.gaussian_kernel(0.7)
    assert len(kernel) == 2 * math.ceil(2.1) + 1
    np.testing.assert_allclose(kernel.sum(), 1)
    np.testing.assert_allclose(kernel, kernel[::-1])
    np.testing.assert_allclose(np.log(kernel[3] / kernel[2]), 1 / (2 * 0.7**2))
    np.testing.assert_array_equal(scratch.gaussian_kernel(2.0, 0), [1.0])


def test_a_filter_leaves_a_flat_picture_alone():
    flat = np.full((5, 4, 3), 0.3)
    np.testing.assert_allclose(scratch.gaussian_blur(flat, 1.0), flat)
    np.testing.assert_array_equal(scratch.median_filter(flat, 2), flat)


def test_salt_and_pepper_hits_whole_pixels_at_the_rate():
    images = np.full((200, 200, 3), 100.0)
    noisy = scratch.salt_and_pepper(images, 0.3, np.random.default_rng(0), low=0, high=255)
    white, black = noisy == 255, noisy == 0
    np.testing.assert_array_equal(white.all(axis=-1), white.any(axis=-1))
    np.testing.assert_allclose([white.mean(), black.mean()], 0.15, atol=0.01)
    assert set(np.unique(noisy)) == {0, 100, 255}
    rng = np.random.default_rng(0)
    np.testing.assert_array_equal(scratch.salt_and_pepper(images, 0.0, rng), images)
    assert not (scratch.salt_and_pepper(images, 1.0, rng) == 100).any()


def test_gaussian_noise_has_the_spread_and_stays_in_range():
    images = np.full((200, 200, 1), 0.5)
    noisy = scratch.gaussian_noise(images, 0.1, np.random.default_rng(0))
    np.testing.assert_allclose([noisy.mean(), noisy.std()], [0.5, 0.1], atol=0.002)
    wild = scratch.gaussian_noise(images, 5.0, np.random.default_rng(0), low=-1, high=2)
    assert (wild.min(), wild.max()) == (-1, 2)


def test_median_removes_single_hits_and_gives_way_to_a_majority():
    picture = np.zeros((5, 5, 1))
    picture[2, 2] = 1
    assert not scratch.median_filter(picture).any()
    picture[1:4, 1:4] = 1
    assert scratch.median_filter(picture)[2, 2, 0] == 1


def test_psnr_equals_tensorflow():
    images, originals = pictures(6, 5, 3), pictures(6, 5, 3)[::-1]
    expected = tf.image.psnr(images, originals, 1.0).numpy()
    np.testing.assert_allclose(scratch.psnr(images, originals), expected, rtol=1e-6)
    bytes_ = scratch.psnr(255 * images, 255 * originals, value_range=255)
    np.testing.assert_allclose(bytes_, expected, rtol=1e-6)
    assert scratch.psnr(images, images) == math.inf


def test_refusals():
    x, rng = np.zeros((4, 6, 3)), np.random.default_rng(0)
    check_refusals(
        scratch.salt_and_pepper,
        [
            Refusal((x, 1.1, rng), {}, ValueError, "`rate` must be"),
            Refusal((x, 0.1, 3), {}, TypeError, "`rng` must be"),
            Refusal((x, 0.1, rng), {"low": 1.0}, ValueError, "`high` must be"),
            Refusal((x[..., 0], 0.1, rng), {}, ValueError, "`images` must have the shape"),
        ],
    )
    check_refusals(
        scratch.gaussian_noise,
        [
            Refusal((x, -1, rng), {}, ValueError, "`spread` must be"),
            Refusal((x, 1, None), {}, TypeError, "`rng` must be"),
        ],
    )
    check_refusals(
        scratch.gaussian_kernel,
        [
            Refusal((0,), {}, ValueError, "`sigma` must be"),
            Refusal((1.0, -1), {}, ValueError, "`radius` must be an integer >= 0"),
            Refusal((1.0, 1.5), {}, TypeError, "`radius` must be an integer"),
        ],
    )
    wide = r"`radius` must not exceed height and width. Received: radius=5, .*\(4, 6, 3\)"
    check_refusals(scratch.mirror_border, [Refusal((x, 5), {}, ValueError, wide)])
    check_refusals(scratch.median_filter, [Refusal((x, 5), {}, ValueError, wide)])
    check_refusals(scratch.gaussian_blur, [Refusal((x, 1.0, 5), {}, ValueError, wide)])
    check_refusals(
        scratch.psnr,
        [
            Refusal((x, x[1:]), {}, ValueError, r"`originals` must have shape \(4, 6, 3\)"),
            Refusal((x, x), {"value_range": 0}, ValueError, "`value_range` must be"),
        ],
    )
