"""Several networks side by side in one: weights in blocks along the diagonal, zeros elsewhere."""

from typing import Any

import keras
import numpy as np
from keras import ops

from dlnotes.validation import check_float, check_int, received


@keras.saving.register_keras_serializable(package="dlnotes")
class Blocks(keras.initializers.Initializer):
    """Draws a matrix for `count` networks side by side: a block each, and zeros between them.

    With `KeepBlocks` as its constraint, a layer of ``count * units`` units is `count` layers of
    `units` units that share nothing but their inputs' rows, and cost hardly more than one. An
    optimizer that treats each weight by itself, as SGD and Adam do, trains each as if it were
    alone, if the loss is a sum over them. With a mean over them the gradients are `count` times
    smaller, which Adam hardly notices; `clipnorm` looks at all weights and couples them.

    Args:
        count: Number of networks, >= 1; both sides of the matrix must be multiples of it.
        start: Keras' name of the initializer that draws each block, such as "glorot_uniform".

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If the count is below 1, the name is unknown, or a side is no multiple.

    Example:
        >>> (np.asarray(Blocks(2, "ones")((2, 4))) == 1).astype(int).tolist()
        [[1, 1, 0, 0], [0, 0, 1, 1]]
    """

    def __init__(self, count: int, start: str = "glorot_uniform") -> None:
        self.count = check_int("count", count, low=1)
        if not isinstance(start, str):
            raise TypeError(f"`start` must be the name of an initializer. {received(start=start)}")
        keras.initializers.get(start)
        self.start = start

    def __call__(self, shape: Any, dtype: Any = None) -> Any:
        """Return a matrix of the shape: each block drawn by itself."""
        rows, columns = block_shape(shape, self.count)
        matrix = np.zeros(tuple(shape), np.float32)
        for k in range(self.count):
            block = keras.initializers.get(self.start)((rows, columns))  # a new one: other numbers
            here = slice(k * rows, (k + 1) * rows), slice(k * columns, (k + 1) * columns)
            matrix[here] = ops.convert_to_numpy(block)
        return ops.convert_to_tensor(matrix, dtype=dtype)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return {"count": self.count, "start": self.start}


@keras.saving.register_keras_serializable(package="dlnotes")
class KeepBlocks(keras.constraints.Constraint):
    """Sets to zero, after each step, what lies between the blocks of `count` networks.

    Args:
        count: Number of networks, >= 1.

    Example:
        >>> np.asarray(KeepBlocks(2)(np.ones((2, 4), "float32"))).astype(int).tolist()
        [[1, 1, 0, 0], [0, 0, 1, 1]]
    """

    def __init__(self, count: int) -> None:
        self.count = check_int("count", count, low=1)

    def __call__(self, w: Any) -> Any:
        """Return the matrix with zeros between the blocks."""
        blocks = np.kron(np.eye(self.count), np.ones(block_shape(w.shape, self.count)))
        return w * ops.cast(blocks, w.dtype)

    def get_config(self) -> dict[str, Any]:
        """Return the argument."""
        return {"count": self.count}


def restart(model: keras.Model, start: keras.Model, rate: float | None = None) -> None:
    """Give a compiled model the weights of another, and its optimizer a new rate and no memory.

    Training anew a model that has been trained is much cheaper than compiling another. The
    optimizer's variables become those of a new one of its kind, 0 or not.

    Args:
        model: A compiled model.
        start: A model of the same weights, newly built.
        rate: The learning rate, > 0; None keeps the one it has, or begins its schedule anew.

    Raises:
        ValueError: If the model is not compiled, the weights' shapes differ, or the rate is not
            above 0.
    """
    if rate is not None:
        rate = check_float("rate", rate, low=0, open_low=True)
    optimizer = getattr(model, "optimizer", None)
    if optimizer is None:
        raise ValueError(f"`model` must be compiled. {received(model=model.name)}")
    shapes = [[tuple(w.shape) for w in net.weights] for net in (model, start)]
    if shapes[0] != shapes[1]:
        raise ValueError(
            f"`start` must have weights of the model's shapes. {received(shapes=shapes[1])}"
        )
    model.set_weights(start.get_weights())
    new = type(optimizer).from_config(optimizer.get_config())
    if optimizer.built:
        new.build(model.trainable_variables)
        for number, first in zip(optimizer.variables, new.variables, strict=True):
            number.assign(first)
    if rate is not None:
        optimizer.learning_rate = rate


def block_shape(shape: Any, count: int) -> tuple[int, int]:
    """Return rows and columns of one of `count` blocks of a matrix.

    Raises:
        ValueError: If the shape is not that of a matrix, or a side no multiple of the count.
    """
    shape = tuple(shape)
    if len(shape) != 2 or any(side % count for side in shape):
        raise ValueError(
            f"`shape` must be two multiples of the count. {received(shape=shape, count=count)}"
        )
    return shape[0] // count, shape[1] // count
