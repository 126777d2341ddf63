"""A model's graph as plain data: its layers, the way through them, and a text that tells it."""

from collections import Counter
from typing import Any, NamedTuple

import keras

from dlnotes.validation import received


class Node(NamedTuple):
    """One call of a layer; a layer that is used twice has two nodes.

    Attributes:
        id: The layer's name; from its second call on with the number of the call, "tower (2)".
        layer: The layer's name.
        type: Its class, such as "Dense", with the activation where there is one: "Dense relu".
        kind: "input", "layer", "shared" (a layer or model called more than once) or "model".
        shape: The shape of what it returns, None where it is left open; a tuple of shapes where
            it returns several things.
        parameters: How many numbers the layer has, the same at each of its calls.
        call: 1 for the first call, 2 for the second, … in the order of the walk from the outputs.
        output: Whether what it returns is an output of the model.
        inner: The graph inside, where the layer is itself a model; else None.
    """

    id: str
    layer: str
    type: str
    kind: str
    shape: tuple[Any, ...]
    parameters: int
    call: int
    output: bool
    inner: "ModelGraph | None"

    @property
    def lines(self) -> tuple[str, str, str]:
        """What is written into the node's box: name, type and parameters, shape."""
        count = f" · {self.parameters:,}" if self.parameters else ""
        if self.kind == "shared" and self.parameters and self.call > 1:
            count = " · the same"
        return self.id, self.type + count, _shape_text(self.shape)


class ModelGraph(NamedTuple):
    """What `model_graph` returns.

    Attributes:
        name: The model's name.
        nodes: The calls of its layers, each after those that it depends on.
        edges: Pairs (from, to) of node ids.
        parameters: How many numbers the model has; what is shared counts once.
    """

    name: str
    nodes: tuple[Node, ...]
    edges: tuple[tuple[str, str], ...]
    parameters: int

    @property
    def drawing(self) -> dict[str, Any]:
        """The arguments of ``dlnotes.plotting.layer_graph``: labels, edges, kinds, outputs."""
        return {
            "labels": {node.id: node.lines for node in self.nodes},
            "edges": self.edges,
            "kinds": {node.id: node.kind for node in self.nodes},
            "outputs": tuple(node.id for node in self.nodes if node.output),
        }

    @property
    def text(self) -> str:
        """The graph in words, for readers who cannot see the picture."""
        calls = Counter(node.layer for node in self.nodes)
        sentences = [
            f"Model {self.name}: {_count(len(calls), 'layer')}, "
            f"{_count(self.parameters, 'parameter')}."
        ]
        for node in self.nodes:
            sources = [start for start, end in self.edges if end == node.id]
            what = f"{node.id} ({node.type}"
            if node.inner is not None:
                what += f" of {_count(len({n.layer for n in node.inner.nodes}), 'layer')}"
            if node.kind == "shared":
                what += f", call {node.call} of {calls[node.layer]}"
            what += f", shape {_shape_text(node.shape)})"
            way = f" from {_listed(sources)}" if sources else ""
            sentences.append(f"{what}{way}{', an output' if node.output else ''}.")
        return " ".join(sentences)


def model_graph(model: keras.Model) -> ModelGraph:
    """Return the graph of a functional or sequential model.

    Args:
        model: A functional model, or a sequential one that knows its input shape.

    Returns:
        Nodes and edges as plain data, for ``dlnotes.plotting.layer_graph(**graph.drawing)`` and,
        as ``graph.text``, in words.

    Raises:
        TypeError: If it is not a Keras model.
        ValueError: If the model has no graph: it is not built, or its ``call`` is Python code.

    Example:
        >>> inputs = keras.Input((3,), name="x")
        >>> layer = keras.layers.Dense(2, name="a")
        >>> graph = model_graph(keras.Model(inputs, layer(inputs), name="m"))
        >>> graph.edges, graph.parameters
        ((('x', 'a'),), 8)
        >>> graph.text
        'Model m: 2 layers, 8 parameters. x (Input, shape 3). a (Dense, shape 2) from x, an output.'
    """
    if not isinstance(model, keras.Model):
        raise TypeError(f"`model` must be a Keras model. {received(model=model)}")
    outputs = _outputs(model)
    if outputs is None:
        raise ValueError(
            "`model` must be functional or sequential, and built: only these keep a graph. "
            f"{received(model=type(model).__name__, built=bool(model.built))}"
        )
    steps: dict[tuple[int, int], tuple[Any, Any]] = {}  # (operation, call) → (operation, its node)
    for tensor in keras.tree.flatten(model.inputs):
        _walk(tensor, steps)
    for tensor in keras.tree.flatten(outputs):
        _walk(tensor, steps)
    ids, seen, calls = {}, Counter(), Counter(op.name for op, _ in steps.values())
    for key, (operation, _) in steps.items():
        seen[operation.name] += 1
        number = seen[operation.name]
        ids[key] = operation.name if number == 1 else f"{operation.name} ({number})"
    ends = {_key(tensor) for tensor in keras.tree.flatten(outputs)}
    nodes, edges = [], []
    for key, (operation, step) in steps.items():
        call = [other for other in steps if other[0] == key[0]].index(key) + 1
        nodes.append(_node(ids[key], operation, step, call, calls[operation.name], key in ends))
        sources = dict.fromkeys(ids[_key(tensor)] for tensor in step.input_tensors)
        edges += [(source, ids[key]) for source in sources]
    return ModelGraph(model.name, tuple(nodes), tuple(edges), model.count_params())


def _outputs(model: keras.Model) -> Any:
    try:
        return model.outputs if model.inputs else None
    except (AttributeError, ValueError):
        return None


def _key(tensor: Any) -> tuple[int, int]:
    history = tensor._keras_history
    return id(history.operation), history.node_index


def _walk(tensor: Any, steps: dict[tuple[int, int], tuple[Any, Any]]) -> None:
    """Add the step that made a tensor, after all steps that lead to it."""
    if _key(tensor) in steps:
        return
    operation = tensor._keras_history.operation
    step = operation._inbound_nodes[tensor._keras_history.node_index]
    for source in step.input_tensors:
        _walk(source, steps)
    steps[_key(tensor)] = (operation, step)


def _node(name: str, operation: Any, step: Any, call: int, calls: int, output: bool) -> Node:
    is_input = isinstance(operation, keras.layers.InputLayer)
    is_model = isinstance(operation, keras.Model)
    is_layer = isinstance(operation, keras.layers.Layer)
    kind = "layer"
    if is_input:
        kind = "input"
    elif calls > 1 and is_layer:
        kind = "shared"
    elif is_model:
        kind = "model"
    shapes = tuple(tuple(tensor.shape[1:]) for tensor in step.output_tensors)
    inner = model_graph(operation) if is_model and _outputs(operation) is not None else None
    kinds = "Input" if is_input else "Model" if is_model else type(operation).__name__
    activation = getattr(getattr(operation, "activation", None), "__name__", "linear")
    if activation != "linear" and activation.lower() != kinds.lower():
        kinds = f"{kinds} {activation}"
    parameters = operation.count_params() if is_layer else 0
    shape = shapes[0] if len(shapes) == 1 else shapes
    return Node(name, operation.name, kinds, kind, shape, parameters, call, output, inner)


def _shape_text(shape: tuple[Any, ...]) -> str:
    if shape and isinstance(shape[0], tuple):
        return ", ".join(_shape_text(part) for part in shape)
    return " × ".join("?" if length is None else str(length) for length in shape) or "1 number"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
