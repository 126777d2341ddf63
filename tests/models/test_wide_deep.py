import numpy as np
import pytest
from contracts import Refusal, check_builder_contract

from dlnotes.runtime import quiet_start

with quiet_start():
    import keras

    from dlnotes.models import build_mlp, build_wide_deep

LINEAR = {"output_activation": "linear"}


def rows(*widths, count=6):
    draw = np.random.default_rng(0)
    return [draw.normal(size=(count, width)).astype("float32") for width in widths]


REFUSALS = [
    Refusal(("2", (3,), 1), {}, TypeError, "`wide_shape` must be a tuple"),
    Refusal(((2,), (0,), 1), {}, ValueError, r"`deep_shape` must be .*\(0,\)"),
    Refusal(((2,), (), 1), {}, ValueError, "`deep_shape` must have at least one axis"),
    Refusal(((2,), (3,), 0), {}, ValueError, "`num_classes` must be an integer >= 1"),
    Refusal(((2,), (3,), 1), {"hidden_units": ()}, ValueError, "`hidden_units` must name at least"),
    Refusal(((2,), (3,), 1), {"hidden_units": 4}, TypeError, "`hidden_units` must be a tuple"),
    Refusal(((2,), (3,), 1), {"activation": "bent"}, ValueError, "`activation` must be .*'bent'"),
    Refusal(((2,), (3,), 1), {"output_activation": 3}, TypeError, "`output_activation` must be"),
    Refusal(((2,), (3,), 1), {"auxiliary_output": 1}, TypeError, "`auxiliary_output` must be True"),
    Refusal(((2,), (3,), 1), {"name": ""}, ValueError, "`name` must not be empty"),
]


def test_it_keeps_the_builder_contract():
    model = check_builder_contract(build_wide_deep, [(5,), (3,), 1], refusals=REFUSALS)
    assert model.name == "wide_deep"
    assert [layer.name for layer in model.layers if layer.weights] == [
        "hidden_1",
        "hidden_2",
        "output",
    ]


@pytest.mark.parametrize("classes", [1, 3])
def test_with_an_auxiliary_output_it_keeps_the_contract_too(classes):
    options = {"auxiliary_output": True, "hidden_units": (4,)}
    model = check_builder_contract(build_wide_deep, [(5,), (2, 3), classes], options)
    assert model.output_names == ["output", "auxiliary"]
    assert [tuple(tensor.shape) for tensor in model.outputs] == [(None, classes)] * 2
    # 6·4 + 4 hidden, (5 + 4 + 1) and (4 + 1) for each output unit
    assert model.count_params() == 28 + 15 * classes


def test_it_computes_the_formula():
    model = build_wide_deep((2,), (3,), 1, hidden_units=(4,), activation="tanh", **LINEAR)
    kernel, bias, weights, shift = model.get_weights()
    wide, deep = rows(2, 3)
    bias = bias + np.array([0.1, -0.2, 0.3, 0.4])
    shift = shift + 0.7
    model.set_weights([kernel, bias, weights, shift])
    expected = wide @ weights[:2] + np.tanh(deep @ kernel + bias) @ weights[2:] + shift
    np.testing.assert_allclose(model([wide, deep]), expected, atol=1e-6)
    np.testing.assert_allclose(model({"deep": deep, "wide": wide}), expected, atol=1e-6)


def test_its_parts_alone_are_a_linear_model_and_a_network():
    model = build_wide_deep((2,), (3,), 2, hidden_units=(4,))
    kernel, bias, weights, shift = model.get_weights()
    wide, deep = rows(2, 3)
    network = build_mlp((3,), 2, hidden_units=(4,))
    network.set_weights([kernel, bias, weights[2:], shift])
    np.testing.assert_allclose(model([0 * wide, deep]), network(deep), atol=1e-6)
    line = build_mlp((2,), 2, hidden_units=())
    line.set_weights([weights[:2], shift])
    model.set_weights([kernel, bias, weights * np.array([[1], [1], [0], [0], [0], [0]]), shift])
    np.testing.assert_allclose(model([wide, deep]), line(wide), atol=1e-6)


def test_the_auxiliary_output_does_not_see_the_wide_input():
    model = build_wide_deep((2,), (3,), 1, auxiliary_output=True)
    wide, deep = rows(2, 3)
    before, after = model([wide, deep]), model([wide + 1, deep])
    assert np.abs(np.asarray(before[0]) - after[0]).max() > 1e-3
    np.testing.assert_array_equal(before[1], after[1])


def test_under_mixed_precision_it_answers_and_adds_wide_features_in_float32():
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = build_wide_deep((2,), (3,), 1, auxiliary_output=True, **LINEAR)
    finally:
        keras.config.set_dtype_policy(policy)
    wide, deep = rows(2, 3)
    wide = np.full_like(wide, 1e5)  # infinite in float16
    outputs = model([wide, deep])
    assert [keras.backend.standardize_dtype(part.dtype) for part in outputs] == ["float32"] * 2
    assert {variable.dtype for variable in model.variables} == {"float32"}
    assert model.get_layer("hidden_1").compute_dtype == "float16"
    exact = build_wide_deep((2,), (3,), 1, auxiliary_output=True, **LINEAR)
    exact.set_weights(model.get_weights())
    for part, other in zip(outputs, exact([wide, deep]), strict=True):
        np.testing.assert_allclose(part, other, rtol=1e-4, atol=0.02)
