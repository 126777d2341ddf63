import numpy as np
import pytest
from contracts import Refusal, check_docstring, check_refusals

from dlnotes.runtime import quiet_start

with quiet_start():
    import keras

    from dlnotes.training import Blocks, KeepBlocks, restart


def build(count):
    how = {"kernel_initializer": Blocks(count), "kernel_constraint": KeepBlocks(count)}
    again = {"recurrent_initializer": Blocks(count, "orthogonal")}
    again["recurrent_constraint"] = KeepBlocks(count)
    x = keras.Input((5, 3 * count))
    net = keras.Model(
        x,
        keras.layers.Reshape((count, 2))(
            keras.layers.Dense(2 * count, **how)(
                keras.layers.SimpleRNN(4 * count, **how, **again)(x)
            )
        ),
    )
    net.compile(keras.optimizers.Adam(0.05), lambda y, out: keras.ops.sum((out - y) ** 2))
    net.optimizer.build(net.trainable_variables)
    return net


def blocks_of(weights, k, count):
    """The weights of network k alone."""
    cut = [slice(k * (n // count), (k + 1) * (n // count)) for n in weights.shape]
    return weights[tuple(cut)]


@pytest.mark.parametrize("thing", [Blocks, KeepBlocks, restart])
def test_docstrings(thing):
    check_docstring(thing)


def test_blocks_are_drawn_one_by_one():
    keras.utils.set_random_seed(3)
    matrix = np.asarray(Blocks(3, "orthogonal")((6, 6)))
    for i in range(3):
        for j in range(3):
            part = matrix[2 * i : 2 * i + 2, 2 * j : 2 * j + 2]
            wanted = np.eye(2) if i == j else np.zeros((2, 2))
            np.testing.assert_allclose(part.T @ part, wanted, atol=1e-6)
    assert not np.allclose(matrix[:2, :2], matrix[2:4, 2:4])
    again = Blocks.from_config(Blocks(3, "orthogonal").get_config())
    assert (again.count, again.start) == (3, "orthogonal")
    assert KeepBlocks.from_config(KeepBlocks(3).get_config()).count == 3


def test_networks_side_by_side_train_as_if_alone():
    keras.utils.set_random_seed(5)
    together, alone, rng = build(2), build(1), np.random.default_rng(0)
    x, y = rng.normal(size=(12, 5, 6)), rng.normal(size=(12, 2, 2))
    starts = together.get_weights()
    together.fit(x, y, batch_size=4, epochs=5, shuffle=False, verbose=0)
    ends = together.get_weights()
    for k in range(2):
        fresh = build(1)
        fresh.set_weights([blocks_of(w, k, 2) for w in starts])
        restart(alone, fresh, 0.05)
        mine = x[:, :, 3 * k : 3 * k + 3]
        alone.fit(mine, y[:, k : k + 1], batch_size=4, epochs=5, shuffle=False, verbose=0)
        for both, own in zip(ends, alone.get_weights(), strict=True):
            np.testing.assert_allclose(blocks_of(both, k, 2), own, atol=2e-5)
        assert not np.allclose(alone.get_weights()[0], fresh.get_weights()[0], atol=0.01)


@pytest.mark.parametrize("kind", ["SGD", "Adam", "Nadam", "Adagrad"])
def test_a_restarted_model_trains_as_a_new_one(kind):
    def make():
        net = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        net.compile(getattr(keras.optimizers, kind)(0.3), "mse")
        return net

    x, y = np.eye(2, dtype="float32"), np.array([[1.0], [-2.0]], "float32")
    used, start = make(), make()
    used.fit(x, y, epochs=3, verbose=0)
    restart(used, start, 0.1)
    start.optimizer.learning_rate = 0.1
    for net in (used, start):
        net.fit(x, y, epochs=3, shuffle=False, verbose=0)
    for again, new in zip(used.get_weights(), start.get_weights(), strict=True):
        np.testing.assert_allclose(again, new, atol=1e-6)


def test_a_restart_without_a_rate_keeps_the_schedule_and_begins_it_anew():
    x, y = np.eye(2, dtype="float32"), np.array([[1.0], [-2.0]], "float32")
    nets = []
    for _ in range(2):
        net = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        rate = keras.optimizers.schedules.CosineDecay(0.3, 4)
        net.compile(keras.optimizers.Adam(rate), "mse")
        nets.append(net)
    used, start = nets
    used.fit(x, y, epochs=4, verbose=0)
    restart(used, start)
    for net in nets:
        net.fit(x, y, epochs=3, shuffle=False, verbose=0)
    np.testing.assert_allclose(used.get_weights()[0], start.get_weights()[0], atol=1e-6)
    start.optimizer.iterations.assign(4)  # now its rate is 0
    ends = start.get_weights()[0]
    start.fit(x, y, verbose=0)
    np.testing.assert_array_equal(start.get_weights()[0], ends)


def test_refusals():
    check_refusals(
        Blocks,
        [
            Refusal((0,), {}, ValueError, "`count` must be an integer >= 1"),
            Refusal((2, None), {}, TypeError, "`start` must be the name of an initializer"),
        ],
    )
    with pytest.raises(ValueError, match="no_such"):
        Blocks(2, "no_such")
    check_refusals(KeepBlocks, [Refusal((2.0,), {}, TypeError, "`count` must be an integer")])
    wrong = "`shape` must be two multiples of the count"
    for shape in ((3, 4), (4, 3), (4,)):
        with pytest.raises(ValueError, match=wrong):
            Blocks(2)(shape)
        with pytest.raises(ValueError, match=wrong):
            KeepBlocks(2)(np.ones(shape))
    net = build(1)
    other = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    check_refusals(
        restart,
        [
            Refusal((other, other, 0.1), {}, ValueError, "`model` must be compiled"),
            Refusal((net, other, 0.1), {}, ValueError, "`start` must have weights of the"),
            Refusal((net, net, -1.0), {}, ValueError, "`rate` must be"),
            Refusal((net, net, 0.0), {}, ValueError, "`rate` must be"),
            Refusal((net, net, "a"), {}, TypeError, "`rate` must be"),
        ],
    )
