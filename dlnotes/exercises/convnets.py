"""Exercises of lesson 16."""

import numpy as np

from dlnotes.exercises.base import Exercise, WrongAnswer


def count_parameters(side, channels, filters, units, pooled):
    """Return the parameters of a network of 3×3 convolutions, Flatten, and a dense layer."""
    total = 0
    for count in filters:
        total += (9 * channels + 1) * count
        channels = count
        if pooled:
            side = side // 2
    return total + (side * side * channels + 1) * units


def _no_bias(side, channels, filters, units, pooled):
    total = 0
    for count in filters:
        total += 9 * channels * count
        channels = count
        side = side // 2 if pooled else side
    return total + side * side * channels * units


def _one_channel(side, channels, filters, units, pooled):
    total = sum(10 * count for count in filters)
    side = side // 2 ** len(filters) if pooled else side
    return total + (side * side * filters[-1] + 1) * units


def _never_pools(side, channels, filters, units, pooled):
    return count_parameters(side, channels, filters, units, False)


def _global_head(side, channels, filters, units, pooled):
    return count_parameters(1, channels, filters, units, False)


def _per_position(side, channels, filters, units, pooled):
    total = 0
    for count in filters:
        total += side * side * (9 * channels + 1) * count
        channels = count
        side = side // 2 if pooled else side
    return total + (side * side * channels + 1) * units


def _rounds_up(side, channels, filters, units, pooled):
    for_dense = side
    for _ in filters:
        for_dense = -(-for_dense // 2) if pooled else for_dense
    convolutions = count_parameters(1, channels, filters, 0, False)
    return convolutions + (for_dense**2 * filters[-1] + 1) * units


def _check_count(answer):
    messages = {
        _no_bias: "each filter and each unit also has a bias.",
        _one_channel: "a filter sees all channels of its input, 3 · 3 · channels weights; after "
        "the first convolution the channels are the filters of the layer before.",
        _per_position: "all positions share the weights of a filter: height and width of the map "
        "do not multiply the parameters of a convolution.",
        _never_pools: "with `pooled` each convolution is followed by pooling, which halves the "
        "side of the map that the dense layer gets.",
        _global_head: "Flatten keeps every position: the dense layer has side · side · channels "
        "inputs.",
        _rounds_up: "pooling drops an odd last row: a side of 7 becomes 3.",
    }
    cases = ((28, 1, (8, 16, 32), 10, True), (28, 1, (4,), 10, False), (9, 3, (2, 5), 4, True))
    for case in cases:
        right, result = count_parameters(*case), answer(*case)
        if result == right:
            continue
        told = "for side {}, {} channels, filters {}, {} units, pooled={}: ".format(*case)
        for wrong, message in messages.items():
            if result == wrong(*case):
                raise WrongAnswer(told + message)
        raise WrongAnswer(f"{told}it must be {right:,}, not {result}.")


def shift_right(pictures, pixels):
    """Return pictures (N, H, W) moved to the right, with zeros where nothing was."""
    moved = np.zeros_like(pictures)
    moved[:, :, pixels:] = pictures[:, :, : pictures.shape[2] - pixels]
    return moved


def _wraps_around(pictures, pixels):
    return np.roll(pictures, pixels, axis=2)


def _moves_left(pictures, pixels):
    return shift_right(pictures[:, :, ::-1], pixels)[:, :, ::-1]


def _moves_down(pictures, pixels):
    return shift_right(pictures.transpose(0, 2, 1), pixels).transpose(0, 2, 1)


def _repeats_the_border(pictures, pixels):
    left = np.repeat(pictures[:, :, :1], pixels, axis=2)
    return np.concatenate([left, pictures], axis=2)[:, :, : pictures.shape[2]]


def _moves_in_place(pictures, pixels):
    moved = shift_right(pictures, pixels)
    pictures[:] = moved
    return pictures


def _check_shift(answer):
    rng = np.random.default_rng(16)
    messages = {
        _wraps_around: "what leaves on the right comes back on the left; there must be zeros.",
        _moves_left: "your pictures move to the left.",
        _moves_down: "your pictures move down; the columns are the last axis.",
        _repeats_the_border: "the new columns on the left must be zeros, not copies of the old "
        "first column.",
    }
    for pixels in (2, 0, 5):
        pictures = rng.integers(1, 10, size=(3, 5, 6)).astype(float)
        given = pictures.copy()
        result = np.asarray(answer(given, pixels), dtype=float)
        right = shift_right(pictures, pixels)
        if result.shape != right.shape:
            raise WrongAnswer(f"return an array of shape {right.shape}; yours has {result.shape}.")
        if np.array_equal(result, right):
            if not np.array_equal(given, pictures):
                raise WrongAnswer("the result is right, but you changed the caller's pictures.")
            continue
        for wrong, message in messages.items():
            if np.array_equal(result, wrong(pictures.copy(), pixels)):
                raise WrongAnswer(f"for {pixels} pixels: {message}")
        raise WrongAnswer(
            f"for {pixels} pixels the first row must become {right[0, 0].tolist()}, not "
            f"{result[0, 0].tolist()}."
        )


def steps_to_forget(momentum, share):
    """Return after how many steps the start has at most this share of a moving average."""
    steps, left = 0, 1.0
    while left > share:
        steps, left = steps + 1, left * momentum
    return steps


def _linear(momentum, share):
    return int(np.ceil((1 - share) / (1 - momentum)))


def _rounded_down(momentum, share):
    return int(np.log(share) / np.log(momentum))


def _time_constant(momentum, share):
    return round(1 / (1 - momentum))


def _share_of_the_new(momentum, share):
    return steps_to_forget(momentum, 1 - share)


def _new_weight(momentum, share):
    return steps_to_forget(1 - momentum, share)


def _check_forget(answer):
    messages = {
        _rounded_down: "one step earlier the start still has more than this share: round up.",
        _linear: "a step takes away a share of what is *left*, not always the same amount: after "
        "s steps momentum ** s is left.",
        _time_constant: "1 / (1 - momentum) steps leave about 37 %; the answer depends on `share`.",
        _share_of_the_new: "`share` is what may be left of the start, not what must be new.",
        _new_weight: "the old average is multiplied by `momentum`, the new value by 1 - momentum.",
    }
    for case in ((0.99, 0.05), (0.9, 0.05), (0.5, 0.3), (0.8, 0.7)):
        right, result = steps_to_forget(*case), answer(*case)
        if result == right:
            continue
        told = f"for momentum {case[0]} and share {case[1]}: "
        for wrong, message in messages.items():
            if result == wrong(*case):
                raise WrongAnswer(told + message)
        raise WrongAnswer(f"{told}it must be {right}, not {result}.")


def residual(x, w1, w2):
    """Return relu(x + f(x)) with f(x) = relu(x w1) w2."""
    return np.maximum(x + np.maximum(x @ w1, 0) @ w2, 0)


def _plain(x, w1, w2):
    return np.maximum(np.maximum(x @ w1, 0) @ w2, 0)


def _bend_before_adding(x, w1, w2):
    return x + np.maximum(np.maximum(x @ w1, 0) @ w2, 0)


def _without_last_bend(x, w1, w2):
    return x + np.maximum(x @ w1, 0) @ w2


def _without_inner_bend(x, w1, w2):
    return np.maximum(x + x @ w1 @ w2, 0)


def _multiplies(x, w1, w2):
    return np.maximum(x * (np.maximum(x @ w1, 0) @ w2), 0)


def _check_residual(answer):
    rng = np.random.default_rng(17)
    messages = {
        _plain: "x itself is missing: the way round the two layers must be added.",
        _bend_before_adding: "the last ReLU comes after the addition, not before it.",
        _without_last_bend: "the sum goes through a ReLU, too.",
        _without_inner_bend: "between the two layers of f stands a ReLU; without it f is one "
        "linear layer.",
        _multiplies: "the block *adds* x to f(x); it does not multiply.",
    }
    for zero in (False, True):
        x, w1, w2 = (rng.normal(size=shape) for shape in ((5, 4), (4, 3), (3, 4)))
        w2 = 0 * w2 if zero else w2
        right, result = residual(x, w1, w2), np.asarray(answer(x, w1, w2), dtype=float)
        if result.shape != right.shape:
            raise WrongAnswer(f"return an array of shape {right.shape}; yours has {result.shape}.")
        if np.allclose(result, right):
            continue
        for wrong, message in messages.items():
            if np.allclose(result, wrong(x, w1, w2)):
                raise WrongAnswer(message)
        raise WrongAnswer(f"the first number must be {right[0, 0]:.4g}, not {result[0, 0]:.4g}.")


EXERCISES = (
    Exercise(
        id="16.1",
        title="Count a network by hand",
        prompt=(
            "Write `count_parameters(side, channels, filters, units, pooled)`: the weights and "
            "biases of a network for pictures of `side` times `side` pixels. For each entry of "
            "`filters` comes a convolution with so many filters of 3 × 3, which keeps height and "
            "width; with `pooled` a 2 × 2 pooling follows each. Then Flatten and one dense layer "
            "with `units` units."
        ),
        hints=(
            "A filter sees 3 · 3 · channels numbers and has one bias.",
            "After a convolution the number of channels is its number of filters.",
            "The dense layer gets side · side · channels numbers; pooling makes the side "
            "`side // 2`.",
        ),
        check=_check_count,
        reference=count_parameters,
        explanation=(
            "The side of the picture enters only in the last line, the dense layer after Flatten. "
            "With global pooling that line would be (channels + 1) * units, for every size."
        ),
        wrong=(
            (_no_bias, "also has a bias"),
            (_one_channel, "sees all channels"),
            (_per_position, "share the weights"),
            (_never_pools, "halves the"),
            (_global_head, "keeps every position"),
            (_rounds_up, "drops an odd last row"),
        ),
    ),
    Exercise(
        id="16.2",
        title="Shift without wrapping around",
        prompt=(
            "Write `shift_right(pictures, pixels)`: pictures of shape (N, H, W), moved to the "
            "right by a whole number of pixels from 0 to W - 1. Zeros come in on the left. Do not "
            "change the caller's array."
        ),
        hints=(
            "Start from `np.zeros_like(pictures)`.",
            "The columns from `pixels` on get the first `W - pixels` columns of the old pictures.",
            "Beware of `[:-pixels]` with 0 pixels: it is empty.",
        ),
        check=_check_shift,
        reference=shift_right,
        explanation=(
            "`np.roll` would bring back on the left what leaves on the right; a digit cut in two "
            "is another test than a digit moved."
        ),
        wrong=(
            (_wraps_around, "comes back on the left"),
            (_moves_left, "to the left"),
            (_moves_down, "move down"),
            (_repeats_the_border, "must be zeros"),
            (_moves_in_place, "changed the caller's"),
        ),
    ),
    Exercise(
        id="16.3",
        title="How long a moving average remembers",
        prompt=(
            "Batch normalization keeps moving averages: at each step `average = momentum * average "
            "+ (1 - momentum) * new`. Write `steps_to_forget(momentum, share)`: after how many "
            "steps does what the average started from count for at most `share` of it? Both are "
            "between 0 and 1."
        ),
        hints=(
            "After one step the start counts for `momentum`, after two for `momentum ** 2`.",
            "You look for the smallest whole number s with momentum ** s <= share.",
            "A loop will do, or a logarithm, rounded up.",
        ),
        check=_check_forget,
        reference=steps_to_forget,
        explanation=(
            "With 0.99 it takes 299 steps to forget all but 5 % of the start, with 0.9 it takes "
            "29. A short training is over before the first has happened."
        ),
        wrong=(
            (_rounded_down, "round up"),
            (_linear, "a share of what is *left*"),
            (_time_constant, "depends on `share`"),
            (_share_of_the_new, "not what must be new"),
            (_new_weight, "the old average is multiplied"),
        ),
    ),
    Exercise(
        id="16.4",
        title="A residual block",
        prompt=(
            "Write `residual(x, w1, w2)`: a residual block of two dense layers without biases. "
            "`x` has the shape (N, D), `w1` (D, E), `w2` (E, D). f(x) is a layer with ReLU and a "
            "layer without; the block returns ReLU(x + f(x))."
        ),
        hints=(
            "ReLU is `np.maximum(…, 0)`.",
            "f(x) is `np.maximum(x @ w1, 0) @ w2`.",
            "Add x before the last ReLU.",
        ),
        check=_check_residual,
        reference=residual,
        explanation=(
            "With w2 = 0 the block passes on what is not negative in x: a stack of such blocks "
            "begins by doing nothing, while a plain stack without x gives zeros."
        ),
        wrong=(
            (_plain, "x itself is missing"),
            (_bend_before_adding, "after the addition"),
            (_without_last_bend, "goes through a ReLU"),
            (_without_inner_bend, "between the two layers"),
            (_multiplies, "*adds* x"),
        ),
    ),
)
