"""Teaching one network by the answers of another."""

from typing import Any

import keras
from keras import ops

from dlnotes.validation import check_flag, check_float, received


def soft_targets(p: Any, temperature: float) -> Any:
    """Return the probabilities p, of shape (B, K), at another temperature T: p^(1/T), scaled to 1.

    With p = softmax(z) it is softmax(z / T), for log p differs from z only by a number that all
    classes share. T > 1 evens the probabilities out, T < 1 sharpens them. B rows, K classes;
    probabilities below 1e-30 count as 1e-30.

    References:
        Hinton, Vinyals and Dean, Distilling the knowledge in a neural network, 2015, equation 1.

    Example:
        >>> soft_targets(ops.array([[0.8, 0.2]]), temperature=2.0).numpy().round(3).tolist()
        [[0.6669999957084656, 0.3330000042915344]]
    """
    return ops.softmax(ops.log(ops.maximum(p, 1e-30)) / temperature, axis=-1)


def distillation_losses(p: Any, taught: Any, temperature: float) -> Any:
    """Return T² · KL(teacher(T) ‖ student(T)) of each row, shape (B,); 0 where the two agree.

    p and taught are the probabilities of student and teacher at T = 1, shape (B, K): B rows, K
    classes. The factor T² makes up for gradients that shrink as 1 / T².

    References:
        Hinton, Vinyals and Dean, Distilling the knowledge in a neural network, 2015, section 2.

    Example:
        >>> p = ops.array([[0.8, 0.2], [0.5, 0.5]])
        >>> distillation_losses(p, p[:1], 4.0).numpy().round(2).tolist()
        [0.0, 0.23999999463558197]
    """
    student, teacher = (ops.maximum(soft_targets(q, temperature), 1e-30) for q in (p, taught))
    return temperature**2 * ops.sum(teacher * (ops.log(teacher) - ops.log(student)), axis=-1)


@keras.saving.register_keras_serializable(package="dlnotes")
class Distiller(keras.Model):
    """Train a student on the answers of a teacher, which stays as it is.

    Letters: B rows, K classes, T temperature, α the weight of the labels. The temperature divides
    the scores z (logits) before the softmax: p(T) = softmax(z / T). With T = 1 these are the
    probabilities; a larger T evens them out, and shows which wrong classes the teacher finds less
    wrong. The loss of a batch is the mean over its rows of

        α · H(y, student) + (1 − α) · T² · KL(teacher(T) ‖ student(T)),

    with the cross-entropy H between label and student at T = 1, and the Kullback–Leibler divergence
    KL. The factor T² makes up for gradients that shrink as 1 / T². With α = 0 the labels have no
    influence at all, and class numbers of any kind may be given.

    The teacher is frozen for good: its `trainable` is False afterwards. Penalties of the student's
    layers are added. The distiller is a model: compile it with an optimizer and metrics (no loss),
    and `fit`. What it answers is the student's answer. `fit` reports "loss", and its parts without
    their weights: "teacher_loss" and, with α > 0, "label_loss". Needs Keras on TensorFlow.

    Args:
        student: A built model to train, from B × … to (B, K).
        teacher: A built and trained model of the same inputs and outputs.
        temperature: T, > 0.
        label_weight: α, in [0, 1].
        from_logits: Whether both models answer scores; False if both answer probabilities, as those
            from dlnotes.models do: then the logarithm of a probability is the score, which differs
            from the true one only by a number that is the same for all classes and drops out.
        **kwargs: Further arguments of `keras.Model`, such as `name`.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a model is not built, the inputs differ in shape, the outputs do not have the
            same shape (B, K) with K >= 2, a number is out of range, or Keras does not run on
            TensorFlow; in `fit`, if the labels are one-hot.

    References:
        Hinton, Vinyals and Dean, Distilling the knowledge in a neural network, 2015, section 2 and
        equation 1; the factor T² is in its last paragraph.

    Example:
        >>> import numpy as np
        >>> def build(units):
        ...     layers = [keras.layers.Dense(units, "relu"), keras.layers.Dense(3, "softmax")]
        ...     return keras.Sequential([keras.Input((2,)), *layers])
        >>> distiller = Distiller(build(4), build(16), temperature=2.0)
        >>> distiller.compile("adam")
        >>> history = distiller.fit(np.ones((4, 2)), np.zeros(4), verbose=0).history
        >>> sorted(history)
        ['loss', 'teacher_loss']
    """

    def __init__(
        self,
        student: keras.Model,
        teacher: keras.Model,
        *,
        temperature: float = 4.0,
        label_weight: float = 0.0,
        from_logits: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if keras.config.backend() != "tensorflow":
            raise ValueError(
                f"`Distiller` needs Keras on TensorFlow. {received(backend=keras.config.backend())}"
            )
        _check_pair(student, teacher)
        check_flag("from_logits", from_logits)
        self.student, self.teacher, self.from_logits = student, teacher, from_logits
        self.temperature = check_float("temperature", temperature, low=0, open_low=True)
        self.label_weight = check_float("label_weight", label_weight, low=0, high=1)
        self.teacher.trainable = False
        if self.label_weight:
            self.label_loss = keras.metrics.Mean(name="label_loss")
        self.teacher_loss = keras.metrics.Mean(name="teacher_loss")
        self.build(student.input_shape)

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Return the student's answers, shape (B, K)."""
        return self.student(inputs, training=training)

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """Return the loss of a batch, one number; `y_pred` are the student's answers to `x`."""
        taught = ops.stop_gradient(self.teacher(x, training=False))
        p, taught = (ops.cast(q, "float32") for q in (y_pred, taught))  # of mixed precision
        if self.from_logits:
            p, taught = ops.softmax(p, axis=-1), ops.softmax(taught, axis=-1)
        from_teacher = distillation_losses(p, taught, self.temperature)
        self.teacher_loss.update_state(from_teacher, sample_weight)
        losses = (1 - self.label_weight) * from_teacher
        if self.label_weight:
            if len(y.shape) > 1 and y.shape[-1] != 1:
                raise ValueError(f"`y` must be class numbers, not one-hot. Received: {y.shape=}")
            from_labels = keras.losses.sparse_categorical_crossentropy(y, p)
            self.label_loss.update_state(from_labels, sample_weight)
            losses += self.label_weight * from_labels
        if sample_weight is not None:
            losses *= ops.cast(sample_weight, losses.dtype)
        return ops.mean(losses) + sum(self.student.losses)

    def train_step(self, data: Any) -> dict[str, Any]:
        """Let the teacher answer, and move the student towards its answers; `fit` calls it."""
        import tensorflow as tf

        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        learns = self.student.trainable_weights
        with tf.GradientTape() as tape:
            p = self.student(x, training=True)
            loss = self.compute_loss(x, y, p, sample_weight)
            scaled = self.optimizer.scale_loss(loss)  # so that float16 can hold the gradients
        self._loss_tracker.update_state(loss, sample_weight=tf.shape(p)[0])
        self.optimizer.apply(tape.gradient(scaled, learns), learns)
        return self.compute_metrics(x, y, p, sample_weight)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments, as Keras saves them: both models are in the file."""
        models = {"student": self.student, "teacher": self.teacher}
        return {
            **super().get_config(),
            **{k: keras.saving.serialize_keras_object(model) for k, model in models.items()},
            "temperature": self.temperature,
            "label_weight": self.label_weight,
            "from_logits": self.from_logits,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> "Distiller":
        """Return a distiller from what `get_config` returned."""
        models = {
            name: keras.saving.deserialize_keras_object(config[name], custom_objects)
            for name in ("student", "teacher")
        }
        return cls(**{**config, **models})


def _check_pair(student: Any, teacher: Any) -> None:
    shapes, inputs = {}, {}
    for name, model in (("student", student), ("teacher", teacher)):
        if not isinstance(model, keras.Model):
            raise TypeError(f"`{name}` must be a Keras model. {received(**{name: model})}")
        if not model.built or len(getattr(model, "outputs", None) or ()) != 1:
            raise ValueError(
                f"`{name}` must be built, functional or sequential, and have one output. "
                f"{received(**{name: model.name})}"
            )
        shapes[name], inputs[name] = model.outputs[0].shape, model.input_shape
    shape = shapes["student"]
    if student is teacher:
        raise ValueError(f"`student` must be another model. {received(student=student.name)}")
    if inputs["student"] != inputs["teacher"]:
        raise ValueError(
            f"`student` must take what the teacher takes. Received: inputs of the shapes {inputs}"
        )
    if shape != shapes["teacher"] or len(shape) != 2 or shape[-1] < 2:
        raise ValueError(
            "`student` must answer as the teacher does, in the shape (B, K) with K >= 2. "
            f"Received: outputs of the shapes {shapes}"
        )
