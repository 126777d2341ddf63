"""Exercises of lesson 21, LSTM and GRU."""

import numpy as np

from dlnotes.exercises.base import Exercise, WrongAnswer
from dlnotes.scratch import RNN, LSTMCell


def forget_bias(steps):
    """Return the forget gate's bias with which half of a memory is left after some steps."""
    share = 0.5 ** (1 / steps)
    return np.log(share / (1 - share))


def _one_step(steps):
    return 0.0


def _divided(steps):
    share = 1 - 0.5 / steps  # as if the same amount were lost at every step
    return np.log(share / (1 - share))


def _gate_itself(steps):
    return 0.5 ** (1 / steps)


def _power(steps):
    share = 0.5**steps
    return np.log(share / (1 - share))


def _check_forget_bias(answer):
    for steps in (10, 2, 100):
        result, right = answer(steps), forget_bias(steps)
        if np.shape(result) != ():
            raise WrongAnswer(f"return one number, not {result}.")
        if np.isclose(result, right):
            continue
        left = (1 / (1 + np.exp(-float(result)))) ** steps
        told = f"with your bias for {steps} steps the share {left:.3g} is left, not 0.5"
        messages = {
            _one_step: "a bias of 0 halves the memory at *every* step.",
            _divided: "the cell loses a share of what is left, not the same amount, at each step.",
            _gate_itself: "this is the gate, f. The bias b is what σ(b) = f asks for.",
            _power: "f multiplied by itself `steps` times must be 0.5: take the root.",
        }
        for wrong, message in messages.items():
            if np.isclose(result, wrong(steps)):
                raise WrongAnswer(f"{told}: {message}")
        raise WrongAnswer(f"{told}.")


def gru_states(update, candidates):
    """Return the states of one unit of a GRU from its update gates and candidates."""
    h, states = 0.0, []
    for z, g in zip(update, candidates, strict=True):
        h = z * h + (1 - z) * g
        states.append(h)
    return np.array(states)


def _other_way(update, candidates):
    return gru_states(1 - update, candidates)


def _sum_of_both(update, candidates):
    h, states = 0.0, []
    for z, g in zip(update, candidates, strict=True):
        h = h + z * g
        states.append(h)
    return np.array(states)


def _without_memory(update, candidates):
    return (1 - update) * candidates


def _last_alone(update, candidates):
    return gru_states(update, candidates)[-1]


def _check_gru_states(answer):
    for update, candidates in (
        (np.array([0.5, 0.9, 0.0, 1.0]), np.array([0.8, -0.5, 0.3, 0.9])),
        (np.array([0.2, 0.2]), np.array([1.0, 1.0])),
    ):
        right = gru_states(update, candidates)
        result = np.asarray(answer(update.copy(), candidates.copy()), dtype=float)
        if result.shape != right.shape:
            raise WrongAnswer(
                f"return the state after each of the {len(update)} steps; yours has the shape "
                f"{result.shape}."
            )
        if np.allclose(result, right):
            continue
        messages = {
            _other_way: "in Keras z keeps the old state, and 1 − z takes the candidate. (Some "
            "papers have it the other way round.)",
            _sum_of_both: "the state is a mean of old and new, weighted with z and 1 − z. Yours "
            "is a sum, and can grow without bound.",
            _without_memory: "z·h is missing: nothing of the old state is kept.",
        }
        for wrong, message in messages.items():
            if np.allclose(result, wrong(update, candidates)):
                raise WrongAnswer(message)
        raise WrongAnswer(
            f"for z = {update.tolist()} and candidates {candidates.tolist()} it must be "
            f"{np.round(right, 4).tolist()}, not {np.round(result, 4).tolist()}."
        )


def latch():
    """Return kernel, recurrent kernel and bias of an LSTM that keeps the last marked number."""
    #                   i      f     g     o
    kernel = np.array([[0.0, 0.0, 0.01, 0.0], [100.0, -100.0, 0.0, 0.0]])
    bias = np.array([-50.0, 50.0, 0.0, 0.0])
    return kernel, np.zeros((1, 4)), bias


def _with(column, row, value):
    kernel, recurrent, bias = latch()
    if row == "bias":
        bias[column] = value
    else:
        kernel[row, column] = value
    return kernel, recurrent, bias


def _check_latch(result):
    if not isinstance(result, tuple | list) or len(result) != 3:
        raise WrongAnswer("give three arrays: kernel (2, 4), recurrent kernel (1, 4), bias (4,).")
    arrays = [np.asarray(array, dtype=float) for array in result]
    shapes = [array.shape for array in arrays]
    if shapes != [(2, 4), (1, 4), (4,)]:
        raise WrongAnswer(f"the shapes must be (2, 4), (1, 4) and (4,); yours are {shapes}.")
    numbers = np.array([0.3, 0.9, 0.1, 0.6, 0.8, 0.2, 0.7, 0.5])
    for marks in ([0, 1, 0, 0, 1, 0, 0, 0], [1, 0, 0, 0, 0, 0, 0, 0], [0, 0, 0, 1, 1, 0, 0, 0]):
        x = np.stack([numbers, marks], axis=-1)
        layer = RNN(LSTMCell(*arrays))
        layer.forward(x[None])
        kept = 100 * layer.final_states[1].item()
        marked = numbers[np.flatnonzero(marks)]
        if np.isclose(kept, marked[-1], rtol=0.01):
            continue
        told = f"numbers {numbers.tolist()} with marks {marks}: your cell, times 100, is {kept:.3g}"
        if len(marked) > 1 and np.isclose(kept, marked.sum(), rtol=0.01):
            raise WrongAnswer(f"{told}, the *sum* of the marked ones. At a mark the old must go.")
        if np.isclose(kept, numbers[-1], rtol=0.01):
            raise WrongAnswer(f"{told}, the last number. Without a mark nothing may come in.")
        if np.isclose(kept, numbers.sum(), rtol=0.01):
            raise WrongAnswer(f"{told}, the sum of all. Close the input gate without a mark.")
        if abs(kept) < 0.01:
            raise WrongAnswer(f"{told}: nothing is left. Keep the forget gate at 1 between marks.")
        raise WrongAnswer(f"{told}; it must be {marked[-1]}.")


def count_weights(cell, num_inputs, units):
    """Return how many weights a cell has, biases included, as Keras counts them."""
    if cell == "gru":
        return 3 * units * (num_inputs + units + 2)
    return {"simple": 1, "lstm": 4}[cell] * units * (num_inputs + units + 1)


def _no_bias(cell, num_inputs, units):
    return {"simple": 1, "gru": 3, "lstm": 4}[cell] * units * (num_inputs + units)


def _one_bias(cell, num_inputs, units):
    return {"simple": 1, "gru": 3, "lstm": 4}[cell] * units * (num_inputs + units + 1)


def _three_matrices(cell, num_inputs, units):
    if cell == "lstm":
        return 3 * units * (num_inputs + units + 1)
    return count_weights(cell, num_inputs, units)


def _check_count(answer):
    for cell in ("simple", "lstm", "gru"):
        for num_inputs, units in ((2, 8), (10, 1)):
            right, result = count_weights(cell, num_inputs, units), answer(cell, num_inputs, units)
            if np.shape(result) == () and result == right:
                continue
            told = f'"{cell}" with {num_inputs} inputs and {units} units has {right}'
            messages = {
                _no_bias: "you forgot the biases.",
                _one_bias: "with `reset_after`, Keras' default, a GRU has two biases for each row: "
                "one for x·W and one for h·V.",
                _three_matrices: "an LSTM computes four rows: three gates and the candidate.",
            }
            for wrong, message in messages.items():
                if result == wrong(cell, num_inputs, units):
                    raise WrongAnswer(f"{told}: {message}")
            raise WrongAnswer(f"{told}, not {result}.")


EXERCISES: tuple[Exercise, ...] = (
    Exercise(
        id="21.1",
        title="How long is a bias?",
        prompt=(
            "A forget gate has no weights but its bias b: f = σ(b) at every step. Write "
            "`forget_bias(steps)`: the b with which half of a memory is left after that many steps."
        ),
        hints=(
            "After `steps` steps the share f·f·…·f is left. Which f makes it 0.5?",
            "f = 0.5 ** (1 / steps). Then solve f = σ(b) for b.",
            "b = log(f / (1 − f)).",
        ),
        check=_check_forget_bias,
        reference=forget_bias,
        explanation=(
            "For 100 steps b is 4.97. Keras begins with 1, where half is gone after little more "
            "than two steps; a network that needs longer must learn a larger bias, or be given it."
        ),
        wrong=(
            (_one_step, "at *every* step"),
            (_divided, "a share of what is left"),
            (_gate_itself, "this is the gate"),
            (_power, "take the root"),
            (lambda steps: [1.0, 2.0], "one number"),
            (lambda steps: 1.0, "is left, not 0.5"),
        ),
    ),
    Exercise(
        id="21.2",
        title="A weighted mean",
        prompt=(
            "One unit of a GRU, as Keras computes it: `update` holds its update gates z, "
            "`candidates` its candidates, one number a step. Write `gru_states(update, "
            "candidates)`: the state after each step, an array. It begins at 0."
        ),
        hints=(
            "z is the share of the old state that is kept.",
            "h = z * h + (1 - z) * g, and keep all of them.",
        ),
        check=_check_gru_states,
        reference=gru_states,
        explanation=(
            "A mean of numbers between −1 and 1 stays between them. What z keeps, the candidate "
            "cannot change: a GRU has one gate where the LSTM has two, f and i."
        ),
        wrong=(
            (_other_way, "the other way round"),
            (_sum_of_both, "can grow without bound"),
            (_without_memory, "nothing of the old state"),
            (_last_alone, "after each of the"),
            (lambda update, candidates: 2 * gru_states(update, candidates), "it must be"),
        ),
    ),
    Exercise(
        id="21.3",
        title="An LSTM by hand",
        prompt=(
            "Each step brings two inputs, a number between 0 and 1 and a mark, 0 or 1. Set the "
            "weights of an LSTM with one unit, so that its cell c, times 100, is always the number "
            "at the *last* mark, to within 1 %. Give `weights`: kernel (2, 4), recurrent kernel "
            "(1, 4) and bias (4,) in a tuple; the columns are i, f, g, o."
        ),
        hints=(
            "With a mark the input gate must be 1 and the forget gate 0; without, the other way "
            "round. σ(50) is 1, σ(−50) is 0.",
            "Input gate: 100 for the mark, bias −50. Forget gate: −100 for the mark, bias 50.",
            "The candidate is a tanh, and tanh(0.01·x) is nearly 0.01·x. Recurrent kernel: 0.",
        ),
        check=_check_latch,
        reference=latch(),
        explanation=(
            "The mark opens one gate and closes the other. No plain recurrent layer can do this "
            "exactly: its weights are the same whatever comes in, while a gate is a weight that "
            "the input sets."
        ),
        wrong=(
            (_with(1, 1, 0.0), "the *sum* of the marked"),
            (_with(1, "bias", -50.0), "nothing is left"),
            (
                (np.array([[0, 0, 0.01, 0], [0, 0, 0, 0]]), np.zeros((1, 4)), [50, 50, 0, 0]),
                "the sum of all",
            ),
            (
                (np.array([[0, 0, 0.01, 0], [0, 0, 0, 0]]), np.zeros((1, 4)), [50, -50, 0, 0]),
                "the last number",
            ),
            (_with(2, 0, 1.0), "it must be"),
            ((1.0, 2.0), "three arrays"),
            ((np.zeros((2, 4)), np.zeros((1, 4)), np.zeros(8)), "the shapes must be"),
        ),
    ),
    Exercise(
        id="21.4",
        title="How many weights?",
        prompt=(
            'Write `count_weights(cell, num_inputs, units)` for the cells "simple", "lstm" and '
            '"gru", biases included, as Keras counts them with its defaults.'
        ),
        hints=(
            "A simple cell has D·U + U·U + U. How many such rows does an LSTM compute?",
            "A GRU computes three rows; and look at the shape of its bias in this lesson.",
        ),
        check=_check_count,
        reference=count_weights,
        explanation=(
            "At equal units an LSTM has four times the weights of a simple cell. A comparison at "
            "equal units is not one at equal size; ours was at equal size."
        ),
        wrong=(
            (_no_bias, "you forgot the biases"),
            (_one_bias, "two biases"),
            (_three_matrices, "four rows"),
            (lambda cell, num_inputs, units: 7, "not 7"),
        ),
    ),
)
