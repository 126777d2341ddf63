import math

import numpy as np
import pytest
from contracts import check_docstring
from hypothesis import given, settings
from hypothesis import strategies as st

from dlnotes.runtime import quiet_start
from dlnotes.scratch import (
    Scalar,
    Tensor,
    cross_entropy,
    edge_gradients,
    gradient_error,
    matmul_gradients,
    numerical_gradient,
    sparse_categorical_cross_entropy,
    sparse_categorical_cross_entropy_gradient,
    topological_order,
    unbroadcast,
)
from dlnotes.scratch.autodiff import Arithmetic, check_exponent, check_node, check_stretched

# === Scalars ===

SCALAR_EXPRESSIONS = {
    "add": (lambda x, w: x + w + x, 2, 1),
    "numbers on both sides": (lambda x, w: 2 - (1 + 3 * x) / 4 - w * 5, -0.75, -5),
    "multiply": (lambda x, w: x * w * x, 2 * 1.5 * -0.5, 2.25),
    "divide": (lambda x, w: x / w, 1 / -0.5, -1.5 / 0.25),
    "into a number": (lambda x, w: 3 / x + w, -3 / 2.25, 1),
    "power": (lambda x, w: x**3 + w**2 + x**-2 + x**0.5, 6.75 - 2 / 3.375 + 0.5 / 1.5**0.5, -1),
    "tanh": (lambda x, w: (x * w).tanh(), -0.5 / math.cosh(0.75) ** 2, 1.5 / math.cosh(0.75) ** 2),
}


@pytest.mark.parametrize("name", SCALAR_EXPRESSIONS)
def test_scalar_operations_have_their_values_and_slopes(name):
    expression, x_slope, w_slope = SCALAR_EXPRESSIONS[name]
    x, w = Scalar(1.5), Scalar(-0.5)
    output = expression(x, w)
    output.backward()
    plain = expression(Tensor(1.5), Tensor(-0.5))
    assert output.value == pytest.approx(float(plain.value), abs=1e-14)
    assert (x.gradient, w.gradient) == (pytest.approx(x_slope), pytest.approx(w_slope))
    assert output.gradient == 1


def test_relu_has_slope_zero_at_its_kink():
    x = Tensor([-1.0, 0.0, 1.0])
    x.relu().sum().backward()
    np.testing.assert_array_equal(x.gradient, [0, 0, 1])


@pytest.mark.parametrize("kind", [Scalar, Tensor])
def test_gradients_accumulate_where_paths_meet(kind):
    x = kind(3.0)
    y = x * x  # one value, two paths
    output = y + y * x
    output.backward()
    assert (x.gradient, y.gradient) == (2 * 3 + 3 * 9, 1 + 3)


@pytest.mark.parametrize("kind", [Scalar, Tensor])
def test_inputs_add_up_over_sweeps_and_inner_values_do_not(kind):
    x = kind(3.0)
    y = 2 * x
    output = y * y
    output.backward()
    output.backward()
    assert (x.gradient, y.gradient, output.gradient) == (2 * 24, 12, 1)


def test_backward_from_an_inner_value_counts_only_what_led_to_it():
    x = Scalar(2.0)
    y = x * 3
    _ = y * 100
    y.backward()
    assert x.gradient == 3


@pytest.mark.parametrize("kind", [Scalar, Tensor])
def test_long_chains_meet_no_recursion_limit(kind):
    x = kind(1.0)
    y = x
    for _ in range(5000):
        y = y + 1.0
    y.backward()
    assert (y.value, x.gradient) == (5001, 1)
    assert len(topological_order(y)) == 10_001


def test_topological_order_has_each_value_once_and_after_its_parents():
    x, w = Scalar(1.0), Scalar(2.0)
    a = x * w
    b = a + x
    output = b * a
    order = topological_order(output)
    assert sorted(map(id, order)) == sorted(map(id, (x, w, a, b, output)))
    for node in order:
        for parent, _ in node.parents:
            assert order.index(parent) < order.index(node)
    assert order[-1] is output


def test_a_wide_graph_of_shared_values_costs_each_value_once():
    x = Scalar(1.0)
    y = x
    for _ in range(60):  # 2**60 paths
        y = y + y
    y.backward()
    assert x.gradient == 2.0**60


# === Arrays ===

BY_SHAPE = {  # name: expression of two arrays of one shape
    "add": lambda t, a, b: a + b,
    "subtract": lambda t, a, b: a - b,
    "multiply": lambda t, a, b: a * b,
    "divide": lambda t, a, b: a / (b * b + 1.0),
    "array first": lambda t, a, b: 2.0 - a + 1.0 / (b * b + 1.0),
}


@settings(deadline=None, max_examples=25)
@given(
    long=st.lists(st.integers(1, 3), min_size=0, max_size=3),
    cut=st.integers(0, 3),
    ones=st.lists(st.booleans(), min_size=3, max_size=3),
    swap=st.booleans(),
    name=st.sampled_from(sorted(BY_SHAPE)),
    seed=st.integers(0, 1000),
)
def test_broadcasting_gradients_agree_with_finite_differences(long, cut, ones, swap, name, seed):
    rng = np.random.default_rng(seed)
    short = [1 if one else n for n, one in zip(long, ones, strict=False)][cut:]
    a, b = rng.normal(size=long), rng.normal(size=short)
    a, b = (b, a) if swap else (a, b)
    direction = rng.normal(size=long)
    check_two(lambda a, b: BY_SHAPE[name](None, a, b) * direction, a, b)


def check_two(expression, a, b):
    """Compare both gradients of a sum with finite differences."""
    left, right = Tensor(a), Tensor(b)
    loss = expression(left, right).sum()
    loss.backward()
    for gradient, f, x in (
        (left.gradient, lambda a: loss_of(expression, a, b), a),
        (right.gradient, lambda b: loss_of(expression, a, b), b),
    ):
        assert gradient.shape == np.shape(x)
        assert gradient.dtype == np.float64
        # not `gradient_error`: where the parts cancel, the right gradient is nearly zero
        np.testing.assert_allclose(gradient, numerical_gradient(f, x, step=1e-5), atol=1e-7)


def loss_of(expression, a, b):
    return float(expression(Tensor(a), Tensor(b)).sum().value)


@settings(deadline=None, max_examples=25)
@given(
    shapes=st.sampled_from(
        [
            ((3,), (3,)),
            ((3,), (3, 2)),
            ((2, 3), (3,)),
            ((2, 3), (3, 4)),
            ((5, 2, 3), (3, 4)),
            ((3,), (5, 3, 2)),
            ((5, 2, 3), (3,)),
            ((5, 1, 2, 3), (4, 3, 2)),
            ((2, 3), (5, 3, 1)),
        ]
    ),
    seed=st.integers(0, 1000),
)
def test_matmul_takes_vectors_matrices_and_stacks(shapes, seed):
    rng = np.random.default_rng(seed)
    a, b = (rng.normal(size=shape) for shape in shapes)
    product = Tensor(a) @ b
    np.testing.assert_allclose(product.value, a @ b, atol=1e-14)
    assert product.shape == (a @ b).shape
    direction = rng.normal(size=(a @ b).shape)
    check_two(lambda a, b: (a @ b) * direction, a, b)
    if len(shapes[1]) > 1:
        np.testing.assert_array_equal((a @ Tensor(b)).value, (Tensor(a) @ b).value)


ONE_ARRAY = {
    "exp": lambda x: x.exp(),
    "log": lambda x: (x * x + 0.5).log(),
    "tanh": lambda x: x.tanh(),
    "sigmoid": lambda x: x.sigmoid(),
    "relu": lambda x: x.relu(),
    "power": lambda x: (x * x + 0.5) ** -1.5 + x**3 + x**1,
    "sum all": lambda x: x.sum() * x,
    "sum first axis": lambda x: x.sum(0),
    "sum last axis": lambda x: x.sum(axis=-1, keepdims=True) * x,
    "sum two axes": lambda x: x.sum(axis=(2, 0)),
    "sum two axes, kept": lambda x: x.sum(axis=(-1, 0), keepdims=True) * x,
    "mean all": lambda x: x.mean() * x,
    "mean of one axis": lambda x: x.mean(axis=1),
    "mean, kept": lambda x: (x - x.mean(axis=(0, 2), keepdims=True)) ** 2,
    "one element": lambda x: x[1, 0, 2],
    "slices": lambda x: x[:, ::-1, 1:],
    "new axis": lambda x: x[0][:, None] * x[1],
    "rows, one of them twice": lambda x: x[[0, 1, 0]] ** 2,
    "one a row": lambda x: x[np.arange(2), [2, 2], [0, 3]],
    "mask": lambda x: x[np.arange(24).reshape(2, 3, 4) % 5 == 0],
    "reshape": lambda x: x.reshape(4, -1) @ np.arange(12.0).reshape(6, 2),
    "transpose": lambda x: x.transpose() * np.arange(24.0).reshape(4, 3, 2),
}


@pytest.mark.parametrize("name", ONE_ARRAY)
def test_operations_agree_with_finite_differences(name):
    rng = np.random.default_rng(3)
    x = rng.normal(size=(2, 3, 4))
    shape = ONE_ARRAY[name](Tensor(x)).shape
    direction = rng.normal(size=shape)

    def loss(x):
        return (ONE_ARRAY[name](Tensor(x)) * direction).sum()

    tensor = Tensor(x)
    (ONE_ARRAY[name](tensor) * direction).sum().backward()
    assert tensor.gradient.any()
    assert gradient_error(lambda x: float(loss(x).value), tensor.gradient, x) < 1e-7


def test_values_are_numpys():
    x = np.random.default_rng(4).normal(size=(2, 3, 4))
    t = Tensor(x)
    pairs = [
        (t.exp(), np.exp(x)),
        ((t * t).log(), np.log(x * x)),
        (t.tanh(), np.tanh(x)),
        (t.sigmoid(), 1 / (1 + np.exp(-x))),
        (t.relu(), np.maximum(x, 0)),
        (t.sum((0, 2)), x.sum((0, 2))),
        (t.mean(-1, keepdims=True), x.mean(-1, keepdims=True)),
        (t.mean(), x.mean()),
        (t[..., [1, 1]], x[..., [1, 1]]),
        (t.transpose(), x.T),
        (t.reshape(8, -1), x.reshape(8, -1)),
        (1 - t / 2, 1 - x / 2),
        (x - t, 0 * x),
        (np.float64(2) * t, 2 * x),
    ]
    for tensor, array in pairs:
        assert tensor.shape == np.shape(array)
        np.testing.assert_allclose(tensor.value, array, atol=1e-15)
    assert repr(t) == "Tensor(shape=(2, 3, 4))"


def test_extreme_scores_stay_finite():
    z = Tensor([-1000.0, 1000.0])
    (z.sigmoid() + z.tanh()).sum().backward()
    np.testing.assert_array_equal(z.sigmoid().value, [0, 1])
    np.testing.assert_array_equal(z.gradient, [0, 0])
    z = Tensor(40.0)  # the sigmoid rounds to 1, its slope is still there
    z.sigmoid().backward()
    assert z.gradient == pytest.approx(math.exp(-40), rel=1e-12, abs=0)


def test_a_tensor_keeps_its_own_copy():
    x = np.ones(3)
    t = Tensor(x)
    x[:] = 7
    np.testing.assert_array_equal(t.value, 1)
    t = Tensor([1.0, 2.0])
    loss = (t * t).sum()
    t.value = np.array([5.0, 5.0])  # an update before the sweep must not change the slopes
    loss.backward()
    np.testing.assert_array_equal(t.gradient, [2, 4])
    t.zero_gradient()
    np.testing.assert_array_equal(t.gradient, [0, 0])


def network(ops, x, y, w1, b1, w2, b2):
    """Return the loss of a small classifier, in this engine or in TensorFlow."""
    h = ops["tanh"](x @ w1 + b1)
    h = ops["relu"](h) * ops["sigmoid"](h) + h
    z = h @ w2 + b2
    log_p = z - ops["log"](ops["sum"](ops["exp"](z)))
    return -ops["mean"](ops["pick"](log_p, y)) + 0.01 * ops["mean"](w1**2 / (1 + b1**2))


def test_values_and_gradients_equal_gradient_tape():
    with quiet_start():
        import tensorflow as tf

    rng = np.random.default_rng(5)
    shapes = ((4, 5), (5,), (5, 3), (3,))
    x, y = rng.normal(size=(6, 4)), np.array([0, 2, 1, 1, 0, 2])
    arrays = [rng.normal(size=shape) for shape in shapes]
    mine = [Tensor(array) for array in arrays]
    here = {name: getattr(Tensor, name) for name in ("tanh", "relu", "sigmoid", "log", "exp")}
    here["mean"] = Tensor.mean
    here["sum"] = lambda t: t.sum(axis=1, keepdims=True)
    here["pick"] = lambda t, y: t[np.arange(len(y)), y]
    loss = network(here, Tensor(x), y, *mine)
    loss.backward()

    there = {name: getattr(tf.math, name) for name in ("tanh", "sigmoid", "log", "exp")}
    there |= {"relu": tf.nn.relu, "mean": tf.reduce_mean}
    there["sum"] = lambda t: tf.reduce_sum(t, axis=1, keepdims=True)
    there["pick"] = lambda t, y: tf.gather(t, y, axis=1, batch_dims=1)
    theirs = [tf.Variable(array) for array in arrays]
    with tf.GradientTape() as tape:
        expected = network(there, tf.constant(x), y, *theirs)
    assert float(loss.value) == pytest.approx(float(expected), abs=1e-10)
    for tensor, gradient in zip(mine, tape.gradient(expected, theirs), strict=True):
        np.testing.assert_allclose(tensor.gradient, gradient, atol=1e-10, rtol=0)


# === The two formulas that the arrays need ===


def test_unbroadcast_sums_what_was_stretched():
    g = np.arange(24.0).reshape(2, 3, 4)
    assert unbroadcast(g, (2, 3, 4)) is not g
    np.testing.assert_array_equal(unbroadcast(g, (2, 3, 4)), g)
    np.testing.assert_array_equal(unbroadcast(g, (4,)), g.sum((0, 1)))
    np.testing.assert_array_equal(unbroadcast(g, (3, 1)), g.sum((0, 2))[:, None])
    np.testing.assert_array_equal(unbroadcast(g, (1, 3, 1)), g.sum((0, 2), keepdims=True))
    np.testing.assert_array_equal(unbroadcast(g, ()), g.sum())


def test_matmul_gradients_are_the_slopes_of_a_product():
    rng = np.random.default_rng(6)
    a, b, g = rng.normal(size=(2, 3)), rng.normal(size=(3, 4)), rng.normal(size=(2, 4))
    for_a, for_b = matmul_gradients(g, a, b)
    assert gradient_error(lambda a: float((g * (a @ b)).sum()), for_a, a) < 1e-8
    assert gradient_error(lambda b: float((g * (a @ b)).sum()), for_b, b) < 1e-8
    a, b, g = (np.stack([x, 2 * x]) for x in (a, b, g))  # a stack: each product by itself
    np.testing.assert_allclose(matmul_gradients(g, a, b)[0], np.stack([for_a, 4 * for_a]))
    np.testing.assert_allclose(matmul_gradients(g, a, b)[1], np.stack([for_b, 4 * for_b]))


# === Cross-entropy, and the edges of a graph ===


@settings(deadline=None, max_examples=15)
@given(rows=st.integers(1, 4), classes=st.integers(1, 4), seed=st.integers(0, 100))
def test_cross_entropy_is_that_of_the_losses(rows, classes, seed):
    rng = np.random.default_rng(seed)
    z, y = 5 * rng.normal(size=(rows, classes)), rng.integers(classes, size=rows)
    tensor = Tensor(z)
    loss = cross_entropy(tensor, y)
    loss.backward()
    expected = sparse_categorical_cross_entropy(y, z, from_logits=True)
    assert float(loss.value) == pytest.approx(expected, abs=1e-12)
    gradient = sparse_categorical_cross_entropy_gradient(y, z, from_logits=True)
    np.testing.assert_allclose(tensor.gradient, gradient, atol=1e-12)


def test_cross_entropy_of_extreme_scores_is_finite():
    z = Tensor([[1000.0, -1000.0, 0.0]])
    loss = cross_entropy(z, [1])
    loss.backward()
    assert loss.value == 2000
    np.testing.assert_array_equal(z.gradient, [[1, -1, 0]])


def test_edge_gradients_add_up_to_the_gradient_of_each_node():
    rng = np.random.default_rng(8)
    x, w, b = (Scalar(number) for number in rng.normal(size=3))
    h = (x * w + b).tanh()
    output = (h * x - 2 * h) ** 2
    output.backward()
    nodes = {"x": x, "w": w, "b": b, "h": h, "output": output}
    edges = edge_gradients(nodes)
    assert set(edges) == {("x", "h"), ("w", "h"), ("b", "h"), ("h", "output"), ("x", "output")}
    for name in ("x", "w", "b", "h"):
        arrived = sum(gradient for (start, _), gradient in edges.items() if start == name)
        assert arrived == pytest.approx(nodes[name].gradient, abs=1e-14)
    slope = 2 * (h.value * x.value - 2 * h.value)
    assert edges["x", "output"] == pytest.approx(slope * h.value)
    assert edges["h", "output"] == pytest.approx(slope * (x.value - 2))


# === Refusals ===

ONES = Tensor(np.ones((2, 3)))


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: Scalar("3"), TypeError, "`value` must be a number. Received: value='3'"),
        (lambda: Scalar(np.nan), ValueError, "`value` must be a finite number"),
        (lambda: Scalar(1) + "a", TypeError, "`value` must be a number"),
        (lambda: Scalar(1) ** Scalar(2), TypeError, "`exponent` must be a number"),
        (lambda: Scalar(-1) ** 0.5, ValueError, "`exponent` must be a whole number where"),
        (lambda: 1 / Scalar(0), ValueError, "`exponent` must be at least 1 where the base is 0"),
        (lambda: Scalar(0) ** 0.5, ValueError, "`exponent` must be at least 1 where the base is 0"),
        (lambda: topological_order(3), TypeError, "`output` must be a Scalar or a Tensor. Rec"),
        (lambda: Tensor(["a"]), TypeError, "`value` must be an array of numbers"),
        (lambda: Tensor([]), ValueError, "`value` must not be empty"),
        (lambda: Tensor([np.inf]), ValueError, "`value` must hold finite numbers"),
        (lambda: ONES.backward(), ValueError, r"`backward` must start from a single number .*\(2,"),
        (lambda: ONES[:1, :1].backward(), ValueError, r"Received: shape=\(1, 1\)"),
        (lambda: ONES + np.ones((2, 2)), ValueError, r"`\+` must get shapes that broadcast. Rec"),
        (lambda: ONES * np.ones(2), ValueError, r"`\*` must .* Received: \(2, 3\) and \(2,\)"),
        (lambda: ONES * "a", TypeError, "`value` must be an array of numbers"),
        (lambda: ONES @ 3.0, ValueError, r"`@` must get arrays with axes. Received: \(2, 3\) and"),
        (lambda: ONES @ ONES, ValueError, r"`@` must get shapes .* Received: \(2, 3\) and \(2, 3"),
        (lambda: ONES @ np.ones(2), ValueError, "`@` must get shapes"),
        (lambda: np.ones((2, 1, 3)) @ Tensor(np.ones((3, 3, 1))), ValueError, "`@` must get sha"),
        (lambda: (ONES - 1.0).log(), ValueError, "`log` must get positive numbers. Received: sm"),
        (lambda: 1 / (ONES - 1), ValueError, "`exponent` must be at least 1 where"),
        (lambda: (-ONES) ** 1.5, ValueError, "`exponent` must be a whole number where"),
        (lambda: ONES ** np.ones(3), TypeError, "`exponent` must be a number"),
        (lambda: ONES.sum(2), ValueError, r"`axis` must be an integer in \[-2, 1\]"),
        (lambda: ONES.sum("0"), TypeError, "`axis` must be an integer"),
        (lambda: ONES.mean((0, -2)), ValueError, "`axis` must not name an axis twice"),
        (lambda: Tensor(1.0).sum(0), ValueError, "`axis` must be an integer in"),
        (lambda: ONES[2], ValueError, r"`index` must fit the shape \(2, 3\).*Received: index=2"),
        (lambda: ONES[ONES], TypeError, "`index` must not be a Tensor"),
        (lambda: ONES[0, ONES], TypeError, "`index` must not be a Tensor"),
        (lambda: ONES["a"], ValueError, "`index` must fit the shape"),
        (lambda: ONES.reshape(4), ValueError, "`shape` must have room for 6 elements. Received"),
        (lambda: ONES.reshape(2.0), TypeError, "`shape` must be an integer"),
        (lambda: unbroadcast(np.ones(3), (2,)), ValueError, "`shape` must broadcast to the grad"),
        (lambda: unbroadcast(np.ones(3), (3, 1)), ValueError, "`shape` must broadcast to the gra"),
        (lambda: cross_entropy(ONES, [0, 3]), ValueError, "`y` must hold class numbers 0 to 2. R"),
        (lambda: cross_entropy(ONES, [0, 0.5]), ValueError, "`y` must hold class numbers 0 to 2"),
        (lambda: cross_entropy(ONES, [0, -1]), ValueError, "`y` must hold class numbers 0 to 2"),
        (lambda: cross_entropy(ONES, [0]), ValueError, r"`y` must have shape \(2,\)"),
        (lambda: cross_entropy(ONES, ["a", "b"]), TypeError, "`y` must be an array of numbers"),
        (lambda: cross_entropy(np.ones(3), [0]), ValueError, "`z` must be 2-dimensional"),
        (lambda: edge_gradients([Scalar(1)]), TypeError, "`nodes` must be a mapping of names"),
        (lambda: edge_gradients({"a": 1.0}), TypeError, "`nodes` must be a mapping of names"),
        (lambda: unbroadcast("a", (3,)), TypeError, "`gradient` must be an array of numbers"),
    ],
)
def test_refusals(call, error, match):
    with pytest.raises(error, match=match):
        call()


def test_docstrings():
    for thing in (Arithmetic, Scalar, Tensor, check_exponent, check_node, check_stretched):
        check_docstring(thing)
    for thing in (cross_entropy, edge_gradients, matmul_gradients, topological_order, unbroadcast):
        check_docstring(thing)
