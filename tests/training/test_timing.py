"""Fee and price of a step, and the seconds of an all-reduce."""

import time
from types import SimpleNamespace

import numpy as np
import pytest
from contracts import Refusal, check_docstring, check_refusals

from dlnotes.runtime import quiet_start
from dlnotes.training import timing
from dlnotes.training.timing import StepCost, step_costs, time_all_reduce

with quiet_start():
    import keras
    import tensorflow as tf


class Clock:
    """Time that only passes when a model says so."""

    def __init__(self):
        self.now = 0.0

    def perf_counter(self):
        return self.now


class Model:
    """Takes `fee` seconds for its first epoch, and `price` for each step of `fit`."""

    steps_per_execution = 1

    def __init__(self, clock, fee, price, log):
        self.clock, self.fee, self.price, self.log = clock, fee, price, log

    def fit(self, data, *, epochs, steps_per_epoch, callbacks, shuffle, verbose):
        self.log.append((self, epochs))
        for epoch in range(epochs):
            # each fit begins slowly
            self.clock.now += self.fee + steps_per_epoch * self.price + (0.5 if epoch == 0 else 0)
            self.clock.now += 4.0 if len(self.log) == 5 else 0  # something else was running
            self.fee = 0.0
            for callback in callbacks:
                callback.on_epoch_end(epoch, {})


@pytest.mark.parametrize("thing", [StepCost, step_costs, time_all_reduce])
def test_docstrings(thing):
    check_docstring(thing)


def test_fee_and_price_are_told_apart_and_the_models_take_turns(monkeypatch):
    clock, log, made = Clock(), [], []
    monkeypatch.setattr(timing.time, "perf_counter", clock.perf_counter)
    prices = {"plain": 0.25, "compiled": 0.125}
    fees = {"plain": iter([64.0, 2.0, 0.0]), "compiled": iter([8.0, 16.0])}

    def build(name):
        clock.now += 100.0  # building is not timed
        made.append((name, model := Model(clock, next(fees[name]), prices[name], log)))
        return model

    builds = {name: lambda name=name: build(name) for name in prices}
    found = step_costs(builds, None, steps=4, laps=2, starts=2)
    # the first training does not count; of the others the smallest fee
    assert found == {"plain": StepCost(0.5, 0.25), "compiled": StepCost(8.5, 0.125)}
    assert [name for name, _ in made] == ["plain"] + ["plain", "compiled"] * 2
    last = [model for _, model in made[-2:]]
    assert log[5:] == [(model, 3) for model in last * 2]


def test_steps_must_fit_into_executions():
    model = Model(Clock(), 0.0, 1.0, [])
    model.steps_per_execution = 8
    with pytest.raises(ValueError, match=r"`steps` must be a multiple .* 8\. Received: steps=12"):
        step_costs({"a": lambda: model}, None, steps=12)


def test_when_a_way_pays():
    old = StepCost(1.0, 0.5)
    assert StepCost(3.0, 0.25).pays_after(old) == 8
    assert StepCost(3.0, 0.125).pays_after(old) == 6  # 5.33 steps
    assert StepCost(0.5, 0.25).pays_after(old) == 0
    assert StepCost(3.0, 0.4375).pays_after(old) == "no gain"  # 1.14 times
    assert StepCost(3.0, 0.4375).pays_after(old, least=1.1) == 32
    assert StepCost(0.0, 0.5).pays_after(old, least=1) == "no gain"
    with pytest.raises(ValueError, match="`least` must be"):
        old.pays_after(old, least=0.5)


def test_a_slow_step_is_dear_for_real():
    def slow(x):
        time.sleep(0.005)
        return x

    class Slow(keras.layers.Layer):
        def call(self, x):
            return x + 0 * tf.ensure_shape(tf.numpy_function(slow, [x], x.dtype), x.shape)

    def build(kind):
        model = keras.Sequential([keras.layers.Dense(1), kind()])
        model.compile("sgd", "mse")
        return model

    builds = {"quick": lambda: build(keras.layers.ReLU), "slow": lambda: build(Slow)}
    data = tf.data.Dataset.from_tensors((np.ones((2, 3)), np.ones((2, 1)))).cache().repeat()
    found = step_costs(builds, data, steps=4, laps=1, starts=1)
    assert found["slow"].price > 0.005
    assert found["quick"].price < found["slow"].price
    assert min(cost.fee for cost in found.values()) > 0


def test_a_wrong_sum_is_noticed(monkeypatch):
    context = SimpleNamespace(all_reduce=lambda op, values: 2 * values)
    monkeypatch.setattr(tf.distribute, "get_replica_context", lambda: context)
    with pytest.raises(RuntimeError, match="`all_reduce` must sum"):
        time_all_reduce([4], repeats=1)


def test_an_all_reduce_of_one_is_timed():
    rows = time_all_reduce([1, 1000], repeats=2)
    assert rows[:, 0].tolist() == [4, 4000]
    assert np.all((rows[:, 1] > 0) & (rows[:, 1] < 5))


def test_errors():
    check_refusals(
        step_costs,
        [
            Refusal(([], None), {"steps": 1}, TypeError, "`builds` must map names"),
            Refusal(({}, None), {"steps": 1}, ValueError, "`builds` must not be empty"),
            Refusal(({"a": 1}, None), {"steps": 0}, ValueError, "`steps` must be"),
            Refusal(({"a": 1}, None), {"steps": 1, "laps": 0}, ValueError, "`laps` must be"),
            Refusal(({"a": 1}, None), {"steps": 1, "starts": 0}, ValueError, "`starts` must be"),
        ],
    )
    check_refusals(
        time_all_reduce,
        [
            Refusal(([0],), {}, ValueError, "`sizes` must be"),
            Refusal(([1.5],), {}, TypeError, "`sizes` must be"),
            Refusal(([1],), {"repeats": 0}, ValueError, "`repeats` must be"),
        ],
    )
