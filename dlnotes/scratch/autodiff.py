"""Reverse-mode automatic differentiation: numbers, and arrays, that remember where they came from.

A value keeps its parents, the values that it was computed from, and for each parent what turns
blame for the value into blame for the parent: the local slope. `backward` walks from the output to
the inputs, multiplies along each edge, and adds up where paths meet.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from dlnotes.scratch.activations import sigmoid
from dlnotes.validation import check_array, check_class_numbers, check_float, check_int, received


def topological_order(output: Any) -> list[Any]:
    """Return all values that `output` was computed from and itself, each after its parents.

    It keeps its own stack instead of calling itself, so long chains meet no recursion limit.

    Args:
        output: A `Scalar`, a `Tensor`, or anything whose `parents` are pairs (parent, …).

    Raises:
        TypeError: If `output` has no `parents`.

    Example:
        >>> x = Scalar(3.0)
        >>> [node.value for node in topological_order(x * x + 1.0)]
        [1.0, 3.0, 9.0, 10.0]
    """
    check_node(output)
    order, done, stack = [], set(), [output]
    while stack:
        node = stack.pop()
        missing = [parent for parent, _ in node.parents if parent not in done]
        if missing:
            stack += [node, *missing]
        elif node not in done:
            done.add(node)
            order.append(node)
    return order


def check_node(output: Any) -> None:
    """Refuse what has no parents and so is no value of a computation.

    Raises:
        TypeError: If `output` is neither a `Scalar` nor a `Tensor` nor built like them.
    """
    if not hasattr(output, "parents"):
        raise TypeError(f"`output` must be a Scalar or a Tensor. {received(output=output)}")


class Arithmetic:
    """−, /, and plain numbers on the left of an operator, all made of +, * and powers.

    `Scalar` and `Tensor` inherit it; they bring the three operations themselves.
    """

    @classmethod
    def lift(cls, value: Any) -> Any:
        """Return `value` as it is if it belongs to the class, else as a new one without parents."""
        return value if isinstance(value, cls) else cls(value)

    def __radd__(self, other: Any) -> Any:
        return self + other

    def __rmul__(self, other: Any) -> Any:
        return self * other

    def __neg__(self) -> Any:
        return self * -1.0

    def __sub__(self, other: Any) -> Any:
        return self + -self.lift(other)

    def __rsub__(self, other: Any) -> Any:
        return -self + other

    def __truediv__(self, other: Any) -> Any:
        return self * self.lift(other) ** -1

    def __rtruediv__(self, other: Any) -> Any:
        return self**-1 * other


class Scalar(Arithmetic):
    """A number that remembers how it was computed, and can say what each input did to it.

    Numbers on either side of +, −, *, / become scalars without parents. All is in float64.

    Args:
        value: The number.
        parents: For each number that it was computed from, the pair (Scalar, local slope).

    Attributes:
        value: The number.
        parents: The pairs (parent, ∂value/∂parent).
        gradient: ∂output/∂value after ``output.backward()``; 0 before.

    Raises:
        TypeError: If a value is not a number.
        ValueError: If a value is NaN or infinite, or a power does not exist.

    References:
        S. Linnainmaa, "Taylor expansion of the accumulated rounding error", BIT 16 (1976).
        D. E. Rumelhart, G. E. Hinton and R. J. Williams, "Learning representations by
        back-propagating errors", Nature 323 (1986).

    Example:
        >>> x, w = Scalar(3.0), Scalar(-2.0)
        >>> loss = (w * x + 1.0) ** 2
        >>> loss.backward()
        >>> loss.value, w.gradient, x.gradient
        (25.0, -30.0, 20.0)
    """

    def __init__(self, value: float, parents: Iterable[tuple["Scalar", float]] = ()) -> None:
        self.value = check_float("value", value)
        self.parents = tuple(parents)
        self.gradient = 0.0

    def __add__(self, other: Any) -> "Scalar":
        other = self.lift(other)
        return Scalar(self.value + other.value, [(self, 1.0), (other, 1.0)])

    def __mul__(self, other: Any) -> "Scalar":
        other = self.lift(other)
        return Scalar(self.value * other.value, [(self, other.value), (other, self.value)])

    def __pow__(self, exponent: float) -> "Scalar":
        exponent = check_exponent(self.value, exponent)
        return Scalar(self.value**exponent, [(self, exponent * self.value ** (exponent - 1))])

    def tanh(self) -> "Scalar":
        """Return the hyperbolic tangent; its slope is 1 − tanh²."""
        value = math.tanh(self.value)
        return Scalar(value, [(self, 1 - value**2)])

    def backward(self) -> None:
        """Set `gradient` of every value on the way to this one.

        Values without parents (inputs, weights) add to the gradient that they hold, until it is
        set to 0; all others begin anew.
        """
        order = topological_order(self)
        for node in order:
            if node.parents:
                node.gradient = 0.0
        self.gradient += 1.0
        for node in reversed(order):
            for parent, slope in node.parents:
                parent.gradient += slope * node.gradient


def check_exponent(base: Any, exponent: Any) -> float:
    """Return the exponent as a float if every number of `base` has that power, and a slope there.

    Raises:
        TypeError: If `exponent` is not a number.
        ValueError: If 0 gets an exponent below 1 (x⁰ too, so that the slope exists), or a
            negative number one that is not whole.

    Example:
        >>> check_exponent(-2.0, 3)
        3.0
    """
    exponent, smallest = check_float("exponent", exponent), np.min(base)
    if not exponent.is_integer() and smallest < 0:
        raise ValueError(
            "`exponent` must be a whole number where the base is negative. "
            f"{received(exponent=exponent, base=float(smallest))}"
        )
    if exponent < 1 and np.any(np.equal(base, 0)):
        raise ValueError(
            "`exponent` must be at least 1 where the base is 0: no division by 0, no root of 0. "
            f"{received(exponent=exponent)}"
        )
    return exponent


def unbroadcast(gradient: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Sum a gradient back to the shape that its array had before NumPy stretched it.

    A number that was used several times is to blame for every use, so its blames add up: over
    the axes that were put in front, and over those that had length 1.

    Args:
        gradient: An array of a shape that `shape` broadcasts to.
        shape: The shape before broadcasting.

    Returns:
        The sums, of shape `shape`.

    Raises:
        TypeError: If `gradient` does not hold numbers.
        ValueError: If `shape` does not broadcast to the gradient's.

    Example:
        >>> unbroadcast(np.ones((4, 3)), (3,))
        array([4., 4., 4.])
        >>> unbroadcast(np.ones((4, 3)), (4, 1)).shape
        (4, 1)
    """
    gradient = check_stretched(gradient, shape)
    in_front = tuple(range(gradient.ndim - len(shape)))
    gradient = gradient.sum(axis=in_front)
    stretched = tuple(axis for axis, length in enumerate(shape) if length == 1)
    return gradient.sum(axis=stretched, keepdims=True)


def check_stretched(gradient: Any, shape: Any) -> np.ndarray:
    """Return `gradient` as an array if `shape` broadcasts to its shape.

    Raises:
        TypeError: If `gradient` does not hold numbers.
        ValueError: If it does not broadcast.
    """
    gradient = check_array("gradient", gradient)
    ends = gradient.shape[gradient.ndim - len(shape) :]
    fits = len(shape) <= gradient.ndim and all(
        length in (1, end) for length, end in zip(shape, ends, strict=True)
    )
    if not fits:
        raise ValueError(
            "`shape` must broadcast to the gradient's shape. "
            f"Received: shape={tuple(shape)}, gradient.shape={gradient.shape}"
        )
    return gradient


def matmul_gradients(
    gradient: np.ndarray, a: np.ndarray, b: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the gradients of a and b, from the gradient of their product a @ b.

    An element of the product is Σⱼ aᵢⱼ·bⱼₖ. So aᵢⱼ is to blame for row i with the factors bⱼₖ,
    and bⱼₖ for column k with the factors aᵢⱼ: two matrix products again.

    Args:
        gradient: ∂loss/∂(a @ b), shape (…, I, K).
        a: The left factor, shape (…, I, J).
        b: The right factor, shape (…, J, K).

    Returns:
        ∂loss/∂a of shape (…, I, J) and ∂loss/∂b of shape (…, J, K), before `unbroadcast`.

    Example:
        >>> a, b = np.array([[1.0, 2.0]]), np.array([[3.0], [4.0]])
        >>> matmul_gradients(np.ones((1, 1)), a, b)
        (array([[3., 4.]]), array([[1.],
               [2.]]))
    """
    return gradient @ b.mT, a.mT @ gradient


class Tensor(Arithmetic):
    """An array that remembers how it was computed: `Scalar` for whole arrays, with broadcasting.

    A parent's local slope is now a function: it takes the gradient of the value and returns the
    parent's, before `unbroadcast`. Arrays and numbers on either side of an operation become tensors
    without parents. All is in float64; values are copied in and never changed in place.

    Args:
        value: A number or an array of any shape.
        parents: For each tensor that it was computed from, the pair (Tensor, function).

    Attributes:
        value: The array.
        parents: The pairs (parent, function that pulls the gradient back to it).
        gradient: ∂output/∂value in the value's shape after ``output.backward()``; zeros before.

    Raises:
        TypeError: If a value does not hold numbers.
        ValueError: If shapes do not fit, or a value is NaN or infinite.

    Example:
        >>> x, w, b = np.ones((4, 2)), Tensor([[1.0], [2.0]]), Tensor([0.5])
        >>> loss = ((x @ w + b) ** 2).mean()
        >>> loss.backward()
        >>> loss.value, w.gradient.shape, b.gradient
        (array(12.25), (2, 1), array([7.]))
    """

    __array_ufunc__ = None  # so that array + tensor asks the tensor, and not NumPy

    def __init__(
        self,
        value: Any,
        parents: Iterable[tuple["Tensor", Callable[[np.ndarray], np.ndarray]]] = (),
    ) -> None:
        self.value = np.array(check_array("value", value))
        self.parents = tuple(parents)
        self.gradient = np.zeros_like(self.value)

    def __repr__(self) -> str:
        return f"Tensor(shape={self.shape})"

    @property
    def shape(self) -> tuple[int, ...]:
        """The value's shape."""
        return self.value.shape

    def backward(self) -> None:
        """Set `gradient` of every tensor on the way to this one, which must be a single number.

        Tensors without parents (inputs, weights) add to the gradient that they hold, until
        `zero_gradient`; all others begin anew.

        Raises:
            ValueError: If this tensor has axes: the gradient of an array is not an array alike.
        """
        if self.shape != ():
            raise ValueError(
                "`backward` must start from a single number of shape (), such as a loss: take a "
                f"sum or a mean first. Received: shape={self.shape}"
            )
        order = topological_order(self)
        for node in order:
            if node.parents:
                node.zero_gradient()
        self.gradient = self.gradient + 1.0
        for node in reversed(order):
            for parent, pull in node.parents:
                blame = unbroadcast(pull(node.gradient), parent.shape)
                parent.gradient = parent.gradient + blame

    def zero_gradient(self) -> None:
        """Forget the gradient: set it to zeros."""
        self.gradient = np.zeros_like(self.value)

    # === Two tensors ===

    def __add__(self, other: Any) -> "Tensor":
        other = _fitting("+", self, other)
        return Tensor(self.value + other.value, [(self, lambda g: g), (other, lambda g: g)])

    def __mul__(self, other: Any) -> "Tensor":
        other = _fitting("*", self, other)
        a, b = self.value, other.value
        return Tensor(a * b, [(self, lambda g: g * b), (other, lambda g: g * a)])

    def __matmul__(self, other: Any) -> "Tensor":
        other = self.lift(other)
        _check_inner(self, other)
        if len(other.shape) == 1:  # a vector on the right is a column
            return (self @ other.reshape(-1, 1))[..., 0]
        if len(self.shape) == 1:  # a vector on the left is a row
            return (self.reshape(1, -1) @ other)[..., 0, :]
        a, b = self.value, other.value
        return Tensor(
            a @ b,
            [
                (self, lambda g: matmul_gradients(g, a, b)[0]),
                (other, lambda g: matmul_gradients(g, a, b)[1]),
            ],
        )

    def __rmatmul__(self, other: Any) -> "Tensor":
        return self.lift(other) @ self

    # === One tensor, element by element ===

    def __pow__(self, exponent: float) -> "Tensor":
        exponent = check_exponent(self.value, exponent)
        return self._bent(self.value**exponent, exponent * self.value ** (exponent - 1))

    def exp(self) -> "Tensor":
        """Return e to the power of each element."""
        value = np.exp(self.value)
        return self._bent(value, value)

    def log(self) -> "Tensor":
        """Return the natural logarithm of each element; all must be positive."""
        if self.value.min() <= 0:
            raise ValueError(
                "`log` must get positive numbers. "
                f"{received(smallest=float(self.value.min()), shape=self.shape)}"
            )
        return self._bent(np.log(self.value), 1 / self.value)

    def tanh(self) -> "Tensor":
        """Return the hyperbolic tangent of each element."""
        value = np.tanh(self.value)
        return self._bent(value, 1 - value**2)

    def sigmoid(self) -> "Tensor":
        """Return 1 / (1 + e^(−z)) of each element z."""
        value = sigmoid(self.value)
        # 1 − σ(z) = σ(−z), but keeps its digits where σ(z) rounds to 1.
        return self._bent(value, value * sigmoid(-self.value))

    def relu(self) -> "Tensor":
        """Return max(0, z) of each element z; the slope at 0 is 0 by choice, as in TensorFlow."""
        return self._bent(np.maximum(self.value, 0.0), np.where(self.value > 0, 1.0, 0.0))

    def _bent(self, value: np.ndarray, slope: np.ndarray) -> "Tensor":
        return Tensor(value, [(self, lambda g: g * slope)])

    # === Fewer elements, or other shapes ===

    def sum(self, axis: int | tuple[int, ...] | None = None, *, keepdims: bool = False) -> "Tensor":
        """Return the sum over `axis` (all axes by default).

        Args:
            axis: One axis or several, from the front or (negative) from the end; None means all.
            keepdims: Whether the summed axes stay, with length 1.
        """
        axes = _check_axes(axis, len(self.shape))
        shape = self.shape

        def pull(g: np.ndarray) -> np.ndarray:
            return np.broadcast_to(g if keepdims else np.expand_dims(g, axes), shape)

        return Tensor(self.value.sum(axis=axes, keepdims=bool(keepdims)), [(self, pull)])

    def mean(
        self, axis: int | tuple[int, ...] | None = None, *, keepdims: bool = False
    ) -> "Tensor":
        """Return the mean over `axis` (all axes by default); arguments as for `sum`."""
        total = self.sum(axis, keepdims=keepdims)
        return total * (total.value.size / self.value.size)

    def __getitem__(self, index: Any) -> "Tensor":
        value, shape = _checked_part(self, index), self.shape

        def pull(g: np.ndarray) -> np.ndarray:
            gradient = np.zeros(shape)
            np.add.at(gradient, index, g)  # an element that was taken twice is blamed twice
            return gradient

        return Tensor(value, [(self, pull)])

    def reshape(self, *shape: int) -> "Tensor":
        """Return the same elements in another shape; one length may be −1, and is then worked out.

        Args:
            *shape: The lengths of the new axes.
        """
        lengths = tuple(check_int("shape", length, low=-1) for length in shape)
        old = self.shape
        try:
            value = self.value.reshape(lengths)
        except ValueError:
            raise ValueError(
                f"`shape` must have room for {self.value.size} elements. "
                f"Received: shape={lengths}, for a tensor of shape {old}"
            ) from None
        return Tensor(value, [(self, lambda g: g.reshape(old))])

    def transpose(self) -> "Tensor":
        """Return the tensor with its axes in reverse order; a matrix is mirrored."""
        return Tensor(self.value.T, [(self, lambda g: g.T)])


def cross_entropy(z: Tensor, y: Any) -> Tensor:
    """Return the mean of −ln p over the rows, p the softmax probability of the row's class.

    The largest score of a row is taken off first: that changes no probability, and e^z cannot
    overflow.

    Args:
        z: Scores of shape (B, K), B rows and K classes.
        y: The right classes, whole numbers 0 to K − 1, shape (B,).

    Returns:
        The loss, of shape (), ready for `backward`.

    Raises:
        TypeError: If `y` does not hold numbers.
        ValueError: If a shape is wrong, or a class is no whole number or out of range.

    Example:
        >>> z = Tensor([[0.0, 0.0]])
        >>> loss = cross_entropy(z, [1])
        >>> loss.backward()
        >>> float(loss.value.round(4)), z.gradient
        (0.6931, array([[ 0.5, -0.5]]))
    """
    z = Tensor.lift(z)
    check_array("z", z.value, ndim=2)
    rows, num_classes = z.shape
    y = check_class_numbers("y", check_array("y", y, shape=(rows,)), num_classes)
    z = z - z.value.max(axis=1, keepdims=True)
    log_p = z - z.exp().sum(axis=1, keepdims=True).log()
    return -log_p[np.arange(rows), y].mean()


def edge_gradients(nodes: Mapping[str, Any]) -> dict[tuple[str, str], float]:
    """Return what came back along each edge between named scalars in the last `backward`.

    An edge leads from a to b if b was computed from a, directly or through scalars without a
    name. Along it comes ∂output/∂b · ∂b/∂a; all that comes back to a named scalar adds up to its
    gradient.

    Args:
        nodes: Scalars by name, the output among them, after ``output.backward()``.

    Returns:
        For each edge, a pair of names (a, b), the gradient that came back along it.

    Raises:
        TypeError: If `nodes` is not a mapping of names to scalars.

    Example:
        >>> x, w = Scalar(2.0), Scalar(5.0)
        >>> z = x * w
        >>> output = 3 * z + x
        >>> output.backward()
        >>> edge_gradients({"x": x, "w": w, "z": z, "output": output})
        {('x', 'z'): 15.0, ('w', 'z'): 6.0, ('z', 'output'): 3.0, ('x', 'output'): 1.0}
    """
    if not isinstance(nodes, Mapping) or not all(hasattr(n, "parents") for n in nodes.values()):
        raise TypeError(f"`nodes` must be a mapping of names to Scalars. {received(nodes=nodes)}")
    names, edges = {node: name for name, node in nodes.items()}, {}
    for end, last in nodes.items():
        blame = {last: last.gradient}
        for node in reversed(topological_order(last)):
            if node not in blame:
                continue  # only named scalars lead to it
            if node in names and node is not last:
                edges[names[node], end] = blame[node]
                continue
            for parent, slope in node.parents:
                blame[parent] = blame.get(parent, 0.0) + slope * blame[node]
    return edges


def _fitting(sign: str, tensor: Tensor, other: Any) -> Tensor:
    other = tensor.lift(other)
    try:
        np.broadcast_shapes(tensor.shape, other.shape)
    except ValueError:
        raise ValueError(
            f"`{sign}` must get shapes that broadcast. Received: {tensor.shape} and {other.shape}"
        ) from None
    return other


def _check_inner(a: Tensor, b: Tensor) -> None:
    if not a.shape or not b.shape:
        raise ValueError(f"`@` must get arrays with axes. Received: {a.shape} and {b.shape}")
    inner = b.shape[0] if len(b.shape) == 1 else b.shape[-2]
    try:
        np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
        fits = a.shape[-1] == inner
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(
            f"`@` must get shapes (…, I, J) and (…, J, K). Received: {a.shape} and {b.shape}"
        )


def _check_axes(axis: Any, ndim: int) -> tuple[int, ...]:
    if axis is None:
        return tuple(range(ndim))
    axes = axis if isinstance(axis, tuple) else (axis,)
    axes = tuple(check_int("axis", a, low=-ndim, high=ndim - 1) % max(ndim, 1) for a in axes)
    if len(set(axes)) < len(axes):
        raise ValueError(f"`axis` must not name an axis twice. {received(axis=axis)}")
    return axes


def _checked_part(tensor: Tensor, index: Any) -> np.ndarray:
    parts = index if isinstance(index, tuple) else (index,)
    if any(isinstance(part, Tensor) for part in parts):
        raise TypeError(f"`index` must not be a Tensor. {received(index=index)}")
    try:
        return np.asarray(tensor.value[index])
    except IndexError as error:
        raise ValueError(
            f"`index` must fit the shape {tensor.shape}: {error}. {received(index=index)}"
        ) from None
