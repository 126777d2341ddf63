"""Exercises of lesson 15, convolution."""

import numpy as np

from dlnotes.exercises.base import Exercise, WrongAnswer
from dlnotes.scratch import SOBEL

NOTES = np.array([[1.0, 2.0, 3.0], [4.0, -8.0, 4.0], [1.0, 2.0, 3.0]])


def upside_part(kernel):
    """Return the part of a filter that changes its sign when the filter is put upside down."""
    return (kernel - kernel[::-1]) / 2


def _without_the_half(kernel):
    return kernel - kernel[::-1]


def _even_part(kernel):
    return (kernel + kernel[::-1]) / 2


def _sum_taken_out(kernel):
    return kernel - kernel.mean()


def _left_and_right(kernel):
    return (kernel - kernel[:, ::-1]) / 2


def _half_turn(kernel):
    return (kernel - kernel[::-1, ::-1]) / 2


def _check_upside_part(answer):
    drawn = np.random.default_rng(15).integers(-5, 6, size=(4, 3)).astype(float)
    for name, kernel in (
        ("a random filter", drawn),
        ("Sobel's", SOBEL),
        ("the notes' filter", NOTES),
    ):
        right = upside_part(kernel)
        result = np.asarray(answer(kernel.copy()), dtype=float)
        if result.shape != right.shape:
            raise WrongAnswer(
                f"return a filter of the same shape, {kernel.shape}; yours has {result.shape}."
            )
        if np.allclose(result, right):
            continue
        messages = {
            _without_the_half: "twice too large: a filter is the *sum* of its two parts, so each "
            "is half a sum or half a difference.",
            _even_part: "this is the part that stays the same upside down: it cannot tell which "
            "side is bright.",
            _sum_taken_out: "its weights sum to 0 now, so it does not hear brightness; but it may "
            "still answer the same to an edge and to the edge upside down.",
            _left_and_right: "you compare left with right, which hears vertical edges; put the "
            "*rows* upside down.",
            _half_turn: "a half turn also swaps left and right; put only the rows upside down.",
        }
        for wrong, message in messages.items():
            if np.allclose(result, wrong(kernel)):
                raise WrongAnswer(message)
        raise WrongAnswer(
            f"for {name} the first row must be {right[0].tolist()}; yours is {result[0].tolist()}."
        )


def smallest_picture(layers):
    """Return the fewest pixels for which layers without padding leave a map of one pixel."""
    pixels = 1
    for kernel, stride in reversed(layers):
        pixels = (pixels - 1) * stride + kernel
    return pixels


def _without_strides(layers):
    return 1 + sum(kernel - 1 for kernel, _ in layers)


def _own_stride_too(layers):
    size = step = 1
    for kernel, stride in layers:
        step *= stride
        size += (kernel - 1) * step
    return size


def _forwards(layers):
    pixels = 1
    for kernel, stride in layers:
        pixels = (pixels - 1) * stride + kernel
    return pixels


def _each_divides(layers):
    pixels = 1
    for kernel, stride in reversed(layers):
        pixels = pixels * stride + kernel - 1
    return pixels


def _check_smallest_picture(answer):
    for layers in (
        [(2, 1), (3, 2), (2, 3)],
        [(3, 1)],
        [(3, 2), (3, 1)],
        [(5, 1), (2, 2), (5, 1), (2, 2)],
    ):
        right, result = smallest_picture(layers), answer(list(layers))
        if result == right:
            continue
        told = f"for the layers {layers}"
        if result == _without_strides(layers):
            raise WrongAnswer(
                f"{told} you forgot the strides: behind a stride of 2 the next layer's windows "
                f"reach over twice as many pixels. It must be {right}, not {result}."
            )
        if result == _own_stride_too(layers):
            raise WrongAnswer(
                f"{told} you let a stride act on its own layer; it acts on those behind it. It "
                f"must be {right}, not {result}."
            )
        if result == _forwards(layers):
            raise WrongAnswer(
                f"{told} begin with the *last* layer, which must give one pixel, and go back to "
                f"the picture. It must be {right}, not {result}."
            )
        if result == _each_divides(layers):
            raise WrongAnswer(
                f"{told} you take `stride` pixels for each window. The last window needs no step "
                f"behind it: (pixels - 1) * stride + kernel. It must be {right}, not {result}."
            )
        raise WrongAnswer(f"{told} it must be {right} pixels, not {result}.")


def savings(size, channels, filters):
    """Return how many times fewer weights a separable convolution has, without biases."""
    full = size * size * channels * filters
    return full / (size * size * channels + channels * filters)


def _depthwise_alone(size, channels, filters):
    return filters


def _upside_down(size, channels, filters):
    return 1 / savings(size, channels, filters)


def _one_filter_for_all(size, channels, filters):
    return size * size * channels * filters / (size * size + channels * filters)


def _square_forgotten(size, channels, filters):
    return size * channels * filters / (size * channels + channels * filters)


def _check_savings(answer):
    for case in ((3, 16, 32), (5, 3, 8), (1, 4, 4)):
        right, result = savings(*case), float(answer(*case))
        if np.isclose(result, right):
            continue
        messages = {
            _depthwise_alone: "you left the 1×1 convolution out, which mixes the channels.",
            _upside_down: "you divide the wrong way round: how many times *fewer* are they?",
            _one_filter_for_all: "in a depthwise convolution each channel has a filter of its own.",
            _square_forgotten: "a filter has `size` rows and `size` columns.",
        }
        for wrong, message in messages.items():
            if np.isclose(result, wrong(*case)):
                raise WrongAnswer(message)
        size, channels, filters = case
        raise WrongAnswer(
            f"for {size}×{size} filters from {channels} channels to {filters} it must be "
            f"{right:.3f}, not {result:.3f}."
        )


def backward(gradient, kernel):
    """Return ∂loss/∂x of a row's cross-correlation with a filter, stride 1, no padding."""
    x_gradient = np.zeros(len(gradient) + len(kernel) - 1)
    for i, g in enumerate(gradient):
        x_gradient[i : i + len(kernel)] += g * kernel  # the window that made output i
    return x_gradient


def _turned_filter(gradient, kernel):
    return np.convolve(gradient, kernel[::-1])


def _assigned(gradient, kernel):
    x_gradient = np.zeros(len(gradient) + len(kernel) - 1)
    for i, g in enumerate(gradient):
        x_gradient[i : i + len(kernel)] = g * kernel
    return x_gradient


def _forward_again(gradient, kernel):
    return np.correlate(gradient, kernel, mode="valid")


def _check_backward(answer):
    rng = np.random.default_rng(4)
    for outputs, size in ((5, 3), (6, 2)):
        gradient = rng.integers(-4, 5, size=outputs).astype(float)
        kernel = np.array([1.0, -2.0, 3.0])[:size]
        right = backward(gradient, kernel)
        result = np.asarray(answer(gradient.copy(), kernel.copy()), dtype=float)
        if result.shape != right.shape:
            raise WrongAnswer(
                f"{outputs} outputs of a filter of {size} came from {len(right)} pixels, so the "
                f"gradient has {len(right)} numbers; yours has the shape {result.shape}."
            )
        if np.allclose(result, right):
            continue
        if np.allclose(result, _turned_filter(gradient, kernel)):
            raise WrongAnswer(
                "the weights arrive in the wrong order: output i used x[i] times kernel[0], so "
                "x[i] gets gradient[i] times kernel[0]."
            )
        if np.allclose(result, _assigned(gradient, kernel)):
            raise WrongAnswer(
                "windows overlap, and a pixel collects from all of them: add with `+=`."
            )
        raise WrongAnswer(
            f"for the gradient {gradient.tolist()} and the filter {kernel.tolist()} it must be "
            f"{right.tolist()}, not {result.tolist()}."
        )


EXERCISES: tuple[Exercise, ...] = (
    Exercise(
        id="15.1",
        title="Which side is bright?",
        prompt=(
            "Any filter is the sum of a part that stays the same when its rows are put upside "
            "down and a part that changes its sign. Only the second can tell an edge from the "
            "same edge upside down. Write `upside_part(kernel)` that returns the second part of a "
            "filter of shape (kh, kw). What is left of the notes' filter, and what of Sobel's?"
        ),
        hints=(
            "`kernel[::-1]` is the filter upside down.",
            "If kernel = same + other, then kernel[::-1] = same - other. Solve for `other`.",
        ),
        check=_check_upside_part,
        reference=upside_part,
        explanation=(
            "From w = s + o and its upside-down s − o follows o = (w − upside-down w)/2. Of the "
            "notes' filter nothing is left: it cannot tell up from down. Sobel's is all there."
        ),
        wrong=(
            (_without_the_half, "twice too large"),
            (_even_part, "stays the same upside down"),
            (_sum_taken_out, "sum to 0 now"),
            (_left_and_right, "compare left with right"),
            (_half_turn, "also swaps left and right"),
            (lambda kernel: kernel[0], "of the same shape"),
            (lambda kernel: np.sign(kernel), "the first row must be"),
        ),
    ),
    Exercise(
        id="15.2",
        title="The smallest picture",
        prompt=(
            "`layers` lists (kernel, stride) of convolutions and poolings without padding, from "
            "the input on. Write `smallest_picture(layers)`: how many pixels must a side of the "
            "picture have at least, so that one pixel is left at the end? Compare with the "
            "receptive field."
        ),
        hints=(
            "Begin at the end: one pixel is wanted. How many does the last layer need for it?",
            "For m pixels out, a layer needs (m - 1) * stride + kernel pixels in.",
        ),
        check=_check_smallest_picture,
        reference=smallest_picture,
        explanation=(
            "The last of m windows starts at (m − 1)·stride and is `kernel` pixels long. Going "
            "back from one pixel gives just what this pixel sees: the receptive field's size."
        ),
        wrong=(
            (_without_strides, "you forgot the strides"),
            (_own_stride_too, "act on its own layer"),
            (_forwards, "begin with the *last* layer"),
            (_each_divides, "needs no step behind it"),
            (lambda layers: sum(kernel for kernel, _ in layers), "pixels, not"),
        ),
    ),
    Exercise(
        id="15.3",
        title="What separating saves",
        prompt=(
            "A full convolution leads from `channels` channels to `filters` maps with filters of "
            "`size` × `size`. A separable one takes a depthwise convolution of this size, one "
            "filter for each channel, and then a 1×1 convolution. Write `savings(size, channels, "
            "filters)`: the full one's number of weights, divided by the separable one's, without "
            "biases."
        ),
        hints=(
            "The full one has size · size · channels · filters weights.",
            "Depthwise: size · size · channels. 1×1: channels · filters. Add them.",
        ),
        check=_check_savings,
        reference=savings,
        explanation=(
            "k²CF / (k²C + CF) = 1 / (1/F + 1/k²): for many filters it comes close to k², nine "
            "times fewer for 3×3. For k = 1 it costs more: the depthwise part is for nothing."
        ),
        wrong=(
            (_depthwise_alone, "left the 1×1 convolution out"),
            (_upside_down, "the wrong way round"),
            (_one_filter_for_all, "a filter of its own"),
            (_square_forgotten, "rows and `size` columns"),
            (lambda size, channels, filters: size * size, "it must be"),
        ),
    ),
    Exercise(
        id="15.4",
        title="Backward along a row",
        prompt=(
            "A row x is cross-correlated with a filter: output[i] = Σ x[i + u] · kernel[u], with "
            "stride 1 and no padding. Write `backward(gradient, kernel)`: from ∂loss/∂output, the "
            "gradient ∂loss/∂x. It is longer than `gradient`."
        ),
        hints=(
            "Start with zeros, as many as x had pixels: len(gradient) + len(kernel) - 1.",
            "Output i hands gradient[i] * kernel to x[i : i + len(kernel)]. Windows overlap.",
        ),
        check=_check_backward,
        reference=backward,
        explanation=(
            "Each output hands its gradient, times the weights, to the pixels of its window, and "
            "a pixel adds up what it gets. np.convolve(gradient, kernel) is the same: backward "
            "through a cross-correlation is a convolution."
        ),
        wrong=(
            (_turned_filter, "in the wrong order"),
            (_assigned, "add with `+=`"),
            (_forward_again, "came from"),
            (lambda gradient, kernel: 2 * np.convolve(gradient, kernel), "it must be"),
        ),
    ),
)
