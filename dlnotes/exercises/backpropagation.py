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
        if not isinstance(result, tuple | list | np.ndarray) or np.size(result) != 4:
            raise WrongAnswer("return four slopes, along w, b, v and c in this order.")
        if any(hasattr(slope, "parents") for slope in np.ravel(result)):
            raise WrongAnswer("return four plain numbers: formulas, without the engine.")
        result, right = np.asarray(result, dtype=float).ravel(), np.array(chain(*case))
        if np.allclose(result, right):
            continue
        for mistake, reason in _CHAIN_MISTAKES.items():
            if np.allclose(result, mistake(*case)):
                raise WrongAnswer(reason)
        if np.allclose(np.sort(result), np.sort(right)):
            raise WrongAnswer("right slopes, wrong order: return those along w, b, v and c.")
        worst = int(np.argmax(np.abs(result - right)))
        raise WrongAnswer(
            f"for x, y, w, b, v, c = {case} the slope along {'wbvc'[worst]} must be "
            f"{right[worst]:.4f}; yours is {result[worst]:.4f}."
        )


def _wrong_order(x, y, w, b, v, c):
    return chain(x, y, w, b, v, c)[::-1]


def _by_engine(x, y, w, b, v, c):
    return tuple(Scalar(slope) for slope in chain(x, y, w, b, v, c))


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


def _log_without_a_list(node):
    return Scalar(math.log(node.value), (node, 1 / node.value))


def _log_with_a_scalar_slope(node):
    return Scalar(math.log(node.value), [(node, 1 / node)])


def _log_pair_turned(node):
    return Scalar(math.log(node.value), [(1 / node.value, node)])


def _log_of_a_copy(node):
    return Scalar(math.log(node.value), [(Scalar(node.value), 1 / node.value)])


def _check_pairs(parents):
    for pair in parents:
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise WrongAnswer("`parents` is a list of pairs: [(node, slope)], brackets and all.")
        parent, slope = pair
        if hasattr(slope, "parents") and not hasattr(parent, "parents"):
            raise WrongAnswer("turn the pair: first the parent, then the local slope.")
        if hasattr(slope, "parents"):
            raise WrongAnswer("the local slope is a plain number: 1 / node.value.")


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
        _check_pairs(result.parents)
        result.backward()
        if x.gradient == 0:
            raise WrongAnswer(
                "no blame reached x. The parent must be the very number that came in, not a copy."
            )
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


def _counted_from_one(f, gradient, x):
    return most_wrong(f, gradient, x) + 1


def _shares(f, gradient, x):
    measured = np.array([(f(x + h) - f(x - h)) / 2e-6 for h in 1e-6 * np.eye(len(x))])
    return int(np.argmax(np.abs(gradient - measured) / np.abs(measured)))


def _x_left_changed(f, gradient, x):
    gaps = []
    for i in range(len(x)):
        before = f(x)
        x[i] += 1e-6
        gaps.append(abs(gradient[i] - (f(x) - before) / 1e-6))
    return int(np.argmax(gaps))


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
    for place, fault, smaller in (
        (0, 0.5, 0),
        (3, 0.3, 0),
        (1, -0.4, 0),
        (2, -0.5, 0),
        (0, 0.5, 0.3),
    ):
        gradient = right.copy()
        gradient[place] += fault
        gradient[3] += smaller  # less than the fault, but more of this small slope
        given = x.copy()
        result = answer(f, gradient.copy(), given)
        if not np.allclose(given, x, rtol=0, atol=1e-9):
            raise WrongAnswer("your function left x changed: nudge a copy, or undo the nudge.")
        if isinstance(result, bool) or int(result) != result:
            raise WrongAnswer(
                f"return the position of the wrong slope, a whole number from 0; yours is "
                f"{float(result):.4f}."
            )
        if result == place:
            continue
        if smaller and result == 3:
            raise WrongAnswer(
                "the differences themselves count, and not their shares of the slopes: a "
                "small fault of a small slope is not the largest."
            )
        if fault < 0:  # both slopes that were too large have been found
            raise WrongAnswer(
                "a slope can be too small as well as too large: compare absolute differences."
            )
        for mistake, reason in reasons.items():
            if mistake(f, gradient, x) == result:
                raise WrongAnswer(reason)
        if result - 1 == place:
            raise WrongAnswer("count positions from 0, as Python does.")
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


def _square_forgotten(delta_next, weights_next, a):
    return (delta_next @ weights_next.T) * (1 - a)


def _slope_of_the_sigmoid(delta_next, weights_next, a):
    return (delta_next @ weights_next.T) * a * (1 - a)


def _check_hidden_blame(answer):
    rng = np.random.default_rng(14)
    reasons = {
        _no_bend: "the sum is right, the bend is missing: multiply by the slope of tanh, 1 − a².",
        _not_transposed: "each hidden node must collect along the weights that lead away from it, "
        "its row of the matrix; yours runs down the columns. Which of the two is transposed?",
        _slope_from_the_score: "a is already tanh of the score, so the slope is 1 − a²; you take "
        "tanh a second time.",
        _square_forgotten: "the slope of tanh is 1 − a², with a square; you take 1 − a.",
        _slope_of_the_sigmoid: "a·(1 − a) is the slope of the sigmoid; that of tanh is 1 − a².",
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
            "along `w`, `b`, `v` and `c`, in this order. Six numbers in, four out. Formulas only: "
            "no nudging, no engine."
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
            (_wrong_order, "wrong order"),
            (_by_engine, "four plain numbers"),
        ),
    ),
    Exercise(
        id="04.2",
        title="A logarithm for the engine",
        prompt=(
            "Cross-entropy needs a logarithm, and `Scalar` has none. Write `log(node)` for a "
            "`Scalar`: it returns a new `Scalar` that holds the natural logarithm of its value and "
            "can send blame back. The value is positive."
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
            (_log_without_a_list, "list of pairs"),
            (_log_with_a_scalar_slope, "a plain number"),
            (_log_pair_turned, "turn the pair"),
            (_log_of_a_copy, "not a copy"),
        ),
    ),
    Exercise(
        id="04.3",
        title="Find the wrong slope",
        prompt=(
            "Somebody hands you a function `f`, an array `x` with one axis, and the gradient of "
            "`f` at `x`, but some slopes of it are false. Write `most_wrong(f, gradient, x)`: the "
            "position (from 0) of the slope with the largest absolute difference from the measured "
            "one. `f` takes an array like `x` and returns a number. `numerical_gradient` is "
            "allowed; `x` must be as before when you return."
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
            (_counted_from_one, "count positions from 0"),
            (_shares, "not their shares"),
            (_x_left_changed, "left x changed"),
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
            (_square_forgotten, "with a square"),
            (_slope_of_the_sigmoid, "the slope of the sigmoid"),
            (_unweighted, "weight each error signal"),
            (lambda d, w, a: d @ w.T @ (1 - a**2).T, "give error signals of shape"),
        ),
    ),
)
