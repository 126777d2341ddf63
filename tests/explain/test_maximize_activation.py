import numpy as np
from contracts import Refusal, check_refusals

from dlnotes.runtime import quiet_start

with quiet_start():
    import keras

    from dlnotes.explain import maximize_activation
    from dlnotes.explain.ascent import neighbours
    from dlnotes.explain.gradients import unit_gradient

layers = keras.layers


def build(size=(6, 6, 1)):
    keras.utils.set_random_seed(9)
    conv = layers.Conv2D(3, 3, activation="tanh", name="conv")
    pool = layers.GlobalAveragePooling2D(name="pool")
    stack = [keras.Input(size), conv, pool, layers.Dense(4, activation="softmax", name="output")]
    return keras.Sequential(stack, name="cnn")


MODEL = build()


def rng():
    return np.random.default_rng(0)


def test_the_score_of_each_wanted_class_rises():
    first = maximize_activation(MODEL, range(4), num_steps=1, step_size=1e-6, rng=rng())
    last = maximize_activation(MODEL, range(4), num_steps=20, rng=rng())
    assert last.shape == (4, 6, 6, 1)
    own = [np.asarray(MODEL(x))[range(4), range(4)] for x in (first, last)]
    assert (own[1] > own[0] + 0.005).all()
    assert last.min() >= 0
    assert last.max() <= 1
    np.testing.assert_allclose(first, 0.5, atol=0.07)  # grey and weak noise


def test_a_channel_of_a_layer_rises_also_on_pictures_of_another_size():
    filters = keras.Sequential([keras.Input((None, None, 1)), layers.Conv2D(3, 3, name="conv")])
    start = rng().random((9, 11, 1))
    end = maximize_activation(filters, [1], layer="conv", start=start, num_steps=5, rng=rng())
    assert end.shape == (1, 9, 11, 1)
    before, after = (float(np.mean(filters(x)[..., 1])) for x in (start[None], end))
    assert after > before
    kernel = filters.get_weights()[0][..., 0, 1]
    slope = unit_gradient(filters, start[None], np.array([1]), "conv")
    np.testing.assert_allclose(slope[0, 4, 4, 0], kernel.sum() / (7 * 9), rtol=1e-5)


def test_one_step_is_the_formula_with_its_habits():
    start = rng().random((1, 6, 6, 1)).astype("float32")
    slope = unit_gradient(MODEL, start, np.array([2]), None)
    x = start + 0.1 * slope / np.sqrt(np.mean(slope**2))
    x = 0.7 * x + 0.3 * neighbours(x)
    x = np.clip(-1 + 0.9 * (x + 1), -1, 2)
    habits = {"step_size": 0.1, "blur": 0.3, "decay": 0.1, "value_range": (-1.0, 2.0)}
    found = maximize_activation(MODEL, [2], start=start, num_steps=1, rng=rng(), **habits)
    np.testing.assert_allclose(found, x, atol=1e-6)


def test_a_moved_picture_is_moved_back():
    flat = keras.Sequential([keras.Input((6, 6, 1)), layers.Flatten(), layers.Dense(1)])
    flat.set_weights([np.zeros((36, 1)), np.zeros(1)])  # no slope: nothing but moves
    start = rng().random((1, 6, 6, 1)).astype("float32")
    same = maximize_activation(flat, [1], start=start, num_steps=5, shift=3, rng=rng())
    np.testing.assert_array_equal(same, start)


def test_neighbours_by_hand():
    x = np.arange(6.0).reshape(1, 2, 3, 1)  # 0 1 2 / 3 4 5
    wanted = [(0 + 3 + 0 + 1) / 4, (1 + 4 + 0 + 2) / 4, (2 + 5 + 1 + 2) / 4]
    np.testing.assert_allclose(neighbours(x)[0, 0, :, 0], wanted)


def test_refusals():
    given = {"rng": rng()}
    free = keras.Sequential([keras.Input((None, None, 1)), layers.Conv2D(3, 3, name="conv")])
    start = np.full((2, 6, 6, 1), 0.5)
    check_refusals(
        maximize_activation,
        [
            Refusal((MODEL, [4]), given, ValueError, "class numbers 0 to 3"),
            Refusal((MODEL, [0.5]), given, TypeError, "`units` must be whole numbers"),
            Refusal((MODEL, 1), given, ValueError, "`units` must be 1-dimensional"),
            Refusal((MODEL, [3]), {**given, "layer": "conv"}, ValueError, "from 0 to 2"),
            Refusal((MODEL, [1]), {**given, "layer": "norm"}, ValueError, "`layer` must be one"),
            Refusal((MODEL, [1]), {"rng": 5}, TypeError, "`rng` must be a numpy"),
            Refusal((MODEL, [1]), {**given, "start": start}, ValueError, "one picture for each"),
            Refusal(
                (MODEL, [1]), {**given, "start": start[:1] + 1}, ValueError, "`start` must lie"
            ),
            Refusal(
                (MODEL, [1]), {**given, "start": start[:, 1:]}, ValueError, "`start` must be p"
            ),
            Refusal((free, [1]), {**given, "layer": "conv"}, ValueError, "`start` must be given"),
            Refusal(("cnn", [1]), given, TypeError, "`model` must be a Keras model"),
            Refusal((MODEL, [1]), {**given, "num_steps": 0}, ValueError, "`num_steps` must be"),
            Refusal((MODEL, [1]), {**given, "step_size": 0}, ValueError, "`step_size` must be"),
            Refusal((MODEL, [1]), {**given, "blur": 2}, ValueError, "`blur` must be"),
            Refusal((MODEL, [1]), {**given, "decay": 1}, ValueError, "`decay` must be"),
            Refusal((MODEL, [1]), {**given, "shift": -1}, ValueError, "`shift` must be"),
        ],
    )
