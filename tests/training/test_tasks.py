import numpy as np
import pytest
from contracts import Refusal, check_docstring, check_refusals

from dlnotes.runtime import quiet_start

with quiet_start():
    import keras

    from dlnotes.layers import ShiftedConv1D
    from dlnotes.training import Task, TaskFits, fit_tasks
    from dlnotes.training.tasks import filled_up


def squares(y, outputs):
    return keras.ops.mean((y - outputs) ** 2, axis=-1)


def build(layer=None):
    x = inputs = keras.Input((4, 1))
    x = layer()(x) if layer else x
    return keras.Model(inputs, keras.layers.Dense(1)(keras.layers.Flatten()(x)))


def shifted():
    return ShiftedConv1D(2, 2, dilation_rate=2, padding="causal", activation="tanh")


def recurrent():
    return keras.layers.SimpleRNN(2)


def task(rows, sign, seed=0):
    rng = np.random.default_rng(seed)
    x, x_val = rng.normal(size=(rows, 4, 1)), rng.normal(size=(5 + rows % 3, 4, 1))
    return Task(x, sign * x.sum(axis=1), x_val, sign * x_val.sum(axis=1))


def drawn_rows(rng, tasks, steps, batch_size):
    """The batches, drawn again: (steps, tasks, batch_size)."""
    return [[rng.integers(0, len(t.x), batch_size) for t in tasks] for _ in range(steps)]


@pytest.mark.parametrize("thing", [fit_tasks, Task, TaskFits])
def test_docstrings(thing):
    check_docstring(thing)


@pytest.mark.parametrize("layer", [None, shifted, recurrent])
def test_each_copy_ends_where_keras_would_take_it_alone(layer):
    tasks = {"plus": task(7, 1), "minus": task(10, -1, seed=1)}
    options = {"rates": (0.01, 0.1), "copies": 2, "steps": 6, "batch_size": 3, "check_every": 3}
    keras.utils.set_random_seed(3)
    rng = np.random.default_rng(5)
    fits = fit_tasks(lambda: build(layer), tasks, squares, rng=rng, **options)
    assert fits.losses.shape == (2, 2, 2, 2)
    rows = drawn_rows(np.random.default_rng(5), tasks.values(), 6, 3)
    keras.utils.set_random_seed(3)
    starts = [build(layer) for _ in range(2)]
    k, r, c = 1, 1, 1  # the second task, the second rate, the second copy
    net, own = starts[c], list(tasks.values())[k]
    net.compile(keras.optimizers.Adam(0.1), "mse", run_eagerly=True)
    checked = []
    for step in range(6):
        batch = rows[step][k]
        net.train_on_batch(own.x[batch], own.y[batch])
        if step % 3 == 2:
            answers = keras.ops.convert_to_numpy(net(own.x_val))
            loss = np.mean((answers - own.y_val) ** 2)
            checked.append((loss, [keras.ops.convert_to_numpy(w) for w in net.trainable_weights]))
    np.testing.assert_allclose(fits.losses[k, r, c], [loss for loss, _ in checked], rtol=1e-4)
    lowest = min(checked, key=lambda pair: pair[0])[1]
    for mine, theirs in zip(fits.weights, lowest, strict=True):
        np.testing.assert_allclose(mine[k, r, c], theirs, atol=1e-5)


def test_the_best_rate_is_chosen_by_the_median_of_the_lowest_losses():
    losses = np.array([[[[9.0, 3], [1, 9], [8, 8]], [[4, 9], [2, 9], [9, 2.5]]]])
    nothing = [np.zeros((1, 2, 3, 4, 1)), np.arange(6.0).reshape(1, 2, 3, 1)]
    fits = TaskFits(build(), ("a",), np.array([0.1, 0.2]), nothing, losses)
    assert fits.best_rate("a") == 0.2  # medians 3 and 2.5; means 4 and 2.8, last values 8 and 9
    assert fits.predict("a", np.zeros((2, 4, 1)))[:, 0, 0].tolist() == [3, 4, 5]
    assert np.asarray(fits.load("a", 1)(np.zeros((1, 4, 1)))) == 4
    losses[0, 1, 0] = losses[0, 1, 1] = np.nan  # diverged
    assert fits.best_rate("a") == 0.1
    assert fits.validation_losses("a").tolist() == losses[0, 0].tolist()
    losses[:] = np.nan
    with pytest.raises(ValueError, match="`rates` must hold one that does not diverge"):
        fits.best_rate("a")


def test_loaded_models_share_nothing():
    weights = [np.zeros((1, 1, 2, 4, 1)), np.arange(2.0).reshape(1, 1, 2, 1)]
    fits = TaskFits(build(), ("a",), np.array([0.1]), weights, np.zeros((1, 1, 2, 1)))
    one, two = fits.load("a", 0), fits.load("a", 1)
    fits.predict("a", np.zeros((1, 4, 1)))
    answers = [float(np.squeeze(net(np.zeros((1, 4, 1))))) for net in (one, two)]
    assert answers == [0, 1]


def test_early_stopping_keeps_the_weights_of_the_lowest_loss():
    own = task(6, 1)
    twisted = own._replace(y=-own.y)  # what it learns makes the validation worse
    keras.utils.set_random_seed(1)
    options = {"rates": [0.1], "copies": 1, "steps": 40, "check_every": 10}
    fits = fit_tasks(
        build, {"a": own, "b": twisted}, squares, rng=np.random.default_rng(0), **options
    )
    assert fits.losses[0, 0, 0].argmin() == 3
    assert fits.losses[1, 0, 0].argmin() == 0
    for k, name in enumerate("ab"):
        error = np.mean((fits.predict(name, own.x_val)[0] - own.y_val) ** 2)
        assert error == pytest.approx(fits.losses[k, 0, 0].min(), rel=1e-4)


def test_tasks_learn_different_things():
    tasks = {"plus": task(30, 1), "minus": task(20, -1), "twice": task(25, 2)}
    keras.utils.set_random_seed(2)
    fits = fit_tasks(
        build, tasks, squares, rates=[0.1], copies=2, steps=150, rng=np.random.default_rng(1)
    )
    x = np.ones((1, 4, 1))
    answers = [fits.predict(name, x)[:, 0, 0] for name in tasks]
    np.testing.assert_allclose(answers, [[4, 4], [-4, -4], [8, 8]], atol=0.05)


def test_short_validation_parts_are_not_counted_twice():
    assert filled_up([np.array([1, 2, 3]), np.array([4])]).tolist() == [[1, 2, 3], [4, 4, 4]]
    long, short = task(6, 1), task(7, 1)  # 5 and 6 rows of validation
    assert len(long.x_val) != len(short.x_val)
    keras.utils.set_random_seed(1)
    options = {"rates": [1e-9], "copies": 1, "steps": 1, "check_every": 1}
    fits = fit_tasks(
        build, {"a": long, "b": short}, squares, rng=np.random.default_rng(0), **options
    )
    for k, (name, own) in enumerate({"a": long, "b": short}.items()):
        error = np.mean((fits.predict(name, own.x_val)[0] - own.y_val) ** 2)
        assert fits.losses[k, 0, 0, 0] == pytest.approx(error, rel=1e-4)


def with_dropout():
    return keras.Sequential([keras.Input((4, 1)), keras.layers.Dropout(0.5), keras.layers.Dense(1)])


def with_moving_averages():
    return keras.Sequential([keras.Input((4, 1)), keras.layers.BatchNormalization()])


def with_recurrent_dropout():
    layer = keras.layers.LSTM(2, dropout=0.1)
    return keras.Sequential([keras.Input((4, 1)), layer, keras.layers.Dense(1)])


def test_fit_tasks_refuses():
    rng, good = np.random.default_rng(0), {"a": task(6, 1)}
    options = {"rates": [0.1], "rng": rng}
    gap = task(6, 1)
    gap.x[2] = np.nan
    shape = task(6, 1)._replace(x_val=np.zeros((5, 5, 1)))
    fewer = task(6, 1)._replace(y=np.zeros((5, 1)))

    def refusal(tasks, error, match, maker=build, **other):
        return Refusal((maker, tasks, squares), {**options, **other}, error, match)

    check_refusals(
        fit_tasks,
        [
            refusal({"a": gap}, ValueError, r"`tasks\['a'\].x` must .*finite"),
            refusal({"a": shape}, ValueError, "`tasks` must all have rows of one shape"),
            refusal({"a": fewer}, ValueError, "`x` and `y` must have"),
            refusal({}, ValueError, "`tasks` must hold at least one"),
            refusal([gap], TypeError, "`tasks` must map names"),
            refusal({"a": (1, 2)}, TypeError, "`tasks` must map names"),
            refusal(good, ValueError, "`rates` must", rates=[0.0]),
            refusal(good, ValueError, "`rates` must", rates=[]),
            refusal(good, ValueError, "`copies` must be", copies=0),
            refusal(good, ValueError, "`steps` must be", steps=0),
            refusal(good, ValueError, "`batch_size` must be", batch_size=0),
            refusal(good, ValueError, "`check_every` must divide", check_every=7),
            refusal(good, TypeError, "`rng` must be", rng=3),
            refusal(good, TypeError, "`build` must return", lambda: 3),
            refusal(good, ValueError, "`build` must .*without dropout", with_dropout),
            refusal(good, ValueError, "`build` must .*without dropout", with_recurrent_dropout),
            refusal(good, ValueError, "`build` must return .*trained", with_moving_averages),
        ],
    )
    fits = TaskFits(build(), ("a",), np.array([0.1]), [], np.zeros((1, 1, 2, 1)))
    with pytest.raises(ValueError, match="`name` must be one of 'a'"):
        fits.best_rate("b")
    with pytest.raises(ValueError, match="`copy` must be"):
        fits.load("a", 2)
