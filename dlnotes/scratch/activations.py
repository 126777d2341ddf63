"""Activation functions and their derivatives, element by element unless said otherwise."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from dlnotes.validation import check_array, check_choice, check_int, received


def step(z: Any) -> np.ndarray:
    """Return 1 where ``z >= 0`` and 0 elsewhere: the first artificial neuron's answer.

    Its derivative is 0 everywhere except at the jump, where there is none. So it has no
    derivative function here, and gradient descent cannot use it.

    Example:
        >>> step([-2.0, 0.0, 3.0])
        array([0, 1, 1])
    """
    z = check_array("z", z)
    return np.where(z >= 0, 1, 0)


def linear(z: Any) -> np.ndarray:
    """Return z unchanged (the identity).

    Example:
        >>> linear([-2.0, 3.0])
        array([-2.,  3.])
    """
    return check_array("z", z).copy()


def linear_derivative(z: Any) -> np.ndarray:
    """Return the derivative of `linear`, which is 1 everywhere.

    Example:
        >>> linear_derivative([-2.0, 3.0])
        array([1., 1.])
    """
    return np.ones_like(check_array("z", z))


def sigmoid(z: Any) -> np.ndarray:
    """Return 1 / (1 + exp(−z)), without overflow for large |z|.

    Example:
        >>> sigmoid([-1000.0, 0.0, 1000.0])
        array([0. , 0.5, 1. ])
    """
    z = check_array("z", z)
    small = np.exp(-np.abs(z))  # in (0, 1], so nothing can overflow
    return np.where(z >= 0, 1.0, small) / (1.0 + small)


def sigmoid_derivative(z: Any) -> np.ndarray:
    """Return the derivative of `sigmoid` at z: σ(z)·(1 − σ(z)), at most 0.25.

    Example:
        >>> sigmoid_derivative([0.0])
        array([0.25])
    """
    # 1 − σ(z) = σ(−z), but keeps its digits where σ(z) rounds to 1.
    return sigmoid(z) * sigmoid(-check_array("z", z))


def tanh(z: Any) -> np.ndarray:
    """Return the hyperbolic tangent of z, between −1 and 1.

    Example:
        >>> tanh([0.0])
        array([0.])
    """
    return np.tanh(check_array("z", z))


def tanh_derivative(z: Any) -> np.ndarray:
    """Return the derivative of `tanh` at z: 1 − tanh(z)², at most 1.

    Example:
        >>> tanh_derivative([0.0])
        array([1.])
    """
    return 1.0 - tanh(z) ** 2


def relu(z: Any) -> np.ndarray:
    """Return max(0, z).

    Example:
        >>> relu([-2.0, 3.0])
        array([0., 3.])
    """
    return np.maximum(check_array("z", z), 0.0)


def relu_derivative(z: Any) -> np.ndarray:
    """Return the derivative of `relu` at z: 1 where z > 0, else 0 (also at the kink, by choice).

    Example:
        >>> relu_derivative([-2.0, 0.0, 3.0])
        array([0., 0., 1.])
    """
    return (check_array("z", z) > 0).astype(np.float64)


def softmax(z: Any, *, axis: int = -1) -> np.ndarray:
    """Return exp(z) divided by its sum along `axis`: positive numbers that add up to 1.

    Args:
        z: Scores (logits), at least one-dimensional.
        axis: The axis of the classes.

    Raises:
        TypeError: If `z` does not hold numbers or `axis` is not an integer.
        ValueError: If `z` has no such axis or a value is not finite.

    Example:
        >>> softmax([1000.0, 1000.0])
        array([0.5, 0.5])
    """
    z = check_array("z", z)
    axis = check_int("axis", axis)
    if not -z.ndim <= axis < z.ndim:
        raise ValueError(f"`axis` must be an axis of z. {received(axis=axis, z_shape=z.shape)}")
    # Subtracting the largest score changes nothing in the ratio and keeps exp from overflowing.
    powers = np.exp(z - z.max(axis=axis, keepdims=True))
    return powers / powers.sum(axis=axis, keepdims=True)


def softmax_jacobian(z: Any) -> np.ndarray:
    """Return all derivatives of `softmax` over the last axis: ∂pᵢ/∂zⱼ = pᵢ·(δᵢⱼ − pⱼ).

    Args:
        z: Scores of shape (…, K), K classes.

    Returns:
        An array of shape (…, K, K).

    Example:
        >>> softmax_jacobian([0.0, 0.0])
        array([[ 0.25, -0.25],
               [-0.25,  0.25]])
    """
    p = softmax(z)
    return p[..., :, None] * (np.eye(p.shape[-1]) - p[..., None, :])


class Activation(NamedTuple):
    """An activation function with its derivative; None where there is no useful one."""

    function: Callable[..., np.ndarray]
    derivative: Callable[..., np.ndarray] | None


ACTIVATIONS = {
    "linear": Activation(linear, linear_derivative),
    "step": Activation(step, None),
    "sigmoid": Activation(sigmoid, sigmoid_derivative),
    "tanh": Activation(tanh, tanh_derivative),
    "relu": Activation(relu, relu_derivative),
    "softmax": Activation(softmax, softmax_jacobian),
}


def get_activation(name: str) -> Activation:
    """Return the activation function called `name` and its derivative.

    Raises:
        ValueError: If there is none of this name; the message lists them.

    Example:
        >>> get_activation("relu").function([-1.0, 1.0])
        array([0., 1.])
    """
    return ACTIVATIONS[check_choice("activation", name, ACTIVATIONS)]
