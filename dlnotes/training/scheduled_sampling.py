"""Training a decoder on what it wrote itself."""

from typing import Any

import keras
from keras import ops

from dlnotes.training.steps import seq2seq_parts
from dlnotes.validation import check_float, received

Schedule = keras.optimizers.schedules.LearningRateSchedule


def mixed_inputs(read: Any, states: Any, true: Any, forced: Any) -> Any:
    """Return what a decoder reads, true tokens where it is forced and else its own, (T, B).

    Args:
        read: ``read(tokens, states)``, to the probabilities of the next token, (B, V), and states.
        states: The decoder's first states, a list.
        true: The true tokens, (T, B).
        forced: Whether each of them is read, (T, B); the first ones must be.

    Example:
        >>> count = lambda tokens, states: (ops.one_hot(tokens + 1, 9), states)  # one more
        >>> forced = [[True], [False], [True], [False]]
        >>> mixed_inputs(count, [], ops.array([[1], [4], [6], [4]]), ops.array(forced))[:, 0]
        <tf.Tensor: shape=(4,), dtype=int32, numpy=array([1, 2, 6, 7], dtype=int32)>
    """

    def read_on(place: Any, own: Any, states: Any, tokens: Any) -> Any:
        row = ops.where(forced[place], true[place], own)
        probabilities, states = read(row, states)
        own = ops.cast(ops.argmax(probabilities, axis=-1), true.dtype)
        return place + 1, own, states, ops.slice_update(tokens, (place, 0), row[None])

    length = ops.shape(true)[0]
    first = (0, ops.zeros_like(true[0]), states, true)
    *_, tokens = ops.while_loop(lambda place, *_: place < length, read_on, first)
    return tokens


@keras.saving.register_keras_serializable(package="dlnotes")
class ScheduledSampling(keras.Model):
    """Train a translating model on a mixture of true tokens and its own.

    Letters: B rows, S source and T target tokens, V different target tokens. At each place a coin
    is tossed for each row: with probability p the decoder reads the true token before it, as in
    teacher forcing, else the token that it finds likeliest itself. The first is always true (the
    start token). With p = 1 this is teacher forcing, with p = 0 the decoder runs free.

    A step first writes the inputs, place by place, and then trains on them as usual: no gradient
    flows through the choice of a token, so the result is the same as doing both at once. It shares
    the weights of `model`; save and use that. Compile it as you would compile the model, and `fit`
    it on batches ``((source, target_in), target_out)``, with TensorFlow or PyTorch: JAX's training
    step has other arguments.

    Args:
        model: A model of `build_seq2seq`, without dropout.
        teacher: p, in [0, 1], or a schedule of Keras' that gives it from the number of updates,
            such as ``PolynomialDecay(1.0, decay_steps=1000, end_learning_rate=0.0)``.
        seed: Seed of the coins.
        **kwargs: Further arguments of `keras.Model`, such as `name`.

    Raises:
        TypeError: If `teacher` is no number and no schedule.
        ValueError: If the model is of another kind or drops out, or a number is out of range.

    References:
        R. J. Williams and D. Zipser, "A learning algorithm for continually running fully recurrent
        neural networks" (1989), section 2 (teacher forcing); S. Bengio, O. Vinyals, N. Jaitly and
        N. Shazeer, "Scheduled sampling for sequence prediction with recurrent neural networks"
        (2015), section 2.4.

    Example:
        >>> import numpy as np
        >>> from dlnotes.models import build_seq2seq
        >>> free = ScheduledSampling(build_seq2seq(9, 7, units=4), teacher=0.0)
        >>> source, target_in = np.array([[3, 5]]), np.array([[2, 4, 6]])
        >>> free.inputs_of(source, target_in).shape
        TensorShape([1, 3])
    """

    def __init__(
        self,
        model: keras.Model,
        teacher: float | Schedule = 1.0,
        *,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not isinstance(teacher, Schedule):
            teacher = check_float("teacher", teacher, low=0, high=1)
        _, self.read_source, self.read = seq2seq_parts(model)
        if any(isinstance(layer, keras.layers.Dropout) for layer in model.layers):
            raise ValueError(f"`model` must have no dropout. {received(model=model)}")
        self.model, self.teacher, self.seed = model, teacher, seed
        self.coins = keras.random.SeedGenerator(seed)
        self.built = True

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Return the model's answers, (B, T, V)."""
        return self.model(inputs, training=training)

    def inputs_of(self, source: Any, target_in: Any) -> Any:
        """Return what the decoder reads: true tokens and its own, (B, T).

        Raises:
            ValueError: If `teacher` is a schedule, and the model is not compiled.
        """
        p = self.teacher
        if isinstance(p, Schedule):
            if getattr(self, "optimizer", None) is None:
                raise ValueError(
                    "The model must be compiled: a schedule counts its optimizer's updates. "
                    + received(teacher=p)
                )
            p = ops.cast(p(self.optimizer.iterations), "float32")
        true = ops.transpose(ops.convert_to_tensor(target_in))  # (T, B)
        coins = keras.random.uniform(ops.shape(true), seed=self.coins)
        forced = (coins < p) | (ops.arange(ops.shape(true)[0])[:, None] == 0)
        states = keras.tree.flatten(self.read_source(source))
        return ops.stop_gradient(ops.transpose(mixed_inputs(self.read, states, true, forced)))

    def train_step(self, data: Any) -> dict[str, Any]:
        """Write the inputs, and train on them; `fit` calls it."""
        (source, target_in), *rest = data
        return super().train_step(((source, self.inputs_of(source, target_in)), *rest))

    def get_config(self) -> dict[str, Any]:
        """Return the arguments, as Keras saves them: the model is in the file."""
        teacher = self.teacher
        if isinstance(teacher, Schedule):
            teacher = keras.saving.serialize_keras_object(teacher)
        model = keras.saving.serialize_keras_object(self.model)
        return {**super().get_config(), "model": model, "teacher": teacher, "seed": self.seed}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> "ScheduledSampling":
        """Return what `get_config` described."""
        objects = {
            name: keras.saving.deserialize_keras_object(config[name], custom_objects)
            for name in ("model", "teacher")
            if isinstance(config[name], dict)
        }
        return cls(**{**config, **objects})
