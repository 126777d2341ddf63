import numpy as np
import pytest
from contracts import Refusal, check_docstring, check_refusals

from dlnotes.runtime import quiet_start, seed

with quiet_start():
    import keras
    from keras import ops

    from dlnotes.training import Copies, fit_copies

DRAW = np.random.default_rng(0)
X = DRAW.normal(size=(20, 3)).astype("float32")
Y = (X @ [[1.0], [-2.0], [0.5]]).astype("float32")


def build(units=4):
    inputs = keras.Input((3,))
    hidden = keras.layers.Dense(units, "tanh")(inputs)
    return keras.Model(inputs, keras.layers.Dense(1)(hidden))


def squares(y, outputs):
    return ops.mean((y - outputs) ** 2)


class Kept:
    """Builds models and keeps their first weights."""

    def __init__(self):
        self.starts = []

    def __call__(self):
        model = build()
        self.starts.append(model.get_weights())
        return model


def by_fit(start, rate, epochs, batch_size=20):
    model = build()
    model.set_weights(start)
    model.compile(keras.optimizers.Adam(rate), "mse", run_eagerly=True)
    order, rng = [], np.random.default_rng(5)
    for _ in range(epochs):
        order += rng.permutation(20).tolist()
    for k in range(epochs):
        rows = order[20 * k : 20 * (k + 1)]
        for first in range(0, 20, batch_size):
            model.train_on_batch(
                X[rows[first : first + batch_size]], Y[rows[first : first + batch_size]]
            )
    return model


def test_each_copy_ends_where_keras_would_take_it():
    kept, rates = Kept(), (0.003, 0.05)
    rng = np.random.default_rng(5)
    done = fit_copies(kept, X, Y, squares, rates=rates, copies=2, epochs=3, batch_size=8, rng=rng)
    assert done.scores.shape == (2, 2, 0)
    for r, c in ((0, 1), (1, 0)):
        model = by_fit(kept.starts[c], rates[r], epochs=3, batch_size=8)
        for ours, theirs in zip(done.weights, model.get_weights(), strict=True):
            np.testing.assert_allclose(ours[r, c], theirs, atol=2e-6)
    np.testing.assert_allclose(done.load(1, 0)(X), model(X), atol=1e-5)
    np.testing.assert_allclose(done.predict(X)[1, 0], model(X), atol=1e-5)


def test_settings_make_axes_and_reach_loss_and_score():
    def loss(y, outputs, a, b):
        return squares(a * y + b, outputs)

    grid = {"a": (0.0, 1.0), "b": (-2.0, 0.0, 2.0)}
    seed(1)
    done = fit_copies(
        build,
        X,
        Y,
        loss,
        settings=grid,
        rates=(0.05,),
        copies=2,
        epochs=60,
        rng=np.random.default_rng(0),
        score=lambda outputs, a, b: squares(a * Y + b, outputs),
        score_x=X,
    )
    assert done.scores.shape == (1, 2, 3, 2, 60)
    means = done.predict(X)[0, 0].mean(axis=(1, 2, 3))  # a = 0: it learns the constant b
    np.testing.assert_allclose(means, grid["b"], atol=0.2)
    left = squares(Y, done.predict(X)[0, 1, 1, 0])
    np.testing.assert_allclose(done.scores[0, 1, 1, 0, -1], left, rtol=1e-4)


def test_the_best_epoch_comes_back_for_each_copy():
    options = {"rates": (0.3, 0.01), "copies": 2, "epochs": 12, "score_x": X[:5]}
    score = {"score": lambda outputs: squares(Y[:5], outputs), "restore_best": True}
    seed(2)
    done = fit_copies(build, X, Y, squares, rng=np.random.default_rng(0), **options, **score)
    kept = ((done.predict(X[:5]) - Y[:5]) ** 2).mean(axis=(2, 3))
    np.testing.assert_allclose(kept, done.scores.min(axis=-1), rtol=1e-4)
    assert (done.scores.min(axis=-1) < done.scores[..., -1]).any()


def test_the_best_rate_is_chosen_for_each_setting_by_the_median():
    scores = np.array([[[5.0, 1.0, 5.0], [2.0, 2.0, 2.0]], [[3.0, 3.0, 9.0], [4.0, 4.0, 0.0]]])
    done = Copies(None, np.array([0.1, 1.0]), [], scores[..., None])
    np.testing.assert_array_equal(done.at_best_rate(scores), [[3, 3, 9], [2, 2, 2]])
    values = np.arange(2 * 2 * 3 * 4).reshape(2, 2, 3, 4)
    np.testing.assert_array_equal(done.at_best_rate(values), [values[1, 0], values[0, 1]])
    with pytest.raises(ValueError, match="`score` must have been given"):
        done._replace(scores=np.zeros((2, 2, 3, 0))).at_best_rate(values)
    with pytest.raises(ValueError, match="`index` must hold 3 numbers"):
        done.load(0, 0)


def test_a_rate_at_which_copies_diverge_is_never_the_best():
    scores = np.array([[[1.0, 1.0]], [[np.nan, np.nan]], [[0.5, 0.5]]])[..., None]
    done = Copies(None, np.array([0.1, 9.0, 1.0]), [], scores)
    np.testing.assert_array_equal(done.at_best_rate(scores[..., 0]), [[0.5, 0.5]])
    late = np.array([[[[0.9, 0.7]]], [[[0.1, np.nan]]]])  # the lowest came before it diverged
    np.testing.assert_array_equal(done._replace(scores=late).at_best_rate([[[1]], [[2]]]), [[2]])


@pytest.mark.parametrize("later", [0.0, np.nan])
def test_the_first_of_equal_scores_is_kept_and_no_number_is_never_better(later):
    def score(outputs):  # the outputs fall with every epoch: 0 while below 2.5, else 1
        return ops.where(outputs[0, 0] > 2.5, 1.0, ops.where(outputs[0, 0] > 1.5, 0.0, later))

    def build():
        layer = keras.layers.Dense(1, kernel_initializer="zeros", bias_initializer="ones")
        return keras.Sequential([keras.Input((1,)), layer])

    def fall(y, outputs):  # each step of Adam takes 0.5 off
        return ops.mean(outputs)

    options = {"rates": (0.5,), "copies": 1, "epochs": 5, "rng": np.random.default_rng(0)}
    start = {"x": np.zeros((2, 1)), "y": np.zeros((2, 1))}
    options |= {"score": lambda outputs: score(outputs + 2.25), "score_x": np.zeros((1, 1))}
    done = fit_copies(build, loss=fall, restore_best=True, **start, **options)
    np.testing.assert_array_equal(done.scores[0, 0], [1, 0, 0, later, later])
    np.testing.assert_allclose(done.weights[1].ravel(), [0.0], atol=1e-3)


def test_several_inputs_outputs_and_whole_numbers():
    a, b = keras.Input((3,), name="a"), keras.Input((3,), name="b")

    def two():
        joined = keras.layers.Concatenate()([a, b])
        heads = [keras.layers.Dense(2, "softmax")(joined), keras.layers.Dense(1)(joined)]
        return keras.Model([a, b], heads)

    def loss(y, outputs):
        kind = keras.losses.sparse_categorical_crossentropy(y["kind"], outputs[0])
        return ops.mean(kind) + squares(y["size"], outputs[1])

    y = {"kind": (X[:, 0] > 0).astype(int), "size": Y}
    done = fit_copies(
        two, [X, -X], y, loss, rates=(0.1,), copies=2, epochs=40, rng=np.random.default_rng(0)
    )
    kind, size = done.predict([X, -X])
    assert kind.shape == (1, 2, 20, 2)
    assert size.shape == (1, 2, 20, 1)
    assert (kind.argmax(axis=-1) == y["kind"]).mean() > 0.9


def test_refusals():
    rng = np.random.default_rng(0)

    def given(x=X, y=Y, build=build, **changes):
        options = {"rates": (0.1,), "copies": 1, "epochs": 1, "rng": rng} | changes
        return (build, x, y, squares), options

    def with_norm():
        return keras.Sequential([keras.Input((3,)), keras.layers.BatchNormalization()])

    cases = [
        (given(rates=()), ValueError, "`rates` must hold at least one learning rate"),
        (given(rates=0.1), TypeError, "`rates` must be a sequence of numbers"),
        (given(rates=(0.0,)), ValueError, "`rates` must be a finite number > 0"),
        (given(settings={"a": ()}), ValueError, r"`settings\['a'\]` must hold at least one"),
        (given(settings={"a": "b"}), TypeError, r"`settings\['a'\]` must be a sequence"),
        (given(copies=0), ValueError, "`copies` must be an integer >= 1"),
        (given(epochs=0), ValueError, "`epochs` must be an integer >= 1"),
        (given(batch_size=0), ValueError, "`batch_size` must be an integer >= 1"),
        (given(rng=3), TypeError, "`rng` must be"),
        (given(score=squares), ValueError, "`score` and `score_x` must be given together"),
        (given(restore_best=True), ValueError, "`restore_best` must be False, or True with a"),
        (given(y=Y[:5]), ValueError, r"`x` and `y` must have the same number of rows.*\[5, 20\]"),
        (given(build=lambda: 3), TypeError, "`build` must return a built Keras model"),
        (given(build=lambda: keras.Sequential()), TypeError, "`build` must return a built"),
        (given(build=with_norm), ValueError, "whose every variable is trained.*moving_mean"),
    ]
    refusals = [Refusal(args, kwargs, error, words) for (args, kwargs), error, words in cases]
    check_refusals(fit_copies, refusals)
    check_docstring(fit_copies)
    check_docstring(Copies)
