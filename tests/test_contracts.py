"""Each contract holds on a good example and fails on examples that break one of its points."""

import dataclasses

import matplotlib

matplotlib.use("Agg")

import contracts
import matplotlib.pyplot as plt
import numpy as np
import pytest
from contracts import (
    Refusal,
    check_builder_contract,
    check_docstring,
    check_layer_contract,
    check_loader_contract,
    check_plot_contract,
    check_refusals,
)

from dlnotes.runtime import quiet_start
from dlnotes.validation import check_int

with quiet_start():
    import keras

register = keras.saving.register_keras_serializable(package="dlnotes")


# === Docstrings and refusals ===


def documented(first, *, second=1):
    """Add two numbers.

    Args:
        first: One number.
        second: Another.
    """
    return check_int("first", first, low=0) + second


def undocumented(first):
    return first


def no_stop(first):
    """Add numbers"""


def no_blank_line():
    """Add numbers.
    Then stop.
    """


def wrong_argument(first):
    """Add numbers.

    Args:
        frist: One number.
    """


def half_the_arguments(first, second):
    """Add numbers.

    Args:
        first: One number.
    """


class SilentMethod:
    """A class."""

    def run(self):
        pass


@pytest.mark.parametrize(
    ("obj", "match"),
    [
        (undocumented, "has no docstring"),
        (no_stop, "one line ending in a stop"),
        (no_blank_line, "a blank line must follow"),
        (wrong_argument, r"Args lists \['frist'\]"),
        (half_the_arguments, r"Args lists \['first'\]"),
        (SilentMethod, "run has no docstring"),
    ],
)
def test_docstring_contract(obj, match):
    check_docstring(documented)
    with pytest.raises(AssertionError, match=match):
        check_docstring(obj)


def vague(first):
    raise ValueError("bad input")


def valueless(first):
    raise ValueError("`first` must be good.")


@pytest.mark.parametrize(
    ("function", "refusal", "match"),
    [
        (documented, Refusal((1,), {}, ValueError, ""), "was not refused"),
        (documented, Refusal((-1,), {}, TypeError, ""), "raised ValueError"),
        (documented, Refusal((-1,), {}, ValueError, "second"), "said '`first`"),
        (vague, Refusal((1,), {}, ValueError, ""), "names no argument"),
        (valueless, Refusal((1,), {}, ValueError, ""), "shows no value"),
    ],
)
def test_refusal_contract(function, refusal, match):
    check_refusals(documented, [Refusal((-1,), {}, ValueError, "`first` must be an integer >= 0")])
    with pytest.raises(AssertionError, match=match):
        check_refusals(function, [refusal])


# === Plots ===


def good_plot(x, *, ax=None):
    if ax is None:
        _, ax = plt.subplots()
    if not hasattr(ax, "plot"):
        raise TypeError("`ax` must be an Axes")
    ax.plot(x)
    ax.set_xlabel("x")
    ax.set_ylabel("y")
    return ax


def returns_nothing(x, *, ax=None):
    good_plot(x, ax=ax)


def ignores_ax(x, *, ax=None):
    return good_plot(x)


def shows(x, *, ax=None):
    ax = good_plot(x, ax=ax)
    plt.show()
    return ax


def closes(x, *, ax=None):
    ax = good_plot(x, ax=ax)
    plt.close(ax.figure)
    return ax


def saves(x, *, ax=None):
    ax = good_plot(x, ax=ax)
    ax.figure.savefig("never.png")
    return ax


def changes_settings(x, *, ax=None):
    matplotlib.rcParams["font.size"] += 1
    return good_plot(x, ax=ax)


def changes_data(x, *, ax=None):
    x += 1
    return good_plot(x, ax=ax)


def unlabelled(x, *, ax=None):
    ax = good_plot(x, ax=ax)
    ax.set_ylabel("")
    return ax


def tiny_text(x, *, ax=None):
    ax = good_plot(x, ax=ax)
    ax.set_title("tiny", fontsize=7)
    return ax


def accepts_anything(x, *, ax=None):
    return good_plot(x, ax=ax if hasattr(ax, "plot") else None)


@pytest.mark.parametrize(
    ("helper", "match"),
    [
        (returns_nothing, "not Axes"),
        (ignores_ax, "must return the given axes"),
        (shows, "must not call show"),
        (closes, "must not call close"),
        (saves, "must not call savefig"),
        (changes_settings, r"settings: \['font.size'\]"),
        (changes_data, "changed an argument"),
        (unlabelled, "vertical axis has no label"),
        (tiny_text, "'tiny' is written in 7"),
        (accepts_anything, "was not refused"),
    ],
)
def test_plot_contract(helper, match):
    with pytest.raises(AssertionError, match=match):
        check_plot_contract(helper, [np.arange(3.0)])
    plt.close("all")


def test_plot_contract_holds_for_a_good_helper():
    check_plot_contract(good_plot, [np.arange(3.0)])
    assert plt.get_fignums() == []


# === Builders ===


def build_good(units, *, activation="relu", name="good"):
    """Build one layer."""
    inputs = keras.Input((3,), name="features")
    units = check_int("units", units, low=1)
    outputs = keras.layers.Dense(units, activation=activation, dtype="float32", name="output")
    return keras.Model(inputs, outputs(inputs), name=name)


def build_compiled(units, *, name="compiled"):
    """Build one layer."""
    model = build_good(units, name=name)
    model.compile(loss="mse")
    return model


def build_unnamed(units, *, name="unnamed"):
    """Build one layer."""
    inputs = keras.Input((3,), name="features")
    return keras.Model(inputs, keras.layers.Dense(units)(inputs), name=name)


def build_positional(units, activation="relu", *, name="positional"):
    """Build one layer."""
    return build_good(units, activation=activation, name=name)


def build_with_lambda(units, *, name="unsafe"):
    """Build one layer."""
    inputs = keras.Input((3,), name="features")
    outputs = keras.layers.Lambda(lambda x: x * units, name="output")(inputs)
    return keras.Model(inputs, outputs, name=name)


def build_nameless(units, *, name="ignored"):
    """Build one layer."""
    return build_good(units)


def build_frozen(units, *, name="frozen"):
    """Build one layer."""
    model = build_good(units, name=name)
    for layer in model.layers:
        layer.trainable = False
    return model


def build_dead(units, *, name="dead"):
    """Build one layer."""
    inputs = keras.Input((3,), name="features")
    output = keras.layers.Dense(
        units, activation="relu", bias_initializer=keras.initializers.Constant(-1e3), name="output"
    )
    return keras.Model(inputs, output(inputs), name=name)


def build_overflowing(units, *, name="overflowing"):
    """Build one layer."""
    inputs = keras.Input((3,), name="features")
    output = keras.layers.Dense(
        units, kernel_initializer=keras.initializers.Constant(1e30), name="output"
    )
    return keras.Model(inputs, output(inputs), name=name)


def build_rounding(units, *, name="rounding"):
    """Build one layer."""
    inputs = keras.Input((3,), name="features")
    return keras.Model(inputs, keras.layers.Dense(units, name="output")(inputs), name=name)


def build_unmixed(units, *, name="unmixed"):
    """Build two layers."""
    inputs = keras.Input((3,), name="features")
    hidden = keras.layers.Dense(4, dtype="float32", name="hidden")(inputs)
    outputs = keras.layers.Dense(units, dtype="float32", name="output")(hidden)
    return keras.Model(inputs, outputs, name=name)


@pytest.mark.parametrize(
    ("build", "error", "match"),
    [
        (build_rounding, AssertionError, "answers in float16"),
        (build_unmixed, AssertionError, "not in float16: {'hidden': 'float32'}"),
        (build_compiled, AssertionError, "must come uncompiled"),
        (build_unnamed, AssertionError, "without a name of their own"),
        (build_positional, AssertionError, "`activation` must be keyword-only"),
        (build_nameless, AssertionError, "`name` is ignored"),
        (build_frozen, AssertionError, "no trainable weights"),
        (build_dead, AssertionError, "output/kernel does not learn"),
        (build_overflowing, AssertionError, "gives the loss inf"),
        (build_with_lambda, Exception, "[Ll]ambda"),
    ],
)
def test_builder_contract(build, error, match):
    with pytest.raises(error, match=match):
        check_builder_contract(build, [2])


def test_builder_contract_holds_for_a_good_builder():
    refusals = [Refusal((0,), {}, ValueError, "`units` must be an integer >= 1")]
    model = check_builder_contract(build_good, [2], refusals=refusals)
    assert model.count_params() == 8
    assert not model.compiled
    with pytest.raises(AssertionError, match="was not refused"):
        check_builder_contract(build_good, [2], refusals=[Refusal((2,), {}, ValueError, "")])
    with pytest.raises(AssertionError, match="build_good has"):
        check_builder_contract(build_good, [2], max_lines=2)


@pytest.mark.parametrize(
    ("units", "activation", "loss", "shape"),
    [
        (1, "sigmoid", "binary_crossentropy", (32, 1)),
        (3, "softmax", "sparse_categorical_crossentropy", (32,)),
        (3, "sigmoid", "mse", (32, 3)),
        (1, "linear", "mse", (32, 1)),
    ],
)
def test_the_training_step_takes_the_loss_of_the_output(units, activation, loss, shape):
    model = build_good(units, activation=activation)
    chosen, target = contracts._loss_and_target(model.outputs[0], np.zeros((32, units)))
    assert (chosen, target.shape) == (loss, shape)
    contracts._check_one_step(model)


# === Layers ===


@register
class Scale(keras.layers.Layer):
    """Multiply the inputs by one learned number a feature.

    Args:
        start: The number before training.
        **kwargs: Arguments of every Keras layer.
    """

    def __init__(self, start=1.0, **kwargs):
        super().__init__(**kwargs)
        self.start = start

    def build(self, input_shape):
        start = keras.initializers.Constant(self.start)
        self.scale = self.add_weight(name="scale", shape=input_shape[-1:], initializer=start)

    def call(self, inputs):
        return inputs * self.scale

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "start": self.start}


@register
class ForgetsItsConfig(Scale):
    """Multiply the inputs."""

    def get_config(self):
        return keras.layers.Layer.get_config(self)


class Unregistered(Scale):
    """Multiply the inputs."""


@register
class WrongShape(Scale):
    """Multiply the inputs."""

    def compute_output_shape(self, input_shape):
        return (*input_shape, 1)


@register
class NeverLearns(Scale):
    """Multiply the inputs."""

    def call(self, inputs):
        return inputs * keras.ops.stop_gradient(self.scale) + 0.0 * self.scale


@register
class IgnoresPolicy(Scale):
    """Multiply the inputs."""

    def call(self, inputs):
        return keras.ops.cast(super().call(inputs), "float32")


@register
class LosesItsWeight(Scale):
    """Multiply the inputs."""

    def load_own_variables(self, store):
        super().load_own_variables(store)
        self.scale.assign(keras.ops.zeros_like(self.scale))


@register
class DropsKwargs(Scale):
    """Multiply the inputs."""

    def __init__(self, start=1.0, **kwargs):
        super().__init__(start)


@pytest.mark.parametrize(
    ("layer_class", "match"),
    [
        (ForgetsItsConfig, r"get_config forgets \['start'\]"),
        (Unregistered, "registered as 'Unregistered'"),
        (WrongShape, r"compute_output_shape says \(4, 3, 1\)"),
        (NeverLearns, "does not learn"),
        (IgnoresPolicy, "under mixed_float16 the output is float32"),
        (LosesItsWeight, "after reloading outputs differ"),
        (DropsKwargs, "`name` was not passed on"),
    ],
)
def test_layer_contract(layer_class, match):
    with pytest.raises(AssertionError, match=match):
        check_layer_contract(layer_class, {"start": 2.0}, (4, 3), (4, 3))


def test_layer_contract_holds_for_a_good_layer():
    check_layer_contract(Scale, {"start": 2.0}, (4, 3), (4, 3), num_trainable=1)
    with pytest.raises(AssertionError, match="1 trainable variables"):
        check_layer_contract(Scale, {"start": 2.0}, (4, 3), (4, 3), num_trainable=2)


# === Loaders ===


def make_data(frozen=True):
    @dataclasses.dataclass(frozen=frozen)
    class Data:
        x_train: np.ndarray
        y_train: np.ndarray
        name: str = "points"
        description: str = "Points of a plane."
        license: str = "CC0-1.0"
        source: str = "generated"

    return Data


FrozenData, LooseData = make_data(), make_data(frozen=False)
SHARED = np.zeros((4, 2))


def load_good():
    """Return four points."""
    return FrozenData(np.zeros((4, 2)), np.zeros(4))


def load_loose():
    """Return four points."""
    return LooseData(np.zeros((4, 2)), np.zeros(4))


def load_unequal():
    """Return four points."""
    return FrozenData(np.zeros((4, 2)), np.zeros(3))


def load_unlicensed():
    """Return four points."""
    return FrozenData(np.zeros((4, 2)), np.zeros(4), license="")


def load_random():
    """Return four points."""
    return FrozenData(np.random.normal(size=(4, 2)), np.zeros(4))


def load_by_offset():
    """Return four points."""
    from dlnotes.runtime import seed_offset

    return FrozenData(np.full((4, 2), seed_offset()), np.zeros(4))


def load_objects():
    """Return four points."""
    return FrozenData(np.array(["a", None, 1, 2], dtype=object), np.zeros(4))


def load_shared():
    """Return four points."""
    return FrozenData(SHARED, np.zeros(4))


@pytest.mark.parametrize(
    ("load", "match"),
    [
        (load_loose, "not frozen"),
        (load_unequal, "train: 4 inputs, 3 targets"),
        (load_unlicensed, "`license` is empty"),
        (load_random, "`x_train` differs from call to call"),
        (load_by_offset, "`x_train` differs from call to call"),
        (load_objects, "`x_train` holds Python objects"),
        (load_shared, "`x_train` is shared between calls"),
    ],
)
def test_loader_contract(load, match):
    check_loader_contract(load_good)
    with pytest.raises(AssertionError, match=match):
        check_loader_contract(load)
