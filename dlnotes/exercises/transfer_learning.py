"""Exercises of lesson 17, transfer learning."""

import numpy as np

from dlnotes.exercises.base import Exercise, WrongAnswer


def count_learning(layers, frozen_to):
    """Return how many numbers can learn after freezing up to a layer; None freezes none.

    `layers` holds a pair for each layer from below: its name and how many numbers it has.
    """
    names = [name for name, _ in layers]
    first = 0 if frozen_to is None else names.index(frozen_to) + 1
    return sum(count for _, count in layers[first:])


def _named_layer_learns(layers, frozen_to):
    names = [name for name, _ in layers]
    first = 0 if frozen_to is None else names.index(frozen_to)
    return sum(count for _, count in layers[first:])


def _counts_the_frozen(layers, frozen_to):
    return sum(count for _, count in layers) - count_learning(layers, frozen_to)


def _only_the_named(layers, frozen_to):
    return sum(count for name, count in layers if name != frozen_to)


def _none_means_all(layers, frozen_to):
    return 0 if frozen_to is None else count_learning(layers, frozen_to)


def _check_count_learning(answer):
    small = [("conv_1", 160), ("pool_1", 0), ("conv_2", 4640), ("dense", 18496), ("output", 325)]
    messages = {
        _none_means_all: "None freezes no layer, so all numbers learn.",
        _named_layer_learns: "the named layer is frozen, too: what learns begins after it.",
        _counts_the_frozen: "you counted the frozen numbers; asked are those that learn.",
        _only_the_named: "all layers up to the named one are frozen, not that one alone.",
    }
    for layers, name in (
        (small, "conv_2"),
        (small, "pool_1"),
        (small, None),
        (small, "output"),
        (small[2:], "conv_2"),
    ):
        right, result = count_learning(layers, name), answer(list(layers), name)
        if result == right:
            continue
        for wrong, message in messages.items():
            if result == wrong(layers, name):
                raise WrongAnswer(message)
        names = ", ".join(part for part, _ in layers)
        raise WrongAnswer(f"for {names}, frozen to {name}, it must be {right}, not {result}.")


def soften(z, temperature):
    """Return the probabilities softmax(z / T) of scores (B, K), for any size of the scores."""
    z = z / temperature
    powers = np.exp(z - z.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def _sharpens(z, temperature):
    return soften(z, 1 / temperature)


def _divides_the_probabilities(z, temperature):
    return soften(z, 1.0) / temperature


def _over_the_rows(z, temperature):
    return soften(z.T, temperature).T


def _overflows(z, temperature):
    powers = np.exp(z / temperature)
    return powers / powers.sum(axis=1, keepdims=True)


def _forgets_the_temperature(z, temperature):
    return soften(z, 1.0)


def _check_soften(answer):
    rng = np.random.default_rng(17)
    messages = {
        _sharpens: "you multiplied the scores by T; dividing is what evens the answer out.",
        _divides_the_probabilities: "divide the scores, before the softmax; divided "
        "probabilities no longer add up to 1.",
        _over_the_rows: "each row is one picture: its K probabilities add up to 1.",
        _forgets_the_temperature: "this is the answer at T = 1; the temperature had no effect.",
    }
    for z, temperature in (
        (rng.normal(size=(3, 4)) * 3, 4.0),
        (rng.normal(size=(2, 5)), 0.5),
        (rng.normal(size=(2, 3)) + 4000.0, 2.0),
    ):
        with np.errstate(all="ignore"):
            result = np.asarray(answer(z.copy(), temperature), dtype=float)
        right = soften(z, temperature)
        if result.shape != right.shape:
            raise WrongAnswer(f"return an array of shape {right.shape}; yours has {result.shape}.")
        if np.allclose(result, right):
            continue
        for wrong, message in messages.items():
            if np.allclose(result, wrong(z, temperature)):
                raise WrongAnswer(message)
        if not np.isfinite(result).all():
            raise WrongAnswer(
                "for scores near 4000, exp overflows. Subtract the largest score of each row "
                "first; the probabilities stay the same."
            )
        raise WrongAnswer(
            f"for the scores {z[0].round(2)} and T = {temperature:g} the first probability must "
            f"be {right[0, 0]:.4f}, not {result[0, 0]:.4f}."
        )


def adapted(a, new, gamma, beta):
    """Return batch normalization's answers to rows a, with the averages taken from rows `new`."""
    return gamma * (a - new.mean(axis=0)) / np.sqrt(new.var(axis=0) + 1e-3) + beta


def _own_averages(a, new, gamma, beta):
    return adapted(a, a, gamma, beta)


def _without_root(a, new, gamma, beta):
    return gamma * (a - new.mean(axis=0)) / (new.var(axis=0) + 1e-3) + beta


def _spread_plus_epsilon(a, new, gamma, beta):
    return gamma * (a - new.mean(axis=0)) / (new.std(axis=0) + 1e-3) + beta


def _without_gamma_and_beta(a, new, gamma, beta):
    return adapted(a, new, 1.0, 0.0)


def _one_average(a, new, gamma, beta):
    return gamma * (a - new.mean()) / np.sqrt(new.var() + 1e-3) + beta


def _check_adapted(answer):
    rng = np.random.default_rng(18)
    messages = {
        _own_averages: "take mean and variance from `new`, all pictures of the new domain, not "
        "from the rows to be answered.",
        _without_root: "divide by the root of variance + 0.001, not by the variance.",
        _spread_plus_epsilon: "the 0.001 is added to the variance, under the root.",
        _without_gamma_and_beta: "gamma and beta were trained on the old domain, and stay: "
        "multiply by the one, add the other.",
        _one_average: "each channel (column) has a mean and a variance of its own: axis=0.",
    }
    for rows in (4, 1):
        a, new = rng.normal(size=(rows, 3)), 0.2 * rng.normal(size=(50, 3)) + [1.0, 2.0, 5.0]
        gamma, beta = np.array([1.5, 0.5, 2.0]), np.array([0.1, -1.0, 0.0])
        right = adapted(a, new, gamma, beta)
        result = np.asarray(answer(a.copy(), new.copy(), gamma, beta), dtype=float)
        if result.shape != right.shape:
            raise WrongAnswer(f"return an array of shape {right.shape}; yours has {result.shape}.")
        if np.allclose(result, right, rtol=1e-6):
            continue
        for wrong, message in messages.items():
            if np.allclose(result, wrong(a, new, gamma, beta)):
                raise WrongAnswer(message)
        raise WrongAnswer(
            f"the first number must be {right[0, 0]:.4f}, not {result[0, 0]:.4f}. The order is: "
            "minus mean, over root, times gamma, plus beta."
        )


def labels_saved(counts, scratch, base):
    """Return how many labels the base needs to reach what scratch has with the most labels.

    The accuracies rise with `counts`; between two counts they follow a straight line. Infinity if
    the base never gets there.
    """
    goal = scratch[-1]
    for i, score in enumerate(base):
        if score >= goal:
            if i == 0:
                return counts[0]
            share = (goal - base[i - 1]) / (score - base[i - 1])
            return counts[i - 1] + share * (counts[i] - counts[i - 1])
    return np.inf


def _next_count(counts, scratch, base):
    goal = scratch[-1]
    return next((n for n, score in zip(counts, base, strict=True) if score >= goal), np.inf)


def _other_way_round(counts, scratch, base):
    return labels_saved(counts, base, scratch)


def _difference(counts, scratch, base):
    return counts[-1] - labels_saved(counts, scratch, base)


def _beyond_the_end(counts, scratch, base):
    return float(np.interp(scratch[-1], base, counts))


def _check_labels_saved(answer):
    counts = [10, 50, 100, 500]
    messages = {
        _next_count: "the count may lie between two measured ones: follow the straight line.",
        _other_way_round: "the goal is what *scratch* reaches with the most labels, and the base "
        "has to reach it.",
        _difference: "return how many labels the base needs, not how many it spares.",
        _beyond_the_end: "where the base does not reach the goal, or has it from the first count "
        "on, there is nothing to interpolate: return infinity, or the first count.",
    }
    for scratch, base in (
        ([0.5, 0.8, 0.9, 0.94], [0.7, 0.9, 0.92, 0.97]),
        ([0.5, 0.8, 0.85, 0.88], [0.7, 0.9, 0.92, 0.97]),
        ([0.5, 0.8, 0.9, 0.95], [0.6, 0.7, 0.8, 0.9]),
        ([0.1, 0.2, 0.3, 0.4], [0.6, 0.7, 0.8, 0.9]),
    ):
        right = labels_saved(counts, scratch, base)
        result = float(answer(list(counts), list(scratch), list(base)))
        if np.isclose(result, right):
            continue
        for wrong, message in messages.items():
            if np.isclose(result, wrong(counts, scratch, base)):
                raise WrongAnswer(message)
        raise WrongAnswer(
            f"for scratch {scratch} and base {base} it must be {right:g}, not {result:g}."
        )


EXERCISES = (
    Exercise(
        id="17.1",
        title="What still learns?",
        prompt=(
            "Write `count_learning(layers, frozen_to)`: how many numbers can learn after freezing "
            "up to a layer? `layers` is a list of pairs from below, the layer's name and how many "
            "numbers it has; `frozen_to` is the name of the last frozen layer, or None."
        ),
        hints=(
            "Find the place of the named layer in the list.",
            "What learns begins one place after it; with None, at the beginning.",
            "`sum(count for _, count in layers[first:])` adds the rest.",
        ),
        check=_check_count_learning,
        reference=count_learning,
        explanation=(
            "Freezing goes up to and including the named layer. Most of a small network's numbers "
            "sit in its first dense layer, so freezing the convolutions leaves much to learn."
        ),
        wrong=(
            (_named_layer_learns, "the named layer is frozen, too"),
            (_counts_the_frozen, "you counted the frozen"),
            (_only_the_named, "not that one alone"),
            (_none_means_all, "None freezes no layer"),
        ),
    ),
    Exercise(
        id="17.2",
        title="Softer answers",
        prompt=(
            "Write `soften(z, temperature)`: from scores `z` of shape (B, K), a row a picture, the "
            "probabilities softmax(z / T). It must work for scores of any size."
        ),
        hints=(
            "Divide first, then take the softmax of each row.",
            "exp(4000) is infinite. Which number can you subtract from a row without changing its "
            "probabilities?",
            "`z - z.max(axis=1, keepdims=True)` has 0 as its largest number.",
        ),
        check=_check_soften,
        reference=soften,
        explanation=(
            "Dividing by T > 1 brings the scores closer together, so the small probabilities grow. "
            "Their order stays."
        ),
        wrong=(
            (_sharpens, "you multiplied the scores"),
            (_divides_the_probabilities, "divide the scores"),
            (_over_the_rows, "each row is one picture"),
            (_overflows, "exp overflows"),
            (_forgets_the_temperature, "the temperature had no effect"),
        ),
    ),
    Exercise(
        id="17.3",
        title="AdaBN by hand",
        prompt=(
            "Write `adapted(a, new, gamma, beta)`: what batch normalization answers to the rows "
            "`a`, shape (B, C), in inference mode, after its averages were taken from the rows "
            "`new` of the new domain. `gamma` and `beta`, one a channel, are its trained weights; "
            "epsilon is 0.001."
        ),
        hints=(
            "Inference mode: mean and variance are fixed numbers, here those of `new`.",
            "One mean and one variance a column: `axis=0`.",
            "Minus mean, over the root of variance + 0.001, times gamma, plus beta.",
        ),
        check=_check_adapted,
        reference=adapted,
        explanation=(
            "Even a single picture can be answered, since the averages come from `new`. No label "
            "was used, and no weight was trained."
        ),
        wrong=(
            (_own_averages, "take mean and variance from `new`"),
            (_without_root, "not by the variance"),
            (_spread_plus_epsilon, "under the root"),
            (_without_gamma_and_beta, "gamma and beta were trained"),
            (_one_average, "of its own"),
        ),
    ),
    Exercise(
        id="17.4",
        title="What is a base worth?",
        prompt=(
            "Write `labels_saved(counts, scratch, base)`: how many labels does the base need to "
            "reach what training from scratch reaches with the most labels? `counts` are the "
            "numbers of labels, `scratch` and `base` the accuracies there, all lists, rising. "
            "As good counts as reached. Between two counts follow a straight line, in the count "
            "and not in its logarithm. If the base has it at the first count "
            "already, return that count; if it never gets there, `float('inf')`."
        ),
        hints=(
            "The goal is `scratch[-1]`. Look for the first count at which the base has it.",
            "Between the count before and this one the base's accuracy rises on a straight line: "
            "which share of the way is the goal?",
            "`share = (goal - before) / (after - before)`.",
        ),
        check=_check_labels_saved,
        reference=labels_saved,
        explanation=(
            "Accuracies at one count say how much better a base is; labels at one accuracy say "
            "what it saves, and labels are what one pays for."
        ),
        wrong=(
            (_next_count, "between two measured ones"),
            (_other_way_round, "the goal is what *scratch*"),
            (_difference, "not how many it spares"),
            (_beyond_the_end, "nothing to interpolate"),
        ),
    ),
)
