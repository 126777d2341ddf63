"""Exercises of lesson 14, image preprocessing."""

import math

import numpy as np

from dlnotes.exercises.base import Exercise, WrongAnswer


def brighten(picture, amount):
    """Return the bytes of a picture made brighter (or darker) by `amount`, within 0 to 255."""
    return np.clip(picture.astype(int) + amount, 0, 255).astype(np.uint8)


def _runs_over(picture, amount):
    return (picture.astype(int) + amount).astype(np.uint8)


def _only_the_top(picture, amount):
    return np.minimum(picture.astype(int) + amount, 255).astype(np.uint8)


def _forgets_the_type(picture, amount):
    return np.clip(picture.astype(float) + amount, 0, 255)


def _squeezes(picture, amount):
    wide = picture.astype(float) + amount
    return (255 * (wide - wide.min()) / (wide.max() - wide.min())).astype(np.uint8)


def _check_brighten(answer):
    picture = np.array([[[0, 30, 100]], [[180, 220, 255]]], np.uint8)
    for amount in (60, -60, 0):
        given = picture.copy()
        result, right = np.asarray(answer(given, amount)), brighten(picture, amount)
        if not np.array_equal(given, picture):
            raise WrongAnswer("you changed the caller's picture; make a new array.")
        if result.shape != right.shape:
            raise WrongAnswer(f"return an array of the shape {right.shape}, not {result.shape}.")
        if np.array_equal(result, right):
            if result.dtype != np.uint8:
                raise WrongAnswer(
                    f"the values are right, but of type {result.dtype}: return bytes, np.uint8."
                )
            continue
        if amount < 0 and np.array_equal(result, _only_the_top(picture, amount)):
            raise WrongAnswer("cut off at the lower end, too: there is nothing darker than 0.")
        if np.array_equal(result, _runs_over(picture, amount)):
            raise WrongAnswer(
                "values beyond 255 came out as small ones, or values below 0 as large ones: a byte "
                "runs over. Cut off *before* you go back to bytes."
            )
        place = tuple(np.argwhere(result != right)[0])
        raise WrongAnswer(
            f"{picture[place]} made brighter by {amount} must be {right[place]}, not "
            f"{result[place]}: add the amount, then cut off at 0 and 255."
        )


def to_square(picture):
    """Return the picture in the middle of a black square as wide as its longer side."""
    height, width, channels = picture.shape
    side = max(height, width)
    square = np.zeros((side, side, channels), picture.dtype)
    top, left = (side - height) // 2, (side - width) // 2
    square[top : top + height, left : left + width] = picture
    return square


def _in_the_corner(picture):
    height, width, channels = picture.shape
    square = np.zeros((max(height, width),) * 2 + (channels,), picture.dtype)
    square[:height, :width] = picture
    return square


def _cuts(picture):
    height, width, _ = picture.shape
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return picture[top : top + side, left : left + side]


def _stretches(picture):
    height, width, _ = picture.shape
    side = max(height, width)
    rows, columns = np.arange(side) * height // side, np.arange(side) * width // side
    return picture[rows][:, columns]


def _forgets_the_bytes(picture):
    return to_square(picture.astype(float))


def _check_to_square(answer):
    rng = np.random.default_rng(14)
    for shape in ((2, 6, 3), (7, 3, 1), (4, 4, 3)):
        picture = rng.integers(1, 256, shape, dtype=np.uint8)
        result, right = np.asarray(answer(picture.copy())), to_square(picture)
        if np.array_equal(result, right):
            if result.dtype != right.dtype:
                raise WrongAnswer(
                    f"keep the picture's type, {right.dtype}: yours is {result.dtype}."
                )
            continue
        told = f"for a picture of shape {shape}: "
        if np.array_equal(result, _cuts(picture)):
            raise WrongAnswer(told + "you cut the picture; nothing of it may be lost.")
        if np.array_equal(result, _stretches(picture)):
            raise WrongAnswer(
                told + "you stretched it: a circle would become an ellipse. Fill up with 0 instead."
            )
        if np.array_equal(result, _in_the_corner(picture)):
            raise WrongAnswer(told + "put the picture in the middle of the square.")
        if result.shape != right.shape:
            raise WrongAnswer(f"{told}return the shape {right.shape}, not {result.shape}.")
        raise WrongAnswer(
            f"{told}the picture must stand unchanged from row {(len(right) - shape[0]) // 2} and "
            f"column {(len(right) - shape[1]) // 2} on, with 0 around it."
        )


def white_after_median(rate, side):
    """Return the chance that a median of side × side pixels is white, if a share `rate` is."""
    number = side * side
    return sum(
        math.comb(number, k) * rate**k * (1 - rate) ** (number - k)
        for k in range(number // 2 + 1, number + 1)
    )


def _half_of_the_rate(rate, side):
    return white_after_median(rate / 2, side)


def _one_too_few(rate, side):
    number = side * side
    return sum(
        math.comb(number, k) * rate**k * (1 - rate) ** (number - k)
        for k in range(number // 2, number + 1)
    )


def _exactly_the_majority(rate, side):
    number, k = side * side, side * side // 2 + 1
    return math.comb(number, k) * rate**k * (1 - rate) ** (number - k)


def _without_arrangements(rate, side):
    number = side * side
    return sum(rate**k * (1 - rate) ** (number - k) for k in range(number // 2 + 1, number + 1))


def _a_row(rate, side):
    return sum(
        math.comb(side, k) * rate**k * (1 - rate) ** (side - k)
        for k in range(side // 2 + 1, side + 1)
    )


def _check_white_after_median(answer):
    messages = {
        _half_of_the_rate: "here *all* hits are white, so a pixel is white with the chance `rate`, "
        "not half of it.",
        _one_too_few: "of 9 values the fifth is the middle one: 4 white ones are not yet enough.",
        _exactly_the_majority: "more than the bare majority is enough as well: add up all counts.",
        _without_arrangements: "k white pixels can lie in the window in many ways: count them with "
        "math.comb.",
        _a_row: "the window is a square of side · side pixels.",
    }
    for rate, side in ((0.3, 3), (0.5, 3), (0.4, 5), (0.0, 3), (1.0, 3)):
        right, result = white_after_median(rate, side), answer(rate, side)
        if np.ndim(result) == 0 and math.isclose(result, right, abs_tol=1e-9):
            continue
        told = f"for the rate {rate:g} and side {side}: "
        for wrong, message in messages.items():
            if np.ndim(result) == 0 and math.isclose(result, wrong(rate, side), abs_tol=1e-9):
                raise WrongAnswer(told + message)
        raise WrongAnswer(f"{told}it must be {right:.4g}, not {result}.")


def standardize_channels(train, test):
    """Return both standardised by the mean and spread of each channel of the training pictures."""
    mean, spread = train.mean(axis=(0, 1, 2)), train.std(axis=(0, 1, 2))
    return (train - mean) / spread, (test - mean) / spread


def _each_by_itself(train, test):
    return tuple((x - x.mean(axis=(0, 1, 2))) / x.std(axis=(0, 1, 2)) for x in (train, test))


def _one_for_all(train, test):
    return tuple((x - train.mean()) / train.std() for x in (train, test))


def _each_pixel(train, test):
    return tuple((x - train.mean(axis=0)) / train.std(axis=0) for x in (train, test))


def _each_picture(train, test):
    axes = {"axis": (1, 2), "keepdims": True}
    return tuple((x - x.mean(**axes)) / x.std(**axes) for x in (train, test))


def _by_the_variance(train, test):
    mean, variance = train.mean(axis=(0, 1, 2)), train.var(axis=(0, 1, 2))
    return (train - mean) / variance, (test - mean) / variance


def _check_standardize_channels(answer):
    rng = np.random.default_rng(14)
    scale, start = np.array([1.0, 5.0, 0.2]), np.array([0.0, 10.0, -1.0])
    train, test = (start + scale * rng.random((n, 4, 5, 3)) + n / 10 for n in (6, 3))
    messages = {
        _each_by_itself: "the test pictures must be treated as the training pictures are: use the "
        "numbers of the training pictures for both.",
        _one_for_all: "each channel has a mean and a spread of its own.",
        _each_pixel: "one mean and one spread a channel, over all pictures *and* all pixels.",
        _each_picture: "one mean and one spread a channel for all pictures together, not for each "
        "picture.",
        _by_the_variance: "divide by the standard deviation, not by its square.",
    }
    result = answer(train.copy(), test.copy())
    if not isinstance(result, tuple | list) or len(result) != 2:
        raise WrongAnswer("return two arrays: the training and the test pictures.")
    result = [np.asarray(part) for part in result]
    right = standardize_channels(train, test)
    for part, wanted in zip(result, right, strict=True):
        if part.shape != wanted.shape:
            raise WrongAnswer(f"the shape {wanted.shape} became {part.shape}: keep it.")
    if all(np.allclose(part, wanted) for part, wanted in zip(result, right, strict=True)):
        return
    for wrong, message in messages.items():
        pairs = zip(result, wrong(train, test), strict=True)
        if all(np.allclose(part, other) for part, other in pairs):
            raise WrongAnswer(message)
    raise WrongAnswer(
        f"the first value {train[0, 0, 0, 0]:.3f} must become {right[0][0, 0, 0, 0]:.3f}, not "
        f"{result[0][0, 0, 0, 0]:.3f}."
    )


EXERCISES = (
    Exercise(
        id="14.1",
        title="Brighter, in bytes",
        prompt="Write `brighten(picture, amount)`: a new picture of bytes (`np.uint8`) that is "
        "brighter by the whole number `amount`, or darker if it is negative. Whatever would leave "
        "the range from 0 to 255 stays at its end.",
        hints=(
            "A byte cannot hold 300, not even for a moment. Which type can?",
            "`picture.astype(int)` first, then add, then `np.clip`.",
            "Go back with `.astype(np.uint8)`, as the last step of all.",
        ),
        check=_check_brighten,
        reference=brighten,
        explanation="The sum is taken among whole numbers of any size, cut off at 0 and 255, and "
        "only then stored as bytes. In bytes 220 + 60 would be 24.",
        wrong=(
            (_runs_over, "runs over"),
            (_only_the_top, "lower end"),
            (_forgets_the_type, "np.uint8"),
            (_squeezes, "add the amount"),
        ),
    ),
    Exercise(
        id="14.2",
        title="Into a square",
        prompt="A network wants squares, and stretching a picture would make ellipses of circles. "
        "Write `to_square(picture)`: the picture (H, W, C) in the middle of a square as wide as "
        "its longer side, with 0 around it, in the same type. If the space left over is odd, the "
        "smaller half of it comes before the picture.",
        hints=(
            "Begin with `np.zeros((side, side, C), picture.dtype)`.",
            "The space above is `(side - H) // 2` rows.",
            "`square[top : top + H, left : left + W] = picture`.",
        ),
        check=_check_to_square,
        reference=to_square,
        explanation="Keras' `Resizing(…, pad_to_aspect_ratio=True)` does the same before it "
        "resizes. The black bars are the price; `crop_to_aspect_ratio=True` pays with the borders "
        "of the picture instead.",
        wrong=(
            (_in_the_corner, "in the middle"),
            (_cuts, "nothing of it may be lost"),
            (_stretches, "stretched"),
            (_forgets_the_bytes, "keep the picture's type"),
        ),
    ),
    Exercise(
        id="14.3",
        title="Only salt",
        prompt="A sensor has a fault that makes pixels white, never black: each with the chance "
        "`rate`, independently. Write `white_after_median(rate, side)`: with which chance is a "
        "pixel white *after* a median filter over side × side pixels? (No pixel was white before; "
        "`side` is odd.) Then try a rate of 0.5. Is a larger window better there?",
        hints=(
            "The median of 9 values is white when at least 5 of them are.",
            "The chance of exactly k white ones among n is `math.comb(n, k) * rate**k * "
            "(1 - rate) ** (n - k)`.",
            "Add it up for k from `n // 2 + 1` to n, with n = side · side.",
        ),
        check=_check_white_after_median,
        reference=white_after_median,
        explanation="With salt alone the median breaks down when half of the pixels are hit: at a "
        "rate of 0.5 every window size leaves half of them white. With salt *and* pepper it takes "
        "more, since neither colour alone has the majority.",
        wrong=(
            (_half_of_the_rate, "not half of it"),
            (_one_too_few, "not yet enough"),
            (_exactly_the_majority, "add up all counts"),
            (_without_arrangements, "math.comb"),
            (_a_row, "square of side"),
        ),
    ),
    Exercise(
        id="14.4",
        title="One spread a channel",
        prompt="Write `standardize_channels(train, test)`: standardise colour pictures of shape "
        "(N, H, W, C), with one mean and one standard deviation for each channel, and return both "
        "sets. Where must these numbers come from?",
        hints=(
            "The network has to find a test pixel of 100 where it found a training pixel of 100.",
            "`train.mean(axis=(0, 1, 2))` has one number a channel.",
        ),
        check=_check_standardize_channels,
        reference=standardize_channels,
        explanation="All numbers come from the training pictures. A test set standardised by "
        "itself would hide that its pictures are darker, and a single test picture has no spread "
        "of its own to speak of.",
        wrong=(
            (_each_by_itself, "treated as the training pictures"),
            (_one_for_all, "of its own"),
            (_each_pixel, "one spread a channel, over all"),
            (_each_picture, "not for each picture"),
            (_by_the_variance, "standard deviation, not by its square"),
        ),
    ),
)
