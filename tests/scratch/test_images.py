import numpy as np
import pytest
from contracts import Refusal, check_docstring, check_refusals
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from dlnotes import scratch
from dlnotes.runtime import quiet_start
from dlnotes.scratch.images import check_factor, check_images

with quiet_start():
    import keras
    import tensorflow as tf

FUNCTIONS = (
    scratch.min_max,
    scratch.standardize,
    scratch.decimate,
    scratch.average_blocks,
    scratch.repeat_pixels,
    scratch.interpolation_matrix,
    scratch.resize_bilinear,
    scratch.rgb_to_gray,
    scratch.rgb_to_yuv,
    scratch.yuv_to_rgb,
    scratch.flip,
    scratch.warp,
    scratch.rotate,
    scratch.shift,
    scratch.zoom,
)


@pytest.fixture
def images():
    return np.random.default_rng(0).random((2, 12, 8, 3))


@pytest.mark.parametrize("function", FUNCTIONS)
def test_docstrings(function):
    check_docstring(function)


def close(actual, expected, tolerance=1e-12):
    np.testing.assert_allclose(np.asarray(actual), np.asarray(expected), rtol=0, atol=tolerance)


def test_scalings_equal_keras(images):
    close(scratch.min_max(images, 0.25, 0.75), (images - 0.25) / 0.5)
    layer = keras.layers.Rescaling(1 / 255, dtype="float64")
    close(scratch.min_max(255 * images, 0, 255), layer(255 * images), 1e-6)
    flat = images.copy()
    flat[..., 1] = 0.5  # a channel that never changes
    mean, spread = flat.mean(axis=(0, 1, 2)), flat.std(axis=(0, 1, 2))
    layer = keras.layers.Normalization(mean=mean, variance=spread**2)
    close(scratch.standardize(flat, mean, spread), layer(flat), 1e-5)
    result = scratch.standardize(images, images.mean(), images.std())
    close([result.mean(), result.std()], [0, 1])


@pytest.mark.parametrize("factor", [1, 2, 4])
def test_whole_factors_equal_tensorflow(images, factor):
    size = (12 // factor, 8 // factor)
    nearest = keras.layers.Resizing(*size, interpolation="nearest", dtype="float64")
    close(scratch.decimate(images, factor), nearest(images), 1e-7)
    area = tf.image.resize(images, size, method="area")
    close(scratch.average_blocks(images, factor), area, 1e-6)
    larger = keras.layers.UpSampling2D(factor, dtype="float64")
    close(scratch.repeat_pixels(images, factor), larger(images))
    close(scratch.average_blocks(scratch.repeat_pixels(images, factor), factor), images)


@pytest.mark.parametrize("factor", [3, 7])
def test_odd_factors_equal_tensorflow(factor):
    images = np.random.default_rng(0).random((2, 3 * factor, 2 * factor, 3))
    nearest = keras.layers.Resizing(3, 2, interpolation="nearest", dtype="float64")
    close(scratch.decimate(images, factor), nearest(images), 1e-7)
    area = tf.image.resize(images, (3, 2), method="area")
    close(scratch.average_blocks(images, factor), area, 1e-6)


@given(st.tuples(*[st.integers(1, 9)] * 4))
@settings(max_examples=15, deadline=None)
def test_bilinear_equals_keras(sizes):
    height, width, new_height, new_width = sizes
    images = np.random.default_rng(0).random((2, height, width, 2))
    expected = keras.layers.Resizing(new_height, new_width)(images)
    close(scratch.resize_bilinear(images, new_height, new_width), expected, 1e-5)
    matrix = scratch.interpolation_matrix(height, new_height)
    close(matrix.sum(axis=1), np.ones(new_height))
    assert (np.count_nonzero(matrix, axis=1) <= 2).all()


def test_colours_equal_tensorflow(images):
    close(scratch.rgb_to_yuv(images), tf.image.rgb_to_yuv(images), 1e-6)
    close(scratch.yuv_to_rgb(images), tf.image.yuv_to_rgb(images), 1e-6)
    close(scratch.yuv_to_rgb(scratch.rgb_to_yuv(images)), images)
    # TensorFlow rounds the weight of red to 0.2989
    close(scratch.rgb_to_gray(images), tf.image.rgb_to_grayscale(images), 1.1e-4)
    close(scratch.rgb_to_gray(images), scratch.rgb_to_yuv(images)[..., :1])
    gray = scratch.rgb_to_gray(images)
    close(scratch.gray_to_rgb(gray), tf.image.grayscale_to_rgb(tf.constant(gray)))
    close(scratch.rgb_to_gray(scratch.gray_to_rgb(gray)), gray)
    with pytest.raises(ValueError, match="must have 1 channels"):
        scratch.gray_to_rgb(images)
    gray = np.full((1, 1, 3), 0.3)
    close(scratch.rgb_to_yuv(gray), [[[0.3, 0, 0]]])
    blue, red = (scratch.rgb_to_yuv(np.eye(3)[None, [i]])[0, 0] for i in (2, 0))
    close([blue[1], red[2]], [0.436, 0.615], 1e-4)  # the ends of U and V


def test_flips_equal_numpy_and_tensorflow(images):
    close(scratch.flip(images, "horizontal"), tf.image.flip_left_right(images))
    close(scratch.flip(images, "vertical"), tf.image.flip_up_down(images))


@pytest.mark.parametrize("degrees", [0, 15, 90, -33.3, 180, 270])
def test_rotation_equals_scipy(images, degrees):
    turned = {"axes": (1, 2), "order": 1, "reshape": False, "mode": "grid-constant"}
    close(scratch.rotate(images, degrees), ndimage.rotate(images, degrees, **turned), 1e-9)
    square = images[:, :8]
    close(scratch.rotate(square, 90), np.rot90(square, axes=(1, 2)), 1e-9)


@given(st.floats(-9, 9), st.floats(-9, 9))
@settings(max_examples=15, deadline=None)
def test_shift_equals_scipy(down, right):
    images = np.random.default_rng(0).random((2, 6, 5, 1))
    expected = ndimage.shift(images, (0, down, right, 0), order=1, mode="grid-constant")
    close(scratch.shift(images, down, right), expected, 1e-9)


@pytest.mark.parametrize("factor", [0.5, 1.0, 1.7, 3.0])
def test_zoom_equals_scipy(images, factor):
    middle = (np.array(images.shape[1:3]) - 1) / 2
    offset = middle - middle / factor
    expected = [
        ndimage.affine_transform(channel, np.eye(2) / factor, offset, order=1, mode="grid-constant")
        for channel in np.moveaxis(images, -1, 1).reshape(-1, *images.shape[1:3])
    ]
    expected = np.moveaxis(np.reshape(expected, (2, 3, 12, 8)), 1, -1)
    close(scratch.zoom(images, factor), expected, 1e-9)


def test_warp_equals_keras(images):
    matrix, offset = np.array([[0.9, -0.3], [0.2, 1.1]]), np.array([0.7, -1.2])
    middle = (np.array([12, 8]) - 1) / 2
    shifted = middle + offset - matrix @ middle
    (a, b), (c, d) = matrix[::-1, ::-1]  # Keras puts columns before rows
    transform = [a, b, shifted[1], c, d, shifted[0], 0, 0]
    expected = keras.ops.image.affine_transform(
        images.astype("float32"), np.array(transform, "float32"), fill_mode="constant"
    )
    close(scratch.warp(images, matrix, offset), expected, 1e-5)


def test_one_picture_is_as_good_as_a_batch(images):
    for change in (
        lambda x: scratch.decimate(x, 2),
        lambda x: scratch.average_blocks(x, 2),
        lambda x: scratch.repeat_pixels(x, 2),
        lambda x: scratch.resize_bilinear(x, 5, 11),
        scratch.rgb_to_gray,
        scratch.rgb_to_yuv,
        lambda x: scratch.flip(x, "vertical"),
        lambda x: scratch.rotate(x, 20),
    ):
        before = images.copy()
        close(change(images)[1], change(images[1]))
        np.testing.assert_array_equal(images, before)  # nothing is changed in place


def test_refusals():
    x = np.zeros((4, 6, 3))
    gray = r"`images` must have the shape \(H, W, C\).*`x\[..., None\]`.*\(9, 28, 28\)"
    check_refusals(
        check_images,
        [
            Refusal((np.zeros((9, 28, 28)),), {}, ValueError, gray),
            Refusal((np.zeros((4, 4)),), {}, ValueError, r"images.shape=\(4, 4\)"),
            Refusal((np.zeros((1, 2, 4, 4, 3)),), {}, ValueError, "at most 4 channels"),
            Refusal(("picture",), {}, TypeError, "`images` must be an array of numbers"),
            Refusal((np.full((2, 2, 1), np.nan),), {}, ValueError, "finite numbers"),
        ],
    )
    divides = r"`factor` must divide height and width. Received: factor=4, .*\(4, 6, 3\)"
    check_refusals(
        check_factor,
        [
            Refusal((x, 4), {}, ValueError, divides),
            Refusal((x, 0), {}, ValueError, "`factor` must be an integer >= 1"),
            Refusal((x, 2.0), {}, TypeError, "`factor` must be an integer"),
        ],
    )
    for function in (scratch.rgb_to_gray, scratch.rgb_to_yuv, scratch.yuv_to_rgb):
        wrong = Refusal((x[..., :1],), {}, ValueError, r"must have 3 channels.*\(4, 6, 1\)")
        check_refusals(function, [wrong])
    check_refusals(scratch.min_max, [Refusal((x, 1, 1), {}, ValueError, "`high` must be")])
    check_refusals(
        scratch.standardize,
        [
            Refusal((x, 0, -1), {}, ValueError, "`spread` must not be negative"),
            Refusal((x, "a", 1), {}, TypeError, "`mean` must be an array of numbers"),
        ],
    )
    check_refusals(
        scratch.flip, [Refusal((x, "left"), {}, ValueError, "horizontal.*Received: .*left")]
    )
    check_refusals(scratch.zoom, [Refusal((x, 0), {}, ValueError, "`factor` must be")])
    check_refusals(scratch.rotate, [Refusal((x, np.inf), {}, ValueError, "`degrees` must be")])
    check_refusals(scratch.shift, [Refusal((x, 1, "2"), {}, TypeError, "`right` must be")])
    check_refusals(
        scratch.warp,
        [Refusal((x, np.eye(3)), {}, ValueError, r"`matrix` must have shape \(2, 2\)")],
    )
    check_refusals(
        scratch.interpolation_matrix,
        [Refusal((3, 0), {}, ValueError, "`num_new` must be an integer >= 1")],
    )
