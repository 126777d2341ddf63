"""Pictures that excite a unit: gradient ascent on the pixels."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from dlnotes.explain.gradients import unit_gradient
from dlnotes.explain.scores import check_inside, check_pictures, check_range, keras_model
from dlnotes.validation import check_array, check_float, check_int, check_rng, received


def maximize_activation(
    model: Any,
    units: Sequence[int],
    *,
    layer: str | None = None,
    start: Any = None,
    num_steps: int = 60,
    step_size: float = 0.05,
    blur: float = 0.0,
    decay: float = 0.0,
    shift: int = 0,
    rng: np.random.Generator,
    value_range: tuple[float, float] = (0.0, 1.0),
) -> np.ndarray:
    """Return pictures that a unit answers strongly to, found by gradient ascent on the pixels.

    Each step goes along the gradient, divided by its root mean square over the picture, so that
    `step_size` is about the change of a pixel. Three habits keep the pictures smooth:
    `decay` draws all pixels towards the lowest value, `blur` mixes each pixel with its four
    neighbours, and `shift` moves the picture about before each step (and back after it).

    Letters: B pictures, H × W pixels, C channels.

    Args:
        model: A Keras model from (B, H, W, C); without `layer` a classifier or an
            `ImageClassifier`. With `layer` nothing is compiled, whatever `compiled` says.
        units: For each picture a class, or a channel of `layer`, (B,).
        layer: Name of a layer (inside a nested model "outer/inner"), whose channel is averaged over
            all its places; None takes the scores of classes.
        start: Pictures to start from, (B, H, W, C) or one (H, W, C) for all; None starts from a
            grey of half brightness with weak noise.
        num_steps: Steps, >= 1.
        step_size: Length of a step, > 0, in units of the pixels.
        blur: Share of each pixel that is replaced by the mean of its neighbours after a step, in
            [0, 1].
        decay: Share of each pixel's distance from the lowest value that is lost after a step, in
            [0, 1).
        shift: Largest move in pixels, up, down, left and right, >= 0.
        rng: Draws the first noise and the moves.
        value_range: The smallest and the largest value of a pixel.

    Returns:
        The pictures, (B, H, W, C), inside the range.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a shape or a number is out of range, or a unit or layer does not exist.

    References:
        Simonyan, Vedaldi and Zisserman, Deep inside convolutional networks, ICLR workshop 2014,
        section 2 (ascent on a score); Yosinski et al., Understanding neural networks through deep
        visualization, ICML deep learning workshop 2015, section 3 (decay and blur); Mordvintsev,
        Olah and Tyka, Inceptionism: going deeper into neural networks, Google Research 2015
        (ascent from a photo; their code moves the picture about).

    Example:
        >>> import keras
        >>> line = keras.layers.Dense(2, kernel_initializer="ones")
        >>> model = keras.Sequential([keras.Input((1, 2, 1)), keras.layers.Flatten(), line])
        >>> rng = np.random.default_rng(0)
        >>> maximize_activation(model, [1], num_steps=20, rng=rng).ravel()
        array([1., 1.], dtype=float32)
    """
    x, units = check_ascent(model, units, start, rng, value_range)
    check_habits(num_steps, step_size, blur, decay, shift)
    for _ in range(num_steps):
        move = rng.integers(-shift, shift + 1, 2)
        x = np.roll(x, move, axis=(1, 2))
        slope = unit_gradient(model, x, units, layer)
        size = np.sqrt(np.mean(slope**2, axis=(1, 2, 3), keepdims=True))
        x = x + step_size * slope / (size + 1e-12)
        x = (1 - blur) * x + blur * neighbours(x)
        x = x - decay * (x - value_range[0])
        x = np.roll(np.clip(x, *value_range), -move, axis=(1, 2))
    return x


def neighbours(x: np.ndarray) -> np.ndarray:
    """Return the mean of each pixel's four neighbours; at an edge the pixel stands in for them."""
    wide = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
    total = wide[:, :-2, 1:-1] + wide[:, 2:, 1:-1] + wide[:, 1:-1, :-2] + wide[:, 1:-1, 2:]
    return total / 4


def check_ascent(
    model: Any, units: Any, start: Any, rng: Any, value_range: Any
) -> tuple[np.ndarray, np.ndarray]:
    """Return the first pictures and the units as arrays."""
    units, rng = check_array("units", units, ndim=1, dtype=None), check_rng("rng", rng)
    if units.dtype.kind not in "iu":
        raise TypeError(f"`units` must be whole numbers. {received(units=units)}")
    model, (low, high) = keras_model(model), check_range(value_range)
    if start is None:
        shape = tuple(model.inputs[0].shape[1:]) if getattr(model, "inputs", None) else (None,)
        if None in shape:
            raise ValueError(
                "`start` must be given for a model that takes pictures of any size. "
                f"{received(start=start, input_shape=shape)}"
            )
        noise = rng.normal(size=(len(units), *shape))
        start = (low + high) / 2 + 0.02 * (high - low) * np.clip(noise, -3, 3)
    start = check_array("start", start, dtype=None)
    if start.ndim == 3:
        start = np.broadcast_to(start, (len(units), *start.shape))
    start = check_pictures(model, start, "start")
    if len(start) != len(units):
        raise ValueError(
            "`start` must have one picture for each unit. "
            f"Received: len(start)={len(start)}, len(units)={len(units)}"
        )
    check_inside("start", start, value_range)
    return start, units


def check_habits(num_steps: Any, step_size: Any, blur: Any, decay: Any, shift: Any) -> None:
    """Require numbers in their ranges."""
    check_int("num_steps", num_steps, low=1)
    check_float("step_size", step_size, low=0, open_low=True)
    check_float("blur", blur, low=0, high=1)
    check_float("decay", decay, low=0, high=1, open_high=True)
    check_int("shift", shift, low=0)
