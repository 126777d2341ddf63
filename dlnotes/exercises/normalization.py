"""Exercises of lesson 09, normalization."""

import math

import numpy as np

from dlnotes.exercises.base import Exercise, WrongAnswer

EPSILON = 1e-3


def batch_norm(x, gamma, beta):
    """Return the batch-normalized rows, as in training."""
    mean, variance = x.mean(axis=0), x.var(axis=0)
    return gamma * (x - mean) / np.sqrt(variance + 0.001) + beta


def _over_units(x, gamma, beta):
    return gamma * (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-3) + beta


def _over_everything(x, gamma, beta):
    return gamma * (x - x.mean()) / np.sqrt(x.var() + 1e-3) + beta


def _epsilon_outside(x, gamma, beta):
    return gamma * (x - x.mean(axis=0)) / (x.std(axis=0) + 1e-3) + beta


def _by_the_variance(x, gamma, beta):
    return gamma * (x - x.mean(axis=0)) / (x.var(axis=0) + 1e-3) + beta


def _unbiased(x, gamma, beta):
    return gamma * (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0, ddof=1) + 1e-3) + beta


def _beta_first(x, gamma, beta):
    return gamma * (batch_norm(x, 1.0, 0.0) + beta)


def _without_gamma_beta(x, gamma, beta):
    return batch_norm(x, 1.0, 0.0)


def _check_batch_norm(answer):
    rng = np.random.default_rng(9)
    x = rng.normal(2, 0.3, size=(6, 4))
    gamma, beta = rng.uniform(0.5, 2, 4), rng.normal(size=4)
    right = batch_norm(x, gamma, beta)
    result = np.asarray(answer(x.copy(), gamma.copy(), beta.copy()), dtype=float)
    if result.shape != right.shape:
        raise WrongAnswer(f"return an array of the shape of x, (6, 4); yours has {result.shape}.")
    if np.allclose(result, right, atol=1e-9):
        return
    messages = {
        _over_units: "you take mean and variance of each row: that is layer norm. Batch norm takes "
        "them of each column, over the rows.",
        _over_everything: "each unit has its own mean and variance: take them with `axis=0`.",
        _epsilon_outside: "ε belongs inside the root, beside the variance.",
        _by_the_variance: "divide by the *root* of variance + ε: variances have squared units.",
        _unbiased: "take the biased variance, divided by the number of rows; leave `ddof` at 0.",
        _beta_first: "γ scales x̂ alone: add β after the product.",
        _without_gamma_beta: "x̂ is right; now scale it by γ and shift it by β.",
    }
    for wrong, message in messages.items():
        if np.allclose(result, wrong(x, gamma, beta), atol=1e-9):
            raise WrongAnswer(message)
    raise WrongAnswer(
        f"the first row must be {np.round(right[0], 3).tolist()}; "
        f"yours is {np.round(result[0], 3).tolist()}."
    )


def steps_until(share, momentum):
    """Return the steps until the moving average has taken up at least `share` of the truth."""
    if momentum == 0:
        return 1
    steps = math.log(1 - share) / math.log(momentum)
    return math.ceil(steps - 1e-9)  # rounding must not turn 1 into 2


def _one_step_each(share, momentum):
    return math.ceil(share / (1 - momentum))


def _what_is_left(share, momentum):
    return math.ceil(math.log(share) / math.log(momentum)) if momentum else 1


def _rounded_down(share, momentum):
    return math.floor(math.log(1 - share) / math.log(momentum)) if momentum else 1


def _momentum_zero_fails(share, momentum):
    return math.ceil(math.log(1 - share) / math.log(momentum))


def _check_steps_until(answer):
    for share, momentum in ((0.9, 0.99), (0.5, 0.9), (0.99, 0.95), (0.3, 0.99), (0.9, 0.0)):
        right = steps_until(share, momentum)
        try:
            result = answer(share, momentum)
        except (ValueError, ZeroDivisionError):
            if momentum:
                raise
            result = "an error"
        if result == right:
            continue
        told = f"for the share {share} and momentum {momentum}"
        if momentum == 0:
            raise WrongAnswer(
                f"{told} nothing old is kept, so the first step takes up everything: 1, "
                f"not {result}."
            )
        if result == _rounded_down(share, momentum):
            raise WrongAnswer(
                f"{told} after {result} steps the share is not reached yet: round up, to {right}."
            )
        if result == _one_step_each(share, momentum):
            raise WrongAnswer(
                f"{told} you let each step add the same. But each step also keeps only "
                f"{momentum} of what the earlier ones brought: it takes {right} steps."
            )
        if result == _what_is_left(share, momentum):
            raise WrongAnswer(
                f"{told}: momentum**t is the share that is still *missing* after t steps. "
                f"It must fall to {1 - share:.2g}, which takes {right} steps, not {result}."
            )
        raise WrongAnswer(f"{told} it takes {right} steps, not {result}.")


def fold(weights, gamma, beta, moving_mean, moving_variance):
    """Return (weights, bias) of the dense layer that equals product and batch norm at inference."""
    scale = gamma / np.sqrt(moving_variance + 0.001)
    return weights * scale, beta - scale * moving_mean


def _scaled_rows(weights, gamma, beta, moving_mean, moving_variance):
    scale = gamma / np.sqrt(moving_variance + EPSILON)
    return weights * scale[:, None], beta - scale * moving_mean


def _bias_is_beta(weights, gamma, beta, moving_mean, moving_variance):
    return weights * gamma / np.sqrt(moving_variance + EPSILON), beta


def _mean_unscaled(weights, gamma, beta, moving_mean, moving_variance):
    return weights * gamma / np.sqrt(moving_variance + EPSILON), beta - moving_mean


def _mean_added(weights, gamma, beta, moving_mean, moving_variance):
    scale = gamma / np.sqrt(moving_variance + EPSILON)
    return weights * scale, beta + scale * moving_mean


def _no_epsilon(weights, gamma, beta, moving_mean, moving_variance):
    scale = gamma / np.sqrt(moving_variance)
    return weights * scale, beta - scale * moving_mean


def _check_fold(answer):
    rng = np.random.default_rng(4)
    case = rng.normal(size=(3, 3)), rng.uniform(0.5, 2, 3), rng.normal(size=3), rng.normal(size=3)
    case += (rng.uniform(0.2, 2, 3),)
    right = fold(*case)
    result = answer(*(part.copy() for part in case))
    if not isinstance(result, tuple | list) or len(result) != 2:
        raise WrongAnswer("return two things: the new weights and the new bias.")
    result = tuple(np.asarray(part, dtype=float) for part in result)
    if [part.shape for part in result] != [(3, 3), (3,)]:
        raise WrongAnswer(
            "for three inputs and three units the weights must have the shape (3, 3) and the bias "
            f"(3,); yours have {result[0].shape} and {result[1].shape}."
        )

    def same(other):
        return all(np.allclose(a, b, atol=1e-9) for a, b in zip(result, other, strict=True))

    if same(right):
        return
    messages = {
        _scaled_rows: "each *unit* has its own scale, and units are the columns of the weights: "
        "multiply column by column.",
        _bias_is_beta: "β alone forgets the moving mean: what does the layer put out if all "
        "inputs are 0?",
        _mean_unscaled: "the moving mean is subtracted before the scaling, so it is scaled, too.",
        _mean_added: "the moving mean is *subtracted*: mind the sign in the bias.",
        _no_epsilon: "ε = 0.001 is missing beside the variance.",
    }
    for wrong, message in messages.items():
        if same(wrong(*case)):
            raise WrongAnswer(message)
    x = rng.normal(size=(1, 3))
    wanted, came = (x @ w + b for w, b in (right, result))
    raise WrongAnswer(
        f"for one row the two layers give {np.round(wanted[0], 3).tolist()}; "
        f"your single layer gives {np.round(came[0], 3).tolist()}."
    )


def gradient_of_inputs(gradient, x, gamma):
    """Return ∂loss/∂x of batch norm in training, from ∂loss/∂y."""
    deviation = np.sqrt(x.var(axis=0) + 0.001)
    x_hat = (x - x.mean(axis=0)) / deviation
    g = gradient * gamma
    return (g - g.mean(axis=0) - x_hat * (g * x_hat).mean(axis=0)) / deviation


def _parts(gradient, x, gamma):
    deviation = np.sqrt(x.var(axis=0) + EPSILON)
    x_hat = (x - x.mean(axis=0)) / deviation
    return gradient * gamma, x_hat, deviation


def _constants(gradient, x, gamma):
    g, _, deviation = _parts(gradient, x, gamma)
    return g / deviation


def _mean_only(gradient, x, gamma):
    g, _, deviation = _parts(gradient, x, gamma)
    return (g - g.mean(axis=0)) / deviation


def _variance_only(gradient, x, gamma):
    g, x_hat, deviation = _parts(gradient, x, gamma)
    return (g - x_hat * (g * x_hat).mean(axis=0)) / deviation


def _sums(gradient, x, gamma):
    g, x_hat, deviation = _parts(gradient, x, gamma)
    return (g - g.sum(axis=0) - x_hat * (g * x_hat).sum(axis=0)) / deviation


def _gamma_forgotten(gradient, x, gamma):
    return gradient_of_inputs(gradient, x, 1.0)


def _undivided(gradient, x, gamma):
    return gradient_of_inputs(gradient, x, gamma) * np.sqrt(x.var(axis=0) + EPSILON)


def _check_gradient(answer):
    rng = np.random.default_rng(6)
    x, gradient = rng.normal(1, 2, size=(5, 3)), rng.normal(size=(5, 3))
    gamma = rng.uniform(0.5, 2, 3)
    right = gradient_of_inputs(gradient, x, gamma)
    result = np.asarray(answer(gradient.copy(), x.copy(), gamma.copy()), dtype=float)
    if result.shape != right.shape:
        raise WrongAnswer(f"return an array of the shape of x, (5, 3); yours has {result.shape}.")
    if np.allclose(result, right, atol=1e-9):
        return
    messages = {
        _constants: "you treat mean and variance as constants. That is right at inference; in "
        "training they are made from x, and two more paths lead back.",
        _mean_only: "the path through the mean is there; the one through the variance is missing.",
        _variance_only: "the path through the variance is there; the one through the mean is "
        "missing.",
        _sums: "the two paths bring *means* over the batch, not sums.",
        _gamma_forgotten: "γ is missing: what arrives at x̂ is the gradient times γ.",
        _undivided: "divide by the root of variance + ε at the end.",
    }
    for wrong, message in messages.items():
        if np.allclose(result, wrong(gradient, x, gamma), atol=1e-9):
            raise WrongAnswer(message)
    raise WrongAnswer(
        f"the first row must be {np.round(right[0], 4).tolist()}; "
        f"yours is {np.round(result[0], 4).tolist()}."
    )


EXERCISES = (
    Exercise(
        id="09.1",
        title="Batch norm, forward",
        prompt=(
            "Write `batch_norm(x, gamma, beta)` for a batch `x` of shape (B, D): the output in "
            "training, with ε = 0.001. `gamma` and `beta` have the shape (D,)."
        ),
        hints=(
            "Each of the D units has its own mean and variance over the B rows.",
            "`x.mean(axis=0)` and `x.var(axis=0)` have the shape (D,).",
            "Divide `x - mean` by `np.sqrt(variance + 0.001)`, times `gamma`, plus `beta`.",
        ),
        check=_check_batch_norm,
        reference=batch_norm,
        explanation=(
            "NumPy stretches arrays of shape (D,) over all rows, so each column gets its own four "
            "numbers."
        ),
        wrong=(
            (_over_units, "that is layer norm"),
            (_over_everything, "its own mean and variance"),
            (_epsilon_outside, "inside the root"),
            (_by_the_variance, "the *root*"),
            (_unbiased, "the biased variance"),
            (_beta_first, "add β after"),
            (_without_gamma_beta, "now scale it"),
        ),
    ),
    Exercise(
        id="09.2",
        title="How long must averages collect?",
        prompt=(
            "A moving average starts at 0, and at each step sees the same true mean. Write "
            "`steps_until(share, momentum)`: after how many steps has it taken up at least `share` "
            "of it? `share` lies in (0, 1), `momentum` in [0, 1)."
        ),
        hints=(
            "After one step the average is (1 - momentum) times the mean. And after two?",
            "After t steps the share momentum**t is still missing.",
            "momentum**t <= 1 - share means t >= log(1 - share) / log(momentum); round up. With "
            "momentum 0 one step does it.",
        ),
        check=_check_steps_until,
        reference=steps_until,
        explanation=(
            "With Keras' 0.99 it takes 230 steps to nine tenths of the truth. In a first epoch of "
            "20 steps the averages are still mostly their start values."
        ),
        wrong=(
            (_one_step_each, "each step add the same"),
            (_what_is_left, "still *missing*"),
            (_rounded_down, "round up"),
            (_momentum_zero_fails, "nothing old is kept"),
        ),
    ),
    Exercise(
        id="09.3",
        title="Batch norm that costs nothing",
        prompt=(
            "At inference batch norm behind a product only multiplies and adds fixed numbers. "
            "Write `fold(weights, gamma, beta, moving_mean, moving_variance)`: return "
            "`(new_weights, bias)`, so that `x @ new_weights + bias` equals batch norm (ε = 0.001) "
            "of `x @ weights`. The weights have the shape (D, U), all others (U,)."
        ),
        hints=(
            "Write batch norm as scale * z + something, with z = x @ weights.",
            "scale = gamma / np.sqrt(moving_variance + 0.001), one number a unit.",
            "The something is beta - scale * moving_mean; `weights * scale` scales the columns.",
        ),
        check=_check_fold,
        reference=fold,
        explanation=(
            "This is done before networks are shipped: after training batch norm costs no time at "
            "all. In training it cannot be done, for there the numbers come from the batch."
        ),
        wrong=(
            (_scaled_rows, "column by column"),
            (_bias_is_beta, "forgets the moving mean"),
            (_mean_unscaled, "it is scaled, too"),
            (_mean_added, "mind the sign"),
            (_no_epsilon, "ε = 0.001 is missing"),
        ),
    ),
    Exercise(
        id="09.4",
        title="Batch norm, backward",
        prompt=(
            "Write `gradient_of_inputs(gradient, x, gamma)`: from ∂loss/∂y of shape (B, D), the "
            "batch `x` of the same shape and `gamma` of shape (D,), the gradient ∂loss/∂x of batch "
            "norm in training, with ε = 0.001."
        ),
        hints=(
            "What arrives at x̂ is `g = gradient * gamma`.",
            "Subtract from g its mean over the rows, and x̂ times the mean of g·x̂.",
            "At the end divide by `np.sqrt(x.var(axis=0) + 0.001)`.",
        ),
        check=_check_gradient,
        reference=gradient_of_inputs,
        explanation=(
            "Three paths: directly, through the mean, through the variance. The second makes each "
            "column's gradients add up to 0, the third makes them (but for ε) blind to spreading."
        ),
        wrong=(
            (_constants, "as constants"),
            (_mean_only, "through the variance is missing"),
            (_variance_only, "through the mean is missing"),
            (_sums, "not sums"),
            (_gamma_forgotten, "γ is missing"),
            (_undivided, "at the end"),
        ),
    ),
)
