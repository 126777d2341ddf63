import numpy as np
import pytest
from contracts import Refusal, check_docstring, check_refusals

from dlnotes import explain
from dlnotes.runtime import quiet_start

with quiet_start():
    import keras

    from dlnotes.explain import ImageClassifier, score_gradient
    from dlnotes.explain.scores import replaced

layers = keras.layers
X = np.random.default_rng(1).random((3, 4, 4, 1)).astype("float32")


def classifier(*ends, units=3, activation=None):
    keras.utils.set_random_seed(2)
    dense = layers.Dense(units, activation=activation, name="dense")
    return keras.Sequential([keras.Input((4, 4, 1)), layers.Flatten(), dense, *ends])


def logits_of(model):
    kernel, bias = model.get_layer("dense").get_weights()
    return X.reshape(3, 16) @ kernel + bias


class Hidden(keras.Model):
    """A model that does not show what its outputs are."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def call(self, x):
        return self.inner(x)


@pytest.mark.parametrize(
    "model",
    [
        classifier(),
        classifier(activation="softmax"),
        classifier(layers.Softmax()),
        classifier(layers.Activation("softmax")),
        classifier(layers.Activation("linear", dtype="float32"), activation="softmax"),
        classifier(layers.Softmax(), layers.Identity(), layers.Activation(None)),
        classifier(layers.Activation("linear")),
    ],
    ids=[
        "linear",
        "softmax units",
        "Softmax layer",
        "Activation layer",
        "softmax units, then linear",
        "Softmax layer, then two that pass on",
        "linear, then linear",
    ],
)
def test_scores_are_what_goes_into_softmax(model):
    before = np.asarray(model(X))
    np.testing.assert_allclose(ImageClassifier(model).scores(X), logits_of(model), rtol=1e-5)
    np.testing.assert_array_equal(model(X), before)  # the model itself is as it was


def test_the_head_is_found_through_nested_models_and_wrappers():
    inner = classifier(activation="softmax")
    around = keras.Sequential([keras.Input((4, 4, 1)), layers.Rescaling(1.0), inner])
    np.testing.assert_allclose(ImageClassifier(around).scores(X), logits_of(inner), rtol=1e-5)
    cast = keras.Sequential([around, layers.Activation("linear", dtype="float32")])
    np.testing.assert_allclose(ImageClassifier(cast).scores(X), logits_of(inner), rtol=1e-5)


def test_each_use_of_a_passing_layer_leads_to_its_own_input():
    passing, inner = layers.Activation("linear"), classifier(activation="softmax")
    inputs = keras.Input((4, 4, 1))
    model = keras.Model(inputs, passing(inner(passing(inputs))))
    np.testing.assert_allclose(ImageClassifier(model).scores(X), logits_of(inner), rtol=1e-5)


@pytest.mark.parametrize("softmax", [layers.Softmax(name="both"), layers.Dense(3, "softmax")])
def test_a_head_that_is_used_twice_is_refused(softmax):
    inputs = keras.Input((4, 4, 1))
    hidden = softmax(layers.Dense(3)(layers.Flatten()(inputs)))
    model = keras.Model(inputs, softmax(layers.Dense(3)(hidden)))
    before = np.asarray(model(X))
    with pytest.raises(ValueError, match=rf"once.*layer='{softmax.name}', uses=2"):
        ImageClassifier(model).scores(X)
    np.testing.assert_array_equal(model(X), before)
    scores = ImageClassifier(model, from_logits=False).scores(X)
    np.testing.assert_allclose(scores, np.log(before), rtol=1e-5)


@pytest.mark.parametrize("activation", ["linear", "sigmoid"])
def test_one_unit_counts_as_two_scores_whose_softmax_is_its_sigmoid(activation):
    model = classifier(units=1, activation=activation)
    scores = np.asarray(ImageClassifier(model).scores(X))
    probability = 1 / (1 + np.exp(-logits_of(model)[:, 0]))
    np.testing.assert_allclose(keras.ops.softmax(scores)[:, 1], probability, rtol=1e-5)
    np.testing.assert_allclose(scores.sum(axis=1), 0, atol=1e-6)


def test_what_cannot_be_seen_must_be_told():
    hidden = Hidden(classifier(activation="softmax"))
    hidden(X)
    with pytest.raises(ValueError, match=r"from_logits=….*activation='unknown'"):
        ImageClassifier(hidden)
    scores = np.asarray(ImageClassifier(hidden, from_logits=False).scores(X))
    np.testing.assert_allclose(scores, np.log(hidden(X)), rtol=1e-5)
    slope = score_gradient(ImageClassifier(hidden, from_logits=True), X, 1)
    assert slope.shape == X.shape
    assert np.abs(slope).max() > 0


def test_a_probability_of_zero_gives_a_finite_score():
    model = classifier(activation="softmax")
    model.get_layer("dense").bias.assign([0.0, 0.0, 1e4])
    scores = np.asarray(ImageClassifier(model, from_logits=False).scores(X))
    assert np.isfinite(scores).all()
    assert scores.argmax(axis=1).tolist() == [2, 2, 2]


def test_one_probability_makes_two_scores():
    model = classifier(units=1, activation="sigmoid")
    scores = np.asarray(ImageClassifier(model, from_logits=False).scores(X))
    np.testing.assert_allclose(np.exp(scores).sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(np.exp(scores[:, 1]), np.asarray(model(X))[:, 0], rtol=1e-5)


def test_scores_are_float32_under_mixed_precision_and_dropout_is_off():
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = classifier(layers.Dropout(0.5), layers.Dense(3))
    finally:
        keras.config.set_dtype_policy(policy)
    scores = ImageClassifier(model).scores(X)
    assert keras.backend.standardize_dtype(scores.dtype) == "float32"
    np.testing.assert_array_equal(scores, ImageClassifier(model).scores(X))


def test_the_usual_end_under_mixed_precision_gives_scores_and_not_probabilities():
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = classifier(layers.Activation("linear", dtype="float32"), activation="softmax")
    finally:
        keras.config.set_dtype_policy(policy)
    np.testing.assert_allclose(ImageClassifier(model).scores(X), logits_of(model), atol=0.01)
    compiled = ImageClassifier(model, compiled=True)
    kernel = model.get_layer("dense").get_weights()[0][:, 1].reshape(4, 4, 1)
    np.testing.assert_allclose(score_gradient(compiled, X, 1), [kernel] * 3, atol=0.01)


def test_compiled_gradients_follow_new_weights_and_any_number_of_pictures():
    model = classifier(activation="softmax")
    compiled = ImageClassifier(model, compiled=True)
    for count in (3, 1, 2):
        np.testing.assert_allclose(
            score_gradient(compiled, X[:count], 1), score_gradient(model, X[:count], 1), rtol=1e-5
        )
    model.get_layer("dense").kernel.assign(np.ones((16, 3)))
    np.testing.assert_allclose(score_gradient(compiled, X, 1), 1, rtol=1e-6)


def test_replaced_gives_back_what_was_there_also_after_an_error():
    layer = layers.Dense(2, activation="relu")

    def fails():
        with replaced(layer, activation=None, call=None):
            assert layer.activation is None
            raise KeyError

    with pytest.raises(KeyError):
        fails()
    assert layer.activation is keras.activations.relu
    assert "call" not in vars(layer)
    assert layer(np.ones((1, 3))).shape == (1, 2)


def test_refusals():
    two = keras.Model(i := keras.Input((4, 4, 1)), [layers.Flatten()(i), layers.Flatten()(i)])
    maps = keras.Sequential([keras.Input((4, 4, 1)), layers.Conv2D(2, 3)])
    check_refusals(
        ImageClassifier,
        [
            Refusal(("cnn",), {}, TypeError, "`model` must be a Keras model"),
            Refusal((classifier(),), {"from_logits": 1}, TypeError, "True, False or None"),
            Refusal((classifier(),), {"compiled": 1}, TypeError, "`compiled` must be True"),
            Refusal((two,), {}, ValueError, "one output of shape"),
            Refusal((maps,), {}, ValueError, "one output of shape"),
            Refusal((classifier(activation="sigmoid"),), {}, ValueError, "must end in linear"),
            Refusal((classifier(activation="relu"),), {}, ValueError, "activation='relu', units=3"),
            Refusal((classifier(units=1, activation="softmax"),), {}, ValueError, "units=1"),
            Refusal(
                (classifier(layers.Activation("linear"), activation="relu"),),
                {},
                ValueError,
                "activation='relu', units=3",
            ),
            Refusal(
                (classifier(layers.Rescaling(2.0), layers.Identity(), activation="softmax"),),
                {},
                ValueError,
                "activation='unknown', units=3",
            ),
        ],
    )


def test_pictures_and_classes_are_checked():
    model = classifier()
    check_refusals(
        score_gradient,
        [
            Refusal((model, X[0, ..., 0]), {}, ValueError, r"\(B, 4, 4, 1\) \(x\[None"),
            Refusal((model, X[..., 0]), {}, ValueError, r"x\[..., None\]"),
            Refusal((model, X[:, :3]), {}, ValueError, r"x.shape=\(3, 3, 4, 1\)"),
            Refusal((model, "pictures"), {}, TypeError, "`x` must be an array of numbers"),
            Refusal((model, X, [0, 1, 3]), {}, ValueError, "class numbers 0 to 2"),
            Refusal((model, X, [0, 1]), {}, ValueError, "one number for each of the 3 pictures"),
            Refusal((model, X, 0.5), {}, ValueError, "class numbers 0 to 2"),
        ],
    )


def test_a_model_without_a_gradient_is_refused():
    rounded = keras.Sequential([keras.Input((4, 4, 1), dtype="int32"), layers.Flatten()])
    model = keras.Model(rounded.inputs[0], layers.Dense(2)(rounded.outputs[0]))
    with pytest.raises(ValueError, match=r"operations with a gradient.*int32"):
        score_gradient(model, np.ones((1, 4, 4, 1), "int32"), 0)


def test_docstrings_and_names():
    for module, names in explain.WITH_KERAS.items():
        for name in names:
            found = getattr(explain, name)
            assert found.__module__ == f"dlnotes.explain.{module}"
            check_docstring(found)
    assert sorted(explain.__all__) == sorted(sum(explain.WITH_KERAS.values(), ()))
    with pytest.raises(AttributeError, match="'dlnotes.explain' has no attribute 'lime'"):
        _ = explain.lime
