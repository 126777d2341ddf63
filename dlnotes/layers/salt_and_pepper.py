"""Salt-and-pepper noise as augmentation: Keras brings Gaussian noise only."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from dlnotes.validation import check_float, received


@keras.saving.register_keras_serializable(package="dlnotes")
class RandomSaltAndPepper(keras.layers.Layer):
    """Turn a share of each picture's pixels white or black by chance, in training only.

    Pictures are (B, H, W, C) or one of (H, W, C), channels last; all channels of a pixel are hit
    together, and half of the hits are white. At test time nothing happens; called by itself the
    layer does nothing either unless ``training=True`` is given, while Keras' own random layers
    then change the pictures.

    Args:
        factor: Chance of a pixel to be hit: a pair (low, high) in [0, 1], from which each picture
            draws its own, or one number, which stands for (0, number).
        value_range: Black and white, 0 and 255 as in Keras' own layers.
        seed: A whole number for repeatable noise; None draws one.
        **kwargs: Arguments of every Keras layer, such as `name` and `dtype`.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a number is out of range, or the pictures have the wrong number of axes.

    Example:
        >>> layer = RandomSaltAndPepper((0.5, 0.5), seed=1)
        >>> noisy = layer(ops.full((1, 100, 100, 1), 128.0), training=True)
        >>> sorted(set(noisy.numpy().ravel().tolist()))
        [0.0, 128.0, 255.0]
    """

    def __init__(
        self,
        factor: float | Sequence[float],
        *,
        value_range: Sequence[float] = (0, 255),
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        pair = factor if isinstance(factor, tuple | list) else (0.0, factor)
        self.factor = self._pair("factor", pair, factor, low=0, high=1)
        self.value_range = self._pair("value_range", value_range, value_range)
        if self.value_range[0] == self.value_range[1]:
            raise ValueError(
                f"`value_range` must have two different ends. {received(value_range=value_range)}"
            )
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    @staticmethod
    def _pair(name: str, pair: Any, given: Any, **limits: float) -> tuple[float, float]:
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise ValueError(
                f"`{name}` must be two numbers (low, high). {received(**{name: given})}"
            )
        low, high = (check_float(name, end, **limits) for end in pair)
        if low > high:
            raise ValueError(f"`{name}` must be (low, high). {received(**{name: given})}")
        return low, high

    def call(self, images: Any, training: bool = False) -> Any:
        """Return the pictures, in training with noise."""
        images = ops.cast(images, self.compute_dtype)
        if len(images.shape) not in (3, 4):
            raise ValueError(
                "`images` must have the shape (B, H, W, C) or (H, W, C). "
                f"Received: images.shape={tuple(images.shape)}"
            )
        if not training:
            return images
        pixels = (*ops.shape(images)[:-1], 1)
        of_picture = (*pixels[:-3], 1, 1, 1)
        low, high = self.factor
        # in float32 whatever the policy: half precision would round the chances
        draws = {"dtype": "float32", "seed": self.seed_generator}
        share = keras.random.uniform(of_picture, low, high, **draws)
        chance = keras.random.uniform(pixels, **draws)
        black, white = (ops.cast(end, images.dtype) for end in self.value_range)
        images = ops.where(chance < share, white, images)
        return ops.where(chance < share / 2, black, images)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the shape that came."""
        return tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        own = {"factor": self.factor, "value_range": self.value_range, "seed": self.seed}
        return {**super().get_config(), **own}
