"""Batch normalization and layer normalization, forwards and backwards."""

from typing import Any

import numpy as np

from dlnotes.validation import check_array, check_float, check_int, received


def check_settings(num_features: Any, momentum: Any, epsilon: Any) -> tuple[int, float, float]:
    """Return the three settings of a normalization if they are in range.

    Raises:
        TypeError: If one has the wrong type.
        ValueError: If one is out of range.
    """
    return (
        check_int("num_features", num_features, low=1),
        check_float("momentum", momentum, low=0, high=1),
        check_float("epsilon", epsilon, low=0, open_low=True),
    )


def check_inputs(x: Any, num_features: int, training: Any) -> np.ndarray:
    """Return x as an array (B, …, D) with D = `num_features`, if `training` is a bool.

    Raises:
        TypeError: If `x` does not hold numbers, or `training` is not a bool.
        ValueError: If `x` has another shape, or a value is NaN or infinite.
    """
    if not isinstance(training, bool | np.bool_):
        raise TypeError(f"`training` must be True or False. {received(training=training)}")
    x = check_array("x", x, columns=num_features)
    if x.ndim < 2:
        raise ValueError(f"`x` must have the shape (B, …, D). Received: x.shape={x.shape}")
    return x


def check_output_gradient(gradient: Any, x_hat: np.ndarray | None) -> np.ndarray:
    """Return the gradient as an array of the last output's shape.

    Raises:
        RuntimeError: If there was no output yet.
        TypeError: If it does not hold numbers.
        ValueError: If the shape differs.
    """
    if x_hat is None:
        raise RuntimeError("`forward` must be called before `backward`.")
    return check_array("gradient", gradient, shape=x_hat.shape)


def through_statistics(gradient: np.ndarray, x_hat: np.ndarray, axes: Any) -> np.ndarray:
    """Return g − mean(g) − x̂·mean(g·x̂): what is left of a gradient behind x̂ = (x − μ)/√(σ² + ε).

    μ and σ² are made from x itself. So whatever moves all x together, or spreads them all, cannot
    be seen in x̂, and has no gradient. Divided by √(σ² + ε) it is ∂loss/∂x.

    Args:
        gradient: g = ∂loss/∂x̂.
        x_hat: x̂, of the same shape.
        axes: The axes over which μ and σ² were taken.

    Example:
        >>> through_statistics(np.array([5.0, 3.0]), np.array([1.0, -1.0]), 0)
        array([0., 0.])
    """
    mean = gradient.mean(axes, keepdims=True)
    return gradient - mean - x_hat * (gradient * x_hat).mean(axes, keepdims=True)


class BatchNormalization:
    """Normalize each feature over the batch: y = γ·(x − μ)/√(σ² + ε) + β.

    B rows, D features. In training, μ and σ² are the batch's mean and its biased variance (divided
    by the number of values, not by one less), and a moving average of each is kept. At inference
    the moving averages take their places, so a row's answer does not depend on its neighbours.

    As in Keras: the moving variance averages the *biased* variances, where algorithm 2 of the paper
    takes unbiased ones; ε stands inside the root; and the last axis holds the features, so all axes
    before it are averaged over.

    Args:
        num_features: D, >= 1.
        momentum: Share of the old moving average that stays at each step, in [0, 1].
        epsilon: ε > 0, added to the variance.

    Attributes:
        gamma: γ of shape (D,), 1 at the start.
        beta: β of shape (D,), 0 at the start.
        moving_mean: Shape (D,), 0 at the start.
        moving_variance: Shape (D,), 1 at the start.
        gamma_gradient: ∂loss/∂γ, shape (D,), after `backward`.
        beta_gradient: ∂loss/∂β, shape (D,), after `backward`.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a number is out of range.

    References:
        S. Ioffe and C. Szegedy, "Batch normalization" (2015), algorithms 1 and 2 and the gradients
        of section 3.

    Example:
        >>> layer = BatchNormalization(2)
        >>> layer.forward([[1.0, 10.0], [3.0, 30.0]], training=True).round(2)
        array([[-1., -1.],
               [ 1.,  1.]])
        >>> layer.moving_mean
        array([0.02, 0.2 ])
    """

    def __init__(self, num_features: int, *, momentum: float = 0.99, epsilon: float = 1e-3) -> None:
        size, self.momentum, self.epsilon = check_settings(num_features, momentum, epsilon)
        self.gamma, self.beta = np.ones(size), np.zeros(size)
        self.moving_mean, self.moving_variance = np.zeros(size), np.ones(size)
        self.x_hat = None

    def forward(self, x: Any, training: bool = False) -> np.ndarray:
        """Return the normalized x, in its shape, and remember it for `backward`.

        Args:
            x: Inputs of shape (B, D), or (B, …, D).
            training: Whether the batch's own statistics are used, and averaged.

        Raises:
            TypeError: If `x` does not hold numbers, or `training` is not a bool.
            ValueError: If `x` has another shape.
        """
        x = check_inputs(x, len(self.gamma), training)
        self.axes, self.training = tuple(range(x.ndim - 1)), training  # all axes but the last
        mean, variance = self.moving_mean, self.moving_variance
        if training:
            mean, variance = x.mean(self.axes), x.var(self.axes)
            keep, new = self.momentum, 1 - self.momentum
            self.moving_mean = keep * self.moving_mean + new * mean
            self.moving_variance = keep * self.moving_variance + new * variance
        self.deviation = np.sqrt(variance + self.epsilon)
        self.x_hat = (x - mean) / self.deviation
        return self.gamma * self.x_hat + self.beta

    def backward(self, gradient: Any) -> np.ndarray:
        """Store the gradients of γ and β, and return ∂loss/∂x for the last `forward`.

        Args:
            gradient: ∂loss/∂y, in the shape of x.

        Raises:
            RuntimeError: If `forward` was not called before.
            TypeError: If `gradient` does not hold numbers.
            ValueError: If it has another shape.
        """
        gradient = check_output_gradient(gradient, self.x_hat)
        self.gamma_gradient = (gradient * self.x_hat).sum(self.axes)
        self.beta_gradient = gradient.sum(self.axes)
        gradient = gradient * self.gamma  # now with respect to x̂
        if self.training:  # mean and variance depend on x too
            gradient = through_statistics(gradient, self.x_hat, self.axes)
        return gradient / self.deviation


class LayerNormalization:
    """Normalize each row over its features: y = γ·(x − μ)/√(σ² + ε) + β.

    B rows, D features. μ and σ² (biased) belong to one row, for inputs (B, …, D) to one position.
    Training and inference are the same, and no row knows of another.

    Args:
        num_features: D, >= 1.
        epsilon: ε > 0, added to the variance.

    Attributes:
        gamma: γ of shape (D,), 1 at the start.
        beta: β of shape (D,), 0 at the start.
        gamma_gradient: ∂loss/∂γ, shape (D,), after `backward`.
        beta_gradient: ∂loss/∂β, shape (D,), after `backward`.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a number is out of range.

    References:
        J. L. Ba, J. R. Kiros and G. E. Hinton, "Layer normalization" (2016), equation 3.

    Example:
        >>> LayerNormalization(2).forward([[1.0, 3.0], [10.0, 30.0]]).round(2)
        array([[-1.,  1.],
               [-1.,  1.]])
    """

    def __init__(self, num_features: int, *, epsilon: float = 1e-3) -> None:
        size, _, self.epsilon = check_settings(num_features, 0.0, epsilon)
        self.gamma, self.beta = np.ones(size), np.zeros(size)
        self.x_hat = None

    def forward(self, x: Any, training: bool = False) -> np.ndarray:
        """Return the normalized x, in its shape, and remember it for `backward`.

        Args:
            x: Inputs of shape (B, D), or (B, …, D).
            training: Makes no difference; it is there so that all layers are called alike.

        Raises:
            TypeError: If `x` does not hold numbers, or `training` is not a bool.
            ValueError: If `x` has another shape.
        """
        x = check_inputs(x, len(self.gamma), training)
        self.deviation = np.sqrt(x.var(-1, keepdims=True) + self.epsilon)
        self.x_hat = (x - x.mean(-1, keepdims=True)) / self.deviation
        return self.gamma * self.x_hat + self.beta

    def backward(self, gradient: Any) -> np.ndarray:
        """Store the gradients of γ and β, and return ∂loss/∂x for the last `forward`.

        Args:
            gradient: ∂loss/∂y, in the shape of x.

        Raises:
            RuntimeError: If `forward` was not called before.
            TypeError: If `gradient` does not hold numbers.
            ValueError: If it has another shape.
        """
        gradient = check_output_gradient(gradient, self.x_hat)
        rows = tuple(range(gradient.ndim - 1))
        self.gamma_gradient = (gradient * self.x_hat).sum(rows)
        self.beta_gradient = gradient.sum(rows)
        return through_statistics(gradient * self.gamma, self.x_hat, -1) / self.deviation
