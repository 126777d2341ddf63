"""Callbacks for ``model.fit``."""

from typing import Any

import keras

from dlnotes.training.progress import LiveBar
from dlnotes.validation import received


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
