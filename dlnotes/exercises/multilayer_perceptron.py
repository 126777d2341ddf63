"""Exercises of lesson 02, the multilayer perceptron."""

import itertools

import numpy as np

from dlnotes.exercises.base import Exercise, WrongAnswer

_BITS = np.array([[i >> 2 & 1, i >> 1 & 1, i & 1] for i in range(8)])


def _step(z):
    return np.where(z >= 0, 1, 0)


def _check_two_of_three(answer):
    try:
        w1, b1, w2, b2 = (np.asarray(part, dtype=float) for part in answer)
    except (TypeError, ValueError):
        raise WrongAnswer(
            "give four things: W1 (three rows, one column a hidden node), b1, W2 and b2."
        ) from None
    hidden = w1.shape[1] if w1.ndim == 2 else 0
    shapes = {"W1": w1.shape, "b1": b1.shape, "W2": w2.shape, "b2": b2.shape}
    wanted = {"W1": (3, hidden), "b1": (hidden,), "W2": (hidden, 1), "b2": (1,)}
    for name, shape in shapes.items():
        if hidden == 0 or shape != wanted[name]:
            raise WrongAnswer(
                f"with three inputs and H hidden nodes the shapes are W1 (3, H), b1 (H,), W2 (H, 1)"
                f" and b2 (1,); your {name} has {shape}."
            )
    if hidden > 2:
        raise WrongAnswer(f"two hidden nodes are enough; yours has {hidden}.")
    outputs = _step(_step(_BITS @ w1 + b1) @ w2 + b2)[:, 0]
    for bits, output in zip(_BITS, outputs, strict=True):
        right = int(bits.sum() == 2)
        if output != right:
            raise WrongAnswer(
                f"for the input {tuple(int(bit) for bit in bits)}, where {bits.sum()} of 3 are 1, "
                f"your network answers {output}; it must answer {right}."
            )


def one_row(x, w, b):
    """Return the outputs of the last layer; w[k][i][j] and b[k][j] count k, i and j from 0."""
    a = list(x)
    for weights, bias in zip(w, b, strict=True):
        scores = []
        for j in range(len(bias)):
            z = bias[j]
            for i in range(len(a)):
                z = z + weights[i][j] * a[i]
            scores.append(z)
        a = [1 / (1 + np.exp(-z)) for z in scores]
    return a


def _other_index_order(x, w, b):
    a = list(x)
    for weights, bias in zip(w, b, strict=True):
        flat = [value for row in weights for value in row]
        scores = [
            bias[j] + sum(flat[j * len(a) + i] * a[i] for i in range(len(a)))
            for j in range(len(bias))
        ]
        a = [1 / (1 + np.exp(-z)) for z in scores]
    return a


def _linear_output(x, w, b):
    a = np.asarray(x, dtype=float)
    for k, (weights, bias) in enumerate(zip(w, b, strict=True)):
        a = a @ np.asarray(weights) + bias
        if k < len(w) - 1:
            a = 1 / (1 + np.exp(-a))
    return list(a)


def _bend_before_bias(x, w, b):
    a = np.asarray(x, dtype=float)
    for weights, bias in zip(w, b, strict=True):
        a = 1 / (1 + np.exp(-(a @ np.asarray(weights)))) + bias
    return list(a)


def _changed_while_read(x, w, b):
    a = list(x)
    for weights, bias in zip(w, b, strict=True):
        for j in range(len(bias)):
            z = bias[j] + sum(weights[i][j] * a[i] for i in range(len(weights)))
            if j < len(a):
                a[j] = 1 / (1 + np.exp(-z))
            else:
                a.append(1 / (1 + np.exp(-z)))
        a = a[: len(bias)]
    return a


def _check_one_row(answer):
    rng = np.random.default_rng(11)
    sizes = (2, 2, 3, 2)
    w = [rng.normal(size=shape).tolist() for shape in itertools.pairwise(sizes)]
    b = [rng.normal(size=size).tolist() for size in sizes[1:]]
    x = [0.5, -1.0]
    for depth in (1, 2, 3):
        result = np.asarray(answer(list(x), w[:depth], b[:depth]), dtype=float)
        right = np.asarray(one_row(x, w[:depth], b[:depth]))
        if result.shape != right.shape:
            raise WrongAnswer(
                f"return one output for each node of the last layer, here {len(right)}; the "
                f"result has shape {result.shape}."
            )
        if np.allclose(result, right):
            continue
        reasons = {
            _other_index_order: "w[k][i][j] leads FROM node i TO node j: the sum for node j runs "
            "over i, down a column, and yours runs along a row.",
            _linear_output: "the last layer's scores go through the sigmoid as well.",
            _bend_before_bias: "the bias belongs to the score: add it before the sigmoid.",
            _changed_while_read: "you overwrite a while later nodes of the same layer still read "
            "it. Collect the new outputs in a list of their own.",
        }
        for mistake, reason in reasons.items():
            if np.allclose(result, mistake(x, w[:depth], b[:depth])):
                raise WrongAnswer(reason)
        raise WrongAnswer(
            f"for a network with {depth} layer{'s' * (depth > 1)} the first output must be "
            f"{right[0]:.4f}; yours is {result[0]:.4f}. Score first, then sigmoid, layer by layer."
        )


def collapse(w1, b1, w2, b2):
    """Return weights and bias of the one layer that does what two linear layers do."""
    return w1 @ w2, b1 @ w2 + b2


def _biases_added(w1, b1, w2, b2):
    return w1 @ w2, np.broadcast_to(b1.sum() + b2, b2.shape)


def _first_bias_lost(w1, b1, w2, b2):
    return w1 @ w2, b2


def _wrong_way_round(w1, b1, w2, b2):
    return w2 @ w1, b1 @ w2 + b2


def _check_collapse(answer):
    rng = np.random.default_rng(12)
    for sizes in ((3, 3, 3), (2, 5, 3)):
        d, h, u = sizes
        w1, b1 = rng.normal(size=(d, h)), rng.normal(size=h)
        w2, b2 = rng.normal(size=(h, u)), rng.normal(size=u)
        result = answer(w1.copy(), b1.copy(), w2.copy(), b2.copy())
        if not isinstance(result, tuple) or len(result) != 2:
            raise WrongAnswer("return two things: the weights and the bias of one layer.")
        weights, bias = (np.asarray(part, dtype=float) for part in result)
        right_weights, right_bias = collapse(w1, b1, w2, b2)
        if weights.shape != right_weights.shape or not np.allclose(weights, right_weights):
            raise WrongAnswer(
                f"a row x meets W1 first: x @ W1 @ W2, so the product is W1 @ W2, of shape "
                f"{right_weights.shape} for layers {d}-{h}-{u}; your weights differ."
            )
        if bias.shape == right_bias.shape and np.allclose(bias, right_bias):
            continue
        if bias.shape == b2.shape and np.allclose(bias, b2):
            raise WrongAnswer(
                "the weights are right, but b1 is lost: it is added before the second layer."
            )
        raise WrongAnswer(
            "the weights are right, the bias is not: b1 passes through the second layer too, so it "
            "arrives multiplied by W2."
        )


def widest(num_inputs, num_outputs, budget):
    """Return the most hidden nodes of a one-hidden-layer network within the budget."""
    return (budget - num_outputs) // (num_inputs + 1 + num_outputs)


def _without_hidden_bias(num_inputs, num_outputs, budget):
    return (budget - num_outputs) // (num_inputs + num_outputs)


def _check_widest(answer):
    for num_inputs, num_outputs, budget in ((2, 1, 9), (64, 10, 5000), (3, 2, 25), (1, 1, 4)):
        result, right = (
            answer(num_inputs, num_outputs, budget),
            widest(num_inputs, num_outputs, budget),
        )
        if result == right:
            continue
        if int(result) != result:
            raise WrongAnswer(f"return a whole number of nodes; yours is {result}.")
        needed = num_inputs * result + result + result * num_outputs + num_outputs
        case = f"{num_inputs} inputs, {num_outputs} outputs and a budget of {budget}"
        if needed > budget:
            raise WrongAnswer(
                f"too many: with {case}, {result} hidden nodes need {needed} parameters. Did you "
                "count the biases of both layers?"
            )
        raise WrongAnswer(
            f"there is room for more: with {case}, {result} hidden nodes need {needed} parameters, "
            f"and {right} still fit."
        )


EXERCISES = (
    Exercise(
        id="02.1",
        title="Exactly two of three",
        prompt=(
            "Overlap two neurons by hand once more. Find the weights of a network with three "
            "inputs, two hidden nodes and one output, all with step activations, that answers 1 if "
            "*exactly two* of its three input bits are 1. Write it as `(W1, b1, W2, b2)` with "
            "shapes (3, 2), (2,), (2, 1) and (1,); lists of lists are fine."
        ),
        hints=(
            "With three equal weights a neuron counts the ones. Which two counts must it tell "
            "apart from the others?",
            "Neuron 1: at least two bits are 1. Neuron 2: all three are.",
            "The output neuron says: the first, but not the second, just as for XOR.",
        ),
        check=_check_two_of_three,
        reference=([[1, 1], [1, 1], [1, 1]], [-1.5, -2.5], [[1], [-1]], [-0.5]),
        explanation=(
            "Two parallel planes cut the cube of the eight inputs; between them lie the corners "
            "with two ones. The output neuron overlaps the two half-spaces."
        ),
        wrong=(
            (([[1, 1], [1, 1], [1, 1]], [-1.5, -2.5], [[1], [0]], [-0.5]), "where 3 of 3 are 1"),
            (([[1, 1], [1, 1], [1, 1]], [-0.5, -1.5], [[1], [-1]], [-0.5]), "where 1 of 3 are 1"),
            (([[1, 1, 1], [1, 1, 1]], [-1.5, -2.5], [[1], [-1]], [-0.5]), "the shapes are"),
            ((1, 1, -0.5), "give four things"),
        ),
    ),
    Exercise(
        id="02.2",
        title="Forward, with every index",
        prompt=(
            "Write `one_row(x, w, b)`: push one row `x`, a list of numbers, through layers of "
            "sigmoid nodes with loops alone, and return the list of the last layer's outputs. "
            "`w[k][i][j]` leads from node i to node j of layer k, `b[k][j]` is the bias of that "
            "node; k, i and j count from 0, so `w[0]` belongs to the first layer. There may be one "
            "layer or many. You may use the lesson's `sigmoid`."
        ),
        hints=(
            "Three loops: over the layers k, over the nodes j of the layer, over the nodes i "
            "before it.",
            "The score of node j is b[k][j] plus the sum of w[k][i][j] · a[i] over i.",
            "Collect a layer's outputs in a new list, and only then let it take the place of a.",
        ),
        check=_check_one_row,
        reference=one_row,
        explanation=(
            "The three loops are the matrix product a @ W + b written out; NumPy runs the same "
            "loops, only faster."
        ),
        wrong=(
            (_other_index_order, "down a column"),
            (_linear_output, "the last layer's scores"),
            (_bend_before_bias, "add it before the sigmoid"),
            (_changed_while_read, "a list of their own"),
        ),
    ),
    Exercise(
        id="02.3",
        title="Two layers that are one",
        prompt=(
            "Write `collapse(w1, b1, w2, b2)`: given two layers without activation function, "
            "return the `(weights, bias)` of the one layer that computes the same for every row. "
            "`w1` has shape (D, H), `b1` (H,), `w2` (H, U) and `b2` (U,)."
        ),
        hints=(
            "Write the two layers as one formula, (x @ w1 + b1) @ w2 + b2, and multiply out.",
            "What multiplies x? Everything else is the bias.",
            "b1 is a row that enters the second layer like any other: it becomes b1 @ w2.",
        ),
        check=_check_collapse,
        reference=collapse,
        explanation=(
            "x @ w1 @ w2 + (b1 @ w2 + b2): however many linear layers there are, they make one. "
            "Only a bend between them prevents it."
        ),
        wrong=(
            (_first_bias_lost, "b1 is lost"),
            (_biases_added, "multiplied by W2"),
            (_wrong_way_round, "meets W1 first"),
        ),
    ),
    Exercise(
        id="02.4",
        title="A budget of parameters",
        prompt=(
            "Memory is short: a network with one hidden layer may have at most `budget` trainable "
            "parameters, weights and biases together. Write `widest(num_inputs, num_outputs, "
            "budget)`: the largest number of hidden nodes that fits."
        ),
        hints=(
            "Write the formula for D-H-U: D·H + H + H·U + U.",
            "Which part does not depend on H? Take it off the budget first.",
            "A node that does not fit whole does not fit: `//` rounds down.",
        ),
        check=_check_widest,
        reference=widest,
        explanation=(
            "Each hidden node costs D weights in, 1 bias and U weights out; the U output biases "
            "are paid in any case."
        ),
        wrong=(
            (_without_hidden_bias, "Did you count the biases"),
            (lambda d, u, budget: budget // (d + 1 + u) - 1, "there is room for more"),
            (lambda d, u, budget: (budget - u) / (d + 1 + u), "a whole number of nodes"),
        ),
    ),
)
