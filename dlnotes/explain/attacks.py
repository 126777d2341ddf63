"""Small changes of a picture that are chosen to make the answer wrong, and noise of equal size."""

from typing import Any

import numpy as np

from dlnotes.explain.gradients import LOSSES, loss_gradient
from dlnotes.explain.scores import check_classes, check_inside
from dlnotes.validation import (
    check_array,
    check_choice,
    check_flag,
    check_float,
    check_int,
    check_rng,
    received,
)


def fgsm(
    model: Any,
    x: Any,
    y: Any,
    epsilon: float,
    *,
    targeted: bool = False,
    loss: str = "cross_entropy",
    value_range: tuple[float, float] = (0.0, 1.0),
) -> np.ndarray:
    """Return pictures after one step against the model: the fast gradient sign method.

    Every pixel moves by ε in the direction in which the loss L of the true class y grows,

        x′ = x + ε · sign(∂L/∂x) ,

    and is cut off at the ends of the range. No pixel changes by more than ε.

    Args:
        model: A Keras classifier from (B, H, W, C) to (B, K), or an `ImageClassifier`.
        x: B pictures of H × W pixels and C channels, (B, H, W, C), inside the range.
        y: The class number of each picture, (B,): the true one, or with `targeted` the one to
            reach.
        epsilon: The largest change of a pixel, >= 0, in the pixels' unit.
        targeted: Whether the loss of y shall fall instead of grow.
        loss: "cross_entropy", as in the paper, or "margin"; see `loss_gradient`.
        value_range: The smallest and the largest value of a pixel.

    Returns:
        The attacked pictures, (B, H, W, C).

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If shapes do not fit, a pixel is outside the range, or a number is.

    References:
        Goodfellow, Shlens and Szegedy, Explaining and harnessing adversarial examples, ICLR 2015,
        section 4.

    Example:
        >>> import keras
        >>> line = keras.layers.Dense(2, kernel_initializer=keras.initializers.Constant([[1, -1]]))
        >>> model = keras.Sequential([keras.Input((1, 1, 1)), keras.layers.Flatten(), line])
        >>> fgsm(model, np.full((1, 1, 1, 1), 0.5), [0], 0.25).ravel()
        array([0.25], dtype=float32)
    """
    x, y = check_attack(model, x, y, epsilon, targeted, value_range)
    direction = np.sign(loss_gradient(model, x, y, loss=loss))
    direction = -direction if targeted else direction
    return np.clip(x + epsilon * direction, *value_range)


def pgd(
    model: Any,
    x: Any,
    y: Any,
    epsilon: float,
    *,
    num_steps: int = 10,
    step_size: float | None = None,
    rng: np.random.Generator | None = None,
    **how: Any,
) -> np.ndarray:
    """Return pictures after several small steps against the model: projected gradient descent.

    Each step is one of `fgsm` with its own length. After it every pixel is put back into the
    **ball** around the original, x − ε to x + ε. Without `rng` this is the basic iterative method
    of Kurakin; the random start is what Madry adds to it.

    Args:
        model: A Keras classifier from (B, H, W, C) to (B, K), or an `ImageClassifier`.
        x: B pictures of H × W pixels and C channels, (B, H, W, C), inside the range.
        y: The class number of each picture, (B,): the true one, or with `targeted` the one to
            reach.
        epsilon: The largest change of a pixel, >= 0, in the pixels' unit.
        num_steps: Steps, >= 1.
        step_size: Length of a step, > 0; None takes 2.5 · epsilon / num_steps.
        rng: Draws a random start inside the ball; None starts at x.
        how: `targeted` (False), `loss` ("cross_entropy") and `value_range` (0.0, 1.0), as `fgsm`
            takes them.

    Returns:
        The attacked pictures, (B, H, W, C).

    Raises:
        TypeError: If an argument has the wrong type or is unknown.
        ValueError: If shapes do not fit, a pixel is outside the range, or a number is.

    References:
        Kurakin, Goodfellow and Bengio, Adversarial examples in the physical world, ICLR workshop
        2017, section 2.2; Madry et al., Towards deep learning models resistant to adversarial
        attacks, ICLR 2018, section 2.1; 2.5 ε / steps is their step in section 5, where ε varies.

    Example:
        >>> import keras
        >>> line = keras.layers.Dense(2, kernel_initializer=keras.initializers.Constant([[1, -1]]))
        >>> model = keras.Sequential([keras.Input((1, 1, 1)), keras.layers.Flatten(), line])
        >>> pgd(model, np.full((1, 1, 1, 1), 0.5), [0], 0.25).ravel()
        array([0.25], dtype=float32)
    """
    x, length, attacked = check_steps(model, x, y, epsilon, num_steps, step_size, rng, **how)
    for _ in range(num_steps):
        attacked = fgsm(model, attacked, y, length, **how)
        attacked = np.clip(attacked, x - epsilon, x + epsilon)
    return attacked


def sign_noise(
    x: Any,
    epsilon: float,
    *,
    rng: np.random.Generator,
    value_range: tuple[float, float] = (0.0, 1.0),
) -> np.ndarray:
    """Return pictures with noise as large as an `fgsm` step: each pixel moves by +ε or −ε.

    Args:
        x: Pictures or other numbers of any shape, inside the range.
        epsilon: The change of a pixel, >= 0.
        rng: Draws the signs, + and − with equal chance.
        value_range: The smallest and the largest value of a pixel; what would leave it is cut off.

    Returns:
        The noisy pictures, of the shape of x; whole numbers become float64.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a pixel is outside the range or a number is.

    Example:
        >>> sign_noise(np.full(4, 0.5), 0.25, rng=np.random.default_rng(0))
        array([0.25, 0.25, 0.25, 0.75])
    """
    x, rng = check_array("x", x, dtype=None), check_rng("rng", rng)
    x = x if x.dtype.kind == "f" else x.astype(np.float64)
    epsilon = check_float("epsilon", epsilon, low=0)
    check_inside("x", x, value_range)
    signs = 1 - 2 * rng.integers(0, 2, x.shape)
    return np.clip(x + epsilon * signs, *value_range).astype(x.dtype)


def check_attack(
    model: Any, x: Any, y: Any, epsilon: Any, targeted: Any, value_range: Any
) -> tuple[np.ndarray, np.ndarray]:
    """Return pictures inside the range and their classes; this only checks and converts."""
    check_float("epsilon", epsilon, low=0)
    check_flag("targeted", targeted)
    if y is None:
        raise TypeError(f"`y` must be class numbers. {received(y=y)}")
    x, y = check_classes(model, x, y, "y")
    check_inside("x", x, value_range)
    return x, y


def check_steps(
    model: Any,
    x: Any,
    y: Any,
    epsilon: Any,
    num_steps: Any,
    step_size: Any,
    rng: Any,
    *,
    targeted: Any = False,
    loss: str = "cross_entropy",
    value_range: Any = (0.0, 1.0),
) -> tuple[np.ndarray, float, np.ndarray]:
    """Return the pictures, the length of a step, and the pictures from which the first starts.

    Besides checking, this draws the random start.
    """
    check_choice("loss", loss, LOSSES)
    x, _ = check_attack(model, x, y, epsilon, targeted, value_range)
    num_steps = check_int("num_steps", num_steps, low=1)
    if step_size is None:
        length = 2.5 * epsilon / num_steps
    else:
        length = check_float("step_size", step_size, low=0, open_low=True)
    if rng is None:
        return x, length, x
    start = x + check_rng("rng", rng).uniform(-epsilon, epsilon, x.shape).astype(x.dtype)
    return x, length, np.clip(start, *value_range)
