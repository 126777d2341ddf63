import numpy as np
import pytest
from contracts import Refusal, check_builder_contract, check_docstring, check_refusals

from dlnotes.runtime import quiet_start

with quiet_start():
    import keras

    from dlnotes.models import build_forecaster, tcn_receptive_field
    from dlnotes.models.forecaster import KINDS, causal_block

SMALL = {"units": 3}
REFUSALS = [
    Refusal((9, 2), {}, TypeError, "`input_shape` must be a tuple"),
    Refusal(((9,), 2), {}, ValueError, r"`input_shape` must be .*number a step \(9, 1\)"),
    Refusal(((9, 1, 1), 2), {}, ValueError, r"`input_shape` must be \(window, channels\)\."),
    Refusal(((0, 1), 2), {}, ValueError, "`input_shape` must be a tuple of positive"),
    Refusal(((9, 1), 0), {}, ValueError, "`horizon` must be an integer >= 1"),
    Refusal(((9, 1), 2.0), {}, TypeError, "`horizon` must be an integer"),
    Refusal(((9, 1), 2), {"kind": "rnn"}, ValueError, "`kind` must be one of 'linear', 'dense'"),
    Refusal(((9, 1), 2), {"units": 0}, ValueError, "`units` must be an integer >= 1"),
    Refusal(((9, 1), 2), {"num_layers": 0}, ValueError, "`num_layers` must be an integer >= 1"),
    Refusal(((9, 1), 2), {"kernel_size": 0}, ValueError, "`kernel_size` must be an integer >= 1"),
    Refusal(((9, 1), 2), {"name": ""}, ValueError, "`name` must not be empty"),
    Refusal(
        ((6, 1), 2),
        {"kind": "conv", "num_layers": 3},
        ValueError,
        "`input_shape` must have a window of at least 7 steps .*window=6",
    ),
]
INNER = {
    "linear": ["flatten"],
    "dense": ["flatten", "dense_1", "dense_2"],
    "conv": ["conv_1", "conv_2", "flatten"],
    "tcn": [
        *("block_1_conv_a", "block_1_conv_b", "block_1_shortcut", "block_1_add", "block_1"),
        *("block_2_conv_a", "block_2_conv_b", "block_2_add", "block_2", "last_step", "flatten"),
    ],
    "lstm": ["lstm_1", "lstm_2"],
    "gru": ["gru_1", "gru_2"],
}


def values(tensor):
    return keras.ops.convert_to_numpy(tensor)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_keeps_the_builder_contract(kind):
    # more steps than a network sees would leave weights without a gradient
    refusals = REFUSALS if kind == "linear" else []
    options = {"kind": kind, "units": 4, "num_layers": 2}
    model = check_builder_contract(build_forecaster, [(9, 2), 3], options, refusals=refusals)
    names = [layer.name for layer in model.layers]
    assert names[0] == "window"
    assert names[-1] == "output"
    assert sorted(names[1:-1]) == sorted(INNER[kind])
    assert model.input_shape == (None, 9, 2)
    assert model.output_shape == (None, 3)
    assert model.get_layer("output").activation.__name__ == "linear"


@pytest.mark.parametrize(
    ("kind", "count"),
    [
        ("linear", (9 * 2 + 1) * 5),
        ("dense", (9 * 2 + 1) * 4 + (4 + 1) * 4 + (4 + 1) * 5),
        ("conv", (3 * 2 + 1) * 4 + (3 * 4 + 1) * 4 + (5 * 4 + 1) * 5),
        ("tcn", (3 * 2 + 1) * 4 + 3 * (3 * 4 + 1) * 4 + (2 + 1) * 4 + (4 + 1) * 5),
        ("lstm", 4 * (2 + 4 + 1) * 4 + 4 * (4 + 4 + 1) * 4 + (4 + 1) * 5),
        ("gru", 3 * (2 + 4 + 2) * 4 + 3 * (4 + 4 + 2) * 4 + (4 + 1) * 5),
    ],
)
def test_the_parameters_are_those_counted_by_hand(kind, count):
    assert build_forecaster((9, 2), 5, kind=kind, units=4).count_params() == count


def positive_block_net(num_layers, kernel_size, steps):
    """A stack of causal blocks with positive weights, whose relus never close."""
    x = inputs = keras.Input((steps, 1))
    for i in range(num_layers):
        x = causal_block(x, 2, kernel_size, 2**i, f"block_{i + 1}")
    net = keras.Model(inputs, x)
    net.set_weights([np.full(w.shape, 0.3) for w in net.get_weights()])
    return net


@pytest.mark.parametrize(("num_layers", "kernel_size"), [(1, 2), (2, 3), (3, 2), (2, 1)])
def test_a_tcn_is_causal_and_sees_as_far_back_as_its_formula_says(num_layers, kernel_size):
    steps, t = 24, 5
    net, x = positive_block_net(num_layers, kernel_size, steps), np.ones((1, steps, 1))
    other = x.copy()
    other[0, t] += 1
    changed = np.abs(values(net(other)) - values(net(x)))[0].max(axis=-1) > 1e-4
    field = tcn_receptive_field(kernel_size, num_layers)
    expected = (np.arange(steps) >= t) & (np.arange(steps) < t + field)
    np.testing.assert_array_equal(changed, expected)


def test_the_tcn_forecaster_is_read_at_its_last_step():
    model = build_forecaster((12, 1), 2, kind="tcn", units=2, num_layers=1)
    model.set_weights([np.full(w.shape, 0.3) for w in model.get_weights()])
    rows = np.ones((13, 12, 1))
    rows[np.arange(12), np.arange(12)] += 1  # the last row stays as it is
    answers = values(model(rows))
    seen = (np.abs(answers[:12] - answers[12]).max(axis=-1) > 1e-4).tolist()
    assert tcn_receptive_field(3, 1) == 5
    assert seen == [False] * 7 + [True] * 5


def test_a_tcn_of_one_channel_a_filter_has_no_shortcut_convolution():
    x = keras.Input((7, 3))
    net = keras.Model(x, causal_block(x, 3, 2, 1, "block"))
    assert "block_shortcut" not in [layer.name for layer in net.layers]
    nothing = [np.zeros(w.shape) for w in net.get_weights()]
    net.set_weights(nothing)  # the shortcut alone is left
    rows = np.random.default_rng(0).normal(size=(2, 7, 3))
    np.testing.assert_allclose(values(net(rows)), np.maximum(rows, 0), atol=1e-6)


def test_linear_is_an_autoregression():
    model = build_forecaster((3, 1), 2, kind="linear")
    kernel = np.array([[0.0, 1.0], [0.0, 0.0], [2.0, 0.0]])
    model.set_weights([kernel, np.array([0.0, 10.0])])
    np.testing.assert_allclose(values(model(np.array([[[1.0], [5.0], [7.0]]]))), [[14.0, 11.0]])


def test_the_receptive_field_refuses():
    check_docstring(tcn_receptive_field)
    assert [tcn_receptive_field(3, n) for n in (1, 2, 3, 4)] == [5, 13, 29, 61]
    refusals = [
        Refusal((0, 2), {}, ValueError, "`kernel_size` must be an integer >= 1"),
        Refusal((3, 0), {}, ValueError, "`num_layers` must be an integer >= 1"),
        Refusal((3, 1.0), {}, TypeError, "`num_layers` must be an integer"),
    ]
    check_refusals(tcn_receptive_field, refusals)
