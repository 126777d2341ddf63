"""A convolution over time as one matrix product."""

from typing import Any

import keras
from keras import ops

from dlnotes.validation import received


@keras.saving.register_keras_serializable(package="dlnotes")
class ShiftedConv1D(keras.layers.Conv1D):
    """Compute what ``keras.layers.Conv1D`` computes, from shifted copies of its input.

    Letters: B rows, T steps, C channels, k steps of a kernel, F filters. The k steps that a kernel
    sees are k crops of the input, each d steps later than the one before; side by side they are
    rows of kC numbers, which one matrix product weighs. Weights, arguments and answers are those of
    ``Conv1D``. Unlike that one it can be vectorised over many models at once
    (`dlnotes.training.fit_tasks`), where TensorFlow would convolve for one after the other.

    Args:
        *args: As for ``Conv1D``: filters, kernel_size.
        **kwargs: As for ``Conv1D``, with strides 1, one group, channels last, and padding "valid"
            or "causal".

    Call arguments:
        inputs: Numbers, (B, T, C).

    Returns:
        Numbers, (B, T, F) with causal padding, else (B, T - (k - 1)d, F).

    Raises:
        ValueError: If it is asked for strides, groups, or another padding or order of axes.

    Example:
        >>> layer = ShiftedConv1D(1, 3, kernel_initializer="ones")
        >>> layer(ops.reshape([1.0, 2.0, 3.0, 4.0], (1, 4, 1)))[0, :, 0].numpy().tolist()
        [6.0, 9.0]
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        wanted = {"strides": (1,), "groups": 1, "data_format": "channels_last"}
        for name, value in wanted.items():
            if getattr(self, name) != value:
                raise ValueError(f"`{name}` must be {value}. {received(**{name: kwargs[name]})}")
        if self.padding not in ("valid", "causal"):
            raise ValueError(
                f"`padding` must be 'valid' or 'causal'. {received(padding=self.padding)}"
            )

    def call(self, inputs: Any) -> Any:
        """Return the input, cropped k times and weighed."""
        (size,), (dilation,) = self.kernel_size, self.dilation_rate
        lost = (size - 1) * dilation
        if self.padding == "causal":
            inputs = ops.pad(inputs, [[0, 0], [lost, 0], [0, 0]])
        steps = inputs.shape[1] - lost
        crops = [inputs[:, start : start + steps] for start in range(0, lost + 1, dilation)]
        rows = ops.concatenate(crops, axis=-1)  # (B, steps, kC)
        outputs = ops.matmul(rows, ops.reshape(self.kernel, (-1, self.filters)))
        return self.activation(outputs + self.bias if self.use_bias else outputs)
