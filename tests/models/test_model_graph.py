import numpy as np
import pytest
from contracts import Refusal, check_docstring, check_refusals

from dlnotes.runtime import quiet_start

with quiet_start():
    import keras
    from keras.layers import Add, Concatenate, Dense, Input, Subtract

    from dlnotes.models import build_mlp, build_wide_deep, model_graph
    from dlnotes.models import graph as graph_module


def shapes(graph):
    return {node.id: node.shape for node in graph.nodes}


def kinds(graph):
    return {node.id: node.kind for node in graph.nodes}


def pair(shared=True):
    sides = [Input((4,), name="left"), Input((4,), name="right")]
    towers = [keras.Sequential([Dense(3), Dense(2)], name=name) for name in ("tower", "other")]
    a, b = towers[0](sides[0]), towers[0 if shared else 1](sides[1])
    gap = keras.layers.Activation("relu", name="bend")(Subtract(name="minus")([a, b]))
    return keras.Model(sides, Dense(1, name="same")(gap), name="pair")


def test_a_line_of_layers():
    graph = model_graph(build_mlp((2, 2), 3, hidden_units=(5,)))
    names = ("features", "flatten", "hidden_1", "output")
    assert tuple(node.id for node in graph.nodes) == names
    assert graph.edges == (("features", "flatten"), ("flatten", "hidden_1"), ("hidden_1", "output"))
    assert shapes(graph) == {"features": (2, 2), "flatten": (4,), "hidden_1": (5,), "output": (3,)}
    assert [node.parameters for node in graph.nodes] == [0, 0, 25, 18]
    assert graph.parameters == 43
    assert [node.output for node in graph.nodes] == [False, False, False, True]


def test_several_inputs_and_outputs():
    graph = model_graph(build_wide_deep((5,), (3,), 1, hidden_units=(4,), auxiliary_output=True))
    assert set(graph.edges) == {
        ("deep", "hidden_1"),
        ("wide", "wide_and_deep"),
        ("hidden_1", "wide_and_deep"),
        ("wide_and_deep", "output"),
        ("hidden_1", "auxiliary"),
    }
    assert [node.id for node in graph.nodes if node.output] == ["output", "auxiliary"]
    assert [node.id for node in graph.nodes if node.kind == "input"] == ["wide", "deep"]


def test_each_call_of_a_shared_layer_is_a_node_and_counts_once():
    model = pair()
    graph = model_graph(model)
    assert [node.id for node in graph.nodes if node.kind == "shared"] == [
        "tower",
        "tower (2)",
    ]
    assert ("left", "tower") in graph.edges
    assert ("right", "tower (2)") in graph.edges
    assert graph.parameters == model.count_params() == 15 + 8 + 3
    assert "shared" not in kinds(model_graph(pair(shared=False))).values()


def test_calls_outside_the_model_do_not_count():
    inputs, layer = Input((2,), name="x"), Dense(2, name="twice")
    layer(layer(inputs))  # another use, in no model
    graph = model_graph(keras.Model(inputs, layer(inputs)))
    assert kinds(graph) == {"x": "input", "twice": "layer"}
    deeper = model_graph(keras.Model(inputs, layer(layer(inputs))))
    assert deeper.edges == (("x", "twice"), ("twice", "twice (2)"))


def test_a_model_within_keeps_its_own_graph():
    inputs = Input((4,), name="x")
    inner = build_mlp((4,), 2, hidden_units=(3,), name="inner")
    graph = model_graph(keras.Model(inputs, Dense(1, name="y")(inner(inputs)), name="outer"))
    node = graph.nodes[1]
    assert (node.id, node.kind, node.type, node.parameters) == ("inner", "model", "Model", 23)
    assert node.inner == model_graph(inner)
    assert graph.edges == (("x", "inner"), ("inner", "y"))
    again = model_graph(inner)  # its calls elsewhere leave no trace
    assert again.edges == (("features", "hidden_1"), ("hidden_1", "output"))


def test_skip_connections_operations_and_sequential_models():
    x = Input((3,), name="x")
    h = Add(name="sum")([x, Dense(3, name="a")(x)])
    h = Concatenate(name="all")([x, h])
    graph = model_graph(keras.Model(x, h * 2.0))
    assert ("x", "sum") in graph.edges
    assert ("x", "all") in graph.edges
    assert graph.nodes[-1].type == "Multiply"
    line = keras.Sequential([Input((3,), name="x"), Dense(2, name="y")], name="s")
    assert model_graph(line).edges == (("x", "y"),)


def test_many_ways_do_not_multiply_the_work(monkeypatch):
    x = Input((2,), name="x")
    h = x
    for index in range(12):
        h = Add(name=f"sum_{index}")([h, Dense(2, name=f"d_{index}")(h)])  # 2^12 ways
    calls, key = [], graph_module._key
    monkeypatch.setattr(graph_module, "_key", lambda tensor: calls.append(1) or key(tensor))
    assert len(model_graph(keras.Model(x, h)).nodes) == 25
    assert len(calls) < 500


def test_an_open_length_and_several_results():
    x = Input((None, 3), name="x")
    outputs, *state = keras.layers.LSTM(2, return_state=True, name="lstm")(x)
    graph = model_graph(keras.Model(x, [outputs, *state]))
    assert graph.nodes[1].lines == ("lstm", "LSTM tanh · 48", "2, 2, 2")
    assert graph.nodes[0].lines == ("x", "Input", "? × 3")
    assert graph.edges == (("x", "lstm"),)


def test_the_text_tells_the_whole_graph():
    assert model_graph(pair()).text == (
        "Model pair: 6 layers, 26 parameters. left (Input, shape 4). right (Input, shape 4). "
        "tower (Model of 3 layers, call 1 of 2, shape 2) from left. "
        "tower (2) (Model of 3 layers, call 2 of 2, shape 2) from right. "
        "minus (Subtract, shape 2) from tower and tower (2). "
        "bend (Activation relu, shape 2) from minus. same (Dense, shape 1) from bend, an output."
    )


def test_the_boxes_tell_what_is_shared():
    lines = model_graph(pair()).drawing["labels"]
    assert lines["tower"] == ("tower", "Model · 23", "2")
    assert lines["tower (2)"] == ("tower (2)", "Model · the same", "2")
    assert model_graph(pair()).drawing["outputs"] == ("same",)


def test_models_without_a_graph_are_refused():
    class Coded(keras.Model):
        def call(self, x):
            return x

    coded = Coded()
    coded(np.zeros((1, 2)))
    functional = r"`model` must be functional or sequential.*Received: model="
    refusals = [
        Refusal(("model",), {}, TypeError, "`model` must be a Keras model"),
        Refusal((coded,), {}, ValueError, functional + "'Coded'"),
        Refusal((keras.Sequential([Dense(2)]),), {}, ValueError, functional + "'Sequential'"),
    ]
    check_refusals(model_graph, refusals)
    check_docstring(model_graph)


@pytest.mark.parametrize("activation", ["relu", "linear"])
def test_an_activation_is_named_unless_it_does_nothing(activation):
    model = build_mlp((2,), 1, hidden_units=(), output_activation=activation)
    assert (
        model_graph(model).nodes[-1].type == {"relu": "Dense relu", "linear": "Dense"}[activation]
    )
