"""Exercises of lesson 12, tuning."""

import math

import numpy as np

from dlnotes.exercises.base import Exercise, WrongAnswer


def count_trials(space, only_if):
    """Return how many different trials a grid has whose hyperparameters may be conditional."""
    total = math.prod(len(values) for name, values in space.items() if name not in only_if)
    for name, (parent, value) in only_if.items():
        others = [v for v in space[parent] if v != value]
        share = (len(others) + len(space[name])) / len(space[parent])
        total = total * share
    return round(total)


def _all_pairs(space, only_if):
    return math.prod(len(values) for values in space.values())


def _never_there(space, only_if):
    return math.prod(len(values) for name, values in space.items() if name not in only_if)


def _added(space, only_if):
    return sum(len(values) for values in space.values())


def _check_count(answer):
    plain = {"units": [8, 16, 32], "rate": [0.1, 0.01]}
    sgd = {
        "rate": [0.1, 0.01, 0.001],
        "optimizer": ["adam", "sgd"],
        "momentum": [0, 0.5, 0.9, 0.99],
    }
    cases = (
        (plain, {}),
        (sgd, {"momentum": ("optimizer", "sgd")}),
        (sgd | {"optimizer": ["sgd", "adam", "rmsprop"]}, {"momentum": ("optimizer", "sgd")}),
        (
            sgd | {"layers": [1, 2, 3], "units_3": [8, 16]},
            {"momentum": ("optimizer", "sgd"), "units_3": ("layers", 3)},
        ),
    )
    for space, only_if in cases:
        right, result = count_trials(space, only_if), answer(space, only_if)
        if result == right:
            continue
        told = f"for {space} with only_if={only_if}"
        if result == _added(space, only_if):
            raise WrongAnswer(f"{told} you added the numbers of values: a grid multiplies them.")
        if only_if and result == _all_pairs(space, only_if):
            raise WrongAnswer(
                f"{told} you count {result}: each value of {next(iter(only_if))!r} also where "
                f"nobody reads it. Those trials are all the same one; there are {right}."
            )
        if only_if and result == _never_there(space, only_if):
            raise WrongAnswer(
                f"{told} you left the conditional hyperparameters out altogether; where the "
                f"condition holds, each of their values makes a trial: {right}, not {result}."
            )
        raise WrongAnswer(f"{told} there are {right} trials, not {result}.")


def trials_needed(share, certainty):
    """Return how many random trials find one of the best `share` with this certainty."""
    return math.ceil(math.log(1 - certainty) / math.log(1 - share) - 1e-9)


def _one_over(share, certainty):
    return math.ceil(1 / share - 1e-9)


def _proportional(share, certainty):
    return math.ceil(certainty / share - 1e-9)


def _all_hits(share, certainty):
    return math.ceil(math.log(certainty) / math.log(1 - share) - 1e-9)


def _one_too_few(share, certainty):
    return math.floor(math.log(1 - certainty) / math.log(1 - share) + 1e-9)


def _check_trials(answer):
    for share, certainty in ((0.05, 0.95), (0.5, 0.75), (0.1, 0.9), (0.01, 0.5)):
        right, result = trials_needed(share, certainty), answer(share, certainty)
        if result == right:
            continue
        told = f"for the best {share:.0%} with a certainty of {certainty:.0%}"
        if result == _one_over(share, certainty):
            raise WrongAnswer(
                f"{told} you answer 1/share = {result}: so many trials hit once *on average*, but "
                f"may also miss each time, with a chance of about 37 %. It takes {right}."
            )
        if result == _proportional(share, certainty):
            raise WrongAnswer(
                f"{told} you add up the chances of the trials, but two of them may both hit. "
                f"Multiply the chances of a *miss*: it takes {right}, not {result}."
            )
        if result == _all_hits(share, certainty):
            raise WrongAnswer(
                f"{told} you solved (1 − share)ⁿ = certainty; that is the chance that all miss. It "
                f"must be at most 1 − certainty: {right}, not {result}."
            )
        if result == _one_too_few(share, certainty):
            raise WrongAnswer(f"{told} {result} trials are not quite enough: round up, to {right}.")
        raise WrongAnswer(f"{told} it takes {right} trials, not {result}.")


def halve(curves, factor):
    """Return the winner of successive halving, and the epochs it cost."""
    left, trained, spent = list(range(len(curves))), 0, 0
    until = 1
    while True:
        spent += len(left) * (until - trained)
        trained = until
        left = sorted(left, key=lambda trial: -curves[trial][trained - 1])
        if trained == len(curves[0]):
            return left[0], spent
        left = left[: max(1, len(left) // factor)]
        until = min(until * factor, len(curves[0]))


def _trained_anew(curves, factor):
    left, until, spent = list(range(len(curves))), 1, 0
    while True:
        spent += len(left) * until
        left = sorted(left, key=lambda trial: -curves[trial][until - 1])
        if until == len(curves[0]):
            return left[0], spent
        left = left[: max(1, len(left) // factor)]
        until = min(until * factor, len(curves[0]))


def _sees_the_end(curves, factor):
    return int(np.argmax([curve[-1] for curve in curves])), halve(curves, factor)[1]


def _first_epoch_decides(curves, factor):
    return int(np.argmax([curve[0] for curve in curves])), halve(curves, factor)[1]


def _check_halve(answer):
    rng = np.random.default_rng(12)
    ends = rng.permutation(9) / 10
    slow = 1 - np.exp(-np.arange(1, 10)[None] * rng.uniform(0.1, 1, (9, 1)))
    tricky = ends[:, None] * slow + 0.1
    tricky[0], tricky[1] = np.linspace(0, 1, 9), 0.85  # a late starter, and one that is stuck
    tricky[2] = [0.5, 0.6, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 0.95]
    small = np.array([[0.2, 0.3, 0.4, 0.9], [0.5, 0.6, 0.7, 0.8], [0.6, 0.6, 0.6, 0.6]])
    for curves, factor in ((tricky, 3), (small, 2), (small[:2], 2)):
        right = halve(curves.tolist(), factor)
        result = answer(curves.tolist(), factor)
        if not isinstance(result, tuple | list) or len(result) != 2:
            raise WrongAnswer("return two numbers: the winner's number, and the epochs spent.")
        result = tuple(int(number) for number in result)
        if result == right:
            continue
        told = f"for {len(curves)} trials of {len(curves[0])} epochs and factor {factor}"
        if result == _trained_anew(curves.tolist(), factor):
            raise WrongAnswer(
                f"{told} you paid {result[1]} epochs: a trial that goes on keeps its weights and "
                f"trains only the *further* epochs. It costs {right[1]}."
            )
        if result[0] == _sees_the_end(curves, factor)[0] != right[0]:
            raise WrongAnswer(
                f"{told} your winner is the best at the very end among all trials. It was dropped "
                "early, and nobody has seen its end: rank by the scores after the epochs trained."
            )
        if result[0] == _first_epoch_decides(curves, factor)[0] != right[0]:
            raise WrongAnswer(
                f"{told} the first epoch decided everything: rank the trials anew in each round."
            )
        raise WrongAnswer(f"{told} it must be {right}, not {result}.")


def nested_score(inner, outer):
    """Return the honest score of tuning: each outer fold judges what the inner folds chose."""
    inner, outer = np.asarray(inner), np.asarray(outer)
    chosen = inner.argmax(axis=1)
    return float(np.mean(outer[np.arange(len(outer)), chosen]))


def _judge_chooses(inner, outer):
    return float(np.max(outer, axis=1).mean())


def _promised(inner, outer):
    return float(np.max(inner, axis=1).mean())


def _one_for_all(inner, outer):
    return float(np.mean(outer, axis=0)[np.mean(inner, axis=0).argmax()])


def _best_mean(inner, outer):
    return float(np.mean(outer, axis=0).max())


def _check_nested(answer):
    inner = np.array([[0.90, 0.80, 0.70], [0.70, 0.95, 0.80], [0.82, 0.80, 0.70], [0.6, 0.7, 0.90]])
    outer = np.array([[0.71, 0.84, 0.90], [0.66, 0.79, 0.88], [0.73, 0.91, 0.92], [0.5, 0.8, 0.77]])
    messages = {
        _judge_chooses: "you let the outer fold choose and judge: that is the winner's curse. The "
        "inner scores choose, the outer fold judges.",
        _promised: "you return what the inner folds promised. The outer fold must judge.",
        _one_for_all: "you chose one setting for all folds, by inner scores that include each "
        "outer fold's rows. Each outer fold judges what its *own* inner scores chose.",
        _best_mean: "you chose by the outer scores: they may judge, not choose.",
    }
    for rows in (slice(None), slice(0, 3)):
        right, result = nested_score(inner[rows], outer[rows]), answer(inner[rows], outer[rows])
        result = float(result)
        if math.isclose(result, right, abs_tol=1e-9):
            continue
        for wrong, message in messages.items():
            if math.isclose(result, wrong(inner[rows], outer[rows]), abs_tol=1e-9):
                raise WrongAnswer(message)
        raise WrongAnswer(f"for inner={inner[rows].tolist()} it must be {right:.4f}, not {result}.")


EXERCISES = (
    Exercise(
        id="12.1",
        title="A grid with conditions",
        prompt=(
            "Write `count_trials(space, only_if)`: how many different trials has a grid? `space` "
            "maps each name to its list of values. `only_if` maps a conditional name to a pair: "
            '`{"momentum": ("optimizer", "sgd")}` says that momentum exists only where the '
            "optimizer is sgd. No condition hangs on another conditional name, and no two on the "
            "same one."
        ),
        hints=(
            "Without conditions it is the product of the lengths.",
            "Think of the parent and its child as one hyperparameter: how many different pairs "
            "are there?",
            "The parent's other values count once each, the given one len(space[child]) times.",
        ),
        check=_check_count,
        reference=count_trials,
        explanation=(
            "An optimizer of two values with four momenta for one of them makes 1 + 4 = 5 pairs, "
            "not 8. A search without conditions trains the other three again and again."
        ),
        wrong=(
            (_all_pairs, "nobody reads it"),
            (_never_there, "left the conditional"),
            (_added, "multiplies"),
        ),
    ),
    Exercise(
        id="12.2",
        title="How many dice?",
        prompt=(
            "Write `trials_needed(share, certainty)`: the smallest number of random trials such "
            "that with the probability `certainty`, or a higher one, at least one of them is among "
            "the best `share` of all combinations. Both lie between 0 and 1; trials may repeat."
        ),
        hints=(
            "What is the chance that one trial misses? That n trials all miss?",
            "(1 - share)**n must be at most 1 - certainty.",
            "Take logarithms, and round up.",
        ),
        check=_check_trials,
        reference=trials_needed,
        explanation=(
            "(1 − share)ⁿ <= 1 − certainty. For the best 5 % with 95 % certainty n is 59, however "
            "many hyperparameters there are: that is why random search does so well."
        ),
        wrong=(
            (_one_over, "on average"),
            (_proportional, "Multiply"),
            (_all_hits, "all miss"),
            (_one_too_few, "round up"),
        ),
    ),
    Exercise(
        id="12.3",
        title="One bracket of Hyperband",
        prompt=(
            "Write `halve(curves, factor)`. `curves[i][e]` is the score of trial i after epoch "
            "e + 1; more is better. All trials train 1 epoch; the best `len // factor` of them "
            "(at least 1) go on to `factor` epochs in all, the best of those to `factor²`, and "
            "so on; the last round ends where the curves end, also with one trial left. Trials "
            "are ranked by the score after the epochs they have trained, and go on with their "
            "weights. Return the number of the best trial of the last round and the epochs that"
            " were trained altogether, as a tuple."
        ),
        hints=(
            "Keep a list of the trials that are left, and how many epochs each has trained.",
            "A round costs len(left) * (until - trained) epochs.",
            "Sort `left` by `curves[i][until - 1]`, largest first, and cut it; stop after the "
            "round that reaches the end of the curves.",
        ),
        check=_check_halve,
        reference=halve,
        explanation=(
            "Nine trials cost 9·1 + 3·2 + 1·6 = 21 epochs instead of 81. A late starter is lost: "
            "Hyperband therefore also runs brackets that drop later."
        ),
        wrong=(
            (_trained_anew, "*further* epochs"),
            (_sees_the_end, "dropped early"),
            (_first_epoch_decides, "first epoch decided"),
        ),
    ),
    Exercise(
        id="12.4",
        title="Who judges the tuner?",
        prompt=(
            "In *nested* cross-validation each outer fold is put aside, and the other rows tune by "
            "k-fold among themselves. Write `nested_score(inner, outer)`: `inner[f, s]` is the "
            "mean inner score of setting s with fold f aside, `outer[f, s]` the score on fold f of "
            "setting s, trained on all other rows. Return the honest score of the whole procedure, "
            "tuning included."
        ),
        hints=(
            "In each row f, who may choose and who may judge?",
            "`inner.argmax(axis=1)` gives the setting chosen for each fold.",
            "`outer[np.arange(len(outer)), chosen]` picks one number of each row; take the mean.",
        ),
        check=_check_nested,
        reference=nested_score,
        explanation=(
            "Each outer fold judges a choice that it had no part in. Different folds may choose "
            "different settings: it is the procedure that gets the score, not one setting."
        ),
        wrong=(
            (_judge_chooses, "winner's curse"),
            (_promised, "promised"),
            (_one_for_all, "one setting for all"),
            (_best_mean, "may judge"),
        ),
    ),
)
