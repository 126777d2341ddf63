"""Exercises of lesson 23, forecasting."""

import math

import numpy as np

from dlnotes.exercises.base import Exercise, WrongAnswer


def higher_than_last_year(history, steps, season):
    """Return last season's values, raised by what the last season was above the one before."""
    history = np.asarray(history)
    last, before = history[-season:], history[-2 * season : -season]
    ahead = np.arange(steps)
    return last[ahead % season] + (last.mean() - before.mean()) * (ahead // season + 1)


def _no_higher(history, steps, season):
    return np.asarray(history)[-season:][np.arange(steps) % season]


def _raised_once(history, steps, season):
    history = np.asarray(history)
    last, before = history[-season:], history[-2 * season : -season]
    return last[np.arange(steps) % season] + last.mean() - before.mean()


def _phase_by_phase(history, steps, season):
    history = np.asarray(history)
    last, before = history[-season:], history[-2 * season : -season]
    ahead = np.arange(steps)
    return (last + (last - before) * (ahead // season + 1)[:, None])[ahead, ahead % season]


def _one_season_only(history, steps, season):
    history = np.asarray(history)
    last, before = history[-season:], history[-2 * season : -season]
    return (last + last.mean() - before.mean())[:steps]


def _raised_by_the_step(history, steps, season):
    history = np.asarray(history)
    last, before = history[-season:], history[-2 * season : -season]
    ahead = np.arange(steps)
    return last[ahead % season] + (last.mean() - before.mean()) * (ahead + 1)


def _check_higher_than_last_year(answer):
    history = np.array([9.0, 1.0, 4.0, 2.0, 3.0, 8.0, 5.0])
    for steps, season in ((2, 3), (3, 3), (8, 3), (5, 2)):
        right = higher_than_last_year(history, steps, season)
        result = np.asarray(answer(history.copy(), steps, season), dtype=float)
        told = f"for a season of {season} and {steps} steps"
        if result.shape != right.shape:
            raise WrongAnswer(
                f"{told} the shape must be ({steps},), not {result.shape}; beyond one season go on."
            )
        if np.allclose(result, right):
            continue
        if np.allclose(result, _no_higher(history, steps, season)):
            raise WrongAnswer(f"{told} you repeat last season as it was; raise it.")
        if np.allclose(result, _raised_once(history, steps, season)):
            raise WrongAnswer(f"{told} the second season ahead must be raised twice.")
        if np.allclose(result, _raised_by_the_step(history, steps, season)):
            raise WrongAnswer(f"{told} raise once for each *season* ahead, not for each step.")
        raise WrongAnswer(
            f"{told} after {history.tolist()} it must be {right.round(3).tolist()}; all phases are "
            "raised by one number, the difference of the two seasons' means."
        )


def blocks_needed(window, kernel_size):
    """Return the fewest TCN blocks that see the whole window."""
    blocks = 1
    while 1 + 2 * (kernel_size - 1) * (2**blocks - 1) < window:
        blocks += 1
    return blocks


def _one_convolution(window, kernel_size):
    blocks = 1
    while 1 + (kernel_size - 1) * (2**blocks - 1) < window:
        blocks += 1
    return blocks


def _no_dilation(window, kernel_size):
    return max(1, math.ceil((window - 1) / (2 * (kernel_size - 1))))


def _own_step_forgotten(window, kernel_size):
    blocks = 1
    while 2 * (kernel_size - 1) * (2**blocks - 1) < window:
        blocks += 1
    return blocks


def _check_blocks_needed(answer):
    for window, kernel_size in ((100, 2), (29, 3), (24, 5), (24, 3), (30, 3), (2, 9), (512, 4)):
        right, result = blocks_needed(window, kernel_size), answer(window, kernel_size)
        if result == right:
            continue
        told = f"for a window of {window} and kernels of {kernel_size}"
        if result == _own_step_forgotten(window, kernel_size):
            raise WrongAnswer(f"{told} you forgot the last step itself: the field begins with 1.")
        if result == _one_convolution(window, kernel_size):
            raise WrongAnswer(f"{told} {right} are enough: each block has *two* convolutions.")
        if result == _no_dilation(window, kernel_size):
            raise WrongAnswer(f"{told} {right} are enough: the dilation doubles with each block.")
        raise WrongAnswer(f"{told} {right} blocks are needed, not {result}.")


def standardised(values, cut):
    """Return the values in units of the training part: mean 0 and standard deviation 1 there."""
    values = np.asarray(values)
    return (values - values[:cut].mean()) / values[:cut].std()


def _by_all(values, cut):
    return (values - values.mean()) / values.std()


def _each_part(values, cut):
    parts = values[:cut], values[cut:]
    return np.concatenate([(part - part.mean()) / part.std() for part in parts])


def _training_only(values, cut):
    return (values[:cut] - values[:cut].mean()) / values[:cut].std()


def _not_divided(values, cut):
    return values - values[:cut].mean()


def _check_standardised(answer):
    rng = np.random.default_rng(233)
    for cut in (30, 45):
        values = 5 + np.cumsum(rng.normal(size=60))
        right = standardised(values, cut)
        result = np.asarray(answer(values.copy(), cut), dtype=float)
        if result.shape == (cut,):
            raise WrongAnswer("return the whole series, the part from the cut on as well.")
        if result.shape != right.shape:
            raise WrongAnswer(f"the shape must be {right.shape}, not {result.shape}.")
        if np.allclose(result, right):
            continue
        other = values.copy()
        other[cut:] += 3
        changed = np.asarray(answer(other, cut), dtype=float)[:cut]
        if not np.allclose(changed, result[:cut]):
            raise WrongAnswer(
                "the training part changes when only values after the cut change: a leak. Mean "
                "and spread must come from the training part alone."
            )
        if np.allclose(result[:cut], right[:cut]):
            raise WrongAnswer(
                "the part from the cut on must be measured with the *same* mean and spread, or it "
                "loses its level, and its own mean is not known before it is over."
            )
        raise WrongAnswer("the training part must have mean 0 and standard deviation 1.")


def half_width(errors, coverage):
    """Return q so that forecast ± q covers: the k-th smallest size, k = ⌈(n + 1)·coverage⌉."""
    sizes = np.sort(np.abs(errors))
    return sizes[math.ceil((len(sizes) + 1) * coverage - 1e-9) - 1]


def _plain_quantile(errors, coverage):
    return np.quantile(np.abs(errors), coverage)


def _without_the_next(errors, coverage):
    sizes = np.sort(np.abs(errors))
    return sizes[math.ceil(len(sizes) * coverage - 1e-9) - 1]


def _signed(errors, coverage):
    return np.sort(errors)[math.ceil((len(errors) + 1) * coverage - 1e-9) - 1]


def _gaussian(errors, coverage):
    return 1.645 * np.std(errors)


def _check_half_width(answer):
    errors = np.array([-7, 3, -1, 12, 5, -2, 0.5, -20, 4, -8, -6, 9.5, -3.5, 1.5, 2.5, -11, 6.5])
    errors = np.append(errors, [7.5, -4.5])
    for count, coverage in ((15, 0.8), (10, 0.9), (19, 0.9), (9, 0.5)):
        some = errors[:count]
        right, result = half_width(some, coverage), float(answer(some.copy(), coverage))
        if np.isclose(result, right):
            continue
        told = f"for {count} errors and a coverage of {coverage}"
        if np.isclose(result, _signed(some, coverage)):
            raise WrongAnswer(f"{told}: errors to both sides count; sort their sizes |e|.")
        if np.isclose(result, _without_the_next(some, coverage)):
            raise WrongAnswer(
                f"{told}: the next error has {count + 1} places to fall into among the {count}, so "
                "the share is counted of n + 1."
            )
        if np.isclose(result, _plain_quantile(some, coverage)):
            raise WrongAnswer(
                f"{told}: a quantile lies between two errors and promises less. Take one of the "
                "errors, the k-th smallest with k = ⌈(n + 1)·coverage⌉."
            )
        raise WrongAnswer(f"{told} it must be {right}, not {result:.3f}.")


EXERCISES: tuple[Exercise, ...] = (
    Exercise(
        id="23.1",
        title="As last year, only higher",
        prompt=(
            "The seasonal naive forecast of CO₂ lags a year behind the trend. Write "
            "`higher_than_last_year(history, steps, season)`: repeat the last season, and raise it "
            "by the difference between the last season's mean and the mean of the one before; "
            "twice that difference for the second season ahead, and so on."
        ),
        hints=(
            "Step number j, counted from 0, has the phase `j % season`.",
            "It lies in season number `j // season + 1` ahead.",
        ),
        check=_check_higher_than_last_year,
        reference=higher_than_last_year,
        explanation=(
            "`j % season` picks the value of last season with the same phase, `j // season + 1` "
            "says how many seasons have passed since. On CO₂ it leaves the seasonal naive forecast "
            "far behind, without a single fitted weight."
        ),
        wrong=(
            (_no_higher, "raise it"),
            (_raised_once, "must be raised twice"),
            (_raised_by_the_step, "not for each step"),
            (_one_season_only, "beyond one season go on"),
            (_phase_by_phase, "raised by one number"),
        ),
    ),
    Exercise(
        id="23.2",
        title="How many blocks?",
        prompt=(
            "A TCN has blocks of two causal convolutions; the dilation is 1 in the first block and "
            "doubles from block to block. Write `blocks_needed(window, kernel_size)`: the "
            "fewest blocks, at least 1, with which the last step sees the whole window "
            "(`kernel_size` is 2 or more)."
        ),
        hints=(
            "How many steps does one convolution of kernel size k and dilation d add?",
            "L blocks see 1 + 2(k − 1)(2^L − 1) steps. Count L up until that is enough.",
        ),
        check=_check_blocks_needed,
        reference=blocks_needed,
        explanation=(
            "A convolution adds (k − 1)·d steps, each block has two, and the dilations 1, 2, 4, … "
            "sum up to 2^L − 1. So the number of blocks grows with the logarithm of the "
            "window: 512 steps need 7 blocks of k = 4."
        ),
        wrong=(
            (_one_convolution, "*two* convolutions"),
            (_no_dilation, "doubles with each block"),
            (_own_step_forgotten, "begins with 1"),
            (lambda window, kernel_size: 1, "blocks are needed"),
        ),
    ),
    Exercise(
        id="23.3",
        title="A scale without a leak",
        prompt=(
            "Write `standardised(values, cut)`: the whole series, minus a mean and divided by a "
            "standard deviation, for a model that is trained on `values[:cut]` and judged on the "
            "rest. Nothing of the rest may change what the model is trained on."
        ),
        hints=(
            "What would `values.mean()` tell the training part?",
            "One mean and one standard deviation, both of `values[:cut]`, serve the whole series.",
        ),
        check=_check_standardised,
        reference=standardised,
        explanation=(
            "Mean and spread are fitted, as weights are: on the training part alone. The rest is "
            "then measured with the same ruler. That it need not have mean 0 is no fault: it says "
            "how far the series has moved."
        ),
        wrong=(
            (_by_all, "a leak"),
            (_each_part, "*same* mean and spread"),
            (_training_only, "return the whole series"),
            (_not_divided, "mean 0 and standard deviation 1"),
        ),
    ),
    Exercise(
        id="23.4",
        title="Give or take",
        prompt=(
            "A symmetric conformal interval is forecast ± q. Write `half_width(errors, coverage)`: "
            "from n errors of held-out forecasts, q is the k-th smallest of their sizes, with "
            "k = ⌈(n + 1)·coverage⌉. (Beware of rounding: 20 · 0.9 may come out a hair above 18. "
            "Subtract 1e-9 before you round up.)"
        ),
        hints=(
            "Sort the sizes of the errors, `np.abs(errors)`.",
            "The k-th smallest stands at index k − 1; `math.ceil` rounds up.",
        ),
        check=_check_half_width,
        reference=half_width,
        explanation=(
            "The size of the next error is equally likely to fall into any of the n + 1 gaps that "
            "the n sizes leave. It is at most the k-th smallest in k of them, so k/(n + 1) is the "
            "coverage."
        ),
        wrong=(
            (_plain_quantile, "promises less"),
            (_without_the_next, "counted of n + 1"),
            (_signed, "both sides count"),
            (_gaussian, "it must be"),
        ),
    ),
)
