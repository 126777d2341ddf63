import numpy as np
import pytest
from contracts import Refusal, check_docstring, check_refusals
from hypothesis import given, settings
from hypothesis import strategies as st

from dlnotes.runtime import quiet_start, seed
from dlnotes.scratch import softmax

with quiet_start():
    import keras
    import tensorflow as tf

    from dlnotes.training import Distiller, distillation_losses, soft_targets

DRAW = np.random.default_rng(0)
X = DRAW.normal(size=(12, 3)).astype("float32")
Y = DRAW.integers(4, size=12)


@pytest.fixture(autouse=True)
def eager(request):
    """Run without graphs, which cost a second each; tests with "graph" in the name have them."""
    tf.config.run_functions_eagerly("graph" not in request.node.name)
    yield
    tf.config.run_functions_eagerly(False)


def build(units, activation="softmax", **options):
    layers = [
        keras.layers.Dense(units, "tanh", name="hidden", **options),
        keras.layers.Dense(4, activation, name="output"),
    ]
    return keras.Sequential([keras.Input((3,)), *layers], name=f"units_{units}")


def distiller(activation="softmax", optimizer=None, **options):
    seed(1)
    options = {"from_logits": activation is None} | options
    model = Distiller(build(5, activation), build(9, activation), **options)
    model.compile(optimizer or keras.optimizers.SGD(0.1), metrics=["accuracy"])
    return model


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 4), st.integers(2, 6), st.floats(0.5, 10), st.integers(0, 99))
def test_losses_are_those_of_the_formula(rows, classes, temperature, number):
    draw = np.random.default_rng(number)
    z, v = 3 * draw.normal(size=(2, rows, classes))  # the scores of student and teacher
    q, p = softmax(z / temperature), softmax(v / temperature)
    np.testing.assert_allclose(soft_targets(softmax(z), temperature), q, atol=1e-6)
    expected = temperature**2 * (p * (np.log(p) - np.log(q))).sum(axis=1)
    losses = distillation_losses(softmax(z), softmax(v), temperature)
    np.testing.assert_allclose(losses, expected, rtol=1e-4, atol=2e-5)


def test_certain_answers_give_finite_losses():
    p = np.array([[1.0, 0.0], [0.0, 1.0]])
    losses = np.asarray(distillation_losses(p, p[::-1], 1.0))
    assert np.isfinite(losses).all()
    assert (losses > 10).all()


@pytest.mark.parametrize("activation", ["softmax", None])
def test_a_step_is_that_of_the_distiller_of_keras(activation):
    ours = distiller(None, temperature=3.0, label_weight=0.25)
    student, teacher = build(5, None), build(9, None)
    student.set_weights(ours.student.get_weights())
    teacher.set_weights(ours.teacher.get_weights())
    theirs = keras.distillation.Distiller(
        teacher,
        student,
        # not the default "kl_divergence", which Keras 3.15 takes of the raw scores
        keras.distillation.LogitsDistillation(temperature=3.0, loss=keras.losses.KLDivergence()),
        student_loss_weight=0.25,
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    theirs.compile(keras.optimizers.SGD(0.1), loss)
    if activation == "softmax":  # the same scores, given as probabilities
        ours_p = distiller(temperature=3.0, label_weight=0.25)
        ours_p.set_weights(ours.get_weights())
        ours = ours_p
    options = {"epochs": 3, "batch_size": 6, "shuffle": False, "verbose": 0}
    expected = theirs.fit(X, Y, **options).history
    history = ours.fit(X, Y, **options).history
    assert history["loss"] == pytest.approx(expected["total_loss"], rel=1e-5)
    assert history["label_loss"] == pytest.approx(expected["student_loss"], rel=1e-5)
    assert history["teacher_loss"] == pytest.approx(expected["distillation_loss"], rel=1e-5)
    for a, b in zip(ours.student.get_weights(), student.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_the_teacher_stands_still_and_the_student_comes_close_to_it():
    model = distiller(optimizer=keras.optimizers.Adam(0.1))
    teacher = [w.copy() for w in model.teacher.get_weights()]
    history = model.fit(X, Y, epochs=15, verbose=0).history
    assert history["teacher_loss"][-1] < 0.3 * history["teacher_loss"][0]
    for a, b in zip(model.teacher.get_weights(), teacher, strict=True):
        np.testing.assert_array_equal(a, b)
    assert len(model.optimizer.variables) == 2 + 2 * len(model.student.weights)


@pytest.mark.parametrize(("weight", "same"), [(0.0, True), (0.5, False)])
def test_labels_have_no_influence_without_a_weight(weight, same):
    ends = []
    for labels in (Y, (Y + 1) % 4):
        model = distiller(label_weight=weight)
        model.fit(X, labels, epochs=2, shuffle=False, verbose=0)
        ends.append(model.student.get_weights())
    assert all(np.array_equal(a, b) for a, b in zip(*ends, strict=True)) == same


def test_a_loss_that_is_not_used_is_not_reported_and_one_hot_labels_are_refused():
    assert set(distiller().fit(X, Y, verbose=0).history) == {"accuracy", "loss", "teacher_loss"}
    model = distiller(label_weight=0.5)
    assert "label_loss" in model.fit(X, Y[:, None], verbose=0).history
    with pytest.raises(ValueError, match="`y` must be class numbers, not one-hot"):
        model.fit(X, np.eye(4)[Y], verbose=0)


def test_weights_of_rows_and_penalties_enter_the_loss():
    student = build(5, kernel_regularizer=keras.regularizers.L2(0.3))
    model = Distiller(student, build(9), label_weight=0.5, temperature=2.0)
    weights = np.arange(12.0)
    p, taught = model.student(X), model.teacher(X)
    rows = 0.5 * distillation_losses(p, taught, 2.0) - 0.5 * np.log(np.asarray(p)[range(12), Y])
    penalty = 0.3 * (model.student.get_layer("hidden").get_weights()[0] ** 2).sum()
    loss = model.compute_loss(X, Y, p, weights)
    np.testing.assert_allclose(loss, np.mean(weights * rows) + penalty, rtol=1e-5)


def test_it_saves_reloads_and_goes_on_in_a_graph(tmp_path):
    model = distiller(temperature=2.0, label_weight=0.5)
    model.fit(X, Y, verbose=0)
    model.save(tmp_path / "distiller.keras")
    again = keras.models.load_model(tmp_path / "distiller.keras", safe_mode=True)
    np.testing.assert_allclose(again(X), model(X), atol=1e-6)
    np.testing.assert_allclose(again.teacher(X), model.teacher(X), atol=1e-6)
    assert (again.temperature, again.label_weight, again.from_logits) == (2.0, 0.5, False)
    assert not again.teacher.trainable
    options = {"shuffle": False, "verbose": 0}
    assert again.fit(X, Y, **options).history["loss"] == pytest.approx(
        model.fit(X, Y, **options).history["loss"], rel=1e-5
    )
    assert again.evaluate(X, Y, verbose=0)[0] < 10


def test_mixed_precision():
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = distiller(optimizer=keras.optimizers.Adam(0.1))
        history = model.fit(X, Y, epochs=6, verbose=0).history
    finally:
        keras.config.set_dtype_policy(before)
    assert history["teacher_loss"][-1] < 0.8 * history["teacher_loss"][0]


def test_refusals():
    other = keras.Sequential([keras.Input((3,)), keras.layers.Dense(3, "softmax")])
    one = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, "sigmoid")])
    student, teacher = build(5), build(9)
    cases = [
        (
            (student, other),
            {},
            ValueError,
            r"`student` must answer as the teacher does.*\(None, 3\)",
        ),
        (
            (student, keras.Sequential([keras.Input((2,)), keras.layers.Dense(4, "softmax")])),
            {},
            ValueError,
            r"`student` must take what the teacher takes.*\(None, 2\)",
        ),
        ((one, one), {}, ValueError, "`student` must be another model"),
        ((one, keras.models.clone_model(one)), {}, ValueError, "with K >= 2"),
        ((student, keras.Sequential()), {}, ValueError, "`teacher` must be built"),
        ((student, "teacher"), {}, TypeError, "`teacher` must be a Keras model"),
        ((student, teacher), {"temperature": 0}, ValueError, "`temperature` must be .* > 0"),
        ((student, teacher), {"label_weight": 2}, ValueError, "`label_weight` must be"),
        ((student, teacher), {"from_logits": 1}, TypeError, "`from_logits` must be True or"),
    ]
    check_refusals(Distiller, [Refusal(*case) for case in cases])
    check_docstring(Distiller)
    check_docstring(soft_targets)
    check_docstring(distillation_losses)
