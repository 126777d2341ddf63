"""The command `dlnotes train`; what workers do: tests/training."""

import contextlib
import os
import signal
import subprocess
import sys

import numpy as np
import psutil
import pytest
from processes_help import LONG, MAIN, family, gone, wait_until
from typer.testing import CliRunner

from dlnotes import cli
from dlnotes.course import train
from dlnotes.runtime import quiet_start

with quiet_start():
    import keras

    from dlnotes.training.distributed import CHECKPOINT


def invoke(*arguments, **env):
    env = {"COLUMNS": "200", "TF_CONFIG": None, **env}
    return CliRunner().invoke(cli.app, ["train", *map(str, arguments)], env=env)


def test_one_process_from_the_command_to_the_model_and_on(tmp_path):
    where = ["--directory", tmp_path / "t", "--batch-size", "20"]
    result = invoke("iris", "--epochs", "2", *where)
    assert result.exit_code == 0, result.output
    assert "106 rows, 12 steps of 20 rows, 1 process." in result.output
    assert "epoch 2 of 2: step 12 of 12, loss " in result.output
    assert sorted(path.name for path in (tmp_path / "t").iterdir()) == [CHECKPOINT, "model.keras"]
    assert invoke("iris", "--epochs", "2", *where).exit_code == 1, "it is not empty"
    result = invoke("iris", "--epochs", "30", *where, "--resume")
    assert "going on after step 12." in result.output
    assert "epoch 2 " not in result.output
    assert f"The model after 180 steps: {tmp_path / 't' / 'model.keras'}" in result.output
    _, (x, y) = train.prepare("iris", "mlp", **OPTIONS)
    model = keras.saving.load_model(tmp_path / "t" / "model.keras")
    accuracy = (model(x).numpy().argmax(1) == y).mean()
    assert accuracy > 0.8
    assert f"accuracy {accuracy:.4g}." in result.output
    part = tmp_path / "t" / train.PART
    assert not part.exists()


OPTIONS = {"epochs": 1, "batch_size": 8, "optimizer": "adam", "learning_rate": None, "seed": 0}


@pytest.mark.parametrize(
    ("dataset", "model", "shape", "output"),
    [
        ("digits", "mlp", (1257, 64), 10),
        ("digits", "cnn", (1257, 8, 8, 1), 10),
        ("digits", "dlnotes.models:build_mlp", (1257, 8, 8, 1), 10),
        ("breast_cancer", "mlp", (398, 30), 1),
    ],
)
def test_models_fit_the_data(dataset, model, shape, output):
    job, _ = train.prepare(dataset, model, **OPTIONS)
    assert (job.x.shape[1:], job.build().output_shape) == (shape[1:], (None, output))
    assert job.loss.startswith("binary" if output == 1 else "sparse")
    rate = {"class_name": "sgd", "config": {"learning_rate": 0.5}}
    job, _ = train.prepare(dataset, model, **{**OPTIONS, "optimizer": "sgd", "learning_rate": 0.5})
    assert job.optimizer == rate
    assert float(keras.optimizers.get(job.optimizer).learning_rate) == 0.5


def no_model(shape, outputs):
    return "no model"


def too_many_outputs(shape, outputs):
    return keras.Sequential([keras.Input(shape), keras.layers.Dense(outputs + 1)])


HERE = "test_cli_train"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing"], "DATASET must be one of: iris, "),
        (["iris", "--model", "rnn"], "--model must be one of: mlp, cnn, lenet5, resnet, MODULE:F"),
        (["iris", "--optimizer", "newton"], "--optimizer must be one of: sgd, "),
        (["iris", "--learning-rate", "0"], "--learning-rate must be a number > 0. Received: 0.0"),
        (["iris", "--learning-rate", "nan"], "--learning-rate must be a number > 0"),
        (["iris", "--epochs", "0"], "Invalid value for '--epochs'"),
        (["iris", "--workers", "0"], "Invalid value for '--workers'"),
        (["iris", "--workers", "65"], "Error: `batch_size` must be at least 1 for each worker."),
        (["iris", "--model", "cnn"], 'Error: `model` must be "mlp" or a builder of your own'),
        (["iris", "--model", "no.such:thing"], "Error: `model` must be MODULE:FUNCTION that can"),
        (["iris", "--model", "math:nothing"], "Error: `model` must be MODULE:FUNCTION that can"),
        (["iris", "--model", "math:pi"], "Error: `model` must name a function"),
        (["iris", "--model", f"{HERE}:no_model"], "must build a Keras model with 3 outputs"),
        (["iris", "--model", f"{HERE}:too_many_outputs"], "must build a Keras model with 3 outp"),
        (["digits", "--model", "lenet5"], "Error: `input_shape` must"),
    ],
)
def test_what_cannot_be_trained_is_named(tmp_path, arguments, message):
    result = invoke(*arguments, "--directory", tmp_path / "new")
    assert result.exit_code != 0
    assert message in result.output
    assert "Traceback" not in result.output
    assert not (tmp_path / "new").exists()


def test_a_wrong_place_is_named(tmp_path):
    where = ["iris", "--directory", tmp_path / "new"]
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "notes.txt").touch()
    result = invoke("iris", "--directory", tmp_path / "old")
    assert "Error: `directory` must be new or empty, or --resume given" in result.output
    result = invoke(*where, TF_CONFIG="{}")
    assert "Error: `TF_CONFIG` must be JSON" in result.output
    one = '{"cluster": {"worker": ["127.0.0.1:1"]}, "task": {"type": "worker", "index": 0}}'
    result = invoke(*where, "--workers", "2", TF_CONFIG=one)
    assert "Error: `workers` must be left to TF_CONFIG where that is set" in result.output
    assert not (tmp_path / "new").exists()


# === Nothing is left behind ===


def test_nothing_is_left_behind_however_it_is_ended(tmp_path):
    """Ctrl-C in training, SIGTERM while the workers start, SIGKILL in training."""
    command = [sys.executable, "-c", MAIN, "train", "digits", "--epochs=10000", "--workers=2"]
    command += ["--directory", str(tmp_path / "t"), "--resume", "--checkpoint-every=1"]
    env = {name: value for name, value in os.environ.items() if name != "TF_CONFIG"}
    env["TMPDIR"] = str(tmp_path / "tmp")
    (tmp_path / "tmp").mkdir()
    for number, sign, code in (
        (signal.SIGINT, "epoch 2", 130),
        (signal.SIGTERM, "1257 rows", 130),
        (signal.SIGKILL, "epoch", -9),
    ):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env)
        try:
            for line in process.stdout:
                if line.startswith(sign):
                    break
            wait_until(lambda pid=process.pid: len(family(pid)) == 3, "no workers")
            members = family(process.pid)
            process.send_signal(number)
            rest = process.stdout.read()
            assert process.wait(LONG) == code
            wait_until(lambda them=members: all(map(gone, them)), f"left behind after {number!r}")
        finally:
            with contextlib.suppress(psutil.NoSuchProcess):
                for member in family(process.pid):
                    member.kill()
            process.wait()
            process.stdout.close()
        assert ("The same with --resume goes on." in rest) is (code == 130)
        names = {path.name for path in (tmp_path / "t").iterdir()}
        assert names == {CHECKPOINT, "worker0.log", "worker1.log"}
        assert not list((tmp_path / "tmp").iterdir())
    assert np.load(tmp_path / "t" / CHECKPOINT)["step"] >= 40
