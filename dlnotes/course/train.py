"""What `dlnotes train` does: a model, a data set with classes, one process or several."""

import dataclasses
import functools
import importlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dlnotes import runtime
from dlnotes.course.classification import classification_data
from dlnotes.training import read_place
from dlnotes.validation import check_choice, received

BUILDERS = {
    "mlp": "dlnotes.models:build_mlp",
    "cnn": "dlnotes.models:build_small_cnn",
    "lenet5": "dlnotes.models:build_lenet5",
    "resnet": "dlnotes.models:build_small_resnet",
}
OPTIMIZERS = ("sgd", "rmsprop", "adagrad", "adam", "adamw", "nadam")
MODEL_NAME = "model.keras"
PART = ".model.part.keras"
LINE_EVERY_S = 10.0
Say = Callable[[str], None]


@dataclasses.dataclass(frozen=True)
class Trained:
    """What came out.

    Attributes:
        path: The model's file.
        steps: Steps of training behind it.
        loss: Its mean loss on the validation data.
        accuracy: Its share of right answers there, in [0, 1].
    """

    path: Path
    steps: int
    loss: float
    accuracy: float


def find_builder(model: str) -> Callable[..., Any]:
    """Return the builder of a name, or of MODULE:FUNCTION, which can be imported.

    Args:
        model: "mlp", "cnn", "lenet5", "resnet", or such as "dlnotes.models:build_mlp".

    Raises:
        ValueError: If there is none.
    """
    module, colon, function = BUILDERS.get(model, model).partition(":")
    if not colon:
        check_choice("model", model, (*BUILDERS, "MODULE:FUNCTION"))
    with runtime.quiet_start():
        try:
            builder = getattr(importlib.import_module(module), function)
        except (ImportError, AttributeError, ValueError) as error:
            raise ValueError(
                f"`model` must be MODULE:FUNCTION that can be imported. {received(model=model)} "
                f"({error})"
            ) from error
    if not callable(builder):
        raise ValueError(f"`model` must name a function. {received(model=model)}")
    return builder


def prepare(
    dataset: str,
    model: str,
    *,
    epochs: int,
    batch_size: int,
    optimizer: str,
    learning_rate: float | None,
    seed: int,
) -> tuple[Any, tuple[Any, Any]]:
    """Return the job and the validation data.

    Args:
        dataset: As in `classification_data`.
        model: As in `find_builder`. "mlp" sees pictures as rows, every other one with height, width
            and channels; all are called with the shape of a row and the number of outputs.
        epochs: Passes over the training part, >= 1.
        batch_size: Rows of one step, >= 1.
        optimizer: One of `OPTIMIZERS`.
        learning_rate: > 0; None takes Keras' default.
        seed: >= 0.

    Raises:
        ValueError: If something is unknown or out of range, or does not go together.
        DatasetNotAvailable: If the data set is still to be fetched.
    """
    arrays, outputs = classification_data(dataset, pictures=model != "mlp")
    x_train, y_train, x_val, y_val = arrays
    if model in BUILDERS and model != "mlp" and x_train.ndim < 4:
        raise ValueError(
            f'`model` must be "mlp" or a builder of your own for data that are no pictures. '
            f"{received(model=model, dataset=dataset)}"
        )
    check_choice("optimizer", optimizer, OPTIMIZERS)
    builder = find_builder(model)
    from dlnotes.training.distributed import Job

    chosen: Any = optimizer
    if learning_rate is not None:
        chosen = {"class_name": optimizer, "config": {"learning_rate": learning_rate}}
    job = Job(
        functools.partial(build_checked, builder, x_train.shape[1:], outputs),
        x_train,
        y_train,
        loss="binary_crossentropy" if outputs == 1 else "sparse_categorical_crossentropy",
        optimizer=chosen,
        batch_size=batch_size,
        epochs=epochs,
        seed=seed,
    )
    return job, (x_val, y_val)


def build_checked(builder: Callable[..., Any], shape: tuple[int, ...], outputs: int) -> Any:
    """Return the model of a builder.

    Args:
        builder: Called with the other two.
        shape: Shape of one row.
        outputs: Number of outputs that the model must have.

    Raises:
        ValueError: If it builds something else.
    """
    import keras

    model = builder(shape, outputs)
    if not isinstance(model, keras.Model) or model.output_shape != (None, outputs):
        raise ValueError(
            f"`model` must build a Keras model with {outputs} outputs. "
            + received(output_shape=getattr(model, "output_shape", model))
        )
    return model


def train(
    dataset: str,
    model: str,
    directory: Path,
    *,
    workers: int | None,
    checkpoint_every: int | None,
    resume: bool,
    max_restarts: int,
    patience: float,
    say: Say,
    **options: Any,
) -> Trained | None:
    """Train, as `dlnotes train` says; return what came out, or None in all workers but the first.

    Args:
        dataset: As in `prepare`.
        model: As in `prepare`.
        directory: New or empty, or with `resume` that of a job to go on with.
        workers: Processes of this machine; None takes 1, or leaves it to TF_CONFIG.
        checkpoint_every: Steps between two checkpoints; None takes an epoch.
        resume: Whether to go on with what the directory holds. Workers of TF_CONFIG always do.
        max_restarts: As in `fit_on_workers`.
        patience: As in `fit_on_workers`.
        say: Takes the lines that are shown.
        **options: As in `prepare`.
    """
    place = read_place()
    if place is not None and workers is not None:
        raise ValueError(
            "`workers` must be left to TF_CONFIG where that is set. " + received(workers=workers)
        )
    if place is None and not resume and directory.exists() and any(directory.iterdir()):
        raise ValueError(
            "`directory` must be new or empty, or --resume given, to go on with what it holds. "
            + received(directory=str(directory))
        )
    job, validation = prepare(dataset, model, **options)
    from dlnotes.training.distributed import fit_distributed, steps_done
    from dlnotes.training.workers import fit_in_cluster, fit_on_workers

    many = place.count if place is not None else workers or 1
    if many > job.batch_size:
        raise ValueError(
            "`batch_size` must be at least 1 for each worker. "
            + received(batch_size=job.batch_size, workers=many)
        )
    if place is None:
        job.build()  # here, where its error is seen at once
    every = job.steps_per_epoch if checkpoint_every is None else checkpoint_every
    directory.mkdir(parents=True, exist_ok=True)
    before = steps_done(directory, job)
    lines = _Lines(job, say, steps=place is None or place.first)
    who = f"worker {place.index} of {many}" if place is not None else _count(many, "process")
    say(
        f"{len(job.x)} rows, {job.num_steps} steps of {job.batch_size} rows, {who}"
        + (f"; going on after step {before}." if before else ".")
    )
    again = {"checkpoint_every": every, "max_restarts": max_restarts, "patience": patience}
    if place is not None:
        trained = fit_in_cluster(job, directory, listener=lines.hear, **again)
    elif many > 1:
        trained = fit_on_workers(job, directory, workers=many, listener=lines.hear, **again)
    else:
        trained = fit_distributed(
            job, directory=directory, checkpoint_every=every, on_step=lines.step
        )
    if place is not None and not place.first:
        return None
    return _judge(trained, job, validation, directory / MODEL_NAME)


def _judge(model: Any, job: Any, validation: tuple[Any, Any], path: Path) -> Trained:
    """Measure the model on the validation data, and save it whole or not at all."""
    x, y = validation
    part = path.with_name(PART)
    try:
        model.save(part)
        model.compile(loss=job.loss, metrics=["accuracy"])  # not saved: its optimizer is another
        loss, accuracy = model.evaluate(x, y, verbose=0)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
    return Trained(path, job.num_steps, loss, accuracy)


class _Lines:
    """A line an epoch, or each ten seconds."""

    def __init__(self, job: Any, say: Say, *, steps: bool) -> None:
        self._job, self._say, self._steps = job, say, steps
        self._losses: list[float] = []
        self._last: float | None = None

    def step(self, step: int, loss: float) -> None:
        """Hear of a step that is done."""
        self._losses.append(loss)
        each, now = self._job.steps_per_epoch, time.monotonic()
        self._last = self._last or now
        if step % each and now - self._last < LINE_EVERY_S:
            return
        mean = sum(self._losses) / len(self._losses)
        epoch = f"epoch {-(-step // each)} of {self._job.epochs}"
        self._say(f"{epoch}: step {step} of {self._job.num_steps}, loss {mean:.4f}")
        self._last = now
        if step % each == 0:
            self._losses = []

    def hear(self, event: dict[str, Any]) -> None:
        """Hear what `fit_on_workers` tells."""
        if event["event"] == "step":
            if self._steps:
                self.step(event["step"], event["loss"])
        else:
            self._losses = []
            self._say(f"All workers begin again after the last checkpoint: {event['why']}")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "es")
