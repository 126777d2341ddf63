"""Exercises of lesson 05, gradient descent."""

import math

import numpy as np

from dlnotes.exercises.base import Exercise, WrongAnswer


def count_updates(num_rows, batch_size, epochs):
    """Return the number of updates that `epochs` passes over the rows make."""
    return epochs * -(-num_rows // batch_size)


def _without_the_last_batch(num_rows, batch_size, epochs):
    return epochs * (num_rows // batch_size)


def _rounded_at_the_end(num_rows, batch_size, epochs):
    return math.ceil(epochs * num_rows / batch_size)


def _epochs_alone(num_rows, batch_size, epochs):
    return epochs


def _check_count(answer):
    for case in ((50, 1, 10), (50, 50, 10), (310, 32, 3), (7, 10, 2), (1257, 8, 5)):
        rows, size, epochs = case
        right, result = count_updates(*case), answer(*case)
        if result == right:
            continue
        told = f"{rows} rows, batches of {size} and {epochs} epochs"
        if result == epochs:
            raise WrongAnswer(
                f"for {told} you count the epochs, {epochs}; an update is made after every batch."
            )
        if result == _without_the_last_batch(*case):
            raise WrongAnswer(
                f"for {told} the rows left over at the end of an epoch make one more, smaller "
                f"batch: {right} updates, not {result}."
            )
        if result == _rounded_at_the_end(*case):
            raise WrongAnswer(
                f"for {told} round up in every epoch, not once at the end: no batch mixes rows of "
                f"two epochs. It must be {right}, not {result}."
            )
        raise WrongAnswer(f"for {told} there are {right} updates, not {result}.")


def largest_rate(x):
    """Return 2/λmax of the Hessian (2/n)·xᵀx of the mean squared error."""
    return 2 / np.linalg.eigvalsh(2 * x.T @ x / len(x))[-1]


def _sum_instead_of_mean(x):
    return 2 / np.linalg.eigvalsh(x.T @ x)[-1]


def _sum_with_the_two(x):
    return 2 / np.linalg.eigvalsh(2 * x.T @ x)[-1]


def _without_the_two(x):
    return 2 / np.linalg.eigvalsh(x.T @ x / len(x))[-1]


def _one_over_lambda(x):
    return 1 / np.linalg.eigvalsh(2 * x.T @ x / len(x))[-1]


def _flattest_direction(x):
    return 2 / np.linalg.eigvalsh(2 * x.T @ x / len(x))[0]


def _check_largest_rate(answer):
    rng = np.random.default_rng(5)
    for shape in ((40, 3), (25, 2)):
        x = rng.normal(size=shape) * np.linspace(1, 3, shape[1])
        right, result = largest_rate(x), float(answer(x.copy()))
        if np.isclose(result, right):
            continue
        if np.isclose(result, _one_over_lambda(x)):
            raise WrongAnswer(
                "at your rate the steepest direction arrives in a single step; the factor "
                "1 - rate * λ may go down to -1, so twice that rate is allowed."
            )
        if np.isclose(result, _flattest_direction(x)):
            raise WrongAnswer(
                "your rate suits the flattest direction. The steepest one breaks first: which "
                "eigenvalue is its own?"
            )
        if np.isclose(result, _without_the_two(x)):
            raise WrongAnswer(
                "your rate is twice too large: the square of the error brings a factor 2 into the "
                "gradient, and so into the Hessian, 2 * x.T @ x / n."
            )
        if np.isclose(result, _sum_with_the_two(x)):
            raise WrongAnswer(
                "your rate is for the *sum* of the squared errors: divide the Hessian by the "
                "number of rows."
            )
        if np.isclose(result, _sum_instead_of_mean(x)):
            raise WrongAnswer(
                "your rate is for another loss: the Hessian of the *mean* squared error is "
                "2 * x.T @ x / n, divided by the number of rows."
            )
        raise WrongAnswer(f"for {len(x)} rows the limit is {right:.4g}; yours is {result:.4g}.")


def one_epoch(weights, x, y, rate, row_groups):
    """Return the weights after one step of the mean squared error for each batch."""
    for rows in row_groups:
        slope = 2 * x[rows].T @ (x[rows] @ weights - y[rows]) / len(rows)
        weights = weights - rate * slope
    return weights


def _old_weights(weights, x, y, rate, row_groups):
    new = weights
    for rows in row_groups:
        new = new - rate * 2 * x[rows].T @ (x[rows] @ weights - y[rows]) / len(rows)
    return new


def _sum_of_rows(weights, x, y, rate, row_groups):
    for rows in row_groups:
        weights = weights - rate * 2 * x[rows].T @ (x[rows] @ weights - y[rows])
    return weights


def _divided_by_all(weights, x, y, rate, row_groups):
    for rows in row_groups:
        weights = weights - rate * 2 * x[rows].T @ (x[rows] @ weights - y[rows]) / len(x)
    return weights


def _without_the_square(weights, x, y, rate, row_groups):
    return one_epoch(weights, x, y, rate / 2, row_groups)


def _uphill(weights, x, y, rate, row_groups):
    return one_epoch(weights, x, y, -rate, row_groups)


def _in_place(weights, x, y, rate, row_groups):
    for rows in row_groups:
        weights -= rate * 2 * x[rows].T @ (x[rows] @ weights - y[rows]) / len(rows)
    return weights


def _check_one_epoch(answer):
    rng = np.random.default_rng(7)
    x, start, rate = rng.normal(size=(7, 2)), np.array([1.0, -1.0]), 0.1
    y = x @ np.array([0.5, 2.0]) + rng.normal(size=7)
    cut = [np.array([4, 0, 6]), np.array([2, 1, 5]), np.array([3])]
    given = start.copy()
    result = np.asarray(answer(given, x.copy(), y.copy(), rate, cut), dtype=float)
    if result.shape != (2,):
        raise WrongAnswer(f"return the 2 new weights; yours have the shape {result.shape}.")
    if np.allclose(result, one_epoch(start, x, y, rate, cut)):
        if not np.array_equal(given, start):
            raise WrongAnswer(
                "the result is right, but `weights -= …` has also changed the caller's array. "
                "Write `weights = weights - …`."
            )
        return
    messages = {
        _old_weights: "every step must start where the last one ended: compute the gradient at "
        "the new weights, not at those the epoch began with.",
        _sum_of_rows: "the gradient of a batch is the *mean* over its rows: divide by the number "
        "of rows in the batch.",
        _divided_by_all: "divide by the number of rows in this batch, not in the whole table.",
        _without_the_square: "the factor 2 is missing: the gradient of a squared error is "
        "twice the error times the input.",
        _uphill: "your steps go uphill: the gradient points up, so subtract it.",
    }
    for wrong, message in messages.items():
        if np.allclose(result, wrong(start, x, y, rate, cut)):
            raise WrongAnswer(message)
    right = np.round(one_epoch(start, x, y, rate, cut), 4).tolist()
    raise WrongAnswer(
        f"after the batches [4, 0, 6], [2, 1, 5], [3] the weights must be {right}; "
        f"yours are {np.round(result, 4).tolist()}."
    )


def steps_needed(eigenvalues, rate, share):
    """Return the steps until every direction's distance is at most `share` of its start."""
    factor = np.max(np.abs(1 - rate * np.asarray(eigenvalues)))
    if factor >= 1:
        return math.inf
    if factor == 0:
        return 1
    return math.ceil(math.log(share) / math.log(factor))


def _steepest_only(eigenvalues, rate, share):
    return steps_needed([np.max(eigenvalues)], rate, share)


def _flattest_only(eigenvalues, rate, share):
    return steps_needed([np.min(eigenvalues)], rate, share)


def _never_infinite(eigenvalues, rate, share):
    factor = np.max(np.abs(1 - rate * np.asarray(eigenvalues)))
    return math.ceil(math.log(share) / math.log(factor))


def _zero_at_once(eigenvalues, rate, share):
    factor = np.max(np.abs(1 - rate * np.asarray(eigenvalues)))
    return 0 if factor == 0 else steps_needed(eigenvalues, rate, share)


def _one_counts_as_shrinking(eigenvalues, rate, share):
    factor = np.max(np.abs(1 - rate * np.asarray(eigenvalues)))
    return 1 if factor == 1 else steps_needed(eigenvalues, rate, share)


def _check_steps_needed(answer):
    cases = (
        ([0.2, 4.0], 0.3, 0.01),  # the flattest direction is the slowest
        ([0.5, 4.0], 0.49, 0.01),  # the steepest one: it zigzags
        ([1.0, 2.0, 8.0], 0.1, 0.001),
        ([0.2, 4.0], 0.6, 0.01),  # beyond the limit
        ([0.5, 2.0], 1.0, 0.01),  # on the limit
        ([0.0, 2.0], 0.5, 0.01),  # a flat direction
        ([2.0], 0.5, 0.01),  # there in one step
    )
    for eigenvalues, rate, share in cases:
        right = steps_needed(eigenvalues, rate, share)
        factor = max(abs(1 - rate * value) for value in eigenvalues)
        try:
            with np.errstate(all="ignore"):
                result = answer(np.array(eigenvalues), rate, share)
        except (ValueError, OverflowError, ZeroDivisionError):
            if factor not in (0, 1):
                raise
            result = "an error"
        if result == right:
            continue
        told = f"eigenvalues {eigenvalues}, rate {rate:g} and share {share:g}"
        if factor == 0:
            raise WrongAnswer(
                f"for {told} the factor is 0, whose logarithm does not exist: the distance is gone "
                f"after one step. It must be 1, not {result}."
            )
        if factor == 1:
            raise WrongAnswer(
                f"for {told} a direction has the factor 1 or -1: its distance never shrinks, so "
                f"the answer is infinity, not {result}."
            )
        if right == math.inf:
            raise WrongAnswer(
                f"for {told} a direction grows with every step: the answer is infinity, "
                f"not {result}."
            )
        if result == _steepest_only(eigenvalues, rate, share):
            raise WrongAnswer(
                f"for {told} you followed the steepest direction only; the flattest one takes "
                f"longer, {right} steps."
            )
        if result == _flattest_only(eigenvalues, rate, share):
            raise WrongAnswer(
                f"for {told} the flattest direction is not the slowest: the steepest one zigzags "
                f"with the factor {1 - rate * max(eigenvalues):.3g} and takes {right} steps."
            )
        raise WrongAnswer(f"for {told} it takes {right} steps, not {result}.")


EXERCISES = (
    Exercise(
        id="05.1",
        title="Counting updates",
        prompt=(
            "Write `count_updates(num_rows, batch_size, epochs)`: how many updates of the weights "
            "does training make? Every row is used once in each epoch, and rows that are left "
            "over make a smaller batch."
        ),
        hints=(
            "How many batches has one epoch of 7 rows in batches of 3?",
            "`-(-a // b)` and `math.ceil(a / b)` both divide and round up.",
            "Round up within an epoch, then multiply by the number of epochs.",
        ),
        check=_check_count,
        reference=count_updates,
        explanation=(
            "An epoch has ⌈n/b⌉ batches and so as many updates. With b = 1 that is n, with b = n "
            "it is 1."
        ),
        wrong=(
            (_epochs_alone, "you count the epochs"),
            (_without_the_last_batch, "one more, smaller batch"),
            (_rounded_at_the_end, "in every epoch"),
        ),
    ),
    Exercise(
        id="05.2",
        title="The largest rate",
        prompt=(
            "Write `largest_rate(x)` for a table of n rows and D columns: the learning rate above "
            "which batch gradient descent on the mean squared error diverges, from almost every "
            "start and whatever the targets. The model is `x @ weights`."
        ),
        hints=(
            "The Hessian of the mean squared error is `2 * x.T @ x / n`.",
            "`np.linalg.eigvalsh` returns a symmetric matrix's eigenvalues, the smallest first.",
            "The factor 1 - rate * λ of the steepest direction must not pass -1.",
        ),
        check=_check_largest_rate,
        reference=largest_rate,
        explanation=(
            "2/λmax. The targets move the lowest point, but not the curvature, so they do not "
            "matter. At 1/λmax the steepest direction would be done in one step."
        ),
        wrong=(
            (_one_over_lambda, "twice that rate"),
            (_flattest_direction, "flattest direction"),
            (_sum_instead_of_mean, "another loss"),
            (_sum_with_the_two, "the *sum* of"),
            (_without_the_two, "twice too large"),
        ),
    ),
    Exercise(
        id="05.3",
        title="One epoch by hand",
        prompt=(
            "Write `one_epoch(weights, x, y, rate, row_groups)`: one step for each batch in "
            "`row_groups` (arrays of row numbers, as `batches` of this lesson returns), on the "
            "mean squared error of `x @ weights`. Return the new weights, and do not change "
            "`weights` in place."
        ),
        hints=(
            "Inside the loop only `x[rows]` and `y[rows]` matter.",
            "The gradient is `2 * x[rows].T @ (x[rows] @ weights - y[rows]) / len(rows)`.",
            "Write `weights = weights - …` inside the loop, so that the next batch starts there.",
        ),
        check=_check_one_epoch,
        reference=one_epoch,
        explanation=(
            "This is `descend` for one epoch. The steps build on each other: that is why many "
            "small steps can do more than one large one."
        ),
        wrong=(
            (_old_weights, "where the last one ended"),
            (_sum_of_rows, "the *mean* over its rows"),
            (_divided_by_all, "not in the whole table"),
            (_without_the_square, "the factor 2 is missing"),
            (_uphill, "uphill"),
            (_in_place, "the caller's array"),
        ),
    ),
    Exercise(
        id="05.4",
        title="How long will it take?",
        prompt=(
            "Write `steps_needed(eigenvalues, rate, share)`: after how many steps of batch "
            "gradient descent has the distance to the minimum shrunk to `share` (such as 0.01) of "
            "its start, or less, in *every* eigen-direction of the Hessian? Return a whole number, "
            "or `np.inf` if it never does. Eigenvalues are 0 or more, and `share` lies between 0 "
            "and 1."
        ),
        hints=(
            "After t steps a direction's distance has been multiplied by |1 - rate * λ| to the "
            "power t.",
            "Only the largest of these factors matters, and it may belong to either end of the "
            "eigenvalues.",
            "factor**t <= share means t >= log(share) / log(factor); round up. With a factor of 1 "
            "or more it never happens; with 0 one step is enough.",
        ),
        check=_check_steps_needed,
        reference=steps_needed,
        explanation=(
            "The slowest direction decides. With a small rate it is the flattest, near the limit "
            "the steepest, which zigzags; at rate 2/(λmin + λmax) both are equally slow, and the "
            "walk is as short as it can be."
        ),
        wrong=(
            (_steepest_only, "the flattest one takes"),
            (_flattest_only, "the steepest one zigzags"),
            (_never_infinite, "grows with every step"),
            (_one_counts_as_shrinking, "the factor 1 or -1"),
            (_zero_at_once, "after one step"),
        ),
    ),
)
