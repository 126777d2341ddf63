"""The command `dlnotes serve`, as processes of its own; what it answers: tests/serving."""

import json
import signal
import socket
import urllib.request

import numpy as np
import pytest
from service_process import LONG, started
from typer.testing import CliRunner

from dlnotes import cli
from dlnotes.runtime import quiet_start

with quiet_start():
    import keras

    from dlnotes.serving import export, server


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    inputs = keras.Input((2,), name="x")
    model = keras.Model(inputs, keras.layers.Dense(3, name="y")(inputs), name="line")
    path = tmp_path_factory.mktemp("bundles") / "line.zip"
    return export(model, path, name="line", version="1", example=[[1, 2]])


def predict(address, rows):
    body = json.dumps({"instances": rows}).encode()
    with urllib.request.urlopen(f"{address}/v1/models/line:predict", body, timeout=LONG) as answer:
        return json.load(answer)["predictions"]


@pytest.mark.parametrize(
    ("number", "engine"),
    [(signal.SIGINT, "onnx"), (signal.SIGTERM, "onnx"), (signal.SIGTERM, "tensorflow")],
)
def test_it_answers_and_ends_without_a_trace(bundle, tmp_path, number, engine):
    with started(bundle, "--engine", engine, temporary=tmp_path) as (process, address):
        assert np.shape(predict(address, [[1, 2], [3, 4]])) == (2, 3)
        left = [path.name.partition("-bundle-")[0] for path in tmp_path.iterdir()]
        assert left == ["dlnotes"], "also nothing of ONNX Runtime's telemetry"
        process.send_signal(number)
        assert process.stdout.read() == "Stopped.\n"
        assert process.wait(LONG) == 0
    assert not list(tmp_path.iterdir())


def invoke(*arguments):
    return CliRunner().invoke(cli.app, ["serve", *map(str, arguments)], env={"COLUMNS": "200"})


def test_a_taken_port_is_named(bundle):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = invoke(bundle, "--port", port)
    assert result.exit_code == 1
    assert "Error: `host` and `port` must be a free address of this machine." in result.output
    assert "Address already in use" in result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing"], "Error: `path` must be a bundle. Received: path='nothing'"),
        (["--engine", "torch"], "--engine must be one of: onnx, tensorflow, litert"),
        (["--engine", "litert"], "`engine` must be one that line has a form for: onnx, tens"),
        (["--max-batch", "4", "--max-queue", "2"], "--max-queue must be at least --max-batch"),
        (["--host", "no.such.host.invalid"], "must be a free address of this machine"),
        (["--port", "70000"], "Invalid value for '--port'"),
    ],
)
def test_what_cannot_be_served_is_named(bundle, arguments, message):
    result = invoke(*([] if "nothing" in arguments else [bundle, "--port", "0"]), *arguments)
    assert result.exit_code != 0
    assert message in result.output
    assert "Traceback" not in result.output


def test_a_damaged_bundle_is_named(bundle, tmp_path):
    damaged = tmp_path / "line.zip"
    damaged.write_bytes(bundle.read_bytes()[:-40])
    result = invoke(damaged)
    assert result.exit_code == 1
    assert "Error: line.zip is no bundle" in result.output
    result = invoke(bundle, bundle, "--port", "0")
    assert "`models` must be some, each of another name. Received: names=['line', 'line']" in (
        result.output
    )


def test_options_arrive(bundle, monkeypatch):
    found = {}
    monkeypatch.setattr(
        server, "serve", lambda paths, **options: found.update(options, paths=paths)
    )
    options = ["--host", "::1", "--port", "81", "--engine", "tensorflow", "--threads", "2"]
    limits = ["--max-batch", "8", "--max-wait", "5", "--max-queue", "9", "--timeout", "3"]
    assert invoke(bundle, *options, *limits, "--max-body", "0.5").exit_code == 0
    settings = found["settings"]
    assert (found["host"], found["port"], found["engine"]) == ("::1", 81, "tensorflow")
    assert (found["threads"], found["max_body_bytes"], found["paths"]) == (2, 2**19, [bundle])
    assert (settings.max_batch_size, settings.max_queue, settings.timeout) == (8, 9, 3)
    assert settings.max_wait == pytest.approx(0.005)
