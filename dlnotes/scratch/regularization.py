"""What keeps weights and activations in check: dropout, penalties, and the step that finds zeros.

Penalties follow Keras: ``L1(s)`` adds s·Σ|w| to the loss, ``L2(s)`` adds s·Σw², without a factor ½.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from dlnotes.validation import (
    check_array,
    check_choice,
    check_float,
    check_int,
    check_rng,
    received,
)

SCALINGS = ("inverted", "original")


def check_dropout(rate: Any, rng: Any, scaling: Any) -> float:
    """Return the keep rate 1 − rate, or refuse an argument of `Dropout`."""
    rate = check_float("rate", rate, low=0, high=1, open_high=True)
    check_rng("rng", rng)
    check_choice("scaling", scaling, SCALINGS)
    return 1.0 - rate


def check_inputs(inputs: Any) -> np.ndarray:
    """Return the inputs of `Dropout` as an array of finite numbers."""
    return check_array("inputs", inputs)


def check_gradient(gradient: Any, factor: Any) -> np.ndarray:
    """Return the gradient as an array if a forward pass came first and had its shape."""
    if factor is None:
        raise RuntimeError("Call the layer before `backward`: the gradient needs its mask.")
    return check_array("gradient", gradient, shape=factor.shape)


class Dropout:
    """Dropout: in training each unit of each row is switched off by chance, at test time none is.

    A unit stays with the keep rate 1 − rate. So that the next layer sees the same mean in training
    and at test time, ``"inverted"`` scaling divides by the keep rate in training and does nothing
    at test time (Keras), while ``"original"`` does nothing in training and multiplies by the keep
    rate at test time (the paper, which multiplies the weights that lead on: the same).

    Letters: B rows, U units.

    Args:
        rate: Chance of being switched off, in [0, 1). The paper's p is the keep rate.
        rng: Draws a new mask at every call in training, and nothing at test time.
        scaling: "inverted" or "original".

    Attributes:
        keep: 1 − rate.
        factor: What the last call multiplied each unit by, of the inputs' shape; None before.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If the rate is out of range, or the scaling unknown.

    References:
        N. Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting",
        JMLR 15 (2014), section 4 (original) and section 10 (inverted).

    Example:
        >>> layer = Dropout(0.5, np.random.default_rng(0))
        >>> layer(np.ones((2, 4)), training=True)
        array([[0., 2., 2., 2.],
               [0., 0., 0., 0.]])
        >>> layer(np.ones((1, 4)))
        array([[1., 1., 1., 1.]])
    """

    def __init__(self, rate, rng, scaling="inverted"):
        self.keep = check_dropout(rate, rng, scaling)
        self.rng, self.scaling, self.factor = rng, scaling, None

    def __call__(self, inputs, training=False):
        """Return the inputs, in training with a part of the units at 0, in the inputs' shape."""
        inputs = check_inputs(inputs)
        in_training, at_test = (1 / self.keep, 1) if self.scaling == "inverted" else (1, self.keep)
        self.factor = np.full(inputs.shape, at_test)
        if training:  # only now a draw: looking at test rows must not change what follows
            self.factor = (self.rng.random(inputs.shape) < self.keep) * in_training
        return inputs * self.factor

    def backward(self, gradient):
        """Return the gradient for the inputs of the last call: nothing passes a unit that was off.

        Raises:
            RuntimeError: If the layer was not called before.
            ValueError: If the shape is not that of the last inputs.
        """
        return check_gradient(gradient, self.factor) * self.factor


def l1_penalty(weights: Any, strength: float) -> float:
    """Return strength·Σ|w|, as ``keras.regularizers.L1(strength)`` adds it to the loss.

    Args:
        weights: An array of any shape.
        strength: A number >= 0.

    Raises:
        TypeError: If an argument does not hold numbers.
        ValueError: If the strength is negative, or a weight is not finite.

    Example:
        >>> l1_penalty([3.0, -4.0], 0.5)
        3.5
    """
    weights, strength = _weights_and_strength(weights, strength)
    return float(strength * np.abs(weights).sum())


def l1_gradient(weights: Any, strength: float) -> np.ndarray:
    """Return a sub-gradient of `l1_penalty`: strength·sign(w), and 0 where a weight is 0.

    At 0 the penalty has a kink: each slope from −strength to strength would do.

    Example:
        >>> l1_gradient([3.0, 0.0, -4.0], 0.5)
        array([ 0.5,  0. , -0.5])
    """
    weights, strength = _weights_and_strength(weights, strength)
    return strength * np.sign(weights)


def l2_penalty(weights: Any, strength: float) -> float:
    """Return strength·Σw², as ``keras.regularizers.L2(strength)`` adds it to the loss.

    Many books write ½·strength·Σw²: their strength is twice this one.

    Args:
        weights: An array of any shape.
        strength: A number >= 0.

    Raises:
        TypeError: If an argument does not hold numbers.
        ValueError: If the strength is negative, or a weight is not finite.

    Example:
        >>> l2_penalty([3.0, -4.0], 0.5)
        12.5
    """
    weights, strength = _weights_and_strength(weights, strength)
    return float(strength * (weights**2).sum())


def l2_gradient(weights: Any, strength: float) -> np.ndarray:
    """Return the gradient of `l2_penalty`: 2·strength·w.

    Example:
        >>> l2_gradient([3.0, -4.0], 0.5)
        array([ 3., -4.])
    """
    weights, strength = _weights_and_strength(weights, strength)
    return 2 * strength * weights


def ridge(x: Any, y: Any, strength: float) -> np.ndarray:
    """Return the weights of the lowest mean squared error plus `l2_penalty`, by formula.

    Where its gradient is zero, (xᵀx/N + strength·I)·w = xᵀy/N. scikit-learn's ``Ridge`` takes the
    sum over the rows, so its ``alpha`` is N times this strength.

    Letters: N rows, D features.

    Args:
        x: Rows of shape (N, D).
        y: Targets of shape (N,).
        strength: A number > 0.

    Returns:
        Weights of shape (D,), without a bias.

    Raises:
        TypeError: If an argument does not hold numbers.
        ValueError: If shapes do not fit, or the strength is not positive.

    References:
        A. E. Hoerl and R. W. Kennard, "Ridge regression: biased estimation for nonorthogonal
        problems", Technometrics 12 (1970).

    Example:
        >>> ridge([[1.0], [1.0]], [2.0, 4.0], 0.5)
        array([2.])
    """
    x = check_array("x", x, ndim=2)
    y = check_array("y", y, shape=(len(x),))
    strength = check_float("strength", strength, low=0, open_low=True)
    num_rows, num_features = x.shape
    return np.linalg.solve(x.T @ x / num_rows + strength * np.eye(num_features), x.T @ y / num_rows)


def soft_threshold(weights: Any, amount: Any) -> np.ndarray:
    """Return the weights moved towards 0 by `amount`, and 0 where they would pass it.

    This is the proximal step of the L1 penalty: the v that makes ½‖v − w‖² + amount·Σ|v| smallest.

    Args:
        weights: An array of any shape.
        amount: A number >= 0, or an array of them that fits the weights.

    Raises:
        TypeError: If an argument does not hold numbers.
        ValueError: If an amount is negative, or a value is not finite.

    References:
        I. Daubechies, M. Defrise and C. De Mol, "An iterative thresholding algorithm for linear
        inverse problems", Communications on Pure and Applied Mathematics 57 (2004).

    Example:
        >>> soft_threshold([3.0, -0.5, 0.5, -3.0], 1.0)
        array([ 2., -0.,  0., -2.])
    """
    if (check_array("amount", amount) < 0).any():
        raise ValueError(f"`amount` must not be negative. {received(amount=amount)}")
    weights = check_array("weights", weights)
    return np.sign(weights) * np.maximum(np.abs(weights) - amount, 0)


def check_proximal(gradient: Any, start: Any, rate: Any, strength: Any, num_steps: Any) -> Any:
    """Return the start as an array, or refuse an argument of `proximal_descent`."""
    if not callable(gradient):
        raise TypeError(
            f"`gradient` must be a function of the weights. {received(gradient=gradient)}"
        )
    check_float("rate", rate, low=0, open_low=True)
    check_float("strength", strength, low=0)
    check_int("num_steps", num_steps, low=0)
    return check_array("start", start)


def proximal_descent(
    gradient: Callable[[np.ndarray], np.ndarray],
    start: Any,
    *,
    rate: float,
    strength: float,
    num_steps: int,
) -> np.ndarray:
    """Walk down a loss with an L1 penalty: a step against the loss, then a soft threshold.

    The penalty never enters the gradient, so its kink does no harm, and zeros are exact. On a
    quadratic loss a rate up to 1/λmax of its Hessian never raises the penalised loss.

    Args:
        gradient: Function of the weights that returns the gradient of the loss alone.
        start: The first weights, an array of any shape.
        rate: Learning rate, > 0.
        strength: Of the penalty strength·Σ|w|, >= 0.
        num_steps: T >= 0.

    Returns:
        The path of shape (T + 1, *start.shape), the start included.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a number is out of range, or the weights grew beyond all bounds.

    References:
        A. Beck and M. Teboulle, "A fast iterative shrinkage-thresholding algorithm for linear
        inverse problems", SIAM Journal on Imaging Sciences 2 (2009), equation 1.4 (ISTA).

    Example:
        >>> path = proximal_descent(lambda w: 2 * (w - [3, 0.2]), [0.0, 0.0], rate=0.5,
        ...                         strength=1.0, num_steps=1)
        >>> path[-1]
        array([2.5, 0. ])
    """
    path = [check_proximal(gradient, start, rate, strength, num_steps)]
    for _ in range(num_steps):
        downhill = path[-1] - rate * gradient(path[-1])
        path.append(soft_threshold(downhill, rate * strength))
    return np.array(path)


def _weights_and_strength(weights: Any, strength: Any) -> tuple[np.ndarray, float]:
    return check_array("weights", weights), check_float("strength", strength, low=0)
