"""Exercises of lesson 03, losses."""

import math
from collections.abc import Mapping

import numpy as np

from dlnotes.exercises.base import Exercise, WrongAnswer

_TASKS = {
    "rain": "will it rain tomorrow, yes or no?",
    "rainfall": "how many millimetres of rain tomorrow?",
    "sky": "is the sky clear, cloudy or overcast? Exactly one of the three",
    "symptoms": "which of the symptoms fever, cough and rash does a patient have? None, one, two "
    "or all three",
}
_PAIRINGS = {
    "rain": (1, "sigmoid", "bce"),
    "rainfall": (1, "linear", "mse"),
    "sky": (3, "softmax", "cce"),
    "symptoms": (3, "sigmoid", "bce"),
}
_ACTIVATIONS = ("linear", "sigmoid", "softmax")
_LOSSES = ("mse", "mae", "bce", "cce", "sce")


def cost(batch_means, batch_sizes, penalty):
    """Return the mean loss over all rows, plus the penalty once."""
    total = sum(mean * size for mean, size in zip(batch_means, batch_sizes, strict=True))
    return total / sum(batch_sizes) + penalty


def _mean_of_means(batch_means, batch_sizes, penalty):
    return np.mean(batch_means) + penalty


def _penalty_for_each_batch(batch_means, batch_sizes, penalty):
    return np.average(batch_means, weights=batch_sizes) + penalty * len(batch_means)


def _penalty_divided(batch_means, batch_sizes, penalty):
    return (np.dot(batch_means, batch_sizes) + penalty) / sum(batch_sizes)


def _sum_of_rows(batch_means, batch_sizes, penalty):
    return float(np.dot(batch_means, batch_sizes)) + penalty


def _penalty_forgotten(batch_means, batch_sizes, penalty):
    return np.average(batch_means, weights=batch_sizes)


def _check_cost(answer):
    for case in (([3.0, 1.0, 8.0], [4, 4, 2], 0.5), ([2.0, 5.0], [1, 3], 0.0), ([4.0], [7], 1.5)):
        result, right = float(answer(*case)), cost(*case)
        if np.isclose(result, right):
            continue
        reasons = {
            _mean_of_means: "you averaged the batch means as if all batches had equally many rows. "
            "A batch counts as often as it has rows.",
            _penalty_for_each_batch: "the penalty belongs to the weights, and the weights are there"
            " once: add it once, not for each batch.",
            _penalty_divided: "you divided the penalty by the number of rows. It is no row's loss: "
            "add it after dividing.",
            _penalty_forgotten: "the penalty is missing: the batch means do not contain it.",
            _sum_of_rows: "you added up the losses of all rows; divide by their number.",
        }
        for mistake, reason in reasons.items():
            if np.isclose(result, mistake(*case)):
                raise WrongAnswer(reason)
        raise WrongAnswer(
            f"batch means {case[0]} of {case[1]} rows and a penalty of {case[2]} make {right:g}; "
            f"yours is {result:g}."
        )


def _check_pairings(answer):
    if not isinstance(answer, Mapping) or set(answer) != set(_TASKS):
        raise WrongAnswer(f"give a dict with the keys {', '.join(map(repr, _TASKS))}.")
    for task, choice in answer.items():
        if not isinstance(choice, tuple | list) or len(choice) != 3:
            raise WrongAnswer(f'{task!r} needs three things, such as (1, "linear", "mse").')
        units, activation, loss = choice
        if activation not in _ACTIVATIONS or loss not in _LOSSES:
            raise WrongAnswer(
                f"{task!r}: choose the activation out of {', '.join(_ACTIVATIONS)} and the loss "
                f"out of {', '.join(_LOSSES)}; you chose {activation!r} and {loss!r}."
            )
        _check_pairing(task, units, activation, loss)


def _check_pairing(task, units, activation, loss):
    if task == "rain":
        if (units, activation) == (1, "softmax"):
            raise WrongAnswer("'rain': a softmax over one unit answers 1, whatever the weather.")
        right = (units, activation, loss) == (1, "sigmoid", "bce")
        # two classes, one of them "no rain", are the same model with more weights
        if not right and (units, activation) == (2, "softmax") and loss in ("cce", "sce"):
            return
        if not right and activation == "linear":
            raise WrongAnswer("'rain': a linear output is no probability; it may be 3 or −1.")
        if not right and (units, loss) == (1, "cce"):
            raise WrongAnswer(
                "'rain': cce compares several units. With a single one its loss is always 0."
            )
        if not right and (units, activation) == (1, "sigmoid") and loss in ("mse", "mae"):
            raise WrongAnswer(
                "'rain': the layer is right; but behind a sigmoid the error of a surely wrong "
                "answer is hardly heard. Take the surprise."
            )
        if not right:
            raise WrongAnswer("'rain' is a yes or no: one probability, and the surprise at it.")
    elif task == "rainfall":
        if activation != "linear":
            raise WrongAnswer(
                f"'rainfall': {activation} never gives more than 1, and it can rain 30 mm."
            )
        if loss not in ("mse", "mae") or units != 1:
            raise WrongAnswer("'rainfall' is one number: one unit, and a loss of its error.")
    elif task == "sky":
        if (activation, loss) == ("sigmoid", "bce"):
            raise WrongAnswer(
                "'sky': with sigmoids it may be clear and overcast at once. Exactly one is true, "
                "so the three probabilities must add up to 1."
            )
        if (units, activation) == (3, "softmax") and loss not in ("cce", "sce"):
            raise WrongAnswer(
                "'sky': the layer is right; the loss must be the surprise at the one class that "
                "came true."
            )
        if units != 3 or activation != "softmax" or loss not in ("cce", "sce"):
            raise WrongAnswer("'sky' is one of three: a probability for each, adding up to 1.")
    elif (units, activation) == (8, "softmax") and loss in ("cce", "sce"):
        return  # one class for each of the eight combinations
    elif activation == "softmax":
        raise WrongAnswer(
            "'symptoms': a softmax divides one certainty among the three, but a patient may have "
            "all three, or none. These are three questions."
        )
    elif loss in ("cce", "sce"):
        raise WrongAnswer(
            f"'symptoms': {loss} takes exactly one of the classes to be true, but a patient may "
            "have all three, or none. These are three questions."
        )
    elif (units, activation, loss) != (3, "sigmoid", "bce"):
        raise WrongAnswer("'symptoms' are three yes-or-no questions, each with its own answer.")


def pinball_gradient(y, prediction, quantile):
    """Return the gradient of the mean pinball loss."""
    return np.where(prediction > y, 1 - quantile, -quantile) / len(y)


def _pinball_sides_swapped(y, prediction, quantile):
    return np.where(prediction > y, quantile, quantile - 1) / len(y)


def _pinball_sign(y, prediction, quantile):
    return -pinball_gradient(y, prediction, quantile)


def _pinball_sum(y, prediction, quantile):
    return np.where(prediction > y, 1 - quantile, -quantile)


def _pinball_with_size(y, prediction, quantile):
    return pinball_gradient(y, prediction, quantile) * np.abs(prediction - y)


def _check_pinball(answer):
    rng = np.random.default_rng(31)
    for quantile in (0.5, 0.9, 0.2):
        y, prediction = rng.normal(size=8), rng.normal(size=8)
        result = np.asarray(answer(y.copy(), prediction.copy(), quantile), dtype=float)
        if result.shape != y.shape:
            raise WrongAnswer(
                f"return one number for each prediction, an array of shape {y.shape}; yours has "
                f"shape {result.shape}."
            )
        if np.allclose(result, pinball_gradient(y, prediction, quantile)):
            continue
        reasons = {
            _pinball_sign: "the signs are reversed: where the prediction is too large, raising it "
            "raises the loss, so the gradient is positive there.",
            _pinball_sum: "divide by the number of rows: the loss is a mean.",
            _pinball_with_size: "the loss has straight sides, so its slope does not depend on the "
            "size of the error.",
            _pinball_sides_swapped: "the two sides are swapped. For the quantile 0.9 a prediction "
            "that is too small must cost more: slope −0.9 there, and 0.1 where it is too large.",
        }
        for mistake, reason in reasons.items():
            if np.allclose(result, mistake(y, prediction, quantile)):
                raise WrongAnswer(reason)
        raise WrongAnswer(
            f"for the quantile {quantile} each number must be {1 - quantile:.1f}/n where the "
            f"prediction is too large, and −{quantile}/n where it is too small."
        )


def surprise(logits, label):
    """Return −ln of the softmax probability of `label`, for scores of any size."""
    shifted = np.asarray(logits, dtype=float) - np.max(logits)
    return np.log(np.sum(np.exp(shifted))) - shifted[label]


def _naive(logits, label):
    powers = np.exp(logits)
    return -np.log(powers[label] / np.sum(powers))


def _mean_subtracted(logits, label):
    shifted = np.asarray(logits, dtype=float) - np.mean(logits)
    return np.log(np.sum(np.exp(shifted))) - shifted[label]


def _own_score_subtracted(logits, label):
    return np.log(np.sum(np.exp(np.asarray(logits, dtype=float) - logits[label])))


def _log_sum_unshifted(logits, label):
    return np.log(np.sum(np.exp(logits))) - logits[label]


def _log_of_small(logits, label):
    powers = np.exp(np.asarray(logits) - np.max(logits))
    return -np.log(powers[label] / np.sum(powers))


def _cut(logits, label):
    powers = np.exp(np.asarray(logits) - np.max(logits))
    return -np.log(max(powers[label] / np.sum(powers), 1e-7))


def _label_forgotten(logits, label):
    return np.log(np.sum(np.exp(np.asarray(logits) - np.max(logits))))


def _two_to_the(logits, label):
    return surprise(logits, label) / np.log(2)


def _check_surprise(answer):
    for logits, label in (([2.0, 1.0, 0.0], 1), ([0.0, 0.0], 0), ([-1.0, 3.0, 0.5, 2.0], 0)):
        result, right = float(answer(np.array(logits), label)), surprise(logits, label)
        if np.isclose(result, right):
            continue
        if np.isclose(result, _label_forgotten(logits, label)):
            raise WrongAnswer("you left out the score of the right class, minus the largest score.")
        if np.isclose(result, _two_to_the(logits, label)):
            raise WrongAnswer("use the natural logarithm, np.log.")
        raise WrongAnswer(
            f"for the logits {logits} and the class {label} the surprise is {right:.4f}; yours is "
            f"{result:.4f}."
        )
    hard = (
        ([1000.0, 0.0], 0),
        ([-1000.0, -1001.0], 1),
        ([0.0, 720.0], 0),  # e to the 720 overflows; e to the −720 is not yet 0
        ([1000.0, -1000.0, -1000.0], 0),
        ([0.0, 1000.0], 0),
        ([-1000.0, 1000.0, -1000.0], 2),
    )
    for logits, label in hard:
        with np.errstate(all="ignore"):
            result = float(answer(np.array(logits), label))
        right = surprise(logits, label)
        if math.isnan(result):
            raise WrongAnswer(
                f"for the logits {logits} you get nan: e to the 1000 is too large for a computer, "
                "and e to the −1000 is 0. Subtract the largest score from all of them first."
            )
        with np.errstate(all="ignore"):
            rounded_to_zero = math.isinf(_log_of_small(logits, label))
        if math.isinf(result) and not rounded_to_zero:
            raise WrongAnswer(
                f"for the logits {logits} and the class {label} you get inf: a power overflowed. "
                "Subtract the largest score from all of them first; no other number is safe."
            )
        if math.isinf(result):
            raise WrongAnswer(
                f"for the logits {logits} and the class {label} you get inf: the probability "
                "rounded to 0 before you took its logarithm. Never form it: ln(a/b) = ln a − ln b."
            )
        if not np.isclose(result, right):
            raise WrongAnswer(
                f"for the logits {logits} and the class {label} the surprise is {right:g}; yours "
                f"is {result:.4g}. Cutting probabilities hides how wrong a row is."
            )


EXERCISES = (
    Exercise(
        id="03.1",
        title="The cost of a whole table",
        prompt=(
            "Your program went through a table in batches and noted the *mean* loss of each "
            "batch. The last batch may be smaller than the others. Write "
            "`cost(batch_means, batch_sizes, penalty)`: the mean loss over all rows of the table, "
            "plus the penalty on the weights (one number; the batch means do not contain it). "
            "The first two arguments are lists of equal length."
        ),
        hints=(
            "What was the sum of the losses in a batch with 4 rows and the mean 3?",
            "Add up mean times size over the batches, and divide by the number of all rows.",
            "The penalty depends on the weights alone. How often are the weights there?",
        ),
        check=_check_cost,
        reference=cost,
        explanation=(
            "Mean times size gives back the sum over a batch's rows; all sums divided by all rows "
            "is the mean that a single large batch would have given. The penalty is added once."
        ),
        wrong=(
            (_mean_of_means, "as if all batches had equally many rows"),
            (_penalty_for_each_batch, "add it once, not for each batch"),
            (_penalty_forgotten, "the penalty is missing"),
            (_sum_of_rows, "divide by their number"),
            (_penalty_divided, "divided the penalty"),
        ),
    ),
    Exercise(
        id="03.2",
        title="Four tasks, four last layers",
        prompt=(
            "Choose the last layer and the loss for four tasks:\n\n"
            + "\n".join(f"- `{name!r}`: {text}" for name, text in _TASKS.items())
            + ".\n\nWrite a dict from the task to `(units, activation, loss)`, such as "
            '`"rain": (2, "linear", "mae")` (a wrong one). Activations: `"linear"`, `"sigmoid"`, '
            '`"softmax"`. Losses: `"mse"`, `"mae"`, `"bce"`, `"cce"`, `"sce"`. Where several '
            "answers are right, any of them counts."
        ),
        hints=(
            "For each task ask first: what can a right answer look like, and which activation can "
            "give all of these and nothing else?",
            "Three of the tasks are the rows of the lesson's table.",
            "In the fourth the answers do not exclude each other. It is the first task three "
            "times over.",
        ),
        check=_check_pairings,
        reference=_PAIRINGS,
        explanation=(
            "Rain is one probability, rainfall one number without an upper limit, the sky one of "
            "three. The symptoms are three separate yes-or-no questions, so each gets its own "
            "sigmoid; this is called multi-label classification."
        ),
        wrong=(
            (_PAIRINGS | {"symptoms": (3, "softmax", "cce")}, "divides one certainty"),
            (_PAIRINGS | {"symptoms": (3, "sigmoid", "cce")}, "exactly one of the classes"),
            ({"rain": (1, "sigmoid", "bce")}, "give a dict with the keys"),
            (_PAIRINGS | {"rain": "sigmoid"}, "needs three things"),
            (_PAIRINGS | {"rain": (1, "relu", "bce")}, "choose the activation"),
            (_PAIRINGS | {"rain": (1, "softmax", "cce")}, "answers 1, whatever the weather"),
            (_PAIRINGS | {"rainfall": (1, "sigmoid", "mse")}, "it can rain 30 mm"),
            (_PAIRINGS | {"sky": (3, "sigmoid", "bce")}, "clear and overcast at once"),
            (_PAIRINGS | {"sky": (3, "softmax", "mse")}, "'sky': the layer is right"),
            (_PAIRINGS | {"rain": (1, "linear", "bce")}, "a linear output is no probability"),
            (_PAIRINGS | {"rain": (1, "sigmoid", "cce")}, "its loss is always 0"),
            (_PAIRINGS | {"rain": (1, "sigmoid", "mse")}, "is hardly heard"),
        ),
    ),
    Exercise(
        id="03.3",
        title="A loss that asks for nine of ten",
        prompt=(
            "MAE leads to the median: half of the targets lie below. Often another share is "
            "wanted: how long will the trip take *at most*, in nine of ten cases? The **pinball "
            "loss** asks for such a quantile: `quantile`, q for short, is the share of the "
            "targets that shall lie below (here 0.9). With e = prediction − y a row costs "
            "(1 − q)·e where the prediction is too large, and −q·e where it is too small (or "
            "exact); the loss is the mean over n rows. Write "
            "`pinball_gradient(y, prediction, quantile)`: its gradient, one number for each "
            "prediction. All arrays have shape (n,)."
        ),
        hints=(
            "On each side of the target the loss is a straight line. What is the slope of "
            "(1 − q)·e?",
            "`np.where(prediction > y, …, …)` chooses between the two slopes.",
            "For q = 0.5 it must be half of MAE's gradient.",
        ),
        check=_check_pinball,
        reference=pinball_gradient,
        explanation=(
            "It is a vote with unequal weights. For q = 0.9 a target above the prediction pulls "
            "it up with 0.9, one below pulls it down with 0.1: they are at rest when nine times "
            "as many targets lie below as above."
        ),
        wrong=(
            (_pinball_sign, "signs are reversed"),
            (_pinball_sum, "divide by the number of rows"),
            (_pinball_with_size, "does not depend on the size"),
            (_pinball_sides_swapped, "two sides are swapped"),
        ),
    ),
    Exercise(
        id="03.4",
        title="A surprise without overflow",
        prompt=(
            "Write `surprise(logits, label)` for one row: −ln of the probability that the softmax "
            "of the scores gives to class `label`. `logits` is an array of K scores, which may be "
            "as large as 1000 or as small as −1000. The result must be right to many digits, not "
            "cut off."
        ),
        hints=(
            "Adding the same number to all scores changes no probability. Which number makes "
            "every power harmless?",
            "After subtracting the largest score no power exceeds 1, but one may still round to 0. "
            "So do not take the logarithm of the probability.",
            "The logarithm of a quotient is a difference: ln(Σ eᶻ) minus the score of the class.",
        ),
        check=_check_surprise,
        reference=surprise,
        explanation=(
            "With m the largest score, −ln p = ln Σ exp(z − m) − (z_label − m). The sum is at "
            "least 1, so its logarithm is safe, and the score itself never enters a power."
        ),
        wrong=(
            (_naive, "you get nan"),
            (_log_of_small, "the probability rounded to 0"),
            (_mean_subtracted, "a power overflowed"),
            (_own_score_subtracted, "a power overflowed"),
            (_log_sum_unshifted, "a power overflowed"),
            (_cut, "Cutting probabilities hides"),
            (_label_forgotten, "left out the score of the right class"),
            (_two_to_the, "natural logarithm"),
        ),
    ),
)
