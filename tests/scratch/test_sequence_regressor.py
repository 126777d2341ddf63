import numpy as np
import pytest
from contracts import check_docstring
from hypothesis import given, settings
from hypothesis import strategies as st

from dlnotes.scratch import (
    SGD,
    RateRuns,
    SequenceRegressor,
    SimpleRNNCell,
    fit_at_rates,
    numerical_gradient,
)

X, Y = np.random.default_rng(0).normal(size=(6, 4, 2)), np.random.default_rng(1).normal(size=6)


def build(seed=0, **options):
    rng = np.random.default_rng(seed)
    return SequenceRegressor(SimpleRNNCell.draw(2, 3, rng), rng=rng, **options)


def step(net, rate=1e-4, **options):
    """Return minus the update of one step, over the rate: the gradient that was followed."""
    before = [array.copy() for array in net.weights]

    class AllRows:  # a batch of every row once
        def integers(self, low, high, size):
            return np.arange(len(X))

    class Rng(np.random.Generator):
        integers = AllRows.integers

    net.fit(
        X, Y, rate=rate, rule=SGD, steps=1, batch_size=6, rng=Rng(np.random.PCG64(0)), **options
    )
    return [(b - a) / rate for b, a in zip(before, net.weights, strict=True)]


@pytest.mark.parametrize("thing", [SequenceRegressor, RateRuns, fit_at_rates])
def test_docstrings(thing):
    check_docstring(thing)


def test_prediction_by_hand():
    net = build(start="kept", spread=2.0)
    kernel, recurrent, bias = net.layer.cell.weights
    h = np.tile(net.first[0], (6, 1))
    assert np.abs(h).max() > 0.1
    for t in range(4):
        h = np.tanh(X[:, t] @ kernel + h @ recurrent + bias)
    expected = (h @ net.head.weights + net.head.bias)[:, 0]
    np.testing.assert_allclose(net.predict(X), expected)
    np.testing.assert_allclose(net.error(X, Y), np.mean((expected - Y) ** 2))


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 99), reach=st.integers(1, 4))
def test_a_step_follows_the_gradient_with_the_past_held_fixed(seed, reach):
    net, other = build(seed), build(seed)
    states = (np.zeros((6, 3)),)
    if reach < 4:
        other.layer.forward(X[:, : 4 - reach])
        states = other.layer.final_states
    found = step(net, reach=reach)
    weights = other.weights
    for i, array in enumerate(weights):

        def loss(value, i=i):
            other.weights = [value if k == i else w for k, w in enumerate(weights)]
            other.layer.forward(X[:, 4 - reach :], initial_states=states)
            return np.mean((other.head.forward(other.layer.last_output)[:, 0] - Y) ** 2)

        np.testing.assert_allclose(found[i], numerical_gradient(loss, array), atol=1e-5)


def test_a_learned_start_follows_its_gradient():
    net, other = build(start="learned"), build(start="learned")
    found = step(net)
    weights = other.weights
    assert len(found) == 6

    def loss(value):
        other.weights = [*weights[:5], value]
        return other.error(X, Y)

    np.testing.assert_allclose(found[5], numerical_gradient(loss, weights[5]), atol=1e-5)
    assert np.abs(net.first[0]).max() > 0
    assert not build().first[0].any()


def test_clipping_shortens_the_whole_gradient():
    net, other = build(), build()
    free, short = step(net), step(other, max_norm=0.01)
    length = np.sqrt(sum(np.sum(g**2) for g in free))
    np.testing.assert_allclose(other.lengths, [length], rtol=1e-6)
    for a, b in zip(free, short, strict=True):
        np.testing.assert_allclose(b, a * 0.01 / length, atol=1e-8)


def test_a_start_drawn_anew_differs_each_time_and_the_others_do_not():
    rng = np.random.default_rng(5)
    net = build(start="anew", spread=1.0)
    assert np.abs(net.predict(X, rng=rng) - net.predict(X, rng=rng)).min() > 0
    with pytest.raises(TypeError, match="`rng` must be a numpy.random.Generator"):
        net.predict(X)
    for start in ("zeros", "kept", "learned"):
        net = build(start=start, spread=1.0)
        np.testing.assert_array_equal(net.predict(X, rng=rng), net.predict(X, rng=rng))


def test_an_explosion_stops_the_training():
    net = build()
    net.fit(X, Y, rate=50.0, rule=SGD, rng=np.random.default_rng(0))
    assert net.exploded
    assert len(net.lengths) < 300
    assert net.lengths[-1] > 1e6
    assert net.error(X, Y) == np.inf


def test_wrong_calls_are_refused():
    net, rng = build(), np.random.default_rng(0)
    with pytest.raises(ValueError, match="`start` must be one of 'zeros', 'learned'"):
        build(start="random")
    with pytest.raises(ValueError, match="`spread` must be a finite number >= 0"):
        build(start="kept", spread=-1)
    with pytest.raises(TypeError, match="`cell` must be a recurrent cell"):
        SequenceRegressor("simple", rng=rng)
    for reach in (0, 5):
        with pytest.raises(ValueError, match=r"`reach` must be an integer in \[1, 4\]"):
            net.fit(X, Y, rate=0.1, rng=rng, reach=reach)
    with pytest.raises(ValueError, match="`reach` must be 4 for a learned start"):
        build(start="learned").fit(X, Y, rate=0.1, rng=rng, reach=2)
    with pytest.raises(ValueError, match="must have the same number of rows"):
        net.fit(X, Y[:5], rate=0.1, rng=rng)
    with pytest.raises(ValueError, match="`steps` must be an integer >= 1"):
        net.fit(X, Y, rate=0.1, rng=rng, steps=0)
    with pytest.raises(ValueError, match="`max_norm` must be a finite number > 0"):
        net.fit(X, Y, rate=0.1, rng=rng, max_norm=0)
    with pytest.raises(ValueError, match="`x` must be 3-dimensional"):
        net.predict(X[0])


# === Several rates ===


def race(rates=(0.01, 0.1), **options):
    rng, cell = np.random.default_rng(3), lambda rng: SimpleRNNCell.draw(2, 3, rng)
    options = {"steps": 20, "batch_size": 6, "rule": SGD} | options
    return fit_at_rates(cell, (X, Y), (X[:3], Y[:3]), rates=rates, rng=rng, **options)


def test_copies_begin_alike_and_see_the_same_batches_at_every_rate():
    runs = race((0.1, 0.1, 0.01), copies=2)
    assert runs.errors.shape == (3, 2)
    np.testing.assert_array_equal(runs.errors[0], runs.errors[1])
    assert runs.errors[0, 0] != runs.errors[0, 1]
    assert (runs.errors[2] != runs.errors[0]).all()
    np.testing.assert_allclose(runs.nets[2][1].error(X[:3], Y[:3]), runs.errors[2, 1])


def test_the_best_rate_has_the_lowest_median_and_an_explosion_counts_as_infinite():
    nets = [["a"], ["b"], ["c"]]
    errors = np.array([[0.0, 5.0, 6.0], [3.0, 4.0, 4.5], [1.0, np.inf, np.inf]])
    runs = RateRuns((0.1, 0.2, 0.3), nets, errors)
    assert (runs.best_rate, runs.best) == (0.2, ["b"])
    assert np.isinf(race((50.0,), steps=300).errors).all()


def test_options_reach_the_networks():
    runs = race(start="kept", spread=2.0, copies=1, max_norm=0.5)
    net = runs.best[0]
    assert net.start == "kept"
    assert np.abs(net.first[0]).max() > 0.1
    assert len(net.lengths) == 20
    with pytest.raises(ValueError, match="`rates` must hold at least one"):
        race(())
    with pytest.raises(ValueError, match="`copies` must be an integer >= 1"):
        race(copies=0)
    with pytest.raises(TypeError, match="`draw_cell` must be a function"):
        fit_at_rates(None, (X, Y), (X, Y), rates=(0.1,), rng=np.random.default_rng(0))
