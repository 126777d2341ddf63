"""Callbacks for ``model.fit``."""

import functools
from collections.abc import Callable
from os import PathLike
from typing import Any

import keras

from dlnotes.training.progress import LiveBar
from dlnotes.validation import (
    check_choice,
    check_flag,
    check_float,
    check_int,
    check_path,
    received,
)

CHECKPOINT_NAME = "best.keras"
LOGS_NAME = "logs"
SMALLER_IS_BETTER = ("loss", "mse", "mae", "rmse")
LARGER_IS_BETTER = ("accuracy", "precision", "recall", "auc", "r2")


class LiveProgress(keras.callbacks.Callback):
    """Show a live bar with epoch, loss and estimated time left while ``fit`` runs.

    Use it with ``verbose=0``. When training ends the bar is gone; with DLNOTES_HEADLESS=1 it never
    appears.

    Args:
        label: What is training; None takes the model's name.
        delay: Seconds before the bar first appears.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If `delay` is negative.

    Example:
        >>> callbacks = [LiveProgress("digits")]  # model.fit(…, verbose=0, callbacks=callbacks)
    """

    def __init__(self, label: str | None = None, *, delay: float = 0.3) -> None:
        super().__init__()
        if label is not None and not isinstance(label, str):
            raise TypeError(f"`label` must be a text or None. {received(label=label)}")
        LiveBar(label=label or "", delay=delay)  # refuses a bad delay now, not in the middle of fit
        self.label, self.delay = label, delay
        self._bar: LiveBar | None = None
        self._epoch, self._note = 0, ""

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Start the bar."""
        label = self.label if self.label is not None else self.model.name
        self._bar = LiveBar(self.params.get("epochs") or None, label=label, delay=self.delay)
        self._epoch, self._note = 0, ""

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Name the epoch."""
        self._epoch = epoch
        self._show(epoch)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Move the bar inside a long epoch; the losses are not read, which would cost time."""
        steps = self.params.get("steps")
        if steps:
            self._show(self._epoch + (batch + 1) / steps)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Show the epoch's losses."""
        losses = {name: value for name, value in (logs or {}).items() if name.endswith("loss")}
        self._note = ", ".join(f"{name} {float(value):.4g}" for name, value in losses.items())
        self._show(epoch + 1)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Clear the bar."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _show(self, done: float) -> None:
        if self._bar is not None:
            epoch = f"epoch {self._epoch + 1}/{self.params.get('epochs', '?')}"
            self._bar.update(done, ", ".join(part for part in (epoch, self._note) if part))


class MonitorCheck(keras.callbacks.Callback):
    """Stop with an error when `fit` does not report the value that other callbacks watch.

    Keras' `EarlyStopping` only warns about a name that it cannot find, and then never stops.

    Args:
        monitor: The name, such as "val_loss".

    Raises:
        TypeError: If `monitor` is not a text.

    Example:
        >>> callbacks = [MonitorCheck("val_loss")]  # put it before the callbacks that watch
    """

    def __init__(self, monitor: str) -> None:
        super().__init__()
        if not isinstance(monitor, str):
            raise TypeError(f"`monitor` must be a text. {received(monitor=monitor)}")
        self.monitor = monitor

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Look for the name among those reported."""
        names = list(logs or {})
        if self.monitor not in names:
            hint = ""
            if self.monitor.startswith("val_") and not any(n.startswith("val_") for n in names):
                hint = "; names with val_ need validation data in each epoch"
            raise ValueError(
                f"`monitor` must be a value that fit reports: {', '.join(names)}{hint}. "
                f"{received(monitor=self.monitor)}"
            )


def standard_callbacks(
    directory: str | PathLike[str] | None = None,
    *,
    monitor: str = "val_loss",
    mode: str | None = None,
    patience: int = 10,
    min_delta: float = 0.0,
    schedule: keras.optimizers.schedules.LearningRateSchedule | Callable[..., float] | None = None,
    best_so_far: float | None = None,
    progress: bool = True,
    label: str | None = None,
) -> list[keras.callbacks.Callback]:
    """Return the callbacks of a careful training run, all watching the same value.

    - `MonitorCheck` refuses a name that `fit` does not report.
    - `LearningRateScheduler`, if there is a schedule, sets the rate of each epoch and records it.
    - `EarlyStopping` ends training when the value has stopped improving, and puts the weights of
      the best epoch back.
    - `ModelCheckpoint` writes the best model to ``directory/best.keras``.
    - `TensorBoard` writes ``directory/logs``, which ``tensorboard --logdir`` shows.
    - `LiveProgress` shows a bar.

    Without a directory nothing is written: no checkpoint, no logs. Make new callbacks for each run.

    A checkpoint callback knows nothing of earlier runs: its first epoch would overwrite a better
    model. So a directory that holds a checkpoint is refused unless `best_so_far` says how good it
    is; then only an epoch that is better replaces it.

    Args:
        directory: Where to write, one directory a run, made if it is missing; None writes nothing.
        monitor: Name of the value to watch, as `fit` reports it.
        mode: "min" or "max", whether less or more is better; None knows the names of losses, mse,
            rmse, mae, accuracy, precision, recall, auc and r2, with or without "val_".
        patience: Epochs without improvement after which training ends, >= 1.
        min_delta: Smallest change that `EarlyStopping` counts as improvement, >= 0. The checkpoint
            counts every improvement, so it may be better than the weights that are put back.
        schedule: The rate of each epoch, counted from 0: a Keras schedule whose steps are taken as
            epochs, such as ``dlnotes.training.WarmupCosineDecay(0.01, 30)``, or a function of the
            epoch and the present rate; None keeps the optimizer's rate.
        best_so_far: The watched value of the checkpoint that is in the directory, to resume.
        progress: Whether to show a live bar.
        label: Text of the bar; None takes the model's name.

    Returns:
        The callbacks, for ``model.fit(…, verbose=0, callbacks=…)``.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a number is out of range, `mode` cannot be told from the name, or the
            directory holds a checkpoint and `best_so_far` is None, or it holds none and
            `best_so_far` is given.

    Example:
        >>> [type(callback).__name__ for callback in standard_callbacks(patience=5)]
        ['MonitorCheck', 'EarlyStopping', 'LiveProgress']
    """
    check = MonitorCheck(monitor)
    mode = _mode_of(monitor) if mode is None else check_choice("mode", mode, ("min", "max"))
    patience = check_int("patience", patience, low=1)
    min_delta = check_float("min_delta", min_delta, low=0)
    if schedule is not None and not callable(schedule):
        raise TypeError(
            "`schedule` must be a Keras schedule, a function of epoch and rate, or None. "
            f"{received(schedule=schedule)}"
        )
    check_flag("progress", progress)
    bar = LiveProgress(label)
    callbacks: list[keras.callbacks.Callback] = [check]
    if schedule is not None:
        if isinstance(schedule, keras.optimizers.schedules.LearningRateSchedule):
            schedule = functools.partial(_rate_of_epoch, schedule)
        callbacks.append(keras.callbacks.LearningRateScheduler(schedule))
    callbacks.append(
        keras.callbacks.EarlyStopping(
            monitor, mode=mode, patience=patience, min_delta=min_delta, restore_best_weights=True
        )
    )
    if directory is not None:
        callbacks += _writers(directory, monitor, mode, best_so_far)
    elif best_so_far is not None:
        raise ValueError(
            "`best_so_far` must be None without a directory, which holds no checkpoint. "
            f"{received(best_so_far=best_so_far)}"
        )
    return [*callbacks, bar] if progress else callbacks


def _rate_of_epoch(schedule: Callable[[int], Any], epoch: int, rate: float) -> float:
    # the present rate does not matter: a resumed run gets the rates of one that was not interrupted
    return float(schedule(epoch))


def _writers(
    directory: Any, monitor: str, mode: str, best_so_far: float | None
) -> list[keras.callbacks.Callback]:
    directory = check_path("directory", directory)
    checkpoint = directory / CHECKPOINT_NAME
    if best_so_far is not None:
        best_so_far = check_float("best_so_far", best_so_far)
        if not checkpoint.exists():
            raise ValueError(
                f"`best_so_far` must be None where the directory holds no {CHECKPOINT_NAME}, or "
                "only a model that beats it would be saved. "
                f"{received(best_so_far=best_so_far, directory=str(directory))}"
            )
    elif checkpoint.exists():
        raise ValueError(
            f"`directory` must not hold the {CHECKPOINT_NAME} of another run: choose another, "
            f"delete the file, or resume with best_so_far. {received(directory=str(directory))}"
        )
    return [
        keras.callbacks.ModelCheckpoint(
            checkpoint,
            monitor,
            mode=mode,
            save_best_only=True,
            initial_value_threshold=best_so_far,
        ),
        # drawing the graph takes longer than a small training
        keras.callbacks.TensorBoard(directory / LOGS_NAME, write_graph=False),
    ]


def _mode_of(monitor: str) -> str:
    name = monitor.removeprefix("val_")
    if name in SMALLER_IS_BETTER or name.endswith("_loss"):
        return "min"
    if name in LARGER_IS_BETTER:
        return "max"
    raise ValueError(
        '`mode` must be "min" or "max" for a name that does not say which is better. '
        f"{received(mode=None, monitor=monitor)}"
    )
