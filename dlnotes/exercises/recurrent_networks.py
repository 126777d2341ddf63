"""Exercises of lesson 20, recurrent networks."""

import numpy as np

from dlnotes.exercises.base import Exercise, WrongAnswer


def blame(own, v):
    """Return the gradient of the loss for each state of a linear network with one unit."""
    total, later = np.zeros(len(own)), 0.0
    for t in reversed(range(len(own))):
        later = total[t] = own[t] + later * v
    return total


def _own_alone(own, v):
    return np.array(own, dtype=float)


def _from_the_start(own, v):
    return blame(own[::-1], v)[::-1]


def _one_step_only(own, v):
    return own + v * np.append(own[1:], 0.0)


def _without_v(own, v):
    return np.cumsum(own[::-1])[::-1]


def _check_blame(answer):
    for own, v in (
        (np.array([1.0, 0.0, 2.0, -1.0]), 0.5),
        (np.array([0.0, 0.0, 3.0]), -2.0),
        (np.array([4.0]), 0.9),
    ):
        right, result = blame(own, v), np.asarray(answer(own.copy(), v), dtype=float)
        if result.shape != right.shape:
            raise WrongAnswer(
                f"return one number for each of the {len(own)} states; yours has the shape "
                f"{result.shape}."
            )
        if np.allclose(result, right):
            continue
        messages = {
            _own_alone: "a state also moves all later states, and through them their outputs.",
            _from_the_start: "blame travels from the last step to the first, not onwards.",
            _one_step_only: "you stop after one step: hand on the *total* of the step behind, not "
            "its own part alone.",
            _without_v: "on its way through a step blame is multiplied by v.",
        }
        for wrong, message in messages.items():
            if np.allclose(result, wrong(own, v)):
                raise WrongAnswer(message)
        raise WrongAnswer(
            f"for own = {own.tolist()} and v = {v} it must be {right.tolist()}, not "
            f"{result.tolist()}."
        )


def last_state(x, real, w, v):
    """Return the last state of a network with one unit that passes padded steps by."""
    h = 0.0
    for number, is_real in zip(x, real, strict=True):
        h = np.tanh(number * w + h * v) if is_real else h
    return h


def _mask_ignored(x, real, w, v):
    return last_state(x, np.ones(len(x)), w, v)


def _padding_as_zero(x, real, w, v):
    return last_state(x * real, np.ones(len(x)), w, v)


def _reset_at_padding(x, real, w, v):
    h = 0.0
    for number, is_real in zip(x, real, strict=True):
        h = np.tanh(number * w + h * v) if is_real else 0.0
    return h


def _stops_at_padding(x, real, w, v):
    h = 0.0
    for number, is_real in zip(x, real, strict=True):
        if not is_real:
            break
        h = np.tanh(number * w + h * v)
    return h


def _check_last_state(answer):
    x = np.array([0.5, -1.0, 2.0, 0.7, -0.3])
    for real in ([1, 1, 1, 0, 0], [0, 0, 1, 1, 1], [1, 0, 1, 0, 1], [1, 1, 1, 1, 1]):
        real = np.array(real, bool)
        right, result = last_state(x, real, 0.8, 0.6), answer(x.copy(), real.copy(), 0.8, 0.6)
        if np.shape(result) != ():
            raise WrongAnswer(f"return the last state alone, one number, not {result}.")
        if np.isclose(result, right):
            continue
        messages = {
            _mask_ignored: "you read the padding as if it were real.",
            _padding_as_zero: "you read the padding as zeros. The state changes by that, too: it "
            "is multiplied by v and bent by tanh. Leave it as it is.",
            _reset_at_padding: "you forget everything at a padded step. Keep the old state.",
            _stops_at_padding: "you stop at the first padded step; a real one may come after it.",
        }
        for wrong, message in messages.items():
            if np.isclose(result, wrong(x, real, 0.8, 0.6)):
                raise WrongAnswer(f"for the mask {real.astype(int).tolist()}: {message}")
        raise WrongAnswer(
            f"for the mask {real.astype(int).tolist()} it must be {right:.4f}, not {result:.4f}."
        )


def delay_line(steps):
    """Return W (1, U) and V (U, U) of a linear network whose last unit is the input steps ago."""
    kernel = np.zeros((1, steps + 1))
    kernel[0, 0] = 1
    return kernel, np.eye(steps + 1, k=1)


def _transposed(steps):
    kernel, recurrent = delay_line(steps)
    return kernel, recurrent.T


def _one_unit_short(steps):
    return delay_line(steps - 1)


def _never_forgets(steps):
    kernel, recurrent = delay_line(steps)
    return kernel, recurrent + np.eye(steps + 1)


def _read_by_all(steps):
    kernel, recurrent = delay_line(steps)
    return np.ones_like(kernel), recurrent


def _check_delay_line(answer):
    x = np.array([3.0, 1.0, 4.0, 1.5, 9.0, 2.0, 6.0, 5.0])
    for steps in (2, 1, 4):
        result = answer(steps)
        if not isinstance(result, tuple | list) or len(result) != 2:
            raise WrongAnswer("return two arrays: W of shape (1, U) and V of shape (U, U).")
        kernel, recurrent = (np.asarray(array, dtype=float) for array in result)
        units = kernel.shape[-1] if kernel.ndim == 2 else 0
        if kernel.shape != (1, units) or recurrent.shape != (units, units) or not units:
            raise WrongAnswer(
                "W must have the shape (1, U) and V the shape (U, U); yours have "
                f"{kernel.shape} and {recurrent.shape}."
            )
        h, said = np.zeros(units), []
        for number in x:
            h = number * kernel[0] + h @ recurrent
            said.append(h[-1])
        right = np.append(np.zeros(steps), x[:-steps])
        if np.allclose(said, right):
            continue
        told = f"for steps = {steps} the last unit says {np.round(said, 2).tolist()}"
        if not np.any(said):
            raise WrongAnswer(
                f"{told}: nothing arrives. In h @ V, V[i, j] leads from unit i to unit j."
            )
        if np.allclose(said, np.append(np.zeros(steps - 1), x[: 1 - steps or None])):
            raise WrongAnswer(
                f"{told}: one step too early. The first unit already holds the *present* input, "
                "so a delay of k steps takes k + 1 units."
            )
        if np.array_equal(recurrent, _never_forgets(steps)[1]):
            raise WrongAnswer(f"{told}: each unit also keeps what it had; let it hand on all.")
        if units > 1 and np.all(kernel):
            raise WrongAnswer(f"{told}: only the first unit should read the input.")
        raise WrongAnswer(f"{told}; it must be {right.tolist()}.")


EXERCISES: tuple[Exercise, ...] = (
    Exercise(
        id="20.1",
        title="Blame along a chain",
        prompt=(
            "A linear network with one unit: h[t] = x[t] + v · h[t−1]. The loss sees every state; "
            "`own[t]` is its slope with respect to h[t] if all other states were held fixed. Write "
            "`blame(own, v)`: the whole gradient ∂loss/∂h[t] of each state, an array."
        ),
        hints=(
            "The last state moves nothing but its own part of the loss.",
            "Go from the last step to the first: total[t] = own[t] + v · total[t + 1].",
        ),
        check=_check_blame,
        reference=blame,
        explanation=(
            "h[t] moves h[t+1] by v, and that moves everything behind it, which total[t+1] has "
            "added up already. One pass backwards is enough: this is all of BPTT."
        ),
        wrong=(
            (_own_alone, "moves all later states"),
            (_from_the_start, "from the last step to the first"),
            (_one_step_only, "you stop after one step"),
            (_without_v, "multiplied by v"),
            (lambda own, v: np.zeros(2), "one number for each"),
            (lambda own, v: 2 * blame(own, v), "it must be"),
        ),
    ),
    Exercise(
        id="20.2",
        title="Past the padding",
        prompt=(
            "A network with one unit reads the numbers `x`: h ← tanh(x·w + h·v), from h = 0. "
            "`real` says for each step whether it is real (True) or padding (False). Write "
            "`last_state(x, real, w, v)`: the state at the end, as if there were no padding."
        ),
        hints=(
            "At a padded step nothing happens: the old state stays.",
            "`np.tanh(...) if is_real else h` inside the loop.",
        ),
        check=_check_last_state,
        reference=last_state,
        explanation=(
            "Masking is not the same as putting in zeros: h·v and tanh would change the state even "
            "then. The old state is kept."
        ),
        wrong=(
            (_mask_ignored, "as if it were real"),
            (_padding_as_zero, "as zeros"),
            (_reset_at_padding, "you forget everything"),
            (_stops_at_padding, "you stop at the first"),
            (lambda x, real, w, v: x[real], "one number"),
            (lambda x, real, w, v: 2 * last_state(x, real, w, v), "it must be"),
        ),
    ),
    Exercise(
        id="20.3",
        title="A memory by hand",
        prompt=(
            "Build a linear network, h ← x·W + h·V from h = 0, one number x a step, that remembers "
            "exactly: its *last* unit is always the input `steps` steps ago (0 before there was "
            "one). Write `delay_line(steps)` that returns W of shape (1, U) and V of shape (U, U). "
            "Then ask `scratch.spectral_radius(V)`. What does it say about this memory?"
        ),
        hints=(
            "Let each unit hand its number to its neighbour. Only the first unit reads x.",
            "V[i, i + 1] = 1: `np.eye(U, k=1)`. The first unit holds the input of 0 steps ago.",
        ),
        check=_check_delay_line,
        reference=delay_line,
        explanation=(
            "The numbers wander from unit to unit. All eigenvalues of V are 0, so its spectral "
            "radius is 0, and yet it remembers perfectly, for `steps` steps; then all is gone. The "
            "radius tells about the long run, not about the next few steps."
        ),
        wrong=(
            (_transposed, "nothing arrives"),
            (_one_unit_short, "one step too early"),
            (_never_forgets, "keeps what it had"),
            (_read_by_all, "only the first unit"),
            (lambda steps: np.eye(steps), "two arrays"),
            (lambda steps: (np.ones(3), np.eye(3)), "must have the shape"),
            (lambda steps: (np.ones((1, 1)), np.ones((1, 1))), "it must be"),
        ),
    ),
)
