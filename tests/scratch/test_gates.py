import numpy as np
import pytest
from contracts import check_docstring
from hypothesis import given, settings
from hypothesis import strategies as st

from dlnotes.runtime import quiet_start
from dlnotes.scratch import (
    RNN,
    BidirectionalRNN,
    GRUCell,
    LSTMCell,
    SimpleRNNCell,
    StackedRNN,
    gate_values,
    gradient_error,
)

KINDS = {
    "lstm": (LSTMCell, "LSTM", {}),
    "gru": (GRUCell, "GRU", {"reset_after": True}),
    "gru of the paper": (GRUCell, "GRU", {"reset_after": False}),
}


def draw_cell(kind, seed=0, *, num_inputs=3, units=2):
    rng, (cell_class, _, options) = np.random.default_rng(seed), KINDS[kind]
    cell = cell_class.draw(num_inputs, units, rng, **options)
    cell.weights = [array + 0.5 * rng.normal(size=array.shape) for array in cell.weights]
    return cell


def draw_case(cell, mask, seed=0, shape=(3, 4, 3)):
    """Sequences, mask, initial states, and gradients of the outputs and the final states."""
    rng = np.random.default_rng(seed)
    mask = None if mask is None else np.array(mask, bool)
    start, end = rng.normal(size=(2, cell.num_states, shape[0], cell.units))
    outputs = rng.normal(size=(*shape[:2], cell.units))
    return rng.normal(size=shape), mask, tuple(start), outputs, tuple(end)


def keras_layer(keras, kind, cell, **more):
    _, name, options = KINDS[kind]
    options = {"return_sequences": True, "return_state": True} | options | more
    layer = getattr(keras.layers, name)(cell.units, **options)
    layer.build((None, None, cell.num_inputs))
    layer.set_weights(cell.weights)
    return layer


@pytest.mark.parametrize("thing", [LSTMCell, GRUCell, LSTMCell.draw, gate_values])
def test_docstrings(thing):
    check_docstring(thing)


# === Equal to Keras ===


@pytest.mark.parametrize("kind", KINDS)
def test_outputs_states_and_gradients_equal_keras(double, kind, masks, padding):
    keras, tf = double
    backwards = padding in ("before", "between")
    cell = draw_cell(kind, 1)
    x, mask, start, gradient, end = draw_case(cell, masks[padding])
    theirs = keras_layer(keras, kind, cell, go_backwards=backwards)
    inputs, first = tf.Variable(x), [tf.Variable(s) for s in start]
    with tf.GradientTape() as tape:
        outputs, *states = theirs(inputs, mask=mask, initial_state=first)
        in_order = tf.reverse(outputs, [1]) if backwards else outputs
        loss = tf.reduce_sum(gradient * in_order)
        loss += sum(tf.reduce_sum(g * s) for g, s in zip(end, states, strict=True))
    sources = [inputs, *first, *(w.value for w in theirs.trainable_weights)]
    expected = tape.gradient(loss, sources)

    layer = RNN(cell, backwards=backwards)
    np.testing.assert_allclose(layer.forward(x, mask, start), in_order, atol=1e-12)
    np.testing.assert_allclose(layer.last_output, outputs[:, -1], atol=1e-12)
    np.testing.assert_allclose(layer.final_states, states, atol=1e-12)
    found = [layer.backward(gradient, end), *layer.initial_gradients, *layer.gradients]
    for ours, right in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, right, atol=1e-10)


@pytest.mark.parametrize("kind", KINDS)
def test_single_precision_stays_within_a_millionth(kind, masks):
    with quiet_start():
        import keras
        import tensorflow as tf
    cell = draw_cell(kind, 3)
    x, mask, _, gradient, _ = draw_case(cell, masks["after"])
    theirs, inputs = keras_layer(keras, kind, cell), tf.Variable(x.astype("float32"))
    with tf.GradientTape() as tape:
        outputs, *_ = theirs(inputs, mask=mask)
        loss = tf.reduce_sum(gradient.astype("float32") * outputs)
    layer = RNN(cell)
    np.testing.assert_allclose(layer.forward(x, mask), outputs, atol=1e-6)
    np.testing.assert_allclose(layer.backward(gradient), tape.gradient(loss, inputs), atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_bidirectional_and_stacked_equal_keras(double, kind, masks):
    keras, tf = double
    cells = [draw_cell(kind, 6), draw_cell(kind, 7), draw_cell(kind, 8, num_inputs=4)]
    ours = StackedRNN([BidirectionalRNN(*cells[:2]), RNN(cells[2])])
    x, mask, *_ = draw_case(cells[0], masks["after"])
    inputs, gradient = tf.Variable(x), np.random.default_rng(1).normal(size=(3, 2))
    _, name, options = KINDS[kind]
    make = getattr(keras.layers, name)
    both = keras.layers.Bidirectional(make(2, return_sequences=True, **options))
    top = make(2, **options)
    both.build(x.shape)
    top.build((3, 4, 4))
    both.set_weights([array for cell in cells[:2] for array in cell.weights])
    top.set_weights(cells[2].weights)
    with tf.GradientTape() as tape:
        output = top(both(inputs, mask=mask), mask=mask)
    weights = [w.value for layer in (both, top) for w in layer.trainable_weights]
    expected = tape.gradient(output, [inputs, *weights], tf.constant(gradient))
    ours.forward(x, mask)
    np.testing.assert_allclose(ours.last_output, output, atol=1e-12)
    found = [ours.backward(gradient), *(g for layer in ours.layers for g in layer.gradients)]
    for one, right in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, right, atol=1e-10)


@pytest.mark.parametrize("kind", KINDS)
def test_drawn_weights_are_spread_as_keras_spreads_them(double, kind):
    keras, _ = double
    cell_class, name, options = KINDS[kind]
    weights = cell_class.draw(60, 40, np.random.default_rng(0), **options).weights
    theirs = getattr(keras.layers, name)(40, **options)
    theirs.build((None, None, 60))
    for ours, right in zip(weights, theirs.get_weights(), strict=True):
        assert ours.shape == right.shape
        np.testing.assert_allclose(ours.std(), right.std(), rtol=0.03, atol=1e-12)
    np.testing.assert_allclose(weights[1] @ weights[1].T, np.eye(40), atol=1e-12)
    np.testing.assert_array_equal(weights[2], theirs.get_weights()[2])


# === By hand and by nudging ===


def test_an_lstm_step_by_hand():
    def sigmoid(z):
        return 1 / (1 + np.exp(-z))

    kernel, loop, bias = [[1.0, 2.0, 3.0, 4.0]], [[0.1, 0.2, 0.3, 0.4]], [0.5, 0.6, 0.7, 0.8]
    start = np.array([[2.0]]), np.array([[-3.0]])
    (h,), (c,) = RNN(LSTMCell(kernel, loop, bias)).forward([[[0.5]]], initial_states=start)[0], [0]
    c = sigmoid(1 + 0.4 + 0.6) * -3 + sigmoid(0.5 + 0.2 + 0.5) * np.tanh(1.5 + 0.6 + 0.7)
    np.testing.assert_allclose(h, sigmoid(2 + 0.8 + 0.8) * np.tanh(c))


def test_a_gru_step_by_hand():
    def sigmoid(z):
        return 1 / (1 + np.exp(-z))

    kernel, loop = [[1.0, 2.0, 3.0]], [[0.1, 0.2, 0.3]]
    z, r = sigmoid(0.5 + 0.2 + 0.5 + 5), sigmoid(1 + 0.4 + 0.6 + 6)
    after = np.tanh(1.5 + 0.7 + r * (0.6 + 7))
    cell = GRUCell(kernel, loop, [[0.5, 0.6, 0.7], [5.0, 6.0, 7.0]])
    (h,), _ = cell.step(np.array([[0.5]]), (np.array([[2.0]]),))
    np.testing.assert_allclose(h, [[2 * z + (1 - z) * after]])
    z, r = sigmoid(0.5 + 0.2 + 0.5), sigmoid(1 + 0.4 + 0.6)
    cell = GRUCell(kernel, loop, [0.5, 0.6, 0.7], reset_after=False)
    (h,), _ = cell.step(np.array([[0.5]]), (np.array([[2.0]]),))
    np.testing.assert_allclose(h, [[2 * z + (1 - z) * np.tanh(1.5 + 0.7 + 0.3 * r * 2)]])


@settings(max_examples=10, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(1, 3)),
    units=st.integers(1, 3),
    seed=st.integers(0, 999),
    kind=st.sampled_from(list(KINDS)),
)
def test_gradients_agree_with_finite_differences(shape, units, seed, kind):
    cell = draw_cell(kind, seed, num_inputs=shape[2], units=units)
    mask = np.random.default_rng(seed).random(shape[:2]) < 0.7
    x, mask, start, gradient, end = draw_case(cell, mask, seed, shape)
    layer = RNN(cell)

    def loss(x=x, start=start, weights=None):
        cell.weights = weights or cell.weights
        outputs = layer.forward(x, mask, start)
        states = zip(end, layer.final_states, strict=True)
        return np.sum(gradient * outputs) + sum(np.sum(g * s) for g, s in states)

    weights = list(cell.weights)
    loss()
    assert gradient_error(lambda v: loss(x=v), layer.backward(gradient, end), x) < 1e-6
    found = [*layer.initial_gradients, *layer.gradients]
    old = [*start, *weights]
    for i, (mine, right) in enumerate(zip(found, old, strict=True)):

        def nudged(v, i=i):
            new = [v if k == i else array for k, array in enumerate(old)]
            return loss(start=tuple(new[: len(start)]), weights=new[len(start) :])

        assert gradient_error(nudged, mine, right) < 1e-6
        cell.weights = weights


# === What gates do ===


@given(forget=st.floats(-3, 3), T=st.integers(1, 30))
@settings(max_examples=20, deadline=None)
def test_a_forget_gate_alone_decides_what_is_left_of_a_cell_and_of_its_gradient(forget, T):
    bias = [-50.0, forget, 0.0, 0.0]
    layer = RNN(LSTMCell(np.zeros((1, 4)), np.zeros((1, 4)), bias))
    start = np.zeros((1, 1)), np.ones((1, 1))
    layer.forward(np.ones((1, T, 1)), initial_states=start)
    share = (1 / (1 + np.exp(-forget))) ** T
    np.testing.assert_allclose(layer.final_states[1], [[share]])
    layer.backward(np.zeros((1, 1)), start)
    np.testing.assert_allclose(layer.initial_gradients[1], [[share]])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("place", [0, 1])
def test_a_gate_with_a_bias_of_fifty_stays_open_and_gets_no_gradient(kind, place):
    cell = draw_cell(kind, 2)
    here = slice(2 * place, 2 * place + 2)
    cell.weights[2][..., here] = 50.0
    layer = RNN(cell)
    x, *_ = draw_case(cell, None)
    layer.forward(x)
    layer.backward(np.ones((3, 2)))
    assert (list(gate_values(layer).values())[place] == 1).all()
    for gradient in layer.gradients:
        assert not gradient[..., here].any()
        # a GRU whose update gate stays at 1 keeps its state for good, and learns nothing at all
        assert gradient.any() == (kind == "lstm" or place == 1)


@given(seed=st.integers(0, 99), loudness=st.floats(0.1, 100))
@settings(max_examples=20, deadline=None)
def test_a_gru_that_begins_at_zero_stays_between_minus_one_and_one(seed, loudness):
    cell = draw_cell("gru", seed)
    outputs = RNN(cell).forward(loudness * np.random.default_rng(seed).normal(size=(2, 40, 3)))
    assert np.abs(outputs).max() <= 1


@pytest.mark.parametrize("backwards", [False, True])
def test_gate_values_give_the_states_back(backwards, masks):
    layer = RNN(draw_cell("lstm", 1), backwards=backwards)
    x, mask, *_ = draw_case(layer.cell, masks["between"])
    outputs = layer.forward(x, mask)
    values = gate_values(layer)
    assert list(values) == ["input", "forget", "candidate", "output", "cell"]
    for array in values.values():
        np.testing.assert_array_equal(np.isnan(array), np.repeat(~mask[..., None], 2, axis=-1))
    np.testing.assert_allclose((values["output"] * np.tanh(values["cell"]))[mask], outputs[mask])
    x, *_ = draw_case(layer.cell, None)
    layer.forward(x)
    values, step = gate_values(layer), 1 if not backwards else -1
    old, new = (values["cell"][:, i] for i in ((1, 2) if step == 1 else (2, 1)))
    now = {name: array[:, 2 if step == 1 else 1] for name, array in values.items()}
    np.testing.assert_allclose(new, now["forget"] * old + now["input"] * now["candidate"])


def test_gate_values_of_a_gru():
    layer = RNN(draw_cell("gru", 1))
    x, _, start, *_ = draw_case(layer.cell, None)
    h = layer.forward(x, initial_states=start)
    update, reset, candidate = gate_values(layer).values()
    old = np.concatenate([start[0][:, None], h[:, :-1]], axis=1)
    np.testing.assert_allclose(h, update * old + (1 - update) * candidate)
    assert ((reset > 0) & (reset < 1)).all()


# === Errors ===


def test_wrong_cells_are_refused():
    with pytest.raises(ValueError, match=r"`recurrent_kernel` must have shape \(2, 8\)"):
        LSTMCell(np.ones((3, 8)), np.ones((2, 6)))
    with pytest.raises(ValueError, match=r"`kernel` must have shape \(any, 6\)"):
        GRUCell(np.ones((3, 8)), np.ones((2, 6)))
    with pytest.raises(ValueError, match=r"`bias` must have shape \(2, 6\)"):
        GRUCell(np.ones((3, 6)), np.ones((2, 6)), np.ones(6))
    with pytest.raises(ValueError, match=r"`bias` must have shape \(6,\)"):
        GRUCell(np.ones((3, 6)), np.ones((2, 6)), np.ones((2, 6)), reset_after=False)
    with pytest.raises(TypeError, match="`reset_after` must be True or False.*reset_after=1"):
        GRUCell(np.ones((3, 6)), np.ones((2, 6)), reset_after=1)
    with pytest.raises(ValueError, match="`forget_bias` must be"):
        LSTMCell.draw(3, 2, np.random.default_rng(0), forget_bias=np.inf)
    with pytest.raises(TypeError, match="`forget_bias` must be"):
        LSTMCell.draw(3, 2, np.random.default_rng(0), forget_bias="one")
    with pytest.raises(ValueError, match="`initial_states` must hold 2 arrays"):
        RNN(draw_cell("lstm")).forward(np.ones((2, 4, 3)), initial_states=(np.zeros((2, 2)),))


def test_gates_of_something_else_are_refused():
    simple = RNN(SimpleRNNCell.draw(3, 2, np.random.default_rng(0)))
    for wrong in (simple, draw_cell("gru"), None):
        with pytest.raises(TypeError, match="`layer` must be an RNN around a cell with gates"):
            gate_values(wrong)
    with pytest.raises(RuntimeError, match="`forward` must be called before `gate_values`"):
        gate_values(RNN(draw_cell("gru")))
