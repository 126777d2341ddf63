import pickle

import numpy as np
import pytest
from contracts import Refusal, check_docstring, check_refusals

from dlnotes.runtime import quiet_start
from dlnotes.training import cosine_decay, exponential_decay, step_decay

with quiet_start():
    import keras

EPOCHS = range(14)


def test_step_decay_halves_after_every_three_epochs():
    rate = step_decay(0.8, factor=0.5, every=3)
    np.testing.assert_allclose([rate(e) for e in range(7)], [0.8] * 3 + [0.4] * 3 + [0.2])


def test_exponential_decay_is_a_power():
    rate = exponential_decay(0.5, factor=0.9)
    np.testing.assert_allclose([rate(0), rate(1), rate(10)], [0.5, 0.45, 0.17433922])


def test_cosine_decay_by_hand():
    rate = cosine_decay(1.0, epochs=4, final=0.2)
    half = 0.5**0.5
    expected = [1.0, 0.2 + 0.4 * (1 + half), 0.6, 0.2 + 0.4 * (1 - half), 0.2, 0.2]
    np.testing.assert_allclose([rate(e) for e in range(6)], expected)


def test_cosine_decay_warms_up_in_equal_steps_to_its_highest_rate():
    rate = cosine_decay(0.4, epochs=7, warmup=3)
    np.testing.assert_allclose([rate(e) for e in range(4)], [0.1, 0.2, 0.3, 0.4])
    plain = cosine_decay(0.4, epochs=4)
    np.testing.assert_allclose([rate(e + 3) for e in EPOCHS], [plain(e) for e in EPOCHS])


@pytest.mark.parametrize(
    ("ours", "by_step"),
    [
        (
            step_decay(0.3, factor=0.7, every=4),
            keras.optimizers.schedules.ExponentialDecay(0.3, 4, 0.7, staircase=True),
        ),
        (
            exponential_decay(0.3, factor=0.7),
            keras.optimizers.schedules.ExponentialDecay(0.3, 1, 0.7),
        ),
        (
            cosine_decay(0.3, epochs=9, final=0.06),
            keras.optimizers.schedules.CosineDecay(0.3, 9, alpha=0.2),
        ),
    ],
    ids=["step", "exponential", "cosine"],
)
def test_rates_equal_those_of_keras_with_one_step_an_epoch(ours, by_step):
    np.testing.assert_allclose(
        [ours(e) for e in EPOCHS], [float(by_step(e)) for e in EPOCHS], rtol=1e-5
    )


@pytest.mark.parametrize(
    "schedule",
    [step_decay(0.1), exponential_decay(0.1), cosine_decay(0.1, epochs=9, warmup=2)],
    ids=["step", "exponential", "cosine"],
)
def test_schedules_are_plain(schedule):
    copy = pickle.loads(pickle.dumps(schedule))
    for epoch in EPOCHS:
        # The present rate, which Keras passes, must not matter: a resumed run would differ.
        assert copy(epoch) == schedule(epoch, 123.0) == schedule(np.int64(epoch))
        assert type(schedule(epoch)) is float
    with pytest.raises(ValueError, match="`epoch` must be an integer >= 0. Received: epoch=-1"):
        schedule(-1)
    with pytest.raises(TypeError, match="`epoch` must be an integer"):
        schedule(0.5)


INITIAL = [
    Refusal((0.0,), {"epochs": 5}, ValueError, "`initial` must be a finite number > 0"),
    Refusal(("0.1",), {"epochs": 5}, TypeError, "`initial` must be a number"),
]
FACTOR = [
    Refusal((0.1,), {"factor": 0.0}, ValueError, r"`factor` must be a finite number in \(0, 1\]"),
    Refusal((0.1,), {"factor": 1.1}, ValueError, r"`factor` must be a finite number in \(0, 1\]"),
    Refusal((0.1,), {"factor": "a"}, TypeError, "`factor` must be a number"),
]


def test_refusals():
    without_epochs = [Refusal(args, {}, error, match) for args, _, error, match in INITIAL]
    check_refusals(
        step_decay,
        [
            *without_epochs,
            *FACTOR,
            Refusal((0.1,), {"every": 0}, ValueError, "`every` must be an integer >= 1"),
            Refusal((0.1,), {"every": 2.5}, TypeError, "`every` must be an integer"),
        ],
    )
    check_refusals(exponential_decay, [*without_epochs, *FACTOR])
    check_refusals(
        cosine_decay,
        [
            *INITIAL,
            Refusal((0.1,), {"epochs": 0}, ValueError, "`epochs` must be an integer >= 1"),
            Refusal((0.1,), {"epochs": 5.0}, TypeError, "`epochs` must be an integer"),
            Refusal(
                (0.1,),
                {"epochs": 5, "warmup": 5},
                ValueError,
                r"`warmup` must be an integer in \[0, 4\]",
            ),
            Refusal(
                (0.1,),
                {"epochs": 5, "final": 0.2},
                ValueError,
                r"`final` must be a finite number in \[0, 0.1\]",
            ),
        ],
    )


def test_docstrings():
    for schedule in (step_decay, exponential_decay, cosine_decay):
        check_docstring(schedule)
