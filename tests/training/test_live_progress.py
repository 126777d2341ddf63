import io

import numpy as np
import pytest
from contracts import check_docstring

from dlnotes.runtime import quiet_start

with quiet_start():
    import keras

    from dlnotes.training import LiveProgress


class Terminal(io.StringIO):
    def isatty(self):
        return True


def fit(callback, epochs=2, batch_size=4):
    inputs = keras.Input((2,), name="features")
    outputs = keras.layers.Dense(1, name="output")(inputs)
    model = keras.Model(inputs, outputs, name="tiny")
    model.compile(optimizer="sgd", loss="mse")
    x = np.zeros((8, 2), dtype="float32")
    return model.fit(
        x,
        x[:, 0],
        epochs=epochs,
        batch_size=batch_size,
        verbose=0,
        callbacks=[callback],
        validation_split=0.5,
    )


def test_live_progress_shows_epoch_losses_and_time_and_clears_itself(monkeypatch):
    monkeypatch.delenv("DLNOTES_HEADLESS", raising=False)
    monkeypatch.setattr("dlnotes.training.progress.SHOWN_EVERY", 0)
    stream = Terminal()
    monkeypatch.setattr("sys.stderr", stream)
    fit(LiveProgress(delay=0))
    frames = [frame for frame in stream.getvalue().split("\r") if frame.strip()]
    assert frames[0].startswith("tiny [------------------------] epoch 1/2")
    assert "epoch 2/2, loss 0, val_loss 0 · 0 s left" in frames[-2]
    assert "[########################]" in frames[-2]
    assert stream.getvalue().endswith("\r\033[K")


def test_live_progress_moves_within_an_epoch(monkeypatch):
    monkeypatch.delenv("DLNOTES_HEADLESS", raising=False)
    monkeypatch.setattr("dlnotes.training.progress.SHOWN_EVERY", 0)
    stream = Terminal()
    monkeypatch.setattr("sys.stderr", stream)
    fit(LiveProgress(delay=0), epochs=1, batch_size=1)  # four steps
    bars = [frame[5:31] for frame in stream.getvalue().split("\r") if frame.startswith("tiny [")]
    for step in range(5):
        assert f"[{'######' * step}{'------' * (4 - step)}]" in bars


def test_live_progress_is_silent_when_headless(monkeypatch, capfd):
    monkeypatch.setenv("DLNOTES_HEADLESS", "1")
    stream = Terminal()
    monkeypatch.setattr("sys.stderr", stream)
    history = fit(LiveProgress("name", delay=0))
    assert len(history.history["loss"]) == 2
    assert stream.getvalue() == ""
    assert capfd.readouterr().out == ""


def test_live_progress_refuses_bad_arguments():
    with pytest.raises(TypeError, match=r"`label` must be a text or None. Received: label=3"):
        LiveProgress(3)
    with pytest.raises(ValueError, match="`delay` must be a finite number >= 0"):
        LiveProgress(delay=-1)
    with pytest.raises(TypeError, match="`delay` must be a number"):
        LiveProgress(delay="soon")


def test_docstring():
    check_docstring(LiveProgress)
