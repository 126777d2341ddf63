"""A fully connected layer, and layers in a row: the multilayer perceptron."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from dlnotes.scratch.activations import get_activation
from dlnotes.validation import check_array, check_int, check_rng, received


class LayerOutput(NamedTuple):
    """What one layer computed: z = x·W + b and a = φ(z), both of shape (B, U)."""

    z: np.ndarray
    a: np.ndarray


def forward(x, layers):
    """Push rows through layers, one after another: z = x·W + b, then a = φ(z), which is the next x.

    Args:
        x: Rows of shape (B, D), or one row (D,).
        layers: For each layer three things: weights W of shape (D, U), bias b of shape (U,), and
            the activation function φ.

    Returns:
        A list with the `LayerOutput` of each layer, from the first to the last.

    Raises:
        TypeError: If `x` does not hold numbers.
        ValueError: If the shapes do not fit.

    Example:
        >>> add = (np.ones((2, 1)), np.array([-1.5]), np.sign)
        >>> forward([[0.0, 1.0], [1.0, 1.0]], [add])[-1].a
        array([[-1.],
               [ 1.]])
    """
    x = check_array("x", x, ndim=(1, 2), columns=np.shape(layers[0][0])[-2])
    outputs = []
    for weights, bias, activation in layers:
        z = x @ weights + bias
        x = activation(z)
        outputs.append(LayerOutput(z, x))
    return outputs


class Dense:
    """A layer of neurons that all see the same inputs: a = φ(x·W + b).

    D inputs, U units, B rows in a batch.

    Args:
        num_inputs: D, >= 1.
        units: U, >= 1.
        activation: A name in `ACTIVATIONS`, such as "relu" or "softmax".
        rng: Draws the weights, uniformly between ±√(6/(D + U)) as Keras does (Glorot). The biases
            start at 0.

    Attributes:
        weights: W of shape (D, U); ``weights[i, j]`` leads from input i to unit j.
        bias: b of shape (U,).
        activation: The activation's name.
        function: φ itself.
        derivative: φ's derivative, or None.
        weights_gradient: ∂loss/∂W, shape (D, U), after `backward`.
        bias_gradient: ∂loss/∂b, shape (U,), after `backward`.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a count is below 1 or the activation is unknown.

    References:
        X. Glorot and Y. Bengio, "Understanding the difficulty of training deep feedforward neural
        networks" (2010), equation 16.

    Example:
        >>> layer = Dense(3, 4, activation="sigmoid", rng=np.random.default_rng(0))
        >>> layer.forward(np.zeros((5, 3))).shape, layer.count_params()
        ((5, 4), 16)
    """

    def __init__(
        self,
        num_inputs: int,
        units: int,
        *,
        activation: str = "linear",
        rng: np.random.Generator,
    ) -> None:
        num_inputs = check_int("num_inputs", num_inputs, low=1)
        units = check_int("units", units, low=1)
        check_rng("rng", rng)
        self.function, self.derivative = get_activation(activation)
        self.activation = activation
        limit = np.sqrt(6.0 / (num_inputs + units))
        self.weights = rng.uniform(-limit, limit, size=(num_inputs, units))
        self.bias = np.zeros(units)
        self.weights_gradient: np.ndarray | None = None
        self.bias_gradient: np.ndarray | None = None
        self._x: np.ndarray | None = None
        self._z: np.ndarray | None = None

    def count_params(self) -> int:
        """Return the number of weights and biases, D·U + U."""
        return self.weights.size + self.bias.size

    def preactivation(self, x: Any) -> np.ndarray:
        """Return z = x·W + b, shape (B, U), for x of shape (B, D)."""
        x = check_array("x", x, shape=(None, len(self.weights)))
        return x @ self.weights + self.bias

    def forward(self, x: Any) -> np.ndarray:
        """Return the activations of shape (B, U) and remember x and z for `backward`.

        Args:
            x: Inputs of shape (B, D).

        Raises:
            TypeError: If `x` does not hold numbers.
            ValueError: If `x` has another shape.
        """
        self._z = self.preactivation(x)
        self._x = np.asarray(x, dtype=np.float64)
        return self.function(self._z)

    def backward(self, gradient: Any) -> np.ndarray:
        """Store the gradients of weights and bias, and return the gradient of the inputs.

        Args:
            gradient: ∂loss/∂a of shape (B, U), for the last `forward`.

        Returns:
            ∂loss/∂x, shape (B, D).

        Raises:
            RuntimeError: If `forward` was not called before.
            ValueError: If the shape differs, or the activation has no derivative.
        """
        if self._x is None or self._z is None:
            raise RuntimeError("`forward` must be called before `backward`.")
        if self.derivative is None:
            raise ValueError(
                "`activation` must have a derivative for `backward`. "
                f"{received(activation=self.activation)}"
            )
        gradient = check_array("gradient", gradient, shape=self._z.shape)
        slope = self.derivative(self._z)
        if slope.ndim == 3:  # softmax: each output depends on every score, (B, U, U)
            z_gradient = np.einsum("bi,bij->bj", gradient, slope)
        else:
            z_gradient = gradient * slope  # (B, U)
        self.weights_gradient = self._x.T @ z_gradient
        self.bias_gradient = z_gradient.sum(axis=0)
        return z_gradient @ self.weights.T


class MLP:
    """A multilayer perceptron: dense layers in a row, each fed by the one before.

    Args:
        sizes: Inputs, then the units of each layer: (2, 2, 1) has two inputs, two hidden units
            and one output.
        activations: One name for all layers, or one for each.
        rng: Draws the weights.

    Attributes:
        layers: The `Dense` layers in order.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If there are fewer than two sizes, one is below 1, or the activations do not
            fit.

    Example:
        >>> mlp = MLP((3, 4, 2), "sigmoid", rng=np.random.default_rng(0))
        >>> mlp.count_params()
        26
    """

    def __init__(
        self,
        sizes: Sequence[int],
        activations: str | Sequence[str],
        *,
        rng: np.random.Generator,
    ) -> None:
        if isinstance(sizes, str) or not isinstance(sizes, Sequence):
            raise TypeError(f"`sizes` must be a sequence of integers. {received(sizes=sizes)}")
        if len(sizes) < 2:
            raise ValueError(
                f"`sizes` must hold at least inputs and outputs. {received(sizes=sizes)}"
            )
        num_layers = len(sizes) - 1
        names = [activations] * num_layers if isinstance(activations, str) else list(activations)
        if len(names) != num_layers:
            raise ValueError(
                f"`activations` must be one name, or one for each of the {num_layers} layers. "
                f"{received(activations=activations)}"
            )
        self.layers = [
            Dense(num_inputs, units, activation=name, rng=rng)
            for num_inputs, units, name in zip(sizes[:-1], sizes[1:], names, strict=True)
        ]

    def count_params(self) -> int:
        """Return the number of weights and biases of all layers."""
        return sum(layer.count_params() for layer in self.layers)

    def forward(self, x: Any) -> list[LayerOutput]:
        """Return z and a of each layer, from the first to the last.

        Args:
            x: Inputs of shape (B, D).

        Raises:
            TypeError: If `x` does not hold numbers.
            ValueError: If `x` has another shape.
        """
        outputs = []
        for layer in self.layers:
            z, x = layer.preactivation(x), layer.forward(x)
            outputs.append(LayerOutput(z, x))
        return outputs

    def predict(self, x: Any) -> np.ndarray:
        """Return the activations of the last layer, shape (B, units of the last layer)."""
        return self.forward(x)[-1].a

    def backward(self, gradient: Any) -> np.ndarray:
        """Send ∂loss/∂a of the last layer back through all layers; return ∂loss/∂x, (B, D).

        Raises:
            RuntimeError: If `forward` was not called before.
            ValueError: If the shape differs, or an activation has no derivative.
        """
        for layer in reversed(self.layers):
            gradient = layer.backward(gradient)
        return gradient
