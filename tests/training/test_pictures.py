import numpy as np
import pytest
from contracts import Refusal, check_docstring, check_refusals

from dlnotes.runtime import quiet_start

with quiet_start():
    import keras

    from dlnotes.training import check_pictures


def network(shape=(6, 5, 3), units=4):
    inputs = keras.Input(shape)
    outputs = keras.layers.Dense(units, activation="softmax")(keras.layers.Flatten()(inputs))
    return keras.Model(inputs, outputs, name="eye")


MODEL, GRAY = network(), network((6, 5, 1), 1)
FLAT = keras.Sequential([keras.Input((30,)), keras.layers.Dense(2)])
X, Y = np.zeros((3, 6, 5, 3), np.uint8), [0, 3, 1]
CLASSES = "`y` must hold class numbers 0 to 3. "
REFUSALS = [
    Refusal(("eye", X, Y), {}, TypeError, "`model` must be a Keras model"),
    Refusal((keras.Sequential(name="late"), X, Y), {}, ValueError, "must be built, .*'late'"),
    Refusal((FLAT, X, Y), {}, ValueError, r"from pictures \(B, H, W, C\)"),
    Refusal((MODEL, np.moveaxis(X, -1, 1), Y), {}, ValueError, r"moveaxis\(x, 1, -1\).*\(3, 3, 6,"),
    Refusal((GRAY, X[..., 0], [0, 1, 1]), {}, ValueError, r"`x\[\.\.\., None\]` adds the axis"),
    Refusal((MODEL, X[0], Y[:1]), {}, ValueError, r"`x\[None\]` makes a batch"),
    Refusal((MODEL, X[:, :4], Y), {}, ValueError, r"\(N, 6, 5, 3\), as 'eye' takes it\. Received"),
    Refusal((MODEL, X + np.nan, Y), {}, ValueError, "`x` must hold finite numbers"),
    Refusal((MODEL, [["a"]], Y), {}, TypeError, "`x` must be an array of numbers"),
    Refusal((MODEL, X[:0], []), {}, ValueError, "`x` must not be empty"),
    Refusal((MODEL, X, [0, 4, 1]), {}, ValueError, CLASSES + r"Received: y\[1\]=4"),
    Refusal((MODEL, X, [0, -1, 1]), {}, ValueError, CLASSES),
    Refusal((MODEL, X, [0, 0.5, 1]), {}, ValueError, CLASSES),
    Refusal((GRAY, X[..., :1], [0, 1, 2]), {}, ValueError, "class numbers 0 to 1"),
    Refusal((MODEL, X, ["0", "3", "1"]), {}, TypeError, "`y` must be an array of numbers"),
    Refusal((MODEL, X, np.eye(4)[Y]), {}, ValueError, r"`y.argmax\(axis=1\)` makes"),
    Refusal((MODEL, X, Y[:2]), {}, ValueError, "`x` and `y` must have the same number of rows"),
]


def test_what_fits_comes_back_as_the_network_takes_it():
    x, y = check_pictures(MODEL, X + 7, Y)
    assert (x.dtype, y.dtype.kind, x.shape) == (np.float32, "i", X.shape)
    assert (x == 7).all()
    np.testing.assert_array_equal(y, Y)
    assert check_pictures(GRAY, X[..., :1], [0, 1, 1])[1].tolist() == [0, 1, 1]


@pytest.mark.parametrize("refusal", REFUSALS, ids=range(len(REFUSALS)))
def test_what_does_not_fit_is_refused(refusal):
    check_refusals(check_pictures, [refusal])


def test_it_is_documented():
    check_docstring(check_pictures)
