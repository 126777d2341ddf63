"""Exercises of lesson 04, backpropagation."""

import math

import numpy as np

from dlnotes.exercises.base import Exercise, WrongAnswer
from dlnotes.scratch import Scalar


def chain(x, y, w, b, v, c):
    """Return the slopes of (v·tanh(w·x + b) + c − y)² along w, b, v and c."""
    a = math.tanh(w * x + b)
    delta_output = 2 * (v * a + c - y)
    delta_hidden = delta_output * v * (1 - a**2)
    return delta_hidden * x, delta_hidden, delta_output * a, delta_output


def _bend_forgotten(x, y, w, b, v, c):
    a = math.tanh(w * x + b)
    delta = 2 * (v * a + c - y)
    return delta * v * x, delta * v, delta * a, delta


def _weight_forgotten(x, y, w, b, v, c):
    a = math.tanh(w * x + b)
    delta = 2 * (v * a + c - y)
    return delta * (1 - a**2) * x, delta * (1 - a**2), delta * a, delta


def _wrong_way(x, y, w, b, v, c):
    return tuple(-slope for slope in chain(x, y, w, b, v, c))


def _two_forgotten(x, y, w, b, v, c):
    return tuple(slope / 2 for slope in chain(x, y, w, b, v, c))


def _slope_of_the_score(x, y, w, b, v, c):
    a, z = math.tanh(w * x + b), w * x + b
    delta = 2 * (v * a + c - y)
    return delta * v * (1 - z**2) * x, delta * v * (1 - z**2), delta * a, delta


_CHAIN_MISTAKES = {
    _bend_forgotten: "the slopes along w and b lack the bend: between a and z stands the slope of "
    "tanh, 1 − a².",
    _weight_forgotten: "the slopes along w and b lack a factor: on its way to the hidden node the "
    "blame passes the weight v.",
    _wrong_way: "all signs are turned. The slope of (ŷ − y)² along ŷ is 2(ŷ − y); the minus comes "
    "later, with the step downhill.",
    _two_forgotten: "all four are half as large as they must be: the slope of a square brings a 2.",
    _slope_of_the_score: "the slope of tanh at z is 1 − tanh(z)², so 1 − a², and not 1 − z².",
}


def _check_chain(answer):
    for case in ((0.5, 1.0, 2.0, -0.5, 1.5, 0.25), (-1.0, 0.5, 0.8, 0.1, -0.7, 0.3)):
        result = answer(*case)
        if not isinstance(result, tuple | list | np.ndarray) or len(result) != 4:
            raise WrongAnswer("return four slopes, along w, b, v and c in this order.")
        result, right = np.asarray(result, dtype=float), np.array(chain(*case))
        if np.allclose(result, right):
            continue
        for mistake, reason in _CHAIN_MISTAKES.items():
            if np.allclose(result, mistake(*case)):
                raise WrongAnswer(reason)
        worst = int(np.argmax(np.abs(result - right)))
        raise WrongAnswer(
            f"for x, y, w, b, v, c = {case} the slope along {'wbvc'[worst]} must be "
            f"{right[worst]:.4f}; yours is {result[worst]:.4f}."
        )


def log(node):
    """Return the natural logarithm as a Scalar that knows its parent and its slope 1/x."""
    return Scalar(math.log(node.value), [(node, 1 / node.value)])


def _log_without_parents(node):
    return Scalar(math.log(node.value))


def _log_as_its_own_slope(node):
    return Scalar(math.log(node.value), [(node, math.log(node.value))])


def _log_as_a_number(node):
    return math.log(node.value)


def _log_multiplies_by_x(node):
    return Scalar(math.log(node.value), [(node, node.value)])


def _check_log(answer):
    for value in (0.5, 4.0):
        x = Scalar(value)
        result = answer(x)
        if not hasattr(result, "parents") or not hasattr(result, "backward"):
            raise WrongAnswer(
                f"return a Scalar, so that the way back can go on; yours is a "
                f"{type(result).__name__}."
            )
        if not math.isclose(result.value, math.log(value)):
            raise WrongAnswer(
                f"log of {value} is {math.log(value):.4f}; your value is {result.value:.4f}."
            )
        if not result.parents:
            raise WrongAnswer(
                "the value is right, but the new number has forgotten its parent: no blame can "
                "reach x. Give Scalar the list of pairs (parent, slope)."
            )
        result.backward()
        if not math.isclose(x.gradient, 1 / value):
            raise WrongAnswer(
                f"the slope of log at {value} is 1/x = {1 / value:g}; yours is {x.gradient:.4f}. "
                "Nudge x in your head: where log is steep, the slope is large."
            )
    x = Scalar(3.0)
    answer(x * x).backward()
    if not math.isclose(x.gradient, 2 / 3):
        raise WrongAnswer(
            f"log(x·x) at 3 has the slope 2/3; yours is {x.gradient:.4f}. The parent must be the "
            "very number that came in, not a copy of its value."
        )


def most_wrong(f, gradient, x):
    """Return the position of the element whose slope differs most from the measured one."""
    step, gaps = 1e-6, []
    for i in range(len(x)):
        nudge = np.zeros(len(x))
        nudge[i] = step
        measured = (f(x + nudge) - f(x - nudge)) / (2 * step)
        gaps.append(abs(gradient[i] - measured))
    return int(np.argmax(gaps))


def _largest_slope(f, gradient, x):
    return int(np.argmax(np.abs(gradient)))


def _all_at_once(f, gradient, x):
    measured = (f(x + 1e-6) - f(x - 1e-6)) / 2e-6
    return int(np.argmax(np.abs(gradient - measured)))


def _signed_gap(f, gradient, x):
    measured = [(f(x + h) - f(x - h)) / 2e-6 for h in 1e-6 * np.eye(len(x))]
    return int(np.argmax(gradient - np.array(measured)))


def _the_gap_itself(f, gradient, x):
    measured = [(f(x + h) - f(x - h)) / 2e-6 for h in 1e-6 * np.eye(len(x))]
    return float(np.max(np.abs(gradient - np.array(measured))))


def _check_most_wrong(answer):
    def f(x):
        return float(np.sum(np.sin(x)) + x[0] * x[2])

    x = np.array([0.3, -0.8, 1.2, 2.0])
    right = np.cos(x) + np.array([x[2], 0, x[0], 0])
    reasons = {
        _largest_slope: "that is the largest slope of the gradient, which may well be right. "
        "Compare each slope with what nudging measures.",
        _all_at_once: "nudge one number at a time: all at once, you measure the sum of the slopes.",
    }
    for place, fault in ((0, 0.5), (3, 0.3), (1, -0.4), (2, -0.5)):
        gradient = right.copy()
        gradient[place] += fault
        result = answer(f, gradient.copy(), x.copy())
        if isinstance(result, bool) or int(result) != result:
            raise WrongAnswer(
                f"return the position of the wrong slope, a whole number from 0; yours is "
                f"{float(result):.4f}."
            )
        if result == place:
            continue
        if fault < 0:  # both slopes that were too large have been found
            raise WrongAnswer(
                "a slope can be too small as well as too large: compare absolute differences."
            )
        for mistake, reason in reasons.items():
            if mistake(f, gradient, x) == result:
                raise WrongAnswer(reason)
        raise WrongAnswer(f"the slope at position {place} was false; you named {int(result)}.")


def hidden_blame(delta_next, weights_next, a):
    """Return the error signals of a layer of tanh nodes, one row for each row of the batch."""
    return (delta_next @ weights_next.T) * (1 - a**2)


def _no_bend(delta_next, weights_next, a):
    return delta_next @ weights_next.T


def _not_transposed(delta_next, weights_next, a):
    return (delta_next @ weights_next) * (1 - a**2)


def _slope_from_the_score(delta_next, weights_next, a):
    return (delta_next @ weights_next.T) * (1 - np.tanh(a) ** 2)


def _unweighted(delta_next, weights_next, a):
    return delta_next.sum(axis=1, keepdims=True) * (1 - a**2)


def _check_hidden_blame(answer):
    rng = np.random.default_rng(14)
    reasons = {
        _no_bend: "the sum is right, the bend is missing: multiply by the slope of tanh, 1 − a².",
        _not_transposed: "each hidden node must collect along the weights that lead away from it, "
        "its row of the matrix; yours runs down the columns. Which of the two is transposed?",
        _slope_from_the_score: "a is already tanh of the score, so the slope is 1 − a²; you take "
        "tanh a second time.",
        _unweighted: "a node shares the blame of the next layer by its weights: weight each error "
        "signal before you add.",
    }
    for batch, hidden, after in ((4, 3, 3), (5, 4, 2)):
        delta, weights = rng.normal(size=(batch, after)), rng.normal(size=(hidden, after))
        a = np.tanh(rng.normal(size=(batch, hidden)))
        result = np.asarray(answer(delta.copy(), weights.copy(), a.copy()), dtype=float)
        right = hidden_blame(delta, weights, a)
        if result.shape == right.shape and np.allclose(result, right):
            continue
        if result.shape != right.shape:
            raise WrongAnswer(
                f"{batch} rows and {hidden} hidden nodes give error signals of shape "
                f"{right.shape}; yours has {result.shape}."
            )
        for mistake, reason in reasons.items():
            if (mistake is not _not_transposed or hidden == after) and np.allclose(
                result, mistake(delta, weights, a)
            ):
                raise WrongAnswer(reason)
        raise WrongAnswer(
            f"the first node's signal in the first row must be {right[0, 0]:.4f}; yours is "
            f"{result[0, 0]:.4f}. Sum over the next layer, weighted, then times the bend's slope."
        )


EXERCISES = (
    Exercise(
        id="04.1",
        title="Four derivatives by hand",
        prompt=(
            "The smallest network with a hidden node is 1-1-1: $a = \\tanh(w x + b)$, "
            "$\\hat y = v a + c$, and the loss is $(\\hat y - y)^2$. Work out its four derivatives "
            "on paper, and write `chain(x, y, w, b, v, c)`, which returns the slopes of the loss "
            "along `w`, `b`, `v` and `c`, in this order. Formulas only: no nudging, no engine."
        ),
        hints=(
            "Start at the loss. Its slope along ŷ is 2(ŷ − y), and c passes it on unchanged.",
            "v carried the value a. And a passes the blame on through v and the slope of tanh.",
            "With δ = 2(ŷ − y)·v·(1 − a²) for the hidden node, w carried x and b carried 1.",
        ),
        check=_check_chain,
        reference=chain,
        explanation=(
            "Two error signals, and each parameter's blame is one of them times what the "
            "parameter carried: x, 1, a and 1."
        ),
        wrong=(
            (_bend_forgotten, "lack the bend"),
            (_weight_forgotten, "passes the weight v"),
            (_wrong_way, "all signs are turned"),
            (_two_forgotten, "a square brings a 2"),
            (_slope_of_the_score, "not 1 − z²"),
            (lambda x, y, w, b, v, c: 0.0, "return four slopes"),
        ),
    ),
    Exercise(
        id="04.2",
        title="A logarithm for the engine",
        prompt=(
            "Cross-entropy needs a logarithm, and `Scalar` has none. Write `log(node)` for a "
            "`Scalar`: it returns a new `Scalar` that holds the natural logarithm of its value and "
            "can send blame back."
        ),
        hints=(
            "Read `tanh` in the class `Scalar`: value first, then the pair (parent, local slope).",
            "The slope of ln x is 1/x. `math.log` computes the value.",
            "return Scalar(…, [(node, …)])",
        ),
        check=_check_log,
        reference=log,
        explanation=(
            "Value and local slope are all that an operation must know. The engine does the rest, "
            "so log(x·x) works too, though nobody wrote its derivative down."
        ),
        wrong=(
            (_log_without_parents, "forgotten its parent"),
            (_log_as_its_own_slope, "is 1/x"),
            (_log_multiplies_by_x, "where log is steep"),
            (_log_as_a_number, "return a Scalar"),
        ),
    ),
    Exercise(
        id="04.3",
        title="Find the wrong slope",
        prompt=(
            "Somebody hands you a function `f` of a row of numbers and its gradient at `x`, and "
            "one slope of it is false. Write `most_wrong(f, gradient, x)`: the position (from 0) "
            "of the slope that differs most from the measured one. `f` takes an array like `x` and "
            "returns a number. Do not change `x` for good."
        ),
        hints=(
            "For each position: a copy of x with that one number raised, another with it lowered.",
            "(f(up) − f(down)) / 2h with h = 1e-6 is the measured slope.",
            "np.argmax of the absolute differences is the position.",
        ),
        check=_check_most_wrong,
        reference=most_wrong,
        explanation=(
            "Two calls of f for each number. Slow, but it needs to know nothing about f, and that "
            "is why it can judge those who do."
        ),
        wrong=(
            (_largest_slope, "may well be right"),
            (_all_at_once, "one number at a time"),
            (_signed_gap, "too small as well as too large"),
            (_the_gap_itself, "return the position"),
        ),
    ),
    Exercise(
        id="04.4",
        title="The blame of a hidden layer",
        prompt=(
            "Write `hidden_blame(delta_next, weights_next, a)`: the error signals of a layer of H "
            "tanh nodes, shape (B, H), for a batch of B rows. `delta_next` holds the error signals "
            "of the U nodes after it, shape (B, U), `weights_next` the weights that lead there, "
            "shape (H, U), and `a` the layer's own outputs, shape (B, H)."
        ),
        hints=(
            "A hidden node's output is to blame for every node after it, by its weight to it.",
            "The weighted sum for all rows and nodes is one matrix product, with a transpose.",
            "From outputs to scores: times the slope of tanh, 1 − a².",
        ),
        check=_check_hidden_blame,
        reference=hidden_blame,
        explanation=(
            "(δ W⊤)·(1 − a²): forwards the rows go through W, backwards the blame goes through its "
            "transpose."
        ),
        wrong=(
            (_no_bend, "the bend is missing"),
            (_not_transposed, "Which of the two is transposed"),
            (_slope_from_the_score, "tanh a second time"),
            (_unweighted, "weight each error signal"),
            (lambda d, w, a: d @ w.T @ (1 - a**2).T, "give error signals of shape"),
        ),
    ),
)
