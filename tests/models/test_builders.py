import numpy as np
import pytest
from contracts import Refusal, check_builder_contract

from dlnotes.runtime import quiet_start

with quiet_start():
    import keras

    from dlnotes.models import build_mlp, build_perceptron

SHAPE = "`input_shape` must be a tuple of positive integers. Received: input_shape="
UNITS = "`hidden_units` must be a tuple of positive integers. Received: hidden_units="
SHARED_REFUSALS = [
    (lambda *more: ("2", *more), {}, TypeError, SHAPE),
    (lambda *more: (2, *more), {}, TypeError, SHAPE),
    (lambda *more: ((), *more), {}, ValueError, "`input_shape` must have at least one axis"),
    (lambda *more: ((0,), *more), {}, ValueError, SHAPE + r"\(0,\)"),
    (lambda *more: ((2.0,), *more), {}, TypeError, SHAPE),
    (lambda *more: ((None, 2), *more), {}, TypeError, SHAPE + r"\(None, 2\)"),
    (lambda *more: ((2,), *more), {"activation": "bent"}, ValueError, "that Keras knows.*'bent'"),
    (lambda *more: ((2,), *more), {"activation": abs}, TypeError, "`activation` must be the name"),
    (lambda *more: ((2,), *more), {"name": ""}, ValueError, "`name` must not be empty"),
    (lambda *more: ((2,), *more), {"name": 1}, TypeError, "`name` must be a text"),
]


def refusals(*more):
    return [Refusal(args(*more), kwargs, error, m) for args, kwargs, error, m in SHARED_REFUSALS]


def layer_facts(model):
    return [
        (layer.name, layer.units, layer.activation.__name__)
        for layer in model.layers
        if isinstance(layer, keras.layers.Dense)
    ]


def test_perceptron_keeps_the_builder_contract():
    model = check_builder_contract(
        build_perceptron,
        [(2,)],
        refusals=[
            *refusals(),
            Refusal(((2, 2),), {}, ValueError, r"`input_shape` must be \(features,\)"),
        ],
    )
    assert model.name == "perceptron"
    assert model.input_shape == (None, 2)
    assert layer_facts(model) == [("neuron", 1, "sigmoid")]
    assert model.count_params() == 3


def test_perceptron_computes_what_its_formula_says():
    model = build_perceptron((2,))
    model.get_layer("neuron").set_weights([np.array([[2.0], [-1.0]]), np.array([0.5])])
    x = np.array([[1.0, 1.0], [0.0, 3.0]])
    expected = 1 / (1 + np.exp(-(x @ [2.0, -1.0] + 0.5)))
    np.testing.assert_allclose(np.ravel(model(x)), expected, atol=1e-6)
    assert layer_facts(build_perceptron((2,), activation="linear")) == [("neuron", 1, "linear")]


MLP_REFUSALS = [
    *refusals(3),
    Refusal(((2,), 0), {}, ValueError, "`num_classes` must be an integer >= 1"),
    Refusal(((2,), 2.0), {}, TypeError, "`num_classes` must be an integer"),
    Refusal(((2,), 3), {"hidden_units": 8}, TypeError, UNITS + "8"),
    Refusal(((2,), 3), {"hidden_units": (8, 0)}, ValueError, UNITS + r"\(8, 0\)"),
    Refusal(((2,), 3), {"hidden_units": (8.0,)}, TypeError, UNITS + r"\(8.0,\)"),
    Refusal(((2,), 3), {"output_activation": "x"}, ValueError, "`output_activation` must be an a"),
]


def test_mlp_keeps_the_builder_contract():
    model = check_builder_contract(build_mlp, [(4,), 3], refusals=MLP_REFUSALS)
    assert model.name == "mlp"
    assert layer_facts(model) == [
        ("hidden_1", 64, "relu"),
        ("hidden_2", 64, "relu"),
        ("output", 3, "softmax"),
    ]


@pytest.mark.parametrize(
    ("sizes", "parameters"), [((3, 4, 2), 26), ((2, 2, 1), 9), ((2, 5, 5, 3), 63)]
)
def test_mlp_counts_its_parameters_as_the_formula_does(sizes, parameters):
    first, *hidden, last = sizes
    assert build_mlp((first,), last, hidden_units=hidden).count_params() == parameters


def test_mlp_chooses_the_output_by_the_number_of_classes():
    assert layer_facts(build_mlp((2,), 1))[-1] == ("output", 1, "sigmoid")
    assert layer_facts(build_mlp((2,), 2))[-1] == ("output", 2, "softmax")
    scores = build_mlp((2,), 1, output_activation="linear", activation="tanh", hidden_units=(4,))
    assert layer_facts(scores) == [("hidden_1", 4, "tanh"), ("output", 1, "linear")]


def test_mlp_flattens_pictures_and_can_do_without_hidden_layers():
    model = check_builder_contract(build_mlp, [(8, 8), 10], {"hidden_units": ()})
    assert [layer.name for layer in model.layers] == ["features", "flatten", "output"]
    assert model.output_shape == (None, 10)
    assert model.count_params() == 650
