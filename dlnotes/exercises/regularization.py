"""Exercises of lesson 11, regularization."""

import numpy as np

from dlnotes.exercises.base import Exercise, WrongAnswer


def drop(x, coins, rate):
    """Return what inverted dropout makes of x in training; a coin below `rate` switches off."""
    return x * (coins >= rate) / (1 - rate)


def _original_scaling(x, coins, rate):
    return x * (coins >= rate)


def _keeps_the_dropped(x, coins, rate):
    return x * (coins < rate) / (1 - rate)


def _divides_by_the_rate(x, coins, rate):
    return x * (coins >= rate) / rate


def _multiplies(x, coins, rate):
    return x * (coins >= rate) * (1 - rate)


def _first_row_for_all(x, coins, rate):
    return x * (coins[0] >= rate) / (1 - rate)


def _check_drop(answer):
    rng = np.random.default_rng(11)
    x, coins = rng.normal(size=(4, 6)), rng.random((4, 6))
    messages = {
        _original_scaling: "the units that stay must be scaled up, by 1 / (1 - rate), so that the "
        "mean over all masks is x.",
        _keeps_the_dropped: "you keep the units that should be off: a coin below `rate` switches "
        "its unit off.",
        _divides_by_the_rate: "divide by the keep rate 1 - rate, not by the rate.",
        _multiplies: "in training the units that stay grow: divide by 1 - rate instead of "
        "multiplying.",
        _first_row_for_all: "every row has coins of its own; you used one row's mask for all.",
    }
    for rate in (0.25, 0.8, 0.0):
        given = x.copy()
        result = np.asarray(answer(given, coins.copy(), rate), dtype=float)
        right = drop(x, coins, rate)
        if result.shape != right.shape:
            raise WrongAnswer(f"return an array of shape (4, 6); yours has {result.shape}.")
        if np.allclose(result, right):
            if not np.array_equal(given, x):
                raise WrongAnswer(
                    "the result is right, but you also changed the caller's array x. Make a new "
                    "one: `x * …` instead of `x *= …`."
                )
            continue
        with np.errstate(all="ignore"):
            for wrong, message in messages.items():
                if np.allclose(result, wrong(x, coins, rate)):
                    raise WrongAnswer(message)
        raise WrongAnswer(
            f"for the value {x[0, 0]:.3f}, the coin {coins[0, 0]:.3f} and the rate {rate:g} it "
            f"must be {right[0, 0]:.3f}, not {result[0, 0]:.3f}."
        )


def _in_place(x, coins, rate):
    x *= (coins >= rate) / (1 - rate)
    return x


def stop_and_best(losses, patience):
    """Return the epoch after which training stops, and the epoch with the best loss, from 0."""
    best = 0
    for epoch, loss in enumerate(losses):
        if loss < losses[best]:
            best = epoch
        if epoch - best >= patience:
            return epoch, best
    return len(losses) - 1, best


def _best_of_all(losses, patience):
    stop, _ = stop_and_best(losses, patience)
    return stop, int(np.argmin(losses))


def _one_too_late(losses, patience):
    return stop_and_best(losses, patience + 1)


def _counts_every_rise(losses, patience):
    best, rises = 0, 0
    for epoch in range(1, len(losses)):
        best = epoch if losses[epoch] < losses[best] else best
        rises = rises + 1 if losses[epoch] > losses[epoch - 1] else 0
        if rises >= patience:
            return epoch, best
    return len(losses) - 1, best


def _equal_is_better(losses, patience):
    best = 0
    for epoch, loss in enumerate(losses):
        best = epoch if loss <= losses[best] else best
        if epoch - best >= patience:
            return epoch, best
    return len(losses) - 1, best


def _the_other_way_round(losses, patience):
    return stop_and_best(losses, patience)[::-1]


def _check_stop_and_best(answer):
    cases = (
        ([0.9, 0.6, 0.5, 0.7, 0.8, 0.9, 1.0], 2),
        ([0.9, 0.6, 0.7, 0.8, 0.5, 0.4], 2),  # a better one would have come later
        ([0.9, 0.5, 0.8, 0.7, 0.6, 0.55, 0.4], 3),  # worse than the best, though falling
        ([0.9, 0.5, 0.5, 0.5, 0.5], 2),  # equal is not better
        ([0.9, 0.8, 0.7, 0.6], 2),  # never stops
        ([0.5, 0.6, 0.7], 1),
    )
    messages = {
        _the_other_way_round: "return the two epochs in the order (stop, best).",
        _best_of_all: "the best epoch must be one that was trained: losses after the stop were "
        "never seen.",
        _one_too_late: "you wait one epoch too long: with patience 2, two epochs in a row without "
        "a new best are enough.",
        _counts_every_rise: "an epoch counts against the patience when it is not better than the "
        "*best* so far, even if it is better than the one before.",
        _equal_is_better: "a loss that only equals the best is no improvement: it uses up "
        "patience.",
    }
    for losses, patience in cases:
        right, result = stop_and_best(losses, patience), tuple(answer(list(losses), patience))
        if result == right:
            continue
        told = f"for the losses {losses} and patience {patience}: "
        for wrong, message in messages.items():
            if result == wrong(losses, patience):
                raise WrongAnswer(told + message)
        raise WrongAnswer(f"{told}it must be {right}, not {result}.")


def smallest_killing_strength(x, y):
    """Return the smallest L1 strength at which all weights of the best linear model are 0."""
    return np.abs(2 * x.T @ y / len(x)).max()


def _without_the_two(x, y):
    return np.abs(x.T @ y / len(x)).max()


def _sum_of_rows(x, y):
    return np.abs(2 * x.T @ y).max()


def _without_absolute(x, y):
    return (2 * x.T @ y / len(x)).max()


def _length_of_gradient(x, y):
    return np.linalg.norm(2 * x.T @ y / len(x))


def _smallest_pull(x, y):
    return np.abs(2 * x.T @ y / len(x)).min()


def _check_killing(answer):
    rng = np.random.default_rng(12)
    messages = {
        _without_the_two: "the gradient of the squared error has a factor 2; yours kills the "
        "penalised *half* of it, as scikit-learn writes the loss.",
        _sum_of_rows: "the loss is the *mean* over the rows: divide by their number.",
        _without_absolute: "a column may pull its weight below 0 just as strongly: take absolute "
        "values first.",
        _length_of_gradient: "each weight is held by its own penalty; compare the strength with "
        "each slope alone, not with the length of the whole gradient.",
        _smallest_pull: "at your strength only the weakest column is held at 0; all must be.",
    }
    for signs in ((-3.0, 1.0, 0.5), (2.0, -1.0, 0.0)):
        x = rng.normal(size=(40, 3))
        y = x @ np.array(signs) + rng.normal(size=40)
        right, result = smallest_killing_strength(x, y), float(answer(x.copy(), y.copy()))
        if np.isclose(result, right):
            continue
        for wrong, message in messages.items():
            if np.isclose(result, wrong(x, y)):
                raise WrongAnswer(message)
        raise WrongAnswer(f"for 40 rows and 3 columns it must be {right:.4g}, not {result:.4g}.")


def split_error(predictions, y):
    """Return bias² with noise, and variance, of M models' predictions (M, N) of N targets."""
    mean = predictions.mean(axis=0)
    return np.mean((mean - y) ** 2), np.mean((predictions - mean) ** 2)


def _over_rows(predictions, y):
    mean = predictions.mean(axis=1, keepdims=True)
    return np.mean((mean - y) ** 2), np.mean((predictions - mean) ** 2)


def _mean_of_errors(predictions, y):
    return np.mean((predictions - y) ** 2), split_error(predictions, y)[1]


def _bias_without_square(predictions, y):
    return np.mean(predictions.mean(axis=0) - y) ** 2, split_error(predictions, y)[1]


def _sample_variance(predictions, y):
    return split_error(predictions, y)[0], predictions.var(axis=0, ddof=1).mean()


def _swapped(predictions, y):
    return split_error(predictions, y)[::-1]


def _check_split_error(answer):
    rng = np.random.default_rng(13)
    messages = {
        _swapped: "return bias² first and the variance second.",
        _over_rows: "average over the *models*, the first axis: the mean prediction has one value "
        "for each target.",
        _mean_of_errors: "your first number is the whole error; bias² is the squared error of the "
        "*mean* prediction.",
        _bias_without_square: "square first, then average over the targets: errors of opposite "
        "sign must not cancel.",
        _sample_variance: "divide by the number of models, not by one less; only then the two "
        "parts add up to the error exactly.",
    }
    for shape in ((5, 7), (3, 4)):
        y = rng.normal(size=shape[1])
        predictions = y + 0.5 + rng.normal(size=shape)
        right = split_error(predictions, y)
        result = np.asarray(answer(predictions.copy(), y.copy()), dtype=float)
        if result.shape != (2,):
            raise WrongAnswer(f"return two numbers; yours have the shape {result.shape}.")
        if np.allclose(result, right):
            continue
        for wrong, message in messages.items():
            if np.allclose(result, wrong(predictions, y)):
                raise WrongAnswer(message)
        raise WrongAnswer(
            f"for {shape[0]} models and {shape[1]} targets bias² and variance must be "
            f"{right[0]:.4g} and {right[1]:.4g}, not {result[0]:.4g} and {result[1]:.4g}."
        )


EXERCISES = (
    Exercise(
        id="11.1",
        title="Inverted dropout",
        prompt=(
            "Write `drop(x, coins, rate)`: inverted dropout in training. `x` holds the units of a "
            "batch, `coins` a random number from 0 to 1 for each of them; a coin below `rate` "
            "switches its unit off. Do not change `x` in place."
        ),
        hints=(
            "`coins >= rate` is the mask: True counts as 1 when it is multiplied.",
            "What must the units that stay be multiplied by, so that the mean over all masks is "
            "`x` again?",
            "A unit stays with the chance 1 - rate, so divide by that.",
        ),
        check=_check_drop,
        reference=drop,
        explanation=(
            "On average a unit contributes (1 - rate) · x / (1 - rate) = x, so at test time "
            "nothing needs to be done."
        ),
        wrong=(
            (_original_scaling, "scaled up"),
            (_keeps_the_dropped, "you keep the units that should be off"),
            (_divides_by_the_rate, "not by the rate"),
            (_multiplies, "instead of multiplying"),
            (_first_row_for_all, "coins of its own"),
            (_in_place, "the caller's array"),
        ),
    ),
    Exercise(
        id="11.2",
        title="When to stop",
        prompt=(
            "Write `stop_and_best(losses, patience)`: early stopping. `losses` are the validation "
            "losses that each epoch would have, counted from 0. Training stops after the epoch "
            "that makes it `patience` epochs in a row without a new best. Return the epoch after "
            "which training stops (the last one if it never does) and the best epoch up to there, "
            "as two whole numbers."
        ),
        hints=(
            "Go through the epochs and remember the best one so far.",
            "`epoch - best` epochs have passed since the best one.",
            "Stop as soon as `epoch - best >= patience`; only a *smaller* loss is a new best.",
        ),
        check=_check_stop_and_best,
        reference=stop_and_best,
        explanation=(
            "The stop comes `patience` epochs after the best, so the weights at the stop are not "
            "the best ones. That is what `restore_best_weights=True` is for."
        ),
        wrong=(
            (_best_of_all, "never seen"),
            (_one_too_late, "one epoch too long"),
            (_counts_every_rise, "not better than the *best*"),
            (_equal_is_better, "no improvement"),
            (_the_other_way_round, "(stop, best)"),
        ),
    ),
    Exercise(
        id="11.3",
        title="When L1 kills everything",
        prompt=(
            "Write `smallest_killing_strength(x, y)`: from which strength on does an L1 penalty "
            "hold *all* weights at 0? The model is `x @ weights`, the loss the mean squared error "
            "plus strength · Σ|w|."
        ),
        hints=(
            "Stand at the weights 0. What is the gradient of the mean squared error there?",
            "A weight leaves 0 only if its slope is steeper than the penalty's, which is the "
            "strength.",
            "The slopes are `2 * x.T @ y / n` (up to the sign); all must be held.",
        ),
        check=_check_killing,
        reference=smallest_killing_strength,
        explanation=(
            "At 0 the loss falls with the slopes 2·xᵀy/n, and the penalty rises with the "
            "strength on both sides. Programs that try many strengths begin at this one and go "
            "down."
        ),
        wrong=(
            (_without_the_two, "a factor 2"),
            (_sum_of_rows, "the *mean* over the rows"),
            (_without_absolute, "absolute values first"),
            (_length_of_gradient, "each slope alone"),
            (_smallest_pull, "all must be"),
        ),
    ),
    Exercise(
        id="11.4",
        title="Bias and variance",
        prompt=(
            "Write `split_error(predictions, y)`: M models have each predicted the same N "
            "targets, so `predictions` has the shape (M, N) and `y` the shape (N,). Return two "
            "numbers, bias² (with the noise in it) and variance, each averaged over the targets. "
            "They must add up to the mean squared error of all predictions."
        ),
        hints=(
            "The mean prediction of each target is an average over the models, axis 0.",
            "Bias² is the squared error of the mean prediction, averaged over the targets.",
            "The variance is the mean squared distance of the predictions from their mean.",
        ),
        check=_check_split_error,
        reference=split_error,
        explanation=(
            "The mixed term vanishes, because the models' deviations from their mean add up to 0 "
            "for each target. So averaging many models removes the variance and leaves the bias."
        ),
        wrong=(
            (_over_rows, "over the *models*"),
            (_mean_of_errors, "the whole error"),
            (_bias_without_square, "square first"),
            (_sample_variance, "not by one less"),
            (_swapped, "bias² first"),
        ),
    ),
)
