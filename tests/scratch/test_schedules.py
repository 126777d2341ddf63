import math

import numpy as np
import pytest
from contracts import Refusal, check_docstring, check_refusals
from hypothesis import given, settings
from hypothesis import strategies as st

from dlnotes import runtime
from dlnotes.scratch import (
    SGD,
    constant_rate,
    exponential_decay,
    one_cycle,
    piecewise_constant,
    warmup_cosine,
)

SCHEDULES = (constant_rate, exponential_decay, piecewise_constant, warmup_cosine, one_cycle)


@pytest.mark.parametrize("thing", SCHEDULES)
def test_docstrings(thing):
    check_docstring(thing)


def test_rates_equal_the_keras_schedules():
    with runtime.quiet_start():
        from dlnotes import training

    twins = [
        (exponential_decay(0.5, 7, 0.3), training.ExponentialDecay(0.5, 7, 0.3)),
        (
            exponential_decay(0.5, 7, 0.3, staircase=True),
            training.ExponentialDecay(0.5, 7, 0.3, staircase=True),
        ),
        (
            piecewise_constant([3, 9], [0.1, 0.2, 0.05]),
            training.PiecewiseConstantDecay([3, 9], [0.1, 0.2, 0.05]),
        ),
        (
            warmup_cosine(0.4, 25, warmup_steps=6, final=0.02),
            training.WarmupCosineDecay(0.4, 25, warmup_steps=6, final=0.02),
        ),
        (warmup_cosine(0.4, 25), training.WarmupCosineDecay(0.4, 25)),
        (one_cycle(0.4, 25), training.OneCycle(0.4, 25)),
        (
            one_cycle(0.4, 25, low=0.1, final=0.03, tail=0.3),
            training.OneCycle(0.4, 25, low=0.1, final=0.03, tail=0.3),
        ),
    ]
    steps = (0, 1, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 17, 18, 22, 24, 25, 30)
    for ours, theirs in twins:
        rates = [ours(step) for step in steps]
        np.testing.assert_allclose(rates, [float(theirs(s)) for s in steps], rtol=0, atol=1e-6)
    assert {constant_rate(0.3)(step) for step in steps} == {0.3}


@settings(max_examples=40, deadline=None)
@given(steps=st.integers(3, 60), peak=st.floats(1e-4, 10), share=st.floats(0, 0.9))
def test_peaks_and_ends(steps, peak, share):
    cycle = one_cycle(peak, steps, tail=0.2)
    rates = [cycle(step) for step in range(steps + 1)]
    assert max(rates) == pytest.approx(peak)
    assert rates[0] == pytest.approx(peak / 10)
    assert rates[-1] == cycle(steps + 9) == pytest.approx(peak / 1000)
    warm = int(share * steps)
    wave = warmup_cosine(peak, steps, warmup_steps=warm)
    rates = [wave(step) for step in range(steps + 1)]
    assert int(np.argmax(rates)) == warm
    assert rates[warm] == pytest.approx(peak)
    assert rates[-1] == wave(steps + 9) == pytest.approx(0, abs=1e-12)
    assert all(rate > 0 for rate in rates[:-1])


def test_an_optimizer_takes_a_schedule():
    optimizer, weights = SGD(exponential_decay(0.8, 1, 0.5)), np.zeros(1)
    for _ in range(4):
        weights = optimizer.step(weights, np.ones(1))
    assert math.isclose(weights[0], -(0.8 + 0.4 + 0.2 + 0.1))


def test_refusals():
    check_refusals(constant_rate, [Refusal((0,), {}, ValueError, "`learning_rate` must be")])
    check_refusals(
        exponential_decay,
        [
            Refusal((0, 1, 0.5), {}, ValueError, "`initial_learning_rate` must be a finite"),
            Refusal((1, 0, 0.5), {}, ValueError, "`decay_steps` must be an integer >= 1"),
            Refusal((1, 1, 1.5), {}, ValueError, "`decay_rate` must be a finite number"),
            Refusal((1, 1, 0.5), {"staircase": 1}, TypeError, "`staircase` must be True or"),
        ],
    )
    check_refusals(
        piecewise_constant,
        [
            Refusal(([], [1.0]), {}, ValueError, "`boundaries` must be one step or more"),
            Refusal(([3, 3], [1, 1, 1]), {}, ValueError, "`boundaries` must be one step or more"),
            Refusal(([3], [1.0]), {}, ValueError, "`values` must hold one rate more"),
            Refusal((3, [1.0]), {}, TypeError, "`boundaries` must be a list"),
            Refusal(([3], [1.0, 0]), {}, ValueError, "`values` must be a finite number > 0"),
        ],
    )
    check_refusals(
        warmup_cosine,
        [
            Refusal((0, 9), {}, ValueError, "`peak` must be"),
            Refusal((1, 0), {}, ValueError, "`steps` must be an integer >= 1"),
            Refusal((1, 9), {"warmup_steps": 9}, ValueError, "`warmup_steps` must be an int"),
            Refusal((1, 9), {"final": 2}, ValueError, "`final` must be a finite number"),
        ],
    )
    check_refusals(
        one_cycle,
        [
            Refusal((0, 9), {}, ValueError, "`peak` must be"),
            Refusal((1, 2), {}, ValueError, "`steps` must be an integer >= 3"),
            Refusal((1, 9), {"low": 2}, ValueError, "`low` must be"),
            Refusal((1, 9), {"final": 0.5}, ValueError, "`final` must be"),
            Refusal((1, 9), {"tail": 1}, ValueError, "`tail` must be"),
        ],
    )
