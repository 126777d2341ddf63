"""Exercises of lesson 07, activations."""

import numpy as np

from dlnotes.exercises.base import Exercise, WrongAnswer


def leaky_backward(z, gradient, slope):
    """Return ∂loss/∂z, given ∂loss/∂a of a leaky ReLU at z."""
    return gradient * np.where(z > 0, 1.0, slope)


def _by_the_gradients_sign(z, gradient, slope):
    return np.where(gradient > 0, gradient, slope * gradient)


def _slope_alone(z, gradient, slope):
    return np.where(z > 0, 1.0, slope)


def _plain_relu(z, gradient, slope):
    return gradient * (z > 0)


def _forward_again(z, gradient, slope):
    return gradient * np.where(z > 0, z, slope * z)


def _check_leaky_backward(answer):
    z = np.array([[-2.0, 3.0], [0.5, -0.1]])
    gradient = np.array([[1.0, -4.0], [2.0, -3.0]])
    for slope in (0.1, 0.3):
        result = np.asarray(answer(z.copy(), gradient.copy(), slope), dtype=float)
        if result.shape != z.shape:
            raise WrongAnswer(f"return the shape of z, {z.shape}; yours is {result.shape}.")
        if np.allclose(result, leaky_backward(z, gradient, slope)):
            continue
        messages = {
            _by_the_gradients_sign: "you ask for the sign of the *gradient*. Which side of the "
            "bend the unit was on is decided by z.",
            _slope_alone: "that is the bend's slope alone. The chain rule multiplies it by the "
            "gradient that arrives.",
            _plain_relu: "where z < 0 you pass nothing: that is a plain ReLU. The leak lets "
            "`slope` times the gradient through.",
            _forward_again: "you multiply by the bend's *value*; the way back needs its slope.",
        }
        for wrong, message in messages.items():
            if np.allclose(result, wrong(z, gradient, slope)):
                raise WrongAnswer(message)
        right = leaky_backward(z, gradient, slope).tolist()
        raise WrongAnswer(
            f"for z = {z.tolist()}, gradient = {gradient.tolist()} and slope = {slope} it must be "
            f"{np.round(right, 4).tolist()}; yours is {np.round(result, 4).tolist()}."
        )


def fold(w1, b1, w2, b2):
    """Return weights and bias of the one layer that equals two linear layers in a row."""
    return w1 @ w2, b1 @ w2 + b2


def _biases_added(w1, b1, w2, b2):
    return w1 @ w2, b1[: len(b2)] + b2 if len(b1) >= len(b2) else b2


def _first_bias_lost(w1, b1, w2, b2):
    return w1 @ w2, b2


def _other_order(w1, b1, w2, b2):
    return w2.T @ w1.T, w2.T @ b1 + b2


def _check_fold(answer):
    rng = np.random.default_rng(7)
    for inputs, middle, outputs in ((4, 3, 2), (3, 3, 3)):
        w1, b1 = rng.normal(size=(inputs, middle)), rng.normal(size=middle)
        w2, b2 = rng.normal(size=(middle, outputs)), rng.normal(size=outputs)
        result = answer(w1.copy(), b1.copy(), w2.copy(), b2.copy())
        if not isinstance(result, tuple | list) or len(result) != 2:
            raise WrongAnswer("return two things: the weights, then the bias.")
        w, b = (np.asarray(part, dtype=float) for part in result)
        if w.shape != (inputs, outputs):
            hint = " You have transposed it." if w.shape == (outputs, inputs) else ""
            raise WrongAnswer(
                f"from {inputs} inputs to {outputs} outputs the weights have the shape "
                f"{(inputs, outputs)}; yours {w.shape}.{hint}"
            )
        right_w, right_b = fold(w1, b1, w2, b2)
        if not np.allclose(w, right_w):
            raise WrongAnswer(
                "the weights are not right. Rows come from the left: x @ w1 @ w2, so which product "
                "can be taken first?"
            )
        if b.shape != right_b.shape or not np.allclose(b, right_b):
            if b.shape == b2.shape and np.allclose(b, b2):
                raise WrongAnswer("b1 is lost. It goes through the second layer's weights too.")
            if np.allclose(b, _biases_added(w1, b1, w2, b2)[1]):
                raise WrongAnswer("b1 cannot be added as it is: the second layer multiplies it.")
            raise WrongAnswer("the bias is not right: what comes out for x = 0?")


def revive(x, weights, bias):
    """Return the bias, raised for dead units until their largest z is 0.1."""
    largest = (x @ weights + bias).max(axis=0)
    return np.where(largest <= 0, bias + 0.1 - largest, bias)


def _everyone(x, weights, bias):
    return bias + 0.1 - (x @ weights + bias).max(axis=0)


def _only_to_zero(x, weights, bias):
    largest = (x @ weights + bias).max(axis=0)
    return np.where(largest <= 0, bias - largest, bias)


def _mean_not_max(x, weights, bias):
    middle = (x @ weights + bias).mean(axis=0)
    return np.where(middle <= 0, bias + 0.1 - middle, bias)


def _smallest(x, weights, bias):
    z = x @ weights + bias
    return np.where(z.max(axis=0) <= 0, bias + 0.1 - z.min(axis=0), bias)


def _bias_is_tenth(x, weights, bias):
    return np.where((x @ weights + bias).max(axis=0) <= 0, 0.1, bias)


def _below_zero_only(x, weights, bias):
    largest = (x @ weights + bias).max(axis=0)
    return np.where(largest < 0, bias + 0.1 - largest, bias)


def _check_revive(answer):
    rng = np.random.default_rng(8)
    x, weights = rng.uniform(size=(30, 4)), rng.normal(size=(4, 6))
    bias = np.array([0.0, -8.0, 0.5, -0.2, -6.0, 3.0, 0.0])
    weights = np.column_stack([weights, np.zeros(4)])  # the last unit's z is 0 for every row
    given = bias.copy()
    result = np.asarray(answer(x.copy(), weights.copy(), given), dtype=float)
    if result.shape != bias.shape:
        raise WrongAnswer(f"return one bias for each unit, {bias.shape}; yours {result.shape}.")
    z, right = x @ weights + bias, revive(x, weights, bias)
    dead = np.all(z <= 0, axis=0)
    if np.allclose(result, right):
        if not np.array_equal(given, bias):
            raise WrongAnswer(
                "the result is right, but you have changed the caller's `bias`. Make a new array."
            )
        return
    if np.allclose(result[dead], right[dead]):
        raise WrongAnswer(
            "the dead are back, but you have also moved units that were alive. Leave their bias "
            "as it was."
        )
    if np.allclose(result, _below_zero_only(x, weights, bias)):
        raise WrongAnswer(
            "one unit's z is exactly 0 for every row. ReLU's slope is 0 there too: it is dead."
        )
    if np.allclose(result, _only_to_zero(x, weights, bias)):
        raise WrongAnswer("at z = 0 a ReLU's slope is still 0: lift the largest z to 0.1.")
    if np.allclose(result[dead], 0.1):
        raise WrongAnswer("it is the largest *z* that shall be 0.1, not the bias.")
    if np.allclose(result, _smallest(x, weights, bias)):
        raise WrongAnswer(
            "you have lifted the *smallest* z to 0.1: now the unit fires for every row and selects "
            "nothing. One row is enough."
        )
    if np.allclose(result, _mean_not_max(x, weights, bias)):
        raise WrongAnswer("a negative *mean* is no death: a unit is dead if z <= 0 for every row.")
    raise WrongAnswer(
        f"the biases must be {np.round(right, 3).tolist()}; yours {np.round(result, 3).tolist()}."
    )


def threshold_for(p, truth, wanted):
    """Return the largest threshold t at which `p >= t` finds at least the share `wanted`."""
    hits = np.sort(p[truth])[::-1]  # the surest first
    return hits[int(np.ceil(wanted * len(hits) - 1e-9)) - 1]


def _of_all_rows(p, truth, wanted):
    ordered = np.sort(p)[::-1]
    return ordered[int(np.ceil(wanted * len(ordered) - 1e-9)) - 1]


def _rounded_down(p, truth, wanted):
    hits = np.sort(p[truth])[::-1]
    return hits[max(int(wanted * len(hits)), 1) - 1]


def _smallest_that_works(p, truth, wanted):
    return p.min()


def _wrong_end(p, truth, wanted):
    hits = np.sort(p[truth])
    return hits[int(np.ceil(wanted * len(hits) - 1e-9)) - 1]


def _one_half(p, truth, wanted):
    return 0.5


def _check_threshold(answer):
    rng = np.random.default_rng(9)
    for positives, negatives, wanted in ((10, 30, 0.75), (8, 8, 0.5), (7, 20, 0.9), (5, 9, 1.0)):
        truth = np.arange(positives + negatives) < positives
        p = np.where(truth, rng.beta(4, 2, truth.size), rng.beta(2, 4, truth.size)).round(4)
        order = rng.permutation(truth.size)
        p, truth = p[order], truth[order]
        t = float(answer(p.copy(), truth.copy(), wanted))
        right = threshold_for(p, truth, wanted)
        found = np.mean(p[truth] >= t)
        told = f"with {positives} rows of class 1 and a wanted recall of {wanted:g}"
        if found >= wanted and t >= right - 1e-9:
            continue
        if np.isclose(t, _of_all_rows(p, truth, wanted)):
            raise WrongAnswer(
                f"{told} your threshold finds {found:.0%}. Recall is about the rows of class 1 "
                "only; you have counted among all rows."
            )
        if found < wanted and np.isclose(t, _rounded_down(p, truth, wanted)):
            raise WrongAnswer(
                f"{told} your threshold finds {found:.0%}: one row too few. Round up."
            )
        if found < wanted:
            raise WrongAnswer(f"{told} your threshold {t:.4g} finds {found:.0%}: it is too high.")
        raise WrongAnswer(
            f"{told} your threshold {t:.4g} finds enough, but {right:.4g} does so too and "
            "raises fewer false alarms. Take the largest."
        )


EXERCISES = (
    Exercise(
        id="07.1",
        title="Backwards through a leak",
        prompt=(
            "Write `leaky_backward(z, gradient, slope)`: `gradient` holds ∂loss/∂a for the outputs "
            "a of a leaky ReLU, `z` what it bent, `slope` its slope for z < 0. Return ∂loss/∂z."
        ),
        hints=(
            "The chain rule: multiply the arriving gradient by the bend's slope.",
            "The slope is 1 where z > 0, and `slope` elsewhere: `np.where`.",
        ),
        check=_check_leaky_backward,
        reference=leaky_backward,
        explanation=(
            "A message is passed on whole where the unit was on, and `slope` of it where it was "
            "off. With slope 0 this is a ReLU, and a unit that is off for all rows gets nothing."
        ),
        wrong=(
            (_by_the_gradients_sign, "sign of the *gradient*"),
            (_slope_alone, "slope alone"),
            (_plain_relu, "a plain ReLU"),
            (_forward_again, "the bend's *value*"),
        ),
    ),
    Exercise(
        id="07.2",
        title="Two layers into one",
        prompt=(
            "Write `fold(w1, b1, w2, b2)`: two linear layers compute `(x @ w1 + b1) @ w2 + b2`. "
            "Return `(w, b)` of the one layer `x @ w + b` that does the same."
        ),
        hints=(
            "Multiply out the brackets.",
            "Put in x = 0: what comes out is b.",
        ),
        check=_check_fold,
        reference=fold,
        explanation=(
            "w = w1 @ w2 and b = b1 @ w2 + b2. With a bend between the layers the brackets cannot "
            "be multiplied out, and that is what the bend is for."
        ),
        wrong=(
            (_first_bias_lost, "b1 is lost"),
            (_biases_added, "cannot be added as it is"),
            (_other_order, "transposed"),
        ),
    ),
    Exercise(
        id="07.3",
        title="Wake the dead",
        prompt=(
            "Write `revive(x, weights, bias)` for a layer z = x·W + b with ReLU, `x` of shape "
            "(B, D) being all training rows. Return a new bias: for each dead unit raised so far "
            "that its *largest* z is 0.1, for all others as it was."
        ),
        hints=(
            "For each unit: `(x @ weights + bias).max(axis=0)`, the largest z over the rows.",
            "A unit is dead if that is not above 0. By how much must its bias grow?",
        ),
        check=_check_revive,
        reference=revive,
        explanation=(
            "Adding a number to the bias adds it to every z, so 0.1 minus the largest z is what is "
            "missing. From then on the unit gets the gradient of one row, and can learn."
        ),
        wrong=(
            (_everyone, "units that were alive"),
            (_only_to_zero, "slope is still 0"),
            (_below_zero_only, "exactly 0 for every row"),
            (_mean_not_max, "negative *mean*"),
            (_smallest, "the *smallest* z"),
            (_bias_is_tenth, "not the bias"),
        ),
    ),
    Exercise(
        id="07.4",
        title="A threshold for a purpose",
        prompt=(
            "Write `threshold_for(p, truth, wanted)`: `p` are a sigmoid's outputs, `truth` is True "
            "for rows of class 1. Return the *largest* threshold t for which calling `p >= t` "
            "finds at least the share `wanted` of the rows of class 1."
        ),
        hints=(
            "Only the outputs of class 1 count: `p[truth]`.",
            "Sort them, largest first. How many must be found?",
            "The last one that must be found is itself the threshold.",
        ),
        check=_check_threshold,
        reference=threshold_for,
        explanation=(
            "The threshold may rise until it stands at the last row that must be found. (The 1e-9 "
            "guards against rounding: a product such as 0.07 · 100 comes out a little above 7, and "
            "must not be rounded up to 8.)"
        ),
        wrong=(
            (_of_all_rows, "counted among all rows"),
            (_rounded_down, "Round up"),
            (_smallest_that_works, "Take the largest"),
            (_wrong_end, "too high"),
            (_one_half, "threshold"),
        ),
    ),
)
