"""Exercises of lesson 10, optimizers."""

import math

import numpy as np

from dlnotes.exercises.base import Exercise, WrongAnswer


def memory(beta, share):
    """Return how many of the newest values hold at least `share` of all weight."""
    return math.ceil(math.log(1 - share) / math.log(beta) - 1e-9)


def _rule_of_thumb(beta, share):
    return round(1 / (1 - beta))


def _of_the_old(beta, share):
    return math.ceil(math.log(share) / math.log(beta) - 1e-9)


def _rounded_down(beta, share):
    return math.floor(math.log(1 - share) / math.log(beta) + 1e-9)


def _check_memory(answer):
    for beta, share in ((0.9, 0.5), (0.9, 0.9), (0.99, 0.9), (0.5, 0.75), (0.999, 0.3)):
        right, result = memory(beta, share), answer(beta, share)
        if result == right:
            continue
        told = f"for β = {beta} and the share {share}"
        if result == _of_the_old(beta, share):
            raise WrongAnswer(
                f"{told} you solved βᵏ = share, but βᵏ is what the values *older* than the newest "
                f"k hold. The newest hold 1 − βᵏ; it must be {right}, not {result}."
            )
        if result == _rule_of_thumb(beta, share):
            raise WrongAnswer(
                f"{told} you answer 1/(1 − β) = {result}, a rule of thumb that does not ask for "
                f"the share: so many values hold about 63 %. Here it takes {right}."
            )
        if result == _rounded_down(beta, share):
            raise WrongAnswer(
                f"{told} {result} values hold a little less than the share: round up, to {right}."
            )
        raise WrongAnswer(f"{told} it takes {right} values, not {result}.")


def nesterov_of_the_papers(gradient, start, rate, momentum, num_steps):
    """Return the point ahead, θ + μ·v, after Nesterov's steps as the papers write them."""
    theta, velocity = start, np.zeros_like(start)
    for _ in range(num_steps):
        velocity = momentum * velocity - rate * gradient(theta + momentum * velocity)
        theta = theta + velocity
    return theta + momentum * velocity


def _theta_itself(gradient, start, rate, momentum, num_steps):
    theta, velocity = start, np.zeros_like(start)
    for _ in range(num_steps):
        velocity = momentum * velocity - rate * gradient(theta + momentum * velocity)
        theta = theta + velocity
    return theta


def _no_look_ahead(gradient, start, rate, momentum, num_steps):
    theta, velocity = start, np.zeros_like(start)
    for _ in range(num_steps):
        velocity = momentum * velocity - rate * gradient(theta)
        theta = theta + velocity
    return theta


def _no_look_ahead_but_ahead(gradient, start, rate, momentum, num_steps):
    theta, velocity = start, np.zeros_like(start)
    for _ in range(num_steps):
        velocity = momentum * velocity - rate * gradient(theta)
        theta = theta + velocity
    return theta + momentum * velocity


def _whole_velocity_ahead(gradient, start, rate, momentum, num_steps):
    theta, velocity = start, np.zeros_like(start)
    for _ in range(num_steps):
        velocity = momentum * velocity - rate * gradient(theta + velocity)
        theta = theta + velocity
    return theta + momentum * velocity


def _check_nesterov(answer):
    start = np.array([1.0, -2.0])

    def gradient(w):
        return np.array([1.0, 10.0]) * w + 0.5 * np.sin(w)

    no_look_ahead = (
        "that is momentum without looking ahead: the gradient must be taken at θ + μ·v, with the "
        "old v, not at θ."
    )
    messages = {
        _theta_itself: "your θ is right. Keras stores the point *ahead* of it: return θ + μ·v, and "
        "the two walks are the same.",
        _no_look_ahead: no_look_ahead,
        _no_look_ahead_but_ahead: no_look_ahead,
        _whole_velocity_ahead: "you look a whole velocity ahead; it will be multiplied by μ first: "
        "look at θ + μ·v.",
    }
    for num_steps in (7, 1):
        given = start.copy()
        result = np.asarray(answer(gradient, given, 0.05, 0.8, num_steps), dtype=float)
        right = nesterov_of_the_papers(gradient, start, 0.05, 0.8, num_steps)
        if result.shape != (2,):
            raise WrongAnswer(f"return the 2 weights; yours have the shape {result.shape}.")
        if not np.array_equal(given, start):
            raise WrongAnswer("`start` was changed in place. Write θ = θ + v, not θ += v.")
        if np.allclose(result, right, rtol=0, atol=1e-10):
            continue
        for wrong, message in messages.items():
            if np.allclose(result, wrong(gradient, start, 0.05, 0.8, num_steps)):
                raise WrongAnswer(message)
        raise WrongAnswer(
            f"after {num_steps} steps the point ahead is {np.round(right, 4).tolist()}; yours is "
            f"{np.round(result, 4).tolist()}."
        )


def adam_of_the_paper(gradients, rate):
    """Return the weight after Adam's steps from 0, as algorithm 1 of the paper writes them."""
    weight = mean = square = 0.0
    for t, gradient in enumerate(gradients, start=1):
        mean = 0.9 * mean + 0.1 * gradient
        square = 0.999 * square + 0.001 * gradient**2
        corrected_mean, corrected_square = mean / (1 - 0.9**t), square / (1 - 0.999**t)
        weight = weight - rate * corrected_mean / (np.sqrt(corrected_square) + 1e-8)
    return weight


def _uncorrected(gradients, rate):
    weight = mean = square = 0.0
    for gradient in gradients:
        mean = 0.9 * mean + 0.1 * gradient
        square = 0.999 * square + 0.001 * gradient**2
        weight = weight - rate * mean / (np.sqrt(square) + 1e-8)
    return weight


def _corrected_in_place(gradients, rate):
    weight = mean = square = 0.0
    for t, gradient in enumerate(gradients, start=1):
        mean = (0.9 * mean + 0.1 * gradient) / (1 - 0.9**t)
        square = (0.999 * square + 0.001 * gradient**2) / (1 - 0.999**t)
        weight = weight - rate * mean / (np.sqrt(square) + 1e-8)
    return weight


def _without_the_root(gradients, rate):
    weight = mean = square = 0.0
    for t, gradient in enumerate(gradients, start=1):
        mean = 0.9 * mean + 0.1 * gradient
        square = 0.999 * square + 0.001 * gradient**2
        weight = weight - rate * (mean / (1 - 0.9**t)) / (square / (1 - 0.999**t) + 1e-8)
    return weight


def _one_step_late(gradients, rate):
    weight = mean = square = 0.0
    for t, gradient in enumerate(gradients, start=2):
        mean = 0.9 * mean + 0.1 * gradient
        square = 0.999 * square + 0.001 * gradient**2
        corrected = np.sqrt(square / (1 - 0.999**t)) + 1e-8
        weight = weight - rate * mean / (1 - 0.9**t) / corrected
    return weight


def _check_adam(answer):
    rng = np.random.default_rng(10)
    cases = ([4.0], [4.0, 2.0], [1.0, -3.0, 0.5], rng.normal(size=40).tolist())
    messages = {
        _uncorrected: "the averages start at 0 and are too small at first: divide the mean by "
        "1 − 0.9ᵗ and the mean square by 1 − 0.999ᵗ, with t = 1 in the first step.",
        _corrected_in_place: "you store the *corrected* averages, so the next step corrects them "
        "again. Keep the uncorrected ones, and correct copies.",
        _without_the_root: "divide by the *root* of the corrected mean square.",
        _one_step_late: "t must be 1 in the first step, not 2 (or the correction is too weak).",
    }
    for gradients in cases:
        right, result = adam_of_the_paper(gradients, 0.1), float(answer(list(gradients), 0.1))
        if np.isclose(result, right, rtol=0, atol=1e-7):
            continue
        if np.isclose(result, -right, rtol=0, atol=1e-7):
            raise WrongAnswer("your steps go uphill: subtract the step.")
        for wrong, message in messages.items():
            if np.isclose(result, wrong(gradients, 0.1), rtol=0, atol=1e-7):
                raise WrongAnswer(message)
        told = f"{len(gradients)} gradients" if len(gradients) > 3 else f"the gradients {gradients}"
        raise WrongAnswer(f"after {told} the weight is {right:.5f}; yours is {result:.5f}.")


def fair_winner(tuning, fresh):
    """Return the optimizer with the fewest median fresh steps, each at the rate it tuned."""
    medians = {}
    for name, steps in tuning.items():
        best = np.argmin(np.median(steps, axis=1))
        medians[name] = np.median(fresh[name][best])
    return min(medians, key=medians.get)


def _best_of_the_fresh(tuning, fresh):
    return min(fresh, key=lambda name: np.median(fresh[name], axis=1).min())


def _judged_by_tuning(tuning, fresh):
    return min(tuning, key=lambda name: np.median(tuning[name], axis=1).min())


def _luckiest_run(tuning, fresh):
    scores = {n: fresh[n][np.argmin(np.median(tuning[n], axis=1))].min() for n in tuning}
    return min(scores, key=scores.get)


def _means(tuning, fresh):
    scores = {}
    for name, steps in tuning.items():
        scores[name] = np.mean(fresh[name][np.argmin(np.mean(steps, axis=1))])
    return min(scores, key=scores.get)


def _same_rate_for_all(tuning, fresh):
    best = np.argmin(sum(np.median(steps, axis=1) for steps in tuning.values()))
    return min(fresh, key=lambda name: np.median(fresh[name][best]))


_NEVER = math.inf
_RACES = (  # one rate a row, one run a column; the answer is "A" everywhere
    (
        "the fresh runs chose the rate: that is a second tuning. Choose each rate by the tuning "
        "runs alone.",
        {"A": [[50, 52, 54], [90, 91, 92]], "B": [[60, 61, 62], [70, 71, 72]]},
        {"A": [[55, 56, 57], [93, 94, 95]], "B": [[63, 64, 65], [40, 41, 42]]},
    ),
    (
        "you judge by the runs that chose the rate, and the luckiest of several rates looks better "
        "than it is. Judge by the fresh runs.",
        {"A": [[50, 52, 54], [90, 91, 92]], "B": [[40, 41, 42], [70, 71, 72]]},
        {"A": [[51, 53, 55], [90, 91, 92]], "B": [[66, 67, 68], [70, 71, 72]]},
    ),
    (
        "you compare the luckiest fresh run of each; compare the medians.",
        {"A": [[50, 52, 54], [90, 91, 92]], "B": [[60, 61, 62], [70, 71, 72]]},
        {"A": [[51, 53, 55], [90, 91, 92]], "B": [[30, 67, 68], [70, 71, 72]]},
    ),
    (
        "a run that never arrives counts as infinite, and makes the mean infinite too. The median "
        "still tells what a typical run needs.",
        {"A": [[50, 52, _NEVER], [90, 91, 92]], "B": [[60, 61, 62], [70, 71, 72]]},
        {"A": [[51, 53, 55], [90, 91, 92]], "B": [[66, 67, 68], [70, 71, 72]]},
    ),
    (
        "each optimizer may choose its own rate; you took one rate for all.",
        {"A": [[90, 91, 92], [50, 52, 54]], "B": [[60, 61, 62], [170, 171, 172]]},
        {"A": [[90, 91, 92], [51, 53, 55]], "B": [[66, 67, 68], [170, 171, 172]]},
    ),
)


def _check_fair_winner(answer):
    for message, tuning, fresh in _RACES:
        tuning, fresh = (
            {n: np.array(v, float) for n, v in part.items()} for part in (tuning, fresh)
        )
        result = answer(tuning, fresh)
        if result == "A":
            continue
        if result not in ("A", "B"):
            raise WrongAnswer(f"return the winner's name, 'A' or 'B' here, not {result!r}.")
        raise WrongAnswer(message)
    tuning = {"A": np.array([[60.0]]), "B": np.array([[50.0]])}
    if answer(tuning, tuning) != "B":
        raise WrongAnswer("B needs 50 steps and A 60: the fewest steps win.")


EXERCISES = (
    Exercise(
        id="10.1",
        title="How long is the memory?",
        prompt=(
            "Write `memory(beta, share)`: how many of the newest values hold together at least "
            "`share` (between 0 and 1) of all the weight of an exponentially weighted moving "
            "average that has run for ever? Return a whole number."
        ),
        hints=(
            "The weights are (1 - beta) * beta**k for k = 0, 1, 2, …; those of the first k values "
            "sum to 1 - beta**k.",
            "Solve 1 - beta**k >= share for k with logarithms.",
            "log(beta) is negative, so dividing by it turns >= round; then round up.",
        ),
        check=_check_memory,
        reference=memory,
        explanation=(
            "k >= log(1 - share) / log(beta). For β = 0.9 half the weight lies on 7 values and "
            "90 % on 22; for Adam's 0.999 on 693 and 2,302."
        ),
        wrong=(
            (_rule_of_thumb, "a rule of thumb"),
            (_of_the_old, "*older* than"),
            (_rounded_down, "round up"),
        ),
    ),
    Exercise(
        id="10.2",
        title="Nesterov, as the papers write it",
        prompt=(
            "The papers keep a point θ and a velocity v, which starts at 0. Each step takes the "
            "gradient *ahead*, at θ + μ·v: first v ← μ·v − η·gradient(θ + μ·v), then θ ← θ + v. "
            "Write `nesterov_of_the_papers(gradient, start, rate, momentum, num_steps)` that "
            "starts with θ = `start` and returns the point that Keras (and our `Nesterov`) calls "
            "the weights after the last step. `gradient` is a function of the weights."
        ),
        hints=(
            "The right-hand side of the first line uses the old v twice.",
            "Keras stores the place where the next gradient will be taken.",
            "Return θ + momentum * v.",
        ),
        check=_check_nesterov,
        reference=nesterov_of_the_papers,
        explanation=(
            "With w = θ + μ·v the two lines become v ← μ·v − η·gradient(w) and w ← w + μ·v − "
            "η·gradient(w), both with the new v on the right of the second: Keras' form. Only the "
            "last point differs, and near a minimum μ·v is small."
        ),
        wrong=(
            (_theta_itself, "Keras stores the point *ahead*"),
            (_no_look_ahead, "without looking ahead"),
            (_whole_velocity_ahead, "a whole velocity"),
        ),
    ),
    Exercise(
        id="10.3",
        title="Adam, as the paper writes it",
        prompt=(
            "Write `adam_of_the_paper(gradients, rate)`: one weight starts at 0 and meets the "
            "`gradients` (a list of numbers) one after another. Algorithm 1 of the paper divides "
            "the *corrected* mean by the root of the *corrected* mean square, plus ε = 1e-8; "
            "β₁ = 0.9, β₂ = 0.999. Return the weight at the end."
        ),
        hints=(
            "Keep two uncorrected averages, as `ewma` does, and a step number t that starts at 1.",
            "The correction divides a copy: mean / (1 - 0.9**t) and square / (1 - 0.999**t).",
            "weight -= rate * corrected_mean / (corrected_square**0.5 + 1e-8)",
        ),
        check=_check_adam,
        reference=adam_of_the_paper,
        explanation=(
            "The first step is `rate` long whatever the gradient. Keras adds its ε of 1e-7 to the "
            "uncorrected root instead, so that it weighs 32 times more in the first step; with "
            "gradients of ordinary size you cannot see it."
        ),
        wrong=(
            (_uncorrected, "too small at first"),
            (_corrected_in_place, "corrects them again"),
            (_without_the_root, "*root*"),
            (_one_step_late, "not 2"),
        ),
    ),
    Exercise(
        id="10.4",
        title="A fair winner",
        prompt=(
            "Write `fair_winner(tuning, fresh)`. Both are dictionaries: for each optimizer's name "
            "an array (rates, runs) of the steps to the target, infinite for a run that never "
            "arrived. Each optimizer chooses its rate by the median of its tuning runs; the "
            "winner has the smallest median over the fresh runs at the rate it chose. Return its "
            "name."
        ),
        hints=(
            "`np.median(steps, axis=1)` gives one number a rate, `np.argmin` the best one's place.",
            "That place picks the row of `fresh[name]`.",
            "`min(medians, key=medians.get)` returns the name with the smallest value.",
        ),
        check=_check_fair_winner,
        reference=fair_winner,
        explanation=(
            "The rate is chosen by some runs and judged by others, just as a model is chosen by "
            "validation data and judged by test data. Medians stand a run that never arrives."
        ),
        wrong=(
            (_best_of_the_fresh, "a second tuning"),
            (_judged_by_tuning, "looks better"),
            (_luckiest_run, "luckiest fresh run"),
            (_means, "never arrives"),
            (_same_rate_for_all, "one rate for all"),
        ),
    ),
)
