import numpy as np
import pytest
from contracts import check_docstring
from hypothesis import given, settings
from hypothesis import strategies as st

from dlnotes.runtime import quiet_start
from dlnotes.scratch import (
    RNN,
    BidirectionalRNN,
    Cell,
    SimpleRNNCell,
    StackedRNN,
    numerical_gradient,
    spectral_radius,
)

CELLS = {"simple": SimpleRNNCell}  # name in Keras: SimpleRNN


def draw_cell(seed=0, *, num_inputs=3, units=2, **options):
    rng = np.random.default_rng(seed)
    cell = SimpleRNNCell.draw(num_inputs, units, rng, **options)
    cell.weights = [array + 0.5 * rng.normal(size=array.shape) for array in cell.weights]
    return cell


def draw_case(mask, seed=0, shape=(3, 4, 3), units=2, states=1):
    """Sequences, mask, initial states, and gradients of the outputs and the final states."""
    rng = np.random.default_rng(seed)
    mask = None if mask is None else np.array(mask, bool)
    start, end = rng.normal(size=(2, states, shape[0], units))
    return rng.normal(size=shape), mask, tuple(start), rng.normal(size=(*shape[:2], units)), end


def keras_layer(keras, cell, **options):
    layer = keras.layers.SimpleRNN(cell.units, return_sequences=True, return_state=True, **options)
    layer.build((None, None, cell.num_inputs))
    layer.set_weights(cell.weights)
    return layer


@pytest.mark.parametrize(
    "thing", [Cell, SimpleRNNCell, RNN, BidirectionalRNN, StackedRNN, spectral_radius]
)
def test_docstrings(thing):
    check_docstring(thing)


# === Equal to Keras ===


@pytest.mark.parametrize("backwards", [False, True])
def test_outputs_states_and_gradients_equal_keras(double, masks, padding, backwards):
    keras, tf = double
    cell = draw_cell(1)
    x, mask, start, gradient, end = draw_case(masks[padding])
    theirs = keras_layer(keras, cell, go_backwards=backwards)
    inputs, first = tf.Variable(x), tf.Variable(start[0])
    with tf.GradientTape() as tape:
        outputs, state = theirs(inputs, mask=mask, initial_state=[first])
        in_order = tf.reverse(outputs, [1]) if backwards else outputs
        loss = tf.reduce_sum(gradient * in_order) + tf.reduce_sum(end[0] * state)
    sources = [inputs, first, *(w.value for w in theirs.trainable_weights)]
    expected = tape.gradient(loss, sources)

    layer = RNN(cell, backwards=backwards)
    np.testing.assert_allclose(layer.forward(x, mask, start), in_order, atol=1e-12)
    np.testing.assert_allclose(layer.last_output, outputs[:, -1], atol=1e-12)
    np.testing.assert_allclose(layer.final_states[0], state, atol=1e-12)
    found = [layer.backward(gradient, tuple(end)), *layer.initial_gradients, *layer.gradients]
    for ours, right in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, right, atol=1e-10)


@pytest.mark.parametrize("activation", ["linear", "sigmoid", "relu", "tanh"])
def test_every_activation_equals_keras(double, activation):
    keras, _ = double
    cell = draw_cell(2, activation=activation)
    x, *_ = draw_case(None)
    outputs, _ = keras_layer(keras, cell, activation=activation)(x)
    np.testing.assert_allclose(RNN(cell).forward(x), outputs, atol=1e-12)


def test_single_precision_stays_within_a_millionth(masks):
    with quiet_start():
        import keras
    cell = draw_cell(3)
    x, mask, *_ = draw_case(masks["after"])
    outputs, _ = keras_layer(keras, cell)(x.astype("float32"), mask=mask)
    np.testing.assert_allclose(RNN(cell).forward(x, mask), outputs, atol=1e-6)


def test_bidirectional_equals_keras(double, masks, padding):
    keras, tf = double
    cells = [draw_cell(4), draw_cell(5)]
    x, mask, *_ = draw_case(masks[padding])
    rng = np.random.default_rng(9)
    start, gradient = rng.normal(size=(2, 3, 2)), rng.normal(size=(3, 4, 4))
    theirs = keras.layers.Bidirectional(
        keras.layers.SimpleRNN(2, return_sequences=True, return_state=True)
    )
    theirs.build(x.shape)
    theirs.set_weights([array for cell in cells for array in cell.weights])
    inputs = tf.Variable(x)
    with tf.GradientTape() as tape:
        outputs, *states = theirs(inputs, mask=mask, initial_state=list(start))
    weights = [w.value for w in theirs.trainable_weights]
    expected = tape.gradient(outputs, [inputs, *weights], tf.constant(gradient))

    ours = BidirectionalRNN(*cells)
    np.testing.assert_allclose(ours.forward(x, mask, tuple(start)), outputs, atol=1e-12)
    np.testing.assert_allclose(ours.final_states, states, atol=1e-12)
    for one, right in zip([ours.backward(gradient), *ours.gradients], expected, strict=True):
        np.testing.assert_allclose(one, right, atol=1e-10)


def test_the_last_outputs_of_a_bidirectional_layer_equal_keras(double, masks):
    keras, tf = double
    cells = [draw_cell(4), draw_cell(5)]
    x, mask, *_ = draw_case(masks["after"])
    theirs = keras.layers.Bidirectional(keras.layers.SimpleRNN(2))
    theirs.build(x.shape)
    theirs.set_weights([array for cell in cells for array in cell.weights])
    inputs, gradient = tf.Variable(x), np.random.default_rng(1).normal(size=(3, 4))
    with tf.GradientTape() as tape:
        output = theirs(inputs, mask=mask)
    ours = BidirectionalRNN(*cells)
    ours.forward(x, mask)
    np.testing.assert_allclose(ours.last_output, output, atol=1e-12)
    expected = tape.gradient(output, inputs, tf.constant(gradient))
    np.testing.assert_allclose(ours.backward(gradient), expected, atol=1e-12)


def test_a_stack_equals_keras(double, masks):
    keras, tf = double
    cells = [draw_cell(6), draw_cell(7), draw_cell(8, num_inputs=4)]
    ours = StackedRNN([BidirectionalRNN(*cells[:2]), RNN(cells[2])])
    x, mask, *_ = draw_case(masks["after"])
    both = keras.layers.Bidirectional(keras.layers.SimpleRNN(2, return_sequences=True))
    top = keras.layers.SimpleRNN(2)
    inputs, gradient = tf.Variable(x), np.random.default_rng(1).normal(size=(3, 2))
    both.build(x.shape)
    top.build((3, 4, 4))
    both.set_weights([array for cell in cells[:2] for array in cell.weights])
    top.set_weights(cells[2].weights)
    with tf.GradientTape() as tape:
        output = top(both(inputs, mask=mask), mask=mask)
    weights = [w.value for layer in (both, top) for w in layer.trainable_weights]
    expected = tape.gradient(output, [inputs, *weights], tf.constant(gradient))
    assert ours.forward(x, mask).shape == (3, 4, 2)
    np.testing.assert_allclose(ours.last_output, output, atol=1e-12)
    found = [ours.backward(gradient), *(g for layer in ours.layers for g in layer.gradients)]
    for one, right in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, right, atol=1e-10)


def test_drawn_weights_are_spread_as_keras_spreads_them(double):
    keras, _ = double
    rng = np.random.default_rng(0)
    kernel, recurrent, bias = SimpleRNNCell.draw(100, 60, rng).weights
    theirs = keras.layers.SimpleRNN(60)
    theirs.build((None, None, 100))
    limit = np.sqrt(6 / 160)
    for ours, right in zip((kernel, recurrent, bias), theirs.get_weights(), strict=True):
        assert ours.shape == right.shape
        np.testing.assert_allclose(ours.std(), right.std(), rtol=0.03, atol=1e-12)
    assert 0.99 * limit < np.abs(kernel).max() <= limit
    np.testing.assert_allclose(recurrent @ recurrent.T, np.eye(60), atol=1e-12)


# === By hand and by nudging ===


def test_two_steps_by_hand():
    layer = RNN(SimpleRNNCell([[2.0]], [[0.5]], [1.0], activation="linear"))
    outputs = layer.forward([[[3.0], [5.0]]], initial_states=(np.array([[4.0]]),))
    np.testing.assert_array_equal(outputs, [[[9.0], [15.5]]])  # 6 + 2 + 1, then 10 + 4.5 + 1
    # loss = first + 10 · second output
    x_gradient = layer.backward([[[1.0], [10.0]]])
    np.testing.assert_array_equal(x_gradient, [[[2 * (1 + 0.5 * 10)], [2 * 10]]])
    kernel, recurrent, bias = layer.gradients
    assert (kernel, recurrent, bias) == (3 * 6 + 5 * 10, 4 * 6 + 9 * 10, 6 + 10)
    np.testing.assert_array_equal(layer.initial_gradients[0], [[3.0]])
    np.testing.assert_array_equal(layer.state_gradients[0][0, :, 0], [3, 1 + 0.5 * 10, 10])


def slopes_agree(f, gradient, x):
    """Compare with measured slopes, which rounding moves by about 1e-9, also where they vanish."""
    gap = np.abs(gradient - numerical_gradient(f, x)).max()
    return gap < 1e-6 * np.abs(gradient).max() + 1e-8


@settings(max_examples=12, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(1, 3)),
    units=st.integers(1, 3),
    seed=st.integers(0, 999),
    backwards=st.booleans(),
    activation=st.sampled_from(["tanh", "sigmoid", "linear", "swish"]),
)
def test_gradients_agree_with_finite_differences(shape, units, seed, backwards, activation):
    cell = draw_cell(seed, num_inputs=shape[2], units=units, activation=activation)
    mask = np.random.default_rng(seed).random(shape[:2]) < 0.7
    x, mask, start, gradient, end = draw_case(mask, seed, shape, units)
    layer = RNN(cell, backwards=backwards)

    def loss(x=x, start=start, weights=None):
        cell.weights = weights or cell.weights
        outputs = layer.forward(x, mask, start)
        return np.sum(gradient * outputs) + np.sum(end[0] * layer.final_states[0])

    weights = list(cell.weights)
    loss()
    x_gradient = layer.backward(gradient, tuple(end))
    found = [*layer.initial_gradients, *layer.gradients]
    assert slopes_agree(lambda v: loss(x=v), x_gradient, x)
    assert slopes_agree(lambda v: loss(start=(v,)), found[0], start[0])
    for i, right in enumerate(weights):

        def nudged(v, i=i):
            return loss(weights=[v if k == i else w for k, w in enumerate(weights)])

        assert slopes_agree(nudged, found[1 + i], right)
        cell.weights = weights


@given(seed=st.integers(0, 99), T=st.integers(1, 6), cut=st.integers(0, 6))
@settings(max_examples=20, deadline=None)
def test_a_sequence_in_two_parts_with_the_state_carried_is_the_whole(seed, T, cut):
    x, cut = np.random.default_rng(seed).normal(size=(2, T + 1, 3)), min(cut, T)
    layer = RNN(draw_cell(seed))
    whole = layer.forward(x)
    parts = []
    states = None
    for part in (x[:, : cut + 1], x[:, cut + 1 :]):
        if part.shape[1]:
            parts.append(layer.forward(part, initial_states=states))
            states = layer.final_states
    np.testing.assert_allclose(np.concatenate(parts, axis=1), whole, atol=1e-12)


@given(seed=st.integers(0, 99), before=st.integers(0, 3), after=st.integers(0, 3))
@settings(max_examples=20, deadline=None)
def test_padding_changes_nothing(seed, before, after):
    x = np.random.default_rng(seed).normal(size=(1, 3, 3))
    sides = ((0, 0), (before, after))
    padded = np.pad(x, (*sides, (0, 0)), constant_values=7.0)
    mask = np.pad(np.ones((1, 3)), sides)
    layer = BidirectionalRNN(draw_cell(seed), draw_cell(seed + 1))
    alone = layer.forward(x), layer.last_output, layer.backward(np.ones((1, 4)))
    outputs = layer.forward(padded, mask)
    gradient = layer.backward(np.ones((1, 4)))
    real = slice(before, before + 3)
    np.testing.assert_allclose(outputs[:, real], alone[0], atol=1e-12)
    np.testing.assert_allclose(layer.last_output, alone[1], atol=1e-12)
    np.testing.assert_allclose(gradient[:, real], alone[2], atol=1e-12)
    assert not np.delete(gradient, np.arange(before, before + 3), axis=1).any()


def test_the_gradient_through_time_of_a_linear_network_is_a_power():
    turn = np.array([[0.0, -1.0], [1.0, 0.0]])
    cell = SimpleRNNCell(np.eye(2), 0.5 * turn, activation="linear")
    layer = RNN(cell)
    layer.forward(np.ones((1, 6, 2)))
    layer.backward([[3.0, 4.0]])
    norms = np.linalg.norm(layer.state_gradients[0], axis=-1)[0]
    np.testing.assert_allclose(norms, 5 * 0.5 ** np.arange(6, -1, -1))


@given(radius=st.floats(0.01, 9), seed=st.integers(0, 99), size=st.integers(1, 6))
def test_the_spectral_radius_is_the_largest_stretch_of_a_symmetric_matrix(radius, seed, size):
    matrix = np.random.default_rng(seed).normal(size=(size, size))
    symmetric = matrix + matrix.T
    np.testing.assert_allclose(spectral_radius(symmetric), np.linalg.norm(symmetric, 2))
    np.testing.assert_allclose(spectral_radius(radius * matrix), radius * spectral_radius(matrix))


# === Errors ===


def test_wrong_weights_are_refused():
    with pytest.raises(ValueError, match=r"`recurrent_kernel` must have shape \(2, 2\)"):
        SimpleRNNCell(np.ones((3, 2)), np.ones((2, 3)))
    with pytest.raises(ValueError, match=r"`kernel` must have shape \(any, 2\)"):
        SimpleRNNCell(np.ones((3, 4)), np.eye(2))
    with pytest.raises(ValueError, match=r"`bias` must have shape \(2,\)"):
        SimpleRNNCell(np.ones((3, 2)), np.eye(2), np.ones(3))
    with pytest.raises(TypeError, match="`kernel` must be an array of numbers"):
        SimpleRNNCell([["a", "b"]], np.eye(2))
    with pytest.raises(ValueError, match="`activation` must be one of"):
        SimpleRNNCell(np.ones((3, 2)), np.eye(2), activation="Tanh")
    for name in ("softmax", "step"):
        with pytest.raises(ValueError, match=f"element by element.*Received: activation='{name}'"):
            SimpleRNNCell(np.ones((3, 2)), np.eye(2), activation=name)
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="`units` must be an integer >= 1"):
        SimpleRNNCell.draw(3, 0, rng)
    with pytest.raises(TypeError, match="`num_inputs` must be an integer"):
        SimpleRNNCell.draw(3.0, 2, rng)
    with pytest.raises(TypeError, match="`rng` must be a numpy.random.Generator"):
        SimpleRNNCell.draw(3, 2, 0)
    with pytest.raises(ValueError, match=r"`matrix` must be square.*\(2, 3\)"):
        spectral_radius(np.ones((2, 3)))


def test_wrong_sequences_are_refused():
    layer, x = RNN(draw_cell()), np.ones((2, 4, 3))
    with pytest.raises(RuntimeError, match="`forward` must be called before `backward`"):
        layer.backward(np.ones((2, 4, 2)))
    for wrong in (np.ones((2, 4, 5)), np.ones((4, 3))):
        with pytest.raises(ValueError, match=r"`x` must have shape \(any, any, 3\)"):
            layer.forward(wrong)
    with pytest.raises(ValueError, match="`x` must hold finite numbers"):
        layer.forward(x * np.nan)
    with pytest.raises(ValueError, match=r"`mask` must have shape \(2, 4\)"):
        layer.forward(x, np.ones((2, 5)))
    with pytest.raises(ValueError, match="`mask` must hold True and False"):
        layer.forward(x, np.full((2, 4), 0.5))
    with pytest.raises(TypeError, match="`initial_states` must be a tuple .* is a ndarray"):
        layer.forward(x, initial_states=np.zeros((2, 2)))
    with pytest.raises(ValueError, match=r"`initial_states` must hold 1 arrays.*=2"):
        layer.forward(x, initial_states=(np.zeros((2, 2)),) * 2)
    with pytest.raises(ValueError, match=r"`initial_states\[0\]` must have shape \(2, 2\)"):
        layer.forward(x, initial_states=(np.zeros((2, 3)),))
    layer.forward(x)
    for wrong in (np.ones((2, 3)), np.ones((2, 3, 2)), np.ones(2)):
        with pytest.raises(ValueError, match=r"`gradient` must have shape \(2, (4, )?2\)"):
            layer.backward(wrong)
    with pytest.raises(ValueError, match=r"`final_gradients\[0\]` must have shape \(2, 2\)"):
        layer.backward(np.ones((2, 2)), (np.ones((2, 1)),))


def test_wrong_layers_are_refused():
    cell = draw_cell()
    with pytest.raises(TypeError, match="`cell` must be a recurrent cell"):
        RNN(RNN(cell))
    with pytest.raises(TypeError, match="`backwards` must be True or False. Received: backwards=1"):
        RNN(cell, backwards=1)
    with pytest.raises(TypeError, match="`cell` must be a recurrent cell"):
        BidirectionalRNN(cell, "simple")
    both = BidirectionalRNN(cell, draw_cell(1))
    with pytest.raises(ValueError, match="`initial_states` must be a tuple of 2 arrays"):
        both.forward(np.ones((2, 4, 3)), initial_states=(np.zeros((2, 2)),))
    both.forward(np.ones((2, 4, 3)))
    with pytest.raises(ValueError, match="`gradient` must have 4 columns"):
        both.backward(np.ones((2, 2)))
    with pytest.raises(TypeError, match="`layers` must be a sequence of recurrent layers"):
        StackedRNN([cell])
    with pytest.raises(ValueError, match="`layers` must not be empty"):
        StackedRNN([])
