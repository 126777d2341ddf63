import numpy as np
import pytest
from contracts import Refusal, check_docstring, check_refusals
from hypothesis import given, settings
from hypothesis import strategies as st

from dlnotes.scratch import clip_by_global_norm, clip_by_norm, clip_by_value, global_norm

CLIPS = {
    "clipvalue": clip_by_value,
    "clipnorm": clip_by_norm,
    "global_clipnorm": clip_by_global_norm,
}
RNG = np.random.default_rng(0)
GRADIENTS = [3 * RNG.normal(size=(4, 3)), 0.1 * RNG.normal(size=(3,)), RNG.normal(size=(3, 1))]

lists = st.lists(
    st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=5).map(np.array), min_size=1, max_size=4
)


@pytest.mark.parametrize("function", [*CLIPS.values(), global_norm])
def test_docstrings(function):
    check_docstring(function)


@pytest.mark.parametrize("name", CLIPS)
@pytest.mark.parametrize("limit", [0.05, 1.0, 5.0, 1e3])
def test_equals_what_keras_does_in_a_step(double, name, limit):
    keras, _ = double
    variables = [keras.Variable(np.zeros(g.shape), dtype="float64") for g in GRADIENTS]
    optimizer = keras.optimizers.SGD(1.0, **{name: limit})
    optimizer.apply([keras.ops.convert_to_tensor(g) for g in GRADIENTS], variables)
    steps = [-np.asarray(variable) for variable in variables]
    for ours, theirs in zip(CLIPS[name](GRADIENTS, limit), steps, strict=True):
        # SGD keeps its learning rate of 1.0 in 32 bits, which is exact
        np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-15)


def flat(arrays):
    return np.concatenate([np.ravel(array) for array in arrays])


@settings(max_examples=60)
@given(gradients=lists, limit=st.floats(0.01, 100))
def test_what_each_promises(gradients, limit):
    assert np.isclose(global_norm(gradients), np.linalg.norm(flat(gradients)))
    assert np.abs(flat(clip_by_value(gradients, limit))).max() <= limit
    for before, after in zip(gradients, clip_by_norm(gradients, limit), strict=True):
        length = np.linalg.norm(before)
        assert np.isclose(np.linalg.norm(after), min(length, limit))
        np.testing.assert_allclose(after * length, before * np.linalg.norm(after), atol=1e-6)
    before, after = flat(gradients), flat(clip_by_global_norm(gradients, limit))
    length = np.linalg.norm(before)
    assert np.isclose(np.linalg.norm(after), min(length, limit))
    np.testing.assert_allclose(after * length, before * np.linalg.norm(after), atol=1e-6)


@pytest.mark.parametrize("function", CLIPS.values())
def test_small_gradients_and_the_callers_arrays_stay_as_they_are(function):
    copies = [g.copy() for g in GRADIENTS]
    for ours, theirs in zip(function(GRADIENTS, 1e6), GRADIENTS, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    function(GRADIENTS, 0.01)
    for now, before in zip(GRADIENTS, copies, strict=True):
        np.testing.assert_array_equal(now, before)
    assert not flat(function([np.zeros(3)], 1.0)).any()


@pytest.mark.parametrize("function", CLIPS.values())
def test_refusals(function):
    name = "limit" if function is clip_by_value else "max_norm"
    check_refusals(
        function,
        [
            Refusal((GRADIENTS, 0), {}, ValueError, f"`{name}` must be a finite number > 0"),
            Refusal((GRADIENTS, "a"), {}, TypeError, f"`{name}` must be a number"),
            Refusal((GRADIENTS[0], 1.0), {}, TypeError, "`gradients` must be a list of arrays"),
            Refusal(([], 1.0), {}, ValueError, "`gradients` must not be empty"),
            Refusal(([[1.0], [np.nan]], 1.0), {}, ValueError, "must hold finite numbers"),
        ],
    )
