"""Exercises of lesson 34, Scaling."""

import math

import numpy as np

from dlnotes.exercises.base import Exercise, WrongAnswer


def join_means(means, counts):
    """Return the mean gradient of all rows from each worker's mean and its number of rows."""
    means, counts = np.asarray(means, dtype=float), np.asarray(counts, dtype=float)
    return np.tensordot(counts, means, axes=1) / counts.sum()


def _plain_mean(means, counts):
    return np.mean(means, axis=0)


def _sum_of_means(means, counts):
    return np.sum(means, axis=0)


def _sum_of_rows(means, counts):
    return np.tensordot(np.asarray(counts, dtype=float), np.asarray(means), axes=1)


def _check_join_means(answer):
    rng = np.random.default_rng(34)
    for counts in ([3, 1], [7, 7, 6], [5]):
        means = rng.normal(size=(len(counts), 2, 3))
        right, result = join_means(means, counts), answer(means.copy(), list(counts))
        if np.shape(result) != right.shape:
            raise WrongAnswer(
                f"a gradient of shape {right.shape} must come back, not {np.shape(result)}."
            )
        if np.allclose(result, right):
            continue
        messages = {
            _plain_mean: "a worker with more rows must count more: with 3 and 1 rows, three "
            "quarters of the mean are the first worker's.",
            _sum_of_means: "the sum of means grows with the number of workers: the learning rate "
            "would be larger by that factor.",
            _sum_of_rows: "this is the sum over all rows; divide it by their number.",
        }
        for wrong, message in messages.items():
            if np.allclose(result, wrong(means, counts)):
                raise WrongAnswer(message)
        raise WrongAnswer(f"with {counts} rows it is not the mean gradient of all rows.")


def ring_seconds(num_bytes, workers, alpha, beta):
    """Return the seconds of a ring all-reduce."""
    return 2 * (workers - 1) * (alpha + beta * num_bytes / workers)


def _one_pass(num_bytes, workers, alpha, beta):
    return ring_seconds(num_bytes, workers, alpha, beta) / 2


def _whole_arrays(num_bytes, workers, alpha, beta):
    return 2 * (workers - 1) * (alpha + beta * num_bytes)


def _one_fee(num_bytes, workers, alpha, beta):
    return alpha + 2 * (workers - 1) * beta * num_bytes / workers


def _all_bytes(num_bytes, workers, alpha, beta):
    return 2 * (workers - 1) * (alpha + beta * num_bytes * workers)


def _check_ring_seconds(answer):
    for args in ((4e6, 4, 1e-3, 1e-9), (1e3, 2, 5e-4, 1e-8), (7e7, 10, 1e-5, 1e-10), (8, 1, 1, 1)):
        right, result = ring_seconds(*args), answer(*args)
        if np.shape(result) == () and np.isclose(result, right, rtol=1e-9, atol=0):
            continue
        messages = {
            _one_pass: "the parts go round twice: once to be summed, once to be handed out.",
            _whole_arrays: "a message is a part, one n-th of the array, not all of it.",
            _one_fee: "each of the 2 (n − 1) rounds waits for its message: α is paid each time.",
            _all_bytes: "a message has num_bytes / n bytes: more workers, smaller parts.",
        }
        for wrong, message in messages.items():
            if np.shape(result) == () and np.isclose(result, wrong(*args), rtol=1e-9, atol=0):
                raise WrongAnswer(message)
        raise WrongAnswer(
            f"for {args[0]:g} bytes, {args[1]} workers, α = {args[2]:g} s and β = {args[3]:g} s a "
            f"byte it must be {right:g} s, not {result}."
        )


def break_even(extra_fee, old_step, new_step):
    """Return the smallest number of steps after which the new way is not behind, or infinity."""
    if new_step >= old_step:
        return math.inf
    return math.ceil(extra_fee / (old_step - new_step))


def _never_never(extra_fee, old_step, new_step):
    return math.ceil(extra_fee / (old_step - new_step)) if new_step != old_step else math.inf


def _divides_by_zero(extra_fee, old_step, new_step):
    if new_step > old_step:
        return math.inf
    gain = old_step - new_step
    return math.ceil(extra_fee / gain) if gain else 0


def _rounds_down(extra_fee, old_step, new_step):
    gain = old_step - new_step
    return extra_fee // gain if gain > 0 else math.inf


def _by_new_step(extra_fee, old_step, new_step):
    return math.ceil(extra_fee / new_step) if new_step < old_step else math.inf


def _check_break_even(answer):
    # seconds that are exact in binary, so that no rounding decides
    for args in (
        (3.0, 0.5, 0.25),
        (1.0, 0.5, 0.125),
        (2.0, 0.25, 0.5),
        (0.0, 1.0, 0.5),
        (1.0, 0.5, 0.5),
    ):
        right, result = break_even(*args), answer(*args)
        told = f"fee {args[0]:g} s, steps of {args[1]:g} s before and {args[2]:g} s after"
        if np.shape(result) == () and result == right:
            continue
        messages = {
            _never_never: "each step loses time, so it never pays: `math.inf`.",
            _rounds_down: f"after {result} steps it is still behind; round up.",
            _divides_by_zero: "equal steps gain nothing, and the fee stays: `math.inf`.",
            _by_new_step: "what pays the fee back is the *gain* of each step.",
        }
        for wrong, message in messages.items():
            if np.shape(result) == () and result == wrong(*args):
                raise WrongAnswer(f"{told}: {message}")
        raise WrongAnswer(f"{told}: it must be {right}, not {result}.")


def best_workers(most, whole_step, num_bytes, alpha, beta):
    """Return the number of workers, 1 to `most`, with the shortest step for a fixed batch."""
    times = [whole_step / n + ring_seconds(num_bytes, n, alpha, beta) for n in range(1, most + 1)]
    return 1 + int(np.argmin(times))


def _more_is_better(most, whole_step, num_bytes, alpha, beta):
    return most


def _whole_messages(most, whole_step, num_bytes, alpha, beta):
    times = [whole_step / n + _whole_arrays(num_bytes, n, alpha, beta) for n in range(1, most + 1)]
    return 1 + int(np.argmin(times))


def _from_zero(most, whole_step, num_bytes, alpha, beta):
    return best_workers(most, whole_step, num_bytes, alpha, beta) - 1


def _fixed_share(most, whole_step, num_bytes, alpha, beta):
    times = [whole_step + ring_seconds(num_bytes, n, alpha, beta) for n in range(1, most + 1)]
    return 1 + int(np.argmin(times))


def _check_best_workers(answer):
    cases = ((16, 0.1, 1e6, 1e-3, 1e-9), (32, 0.004, 1e5, 1e-3, 1e-9), (64, 2.0, 1e8, 1e-4, 1e-9))
    for args in cases:
        right, result = best_workers(*args), answer(*args)
        if np.shape(result) == () and result == right:
            continue
        messages = {
            _fixed_share: "each of n workers computes only an n-th of the batch: whole_step / n.",
            _more_is_better: "every further worker adds two rounds to the ring: α decides.",
            _whole_messages: "a message of the ring is one n-th of the gradients.",
            _from_zero: "count from 1: the first entry of your list is one worker.",
        }
        for wrong, message in messages.items():
            if np.shape(result) == () and result == wrong(*args):
                raise WrongAnswer(message)
        raise WrongAnswer(f"for {args} it must be {right}, not {result}.")


EXERCISES = (
    Exercise(
        id="34.1",
        title="Unequal shares",
        prompt=(
            "50 rows do not divide by 4 workers. Write `join_means(means, counts)`: `means[i]` is "
            "the gradient of the *mean* loss over the rows of worker i, an array of any shape, "
            "`counts[i]` the number of its rows. Return the gradient of the mean loss over all "
            "rows, in the shape of one of them."
        ),
        hints=(
            "Undo each mean first: a mean times its count is a sum.",
            "`np.tensordot(counts, means, axes=1)` is Σ countᵢ · meanᵢ.",
        ),
        check=_check_join_means,
        reference=join_means,
        explanation=(
            "Sums may be added, means may not. Therefore `fit_distributed` divides each share's "
            "*sum* by the rows of the whole batch, and the all-reduce only adds."
        ),
        wrong=(
            (_plain_mean, "must count more"),
            (_sum_of_means, "grows with the number of workers"),
            (_sum_of_rows, "divide it by their number"),
            (lambda means, counts: 0, "must come back"),
            (lambda means, counts: 0 * means[0], "not the mean gradient"),
        ),
    ),
    Exercise(
        id="34.2",
        title="The price of a ring",
        prompt=(
            "Write `ring_seconds(num_bytes, workers, alpha, beta)`: how long does a ring "
            "all-reduce of an array of `num_bytes` bytes take? Each message costs `alpha` seconds "
            "and `beta` seconds a byte; the messages of a round travel at the same time, the next "
            "round begins when they have come. Adding costs nothing, and the parts may be taken "
            "as equal."
        ),
        hints=(
            "How many rounds are there, and how many bytes has the message of one round?",
            "2 (n − 1) rounds; a message is an n-th of the array.",
        ),
        check=_check_ring_seconds,
        reference=ring_seconds,
        explanation=(
            "2 (n − 1) α grows with n; 2 (n − 1)/n · β · bytes never exceeds 2 β · bytes. A ring "
            "is made for large arrays; for small ones recursive doubling, log₂ n rounds, is better."
        ),
        wrong=(
            (_one_pass, "go round twice"),
            (_whole_arrays, "a message is a part"),
            (_one_fee, "α is paid each time"),
            (_all_bytes, "smaller parts"),
            (lambda num_bytes, workers, alpha, beta: -1, "it must be"),
        ),
    ),
    Exercise(
        id="34.3",
        title="When does it pay?",
        prompt=(
            "Write `break_even(extra_fee, old_step, new_step)`: after how many steps, a whole "
            "number, is the new way no longer behind? It costs `extra_fee` >= 0 seconds more at "
            "the start, and a step takes `new_step` instead of `old_step` seconds. Return "
            "`math.inf`, for never, if its steps are not shorter."
        ),
        hints=(
            "What is gained with each step? How often, until the fee is paid back?",
            "`import math`: `math.ceil` rounds up; without a gain there is nothing to divide by.",
        ),
        check=_check_break_even,
        reference=break_even,
        explanation=(
            "The same line for XLA, for several processes and for a second machine: a fee, and a "
            "gain with each step. A gain below zero pays no fee, however long the run."
        ),
        wrong=(
            (_never_never, "it never pays"),
            (_divides_by_zero, "equal steps gain nothing"),
            (_rounds_down, "still behind"),
            (_by_new_step, "the *gain* of each step"),
            (lambda extra_fee, old_step, new_step: -1, "it must be"),
        ),
    ),
    Exercise(
        id="34.4",
        title="How many workers?",
        prompt=(
            "Write `best_workers(most, whole_step, num_bytes, alpha, beta)`. One worker computes "
            "the batch in `whole_step` seconds, n workers their shares in an n-th of that, and "
            "then a ring of Exercise 34.2 sums gradients of `num_bytes` bytes. Which number from "
            "1 to `most` has the shortest step (the smallest of equals)?"
        ),
        hints=(
            "Write down the seconds of a step for each n, and take the smallest.",
            "`np.argmin` counts from 0, workers from 1.",
        ),
        check=_check_best_workers,
        reference=best_workers,
        explanation=(
            "The share shrinks as 1/n, the fees grow as n. Leaving β aside, the best n is about "
            "√(whole_step / 2α): four times the work a batch pays for twice the workers."
        ),
        wrong=(
            (_more_is_better, "two rounds"),
            (_whole_messages, "one n-th"),
            (_from_zero, "count from 1"),
            (_fixed_share, "only an n-th of the batch"),
            (lambda *args: -1, "it must be"),
        ),
    ),
)
