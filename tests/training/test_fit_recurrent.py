import numpy as np
import pytest
from contracts import Refusal, check_docstring, check_refusals

from dlnotes.runtime import quiet_start
from dlnotes.scratch import (
    RNN,
    Adam,
    GRUCell,
    LSTMCell,
    SequenceRegressor,
    SimpleRNNCell,
    StackedRNN,
    clip_by_global_norm,
    softmax,
)

with quiet_start():
    from dlnotes.training import RecurrentRuns, fit_recurrent

CELLS = {"tanh": SimpleRNNCell, "relu": SimpleRNNCell, "lstm": LSTMCell, "gru": GRUCell}
X = np.random.default_rng(0).normal(size=(30, 5, 2))
Y = X[:, 1, 0]


def draw_cell(cell, seed, *, num_inputs=2, units=3):
    options = {"activation": "relu"} if cell == "relu" else {}
    return CELLS[cell].draw(num_inputs, units, np.random.default_rng(seed), **options)


def draw_starts(cell="tanh", copies=2):
    nets = [regressor(cell, seed) for seed in range(copies)]
    return [net.weights for net in nets]


def regressor(cell, seed):
    return SequenceRegressor(draw_cell(cell, seed), rng=np.random.default_rng(seed))


def fit(cell="tanh", starts=None, x=X, y=Y, **options):
    starts = draw_starts(cell) if starts is None else starts
    options = {"rates": (0.01, 0.1), "steps": 4, "batch_size": 6} | options
    return fit_recurrent(cell, starts, x, y, rng=np.random.default_rng(7), **options)


def test_docstrings():
    check_docstring(fit_recurrent)
    check_docstring(RecurrentRuns)


@pytest.mark.parametrize("cell", CELLS)
def test_each_copy_ends_where_the_scratch_network_ends(cell):
    runs = fit(cell, max_norm=0.5)
    for i, rate in enumerate((0.01, 0.1)):
        for copy in range(2):
            net = regressor(cell, copy)
            rng = np.random.default_rng(7)
            net.fit(X, Y, rate=rate, rng=rng, steps=4, batch_size=6, max_norm=0.5)
            for ours, theirs in zip(runs.load(i, copy), net.weights, strict=True):
                np.testing.assert_allclose(ours, theirs, atol=2e-5)
            np.testing.assert_allclose(runs.predict(X)[i, copy, :, 0, 0], net.predict(X), atol=1e-4)


def test_losses_are_those_of_the_batches_before_each_update():
    starts, rng = draw_starts(), np.random.default_rng(7)
    first, second = (rng.integers(0, 30, 6) for _ in range(2))
    runs = fit(starts=starts, steps=2)
    for copy, net in enumerate(regressor("tanh", seed) for seed in range(2)):
        error = np.mean((net.predict(X[first]) - Y[first]) ** 2)
        np.testing.assert_allclose(runs.losses[:, copy, 0], error, rtol=1e-5)
        net.weights = fit(starts=starts, steps=1).load(1, copy)
        error = np.mean((net.predict(X[second]) - Y[second]) ** 2)
        np.testing.assert_allclose(runs.losses[1, copy, 1], error, rtol=1e-4)


def test_room_for_longer_sequences_changes_nothing():
    for ours, theirs in zip(fit(room=9).weights, fit().weights, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_two_layers_and_several_answers_equal_a_hand_written_step():
    layers = [draw_cell("lstm", 0), draw_cell("lstm", 1, num_inputs=3, units=4)]
    rng = np.random.default_rng(3)
    head, bias, y = rng.normal(size=(4, 3)), rng.normal(size=3), rng.integers(0, 3, (30, 2))
    start = [*layers[0].weights, *layers[1].weights, head, bias]
    options = {"y": y, "steps": 1, "rates": (0.1,), "max_norm": None}
    runs = fit("lstm", [start], room=6, **options)

    rows, stack = np.random.default_rng(7).integers(0, 30, 6), StackedRNN([RNN(c) for c in layers])
    outputs = stack.forward(X[rows])
    scores = outputs[:, -2:] @ head + bias
    slopes = (softmax(scores) - np.eye(3)[y[rows]]) / 12
    blame = np.zeros_like(outputs)
    blame[:, -2:] = slopes @ head.T
    stack.backward(blame)
    gradients = [g for layer in stack.layers for g in layer.gradients]
    gradients += [np.einsum("bku,bko->uo", outputs[:, -2:], slopes), slopes.sum(axis=(0, 1))]
    for ours, w, g in zip(runs.load(0, 0), start, gradients, strict=True):
        np.testing.assert_allclose(ours, Adam(0.1).step(w, g), atol=2e-4)
    entropy = -np.log(np.take_along_axis(softmax(scores), y[rows][..., None], axis=-1)).mean()
    np.testing.assert_allclose(runs.losses[0, 0, 0], entropy, rtol=1e-5)

    for layer, part in zip(stack.layers, (slice(0, 3), slice(3, 6)), strict=True):
        layer.cell.weights = runs.load(0, 0)[part]
    *_, head, bias = runs.load(0, 0)
    expected = stack.forward(X)[:, -2:] @ head + bias
    np.testing.assert_allclose(runs.predict(X, answers=2)[0, 0], expected, atol=1e-5)


def test_clipping_is_done_for_each_copy_by_itself():
    starts = draw_starts(copies=2)
    starts[1] = [100 * array for array in starts[1]]  # a much longer gradient
    together = fit(starts=starts, max_norm=0.1)
    alone = fit(starts=[starts[0], starts[0]], max_norm=0.1)
    for ours, theirs in zip(together.load(0, 0), alone.load(0, 0), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)
    assert clip_by_global_norm([np.ones(4)], 0.1)[0].sum() == pytest.approx(0.2)


def test_wrong_arguments_are_refused():
    refusals = [
        (ValueError, "`cell` must be one of", {"cell": "rnn"}),
        (ValueError, "`starts` must hold the weights", {"starts": []}),
        (ValueError, "`starts` must hold arrays of the shapes", {"cell": "lstm"}),
        (ValueError, "`starts` must hold arrays of the shapes", {"x": X[..., :1]}),
        (ValueError, "`y` must have from 1 to 5 columns", {"y": np.zeros((30, 6), int)}),
        (TypeError, "`y` must be fractions of shape", {"y": np.zeros(30, int)}),
        (TypeError, "`y` must be fractions of shape", {"y": np.zeros(30, bool)}),
        (ValueError, "`y` must hold classes from 0 to 0", {"y": np.ones((30, 1), int)}),
        (ValueError, "`y` must hold classes from 0 to 0", {"y": np.full((30, 1), -1)}),
        (ValueError, "`rates` must hold at least one", {"rates": ()}),
        (ValueError, "`rates` must be", {"rates": (0.0,)}),
        (ValueError, "`room` must be an integer >= 5", {"room": 4}),
        (ValueError, "`steps` must be an integer >= 1", {"steps": 0}),
        (ValueError, "`max_norm` must be", {"max_norm": 0.0}),
        (TypeError, "`rng` must be", {"rng": 7}),
    ]
    options = {"cell": "tanh", "starts": draw_starts(), "x": X, "y": Y, "rates": (0.1,)}
    options["rng"] = np.random.default_rng(0)
    check_refusals(
        fit_recurrent,
        [Refusal((), options | wrong, error, match) for error, match, wrong in refusals],
    )
    runs = fit(steps=1)
    with pytest.raises(ValueError, match=r"`x` must have shape \(any, any, 2\)"):
        runs.predict(X[..., :1])
    with pytest.raises(ValueError, match="`answers` must be"):
        runs.predict(X, answers=6)
