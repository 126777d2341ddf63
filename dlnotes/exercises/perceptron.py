"""Exercises of lesson 01, the perceptron."""

import numpy as np

from dlnotes.exercises.base import Exercise, WrongAnswer

_CORNERS = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])


def _check_nand(answer):
    values = np.asarray(answer, dtype=float)
    if values.shape != (3,):
        raise WrongAnswer(
            f"give three numbers (w1, w2, b); received an answer of shape {values.shape}."
        )
    w1, w2, b = values
    for (x1, x2), wanted in zip(_CORNERS, (1, 1, 1, 0), strict=True):
        z = w1 * x1 + w2 * x2 + b
        if int(z >= 0) != wanted:
            raise WrongAnswer(
                f"for the input ({x1}, {x2}) your sum is z = {z:g}, so the neuron answers "
                f"{int(z >= 0)}, but NAND is {wanted}."
            )


def signed_update(weights, bias, point, sign, rate):
    """Return the corrected weights and bias for a label of -1 or +1."""
    if sign * (point @ weights + bias) <= 0:
        return weights + rate * sign * point, bias + rate * sign
    return weights, bias


def _twice_the_step(weights, bias, point, sign, rate):
    error = sign - (1 if point @ weights + bias >= 0 else -1)
    return weights + rate * error * point, bias + rate * error


def _always(weights, bias, point, sign, rate):
    return weights + rate * sign * point, bias + rate * sign


def _without_bias(weights, bias, point, sign, rate):
    if sign * (point @ weights + bias) <= 0:
        weights = weights + rate * sign * point
    return weights, bias


def _check_signed_update(answer):
    weights, bias, rate = np.array([1.0, -2.0]), 0.5, 0.1
    cases = (
        (np.array([3.0, 1.0]), 1, "a positive point on the positive side needs no correction"),
        (np.array([1.0, 3.0]), -1, "a negative point on the negative side needs no correction"),
        (np.array([1.0, 2.0]), 1, "a positive point on the negative side is added once"),
        (np.array([4.0, 1.0]), -1, "a negative point on the positive side is subtracted once"),
    )
    for point, sign, rule in cases:
        result = answer(weights.copy(), bias, point, sign, rate)
        if not isinstance(result, tuple) or len(result) != 2:
            raise WrongAnswer("return two things: the new weights and the new bias.")
        right_weights, right_bias = signed_update(weights, bias, point, sign, rate)
        if not np.allclose(result[0], right_weights):
            raise WrongAnswer(
                f"{rule}. For the point {point.tolist()} with sign {sign:+d} the weights "
                f"{weights.tolist()} must become {np.round(right_weights, 3).tolist()}; yours are "
                f"{np.round(np.asarray(result[0], dtype=float), 3).tolist()}."
            )
        if not np.isclose(result[1], right_bias):
            raise WrongAnswer(
                f"the bias is a weight whose input is always 1, so it moves too: {rule}. It must "
                f"become {right_bias:g}; yours is {float(result[1]):g}."
            )


def pocket(x, y, num_draws, rng):
    """Return the weights and bias that made the fewest mistakes on all rows along the way."""
    weights, bias = np.zeros(x.shape[1]), 0.0
    best, fewest = (weights, bias), np.inf
    for i in rng.integers(len(x), size=num_draws):
        error = y[i] - int(x[i] @ weights + bias >= 0)
        if error:
            weights, bias = weights + error * x[i], bias + error
            mistakes = np.sum((x @ weights + bias >= 0) != y)
            if mistakes < fewest:
                best, fewest = (weights, bias), mistakes
    return best


def _last_line(x, y, num_draws, rng):
    weights, bias = np.zeros(x.shape[1]), 0.0
    for i in rng.integers(len(x), size=num_draws):
        error = y[i] - int(x[i] @ weights + bias >= 0)
        weights, bias = weights + error * x[i], bias + error
    return weights, bias


def _changed_in_place(x, y, num_draws, rng):
    weights, bias = np.zeros(x.shape[1]), 0.0
    best, fewest = (weights, bias), np.inf
    for i in rng.integers(len(x), size=num_draws):
        error = y[i] - int(x[i] @ weights + bias >= 0)
        if error:
            weights += error * x[i]  # `best` holds this very array and changes with it
            bias += error
            mistakes = np.sum((x @ weights + bias >= 0) != y)
            if mistakes < fewest:
                best, fewest = (weights, bias), mistakes
    return best


def _check_pocket(answer):
    data = np.random.default_rng(5)
    x = np.concatenate([data.normal(0, 1, (60, 2)), data.normal(2, 1, (60, 2))])
    y = np.repeat([0, 1], 60)
    for start in range(5):
        result = answer(x.copy(), y.copy(), 400, np.random.default_rng(start))
        if not isinstance(result, tuple) or len(result) != 2:
            raise WrongAnswer("return two things: the weights and the bias.")
        weights, bias = np.asarray(result[0], dtype=float), float(result[1])
        if weights.shape != (2,):
            raise WrongAnswer(f"the weights must have shape (2,); yours have {weights.shape}.")
        right_weights, right_bias = pocket(x, y, 400, np.random.default_rng(start))
        mistakes = int(np.sum((x @ weights + bias >= 0) != y))
        fewest = int(np.sum((x @ right_weights + right_bias >= 0) != y))
        last_weights, last_bias = _last_line(x, y, 400, np.random.default_rng(start))
        if mistakes > fewest and np.allclose(weights, last_weights):
            if np.isclose(bias, last_bias):
                raise WrongAnswer(
                    f"you returned the last line, with {mistakes} mistakes on 120 points, but "
                    f"along the way there was one with {fewest}. Keep a second pair for the best."
                )
            raise WrongAnswer(
                "your bias is the best one's, but the weights are the last ones: `weights += …` "
                "also changed the array that you had put aside. Write `weights = weights + …`."
            )
        if mistakes > fewest + 3:
            raise WrongAnswer(
                f"on 120 points that overlap your line makes {mistakes} mistakes, but along the "
                f"way there was one that made {fewest}: compare after each correction."
            )


def bound(x, y, weights, bias):
    """Return Novikoff's bound (R / gamma)**2 for rows x, labels 0 or 1, and a separating line."""
    rows = np.column_stack([x, np.ones(len(x))])
    line = np.append(weights, bias)
    gamma = np.min((2 * y - 1) * (rows @ line)) / np.linalg.norm(line)
    return np.max(np.linalg.norm(rows, axis=1)) ** 2 / gamma**2


def _bound_with_labels_01(x, y, weights, bias):
    rows = np.column_stack([x, np.ones(len(x))])
    line = np.append(weights, bias)
    gamma = np.min(y * (rows @ line)) / np.linalg.norm(line)
    return np.max(np.linalg.norm(rows, axis=1)) ** 2 / max(gamma, 1e-9) ** 2


def _bound_of_long_weights(x, y, weights, bias):
    rows = np.column_stack([x, np.ones(len(x))])
    line = np.append(weights, bias)
    return np.max(np.linalg.norm(rows, axis=1)) ** 2 / np.min((2 * y - 1) * (rows @ line)) ** 2


def _bound_without_bias(x, y, weights, bias):
    gamma = np.min((2 * y - 1) * (x @ weights + bias)) / np.linalg.norm(weights)
    return np.max(np.linalg.norm(x, axis=1)) ** 2 / gamma**2


def _check_bound(answer):
    x, y = np.array([[2.0, 0.0], [0.0, 1.0], [3.0, 4.0]]), np.array([1, 0, 1])
    weights, bias = np.array([2.0, 0.0]), -2.0
    right, result = bound(x, y, weights, bias), float(answer(x, y, weights, bias))
    if np.isclose(result, right):
        longer = float(answer(x, y, 10 * weights, 10 * bias))
        if np.isclose(longer, right):
            return
    if np.isclose(result, _bound_of_long_weights(x, y, weights, bias)):
        raise WrongAnswer(
            "ten times the weights are the same line, so they must give the same bound: divide "
            "the smallest score by the length of the vector (w1, w2, b)."
        )
    if np.isclose(result, _bound_without_bias(x, y, weights, bias)):
        raise WrongAnswer(
            "the rule corrects the bias too, so it counts as a weight: give every row a last "
            "entry 1, and use (w1, w2, b) for the length."
        )
    raise WrongAnswer(
        f"for three points and the line 2·x1 - 2 = 0 the bound is {right:g}; yours is {result:g}. "
        "Use signs -1 and +1 for the labels when you take the smallest signed score."
    )


EXERCISES = (
    Exercise(
        id="01.1",
        title="A neuron by hand",
        prompt=(
            "NAND answers 0 only if both inputs are 1. Find weights and a bias with which one "
            "neuron computes it for the inputs (0, 0), (0, 1), (1, 0) and (1, 1). The neuron "
            "answers 1 when $z = w_1 x_1 + w_2 x_2 + b \\ge 0$. Write them as `(w1, w2, b)`."
        ),
        hints=(
            "Draw the four points. Which line cuts off the corner (1, 1)?",
            "The side that answers 1 contains (0, 0), so the bias is positive and the weights "
            "are negative.",
            "With w1 = w2 = -1, how large must b be for one 1 to pass, and two not?",
        ),
        check=_check_nand,
        reference=(-1.0, -1.0, 1.5),
        explanation=(
            "The line x1 + x2 = 1.5 separates (1, 1) from the three other corners; any line that "
            "does so is right. From NAND alone every logical circuit can be built."
        ),
        wrong=(
            ((1.0, 1.0, -1.5), "NAND is 1"),  # AND
            ((-1.0, -1.0, 0.5), "(0, 1)"),  # NOR
            ((-1.0, 1.5), "three numbers"),
        ),
    ),
    Exercise(
        id="01.2",
        title="Labels of minus one and plus one",
        prompt=(
            "Many papers write the labels as −1 and +1. Write the perceptron rule for them: "
            "`signed_update(weights, bias, point, sign, rate)` returns the new weights and the new "
            "bias. A point counts as wrong when `sign` times its score is not positive (so a "
            "score of 0 is always wrong). A correction then adds `rate * sign` times the point to "
            "the weights, and `rate * sign` to the bias."
        ),
        hints=(
            "A point is on the right side when its score has the same sign as its label. What is "
            "then the sign of their product?",
            "`rate * sign * point` is the whole correction, for both kinds of point.",
            "Nothing may change for a point that is right: test `sign * score <= 0` first.",
        ),
        check=_check_signed_update,
        reference=signed_update,
        explanation=(
            "sign · score > 0 says that the point is on its own side. With labels 0 and 1 the "
            "difference y - answer did both jobs; here it would be 2, twice the step."
        ),
        wrong=(
            (_twice_the_step, "added once"),
            (_always, "needs no correction"),
            (_without_bias, "the bias is a weight"),
        ),
    ),
    Exercise(
        id="01.3",
        title="A pocket for the best line",
        prompt=(
            "Where classes overlap the perceptron never settles, so the last line is a matter of "
            "luck. Write `pocket(x, y, num_draws, rng)` for labels 0 and 1: start from zero "
            "weights, take the rows `rng.integers(len(x), size=num_draws)` one after the other, "
            "apply the rule with learning rate 1, and return the `(weights, bias)` that, after "
            "some correction, made the fewest mistakes on all rows (any of them, if several tie)."
        ),
        hints=(
            "Keep two pairs: the one that the rule changes, and the best one so far.",
            "After each correction count the mistakes on all rows: "
            "`np.sum((x @ weights + bias >= 0) != y)`.",
            "Write `weights = weights + …`: `+=` would change the array in the pocket as well.",
        ),
        check=_check_pocket,
        reference=pocket,
        explanation=(
            "This is the pocket algorithm (Gallant, Perceptron-based learning algorithms, IEEE "
            "Transactions on Neural Networks 1, 1990): the rule wanders on, the pocket remembers."
        ),
        wrong=(
            (_last_line, "you returned the last line"),
            (_changed_in_place, "weights += …"),
            (lambda x, y, num_draws, rng: pocket(x, y, num_draws, rng)[0], "return two things"),
        ),
    ),
    Exercise(
        id="01.4",
        title="How many corrections can there be?",
        prompt=(
            "Write `bound(x, y, weights, bias)`: Novikoff's bound $(R/\\gamma)^2$ for B rows of D "
            "numbers in `x`, labels 0 or 1, and a line without mistakes. Treat the bias as one "
            "more weight whose input is always 1. $R$ is the length of the longest row with that "
            "1 appended; $\\gamma$ is the smallest $s\\,z / \\lVert(w_1, …, w_D, b)\\rVert$, "
            "with the sign $s$ = −1 or +1 for the labels 0 and 1."
        ),
        hints=(
            "`np.column_stack([x, np.ones(len(x))])` gives each row its last entry 1.",
            "The signed score of a row is (2y − 1) · z; all of them are positive for this line.",
            "Divide the smallest one by the length of (w1, …, wD, b) to get a distance.",
        ),
        check=_check_bound,
        reference=bound,
        explanation=(
            "Each correction turns the weights towards every separating line by at least gamma, "
            "but makes them longer by less than R: after (R/gamma)² corrections none can follow."
        ),
        wrong=(
            (_bound_with_labels_01, "Use signs"),
            (_bound_of_long_weights, "ten times the weights"),
            (_bound_without_bias, "counts as a weight"),
        ),
    ),
)
