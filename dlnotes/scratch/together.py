"""Many small networks trained side by side: what 30 seeds do, at about the price of one."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from dlnotes.scratch.dense import MLP, forward
from dlnotes.validation import check_array, check_float, check_int, received


def fit_together(
    networks: Sequence[MLP],
    x: Any,
    y: Any,
    *,
    num_steps: int = 1000,
    learning_rate: float = 0.01,
) -> np.ndarray:
    """Train networks of equal shape on the same rows, each on its own cross-entropy.

    Their weights are stacked into arrays with S rows, one a network, so that one matrix product
    serves all. No network sees another: each ends where it would end alone. A step is one step of
    Adam on all rows, with Keras' settings.

    Letters: S networks, B rows, D inputs, K classes.

    Args:
        networks: Networks of one shape and with the same activations; the last layer is one
            sigmoid unit or K softmax units. Their weights and biases are replaced.
        x: Rows of shape (B, D).
        y: Labels of shape (B,): 0 or 1 for a sigmoid unit, else 0 to K − 1.
        num_steps: How many steps, >= 1.
        learning_rate: Adam's learning rate, > 0.

    Returns:
        Each network's mean cross-entropy before its last step, shape (S,).

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If the networks differ, the last layer has another activation, an activation
            has no derivative, or shapes or labels do not fit.

    References:
        D. P. Kingma and J. Ba, "Adam: a method for stochastic optimization" (2015), algorithm 1.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> networks = [MLP((1, 1), "sigmoid", rng=rng) for _ in range(3)]
        >>> losses = fit_together(networks, [[-1.0], [1.0]], [0, 1], learning_rate=0.1)
        >>> bool((losses < 0.01).all())
        True
    """
    first = _check_networks(networks)
    x = check_array("x", x, shape=(None, len(first.layers[0].weights)))
    targets = _targets(first, check_array("y", y, shape=(len(x),)))
    num_steps = check_int("num_steps", num_steps, low=1)
    learning_rate = check_float("learning_rate", learning_rate, low=0, open_low=True)

    depth = len(first.layers)
    weights = [np.stack([mlp.layers[k].weights for mlp in networks]) for k in range(depth)]
    biases = [np.stack([mlp.layers[k].bias for mlp in networks])[:, None] for k in range(depth)]
    parameters = [*weights, *biases]  # (S, D, U) and (S, 1, U)
    means, squares = ([np.zeros_like(array) for array in parameters] for _ in range(2))
    functions = [layer.function for layer in first.layers]
    for step in range(1, num_steps + 1):
        outputs = forward(x, list(zip(weights, biases, functions, strict=True)))
        gradients = _gradients(first, x, targets, outputs, weights)
        # Keras keeps epsilon outside the correction of the second mean, as the paper's section 2.
        rate = learning_rate * np.sqrt(1 - 0.999**step) / (1 - 0.9**step)
        for array, gradient, mean, square in zip(
            parameters, gradients, means, squares, strict=True
        ):
            mean += 0.1 * (gradient - mean)
            square += 0.001 * (gradient**2 - square)
            array -= rate * mean / (np.sqrt(square) + 1e-7)
    for s, mlp in enumerate(networks):
        for k, layer in enumerate(mlp.layers):
            layer.weights, layer.bias = weights[k][s].copy(), biases[k][s, 0].copy()
    return _cross_entropy(targets, outputs[-1].a)


def _gradients(first, x, targets, outputs, weights):
    """Return the gradients of all weights, then of all biases, each stacked over the networks."""
    weight_gradients, bias_gradients = [], []
    z_gradient = (outputs[-1].a - targets) / len(x)  # of sigmoid or softmax with cross-entropy
    for k in reversed(range(len(weights))):
        inputs = outputs[k - 1].a if k else x
        weight_gradients.insert(0, np.swapaxes(inputs, -1, -2) @ z_gradient)
        bias_gradients.insert(0, z_gradient.sum(axis=1, keepdims=True))
        if k:
            slope = first.layers[k - 1].derivative(outputs[k - 1].z)
            z_gradient = z_gradient @ np.swapaxes(weights[k], -1, -2) * slope
    return [*weight_gradients, *bias_gradients]


def _cross_entropy(targets, a):
    a = np.clip(a, 1e-7, 1 - 1e-7)
    if a.shape[-1] == 1:
        losses = -targets * np.log(a) - (1 - targets) * np.log(1 - a)
    else:
        losses = -targets * np.log(a)
    return losses.sum(axis=-1).mean(axis=-1)


def _check_networks(networks: Any) -> MLP:
    if not isinstance(networks, Sequence) or not all(isinstance(m, MLP) for m in networks):
        raise TypeError(f"`networks` must be a sequence of MLP. {received(networks=networks)}")
    if not networks:
        raise ValueError(f"`networks` must hold at least one. {received(networks=networks)}")
    kinds = {tuple((n.weights.shape, n.activation) for n in mlp.layers) for mlp in networks}
    if len(kinds) > 1:
        raise ValueError(
            "`networks` must all have the same shape and activations. "
            f"Received: {len(kinds)} different ones"
        )
    *hidden, last = networks[0].layers
    fits = last.activation == ("sigmoid" if len(last.bias) == 1 else "softmax")
    if not fits:
        raise ValueError(
            "The last layer must be one sigmoid unit or several softmax units. "
            f"{received(units=len(last.bias), activation=last.activation)}"
        )
    for layer in hidden:
        if layer.derivative is None or layer.activation == "softmax":
            raise ValueError(
                "Hidden layers must have an activation with a derivative for each unit. "
                f"{received(activation=layer.activation)}"
            )
    return networks[0]


def _targets(first: MLP, y: np.ndarray) -> np.ndarray:
    units = len(first.layers[-1].bias)
    classes = max(units, 2)
    if not np.isin(y, range(classes)).all():
        raise ValueError(
            f"`y` must hold labels 0 to {classes - 1}. {received(y=np.unique(y).tolist())}"
        )
    return y[:, None] if units == 1 else np.eye(units)[y.astype(int)]
