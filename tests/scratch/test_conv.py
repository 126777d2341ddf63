import numpy as np
import pytest
from contracts import Refusal, check_docstring, check_refusals
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage, signal

from dlnotes.scratch import (
    LAPLACIAN,
    PREWITT,
    SOBEL,
    add_windows2d,
    average_pool2d,
    average_pool2d_gradient,
    border,
    conv,
    conv2d,
    conv2d_gradients,
    conv2d_gradients_loops,
    conv2d_loops,
    conv_sizes,
    coverage,
    depthwise_conv2d,
    depthwise_conv2d_gradients,
    filter2d,
    global_average_pool2d,
    global_average_pool2d_gradient,
    global_max_pool2d,
    global_max_pool2d_gradient,
    max_pool2d,
    max_pool2d_gradient,
    numerical_gradient,
    output_size,
    pad2d,
    pooling,
    receptive_field,
    windows2d,
)

PUBLIC = [
    thing
    for module in (conv, conv_sizes, pooling)
    for name, thing in vars(module).items()
    if getattr(thing, "__module__", "") == module.__name__ and not name.startswith("_")
]
NOT_ROWS = np.ones((2, 5, 5))
X, KERNEL = np.ones((2, 5, 5, 3)), np.ones((3, 3, 3, 4))


def run_keras(tf, layer, x, gradient_of, weights=()):
    """Output of Keras' layer, an output gradient, and the gradients of x and all weights."""
    inputs = tf.Variable(x)
    with tf.GradientTape() as tape:
        output = layer(inputs)
    gradient = gradient_of(output.shape)
    sources = [inputs, *(weight.value for weight in layer.weights)]
    return output, gradient, tape.gradient(output, sources, output_gradients=tf.constant(gradient))


def assert_all_close(ours, theirs, atol):
    for mine, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(mine, other, rtol=0, atol=atol)


@pytest.mark.parametrize("thing", PUBLIC)
def test_docstrings(thing):
    check_docstring(thing)


# === Equal to Keras ===

CONVOLUTIONS = [
    # height, width, channels, filters, kernel, stride, padding, dilation
    (5, 5, 1, 1, (3, 3), 1, "valid", 1),
    (7, 6, 3, 4, (3, 3), 1, "same", 1),
    (7, 6, 3, 4, (3, 3), 2, "same", 1),
    (8, 7, 2, 3, (2, 4), 1, "same", 1),
    (8, 9, 2, 3, (4, 2), 3, "same", 1),
    (9, 8, 2, 3, (3, 2), 2, "valid", 1),
    (9, 9, 2, 2, (3, 3), 1, "valid", 2),
    (9, 8, 2, 2, (3, 2), 1, "same", 3),
    (4, 5, 3, 2, (1, 1), 1, "valid", 1),
    (5, 4, 3, 2, (1, 1), 3, "same", 1),
    (3, 3, 2, 2, (3, 3), 1, "valid", 1),
]


@pytest.mark.parametrize("case", CONVOLUTIONS, ids=str)
def test_convolution_and_gradients_equal_keras_in_float64(double, case):
    keras, tf = double
    height, width, channels, filters, size, stride, padding, dilation = case
    rng = np.random.default_rng(7)
    x = rng.normal(size=(2, height, width, channels))
    kernel, bias = rng.normal(size=(*size, channels, filters)), rng.normal(size=filters)
    steps = {"padding": padding, "strides": stride, "dilation_rate": dilation}
    layer = keras.layers.Conv2D(filters, size, **steps)
    layer.build(x.shape)
    layer.set_weights([kernel, bias])
    output, gradient, gradients = run_keras(tf, layer, x, lambda s: rng.normal(size=s))
    steps = {"stride": stride, "padding": padding, "dilation": dilation}
    for forward, backward in (
        (conv2d, conv2d_gradients),
        (conv2d_loops, conv2d_gradients_loops),
    ):
        np.testing.assert_allclose(forward(x, kernel, bias, **steps), output, rtol=0, atol=1e-10)
        assert_all_close(backward(gradient, x, kernel, **steps), gradients, 1e-10)


@pytest.mark.parametrize("case", CONVOLUTIONS[::3], ids=str)
def test_convolution_equals_keras_in_float32(libraries, case):
    keras, _ = libraries
    height, width, channels, filters, size, stride, padding, dilation = case
    rng = np.random.default_rng(8)
    x = rng.uniform(size=(2, height, width, channels)).astype("float32")
    steps = {"padding": padding, "strides": stride, "dilation_rate": dilation}
    layer = keras.layers.Conv2D(filters, size, **steps, bias_initializer="ones")
    output = layer(x)
    ours = conv2d(x, *layer.get_weights(), stride=stride, padding=padding, dilation=dilation)
    assert ours.dtype == np.float64
    np.testing.assert_allclose(ours, output, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("size", "multiplier", "stride", "padding", "dilation"),
    [
        ((3, 3), 1, 1, "same", 1),
        ((3, 3), 2, 2, "valid", 1),
        ((3, 2), 3, 1, "valid", 1),
        ((3, 3), 2, 1, "same", 2),
        ((2, 2), 1, 2, "same", 1),
    ],
)
def test_depthwise_convolution_equals_keras(double, size, multiplier, stride, padding, dilation):
    keras, tf = double
    rng = np.random.default_rng(9)
    x, kernel = rng.normal(size=(2, 7, 7, 3)), rng.normal(size=(*size, 3, multiplier))
    bias = rng.normal(size=3 * multiplier)
    steps = {"padding": padding, "strides": stride, "dilation_rate": dilation}
    layer = keras.layers.DepthwiseConv2D(size, depth_multiplier=multiplier, **steps)
    layer.build(x.shape)
    layer.set_weights([kernel, bias])
    output, gradient, gradients = run_keras(tf, layer, x, lambda s: rng.normal(size=s))
    steps = {"stride": stride, "padding": padding, "dilation": dilation}
    assert_all_close([depthwise_conv2d(x, kernel, bias, **steps)], [output], 1e-10)
    assert_all_close(depthwise_conv2d_gradients(gradient, x, kernel, **steps), gradients, 1e-10)


def test_separable_convolution_is_depthwise_and_then_one_by_one(double):
    keras, _ = double
    layer, x = (
        keras.layers.SeparableConv2D(4, 3),
        np.random.default_rng(0).normal(size=(2, 6, 6, 3)),
    )
    output = layer(x)
    depthwise, pointwise, bias = layer.get_weights()
    np.testing.assert_allclose(
        conv2d(depthwise_conv2d(x, depthwise), pointwise, bias), output, rtol=0, atol=1e-10
    )


@pytest.mark.parametrize("values", ["distinct", "tied"])
@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize(("size", "stride"), [(2, None), (3, 2), (3, 1), (2, 3), (1, 1)])
@pytest.mark.parametrize("kind", ["Max", "Average"])
def test_pooling_and_gradients_equal_keras(double, kind, size, stride, padding, values):
    keras, tf = double
    rng = np.random.default_rng(size)
    x = rng.normal(size=(2, 7, 6, 3)) - 5  # below 0, so that a border of zeros would win
    if values == "tied":
        x = -rng.integers(1, 3, size=x.shape).astype(float)
    layer = getattr(keras.layers, f"{kind}Pooling2D")(size, strides=stride, padding=padding)
    output, gradient, (expected,) = run_keras(tf, layer, x, lambda s: rng.normal(size=s))
    pool, slope = {
        "Max": (max_pool2d, max_pool2d_gradient),
        "Average": (average_pool2d, average_pool2d_gradient),
    }[kind]
    options = {"stride": stride, "padding": padding}
    assert_all_close([pool(x, size, **options)], [output], 1e-10)
    assert_all_close([slope(gradient, x, size, **options)], [expected], 1e-10)


@pytest.mark.parametrize("values", ["distinct", "tied"])
@pytest.mark.parametrize(
    ("kind", "pool", "slope"),
    [
        ("GlobalAverage", global_average_pool2d, global_average_pool2d_gradient),
        ("GlobalMax", global_max_pool2d, global_max_pool2d_gradient),
    ],
)
def test_global_pooling_and_gradients_equal_keras(double, kind, pool, slope, values):
    keras, tf = double
    rng = np.random.default_rng(3)
    x = rng.normal(size=(2, 4, 3, 5)) if values == "distinct" else np.ones((2, 4, 3, 5))
    layer = getattr(keras.layers, f"{kind}Pooling2D")()
    output, gradient, (expected,) = run_keras(tf, layer, x, lambda s: rng.normal(size=s))
    assert_all_close([pool(x), slope(gradient, x)], [output, expected], 1e-10)


# === Equal to loops and finite differences ===


@st.composite
def convolutions(draw):
    """Keras refuses stride and dilation together, so these are compared with the loops."""
    size = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    stride, dilation = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    padding = draw(st.sampled_from(["valid", "same", 1, 2]))
    smallest = [dilation * (k - 1) + 1 for k in size]
    shape = [draw(st.integers(low, low + 3)) for low in smallest]
    batch, channels, filters = (draw(st.integers(1, 2)) for _ in range(3))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    x = rng.normal(size=(batch, *shape, channels))
    kernel, bias = rng.normal(size=(*size, channels, filters)), rng.normal(size=filters)
    return x, kernel, bias, {"stride": stride, "padding": padding, "dilation": dilation}, rng


@settings(deadline=None, max_examples=60)
@given(convolutions())
def test_strided_views_equal_loops(case):
    x, kernel, bias, steps, rng = case
    output = conv2d(x, kernel, bias, **steps)
    np.testing.assert_allclose(conv2d_loops(x, kernel, bias, **steps), output, atol=1e-12)
    sizes = [output_size(n, k, **steps) for n, k in zip(x.shape[1:3], kernel.shape, strict=False)]
    assert output.shape == (len(x), *sizes, len(bias))
    gradient = rng.normal(size=output.shape)
    assert_all_close(
        conv2d_gradients(gradient, x, kernel, **steps),
        conv2d_gradients_loops(gradient, x, kernel, **steps),
        1e-12,
    )


@settings(deadline=None, max_examples=15)
@given(convolutions())
def test_gradients_agree_with_finite_differences(case):
    x, kernel, bias, steps, rng = case
    gradient = rng.normal(size=conv2d(x, kernel, **steps).shape)
    found = conv2d_gradients(gradient, x, kernel, **steps)
    arguments = {"x": x, "kernel": kernel, "bias": bias}
    for name in arguments:

        def loss(value, name=name):
            return float(np.sum(gradient * conv2d(**{**arguments, name: value}, **steps)))

        measured = numerical_gradient(loss, arguments[name], step=1e-3)  # linear: any step will do
        np.testing.assert_allclose(getattr(found, name), measured, atol=1e-8)


@settings(deadline=None, max_examples=40)
@given(convolutions())
def test_adding_windows_is_the_transpose_of_cutting_them(case):
    x, kernel, _, steps, rng = case
    seen = windows2d(x, kernel.shape[:2], **steps)
    pieces = rng.normal(size=seen.shape)
    added = add_windows2d(pieces, x.shape, **steps)
    np.testing.assert_allclose(np.sum(seen * pieces), np.sum(x * added), atol=1e-10)


def test_windows_share_their_pixels_and_refuse_writing():
    windows = windows2d(np.ones((1, 6, 6, 2)), (3, 3))
    assert windows.shape == (1, 4, 4, 3, 3, 2)
    assert np.shares_memory(windows[0, 0, 0, 0, 1], windows[0, 0, 1, 0, 0])
    with pytest.raises(ValueError, match="read-only"):
        windows[0, 0, 0, 0, 0, 0] = 1


# === Sizes ===


@settings(deadline=None, max_examples=100)
@given(
    size=st.integers(1, 30),
    kernel=st.integers(1, 6),
    stride=st.integers(1, 4),
    dilation=st.integers(1, 3),
)
def test_same_padding_gives_the_ceiling_and_not_a_pixel_too_many(size, kernel, stride, dilation):
    steps = {"stride": stride, "dilation": dilation, "padding": "same"}
    assert output_size(size, kernel, **steps) == -(-size // stride)
    before, after = border(size, kernel, **steps)
    assert after - before in (0, 1)
    reach = dilation * (kernel - 1) + 1
    if before + after:  # one pixel less, and the last window would not fit
        assert (size + before + after - 1 - reach) // stride + 1 < -(-size // stride)


def test_output_sizes_by_hand():
    assert [output_size(n, 3) for n in range(5, 10)] == [3, 4, 5, 6, 7]
    assert [output_size(n, 3, stride=2) for n in range(5, 10)] == [2, 2, 3, 3, 4]
    assert output_size(7, 3, dilation=3) == 1
    assert output_size(5, 4, padding=1) == 4
    assert output_size(5, 3, padding=1, stride=2) == 3


@pytest.mark.parametrize("fill", [0.5, -1, 256, -np.inf, np.nan])
@pytest.mark.parametrize("function", [pad2d, windows2d])
def test_a_border_that_the_pixels_type_cannot_hold_is_refused(function, fill):
    pixels = np.ones((1, 4, 4, 1), dtype=np.uint8)
    with pytest.raises(ValueError, match=r"`fill` must be a number that pictures of type uint8"):
        function(pixels, (3, 3), padding="same", fill=fill)
    assert function(pixels, (3, 3), padding="same", fill=255).dtype == np.uint8
    function(pixels.astype(float), (3, 3), padding="same", fill=fill)


def test_border_of_a_number_is_filled():
    padded = pad2d(np.zeros((1, 1, 1, 1)), (3, 3), padding=2, fill=7)
    assert padded.shape == (1, 5, 5, 1)
    assert padded.sum() == 24 * 7


@settings(deadline=None, max_examples=30)
@given(
    layers=st.lists(
        st.tuples(st.integers(1, 4), st.integers(1, 3), st.integers(1, 2)), min_size=1, max_size=3
    )
)
def test_receptive_field_is_where_the_gradient_is_not_zero(layers):
    field = receptive_field(layers)
    sizes = [field.size + field.step]  # wide enough for two units
    for kernel, stride, dilation in layers:
        sizes.append(output_size(sizes[-1], kernel, stride=stride, dilation=dilation))
    assert sizes[-1] == 2
    for unit in (0, 1):
        gradient = np.zeros((1, 2, 1, 1))
        gradient[0, unit] = 1
        for size, (kernel, stride, dilation) in zip(sizes[-2::-1], layers[::-1], strict=True):
            weights, x = np.ones((kernel, 1, 1, 1)), np.ones((1, size, 1, 1))
            # height only: a picture one pixel wide allows no dilation or stride across
            steps = {"stride": stride, "dilation": dilation}
            gradient = conv2d_gradients(gradient, x, weights, **steps).x
        seen = np.flatnonzero(gradient)
        assert (seen[0], seen[-1] - seen[0] + 1) == (unit * field.step, field.size)


def test_receptive_fields_by_hand():
    assert receptive_field([]) == (1, 1)
    assert receptive_field([(3, 1)] * 3) == (7, 1)
    assert receptive_field([(3, 1, 1), (3, 1, 2), (3, 1, 4)]) == (15, 1)
    # LeNet-5 up to the second pooling: convolution 5, pooling 2, convolution 5, pooling 2
    assert receptive_field([(5, 1), (2, 2), (5, 1), (2, 2)]) == (16, 4)


def test_coverage_by_hand():
    assert coverage(5, 5, (3, 3)).tolist() == [
        [1, 2, 3, 2, 1],
        [2, 4, 6, 4, 2],
        [3, 6, 9, 6, 3],
        [2, 4, 6, 4, 2],
        [1, 2, 3, 2, 1],
    ]
    padded = coverage(5, 5, (3, 3), padding="same")
    assert (padded[0, 0], padded[0, 2], padded[2, 2]) == (4, 6, 9)
    assert coverage(4, 4, (3, 3), stride=2).tolist()[3] == [0, 0, 0, 0]  # never seen


# === Filters ===


def test_the_filters_are_those_of_scipy():
    picture = np.random.default_rng(1).normal(size=(6, 7))
    inner = (slice(1, -1), slice(1, -1))
    for kernel, theirs in ((SOBEL, ndimage.sobel), (PREWITT, ndimage.prewitt)):
        np.testing.assert_allclose(filter2d(picture, kernel), theirs(picture, axis=0)[inner])
        np.testing.assert_allclose(filter2d(picture, kernel.T), theirs(picture, axis=1)[inner])
    np.testing.assert_allclose(filter2d(picture, LAPLACIAN), ndimage.laplace(picture)[inner])


def test_it_is_a_cross_correlation_and_not_a_convolution():
    rng = np.random.default_rng(2)
    picture, kernel = rng.normal(size=(7, 6)), rng.normal(size=(3, 2))
    correlation = signal.correlate2d(picture, kernel, mode="valid")
    np.testing.assert_allclose(filter2d(picture, kernel), correlation)
    convolution = signal.convolve2d(picture, kernel, mode="valid")
    np.testing.assert_allclose(filter2d(picture, kernel[::-1, ::-1]), convolution)
    assert np.abs(filter2d(picture, kernel) - convolution).max() > 0.1


def test_the_constants_cannot_be_changed():
    with pytest.raises(ValueError, match="read-only"):
        SOBEL[0, 0] = 5


# === Refusals ===

STEPS = [
    Refusal((X, KERNEL), {"stride": 0}, ValueError, r"`stride` must be an integer >= 1"),
    Refusal((X, KERNEL), {"stride": 1.5}, TypeError, r"`stride` must be an integer"),
    Refusal((X, KERNEL), {"dilation": 0}, ValueError, r"`dilation` must be an integer >= 1"),
    Refusal((X, KERNEL), {"padding": "full"}, ValueError, r"`padding` must be one of 'valid', "),
    Refusal((X, KERNEL), {"padding": -1}, ValueError, r"`padding` must be an integer >= 0"),
    Refusal((X, KERNEL), {"dilation": 3}, ValueError, r"`size` must be large enough for one"),
]
ARRAYS = [
    Refusal((NOT_ROWS, KERNEL), {}, ValueError, r"`x` must be 4-dimensional"),
    Refusal((X, KERNEL[0]), {}, ValueError, r"`kernel` must be 4-dimensional"),
    Refusal((X, KERNEL[:, :, :2]), {}, ValueError, r"with the C channels of `x`"),
    Refusal((X.transpose(0, 3, 1, 2), KERNEL), {}, ValueError, r"which is \(B, H, W, C\)"),
    Refusal((X * np.nan, KERNEL), {}, ValueError, r"`x` must hold finite numbers"),
    Refusal((X.astype(str), KERNEL), {}, TypeError, r"`x` must be an array of numbers"),
]


@pytest.mark.parametrize("function", [conv2d, conv2d_loops, depthwise_conv2d])
def test_convolutions_refuse(function):
    bias = Refusal((X, KERNEL, np.ones(5)), {}, ValueError, r"`bias` must have shape")
    check_refusals(function, [*STEPS, *ARRAYS, bias])


@pytest.mark.parametrize("function", [conv2d_gradients, conv2d_gradients_loops])
def test_gradients_refuse(function):
    right = np.ones((2, 3, 3, 4))
    refusals = [Refusal((right, *r.args), r.kwargs, r.error, r.match) for r in [*STEPS, *ARRAYS]]
    wrong = Refusal((right[:, 1:], X, KERNEL), {}, ValueError, r"`gradient` must have shape \(2, 3")
    check_refusals(function, [*refusals, wrong])


def test_depthwise_gradients_refuse():
    right = np.ones((2, 3, 3, 12))
    refusals = [Refusal((right, *r.args), r.kwargs, r.error, r.match) for r in [*STEPS, *ARRAYS]]
    few = Refusal((right[..., :4], X, KERNEL), {}, ValueError, r"`gradient` must have shape .*12\)")
    named = Refusal((right, X, KERNEL[:, :, :2]), {}, ValueError, r"\(kh, kw, C, M\)")
    check_refusals(depthwise_conv2d_gradients, [*refusals, few, named])


@pytest.mark.parametrize("function", [max_pool2d, average_pool2d])
def test_pooling_refuses(function):
    check_refusals(
        function,
        [
            Refusal((NOT_ROWS,), {}, ValueError, r"`x` must be 4-dimensional"),
            Refusal((X, 0), {}, ValueError, r"`size` must be an integer >= 1"),
            Refusal((X, 2.0), {}, TypeError, r"`size` must be an integer"),
            Refusal((X, 6), {}, ValueError, r"`size` must be large enough for one window"),
            Refusal((X,), {"stride": 0}, ValueError, r"`stride` must be an integer >= 1"),
            Refusal((X,), {"padding": 1}, ValueError, r"`padding` must be one of"),
        ],
    )


@pytest.mark.parametrize("function", [max_pool2d_gradient, average_pool2d_gradient])
def test_pooling_gradients_refuse(function):
    wrong = r"`gradient` must have shape \(2, 2, 2, 3\)"
    stride = r"`stride` must be an integer >= 1"
    refusals = [
        Refusal((np.ones((2, 3, 3, 3)), X), {}, ValueError, wrong),
        Refusal((np.ones((2, 2, 2, 3)), X), {"stride": 0}, ValueError, stride),
        Refusal((np.ones((2, 2, 2, 3)), X), {"padding": 1}, ValueError, r"`padding` must be one"),
    ]
    check_refusals(function, refusals)


@pytest.mark.parametrize("pool", [global_average_pool2d, global_max_pool2d])
def test_global_pooling_refuses(pool):
    check_refusals(pool, [Refusal((NOT_ROWS,), {}, ValueError, r"`x` must be 4-dimensional")])


@pytest.mark.parametrize("slope", [global_average_pool2d_gradient, global_max_pool2d_gradient])
def test_global_pooling_gradients_refuse(slope):
    wrong = r"`gradient` must have shape \(2, 3\)"
    check_refusals(slope, [Refusal((np.ones((2, 4)), X), {}, ValueError, wrong)])


@pytest.mark.parametrize(
    ("function", "refusals"),
    [
        (
            windows2d,
            [
                Refusal((X, 3), {}, ValueError, r"`kernel_size` must be a pair"),
                Refusal((X, (3, 0)), {}, ValueError, r"`kernel_size` must be an integer >= 1"),
                Refusal((NOT_ROWS, (3, 3)), {}, ValueError, r"`x` must be 4-dimensional"),
            ],
        ),
        (
            pad2d,
            [
                Refusal((X, 3), {}, ValueError, r"`kernel_size` must be a pair"),
                Refusal(([[1]], (3, 3)), {}, ValueError, r"`x` must be 4-dimensional"),
                Refusal((X, (3, 3)), {"padding": -1}, ValueError, r"`padding` must be an integer"),
                Refusal((X, (3.0, 3)), {}, TypeError, r"`kernel_size` must be an integer"),
            ],
        ),
        (
            add_windows2d,
            [
                Refusal((X, (2, 5, 5, 3)), {}, ValueError, r"`pieces` must be 6-dimensional"),
                Refusal((np.ones((1,) * 6), (1, 1)), {}, ValueError, r"`shape` must be \(B, H"),
                Refusal((np.ones((1,) * 6), (1, 5, 5, 1)), {}, ValueError, r"`pieces` must have"),
            ],
        ),
        (
            filter2d,
            [
                Refusal((X, SOBEL), {}, ValueError, r"`picture` must be 2-dimensional"),
                Refusal((SOBEL, X), {}, ValueError, r"`kernel` must be 2-dimensional"),
            ],
        ),
        (
            border,
            [
                Refusal((0, 3), {}, ValueError, r"`size` must be an integer >= 1"),
                Refusal((5, 0), {}, ValueError, r"`kernel` must be an integer >= 1"),
                Refusal((5, 3.0), {}, TypeError, r"`kernel` must be an integer"),
            ],
        ),
        (output_size, [Refusal((2, 3), {}, ValueError, r"`size` must be large enough")]),
        (
            coverage,
            [
                Refusal((0, 5, (3, 3)), {}, ValueError, r"`height` must be an integer >= 1"),
                Refusal((5, 5, (6, 3)), {}, ValueError, r"`size` must be large enough"),
            ],
        ),
        (
            receptive_field,
            [
                Refusal((3,), {}, TypeError, r"`layers` must be a sequence"),
                Refusal(([3, 1],), {}, TypeError, r"`layers` must be a sequence"),
                Refusal(([(3,)],), {}, ValueError, r"`layers` must hold \(kernel, stride\)"),
                Refusal(([(3, 0)],), {}, ValueError, r"`stride` must be an integer >= 1"),
            ],
        ),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_the_others_refuse(function, refusals):
    check_refusals(function, refusals)
