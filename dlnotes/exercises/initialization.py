"""Exercises of lesson 08, initialization."""

import functools
import math

import numpy as np

from dlnotes.exercises.base import Exercise, WrongAnswer
from dlnotes.scratch import Networks, glorot_normal, initializers
from dlnotes.scratch.initializers import he_normal


def predicted_sizes(first_size, widths, stds):
    """Return the size of the activations of each ReLU layer."""
    sizes = []
    for fan_in, std in zip(widths[:-1], stds, strict=True):
        first_size = first_size * std * math.sqrt(fan_in / 2)
        sizes.append(first_size)
    return sizes


def _without_the_half(first_size, widths, stds):
    return predicted_sizes(first_size, [2 * width for width in widths], stds)


def _half_of_the_size(first_size, widths, stds):
    return predicted_sizes(first_size, [width / 2 for width in widths], stds)


def _with_fan_out(first_size, widths, stds):
    return predicted_sizes(first_size, [*widths[1:], 1], stds)


def _each_from_the_first(first_size, widths, stds):
    return [first_size * s * math.sqrt(n / 2) for n, s in zip(widths[:-1], stds, strict=True)]


def _mean_squares(first_size, widths, stds):
    return [size**2 for size in predicted_sizes(first_size, widths, stds)]


def _check_predicted_sizes(answer):
    messages = {
        _without_the_half: "you forgot what the ReLU does: half of the mean square is lost.",
        _half_of_the_size: "the ReLU halves the *mean square*; the size, its root, falls by √2.",
        _with_fan_out: "a unit sums its *inputs*: use the width of the layer below, its fan-in.",
        _each_from_the_first: "layer 2 starts from the size that layer 1 hands on, not from the "
        "input's: multiply up.",
        _mean_squares: "these are mean squares; the size is the root.",
    }
    for case in ((2.0, (64, 100, 30), (0.2, 0.05)), (1.0, (8, 8, 16, 4), (0.5, 0.7, 0.1))):
        right, result = predicted_sizes(*case), np.asarray(answer(*case), dtype=float)
        if result.shape != (len(right),):
            raise WrongAnswer(
                f"return one number for each of the {len(right)} layers; yours have the shape "
                f"{result.shape}."
            )
        if np.allclose(result, right):
            continue
        for wrong, message in messages.items():
            if np.allclose(result, wrong(*case)):
                raise WrongAnswer(message)
        raise WrongAnswer(
            f"for widths {case[1]} and stds {case[2]} the sizes are {np.round(right, 4).tolist()}; "
            f"yours are {np.round(result, 4).tolist()}."
        )


def leaky_variance(fan_in, slope):
    """Return the variance of the weights that keeps the size under a leaky ReLU."""
    return 2 / ((1 + slope**2) * fan_in)


def _he(fan_in, slope):
    return 2 / fan_in


def _slope_not_squared(fan_in, slope):
    return 2 / ((1 + slope) * fan_in)


def _weights_std(fan_in, slope):
    return math.sqrt(leaky_variance(fan_in, slope))


def _upside_down(fan_in, slope):
    return 2 * (1 + slope**2) / fan_in


def _check_leaky_variance(answer):
    rng = np.random.default_rng(8)
    z = rng.normal(size=200_000)
    messages = {
        _he: "that is He's variance for a ReLU; the negative half is not lost here, but let "
        "through with a slope.",
        _slope_not_squared: "E[φ(z)²] is a mean of squares: the slope comes out squared.",
        _weights_std: "this is the standard deviation; asked is the variance, its square.",
        _upside_down: "the more a bend lets through, the *smaller* the weights must be.",
    }
    for case in ((100, 0.3), (64, 0.1), (50, 1.0), (64, 0.0)):
        right, result = leaky_variance(*case), float(answer(*case))
        if np.isclose(result, right):
            continue
        for wrong, message in messages.items():
            if np.isclose(result, wrong(*case)):
                raise WrongAnswer(message)
        fan_in, slope = case
        factor = fan_in * result * np.mean(np.where(z > 0, z, slope * z) ** 2)
        raise WrongAnswer(
            f"with fan-in {fan_in} and slope {slope:g} your variance multiplies the mean square by "
            f"about {factor:.2g} in each layer; it must be 1."
        )


def clip_together(gradients, max_norm):
    """Return the gradients, shortened by one factor if together they are longer than max_norm."""
    length = math.sqrt(sum(np.sum(g**2) for g in gradients))
    factor = min(1.0, max_norm / length) if length > 0 else 1.0
    return [factor * g for g in gradients]


def _each_array(gradients, max_norm):
    return [g * min(1.0, max_norm / max(np.linalg.norm(g), 1e-300)) for g in gradients]


def _each_number(gradients, max_norm):
    return [np.clip(g, -max_norm, max_norm) for g in gradients]


def _also_lengthens(gradients, max_norm):
    length = math.sqrt(sum(np.sum(g**2) for g in gradients))
    return [max_norm / length * g for g in gradients]


def _sum_of_lengths(gradients, max_norm):
    length = sum(np.linalg.norm(g) for g in gradients)
    return [min(1.0, max_norm / length) * g for g in gradients]


def _clip_in_place(gradients, max_norm):
    factor = min(1.0, max_norm / math.sqrt(sum(np.sum(g**2) for g in gradients)))
    for g in gradients:
        g *= factor
    return gradients


def _no_gradient_divides(gradients, max_norm):
    length = np.float64(math.sqrt(sum(np.sum(g**2) for g in gradients)))
    with np.errstate(all="ignore"):
        return [np.minimum(1.0, max_norm / length) * g if length else g / length for g in gradients]


def _same(first, second):
    return len(first) == len(second) and all(
        np.shape(a) == np.shape(b) and np.allclose(a, b, equal_nan=True)
        for a, b in zip(first, second, strict=True)
    )


def _check_clip_together(answer):
    long = [np.array([[3.0, -4.0], [0.0, 1.0]]), np.array([0.5, -0.1])]
    short = [0.01 * g for g in long]
    messages = {
        _also_lengthens: "these gradients are shorter than max_norm together: leave them as they "
        "are; clipping never lengthens.",
        _each_array: "you clip each array by itself, so the step changes its direction. Take one "
        "length, of all arrays together, and one factor.",
        _each_number: "you clip each number by itself; asked is one factor for all of them.",
        _sum_of_lengths: "the length of all together is the root of the sum of *all* squares, not "
        "the sum of the arrays' lengths.",
    }
    for gradients in (long, short):
        given = [g.copy() for g in gradients]
        right, result = clip_together(gradients, 1.0), list(answer(given, 1.0))
        if not _same(result, right):
            for wrong, message in messages.items():
                if _same(result, wrong(gradients, 1.0)):
                    raise WrongAnswer(message)
            length = math.sqrt(sum(np.sum(np.square(g)) for g in result))
            raise WrongAnswer(
                "together your arrays have the length "
                f"{length:.4g}, and it must be {min(1.0, _length(gradients)):.4g}."
            )
        if not _same(given, gradients):
            raise WrongAnswer(
                "the result is right, but `g *= …` has also changed the caller's arrays. Build new "
                "ones."
            )
    with np.errstate(all="ignore"):
        still = list(answer([np.zeros(2), np.zeros(1)], 1.0))
    if not _same(still, [np.zeros(2), np.zeros(1)]):
        raise WrongAnswer(
            "a gradient of zeros has the length 0: do not divide by it. Zeros stay zeros."
        )


def _length(gradients):
    return math.sqrt(sum(np.sum(g**2) for g in gradients))


FAULTS = ("vanishes", "explodes", "symmetric", "fine")


def diagnose(activations, steps):
    """Return what is wrong with a network, given one batch's activations and first steps."""
    for a in activations:
        if np.ptp(a, axis=1).max() <= 1e-9 * np.abs(a).max():
            return "symmetric"
    if steps[0] < 1e-6:
        return "vanishes"
    return "explodes" if steps[0] > 1 else "fine"


def _by_the_size(activations, steps):
    size = np.sqrt(np.mean(activations[-1] ** 2))
    return "vanishes" if size < 1e-3 else "explodes" if size > 1e3 else "fine"


def _by_the_spread(activations, steps):
    spread = np.sqrt(np.mean(activations[-1].var(axis=0)))
    return "vanishes" if spread < 1e-6 else "explodes" if spread > 1e3 else "fine"


def _by_the_first_step(activations, steps):
    return "vanishes" if steps[0] < 1e-6 else "explodes" if steps[0] > 1 else "fine"


def _by_both_ends(activations, steps):
    if np.ptp(activations[0], axis=1).max() < 1e-9:
        return "symmetric"
    ratio = steps[0] / steps[-1]
    return "vanishes" if ratio < 1e-3 else "explodes" if ratio > 1e2 else "fine"


def _images_for_units(activations, steps):
    if any(np.ptp(a, axis=0).max() <= 1e-6 * np.abs(a).max() for a in activations):
        return "symmetric"
    return _by_the_first_step(activations, steps)


def _alike_if_tiny(activations, steps):
    if any(np.ptp(a, axis=1).max() < 1e-9 for a in activations):
        return "symmetric"
    return _by_the_first_step(activations, steps)


def _a_thousandth_vanishes(activations, steps):
    found = diagnose(activations, steps)
    return "vanishes" if found == "fine" and steps[0] < 2e-3 else found


def _all_alike(shape, rng):
    """Draw weights that are the same for all 64 hidden units: those into them, or those out."""
    inputs, units = shape
    once = rng.normal(0, 0.15, (inputs, 1) if units == 64 else (1, units))
    return np.broadcast_to(once, shape)


@functools.cache
def _patients():
    """Return (name, fault, activations, steps) of networks with planted faults."""
    rng = np.random.default_rng(84)
    images, labels = rng.normal(size=(64, 40)), rng.integers(0, 10, 64)
    small, large = (functools.partial(initializers.normal, std=std) for std in (0.01, 1.0))
    cases = (
        ("12 tanh layers, Glorot's start", "fine", 12, "tanh", glorot_normal),
        ("2 sigmoid layers, Glorot's start", "fine", 2, "sigmoid", glorot_normal),
        ("12 ReLU layers, He's start", "fine", 12, "relu", he_normal),
        ("12 sigmoid layers, Glorot's start", "vanishes", 12, "sigmoid", glorot_normal),
        ("12 tanh layers, std 0.01", "vanishes", 12, "tanh", small),
        ("12 tanh layers, std 1", "explodes", 12, "tanh", large),
        ("12 ReLU layers, std 1", "explodes", 12, "relu", large),
        ("1 tanh layer, units alike", "symmetric", 1, "tanh", _all_alike),
    )
    found = []
    for name, fault, depth, bend, start in cases:
        networks = Networks((40, *[64] * depth, 10), bend, start, copies=1, rng=rng)
        activations = tuple(output.a[0] for output in networks.forward(images)[:-1])
        slopes = networks.gradients(images, labels).weights
        pairs = zip(slopes, networks.weights, strict=True)
        steps = tuple(float(0.1 * np.sqrt(np.mean(g**2) / np.mean(w**2))) for g, w in pairs)
        found.append((name, fault, activations, steps))
    return tuple(found)


def _clue(name, fault, activations, steps, said):
    """Return what the answer has overlooked."""
    size = np.sqrt(np.mean(activations[-1] ** 2))
    spread = np.sqrt(np.mean(activations[-1].var(axis=0)))
    if fault == "symmetric":
        return (
            "sizes and steps look healthy, but look along the units: for each image all units of "
            "a layer answer the same."
        )
    if said == "symmetric" and spread < 1e-6 * size:
        return (
            f"the *images* look alike there (spread {spread:.1g}), the units do not. Units lie "
            "along axis 1."
        )
    if said == "symmetric":
        return (
            "its units differ as much as their numbers are large; here the numbers are tiny. "
            "Compare the difference with the numbers themselves."
        )
    if fault == "fine":
        return (
            f"the first layer's step is {steps[0]:.1g} of its weights. That is slow at worst, and "
            "a larger rate mends it; vanished is below 1e-6, too long above 1."
        )
    if fault == "vanishes" and spread < 1e-6 * size:
        return (
            f"the last hidden layer has the healthy size {size:.2g}, but the spread between images "
            f"is {spread:.1g}, and the first layer's step {steps[0]:.1g} of its weights."
        )
    if fault == "vanishes":
        return (
            f"first and last step are equally small, {steps[0]:.1g} and {steps[-1]:.1g}: the sign "
            "is not their ratio, but the step against the weights."
        )
    if size < 10:
        return (
            f"size {size:.2g} and spread {spread:.2g} look healthy, but the first layer's step is "
            f"{steps[0]:.2g} times as long as its weights: only the steps show it."
        )
    return (
        f"the size grows to {size:.1g}, and the first layer's step is {steps[0]:.1g} times as long "
        "as its weights."
    )


def _check_diagnose(answer):
    for name, fault, activations, steps in _patients():
        said = answer([a.copy() for a in activations], list(steps))
        if said not in FAULTS:
            raise WrongAnswer(f"return one of the words {FAULTS}; you returned {said!r}.")
        if said != fault:
            clue = _clue(name, fault, activations, steps, said)
            raise WrongAnswer(f"{name}: you say {said!r}, but it is {fault!r}: {clue}")


EXERCISES = (
    Exercise(
        id="08.1",
        title="Sizes before the network exists",
        prompt=(
            "Write `predicted_sizes(first_size, widths, stds)` for a tower of ReLU layers: a list "
            "with the predicted size of the activations of each layer. `first_size` is the size "
            "of the inputs; `widths` holds the number of inputs, then of the units of each layer; "
            "`stds` holds the standard deviation of the weights of each layer."
        ),
        hints=(
            "Steps 2 and 3: E[z²] = n·v·E[a²] with n the fan-in, and a ReLU keeps half of it.",
            "The size is the root of the mean square, and v is the square of the standard "
            "deviation.",
            "Each layer multiplies the size by std * math.sqrt(fan_in / 2).",
        ),
        check=_check_predicted_sizes,
        reference=predicted_sizes,
        explanation=(
            "Three numbers for each layer, and no network was built. With std = √(2 / fan_in) "
            "every factor is 1: He's rule."
        ),
        wrong=(
            (_without_the_half, "half of the mean square is lost"),
            (_half_of_the_size, "falls by √2"),
            (_with_fan_out, "its fan-in"),
            (_each_from_the_first, "multiply up"),
            (_mean_squares, "the size is the root"),
        ),
    ),
    Exercise(
        id="08.2",
        title="A rule for another bend",
        prompt=(
            "A leaky ReLU lets negative numbers through with a slope: φ(z) = z for z > 0, and "
            "slope·z otherwise. Write `leaky_variance(fan_in, slope)`: the variance of the weights "
            "that keeps the size from layer to layer."
        ),
        hints=(
            "The condition is fan_in · variance · E[φ(z)²] / E[z²] = 1.",
            "Half of the z are positive and keep their square. What is the square of slope·z?",
            "E[φ(z)²] = (1 + slope²) / 2 · E[z²].",
        ),
        check=_check_leaky_variance,
        reference=leaky_variance,
        explanation=(
            "2 / ((1 + slope²)·fan_in), equation 15 in He's paper. Slope 0 gives his ReLU rule, "
            "slope 1 LeCun's rule for a linear unit."
        ),
        wrong=(
            (_he, "He's variance for a ReLU"),
            (_slope_not_squared, "comes out squared"),
            (_weights_std, "asked is the variance"),
            (_upside_down, "the *smaller* the weights"),
        ),
    ),
    Exercise(
        id="08.3",
        title="Clipping by the global norm",
        prompt=(
            "Write `clip_together(gradients, max_norm)`: `gradients` is a list of arrays. If all "
            "of them together, as one long vector, are longer than `max_norm`, return them "
            "shortened to that length, in their direction; otherwise as they are. Do not change "
            "the caller's arrays, and let zeros stay zeros."
        ),
        hints=(
            "The length of all together: the root of the sum of all squares, over all arrays.",
            "One factor for all arrays, at most 1.",
            "`max_norm / max(length, max_norm)` is never above 1, and never divides by zero.",
        ),
        check=_check_clip_together,
        reference=clip_together,
        explanation=(
            "One factor for all arrays keeps the direction of the step. This is `global_clipnorm` "
            "of Keras' optimizers."
        ),
        wrong=(
            (_each_array, "each array by itself"),
            (_each_number, "each number by itself"),
            (_also_lengthens, "clipping never lengthens"),
            (_sum_of_lengths, "the sum of *all* squares"),
            (_clip_in_place, "the caller's arrays"),
            (_no_gradient_divides, "do not divide by it"),
        ),
    ),
    Exercise(
        id="08.4",
        title="Find the fault in one batch",
        prompt=(
            "A network does not learn. You may look at one batch before training: `activations` "
            "holds an array (images, units) for each hidden layer, `steps` each layer's step at "
            "rate 0.1 as a share of its weights, the output layer's last. Write "
            '`diagnose(activations, steps)`, which returns `"symmetric"` if all units of a layer '
            'answer the same, `"vanishes"` if the first layer\'s step is below a millionth, '
            '`"explodes"` if it is longer than the weights themselves, and otherwise `"fine"`. '
            "Eight networks wait, five of them ill."
        ),
        hints=(
            "Ask for equal units first: their sizes and steps can look healthy.",
            "np.ptp(a, axis=1) is the largest difference between two units, one number an image. "
            "Rounding leaves a little of it; and what is little where all numbers are tiny?",
            "Compare that difference with 1e-9 * np.abs(a).max(); then compare steps[0] with 1e-6 "
            "and with 1.",
        ),
        check=_check_diagnose,
        reference=diagnose,
        explanation=(
            "Three looks at one batch: along the units, and at the first layer's step from below "
            "and from above. Size and spread alone pass over the symmetric network and over chaos, "
            "the size alone over twelve sigmoids, too."
        ),
        wrong=(
            (_by_the_size, "has the healthy size"),
            (_by_the_spread, "only the steps show it"),
            (_by_the_first_step, "look along the units"),
            (_by_both_ends, "not their ratio"),
            (_images_for_units, "the *images* look alike"),
            (_alike_if_tiny, "here the numbers are tiny"),
            (_a_thousandth_vanishes, "a larger rate mends it"),
        ),
    ),
)
