import numpy as np
import pytest
from contracts import Refusal, check_docstring, check_refusals
from hypothesis import given, settings
from hypothesis import strategies as st

from dlnotes.runtime import quiet_start
from dlnotes.scratch import schedules as scratch

with quiet_start():
    import keras
    from keras.optimizers import schedules as of_keras

    from dlnotes.training import (
        ExponentialDecay,
        OneCycle,
        PiecewiseConstantDecay,
        WarmupCosineDecay,
        standard_callbacks,
    )

STEPS = range(14)
ALL = {
    "exponential": ExponentialDecay(0.3, 4, 0.7),
    "staircase": ExponentialDecay(0.3, 4, 0.7, staircase=True),
    "piecewise": PiecewiseConstantDecay((2, 6), (0.3, 0.1, 0.2)),
    "cosine": WarmupCosineDecay(0.3, 9, warmup_steps=3, final=0.06),
    "one-cycle": OneCycle(0.3, 12, low=0.1, final=0.02, tail=0.3),
}
each = pytest.mark.parametrize("schedule", ALL.values(), ids=ALL.keys())


def rates(schedule, steps=STEPS):
    return [float(schedule(step)) for step in steps]


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (ALL["exponential"], of_keras.ExponentialDecay(0.3, 4, 0.7)),
        (ALL["staircase"], of_keras.ExponentialDecay(0.3, 4, 0.7, staircase=True)),
        (ALL["piecewise"], of_keras.PiecewiseConstantDecay([2, 6], [0.3, 0.1, 0.2])),
        (WarmupCosineDecay(0.3, 9, final=0.06), of_keras.CosineDecay(0.3, 9, alpha=0.2)),
        (
            ALL["cosine"],
            of_keras.CosineDecay(0.3 / 4, 6, alpha=0.2, warmup_target=0.3, warmup_steps=3),
        ),
    ],
    ids=["exponential", "staircase", "piecewise", "cosine", "cosine with warm-up"],
)
def test_rates_are_those_of_keras(ours, theirs):
    assert rates(ours) == pytest.approx(rates(theirs), rel=1e-7, abs=0)


def test_rates_are_those_of_the_schedules_from_scratch():
    twins = {
        "exponential": scratch.exponential_decay(0.3, 4, 0.7),
        "staircase": scratch.exponential_decay(0.3, 4, 0.7, staircase=True),
        "piecewise": scratch.piecewise_constant((2, 6), (0.3, 0.1, 0.2)),
        "cosine": scratch.warmup_cosine(0.3, 9, warmup_steps=3, final=0.06),
        "one-cycle": scratch.one_cycle(0.3, 12, low=0.1, final=0.02, tail=0.3),
    }
    assert list(twins) == list(ALL)
    for name, schedule in ALL.items():
        np.testing.assert_allclose(
            rates(schedule), [twins[name](step) for step in STEPS], rtol=1e-5, err_msg=name
        )


def test_exponential_decay_by_hand():
    assert rates(ALL["exponential"], (0, 4, 8)) == pytest.approx([0.3, 0.21, 0.147])
    assert rates(ALL["staircase"], range(9)) == pytest.approx([0.3] * 4 + [0.21] * 4 + [0.147])


def test_a_boundary_is_the_last_step_of_its_rate():
    expected = [0.3] * 3 + [0.1] * 4 + [0.2] * 2
    assert rates(ALL["piecewise"], range(9)) == pytest.approx(expected)


def test_cosine_decay_by_hand_after_a_warm_up_in_equal_steps():
    half = 0.5**0.5
    wave = [1.0, 0.2 + 0.4 * (1 + half), 0.6, 0.2 + 0.4 * (1 - half), 0.2, 0.2]
    assert rates(WarmupCosineDecay(1.0, 4, final=0.2), range(6)) == pytest.approx(wave)
    warm = WarmupCosineDecay(1.0, 7, warmup_steps=3, final=0.2)
    assert rates(warm, range(9)) == pytest.approx([0.25, 0.5, 0.75, *wave])


@settings(max_examples=40)
@given(
    peak=st.floats(1e-3, 10),
    steps=st.integers(3, 500),
    tail=st.floats(0.01, 0.99),
    shares=st.tuples(st.floats(0.01, 1), st.floats(0, 1)),
)
def test_one_cycle_is_the_line_through_its_four_corners(peak, steps, tail, shares):
    low = peak * shares[0]
    final = low * shares[1]
    schedule = OneCycle(peak, steps, low=low, final=final, tail=tail)
    top = max(int((1 - tail) * steps / 2), 1)
    asked = np.unique([0, 1, top, top + 1, 2 * top, 2 * top + 1, steps - 1, steps, steps + 9])
    line = np.interp(asked, [0, top, 2 * top, steps], [low, peak, low, final])
    np.testing.assert_allclose(schedule(asked), line, rtol=1e-4, atol=1e-6 * peak)


def test_one_cycle_takes_its_ends_from_the_peak():
    schedule = OneCycle(0.5, 100)
    assert rates(schedule, (0, 45, 90, 100, 200)) == pytest.approx(
        [0.05, 0.5, 0.05, 5e-4, 5e-4], rel=1e-5
    )


@each
def test_a_reloaded_model_goes_on_with_the_rate_that_would_have_been_next(schedule, tmp_path):
    x, y = np.eye(3, dtype="float32"), np.float32([[1], [2], [3]])
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, name="line")])
    model.compile(keras.optimizers.SGD(schedule, momentum=0.5), loss="mse", run_eagerly=True)
    for _ in range(5):
        model.train_on_batch(x, y)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    assert type(loaded.optimizer.get_config()["learning_rate"]) is dict
    assert float(loaded.optimizer.learning_rate) == float(schedule(5)) != float(schedule(0))
    loaded.run_eagerly = True
    for each_model in (model, loaded):
        each_model.train_on_batch(x, y)
    np.testing.assert_array_equal(loaded.get_weights()[0], model.get_weights()[0])


@each
def test_configurations_hold_every_argument(schedule):
    config = keras.saving.serialize_keras_object(schedule)
    assert config["registered_name"] == f"dlnotes>{type(schedule).__name__}"
    again = keras.saving.deserialize_keras_object(config)
    assert type(again) is type(schedule)
    assert again.get_config() == schedule.get_config()
    assert rates(again) == rates(schedule)


@each
def test_steps_may_be_tensors_of_any_integer_type(schedule):
    for dtype in ("int32", "int64"):
        step = keras.ops.convert_to_tensor(5, dtype=dtype)
        assert float(schedule(step)) == float(schedule(5))
    assert keras.backend.standardize_dtype(schedule(5).dtype) == "float32"


def test_standard_callbacks_ask_a_schedule_once_an_epoch():
    schedule, one = ALL["one-cycle"], np.ones((1, 1), dtype="float32")
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, name="line")])
    model.compile(keras.optimizers.SGD(0.5), loss="mse", run_eagerly=True)
    callbacks = standard_callbacks(monitor="loss", schedule=schedule, progress=False)
    history = model.fit(one, one, epochs=4, verbose=0, callbacks=callbacks[1:2]).history
    assert history["learning_rate"] == rates(schedule, range(4))


def positive(name):
    return [
        Refusal((0.0,), {}, ValueError, f"`{name}` must be a finite number > 0"),
        Refusal((np.nan,), {}, ValueError, f"`{name}` must be a finite number > 0"),
        Refusal(("0.1",), {}, TypeError, f"`{name}` must be a number"),
    ]


def refuse(schedule, args, refusals):
    check_refusals(schedule, [Refusal((*r.args, *args[len(r.args) :]), *r[1:]) for r in refusals])


def test_refusals_of_exponential_decay():
    refusals = [
        *positive("initial_learning_rate"),
        Refusal((0.1, 0), {}, ValueError, "`decay_steps` must be an integer >= 1"),
        Refusal((0.1, 2.5), {}, TypeError, "`decay_steps` must be an integer"),
        Refusal((0.1, 2, 0.0), {}, ValueError, r"`decay_rate` must be a finite number in \(0, 1\]"),
        Refusal((0.1, 2, 1.1), {}, ValueError, r"`decay_rate` must be a finite number in \(0, 1\]"),
        Refusal((0.1,), {"staircase": 1}, TypeError, "`staircase` must be True or False"),
    ]
    refuse(ExponentialDecay, (0.1, 2, 0.5), refusals)


def test_refusals_of_piecewise_constant_decay():
    refusals = [
        Refusal(([],), {}, ValueError, "`boundaries` must be one step or more, rising"),
        Refusal(([3, 3],), {}, ValueError, "`boundaries` must be one step or more, rising"),
        Refusal(([6, 3],), {}, ValueError, "`boundaries` must be one step or more, rising"),
        Refusal(([-1, 3],), {}, ValueError, "`boundaries` must be an integer >= 0"),
        Refusal(([1.5, 3],), {}, TypeError, "`boundaries` must be an integer"),
        Refusal((3,), {}, TypeError, "`boundaries` must be a list of numbers"),
        Refusal(([3],), {}, ValueError, "`values` must hold one rate more than there are bound"),
        Refusal(([3, 6], [0.1, 0.2, 0]), {}, ValueError, "`values` must be a finite number > 0"),
        Refusal(([3, 6], "abc"), {}, TypeError, "`values` must be a list of numbers"),
    ]
    refuse(PiecewiseConstantDecay, ([3, 6], [0.1, 0.2, 0.3]), refusals)


def test_refusals_of_warmup_cosine_decay():
    between = r"`warmup_steps` must be an integer in \[0, 4\]"
    refusals = [
        *positive("peak"),
        Refusal((0.1, 0), {}, ValueError, "`steps` must be an integer >= 1"),
        Refusal((0.1, 5.0), {}, TypeError, "`steps` must be an integer"),
        Refusal((0.1, 5), {"warmup_steps": 5}, ValueError, between),
        Refusal((0.1, 5), {"final": 0.2}, ValueError, r"`final` must be a .* in \[0, 0.1\]"),
    ]
    refuse(WarmupCosineDecay, (0.1, 5), refusals)


def test_refusals_of_one_cycle():
    refusals = [
        *positive("peak"),
        Refusal((0.1, 2), {}, ValueError, "`steps` must be an integer >= 3"),
        Refusal((0.1, 5.0), {}, TypeError, "`steps` must be an integer"),
        Refusal((0.1,), {"low": 0.2}, ValueError, r"`low` must be a .* in \(0, 0.1\]"),
        Refusal((0.1,), {"low": 0}, ValueError, r"`low` must be a .* in \(0, 0.1\]"),
        Refusal((0.1,), {"final": 0.02}, ValueError, r"`final` must be a .* in \[0, 0.01\]"),
        Refusal((0.1,), {"tail": 0}, ValueError, r"`tail` must be a finite number in \(0, 1\)"),
        Refusal((0.1,), {"tail": 1.0}, ValueError, r"`tail` must be a finite number in \(0, 1\)"),
    ]
    refuse(OneCycle, (0.1, 9), refusals)


def test_docstrings():
    for schedule in (ExponentialDecay, PiecewiseConstantDecay, WarmupCosineDecay, OneCycle):
        check_docstring(schedule)
