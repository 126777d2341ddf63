"""Exercises of lesson 18, inside convolutional networks."""

import numpy as np

from dlnotes.exercises.base import Exercise, WrongAnswer


def smallest_epsilon(x, weights, bias):
    """Return for each row the smallest ε that brings a linear score to 0, all pixels moving."""
    return np.abs(x @ weights + bias) / np.abs(weights).sum()


def _euclidean(x, weights, bias):
    return np.abs(x @ weights + bias) / np.linalg.norm(weights)


def _largest_weight(x, weights, bias):
    return np.abs(x @ weights + bias) / np.abs(weights).max()


def _without_bias(x, weights, bias):
    return np.abs(x @ weights) / np.abs(weights).sum()


def _signed(x, weights, bias):
    return (x @ weights + bias) / np.abs(weights).sum()


def _sum_of_weights(x, weights, bias):
    return np.abs(x @ weights + bias) / np.abs(weights.sum())


def _check_smallest_epsilon(answer):
    rng = np.random.default_rng(18)
    messages = {
        _euclidean: "‖w‖₂ is right for the shortest way in a straight line. Here every pixel may "
        "move by ε at once, so the score changes by up to ε times the *sum* of |w|.",
        _largest_weight: "all pixels move, not only the one with the largest weight.",
        _without_bias: "the score is x · w + b; the bias decides with.",
        _signed: "ε is a size: rows on the negative side need a positive ε as well.",
        _sum_of_weights: "each pixel goes its own best way, so weights of opposite sign must not "
        "cancel: take absolute values before the sum.",
    }
    for columns in (6, 3):
        x, weights = rng.normal(size=(5, columns)), rng.normal(size=columns)
        x[1] = -2 * x[0]  # a row on either side
        right = smallest_epsilon(x, weights, 0.7)
        result = np.asarray(answer(x.copy(), weights.copy(), 0.7), dtype=float)
        if result.shape != right.shape:
            raise WrongAnswer(f"return one ε a row, shape (5,); yours has {result.shape}.")
        if np.allclose(result, right):
            continue
        for wrong, message in messages.items():
            if np.allclose(result, wrong(x, weights, 0.7)):
                raise WrongAnswer(message)
        raise WrongAnswer(
            f"the score of the first row is {x[0] @ weights + 0.7:.3f}, and a step of ε changes it "
            f"by up to {np.abs(weights).sum():.3f} ε: ε must be {right[0]:.4f}, "
            f"not {result[0]:.4f}."
        )


def put_back(moved, original, epsilon):
    """Return the picture nearest to `moved` in the ball around `original` and in 0 to 1."""
    return np.clip(np.clip(moved, original - epsilon, original + epsilon), 0, 1)


def _range_only(moved, original, epsilon):
    return np.clip(moved, 0, 1)


def _ball_only(moved, original, epsilon):
    return np.clip(moved, original - epsilon, original + epsilon)


def _shrinks(moved, original, epsilon):
    change = moved - original
    return np.clip(original + change * min(1, epsilon / np.abs(change).max()), 0, 1)


def _signs(moved, original, epsilon):
    return np.clip(original + epsilon * np.sign(moved - original), 0, 1)


def _around_zero(moved, original, epsilon):
    return np.clip(np.clip(moved, -epsilon, epsilon), 0, 1)


def _back_to_start(moved, original, epsilon):
    inside = np.abs(moved - original) <= epsilon
    return np.clip(np.where(inside, moved, original), 0, 1)


def _check_put_back(answer):
    rng = np.random.default_rng(19)
    messages = {
        _range_only: "a pixel moved by more than ε; the ball counts too.",
        _ball_only: "a pixel left the range 0 to 1; no picture has such pixels.",
        _shrinks: "you shrink the whole change. Each pixel has its own interval from original − ε "
        "to original + ε; one that is inside stays where it is.",
        _signs: "a pixel that moved by less than ε is allowed to stay there; only what is outside "
        "is put back.",
        _around_zero: "the ball lies around the *original*, not around 0.",
        _back_to_start: "a pixel outside goes to the nearest value that is allowed, which is the "
        "edge of its interval, not back to where it started.",
    }
    for shape in ((6, 5), (2, 3, 4)):
        original = rng.random(shape)
        moved = original + rng.uniform(-0.4, 0.4, shape)
        given, right = moved.copy(), put_back(moved, original, 0.15)
        result = np.asarray(answer(given, original.copy(), 0.15), dtype=float)
        if result.shape != shape:
            raise WrongAnswer(f"return a picture of shape {shape}; yours has {result.shape}.")
        if np.allclose(result, right):
            if not np.array_equal(given, moved):
                raise WrongAnswer("the result is right, but you changed the caller's array.")
            continue
        for wrong, message in messages.items():
            if np.allclose(result, wrong(moved, original, 0.15)):
                raise WrongAnswer(message)
        raise WrongAnswer(
            f"for the original {original.flat[0]:.3f}, moved to {moved.flat[0]:.3f} with ε = 0.15, "
            f"it must be {right.flat[0]:.3f}, not {result.flat[0]:.3f}."
        )


def _in_place(moved, original, epsilon):
    np.clip(moved, original - epsilon, original + epsilon, out=moved)
    return np.clip(moved, 0, 1, out=moved)


def attribute(gradient, x, baseline, num_steps):
    """Return integrated gradients from the baseline to x, with midpoints."""
    shares = (np.arange(num_steps) + 0.5) / num_steps
    slopes = [gradient(baseline + share * (x - baseline)) for share in shares]
    return (x - baseline) * np.mean(slopes, axis=0)


def _at_x(gradient, x, baseline, num_steps):
    return (x - baseline) * gradient(x)


def _left_ends(gradient, x, baseline, num_steps):
    slopes = [gradient(baseline + i / num_steps * (x - baseline)) for i in range(num_steps)]
    return (x - baseline) * np.mean(slopes, axis=0)


def _without_distance(gradient, x, baseline, num_steps):
    shares = (np.arange(num_steps) + 0.5) / num_steps
    return np.mean([gradient(baseline + s * (x - baseline)) for s in shares], axis=0)


def _scales_x(gradient, x, baseline, num_steps):
    shares = (np.arange(num_steps) + 0.5) / num_steps
    return (x - baseline) * np.mean([gradient(share * x) for share in shares], axis=0)


def _adds(gradient, x, baseline, num_steps):
    return num_steps * attribute(gradient, x, baseline, num_steps)


def _times_x(gradient, x, baseline, num_steps):
    return x * _without_distance(gradient, x, baseline, num_steps)


def _check_attribute(answer):
    messages = {
        _at_x: "you take the gradient at x alone; it must be averaged over the whole way.",
        _left_ends: "you take the left ends 0, 1/n, …; the midpoints are (i + ½)/n.",
        _without_distance: "multiply the mean gradient by the distance x − baseline.",
        _scales_x: "the way starts at the baseline: the point at share α is "
        "baseline + α · (x − baseline).",
        _adds: "take the mean of the gradients, not their sum.",
        _times_x: "multiply by the distance x − baseline, not by x.",
    }

    def slope(v):  # of v₀³ + v₀ v₁ + 2 v₂
        return np.array([3 * v[0] ** 2 + v[1], v[0], 2.0])

    x, baseline = np.array([1.5, -1.0, 0.5]), np.array([0.5, 1.0, -1.0])
    for num_steps in (3, 8):
        right = attribute(slope, x, baseline, num_steps)
        result = np.asarray(answer(slope, x.copy(), baseline.copy(), num_steps), dtype=float)
        if result.shape != (3,):
            raise WrongAnswer(f"return one number a pixel, shape (3,); yours has {result.shape}.")
        if np.allclose(result, right):
            continue
        for wrong, message in messages.items():
            if np.allclose(result, wrong(slope, x, baseline, num_steps)):
                raise WrongAnswer(message)
        raise WrongAnswer(
            f"with {num_steps} steps the three attributions must be {np.round(right, 4)}, "
            f"not {np.round(result, 4)}."
        )


def occlusion(score, picture, size):
    """Return by how much the score falls when each square of the grid is blackened."""
    rows, columns = picture.shape[0] // size, picture.shape[1] // size
    drops = np.zeros((rows, columns))
    for i in range(rows):
        for j in range(columns):
            covered = picture.copy()
            covered[i * size : (i + 1) * size, j * size : (j + 1) * size] = 0
            drops[i, j] = score(picture) - score(covered)
    return drops


def _never_uncovers(score, picture, size):
    drops = np.zeros((picture.shape[0] // size, picture.shape[1] // size))
    covered = picture.copy()
    for i, j in np.ndindex(drops.shape):
        covered[i * size : (i + 1) * size, j * size : (j + 1) * size] = 0
        drops[i, j] = score(picture) - score(covered)
    return drops


def _rise(score, picture, size):
    return -occlusion(score, picture, size)


def _score_left(score, picture, size):
    return score(picture) - occlusion(score, picture, size)


def _shows_only(score, picture, size):
    drops = np.zeros((picture.shape[0] // size, picture.shape[1] // size))
    for i, j in np.ndindex(drops.shape):
        only = np.zeros_like(picture)
        place = np.s_[i * size : (i + 1) * size, j * size : (j + 1) * size]
        only[place] = picture[place]
        drops[i, j] = score(picture) - score(only)
    return drops


def _transposed(score, picture, size):
    return occlusion(score, picture, size).T


def _check_occlusion(answer):
    rng = np.random.default_rng(20)
    messages = {
        _never_uncovers: "the squares pile up: start each time from a fresh copy of the picture.",
        _rise: "an important square makes the score *fall*: original minus covered.",
        _score_left: "return the drop, the score of the whole picture minus that of the covered "
        "one, not the score that is left.",
        _shows_only: "you show only the square and cover the rest; it must be the other way round.",
        _transposed: "rows and columns are exchanged.",
    }
    for height, width, size in ((6, 6, 2), (6, 9, 3)):
        picture, weights = rng.random((height, width)), rng.normal(size=(height, width))

        def score(image, weights=weights):
            return float(np.tanh((weights * image).sum()) + (weights * image).max())

        given, right = picture.copy(), occlusion(score, picture, size)
        result = np.asarray(answer(score, given, size), dtype=float)
        if not np.array_equal(given, picture):
            raise WrongAnswer("you changed the caller's picture; cover a copy of it.")
        if result.shape == right.shape and np.allclose(result, right):
            continue
        for wrong, message in messages.items():
            guess = wrong(score, picture, size)
            if result.shape == guess.shape and np.allclose(result, guess):
                raise WrongAnswer(message)
        if result.shape != right.shape:
            raise WrongAnswer(
                f"a picture of {height} × {width} pixels has a grid of {right.shape} squares of "
                f"{size} × {size}; yours has the shape {result.shape}."
            )
        raise WrongAnswer(
            f"for the top left square the score falls by {right[0, 0]:.4f}, not {result[0, 0]:.4f}."
        )


def _spoils_the_picture(score, picture, size):
    drops = np.zeros((picture.shape[0] // size, picture.shape[1] // size))
    before = score(picture)
    for i, j in np.ndindex(drops.shape):
        place = np.s_[i * size : (i + 1) * size, j * size : (j + 1) * size]
        picture[place] = 0
        drops[i, j] = before - score(picture)
    return drops


EXERCISES = (
    Exercise(
        id="18.1",
        title="How near is the boundary?",
        prompt=(
            "A linear model answers yes where the score `x @ weights + bias` is above 0. Write "
            "`smallest_epsilon(x, weights, bias)`: for each row of `x` the smallest ε with which "
            "an attack, moving each pixel by at most ε, brings the score to 0. (No pixel range; "
            "`weights` has the shape (D,).)"
        ),
        hints=(
            "By how much does the score change if every pixel moves by ε in its best direction?",
            "A pixel with the weight w changes the score by up to ε · |w|; all pixels together "
            "by ε · Σ|w|.",
            "Divide the absolute score by `np.abs(weights).sum()`.",
        ),
        check=_check_smallest_epsilon,
        reference=smallest_epsilon,
        explanation=(
            "The score has to change by its own size, and a step of ε along the signs changes it "
            "by ε · Σ|w|. With more pixels the sum grows, and ε shrinks: that is Goodfellow's "
            "explanation of why small changes suffice."
        ),
        wrong=(
            (_euclidean, "the *sum* of |w|"),
            (_largest_weight, "all pixels move"),
            (_without_bias, "the bias decides with"),
            (_signed, "ε is a size"),
            (_sum_of_weights, "must not cancel"),
        ),
    ),
    Exercise(
        id="18.2",
        title="Back into the ball",
        prompt=(
            "After a step of PGD the picture `moved` may have gone too far. Write "
            "`put_back(moved, original, epsilon)`: the nearest picture whose pixels differ from "
            "`original` by at most `epsilon` and lie in 0 to 1. Do not change `moved` in place."
        ),
        hints=(
            "Each pixel can be treated alone: it has an interval of allowed values.",
            "`np.clip(values, low, high)` takes arrays for `low` and `high`.",
            "Clip to `original - epsilon` and `original + epsilon`, then to 0 and 1.",
        ),
        check=_check_put_back,
        reference=put_back,
        explanation=(
            "The ball of the largest change is a box: an interval for each pixel. So is the range. "
            "Both always overlap, since the original lies in both, and clipping to one after the "
            "other gives the nearest allowed picture."
        ),
        wrong=(
            (_range_only, "the ball counts too"),
            (_ball_only, "left the range"),
            (_shrinks, "its own interval"),
            (_signs, "allowed to stay there"),
            (_around_zero, "around the *original*"),
            (_back_to_start, "the edge of its interval"),
            (_in_place, "the caller's array"),
        ),
    ),
    Exercise(
        id="18.3",
        title="Integrated gradients",
        prompt=(
            "Write `attribute(gradient, x, baseline, num_steps)`: integrated gradients. "
            "`gradient(v)` returns the gradient of a score at v; `x` and `baseline` are arrays of "
            "the same shape. Average over the midpoints of `num_steps` equal parts of the way from "
            "`baseline` to `x`."
        ),
        hints=(
            "The midpoints have the shares (i + ½)/n for i = 0 … n − 1.",
            "The point at share α is `baseline + α * (x - baseline)`.",
            "The attribution is `(x - baseline)` times the mean of the gradients there.",
        ),
        check=_check_attribute,
        reference=attribute,
        explanation=(
            "Along the way the score changes by gradient · (x − baseline) · dα. Added up over the "
            "way, pixel by pixel, that is the whole change of the score: completeness."
        ),
        wrong=(
            (_at_x, "the gradient at x alone"),
            (_left_ends, "the left ends"),
            (_without_distance, "by the distance x − baseline"),
            (_scales_x, "starts at the baseline"),
            (_adds, "not their sum"),
            (_times_x, "not by x"),
        ),
    ),
    Exercise(
        id="18.4",
        title="Cover it and look",
        prompt=(
            "A map that needs no gradient. Write `occlusion(score, picture, size)`: cut the "
            "picture (H, W) into squares of `size` × `size` pixels, and return an array "
            "(H // size, W // size) with the drop of `score(picture)` when that one square is set "
            "to 0. H and W are multiples of `size`. Leave `picture` as it is."
        ),
        hints=(
            "Two loops, over rows and columns of squares.",
            "Square (i, j) is `[i * size : (i + 1) * size, j * size : (j + 1) * size]`.",
            "Cover a fresh `picture.copy()` each time; the drop is `score(picture)` minus the "
            "score of the copy.",
        ),
        check=_check_occlusion,
        reference=occlusion,
        explanation=(
            "Occlusion (Zeiler and Fergus, 2014) asks the network itself, with changes of full "
            "size instead of the slope of a small one. It needs one run for each square."
        ),
        wrong=(
            (_never_uncovers, "pile up"),
            (_rise, "makes the score *fall*"),
            (_score_left, "not the score that is left"),
            (_shows_only, "the other way round"),
            (_transposed, "rows and columns"),
            (_spoils_the_picture, "the caller's picture"),
        ),
    ),
)
