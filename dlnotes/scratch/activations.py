"""Activation functions and their derivatives, element by element unless said otherwise."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from dlnotes.validation import check_array, check_choice, check_float, check_int, received

SELU_ALPHA = 1.6732632423543772  # Klambauer et al. (2017), equation 14
SELU_SCALE = 1.0507009873554805
GELU_CUBE = 0.044715  # Hendrycks and Gimpel (2016), section 2
GELU_INNER = math.sqrt(2.0 / math.pi)
_erfc = np.vectorize(math.erfc, otypes=[np.float64])


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
    # σ(z)·(1 − σ(z)) is even in z, and in this form keeps its digits where σ(z) rounds to 1.
    small = np.exp(-np.abs(check_array("z", z)))
    return small / (1.0 + small) ** 2


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


def leaky_relu(z: Any, *, negative_slope: float = 0.2) -> np.ndarray:
    """Return z where z > 0, and a fixed share of z elsewhere.

    Args:
        z: Any shape.
        negative_slope: The share, at least 0. Keras' function has 0.2, its layer 0.3, the paper
            0.01.

    Raises:
        TypeError: If an argument is not a number.
        ValueError: If `negative_slope` is negative, or a value is not finite.

    References:
        A. L. Maas, A. Y. Hannun and A. Y. Ng, "Rectifier nonlinearities improve neural network
        acoustic models" (2013), section 2.

    Example:
        >>> leaky_relu([-2.0, 3.0])
        array([-0.4,  3. ])
    """
    z, slope = check_array("z", z), check_float("negative_slope", negative_slope, low=0)
    return np.where(z > 0, z, slope * z)


def leaky_relu_derivative(z: Any, *, negative_slope: float = 0.2) -> np.ndarray:
    """Return the derivative of `leaky_relu` at z: 1 where z > 0, else `negative_slope`.

    Example:
        >>> leaky_relu_derivative([-2.0, 3.0])
        array([0.2, 1. ])
    """
    z, slope = check_array("z", z), check_float("negative_slope", negative_slope, low=0)
    return np.where(z > 0, 1.0, slope)


def prelu(z: Any, alpha: Any) -> np.ndarray:
    """Return z where z > 0, else α·z: a leaky ReLU whose slope α is learned.

    It is not in `ACTIVATIONS`: a layer must keep and train α.

    Args:
        z: Any shape, such as (B, U): B rows, U units.
        alpha: One slope for all, or one for each unit of the last axis, (U,). The paper starts
            it at 0.25, Keras' layer at 0.

    Raises:
        TypeError: If an argument does not hold numbers.
        ValueError: If the shapes do not fit, or a value is not finite.

    References:
        K. He, X. Zhang, S. Ren and J. Sun, "Delving deep into rectifiers" (2015), equation 1.

    Example:
        >>> prelu([[-2.0, -2.0], [3.0, 3.0]], [0.25, 0.5])
        array([[-0.5, -1. ],
               [ 3. ,  3. ]])
    """
    z, alpha = check_slopes(z, alpha)
    return np.where(z > 0, z, alpha * z)


def prelu_derivative(z: Any, alpha: Any) -> np.ndarray:
    """Return the derivative of `prelu` at z: 1 where z > 0, else α (Keras has 0 at z = 0).

    Example:
        >>> prelu_derivative([-2.0, 3.0], 0.25)
        array([0.25, 1.  ])
    """
    z, alpha = check_slopes(z, alpha)
    return np.where(z > 0, 1.0, alpha)


def prelu_alpha_gradient(z: Any, alpha: Any, gradient: Any) -> np.ndarray:
    """Return ∂loss/∂α: the sum of gradient·z over all negative z that share this α.

    Args:
        z: As for `prelu`.
        alpha: As for `prelu`; only its shape matters.
        gradient: ∂loss/∂a for the outputs a of `prelu`, in the shape of `z`.

    Returns:
        An array in the shape of `alpha`.

    Raises:
        TypeError: If an argument does not hold numbers.
        ValueError: If the shapes do not fit, or a value is not finite.

    References:
        He et al. (2015), equations 2 and 3.

    Example:
        >>> prelu_alpha_gradient([[-2.0, 1.0], [-1.0, -4.0]], [0.25, 0.25], np.ones((2, 2)))
        array([-3., -4.])
    """
    z, alpha = check_slopes(z, alpha)
    each = check_array("gradient", gradient, shape=z.shape) * np.minimum(z, 0.0)
    return each.sum(axis=tuple(range(z.ndim - alpha.ndim)))


def check_slopes(z: Any, alpha: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return z and α as arrays, if α is one number or one for each unit of z's last axis.

    Raises:
        TypeError: If one does not hold numbers.
        ValueError: If the shapes do not fit.

    Example:
        >>> check_slopes([1.0, 2.0], 0.25)
        (array([1., 2.]), array(0.25))
    """
    z, alpha = check_array("z", z), check_array("alpha", alpha, ndim=(0, 1))
    if alpha.ndim == 1 and (z.ndim == 0 or len(alpha) != z.shape[-1]):
        raise ValueError(
            "`alpha` must be one number, or one for each unit of z. "
            f"{received(alpha_shape=alpha.shape, z_shape=z.shape)}"
        )
    return z, alpha


def elu(z: Any, *, alpha: float = 1.0) -> np.ndarray:
    """Return z where z > 0, else α·(exp(z) − 1), which flattens out at −α.

    Args:
        z: Any shape.
        alpha: α, at least 0.

    Raises:
        TypeError: If an argument is not a number.
        ValueError: If `alpha` is negative, or a value is not finite.

    References:
        D.-A. Clevert, T. Unterthiner and S. Hochreiter, "Fast and accurate deep network learning
        by exponential linear units" (2016), equation 15.

    Example:
        >>> elu([-1000.0, 0.0, 3.0])
        array([-1.,  0.,  3.])
    """
    z, alpha = check_array("z", z), check_float("alpha", alpha, low=0)
    # np.where computes both sides: the minimum keeps exp from overflowing on the other one.
    return np.where(z > 0, z, alpha * np.expm1(np.minimum(z, 0.0)))


def elu_derivative(z: Any, *, alpha: float = 1.0) -> np.ndarray:
    """Return the derivative of `elu` at z: 1 where z > 0, else α·exp(z).

    Example:
        >>> elu_derivative([-1000.0, 0.0, 3.0])
        array([0., 1., 1.])
    """
    z, alpha = check_array("z", z), check_float("alpha", alpha, low=0)
    return np.where(z > 0, 1.0, alpha * np.exp(np.minimum(z, 0.0)))


def selu(z: Any) -> np.ndarray:
    """Return λ·elu(z) with the two numbers that keep mean 0 and variance 1 through many layers.

    References:
        G. Klambauer, T. Unterthiner, A. Mayr and S. Hochreiter, "Self-normalizing neural networks"
        (2017), equations 2 and 14.

    Example:
        >>> selu([-1000.0, 0.0, 1.0]).round(4)
        array([-1.7581,  0.    ,  1.0507])
    """
    return SELU_SCALE * elu(z, alpha=SELU_ALPHA)


def selu_derivative(z: Any) -> np.ndarray:
    """Return the derivative of `selu` at z: λ where z >= 0, else λ·α·exp(z).

    At the kink, where the two sides differ, it is λ, as in TensorFlow.

    Example:
        >>> selu_derivative([-1000.0, 0.0, 1.0]).round(4)
        array([0.    , 1.0507, 1.0507])
    """
    z = check_array("z", z)
    return SELU_SCALE * np.where(z >= 0, 1.0, SELU_ALPHA * np.exp(np.minimum(z, 0.0)))


def normal_cdf(z: Any) -> np.ndarray:
    """Return Φ(z), the chance that a standard normal number is below z.

    NumPy has no error function, Python's `math` has one, for one number at a time: exact, slow.

    Example:
        >>> normal_cdf([-1000.0, 0.0, 1.96]).round(3)
        array([0.   , 0.5  , 0.975])
    """
    # erfc(x) = 1 − erf(x), but keeps its digits where erf(x) rounds to 1.
    return 0.5 * _erfc(-check_array("z", z) / np.sqrt(2.0))


def gelu(z: Any, *, approximate: bool = False) -> np.ndarray:
    """Return z·Φ(z): z times the chance that a standard normal number is below z.

    Args:
        z: Any shape.
        approximate: Whether to replace Φ by a tanh: quicker, and off by less than 0.0005.

    Raises:
        TypeError: If `z` does not hold numbers.
        ValueError: If a value is not finite.

    References:
        D. Hendrycks and K. Gimpel, "Gaussian error linear units" (2016), section 2.

    Example:
        >>> gelu([-1000.0, 0.0, 1.0]).round(4)
        array([-0.    ,  0.    ,  0.8413])
    """
    z = check_array("z", z)
    if approximate:
        return 0.5 * z * (1.0 + np.tanh(GELU_INNER * (z + GELU_CUBE * z * z * z)))
    return z * normal_cdf(z)


def gelu_derivative(z: Any, *, approximate: bool = False) -> np.ndarray:
    """Return the derivative of `gelu` at z: Φ(z) + z·φ(z), with the normal density φ.

    Example:
        >>> gelu_derivative([-1000.0, 0.0, 1.0]).round(4)
        array([0.    , 0.5   , 1.0833])
    """
    z = check_array("z", z)
    if approximate:
        bent = np.tanh(GELU_INNER * (z + GELU_CUBE * z * z * z))
        inner_slope = GELU_INNER * (1.0 + 3.0 * GELU_CUBE * z**2)
        return 0.5 * (1.0 + bent) + 0.5 * z * (1.0 - bent**2) * inner_slope
    return normal_cdf(z) + z * np.exp(-0.5 * z**2) / np.sqrt(2.0 * np.pi)


def swish(z: Any) -> np.ndarray:
    """Return z·σ(z), also called SiLU: z times its own sigmoid.

    References:
        S. Elfwing, E. Uchibe and K. Doya, "Sigmoid-weighted linear units" (2018), equation 1;
        P. Ramachandran, B. Zoph and Q. V. Le, "Searching for activation functions" (2017).

    Example:
        >>> swish([-1000.0, 0.0, 1000.0])
        array([  -0.,    0., 1000.])
    """
    return check_array("z", z) * sigmoid(z)


def swish_derivative(z: Any) -> np.ndarray:
    """Return the derivative of `swish` at z: σ(z) + z·σ'(z).

    Example:
        >>> swish_derivative([-1000.0, 0.0, 1000.0])
        array([0. , 0.5, 1. ])
    """
    return sigmoid(z) + check_array("z", z) * sigmoid_derivative(z)


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
    "leaky_relu": Activation(leaky_relu, leaky_relu_derivative),
    "elu": Activation(elu, elu_derivative),
    "selu": Activation(selu, selu_derivative),
    "gelu": Activation(gelu, gelu_derivative),
    "gelu_tanh": Activation(
        partial(gelu, approximate=True), partial(gelu_derivative, approximate=True)
    ),
    "swish": Activation(swish, swish_derivative),
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
