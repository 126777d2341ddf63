"""Exercises of lesson 19, sequence data."""

import numpy as np

from dlnotes.exercises.base import Exercise, WrongAnswer


def count_windows(length, window, horizon, stride):
    """Return how many windows with their targets fit into a series."""
    return max(0, (length - window - horizon) // stride + 1)


def _targets_forgotten(length, window, horizon, stride):
    return max(0, (length - window) // stride + 1)


def _one_too_few(length, window, horizon, stride):
    return max(0, (length - window - horizon) // stride)


def _stride_forgotten(length, window, horizon, stride):
    return max(0, length - window - horizon + 1)


def _negative(length, window, horizon, stride):
    return (length - window - horizon) // stride + 1


def _towards_zero(length, window, horizon, stride):
    return max(0, int((length - window - horizon) / stride) + 1)


def _check_count_windows(answer):
    cases = ((10, 3, 1, 1), (12, 4, 2, 3), (11, 4, 2, 3), (5, 4, 1, 2), (4, 9, 1, 1), (5, 4, 2, 3))
    for case in cases:
        right, result = count_windows(*case), answer(*case)
        if result == right:
            continue
        told = "for {} values, a window of {}, {} to foretell and a stride of {}".format(*case)
        if result == _negative(*case):
            raise WrongAnswer(f"{told} nothing fits: there are 0 windows, not {result}.")
        if right == 0 and result == _towards_zero(*case):
            raise WrongAnswer(
                f"{told} nothing fits, so 0: `int` rounds a negative number up to 0, `//` down."
            )
        if result == _targets_forgotten(*case):
            raise WrongAnswer(f"{told} you left no room for the targets behind the last window.")
        if result == _one_too_few(*case):
            raise WrongAnswer(f"{told} you forgot the window that starts at 0, before any stride.")
        if result == _stride_forgotten(*case):
            raise WrongAnswer(f"{told} you start a window at every value; mind the stride.")
        raise WrongAnswer(f"{told} there must be {right} windows, not {result}.")


def before_cut(at, window, horizon, cut):
    """Return which windows and targets lie before the cut, as an array of booleans."""
    return at + horizon <= cut


def _first_target_only(at, window, horizon, cut):
    return at < cut


def _start_only(at, window, horizon, cut):
    return at - window < cut


def _one_too_many(at, window, horizon, cut):
    return at + horizon <= cut + 1


def _one_lost(at, window, horizon, cut):
    return at + horizon < cut


def _by_row(at, window, horizon, cut):
    return np.arange(len(at)) <= cut - window - horizon


def _without_gap(at, window, horizon, cut):
    return at - at[0] <= cut - window - horizon


def _check_before_cut(answer):
    cases = (
        (4, 3, 20, 1, 0),
        (5, 2, 11, 1, 0),
        (3, 1, 9, 1, 0),
        (4, 2, 15, 3, 0),
        (4, 2, 16, 1, 2),
    )
    for window, horizon, cut, stride, gap in cases:
        at = np.arange(window + gap, 30 - horizon + 1, stride)
        right = before_cut(at, window, horizon, cut)
        result = np.asarray(answer(at.copy(), window, horizon, cut))
        if result.shape != right.shape or result.dtype != bool:
            raise WrongAnswer("return one boolean for each window, an array like `at < 5`.")
        if np.array_equal(result, right):
            continue
        told = f"with {horizon} targets a window and the cut before place {cut},"
        if np.array_equal(result, _start_only(at, window, horizon, cut)):
            raise WrongAnswer(
                f"{told} you keep windows that begin before the cut and reach across it: `at` is "
                "the place of the first target, so the targets lie still further on."
            )
        if np.array_equal(result, _first_target_only(at, window, horizon, cut)):
            raise WrongAnswer(f"{told} you look at the first target only; others follow it.")
        if np.array_equal(result, _by_row(at, window, horizon, cut)):
            raise WrongAnswer(
                f"{told} you count the windows; with a stride or a gap only `at` tells where each "
                f"stands, here {at[:3].tolist()} …"
            )
        extra = at[result & ~right]
        if len(extra):
            raise WrongAnswer(
                f"{told} the window with its first target at {extra[0]} must go: its last target "
                f"stands at {extra[0] + horizon - 1}, where the test part has begun."
            )
        raise WrongAnswer(
            f"{told} you lose the window with its first target at {at[right & ~result][0]}; its "
            f"last target stands at {at[right & ~result][0] + horizon - 1}, before the cut."
        )


def masked_mean(vectors, mask):
    """Return each text's mean over its real tokens; zeros for a text without any."""
    count = mask.sum(axis=1, keepdims=True)
    return (vectors * mask[:, :, None]).sum(axis=1) / np.maximum(count, 1)


def _mean_of_all(vectors, mask):
    return vectors.mean(axis=1)


def _divided_by_length(vectors, mask):
    return (vectors * mask[:, :, None]).mean(axis=1)


def _not_a_number(vectors, mask):
    with np.errstate(invalid="ignore"):
        return (vectors * mask[:, :, None]).sum(axis=1) / mask.sum(axis=1, keepdims=True)


def _first_ones(vectors, mask):
    return masked_mean(vectors, np.arange(mask.shape[1]) < mask.sum(axis=1, keepdims=True))


def _check_masked_mean(answer):
    rng = np.random.default_rng(19)
    vectors = rng.integers(1, 9, size=(3, 4, 2)).astype(float)
    post = np.arange(4) < np.array([4, 2, 1])[:, None]
    empty = np.arange(4) < np.array([3, 0, 4])[:, None]
    hole = np.array([[1, 1, 0, 1], [0, 1, 0, 0], [1, 0, 1, 1]]) == 1
    for mask in (post, empty, post[:, ::-1], hole):
        right = masked_mean(vectors, mask)
        result = np.asarray(answer(vectors.copy(), mask.copy()), dtype=float)
        if result.shape != right.shape:
            raise WrongAnswer(
                f"one vector a text is wanted, shape {right.shape}; yours has {result.shape}."
            )
        if np.allclose(result, right):
            continue
        if np.allclose(result, _mean_of_all(vectors, mask)):
            raise WrongAnswer("you took the padding's vectors in; they are not zero.")
        if np.allclose(result, _divided_by_length(vectors, mask)):
            raise WrongAnswer("divide by the number of *real* tokens, not by T.")
        if np.allclose(result, _first_ones(vectors, mask)):
            raise WrongAnswer(
                "you take the first tokens, as many as are real; padding may stand before them, or "
                "a hole between them. Only the mask tells."
            )
        if np.isnan(result).any():
            raise WrongAnswer("a text of nothing but padding gives 0/0; let it have zeros.")
        raise WrongAnswer(f"for the mask {(mask + 0).tolist()} the means must be {right.tolist()}.")


def restore(history, steps, lag):
    """Return the levels that follow a history, from foretold differences over `lag` steps."""
    levels = list(history)
    for step in steps:
        levels.append(levels[-lag] + step)
    return np.array(levels[len(history) :])


def _summed_up(history, steps, lag):
    return history[-1] + np.cumsum(steps)


def _from_known_only(history, steps, lag):
    season = np.resize(history[-lag:], len(steps))
    return season + steps


def _on_the_last(history, steps, lag):
    return history[-1] + np.asarray(steps)


def _history_too(history, steps, lag):
    return np.concatenate([history, restore(history, steps, lag)])


def _phases_from_the_start(history, steps, lag):
    start = len(history) // lag * lag - lag
    return restore(history[start : start + lag], steps, lag)


def _two_rounds_only(history, steps, lag):
    once = restore(history, steps[:lag], lag)
    return np.resize(np.concatenate([history[-lag:], once]), len(steps) + lag)[: len(steps)] + steps


def _check_restore(answer):
    history = np.array([3.0, 8.0, 1.0, 5.0, 9.0, 2.0, 6.0])  # no whole number of rounds
    long = [1.0, 2.0, 4.0, 1.0, 1.0, -2.0, 3.0, 5.0]
    for steps, lag in (([1.0, -1.0, 2.0], 3), (long[:5], 3), (long, 3), ([2.0, 3.0], 1)):
        right = restore(history, steps, lag)
        result = np.asarray(answer(history.copy(), np.array(steps), lag), dtype=float)
        if result.shape == _history_too(history, steps, lag).shape:
            raise WrongAnswer("return only the new levels, one for each foretold difference.")
        if result.shape != right.shape:
            raise WrongAnswer(f"{len(steps)} levels are wanted; yours has shape {result.shape}.")
        if np.allclose(result, right):
            continue
        told = f"for the lag {lag} and the differences {steps}"
        if np.allclose(result, _on_the_last(history, steps, lag)):
            raise WrongAnswer(f"{told}: you add each to the last known level.")
        if np.allclose(result, _summed_up(history, steps, lag)):
            raise WrongAnswer(
                f"{told}: a running sum undoes differences of lag 1. Here each is counted from "
                f"the level {lag} steps before."
            )
        if np.allclose(result, _from_known_only(history, steps, lag)):
            raise WrongAnswer(
                f"{told}: after {lag} steps the level to start from is a foretold one, not the "
                "last known one of its phase."
            )
        if np.allclose(result, _phases_from_the_start(history, steps, lag)):
            raise WrongAnswer(
                f"{told}: you count the rounds from the history's first value. The first new level "
                f"starts from the one {lag} steps before it, wherever the history began."
            )
        raise WrongAnswer(f"{told} the levels must be {right.tolist()}, not {result.tolist()}.")


EXERCISES: tuple[Exercise, ...] = (
    Exercise(
        id="19.1",
        title="How many windows?",
        prompt=(
            "Write `count_windows(length, window, horizon, stride)`: how many windows of `window` "
            "values, each followed by `horizon` targets, fit into `length` values, when a new "
            "window starts every `stride` values? If none fits, 0."
        ),
        hints=(
            "The first window starts at 0. Where does the last one start at most?",
            "Its start plus `window` plus `horizon` must not exceed `length`.",
        ),
        check=_check_count_windows,
        reference=count_windows,
        explanation=(
            "Starts are 0, stride, 2·stride, … up to length − window − horizon. That is the "
            "number of whole strides, plus 1 for the start at 0; and 0 if even that does not fit."
        ),
        wrong=(
            (_targets_forgotten, "no room for the targets"),
            (_one_too_few, "starts at 0"),
            (_stride_forgotten, "mind the stride"),
            (_negative, "nothing fits"),
            (_towards_zero, "rounds a negative number up"),
            (lambda length, window, horizon, stride: -5, "there must be"),
        ),
    ),
    Exercise(
        id="19.2",
        title="Nothing across the cut",
        prompt=(
            "A series is cut before place `cut`: training before, test from there on. `at` holds "
            "the place of each window's first target, as `make_windows` returns it; each window "
            "has `horizon` targets. Write `before_cut(at, window, horizon, cut)`: for each window "
            "a boolean, whether the window and *all* its targets lie before the cut."
        ),
        hints=(
            "At which place does the last target of a window stand?",
            "The window itself lies before its targets, so only the last target can cross.",
        ),
        check=_check_before_cut,
        reference=before_cut,
        explanation=(
            "The last target stands at at + horizon − 1, and must be < cut. Windows that cross "
            "would teach values that the test asks for."
        ),
        wrong=(
            (_first_target_only, "first target only"),
            (_start_only, "reach across it"),
            (_one_too_many, "must go"),
            (_one_lost, "you lose the window"),
            (_by_row, "you count the windows"),
            (_without_gap, "you count the windows"),
            (lambda at, window, horizon, cut: at[at + horizon <= cut], "one boolean"),
        ),
    ),
    Exercise(
        id="19.3",
        title="A mean without the padding",
        prompt=(
            "`vectors` has shape (N, T, D), a vector for each token of N padded texts; `mask` has "
            "shape (N, T) and is True for real tokens. Write `masked_mean(vectors, mask)` that "
            "returns each text's mean over its real tokens, shape (N, D), and zeros for a text "
            "that holds nothing but padding."
        ),
        hints=(
            "`mask[:, :, None]` has shape (N, T, 1) and can be multiplied with the vectors.",
            "Divide the sum by the number of True in the row, but never by 0.",
        ),
        check=_check_masked_mean,
        reference=masked_mean,
        explanation=(
            "The mask takes padding out of the sum and out of the count. With np.maximum(count, "
            "1) an empty text is 0/1 = 0, and not 0/0."
        ),
        wrong=(
            (_mean_of_all, "padding's vectors"),
            (_divided_by_length, "number of *real* tokens"),
            (_not_a_number, "gives 0/0"),
            (lambda vectors, mask: vectors, "one vector a text"),
            (_first_ones, "Only the mask tells"),
            (lambda vectors, mask: vectors.max(axis=1), "the means must be"),
        ),
    ),
    Exercise(
        id="19.4",
        title="Back from differences",
        prompt=(
            "A model foretells differences over `lag` steps: by how much each coming value will "
            "exceed the one `lag` steps before it. Write `restore(history, steps, lag)` that "
            "returns the coming levels, as many as there are `steps`; `history` holds the known "
            "levels, at least `lag` of them. There may be more steps than `lag`."
        ),
        hints=(
            "The first new level is history[-lag] + steps[0].",
            "Append each new level to a list; then the next one's start is again at [-lag].",
        ),
        check=_check_restore,
        reference=restore,
        explanation=(
            "Each level is the one `lag` steps before it plus the difference. After `lag` steps "
            "the one before is itself foretold, so errors add up season by season."
        ),
        wrong=(
            (_summed_up, "a running sum undoes"),
            (_from_known_only, "is a foretold one"),
            (_on_the_last, "to the last known level"),
            (_history_too, "only the new levels"),
            (_phases_from_the_start, "wherever the history began"),
            (_two_rounds_only, "the levels must be"),
            (lambda history, steps, lag: steps[:1], "levels are wanted"),
            (lambda history, steps, lag: 0 * steps, "the levels must be"),
        ),
    ),
)
