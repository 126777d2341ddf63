import numpy as np
import pytest
from contracts import Refusal, check_layer_contract, check_refusals

from dlnotes.runtime import quiet_start

with quiet_start():
    import keras
    import tensorflow as tf

    from dlnotes.layers import RandomSaltAndPepper

GRAY = np.full((4, 50, 50, 3), 0.5, "float32")


def shares(noisy):
    noisy = np.asarray(noisy)
    return np.stack([(noisy == value).all(axis=-1).mean(axis=(1, 2)) for value in (0, 1)])


def test_contract():
    options = {"factor": (0.1, 0.2), "value_range": (-1.0, 1.0), "seed": 3}
    check_layer_contract(RandomSaltAndPepper, options, (2, 6, 5, 1), (2, 6, 5, 1))


def test_half_of_the_hits_are_white_and_channels_stay_together():
    noisy = np.asarray(
        RandomSaltAndPepper((0.4, 0.4), value_range=(0, 1), seed=1)(GRAY, training=True)
    )
    np.testing.assert_allclose(shares(noisy), 0.2, atol=0.04)
    np.testing.assert_array_equal(noisy.max(axis=-1), noisy.min(axis=-1))
    assert set(np.unique(noisy)) == {0, 0.5, 1}


def test_each_picture_draws_its_own_share_and_each_call_anew():
    layer = RandomSaltAndPepper(0.8, value_range=(0, 1), seed=2)
    first, second = (np.asarray(layer(GRAY, training=True)) for _ in range(2))
    hit = shares(first).sum(axis=0)
    assert hit.max() - hit.min() > 0.05
    assert hit.max() < 0.8
    assert (first != second).any()
    again = RandomSaltAndPepper(0.8, value_range=(0, 1), seed=2)(GRAY, training=True)
    np.testing.assert_array_equal(first, again)


def test_nothing_happens_at_test_time_or_at_factor_0():
    layer = RandomSaltAndPepper(0.8, value_range=(0, 1))
    np.testing.assert_array_equal(layer(GRAY), GRAY)
    np.testing.assert_array_equal(RandomSaltAndPepper(0.0)(GRAY, training=True), GRAY)
    model = keras.Sequential([keras.Input(GRAY.shape[1:]), layer])
    np.testing.assert_array_equal(model.predict(GRAY, verbose=0), GRAY)


def test_bytes_in_a_pipeline_and_a_single_picture():
    layer = RandomSaltAndPepper((0.5, 0.5), seed=1)
    pictures = (255 * GRAY).astype("uint8")
    rows = tf.data.Dataset.from_tensor_slices(pictures).batch(2)
    batches = list(rows.map(lambda x: layer(x, training=True)).as_numpy_iterator())
    assert [batch.shape for batch in batches] == [(2, 50, 50, 3)] * 2
    assert set(np.unique(batches)) == {0, 127, 255}
    assert (batches[0] != batches[1]).any()
    assert layer(pictures[0], training=True).shape == (50, 50, 3)


@pytest.mark.parametrize("factor", [0.5, (0.2, 0.5)])
def test_factor_comes_back_from_the_configuration(factor):
    layer = RandomSaltAndPepper.from_config(RandomSaltAndPepper(factor).get_config())
    assert layer.factor == ((0.0, 0.5) if factor == 0.5 else factor)


def test_refusals():
    check_refusals(
        RandomSaltAndPepper,
        [
            Refusal((1.5,), {}, ValueError, "`factor` must be"),
            Refusal(((0.5, 0.2),), {}, ValueError, r"`factor` must be \(low, high\)"),
            Refusal(((0.1, 0.2, 0.3),), {}, ValueError, "`factor` must be two numbers"),
            Refusal(("half",), {}, TypeError, "`factor` must be"),
            Refusal((0.5,), {"value_range": 255}, ValueError, "`value_range` must be two numbers"),
            Refusal((0.5,), {"value_range": (1, 1)}, ValueError, "two different ends"),
        ],
    )
    layer = RandomSaltAndPepper(0.5)
    with pytest.raises(ValueError, match=r"`images` must have the shape .*Received.*\(2, 2\)"):
        layer(np.zeros((2, 2), "float32"))
