"""Contracts that every part of the package keeps, as functions to call from its tests.

Each raises AssertionError and says what was broken. tests/test_contracts.py proves that each of
them fails on an example that breaks it.
"""

import contextlib
import dataclasses
import inspect
import math
import os
import random
import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import numpy as np


class Refusal(NamedTuple):
    """A call that must be refused: with which error, and words of its message (a pattern)."""

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    error: type[Exception]
    match: str


def check_docstring(obj: Any) -> None:
    """Require Google style: a summary line, then a blank one; `Args` names the real arguments.

    For a class, its public methods and properties are checked too.
    """
    name = getattr(obj, "__qualname__", repr(obj))
    text = inspect.cleandoc(obj.__doc__ or "")
    assert text, f"{name} has no docstring"
    lines = text.splitlines()
    assert lines[0].endswith((".", "…")), f"{name}: the summary must be one line ending in a stop"
    assert len(lines) == 1 or not lines[1].strip(), f"{name}: a blank line must follow the summary"
    documented = _documented_arguments(text)
    if documented:
        actual = _argument_names(obj)
        assert documented == actual, f"{name}: Args lists {documented}, the signature {actual}"
    if inspect.isclass(obj):
        for member_name, member in vars(obj).items():
            inherited = any(hasattr(base, member_name) for base in obj.__mro__[1:])
            if member_name.startswith("_") or inherited:
                continue
            if isinstance(member, staticmethod | classmethod):
                member = member.__func__
            if inspect.isfunction(member) or isinstance(member, property):
                method = member.fget if isinstance(member, property) else member
                check_docstring(method)


def check_refusals(function: Callable[..., Any], refusals: Sequence[Refusal]) -> None:
    """Require that each call is refused with its error, in Keras' words."""
    for refusal in refusals:
        call = f"{function.__name__}(*{refusal.args!r}, **{dict(refusal.kwargs)!r})"
        error = _error_of(function, refusal)
        assert error is not None, f"{call} was not refused"
        message = str(error)
        assert isinstance(error, refusal.error), f"{call} raised {error!r}"
        assert re.search(refusal.match, message), f"{call} said {message!r}"
        assert re.match(r"(Each row of )?`\w", message), f"{call}: names no argument: {message!r}"
        assert "Received: " in message, f"{call}: the message shows no value: {message!r}"


def _error_of(function: Callable[..., Any], refusal: Refusal) -> Exception | None:
    try:
        function(*refusal.args, **refusal.kwargs)
    except Exception as error:
        return error
    return None


def check_plot_contract(
    helper: Callable[..., Any],
    args: Sequence[Any],
    kwargs: Mapping[str, Any] | None = None,
    *,
    takes_ax: bool = True,
    has_axis_labels: bool = True,
) -> Any:
    """Require that a plot helper draws on the axes it is told, and changes nothing else.

    It returns the axes, makes one figure at most and leaves it open and unshown, keeps
    matplotlib's settings and its arguments as they are, labels the axes, and writes no text under
    9 points.

    Returns:
        What the helper returned for ``ax=None``.
    """
    import matplotlib.pyplot as plt
    from matplotlib.axes import Axes

    kwargs = dict(kwargs or {})
    arrays = [value for value in args if isinstance(value, np.ndarray)]
    copies = [array.copy() for array in arrays]
    before = set(plt.get_fignums())
    with _nothing_shown(), _same_settings():
        result = helper(*args, **kwargs)
    made = set(plt.get_fignums()) - before
    assert before <= set(plt.get_fignums()), "the helper closed a figure"
    assert len(made) == 1, f"with ax=None the helper must make one figure, it made {len(made)}"
    panels = _panels(result)
    assert panels, f"the helper must return Axes, it returned {result!r}"
    assert all(isinstance(ax, Axes) for ax in panels), f"not Axes: {result!r}"
    figure = panels[0].figure
    assert figure.number in made, "the returned axes are not on the new figure"
    figure.canvas.draw()
    _check_text_sizes(figure)
    if has_axis_labels:
        assert any(ax.get_xlabel() for ax in panels), "the horizontal axis has no label"
        assert any(ax.get_ylabel() for ax in panels), "the vertical axis has no label"
    if takes_ax:
        other, (first, given) = plt.subplots(1, 2)
        sizes = [label.get_fontsize() for label in first.get_xticklabels()]
        before = set(plt.get_fignums())
        with _nothing_shown(), _same_settings():
            returned = helper(*args, ax=given, **kwargs)
        assert returned is given, f"the helper must return the given axes, not {returned!r}"
        assert set(plt.get_fignums()) == before, "with a given ax the helper made another figure"
        assert not first.has_data(), "the helper drew on axes that it was not given"
        assert [label.get_fontsize() for label in first.get_xticklabels()] == sizes
        plt.close(other)
        with _same_settings(), contextlib.suppress(TypeError):
            helper(*args, ax="not axes", **kwargs)
            raise AssertionError("ax='not axes' was not refused with a TypeError")
    plt.close(figure)
    for array, copy in zip(arrays, copies, strict=True):
        np.testing.assert_array_equal(array, copy, "the helper changed an argument")
    return result


def check_builder_contract(
    build: Callable[..., Any],
    args: Sequence[Any],
    kwargs: Mapping[str, Any] | None = None,
    *,
    refusals: Sequence[Refusal] = (),
    max_lines: int = 40,
) -> Any:
    """Require of a ``build_*`` function what DESIGN asks of every builder.

    It returns an uncompiled functional model whose layers are all named by hand, takes its options
    by keyword only, saves to ``.keras`` and reloads in safe mode with equal outputs, learns in one
    training step, also under the mixed_float16 policy, where it must answer in float32, refuses bad
    arguments in Keras' words, and has at most `max_lines` lines without its docstring.

    Returns:
        The model built.
    """
    import keras

    kwargs = dict(kwargs or {})
    assert build.__name__.startswith("build_"), f"{build.__name__} must be called build_…"
    for parameter in inspect.signature(build).parameters.values():
        optional = parameter.default is not inspect.Parameter.empty
        by_keyword = parameter.kind is inspect.Parameter.KEYWORD_ONLY
        assert optional == by_keyword, f"`{parameter.name}` must be keyword-only iff it is optional"
    assert _code_lines(build) <= max_lines, f"{build.__name__} has {_code_lines(build)} lines"

    model, twin = build(*args, **kwargs), build(*args, **kwargs)
    assert isinstance(model, keras.Model), f"not a keras.Model: {model!r}"
    assert not model.compiled, "the model must come uncompiled"
    names = [layer.name for layer in model.layers]
    # Keras counts automatic names up from build to build: dense, dense_1, …
    automatic = set(names) - {layer.name for layer in twin.layers}
    assert not automatic, f"layers without a name of their own: {sorted(automatic)}"
    assert build(*args, **{**kwargs, "name": "renamed"}).name == "renamed", "`name` is ignored"

    batch = _random_batch(model)
    expected = model(batch, training=False)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        model.save(path)
        loaded = keras.models.load_model(path, safe_mode=True)
    _assert_trees_close(loaded(batch, training=False), expected)
    _check_one_step(twin)
    _check_mixed_precision(build, args, kwargs)
    check_refusals(build, refusals)
    check_docstring(build)
    return model


def check_layer_contract(
    layer_class: type,
    init_kwargs: Mapping[str, Any],
    input_shape: tuple[int, ...] | list[tuple[int, ...]],
    expected_output_shape: tuple[int, ...],
    *,
    num_trainable: int | None = None,
    package: str = "dlnotes",
    mixed_precision: bool = True,
    tolerance: float = 1e-6,
) -> Any:
    """Require of a custom Keras layer what Keras asks of its own.

    Configuration round trip, shapes (computed, symbolic, eager), one training step, the
    mixed_float16 policy, and saving and reloading in safe mode under its registered name.

    Args:
        layer_class: The class.
        init_kwargs: Arguments of its constructor.
        input_shape: Shape of a batch of inputs; a list for a layer that takes several.
        expected_output_shape: Shape of the outputs.
        num_trainable: Number of trainable variables, or None to leave it open.
        package: Package name of the registration.
        mixed_precision: Whether the layer computes in float16 under the mixed policy.
        tolerance: Largest difference after reloading.

    Returns:
        The layer built.
    """
    import keras

    init_kwargs = dict(init_kwargs)
    registered = keras.saving.get_registered_name(layer_class)
    assert registered == f"{package}>{layer_class.__name__}", f"registered as {registered!r}"

    layer = layer_class(**init_kwargs, name="under_test", trainable=False)
    assert layer.name == "under_test", "`name` was not passed on: **kwargs?"
    config = layer.get_config()
    missing = set(init_kwargs) - set(config)
    assert not missing, f"get_config forgets {sorted(missing)}"
    again = layer_class.from_config(config)
    assert again.get_config() == config, "the configuration changes in a round trip"
    assert not again.trainable, "`trainable` was not passed on: **kwargs?"

    layer = layer_class(**init_kwargs)
    rng, shapes = np.random.default_rng(0), input_shape
    shapes = shapes if isinstance(shapes, list) else [shapes]
    xs = [rng.normal(size=shape).astype("float32") for shape in shapes]
    computed = tuple(layer_class(**init_kwargs).compute_output_shape(*shapes))
    assert computed == expected_output_shape, f"compute_output_shape says {computed}"
    eager = layer(*xs)
    assert tuple(eager.shape) == expected_output_shape, f"the call gives {tuple(eager.shape)}"
    assert np.isfinite(np.asarray(eager)).all(), "the call gives NaN or infinity"
    inputs = [keras.Input(batch_shape=shape, name=f"inputs_{i}") for i, shape in enumerate(shapes)]
    symbolic = layer_class(**init_kwargs)(*inputs)
    assert tuple(symbolic.shape) == expected_output_shape, f"symbolic shape {symbolic.shape}"
    if num_trainable is not None:
        count = len(layer.trainable_variables)
        assert count == num_trainable, f"{count} trainable variables"

    model = keras.Model(inputs, layer_class(**init_kwargs)(*inputs))
    model.compile(optimizer=keras.optimizers.SGD(0.1), loss="mse")
    before = [keras.ops.convert_to_numpy(v) for v in model.trainable_variables]
    target = np.random.default_rng(1).normal(size=expected_output_shape).astype("float32")
    loss = float(model.train_on_batch(xs, target))
    assert math.isfinite(loss), f"one training step gives the loss {loss}"
    for old, variable in zip(before, model.trainable_variables, strict=True):
        new = keras.ops.convert_to_numpy(variable)
        assert not np.array_equal(old, new), f"{variable.path} does not learn"

    if mixed_precision:
        mixed = layer_class(**init_kwargs, dtype="mixed_float16")
        dtype = keras.backend.standardize_dtype(mixed(*xs).dtype)
        assert dtype == "float16", f"under mixed_float16 the output is {dtype}"
        for variable in mixed.trainable_variables:
            assert variable.dtype == "float32", f"{variable.path} is {variable.dtype}"

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "layer.keras"
        model.save(path)
        loaded = keras.models.load_model(path, safe_mode=True)
    difference = np.abs(np.asarray(loaded(xs)) - np.asarray(model(xs))).max()
    assert difference <= tolerance, f"after reloading outputs differ by {difference}"
    check_docstring(layer_class)
    return layer


def check_loader_contract(load: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Require of a dataset loader what DESIGN asks of every loader.

    It returns a frozen dataclass with name, description, licence and source; inputs and targets
    have equal lengths; arrays are not of objects; a second call, another seed offset and a moved
    global random state give the same data, without sharing memory that can be written to.

    Returns:
        The data.
    """
    data = load(*args, **kwargs)
    assert dataclasses.is_dataclass(data), f"not a dataclass: {type(data).__name__}"
    first_field = dataclasses.fields(data)[0].name
    try:
        setattr(data, first_field, None)
    except dataclasses.FrozenInstanceError:
        pass
    else:
        raise AssertionError("the dataclass is not frozen")
    for name in ("name", "description", "license", "source"):
        value = getattr(data, name, None)
        assert isinstance(value, str), f"`{name}` must be a text, it is {value!r}"
        assert value.strip(), f"`{name}` is empty"
    for part in ("train", "val", "test"):
        x, y = getattr(data, f"x_{part}", None), getattr(data, f"y_{part}", None)
        assert (x is None) == (y is None), f"x_{part} without y_{part}, or the reverse"
        if x is not None:
            assert len(x) == len(y) > 0, f"{part}: {len(x)} inputs, {len(y)} targets"
    arrays = _array_fields(data)
    for name, array in arrays.items():
        assert array.dtype.kind != "O", f"`{name}` holds Python objects"

    state, numpy_state = random.getstate(), np.random.get_state()
    random.seed(987)
    np.random.seed(987)
    with mock.patch.dict(os.environ, {"DLNOTES_SEED_OFFSET": "3"}):
        again = load(*args, **kwargs)
    random.setstate(state)
    np.random.set_state(numpy_state)
    for name, array in _array_fields(again).items():
        same = np.array_equal(array, arrays[name], equal_nan=array.dtype.kind == "f")
        assert same, f"`{name}` differs from call to call"
        shared = np.shares_memory(array, arrays[name]) and array.flags.writeable
        assert not shared, f"`{name}` is shared between calls and can be written to"
    check_docstring(load)
    return data


def _documented_arguments(text: str) -> list[str]:
    match = re.search(r"^Args:\n((?:[ ]+.*\n?|\n)+)", text, flags=re.MULTILINE)
    if match is None:
        return []
    return re.findall(r"^ {4}\*{0,2}(\w+):", match.group(1), flags=re.MULTILINE)


def _argument_names(obj: Any) -> list[str]:
    names = list(inspect.signature(obj).parameters)
    return [name for name in names if name not in {"self", "cls"}]


@contextlib.contextmanager
def _nothing_shown():
    import matplotlib.pyplot as plt
    from matplotlib.figure import Figure

    def refuse(what: str) -> Callable[..., None]:
        def refused(*args: Any, **kwargs: Any) -> None:
            raise AssertionError(f"the helper must not call {what}")

        return refused

    with (
        mock.patch.object(plt, "show", refuse("show")),
        mock.patch.object(plt, "close", refuse("close")),
        mock.patch.object(plt, "savefig", refuse("savefig")),
        mock.patch.object(Figure, "show", refuse("show")),
        mock.patch.object(Figure, "savefig", refuse("savefig")),
    ):
        yield


@contextlib.contextmanager
def _same_settings():
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    try:
        yield
    finally:
        changed = [key for key, value in mpl.rcParams.items() if before[key] != value]
        mpl.rcParams.update({key: before[key] for key in changed})
        assert not changed, f"the helper changed matplotlib's settings: {changed}"


def _panels(result: Any) -> list[Any]:
    from matplotlib.figure import Figure

    if isinstance(result, tuple):  # (figure, axes)
        result = result[-1]
    if isinstance(result, Figure):
        return list(result.axes)
    return list(np.atleast_1d(np.asarray(result, dtype=object)).ravel())


def _check_text_sizes(figure: Any) -> None:
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        shown = text.get_visible() and text.get_text().strip()
        assert not shown or text.get_fontsize() >= 9, (
            f"{text.get_text()!r} is written in {text.get_fontsize()} pt"
        )


def _code_lines(function: Callable[..., Any]) -> int:
    lines = inspect.getsource(function).splitlines()
    docstring = (function.__doc__ or "").splitlines()
    return len(lines) - len(docstring)


def _check_mixed_precision(build: Callable[..., Any], args: Any, kwargs: Any) -> None:
    import keras

    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = build(*args, **kwargs)
    finally:
        keras.config.set_dtype_policy(policy)
    with_weights = [layer for layer in model.layers if layer.weights]
    kinds = {layer.name: layer.compute_dtype for layer in with_weights if layer not in _last(model)}
    assert set(kinds.values()) <= {"float16"}, f"under mixed_float16 not in float16: {kinds}"
    stored = {keras.backend.standardize_dtype(weight.dtype) for weight in model.trainable_weights}
    assert stored <= {"float32"}, f"under mixed_float16 weights are stored as {sorted(stored)}"
    batch, targets = _compile_for_one_step(model)
    for output in keras.tree.flatten(model(batch, training=False)):
        dtype = keras.backend.standardize_dtype(output.dtype)
        assert dtype == "float32", f"under mixed_float16 the model answers in {dtype}"
    loss = model.train_on_batch(batch, targets, return_dict=True)["loss"]
    assert math.isfinite(loss), f"under mixed_float16 the loss is {loss}"


def _last(model: Any) -> list[Any]:
    return [output._keras_history.operation for output in model.outputs]


def _compile_for_one_step(model: Any) -> tuple[Any, Any]:
    import keras

    batch = _random_batch(model, size=32)  # so many that no relu stays at 0 for all rows
    outputs = keras.tree.flatten(model(batch, training=False))
    pairs = [_loss_and_target(*pair) for pair in zip(model.outputs, outputs, strict=True)]
    losses, targets = [loss for loss, _ in pairs], [target for _, target in pairs]
    if len(pairs) == 1:
        losses, targets = losses[0], targets[0]
    optimizer = keras.optimizers.Adam(0.01)  # moves a weight however small its gradient, if not 0
    model.compile(optimizer=optimizer, loss=losses, run_eagerly=True)
    return batch, targets


def _check_one_step(model: Any) -> None:
    import keras

    variables = model.trainable_variables
    assert variables, "the model has no trainable weights"
    before = [keras.ops.convert_to_numpy(variable) for variable in variables]
    batch, targets = _compile_for_one_step(model)
    for step in (model.train_on_batch, model.test_on_batch):
        loss = step(batch, targets, return_dict=True)["loss"]
        assert math.isfinite(loss), f"{step.__name__} gives the loss {loss}"
    for old, variable in zip(before, variables, strict=True):
        new = keras.ops.convert_to_numpy(variable)
        assert not np.array_equal(old, new), f"{variable.path} does not learn"


def _loss_and_target(symbolic: Any, output: Any) -> tuple[str, np.ndarray]:
    activation = getattr(symbolic._keras_history.operation, "activation", None)
    name, shape = getattr(activation, "__name__", ""), tuple(output.shape)
    rng = np.random.default_rng(1)
    if name == "sigmoid" and shape[-1] == 1:
        return "binary_crossentropy", rng.integers(2, size=shape)
    if name == "softmax":
        return "sparse_categorical_crossentropy", rng.integers(shape[-1], size=shape[:-1])
    return "mse", rng.normal(size=shape).astype("float32")


def _random_batch(model: Any, size: int = 4) -> Any:
    rng = np.random.default_rng(0)
    batches = []
    sizes = [layer.input_dim for layer in model.layers if hasattr(layer, "input_dim")]
    for tensor in model.inputs:
        shape = (size, *(length or 5 for length in tensor.shape[1:]))
        if "int" in str(tensor.dtype):
            batches.append(rng.integers(0, min(sizes, default=2), size=shape))
        else:
            batches.append(rng.normal(size=shape).astype("float32"))
    return batches[0] if len(batches) == 1 else batches


def _assert_trees_close(actual: Any, expected: Any) -> None:
    import keras

    for a, b in zip(keras.tree.flatten(actual), keras.tree.flatten(expected), strict=True):
        np.testing.assert_allclose(
            np.asarray(a), np.asarray(b), atol=1e-6, err_msg="outputs differ after reloading"
        )


def _array_fields(data: Any) -> dict[str, np.ndarray]:
    values = {field.name: getattr(data, field.name) for field in dataclasses.fields(data)}
    return {name: value for name, value in values.items() if isinstance(value, np.ndarray)}
